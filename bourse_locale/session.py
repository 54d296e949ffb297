"""Une connexion WebSocket : elle lit le client, émet ce que son protocole (flux.py) dit être dû, et subit les pannes.

Deux tâches par session : l'une lit, l'autre émet. La seconde ne se réveille que pour un abonnement dont l'heure est
venue ; un saut d'horloge est rattrapé par tranches, dans l'ordre, sans rien sauter.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import time
from collections import deque
from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING, Any, NamedTuple

from aiohttp import WSCloseCode, WSMsgType, web

from bourse_locale.flux import encoder_texte
from bourse_locale.marche import MINUTE_MS
from bourse_locale.pannes import NATURES_CONNEXION, NATURES_DEMANDE, NATURES_POIGNEE, NATURES_TRAME, CibleFlux

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from aiohttp import WSMessage

    from bourse_locale.flux import Abonnement, Flux
    from bourse_locale.marche import Instrument
    from bourse_locale.pannes import Panne
    from bourse_locale.serveur import Bourse

__all__ = ["Connexion", "Session", "ouvrir_session", "reinitialiser"]

TICK_S = 0.02
"""Pas réel d'émission : ce qui est dû entre deux pas part ensemble."""
REPOS_S = 0.25
TRANCHE_MS = 5 * MINUTE_MS
"""Temps de l'exchange rattrapé d'un coup : borne la mémoire et rend la main à la boucle."""
PONGS_MANQUES = 3
DELAI_ADIEU_S = 1.0
SANS_TRAME = 1006
FINS = (WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED)


@dataclass
class Connexion:
    """Une ligne du journal : qui s'est connecté, à quoi il s'est abonné, ce qui lui fut envoyé, comment elle finit."""

    instant: float
    horloge_ms: int
    exchange: str
    chemin: str
    abonnements: list[str] = field(default_factory=list)
    actifs: set[str] = field(default_factory=set)
    refus: list[str] = field(default_factory=list)
    recus: int = 0
    envoyes: int = 0
    donnees: int = 0
    """Messages de données envoyés : `envoyes` compte aussi les acks et les pongs."""
    pannes: list[str] = field(default_factory=list)
    fin: str | None = None
    """Comment elle a fini : client, reset, propre, refus, limite… ; None : ouverte."""


class Envoi(NamedTuple):
    """Une trame à envoyer ; `cible` est None pour une réponse, que les pannes de trame ne touchent pas."""

    texte: str
    cible: CibleFlux | None


class Armee(NamedTuple):
    """Une panne décidée pour cette connexion, qui frappera à cet instant réel et après ce nombre de messages."""

    panne: Panne
    instant: float
    messages: int


