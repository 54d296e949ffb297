"""Le serveur de boucle locale : horloge, débit, journal, pannes de transport, et la classe de base des protocoles.

Une application aiohttp sert chaque exchange sous http://127.0.0.1:PORT/<nom>/… ; les vraies classes ccxt y viennent par
leurs `urls`. L'ordre des contrôles est celui des vrais exchanges : le débit d'abord, puis la panne demandée, puis la
réponse du protocole. Le débit se compte en temps réel, même quand l'horloge du marché est accélérée : c'est en temps
réel que ccxt s'y tient.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
import time
from collections import Counter, OrderedDict
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, ClassVar, NamedTuple, TypeAlias, TypeVar

from aiohttp import web

from bourse_locale.marche import (
    HEURE_MS,
    INSTRUMENTS_PAR_DEFAUT,
    JOUR_MS,
    MINUTE_MS,
    Bougie,
    Instrument,
    Marche,
    NaturePrix,
    Pas,
    garnir,
    renouveler,
    suivante,
)
from bourse_locale.pannes import BougieAbimee, ContextePage, Ligne, PageEnErreur, Panne, Pannes, appliquer_page
from bourse_locale.session import COUPES, Connexion, Session, ouvrir_session, reinitialiser

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from types import TracebackType
    from typing import Self

    from bourse_locale.flux import Flux

    Route: TypeAlias = "Callable[[Appel], Reponse]"

__all__ = [
    "BANNI",
    "HEURE_MS",
    "INTROUVABLE",
    "PROTOCOLES",
    "TIMEFRAMES",
    "TROP_DE_REQUETES",
    "Appel",
    "Bourse",
    "Horloge",
    "Limite",
    "Protocole",
    "Reponse",
    "Requete",
    "Verdict",
    "charger_protocole",
    "cle_de_page",
    "encoder",
]

T = TypeVar("T")
TIMEFRAMES: dict[str, tuple[Pas, int]] = {
    "1m": (MINUTE_MS, 0),
    "3m": (3 * MINUTE_MS, 0),
    "5m": (5 * MINUTE_MS, 0),
    "15m": (15 * MINUTE_MS, 0),
    "30m": (30 * MINUTE_MS, 0),
    "1h": (HEURE_MS, 0),
    "2h": (2 * HEURE_MS, 0),
    "4h": (4 * HEURE_MS, 0),
    "6h": (6 * HEURE_MS, 0),
    "8h": (8 * HEURE_MS, 0),
    "12h": (12 * HEURE_MS, 0),
    "1d": (JOUR_MS, 0),
    "3d": (3 * JOUR_MS, 0),
    "1w": ("semaine", 0),
    "1M": ("mois", 0),
}
"""Timeframe ccxt -> (pas, ancre) ; un protocole le complète ou le corrige."""

INTROUVABLE, BANNI, TROP_DE_REQUETES = 404, 418, 429
OCTETS_EN_CACHE = 96 * 2**20
"""Pages gardées par protocole : une année de 1m (63 Mo chez binance) et de la marge."""
DELAI_MUET_S = 3600.0
LIMITE_HTML = "<html><head><title>502 Bad Gateway</title></head><body><h1>Bad Gateway</h1></body></html>"


@dataclass
class Requete:
    """Une ligne du journal : ce qui a été demandé, quand, et ce qui a été répondu."""

    instant: float
    horloge_ms: int
    exchange: str
    methode: str
    chemin: str
    params: dict[str, str]
    code: int = 0
    panne: str | None = None
    en_vol: int = 0


@dataclass
class Appel:
    """Une requête telle qu'un protocole la voit : chemin sans le nom de l'exchange, horloge de l'exchange."""

    methode: str
    chemin: str
    params: dict[str, str]
    maintenant_ms: int
    panne: Panne | None = None

    def entier(self, nom: str) -> int | None:
        """Rend un paramètre entier, None s'il est absent ou illisible."""
        texte = self.params.get(nom, "")
        return int(texte) if texte.removeprefix("-").isdigit() else None


