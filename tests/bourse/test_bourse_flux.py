"""Le WebSocket de la bourse embarquée : le cadre, les pannes, et binance vu par la vraie classe ccxt.pro.

L'horloge est arrêtée (acceleration=0) et avancée à la main : ce qui doit partir est alors connu exactement.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import aiohttp
import ccxt.pro
import pytest
from attente import PLAFOND_S, attendre_ici
from marche_simule import SANS_LIMITEUR, marche_commun
from temps_simule import derouler

from bourse_locale import Bourse, Marche, Panne
from bourse_locale.__main__ import lire_panne
from bourse_locale.carnet import carnet, ecarts
from bourse_locale.marche import HEURE_MS, JOUR_MS, MINUTE_MS, Trade, instant_ms
from bourse_locale.pannes import NATURES_WS, CibleFlux, Derangement, Evenement, Pannes, deranger

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

MAINTENANT = instant_ms("2024-03-20T10:20:30")
SYMBOLES = ("BTC/USDT", "BTC/USDT:USDT", "BTC/USD:BTC")
FLUX = {"BTC/USDT": "btcusdt", "BTC/USDT:USDT": "btcusdt", "BTC/USD:BTC": "btcusd_perp"}
HOTES = {"BTC/USDT": "stream/ws", "BTC/USDT:USDT": "fstream/market/ws", "BTC/USD:BTC": "dstream/ws"}
REST = {"BTC/USDT": "api/v3", "BTC/USDT:USDT": "fapi/v1", "BTC/USD:BTC": "dapi/v1"}
OPTIONS = {"tradesLimit": 100_000, "OHLCVLimit": 100_000}


# --- Outils -----------------------------------------------------------------------------------------------------------


def bourse(**reglages: Any) -> Bourse:
    """Rend une bourse binance à l'horloge arrêtée, sans débit imposé."""
    defauts = {"marche": marche_commun(), "maintenant_ms": MAINTENANT, "acceleration": 0.0, "limites": False}
    return Bourse(("binance",), **{**defauts, **reglages})


@asynccontextmanager
async def client(b: Bourse, **config: Any) -> AsyncIterator[Any]:
    """Ouvre la vraie classe ccxt.pro ; ses connexions sont coupées avant d'être fermées, pour ne pas attendre."""
    exchange = ccxt.pro.binance({**SANS_LIMITEUR, "options": OPTIONS, **b.config_ccxt("binance"), **config})
    try:
        yield exchange
    finally:
        b.couper("binance")
        await exchange.close()


def jouer(essai: Callable[[Bourse, Any], Coroutine[Any, Any, None]], **reglages: Any) -> None:
    """Joue un essai avec une bourse et un client dont les marchés sont lus."""

    async def dedans() -> None:
        async with bourse(**reglages) as b, client(b) as exchange, asyncio.timeout(PLAFOND_S):
            await exchange.load_markets()
            await essai(b, exchange)

    derouler(dedans())


class Brut:
    """Un client nu : il garde chaque trame telle qu'elle arrive."""

    def __init__(self, ws: aiohttp.ClientWebSocketResponse) -> None:
        self.ws = ws
        self.messages: list[dict[str, Any]] = []

    async def lire(self) -> aiohttp.WSMessage:
        """Rend la trame suivante ; un message de données est décodé et gardé."""
        trame = await asyncio.wait_for(self.ws.receive(), PLAFOND_S)
        if trame.type is aiohttp.WSMsgType.TEXT:
            self.messages.append(json.loads(trame.data))
        return trame

    async def jusqua(self, fini: Callable[[list[dict[str, Any]]], bool]) -> list[dict[str, Any]]:
        """Lit jusqu'à ce que la condition soit vraie de tous les messages reçus, et les rend."""
        while not fini(self.messages):
            assert (await self.lire()).type is aiohttp.WSMsgType.TEXT
        return self.messages

    async def demander(self, *flux: str, methode: str = "SUBSCRIBE") -> dict[str, Any]:
        """Envoie une demande et rend sa réponse."""
        await self.ws.send_json({"method": methode, "params": list(flux), "id": 1})
        await self.jusqua(lambda recus: any(m.get("id") == 1 for m in recus))
        return next(self.messages.pop(i) for i, m in enumerate(self.messages) if m.get("id") == 1)


def jouer_brut(
    essai: Callable[[Bourse, Brut], Coroutine[Any, Any, None]], hote: str = "stream/ws", **reglages: Any
) -> Bourse:
    """Joue un essai avec un client nu ; rend la bourse fermée."""

    async def dedans() -> Bourse:
        async with bourse(**reglages) as b, aiohttp.ClientSession() as http, asyncio.timeout(PLAFOND_S):
            async with http.ws_connect(f"{b.url}/binance/{hote}/0", autoping=False) as ws:
                await essai(b, Brut(ws))
                b.couper("binance")
            return b

    return derouler(dedans())


async def suivre(b: Bourse, attente: Coroutine[Any, Any, Any], nombre: int = 1) -> asyncio.Task[Any]:
    """Lance un watch et attend que la bourse ait accepté son abonnement ; rend la tâche."""
    avant = sum(len(c.abonnements) for c in b.connexions)
    tache = asyncio.ensure_future(attente)
    await attendre_ici(lambda: sum(len(c.abonnements) for c in b.connexions) >= avant + nombre or tache.done())
    return tache


