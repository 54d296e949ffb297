"""Reporter la clôture d'une bougie sur les minutes sans trade qui la suivent : `--bougies-vides reporter`.

Le module n'y vient que si on le demande : d'office, une minute sans trade n'est pas une bougie.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from module_ccxt_fr_v2 import (
    OHLCV,
    SANS_TRANSACTION,
    BougieTrades,
    ErreurDemande,
    Fiche,
    Lot,
    Timeframe,
    Trou,
    en_colonnes,
    en_iso,
    habiller,
    instants_de,
    intervalles_de,
    journal,
    trier,
)

if TYPE_CHECKING:
    import pyarrow as pa
else:
    from module_ccxt_fr_v2 import pa

CLOTURES_GARDEES = 1500

Suites: TypeAlias = Callable[[Any, int, int, Timeframe], Iterator[BougieTrades]]


def suites(bougies_vides: str) -> Suites:
    """Ce qui rend les bougies sans trade qui suivent une bougie close ; ErreurDemande d'un mot inconnu."""
    if bougies_vides != "reporter":
        raise ErreurDemande(f"bougies_vides : « omettre » ou « reporter », pas « {bougies_vides} »")
    return _suites


def _suites(bougie: Any, limite: int, avant: int, timeframe: Timeframe) -> Iterator[BougieTrades]:
    """Celles d'entre cette bougie et la limite : les nouvelles, ou toutes si sa clôture a changé.

    Celles d'avant `avant`, déjà rendues, sont des révisions.
    """
    prix = bougie.dernier.price
    depuis = max(bougie.fin, avant) if bougie.reportee == prix else bougie.fin
    bougie.reportee = prix
    for plate in plates(depuis, limite, prix, timeframe):
        yield plate._replace(revision=plate.timestamp < avant)


def plates(debut: int, fin: int, prix: float, timeframe: Timeframe) -> Iterator[BougieTrades]:
    """Des minutes sans trade, de [debut, fin[, à la clôture de celle d'avant : ce que « reporter » veut dire."""
    while debut < fin:
        yield BougieTrades(debut, prix, prix, prix, prix, 0.0)
        debut = timeframe.avancer(debut, 1)


def reporter_les_vides(lot: Lot, timeframe: Timeframe, clotures: Mapping[int, float]) -> Lot:
    """Le lot dont les trous sans transaction sont devenus des bougies plates, à la clôture d'avant.

    `clotures` : ouverture -> clôture de bougies d'avant le lot. Sans celle qui précède un vide, il reste un trou.
    """
    connues = {**clotures, **dict(zip(instants_de(lot.lignes), lot.lignes["close"].to_pylist(), strict=True))}
    reportees: list[BougieTrades] = []
    restes: list[Trou] = []
    for trou in lot.trous:
        prix = connues.get(timeframe.avancer(trou.debut, -1))
        if trou.raison != SANS_TRANSACTION or prix is None:
            restes.append(trou)
            continue
        ajoutees = list(plates(trou.debut, trou.fin, prix, timeframe))
        connues |= dict.fromkeys((plate.timestamp for plate in ajoutees), prix)
        reportees += ajoutees
    ajout = habiller(lot.cle, en_colonnes([plate[:6] for plate in reportees]))
    lignes = trier(pa.concat_tables([lot.lignes, ajout]), OHLCV) if reportees else lot.lignes
    return lot._replace(lignes=lignes, trous=restes)


class Report:
    """Ce que reporte un flux : la clôture des dernières bougies qu'il a rendues, faites de ses trades ou relues."""

    def __init__(self, fiche: Fiche) -> None:
        self._clotures: dict[int, float] = {}
        if vides := intervalles_de(fiche.trous, SANS_TRANSACTION):
            journal.info(
                "%s : déjà inscrites sans trade, les minutes d'avant %s ne seront reportées que si elles sont relues ; "
                "--donnee trades --trades-vers-ohlcv --bougies-vides reporter les reprend toutes.",
                fiche.cle, en_iso(vides[-1][1]),
            )  # fmt: skip

    def retenir(self, lot: Lot) -> None:
        """Ces bougies sont rendues : une minute vide qui les suit est à leur clôture."""
        self._clotures.update(zip(instants_de(lot.lignes), lot.lignes["close"].to_pylist(), strict=True))
        for instant in sorted(self._clotures)[:-CLOTURES_GARDEES]:
            del self._clotures[instant]

    def reporter(self, lot: Lot, timeframe: Timeframe) -> Lot:
        """Le lot relu, ses minutes vides devenues des bougies plates, et retenu."""
        lot = reporter_les_vides(lot, timeframe, self._clotures)
        self.retenir(lot)
        return lot
