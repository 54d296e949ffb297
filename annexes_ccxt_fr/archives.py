"""Les fichiers publics d'un exchange : une source plus rapide des mêmes lignes, jamais une autorité.

Un fichier ne compte que s'il est entier (sa somme de contrôle), croissant, sur la grille, dans sa période ; et une
somme juste ne prouve que le transport : chaque jour est encore confronté à la bougie 1d de l'API, dont une page couvre
des années. Les mois d'abord ; les jours là où un mois est en retard, ou dit autre chose que l'API ; l'API pour tout le
reste : les bords, les derniers jours, chaque trou, chaque suite de volume nul. Elle seule dit une absence.

Les relevés (funding, intérêt ouvert) n'ont pas de bougie à qui les confronter : ils le sont à ce que l'API en sert, lu
une fois ; de l'intérêt ouvert, qu'elle ne garde qu'un mois, les fichiers sont d'avant lui la seule source.

Une lecture des archives (`LECTURES`) tient la source qu'elle remplace et se lit comme elle : mêmes lots, mêmes
écrivains. Où prendre les fichiers : `depot.py` ; où ils sont rangés : `rayon_de`.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import functools
import math
from typing import IO, TYPE_CHECKING, Any, NamedTuple, TypeVar

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from annexes_ccxt_fr.depot import CONNEXIONS, Ecarte, Silence
from annexes_ccxt_fr.fichiers_publics import (
    METRICS_MS,
    NATURES_EXAMEN,
    VIDE,
    Examen,
    Feuille,
    Valeurs,
    lire_bougies,
    lire_funding,
    lire_metrics,
    lire_trades,
    produits,
    quotients,
)
from annexes_ccxt_fr.histoires import BougiesDesTrades, Histoire
from annexes_ccxt_fr.place import taille_lisible
from annexes_ccxt_fr.voies import Releve
from module_ccxt_fr_v2 import (
    ARCHIVES,
    AUTO,
    ECHEC,
    FUNDING,
    HEURE_MS,
    HORS_FENETRE_API,
    INSTANT_MAX_MS,
    JOUR_MS,
    MINUTE_MS,
    OHLCV,
    OPEN_INTEREST,
    TRADES,
    ErreurTemporaire,
    Fiche,
    Historique,
    Intervalle,
    Lot,
    Plage,
    Question,
    Timeframe,
    Trou,
    abandonner,
    croiser,
    duree_lisible,
    en_iso,
    entre,
    genre_de,
    habiller,
    instants_de,
    journal,
    nombre_de,
    oter,
    plages,
    reste_a_lire,
    unir,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence

    from annexes_ccxt_fr.depot import Depot
    from module_ccxt_fr_v2 import Connexion, Serie, Source, Tache

AVANCE = 3  # fichiers lus d'avance
DEBIT_SUPPOSE = 4e6  # octets par seconde d'un hôte, pour une estimation

OCTETS_ZIP = 45  # par bougie, compressée : dans un zip de l'exchange embarqué, et à peu près en JSON
PAGES_DE_FRONT = 8

JOUR = Timeframe.lire("1d")
MOIS = Timeframe.lire("1M")
JOURS_SEULS = 3  # de si peu de jours, les fichiers d'un jour coûtent moins que celui du mois
TRADES_SEULS = 15  # un mois de trades pèse ce que pèsent ses jours : il faut en vouloir la moitié
RETARDS_MS = {"daily": 3 * JOUR_MS, "monthly": 35 * JOUR_MS}  # en deçà, un fichier absent n'est pas encore paru
ECART_DE_VOLUME = 1e-12  # deux sommes des mêmes flottants, dans un autre ordre
ARRONDI_INVERSE = 1e-8  # le volume d'une bougie inverse est arrondi à huit décimales

Element = TypeVar("Element")
Lu = TypeVar("Lu")


# --- Où sont les fichiers d'une série ---

_RACINES = {"spot": "spot", "linear": "futures/um", "inverse": "futures/cm"}
_GENRES = {
    "last": "klines",
    "mark": "markPriceKlines",
    "index": "indexPriceKlines",
    "premiumIndex": "premiumIndexKlines",
}
_EVENEMENTS = {TRADES.nom: "aggTrades", FUNDING.nom: "fundingRate", OPEN_INTEREST.nom: "metrics"}
_MENSUELS = frozenset({"3d", "1w", "1M"})  # n'existent pas en fichiers d'un jour
_API_BINANCE = {"spot": "public", "linear": "fapiPublic", "inverse": "dapiPublic"}


class Rayon(NamedTuple):
    """Où une série est rangée. Le même nom de fichier sert à quatre prix : seul le dossier les distingue."""

    racine: str
    genre: str
    nom: str
    intervalle: str = ""  # vide : des événements

    def prefixe(self, cadence: str) -> str:
        """Le début des clés de ses fichiers."""
        dossier = f"data/{self.racine}/{cadence}/{self.genre}/{self.nom}/"
        suite = f"{self.intervalle}/" if self.intervalle else ""
        return f"{dossier}{suite}{self.nom}-{self.intervalle or self.genre}-"

    def cle(self, cadence: str, debut: int) -> str:
        """La clé du fichier qui commence là."""
        return f"{self.prefixe(cadence)}{_date(cadence, debut)}.zip"


def _date(cadence: str, debut: int) -> str:
    """Ce qui date un fichier dans sa clé : AAAA-MM ou AAAA-MM-JJ."""
    return en_iso(debut)[: 7 if cadence == "monthly" else 10]


def rayon_de(serie: Serie, donnee: str) -> Rayon | None:
    """Le rayon d'une série ; None si rien ne dit où il est, ou que ses lignes y seraient celles de l'API."""
    marche, genre = serie.marche, genre_de(serie.marche)
    if marche.get("option") or genre not in _RACINES:
        return None
    racine, nom = _RACINES[genre], str(marche["id"])
    if donnee in _EVENEMENTS:
        # D'un contrat, une quantité est à convertir ; l'intérêt ouvert n'a de fichiers que linéaires.
        taille = marche.get("contractSize")
        lisible = {TRADES.nom: genre == "spot" or taille == 1 or bool(genre == "inverse" and taille),
                   FUNDING.nom: True, OPEN_INTEREST.nom: genre == "linear"}  # fmt: skip
        return Rayon(racine, _EVENEMENTS[donnee], nom) if lisible[donnee] else None
    prix, code = serie.cle.prix, serie.timeframe.code
    if genre == "spot" and prix != "last":
        return None
    if prix == "index" and genre == "inverse":  # rangé par paire (BTCUSD), tout le reste par contrat (BTCUSD_PERP)
        nom = nom.partition("_")[0]
    return Rayon(racine, _GENRES[prix], nom, "1mo" if code == "1M" else code)


class Tranche(NamedTuple):
    """Un fichier à lire, et ce qu'on en veut : [debut, fin[."""

    cadence: str
    periode: Intervalle
    debut: int
    fin: int

    @property
    def est_entamee(self) -> bool:
        """Vrai d'un fichier dont on ne veut qu'une part."""
        return (self.debut, self.fin) != self.periode

    def jours(self, heure_ms: int) -> list[Tranche]:
        """Les fichiers de ses jours, et ce qu'on veut de chacun."""
        jours = jours_entiers(JOUR.plancher(self.debut), JOUR.plafond(self.fin), heure_ms)
        return [Tranche("daily", jour, max(jour[0], self.debut), min(jour[1], self.fin)) for jour in jours]


