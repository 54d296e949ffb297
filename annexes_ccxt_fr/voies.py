"""Les voies : comment chaque famille d'exchanges pagine une histoire (trades, funding, intérêt ouvert).

Une voie sait demander une page (`situer` : celle d'où partir ; `suite` : celle qui la prolonge), et rien d'autre. Rien
n'est prouvé par un silence : chaque page redit la dernière ligne de la précédente, et c'est ce recouvrement, dans une
même réponse, qui dit que rien ne manque entre les deux. Ce qu'elles prouvent : `histoires.py`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from module_ccxt_fr_v2 import (
    INSTANT_MAX_MS,
    JOUR_MS,
    MINUTE_MS,
    SECONDE_MS,
    ErreurDefinitive,
    ErreurTemporaire,
    Trade,
    curseur_en_ns,
)

RELECTURES = 3  # d'une page qui se contredit, avant de la tenir pour ce qu'elle est
SONDES_MAX = 200  # pages demandées pour trouver d'où partir : une dichotomie en veut trente
AVANCE_MS = MINUTE_MS  # un trade daté de plus loin que cela après l'heure de l'exchange n'est pas cru


class Releve(NamedTuple):
    """Un relevé : son instant, qui est aussi son nom dans la série, et ses valeurs, dans l'ordre des colonnes."""

    timestamp: int
    id: str
    valeurs: tuple[float | None, ...]


Evenement = Trade | Releve
"""Une ligne d'histoire ; `id` la distingue de toute autre de sa série."""


class Impossible(NamedTuple):
    """Une ligne qui ne peut être vraie, mais dont l'instant se lit."""

    timestamp: int


Lecture = Callable[[Mapping[str, Any]], Evenement | Impossible | None]
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


def numero_de(ligne: Evenement) -> int:
    """L'id d'un trade, en entier ; loin de tout s'il n'en est pas un."""
    return int(ligne.id) if ligne.id and ligne.id.isdecimal() else INSTANT_MAX_MS


def rang_de(ligne: Evenement) -> tuple[int, int]:
    """L'ordre de l'exchange : l'instant, puis l'id entier ; sans lui, l'ordre d'arrivée."""
    return ligne.timestamp, numero_de(ligne)


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
        return max(page.lignes, key=numero_de) if self.ids_entiers else page.lignes[-1]

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
        lignes.sort(key=rang_de)
        return Page(lignes, impossibles, curseur), illisibles

    def curseur_de(self, brut: Mapping[str, Any]) -> str:  # noqa: ARG002  la plupart n'en donnent pas
        """Le curseur que l'exchange a mis dans ce trade ; vide s'il n'y en a pas."""
        return ""


class VoieParId(Voie):
    """Là où les ids sont une séquence qu'on peut demander : binance, okx, coinbaseexchange.

    `pres_de` : ce qui demande une page autour d'un instant, là où l'exchange sait le chercher. `recule` : il ne rend
    que les trades d'avant un id. `depuis` lui demande alors ceux d'avant `numero + taille`, et les ids se suivent assez
    pour que la page tienne `numero`.
    """

    ids_entiers = compte_par_id = True

    def __init__(
        self,
        *communs: Any,
        taille: int,
        depuis: Callable[[int], Mapping[str, Any]],
        dernieres: Mapping[str, Any] | None = None,
        pres_de: Callable[[int], tuple[int | None, Mapping[str, Any]]] | None = None,
        recule: bool = False,
    ) -> None:
        super().__init__(*communs)
        self._taille, self._params, self._dernieres = taille, depuis, dernieres or {}
        self._pres_de, self._recule = pres_de, recule

    async def recents(self) -> Page:
        return await self.lire(None, self._dernieres)

    async def suite(self, page: Page) -> Page:
        return await self._depuis(numero_de(self.dernier(page)))

    async def _depuis(self, numero: int) -> Page:
        """Les trades à partir de ce numéro ; vide s'il n'est pas servi, ou si la réponse n'est pas à la demande."""
        numero = max(0, numero)
        try:
            page = await self.lire(None, self._params(numero))
        except ErreurDefinitive:
            return Page([])
        numeros = [numero_de(trade) for trade in page.lignes]
        if not self._recule:
            return page if min(numeros, default=numero) >= numero else Page([])
        if max(numeros, default=numero) >= numero + self._taille:
            return Page([])
        return page._replace(lignes=[trade for trade in page.lignes if numero_de(trade) >= numero])

    async def situer(self, instant: int) -> Depart:
        page = Page([])
        if self._pres_de is not None:
            page = await self.lire(*self._pres_de(instant))
        if not page.lignes:
            page = await self.recents()
        if not page.lignes or page.debut < instant:
            return Depart(page)
        avant = await self._depuis(numero_de(page.lignes[0]) - 1)
        if avant.lignes and avant.debut < instant:
            return Depart(avant)
        return await self._chercher(instant, numero_de(page.lignes[0]), page.debut)

    async def _chercher(self, instant: int, haut: int, instant_haut: int) -> Depart:
        """Dichotomie, entre un id d'avant l'instant (ou que l'exchange ne sert plus) et un d'après."""
        premiere = await self._depuis(0)
        if premiere.lignes and (premiere.debut >= instant or premiere.fin >= instant):
            return Depart(premiere, premiere=premiere.debut >= instant)
        bas, instant_bas = (numero_de(premiere.lignes[-1]), premiere.fin) if premiere.lignes else (0, None)
        for rang in range(SONDES_MAX):
            if haut - bas <= 1:
                break
            milieu = (bas + haut) // 2
            if instant_bas is not None and rang % 2 == 0 and instant_haut > instant_bas:
                part = Decimal(instant - instant_bas) / Decimal(instant_haut - instant_bas)
                milieu = bas + int(part * (haut - bas)) - self._taille // 2
            milieu = min(max(milieu, bas + 1), haut - 1)
            page = await self._depuis(milieu)
            if not page.lignes:
                bas = milieu
            elif page.debut >= instant:
                haut, instant_haut = milieu, page.debut
            elif page.fin >= instant:
                return Depart(page)
            else:
                bas, instant_bas = numero_de(page.lignes[-1]), page.fin
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


