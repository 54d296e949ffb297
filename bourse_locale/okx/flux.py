"""Les messages WebSocket d'okx (v5), rédigés à partir du marché : mêmes textes que le REST du même instrument.

`/ws/v5/public` porte trades, carnets et tickers ; `/ws/v5/business` les bougies, que `/public` refuse. Sans suffixe
« utc », les bougies de 6 h et plus s'ouvrent à 16:00 UTC. Un abonnement se refuse canal par canal (60018) ; le ping est
le texte « ping ». Le vrai canal `trades` peut réunir plusieurs trades d'un même ordre en un message (`count`) ; ici,
chacun part seul, sous l'identifiant que REST lui donne.
"""

from __future__ import annotations

import json
import time
from collections import deque
from typing import TYPE_CHECKING, ClassVar, NamedTuple
from weakref import WeakKeyDictionary
from zlib import crc32

from bourse_locale.carnet import vivant
from bourse_locale.flux import Abonnement, Chandelle, Flux
from bourse_locale.marche import JOUR_MS, Instrument, Marche, Pas, Trade, plancher, suivante
from bourse_locale.okx.rest import BARRES, HONG_KONG_MS, genre_okx, inst_id, ligne, ligne_trade, volumes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bourse_locale.carnet import Carnet, Ecarts, Niveau
    from bourse_locale.flux import MajCarnet, Resume
    from bourse_locale.serveur import Protocole
    from bourse_locale.session import Session

PROFONDEURS = {"books": 400, "books5": 5, "bbo-tbt": 1}
"""Carnets ouverts à tous ; books-l2-tbt et books50-l2-tbt demandent une identité."""
CANAUX_PUBLICS = frozenset({"trades", "tickers", *PROFONDEURS})
PERIODES_WS: dict[str, tuple[Pas, int]] = {
    **{f"candle{barre}": periode for barre, periode in BARRES.items()},
    "candle1M": ("mois", -HONG_KONG_MS),
}
NIVEAUX_DE_LA_SOMME = 25


class Canal(NamedTuple):
    """Un abonnement demandé : le nom du canal et l'identifiant du marché."""

    nom: str
    inst_id: str

    @property
    def arg(self) -> dict[str, str]:
        """Rend l'abonnement comme okx le répète dans chaque message."""
        return {"channel": self.nom, "instId": self.inst_id}


def lire_canal(arg: object) -> Canal | None:
    """Lit un élément de `args` ; None s'il n'a pas la forme voulue."""
    if not isinstance(arg, dict) or not isinstance(arg.get("channel"), str):
        return None
    return Canal(arg["channel"], str(arg.get("instId", "")))


def servi(canal: Canal, chemin: str) -> bool:
    """Dit si ce chemin (« public » ou « business ») porte ce canal."""
    return canal.nom in (PERIODES_WS if chemin == "business" else CANAUX_PUBLICS)


# --- Réponses aux demandes --------------------------------------------------------------------------------------------


def acquittement(evenement: str, canal: Canal, connexion: str) -> dict[str, object]:
    """Rend l'accord donné à un abonnement ou à un désabonnement."""
    return {"event": evenement, "arg": canal.arg, "connId": connexion}


def erreur(code: str, message: str, connexion: str) -> dict[str, object]:
    """Rend un refus."""
    return {"event": "error", "msg": message, "code": code, "connId": connexion}


def refus_du_canal(canal: Canal, connexion: str) -> dict[str, object]:
    """Rend le refus d'un canal inconnu, d'un marché inconnu ou d'un canal demandé à la mauvaise adresse."""
    texte = (
        f"Wrong URL or channel:{canal.nom},instId:{canal.inst_id} doesn't exist. "
        "Please use the correct URL, channel and parameters referring to API document."
    )
    return erreur("60018", texte, connexion)


# --- Données ----------------------------------------------------------------------------------------------------------


def message(canal: Canal, donnees: list[object], **champs: str) -> dict[str, object]:
    """Rend un message de données."""
    return {"arg": canal.arg, **champs, "data": donnees}


def message_bougie(canal: Canal, instrument: Instrument, chandelle: Chandelle) -> dict[str, object]:
    """Rend une bougie, en cours ou close (« confirm » à 1)."""
    bougie, periode = chandelle.bougie, PERIODES_WS[canal.nom]
    vue_a = suivante(*periode, bougie.ts) if chandelle.close else bougie.ts
    return message(canal, [ligne(instrument, "last", periode, vue_a, bougie)])


def message_trade(canal: Canal, instrument: Instrument, trade: Trade) -> dict[str, object]:
    """Rend un trade."""
    return message(canal, [{**ligne_trade(instrument, trade), "count": "1", "seqId": trade.id}])


