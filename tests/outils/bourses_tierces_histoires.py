"""L'histoire des trades et des relevés d'exchanges tiers, en une déclaration chacun : la demande, la réponse brute.

Comme `bourses_tierces_table` : écrit d'après la classe ccxt de chacun (noms, unités, plafonds), servi en boucle locale
à cette classe non modifiée ; les marchés sont donnés par la configuration, seules les pages passent par le réseau.
"""

from __future__ import annotations

import bisect
import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from bourses_tierces import INSTANT_MAX, Params, RefusError
from bourses_tierces_table import Borne, Protocole, Tierce, dans, iso, ms, s

from bourse_locale.financement import financements, interets
from bourse_locale.pages import derniers_trades, premiers_trades

if TYPE_CHECKING:
    from collections.abc import Callable

    from bourse_locale.financement import Financement, Interet
    from bourse_locale.marche import Instrument, Marche, Trade

HEURE_MS = 3_600_000


@dataclass(frozen=True)
class Histoire(Protocole):
    """Comment un exchange sert une histoire ; le sens des champs est celui d'une page de bougies."""

    donnee: str = "trades"
    forme: Callable[[TierceHistoires, Any], object] = lambda _tierce, _ligne: None
    avant_id: str = ""  # le paramètre qui demande les lignes d'avant un id
    numero: str = ""  # le paramètre qui demande une page par son rang, la plus récente étant la première
    fenetre_max_ms: int = 0  # une fenêtre plus longue est refusée


class TierceHistoires(Tierce):
    """Un exchange de la table."""

    protocole: Histoire

    def __init__(self, nom: str, protocole: Histoire, marche: Marche, instrument: Instrument) -> None:
        super().__init__(nom, protocole, marche, instrument)
        self._tous: list[Trade] = []  # de quoi servir par id

    def repondre(self, chemin: str, params: Params) -> object:
        """Une page."""
        propre = self.protocole
        trouve = re.fullmatch(propre.route, chemin)
        if trouve is None:
            raise RefusError(404, {"message": f"Not Found: {chemin}"})
        valeurs = {**params, **{nom: v for nom, v in trouve.groupdict().items() if v is not None}}
        if propre.symbole and str(valeurs.get(propre.symbole)) != propre.marche_id:
            raise RefusError(400, {"message": "Unknown symbol"})
        self.vues[-1].bougies = True
        page = self._lignes(valeurs)
        return propre.enveloppe([propre.forme(self, ligne) for ligne in (page[::-1] if propre.desc else page)])

    def numero(self, trade: Trade) -> int:
        """Un id qui croît sans se suivre, commun à tous les marchés de l'exchange."""
        return 900 * trade.id + trade.id % 700

    def _lignes(self, valeurs: Params) -> list[Any]:
        propre, maintenant = self.protocole, self.maintenant_ms()
        debut = propre.debut.lire(valeurs) if propre.debut else None
        fin = propre.fin.lire(valeurs) if propre.fin else None
        bas = max(0 if debut is None else debut, self.instrument.cotation_ms)
        haut = min(INSTANT_MAX if fin is None else fin + self._grain(propre.fin), maintenant + 1)
        if propre.fenetre_max_ms and debut is not None and fin is not None and fin - debut > propre.fenetre_max_ms:
            raise RefusError(400, {"message": "The requested range is too large"})
        nombre = min(int(valeurs.get(propre.nombre) or propre.page), propre.page)
        if propre.donnee == "trades":
            return self._trades(valeurs, bas, haut, nombre, tete=propre.garde == "premieres" and debut is not None)
        toutes = self._releves(bas, haut)
        if propre.numero:
            rang = int(valeurs.get(propre.numero, 1))
            return toutes[::-1][nombre * (rang - 1) : nombre * rang][::-1]
        return toutes[:nombre] if propre.garde == "premieres" and debut is not None else toutes[-nombre:]

    @staticmethod
    def _grain(borne: Borne | None) -> int:
        """Ce que tient la dernière unité d'une borne incluse."""
        return 1000 if borne is not None and borne.unite == "s" else 1

    def _trades(self, valeurs: Params, bas: int, haut: int, nombre: int, *, tete: bool) -> list[Trade]:
        if tete:
            return premiers_trades(self.marche, self.instrument, bas, haut, nombre)[:nombre]
        if avant := valeurs.get(self.protocole.avant_id):
            if not self._tous:
                self._tous += self.marche.trades(self.instrument, bas, haut)
            rang = bisect.bisect_left(self._tous, int(avant), key=self.numero)
            return self._tous[max(0, rang - nombre) : rang]
        return derniers_trades(self.marche, self.instrument, bas, haut, nombre)

    def _releves(self, bas: int, haut: int) -> list[Financement] | list[Interet]:
        if self.protocole.donnee == "funding":
            return financements(self.marche, self.instrument, bas, haut)
        return interets(self.marche, self.instrument, HEURE_MS, bas, haut)


