"""Le compte rendu d'un lot au format texte de Prometheus, pour le textfile collector de node_exporter."""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING

from annexes_ccxt_fr.bilans import ecrire_compte_rendu
from annexes_ccxt_fr.configuration import lire_texte_utf8
from module_ccxt_fr_v2 import (
    CODE_ECHEC,
    CODE_SUCCES,
    RAISONS,
    ErreurDemande,
    ErreurSortie,
    Verrou,
    journal,
    maintenant_ms,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from annexes_ccxt_fr.lot import BilanLot, BilanTache

# Ajouter une métrique : une ligne ici, une dans `_mesures`. Des jauges : chaque exécution remplace la précédente.
METRIQUES = {
    "dernier_succes_timestamp_seconds": "fin de la dernière exécution au code 0",
    "execution_timestamp_seconds": "fin de la dernière exécution",
    "code": "code de sortie de la dernière exécution",
    "duree_seconds": "durée de la dernière exécution",
    "derniere_ligne_timestamp_seconds": "horodatage de la dernière ligne",
    "age_derniere_ligne_seconds": "âge de la dernière ligne à la fin de l'exécution",
    "lignes": "lignes de la dernière exécution, par genre",
    "trous": "trous de l'intervalle demandé, par raison",
    "requetes": "requêtes de la dernière exécution",
    "essais": "nouveaux essais de la dernière exécution",
    "reconnexions": "reconnexions d'un flux pendant la dernière exécution",
}


_ECHANTILLON = re.compile(r'ccxt_fr_(\w+)\{lot="((?:[^"\\]|\\.)*)",tache="((?:[^"\\]|\\.)*)".*')


def rediger_metriques(bilan: BilanLot, anciennes: str = "") -> str:
    """Le texte Prometheus d'un lot ; garde d'`anciennes` les tâches non exécutées cette fois, et les succès passés."""
    finies = {tache.nom for tache in bilan.taches if tache.code is not None}
    lot = _echapper(bilan.lot)
    par_metrique: dict[str, list[str]] = {nom: [] for nom in METRIQUES}
    succes = {tache.nom for tache in bilan.taches if tache.code == CODE_SUCCES}
    for ligne in anciennes.splitlines():
        trouve = _ECHANTILLON.fullmatch(ligne)
        if trouve is None or trouve[1] not in par_metrique:
            continue
        if trouve[2] != lot:  # un autre lot écrit dans le même fichier
            par_metrique[trouve[1]].append(ligne)
            continue
        remplacees = succes if trouve[1] == "dernier_succes_timestamp_seconds" else finies
        if trouve[3] in {_echapper(nom) for nom in bilan.noms if nom not in remplacees}:
            par_metrique[trouve[1]].append(ligne)
    for tache in bilan.taches:
        fin_ms = tache.fin_ms or maintenant_ms()
        for metrique, suite, valeur in _mesures(tache, fin_ms) if tache.nom in finies else ():
            etiquettes = f'lot="{lot}",tache="{_echapper(tache.nom)}"{suite}'
            par_metrique[metrique].append(f"ccxt_fr_{metrique}{{{etiquettes}}} {valeur:.15g}")
    blocs = ((f"# HELP ccxt_fr_{n} {METRIQUES[n]}", f"# TYPE ccxt_fr_{n} gauge", *sorted(lignes))
             for n, lignes in par_metrique.items() if lignes)  # fmt: skip
    return "".join(f"{ligne}\n" for bloc in blocs for ligne in bloc)


def _mesures(tache: BilanTache, fin_ms: int) -> Iterator[tuple[str, str, float]]:
    """(métrique, étiquettes de plus, valeur) d'une tâche finie."""
    bilan, derniere = tache.bilan, tache.derniere_ms
    yield "execution_timestamp_seconds", "", fin_ms / 1000
    if tache.code == CODE_SUCCES:
        yield "dernier_succes_timestamp_seconds", "", fin_ms / 1000
    yield "code", "", float(tache.code or 0)
    yield "duree_seconds", "", bilan.duree_s
    if derniere is not None:
        yield "derniere_ligne_timestamp_seconds", "", derniere / 1000
        yield "age_derniere_ligne_seconds", "", (fin_ms - derniere) / 1000
    for genre in ("recues", "nouvelles", "revisees"):
        yield "lignes", f',genre="{genre}"', bilan.total(f"lignes_{genre}")
    for raison in RAISONS:
        yield "trous", f',raison="{raison}"', sum(t.raison == raison for s in bilan.series for t in s.trous)
    yield "requetes", "", bilan.requetes
    yield "essais", "", bilan.essais
    yield "reconnexions", "", tache.reconnexions


def _echapper(texte: str) -> str:
    """Une valeur d'étiquette Prometheus."""
    return texte.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


ATTENTE_METRIQUES_S = 10.0


def ecrire_metriques(chemin: Path, bilan: BilanLot) -> int:
    """Écrit les métriques, d'un coup : un collecteur ne les lit jamais à moitié ; rend le code de sortie."""
    verrou, anciennes = Verrou(chemin), ""
    try:
        verrou.prendre(
            ATTENTE_METRIQUES_S
        )  # deux lots peuvent écrire le même fichier : chacun garde ce qu'y dit l'autre
    except ErreurSortie as refus:
        journal.error("%s", refus.complet())
        return bilan.code or CODE_ECHEC
    try:
        with contextlib.suppress(ErreurDemande):
            anciennes = lire_texte_utf8(chemin)
        return ecrire_compte_rendu(chemin, rediger_metriques(bilan, anciennes), bilan)
    finally:
        verrou.rendre()
