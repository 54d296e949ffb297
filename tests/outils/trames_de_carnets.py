"""Des trames de carnet dans la forme de chaque exchange, et un serveur local qui les envoie à sa vraie classe ccxt.pro.

Chaque carnet est le même : à la trame n, l'acheteur est à 90 + n, et celui de la trame d'avant s'en va. D'une trame
perdue, il resterait donc un acheteur de trop.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from aiohttp import web
from ecoute_rejouee import dialoguer, diriger, ecrire, servir
from marche_simule import marche_de

import module_ccxt_fr_v2 as m

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

Objet = dict[str, Any]
INSTANT = 1_700_000_000_000
PREMIER = 7  # le numéro du premier état
VENTE = 200


def acheteur(numero: int) -> int:
    """Le seul acheteur de l'état que laisse cette trame."""
    return 90 + numero


def _cotes(numero: int, *, entier: bool) -> tuple[list[list[str]], list[list[str]]]:
    achats = [[str(acheteur(numero)), "1"]]
    if entier:
        return achats, [[str(VENTE), "1"]]
    return [*achats, [str(acheteur(numero - 1)), "0"]], []


def _nombres(niveaux: list[list[str]]) -> list[list[float]]:
    return [[float(prix), float(quantite)] for prix, quantite in niveaux]


def _nommes(niveaux: list[list[str]], prix: str, quantite: str) -> list[Objet]:
    return [{prix: niveau[0], quantite: niveau[1]} for niveau in niveaux]


# --- Une trame par exchange : (numéro, entière ou non)


def _gate(numero: int, *, entier: bool = False) -> Objet:
    b, a = _cotes(numero, entier=entier)
    suite = {"full": True} if entier else {"U": 10 * numero - 9}
    return {"channel": "spot.obu", "event": "update", "time_ms": INSTANT + numero,
            "result": {"t": INSTANT + numero, "s": "ob.AAA_BBB.50", "u": 10 * numero, "b": b, "a": a,
                       **suite}}  # fmt: skip


def _kucoin(numero: int, *, entier: bool = False) -> Objet:
    b, a = _cotes(numero, entier=entier)
    rang = str(10 * numero)
    return {"type": "message", "topic": "/market/level2:AAA-BBB", "subject": "trade.l2update", "data": {
        "sequenceStart": 10 * numero - 9, "sequenceEnd": 10 * numero, "symbol": "AAA-BBB", "time": INSTANT + numero,
        "changes": {"bids": [[*n, rang] for n in b], "asks": [[*n, rang] for n in a]}}}  # fmt: skip


def _kucoin_swap(numero: int, *, entier: bool = False) -> Objet:
    del entier
    return {"type": "message", "topic": "/contractMarket/level2:AAABBBM", "subject": "level2", "sn": numero, "data": {
        "sequence": numero, "change": f"{acheteur(numero)},buy,1", "timestamp": INSTANT + numero}}  # fmt: skip


def _mexc_swap(numero: int, *, entier: bool = False) -> Objet:
    b, a = (_nombres(cote) for cote in _cotes(numero, entier=entier))
    return {"channel": "push.depth", "symbol": "AAA_BBB", "ts": INSTANT + numero, "data": {
        "bids": [[*n, 1] for n in b], "asks": [[*n, 1] for n in a], "begin": 10 * numero - 9, "end": 10 * numero,
        "version": 10 * numero}}  # fmt: skip


def _bittrade(numero: int, *, entier: bool = False) -> Objet:
    b, a = (_nombres(cote) for cote in _cotes(numero, entier=entier))
    return {"ch": "market.aaabbb.mbp.150", "ts": INSTANT + numero, "tick": {
        "seqNum": 10 * numero, "prevSeqNum": 10 * numero - 10, "bids": b, "asks": a}}  # fmt: skip


def _htx_swap(numero: int, *, entier: bool = False) -> Objet:
    b, a = (_nombres(cote) for cote in _cotes(numero, entier=entier))
    ch = "market.AAA-BBB.depth.size_150.high_freq"
    return {"ch": ch, "ts": INSTANT + numero, "tick": {
        "ch": ch, "event": "snapshot" if entier else "update", "id": numero, "mrid": numero, "ts": INSTANT + numero,
        "version": numero, "bids": b, "asks": a}}  # fmt: skip


