"""Le dépôt des fichiers publics d'un exchange : un hôte, ou un dossier rangé comme lui.

Un fichier est rendu entier d'après sa somme de contrôle, ou pas du tout. Ajouter un exchange : une ligne de `HOTES`.
"""

from __future__ import annotations

import asyncio
import hashlib
import html
import re
import tempfile
import time
import urllib.parse
import urllib.request
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

import aiohttp
import yarl

from annexes_ccxt_fr.place import taille_lisible
from module_ccxt_fr_v2 import (
    ErreurDefinitive,
    ErreurDemande,
    ErreurTemporaire,
    Essais,
    LimiteDeDebit,
    cause_disque,
    journal,
    masquer,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from module_ccxt_fr_v2 import Connexion


class Hote(NamedTuple):
    """Où sont les fichiers, et où en est la liste."""

    fichiers: str
    liste: str


_VISION = Hote("https://data.binance.vision", "https://s3-ap-northeast-1.amazonaws.com/data.binance.vision")
HOTES = dict.fromkeys(("binance", "binanceusdm", "binancecoinm"), _VISION)

CONNEXIONS = 4  # fichiers demandés en même temps, toutes séries comprises
ESSAIS = 3
ECHECS_MAX = 3  # de suite, et l'hôte ne sera plus demandé
ATTENTE_MAX_S, DUREE_MAX_S = 20.0, 3600.0  # sans un octet ; d'un fichier entier
# Ce que pèse au plus une réponse : un corps sans fin emplirait le disque.
SOMME_MAX, LISTE_MAX, ZIP_MAX = 1 << 12, 16 << 20, 4 << 30
PAGES_DE_LISTE_MAX = 20
SUCCES, ABSENT, ERREURS_DU_SERVEUR = 200, 404, 500
TROP_VITE, PEUT_ETRE_TROP_VITE = (418, 429), (403, 503)
EN_MEMOIRE = 16 << 20  # un zip plus lourd passe par un fichier temporaire
LATENCE_SUPPOSEE_S = 0.1  # une réponse, au moins


class Ecarte(ErreurDefinitive):
    """Ce fichier ne compte pas ; la phrase dit pourquoi."""


class Silence(ErreurTemporaire):
    """L'hôte des archives ne répond plus : il n'est plus demandé."""


def ouvrir_depot(connexion: Connexion, *, exige: bool) -> Depot | None:
    """Les fichiers publics de l'exchange, sans rien demander ; None s'il n'en a pas que l'on sache lire.

    `urls.archives` de --config-ccxt en change l'hôte : `<base>/data/…` sont les fichiers, `<base>?prefix=…` la liste ;
    `file:///dossier` est un miroir. ErreurDemande s'ils sont exigés et qu'il n'y en a pas.
    """
    reglages, base = connexion.reglages, (connexion.api.urls or {}).get("archives")
    if base is not None and not (isinstance(base, str) and base):
        phrase = "config_ccxt : « urls.archives » est une adresse http(s) ou file://"
        raise ErreurDemande(phrase, "Corrigez-la.", "config_ccxt")
    hote = HOTES.get(reglages.exchange)
    if hote is not None and base is None and reglages.hors_ligne:
        return None  # l'exchange embarqué dit où est le sien quand il est ouvert : un plan se contrôle avant
    if hote is None or (base is None and reglages.sandbox):
        if exige:
            qui = "Le banc d'essai" if hote else f"« {reglages.exchange} »"
            raise ErreurDemande(
                f"{qui} n'a pas de fichiers publics que l'on sache lire",
                f"Ôtez --source archives, ou prenez --source auto. Exchanges qui en ont : {', '.join(HOTES)}.",
                "source",
            )
        return None
    if base is None:
        return DepotHttp(connexion, hote)
    adresse = urllib.parse.urlsplit(base)
    if adresse.scheme in ("http", "https"):
        return DepotHttp(connexion, Hote(base.rstrip("/"), base.rstrip("/")))
    dossier = Path(urllib.request.url2pathname(adresse.path) if adresse.scheme == "file" else base)
    if not dossier.is_dir():
        raise ErreurDemande(
            f"urls.archives : « {base} » n'est ni une adresse http(s) ni un dossier",
            "Corrigez --config-ccxt.",
            "config_ccxt",
        )
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
            raise Ecarte(f"« {self.dossier / cle} » ne se copie pas : {cause_disque(erreur)}") from erreur

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
        """Les clés d'un préfixe et leur taille en octets ; None si l'hôte n'a pas de liste, ou ne l'achève pas.

        Coupée, ou dont la suite ne vient pas, elle tait des fichiers qui existent : rien ne peut alors en être dit.
        """
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
            if "</ListBucketResult>" not in texte:
                return None
            trouvees = re.findall(r"<Key>([^<]+)</Key>(?:(?!<Key>).)*?<Size>(\d+)</Size>", texte, re.DOTALL)
            cles |= {html.unescape(cle): int(taille) for cle, taille in trouvees}
            if "<IsTruncated>true</IsTruncated>" not in texte:
                return cles
            derniere = max(cles, default="")
            if derniere <= marque:
                break
            marque = derniere
        return None

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
