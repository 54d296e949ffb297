"""Ce que tout exchange embarqué tient, par sa vraie classe ccxt : un cas, tous ceux du registre.

Ce que chacun a de propre (pagination, refus, sommes de contrôle, limites) est dans le fichier qui porte son nom.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, NamedTuple

import cas_de_flux as flux
import cas_de_rest as rest
import pytest
from attente import PLAFOND_S
from cas_de_rest import HEURE, MAINTENANT, MINUTE, PASSE, attendu

from bourse_locale import PROTOCOLES, Bourse, Marche
from bourse_locale.__main__ import lire_panne
from bourse_locale.marche import INSTRUMENTS_PAR_DEFAUT

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from cas_de_flux import Banc, Combleur

# --- Ce que chacun a de propre ----------------------------------------------------------------------------------------


async def par_identifiant(exchange: Any, symbole: str, dernier: Any, premier: Any) -> list[Any]:
    """Binance : des pages de mille, à partir d'un identifiant."""
    trouves: list[Any] = []
    while not trouves or int(trouves[-1]["id"]) < int(premier["id"]):
        suivant = int((trouves[-1] if trouves else dernier)["id"]) + 1
        trouves += await exchange.fetch_trades(symbole, None, 1000, {"fromId": suivant})
    return trouves


async def derniers_seulement(exchange: Any, symbole: str, _dernier: Any, _premier: Any) -> list[Any]:
    """Bybit : tout ce que recent-trade sait, soixante trades au comptant, mille sur les contrats."""
    return list(await exchange.fetch_trades(symbole, None, 1000 if ":" in symbole else 60))


async def en_nanosecondes(exchange: Any, symbole: str, dernier: Any, premier: Any) -> list[Any]:
    """Kraken : un curseur en nanosecondes, mille par page ; ccxt le pose au bout de `info` du dernier trade."""
    trouves: list[Any] = []
    curseur = str(dernier["timestamp"] * 1_000_000 - 1)
    while not trouves or trouves[-1]["timestamp"] < premier["timestamp"]:
        trouves += (page := await exchange.fetch_trades(symbole, None, None, {"since": curseur}))
        curseur = page[-1]["info"][-1]
    return trouves


async def en_remontant(exchange: Any, symbole: str, dernier: Any, premier: Any) -> list[Any]:
    """Okx : history-trades, cent par page, en reculant d'identifiant en identifiant."""
    marche, trouves, curseur = exchange.market(symbole), [], premier["id"]
    while int(curseur) > int(dernier["id"]):
        page = await exchange.publicGetMarketHistoryTrades({"instId": marche["id"], "after": curseur})
        trouves += exchange.parse_trades(page["data"], marche)
        curseur = page["data"][-1]["tradeId"]
    return trouves


async def page_binance(exchange: Any) -> list[Any]:
    """Une page du comptant."""
    return list(await exchange.publicGetKlines({"symbol": "BTCUSDT", "interval": "1m", "endTime": PASSE}))


async def page_bybit(exchange: Any) -> list[Any]:
    """Une page du comptant."""
    demande = {"category": "spot", "symbol": "BTCUSDT", "interval": "1", "end": PASSE}
    return list((await exchange.publicGetV5MarketKline(demande))["result"]["list"])


async def page_kraken(exchange: Any) -> list[Any]:
    """Sa seule page."""
    return list((await exchange.publicGetOHLC({"pair": "XXBTZUSD"}))["result"]["XXBTZUSD"])


async def page_okx(exchange: Any) -> list[Any]:
    """Une page de l'histoire."""
    demande = {"instId": "BTC-USDT", "after": PASSE}
    return list((await exchange.publicGetMarketHistoryCandles(demande))["data"])