async def get(b: Bourse, chemin: str, **params: Any) -> Any:
    """Rend la réponse REST brute."""
    async with aiohttp.ClientSession() as http, http.get(f"{b.url}/binance/{chemin}", params=params) as reponse:
        return await reponse.json()


def trades_de(b: Bourse, symbole: str, debut_ms: int, fin_ms: int) -> list[Trade]:
    """Rend les trades du marché dans ]début, fin]."""
    return b.marche.trades(b.marche.instrument("binance", symbole), debut_ms + 1, fin_ms + 1)


def panne_ws(nature: str, **reglages: Any) -> dict[str, Any]:
    """Rend le réglage d'une bourse qui a cette panne au départ."""
    return {"pannes": [Panne(nature, **reglages)]}


# --- Trades -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("symbole", SYMBOLES)
@pytest.mark.parametrize("nom", ["trade", "aggTrade"])
def test_trades_du_flux_et_du_rest_sont_les_memes(symbole: str, nom: str) -> None:
    """Mêmes identifiants, instants, prix, quantités et sens, sans trou, par @trade comme par @aggTrade."""

    async def essai(b: Bourse, x: Any) -> None:
        await suivre(b, x.watch_trades(symbole, params={"name": nom}))
        b.avancer(30 * MINUTE_MS)
        dus = trades_de(b, symbole, MAINTENANT, b.maintenant_ms())
        await attendre_ici(lambda: len(x.trades.get(symbole, ())) >= len(dus))
        rest = await x.fetch_trades(symbole, MAINTENANT + 1, 1000)
        champs = ("id", "timestamp", "price", "amount", "side")
        assert [[t[c] for c in champs] for t in x.trades[symbole]] == [[t[c] for c in champs] for t in rest]
        assert [int(t["id"]) for t in x.trades[symbole]] == [t.id for t in dus]

    jouer(essai)


def test_trades_de_plusieurs_symboles_en_un_abonnement() -> None:
    async def essai(b: Bourse, x: Any) -> None:
        symboles = ["BTC/USDT", "ETH/USDT", "SOL/USDT"]
        await suivre(b, x.watch_trades_for_symbols(symboles), 3)
        b.avancer(10 * MINUTE_MS)
        for symbole in symboles:
            dus = trades_de(b, symbole, MAINTENANT, b.maintenant_ms())
            await attendre_ici(lambda s=symbole, d=dus: len(x.trades.get(s, ())) == len(d))  # type: ignore[misc]
        assert [len(c.abonnements) for c in b.connexions] == [3]

    jouer(essai)


def test_rien_d_avant_l_abonnement_ni_d_apres_l_horloge() -> None:
    """À horloge arrêtée rien ne part ; le premier trade émis est le premier d'après l'abonnement."""

    async def essai(b: Bourse, brut: Brut) -> None:
        assert await brut.demander("btcusdt@trade") == {"result": None, "id": 1}
        b.avancer(MINUTE_MS)
        dus = trades_de(b, "BTC/USDT", MAINTENANT, b.maintenant_ms())
        await brut.jusqua(lambda recus: len(recus) >= len(dus))
        assert [m["t"] for m in brut.messages] == [t.id for t in dus]
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(brut.ws.receive(), 0.1)

    jouer_brut(essai)


def test_rafale_de_10_000_trades() -> None:
    """Une horloge qui saute fait partir tous les trades de l'intervalle, dans l'ordre ; le REST les connaît.

    Vingt mille, jusqu'à qui les suit : test_une_rafale_de_vingt_mille_trades_arrive_entiere.
    """

    async def essai(b: Bourse, brut: Brut) -> None:
        await brut.demander("btcusdt@trade")
        b.rafale("binance", "BTC/USDT", 10_000)
        dus = trades_de(b, "BTC/USDT", MAINTENANT, b.maintenant_ms())
        assert 10_000 <= len(dus) < 10_100
        await brut.jusqua(lambda recus: len(recus) >= len(dus))
        assert [(m["t"], m["T"]) for m in brut.messages] == [(t.id, t.ts) for t in dus]
        page = await get(b, "api/v3/aggTrades", symbol="BTCUSDT", fromId=dus[8_000].id, limit=1000)
        champs = ("p", "q", "T", "m")
        recus = brut.messages[8_000:9_000]
        assert [[t[c] for c in champs] for t in page] == [[m[c] for c in champs] for m in recus]

    jouer_brut(essai)


# --- Bougies ----------------------------------------------------------------------------------------------------------


def _ligne(kline: dict[str, Any]) -> list[Any]:
    return [kline[champ] for champ in "tohlcvTqnVQ"]


