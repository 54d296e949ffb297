"""Les fichiers publics d'un exchange : une source plus rapide des mêmes lignes, jamais une autorité.

Un fichier ne compte que s'il est entier (sa somme de contrôle), croissant, sur la grille, dans sa période ; et une
somme juste ne prouve que le transport : chaque jour est encore confronté à la bougie 1d de l'API, dont une page couvre
des années. Les mois d'abord ; les jours là où un mois est en retard, ou dit autre chose que l'API ; l'API pour tout le
reste : les bords, les derniers jours, chaque trou, chaque suite de volume nul. Elle seule dit une absence.

Les relevés (funding, intérêt ouvert) n'ont pas de bougie à qui les confronter : un mois de funding prouve lui-même que
rien n'y manque ; de l'intérêt ouvert, que l'API ne garde qu'un mois, les fichiers sont d'avant lui la seule source.

`SourceArchives` se lit comme l'historique REST, dont elle tient une instance : mêmes lots, mêmes écrivains.

Ajouter un exchange : une ligne de `HOTES`, et où il range ses fichiers (`Rayon`).
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import hashlib
import html
import itertools
import math
import re
import tempfile
import time
import urllib.parse
import urllib.request
import zipfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

import aiohttp
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import yarl

from annexes_ccxt_fr.histoires import BougiesDesTrades, Histoire, Releve
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
    OPEN_INTEREST,
    TRADES,
    VALEURS_OHLCV,
    ErreurDefinitive,
    ErreurDemande,
    ErreurTemporaire,
    Essais,
    Fiche,
    Historique,
    Intervalle,
    LimiteDeDebit,
    Lot,
    Plage,
    Question,
    Timeframe,
    Trou,
    cribler_table,
    croiser,
    duree_lisible,
    en_iso,
    entre,
    genre_de,
    habiller,
    instants_de,
    journal,
    masquer,
    nombre_de,
    oter,
    plages,
    reste_a_lire,
    taille_lisible,
    unir,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence

    from module_ccxt_fr_v2 import Connexion, Serie, Source, Tache


class Hote(NamedTuple):
    """Où sont les fichiers, et où en est la liste."""

    fichiers: str
    liste: str


_VISION = Hote("https://data.binance.vision", "https://s3-ap-northeast-1.amazonaws.com/data.binance.vision")
HOTES = dict.fromkeys(("binance", "binanceusdm", "binancecoinm"), _VISION)

CONNEXIONS = 4  # fichiers demandés en même temps, toutes séries comprises
AVANCE = 3  # fichiers lus d'avance
ESSAIS = 3
ECHECS_MAX = 3  # de suite, et l'hôte ne sera plus demandé
ATTENTE_MAX_S, DUREE_MAX_S = 20.0, 3600.0  # sans un octet ; d'un fichier entier
# Ce que pèse au plus une réponse : un corps sans fin emplirait le disque.
SOMME_MAX, LISTE_MAX, ZIP_MAX = 1 << 12, 16 << 20, 4 << 30
PAGES_DE_LISTE_MAX = 20
SUCCES, ABSENT, ERREURS_DU_SERVEUR = 200, 404, 500
TROP_VITE, PEUT_ETRE_TROP_VITE = (418, 429), (403, 503)
EN_MEMOIRE = 16 << 20  # un zip plus lourd passe par un fichier temporaire
CSV_MAX = 256 << 20  # ce qu'un fichier de bougies peut peser, décompressé
MICROSECONDES = 10**14  # un instant plus grand n'est pas en ms
# Ce que suppose une estimation : octets par seconde d'un hôte, secondes par réponse au moins.
DEBIT_SUPPOSE, LATENCE_SUPPOSEE_S = 4e6, 0.1

OCTETS_ZIP = 45  # par bougie, compressée : dans un zip de l'exchange embarqué, et à peu près en JSON
PAGES_DE_FRONT = 8

JOUR = Timeframe.lire("1d")
MOIS = Timeframe.lire("1M")
JOURS_SEULS = 3  # de si peu de jours, les fichiers d'un jour coûtent moins que celui du mois
TRADES_SEULS = 15  # un mois de trades pèse ce que pèsent ses jours : il faut en vouloir la moitié
RETARD_JOUR_MS, RETARD_MOIS_MS = 3 * JOUR_MS, 35 * JOUR_MS  # en deçà, un fichier absent n'est pas encore paru
FENETRE_INVERSE_MS = 200 * JOUR_MS  # ce que l'API des contrats inverses admet entre début et fin
ECART_DE_VOLUME = 1e-12  # deux sommes des mêmes flottants, dans un autre ordre
ARRONDI_INVERSE = 1e-8  # le volume d'une bougie inverse est arrondi à huit décimales


class Ecarte(ErreurDefinitive):
    """Ce fichier ne compte pas ; la phrase dit pourquoi."""


class Silence(ErreurTemporaire):
    """L'hôte des archives ne répond plus : il n'est plus demandé."""


# --- Le dépôt : un hôte, ou un dossier ---


def ouvrir_depot(connexion: Connexion, *, exige: bool) -> Depot | None:
    """Les fichiers publics de l'exchange, sans rien demander ; None s'il n'en a pas que l'on sache lire.

    `urls.archives` de --config-ccxt en change l'hôte : `<base>/data/…` sont les fichiers, `<base>?prefix=…` la liste ;
    `file:///dossier` est un miroir. ErreurDemande s'ils sont exigés et qu'il n'y en a pas.
    """
    reglages, base = connexion.reglages, (connexion.api.urls or {}).get("archives")
    if base is not None and not (isinstance(base, str) and base):
        raise ErreurDemande("config_ccxt : « urls.archives » est une adresse http(s) ou file://", "Corrigez-la.")
    hote = HOTES.get(reglages.exchange)
    if hote is not None and base is None and reglages.hors_ligne:
        return None  # l'exchange embarqué dit où est le sien quand il est ouvert : un plan se contrôle avant
    if hote is None or (base is None and reglages.sandbox):
        if exige:
            qui = "Le banc d'essai" if hote else f"« {reglages.exchange} »"
            raise ErreurDemande(
                f"{qui} n'a pas de fichiers publics que l'on sache lire",
                f"Ôtez --source archives, ou prenez --source auto. Exchanges qui en ont : {', '.join(HOTES)}.",
            )
        return None
    if base is None:
        return DepotHttp(connexion, hote)
    adresse = urllib.parse.urlsplit(base)
    if adresse.scheme in ("http", "https"):
        return DepotHttp(connexion, Hote(base.rstrip("/"), base.rstrip("/")))
    dossier = Path(urllib.request.url2pathname(adresse.path) if adresse.scheme == "file" else base)
    if not dossier.is_dir():
        raise ErreurDemande(f"urls.archives : « {dossier} » n'est pas un dossier", "Corrigez --config-ccxt.")
    return Miroir(connexion, dossier)


class Depot:
    """Les fichiers d'un exchange, rendus entiers ou pas du tout. Une sous-classe dit où les prendre."""

    def __init__(self, connexion: Connexion) -> None:
        self.connexion = connexion
        self.octets = 0
        self.latence_s = 0.0  # la plus courte réponse

    @property
    def attente_s(self) -> float:
        """Ce que suppose une estimation avant chaque réponse : la plus courte vue, et pas moins que d'usage."""
        return max(self.latence_s, LATENCE_SUPPOSEE_S)

    async def prendre(self, cle: str, vers: IO[bytes]) -> str | None:
        """Copie ce fichier et rend sa somme SHA-256 ; None s'il n'existe pas."""
        raise NotImplementedError

    async def lister(self, prefixe: str) -> dict[str, int] | None:
        """Les clés d'un préfixe et leur taille en octets ; None si rien ne peut en être dit."""
        raise NotImplementedError

    async def ouvrir(self, cle: str) -> IO[bytes] | None:
        """Un fichier, entier d'après sa somme de contrôle, à fermer ; None s'il n'est pas paru.

        Lève Ecarte, ou ErreurTemporaire. Publié de nouveau entre sa somme et lui, il est redemandé une fois.
        """
        for _ in range(2):
            attendue = await self._somme(cle)
            if attendue is None:
                return None
            fichier: IO[bytes] = tempfile.SpooledTemporaryFile(EN_MEMOIRE)  # noqa: SIM115  rendu ouvert
            try:
                somme = await self.prendre(cle, fichier)
            except BaseException:
                fichier.close()
                raise
            if somme == attendue:
                fichier.seek(0)
                return fichier
            fichier.close()
            if somme is None:
                raise Ecarte("sa somme de contrôle est là, pas lui")
        raise Ecarte("sa somme de contrôle est fausse")

    async def _somme(self, cle: str) -> str | None:
        with tempfile.SpooledTemporaryFile(EN_MEMOIRE) as fichier:
            if await self.prendre(f"{cle}.CHECKSUM", fichier) is None:
                return None
            fichier.seek(0)
            texte = fichier.read(1 << 12).decode("ascii", "replace").strip()
        dite = re.fullmatch(r"([0-9a-fA-F]{64})\s+\*?(\S+)", texte)
        if dite is None or dite[2] != cle.rpartition("/")[2]:
            raise Ecarte("sa somme de contrôle n'en est pas une")
        return dite[1].lower()


