"""Des trades déjà là, en tables ou un à un, aux bougies : l'agrégateur des flux, en une passe et en mémoire bornée."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any

from module_ccxt_fr_v2 import (
    HEURE_MS,
    INSTANT_MAX_MS,
    Agregateur,
    ErreurDemande,
    Timeframe,
    Trade,
    constante,
    en_colonnes,
    en_iso,
    journal,
    mesure_en_base,
    nombre_de,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from decimal import Decimal

    import pyarrow as pa
    import pyarrow.compute as pc

    from module_ccxt_fr_v2 import BougieTrades
else:
    from module_ccxt_fr_v2 import pa, pc

TRADES_PAR_LOT = 65_536


def agreger_trades(
    trades: pa.Table | pa.RecordBatch | Iterable[pa.Table | pa.RecordBatch | Trade],
    timeframes: str | Timeframe | Iterable[str | Timeframe],
    *,
    bougies_vides: str = "omettre",
    taille_contrat: float | None = None,
    inverse: bool = False,
    entieres: bool = True,
) -> dict[str, pa.Table]:
    """Les bougies de ces trades (une seule série), par timeframe : timestamp (ms), open, high, low, close, volume.

    `timeframes` : un seul, ou plusieurs. Une passe, en mémoire bornée : des trades, seuls le lot en main et les ids
    récents sont gardés. `entieres` écarte la première bougie, peut-être entamée, et la dernière, peut-être en cours.
    Un désordre de plus d'une heure d'un morceau au suivant (dans une table, aucun ne compte) est une ErreurDemande.
    """
    volume = mesure_en_base(taille_contrat, inverse)
    if isinstance(timeframes, str | Timeframe):  # un texte est aussi une suite de lettres
        timeframes = [timeframes]
    try:
        grilles = [grille if isinstance(grille, Timeframe) else Timeframe.lire(grille) for grille in timeframes]
    except ValueError as erreur:
        raise ErreurDemande(str(erreur)) from None
    recoltes = {grille.code: _Recolte(grille, bougies_vides, volume) for grille in grilles}
    for lot in _lots_de_trades(trades):
        for recolte in recoltes.values():
            recolte.prendre(lot)
    return {code: recolte.table(entieres) for code, recolte in recoltes.items()}


class _Recolte:
    """Les bougies d'un timeframe ; les définitives passent en Arrow à mesure."""

    def __init__(self, timeframe: Timeframe, bougies_vides: str, volume: Callable[[Trade], Decimal]) -> None:
        self._agregateur = Agregateur(timeframe, grace_ms=HEURE_MS, bougies_vides=bougies_vides, volume=volume)
        self._bougies: dict[int, BougieTrades] = {}
        self._tables: list[pa.Table] = []

    def prendre(self, lot: Iterable[Trade]) -> None:
        """Agrège un lot de trades ; ErreurDemande si l'un vient trop tard pour sa bougie."""
        self._bougies.update((bougie.timestamp, bougie) for bougie in self._agregateur.ajouter(lot))
        if self._agregateur.perdus:
            tardif = self._agregateur.derniers_perdus[0]
            raise ErreurDemande(
                f"trades en désordre : celui de {en_iso(tardif.timestamp)} vient plus d'une heure après sa bougie",
                "Rangez les morceaux par instant",
            )
        if len(self._bougies) >= TRADES_PAR_LOT:
            self._mettre_en_table(self._agregateur.fin_prouvee)

    def table(self, entieres: bool) -> pa.Table:
        """Tout ce qui fut récolté."""
        if (en_cours := self._agregateur.en_cours) and not entieres:
            self._bougies[en_cours.timestamp] = en_cours
        if self._agregateur.impossibles:
            ecartes = nombre_de(self._agregateur.impossibles, "trade impossible")
            journal.warning("%s (prix ou quantité), à l'écart", ecartes)
        self._mettre_en_table(INSTANT_MAX_MS)
        return pa.concat_tables(self._tables).slice(int(entieres))

    def _mettre_en_table(self, fin_ms: int) -> None:
        pretes = sorted(instant for instant in self._bougies if instant < fin_ms)
        self._tables.append(en_colonnes([self._bougies.pop(instant) for instant in pretes]))


def _lots_de_trades(trades: pa.Table | pa.RecordBatch | Iterable[Any]) -> Iterator[list[Trade]]:
    """Les trades par lots, rangés par instant dans chaque morceau ; ErreurDemande si plusieurs séries s'y mêlent."""
    series: set[tuple[tuple[str, Any], ...]] = set()
    morceaux = [trades] if isinstance(trades, (pa.Table, pa.RecordBatch)) else trades
    for sont_nus, suite in itertools.groupby(morceaux, key=lambda morceau: isinstance(morceau, Trade)):
        if sont_nus:
            while lot := list(itertools.islice(suite, TRADES_PAR_LOT)):
                yield sorted(lot, key=lambda trade: trade.timestamp)
            continue
        for morceau in suite:
            table = morceau if isinstance(morceau, pa.Table) else pa.Table.from_batches([morceau])
            series |= {tuple(serie.items()) for serie in _series_de(table)}
            if len(series) > 1:
                raise _series_melees([dict(serie) for serie in series])
            yield from _lots_de_table(table)


def _series_melees(series: Sequence[Mapping[str, Any]]) -> ErreurDemande:
    """Un contrat n'a pas la taille d'un autre : une série à la fois, et voici comment l'obtenir."""
    for colonne in ("symbole", "exchange"):
        valeurs = sorted({str(serie.get(colonne, "")) for serie in series})
        if len(valeurs) > 1:
            break
    exemple = f'trades.filter(pyarrow.compute.field("{colonne}") == "{valeurs[-1]}")'
    return ErreurDemande(
        f"plusieurs séries de trades mêlées : la colonne « {colonne} » tient {', '.join(valeurs)}",
        f"Une série à la fois : {exemple}",
    )


def _series_de(table: pa.Table) -> list[dict[str, Any]]:
    noms = [nom for nom in ("exchange", "symbole") if nom in table.schema.names]
    return list(table.select(noms).group_by(noms).aggregate([]).to_pylist()) if noms else []


def _lots_de_table(table: pa.Table) -> Iterator[list[Trade]]:
    natures = (pa.timestamp("ms", tz="UTC"), pa.string(), pa.string(), pa.float64(), pa.float64())
    noms = list(Trade._fields[: len(natures)])  # le coût et la réception ne font pas de bougies
    if absentes := [nom for nom in noms if nom not in table.schema.names]:
        raise ErreurDemande(f"table de trades sans colonne {', '.join(absentes)}")
    colonnes = [table[nom].cast(nature, safe=False) for nom, nature in zip(noms, natures, strict=True)]
    if colonnes[0].null_count:
        raise ErreurDemande(f"{colonnes[0].null_count} trades sans instant")
    nombres = [pc.fill_null(colonne, constante(math.nan)) for colonne in colonnes[3:]]
    lignes = pa.table([colonnes[0].cast(pa.int64()), *colonnes[1:3], *nombres], names=noms)
    if not pc.all(pc.less_equal(lignes["timestamp"][:-1], lignes["timestamp"][1:])).as_py():
        lignes = lignes.sort_by("timestamp")
    for debut in range(0, lignes.num_rows, TRADES_PAR_LOT):
        lot = lignes.slice(debut, TRADES_PAR_LOT)
        yield list(itertools.starmap(Trade, zip(*(colonne.to_pylist() for colonne in lot.columns), strict=True)))