def jours_entiers(debut: int, fin: int, heure_ms: int) -> list[Intervalle]:
    """Les jours entiers de [début, fin[ dont le fichier peut être paru : ni aujourd'hui, ni hier."""
    fin = min(fin, JOUR.plancher(heure_ms) - JOUR_MS)
    return [(d, d + JOUR_MS) for d in range(JOUR.plafond(debut), JOUR.plancher(fin), JOUR_MS) if d + JOUR_MS <= fin]


def decouper(
    debut: int, fin: int, timeframe: Timeframe, heure_ms: int, parus: Iterable[str] | None, seuls: int = JOURS_SEULS
) -> list[Tranche]:
    """Les fichiers où lire [début, fin[, dans l'ordre ; ce qu'ils ne couvrent pas est à l'API.

    `parus` : les mois parus (AAAA-MM) ; None : rien ne le dit, on le verra en les demandant. `seuls` : jusqu'à tant de
    jours d'un mois, leurs fichiers plutôt que le sien.
    """
    tranches: list[Tranche] = []
    connus = None if parus is None else set(parus)
    mois = MOIS.plancher(debut)
    while mois < fin:
        suivant = MOIS.avancer(mois, 1)
        # Une semaine est rangée dans le mois où elle ouvre, et finit dans le suivant.
        premier, dernier = timeframe.plafond(max(debut, mois)), timeframe.plafond(min(fin, suivant))
        jours = jours_entiers(premier, dernier, heure_ms)
        paru = suivant <= heure_ms if connus is None else en_iso(mois)[:7] in connus
        if paru and timeframe.pas_ms >= MINUTE_MS and (len(jours) > seuls or timeframe.code in _MENSUELS):
            tranches.append(Tranche("monthly", (mois, suivant), premier, dernier))
        elif timeframe.code not in _MENSUELS:
            tranches += [Tranche("daily", jour, *jour) for jour in jours]
        mois = suivant
    return tranches


class Fichiers:
    """Les fichiers d'une série : lesquels sont parus, et ce que chacun a de bon."""

    def __init__(self, depot: Depot, rayon: Rayon, connexion: Connexion) -> None:
        self.depot, self.rayon, self.connexion = depot, rayon, connexion
        self.compteurs: collections.Counter[str] = collections.Counter()
        self.manques: set[Intervalle] = set()  # les périodes de ceux qui ne sont pas venus
        self._parus: dict[str, Mapping[str, int] | None] = {}

    async def parus(self, cadence: str) -> Mapping[str, int] | None:
        """La taille de ceux qui sont parus, par date ; None si rien ne le dit."""
        if cadence not in self._parus:
            prefixe = self.rayon.prefixe(cadence)
            try:
                tailles = await self.depot.lister(prefixe)
            except ErreurTemporaire:
                tailles = None  # l'hôte est peut-être muet : le premier fichier le dira
            entiers = [cle for cle in tailles or () if f"{cle}.CHECKSUM" in (tailles or ())]
            dates = {cle.removeprefix(prefixe).removesuffix(".zip"): (tailles or {})[cle] for cle in entiers}
            self._parus[cadence] = None if tailles is None else dates
        return self._parus[cadence]

    async def tranches(self, debut: int, fin: int, timeframe: Timeframe, seuls: int = JOURS_SEULS) -> list[Tranche]:
        """Ceux où lire [debut, fin[, d'après la liste des mois s'il en faut."""
        heure = self.connexion.heure_ms()
        possibles = decouper(debut, fin, timeframe, heure, None, seuls)
        if all(tranche.cadence == "daily" for tranche in possibles):
            return possibles
        return decouper(debut, fin, timeframe, heure, await self.parus("monthly"), seuls)

    def taille(self, tranche: Tranche, sinon: float) -> float:
        """Celle que dit la liste, si elle a été lue."""
        return (self._parus.get(tranche.cadence) or {}).get(_date(tranche.cadence, tranche.periode[0])) or sinon

    async def lire(
        self, cadence: str, periode: Intervalle, lire: Callable[[IO[bytes], Intervalle], Lu], *, garder: bool = False
    ) -> Lu | None:
        """Ce que `lire` tire d'un fichier ; None s'il ne compte pas, et c'est dit. `garder` : le laisser ouvert."""
        cle = self.rayon.cle(cadence, periode[0])
        with contextlib.ExitStack() as ouverts:
            try:
                fichier = await self.depot.ouvrir(cle)
                if fichier is None:
                    age = self.connexion.heure_ms() - periode[1]
                    self._dire_absent(cle, en_retard=age <= RETARDS_MS[cadence])
                    return None
                ouverts.enter_context(fichier)
                lu = await asyncio.to_thread(lire, fichier, periode)
            except Ecarte as refus:
                self.compteurs["fichier écarté"] += 1
                journal.warning("Archives : %s écarté : %s.", cle, refus)
                return None
            except ErreurTemporaire as erreur:
                self.compteurs["fichier manqué"] += 1
                self.manques.add(periode)
                if not isinstance(erreur, Silence):
                    journal.warning("Archives : %s manqué. %s", cle, erreur)
                return None
            if garder:
                ouverts.pop_all()
        self.compteurs["fichier"] += 1
        return lu

    def _dire_absent(self, cle: str, *, en_retard: bool) -> None:
        self.compteurs["fichier absent"] += 1
        niveau, quoi = (journal.debug, "n'est pas encore paru") if en_retard else (journal.info, "n'existe pas")
        niveau("Archives : %s %s.", cle, quoi)

    def conclure(self, serie: Serie, quoi: str = "ligne") -> None:
        """Dit ce qui en a été tiré."""
        vus = self.compteurs
        sans_effet = ("fichier absent", "fichier écarté", "fichier manqué")
        autres = [nombre_de(vus[nom], nom) for nom in sans_effet if vus[nom]]
        autres += [f"{nombre_de(vus['jour'], 'jour')} à l'API"] if vus["jour"] else []
        if vus:
            journal.info(
                "%s : %s de %s (%s)%s.", serie.cle, nombre_de(vus["ligne"], quoi),
                nombre_de(vus["fichier"], "fichier"), taille_lisible(self.depot.octets),
                " ; " * bool(autres) + ", ".join(autres),
            )  # fmt: skip
        vus.clear()


async def dans_l_ordre(
    charger: Callable[[Element], Awaitable[Lu]], elements: Iterable[Element], avance: int = AVANCE
) -> AsyncGenerator[Lu]:
    """Ce que `charger` rend de chaque élément, dans leur ordre ; quelques-uns sont chargés d'avance."""
    a_lancer, en_vol = collections.deque(elements), collections.deque[asyncio.Future[Lu]]()
    try:
        while a_lancer or en_vol:
            while a_lancer and len(en_vol) < avance:
                en_vol.append(asyncio.ensure_future(charger(a_lancer.popleft())))
            yield await en_vol[0]
            en_vol.popleft()
    finally:
        await abandonner(*en_vol)


# --- Confronter à l'API ---

