"""Ôter ce que des exécutions tuées ont laissé à côté d'un fichier : son verrou, ou leur âge, prouve qu'elles le sont.

Copié seul, le module le laisse : rien de ce qu'il lit n'en dépend.
"""

from __future__ import annotations

import contextlib
import math
import re
from typing import TYPE_CHECKING

from module_ccxt_fr_v2 import ErreurSortie, SortieIllisible, SortieSqlite, disque, ecrire_atomique, exiger_signature

if TYPE_CHECKING:
    from pathlib import Path

    from module_ccxt_fr_v2 import Sortie


VIVANT_S = 3600.0  # un compte rendu s'écrit en quelques millisecondes


def publier(chemin: Path, octets: bytes) -> None:
    """Remplace d'un coup un fichier qu'aucun verrou ne garde : un compte rendu, une page, des pauses."""
    ecrire_atomique(chemin, lambda fichier: fichier.write(octets))
    with contextlib.suppress(OSError, ErreurSortie):  # un autre les ôte aussi, ou n'en a pas le droit
        oter_les_temporaires(chemin, avant=chemin.stat().st_mtime - VIVANT_S)


def oter_les_restes(sortie: Sortie) -> None:
    """Les fichiers temporaires d'une sortie tenue, et le journal d'annulation d'une base."""
    oter_les_temporaires(sortie.chemin)
    if isinstance(sortie, SortieSqlite):
        with contextlib.suppress(SortieIllisible):  # mise de côté à l'ouverture, où elle sera relue
            _oter_le_journal_d_annulation(sortie)


def oter_les_temporaires(chemin: Path, avant: float = math.inf) -> None:
    """Ceux d'un fichier tenu, ou qui datent d'avant cet instant."""
    motif = re.compile(re.escape(chemin.name) + r"(\.fiche\.json|\.journal)?\.\d+\.tmp(-wal|-shm|-journal)?")
    for voisin in chemin.parent.iterdir():
        if motif.fullmatch(voisin.name) and voisin.stat().st_mtime < avant:
            with disque("Effacer", voisin):
                voisin.unlink()


def _oter_le_journal_d_annulation(sortie: SortieSqlite) -> None:
    """Celui d'une exécution tuée : SQLite n'annule, et n'efface, que s'il en a besoin."""
    if not (sortie.chemin.exists() and sortie.chemin.with_name(f"{sortie.chemin.name}-journal").exists()):
        return
    if sortie.existe():
        exiger_signature(sortie.decrit, sortie.chemin, sortie.type_donnee)
    with sortie.lecteur() as base:
        for mode in ("PERSIST", "DELETE"):  # c'est en quittant l'un pour l'autre qu'il l'efface
            base.execute(f"PRAGMA journal_mode = {mode}")
