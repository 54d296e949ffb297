"""Ce que quelques classes de ccxt lisent de travers, méthode par méthode : une classe à mettre devant la leur.

Le module ne s'en passe pas : sans elle, des lignes de ces exchanges seraient fausses. Copié seul, il refuse ce qu'elle
reprend, et lit le reste.
"""

from __future__ import annotations

import collections
from decimal import Decimal
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

    def handle_ohlcv(self, client: Any, trame: Any) -> None:
        """Une bougie du flux, que ccxt date de sa dernière ms."""
        api: Any = self
        trame = {**trame, "time": api.iso8601(api.parse_ohlcv(trame)[0])}
        super().handle_ohlcv(client, trame)  # type: ignore[misc]


class Bitopro:
    """La classe invente des bougies plates, jusqu'avant la cotation, et prend pour neufs des trades redits."""

    @staticmethod
    def insert_missing_candles(bougies: Any, *_args: Any) -> Any:
        """Les bougies, telles quelles."""
        return bougies

    def handle_trade(self, client: Any, trame: Any) -> None:
        """Chaque trame redit tous les derniers trades, sans identifiant (« pushed full data when updated »)."""
        lignes = trame.get("data") or []
        contenus = [tuple(ligne.get(nom) for nom in ("timestamp", "price", "amount", "isBuyer")) for ligne in lignes]
        dites: dict[Any, Any] = vars(self).setdefault("trades_dits", {})
        avant, maintenant = dites.get(trame.get("pair")), collections.Counter(contenus)
        if avant and maintenant and not avant & maintenant:
            raise ValueError("aucun des trades de la trame d'avant : il en manque peut-être")
        dites[trame.get("pair")] = maintenant
        neufs = maintenant - (avant or collections.Counter())
        restent = [neufs.subtract([contenu]) or neufs[contenu] >= 0 for contenu in contenus]
        data = [ligne for ligne, reste in zip(lignes, restent, strict=True) if reste]
        super().handle_trade(client, {**trame, "data": data})  # type: ignore[misc]


class Backpack:
    """Ce que ccxt date mal d'une trame."""

    def parse_ws_trade(self, trade: Any, market: Any = None) -> Any:
        """Un trade, qu'il date de son envoi (`E`) : `T` est l'instant de la transaction, celui du REST."""
        return super().parse_ws_trade({**trade, "E": trade.get("T") or trade.get("E")}, market)  # type: ignore[misc]

    def parse_ws_ohlcv(self, bougie: Any, market: Any = None) -> Any:
        """Une bougie, qu'il date de sa fin (`T`)."""
        return super().parse_ws_ohlcv({**bougie, "T": bougie.get("t")}, market)  # type: ignore[misc]


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


def _en_pour_cent(ticker: Any, nom: str) -> Any:
    """Ce rapport, que la classe rend pour un pourcentage ; ccxt en tirait ensuite l'ouverture et l'écart."""
    rapport = ticker.get(nom)
    return {**ticker, nom: str(100 * Decimal(str(rapport)))} if rapport else ticker


class Apex:
    """De `price24hPcnt`, -0,0194 est une baisse de deux pour cent."""

    def parse_ticker(self, ticker: Any, market: Any = None) -> Any:
        """Un ticker ; les mises à jour se fondent dans sa trame, laissée telle quelle."""
        lu = super().parse_ticker(_en_pour_cent(ticker, "price24hPcnt"), market)  # type: ignore[misc]
        return {**lu, "info": ticker}


class Cryptocom:
    """D'un ticker, `c` est un rapport : 0,0583, de 28 768 à 30 446."""

    def parse_ticker(self, ticker: Any, market: Any = None) -> Any:
        """Un ticker du REST."""
        return super().parse_ticker(_en_pour_cent(ticker, "c"), market)  # type: ignore[misc]

    def parse_ws_ticker(self, ticker: Any, market: Any = None) -> Any:
        """Un ticker du flux."""
        return super().parse_ws_ticker(_en_pour_cent(ticker, "c"), market)  # type: ignore[misc]

    def handle_order_book(self, client: Any, trame: Any) -> None:
        """Une trame de carnet, dont la classe ne lit pas l'instant : il garderait celui de son premier état."""
        api: Any = self
        carnet = api.orderbooks.get(api.safe_symbol(trame.get("instrument_name")))
        lot = api.safe_dict(api.safe_list(trame, "data", []), 0, {})
        avant, instant = api.safe_integer(lot, "pu"), api.safe_integer(lot, "t")
        if carnet is not None and None not in (avant, instant) and avant == carnet["nonce"]:
            carnet["timestamp"], carnet["datetime"] = instant, api.iso8601(instant)
        super().handle_order_book(client, trame)  # type: ignore[misc]