class VoieElastique(Voie):
    """Là où l'on demande jusqu'où lire, et où la page est la fin de ce qui l'est.

    L'étendue se resserre jusqu'à ce que la réponse redise la ligne d'où l'on part, et s'élargit tant qu'elle n'en donne
    pas d'autre.
    """

    etendue_min = 1

    def __init__(self, *communs: Any, etendue: int, maximum: int) -> None:
        super().__init__(*communs)
        self._etendue, self._maximum = etendue, maximum

    @abstractmethod
    async def _jusqua(self, depart: Any) -> Page:
        """Les dernières lignes, de `depart` à l'étendue au-delà de lui."""

    @abstractmethod
    def _repere(self, ligne: Any) -> int:
        """Ce que l'étendue mesure."""

    def _est_au_bout(self, repere: int) -> bool:  # noqa: ARG002  celui d'au-delà duquel il n'y a peut-être rien
        return self._etendue >= self._maximum

    async def suite(self, page: Page) -> Page:
        dernier, trouvee = self.dernier(page), Page([])
        depart = self._repere(dernier)
        for _ in range(SONDES_MAX):
            lue = await self._jusqua(dernier)
            if all(ligne.id != dernier.id for ligne in lue.lignes):
                if self._etendue <= self.etendue_min:
                    break
                self._etendue //= RETRECIR
                continue
            trouvee = lue._replace(lignes=[ligne for ligne in lue.lignes if self._repere(ligne) >= depart])
            if max(map(self._repere, lue.lignes)) > depart or self._est_au_bout(depart + self._etendue):
                break
            self._etendue = min(self._etendue * ELARGIR, self._maximum)
        return trouvee


def de_a(debut: int, fin: int) -> tuple[int, Mapping[str, Any]]:
    """Les bornes, d'office : ccxt envoie le début et la fin."""
    return debut, {"until": fin}


