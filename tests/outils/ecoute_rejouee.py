"""Un serveur local qui envoie des trames à une vraie classe ccxt.pro, et ce que l'écoute du module en reçoit."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aiohttp import WSMsgType, web
from marche_simule import marche_de

import module_ccxt_fr_v2 as m

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable

Objet = dict[str, Any]


@dataclass(frozen=True)
class Rejoue:
    """Un exchange à rejouer : sa classe, son marché, et ce que son serveur répond."""

    nom: str
    marche_id: str
    genre: str = "spot"
    repondre: Callable[[Any], list[Any]] = lambda _demande: []
    chemins: dict[str, Any] = field(default_factory=dict)  # des réponses REST
    comprime: bool = False
    envoie_d_abord: bool = False  # l'adresse vaut abonnement : rien n'est demandé
    marche: dict[str, Any] = field(default_factory=dict)  # ce que la classe lit d'autre de son marché
    deux_marches: bool = False  # un second, de même forme : AAA y devient CCC
    groupe: bool = False

    @property
    def titre(self) -> str:
        """Ce qui le désigne dans un test."""
        return f"{self.nom}_{self.genre.partition('.')[0]}"

    def marches(self) -> list[Objet]:
        """Ses marchés, dans la forme de ccxt."""
        ids = {"id": self.marche_id, "lowercaseId": self.marche_id.lower(), "stock": False}
        premier = marche_de(self.genre) | ids | self.marche
        second = json.loads(json.dumps(premier).replace("AAA", "CCC").replace("aaa", "ccc"))
        return [premier, second] if self.deux_marches else [premier]


@dataclass
class Ecoutee:
    """Ce qu'une écoute a reçu, par symbole, et l'erreur qui l'a finie."""

    recues: dict[str, list[Any]] = field(default_factory=dict)
    erreur: m.ErreurCollecte | None = None


class _Serveur:
    def __init__(self, exchange: Rejoue, trames: list[Any], page: Any) -> None:
        self.exchange, self._trames, self._page = exchange, trames, page
        self.tout_envoye = asyncio.Event()
        self.base = ""

    async def repondre(self, requete: web.Request) -> web.StreamResponse:
        """Le flux, ou une page du REST."""
        if requete.headers.get("Upgrade", "").lower() == "websocket":
            return await self._suivre(requete)
        chemins = self.exchange.chemins.items()
        corps = next((reponse for chemin, reponse in chemins if chemin in requete.path), self._page)
        return web.json_response(json.loads(json.dumps(corps).replace("{ws}", self.base.replace("http", "ws", 1))))

    async def _suivre(self, requete: web.Request) -> web.WebSocketResponse:
        ws = web.WebSocketResponse()
        await ws.prepare(requete)

        async def repondre(demande: Any) -> None:
            for reponse in self.exchange.repondre(demande):
                await ecrire(ws, reponse, comprime=self.exchange.comprime)

        async def envoyer() -> None:
            for trame in self._trames:
                await ecrire(ws, trame, comprime=self.exchange.comprime)
                await asyncio.sleep(0)

        await dialoguer(ws, repondre, envoyer, self.tout_envoye, d_abord=self.exchange.envoie_d_abord)
        return ws


async def ecrire(
    ws: web.WebSocketResponse, objet: Any, *, comprime: bool = False, en_octets: bool = False
) -> None:
    """Une trame, telle que cet exchange l'envoie."""
    texte = json.dumps(objet)
    if comprime or en_octets:
        await ws.send_bytes(gzip.compress(texte.encode()) if comprime else texte.encode())
    else:
        await ws.send_str(texte)


async def dialoguer(
    ws: web.WebSocketResponse,
    repondre: Callable[[Any], Awaitable[None]],
    envoyer: Callable[[], Awaitable[None]],
    tout_envoye: asyncio.Event,
    *,
    d_abord: bool = False,
) -> None:
    """Répond aux demandes, battements de cœur exceptés ; envoie ce qu'il y a, dès la première, ou `d_abord`."""

    async def tout_envoyer() -> None:
        await asyncio.sleep(0.02)
        with contextlib.suppress(ConnectionError):
            await envoyer()
        tout_envoye.set()

    envoi = asyncio.ensure_future(tout_envoyer()) if d_abord else None
    async for message in ws:
        if message.type != WSMsgType.TEXT or "ping" in message.data or "pong" in message.data:
            continue
        await repondre(json.loads(message.data))
        envoi = envoi or asyncio.ensure_future(tout_envoyer())
    if envoi is not None:
        envoi.cancel()
        await asyncio.gather(envoi, return_exceptions=True)