Resume = tuple[float, float, float, float, float]  # ouverture, haut, bas, clôture, volume


def resumer(lignes: pa.Table, timeframe: Timeframe) -> dict[int, Resume]:
    """Ce que ces bougies disent de chaque jour, ou de chacune d'elles si elle dure au moins un jour."""
    if not lignes.num_rows:
        return {}
    instants = lignes["timestamp"]
    if timeframe.pas_ms < JOUR_MS:
        instants = pc.multiply(pc.divide(instants, JOUR_MS), JOUR_MS)
    groupes = (
        lignes.append_column("jour", instants)
        .group_by("jour", use_threads=False)
        .aggregate([("open", "first"), ("high", "max"), ("low", "min"), ("close", "last"), ("volume", "sum")])
    )
    return {jour: tuple(valeurs) for jour, *valeurs in zip(*_colonnes_de(groupes), strict=True)}


def _colonnes_de(groupes: pa.Table) -> Iterator[list[Any]]:
    for nom in ("jour", "open_first", "high_max", "low_min", "close_last", "volume_sum"):
        yield groupes[nom].to_pylist()


def concordent(lus: Resume, dits: Resume, nombre: int, *, inverse: bool) -> bool:
    """Vrai si un jour lu est celui que l'API résume : mêmes prix, même volume à l'arrondi de la somme près."""
    ecart = max(ECART_DE_VOLUME * abs(dits[4] or 0.0), nombre * ARRONDI_INVERSE * inverse)
    return lus[:4] == dits[:4] and math.isclose(lus[4] or 0.0, dits[4] or 0.0, rel_tol=0.0, abs_tol=ecart)


def fenetre_de_reference(historique: Historique) -> int:
    """Ce que couvre une page de jours de l'API."""
    return historique.pages.capacite(JOUR) * JOUR_MS


def _pages_de_jours(historique: Historique, tranches: Sequence[Tranche]) -> int:
    """Les pages de l'API à qui confronter ces fichiers."""
    return math.ceil((tranches[-1].fin - tranches[0].debut) / fenetre_de_reference(historique)) if tranches else 0


async def jours_de_l_api(historique: Historique, debut: int, fin: int) -> dict[int, Resume]:
    """Les bougies 1d que l'API rend pour [début, fin[ ; aucune si elle ne répond pas."""
    jours: dict[int, Resume] = {}
    while debut < fin:
        suivant = min(fin, debut + fenetre_de_reference(historique))
        reponse = await historique.pages.temoigner(Question(JOUR, debut, suivant))
        colonnes = [colonne.to_pylist() for colonne in entre(reponse.page.lignes, debut, suivant).columns]
        jours |= {instant: tuple(valeurs) for instant, *valeurs in zip(*colonnes, strict=True)}
        debut = suivant
    return jours


def grouper(intervalles: Sequence[Intervalle], timeframe: Timeframe, taille: int) -> list[Intervalle]:
    """Des intervalles réunis tant qu'une page de l'API en couvre plusieurs."""
    groupes: list[Intervalle] = []
    for debut, fin in unir(intervalles):
        if groupes and timeframe.compter(groupes[-1][0], fin) <= taille:
            groupes[-1] = (groupes[-1][0], fin)
        else:
            groupes.append((debut, fin))
    return groupes


class Devis(NamedTuple):
    """Ce que coûterait une lecture."""

    requetes: int
    octets: int
    duree_s: float


# --- Eux d'abord, la source pour le reste ---


class _Lecture:
    """Une source, et les fichiers publics de sa série."""

    def __init__(self, lue: Historique | Histoire, fichiers: Fichiers, source: str) -> None:
        """`source` : « archives », ou « auto » pour n'ouvrir que les fichiers qui coûtent moins que l'API."""
        self._serie, self._connexion, self.demande = lue.serie, lue.connexion, lue.demande
        self._lue, self._fichiers, self._source = lue, fichiers, source

    @property
    def attendue(self) -> int | None:
        """L'ouverture de la dernière bougie close ; None si rien ne doit avoir lieu à un instant donné."""
        return self._lue.attendue

    async def preparer(self) -> list[Intervalle]:
        """Fixe l'ancre et les bornes ; rend les intervalles à demander."""
        intervalles = await self._lue.preparer()
        self.demande = self._lue.demande
        if isinstance(self._lue, Histoire):  # de ce que l'API ne sert plus, un fichier a peut-être les lignes
            return reste_a_lire(self.demande, self._lue.fiche, ailleurs=True)
        return intervalles

    def _tirer(self, lignes: pa.Table, couverts: list[Intervalle]) -> Lot:
        """Un lot tiré d'un fichier."""
        self._fichiers.compteurs["ligne"] += lignes.num_rows
        return Lot(self._serie.cle, lignes, couverts, [], ARCHIVES)


class _ParTranches(_Lecture):
    """Une lecture dans l'ordre du temps, fichier après fichier. Une sous-classe dit comment lire les uns et l'API."""

    def __init__(self, lue: Historique | Histoire, fichiers: Fichiers, source: str) -> None:
        super().__init__(lue, fichiers, source)
        self._a_relire: set[Tranche] = set()  # les jours que le fichier de leur mois n'a pas prouvés

    def _des_fichiers(self, tranches: Sequence[Tranche]) -> AsyncGenerator[Lot]:
        raise NotImplementedError

    def _de_l_api(self, debut: int, fin: int) -> AsyncGenerator[Lot]:
        raise NotImplementedError

    async def _entre(self, debut: int, fin: int, tranches: Sequence[Tranche]) -> AsyncGenerator[Lot]:
        """Les lots de ces fichiers, et de quoi combler ce qui les sépare."""
        curseur = debut
        async with contextlib.aclosing(self._des_fichiers(tranches)) as lots:
            async for lot in lots:
                if lot.couverts and curseur < lot.couverts[0][0]:
                    async for autre in self._combler(curseur, lot.couverts[0][0]):
                        yield autre
                curseur = max([curseur, *(jusqua for _, jusqua in lot.couverts)])
                yield lot
        if curseur < fin:
            async for autre in self._combler(curseur, fin):
                yield autre

    async def _combler(self, debut: int, fin: int) -> AsyncGenerator[Lot]:
        """Ce que le fichier d'un mois n'a pas prouvé, par ceux de ses jours ; le reste, par l'API."""
        jours = sorted(jour for jour in self._a_relire if croiser([jour[2:]], [(debut, fin)]))
        self._a_relire.difference_update(jours)
        tranches = [jour._replace(debut=max(jour.debut, debut), fin=min(jour.fin, fin)) for jour in jours]
        suite = self._entre(debut, fin, tranches) if jours else self._de_l_api(debut, fin)
        async with contextlib.aclosing(suite) as lots:
            async for lot in lots:
                yield lot