@pytest.mark.parametrize("symbole", SYMBOLES)
@pytest.mark.parametrize("timeframe", ["1m", "5m", "1h"])
def test_bougies_closes_egales_au_rest_au_caractere_pres(symbole: str, timeframe: str) -> None:
    """Chaque clôture part une fois, dans l'ordre, des textes mêmes du REST ; les minutes vides sont plates."""

    async def essai(b: Bourse, brut: Brut) -> None:
        pas = {"1m": MINUTE_MS, "5m": 5 * MINUTE_MS, "1h": HEURE_MS}[timeframe]
        await brut.demander(f"{FLUX[symbole]}@kline_{timeframe}")
        for saut in (17_000, pas, 7 * pas + 1, 12 * pas):
            b.avancer(saut)
        debut = MAINTENANT - MAINTENANT % pas
        closes = (b.maintenant_ms() - debut) // pas
        await brut.jusqua(lambda recus: sum(m["k"]["x"] for m in recus) >= closes)
        lignes = [_ligne(m["k"]) for m in brut.messages if m["k"]["x"]]
        params = {"symbol": FLUX[symbole].upper(), "interval": timeframe, "endTime": debut + closes * pas - 1}
        rest = await get(b, f"{REST[symbole]}/klines", startTime=debut, **params)
        assert lignes == [ligne[:11] for ligne in rest]

    jouer_brut(essai, HOTES[symbole], marche=Marche(taux_vide=0.3))


@pytest.mark.parametrize("symbole", SYMBOLES)
def test_bougies_de_ccxt_egales_a_l_oracle(symbole: str) -> None:
    """Le cache de ccxt tient les bougies de l'oracle, la dernière en cours ; en COIN-M le volume est en contrats."""

    async def essai(b: Bourse, x: Any) -> None:
        await suivre(b, x.watch_ohlcv(symbole, "1m"))
        b.avancer(90 * MINUTE_MS + 777)
        courante = b.maintenant_ms() - b.maintenant_ms() % MINUTE_MS
        await attendre_ici(lambda: symbole in x.ohlcvs and x.ohlcvs[symbole]["1m"][-1][0] == courante)
        debut = MAINTENANT - MAINTENANT % MINUTE_MS
        instrument = b.marche.instrument("binance", symbole)
        lues = b.protocoles["binance"].lire(instrument, (MINUTE_MS, 0), debut, courante + 1)
        volumes = [float(instrument.texte_quantite(bougie.volume)) for bougie in lues]
        attendues = b.attendu("binance", symbole, "1m", debut, courante + 1)
        vues = [tuple(ligne) for ligne in x.ohlcvs[symbole]["1m"]]
        assert vues == [(*ligne[:5], volume) for ligne, volume in zip(attendues, volumes, strict=True)]

    jouer(essai)


def _dite(recus: list[dict[str, Any]], ts: int) -> bool:
    """Dit si la bougie en cours à cet instant est arrivée."""
    return bool(recus) and recus[-1]["E"] == ts and not recus[-1]["k"]["x"]


def test_bougie_en_cours_suit_chaque_trade() -> None:
    """Une mise à jour au plus par réveil, égale à ce que le REST dit au même instant."""

    async def essai(b: Bourse, brut: Brut) -> None:
        await brut.demander("btcusdt@kline_1m")
        dernier_de = {t.ts: t.id for t in trades_de(b, "BTC/USDT", MAINTENANT, MAINTENANT + MINUTE_MS)}
        for ts, identifiant in dernier_de.items():
            b.avancer(ts - b.maintenant_ms())
            await brut.jusqua(lambda recus, ts=ts: _dite(recus, ts))  # type: ignore[misc]
            rest = await get(b, "api/v3/klines", symbol="BTCUSDT", interval="1m", limit=1)
            assert _ligne(brut.messages[-1]["k"]) == rest[0][:11]
            assert brut.messages[-1]["k"]["L"] == identifiant

    jouer_brut(essai)


def test_une_panne_du_marche_ne_produit_aucune_bougie() -> None:
    """Pendant une panne déclarée de l'exchange, ni trade ni bougie, même plate : comme le REST."""
    debut = instant_ms("2024-03-20T10:25:00")

    async def essai(b: Bourse, brut: Brut) -> None:
        await brut.demander("btcusdt@kline_1m")
        b.avancer(20 * MINUTE_MS)
        await brut.jusqua(lambda recus: bool(recus) and recus[-1]["k"]["t"] == instant_ms("2024-03-20T10:40:00"))
        closes = [m["k"]["t"] for m in brut.messages if m["k"]["x"]]
        assert closes == [t for t in range(closes[0], closes[-1] + 1, MINUTE_MS) if not debut <= t < debut + 300_000]
        assert len(closes) == 15

    jouer_brut(essai, marche=Marche(pannes=[(debut, debut + 300_000)]))


def test_bougies_mark_du_flux_et_du_rest() -> None:
    async def essai(b: Bourse, brut: Brut) -> None:
        await brut.demander("btcusd_perp@markPriceKline_1m")
        b.avancer(3 * MINUTE_MS)
        await brut.jusqua(lambda recus: sum(m["k"]["x"] for m in recus) >= 3)
        assert {m["e"] for m in brut.messages} == {"markPrice_kline"}
        premiere = MAINTENANT - MAINTENANT % MINUTE_MS
        params = {"symbol": "BTCUSD_PERP", "interval": "1m", "startTime": premiere, "limit": 3}
        rest = await get(b, "dapi/v1/markPriceKlines", endTime=premiere + 3 * MINUTE_MS - 1, **params)
        assert [_ligne(m["k"])[:5] for m in brut.messages if m["k"]["x"]] == [ligne[:5] for ligne in rest]

    jouer_brut(essai, "dstream/ws")


