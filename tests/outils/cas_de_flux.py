"""Les cas communs aux flux de tout exchange embarqué, joués par la vraie classe ccxt.pro sur la bourse embarquée.

L'horloge de la bourse est arrêtée et avancée à la main : ce qui est émis ne dépend pas de la vitesse de la machine. Les
attentes portent sur une condition, avec plafond. Les données reçues se lisent dans les caches de ccxt, qui ne perdent
rien, plutôt que dans les valeurs rendues.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import aiohttp
import ccxt.pro as ccxt
from attente import attendre_ici
from ccxt.base.errors import NetworkError
from marche_simule import SANS_LIMITEUR, marche_commun
from temps_simule import derouler

from bourse_locale.carnet import carnet
from bourse_locale.marche import MINUTE_MS, Bougie, Instrument, Marche, instant_ms
from bourse_locale.pannes import Panne
from bourse_locale.serveur import Bourse

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable

    Combleur = Callable[[Any, str, Any, Any], Awaitable[list[Any]]]
    """(exchange, symbole, dernier trade vu, premier trade de la reprise) -> les trades de REST entre les deux."""

MAINTENANT = instant_ms("2026-11-20T12:34:30")


@dataclass
class Banc:
    """Une bourse ouverte, la vraie classe ccxt.pro branchée dessus, et les suivis en cours."""

    nom: str
    bourse: Bourse
    exchange: Any
    suivis: list[asyncio.Task[None]] = field(default_factory=list)
    rendus: list[Any] = field(default_factory=list)
    erreurs: list[BaseException] = field(default_factory=list)

    @property
    def maintenant(self) -> int:
        """Rend l'heure de la bourse."""
        return self.bourse.maintenant_ms()

    def instrument(self, symbole: str) -> Instrument:
        """Rend le marché simulé d'un symbole."""
        return self.bourse.marche.instrument(self.nom, symbole)

    def suivre(self, methode: str, *arguments: Any, **params: Any) -> None:
        """Appelle une méthode watch sans fin, en arrière-plan ; la première erreur l'arrête."""

        async def boucle() -> None:
            try:
                while True:
                    self.rendus.append(await getattr(self.exchange, methode)(*arguments, **params))
            except Exception as erreur:  # noqa: BLE001 - le test juge l'erreur
                self.erreurs.append(erreur)

        self.suivis.append(asyncio.create_task(boucle()))

    def suivre_tous(self, pour_un: str, pour_plusieurs: str, symboles: tuple[str, ...], *arguments: Any) -> None:
        """Suit un symbole, ou plusieurs par la variante qui les réunit."""
        if len(symboles) > 1:
            self.suivre(pour_plusieurs, list(symboles), *arguments)
        else:
            self.suivre(pour_un, symboles[0], *arguments)

    async def attendre(self, condition: Callable[[], object], quoi: str = "") -> None:
        """Attend qu'une condition devienne vraie, avec un plafond ; une erreur d'un suivi s'y montre."""

        def vue() -> object:
            if not (vrai := condition()) and self.erreurs:
                raise self.erreurs[0]
            return vrai

        await attendre_ici(vue, sinon=lambda: quoi)

    async def attendre_egal(self, lire: Callable[[], object], voulu: object, quoi: str) -> None:
        """Attend qu'une lecture rende la valeur voulue."""
        await self.attendre(lambda: lire() == voulu, quoi)

    async def abonne(self, nombre: int = 1) -> None:
        """Attend que la bourse ait reçu ce nombre d'abonnements."""
        await self.attendre(
            lambda: sum(len(c.abonnements) for c in self.bourse.connexions) >= nombre, f"{nombre} abonnements"
        )

    async def avancer(self, ms: int, pas_ms: int = 1000) -> None:
        """Avance l'horloge par pas, en laissant la bourse émettre chacun d'eux."""
        fin = self.maintenant + ms
        while self.maintenant < fin:
            self.bourse.avancer(min(pas_ms, fin - self.maintenant))
            await self.attendre(self._a_jour, "émission de l'intervalle")

    def _a_jour(self) -> bool:
        ouvertes = [s for s in self.bourse.sessions if not s.finie and s.abonnements]
        return all(
            a.curseur_ms >= self.maintenant or a.reveil_ms > self.maintenant
            for s in ouvertes
            for a in s.abonnements.values()
        )

    def trades(self, symbole: str) -> list[tuple[int, float, float, str]]:
        """Rend les trades que le cache de ccxt tient."""
        return lus(self.exchange.trades.get(symbole, ()))

    def dernier_prix(self, symbole: str) -> float | None:
        """Rend le dernier prix du ticker que ccxt tient."""
        ticker = self.exchange.tickers.get(symbole)
        return None if ticker is None else float(ticker["last"])

    def bougies(self, symbole: str, timeframe: str, debut_ms: int, fin_ms: int) -> list[list[Any]]:
        """Rend les bougies que le cache de ccxt tient dans [debut, fin[."""
        tenues = self.exchange.ohlcvs.get(symbole, {}).get(timeframe, ())
        return [list(bougie) for bougie in tenues if debut_ms <= bougie[0] < fin_ms]

    def carnet(self, symbole: str) -> tuple[list[list[float]], list[list[float]]]:
        """Rend le carnet que ccxt tient, réduit au prix et à la quantité (books5 d'okx en dit plus)."""
        livre = self.exchange.orderbooks.get(symbole, {"bids": [], "asks": []})
        return [list(n[:2]) for n in livre["bids"]], [list(n[:2]) for n in livre["asks"]]

    def oracle_trades(self, symbole: str, debut_ms: int) -> list[tuple[int, float, float, str]]:
        """Rend les trades du marché de ]debut, maintenant] : instant, prix, quantité, sens."""
        instrument = self.instrument(symbole)
        return [
            (t.ts, float(instrument.texte_prix(t.prix)), float(instrument.texte_quantite(t.quantite)), t.sens)
            for t in self.bourse.marche.trades(instrument, debut_ms + 1, self.maintenant + 1)
        ]

    def oracle_carnet(self, symbole: str, profondeur: int) -> tuple[list[list[float]], list[list[float]]]:
        """Rend le carnet de maintenant, en flottants."""
        instrument = self.instrument(symbole)
        etat = carnet(self.bourse.marche, instrument, self.maintenant, profondeur)
        lus = [
            [[float(instrument.texte_prix(p)), float(instrument.texte_quantite(q))] for p, q in cote]
            for cote in (etat.bids, etat.asks)
        ]
        return lus[0], lus[1]

    def oracle_bougies(self, symbole: str, timeframe: str, debut_ms: int) -> list[list[Any]]:
        """Rend les bougies closes ouvertes depuis debut, comme REST les dira."""
        lignes = self.bourse.attendu(self.nom, symbole, timeframe, debut_ms, self.maintenant)
        return [list(ligne) for ligne in lignes if ligne[0] + MINUTE_MS <= self.maintenant]


