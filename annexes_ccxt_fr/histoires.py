"""Les histoires qui ne sont pas des bougies : trades, funding, intérêt ouvert ; et les bougies faites des trades.

Chacune est une source du module (§ 8, `Source`) : `preparer` fixe l'intervalle et rend ce qu'il reste à lire, `lots`
rend des lots, que les mêmes écrivains rangent. Une voie (`voies.py`) demande les pages ; un parcours (`Parcours`) en
tire des lignes et ce qu'elles prouvent, et ne sait rien de l'exchange. Ce que chacun sert : les tables `SERVICES`,
`FUNDINGS`, `INTERETS`. Des fichiers (`archives.py`) se branchent à la place d'une source, et lui laissent le reste.

Le bord gauche est prouvé par un trade d'avant lui, le droit par un trade d'après, demandés mais pas écrits.
"""

from __future__ import annotations

import asyncio
import itertools
import math
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from annexes_ccxt_fr.bougies_plates import reporter_les_vides
from annexes_ccxt_fr.voies import (
    FENETRE_MAX_MS,
    RELECTURES,
    TAILLE,
    Bornes,
    Evenement,
    Impossible,
    Lecture,
    Page,
    Releve,
    Voie,
    VoieAvantUnId,
    VoieKraken,
    VoieParFenetre,
    VoieParId,
    VoieParInstant,
    VoieParNumero,
    de_a,
    numero_de,
    rang_de,
)
from module_ccxt_fr_v2 import (
    API,
    AVANT_COTATION,
    ECHEC,
    FUNDING,
    HEURE_MS,
    HORS_FENETRE_API,
    IDS_REUNIS,
    JOUR_MS,
    OPEN_INTEREST,
    PAGE_PLEINE,
    SANS_TRANSACTION,
    TRADES,
    UNITE_INCONNUE,
    Agregateur,
    BougieTrades,
    CleSerie,
    Connexion,
    ErreurDemande,
    ErreurTemporaire,
    Fiche,
    Historique,
    Intervalle,
    Lot,
    Plage,
    Serie,
    Source,
    T,
    Tache,
    Timeframe,
    Trade,
    Trou,
    TypeDonnee,
    croiser,
    de,
    en_colonnes,
    en_iso,
    genre_de,
    habiller,
    instants_de,
    intervalles_de,
    journal,
    manquants,
    oter,
    reste_a_lire,
    tabler,
    trade_de,
    unir,
)

if TYPE_CHECKING:
    import pyarrow as pa
else:
    from module_ccxt_fr_v2 import pa

# --- Trades : ce que sert chaque exchange ---


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