class Propre(NamedTuple):
    """Ce qu'il faut savoir d'un exchange pour lui appliquer les cas communs."""

    symboles: tuple[str, ...]  # un par genre de marché
    ensemble: tuple[str, ...]  # qu'un appel peut réunir
    timeframes: tuple[str, ...]  # aucun : sa page, qui va toujours jusqu'à maintenant, a son propre test
    chemin: str  # des bougies
    page: Callable[[Any], Awaitable[list[Any]]]  # une page de bougies, telle que l'exchange la rend
    pleine: int  # ses lignes
    limite: int  # ce qu'elle en a au plus ; 0 : le REST ne sert pas l'ancien
    carnets: tuple[tuple[str, int | None, int], ...]  # (marché, limite demandée, niveaux tenus)
    plates: bool  # le flux dit les minutes sans trade
    coupures: tuple[tuple[str, int], ...]
    combler: Combleur
    desabonne: bool = True  # ccxt sait se désabonner
    en_contrats: tuple[str, ...] = ()  # son flux dit le volume de ces bougies en contrats, le REST en monnaie


LONGS = ("1m", "3m", "15m", "30m", "1h", "4h", "6h", "12h", "1d", "1w", "1M")
GENRES = ("BTC/USDT", "BTC/USDT:USDT", "BTC/USD:BTC", "BTC/USDT:USDT-261225")
DEUX = (("BTC/USDT", HEURE), ("BTC/USD:BTC", HEURE))
PROPRES = {
    "binance": Propre(
        symboles=GENRES, ensemble=("BTC/USDT", "ETH/USDT", "XRP/USDC"), plates=True, coupures=DEUX,
        timeframes=("1m", "15m", "4h", "12h", "1d", "3d", "1w", "1M"),
        chemin="klines", page=page_binance, pleine=500, limite=1000, combler=par_identifiant,
        carnets=(("BTC/USDT", None, 50),), en_contrats=("BTC/USD:BTC",),
    ),
    "bybit": Propre(
        symboles=(*GENRES, "BTC/USD:BTC-261225"), ensemble=("BTC/USDT", "ETH/USDT", "XRP/USDC"), plates=True,
        coupures=(("BTC/USDT", 5 * MINUTE), ("BTC/USDT:USDT", 150 * MINUTE), ("BTC/USD:BTC", 150 * MINUTE)),
        timeframes=LONGS, chemin="kline", page=page_bybit, pleine=200, limite=1000, combler=derniers_seulement,
        carnets=tuple((s, *n) for s in ("BTC/USDT", "BTC/USD:BTC") for n in ((None, 50), (1, 1), (200, 200))),
    ),
    "kraken": Propre(
        symboles=("BTC/USD", "ETH/EUR", "DOGE/USDT"), ensemble=("BTC/USD", "ETH/EUR", "DOGE/USDT"), plates=False,
        coupures=(("BTC/USD", HEURE), ("BTC/USD", 5 * HEURE)),
        timeframes=(), chemin="OHLC", page=page_kraken, pleine=721, limite=0, combler=en_nanosecondes,
        carnets=tuple(("BTC/USD", niveaux, niveaux) for niveaux in (10, 25, 100)), desabonne=False,
    ),
    "okx": Propre(
        symboles=GENRES, ensemble=GENRES, plates=True, coupures=DEUX,
        timeframes=LONGS, chemin="history-candles", page=page_okx, pleine=100, limite=300, combler=en_remontant,
        carnets=tuple(("BTC/USDT", *n) for n in ((None, 400), (5, 5), (1, 1))),
    ),
}  # fmt: skip


def chacun(choisir: Callable[[Propre], Iterable[object]] | None = None) -> pytest.MarkDecorator:
    """Paramètre un cas par le nom de chaque exchange, et par ce qu'on y choisit."""
    if choisir is None:
        return pytest.mark.parametrize("nom", PROTOCOLES)

    cas = [pytest.param(nom, choix, id=f"{nom}-{choix}") for nom, p in PROPRES.items() for choix in choisir(p)]
    return pytest.mark.parametrize(("nom", "choix"), cas)