def _blofin(numero: int, *, entier: bool = False) -> Objet:
    b, a = (_nombres(cote) for cote in _cotes(numero, entier=entier))
    return {"arg": {"channel": "books", "instId": "AAA-BBB"}, "action": "snapshot" if entier else "update", "data": {
        "bids": b, "asks": a, "ts": str(INSTANT + numero), "prevSeqId": "0" if entier else str(10 * numero - 10),
        "seqId": str(10 * numero)}}  # fmt: skip


def _bitget(numero: int, *, entier: bool = False) -> Objet:
    b, a = _cotes(numero, entier=entier)
    return {"action": "snapshot" if entier else "update", "ts": INSTANT + numero,
            "arg": {"instType": "SPOT", "channel": "books", "instId": "AAABBB"},
            "data": [{"bids": b, "asks": a, "ts": str(INSTANT + numero), "seq": 10 * numero,
                      "pseq": 0 if entier else 10 * numero - 10}]}  # fmt: skip


def _poloniex(numero: int, *, entier: bool = False) -> Objet:
    b, a = _cotes(numero, entier=entier)
    return {"channel": "book_lv2", "action": "snapshot" if entier else "update", "data": [{
        "symbol": "AAA_BBB", "createTime": INSTANT + numero, "ts": INSTANT + numero, "bids": b, "asks": a,
        "lastId": 10 * numero - 10, "id": 10 * numero}]}  # fmt: skip


def _hitbtc(numero: int, *, entier: bool = False) -> Objet:
    b, a = _cotes(numero, entier=entier)
    dits = {"AAABBB": {"t": INSTANT + numero, "s": numero, "a": a, "b": b}}
    return {"ch": "orderbook/full", "snapshot" if entier else "update": dits}


def _xt(numero: int, *, entier: bool = False) -> Objet:
    b, a = _cotes(numero, entier=entier)
    return {"topic": "depth_update", "event": "depth_update@aaa_bbb", "data": {
        "s": "aaa_bbb", "fi": 10 * numero - 9, "i": 10 * numero, "t": INSTANT + numero, "a": a, "b": b}}  # fmt: skip


def _xt_swap(numero: int, *, entier: bool = False) -> Objet:
    b, a = _cotes(numero, entier=entier)
    suite = {"pu": str(10 * numero - 10), "fu": str(10 * numero - 9), "u": str(10 * numero)}
    return {"topic": "depth_update", "event": "depth_update@aaa_bbb", "data": {
        "s": "aaa_bbb", **suite, "t": INSTANT + numero, "a": a, "b": b}}  # fmt: skip


def _weex_swap(numero: int, *, entier: bool = False) -> Objet:
    b, a = _cotes(numero, entier=entier)
    return {"e": "depthSnapshot" if entier else "depth", "E": INSTANT + numero, "s": "AAABBB", "U": 10 * numero - 10,
            "u": 10 * numero, "l": 200, "d": "SNAPSHOT" if entier else "CHANGED", "b": b, "a": a}  # fmt: skip


def _lighter(numero: int, *, entier: bool = False) -> Objet:
    b, a = (_nommes(cote, "price", "size") for cote in _cotes(numero, entier=entier))
    return {"channel": "order_book:12", "offset": 3 * numero, "timestamp": INSTANT + numero,
            "type": f"{'subscribed' if entier else 'update'}/order_book",
            "order_book": {"code": 0, "bids": b, "asks": a, "offset": 3 * numero, "nonce": 10 * numero,
                           "begin_nonce": 0 if entier else 10 * numero - 10}}  # fmt: skip


def _whitebit(numero: int, *, entier: bool = False) -> Objet:
    b, a = _cotes(numero, entier=entier)
    suite = {} if entier else {"past_update_id": 10 * numero - 10}
    donnees = {"timestamp": (INSTANT + numero) / 1000, "update_id": 10 * numero, **suite, "bids": b, "asks": a}
    return {"id": None, "method": "depth_update", "params": [entier, donnees, "AAA_BBB"]}


def _blockchaincom(numero: int, *, entier: bool = False) -> Objet:
    b, a = ([{"num": 1, "px": px, "qty": qty} for px, qty in _nombres(cote)] for cote in _cotes(numero, entier=entier))
    return {"seqnum": numero, "event": "snapshot" if entier else "updated", "channel": "l2", "symbol": "AAA-BBB",
            "bids": b, "asks": a, "timestamp": m.en_iso(INSTANT + numero)}  # fmt: skip