class Miroir(Depot):
    """Un dossier rangé comme l'hôte."""

    def __init__(self, connexion: Connexion, dossier: Path) -> None:
        super().__init__(connexion)
        self.dossier = dossier

    async def prendre(self, cle: str, vers: IO[bytes]) -> str | None:
        """Copie ce fichier et rend sa somme SHA-256 ; None s'il n'existe pas."""
        try:
            return await asyncio.to_thread(self._copier, self.dossier / cle, vers)
        except FileNotFoundError:
            return None
        except OSError as erreur:
            raise Ecarte(f"« {self.dossier / cle} » ne se lit pas : {erreur.strerror or erreur}") from erreur

    def _copier(self, chemin: Path, vers: IO[bytes]) -> str:
        somme = hashlib.sha256()
        with chemin.open("rb") as source:
            while octets := source.read(1 << 20):
                somme.update(octets)
                vers.write(octets)
                self.octets += len(octets)
        return somme.hexdigest()

    async def lister(self, prefixe: str) -> dict[str, int] | None:
        """Les clés d'un préfixe et leur taille en octets."""
        dossier, _, debut = prefixe.rpartition("/")

        def lire() -> dict[str, int]:
            fichiers = (self.dossier / dossier).glob(f"{debut}*") if (self.dossier / dossier).is_dir() else ()
            return {f"{dossier}/{f.name}": f.stat().st_size for f in fichiers if f.is_file()}

        return await asyncio.to_thread(lire)


class DepotHttp(Depot):
    """Un hôte : peu de connexions, une pause commune, et plus rien ne lui est demandé s'il se tait."""

    def __init__(self, connexion: Connexion, hote: Hote) -> None:
        super().__init__(connexion)
        self.hote = hote
        self._places = asyncio.Semaphore(CONNEXIONS)
        self._essais = Essais(ESSAIS, noter=connexion.noter_essai)
        self._a_repondu = False
        self._echecs = 0
        self._muet = False

    async def prendre(self, cle: str, vers: IO[bytes]) -> str | None:
        """Copie ce fichier et rend sa somme SHA-256 ; None s'il n'existe pas. Silence si l'hôte ne répond plus."""
        borne = SOMME_MAX if cle.endswith(".CHECKSUM") else ZIP_MAX
        return await self._demander(f"{self.hote.fichiers}/{urllib.parse.quote(cle)}", vers, borne)

    async def lister(self, prefixe: str) -> dict[str, int] | None:
        """Les clés d'un préfixe et leur taille en octets ; None si l'hôte n'a pas de liste."""
        cles: dict[str, int] = {}
        marque = ""
        for _ in range(PAGES_DE_LISTE_MAX):
            suite = f"&marker={urllib.parse.quote(marque, safe='')}" if marque else ""
            with tempfile.SpooledTemporaryFile(EN_MEMOIRE) as page:
                try:
                    url = f"{self.hote.liste}?prefix={urllib.parse.quote(prefixe, safe='/')}{suite}"
                    if await self._demander(url, page, LISTE_MAX) is None:
                        return None
                except Ecarte as refus:
                    journal.debug("Pas de liste des archives : %s", refus)
                    return None
                page.seek(0)
                texte = page.read().decode("utf-8", "replace")
            if "<ListBucketResult" not in texte:
                return None
            trouvees = re.findall(r"<Key>([^<]+)</Key>(?:(?!<Key>).)*?<Size>(\d+)</Size>", texte, re.DOTALL)
            cles |= {html.unescape(cle): int(taille) for cle, taille in trouvees}
            derniere = max(cles, default="")
            if "<IsTruncated>true</IsTruncated>" not in texte or derniere <= marque:
                break
            marque = derniere
        return cles

    async def _demander(self, url: str, vers: IO[bytes], borne: int) -> str | None:
        async with self._places:
            if self._muet:
                raise Silence("L'hôte des archives ne répond plus")
            try:
                somme = await self._essais.tenter(lambda: self._lire(url, vers, borne), None if self._a_repondu else 2)
            except ErreurTemporaire as erreur:
                self._echecs += 1
                if not self._a_repondu or self._echecs >= ECHECS_MAX:
                    self._se_taire(erreur)
                raise
            self._a_repondu, self._echecs = True, 0
            return somme

    def _se_taire(self, erreur: ErreurTemporaire) -> None:
        if not self._muet:
            self._muet = True
            cause = str(erreur).rstrip(".")
            journal.warning("%s. Les archives ne sont plus demandées : la suite est lue à l'API.", cause)

    async def _lire(self, url: str, vers: IO[bytes], borne: int) -> str | None:
        """Un essai : la réponse dans `vers`, repris à zéro ; Ecarte si elle pèse plus que `borne`."""
        vers.seek(0)
        vers.truncate()
        somme, depart = hashlib.sha256(), time.monotonic()
        session, proxy = self._passage(url)
        attente = min(self.connexion.reglages.timeout / 1000, ATTENTE_MAX_S)
        delais = aiohttp.ClientTimeout(total=DUREE_MAX_S, sock_connect=attente, sock_read=attente)
        self.connexion.api.requetes += 1
        try:
            # Sans décompression : un zip servi en gzip n'aurait plus sa somme.
            async with session.get(
                yarl.URL(url, encoded=True), timeout=delais, proxy=proxy, headers={"Accept-Encoding": "identity"}
            ) as reponse:
                if reponse.status == ABSENT:
                    return None
                _refuser(reponse.status, reponse.headers, url)
                latence = time.monotonic() - depart
                self.latence_s = min(self.latence_s or latence, latence)
                async for octets in reponse.content.iter_chunked(1 << 18):
                    somme.update(octets)
                    vers.write(octets)
                    self.octets += len(octets)
                    if vers.tell() > borne:
                        raise Ecarte(f"il pèse plus de {taille_lisible(borne)}")
        except TimeoutError as erreur:
            raise ErreurTemporaire(f"Archives : rien de {_lisible(url)} en {attente:.0f} s") from erreur
        except (aiohttp.ClientError, OSError) as erreur:
            cause = masquer(str(erreur), ()) or type(erreur).__name__
            raise ErreurTemporaire(f"Archives : {_lisible(url)} ne vient pas ({cause})") from erreur
        return somme.hexdigest()

    def _passage(self, url: str) -> tuple[Any, str | None]:
        """La session et le proxy de l'instance ccxt."""
        api = self.connexion.api
        api.open(True)
        http, https, socks = api.check_proxy_settings(url, "GET", None, None)
        return (api.get_socks_proxy_session(socks) if socks else api.session), http or https or api.aiohttp_proxy


def _refuser(statut: int, entetes: Mapping[str, str], url: str) -> None:
    """Lève l'erreur d'un code qui n'est ni un succès ni une absence."""
    if statut in TROP_VITE or (statut in PEUT_ETRE_TROP_VITE and "Retry-After" in entetes):
        dit = entetes.get("Retry-After", "")
        raise LimiteDeDebit(f"Archives : code {statut} à {_lisible(url)}", "", float(dit) if dit.isdigit() else None)
    if statut >= ERREURS_DU_SERVEUR:
        raise ErreurTemporaire(f"Archives : code {statut} à {_lisible(url)}")
    if statut != SUCCES:
        raise Ecarte(f"code {statut}")


def _lisible(url: str) -> str:
    return masquer(url, ())


# --- Où sont les fichiers d'une série ---

_RACINES = {"spot": "spot", "linear": "futures/um", "inverse": "futures/cm"}
_GENRES = {
    "last": "klines",
    "mark": "markPriceKlines",
    "index": "indexPriceKlines",
    "premiumIndex": "premiumIndexKlines",
}
_MENSUELS = frozenset({"3d", "1w", "1M"})  # n'existent pas en fichiers d'un jour
_API_BINANCE = {"spot": "public", "linear": "fapiPublic", "inverse": "dapiPublic"}


class Rayon(NamedTuple):
    """Où une série est rangée. Le même nom de fichier sert à quatre prix : seul le dossier les distingue."""

    racine: str
    genre: str
    nom: str
    intervalle: str  # vide : des événements

    def prefixe(self, cadence: str) -> str:
        """Le début des clés de ses fichiers."""
        dossier = f"data/{self.racine}/{cadence}/{self.genre}/{self.nom}/"
        suite = f"{self.intervalle}/" if self.intervalle else ""
        return f"{dossier}{suite}{self.nom}-{self.intervalle or self.genre}-"

    def cle(self, cadence: str, debut: int) -> str:
        """La clé du fichier qui commence là."""
        date = en_iso(debut)[: 7 if cadence == "monthly" else 10]
        return f"{self.prefixe(cadence)}{date}.zip"


def rayon_de_bougies(serie: Serie) -> Rayon | None:
    """Le rayon d'une série de bougies ; None si rien ne dit où il est."""
    marche, prix = serie.marche, serie.cle.prix
    genre = genre_de(marche)
    if marche.get("option") or genre not in _RACINES or (genre == "spot" and prix != "last"):
        return None
    # L'indice des contrats inverses est rangé par paire (BTCUSD), tout le reste par contrat (BTCUSD_PERP).
    par_paire = prix == "index" and genre == "inverse"
    nom = str(marche["id"]).partition("_")[0] if par_paire else str(marche["id"])
    code = serie.timeframe.code
    return Rayon(_RACINES[genre], _GENRES[prix], nom, "1mo" if code == "1M" else code)


class Tranche(NamedTuple):
    """Un fichier à lire, et ce qu'on en veut : [debut, fin[."""

    cadence: str
    periode: Intervalle
    debut: int
    fin: int


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


