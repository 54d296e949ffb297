"""Des exchanges que `bourse_locale` n'imite pas, réduits à leur liste de marchés, leur heure et leurs bougies.

Une classe par protocole, servie en boucle locale à la classe ccxt non modifiée ; la pagination est celle du vrai
exchange : quelle page, dans quel ordre, quelles bornes, ce qu'il refuse, jusqu'où il remonte.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import threading
import time
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

from aiohttp import web
from marche_simule import classe_neuve

from bourse_locale.flux import resume
from bourse_locale.marche import JOUR_MS, SEMAINE_MS, Bougie, Instrument, Marche, Pas, Trade, instant_ms
from bourse_locale.pages import derniers_trades, premiers_trades

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Params: TypeAlias = dict[str, Any]
Attendue: TypeAlias = tuple[int, float, float, float, float, float | None]
HUIT_HEURES_MS = 28_800_000
INSTANT_MAX = 2**53
_UNITES_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": JOUR_MS}


def pas_de(code: str) -> Pas:
    """Le pas d'un timeframe de ccxt, dans les mots du marché simulé."""
    calendrier: dict[str, Pas] = {"1w": "semaine", "1M": "mois"}
    return calendrier.get(code) or int(code[:-1]) * _UNITES_MS[code[-1]]


def _duree_ms(code: str) -> int:
    """La durée d'une bougie ; celle d'un mois, au plus."""
    pas = pas_de(code)
    return pas if isinstance(pas, int) else {"semaine": SEMAINE_MS, "mois": 31 * JOUR_MS}[pas]


class RefusError(Exception):
    """Une réponse d'erreur de l'exchange : code HTTP et corps."""

    def __init__(self, code: int, corps: object) -> None:
        super().__init__(code)
        self.code, self.corps = code, corps


@dataclass
class Vue:
    """Une requête reçue."""

    instant_s: float
    chemin: str
    params: Params
    bougies: bool = False
    lignes: int = 0
    refusee: bool = False


