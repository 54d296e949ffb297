"""Les pannes sur commande : celles du transport, appliquées par le serveur, et celles des pages de bougies.

Une panne est choisie pour une requête par un morceau de chemin, un nombre de fois, un nombre de requêtes à laisser
passer et une probabilité. Les pannes de page sont écrites une seule fois, ici, sur la liste des bougies avant son
encodage : chaque protocole les subit sans les connaître. Les pannes « ws_… » touchent le WebSocket : une connexion
(session.py les applique), une demande d'abonnement, ou un message, avant sa rédaction.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from bourse_locale.marche import JOUR_MS, Bougie, resumer

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Iterator, Mapping

NATURES_HTTP = frozenset(
    {"429", "418", "http", "coupure", "tronque", "json_coupe", "html", "vide", "null", "lent", "muet"},
)
Reglage: TypeAlias = str | int | float | None


class BougieAbimee(NamedTuple):
    """Une bougie dont un champ porte, dans le JSON, une valeur qu'un entier ne sait pas dire (null, texte, NaN)."""

    bougie: Bougie
    champ: str
    valeur: str | None


Ligne: TypeAlias = Bougie | BougieAbimee


@dataclass
class ContextePage:
    """Ce qu'une panne de page doit savoir de la page : sa série, son pas, l'heure, et comment lire à côté."""

    cle: str
    pas_ms: int
    maintenant_ms: int
    lire: Callable[[int, int], list[Bougie]]
    par_la_fin: bool = False
    """Vrai quand le protocole sert, en ordre croissant, les DERNIÈRES bougies de la fenêtre (binance COIN-M)."""
    decroissante: bool = False
    """Vrai quand il sert la plus récente d'abord (okx, bybit)."""

    def dernieres(self, n: int) -> list[Bougie]:
        """Rend les n dernières bougies, dans l'ordre où le protocole les sert."""
        bougies: list[Bougie] = []
        points = n
        while len(bougies) < n and points < 100 * n:
            bougies = self.lire(max(0, self.maintenant_ms - points * self.pas_ms), self.maintenant_ms + 1)
            points *= 3
        return bougies[-n:][::-1] if self.decroissante else bougies[-n:]


class PageEnErreur(Exception):  # noqa: N818 - les noms du projet sont français
    """Ce qu'un exchange répond à la place d'une page vide : un code HTTP et un corps."""

    def __init__(self, code: int, corps: object) -> None:
        """Garde de quoi répondre."""
        super().__init__(code)
        self.code, self.corps = code, corps


