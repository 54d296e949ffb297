"""Le côté WebSocket : ce qu'un protocole doit dire, et ce que chaque canal doit émettre au fil de l'horloge.

Brancher un protocole : une sous-classe de `Flux`, dans le `flux.py` de son dossier, que celui-ci enregistre ; non
enregistrée, `Protocole.flux()` la rend. La session (session.py) fait le reste : lire, émettre, pannes, pings.

- `contexte(chemin)` : un chemin connu (sans le nom de l'exchange) -> texte libre (famille…), None -> 404.
- `recevoir(session, texte)` : toute trame de texte du client, pings du protocole compris. Il répond par
  `session.repondre(objet)` (l'ack AVANT d'abonner), abonne par `session.abonner(Abonnement(cle, canal, instrument…))`,
  désabonne par `session.desabonner(cle)`. Il demande d'abord à `session.refus(instruments)` (pannes « abonnement
  refusé », « groupe refusé ») et contrôle `session.place(nombre)` (limite par connexion) : s'il y a refus, il répond
  l'erreur de son protocole. `cle` est unique dans la session : un deuxième abonnement de même clé remplace le premier.
- `trades`, `bougies`, `carnet`, `ticker` : (abonnement, données, maintenant_ms) -> liste d'objets à encoder en JSON
  (une str part telle quelle). Une liste de trades n'est jamais vide ; `Chandelle.close` dit la clôture ;
  `MajCarnet.avant` est None pour un instantané, sinon `niveaux` porte les écarts de `avant` à `apres`.
- `premiers(abonnement, maintenant_ms)` : ce qui part dès l'abonnement ; par défaut la bougie en cours, le ticker, et
  l'instantané du carnet si `instantane` est vrai (faux chez binance, qui le sert en REST).
- `fausser_carnet(objet)` : rend le message de carnet, somme ou séquence abîmée (panne « ws_somme »).
- `trame(texte)` : la trame à envoyer, si ce n'est pas le texte lui-même.
- Réglages de classe : `abonnements_max`, `demandes_par_s` (ou `limites(contexte)`), `confirme_cloture` (faux
  chez kraken : la clôture ne se dit pas), `ping_s`, `cadence_carnet_ms`, `cadence_ticker_ms`, `profondeur`.
Les minutes vides suivent `Protocole.minutes_vides_plates` : tout vient de `Protocole.lire`, comme le REST.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple, TypeAlias

from bourse_locale.carnet import (
    PAS_CARNET_MS,
    Carnet,
    Ecarts,
    Niveau,
    carnet,
    dernier_trade,
    ecarts,
    pas_de_grille,
    statistiques_24h,
)
from bourse_locale.marche import MINUTE_MS, Bougie, Instrument, NaturePrix, Pas, Trade, ouverture, suivante
from bourse_locale.pannes import NATURES_DERANGEMENT, CibleFlux, Derangement, Evenement, deranger

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bourse_locale.marche import Marche
    from bourse_locale.serveur import Protocole
    from bourse_locale.session import Session

__all__ = ["Abonnement", "Canal", "Chandelle", "Fil", "Flux", "MajCarnet", "Resume", "encoder_texte"]

Canal: TypeAlias = Literal["trades", "bougies", "carnet", "ticker"]
CADENCE_DERIVEE_MS = 1000
"""Pas d'émission des bougies mark et index, qui changent à chaque instant."""
MINUTES_GARDEES = 4
JALONS_GARDES = 64


def encoder_texte(objet: object) -> str:
    """Rend le texte d'une trame : JSON compact, ou la chaîne telle quelle."""
    return objet if isinstance(objet, str) else json.dumps(objet, separators=(",", ":"))


class Chandelle(NamedTuple):
    """Une bougie à émettre : en cours, ou close et définitive."""

    bougie: Bougie
    close: bool


class MajCarnet(NamedTuple):
    """Une mise à jour de carnet : `niveaux` sont les écarts depuis `avant`, ou tout `apres` pour un instantané."""

    avant: Carnet | None
    apres: Carnet
    niveaux: Ecarts


class Resume(NamedTuple):
    """De quoi rédiger un ticker : les 24 dernières heures, le dernier trade et le haut du carnet."""

    ts: int
    jour: Bougie
    dernier: Trade
    bid: Niveau
    ask: Niveau


