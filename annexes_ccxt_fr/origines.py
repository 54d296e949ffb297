"""Séparer ce qui est réel de ce qui ne l'est pas, quand une sortie et une exécution n'ont pas la même origine.

Le module n'y vient que dans ce cas : inventé par l'exchange embarqué, ou pris à un banc d'essai, un fichier est mis de
côté quand on le reprend pour de vrai ; réel, il est refusé à une exécution qui ne l'est pas.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from annexes_ccxt_fr.mises_de_cote import mettre_de_cote
from module_ccxt_fr_v2 import (
    HORS_LIGNE,
    NOMS_DITS,
    REEL,
    SANDBOX,
    ErreurDemande,
    SortieSqlite,
    tables_de,
    tables_sqlite,
)

if TYPE_CHECKING:
    from module_ccxt_fr_v2 import Sortie

DONNEES_DE = {
    REEL: "des données réelles (tenues pour telles si aucune fiche ne le dit)",
    HORS_LIGNE: "des données inventées par l'exchange embarqué (--hors-ligne)",
    SANDBOX: "des données du banc d'essai de l'exchange (--sandbox)",
}


def a_ecarter(sortie: Sortie, presentes: set[str]) -> str:
    """L'origine de la sortie, à mettre de côté ; ErreurDemande si elle est réelle, ou mêlée à autre chose."""
    if len(presentes) > 1 or REEL in presentes:
        raise ErreurDemande(
            f"« {sortie.chemin} » tient {' et '.join(DONNEES_DE[origine] for origine in sorted(presentes))} : "
            f"{DONNEES_DE[str(sortie.origine)]} ne s'y mêlent pas",
            "Choisissez une autre sortie, ou déplacez ce fichier.",
        )
    (origine,) = presentes
    autres = _autres_tables(sortie) if isinstance(sortie, SortieSqlite) else []
    if autres:  # mettre la base de côté les emporterait
        raise ErreurDemande(
            f"« {sortie.chemin} » tient {DONNEES_DE[origine]}, et d'autres tables ({', '.join(autres[:NOMS_DITS])})",
            "Choisissez une autre sortie, ou déplacez cette base.",
        )
    return origine


def _autres_tables(sortie: SortieSqlite) -> list[str]:
    """Celles d'une base qui ne sont pas à nous."""
    notres = {nom.lower() for table in sortie.tables() for nom in tables_sqlite(sortie.type_donnee, table)}
    with sortie.lecteur() as base:
        return [nom for nom in tables_de(base) if nom.lower() not in notres and not nom.startswith("sqlite_")]


def ecarter(sortie: Sortie, origine: str) -> None:
    """Met la sortie de côté, sous un nom qui dit d'où elle vient."""
    constat = f"« {sortie.chemin} » tient {DONNEES_DE[origine]}"
    mettre_de_cote(sortie.chemin, *sortie.voisins(), motif=origine.replace("_", "-"), constat=constat)