async def parus(depot: Depot, prefixe: str) -> set[str] | None:
    """Les dates des fichiers de ce préfixe qui sont parus ; None si rien ne le dit."""
    try:
        cles = await depot.lister(prefixe)
    except ErreurTemporaire:
        return None  # l'hôte est peut-être muet : le premier fichier le dira
    if cles is None:
        return None
    return {cle.removeprefix(prefixe).removesuffix(".zip") for cle in cles if f"{cle}.CHECKSUM" in cles}


async def dans_l_ordre(charger: Callable[[Any], Awaitable[Any]], elements: Iterable[Any]) -> AsyncGenerator[Any]:
    """Ce que `charger` rend de chaque élément, dans leur ordre ; quelques-uns sont chargés d'avance."""
    a_lancer, en_vol = collections.deque(elements), collections.deque[asyncio.Future[Any]]()
    try:
        while a_lancer or en_vol:
            while a_lancer and len(en_vol) < AVANCE:
                en_vol.append(asyncio.ensure_future(charger(a_lancer.popleft())))
            yield await en_vol[0]
            en_vol.popleft()
    finally:
        for tache in en_vol:
            tache.cancel()
        await asyncio.gather(*en_vol, return_exceptions=True)


# --- Lire un fichier de bougies ---


def _membre(archive: zipfile.ZipFile) -> zipfile.ZipInfo:
    membres = [m for m in archive.infolist() if not m.is_dir()]
    if len(membres) != 1:
        raise Ecarte(f"il tient {len(membres)} fichiers, pas un")
    return membres[0]


def _texte_de(fichier: IO[bytes]) -> bytes:
    """Le CSV d'un zip, en entier, sans son en-tête. Lève Ecarte."""
    try:
        with zipfile.ZipFile(fichier) as archive:
            membre = _membre(archive)
            if membre.file_size > CSV_MAX:
                raise Ecarte(f"il pèse {taille_lisible(membre.file_size)} décompressé")
            return _sans_entete(archive.read(membre))
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError, OSError) as erreur:
        raise Ecarte(f"son zip ne se lit pas ({erreur})") from erreur


def lire_bougies(fichier: IO[bytes], timeframe: Timeframe, prix: str, colonne_volume: int) -> pa.Table:
    """Les bougies d'un zip, telles que ccxt les rendrait : timestamp (ms) puis VALEURS_OHLCV. Lève Ecarte."""
    texte = _texte_de(fichier)
    voulues = ["f0", *(f"f{rang}" for rang in (1, 2, 3, 4, colonne_volume))]
    natures = dict(zip(voulues, (pa.int64(), *[pa.float64()] * 5), strict=True))
    table = _lire_csv(texte, natures).rename_columns(["timestamp", *VALEURS_OHLCV])
    table = table.set_column(0, "timestamp", en_ms(table["timestamp"]))
    if prix != "last" and pc.any(pc.not_equal(table["volume"], 0.0)).as_py():
        raise Ecarte(f"un volume n'est pas nul, au prix {prix}")
    page = cribler_table(table, timeframe, prix)
    if page.lignes is not table:
        raise Ecarte("une ligne y est impossible, en double, en désordre ou hors de la grille")
    return table


def _sans_entete(texte: bytes) -> bytes:
    """Un CSV sans son en-tête, qui est là ou non selon les années : son premier octet le dit."""
    return texte if texte[:1].isdigit() else texte.partition(b"\n")[2]


def _lire_csv(texte: bytes, natures: Mapping[str, pa.DataType]) -> pa.Table:
    """Les colonnes f0, f1… d'un CSV sans en-tête. Lève Ecarte."""
    if not texte or texte.isspace():
        return pa.table({nom: pa.array([], nature) for nom, nature in natures.items()})
    lecture = pyarrow.csv.ReadOptions(autogenerate_column_names=True, use_threads=False, block_size=8 << 20)
    conversion = pyarrow.csv.ConvertOptions(column_types=natures, include_columns=list(natures))
    texte += b"" if texte.endswith(b"\n") else b"\n"  # d'une seule ligne qui ne finit pas, Arrow dit « vide »
    try:
        return pyarrow.csv.read_csv(pa.BufferReader(texte), read_options=lecture, convert_options=conversion)
    except (pa.ArrowInvalid, pa.ArrowKeyError) as erreur:
        raise Ecarte(f"son CSV ne se lit pas ({str(erreur).splitlines()[0]})") from erreur


def en_ms(instants: pa.ChunkedArray) -> pa.ChunkedArray:
    """Des instants en ms, chacun selon sa grandeur : le comptant est en µs depuis 2025."""
    return pc.if_else(pc.greater_equal(instants, MICROSECONDES), pc.divide(instants, 1000), instants)


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
    place = historique.pages.capacite(JOUR) * JOUR_MS
    return min(place, FENETRE_INVERSE_MS) if genre_de(historique.serie.marche) == "inverse" else place


async def jours_de_l_api(historique: Historique, debut: int, fin: int) -> list[tuple[int, Resume]]:
    """Les bougies 1d que l'API rend pour [début, fin[ ; aucune si elle ne répond pas."""
    jours: list[tuple[int, Resume]] = []
    while debut < fin:
        suivant = min(fin, debut + fenetre_de_reference(historique))
        reponse = await historique.pages.temoigner(Question(JOUR, debut, suivant))
        colonnes = [colonne.to_pylist() for colonne in entre(reponse.page.lignes, debut, suivant).columns]
        jours += [(instant, tuple(valeurs)) for instant, *valeurs in zip(*colonnes, strict=True)]
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


_DITS = ("lignes_archives", "fichiers")


class Devis(NamedTuple):
    """Ce que coûterait une lecture."""

    requetes: int
    octets: int
    duree_s: float


@dataclass
class _Plan:
    """Les fichiers à lire d'un intervalle, et ce qu'on sait de leur poids."""

    tranches: list[Tranche]
    poids: Mapping[str, int] = field(default_factory=dict)


def completer(source: Source, depot: Depot, tache: Tache) -> Source:
    """La source, qui lira d'abord dans les fichiers publics ; la même, s'ils n'ont pas ce qu'elle lit."""
    if isinstance(source, Historique):
        return SourceArchives(source, depot, tache.source)
    if isinstance(source, BougiesDesTrades):
        source.lire_aussi(lambda histoire: TradesDesArchives(histoire, depot, tache.source))
    if not isinstance(source, Histoire):
        return source
    genre = genre_de(source.serie.marche)
    if tache.donnee == TRADES.nom:
        return TradesDesArchives(source, depot, tache.source)
    if tache.donnee == FUNDING.nom and tache.source == ARCHIVES:
        return FundingDesArchives(source, depot, tache.source)
    if tache.donnee == OPEN_INTEREST.nom and genre == "linear":
        return InteretDesArchives(source, depot, tache.source)
    # Une page de l'API vaut près d'un an de règlements, et porte le prix de marque que le fichier n'a pas.
    journal.info("%s : « %s » se lit à l'API.", source.serie.cle, tache.donnee)
    return source


