"""Les histoires qui ne sont pas des bougies : trades, funding, intérêt ouvert ; et les bougies faites des trades.

Chacune est une source du module (§ 8, `Source`) : `preparer` fixe l'intervalle et rend ce qu'il reste à lire, `lots`
rend des lots, que les mêmes écrivains rangent. Deux étages :

- une voie sait demander une page (`situer` : celle d'où partir ; `suite` : celle qui la prolonge), et rien d'autre ;
- un parcours (`parcourir`) en tire des lignes et ce qu'elles prouvent, et ne sait rien de l'exchange.

D'autres fichiers (des archives) se branchent à l'un ou à l'autre : une voie de plus, ou une source qui rend elle-même
des lots et laisse à `Histoire.lots` les intervalles qu'elle n'a pas.

Rien n'est prouvé par un silence : chaque page redit la dernière ligne de la précédente, et c'est ce recouvrement, dans
une même réponse, qui dit que rien ne manque entre les deux. Le bord gauche est prouvé par un trade d'avant lui, le
droit par un trade d'après, demandés mais pas écrits.
"""

from __future__ import annotations

import asyncio
import functools
import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from module_ccxt_fr_v2 import (
    API,
    AVANT_COTATION,
    ECHEC,
    FUNDING,
    HEURE_MS,
    HORS_FENETRE_API,
    IDS_REUNIS,
    INSTANT_MAX_MS,
    JOUR_MS,
    MINUTE_MS,
    OPEN_INTEREST,
    PAGE_PLEINE,
    SANS_TRANSACTION,
    SECONDE_MS,
    TRADES,
    UNITE_INCONNUE,
    Agregateur,
    BougieTrades,
    CleSerie,
    Connexion,
    ErreurDefinitive,
    ErreurDemande,
    ErreurTemporaire,
    Fiche,
    Historique,
    Intervalle,
    Lot,
    Plage,
    Serie,
    Source,
    Tache,
    Timeframe,
    Trade,
    Trou,
    TypeDonnee,
    croiser,
    curseur_en_ns,
    en_colonnes,
    en_iso,
    genre_de,
    habiller,
    instants_de,
    journal,
    manquants,
    oter,
    reporter_les_vides,
    reste_a_lire,
    tabler_trades,
    trade_de,
    unir,
)

if TYPE_CHECKING:
    import pyarrow as pa
else:
    from module_ccxt_fr_v2 import pa

# --- Trades : ce que sert chaque exchange ---

RELECTURES = 3  # d'une page qui se contredit, avant de la tenir pour ce qu'elle est
SONDES_MAX = 200  # pages demandées pour trouver d'où partir : une dichotomie en veut trente
AVANCE_MS = MINUTE_MS  # un trade daté de plus loin que cela après l'heure de l'exchange n'est pas cru


class Evenement(Protocol):
    """Une ligne d'histoire : un trade, un relevé. `id` la distingue de toute autre de sa série."""

    @property
    def timestamp(self) -> int:
        """Son instant."""

    @property
    def id(self) -> str | None:
        """Son identifiant."""


class Impossible(NamedTuple):
    """Une ligne qui ne peut être vraie, mais dont l'instant se lit."""

    timestamp: int


Lecture = Callable[[Mapping[str, Any]], "Evenement | Impossible | None"]
"""Une ligne de ccxt -> l'événement ; None si l'on ne sait même pas quand il eut lieu."""


class Page(NamedTuple):
    """Des lignes qui se suivent chez l'exchange, par instant puis par id ; `curseur` : d'où il reprend, s'il le dit."""

    lignes: list[Any]
    impossibles: Sequence[int] = ()
    curseur: str = ""

    @property
    def debut(self) -> int:
        """L'instant de la première."""
        return int(self.lignes[0].timestamp)

    @property
    def fin(self) -> int:
        """L'instant de la dernière."""
        return int(self.lignes[-1].timestamp)


class Depart(NamedTuple):
    """D'où partir ; `premiere` : l'exchange ne sert rien d'avant cette page."""

    page: Page
    premiere: bool = False


LireBruts = Callable[[int | None, Mapping[str, Any]], Awaitable[list[dict[str, Any]]]]
"""(depuis, paramètres) -> une page de trades de ccxt."""


def _numero(ligne: Evenement) -> int:
    """L'id d'un trade, en entier ; loin de tout s'il n'en est pas un."""
    return int(ligne.id) if ligne.id and ligne.id.isdecimal() else INSTANT_MAX_MS


def _rang(ligne: Evenement) -> tuple[int, int]:
    """L'ordre de l'exchange : l'instant, puis l'id entier ; sans lui, l'ordre d'arrivée."""
    return ligne.timestamp, _numero(ligne)


class Voie(ABC):
    """Comment un exchange pagine ses trades. `suite` redit toujours le dernier trade de la page donnée."""

    ids_entiers = False  # vrai là où ils sont demandés comme une séquence
    compte_par_id = False  # vrai là où ils disent combien de lignes séparent deux d'entre elles

    def __init__(self, lire: LireBruts, heure: Callable[[], int], lecture: Lecture) -> None:
        self._bruts, self._heure, self._lecture = lire, heure, lecture

    async def recents(self) -> Page:
        """Les dernières lignes servies."""
        return await self.lire(None, {})

    async def obeit(self, page: Page) -> bool:
        """Vrai si une autre demande a une autre réponse : sans quoi rien ne dit que cette page soit la première."""
        suite = await self.suite(page)
        return bool(suite.lignes) and suite.lignes[0].id != page.lignes[0].id

    def dernier(self, page: Page) -> Any:
        """Celui que `suite` redira."""
        return page.lignes[-1]

    @abstractmethod
    async def situer(self, instant: int) -> Depart:
        """La page d'où lire les trades à partir de `instant` : elle en tient un d'avant, ou c'est la première."""

    @abstractmethod
    async def suite(self, page: Page) -> Page:
        """La page qui redit le dernier trade de celle-ci, puis donne les suivants."""

    async def redemander(self, ligne: Evenement) -> Page:
        """La page qui commence à ce trade."""
        return await self.suite(Page([ligne]))

    async def lire(self, depuis: int | None, params: Mapping[str, Any]) -> Page:
        """Une page ; redemandée si elle tient un trade qui ne peut être vrai, ou sans id."""
        page = Page([])
        for _ in range(RELECTURES):
            page, illisibles = self._en_page(await self._bruts(depuis, params))
            if not page.impossibles and not illisibles:
                return page
        if illisibles:
            raise ErreurTemporaire(f"{illisibles} lignes sans instant ou sans id", "Réessayez plus tard.")
        return page

    def _en_page(self, bruts: Iterable[Mapping[str, Any]]) -> tuple[Page, int]:
        lignes: list[Evenement] = []
        impossibles: list[int] = []
        illisibles, curseur, limite = 0, "", self._heure() + AVANCE_MS
        for brut in bruts:
            ligne = self._lecture(brut)
            if isinstance(ligne, Impossible):
                impossibles.append(ligne.timestamp)
            elif ligne is None or not ligne.id or (self.ids_entiers and not ligne.id.isdecimal()):
                illisibles += 1
            elif ligne.timestamp <= limite:  # du futur, elle ne dit rien de l'instant où elle eut lieu
                lignes.append(ligne)
            curseur = self.curseur_de(brut) or curseur
        lignes.sort(key=_rang)
        return Page(lignes, impossibles, curseur), illisibles

    def curseur_de(self, brut: Mapping[str, Any]) -> str:  # noqa: ARG002  la plupart n'en donnent pas
        """Le curseur que l'exchange a mis dans ce trade ; vide s'il n'y en a pas."""
        return ""