def test_bougies_de_plusieurs_symboles_et_desabonnement() -> None:
    async def essai(b: Bourse, x: Any) -> None:
        demandes = [["BTC/USDT", "1m"], ["ETH/USDT", "5m"]]
        await suivre(b, x.watch_ohlcv_for_symbols(demandes), 2)
        b.avancer(HEURE_MS)
        await attendre_ici(lambda: len(x.ohlcvs.get("ETH/USDT", {}).get("5m", ())) == 13)
        await x.un_watch_ohlcv_for_symbols([demandes[0]])
        assert b.connexions[0].actifs == {"ethusdt@kline_5m"}

    jouer(essai)


def test_jours_a_l_heure_de_chine() -> None:
    """« @+08:00 » ouvre les jours à 16:00 UTC."""

    async def essai(b: Bourse, brut: Brut) -> None:
        await brut.demander("btcusdt@kline_1d@+08:00")
        b.avancer(JOUR_MS)
        await brut.jusqua(lambda recus: any(m["k"]["x"] for m in recus))
        assert brut.messages[0]["k"]["t"] == instant_ms("2024-03-19T16:00:00")

    jouer_brut(essai)


# --- Carnet et tickers ------------------------------------------------------------------------------------------------


def _cotes(carnet_ccxt: Any) -> list[list[list[float]]]:
    return [[list(niveau[:2]) for niveau in carnet_ccxt[cote]] for cote in ("bids", "asks")]


async def carnet_a_jour(x: Any, symbole: str, rest: Any) -> None:
    """Attend que le carnet de ccxt soit à la séquence du REST, et contrôle qu'il lui est égal."""
    await attendre_ici(lambda: x.orderbooks[symbole]["nonce"] == rest["nonce"])
    assert _cotes(x.orderbooks[symbole]) == _cotes(rest)


@pytest.mark.parametrize("symbole", SYMBOLES)
def test_carnet_de_ccxt_egal_au_rest_a_chaque_instant(symbole: str) -> None:
    """L'instantané et ses écarts redonnent le carnet du REST, et aucune séquence ne manque."""

    async def essai(b: Bourse, x: Any) -> None:
        tache = await suivre(b, x.watch_order_book(symbole))
        await tache
        for saut in (100, 700, 5000, 61_000, 100, 10 * MINUTE_MS):
            b.avancer(saut)
            rest = await x.fetch_order_book(symbole)
            await carnet_a_jour(x, symbole, rest)
            assert len(rest["bids"]) == 50

    jouer(essai)


def test_carnets_de_plusieurs_symboles() -> None:
    async def essai(b: Bourse, x: Any) -> None:
        symboles = ["BTC/USDT", "ETH/USDT"]
        await suivre(b, x.watch_order_book_for_symbols(symboles), 2)
        await attendre_ici(lambda: all(s in x.orderbooks and x.orderbooks[s]["nonce"] for s in symboles))
        b.avancer(1000)
        for symbole in symboles:
            await carnet_a_jour(x, symbole, await x.fetch_order_book(symbole))

    jouer(essai)


def test_les_ecarts_s_arretent_a_chaque_instantane_servi() -> None:
    """Un écart n'enjambe jamais la séquence d'un instantané REST : il tairait un niveau changé puis revenu."""

    async def essai(b: Bourse, brut: Brut) -> None:
        await brut.demander("btcusdt@depth@100ms")
        flux, instrument = b.flux["binance"], b.marche.instrument("binance", "BTC/USDT")
        assert flux is not None
        servi = flux.instantane_rest(instrument, MAINTENANT + 33_333)
        b.avancer(MINUTE_MS)
        messages = await brut.jusqua(lambda recus: len(recus) >= 2)
        assert servi.sequence in [m["u"] for m in messages]
        assert all(apres["U"] == avant["u"] + 1 for avant, apres in pairwise(messages))
        ecart = ecarts(servi, carnet(b.marche, instrument, b.maintenant_ms()))
        assert len(messages[-1]["b"]) == len(ecart.bids)

    jouer_brut(essai)


@pytest.mark.parametrize("symbole", SYMBOLES)
@pytest.mark.parametrize("nom", ["ticker", "miniTicker"])
def test_ticker_du_flux_et_du_rest(symbole: str, nom: str) -> None:
    async def essai(b: Bourse, x: Any) -> None:
        await suivre(b, x.watch_tickers([symbole], {"name": nom}))
        b.avancer(MINUTE_MS)
        await attendre_ici(lambda: x.tickers.get(symbole, {"timestamp": 0})["timestamp"] == b.maintenant_ms())
        rest, vu = await x.fetch_ticker(symbole), x.tickers[symbole]
        assert [vu[c] for c in ("last", "open", "high", "low")] == [rest[c] for c in ("last", "open", "high", "low")]
        assert vu["baseVolume"] == rest["baseVolume"]

    jouer(essai)