class SourceArchives:
    """Une série de bougies, lue dans les fichiers publics, et par l'API pour le reste ; se lit comme `Historique`."""

    def __init__(self, historique: Historique, depot: Depot, source: str) -> None:
        """`source` : « archives », ou « auto » pour ne les lire que si elles coûtent moins que l'API."""
        self._historique, self._depot, self._source = historique, depot, source
        self.demande = historique.demande
        self._serie: Serie = historique.serie
        self._rayon = rayon_de_bougies(self._serie)
        self._inverse = genre_de(self._serie.marche) == "inverse"
        self._colonne_volume = 7 if self._inverse else 5  # la monnaie de base ; d'un inverse, la 6e compte des contrats
        self._reference: dict[int, Resume] = {}
        self.compteurs: collections.Counter[str] = collections.Counter()

    @property
    def timeframe(self) -> Timeframe:
        """La grille de la série."""
        return self._historique.timeframe

    @property
    def attendue(self) -> int | None:
        """L'ouverture de la dernière bougie close."""
        return self._historique.attendue

    async def preparer(self) -> list[Intervalle]:
        """Fixe l'ancre et les bornes ; rend les intervalles à demander."""
        intervalles = await self._historique.preparer()
        self.demande = self._historique.demande
        return intervalles

    async def lots(self, intervalles: Sequence[Intervalle]) -> AsyncGenerator[Lot]:
        """Les lots des intervalles, dans l'ordre du temps, de l'une et l'autre source."""
        historique = self._historique
        sus, libre = list(historique.fiche.couverts), historique.libre
        for debut, fin in await historique.avec_les_bords(intervalles):
            plan = await self._planifier(debut, fin)
            if plan.tranches and self._source == AUTO:
                plan = plan if self._moins_cher(debut, fin, plan) else _Plan([])
            async with contextlib.aclosing(self._lire(debut, fin, plan, sus, libre=libre)) as lots:
                async for lot in lots:
                    libre = False
                    self.demande = historique.demande  # sans début demandé, il la précise en lisant
                    yield lot
        self._conclure()

    async def _lire(
        self, debut: int, fin: int, plan: _Plan, sus: list[Intervalle], *, libre: bool
    ) -> AsyncGenerator[Lot]:
        """Les fichiers du plan, et l'API entre eux."""
        curseur = debut
        async with contextlib.aclosing(self._morceaux(plan)) as morceaux:
            async for (premier, dernier), lignes in morceaux:
                if curseur < premier:
                    async for lot in self._historique.lots_entre(curseur, premier, sus, libre=libre):
                        yield lot
                libre = False
                yield Lot(self._serie.cle, habiller(self._serie.cle, lignes), [(premier, dernier)], [], ARCHIVES)
                sus[:] = unir(sus, [(premier, dernier)])
                self.compteurs["lignes_archives"] += lignes.num_rows
                curseur = dernier
        if curseur < fin:
            async for lot in self._historique.lots_entre(curseur, fin, sus, libre=libre):
                yield lot

    # --- le plan

    async def _planifier(self, debut: int, fin: int) -> _Plan:
        """Les fichiers où lire, d'après la liste du dépôt s'il en a une."""
        heure = self._historique.connexion.heure_ms()
        possibles = decouper(debut, fin, self.timeframe, heure, None) if self._rayon else []
        if self._rayon is None or not possibles or self.timeframe.ancre_ms:
            return _Plan([])
        if all(tranche.cadence == "daily" for tranche in possibles):
            return _Plan(possibles)
        prefixe = self._rayon.prefixe("monthly")
        try:
            poids = await self._depot.lister(prefixe)
        except ErreurTemporaire:
            return _Plan(possibles)  # l'hôte est peut-être muet : le premier fichier le dira
        if poids is None:
            return _Plan(possibles)
        parus = {cle.removeprefix(prefixe).removesuffix(".zip") for cle in poids if f"{cle}.CHECKSUM" in poids}
        return _Plan(decouper(debut, fin, self.timeframe, heure, parus), poids)

    async def devis(self, intervalles: Sequence[Intervalle]) -> tuple[Devis, Devis]:
        """Ce que coûterait l'API seule, et ce que coûteraient les archives et l'API pour le reste."""
        par_api, par_archives = [], []
        for debut, fin in intervalles:
            plan = await self._planifier(debut, fin)
            par_api.append(self._devis_api([(debut, fin)]))
            par_archives.append(self._devis_archives(debut, fin, plan))
        return _somme(par_api), _somme(par_archives)

    def _moins_cher(self, debut: int, fin: int, plan: _Plan) -> bool:
        api, archives = self._devis_api([(debut, fin)]), self._devis_archives(debut, fin, plan)
        nom = "les archives" if archives.duree_s < api.duree_s else "l'API"
        journal.info(
            "%s : %s (API : %s, %s ; archives : %s, %s).", self._serie.cle, nom,
            nombre_de(api.requetes, "requête"), duree_lisible(api.duree_s),
            nombre_de(archives.requetes, "requête"), duree_lisible(archives.duree_s),
        )  # fmt: skip
        return archives.duree_s < api.duree_s

    def _devis_api(self, intervalles: Sequence[Intervalle]) -> Devis:
        """D'après le débit que ccxt s'impose : le poids d'une page, et le délai entre deux jetons."""
        limite = self._serie.limite
        bougies = [self.timeframe.compter(*intervalle) for intervalle in intervalles]
        requetes = sum(math.ceil(nombre / limite) for nombre in bougies)
        bride_s = bride_de(self._historique.connexion, self._serie, "klines", requetes, limite)
        octets, attente_s = OCTETS_ZIP * sum(bougies), requetes * self._depot.attente_s / PAGES_DE_FRONT
        return Devis(requetes, octets, max(bride_s, attente_s) + octets / DEBIT_SUPPOSE)

    def _devis_archives(self, debut: int, fin: int, plan: _Plan) -> Devis:
        if self._rayon is None or not plan.tranches:
            return self._devis_api([(debut, fin)])
        octets = sum(self._poids(tranche, plan) for tranche in plan.tranches)
        reste = self._devis_api(oter([(debut, fin)], [(t.debut, t.fin) for t in plan.tranches]))
        etendue = plan.tranches[-1].fin - plan.tranches[0].debut
        avant = math.ceil(etendue / fenetre_de_reference(self._historique)) + any(
            t.cadence == "monthly" for t in plan.tranches
        )
        requetes = 2 * len(plan.tranches) + avant
        # La liste et les jours de l'API d'abord ; puis chaque somme de contrôle, puis son fichier.
        attente_s = self._depot.attente_s * (avant + max(2.0, 2 * len(plan.tranches) / CONNEXIONS))
        duree_s = attente_s + octets / DEBIT_SUPPOSE
        return Devis(requetes + reste.requetes, octets + reste.octets, duree_s + reste.duree_s)

    def _poids(self, tranche: Tranche, plan: _Plan) -> int:
        """La taille que dit la liste, sinon une estimation."""
        cle = self._rayon.cle(tranche.cadence, tranche.periode[0]) if self._rayon else ""
        return plan.poids.get(cle) or OCTETS_ZIP * self.timeframe.compter(*tranche.periode)

    # --- les fichiers

    async def _morceaux(self, plan: _Plan) -> AsyncGenerator[tuple[Intervalle, pa.Table]]:
        """Ce qui, des fichiers, est sûr : intervalles croissants, et leurs bougies. Quelques-uns sont lus d'avance."""
        if not plan.tranches:
            return
        await self._lire_la_reference(plan.tranches[0].debut, plan.tranches[-1].fin)
        async with contextlib.aclosing(dans_l_ordre(self._lire_tranche, plan.tranches)) as lus:
            async for morceaux in lus:
                for morceau in morceaux:
                    yield morceau

    async def _lire_tranche(self, tranche: Tranche) -> list[tuple[Intervalle, pa.Table]]:
        """Ce qu'un fichier a de sûr ; les jours d'un mois qui manque ou qui ment sont pris à leurs propres fichiers."""
        lignes = await self._charger(tranche)
        surs, faux = self._juger(tranche, lignes) if lignes is not None else ([], self._jours_dits(tranche))
        morceaux = [] if lignes is None else [(sur, entre(lignes, *sur)) for sur in surs]
        if tranche.cadence == "monthly" and faux and self.timeframe.code not in _MENSUELS:
            heure = self._historique.connexion.heure_ms()
            entiers = jours_entiers(tranche.debut, tranche.fin, heure)
            for jour in [j for j in entiers if j[0] in faux]:
                morceaux += await self._lire_tranche(Tranche("daily", jour, *jour))
        elif faux:
            self.compteurs["jours_a_l_api"] += len(faux)
        return sorted(morceaux, key=lambda morceau: morceau[0])

    async def _charger(self, tranche: Tranche) -> pa.Table | None:
        """Les bougies d'un fichier, s'il compte ; None sinon, et c'est dit."""
        if self._rayon is None or not self._jours_dits(tranche):
            return None  # l'API n'y a rien : aucun fichier ne pourrait être confronté
        cle = self._rayon.cle(tranche.cadence, tranche.periode[0])
        try:
            fichier = await self._depot.ouvrir(cle)
            if fichier is None:
                self._dire_absent(cle, tranche)
                return None
            with fichier:
                lignes = await asyncio.to_thread(self._lire_fichier, fichier, tranche.periode)
        except Ecarte as refus:
            self.compteurs["fichiers_ecartes"] += 1
            journal.warning("Archives : %s écarté : %s.", cle, refus)
            return None
        except ErreurTemporaire as erreur:
            self.compteurs["fichiers_manques"] += 1
            if not isinstance(erreur, Silence):
                journal.warning("Archives : %s manqué. %s", cle, erreur)
            return None
        self.compteurs["fichiers"] += 1
        return lignes

    def _lire_fichier(self, fichier: IO[bytes], periode: Intervalle) -> pa.Table:
        lignes = lire_bougies(fichier, self.timeframe, self._serie.cle.prix, self._colonne_volume)
        if entre(lignes, *periode).num_rows != lignes.num_rows:
            raise Ecarte("il tient des lignes d'une autre période")
        return lignes

    def _dire_absent(self, cle: str, tranche: Tranche) -> None:
        age = self._historique.connexion.heure_ms() - tranche.periode[1]
        en_retard = age <= (RETARD_MOIS_MS if tranche.cadence == "monthly" else RETARD_JOUR_MS)
        self.compteurs["fichiers_absents"] += 1
        (journal.debug if en_retard else journal.info)(
            "Archives : %s %s.", cle, "n'est pas encore paru" if en_retard else "n'existe pas"
        )

    # --- la preuve

    async def _lire_la_reference(self, debut: int, fin: int) -> None:
        """Les bougies 1d de l'API, réunies par bougie de la série si elle est plus longue."""
        debut, fin = JOUR.plancher(self.timeframe.plancher(debut)), JOUR.plafond(self.timeframe.plafond(fin))
        jours = await jours_de_l_api(self._historique, debut, fin)
        if not jours:
            journal.warning("%s : l'API ne donne rien en 1d à confronter ; tout lui est demandé.", self._serie.cle)
        for instant, resume in jours:
            cle = self._case(instant)
            avant = self._reference.get(cle)
            self._reference[cle] = resume if avant is None else _fondre(avant, resume)

    def _case(self, instant: int) -> int:
        """Le jour d'un instant, ou la bougie qui le tient si elle dure au moins un jour."""
        return (self.timeframe if self.timeframe.pas_ms >= JOUR_MS else JOUR).plancher(instant)

    def _etendue(self, case: int) -> Intervalle:
        return case, self.timeframe.avancer(case, 1) if self.timeframe.pas_ms >= JOUR_MS else case + JOUR_MS

    def _jours_dits(self, tranche: Tranche) -> set[int]:
        """Les jours de la tranche dont l'API a une bougie."""
        return {c for c in self._reference if croiser([self._etendue(c)], [(tranche.debut, tranche.fin)])}

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
        surs = croiser(croiser(presentes, map(self._etendue, bons)), [(tranche.debut, tranche.fin)])
        if prix == "last":
            nulles = lignes.filter(pc.equal(lignes["volume"], 0.0))["timestamp"].combine_chunks()
            surs = oter(surs, grouper(plages(nulles, self.timeframe), self.timeframe, self._serie.limite))
        if (faux := dits - bons) and self._rayon is not None:
            cle = self._rayon.cle(tranche.cadence, tranche.periode[0])
            premier = en_iso(min(faux))[:10]
            journal.info(
                "Archives : %s diffère de l'API (%s, le premier : %s).", cle, nombre_de(len(faux), "jour"), premier
            )
        return surs, faux

    def _conclure(self) -> None:
        vus = self.compteurs
        if vus:
            autres = ", ".join(f"{nombre} {nom.replace('_', ' ')}" for nom, nombre in vus.items() if nom not in _DITS)
            journal.info(
                "%s : %s de %s (%s)%s.", self._serie.cle, nombre_de(vus["lignes_archives"], "ligne"),
                nombre_de(vus["fichiers"], "fichier"), taille_lisible(self._depot.octets), autres and f" ; {autres}",
            )  # fmt: skip