class Krakenfutures:
    """D'un trade REST, la classe tait la quantité ; d'un ticker du flux, elle prend un pourcentage pour un écart.

    Elle cherche aussi sa date où elle n'est pas.
    """

    def parse_trade(self, trade: Any, market: Any = None) -> Any:
        """Un trade."""
        lu = super().parse_trade(trade, market)  # type: ignore[misc]
        return lu if lu["amount"] is not None else {**lu, "amount": lu["info"].get("quantity")}

    def parse_ws_ticker(self, ticker: Any, market: Any = None) -> Any:
        """`change` est en pour cent, et le volume d'un inverse en dollars, comme en REST."""
        api: Any = self
        inverse = api.safe_market(ticker.get("product_id"), market)["inverse"]
        tu = {"change": None} | ({"volume": None} if inverse else {})
        lu = super().parse_ws_ticker({**ticker, **tu}, market)  # type: ignore[misc]
        lu = api.safe_ticker({**lu, "percentage": ticker.get("change")})
        return _datee(api, lu, ticker.get("time")) | {"info": ticker}


def _datee(api: Any, ticker: Any, date: Any) -> Any:
    """Ce ticker, daté de l'instant que dit sa trame."""
    instant = api.safe_integer([date], 0)
    return {**ticker, "timestamp": instant, "datetime": api.iso8601(instant)}


class Woo:
    """D'un ticker, la classe met de côté l'instant de la trame (`date`), et ne s'en sert pas."""

    def parse_ws_ticker(self, ticker: Any, market: Any = None) -> Any:
        """Un ticker."""
        return _datee(self, super().parse_ws_ticker(ticker, market), ticker.get("date"))  # type: ignore[misc]


class Gate:
    """D'un ticker, la classe attend l'instant dans la ligne (`t`), où l'exchange ne le met pas."""

    def handle_ticker(self, client: Any, trame: Any) -> None:
        """Un ticker, ou plusieurs ; l'instant est à la trame."""
        dit = trame.get("result")
        lignes = [{**ligne, "t": trame.get("time_ms")} for ligne in (dit if isinstance(dit, list) else [dit or {}])]
        super().handle_ticker(client, {**trame, "result": lignes})  # type: ignore[misc]


class Lbank:
    """Ses trames sont datées à l'heure de Shanghai, sans le dire : ccxt les met huit heures trop tard.

    D'un trade dont la ligne est celle du teneur (« sell_maker »), la classe rend en REST le sens du teneur.
    """

    def handle_message(self, client: Any, trame: Any) -> None:
        """Une trame, son fuseau dit."""
        if isinstance(trame, dict):
            trame = _a_shanghai(trame, "TS")
            for nom, date in (("trade", "TS"), ("kbar", "t")):
                if isinstance(trame.get(nom), dict):
                    trame = {**trame, nom: _a_shanghai(trame[nom], date)}
        super().handle_message(client, trame)  # type: ignore[misc]

    def parse_trade(self, trade: Any, market: Any = None) -> Any:
        """Un trade du REST."""
        lu = super().parse_trade(trade, market)  # type: ignore[misc]
        du_preneur = {"buy": "sell", "sell": "buy"} if str(trade.get("type")).endswith("_maker") else {}
        return {**lu, "side": du_preneur.get(lu["side"], lu["side"])}


def _a_shanghai(dit: Any, nom: str) -> Any:
    date = dit.get(nom)
    return {**dit, nom: f"{date}+08:00"} if isinstance(date, str) and "+" not in date else dit


class Deepcoin:
    """D'une trame, la classe ne lit que la première ligne ; d'un trade, elle prend l'instant pour le montant."""

    def handle_trades(self, client: Any, trame: Any) -> None:
        """Tous ses trades."""
        for ligne in trame.get("r") or ():
            super().handle_trades(client, {**trame, "r": [ligne]})  # type: ignore[misc]

    def handle_ohlcv(self, client: Any, trame: Any) -> None:
        """Toutes ses bougies."""
        for ligne in trame.get("r") or ():
            super().handle_ohlcv(client, {**trame, "r": [ligne]})  # type: ignore[misc]

    def parse_ws_trade(self, trade: Any, market: Any = None) -> Any:
        """Un trade public : `T` y est l'instant, et rien n'y est le montant."""
        dit = {"TT": trade.get("T"), **{nom: valeur for nom, valeur in trade.items() if nom != "T"}}
        return super().parse_ws_trade(dit, market)  # type: ignore[misc]


class Derive:
    """La classe attend un dictionnaire là où l'exchange envoie une liste : elle n'en rend pas un trade."""

    def handle_trade(self, client: Any, trame: Any) -> None:
        """Les trades, par le preneur seul, comme en REST : le teneur y a la même ligne, de l'autre sens."""
        params = trame.get("params") or {}
        data = params.get("data")
        if isinstance(data, list):
            preneurs = [trade for trade in data if trade.get("liquidity_role") != "maker"]
            trame = {**trame, "params": {**params, "data": dict(enumerate(preneurs))}}
        super().handle_trade(client, trame)  # type: ignore[misc]


