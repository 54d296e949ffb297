"""Les messages WebSocket de bybit (v5), rédigés à partir du marché : mêmes textes, mêmes identifiants que le REST.

Une adresse par catégorie : `/v5/public/spot`, `linear`, `inverse`. Un sujet inconnu fait refuser toute la demande ; en
spot, plus de dix sujets dans une demande aussi. Le ticker spot est toujours entier, celui d'un contrat ne répète que ce
qui change. Un carnet de profondeur 1 est toujours entier. Le pong des contrats n'a pas la forme de celui du spot.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from bourse_locale.bybit.rest import INTERVALLES, categorie, identifiant_trade, symbole_bybit, volumes
from bourse_locale.carnet import vivant
from bourse_locale.flux import Abonnement, Canal, Chandelle, Flux
from bourse_locale.marche import HEURE_MS, MINUTE_MS, Instrument, Marche, NaturePrix, Pas, Trade, suivante
from bourse_locale.serveur import TIMEFRAMES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bourse_locale.carnet import Carnet, Ecarts, Niveau
    from bourse_locale.flux import MajCarnet, Resume
    from bourse_locale.session import Session

CATEGORIES = ("spot", "linear", "inverse")
SUJETS_PAR_DEMANDE = {"spot": 10}
"""Les contrats n'ont pas de limite de nombre, seulement de longueur."""
CARACTERES_MAX = 21_000
"""Longueur cumulée des sujets d'une connexion."""
TRADES_PAR_MESSAGE = 1024
PROFONDEURS = (1, 50, 200, 1000)
FINANCEMENT_MS = 8 * HEURE_MS
CANAUX: dict[str, Canal] = {"kline": "bougies", "orderbook": "carnet", "publicTrade": "trades", "tickers": "ticker"}


class Sujet(NamedTuple):
    """Un sujet compris : son genre, son réglage (intervalle, profondeur) et son marché."""

    texte: str
    genre: str
    reglage: str
    symbole: str

    @property
    def periode(self) -> tuple[Pas, int]:
        """Rend la période d'un sujet kline."""
        return TIMEFRAMES[INTERVALLES[self.reglage]]


AUCUN_SUJET = Sujet("", "", "", "")


def lire_sujet(texte: object) -> Sujet | None:
    """Lit kline.1.BTCUSDT, publicTrade.BTCUSDT, orderbook.50.BTCUSDT ou tickers.BTCUSDT ; None si inconnu."""
    if not isinstance(texte, str):
        return None
    genre, _, suite = texte.partition(".")
    reglage, _, symbole = suite.rpartition(".")
    connus: Mapping[str, tuple[str, ...]] = {
        "kline": tuple(INTERVALLES),
        "orderbook": tuple(str(n) for n in PROFONDEURS),
        "publicTrade": ("",),
        "tickers": ("",),
    }
    return Sujet(texte, genre, reglage, symbole) if symbole and reglage in connus.get(genre, ()) else None


# --- Réponses aux demandes --------------------------------------------------------------------------------------------


class Demande(NamedTuple):
    """Ce qu'une réponse répète de la demande : l'opération, son numéro et le nom de la connexion."""

    op: str
    req_id: str
    connexion: str


def acquittement(demande: Demande) -> dict[str, object]:
    """Rend l'accord donné à un abonnement ou à un désabonnement."""
    return reponse(demande, succes=True, texte="subscribe" if demande.op == "subscribe" else "")


def refus(demande: Demande, texte: str) -> dict[str, object]:
    """Rend un refus ; ccxt le rattache à ses attentes par req_id."""
    return reponse(demande, succes=False, texte=texte)


def reponse(demande: Demande, *, succes: bool, texte: str) -> dict[str, object]:
    """Rend une réponse à une demande."""
    return {
        "success": succes,
        "ret_msg": texte,
        "conn_id": demande.connexion,
        "req_id": demande.req_id,
        "op": demande.op,
    }


def pong(genre: str, demande: Demande, maintenant_ms: int) -> dict[str, object]:
    """Rend le pong : une réponse ordinaire en spot, une opération « pong » datée sur les contrats."""
    if genre == "spot":
        return reponse(demande, succes=True, texte="pong")
    return {"req_id": demande.req_id, "op": "pong", "args": [str(maintenant_ms)], "conn_id": demande.connexion}