def bride_de(connexion: Connexion, serie: Serie, page: str, requetes: int, limite: int) -> float:
    """Les secondes que le débit de ccxt impose à tant de pages de binance, chacune à son poids."""
    api, acces = connexion.api, _API_BINANCE[genre_de(serie.marche)]
    reglage = api.api[acces]["get"][page]
    reglage = reglage if isinstance(reglage, dict) else {"cost": reglage}
    poids = float(api.calculate_rate_limiter_cost(acces, "GET", page, {"limit": limite}, reglage))
    return float(api.throttler.duree_s(requetes * poids))


def _fondre(avant: Resume, apres: Resume) -> Resume:
    """Deux jours qui se suivent, en un."""
    return avant[0], max(avant[1], apres[1]), min(avant[2], apres[2]), apres[3], avant[4] + apres[4]


def _somme(devis: Sequence[Devis]) -> Devis:
    return Devis(*(sum(valeurs) for valeurs in zip(*devis, strict=True))) if devis else Devis(0, 0, 0.0)


# --- Les trades ---

LIGNES_PAR_LOT = 50_000
BLOC_CSV = 1 << 20  # de texte, lu d'un coup
# D'un trade réuni : dans un zip de l'exchange, et dans une page de l'API, compressée.
OCTETS_ZIP_TRADE, OCTETS_JSON_TRADE, TRADES_PAR_PAGE = 20, 30, 1000
_COLONNES_TRADES = {"f0": "id", "f1": "price", "f2": "amount", "f5": "timestamp", "f6": "vendeur"}
# Des textes : le coût que rend ccxt est leur produit exact, arrondi une fois ; celui des flottants diffère.
_NATURES_TRADES = {"f0": pa.int64(), "f1": pa.string(), "f2": pa.string(), "f5": pa.int64(), "f6": pa.bool_()}
_NATURES_EXAMEN = {"f0": pa.int64(), "f1": pa.float64(), "f2": pa.float64(), "f5": pa.int64()}
ECART_DE_SOMME = 1e-10  # d'un jour de millions de quantités, additionnées dans leur ordre


def lire_trades(fichier: IO[bytes], natures: Mapping[str, pa.DataType] = _NATURES_TRADES) -> Iterator[pa.Table]:
    """Les trades réunis d'un zip, par lots : id, prix et quantité en texte, instant en ms, sens. Lève Ecarte.

    Jamais en entier : un mois d'un grand marché est vingt millions de lignes.
    """
    noms = [_COLONNES_TRADES[colonne] for colonne in natures]
    try:
        with zipfile.ZipFile(fichier) as archive, archive.open(_membre(archive)) as flux:
            blocs: list[pa.Table] = []  # petits, pour la mémoire ; réunis, pour ce que coûte chaque lot
            for texte in _par_lignes_entieres(flux):
                blocs.append(_lire_csv(texte, natures))
                if sum(bloc.num_rows for bloc in blocs) >= LIGNES_PAR_LOT:
                    yield _trades_lus(blocs, noms)
                    blocs = []
            if any(bloc.num_rows for bloc in blocs):
                yield _trades_lus(blocs, noms)
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError, OSError) as erreur:
        raise Ecarte(f"son zip ne se lit pas ({erreur})") from erreur


def _par_lignes_entieres(flux: IO[bytes]) -> Iterator[bytes]:
    """Le texte d'un CSV, sans son en-tête, par blocs qui ne coupent aucune ligne.

    Lu ici : laissé aux fils d'Arrow, chacun d'eux gardait sa part de mémoire.
    """
    reste = _sans_entete(flux.readline(BLOC_CSV))
    while octets := flux.read(BLOC_CSV):
        coupe = octets.rfind(b"\n") + 1
        if coupe:
            yield reste + octets[:coupe]
            reste = b""
        reste += octets[coupe:]
        if len(reste) > BLOC_CSV:
            raise Ecarte("une ligne n'y finit pas")
    yield reste


def _trades_lus(blocs: Sequence[pa.Table], noms: Sequence[str]) -> pa.Table:
    """Des blocs d'un CSV en une table, les instants en ms. Lève Ecarte."""
    table = pa.concat_tables(blocs).rename_columns(list(noms))
    if any(colonne.null_count for colonne in table.columns):
        raise Ecarte("il y manque une valeur")
    return table.set_column(3, "timestamp", en_ms(table["timestamp"]))


@dataclass
class Examen:
    """Une première lecture d'un fichier de trades : ce qui y manque, et ce qu'il échange chaque jour."""

    periode: Intervalle
    contrat: float | None = None  # ce que vaut un contrat inverse : il s'échange en monnaie de base à son prix
    volumes: dict[int, float] = field(default_factory=dict)
    sommets: dict[int, float] = field(default_factory=dict)  # le plus haut prix de chaque jour
    rompus: set[int] = field(default_factory=set)  # jours où des ids ne se suivent pas
    _dernier: tuple[int, int] | None = None  # id, instant

    def voir(self, lot: pa.Table) -> None:
        """Les lignes suivantes. Lève Ecarte si elles sont hors de la période, ou en désordre."""
        if not lot.num_rows:
            return
        ids, instants = lot["id"].combine_chunks(), lot["timestamp"].combine_chunks()
        bornes = pc.min_max(instants).as_py()
        if bornes["min"] < self.periode[0] or bornes["max"] >= self.periode[1]:
            raise Ecarte("il tient des lignes d'une autre période")
        if self._dernier is not None:
            ids = pa.concat_arrays([pa.array([self._dernier[0]]), ids])
            instants = pa.concat_arrays([pa.array([self._dernier[1]]), instants])
        ecarts = pc.subtract(ids[1:], ids[:-1])
        if len(ids) > 1 and (
            pc.min(ecarts).as_py() < 1 or pc.min(pc.subtract(instants[1:], instants[:-1])).as_py() < 0
        ):
            raise Ecarte("une ligne y est en double ou en désordre")
        for rang in pc.indices_nonzero(pc.not_equal(ecarts, 1)).to_pylist():
            self.rompus |= {JOUR.plancher(instants[rang].as_py()), JOUR.plancher(instants[rang + 1].as_py())}
        self._dernier = ids[-1].as_py(), instants[-1].as_py()
        jours = pc.multiply(pc.divide(lot["timestamp"], JOUR_MS), JOUR_MS)
        prix, quantites = lot["price"], lot["amount"]
        if not (pc.min(prix).as_py() > 0 and pc.min(quantites).as_py() > 0):
            raise Ecarte("un prix ou une quantité n'y est pas positif")
        if self.contrat is not None:
            quantites = pc.divide(pc.multiply(quantites, self.contrat), prix)
        echanges = pa.table({"jour": jours, "volume": quantites, "prix": prix})
        parts = echanges.group_by("jour", use_threads=False).aggregate([("volume", "sum"), ("prix", "max")])
        for part in parts.to_pylist():
            jour = part["jour"]
            self.volumes[jour] = self.volumes.get(jour, 0.0) + part["volume_sum"]
            self.sommets[jour] = max(self.sommets.get(jour, 0.0), part["prix_max"])


class FichierDeTrades(NamedTuple):
    """Un fichier retenu : ses jours sûrs, à lire une seconde fois."""

    fichier: IO[bytes]
    surs: list[Intervalle]


class _HistoireDesArchives:
    """Une histoire et le dépôt qui en tient des fichiers : les bornes sont celles de l'histoire."""

    attendue = None

    def __init__(self, histoire: Histoire, depot: Depot, source: str) -> None:
        """`source` : « archives » ou « auto »."""
        self._histoire, self._depot, self._source = histoire, depot, source
        self._serie, self._connexion = histoire.serie, histoire.connexion
        self.demande = histoire.demande

    async def preparer(self) -> list[Intervalle]:
        """Fixe les bornes ; rend les intervalles à demander : un fichier a peut-être ce que l'API ne sert plus."""
        await self._histoire.preparer()
        self.demande = self._histoire.demande
        return reste_a_lire(self.demande, self._histoire.fiche, ailleurs=True)


def _est_entamee(tranche: Tranche) -> bool:
    """Vrai d'un fichier dont on ne veut qu'une part."""
    return (tranche.debut, tranche.fin) != tranche.periode


