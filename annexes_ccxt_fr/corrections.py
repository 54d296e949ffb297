"""Ce que quelques classes de ccxt lisent de travers, méthode par méthode : une classe à mettre devant la leur.

Le module ne s'en passe pas : sans elle, des lignes de ces exchanges seraient fausses.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from module_ccxt_fr_v2 import HEURE_MS, Timeframe, en_iso

if TYPE_CHECKING:
    from collections.abc import Mapping


def fichier_bitbank(instant_ms: int, timeframe: Timeframe) -> int:
    """Fin du fichier de bitbank qui tient un instant : un par jour en dessous de 4h, par an au-delà."""
    return Timeframe.lire("1y" if timeframe.pas_ms >= 4 * HEURE_MS else "1d").avancer(instant_ms, 1)


class Bitbank:
    """La classe ne demande qu'un fichier, et toujours celui d'un jour."""

    async def bougies_ou_rien(
        self, symbole: str, code: str, debut: int, nombre: int | None, params: Mapping[str, Any]
    ) -> list[Any]:
        """Deux fichiers au plus, et la fenêtre seule."""
        suivant, fin = fichier_bitbank(debut, Timeframe.lire(code)), params["until"]
        page = []
        for depuis in (debut, suivant) if suivant <= fin else (debut,):
            fichier = {"yyyymmdd": en_iso(depuis)[:4]} if Timeframe.lire(code).pas_ms >= 4 * HEURE_MS else {}
            page += await super().bougies_ou_rien(  # type: ignore[misc]  # la classe ccxt est dessous
                symbole, code, depuis, nombre, {**params, **fichier}
            )
        return [b for b in page if b and (type(b[0]) is not int or debut <= b[0] <= fin)]


class Ndax:
    """[fin, haut, bas, ouverture, clôture, volume, …, début] : ccxt date une bougie de sa fin."""

    @staticmethod
    def parse_ohlcv(ligne: Any, _market: Any = None) -> list[Any]:
        """Une bougie."""
        return [ligne[9] if len(ligne) > 9 else None, ligne[3], ligne[1], ligne[2], ligne[4], ligne[5]]


class Onetrading:
    """Une bougie porte sa dernière ms ; ccxt rabote semaines et mois sur des blocs de 7 et 30 jours."""

    def parse_ohlcv(self, ligne: Any, market: Any = None) -> list[Any]:
        """Une bougie."""
        lue: list[Any] = super().parse_ohlcv(ligne, market)  # type: ignore[misc]
        codes = {"WEEKS": "w", "MONTHS": "M"}
        grain = ligne.get("granularity") or {}
        if grain.get("unit") in codes:
            pas = Timeframe.lire(f"{grain.get('period')}{codes[grain['unit']]}")
            lue[0] = pas.plancher(self.parse8601(ligne.get("time")))  # type: ignore[attr-defined]
        return lue


class Bitopro:
    """La classe invente des bougies plates, jusqu'avant la cotation."""

    @staticmethod
    def insert_missing_candles(bougies: Any, *_args: Any) -> Any:
        """Les bougies, telles quelles."""
        return bougies


class Backpack:
    """Un trade du flux, que ccxt date de son envoi (`E`) : `T` est l'instant de la transaction, celui du REST."""

    def parse_ws_trade(self, trade: Any, market: Any = None) -> Any:
        """Un trade."""
        return super().parse_ws_trade({**trade, "E": trade.get("T") or trade.get("E")}, market)  # type: ignore[misc]


class Poloniex:
    """Un trade du REST, que ccxt date d'un rangement (`ts`) : `createTime` est son instant, celui du flux."""

    def parse_trade(self, trade: Any, market: Any = None) -> Any:
        """Un trade."""
        date = {"ts": trade["createTime"]} if trade.get("createTime") else {}
        return super().parse_trade({**trade, **date}, market)  # type: ignore[misc]


class Upbit:
    """Un trade du flux, que ccxt lit comme une ligne du REST : `timestamp` y est l'instant de son envoi."""

    def parse_trade(self, trade: Any, market: Any = None) -> Any:
        """Un trade."""
        date = {"timestamp": trade["trade_timestamp"]} if trade.get("trade_timestamp") else {}
        return super().parse_trade({**trade, **date}, market)  # type: ignore[misc]


class Cryptocom:
    """D'une mise à jour, la classe ne lit pas l'instant : le carnet garderait celui de son premier état."""

    def handle_order_book(self, client: Any, trame: Any) -> None:
        """Une trame de carnet."""
        api: Any = self
        carnet = api.orderbooks.get(api.safe_symbol(trame.get("instrument_name")))
        lot = api.safe_dict(api.safe_list(trame, "data", []), 0, {})
        avant, instant = api.safe_integer(lot, "pu"), api.safe_integer(lot, "t")
        if carnet is not None and None not in (avant, instant) and avant == carnet["nonce"]:
            carnet["timestamp"], carnet["datetime"] = instant, api.iso8601(instant)
        super().handle_order_book(client, trame)  # type: ignore[misc]


class Krakenfutures:
    """D'un trade REST, la classe tait la quantité."""

    def parse_trade(self, trade: Any, market: Any = None) -> Any:
        """Un trade."""
        lu = super().parse_trade(trade, market)  # type: ignore[misc]
        return lu if lu["amount"] is not None else {**lu, "amount": lu["info"].get("quantity")}


def _du_rest(api: Any, methode: str) -> Any:
    """La méthode de la classe REST, que la classe pro remplace par celle de ses trames."""
    rest = (parente for parente in type(api).__mro__ if parente.__module__.startswith("ccxt.async_support."))
    return next(vars(parente)[methode] for parente in rest if methode in vars(parente)).__get__(api)


class Luno:
    """La classe pro lit tout trade comme une trame ; une instance qui n'écoute pas lit des réponses REST."""

    def parse_trade(self, trade: Any, market: Any = None) -> Any:
        """Un trade."""
        ecoute = self.signaler is not None  # type: ignore[attr-defined]
        return (super().parse_trade if ecoute else _du_rest(self, "parse_trade"))(trade, market)  # type: ignore[misc]


class Coinbaseexchange:
    """La classe pro lit tout ticker comme une trame ; une instance qui n'écoute pas lit des réponses REST."""

    def parse_ticker(self, ticker: Any, market: Any = None) -> Any:
        """Un ticker."""
        ecoute = self.signaler is not None  # type: ignore[attr-defined]
        return (super().parse_ticker if ecoute else _du_rest(self, "parse_ticker"))(ticker, market)  # type: ignore[misc]


# Ajouter une correction : une classe et une ligne ici, et `corrigee` à la ligne de l'exchange dans `PARTICULARITES`.
CORRECTIONS: Mapping[str, type] = {
    "bitbank": Bitbank,
    "ndax": Ndax,
    "onetrading": Onetrading,
    "bitopro": Bitopro,
    "backpack": Backpack,
    "poloniex": Poloniex,
    "upbit": Upbit,
    "cryptocom": Cryptocom,
    "krakenfutures": Krakenfutures,
    "luno": Luno,
    "coinbaseexchange": Coinbaseexchange,
}