def test_meilleurs_prix_sont_ceux_du_carnet() -> None:
    async def essai(b: Bourse, x: Any) -> None:
        await suivre(b, x.watch_bids_asks(["BTC/USDT"]))
        rest = await x.fetch_order_book("BTC/USDT")
        await attendre_ici(lambda: "BTC/USDT" in x.bidsasks)
        vu = x.bidsasks["BTC/USDT"]
        assert [[vu["bid"], vu["bidVolume"]], [vu["ask"], vu["askVolume"]]] == [rest["bids"][0], rest["asks"][0]]

    jouer(essai)


def test_tickers_de_tous_les_marches() -> None:
    async def essai(b: Bourse, x: Any) -> None:
        await suivre(b, x.watch_tickers())
        await attendre_ici(lambda: len(x.tickers) == 16)
        assert {x.markets[s]["type"] for s in x.tickers} == {"spot"}

    jouer(essai)


# --- Cadre ------------------------------------------------------------------------------------------------------------


def test_le_journal_compte_connexions_abonnements_et_messages() -> None:
    async def essai(b: Bourse, brut: Brut) -> None:
        await brut.demander("btcusdt@trade", "ethusdt@kline_1m")
        (connexion,) = b.sessions_ouvertes
        assert (connexion.exchange, connexion.chemin) == ("binance", "/binance/stream/ws/0")
        assert connexion.abonnements == ["btcusdt@trade", "ethusdt@kline_1m"]
        await brut.demander("btcusdt@trade", methode="UNSUBSCRIBE")
        assert connexion.actifs == {"ethusdt@kline_1m"}
        assert (await brut.demander(methode="LIST_SUBSCRIPTIONS"))["result"] == ["ethusdt@kline_1m"]
        assert connexion.envoyes == connexion.donnees + 3
        assert b.requetes == []

    b = jouer_brut(essai)
    assert b.sessions_ouvertes == []
    assert [c.fin for c in b.connexions] == ["reset"]


def test_flux_inconnu_muet_flux_mal_forme_refuse_chemin_inconnu_404() -> None:
    async def essai(b: Bourse, brut: Brut) -> None:
        assert await brut.demander("nexistepas@trade") == {"result": None, "id": 1}
        assert (await brut.demander("btcusdt"))["error"]["code"] == 2
        assert (await brut.demander("btcusdt@kline_7m"))["error"]["code"] == 2
        await brut.ws.send_str("{")
        assert (await brut.jusqua(bool))[0]["error"]["code"] == 3
        with pytest.raises(aiohttp.WSServerHandshakeError, match="404"):
            async with aiohttp.ClientSession() as http, http.ws_connect(f"{b.url}/binance/nulle/part"):
                pass

    jouer_brut(essai)


def test_limites_d_abonnements_et_de_demandes() -> None:
    """Comptant : 1024 flux par connexion, cinq trames par seconde, la sixième ferme."""

    async def essai(_b: Bourse, brut: Brut) -> None:
        noms = [f"inconnu{rang}@trade" for rang in range(1025)]
        assert "too many" in (await brut.demander(*noms))["error"]["msg"]
        assert "result" in await brut.demander(*noms[:1024])
        for _ in range(4):
            await brut.ws.send_json({"method": "LIST_SUBSCRIPTIONS", "id": 2})
        while (trame := await brut.lire()).type is aiohttp.WSMsgType.TEXT:
            pass
        assert trame.data == 1008

    jouer_brut(essai, limites=True)


def test_ping_du_client_et_ping_du_serveur() -> None:
    async def essai(b: Bourse, brut: Brut) -> None:
        await brut.ws.ping(b"la")
        trame = await brut.lire()
        assert (trame.type, trame.data) == (aiohttp.WSMsgType.PONG, b"la")
        flux = b.flux["binance"]
        assert flux is not None
        flux.ping_s = 0.02
        recues = [await brut.lire() for _ in range(4)]
        assert [t.type for t in recues[:3]] == [aiohttp.WSMsgType.PING] * 3
        assert recues[3].data == 1008  # jamais de pong : le serveur ferme

    jouer_brut(essai)