def _en_secondes(debut: int, fin: int) -> tuple[None, Mapping[str, Any]]:
    """Les bornes de gate, que sa classe n'envoie pas au comptant."""
    return None, {"from": debut // 1000, "to": -(-fin // 1000)}


_UNE_HEURE = partial(VoieParFenetre, largeur_ms=HEURE_MS)
_OKX = {"method": "publicGetMarketHistoryTrades"}
_BINANCE = Service(
    partial(VoieParId, taille=1000, depuis=lambda numero: {"fromId": numero}, pres_de=lambda instant: (instant, {})),
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
        VoieKraken,
        "le premier trade",
        genres=frozenset({"spot"}),
        depuis_cotation=frozenset({"spot"}),
        lecture=_lire_kraken,
    ),
    # Seul `history-trades` remonte, à reculons : les cent d'avant un id, ou d'avant un instant.
    "okx": Service(
        partial(
            VoieParId,
            taille=100,
            depuis=lambda numero: {**_OKX, "type": "1", "after": str(numero + 100)},
            dernieres=_OKX,
            pres_de=lambda instant: (None, {**_OKX, "type": "2", "after": str(instant + 1)}),
            recule=True,
        ),
        "trois mois",
        page=100,
        suivis=frozenset({"spot", "linear", "inverse"}),
    ),
    # `since` n'y est pas envoyé, et seul un id situe : la recherche d'un instant est une dichotomie.
    "coinbaseexchange": Service(
        partial(VoieParId, taille=1000, depuis=lambda numero: {"after": str(numero + 1000)}, recule=True),
        "2015",
        genres=frozenset({"spot"}),
        depuis_cotation=frozenset({"spot"}),
        suivis=frozenset({"spot"}),
    ),
    # Dix mille par page ; les ids n'y sont pas propres à un marché.
    "bitfinex": Service(VoieParInstant, "2013", page=10_000, depuis_cotation=frozenset({"spot"})),
    "gemini": Service(VoieParInstant, "ce que l'exchange en garde", page=500, genres=frozenset({"spot"})),
    # Une fenêtre, dont ils rendent la fin.
    "bitget": Service(partial(_UNE_HEURE, maximum_ms=7 * JOUR_MS), "quatre-vingt-dix jours"),
    "gate": Service(
        partial(_UNE_HEURE, bornes=_en_secondes), "trente jours au comptant ; d'un contrat, ce qu'il en garde"
    ),
    "hitbtc": Service(
        partial(_UNE_HEURE, bornes=lambda debut, fin: (debut, {"till": fin})), "ce que l'exchange en garde"
    ),
    "coinbase": Service(_UNE_HEURE, "ce que l'exchange en garde", genres=frozenset({"spot"})),
    # Ses ids sont communs à tous ses marchés.
    "bitflyer": Service(partial(VoieAvantUnId, nom="before"), "ce que l'exchange en garde", page=500),
    "cryptocom": Service(partial(_UNE_HEURE, maximum_ms=JOUR_MS), "ce que l'exchange en garde", page=150),
    "bitvavo": Service(
        partial(_UNE_HEURE, maximum_ms=JOUR_MS), "ce que l'exchange en garde", genres=frozenset({"spot"})
    ),
    "deribit": Service(_UNE_HEURE, "un jour environ"),
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
    suivant = numero_de(page.lignes[-1]) + 1
    return next((numero_de(ligne) for ligne in page.lignes if ligne.timestamp >= instant), suivant)


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
        return max((ligne for ligne in lignes if ligne.timestamp < instant), key=rang_de, default=None)

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
            avant = max((t for t in neufs if t.timestamp < debut), key=rang_de, default=None)
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
        prouve = numero_de(page.lignes[0]) <= 1 or (self._est_la_cotation(page.debut) and await self._voie.obeit(page))
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
        suite = sorted(neufs, key=numero_de)
        for avant, trade in itertools.pairwise([dernier or suite[0], *suite]):
            manque = range(numero_de(avant) + 1, numero_de(trade))
            retrouves = await self._retrouver(avant, manque) if manque else []
            complets += retrouves
            if len(retrouves) < len(manque):
                self._sauts_vains += 1
                manques.append((avant.timestamp, trade.timestamp + 1))
            complets.append(trade)
        return sorted(complets, key=rang_de), manques

    async def _retrouver(self, avant: Evenement, manque: range) -> list[Any]:
        """Les trades de ces ids, sautés par une page ; pas redemandés à qui en saute sans cesse."""
        trouves: dict[int, Any] = {}
        for _ in range(RELECTURES if self._sauts_vains < SAUTS_VAINS_MAX else 0):
            relue = await self._voie.redemander(avant)
            trouves |= {numero_de(trade): trade for trade in relue.lignes if numero_de(trade) in manque}
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
        exigee = self.plage.exigee(self.connexion.heure_ms())
        for debut, fin in intervalles:
            parcours = self.parcours.parcourir(debut, fin, exigee=exigee or fin < self.demande[1])
            async with aclosing(parcours) as pas_a_pas:
                async for pas in pas_a_pas:
                    lignes = self.tabler(self.serie.cle, pas.lignes)
                    yield Lot(self.serie.cle, lignes, _moins_les_trous(pas.couverts, pas.trous), pas.trous)


def trades_de(lignes: pa.Table) -> list[Trade]:
    """Les trades d'une table, dans son ordre."""
    valeurs = (lignes[nom].to_pylist() for nom in ("id", "side", "price", "amount", "cost"))
    return [Trade(*ligne) for ligne in zip(instants_de(lignes), *valeurs, strict=True)]


def _moins_les_trous(couverts: Sequence[Intervalle], trous: Sequence[Trou]) -> list[Intervalle]:
    """Ce qui est prouvé : un fait l'est, un trou partiel non."""
    return oter(couverts, (trou[:2] for trou in trous if trou.raison in (ECHEC, HORS_FENETRE_API)))


VIDES_PROCHES = 60  # en bougies : relire ce qui sépare deux vides coûte alors moins que les demander à part


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
        reste = reste_a_lire(self.demande, self.fiche, ailleurs=True)
        return unir(reste, self._a_reporter()) if self._reporter else reste

    def _a_reporter(self) -> list[Intervalle]:
        """Les minutes sans trade d'un fichier fait sans elles, à relire : elles deviennent des bougies plates."""
        vides = intervalles_de(self.fiche.trous, SANS_TRANSACTION)
        proches = unir((debut, self._bougies.timeframe.avancer(fin, VIDES_PROCHES)) for debut, fin in vides)
        return croiser([self.demande], proches)

    async def lots(self, intervalles: Sequence[Intervalle]) -> AsyncGenerator[Lot]:
        """Les lots des intervalles, dans l'ordre."""
        async with aclosing(lots_ensemble([self], [intervalles])) as lots:
            async for _, lot in lots:
                yield lot

    def pas_a_pas(self, debut: int, fin: int) -> AsyncGenerator[Pas]:
        """Les pas de [debut, fin[, dans l'ordre."""
        plage = self._bougies.plage
        if self._fichiers is None:
            exigee = plage.exigee(self._bougies.connexion.heure_ms())
            return self.parcours.parcourir(debut, fin, exigee=exigee or fin < self.demande[1])
        bougies = self._bougies
        fiche = Fiche(bougies.serie.cle)
        en_table = partial(tabler, donnee=TRADES)
        histoire = Histoire(bougies.connexion, bougies.serie, plage, fiche, self.parcours, en_table)
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
                prets.sort(key=rang_de)  # d'un bord, les fichiers et l'API ont pu rendre la même ligne
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
    unites: Mapping[str, str] = field(default_factory=dict)  # celle de la quantité, par genre, là où elle est prouvée
    sinon: Releves | None = None  # comment sont servis les genres qui ne sont pas là

    def de(self, genre: str) -> Releves | None:
        """Comment ce genre est servi ; None s'il ne l'est pas."""
        return self if genre in self.genres else self.sinon and self.sinon.de(genre)

    def unite(self, marche: Mapping[str, Any]) -> str:
        """L'unité de la quantité d'un intérêt ouvert."""
        unite = self.unites.get(genre_de(marche)) or UNITE_INCONNUE
        return str(marche["base"]) if unite == "base" else unite


def _depuis(debut: int, _fin: int) -> tuple[int, Mapping[str, Any]]:
    """Un début seulement."""
    return debut, {}


def _sans_bornes(_debut: int, _fin: int) -> tuple[None, Mapping[str, Any]]:
    """Ni début ni fin : la même réponse, toujours."""
    return None, {}


# Ajouter un exchange : une ligne ici, d'après ARCHIVES § 4.2 et § 4.3, et rien ailleurs.
FUNDINGS: Mapping[str, Releves] = {
    **dict.fromkeys(("binance", "binanceusdm", "binancecoinm"), Releves(1000, de_a)),
    "bybit": Releves(200, de_a),  # les dernières de la fenêtre, dont la classe ne sait pas la largeur d'hier
    # `before` seul rend la page la plus récente, et `until` n'est pas envoyé : `after` est la fin, exclue.
    "okx": Releves(100, lambda _debut, fin: (None, {"after": str(fin + 1)})),
    "gate": Releves(1000, de_a),
    "kucoin": Releves(100, de_a, genres=frozenset({"linear", "inverse"})),
    "hyperliquid": Releves(500, de_a),
    "deribit": Releves(744, de_a, maximum_ms=30 * JOUR_MS),
    "krakenfutures": Releves(0, _sans_bornes),  # tout d'un coup
    "bitget": Releves(100, _sans_bornes, numero="pageNo"),
    "mexc": Releves(100, _sans_bornes, numero="page_num"),
    "htx": Releves(
        50,
        _sans_bornes,
        genres=frozenset({"inverse"}),
        numero="page_index",
        sinon=Releves(100, _depuis, genres=frozenset({"linear"})),
    ),
    "bingx": Releves(1000, de_a, genres=frozenset({"linear"})),
    "phemex": Releves(100, de_a),
    # La classe envoie `until_timestamp`, que l'exchange ne connaît pas : il attend `endDate`, en secondes.
    "whitebit": Releves(100, lambda debut, fin: (debut, {"endDate": -(-fin // 1000)})),
    "cryptocom": Releves(0, de_a),
    "woo": Releves(25, de_a),
    "paradex": Releves(5000, de_a),
    # De même `until`, pour `till` ; un nombre sous ce nom, elle le prendrait pour la fin, et le renommerait.
    "hitbtc": Releves(1000, lambda debut, fin: (debut, {"till": en_iso(fin)})),
    # Sa classe envoie `until`, que l'exchange ne connaît pas, et filtre `since` après coup : seule la fin est demandée.
    "dydx": Releves(0, lambda _debut, fin: (None, {"effectiveBeforeOrAt": en_iso(fin)})),
}
_BASE, _CONTRATS = dict.fromkeys(("linear", "inverse"), "base"), dict.fromkeys(("linear", "inverse"), "contrats")
_DE_5M_A_1D = ("5m", "15m", "30m", "1h", "4h", "1d")
INTERETS: Mapping[str, Releves] = {
    **dict.fromkeys(
        ("binance", "binanceusdm", "binancecoinm"),
        Releves(
            500,
            de_a,
            timeframes=("5m", "15m", "30m", "1h", "2h", "4h", "6h", "12h", "1d"),
            unites={"linear": "base", "inverse": "contrats"},
        ),
    ),
    # D'un contrat inverse, la valeur seule, en dollars.
    "bybit": Releves(200, de_a, timeframes=_DE_5M_A_1D, unites={"linear": "base"}),
    "okx": Releves(100, de_a, timeframes=("5m", "1h", "1d"), unites=_CONTRATS),
    "gate": Releves(100, _depuis, timeframes=_DE_5M_A_1D, unites=_CONTRATS),
    "kucoin": Releves(200, de_a, timeframes=_DE_5M_A_1D),
    # Les deux cents derniers, quelle que soit la demande.
    "htx": Releves(200, _sans_bornes, timeframes=("1h", "4h", "12h", "1d"), unites=_BASE),
}

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
    return tabler(cle, [(releve.timestamp, *releve.valeurs) for releve in releves], donnee)


# --- Ce que le module demande ---


def _de_la_lignee(table: Mapping[str, T], connexion: Connexion) -> T | None:
    """La ligne d'un exchange, ou de celui dont il n'est qu'un autre nom (kucoinfutures, okxus, gateeu)."""
    lignee = (parente.__name__ for parente in type(connexion.api).__mro__)
    return next((table[nom] for nom in lignee if nom in table), None)


def releves_servis(connexion: Connexion, tache: Tache, marche: Mapping[str, Any] | None = None) -> Releves:
    """Comment cet exchange sert ce relevé ; ErreurDemande, avec ce qui existe, s'il ne le sert pas."""
    nature, exchange = NATURES[tache.donnee], connexion.reglages.exchange
    servi = _de_la_lignee(nature.servis, connexion)
    if servi is None or not connexion.api.has.get(nature.capacite):
        tu = _de_la_lignee(nature.tus, connexion)
        pourquoi = f" : {tu}" if tu else ""
        raise ErreurDemande(
            f"{exchange} ne sert pas d'histoire « {tache.donnee} » que l'on sache remonter{pourquoi}",
            f"Elle se lit sur : {', '.join(nature.servis)}.",
            "donnee",
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
            "timeframe",
        )
    return servi


def service_des_trades(connexion: Connexion, marche: Mapping[str, Any] | None = None) -> Service:
    """Comment cet exchange sert l'histoire de ses trades ; ErreurDemande, qui dit sa portée, s'il ne la sert pas."""
    exchange, service = connexion.reglages.exchange, _de_la_lignee(SERVICES, connexion)
    if service is not None and (marche is None or genre_de(marche) in service.genres):
        return service
    raise ErreurDemande(
        f"{exchange} ne sert pas l'histoire de ses trades : {_de_la_lignee(PORTEES, connexion) or PORTEE_INCONNUE}",
        "Suivez-les dès maintenant (--stream trades), ou lisez ses bougies (--donnee ohlcv).",
        "donnee",
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
        "refusée, code 2. Un exchange absent de la table l'est aussi, rien ne prouve ce qu'il sert ; sauf un autre nom",
        "de l'un d'eux (okxus, gateeu, kucoinfutures…).",
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
    fiche.unite_volume = releves.unite(serie.marche)
    quoi = f"{nature.nom} {de(serie.cle)}"
    timeframe = (tache.timeframe,) if releves.timeframes else ()

    async def lire(depuis: int | None, params: Mapping[str, Any]) -> list[dict[str, Any]]:
        tous = {**connexion.reglages.params, **params}
        limite = tous.pop(TAILLE, releves.page) or None
        async with places:
            page = await connexion.appeler(quoi, nature.methode, serie.cle.symbole, *timeframe, depuis, limite, tous)
        if not isinstance(page, list) or not all(isinstance(releve, dict) for releve in page):
            raise ErreurTemporaire(f"{quoi} : réponse d'une forme inattendue", "Réessayez plus tard.")
        return page

    pas_ms = serie.timeframe.pas_ms if timeframe else HEURE_MS
    largeur_ms = min(pas_ms * max(1, releves.page - 1), releves.maximum_ms)
    voie: Callable[..., Voie] = partial(
        VoieParFenetre, largeur_ms=largeur_ms, maximum_ms=releves.maximum_ms, bornes=releves.bornes
    )
    if releves.numero:
        voie = partial(VoieParNumero, numero=releves.numero, taille=releves.page)
    parcours = Parcours(voie(lire, connexion.heure_ms, nature.lecture), Service(voie, ""), serie)
    return Histoire(connexion, serie, plage, fiche, parcours, partial(_tabler_releves, nature.type_donnee))


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
        return Histoire(connexion, serie, plage, fiche, parcours, partial(tabler, donnee=TRADES))
    bougies = Historique(connexion, serie, plage, fiche, places, tache.concurrence)
    return BougiesDesTrades(bougies, parcours, tache.bougies_vides)