def test_tout_exchange_enregistre_est_eprouve() -> None:
    """Un exchange de plus est un dossier de plus, et une ligne ici."""
    assert PROPRES.keys() == PROTOCOLES.keys()


# --- REST -------------------------------------------------------------------------------------------------------------


@chacun()
def test_tous_les_marches_par_defaut_sont_lus(nom: str) -> None:
    async def scenario(_bourse: Bourse, exchange: Any) -> None:
        assert set(await exchange.load_markets()) == {i.symbole for i in INSTRUMENTS_PAR_DEFAUT[nom]}
        assert await exchange.fetch_time() // 1000 == MAINTENANT // 1000  # kraken n'en dit pas plus
        if exchange.has["fetchStatus"]:
            assert (await exchange.fetch_status())["status"] == "ok"

    rest.jouer(nom, scenario)


@chacun(lambda propre: (*GENRES[:3], "ETH/USD:ETH", "XRP/USDT") if propre.limite else ())
def test_une_page_ancienne_est_celle_de_l_oracle(nom: str, choix: str) -> None:
    """Pleine, et d'une seule requête."""
    limite = PROPRES[nom].limite

    async def scenario(bourse: Bourse, exchange: Any) -> None:
        recues = await exchange.fetch_ohlcv(choix, "1m", PASSE, limite)
        assert recues == attendu(bourse, choix, "1m", PASSE, PASSE + limite * MINUTE)
        assert len(recues) == limite
        assert bourse.compter(PROPRES[nom].chemin) == 1

    rest.jouer(nom, scenario)


@chacun(lambda propre: propre.timeframes)
def test_chaque_timeframe_finit_par_la_bougie_en_cours(nom: str, choix: str) -> None:
    async def scenario(bourse: Bourse, exchange: Any) -> None:
        symbole = PROPRES[nom].ensemble[1]
        recues = await exchange.fetch_ohlcv(symbole, choix, None, 12)
        assert recues == attendu(bourse, symbole, choix, recues[0][0], MAINTENANT + 1)
        recul = 2000 * exchange.parse_timeframe(choix)
        assert recues[-1] == attendu(bourse, symbole, choix, MAINTENANT - recul, MAINTENANT + 1)[-1]
        assert len(recues) == 12

    rest.jouer(nom, scenario)


@chacun()
@pytest.mark.parametrize(
    ("panne", "ecart"),
    [("plafond:n=40", None), ("trou:k=5", -5), ("page_vide", None), ("doublons:k=2", 2)],
)
def test_les_pannes_de_page_touchent_la_page(nom: str, panne: str, ecart: int | None) -> None:
    """Tant de lignes en plus ou en moins ; None : ce que dit la panne, quelle que soit la page."""
    propre, abime = PROPRES[nom], lire_panne(panne)
    abime.chemin = propre.chemin

    async def scenario(_bourse: Bourse, exchange: Any) -> None:
        restent = len(await propre.page(exchange))
        assert restent == (abime.entier("n", 0) if ecart is None else propre.pleine + ecart)

    rest.jouer(nom, scenario, pannes=[abime])


# --- WebSocket --------------------------------------------------------------------------------------------------------


@chacun(lambda propre: propre.symboles)
def test_trades(nom: str, choix: str) -> None:
    """Chaque genre de marché reçoit ses trades ; REST les rend sous le même identifiant."""
    flux.jouer(nom, lambda banc: flux.trades_exacts(banc, choix))


@chacun()
def test_trades_de_plusieurs_marches(nom: str) -> None:
    """Un abonnement porte plusieurs marchés."""
    flux.jouer(nom, lambda banc: flux.trades_exacts(banc, *PROPRES[nom].ensemble))