class TradesDesArchives(_HistoireDesArchives):
    """Les trades d'une série, lus dans les fichiers publics, et par l'API pour le reste.

    Au comptant, des ids qui se suivent prouvent que rien ne manque, d'un fichier à l'autre aussi. Un contrat en saute
    sans perte : ses jours sont prouvés par leur volume, celui de la bougie 1d de l'API.
    """

    def __init__(self, histoire: Histoire, depot: Depot, source: str) -> None:
        """`source` : « archives », ou « auto » pour n'ouvrir que les fichiers qui coûtent moins que l'API."""
        super().__init__(histoire, depot, source)
        genre = genre_de(self._serie.marche)
        self._suivis = genre == "spot"
        taille = self._serie.marche.get("contractSize")
        self._rayon = Rayon(_RACINES[genre], "aggTrades", str(self._serie.marche["id"]), "")
        self._contrat = float(taille) if genre == "inverse" and taille else None
        self._lisible = genre == "spot" or (genre == "linear" and taille == 1) or self._contrat is not None
        self._volumes: dict[int, float] = {}
        self._dernier = (-1, 0)  # l'id et l'instant de la dernière ligne rendue d'un fichier
        self._a_relire: set[Intervalle] = set()  # les jours que le fichier de leur mois n'a pas prouvés

    async def lots(self, intervalles: Sequence[Intervalle]) -> AsyncGenerator[Lot]:
        """Les lots des fichiers, et entre eux ceux de l'API pour ce qu'ils n'ont pas prouvé : dans l'ordre du temps."""
        if not self._lisible:
            journal.info("%s : les trades de ce marché se lisent à l'API.", self._serie.cle)
        for intervalle, tranches in zip(intervalles, await self._planifier(intervalles), strict=True):
            await self._lire_les_volumes(tranches)
            async with contextlib.aclosing(self._entre(*intervalle, tranches)) as lots:
                async for lot in lots:
                    yield lot

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
        jours = sorted(jour for jour in self._a_relire if croiser([jour], [(debut, fin)]))
        self._a_relire.difference_update(jours)
        tranches = [Tranche("daily", jour, max(jour[0], debut), min(jour[1], fin)) for jour in jours]
        suite = self._entre(debut, fin, tranches) if jours else self._histoire.lots([(debut, fin)])
        async with contextlib.aclosing(suite) as lots:
            async for lot in lots:
                yield lot

    async def _planifier(self, intervalles: Sequence[Intervalle]) -> list[list[Tranche]]:
        """Les fichiers où lire chaque intervalle ; `auto` laisse à l'API ce qu'elle rendrait à moindre coût."""
        if not self._lisible:
            return [[] for _ in intervalles]
        mois: set[str] | None = None
        if any(t.cadence == "monthly" for intervalle in intervalles for t in self._tranches(intervalle, None)):
            mois = await parus(self._depot, self._rayon.prefixe("monthly"))
        plans = [self._tranches(intervalle, mois) for intervalle in intervalles]
        if self._source == AUTO and any(_est_entamee(tranche) for plan in plans for tranche in plan):
            debut, fin = intervalles[0][0], intervalles[-1][1]
            par_ms = await self._histoire.parcours.compter(debut, fin) / (fin - debut)
            plans = [[t for t in plan if self._vaut_son_fichier(t, par_ms)] for plan in plans]
        return plans

    def _tranches(self, intervalle: Intervalle, mois: set[str] | None) -> list[Tranche]:
        """Ce que l'on veut de chaque fichier qui touche cet intervalle."""
        debut, fin = intervalle
        heure = self._connexion.heure_ms()
        entieres = decouper(JOUR.plancher(debut), JOUR.plafond(fin), JOUR, heure, mois, TRADES_SEULS)
        return [t._replace(debut=max(t.debut, debut), fin=min(t.fin, fin)) for t in entieres]

    def _vaut_son_fichier(self, tranche: Tranche, par_ms: float) -> bool:
        """Vrai d'un fichier voulu entier, ou qui coûte moins que d'en demander à l'API ce qu'on en veut.

        D'un jour de deux millions de trades, une heure est à l'API. Ce qu'elle ne sert plus n'est qu'aux fichiers.
        """
        if not par_ms or not _est_entamee(tranche):
            return True
        debut, fin = tranche.periode
        fichier_s = 2 * self._depot.attente_s + OCTETS_ZIP_TRADE * par_ms * (fin - debut) / DEBIT_SUPPOSE
        return fichier_s < self._devis_api(round(par_ms * (tranche.fin - tranche.debut)), 1).duree_s

    async def devis(self, intervalles: Sequence[Intervalle], nombre: int) -> tuple[Devis, Devis]:
        """Ce que coûteraient `nombre` trades par l'API seule, et par les fichiers que lirait cette source."""
        tranches = [tranche for plan in await self._planifier(intervalles) for tranche in plan]
        duree = sum(fin - debut for debut, fin in intervalles)
        par_ms = nombre / max(duree, 1)
        reste = max(0, duree - sum(t.fin - t.debut for t in tranches))
        connus: dict[str, int] = {}
        for cadence in {t.cadence for t in tranches}:
            with contextlib.suppress(ErreurTemporaire):
                connus |= await self._depot.lister(self._rayon.prefixe(cadence)) or {}
        octets = 0
        for tranche in tranches:
            suppose = round(OCTETS_ZIP_TRADE * par_ms * (tranche.periode[1] - tranche.periode[0]))
            octets += connus.get(self._rayon.cle(tranche.cadence, tranche.periode[0])) or suppose
        api = self._devis_api(nombre, len(intervalles))
        du_reste = self._devis_api(round(par_ms * reste), len(intervalles) if reste else 0)
        requetes = 2 * len(tranches) + len({t.cadence for t in tranches})
        duree_s = self._depot.attente_s * requetes / CONNEXIONS + octets / DEBIT_SUPPOSE + du_reste.duree_s
        return api, Devis(requetes + du_reste.requetes, octets + du_reste.octets, duree_s)

    def _devis_api(self, nombre: int, departs: int) -> Devis:
        """Une page après l'autre : l'id de la suivante est dans la précédente."""
        requetes = departs + math.ceil(nombre / TRADES_PAR_PAGE)
        bride_s = bride_de(self._connexion, self._serie, "aggTrades", requetes, TRADES_PAR_PAGE)
        attente_s = requetes * self._depot.attente_s
        octets = OCTETS_JSON_TRADE * nombre
        return Devis(requetes, octets, max(bride_s, attente_s) + octets / DEBIT_SUPPOSE)

    async def _lire_les_volumes(self, tranches: Sequence[Tranche]) -> None:
        """Ce que chaque jour a échangé, d'après l'API ; au comptant, les ids en disent plus."""
        if self._suivis or not tranches:
            return
        serie = self._connexion.ouvrir_serie(self._serie.cle.symbole, JOUR.code, "last", None)
        lecture = Historique(self._connexion, serie, Plage(), Fiche(serie.cle), asyncio.Semaphore(1), 1)
        jours = await jours_de_l_api(lecture, JOUR.plancher(tranches[0].debut), JOUR.plafond(tranches[-1].fin))
        self._volumes = {jour: resume[4] for jour, resume in jours}

    async def _des_fichiers(self, tranches: Sequence[Tranche]) -> AsyncGenerator[Lot]:
        """Les lots des fichiers, dans l'ordre ; le suivant se télécharge pendant qu'on lit."""
        en_vol: collections.deque[tuple[Tranche, asyncio.Task[FichierDeTrades | None]]] = collections.deque()
        a_lancer = collections.deque(tranches)
        try:
            while a_lancer or en_vol:
                while a_lancer and len(en_vol) < 2:
                    tranche = a_lancer.popleft()
                    en_vol.append((tranche, asyncio.ensure_future(self._ouvrir(tranche))))
                tranche, tache = en_vol[0]
                retenu = await tache
                en_vol.popleft()
                faux = oter([(tranche.debut, tranche.fin)], retenu.surs if retenu is not None else ())
                if tranche.cadence == "monthly":
                    heure = self._connexion.heure_ms()
                    jours = jours_entiers(JOUR.plancher(tranche.debut), JOUR.plafond(tranche.fin), heure)
                    self._a_relire.update(jour for jour in jours if croiser([jour], faux))
                if retenu is not None:
                    with retenu.fichier:
                        async for lot in self._lots_de(retenu):
                            yield lot
        finally:
            for _, tache in en_vol:
                tache.cancel()
            finis = await asyncio.gather(*(tache for _, tache in en_vol), return_exceptions=True)
            for fini in finis:
                if isinstance(fini, FichierDeTrades):
                    fini.fichier.close()

    async def _ouvrir(self, tranche: Tranche) -> FichierDeTrades | None:
        """Un fichier qui compte, et ses jours sûrs ; None sinon, et c'est dit."""
        cle = self._rayon.cle(tranche.cadence, tranche.periode[0])
        fichier: IO[bytes] | None = None
        try:
            fichier = await self._depot.ouvrir(cle)
            if fichier is None:
                journal.info("Archives : %s n'est pas paru.", cle)
                return None
            examen = await asyncio.to_thread(self._examiner, fichier, tranche.periode)
        except BaseException as erreur:
            if fichier is not None:
                fichier.close()
            if isinstance(erreur, Ecarte):
                journal.warning("Archives : %s écarté : %s.", cle, erreur)
            elif isinstance(erreur, ErreurTemporaire):
                if not isinstance(erreur, Silence):
                    journal.warning("Archives : %s manqué. %s", cle, erreur)
            else:
                raise
            return None
        mauvais = self._mauvais(examen)
        if mauvais:
            journal.info("Archives : %s : %s à relire.", cle, nombre_de(len(mauvais), "jour"))
        surs = oter([(tranche.debut, tranche.fin)], [(jour, jour + JOUR_MS) for jour in mauvais])
        return FichierDeTrades(fichier, surs)

    def _examiner(self, fichier: IO[bytes], periode: Intervalle) -> Examen:
        examen = Examen(periode, self._contrat)
        for lot in lire_trades(fichier, _NATURES_EXAMEN):
            examen.voir(lot)
        return examen

    def _mauvais(self, examen: Examen) -> set[int]:
        """Les jours du fichier que rien ne prouve entiers."""
        jours = range(*examen.periode, JOUR_MS)
        if self._suivis:  # un jour vide, entre des ids qui se suivent, l'est vraiment ; au bord, rien ne le dit
            premier, dernier = min(examen.volumes, default=INSTANT_MAX_MS), max(examen.volumes, default=0)
            bords = {jour for jour in jours if not premier <= jour <= dernier}
            coupes = ({premier} if premier > jours[0] else set()) | ({dernier} if dernier < jours[-1] else set())
            return examen.rompus | bords | (coupes & set(jours))
        return {jour for jour in jours if not self._concorde(examen, jour)}

    def _concorde(self, examen: Examen, jour: int) -> bool:
        """Vrai si ce jour a échangé ce que dit l'API ; d'un inverse, à moins d'un demi-contrat, l'arrondi du reste."""
        lu, dit = examen.volumes.get(jour), self._volumes.get(jour)
        if lu is None or dit is None:
            return False
        ecart = 0.0 if self._contrat is None else self._contrat / examen.sommets[jour] / 2
        return math.isclose(lu, dit, rel_tol=ECART_DE_SOMME, abs_tol=ecart)

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
                    dernier = Lot(self._serie.cle, lignes, couverts, [], ARCHIVES)
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