@dataclass
class Reponse:
    """Une réponse de protocole : objet JSON à encoder, ou octets déjà encodés."""

    donnees: object
    code: int = 200
    entetes: dict[str, str] = field(default_factory=dict)
    poids: int = 1

    def corps(self) -> bytes:
        """Rend les octets du corps."""
        return self.donnees if isinstance(self.donnees, bytes) else encoder(self.donnees)


def encoder(objet: object) -> bytes:
    """Encode en JSON compact, comme le font les exchanges."""
    return json.dumps(objet, separators=(",", ":")).encode()


# --- Débit ------------------------------------------------------------------------------------------------------------


class Verdict(NamedTuple):
    """Ce que la limite dit d'une requête."""

    accepte: bool
    code: int = 200
    attente_s: float = 0.0
    utilise: int = 0
    violation: bool = False


class Limite:
    """Un débit par fenêtre fixe, puis un refus, puis un bannissement pour qui insiste.

    Paramètres :
        jetons: poids permis par fenêtre.
        fenetre_s: durée de la fenêtre, en secondes réelles.
        insistances: refus supportés, une fois le client prévenu, avant le bannissement (418) ; 0 : jamais banni.
        bannissement_s: durée du bannissement.
    """

    def __init__(
        self,
        jetons: int,
        fenetre_s: float,
        insistances: int = 10,
        bannissement_s: float = 120.0,
    ) -> None:
        """Ouvre une limite intacte."""
        self.jetons, self.fenetre_s = jetons, fenetre_s
        self.insistances, self.bannissement_s = insistances, bannissement_s
        self._fenetre = -1
        self.utilise = 0
        self.ferme_depuis = 0.0
        self.ferme_jusqua = 0.0
        self.refus = 0
        self.banni = False

    def consommer(self, poids: int, instant: float, perception_s: float = 0.0) -> Verdict:
        """Compte une requête. Un refus n'est une violation que si le client pouvait déjà savoir qu'il était refusé."""
        if instant < self.ferme_jusqua:
            return self._refuser(instant, perception_s)
        self.banni, self.refus = False, 0
        fenetre = int(instant / self.fenetre_s)
        if fenetre != self._fenetre:
            self._fenetre, self.utilise = fenetre, 0
        self.utilise += poids
        if self.utilise <= self.jetons:
            return Verdict(accepte=True, utilise=self.utilise)
        self.fermer((fenetre + 1) * self.fenetre_s - instant, instant)
        return Verdict(accepte=False, code=TROP_DE_REQUETES, attente_s=self.ferme_jusqua - instant, violation=True)

    def fermer(self, duree_s: float, instant: float) -> None:
        """Refuse tout pendant duree_s (dépassement, ou panne 429 qui annonce une attente)."""
        self.ferme_depuis, self.ferme_jusqua = instant, instant + duree_s

    def bannir(self, instant: float, duree_s: float | None = None) -> None:
        """Bannit pour bannissement_s : tout est refusé en 418."""
        self.banni = True
        self.fermer(self.bannissement_s if duree_s is None else duree_s, instant)

    def _refuser(self, instant: float, perception_s: float) -> Verdict:
        violation = instant > self.ferme_depuis + perception_s
        self.refus += violation
        if self.insistances and self.refus > self.insistances and not self.banni:
            self.bannir(instant)
        code = BANNI if self.banni else TROP_DE_REQUETES
        return Verdict(accepte=False, code=code, attente_s=self.ferme_jusqua - instant, violation=violation)


# --- Protocoles -------------------------------------------------------------------------------------------------------