def message_ticker(canal: Canal, marche: Marche, instrument: Instrument, vu: Resume) -> dict[str, object]:
    """Rend un ticker ; volumes en contrats et en monnaie de base pour un contrat, en base et en quote au comptant."""
    vol, vol_ccy, _ = volumes(instrument, vu.jour)
    prix, quantite = instrument.texte_prix, instrument.texte_quantite
    donnees = {
        "instType": genre_okx(instrument),
        "instId": inst_id(instrument),
        "last": prix(vu.dernier.prix),
        "lastSz": quantite(vu.dernier.quantite),
        "askPx": prix(vu.ask.prix),
        "askSz": quantite(vu.ask.quantite),
        "bidPx": prix(vu.bid.prix),
        "bidSz": quantite(vu.bid.quantite),
        "open24h": prix(vu.jour.open),
        "high24h": prix(vu.jour.high),
        "low24h": prix(vu.jour.low),
        "volCcy24h": vol_ccy,
        "vol24h": vol,
        "ts": str(vu.ts),
        "sodUtc0": prix(ouverture_du_jour(marche, instrument, vu, 0)),
        "sodUtc8": prix(ouverture_du_jour(marche, instrument, vu, HONG_KONG_MS)),
    }
    return message(canal, [donnees])


def ouverture_du_jour(marche: Marche, instrument: Instrument, vu: Resume, decalage_ms: int) -> int:
    """Rend le premier prix du jour, compté de minuit UTC plus un décalage ; le dernier prix si rien ne s'y échange."""
    minuit = plancher(vu.ts + decalage_ms, JOUR_MS) - decalage_ms
    trades = marche.trades(instrument, minuit, min(vu.ts + 1, minuit + 60 * 60_000))
    return trades[0].prix if trades else vu.dernier.prix


def niveaux(instrument: Instrument, cote: tuple[Niveau, ...]) -> list[list[str]]:
    """Rend des niveaux : prix, quantité, un champ périmé, nombre d'ordres."""
    return [
        [instrument.texte_prix(n.prix), texte_quantite(instrument, n), "0", str(min(n.quantite, 1 + n.prix % 9))]
        for n in cote
    ]


def texte_quantite(instrument: Instrument, niveau: Niveau) -> str:
    """Écrit la quantité d'un niveau ; un niveau retiré s'écrit « 0 »."""
    return instrument.texte_quantite(niveau.quantite) if niveau.quantite else "0"


def somme(instrument: Instrument, etat: Carnet) -> int:
    """Rend la somme de contrôle d'okx : CRC32 signé des 25 premiers niveaux, un achat puis une vente."""
    achats, ventes = etat.bids[:NIVEAUX_DE_LA_SOMME], etat.asks[:NIVEAUX_DE_LA_SOMME]
    morceaux: list[str] = []
    for rang in range(max(len(achats), len(ventes))):
        for cote in (achats, ventes):
            if rang < len(cote):
                morceaux += [instrument.texte_prix(cote[rang].prix), instrument.texte_quantite(cote[rang].quantite)]
    valeur = crc32(":".join(morceaux).encode())
    return valeur - 2**32 if valeur >= 2**31 else valeur


def message_carnet(
    canal: Canal, instrument: Instrument, etat: Carnet, suite: tuple[int, Ecarts] | None = None
) -> dict[str, object]:
    """Rend le carnet entier, ou (séquence d'avant, écarts) ; books5 et bbo-tbt ne connaissent que le carnet entier."""
    cotes: Mapping[str, list[list[str]]] = {
        "asks": niveaux(instrument, (etat if suite is None else suite[1]).asks),
        "bids": niveaux(instrument, (etat if suite is None else suite[1]).bids),
    }
    if canal.nom != "books":
        return message(canal, [{**cotes, "instId": inst_id(instrument), "ts": str(etat.ts), "seqId": etat.sequence}])
    donnees = {
        **cotes,
        "ts": str(etat.ts),
        "checksum": somme(instrument, etat),
        "prevSeqId": -1 if suite is None else suite[0],
        "seqId": etat.sequence,
    }
    return message(canal, [donnees], action="snapshot" if suite is None else "update")


# --- Connexions -------------------------------------------------------------------------------------------------------