def jouer(nom: str, scenario: Callable[[Banc], Awaitable[None]], **reglages: Any) -> None:
    """Ouvre la bourse et la vraie classe ccxt.pro le temps d'un scénario ; `ccxt` : réglages de la classe."""

    async def dedans() -> None:
        async with ouvert(nom, **reglages) as banc:
            await scenario(banc)

    derouler(dedans())


@contextlib.asynccontextmanager
async def ouvert(nom: str, **reglages: Any) -> AsyncIterator[Banc]:
    """Ouvre un banc ; l'horloge part arrêtée, sauf réglage contraire."""
    options = {"maintenant_ms": MAINTENANT, "acceleration": 0.0, "limites": False, "graine": 7} | reglages
    options.setdefault("marche", marche_commun(options["graine"]))
    propres = options.pop("ccxt", {})
    async with Bourse((nom,), **options) as bourse:
        exchange = getattr(ccxt, nom)({**bourse.config_ccxt(nom), **SANS_LIMITEUR, **propres})
        banc = Banc(nom, bourse, exchange)
        try:
            await exchange.load_markets()
            yield banc
        finally:
            for suivi in banc.suivis:
                suivi.cancel()
            await asyncio.gather(*banc.suivis, return_exceptions=True)
            await exchange.close()


def lus(trades: Iterable[Any]) -> list[tuple[int, float, float, str]]:
    """Rend des trades de ccxt : instant, prix, quantité, sens."""
    return [(t["timestamp"], t["price"], t["amount"], t["side"]) for t in trades]


def sans_vides(bourse: Bourse, nom: str, symbole: str, lignes: list[list[Any]]) -> list[list[Any]]:
    """Rend les lignes des minutes qui ont eu au moins un trade."""
    instrument = bourse.marche.instrument(nom, symbole)
    pleines = {b.ts for b in _bougies(bourse.marche, instrument, lignes)}
    return [ligne for ligne in lignes if ligne[0] in pleines]


def _bougies(marche: Marche, instrument: Instrument, lignes: list[list[Any]]) -> list[Bougie]:
    return marche.bougies(instrument, MINUTE_MS, lignes[0][0], lignes[-1][0] + 1)


# --- Cas communs ------------------------------------------------------------------------------------------------------