class VoieParId(Voie):
    """Là où les ids sont une séquence qu'on peut demander : binance, okx, coinbaseexchange."""

    ids_entiers = compte_par_id = True

    def __init__(self, *communs: Any, demandes: DemandesParId) -> None:
        super().__init__(*communs)
        self._demandes = demandes

    async def recents(self) -> Page:
        return await self.lire(None, self._demandes.recents)

    def dernier(self, page: Page) -> Any:
        return max(page.lignes, key=_numero)

    async def suite(self, page: Page) -> Page:
        return await self._depuis(_numero(self.dernier(page)))

    async def _depuis(self, numero: int) -> Page:
        """Les trades à partir de ce numéro ; vide s'il n'est pas servi, ou si la réponse n'est pas à la demande."""
        numero = max(0, numero)
        try:
            page = await self.lire(None, self._demandes.depuis(numero))
        except ErreurDefinitive:
            return Page([])
        numeros = [_numero(trade) for trade in page.lignes]
        if not self._demandes.recule:
            return page if min(numeros, default=numero) >= numero else Page([])
        if max(numeros, default=numero) >= numero + self._demandes.page:
            return Page([])
        return page._replace(lignes=[trade for trade in page.lignes if _numero(trade) >= numero])

    async def situer(self, instant: int) -> Depart:
        page = Page([])
        if self._demandes.pres_de is not None:
            page = await self.lire(*self._demandes.pres_de(instant))
        if not page.lignes:
            page = await self.recents()
        if not page.lignes or page.debut < instant:
            return Depart(page)
        avant = await self._depuis(_numero(page.lignes[0]) - 1)
        if avant.lignes and avant.debut < instant:
            return Depart(avant)
        return await self._chercher(instant, _numero(page.lignes[0]), page.debut)

    async def _chercher(self, instant: int, haut: int, instant_haut: int) -> Depart:
        """Dichotomie, entre un id d'avant l'instant (ou que l'exchange ne sert plus) et un d'après."""
        premiere = await self._depuis(0)
        if premiere.lignes and (premiere.debut >= instant or premiere.fin >= instant):
            return Depart(premiere, premiere=premiere.debut >= instant)
        bas, instant_bas = (_numero(premiere.lignes[-1]), premiere.fin) if premiere.lignes else (0, None)
        for rang in range(SONDES_MAX):
            if haut - bas <= 1:
                break
            milieu = (bas + haut) // 2
            if instant_bas is not None and rang % 2 == 0 and instant_haut > instant_bas:
                part = Decimal(instant - instant_bas) / Decimal(instant_haut - instant_bas)
                milieu = bas + int(part * (haut - bas)) - self._demandes.page // 2
            page = await self._depuis(min(max(milieu, bas + 1), haut - 1))
            if not page.lignes:
                bas = min(max(milieu, bas + 1), haut - 1)
            elif page.debut >= instant:
                haut, instant_haut = min(max(milieu, bas + 1), haut - 1), page.debut
            elif page.fin >= instant:
                return Depart(page)
            else:
                bas, instant_bas = _numero(page.lignes[-1]), page.fin
        return Depart(await self._depuis(bas if instant_bas is not None else haut), premiere=instant_bas is None)


class VoieParInstant(Voie):
    """Là où `since` rend les trades à partir d'un instant, du plus ancien au plus récent : kraken, bitfinex."""

    async def depuis(self, instant: int) -> Page:
        """La page qui commence à cet instant, inclus."""
        return await self.lire(instant, {})

    async def suite(self, page: Page) -> Page:
        return await self.depuis(page.fin)

    async def situer(self, instant: int) -> Depart:
        recul, vide, debut = MINUTE_MS, instant, instant
        while True:  # le recul grandit jusqu'à l'époque
            debut = max(0, instant - recul)
            page = await self.depuis(debut)
            if page.lignes and page.debut < instant:
                break
            if not debut:
                return Depart(page, premiere=bool(page.lignes))
            vide, recul = debut, recul * 8
        while page.fin < vide and vide - debut > SECONDE_MS:  # trop loin : on se rapproche
            milieu = (debut + vide) // 2
            essai = await self.depuis(milieu)
            if not essai.lignes or essai.debut >= instant:
                vide = milieu
            else:
                debut, page = milieu, essai
        return Depart(page)


class VoieKraken(VoieParInstant):
    """Un curseur en nanosecondes, gardé en texte : un flottant n'en tient pas les dernières.

    `since` y est exclu, et mille trades peuvent tenir dans une seconde, ou plusieurs dans une nanoseconde : la page
    suivante est demandée une nanoseconde plus tôt, et redit ceux de la dernière.
    """

    compte_par_id = True

    async def depuis(self, instant: int) -> Page:
        return await self.lire(None, {"since": str(max(0, instant * 1_000_000 - 1))})

    async def suite(self, page: Page) -> Page:
        if not page.curseur:
            return await self.depuis(page.fin)
        return await self.lire(None, {"since": str(int(page.curseur) - 1)})

    def curseur_de(self, brut: Mapping[str, Any]) -> str:
        return curseur_en_ns(brut.get("info"))


ELARGIR, RETRECIR = 4, 2
Bornes = Callable[[int, int], tuple[int | None, Mapping[str, Any]]]
"""[début, fin], bords compris -> ce qu'en reçoit ccxt : depuis, paramètres."""
FENETRE_MAX_MS = 100 * 365 * JOUR_MS


@dataclass(frozen=True)
class DemandesParFenetre:
    """Ce qu'une voie par fenêtre demande."""

    bornes: Bornes
    largeur_ms: int  # d'une première fenêtre ; elle s'adapte à ce que la page en rend
    maximum_ms: int = FENETRE_MAX_MS  # ce qu'une demande peut couvrir


class VoieParFenetre(Voie):
    """Là où une page est celle d'une fenêtre, par son début ou par sa fin : funding, intérêt ouvert.

    Qui rend les dernières de la fenêtre en tait le début : elle est rétrécie jusqu'à ce que la réponse redise la ligne
    d'où l'on part ; qui n'en rend pas d'autre : élargie.
    """

    def __init__(self, *communs: Any, demandes: DemandesParFenetre) -> None:
        super().__init__(*communs)
        self._demandes, self._largeur = demandes, demandes.largeur_ms
        self._refus: ErreurDefinitive | None = None

    async def _fenetre(self, debut: int, fin: int) -> Page:
        """Ce que l'exchange rend de cette fenêtre ; rien s'il la refuse : trop ancienne."""
        try:
            return await self.lire(*self._demandes.bornes(max(0, debut), fin))
        except ErreurDefinitive as refus:
            self._refus = refus
            return Page([])

    async def obeit(self, page: Page) -> bool:
        autre = await self._fenetre(page.fin, page.fin + self._largeur)
        return not autre.lignes or autre.lignes[0].id != page.lignes[0].id

    async def suite(self, page: Page) -> Page:
        dernier = self.dernier(page)
        trouvee = Page([])
        for _ in range(SONDES_MAX):
            fin = dernier.timestamp + self._largeur
            lue = await self._fenetre(dernier.timestamp, fin)
            redite = any(ligne.id == dernier.id for ligne in lue.lignes)
            if not redite:
                if self._largeur <= SECONDE_MS:
                    break
                self._largeur //= RETRECIR
                continue
            trouvee = lue._replace(lignes=[ligne for ligne in lue.lignes if ligne.timestamp >= dernier.timestamp])
            if lue.fin > dernier.timestamp or fin > self._heure() or self._largeur >= self._demandes.maximum_ms:
                break
            self._elargir()
        return trouvee

    def _elargir(self) -> None:
        self._largeur = min(self._largeur * ELARGIR, self._demandes.maximum_ms)

    async def situer(self, instant: int) -> Depart:
        recul = self._largeur
        while True:
            page = await self._fenetre(instant - recul, instant)
            if page.lignes and page.debut < instant:
                return Depart(page)
            if recul >= min(instant, self._demandes.maximum_ms):
                break
            recul = min(recul * ELARGIR, self._demandes.maximum_ms)
        recul = self._largeur
        while self._refus is not None and recul > MINUTE_MS:  # refusée pour son début : plus étroite, peut-être servie
            recul //= RETRECIR
            page = await self._fenetre(instant - recul, instant)
            if page.lignes and page.debut < instant:
                return Depart(page)
        return await self._premiere(instant)

    async def _premiere(self, instant: int) -> Depart:
        """La première page servie à partir d'un instant d'avant lequel rien ne l'est."""
        vide, servi = instant, self._heure()
        page = await self._fenetre(servi - self._demandes.largeur_ms, servi)
        if not page.lignes:
            page = await self.recents()
        if not page.lignes:
            if self._refus is not None:
                raise self._refus
            return Depart(page)
        des_lors = await self._fenetre(instant, min(instant + self._demandes.maximum_ms, self._heure()))
        servi = instant if des_lors.lignes else min(page.debut, servi)
        while servi - vide > MINUTE_MS:  # d'où l'exchange commence-t-il à répondre ?
            milieu = (vide + servi) // 2
            essai = await self._fenetre(milieu, min(milieu + self._demandes.maximum_ms, self._heure()))
            if essai.lignes:
                page, servi = essai, milieu
            else:
                vide = milieu
        largeur = self._demandes.largeur_ms
        for _ in range(SONDES_MAX):  # la première fenêtre qui n'est pas vide, puis le début de ce qu'elle tient
            essai = await self._fenetre(servi, servi + largeur)
            if essai.lignes or largeur >= self._demandes.maximum_ms:
                break
            largeur = min(largeur * ELARGIR, self._demandes.maximum_ms)
        page = essai if essai.lignes else page
        for _ in range(SONDES_MAX):
            plus_tot = await self._fenetre(servi, page.debut)
            if not plus_tot.lignes or plus_tot.debut >= page.debut:
                break
            page = plus_tot
        return Depart(page, premiere=page.debut >= instant)