class FluxOkx(Flux):
    """okx : une connexion publique (trades, carnets, tickers), une connexion « business » (bougies)."""

    profondeur: ClassVar[int] = PROFONDEURS["books"]
    demandes_par_heure: ClassVar[int] = 480
    """Abonnements et désabonnements permis par connexion et par heure ; une demande peut porter bien des canaux."""

    def __init__(self, protocole: Protocole) -> None:
        """Compte les demandes de chaque connexion."""
        super().__init__(protocole)
        self._demandes: WeakKeyDictionary[Session, deque[float]] = WeakKeyDictionary()

    def contexte(self, chemin: str) -> str | None:
        """Rend « public » ou « business »."""
        nom = chemin.removeprefix("/ws/v5/")
        return nom if nom in ("public", "business") else None

    def recevoir(self, session: Session, texte: str) -> None:
        """Répond au ping, abonne, désabonne ; le reste est une demande illégale."""
        if texte == "ping":
            session.repondre("pong")
            return
        op, canaux = lire_demande(texte)
        if op not in ("subscribe", "unsubscribe") or not canaux:
            session.repondre(erreur("60012", f"Illegal request: {texte}", connexion(session)))
        elif self._trop(session):
            session.repondre(erreur("60014", "Requests too frequent", connexion(session)))
        elif op == "subscribe":
            self._abonner(session, canaux)
        else:
            for canal in canaux:
                session.desabonner(":".join(canal))
                session.repondre(acquittement("unsubscribe", canal, connexion(session)))

    def _trop(self, session: Session) -> bool:
        recentes = self._demandes.setdefault(session, deque())
        recentes.append(time.monotonic())
        while recentes[0] < recentes[-1] - 3600.0:
            recentes.popleft()
        return self.bourse.limites and len(recentes) > self.demandes_par_heure

    def _abonner(self, session: Session, canaux: list[Canal]) -> None:
        """Abonne canal par canal : un refus n'empêche pas les autres."""
        connus = {canal: self._instrument(session, canal) for canal in canaux}
        trouves = [instrument for instrument in connus.values() if instrument is not None]
        refuses = session.refus(trouves) is not None or not session.place(len(trouves))
        for canal, instrument in connus.items():
            if refuses or instrument is None:
                session.repondre(refus_du_canal(canal, connexion(session)))
            else:
                session.repondre(acquittement("subscribe", canal, connexion(session)))
                session.abonner(self._abonnement(canal, instrument))

    def _instrument(self, session: Session, canal: Canal) -> Instrument | None:
        instrument = self.protocole.par_id.get(canal.inst_id)
        if instrument is None or not servi(canal, session.contexte):
            return None
        return instrument if vivant(instrument, self.bourse.maintenant_ms()) else None

    @staticmethod
    def _abonnement(canal: Canal, instrument: Instrument) -> Abonnement:
        cle = ":".join(canal)
        if canal.nom in PERIODES_WS:
            return Abonnement(cle, "bougies", instrument, canal.nom, PERIODES_WS[canal.nom])
        if canal.nom in PROFONDEURS:
            return Abonnement(cle, "carnet", instrument, canal.nom, profondeur=PROFONDEURS[canal.nom])
        return Abonnement(cle, "trades" if canal.nom == "trades" else "ticker", instrument, canal.nom)

    def trades(self, abonnement: Abonnement, trades: list[Trade], maintenant_ms: int) -> list[object]:
        """Rend un message par trade."""
        del maintenant_ms
        return [message_trade(canal_de(abonnement), abonnement.instrument, trade) for trade in trades]

    def bougies(self, abonnement: Abonnement, bougies: list[Chandelle], maintenant_ms: int) -> list[object]:
        """Rend un message par bougie."""
        del maintenant_ms
        return [message_bougie(canal_de(abonnement), abonnement.instrument, chandelle) for chandelle in bougies]

    def carnet(self, abonnement: Abonnement, maj: MajCarnet, maintenant_ms: int) -> list[object]:
        """Rend l'instantané ou l'écart ; books5 et bbo-tbt répètent le carnet entier."""
        del maintenant_ms
        entier = maj.avant is None or abonnement.nom != "books"
        suite = None if entier or maj.avant is None else (maj.avant.sequence, maj.niveaux)
        return [message_carnet(canal_de(abonnement), abonnement.instrument, maj.apres, suite)]

    def ticker(self, abonnement: Abonnement, lu: Resume, maintenant_ms: int) -> list[object]:
        """Rend un ticker."""
        del maintenant_ms
        return [message_ticker(canal_de(abonnement), self.marche, abonnement.instrument, lu)]

    def fausser_carnet(self, objet: object) -> object:
        """Fausse la somme et la séquence d'avant : ccxt ne contrôle que celle-ci, et seulement hors instantané."""
        donnee = objet["data"][0] if isinstance(objet, dict) else {}
        if "checksum" in donnee:
            donnee["checksum"] = ~donnee["checksum"]
        if donnee.get("prevSeqId", -1) != -1:
            donnee["prevSeqId"] += 1
        return objet


def canal_de(abonnement: Abonnement) -> Canal:
    """Rend le canal d'un abonnement."""
    return Canal(abonnement.nom, inst_id(abonnement.instrument))


def connexion(session: Session) -> str:
    """Rend le nom d'une connexion."""
    return f"{session.journal.horloge_ms:x}"[-8:]


def lire_demande(texte: str) -> tuple[str, list[Canal]]:
    """Lit une demande ; vide si elle n'a pas la forme voulue."""
    try:
        objet = json.loads(texte)
    except ValueError:
        return "", []
    args = objet.get("args") if isinstance(objet, dict) else None
    canaux = [lire_canal(arg) for arg in args] if isinstance(args, list) else []
    compris = [canal for canal in canaux if canal is not None]
    return (str(objet.get("op")), compris) if compris and len(compris) == len(canaux) else ("", [])