def texte_refus_sujet(genre: str, sujet: str) -> str:
    """Rend le texte du refus d'un sujet inconnu : le spot et les contrats ne disent pas la même chose."""
    return f"Invalid symbol :[{sujet}]" if genre == "spot" else f"error:handler not found,topic:{sujet}"


# --- Données ----------------------------------------------------------------------------------------------------------


def message(sujet: Sujet, genre: str, ts: int, donnees: object, **champs: object) -> dict[str, object]:
    """Rend un message de données, « snapshot » ou « delta »."""
    return {"topic": sujet.texte, "type": genre, "ts": ts, "data": donnees, **champs}


def message_bougie(sujet: Sujet, instrument: Instrument, chandelle: Chandelle, maintenant_ms: int) -> dict[str, object]:
    """Rend une bougie, en cours ou close (`confirm`)."""
    bougie = chandelle.bougie
    fin_ms = suivante(*sujet.periode, bougie.ts)
    ouvre, haut, bas, ferme = map(instrument.texte_prix, bougie[1:5])
    volume, turnover = volumes(instrument, bougie)
    donnees = {
        "start": bougie.ts,
        "end": fin_ms - 1,
        "interval": sujet.reglage,
        "open": ouvre,
        "close": ferme,
        "high": haut,
        "low": bas,
        "volume": volume,
        "turnover": turnover,
        "confirm": chandelle.close,
        "timestamp": min(maintenant_ms, fin_ms - 1),
    }
    return message(sujet, "snapshot", maintenant_ms, [donnees])


def message_trades(sujet: Sujet, instrument: Instrument, trades: list[Trade], maintenant_ms: int) -> dict[str, object]:
    """Rend des trades, du plus ancien au plus récent."""
    return message(sujet, "snapshot", maintenant_ms, [donnees_trade(instrument, trade) for trade in trades])


def donnees_trade(instrument: Instrument, trade: Trade) -> dict[str, object]:
    """Rend un trade, sous l'identifiant que REST lui donne ; seuls les contrats disent le sens du tick."""
    donnees: dict[str, object] = {
        "T": trade.ts,
        "s": symbole_bybit(instrument),
        "S": trade.sens.capitalize(),
        "v": instrument.texte_quantite(trade.quantite),
        "p": instrument.texte_prix(trade.prix),
        "i": identifiant_trade(instrument, trade),
        "BT": False,
        "RPI": False,
        "seq": trade.id,
    }
    return donnees if categorie(instrument) == "spot" else {**donnees, "L": "ZeroPlusTick"}


def niveaux(instrument: Instrument, cote: tuple[Niveau, ...]) -> list[list[str]]:
    """Rend des niveaux ; un niveau retiré a une quantité « 0 »."""
    return [[instrument.texte_prix(n.prix), instrument.texte_quantite(n.quantite) if n.quantite else "0"] for n in cote]


def message_carnet(
    sujet: Sujet, instrument: Instrument, etat: Carnet, suite: Ecarts | None = None, numero: int = 1
) -> dict[str, object]:
    """Rend le carnet entier, ou les écarts ; `numero` (`u`) suit celui du message d'avant, `seq` est de l'exchange."""
    donnees = {
        "s": symbole_bybit(instrument),
        "b": niveaux(instrument, (etat if suite is None else suite).bids),
        "a": niveaux(instrument, (etat if suite is None else suite).asks),
        "u": numero,
        "seq": etat.sequence,
    }
    return message(sujet, "snapshot" if suite is None else "delta", etat.ts, donnees, cts=etat.ts)


def message_ticker(
    sujet: Sujet, marche: Marche, instrument: Instrument, vu: Resume, avant: Mapping[str, str] | None = None
) -> tuple[dict[str, object], dict[str, str]]:
    """Rend le message et l'état entier du ticker ; d'un contrat déjà décrit, seuls les champs changés partent."""
    etat = etat_ticker(marche, instrument, vu)
    if avant is None or categorie(instrument) == "spot":
        return message(sujet, "snapshot", vu.ts, etat, cs=vu.dernier.id), etat
    changes = {nom: valeur for nom, valeur in etat.items() if nom == "symbol" or avant.get(nom) != valeur}
    return message(sujet, "delta", vu.ts, changes, cs=vu.dernier.id), etat