class Protocole:
    """Le protocole d'un exchange. Une sous-classe donne son nom, ses routes, ses identifiants et ses erreurs.

    À redéfinir : `nom`, `identifiant`, `routes`, `config_ccxt`, `erreur` ; au besoin `timeframes`,
    `minutes_vides_plates`, `limite_de`, `poids`, `volume_ccxt`, `flux`.
    """

    nom: ClassVar[str] = ""
    timeframes: ClassVar[dict[str, tuple[Pas, int]]] = TIMEFRAMES
    minutes_vides_plates: ClassVar[bool] = True
    """Vrai si l'exchange sert une bougie plate de volume nul pour une minute sans trade."""
    decroissante: ClassVar[bool] = False
    """Vrai s'il rend ses bougies la plus récente d'abord."""

    def __init__(self, bourse: Bourse) -> None:
        """Prépare les instruments, leurs identifiants et les routes."""
        self.bourse = bourse
        self.marche = bourse.marche
        self.limite: Limite | None = None
        self.instruments = self._choisir_instruments()
        self.par_id = {self.identifiant(instrument): instrument for instrument in self.instruments}
        self.par_symbole = {instrument.symbole: instrument for instrument in self.instruments}
        self.table_routes = self.routes()
        self._pages: OrderedDict[str, bytes] = OrderedDict()
        self._octets_gardes = 0

    def _choisir_instruments(self) -> list[Instrument]:
        maintenant_ms = self.bourse.maintenant_ms()
        instruments = [renouveler(i, maintenant_ms) for i in self.marche.instruments.get(self.nom, [])]
        nombre = self.bourse.nombre_marches
        return garnir(instruments, nombre) if nombre is not None and instruments else instruments

    # À redéfinir

    def identifiant(self, instrument: Instrument) -> str:
        """Rend l'identifiant de l'exchange, unique parmi tous ses marchés (préfixer par le genre si besoin)."""
        raise NotImplementedError

    def routes(self) -> dict[tuple[str, str], Route]:
        """Rend (méthode, chemin sans le nom de l'exchange) -> fonction liée."""
        raise NotImplementedError

    def config_ccxt(self, base_url: str) -> dict[str, object]:
        """Rend ce qu'il faut fondre dans la configuration de la vraie classe ccxt."""
        raise NotImplementedError

    def erreur(self, code: int, appel: Appel, attente_s: float = 0.0) -> Reponse:
        """Rend l'erreur de l'exchange pour 429, 418, 404 ou 5xx ; `attente_s` : ce qui reste de la pause."""
        raise NotImplementedError

    def limite_de(self, appel: Appel) -> Limite | None:
        """Rend la limite dont relève cette requête (une par famille chez binance, une par route chez okx)."""
        del appel
        return self.limite

    def poids(self, appel: Appel) -> int:
        """Rend le poids d'une requête dans sa limite."""
        del appel
        return 1

    def volume_ccxt(self, instrument: Instrument, bougie: Bougie, prix: NaturePrix) -> float | None:
        """Rend le volume tel que ccxt le lira dans la réponse."""
        del prix
        return float(instrument.texte_quantite(bougie.volume))

    def flux(self) -> Flux | None:
        """Rend le côté WebSocket d'un protocole hors du registre, None s'il n'en a pas."""
        return None

    # Commun

    def repondre(self, appel: Appel) -> Reponse:
        """Trouve la route et rend sa réponse."""
        route = self.table_routes.get((appel.methode, appel.chemin))
        return self.erreur(INTROUVABLE, appel) if route is None else route(appel)

    def lire(
        self,
        instrument: Instrument,
        periode: tuple[Pas, int],
        debut_ms: int,
        fin_ms: int,
        prix: NaturePrix = "last",
        maintenant_ms: int | None = None,
    ) -> list[Bougie]:
        """Rend les bougies de [debut_ms, fin_ms[ comme l'exchange les connaît (minutes vides portées ou omises)."""
        pas, ancre = periode
        lire = self.marche.bougies_pleines if self.minutes_vides_plates else self.marche.bougies
        maintenant = self.bourse.maintenant_ms() if maintenant_ms is None else maintenant_ms
        return lire(instrument, pas, debut_ms, fin_ms, prix, ancre, maintenant)

    def attendu(
        self,
        symbole: str,
        timeframe: str,
        debut_ms: int,
        fin_ms: int,
        prix: NaturePrix = "last",
    ) -> list[tuple[int, float, float, float, float, float | None]]:
        """Rend l'oracle : les lignes que ccxt doit rendre pour [debut_ms, fin_ms[, en flottants."""
        instrument = self.par_symbole[symbole]
        bougies = self.lire(instrument, self.timeframes[timeframe], debut_ms, fin_ms, prix)
        # Un quotient d'entiers est arrondi comme le serait son écriture décimale, sans l'écrire.
        unite = 10 ** instrument.decimales_de(prix)
        return [
            (b.ts, *(p / unite for p in b[1:5]), self.volume_ccxt(instrument, b, prix))
            for b in bougies
        ]

    def abimer_page(
        self,
        appel: Appel,
        lignes: list[Bougie],
        cle: str,
        lire: Callable[[int, int], list[Bougie]],
        periode: tuple[Pas, int],
        *,
        par_la_fin: bool = False,
    ) -> Iterable[Ligne]:
        """Applique la panne de page de l'appel, s'il y en a une, aux lignes dans l'ordre où elles sont servies."""
        pas, ancre = periode
        contexte = ContextePage(cle, suivante(pas, ancre, 0), appel.maintenant_ms, lire, par_la_fin, self.decroissante)
        return appliquer_page(appel.panne, lignes, contexte)

    @staticmethod
    def rediger(
        lignes: Iterable[Ligne],
        rediger_une: Callable[[Bougie], list[object]],
        colonnes: Mapping[str, int],
    ) -> list[list[object]]:
        """Rend les lignes JSON, une à une ; `colonnes` (champ de Bougie -> rang) dit où poser une valeur abîmée."""
        return Protocole.rediger_page(lignes, lambda bougies: [rediger_une(b) for b in bougies], colonnes)

    @staticmethod
    def rediger_page(
        lignes: Iterable[Ligne],
        rediger_toutes: Callable[[list[Bougie]], list[list[object]]],
        colonnes: Mapping[str, int],
    ) -> list[list[object]]:
        """Rend les lignes JSON, d'un coup (par colonnes : plus vite), puis pose les valeurs abîmées."""
        lignes = list(lignes)
        redigees = rediger_toutes([x.bougie if isinstance(x, BougieAbimee) else x for x in lignes])
        for rang, ligne in enumerate(lignes):
            if isinstance(ligne, BougieAbimee):
                redigees[rang][colonnes[ligne.champ]] = ligne.valeur
        return redigees

    def page_connue(self, cle: str | None) -> bytes | None:
        """Rend une page du cache, None si elle n'y est pas : évite de relire le marché pour la refaire."""
        return None if cle is None else self._pages.get(cle)

    def page(self, cle: str | None, faire: Callable[[], object]) -> bytes:
        """Rend une page encodée, depuis le cache ; cle None : page à ne pas garder (bougie en cours, panne)."""
        if cle is None:
            return encoder(faire())
        page = self._pages.get(cle)
        if page is None:
            page = self._pages[cle] = encoder(faire())
            self._octets_gardes += len(page)
            while self._octets_gardes > OCTETS_EN_CACHE:
                self._octets_gardes -= len(self._pages.popitem(last=False)[1])
        return page