class Panne:
    """Une panne : sa nature, les requêtes qu'elle touche, ses réglages.

    Paramètres :
        nature: une de NATURES.
        chemin: morceau du chemin (« klines », « /binance/api ») ; vide : toutes les requêtes.
        fois: nombre de réponses touchées ; None : sans fin.
        sauter: nombre de requêtes du même chemin à laisser passer d'abord.
        probabilite: chance de toucher une requête par ailleurs choisie.
        reglages: propres à la nature (code, corps, retry_after, delai_s, n, k, cas, rang…) ; `symbole` et `timeframe`
            restreignent la panne aux requêtes dont un paramètre vaut ce texte (le nom de l'exchange : « 1m », « 60 »).
            En WebSocket, `symbole` est le symbole unifié ou
            celui de l'exchange, et `canal` (trades, bougies, carnet, ticker) restreint une panne de message.
    """

    def __init__(
        self,
        nature: str,
        chemin: str = "",
        fois: int | None = None,
        sauter: int = 0,
        probabilite: float = 1.0,
        **reglages: Reglage,
    ) -> None:
        """Contrôle la nature et remet les compteurs à zéro."""
        if nature not in NATURES:
            message = f"Nature de panne inconnue : « {nature} ». Natures : {', '.join(sorted(NATURES))}."
            raise ValueError(message)
        self.nature, self.chemin, self.fois, self.sauter = nature, chemin, fois, sauter
        self.probabilite, self.reglages = probabilite, reglages
        self.vues = 0
        self.touchees = 0
        self.memoire: dict[str, list[Bougie]] = {}

    @property
    def est_http(self) -> bool:
        """Vrai si le serveur l'applique, faux si c'est une panne de page."""
        return self.nature in NATURES_HTTP

    @property
    def est_ws(self) -> bool:
        """Vrai si elle touche le WebSocket : les requêtes REST ne la voient pas."""
        return self.nature in NATURES_WS

    @property
    def est_d_archive(self) -> bool:
        """Vrai si c'est le défaut d'un fichier public : aucune requête ne la voit, son contenu seul."""
        return self.nature in NATURES_ARCHIVE

    def entier(self, nom: str, defaut: int) -> int:
        """Rend un réglage entier."""
        valeur = self.reglages.get(nom, defaut)
        return defaut if valeur is None else int(valeur)

    def flottant(self, nom: str, defaut: float) -> float:
        """Rend un réglage flottant."""
        valeur = self.reglages.get(nom, defaut)
        return defaut if valeur is None else float(valeur)

    def texte(self, nom: str, defaut: str) -> str:
        """Rend un réglage en texte."""
        valeur = self.reglages.get(nom, defaut)
        return defaut if valeur is None else str(valeur)

    def concerne(self, chemin: str, params: Mapping[str, str]) -> bool:
        """Dit si la requête est de celles que la panne vise, sans compter."""
        exiges = {str(v) for nom in ("symbole", "timeframe") if (v := self.reglages.get(nom)) is not None}
        return self.chemin in chemin and exiges <= {str(valeur) for valeur in params.values()}

    def concerne_flux(self, cible: CibleFlux) -> bool:
        """Dit si cette connexion, cette demande ou ce message est de ceux que la panne vise, sans compter."""
        symbole, canal = self.reglages.get("symbole"), self.reglages.get("canal")
        if self.chemin not in cible.chemin or (canal is not None and cible.canal not in ("", canal)):
            return False
        return symbole is None or str(symbole) in cible.symboles

    def epuisee(self) -> bool:
        """Vrai quand la panne a touché toutes ses réponses."""
        return self.fois is not None and self.touchees >= self.fois

    def __repr__(self) -> str:
        """Rend une écriture courte, pour le journal."""
        return f"Panne({self.nature!r}, {self.chemin!r}, touchees={self.touchees})"


@dataclass
class Pannes:
    """Les pannes en vigueur, dans l'ordre où elles sont essayées."""

    liste: list[Panne] = field(default_factory=list)
    graine: int = 1

    def __post_init__(self) -> None:
        """Fixe l'aléa des probabilités."""
        self._alea = random.Random(self.graine)

    def __iter__(self) -> Iterator[Panne]:
        """Parcourt les pannes."""
        return iter(list(self.liste))

    def ajouter(self, panne: Panne) -> Panne:
        """Ajoute une panne, et la rend (ses compteurs se lisent ensuite)."""
        self.liste.append(panne)
        return panne

    def retirer(self, panne: Panne) -> None:
        """Retire une panne."""
        self.liste.remove(panne)

    def vider(self) -> None:
        """Retire toutes les pannes."""
        self.liste.clear()

    def choisir(self, methode: str, chemin: str, params: Mapping[str, str]) -> Panne | None:
        """Rend la première panne qui touche cette requête et la compte, ou None."""
        del methode  # toutes les requêtes du domaine sont des GET ; le paramètre reste pour les protocoles à venir
        visees = (p for p in self if not (p.est_ws or p.est_d_archive) and p.concerne(chemin, params))
        return next((panne for panne in visees if self.compter(panne)), None)

    def compter(self, panne: Panne) -> bool:
        """Compte une occasion de plus pour une panne qui la vise ; rend vrai si elle frappe."""
        if panne.epuisee():
            return False
        panne.vues += 1
        frappe = panne.vues > panne.sauter and self._alea.random() < panne.probabilite
        panne.touchees += frappe
        return frappe

    def a_nature(self, natures: Container[str]) -> bool:
        """Dit si une panne en vigueur est de ces natures : sans elle, un message ne coûte rien de plus."""
        return any(panne.nature in natures for panne in self.liste)

    def choisir_flux(self, natures: Container[str], cible: CibleFlux) -> Panne | None:
        """Rend la première panne WebSocket de ces natures qui frappe, comptée, ou None."""
        visees = (p for p in self if p.nature in natures and p.concerne_flux(cible))
        return next((panne for panne in visees if self.compter(panne)), None)


# --- Pannes de page ---------------------------------------------------------------------------------------------------