def diriger(objet: Any, http: str) -> Any:
    """Ces adresses, menées au serveur ; le reste tel quel."""
    if isinstance(objet, dict):
        return {nom: diriger(valeur, http) for nom, valeur in objet.items()}
    if not isinstance(objet, str) or "://" not in objet:
        return objet
    genre, _, suite = objet.partition("://")
    chemin = "/" + suite.partition("/")[2]
    fin = chemin if objet.endswith("/") else chemin.rstrip("/")  # grvt colle son chemin à l'adresse
    return (http if genre.startswith("http") else http.replace("http", "ws", 1)) + fin


@contextlib.asynccontextmanager
async def servir(repondre: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> AsyncIterator[str]:
    """L'adresse d'un serveur local qui répond ainsi à tout."""
    application = web.Application()
    application.router.add_route("*", "/{reste:.*}", repondre)
    coureur = web.AppRunner(application, shutdown_timeout=0.1)
    await coureur.setup()
    await web.TCPSite(coureur, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{coureur.addresses[0][1]}"
    finally:
        await coureur.cleanup()


@contextlib.asynccontextmanager
async def connexion_a(
    exchange: Rejoue, repondre: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> AsyncIterator[tuple[m.Connexion, list[m.Serie], str]]:
    """Une connexion du module à ce serveur-là, les séries de ses marchés, et son adresse."""
    config = {"enableRateLimit": False, "timeout_on_exit": 0}
    connexion = m.Connexion(m.Reglages(exchange.nom, type_marche=exchange.genre.partition(".")[0], config_ccxt=config))
    connexion.api.set_markets(exchange.marches(), {})
    series = [
        m.Serie(m.CleSerie(exchange.nom, symbole), marche, m.Timeframe.lire("1m"), 0)
        for symbole, marche in connexion.api.markets.items()
    ]
    async with servir(repondre) as base:
        connexion.api.urls = diriger(connexion.api.urls, base)
        try:
            yield connexion, series, base
        finally:
            await connexion.fermer()


async def ecouter(exchange: Rejoue, trames: list[Any], canal: str, suivis: Iterable[str] = ()) -> Ecoutee:
    """Une écoute de ces marchés (tous, sinon), jusqu'à ce qu'elle finisse, ou que tout soit envoyé et reçu."""
    ecoutee, serveur = Ecoutee(), _Serveur(exchange, trames, {})
    async with connexion_a(exchange, serveur.repondre) as (connexion, series, base):
        serveur.base = base

        def recevoir(symbole: str, donnees: Any, _recu: int) -> None:
            ecoutee.recues.setdefault(symbole, []).extend(donnees)

        demandees = [serie for serie in series if not suivis or serie.cle.symbole in suivis]
        ecoute = m.Ecoute(connexion, canal, demandees, recevoir)
        ecoute.api.urls = diriger(ecoute.api.urls, base)
        suivi = asyncio.ensure_future(ecoute.suivre(groupe=exchange.groupe))
        envoi = asyncio.ensure_future(serveur.tout_envoye.wait())
        try:
            await asyncio.wait([suivi, envoi], return_when=asyncio.FIRST_COMPLETED, timeout=20)
            await asyncio.wait([suivi], timeout=0.2)
            if suivi.done() and isinstance(erreur := suivi.exception(), m.ErreurCollecte):
                ecoutee.erreur = erreur
        finally:
            for tache in (suivi, envoi):
                tache.cancel()
            await asyncio.gather(suivi, envoi, return_exceptions=True)
            ecoute.fermer()
    return ecoutee


async def lire_trades(exchange: Rejoue, page: Any) -> list[m.Trade]:
    """Les trades que le module lit de cette réponse du REST."""
    serveur = _Serveur(exchange, [], page)
    async with connexion_a(exchange, serveur.repondre) as (connexion, series, base):
        serveur.base = base
        brutes = await connexion.lire_trades(series[0], None, {}, essais=1)
        return [trade for brut in brutes if (trade := m.trade_de(brut, None))]