def _gemini(numero: int, *, entier: bool = False) -> Objet:
    cotes = zip(("bid", "ask"), _cotes(numero, entier=entier), strict=True)
    evenements = [
        {"type": "change", "reason": "place", "price": prix, "delta": quantite, "remaining": quantite, "side": cote,
         "symbol": "AAABBB"}
        for cote, niveaux in cotes for prix, quantite in niveaux
    ]  # fmt: skip
    return {"type": "update", "eventId": 5000 + numero, "socket_sequence": numero, "timestamp": INSTANT // 1000,
            "timestampms": INSTANT + numero, "events": evenements}  # fmt: skip


def _grvt(numero: int, *, entier: bool = False) -> Objet:
    b, a = ([{**n, "num_orders": 1} for n in _nommes(cote, "price", "size")] for cote in _cotes(numero, entier=entier))
    rangs = {"sequence_number": "0" if entier else str(10 * numero),
             "prev_sequence_number": "0" if entier else str(10 * numero - 10)}  # fmt: skip
    return {"stream": "v1.book.d", "selector": "AAA_BBB_Perp@500", **rangs, "feed": {
        "event_time": str((INSTANT + numero) * 1_000_000), "instrument": "AAA_BBB_Perp", "bids": b,
        "asks": a}}  # fmt: skip


def _extended(numero: int, *, entier: bool = False) -> Objet:
    b, a = ([{**n, "c": n["q"]} for n in _nommes(cote, "p", "q")] for cote in _cotes(numero, entier=entier))
    return {"ts": INSTANT + numero, "type": "SNAPSHOT" if entier else "DELTA", "seq": numero,
            "data": {"m": "AAA-BBB", "b": b, "a": a}}  # fmt: skip


def _deribit(numero: int, *, entier: bool = False) -> Objet:
    b, a = _cotes(numero, entier=entier)
    dits = [[["delete" if q == "0" else "new", float(p), float(q)] for p, q in cote] for cote in (b, a)]
    suite = {"type": "snapshot"} if entier else {"type": "change", "prev_change_id": 10 * numero - 10}
    donnees = {"timestamp": INSTANT + numero, "instrument_name": "AAA-BBB", "change_id": 10 * numero, **suite}
    return {"jsonrpc": "2.0", "method": "subscription", "params": {
        "channel": "book.AAA-BBB.100ms", "data": {**donnees, "bids": dits[0], "asks": dits[1]}}}  # fmt: skip


def _bitvavo(numero: int, *, entier: bool = False) -> Objet:
    b, a = _cotes(numero, entier=entier)
    return {"event": "book", "market": "AAA-BBB", "nonce": numero, "bids": b, "asks": a}


def _bybit(numero: int, *, entier: bool = False) -> Objet:
    b, a = _cotes(numero, entier=entier)
    return {"topic": "orderbook.50.AAABBB", "type": "snapshot" if entier else "delta", "ts": INSTANT + numero,
            "data": {"s": "AAABBB", "b": b, "a": a, "u": numero, "seq": 100 * numero}}  # fmt: skip


def _apex(numero: int, *, entier: bool = False) -> Objet:
    b, a = _cotes(numero, entier=entier)
    return {"topic": "orderBook25.H.AAABBB", "type": "snapshot" if entier else "delta", "ts": (INSTANT + numero) * 1000,
            "data": {"s": "AAABBB", "b": b, "a": a, "u": numero}}  # fmt: skip


def _backpack(numero: int, *, entier: bool = False) -> Objet:
    b, a = _cotes(numero, entier=entier)
    micros = str((INSTANT + numero) * 1000)
    return {"stream": "depth.AAA_BBB", "data": {"e": "depth", "E": micros, "T": micros, "s": "AAA_BBB",
                                                 "U": 10 * numero - 9, "u": 10 * numero, "a": a, "b": b}}  # fmt: skip


def _krakenfutures(numero: int, *, entier: bool = False) -> Objet:
    commun = {"product_id": "PF_AAABBB", "seq": numero, "timestamp": INSTANT + numero}
    if not entier:
        return {"feed": "book", **commun, "side": "buy", "price": float(acheteur(numero)), "qty": 1.0}
    b, a = ([{"price": p, "qty": q} for p, q in _nombres(cote)] for cote in _cotes(numero, entier=True))
    return {"feed": "book_snapshot", **commun, "tickSize": None, "bids": b, "asks": a}


# --- Ce que le serveur répond, et par où la classe entre