class Simulateur:
    """La base : un serveur dans un fil, un marché, un journal des requêtes, des pannes passagères sur les bougies."""

    nom: str
    symbole: str
    pleines: ClassVar[bool] = False  # les minutes sans trade sont des bougies plates de volume nul
    ancres: ClassVar[dict[str, int]] = {}  # timeframe -> décalage de ses ouvertures

    def __init__(self, marche: Marche, instrument: Instrument) -> None:
        self.marche, self.instrument = marche, instrument
        self.vues: list[Vue] = []
        self.pannes: deque[str] = deque()
        self.port = 0
        self.maintenant_ms: Callable[[], int] = maintenant_ms

    # --- ce qu'un protocole définit ---

    def urls(self, base: str) -> object:
        """La valeur de `urls.api` qui mène ici."""
        raise NotImplementedError

    def repondre(self, chemin: str, params: Params) -> object:
        """La réponse JSON à une requête ; lève RefusError."""
        raise NotImplementedError

    def codes(self) -> dict[str, str]:
        """Le nom que l'exchange donne à un timeframe -> celui de ccxt."""
        return {str(valeur): code for code, valeur in classe_neuve(self.nom).timeframes.items()}

    # --- bougies ---

    def bougies(self, code: str, debut: int, fin: int) -> list[Bougie]:
        """Les bougies qui ouvrent dans [debut, fin[, jusqu'à celle en cours."""
        maintenant = self.maintenant_ms()
        lire = self.marche.bougies_pleines if self.pleines else self.marche.bougies
        pas: Pas = SEMAINE_MS if code in self.ancres and code.endswith("w") else pas_de(code)
        fin = min(fin, maintenant + 1)
        return lire(self.instrument, pas, debut, fin, ancre_ms=self.ancres.get(code, 0), maintenant_ms=maintenant)

    def dernieres(self, code: str, fin: int, nombre: int) -> list[Bougie]:
        """Les `nombre` dernières bougies qui ouvrent avant `fin`."""
        debut, duree = fin, 2 * nombre * _duree_ms(code)
        while debut > self.instrument.cotation_ms:
            debut, duree = fin - duree, 2 * duree
            if len(trouvees := self.bougies(code, debut, fin)) >= nombre:
                return trouvees[-nombre:]
        return self.bougies(code, 0, fin)

    def servir(self, bougies: list[Bougie]) -> list[Bougie]:
        """Note qu'une page de bougies part, abîmée s'il le faut."""
        if self.pannes and self.pannes[0] == "page_vide":
            self.pannes.popleft()
            bougies = []
        self.vues[-1].bougies, self.vues[-1].lignes = True, len(bougies)
        return bougies

    # --- trades ---

    def trades(self, debut: int, fin: int, nombre: int) -> list[Trade]:
        """Les `nombre` derniers trades de [debut, fin[, du plus récent au plus ancien."""
        fin = min(fin, self.maintenant_ms() + 1)
        return derniers_trades(self.marche, self.instrument, debut, fin, nombre)[::-1]

    def quantite(self, trade: Trade) -> str:
        """La quantité qu'écrit l'exchange."""
        return self.instrument.texte_quantite(trade.quantite)

    def prix(self, valeur: int) -> str:
        """Un prix en texte."""
        return self.instrument.texte_prix(valeur)

    def volume(self, bougie: Bougie) -> str:
        """Le volume qu'écrit l'exchange."""
        return self.instrument.texte_quantite(bougie.volume)

    def attendu(self, code: str, debut: int, fin: int) -> list[Attendue]:
        """L'oracle : les bougies de [debut, fin[, en flottants, telles que ccxt les rend."""
        return [
            (b.ts, *(float(self.prix(v)) for v in b[1:5]), float(self.volume(b)))  # type: ignore[misc]
            for b in self.bougies(code, debut, fin)
        ]

    # --- serveur ---

    @property
    def config(self) -> Params:
        """La configuration à donner au constructeur ccxt."""
        return {"urls": {"api": self.urls(f"http://127.0.0.1:{self.port}")}, "timeout_on_exit": 0}

    @property
    def pages(self) -> list[Vue]:
        """Les requêtes de bougies reçues."""
        return [vue for vue in self.vues if vue.bougies]

    @contextlib.contextmanager
    def en_fil(self) -> Iterator[Simulateur]:
        """Sert depuis un fil à part le temps du contexte."""
        boucle = asyncio.new_event_loop()
        fil = threading.Thread(target=boucle.run_forever, daemon=True)
        fil.start()
        serveur = asyncio.run_coroutine_threadsafe(self._demarrer(), boucle).result()
        try:
            yield self
        finally:
            asyncio.run_coroutine_threadsafe(serveur.cleanup(), boucle).result()
            boucle.call_soon_threadsafe(boucle.stop)
            fil.join()
            boucle.close()

    async def _demarrer(self) -> web.AppRunner:
        application = web.Application()
        application.router.add_route("*", "/{reste:.*}", self._traiter)
        serveur = web.AppRunner(application, access_log=None, shutdown_timeout=0)
        await serveur.setup()
        ecoute = web.TCPSite(serveur, "127.0.0.1", 0)
        await ecoute.start()
        self.port = serveur.addresses[0][1]
        return serveur

    async def _traiter(self, http: web.Request) -> web.StreamResponse:
        corps = json.loads(await http.text() or "{}")
        try:
            donnees, code = self.recevoir(http.path, {**http.query, **corps}), 200
        except RefusError as refus:
            donnees, code = refus.corps, refus.code
            self.vues[-1].refusee = True
        if self.vues[-1].bougies and self.pannes:
            return await self._abimer(http, self.pannes.popleft(), json.dumps(donnees))
        return web.json_response(donnees, status=code)

    def recevoir(self, chemin: str, params: Params) -> object:
        """Note une requête, et rend sa réponse."""
        self.vues.append(Vue(time.monotonic(), chemin, params))
        return self.repondre(chemin, params)

    async def _abimer(self, http: web.Request, panne: str, corps: str) -> web.StreamResponse:
        """Une panne passagère, avant ou pendant le corps."""
        if panne == "429":
            return web.json_response({"message": "slow down"}, status=429, headers={"Retry-After": "1"})
        if panne == "html":
            return web.Response(text="<html><body>Maintenance</body></html>", content_type="text/html")
        if panne == "coupe":
            return web.Response(text=corps[: len(corps) // 2], content_type="application/json")
        reponse = web.StreamResponse(headers={"Content-Length": str(len(corps)), "Content-Type": "application/json"})
        await reponse.prepare(http)
        await reponse.write(corps[: len(corps) // 2].encode())
        if http.transport is not None:
            http.transport.close()
        return reponse


def maintenant_ms() -> int:
    """L'heure vraie : les classes ccxt jugent de ce qui est ancien d'après la leur."""
    return time.time_ns() // 1_000_000


# --- gate ---


class Gate(Simulateur):
    """`from` et `to` inclus, en secondes, croissant ; refuse au-delà de 10 000 points en arrière ou d'une page."""

    nom, symbole = "gate", "AAA/USDT"
    page: ClassVar[int] = 1000
    ancres: ClassVar[dict[str, int]] = {"7d": 0, "1w": 0}  # semaines comptées depuis l'époque : elles ouvrent le jeudi

    def urls(self, base: str) -> object:
        """Où la classe ccxt appelle."""
        return {"public": dict.fromkeys(("spot", "margin", "futures", "delivery", "options"), base)}

    def repondre(self, chemin: str, params: Params) -> object:
        """Heure, marchés, bougies."""
        marches = {"id": "AAA_USDT", "base": "AAA", "quote": "USDT", "trade_status": "tradable", "amount_precision": 3}
        contrat = {"name": "AAA_USDT", "quanto_multiplier": "0.01", "order_price_deviate": "0.5", "mark_price": "100"}
        fixes: dict[str, object] = {
            "/spot/time": {"server_time": self.maintenant_ms()},
            "/spot/currency_pairs": [marches],
            "/margin/currency_pairs": [],
            "/futures/usdt/contracts": [contrat],
            "/futures/btc/contracts": [],
        }
        if chemin in fixes:
            return fixes[chemin]
        if chemin.endswith("/candlesticks"):
            return [self._rediger(b) for b in self.servir(self._page(params))]
        if chemin.endswith("/trades"):
            fin = (int(params["to"]) + 1) * 1000 if "to" in params else self.maintenant_ms() + 1
            page = self.trades(int(params.get("from", 0)) * 1000, fin, min(int(params.get("limit", 100)), 1000))
            return [self.rediger_trade(t) for t in page]
        raise RefusError(404, {"label": "NOT_FOUND", "message": chemin})

    def rediger_trade(self, t: Trade) -> Params:
        """Un trade ; du comptant."""
        return {
            "id": str(t.id), "create_time": str(t.ts // 1000), "create_time_ms": f"{t.ts}.0", "side": t.sens,
            "currency_pair": "AAA_USDT", "amount": self.quantite(t), "price": self.prix(t.prix),
        }  # fmt: skip

    def _page(self, params: Params) -> list[Bougie]:
        code = self.codes()[params["interval"]]
        pas_s = _duree_ms(code) // 1000
        debut, fin = int(params["from"]), int(params["to"])
        if debut > fin:
            raise RefusError(400, _invalide("invalid time range"))
        if (fin - debut) // pas_s + 1 > self.page:
            raise RefusError(400, _invalide(f"Too many candlesticks requested. Maximum {self.page} points are allowed"))
        if debut < self.maintenant_ms() // 1000 - 10_000 * pas_s:
            self.vues[-1].bougies = True
            raise RefusError(400, _invalide("Candlestick too long ago. Maximum 10000 points ago are allowed"))
        return self.bougies(code, debut * 1000, fin * 1000 + 1)

    def _rediger(self, b: Bougie) -> object:
        o, h, low, c = map(self.prix, b[1:5])
        return [str(b.ts // 1000), "1", c, h, low, o, self.volume(b), "true"]


def _invalide(message: str) -> Params:
    return {"label": "INVALID_PARAM_VALUE", "message": message}


class GateSwap(Gate):
    """Les contrats de gate : deux mille points par page, minutes vides plates, volume en contrats."""

    symbole = "AAA/USDT:USDT"
    page: ClassVar[int] = 2000
    pleines: ClassVar[bool] = True

    def _rediger(self, b: Bougie) -> object:
        o, h, low, c = map(self.prix, b[1:5])
        return {"t": b.ts // 1000, "o": o, "h": h, "l": low, "c": c, "v": self.volume(b)}

    def rediger_trade(self, t: Trade) -> Params:
        """Un trade d'un contrat : une quantité de contrats, négative pour une vente."""
        signe = "-" if t.sens == "sell" else ""
        return {
            "id": t.id, "create_time": t.ts // 1000, "create_time_ms": t.ts / 1000, "contract": "AAA_USDT",
            "size": signe + self.quantite(t), "price": self.prix(t.prix),
        }  # fmt: skip


# --- kucoin ---


class Kucoin(Simulateur):
    """Les 1500 dernières de [startAt, endAt[, la plus récente d'abord ; les minutes vides manquent."""

    nom, symbole = "kucoin", "AAA/USDT"

    def urls(self, base: str) -> object:
        """Où la classe ccxt appelle."""
        return {"public": base, "futuresPublic": base}

    def repondre(self, chemin: str, params: Params) -> object:
        """Heure, marchés, bougies."""
        if chemin == "/api/v1/timestamp":
            return {"code": "200000", "data": self.maintenant_ms()}
        if chemin == "/api/v2/symbols":
            marche = {"symbol": "AAA-USDT", "enableTrading": True, "baseIncrement": "0.001", "priceIncrement": "0.01"}
            return {"code": "200000", "data": [marche]}
        if chemin == "/api/v1/market/allTickers":
            return {"code": "200000", "data": {"ticker": [{"symbol": "AAA-USDT", "takerFeeRate": "0.001"}]}}
        if chemin == "/api/v1/market/candles":
            bornes = (int(params["startAt"]) * 1000, int(params["endAt"]) * 1000)
            page = self.servir(self.bougies(self.codes()[params["type"]], *bornes)[-1500:])
            return {"code": "200000", "data": [self._rediger(b) for b in reversed(page)]}
        if chemin == "/api/v1/market/histories":  # les cent derniers, sans identifiant de trade
            return {"code": "200000", "data": [self.rediger_trade(t) for t in self.trades(0, INSTANT_MAX, 100)]}
        raise RefusError(404, {"code": "404", "msg": chemin})

    def rediger_trade(self, t: Trade) -> Params:
        """Un trade du REST."""
        instant = t.ts * 1_000_000 + 500_000  # ccxt divise en flottants
        return {"sequence": str(t.id), "side": t.sens, "size": self.quantite(t), "price": self.prix(t.prix),
                "time": instant}  # fmt: skip

    def _rediger(self, b: Bougie) -> object:
        o, h, low, c = map(self.prix, b[1:5])
        return [str(b.ts // 1000), o, c, h, low, self.volume(b), "1"]


# --- bitget ---


class Bitget(Simulateur):
    """Les dernières de la fenêtre ; `candles` ne remonte que d'un certain nombre de jours, puis `history-candles`.

    `history-candles` ignore `startTime` : les `limit` (200 au plus) qui ouvrent avant `endTime`.
    """

    nom, symbole = "bitget", "AAA/USDT"

    def urls(self, base: str) -> object:
        """Où la classe ccxt appelle."""
        return dict.fromkeys(("spot", "mix", "margin", "common", "uta"), base)

    def codes(self) -> dict[str, str]:
        """Les noms du comptant."""
        return {v: k for k, v in classe_neuve("bitget").options["fetchOHLCV"]["timeframes"]["spot"].items()}

    def repondre(self, chemin: str, params: Params) -> object:
        """Heure, marchés, bougies."""
        if chemin == "/api/v2/public/time":
            return _reussi({"serverTime": str(self.maintenant_ms())})
        if chemin == "/api/v2/spot/public/symbols":
            marche = {"symbol": "AAAUSDT", "baseCoin": "AAA", "quoteCoin": "USDT", "status": "online"}
            return _reussi([{**marche, "pricePrecision": "2", "quantityPrecision": "3"}])
        if chemin == "/api/v2/margin/currencies":
            return _reussi([{"symbol": "AAAUSDT", "isBorrowable": False}])
        if chemin == "/api/v2/spot/market/candles":
            return _reussi([self._rediger(b) for b in self.servir(self._recentes(params))])
        if chemin == "/api/v2/spot/market/history-candles":
            return _reussi([self._rediger(b) for b in self.servir(self._anciennes(params))])
        if chemin == "/api/v2/spot/market/fills-history":
            fin = int(params["endTime"]) + 1 if "endTime" in params else self.maintenant_ms() + 1
            limite = int(params.get("limit", 500))
            if limite > 1000:
                raise RefusError(400, {"code": "40020", "msg": "Parameter limit error"})
            return _reussi([self.rediger_trade(t) for t in self.trades(int(params.get("startTime", 0)), fin, limite)])
        raise RefusError(404, {"code": "40404", "msg": chemin})

    def rediger_trade(self, t: Trade) -> Params:
        """Un trade du REST."""
        return {
            "symbol": "AAAUSDT", "tradeId": str(t.id), "side": t.sens, "price": self.prix(t.prix),
            "size": self.quantite(t), "ts": str(t.ts),
        }  # fmt: skip

    def _recentes(self, params: Params) -> list[Bougie]:
        code, limite = self.codes()[params["granularity"]], int(params["limit"])
        jours = classe_neuve("bitget").options["fetchOHLCV"]["maxRecentDaysPerTimeframe"].get(code, 10_000)
        debut = max(int(params["startTime"]), self.maintenant_ms() - jours * JOUR_MS)
        return self.bougies(code, debut, int(params["endTime"]) + 1)[-min(limite, 1000) :]

    def _anciennes(self, params: Params) -> list[Bougie]:
        code, limite, fin = self.codes()[params["granularity"]], int(params["limit"]), int(params["endTime"])
        if limite > 200:
            raise RefusError(400, {"code": "40020", "msg": "Parameter limit error"})
        return self.dernieres(code, fin, limite)

    def _rediger(self, b: Bougie) -> object:
        return [str(b.ts), *map(self.prix, b[1:5]), self.volume(b), "1", "1"]


def _reussi(donnees: object) -> Params:
    return {"code": "00000", "msg": "success", "requestTime": maintenant_ms(), "data": donnees}


# --- coinbaseexchange ---


class CoinbaseExchange(Simulateur):
    """`start` et `end` inclus, la plus récente d'abord ; refuse une fenêtre de plus de 300 points."""

    nom, symbole = "coinbaseexchange", "AAA/USD"

    def urls(self, base: str) -> object:
        """Où la classe ccxt appelle."""
        return {"public": base}

    def repondre(self, chemin: str, params: Params) -> object:
        """Heure, marchés, bougies."""
        if chemin == "/time":
            return {"iso": "", "epoch": self.maintenant_ms() / 1000}
        if chemin == "/products":
            return [{"id": "AAA-USD", "status": "online", "base_increment": "0.001", "quote_increment": "0.01"}]
        if chemin == "/products/AAA-USD/candles":
            pas_ms = int(params["granularity"]) * 1000
            debut, fin = _iso_ms(params["start"]), _iso_ms(params["end"])
            if (fin - debut) // pas_ms > 300:
                self.vues[-1].bougies = True
                trop = "Count of aggregations requested exceeds 300"
                raise RefusError(400, {"message": f"granularity too small for the requested time range. {trop}"})
            page = self.servir(self.bougies(self.codes()[params["granularity"]], debut, fin + 1))
            return [self._rediger(b) for b in reversed(page)]
        if chemin == "/products/AAA-USD/ticker" and (lu := resume(self.marche, self.instrument, self.maintenant_ms())):
            # Le haut du carnet bouge sans qu'un trade ait lieu, et le volume est celui des 24 dernières heures.
            return {"ask": self.prix(lu.ask.prix), "bid": self.prix(lu.bid.prix), "volume": self.volume(lu.jour),
                    "price": self.prix(lu.dernier.prix), "trade_id": lu.dernier.id, "time": "2024-01-05T00:00:00Z"}
        raise RefusError(404, {"message": "NotFound"})

    def _rediger(self, b: Bougie) -> object:
        o, h, low, c = (float(self.prix(v)) for v in b[1:5])
        return [b.ts // 1000, low, h, o, c, float(self.volume(b))]


def _iso_ms(texte: str) -> int:
    date = datetime.fromisoformat(texte)
    return instant_ms(date.replace(tzinfo=None, microsecond=0).isoformat()) + date.microsecond // 1000


# --- coinbase ---


class Coinbase(Simulateur):
    """L'API « advanced trade » : trois cents bougies au plus par fenêtre, mille trades, les plus récents d'abord."""

    nom, symbole = "coinbase", "AAA/USDT"

    def urls(self, base: str) -> object:
        """Où la classe ccxt appelle."""
        return {"rest": base}

    def repondre(self, chemin: str, params: Params) -> object:
        """Heure, marchés, bougies, trades."""
        produits = "/api/v3/brokerage/market/products"
        if chemin in ("/v2/time", "/api/v3/brokerage/time"):
            seconde = self.maintenant_ms() // 1000
            return {"data": {"epoch": seconde}, "epochSeconds": str(seconde)}
        if chemin == produits:
            if params.get("product_type") == "FUTURE":
                return {"products": []}
            marche = {"product_id": "AAA-USDT", "base_currency_id": "AAA", "quote_currency_id": "USDT"}
            reste = {"product_type": "SPOT", "base_increment": "0.001", "quote_increment": "0.01", "alias": ""}
            return {"products": [marche | reste]}
        if chemin == f"{produits}/AAA-USDT/candles":
            debut, fin, code = int(params["start"]), int(params["end"]), self.codes()[params["granularity"]]
            if (fin - debut) * 1000 // _duree_ms(code) > 350:
                raise RefusError(400, {"error": "INVALID_ARGUMENT", "error_details": "max 350 candles"})
            page = self.servir(self.bougies(code, debut * 1000, fin * 1000 + 1))
            return {"candles": [self._rediger(b) for b in reversed(page)]}
        if chemin == f"{produits}/AAA-USDT/ticker":
            fin = int(params["end"]) * 1000 + 1 if "end" in params else INSTANT_MAX
            page_trades = self.trades(int(params.get("start", 0)) * 1000, fin, min(1000, int(params["limit"])))
            return {"trades": [self.rediger_trade(t) for t in page_trades], "best_bid": "1", "best_ask": "2"}
        raise RefusError(404, {"error": "NOT_FOUND", "message": chemin})

    def _rediger(self, b: Bougie) -> object:
        o, h, low, c = map(self.prix, b[1:5])
        return {"start": str(b.ts // 1000), "low": low, "high": h, "open": o, "close": c, "volume": self.volume(b)}

    def rediger_trade(self, t: Trade) -> Params:
        """Un trade, le même partout."""
        instant = datetime.fromtimestamp(t.ts / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return {
            "trade_id": str(t.id), "product_id": "AAA-USDT", "price": self.prix(t.prix), "size": self.quantite(t),
            "time": instant, "side": t.sens.upper(),
        }  # fmt: skip


# --- hyperliquid ---


class Hyperliquid(Simulateur):
    """Un seul point d'entrée en POST ; seules les 5000 bougies les plus récentes de chaque timeframe existent."""

    nom, symbole = "hyperliquid", "AAA/USDC:USDC"

    def urls(self, base: str) -> object:
        """Où la classe ccxt appelle."""
        return {"public": base}

    def repondre(self, chemin: str, params: Params) -> object:  # noqa: ARG002  tout est dans le corps
        """Heure, marchés, bougies."""
        if params["type"] == "exchangeStatus":
            return {"specialStatuses": None, "time": self.maintenant_ms()}
        if params["type"] == "metaAndAssetCtxs":
            if "dex" in params:
                return [{"universe": [{"name": "xyz:BBB", "szDecimals": 3}], "collateralToken": 0}, [{"markPx": "100"}]]
            prix = {"markPx": "100", "coin": "AAA"}
            return [{"universe": [{"name": "AAA", "szDecimals": 3, "maxLeverage": 50}]}, [prix]]
        if params["type"] == "perpDexs":
            return [None, {"name": "xyz"}]
        if params["type"] == "spotMetaAndAssetCtxs":
            return [{"tokens": [], "universe": []}, []]
        if params["type"] == "candleSnapshot":
            return [self._rediger(b) for b in self.servir(self._page(params["req"]))]
        raise RefusError(422, "Failed to deserialize the JSON body into the target type")

    def _page(self, demande: Params) -> list[Bougie]:
        code, maintenant = demande["interval"], self.maintenant_ms()
        plus_ancienne = maintenant - 5000 * _duree_ms(code)
        toutes = self.bougies(code, max(demande["startTime"], plus_ancienne), demande["endTime"] + 1)
        return toutes[:5000]

    def _rediger(self, b: Bougie) -> object:
        o, h, low, c = map(self.prix, b[1:5])
        return {"t": b.ts, "o": o, "h": h, "l": low, "c": c, "v": self.volume(b), "s": "AAA", "n": b.nombre}


# --- htx ---


class Htx(Simulateur):
    """Les `size` dernières de [from, to], la plus récente d'abord ; jours et mois ouverts à 16:00 UTC (Singapour)."""

    nom, symbole = "htx", "AAA/USDT"
    pleines: ClassVar[bool] = True
    ancres: ClassVar[dict[str, int]] = {"1d": -HUIT_HEURES_MS, "1M": -HUIT_HEURES_MS}

    def urls(self, base: str) -> object:
        """Où la classe ccxt appelle."""
        return dict.fromkeys(("contract", "spot", "public"), base)

    def codes(self) -> dict[str, str]:
        """Sans les années, que le marché simulé n'a pas."""
        return {nom: code for nom, code in super().codes().items() if code != "1y"}

    def repondre(self, chemin: str, params: Params) -> object:
        """Heure, marchés, bougies."""
        bilan = {"status": "ok", "ts": self.maintenant_ms()}
        contrat = {"contract_code": "AAA-USDT", "symbol": "AAA", "business_type": "swap", "contract_size": 0.01}
        fixes: dict[str, object] = {
            "/v1/common/timestamp": self.maintenant_ms(),
            "/v1/common/symbols": [{"base-currency": "aaa", "quote-currency": "usdt", "state": "online"}],
            "/linear-swap-api/v1/swap_contract_info": [{**contrat, "contract_status": 1, "pair": "AAA-USDT"}],
            "/swap-api/v1/swap_contract_info": [{"contract_code": "ZZZ-USD", "symbol": "ZZZ", "contract_status": 1}],
            "/api/v1/contract_contract_info": [
                {"contract_code": "ZZZ260101", "symbol": "ZZZ", "delivery_date": "20260101", "delivery_time": 0}
            ],
            "/api/v1/timestamp": None,
        }
        if chemin in fixes:
            return {**bilan, "data": fixes[chemin]}
        if chemin in ("/market/history/candles", "/linear-swap-ex/market/history/kline"):
            page = self.servir(self._page(chemin, params))
            return {**bilan, "data": [self._rediger(b) for b in reversed(page)]}
        if chemin in ("/market/history/trade", "/linear-swap-ex/market/history/trade"):
            page_trades = self.trades(0, INSTANT_MAX, min(2000, int(params["size"])))
            return {**bilan, "data": [{"id": t.id, "ts": t.ts, "data": [self.rediger_trade(t)]} for t in page_trades]}
        raise RefusError(404, {"status": "error", "err-code": "not-found", "err-msg": chemin})

    def rediger_trade(self, t: Trade) -> Params:
        """Un trade du REST : le flux nomme autrement le même identifiant."""
        commun = {"ts": t.ts, "price": float(self.prix(t.prix)), "direction": t.sens}
        return {**commun, "id": self.identifiant_long(t), "trade-id": t.id, "amount": float(self.quantite(t))}

    def identifiant_long(self, t: Trade) -> int:
        """L'identifiant de l'ordre et du trade, d'un seul tenant."""
        return 10**18 + 89 * t.id

    def _page(self, chemin: str, params: Params) -> list[Bougie]:
        code, contrat = self.codes()[params["period"]], chemin.startswith("/linear")
        if contrat and "size" in params:  # `size` l'emporte : `from` et `to` sont ignorés
            return self.dernieres(code, self.maintenant_ms() + 1, int(params["size"]))
        bougies = self.bougies(code, int(params["from"]) * 1000, int(params["to"]) * 1000 + 1)
        return bougies[-2000:] if contrat else bougies[-int(params["size"]) :]

    def _rediger(self, b: Bougie) -> object:
        o, h, low, c = (float(self.prix(v)) for v in b[1:5])
        return {"id": b.ts // 1000, "open": o, "close": c, "low": low, "high": h, "amount": float(self.volume(b))}


class HtxSwap(Htx):
    """Les contrats de htx : 2000 par page ; `size` y efface `from` et `to`."""

    symbole = "AAA/USDT:USDT"

    def rediger_trade(self, t: Trade) -> Params:
        """Un trade : `amount` compte des contrats, `quantity` la monnaie de base."""
        commun = {"ts": t.ts, "price": float(self.prix(t.prix)), "direction": t.sens, "id": self.identifiant_long(t)}
        return {**commun, "amount": round(float(self.quantite(t)) * 100, 6), "quantity": float(self.quantite(t))}


# --- bitfinex ---


class Bitfinex(Simulateur):
    """`start` et `end` inclus, croissant avec `sort=1` ; pas d'heure : seul l'en-tête Date la dit."""

    nom, symbole = "bitfinex", "AAA/USD"

    def urls(self, base: str) -> object:
        """Où la classe ccxt appelle."""
        return {"public": base, "v1": base}

    def repondre(self, chemin: str, params: Params) -> object:
        """Heure, marchés, bougies."""
        if chemin.startswith("/v2/conf/"):
            return [[["AAAUSD", [None, None, None, "2", "1000"]]], [], [], []]
        trouve = re.fullmatch(r"/v2/candles/trade:(\w+):tAAAUSD/hist", chemin)
        if trouve:
            bornes = (int(params["start"]), int(params["end"]) + 1)
            page = self.bougies(self.codes()[trouve[1]], *bornes)[: min(10_000, int(params["limit"]))]
            return [self._rediger(b) for b in self.servir(page)]
        if chemin == "/v2/trades/tAAAUSD/hist":
            limite = min(10_000, int(params.get("limit", 120)))
            debut, fin = int(params.get("start", 0)), int(params.get("end", INSTANT_MAX)) + 1
            if params["sort"] == "1":
                fin = min(fin, self.maintenant_ms() + 1)
                premiers = premiers_trades(self.marche, self.instrument, debut, fin, limite)[:limite]
                return [self.rediger_trade(t) for t in premiers]
            return [self.rediger_trade(t) for t in self.trades(debut, fin, limite)]
        raise RefusError(500, ["error", 10020, "unknown"])

    def rediger_trade(self, t: Trade) -> list[object]:
        """Un trade ; les identifiants croissent, communs à tous les marchés : ils ne se suivent pas."""
        quantite = float(self.quantite(t))
        return [7 * t.id + t.id % 5, t.ts, quantite if t.sens == "buy" else -quantite, float(self.prix(t.prix))]

    def _rediger(self, b: Bougie) -> object:
        o, h, low, c = (float(self.prix(v)) for v in b[1:5])
        return [b.ts, o, c, h, low, float(self.volume(b))]


SIMULATEURS: dict[str, type[Simulateur]] = {
    "gate": Gate,
    "gate_swap": GateSwap,
    "kucoin": Kucoin,
    "bitget": Bitget,
    "coinbaseexchange": CoinbaseExchange,
    "coinbase": Coinbase,
    "hyperliquid": Hyperliquid,
    "htx": Htx,
    "htx_swap": HtxSwap,
    "bitfinex": Bitfinex,
}