class SourceArchives(_ParTranches):
    """Une série de bougies ; `auto` prend les fichiers d'un intervalle, ou l'API seule."""

    def __init__(self, historique: Historique, fichiers: Fichiers, source: str) -> None:
        super().__init__(historique, fichiers, source)
        self._historique = historique
        self._inverse = genre_de(self._serie.marche) == "inverse"
        self._reference: dict[int, Resume] = {}
        self._sus: list[Intervalle] = []
        self._libre = False

    @property
    def timeframe(self) -> Timeframe:
        """La grille de la série."""
        return self._historique.timeframe

    async def lots(self, intervalles: Sequence[Intervalle]) -> AsyncGenerator[Lot]:
        """Les lots des intervalles, dans l'ordre du temps, de l'une et l'autre source."""
        historique = self._historique
        self._sus, self._libre = list(historique.fiche.couverts), historique.libre
        for debut, fin in await historique.avec_les_bords(intervalles):
            tranches = await self._planifier(debut, fin)
            if tranches and self._source == AUTO and not self._moins_cher(debut, fin, tranches):
                tranches = []
            await self._lire_la_reference(tranches)
            async with contextlib.aclosing(self._entre(debut, fin, tranches)) as lots:
                async for lot in lots:
                    self._libre = False
                    self.demande = historique.demande  # sans début demandé, il la précise en lisant
                    yield lot
        self._fichiers.conclure(self._serie)

    def _de_l_api(self, debut: int, fin: int) -> AsyncGenerator[Lot]:
        return self._historique.lots_entre(debut, fin, self._sus, libre=self._libre)

    async def _des_fichiers(self, tranches: Sequence[Tranche]) -> AsyncGenerator[Lot]:
        async with contextlib.aclosing(dans_l_ordre(self._lire_tranche, tranches)) as lus:
            async for morceaux in lus:
                for couvert, lignes in morceaux:
                    yield self._tirer(habiller(self._serie.cle, lignes), [couvert])
                    self._sus[:] = unir(self._sus, [couvert])

    # --- le plan

    async def _planifier(self, debut: int, fin: int) -> list[Tranche]:
        """Les fichiers où lire ; aucun d'une grille que celle de l'exchange n'est pas."""
        return [] if self.timeframe.ancre_ms else await self._fichiers.tranches(debut, fin, self.timeframe)

    async def devis(self, intervalles: Sequence[Intervalle]) -> tuple[Devis, Devis]:
        """Ce que coûterait l'API seule, et ce que coûteraient les archives et l'API pour le reste."""
        plans = [(debut, fin, await self._planifier(debut, fin)) for debut, fin in intervalles]
        return self._devis_api(intervalles), _somme([self._devis_archives(*plan) for plan in plans])

    def _moins_cher(self, debut: int, fin: int, tranches: Sequence[Tranche]) -> bool:
        api, archives = self._devis_api([(debut, fin)]), self._devis_archives(debut, fin, tranches)
        nom = "les archives" if archives.duree_s < api.duree_s else "l'API"
        journal.info(
            "%s : %s (API : %s, %s ; archives : %s, %s).", self._serie.cle, nom,
            nombre_de(api.requetes, "requête"), duree_lisible(api.duree_s),
            nombre_de(archives.requetes, "requête"), duree_lisible(archives.duree_s),
        )  # fmt: skip
        return archives.duree_s < api.duree_s

    def _devis_api(self, intervalles: Sequence[Intervalle]) -> Devis:
        """Les pages de bougies, plusieurs de front."""
        limite = self._serie.limite
        bougies = [self.timeframe.compter(*intervalle) for intervalle in intervalles]
        requetes = sum(math.ceil(nombre / limite) for nombre in bougies)
        attente_s = requetes * self._fichiers.depot.attente_s / PAGES_DE_FRONT
        bride_s = bride_de(self._connexion, self._serie, "klines", requetes, limite)
        return _devis_de_l_api(requetes, OCTETS_ZIP * sum(bougies), max(bride_s, attente_s))

    def _devis_archives(self, debut: int, fin: int, tranches: Sequence[Tranche]) -> Devis:
        reste = self._devis_api(oter([(debut, fin)], [tranche[2:] for tranche in tranches]))
        if not tranches:
            return reste
        supposees = [OCTETS_ZIP * self.timeframe.compter(*tranche.periode) for tranche in tranches]
        octets = round(sum(map(self._fichiers.taille, tranches, supposees)))
        avant = _pages_de_jours(self._historique, tranches) + any(t.cadence == "monthly" for t in tranches)
        # La liste et les jours de l'API d'abord ; puis chaque somme de contrôle, puis son fichier.
        attente_s = self._fichiers.depot.attente_s * (avant + max(2.0, 2 * len(tranches) / CONNEXIONS))
        return _somme([Devis(2 * len(tranches) + avant, octets, attente_s + octets / DEBIT_SUPPOSE), reste])

    # --- la preuve

    async def _lire_tranche(self, tranche: Tranche) -> list[tuple[Intervalle, pa.Table]]:
        """Ce qu'un fichier a de sûr : intervalles croissants, et leurs bougies. D'un mois, les jours faux à relire."""
        faux = self._jours_dits(tranche)
        if not faux:
            return []  # l'API n'y a rien : aucun fichier ne pourrait être confronté
        surs: list[Intervalle] = []
        lignes = await self._fichiers.lire(tranche.cadence, tranche.periode, self._lire_fichier)
        if lignes is not None:
            surs, faux = self._juger(tranche, lignes)
        if tranche.cadence == "monthly" and self.timeframe.code not in _MENSUELS:
            jours = tranche.jours(self._connexion.heure_ms())
            self._a_relire |= {jour for jour in jours if jour.periode[0] in faux and not jour.est_entamee}
        elif tranche.cadence == "daily":
            self._fichiers.compteurs["jour"] += len(faux)
        return [(sur, entre(lignes, *sur)) for sur in surs]

    def _lire_fichier(self, fichier: IO[bytes], periode: Intervalle) -> pa.Table:
        # La monnaie de base ; d'un inverse, la sixième colonne compte des contrats.
        lignes = lire_bougies(fichier, self.timeframe, self._serie.cle.prix, 7 if self._inverse else 5)
        if entre(lignes, *periode).num_rows != lignes.num_rows:
            raise Ecarte("il tient des lignes d'une autre période")
        return lignes

    async def _lire_la_reference(self, tranches: Sequence[Tranche]) -> None:
        """Les bougies 1d de l'API, réunies par bougie de la série si elle est plus longue."""
        if not tranches:
            return
        debut, fin = self.timeframe.plancher(tranches[0].debut), self.timeframe.plafond(tranches[-1].fin)
        jours = await jours_de_l_api(self._historique, JOUR.plancher(debut), JOUR.plafond(fin))
        if not jours:
            journal.warning("%s : l'API ne donne rien en 1d à confronter ; tout lui est demandé.", self._serie.cle)
        for instant, resume in jours.items():
            case = (self.timeframe if self.timeframe.pas_ms >= JOUR_MS else JOUR).plancher(instant)
            avant = self._reference.get(case)
            self._reference[case] = resume if avant is None else _fondre(avant, resume)

    def _etendue(self, case: int) -> Intervalle:
        return case, self.timeframe.avancer(case, 1) if self.timeframe.pas_ms >= JOUR_MS else case + JOUR_MS

    def _jours_dits(self, tranche: Tranche) -> set[int]:
        """Les jours de la tranche dont l'API a une bougie."""
        return {c for c in self._reference if croiser([self._etendue(c)], [tranche[2:]])}

    def _juger(self, tranche: Tranche, lignes: pa.Table) -> tuple[list[Intervalle], set[int]]:
        """Les intervalles sûrs d'un fichier, et les jours qui diffèrent de ceux que l'API résume."""
        dits = self._jours_dits(tranche)
        prix = self._serie.cle.prix
        vives = lignes.filter(pc.not_equal(lignes["volume"], 0.0)) if prix == "last" else lignes
        toutes, echangees = resumer(lignes, self.timeframe), resumer(vives, self.timeframe)
        nombre = max(1, JOUR_MS // self.timeframe.pas_ms)
        # Une bougie plate d'avant le premier échange du jour en est, ou non, l'ouverture : les deux se défendent.
        bons = {
            case
            for case in dits
            if any(
                case in vus and concordent(vus[case], self._reference[case], nombre, inverse=self._inverse)
                for vus in (toutes, echangees)
            )
        }
        presentes = plages(lignes["timestamp"].combine_chunks(), self.timeframe)
        surs = croiser(croiser(presentes, map(self._etendue, bons)), [tranche[2:]])
        # Figées : rien ne s'y échange ; ou, d'un prix sans volume, rien n'y bouge, et la bougie 1d ne le verrait pas.
        figees = pc.equal(lignes["volume"], 0.0) if prix == "last" else pc.equal(lignes["high"], lignes["low"])
        suites = plages(lignes.filter(figees)["timestamp"].combine_chunks(), self.timeframe)
        surs = oter(surs, grouper(suites, self.timeframe, self._serie.limite))
        if faux := dits - bons:
            cle = self._fichiers.rayon.cle(tranche.cadence, tranche.periode[0])
            premier = en_iso(min(faux))[:10]
            journal.info(
                "Archives : %s diffère de l'API (%s, le premier : %s).", cle, nombre_de(len(faux), "jour"), premier
            )
        return surs, faux


def bride_de(connexion: Connexion, serie: Serie, page: str, requetes: int, limite: int) -> float:
    """Les secondes que le débit de ccxt impose à tant de pages de binance, chacune à son poids."""
    api, acces = connexion.api, _API_BINANCE[genre_de(serie.marche)]
    reglage = api.api[acces]["get"][page]
    reglage = reglage if isinstance(reglage, dict) else {"cost": reglage}
    poids = float(api.calculate_rate_limiter_cost(acces, "GET", page, {"limit": limite}, reglage))
    return float(api.throttler.duree_s(requetes * poids))


def _devis_de_l_api(requetes: int, octets: int, attente_s: float) -> Devis:
    return Devis(requetes, octets, attente_s + octets / DEBIT_SUPPOSE)


def _fondre(avant: Resume, apres: Resume) -> Resume:
    """Deux jours qui se suivent, en un."""
    return avant[0], max(avant[1], apres[1]), min(avant[2], apres[2]), apres[3], avant[4] + apres[4]


def _somme(devis: Sequence[Devis]) -> Devis:
    return Devis(*(sum(valeurs) for valeurs in zip(*devis, strict=True))) if devis else Devis(0, 0, 0.0)


# --- Les trades ---

# D'un trade réuni : dans un zip de l'exchange, et dans une page de l'API, compressée.
OCTETS_ZIP_TRADE, OCTETS_JSON_TRADE, TRADES_PAR_PAGE = 20, 30, 1000
ECART_DE_SOMME = 1e-10  # d'un jour de millions de quantités, additionnées dans leur ordre


class FichierDeTrades(NamedTuple):
    """Un fichier retenu : ses jours sûrs, à lire une seconde fois."""

    fichier: IO[bytes]
    surs: list[Intervalle]


class TradesDesArchives(_ParTranches):
    """Les trades d'une série ; `auto` n'ouvre que les fichiers qui coûtent moins que l'API.

    Au comptant, des ids qui se suivent prouvent que rien ne manque, d'un fichier à l'autre aussi. Un contrat en saute
    sans perte : ses jours sont prouvés par leur volume. L'un et l'autre ont les prix et le volume de la bougie 1d.
    """

    def __init__(self, histoire: Histoire, fichiers: Fichiers, source: str) -> None:
        super().__init__(histoire, fichiers, source)
        genre = genre_de(self._serie.marche)
        self._histoire, self._suivis = histoire, genre == "spot"
        self._contrat = float(self._serie.marche["contractSize"]) if genre == "inverse" else None
        jours = self._connexion.ouvrir_serie(self._serie.cle.symbole, JOUR.code, "last", None)
        self._jours = Historique(self._connexion, jours, Plage(), Fiche(jours.cle), asyncio.Semaphore(1), 1)
        self._reference: dict[int, Resume] = {}
        self._dernier = (-1, 0)  # l'id et l'instant de la dernière ligne rendue d'un fichier
        self._bord = pa.scalar(0, TRADES.schema.field("timestamp").type)  # l'instant du dernier trade rendu
        self._ids_du_bord = pa.array([], pa.string())  # de ceux de cet instant

    async def lots(self, intervalles: Sequence[Intervalle]) -> AsyncGenerator[Lot]:
        """Les lots des fichiers, et entre eux ceux de l'API pour ce qu'ils n'ont pas prouvé : dans l'ordre du temps."""
        for intervalle, tranches in zip(intervalles, await self._planifier(intervalles), strict=True):
            await self._lire_la_reference(tranches)
            async with contextlib.aclosing(self._entre(*intervalle, tranches)) as lots:
                async for lot in lots:
                    yield self._sans_redite(lot)
        self._fichiers.conclure(self._serie, "trade")

    def _sans_redite(self, lot: Lot) -> Lot:
        """Le lot, sans les trades que le précédent a rendus : au bord d'un fichier, l'API et lui ont les mêmes."""
        if not lot.lignes.num_rows:
            return lot
        instants, ids = lot.lignes["timestamp"], lot.lignes["id"]
        if instants[0] == self._bord:
            redits = pc.and_(pc.equal(instants, self._bord), pc.is_in(ids, self._ids_du_bord))
            lot = lot._replace(lignes=lot.lignes.filter(pc.invert(redits)))
        if instants[-1] != self._bord:
            self._bord, self._ids_du_bord = instants[-1], pa.array([], pa.string())
        du_bord = ids.filter(pc.equal(instants, self._bord)).combine_chunks()
        self._ids_du_bord = pa.concat_arrays([self._ids_du_bord, du_bord])
        return lot

    def _de_l_api(self, debut: int, fin: int) -> AsyncGenerator[Lot]:
        return self._histoire.lots([(debut, fin)])

    # --- le plan

    async def _planifier(self, intervalles: Sequence[Intervalle]) -> list[list[Tranche]]:
        """Les fichiers où lire chaque intervalle ; `auto` laisse à l'API ce qu'elle rendrait à moindre coût."""
        plans = []
        for debut, fin in intervalles:
            jours = JOUR.plancher(debut), JOUR.plafond(fin)
            entieres = await self._fichiers.tranches(*jours, JOUR, TRADES_SEULS)
            plans.append([t._replace(debut=max(t.debut, debut), fin=min(t.fin, fin)) for t in entieres])
        if self._source == AUTO and any(tranche.est_entamee for plan in plans for tranche in plan):
            debut, fin = intervalles[0][0], intervalles[-1][1]
            par_ms = await self._histoire.parcours.compter(debut, fin) / (fin - debut)
            plans = [[t for t in plan if self._vaut_son_fichier(t, par_ms)] for plan in plans]
        return plans

    def _vaut_son_fichier(self, tranche: Tranche, par_ms: float) -> bool:
        """Vrai d'un fichier voulu entier, ou qui coûte moins que d'en demander à l'API ce qu'on en veut.

        D'un jour de deux millions de trades, une heure est à l'API. Ce qu'elle ne sert plus n'est qu'aux fichiers.
        """
        if not par_ms or not tranche.est_entamee:
            return True
        debut, fin = tranche.periode
        fichier_s = 2 * self._fichiers.depot.attente_s + OCTETS_ZIP_TRADE * par_ms * (fin - debut) / DEBIT_SUPPOSE
        return fichier_s < self._devis_api(round(par_ms * (tranche.fin - tranche.debut)), 1).duree_s

    async def devis(self, intervalles: Sequence[Intervalle], nombre: int) -> tuple[Devis, Devis]:
        """Ce que coûteraient `nombre` trades par l'API seule, et par les fichiers que lirait cette source."""
        tranches = [tranche for plan in await self._planifier(intervalles) for tranche in plan]
        cadences = {tranche.cadence for tranche in tranches}
        for cadence in cadences:
            await self._fichiers.parus(cadence)
        duree = sum(fin - debut for debut, fin in intervalles)
        par_ms = nombre / max(duree, 1)
        reste = max(0, duree - sum(t.fin - t.debut for t in tranches))
        supposees = [OCTETS_ZIP_TRADE * par_ms * (t.periode[1] - t.periode[0]) for t in tranches]
        octets = round(sum(map(self._fichiers.taille, tranches, supposees)))
        requetes = 2 * len(tranches) + len(cadences) + _pages_de_jours(self._jours, tranches)
        attente_s = self._fichiers.depot.attente_s * requetes / CONNEXIONS
        du_reste = self._devis_api(round(par_ms * reste), len(intervalles) if reste else 0)
        archives = _somme([Devis(requetes, octets, attente_s + octets / DEBIT_SUPPOSE), du_reste])
        return self._devis_api(nombre, len(intervalles)), archives

    def _devis_api(self, nombre: int, departs: int) -> Devis:
        """Une page après l'autre : l'id de la suivante est dans la précédente."""
        requetes = departs + math.ceil(nombre / TRADES_PAR_PAGE)
        bride_s = bride_de(self._connexion, self._serie, "aggTrades", requetes, TRADES_PAR_PAGE)
        attente_s = requetes * self._fichiers.depot.attente_s
        return _devis_de_l_api(requetes, OCTETS_JSON_TRADE * nombre, max(bride_s, attente_s))

    # --- la preuve

    async def _lire_la_reference(self, tranches: Sequence[Tranche]) -> None:
        """Ce que chaque jour a échangé, d'après l'API."""
        if not tranches:
            return
        debut, fin = JOUR.plancher(tranches[0].debut), JOUR.plafond(tranches[-1].fin)
        self._reference |= await jours_de_l_api(self._jours, debut, fin)

    async def _des_fichiers(self, tranches: Sequence[Tranche]) -> AsyncGenerator[Lot]:
        """Les lots des fichiers, dans l'ordre ; le suivant se télécharge pendant qu'on lit."""
        with contextlib.ExitStack() as ouverts:
            retenus = dans_l_ordre(functools.partial(self._ouvrir, ouverts), tranches, 2)
            async with contextlib.aclosing(retenus) as suite:
                async for retenu in suite:
                    if retenu is not None:
                        with retenu.fichier:
                            async for lot in self._lots_de(retenu):
                                yield lot

    async def _ouvrir(self, ouverts: contextlib.ExitStack, tranche: Tranche) -> FichierDeTrades | None:
        """Un fichier qui compte, et ses jours sûrs ; None sinon, et c'est dit. D'un mois, les jours à relire."""
        lu = await self._fichiers.lire(tranche.cadence, tranche.periode, self._examiner, garder=True)
        surs: list[Intervalle] = []
        if lu is not None:
            ouverts.push(lu[0])
            debut, fin = JOUR.plancher(tranche.debut), JOUR.plafond(tranche.fin)
            mauvais = [jour for jour in self._mauvais(lu[1]) if debut <= jour < fin]
            surs = oter([tranche[2:]], [(jour, jour + JOUR_MS) for jour in mauvais])
            if mauvais:
                cle = self._fichiers.rayon.cle(tranche.cadence, tranche.periode[0])
                journal.info("Archives : %s : %s à relire.", cle, nombre_de(len(mauvais), "jour"))
        if tranche.cadence == "monthly":
            faux = oter([tranche[2:]], surs)
            jours = tranche.jours(self._connexion.heure_ms())
            self._a_relire.update(jour for jour in jours if croiser([jour[2:]], faux))
        return None if lu is None else FichierDeTrades(lu[0], surs)

    def _examiner(self, fichier: IO[bytes], periode: Intervalle) -> tuple[IO[bytes], Examen]:
        examen = Examen(periode, self._contrat)
        for lot in lire_trades(fichier, NATURES_EXAMEN):
            examen.voir(lot)
        return fichier, examen

    def _mauvais(self, examen: Examen) -> set[int]:
        """Les jours du fichier que rien ne prouve entiers, ou que l'API dément."""
        jours = range(*examen.periode, JOUR_MS)
        if not self._suivis:
            return {jour for jour in jours if not self._concorde(examen, jour)}
        # Un jour vide, entre des ids qui se suivent, l'est vraiment ; au bord, rien ne le dit.
        premier, dernier = min(examen.jours, default=INSTANT_MAX_MS), max(examen.jours, default=0)
        bords = {jour for jour in jours if not premier <= jour <= dernier}
        coupes = ({premier} if premier > jours[0] else set()) | ({dernier} if dernier < jours[-1] else set())
        dementis = {j for j in examen.jours if j in self._reference and not self._concorde(examen, j)}
        return examen.rompus | bords | (coupes & set(jours)) | dementis

    def _concorde(self, examen: Examen, jour: int) -> bool:
        """Vrai si ce jour a échangé ce que dit l'API ; d'un inverse, à moins d'un demi-contrat, l'arrondi du reste."""
        vu, dit = examen.jours.get(jour), self._reference.get(jour)
        if vu is None or dit is None:
            return False
        _, haut, bas, _, volume = dit
        ecart = 0.0 if self._contrat is None else self._contrat / vu.haut / 2
        memes_prix = (vu.haut, vu.bas) == (haut, bas)
        return memes_prix and math.isclose(vu.volume, volume, rel_tol=ECART_DE_SOMME, abs_tol=ecart)

    async def _lots_de(self, retenu: FichierDeTrades) -> AsyncGenerator[Lot]:
        """Les lignes des jours sûrs, et ce qu'elles prouvent ; d'un lot, un seul intervalle.

        Jusqu'à la dernière milliseconde, exclue : sa suite est peut-être dans le lot suivant.
        """
        retenu.fichier.seek(0)
        jusqua = -1 if self._suivis else min((debut for debut, _ in retenu.surs), default=0)
        lots, dernier = lire_trades(retenu.fichier), None
        while (table := await asyncio.to_thread(next, lots, None)) is not None:
            debut, lien = table["timestamp"][0].as_py(), -1
            if jusqua < 0:  # d'un fichier à l'autre, des ids qui se suivent disent que rien ne manque
                lien = self._dernier[1] if table["id"][0].as_py() == self._dernier[0] + 1 else -1
                jusqua = lien if lien >= 0 else debut + 1
            depart, jusqua = jusqua, table["timestamp"][-1].as_py()
            for sur in retenu.surs:
                if sur[1] <= debut or sur[0] > jusqua:
                    continue
                tout = sur[0] <= debut and jusqua < sur[1]
                siennes = table if tout else table.filter(_dans(table["timestamp"], [sur]))
                relie = lien >= 0 and sur[0] <= debut  # rien n'eut lieu depuis le dernier trade du fichier d'avant
                couverts = croiser([(depart, jusqua)], [(lien, sur[1]) if relie else sur])
                if siennes.num_rows:
                    self._dernier = siennes["id"][-1].as_py(), siennes["timestamp"][-1].as_py()
                if siennes.num_rows or couverts:
                    if dernier is not None:
                        yield dernier
                    lignes = await asyncio.to_thread(self._habiller, siennes)
                    dernier = self._tirer(lignes, couverts)
        if dernier is not None:  # d'un contrat, le volume de chaque jour a tout prouvé, jusqu'à sa fin
            reste = [] if self._suivis else oter(retenu.surs, [(0, jusqua)])
            yield dernier._replace(couverts=unir(dernier.couverts, reste))

    def _habiller(self, table: pa.Table) -> pa.Table:
        """Les lignes que l'API rendrait."""
        cle = self._serie.cle
        prix, quantites = (table[nom].combine_chunks() for nom in ("price", "amount"))
        colonnes = [
            pa.repeat(cle.exchange, table.num_rows), pa.repeat(cle.symbole, table.num_rows),
            table["timestamp"].cast(TRADES.schema.field("timestamp").type), table["id"].cast(pa.string()),
            pc.if_else(table["vendeur"], "sell", "buy"), prix.cast(pa.float64()), quantites.cast(pa.float64()),
            produits(prix, quantites) if self._contrat is None else quotients(prix, quantites, self._contrat),
            pa.nulls(table.num_rows, TRADES.schema.field("recu").type),
        ]  # fmt: skip
        return pa.table(colonnes, schema=TRADES.schema)


def _dans(instants: pa.ChunkedArray, intervalles: Sequence[Intervalle]) -> pa.ChunkedArray:
    """Masque des instants qui sont dans l'un de ces intervalles."""
    masque = pc.less(instants, 0)
    for debut, fin in intervalles:
        masque = pc.or_(masque, pc.and_(pc.greater_equal(instants, debut), pc.less(instants, fin)))
    return masque


# --- Les relevés : funding, intérêt ouvert ---


class _RelevesDesArchives(_Lecture):
    """Des relevés : ce que l'API en sert est lu une fois, et dit lesquels des fichiers valent."""

    def __init__(self, histoire: Histoire, fichiers: Fichiers, source: str) -> None:
        super().__init__(histoire, fichiers, source)
        self._histoire = histoire
        self._lus: list[Lot] = []
        self._dits: dict[int, Valeurs] = {}

    async def _lire_l_api(self, intervalles: Sequence[Intervalle]) -> None:
        async with contextlib.aclosing(self._histoire.lots(intervalles)) as lots:
            async for lot in lots:
                self._lus.append(lot)
                noms = [nom for nom in lot.lignes.column_names if nom not in (*lot.cle._fields, "timestamp")]
                valeurs = zip(*(lot.lignes[nom].to_pylist() for nom in noms), strict=True)
                self._dits |= dict(zip(instants_de(lot.lignes), valeurs, strict=True))

    async def _feuilles(
        self, cadence: str, periodes: Iterable[Intervalle], lire: Callable[[IO[bytes], Intervalle], Feuille]
    ) -> AsyncGenerator[tuple[Intervalle, Feuille]]:
        """Ce que tiennent les fichiers de ces périodes qui sont parus, ou dont rien ne dit qu'ils ne le sont pas."""
        voulues = sorted(set(periodes))
        parus = await self._fichiers.parus(cadence) if voulues else None
        voulues = [p for p in voulues if parus is None or _date(cadence, p[0]) in parus]
        charger = functools.partial(self._fichiers.lire, cadence, lire=lire)
        async with contextlib.aclosing(dans_l_ordre(charger, voulues)) as feuilles:
            for periode in voulues:
                feuille = await anext(feuilles)
                if feuille is None:
                    manque = periode in self._fichiers.manques
                    feuille = VIDE._replace(faux=list(range(*periode, METRICS_MS)) if manque else [])
                yield periode, feuille

    def _lot_de(self, lignes: Mapping[int, Valeurs], couverts: list[Intervalle]) -> Lot:
        cle = self._serie.cle
        releves = [Releve(instant, str(instant), valeurs) for instant, valeurs in sorted(lignes.items())]
        return self._tirer(self._histoire.tabler(cle, releves), couverts)

    def _reste_de_l_api(self, reste: Sequence[Intervalle]) -> Iterator[Lot]:
        """Ses lots, là où aucun fichier n'a valu."""
        for lot in self._lus:
            lignes = lot.lignes.filter(_dans(lot.lignes["timestamp"].cast(pa.int64()), reste))
            trous = [Trou(*part, trou.raison) for trou in lot.trous for part in croiser([trou[:2]], reste)]
            couverts = croiser(lot.couverts, reste)
            if lignes.num_rows or couverts or trous:
                yield lot._replace(lignes=lignes, couverts=couverts, trous=trous)


class FundingDesArchives(_RelevesDesArchives):
    """Le funding d'un contrat : les fichiers de ses mois, là où ils prouvent ce que l'API ne dément pas."""

    async def lots(self, intervalles: Sequence[Intervalle]) -> AsyncGenerator[Lot]:
        """Les lots des fichiers, puis ceux de l'API."""
        reste = unir(intervalles)
        await self._lire_l_api(reste)
        servis = unir(*(lot.couverts for lot in self._lus))
        mois = mois_finis(reste, self._connexion.heure_ms())
        async with contextlib.aclosing(self._feuilles("monthly", mois, lire_funding)) as feuilles:
            async for periode, feuille in feuilles:
                voulu = croiser(reste, [periode])
                lues, dites = _parmi(feuille.lignes, voulu), _parmi(self._dits, voulu)
                differents = [t for t in {*lues, *dites} if lues.get(t, (None,))[0] != dites.get(t, (None,))[0]]
                dementis = croiser(unir([(t, t + 1) for t in differents]), servis)
                if couverts := oter(croiser(feuille.prouves, voulu), dementis):
                    yield self._lot_de(_parmi(lues, couverts), couverts)
                    reste = oter(reste, couverts)
        for lot in self._reste_de_l_api(reste):
            yield lot
        self._fichiers.conclure(self._serie)


class InteretDesArchives(_RelevesDesArchives):
    """L'intérêt ouvert d'un contrat linéaire : l'API pour le dernier mois, les fichiers de chaque jour avant lui.

    Ce qu'un instant veut dire a changé : l'état à cet instant, puis cinq minutes après. Les sources se contredisent sur
    la date : un fichier que l'API sert encore lui est confronté ; d'un autre, les instants sont gardés tels qu'écrits.
    """

    async def lots(self, intervalles: Sequence[Intervalle]) -> AsyncGenerator[Lot]:
        """Les lots des fichiers, puis ceux de l'API, qui dit aussi ce que ni eux ni elle n'ont."""
        symbole = str(self._serie.marche["id"])
        reste = unir(intervalles)
        await self._lire_l_api([(reste[0][0], reste[-1][1])] if reste else [])  # un mois au plus : d'un seul tenant
        hors = [trou.fin for lot in self._lus for trou in lot.trous if trou.raison == HORS_FENETRE_API]
        bord = max(hors, default=0)  # l'instant d'avant lequel elle ne sert plus rien
        sur = bord + bool(bord) * HEURE_MS  # le bord avance pendant la lecture
        a_lire = croiser(reste, [(0, sur)]) if self._source == AUTO else reste
        tels_quels = False
        lire = functools.partial(lire_metrics, symbole=symbole)
        async with contextlib.aclosing(self._feuilles("daily", self._jours(a_lire), lire)) as feuilles:
            async for jour, feuille in feuilles:
                voulu = croiser(reste, [(jour[0], jour[1] + self._serie.timeframe.pas_ms)])
                anciens, recents = croiser(voulu, [(0, sur)]), oter(voulu, [(0, sur)])
                tels_quels = tels_quels or bool(feuille.lignes and anciens and not recents)
                datee = self._dater(jour, feuille, recents)
                if datee is None:
                    continue
                lot = self._lot(datee, voulu, [(0, bord)])
                if lot.couverts or lot.trous:
                    yield lot
                    reste = oter(reste, [*lot.couverts, *(trou[:2] for trou in lot.trous)])
        if tels_quels:
            journal.info(
                "%s : avant %s, les instants des archives sont gardés tels qu'écrits ; selon l'année, l'état est "
                "celui de cet instant ou de cinq minutes après, et l'API n'en dit plus rien.",
                self._serie.cle, en_iso(bord),
            )  # fmt: skip
        for lot in self._reste_de_l_api(reste):
            yield lot
        self._fichiers.conclure(self._serie)

    def _jours(self, intervalles: Sequence[Intervalle]) -> Iterator[Intervalle]:
        """Les jours des fichiers où lire ; le premier relevé d'un jour est peut-être le dernier du fichier d'avant."""
        for debut, fin in intervalles:
            premier = JOUR.plancher(self._serie.timeframe.plancher(debut) - METRICS_MS)
            yield from jours_entiers(premier, JOUR.plafond(fin), self._connexion.heure_ms())

    def _dater(self, jour: Intervalle, feuille: Feuille, recents: Sequence[Intervalle]) -> Feuille | None:
        """Le fichier, à l'heure de l'API ; None si elle le dément. Tel qu'écrit là où elle ne sert plus rien."""
        if not recents or not feuille.lignes:
            return feuille
        cle = self._fichiers.rayon.cle("daily", jour[0])
        for decalage in (0, METRICS_MS):
            decalees = {instant + decalage: valeurs for instant, valeurs in feuille.lignes.items()}
            lues = _parmi(self._sur_la_grille(decalees), recents)
            if lues and all(self._dits.get(instant) == valeurs for instant, valeurs in lues.items()):
                if decalage:
                    journal.info("Archives : %s dit l'état de cinq minutes après, d'après l'API.", cle)
                return feuille._replace(lignes=decalees, faux=[instant + decalage for instant in feuille.faux])
        if not _parmi(self._sur_la_grille(feuille.lignes), recents):
            return feuille  # il finit avant ce que l'API sert encore
        journal.warning("Archives : %s écarté : il diffère de l'API.", cle)
        return None

    def _sur_la_grille(self, lignes: Mapping[int, Valeurs]) -> dict[int, Valeurs]:
        return {instant: v for instant, v in lignes.items() if self._serie.timeframe.est_sur_grille(instant)}

    def _lot(self, feuille: Feuille, voulu: Sequence[Intervalle], perdus: Sequence[Intervalle]) -> Lot:
        """Les lignes voulues d'un fichier ; d'une valeur fausse, un trou là où l'API ne dira rien d'autre."""
        grille = self._serie.timeframe
        bonnes = self._sur_la_grille(feuille.lignes)
        cases = unir([(instant, grille.avancer(instant, 1)) for instant in bonnes])
        fausses = [(t, grille.avancer(t, 1)) for t in feuille.faux if grille.est_sur_grille(t)]
        lot = self._lot_de(_parmi(bonnes, voulu), croiser(cases, voulu))
        trous = croiser(croiser(unir(fausses), perdus), voulu)
        return lot._replace(trous=[Trou(*trou, ECHEC) for trou in trous])


def mois_finis(intervalles: Iterable[Intervalle], heure_ms: int) -> Iterator[Intervalle]:
    """Les mois, finis, où sont ces intervalles."""
    for debut, fin in intervalles:
        mois = MOIS.plancher(debut)
        while mois < fin and (suivant := MOIS.avancer(mois, 1)) <= heure_ms:
            yield mois, suivant
            mois = suivant


def _parmi(lignes: Mapping[int, Valeurs], intervalles: Sequence[Intervalle]) -> dict[int, Valeurs]:
    """Les lignes qui sont dans l'un de ces intervalles."""
    return {t: valeurs for t, valeurs in lignes.items() if any(debut <= t < fin for debut, fin in intervalles)}


# --- Ce que le module demande ---

LECTURES: Mapping[str, Callable[..., Any]] = {
    OHLCV.nom: SourceArchives,
    TRADES.nom: TradesDesArchives,
    FUNDING.nom: FundingDesArchives,
    OPEN_INTEREST.nom: InteretDesArchives,
}


def fichiers_de(depot: Depot, connexion: Connexion, serie: Serie, donnee: str) -> Fichiers | None:
    """Les fichiers d'une série ; None si elle n'en a pas que l'on sache lire."""
    rayon = rayon_de(serie, donnee)
    return None if rayon is None else Fichiers(depot, rayon, connexion)


def completer(source: Source, depot: Depot, tache: Tache) -> Source:
    """La source, qui lira d'abord dans les fichiers publics ; la même, s'ils n'ont pas ce qu'elle lit."""
    if not isinstance(source, Historique | Histoire | BougiesDesTrades):
        return source
    fichiers = fichiers_de(depot, source.connexion, source.serie, tache.donnee)
    # Une page de l'API vaut près d'un an de règlements, et porte le prix de marque que le fichier n'a pas.
    if fichiers is None or (tache.donnee == FUNDING.nom and tache.source == AUTO):
        journal.info("%s : « %s » se lit à l'API.", source.serie.cle, tache.donnee)
        return source
    if isinstance(source, BougiesDesTrades):
        source.lire_aussi(lambda histoire: TradesDesArchives(histoire, fichiers, tache.source))
        return source
    completee: Source = LECTURES[tache.donnee](source, fichiers, tache.source)
    return completee