def rien(_message: Any) -> list[Any]:
    """Le flux suit sans un mot."""
    return []


@dataclass(frozen=True)
class Exchange:
    """Un exchange de la table : sa classe, son marché, ses trames, et ce que son serveur répond d'autre."""

    nom: str
    trame: Callable[..., Objet]
    marche_id: str
    genre: str = "spot"
    entier: bool = True  # le flux commence par un carnet entier ; sinon, le REST le sert
    remplace: bool = True  # chaque trame ôte l'acheteur d'avant
    repondre: Callable[[Any], list[Any]] = rien
    rest: Callable[[int], Any] | None = None  # le carnet REST, à ce numéro
    chemins: dict[str, Any] = field(default_factory=dict)  # d'autres réponses REST
    comprime: bool = False
    en_octets: bool = False  # ce qu'un protobuf décodé donne
    groupe: bool = False
    attend: int = 0  # trames que la classe garde avant de demander le carnet
    latence_s: float = 0.0  # du carnet REST
    pas_s: float = 0.03  # entre deux trames
    marche: Objet = field(default_factory=dict)  # ce que ccxt dit d'autre du sien
    voisin: Objet = field(default_factory=dict)  # un autre marché


def ack_gate(message: Any) -> list[Any]:
    """L'abonnement de gate."""
    return [{"time": 1, "id": message["id"], "channel": message["channel"], "event": "subscribe",
             "payload": message["payload"], "result": {"status": "success"}}]  # fmt: skip


def ack_kucoin(message: Any) -> list[Any]:
    """L'abonnement de kucoin."""
    return [{"id": message["id"], "type": "ack"}] if message["type"] == "subscribe" else []


def _ack_huobi(message: Any) -> list[Any]:
    if "sub" in message:
        return [{"id": message["id"], "status": "ok", "subbed": message["sub"], "ts": INSTANT}]
    b, a = (_nombres(cote) for cote in _cotes(PREMIER, entier=True))
    return [{"id": message["id"], "rep": message["req"], "status": "ok", "ts": INSTANT,
             "data": {"seqNum": 10 * PREMIER, "bids": b, "asks": a}}]  # fmt: skip


def _ack_bitvavo(message: Any) -> list[Any]:
    if message["action"] == "subscribe":
        return [{"event": "subscribed", "subscriptions": {"book": ["AAA-BBB"]}}]
    b, a = _cotes(PREMIER, entier=True)
    return [{"action": "getBook", "response": {"market": "AAA-BBB", "nonce": PREMIER, "bids": b, "asks": a}}]


def ack_mexc(message: Any) -> list[Any]:
    """L'abonnement de mexc."""
    return [{"channel": "rs.sub.depth", "data": "success", "ts": INSTANT}] if message["method"] == "sub.depth" else []


def _ack_whitebit(message: Any) -> list[Any]:
    return [{"id": message["id"], "result": {"status": "success"}, "error": None}]


def _ack_krakenfutures(message: Any) -> list[Any]:
    return [{"event": "subscribed", "feed": "book", "product_ids": message["product_ids"]}]


def _carnet_rest(achats: str, ventes: str, **autres: Any) -> Callable[[int], Objet]:
    def rediger(numero: int) -> Objet:
        b, a = _cotes(numero, entier=True)
        dits = {nom: valeur(numero) if callable(valeur) else valeur for nom, valeur in autres.items()}
        return {achats: b, ventes: a, **dits}

    return rediger


def jeton_kucoin() -> Objet:
    """Ce que kucoin répond avant le flux : où il est."""
    return {"/api/v1/bullet-public": {"code": "200000", "data": {"token": "jeton", "instanceServers": [
        {"endpoint": "{ws}/ws", "protocol": "websocket", "encrypt": False, "pingInterval": 18000,
         "pingTimeout": 10000}]}}}  # fmt: skip