@chacun(lambda propre: (symbole for symbole in propre.symboles if symbole not in propre.en_contrats))
def test_bougies(nom: str, choix: str) -> None:
    """Les bougies closes sont celles du REST, volume d'un inverse compris."""
    flux.jouer(nom, lambda banc: flux.bougies_exactes(banc, choix))


@chacun(lambda propre: propre.carnets)
def test_carnet(nom: str, choix: tuple[str, int | None, int]) -> None:
    """Instantané et écarts, ou carnets entiers, donnent le carnet de la bourse."""
    symbole, limite, profondeur = choix
    flux.jouer(nom, lambda banc: flux.carnets_exacts(banc, profondeur, symbole, limite=limite))


@chacun()
def test_carnets_de_plusieurs_marches(nom: str) -> None:
    """Un carnet par marché, chacun à sa séquence."""
    profondeur, ensemble = PROPRES[nom].carnets[0][2], PROPRES[nom].ensemble[:3]
    flux.jouer(nom, lambda banc: flux.carnets_exacts(banc, profondeur, *ensemble))


@chacun()
def test_carnet_croise(nom: str) -> None:
    """Un carnet croisé passe, puis se répare."""
    flux.jouer(nom, lambda banc: flux.carnet_croise(banc, PROPRES[nom].carnets[0][2], PROPRES[nom].symboles[1]))


@chacun()
def test_trades_doubles(nom: str) -> None:
    """Des trades envoyés deux fois se reconnaissent à leur identifiant."""
    flux.jouer(nom, lambda banc: flux.trades_doubles(banc, PROPRES[nom].symboles[1]))


@chacun(lambda propre: propre.symboles)
def test_ticker(nom: str, choix: str) -> None:
    """Un ticker suit le marché, qu'il soit dit entier ou par différences."""
    flux.jouer(nom, lambda banc: flux.ticker_exact(banc, choix))


@chacun()
def test_tickers(nom: str) -> None:
    """Plusieurs tickers en un abonnement."""
    flux.jouer(nom, lambda banc: flux.ticker_exact(banc, *PROPRES[nom].ensemble))


@chacun()
def test_minutes_vides(nom: str) -> None:
    """Une minute sans trade est dite plate, ou tue, selon l'exchange ; REST la rend plate."""
    propre, marche = PROPRES[nom], Marche(3, taux_vide=0.4)
    flux.jouer(nom, lambda banc: flux.minutes_vides(banc, propre.symboles[0], plates=propre.plates), marche=marche)


@chacun(lambda propre: propre.coupures)
def test_coupure_comblee(nom: str, choix: tuple[str, int]) -> None:
    """Les trades de REST et ceux du nouveau flux se recouvrent par leurs identifiants, sans trou."""
    symbole, duree_ms = choix
    flux.jouer(nom, lambda banc: flux.coupure_comblee(banc, symbole, duree_ms, PROPRES[nom].combler))


@chacun()
def test_horloge_acceleree(nom: str) -> None:
    """À 120 minutes par minute, rien ne se perd."""
    flux.jouer(nom, lambda banc: flux.horloge_acceleree(banc, PROPRES[nom].symboles[0]), acceleration=120.0)


@chacun()
def test_pongs(nom: str) -> None:
    """Chaque exchange a sa façon de dire ping et pong ; ccxt lit la sienne."""
    flux.jouer(nom, lambda banc: flux.pongs(banc, PROPRES[nom].symboles[0]), ccxt={"streaming": {"keepAlive": 250}})


@chacun(lambda propre: propre.symboles[:1] if propre.desabonne else ())
def test_desabonnement(nom: str, choix: str) -> None:
    """Après un_watch_trades, plus rien n'est émis."""

    async def scenario(banc: Banc) -> None:
        banc.suivre("watch_trades", choix)
        await banc.abonne()
        await asyncio.wait_for(banc.exchange.un_watch_trades(choix), PLAFOND_S)
        (connexion,) = banc.bourse.connexions
        assert not connexion.actifs

    flux.jouer(nom, scenario)
