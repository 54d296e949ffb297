"""Les messages WebSocket de kraken (v2), rédigés à partir du marché : mêmes identifiants de trades que le REST.

Une seule adresse publique, `/v2`. Les marchés s'y nomment BTC/USD (jamais XBT), les prix et quantités y sont des
nombres JSON écrits avec toutes leurs décimales : la somme de contrôle du carnet se calcule sur ces textes. Une bougie
n'y est émise que par un trade : rien ne part pour une minute vide, rien ne dit qu'une bougie est close, et l'instantané
omet les minutes vides, que le REST rend plates. Un marché ne suit qu'un intervalle par connexion.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, ClassVar, NamedTuple
from zlib import crc32

from bourse_locale.carnet import vivant
from bourse_locale.flux import Abonnement, Canal, Chandelle, Flux, resume
from bourse_locale.kraken.rest import INTERVALLES, instant_ns, texte_volume
from bourse_locale.marche import MINUTE_MS, Bougie, Instrument, ouverture, reculer, suivante, texte_decimal
from bourse_locale.pages import derniers_trades

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bourse_locale.carnet import Carnet, Niveau
    from bourse_locale.flux import MajCarnet, Resume
    from bourse_locale.marche import Pas, Trade
    from bourse_locale.session import Session

CANAUX: dict[str, Canal] = {"book": "carnet", "ohlc": "bougies", "ticker": "ticker", "trade": "trades"}
PROFONDEURS = (10, 25, 100, 500, 1000)
NIVEAUX_DE_LA_SOMME = 10
BOUGIES_DE_L_INSTANTANE = 12
TRADES_DE_L_INSTANTANE = 50
MARQUE = "\x00"
_SOMME = re.compile(r'(?<="checksum":)\d+')
_NOMBRE = re.compile(r'"\\u0000([^"]*)"')


class Demande(NamedTuple):
    """Une demande comprise : opération, canal, marchés, réglages et numéro."""

    methode: str
    canal: str
    symboles: tuple[str, ...]
    params: dict[str, object]
    req_id: int | None


def lire_demande(objet: dict[str, object]) -> Demande | None:
    """Lit une demande d'abonnement ou de désabonnement ; None si elle n'a pas la forme voulue."""
    params = objet.get("params")
    if not isinstance(params, dict) or not isinstance(params.get("symbol"), list):
        return None
    req_id = objet.get("req_id")
    symboles = tuple(str(symbole) for symbole in params["symbol"])
    numero = req_id if isinstance(req_id, int) else None
    return Demande(str(objet.get("method")), str(params.get("channel")), symboles, params, numero)


def defaut(demande: Demande) -> str | None:
    """Rend le texte du refus d'une demande mal réglée, None si elle est bonne."""
    if demande.canal not in CANAUX:
        return "Subscription name invalid"
    if demande.canal == "ohlc" and str(demande.params.get("interval", 1)) not in INTERVALLES:
        return "Subscription ohlc interval not supported"
    if demande.canal == "book" and demande.params.get("depth", PROFONDEURS[0]) not in PROFONDEURS:
        return "Subscription depth not supported"
    return None


# --- Textes -----------------------------------------------------------------------------------------------------------


def nombre(texte: str) -> str:
    """Marque un texte à écrire comme un nombre JSON, décimales comprises (un flottant perdrait les zéros)."""
    return MARQUE + texte


def encoder(objet: object) -> str:
    """Encode un message, les textes marqués devenant des nombres."""
    return _NOMBRE.sub(r"\1", json.dumps(objet, separators=(",", ":")))


def prix(instrument: Instrument, ticks: int) -> str:
    """Rend un prix, avec les décimales du marché."""
    return nombre(instrument.texte_prix(ticks))


def quantite(instrument: Instrument, lots: int) -> str:
    """Rend une quantité, avec les huit décimales de kraken."""
    return nombre(texte_volume(instrument, lots))