def date(instant: int) -> str:
    """Une date ISO 8601, en ms."""
    return datetime.fromtimestamp(instant / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _krakenfutures(tierce: TierceHistoires, t: Trade) -> Params:
    """L'exécution publique : un id au hasard, et qui a pris."""
    taker = {"direction": t.sens.title(), "orderType": "Limit"}
    execution = {"uid": f"{t.id * 0x9E3779B97F4A7C15 % 2**64:016x}", "timestamp": t.ts, "price": tierce.prix(t.prix),
                 "quantity": tierce.quantite(t), "takerOrder": taker}  # fmt: skip
    return {"uid": execution["uid"], "timestamp": t.ts, "event": {"Execution": {"execution": execution}}}


def _gemini(tierce: TierceHistoires, t: Trade) -> Params:
    return {"timestamp": t.ts // 1000, "timestampms": t.ts, "tid": tierce.numero(t), "price": tierce.prix(t.prix),
            "amount": tierce.quantite(t), "exchange": "gemini", "type": t.sens}  # fmt: skip


def _deribit(tierce: TierceHistoires, t: Trade) -> Params:
    return {"trade_seq": t.id, "trade_id": f"AAA-{t.id}", "timestamp": t.ts, "price": float(tierce.prix(t.prix)),
            "instrument_name": "12", "direction": t.sens, "amount": float(tierce.quantite(t))}  # fmt: skip


def _coinbase(tierce: TierceHistoires, t: Trade) -> Params:
    return {"trade_id": str(t.id), "product_id": "12", "price": tierce.prix(t.prix), "size": tierce.quantite(t),
            "time": date(t.ts), "side": t.sens.upper(), "bid": "", "ask": ""}  # fmt: skip


def _cryptocom(tierce: TierceHistoires, t: Trade) -> Params:
    """Un id plus grand que ce qu'un flottant tient."""
    return {"s": t.sens.upper(), "p": tierce.prix(t.prix), "q": tierce.quantite(t), "t": t.ts, "i": "12",
            "d": str(4_611_686_018_427_387_904 + tierce.numero(t))}  # fmt: skip


def _bitvavo(tierce: TierceHistoires, t: Trade) -> Params:
    return {"id": f"{t.id * 0x9E3779B97F4A7C15 % 2**64:016x}", "timestamp": t.ts, "amount": tierce.quantite(t),
            "price": tierce.prix(t.prix), "side": t.sens}  # fmt: skip


def _hitbtc(tierce: TierceHistoires, t: Trade) -> Params:
    return {"id": tierce.numero(t), "price": tierce.prix(t.prix), "qty": tierce.quantite(t), "side": t.sens,
            "timestamp": date(t.ts)}  # fmt: skip


def _bitflyer(tierce: TierceHistoires, t: Trade) -> Params:
    return {"id": tierce.numero(t), "side": t.sens.upper(), "price": float(tierce.prix(t.prix)),
            "size": float(tierce.quantite(t)), "exec_date": date(t.ts)[:-1]}  # fmt: skip


def _gate(tierce: TierceHistoires, t: Trade) -> Params:
    return {
        "id": str(tierce.numero(t)), "create_time": str(t.ts // 1000), "create_time_ms": f"{t.ts}.0", "side": t.sens,
        "currency_pair": "12", "amount": tierce.quantite(t), "price": tierce.prix(t.prix),
    }  # fmt: skip


TRADES: dict[str, Histoire] = {
    "krakenfutures": Histoire(
        r"/api/history/v3/market/(?P<symbol>\w+)/executions", (), dans("elements"), debut=ms("since"),
        fin=ms("before"), nombre="count", page=500, genre="swap.linear", forme=_krakenfutures,
    ),
    "krakenfutures_inverse": Histoire(
        r"/api/history/v3/market/(?P<symbol>\w+)/executions", (), dans("elements"), debut=ms("since"),
        fin=ms("before"), nombre="count", page=500, genre="swap.inverse", forme=_krakenfutures,
    ),
    "gemini": Histoire(
        r"/v1/trades/(?P<symbol>\w+)", (), debut=ms("timestamp"), nombre="limit_trades", page=500, desc=True,
        forme=_gemini,
    ),
    "deribit": Histoire(
        r"/api/v2/public/get_last_trades_by_instrument(_and_time)?", (), dans("result.trades"), nombre="count",
        debut=ms("start_timestamp"), fin=ms("end_timestamp"), symbole="instrument_name", genre="swap.linear",
        forme=_deribit,
    ),
    "coinbase": Histoire(
        r"/api/v3/brokerage/market/products/(?P<symbol>\w+)/ticker", (), dans("trades", best_bid="1", best_ask="2"),
        debut=s("start"), fin=s("end"), nombre="limit", garde="dernieres", desc=True, forme=_coinbase,
    ),
    "cryptocom": Histoire(
        r"/exchange/v1/public/get-trades", (), dans("result.data", code=0), debut=ms("start_ts"), fin=ms("end_ts"),
        nombre="count", symbole="instrument_name", page=150, garde="dernieres", desc=True, forme=_cryptocom,
        fenetre_max_ms=24 * HEURE_MS,
    ),
    "bitvavo": Histoire(
        r"/v2/(?P<symbol>\w+)/trades", (), debut=ms("start"), fin=ms("end"), nombre="limit", garde="dernieres",
        desc=True, forme=_bitvavo, fenetre_max_ms=24 * HEURE_MS,
    ),
    "hitbtc": Histoire(
        r"/api/3/public/trades/(?P<symbol>\w+)", (), debut=ms("from"), fin=ms("till"), nombre="limit",
        garde="dernieres", desc=True, forme=_hitbtc,
    ),
    "bitflyer": Histoire(
        r"/v1/getexecutions", (), symbole="product_code", nombre="count", page=500, garde="dernieres", desc=True,
        avant_id="before", forme=_bitflyer,
    ),
    "gate": Histoire(
        r"/api/v4/spot/trades", (), debut=s("from"), fin=s("to"), nombre="limit", symbole="currency_pair",
        garde="dernieres", desc=True, forme=_gate,
    ),
}  # fmt: skip


def _taux(f: Financement) -> str:
    return format(f.taux / 10**8, ".8f")


def _champs(
    instant: str, taux: str, unite: int | None = 1, **autres: object
) -> Callable[[TierceHistoires, Financement], Params]:
    """Un règlement : le nom de son instant (en ms divisées par `unite` ; None : une date), celui de son taux."""

    def rediger(_tierce: TierceHistoires, f: Financement) -> Params:
        return {instant: f.ts // unite if unite else date(f.ts), taux: _taux(f), **autres}

    return rediger


def _par_symbole(lignes: list[Any]) -> object:
    return {"12": lignes}


FUNDINGS: dict[str, Histoire] = {
    "gate": Histoire(
        r"/api/v4/futures/\w+/funding_rate", (), debut=s("from"), fin=s("to"), nombre="limit", symbole="contract",
        garde="dernieres", desc=True, forme=_champs("t", "r", 1000),
    ),
    "kucoin": Histoire(
        r"/api/v1/contract/funding-rates", (), dans("data", code="200000"), debut=ms("from"), fin=ms("to"), page=100,
        garde="dernieres", desc=True, forme=_champs("timepoint", "fundingRate", symbol="12"),
    ),
    "mexc": Histoire(
        r"/api/v1/contract/funding_rate/history", (), dans("data.resultList", success=True, code=0),
        nombre="page_size", numero="page_num", page=100, desc=True,
        forme=_champs("settleTime", "fundingRate", symbol="12"),
    ),
    "htx_inverse": Histoire(
        r"/swap-api/v1/swap_historical_funding_rate", (), lambda lignes: {
            "status": "ok", "data": {"current_page": 1, "data": lignes}},
        nombre="page_size", numero="page_index", page=50, desc=True, symbole="contract_code", genre="swap.inverse",
        forme=_champs("funding_time", "funding_rate", contract_code="12"),
    ),
    "htx": Histoire(
        r"/v5/market/funding_rate_history", (), dans("data", code=200), debut=ms("start_time"), nombre="limit",
        page=100, symbole="contract_code", forme=_champs("funding_time", "funding_rate", contract_code="12"),
    ),
    "krakenfutures": Histoire(
        r"/derivatives/api/v4/historicalfundingrates", (), dans("rates", result="success"), page=100_000,
        forme=_champs("timestamp", "relativeFundingRate", None, fundingRate="0.1"),
    ),
    "deribit": Histoire(
        r"/api/v2/public/get_funding_rate_history", (), dans("result"), debut=ms("start_timestamp"),
        fin=ms("end_timestamp"), page=744, garde="dernieres", symbole="instrument_name",
        forme=_champs("timestamp", "interest_8h", interest_1h="0.1"),
    ),
    "hyperliquid": Histoire(
        r"/info", (), debut=ms("startTime"), fin=ms("endTime"), page=500, symbole="coin", marche_id="AAA",
        marche={"baseName": "AAA"}, forme=_champs("time", "fundingRate", coin="AAA", premium="0.1"),
    ),
    "bingx": Histoire(
        r"/openApi/swap/v2/quote/fundingRate", (), dans("data", code=0), debut=ms("startTime"), fin=ms("endTime"),
        nombre="limit", garde="dernieres", desc=True, forme=_champs("fundingTime", "fundingRate", symbol="12"),
    ),
    "phemex": Histoire(
        r"/(v1/)?api-data/public/data/funding-rate-history", (), dans("data.rows", code=0, msg="OK"),
        debut=ms("start"), fin=ms("end"), nombre="limit", page=100, marche_id=".AAAFR8H",
        forme=_champs("fundingTime", "fundingRate", symbol=".AAAFR8H"),
    ),
    "whitebit": Histoire(
        r"/api/v4/public/funding-history/(?P<symbol>\w+)", (), debut=s("startDate"), fin=s("endDate"), nombre="limit",
        page=100, garde="dernieres", desc=True, forme=_champs("fundingTime", "fundingRate", 1000, market="12"),
    ),
    "cryptocom": Histoire(
        r"/exchange/v1/public/get-valuations", (), dans("result.data", code=0), debut=ms("start_ts"),
        fin=ms("end_ts"), nombre="count", symbole="instrument_name", page=50, garde="dernieres", desc=True,
        forme=_champs("t", "v"),
    ),
    "woo": Histoire(
        r"/v3/public/fundingRateHistory", (), dans("data.rows", success=True), debut=ms("startTime"),
        fin=ms("endTime"), page=25, garde="dernieres", desc=True,
        forme=_champs("fundingRateTimestamp", "fundingRate", symbol="12"),
    ),
    "dydx": Histoire(
        r"/v4/historicalFunding/(?P<symbol>\w+)", (), dans("historicalFunding"), fin=iso("effectiveBeforeOrAt"),
        nombre="limit", page=100, garde="dernieres", desc=True, forme=_champs("effectiveAt", "rate", None, ticker="12"),
    ),
    "paradex": Histoire(
        r"/v1/funding/data", (), dans("results"), debut=ms("start_at"), fin=ms("end_at"), nombre="page_size",
        page=5000, symbole="market", garde="dernieres", desc=True, forme=_champs("created_at", "funding_rate"),
    ),
    "hitbtc": Histoire(
        r"/api/3/public/futures/history/funding", (), _par_symbole, debut=ms("from"), fin=iso("till"),
        nombre="limit", symbole="symbols", garde="dernieres", desc=True, page=100,  # mille, pour en lire plusieurs
        forme=_champs("timestamp", "funding_rate", None),
    ),
}  # fmt: skip


def _gate_interet(tierce: TierceHistoires, i: Interet) -> Params:
    return {"time": i.ts // 1000, "open_interest": i.lots, "open_interest_usd": float(tierce.prix(i.prix))}


def _kucoin_interet(_tierce: TierceHistoires, i: Interet) -> Params:
    return {"symbol": "12", "openInterest": str(i.lots), "ts": i.ts}


def _htx_interet(tierce: TierceHistoires, i: Interet) -> Params:
    return {"volume": str(i.lots), "value": float(tierce.prix(i.prix)), "amount_type": 2, "ts": i.ts}


INTERETS: dict[str, Histoire] = {
    "gate": Histoire(
        r"/api/v4/futures/\w+/contract_stats", (), debut=s("from"), nombre="limit", symbole="contract", page=100,
        forme=_gate_interet,
    ),
    "kucoin": Histoire(
        r"/api/ua/v1/market/open-interest", (), dans("data", code="200000"), debut=ms("startAt"), fin=ms("endAt"),
        nombre="pageSize", page=200, garde="dernieres", desc=True, forme=_kucoin_interet,
    ),
    "htx": Histoire(
        r"/linear-swap-api/v1/swap_his_open_interest", (), dans("data.tick", status="ok"), nombre="size", page=200,
        symbole="contract_code", desc=True, forme=_htx_interet,
    ),
}  # fmt: skip
for _nom, _histoire in FUNDINGS.items():
    FUNDINGS[_nom] = replace(_histoire, donnee="funding", genre="swap.inverse" if "_" in _nom else "swap.linear")
for _nom, _histoire in INTERETS.items():
    INTERETS[_nom] = replace(_histoire, donnee="open_interest", genre="swap.linear")
