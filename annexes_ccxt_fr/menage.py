"""Ôter ce que des exécutions tuées ont laissé à côté d'une sortie ; son verrou prouve qu'aucune n'est vivante.

Copié seul, le module le laisse : rien de ce qu'il lit n'en dépend.
"""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING

from module_ccxt_fr_v2 import SortieIllisible, SortieSqlite, disque, exiger_signature

if TYPE_CHECKING:
    from pathlib import Path

    from module_ccxt_fr_v2 import Sortie


def oter_les_restes(sortie: Sortie) -> None:
    """Les fichiers temporaires d'une sortie tenue, et le journal d'annulation d'une base."""
    oter_les_temporaires(sortie.chemin)
    if isinstance(sortie, SortieSqlite):
        with contextlib.suppress(SortieIllisible):  # mise de côté à l'ouverture, où elle sera relue
            _oter_le_journal_d_annulation(sortie)


def oter_les_temporaires(chemin: Path) -> None:
    """Ceux d'un fichier tenu."""
    motif = re.compile(re.escape(chemin.name) + r"(\.fiche\.json|\.journal)?\.\d+\.tmp(-wal|-shm|-journal)?")
    for voisin in chemin.parent.iterdir():
        if motif.fullmatch(voisin.name):
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
