"""Le REST des exchanges tiers que seuls les flux éprouvent : chacun a une façon à lui de dire un trade.

Les bougies et les marchés y sont réduits à ce que la classe ccxt demande ; les trades ont les identifiants, l'ordre et
la précision du vrai exchange.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, ClassVar

from bourses_tierces import INSTANT_MAX, Params, RefusError, Simulateur

if TYPE_CHECKING:
    from bourse_locale.marche import Bougie, Trade


class Deribit(Simulateur):
    """Un contrat linéaire, dont trades et bougies comptent en monnaie de base, quelle que soit la taille du contrat."""

    nom, symbole = "deribit", "AAA/USDC:USDC"
    pleines: ClassVar[bool] = True

    def urls(self, base: str) -> object:
        """Où la classe ccxt appelle."""
        return {"rest": base}

    def codes(self) -> dict[str, str]:
        """La minute suffit."""
        return {"1": "1m"}

    def repondre(self, chemin: str, params: Params) -> object:
        """Heure, marchés, bougies, trades."""
        methode = chemin.rpartition("/")[2]
        if methode == "get_time":
            return {"result": self.maintenant_ms()}
        if methode == "get_instruments":
            marche = {"instrument_name": "AAA_USDC-PERPETUAL", "base_currency": "AAA", "counter_currency": "USDC"}
            genre = {"settlement_currency": "USDC", "settlement_period": "perpetual", "kind": "future"}
            return {"result": [{**marche, **genre, "contract_size": 0.0001, "is_active": True, "tick_size": 0.01}]}
        if methode == "get_tradingview_chart_data":
            page = self.servir(self.bougies("1m", int(params["start_timestamp"]), int(params["end_timestamp"]) + 1))
            lignes = [self.valeurs(b) for b in page]
            noms = ("open", "high", "low", "close", "volume")
            colonnes = {nom: [ligne[rang] for ligne in lignes] for rang, nom in enumerate(noms)}
            return {"result": {"ticks": [b.ts for b in page], **colonnes, "status": "ok"}}
        if methode.startswith("get_last_trades"):
            debut, fin = int(params.get("start_timestamp", 0)), int(params.get("end_timestamp", INSTANT_MAX))
            page_trades = self.trades(debut, fin + 1, min(1000, int(params.get("count", 10))))
            return {"result": {"trades": [self.rediger_trade(t) for t in page_trades], "has_more": True}}
        raise RefusError(400, {"error": {"code": 10001, "message": chemin}})

    def valeurs(self, b: Bougie) -> tuple[float, ...]:
        """Ouverture, haut, bas, clôture, volume."""
        return (*(float(self.prix(v)) for v in b[1:5]), float(self.volume(b)))

    def rediger_trade(self, t: Trade) -> Params:
        """Le même partout ; son identifiant n'est pas un nombre."""
        return {
            "trade_seq": t.id, "trade_id": f"USDC-{t.id}", "timestamp": t.ts, "price": float(self.prix(t.prix)),
            "instrument_name": "AAA_USDC-PERPETUAL", "direction": t.sens, "amount": float(self.quantite(t)),
        }  # fmt: skip