def date(ns: int, decimales: int = 6) -> str:
    """Écrit un instant en RFC 3339, tronqué à ces décimales de seconde."""
    secondes, reste = divmod(ns, 10**9)
    texte = datetime.fromtimestamp(secondes, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{texte}.{reste // 10 ** (9 - decimales):0{decimales}d}Z"


# --- Réponses aux demandes --------------------------------------------------------------------------------------------


def acquittement(demande: Demande, symbole: str, maintenant_ms: int) -> str:
    """Rend l'accord donné à un marché : kraken répond marché par marché."""
    resultat: dict[str, object] = {"channel": demande.canal, "symbol": symbole}
    if demande.canal == "book":
        resultat["depth"] = demande.params.get("depth", PROFONDEURS[0])
    if demande.canal == "ohlc":
        resultat["interval"] = demande.params.get("interval", 1)
    if demande.methode == "subscribe":
        resultat["snapshot"] = veut_instantane(demande)
    return encoder({**entete(demande, maintenant_ms), "result": resultat, "success": True})


def veut_instantane(demande: Demande) -> bool:
    """Dit si l'abonnement commence par un instantané ; les trades n'en ont un que sur demande."""
    return bool(demande.params.get("snapshot", demande.canal != "trade"))


def refus(demande: Demande, texte: str, maintenant_ms: int, symbole: str | None = None) -> str:
    """Rend un refus ; ccxt le rejette sous le numéro de la demande, que nul n'attend."""
    champs: dict[str, object] = {} if symbole is None else {"symbol": symbole}
    return encoder({"error": texte, **entete(demande, maintenant_ms), "success": False, **champs})


def entete(demande: Demande, maintenant_ms: int) -> dict[str, object]:
    """Rend ce que toute réponse répète de la demande."""
    numero = {} if demande.req_id is None else {"req_id": demande.req_id}
    instant = maintenant_ms * 1_000_000
    return {"method": demande.methode, **numero, "time_in": date(instant), "time_out": date(instant + 40_000)}


def pong(req_id: object, maintenant_ms: int) -> str:
    """Rend le pong."""
    numero = {} if req_id is None else {"req_id": req_id}
    instant = maintenant_ms * 1_000_000
    return encoder({"method": "pong", **numero, "time_in": date(instant), "time_out": date(instant + 40_000)})


# --- Données ----------------------------------------------------------------------------------------------------------


def message(canal: str, donnees: list[dict[str, object]], *, instantane: bool, **champs: object) -> str:
    """Rend un message de données."""
    return encoder({"channel": canal, "type": "snapshot" if instantane else "update", "data": donnees, **champs})


def donnees_bougie(instrument: Instrument, periode: tuple[Pas, int], bougie: Bougie) -> dict[str, object]:
    """Rend une bougie ; `timestamp` est sa fin."""
    fin_ms = suivante(*periode, bougie.ts)
    moyenne = (2 * bougie.volume_quote + bougie.volume) // (2 * bougie.volume)
    return {
        "symbol": instrument.symbole,
        "open": prix(instrument, bougie.open),
        "high": prix(instrument, bougie.high),
        "low": prix(instrument, bougie.low),
        "close": prix(instrument, bougie.close),
        "trades": bougie.nombre,
        "volume": quantite(instrument, bougie.volume),
        "vwap": prix(instrument, moyenne),
        "interval_begin": date(bougie.ts * 1_000_000, 9),
        "interval": (fin_ms - bougie.ts) // MINUTE_MS,
        "timestamp": date(fin_ms * 1_000_000),
    }


def message_bougies(
    instrument: Instrument, periode: tuple[Pas, int], bougies: list[Bougie], maintenant_ms: int, *, instantane: bool
) -> str:
    """Rend des bougies, de la plus ancienne à la plus récente."""
    donnees = [donnees_bougie(instrument, periode, bougie) for bougie in bougies]
    return message("ohlc", donnees, instantane=instantane, timestamp=date(maintenant_ms * 1_000_000, 9))


def donnees_trade(instrument: Instrument, trade: Trade, instant_ns: int) -> dict[str, object]:
    """Rend un trade, sous l'identifiant et à l'instant que REST lui donne."""
    return {
        "symbol": instrument.symbole,
        "side": trade.sens,
        "price": prix(instrument, trade.prix),
        "qty": quantite(instrument, trade.quantite),
        "ord_type": "market" if trade.id % 3 else "limit",
        "trade_id": trade.id,
        "timestamp": date(instant_ns),
    }


def message_ticker(instrument: Instrument, vu: Resume, *, instantane: bool) -> str:
    """Rend un ticker."""
    jour, variation = vu.jour, vu.dernier.prix - vu.jour.open
    donnees: dict[str, object] = {
        "symbol": instrument.symbole,
        "bid": prix(instrument, vu.bid.prix),
        "bid_qty": quantite(instrument, vu.bid.quantite),
        "ask": prix(instrument, vu.ask.prix),
        "ask_qty": quantite(instrument, vu.ask.quantite),
        "last": prix(instrument, vu.dernier.prix),
        "volume": quantite(instrument, jour.volume),
        "vwap": prix(instrument, jour.volume_quote // jour.volume),
        "low": prix(instrument, jour.low),
        "high": prix(instrument, jour.high),
        "change": nombre(texte_decimal(variation, instrument.decimales_prix)),
        "change_pct": nombre(f"{100 * variation / jour.open:.2f}"),
        "timestamp": date(vu.ts * 1_000_000),
    }
    return message("ticker", [donnees], instantane=instantane)


def niveaux(instrument: Instrument, cote: tuple[Niveau, ...]) -> list[dict[str, str]]:
    """Rend des niveaux ; un niveau retiré a une quantité nulle."""
    return [{"price": prix(instrument, n.prix), "qty": quantite(instrument, n.quantite)} for n in cote]


def somme(instrument: Instrument, carnet: Carnet) -> int:
    """Rend la somme de contrôle : CRC32 des dix premiers niveaux, ventes puis achats, sans point ni zéros de tête."""
    cotes = (carnet.asks[:NIVEAUX_DE_LA_SOMME], carnet.bids[:NIVEAUX_DE_LA_SOMME])
    textes = [
        texte.replace(".", "").lstrip("0")
        for cote in cotes
        for niveau in cote
        for texte in (instrument.texte_prix(niveau.prix), texte_volume(instrument, niveau.quantite))
    ]
    return crc32("".join(textes).encode())


def visibles(changes: tuple[Niveau, ...], apres: tuple[Niveau, ...], *, achats: bool) -> tuple[Niveau, ...]:
    """Rend les changements que kraken dit : d'un niveau sorti de la profondeur, il tait le retrait."""
    if not apres:
        return changes
    bord = apres[-1].prix
    return tuple(n for n in changes if n.quantite or (n.prix > bord if achats else n.prix < bord))


def message_carnet(instrument: Instrument, maj: MajCarnet) -> dict[str, object]:
    """Rend l'instantané ou l'écart, avec la somme de l'état qui en résulte ; à passer par `encoder`."""
    instantane = maj.avant is None
    bids, asks = maj.niveaux
    donnees: dict[str, object] = {
        "symbol": instrument.symbole,
        "bids": niveaux(instrument, bids if instantane else visibles(bids, maj.apres.bids, achats=True)),
        "asks": niveaux(instrument, asks if instantane else visibles(asks, maj.apres.asks, achats=False)),
        "checksum": somme(instrument, maj.apres),
        "timestamp": date(maj.apres.ts * 1_000_000),
    }
    return {"channel": "book", "type": "snapshot" if instantane else "update", "data": [donnees]}


# --- Connexions -------------------------------------------------------------------------------------------------------


@dataclass
class AbonnementKraken(Abonnement):
    """Un canal suivi ; `ouvrir_par_l_etat` : un instantané part d'abord."""

    ouvrir_par_l_etat: bool = True


class FluxKraken(Flux):
    """kraken v2, connexion publique."""

    confirme_cloture: ClassVar[bool] = False

    def contexte(self, chemin: str) -> str | None:
        """Rend « v2 »."""
        return "v2" if chemin == "/v2" else None

    def recevoir(self, session: Session, texte: str) -> None:
        """Répond au ping, abonne, désabonne."""
        objet, maintenant = lire_objet(texte), self.bourse.maintenant_ms()
        demande = lire_demande(objet)
        if objet.get("method") == "ping":
            session.repondre(pong(objet.get("req_id"), maintenant))
        elif demande is None or demande.methode not in ("subscribe", "unsubscribe"):
            session.repondre(encoder({"error": "Malformed request", "success": False}))
        elif demande.methode == "subscribe":
            self._abonner(session, demande, maintenant)
        else:
            for symbole in demande.symboles:
                session.desabonner(f"{demande.canal}:{symbole}")
                session.repondre(acquittement(demande, symbole, maintenant))

    def _abonner(self, session: Session, demande: Demande, maintenant_ms: int) -> None:
        """Abonne marché par marché : un refus n'empêche pas les autres."""
        mal_reglee = defaut(demande)
        if mal_reglee is not None:
            session.repondre(refus(demande, mal_reglee, maintenant_ms))
            return
        trouves = [self.protocole.par_symbole[symbole] for symbole in demande.symboles if self._connu(symbole)]
        empeches = session.refus(trouves) is not None or not session.place(len(trouves))
        for symbole in demande.symboles:
            texte = self._refus(session, demande, symbole)
            if empeches or texte is not None:
                session.repondre(
                    refus(demande, texte or f"Currency pair not supported {symbole}", maintenant_ms, symbole)
                )
            else:
                session.repondre(acquittement(demande, symbole, maintenant_ms))
                session.abonner(self._abonnement(demande, self.protocole.par_symbole[symbole]))

    def _connu(self, symbole: str) -> bool:
        instrument = self.protocole.par_symbole.get(symbole)
        return instrument is not None and vivant(instrument, self.bourse.maintenant_ms())

    def _refus(self, session: Session, demande: Demande, symbole: str) -> str | None:
        if not self._connu(symbole):
            return f"Currency pair not supported {symbole}"
        if f"{demande.canal}:{symbole}" not in session.abonnements:
            return None
        ohlc = demande.canal == "ohlc"
        return "Already subscribed to one ohlc interval on this symbol" if ohlc else "Already subscribed"

    @staticmethod
    def _abonnement(demande: Demande, instrument: Instrument) -> AbonnementKraken:
        abonnement = AbonnementKraken(
            f"{demande.canal}:{instrument.symbole}",
            CANAUX[demande.canal],
            instrument,
            demande.canal,
            ouvrir_par_l_etat=veut_instantane(demande),
        )
        if demande.canal == "ohlc":
            abonnement.periode = (INTERVALLES[str(demande.params.get("interval", 1))], 0)
        if demande.canal == "book":
            abonnement.profondeur = int(str(demande.params.get("depth", PROFONDEURS[0])))
        return abonnement

    def premiers(self, abonnement: Abonnement, maintenant_ms: int) -> list[object]:
        """Rend l'instantané, s'il est voulu : derniers trades, dernières bougies, carnet ou ticker."""
        if isinstance(abonnement, AbonnementKraken) and not abonnement.ouvrir_par_l_etat:
            return []
        if abonnement.canal == "trades":
            derniers = derniers_trades(self.marche, abonnement.instrument, 0, maintenant_ms + 1, TRADES_DE_L_INSTANTANE)
            return [self._message_trades(abonnement.instrument, derniers, instantane=True)] if derniers else []
        if abonnement.canal == "bougies":
            return self._dernieres_bougies(abonnement, maintenant_ms)
        if abonnement.canal == "ticker":
            abonnement.resume = resume(self.marche, abonnement.instrument, maintenant_ms)
            vu = abonnement.resume
            return [] if vu is None else [message_ticker(abonnement.instrument, vu, instantane=True)]
        return super().premiers(abonnement, maintenant_ms)

    def _dernieres_bougies(self, abonnement: Abonnement, maintenant_ms: int) -> list[object]:
        instrument, (pas, ancre) = abonnement.instrument, abonnement.periode
        courante = ouverture(pas, ancre, maintenant_ms)
        debut = reculer(pas, ancre, courante, BOUGIES_DE_L_INSTANTANE - 1)
        bougies = self.marche.bougies(instrument, pas, debut, maintenant_ms + 1, "last", ancre, maintenant_ms)
        if not bougies:
            return []
        if bougies[-1].ts == courante:
            abonnement.derniere = Chandelle(bougies[-1], close=False)
        return [message_bougies(instrument, abonnement.periode, bougies, maintenant_ms, instantane=True)]

    def _message_trades(self, instrument: Instrument, trades: Iterable[Trade], *, instantane: bool) -> str:
        donnees = [donnees_trade(instrument, trade, instant_ns(self.marche, instrument, trade)) for trade in trades]
        return message("trade", donnees, instantane=instantane)

    def trades(self, abonnement: Abonnement, trades: list[Trade], maintenant_ms: int) -> list[object]:
        """Rend les trades, groupés en un message."""
        del maintenant_ms
        return [self._message_trades(abonnement.instrument, trades, instantane=False)]

    def bougies(self, abonnement: Abonnement, bougies: list[Chandelle], maintenant_ms: int) -> list[object]:
        """Rend un message par bougie, sauf les plates : kraken ne dit rien d'une minute vide."""
        instrument, periode = abonnement.instrument, abonnement.periode
        return [
            message_bougies(instrument, periode, [bougie], maintenant_ms, instantane=False)
            for bougie, _ in bougies
            if bougie.nombre
        ]

    def carnet(self, abonnement: Abonnement, maj: MajCarnet, maintenant_ms: int) -> list[object]:
        """Rend l'instantané ou l'écart."""
        del maintenant_ms
        return [encoder(message_carnet(abonnement.instrument, maj))]

    def ticker(self, abonnement: Abonnement, lu: Resume, maintenant_ms: int) -> list[object]:
        """Rend un ticker."""
        del maintenant_ms
        return [message_ticker(abonnement.instrument, lu, instantane=False)]

    def fausser_carnet(self, objet: object) -> object:
        """Fausse la somme de contrôle, que ccxt ne contrôle pas (son contrôle, éteint, ne sait pas lire un nombre)."""
        return _SOMME.sub(lambda trouve: str(2**32 - 1 - int(trouve[0])), str(objet))


def lire_objet(texte: str) -> dict[str, object]:
    """Lit un objet JSON ; vide s'il n'en est pas un."""
    try:
        objet = json.loads(texte)
    except ValueError:
        return {}
    return objet if isinstance(objet, dict) else {}
