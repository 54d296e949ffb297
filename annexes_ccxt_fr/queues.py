"""Lire en une passe les dernières lignes de beaucoup de séries, que la relecture d'une reprise va comparer.

Une à une, les deux dernières bougies de deux cents séries font lire deux cents groupes entiers d'un fichier. Le module
s'en passe quand il est copié seul.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from module_ccxt_fr_v2 import INSTANT_MAX_MS, Borne, SortieFichier, SortieIllisible, borne_de, position_de

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import pyarrow as pa

    from module_ccxt_fr_v2 import Ecrivain, Serie
else:
    from module_ccxt_fr_v2 import pa


def garder_les_dernieres(sortie: Ecrivain, series: Sequence[Serie], nombre: int) -> None:
    """Les `nombre` dernières lignes prouvées de chaque série."""
    connues = [(serie, sortie.fiches[serie.cle]) for serie in series if serie.cle in sortie.fiches]
    garder(sortie, {
        fiche.cle.symbole: fiche.couverts[-1][1] - nombre * serie.timeframe.pas_ms
        for serie, fiche in connues
        if fiche.couverts
    })  # fmt: skip


def garder(sortie: object, depuis: Mapping[str, int]) -> None:
    """Les lignes de chaque symbole à partir d'un instant : un fichier les rendra, tant qu'il reste dans cet état."""
    if not isinstance(sortie, SortieFichier):
        return
    defilement = _Defilement(sortie.tableau.lots)
    with contextlib.suppress(SortieIllisible):  # qui lira ces lignes le dira
        gardees = {
            symbole: (instant, defilement.lire((symbole, instant), (symbole, INSTANT_MAX_MS)))
            for symbole, instant in sorted(depuis.items())
        }
        sortie.tableau.queues = gardees, sortie.feuille.empreinte()


class _Defilement:
    """Un flot trié, lu à des bornes croissantes ; `ouvrir(borne)` le reprend plus loin, sans lire ce qui précède."""

    def __init__(self, ouvrir: Callable[[Borne], Iterator[pa.Table]]) -> None:
        self._ouvrir = ouvrir
        self._flot: Iterator[pa.Table] = iter(())
        self._table: pa.Table | None = None

    def lire(self, debut: Borne, fin: Borne) -> list[pa.Table]:
        """Des copies des lignes de [debut, fin[ : une tranche garderait toute sa table."""
        if self._table is None or not self._table.num_rows or borne_de(self._table, -1) < debut:
            self._flot = self._ouvrir(debut)
            self._table = next(self._flot, None)
        morceaux: list[pa.Table] = []
        while self._table is not None:
            gauche, droite = position_de(self._table, debut), position_de(self._table, fin)
            morceaux.append(self._table.take(pa.array(range(gauche, droite), pa.int64())))
            if droite < self._table.num_rows:
                break
            self._table = next(self._flot, None)
        return morceaux