EXCHANGES = [
    Exchange("gate", _gate, "AAA_BBB", repondre=ack_gate),
    Exchange("kucoin", _kucoin, "AAA-BBB", entier=False, repondre=ack_kucoin, attend=5, chemins=jeton_kucoin(),
             rest=lambda n: {"code": "200000", "data": _carnet_rest("bids", "asks", sequence=str(10 * n), time=1)(n)}),
    Exchange("kucoin", _kucoin_swap, "AAABBBM", "swap.linear", entier=False, remplace=False, attend=5,
             chemins=jeton_kucoin(), repondre=ack_kucoin,
             rest=lambda n: {"code": "200000", "data": _carnet_rest("bids", "asks", sequence=n, ts=1)(n)}),
    Exchange("mexc", _mexc_swap, "AAA_BBB", "swap.linear", entier=False, repondre=ack_mexc, attend=25,
             rest=lambda n: {"success": True, "code": 0, "data": {
                 **_carnet_rest("bids", "asks")(n), "version": 10 * n, "timestamp": INSTANT}}),
    Exchange("bittrade", _bittrade, "aaabbb", entier=False, repondre=_ack_huobi, comprime=True),
    Exchange("htx", _htx_swap, "AAA-BBB", "swap.linear", repondre=_ack_huobi, comprime=True),
    Exchange("blofin", _blofin, "AAA-BBB", "swap.linear"),
    Exchange("bitget", _bitget, "AAABBB"),
    Exchange("poloniex", _poloniex, "AAA_BBB"),
    Exchange("hitbtc", _hitbtc, "AAABBB"),
    Exchange("xt", _xt, "aaa_bbb", entier=False, attend=25,
             rest=lambda n: {"rc": 0, "mc": "SUCCESS", "ma": [], "result": {
                 **_carnet_rest("bids", "asks")(n), "timestamp": INSTANT, "lastUpdateId": 10 * n}}),
    Exchange("xt", _xt_swap, "aaa_bbb", "swap.linear", entier=False, attend=25,
             rest=lambda n: {"returnCode": 0, "msgInfo": "success", "error": None, "result": {
                 **_carnet_rest("b", "a")(n), "t": INSTANT, "u": 10 * n, "s": "aaa_bbb"}}),
    Exchange("weex", _weex_swap, "AAABBB", "swap.linear"),
    Exchange("lighter", _lighter, "12", "swap.linear"),
    Exchange("whitebit", _whitebit, "AAA_BBB", repondre=_ack_whitebit),
    Exchange("blockchaincom", _blockchaincom, "AAA-BBB"),
    Exchange("gemini", _gemini, "aaabbb", groupe=True),
    Exchange("grvt", _grvt, "AAA_BBB_Perp", "swap.linear"),
    Exchange("extended", _extended, "AAA-BBB", "swap.linear"),
    Exchange("deribit", _deribit, "AAA-BBB", "swap.linear"),
    Exchange("bitvavo", _bitvavo, "AAA-BBB", entier=False, repondre=_ack_bitvavo),
    Exchange("bybit", _bybit, "AAABBB"),
    Exchange("apex", _apex, "AAABBB", "swap.linear", marche={"id2": "AAABBB"}),
    Exchange("backpack", _backpack, "AAA_BBB", entier=False, attend=10,
             rest=_carnet_rest("bids", "asks", lastUpdateId=lambda n: str(10 * n), timestamp=INSTANT * 1000)),
    Exchange("krakenfutures", _krakenfutures, "PF_AAABBB", "swap.linear", remplace=False, repondre=_ack_krakenfutures),
]  # fmt: skip


class Nomme(Protocol):
    """Ce qui est d'un exchange, et d'un genre de marché."""

    @property
    def nom(self) -> str: ...  # noqa: D102
    @property
    def genre(self) -> str: ...  # noqa: D102


def nom_de(exchange: Nomme) -> str:
    """Ce qui le désigne dans un test."""
    return f"{exchange.nom}_{exchange.genre.partition('.')[0]}"


# --- Le serveur, et l'écoute


