"""Redemander d'un trait des manques qui se suivent de près.

D'un marché rare dont la fiche est perdue, les lignes écrites ne prouvent qu'elles : chaque minute sans transaction
serait une demande, et sa preuve deux autres. Copié seul, le module les fait.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from module_ccxt_fr_v2 import Intervalle, Pages

EPARS = 8  # d'une page : moins, chacun se demande seul, et rien de ce qui est su n'est redit


def d_une_histoire(manques: Sequence[Intervalle], pages: Pages) -> list[Intervalle]:
    """Ceux d'une série de bougies.

    Le premier seul : rien de su ne le précède peut-être, et un vide y serait la fin de ce que l'exchange garde.
    """
    proche = pages.capacite(pages.timeframe) // EPARS
    return [*manques[:1], *rapprocher(manques[1:], pages.timeframe.compter, proche)]


def rapprocher(
    manques: Sequence[Intervalle], ecart: Callable[[int, int], int], proche: int, *, nombreux: int = EPARS
) -> list[Intervalle]:
    """Ces intervalles ; ceux qui sont `nombreux` à se suivre de près, en un seul.

    `ecart` compte les bougies sues d'entre deux, redemandées au passage.
    """
    grappes: list[list[Intervalle]] = []
    for manque in manques:
        if grappes and ecart(grappes[-1][-1][1], manque[0]) <= proche:
            grappes[-1].append(manque)
        else:
            grappes.append([manque])
    reunies = ([(g[0][0], g[-1][1])] if len(g) >= nombreux else g for g in grappes)
    return list(itertools.chain.from_iterable(reunies))