class Session:
    """Une connexion ouverte."""

    def __init__(self, flux: Flux, contexte: str, http: web.Request, journal: Connexion) -> None:
        """Prépare la session ; rien n'est encore accepté."""
        self.flux, self.contexte, self.journal = flux, contexte, journal
        self.bourse: Bourse = flux.bourse
        self.abonnements: dict[str, Abonnement] = {}
        self.muette = False
        self.finie = False
        self._http, self._permis = http, flux.limites(contexte)
        # Sans compression : elle coûterait plus que tout le reste. Une session muette ne répond pas même à un adieu.
        self._ws = web.WebSocketResponse(autoping=False, autoclose=False, compress=False, timeout=DELAI_ADIEU_S)
        self._file: deque[Envoi] = deque()
        self._a_ouvrir: deque[Abonnement] = deque()
        self._reveil = asyncio.Event()
        self._curseur_ms = self.bourse.maintenant_ms()
        self._decidees: list[Panne] = []
        self._armees: list[Armee] = []
        self._tus: list[tuple[Panne, frozenset[str]]] = []
        self._lenteur: Panne | None = None
        self._recents: deque[float] = deque()
        self._sonde, self._sans_reponse = time.monotonic(), 0
        self._lecture: asyncio.Task[WSMessage] | None = None
        self._adieu: tuple[int, bytes] | None = None

    # Ce qu'emploient les protocoles

    def repondre(self, objet: object) -> None:
        """Met en file une réponse (ack, erreur, pong) : objet à encoder, ou texte."""
        self._file.append(Envoi(encoder_texte(objet), None))
        self._reveil.set()

    def place(self, nombre: int) -> bool:
        """Dit si la connexion peut porter ce nombre d'abonnements de plus."""
        return not self.bourse.limites or len(self.abonnements) + nombre <= self._permis[0]

    def refus(self, instruments: Iterable[Instrument]) -> Panne | None:
        """Rend la panne qui refuse cette demande d'abonnement, ou None ; à consulter avant d'abonner."""
        liste = list(instruments)
        for panne in self.bourse.pannes:
            cible = self._cible("", *liste)
            if panne.nature not in NATURES_DEMANDE or not panne.concerne_flux(cible):
                continue
            if panne.nature == "ws_groupe_refuse" and len(liste) <= panne.entier("n", 1):
                continue
            if self.bourse.pannes.compter(panne):
                self.journal.refus.extend(instrument.symbole for instrument in liste)
                return panne
        return None

    def abonner(self, abonnement: Abonnement) -> None:
        """Abonne à partir de maintenant ; son état présent part ensuite, dès que le marché en est lu."""
        abonnement.curseur_ms, abonnement.reveil_ms = self.bourse.maintenant_ms(), inf
        if not self.abonnements:
            self._curseur_ms = abonnement.curseur_ms
        self.abonnements[abonnement.cle] = abonnement
        self._a_ouvrir.append(abonnement)
        self.journal.abonnements.append(abonnement.cle)
        self.journal.actifs.add(abonnement.cle)
        self._reveil.set()

    def desabonner(self, cle: str) -> bool:
        """Ferme un abonnement ; faux s'il n'existait pas."""
        self.journal.actifs.discard(cle)
        return self.abonnements.pop(cle, None) is not None

    # Vie

    async def servir(self) -> web.StreamResponse:
        """Sert la connexion jusqu'à sa fin."""
        try:
            await self._ws.prepare(self._http)
        except ConnectionResetError:  # parti avant qu'on lui réponde ; aiohttp en ferait une trace
            self.journal.fin = "client"
            return web.Response()
        self.flux.accueillir(self)
        emission = asyncio.create_task(self._emettre())
        try:
            await self._lire()
        finally:
            self.finie = True
            taches: list[asyncio.Task[Any]] = [emission] if self._lecture is None else [emission, self._lecture]
            for tache in taches:
                tache.cancel()
            await asyncio.gather(*taches, return_exceptions=True)
            self.journal.fin = self.journal.fin or "client"
        return self._ws

    async def _lire(self) -> None:
        while self._adieu is None:
            self._lecture = asyncio.ensure_future(self._ws.receive())
            await asyncio.wait({self._lecture})
            if self._lecture.cancelled():
                break
            trame = self._lecture.result()
            if self.muette and trame.type in FINS:
                await self._attendre_la_perte()
                return
            if trame.type in FINS or trame.type is WSMsgType.ERROR:
                break
            await self._recevoir(trame.type, trame.data)
        # La lecture est libre : l'adieu attend alors celui du client, comme le font les exchanges.
        code, message = self._adieu or (WSCloseCode.OK, b"")
        await self._ws.close(code=code, message=message)

    async def _attendre_la_perte(self) -> None:
        # Rien ne signale la fin d'un transport que plus personne ne lit : il faut y revenir voir.
        while self._http.transport is not None and not self._http.transport.is_closing():  # noqa: ASYNC110
            await asyncio.sleep(TICK_S)

    async def _recevoir(self, genre: WSMsgType, donnee: object) -> None:
        self._sans_reponse = 0
        self.journal.recus += genre is WSMsgType.TEXT
        if self.muette:
            return
        if genre is WSMsgType.PING and isinstance(donnee, (bytes, bytearray)):
            await self._ws.pong(bytes(donnee))
        elif genre is WSMsgType.TEXT and isinstance(donnee, str):
            if self._trop_de_demandes():
                self.finir("limite", WSCloseCode.POLICY_VIOLATION, "Too many requests")
            else:
                self.flux.recevoir(self, donnee)

    def _trop_de_demandes(self) -> bool:
        permis = self._permis[1]
        if not permis or not self.bourse.limites:
            return False
        self._recents.append(time.monotonic())
        while self._recents[0] < self._recents[-1] - 1.0:
            self._recents.popleft()
        return len(self._recents) > permis

    # Fins

    def reset(self) -> None:
        """Coupe par un RST."""
        self._finir("reset")
        reinitialiser(self._http.transport)

    def finir(self, raison: str = "propre", code: int = WSCloseCode.OK, message: str = "") -> None:
        """Ferme proprement avec ce code ; 1006 ferme la connexion TCP sans trame de fermeture."""
        self._finir(raison)
        if code == SANS_TRAME:
            if self._http.transport is not None:
                self._http.transport.close()
            return
        self._adieu = (code, message.encode())
        if self._lecture is not None:
            self._lecture.cancel()

    def taire(self) -> None:
        """N'émet plus rien, ni pong ni adieu : la connexion reste ouverte (demi-ouverte)."""
        self.muette = True

    def reveiller(self) -> None:
        """Fait reprendre l'émission aussitôt (horloge avancée, panne ajoutée)."""
        self._reveil.set()

    def _finir(self, raison: str) -> None:
        self.finie = True
        self.journal.fin = self.journal.fin or raison
        self._reveil.set()

    # Émission

    async def _emettre(self) -> None:
        with contextlib.suppress(ConnectionError):  # le client est parti : la lecture le voit aussi, et termine
            while not self.finie:
                self._reveil.clear()
                self._armer()
                self._frapper()
                if not self.muette:
                    await self._sonder()
                    await self._rattraper()
                await self._attendre()

    async def _rattraper(self) -> None:
        await self._ouvrir_abonnements()
        while not (self.finie or self.muette):
            maintenant = self.bourse.maintenant_ms()
            fin = min(maintenant, self._curseur_ms + TRANCHE_MS) if self.abonnements else maintenant
            await self._produire(fin)
            self._curseur_ms = max(self._curseur_ms, fin)
            await self._vider()
            if fin >= maintenant:
                return
            await asyncio.sleep(0)

    async def _ouvrir_abonnements(self) -> None:
        """Ouvre les abonnements reçus, un à un : un marché jamais lu coûte quinze millisecondes."""
        await self._vider()
        while self._a_ouvrir and not (self.finie or self.muette):
            abonnement = self._a_ouvrir.popleft()
            if self.abonnements.get(abonnement.cle) is abonnement:
                self.flux.ouvrir(abonnement)
                self._mettre_en_file(abonnement, self.flux.premiers(abonnement, abonnement.curseur_ms))
                await self._vider()
                await asyncio.sleep(0)

    async def _produire(self, fin_ms: int) -> None:
        """Met en file ce que doivent les abonnements réveillés ; rend la main si c'est long (minuit relit tout)."""
        debut = time.monotonic()
        for abonnement in list(self.abonnements.values()):
            if abonnement.reveil_ms <= fin_ms:
                cible = self._cible(abonnement.canal, abonnement.instrument)
                self._mettre_en_file(abonnement, self.flux.produire(abonnement, fin_ms, cible))
                if time.monotonic() - debut > TICK_S:
                    await self._vider()
                    await asyncio.sleep(0)
                    debut = time.monotonic()

    def _mettre_en_file(self, abonnement: Abonnement, objets: list[object]) -> None:
        if not objets or (self._tus and self._est_tu(abonnement.instrument.symbole)):
            return
        cible = self._cible(abonnement.canal, abonnement.instrument)
        self._file.extend([Envoi(encoder_texte(objet), cible) for objet in objets])

    def _est_tu(self, symbole: str) -> bool:
        return any(symbole in symboles and self._en_vigueur(panne) for panne, symboles in self._tus)

    async def _vider(self) -> None:
        while self._file and not (self.finie or self.muette):
            texte, cible = self._file.popleft()
            if cible is not None:
                texte = self._abimer(texte, cible)
                self.journal.donnees += 1
            if self._lenteur is not None and self._en_vigueur(self._lenteur):
                await self._ralentir(self._lenteur, len(texte))
            await self._envoyer(self.flux.trame(texte))
            self.journal.envoyes += 1
            if self._armees:
                self._frapper()

    async def _envoyer(self, trame: str | bytes) -> None:
        if isinstance(trame, bytes):
            await self._ws.send_bytes(trame)
        else:
            await self._ws.send_str(trame)

    def _abimer(self, texte: str, cible: CibleFlux) -> str:
        if not self.bourse.pannes.a_nature(NATURES_TRAME):
            return texte
        panne = self.bourse.pannes.choisir_flux(NATURES_TRAME, cible)
        return texte if panne is None else texte[: panne.entier("octets", len(texte) // 2)]

    async def _ralentir(self, panne: Panne, octets: int) -> None:
        debit = panne.flottant("octets_s", 0.0)
        await asyncio.sleep(panne.flottant("delai_s", 0.0 if debit else 0.05) + (octets / debit if debit else 0.0))

    async def _sonder(self) -> None:
        """Envoie les pings du serveur, et ferme si le client n'y répond plus."""
        maintenant, pas = time.monotonic(), self.flux.ping_s
        if not pas or maintenant - self._sonde < pas:
            return
        self._sonde = maintenant
        if self._sans_reponse >= PONGS_MANQUES:
            self.finir("sourde", WSCloseCode.POLICY_VIOLATION, "Pong timeout")
        else:
            self._sans_reponse += 1
            await self._ws.ping(str(self.bourse.maintenant_ms()).encode())

    async def _attendre(self) -> None:
        """Dort jusqu'au prochain abonnement dû, ou jusqu'à ce qu'on la réveille."""
        duree, acceleration = REPOS_S, self.bourse.horloge.acceleration
        if self.abonnements and acceleration > 0 and not self.muette:
            reste_ms = min(a.reveil_ms for a in self.abonnements.values()) - self.bourse.maintenant_ms()
            duree = min(REPOS_S, max(TICK_S, reste_ms / 1000 / acceleration))
        if self.flux.ping_s:
            duree = min(duree, self.flux.ping_s)
        if self._armees:
            duree = TICK_S
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(duree):  # `wait_for`, en 3.11, avale une annulation qui croise le réveil
                await self._reveil.wait()

    # Pannes de connexion

    def _cible(self, canal: str, *instruments: Instrument) -> CibleFlux:
        identifiant = self.flux.protocole.identifiant
        noms = frozenset(nom for i in instruments for nom in (i.symbole, identifiant(i)))
        return CibleFlux(self.journal.chemin, canal, noms)

    def _armer(self) -> None:
        """Décide, une fois par panne et par connexion, si la panne la frappera ; le délai part de là."""
        for panne in self.bourse.pannes:
            if panne.nature not in NATURES_CONNEXION or panne in self._decidees:
                continue
            if not panne.concerne_flux(self._cible("", *(a.instrument for a in self.abonnements.values()))):
                continue
            self._decidees.append(panne)
            if self.bourse.pannes.compter(panne):
                instant = time.monotonic() + panne.flottant("apres_s", 0.0)
                self._armees.append(Armee(panne, instant, self.journal.donnees + panne.entier("apres_messages", 0)))

    def _en_vigueur(self, panne: Panne) -> bool:
        """Dit si la panne est encore déclarée : retirée, elle cesse (lenteur, silence d'un symbole) ou n'a pas lieu."""
        return panne in self.bourse.pannes.liste

    def _frapper(self) -> None:
        self._armees = [armee for armee in self._armees if self._en_vigueur(armee.panne)]
        for armee in list(self._armees):
            if time.monotonic() >= armee.instant and self.journal.donnees >= armee.messages:
                self._armees.remove(armee)
                self.journal.pannes.append(armee.panne.nature)
                FRAPPES[armee.panne.nature](self, armee.panne)

    def ralentir(self, panne: Panne) -> None:
        """Fait attendre chaque trame (delai_s, octets_s)."""
        self._lenteur = panne

    def taire_symbole(self, panne: Panne) -> None:
        """N'émet plus rien d'un symbole, les autres continuent."""
        symbole = panne.texte("symbole", "")
        tus = [i.symbole for i in self.flux.protocole.instruments if symbole in self._cible("", i).symboles]
        self._tus.append((panne, frozenset(tus)))


# Ajouter une panne de connexion : sa nature dans pannes.NATURES_CONNEXION, une ligne ici.
FRAPPES: dict[str, Callable[[Session, Panne], object]] = {
    "ws_reset": lambda session, _panne: session.reset(),
    "ws_fermeture": lambda session, panne: session.finir("propre", panne.entier("code", WSCloseCode.OK)),
    "ws_silence": lambda session, _panne: session.taire(),
    "ws_silence_symbole": Session.taire_symbole,
    "ws_lent": Session.ralentir,
    "ws_rafale": lambda session, panne: session.bourse.rafale(
        session.journal.exchange, panne.texte("symbole", ""), panne.entier("nombre", 50_000)
    ),
}
COUPES: dict[str, Callable[[Session], None]] = {
    "reset": Session.reset,
    "propre": Session.finir,
    "silence": Session.taire,
}
"""Manières de couper une session en route (Bourse.couper)."""


async def ouvrir_session(bourse: Bourse, flux: Flux | None, http: web.Request, chemin: str) -> web.StreamResponse:
    """Accepte (ou refuse) une connexion et la sert ; elle figure au journal dans tous les cas."""
    exchange = http.match_info["exchange"]
    journal = Connexion(time.monotonic(), bourse.maintenant_ms(), exchange, http.path)
    bourse.connexions.append(journal)
    panne = bourse.pannes.choisir_flux(NATURES_POIGNEE, CibleFlux(http.path))
    contexte = None if flux is None else flux.contexte(chemin)
    if panne is not None or flux is None or contexte is None:
        journal.fin = "refus" if panne is not None else "inconnu"
        return _refuser(http, panne)
    session = Session(flux, contexte, http, journal)
    bourse.sessions.append(session)
    try:
        return await session.servir()
    finally:
        bourse.sessions.remove(session)


def _refuser(http: web.Request, panne: Panne | None) -> web.Response:
    """Rend 404 pour un chemin inconnu, le code de la panne sinon (503) ; code 0 : un RST sans réponse."""
    code = 404 if panne is None else panne.entier("code", 503)
    if code == 0:
        reinitialiser(http.transport)
        return web.Response()
    attente = None if panne is None else panne.reglages.get("retry_after")
    return web.Response(status=code, headers={} if attente is None else {"Retry-After": str(attente)})


def reinitialiser(transport: asyncio.Transport | None) -> None:
    """Ferme une connexion par RST : SO_LINGER nul fait envoyer RST au lieu de FIN."""
    if transport is None:
        return
    prise: socket.socket | None = transport.get_extra_info("socket")
    if prise is not None and not transport.is_closing():
        prise.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