class Bitstamp(Simulateur):
    """Les trades de la dernière heure, datés à la seconde ; pas d'heure ; identifiants communs à tous les marchés."""

    nom, symbole = "bitstamp", "AAA/USD"

    def urls(self, base: str) -> object:
        """Où la classe ccxt appelle."""
        return {"public": base}

    def repondre(self, chemin: str, params: Params) -> object:
        """Marchés, bougies, trades."""
        if chemin == "/v2/markets/":
            marche = {"base_currency": "AAA", "counter_currency": "USD", "market_symbol": "aaausd"}
            reste = {"trading": "Enabled", "market_type": "SPOT", "base_decimals": "3", "counter_decimals": "2"}
            return [marche | reste]
        if chemin == "/v2/ohlc/aaausd/":
            debut, fin = int(params["start"]) * 1000, int(params["end"]) * 1000 + 1
            page = self.servir(self.bougies("1m", debut, fin)[: int(params["limit"])])
            return {"data": {"ohlc": [self._rediger(b) for b in page]}}
        if chemin == "/v2/transactions/aaausd/":
            page_trades = self.trades(self.maintenant_ms() - 3_600_000, INSTANT_MAX, 10_000)
            return [self.rediger_trade(t) for t in page_trades]
        raise RefusError(404, {"status": "error", "reason": chemin})

    def rediger_trade(self, t: Trade) -> Params:
        """Daté à la seconde."""
        return {"date": str(t.ts // 1000), "tid": str(self.numero(t)), "price": self.prix(t.prix),
                "type": str(int(t.sens == "sell")), "amount": self.quantite(t)}  # fmt: skip

    @staticmethod
    def numero(t: Trade) -> int:
        """Croissant, sans se suivre."""
        return 7 * t.id + t.id % 5

    def _rediger(self, b: Bougie) -> object:
        o, h, low, c = map(self.prix, b[1:5])
        return {"timestamp": str(b.ts // 1000), "open": o, "high": h, "low": low, "close": c, "volume": self.volume(b)}


class Phemex(Simulateur):
    """Au comptant : des entiers, aucun identifiant de trade ; les deux cents derniers trades, les dernières bougies."""

    nom, symbole = "phemex", "AAA/USDT"

    def urls(self, base: str) -> object:
        """Où la classe ccxt appelle."""
        return {"v1": f"{base}/v1", "v2": base, "public": f"{base}/exchange/public"}

    def codes(self) -> dict[str, str]:
        """Des secondes."""
        return {"60": "1m"}

    def repondre(self, chemin: str, params: Params) -> object:
        """Marchés, bougies, trades."""
        if chemin == "/public/products":
            marche = {"symbol": "sAAAUSDT", "type": "Spot", "quoteCurrency": "USDT", "baseCurrency": "AAA"}
            reste = {"status": "Listed", "priceScale": 8, "baseTickSize": "0.001 AAA", "quoteTickSize": "0.01 USDT"}
            return {"code": 0, "data": {"products": [{**marche, **reste}]}}
        if chemin == "/v1/exchange/public/products":
            return {"code": 0, "data": []}
        if chemin == "/exchange/public/md/v2/kline":
            page = self.servir(self.dernieres("1m", self.maintenant_ms() + 1, int(params["limit"])))
            return {"code": 0, "data": {"rows": [self.rediger_bougie(b) for b in reversed(page)]}}
        if chemin == "/v1/md/trade":
            return {"result": {"trades": [self.rediger_trade(t) for t in self.trades(0, INSTANT_MAX, 200)]}}
        raise RefusError(404, {"error": {"code": 6001, "msg": chemin}})

    @staticmethod
    def _entier(texte: str) -> int:
        return round(float(texte) * 100_000) * 1000

    def rediger_trade(self, t: Trade) -> list[object]:
        """Le même partout ; ccxt multiplie l'instant en flottants."""
        instant = t.ts * 1_000_000 + 500_000
        return [instant, t.sens.title(), self._entier(self.prix(t.prix)), self._entier(self.quantite(t))]

    def rediger_bougie(self, b: Bougie) -> list[int]:
        """La clôture d'avant précède l'ouverture."""
        o, h, low, c = (self._entier(self.prix(v)) for v in b[1:5])
        return [b.ts // 1000, 60, o, o, h, low, c, self._entier(self.volume(b)), 1]


class Lbank(Simulateur):
    """Les trades n'ont d'identifiant qu'en REST : à partir de `time`, six cents au plus."""

    nom, symbole = "lbank", "AAA/USDT"

    def urls(self, base: str) -> object:
        """Où la classe ccxt appelle."""
        return {"rest": base, "contract": base}

    def codes(self) -> dict[str, str]:
        """Ceux du flux, puis ceux du REST."""
        return {"1min": "1m", "minute1": "1m"}

    def repondre(self, chemin: str, params: Params) -> object:
        """Heure, marchés, bougies, trades."""
        fixes: dict[str, object] = {
            "/v2/timestamp.do": self.maintenant_ms(),
            "/v2/accuracy.do": [{"symbol": "aaa_usdt", "quantityAccuracy": "3", "priceAccuracy": "2"}],
            "/cfd/openApi/v1/pub/instrument": [],
        }
        if chemin in fixes:
            return {"result": "true", "data": fixes[chemin]}
        if chemin == "/v2/kline.do":
            debut = int(params["time"]) * 1000
            page = self.servir(self.bougies("1m", debut, INSTANT_MAX)[: int(params["size"])])
            return {"result": "true", "data": [self._rediger(b) for b in page]}
        if chemin == "/v2/trades.do":
            debut, nombre = int(params.get("time", 0)), int(params["size"])
            tous = self.trades(debut, INSTANT_MAX, 10_000 if debut else nombre)[::-1]
            return {"result": "true", "data": [self.rediger_trade(t) for t in tous[:nombre]]}
        raise RefusError(404, {"result": "false", "error_code": 10003})

    def rediger_trade(self, t: Trade) -> Params:
        """Un trade du REST."""
        return {"date_ms": t.ts, "amount": float(self.quantite(t)), "price": float(self.prix(t.prix)), "type": t.sens,
                "tid": f"{t.id * 0x9E3779B97F4A7C15 % 2**64:016x}abcdefab"}  # fmt: skip

    def _rediger(self, b: Bougie) -> object:
        return [b.ts // 1000, *(float(self.prix(v)) for v in b[1:5]), float(self.volume(b))]


class Upbit(Simulateur):
    """Les derniers trades ; pas d'heure ; les bougies d'avant `to`, la plus récente d'abord."""

    nom, symbole = "upbit", "AAA/USDT"

    def urls(self, base: str) -> object:
        """Où la classe ccxt appelle."""
        return {"public": base}

    def codes(self) -> dict[str, str]:
        """Des minutes, et la seconde."""
        return {"1": "1m", "3": "3m", "1s": "1s"}

    def repondre(self, chemin: str, params: Params) -> object:
        """Marchés, bougies, trades."""
        if chemin == "/v1/market/all":
            return [{"market": "USDT-AAA", "korean_name": "", "english_name": ""}]
        if chemin.startswith("/v1/candles/"):
            code = self.codes()["1s" if chemin.endswith("seconds") else chemin.rpartition("/")[2]]
            fin = _ms(params["to"]) if "to" in params else INSTANT_MAX
            page = self.servir(self.dernieres(code, min(fin, self.maintenant_ms() + 1), min(200, int(params["count"]))))
            return [self.rediger_bougie(b) for b in reversed(page)]
        if chemin == "/v1/trades/ticks":
            return [self.rediger_trade(t) for t in self.trades(0, INSTANT_MAX, min(500, int(params["count"])))]
        raise RefusError(404, {"error": {"name": "not_found", "message": chemin}})

    def rediger_trade(self, t: Trade) -> Params:
        """Un identifiant qui croît sans se suivre."""
        return {
            "market": "USDT-AAA", "timestamp": t.ts, "trade_price": float(self.prix(t.prix)),
            "trade_volume": float(self.quantite(t)), "ask_bid": "ASK" if t.sens == "sell" else "BID",
            "sequential_id": t.ts * 10_000 + t.id % 10_000,
        }  # fmt: skip

    def rediger_bougie(self, b: Bougie) -> Params:
        """La même partout."""
        o, h, low, c = (float(self.prix(v)) for v in b[1:5])
        date = datetime.fromtimestamp(b.ts / 1000, UTC).isoformat().replace("+00:00", "")
        return {
            "market": "USDT-AAA", "candle_date_time_utc": date, "opening_price": o, "high_price": h, "low_price": low,
            "trade_price": c, "candle_acc_trade_volume": float(self.volume(b)),
        }  # fmt: skip


def _ms(texte: str) -> int:
    return round(datetime.fromisoformat(texte).timestamp() * 1000)


class Bithumb(Upbit):
    """Le même protocole, ou presque."""

    nom = "bithumb"


class Ndax(Simulateur):
    """Tout en tableaux ; les cent derniers trades ; les bougies d'un intervalle, en dates."""

    nom, symbole = "ndax", "AAA/CAD"
    NUMEROS: ClassVar[dict[str, int]] = {"AAA": 7, "BBB": 8}

    def urls(self, base: str) -> object:
        """Où la classe ccxt appelle."""
        return {"public": base, "private": base}

    @property
    def numero(self) -> int:
        """Celui du marché : rien d'autre ne le nomme."""
        return self.NUMEROS[self.instrument.base]

    def repondre(self, chemin: str, params: Params) -> object:
        """Marchés, bougies, trades."""
        if chemin == "/GetInstruments":
            commun = {"Product2Symbol": "CAD", "Product2": 1, "SessionStatus": "Running", "IsDisable": False}
            reste = {"QuantityIncrement": 0.001, "PriceIncrement": 0.01}
            return [
                {"InstrumentId": numero, "Product1": numero, "Product1Symbol": base, **commun, **reste}
                for base, numero in self.NUMEROS.items()
            ]
        if chemin == "/GetTickerHistory":
            debut, fin = (_ms(params[nom].replace(" ", "T") + "+00:00") for nom in ("FromDate", "ToDate"))
            page = self.bougies(self.codes()[str(params["Interval"])], debut, fin + 1)
            return [self.rediger_bougie(b, b.volume, 1000 * int(params["Interval"])) for b in self.servir(page)]
        if chemin == "/GetLastTrades":
            return [self.rediger_trade(t) for t in self.trades(0, INSTANT_MAX, min(100, int(params.get("Count", 100))))]
        raise RefusError(404, {"errormsg": chemin})

    def rediger_trade(self, t: Trade) -> list[object]:
        """Le même partout."""
        quantite, prix = float(self.quantite(t)), float(self.prix(t.prix))
        return [t.id, self.numero, quantite, prix, 0, 0, t.ts, 0, int(t.sens == "sell"), 0, 0]

    def rediger_bougie(self, b: Bougie, volume: int, pas_ms: int = 60_000) -> list[object]:
        """Sa fin, haut, bas, ouverture, clôture, ce volume, et au bout son début, que la classe ccxt ne lit pas."""
        o, h, low, c = (float(self.prix(v)) for v in b[1:5])
        return [b.ts + pas_ms, h, low, o, c, float(self.instrument.texte_quantite(volume)), 0, 0, self.numero, b.ts]


class Alpaca(Simulateur):
    """Des bougies datées en ISO ; une clé est exigée, même pour la liste des marchés."""

    nom, symbole = "alpaca", "AAA/USD"

    def urls(self, base: str) -> object:
        """Où la classe ccxt appelle."""
        return {"broker": base, "trader": base, "market": base}

    def codes(self) -> dict[str, str]:
        """La minute suffit."""
        return {"1min": "1m"}

    def repondre(self, chemin: str, params: Params) -> object:
        """Heure, marchés, bougies."""
        if chemin == "/v2/clock":
            return {"timestamp": _iso(self.maintenant_ms())}
        if chemin == "/v2/assets":
            marche = {"symbol": "AAA/USD", "class": "crypto", "status": "active", "min_trade_increment": "0.001"}
            return [{**marche, "min_order_size": "0.001", "price_increment": "0.01"}]
        if chemin == "/v1beta3/crypto/us/bars":
            fin = _ms(params["end"]) + 1 if "end" in params else INSTANT_MAX
            page = self.servir(self.bougies("1m", _ms(params["start"]), fin)[: int(params.get("limit", 1000))])
            return {"bars": {"AAA/USD": [self.rediger_bougie(b) for b in page]}, "next_page_token": None}
        raise RefusError(404, {"message": chemin})

    def rediger_bougie(self, b: Bougie) -> Params:
        """La même partout."""
        o, h, low, c = (float(self.prix(v)) for v in b[1:5])
        return {"t": _iso(b.ts), "o": o, "h": h, "l": low, "c": c, "v": float(self.volume(b)), "n": 1, "vw": o}


class Luno(Simulateur):
    """Les cent derniers trades depuis une date, que le flux ne sait pas dire : ni heure ni prix."""

    nom, symbole = "luno", "AAA/ZAR"

    def urls(self, base: str) -> object:
        """Où la classe ccxt appelle."""
        return dict.fromkeys(("public", "private", "exchange", "exchangePrivate"), base)

    def codes(self) -> dict[str, str]:
        """Des secondes."""
        return {"60": "1m"}

    def repondre(self, chemin: str, params: Params) -> object:
        """Marchés, trades."""
        if chemin == "/1/markets":
            marche = {"market_id": "AAAZAR", "trading_status": "ACTIVE", "base_currency": "AAA", "price_scale": 2}
            return {"markets": [{**marche, "counter_currency": "ZAR", "volume_scale": 3}]}
        if chemin == "/1/trades":
            derniers = self.trades(int(params.get("since", 0)), INSTANT_MAX, 100)
            return {"trades": [self.rediger_trade(t) for t in derniers]}
        raise RefusError(404, {"error": chemin})

    def rediger_trade(self, t: Trade) -> Params:
        """Celui du REST."""
        return {"sequence": t.id, "timestamp": t.ts, "price": self.prix(t.prix), "volume": self.quantite(t),
                "is_buy": t.sens == "buy"}  # fmt: skip


class MexcSwap(Simulateur):
    """Des contrats ; un identifiant de trade que la classe ccxt fait du contenu ; les cent derniers en REST."""

    nom, symbole = "mexc", "AAA/USDT:USDT"

    def urls(self, base: str) -> object:
        """Où la classe ccxt appelle."""
        return {"spot": {"public": base, "private": base}, "spot2": {"public": base, "private": base},
                "contract": {"public": f"{base}/contract", "private": base}}  # fmt: skip

    def codes(self) -> dict[str, str]:
        """Les noms des contrats."""
        return {"Min1": "1m"}

    def quantite(self, trade: Trade) -> str:
        """En contrats, entiers."""
        return str(trade.quantite)

    def volume(self, bougie: Bougie) -> str:
        """De même."""
        return str(bougie.volume)

    def repondre(self, chemin: str, params: Params) -> object:  # noqa: ARG002
        """Heure, marchés, trades."""
        if chemin == "/contract/ping":
            return {"success": True, "code": 0, "data": self.maintenant_ms()}
        if chemin == "/api/v3/exchangeInfo":
            marche = {"symbol": "AAAUSDT", "status": "1", "baseAsset": "AAA", "quoteAsset": "USDT"}
            return {"symbols": [{**marche, "isSpotTradingAllowed": True, "baseSizePrecision": "0.001"}]}
        if chemin == "/contract/detail":
            marche = {"symbol": "AAA_USDT", "baseCoin": "AAA", "quoteCoin": "USDT", "settleCoin": "USDT"}
            return {"data": [{**marche, "state": 0, "contractSize": 0.001, "volUnit": 1, "priceUnit": 0.01}]}
        if chemin == "/contract/deals/AAA_USDT":
            return {"success": True, "data": [self.rediger_trade(t) for t in self.trades(0, INSTANT_MAX, 100)]}
        raise RefusError(404, {"code": 404, "msg": chemin})

    def rediger_trade(self, t: Trade) -> Params:
        """Le même partout."""
        sens = 1 if t.sens == "buy" else 2
        return {"p": float(self.prix(t.prix)), "v": t.quantite, "T": sens, "O": 3, "M": 1, "t": t.ts}


class MexcSpot(MexcSwap):
    """Le même exchange au comptant, dont les trames sont en protobuf."""

    symbole = "AAA/USDT"


class Bitopro(Simulateur):
    """Les marchés et le carnet suffisent : c'est de lui qu'il s'agit."""

    nom, symbole = "bitopro", "AAA/TWD"

    def urls(self, base: str) -> object:
        """Où la classe ccxt appelle."""
        return {"rest": base}

    def codes(self) -> dict[str, str]:
        """La minute suffit."""
        return {"1m": "1m"}

    def repondre(self, chemin: str, params: Params) -> object:  # noqa: ARG002
        """Marchés."""
        if chemin == "/provisioning/trading-pairs":
            marche = {"pair": "aaa_twd", "base": "aaa", "quote": "twd", "basePrecision": "3", "quotePrecision": "2"}
            bornes = {"minLimitBaseAmount": "0.001", "maxLimitBaseAmount": "1000000", "minMarketBuyQuoteAmount": "1"}
            return {"data": [{**marche, **bornes, "maintain": False}]}
        raise RefusError(404, {"error": chemin})


def _iso(instant: int) -> str:
    return datetime.fromtimestamp(instant / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


SIMULATEURS_DE_FLUX: dict[str, type[Simulateur]] = {
    "deribit": Deribit,
    "bitstamp": Bitstamp,
    "phemex": Phemex,
    "lbank": Lbank,
    "upbit": Upbit,
    "bithumb": Bithumb,
    "ndax": Ndax,
    "alpaca": Alpaca,
    "luno": Luno,
    "mexc_swap": MexcSwap,
    "mexc": MexcSpot,
    "bitopro": Bitopro,
}