def produits(prix: pa.Array, quantites: pa.Array) -> pa.Array:
    """Le produit exact de nombres en texte, arrondi une fois : deux entiers, divisés par une puissance de dix exacte.

    Là où ils n'ont pas tous autant de décimales, ou pèsent trop pour un flottant, par les décimaux, trois fois plus
    lents ; qu'Arrow ne convertit juste en flottants que par leur texte.
    """
    gauches, droites = _entiers(prix), _entiers(quantites)
    if gauches is not None and droites is not None:
        (gauche, a), (droite, b) = gauches, droites
        if pc.max(gauche).as_py() * pc.max(droite).as_py() <= 2**53 and a + b <= 22:
            return pc.divide(pc.multiply(gauche, droite).cast(pa.float64()), 10.0 ** (a + b))
    exacts = pc.multiply(prix.cast(pa.decimal128(19, 8)), quantites.cast(pa.decimal128(18, 8)))
    return exacts.cast(pa.string()).cast(pa.float64())


DECIMALES_D_UN_INVERSE = 18  # de l'inverse d'un prix, tronqué : ce que ccxt en garde


def quotients(prix: pa.Array, quantites: pa.Array, contrat: float) -> pa.Array:
    """Le coût de contrats inverses, tel que ccxt le calcule : l'inverse du prix tronqué, le reste exact, arrondi."""
    taille, decimales = _en_entier(repr(contrat))
    inverses: dict[str, int] = {}
    for texte in prix.unique().to_pylist():
        entier, rang = _en_entier(texte)
        inverses[texte] = taille * (10 ** (DECIMALES_D_UN_INVERSE + rang) // entier)
    couts = []
    for texte, quantite in zip(prix.to_pylist(), quantites.to_pylist(), strict=True):
        nombre, rang = _en_entier(quantite)
        couts.append(inverses[texte] * nombre / 10 ** (DECIMALES_D_UN_INVERSE + decimales + rang))
    return pa.array(couts, pa.float64())


def _en_entier(texte: str) -> tuple[int, int]:
    """Un nombre en texte : ses chiffres, et combien sont des décimales."""
    entier, _, decimales = texte.partition(".")
    return int(entier + decimales), len(decimales)


def _entiers(textes: pa.Array) -> tuple[pa.Array, int] | None:
    """Des nombres en texte, en entiers, et leurs décimales, sans les zéros de fin communs ; None s'ils diffèrent."""
    if not len(textes):
        return None
    points = pc.find_substring(textes, ".")
    decimales = pc.min_max(pc.subtract(pc.subtract(pc.binary_length(textes), points), 1)).as_py()
    if pc.min(points).as_py() < 0 or decimales["min"] != decimales["max"]:
        return None
    try:
        entiers, reste = pc.replace_substring(textes, ".", "").cast(pa.int64()), decimales["max"]
    except pa.ArrowInvalid:
        return None  # trop long, ou en notation scientifique
    for zeros in (8, 4, 2, 1):
        if zeros <= reste:
            courts = pc.divide(entiers, 10**zeros)
            if pc.all(pc.equal(pc.multiply(courts, 10**zeros), entiers)).as_py():
                entiers, reste = courts, reste - zeros
    return entiers, reste


def _dans(instants: pa.ChunkedArray, intervalles: Sequence[Intervalle]) -> pa.ChunkedArray:
    """Masque des instants qui sont dans l'un de ces intervalles."""
    masque = pc.less(instants, 0)
    for debut, fin in intervalles:
        masque = pc.or_(masque, pc.and_(pc.greater_equal(instants, debut), pc.less(instants, fin)))
    return masque


# --- Les relevés : funding, intérêt ouvert ---

JEU_MS = MINUTE_MS  # un règlement est daté de quelques millisecondes après son heure
METRICS_MS = 5 * MINUTE_MS
Valeurs = tuple[float | None, ...]


class Feuille(NamedTuple):
    """Ce que tient un fichier de relevés : ses lignes, ce qu'elles prouvent, les instants d'une valeur fausse."""

    lignes: dict[int, Valeurs]
    prouves: list[Intervalle]
    faux: list[int]


VIDE = Feuille({}, [], [])


def _sans_doublons(lignes: Iterable[tuple[int, Valeurs]]) -> tuple[dict[int, Valeurs], list[int]]:
    """Les lignes, une fois chacune, et les instants qui en ont deux différentes ; Ecarte si elles sont en désordre.

    De 2020-09 à 2021-05, les metrics ont chaque ligne deux fois.
    """
    vues: dict[int, Valeurs] = {}
    doubles: set[int] = set()
    dernier = -1
    for instant, valeurs in lignes:
        if instant in vues:
            doubles |= {instant} if vues[instant] != valeurs else set()
            continue
        if instant < dernier:
            raise Ecarte("une ligne y est en désordre")
        vues[instant], dernier = valeurs, instant
    return {instant: valeurs for instant, valeurs in vues.items() if instant not in doubles}, sorted(doubles)


def lire_funding(fichier: IO[bytes], periode: Intervalle) -> Feuille:
    """Les règlements d'un mois, sans prix de marque. Lève Ecarte.

    Entre deux règlements, rien ne manque si leur écart est l'intervalle que l'un et l'autre disent ; là où l'intervalle
    change, le fichier ne dit pas duquel des deux il est.
    """
    natures = {"f0": pa.int64(), "f1": pa.float64(), "f2": pa.float64()}
    table = _lire_csv(_texte_de(fichier), natures)
    if any(colonne.null_count for colonne in table.columns):
        raise Ecarte("il y manque une valeur")
    instants, heures, taux = (colonne.to_pylist() for colonne in table.columns)
    lues, doubles = _sans_doublons(zip(instants, zip(heures, taux, strict=True), strict=True))
    if doubles:
        raise Ecarte("deux taux y ont le même instant")
    debut, fin = periode
    if lues and not debut <= min(lues) <= max(lues) < fin:
        raise Ecarte("il tient des lignes d'une autre période")
    pas = {instant: round((valeurs[0] or 0.0) * HEURE_MS) for instant, valeurs in lues.items()}
    prouves = [(instant, instant + 1) for instant in lues]
    for avant, apres in itertools.pairwise(lues):
        if pas[avant] == pas[apres] and abs(apres - avant - pas[avant]) <= JEU_MS:
            prouves.append((avant, apres))
    if lues and min(lues) - debut <= JEU_MS:
        prouves.append((debut, min(lues)))
    if lues and abs(max(lues) + pas[max(lues)] - fin) <= JEU_MS:
        prouves.append((max(lues), fin))
    return Feuille({instant: (valeurs[1], None) for instant, valeurs in lues.items()}, unir(prouves), [])


def lire_metrics(fichier: IO[bytes], periode: Intervalle, symbole: str) -> Feuille:
    """L'intérêt ouvert d'un jour, de cinq en cinq minutes : quantité, valeur. Lève Ecarte.

    Selon l'année, un fichier va de 00:00 à 23:55 ou de 00:05 à 00:00 le lendemain. Un intérêt nul, ou absent, n'est pas
    une valeur.
    """
    natures = {"f0": pa.timestamp("ms"), "f1": pa.string(), "f2": pa.float64(), "f3": pa.float64()}
    table = _lire_csv(_texte_de(fichier), natures)
    if table["f0"].null_count or set(table["f1"].to_pylist()) - {symbole}:
        raise Ecarte("une ligne y est sans instant, ou d'un autre symbole")
    instants, quantites, sommes = (
        colonne.to_pylist() for colonne in (table["f0"].cast(pa.int64()), table["f2"], table["f3"])
    )
    lues, doubles = _sans_doublons(zip(instants, zip(quantites, sommes, strict=True), strict=True))
    if any(not periode[0] <= instant <= periode[1] for instant in lues):
        raise Ecarte("il tient des lignes d'une autre période")
    bonnes = {instant: v for instant, v in lues.items() if all(x is not None and 0 < x < math.inf for x in v)}
    return Feuille(bonnes, [], sorted({*doubles, *lues} - set(bonnes)))


class _Liasse(NamedTuple):
    """Les fichiers de relevés d'une série, et comment en lire un."""

    depot: Depot
    rayon: Rayon
    cadence: str
    lire: Callable[[IO[bytes], Intervalle], Feuille]

    async def voulus(self, periodes: Iterable[Intervalle]) -> list[Intervalle]:
        """Ceux qui sont parus, ou dont rien ne dit qu'ils ne le sont pas."""
        toutes = sorted(set(periodes))
        connus = await parus(self.depot, self.rayon.prefixe(self.cadence)) if toutes else None
        debut = len(self.rayon.prefixe(self.cadence))
        dates = {p: self.rayon.cle(self.cadence, p[0])[debut:].removesuffix(".zip") for p in toutes}
        return [periode for periode in toutes if connus is None or dates[periode] in connus]

    async def charger(self, periode: Intervalle) -> tuple[Intervalle, Feuille]:
        """Ce que ce fichier a de bon ; rien s'il ne compte pas, et c'est dit."""
        cle = self.rayon.cle(self.cadence, periode[0])
        try:
            fichier = await self.depot.ouvrir(cle)
            if fichier is None:
                journal.info("Archives : %s n'existe pas.", cle)
                return periode, VIDE
            with fichier:
                return periode, await asyncio.to_thread(self.lire, fichier, periode)
        except Ecarte as refus:
            journal.warning("Archives : %s écarté : %s.", cle, refus)
            return periode, VIDE
        except ErreurTemporaire as erreur:
            if not isinstance(erreur, Silence):
                journal.warning("Archives : %s manqué. %s", cle, erreur)
            return periode, VIDE._replace(faux=list(range(*periode, METRICS_MS)))


class FundingDesArchives(_HistoireDesArchives):
    """Le funding d'un contrat, lu dans les fichiers de ses mois, et par l'API pour ce qu'ils ne prouvent pas."""

    async def lots(self, intervalles: Sequence[Intervalle]) -> AsyncGenerator[Lot]:
        """Les lots des fichiers, puis ceux de l'API."""
        marche = self._serie.marche
        rayon = Rayon(_RACINES[genre_de(marche)], "fundingRate", str(marche["id"]), "")
        liasse = _Liasse(self._depot, rayon, "monthly", lire_funding)
        reste = unir(intervalles)
        periodes = await liasse.voulus(mois_finis(reste, self._connexion.heure_ms()))
        async with contextlib.aclosing(dans_l_ordre(liasse.charger, periodes)) as feuilles:
            async for periode, feuille in feuilles:
                voulu = croiser(reste, [periode])
                couverts = croiser(feuille.prouves, voulu)
                if couverts:
                    yield _lot_de(self._histoire, _parmi(feuille.lignes, voulu), couverts)
                    reste = oter(reste, couverts)
        async with contextlib.aclosing(self._histoire.lots(reste)) as lots:
            async for lot in lots:
                yield lot


class InteretDesArchives(_HistoireDesArchives):
    """L'intérêt ouvert d'un contrat linéaire : l'API pour le dernier mois, les fichiers de chaque jour avant lui.

    Ce qu'un instant veut dire a changé : l'état à cet instant, puis cinq minutes après. Les sources se contredisent sur
    la date : un fichier que l'API sert encore lui est confronté ; d'un autre, les instants sont gardés tels qu'écrits.
    """

    _servis: Sequence[Intervalle] = ()  # ce que l'API sert encore de ce qui est demandé
    _dits: dict[int, Valeurs] | None = None

    async def lots(self, intervalles: Sequence[Intervalle]) -> AsyncGenerator[Lot]:
        """Les lots des fichiers, puis ce que ni eux ni l'API n'ont, puis les lots de l'API."""
        symbole = str(self._serie.marche["id"])
        rayon = Rayon(_RACINES["linear"], "metrics", symbole, "")
        liasse = _Liasse(self._depot, rayon, "daily", lambda fichier, jour: lire_metrics(fichier, jour, symbole))
        reste = unir(intervalles)
        bord = await self._bord(reste)
        sur = bord + bool(bord) * HEURE_MS  # le bord avance pendant la lecture
        a_lire = croiser(reste, [(0, sur)]) if self._source == AUTO else reste
        self._servis, self._dits = oter(reste, [(0, sur)]), None
        periodes = await liasse.voulus(self._jours(a_lire))
        tels_quels = False
        async with contextlib.aclosing(dans_l_ordre(liasse.charger, periodes)) as feuilles:
            async for jour, feuille in feuilles:
                voulu = croiser(reste, [(jour[0], jour[1] + self._serie.timeframe.pas_ms)])
                anciens, recents = croiser(voulu, [(0, sur)]), oter(voulu, [(0, sur)])
                tels_quels = tels_quels or bool(feuille.lignes and anciens and not recents)
                datee = await self._dater(rayon.cle("daily", jour[0]), feuille, recents)
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
        if perdus := croiser(reste, [(0, bord)]):
            vide = OPEN_INTEREST.schema.empty_table()
            yield Lot(self._serie.cle, vide, [], [Trou(*perdu, HORS_FENETRE_API) for perdu in perdus])
        async with contextlib.aclosing(self._histoire.lots(oter(reste, perdus))) as lots:
            async for lot in lots:
                yield lot

    async def _bord(self, intervalles: Sequence[Intervalle]) -> int:
        """L'instant d'avant lequel l'API ne sert plus rien ; 0 si elle sert tout ce qui est demandé."""
        if not intervalles:
            return 0
        parcours = self._histoire.parcours.parcourir(intervalles[0][0], intervalles[-1][1], exigee=False)
        async with contextlib.aclosing(parcours) as pas_a_pas:
            async for pas in pas_a_pas:
                return max((trou.fin for trou in pas.trous if trou.raison == HORS_FENETRE_API), default=0)
        return 0

    def _jours(self, intervalles: Sequence[Intervalle]) -> Iterator[Intervalle]:
        """Les jours des fichiers où lire ; le premier relevé d'un jour est peut-être le dernier du fichier d'avant."""
        for debut, fin in intervalles:
            premier = JOUR.plancher(self._serie.timeframe.plancher(debut) - METRICS_MS)
            yield from jours_entiers(premier, JOUR.plafond(fin), self._connexion.heure_ms())

    async def _dater(self, cle: str, feuille: Feuille, recents: Sequence[Intervalle]) -> Feuille | None:
        """Le fichier, à l'heure de l'API ; None si elle le dément. Tel qu'écrit là où elle ne sert plus rien."""
        if not recents or not feuille.lignes:
            return feuille
        dits = await self._dits_de_l_api()
        for decalage in (0, METRICS_MS):
            decalees = {instant + decalage: valeurs for instant, valeurs in feuille.lignes.items()}
            lues = _parmi(self._sur_la_grille(decalees), recents)
            if lues and all(dits.get(instant) == valeurs for instant, valeurs in lues.items()):
                if decalage:
                    journal.info("Archives : %s dit l'état de cinq minutes après, d'après l'API.", cle)
                return feuille._replace(lignes=decalees, faux=[instant + decalage for instant in feuille.faux])
        journal.warning("Archives : %s écarté : il diffère de l'API.", cle)
        return None

    async def _dits_de_l_api(self) -> Mapping[int, Valeurs]:
        """Ce qu'elle rend de tout ce qu'elle sert encore : lu une fois, et non à chaque fichier."""
        if self._dits is None:
            dits: dict[int, Valeurs] = {}
            async with contextlib.aclosing(self._histoire.lots(self._servis)) as lots:
                async for lot in lots:
                    valeurs = zip(*(lot.lignes[nom].to_pylist() for nom in ("amount", "value")), strict=True)
                    dits |= dict(zip(instants_de(lot.lignes), valeurs, strict=True))
            self._dits = dits
        return self._dits

    def _sur_la_grille(self, lignes: Mapping[int, Valeurs]) -> dict[int, Valeurs]:
        return {instant: v for instant, v in lignes.items() if self._serie.timeframe.est_sur_grille(instant)}

    def _lot(self, feuille: Feuille, voulu: Sequence[Intervalle], perdus: Sequence[Intervalle]) -> Lot:
        """Les lignes voulues d'un fichier ; d'une valeur fausse, un trou là où l'API ne dira rien d'autre."""
        grille = self._serie.timeframe
        bonnes = self._sur_la_grille(feuille.lignes)
        cases = unir([(instant, grille.avancer(instant, 1)) for instant in bonnes])
        fausses = [(t, grille.avancer(t, 1)) for t in feuille.faux if grille.est_sur_grille(t)]
        lot = _lot_de(self._histoire, _parmi(bonnes, voulu), croiser(cases, voulu))
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


def _lot_de(histoire: Histoire, lignes: Mapping[int, Valeurs], couverts: list[Intervalle]) -> Lot:
    cle = histoire.serie.cle
    releves = [Releve(instant, str(instant), valeurs) for instant, valeurs in sorted(lignes.items())]
    return Lot(cle, histoire.tabler(cle, releves), couverts, [], ARCHIVES)