def test_horloge_acceleree_200_symboles_et_leurs_bougies() -> None:
    """À une minute par seconde, chaque clôture de chacun des 200 symboles part, exacte, sans prendre de retard."""

    async def essai(b: Bourse, brut: Brut) -> None:
        protocole = b.protocoles["binance"]
        fictifs = {i.base + i.quote: i for i in protocole.instruments if i.base.startswith("FIC")}
        # Les marchés fictifs partagent leurs motifs : les tirer pour chacun est le plus long, et n'est pas le sujet.
        motifs = b.marche.palette(next(iter(fictifs.values())))
        b.marche._palettes.update({instrument.cle: motifs for instrument in fictifs.values()})
        b.marche.reserver(len(fictifs))
        for instrument in fictifs.values():
            b.marche.jour(instrument, MAINTENANT // JOUR_MS)
        await brut.demander(*(f"{nom.lower()}@kline_1m" for nom in fictifs))
        await brut.jusqua(lambda recus: len({m["k"]["s"] for m in recus if m["k"]["x"]}) == len(fictifs))
        closes = sum(m["k"]["x"] for m in brut.messages)
        await brut.jusqua(lambda recus: sum(m["k"]["x"] for m in recus) >= closes + len(fictifs))
        assert b.maintenant_ms() - brut.messages[-1]["E"] < 2 * MINUTE_MS
        vues = [m["k"] for m in brut.messages if m["k"]["s"] == "FIC0007USDT" and m["k"]["x"]]
        attendues = b.marche.bougies(fictifs["FIC0007USDT"], MINUTE_MS, vues[0]["t"], vues[-1]["t"] + 1)
        textes = [(bougie.ts, fictifs["FIC0007USDT"].texte_prix(bougie.close)) for bougie in attendues]
        assert [(k["t"], k["c"]) for k in vues] == textes

    # Un marché à lui : ses motifs sont changés.
    jouer_brut(essai, marche=Marche(), acceleration=60.0, nombre_marches=226)


def test_une_semaine_en_quelques_secondes_sans_bougie_sautee() -> None:
    """À 200 000×, les clôtures partent par paquets, toutes, dans l'ordre."""

    async def essai(_: Bourse, brut: Brut) -> None:
        await brut.demander("btcusdt@kline_1m")
        await brut.jusqua(lambda recus: bool(recus) and recus[-1]["k"]["t"] > MAINTENANT + 7 * JOUR_MS)
        closes = [_ligne(m["k"]) for m in brut.messages if m["k"]["x"]]
        assert all(apres[0] - avant[0] == MINUTE_MS for avant, apres in pairwise(closes))
        assert len(closes) > 10_000
        assert len(brut.messages) < 25_000  # la bourse, elle, n'attend pas le lecteur pour continuer

    jouer_brut(essai, acceleration=200_000.0)


def test_piloter_depuis_un_autre_fil() -> None:
    """avancer, couper et refuser s'appellent d'un fil quelconque quand la bourse sert depuis le sien."""

    async def essai(b: Bourse) -> None:
        async with aiohttp.ClientSession() as http:
            ws = await http.ws_connect(f"{b.url}/binance/stream/ws/0")
            brut = Brut(ws)
            await brut.demander("btcusdt@trade")
            b.avancer(HEURE_MS)
            await brut.jusqua(lambda recus: len(recus) >= 100)
            assert b.couper("binance", "propre") == 1
            while (await brut.lire()).type is aiohttp.WSMsgType.TEXT:
                pass
            assert ws.close_code == 1000
            b.refuser_connexions("binance", 1)
            with pytest.raises(aiohttp.WSServerHandshakeError, match="503"):
                await http.ws_connect(f"{b.url}/binance/stream/ws/0")

    with bourse().en_fil() as b:
        fil = threading.Thread(target=lambda: asyncio.run(essai(b)))
        fil.start()
        fil.join(PLAFOND_S)
        assert [c.fin for c in b.connexions] == ["propre", "refus"]


# --- Pannes de connexion ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("maniere", ["reset", "propre"])
def test_couper_rejette_le_watch_de_ccxt_qui_se_reconnecte(maniere: str) -> None:
    async def essai(b: Bourse, x: Any) -> None:
        tache = await suivre(b, x.watch_trades("BTC/USDT"))
        assert b.couper("binance", maniere) == 1
        with pytest.raises(ccxt.NetworkError):
            await tache
        await suivre(b, x.watch_trades("BTC/USDT"))
        assert [c.abonnements for c in b.connexions] == [["btcusdt@trade"]] * 2

    jouer(essai)


@pytest.mark.parametrize(("nature", "reglages", "code"), [
    ("ws_reset", {}, None),
    ("ws_fermeture", {}, 1000),
    ("ws_fermeture", {"code": 1001}, 1001),
    ("ws_fermeture", {"code": 1006}, None),
])
def test_coupure_apres_un_nombre_exact_de_messages(nature: str, reglages: dict[str, Any], code: int | None) -> None:
    async def essai(b: Bourse, brut: Brut) -> None:
        await brut.demander("btcusdt@trade")
        b.avancer(10 * MINUTE_MS)
        while (trame := await brut.lire()).type is aiohttp.WSMsgType.TEXT:
            pass
        assert len(brut.messages) == 7
        fins = (aiohttp.WSMsgType.CLOSE,) if code else (aiohttp.WSMsgType.ERROR, aiohttp.WSMsgType.CLOSED)
        assert trame.type in fins
        assert code is None or trame.data == code
        assert b.connexions[0].pannes == [nature]

    jouer_brut(essai, **panne_ws(nature, apres_messages=7, **reglages))


def test_coupure_au_bout_d_un_temps_et_une_seule_fois() -> None:
    """`fois` compte les connexions touchées : la deuxième vit."""

    async def essai(b: Bourse, brut: Brut) -> None:
        debut = time.monotonic()
        while (await brut.lire()).type is aiohttp.WSMsgType.TEXT:
            pass
        assert time.monotonic() - debut >= 0.15
        async with aiohttp.ClientSession() as http, http.ws_connect(f"{b.url}/binance/stream/ws/1") as ws:
            deuxieme = Brut(ws)
            await deuxieme.demander("btcusdt@trade")
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(deuxieme.ws.receive(), 0.4)
            b.couper("binance")

    jouer_brut(essai, **panne_ws("ws_reset", apres_s=0.2, fois=1))


def test_silence_ni_donnees_ni_pong() -> None:
    """La connexion reste ouverte et ne dit plus rien, pas même un pong."""

    async def essai(b: Bourse, brut: Brut) -> None:
        await brut.demander("btcusdt@trade")
        assert b.couper("binance", "silence") == 1
        b.avancer(HEURE_MS)
        await brut.ws.ping()
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(brut.ws.receive(), 0.3)
        assert len(b.sessions_ouvertes) == 1
        assert b.connexions[0].donnees == 0

    jouer_brut(essai)


def test_silence_d_un_symbole_seulement() -> None:
    async def essai(b: Bourse, brut: Brut) -> None:
        await brut.demander("btcusdt@trade", "ethusdt@trade")
        b.avancer(30 * MINUTE_MS)
        dus = trades_de(b, "ETH/USDT", MAINTENANT, b.maintenant_ms())
        await brut.jusqua(lambda recus: sum(m["s"] == "ETHUSDT" for m in recus) == len(dus))
        assert {m["s"] for m in brut.messages} == {"ETHUSDT"}
        b.pannes.vider()
        b.avancer(10 * MINUTE_MS)
        await brut.jusqua(lambda recus: recus[-1]["s"] == "BTCUSDT")

    jouer_brut(essai, **panne_ws("ws_silence_symbole", symbole="BTC/USDT"))


def test_reconnexions_refusees_n_fois() -> None:
    """Refusées `nombre` fois par un code HTTP, puis acceptées."""

    async def essai(b: Bourse, x: Any) -> None:
        b.refuser_connexions("binance", 2)
        for _ in range(2):
            with pytest.raises(ccxt.NetworkError):
                await x.watch_trades("BTC/USDT")
        await suivre(b, x.watch_trades("BTC/USDT"))
        assert [c.fin for c in b.connexions] == ["refus", "refus", None]

    jouer(essai)


def test_reconnexions_refusees_par_un_rst() -> None:
    """Jusqu'à ce que la panne soit retirée : aiohttp réessaie de lui-même une poignée de main coupée, sans le dire."""

    async def essai(b: Bourse, x: Any) -> None:
        panne = b.refuser_connexions("binance", code=0)
        with pytest.raises(ccxt.NetworkError):
            await x.watch_trades("BTC/USDT")
        b.pannes.retirer(panne)
        await suivre(b, x.watch_trades("BTC/USDT"))
        assert [c.fin for c in b.sessions_ouvertes] == [None]

    jouer(essai)


def test_lien_lent() -> None:
    """Chaque trame attend : l'émission prend du retard, rien ne se perd."""

    async def essai(b: Bourse, brut: Brut) -> None:
        await brut.demander("btcusdt@trade")
        b.avancer(3 * MINUTE_MS)
        dus = trades_de(b, "BTC/USDT", MAINTENANT, b.maintenant_ms())
        debut = time.monotonic()
        await brut.jusqua(lambda recus: len(recus) == len(dus))
        assert time.monotonic() - debut >= 0.02 * (len(dus) - 1)

    jouer_brut(essai, **panne_ws("ws_lent", delai_s=0.02))


def test_rafale_sur_commande() -> None:
    async def essai(_b: Bourse, brut: Brut) -> None:
        await brut.demander("ethusdt@trade")
        await brut.jusqua(lambda recus: len(recus) >= 2000)

    jouer_brut(essai, **panne_ws("ws_rafale", symbole="ETH/USDT", nombre=2000, fois=1))


# --- Pannes d'abonnement ----------------------------------------------------------------------------------------------


def test_abonnement_refuse_d_un_symbole() -> None:
    """Le refus est celui du protocole : ccxt le lève ; les autres symboles passent."""

    async def essai(b: Bourse, x: Any) -> None:
        with pytest.raises(ccxt.ExchangeError, match="refused"):
            await x.watch_trades("ETH/USDT")
        await suivre(b, x.watch_trades("BTC/USDT"))
        assert b.connexions[0].refus == ["ETH/USDT"]

    jouer(essai, **panne_ws("ws_abonnement_refuse", symbole="ETH/USDT"))


def test_appel_groupe_refuse() -> None:
    async def essai(b: Bourse, x: Any) -> None:
        with pytest.raises(ccxt.ExchangeError, match="refused"):
            await x.watch_trades_for_symbols(["BTC/USDT", "ETH/USDT"])
        await suivre(b, x.watch_trades("BTC/USDT"))

    jouer(essai, **panne_ws("ws_groupe_refuse"))


# --- Pannes de message ------------------------------------------------------------------------------------------------


def test_trame_abimee() -> None:
    """Le JSON est coupé ; la trame suivante est saine."""

    async def essai(b: Bourse, brut: Brut) -> None:
        await brut.demander("btcusdt@trade")
        b.avancer(5 * MINUTE_MS)
        with pytest.raises(json.JSONDecodeError):
            await brut.lire()
        assert (await brut.jusqua(bool))[0]["e"] == "trade"

    jouer_brut(essai, **panne_ws("ws_trame_abimee", fois=1))


def _identifiants(b: Bourse, brut: Brut, nombre: int) -> Coroutine[Any, Any, tuple[list[int], list[int]]]:
    async def dedans() -> tuple[list[int], list[int]]:
        await brut.demander("btcusdt@trade")
        b.avancer(4 * MINUTE_MS)
        dus = [t.id for t in trades_de(b, "BTC/USDT", MAINTENANT, b.maintenant_ms())]
        await brut.jusqua(lambda recus: len(recus) >= len(dus) + nombre)
        return [m["t"] for m in brut.messages], dus

    return dedans()


def test_trades_doubles() -> None:
    async def essai(b: Bourse, brut: Brut) -> None:
        recus, dus = await _identifiants(b, brut, 3)
        assert recus == sorted([*dus, *dus[2:5]])

    jouer_brut(essai, **panne_ws("ws_double", fois=3, sauter=2))


def test_trades_desordonnes() -> None:
    async def essai(b: Bourse, brut: Brut) -> None:
        recus, dus = await _identifiants(b, brut, 0)
        assert recus == [dus[1], dus[2], dus[0], *dus[3:]]

    jouer_brut(essai, **panne_ws("ws_desordre", fois=1, k=2))


def test_trades_en_retard() -> None:
    """Un trade retenu part seul, après son délai, à l'horloge de l'exchange."""

    async def essai(b: Bourse, brut: Brut) -> None:
        recus, dus = await _identifiants(b, brut, -1)
        assert recus == dus[1:]
        b.avancer(30_000)
        await brut.jusqua(lambda messages: messages[-1]["t"] == dus[0])

    jouer_brut(essai, **panne_ws("ws_retard", fois=1, delai_ms=4 * MINUTE_MS + 15_000))


def test_bougie_close_perdue() -> None:
    """Une mise à jour sautée, sur le seul canal visé : la clôture manque, les suivantes arrivent."""

    async def essai(b: Bourse, brut: Brut) -> None:
        await brut.demander("btcusdt@kline_1m", "btcusdt@trade")
        b.avancer(5 * MINUTE_MS)
        await brut.jusqua(lambda recus: sum(m["e"] == "kline" and m["k"]["x"] for m in recus) >= 4)
        closes = [m["k"]["t"] for m in brut.messages if m["e"] == "kline" and m["k"]["x"]]
        assert closes[0] == MAINTENANT - MAINTENANT % MINUTE_MS + MINUTE_MS

    jouer_brut(essai, **panne_ws("ws_perdu", canal="bougies", fois=1))


@pytest.mark.parametrize("symbole", SYMBOLES)
def test_sequence_faussee_leve_checksum_error(symbole: str) -> None:
    """Le rejet est celui de ccxt, et un nouvel abonnement repart d'un instantané."""

    async def essai(b: Bourse, x: Any) -> None:
        await (await suivre(b, x.watch_order_book(symbole)))
        b.pannes.ajouter(Panne("ws_somme", fois=1))
        b.avancer(200)
        with pytest.raises(ccxt.ChecksumError):
            await x.watch_order_book(symbole)
        await (await suivre(b, x.watch_order_book(symbole)))
        await carnet_a_jour(x, symbole, await x.fetch_order_book(symbole))

    jouer(essai)


def test_carnet_croise_puis_remis() -> None:
    async def essai(b: Bourse, x: Any) -> None:
        await (await suivre(b, x.watch_order_book("BTC/USDT")))
        b.pannes.ajouter(Panne("ws_croise", fois=1))
        b.avancer(200)
        croise = await x.watch_order_book("BTC/USDT")
        assert croise["bids"][0][0] > croise["asks"][0][0]
        b.avancer(200)
        await carnet_a_jour(x, "BTC/USDT", await x.fetch_order_book("BTC/USDT"))

    jouer(essai)


def test_une_panne_ws_ne_touche_pas_le_rest() -> None:
    pannes = Pannes([Panne(nature) for nature in sorted(NATURES_WS)])
    assert pannes.choisir("GET", "/binance/api/v3/klines", {}) is None


def test_une_panne_vise_un_chemin_un_canal_un_symbole() -> None:
    panne = Panne("ws_perdu", chemin="/binance/", canal="trades", symbole="BTC/USDT")
    cible = CibleFlux("/binance/stream/ws/0", "trades", frozenset({"BTC/USDT"}))
    assert panne.concerne_flux(cible)
    assert not panne.concerne_flux(cible._replace(chemin="/okx/"))
    assert not panne.concerne_flux(cible._replace(canal="bougies"))
    assert not panne.concerne_flux(cible._replace(symboles=frozenset({"ETH/USDT"})))


def test_un_evenement_en_retard_ne_part_qu_une_fois() -> None:
    attente, cible = Derangement(), CibleFlux("/", "trades")
    pannes = Pannes([Panne("ws_retard", fois=1, delai_ms=100)])
    evenement = Evenement(1000, "donnee")
    assert deranger(pannes, cible, attente, [evenement], 1000) == []
    assert attente.prochain_ms() == 1100
    assert deranger(pannes, cible, attente, [], 1100) == [evenement]
    assert deranger(pannes, cible, attente, [], 2000) == []


def test_panne_ws_de_la_ligne_de_commande() -> None:
    panne = lire_panne("ws_reset:chemin=/binance/,fois=2,apres_s=1.5")
    assert (panne.nature, panne.fois, panne.flottant("apres_s", 0)) == ("ws_reset", 2, 1.5)