class Blockchaincom:
    """D'un ticker mis à jour, la classe prend le prix de référence pour le dernier prix."""

    def parse_ws_updated_ticker(self, ticker: Any, avant: Any = None, market: Any = None) -> Any:
        """Ce qui a changé, sur le ticker d'avant."""
        api: Any = self
        return api.parse_ticker({**((avant or {}).get("info") or {}), **ticker}, market)


class Weex:
    """Un ticker, que ccxt date de la fin de ses vingt-quatre heures (`C`), la même pendant des minutes."""

    def handle_ticker(self, client: Any, trame: Any) -> None:
        """`E` est l'instant de l'état."""
        data = [{**ticker, "C": trame.get("E")} for ticker in trame.get("d") or ()]
        super().handle_ticker(client, {**trame, "d": data})  # type: ignore[misc]


class Bingx:
    """Un ticker, que ccxt date du dernier trade (`C`), quand ses prix d'achat et de vente changent sans lui."""

    def handle_ticker(self, client: Any, trame: Any) -> None:
        """`E` est l'instant de l'état."""
        data = trame.get("data") or {}
        super().handle_ticker(client, {**trame, "data": {**data, "C": data.get("E")}})  # type: ignore[misc]


class Coinbase:
    """Le flux nomme X-USD ce qu'on lui demande par X-USDC, son alias ; la classe range tout sous X-USD."""

    def handle_message(self, client: Any, trame: Any) -> None:
        """Une trame par marché demandé qu'elle dit : lui, ou ses alias."""
        listes = {"market_trades": "trades", "ticker": "tickers", "ticker_batch": "tickers", "l2_data": ""}
        canal = trame.get("channel")
        if canal not in listes:
            super().handle_message(client, trame)  # type: ignore[misc]
            return
        parts: dict[Any, list[Any]] = collections.defaultdict(list)
        for evenement in trame.get("events") or ():
            siennes: dict[Any, list[Any]] = collections.defaultdict(list)
            for ligne in evenement.get(listes[canal]) or () if listes[canal] else [evenement]:
                for produit in self._demandes(client, canal.replace("l2_data", "level2"), ligne.get("product_id")):
                    siennes[produit].append({**ligne, "product_id": produit})
            for produit, lignes in siennes.items():
                parts[produit] += [{**evenement, listes[canal]: lignes}] if listes[canal] else lignes
        for evenements in parts.values():
            super().handle_message(client, {**trame, "events": evenements})  # type: ignore[misc]

    def _demandes(self, client: Any, canal: str, produit: Any) -> list[Any]:
        """Sous quels marchés ranger une ligne de celui-là."""
        api: Any = self
        alias = (api.safe_market(produit).get("info") or {}).get("alias_to") or []
        demandes = [nom for nom in (produit, *alias) if f"{canal}::{api.safe_symbol(nom)}" in client.subscriptions]
        return demandes or [produit]


class Phemex:
    """Le ticker d'un inverse, dont la classe divise les contrats du volume comme une monnaie (par 10 ** 8)."""

    def parse_swap_ticker(self, ticker: Any, market: Any = None) -> Any:
        """Le volume tel que le REST le dit."""
        api: Any = self
        lu = super().parse_swap_ticker(ticker, market)  # type: ignore[misc]
        return api.safe_ticker({**lu, "vwap": None, "baseVolume": ticker.get("volume")})


class Grvt:
    """D'un ticker, la classe ne compte que les achats dans le volume."""

    def parse_ticker(self, ticker: Any, market: Any = None) -> Any:
        """Achats et ventes."""
        sommes: dict[str, str | None] = {}
        for unite in "bq":
            cotes = [ticker.get(f"{sens}_volume_24h_{unite}") for sens in ("buy", "sell")]
            sommes[f"buy_volume_24h_{unite}"] = None if None in cotes else str(sum(map(Decimal, cotes)))
        return {**super().parse_ticker({**ticker, **sommes}, market), "info": ticker}  # type: ignore[misc]


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


# Ajouter une correction : une classe et une ligne ici, et ce qu'elle reprend, `corrigee`, à la ligne de l'exchange dans
# `PARTICULARITES`.
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
    **dict.fromkeys(("modetrade", "woo", "woofipro"), Woo),
    "gate": Gate,
    "luno": Luno,
    "coinbaseexchange": Coinbaseexchange,
    "apex": Apex,
    "lbank": Lbank,
    "deepcoin": Deepcoin,
    "derive": Derive,
    "blockchaincom": Blockchaincom,
    "weex": Weex,
    "bingx": Bingx,
    "grvt": Grvt,
    "coinbase": Coinbase,
    "phemex": Phemex,
}