def cle_de_page(appel: Appel) -> str:
    """Rend une clé de cache : le chemin et les paramètres, dans un ordre fixe."""
    return f"{appel.chemin}?{sorted(appel.params.items())}"


class Embarque(NamedTuple):
    """Où sont les deux côtés d'un exchange : son REST ne connaît que le noyau, son WebSocket connaît aussi son REST."""

    paquet: str
    protocole: str
    flux: str

    def charger(self) -> type[Protocole]:
        """Rend la classe de son REST."""
        trouvee: type[Protocole] = getattr(import_module(f"{self.paquet}.rest"), self.protocole)
        return trouvee

    def ouvrir_flux(self, protocole: Protocole) -> Flux:
        """Rend le WebSocket de ce protocole."""
        trouve: Flux = getattr(import_module(f"{self.paquet}.flux"), self.flux)(protocole)
        return trouve


PROTOCOLES: dict[str, Embarque] = {}
"""Les exchanges qui se sont enregistrés ; leurs classes ne sont chargées que s'ils sont demandés."""


def enregistrer(paquet: str, protocole: str, flux: str, instruments: list[Instrument]) -> None:
    """Ajoute l'exchange d'un dossier, qui porte son nom : les classes de son `rest.py` et de son `flux.py`."""
    nom = paquet.rpartition(".")[2]
    PROTOCOLES[nom] = Embarque(paquet, protocole, flux)
    INSTRUMENTS_PAR_DEFAUT[nom] = instruments


def charger_protocole(nom: str) -> type[Protocole]:
    """Rend la classe du protocole d'un exchange."""
    if nom not in PROTOCOLES:
        message = f"Exchange sans protocole embarqué : « {nom} ». Connus : {', '.join(PROTOCOLES)}."
        raise ValueError(message)
    return PROTOCOLES[nom].charger()


