"""Le WebSocket public des exchanges tiers, servi par le cadre de `bourse_locale` aux classes ccxt.pro non modifiées.

Une classe de flux par protocole : quelles trames, quels champs, quel instantané, quel refus. Le REST du même exchange
(bourses_tierces.py) répond à côté, au même marché et à la même heure. Deux marchés : AAA et BBB ; le REST, écrit pour
le premier, est traduit pour le second.
"""

from __future__ import annotations

import functools
import gzip
import json
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import formatdate
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from bourses_tierces import SIMULATEURS, RefusError, Simulateur
from bourses_tierces_trades import SIMULATEURS_DE_FLUX, Bitstamp, Ndax

from bourse_locale import Bourse
from bourse_locale.flux import Abonnement, Flux
from bourse_locale.marche import JOUR_MS, MINUTE_MS, Instrument, Marche, instant_ms
from bourse_locale.pages import derniers_trades
from bourse_locale.serveur import TIMEFRAMES, Appel, Protocole, Reponse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from bourse_locale.flux import Canal, Chandelle, MajCarnet, Resume
    from bourse_locale.marche import Bougie, Pas, Trade
    from bourse_locale.session import Session

BASES = ("AAA", "BBB")
DEPART_MS = instant_ms("2024-01-05T13:00:30")
Objet = dict[str, Any]


# --- Les deux marchés, et leur REST ---


def en(base: str, texte: str) -> str:
    """Le texte écrit pour AAA, dit d'un autre marché."""
    return texte.replace("AAA", base).replace("aaa", base.lower())


def doubler(objet: Any) -> Any:
    """La réponse où chaque fiche du premier marché est suivie de celle du second."""
    if isinstance(objet, dict):
        return {cle: doubler(valeur) for cle, valeur in objet.items()}
    if not isinstance(objet, list):
        return objet
    resultat = []
    for element in objet:
        resultat.append(doubler(element))
        champs = element.values() if isinstance(element, dict) else element if isinstance(element, list) else ()
        if any(isinstance(champ, str) and "AAA" in champ.upper() for champ in champs):
            resultat.append(json.loads(en("BBB", json.dumps(element))))
    return resultat


class Tiers(Protocole):
    """Un exchange tiers dans la bourse : le REST d'un simulateur, et son flux."""

    timeframes: ClassVar[dict[str, tuple[Pas, int]]] = {**TIMEFRAMES, "1s": (1000, 0)}

    def __init__(self, bourse: Bourse, nom: str, cotation_ms: int) -> None:
        """Deux marchés, cotés depuis cet instant."""
        classe = (SIMULATEURS | SIMULATEURS_DE_FLUX)[nom]
        self.minutes_vides_plates = classe.pleines  # type: ignore[misc]  # d'instance : un exchange, une classe
        self.nom, self.ccxt, self.base_url = nom, classe.nom, ""  # type: ignore[misc]
        instrument = Instrument("AAA", classe.symbole.split("/")[1][:4].rstrip(":"), decimales_quantite=3)
        self._instruments = [replace(instrument, base=base, cotation_ms=cotation_ms) for base in BASES]
        self.simulateurs = {i.base: classe(bourse.marche, i) for i in self._instruments}
        for simulateur in self.simulateurs.values():
            simulateur.maintenant_ms = bourse.maintenant_ms
        self._flux: type[FluxTiers] = FLUX[nom]
        super().__init__(bourse)

    @property
    def premier(self) -> Simulateur:
        """Le REST du premier marché."""
        return self.simulateurs["AAA"]

    def _choisir_instruments(self) -> list[Instrument]:
        return self._instruments

    def identifiant(self, instrument: Instrument) -> str:
        """La base suffit."""
        return instrument.base

    def routes(self) -> dict[tuple[str, str], Callable[[Appel], Reponse]]:
        """Toutes sont dans le simulateur."""
        return {}

    def flux(self) -> FluxTiers:
        """Le côté WebSocket."""
        return self._flux(self)

    def config_ccxt(self, base_url: str) -> Objet:
        """Où la classe ccxt appelle et se connecte."""
        self.base_url = base_url
        adresses = self._flux.urls(self.premier.urls(base_url), base_url.replace("http", "ws", 1) + "/ws")
        return {"urls": {"api": adresses, **self._flux.adresses(base_url.replace("http", "ws", 1) + "/ws")}}

    def repondre(self, appel: Appel) -> Reponse:
        """Le simulateur du marché que nomme la requête répond ; une liste de marchés les dit tous."""
        demande = json.dumps([appel.chemin, appel.params])
        base = "BBB" if "BBB" in demande.upper() else "AAA"
        chemin, params = json.loads(demande.replace("BBB", "AAA").replace("bbb", "aaa"))
        simulateur = self.simulateurs[base]
        propre = self._flux.rest(self, appel.chemin, appel.params)
        # bitfinex n'a pas d'autre heure
        entetes = {"Date": formatdate(self.bourse.maintenant_ms() / 1000, usegmt=True)}
        if propre is not None:
            return Reponse(propre, entetes=entetes)
        simulateur.vues.clear()
        try:
            donnees, code = simulateur.recevoir(chemin, params), 200
        except RefusError as refus:
            donnees, code = refus.corps, refus.code
        if "AAA" in demande.upper() or base == "BBB":
            return Reponse(json.loads(en(base, json.dumps(donnees))), code, entetes)
        return Reponse(doubler(donnees), code, entetes)

    def erreur(self, code: int, appel: Appel, attente_s: float = 0.0) -> Reponse:  # noqa: ARG002
        """Une panne de transport."""
        return Reponse({"message": "unavailable"}, code)

    # Oracles

    def symbole(self, base: str = "AAA") -> str:
        """Le symbole unifié d'un marché."""
        return en(base, self.premier.symbole)

    def trades_attendus(self, base: str, debut: int, fin: int) -> list[TradeLu]:
        """Les trades de [début, fin[, dans l'ordre : instant, sens, prix, quantité de base (ou contrats)."""
        simulateur = self.simulateurs[base]
        return [
            TradeLu(t.ts, t.sens, float(simulateur.prix(t.prix)), float(simulateur.quantite(t)))
            for t in self.marche.trades(simulateur.instrument, debut, fin)
        ]


class TradeLu(NamedTuple):
    """Ce qu'on compare d'un trade : les identifiants changent d'un exchange à l'autre."""

    instant: int
    sens: str
    prix: float
    quantite: float


