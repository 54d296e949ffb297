"""Les flux publics de binance : spot, linear (fstream, /public et /market) et inverse (dstream), par SUBSCRIBE.

Bougies (last, mark, index), trades et aggTrades, carnet différentiel (l'instantané est en REST), tickers et meilleurs
prix. Un flux bien formé mais inconnu y est accepté et ne dit jamais rien, comme chez le vrai. En COIN-M, `k.v` compte
des contrats et `k.q` de la monnaie de base : ccxt lit alors des contrats, non le volume du REST.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from bourse_locale.binance.rest import TIMEFRAMES_BINANCE, Binance, lignes_klines, textes_niveaux, textes_ticker
from bourse_locale.flux import Abonnement, Flux
from bourse_locale.marche import HEURE_MS, MINUTE_MS, Instrument

if TYPE_CHECKING:
    from bourse_locale.flux import Canal, Chandelle, MajCarnet, Resume
    from bourse_locale.marche import NaturePrix, Pas, Trade
    from bourse_locale.session import Session

CHEMIN = re.compile(r"/(?P<hote>stream|fstream|dstream)(/(public|market))?/ws(/.*)?")
FAMILLE_DE = {"stream": "spot", "fstream": "linear", "dstream": "inverse"}
NOM_DE_FLUX = re.compile(r"(?P<id>[a-z0-9_]+)@(?P<canal>[A-Za-z]+)(_(?P<pas>\w+))?(@(?P<suite>[\w+:]+))?")
FLUX_DE_TOUS = re.compile(r"!(?P<canal>ticker|miniTicker|bookTicker)(@arr)?")
CANAUX: dict[str, Canal] = {
    "trade": "trades",
    "aggTrade": "trades",
    "kline": "bougies",
    "markPriceKline": "bougies",
    "indexPriceKline": "bougies",
    "depth": "carnet",
    "ticker": "ticker",
    "miniTicker": "ticker",
    "bookTicker": "ticker",
}
PRIX_DES_FLUX: dict[str, NaturePrix] = {"kline": "last", "markPriceKline": "mark", "indexPriceKline": "index"}
EVENEMENTS: dict[NaturePrix, str] = {"last": "kline", "mark": "markPrice_kline", "index": "indexPrice_kline"}
UTC8 = "+08:00"
ABONNEMENTS_MAX = {"spot": 1024, "linear": 200, "inverse": 200}
DEMANDES_PAR_S = {"spot": 5, "linear": 10, "inverse": 10}
SAUT_FAUX = 7
CHAMPS_KLINE = "tTfLochlvnqVQB"


class Voulu(NamedTuple):
    """Un flux demandé, compris : son nom, son genre, ses marchés (aucun s'il est inconnu)."""

    cle: str
    genre: str
    intervalle: str
    suite: str
    instruments: list[Instrument]


class FluxBinance(Flux):
    """Binance, flux publics."""

    instantane: ClassVar[bool] = False
    profondeur: ClassVar[int] = 50
    ping_s = 20.0
    protocole: Binance

    def contexte(self, chemin: str) -> str | None:
        """Rend la famille : elle tient à l'hôte, ici au premier dossier."""
        trouve = CHEMIN.fullmatch(chemin)
        return None if trouve is None else FAMILLE_DE[trouve["hote"]]

    def limites(self, contexte: str) -> tuple[int, int]:
        """Rend les limites de la famille."""
        return ABONNEMENTS_MAX[contexte], DEMANDES_PAR_S[contexte]

    # Demandes

    def recevoir(self, session: Session, texte: str) -> None:
        """Traite SUBSCRIBE, UNSUBSCRIBE et LIST_SUBSCRIPTIONS."""
        try:
            demande = json.loads(texte)
        except ValueError:
            session.repondre(_erreur(None, 3, "Invalid JSON: expected value at line 1 column 1"))
            return
        numero, methode, noms = demande.get("id"), demande.get("method"), demande.get("params") or []
        if methode == "LIST_SUBSCRIPTIONS":
            session.repondre({"result": list(session.abonnements), "id": numero})
        elif methode == "UNSUBSCRIBE":
            self._desabonner(session, noms)
            session.repondre({"result": None, "id": numero})
        elif methode == "SUBSCRIBE":
            self._abonner(session, noms, numero)
        else:
            session.repondre(_erreur(numero, 2, f"Invalid request: unknown variant `{methode}`"))

    def _abonner(self, session: Session, noms: list[str], numero: object) -> None:
        voulus = [self._comprendre(session.contexte, nom) for nom in noms]
        connus = [voulu for voulu in voulus if voulu is not None]
        if not noms or len(connus) != len(noms):
            session.repondre(_erreur(numero, 2, "Invalid request: invalid stream"))
        elif not session.place(sum(voulu.cle not in session.abonnements for voulu in connus)):
            session.repondre(_erreur(numero, 2, "Invalid request: too many streams"))
        elif session.refus([i for voulu in connus for i in voulu.instruments]) is not None:
            session.repondre(_erreur(numero, 2, "Invalid request: subscription refused"))
        else:
            session.repondre({"result": None, "id": numero})
            for voulu in connus:
                for instrument in voulu.instruments:
                    session.abonner(_abonnement(voulu, instrument))

    @staticmethod
    def _desabonner(session: Session, noms: list[str]) -> None:
        for cle in list(session.abonnements):
            if cle in noms or cle.partition("#")[0] in noms:
                session.desabonner(cle)

    def _comprendre(self, famille: str, nom: str) -> Voulu | None:
        """Lit un nom de flux ; None s'il est mal formé."""
        tous = FLUX_DE_TOUS.fullmatch(nom)
        if tous is not None:
            instruments = [i for i in self.protocole.instruments if self.protocole.famille(i) == famille]
            return Voulu(nom, tous["canal"], "", "arr" if nom.endswith("@arr") else "", instruments)
        lu = NOM_DE_FLUX.fullmatch(nom)
        if lu is None or lu["canal"] not in CANAUX:
            return None
        if CANAUX[lu["canal"]] == "bougies" and lu["pas"] not in TIMEFRAMES_BINANCE:
            return None
        trouve = self.protocole.trouver(famille, lu["id"].upper(), par_paire=lu["canal"] == "indexPriceKline")
        return Voulu(nom, lu["canal"], lu["pas"] or "", lu["suite"] or "", [] if trouve is None else [trouve])

    # Messages

    def trades(self, abonnement: Abonnement, trades: list[Trade], maintenant_ms: int) -> list[object]:
        """Rend un message par trade ; un aggTrade n'agrège qu'un trade : a, f et l sont l'identifiant de t."""
        agrege = abonnement.nom == "aggTrade"
        return [self._trade(abonnement.instrument, trade, maintenant_ms, agrege=agrege) for trade in trades]

    def _trade(self, instrument: Instrument, trade: Trade, maintenant_ms: int, *, agrege: bool) -> dict[str, object]:
        rangs = {"a": trade.id, "f": trade.id, "l": trade.id} if agrege else {"t": trade.id}
        spot = instrument.type_marche == "spot"
        return {
            "e": "aggTrade" if agrege else "trade",
            "E": maintenant_ms,
            "s": self.protocole.symbole(instrument),
            **rangs,
            "p": instrument.texte_prix(trade.prix),
            "q": instrument.texte_quantite(trade.quantite),
            "T": trade.ts,
            **({} if spot or agrege else {"X": "MARKET"}),
            "m": trade.sens == "sell",
            **({"M": True} if spot else {}),
        }

    def bougies(self, abonnement: Abonnement, bougies: list[Chandelle], maintenant_ms: int) -> list[object]:
        """Rend un message par bougie, des mêmes textes que le REST."""
        instrument, prix = abonnement.instrument, abonnement.prix
        lignes = lignes_klines(instrument, abonnement.periode, prix, [b.bougie for b in bougies])
        symbole, paire = self.protocole.symbole(instrument), instrument.base + instrument.quote
        entete: dict[str, object] = {"e": EVENEMENTS[prix], "E": maintenant_ms}
        entete |= {"s": symbole} if prix == "last" else {"ps": paire}
        fixes = {"s": "0" if prix == "index" else symbole, "i": abonnement.timeframe}
        return [
            {**entete, "k": {**fixes, **self._kline(instrument, ligne), "x": bougie.close}}
            for ligne, bougie in zip(lignes, bougies, strict=True)
        ]

    def _kline(self, instrument: Instrument, ligne: list[object]) -> dict[str, object]:
        ouverture, o, h, b, c, v, fin, q, nombre, achete, achete_quote, _ = ligne
        premier, dernier = self._rangs(instrument, ouverture, nombre)
        valeurs = (ouverture, fin, premier, dernier, o, c, h, b, v, nombre, q, achete, achete_quote, "0")
        return dict(zip(CHAMPS_KLINE, valeurs, strict=True))

    def _rangs(self, instrument: Instrument, ouverture: object, nombre: object) -> tuple[int, int]:
        """Rend les identifiants du premier et du dernier trade d'une bougie, -1 si elle est vide."""
        if not (isinstance(ouverture, int) and isinstance(nombre, int) and nombre):
            return -1, -1
        premier = self.marche.rang_du_premier_trade(instrument, ouverture)
        if ouverture % MINUTE_MS:
            premier += len(self.marche.trades(instrument, ouverture - ouverture % MINUTE_MS, ouverture))
        return premier, premier + nombre - 1

    def carnet(self, abonnement: Abonnement, maj: MajCarnet, maintenant_ms: int) -> list[object]:
        """Rend un écart ; U suit le u d'avant, et `pu` le répète sur les contrats."""
        instrument, avant = abonnement.instrument, maj.avant
        if avant is None:
            return []
        contrat = instrument.type_marche != "spot"
        return [
            {
                "e": "depthUpdate",
                "E": maintenant_ms,
                **({"T": maj.apres.ts} if contrat else {}),
                "s": self.protocole.symbole(instrument),
                **({"ps": instrument.base + instrument.quote} if instrument.inverse else {}),
                "U": avant.sequence + 1,
                "u": maj.apres.sequence,
                **({"pu": avant.sequence} if contrat else {}),
                "b": textes_niveaux(instrument, maj.niveaux.bids),
                "a": textes_niveaux(instrument, maj.niveaux.asks),
            }
        ]

    def fausser_carnet(self, objet: object) -> object:
        """Fait sauter la séquence."""
        if not isinstance(objet, dict):
            return objet
        return {**objet, **{nom: objet[nom] + SAUT_FAUX for nom in ("U", "u", "pu") if nom in objet}}

    def ticker(self, abonnement: Abonnement, lu: Resume, maintenant_ms: int) -> list[object]:
        """Rend un ticker, un ticker court ou les meilleurs prix ; dans une liste pour un flux de tous les marchés."""
        objet = self._ticker(abonnement, lu, maintenant_ms)
        return [[objet]] if "@arr" in abonnement.cle else [objet]

    def _ticker(self, abonnement: Abonnement, lu: Resume, maintenant_ms: int) -> dict[str, object]:
        instrument = abonnement.instrument
        symbole, spot = self.protocole.symbole(instrument), instrument.type_marche == "spot"
        haut = textes_du_haut(instrument, lu)
        if abonnement.nom == "bookTicker":
            rang = lu.ts // 100
            entete = {"u": rang} if spot else {"e": "bookTicker", "u": rang, "E": maintenant_ms, "T": lu.ts}
            return {**entete, "s": symbole, **haut}
        textes = textes_ticker(instrument, lu)
        court = abonnement.nom == "miniTicker"
        champs = {nom: textes[nom] for nom in ("c", "o", "h", "l", "v", "q")} if court else textes
        nom = "24hrMiniTicker" if court else "24hrTicker"
        return {"e": nom, "E": maintenant_ms, "s": symbole, **champs, **(haut if spot and not court else {})}


def _erreur(numero: object, code: int, message: str) -> dict[str, object]:
    return {"error": {"code": code, "msg": message}, "id": numero}


def _abonnement(voulu: Voulu, instrument: Instrument) -> Abonnement:
    pas, ancre = periode(voulu)
    cle = voulu.cle if not voulu.cle.startswith("!") else f"{voulu.cle}#{instrument.symbole}"
    return Abonnement(
        cle,
        CANAUX[voulu.genre],
        instrument,
        nom=voulu.genre,
        periode=(pas, ancre),
        timeframe=voulu.intervalle,
        prix=PRIX_DES_FLUX.get(voulu.genre, "last"),
    )


def periode(voulu: Voulu) -> tuple[Pas, int]:
    """Rend la période d'un flux de bougies ; « @+08:00 » cale les jours sur l'heure de Chine."""
    pas, ancre = TIMEFRAMES_BINANCE.get(voulu.intervalle, (MINUTE_MS, 0))
    return pas, ancre - 8 * HEURE_MS if voulu.suite == UTC8 else ancre


def textes_du_haut(instrument: Instrument, lu: Resume) -> dict[str, str]:
    """Rend les meilleurs prix."""
    (bid, achat), (ask, vente) = textes_niveaux(instrument, (lu.bid, lu.ask))
    return {"b": bid, "B": achat, "a": ask, "A": vente}