MARGE_D_ID = 8  # d'une page, la part qui redit la précédente


class VoieAvantUnId(Voie):
    """Là où l'on demande les lignes d'avant un id, et que deux voisines d'un marché sont loin l'une de l'autre.

    Les ids de bitflyer sont communs à tous ses marchés : l'écart à la borne grandit, ou se resserre, jusqu'à ce que la
    page redise la ligne d'où l'on part et en donne d'autres.
    """

    ids_entiers = True

    def __init__(self, *communs: Any, nom: str) -> None:
        super().__init__(*communs)
        self._nom, self._ecart = nom, 1

    async def _avant(self, numero: int) -> Page:
        """Les dernières lignes dont l'id est plus petit ; aucune s'il n'en est plus servi."""
        try:
            return await self.lire(None, {self._nom: str(numero)})
        except ErreurDefinitive:
            return Page([])

    async def suite(self, page: Page) -> Page:
        dernier = self.dernier(page)
        depart, trouvee = _numero(dernier), Page([])
        if etendue := depart - min(map(_numero, page.lignes)):
            self._ecart = max(1, etendue - etendue // MARGE_D_ID)
        for _ in range(SONDES_MAX):
            lue = await self._avant(depart + self._ecart)
            if all(ligne.id != dernier.id for ligne in lue.lignes):
                if self._ecart <= 1:
                    break
                self._ecart //= RETRECIR
                continue
            trouvee = lue._replace(lignes=[ligne for ligne in lue.lignes if _numero(ligne) >= depart])
            if len(trouvee.lignes) > 1 or self._ecart > INSTANT_MAX_MS:  # aucun id n'est si grand
                break
            self._ecart *= ELARGIR
        return trouvee

    def dernier(self, page: Page) -> Any:
        return max(page.lignes, key=_numero)

    async def situer(self, instant: int) -> Depart:
        page = await self.recents()
        if not page.lignes or page.debut < instant:
            return Depart(page)
        avant: Page | None = None
        bas, haut = 0, _numero(page.lignes[0])  # d'avant `bas`, rien n'est servi, ou tout précède l'instant
        borne = haut
        while bas < haut:
            essai = await self._avant(borne)
            if essai.lignes and essai.debut >= instant:
                page, haut = essai, _numero(essai.lignes[0])
            elif essai.lignes and essai.fin >= instant:
                return Depart(essai)
            else:
                avant, bas = essai if essai.lignes else avant, borne
            borne = (bas + haut + 1) // 2
        return Depart(page, premiere=True) if avant is None else Depart(avant)


TAILLE = "taille"  # d'une page numérotée : notre nom, que la demande remplace par la limite de ccxt


class VoieParNumero(Voie):
    """Là où les pages ont un numéro, la première étant la plus récente : bitget, mexc, htx pour ses inverses.

    Deux pages voisines ne se recouvrent pas : une troisième, plus courte d'une ligne, enjambe leur bord et le prouve.
    """

    def __init__(self, *communs: Any, numero: str, taille: int) -> None:
        super().__init__(*communs)
        self._nom, self._taille = numero, taille
        self._finie = False  # la dernière page lue était la dernière de toutes

    async def _page(self, numero: int, taille: int) -> Page:
        return await self.lire(None, {self._nom: numero, TAILLE: taille})

    async def recents(self) -> Page:
        return await self._page(1, self._taille)

    async def obeit(self, page: Page) -> bool:  # noqa: ARG002  la liste a une fin, et l'on y est
        return self._finie

    async def suite(self, page: Page) -> Page:
        dernier = self.dernier(page)
        lue = await self._depuis(dernier.timestamp)
        return lue._replace(lignes=[ligne for ligne in lue.lignes if ligne.timestamp >= dernier.timestamp])

    async def situer(self, instant: int) -> Depart:
        page = await self._depuis(instant - 1)
        return Depart(page, premiere=bool(page.lignes) and page.debut >= instant)

    async def _depuis(self, instant: int) -> Page:
        """Les lignes depuis une qui n'est pas d'après l'instant, ou depuis la première ; d'un seul tenant."""
        lignes: list[Any] = []
        self._finie = False
        for numero in range(1, SONDES_MAX):
            page = await self._page(numero, self._taille)
            lues = {ligne.id for ligne in lignes}
            neuves = [ligne for ligne in page.lignes if ligne.id not in lues]
            if not neuves:
                self._finie = numero > 1
                break
            entre = await self._entre(numero, neuves[-1], lignes[0]) if lignes else []
            if entre is None:
                break
            lignes = [*neuves, *entre, *lignes]
            if lignes[0].timestamp <= instant:
                break
            if len(page.lignes) < self._taille:
                self._finie = True
                break
        return Page(lignes)

    async def _entre(self, numero: int, avant: Evenement, apres: Evenement) -> list[Any] | None:
        """Ce qui sépare la dernière ligne de cette page de la première de la précédente ; None si rien ne le dit."""
        bord, taille = self._taille * (numero - 1), self._taille - 1
        for pont in {-(-bord // taille), bord // taille + 1}:
            lignes = (await self._page(pont, taille)).lignes
            if {avant.id, apres.id} <= {ligne.id for ligne in lignes}:
                return [ligne for ligne in lignes if avant.timestamp < ligne.timestamp < apres.timestamp]
        return None


def _lire_ordinaire(brut: Mapping[str, Any]) -> Trade | Impossible | None:
    """Le trade que dit ccxt, sous l'id que lui donne l'exchange : d'un trade réuni de binance, celui de la réunion."""
    trade = trade_de({**brut, "info": None}, None)
    if trade is None and isinstance(brut.get("timestamp"), int):
        return Impossible(brut["timestamp"])
    return trade


def _lire_kraken(brut: Mapping[str, Any]) -> Trade | Impossible | None:
    """Celui de kraken ; d'une ligne sans id, ccxt prend pour tel le curseur qu'il a mis au bout de la page."""
    info = brut.get("info")
    sans_id = not isinstance(info, list) or len(info) < 7 or not isinstance(info[6], int)
    return None if sans_id else _lire_ordinaire(brut)


@dataclass(frozen=True)
class DemandesParId:
    """Ce qu'une voie par id demande ; `pres_de` : une page autour d'un instant, là où l'exchange sait le chercher.

    `recule` : l'exchange ne rend que les trades d'avant un id. `depuis` lui demande alors ceux d'avant `numero + page`,
    et les ids se suivent assez pour que la page tienne `numero`.
    """

    page: int
    depuis: Callable[[int], Mapping[str, Any]]
    recents: Mapping[str, Any] = field(default_factory=dict)
    pres_de: Callable[[int], tuple[int | None, Mapping[str, Any]]] | None = None
    recule: bool = False


@dataclass(frozen=True)
class Service:
    """Comment un exchange sert l'histoire de ses trades."""

    voie: Callable[..., Voie]
    portee: str  # jusqu'où il remonte, pour les messages
    page: int = 1000  # trades par page ; 0 : rien ne la dit, et un refus apprend à en demander moins
    genres: frozenset[str] = frozenset({"spot", "linear", "inverse"})
    depuis_cotation: frozenset[str] = frozenset()  # genres dont le premier trade servi est le premier de tous
    suivis: frozenset[str] = frozenset()  # genres dont les ids se suivent de un en un : un saut est une perte
    agreges: bool = False  # ses trades sont réunis : leurs ids ne sont pas ceux du flux
    lecture: Lecture = _lire_ordinaire


def par_id(demandes: DemandesParId) -> Callable[..., Voie]:
    """La fabrique d'une voie par id."""
    return lambda *communs: VoieParId(*communs, demandes=demandes)


def _de_a(debut: int, fin: int) -> tuple[int, Mapping[str, Any]]:
    return debut, {"until": fin}


def en_secondes(debut: int, fin: int) -> tuple[None, Mapping[str, Any]]:
    """Les bornes de gate, que sa classe n'envoie pas au comptant."""
    return None, {"from": debut // 1000, "to": -(-fin // 1000)}


def par_fenetre(largeur_ms: int, maximum_ms: int = FENETRE_MAX_MS, bornes: Bornes = _de_a) -> Callable[..., Voie]:
    """La fabrique d'une voie par fenêtre ; d'office là où ccxt envoie le début et la fin."""
    demandes = DemandesParFenetre(bornes, largeur_ms, maximum_ms)
    return lambda *communs: VoieParFenetre(*communs, demandes=demandes)


_OKX = {"method": "publicGetMarketHistoryTrades"}
_BINANCE = Service(
    par_id(DemandesParId(1000, lambda numero: {"fromId": numero}, pres_de=lambda instant: (instant, {}))),
    "la cotation au comptant ; d'un contrat, ce que l'exchange en garde, un an en COIN-M",
    depuis_cotation=frozenset({"spot"}),
    suivis=frozenset({"spot"}),
    agreges=True,
)

# Ajouter un exchange : une ligne ici, d'après ARCHIVES § 4.1, et rien ailleurs.
SERVICES: Mapping[str, Service] = {
    # `since` n'y ouvre qu'une heure : seul l'id avance. Les contrats sautent des ids (liquidations), sans perte.
    **dict.fromkeys(("binance", "binanceusdm", "binancecoinm"), _BINANCE),
    "kraken": Service(
        VoieKraken, "le premier trade", genres=frozenset({"spot"}), depuis_cotation=frozenset({"spot"}),
        lecture=_lire_kraken,
    ),
    # Seul `history-trades` remonte, à reculons : les cent d'avant un id, ou d'avant un instant.
    "okx": Service(
        par_id(
            DemandesParId(
                100,
                lambda numero: {**_OKX, "type": "1", "after": str(numero + 100)},
                recents=_OKX,
                pres_de=lambda instant: (None, {**_OKX, "type": "2", "after": str(instant + 1)}),
                recule=True,
            )
        ),
        "trois mois",
        page=100,
        suivis=frozenset({"spot", "linear", "inverse"}),
    ),
    # `since` n'y est pas envoyé, et seul un id situe : la recherche d'un instant est une dichotomie.
    "coinbaseexchange": Service(
        par_id(DemandesParId(1000, lambda numero: {"after": str(numero + 1000)}, recule=True)),
        "2015",
        genres=frozenset({"spot"}),
        depuis_cotation=frozenset({"spot"}),
        suivis=frozenset({"spot"}),
    ),
    # Dix mille par page ; les ids n'y sont pas propres à un marché.
    "bitfinex": Service(VoieParInstant, "2013", page=10_000, depuis_cotation=frozenset({"spot"})),
    "gemini": Service(VoieParInstant, "ce que l'exchange en garde", page=500, genres=frozenset({"spot"})),
    # Une fenêtre, dont ils rendent la fin.
    "bitget": Service(par_fenetre(HEURE_MS, 7 * JOUR_MS), "quatre-vingt-dix jours"),
    "gate": Service(
        par_fenetre(HEURE_MS, bornes=en_secondes), "trente jours au comptant ; d'un contrat, ce qu'il en garde"
    ),
    "hitbtc": Service(
        par_fenetre(HEURE_MS, bornes=lambda debut, fin: (debut, {"till": fin})), "ce que l'exchange en garde"
    ),
    "coinbase": Service(par_fenetre(HEURE_MS), "ce que l'exchange en garde", genres=frozenset({"spot"})),
    # Ses ids sont communs à tous ses marchés.
    "bitflyer": Service(
        lambda *communs: VoieAvantUnId(*communs, nom="before"), "ce que l'exchange en garde", page=500
    ),
    "cryptocom": Service(par_fenetre(HEURE_MS, JOUR_MS), "ce que l'exchange en garde", page=150),
    "bitvavo": Service(par_fenetre(HEURE_MS, JOUR_MS), "ce que l'exchange en garde", genres=frozenset({"spot"})),
    "deribit": Service(par_fenetre(HEURE_MS), "un jour environ"),
    # Des ids tirés au hasard : dans une milliseconde, l'ordre est celui de la réponse.
    "krakenfutures": Service(
        VoieParInstant, "ce que l'exchange en garde", page=0, genres=frozenset({"linear", "inverse"})
    ),
}
# Ce que servent ceux dont l'histoire des trades ne se remonte pas.
PORTEE_INCONNUE = "rien ne prouve qu'il en serve plus que sa dernière page"
PORTEES: Mapping[str, str] = {
    "bybit": "les 60 derniers au comptant, les 1000 derniers d'un contrat",
    "kucoin": "les 100 derniers",
    "htx": "les 2000 derniers",
    "mexc": "un jour au comptant, sans id ; les 100 derniers d'un contrat",
    "hyperliquid": "sa classe ccxt rend les exécutions d'un portefeuille",
    "upbit": "sept jours, à reculons ; rien ne dit comment son curseur passe d'un jour à l'autre",
    "bithumb": "sa dernière page ; rien ne prouve que son curseur remonte",
    "dydx": "sa dernière page ; rien ne prouve que l'on puisse en demander une autre",
    "bitstamp": "un jour",
    **dict.fromkeys(("bingx", "poloniex", "phemex", "whitebit", "woo", "xt", "lbank"), "sa dernière page"),
}

# --- Trades : le parcours ---

COTATION_PROCHE_MS = 2 * JOUR_MS  # de l'ouverture d'un marché à son premier relevé
SAUTS_VAINS_MAX = 5  # sauts d'ids qu'une relecture n'a pas comblés : les suivants sont inscrits sans elle


class Pas(NamedTuple):
    """Ce qu'une page ajoute : ses lignes de l'intervalle demandé, ce qu'elle prouve, et la dernière d'avant lui."""

    lignes: list[Any]
    couverts: list[Intervalle]
    trous: list[Trou]
    avant: Any = None
    source: str = API


def _numero_au(page: Page, instant: int) -> int:
    """Le numéro de la première ligne à partir d'un instant, présente dans cette page ou juste après elle."""
    return next((_numero(ligne) for ligne in page.lignes if ligne.timestamp >= instant), _numero(page.lignes[-1]) + 1)


class Parcours:
    """Les trades d'un intervalle, page après page, dans l'ordre, chacun une fois ; rien de l'exchange n'y est su."""

    def __init__(self, voie: Voie, service: Service, serie: Serie) -> None:
        self._voie, self._nom = voie, str(serie.cle)
        genre = genre_de(serie.marche)
        self._depuis_cotation, self._suivis = genre in service.depuis_cotation, genre in service.suivis
        self._cotation = serie.marche.get("created")  # ce que l'exchange dit lui-même de son ouverture
        self._sauts_vains = 0

    async def debut_libre(self, fin: int) -> int:
        """Sans date de début : le deuxième instant de la page la plus récente, dont le premier est peut-être coupé."""
        instants = sorted({trade.timestamp for trade in (await self._voie.recents()).lignes if trade.timestamp < fin})
        return instants[1] if len(instants) > 1 else instants[0] if instants else fin

    async def avant(self, instant: int) -> Any:
        """La dernière ligne d'avant un instant ; None si rien n'en est servi."""
        lignes = (await self._voie.situer(instant)).page.lignes
        return max((ligne for ligne in lignes if ligne.timestamp < instant), key=_rang, default=None)

    async def compter(self, debut: int, fin: int) -> int:
        """Combien de lignes tient [debut, fin[, à peu près : d'après leurs numéros, sinon d'après leur densité."""
        premiere = (await self._voie.situer(debut)).page
        derniere = (await self._voie.situer(fin)).page
        if not premiere.lignes or not derniere.lignes or premiere.debut >= fin:
            return 0
        if self._voie.compte_par_id:
            return max(0, _numero_au(derniere, fin) - _numero_au(premiere, debut))
        etendue = max(premiere.fin - premiere.debut, 1)
        return len(premiere.lignes) * (min(fin, derniere.fin) - max(debut, premiere.debut)) // etendue

    async def parcourir(self, debut: int, fin: int, *, exigee: bool) -> AsyncGenerator[Pas]:
        """Les pas de [debut, fin[ ; `exigee` : ce qui reste sans preuve jusqu'à `fin` est un trou."""
        page, premiere = await self._voie.situer(debut)
        dernier: Evenement | None = None
        vus: set[str | None] = set()
        couvert = debut
        if page.lignes and premiere:
            couvert = min(max(debut, page.debut), fin)
            yield await self._tete(page, debut, couvert)
        while page.lignes:
            neufs = [trade for trade in page.lignes if trade.id not in vus]
            if not neufs:
                exigee = exigee or self._est_bloquee(page)
                break  # la queue : rien ne la suit encore
            neufs, manques = await self._continus(dernier, neufs)
            manques += [(instant, instant + 1) for instant in page.impossibles]
            trous = [Trou(*manque, ECHEC) for manque in croiser(manques, [(debut, fin)])]
            jusqua = min(page.fin, fin)
            avant = max((t for t in neufs if t.timestamp < debut), key=_rang, default=None)
            yield Pas(
                [trade for trade in neufs if debut <= trade.timestamp < fin],
                [(couvert, jusqua)] if couvert < jusqua else [],
                trous,
                avant,
            )
            couvert = max([couvert, jusqua, *(trou.fin for trou in trous)])  # la page suivante n'efface pas un trou
            if page.fin >= fin:
                return
            dernier, vus = self._voie.dernier(page), {trade.id for trade in page.lignes}
            page = await self._prolonger(page, dernier)
            exigee = exigee or not page.lignes
        if exigee and couvert < fin:
            yield Pas([], [], [Trou(couvert, fin, ECHEC)])

    def _est_bloquee(self, page: Page) -> bool:
        """Vrai si un seul instant remplit la page : la suite existe peut-être, et rien ne sait la demander."""
        bloquee = len(page.lignes) >= PAGE_PLEINE and page.debut == page.fin
        if bloquee:
            journal.warning("%s : plus d'une page à l'instant %s ; la suite manque.", self._nom, en_iso(page.fin))
        return bloquee

    async def _tete(self, page: Page, debut: int, premier: int) -> Pas:
        """Avant la première page servie : la cotation, si son id est le premier, ou si l'exchange obéit."""
        if debut >= premier:
            return Pas([], [], [])
        prouve = _numero(page.lignes[0]) <= 1 or (self._est_la_cotation(page.debut) and await self._voie.obeit(page))
        trou = Trou(debut, premier, AVANT_COTATION if prouve else HORS_FENETRE_API)
        return Pas([], [(debut, premier)] if prouve else [], [trou])

    def _est_la_cotation(self, premier: int) -> bool:
        """Vrai si la première ligne servie peut être la première de toutes, et non la plus ancienne qui soit gardée."""
        if self._depuis_cotation:
            return True
        return isinstance(self._cotation, int) and premier - self._cotation < COTATION_PROCHE_MS

    async def _prolonger(self, page: Page, dernier: Evenement) -> Page:
        """La page suivante, qui redit le dernier trade de celle-ci ; vide si l'exchange ne l'a plus."""
        for _ in range(RELECTURES):
            suite = await self._voie.suite(page)
            if any(trade.id == dernier.id and trade.timestamp == dernier.timestamp for trade in suite.lignes):
                return suite
        journal.warning("%s : la ligne %s n'est plus rendue ; la suite sera redemandée.", self._nom, dernier.id)
        return Page([])

    async def _continus(self, dernier: Evenement | None, neufs: list[Any]) -> tuple[list[Any], list[Intervalle]]:
        """Les trades, les ids sautés redemandés là où ils se suivent, et les intervalles où il en manque encore."""
        if not self._suivis:
            return neufs, []
        complets: list[Any] = []
        manques: list[Intervalle] = []
        suite = sorted(neufs, key=_numero)
        for avant, trade in itertools.pairwise([dernier or suite[0], *suite]):
            manque = range(_numero(avant) + 1, _numero(trade))
            retrouves = await self._retrouver(avant, manque) if manque else []
            complets += retrouves
            if len(retrouves) < len(manque):
                self._sauts_vains += 1
                manques.append((avant.timestamp, trade.timestamp + 1))
            complets.append(trade)
        return sorted(complets, key=_rang), manques

    async def _retrouver(self, avant: Evenement, manque: range) -> list[Any]:
        """Les trades de ces ids, sautés par une page ; pas redemandés à qui en saute sans cesse."""
        trouves: dict[int, Any] = {}
        for _ in range(RELECTURES if self._sauts_vains < SAUTS_VAINS_MAX else 0):
            relue = await self._voie.redemander(avant)
            trouves |= {_numero(trade): trade for trade in relue.lignes if _numero(trade) in manque}
            if len(trouves) == len(manque):
                return list(trouves.values())
        journal.warning("%s : les ids %d à %d ne sont pas servis.", self._nom, manque.start, manque.stop - 1)
        return list(trouves.values())


# --- Trades : les sources ---


Tabler = Callable[[CleSerie, Sequence[Any]], "pa.Table"]
"""Des lignes d'une série, en table ; aussi quand il n'y en a aucune."""


class Histoire:
    """La source d'une série d'événements : trades, funding, intérêt ouvert."""

    attendue = None  # rien ne doit avoir lieu à un instant donné

    def __init__(
        self, connexion: Connexion, serie: Serie, plage: Plage, fiche: Fiche, parcours: Parcours, tabler: Tabler
    ) -> None:
        self.connexion, self.serie, self.plage, self.fiche, self.parcours = connexion, serie, plage, fiche, parcours
        self.tabler = tabler
        self.demande: Intervalle = (0, 0)

    async def preparer(self) -> list[Intervalle]:
        """Fixe les bornes ; rend les intervalles à demander."""
        fin = self._fin()
        debut = self.plage.debut
        if debut is None:
            debut = self.fiche.couverts[0][0] if self.fiche.couverts else await self.parcours.debut_libre(fin)
        self.demande = (min(debut, fin), fin)
        return reste_a_lire(self.demande, self.fiche)

    def _fin(self) -> int:
        heure = self.connexion.heure_ms()
        return heure if self.plage.fin is None else min(heure, self.plage.fin)

    async def lots(self, intervalles: Sequence[Intervalle]) -> AsyncGenerator[Lot]:
        """Les lots des intervalles, dans l'ordre."""
        passee = self.plage.fin is not None and self.plage.fin <= self.connexion.heure_ms()
        for debut, fin in intervalles:
            parcours = self.parcours.parcourir(debut, fin, exigee=passee or fin < self.demande[1])
            async with aclosing(parcours) as pas_a_pas:
                async for pas in pas_a_pas:
                    lignes = self.tabler(self.serie.cle, pas.lignes)
                    yield Lot(self.serie.cle, lignes, _moins_les_trous(pas.couverts, pas.trous), pas.trous)


def _tabler_trades(cle: CleSerie, trades: Sequence[Any]) -> pa.Table:
    return tabler_trades(cle, trades) if trades else TRADES.schema.empty_table()


def trades_de(lignes: pa.Table) -> list[Trade]:
    """Les trades d'une table, dans son ordre."""
    valeurs = (lignes[nom].to_pylist() for nom in ("id", "side", "price", "amount", "cost"))
    return [Trade(*ligne) for ligne in zip(instants_de(lignes), *valeurs, strict=True)]


def _moins_les_trous(couverts: Sequence[Intervalle], trous: Sequence[Trou]) -> list[Intervalle]:
    """Ce qui est prouvé : un fait l'est, un trou partiel non."""
    return oter(couverts, (trou[:2] for trou in trous if trou.raison in (ECHEC, HORS_FENETRE_API)))


class BougiesDesTrades:
    """La source des bougies faites de l'histoire des trades : mêmes bougies, là où celles de l'exchange s'arrêtent."""

    def __init__(self, bougies: Historique, parcours: Parcours, vides: str) -> None:
        self._bougies, self.parcours, self._reporter = bougies, parcours, vides == "reporter"
        self.connexion, self.serie = bougies.connexion, bougies.serie
        self.fiche, self.demande = bougies.fiche, bougies.demande
        self._fichiers: Callable[[Histoire], Source] | None = None

    def lire_aussi(self, fichiers: Callable[[Histoire], Source]) -> None:
        """Les trades viendront de cette source, faite de leur histoire, et non de l'API seule."""
        self._fichiers = fichiers

    @property
    def attendue(self) -> int | None:
        """L'ouverture de la dernière bougie close."""
        return self._bougies.attendue

    async def preparer(self) -> list[Intervalle]:
        """Fixe l'ancre et les bornes ; ce que les bougies de l'exchange ne servent plus est à lire dans les trades."""
        await self._bougies.preparer()
        self.demande = self._bougies.demande
        return reste_a_lire(self.demande, self.fiche, ailleurs=True)

    async def lots(self, intervalles: Sequence[Intervalle]) -> AsyncGenerator[Lot]:
        """Les lots des intervalles, dans l'ordre."""
        async with aclosing(lots_ensemble([self], [intervalles])) as lots:
            async for _, lot in lots:
                yield lot

    def pas_a_pas(self, debut: int, fin: int) -> AsyncGenerator[Pas]:
        """Les pas de [debut, fin[, dans l'ordre."""
        plage, heure = self._bougies.plage, self._bougies.connexion.heure_ms()
        passee = plage.fin is not None and plage.fin <= heure
        if self._fichiers is None:
            return self.parcours.parcourir(debut, fin, exigee=passee or fin < self.demande[1])
        bougies = self._bougies
        fiche = Fiche(bougies.serie.cle)
        histoire = Histoire(bougies.connexion, bougies.serie, plage, fiche, self.parcours, _tabler_trades)
        histoire.demande = self.demande
        return self._pas_des_lots(self._fichiers(histoire), debut, fin)

    async def _pas_des_lots(self, source: Source, debut: int, fin: int) -> AsyncGenerator[Pas]:
        """Les pas que font des lots de trades rendus dans l'ordre ; une ligne attend d'être prouvée."""
        avant = await self.parcours.avant(debut) if self._reporter else None
        attente: list[Trade] = []
        async with aclosing(source.lots([(debut, fin)])) as lots:
            async for lot in lots:
                attente += trades_de(lot.lignes)
                jusqua = max((f for _, f in lot.couverts), default=debut)
                prets = [t for t in attente if any(d <= t.timestamp < f for d, f in lot.couverts)]
                prets.sort(key=_rang)  # d'un bord, les fichiers et l'API ont pu rendre la même ligne
                attente = [t for t in attente if t.timestamp >= jusqua]
                yield Pas(prets, lot.couverts, lot.trous, avant, lot.source)
                avant = None

    def atelier(self, debut: int, fin: int) -> Atelier:
        """De quoi faire les bougies de [debut, fin[."""
        return Atelier(self._bougies, debut, fin, reporter=self._reporter)


async def lots_ensemble(
    sources: Sequence[BougiesDesTrades], intervalles: Sequence[Sequence[Intervalle]]
) -> AsyncGenerator[tuple[int, Lot]]:
    """Les lots de plusieurs grilles d'une même histoire, lue une fois : le rang de la source, et son lot."""
    dernier = max(range(len(sources)), key=lambda rang: sources[rang].demande[1])
    for debut, fin in unir(*intervalles):
        ateliers = [
            (rang, source.atelier(*sien))
            for rang, source in enumerate(sources)
            for sien in croiser(intervalles[rang], [(debut, fin)])
        ]
        async with aclosing(sources[dernier].pas_a_pas(debut, fin)) as pas_a_pas:
            async for pas in pas_a_pas:
                for rang, atelier in ateliers:
                    if lot := atelier.prendre(pas):
                        yield rang, lot


class Atelier:
    """Les bougies d'un intervalle, à mesure que les trades qui les font sont prouvés."""

    def __init__(self, bougies: Historique, debut: int, fin: int, *, reporter: bool) -> None:
        self._cle, self._pas, self._reporter = bougies.serie.cle, bougies.timeframe, reporter
        self._debut, self._fin = debut, fin
        volume = bougies.connexion.mesure_des_trades(bougies.serie.marche)
        self._agregateur = Agregateur(bougies.timeframe, grace_ms=0, volume=volume, depuis_ms=debut)
        self._rendu = self._su = debut  # fin de ce qui est rendu ; de ce dont les trades disent quelque chose
        self._source = API  # d'où viennent, au moins en partie, les trades des prochaines bougies
        self._trous: list[Trou] = []
        self._bougies: list[BougieTrades] = []
        self._tardifs: set[Trou] = set()  # des bougies déjà rendues, qu'un trade venu trop tard dément
        self._clotures: dict[int, float] = {}  # la dernière bougie rendue, que reporte la minute vide qui la suit

    def prendre(self, pas: Pas) -> Lot | None:
        """Le lot que ces trades achèvent ; None s'ils n'en achèvent pas."""
        if self._rendu >= self._fin:
            return None
        if self._rendu == self._debut:
            avant = next((t for t in reversed(pas.lignes) if t.timestamp < self._debut), pas.avant)
            if avant is not None:
                self._clotures[self._pas.avancer(self._debut, -1)] = avant.price
        self._trous += pas.trous
        self._source = pas.source if pas.source != API else self._source
        self._su = max([self._su, *(fin for _, fin in pas.couverts), *(trou.fin for trou in pas.trous)])
        perdus = self._agregateur.perdus
        self._bougies += self._agregateur.ajouter(pas.lignes)
        self._noter_les_tardifs(self._agregateur.perdus - perdus)
        jusqua = self._fin if self._su >= self._fin else self._pas.plancher(self._su)
        if jusqua <= self._rendu:
            return None
        self._bougies += self._agregateur.clore(jusqua)
        lot = self._lot(self._rendu, jusqua)._replace(source=self._source)
        self._source = API
        if self._tardifs:
            lot = lot._replace(trous=sorted([*lot.trous, *self._tardifs]))
        self._rendu, self._tardifs = jusqua, set()
        return lot

    def _noter_les_tardifs(self, nombre: int) -> None:
        """Un trade daté d'avant sa page, dont la bougie est peut-être déjà rendue : elle est dite fausse, à relire."""
        for trade in list(self._agregateur.derniers_perdus)[-nombre:] if nombre else ():
            ouverture = self._pas.plancher(trade.timestamp)
            trou = Trou(ouverture, self._pas.avancer(ouverture, 1), ECHEC)
            if ouverture < self._rendu:
                self._tardifs.add(trou)
            else:
                self._trous.append(trou)

    def _lot(self, debut: int, fin: int) -> Lot:
        partiels = [t for t in self._trous if t.raison in (ECHEC, HORS_FENETRE_API)]
        douteux = [(self._pas.plancher(t.debut), self._pas.plafond(t.fin), t.raison) for t in partiels]
        trous = [Trou(max(d, debut), min(f, fin), raison) for d, f, raison in douteux if d < fin and f > debut]
        prouves = oter([(debut, fin)], ((t.debut, t.fin) for t in trous))
        faites = [b for b in self._bougies if any(d <= b.timestamp < f for d, f in prouves)]
        self._bougies = [b for b in self._bougies if b.timestamp >= fin]
        cotation = max((t.fin for t in self._trous if t.raison == AVANT_COTATION), default=0)
        for couvert in prouves:
            instants = [b.timestamp for b in faites if couvert[0] <= b.timestamp < couvert[1]]
            for vide in manquants(instants, self._pas, *couvert):
                coupe = min(max(self._pas.plancher(cotation), vide[0]), vide[1])
                trous += [Trou(vide[0], coupe, AVANT_COTATION), Trou(coupe, vide[1], SANS_TRANSACTION)]
        lignes = habiller(self._cle, en_colonnes([b[:6] for b in faites]))
        lot = Lot(self._cle, lignes, prouves, sorted(trou for trou in trous if trou.debut < trou.fin))
        if self._reporter:
            lot = reporter_les_vides(lot, self._pas, self._clotures)
            if lot.lignes.num_rows:
                ouverture = lot.lignes["timestamp"][-1].value
                self._clotures = {ouverture: lot.lignes["close"][-1].as_py()}
        return lot


# --- Relevés : funding, intérêt ouvert ---


class Releve(NamedTuple):
    """Un relevé : son instant, qui est aussi son nom dans la série, et ses valeurs, dans l'ordre des colonnes."""

    timestamp: int
    id: str
    valeurs: tuple[float | None, ...]


def _nombre(valeur: Any) -> float | None:
    """Un nombre fini, ou rien : un texte vide est l'absence de prix des vieux relevés de binance."""
    try:
        nombre = float(valeur)
    except (TypeError, ValueError):
        return None
    return nombre if math.isfinite(nombre) else None


def _lire_funding(brut: Mapping[str, Any]) -> Releve | Impossible | None:
    instant, taux, info = brut.get("timestamp"), _nombre(brut.get("fundingRate")), brut.get("info")
    if not isinstance(instant, int):
        return None
    if taux is None:
        return Impossible(instant)
    prix = _nombre(info.get("markPrice")) if isinstance(info, dict) else None
    return Releve(instant, str(instant), (taux, prix or None))


def _lire_interet(brut: Mapping[str, Any]) -> Releve | Impossible | None:
    instant = brut.get("timestamp")
    if not isinstance(instant, int):
        return None
    valeurs = _nombre(brut.get("openInterestAmount")), _nombre(brut.get("openInterestValue"))
    lues = [valeur for valeur in valeurs if valeur is not None]
    return Releve(instant, str(instant), valeurs) if lues and min(lues) >= 0 else Impossible(instant)


@dataclass(frozen=True)
class Releves:
    """Comment un exchange sert un relevé ; `page` : ce qu'il en rend au plus."""

    page: int
    bornes: Bornes
    genres: frozenset[str] = frozenset({"linear", "inverse"})
    timeframes: tuple[str, ...] = ()  # d'un intérêt ouvert
    maximum_ms: int = FENETRE_MAX_MS
    numero: str = ""  # le nom du numéro de page, là où il n'y a ni début ni fin
    unite: Callable[[Mapping[str, Any]], str] = lambda _marche: ""  # celle de la quantité ; vide : rien ne la prouve
    sinon: Releves | None = None  # comment sont servis les genres qui ne sont pas là

    def de(self, genre: str) -> Releves | None:
        """Comment ce genre est servi ; None s'il ne l'est pas."""
        return self if genre in self.genres else self.sinon and self.sinon.de(genre)


def _base(marche: Mapping[str, Any]) -> str:
    return str(marche.get("base") or "")


def _base_ou_contrats(marche: Mapping[str, Any]) -> str:
    return "contrats" if marche.get("inverse") else _base(marche)


def _base_du_lineaire(marche: Mapping[str, Any]) -> str:
    return "" if marche.get("inverse") else _base(marche)


def _depuis(debut: int, _fin: int) -> tuple[int, Mapping[str, Any]]:
    """Un début seulement."""
    return debut, {}


def _sans_bornes(_debut: int, _fin: int) -> tuple[None, Mapping[str, Any]]:
    """Ni début ni fin : la même réponse, toujours."""
    return None, {}


# Ajouter un exchange : une ligne ici, d'après ARCHIVES § 4.2 et § 4.3, et rien ailleurs.
FUNDINGS: Mapping[str, Releves] = {
    **dict.fromkeys(("binance", "binanceusdm", "binancecoinm"), Releves(1000, _de_a)),
    "bybit": Releves(200, _de_a),  # les dernières de la fenêtre, dont la classe ne sait pas la largeur d'hier
    # `before` seul rend la page la plus récente, et `until` n'est pas envoyé : `after` est la fin, exclue.
    "okx": Releves(100, lambda _debut, fin: (None, {"after": str(fin + 1)})),
    "gate": Releves(1000, _de_a),
    "kucoin": Releves(100, _de_a, genres=frozenset({"linear", "inverse"})),
    "hyperliquid": Releves(500, _de_a),
    "deribit": Releves(744, _de_a, maximum_ms=30 * JOUR_MS),
    "krakenfutures": Releves(0, _sans_bornes),  # tout d'un coup
    "bitget": Releves(100, _sans_bornes, numero="pageNo"),
    "mexc": Releves(100, _sans_bornes, numero="page_num"),
    "htx": Releves(
        50, _sans_bornes, genres=frozenset({"inverse"}), numero="page_index",
        sinon=Releves(100, _depuis, genres=frozenset({"linear"})),
    ),
    "bingx": Releves(1000, _de_a, genres=frozenset({"linear"})),
    "phemex": Releves(100, _de_a),
    "whitebit": Releves(100, _de_a),
    "cryptocom": Releves(0, _de_a),
    "woo": Releves(25, _de_a),
    "paradex": Releves(5000, _de_a),
    "hitbtc": Releves(1000, _de_a),
    # Sa classe envoie `until`, que l'exchange ne connaît pas, et filtre `since` après coup : seule la fin est demandée.
    "dydx": Releves(0, lambda _debut, fin: (None, {"effectiveBeforeOrAt": en_iso(fin)})),
}
INTERETS: Mapping[str, Releves] = {
    **dict.fromkeys(
        ("binance", "binanceusdm", "binancecoinm"),
        Releves(
            500, _de_a, timeframes=("5m", "15m", "30m", "1h", "2h", "4h", "6h", "12h", "1d"), unite=_base_ou_contrats
        ),
    ),
    # D'un contrat inverse, la valeur seule, en dollars.
    "bybit": Releves(200, _de_a, timeframes=("5m", "15m", "30m", "1h", "4h", "1d"), unite=_base_du_lineaire),
    "okx": Releves(100, _de_a, timeframes=("5m", "1h", "1d"), unite=lambda _marche: "contrats"),
    "gate": Releves(100, _depuis, timeframes=("5m", "15m", "30m", "1h", "4h", "1d"),
                    unite=lambda _marche: "contrats"),
    "kucoin": Releves(200, _de_a, timeframes=("5m", "15m", "30m", "1h", "4h", "1d")),
    # Les deux cents derniers, quelle que soit la demande.
    "htx": Releves(200, _sans_bornes, timeframes=("1h", "4h", "12h", "1d"), unite=_base),
}  # fmt: skip

# Ceux dont la classe ccxt a une histoire, et pourquoi elle n'est pas lue.
FUNDINGS_TUS: Mapping[str, str] = {
    "bitfinex": "ses lignes sont des états, relevés de loin en loin, pas des règlements",
    "bitstamp": "sa classe ccxt date ses règlements de 1970",
    "xt": "ses 200 derniers, par un curseur dont rien ne dit le sens",
}
INTERETS_TUS: Mapping[str, str] = {"bitfinex": "ses lignes sont des états, d'aucun timeframe"}


class Nature(NamedTuple):
    """Un type de relevé : ce que ccxt en demande, qui le sert, et comment le lire."""

    type_donnee: TypeDonnee
    nom: str  # pour les messages
    capacite: str
    methode: str
    servis: Mapping[str, Releves]
    tus: Mapping[str, str]
    lecture: Lecture


NATURES: Mapping[str, Nature] = {
    FUNDING.nom: Nature(
        FUNDING, "Funding", "fetchFundingRateHistory", "fetch_funding_rate_history", FUNDINGS, FUNDINGS_TUS,
        _lire_funding,
    ),
    OPEN_INTEREST.nom: Nature(
        OPEN_INTEREST, "Intérêt ouvert", "fetchOpenInterestHistory", "fetch_open_interest_history", INTERETS,
        INTERETS_TUS, _lire_interet,
    ),
}  # fmt: skip


def _tabler_releves(donnee: TypeDonnee, cle: CleSerie, releves: Sequence[Releve]) -> pa.Table:
    """Des relevés en table, aux colonnes de leur type."""
    constantes = [nom for nom in donnee.noms if nom in CleSerie._fields]
    lignes = [(*(getattr(cle, nom) for nom in constantes), r.timestamp, *r.valeurs) for r in releves]
    colonnes = zip(*lignes, strict=True) if lignes else [()] * len(donnee.noms)
    champs = zip(colonnes, donnee.schema, strict=True)
    return pa.table([pa.array(c, champ.type) for c, champ in champs], schema=donnee.schema)


# --- Ce que le module demande ---


def releves_servis(connexion: Connexion, tache: Tache, marche: Mapping[str, Any] | None = None) -> Releves:
    """Comment cet exchange sert ce relevé ; ErreurDemande, avec ce qui existe, s'il ne le sert pas."""
    nature, exchange = NATURES[tache.donnee], connexion.reglages.exchange
    servi = nature.servis.get(exchange)
    if servi is None or not connexion.api.has.get(nature.capacite):
        pourquoi = f" : {nature.tus[exchange]}" if exchange in nature.tus else ""
        raise ErreurDemande(
            f"{exchange} ne sert pas d'histoire « {tache.donnee} » que l'on sache remonter{pourquoi}",
            f"Elle se lit sur : {', '.join(nature.servis)}.",
        )
    if marche is not None and (servi := servi.de(genre_de(marche))) is None:
        raise ErreurDemande(
            f"« {marche['symbol']} » n'a pas d'histoire « {tache.donnee} » sur {exchange}",
            "Demandez un contrat perpétuel (exemple : BTC/USDT:USDT).",
        )
    if servi.timeframes and tache.timeframe not in servi.timeframes:
        raise ErreurDemande(
            f"{exchange} ne sert pas l'intérêt ouvert en « {tache.timeframe} »",
            f"timeframe, parmi : {', '.join(servi.timeframes)}.",
        )
    return servi


def service_des_trades(connexion: Connexion, marche: Mapping[str, Any] | None = None) -> Service:
    """Comment cet exchange sert l'histoire de ses trades ; ErreurDemande, qui dit sa portée, s'il ne la sert pas."""
    exchange = connexion.reglages.exchange
    service = SERVICES.get(exchange)
    if service is not None and (marche is None or genre_de(marche) in service.genres):
        return service
    raise ErreurDemande(
        f"{exchange} ne sert pas l'histoire de ses trades : {PORTEES.get(exchange, PORTEE_INCONNUE)}",
        "Suivez-les dès maintenant (--stream trades), ou lisez ses bougies (--donnee ohlcv).",
    )


def sert_les_trades(connexion: Connexion, marche: Mapping[str, Any]) -> bool:
    """Vrai si l'histoire des trades de ce marché peut être lue."""
    try:
        service_des_trades(connexion, marche)
    except ErreurDemande:
        return False
    return True


def page_des_histoires() -> str:
    """La section de `docs/exchanges.md` : ce que chaque exchange sert, d'après les tables ci-dessus."""
    noms = sorted({*SERVICES, *PORTEES, *(nom for n in NATURES.values() for nom in (*n.servis, *n.tus))})
    dits = {nom: [_dire_trades(nom), *(_dire_releves(nature, nom) for nature in NATURES.values())] for nom in noms}
    lignes = [f"| {nom} | {' | '.join(dit)} |" for nom, dit in dits.items()]
    entete = (
        "## Trades, funding, intérêt ouvert",
        "",
        "Ce que lit `--donnee`, et jusqu'où ; « non » : ce que l'exchange sert ne se remonte pas, et la demande est",
        "refusée, code 2. Un exchange absent de la table l'est aussi : rien ne prouve ce qu'il sert.",
        "",
        "| exchange | trades | funding, par page | intérêt ouvert, timeframes |",
        "|---|---|---|---|",
    )
    return "\n".join([*entete, *lignes, ""])


def _dire_trades(exchange: str) -> str:
    service = SERVICES.get(exchange)
    if service is None:
        return f"non : {PORTEES[exchange]}" if exchange in PORTEES else ""
    return f"{service.portee} ({', '.join(g for g in ('spot', 'linear', 'inverse') if g in service.genres)})"


def _dire_releves(nature: Nature, exchange: str) -> str:
    releves = nature.servis.get(exchange)
    if releves is None:
        return f"non : {nature.tus[exchange]}" if exchange in nature.tus else ""
    dits = []
    while releves is not None:
        genres = ", ".join(genre for genre in ("linear", "inverse") if genre in releves.genres)
        page = str(releves.page or ("tout d'un coup" if releves.bornes is _sans_bornes else "non dit"))
        dits.append(f"{' '.join(releves.timeframes) or page} ({genres})")
        releves = releves.sinon
    return " ; ".join(dits)


def identifiants(connexion: Connexion, serie: Serie) -> str:
    """Si les trades de cette histoire sont réunis : ce que sa fiche en dit."""
    return IDS_REUNIS if service_des_trades(connexion, serie.marche).agreges else ""


def controler(connexion: Connexion, tache: Tache) -> None:
    """Refuse, sans requête, ce que cet exchange ne sert pas ; dit jusqu'où il remonte, et que faire."""
    if tache.donnee in NATURES:
        releves_servis(connexion, tache)
        return
    service_des_trades(connexion)
    if tache.trades_vers_ohlcv and connexion.api.has.get("fetchOHLCV"):
        connexion.controler_bougies(tache.timeframe, tache.prix_ohlcv)


def ouvrir_serie(connexion: Connexion, tache: Tache, symbole: str) -> Serie:
    """La série demandée, résolue ; ErreurDemande si ce marché n'a pas cette histoire."""
    if tache.donnee in NATURES:
        serie = connexion.ouvrir_evenements(symbole)
        releves = releves_servis(connexion, tache, serie.marche)
        if not releves.timeframes:
            return serie
        grille = Timeframe.lire(tache.timeframe)
        return replace(serie, cle=serie.cle._replace(timeframe=tache.timeframe), timeframe=grille)
    if tache.trades_vers_ohlcv:
        serie = connexion.ouvrir_serie(symbole, tache.timeframe, tache.prix_ohlcv, tache.limite)
    else:
        serie = connexion.ouvrir_evenements(symbole)
    service_des_trades(connexion, serie.marche)
    return serie


class Devis(NamedTuple):
    """Ce qu'une histoire coûterait : l'intervalle, ce qui en manque, ses lignes et ses requêtes, à peu près."""

    demande: Intervalle
    intervalles: list[Intervalle]
    lignes: int
    requetes: int
    evenements: int  # les trades dont des bougies seraient faites ; sinon, les lignes


async def estimer(connexion: Connexion, serie: Serie, tache: Tache, plage: Plage, fiche: Fiche) -> Devis:
    """Ce que la lecture coûterait ; demande quelques pages, n'écrit rien."""
    source = ouvrir_source(connexion, serie, tache, plage, fiche, asyncio.Semaphore(tache.concurrence))
    intervalles = await source.preparer()
    evenements = sum([await source.parcours.compter(*intervalle) for intervalle in intervalles])
    if tache.donnee in NATURES:
        page = NATURES[tache.donnee].servis[serie.cle.exchange].page
    else:
        page = service_des_trades(connexion, serie.marche).page
    lignes = evenements
    if tache.trades_vers_ohlcv:
        lignes = sum(serie.timeframe.compter(*intervalle) for intervalle in intervalles)
    requetes = len(intervalles) + math.ceil(evenements / max(page, 1))
    return Devis(source.demande, intervalles, lignes, requetes, evenements)


def _ouvrir_releves(
    connexion: Connexion, serie: Serie, tache: Tache, plage: Plage, fiche: Fiche, places: asyncio.Semaphore
) -> Histoire:
    nature, releves = NATURES[tache.donnee], releves_servis(connexion, tache, serie.marche)
    fiche.unite_volume = releves.unite(serie.marche) or UNITE_INCONNUE
    quoi = f"{nature.nom} de {serie.cle}"
    timeframe = (tache.timeframe,) if releves.timeframes else ()

    async def lire(depuis: int | None, params: Mapping[str, Any]) -> list[dict[str, Any]]:
        tous = {**connexion.reglages.params, **params}
        limite = tous.pop(TAILLE, releves.page) or None
        async with places:
            page = await connexion.appeler(
                quoi, nature.methode, serie.cle.symbole, *timeframe, depuis, limite, tous
            )
        if not isinstance(page, list) or not all(isinstance(releve, dict) for releve in page):
            raise ErreurTemporaire(f"{quoi} : réponse d'une forme inattendue", "Réessayez plus tard.")
        return page

    pas_ms = serie.timeframe.pas_ms if timeframe else HEURE_MS
    demandes = DemandesParFenetre(
        releves.bornes, min(pas_ms * max(1, releves.page - 1), releves.maximum_ms), releves.maximum_ms
    )
    voie: Voie = VoieParFenetre(lire, connexion.heure_ms, nature.lecture, demandes=demandes)
    if releves.numero:
        voie = VoieParNumero(lire, connexion.heure_ms, nature.lecture, numero=releves.numero, taille=releves.page)
    tabler = functools.partial(_tabler_releves, nature.type_donnee)
    service = Service(VoieParFenetre, "")
    return Histoire(connexion, serie, plage, fiche, Parcours(voie, service, serie), tabler)


def ouvrir_source(
    connexion: Connexion, serie: Serie, tache: Tache, plage: Plage, fiche: Fiche, places: asyncio.Semaphore
) -> Histoire | BougiesDesTrades:
    """La source d'une série, la fiche étant ce que sa sortie prouve déjà."""
    if tache.donnee in NATURES:
        return _ouvrir_releves(connexion, serie, tache, plage, fiche, places)
    service = service_des_trades(connexion, serie.marche)

    async def lire(depuis: int | None, params: Mapping[str, Any]) -> list[dict[str, Any]]:
        async with places:
            return await connexion.lire_trades(serie, depuis, params, limite=service.page or None)

    parcours = Parcours(service.voie(lire, connexion.heure_ms, service.lecture), service, serie)
    if not tache.trades_vers_ohlcv:
        return Histoire(connexion, serie, plage, fiche, parcours, _tabler_trades)
    bougies = Historique(connexion, serie, plage, fiche, places, tache.concurrence)
    return BougiesDesTrades(bougies, parcours, tache.bougies_vides)