class Serveur:
    """Répond à une demande, puis envoie des trames ; compte ce qu'on lui demande."""

    def __init__(self, exchange: Exchange, trames: Iterable[tuple[int, Objet]]) -> None:
        self.exchange, self.trames = exchange, list(trames)
        self.connexions, self.demandes = 0, 0
        self.envoyees: list[int] = []
        self.tout_envoye = asyncio.Event()
        self.base = ""

    async def repondre(self, requete: web.Request) -> web.StreamResponse:
        """Une requête : le flux, ou un carnet REST."""
        if requete.headers.get("Upgrade", "").lower() == "websocket":
            return await self._servir(requete)
        for chemin, reponse in self.exchange.chemins.items():
            if chemin in requete.path:
                return web.json_response(json.loads(json.dumps(reponse).replace("{ws}", self.base)))
        if self.exchange.rest is None:
            raise web.HTTPNotFound
        await asyncio.sleep(self.exchange.latence_s)
        return web.json_response(self.exchange.rest(self.dernier))

    @property
    def dernier(self) -> int:
        """Le numéro d'il y a peu : ce que la classe a gardé depuis se joue par-dessus un carnet REST."""
        return max(self.envoyees, default=PREMIER) - 1

    async def _servir(self, requete: web.Request) -> web.WebSocketResponse:
        ws = web.WebSocketResponse(autoping=True)
        await ws.prepare(requete)
        self.connexions += 1
        en_octets = {"comprime": self.exchange.comprime, "en_octets": self.exchange.en_octets}

        async def repondre(demande: Any) -> None:
            self.demandes += 1
            for reponse in self.exchange.repondre(demande):
                await ecrire(ws, reponse(self) if callable(reponse) else reponse, **en_octets)

        async def envoyer() -> None:
            for numero, trame in self.trames:
                await ecrire(ws, trame, **en_octets)
                self.envoyees.append(numero)
                await asyncio.sleep(self.exchange.pas_s)

        d_abord = self.exchange.nom in {"extended", "gemini"}
        await dialoguer(ws, repondre, envoyer, self.tout_envoye, d_abord=d_abord)
        return ws


@dataclass
class Ecoutee:
    """Ce qu'une écoute a rendu."""

    serveur: Serveur
    etats: list[tuple[list[float], list[float]]] = field(default_factory=list)
    carnets: list[Objet] = field(default_factory=list)  # ce qui en fut lu : instant, nonce, et cinq niveaux par côté
    erreur: m.ErreurCollecte | None = None


async def ecouter(
    exchange: Exchange, trames: Iterable[tuple[int, Objet]], profondeur: int = 0, **propre: Any
) -> Ecoutee:
    """Une écoute du module, jusqu'à ce qu'elle finisse, ou que tout soit envoyé et reçu.

    `propre` : ce qui change, pour l'essai, des particularités de l'exchange.
    """
    ecoutee = Ecoutee(Serveur(exchange, trames))
    async with servir(ecoutee.serveur.repondre) as base:
        ecoutee.serveur.base = base.replace("http", "ws", 1)
        genre = exchange.genre
        propres = {"id": exchange.marche_id, "lowercaseId": exchange.marche_id.lower(), "stock": False}
        marche = marche_de(genre) | propres | exchange.marche
        reglages = m.Reglages(
            exchange.nom, type_marche=genre.partition(".")[0],
            config_ccxt={"enableRateLimit": False, "timeout_on_exit": 0},
        )  # fmt: skip
        connexion = m.Connexion(reglages)
        connexion.api.set_markets([marche, *([marche | exchange.voisin] if exchange.voisin else [])], {})
        connexion.particularite = connexion.particularite._replace(**propre)

        def recevoir(_symbole: str, carnets: Any, _recu: int) -> None:
            for carnet in carnets:
                ecoutee.etats.append(tuple([n[0] for n in carnet[cote][:5]] for cote in ("bids", "asks")))  # type: ignore[arg-type]
                cotes = {cote: [tuple(n[:2]) for n in carnet[cote][:5]] for cote in ("bids", "asks")}
                ecoutee.carnets.append({"nonce": carnet["nonce"], "timestamp": carnet["timestamp"], **cotes})

        cle = m.CleSerie(exchange.nom, str(marche["symbol"]))
        ecoute = m.Ecoute(connexion, "orderbook", [m.Serie(cle, marche, m.Timeframe.lire("1m"), profondeur)], recevoir)
        if exchange.en_octets:
            ecoute.api.decode_proto_msg = json.loads
        ecoute.api.urls = diriger(ecoute.api.urls, base)
        suivi = asyncio.ensure_future(ecoute.suivre(groupe=exchange.groupe))
        try:
            envoi = asyncio.ensure_future(ecoutee.serveur.tout_envoye.wait())
            await asyncio.wait([suivi, envoi], return_when=asyncio.FIRST_COMPLETED, timeout=20)
            envoi.cancel()
            await asyncio.wait([suivi], timeout=0.3)
            if suivi.done() and isinstance(suivi.exception(), m.ErreurCollecte):
                ecoutee.erreur = suivi.exception()  # type: ignore[assignment]
        finally:
            suivi.cancel()
            await asyncio.gather(suivi, return_exceptions=True)
            ecoute.fermer()
            await connexion.fermer()
    return ecoutee
