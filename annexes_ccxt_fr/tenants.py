"""Nommer les programmes qui tiennent un fichier : une base SQLite qu'un autre lit, ou écrit, ne le dit pas."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


def dire(chemin: Path) -> str:
    """Qui a ouvert ce fichier, si /proc le dit ; il n'y a pas de lecture à moitié faite qui ne le soit."""
    pids = []
    for dossier in Path("/proc").glob("[0-9]*/fd"):
        with contextlib.suppress(OSError):  # fini entre-temps, ou d'un autre utilisateur
            if any(_mene_a(lien, chemin) for lien in dossier.iterdir()):
                pids.append(int(dossier.parent.name))
    autres = ", ".join(str(pid) for pid in sorted(pids) if pid != os.getpid())
    return f"le processus {autres}" if autres else "une autre connexion"


def _mene_a(lien: Path, chemin: Path) -> bool:
    with contextlib.suppress(OSError):  # fermé entre-temps
        return lien.samefile(chemin)
    return False