def _doublons(panne: Panne, lignes: list[Bougie], _page: ContextePage) -> list[Bougie]:
    """Sert deux fois k lignes, à la suite de l'original."""
    debut = panne.entier("rang", len(lignes) // 2)
    return [*lignes[:debut], *lignes[debut : debut + panne.entier("k", 3)], *lignes[debut:]]


def _desordre(panne: Panne, lignes: list[Bougie], page: ContextePage) -> list[Bougie]:
    """Mélange les lignes."""
    melangees = list(lignes)
    random.Random(f"{page.cle}{panne.touchees}").shuffle(melangees)
    return melangees if melangees != lignes else lignes[::-1]


def _chevauchement(panne: Panne, lignes: list[Bougie], page: ContextePage) -> list[Bougie]:
    """Ajoute k lignes d'avant et k d'après la fenêtre, dans le même ordre."""
    if not lignes:
        return lignes
    marge = panne.entier("k", 5) * page.pas_ms
    debut, fin = min(b.ts for b in lignes), max(b.ts for b in lignes)
    avant, apres = page.lire(debut - marge, debut), page.lire(fin + 1, fin + marge + 1)
    if lignes[0].ts > lignes[-1].ts:
        return [*apres[::-1], *lignes, *avant[::-1]]
    return [*avant, *lignes, *apres]


def _plafond(panne: Panne, lignes: list[Bougie], page: ContextePage) -> list[Bougie]:
    """Sert au plus n lignes, comme si l'exchange plafonnait la limite demandée."""
    n = panne.entier("n", 100)
    return lignes[max(0, len(lignes) - n) :] if page.par_la_fin else lignes[:n]


def _repetee(panne: Panne, lignes: list[Bougie], page: ContextePage) -> list[Bougie]:
    """Rend toujours la première page servie pour cette série."""
    return panne.memoire.setdefault(page.cle, lignes)


def _page_vide(_panne: Panne, _lignes: list[Bougie], _page: ContextePage) -> list[Bougie]:
    """Rend une page vide, bien formée."""
    return []


def _trou(panne: Panne, lignes: list[Bougie], _page: ContextePage) -> list[Bougie]:
    """Retire k lignes au milieu (ou à `rang`)."""
    k = panne.entier("k", 3)
    rang = panne.entier("rang", max(0, (len(lignes) - k) // 2))
    return lignes[:rang] + lignes[rang + k :]


def _retirer_bout(lignes: list[Bougie], k: int, *, anciennes: bool) -> list[Bougie]:
    """Retire k lignes au bout des plus anciennes ou des plus récentes, dans quelque sens que la page soit servie."""
    decroissante = len(lignes) > 1 and lignes[0].ts > lignes[-1].ts
    return lignes[k:] if anciennes != decroissante else lignes[: max(0, len(lignes) - k)]


def _tete(panne: Panne, lignes: list[Bougie], _page: ContextePage) -> list[Bougie]:
    """Retire les k plus anciennes lignes."""
    return _retirer_bout(lignes, panne.entier("k", 3), anciennes=True)


def _queue(panne: Panne, lignes: list[Bougie], _page: ContextePage) -> list[Bougie]:
    """Retire les k plus récentes lignes."""
    return _retirer_bout(lignes, panne.entier("k", 3), anciennes=False)


# Les mensonges : ce que l'exchange rend est bien formé, et n'est pas ce qui était demandé.


def _sourde(panne: Panne, _lignes: list[Bougie], page: ContextePage) -> list[Bougie]:
    """Rend toujours les n dernières, quelle que soit la fenêtre demandée."""
    return page.dernieres(panne.entier("n", 300))


def _portee(panne: Panne, lignes: list[Bougie], page: ContextePage) -> list[Bougie]:
    """Ne sert, d'une fenêtre, que ce qui est parmi les n dernières."""
    servies = {bougie.ts for bougie in page.dernieres(panne.entier("n", 1440))}
    return [bougie for bougie in lignes if bougie.ts in servies]


def _replique(panne: Panne, lignes: list[Bougie], page: ContextePage) -> list[Bougie]:
    """Rend la page d'une réplique en retard de `retard_s` secondes."""
    borne = page.maintenant_ms - panne.entier("retard_s", 10_800) * 1000
    return [bougie for bougie in lignes if bougie.ts < borne]


def _oubli(panne: Panne, lignes: list[Bougie], page: ContextePage) -> list[Bougie]:
    """Ne sert, de tout timeframe, que ce qui s'est ouvert depuis `age_s` secondes au plus."""
    borne = page.maintenant_ms - panne.entier("age_s", 30 * 86_400) * 1000
    return [bougie for bougie in lignes if bougie.ts >= borne]


def _voisine_seule(_panne: Panne, lignes: list[Bougie], _page: ContextePage) -> list[Bougie]:
    """Ne rend de la page que sa première ligne : vide, avec une voisine connue."""
    return lignes[:1]


def _erreur_si_vide(panne: Panne, lignes: list[Bougie], _page: ContextePage) -> list[Bougie]:
    """Répond par une erreur là où il n'y a rien (bitmart, bitbank)."""
    if not lignes:
        raise PageEnErreur(panne.entier("code", 400), {"code": 70000, "msg": panne.texte("corps", "no data")})
    return lignes


def _fenetre_en_jours(panne: Panne, lignes: list[Bougie], page: ContextePage) -> list[Bougie]:
    """Ne couvre que `jours` jours par page : ses premiers, ou ses derniers si le protocole sert par la fin."""
    instants = [bougie.ts for bougie in lignes]
    duree = panne.entier("jours", 90) * JOUR_MS
    if not instants:
        return lignes
    if page.par_la_fin or page.decroissante:
        return [bougie for bougie in lignes if bougie.ts > max(instants) - duree]
    return [bougie for bougie in lignes if bougie.ts < min(instants) + duree]


def _autre_pas(panne: Panne, lignes: list[Bougie], page: ContextePage) -> list[Bougie]:
    """Rend des bougies `facteur` fois plus longues que demandé, ou plus courtes (0.2), depuis le même instant."""
    facteur = panne.flottant("facteur", 60)
    if not lignes:
        return lignes
    debut, pas = min(bougie.ts for bougie in lignes), round(page.pas_ms * facteur)
    if facteur < 1:
        servies = [bougie._replace(ts=debut + rang * pas) for rang, bougie in enumerate(sorted(lignes))]
    else:
        debut = debut // pas * pas
        tranches = (page.lire(ts, ts + pas) for ts in range(debut, debut + len(lignes) * pas, pas))
        servies = [longue for t in tranches if t and (longue := resumer(t[0].ts // pas * pas, t))]
    return servies[::-1] if page.decroissante else servies


TransformationPage: TypeAlias = "Callable[[Panne, list[Bougie], ContextePage], list[Bougie]]"

# Ajouter une panne de page : une fonction au-dessus, une ligne ici.
PANNES_DE_PAGE: dict[str, TransformationPage] = {
    "doublons": _doublons,
    "desordre": _desordre,
    "chevauchement": _chevauchement,
    "plafond": _plafond,
    "repetee": _repetee,
    "page_vide": _page_vide,
    "trou": _trou,
    "tete": _tete,
    "queue": _queue,
    "sourde": _sourde,
    "portee": _portee,
    "replique": _replique,
    "oubli": _oubli,
    "voisine_seule": _voisine_seule,
    "erreur_si_vide": _erreur_si_vide,
    "fenetre_en_jours": _fenetre_en_jours,
    "autre_pas": _autre_pas,
}

# Les valeurs impossibles qu'un entier sait dire ; les autres (nan, null, texte) passent par BougieAbimee.
VALEURS_ENTIERES: dict[str, Callable[[Bougie], Bougie]] = {
    "negatif": lambda b: b._replace(volume=-b.volume - 1, volume_quote=-b.volume_quote - 1),
    "zero": lambda b: b._replace(open=0, high=0, low=0, close=0),
    "high_low": lambda b: b._replace(high=b.low - 1, low=b.high + 1),
    "hors_grille": lambda b: b._replace(ts=b.ts + 17_001),
}
VALEURS_TEXTE: dict[str, str | None] = {"nan": "NaN", "null": None, "texte": "abc"}
NATURES_PAGE = frozenset({*PANNES_DE_PAGE, "valeurs"})


def abimer(panne: Panne, lignes: list[Bougie]) -> list[Ligne]:
    """Rend la page avec une valeur impossible à la ligne `rang` (le milieu sinon)."""
    if not lignes:
        return []
    cas = panne.texte("cas", "nan")
    rang = panne.entier("rang", len(lignes) // 2) % len(lignes)
    if cas in VALEURS_ENTIERES:
        touchee: Ligne = VALEURS_ENTIERES[cas](lignes[rang])
    elif cas in VALEURS_TEXTE:
        touchee = BougieAbimee(lignes[rang], panne.texte("champ", "close"), VALEURS_TEXTE[cas])
    else:
        message = f"Cas de panne « valeurs » inconnu : « {cas} »."
        raise ValueError(message)
    return [*lignes[:rang], touchee, *lignes[rang + 1 :]]


def appliquer_page(panne: Panne | None, lignes: list[Bougie], page: ContextePage) -> Iterable[Ligne]:
    """Rend les lignes telles que la panne les montre, dans l'ordre où le protocole les sert."""
    if panne is None or panne.est_http:
        return lignes
    if panne.nature == "valeurs":
        return abimer(panne, lignes)
    return PANNES_DE_PAGE[panne.nature](panne, lignes, page)


# --- Pannes WebSocket -------------------------------------------------------------------------------------------------
# Nature                réglages (défaut)                          effet
# ws_refus              code (503 ; 0 : RST), retry_after          poignée de main refusée ; `fois` : connexions
# ws_reset              apres_s, apres_messages                    RST
# ws_fermeture          code (1000 ; 1006 : sans trame), apres_…   fermeture propre
# ws_silence            apres_s, apres_messages                    plus rien n'est émis, ni pong, ni adieu
# ws_silence_symbole    symbole, apres_…                           plus rien de ce symbole, jusqu'au retrait de la panne
# ws_lent               delai_s (0.05) par trame, octets_s         lien lent, jusqu'au retrait de la panne
# ws_rafale             symbole, nombre (50000), apres_…           l'horloge saute d'autant de trades
# ws_abonnement_refuse  symbole                                    erreur du protocole ; `fois` : demandes
# ws_groupe_refuse      n (1)                                      refuse plus de n marchés par demande
# ws_trame_abimee       canal, symbole, octets (la moitié)         JSON coupé ; `fois`, `sauter` : messages
# ws_double             canal, symbole, k (1)                      événement émis k fois de trop
# ws_retard             canal, symbole, delai_ms (5000)            retenu, à l'horloge de l'exchange
# ws_desordre           canal, symbole, k (1)                      k événements passent devant
# ws_perdu              canal, symbole                             jamais émis
# ws_somme, ws_croise   symbole                                    carnet à la somme (séquence) fausse, carnet croisé
# Un « événement » est un trade, une bougie, un écart de carnet ou un ticker : `fois` et `sauter` les comptent.

# Ajouter une panne de connexion : une ligne ici, et sa méthode dans le registre de session.py.
NATURES_CONNEXION = frozenset(
    {"ws_reset", "ws_fermeture", "ws_silence", "ws_silence_symbole", "ws_lent", "ws_rafale"},
)
"""Frappent une connexion ouverte, aussitôt, après `apres_s` secondes réelles ou après `apres_messages` messages."""
NATURES_DEMANDE = frozenset({"ws_abonnement_refuse", "ws_groupe_refuse"})
NATURES_TRAME = frozenset({"ws_trame_abimee"})
NATURES_POIGNEE = frozenset({"ws_refus"})


class CibleFlux(NamedTuple):
    """Ce qu'une panne WebSocket peut viser : un chemin de connexion, un canal, des symboles (unifiés et natifs)."""

    chemin: str
    canal: str = ""
    symboles: frozenset[str] = frozenset()


class Evenement(NamedTuple):
    """Ce qui va être émis (un trade, une bougie, un écart de carnet…), à quel instant, et comment l'abîmer."""

    instant_ms: int
    donnee: object
    faux: bool = False
    croise: bool = False
    perdu: bool = False  # rédigé, puis jeté : il garde son numéro, qui manquera au client


@dataclass
class Derangement:
    """Les événements d'un abonnement retenus par une panne : jusqu'à un instant, ou jusqu'à k événements plus loin."""

    retenus: list[tuple[float, Evenement]] = field(default_factory=list)
    depasses: list[tuple[int, Evenement]] = field(default_factory=list)

    def prochain_ms(self) -> float:
        """Rend l'instant où un événement retenu doit partir."""
        return min((du for du, _ in self.retenus), default=inf)

    def liberer(self, jusqua_ms: int) -> list[Evenement]:
        """Rend les événements retenus dont le délai est passé."""
        partis = [evenement for du, evenement in self.retenus if du <= jusqua_ms]
        self.retenus = [(du, evenement) for du, evenement in self.retenus if du > jusqua_ms]
        return partis

    def depasser(self) -> list[Evenement]:
        """Compte un événement passé devant ceux qui attendent d'être dépassés ; rend ceux qui l'ont été assez."""
        self.depasses = [(reste - 1, evenement) for reste, evenement in self.depasses]
        partis = [evenement for reste, evenement in self.depasses if reste <= 0]
        self.depasses = [(reste, evenement) for reste, evenement in self.depasses if reste > 0]
        return partis


def _ws_double(panne: Panne, evenement: Evenement, _attente: Derangement) -> list[Evenement]:
    """Émet l'événement k fois de trop."""
    return [evenement] * (1 + panne.entier("k", 1))


def _ws_perdu(_panne: Panne, evenement: Evenement, _attente: Derangement) -> list[Evenement]:
    """N'émet jamais l'événement."""
    return [evenement._replace(perdu=True)]


def _ws_retard(panne: Panne, evenement: Evenement, attente: Derangement) -> list[Evenement]:
    """Retient l'événement pendant delai_ms, à l'horloge de l'exchange."""
    attente.retenus.append((evenement.instant_ms + panne.flottant("delai_ms", 5000.0), evenement))
    return []


def _ws_desordre(panne: Panne, evenement: Evenement, attente: Derangement) -> list[Evenement]:
    """Fait passer k événements devant celui-ci."""
    attente.depasses.append((panne.entier("k", 1), evenement))
    return []


def _ws_somme(_panne: Panne, evenement: Evenement, _attente: Derangement) -> list[Evenement]:
    """Fausse la somme ou la séquence du carnet."""
    return [evenement._replace(faux=True)]


def _ws_croise(_panne: Panne, evenement: Evenement, _attente: Derangement) -> list[Evenement]:
    """Croise le carnet."""
    return [evenement._replace(croise=True)]


TransformationFlux: TypeAlias = "Callable[[Panne, Evenement, Derangement], list[Evenement]]"

# Ajouter une panne de message : une fonction au-dessus, une ligne ici.
DERANGEMENTS: dict[str, TransformationFlux] = {
    "ws_double": _ws_double,
    "ws_perdu": _ws_perdu,
    "ws_retard": _ws_retard,
    "ws_desordre": _ws_desordre,
    "ws_somme": _ws_somme,
    "ws_croise": _ws_croise,
}
NATURES_DERANGEMENT = frozenset(DERANGEMENTS)
CARNET_SEUL = frozenset({"ws_somme", "ws_croise"})
NATURES_WS = NATURES_CONNEXION | NATURES_DEMANDE | NATURES_TRAME | NATURES_POIGNEE | NATURES_DERANGEMENT
# Les défauts des fichiers publics, qu'archives.py applique : ils se voient dans un fichier, non dans une requête.
NATURES_ARCHIVE = frozenset(
    {
        "arch_absent", "arch_sans_somme", "arch_somme", "arch_zip", "arch_republie", "arch_autre_mois", "arch_trou",
        "arch_court", "arch_doublons", "arch_desordre", "arch_faux", "arch_zero", "arch_hors_grille", "arch_entete",
        "arch_sans_entete", "arch_ms", "arch_us", "arch_decale",
    }
)  # fmt: skip
NATURES = NATURES_HTTP | NATURES_PAGE | NATURES_WS | NATURES_ARCHIVE


def deranger(
    pannes: Pannes, cible: CibleFlux, attente: Derangement, evenements: list[Evenement], jusqua_ms: int
) -> list[Evenement]:
    """Rend les événements tels que les pannes de message les laissent partir, et ceux dont l'attente est finie."""
    natures = NATURES_DERANGEMENT if cible.canal == "carnet" else NATURES_DERANGEMENT - CARNET_SEUL
    partis: list[Evenement] = []
    for evenement in evenements:
        panne = pannes.choisir_flux(natures, cible)
        rendus = [evenement] if panne is None else DERANGEMENTS[panne.nature](panne, evenement, attente)
        partis.extend(rendus)
        if rendus and not rendus[0].perdu:
            partis.extend(attente.depasser())
    return [*partis, *attente.liberer(jusqua_ms)]