def ouvrir(*noms: str, depart_ms: int = DEPART_MS, vide: float = 0.1, **reglages: Any) -> Bourse:
    """La bourse de ces exchanges tiers, dont l'horloge part de cet instant."""
    marche = Marche(graine=7, instruments={}, taux_vide=vide)
    cotation = depart_ms - 3 * JOUR_MS
    fabriques = [functools.partial(Tiers, nom=nom, cotation_ms=cotation) for nom in noms]
    return Bourse(fabriques, marche, limites=False, maintenant_ms=depart_ms, **reglages)


def tiers_de(bourse: Bourse, nom: str) -> Tiers:
    """Un exchange de cette bourse."""
    protocole = bourse.protocoles[nom]
    assert isinstance(protocole, Tiers)
    return protocole


# --- Flux ---


class FluxTiers(Flux):
    """Ce que tous partagent : trouver un marché dans un texte, un instantané de trades à l'abonnement."""

    instantane_trades: ClassVar[int] = 0  # trades anciens envoyés à l'abonnement
    protocole: Tiers

    @staticmethod
    def urls(rest: Any, ws: str) -> Objet:
        """La valeur de `urls.api` : celle du REST, et le WebSocket."""
        return {**rest, "ws": ws}

    @staticmethod
    def adresses(ws: str) -> Objet:  # noqa: ARG004
        """Ce que `urls` a de plus : bitopro y met son WebSocket."""
        return {}

    @staticmethod
    def rest(protocole: Tiers, chemin: str, params: Objet) -> object:  # noqa: ARG004
        """Une réponse REST propre au flux (kucoin y prend un jeton) ; None s'il n'y en a pas."""
        return None

    def contexte(self, chemin: str) -> str | None:
        """Une seule adresse."""
        return "" if chemin.startswith("/ws") else None

    def recevoir(self, session: Session, texte: str) -> None:
        """Une demande en JSON."""
        if texte == "ping":
            session.repondre("pong")
        else:
            self.demander(session, json.loads(texte))

    def demander(self, session: Session, demande: Objet) -> None:
        """Une demande du client."""
        raise NotImplementedError

    def instruments(self, texte: str) -> list[Instrument]:
        """Les marchés que nomme un texte."""
        return [i for i in self.protocole.instruments if i.base in texte.upper()]

    def abonner(
        self, session: Session, canal: Canal, instruments: Iterable[Instrument], code: str = "1m", nom: str = ""
    ) -> None:
        """Abonne ; `code` : le timeframe de l'exchange."""
        timeframe = self.protocole.premier.codes().get(code, "1m")
        for i in instruments:
            periode = self.protocole.timeframes[timeframe]
            cle = f"{canal}:{code}:{i.base}:{nom}"
            session.abonner(Abonnement(cle, canal, i, nom=nom or code, periode=periode, timeframe=timeframe))

    def premiers(self, abonnement: Abonnement, maintenant_ms: int) -> list[object]:
        """L'état présent ; des trades, les derniers."""
        if abonnement.canal == "trades" and self.instantane_trades:
            anciens = derniers_trades(
                self.marche, abonnement.instrument, 0, maintenant_ms + 1, self.instantane_trades
            )
            return self.instantane_de(abonnement, anciens, maintenant_ms)
        return super().premiers(abonnement, maintenant_ms)

    def instantane_de(self, abonnement: Abonnement, trades: list[Trade], maintenant_ms: int) -> list[object]:
        """La trame des trades d'avant l'abonnement."""
        return self.trades(abonnement, trades, maintenant_ms)

    def rest_de(self, abonnement: Abonnement) -> Any:
        """Le REST du marché, pour ce que le flux écrit comme lui."""
        return self.protocole.simulateurs[abonnement.instrument.base]

    def un_trade(self, abonnement: Abonnement, trade: Trade) -> Objet:
        """Un trade, comme l'écrit le REST."""
        texte = json.dumps(self.rest_de(abonnement).rediger_trade(trade))
        ecrit: Objet = json.loads(en(abonnement.instrument.base, texte))
        return ecrit

    def textes(self, abonnement: Abonnement, bougie: Bougie) -> tuple[str, str, str, str, str]:
        """Ouverture, haut, bas, clôture, volume."""
        simulateur = self.rest_de(abonnement)
        o, h, low, c = (simulateur.prix(v) for v in bougie[1:5])
        return o, h, low, c, simulateur.volume(bougie)

    def bougies(self, abonnement: Abonnement, bougies: list[Chandelle], maintenant_ms: int) -> list[object]:
        """Une trame par bougie."""
        return [self.une_bougie(abonnement, b, maintenant_ms) for b in bougies]

    def une_bougie(self, abonnement: Abonnement, chandelle: Chandelle, maintenant_ms: int) -> object:
        """La trame d'une bougie."""
        raise NotImplementedError

    def carnet(self, abonnement: Abonnement, maj: MajCarnet, maintenant_ms: int) -> list[object]:  # noqa: ARG002
        """Les carnets ne sont pas servis ici."""
        return []

    def ticker(self, abonnement: Abonnement, lu: Resume, maintenant_ms: int) -> list[object]:  # noqa: ARG002
        """Les tickers ne sont pas servis ici."""
        return []