@dataclass
class Abonnement:
    """Un canal suivi par une session.

    Le protocole donne `cle`, `canal`, `instrument`, et au besoin `periode` (pas, ancre), `timeframe`, `prix` et
    `profondeur` (niveaux du carnet ; 0 : celle du protocole) ; `nom` est à lui. Le reste appartient au cadre.
    """

    cle: str
    canal: Canal
    instrument: Instrument
    nom: str = ""
    periode: tuple[Pas, int] = (MINUTE_MS, 0)
    timeframe: str = ""
    prix: NaturePrix = "last"
    profondeur: int = 0
    curseur_ms: int = 0
    reveil_ms: float = 0
    ouverte_ms: int = 0
    derniere: Chandelle | None = None
    carnet: Carnet | None = None
    resume: Resume | None = None
    croises: set[int] = field(default_factory=set)
    derangement: Derangement = field(default_factory=Derangement)


class Fil:
    """Les trades d'un instrument, les dernières minutes gardées : toutes les sessions relisent les mêmes."""

    def __init__(self, protocole: Protocole, instrument: Instrument) -> None:
        """Ne lit rien encore."""
        self._marche, self._instrument = protocole.marche, instrument
        self._minutes: OrderedDict[int, list[Trade]] = OrderedDict()
        self._dernier: Trade | None = None

    def _minute(self, numero: int) -> list[Trade]:
        trades = self._minutes.get(numero)
        if trades is None:
            debut = numero * MINUTE_MS
            trades = self._minutes[numero] = self._marche.trades(self._instrument, debut, debut + MINUTE_MS)
            if len(self._minutes) > MINUTES_GARDEES:
                self._minutes.popitem(last=False)
        return trades

    def entre(self, apres_ms: int, jusqua_ms: int) -> list[Trade]:
        """Rend les trades de ]apres, jusqua], dans l'ordre."""
        if jusqua_ms - apres_ms > MINUTES_GARDEES * MINUTE_MS:
            return self._marche.trades(self._instrument, apres_ms + 1, jusqua_ms + 1)
        rendus: list[Trade] = []
        for numero in range((apres_ms + 1) // MINUTE_MS, jusqua_ms // MINUTE_MS + 1):
            rendus.extend(t for t in self._minute(numero) if apres_ms < t.ts <= jusqua_ms)
        return rendus

    def prochain(self, apres_ms: int) -> int:
        """Rend l'instant du prochain trade de la minute, sinon le début de la minute d'après."""
        trades = self._minute((apres_ms + 1) // MINUTE_MS)
        rang = bisect_right(trades, apres_ms, key=lambda trade: trade.ts)
        return trades[rang].ts if rang < len(trades) else ((apres_ms + 1) // MINUTE_MS + 1) * MINUTE_MS


class Flux:
    """Le protocole WebSocket d'un exchange : voir le docstring du module pour ce qui est à redéfinir."""

    abonnements_max: ClassVar[int] = 1000
    demandes_par_s: ClassVar[int] = 0
    """Trames du client permises par seconde réelle ; 0 : sans limite. Au-delà, la connexion est fermée."""
    confirme_cloture: ClassVar[bool] = True
    instantane: ClassVar[bool] = True
    ping_s: float = 0.0
    cadence_carnet_ms: int = PAS_CARNET_MS
    cadence_ticker_ms: int = 100
    """Au plus une mise à jour par cadence, en temps réel : une horloge accélérée les regroupe."""
    profondeur: ClassVar[int] = 20

    def __init__(self, protocole: Protocole) -> None:
        """Partage le marché et l'horloge du protocole REST."""
        self.protocole, self.bourse, self.marche = protocole, protocole.bourse, protocole.marche
        self._fils: dict[str, Fil] = {}
        self._jalons: dict[str, deque[int]] = {}

    def limites(self, contexte: str) -> tuple[int, int]:
        """Rend les abonnements permis par connexion et les trames permises par seconde, selon le contexte."""
        del contexte
        return self.abonnements_max, self.demandes_par_s

    # À redéfinir

    def contexte(self, chemin: str) -> str | None:
        """Rend le contexte d'une connexion à ce chemin, None s'il n'existe pas."""
        raise NotImplementedError

    def accueillir(self, session: Session) -> None:
        """Une connexion s'ouvre : là où l'adresse dit l'abonnement, il est pris aussitôt."""

    def recevoir(self, session: Session, texte: str) -> None:
        """Traite une trame du client."""
        raise NotImplementedError

    def trades(self, abonnement: Abonnement, trades: list[Trade], maintenant_ms: int) -> list[object]:
        """Rend les messages d'une suite non vide de trades."""
        raise NotImplementedError

    def bougies(self, abonnement: Abonnement, bougies: list[Chandelle], maintenant_ms: int) -> list[object]:
        """Rend les messages d'une suite non vide de bougies."""
        raise NotImplementedError

    def carnet(self, abonnement: Abonnement, maj: MajCarnet, maintenant_ms: int) -> list[object]:
        """Rend les messages d'un instantané ou d'un écart."""
        raise NotImplementedError

    def ticker(self, abonnement: Abonnement, lu: Resume, maintenant_ms: int) -> list[object]:
        """Rend les messages d'un ticker (`resume` le rend aussi pour le REST)."""
        raise NotImplementedError

    def trame(self, texte: str) -> str | bytes:
        """Rend la trame d'un texte ; des octets partent en trame binaire (htx comprime les siennes)."""
        return texte

    def fausser_carnet(self, objet: object) -> object:
        """Rend un message de carnet à la somme ou à la séquence abîmée ; tel quel si ccxt ne contrôle rien."""
        return objet

    def premiers(self, abonnement: Abonnement, maintenant_ms: int) -> list[object]:
        """Rend ce qui part dès l'abonnement : l'état présent, sauf les trades."""
        if abonnement.canal == "trades" or (abonnement.canal == "carnet" and not self.instantane):
            return []
        return self.rediger(abonnement, self.present(abonnement, maintenant_ms), maintenant_ms)

    # Commun

    def fil(self, instrument: Instrument) -> Fil:
        """Rend les trades d'un instrument, partagés par toutes les sessions."""
        fil = self._fils.get(instrument.cle)
        if fil is None:
            fil = self._fils[instrument.cle] = Fil(self.protocole, instrument)
            # Chaque instrument suivi tient deux jours en cache : celui d'avant et celui d'après minuit, ou les 24 h.
            self.marche.reserver(2 * len(self._fils))
        return fil

    def instantane_rest(self, instrument: Instrument, ts: int) -> Carnet:
        """Rend un carnet servi en REST, et retient sa séquence : les écarts émis ensuite s'y arrêteront.

        Sans cela un écart qui enjambe l'instantané tairait un niveau changé puis revenu, et le client aurait un faux
        carnet de bonne séquence.
        """
        jalons = self._jalons.setdefault(instrument.cle, deque(maxlen=JALONS_GARDES))
        servi = carnet(self.marche, instrument, ts, self.profondeur)
        jalons.append(servi.ts)
        return servi

    def jalons(self, instrument: Instrument, apres_ms: int, jusqua_ms: int) -> list[int]:
        """Rend les instants de carnet où s'arrêter entre deux émissions, et le dernier."""
        servis = self._jalons.get(instrument.cle, ())
        return sorted({ts for ts in servis if apres_ms < ts < jusqua_ms} | {jusqua_ms})

    def rediger(self, abonnement: Abonnement, evenements: list[Evenement], maintenant_ms: int) -> list[object]:
        """Rend les messages d'une suite d'événements, la somme du carnet faussée s'ils le demandent."""
        if abonnement.canal in ("carnet", "ticker"):
            objets = [(e.perdu, self._rediger_un(abonnement, e, maintenant_ms)) for e in evenements]
            return [objet for perdu, siens in objets if not perdu for objet in siens]
        donnees = [evenement.donnee for evenement in evenements if not evenement.perdu]
        if not donnees:
            return []
        if abonnement.canal == "trades":
            return self.trades(abonnement, [d for d in donnees if isinstance(d, Trade)], maintenant_ms)
        return self.bougies(abonnement, [d for d in donnees if isinstance(d, Chandelle)], maintenant_ms)

    def _rediger_un(self, abonnement: Abonnement, evenement: Evenement, maintenant_ms: int) -> list[object]:
        donnee = evenement.donnee
        if isinstance(donnee, Resume):
            return self.ticker(abonnement, donnee, maintenant_ms)
        if not isinstance(donnee, MajCarnet):
            return []
        if evenement.croise:
            donnee = croiser(donnee, pas_de_grille(abonnement.instrument))
            abonnement.croises.update(niveau.prix for niveau in donnee.niveaux.bids[:1])
        objets = self.carnet(abonnement, donnee, maintenant_ms)
        return [self.fausser_carnet(objet) for objet in objets] if evenement.faux else objets

    # Ce que chaque canal doit émettre

    def ouvrir(self, abonnement: Abonnement) -> None:
        """Fait partir un abonnement de son curseur : rien de ce qui précède ne sera émis."""
        maintenant_ms = abonnement.curseur_ms
        self.fil(abonnement.instrument)
        abonnement.ouverte_ms = ouverture(*abonnement.periode, maintenant_ms)
        abonnement.profondeur = abonnement.profondeur or self.profondeur
        if abonnement.canal == "carnet":
            instrument = abonnement.instrument
            abonnement.carnet = carnet(self.marche, instrument, maintenant_ms, abonnement.profondeur)
        abonnement.reveil_ms = self._reveil(abonnement)

    def present(self, abonnement: Abonnement, maintenant_ms: int) -> list[Evenement]:
        """Rend l'état présent d'un canal."""
        if abonnement.canal == "bougies":
            bougie = self._bougie_en_cours(abonnement, maintenant_ms)
            return [] if bougie is None else [Evenement(maintenant_ms, bougie)]
        if abonnement.canal == "carnet" and abonnement.carnet is not None:
            entier = abonnement.carnet
            return [Evenement(maintenant_ms, MajCarnet(None, entier, Ecarts(entier.bids, entier.asks)))]
        if abonnement.canal == "ticker":
            abonnement.resume = resume(self.marche, abonnement.instrument, maintenant_ms)
            return [] if abonnement.resume is None else [Evenement(maintenant_ms, abonnement.resume)]
        return []

    def produire(self, abonnement: Abonnement, jusqua_ms: int, cible: CibleFlux) -> list[object]:
        """Rend les messages dus depuis la dernière fois, pannes de message appliquées."""
        evenements = list(self._evenements(abonnement, jusqua_ms))
        abonnement.curseur_ms = max(abonnement.curseur_ms, jusqua_ms)
        pannes = self.bourse.pannes
        if abonnement.derangement.retenus or pannes.a_nature(NATURES_DERANGEMENT):
            evenements = deranger(pannes, cible, abonnement.derangement, evenements, jusqua_ms)
        abonnement.reveil_ms = min(self._reveil(abonnement), abonnement.derangement.prochain_ms())
        return self.rediger(abonnement, evenements, jusqua_ms)

    def _evenements(self, abonnement: Abonnement, jusqua_ms: int) -> Iterator[Evenement]:
        if jusqua_ms <= abonnement.curseur_ms:
            return
        if abonnement.canal == "trades":
            for trade in self.fil(abonnement.instrument).entre(abonnement.curseur_ms, jusqua_ms):
                yield Evenement(trade.ts, trade)
        elif abonnement.canal == "bougies":
            yield from self._bougies_dues(abonnement, jusqua_ms)
        elif abonnement.canal == "carnet":
            yield from self._carnets_dus(abonnement, jusqua_ms)
        else:
            yield from self._ticker_du(abonnement, jusqua_ms)

    def _bougies_dues(self, abonnement: Abonnement, jusqua_ms: int) -> Iterator[Evenement]:
        pas, ancre = abonnement.periode
        courante = ouverture(pas, ancre, jusqua_ms)
        if courante > abonnement.ouverte_ms:
            closes = self.protocole.lire(
                abonnement.instrument, abonnement.periode, abonnement.ouverte_ms, courante, abonnement.prix, jusqua_ms
            )
            abonnement.ouverte_ms = courante
            for bougie in closes:
                # Sans message de clôture (kraken), l'état final ne part que s'il n'est pas déjà parti.
                if self.confirme_cloture or abonnement.derniere != Chandelle(bougie, close=False):
                    yield Evenement(suivante(pas, ancre, bougie.ts), Chandelle(bougie, close=True))
        en_cours = self._bougie_en_cours(abonnement, jusqua_ms)
        if en_cours is not None:
            yield Evenement(jusqua_ms, en_cours)

    def _bougie_en_cours(self, abonnement: Abonnement, ts: int) -> Chandelle | None:
        """Rend la bougie en cours si elle a changé depuis la dernière émission."""
        debut, periode = ouverture(*abonnement.periode, ts), abonnement.periode
        lues = self.protocole.lire(abonnement.instrument, periode, debut, debut + 1, abonnement.prix, ts)
        chandelle = Chandelle(lues[0], close=False) if lues else None
        if chandelle is None or chandelle == abonnement.derniere:
            return None
        abonnement.derniere = chandelle
        return chandelle

    def _carnets_dus(self, abonnement: Abonnement, jusqua_ms: int) -> Iterator[Evenement]:
        avant, instrument = abonnement.carnet, abonnement.instrument
        if avant is None:
            return
        for ts in self.jalons(instrument, avant.ts, jusqua_ms - jusqua_ms % PAS_CARNET_MS):
            apres = carnet(self.marche, instrument, ts, abonnement.profondeur)
            if apres.sequence == avant.sequence:
                continue
            niveaux = ecarts(avant, apres)
            if abonnement.croises:
                niveaux = decroiser(abonnement.croises, avant, apres, niveaux)
                abonnement.croises.clear()
            yield Evenement(ts, MajCarnet(avant, apres, niveaux))
            abonnement.carnet = avant = apres

    def _ticker_du(self, abonnement: Abonnement, jusqua_ms: int) -> Iterator[Evenement]:
        lu, avant = resume(self.marche, abonnement.instrument, jusqua_ms), abonnement.resume
        if lu is not None and (avant is None or lu._replace(ts=avant.ts) != avant):
            abonnement.resume = lu
            yield Evenement(jusqua_ms, lu)

    def _reveil(self, abonnement: Abonnement) -> int:
        """Rend l'instant avant lequel ce canal n'a rien à dire : la session ne le consulte pas plus tôt."""
        curseur, acceleration = abonnement.curseur_ms, max(1.0, self.bourse.horloge.acceleration)
        if abonnement.canal == "carnet":
            return curseur - curseur % PAS_CARNET_MS + int(self.cadence_carnet_ms * acceleration)
        if abonnement.canal == "ticker":
            return curseur + int(self.cadence_ticker_ms * acceleration)
        if abonnement.canal == "bougies" and abonnement.prix != "last":
            return curseur + CADENCE_DERIVEE_MS
        prochain = self.fil(abonnement.instrument).prochain(curseur)
        if abonnement.canal == "bougies":
            return min(prochain, suivante(*abonnement.periode, abonnement.ouverte_ms))
        return prochain


def resume(marche: Marche, instrument: Instrument, ts: int) -> Resume | None:
    """Rend de quoi rédiger un ticker, WebSocket ou REST ; None si rien ne s'est échangé depuis un jour."""
    jour, dernier = statistiques_24h(marche, instrument, ts), dernier_trade(marche, instrument, ts)
    if jour is None or dernier is None:
        return None
    haut = carnet(marche, instrument, ts, 1)
    # Au tout premier pas de la cotation, le carnet n'a pas encore vu le premier trade.
    bid = haut.bids[0] if haut.bids else Niveau(dernier.prix - 1, 1)
    ask = haut.asks[0] if haut.asks else Niveau(dernier.prix + 1, 1)
    return Resume(ts, jour, dernier, bid, ask)


def croiser(maj: MajCarnet, grille: int) -> MajCarnet:
    """Rend la mise à jour avec un acheteur au-dessus du meilleur vendeur, dans l'état comme dans les écarts."""
    if not maj.apres.asks:
        return maj
    faux = Niveau(maj.apres.asks[0].prix + 2 * grille, 1)
    apres = maj.apres._replace(bids=(faux, *maj.apres.bids[:-1]))
    return MajCarnet(maj.avant, apres, Ecarts((faux, *maj.niveaux.bids), maj.niveaux.asks))


def decroiser(croises: set[int], avant: Carnet, apres: Carnet, niveaux: Ecarts) -> Ecarts:
    """Ajoute aux écarts le retrait des acheteurs inventés, et l'acheteur qu'ils ont poussé hors de la profondeur."""
    deja, vrais = {niveau.prix for niveau in niveaux.bids}, {n.prix: n for n in apres.bids}
    touches = {*croises, *(niveau.prix for niveau in avant.bids[-1:])} - deja
    remis = [vrais.get(prix, Niveau(prix, 0)) for prix in sorted(touches, reverse=True)]
    return Ecarts((*remis, *niveaux.bids), niveaux.asks)