class VoieParFenetre(VoieElastique):
    """Là où une page est celle d'une fenêtre, par son début ou par sa fin : funding, intérêt ouvert.

    `largeur_ms` : d'une première fenêtre ; `maximum_ms` : ce qu'une demande peut couvrir.
    """

    etendue_min = SECONDE_MS

    def __init__(self, *communs: Any, largeur_ms: int, maximum_ms: int = FENETRE_MAX_MS, bornes: Bornes = de_a) -> None:
        super().__init__(*communs, etendue=largeur_ms, maximum=maximum_ms)
        self._bornes, self._largeur_ms = bornes, largeur_ms
        self._refus: ErreurDefinitive | None = None

    async def _fenetre(self, debut: int, fin: int) -> Page:
        """Ce que l'exchange rend de cette fenêtre ; rien s'il la refuse : trop ancienne."""
        try:
            return await self.lire(*self._bornes(max(0, debut), fin))
        except ErreurDefinitive as refus:
            self._refus = refus
            return Page([])

    async def obeit(self, page: Page) -> bool:
        autre = await self._fenetre(page.fin, page.fin + self._etendue)
        return not autre.lignes or autre.lignes[0].id != page.lignes[0].id

    async def _jusqua(self, depart: Any) -> Page:
        return await self._fenetre(depart.timestamp, depart.timestamp + self._etendue)

    def _repere(self, ligne: Any) -> int:
        return int(ligne.timestamp)

    def _est_au_bout(self, repere: int) -> bool:
        return repere > self._heure() or super()._est_au_bout(repere)

    async def situer(self, instant: int) -> Depart:
        self._refus, recul = None, self._etendue
        while True:
            page = await self._fenetre(instant - recul, instant)
            if page.lignes and page.debut < instant:
                return Depart(page)
            if self._a_refuse() or recul >= min(instant, self._maximum):
                break
            recul = min(recul * ELARGIR, self._maximum)
        # Refusée pour son début, mais pas dès l'instant même : plus étroite, elle est peut-être servie.
        etroites = self._a_refuse() and not await self._est_refusee(instant)
        while etroites and recul > MINUTE_MS:
            recul //= RETRECIR
            page = await self._fenetre(instant - recul, instant)
            if page.lignes and page.debut < instant:
                return Depart(page)
        return await self._premiere(instant)

    def _a_refuse(self) -> bool:
        return self._refus is not None

    async def _est_refusee(self, debut: int) -> bool:
        """Vrai si une fenêtre qui commence là l'est : celles qui commencent plus tôt le seraient aussi."""
        avant, self._refus = self._refus, None
        await self._fenetre(debut, debut + self._etendue)
        refusee, self._refus = self._a_refuse(), avant
        return refusee

    async def _premiere(self, instant: int) -> Depart:
        """La première page servie à partir d'un instant d'avant lequel rien ne l'est."""
        vide, servi = instant, self._heure()
        page = await self._fenetre(servi - self._largeur_ms, servi)
        if not page.lignes:
            page = await self.recents()
        if not page.lignes:
            if self._refus is not None:
                raise self._refus
            return Depart(page)
        des_lors = await self._fenetre(instant, min(instant + self._maximum, self._heure()))
        servi = instant if des_lors.lignes else min(page.debut, servi)
        while servi - vide > MINUTE_MS:  # d'où l'exchange commence-t-il à répondre ?
            milieu = (vide + servi) // 2
            essai = await self._fenetre(milieu, min(milieu + self._maximum, self._heure()))
            if essai.lignes:
                page, servi = essai, milieu
            else:
                vide = milieu
        largeur = self._largeur_ms
        for _ in range(SONDES_MAX):  # la première fenêtre qui n'est pas vide, puis le début de ce qu'elle tient
            essai = await self._fenetre(servi, servi + largeur)
            if essai.lignes or largeur >= self._maximum:
                break
            largeur = min(largeur * ELARGIR, self._maximum)
        page = essai if essai.lignes else page
        for _ in range(SONDES_MAX):
            plus_tot = await self._fenetre(servi, page.debut)
            if not plus_tot.lignes or plus_tot.debut >= page.debut:
                break
            page = plus_tot
        return Depart(page, premiere=page.debut >= instant)


MARGE_D_ID = 8  # d'une page, la part qui redit la précédente


class VoieAvantUnId(VoieElastique):
    """Là où l'on demande les lignes d'avant un id, et que deux voisines d'un marché sont loin l'une de l'autre.

    Les ids de bitflyer sont communs à tous ses marchés : l'écart à la borne grandit, ou se resserre, jusqu'à ce que la
    page redise la ligne d'où l'on part et en donne d'autres.
    """

    ids_entiers = True

    def __init__(self, *communs: Any, nom: str) -> None:
        super().__init__(*communs, etendue=1, maximum=INSTANT_MAX_MS)  # aucun id n'est si grand
        self._nom = nom

    async def _avant(self, numero: int) -> Page:
        """Les dernières lignes dont l'id est plus petit ; aucune s'il n'en est plus servi."""
        try:
            return await self.lire(None, {self._nom: str(numero)})
        except ErreurDefinitive:
            return Page([])

    async def _jusqua(self, depart: Any) -> Page:
        return await self._avant(numero_de(depart) + self._etendue)

    def _repere(self, ligne: Any) -> int:
        return numero_de(ligne)

    async def suite(self, page: Page) -> Page:
        numeros = [numero_de(ligne) for ligne in page.lignes]
        if etendue := max(numeros) - min(numeros):
            self._etendue = max(1, etendue - etendue // MARGE_D_ID)
        return await super().suite(page)

    async def situer(self, instant: int) -> Depart:
        page = await self.recents()
        if not page.lignes or page.debut < instant:
            return Depart(page)
        avant: Page | None = None
        bas, haut = 0, numero_de(page.lignes[0])  # d'avant `bas`, rien n'est servi, ou tout précède l'instant
        borne = haut
        while bas < haut:
            essai = await self._avant(borne)
            if essai.lignes and essai.debut >= instant:
                page, haut = essai, numero_de(essai.lignes[0])
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