def ouvrir_flux(protocole: Protocole) -> Flux | None:
    """Rend le côté WebSocket d'un protocole : le sien, sinon celui qui fut enregistré avec sa classe ; ou None."""
    if (sien := protocole.flux()) is not None:
        return sien
    lignee = {(classe.__module__, classe.__name__) for classe in type(protocole).__mro__}
    for embarque in PROTOCOLES.values():
        if (f"{embarque.paquet}.rest", embarque.protocole) in lignee:
            return embarque.ouvrir_flux(protocole)
    return None


# --- Horloge ----------------------------------------------------------------------------------------------------------


class Horloge:
    """L'heure de l'exchange : réelle ou fixée au départ, accélérable, décalable, avancée à la main."""

    def __init__(self, depart_ms: int | None, acceleration: float, decalage_ms: int) -> None:
        """Part de depart_ms, ou de l'heure réelle."""
        self._depart_ms = int(time.time() * 1000) if depart_ms is None else depart_ms
        self._origine = time.monotonic()
        self.acceleration = acceleration
        self.decalage_ms = decalage_ms

    def maintenant_ms(self) -> int:
        """Rend l'heure que l'exchange croit être la sienne, décalage compris."""
        ecoule_ms = (time.monotonic() - self._origine) * 1000 * self.acceleration
        return self._depart_ms + int(ecoule_ms) + self.decalage_ms

    def avancer(self, ms: int) -> None:
        """Avance d'un coup."""
        self._depart_ms += ms

    def regler(self, acceleration: float) -> None:
        """Change d'allure (0 : s'arrête) sans changer d'heure."""
        instant = self.maintenant_ms() - self.decalage_ms
        self._depart_ms, self._origine, self.acceleration = instant, time.monotonic(), acceleration


# --- Bourse -----------------------------------------------------------------------------------------------------------