async def trades_exacts(banc: Banc, *symboles: str) -> None:
    """Les trades reçus sont ceux du marché, dans l'ordre, et REST les rend ensuite sous les mêmes identifiants."""
    depart, exchange = banc.maintenant, banc.exchange
    banc.suivre_tous("watch_trades", "watch_trades_for_symbols", symboles)
    await banc.abonne(len(symboles))
    await banc.avancer(4 * MINUTE_MS, 5000)
    for symbole in symboles:
        voulus = banc.oracle_trades(symbole, depart)
        await banc.attendre_egal(partial(banc.trades, symbole), voulus, "trades")
        recus, rest = exchange.trades[symbole], {t["id"]: t for t in await exchange.fetch_trades(symbole)}
        assert [t["id"] for t in recus if t["id"] not in rest] == []
        assert lus(rest[t["id"]] for t in recus) == voulus


async def bougies_exactes(banc: Banc, symbole: str, timeframe: str = "1m") -> None:
    """Les bougies closes reçues sont celles de l'oracle, et celles que REST rend ensuite."""
    banc.suivre("watch_ohlcv", symbole, timeframe)
    await banc.abonne()
    debut = banc.maintenant - banc.maintenant % MINUTE_MS
    fin = debut + 5 * MINUTE_MS
    await banc.avancer(5 * MINUTE_MS, 7000)
    voulues = banc.oracle_bougies(symbole, timeframe, debut)
    assert len(voulues) == 5
    await banc.attendre(lambda: banc.bougies(symbole, timeframe, debut, fin) == voulues, "bougies closes")
    banc.exchange.milliseconds = banc.bourse.maintenant_ms
    assert [b for b in await banc.exchange.fetch_ohlcv(symbole, timeframe, debut) if debut <= b[0] < fin] == voulues


async def carnets_exacts(banc: Banc, profondeur: int, *symboles: str, limite: int | None = None) -> None:
    """Le carnet suivi par instantané et écarts est, à la fin, exactement celui de la bourse."""
    banc.suivre_tous("watch_order_book", "watch_order_book_for_symbols", symboles, limite)
    await banc.abonne(len(symboles))
    await banc.avancer(10_000, 100)
    for symbole in symboles:
        voulu = banc.oracle_carnet(symbole, profondeur)
        await banc.attendre_egal(partial(banc.carnet, symbole), voulu, "carnet")


async def carnet_croise(banc: Banc, profondeur: int, symbole: str, limite: int | None = None) -> None:
    """Une panne croise le carnet le temps d'un message : ccxt le rend tel quel, et le message suivant le répare."""
    banc.suivre("watch_order_book", symbole, limite)
    await banc.abonne()
    await banc.avancer(1000, 100)
    banc.bourse.pannes.ajouter(Panne("ws_croise", fois=1))

    def croise() -> bool:
        bids, asks = banc.carnet(symbole)
        return bool(bids and asks and bids[0][0] >= asks[0][0])

    banc.bourse.avancer(100)
    await banc.attendre(croise, "carnet croisé")
    await banc.avancer(1000, 100)
    await banc.attendre_egal(partial(banc.carnet, symbole), banc.oracle_carnet(symbole, profondeur), "carnet réparé")


async def trades_doubles(banc: Banc, symbole: str) -> None:
    """Des trades envoyés deux fois sont deux fois dans le cache : ccxt ne dédouble pas, l'identifiant le permet."""
    depart = banc.maintenant
    banc.bourse.pannes.ajouter(Panne("ws_double", canal="trades"))
    banc.suivre("watch_trades", symbole)
    await banc.abonne()
    await banc.avancer(2 * MINUTE_MS, 5000)
    voulus = banc.oracle_trades(symbole, depart)
    await banc.attendre(lambda: len(banc.trades(symbole)) == 2 * len(voulus), "trades doublés")
    uniques = {t["id"]: t for t in banc.exchange.trades[symbole]}
    assert lus(uniques.values()) == voulus


async def ticker_exact(banc: Banc, *symboles: str) -> None:
    """Le ticker dit le dernier prix et les extrêmes du jour, et suit le marché."""
    banc.suivre_tous("watch_ticker", "watch_tickers", symboles)
    await banc.abonne(len(symboles))
    await banc.avancer(3 * MINUTE_MS, 5000)
    for symbole in symboles:
        dernier = banc.oracle_trades(symbole, banc.maintenant - 10 * MINUTE_MS)[-1][1]
        await banc.attendre_egal(partial(banc.dernier_prix, symbole), dernier, "ticker")
        ticker = banc.exchange.tickers[symbole]
        assert ticker["low"] <= dernier <= ticker["high"]


