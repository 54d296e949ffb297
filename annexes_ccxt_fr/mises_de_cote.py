"""Continuer sans une sortie illisible, ou qu'un autre a ôtée : mise de côté, il n'en reste que ce qui est reçu à part.

Le module n'y vient que pour une sortie ou un journal qui ne se lisent plus, ou qui ne sont plus là où il les a mis.
"""

from __future__ import annotations

import collections
import contextlib
import datetime as dt
import itertools
import json
from typing import TYPE_CHECKING, BinaryIO

from module_ccxt_fr_v2 import EPOQUE, SortieIllisible, disque, ecrire_atomique, en_lisant, journal, maintenant_ms

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from module_ccxt_fr_v2 import JournalDeReprise, SortieFichier


def nom_de_cote(chemin: Path, motif: str) -> Path:
    """Un nom libre, daté, à côté de celui-ci."""
    date = (EPOQUE + dt.timedelta(milliseconds=maintenant_ms())).strftime("%Y%m%dT%H%M%SZ")
    suffixes = (f".{motif}-{date}{f'-{n}' if n else ''}" for n in itertools.count())
    return next(c for s in suffixes if not (c := chemin.with_name(chemin.name + s)).exists())


def mettre_de_cote(
    chemin: Path, *voisins: Path, avant: Sequence[Path] = (), motif: str = "corrompu", constat: str = ""
) -> None:
    """Renomme un fichier en `<nom>.<motif>-<date>`, et dit pourquoi ; ses voisins le suivent, ou le précèdent."""
    cible = nom_de_cote(chemin, motif)
    suffixe = cible.name.removeprefix(chemin.name)
    with disque("Mettre de côté", chemin):
        for fichier in (*avant, chemin, *voisins):
            if fichier.exists():
                fichier.rename(fichier.with_name(fichier.name + suffixe))
    constat = constat or f"« {chemin} » est illisible"
    journal.warning("%s : mis de côté sous « %s », rien n'en est perdu.", constat, cible.name)


def ecarter(sortie: SortieFichier, refus: SortieIllisible | None) -> None:
    """Met de côté un fichier illisible, sa fiche avec lui ; le journal reste, et la sortie en repart."""
    if sortie.bout is not None:
        sortie.bout.fermer()
    sa_fiche = [sortie.feuille.chemin] if sortie.feuille.a_part else []
    mettre_de_cote(sortie.chemin, *sa_fiche, constat=str(refus or ""))
    repartir_du_journal(sortie)


def repartir_du_journal(sortie: SortieFichier) -> None:
    """Sans son fichier, une sortie ne tient plus que ce qui est reçu à part."""
    sortie.presente = sortie.tableau.entrelace = sortie.tableau.a_jour = False
    sortie.fiches = {}
    desarmer_le_sien(sortie)
    for note in sortie.notes():
        sortie.apprendre(note)
    sortie.recompter(dire=False)
    if sortie.bout is not None:
        sortie.bout.fermer()
        sortie.bout.fins = {}
        sortie.bout.retenir(sortie.reprise.flot())


def renoncer_aux_lignes_parties(sortie: SortieFichier) -> None:
    """Le journal suppose au fichier des lignes qu'on en a ôtées : il n'en prouve plus rien."""
    desarmer(sortie.reprise)
    if sortie.existe():
        journal.warning("« %s » : des lignes reçues n'y sont plus, elles seront redemandées.", sortie.chemin)
        sortie.ecrire_fiche()


def desarmer_le_sien(sortie: SortieFichier) -> None:
    """Des lignes ne sont plus au fichier : son journal, fût-ce pour une reprise, ne les suppose plus."""
    with contextlib.suppress(SortieIllisible), en_lisant(sortie.nom_journal):
        desarmer(sortie.reprise)


def desarmer(reprise: JournalDeReprise) -> None:
    """Récrit d'un coup les notes d'un journal : celles qui supposent au fichier des lignes de moins se taisent."""

    def recopier(fichier: BinaryIO) -> None:
        for _, note, lignes in reprise.lots():
            dite = json.loads(note)
            if dite.get("fichier"):
                dite["couverts"] = dite["trous"] = []
            fichier.write(reprise.emballer(dite, lignes))

    reprise.fermer()
    if reprise.chemin.exists():
        collections.deque(reprise.reprendre(), maxlen=0)  # ce qui y est abîmé est ôté, et dit, d'abord
        ecrire_atomique(reprise.chemin, recopier)
        collections.deque(reprise.reprendre(), maxlen=0)  # ses lots ont changé de place
