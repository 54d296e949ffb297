"""Ce que les bancs partagent : le tableau des résultats, une section par banc dans RESULTATS.md."""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path
from typing import NamedTuple

RESULTATS = Path(__file__).parent / "RESULTATS.md"
TITRE = "# Résultats des bancs\n"


class Mesure(NamedTuple):
    """Une ligne du tableau ; `perte` : une donnée a manqué, ou fut doublée."""

    quoi: str
    obtenu: str
    vise: str
    perte: bool = False


def tableau(mesures: list[Mesure]) -> str:
    """Les mesures en tableau Markdown."""
    lignes = [f"| {m.quoi} | {m.obtenu}{' **PERTE**' if m.perte else ''} | {m.vise} |" for m in mesures]
    return "\n".join(["| mesure | obtenu | visé |", "|---|---|---|", *lignes, ""])


def publier(banc: str, corps: str) -> None:
    """Met la section de ce banc dans RESULTATS.md, à la place de la précédente ; les autres restent."""
    ancien = RESULTATS.read_text(encoding="utf-8") if RESULTATS.exists() else TITRE
    sections = dict(re.findall(r"^## (\S+)\n(.*?)(?=^## |\Z)", ancien, flags=re.MULTILINE | re.DOTALL))
    machine = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cœurs, Python {platform.python_version()}"
    sections[banc] = f"\n`python bancs/{banc}`, {machine}.\n{corps.rstrip()}\n\n"
    textes = [f"## {nom}\n{sections[nom]}" for nom in sorted(sections, reverse=True)]
    RESULTATS.write_text("\n".join([TITRE, "".join(textes)]).rstrip() + "\n", encoding="utf-8")