async def minutes_vides(banc: Banc, symbole: str, *, plates: bool) -> None:
    """Une minute sans trade est une bougie plate, ou n'est pas envoyée, selon l'exchange ; REST la rend plate."""
    banc.suivre("watch_ohlcv", symbole, "1m")
    await banc.abonne()
    debut = banc.maintenant - banc.maintenant % MINUTE_MS + MINUTE_MS
    fin = debut + 30 * MINUTE_MS
    await banc.avancer(31 * MINUTE_MS, 20_000)
    toutes = [b for b in banc.oracle_bougies(symbole, "1m", debut) if b[0] < fin]
    reelles = sans_vides(banc.bourse, banc.nom, symbole, toutes)
    assert len(reelles) < len(toutes) == 30
    voulues = toutes if plates else reelles
    await banc.attendre(lambda: banc.bougies(symbole, "1m", debut, fin) == voulues, "bougies des minutes vides")
    banc.exchange.milliseconds = banc.bourse.maintenant_ms
    rest = await banc.exchange.fetch_ohlcv(symbole, "1m", debut - 1)
    assert [b for b in rest if debut <= b[0] < fin] == toutes


async def coupure_comblee(banc: Banc, symbole: str, duree_ms: int, combler: Combleur) -> None:
    """Après une coupure, les trades de REST et ceux du nouveau flux se recouvrent par leurs identifiants, sans trou."""
    depart, recus = banc.maintenant, banc.exchange.trades
    banc.suivre("watch_trades", symbole)
    await banc.abonne()
    await banc.avancer(MINUTE_MS, 5000)
    await banc.attendre(lambda: banc.trades(symbole) == banc.oracle_trades(symbole, depart), "premiers trades")
    vus = {t["id"]: t for t in recus[symbole]}
    assert banc.bourse.couper(banc.nom) == 1
    with contextlib.suppress(NetworkError):
        await banc.attendre(lambda: False, "coupure")
    assert isinstance(banc.erreurs.pop(), NetworkError)
    await banc.avancer(duree_ms, duree_ms)
    reprise = banc.maintenant
    banc.suivre("watch_trades", symbole)
    await banc.abonne(2)
    await banc.avancer(MINUTE_MS, 5000)
    nouveaux = banc.oracle_trades(symbole, reprise)
    await banc.attendre(lambda: banc.trades(symbole)[-len(nouveaux) :] == nouveaux, "reprise")
    suivants = list(recus[symbole])[-len(nouveaux) :]
    combles = await combler(banc.exchange, symbole, list(vus.values())[-1], suivants[0])
    assert {t["id"] for t in combles} - set(vus) - {t["id"] for t in suivants}
    tous = vus | {t["id"]: t for t in combles if t["timestamp"] > depart} | {t["id"]: t for t in suivants}
    assert sorted(lus(tous.values())) == sorted(banc.oracle_trades(symbole, depart))


async def horloge_acceleree(banc: Banc, symbole: str) -> None:
    """Horloge cent vingt fois plus vite : les bougies closes reçues sont celles que REST rend."""
    banc.suivre("watch_ohlcv", symbole, "1m")
    await banc.attendre(lambda: len(banc.bougies(symbole, "1m", 0, 2**62)) >= 4, "quatre bougies")
    # La première a pu être prise en cours de route, la dernière n'est pas close.
    recues = banc.bougies(symbole, "1m", 0, 2**62)[1:-1]
    banc.exchange.milliseconds = banc.bourse.maintenant_ms
    rest = {b[0]: b for b in await banc.exchange.fetch_ohlcv(symbole, "1m", recues[0][0])}
    assert recues == [rest[b[0]] for b in recues]


async def pongs(banc: Banc, symbole: str) -> None:
    """Les pings du client reçoivent le pong de l'exchange : la connexion survit au silence du marché."""
    banc.suivre("watch_trades", symbole)
    await banc.abonne()
    (client,) = banc.exchange.clients.values()
    await banc.attendre(lambda: client.lastPong is not None, "premier ping")
    instants: set[int] = set()

    def trois_pongs() -> bool:
        instants.add(client.lastPong)
        return len(instants) >= 4

    await banc.attendre(trois_pongs, "trois pongs")
    assert not banc.erreurs
    assert [c.fin for c in banc.bourse.connexions] == [None]


@contextlib.asynccontextmanager
async def brute(banc: Banc, chemin: str) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    """Ouvre une connexion sans ccxt, pour dire à la bourse ce que ccxt ne dit jamais."""
    url = f"{banc.bourse.url.replace('http', 'ws', 1)}/{banc.nom}{chemin}"
    async with aiohttp.ClientSession() as session, session.ws_connect(url) as ws:
        yield ws