class Bourse:
    """Un serveur de plusieurs exchanges sur un port libre de la boucle locale.

    Paramètres :
        exchanges: noms pris dans PROTOCOLES (None : tous), ou fabriques de protocole (le rejeu en fournit).
        marche: le marché simulé ; sinon un marché neuf de cette graine.
        port: 0 pour un port libre.
        latence_s: attente ajoutée à chaque réponse.
        limites: applique les débits réels.
        pannes: pannes en vigueur au départ.
        maintenant_ms: départ de l'horloge (None : l'heure réelle) ; acceleration, decalage_ms : son allure, son erreur.
        nombre_marches: complète chaque exchange jusqu'à ce nombre de marchés.

    S'ouvre par `async with Bourse(...)`, ou par `with Bourse(...).en_fil()` pour servir un autre processus.
    """

    def __init__(  # noqa: PLR0913 - objet d'options : chaque réglage est indépendant et nommé
        self,
        exchanges: Sequence[str | Callable[[Bourse], Protocole]] | None = None,
        marche: Marche | None = None,
        graine: int = 1,
        port: int = 0,
        *,
        latence_s: float = 0.0,
        limites: bool = True,
        pannes: Iterable[Panne] = (),
        maintenant_ms: int | None = None,
        acceleration: float = 1.0,
        decalage_ms: int = 0,
        nombre_marches: int | None = None,
    ) -> None:
        """Prépare les protocoles ; le port n'est ouvert qu'à l'entrée du contexte."""
        self.marche = Marche(graine) if marche is None else marche
        self.port = port
        self.latence_s, self.limites = latence_s, limites
        self.nombre_marches = nombre_marches
        self.pannes = Pannes(list(pannes), graine)
        self.horloge = Horloge(maintenant_ms, acceleration, decalage_ms)
        self.requetes: list[Requete] = []
        self.connexions: list[Connexion] = []
        """Connexions WebSocket reçues, refusées comprises."""
        self.sessions: list[Session] = []
        self.violations = 0
        self._en_vol = 0
        self._runner: web.AppRunner | None = None
        self._arret = asyncio.Event()
        self._service: asyncio.AbstractEventLoop | None = None
        demandes = tuple(PROTOCOLES) if exchanges is None else exchanges
        fabriques = [charger_protocole(e) if isinstance(e, str) else e for e in demandes]
        self.protocoles = {protocole.nom: protocole for protocole in (fabrique(self) for fabrique in fabriques)}
        self.flux = {nom: ouvrir_flux(protocole) for nom, protocole in self.protocoles.items()}

    # Ce que lisent les tests et la ligne de commande

    @property
    def url(self) -> str:
        """Adresse du serveur, sans barre finale."""
        return f"http://127.0.0.1:{self.port}"

    def config_ccxt(self, exchange: str) -> dict[str, object]:
        """Rend la configuration à fondre dans celle de la vraie classe ccxt."""
        return self.protocoles[exchange].config_ccxt(f"{self.url}/{exchange}")

    def maintenant_ms(self) -> int:
        """Rend l'heure de l'exchange."""
        return self.horloge.maintenant_ms()

    def avancer(self, ms: int) -> None:
        """Avance l'heure de l'exchange ; les sessions ouvertes émettent alors tout l'intervalle, dans l'ordre."""
        self.horloge.avancer(ms)
        self._sur_le_service(self._reveiller)

    @property
    def decalage_ms(self) -> int:
        """Erreur de l'horloge de l'exchange, modifiable en route."""
        return self.horloge.decalage_ms

    @decalage_ms.setter
    def decalage_ms(self, valeur: int) -> None:
        self.horloge.decalage_ms = valeur

    def compter(self, chemin: str = "", code: int | None = None) -> int:
        """Compte les requêtes reçues dont le chemin contient ce texte (et qui ont reçu ce code)."""
        return sum(chemin in r.chemin and code in (None, r.code) for r in self.requetes)

    def compter_par_chemin(self) -> Counter[str]:
        """Compte les requêtes reçues, par chemin."""
        return Counter(requete.chemin for requete in self.requetes)

    def attendu(
        self,
        exchange: str,
        symbole: str,
        timeframe: str,
        debut_ms: int,
        fin_ms: int,
        prix: NaturePrix = "last",
    ) -> list[tuple[int, float, float, float, float, float | None]]:
        """Rend l'oracle : exactement les lignes que ccxt doit rendre pour [debut_ms, fin_ms[."""
        return self.protocoles[exchange].attendu(symbole, timeframe, debut_ms, fin_ms, prix)

    # WebSocket

    @property
    def sessions_ouvertes(self) -> list[Connexion]:
        """Rend le journal des connexions WebSocket encore ouvertes."""
        return [session.journal for session in list(self.sessions) if not session.finie]

    def couper(self, exchange: str, maniere: str = "reset") -> int:
        """Coupe toutes les sessions ouvertes d'un exchange (« reset », « propre », « silence ») et les compte."""
        coupe = COUPES[maniere]

        def agir() -> int:
            visees = [s for s in self.sessions if s.journal.exchange == exchange and not s.finie]
            for session in visees:
                coupe(session)
            return len(visees)

        return self._sur_le_service(agir) or 0

    def refuser_connexions(self, exchange: str, nombre: int | None = None, code: int = 503) -> Panne:
        """Refuse les `nombre` prochaines connexions WebSocket (None : toutes) ; code 0 : par un RST.

        La panne rendue se retire par `pannes.retirer`.
        """
        return self.pannes.ajouter(Panne("ws_refus", chemin=f"/{exchange}/", fois=nombre, code=code))

    def rafale(self, exchange: str, symbole: str, nombre: int = 50_000) -> int:
        """Avance l'heure juste assez pour qu'au moins `nombre` trades de ce symbole partent d'un coup ; rend la durée.

        Ils existent aussi pour le REST et dans les bougies : c'est l'horloge qui saute, pas le marché qui change.
        """
        protocole, debut_ms = self.protocoles[exchange], self.maintenant_ms()
        instrument = protocole.par_symbole.get(symbole) or protocole.par_id[symbole]
        rang = protocole.marche.rang_du_premier_trade(instrument, debut_ms + MINUTE_MS) + nombre
        fin_ms = protocole.marche.minute_du_trade(instrument, rang, debut_ms + nombre * MINUTE_MS) + MINUTE_MS
        self.avancer(fin_ms - debut_ms)
        return fin_ms - debut_ms

    def plus_tard(self, duree_s: float, agir: Callable[[], object]) -> None:
        """Exécute dans la boucle du serveur, après cette durée ; le serveur est ouvert."""
        self._sur_le_service(lambda: asyncio.get_running_loop().call_later(duree_s, agir))

    def _reveiller(self) -> None:
        for session in self.sessions:
            session.reveiller()

    def _sur_le_service(self, agir: Callable[[], T]) -> T | None:
        """Exécute dans la boucle du serveur, d'où qu'on l'appelle ; None si le serveur n'est pas ouvert."""
        if self._service is None:
            return None
        if boucle_courante() is self._service:
            return agir()

        async def differe() -> T:
            return agir()

        return asyncio.run_coroutine_threadsafe(differe(), self._service).result()

    # Vie du serveur

    async def demarrer(self) -> None:
        """Ouvre le port."""
        self._service = asyncio.get_running_loop()
        application = web.Application()
        application.router.add_route("*", "/{exchange}/{reste:.*}", self._traiter)
        # Un client parti doit annuler sa réponse muette ou lente, sans quoi l'arrêt l'attendrait.
        self._runner = web.AppRunner(application, handler_cancellation=True, access_log=None, shutdown_timeout=1.0)
        self._arret = asyncio.Event()
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def fermer(self) -> None:
        """Libère les réponses en attente et ferme le port."""
        self._arret.set()
        for session in list(self.sessions):
            session.reset()
        self._service = None
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def __aenter__(self) -> Self:
        """Ouvre le port."""
        await self.demarrer()
        return self

    async def __aexit__(
        self,
        genre: type[BaseException] | None,
        erreur: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Ferme le port."""
        await self.fermer()

    @contextlib.contextmanager
    def en_fil(self) -> Iterator[Bourse]:
        """Sert depuis un fil à part, le temps du contexte : pour piloter un autre processus ou du code synchrone."""
        self.demarrer_en_fil()
        try:
            yield self
        finally:
            self.arreter()

    def demarrer_en_fil(self) -> None:
        """Ouvre le port depuis un fil à part ; rend la main quand il est ouvert."""
        self._boucle = asyncio.new_event_loop()
        self._fil = threading.Thread(target=self._boucle.run_forever, name="bourse_locale", daemon=True)
        self._fil.start()
        asyncio.run_coroutine_threadsafe(self.demarrer(), self._boucle).result()

    def arreter(self) -> None:
        """Ferme le port et termine le fil."""
        asyncio.run_coroutine_threadsafe(self.fermer(), self._boucle).result()
        self._boucle.call_soon_threadsafe(self._boucle.stop)
        self._fil.join()
        self._boucle.close()

    # Une requête

    async def _traiter(self, http: web.Request) -> web.StreamResponse:
        exchange = http.match_info["exchange"]
        protocole = self.protocoles.get(exchange)
        if protocole is None:
            return web.json_response({"erreur": f"exchange inconnu : {exchange}"}, status=INTROUVABLE)
        chemin = "/" + http.match_info["reste"]
        if http.headers.get("Upgrade", "").lower() == "websocket":
            return await ouvrir_session(self, self.flux[exchange], http, chemin)
        corps = json.loads(await http.text() or "{}") if http.method == "POST" else {}
        appel = Appel(http.method, chemin, {**http.query, **corps}, self.maintenant_ms())
        journal = Requete(
            time.monotonic(), appel.maintenant_ms, exchange, http.method, http.path, appel.params, en_vol=self._en_vol
        )
        self.requetes.append(journal)
        self._en_vol += 1
        try:
            return await self._repondre(http, protocole, appel, journal)
        finally:
            self._en_vol -= 1

    async def _repondre(
        self, http: web.Request, protocole: Protocole, appel: Appel, journal: Requete
    ) -> web.StreamResponse:
        reponse = self._controler_debit(protocole, appel)
        panne = self.pannes.choisir(http.method, http.path, appel.params) if reponse is None else None
        if self.latence_s:
            await asyncio.sleep(self.latence_s)
        journal.panne = None if panne is None else panne.nature
        if reponse is None and panne is not None and panne.est_http:
            return await self._subir(http, protocole, appel, panne, journal)
        appel.panne = panne
        try:
            return envoyer(protocole.repondre(appel) if reponse is None else reponse, journal)
        except PageEnErreur as erreur:
            return envoyer(Reponse(erreur.corps, erreur.code), journal)

    def _controler_debit(self, protocole: Protocole, appel: Appel) -> Reponse | None:
        limite = protocole.limite_de(appel) if self.limites else None
        if limite is None:
            return None
        perception_s = self.latence_s + 0.25  # le temps qu'un client déjà prévenu cesse d'émettre
        verdict = limite.consommer(protocole.poids(appel), time.monotonic(), perception_s)
        self.violations += verdict.violation
        return None if verdict.accepte else protocole.erreur(verdict.code, appel, verdict.attente_s)

    async def _subir(
        self, http: web.Request, protocole: Protocole, appel: Appel, panne: Panne, journal: Requete
    ) -> web.StreamResponse:
        if panne.nature == "muet":
            await self._attendre(panne.flottant("delai_s", DELAI_MUET_S))
            return rompre(http, b"", 0, journal)
        if panne.nature == "lent":
            await self._attendre(panne.flottant("delai_s", 1.0))
            return envoyer(protocole.repondre(appel), journal)
        if panne.nature in ("429", "418"):
            return envoyer(self._limiter(protocole, appel, panne), journal)
        if panne.nature in ("coupure", "tronque"):
            corps = protocole.repondre(appel).corps()
            servis = corps[: panne.entier("octets", len(corps) // 2)]
            return rompre(http, servis, len(corps), journal, brutal=panne.nature == "coupure")
        return envoyer(corps_fautif(protocole, appel, panne), journal)

    async def _attendre(self, delai_s: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(delai_s):
                await self._arret.wait()

    def _limiter(self, protocole: Protocole, appel: Appel, panne: Panne) -> Reponse:
        """Rend 429 ou 418 ; avec une attente annoncée, la limite reste fermée : qui insiste est compté puis banni."""
        code, attente_s = int(panne.nature), panne.flottant("retry_after", 0.0)
        limite = protocole.limite_de(appel)
        if limite is not None and attente_s and self.limites:
            limite.fermer(attente_s, time.monotonic())
            limite.banni = code == BANNI
        reponse = protocole.erreur(code, appel, attente_s)
        if not attente_s:
            reponse.entetes.pop("Retry-After", None)
        return reponse


def boucle_courante() -> asyncio.AbstractEventLoop | None:
    """Rend la boucle du fil courant, None s'il n'en a pas."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def corps_fautif(protocole: Protocole, appel: Appel, panne: Panne) -> Reponse:
    """Rend une réponse complète pour HTTP, mais au corps ou au code fautif."""
    if panne.nature == "http":
        code = panne.entier("code", 502)
        corps = panne.reglages.get("corps")
        return Reponse(str(corps).encode(), code) if corps is not None else protocole.erreur(code, appel)
    if panne.nature == "html":
        return Reponse(LIMITE_HTML.encode(), entetes={"Content-Type": "text/html"})
    if panne.nature == "json_coupe":
        corps_entier = protocole.repondre(appel).corps()
        return Reponse(corps_entier[: len(corps_entier) // 2])
    return Reponse(b"" if panne.nature == "vide" else b"null")


def envoyer(reponse: Reponse, journal: Requete) -> web.Response:
    """Rend la réponse HTTP et note son code."""
    journal.code = reponse.code
    entetes = {"Content-Type": "application/json;charset=UTF-8", **reponse.entetes}
    return web.Response(body=reponse.corps(), status=reponse.code, headers=entetes)


def rompre(
    http: web.Request, servis: bytes, annonces: int, journal: Requete, *, brutal: bool = True
) -> web.StreamResponse:
    """Écrit moins d'octets qu'annoncé puis ferme la connexion, par un RST si `brutal`."""
    transport = http.transport
    if transport is not None:
        if annonces:
            journal.code = 200
            entete = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {annonces}\r\n\r\n"
            transport.write(entete.encode() + servis)
        if brutal:
            reinitialiser(transport)
        else:
            transport.close()
    return web.Response()