def etat_ticker(marche: Marche, instrument: Instrument, vu: Resume) -> dict[str, str]:
    """Rend tous les champs d'un ticker."""
    volume, turnover = volumes(instrument, vu.jour)
    prix = instrument.texte_prix
    communs = {
        "symbol": symbole_bybit(instrument),
        "lastPrice": prix(vu.dernier.prix),
        "highPrice24h": prix(vu.jour.high),
        "lowPrice24h": prix(vu.jour.low),
        "prevPrice24h": prix(vu.jour.open),
        "volume24h": volume,
        "turnover24h": turnover,
        "price24hPcnt": f"{vu.dernier.prix / vu.jour.open - 1:.4f}",
    }
    if categorie(instrument) == "spot":
        return {**communs, "usdIndexPrice": prix(vu.dernier.prix)}
    return {**communs, **champs_du_contrat(marche, instrument, vu)}


def champs_du_contrat(marche: Marche, instrument: Instrument, vu: Resume) -> dict[str, str]:
    """Rend ce qu'un ticker de contrat dit de plus : carnet, prix de marque et d'indice, financement."""
    prix, quantite = instrument.texte_prix, instrument.texte_quantite
    return {
        "tickDirection": "ZeroPlusTick",
        "prevPrice1h": prix(vu.jour.open),
        "markPrice": prix(prix_derive(marche, instrument, vu, "mark")),
        "indexPrice": prix(prix_derive(marche, instrument, vu, "index")),
        "openInterest": quantite(vu.jour.volume * 3),
        "openInterestValue": prix(vu.jour.volume * 3),
        "nextFundingTime": str((vu.ts // FINANCEMENT_MS + 1) * FINANCEMENT_MS),
        "fundingRate": "0.0001",
        "bid1Price": prix(vu.bid.prix),
        "bid1Size": quantite(vu.bid.quantite),
        "ask1Price": prix(vu.ask.prix),
        "ask1Size": quantite(vu.ask.quantite),
    }


def prix_derive(marche: Marche, instrument: Instrument, vu: Resume, nature: NaturePrix) -> int:
    """Rend le prix de marque ou d'indice de l'instant : la clôture de sa minute en cours."""
    minute = vu.ts - vu.ts % MINUTE_MS
    bougies = marche.bougies(instrument, MINUTE_MS, minute, minute + 1, nature, maintenant_ms=vu.ts)
    return bougies[-1].close if bougies else vu.dernier.prix


# --- Connexions -------------------------------------------------------------------------------------------------------


@dataclass
class AbonnementBybit(Abonnement):
    """Un sujet suivi, avec ce que bybit compte ou retient par abonnement : numéro de carnet, dernier ticker."""

    sujet: Sujet = AUCUN_SUJET
    numero: int = 0
    etat: dict[str, str] | None = None


class FluxBybit(Flux):
    """bybit : une connexion par catégorie."""

    def contexte(self, chemin: str) -> str | None:
        """Rend la catégorie."""
        nom = chemin.removeprefix("/v5/public/")
        return nom if nom in CATEGORIES else None

    def recevoir(self, session: Session, texte: str) -> None:
        """Répond au ping, abonne, désabonne."""
        demande, args = lire_demande(texte, connexion(session))
        if demande.op == "ping":
            session.repondre(pong(session.contexte, demande, self.bourse.maintenant_ms()))
        elif demande.op == "subscribe":
            self._abonner(session, demande, args)
        elif demande.op == "unsubscribe":
            for arg in args:
                session.desabonner(str(arg))
            session.repondre(acquittement(demande))
        else:
            session.repondre(refus(demande, "error:invalid op"))

    def _abonner(self, session: Session, demande: Demande, args: list[object]) -> None:
        """Abonne à tous les sujets, ou à aucun."""
        sujets = [sujet for sujet in map(lire_sujet, args) if sujet is not None]
        trouves = {sujet.texte: self._instrument(session, sujet) for sujet in sujets}
        texte = self._refus(session, args, trouves)
        if texte is not None:
            session.repondre(refus(demande, texte))
            return
        session.repondre(acquittement(demande))
        for sujet in sujets:
            instrument = trouves[sujet.texte]
            if instrument is not None:
                session.abonner(self._abonnement(sujet, instrument))

    def _instrument(self, session: Session, sujet: Sujet) -> Instrument | None:
        instrument = self.protocole.par_id.get(f"{session.contexte}:{sujet.symbole}")
        return instrument if instrument is not None and vivant(instrument, self.bourse.maintenant_ms()) else None

    def _refus(self, session: Session, args: list[object], trouves: dict[str, Instrument | None]) -> str | None:
        """Rend le texte du refus de la demande entière, None si tout est bon."""
        if self.bourse.limites and len(args) > SUJETS_PAR_DEMANDE.get(session.contexte, len(args)):
            return "args size >10"
        inconnu = next((arg for arg in args if trouves.get(str(arg)) is None), None)
        if inconnu is not None:
            return texte_refus_sujet(session.contexte, str(inconnu))
        deja = next((arg for arg in args if str(arg) in session.abonnements), None)
        if deja is not None:
            return f"error:already subscribed,topic:{deja}"
        longueur = sum(map(len, (*session.abonnements, *trouves)))
        if (self.bourse.limites and longueur > CARACTERES_MAX) or not session.place(len(trouves)):
            return f"args length >{CARACTERES_MAX}"
        if session.refus(instrument for instrument in trouves.values() if instrument is not None) is not None:
            return texte_refus_sujet(session.contexte, str(args[0]))
        return None

    @staticmethod
    def _abonnement(sujet: Sujet, instrument: Instrument) -> AbonnementBybit:
        abonnement = AbonnementBybit(sujet.texte, CANAUX[sujet.genre], instrument, sujet.genre, sujet=sujet)
        if sujet.genre == "kline":
            abonnement.periode = sujet.periode
        if sujet.genre == "orderbook":
            abonnement.profondeur = int(sujet.reglage)
        return abonnement

    def trades(self, abonnement: Abonnement, trades: list[Trade], maintenant_ms: int) -> list[object]:
        """Rend les trades groupés, 1024 au plus par message."""
        sujet, instrument = propre(abonnement).sujet, abonnement.instrument
        paquets = [trades[i : i + TRADES_PAR_MESSAGE] for i in range(0, len(trades), TRADES_PAR_MESSAGE)]
        return [message_trades(sujet, instrument, paquet, maintenant_ms) for paquet in paquets]

    def bougies(self, abonnement: Abonnement, bougies: list[Chandelle], maintenant_ms: int) -> list[object]:
        """Rend un message par bougie."""
        sujet, instrument = propre(abonnement).sujet, abonnement.instrument
        return [message_bougie(sujet, instrument, chandelle, maintenant_ms) for chandelle in bougies]

    def carnet(self, abonnement: Abonnement, maj: MajCarnet, maintenant_ms: int) -> list[object]:
        """Rend l'instantané ou l'écart ; la profondeur 1 répète le carnet entier."""
        del maintenant_ms
        suivi = propre(abonnement)
        suivi.numero += 1
        suite = None if maj.avant is None or suivi.profondeur == 1 else maj.niveaux
        return [message_carnet(suivi.sujet, suivi.instrument, maj.apres, suite, suivi.numero)]

    def ticker(self, abonnement: Abonnement, lu: Resume, maintenant_ms: int) -> list[object]:
        """Rend un ticker, entier ou réduit à ce qui change."""
        del maintenant_ms
        suivi = propre(abonnement)
        objet, suivi.etat = message_ticker(suivi.sujet, self.marche, suivi.instrument, lu, suivi.etat)
        return [objet]

    def fausser_carnet(self, objet: object) -> object:
        """Fait sauter le numéro d'un message de carnet ; ccxt ne le contrôle pas."""
        if isinstance(objet, dict):
            objet["data"]["u"] += 1
        return objet


def propre(abonnement: Abonnement) -> AbonnementBybit:
    """Rend l'abonnement comme FluxBybit l'a créé."""
    if not isinstance(abonnement, AbonnementBybit):
        raise TypeError(abonnement)
    return abonnement


def connexion(session: Session) -> str:
    """Rend le nom d'une connexion."""
    return f"{session.contexte}-{session.journal.horloge_ms:x}"


def lire_demande(texte: str, nom: str) -> tuple[Demande, list[object]]:
    """Lit une demande ; opération vide si elle n'a pas la forme voulue."""
    try:
        objet = json.loads(texte)
    except ValueError:
        objet = None
    if not isinstance(objet, dict):
        return Demande("", "", nom), []
    args = objet.get("args")
    return Demande(str(objet.get("op")), str(objet.get("req_id", "")), nom), args if isinstance(args, list) else []
