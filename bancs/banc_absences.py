"""Vingt mille scénarios de mensonges : tout ce que l'historique affirme est comparé au marché.

python bancs/banc_absences.py [nombre] [première graine]
"""

from __future__ import annotations

import collections
import sys
import time
from pathlib import Path

RACINE = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(RACINE), str(RACINE / "tests" / "outils")]

from mensonges import fautes, tirer  # noqa: E402  le chemin vient d'être posé


def principal(arguments: list[str]) -> int:
    """Joue les graines ; rend 1 si l'une contredit le marché."""
    nombre, premiere = (int(a) for a in [*arguments, *("20000", "0")[len(arguments) :]])
    depart, trouvees = time.monotonic(), collections.Counter[str]()
    for graine in range(premiere, premiere + nombre):
        if dites := fautes(tirer(graine)):
            trouvees[dites[0].split("(")[0]] += 1
            print(f"graine {graine} : {dites[0]}")
    print(f"{nombre} scénarios, {sum(trouvees.values())} contraires au marché, {time.monotonic() - depart:.0f} s")
    return 1 if trouvees else 0


if __name__ == "__main__":
    sys.exit(principal(sys.argv[1:]))