class FluxGate(FluxTiers):
    """Comptant : `v` d'une bougie est le volume de cotation (`a`, celui de base) ; un trade par trame.

    Le carnet (`obu`) est entier à l'abonnement, puis de mises à jour de `U` à `u`.
    """

    genre: ClassVar[str] = "spot"

    @staticmethod
    def urls(rest: Any, ws: str) -> Objet:
        """Une adresse par genre de marché."""
        return {**rest, "spot": ws, "swap": {"usdt": ws, "btc": ws}}

    def demander(self, session: Session, demande: Objet) -> None:
        """`payload` : des marchés, ou un intervalle et un marché."""
        canal, payload = demande["channel"].split(".")[1], demande["payload"]
        trouves = self.instruments(" ".join(payload))
        reponse = {"time": 1, "id": demande["id"], "channel": demande["channel"], "event": demande["event"],
                   "payload": payload, "result": {"status": "success"}}  # fmt: skip
        if session.refus(trouves):
            erreur = {"code": 2, "message": f"unknown currency pair: {payload[-1]}"}
            session.repondre({**reponse, "error": erreur, "result": {"status": "fail"}})
            return
        session.repondre(reponse)
        if canal == "trades":
            self.abonner(session, "trades", trouves)
        elif canal == "candlesticks":
            self.abonner(session, "bougies", trouves, payload[0])
        elif canal == "obu":
            self.abonner(session, "carnet", trouves, nom=payload[0])

    def carnet(self, abonnement: Abonnement, maj: MajCarnet, maintenant_ms: int) -> list[object]:
        """Un carnet entier n'a pas de `U`."""
        i, apres = abonnement.instrument, maj.apres
        bids, asks = ([[i.texte_prix(n.prix), i.texte_quantite(n.quantite)] for n in cote] for cote in maj.niveaux)
        suite = {"full": True} if maj.avant is None else {"U": maj.avant.sequence + 1}
        resultat = {"t": apres.ts, **suite, "s": abonnement.nom, "u": apres.sequence, "b": bids, "a": asks}
        return [self._trame("obu", resultat, maintenant_ms)]

    def trades(self, abonnement: Abonnement, trades: list[Trade], maintenant_ms: int) -> list[object]:
        """Un par trame."""
        return [self._trame("trades", self.un_trade(abonnement, t), maintenant_ms) for t in trades]

    def une_bougie(self, abonnement: Abonnement, chandelle: Chandelle, maintenant_ms: int) -> object:
        """Les deux volumes."""
        bougie, instrument = chandelle.bougie, abonnement.instrument
        o, h, low, c, v = self.textes(abonnement, bougie)
        donnees = {"t": str(bougie.ts // 1000), "o": o, "h": h, "l": low, "c": c, "w": chandelle.close,
                   "n": f"{abonnement.nom}_{instrument.base}_USDT",
                   "v": instrument.texte_volume_quote(bougie.volume_quote), "a": v}  # fmt: skip
        return self._trame("candlesticks", donnees, maintenant_ms)

    def _trame(self, canal: str, resultat: object, maintenant_ms: int) -> Objet:
        entete = {"time": maintenant_ms // 1000, "channel": f"{self.genre}.{canal}", "event": "update"}
        return {**entete, "result": resultat}


class FluxGateSwap(FluxGate):
    """Contrats : tout y est en listes, les volumes en contrats."""

    genre: ClassVar[str] = "futures"

    def trades(self, abonnement: Abonnement, trades: list[Trade], maintenant_ms: int) -> list[object]:
        """Tous dans une trame, le plus récent d'abord."""
        ecrits = [{**self.un_trade(abonnement, t), "create_time_ms": t.ts} for t in reversed(trades)]
        return [self._trame("trades", ecrits, maintenant_ms)]

    def une_bougie(self, abonnement: Abonnement, chandelle: Chandelle, maintenant_ms: int) -> object:
        """Une liste d'une bougie."""
        o, h, low, c, v = self.textes(abonnement, chandelle.bougie)
        donnees = {"t": chandelle.bougie.ts // 1000, "v": v, "o": o, "h": h, "l": low, "c": c,
                   "n": f"{abonnement.nom}_{abonnement.instrument.base}_USDT"}  # fmt: skip
        return self._trame("candlesticks", [donnees], maintenant_ms)


class FluxKucoin(FluxTiers):
    """Un jeton pris par REST ; les trades du flux ont un identifiant que ceux du REST n'ont pas."""

    niveaux_rest: ClassVar[int] = 100

    @staticmethod
    def rest(protocole: Tiers, chemin: str, params: Objet) -> object:
        """Le jeton ; l'instantané d'un carnet."""
        if chemin == "/api/v1/market/orderbook/level2_100":
            (i,) = [i for i in protocole.instruments if params["symbol"].startswith(i.base)]
            flux = protocole.bourse.flux[protocole.nom]
            assert flux is not None
            servi = flux.instantane_rest(i, protocole.bourse.maintenant_ms())
            gardes = {nom: getattr(servi, nom)[: FluxKucoin.niveaux_rest] for nom in ("bids", "asks")}
            cotes = {
                nom: [[i.texte_prix(n.prix), i.texte_quantite(n.quantite)] for n in niveaux]
                for nom, niveaux in gardes.items()
            }
            return {"code": "200000", "data": {"sequence": str(servi.sequence), "time": servi.ts, **cotes}}
        if chemin != "/api/v1/bullet-public":
            return None
        serveur = {"endpoint": protocole.base_url.replace("http", "ws", 1) + "/ws", "protocol": "websocket",
                   "encrypt": False, "pingInterval": 18000, "pingTimeout": 10000}  # fmt: skip
        return {"code": "200000", "data": {"token": "jeton", "instanceServers": [serveur]}}

    @staticmethod
    def urls(rest: Any, ws: str) -> Objet:  # noqa: ARG004
        """L'adresse vient avec le jeton."""
        return dict(rest)

    def demander(self, session: Session, demande: Objet) -> None:
        """`topic` : un canal et des marchés."""
        if demande["type"] == "ping":
            session.repondre({"id": demande["id"], "type": "pong"})
            return
        sujet, _, objets = demande["topic"].partition(":")
        trouves = self.instruments(objets)
        if session.refus(trouves):
            session.repondre({"id": demande["id"], "type": "error", "code": 404, "topic": demande["topic"],
                              "data": f"topic {demande['topic']} is not found"})  # fmt: skip
            return
        session.repondre({"id": demande["id"], "type": "ack"})
        if sujet == "/market/match":
            self.abonner(session, "trades", trouves)
        elif sujet == "/market/candles":
            self.abonner(session, "bougies", trouves, objets.split("_")[1])
        elif sujet == "/market/level2":
            self.abonner(session, "carnet", trouves)

    def carnet(self, abonnement: Abonnement, maj: MajCarnet, maintenant_ms: int) -> list[object]:
        """Les niveaux changés du carnet entier ; l'instantané est en REST."""
        if maj.avant is None:
            return []
        i, marche = abonnement.instrument, f"{abonnement.instrument.base}-USDT"
        changes = {nom: [[i.texte_prix(n.prix), i.texte_quantite(n.quantite), str(maj.apres.sequence)]
                         for n in getattr(maj.niveaux, nom)] for nom in ("bids", "asks")}  # fmt: skip
        return [{"type": "message", "topic": f"/market/level2:{marche}", "subject": "trade.l2update",
                 "data": {"symbol": marche, "changes": changes, "time": maintenant_ms,
                          "sequenceStart": maj.avant.sequence + 1, "sequenceEnd": maj.apres.sequence}}]  # fmt: skip

    def trades(self, abonnement: Abonnement, trades: list[Trade], maintenant_ms: int) -> list[object]:  # noqa: ARG002
        """Un par trame, daté en nanosecondes."""
        marche = f"{abonnement.instrument.base}-USDT"
        return [
            {"type": "message", "topic": f"/market/match:{marche}", "subject": "trade.l3match",
             "data": {**self.un_trade(abonnement, t), "symbol": marche, "type": "match", "tradeId": f"{t.id:024x}",
                      "time": str(t.ts * 1_000_000 + 500_000)}}
            for t in trades
        ]  # fmt: skip

    def une_bougie(self, abonnement: Abonnement, chandelle: Chandelle, maintenant_ms: int) -> object:
        """Ouverture, clôture, haut, bas, volume."""
        marche = f"{abonnement.instrument.base}-USDT"
        o, h, low, c, v = self.textes(abonnement, chandelle.bougie)
        return {"type": "message", "topic": f"/market/candles:{marche}_{abonnement.nom}",
                "subject": "trade.candles.update",
                "data": {"symbol": marche, "candles": [str(chandelle.bougie.ts // 1000), o, c, h, low, v, "1"],
                         "time": maintenant_ms * 1_000_000}}  # fmt: skip


class FluxBitget(FluxTiers):
    """Instantanés à l'abonnement : cinquante trades, cent bougies ; les plus récents d'abord."""

    instantane_trades: ClassVar[int] = 50
    BOUGIES: ClassVar[int] = 100

    @staticmethod
    def urls(rest: Any, ws: str) -> Objet:
        """Une adresse publique."""
        return {**rest, "ws": dict.fromkeys(("public", "private", "utaPublic", "utaPrivate"), ws)}

    def demander(self, session: Session, demande: Objet) -> None:
        """`args` : un objet par sujet."""
        for sujet in demande["args"]:
            trouves = self.instruments(sujet["instId"])
            if session.refus(trouves):
                nom = ",".join(f"{cle}:{valeur}" for cle, valeur in sujet.items())
                session.repondre({"event": "error", "code": 30001, "msg": f"{nom} doesn't exist"})
                continue
            session.repondre({"event": "subscribe", "arg": sujet})
            if sujet["channel"] == "trade":
                self.abonner(session, "trades", trouves)
            elif sujet["channel"].startswith("candle"):
                self.abonner(session, "bougies", trouves, sujet["channel"].removeprefix("candle"))

    def trades(self, abonnement: Abonnement, trades: list[Trade], maintenant_ms: int) -> list[object]:
        """Tous dans une trame, le plus récent d'abord."""
        donnees = [self.un_trade(abonnement, t) for t in reversed(trades)]
        return [self._trame(abonnement, "trade", donnees, maintenant_ms)]

    def premiers(self, abonnement: Abonnement, maintenant_ms: int) -> list[object]:
        """Les dernières bougies, dans une trame."""
        if abonnement.canal != "bougies":
            return super().premiers(abonnement, maintenant_ms)
        anciennes = self.rest_de(abonnement).dernieres(abonnement.timeframe, maintenant_ms + 1, self.BOUGIES)
        donnees = [self._bougie(abonnement, bougie) for bougie in anciennes]
        return [self._trame(abonnement, f"candle{abonnement.nom}", donnees, maintenant_ms)]

    def une_bougie(self, abonnement: Abonnement, chandelle: Chandelle, maintenant_ms: int) -> object:
        """Une seule."""
        donnees = [self._bougie(abonnement, chandelle.bougie)]
        return self._trame(abonnement, f"candle{abonnement.nom}", donnees, maintenant_ms)

    def _bougie(self, abonnement: Abonnement, bougie: Bougie) -> list[str]:
        return [str(bougie.ts), *self.textes(abonnement, bougie), "1", "1"]

    @staticmethod
    def _trame(abonnement: Abonnement, canal: str, donnees: object, maintenant_ms: int) -> Objet:
        sujet = {"instType": "SPOT", "channel": canal, "instId": f"{abonnement.instrument.base}USDT"}
        return {"action": "update", "arg": sujet, "data": donnees, "ts": maintenant_ms}


class FluxCoinbase(FluxTiers):
    """Pas de bougies ; un refus y est une trame qui fait lever la classe ccxt."""

    instantane_trades: ClassVar[int] = 50

    def demander(self, session: Session, demande: Objet) -> None:
        """`product_ids` : des marchés."""
        trouves = self.instruments(" ".join(demande["product_ids"]))
        if session.refus(trouves):
            session.repondre({"type": "error", "message": f"Invalid product_id {demande['product_ids'][-1]}"})
            return
        session.repondre({"channel": "subscriptions", "client_id": "", "timestamp": "", "sequence_num": 0,
                          "events": [{"subscriptions": {demande["channel"]: demande["product_ids"]}}]})  # fmt: skip
        if demande["channel"] == "market_trades":
            self.abonner(session, "trades", trouves)

    def trades(self, abonnement: Abonnement, trades: list[Trade], maintenant_ms: int) -> list[object]:  # noqa: ARG002
        """Tous dans une trame, le plus récent d'abord."""
        ecrits = [self.un_trade(abonnement, t) for t in reversed(trades)]
        return [{"channel": "market_trades", "client_id": "", "timestamp": ecrits[0]["time"], "sequence_num": 1,
                 "events": [{"type": "update", "trades": ecrits}]}]  # fmt: skip


class FluxCoinbaseExchange(FluxTiers):
    """Un ticker par trade, et rien entre deux ; le second marché est suspendu : son carnet n'a que des acheteurs."""

    SUSPENDU: ClassVar[str] = "BBB"

    def demander(self, session: Session, demande: Objet) -> None:
        """`product_ids` : des marchés."""
        session.repondre({"type": "subscriptions", "channels": []})
        canal: Canal = "ticker" if "ticker" in demande["channels"] else "carnet"
        self.abonner(session, canal, self.instruments(" ".join(demande["product_ids"])))

    def trades(self, abonnement: Abonnement, trades: list[Trade], maintenant_ms: int) -> list[object]:  # noqa: ARG002
        """Ils ne sont pas servis ici."""
        return []

    def ticker(self, abonnement: Abonnement, lu: Resume, maintenant_ms: int) -> list[object]:  # noqa: ARG002
        """Celui du dernier trade, une fois."""
        if abonnement.nom == str(lu.dernier.id):
            return []
        abonnement.nom = str(lu.dernier.id)
        o, h, low, c, v = self.textes(abonnement, lu.jour)
        i = abonnement.instrument
        return [{"type": "ticker", "product_id": f"{i.base}-USD", "price": c, "open_24h": o, "high_24h": h,
                 "low_24h": low, "volume_24h": v, "best_bid": i.texte_prix(lu.bid.prix), "trade_id": lu.dernier.id,
                 "best_ask": i.texte_prix(lu.ask.prix), "time": f"{en_iso(lu.dernier.ts)}Z"}]  # fmt: skip

    def carnet(self, abonnement: Abonnement, maj: MajCarnet, maintenant_ms: int) -> list[object]:
        """Un instantané, puis des écarts."""
        i = abonnement.instrument
        bids, asks = maj.niveaux
        cotes = {"buy": bids, "sell": () if i.base == self.SUSPENDU else asks}
        ecrits = {c: [[i.texte_prix(n.prix), i.texte_quantite(n.quantite)] for n in cotes[c]] for c in cotes}
        entete = {"product_id": f"{i.base}-USD", "time": f"{en_iso(maintenant_ms)}Z"}
        if maj.avant is None:
            return [{"type": "snapshot", **entete, "bids": ecrits["buy"], "asks": ecrits["sell"]}]
        changes = [[cote, *niveau] for cote, niveaux in ecrits.items() for niveau in niveaux]
        return [{"type": "l2update", **entete, "changes": changes}]


class FluxHyperliquid(FluxTiers):
    """Pas de trades par REST ; leurs identifiants, tirés au hasard, ne sont uniques qu'avec l'instant ; dix anciens."""

    instantane_trades: ClassVar[int] = 10

    @staticmethod
    def urls(rest: Any, ws: str) -> Objet:
        """Une adresse publique."""
        return {**rest, "ws": {"public": ws}}

    def demander(self, session: Session, demande: Objet) -> None:
        """Un sujet par demande."""
        if demande["method"] == "ping":
            session.repondre({"channel": "pong"})
            return
        sujet = demande["subscription"]
        trouves = self.instruments(sujet["coin"])
        if session.refus(trouves):
            session.repondre({"channel": "error", "data": f"Invalid subscription {json.dumps(sujet)}"})
            return
        session.repondre({"channel": "subscriptionResponse", "data": demande})
        if sujet["type"] == "trades":
            self.abonner(session, "trades", trouves)
        elif sujet["type"] == "candle":
            self.abonner(session, "bougies", trouves, sujet["interval"])

    def trades(self, abonnement: Abonnement, trades: list[Trade], maintenant_ms: int) -> list[object]:  # noqa: ARG002
        """Tous dans une trame."""
        simulateur = self.rest_de(abonnement)
        donnees = [
            {
                "coin": abonnement.instrument.base, "side": "A" if t.sens == "sell" else "B",
                "px": simulateur.prix(t.prix), "sz": simulateur.quantite(t), "time": t.ts, "hash": "0x0",
                "tid": (t.id - 7 * (t.id % 11 == 10)) * 0x9E3779B97F4A7C15 % 2**50,
            }
            for t in trades
        ]  # fmt: skip
        return [{"channel": "trades", "data": donnees}]

    def une_bougie(self, abonnement: Abonnement, chandelle: Chandelle, maintenant_ms: int) -> object:  # noqa: ARG002
        """Comme le REST."""
        bougie = chandelle.bougie
        o, h, low, c, v = self.textes(abonnement, bougie)
        return {"channel": "candle", "data": {
            "t": bougie.ts, "T": bougie.ts + MINUTE_MS - 1, "s": abonnement.instrument.base, "i": abonnement.timeframe,
            "o": o, "h": h, "l": low, "c": c, "v": v, "n": bougie.nombre}}  # fmt: skip


class FluxHtx(FluxTiers):
    """Trames binaires comprimées ; au comptant, l'identifiant du flux n'est pas celui du REST."""

    @staticmethod
    def urls(rest: Any, ws: str) -> Objet:
        """Une adresse par genre de marché."""
        genre = {"public": ws, "private": ws}
        genres = {"spot": genre, "swap": {"linear": genre, "inverse": genre}, "future": {"linear": genre}}
        return {**rest, "ws": {"api": genres}}

    def trame(self, texte: str) -> str | bytes:
        """Comprimée."""
        return gzip.compress(texte.encode(), compresslevel=1)

    def demander(self, session: Session, demande: Objet) -> None:
        """`sub` : un sujet."""
        if "sub" not in demande:
            return
        sujet = demande["sub"]
        _, marche, canal, *suite = sujet.split(".")
        trouves = self.instruments(marche)
        if session.refus(trouves):
            session.repondre({"status": "error", "err-code": "bad-request", "err-msg": f"invalid topic {sujet}",
                              "id": demande["id"], "ts": 1})  # fmt: skip
            return
        session.repondre({"id": demande["id"], "status": "ok", "subbed": sujet, "ts": 1})
        code = suite[0] if canal == "kline" else "1min"
        self.abonner(session, "bougies" if canal == "kline" else "trades", trouves, code, sujet)

    def trades(self, abonnement: Abonnement, trades: list[Trade], maintenant_ms: int) -> list[object]:
        """Tous dans une trame."""
        tick = {"id": 1, "ts": maintenant_ms, "data": [self._trade(abonnement, t) for t in trades]}
        return [{"ch": abonnement.nom, "ts": maintenant_ms, "tick": tick}]

    def _trade(self, abonnement: Abonnement, trade: Trade) -> Objet:
        ecrit = self.un_trade(abonnement, trade)
        return {**ecrit, "tradeId": ecrit.pop("trade-id")} if "trade-id" in ecrit else ecrit

    def une_bougie(self, abonnement: Abonnement, chandelle: Chandelle, maintenant_ms: int) -> object:
        """Des nombres."""
        o, h, low, c, v = map(float, self.textes(abonnement, chandelle.bougie))
        tick = {"id": chandelle.bougie.ts // 1000, "open": o, "close": c, "low": low, "high": h, "amount": v, "vol": 1}
        return {"ch": abonnement.nom, "ts": maintenant_ms, "tick": tick}


class FluxBitfinex(FluxTiers):
    """Des tableaux et un numéro de canal ; un refus que la classe ccxt ne lit pas ; trades dits deux fois (te, tu)."""

    instantane_trades: ClassVar[int] = 30
    BOUGIES: ClassVar[int] = 100

    @staticmethod
    def urls(rest: Any, ws: str) -> Objet:
        """Une adresse publique."""
        return {**rest, "ws": {"public": ws, "private": ws}}

    def demander(self, session: Session, demande: Objet) -> None:
        """Un canal par demande."""
        if demande["event"] != "subscribe":
            return
        reste = {cle: valeur for cle, valeur in demande.items() if cle != "event"}
        trouves = self.instruments(demande.get("key") or demande["symbol"])
        if session.refus(trouves):
            session.repondre({"event": "error", "msg": "symbol: invalid", "code": 10300, **reste})
            return
        numero = str(1 + len(session.abonnements) + 100 * session.journal.recus)
        session.repondre({"event": "subscribed", "chanId": int(numero), **reste})
        if demande["channel"] == "trades":
            self.abonner(session, "trades", trouves, nom=numero)
        elif demande["channel"] == "candles":
            self.abonner(session, "bougies", trouves, demande["key"].split(":")[1], numero)

    def trades(self, abonnement: Abonnement, trades: list[Trade], maintenant_ms: int) -> list[object]:  # noqa: ARG002
        """Deux trames par trade."""
        numero, simulateur = int(abonnement.nom), self.rest_de(abonnement)
        return [[numero, genre, simulateur.rediger_trade(t)] for t in trades for genre in ("te", "tu")]

    def instantane_de(self, abonnement: Abonnement, trades: list[Trade], maintenant_ms: int) -> list[object]:  # noqa: ARG002
        """Un tableau, le plus récent d'abord."""
        simulateur = self.rest_de(abonnement)
        return [[int(abonnement.nom), [simulateur.rediger_trade(t) for t in reversed(trades)]]]

    def premiers(self, abonnement: Abonnement, maintenant_ms: int) -> list[object]:
        """Les dernières bougies dans un tableau, la plus récente d'abord."""
        if abonnement.canal != "bougies":
            return super().premiers(abonnement, maintenant_ms)
        anciennes = self.rest_de(abonnement).dernieres(abonnement.timeframe, maintenant_ms + 1, self.BOUGIES)
        return [[int(abonnement.nom), [self._bougie(abonnement, b) for b in reversed(anciennes)]]]

    def une_bougie(self, abonnement: Abonnement, chandelle: Chandelle, maintenant_ms: int) -> object:  # noqa: ARG002
        """Une seule."""
        return [int(abonnement.nom), self._bougie(abonnement, chandelle.bougie)]

    def _bougie(self, abonnement: Abonnement, bougie: Bougie) -> list[float]:
        o, h, low, c, v = map(float, self.textes(abonnement, bougie))
        return [bougie.ts, o, c, h, low, v]


class FluxDeribit(FluxTiers):
    """Une trame par trade : la classe ccxt change de cache à chacune."""

    def demander(self, session: Session, demande: Objet) -> None:
        """`channels` : canal, marché, cadence ou timeframe."""
        canaux = demande["params"]["channels"]
        trouves = self.instruments(" ".join(canaux))
        if session.refus(trouves):
            erreur = {"code": 13777, "message": "bad channel"}
            session.repondre({"jsonrpc": "2.0", "id": demande["id"], "error": erreur})
            return
        session.repondre({"jsonrpc": "2.0", "id": demande["id"], "result": canaux})
        for canal in canaux:
            bougies = canal.startswith("chart")
            self.abonner(session, "bougies" if bougies else "trades", self.instruments(canal), "1", canal)

    def trades(self, abonnement: Abonnement, trades: list[Trade], maintenant_ms: int) -> list[object]:  # noqa: ARG002
        """Un par trame."""
        return [self._trame(abonnement, [self.un_trade(abonnement, t)]) for t in trades]

    def une_bougie(self, abonnement: Abonnement, chandelle: Chandelle, maintenant_ms: int) -> object:  # noqa: ARG002
        """Des nombres."""
        noms = ("open", "high", "low", "close", "volume")
        valeurs = dict(zip(noms, map(float, self.textes(abonnement, chandelle.bougie)), strict=True))
        return self._trame(abonnement, {"tick": chandelle.bougie.ts, **valeurs, "cost": 0})

    @staticmethod
    def _trame(abonnement: Abonnement, donnees: object) -> Objet:
        return {"jsonrpc": "2.0", "method": "subscription", "params": {"channel": abonnement.nom, "data": donnees}}


class FluxBitstamp(FluxTiers):
    """Trades à la microseconde, pas de bougies."""

    def demander(self, session: Session, demande: Objet) -> None:
        """`channel` : un marché."""
        canal = demande["data"]["channel"]
        trouves = self.instruments(canal)
        if session.refus(trouves):
            erreur = {"code": None, "message": "Incorrect channel."}
            session.repondre({"event": "bts:error", "channel": canal, "data": erreur})
            return
        session.repondre({"event": "bts:subscription_succeeded", "channel": canal, "data": {}})
        self.abonner(session, "trades", trouves, nom=canal)

    def trades(self, abonnement: Abonnement, trades: list[Trade], maintenant_ms: int) -> list[object]:  # noqa: ARG002
        """Un par trame."""
        simulateur = self.rest_de(abonnement)
        return [
            {"event": "trade", "channel": abonnement.nom, "data": {
                "id": Bitstamp.numero(t), "timestamp": str(t.ts // 1000), "microtimestamp": str(t.ts * 1000),
                "type": int(t.sens == "sell"), "price": float(simulateur.prix(t.prix)),
                "amount": float(simulateur.quantite(t))}}
            for t in trades
        ]  # fmt: skip


class FluxPhemex(FluxTiers):
    """Des entiers, aucun identifiant ; les cinquante derniers trades à chaque abonnement, le plus récent d'abord."""

    instantane_trades: ClassVar[int] = 50

    def demander(self, session: Session, demande: Objet) -> None:
        """`params` : un marché, et pour les bougies des secondes."""
        reponse = {"error": None, "id": demande["id"], "result": {"status": "success"}}
        if demande["method"] == "server.ping":
            session.repondre({**reponse, "result": "pong"})
            return
        trouves = self.instruments(demande["params"][0])
        if session.refus(trouves):
            session.repondre({**reponse, "result": None, "error": {"code": 6001, "message": "invalid argument"}})
            return
        session.repondre(reponse)
        bougies = demande["method"].startswith("kline")
        self.abonner(session, "bougies" if bougies else "trades", trouves, "60")

    def trades(self, abonnement: Abonnement, trades: list[Trade], maintenant_ms: int) -> list[object]:
        """Tous dans une trame."""
        ecrits = [self.rest_de(abonnement).rediger_trade(t) for t in reversed(trades)]
        return [self._trame(abonnement, "trades", ecrits, maintenant_ms)]

    def une_bougie(self, abonnement: Abonnement, chandelle: Chandelle, maintenant_ms: int) -> object:
        """Comme le REST."""
        bougie = self.rest_de(abonnement).rediger_bougie(chandelle.bougie)
        return self._trame(abonnement, "kline", [bougie], maintenant_ms)

    @staticmethod
    def _trame(abonnement: Abonnement, canal: str, donnees: object, maintenant_ms: int) -> Objet:
        marche = f"s{abonnement.instrument.base}USDT"
        return {"sequence": maintenant_ms, "symbol": marche, canal: donnees, "type": "incremental"}


class FluxLbank(FluxTiers):
    """Des trades sans identifiant, un par trame ; tout y est daté à l'heure de Shanghai, sans le dire."""

    decalage_ms: ClassVar[int] = 8 * 3_600_000

    def demander(self, session: Session, demande: Objet) -> None:
        """`pair` : un marché."""
        if demande["action"] != "subscribe":
            return
        trouves = self.instruments(demande["pair"])
        if session.refus(trouves):
            session.repondre({"status": "error", "SERVER": "V2", "message": f"Invalid pair: {demande['pair']}"})
            return
        bougies = demande["subscribe"] == "kbar"
        self.abonner(session, "bougies" if bougies else "trades", trouves, "1min")

    def trades(self, abonnement: Abonnement, trades: list[Trade], maintenant_ms: int) -> list[object]:
        """Un par trame."""
        simulateur = self.rest_de(abonnement)
        return [
            self._trame(abonnement, "trade", {
                "volume": float(simulateur.quantite(t)), "price": float(simulateur.prix(t.prix)), "direction": t.sens,
                "TS": en_iso(t.ts + self.decalage_ms)}, maintenant_ms)
            for t in trades
        ]  # fmt: skip

    def une_bougie(self, abonnement: Abonnement, chandelle: Chandelle, maintenant_ms: int) -> object:
        """Des nombres."""
        valeurs = dict(zip("ohlcv", map(float, self.textes(abonnement, chandelle.bougie)), strict=True))
        debut = en_iso(chandelle.bougie.ts + self.decalage_ms)
        return self._trame(abonnement, "kbar", {"slot": "1min", "t": debut, **valeurs}, maintenant_ms)

    def _trame(self, abonnement: Abonnement, canal: str, donnees: object, maintenant_ms: int) -> Objet:
        pair = f"{abonnement.instrument.base.lower()}_usdt"
        envoi = en_iso(maintenant_ms + self.decalage_ms)
        return {canal: donnees, "type": canal, "pair": pair, "SERVER": "V2", "TS": envoi}


class FluxUpbit(FluxTiers):
    """Chaque demande dit tous les abonnements de la connexion : ceux d'avant sont remplacés."""

    genre: ClassVar[str | None] = None

    @classmethod
    def urls(cls, rest: Any, ws: str) -> Objet:
        """Une adresse."""
        return {**rest, "ws": {cls.genre: ws} if cls.genre else ws}

    def demander(self, session: Session, demande: Any) -> None:
        """Un billet, puis des canaux ; un refus n'en garde aucun."""
        voulus = self.instruments(" ".join(code for sujet in demande[1:] for code in sujet["codes"]))
        if session.refus(voulus):
            session.repondre({"error": {"name": "INVALID_PARAM", "message": "codes"}})
            return
        for cle in list(session.abonnements):
            session.desabonner(cle)
        for sujet in demande[1:]:
            trouves = self.instruments(" ".join(sujet.get("codes", ())))
            if sujet["type"] == "candle.1s":
                self.abonner(session, "bougies", trouves, "1s")
            else:
                self.abonner(session, "trades", trouves)

    def une_bougie(self, abonnement: Abonnement, chandelle: Chandelle, maintenant_ms: int) -> object:
        """D'une seconde ; la classe ccxt la rend, et ne la range nulle part."""
        ecrite = self.rest_de(abonnement).rediger_bougie(chandelle.bougie)
        code = en(abonnement.instrument.base, ecrite["market"])
        return {"type": "candle.1s", "code": code, **ecrite, "timestamp": maintenant_ms}

    def trades(self, abonnement: Abonnement, trades: list[Trade], maintenant_ms: int) -> list[object]:  # noqa: ARG002
        """Un par trame."""
        ecrits = [self.un_trade(abonnement, t) for t in trades]
        return [{"type": "trade", "code": ecrit["market"], "trade_timestamp": ecrit["timestamp"], **ecrit}
                for ecrit in ecrits]  # fmt: skip


class FluxBithumb(FluxUpbit):
    """La classe ccxt, elle, demande un marché à la fois : seul le dernier vit."""

    genre: ClassVar[str | None] = "publicGen2"


class FluxNdax(FluxTiers):
    """La charge est du JSON dans du JSON ; une trame de bougie ne dit que ce qui s'ajoute, la classe ccxt somme."""

    @staticmethod
    def rest(protocole: Tiers, chemin: str, params: Objet) -> object:
        """Tout : seul un numéro dit le marché."""
        base = next((b for b, n in Ndax.NUMEROS.items() if str(n) == str(params.get("InstrumentId"))), "AAA")
        return protocole.simulateurs[base].recevoir(chemin, params)

    def __init__(self, protocole: Tiers) -> None:
        super().__init__(protocole)
        # par abonnement : lui-même (son numéro ne servira donc pas à un autre), l'ouverture et le volume déjà dit
        self._dits: dict[int, tuple[Abonnement, int, int]] = {}

    def demander(self, session: Session, demande: Objet) -> None:
        """`o` : le numéro d'un marché."""
        charge = json.loads(demande["o"])
        trouves = [i for i in self.protocole.instruments if Ndax.NUMEROS[i.base] == charge["InstrumentId"]]
        if session.refus(trouves):
            session.repondre({"m": 5, "i": demande["i"], "n": demande["n"], "o": json.dumps({"errormsg": "Invalid"})})
            return
        bougies = demande["n"] == "SubscribeTicker"
        self.abonner(session, "bougies" if bougies else "trades", trouves, "60")

    def trades(self, abonnement: Abonnement, trades: list[Trade], maintenant_ms: int) -> list[object]:  # noqa: ARG002
        """Tous dans une trame."""
        return [self._trame("TradeDataUpdateEvent", [self.rest_de(abonnement).rediger_trade(t) for t in trades])]

    def une_bougie(self, abonnement: Abonnement, chandelle: Chandelle, maintenant_ms: int) -> object:  # noqa: ARG002
        """Ce qui s'y ajoute."""
        bougie = chandelle.bougie
        _, ouverture, dit = self._dits.get(id(abonnement), (abonnement, 0, 0))
        self._dits[id(abonnement)] = abonnement, bougie.ts, bougie.volume
        ajout = bougie.volume - (dit if ouverture == bougie.ts else 0)
        return self._trame("TickerDataUpdateEvent", [self.rest_de(abonnement).rediger_bougie(bougie, ajout)])

    @staticmethod
    def _trame(nom: str, charge: object) -> Objet:
        return {"m": 3, "i": 1, "n": nom, "o": json.dumps(charge)}


class FluxAlpaca(FluxTiers):
    """Une clé, des listes de messages ; la classe ccxt range un cache sans timeframe."""

    @staticmethod
    def urls(rest: Any, ws: str) -> Objet:
        """Une adresse par genre."""
        return {**rest, "ws": {"crypto": f"{ws}/crypto", "trading": ws}}

    def demander(self, session: Session, demande: Objet) -> None:
        """`bars` : des marchés."""
        if demande["action"] == "auth":
            session.repondre([{"T": "success", "msg": "authenticated"}])
            return
        session.repondre([{"T": "subscription", "bars": demande["bars"]}])
        self.abonner(session, "bougies", self.instruments(" ".join(demande["bars"])), "1min")

    def trades(self, abonnement: Abonnement, trades: list[Trade], maintenant_ms: int) -> list[object]:  # noqa: ARG002
        """Ils ne sont pas servis ici."""
        return []

    def une_bougie(self, abonnement: Abonnement, chandelle: Chandelle, maintenant_ms: int) -> object:  # noqa: ARG002
        """Comme le REST."""
        bougie = self.rest_de(abonnement).rediger_bougie(chandelle.bougie)
        return [{"T": "b", "S": f"{abonnement.instrument.base}/USD", **bougie}]


class FluxLuno(FluxTiers):
    """Un marché par adresse ; un trade y a une quantité, ni heure, ni prix."""

    def contexte(self, chemin: str) -> str | None:
        """Le marché est dans l'adresse."""
        return chemin if chemin.startswith("/ws/stream/") else None

    def demander(self, session: Session, demande: Objet) -> None:
        """Une clé : l'adresse a déjà tout dit."""
        assert demande["api_key_id"]
        self.abonner(session, "trades", self.instruments(session.contexte))

    def trades(self, abonnement: Abonnement, trades: list[Trade], maintenant_ms: int) -> list[object]:
        """Tous dans une trame."""
        simulateur = self.rest_de(abonnement)
        dits = [{"base": simulateur.quantite(t), "counter": "1", "maker_order_id": "A"} for t in trades]
        entete = {"sequence": str(trades[-1].id), "asks": [], "bids": [], "timestamp": maintenant_ms}
        return [{**entete, "trade_updates": dits}]


class FluxMexcSwap(FluxTiers):
    """Une connexion n'a qu'un sujet : les suivants sont pris, et il n'en vient rien, sans un mot."""

    SUJETS: ClassVar[int] = 1

    @staticmethod
    def urls(rest: Any, ws: str) -> Objet:
        """Une adresse par genre de marché."""
        return {**rest, "ws": {"spot": ws, "swap": ws}}

    def demander(self, session: Session, demande: Objet) -> None:
        """`param` : un marché."""
        if demande["method"] == "ping":
            session.repondre({"channel": "pong", "data": 1})
            return
        session.repondre({"channel": f"rs.{demande['method']}", "data": "success"})
        if len(session.abonnements) < self.SUJETS:
            self.abonner(session, "trades", self.instruments(demande["param"]["symbol"]))

    def trades(self, abonnement: Abonnement, trades: list[Trade], maintenant_ms: int) -> list[object]:
        """Tous dans une trame."""
        ecrits = [self.rest_de(abonnement).rediger_trade(t) for t in trades]
        marche = f"{abonnement.instrument.base}_USDT"
        return [{"symbol": marche, "data": ecrits, "channel": "push.deal", "ts": maintenant_ms}]


class FluxMexc(FluxMexcSwap):
    """Au comptant, tout est en protobuf, que la classe ccxt ne lit qu'avec une bibliothèque de plus."""

    def demander(self, session: Session, demande: Objet) -> None:
        """`params` : des sujets, dont le dernier mot est le marché."""
        self.abonner(session, "trades", self.instruments(" ".join(demande["params"])))

    def trame(self, texte: str) -> str | bytes:
        """Des octets."""
        return texte.encode()


class FluxBitopro(FluxTiers):
    """Un carnet entier par trame, que la classe ccxt ne range jamais dans `orderbooks`."""

    @staticmethod
    def adresses(ws: str) -> Objet:
        """À côté de celle du REST."""
        return {"ws": {"public": ws}}

    def contexte(self, chemin: str) -> str | None:
        """Le canal et le marché sont dans l'adresse : se connecter, c'est s'abonner."""
        return chemin if chemin.startswith("/ws/") else None

    def accueillir(self, session: Session) -> None:
        """Abonne aussitôt."""
        self.abonner(session, "carnet", self.instruments(session.contexte))

    def trades(self, abonnement: Abonnement, trades: list[Trade], maintenant_ms: int) -> list[object]:  # noqa: ARG002
        """Ils ne sont pas servis ici."""
        return []

    def carnet(self, abonnement: Abonnement, maj: MajCarnet, maintenant_ms: int) -> list[object]:
        """Les deux côtés entiers."""
        i = abonnement.instrument
        cotes = {
            nom: [{"price": i.texte_prix(n.prix), "amount": i.texte_quantite(n.quantite)} for n in niveaux]
            for nom, niveaux in (("bids", maj.apres.bids), ("asks", maj.apres.asks))
        }
        return [{"event": "ORDER_BOOK", "pair": f"{i.base}_TWD", "timestamp": maintenant_ms, **cotes}]


def en_iso(instant: int) -> str:
    """Une date sans fuseau, à la milliseconde."""
    return datetime.fromtimestamp(instant / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "")


FLUX: dict[str, type[FluxTiers]] = {
    "gate": FluxGate,
    "gate_swap": FluxGateSwap,
    "kucoin": FluxKucoin,
    "bitget": FluxBitget,
    "coinbase": FluxCoinbase,
    "coinbaseexchange": FluxCoinbaseExchange,
    "hyperliquid": FluxHyperliquid,
    "htx": FluxHtx,
    "htx_swap": FluxHtx,
    "bitfinex": FluxBitfinex,
    "deribit": FluxDeribit,
    "bitstamp": FluxBitstamp,
    "phemex": FluxPhemex,
    "lbank": FluxLbank,
    "upbit": FluxUpbit,
    "bithumb": FluxBithumb,
    "ndax": FluxNdax,
    "alpaca": FluxAlpaca,
    "luno": FluxLuno,
    "mexc_swap": FluxMexcSwap,
    "mexc": FluxMexc,
    "bitopro": FluxBitopro,
}
