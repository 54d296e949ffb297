r"""Données de marché vraies et complètes, de n'importe quel exchange ccxt jusqu'au disque.

Une source asynchrone rend des lots de lignes, un écrivain les range ; le reste sert ces deux-là.

En bibliothèque :

    import module_ccxt_fr_v2 as collecte

    table = collecte.telecharger_ohlcv(
        exchange="binance", symbole="BTC/USDT", timeframe="1h",
        date_debut="2024-01-01", date_fin="2024-02-01",
    )                                     # pyarrow.Table ; avec sortie="btc.parquet", écrit aussi

    async for lot in collecte.suivre(exchange="okx", stream="trades", symbole="BTC/USDT", duree=600):
        lot.lignes                        # pyarrow.Table, à mesure que les lignes sont sûres

En ligne de commande :

    python module_ccxt_fr_v2.py --exchange binance --symbole BTC/USDT --timeframe 1m \
        --date-debut 2024-01-01 --date-fin 2024-02-01 --format parquet
    python module_ccxt_fr_v2.py --exchange okx --symbole BTC/USDT --stream ohlcv --duree 600 --format sqlite

Unités : un instant est un entier en ms depuis l'époque, UTC ; un intervalle est [début, fin[ ; une durée
porte son unité dans son nom (`_ms`, `_s`). Une bougie est désignée par son instant d'ouverture.

Plan (chaque section n'emploie que les précédentes ; `grep '^# § '` le redonne) :

    § 0   En-tête
    § 1   Erreurs
    § 2   Temps
    § 3   Lignes
    § 4   Agrégation
    § 5   Essais
    § 6   Écrivains
    § 7   Exchange
    § 8   Historique REST
    § 9   Flux
    § 10  Options et tâches
    § 11  Exécution
    § 12  Ligne de commande

Ce qui sert autour (vérifier, simuler, lots, rapport…) est dans `annexes_ccxt_fr/`, une idée par fichier : elles
importent ce module, qui ne les atteint que par `annexe()`, à la demande. Copié seul, il s'en passe ou les réclame.
"""

# ----------------------------------------------------------------------------------------------------------------------
# § 0   En-tête
# ----------------------------------------------------------------------------------------------------------------------

from __future__ import annotations

import signal
import sys

# Ctrl-C pendant les imports qui suivent : rien n'est à ranger, et Python n'en montrerait qu'une trace. Le programme en
# meurt sans un mot, comme de SIGTERM, jusqu'à ce que `obtenir` les garde ; importé par un autre, il n'y touche pas.
if (
    sys.argv and sys.argv[0].endswith(("module_ccxt_fr_v2.py", "runner_ccxt_batch.py", "ccxt-fr", "ccxt-fr-lot"))
    and signal.getsignal(signal.SIGINT) is signal.default_int_handler  # et non ignoré, comme d'une tâche de fond
):  # fmt: skip
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import codecs
import collections
import contextlib
import contextvars
import dataclasses
import datetime as dt
import decimal
import errno
import functools
import importlib
import importlib.util
import io
import itertools
import logging
import math
import operator
import os
import re
import stat
import struct
import threading
import time
import warnings
from abc import ABC, abstractmethod
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Collection,
    Container,
    Coroutine,
    Generator,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from dataclasses import MISSING, dataclass, field, fields
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar, NamedTuple, Protocol, Self, TypeAlias, TypeVar

__version__ = "2.0.0"

__all__ = [
    "Bilan",
    "BilanLot",
    "ErreurCollecte",
    "ErreurDefinitive",
    "ErreurDemande",
    "ErreurSortie",
    "ErreurTemporaire",
    "Rapport",
    "Tache",
    "agreger_trades",
    "construire",
    "executer",
    "executer_async",
    "executer_lot",
    "executer_lot_async",
    "lire",
    "ouvrir_exchange",
    "suivre",
    "telecharger",
    "telecharger_async",
    "telecharger_ohlcv",
    "telecharger_ohlcv_async",
    "verifier",
]

# Le nom est fixe : lancé en script, le module s'appellerait « __main__ ».
journal = logging.getLogger("module_ccxt_fr_v2")
journal.addHandler(logging.NullHandler())

# ----------------------------------------------------------------------------------------------------------------------
# § 1   Erreurs
# ----------------------------------------------------------------------------------------------------------------------

CODE_SUCCES = 0
CODE_ECHEC = 1
CODE_DEMANDE = 2
CODE_PARTIEL = 3
CODE_FAUTES = 4  # --verifier en a trouvé
CODE_OCCUPE = 75  # EX_TEMPFAIL de sysexits.h
CODE_SIGINT = 130


class ErreurCollecte(Exception):
    """Racine des erreurs du module ; les enfants se distinguent par ce qu'il faut faire.

    `str(erreur)` dit ce qui a échoué et sur quoi ; `conseil`, que faire (une trace le montre aussi) ; `code_sortie`, ce
    que rend le programme.
    """

    code_sortie: ClassVar[int] = CODE_ECHEC

    def __init__(self, message: str, conseil: str = "") -> None:
        super().__init__(message)
        self.conseil = conseil
        if conseil:
            self.add_note(conseil)

    def complet(self) -> str:
        """Le message suivi de son conseil, en une ligne de journal."""
        message = str(self)
        if not self.conseil:
            return message
        message = message.rstrip(" .")
        return f"{message}{'' if message.endswith(('?', '!')) else '.'} {self.conseil}"


class ErreurDemande(ErreurCollecte):
    """La demande est à corriger : rien n'a été écrit, relancer telle quelle échouera encore.

    `option` : celle à corriger, sous son nom, quand l'erreur n'en accuse qu'une.
    """

    code_sortie = CODE_DEMANDE

    def __init__(self, message: str, conseil: str = "", option: str = "") -> None:
        super().__init__(message, conseil)
        self.option = option


class DependanceAbsente(ErreurDemande):
    """Il manque une bibliothèque, ou elle est trop vieille : le conseil donne la commande qui l'installe."""


class ErreurTemporaire(ErreurCollecte):
    """Passagère : réessayer suffit d'ordinaire ; levée pour de bon quand les essais sont épuisés."""


class RefusProbable(ErreurTemporaire):
    """L'exchange a répondu par une erreur qui n'est pas du réseau : passagère une fois, un refus si elle se répète."""


class LimiteDeDebit(ErreurTemporaire):
    """L'exchange demande d'attendre : plus aucune requête vers lui avant `attente_s` (None : il ne l'a pas dit)."""

    def __init__(self, message: str, conseil: str = "", attente_s: float | None = None) -> None:
        super().__init__(message, conseil)
        self.attente_s = attente_s


class ErreurDefinitive(ErreurCollecte):
    """L'exchange a refusé pour de bon : réessayer ne changerait rien."""


class HorsDesBornes(ErreurDefinitive):
    """L'exchange ne sert pas une telle demande ; `admis` : ce qu'il dit accepter, None s'il n'en dit rien."""

    def __init__(self, message: str, conseil: str = "", admis: int | None = None) -> None:
        super().__init__(message, conseil)
        self.admis = admis


class HorsFenetre(HorsDesBornes):
    """Il ne sert pas si loin en arrière ; `admis` : un nombre de bougies."""


class FenetreTropLongue(HorsDesBornes):
    """Il ne sert pas d'un coup une fenêtre si longue ; `admis` : des jours."""


class ErreurSortie(ErreurCollecte):
    """Le fichier de sortie n'a pu être lu ou écrit : l'ancien contenu est intact."""


class SortieOccupee(ErreurSortie):
    """Une autre exécution tient cette sortie : attendre qu'elle finisse."""

    code_sortie = CODE_OCCUPE


def refus_leves(controler: Callable[..., object], *args: object) -> Iterator[ErreurDemande]:
    """Ce que refuse ce contrôle, pour le dire avec les autres."""
    try:
        controler(*args)
    except ErreurDemande as refus:
        yield refus


def lever_le_premier(refus: Iterable[ErreurDemande]) -> None:
    """Lève le premier de ces refus, s'il y en a."""
    for premier in refus:
        raise premier


class _ModuleParesseux:
    """Importe un module au premier usage, puis lui laisse son nom ; dit comment l'installer s'il manque.

    pyarrow coûte 0,1 s et asyncio 0,03 s : `--help` et l'import du module ne les paient pas.
    """

    def __init__(self, nom: str, usage: str = "Ce programme") -> None:
        self._nom, self._usage = nom, usage
        self._module: Any = None  # d'une annexe qui a pris ce nom avant lui, chaque emploi passe par ici

    def __getattr__(self, attribut: str) -> Any:
        return getattr(self.charger(), attribut)

    def charger(self) -> Any:
        """L'importe, s'il ne l'est pas encore."""
        if self._module is None:
            self._module = importer(self._nom, self._usage)
            globals().update({nom: self._module for nom, valeur in globals().items() if valeur is self})
        return self._module


PAQUETS = {"yaml": "PyYAML", "dotenv": "python-dotenv"}  # ceux dont le nom n'est pas celui du module
VOISINS = {"annexes_ccxt_fr", "bourse_locale"}  # dossiers livrés à côté du module, qui peut avoir été copié seul


def importer(nom: str, usage: str) -> Any:
    """Rend le module `nom` ; lève DependanceAbsente, qui dit ce qui manque et comment l'avoir."""
    try:
        return importlib.import_module(nom)
    except ImportError as erreur:
        # Une annexe présente peut demander une bibliothèque qui ne l'est pas : c'est elle qui manque.
        absent = erreur.name if isinstance(erreur, ModuleNotFoundError) and erreur.name else nom
        racine = absent.partition(".")[0]
        if racine in VOISINS:
            sinon = f", ou ôtez {usage}" if usage.startswith("--") else ""
            raise DependanceAbsente(
                f"{usage} demande le dossier « {racine} », livré à côté du module ({erreur})",
                f"Copiez-le aussi{sinon}.",
            ) from erreur
        raise DependanceAbsente(
            f"{usage} demande « {racine} », qui n'a pu être importé ({erreur})",
            f"Installez-le : {_interprete()} -m pip install --upgrade {PAQUETS.get(racine, racine)}",
        ) from erreur


def _interprete() -> str:
    """Le Python d'ici, à recopier : son seul nom serait celui d'un autre, si l'environnement n'est pas activé."""
    chemin = sys.executable or "python"
    return f'"{chemin}"' if " " in chemin else chemin


def annexe(nom: str, usage: str) -> Any:
    """Le fichier `nom` des annexes, importé au premier usage ; DependanceAbsente si le module a été copié seul.

    Une annexe importe ce module-ci : lancé en script, il est « __main__ », et s'inscrit d'abord sous son vrai nom.
    """
    sys.modules.setdefault("module_ccxt_fr_v2", sys.modules[__name__])
    return importer(f"annexes_ccxt_fr.{nom}", usage)


def annexe_ou_rien(nom: str) -> Any:
    """La même, là où l'on s'en passe (de la vitesse, un affichage, un confort) ; None si le module a été copié seul.

    None aussi quand trop de fichiers sont ouverts pour la lire.
    """
    with contextlib.suppress(DependanceAbsente, OSError):
        return annexe(nom, nom)
    return None


if TYPE_CHECKING:
    import argparse
    import asyncio
    import bisect
    import email.utils as email_utils
    import gzip
    import hashlib
    import importlib.metadata as metadonnees
    import json
    import random
    import shutil
    import sqlite3
    import zlib
    from concurrent import futures

    import pyarrow as pa
    import pyarrow.compute as pc

    from annexes_ccxt_fr.pauses import Debit
else:
    argparse = _ModuleParesseux("argparse")
    asyncio = _ModuleParesseux("asyncio")
    bisect = _ModuleParesseux("bisect")
    email_utils = _ModuleParesseux("email.utils")
    futures = _ModuleParesseux("concurrent.futures")
    gzip = _ModuleParesseux("gzip")
    hashlib = _ModuleParesseux("hashlib")
    json = _ModuleParesseux("json")
    metadonnees = _ModuleParesseux("importlib.metadata")
    random = _ModuleParesseux("random")
    shutil = _ModuleParesseux("shutil")
    sqlite3 = _ModuleParesseux("sqlite3")
    zlib = _ModuleParesseux("zlib")
    pa = _ModuleParesseux("pyarrow", "Mettre les lignes en table")
    pc = _ModuleParesseux("pyarrow.compute", "Mettre les lignes en table")


def neutraliser(texte: str, sauf: str = "") -> str:
    """Le texte, ce qui ne s'imprime pas échappé : un nom venu de l'exchange ne pilote ni le terminal ni le journal."""
    if texte.isprintable():
        return texte
    return "".join(c if c.isprintable() or c in sauf else c.encode("unicode_escape").decode() for c in texte)


def proches(mot: str, choix: Iterable[str], nombre: int = 3) -> str:
    """« Vouliez-vous dire … ? » avec les choix les plus proches ; vide s'il n'y en a pas."""
    suggestions = annexe_ou_rien("suggestions")
    return str(suggestions.proches(mot, choix, nombre)) if suggestions else ""


def nombre_de(nombre: int, nom: str) -> str:
    """« 0 ligne nouvelle », « 1 bougie », « 2 lignes nouvelles » : tous les mots s'accordent, à partir de deux."""
    return f"{nombre} {' '.join(f'{mot}s' for mot in nom.split()) if nombre > 1 else nom}"


def de(nom: object) -> str:
    """« de binance », « d'okx », « d'ETH/USDT »."""
    return f"d'{nom}" if f"{nom}".lower().startswith(tuple("aeiou")) else f"de {nom}"


# ----------------------------------------------------------------------------------------------------------------------
# § 2   Temps
# ----------------------------------------------------------------------------------------------------------------------

SECONDE_MS = 1_000
MINUTE_MS = 60 * SECONDE_MS
HEURE_MS = 60 * MINUTE_MS
JOUR_MS = 24 * HEURE_MS
SEMAINE_MS = 7 * JOUR_MS
PREMIER_LUNDI_MS = -3 * JOUR_MS  # lundi 29 décembre 1969 : l'époque est un jeudi
INSTANT_MIN_MS = 365 * JOUR_MS  # 1971
INSTANT_MAX_MS = 230 * 366 * JOUR_MS  # vers 2200
RELATIF = r"-(\d{1,6})([jhm])"  # un motif n'est compilé qu'à son premier emploi : l'import du module n'en paie aucun
EPOQUE = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)

_UNITES_MS = {"s": SECONDE_MS, "m": MINUTE_MS, "h": HEURE_MS, "d": JOUR_MS, "w": SEMAINE_MS}
_MOIS_PAR_UNITE = {"M": 1, "y": 12}
# En dessous, une grille décalée est l'exception ; au-dessus, okx ouvre ses jours à 16:00 UTC (Hong Kong),
# kraken ses semaines le jeudi : leurs horodatages sont gardés, et l'ancre est notée dans la fiche.
PAS_MIN_ANCRE_MS = 6 * HEURE_MS

Intervalle = tuple[int, int]


def maintenant_ms() -> int:
    """L'heure locale, en ms UTC."""
    return time.time_ns() // 1_000_000


@dataclass(frozen=True)
class Timeframe:
    """La grille des ouvertures d'un timeframe : pas fixe, ou calendrier pour les mois et les années.

    `ancre_ms` décale la grille (0 : minuit UTC, lundi, 1er du mois). `jeu_ms` : une bougie peut ouvrir d'autant après
    son point de la grille ; il reste son rang, et la borne de tout intervalle. `ancrable` : si courte soit-elle,
    un exchange l'ouvre peut-être ailleurs.
    """

    code: str
    nombre: int
    unite: str
    ancre_ms: int = 0
    jeu_ms: int = 0
    ancrable: bool = False

    @classmethod
    def lire(cls, code: str) -> Timeframe:
        """Lit « 1m », « 4h », « 1w », « 1M »… ; ValueError si ce n'est pas un timeframe."""
        trouve = re.fullmatch(r"([1-9]\d{0,4})([smhdwMy])", code)
        if trouve is None:
            raise ValueError(f"« {code} » n'est pas un timeframe (exemples : 1m, 5m, 1h, 1d, 1w, 1M)")
        return cls(code, int(trouve[1]), trouve[2])

    @functools.cached_property
    def mois(self) -> int:
        """Nombre de mois du calendrier par bougie ; 0 quand le pas est fixe."""
        return self.nombre * _MOIS_PAR_UNITE.get(self.unite, 0)

    @functools.cached_property
    def pas_ms(self) -> int:
        """Durée d'une bougie ; nominale (30 jours par mois) pour un calendrier, jamais employée pour avancer."""
        return self.mois * 30 * JOUR_MS or self.nombre * _UNITES_MS[self.unite]

    @property
    def peut_etre_ancre(self) -> bool:
        """Vrai si un exchange peut légitimement ouvrir cette bougie ailleurs que sur la grille UTC."""
        return (self.ancrable or self.pas_ms >= PAS_MIN_ANCRE_MS) and not self.jeu_ms

    def ancrer(self, ancre_ms: int) -> Timeframe:
        """La même grille, décalée."""
        return dataclasses.replace(self, ancre_ms=ancre_ms)

    @functools.cached_property
    def _origine_ms(self) -> int:
        return self.ancre_ms + (PREMIER_LUNDI_MS if self.unite == "w" else 0)

    def _rang(self, instant_ms: int) -> int:
        """Numéro de la bougie qui contient l'instant."""
        if not self.mois:
            return (instant_ms - self._origine_ms) // self.pas_ms
        jour = EPOQUE + dt.timedelta(milliseconds=instant_ms - self.ancre_ms)
        return ((jour.year - 1970) * 12 + jour.month - 1) // self.mois

    def _ouverture(self, rang: int) -> int:
        """Instant d'ouverture de la bougie de ce numéro."""
        if not self.mois:
            return self._origine_ms + rang * self.pas_ms
        annees, mois = divmod(rang * self.mois, 12)
        jour = dt.datetime(1970 + annees, mois + 1, 1, tzinfo=dt.UTC)
        return self.ancre_ms + (jour - EPOQUE) // dt.timedelta(milliseconds=1)

    def plancher(self, instant_ms: int) -> int:
        """Ouverture de la bougie qui contient l'instant."""
        if not self.mois:  # chaque ligne de chaque page y passe plusieurs fois
            return instant_ms - (instant_ms - self._origine_ms) % self.pas_ms
        return self._ouverture(self._rang(instant_ms))

    def plafond(self, instant_ms: int) -> int:
        """Première ouverture à cet instant ou après."""
        if not self.mois:
            return instant_ms + (self._origine_ms - instant_ms) % self.pas_ms
        bas = self.plancher(instant_ms)
        return bas if bas == instant_ms else self.avancer(bas, 1)

    def avancer(self, instant_ms: int, pas: int) -> int:
        """L'ouverture `pas` bougies après (avant, si négatif) celle de la bougie qui contient l'instant."""
        return self._ouverture(self._rang(instant_ms) + pas)

    def compter(self, debut_ms: int, fin_ms: int) -> int:
        """Nombre d'ouvertures dans [début, fin[."""
        if fin_ms <= debut_ms:
            return 0
        return self._rang(self.plafond(fin_ms)) - self._rang(self.plafond(debut_ms))

    def rangs_entre(self, instants: Iterable[int]) -> list[int]:
        """Combien de bougies séparent chaque instant du suivant."""
        return [apres - avant for avant, apres in itertools.pairwise(map(self._rang, instants))]

    def est_sur_grille(self, instant_ms: int) -> bool:
        """Vrai si l'instant peut être une ouverture."""
        return instant_ms - self.plancher(instant_ms) <= self.jeu_ms

    def sans_lacune(self, instants: Sequence[int]) -> bool:
        """Vrai d'ouvertures qui se suivent toutes, une par bougie."""
        if not instants or self.mois or self.jeu_ms or not self.est_sur_grille(instants[0]):
            return False
        return list(instants) == list(range(instants[0], instants[0] + self.pas_ms * len(instants), self.pas_ms))

    def decalage(self, instant_ms: int) -> int:
        """Écart entre l'instant et la grille non ancrée : l'ancre que cet horodatage suppose.

        Un mois se rapporte à l'ouverture la plus proche : ceux de Hong Kong ouvrent la veille du 1er, à 16:00 UTC.
        """
        nu = self.ancrer(0)
        ecart = instant_ms - nu.plancher(instant_ms)
        return ecart if not self.mois or 2 * ecart <= self.pas_ms else instant_ms - nu.plafond(instant_ms)


# Ceux qui, chez un exchange, ne sont pas ce que dit leur nom.
TIMEFRAMES_PARTICULIERS: Mapping[tuple[str, str], Mapping[str, Any]] = {
    ("kraken", "2w"): {"nombre": 15, "unite": "d"},  # 21 600 minutes
    # D'une grille qui suit un minuit local : alpaca ouvre à Chicago (05:00 UTC l'été, 06:00 l'hiver), puis à 00:00 UTC
    # depuis juillet 2025. Une telle bougie n'est tenue pour close que quand elle l'est sur toutes ces grilles.
    **{("alpaca", code): {"jeu_ms": 6 * HEURE_MS} for code in ("1d", "1w", "1M")},
    ("bithumb", "4h"): {"ancrable": True},  # ouvert à minuit de Séoul : 15:00, 19:00, 23:00, 03:00 UTC
}


@functools.cache
def timeframe_de(exchange: str, code: str) -> Timeframe:
    """La grille d'un timeframe chez cet exchange, non ancrée."""
    return dataclasses.replace(Timeframe.lire(code), **TIMEFRAMES_PARTICULIERS.get((exchange, code), {}))


def lire_instant(valeur: object, maintenant: int) -> int:
    """Instant en ms UTC depuis un texte ISO 8601, des ms epoch, un relatif (« -7j ») ou une date de YAML.

    Sans fuseau, UTC. Un relatif se compte depuis `maintenant` ; j, h, m : jours, heures, minutes. ValueError sinon.
    """
    if isinstance(valeur, bool):
        raise ValueError("un instant est attendu, pas un booléen")
    if isinstance(valeur, int):
        return _borner_instant(valeur)
    if isinstance(valeur, dt.date):
        return _instant_de_date(valeur)
    texte = str(valeur).strip()
    if relatif := re.fullmatch(RELATIF, texte):
        return max(0, maintenant - int(relatif[1]) * {"j": JOUR_MS, "h": HEURE_MS, "m": MINUTE_MS}[relatif[2]])
    if re.fullmatch(r"\d{10,}", texte):
        return _borner_instant(int(texte))
    try:
        return _instant_de_date(dt.datetime.fromisoformat(texte))
    except ValueError:
        raise ValueError(
            f"« {texte} » n'est pas un instant (ISO 8601 comme 2024-01-01 ou 2024-01-01T12:00Z, "
            "ms epoch, ou -7j -12h -30m)"
        ) from None


def _borner_instant(instant_ms: int) -> int:
    """Refuse ce qui n'est pas en ms : des secondes tomberaient en 1970, des µs après l'an 2200."""
    if not INSTANT_MIN_MS <= instant_ms <= INSTANT_MAX_MS:
        raise ValueError(f"{instant_ms} n'est pas un instant en ms epoch (2024-01-01 vaut 1704067200000)")
    return instant_ms


def _instant_de_date(date: dt.date) -> int:
    """L'instant d'une date, ramené entre l'époque et l'an 2200 : hors de là, le calendrier de Python déborde."""
    if not isinstance(date, dt.datetime):
        date = dt.datetime(date.year, date.month, date.day)  # noqa: DTZ001  le fuseau est mis juste après
    if date.tzinfo is None:
        date = date.replace(tzinfo=dt.UTC)
    return min(max(0, (date - EPOQUE) // dt.timedelta(milliseconds=1)), INSTANT_MAX_MS)


def en_iso(instant_ms: int) -> str:
    """« 2024-01-01T00:00Z » : ISO 8601 UTC, sans les secondes ni les ms quand elles sont nulles."""
    date = EPOQUE + dt.timedelta(milliseconds=instant_ms)
    precision = "milliseconds" if instant_ms % SECONDE_MS else "seconds" if instant_ms % MINUTE_MS else "minutes"
    return date.isoformat(timespec=precision).removesuffix("+00:00") + "Z"


def decimal_lisible(texte: str) -> str:
    """Un nombre écrit par Python, à la française."""
    return texte.replace(".", ",")


def duree_lisible(secondes: float) -> str:
    """« 0,4 s », « 12 s », « 3 min 05 s », « 2 h 10 min », « 3 j 4 h »."""
    if secondes < 10:
        return decimal_lisible(f"{secondes:.1f} s")
    entier = round(secondes)
    if entier < 60:
        return f"{entier} s"
    if entier < 3600:
        return f"{entier // 60} min {entier % 60:02d} s"
    if entier < 86_400:
        return f"{entier // 3600} h {entier % 3600 // 60:02d} min"
    return f"{entier // 86_400} j {entier % 86_400 // 3600} h"


# Intervalles : des suites triées de [début, fin[ disjoints et non contigus. Du calcul pur, partagé par la
# reprise, la preuve de complétude et les fiches.


def unir(*suites: Iterable[Intervalle]) -> list[Intervalle]:
    """L'union des intervalles, triée, contigus fondus."""
    resultat: list[Intervalle] = []
    for debut, fin in sorted([i for suite in suites for i in suite if i[0] < i[1]]):
        if resultat and debut <= resultat[-1][1]:
            resultat[-1] = (resultat[-1][0], max(fin, resultat[-1][1]))
        else:
            resultat.append((debut, fin))
    return resultat


def oter(suite: Iterable[Intervalle], retires: Iterable[Intervalle]) -> list[Intervalle]:
    """Ce qui est dans la première suite et pas dans la seconde."""
    resultat: list[Intervalle] = []
    absents, rang = unir(retires), 0
    for debut, fin in unir(suite):
        curseur = debut
        while rang < len(absents) and absents[rang][1] <= debut:
            rang += 1
        suivant = rang
        while suivant < len(absents) and absents[suivant][0] < fin:
            if absents[suivant][0] > curseur:
                resultat.append((curseur, absents[suivant][0]))
            curseur = absents[suivant][1]
            suivant += 1
        if curseur < fin:
            resultat.append((curseur, fin))
    return resultat


def voisins(suite: Sequence[tuple[int, int, *tuple[Any, ...]]], debut: int, fin: int) -> slice:
    """La place, dans une suite triée et disjointe, de ce qui touche [debut, fin], bords compris : une dichotomie."""
    gauche = bisect.bisect_left(suite, debut, key=lambda intervalle: intervalle[1])
    return slice(gauche, bisect.bisect_right(suite, fin, lo=gauche, key=lambda intervalle: intervalle[0]))


def enveloppe(suite: Sequence[Intervalle]) -> Intervalle:
    """Du début du premier à la fin du dernier ; rien, s'il n'y en a pas."""
    return (suite[0][0], suite[-1][1]) if suite else (0, 0)


def croiser(suite: Iterable[Intervalle], autre: Iterable[Intervalle]) -> list[Intervalle]:
    """Ce qui est dans les deux suites."""
    premiers, seconds = collections.deque(unir(suite)), collections.deque(unir(autre))
    resultat: list[Intervalle] = []
    while premiers and seconds:
        debut, fin = max(premiers[0][0], seconds[0][0]), min(premiers[0][1], seconds[0][1])
        if debut < fin:
            resultat.append((debut, fin))
        (premiers if premiers[0][1] == fin else seconds).popleft()
    return resultat


# ----------------------------------------------------------------------------------------------------------------------
# § 3   Lignes
# ----------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class TypeDonnee:
    """La forme d'un type de donnée, la même dans tous les formats ; `cle` : les colonnes de la clé unique.

    Une clé a toujours le même instant. Sa dernière colonne ordonne les lignes d'un même instant : voir `sequence`.
    """

    nom: str
    colonnes: tuple[tuple[str, str], ...]  # (nom, nature) ; natures : texte, instant, nombre, entier, niveaux
    cle: tuple[str, ...]

    @functools.cached_property
    def schema(self) -> pa.Schema:
        """Le schéma Arrow, nu (sans fiche)."""
        natures = {
            "texte": pa.string(),
            "instant": pa.timestamp("ms", tz="UTC"),
            "nombre": pa.float64(),
            "entier": pa.int64(),
            "niveaux": pa.list_(pa.struct([("price", pa.float64()), ("amount", pa.float64())])),
        }
        return pa.schema([(nom, natures[nature]) for nom, nature in self.colonnes])

    @functools.cached_property
    def ligne(self) -> pa.StructType:
        """Le type d'une ligne entière."""
        return pa.struct(list(self.schema))

    @functools.cached_property
    def noms(self) -> list[str]:
        """Les colonnes, dans l'ordre."""
        return [nom for nom, _ in self.colonnes]

    @functools.cached_property
    def serie(self) -> tuple[str, ...]:
        """Les colonnes qui disent la série : le début de `CleSerie`."""
        return tuple(champ for champ in CleSerie._fields if champ in self.noms)

    @functools.cached_property
    def rang(self) -> tuple[str, ...]:
        """Ce qui, de la clé, distingue deux lignes d'une série."""
        return tuple(nom for nom in self.cle if nom not in CleSerie._fields)

    @functools.cached_property
    def ordre(self) -> tuple[str, ...]:
        """L'ordre des lignes d'un fichier : symbole, instant, puis séquence quand un instant a plusieurs lignes."""
        return tuple(dict.fromkeys(("symbole", "timestamp", self.cle[-1])))

    @functools.cached_property
    def reperes(self) -> list[str]:
        """Les colonnes qui identifient une ligne et la situent."""
        return [nom for nom in self.noms if nom in {*self.serie, *self.ordre}]

    @functools.cached_property
    def obligatoires(self) -> list[str]:
        """Celles qui ne sont jamais nulles : les repères, sauf le nonce, que tous les exchanges ne donnent pas."""
        return [nom for nom, nature in self.colonnes if nom in self.reperes and nature != "entier"]

    @functools.cached_property
    def a_une_grille(self) -> bool:
        """Vrai si les instants sont ceux d'une grille : on sait alors, d'un intervalle, ce qu'il doit tenir."""
        return {"timeframe", "prix"} <= {*self.noms}  # un intérêt ouvert est daté de son relevé, sans rien devoir

    @functools.cached_property
    def est_lourd(self) -> bool:
        """Vrai si une ligne pèse ce que pèsent ses niveaux : rien ne sert de compter en lignes."""
        return any(nature == "niveaux" for _, nature in self.colonnes)


VALEURS_OHLCV = ("open", "high", "low", "close", "volume")
VALEURS_TICKER = (
    "bid", "bid_volume", "ask", "ask_volume", "last", "open", "high", "low", "close", "vwap", "base_volume",
    "quote_volume", "change", "percentage",
)  # fmt: skip


# Une colonne a la même nature partout ; les autres sont des nombres.
_NATURES = {
    **dict.fromkeys(("exchange", "symbole", "timeframe", "prix", "id", "side"), "texte"),
    **dict.fromkeys(("timestamp", "recu"), "instant"),
    **dict.fromkeys(("bids", "asks"), "niveaux"),
    "nonce": "entier",
}


def _colonnes(*noms: str) -> tuple[tuple[str, str], ...]:
    return tuple((nom, _NATURES.get(nom, "nombre")) for nom in noms)


OHLCV = TypeDonnee(
    "ohlcv",
    _colonnes("exchange", "symbole", "timeframe", "prix", "timestamp", *VALEURS_OHLCV),
    cle=("exchange", "symbole", "timeframe", "prix", "timestamp"),
)
TRADES = TypeDonnee(
    "trades",
    _colonnes("exchange", "symbole", "timestamp", "id", "side", "price", "amount", "cost", "recu"),
    cle=("exchange", "symbole", "id"),
)
TICKER = TypeDonnee(
    "ticker",
    _colonnes("exchange", "symbole", "timestamp", "recu", *VALEURS_TICKER),
    cle=("exchange", "symbole", "timestamp"),
)
ORDERBOOK = TypeDonnee(
    "orderbook",
    _colonnes("exchange", "symbole", "timestamp", "recu", "nonce", "bids", "asks"),
    cle=("exchange", "symbole", "timestamp", "nonce"),
)
FUNDING = TypeDonnee(
    "funding",
    _colonnes("exchange", "symbole", "timestamp", "funding_rate", "mark_price"),
    cle=("exchange", "symbole", "timestamp"),
)
OPEN_INTEREST = TypeDonnee(
    "open_interest",
    _colonnes("exchange", "symbole", "timeframe", "timestamp", "amount", "value"),
    cle=("exchange", "symbole", "timeframe", "timestamp"),
)
TYPES: Mapping[str, TypeDonnee] = {
    donnee.nom: donnee for donnee in (OHLCV, TRADES, TICKER, ORDERBOOK, FUNDING, OPEN_INTEREST)
}
FLUX = ("ohlcv", "trades", "ticker", "orderbook")  # ce qu'un flux suit
HISTOIRES = ("ohlcv", "trades", "funding", "open_interest")  # ce qu'un historique lit


def type_des_colonnes(noms: Sequence[str]) -> TypeDonnee | None:
    """Le type qui a exactement ces colonnes."""
    return next((donnee for donnee in TYPES.values() if donnee.noms == list(noms)), None)


@functools.lru_cache(maxsize=4096, typed=True)
def constante(valeur: Any) -> pa.Scalar:
    """Un scalaire Arrow, gardé : en faire un depuis Python cherche à chaque fois un dateutil absent (0,1 ms)."""
    return pa.scalar(valeur)


def en_un_bloc(colonne: pa.ChunkedArray) -> pa.Array:
    """Une colonne en un seul tableau, fût-elle vide."""
    bloc = colonne.combine_chunks()
    return pa.concat_arrays(bloc.chunks) if isinstance(bloc, pa.ChunkedArray) else bloc


class CleSerie(NamedTuple):
    """Ce qui distingue une série d'une autre ; les quatre premières colonnes d'un fichier de bougies.

    Une série de trades, de tickers, de carnets ou de funding n'a ni timeframe ni prix : les deux sont vides. Celle
    d'un intérêt ouvert a un timeframe, et pas de prix.
    """

    exchange: str
    symbole: str
    timeframe: str = ""
    prix: str = ""

    @property
    def a_une_grille(self) -> bool:
        """Vrai d'une série de bougies : voir `TypeDonnee.a_une_grille`."""
        return bool(self.timeframe and self.prix)

    def __str__(self) -> str:
        if not self.prix:
            return f"{' '.join(filter(None, (self.symbole, self.timeframe)))} ({self.exchange})"
        return f"{self.symbole} {self.timeframe} ({self.exchange}, prix {self.prix})"


# Raisons d'un trou. Les deux premières sont des faits, prouvés ; un échec est redemandé, et le bord d'un
# `hors_fenetre_api` aussi.
SANS_TRANSACTION = "sans_transaction"
AVANT_COTATION = "avant_cotation"
HORS_FENETRE_API = "hors_fenetre_api"
ECHEC = "echec"
RAISONS = (SANS_TRANSACTION, AVANT_COTATION, HORS_FENETRE_API, ECHEC)
FAITS = (SANS_TRANSACTION, AVANT_COTATION)  # prouvés, plus jamais redemandés
RAISONS_PARTIELLES = (HORS_FENETRE_API, ECHEC)  # moins que demandé : code 3
A_VENIR = "a_venir"  # une queue : rien ne la suit encore, ce n'est pas un trou tant que sa fin n'est pas exigée


HORODATAGE_EXCHANGE, HORODATAGE_RECEPTION = "exchange", "reception"
IDS_REUNIS = "reunis"  # trades réunis par l'exchange : leurs ids ne sont pas ceux de son flux

# Par où viennent les lignes : l'API de l'exchange, ou ses fichiers publics. Une fiche tait ce qui vient de l'API.
API, ARCHIVES, AUTO = "api", "archives", "auto"
SOURCES = (API, ARCHIVES, AUTO)

# D'où viennent les lignes : le vrai exchange, l'embarqué, ou le banc d'essai. Une sortie n'en a qu'une.
REEL, HORS_LIGNE, SANDBOX = "reel", "hors_ligne", "sandbox"
ORIGINES = (REEL, HORS_LIGNE, SANDBOX)
UNITE_INCONNUE = "inconnue"  # celle d'un volume que rien ne prouve


class Trou(NamedTuple):
    """Un intervalle [debut, fin[ sans donnée, et pourquoi."""

    debut: int
    fin: int
    raison: str


def intervalles_de(trous: Iterable[Trou], *raisons: str) -> list[Intervalle]:
    """Les intervalles de ces trous ; de ceux qui ont une de ces raisons, si l'on en donne."""
    return [(trou.debut, trou.fin) for trou in trous if not raisons or trou.raison in raisons]


class Provenance(NamedTuple):
    """Un intervalle [debut, fin[ dont les lignes ne viennent pas de l'API, et d'où."""

    debut: int
    fin: int
    source: str


_Etiquete = TypeVar("_Etiquete", Trou, Provenance)  # rangés, disjoints, contiguës de même étiquette fondues


def _inserer(suite: list[_Etiquete], element: _Etiquete) -> None:
    """Le range, fondu avec ses voisins contigus de même étiquette."""
    for voisin in suite[voisins(suite, element.debut, element.fin)]:
        if voisin[2] == element[2]:
            del suite[bisect.bisect_left(suite, voisin)]
            element = element._replace(debut=min(voisin.debut, element.debut), fin=max(voisin.fin, element.fin))
    bisect.insort(suite, element)


def _effacer(suite: list[_Etiquete], debut: int, fin: int) -> None:
    """Oublie [debut, fin[ ; ce qui est à cheval garde ce qui dépasse."""
    place = voisins(suite, debut, fin)
    suite[place] = [e._replace(debut=d, fin=f) for e in suite[place] for d, f in oter([e[:2]], [(debut, fin)])]


def _en_dates(suite: Iterable[_Etiquete]) -> list[dict[str, Any]]:
    return [{**e._asdict(), "debut": en_iso(e.debut), "fin": en_iso(e.fin)} for e in suite]


def _de_dates(genre: type[_Etiquete], dites: Iterable[Mapping[str, Any]]) -> list[_Etiquete]:
    etiquette = genre._fields[2]
    return [genre(lire_instant(d["debut"], 0), lire_instant(d["fin"], 0), str(d[etiquette])) for d in dites]


SUITES_DE_FICHE = ("couverts", "trous", "sources", "provisoires")
_SANS_DIRE = {"horodatage": HORODATAGE_EXCHANGE, "marche_id": "", "identifiants": "", "origine": REEL}


@dataclass
class Fiche:
    """Ce qu'on sait d'une série : son marché, ses intervalles prouvés, ses trous.

    `couverts` : intervalles dont chaque bougie est écrite, ou son absence un fait ; d'une série d'événements, ceux où
    aucun n'a pu être manqué. Disjoint des trous `echec` et `hors_fenetre_api`. Les trois listes sont triées.
    `sources` : ce qui, des couverts, ne vient pas de l'API.
    `horodatage` : d'où vient `timestamp`, l'exchange, ou à défaut la réception. `marche_id` : le marché chez
    l'exchange, qui ne ment pas quand un symbole change de marché ; vide d'une fiche d'avant. `lignes` : d'une série
    d'événements, combien la sortie en tient ; None si rien ne le dit.
    `provisoires` : de bougies, celles qui sont écrites sans être prouvées, et pourquoi. `a_venir` : elle n'était pas
    close, ou un signal n'a pas laissé le temps de la relire. Une raison de trou : relue, l'exchange ne l'a pas
    confirmée ; une ligne n'est jamais dans un trou. Disjointes du reste, elles sont redemandées.
    """

    cle: CleSerie
    type_marche: str = "spot"
    unite_volume: str = UNITE_INCONNUE
    taille_contrat: float | None = None
    ancre_ms: int = 0
    couverts: list[Intervalle] = field(default_factory=list)
    trous: list[Trou] = field(default_factory=list)
    horodatage: str = HORODATAGE_EXCHANGE
    marche_id: str = ""
    origine: str = REEL
    identifiants: str = ""  # d'une série de trades : IDS_REUNIS, ou rien
    sources: list[Provenance] = field(default_factory=list)
    lignes: int | None = None
    provisoires: list[Trou] = field(default_factory=list)

    def copie(self) -> Fiche:
        """Une fiche que `noter` changera sans toucher à celle-ci."""
        suites: dict[str, Any] = {nom: list(getattr(self, nom)) for nom in SUITES_DE_FICHE}
        return dataclasses.replace(self, **suites)

    def vierge(self) -> Fiche:
        """La même, qui ne sait encore rien des lignes."""
        suites: dict[str, Any] = {nom: [] for nom in SUITES_DE_FICHE}
        return dataclasses.replace(self, **suites)

    def completee(self, neuve: Fiche) -> Fiche:
        """La fiche, avec ce qu'une fiche d'avant ne disait pas : l'apprendre n'est pas une raison de récrire."""
        lignes = neuve.lignes if self.lignes is None else self.lignes
        marche_id, provisoires = self.marche_id or neuve.marche_id, self.provisoires or neuve.provisoires
        return dataclasses.replace(self, marche_id=marche_id, lignes=lignes, provisoires=provisoires)

    def noter(
        self,
        couverts: Iterable[Intervalle],
        trous: Sequence[Trou],
        source: str | None = None,
        sans_preuve: Sequence[Intervalle] = (),
    ) -> None:
        """Remplace ce qu'on savait des intervalles lus par ce qu'on vient d'y apprendre, sans parcourir le reste.

        `source` : d'où viennent les lignes ; None, d'une lecture sans ligne nouvelle : elle n'y change rien.
        `sans_preuve` : des bougies, ce qui vient d'en être écrit sans être prouvé.
        """
        couverts, provisoires, tenues = unir(couverts), list[Trou](), list[Intervalle]()
        if self.cle.a_une_grille and (trous or sans_preuve):
            provisoires, tenues = self._provisoires_de(trous, sans_preuve), self._tenues(trous)
        for debut, fin in couverts if source is not None else ():
            _effacer(self.sources, debut, fin)
            if source != API:
                _inserer(self.sources, Provenance(debut, fin, str(source)))
        seules = unir(intervalles_de(provisoires))
        couverts, seules_ou_tenues = unir(couverts, tenues), unir(seules, tenues)
        for debut, fin in unir(couverts, intervalles_de(trous), seules):
            place = voisins(self.couverts, debut, fin)
            self.couverts[place] = oter(self.couverts[place], [(debut, fin)])
            _effacer(self.trous, debut, fin)
            _effacer(self.provisoires, debut, fin)
        for intervalle in oter(couverts, seules) if seules else couverts:
            place = voisins(self.couverts, *intervalle)
            self.couverts[place] = unir(self.couverts[place], [intervalle])
        for trou in trous:
            if trou.raison in RAISONS:  # ce qui reste à venir efface ce qu'on en disait, et ne s'inscrit pas
                ici = seules_ou_tenues and seules_ou_tenues[voisins(seules_ou_tenues, trou.debut, trou.fin)]
                for reste in oter([trou[:2]], ici) if ici else [trou[:2]]:
                    _inserer(self.trous, Trou(*reste, trou.raison))
        for provisoire in provisoires:
            _inserer(self.provisoires, provisoire)

    def _tenues(self, trous: Sequence[Trou]) -> list[Intervalle]:
        """Les bougies prouvées que ces faits ne démentent pas."""
        faits = unir(intervalles_de(trous, *FAITS))
        return croiser(faits, self.ecrits(*enveloppe(faits))) if faits else []

    def _provisoires_de(self, trous: Sequence[Trou], sans_preuve: Sequence[Intervalle]) -> list[Trou]:
        """Les bougies écrites que ces trous, et elles-mêmes, laissent sans preuve.

        Un fait ne dément pas une bougie prouvée ; une autre, que l'exchange ne sert plus, n'est pas confirmée.
        """
        provisoires = list[Trou]()
        sans_preuve = [reste for i in sans_preuve for reste in oter([i], self.couverts[voisins(self.couverts, *i)])]
        for raison in dict.fromkeys(trou.raison for trou in trous):
            dits, un_fait = unir(intervalles_de(trous, raison)), raison in FAITS
            debut, fin = enveloppe(dits)
            deja = intervalles_de(self.provisoires[voisins(self.provisoires, debut, fin)])
            if ecrites := unir(deja, sans_preuve, () if un_fait else self.ecrits(debut, fin)):
                provisoires += [Trou(*touche, ECHEC if un_fait else raison) for touche in croiser(dits, ecrites)]
        return provisoires + [Trou(*reste, A_VENIR) for reste in oter(sans_preuve, intervalles_de(provisoires))]

    def dits(self) -> list[Intervalle]:
        """Les intervalles dont elle dit quelque chose."""
        return unir(self.couverts, self.non_prouves())

    def non_prouves(self, *raisons: str) -> list[Intervalle]:
        """Ce qui n'est pas prouvé : trous et bougies provisoires ; de ces raisons, si l'on en donne."""
        return unir(intervalles_de(self.trous, *raisons), intervalles_de(self.provisoires, *raisons))

    def lacunes(self) -> list[Trou]:
        """Ses trous, et les bougies que l'exchange n'a pas confirmées : ce qu'il en reste à dire."""
        return sorted([*self.trous, *(t for t in self.provisoires if t.raison in RAISONS)])

    def ecrits(self, debut: int = 0, fin: int = INSTANT_MAX_MS) -> list[Intervalle]:
        """D'une série à grille, les prouvés dont chaque bougie est écrite ; ceux qui touchent [debut, fin]."""
        trous = intervalles_de(self.trous[voisins(self.trous, debut, fin)])
        return oter(self.couverts[voisins(self.couverts, debut, fin)], trous)

    def tenus(self) -> list[Intervalle]:
        """D'une série à grille, ceux dont chaque bougie est écrite, prouvée ou provisoire."""
        return unir(self.ecrits(), intervalles_de(self.provisoires))

    def expliques(self) -> list[Intervalle]:
        """Ce dont elle rend compte : couvert, ou dit manquant ; ce qui est à venir n'est ni l'un ni l'autre."""
        return unir(self.couverts, intervalles_de(self.lacunes()))

    def tient(self, instants: pa.ChunkedArray) -> pa.Array:
        """D'une série à grille, lesquelles de ces ouvertures ont leur bougie écrite."""
        ouvertures = instants.cast(pa.int64()).to_pylist()
        ecrits = self.ecrits(min(ouvertures, default=0), max(ouvertures, default=0) + 1)
        dedans = (any(debut <= i < fin for debut, fin in ecrits[voisins(ecrits, i, i)]) for i in ouvertures)
        return pa.array(dedans, pa.bool_())

    def connus(self) -> list[Intervalle]:
        """Les intervalles qu'il ne sert à rien de redemander."""
        return unir(self.couverts, self.non_prouves(HORS_FENETRE_API))

    def dus_sans_couvert(self) -> list[Intervalle]:
        """De qui n'a rien de couvert, d'où reprendre : ce qui a échoué, sinon la fin du dernier trou."""
        return intervalles_de(self.trous, ECHEC) or [(trou.fin, trou.fin) for trou in self.trous[-1:]]

    def a_relire(self) -> list[Intervalle]:
        """Ce qui reste à redemander avant le dernier instant couvert : un échec, ou l'oubli d'une exécution tuée."""
        if not self.couverts:
            return []
        premier = self.couverts[0][0]  # ou le début d'une première écoute, qu'un signal a laissé à prouver
        debut = next((debut for debut, fin in self.non_prouves(ECHEC) if fin == premier), premier)
        return oter([(debut, self.couverts[-1][1])], self.connus())

    def du_marche(self) -> dict[str, Any]:
        """Ce qu'elle dit du marché, par champ ; ce qui va sans dire n'y est pas : chaque lot du journal le redit."""
        champs = ("type_marche", "unite_volume", "taille_contrat", "ancre_ms", *_SANS_DIRE)
        dits = {champ: getattr(self, champ) for champ in champs}
        return {champ: valeur for champ, valeur in dits.items() if valeur != _SANS_DIRE.get(champ)}

    def en_dict(self) -> dict[str, Any]:
        """La fiche en JSON : instants ISO 8601, noms de champs du contrat."""
        dite = self.du_marche()
        return {
            **self.cle._asdict(),
            "contractSize": dite.pop("taille_contrat", None),
            "origine": self.origine,
            **dite,
            "intervalles": [[en_iso(debut), en_iso(fin)] for debut, fin in self.couverts],
            "trous": _en_dates(self.trous),
            **({"sources": _en_dates(self.sources)} if self.sources else {}),
            **({"lignes": self.lignes} if self.lignes is not None else {}),
            **({"provisoires": _en_dates(self.provisoires)} if self.provisoires else {}),
        }

    @classmethod
    def depuis_dict(cls, donnees: Mapping[str, Any]) -> Fiche:
        """L'inverse de `en_dict` ; KeyError, TypeError ou ValueError si ce n'en est pas une.

        Une fiche d'avant n'a ni `marche_id` ni `origine` : elle est tenue pour réelle.
        """
        return cls(
            cle=CleSerie(*(str(donnees[champ]) for champ in CleSerie._fields)),
            type_marche=str(donnees["type_marche"]),
            unite_volume=str(donnees["unite_volume"] or UNITE_INCONNUE),
            taille_contrat=donnees["contractSize"],
            ancre_ms=int(donnees["ancre_ms"]),
            couverts=[(lire_instant(d, 0), lire_instant(f, 0)) for d, f in donnees["intervalles"]],
            trous=_de_dates(Trou, donnees["trous"]),
            origine=origine_lue(donnees),
            sources=_de_dates(Provenance, donnees.get("sources", ())),
            lignes=int(donnees["lignes"]) if "lignes" in donnees else None,
            provisoires=_de_dates(Trou, donnees.get("provisoires", ())),
            **{nom: str(donnees[nom]) for nom in ("horodatage", "marche_id", "identifiants") if nom in donnees},
        )


def origine_lue(donnees: Mapping[str, Any]) -> str:
    """L'origine que dit une fiche ; réelle, celle d'une fiche d'avant, ou qui ne se comprend pas."""
    origine = donnees.get("origine")
    return origine if origine in ORIGINES else REEL


class Lot(NamedTuple):
    """Ce qu'une source rend à un écrivain : des lignes d'une série, et ce qu'elles prouvent."""

    cle: CleSerie
    lignes: pa.Table  # le schéma de leur type
    couverts: list[Intervalle]
    trous: list[Trou]
    source: str = API
    sans_preuve: Sequence[Intervalle] = ()  # de bougies, ce qu'il en porte sans le prouver ; la sortie le voit

    @property
    def source_des_lignes(self) -> str | None:
        """D'où viennent ses lignes ; None s'il n'en porte pas : ce qui était écrit garde sa provenance."""
        return self.source if self.lignes.num_rows else None


class Page(NamedTuple):
    """Une réponse de l'exchange, passée au crible, sans borne : c'est l'appelant qui coupe."""

    lignes: pa.Table  # timestamp (int64, ms) puis VALEURS_OHLCV ; valides, triées, sans doublon
    impossibles: list[int]  # ouverture des bougies qui ne peuvent être vraies
    sans_instant: int  # lignes dont on ne sait même pas de quelle bougie elles parlent
    muettes: list[int]  # ouverture des bougies dont une ligne dit qu'elles n'ont pas de transaction
    doubles: Mapping[int, tuple[Any, ...]]  # celles qui ont deux versions : la plus échangée des deux

    @property
    def instants(self) -> list[int]:
        """Les ouvertures, croissantes."""
        return list(self.lignes["timestamp"].to_pylist())

    def departager(self) -> Page:
        """La page, où une bougie en deux versions qui persistent est celle qui compte le plus d'échanges."""
        lignes = dict(zip(self.instants, zip(*self.lignes.to_pydict().values(), strict=True), strict=True))
        return self._replace(lignes=_en_table({**lignes, **self.doubles}), doubles={})


def cribler(brutes: Sequence[Sequence[Any]], timeframe: Timeframe, prix: str) -> Page:
    """Met une page `[[ms, open, high, low, close, volume], …]` en table et en écarte ce qui ne peut être vrai.

    Impossible : un nombre absent ou non fini (le volume peut manquer, hors prix `last` : okx n'en donne pas en mark),
    un prix <= 0 (sauf premiumIndex, qui est un écart), un volume négatif, high < low, une ouverture hors de la
    grille. Une ligne sans aucun prix ni volume (backpack les laisse vides, poloniex écrit zéro) dit l'absence.
    """
    return cribler_table(en_colonnes(brutes), timeframe, prix)


def cribler_table(table: pa.Table, timeframe: Timeframe, prix: str) -> Page:
    """`cribler`, d'une page déjà en colonnes ; ses lignes sont la table même, si rien n'est à y reprendre."""
    instants, vrais = table["timestamp"], prix_possibles(table, prix)
    lus = instants.to_pylist()
    dates = None not in lus and all(0 <= bout < INSTANT_MAX_MS for bout in lus[:1] + lus[-1:])  # ni des µs
    saine = dates and pc.all(vrais).as_py() is not False and se_succedent(instants)
    if saine and (timeframe.sans_lacune(lus) or pc.all(sur_grille(instants, timeframe)).as_py() is not False):
        return Page(table, [], 0, [], {})
    return _cribler_lentement(table, vrais, timeframe)


@functools.cache
def page_vide() -> Page:
    """Une page sans rien : elle ne dit rien."""
    return Page(en_colonnes([]), [], 0, [], {})


PEU_DE_LIGNES = 12  # de ce qu'un flux clôt
SUR_AU_MILLIARDIEME = 9  # moins d'une chance sur un milliard que le hasard d'un marché rare ait fait cela
# Les pas que servent les classes de ccxt : hors d'eux (sept minutes), c'est le marché qui est régulier, pas l'exchange.
PAS_SERVIS_MS = frozenset(
    nombre * unite_ms
    for unite_ms, nombres in (
        (1000, (1, 10)),
        (MINUTE_MS, (1, 3, 5, 10, 15, 30)),
        (HEURE_MS, (1, 2, 3, 4, 6, 8, 12)),
        (JOUR_MS, (1, 2, 3, 4, 5, 7, 14, 21, 28, 30, 90, 120, 360)),
    )
    for nombre in nombres
)


def autre_pas(instants: Sequence[int], timeframe: Timeframe, surete: int = SUR_AU_MILLIARDIEME) -> str:
    """Le pas de ces ouvertures quand ce n'est pas celui du timeframe ; vide s'il l'est, ou si trop peu le disent.

    Plus court : la moitié des lignes au moins tombent hors de la grille. Plus long : toutes à un même multiple du pas
    qu'un exchange sert, trop nombreuses (le hasard en ferait autant moins d'une fois sur 10^`surete`), ou trop
    régulières.
    """
    if timeframe.sans_lacune(instants):  # presque toutes les pages
        return ""
    uniques = sorted(set(instants))
    if len(uniques) < 2 or not 0 < uniques[0] <= uniques[-1] < INSTANT_MAX_MS:
        return ""
    ecart = collections.Counter(b - a for a, b in itertools.pairwise(uniques)).most_common(1)[0][0]
    hors_grille = sum(not timeframe.est_sur_grille(i) for i in uniques)
    if hors_grille > 1 and 2 * hors_grille >= len(uniques):
        if ecart == timeframe.pas_ms:
            return f"qui ouvrent hors de la grille UTC (par exemple à {en_iso(uniques[0])})"
        return f"espacées de {duree_lisible(ecart / 1000)}"
    rangs = timeframe.rangs_entre(uniques)
    facteur = math.gcd(*rangs)
    regulieres = set(rangs) == {facteur} and len(rangs) >= (3 if facteur >= 12 else 5)
    # Qui ouvrent à ses heures rondes : un hasard de plus, dont une page de six lignes a besoin.
    hasards = len(rangs) + (surete == SUR_AU_MILLIARDIEME and uniques[0] % (facteur * timeframe.pas_ms) == 0)
    pas_ms = facteur * timeframe.pas_ms
    if facteur > 1 and pas_ms in PAS_SERVIS_MS and (regulieres or hasards * math.log10(facteur) >= surete):
        return f"espacées de {duree_lisible(pas_ms / 1000)}"
    return ""


def cribler_lignes(
    brutes: Sequence[Sequence[Any]], timeframe: Timeframe, prix: str
) -> tuple[list[tuple[Any, ...]], int]:
    """`cribler`, de ce qu'un flux clôt : les lignes gardées, et combien ne peuvent être vraies."""
    # De quelques lignes, Arrow ne dirait pas si vite qu'elles se suivent et n'enfreignent aucune règle.
    if all(ligne and type(ligne[0]) is int for ligne in brutes):
        croissantes = all(a[0] < b[0] for a, b in itertools.pairwise(brutes))
        if croissantes and not any(regle_enfreinte(ligne, timeframe, prix) for ligne in brutes):
            return list(map(_valeurs_de, brutes)), 0
    page = cribler(brutes, timeframe, prix)
    return list(en_tuples(page.lignes, page.lignes.column_names)), len(page.impossibles)


def regle_enfreinte(ligne: Sequence[Any], timeframe: Timeframe, prix: str) -> str:
    """Ce qui fait qu'une ligne brute ne peut être vraie ; vide si rien."""
    instant, *nombres = _valeurs_de(ligne)
    quatre, volume = [n for n in nombres[:4] if n is not None and math.isfinite(n)], nombres[4]
    if instant is None:
        return "instant illisible"
    fautes = {
        "ouverture hors de la grille": not timeframe.est_sur_grille(int(instant)),
        "un prix manque": len(quatre) < 4,
        "un prix nul ou négatif": prix != "premiumIndex" and min(quatre, default=1.0) <= 0,
        "high sous low": len(quatre) == 4 and quatre[1] < quatre[2],
        "volume absent ou négatif": (prix == "last") if volume is None else not 0 <= volume < math.inf,
    }
    return ", ".join(regle for regle, enfreinte in fautes.items() if enfreinte)


def se_suivent(instants: Sequence[int], timeframe: Timeframe) -> bool:
    """Vrai si deux de ces ouvertures croissantes se suivent au pas du timeframe."""
    return any(timeframe.avancer(a, 1) == timeframe.plancher(b) for a, b in itertools.pairwise(instants))


def en_colonnes(brutes: Sequence[Sequence[Any]]) -> pa.Table:
    """Les lignes de ccxt en six colonnes Arrow ; ce qui n'est pas un nombre devient nul."""
    schema = pa.schema([("timestamp", pa.int64()), *((nom, pa.float64()) for nom in VALEURS_OHLCV)])
    colonnes = list(zip(*brutes, strict=False))[:6] if brutes else [()] * 6
    try:
        if len(colonnes) == len(schema):
            return pa.table(dict(zip(schema.names, colonnes, strict=True)), schema)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
        pass  # un texte, un entier démesuré : ligne à ligne
    propres = zip(*map(_valeurs_de, brutes), strict=True)
    return pa.table(dict(zip(schema.names, propres, strict=True)), schema)


def _valeurs_de(ligne: Sequence[Any]) -> tuple[Any, ...]:
    """L'instant et les cinq nombres d'une ligne brute ; nul, ce qui n'en est pas un."""
    instant, *nombres = [*ligne, *[None] * 6][:6]
    return (_en_instant(instant), *map(_en_nombre, nombres))


def _en_nombre(valeur: Any) -> float | None:
    try:
        return float(valeur)
    except (TypeError, ValueError, OverflowError):
        return None


def _en_instant(valeur: Any) -> int | None:
    nombre = _en_nombre(valeur)
    est_entier = nombre is not None and nombre.is_integer() and 0 <= nombre < INSTANT_MAX_MS
    return int(nombre) if est_entier and nombre is not None else None


def prix_possibles(table: pa.Table, prix: str) -> pa.ChunkedArray:
    """Masque des lignes dont les nombres peuvent être vrais."""
    conditions = [pc.is_finite(table[nom]) for nom in VALEURS_OHLCV[:4]]
    conditions.append(pc.greater_equal(table["high"], table["low"]))
    if prix != "premiumIndex":
        conditions += [pc.greater(table[nom], constante(0.0)) for nom in VALEURS_OHLCV[:4]]
    volume = pc.and_(pc.is_finite(table["volume"]), pc.greater_equal(table["volume"], constante(0.0)))
    conditions.append(volume if prix == "last" else pc.fill_null(volume, constante(True)))
    return pc.fill_null(functools.reduce(pc.and_, conditions), constante(False))


def sur_grille(instants: pa.ChunkedArray, timeframe: Timeframe) -> pa.ChunkedArray:
    """Masque des instants qui sont une ouverture."""
    if timeframe.mois:
        return pa.chunked_array([pa.array(list(map(timeframe.est_sur_grille, instants.to_pylist())), pa.bool_())])
    pas = constante(timeframe.pas_ms)
    ecarts = pc.subtract(instants, constante(timeframe.plancher(0)))
    entiers = pc.multiply(pc.divide(ecarts, pas), pas)  # Arrow n'a pas de modulo
    restes = pc.subtract(ecarts, entiers)
    return pc.and_(pc.greater_equal(restes, constante(0)), pc.less_equal(restes, constante(timeframe.jeu_ms)))


def _cribler_lentement(table: pa.Table, vrais: pa.ChunkedArray, timeframe: Timeframe) -> Page:
    """Le chemin des pages abîmées : ligne à ligne, en disant quelles bougies sont touchées."""
    gardees: dict[int, tuple[Any, ...]] = {}
    doubles: dict[int, tuple[Any, ...]] = {}
    touchees: set[int] = set()
    contestees: set[int] = set()
    muettes: set[int] = set()
    sans_instant = 0
    for ligne, vraie in zip(zip(*table.to_pydict().values(), strict=True), vrais.to_pylist(), strict=True):
        instant = ligne[0]
        if not any(ligne[1:]) and not vraie:
            if instant and instant < INSTANT_MAX_MS and timeframe.est_sur_grille(instant):
                muettes.add(instant)  # une page vide de poloniex est une ligne de zéros, à l'instant zéro : rien
        elif instant is None or not 0 <= instant < INSTANT_MAX_MS:
            sans_instant += 1
        elif not timeframe.est_sur_grille(instant):
            contestees.add(timeframe.plancher(instant))
        elif not vraie:
            touchees.add(instant)
        elif (autre := gardees.setdefault(instant, ligne)) != ligne:
            doubles[instant] = max(doubles.get(instant, autre), ligne, key=lambda version: version[5] or 0.0)
    # Une ligne hors de la grille dans la bougie d'une autre accuse les deux : laquelle dit vrai ?
    for instant in contestees | doubles.keys():
        gardees.pop(instant, None)
    doubles = {instant: version for instant, version in doubles.items() if instant not in contestees}
    impossibles = contestees | (touchees - gardees.keys() - doubles.keys())
    absentes = sorted(muettes - gardees.keys() - doubles.keys() - impossibles)
    return Page(_en_table(gardees), sorted(impossibles), sans_instant, absentes, doubles)


def _en_table(lignes: Mapping[int, tuple[Any, ...]]) -> pa.Table:
    """Les lignes, rangées par instant."""
    return en_colonnes([lignes[instant] for instant in sorted(lignes)])


def fondre_pages(page: Page, relue: Page) -> Page:
    """Deux réponses à la même demande : la bougie vraie d'une seule des deux suffit, la plus récente l'emporte."""
    neuves = pc.invert(pc.is_in(page.lignes["timestamp"], value_set=relue.lignes["timestamp"].combine_chunks()))
    lignes = pa.concat_tables([page.lignes.filter(neuves), relue.lignes]).sort_by("timestamp")
    presents = set(lignes["timestamp"].to_pylist())
    doubles = {i: version for i, version in relue.doubles.items() if i not in presents}
    impossibles = sorted({*page.impossibles, *relue.impossibles} - presents - doubles.keys())
    muettes = sorted({*page.muettes, *relue.muettes} - presents - doubles.keys() - {*impossibles})
    return Page(lignes, impossibles, min(page.sans_instant, relue.sans_instant), muettes, doubles)


def deviner_ancre(brutes: Sequence[Sequence[Any]], timeframe: Timeframe) -> int:
    """L'ancre que suppose la majorité des ouvertures d'une page ; 0 si aucune ne domine."""
    if not timeframe.peut_etre_ancre:
        return 0
    instants = [i for ligne in brutes if ligne and (i := _en_instant(ligne[0])) is not None]
    decalages = collections.Counter(timeframe.decalage(i) for i in instants).most_common(1)
    return decalages[0][0] if decalages and 2 * decalages[0][1] > len(instants) else 0


def est_possible(prix: float, quantite: float) -> bool:
    """D'un trade : un prix fini > 0 et une quantité finie >= 0 ; faux avec NaN."""
    return 0 < prix < math.inf and 0 <= quantite < math.inf


Niveau = tuple[float | None, float | None]  # prix, quantité


def defaut_de_carnet(bids: Sequence[Niveau], asks: Sequence[Niveau]) -> str:
    """Ce qui empêche un carnet d'être vrai ; rien s'il peut l'être."""
    if not (bids or asks):
        return "vide"  # d'un seul côté, c'est un état : une option, un marché suspendu
    if not all(0 < (_en_nombre(nombre) or 0.0) < math.inf for niveau in (*bids, *asks) for nombre in niveau):
        return "niveau impossible"
    prix = [[niveau[0] or 0.0 for niveau in cote] for cote in (bids, asks)]
    if bids and asks and prix[0][0] >= prix[1][0]:
        return "croisé"
    ranges = all(a > b for a, b in itertools.pairwise(prix[0])) and all(a < b for a, b in itertools.pairwise(prix[1]))
    return "" if ranges else "mal trié"


def habiller(cle: CleSerie, lignes: pa.Table) -> pa.Table:
    """Ajoute aux valeurs d'une page les colonnes de sa série : la forme écrite sur le disque."""
    constantes = [pa.repeat(constante(texte), lignes.num_rows) for texte in cle]
    instants = lignes["timestamp"].cast(OHLCV.schema.field("timestamp").type)
    return pa.table([*constantes, instants, *(lignes[nom] for nom in VALEURS_OHLCV)], schema=OHLCV.schema)


def tabler(cle: CleSerie, lignes: Sequence[Sequence[Any]], donnee: TypeDonnee) -> pa.Table:
    """Des lignes en table, aux colonnes de leur type ; celles de leur série, les premières, n'y sont pas encore."""
    constantes = [getattr(cle, nom) for nom in donnee.serie]
    if len(lignes) <= PEU_DE_LIGNES:  # Arrow prend quatre microsecondes par colonne, si courte soit-elle
        entieres = [dict(zip(donnee.noms, (*constantes, *ligne), strict=True)) for ligne in lignes]
        return pa.Table.from_struct_array(pa.array(entieres, donnee.ligne))
    colonnes = [*([constante] * len(lignes) for constante in constantes), *zip(*lignes, strict=True)]
    return pa.table(dict(zip(donnee.noms, colonnes, strict=True)), donnee.schema)


def entre(lignes: pa.Table, debut: int, fin: int) -> pa.Table:
    """Les lignes de [debut, fin[ d'une page triée (colonne `timestamp` en ms), sans copie."""
    instants = lignes["timestamp"].to_pylist() if lignes.num_rows else []
    gauche = bisect.bisect_left(instants, debut)
    return lignes.slice(gauche, bisect.bisect_left(instants, fin) - gauche)


def instants_de(lignes: pa.Table) -> list[int]:
    """Les instants d'une table écrite, en ms."""
    return list(lignes["timestamp"].cast(pa.int64()).to_pylist())


def manquants(instants: Sequence[int], timeframe: Timeframe, debut: int, fin: int) -> list[Intervalle]:
    """Les intervalles de la grille dans [debut, fin[ qu'aucun de ces instants n'occupe (croissants, tous dedans)."""
    debut, fin = timeframe.plafond(debut), timeframe.plafond(fin)
    if len(instants) == timeframe.compter(debut, fin):
        return []  # le cas courant : autant d'instants distincts que de points
    return oter([(debut, fin)], plages(pa.array(instants, pa.int64()), timeframe))


def comparer(anciennes: pa.Table, lues: pa.Table, type_donnee: TypeDonnee = OHLCV) -> tuple[pa.Table, int]:
    """Ce que la lecture apporte à ce qui est écrit (même série) : lignes neuves ou changées, et combien sont changées.

    Une ligne changée l'est tout entière : jamais le high de l'une et le close de l'autre. L'instant de réception ne
    compte pas : relire la même chose plus tard n'apprend rien.
    """
    if not anciennes.num_rows or not lues.num_rows:
        return lues, 0
    valeurs = [nom for nom in type_donnee.noms if nom not in (*CleSerie._fields, "recu")]
    if anciennes.select(valeurs).equals(lues.select(valeurs)):
        return lues[:0], 0  # le cas courant d'une relecture
    connues = dict(zip(en_tuples(anciennes, type_donnee.rang), en_tuples(anciennes, valeurs), strict=True))
    inconnue = object()
    apports = [connues.get(cle, inconnue) for cle in en_tuples(lues, type_donnee.rang)]
    gardes = [ancienne != ligne for ancienne, ligne in zip(apports, en_tuples(lues, valeurs), strict=True)]
    revisees = sum(garde and ancienne is not inconnue for garde, ancienne in zip(gardes, apports, strict=True))
    return lues.filter(pa.array(gardes)), revisees


def en_tuples(table: pa.Table, noms: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    """Les lignes d'une table, réduites à ces colonnes."""
    return zip(*(table[nom].to_pylist() for nom in noms), strict=True)


# --- Tables triées
#
# L'ordre d'un fichier : symbole, instant, puis séquence (`TypeDonnee.ordre`). Les lignes d'un même symbole et d'un même
# instant forment un groupe, qu'un flot de tables ne coupe jamais : une borne (symbole, instant) tombe entre deux
# groupes, et tout ce qui suit ne raisonne que par bornes.

Borne = tuple[str, int]  # (symbole, timestamp) : la place d'un groupe de lignes dans un fichier
OCTETS_PAR_LOT = 32 << 20  # mille carnets profonds pèsent plus que soixante mille bougies


def borne_de(table: pa.Table, rang: int) -> Borne:
    """La place de la ligne de ce rang."""
    return table["symbole"][rang].as_py(), table["timestamp"][rang].value


def position_de(table: pa.Table, borne: Borne) -> int:
    """Nombre de lignes strictement avant la borne."""
    return bisect.bisect_left(range(table.num_rows), borne, key=lambda rang: borne_de(table, rang))


def _dernier_groupe(table: pa.Table) -> int:
    """Où commence le groupe de la dernière ligne."""
    return position_de(table, borne_de(table, -1)) if table.num_rows else 0


def sans_couper(flot: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Le même flot, dont aucune table ne finit au milieu d'un groupe."""
    reste: pa.Table | None = None
    for table in flot:
        tout = table if reste is None else pa.concat_tables([reste, table])
        coupe = _dernier_groupe(tout)
        reste = tout[coupe:]
        yield tout[:coupe]
    if reste is not None:
        yield reste


def _sequence(colonne: pa.Array) -> pa.Array:
    """Ce qui ordonne les lignes d'un instant : leur nombre, ou celui que dit leur id.

    Nul sinon : la ligne suit alors les autres, à la place où elle est arrivée.
    """
    if not pa.types.is_string(colonne.type):
        return colonne
    nombres = pc.if_else(pc.ascii_is_decimal(colonne), colonne, pa.scalar(None, pa.string()))
    try:
        return nombres.cast(pa.int64())
    except pa.ArrowInvalid:  # plus de dix-neuf chiffres
        return pc.ascii_lpad(nombres, 40, "0")


def _cles_de_tri(table: pa.Table, donnee: TypeDonnee) -> list[pa.Array]:
    colonnes = [en_un_bloc(table[nom]) for nom in donnee.ordre]
    return [*colonnes[:2], *map(_sequence, colonnes[2:])]


def trier(table: pa.Table, donnee: TypeDonnee) -> pa.Table:
    """La table triée, sans doublon : à clé égale la dernière ligne l'emporte, entière, à la place de la première."""
    cle = ["symbole", *donnee.rang]
    rangs = pc.cumulative_sum(pa.repeat(constante(1), table.num_rows), -1)
    numerotees = table.select(cle).append_column("arrivee", rangs)
    uniques = numerotees.group_by(cle, use_threads=False).aggregate([("arrivee", "min"), ("arrivee", "max")])
    gardees = uniques["arrivee_max"]
    cles = [*_cles_de_tri(table.select(donnee.ordre).take(gardees), donnee), uniques["arrivee_min"]]
    ordre = pc.sort_indices(
        pa.table(cles, names=[str(rang) for rang in range(len(cles))]),
        sort_keys=[(str(rang), "ascending") for rang in range(len(cles))],
    )  # les nuls à la fin
    return table.take(gardees.take(ordre)).combine_chunks()


def se_succedent(instants: pa.ChunkedArray) -> bool:
    """Vrai d'instants dont chacun suit le précédent : de lignes d'une série, dix fois plus vite su que `est_triee`."""
    return len(instants) < 2 or bool(pc.all(pc.greater(instants[1:], instants[:-1])).as_py())


def est_triee(table: pa.Table, donnee: TypeDonnee) -> bool:
    """Vrai si les lignes sont dans l'ordre, sans doublon."""
    if table.num_rows < 2:
        return True
    croissantes, egales = pas_a_pas(table, donnee)
    if pc.all(croissantes).as_py() is not False:
        return True
    if pc.any(pc.invert(pc.or_(croissantes, egales))).as_py():
        return False
    cle = ["symbole", *donnee.rang]  # des lignes d'un même instant, sans séquence : reste à savoir si deux sont la même
    return bool(table.select(cle).group_by(cle, use_threads=False).aggregate([]).num_rows == table.num_rows)


def pas_a_pas(table: pa.Table, donnee: TypeDonnee) -> tuple[pa.Array, pa.Array]:
    """Masques, de la deuxième ligne à la dernière : elle suit la précédente ; rien ne les ordonne."""
    egales = pa.repeat(constante(True), table.num_rows - 1)
    croissantes = pc.invert(egales)
    for cle in _cles_de_tri(table, donnee):
        avant, apres = cle[:-1], cle[1:]
        entre_en_nul = pc.and_(pc.is_valid(avant), pc.is_null(apres))
        plus_grande = pc.coalesce(pc.greater(apres, avant), entre_en_nul)
        croissantes = pc.or_(croissantes, pc.and_(egales, plus_grande))
        egales = pc.and_(egales, pc.coalesce(pc.equal(apres, avant), pc.and_(pc.is_null(avant), pc.is_null(apres))))
    return croissantes, egales


def prolonger(fins: dict[str, pa.Table], lignes: pa.Table, donnee: TypeDonnee) -> bool:
    """Vrai si ces lignes d'un symbole suivent toutes celles qu'on en connaît ; `fins` : le dernier groupe de chacun."""
    symbole, suite = lignes["symbole"][0].as_py(), lignes.select(donnee.reperes)
    if symbole in fins and borne_de(fins[symbole], -1) >= borne_de(suite, 0):
        suite = pa.concat_tables([fins[symbole], suite])
    suit = est_triee(suite, donnee)
    suite = suite if suit else trier(suite, donnee)
    groupe = pa.array(range(_dernier_groupe(suite), suite.num_rows), pa.int64())
    fins[symbole] = suite.take(groupe)  # une copie : le reste du lot est libéré
    return suit


def fusionner(ancien: Iterable[pa.Table], nouveau: Iterable[pa.Table], donnee: TypeDonnee) -> Iterator[pa.Table]:
    """L'union triée de deux flots triés, en mémoire constante ; ce que rien ne recouvre passe sans être touché."""
    flots = [filter(len, ancien), filter(len, nouveau)]
    tetes: list[Any] = [next(flot, None) for flot in flots]
    while all(tete is not None for tete in tetes):
        borne = min(borne_de(tete, -1) for tete in tetes)
        prises: list[pa.Table] = []
        for rang, tete in enumerate(tetes):  # jusqu'à la borne : toute la table si elle finit là, même mal rangée
            place = len(tete) if borne_de(tete, -1) <= borne else position_de(tete, (borne[0], borne[1] + 1))
            prises += [tete[:place]] if place else []
            tetes[rang] = tete[place:] if place < len(tete) else next(flots[rang], None)
        tout = pa.concat_tables(prises)
        recouvre = len(prises) == 2 and borne_de(prises[0], -1) >= borne_de(prises[1], 0)
        yield trier(tout, donnee) if recouvre else tout  # à clé égale, la nouvelle l'emporte
    for tete, flot in zip(tetes, flots, strict=True):
        if tete is not None:
            yield tete
            yield from flot


def regrouper(flot: Iterable[pa.Table], taille: int) -> Iterator[pa.Table]:
    """Le même flot, à écrire : en tables d'exactement `taille` lignes, sauf la dernière et celles qui pèsent trop."""
    attente: list[pa.Table] = []
    lignes = octets = 0
    for table in flot:
        attente.append(table)
        lignes += table.num_rows
        octets += table.nbytes
        if lignes >= taille or octets >= OCTETS_PAR_LOT:
            tout = pa.concat_tables(attente)
            entiers = lignes - lignes % taille or lignes
            yield from (tout[debut : debut + taille].combine_chunks() for debut in range(0, entiers, taille))
            attente, lignes = [tout[entiers:]], lignes - entiers
            octets = attente[0].nbytes
    if lignes:
        yield pa.concat_tables(attente).combine_chunks()


def trancher(flot: Iterable[pa.Table], debut: Borne, fin: Borne) -> Iterator[pa.Table]:
    """Les lignes de [debut, fin[ d'un flot trié, qui n'est pas lu plus loin."""
    for table in flot:
        if table.num_rows:
            gauche, droite = position_de(table, debut), position_de(table, fin)
            yield table[gauche:droite]
            if droite < table.num_rows:
                return


# --- Une fiche, et les lignes dont elle parle


def grille(fiche: Fiche) -> Timeframe:
    """La grille des ouvertures de la série."""
    return timeframe_de(fiche.cle.exchange, fiche.cle.timeframe).ancrer(fiche.ancre_ms)


def lignes_attendues(fiche: Fiche) -> int:
    """Nombre de lignes que promet la fiche d'une série à grille."""
    return sum(grille(fiche).compter(*intervalle) for intervalle in fiche.tenus())


def sans_preuve(fiche: Fiche, lot: Lot) -> list[Intervalle]:
    """Les bougies d'un lot de la série, qu'il ne prouve pas : celle qui n'est pas close, gardée sur demande."""
    if not (fiche.cle.a_une_grille and lot.lignes.num_rows):
        return []
    premiere, derniere = (borne_de(lot.lignes, rang)[1] for rang in (0, -1))
    if any(debut <= premiere and derniere < fin for debut, fin in lot.couverts):  # presque tous
        return []
    return oter(plages(en_un_bloc(lot.lignes["timestamp"].cast(pa.int64())), grille(fiche)), lot.couverts)


def plages(instants: pa.Array, pas: Timeframe) -> list[Intervalle]:
    """Les intervalles de la grille que ces instants occupent, dans quelque ordre qu'ils soient."""
    if not len(instants):
        return []
    if pas.jeu_ms:
        instants = pa.array([pas.plancher(i) for i in instants.to_pylist()], pa.int64())
    if pas.mois:
        fins = pa.array([pas.avancer(i, 1) for i in instants.to_pylist()], pa.int64())
    else:
        fins = pc.add(instants, pas.pas_ms)
    ruptures = pc.indices_nonzero(pc.not_equal(instants[1:], fins[:-1])).to_pylist()
    premiers, derniers = [0, *(r + 1 for r in ruptures)], [*ruptures, len(instants) - 1]
    return unir(zip(instants.take(premiers).to_pylist(), fins.take(derniers).to_pylist(), strict=True))


def absentes(fiche: Fiche, presents: Iterable[Intervalle]) -> list[Intervalle]:
    """Ce que la fiche dit écrit, et qui n'y est pas."""
    pas = grille(fiche)
    return [i for i in oter(fiche.tenus(), unir(presents)) if pas.compter(*i)]


def confronter(fiche: Fiche, presents: Iterable[Intervalle], *, dire: bool = True) -> None:
    """Ce que la fiche dit écrit mais dont la ligne n'est plus là (ôtée à la main) sera redemandé.

    Et ce qui est écrit sans qu'elle le dise, ou qu'elle dit manquant : une fiche d'avant taisait la bougie gardée avant
    sa clôture, une fiche abîmée ne dit rien.
    """
    presents = unir(presents)
    absents = absentes(fiche, presents)
    if absents and dire:
        journal.warning("%s : lignes absentes du fichier, elles seront redemandées.", fiche.cle)
    fiche.couverts = oter(fiche.couverts, absents)
    for absent in absents:
        _effacer(fiche.provisoires, *absent)
    dits = unir(fiche.couverts, intervalles_de(fiche.trous, *FAITS), intervalles_de(fiche.provisoires))
    seules = oter(presents, dits)
    touches = [(i, t) for i in seules for t in fiche.trous[voisins(fiche.trous, *i)]]
    fiche.noter([], [Trou(*reste, t.raison) for i, t in touches for reste in croiser([t[:2]], [i])], None, seules)


def denombrer(fiche: Fiche, lignes: int) -> None:
    """La fiche, d'événements, apprend combien la sortie en tient ; s'il en manque, rien ne dit lesquels."""
    if fiche.lignes is not None and lignes < fiche.lignes:
        phrase = "%s : %s de moins que la fiche n'en compte ; rien n'est plus tenu pour couvert."
        journal.warning(phrase, fiche.cle, nombre_de(fiche.lignes - lignes, "ligne"))
        fiche.couverts = []
    fiche.lignes = lignes


def premiere_ecrite(fiche: Fiche, depuis: int = 0) -> int | None:
    """L'ouverture de la première bougie écrite, à cet instant ou après, sans parcourir ce qui la suit."""
    pas = grille(fiche)
    for debut, fin in fiche.couverts[voisins(fiche.couverts, depuis, INSTANT_MAX_MS)]:
        curseur = max(debut, depuis)
        for trou in fiche.trous[voisins(fiche.trous, curseur, fin)]:
            if pas.compter(curseur, trou.debut):
                break
            curseur = max(curseur, trou.fin)
        if pas.compter(curseur, fin):
            return pas.plafond(curseur)
    return None


def dementis(fiche: Fiche, premiere: int | None) -> list[Trou]:
    """Les `avant_cotation` que dément une ligne plus ancienne : la première de la série."""
    return [t for t in fiche.trous if t.raison == AVANT_COTATION and premiere is not None and premiere < t.debut]


def dementir(fiche: Fiche) -> bool:
    """Un `avant_cotation` que des lignes plus anciennes démentent n'est plus un fait : il sera redemandé.

    Vrai s'il y en a.
    """
    if not fiche.cle.a_une_grille or all(t.raison != AVANT_COTATION for t in fiche.trous):
        return False
    faux = dementis(fiche, premiere_ecrite(fiche))
    for trou in faux:
        phrase = "%s : des lignes sont plus anciennes que ce que la fiche dit d'avant la cotation ; il sera redemandé."
        journal.warning(phrase, fiche.cle)
        fiche.noter([], [trou._replace(raison=ECHEC)])
    return bool(faux)


def fiche_de_rien(cle: CleSerie, instants: pa.Array) -> Fiche:
    """La fiche d'une série dont on n'a que des lignes ; son ancre est celle de la première."""
    if not cle.a_une_grille:
        return Fiche(cle)
    pas = timeframe_de(cle.exchange, cle.timeframe)
    return Fiche(cle, ancre_ms=pas.decalage(instants[0].as_py()) if pas.peut_etre_ancre else 0)


def par_serie(table: pa.Table, donnee: TypeDonnee) -> Iterator[tuple[CleSerie, pa.Table]]:
    """Les lignes de chaque série de la table."""
    champs = list(donnee.serie)
    tri = [(champ, "ascending") for champ in champs]
    comptes = table.group_by(champs, use_threads=False).aggregate([([], "count_all")]).sort_by(tri).to_pylist()
    rangee = table.take(pc.sort_indices(table, sort_keys=tri)) if len(comptes) > 1 else table  # un tri stable
    debut = 0
    for compte in comptes:
        fin = debut + compte.pop("count_all")
        yield CleSerie(**compte), rangee[debut:fin]
        debut = fin


def compter_symboles(table: pa.Table, comptes: collections.Counter[str]) -> None:
    """Ajoute aux comptes les lignes de chaque symbole."""
    for compte in pc.value_counts(en_un_bloc(table["symbole"])).to_pylist():
        comptes[compte["values"]] += compte["counts"]


# ----------------------------------------------------------------------------------------------------------------------
# § 4   Agrégation
# ----------------------------------------------------------------------------------------------------------------------

GRACE_MS = 2 * SECONDE_MS
CLES_RETENUES = 200_000
RECENTS_GARDES = 5000  # trades, tant qu'une relecture peut les redire
RECENTS_AGREGES = 500
RECENTS_AU_MOINS = 64
RECENTS_MS = 10 * SECONDE_MS  # le reste du temps : des trades réunis en REST ont un seul instant, au bord d'une coupure
PERDUS_RETENUS = 10
BOUGIES_PLATES = ("bougies_plates", "--bougies-vides")
# Somme sans arrondi de tout ce qu'un double sait dire, de 5e-324 à 1,8e308 : jamais plus de 700 chiffres.
_EXACT = decimal.Context(prec=700)
_DIVISION = decimal.Context(prec=60)
_QUANTUM = Decimal("1e-18")


class Trade(NamedTuple):
    """Une transaction : la ligne brute d'un flux. Sans id, `Dedoublonneur` lui en donne un, qui commence par « ~ »."""

    timestamp: int
    id: str | None
    side: str | None
    price: float
    amount: float
    cost: float | None = None
    recu: int | None = None  # instant de réception, ms

    def precede(self, autre: Trade) -> bool:
        """Vrai si ce trade, arrivé après l'autre, eut lieu avant : par l'instant, puis par l'id s'il est une séquence.

        Sans séquence, deux trades de la même ms gardent leur ordre d'arrivée.
        """
        if self.timestamp != autre.timestamp:
            return self.timestamp < autre.timestamp
        sequences = self.id and autre.id and self.id.isdecimal() and autre.id.isdecimal()
        return bool(sequences) and int(self.id or 0) < int(autre.id or 0)

    @property
    def contenu(self) -> str:
        """Ce que dit le trade, hors son id : de quoi lui en faire un."""
        return f"~{self.timestamp}-{self.side}-{self.price!r}-{self.amount!r}"

    @property
    def est_anonyme(self) -> bool:
        """Vrai si l'exchange ne l'a pas nommé : sans id, ou avec celui que nous lui avons fait."""
        return not self.id or (self.id[0] == "~" and self.id.startswith(f"{self.contenu}-"))

    def nomme(self) -> Trade:
        """Le même, avec l'id que `Dedoublonneur` ferait au premier de ce contenu s'il n'en a pas."""
        return self if self.id else self._replace(id=f"{self.contenu}-0")

    def est(self, autre: Trade, grain_ms: int = 1) -> bool:
        """Vrai si c'est le même trade : le même id, ou le même contenu si l'un des deux n'en a pas.

        Une voie peut taire l'id (kucoin en REST), ou arrondir l'instant (bitstamp).
        """
        if self.est_anonyme or autre.est_anonyme:
            return self.timestamp // grain_ms == autre.timestamp // grain_ms and self[2:5] == autre[2:5]
        return self.id == autre.id


def cle_de_trade(trade: Trade) -> tuple[int, int]:
    """L'ordre de l'exchange : l'instant, puis la séquence de l'id s'il en est une (à défaut, l'ordre d'arrivée)."""
    return trade.timestamp, (rangs_de(trade.id) or (0, 0))[0]


def trade_de(brut: Mapping[str, Any], recu: int | None) -> Trade | None:
    """Le trade d'un dictionnaire de ccxt ; None s'il ne peut être vrai."""
    instant, prix, quantite = brut.get("timestamp"), brut.get("price"), brut.get("amount")
    if not (type(instant) is int and type(prix) is float and type(quantite) is float):  # ccxt, presque toujours
        instant, prix, quantite = _en_instant(instant), _en_nombre(prix), _en_nombre(quantite)
        if instant is None or prix is None or quantite is None:
            return None
    if not est_possible(prix, quantite):
        return None
    sens = brut.get("side")
    sens = sens if sens is None else neutraliser(str(sens))[:ID_MAX]
    return Trade(instant, _id_de(brut), sens, prix, quantite, _en_nombre(brut.get("cost")), recu)


ID_MAX = 128  # au-delà, ce n'est pas un identifiant : le trade est tenu pour anonyme


def _id_de(brut: Mapping[str, Any]) -> str | None:
    """L'identifiant, sur une ligne : un saut ou un échappement y casserait un CSV, ou un terminal."""
    identifiant = _id_dit(brut)
    return neutraliser(identifiant) if identifiant and len(identifiant) <= ID_MAX else None


def _id_dit(brut: Mapping[str, Any]) -> str | None:
    """L'identifiant de l'exchange ; « 12-15 » pour des trades réunis, que l'autre voie (flux ou REST) donne un par un.

    binance réunit en REST, de `f` à `l` (nuls chez mexc) ; okx dans son flux : `count` trades, dont `tradeId` est le
    dernier. htx et bittrade disent `tradeId` dans leur flux, `trade-id` en REST ; leur `id` est celui d'un groupe.
    """
    info = brut.get("info")
    if isinstance(info, dict):
        if info.get("f") is not None and {"a", "l"} <= info.keys():
            return str(info["f"]) if info["f"] == info["l"] else f"{info['f']}-{info['l']}"
        if "id" in info and (numero := info.get("tradeId", info.get("trade-id"))) is not None:
            return str(numero)
        if "count" in info:
            dernier, nombre = str(info.get("tradeId")), str(info["count"])
            if dernier.isdecimal() and nombre.isdecimal() and 1 < int(nombre) <= int(dernier):
                return f"{int(dernier) - int(nombre) + 1}-{dernier}"
    return str(brut["id"]) if brut.get("id") not in (None, "") else None


GROUPE_MAX = 10_000  # trades réunis sous un même identifiant ; au-delà, ces deux nombres disent autre chose


def rangs_de(identifiant: str | None) -> Intervalle | None:
    """Le premier et le dernier numéro d'un identifiant (« 12 », « 12-15 ») ; None s'il n'est pas une séquence.

    grvt numérote ses trades « 73808524-19 » : l'ordre, puis la part de cet ordre.
    """
    premier, tiret, dernier = (identifiant or "").partition("-")
    if not premier.isdecimal() or (tiret and not dernier.isdecimal()):
        return None
    debut, fin = int(premier), int(dernier or premier)
    return (debut, fin) if 0 <= fin - debut < GROUPE_MAX else None


class SuitesVues:
    """Des entiers vus, en suites contiguës ; au-delà de `capacite` suites, les plus petites sont oubliées."""

    def __init__(self, capacite: int) -> None:
        self._capacite = capacite
        self._debuts: list[int] = []
        self._fins: list[int] = []  # exclues

    def retenir(self, debut: int, fin: int) -> bool:
        """Note les entiers de [debut, fin[ ; faux, sans rien noter, si l'un d'eux est connu."""
        if self._fins and debut == self._fins[-1]:  # presque toujours : ils se suivent
            self._fins[-1] = fin
            return True
        rang = bisect.bisect_right(self._debuts, debut)
        if (rang and self._fins[rang - 1] > debut) or (rang < len(self._debuts) and self._debuts[rang] < fin):
            return False
        avant = rang - (rang > 0 and self._fins[rang - 1] == debut)
        apres = rang + (rang < len(self._debuts) and self._debuts[rang] == fin)
        bornes = [*self._debuts[avant:rang], debut], [fin, *self._fins[rang:apres]]
        self._debuts[avant:apres], self._fins[avant:apres] = [bornes[0][0]], [bornes[1][-1]]
        if len(self._debuts) > self._capacite:  # par paquets : ôter le premier d'une liste la décale toute
            paquet = slice(1 + self._capacite // 8)
            del self._debuts[paquet], self._fins[paquet]
        return True


class _Redites:
    """Les trades qu'une voie (le flux, le REST) peut redire : les siens, et ceux de l'autre."""

    def __init__(self, siens: Iterable[Trade], autres: Iterable[Trade], reconnus: Container[str] = ()) -> None:
        self._siens: dict[tuple[Any, ...], list[Trade]] = collections.defaultdict(list)
        self._autres: dict[tuple[Any, ...], list[Trade]] = collections.defaultdict(list)
        for ou, trades in ((self._siens, siens), (self._autres, autres)):
            for trade in trades:
                ou[(trade.est_anonyme and trade.id not in reconnus, *trade[2:5])].append(trade)

    def attendre(self, trade: Trade) -> None:
        """Un de plus, de l'autre voie."""
        self._autres[(trade.est_anonyme, *trade[2:5])].append(trade)

    def reconnaitre(self, trade: Trade, natures: Iterable[bool], grain_ms: int) -> Trade | None:
        """Celui, anonyme ou non, qu'est ce trade : du même instant ou, de l'autre voie, du même grain.

        Il n'est reconnu qu'une fois.
        """
        cles = [(nature, *trade[2:5]) for nature in natures]
        candidats = [(ou.get(cle, []), 1) for cle in cles for ou in (self._siens, self._autres)]
        candidats += [(self._autres.get(cle, []), grain_ms) for cle in cles]
        for pareils, grain in candidats:
            for rang, connu in enumerate(pareils):
                if connu.timestamp // grain == trade.timestamp // grain:
                    return pareils.pop(rang)
        return None


class Dedoublonneur:
    """Ne laisse passer un trade qu'une fois : la règle d'identité du flux, de ses relectures et de la relance.

    - Le même id est le même trade, à moins que ni l'instant ni le contenu ne soient les mêmes, ou l'instant seul si
      les ids sont tirés au hasard : ceux d'hyperliquid ne sont uniques qu'avec lui. Si le premier est oublié, un trade
      du flux n'en est un autre que daté après tous. Le second est « id@instant ».
    - Un id manque, d'un côté au moins : le même contenu, et le k-ième identique est le k-ième connu. Les instants se
      comparent à la seconde si l'une des deux voies n'en dit pas davantage. Le flux ne redit ainsi que ce qui fut connu
      avant l'écoute en cours, ou lu par REST depuis.

    Un trade sans id reçoit « ~{timestamp}-{side}-{price!r}-{amount!r}-{rang} », le même à chaque exécution : montrer
    d'abord ceux d'une sortie déjà écrite suffit pour que la suite ne les répète pas. Au-delà de `capacite` clés, les
    plus anciennes sont oubliées ; les ids qui sont des nombres tiennent en suites : donnés de un en un, aucun ne l'est.
    `recents`, `relus` : les derniers trades du flux et du REST, par id ; à part, une longue relecture ne doit pas faire
    oublier ceux du flux, au bord de la reprise. Quand rien n'est à relire (`relit`), et que tous ont un id qui n'est
    qu'à eux, leur clé suffit : il n'en reste que les dernières secondes.
    """

    def __init__(
        self, capacite: int = CLES_RETENUES, recents: int = RECENTS_GARDES, relit: Callable[[], bool] = lambda: True
    ) -> None:
        self._capacite, self._recents_max, self._relit = capacite, recents, relit
        self._connus: dict[str, int] = {}
        self._numeros = SuitesVues(capacite)
        self.recents: dict[str, Trade] = {}
        self.relus: dict[str, Trade] = {}
        self._seuils = [RECENTS_AU_MOINS, RECENTS_AU_MOINS]  # par voie : au-delà, les plus anciens sont oubliés
        self._a_homonymes = False
        self._au_hasard = False  # leurs ids reculent quand le temps avance
        # les voies (`relecture` ; None : la sortie) qui disent plus que la seconde, ont nommé un trade, en ont tu l'id
        self._precisent, self._nomment, self._taisent = set[bool](), set[bool](), set[bool | None]()
        self._reconnus: set[str] = set()  # des anonymes que l'autre voie a nommés : aucun autre ne sera pris pour eux
        self._plus_recent = (0, 0, 0)  # son instant, son id, et l'id de l'instant d'avant
        self._redites: _Redites | None = None  # celles que l'écoute en cours peut faire

    @property
    def grain_ms(self) -> int:
        """Ce qui sépare à coup sûr deux instants, quelle que soit la voie qui les dit."""
        return 1 if len(self._precisent) == 2 else SECONDE_MS  # du flux et du REST

    @property
    def grain_flux_ms(self) -> int:
        """Ce qui sépare deux instants différents du flux."""
        return 1 if False in self._precisent else SECONDE_MS

    def connu(self, numero: int) -> Trade | None:
        """Le trade récent de ce numéro."""
        return self.recents.get(str(numero)) or self.relus.get(str(numero))

    def montrer(self, ecrits: Iterable[Trade]) -> None:
        """Apprend des trades déjà écrits, du flux ou du REST."""
        for trade in ecrits:
            self._observer(trade)
            if trade.est_anonyme:
                self._taisent.add(None)
            self._a_homonymes |= bool(trade.id and trade.id.endswith(f"@{trade.timestamp}"))
            connu = not (self._nommer(trade) if trade.est_anonyme else self.retenir(trade.id or ""))
            if trade.est_anonyme or not connu:  # « …-1 » est parfois écrit avant « …-0 »
                self._ranger([trade], relecture=trade.timestamp % SECONDE_MS == 0)

    def recommencer(self) -> None:
        """Une écoute commence : elle peut redire ce qu'on tient."""
        self._redites = None

    def nouveaux(self, trades: Iterable[Trade], relecture: bool = False) -> list[Trade]:
        """Ceux qu'on n'a pas encore vus, dans l'ordre, tous avec un id ; `relecture` : une page du REST."""
        trades = list(trades)
        for trade in trades:
            self._observer(trade)
            (self._taisent if trade.est_anonyme else self._nomment).add(relecture)
            if trade.timestamp % SECONDE_MS:
                self._precisent.add(relecture)
        redites = self._que_peut_redire(relecture) if relecture or self._redites is None else self._redites
        candidats = [trade if trade.est_anonyme else self._homonyme_ou_inedit(trade, relecture) for trade in trades]
        restes = [trade for trade in candidats if trade]
        for grain_ms in (1, self.grain_ms):  # un identique de la même seconde ne doit pas prendre la place du vrai
            restes = [trade for trade in restes if not self._est_redit(trade, redites, relecture, grain_ms)]
        nommes = (self._nommer(trade) if trade.est_anonyme else trade for trade in restes)
        neufs = [trade for trade in nommes if trade]
        self._ranger(neufs, relecture=relecture)
        if not relecture:
            self._redites = redites
        elif self._redites is not None:
            for trade in neufs:
                self._redites.attendre(trade)
        return neufs

    def _observer(self, trade: Trade) -> None:
        """Un trade plus récent que ceux d'avant a-t-il aussi un plus grand id ?"""
        instant, premier, avant = self._plus_recent
        if trade.timestamp < instant:
            return
        numero = int(trade.id) if trade.id and trade.id.isdecimal() else premier
        if trade.timestamp > instant:
            premier, avant = numero, premier
        self._au_hasard |= numero < avant
        self._plus_recent = trade.timestamp, premier, avant

    def _que_peut_redire(self, relecture: bool) -> _Redites:
        if not self._taisent:  # les ids suffisent
            return _Redites((), ())
        siens, autres = (self.relus, self.recents) if relecture else (self.recents, self.relus)
        return _Redites(siens.values(), autres.values(), self._reconnus)

    def _est_redit(self, trade: Trade, redites: _Redites, relecture: bool, grain_ms: int) -> bool:
        """Vrai d'un trade dont l'id n'a rien dit, et que son contenu fait reconnaître.

        Celui d'une voie qui nomme tout peut être l'anonyme d'une voie qui tait tout, et l'inverse.
        """
        if trade.est_anonyme:
            natures = (True,) if relecture in self._nomment else (True, False)
            return redites.reconnaitre(trade, natures, grain_ms) is not None
        connu = None if relecture in self._taisent else redites.reconnaitre(trade, (True,), grain_ms)
        if connu is not None:
            self._reconnus.add(connu.id or "")
        return connu is not None

    def _homonyme_ou_inedit(self, trade: Trade, relecture: bool = False) -> Trade | None:
        """Le trade si son id est inédit, ou s'il est d'un autre ; il en change alors."""
        autrement = f"{trade.id}@{trade.timestamp}"
        if self._a_homonymes and autrement in self._connus:
            return None
        if self.retenir(trade.id or ""):
            return trade
        siens, autres = (self.relus, self.recents) if relecture else (self.recents, self.relus)
        connu, grain = siens.get(trade.id or ""), 1  # une même voie ne date pas autrement ce qu'elle redit
        if connu is None:
            connu, grain = autres.get(trade.id or ""), self.grain_ms
        if connu is None:  # oublié : là où les ids repartent de un, qui est daté après tous n'est pas lui
            inedit = self._au_hasard and not relecture and trade.timestamp >= self._plus_recent[0]
        else:
            instant_corrige = connu[2:5] == trade[2:5] and not self._au_hasard
            inedit = connu.timestamp // grain != trade.timestamp // grain and not instant_corrige
        if not inedit:
            return None
        if not self.retenir(autrement):
            return None
        self._a_homonymes = True
        return trade._replace(id=autrement)

    def _nommer(self, trade: Trade) -> Trade | None:
        """Le trade sans id, avec celui qu'on lui fait ; None s'il le porte déjà et qu'il est connu."""
        if trade.id:
            base, _, ecrit = trade.id.rpartition("-")
            return trade if ecrit.isdecimal() and self.retenir(base, int(ecrit) + 1) else None
        rang = self._connus.get(trade.contenu, 0)
        self.retenir(trade.contenu, rang + 1)
        return trade._replace(id=f"{trade.contenu}-{rang}")

    def est_nouveau(self, trade: Trade) -> bool:
        """Retient un trade nommé du flux ; faux s'il est connu."""
        self._observer(trade)
        neuf = self._homonyme_ou_inedit(trade)
        if neuf:
            self._ranger([neuf])
        return neuf is not None

    def prolonger(self, trades: Sequence[Trade], fin: int) -> bool:
        """Retient d'un coup des trades du flux, numérotés de un en un avant `fin` ; faux si l'un est connu."""
        if self._taisent or not self._numeros.retenir(fin - len(trades), fin):
            return False
        self._nomment.add(False)
        if False not in self._precisent and any(trade.timestamp % SECONDE_MS for trade in trades):
            self._precisent.add(False)
        self._observer(trades[-1])
        self._ranger(trades)
        return True

    def _ranger(self, trades: Sequence[Trade], *, relecture: bool = False) -> None:
        parmi = self.relus if relecture else self.recents
        parmi.update((trade.id or "", trade) for trade in trades)
        if len(parmi) <= self._seuils[relecture]:
            return
        trop = len(parmi) - self._recents_max
        # Là où un id est tiré au hasard, seul le trade qui le porte dit si le suivant du même id en est un autre.
        if not (self._taisent or self._au_hasard or self._relit()):
            depuis = trades[-1].timestamp - RECENTS_MS
            trop = max(trop, sum(1 for _ in itertools.takewhile(lambda trade: trade[0] < depuis, parmi.values())))
        for cle in list(itertools.islice(parmi, max(0, trop))):
            del parmi[cle]
        self._seuils[relecture] = max(RECENTS_AU_MOINS, len(parmi) * 5 // 4)
        self._reconnus &= self.recents.keys() | self.relus.keys()

    def retenir(self, cle: str, nombre: int = 1) -> bool:
        """Note que la clé fut vue `nombre` fois ; faux si on le savait déjà."""
        if nombre == 1 and cle.isdecimal() and cle.isascii() and (cle[0] != "0" or cle == "0"):
            return self._numeros.retenir(int(cle), int(cle) + 1)
        if self._connus.get(cle, 0) >= nombre:
            return False
        self._connus[cle] = nombre
        if len(self._connus) > self._capacite:  # par paquets : ce qu'on ôte en tête d'un dict reste à enjamber
            for oubliee in list(itertools.islice(self._connus, 1 + self._capacite // 8)):
                del self._connus[oubliee]
        if (rangs := rangs_de(cle)) and rangs[0] < rangs[1]:  # okx : le REST les redira un par un
            for numero in range(rangs[0], rangs[1] + 1):
                self._numeros.retenir(numero, numero + 1)
        return True


def mesure_en_base(taille_contrat: float | None = None, inverse: bool = False) -> Callable[[Trade], Decimal]:
    """Rend la quantité d'un trade dans l'unité du REST, la base : le `volume` d'un `Agregateur`.

    Exacte, sauf la division d'un inverse (18 décimales).
    """

    def mesurer(trade: Trade) -> Decimal:
        volume = Decimal(str(trade.amount))
        if taille_contrat is not None:
            volume = _EXACT.multiply(volume, Decimal(str(taille_contrat)))
        if inverse:
            volume = _EXACT.quantize(_DIVISION.divide(volume, Decimal(str(trade.price))), _QUANTUM)
        return volume

    return mesurer


def mesure_en_cotation(taille_contrat: float | None = None, inverse: bool = False) -> Callable[[Trade], Decimal]:
    """Le même, là où le REST compte en monnaie de cotation : ce que vaut un inverse, ou ce que coûte l'autre."""
    quantite = mesure_en_base(taille_contrat)
    return quantite if inverse else lambda trade: _EXACT.multiply(quantite(trade), Decimal(str(trade.price)))


class BougieTrades(NamedTuple):
    """Une bougie faite de trades ; `revision` : rendue hors de son tour, elle remplace ce qui fut rendu pour elle."""

    timestamp: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    revision: bool = False


class _BougieVive:
    """Une bougie que des trades peuvent encore changer."""

    __slots__ = ("a_rendre", "dernier", "fin", "high", "low", "ouverture", "premier", "reportee", "volume")

    def __init__(self, ouverture: int, fin: int, trade: Trade) -> None:
        self.ouverture, self.fin = ouverture, fin
        self.premier = self.dernier = trade
        self.high = self.low = trade.price
        self.volume = Decimal(0)
        self.a_rendre = True
        self.reportee: float | None = None  # la clôture des bougies plates rendues à sa suite

    def fondre(self, trade: Trade, volume: Decimal) -> None:
        """Y ajoute un trade, quel que soit son tour."""
        if not trade.precede(self.dernier):
            self.dernier = trade
        elif trade.precede(self.premier):
            self.premier = trade
        if trade.price > self.high:
            self.high = trade.price
        elif trade.price < self.low:
            self.low = trade.price
        self.volume = _EXACT.add(self.volume, volume)
        self.a_rendre = True

    def figer(self, revision: bool = False) -> BougieTrades:
        """Ce qu'elle vaut maintenant."""
        valeurs = (self.premier.price, self.high, self.low, self.dernier.price, float(self.volume))
        return BougieTrades(self.ouverture, *valeurs, revision)


class Agregateur:
    """Trades → bougies, en poussée, sur l'heure des trades seule.

    Une bougie se clôt au premier trade d'une suivante, ou par la minuterie (`clore`). Un trade en retard la corrige,
    et elle est rendue de nouveau, tant que le plus grand instant vu n'a pas dépassé sa fin de `grace_ms` ; au-delà
    elle est définitive. Les bougies ouvertes avant `depuis_ms`, peut-être entamées, ne sont jamais rendues.
    """

    def __init__(
        self,
        timeframe: Timeframe,
        *,
        grace_ms: int = GRACE_MS,
        bougies_vides: str = "omettre",
        volume: Callable[[Trade], Decimal] | None = None,
        depuis_ms: int = 0,
    ) -> None:
        self.retards = self.perdus = self.doublons = self.impossibles = 0
        self.derniers_perdus: collections.deque[Trade] = collections.deque(maxlen=PERDUS_RETENUS)
        self._timeframe, self._grace_ms = timeframe, grace_ms
        self._plates = annexe(*BOUGIES_PLATES).suites(bougies_vides) if bougies_vides != "omettre" else None
        self._volume = volume or mesure_en_base()
        self._depuis = self._frontiere = timeframe.plafond(depuis_ms)
        self._vu = 0
        self._debut = self._fin = 0  # la bougie du dernier trade : le suivant y est presque toujours
        self._vives: dict[int, _BougieVive] = {}  # par ouverture croissante
        self._memoire = Dedoublonneur(recents=RECENTS_AGREGES)

    @property
    def close_jusqu_a(self) -> int:
        """Toute bougie ouverte avant cet instant fut rendue, ou n'a pas eu de trade ; à cet instant : `en_cours`."""
        return self._frontiere

    @property
    def fin_prouvee(self) -> int:
        """Toute bougie ouverte avant cet instant est définitive : aucun trade ne la changera plus."""
        return max(self._depuis, self._timeframe.plancher(self._vu - self._grace_ms - 1))

    def volumes(self) -> dict[int, float]:
        """Ce qu'ont déjà reçu les bougies que des trades peuvent encore changer, par ouverture."""
        return {bougie.ouverture: float(bougie.volume) for bougie in self._vives.values()}

    @property
    def en_cours(self) -> BougieTrades | None:
        """La bougie ouverte, telle qu'elle est ; None si elle n'a pas encore de trade."""
        ouverte = self._vives.get(self._frontiere)
        return ouverte.figer() if ouverte else None

    def ajouter(self, trades: Iterable[Trade]) -> list[BougieTrades]:
        """Les bougies que ces trades closent ou corrigent, dans l'ordre, chacune une fois."""
        avant = self._frontiere
        for trade in trades:
            if trade.timestamp < self._depuis:
                continue
            if not est_possible(trade.price, trade.amount):
                self.impossibles += 1
            elif trade.id and not self._memoire.est_nouveau(trade):
                self.doublons += 1
            else:
                self._ranger(trade)
        return self._rendre(avant)

    def clore(self, instant_ms: int) -> list[BougieTrades]:
        """Les bougies que l'heure de l'exchange suffit à clore : ouverture + pas + grâce <= instant."""
        avant = self._frontiere
        self._frontiere = max(avant, self._timeframe.plancher(instant_ms - self._grace_ms))
        return self._rendre(avant)

    def _ranger(self, trade: Trade) -> None:
        """Fond le trade dans sa bougie, sauf si elle est définitive."""
        if not self._debut <= trade.timestamp < self._fin:
            self._debut = self._timeframe.plancher(trade.timestamp)
            self._fin = self._timeframe.avancer(self._debut, 1)
        if self._debut < self._frontiere:
            if self._fin + self._grace_ms < self._vu:
                self.perdus += 1
                self.derniers_perdus.append(trade)
                return
            self.retards += 1
        else:
            self._frontiere = self._debut
        self._vu = max(self._vu, trade.timestamp)
        bougie = self._vives.get(self._debut)
        if bougie is None:
            en_desordre = self._debut < next(reversed(self._vives), self._debut)
            self._vives[self._debut] = bougie = _BougieVive(self._debut, self._fin, trade)
            if en_desordre:
                self._vives = dict(sorted(self._vives.items()))
        bougie.fondre(trade, self._volume(trade))

    def _rendre(self, avant: int) -> list[BougieTrades]:
        """Les bougies closes qui ont changé, et les plates ; celles d'avant l'ancienne frontière sont des révisions."""
        rendues: list[BougieTrades] = []
        limites = [*itertools.islice(self._vives, 1, None), self._frontiere]
        for bougie, limite in zip(self._vives.values(), limites, strict=False):
            if bougie.ouverture >= self._frontiere:
                break
            if bougie.a_rendre:
                rendues.append(bougie.figer(bougie.ouverture < avant))
                bougie.a_rendre = False
            if self._plates is not None:
                rendues += self._plates(bougie, limite, avant, self._timeframe)
        for ouverture in [b.ouverture for b in self._vives.values() if b.fin + self._grace_ms < self._vu]:
            del self._vives[ouverture]
        return rendues


# ----------------------------------------------------------------------------------------------------------------------
# § 5   Essais
# ----------------------------------------------------------------------------------------------------------------------

DELAI_INITIAL_S = 0.3
DELAI_MAX_S = 30.0
ATTENTE_MAX_S = 900.0  # 15 min : au-delà, un bannissement rend la main au lieu de tenir le processus
PAUSE_MAX_S = 3 * 86_400.0  # le plus long bannissement de binance ; « jusqu'en 9999 » n'en est pas un
REFUS_PAREILS = 3  # la même réponse autant de fois de suite ne changera plus : huit essais en prendraient quarante
MARGE_REPRISE_S = 0.05  # jamais avant l'instant donné, même quand les horloges s'arrondissent

ALLURE_GOUTTE = 0.95  # à l'allure juste, une seconde qui admet vingt requêtes en reçoit parfois vingt et une (bitget)
RALENTI = 0.8  # à chaque refus

Dormir = Callable[[float], Awaitable[None]]
T = TypeVar("T")


def hasard() -> float:
    """Un nombre de [0, 1[."""
    return random.random()


def delais_backoff(
    initial_s: float = DELAI_INITIAL_S, plafond_s: float = DELAI_MAX_S, alea: Callable[[], float] = hasard
) -> Iterator[float]:
    """Suite sans fin des attentes entre essais, en s : double à chaque fois, plafonnée, tirée entre sa moitié et elle.

    L'aléa désynchronise les clients qu'une même panne a coupés ensemble.
    """
    delai = initial_s
    while True:
        yield delai * (0.5 + alea() / 2)
        delai = min(plafond_s, delai * 2)


async def pause(secondes: float) -> None:
    """Rend la main à la boucle pendant ce temps ; 0 : un tour."""
    await asyncio.sleep(secondes)


async def attendre(evenement: asyncio.Event, plafond_s: float) -> bool:
    """Attend l'événement, au plus ce temps ; vrai s'il est venu."""
    with contextlib.suppress(TimeoutError):
        # `wait_for`, en 3.11, avale une annulation qui croise l'événement : un SIGTERM restait sans effet.
        async with asyncio.timeout(max(0.0, plafond_s)):
            await evenement.wait()
    return evenement.is_set()


async def abandonner(*taches: asyncio.Future[Any]) -> None:
    """Annule ces tâches, et attend que ce soit fini."""
    for tache in taches:
        tache.cancel()
    await asyncio.gather(*taches, return_exceptions=True)


@contextlib.asynccontextmanager
async def pendant(coroutine: Coroutine[Any, Any, T]) -> AsyncIterator[asyncio.Future[T]]:
    """Une tâche de front avec ce bloc, abandonnée à sa fin."""
    tache = asyncio.ensure_future(coroutine)
    try:
        yield tache
    finally:
        await abandonner(tache)


@contextlib.asynccontextmanager
async def groupe_de_taches() -> AsyncIterator[asyncio.TaskGroup]:
    """Un TaskGroup qui relève la première erreur telle quelle, et non un groupe d'une."""
    try:
        async with asyncio.TaskGroup() as taches:
            yield taches
    except BaseExceptionGroup as erreurs:
        raise erreurs.exceptions[0] from None


class Frein:
    """La pause commune à toutes les requêtes vers un exchange : un 429 reçu par l'une les arrête toutes."""

    def __init__(self, dormir: Dormir = pause, horloge: Callable[[], float] = time.monotonic) -> None:
        self._dormir, self._horloge = dormir, horloge
        self._jusqua = 0.0
        self.prevenir: Callable[[float], None] = lambda _reste: None  # appelé avec les secondes d'une pause posée

    def serrer(self, attente_s: float) -> None:
        """Plus aucune requête avant `attente_s` secondes, PAUSE_MAX_S au plus ; une pause plus longue reste."""
        self._jusqua = max(self._jusqua, self._horloge() + min(attente_s, PAUSE_MAX_S) + MARGE_REPRISE_S)
        self.prevenir(self.reste_s)

    @property
    def reste_s(self) -> float:
        """Les secondes de pause qui restent ; 0 quand rien ne s'oppose à une requête."""
        return max(0.0, self._jusqua - self._horloge())

    async def attendre(self) -> None:
        """Attend la fin de la pause, même si elle est prolongée entre-temps ; LimiteDeDebit si elle est trop longue."""
        while reste := self.reste_s:
            if reste > ATTENTE_MAX_S + MARGE_REPRISE_S:
                raise LimiteDeDebit(
                    f"L'exchange a demandé une pause qui dure encore {duree_lisible(reste)}", "Relancez après.", reste
                )
            await self._dormir(reste)


class Limiteur:
    """Le tour de passage vers un exchange, dans l'ordre des demandes ; au goutte-à-goutte, `par_s` de poids par s.

    Une requête annulée avant son tour ne coûte rien : le limiteur de ccxt fait l'inverse. `annexes_ccxt_fr/fenetres.py`
    va plus vite, là où l'on sait sur combien de temps l'exchange compte.
    """

    def __init__(self, par_s: float, dormir: Dormir = pause, horloge: Callable[[], float] = time.monotonic) -> None:
        self.allure = par_s * ALLURE_GOUTTE
        self._dormir, self.horloge = dormir, horloge
        self.libre = 0.0  # aucune requête avant cet instant
        self._tour = asyncio.Lock()

    async def __call__(self, poids: float | None = None) -> None:
        poids = 1.0 if poids is None else poids
        async with self._tour:
            while (attente := self.attente_s(poids)) > 0:
                await self._dormir(attente)
            self.passer(poids)

    def attente_s(self, poids: float) -> float:  # noqa: ARG002  ce qui compte par fenêtre le demande
        """Les secondes avant qu'une requête de ce poids puisse passer ; 0 ou moins : elle le peut."""
        return self.libre - self.horloge()

    def passer(self, poids: float) -> None:
        """Compte une requête qui part."""
        self.libre = max(self.libre, self.horloge()) + poids / self.allure

    def noter_reponse(self, url: str, entetes: Mapping[str, str]) -> None:
        """Ce qu'une réponse dit de ce que l'exchange a compté : rien, au goutte-à-goutte."""

    def ralentir(self) -> None:
        """L'exchange a refusé (429) : au goutte-à-goutte jusqu'à la fin, un peu plus lent à chaque refus."""
        self.allure *= RALENTI

    def duree_s(self, poids: float) -> float:
        """Le temps qu'il faut au moins pour passer ce poids, à partir de rien."""
        return poids / self.allure


@dataclass
class Essais:
    """La politique d'essais d'un exchange ; `noter(essai, sur, erreur, attente_s)` précède chaque nouvel essai."""

    nombre: int = 8
    frein: Frein = field(default_factory=Frein)
    noter: Callable[[int, int, ErreurTemporaire, float], None] = lambda _essai, _sur, _erreur, _attente: None
    dormir: Dormir = pause
    alea: Callable[[], float] = hasard

    async def tenter(self, appel: Callable[[], Awaitable[T]], nombre: int | None = None) -> T:
        """Appelle jusqu'à `nombre` fois ; seule une ErreurTemporaire est réessayée, la dernière est relevée.

        Un refus redit de suite, aux nombres près (une date, une requête), n'attend pas le dernier essai.
        """
        delais = delais_backoff(alea=self.alea)
        nombre = nombre or self.nombre
        refus: list[str] = []
        essai = 0
        while True:
            essai += 1
            await self.frein.attendre()
            try:
                return await appel()
            except LimiteDeDebit as erreur:
                attente = next(delais) if erreur.attente_s is None else erreur.attente_s
                self.frein.serrer(attente)
                if essai >= nombre or attente > ATTENTE_MAX_S:
                    raise
                self.noter(essai, nombre, erreur, attente)
            except ErreurTemporaire as erreur:
                refus = [*refus, re.sub(r"\d+", "", str(erreur))] if isinstance(erreur, RefusProbable) else []
                redit = len(refus) >= REFUS_PAREILS and len({*refus[-REFUS_PAREILS:]}) == 1
                if essai >= nombre or redit:
                    raise
                attente = next(delais)
                self.noter(essai, nombre, erreur, attente)
                await self.dormir(attente)


# ----------------------------------------------------------------------------------------------------------------------
# § 6   Écrivains
# ----------------------------------------------------------------------------------------------------------------------
# Deux étages : le disque (remplacement atomique, verrou, journal de reprise, sceau), et les sorties : un fichier, de
# l'un des trois codecs, ou une base SQLite. Un fichier tient un type de donnée, une famille (exchange, timeframe, prix)
# et un ou plusieurs symboles, trié par symbole, instant et séquence ; une base tient plusieurs tables de séries.
#
# Une sortie de fichier compose : un codec (des octets aux lignes, sans état), un tableau (les lignes, lues triées,
# écrites d'un coup), une feuille (ce que le fichier dit de lui), un journal de reprise, et, d'un flux en CSV, son bout.
# Ce qui ne sert qu'à un fichier abîmé, ôté, étranger ou d'avant est dans les annexes `remise_en_ordre`,
# `mises_de_cote`, `octets_douteux`, `fichiers_etrangers` et `origines` ; ce qui n'est que de la vitesse, dans `queues`
# et `reperage` ; de la précaution ou du ménage, dans `place` et `menage`.

pq: Any = _ModuleParesseux("pyarrow.parquet", "Lire et écrire du Parquet")
pa_csv: Any = _ModuleParesseux("pyarrow.csv", "Lire et écrire du CSV")
pa_acero: Any = _ModuleParesseux("pyarrow.acero", "Grouper des lignes")  # `Table.group_by` l'importe

LIGNES_PAR_GROUPE = 131_072  # Parquet : un groupe de lignes se lit et se saute d'un coup
LIGNES_PAR_LOT = 65_536  # Feather et lectures : quelques Mo en mémoire
LOTS_A_REUNIR = 1024  # du journal : d'une ligne ou de mille, une table d'Arrow pèse cinq ko
SOMMES_MAX = 1 << 30  # jusque-là, refaire les sommes de contrôle d'une sortie à l'ouverture prend moins d'une seconde
ATTENTE_SQLITE_S = 10  # d'une base qu'un autre programme lit, ou écrit
RELECTURE_MAX = 32 << 20  # jusque-là, relire une sortie entière à l'ouverture ne se remarque pas
NOMS_DITS = 3  # un message n'énumère pas cent séries
PETIT_LOT = 50  # lignes ; plus petit, il n'est pas comprimé
SYNCHRO_S = 1.0  # une coupure de courant perd au plus cette durée ; kill -9, rien

# Ce qu'un flux coûte reste proportionnel à ce qu'il écrit.
LIGNES_A_FONDRE = 1000  # et au moins ce que tient le fichier
OCTETS_PAR_S = 30e6  # d'une fonte, au plus lent de ce qui fut mesuré
ATTENTE_FONTE_S = 900.0
PART_DU_FICHIER = 8  # une fonte que seul l'âge demande ajoute au moins un huitième du fichier qu'elle récrit
FONTE_PRESSEE_S = 2.5
PART_DU_TEMPS = 100  # et prend au plus un centième du temps
CADENCE_FICHE_S = 60.0
JOURNAL_MAX = 16 << 20  # au-delà, et d'un huitième du fichier, il est fondu

MARQUE_DE_LOT = b"\xf3lot\r\n\x1a\n"
TETE_DE_LOT = struct.Struct("<8sIII")  # marque, octets de la note, octets des lignes, somme de contrôle
REMISE_EN_ORDRE = ("remise_en_ordre", "Remettre en ordre une sortie qu'un autre outil a touchée")
JOURNAL_DOUTEUX = ("octets_douteux", "Reprendre un journal abîmé, ou d'une version d'avant,")
MISES_DE_COTE = ("mises_de_cote", "Continuer sans une sortie illisible, ou ôtée,")
ORIGINES_MELEES = ("origines", "Séparer ce qui est réel de ce qui ne l'est pas")
FICHIERS_ETRANGERS = ("fichiers_etrangers", "Dire ce que contient un fichier qui n'est pas le nôtre")


class SortieIllisible(ErreurSortie):
    """Le fichier est abîmé : il sera mis de côté à la prochaine écriture."""


class PasLeNotre(ErreurDemande):
    """Le fichier se lit, mais ce n'est pas une sortie de ce type."""


# --- Disque

CONSEIL_DISQUE = "Vérifiez le disque et les droits."


def _cause_et_conseil(erreur: OSError) -> tuple[str, str]:
    """Ce qui ne va pas, et que faire ; copié seul, ce qu'en dit le système."""
    causes = annexe_ou_rien("causes")
    return causes.cause_disque(erreur) if causes else (erreur.strerror or str(erreur), CONSEIL_DISQUE)


def cause_disque(erreur: OSError) -> str:
    """Ce qui ne va pas, en français."""
    return _cause_et_conseil(erreur)[0]


@contextlib.contextmanager
def disque(action: str, chemin: Path) -> Iterator[None]:
    """Une erreur du système devient une ErreurSortie qui dit quoi, sur quoi et que faire."""
    try:
        yield
    except OSError as erreur:
        cause, conseil = _cause_et_conseil(erreur)
        raise ErreurSortie(f"{action} « {chemin} » a échoué : {cause}", conseil) from erreur


@contextlib.contextmanager
def en_lisant(chemin: Path) -> Iterator[None]:
    """Comme `disque`, et ce qu'Arrow ne sait pas lire (pas d'errno) est une SortieIllisible."""
    try:
        with disque("Lire", chemin):
            try:
                yield
            except OSError as erreur:
                if erreur.errno is None:
                    raise ValueError(str(erreur)) from erreur
                raise
    except (ValueError, EOFError, zlib.error, pa.ArrowException) as erreur:
        raise SortieIllisible(f"« {chemin} » est illisible ({en_une_ligne(erreur)})") from erreur


def en_une_ligne(erreur: BaseException) -> str:
    """Ce que dit une erreur, sans la suite ; son nom si elle ne dit rien."""
    return (str(erreur).splitlines() or [type(erreur).__name__])[0]


def ecrire_atomique(chemin: Path, remplir: Callable[[BinaryIO], object]) -> None:
    """Remplace le fichier d'un coup : jamais à moitié écrit, et intact si `remplir` échoue.

    D'un lien, c'est le fichier qu'il vise. `remplir` reçoit un fichier temporaire du même dossier, ouvert en lecture et
    écriture. Le dossier est créé.
    """
    if objection := _objection(chemin):
        raise ErreurSortie(objection, "Donnez un nom de fichier.")
    chemin = _sans_lien(chemin)  # /dev/stdout, vers un fichier, deviendrait lui-même un fichier
    temporaire = chemin.with_name(f"{chemin.name}.{os.getpid()}.tmp")
    with disque("Écrire", chemin):
        chemin.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporaire.open("w+b") as fichier:
                remplir(fichier)
                fichier.flush()
                os.fsync(fichier.fileno())
            if chemin.exists():
                shutil.copymode(chemin, temporaire)
            temporaire.replace(chemin)
        except BaseException:
            with contextlib.suppress(OSError):
                temporaire.unlink(missing_ok=True)
            raise
        _synchroniser_dossier(chemin.parent)


def _objection(chemin: Path) -> str:
    """Pourquoi ce chemin ne peut être remplacé : un tube s'attend sans fin, `/dev/null` deviendrait un fichier."""
    try:
        mode = chemin.stat().st_mode
    except OSError as erreur:
        sans_remede = erreur.errno in (errno.ELOOP, errno.ENAMETOOLONG, errno.ENOTDIR)
        cause = cause_disque(erreur) if sans_remede else ""
        return f"« {chemin} » ne se trouve pas : {cause}" if cause else ""  # le reste se verra en l'écrivant
    if stat.S_ISDIR(mode):
        return f"« {chemin} » est un dossier"
    return "" if stat.S_ISREG(mode) else f"« {chemin} » n'est pas un fichier ordinaire"


def _sans_lien(chemin: Path) -> Path:
    """Le fichier que désigne un lien : c'est lui qui sera remplacé, pas le lien."""
    try:
        vise = chemin.resolve() if chemin.is_symlink() else chemin
        return vise if vise.exists() or not chemin.exists() else chemin  # un tube n'a que le nom du lien
    except (OSError, RuntimeError) as erreur:  # RuntimeError : une boucle de liens, jusqu'à Python 3.12
        cause, conseil = _cause_et_conseil(erreur if isinstance(erreur, OSError) else OSError(errno.ELOOP, str(erreur)))
        raise ErreurDemande(f"« {chemin} » ne se trouve pas : {cause}", conseil) from None


def _synchroniser_dossier(dossier: Path) -> None:
    """Rend un renommage durable ; là où le système ne le permet pas (Windows), il n'y a rien de mieux à faire."""
    with contextlib.suppress(OSError):
        descripteur = os.open(dossier, os.O_RDONLY)
        try:
            os.fsync(descripteur)
        finally:
            os.close(descripteur)


def octets_de(chemin: Path) -> int:
    """La taille d'un fichier ; 0 s'il n'existe pas."""
    try:
        return chemin.stat().st_size  # demandé à chaque lot : `exists`, qui le lirait une fois de plus, ne l'est pas
    except OSError as erreur:
        if erreur.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            raise
        return 0


class Allonge:
    """Un fichier au bout duquel on écrit ; il est ouvert, ou créé, au premier ajout."""

    def __init__(self, chemin: Path) -> None:
        self.chemin = chemin
        self._fichier: io.FileIO | None = None

    def au_bout(self, octets: bytes) -> int:
        """Écrit tout ou rien (disque plein) au bout du fichier, et rend la position d'avant."""
        with disque("Écrire", self.chemin):
            fichier = self._fichier = self._fichier or io.FileIO(self.chemin, "ab")
            position, reste = fichier.seek(0, os.SEEK_END), memoryview(octets)
            try:
                while reste:
                    reste = reste[fichier.write(reste) :]
            except OSError:
                with contextlib.suppress(OSError):
                    fichier.truncate(position)
                raise
        return position

    def synchroniser(self) -> None:
        """Ce qui fut ajouté survit à une coupure de courant."""
        if self._fichier is not None:
            os.fsync(self._fichier.fileno())

    def fermer(self) -> None:
        """Laisse le fichier en place ; idempotent."""
        if self._fichier is not None:
            self._fichier.close()
            self._fichier = None


class Verrou:
    """Une seule exécution par sortie. Le verrou est celui du noyau : un processus mort ne bloque jamais.

    Son fichier part avec lui. Qui l'a ouvert avant ce départ tiendrait un fichier qui n'a plus de nom, pendant qu'un
    autre en crée un et le tient aussi : seul vaut le verrou du fichier qui porte encore son nom une fois pris, et seul
    celui qui le tient peut l'ôter. Sous Windows, un fichier ouvert ne s'ôte pas : filelock essaie après l'avoir rendu.

    Le pid du tenant est dans un fichier à part : d'anciennes versions de filelock vident le fichier de verrou avant de
    savoir s'il est libre, et Windows interdit d'y lire.
    """

    _DEPARTS_MAX = 100  # tenants qui s'en vont juste quand on le prend : le fichier est alors rouvert

    def __init__(
        self,
        sortie: Path,
        tenue: str = "tenue",
        conseil: str = "Attendez qu'il finisse, ou choisissez une autre sortie.",
    ) -> None:
        self._sortie, self._tenue, self._conseil = sortie, tenue, conseil
        self._pid = sortie.with_name(f"{sortie.name}.verrou.pid")
        self._fichier = self._pid.with_suffix("")
        self._prise: Any = None
        self._tenu: os.stat_result | None = None

    def prendre(self, attente_s: float = 0.0) -> None:
        """Prend le verrou ; lève SortieOccupee, en nommant le processus qui le tient, s'il ne vient pas à temps."""
        filelock, limite = importer("filelock", "Tenir une sortie"), time.monotonic() + attente_s
        with disque("Verrouiller", self._sortie):
            self._sortie.parent.mkdir(parents=True, exist_ok=True)
            for _ in range(self._DEPARTS_MAX):
                temoin = self._ouvrir()
                try:
                    prise = filelock.FileLock(str(self._fichier), thread_local=False)
                    prise.acquire(timeout=max(0.0, limite - time.monotonic()))
                    # Le témoin, ouvert avant, garde son numéro pris : s'il est encore là, c'est lui qui est verrouillé.
                    self._tenu = os.fstat(temoin)
                    if self._porte_le_nom(self._tenu):
                        self._prise = prise
                        self._pid.write_text(str(os.getpid()), encoding="ascii")
                        return
                    prise.release()
                except filelock.Timeout:
                    break
                finally:
                    os.close(temoin)
        raise SortieOccupee(f"« {self._sortie} » est déjà {self._tenue} par {self._tenant()}", self._conseil)

    def _ouvrir(self) -> int:
        """Crée le fichier : filelock attend, comme s'il était pris, celui qu'il n'a pu créer (dans /proc)."""
        try:
            return os.open(self._fichier, os.O_RDWR | os.O_CREAT, 0o644)
        except FileNotFoundError:
            raise ErreurSortie(
                f"Aucun fichier ne peut être créé à côté de « {self._sortie} »", "Choisissez un autre dossier."
            ) from None

    @property
    def est_pris(self) -> bool:
        """Vrai tant qu'il est tenu ici."""
        return self._prise is not None

    def _porte_le_nom(self, ouvert: os.stat_result) -> bool:
        try:
            return os.path.samestat(ouvert, self._fichier.stat())
        except OSError:
            return False

    def _tenant(self) -> str:
        try:
            return f"le processus {int(self._pid.read_text(encoding='ascii'))}"
        except (OSError, ValueError):
            return "un autre processus"

    def rendre(self) -> None:
        """Ôte le fichier, puis rend le verrou ; idempotent. Un fichier ôté à la main peut en être un autre, tenu."""
        if self._prise is None:
            return
        if self._tenu is not None and self._porte_le_nom(self._tenu):
            for chemin in (self._pid, self._fichier):  # avant de le rendre : après, il peut être à un autre
                with contextlib.suppress(OSError):
                    chemin.unlink(missing_ok=True)
        self._prise.release()
        self._prise = None


# --- Ce qui est déjà là


@functools.cache
def _versions() -> dict[str, str]:
    """Ce qui a écrit le fichier ; n'entre jamais dans la comparaison qui décide d'une réécriture."""
    try:
        ccxt = metadonnees.version("ccxt")
    except metadonnees.PackageNotFoundError:
        ccxt = ""
    return {"outil": f"module_ccxt_fr_v2 {__version__}", "ccxt": ccxt}


@dataclass
class _Recensement:
    """Ce que disent d'elles-mêmes les lignes d'un fichier, lues comme il les tient."""

    donnee: TypeDonnee
    fiches: dict[CleSerie, Fiche]  # celles qu'on connaît d'abord, toutes ensuite
    en_ordre: bool = True  # chaque symbole l'est
    entrelace: bool = False  # les symboles ne se suivent pas
    fins: dict[str, pa.Table] = field(default_factory=dict)  # voir `prolonger`
    presents: dict[CleSerie, list[Intervalle]] = field(default_factory=dict)  # d'une série à grille
    lignes: collections.Counter[CleSerie] = field(default_factory=collections.Counter)
    _dernier: str = ""  # le symbole de la dernière ligne

    def compter(self, table: pa.Table) -> None:
        """Les repères des lignes suivantes du fichier, au moins une."""
        symboles = pa.concat_arrays([pa.array([self._dernier]), en_un_bloc(table["symbole"])])
        self.entrelace = self.entrelace or bool(pc.any(pc.less(symboles[1:], symboles[:-1])).as_py())
        self._dernier = symboles[-1].as_py()
        for cle, lignes in par_serie(table, self.donnee):
            self.en_ordre = prolonger(self.fins, lignes, self.donnee) and self.en_ordre
            self.lignes[cle] += lignes.num_rows
            instants = en_un_bloc(lignes["timestamp"].cast(pa.int64()))
            fiche = self.fiches.setdefault(cle, fiche_de_rien(cle, instants))
            if self.donnee.a_une_grille:
                self.presents.setdefault(cle, []).extend(plages(instants, grille(fiche)))


# --- Journal de reprise


class _Entree(NamedTuple):
    """Où est un lot dans le journal, et ce qu'il tient."""

    position: int
    debut: int
    fin: int


def _detacher(attente: list[tuple[int, pa.Table]], borne: Borne | None, donnee: TypeDonnee) -> pa.Table:
    """Ôte, à des lots (âge, lignes) qui attendent, les lignes d'avant la borne ; les rend triées, d'un seul bloc."""
    coupes = [(age, table, position_de(table, borne) if borne else len(table)) for age, table in attente]
    attente[:] = [(age, table[rang:]) for age, table, rang in coupes if rang < len(table)]
    tout = pa.concat_tables([table[:rang] for _, table, rang in coupes]).combine_chunks()
    if not est_triee(tout, donnee):  # des lots se recouvrent : par âge, le plus récent l'emporte
        par_age = sorted(coupes, key=lambda coupe: coupe[0])
        tout = trier(pa.concat_tables([table[:rang] for _, table, rang in par_age]), donnee)
    return tout


def note_du_lot(fiche: Fiche, lot: Lot, *, fichier: bool) -> dict[str, Any]:
    """Ce que le journal retient d'un lot, lignes à part ; `fichier` : ce n'est vrai qu'avec celles du fichier."""
    dite = fiche.du_marche()
    note = {"cle": fiche.cle, "fiche": dite, "couverts": lot.couverts, "trous": lot.trous, "fichier": fichier}
    if fichier and fiche.lignes is not None:  # d'événements, rien d'autre ne dira qu'il en manque
        note["lignes"] = fiche.lignes
    if lot.source_des_lignes and (fiche.sources or lot.source != API):
        note["source"] = lot.source
    if lot.sans_preuve:
        note["sans_preuve"] = lot.sans_preuve
    return note


class JournalDeReprise(Allonge):
    """Les lots reçus, à la suite, dans un fichier à côté de la sortie ; leur note dit ce qu'ils prouvent.

    Un lot ajouté survit à `kill -9`. Chacun a sa somme de contrôle, et Arrow ne lit que des octets dont la somme est
    juste : un lot coupé ou abîmé se saute, les suivants restent. Seul un index reste en mémoire.
    """

    def __init__(self, chemin: Path, donnee: TypeDonnee, avant_synchro: Callable[[], None] = lambda: None) -> None:
        super().__init__(chemin)
        self._avant_synchro = avant_synchro  # ce qui doit être durable avant lui
        self.entrees: dict[str, list[_Entree]] = {}  # par symbole
        self.lignes = self.octets = 0
        self.depuis = 0.0  # l'heure de sa plus ancienne ligne
        self.donnee, self._schema = donnee, donnee.schema
        self._entete = self._schema.serialize().to_pybytes()
        self._graine = zlib.crc32(repr(donnee.colonnes).encode())  # la somme d'un autre type n'est jamais juste
        self._synchro = 0.0

    def reprendre(self) -> Iterator[dict[str, Any]]:
        """Relit le journal d'une exécution interrompue et rend ses notes, dans l'ordre ; dit ce qui en est perdu."""
        self._oublier()
        for position, note, lignes in self.lots(reprise=True):
            if lignes:
                self._indexer(position, self._decoder(lignes))
            self.octets = position + TETE_DE_LOT.size + len(note) + len(lignes)
            yield json.loads(note)

    def lots(self, position: int = 0, *, reprise: bool = False) -> Iterator[tuple[int, bytes, bytes]]:
        """(position, note, lignes) de chaque lot entier ; une annexe saute ce qui est abîmé, ou l'ôte (`reprise`)."""
        if not self.chemin.exists():
            return
        with self.chemin.open("rb") as fichier:
            while (lu := self.lu(fichier, position)) is not None:
                yield position, *lu
                position = fichier.tell()
            reste = os.fstat(fichier.fileno()).st_size - position
            coupe = self.est_coupe(fichier, position)
        if not coupe:
            yield from annexe(*JOURNAL_DOUTEUX).lots_apres(self, position, reprise=reprise)
        elif reste and reprise:
            journal.warning("« %s » : dernier lot incomplet, écarté.", self.chemin)

    def lu(self, fichier: BinaryIO, position: int) -> tuple[bytes, bytes] | None:
        """(note, lignes) du lot qui est là ; None si sa somme de contrôle n'est pas juste."""
        reste = os.fstat(fichier.fileno()).st_size - position - TETE_DE_LOT.size
        if reste < 0:
            return None
        fichier.seek(position)
        marque, de_note, de_lignes, somme = TETE_DE_LOT.unpack(fichier.read(TETE_DE_LOT.size))
        if marque != MARQUE_DE_LOT or de_note + de_lignes > reste:
            return None
        note, lignes = fichier.read(de_note), fichier.read(de_lignes)
        return (note, lignes) if somme == self._somme(note, lignes) else None

    def _somme(self, note: bytes, lignes: bytes) -> int:
        return zlib.crc32(lignes, zlib.crc32(note, zlib.crc32(len(note).to_bytes(4), self._graine)))

    @staticmethod
    def est_coupe(fichier: BinaryIO, position: int) -> bool:
        """Vrai de la fin du fichier, fût-ce d'un dernier lot que le processus, tué, n'a pas fini d'écrire."""
        fichier.seek(position)
        tete, taille = fichier.read(TETE_DE_LOT.size), os.fstat(fichier.fileno()).st_size
        if len(tete) < TETE_DE_LOT.size:
            return MARQUE_DE_LOT.startswith(tete[: len(MARQUE_DE_LOT)])
        marque, de_note, de_lignes, _ = TETE_DE_LOT.unpack(tete)
        deborde = position + TETE_DE_LOT.size + de_note + de_lignes > taille
        # Si un autre lot le suit, c'est sa longueur qui est abîmée.
        return marque == MARQUE_DE_LOT and deborde and MARQUE_DE_LOT not in fichier.read()

    def ajouter(self, lignes: pa.Table, note: dict[str, Any]) -> None:
        """Ajoute un lot (lignes triées, peut-être aucune) ; au retour, il survit à `kill -9`."""
        lots = lignes.combine_chunks().to_batches() if lignes.num_rows else []  # un seul, ou aucun
        octets = self.emballer(note, b"".join(map(self._coder, lots)))
        position = self.au_bout(octets)
        self.octets = position + len(octets)
        if time.monotonic() - self._synchro >= SYNCHRO_S:
            self.synchroniser()
        for lot in lots:
            self._indexer(position, lot)

    def emballer(self, note: Mapping[str, Any], lignes: bytes) -> bytes:
        """Les octets d'un lot : sa tête, sa note, ses lignes."""
        dite = json.dumps(note).encode()
        return TETE_DE_LOT.pack(MARQUE_DE_LOT, len(dite), len(lignes), self._somme(dite, lignes)) + dite + lignes

    def _coder(self, lot: pa.RecordBatch) -> bytes:
        """Un lot en message Arrow IPC, sans le schéma : il pèserait plus qu'une ligne."""
        tampon = pa.BufferOutputStream()
        # Répartir les colonnes d'un lot entre des fils coûte cinq fois plus que les coder ; comprimé, un petit enfle.
        compression = "lz4" if lot.num_rows > PETIT_LOT else None
        options = pa.ipc.IpcWriteOptions(compression=compression, use_threads=False)
        with pa.ipc.new_stream(tampon, self._schema, options=options) as flux:
            flux.write_batch(lot)
        octets: bytes = tampon.getvalue().to_pybytes()
        return octets.removeprefix(self._entete).removesuffix(b"\xff\xff\xff\xff\0\0\0\0")

    def _decoder(self, lignes: bytes) -> pa.RecordBatch:
        return pa.ipc.read_record_batch(pa.ipc.read_message(lignes), self._schema)

    def synchroniser(self) -> None:
        """Rend durables, même à une coupure de courant, les lots ajoutés."""
        with disque("Écrire", self.chemin):
            self._avant_synchro()
            super().synchroniser()
        self._synchro = time.monotonic()

    def _indexer(self, position: int, lot: pa.RecordBatch) -> None:
        (symbole, debut), (_, fin) = borne_de(lot, 0), borne_de(lot, -1)
        self.entrees.setdefault(symbole, []).append(_Entree(position, debut, fin + 1))
        self.depuis = self.depuis if self.lignes else time.monotonic()
        self.lignes += lot.num_rows

    def _charger(self, fichier: BinaryIO, position: int) -> pa.Table:
        with disque("Lire", self.chemin):
            lu = self.lu(fichier, position)
        if lu is None:
            raise ErreurSortie(
                f"« {self.chemin} » vient de s'abîmer : un lot ne s'y relit plus",
                "Vérifiez le disque, puis relancez : ce lot sera écarté, et redemandé.",
            )
        return pa.Table.from_batches([self._decoder(lu[1])])

    def flot(
        self, symbole: str | None = None, debut: int = INSTANT_MIN_MS, fin: int = INSTANT_MAX_MS
    ) -> Iterator[pa.Table]:
        """Les lignes des lots qui touchent [debut, fin[, triées et sans doublon : le lot le plus récent l'emporte.

        Les lots, pris dans l'ordre de leurs débuts, s'attendent jusqu'à peser assez pour être fondus d'un coup.
        """
        choisies = [
            (nom, entree)
            for nom in (sorted(self.entrees) if symbole is None else [symbole])
            for entree in sorted(self.entrees.get(nom, ()), key=lambda entree: entree.debut)
            if entree.debut < fin and entree.fin > debut
        ]
        if not choisies:
            return
        attente: list[tuple[int, pa.Table]] = []  # (position : l'âge du lot, lignes pas encore rendues)
        lots = lignes = octets = 0
        with self.chemin.open("rb") as fichier:
            for nom, entree in choisies:
                if lots >= LOTS_A_REUNIR or lignes >= LIGNES_PAR_LOT or octets >= OCTETS_PAR_LOT:
                    yield _detacher(attente, (nom, entree.debut), self.donnee)
                    lots = lignes = octets = 0
                table = self._charger(fichier, entree.position)
                attente.append((entree.position, table))
                lots, lignes, octets = lots + 1, lignes + len(table), octets + table.nbytes
        yield _detacher(attente, None, self.donnee)

    def vider(self) -> None:
        """Oublie les lots, que la sortie tient maintenant ; le fichier reste, il dit qu'un flux est en cours."""
        if self._fichier is not None:
            with disque("Écrire", self.chemin):
                self._fichier.truncate(0)
        self._oublier()

    def supprimer(self) -> None:
        """Oublie les lots, une fois fondus dans la sortie."""
        self.fermer()
        with disque("Effacer", self.chemin):
            self.chemin.unlink(missing_ok=True)
        self._oublier()

    def _oublier(self) -> None:
        self.entrees, self.lignes, self.octets = {}, 0, 0


# --- Octets douteux
#
# Un fichier Arrow ou Parquet abîmé peut tuer la bibliothèque qui le lit, et le processus avec elle. Les nôtres portent
# donc un sceau, les sommes de contrôle de leurs octets, juste avant leur pied : les autres lecteurs, qui trouvent le
# pied par la fin du fichier, ne le voient pas. Un fichier sans sceau (d'avant, ou récrit par un autre outil) est lu une
# fois, en entier, dans un processus à part : l'annexe `octets_douteux`.

TAILLE_DE_BLOC = 1 << 16  # ce qu'un octet abîmé fait perdre, au plus, d'un lot de lignes
MARQUE_DU_SCEAU = b"\xf7sceau\r\n"
BOUT_DU_SCEAU = struct.Struct("<QII8s")  # octets scellés, somme des sommes, somme du pied, marque


def _debut_du_pied(fichier: BinaryIO, signature: bytes) -> int:
    """Où commence le pied d'un fichier Parquet ou Arrow, d'après sa fin ; ValueError s'il n'en a pas."""
    fin = fichier.seek(0, os.SEEK_END) - len(signature) - 4
    if fin < len(signature):
        raise ValueError("il est trop court")
    fichier.seek(fin)
    longueur, marque = int.from_bytes(fichier.read(4), "little"), fichier.read()
    if marque != signature or longueur > fin - len(signature):
        raise ValueError("sa fin manque")
    return fin - longueur


def _sommes_des_blocs(fichier: BinaryIO, fin: int) -> bytes:
    """La somme de contrôle de chaque bloc d'avant `fin`, et de quoi garder au pied son alignement."""
    fichier.seek(0)
    tailles = itertools.chain(itertools.repeat(TAILLE_DE_BLOC, fin // TAILLE_DE_BLOC), [fin % TAILLE_DE_BLOC])
    sommes = b"".join(zlib.crc32(fichier.read(taille)).to_bytes(4, "little") for taille in tailles)
    return sommes + bytes(-len(sommes) % 8)


def sceller(fichier: BinaryIO, signature: bytes) -> None:
    """Met le sceau d'un fichier qui vient d'être écrit, entre ses lignes et son pied."""
    fin = _debut_du_pied(fichier, signature)
    sommes = _sommes_des_blocs(fichier, fin)
    pied = (fichier.seek(fin), fichier.read())[1]
    bout = BOUT_DU_SCEAU.pack(fin, zlib.crc32(sommes), zlib.crc32(pied), MARQUE_DU_SCEAU)
    fichier.seek(fin)
    fichier.write(sommes + bout + pied)


def sceau_de(fichier: BinaryIO, signature: bytes) -> tuple[int, bytes] | None:
    """(octets scellés, sommes de leurs blocs) ; None d'un fichier sans sceau ; ValueError si le pied est abîmé."""
    debut_du_pied = _debut_du_pied(fichier, signature)
    debut_du_bout = debut_du_pied - BOUT_DU_SCEAU.size
    if debut_du_bout < 0:
        return None
    fichier.seek(debut_du_bout)
    scelles, des_sommes, du_pied, marque = BOUT_DU_SCEAU.unpack(fichier.read(BOUT_DU_SCEAU.size))
    if marque != MARQUE_DU_SCEAU or scelles > debut_du_bout:
        return None
    pied = fichier.read()
    fichier.seek(scelles)
    sommes = fichier.read(debut_du_bout - scelles)
    if (zlib.crc32(sommes), zlib.crc32(pied)) != (des_sommes, du_pied):
        raise ValueError("son pied est abîmé")
    return scelles, sommes


@functools.lru_cache(1024)
def _verifier_les_blocs(chemin: Path, signature: bytes, _etat: tuple[int, ...]) -> None:
    """ValueError si un octet du fichier scellé a changé ; dans le même état (inode, taille, date), vu une fois."""
    with chemin.open("rb") as fichier:
        scelles, sommes = sceau_de(fichier, signature) or (0, b"")
        if _sommes_des_blocs(fichier, scelles) != sommes:
            raise ValueError("sa somme de contrôle est fausse : un octet y a changé")


# --- Le contrat. Une `Sortie` range des lots ; ce qu'un fichier a de propre à son format est dans un codec, sans état.
# Ajouter un format de fichier : un Codec (ses trois fonctions abstraites), et une ligne dans ECRIVAINS, plus bas.
# Rien ailleurs : les options, la déduction du format et la suite de conformité en partent.


Format: TypeAlias = "Codec | FormatSqlite"  # ce que tient le registre ; l'appeler ouvre une sortie


class Sortie(ABC):
    """Range des lots de lignes dans une sortie, sans jamais en perdre ni en abîmer.

    L'ordre d'emploi : `controler` (ne touche à rien), `ouvrir` (ou `with`), `lire` et `ecrire` autant qu'il faut,
    `finir`, `fermer`. Ce qui est promis :

    - au retour d'`ecrire`, le lot survit à `kill -9` ; à la prochaine ouverture il est là, et `fiches` le sait ;
    - une ligne de même clé est remplacée entière ; jamais de doublon ni de désordre, dans quelque ordre que les lots
      arrivent ;
    - si rien n'a changé (lignes identiques, rien appris), la sortie n'est pas touchée ;
    - une erreur laisse l'ancien contenu intact, et ce qui est reçu pour la prochaine fois.

    Un écrivain sert un fil à la fois, mais pas toujours le même. Avec `flux`, la sortie existe et se lit dès le premier
    lot, et la suite d'`ecrire` peut durer des jours : ce que coûte un lot ne dépend pas de ceux d'avant.
    """

    def __init__(  # noqa: PLR0913  ce sont les réglages d'une sortie
        self,
        decrit: Format,
        chemin: Path,
        *,
        type_donnee: TypeDonnee = OHLCV,
        table: str | None = None,
        compression: str | None = None,
        flux: bool = False,
        origine: str | None = None,
    ) -> None:
        if compression is not None and compression not in decrit.compressions:
            choix = f"Choisissez parmi {', '.join(decrit.compressions)}. {proches(compression, decrit.compressions)}"
            raise ErreurDemande(f"Compression « {compression} » inconnue en {decrit.format}", choix.rstrip())
        self.decrit, self.format = decrit, decrit.format
        self.chemin = _sans_lien(chemin)
        self.type_donnee = type_donnee
        self.table = type_donnee.nom if table is None else table
        self.compression = compression or decrit.compressions[0]
        self.flux = flux
        self.origine = origine  # de ce qui va être écrit ; None : celle de la sortie, quelle qu'elle soit
        self.fiches: dict[CleSerie, Fiche] = {}
        self._fins_connues: dict[CleSerie, int] = {}  # où finissait, à l'ouverture, ce qui est couvert
        self.a_change = False  # depuis la dernière fin
        self._demandees: Sequence[CleSerie] = ()
        self._marches: Mapping[CleSerie, str] = {}
        self._verrou = Verrou(self.chemin)

    # Ce qu'on en sait sans y écrire.

    @property
    def octets(self) -> int:
        """Taille de la sortie ; 0 si elle n'existe pas."""
        return octets_de(self.chemin)

    def existe(self) -> bool:
        """Vrai d'une sortie qui a des octets : vide, elle est comme absente."""
        return self.octets > 0

    @abstractmethod
    def reconnaitre(self) -> bool:
        """Vrai si la sortie, qui existe, a nos lignes ; PasLeNotre ou SortieIllisible si c'est autre chose."""

    def est_le_sien(self) -> bool:
        """Vrai si la sortie tient des lignes de notre type ; copié seul, exactement telles qu'écrites ici."""
        try:
            return self.existe() and self.reconnaitre()
        except (PasLeNotre, SortieIllisible, DependanceAbsente):
            return False

    @abstractmethod
    def lire_tout(self) -> Iterator[pa.Table]:
        """Les lignes de la sortie, triées par clé, sans l'ouvrir en écriture."""

    @abstractmethod
    def lire_fiches(self) -> list[Fiche]:
        """Les fiches de la sortie ; sans fiche écrite, ce que ses lignes disent."""

    @abstractmethod
    def _fiches_presentes(self) -> dict[CleSerie, Fiche]:
        """Les fiches de la sortie et d'une exécution interrompue ; PasLeNotre si ce qui est là n'est pas à nous."""

    @abstractmethod
    def _origines(self) -> set[str]:
        """Les origines de tout ce que tient la sortie, sans en lire les lignes."""

    @abstractmethod
    def voisins(self) -> tuple[Path, ...]:
        """Les fichiers qui font partie de la sortie, à côté d'elle."""

    # Avant d'écrire : la demande est-elle possible ?

    def controler(self, cles: Sequence[CleSerie], marches: Mapping[CleSerie, str] = MappingProxyType({})) -> None:
        """Lève ErreurDemande si un fichier lisible est déjà là et n'est pas pour ces séries ; n'écrit rien.

        `marches` : l'identifiant, chez l'exchange, du marché de chacune.
        """
        # Ce qui naîtra à côté a un nom plus long : mieux vaut le savoir avant de télécharger.
        a_venir = (voisin.with_name(f"{voisin.name}.{os.getpid()}.tmp") for voisin in self.voisins())
        for chemin in (self.chemin, *a_venir):
            if objection := _objection(chemin):
                raise ErreurDemande(objection, "Donnez un autre nom de fichier.")
        self._demandees, self._marches = cles, marches
        presentes = self._fiches_presentes()
        self._controler_series(presentes, cles)
        if self.origine_a_ecarter() is None:
            self._refuser_autre_marche(presentes)

    def _controler_series(self, presentes: Collection[CleSerie], cles: Sequence[CleSerie]) -> None:
        """Lève ErreurDemande si la sortie, qui tient déjà ces séries, ne peut tenir celles-là aussi."""

    def origine_a_ecarter(self) -> str | None:
        """L'origine de la sortie, si elle doit être mise de côté : ce qui est inventé ne se mêle pas au réel.

        Lève ErreurDemande si elle est réelle et que l'exécution ne l'est pas.
        """
        presentes = self._origines() if self.origine is not None else set[str]()
        if not presentes - {self.origine}:
            return None
        origine: str = annexe(*ORIGINES_MELEES).a_ecarter(self, presentes)
        return origine

    def _refuser_autre_marche(self, presentes: Mapping[CleSerie, Fiche]) -> None:
        """Un symbole qui désigne un autre marché qu'hier (LUNA) n'est plus la même série."""
        for cle, marche in self._marches.items():
            connu = presentes[cle].marche_id if cle in presentes else ""
            if connu and marche and connu != marche:
                raise ErreurDemande(
                    f"« {self.chemin} » tient {cle}, marché « {connu} » chez l'exchange ; ce symbole y désigne "
                    f"à présent le marché « {marche} »",
                    "Ce n'est pas la même série : choisissez une autre sortie, ou déplacez ce fichier.",
                )

    # Ce que chaque sorte de sortie sait faire, sous verrou.

    @abstractmethod
    def _reprendre(self) -> None:
        """Sous verrou : écarte ce qui est illisible, reprend ce qui fut interrompu, remplit `fiches`."""

    @abstractmethod
    def _lire(self, cle: CleSerie, debut: int, fin: int) -> pa.Table:
        """Les lignes déjà reçues de [debut, fin[ ; ne coûte guère plus que ces lignes."""

    @abstractmethod
    def _ranger(self, lot: Lot, apres: Fiche, *, entier: bool) -> None:
        """Rend durables les lignes du lot et ce qu'il apprend (`apres` : la fiche de la série, lot compris).

        `entier` : le lot ne tait aucune ligne reçue avec lui, parce que la sortie l'avait déjà.
        """

    def _entretenir(self) -> None:
        """Pendant un flux, après chaque lot : tient la sortie lisible et le journal petit, à coût amorti."""

    def _fonte_s(self) -> float:
        """Ce que `finir` coûterait, en secondes : à peu près."""
        return 0.0

    @abstractmethod
    def _finir(self) -> None:
        """Met la sortie dans sa forme finale."""

    @abstractmethod
    def ecarter(self, refus: SortieIllisible | None = None) -> None:
        """Met de côté une sortie illisible, et ne sait plus que ce qui a été reçu à part."""

    # L'emploi.

    def ouvrir(self) -> Self:
        """Crée le dossier, prend le verrou (ou lève SortieOccupee), reprend une exécution interrompue."""
        # Avant d'avoir rien créé : il peut en manquer un. Avant le flux : un import y tiendrait le GIL un dixième de
        # seconde, et la réception attendrait.
        for module in self.decrit.modules if self.flux else ():
            module.charger()
        with disque("Créer le dossier", self.chemin.parent):
            self.chemin.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._verrou.prendre()  # un disque plein peut le prendre sans pouvoir y inscrire le pid
            if (origine := self.origine_a_ecarter()) is not None:
                annexe(*ORIGINES_MELEES).ecarter(self, origine)
            if menage := annexe_ou_rien("menage"):
                menage.oter_les_restes(self)
            self._reprendre()
            self._controler_series(self.fiches, self._demandees)  # un autre a pu l'écrire depuis
            self._refuser_autre_marche(self.fiches)
            for fiche in self.fiches.values():
                if dementir(fiche):
                    self._redire(fiche.cle)
            self._fins_connues = {cle: f.couverts[-1][1] for cle, f in self.fiches.items() if f.couverts}
        except BaseException:
            self.fermer()
            raise
        return self

    def _redire(self, cle: CleSerie) -> None:
        """La fiche de cette série n'est plus ce que la sortie en dit."""

    @contextlib.contextmanager
    def tenue(self) -> Iterator[Self]:
        """Le verrou, sans rien reprendre ni mettre de côté."""
        try:
            self._verrou.prendre()
            yield self
        finally:
            self.fermer()

    @contextlib.contextmanager
    def _garde(self) -> Iterator[None]:
        """Une sortie abîmée là où l'ouverture n'a pas regardé est mise de côté : relancer suffit."""
        try:
            yield
        except SortieIllisible as erreur:
            if not self._verrou.est_pris:  # qui ne fait que lire n'y touche pas
                raise
            self.ecarter(erreur)
            raise ErreurSortie(str(erreur), "Relancez : ce qui est reçu est gardé, le reste sera relu.") from erreur

    def lire(self, cle: CleSerie, debut: int, fin: int) -> pa.Table:
        """Les lignes déjà reçues de [debut, fin[, dans l'ordre ; ne coûte guère plus que ces lignes."""
        with self._garde():
            return self._lire(cle, debut, fin)

    def ecrire(self, lot: Lot, fiche: Fiche) -> tuple[int, int]:
        """Range ce qu'un lot apporte ; rend le nombre de ses lignes nouvelles, et celui des révisées.

        `fiche` donne ce que le lot ne dit pas : marché, unité du volume, ancre, horodatage…
        """
        if not (se_succedent(lot.lignes["timestamp"]) or est_triee(lot.lignes, self.type_donnee)):
            lot = lot._replace(lignes=trier(lot.lignes, self.type_donnee))
        apport, revisees = comparer(self._deja_la(lot), lot.lignes, self.type_donnee)
        entier = apport.num_rows == lot.lignes.num_rows
        lot = lot._replace(lignes=apport)
        connue = self.fiches.get(lot.cle)
        avant = (connue or Fiche(lot.cle, lignes=self._aucune_ligne())).copie()
        champs = {nom: getattr(avant, nom) for nom in ("cle", *SUITES_DE_FICHE, "lignes")}
        apres = dataclasses.replace(fiche, **champs)
        lot = lot._replace(sans_preuve=sans_preuve(apres, lot))
        apres.noter(lot.couverts, lot.trous, lot.source_des_lignes, lot.sans_preuve)
        if not apport.num_rows and connue is not None and apres == connue.completee(apres):
            self.fiches[lot.cle] = apres
            return 0, 0
        with self._garde():
            self._ranger(lot, apres, entier=entier)
            self.fiches[lot.cle] = apres
            if self.flux:
                self._entretenir()
        return apport.num_rows - revisees, revisees

    def _aucune_ligne(self) -> int | None:
        """Le compte d'une série neuve ; None si la sortie ne le tient pas : une grille le rend inutile."""
        return None if self.type_donnee.a_une_grille else 0

    def _deja_la(self, lot: Lot) -> pa.Table:
        """Les lignes écrites dans l'étendue du lot ; la sortie n'est lue que là où il peut y en avoir.

        C'est rare dans un long téléchargement, et plus encore dans un flux.
        """
        if not lot.lignes.num_rows:
            return lot.lignes
        debut, fin = borne_de(lot.lignes, 0)[1], borne_de(lot.lignes, -1)[1] + 1
        fin_connue, dite = self._fins_connues.get(lot.cle, -1), self.fiches.get(lot.cle)
        ici = dite.provisoires[voisins(dite.provisoires, debut, fin)] if dite else []
        provisoire = bool(croiser([(debut, fin)], intervalles_de(ici)))
        # D'une fiche d'avant, elle peut suivre ce qui est prouvé sans être dite.
        if debut == fin_connue or (debut > fin_connue and provisoire):  # illisible, le lot sera gardé quand même
            with contextlib.suppress(SortieIllisible):
                return self._lire(lot.cle, debut, fin)
        if self.flux and self.type_donnee.a_une_grille and lot.cle in self.fiches:  # ses bougies peuvent être redites
            fin_connue = max([fin_connue, *(fin for _, fin in self.fiches[lot.cle].couverts[-1:])])
        return self.lire(lot.cle, debut, fin) if debut < fin_connue else lot.lignes[:0]

    def finir(self, *, presse: bool = False) -> bool:
        """Met la sortie dans sa forme finale ; rend vrai si elle a changé.

        `presse` (un signal attend) : une fonte de plus de quelques secondes est laissée à la prochaine ouverture.
        """
        if presse and self._fonte_s() > FONTE_PRESSEE_S:
            journal.warning("« %s » est gros : ce qui vient d'être reçu y sera fondu à la relance.", self.chemin)
            return False
        with self._garde():
            self._finir()
        change, self.a_change = self.a_change, False
        return change

    def fermer(self) -> None:
        """Rend le verrou ; idempotent. Sans `finir`, ce qui est reçu attend la prochaine ouverture."""
        self._verrou.rendre()

    def __enter__(self) -> Self:
        return self.ouvrir()

    def __exit__(self, *_: object) -> None:
        self.fermer()


# --- Reconnaître : ce fichier est-il le nôtre ?


def exiger_signature(decrit: Format, chemin: Path, donnee: TypeDonnee) -> None:
    """Un fichier non vide doit porter la signature de son format ; PasLeNotre s'il est d'une autre nature, lisible."""
    with disque("Lire", chemin), chemin.open("rb") as fichier:
        porte = fichier.read(len(decrit.signature)) == decrit.signature
    if not porte:
        annexe(*FICHIERS_ETRANGERS).refuser(decrit, chemin, donnee)


def est_du_texte(octets: bytes) -> bool:
    """Vrai d'un début de fichier que l'on peut lire."""
    try:
        texte = codecs.getincrementaldecoder("utf-8")().decode(octets)
    except UnicodeDecodeError:
        return False
    return all(c.isprintable() or c in "\t\r\n" for c in texte)


def _enumerer(cles: Iterable[CleSerie]) -> str:
    noms = sorted(map(str, cles))
    dites = ", ".join(noms[:NOMS_DITS])
    return dites if len(noms) <= NOMS_DITS else f"{dites}… ({len(noms)} séries)"


# --- Une sortie qui est un fichier


Entete: TypeAlias = Callable[[], str]


class Codec(ABC):
    """Ce qu'un fichier a de propre à son format : des octets aux lignes, et retour. Sans état.

    Trois fonctions suffisent : `reconnaitre`, `lots`, `composer`. Les autres disent ce qu'un format sait de plus, et
    rien d'office : porter sa fiche, s'allonger sans être récrit.
    """

    format: ClassVar[str]
    extensions: ClassVar[tuple[str, ...]]
    compressions: ClassVar[tuple[str, ...]]  # la première est celle par défaut
    signature: ClassVar[bytes] = b""  # premiers octets d'un fichier de ce format
    modules: ClassVar[tuple[Any, ...]] = (pc, pa_acero)  # ceux qu'un flux charge avant de recevoir
    octets_par_ligne: ClassVar[int] = 45  # large : pour savoir avant d'écrire si la place suffira
    lenteurs: ClassVar[Mapping[str, float]] = {}  # compression -> combien de fois plus lente que `OCTETS_PAR_S`
    fiche_a_part: ClassVar[bool] = True  # dans F.fiche.json ; faux d'un format qui la porte (`entete`)
    marque: ClassVar[str] = ""  # dans la fiche à part, d'un fichier écrit comme aujourd'hui : son début se recopie

    def __call__(self, chemin: Path, **reglages: Any) -> SortieFichier:
        """La sortie de ce format ; mêmes réglages que `Sortie`."""
        return SortieFichier(self, chemin, **reglages)

    @abstractmethod
    def reconnaitre(self, chemin: Path, donnee: TypeDonnee) -> None:
        """Lève PasLeNotre si le fichier, lisible, tient autre chose que ce type ; SortieIllisible s'il est abîmé."""

    @abstractmethod
    def lots(
        self, chemin: Path, donnee: TypeDonnee, depuis: Borne | None = None, colonnes: Sequence[str] | None = None
    ) -> Iterator[pa.Table]:
        """Les lignes du fichier, telles qu'elles y sont, à nos types ; à partir de `depuis` ou d'un peu avant.

        `colonnes` : celles qui suffisent.
        """

    @abstractmethod
    def composer(
        self, fichier: BinaryIO, lots: Iterable[pa.Table], donnee: TypeDonnee, compression: str, entete: Entete
    ) -> int | None:
        """Écrit un fichier entier ; rend le nombre de lignes qu'il y relit, None s'il ne relit pas.

        `entete` rend la fiche, à porter si elle n'est pas à part : sans frais une fois tous les lots lus.
        """

    def entete(self, chemin: Path) -> dict[str, Any] | None:
        """La fiche que porte le fichier ; None s'il n'en a pas."""

    def est_scelle(self, chemin: Path, *, tout: bool) -> bool:  # noqa: ARG002
        """Vrai d'un fichier écrit ici, non récrit depuis ; `tout` : SortieIllisible si un de ses octets est abîmé."""
        return False

    def nombre(self, chemin: Path) -> int:  # noqa: ARG002
        """Le nombre de lignes d'un fichier scellé, sans les lire."""
        return 0

    def compression_de(self, chemin: Path) -> str | None:
        """La compression que le nom ou les octets du fichier imposent ; None s'ils laissent le choix."""

    def schema(self, chemin: Path) -> pa.Schema | None:
        """Le schéma que porte le fichier, métadonnées comprises ; None d'un texte."""

    def texte(self, chemin: Path) -> CodecCsv | None:
        """Le codec, s'il sait ajouter des lignes au bout du fichier tel qu'il est ; None s'il faut le récrire."""


class Feuille:
    """Ce qu'un fichier dit de lui : les fiches de ses séries et sa forme, dans ses métadonnées, ou à côté de lui.

    À part, elle a une somme de contrôle, et l'empreinte du fichier : un autre y a-t-il touché depuis ?
    """

    _CHAMPS: ClassVar = {"type", "series", "octets", "modifie_ns", "entrelace", "outil", "ccxt"}

    def __init__(self, codec: Codec, fichier: Path) -> None:
        self._codec, self._fichier = codec, fichier
        self.a_part = codec.fiche_a_part
        self.chemin = fichier.with_name(f"{fichier.name}.fiche.json")
        self.ecrite_a = -math.inf

    def lire(self) -> dict[str, Any] | None:
        """Telle qu'écrite ; None s'il n'y en a pas, ou qu'elle est abîmée."""
        if not self.a_part:
            with en_lisant(self._fichier):
                return self._codec.entete(self._fichier)
        try:
            lue = json.loads(self.chemin.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        if not isinstance(lue, dict):
            return None
        somme = lue.pop("somme", None)
        if somme is None:  # d'une version d'avant : elle ne peut dire que ce qu'on y disait
            return lue if lue.keys() <= self._CHAMPS | {self._codec.marque} else None
        return lue if somme == self._somme(lue) else None

    @staticmethod
    def _somme(entete: Mapping[str, Any]) -> str:
        """Celle de ce qui est dit, quelle qu'en soit la mise en page."""
        return f"{zlib.crc32(json.dumps(entete, sort_keys=True).encode()):08x}"

    def fiches(self, entete: Mapping[str, Any] | None) -> list[Fiche] | None:
        """Les fiches qu'elle dit ; None si elle n'est pas là, ou ne se comprend pas."""
        try:
            return [Fiche.depuis_dict(donnees) for donnees in entete["series"]] if entete is not None else None
        except (KeyError, TypeError, ValueError):
            journal.warning("« %s » : fiche illisible, refaite d'après les lignes.", self._fichier)
            return None

    def est_abimee(self) -> bool:
        """Vrai si, à part, elle n'est pas telle qu'elle fut écrite : rien de ce qu'elle dit n'est cru."""
        return self.a_part and self.chemin.exists() and self.fiches(self.lire()) is None

    def empreinte(self) -> dict[str, int]:
        """De quoi voir, sans le relire, que le fichier a été touché."""
        etat = self._fichier.stat() if self._fichier.exists() else None
        return {"octets": etat.st_size if etat else 0, "modifie_ns": etat.st_mtime_ns if etat else 0}

    def decrit(self, entete: Mapping[str, Any]) -> bool:
        """Vrai si le fichier est tel que cette feuille, à part, l'a laissé."""
        return all(entete.get(champ) == valeur for champ, valeur in self.empreinte().items())

    def dit_moins(self, forme: Mapping[str, Any], fiches: Mapping[CleSerie, Fiche]) -> bool:
        """Vrai si elle est à récrire ; compléter une fiche d'avant n'y suffit pas."""
        dite = self.lire() or {}
        connues = {fiche.cle: fiche for fiche in self.fiches(dite) or ()}
        if fiches.keys() != connues.keys() or forme != {
            nom: valeur for nom, valeur in dite.items() if nom not in ("series", "scelle", *_versions())
        }:
            return True
        return any(fiche != connues[cle].completee(fiche) for cle, fiche in fiches.items())

    def texte(self, forme: Mapping[str, Any], fiches: Mapping[CleSerie, Fiche]) -> str:
        """Celle que porte le fichier ; « scelle » : sans son sceau, un autre l'a récrit."""
        return json.dumps({**self._entete(forme, fiches), "scelle": True}, ensure_ascii=False)

    def ecrire(self, forme: Mapping[str, Any], fiches: Mapping[CleSerie, Fiche]) -> None:
        """Récrit celle qui est à part."""
        entete = self._entete(forme, fiches)
        texte = json.dumps({"somme": self._somme(entete), **entete}, ensure_ascii=False, indent=1) + "\n"
        ecrire_atomique(self.chemin, lambda fichier: fichier.write(texte.encode()))
        self.ecrite_a = time.monotonic()

    @staticmethod
    def _entete(forme: Mapping[str, Any], fiches: Mapping[CleSerie, Fiche]) -> dict[str, Any]:
        return {**_versions(), **forme, "series": [fiches[cle].en_dict() for cle in sorted(fiches)]}


class Tableau:
    """Les lignes d'un fichier, quel que soit son codec : lues dans l'ordre, écrites d'un coup, et comptées."""

    def __init__(self, codec: Codec, chemin: Path, donnee: TypeDonnee, feuille: Feuille) -> None:
        self._codec, self._chemin, self._donnee, self._feuille = codec, chemin, donnee, feuille
        self.a_jour = False  # écrit comme aujourd'hui (`Codec.marque`) : un fichier d'avant sera récrit en entier
        self.ecrites: collections.Counter[str] = collections.Counter()  # les lignes du fichier qu'on compose
        # L'annexe `queues` : symbole -> (instant, ses lignes à partir de lui), tant que le fichier est dans cet état.
        self.queues: tuple[Mapping[str, tuple[int, list[pa.Table]]], Mapping[str, int]] = ({}, {})

    def tables(self, depuis: Borne | None = None, colonnes: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """Les lignes telles qu'elles sont dans le fichier ; à partir de `depuis` ou d'un peu avant."""
        with en_lisant(self._chemin):
            yield from self._codec.lots(self._chemin, self._donnee, depuis, colonnes)

    def lots(self, depuis: Borne | None = None, colonnes: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """Les lignes triées, groupes entiers, s'il y a un fichier ; à partir de `depuis` ou d'un peu avant."""
        if not octets_de(self._chemin):
            return iter(())
        if self.entrelace:
            return self._demeler(depuis[0] if depuis else "")
        return sans_couper(self.tables(depuis, colonnes))

    @functools.cached_property
    def entrelace(self) -> bool:
        """Vrai d'un fichier de flux trié par symbole seul : sa feuille le dit si elle le décrit, sinon ses lignes."""
        if not (self._codec.texte(self._chemin) and octets_de(self._chemin)):
            return False
        entete = self._feuille.lire()
        if entete is not None and self._feuille.decrit(entete):
            return bool(entete.get("entrelace"))
        recensement = self.recenser({})
        return recensement.entrelace and recensement.en_ordre

    def _demeler(self, depuis: str) -> Iterator[pa.Table]:
        """Les lignes d'un fichier entrelacé, symbole après symbole ; plusieurs passes s'il ne tient pas en mémoire."""
        comptes: collections.Counter[str] = collections.Counter()
        for table in self.tables(colonnes=["symbole"]):
            compter_symboles(table, comptes)
        voulus = {symbole: nombre for symbole, nombre in comptes.items() if symbole >= depuis}
        place = RELECTURE_MAX * comptes.total() // max(octets_de(self._chemin), 1)  # en lignes
        reperage = annexe_ou_rien("reperage")
        for paquet in reperage.paquets(voulus, place) if reperage else ([symbole] for symbole in sorted(voulus)):
            noms = pa.array(paquet, pa.string())
            tables = (table.filter(pc.is_in(table["symbole"], noms)) for table in self.tables())
            if len(paquet) == 1:
                yield from sans_couper(tables)
            else:
                yield trier(pa.concat_tables(tables), self._donnee)

    def recenser(
        self, fiches: Mapping[CleSerie, Fiche], lues: Iterable[pa.Table] | None = None, *, dire: bool = True
    ) -> _Recensement:
        """Relit les clés, celles du fichier d'office, et remet d'accord avec elles les fiches qu'on connaît."""
        recensement = _Recensement(self._donnee, dict(fiches))
        lues = self.tables(colonnes=self._donnee.reperes) if lues is None else lues
        for table in regrouper(lues, LIGNES_PAR_LOT):
            if any(table[nom].null_count for nom in self._donnee.obligatoires):
                raise SortieIllisible(f"« {self._chemin} » est illisible : des lignes n'ont pas de clé")
            recensement.compter(table)
        for cle, fiche in recensement.fiches.items():
            if cle not in fiches:
                fiche.couverts = unir(recensement.presents.get(cle, []))
            elif self._donnee.a_une_grille:  # des événements ne prouvent rien
                confronter(fiche, recensement.presents.get(cle, []), dire=dire)
        return recensement

    def a_partir_de(self, borne: Borne) -> Iterable[pa.Table]:
        """Les lignes triées, à partir de la borne ou d'un peu avant ; de son symbole au moins."""
        gardees, etat = self.queues
        depuis, queue = gardees.get(borne[0], (INSTANT_MAX_MS, []))
        return queue if depuis <= borne[1] and self._feuille.empreinte() == etat else self.lots(borne)

    @functools.cached_property
    def lignes(self) -> int:
        """Le nombre de lignes du fichier."""
        return sum(table.num_rows for table in self.tables(colonnes=["timestamp"]))

    # Écrire.

    def forme(self) -> dict[str, Any]:
        """Ce que la feuille dit du fichier, fiches et versions à part."""
        forme: dict[str, Any] = {"type": self._donnee.nom}
        if self._feuille.a_part:
            forme |= {"entrelace": True} if self.entrelace else {}
            forme |= {self._codec.marque: True} if self.a_jour and self._codec.marque else {}
            forme |= self._feuille.empreinte()
        return forme

    def composer(
        self,
        fichier: BinaryIO,
        lots: Callable[[Sequence[str] | None], Iterable[pa.Table]],
        compression: str,
        entete: Entete,
    ) -> None:
        """Écrit un fichier entier ; `lots` en rend ces colonnes, pour les compter d'abord si la fiche les précède."""
        self.ecrites.clear()

        def compte_fait() -> str:
            if not (self._donnee.a_une_grille or self.ecrites):
                collections.deque(self.compter(lots(self._donnee.reperes), self.ecrites), maxlen=0)
            return entete()

        comptes = self.compter(lots(None), self.ecrites)
        self.exiger(self._codec.composer(fichier, comptes, self._donnee, compression, compte_fait))
        self.lignes = self.ecrites.total()

    @staticmethod
    def compter(lots: Iterable[pa.Table], comptes: collections.Counter[str]) -> Generator[pa.Table, None, None]:
        """Les mêmes tables ; `comptes` apprend combien chaque symbole a de lignes."""
        comptes.clear()
        for lot in lots:
            compter_symboles(lot, comptes)
            yield lot

    def exiger(self, relues: int | None) -> None:
        """Avant de remplacer l'ancien fichier : le nouveau, relu, tient-il toutes les lignes ?"""
        if relues not in (None, ecrites := self.ecrites.total()):
            raise ErreurSortie(
                f"« {self._chemin} » : {relues} lignes relues pour {ecrites} écrites, l'ancien fichier est gardé",
                "Vérifiez le disque, puis relancez.",
            )


class Bout(Allonge):
    """Le bout d'un fichier, où un flux ajoute les lignes qui suivent toutes celles de leur symbole."""

    def __init__(self, texte: CodecCsv, chemin: Path, donnee: TypeDonnee) -> None:
        super().__init__(chemin)
        self._texte, self._donnee = texte, donnee
        self.fins: dict[str, pa.Table] = {}  # voir `prolonger`

    def retenir(self, lots: Iterable[pa.Table]) -> None:
        """Ces lignes attendent ailleurs : un lot qui en précède une n'ira pas au bout du fichier."""
        for table in lots:
            for _, lignes in par_serie(table, self._donnee):
                prolonger(self.fins, lignes, self._donnee)

    def place(self, symbole: str, lignes: pa.Table) -> int:
        """Le rang de la première de ces lignes qui peut aller au bout ; toutes sont désormais reçues."""
        fin = self.fins.get(symbole)
        suit = prolonger(self.fins, lignes, self._donnee)
        return 0 if suit or fin is None else position_de(lignes, (symbole, borne_de(fin, -1)[1] + 1))

    def commencer(self) -> None:
        """Crée un fichier sans ligne."""
        ecrire_atomique(self.chemin, lambda fichier: fichier.write(self._texte.titre(self._donnee)))

    def ajouter(self, lignes: pa.Table) -> None:
        """Les écrit ; celles, vides, qu'un éditeur a laissées au bout sont ôtées."""
        if self._fichier is None:
            self._texte.oter_la_queue(self.chemin)
        self.au_bout(self._texte.octets(lignes, self._donnee))


class SortieFichier(Sortie):
    """Un fichier, quel que soit son codec : les lots vont au journal, fondu dans le fichier à la fin, et dans un flux.

    Un flux dont le fichier s'allonge (CSV) ajoute ses lignes au bout tant qu'elles suivent celles de leur symbole ; les
    autres attendent au journal, qui tient aussi ce que chaque lot prouve. À la fonte, ce qui y précède la première
    ligne nouvelle est recopié tel quel.
    """

    def __init__(self, codec: Codec, chemin: Path, **reglages: Any) -> None:
        super().__init__(codec, chemin, **reglages)
        self.codec = codec
        if reglages.get("compression") is None:
            self.compression = codec.compression_de(self.chemin) or self.compression
        self.nom_journal = self.chemin.with_name(f"{self.chemin.name}.journal")
        self.feuille = Feuille(codec, self.chemin)
        self.tableau = Tableau(codec, self.chemin, self.type_donnee, self.feuille)
        texte = self._texte()
        self.bout = Bout(texte, self.chemin, self.type_donnee) if self.flux and texte else None
        # Le journal suppose au fichier des lignes d'un flux en CSV : elles sont durables avant lui.
        avant = self.bout.synchroniser if self.bout else lambda: None
        self.reprise = JournalDeReprise(self.nom_journal, self.type_donnee, avant)
        self._duree_fonte = 0.0
        self.presente = False  # le fichier a été vu : s'il n'y est plus, un autre l'a ôté
        # Où finissent, au plus, les lignes de chaque symbole dans le fichier ; None : on n'en sait rien.
        self._fondues: dict[str, int] | None = None

    def _texte(self) -> CodecCsv | None:
        return self.codec.texte(self.chemin) if self.compression == "none" else None

    # Lire.

    def reconnaitre(self) -> bool:
        with en_lisant(self.chemin):
            self.codec.reconnaitre(self.chemin, self.type_donnee)
        return True

    def lire_tout(self) -> Iterator[pa.Table]:
        if self.existe():
            self.reconnaitre()
            yield from self.tableau.lots()

    def lire_fiches(self) -> list[Fiche]:
        if not self.existe():
            return []
        self.reconnaitre()
        fiches = self.feuille.fiches(self.feuille.lire())
        return list(fiches) if fiches is not None else list(self._recenser({}).fiches.values())

    def _recenser(self, fiches: Mapping[CleSerie, Fiche]) -> _Recensement:
        # Ce qui manque est peut-être au journal.
        return self.tableau.recenser(fiches, dire=not self.nom_journal.exists())

    def notes(self) -> Iterator[dict[str, Any]]:
        """Ce que dit, lot après lot, le journal d'une exécution interrompue ; illisible, rien."""
        with contextlib.suppress(SortieIllisible), en_lisant(self.nom_journal):
            yield from (json.loads(note) for _, note, _ in self.reprise.lots())

    def _lire(self, cle: CleSerie, debut: int, fin: int) -> pa.Table:
        bornes, donnee = ((cle.symbole, debut), (cle.symbole, fin)), self.type_donnee
        fondu = self._fondues is None or self._fondues.get(cle.symbole, 0) > debut
        anciennes = self.tableau.a_partir_de(bornes[0]) if fondu else ()
        nouvelles = self.reprise.flot(cle.symbole, debut, fin)
        lues = fusionner(trancher(anciennes, *bornes), trancher(nouvelles, *bornes), donnee)
        return pa.concat_tables([donnee.schema.empty_table(), *lues])

    # Ce qui est déjà là, avant d'y écrire.

    def _controler_series(self, presentes: Collection[CleSerie], cles: Sequence[CleSerie]) -> None:
        familles = {cle._replace(symbole="") for cle in presentes}
        if cles and presentes and familles != {cle._replace(symbole="") for cle in cles}:
            raise ErreurDemande(
                f"« {self.chemin} » contient d'autres séries : {_enumerer(presentes)}",
                f"Choisissez une autre sortie pour {_enumerer(cles)}, ou déplacez ce fichier.",
            )

    def _fiches_presentes(self) -> dict[CleSerie, Fiche]:
        """Illisibles, le fichier et le journal n'en tiennent pas ; tuée, une exécution a pu n'écrire qu'au journal."""
        fiches: dict[CleSerie, Fiche] = {}
        for note in self.notes():
            cle = CleSerie(*note["cle"])
            fiches[cle] = Fiche(cle, **note["fiche"])
        with contextlib.suppress(SortieIllisible):
            fiches |= {fiche.cle: fiche for fiche in self.lire_fiches()}
        return fiches

    def _origines(self) -> set[str]:
        origines = {origine_lue(note["fiche"]) for note in itertools.islice(self.notes(), 1)}
        if origines and self.feuille.a_part and not self.feuille.chemin.exists():
            return origines  # tuée avant d'avoir écrit la fiche : le fichier est celui du journal
        with contextlib.suppress(SortieIllisible):
            if self.existe() and self.feuille.est_abimee():
                origines |= annexe("lecture_brute", "Lire une fiche abîmée").origines_lisibles(self)
            elif self.existe():  # un fichier qui n'en dit aucune est réel, s'il se lit
                origines |= {fiche.origine for fiche in self.feuille.fiches(self.feuille.lire()) or ()}
                origines |= {REEL} if not origines and self.reconnaitre() else set()
        return origines

    def voisins(self) -> tuple[Path, ...]:
        return (*([self.feuille.chemin] if self.feuille.a_part else []), self.nom_journal)

    # Ouvrir : remettre d'accord le fichier et sa fiche, reprendre ce qui fut interrompu.

    def _reprendre(self) -> None:
        if self.existe():
            try:
                self.reconnaitre()
                if (texte := self.codec.texte(self.chemin)) is not None:
                    texte.couper(self.chemin)
                self._accorder()
            except SortieIllisible as refus:
                self.ecarter(refus)
        elif self.feuille.a_part:  # d'un fichier qui n'est plus là : elle ne dira rien du suivant
            with disque("Effacer", self.feuille.chemin):
                self.feuille.chemin.unlink(missing_ok=True)
        self.presente = self.existe()
        if self.bout is None:
            self._fondues = {cle.symbole: self._fin_au_plus(fiche) for cle, fiche in self.fiches.items()}
        self.rejouer_journal()
        if self.fiches and (neuves := set(self._demandees) - set(self.fiches)):
            ajout = "s'ajoutent" if len(neuves) > 1 else "s'ajoute"
            journal.info("« %s » : %s %s à %s.", self.chemin, _enumerer(neuves), ajout, _enumerer(self.fiches))

    def _fin_au_plus(self, fiche: Fiche) -> int:
        """Où finissent les lignes de la série, au plus : d'événements, ou sans preuve, rien ne le dit."""
        if not (self.type_donnee.a_une_grille and fiche.couverts):
            return INSTANT_MAX_MS
        return fiche.dits()[-1][1] + grille(fiche).pas_ms  # d'une fiche d'avant, une provisoire peut y être

    def _accorder(self) -> None:
        """Remplit `fiches`, d'accord avec les lignes ; remet en ordre un fichier que sa feuille ne décrit pas."""
        entete = self.feuille.lire()
        ecrites = self.feuille.fiches(entete)
        self.fiches = {fiche.cle: fiche for fiche in ecrites or []}
        fidele = prouve = False
        if ecrites is not None and entete is not None:
            fidele = prouve = self._est_fidele(ecrites, entete)
            # D'un flux il faut connaître les fins, et un fichier entrelacé n'est pas en ordre : les deux se relisent.
            if fidele and self.bout is None and not entete.get("entrelace"):
                return
        # Celle du journal, d'un fichier tué avant sa première fiche : inventé, il ne doit jamais passer pour réel.
        origine = self.origine or min(self._origines(), default=REEL)
        if not fidele:
            prouve = self._assainir(entete)
        recensement = self._recenser(self.fiches)
        self.fiches = recensement.fiches
        for cle, fiche in self.fiches.items():
            if not self.type_donnee.a_une_grille:
                denombrer(fiche, recensement.lignes[cle])
            fiche.origine = origine  # un fichier n'en a qu'une
            if not prouve:
                fiche.couverts = []
                if self.type_donnee.a_une_grille:
                    confronter(fiche, recensement.presents.get(cle, []))
        self._ordonner(recensement)
        if not fidele:  # une fonte tuée avant sa fiche laisserait croire celle d'avant
            self.ecrire_fiche()

    def _assainir(self, entete: Mapping[str, Any] | None) -> bool:
        """Ôte ce qui ne peut être vrai ; faux si plus rien ne prouve ce qui est couvert.

        Copié seul, le module ne reprend que ce que lui seul a écrit : un CSV de flux tué, un fichier scellé.
        """
        try:
            remise_en_ordre = annexe(*REMISE_EN_ORDRE)
        except DependanceAbsente:
            if not (self.nom_journal.exists() or self.codec.est_scelle(self.chemin, tout=False)):
                raise
            connues = {*self.fiches, *(CleSerie(*note["cle"]) for note in self.notes())}
            for table in self.tableau.tables():  # entières : une cellule qui ne se lit pas y est une faute
                if {cle for cle, _ in par_serie(table, self.type_donnee)} - connues:
                    raise SortieIllisible(f"« {self.chemin} » tient des lignes d'une série inconnue") from None
            return True
        return bool(remise_en_ordre.assainir_fichier(self, entete))

    def _est_fidele(self, fiches: Sequence[Fiche], entete: Mapping[str, Any]) -> bool:
        """Contrôle à bon marché : le fichier tient-il, ligne pour ligne, ce que sa feuille promet ?"""
        if self.feuille.a_part:
            intact = self.feuille.decrit(entete)
            self.tableau.a_jour = intact and bool(entete.get(self.codec.marque))
            return intact
        with en_lisant(self.chemin):
            # Un octet abîmé se voit là, et le fichier est mis de côté avant tout travail ; sans sceau, un autre outil
            # l'a récrit : ses lignes sont à regarder.
            gros = self.octets > SOMMES_MAX
            if not self.codec.est_scelle(self.chemin, tout=not gros):
                return False
            # D'événements, le sceau suffit.
            au_sceau = gros or not self.type_donnee.a_une_grille
            return au_sceau or sum(map(lignes_attendues, fiches)) == self.codec.nombre(self.chemin)

    def _ordonner(self, recensement: _Recensement) -> None:
        if self.bout is not None:
            self.bout.fins = recensement.fins
        permis = bool(self.codec.texte(self.chemin)) and recensement.entrelace and recensement.en_ordre
        self.tableau.entrelace = permis
        if not permis and (recensement.entrelace or not recensement.en_ordre):
            journal.warning("« %s » : lignes en désordre, triées.", self.chemin)
            self.recrire([trier(pa.concat_tables(self.tableau.tables()), self.type_donnee)])
        elif permis and self.bout is None:
            self.recrire(self.tableau.lots())

    def ecarter(self, refus: SortieIllisible | None = None) -> None:
        annexe(*MISES_DE_COTE).ecarter(self, refus)

    def _remarquer_l_absence(self) -> None:
        if self.presente and not self.existe():
            journal.warning("« %s » n'est plus là : ce qu'il tenait n'est plus dit couvert.", self.chemin)
            annexe(*MISES_DE_COTE).repartir_du_journal(self)

    def rejouer_journal(self) -> None:
        """Apprend et fond le journal d'une exécution interrompue, jusqu'à son dernier lot entier."""
        try:
            with en_lisant(self.nom_journal):
                crus = [self.apprendre(note) for note in self.reprise.reprendre()]
                if not all(crus):  # fondues, ses lignes feraient le compte de celles qui manquent
                    annexe(*MISES_DE_COTE).renoncer_aux_lignes_parties(self)
        except SortieIllisible as refus:
            annexe(*MISES_DE_COTE).mettre_de_cote(self.nom_journal, constat=str(refus))
            self.reprise.supprimer()
            return
        if crus:
            repris = nombre_de(len(crus), "lot")
            journal.info("« %s » : %s d'une exécution interrompue, repris.", self.chemin, repris)
        if self.nom_journal.exists():  # vide, il a pu faire attendre d'une remise en ordre ce qu'il n'a pas
            with self._garde():
                self.recompter(dire=True)
            self.a_change = self.finir()  # le bilan de cette exécution dirait sinon « inchangé » de ce qu'elle a fondu
        self.reprise.supprimer()

    def recompter(self, *, dire: bool) -> None:
        """Une bougie qu'un lot du journal dit écrite est au fichier ou au journal, ou elle sera redemandée."""
        if self.type_donnee.a_une_grille:
            reperes = self.type_donnee.reperes
            ecrites = self.tableau.tables(colonnes=reperes) if self.existe() else ()
            recues = (table.select(reperes) for table in self.reprise.flot())
            self.fiches = self.tableau.recenser(self.fiches, itertools.chain(ecrites, recues), dire=dire).fiches

    def apprendre(self, note: Mapping[str, Any]) -> bool:
        """Ce que prouve un lot du journal ; faux s'il suppose au fichier des lignes qui n'y sont plus."""
        cle = CleSerie(*note["cle"])
        avant = self.fiches.get(cle, Fiche(cle, lignes=self._aucune_ligne()))
        fiche = self.fiches[cle] = dataclasses.replace(avant, **note["fiche"])
        manquent = self.existe() and note.get("lignes", 0) > (fiche.lignes or 0)
        if manquent:
            fiche.couverts = []  # on ne sait lesquelles
        cru = not note.get("fichier") or (self.existe() and not manquent)
        if cru:
            trous = [Trou(*trou) for trou in note["trous"]]
            couverts, seules = ([(d, f) for d, f in note.get(nom, ())] for nom in ("couverts", "sans_preuve"))
            fiche.noter(couverts, trous, note.get("source"), seules)
        return cru

    # Ranger : au journal, et au bout du fichier quand il s'allonge.

    def ecrire(self, lot: Lot, fiche: Fiche) -> tuple[int, int]:
        if self.bout is not None:  # rangé ailleurs par un autre, il serait encore allongé, là-bas
            self._remarquer_l_absence()
        return super().ecrire(lot, fiche)

    def _ranger(self, lot: Lot, apres: Fiche, *, entier: bool) -> None:
        lignes = lot.lignes
        if self.bout is not None and lot.cle not in self.fiches:  # tuée avant la note, une reprise saurait de qui
            rien = Lot(lot.cle, lignes[:0], [], [])
            self.reprise.ajouter(rien.lignes, note_du_lot(apres, rien, fichier=True))
        if self.bout is not None and lignes.num_rows:
            lignes = self._allonger(self.bout, lot.cle.symbole, lignes)
            if apres.lignes is not None:
                apres.lignes += lot.lignes.num_rows - lignes.num_rows
        # D'événements, un lot qui tait des lignes est vrai si le fichier les a ; les bougies se comptent à la reprise.
        porte_tout = self.type_donnee.a_une_grille or (entier and lignes.num_rows > 0)
        deja_la = self.bout is not None or not porte_tout
        self.reprise.ajouter(lignes, note_du_lot(apres, lot, fichier=deja_la))

    def _allonger(self, bout: Bout, symbole: str, lignes: pa.Table) -> pa.Table:
        """Ajoute au fichier les lignes qui suivent tout ce qui est reçu de leur symbole ; rend les autres."""
        recule = symbole < max(bout.fins, default="")
        place = bout.place(symbole, lignes)
        if place < lignes.num_rows:
            if not self.existe():
                bout.commencer()
                self.presente = self.tableau.a_jour = True
            if recule:
                self.tableau.entrelace = True
            bout.ajouter(lignes[place:])
        return lignes[:place]

    def ecrire_fiche(self) -> None:
        """Récrit la feuille, si elle est à part."""
        if self.feuille.a_part:
            self.reprise.synchroniser()  # ce qu'elle dira couvert est durable avant elle
            self.feuille.ecrire(self.tableau.forme(), self.fiches)
            self.a_change = True

    # Fondre : le journal, dans le fichier.

    def _entretenir(self) -> None:
        if self.bout is None:
            if self._a_fondre():
                debut = time.monotonic()
                self._finir()
                self._duree_fonte = time.monotonic() - debut
        elif self.reprise.lignes and self._est_gros():
            self._finir()
        elif self._est_gros() or time.monotonic() - self.feuille.ecrite_a > CADENCE_FICHE_S:
            self.ecrire_fiche()
            if not self.reprise.lignes:  # la fiche sait maintenant tout ce qu'il disait
                self.reprise.vider()

    def _a_fondre(self) -> bool:
        """Vrai quand une fonte, qui récrit le fichier, reste en proportion de ce que le journal a reçu."""
        if not self.existe() or self._est_gros():
            return True
        age_s = time.monotonic() - self.reprise.depuis if self.reprise.lignes else 0.0
        if age_s > max(ATTENTE_FONTE_S, PART_DU_TEMPS * self._duree_fonte):
            return self.reprise.lignes >= self.tableau.lignes // PART_DU_FICHIER
        return self.reprise.lignes >= max(LIGNES_A_FONDRE, self.tableau.lignes)

    def _est_gros(self) -> bool:
        """Vrai d'un journal de notes, surtout, que le nombre de ses lignes ne ferait jamais fondre."""
        octets = self.reprise.octets
        return octets > JOURNAL_MAX and octets > self.octets // PART_DU_FICHIER

    def _fonte_s(self) -> float:
        if not self.reprise.lignes:
            return 0.0
        # Recopier un fichier trié va dix fois plus vite que le démêler, cent fois plus que le recompresser.
        lenteur = 0.1 if self._se_recopie() else self.codec.lenteurs.get(self.compression, 1.0)
        return self.octets / OCTETS_PAR_S * lenteur

    def _finir(self) -> None:
        """Met dans la sortie ce qui attend au journal ; n'y touche pas si rien n'a changé."""
        self._remarquer_l_absence()
        recues = bool(self.reprise.entrees) or not self.existe()
        if self.fiches and (recues or self.feuille.dit_moins(self.tableau.forme(), self.fiches)):
            self.reprise.synchroniser()
            if place := annexe_ou_rien("place"):
                place.exiger(self)
            if self.bout is not None:
                self.bout.synchroniser()
                self.bout.fermer()
            if recues or not self.feuille.a_part:
                self._fondre()
            self.ecrire_fiche()
            pa.default_memory_pool().release_unused()  # une fonte laisse sinon cent Mo au processus
            self.a_change = True
        self.reprise.supprimer()

    def _fondre(self) -> None:
        """Remplace le fichier par l'ancien et le journal fusionnés."""
        texte, recopie = self._se_recopie(), annexe_ou_rien("reperage")
        if texte is not None and recopie and self.reprise.entrees:
            recopie.fondre(self, texte)
        else:
            self._remplacer(self._fusion)
        self.presente, self.tableau.entrelace, self.tableau.a_jour = True, False, True
        if (fins := self._fondues) is not None:
            fins |= {s: max(fins.get(s, 0), *(e.fin for e in siennes)) for s, siennes in self.reprise.entrees.items()}
        if self.bout is not None:
            self.bout.retenir(self.reprise.flot())

    def _se_recopie(self) -> CodecCsv | None:
        """D'un texte trié, écrit comme aujourd'hui : ce qui y précède une ligne nouvelle se recopie tel quel."""
        return self._texte() if self.existe() and self.tableau.a_jour and not self.tableau.entrelace else None

    def _fusion(self, colonnes: Sequence[str] | None) -> Iterable[pa.Table]:
        nouvelles = (table.select(colonnes or table.column_names) for table in self.reprise.flot())
        return fusionner(self.tableau.lots(colonnes=colonnes), nouvelles, self.type_donnee)

    def recrire(self, lots: Iterable[pa.Table]) -> None:
        """Remplace le fichier, et la feuille qu'il porte, par ces lignes, triées : une liste s'il en porte une."""
        self._remplacer(lambda _: lots)

    def _remplacer(self, lots: Callable[[Sequence[str] | None], Iterable[pa.Table]]) -> None:
        def entete() -> str:
            self._denombrer()
            return self.feuille.texte(self.tableau.forme(), self.fiches)

        ecrire_atomique(self.chemin, lambda f: self.tableau.composer(f, lots, self.compression, entete))
        self._denombrer()
        self.tableau.entrelace = False

    def _denombrer(self) -> None:
        """La fiche d'une série d'événements en tient le compte : rien d'autre ne dit qu'il en manque."""
        if not self.type_donnee.a_une_grille:
            for cle, fiche in self.fiches.items():
                fiche.lignes = self.tableau.ecrites[cle.symbole]

    def fermer(self) -> None:
        if self.bout is not None:
            self.bout.fermer()
        self.reprise.fermer()
        super().fermer()


# --- Codecs : CSV

SANS_FUSEAU = re.compile(rb",\d{4}-\d\d-\d\d([T ][\d:.]+)?[,\r\n]")  # d'une ligne, une date seule, ou une heure nue


def conversions(donnee: TypeDonnee, fuseau: str | None = "UTC", colonnes: Sequence[str] | None = None) -> Any:
    """Ce que l'analyseur d'Arrow fait des cellules ; niveaux et entiers, il les laisse en texte.

    `fuseau` : None si aucun instant n'en dit ; Arrow refuse l'un pour l'autre.
    """
    lues = {"nombre": pa.float64(), "instant": pa.timestamp("us", fuseau)}  # polars récrit des dates à six décimales
    types = {nom: lues.get(nature, pa.string()) for nom, nature in donnee.colonnes}
    return pa_csv.ConvertOptions(
        column_types=types, include_columns=colonnes, null_values=[""], strings_can_be_null=True
    )


class CodecCsv(Codec):
    """CSV, éventuellement gzip."""

    format = "csv"
    extensions = (".csv", ".csv.gz")
    compressions = ("none", "gzip")
    modules = (pc, pa_acero, pa_csv)
    octets_par_ligne = 130
    lenteurs: ClassVar = {"gzip": 8.0}
    marque = "nombres_a_point"  # chaque nombre du fichier a son point

    def reconnaitre(self, chemin: Path, donnee: TypeDonnee) -> None:
        with self.ouvrir(chemin) as fichier:
            titre = fichier.readline(1 << 12)
        if titre.removeprefix(codecs.BOM_UTF8).rstrip(b"\r\n") != self.titre(donnee).rstrip():
            annexe(*FICHIERS_ETRANGERS).refuser_titre(self, chemin, donnee, titre)

    def ouvrir(self, chemin: Path) -> io.BufferedIOBase:
        """Ses octets, décompressés."""
        return chemin.open("rb") if self.texte(chemin) else gzip.GzipFile(chemin)

    def fuseau(self, chemin: Path) -> str | None:
        """Celui des instants ; None d'un fichier récrit sans (DuckDB d'avant 1.3), où ils sont tenus pour UTC."""
        with self.ouvrir(chemin) as fichier:
            fichier.readline()
            return None if SANS_FUSEAU.search(fichier.readline(1 << 12)) else "UTC"

    def texte(self, chemin: Path) -> CodecCsv | None:
        if chemin.is_file():  # un tube attendrait sans fin qu'on y écrive
            with contextlib.suppress(OSError), chemin.open("rb") as fichier:
                return self if fichier.read(2) != b"\x1f\x8b" else None  # gzip
        return self

    def compression_de(self, chemin: Path) -> str | None:
        return None if chemin.suffix != ".gz" and self.texte(chemin) else "gzip"

    def lots(
        self, chemin: Path, donnee: TypeDonnee, depuis: Borne | None = None, colonnes: Sequence[str] | None = None
    ) -> Iterator[pa.Table]:
        with pa.OSFile(str(chemin)) as fichier:
            debut = 0
            if (texte := self.texte(chemin)) is not None:
                reperage = annexe_ou_rien("reperage") if depuis else None
                fin = texte.fin_des_lignes(chemin)
                debut = reperage.octet(chemin, donnee, depuis, fin) if reperage else 0
                if debut == fin:
                    return
                source = fichier.get_stream(debut, fin - debut)
            else:
                source = pa.CompressedInputStream(fichier, "gzip")
            lecteur = pa_csv.open_csv(
                source,
                pa_csv.ReadOptions(column_names=donnee.noms if debut else None, block_size=1 << 20, use_threads=False),
                pa_csv.ParseOptions(),
                conversions(donnee, self.fuseau(chemin), colonnes),
            )
            for lot in lecteur:
                yield aux_normes(pa.Table.from_batches([lot]), donnee)

    def composer(
        self, fichier: BinaryIO, lots: Iterable[pa.Table], donnee: TypeDonnee, compression: str, entete: Entete
    ) -> int | None:
        del entete  # elle est à part
        if compression != "gzip":
            fichier.write(self.titre(donnee))
            return self.verser(fichier, lots, donnee)
        # Sans nom ni date dans son en-tête : mêmes lignes, mêmes octets.
        with gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=fichier, mtime=0) as compresse:
            compresse.write(self.titre(donnee))
            for table in regrouper(lots, LIGNES_PAR_LOT):
                compresse.write(self.octets(table, donnee))
        return None

    # Un texte : ses lignes s'ajoutent au bout (`tail -f`), et se cherchent par leurs octets.

    def titre(self, donnee: TypeDonnee) -> bytes:
        """Les premiers octets d'un fichier qui n'a pas encore de ligne."""
        return ",".join(donnee.noms).encode() + b"\n"

    def octets(self, table: pa.Table, donnee: TypeDonnee) -> bytes:
        """Des lignes : nombres au plus court sans perte, nul en vide, instants en ISO 8601 avec « T » et « Z ».

        Faits de colonnes de texte jointes d'un coup : trois fois plus rapide que l'écriture d'Arrow, qui mettrait en
        plus des guillemets à tous les textes dès que l'un les exige.
        """
        if not table.num_rows:
            return b""
        convertir: Mapping[str, Callable[[pa.Array], pa.Array]] = {
            "texte": _texte_cite,
            "instant": _instant_iso,
            "nombre": _nombre_a_point,
            "entier": lambda nombres: nombres.cast(pa.string()),
            "niveaux": lambda niveaux: _joindre('"', niveaux_en_texte(niveaux), '"'),
        }
        colonnes = [convertir[nature](en_un_bloc(table[nom])) for nom, nature in donnee.colonnes]
        lignes = _joindre(*colonnes, entre=",", nul="")
        tout = pa.ListArray.from_arrays(pa.array([0, len(lignes)], pa.int32()), lignes)
        return bytes(pc.binary_join(tout, constante("\n"))[0].as_buffer()) + b"\n"

    def verser(self, fichier: BinaryIO, lots: Iterable[pa.Table], donnee: TypeDonnee) -> int:
        """Écrit des lignes au bout ; rend le nombre de celles qu'il y relit."""
        debut = fichier.tell()
        fichier.writelines(self.octets(table, donnee) for table in regrouper(lots, LIGNES_PAR_LOT))
        fichier.seek(debut)
        return sum(bloc.count(b"\n") for bloc in iter(lambda: fichier.read(1 << 20), b""))

    def fin_des_lignes(self, chemin: Path) -> int:
        """L'octet qui suit la dernière ligne entière ; celles, vides, qu'un éditeur ajoute ne comptent pas."""
        with disque("Lire", chemin), chemin.open("rb") as fichier:
            fin, saut = fichier.seek(0, os.SEEK_END), 0  # saut : ce qui suit le premier saut de la queue vide
            while fin:
                debut = max(0, fin - (1 << 16))
                fichier.seek(debut)
                bloc = fichier.read(fin - debut)
                entier = bloc if saut else bloc[: bloc.rfind(b"\n") + 1]
                plein = len(entier.rstrip())
                premier = entier.find(b"\n", plein) + 1
                saut = debut + premier if premier else saut
                if plein:
                    return saut
                fin = debut
            return 0

    def est_coupe(self, chemin: Path) -> bool:
        """Vrai si quelque chose suit la dernière ligne entière."""
        with disque("Lire", chemin), chemin.open("rb") as fichier:
            fichier.seek(self.fin_des_lignes(chemin))
            return any(not bloc.isspace() for bloc in iter(lambda: fichier.read(1 << 16), b""))

    def couper(self, chemin: Path) -> None:
        """Ôte la dernière ligne, si elle n'est pas entière : elle sera redemandée."""
        if self.est_coupe(chemin):
            journal.warning("« %s » : dernière ligne incomplète, retirée.", chemin)
            self.oter_la_queue(chemin)

    def oter_la_queue(self, chemin: Path) -> None:
        """Ôte ce qui suit la dernière ligne entière."""
        if octets_de(chemin) > (fin := self.fin_des_lignes(chemin)):
            with disque("Réparer", chemin):
                os.truncate(chemin, fin)


def _joindre(*morceaux: pa.Array | str, entre: str = "", nul: str | None = None) -> pa.Array:
    """Les textes mis bout à bout, ligne à ligne ; `nul` remplace un texte absent, qui rend sinon le tout absent."""
    textes = [constante(morceau) if isinstance(morceau, str) else morceau for morceau in (*morceaux, entre)]
    absent = {} if nul is None else {"null_handling": "replace", "null_replacement": nul}
    return pc.binary_join_element_wise(*textes, **absent)


def _nombre_a_point(nombres: pa.Array) -> pa.Array:
    """Toujours un point : DuckDB tient une colonne qui commence par des entiers pour entière, et arrondit la suite."""
    textes = nombres.cast(pa.string())
    sans = pc.less(pc.find_substring(textes, "."), constante(0))
    if not pc.any(sans).as_py():
        return textes
    pointes = pc.replace_substring_regex(textes.filter(sans), r"^(-?\d+)(e.*)?$", r"\1.0\2")
    return pc.replace_with_mask(textes, sans, pointes)


def _instant_iso(instants: pa.Array) -> pa.Array:
    textes = instants.cast(pa.timestamp("ms")).cast(pa.string())  # sans fuseau : dix fois plus rapide
    return _joindre(pc.binary_replace_slice(textes, 10, 11, "T"), "Z")


# Un carnet en texte : « [[prix,quantite],…] », le meilleur niveau d'abord.
_NIVEAUX = r"^\s*\[\s*(\[[^\[\],]+,[^\[\],]+\]\s*(,\s*\[[^\[\],]+,[^\[\],]+\]\s*)*)?\]\s*$"


def niveaux_en_texte(niveaux: pa.Array) -> pa.Array:
    """Des niveaux en JSON, nombres au plus court sans perte."""
    plats = niveaux.flatten()
    nombres = [plats.field(nom).cast(pa.string()) for nom in ("price", "amount")]
    paires = _joindre("[", _joindre(*nombres, entre=",", nul="null"), "]")
    tailles = pc.fill_null(pc.list_value_length(niveaux), constante(0)).cast(pa.int32())
    bornes = pa.concat_arrays([pa.array([0], pa.int32()), pc.cumulative_sum(tailles)])
    textes = _joindre("[", pc.binary_join(pa.ListArray.from_arrays(bornes, paires), constante(",")), "]")
    return pc.if_else(pc.is_null(niveaux), pa.scalar(None, pa.string()), textes)


def niveaux_du_texte(textes: pa.Array) -> pa.Array:
    """L'inverse ; ValueError ou ArrowException si ce ne sont pas des paires de nombres."""
    if pc.any(pc.invert(pc.match_substring_regex(textes, _NIVEAUX))).as_py():
        raise ValueError("un carnet n'est pas une liste de paires de nombres")
    plats = pc.replace_substring_regex(textes, r"[\[\]\s]", "")
    mots = pc.split_pattern(plats, ",")
    tailles = pc.if_else(pc.equal(plats, ""), 0, pc.list_value_length(mots))
    nombres = mots.filter(pc.greater(tailles, 0)).flatten()
    nombres = pc.if_else(pc.equal(nombres, "null"), pa.scalar(None, pa.string()), nombres).cast(pa.float64())
    paires = pa.FixedSizeListArray.from_arrays(nombres, 2)
    niveaux = pa.StructArray.from_arrays([pc.list_element(paires, rang) for rang in (0, 1)], ["price", "amount"])
    bornes = pc.cumulative_sum(pc.fill_null(tailles, 0).cast(pa.int32()))
    bornes = pc.divide(pa.concat_arrays([pa.array([0], pa.int32()), bornes]), 2)
    listes = pa.ListArray.from_arrays(bornes.cast(pa.int32()), niveaux)
    return pc.if_else(pc.is_null(textes), pa.scalar(None, listes.type), listes)


def entiers_du_texte(textes: pa.Array) -> pa.Array:
    """Des entiers ; pandas, d'une colonne qui a des vides, a pu faire « 12.0 »."""
    return pc.replace_substring_regex(textes, r"^(-?\d+)\.0*$", r"\1").cast(pa.int64())


def aux_normes(table: pa.Table, donnee: TypeDonnee) -> pa.Table:
    """Nos types exacts, de ce qui fut lu en texte, ou récrit par un autre outil (large_string, timestamp[us]…)."""
    champs = [donnee.schema.field(nom) for nom in table.schema.names]
    for rang, champ in enumerate(champs):
        if pa.types.is_string(table.schema.field(rang).type):
            if pa.types.is_list(champ.type):
                table = table.set_column(rang, champ, niveaux_du_texte(en_un_bloc(table[rang])).cast(champ.type))
            elif pa.types.is_integer(champ.type):
                table = table.set_column(rang, champ, entiers_du_texte(en_un_bloc(table[rang])))
    return table.cast(pa.schema(champs))


def _texte_cite(textes: pa.Array) -> pa.Array:
    """Des guillemets aux seuls textes qui l'exigent."""
    codes = textes.dictionary_encode()
    cites = ['"' + t.replace('"', '""') + '"' if set(t) & set(',"\r\n') else t for t in codes.dictionary.to_pylist()]
    return pa.DictionaryArray.from_arrays(codes.indices, pa.array(cites, pa.string())).cast(pa.string())


# --- Codecs : Parquet, Feather


class _CodecArrow(Codec):
    """Ce que Parquet et Feather ont en commun : un schéma dans le fichier, la fiche dans ses métadonnées, un sceau."""

    fiche_a_part = False

    @abstractmethod
    def schema(self, chemin: Path) -> pa.Schema: ...

    @contextlib.contextmanager
    def source(self, chemin: Path, *, pied: bool = False) -> Iterator[pa.NativeFile]:
        """Le fichier, une fois sûr : ses sommes sont justes ; sans sceau, il est éprouvé à part.

        `pied` : ce sera tout ce qu'on en lit.
        """
        if not self.est_scelle(chemin, tout=not pied):
            epreuves = annexe("octets_douteux", f"Lire « {chemin} », qui n'a pas notre sceau,")
            if plainte := epreuves.eprouver(self.format, chemin, _etat_de(chemin)):
                raise SortieIllisible(f"« {chemin} » est illisible ({plainte})")
        with pa.OSFile(str(chemin)) as source:
            yield source

    def est_scelle(self, chemin: Path, *, tout: bool) -> bool:
        with chemin.open("rb") as fichier:
            scelle = sceau_de(fichier, self.signature) is not None
        if scelle and tout:
            _verifier_les_blocs(chemin, self.signature, _etat_de(chemin))
        return scelle

    def reconnaitre(self, chemin: Path, donnee: TypeDonnee) -> None:
        exiger_signature(self, chemin, donnee)
        schema = self.schema(chemin)
        if not schema.equals(donnee.schema):
            annexe(*FICHIERS_ETRANGERS).admettre_schema(self, chemin, donnee, schema)

    def entete(self, chemin: Path) -> dict[str, Any] | None:
        texte = (self.schema(chemin).metadata or {}).get(b"fiche")
        try:
            lu = json.loads(texte) if texte else None
        except ValueError:
            return None
        return lu if isinstance(lu, dict) else None


def _etat_de(chemin: Path) -> tuple[int, ...]:
    etat = chemin.stat()
    return etat.st_ino, etat.st_size, etat.st_mtime_ns


class CodecParquet(_CodecArrow):
    """Parquet : groupes de lignes avec statistiques, pages à somme de contrôle."""

    format = "parquet"
    extensions = (".parquet", ".pq")
    compressions = ("zstd", "snappy", "gzip", "lz4", "brotli", "none")
    signature = b"PAR1"
    modules = (pc, pa_acero, pq)

    def schema(self, chemin: Path) -> pa.Schema:
        with self.source(chemin, pied=True) as source:
            return pq.read_schema(source)

    def nombre(self, chemin: Path) -> int:
        with self.source(chemin, pied=True) as source:
            return int(pq.read_metadata(source).num_rows)

    def lots(
        self, chemin: Path, donnee: TypeDonnee, depuis: Borne | None = None, colonnes: Sequence[str] | None = None
    ) -> Iterator[pa.Table]:
        with self.source(chemin) as source:
            parquet = pq.ParquetFile(source, page_checksum_verification=True)
            reperage = annexe_ou_rien("reperage") if depuis else None
            tous = range(parquet.num_row_groups)
            for groupe in reperage.groupes(parquet, donnee, depuis) if reperage else tous:
                for lot in parquet.iter_batches(LIGNES_PAR_LOT, row_groups=[groupe], columns=colonnes):
                    yield aux_normes(pa.Table.from_batches([lot]), donnee)

    def composer(
        self, fichier: BinaryIO, lots: Iterable[pa.Table], donnee: TypeDonnee, compression: str, entete: Entete
    ) -> int:
        textes = [nom for nom, nature in donnee.colonnes if nature == "texte" and nom not in donnee.rang]
        with pq.ParquetWriter(
            fichier,
            donnee.schema,
            compression=compression,
            use_dictionary=textes,
            write_page_checksum=True,
            store_schema=False,  # il répéterait la fiche, et n'apprend rien que le format ne dise
        ) as graveur:
            for table in regrouper(lots, LIGNES_PAR_GROUPE):
                graveur.write_table(table, LIGNES_PAR_GROUPE)
            graveur.add_key_value_metadata({"fiche": entete()})
        relues = int(pq.read_metadata(fichier).num_rows)
        sceller(fichier, self.signature)
        return relues


class CodecFeather(_CodecArrow):
    """Feather : un fichier Arrow IPC compressé."""

    format = "feather"
    extensions = (".feather", ".arrow")
    compressions = ("zstd", "lz4", "none")
    signature = b"ARROW1"

    def schema(self, chemin: Path) -> pa.Schema:
        with self.source(chemin, pied=True) as source:
            return pa.ipc.open_file(source).schema

    def nombre(self, chemin: Path) -> int:
        with self.source(chemin, pied=True) as source:
            return self._compter(source, [0])

    @staticmethod
    def _compter(source: Any, champs: list[int] | None = None) -> int:
        feather = pa.ipc.open_file(source, options=pa.ipc.IpcReadOptions(included_fields=champs))
        return sum(feather.get_batch(rang).num_rows for rang in range(feather.num_record_batches))

    def lots(
        self, chemin: Path, donnee: TypeDonnee, depuis: Borne | None = None, colonnes: Sequence[str] | None = None
    ) -> Iterator[pa.Table]:
        with self.source(chemin) as source:
            reperage = annexe_ou_rien("reperage") if depuis else None
            premier = reperage.lot(source, donnee, depuis) if reperage else 0
            rangs = [donnee.noms.index(nom) for nom in colonnes] if colonnes else None
            feather = pa.ipc.open_file(source, options=pa.ipc.IpcReadOptions(included_fields=rangs))
            for rang in range(premier, feather.num_record_batches):
                yield aux_normes(pa.Table.from_batches([feather.get_batch(rang)]), donnee)

    def composer(
        self, fichier: BinaryIO, lots: Iterable[pa.Table], donnee: TypeDonnee, compression: str, entete: Entete
    ) -> int:
        codec = None if compression == "none" else compression
        schema = donnee.schema.with_metadata({"fiche": entete()})
        with pa.ipc.new_file(fichier, schema, options=pa.ipc.IpcWriteOptions(compression=codec)) as graveur:
            for table in regrouper(lots, LIGNES_PAR_LOT):
                graveur.write_table(table.replace_schema_metadata(schema.metadata), LIGNES_PAR_LOT)
        relues = self._compter(fichier)
        sceller(fichier, self.signature)
        return relues


# --- Une sortie qui est une base SQLite


def tables_de(base: sqlite3.Connection) -> list[str]:
    """Les noms de ses tables."""
    return [nom for (nom,) in base.execute("SELECT name FROM sqlite_master WHERE type='table'")]


def _colonnes_sqlite(base: sqlite3.Connection, table: str) -> list[tuple[str, str]]:
    return base.execute("SELECT name, type FROM pragma_table_info(?)", (table,)).fetchall()


def _colonnes_voulues(definition: str) -> list[tuple[str, str]]:
    with contextlib.closing(sqlite3.connect(":memory:")) as modele:
        modele.execute(f"CREATE TABLE t ({definition})")
        return _colonnes_sqlite(modele, "t")


# Les colonnes de T_series qui manquent aux bases d'avant ; elles leur sont ajoutées à la première écriture.
_AJOUTEES_SQLITE = {
    "horodatage": f"TEXT NOT NULL DEFAULT '{HORODATAGE_EXCHANGE}'",
    "marche_id": "TEXT NOT NULL DEFAULT ''",
    "origine": f"TEXT NOT NULL DEFAULT '{REEL}'",
    "identifiants": "TEXT NOT NULL DEFAULT ''",
    "sources": "TEXT NOT NULL DEFAULT '[]'",  # JSON : [[debut, fin, source], …]
    "lignes": "INTEGER",
    "provisoires": "TEXT NOT NULL DEFAULT '[]'",  # JSON : [[debut, fin, raison], …]
}
_SERIE_SQLITE = "exchange=? AND symbole=? AND timeframe=? AND prix=?"  # dans les tables de fiches


def tables_sqlite(donnee: TypeDonnee, table: str) -> dict[str, str]:
    """Les quatre tables (nom, colonnes) : les lignes, et leur fiche."""
    natures = {"texte": "TEXT", "instant": "INTEGER", "nombre": "REAL", "entier": "INTEGER", "niveaux": "TEXT"}
    exigees = dict.fromkeys(donnee.obligatoires, " NOT NULL")
    cle = "exchange TEXT NOT NULL, symbole TEXT NOT NULL, timeframe TEXT NOT NULL, prix TEXT NOT NULL"
    marche = "type_marche TEXT, unite_volume TEXT, contractSize REAL, ancre_ms INTEGER, outil TEXT, ccxt TEXT"
    ajoutees = ", ".join(f"{nom} {definition}" for nom, definition in _AJOUTEES_SQLITE.items())
    bornes = "debut INTEGER NOT NULL, fin INTEGER NOT NULL"
    return {
        table: ", ".join(f'"{nom}" {natures[nature]}{exigees.get(nom, "")}' for nom, nature in donnee.colonnes),
        f"{table}_series": f"{cle}, {marche}, {ajoutees}, PRIMARY KEY ({', '.join(CleSerie._fields)})",
        f"{table}_intervalles": f"{cle}, {bornes}",
        f"{table}_trous": f"{cle}, {bornes}, raison TEXT NOT NULL",
    }


def _sequence_sqlite(donnee: TypeDonnee) -> str:
    """La fonction `_sequence`, en SQL ; vide quand un instant ne tient qu'une ligne."""
    if len(donnee.ordre) == 2:
        return ""
    nom = donnee.ordre[2]
    if dict(donnee.colonnes)[nom] == "entier":
        return f', "{nom}" IS NULL, "{nom}"'
    lettres = f"\"{nom}\" GLOB '*[^0-9]*'"
    return f", {lettres}, CASE WHEN {lettres} THEN '' ELSE substr('{'0' * 40}' || \"{nom}\", -40) END"


def fiches_sqlite(base: sqlite3.Connection, table: str) -> list[Fiche]:
    """Les fiches des séries d'une table."""
    if not base.execute("SELECT 1 FROM sqlite_master WHERE name=? COLLATE NOCASE", (f"{table}_series",)).fetchone():
        return []
    series = base.execute(f'SELECT * FROM "{table}_series" ORDER BY exchange, symbole, timeframe, prix')
    champs = [champ for champ, *_ in series.description]
    fiches = []
    for serie in (dict(zip(champs, ligne, strict=True)) for ligne in series.fetchall()):
        cle = CleSerie(*(serie[champ] for champ in CleSerie._fields))
        ajoutes = {nom: serie[nom] for nom in ("horodatage", "marche_id", "identifiants") if nom in serie}
        fiche = Fiche(cle, serie["type_marche"], serie["unite_volume"] or UNITE_INCONNUE, **ajoutes)
        fiche.taille_contrat, fiche.ancre_ms = serie["contractSize"], serie["ancre_ms"]
        fiche.origine = origine_lue(serie)
        fiche.sources = [Provenance(*provenance) for provenance in json.loads(serie.get("sources") or "[]")]
        fiche.lignes = lignes if isinstance(lignes := serie.get("lignes"), int) else None
        fiche.provisoires = [Trou(*provisoire) for provisoire in json.loads(serie.get("provisoires") or "[]")]
        lus = f'FROM "{table}_{{}}" WHERE {_SERIE_SQLITE} ORDER BY debut'
        fiche.couverts = list(base.execute("SELECT debut, fin " + lus.format("intervalles"), cle))
        fiche.trous = [Trou(*trou) for trou in base.execute("SELECT debut, fin, raison " + lus.format("trous"), cle)]
        fiches.append(fiche)
    return fiches


class FormatSqlite:
    """SQLite, tel que le registre le décrit."""

    format: ClassVar[str] = "sqlite"
    extensions: ClassVar[tuple[str, ...]] = (".sqlite", ".sqlite3", ".db")
    compressions: ClassVar[tuple[str, ...]] = ("none",)
    signature: ClassVar[bytes] = b"SQLite format 3\0"
    modules: ClassVar[tuple[Any, ...]] = (pc, pa_acero)

    def __call__(self, chemin: Path, **reglages: Any) -> SortieSqlite:
        """La sortie de ce format ; mêmes réglages que `Sortie`."""
        return SortieSqlite(self, chemin, **reglages)


class SortieSqlite(Sortie):
    """SQLite : une transaction par lot, fiche comprise ; WAL le temps d'écrire, donc jamais un lecteur bloqué.

    La fiche d'une table T est dans T_series, T_intervalles et T_trous.
    """

    def __init__(self, decrit: FormatSqlite, chemin: Path, **reglages: Any) -> None:
        super().__init__(decrit, chemin, **reglages)
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,62}", self.table) or self.table.lower().startswith("sqlite_"):
            raise ErreurDemande(
                f"« {self.table} » n'est pas un nom de table SQLite acceptable",
                "Employez lettres sans accent, chiffres et « _ », sans commencer par un chiffre ni « sqlite_ ».",
            )
        if sqlite3.sqlite_version_info < (3, 24):
            raise DependanceAbsente(
                f"Écrire en SQLite demande SQLite 3.24 (remplacement par clé), Python emploie {sqlite3.sqlite_version}",
                "Installez un Python plus récent, ou choisissez un autre format.",
            )
        # Des morceaux de requêtes ; le nom de la table y reste entre guillemets.
        donnee = self.type_donnee
        self.colonnes = ", ".join(f'"{nom}"' for nom in donnee.noms)
        self.series = ", ".join(donnee.serie)
        self.d_une_serie = " AND ".join(f"{champ}=?" for champ in donnee.serie)
        self._ordre = f"{self.series}, timestamp{_sequence_sqlite(donnee)}"
        # Deux nuls seraient différents dans l'index unique, sans ce qui les remplace.
        self._cle = ", ".join(
            f'"{nom}"' if nom in donnee.obligatoires else f"ifnull(\"{nom}\", '')" for nom in donnee.cle
        )
        valeurs = ", ".join(f'"{nom}" = excluded."{nom}"' for nom in donnee.noms if nom not in donnee.cle)
        places = ", ".join("?" * len(donnee.noms))
        mettre = f'INSERT INTO "{self.table}" ({self.colonnes}) VALUES ({places}) ON CONFLICT ({self._cle}) DO UPDATE'
        self._mettre = f"{mettre} SET {valeurs}"
        self._base: sqlite3.Connection | None = None
        self.inscrites: set[CleSerie] = set()  # celles dont la fiche est dans la base
        self._prete = False

    @contextlib.contextmanager
    def _erreurs(self, action: str) -> Iterator[None]:
        """Traduit les erreurs de SQLite ; une base abîmée est une SortieIllisible."""
        try:
            yield
        except (sqlite3.DatabaseError, UnicodeDecodeError) as erreur:
            code, causes = getattr(erreur, "sqlite_errorcode", None), annexe_ou_rien("causes")
            cause, conseil = causes.cause_sqlite(erreur) if causes else (str(erreur), CONSEIL_DISQUE)
            if code is None or not isinstance(erreur, sqlite3.OperationalError):
                raise SortieIllisible(f"« {self.chemin} » est illisible : {cause}") from erreur
            if code & 0xFF == sqlite3.SQLITE_BUSY:
                tenants = annexe_ou_rien("tenants")
                raise SortieOccupee(
                    f"« {self.chemin} » est tenue depuis {ATTENTE_SQLITE_S} s par "
                    + (tenants.dire(self.chemin) if tenants else "un autre programme"),
                    "Fermez ce programme, ou sa lecture en cours, puis relancez.",
                ) from erreur
            raise ErreurSortie(f"{action} « {self.chemin} » a échoué : {cause}", conseil) from erreur

    def _connecter(self, requete: str) -> sqlite3.Connection:
        # SQLite n'admet pas d'hôte : celui d'un partage de Windows fait partie du chemin.
        adresse = re.sub(r"^file://(?=[^/])", "file:////", self.chemin.absolute().as_uri())
        return sqlite3.connect(
            f"{adresse}?{requete}", uri=True, timeout=ATTENTE_SQLITE_S, isolation_level=None, check_same_thread=False
        )

    @contextlib.contextmanager
    def lecteur(self) -> Iterator[sqlite3.Connection]:
        """La connexion ouverte, ou une autre le temps d'une lecture, qui ne crée rien."""
        with self._erreurs("Lire"):
            if self._base is not None:
                yield self._base
                return
            # Un lecteur « ro » laisserait derrière lui les fichiers -wal et -shm ; « immutable » ne sert que là où
            # l'on ne peut écrire.
            effectif = os.access in os.supports_effective_ids
            ecrivable = all(os.access(c, os.W_OK, effective_ids=effectif) for c in (self.chemin, self.chemin.parent))
            # Ce qu'une exécution tuée y a laissé à reprendre en fait partie : « immutable » ne le lirait pas.
            en_attente = any(v.exists() and v.stat().st_size for v in self.voisins())
            sans_ecrire = "mode=ro" if en_attente else "immutable=1"
            with contextlib.closing(self._connecter("mode=rw" if ecrivable else sans_ecrire)) as base:
                yield base

    # Lire.

    def reconnaitre(self) -> bool:
        """Vrai si notre table est là ; PasLeNotre si une table de ce nom est autre chose."""
        exiger_signature(self.decrit, self.chemin, self.type_donnee)
        ajoutees = {(nom, definition.split()[0]) for nom, definition in _AJOUTEES_SQLITE.items()}
        with self.lecteur() as base:
            presentes = {nom.lower() for nom in tables_de(base)}
            # SQLite complète de zéros une dernière page coupée, sans le dire : ses nombres en sortent faux.
            (page,) = base.execute("PRAGMA page_size").fetchone()
            if self.octets % page and not octets_de(self.voisins()[0]):  # ce qui attend dans le -wal la récrira
                raise SortieIllisible(f"« {self.chemin} » est illisible : sa fin manque")
            for nom, definition in tables_sqlite(self.type_donnee, self.table).items():
                lues = _colonnes_sqlite(base, nom) if nom.lower() in presentes else []
                if lues and not set(_colonnes_voulues(definition)) ^ set(lues) <= ajoutees:
                    annexe(*FICHIERS_ETRANGERS).refuser_table(self, nom, lues)
            if self.table.lower() not in presentes:
                return False
            if not self._a_cle_unique(base):
                annexe(*FICHIERS_ETRANGERS).refuser_sans_cle(self)
            return True

    def _a_cle_unique(self, base: sqlite3.Connection) -> bool:
        """Vrai si la table a un index unique sur notre clé : SQLite refuse, sinon, d'y remplacer une ligne."""
        try:
            base.execute(f"EXPLAIN {self._mettre}", [None] * len(self.type_donnee.noms))
        except sqlite3.OperationalError as erreur:
            if erreur.sqlite_errorcode != sqlite3.SQLITE_ERROR:
                raise
            return False
        return True

    def _fiches_presentes(self) -> dict[CleSerie, Fiche]:
        with contextlib.suppress(SortieIllisible):  # sera mise de côté à l'ouverture
            if self.existe() and self.reconnaitre():
                with self.lecteur() as base:
                    return {fiche.cle: fiche for fiche in fiches_sqlite(base, self.table)}
        return {}

    def _origines(self) -> set[str]:
        """Celles de toutes les tables de la base : elle n'en a qu'une, et c'est elle entière qui est mise de côté.

        Des lignes sans fiche sont réelles.
        """
        origines: set[str] = set()
        with contextlib.suppress(SortieIllisible):
            for table in self.tables() if self.existe() else ():
                with self.lecteur() as base:
                    lues = {fiche.origine for fiche in fiches_sqlite(base, table)}
                    origines |= lues or {REEL for _ in base.execute(f'SELECT 1 FROM "{table}" LIMIT 1')}
        return origines

    def voisins(self) -> tuple[Path, ...]:
        return tuple(self.chemin.with_name(f"{self.chemin.name}{suite}") for suite in ("-wal", "-shm", "-journal"))

    def lire_lignes(
        self, base: sqlite3.Connection, colonnes: str, ou: str = "", valeurs: Sequence[object] = ()
    ) -> Iterator[list[tuple[Any, ...]]]:
        """Ces colonnes des lignes voulues, dans l'ordre, par paquets."""
        curseur = base.execute(f'SELECT {colonnes} FROM "{self.table}" {ou} ORDER BY {self._ordre}', valeurs)
        curseur.arraysize = LIGNES_PAR_LOT // 64 if self.type_donnee.est_lourd else LIGNES_PAR_LOT
        return iter(curseur.fetchmany, [])

    def _lots(self, base: sqlite3.Connection, ou: str = "", valeurs: Sequence[object] = ()) -> Iterator[pa.Table]:
        donnee = self.type_donnee
        natures = [
            pa.string() if nature == "niveaux" else donnee.schema.field(nom).type for nom, nature in donnee.colonnes
        ]
        for lignes in self.lire_lignes(base, self.colonnes, ou, valeurs):
            colonnes = [pa.array(c, nature) for c, nature in zip(zip(*lignes, strict=True), natures, strict=True)]
            yield aux_normes(pa.table(colonnes, names=donnee.noms), donnee)

    def tables(self, *, abimees: bool = False) -> list[str]:
        """Les tables de la base qui tiennent des lignes d'un de nos types, et celles qui n'en ont plus que la fiche."""
        with self.lecteur() as base:
            noms = tables_de(base)
            colonnes = {nom: [colonne for colonne, _ in _colonnes_sqlite(base, nom)] for nom in noms}
        des_fiches = [nom for nom in noms if {*CleSerie._fields, "ancre_ms"} <= {*colonnes[nom]}]  # T_series
        orphelines = [nom.removesuffix("_series") for nom in des_fiches] if abimees else []
        return list(dict.fromkeys([*(nom for nom in noms if type_des_colonnes(colonnes[nom])), *orphelines]))

    def lire_tout(self) -> Iterator[pa.Table]:
        if not self.existe():
            return
        if not self.reconnaitre():
            annexe(*FICHIERS_ETRANGERS).refuser_sans_table(self)
        with self.lecteur() as base:
            yield from self._lots(base)

    def lire_fiches(self) -> list[Fiche]:
        if not (self.existe() and self.reconnaitre()):
            return []
        with self.lecteur() as base:
            base.execute("BEGIN")  # fiches et lignes d'un même instant, quoi qu'une exécution écrive
            self._accorder(base)
            base.execute("ROLLBACK")
        return list(self.fiches.values())

    def _lire(self, cle: CleSerie, debut: int, fin: int) -> pa.Table:
        if self._base is None and not (self.existe() and self.reconnaitre()):
            return self.type_donnee.schema.empty_table()
        ou = f"WHERE {self.d_une_serie} AND timestamp >= ? AND timestamp < ?"
        with self.lecteur() as base:
            lots = self._lots(base, ou, (*cle[: len(self.type_donnee.serie)], debut, fin))
            return pa.concat_tables([self.type_donnee.schema.empty_table(), *lots])

    # Ouvrir.

    def _reprendre(self) -> None:
        try:
            if self.existe() and self.reconnaitre():
                with self._erreurs("Lire"):
                    self._base = self._connecter("mode=rw")
                    if self.octets <= RELECTURE_MAX:
                        if (faute := self._base.execute("PRAGMA integrity_check(1)").fetchone()) != ("ok",):
                            raise sqlite3.DatabaseError(*faute)
                        with contextlib.suppress(DependanceAbsente):  # copié seul, il s'en remet aux contraintes
                            annexe(*REMISE_EN_ORDRE).assainir_base(self, self._base)
                    self._accorder(self._base)
        except SortieIllisible as refus:
            self.ecarter(refus)

    def _accorder(self, base: sqlite3.Connection) -> None:
        """Charge les fiches et les confronte aux lignes : en les comptant, et ne relisant que ce qui ne va pas."""
        self.fiches = {fiche.cle: fiche for fiche in fiches_sqlite(base, self.table)}
        self.inscrites = set(self.fiches)
        lignes = self.compter(base)
        for cle in {**self.fiches, **lignes}:
            if not self.type_donnee.a_une_grille:
                fiche = self.fiches.setdefault(cle, Fiche(cle))
                if fiche.lignes != lignes[cle]:
                    self.inscrites.discard(cle)
                denombrer(fiche, lignes[cle])
            elif cle not in self.fiches or lignes_attendues(self.fiches[cle]) != lignes[cle]:
                self._recenser(base, cle)

    def _recenser(self, base: sqlite3.Connection, cle: CleSerie) -> None:
        """Remet la fiche d'une série de bougies d'accord avec ses lignes : une de plus, une ôtée."""
        fiche, presents = self.fiches.get(cle), list[Intervalle]()
        for lot in self.lire_lignes(base, "timestamp", f"WHERE {self.d_une_serie}", cle):
            instants = pa.array([instant for (instant,) in lot], pa.int64())
            fiche = fiche or fiche_de_rien(cle, instants)
            presents += plages(instants, grille(fiche))
        self.inscrites.discard(cle)  # sa fiche sera récrite entière
        if cle in self.fiches:
            confronter(self.fiches[cle], presents)
        elif fiche is not None:
            self.fiches[cle] = dataclasses.replace(fiche, couverts=unir(presents))

    def _redire(self, cle: CleSerie) -> None:
        self.inscrites.discard(cle)  # récrite entière à la prochaine écriture

    def compter(self, base: sqlite3.Connection) -> collections.Counter[CleSerie]:
        """Les lignes de chaque série de la table."""
        comptes = base.execute(f'SELECT COUNT(*), {self.series} FROM "{self.table}" GROUP BY {self.series}')
        return collections.Counter({CleSerie(*serie): int(nombre) for nombre, *serie in comptes})

    def ecarter(self, refus: SortieIllisible | None = None) -> None:
        self.deconnecter()
        # Tuée entre les deux, une base neuve effacerait le -wal qui serait resté seul.
        annexe(*MISES_DE_COTE).mettre_de_cote(self.chemin, avant=self.voisins(), constat=str(refus or ""))
        self.fiches, self.inscrites = {}, set()

    # Écrire.

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """La base, en écriture, nos tables créées au besoin : tout, ou rien si le bloc échoue."""
        with self._erreurs("Écrire"):
            base = self._base = self._base or self._connecter("mode=rwc")
            if not self._prete:
                base.execute("PRAGMA journal_mode = WAL")
                base.execute("PRAGMA synchronous = NORMAL")
            base.execute("BEGIN IMMEDIATE")
            try:
                if not self._prete:
                    self._creer_tables(base)
                yield base
                base.execute("COMMIT")
            except BaseException:
                if base.in_transaction:  # un disque plein l'a peut-être déjà annulée
                    base.execute("ROLLBACK")
                raise
            self._prete = True

    def _creer_tables(self, base: sqlite3.Connection) -> None:
        # Une bougie est désignée par sa série et son instant : rangée dans cet ordre, sa clé n'est écrite qu'une fois.
        donnee, table = self.type_donnee, self.table
        se_range_par_cle = {*donnee.serie, "timestamp"} == set(donnee.cle) <= set(donnee.obligatoires)
        par_cle = {table: f", PRIMARY KEY ({self._cle})) WITHOUT ROWID"} if se_range_par_cle else {}
        for nom, definition in tables_sqlite(donnee, table).items():
            base.execute(f'CREATE TABLE IF NOT EXISTS "{nom}" ({definition}{par_cle.get(nom, ")")}')
        presentes = [nom for nom, _ in _colonnes_sqlite(base, f"{table}_series")]
        for nom, definition in _AJOUTEES_SQLITE.items():
            if nom not in presentes:
                base.execute(f'ALTER TABLE "{table}_series" ADD COLUMN {nom} {definition}')
        if not self._a_cle_unique(base):
            base.execute(f'CREATE UNIQUE INDEX "{table}_cle" ON "{table}" ({self._cle})')
        for liste in (f"{table}_intervalles", f"{table}_trous"):
            champs = ", ".join(CleSerie._fields)
            base.execute(f'CREATE INDEX IF NOT EXISTS "{liste}_serie" ON "{liste}" ({champs}, debut)')
        if "timestamp" not in donnee.cle:  # sans quoi lire un intervalle parcourrait toute la table
            base.execute(f'CREATE INDEX IF NOT EXISTS "{table}_ordre" ON "{table}" ({self.series}, timestamp)')

    def _ranger(self, lot: Lot, apres: Fiche, *, entier: bool) -> None:  # noqa: ARG002
        with self.transaction() as base:
            avant = self._nombre(base, lot)
            self.mettre(base, lot.lignes)
            if apres.lignes is not None:
                apres.lignes += self._nombre(base, lot) - avant
            self.inscrire(base, apres, lot)
        self.a_change = True
        self.inscrites.add(lot.cle)

    def mettre(self, base: sqlite3.Connection, lignes: pa.Table) -> None:
        """Insère les lignes ; entières, celles de même clé sont remplacées."""
        convertir = {"instant": lambda instants: instants.cast(pa.int64()), "niveaux": niveaux_en_texte}
        colonnes = [
            convertir.get(nature, lambda tels_quels: tels_quels)(en_un_bloc(lignes[nom])).to_pylist()
            for nom, nature in self.type_donnee.colonnes
        ]
        base.executemany(self._mettre, zip(*colonnes, strict=True))

    def _nombre(self, base: sqlite3.Connection, lot: Lot) -> int:
        """Les événements de la série, entre les bornes du lot, que tient la base."""
        if self.type_donnee.a_une_grille or not lot.lignes.num_rows:
            return 0
        compter = f'SELECT COUNT(*) FROM "{self.table}" WHERE {self.d_une_serie} AND timestamp BETWEEN ? AND ?'
        bornes = borne_de(lot.lignes, 0)[1], borne_de(lot.lignes, -1)[1]
        return int(base.execute(compter, (*lot.cle[: len(self.type_donnee.serie)], *bornes)).fetchone()[0])

    def inscrire(self, base: sqlite3.Connection, fiche: Fiche, lot: Lot) -> None:
        """Récrit la fiche, et de ses intervalles ceux qui touchent le lot seulement : elle peut en avoir cent mille."""
        valeurs = {
            **fiche.cle._asdict(),
            **{champ: getattr(fiche, champ) for champ in ("type_marche", "unite_volume", "ancre_ms")},
            **{champ: getattr(fiche, champ) for champ in _AJOUTEES_SQLITE},
            "contractSize": fiche.taille_contrat,
            **{suite: json.dumps(getattr(fiche, suite)) for suite in ("sources", "provisoires")},
            **_versions(),
        }
        champs, places = ", ".join(valeurs), ", ".join("?" * len(valeurs))
        remplacer = f'INSERT OR REPLACE INTO "{self.table}_series" ({champs}) VALUES ({places})'
        base.execute(remplacer, tuple(valeurs.values()))
        # D'une fiche qui n'y est pas encore : tout, et ce qu'y aurait laissé une fiche d'avant.
        neuve = [(0, INSTANT_MAX_MS)] if fiche.cle not in self.inscrites else []
        appris = unir(lot.couverts, intervalles_de(lot.trous), lot.sans_preuve, neuve) or [(0, 0)]
        debut, fin = appris[0][0], appris[-1][1]
        for nom, suite, places in (("intervalles", fiche.couverts, "?,?"), ("trous", fiche.trous, "?,?,?")):
            neufs = suite[voisins(suite, debut, fin)]
            depart = min([debut, *(neuf[0] for neuf in neufs[:1])])
            oter = f'DELETE FROM "{self.table}_{nom}" WHERE {_SERIE_SQLITE} AND debut BETWEEN ? AND ?'
            base.execute(oter, (*fiche.cle, depart, fin))
            mettre = f'INSERT INTO "{self.table}_{nom}" VALUES (?,?,?,?,{places})'
            base.executemany(mettre, [(*fiche.cle, *neuf) for neuf in neufs])

    def _finir(self) -> None:
        """Au repos, un seul fichier, que l'on lit même d'un dossier en lecture seule ; un lecteur présent l'empêche."""
        with self._erreurs("Écrire"):
            # Aussi d'une exécution tuée.
            if (base := self._base) is not None and base.execute("PRAGMA journal_mode").fetchone() == ("wal",):
                base.execute("PRAGMA wal_checkpoint(TRUNCATE)")
                self._prete = False
                try:
                    base.execute("PRAGMA journal_mode = DELETE")
                except sqlite3.OperationalError as erreur:
                    if erreur.sqlite_errorcode != sqlite3.SQLITE_BUSY:
                        raise

    def deconnecter(self) -> None:
        """Ferme la base, sans rendre le verrou ; idempotent."""
        if self._base is not None:
            with contextlib.suppress(sqlite3.Error):
                self._base.close()
            self._base = None
            self._prete = False

    def fermer(self) -> None:
        self.deconnecter()
        super().fermer()


# --- Le registre

ECRIVAINS: dict[str, Format] = {
    decrit.format: decrit for decrit in (CodecCsv(), CodecParquet(), CodecFeather(), FormatSqlite())
}
EXTENSIONS: dict[str, str] = {suffixe: nom for nom, decrit in ECRIVAINS.items() for suffixe in decrit.extensions}


def format_du_chemin(chemin: Path | None) -> str | None:
    """Le format que dit l'extension, ou None."""
    suffixes = sorted(EXTENSIONS, key=len, reverse=True)
    return next((EXTENSIONS[s] for s in suffixes if chemin is not None and chemin.name.lower().endswith(s)), None)


def format_du_fichier(chemin: Path) -> str:
    """Le format d'un fichier existant : d'après ses premiers octets, puis son nom."""
    with disque("Lire", chemin), chemin.open("rb") as fichier:
        tete = fichier.read(16)
    par_signature = (nom for nom, d in ECRIVAINS.items() if d.signature and tete.startswith(d.signature))
    par_nom = format_du_chemin(chemin) or "csv"
    if est_du_texte(tete) and ECRIVAINS[par_nom].signature:  # un texte n'est d'aucun de ceux-là, quoi qu'en dise le nom
        par_nom = "csv"
    return next(par_signature, par_nom)


def lecteur_de(chemin: Path, table: str | None) -> Sortie:
    """L'écrivain qui sait lire ce fichier : son format, et celui des types qui s'y reconnaît (à défaut, le premier)."""
    decrit = ECRIVAINS[format_du_fichier(chemin)]
    if table is None and isinstance(decrit, FormatSqlite):
        tables = decrit(chemin).tables()
        table = tables[0] if len(tables) == 1 else OHLCV.nom
    lecteurs = [decrit(chemin, type_donnee=donnee, table=table) for donnee in TYPES.values()]
    du_nom = next((lecteur for lecteur in lecteurs if lecteur.type_donnee.nom == table), lecteurs[0])
    return next((lecteur for lecteur in lecteurs if lecteur.est_le_sien()), du_nom)


def lire_sortie(chemin: Path, *, table: str | None = None) -> pa.Table:
    """Les lignes d'une sortie, dans l'un des quatre formats, triées par clé.

    `table` : celle d'une base SQLite ; par défaut celle de nos lignes s'il n'y en a qu'une, « ohlcv » sinon.
    """
    ecrivain = lecteur_de(chemin, table)
    donnee = ecrivain.type_donnee
    tout = pa.concat_tables([donnee.schema.empty_table(), *ecrivain.lire_tout()])
    # Une base rend ses lignes dans l'ordre de leur clé entière, plusieurs timeframes dans une table ; un fichier, d'une
    # seule famille, a pu être retouché à la main.
    return trier(tout, donnee) if isinstance(ecrivain, SortieFichier) and not est_triee(tout, donnee) else tout


def lire_fiches(chemin: Path, *, table: str | None = None) -> list[Fiche]:
    """Les fiches d'une sortie, dans l'un des quatre formats ; `table` : voir `lire_sortie`."""
    return lecteur_de(chemin, table).lire_fiches()


# ----------------------------------------------------------------------------------------------------------------------
# § 7   Exchange
# ----------------------------------------------------------------------------------------------------------------------

TYPES_MARCHE = ("spot", "swap", "future", "margin", "option")
SOUS_TYPES = ("linear", "inverse")
MODES_MARGE = ("isolated", "cross")
PRIX = ("last", "mark", "index", "premiumIndex")
BOUGIES_VIDES = ("omettre", "reporter")
_CAPACITE_DU_PRIX = {"mark": "fetchMarkOHLCV", "index": "fetchIndexOHLCV", "premiumIndex": "fetchPremiumIndexOHLCV"}
ESSAIS_TEMOIN = 4  # d'un timeframe plus long que la série : quatre secondes ; huit essais en prennent quarante
LIMITE_PAR_DEFAUT = 100  # là où ni `features` ni la table ne disent la page : toutes les classes en demandent autant
BOUGIES = "bougies"  # celles du REST
NIVEAUX_DE_PLUS = 10  # demandés pour un niveau rendu, d'un carnet partiel : le prix en sort moins vite


class Particularite(NamedTuple):
    """Ce que `features` et la classe ccxt ne disent pas d'un exchange, ou disent mal."""

    # La demande d'une page de bougies
    limites: Mapping[str, int] = MappingProxyType({})  # bougies par page, par genre de marché
    # (timeframe, marché) -> vrai là où `limit` fait ignorer la fenêtre, ou la fait refuser
    sans_limite: Callable[[Timeframe, Mapping[str, Any]], bool] | None = None
    relecture: Mapping[str, Any] = MappingProxyType({})  # paramètres d'une page redemandée
    # (debut, fin incluse, timeframe) -> les bornes sous leurs vrais noms, là où la classe écrit mal `until`
    bornes: Callable[[int, int, Timeframe], Mapping[str, Any]] | None = None
    # (timeframe, marché) -> durée que couvre au plus une demande
    fenetre_ms: Callable[[Timeframe, Mapping[str, Any]], int] | None = None
    until: bool = False  # `until` est le vrai nom de la fin chez l'exchange
    options: Mapping[str, Any] = MappingProxyType({})  # options de la classe ccxt, sous celles de l'utilisateur
    # La bougie rendue
    corrigee: Collection[str] = ()  # ce que la classe lit mal (`BOUGIES`, des flux) : `annexes_ccxt_fr/corrections.py`
    timeframes: Mapping[str, Any] = MappingProxyType({})  # corrections de ceux de la classe ; None : ôté
    # par genre, les timeframes que la classe annonce sans savoir les y demander
    absents: Mapping[str, Collection[str]] = MappingProxyType({})
    # par genre, l'unité du volume REST : « base », « cotation », « contrats » ou une monnaie ; sans elle, « base » au
    # comptant, inconnue d'un contrat
    unites: Mapping[str, str] = MappingProxyType({})
    # Les flux et les trades
    sujets_par_appel: int = 100  # symboles par appel groupé
    abonnements_par_s: float = 10.0  # au-delà, l'exchange coupe la connexion
    profondeurs: tuple[int, ...] = ()  # niveaux de carnet que l'exchange accepte ; vide : sa profondeur d'office
    # son flux dit tout ce qui change, son instantané les premiers niveaux : à partir de tant, il peut en taire
    carnet_partiel: int = 0
    carnet_borne: bool = False  # ce flux ne dit que ce qui change parmi autant de niveaux
    niveaux_de_l_instantane: int | None = None  # demandés là où la classe n'en dit pas le nombre
    canaux_faux: Collection[str] = ()  # flux que la classe lit de travers
    carnet_sans_reprise: bool = False  # d'une somme fausse, la classe referait un carnet des seules mises à jour
    trades_detail: Mapping[str, str] = MappingProxyType({})  # par nature : la méthode qui ne les réunit pas
    trades_arriere: Mapping[str, Any] | None = None  # paramètres d'une lecture des trades à reculons, par `after`
    trades_par_page: int = 1000  # trades demandés à la fois ; un exchange qui refuse en rendra cent
    volume_inverse_en_contrats: bool = False  # les bougies inverses du WebSocket ne sont pas dans l'unité du REST
    trades_en_contrats: bool = True  # leur quantité ; sinon celle de l'exchange : en base, en cotation d'un inverse
    trades_par_id: bool = False  # une page de trades réunis se demande par l'identifiant qui suit la précédente
    trades_a_confirmer: int = 0  # trades reçus entre deux relectures, là où les identifiants ne se suivent pas

    def niveaux_a_demander(self, profondeur: int, marche: Mapping[str, Any]) -> int | None:
        """Les niveaux de carnet à demander pour en rendre tant ; None : ceux que l'exchange donne d'office.

        Le plus qu'il ait, si ce n'est pas assez. Les options ont d'autres profondeurs (bybit).
        """
        voulus, offertes = profondeur * (NIVEAUX_DE_PLUS if self.carnet_partiel else 1), self.profondeurs
        return None if marche.get("option") else next((n for n in offertes if n >= voulus), max(offertes, default=None))


def genre_de(marche: Mapping[str, Any]) -> str:
    """Le genre d'un marché : « spot », ou « linear » et « inverse » pour un contrat."""
    sous_type = marche.get("subType") or ("inverse" if marche.get("inverse") else "linear")
    return str(sous_type) if marche.get("contract") else "spot"


def _compte_en_cotation(marche: Mapping[str, Any]) -> bool:
    """Vrai d'un contrat inverse, qui vaut tant de dollars ; d'une option, il vaut tant de la monnaie de base."""
    return bool(marche.get("contract") and marche.get("inverse") and not marche.get("option"))


_DETAIL_BINANCE = {"spot": "publicGetTrades", "linear": "fapiPublicGetTrades", "inverse": "dapiPublicGetTrades"}


def _contrats(valeur: T) -> dict[str, T]:
    return dict.fromkeys(("linear", "inverse"), valeur)


def _a_seoul(instant_ms: int) -> str:
    """« 2024-01-01 09:00:00 » : minuit UTC, à l'heure de Séoul."""
    return str((EPOQUE + dt.timedelta(milliseconds=instant_ms + 9 * HEURE_MS)).replace(microsecond=0, tzinfo=None))


# Ajouter une particularité : une ligne ici, avec le fait observé, et rien ailleurs. Les demandes sont celles des vraies
# classes de ccxt 4.5.90, capturées : tests/exchanges/test_classes.py les refait toutes.
PARTICULARITES: Mapping[str, Particularite] = {
    # features dit 500 hors spot ; la classe, et l'exchange, en rendent 1000.
    # Son carnet d'office (1000 niveaux) coûte 50 jetons d'instantané ; ses bougies inverses comptent en contrats.
    # Une connexion qui s'abonne plus de cinq fois par seconde est fermée. En groupe, ccxt suit d'office `miniTicker`,
    # sans vwap ni variation, ni les deux côtés du comptant. Un inverse : 200 jours au plus entre le début et la fin.
    **dict.fromkeys(
        ("binance", "binanceusdm", "binancecoinm"),
        Particularite(
            options={"watchTickers": {"name": "ticker"}},
            limites=_contrats(1000),
            fenetre_ms=lambda _timeframe, marche: 200 * JOUR_MS if marche.get("inverse") else 0,
            unites=_contrats("base"),
            profondeurs=(100, 500, 1000),
            carnet_partiel=100,
            volume_inverse_en_contrats=True,
            abonnements_par_s=4.0,
            trades_detail=_DETAIL_BINANCE,
            trades_par_id=True,
        ),
    ),
    # ccxt choisit entre `candles` (les 1440 dernières) et `history-candles` d'après l'horloge locale : une page
    # redemandée va toujours à la seconde, qui sert tout.
    # Ses trades : `since` est ignoré, seul l'historique par identifiant remonte.
    "okx": Particularite(
        relecture={"type": "HistoryCandles"},
        unites=_contrats("base"),
        trades_arriere={"method": "publicGetMarketHistoryTrades", "type": "1"},
        trades_par_page=100,
    ),
    # Dix sujets par abonnement au comptant. Les trades des contrats ont des identifiants tirés au hasard, les mêmes en
    # REST, qui sert les mille derniers.
    "bybit": Particularite(
        unites=_contrats("base"),
        sujets_par_appel=10,
        profondeurs=(50, 200, 1000),
        trades_a_confirmer=500,
    ),
    # Dix niveaux de carnet d'office.
    "kraken": Particularite(profondeurs=(10, 25, 100, 500, 1000)),
    # Carnets des contrats, et de gateeu : « only updates within are notified », sans un mot du niveau qui y entre, ni
    # de celui qui en sort et change.
    "gate": Particularite(unites=_contrats("contrats"), carnet_partiel=50, carnet_borne=True, corrigee=("ticker",)),
    # Ses carnets partent de cent niveaux, sans clés.
    "kucoin": Particularite(carnet_partiel=100),
    # Un contrat demandé avec `size` rend les dernières bougies : `from` et `to` sont ignorés.
    # Ses trades : les derniers seulement, deux mille au plus.
    "htx": Particularite(sans_limite=lambda _timeframe, marche: bool(marche.get("contract")), trades_par_page=2000),
    "bitfinex": Particularite(trades_par_page=10_000, carnet_sans_reprise=True, profondeurs=(25, 100)),
    "apex": Particularite(profondeurs=(25, 200), corrigee=("ticker",)),
    # Dix niveaux d'office.
    "derive": Particularite(profondeurs=(10, 20, 100), corrigee=("trades",)),
    "whitebit": Particularite(profondeurs=(10, 20, 50, 100)),
    "independentreserve": Particularite(carnet_sans_reprise=True),
    # Son flux ne dit que des écarts : la classe rend chacun pour un carnet entier.
    "coincheck": Particularite(canaux_faux=("orderbook",)),
    # La classe rognerait à mille niveaux un carnet entier : ceux d'au-delà n'y reviendraient pas avec le prix.
    **dict.fromkeys(("coinbaseinternational", "extended"), Particularite(options={"watchOrderBookLimit": 10**6})),
    # La classe lit son carnet par REST, puis s'abonne : ce qui change entre les deux n'est dit nulle part.
    "nado": Particularite(canaux_faux=("orderbook",)),
    # Hors spot, 90 jours au plus entre le début et la fin. Avec des clés, la classe demande d'abord, par une requête
    # signée, le genre du compte : les bougies sont publiques, et ne dépendent pas de lui.
    "bitget": Particularite(
        fenetre_ms=lambda _timeframe, marche: 90 * JOUR_MS if marche.get("contract") else 0,
        absents={"spot": ("2h",)},
        options={"uta": False},
    ),
    # Un fichier par demande, et une erreur là où il n'y en a pas.
    "bitbank": Particularite(
        corrigee=(BOUGIES,),
        fenetre_ms=lambda timeframe, _marche: JOUR_MS * (365 if timeframe.pas_ms >= 4 * HEURE_MS else 1),
    ),
    # La classe envoie `until`, que l'exchange ne connaît pas : il attend `till`. Sans lui, il part de la plus récente.
    "hitbtc": Particularite(bornes=lambda _debut, fin, _timeframe: {"till": en_iso(fin)}),
    # La classe met `to` en ms et `from` en s : une page allait jusqu'à l'an 56 000.
    "indodax": Particularite(bornes=lambda _debut, fin, _timeframe: {"to": fin // 1000}),
    # La classe ne dit rien de la fenêtre ; l'exchange en lit la fin, exclue, à l'heure de Séoul.
    "bithumb": Particularite(bornes=lambda _debut, fin, _timeframe: {"to": _a_seoul(fin + 1)}),
    # La classe écrit `fromIso` et `toIso`, que l'exchange ne lit pas.
    "dydx": Particularite(bornes=lambda debut, fin, _timeframe: {"fromISO": en_iso(debut), "toISO": en_iso(fin)}),
    # La classe refuse une page qui a et son début et sa fin : le début suffit. Ses flux sont ceux d'une API d'avant :
    # quantités en cent-millionièmes, trades nommés autrement qu'en REST, des trames de bougies où la classe bute.
    "cex": Particularite(bornes=lambda _debut, _fin, _timeframe: {}, canaux_faux=("trades", "ohlcv")),
    "btcturk": Particularite(sans_limite=lambda timeframe, _marche: timeframe.code == "1y"),  # la classe la refuse
    # La classe demande une ligne de plus, 2000 au plus.
    "lbank": Particularite(limites={"spot": 1999}, corrigee=("ohlcv", "trades", "ticker", "orderbook")),
    "revolutx": Particularite(until=True),
    # features dit 2000 pour les inverses, la classe en demande 1000. `1Y` est son `1y`. De ses dernières, l'exchange ne
    # sert que 5, 10, 50, 100, 500 ou 1000 : tout autre nombre est un refus (ccxt#26619).
    "phemex": Particularite(
        limites={"inverse": 1000},
        sans_limite=lambda _timeframe, marche: not marche.get("linear"),
        timeframes={"1Y": None, "1y": "31104000"},
        corrigee=("ticker",),
    ),
    # La classe multiplie les trades d'un contrat par sa taille.
    "bitrue": Particularite(trades_en_contrats=False),
    # Ce que la classe nomme 1w a un pas de trois jours (259 200 s). features ne dit rien des contrats, que la même
    # demande sert. Le flux dit tout son carnet ; rien ne dit que l'instantané en ait tous les niveaux.
    "bitstamp": Particularite(limites=_contrats(1000), timeframes={"1w": None, "3d": "259200"}, carnet_partiel=100),
    # La classe demande 480 minutes pour 4h, au comptant. D'un contrat, la référence de l'exchange dit 500 bougies par
    # page au plus, et un de ses exemples 1000.
    "zebpay": Particularite(limites=_contrats(500), until=True, timeframes={"4h": 240}),
    # Un pas fixe de 28 jours n'est pas un mois.
    "ndax": Particularite(timeframes={"1M": None, "4M": None}, corrigee=(BOUGIES,)),
    **dict.fromkeys(("bitopro", "onetrading"), Particularite(corrigee=(BOUGIES,))),
    **dict.fromkeys(
        ("bingx", "blockchaincom", "coinbaseexchange", "grvt", "modetrade", "weex", "woo", "woofipro"),
        Particularite(corrigee=("ticker",)),
    ),
    "luno": Particularite(corrigee=("trades",)),
    # Ses trades ont un identifiant sans suite, le même en REST, qui sert les deux cents derniers.
    "upbit": Particularite(corrigee=("trades",), trades_par_page=200, trades_a_confirmer=100),
    "coinbase": Particularite(corrigee=("trades", "ticker", "orderbook")),
    "cryptocom": Particularite(corrigee=("ticker", "orderbook")),
    # La classe écrit `15` et `30`. features ne dit rien des contrats, que la même demande sert.
    "backpack": Particularite(
        limites=_contrats(1000),
        timeframes={"15": None, "30": None, "15m": "15m", "30m": "30m"},
        corrigee=("trades", "ohlcv"),
        carnet_partiel=100,
    ),
    # Ses trades ont des uuid, les mêmes en REST ; son carnet part de mille niveaux, par le flux.
    "bitvavo": Particularite(trades_a_confirmer=500, carnet_partiel=1000),
    "toobit": Particularite(limites=_contrats(1000)),  # features ne dit que le comptant ; la demande est la même
    "bullish": Particularite(limites={"spot": 100, **_contrats(100)}),  # features dit 1000, la classe demande 100
    "btcmarkets": Particularite(limites={"spot": 200}),  # features dit 1000, la classe envoie 200 au plus
    # Le volume des contrats. poloniex, deepcoin : prouvé par le chiffre d'affaires enregistré. mexc : 0,01 ETH.
    "poloniex": Particularite(unites=_contrats("contrats"), corrigee=("trades",)),
    "deepcoin": Particularite(unites=_contrats("contrats"), corrigee=("trades", "ohlcv")),
    # features dit 1000, l'exchange rend 500. Au comptant, la classe demande 8h sans le nommer (interval=None).
    # Elle nomme elle-même les trades sans identifiant : deux trades identiques avaient le même.
    "mexc": Particularite(
        limites={"spot": 500},
        unites=_contrats("contrats"),
        carnet_partiel=100,
        options={"useCcxtTradeId": False},
    ),
    # Un contrat inverse vaut un dollar : 319 499 en une heure.
    "krakenfutures": Particularite(unites={"inverse": "USD"}, corrigee=("trades", "ticker")),
    # « volume in quote currency », au comptant aussi ; de ses tickers, la classe en fait un volume en cotation.
    "btse": Particularite(unites={"spot": "cotation", **_contrats("cotation")}),
    "hibachi": Particularite(unites=_contrats("cotation")),  # `volumeNotional`
    # Trades en monnaie de base, en dollars ceux d'un inverse (une option exceptée) ; bougies « in base currency ».
    # Ses identifiants se suivent parmi tous les marchés d'une monnaie ; les mêmes en REST, qui en sert mille.
    "deribit": Particularite(trades_en_contrats=False, unites=_contrats("base"), trades_a_confirmer=500),
    # La classe multiplie elle-même les trades par la taille du contrat. Son carnet part de cinquante niveaux, le plus
    # que le REST serve d'un contrat.
    "xt": Particularite(trades_en_contrats=False, carnet_partiel=50, niveaux_de_l_instantane=500),
}

# Leur classe ne voit pas une trame de carnet perdue, ou s'en remet mal : `annexes_ccxt_fr/carnets.py` la voit.
CARNETS_NUMEROTES = frozenset({
    "apex", "backpack", "bitget", "bittrade", "bitvavo", "blockchaincom", "blofin", "bybit", "deribit", "extended",
    "gate", "gemini", "grvt", "hitbtc", "htx", "kraken", "krakenfutures", "kucoin", "lighter", "mexc", "poloniex",
    "weex", "whitebit", "xt",
})  # fmt: skip
# Elle raccorde mal le flux à l'instantané, ou demande des prix arrondis : sans cette annexe, le carnet serait faux.
CARNETS_MAL_LUS = frozenset({"bitstamp", "deepcoin", "derive", "gate", "kucoin", "mexc", "p2b", "xt"})


@dataclass(frozen=True)
class Reglages:
    """Ce qu'il faut pour ouvrir un exchange ; le repr tait ce qui peut porter un secret."""

    exchange: str
    type_marche: str = "spot"
    sous_type: str | None = None
    mode_marge: str | None = None
    timeout: int = 30_000
    essais: int = 8
    sandbox: bool = False
    hors_ligne: bool = False
    proxy: str | None = field(default=None, repr=False)
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    params: Mapping[str, Any] = field(default_factory=dict, repr=False)
    config_ccxt: Mapping[str, Any] = field(default_factory=dict, repr=False)
    identifiants: Mapping[str, str] = field(default_factory=dict, repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)  # toutes les clés connues, employées ou non : à taire


def fondre_dicts(base: Mapping[str, Any], ajout: Mapping[str, Any]) -> dict[str, Any]:
    """Fusion profonde : `ajout` l'emporte, les dictionnaires se complètent."""
    communs = [nom for nom in ajout if isinstance(base.get(nom), Mapping) and isinstance(ajout[nom], Mapping)]
    return {**base, **ajout, **{nom: fondre_dicts(base[nom], ajout[nom]) for nom in communs}}


# --- La classe ccxt, rendue bruyante ---

FLOTTANT_EXACT = 1 << 53  # le plus grand entier sous lequel un flottant les tient tous
# Un corps qui n'est pas du JSON n'est une réponse que s'il est un nombre ou un texte entre guillemets.
_CORPS_SCALAIRE = r'-?\d+(\.\d+)?|".*"'


class ReponseIllisible(ErreurTemporaire):
    """Un corps qui n'est pas du JSON, reçu avec un code de succès."""


class _Bruyante:
    """À mettre devant une classe ccxt : ce qu'elle avale en silence devient une erreur, rien d'autre ne change.

    Une page HTML, un corps vide, `null` ou un JSON coupé reçus avec un code 200 sortent de ccxt comme `[]` : un trou
    silencieux, ou un type de marché qui disparaît. Le code HTTP et les en-têtes sont gardés sur les erreurs : c'est là
    qu'est `Retry-After`.
    """

    requetes = 0
    date_serveur: str | None = None
    date_recue_ms = 0  # quand, à l'horloge locale
    particularite = Particularite()
    carnets_numerotes = False
    sans_cles = False
    timeout_on_exit = 0  # ccxt attend un quart de seconde une fermeture qu'aiohttp attend déjà
    signaler: Callable[[Exception], None] | None = None  # ce qui coupe un flux, sans attendre que quelqu'un demande
    a_rebours: bool | None = None  # ses listes de trades commencent par le plus récent

    @staticmethod
    def to_array(valeur: Any) -> Any:
        """Celui de ccxt ne tient pas une sous-classe de `dict` pour un `dict` : nos rayons en sont (backpack)."""
        return list(valeur.values()) if isinstance(valeur, dict) else valeur

    async def fetch_markets(self, params: Any = None) -> Any:
        """Les marchés, sans rien de privé : une clé invalide, ou sans droits, n'empêche pas de lire ce qui est public.

        kucoin y joint ses listes de marge, gate et coinbase ce qu'ils savent du compte.
        """
        self.sans_cles = True
        try:
            return await super().fetch_markets(params or {})  # type: ignore[misc]  # la classe ccxt est dessous
        finally:
            self.sans_cles = False

    def check_required_credentials(self, error: bool = True) -> bool:
        """Vrai si les clés sont là ; sans les exiger, une classe ne veut que savoir si elle peut joindre du privé."""
        return (error or not self.sans_cles) and bool(super().check_required_credentials(error))  # type: ignore[misc]

    def safe_integer(self, donnees: Any, cle: Any, defaut: Any = None) -> Any:
        """Un entier, avec tous ses chiffres : ccxt le lit par un flottant, qui en tient quinze."""
        entier = super().safe_integer(donnees, cle, defaut)  # type: ignore[misc]  # la classe ccxt est dessous
        if type(entier) is int and entier > FLOTTANT_EXACT:
            with contextlib.suppress(LookupError, TypeError, ValueError):
                return int(donnees[cle])
        return entier

    def safe_integer_2(self, donnees: Any, cle: Any, autre: Any, defaut: Any = None) -> Any:
        """Le premier des deux."""
        entier = self.safe_integer(donnees, cle)
        return self.safe_integer(donnees, autre, defaut) if entier is None else entier

    def safe_integer_product(self, donnees: Any, cle: Any, facteur: float, defaut: Any = None) -> Any:
        """Des ns à rendre en ms, sans flottant : d'un trade sur huit (kucoin), sur trois, ccxt ôterait une ms."""
        if facteur == 0.000001 and (nanosecondes := self.safe_integer(donnees, cle)) is not None:
            return nanosecondes // 10**6
        return super().safe_integer_product(donnees, cle, facteur, defaut)  # type: ignore[misc]

    def safe_trade(self, trade: Any, market: Any = None) -> Any:
        """D'une quantité que la classe a déjà multipliée par la taille du contrat, ccxt fausserait le montant."""
        if market and market.get("contract") and not self.particularite.trades_en_contrats:
            market = {**market, "contractSize": 1}
        return super().safe_trade(trade, market)  # type: ignore[misc]

    def sort_by_2(self, lignes: Any, cle: str, autre: str, descending: bool = False) -> Any:
        """Des trades, dans l'ordre de l'exchange, que ccxt défait dans un même instant.

        Sans id, il laisse à rebours ceux d'une liste qui commence par la fin (phemex, hollaex) ; d'un uuid (bitvavo,
        derive), il compare les textes. L'ouverture et la clôture d'une bougie qui en est faite seraient fausses.
        """
        if (cle, autre) != ("timestamp", "id") or descending or not lignes:
            return super().sort_by_2(lignes, cle, autre, descending)  # type: ignore[misc]  # la classe ccxt est dessous
        instants = [_en_nombre(ligne.get(cle)) or 0.0 for ligne in lignes]
        montees = sum((apres > avant) - (apres < avant) for avant, apres in itertools.pairwise(instants))
        if abs(montees) > 1 or (montees and self.a_rebours is None):  # d'une seule, un retardataire peut être la cause
            self.a_rebours = montees < 0
        return sorted(reversed(lignes) if self.a_rebours else lignes, key=_rang_de_trade)

    def on_json_response(self, corps: str) -> Any:
        """Un nombre non fini (NaN, 1e999) n'abîme que sa ligne : orjson, par qui ccxt lit, refuse tout le corps."""
        try:
            return super().on_json_response(corps)  # type: ignore[misc]
        except ValueError:
            return json.loads(corps)

    def client(self, url: str) -> Any:
        """Le client WebSocket d'une adresse, rendu bruyant lui aussi."""
        client = super().client(url)  # type: ignore[misc]  # la classe ccxt est dessous
        if self.signaler is not None and not hasattr(client, "bruyant"):
            client.bruyant = True
            _rendre_bruyant(client, self.signaler)
        return client

    def on_error(self, client: Any, erreur: Exception) -> None:
        """Une connexion WebSocket est morte d'une erreur."""
        super().on_error(client, erreur)  # type: ignore[misc]
        if self.signaler is not None:
            self.signaler(erreur)

    def on_close(self, client: Any, code: Any) -> None:
        """L'exchange a fermé une connexion WebSocket."""
        super().on_close(client, code)  # type: ignore[misc]
        if self.signaler is not None:
            self.signaler(ConnectionError(f"connexion fermée par l'exchange (code {code})"))

    def init_throttler(self, cost: Any = None) -> None:  # noqa: ARG002  signature de ccxt
        """Notre limiteur à la place de celui de ccxt, et la pause commune."""
        self.frein = Frein()
        pause_ms, fenetres = float(self.rateLimit), annexe_ou_rien("fenetres")  # type: ignore[attr-defined]
        par_s = 1000 / pause_ms if pause_ms > 0 else math.inf
        self.throttler: Limiteur = fenetres.limiteur_de(self, par_s) if fenetres else Limiteur(par_s)

    async def throttle(self, cost: Any = None) -> None:
        """Le tour de passage de ccxt, puis la pause commune.

        Ce qui attendait son tour quand un 429 est arrivé attend aussi, puis repart au débit permis, pas d'un bloc.
        """
        await super().throttle(cost)  # type: ignore[misc]  # la classe ccxt est dessous
        while self.frein.reste_s:
            await self.frein.attendre()
            await super().throttle(cost)  # type: ignore[misc]

    def describe(self) -> Any:
        """La description de l'exchange, ses timeframes corrigés."""
        decrit = super().describe()  # type: ignore[misc]  # la classe ccxt est dessous
        if corrections := self.particularite.timeframes:
            offerts = {code: v for code, v in {**decrit["timeframes"], **corrections}.items() if v is not None}
            decrit["timeframes"] = dict(sorted(offerts.items(), key=lambda paire: Timeframe.lire(paire[0]).pas_ms))
        return decrit

    async def bougies_ou_rien(self, *demande: Any) -> Any:
        """`fetch_ohlcv`, où une erreur qui veut dire « rien ici » est une page vide : elle ne prouve rien non plus."""
        ccxt = importer("ccxt.base.errors", "Parler à un exchange")
        try:
            return await self.fetch_ohlcv(*demande)  # type: ignore[attr-defined]
        except ccxt.BaseError as erreur:
            # Un code HTTP dont la classe ne lit pas le corps est pour ccxt une panne passagère, 400 et 404 compris.
            refus = isinstance(erreur, ccxt.ExchangeError) or getattr(erreur, "statut_http", 0) in REFUS_HTTP
            if not refus or re.search(_RIEN_ICI, str(erreur)) is None:
                raise
            journal.debug("Tenu pour une page vide, qui ne prouve rien : %s", type(erreur).__name__)
            return []

    async def fetch2(
        self, path: str, api: Any = "public", method: str = "GET", params: Any = None, config: Any = None
    ) -> Any:
        """Retient les paramètres unifiés que la classe n'a pas lus, et qui partiraient tels quels.

        Une trentaine enverraient `until` à un exchange qui ne le connaît pas, ou s'y trompe. bingx n'a pas de prix mark
        pour ses contrats inverses : il rendrait, sans un mot, les prix « last ».
        """
        if isinstance(params, dict):
            if params.get("price") in _CAPACITE_DU_PRIX:
                raise ErreurDemande(
                    f"{self.id} ne sert pas le prix « {params['price']} » pour ce marché",  # type: ignore[attr-defined]
                    "Demandez prix_ohlcv: last, ou un autre contrat.",
                )
            if "until" in params and not self.particularite.until:
                params = {nom: valeur for nom, valeur in params.items() if nom != "until"}
        return await super().fetch2(path, api, method, params or {}, config or {})  # type: ignore[misc]

    async def fetch(self, url: str, method: str = "GET", headers: Any = None, body: Any = None) -> Any:
        """Compte la requête ; une erreur porte le délai qu'elle avait."""
        self.requetes += 1
        try:
            return await super().fetch(url, method, headers, body)  # type: ignore[misc]  # la classe ccxt est dessous
        except Exception as erreur:
            erreur.delai_ms = self.timeout  # type: ignore[attr-defined]
            raise

    def handle_errors(
        self, code: int | None, raison: str, url: str, methode: str, entetes: Any, corps: str, *reste: Any
    ) -> Any:
        """Refuse un corps illisible, puis contrôle comme ccxt ; note le code et les en-têtes sur l'erreur."""
        code = code or 0  # bitvavo n'en donne pas d'un refus de son flux
        self.date_serveur = next((v for k, v in (entetes or {}).items() if k.lower() == "date"), None)
        self.date_recue_ms = maintenant_ms()
        self.throttler.noter_reponse(url, entetes or {})
        if code < 400 and reste[0] is None and not re.fullmatch(_CORPS_SCALAIRE, (corps or "").strip()):
            raise ReponseIllisible(
                # L'adresse sans ses paramètres, où une clé ou une signature peut se trouver.
                f"Réponse illisible (code {code}, {extrait(corps) or 'corps vide'}) à {methode} {url.partition('?')[0]}"
            )
        reconnue = True
        try:
            suite = super().handle_errors(code, raison, url, methode, entetes, corps, *reste)  # type: ignore[misc]
            reconnue = False  # la classe n'y a rien vu : le code HTTP en décide
            self.handle_http_status_code(code, raison, url, methode, corps)  # type: ignore[attr-defined]
        except Exception as erreur:
            erreur.statut_http, erreur.entetes_http = code, dict(entetes or {})  # type: ignore[attr-defined]
            erreur.reconnue = reconnue  # type: ignore[attr-defined]
            raise
        return suite


def _lire_toutes(self: Any, ohlcvs: Any, market: Any = None, *_args: Any, **_kwargs: Any) -> list[Any]:
    """Remplace `parse_ohlcvs` : ni tri ni coupe par ccxt, qui ôte en silence les lignes sans horodatage.

    Les lignes hors fenêtre sont des preuves (le trou est-il dans la page ?) ; c'est `entre` qui coupe.
    """
    lignes = list(ohlcvs or ())
    if colonnes := annexe_ou_rien("colonnes"):
        return list(colonnes.lire_page(self, lignes, market))
    return [self.parse_ohlcv(ligne, market) for ligne in lignes]  # une à une, deux fois moins vite


def sans_reglement(symbole: str) -> str:
    """« BTC/USDT » pour « BTC/USDT:USDT » : la forme courte d'un symbole."""
    return symbole.partition(":")[0]


EXTRAIT_LU = 10_000  # d'un corps de soixante Mo, n'analyser que le début


def extrait(corps: str | None, longueur: int = 200) -> str:
    """Le début d'un corps de réponse, sur une ligne, sans balises ni séquence d'échappement."""
    texte = neutraliser(" ".join(re.sub(r"<[^>]*>", " ", (corps or "")[:EXTRAIT_LU]).split()))
    return texte if len(texte) <= longueur else texte[:longueur] + "…"


def identifiants_exchanges() -> list[str]:
    """Les identifiants de tous les exchanges de ccxt, triés."""
    return sorted(importer("ccxt.async_support", "Parler à un exchange").exchanges)


def _classe_de_ccxt(paquet: str, exchange: str) -> Any:
    """La classe d'un exchange dans un paquet de ccxt ; None s'il n'en a pas de ce nom.

    L'annexe n'importe qu'elle et ses parentes : un quart de seconde de CPU, au lieu d'une pour tout le paquet.
    """
    paquets = annexe_ou_rien("paquets")
    if paquets is None:
        entier = importer(paquet, "Parler à un exchange")
        return getattr(entier, exchange) if exchange in entier.exchanges else None
    classe = getattr(paquets.importer_une_classe(paquet, exchange), exchange, None)
    socle = importer("ccxt.async_support.base.exchange", "Parler à un exchange").Exchange
    return classe if isinstance(classe, type) and issubclass(classe, socle) else None


# Ce que les annexes mettent devant toute classe ; copié seul, le module s'en passe.
_COUCHES = {"corps": "Bornee", "traces": "Tracee", "vitesse": "Datee"}


@functools.cache
def _classe(exchange: str) -> Any:
    """La classe `ccxt.pro` de l'exchange si elle existe, sinon `ccxt.async_support`, corrigée et rendue bruyante."""
    du_rest = _classe_de_ccxt("ccxt.async_support", exchange)
    if du_rest is None:
        connus = identifiants_exchanges()
        raise ErreurDemande(
            f"Exchange inconnu : « {exchange} »", proches(exchange, connus) or "La liste : --lister exchanges."
        )
    base = _classe_de_ccxt("ccxt.pro", exchange) or du_rest
    lignee = [parente.__name__ for parente in base.__mro__]  # okxus est okx, gateeu est gate
    nom = next((nom for nom in lignee if nom in PARTICULARITES), "")
    particularite = PARTICULARITES.get(nom, Particularite())
    devant: list[Any] = []
    if particularite.corrigee:
        # Copié seul, ses bougies se lisent, si ce sont ses flux qu'elle lit de travers : `controler_flux` les refuse.
        with contextlib.suppress(*() if BOUGIES in particularite.corrigee else (DependanceAbsente,)):
            devant.append(annexe("corrections", f"Lire {exchange} juste").CORRECTIONS[nom])
    ajouts: dict[str, Any] = {
        "particularite": particularite,
        "carnets_numerotes": not CARNETS_NUMEROTES.isdisjoint(lignee),
        "carnets_mal_lus": not CARNETS_MAL_LUS.isdisjoint(lignee),
    }
    if ajouts["carnets_numerotes"] or ajouts["carnets_mal_lus"]:
        with contextlib.suppress(DependanceAbsente):
            devant += annexe("carnets", "Lire un carnet").couches(lignee)
    for fichier, couche in _COUCHES.items():
        devant += [getattr(piece, couche)] if (piece := annexe_ou_rien(fichier)) else []
    socle = importer("ccxt.async_support.base.exchange", "Parler à un exchange").Exchange
    if base.parse_ohlcvs is socle.parse_ohlcvs:  # btcturk a la sienne, qui lit des colonnes
        ajouts["parse_ohlcvs"] = _lire_toutes
    return type(base.__name__, (*devant, _Bruyante, base), ajouts)


# --- Traduction des erreurs de ccxt ---

CONSEIL_RESEAU = "Vérifiez le réseau et --proxy ; relancer reprend où l'on en est."
_CONSEIL_CLES = "Vérifiez API_KEY, API_SECRET (et API_PASSWORD) dans l'environnement ou le .env, et leurs droits."
_CONSEIL_PAYS = "L'exchange refuse ce pays ou cette adresse : passez par --proxy, ou prenez un autre exchange."
_CONSEIL_DEMANDE = "L'exchange refuse cette demande : voyez --params, --limite et le timeframe."
_CONSEIL_DEBIT = "Laissez passer le temps indiqué, baissez --concurrence, ou espacez les exécutions."

# (classe ccxt, notre classe, conseil), du plus précis au plus général : la première qui convient l'emporte.
# Ajouter une erreur : une ligne, ici seulement.
TRADUCTIONS: tuple[tuple[str, type[ErreurCollecte], str], ...] = (
    ("DDoSProtection", LimiteDeDebit, _CONSEIL_DEBIT),
    ("RateLimitExceeded", LimiteDeDebit, _CONSEIL_DEBIT),
    ("AuthenticationError", ErreurDefinitive, _CONSEIL_CLES),
    ("InvalidProxySettings", ErreurDemande, "Un seul proxy à la fois : voyez --proxy et --config-ccxt."),
    ("RestrictedLocation", ErreurDefinitive, _CONSEIL_PAYS),
    ("OperationRejected", ErreurDefinitive, "L'exchange refuse pour l'instant : son site dit d'ordinaire pourquoi."),
    ("ContractUnavailable", ErreurDefinitive, "Le contrat a pu échoir : --lister marches."),
    ("ExchangeClosedByUser", ErreurDefinitive, ""),
    ("NotSupported", ErreurDefinitive, "Voyez ce que l'exchange offre : --lister marches, --lister timeframes."),
    ("BadSymbol", ErreurDefinitive, "Le symbole a pu être retiré : --lister marches."),
    ("BadRequest", ErreurDefinitive, _CONSEIL_DEMANDE),
    ("ArgumentsRequired", ErreurDefinitive, "Donnez ce paramètre par --params ou --options."),
    ("OperationFailed", ErreurTemporaire, CONSEIL_RESEAU),
    # Ce que ccxt ne classe pas (corps tronqué, code d'erreur inconnu de lui) est réessayé, en nombre borné.
    ("ExchangeError", ErreurTemporaire, CONSEIL_RESEAU),
    ("BaseError", ErreurDefinitive, ""),
)

REFUS_HTTP = frozenset({400, 404, 410, 422})  # d'une demande mal faite ; les autres 4xx ont leur classe, ou passent

# bitmart : « no data » avant la cotation ; bitbank : 10000, « URL does not exist », un jour sans fichier.
_RIEN_ICI = r"(?i)(?<![a-z])no[ _](?:data|candles?|klines?)(?![a-z])|bitbank .*\"code\": ?\"?10000\b"
# gate : « Candlestick too long ago. Maximum 10000 points ago are allowed ».
_TROP_ANCIEN = r"(?i)too (?:long ago|old|far)|maximum \d+ points|out of (?:history|available) range"
_POINTS = r"(?i)maximum (\d+) points"
# bitget : « The start and end time cannot exceed 90 days », « interval cannot be greater than 30 days » ; binance :
# « Time interval must be within 0-90 days » ; gate : « Candlestick range too broad » ; coinbase, btse : « granularity
# too small for the requested time range ».
_TROP_LONGUE = (
    r"(?i)\b(?:range|interval|window|period|time|endTime|data|candles|records)\b.{0,60}?"
    r"(?:\bexceed|\btoo (?:large|long|wide|broad|big)\b|\b(?:(?:less|greater|more) than|within|up to) \d{1,4}\b)"
    r"|\b(?:exceed\w*|too small for)\b.{0,40}?\b(?:range|window|period)\b"
)
_JOURS = r"(?i)(\d+)[ -]?days?\b"
_BANNI = r"(?i)banned until (\d{13})"
_TROP_FREQUENT = r"(?i)too (?:frequent|many)|rate.?limit"
_TROP_DE_REQUETES = r"(?i)\btoo (?:frequent|many requests)|rate.?limit|\brequests (?:per|in)\b"
_PAYS_REFUSE = r"(?i)restricted location|not available in your (?:country|region)|block access from your country"


def _nombre_dit(motif: str, texte: str) -> int | None:
    trouve = re.search(motif, texte)
    return int(trouve[1]) if trouve else None


def traduire(erreur: Exception, quoi: str, heure_ms: int) -> ErreurCollecte:
    """L'erreur du module qui correspond à une erreur levée pendant un appel à ccxt."""
    if isinstance(erreur, ErreurCollecte):
        illisible = isinstance(erreur, ReponseIllisible)
        return ErreurTemporaire(f"{quoi} : {erreur}", CONSEIL_RESEAU) if illisible else erreur
    # Une adresse sans ses paramètres : ils prendraient toute la place, et une clé peut s'y trouver.
    tout = extrait(re.sub(r"(https?://[^\s?]+)\?\S*", r"\1", str(erreur)[:EXTRAIT_LU]), 600)
    texte = extrait(tout, 300) or type(erreur).__name__
    statut = getattr(erreur, "statut_http", 0)
    if statut == 451 or re.search(_PAYS_REFUSE, tout):
        return ErreurDefinitive(
            f"{quoi} : accès refusé{f' (code {statut})' if statut else ''} : {texte}", _CONSEIL_PAYS
        )
    if re.search(_TROP_ANCIEN, tout):
        return HorsFenetre(f"{quoi} : trop ancien pour l'exchange : {texte}", admis=_nombre_dit(_POINTS, tout))
    noms = {parente.__name__ for parente in type(erreur).__mro__}
    # Une réponse d'une forme inattendue fait lever à ccxt TypeError, KeyError… : passager, jusqu'à preuve du contraire.
    traductions = ((classe, conseil) for nom, classe, conseil in TRADUCTIONS if nom in noms)
    classe, conseil = next(traductions, (ErreurTemporaire, CONSEIL_RESEAU))
    # Une demande refusée par un code HTTP sans que la classe sache dire pourquoi.
    refus = statut in REFUS_HTTP and ("ExchangeError" in noms or not getattr(erreur, "reconnue", True))
    # Le débit se compte aussi par fenêtre de temps : son refus n'est pas celui de la fenêtre demandée.
    trop_longue = re.search(_TROP_LONGUE, tout) and not re.search(_TROP_DE_REQUETES, tout)
    if statut in (418, 429) or (statut == 403 and re.search(_TROP_FREQUENT, tout)):
        classe, conseil = LimiteDeDebit, _CONSEIL_DEBIT
    elif classe is not LimiteDeDebit and statut in {200, *REFUS_HTTP} and trop_longue:
        message = f"{quoi} : fenêtre trop longue pour l'exchange : {texte}"
        return FenetreTropLongue(message, _CONSEIL_DEMANDE, _nombre_dit(_JOURS, tout))
    elif classe is ErreurTemporaire and refus:
        classe, conseil = RefusProbable, _CONSEIL_DEMANDE
    message = f"{quoi} : {texte}"
    # Sans code HTTP, c'est le réseau, dont ccxt ne dit que « binance GET https://… ».
    causes = None if statut else annexe_ou_rien("causes")
    if causes and (cause := causes.cause_reseau(erreur, texte)):
        message, conseil = f"{quoi} : {cause[0]}", cause[1]
    if classe is LimiteDeDebit:
        return LimiteDeDebit(message, conseil, _attente_demandee(erreur, tout, heure_ms))
    return classe(message, conseil)


MARGE_D_HEURE_MS = 500  # notre heure de l'exchange est une estimation : redemander trop tôt prolonge un bannissement


def _attente_demandee(erreur: Exception, texte: str, heure_ms: int) -> float | None:
    """Les secondes que l'exchange demande d'attendre (« banned until », `Retry-After`) ; None s'il n'en dit rien."""
    if banni := re.search(_BANNI, texte):
        return max(0.0, (int(banni[1]) + MARGE_D_HEURE_MS - heure_ms) / 1000)
    entetes = {nom.lower(): valeur for nom, valeur in getattr(erreur, "entetes_http", {}).items()}
    demande = entetes.get("retry-after", "").strip()
    if re.fullmatch(r"\d+(\.\d+)?", demande):
        return float(demande)
    date = _date_http(demande)
    return None if date is None else max(0.0, (date + MARGE_D_HEURE_MS - heure_ms) / 1000)


def _date_http(texte: str | None) -> int | None:
    """Un en-tête de date HTTP en ms, ou None."""
    try:
        return _instant_de_date(email_utils.parsedate_to_datetime(texte or ""))
    except (TypeError, ValueError):
        return None


# --- Configuration ---


def _config_proxy(proxy: str | None) -> dict[str, str]:
    """Les clés ccxt d'un proxy, REST et WebSocket (`proxyUrl` lève toujours en 4.5.90 : pas employé)."""
    if proxy is None:
        return {}
    if proxy.startswith("socks"):
        importer("aiohttp_socks", "Un proxy SOCKS")
        return {"socksProxy": proxy, "wsSocksProxy": proxy}
    return {"httpsProxy": proxy, "wssProxy": proxy}


def _config(reglages: Reglages) -> dict[str, Any]:
    """La configuration passée au constructeur ccxt ; `--options` puis `--config-ccxt` l'emportent."""
    type_marche = reglages.type_marche
    defauts = {
        **_classe(reglages.exchange).particularite.options,
        "defaultType": type_marche,
        "defaultSubType": reglages.sous_type,
        "defaultMarginMode": reglages.mode_marge,
    }
    options = fondre_dicts({cle: valeur for cle, valeur in defauts.items() if valeur is not None}, reglages.options)
    config = {
        "enableRateLimit": True,
        "timeout": reglages.timeout,
        "options": options,
        **_config_proxy(reglages.proxy),
        **reglages.identifiants,
    }
    return fondre_dicts(config, reglages.config_ccxt)


def instancier(reglages: Reglages) -> Any:
    """Une instance neuve de la classe ccxt ; ErreurDemande si sa configuration ne peut aller."""
    classe = _classe(reglages.exchange)
    if reglages.config_ccxt and (configuration := annexe_ou_rien("configuration")):  # sinon, ccxt s'en plaindra
        configuration.controler(reglages.config_ccxt, classe)
    config = _config(reglages)
    try:
        api = classe(config)
    except Exception as erreur:  # noqa: BLE001  son constructeur lève ce qu'il veut
        # Sans le texte de l'erreur, qui cite des valeurs : une clé peut en être.
        raise ErreurDemande(
            f"{reglages.exchange} : ccxt refuse sa configuration ({type(erreur).__name__})",
            "Corrigez --config-ccxt et --options.",
        ) from None
    if reglages.sandbox:
        if not api.urls.get("test"):
            raise ErreurDemande(
                f"{reglages.exchange} n'a pas de banc d'essai officiel", "Ôtez --sandbox, ou essayez --hors-ligne."
            )
        api.set_sandbox_mode(True)
    api.params_tus = reglages.params
    return api


class NatureMarche(NamedTuple):
    """Le type d'un marché, et son sous-type pour un contrat."""

    type_marche: str
    sous_type: str | None

    def __str__(self) -> str:
        return " ".join(filter(None, self))


def nature_du_symbole(symbole: str, type_marche: str, sous_type: str | None) -> NatureMarche:
    """Ce qu'un symbole complet dit de son marché ; pour un symbole court, ce que la demande en dit."""
    trouve = re.fullmatch(r"[^/]+/(?P<quote>[^:]+):(?P<settle>[^-]+)(?P<echeance>-\d{6})?(?P<option>-.+)?", symbole)
    if trouve is None:
        return NatureMarche(type_marche, sous_type)
    genre = "option" if trouve["option"] else "future" if trouve["echeance"] else "swap"
    return NatureMarche(genre, "linear" if trouve["quote"] == trouve["settle"] else "inverse")


# --- La connexion ---


@dataclass(frozen=True)
class Serie:
    """Une série demandée, résolue : son marché chez l'exchange, sa grille, sa page, et la plus longue qu'il accepte."""

    cle: CleSerie
    marche: Mapping[str, Any] = field(repr=False)
    timeframe: Timeframe
    limite: int
    maximum: int = 0

    @property
    def page_de_preuve(self) -> int:
        """Les bougies qu'une question peut demander : d'une page plus courte, ses marges ne laisseraient rien."""
        return max(self.limite, min(self.maximum, PAGE_DE_PREUVE))

    @property
    def nature(self) -> NatureMarche:
        """Le type du marché, tel que l'exchange le dit."""
        return NatureMarche(str(self.marche.get("type") or "spot"), self.marche.get("subType"))

    @property
    def marche_id(self) -> str:
        """L'identifiant du marché chez l'exchange ; vide s'il n'en a pas."""
        return str(self.marche.get("id") or "")


def passer_marches(source: Any, cible: Any) -> None:
    """Les marchés d'une instance à une autre ; ccxt 4.5.90 lève KeyError sur une option annexe jamais remplie."""
    for annexe in source.options.get("marketHelperProps", ()):
        source.options.setdefault(annexe, None)
    cible.set_markets_from_exchange(source)


AVANCE_CRUE_MS = GRACE_MS  # un horodatage plus en avance que cela demande confirmation


class Horloge:
    """L'heure d'un exchange : la nôtre, l'écart qu'on lui a mesuré, et le plus récent de ses horodatages crus."""

    def __init__(self) -> None:
        self._decalage_ms = self._vu_ms = self._douteux_ms = self._avance_ms = 0

    def heure_ms(self) -> int:
        """L'heure de l'exchange."""
        return max(maintenant_ms() + self._decalage_ms, self._vu_ms)

    def noter_instant(self, instant: int) -> bool:
        """Un horodatage de l'exchange : son heure est au moins celle-là. Faux s'il est loin dans le futur.

        En avance, il ne fait pas l'heure à lui seul : elle est au moins le plus petit des deux plus avancés. La date
        des réponses, quand rien d'autre ne la dit, en est un : d'une bougie de 5m, le flux n'a qu'un instant à dire.
        """
        if instant <= self._vu_ms:
            return True  # de presque toutes les trames : elles disent l'ouverture de leur bougie
        avance = instant - self.heure_ms()
        if avance > JOUR_MS:
            return False
        if avance <= AVANCE_CRUE_MS:
            self._vu_ms = max(self._vu_ms, instant)
        else:
            autre = self._douteux_ms if instant != self._douteux_ms else 0  # un trade redit n'est pas deux témoins
            date = maintenant_ms() + self._avance_ms + AVANCE_CRUE_MS if self._avance_ms else 0
            self._vu_ms = max(self._vu_ms, min(instant, max(autre, date)))
            self._douteux_ms = max(instant, self._douteux_ms)
        return True

    def noter_instants(self, instants: Sequence[int]) -> bool:
        """Note des instants croissants ; faux si l'un est loin dans le futur, ou si le dernier n'est pas confirmé."""
        proches = instants[-1] <= self.heure_ms() + AVANCE_CRUE_MS
        return all(map(self.noter_instant, instants[-1:] if proches else instants)) and instants[-1] <= self.heure_ms()

    def recaler(self, decalage_ms: int, avance_ms: int = 0) -> int:
        """Retient l'écart mesuré, et rend de combien il a changé ; les horodatages d'avant ne comptent plus.

        `avance_ms` : celle de la date des réponses, qui ne suffit pas à faire l'heure.
        """
        self._avance_ms = avance_ms
        derive, self._decalage_ms = abs(decalage_ms - self._decalage_ms), decalage_ms
        self._vu_ms = self._douteux_ms = 0
        return derive


FERMETURE_MAX_S = 1.0


async def _fermer_vite(api: Any) -> None:
    """Ferme une instance ccxt ; un exchange qui ne répond plus n'est pas attendu dix secondes, comme le ferait ccxt.

    Prise dans ses propres cycles, elle attend le ramasse-miettes ; à chaque coupure, les lignes qu'elle gardait étaient
    cent trades par symbole de plus en mémoire.
    """
    try:
        async with asyncio.timeout(FERMETURE_MAX_S):
            await api.close()
    except TimeoutError:
        api.clients = {}
        await api.close()
    except asyncio.CancelledError:  # à moitié fermée, elle se plaindrait : cela d'abord
        await _fermer_vite(api)
        raise
    for nom in ("trades", "ohlcvs", "orderbooks", "tickers"):
        setattr(api, nom, {})


class Marches:
    """Les marchés chargés d'un exchange, cherchés par leur symbole."""

    def __init__(self, reglages: Reglages, api: Any) -> None:
        self._reglages, self._api = reglages, api
        genre = "spot" if reglages.type_marche == "margin" else reglages.type_marche
        self._genre_voulu = NatureMarche(genre, reglages.sous_type)

    def manquent(self, symboles: Sequence[str]) -> bool:
        """Vrai si l'un de ces symboles ne désigne aucun marché chargé."""
        return not self._api.markets or not all(map(self._candidats, symboles))

    def _est_du_genre(self, marche: Mapping[str, Any]) -> bool:
        genre, sous_type = self._genre_voulu
        return marche.get("type") == genre and sous_type in (None, marche.get("subType"))

    def _candidats(self, symbole: str) -> list[str]:
        """Les symboles que la demande peut désigner : elle-même, ou les contrats dont elle est la forme courte.

        À défaut, les marchés du genre demandé que « btc/usdt » ou « BTCUSDT » désigne.
        """
        marches: Mapping[str, Any] = self._api.markets or {}
        if ":" in symbole or self._genre_voulu.type_marche == "spot":
            trouves = [symbole] if symbole in marches else []
        else:
            trouves = [nom for nom, m in marches.items() if sans_reglement(nom) == symbole and self._est_du_genre(m)]
        if trouves or not (suggestions := annexe_ou_rien("suggestions")):
            return trouves
        devines = suggestions.marches_designes(symbole, marches)
        return [nom for nom in devines if ":" in symbole or self._est_du_genre(marches[nom])]

    def resoudre(self, symbole: str) -> Mapping[str, Any]:
        """Le marché qu'un symbole désigne ; ErreurDemande, avec les plus proches, s'il n'y en a pas un seul."""
        exchange, marches = self._reglages.exchange, self._api.markets or {}
        candidats = self._candidats(symbole)
        if len(candidats) > 1:
            raise ErreurDemande(
                f"Symbole ambigu : « {symbole} » désigne {len(candidats)} marchés sur {exchange}",
                f"Précisez : {', '.join(candidats[:6])}{'…' if len(candidats) > 6 else ''}.",
            )
        if not candidats:
            nature = nature_du_symbole(symbole, self._reglages.type_marche, self._reglages.sous_type)
            conseil = proches(symbole, marches) or "La liste : --lister marches."
            if symbole in marches:
                autre = marches[symbole].get("type")
                conseil = f"C'est un marché {autre} : --type-marche {autre}."
            raise ErreurDemande(f"Symbole inconnu : « {symbole} » sur {exchange} ({nature})", conseil)
        trouve = candidats[0]
        if symbole not in (trouve, sans_reglement(trouve)):
            journal.info("« %s » est compris comme %s, le seul marché qui convient.", symbole, trouve)
        marche: Mapping[str, Any] = marches[trouve]
        if remarques := annexe_ou_rien("remarques"):
            remarques.dire_le_marche(symbole, marche, self._reglages, du_genre=self._est_du_genre(marche))
        return marche


class Connexion(contextlib.AbstractAsyncContextManager["Connexion"]):
    """Un exchange ouvert : l'instance ccxt (`api`), son heure, ses marchés, ses bougies, ses trades.

    `async with` la ferme toujours : fin normale, erreur ou annulation.
    """

    _trades_bornes = _trades_courts = False  # appris : `since` veut `until` ; une page de trades y est courte
    _niveaux_dits = False  # que ses carnets sont plus courts que demandé

    def __init__(self, reglages: Reglages, debit: Debit | None = None) -> None:
        self.reglages = reglages
        self.api = instancier(reglages)
        self.particularite: Particularite = self.api.particularite
        self.marches = Marches(reglages, self.api)
        self._horloge = Horloge()
        self.heure_ms, self.noter_instant = self._horloge.heure_ms, self._horloge.noter_instant
        self.noter_instants = self._horloge.noter_instants
        self._heure_lue, self._date_lue_ms = False, 0
        self.avance_douteuse_ms = 0  # de l'en-tête Date sur l'horloge locale, quand rien d'autre ne dit l'heure
        if debit is not None:  # commun à plusieurs connexions, ou repris d'une exécution précédente
            debit.brancher(self.api)
        self.essais = Essais(reglages.essais, self.api.frein, self.noter_essai)
        self.nombre_essais = self.reponses = 0
        self._fermetures: dict[Any, asyncio.Task[None]] = {}  # par instance d'écoute

    async def __aexit__(self, *_: object) -> None:
        await self.fermer()

    @property
    def requetes(self) -> int:
        """Nombre de requêtes HTTP envoyées."""
        return int(self.api.requetes)

    # --- parler à l'exchange

    def noter_essai(self, essai: int, sur: int, erreur: ErreurTemporaire, attente_s: float) -> None:
        """Compte un essai de plus, et le dit."""
        self.nombre_essais += 1
        attente = decimal_lisible(f"{attente_s:.1f}")
        journal.warning("%s Nouvel essai %d/%d dans %s s.", f"{erreur}".rstrip(".") + ".", essai + 1, sur, attente)

    async def appeler(self, quoi: str, methode: str, *args: Any, essais: int | None = None, **kwargs: Any) -> Any:
        """Appelle une méthode de ccxt, avec essais, pause commune et traduction des erreurs."""

        async def appel() -> Any:
            try:
                reponse = await getattr(self.api, methode)(*args, **kwargs)
            except Exception as erreur:  # noqa: BLE001  tout ce qui sort de ccxt passe par la table de traduction
                traduite = traduire(erreur, quoi, self.heure_ms())
                self.taire(traduite)
            else:
                self.reponses += 1
                return reponse
            # Un refus en dit assez ; ceux des requêtes parties avant lui, pendant la pause, n'apprennent rien de plus.
            if isinstance(traduite, LimiteDeDebit) and not self.essais.frein.reste_s:
                self.api.throttler.ralentir()
                phrase = "%s a refusé une requête de trop : %.3g de poids par seconde jusqu'à la fin."
                journal.info(phrase, self.reglages.exchange, self.api.throttler.allure)
            # Hors du `except` : l'erreur d'origine, qui peut citer une clé ou une URL signée, n'est pas enchaînée.
            raise traduite

        return await self.essais.tenter(appel, essais)

    def taire(self, erreur: ErreurCollecte) -> None:
        """Ôte d'une erreur les secrets que l'exchange, ou une URL, y aurait repris."""
        erreur.args = (masquer(str(erreur), [*secrets_de(self.api), *self.reglages.secrets]),)

    def fermer_plus_tard(self, api: Any) -> None:
        """Ferme une instance d'écoute en tâche de fond."""
        tache = self._fermetures[api] = asyncio.ensure_future(_fermer_vite(api))
        tache.add_done_callback(lambda faite: faite.cancelled() or self._fermetures.pop(api))

    async def fermer(self) -> None:
        """Ferme tout, écoutes comprises, même annulée en route."""
        self.fermer_plus_tard(self.api)
        try:
            await asyncio.gather(*self._fermetures.values(), return_exceptions=True)
        finally:  # à la fin d'un programme, asyncio annule toutes les tâches, même d'une fermeture pas encore commencée
            for api in list(self._fermetures):
                await _fermer_vite(api)

    # --- son heure

    async def estimer_heure(self) -> None:
        """Mesure l'écart entre l'horloge de l'exchange et la nôtre : `fetchTime`, sinon l'en-tête Date, sinon rien."""
        if not await self._mesurer_heure():
            self._lire_l_en_tete()

    async def _mesurer_heure(self) -> bool:
        """Demande son heure à l'exchange ; faux s'il ne la donne pas."""
        if self.api.has.get("fetchTime"):
            with contextlib.suppress(ErreurTemporaire, ErreurDefinitive):
                essais = min(3, self.reglages.essais)
                heure = await self.appeler(f"Heure {de(self.reglages.exchange)}", "fetch_time", essais=essais)
                lue = isinstance(heure, int | float) and INSTANT_MIN_MS < heure < INSTANT_MAX_MS
                # De la réception, jamais du milieu : venue tard ou au second essai (gate), elle aurait clos une bougie.
                ecart = int(heure) - maintenant_ms() if lue else 0
                if lue and not self._est_absurde(ecart):
                    self._heure_lue, self.avance_douteuse_ms = True, 0
                    self._noter_decalage(ecart)
                    return True
        return self._heure_lue  # la mesure d'avant vaut mieux que l'en-tête d'un serveur en panne

    def _lire_l_en_tete(self) -> None:
        """L'heure d'après la date de la dernière réponse reçue."""
        date = _date_http(self.api.date_serveur)
        if self._date_lue_ms == self.api.date_recue_ms != 0:
            return  # cet en-tête a déjà servi : depuis, des horodatages en disent plus
        self._date_lue_ms = self.api.date_recue_ms
        if date is None:
            journal.warning(
                "%s ne donne pas son heure : l'horloge locale décide des bougies closes.", self.reglages.exchange
            )
            return
        ecart = date - self.api.date_recue_ms
        ecart = 0 if self._est_absurde(ecart) else ecart
        # Un serveur date parfois ses réponses à l'heure locale : en avance sur la nôtre, il ne suffit pas à clore.
        dite, self.avance_douteuse_ms = self.avance_douteuse_ms, ecart if ecart > AVANCE_CRUE_MS else 0
        if self.avance_douteuse_ms > MINUTE_MS and abs(self.avance_douteuse_ms - dite) > MINUTE_MS:
            journal.warning(
                "Les réponses %s sont datées %s plus tard que l'horloge locale : la plus en retard des deux, ou la "
                "bougie suivante, décide des bougies closes.", de(self.reglages.exchange), duree_lisible(ecart / 1000),
            )  # fmt: skip
        self._noter_decalage(0 if self.avance_douteuse_ms else ecart)

    def _est_absurde(self, ecart_ms: int) -> bool:
        """Vrai, et c'est dit, d'une heure de plus d'un jour après la nôtre : toutes ses bougies seraient closes."""
        if ecart_ms > JOUR_MS:
            journal.warning(
                "%s se dit %s plus tard que l'horloge locale : cette heure n'est pas crue.",
                self.reglages.exchange, duree_lisible(ecart_ms / 1000),
            )  # fmt: skip
        return ecart_ms > JOUR_MS

    def _noter_decalage(self, decalage_ms: int) -> None:
        """L'écart mesuré ; il est dit quand il change."""
        if self._horloge.recaler(decalage_ms, self.avance_douteuse_ms) > MINUTE_MS and not self.reglages.hors_ligne:
            journal.warning(
                "L'horloge locale s'écarte de %s de celle %s : c'est la sienne qui décide des bougies closes.",
                duree_lisible(abs(decalage_ms) / 1000), de(self.reglages.exchange),
            )  # fmt: skip

    # --- ses marchés

    async def preparer(self, symboles: Sequence[str], *, seuls: bool = False) -> None:
        """Les marchés et l'heure, demandés ensemble. `seuls` : aucun autre marché ne servira.

        L'heure d'abord : sa réponse ne doit pas attendre que les marchés soient rangés.
        """
        if seuls and (vitesse := annexe_ou_rien("vitesse")):
            vitesse.ne_ranger_que(self.api, symboles)
        async with groupe_de_taches() as taches:
            mesure = taches.create_task(self._mesurer_heure())
            await pause(0)
            await self.charger_marches(symboles)
        if not mesure.result():
            self._lire_l_en_tete()

    async def charger_marches(self, symboles: Sequence[str] = (), connues: Collection[NatureMarche] = ()) -> None:
        """Charge les marchés dont la tâche a besoin ; les relit si un symbole demandé n'y est pas.

        Une liste lue de travers perd un type de marché en silence : on relit avant de conclure. `connues` : ce qui est
        déjà chargé, à ne pas perdre en relisant.
        """
        self.api.has["fetchCurrencies"] = False  # inutile aux bougies ; binance y demande une clé valide
        choix = annexe_ou_rien("types_de_marche")
        tous = choix.reduire(self, {*connues, *map(self.nature_demandee, symboles)}) if choix else None
        quoi = f"Liste des marchés {de(self.reglages.exchange)}"
        await self.appeler(quoi, "load_markets")
        if self.marches.manquent(symboles):
            await self.appeler(quoi, "load_markets", True)
        if tous and self.marches.manquent(symboles):
            self.api.options["fetchMarkets"]["types"] = tous  # hyperliquid range des contrats sous « hip3 »
            await self.appeler(quoi, "load_markets", True)
        if not self.api.markets:
            await self.essais.tenter(functools.partial(self._relire_une_liste_vide, quoi))

    async def _relire_une_liste_vide(self, quoi: str) -> None:
        """Aucun marché : bitso, foxbit ou bitvavo ont mal répondu ; aucun symbole n'est en faute."""
        await self.appeler(quoi, "load_markets", True, essais=1)
        if not self.api.markets:
            raise ErreurTemporaire(f"{quoi} : aucun n'y est", CONSEIL_RESEAU)

    def nature_demandee(self, symbole: str) -> NatureMarche:
        """Le type du marché qu'un symbole demande."""
        return nature_du_symbole(symbole, self.reglages.type_marche, self.reglages.sous_type)

    # --- ce qu'il offre

    def refus_des_bougies(self, timeframe: str, prix: str) -> Iterator[ErreurDemande]:
        """Le timeframe et le prix que l'exchange ne sert pas, chacun avec ce qui existe. Sans requête."""
        exchange, servis = self.reglages.exchange, self.prix_offerts()
        if not self.api.has.get("fetchOHLCV"):
            conseil = "Prenez un autre exchange : --lister exchanges."
            yield ErreurDemande(f"{exchange} ne sert pas de bougies (fetchOHLCV)", conseil, "exchange")
            return
        yield from refus_leves(self._controler_timeframe, timeframe)
        if prix not in servis:
            phrase = f"{exchange} ne sert pas de bougies au prix « {prix} »"
            yield ErreurDemande(phrase, f"Il sert : {', '.join(servis)}.", "prix_ohlcv")

    def timeframes_offerts(self, marche: Mapping[str, Any] | None = None) -> list[str]:
        """Les timeframes de l'exchange, ou d'un de ses marchés, du plus court au plus long tel qu'il les range."""
        ecartes = self.particularite.absents.get(genre_de(marche), ()) if marche else ()
        noms = self._noms_de_timeframes(marche) if marche else {}
        return [code for code in self.api.timeframes or {} if code not in ecartes and (not noms or noms.get(code))]

    def _noms_de_timeframes(self, marche: Mapping[str, Any]) -> Mapping[str, Any]:
        """Ceux que la classe donne à ce type de marché (kucoin, mexc, weex) ; vide s'il n'a pas de table à lui."""
        tables = self.api.options.get("timeframes") or {}
        types = (marche["type"], *(("swap", "future", "contract") if marche.get("contract") else ()))
        return next((tables[type_] for type_ in types if isinstance(tables.get(type_), Mapping)), {})

    def prix_offerts(self) -> list[str]:
        """Les prix dont l'exchange sert des bougies ; au comptant, « last » seulement."""
        return ["last", *(p for p, capacite in _CAPACITE_DU_PRIX.items() if self.api.has.get(capacite))]

    def _controler_timeframe(self, timeframe: str, marche: Mapping[str, Any] | None = None) -> None:
        offerts, exchange = self.timeframes_offerts(marche), self.reglages.exchange
        if not offerts or timeframe in offerts:
            return
        faute = f"Timeframe inconnu {de(exchange)} : « {timeframe} »"
        if timeframe in {*self.api.timeframes, *self.particularite.timeframes}:
            faute = f"« {timeframe} » n'a pas sur {exchange} le pas de son nom, ou ne s'y demande pas sous ce nom"
        ou = f" sur « {marche['symbol']} »" if marche else ""
        raise ErreurDemande(f"{faute}{ou}", f"Il sert : {', '.join(offerts)}.", "timeframe")

    def ouvrir_evenements(self, symbole: str, profondeur: int = 0) -> Serie:
        """La série de trades, de tickers ou de carnets d'un symbole ; `limite` : la profondeur à rendre."""
        marche = self.marches.resoudre(symbole)
        cle = CleSerie(self.reglages.exchange, str(marche["symbol"]))
        return Serie(cle, marche, Timeframe.lire("1m"), profondeur)

    def canaux_offerts(self) -> list[str]:
        """Les canaux que la classe ccxt.pro de l'exchange sait suivre."""
        faux = self.particularite.canaux_faux
        return [nom for nom, canal in CANAUX.items() if self.api.has.get(canal.seul) and nom not in faux]

    def dire_les_niveaux(self, niveaux: int, profondeur: int) -> None:
        """Dit, une fois, que l'exchange n'envoie pas tous les niveaux de carnet demandés."""
        if niveaux < profondeur and not self._niveaux_dits:
            self._niveaux_dits = True
            nom = self.reglages.exchange
            journal.warning("%s n'envoie que %d niveaux de carnet par côté, moins que --profondeur.", nom, niveaux)

    def ouvrir_serie(self, symbole: str, timeframe: str, prix: str, limite: int | None) -> Serie:
        """Résout une demande en série ; ErreurDemande si le symbole ou ce prix sur ce marché n'existent pas."""
        marche = self.marches.resoudre(symbole)
        if prix != "last" and not marche.get("contract"):
            # binance rendrait en silence les prix d'un contrat, bybit les prix « last ».
            raise ErreurDemande(
                f"« {marche['symbol']} » est au comptant : il n'a pas de prix « {prix} »",
                "Demandez prix_ohlcv: last, ou un contrat.",
            )
        self._controler_timeframe(timeframe, marche)
        cle = CleSerie(self.reglages.exchange, str(marche["symbol"]), timeframe, prix)
        grille = timeframe_de(cle.exchange, timeframe)
        maximum = _tenir_dans(self.fenetre_ms(grille, marche), grille, self.limite_maximale(marche, prix))
        return Serie(cle, marche, grille, min(limite or maximum, maximum), maximum)

    def fenetre_ms(self, timeframe: Timeframe, marche: Mapping[str, Any]) -> int:
        """La durée qu'une demande peut couvrir ; 0 : autant que sa page."""
        propre = self.particularite.fenetre_ms
        return propre(timeframe, marche) if propre else 0

    def limite_maximale(self, marche: Mapping[str, Any], prix: str) -> int:
        """Bougies par page, d'après la table des particularités, puis `features`."""
        if propre := self.particularite.limites.get(genre_de(marche)):
            return propre
        trouve = self.api.feature_value_by_type(marche.get("type"), marche.get("subType"), "fetchOHLCV") or {}
        limite = trouve.get(prix) or trouve.get("limit")  # okx : {'limit': 300, 'mark': 100, 'index': 100}
        return int(limite) if isinstance(limite, int | float) and limite > 1 else LIMITE_PAR_DEFAUT

    @functools.cached_property
    def trades_jusqua(self) -> bool:
        """Vrai si la classe ccxt sait lire des trades jusqu'à un instant : son code nomme `until`."""
        code = type(self.api).fetch_trades.__code__
        return "until" in code.co_consts or "handle_until_option" in code.co_names

    def unite_volume(self, marche: Mapping[str, Any]) -> str:
        """L'unité du volume que rend le REST : la monnaie de base au comptant ; d'un contrat, celle qu'on a prouvée."""
        sinon = UNITE_INCONNUE if marche.get("contract") else "base"
        unite = self.particularite.unites.get(genre_de(marche), sinon)
        return str({"base": marche.get("base"), "cotation": marche.get("quote")}.get(unite, unite) or UNITE_INCONNUE)

    def unite_des_trades(self, marche: Mapping[str, Any]) -> str:
        """L'unité de la quantité d'un trade, ou d'un niveau de carnet."""
        if marche.get("contract") and self.particularite.trades_en_contrats:
            return "contrats"
        return str(marche.get("quote" if _compte_en_cotation(marche) else "base") or "")

    def mesure_des_trades(self, marche: Mapping[str, Any]) -> Callable[[Trade], Decimal]:
        """Ce que pèse un trade de ce marché, dans l'unité de ses bougies du REST ; en base, si rien ne la prouve."""
        unite, unite_trades = self.unite_volume(marche), self.unite_des_trades(marche)
        if unite == unite_trades:
            return mesure_en_base()
        taille = _en_nombre(marche.get("contractSize")) if unite_trades == "contrats" else None
        mesurer = mesure_en_cotation if unite == marche.get("quote") else mesure_en_base
        return mesurer(taille, _compte_en_cotation(marche))

    async def lire_bougies(
        self, serie: Serie, timeframe: Timeframe, debut: int, fin: int, *, limite: int, relecture: bool = False
    ) -> list[list[Any]]:
        """Une page de bougies brutes, dans l'ordre où l'exchange les envoie ; la fenêtre demandée est [debut, fin[.

        D'un autre timeframe que la série, un témoin : moins d'essais, on sait s'en passer (hyperliquid : 422 en 1M).
        """
        propre = self.particularite
        params = dict(self.reglages.params)
        if serie.cle.prix != "last":
            params["price"] = serie.cle.prix
        # Inclus chez binance, exclu chez okx : fin - 1 convient aux deux. phemex refuse une fin à venir ; certains
        # arrondissent à la seconde l'instant après lequel ils n'ont pu ouvrir aucune bougie.
        present = (self.heure_ms() + self.avance_douteuse_ms) // SECONDE_MS * SECONDE_MS
        dernier = min(fin - 1, max(debut, present))
        if propre.bornes is None:
            params["until"] = dernier
        else:
            params |= propre.bornes(debut, dernier, timeframe)
        if relecture:
            params |= propre.relecture
        nombre: int | None = _tenir_dans(self.fenetre_ms(timeframe, serie.marche), timeframe, limite)
        if propre.sans_limite and propre.sans_limite(timeframe, serie.marche) and "price" not in params:
            nombre = None
        temoin = timeframe.code != serie.cle.timeframe  # personne ne l'a demandé : le message dit pourquoi on le lit
        quoi = (
            f"Bougies {timeframe.code}{', pour prouver une absence,' if temoin else ''} {de(serie.cle.symbole)} "
            f"({serie.cle.exchange}) depuis {en_iso(debut)}"
        )
        essais = min(ESSAIS_TEMOIN, self.essais.nombre) if temoin else self.essais.nombre
        page = await self.appeler(
            quoi, "bougies_ou_rien", serie.cle.symbole, timeframe.code, debut, nombre, params, essais=essais
        )
        if not isinstance(page, list) or not set(map(type, page)) <= {list, tuple}:
            raise ErreurTemporaire(f"{quoi} : réponse d'une forme inattendue", CONSEIL_RESEAU)
        return page

    async def lire_trades(
        self,
        serie: Serie,
        depuis_ms: int | None,
        params: Mapping[str, Any],
        essais: int | None = None,
        limite: int | None = None,
    ) -> list[dict[str, Any]]:
        """Une page de trades tels que ccxt les rend, du plus ancien au plus récent, et leur instant de réception.

        `limite` : ce qui est demandé, sans apprendre d'un refus à en demander moins.
        """
        quoi = f"Trades {de(serie.cle.symbole)} ({serie.cle.exchange})"
        page, bornes_exigees, courts = None, self._trades_bornes, self._trades_courts
        while page is None:
            bornes = {"until": self.heure_ms() + MINUTE_MS} if bornes_exigees and depuis_ms is not None else {}
            nombre = limite or (LIMITE_PAR_DEFAUT if courts else self.particularite.trades_par_page)
            demande = {**self.reglages.params, **bornes, **params}
            try:
                page = await self.appeler(
                    quoi, "fetch_trades", serie.cle.symbole, depuis_ms, nombre, demande, essais=essais
                )
            except ErreurDefinitive as erreur:  # ce que l'exchange n'admet pas est demandé autrement
                if "until" in str(erreur) and not bornes_exigees:
                    bornes_exigees = True  # coinbase : pas de `since` sans `until`
                elif limite is None and not courts:
                    courts = True
                else:
                    raise
        # Retenu d'une réponse seulement : le refus d'un symbole retiré n'apprend rien des autres.
        self._trades_bornes, self._trades_courts = self._trades_bornes or bornes_exigees, self._trades_courts or courts
        if not isinstance(page, list) or not all(isinstance(trade, dict) for trade in page):
            raise ErreurTemporaire(f"{quoi} : réponse d'une forme inattendue", CONSEIL_RESEAU)
        recu = maintenant_ms()
        return [trade | {"recu": recu} for trade in sorted(page, key=_rang_de_trade)]


def _tenir_dans(fenetre_ms: int, timeframe: Timeframe, limite: int) -> int:
    """Les bougies qu'une demande peut couvrir : bitget compte sa fenêtre depuis `limit`."""
    return min(limite, max(1, fenetre_ms // timeframe.pas_ms)) if fenetre_ms else limite


def _rang_de_trade(brut: Mapping[str, Any]) -> tuple[float, int]:
    """L'ordre d'un trade de ccxt, qui laisse à rebours ceux d'un même instant (kucoin dit leur séquence, sans id)."""
    info = brut.get("info")
    sequence = str(info.get("sequence", brut.get("id")) if isinstance(info, Mapping) else brut.get("id"))
    return _en_nombre(brut.get("timestamp")) or 0.0, int(sequence) if sequence.isdecimal() else 0


NOMS_SECRETS = ("apiKey", "secret", "password", "uid", "privateKey", "walletAddress", "token", "login")
SECRET_MIN = 4  # un uid d'un chiffre masqué rendrait tous les messages illisibles
_PARAMETRE_A_TAIRE = (
    r"(?i)((?:(?:api|access)[-_]?key(?:id)?|sign(?:ature)?|auth\w*|token|secret|passphrase)=)[^&\s\"']+"
)


def secrets_de(api: Any) -> list[str]:
    """Les clés que tient une instance ccxt."""
    return [valeur for nom in NOMS_SECRETS if isinstance(valeur := getattr(api, nom, None), str) and valeur]


def masquer(texte: str, secrets: Iterable[str]) -> str:
    """Le texte, sans les secrets qu'une erreur de l'exchange ou une URL y aurait repris."""
    for secret in sorted(set(secrets), key=len, reverse=True):
        texte = texte.replace(secret, "***") if len(secret) >= SECRET_MIN else texte
    texte = re.sub(_PARAMETRE_A_TAIRE, r"\1***", texte)
    return re.sub(r"(://[^/\s:@]+:)[^/\s@]+@", r"\1***@", texte)


# --- Bougies : une page demandée, criblée, dont le pas est contrôlé ---
#
#   Conduite  ce que les pages ont montré de l'exchange : suit-il les bords de ce qu'on lui demande ?
#   Pages     une `Question`, posée, criblée, dont le pas est contrôlé : une `Reponse`

RELECTURES_PAGE = 2  # une page qui porte l'impossible est redemandée deux fois
SURETE_DU_TEMOIN = 4  # une chance sur dix mille qu'un timeframe long soit pris à tort pour un autre
MARGE = 2  # un `since` exclusif rend encore la voisine
# D'un `--limite` plus court, rien ne se prouverait : ni entre ses marges, ni d'aussi loin que se cherche une cotation
# (au jour chez deribit, à l'heure chez bullish).
PAGE_DE_PREUVE = 64
SOURDES_MAX = 3  # demandes différentes, même réponse : l'exchange ne sert que ses dernières

Demander = Callable[[Timeframe, int, int, bool], Awaitable[Sequence[Sequence[Any]]]]
"""(timeframe, début, fin, relecture) -> lignes brutes, ordre et bornes quelconques."""


class Question(NamedTuple):
    """Une page à demander : [debut, fin[ dans ce timeframe."""

    timeframe: Timeframe
    debut: int
    fin: int

    @classmethod
    def autour(cls, instant: int, timeframe: Timeframe, depart: int, arrivee: int) -> Question:
        """Celle qui va de la bougie de rang `depart`, depuis celle de l'instant, à celle de rang `arrivee`, exclue."""
        return cls(timeframe, timeframe.avancer(instant, depart), timeframe.avancer(instant, arrivee))


class Reponse(NamedTuple):
    """Ce qu'un juge voit d'une page : ce qui était demandé, et ce qui fut rendu, fenêtre comprise ou non."""

    question: Question  # son timeframe est ancré comme la page
    page: Page
    instants: list[int]  # toutes les ouvertures rendues, croissantes
    vives: list[Intervalle]  # les bougies rendues qui ont des transactions : [ouverture, clôture[
    de_la_serie: bool  # du timeframe demandé, dont les lignes s'écrivent
    ancree: bool = False  # elle va jusqu'à maintenant : un exchange qui rend toujours ses dernières rendrait la même
    refusee: bool = False  # « trop ancien » ; d'un timeframe long, toute erreur

    @property
    def code(self) -> str:
        """Son timeframe, sur quelque grille qu'elle soit posée."""
        return self.question.timeframe.code

    @property
    def se_tait(self) -> bool:
        """Vrai si l'exchange, qui répondait, n'a rien rendu de ce qu'elle demandait : ni ligne, ni absence dite."""
        rendue = self.vives and self.vives[0][0] < self.question.fin
        page = self.page
        return not (rendue or self.refusee or page.impossibles or page.sans_instant or page.muettes)

    def rend(self, debut: int, fin: int) -> bool:
        """Vrai si une ligne de la série, dans [debut, fin[, y est."""
        return self.de_la_serie and bisect.bisect_left(self.instants, debut) < bisect.bisect_left(self.instants, fin)

    def tait(self, connue: int) -> bool:
        """Vrai si elle aurait dû rendre une ligne connue, et pas elle : elle accuse l'exchange.

        Elle rend des bougies de part et d'autre ; ou, d'avant sa fin, aucune, et d'après, sans commencer par elle ; ou
        rien, alors qu'elle la demandait, ailleurs qu'à ses bords (un exchange les exclut).
        """
        timeframe, debut, fin = self.question
        ouverture = timeframe.plancher(connue)
        if not self.instants:
            return self.se_tait and debut < ouverture and timeframe.avancer(ouverture, 1) < fin
        rang = bisect.bisect_left(self.instants, ouverture)
        suivante = self.instants[rang] if rang < len(self.instants) else ouverture
        saute = self.instants[0] >= fin and debut < ouverture
        return (rang > 0 or saute) and timeframe.plancher(suivante) != ouverture


def avance_de(timeframe: Timeframe) -> int:
    """Les bougies demandées en plus, avant la fenêtre.

    ccxt arrondit semaines et mois sur l'époque : bybit y perd le premier lundi. La page en tient compte : bitso, ndax
    et d'autres finissent leur demande à `since` plus `limit` bougies, et y perdraient la dernière.
    """
    return int(bool(timeframe.mois) or timeframe.unite == "w")


def _partie(timeframe: Timeframe, debut: int) -> tuple[str, int]:
    """Le genre d'une demande, et l'ouverture d'où elle part ; d'un mois, arrondi de deux semaines, celle demandée."""
    avance = avance_de(timeframe)
    return timeframe.unite if avance else "", debut if timeframe.mois else timeframe.avancer(debut, -avance)


class Conduite:
    """Ce que les pages ont montré de l'exchange : suit-il les bords de ce qu'on lui demande ?"""

    def __init__(self) -> None:
        # Les bords que deux pages ont montrés suivis ; ceux qu'une page a passés (upbit ne dit que sa fin).
        self._suivis: set[str] = set()
        self._ignores: set[str] = set()
        # Des demandes dont la réponse commence après leur fin, et va à maintenant ; et une, serrée, qui y va aussi.
        self._sourdes: set[Intervalle] = set()
        self._deborde = False
        # D'une demande ancienne, plusieurs bougies sont venues, toutes d'après elle ; ou des siennes, et la dernière.
        self._d_office = self._repond = False
        # Par timeframe, des pages non ancrées : les bougies extrêmes, et leurs bords, le plus tardif et le plus tôt.
        self._rendues: dict[str, Intervalle] = {}
        self._bords: dict[str, Intervalle] = {}
        # Par genre, de combien de bougies la première d'une page suit son `since`, et combien de fois.
        self._departs: collections.Counter[tuple[str, int]] = collections.Counter()
        self._fin_incluse = False  # une page est allée jusqu'à la bougie qui contient son dernier instant

    @property
    def obeit(self) -> bool:
        """Vrai si l'exchange suit le début ou la fin de ce qui lui est demandé : deux demandes, deux réponses."""
        return bool(self._suivis - self._ignores)

    @property
    def est_figee(self) -> bool:
        """Vrai si, quoi qu'on demande d'ancien, les dernières bougies reviennent (kraken) : inutile d'insister."""
        return self._deborde and len(self._sourdes) >= SOURDES_MAX

    def inclut(self, timeframe: Timeframe) -> bool:
        """Vrai si la bougie qui ouvre à un `since` est rendue ; ou s'il part une bougie plus tôt (`avance_de`)."""
        return self._departs["", 0] > 0 or avance_de(timeframe) > 0

    @property
    def va_a_la_fin(self) -> bool:
        """Vrai si la dernière bougie d'une fenêtre est rendue, ou si la fin n'est pas lue."""
        return self._fin_incluse or "fin" in self._ignores

    def tue(self, reponse: Reponse) -> Intervalle:
        """Ce que tait à coup sûr une réponse muette : un bord que nulle page n'a montré inclus n'en est pas."""
        timeframe, debut, fin = reponse.question
        incluse = self._fin_incluse or (reponse.instants and reponse.instants[-1] >= fin)
        genre, parti = _partie(timeframe, debut)
        # Un `since` compté sur les clôtures rend la bougie d'avant ; ccxt, qui arrondit semaines et mois, aussi.
        veille = not genre and self._departs["", -1] >= 2
        rang = -1 if veille else 0 if timeframe.mois or self._departs[genre, 0] else 1
        return timeframe.avancer(parti, rang), fin if incluse else timeframe.plancher(fin - 1)

    def cadre(self, reponse: Reponse) -> list[Intervalle]:
        """Les vives qui encadrent des vides : sans la dernière, si elle suit peut-être toute page, même coupée.

        C'est la seule d'après la fenêtre ; ou la plus récente, tant que nulle page n'a montré qu'elle y manque parfois.
        D'un exchange dont toute page va d'office à maintenant (serrée, gemini et kraken ; ancienne, p2b, qui compte ce
        qu'il rend), rien n'est ajouté.
        """
        seule = [instant >= reponse.question.fin for instant in reponse.instants[-2:]] in ([True], [False, True])
        d_office = (self._deborde or self._d_office) and not self._repond
        ajoutee = not d_office and (seule or (reponse.ancree and not self.peut_finir))
        return reponse.vives[:-1] if ajoutee else reponse.vives

    @property
    def peut_finir(self) -> bool:
        """Vrai si une page a fini ailleurs qu'à maintenant : la bougie en cours ne s'ajoute pas à toutes."""
        return bool(self._rendues)

    def apprendre(self, reponse: Reponse, taille: int) -> None:
        """Ce que montre une page de plus ; `taille` : ce qu'une page pleine compte de bougies."""
        (timeframe, debut, fin), instants = reponse.question, reponse.instants
        if not instants:
            return
        avancer, premiere, derniere = timeframe.avancer, instants[0], instants[-1]
        genre, parti = _partie(timeframe, debut)
        self._departs[genre, (timeframe.plancher(premiere) - parti) // timeframe.pas_ms] += 1
        # D'avant la marge ; ou rien que d'avant, si près que ce soit : un `since` arrondi rendrait aussi la suite.
        if premiere < avancer(debut, -MARGE) or derniere < debut:
            self._ignores.add("debut")
        # La fin est parfois `since` plus une page (upbit), marge comprise.
        if derniere > max(avancer(fin, MARGE), avancer(debut, taille + MARGE)):
            self._ignores.add("fin")
        if reponse.ancree:
            if reponse.de_la_serie and premiere >= fin:
                self._sourdes.add((debut, fin))
                self._d_office |= len(instants) > MARGE
            elif reponse.de_la_serie and avancer(fin, MARGE) < derniere and instants[-2] < fin:
                # Les siennes, et la dernière : à qui en rend d'office bien plus, cela n'arrive pas.
                self._repond |= len(instants) <= timeframe.compter(debut, fin) + MARGE
            # btcmarkets ne lit pas la fin, mais compte ce qu'il rend : quatre bougies demandées n'en font pas cent.
            serree = timeframe.compter(debut, fin) <= 2 * MARGE
            self._deborde |= reponse.de_la_serie and serree and len(instants) > 8 * MARGE
            return
        if reponse.de_la_serie:
            self._sourdes.clear()
        self._fin_incluse |= derniere >= timeframe.plancher(fin - 1)
        plus_ancienne, plus_recente = self._rendues.get(timeframe.code, (premiere, derniere))
        plus_ancienne, plus_recente = min(plus_ancienne, premiere), max(plus_recente, derniere)
        self._rendues[timeframe.code] = plus_ancienne, plus_recente
        depart, arrivee = self._bords.get(timeframe.code, (0, INSTANT_MAX_MS))
        depart = max(depart, debut) if avancer(debut, -1) <= premiere else depart
        arrivee = min(arrivee, fin) if derniere <= avancer(fin, MARGE) else arrivee
        self._bords[timeframe.code] = depart, arrivee
        # Une page rendait ce qu'un bord d'une autre a coupé.
        if plus_ancienne < avancer(depart, -1):
            self._suivis.add("debut")
        if avancer(arrivee, MARGE) < plus_recente:
            self._suivis.add("fin")


class Pages:
    """Ce qu'on peut demander d'une série : une page à la fois, criblée, dont le pas est contrôlé.

    `taille` : bougies par page, ramenée à ce que l'exchange rend vraiment ; `fenetre_ms` : par timeframe, la plus
    longue fenêtre qu'il accepte (0 : sans borne) ; `horizon_ms` : rien n'est demandé au-delà, et ce qui est clos depuis
    moins de `grace_ms` n'est pas encore dû ; `longues` : les timeframes, plus longs que celui de la série et
    croissants, qui peuvent témoigner ; `courtes`, plus courts et décroissants, d'un marché tout jeune. L'un d'eux qui
    échoue ou ment n'est plus demandé.
    """

    def __init__(  # noqa: PLR0913  ce qu'on sait d'une série avant de rien demander
        self,
        demander: Demander,
        timeframe: Timeframe,
        taille: int,
        *,
        prix: str = "last",
        longues: Iterable[Timeframe] = (),
        courtes: Iterable[Timeframe] = (),
        horizon_ms: int = INSTANT_MAX_MS,
        fenetre_ms: Callable[[Timeframe], int] = lambda _timeframe: 0,
        grace_ms: int = 0,
    ) -> None:
        self.timeframe, self.taille, self.prix, self.horizon_ms = timeframe, taille, prix, horizon_ms
        self.longues = sorted(longues, key=lambda t: t.pas_ms)
        self.courtes = sorted(courtes, key=lambda t: -t.pas_ms)
        self.conduite = Conduite()
        self._demander, self._fenetre_ms, self.grace_ms = demander, fenetre_ms, grace_ms
        self._plafonds: collections.Counter[int] = collections.Counter()
        self._admises: dict[str, int] = {}  # par timeframe, les bougies d'une fenêtre, quand l'exchange en a refusé
        self._pas_vu = False  # deux bougies de la série se suivaient : leur pas est bien le sien
        self._sert_les_plates = False  # une bougie de la série, sans transaction, était là : aucune n'est absente
        self._refus_dits: set[str] = set()
        self._recuses: set[str] = set()  # timeframes qui ne témoignent pas

    def capacite(self, timeframe: Timeframe) -> int:
        """Les bougies de ce timeframe qu'une fenêtre peut couvrir, celle qu'on demande en plus comprise."""
        fenetre = self._fenetre_ms(timeframe)
        permises = fenetre // timeframe.pas_ms if fenetre else self.taille
        permises = min(permises, self._admises.get(timeframe.code, permises))
        if timeframe.mois:
            permises -= permises // 60  # upbit finit à `since` plus `limit` mois de trente jours
        return max(1, min(self.taille, permises) - avance_de(timeframe))

    def portee_ms(self, timeframe: Timeframe) -> int:
        """Ce que couvre une page de ce timeframe, marges ôtées."""
        return (self.capacite(timeframe) - 2 * MARGE) * timeframe.pas_ms

    def temoin(self, duree_ms: int, plus_court_que: float = math.inf) -> Timeframe | None:
        """Le plus court des timeframes longs dont une page couvre cette durée ; à défaut, celui qui couvre le plus."""
        restent = [t for t in self.longues if t.pas_ms < plus_court_que]
        couvrent = (t for t in restent if self.portee_ms(t) >= duree_ms)
        return next(couvrent, max(restent, key=self.portee_ms, default=None))

    def borner(self, question: Question) -> Question:
        """La question, sans ce qui n'a pas encore ouvert."""
        return question._replace(fin=min(question.fin, self.timeframe.avancer(self.horizon_ms, 1)))

    def va_a_maintenant(self, fin: int) -> bool:
        """Vrai si rien de clos ne suit ; la dernière bougie n'est attendue qu'après un délai de grâce."""
        return self.timeframe.avancer(fin, 1) >= self.timeframe.plancher(self.horizon_ms - self.grace_ms)

    def noter_plafond(self, reponse: Reponse) -> None:
        """Retient la page que l'exchange rend vraiment, quand deux fois la même fut plus courte que demandé.

        D'un bord peut-être exclu, sa bougie n'était pas demandée : il n'en manque aucune à une page qui ne l'a pas.
        """
        nombre, demandees = len(reponse.instants), reponse.question.timeframe.compter(*self.conduite.tue(reponse))
        if 0 < nombre < min(self.taille, demandees):
            self._plafonds[nombre] += 1
            ramenee = max(nombre, 8)
            if self._plafonds[nombre] >= 2 and ramenee < self.taille:
                rendues = nombre_de(nombre, "bougie")
                phrase = "L'exchange rend %s par page, pas %d : pages ramenées à %d."
                journal.info(phrase, rendues, self.taille, ramenee)
                self.taille = ramenee

    async def lire(self, debut: int, fin: int, *, relecture: bool = False) -> Reponse:
        """Une page de la série ; lève HorsFenetre, et PasRefuse si l'exchange rend d'autres bougies que demandé."""
        reponse = await self._page(Question(self.timeframe, debut, fin), relecture=relecture)
        self._pas_vu = self._pas_vu or se_suivent(reponse.instants, self.timeframe)
        if not self._pas_vu and reponse.instants and self.timeframe.compter(debut, fin) > 1:
            await self._confirmer_le_pas(reponse)
        return reponse

    async def temoigner(self, question: Question) -> Reponse:
        """La page d'un témoin, de n'importe quel timeframe ; vide s'il refuse, échoue ou ment."""
        timeframe, debut, fin = question
        de_la_serie = timeframe.code == self.timeframe.code
        if debut >= fin or timeframe.code in self._recuses:
            return refus_de(question)
        try:
            if de_la_serie:
                return await self.lire(debut, fin, relecture=True)
            reponse = await self._page(question, relecture=True)
        except HorsFenetre:
            return refus_de(question, de_la_serie=de_la_serie)
        except (ErreurDefinitive, ErreurTemporaire) as erreur:
            if de_la_serie:
                raise
            # okx refuse certains timeframes selon le prix, hyperliquid répond 422 à 1w et 1M.
            journal.debug("%s ne témoignera pas : %s", timeframe.code, erreur)
            self._recuses.add(timeframe.code)
            # Le dernier reste attendu, sans plus être demandé : sans lui, rien ne dit une cotation.
            self.longues = [t for t in self.longues if t.code != timeframe.code] or self.longues
            return refus_de(question)
        douteuse = reponse.page.impossibles or reponse.page.sans_instant
        return refus_de(question) if douteuse else reponse

    async def _page(self, question: Question, *, relecture: bool) -> Reponse:
        """Demande une page et la crible ; redemandée si son pas n'est pas le sien, ou si elle porte l'impossible."""
        (timeframe, debut, fin), brutes = await self._ce_qui_tient(self.borner(question), relecture=relecture)
        for _ in range(RELECTURES_PAGE):
            if not self._autre_pas(brutes, timeframe):
                break
            brutes = await self._demander(timeframe, debut, fin, True)
        # Un témoin se récuse pour moins : il n'en coûte qu'une preuve.
        douteuse = self._autre_pas(brutes, timeframe)
        timeframe = self._ancrer(timeframe, brutes)
        if douteuse and not self._a_change_de_grille(brutes, timeframe):
            sienne = timeframe.code == self.timeframe.code
            _controler_le_pas(_instants_bruts(brutes), timeframe, SUR_AU_MILLIARDIEME if sienne else SURETE_DU_TEMOIN)
        page = cribler(brutes, timeframe, self.prix)
        # kraken déborde toujours sa fenêtre, et ce qui déborde sert : là aussi l'impossible se redemande.
        utile = max(fin, self.timeframe.plancher(self.horizon_ms))
        for _ in range(RELECTURES_PAGE):
            suspectes = (*page.impossibles, *page.doubles)
            if not page.sans_instant and not any(debut <= instant < utile for instant in suspectes):
                break
            relue = cribler(await self._demander(timeframe, debut, fin, True), timeframe, self.prix)
            page = fondre_pages(page, relue)
        self._dire_les_refus(brutes, timeframe, {i for i in page.impossibles if debut <= i < fin})
        if page.doubles:
            journal.warning(
                "%s de %s en deux versions, dont celle de %s : la plus échangée est gardée.",
                nombre_de(len(page.doubles), "bougie"), timeframe.code, en_iso(min(page.doubles)),
            )  # fmt: skip
            page = page.departager()
        reponse = self._repondre(Question(timeframe, debut, fin), page)
        self.conduite.apprendre(reponse, self.taille)
        return reponse._replace(vives=[]) if douteuse else reponse

    async def _ce_qui_tient(self, question: Question, *, relecture: bool) -> tuple[Question, Sequence[Sequence[Any]]]:
        """Les lignes d'une fenêtre ; trop longue pour l'exchange, d'un bout seulement, et les suivantes y tiendront."""
        while True:
            timeframe, debut, fin = question
            points, place = timeframe.compter(debut, fin), self.capacite(timeframe)
            connue = timeframe.code in self._admises
            if connue and points > place and relecture:  # d'un témoin, ce qui précède sa fin
                question = question._replace(debut=timeframe.avancer(timeframe.plafond(fin), -place))
                continue
            if connue and points > place:
                question = question._replace(fin=timeframe.avancer(debut, place))
                continue
            try:
                # Qui tire la fin de la demande du nombre de bougies (cryptocom) n'en reçoit qu'autant qu'il en tient.
                return question, await self._demander(timeframe, debut, fin, relecture or connue)
            except FenetreTropLongue as refus:
                if points <= 1:
                    raise
                dites = (refus.admis or 0) * JOUR_MS // timeframe.pas_ms
                admises = min(points // 2, dites if dites > 1 else points)  # « 1 day » y est parfois le timeframe
                # D'une page partie avant qu'on le sache, le refus n'en fait pas admettre davantage.
                self._admises[timeframe.code] = min(admises, self._admises.get(timeframe.code, admises))
                journal.info("%s : pages de %s ramenées à %d bougies.", refus, timeframe.code, self.capacite(timeframe))

    def _repondre(self, question: Question, page: Page) -> Reponse:
        """La page, et ses bougies qui ont des transactions."""
        timeframe, instants = question.timeframe, page.instants
        de_la_serie = timeframe.code == self.timeframe.code
        ancree = bool(instants) and timeframe.avancer(instants[-1], 2) > self.horizon_ms
        pas_ms = 0 if timeframe.mois or timeframe.jeu_ms else timeframe.pas_ms
        vives = [(i, i + pas_ms if pas_ms else timeframe.avancer(i, 1)) for i in instants]
        volumes = page.lignes["volume"]
        if de_la_serie:
            self._sert_les_plates = self._sert_les_plates or pc.min(volumes).as_py() == 0
        elif self.prix == "last" and not self._sert_les_plates:
            # Une bougie longue plate de volume nul n'a pas de transaction ; bittrade, lui, a des minutes plates dedans.
            vives = [vive for vive, v in zip(vives, volumes.to_pylist(), strict=True) if v]
        return Reponse(question, page, instants, [] if page.sans_instant else vives, de_la_serie, ancree)

    def _dire_les_refus(self, brutes: Sequence[Sequence[Any]], timeframe: Timeframe, refusees: set[int]) -> None:
        """Quelle règle une bougie refusée enfreint, une fois par règle : une combinaison peut valoir moins que zéro."""
        for ligne in brutes if refusees else ():
            instant = _en_instant(ligne[0]) if ligne else None
            if instant is None or timeframe.plancher(instant) not in refusees:
                continue
            regle = regle_enfreinte(ligne, timeframe, self.prix)
            if regle and regle not in self._refus_dits:
                self._refus_dits.add(regle)
                journal.warning("Bougie %s refusée, %s : %s (%s).", timeframe.code, en_iso(instant), regle, ligne)

    # --- le pas et la grille

    def _autre_pas(self, brutes: Sequence[Sequence[Any]], timeframe: Timeframe) -> bool:
        """Vrai si ces lignes semblent d'un autre pas que le timeframe, sur la grille qu'elles montrent."""
        return bool(autre_pas(_instants_bruts(brutes), self._ancrer(timeframe, brutes), SURETE_DU_TEMOIN))

    def _ancrer(self, timeframe: Timeframe, brutes: Sequence[Sequence[Any]]) -> Timeframe:
        """La grille sur laquelle ces lignes se posent ; celle de la série, quoi qu'en montre une page.

        Une série n'a qu'une grille : ce qui ouvre ailleurs, si la sienne a changé, est refusé, et c'est dit.
        """
        if not timeframe.peut_etre_ancre or not brutes:
            return timeframe
        if timeframe.code == self.timeframe.code:
            return self.timeframe
        return timeframe.ancrer(deviner_ancre(brutes, timeframe))

    def _a_change_de_grille(self, brutes: Sequence[Sequence[Any]], timeframe: Timeframe) -> bool:
        """Vrai d'une page de la série au bon pas, mais posée sur une autre grille : le reste de la série se lit."""
        if timeframe.code != self.timeframe.code or timeframe.mois or not timeframe.peut_etre_ancre:
            return False
        rangs = [timeframe.plancher(i) for i in sorted(set(_instants_bruts(brutes)))]
        return len(set(rangs)) == len(rangs) and not autre_pas(rangs, timeframe, SURETE_DU_TEMOIN)

    async def _confirmer_le_pas(self, reponse: Reponse) -> None:
        """Des lignes trop éparses pour dire leur pas : une page plus large en dira assez, une fois."""
        self._pas_vu = True
        place = self.capacite(self.timeframe)
        fin = min(self.timeframe.avancer(reponse.instants[-1], 1), self.timeframe.plancher(self.horizon_ms))
        large = self.timeframe.avancer(fin, -place)
        if large < reponse.question.debut:
            relue = await self.temoigner(Question(self.timeframe, large, fin))
            self._pas_vu = not relue.refusee  # gate ne remonte pas si loin : une prochaine page le dira
            _controler_le_pas([*reponse.instants, *relue.instants], self.timeframe)


class PasRefuse(ErreurDefinitive):
    """L'exchange rend des bougies d'un autre pas que celui demandé : aucune n'est écrite."""


def _instants_bruts(brutes: Sequence[Sequence[Any]]) -> list[int]:
    instants = [ligne[0] for ligne in brutes if ligne]
    if set(map(type, instants)) == {int} and 0 < min(instants) <= max(instants) < INSTANT_MAX_MS:
        return instants
    return [i for ligne in brutes if ligne and (i := _en_instant(ligne[0]))]


def _controler_le_pas(instants: Sequence[int], timeframe: Timeframe, surete: int = SUR_AU_MILLIARDIEME) -> None:
    """Lève PasRefuse si ces ouvertures ne sont pas celles du timeframe demandé (bitstamp 1w : trois jours)."""
    if autre := autre_pas(instants, timeframe, surete):
        raise PasRefuse(
            f"Bougies {timeframe.code} refusées : l'exchange en rend {autre}",
            "Prenez un autre timeframe : --lister timeframes.",
        )


def refus_de(question: Question, *, de_la_serie: bool = False) -> Reponse:
    """La réponse qui ne témoigne de rien : l'exchange refuse la question, ou ce timeframe est récusé."""
    return Reponse(question, page_vide(), [], [], de_la_serie, refusee=True)


# --- Flux : ce que ccxt.pro reçoit, sans en perdre une ligne ---


class Canal(NamedTuple):
    """Un canal de ccxt.pro : sa méthode par symbole et sa méthode groupée, sous leur nom dans `has`."""

    seul: str
    groupe: str
    pause_s: float = 0.05  # entre deux appels : les lignes arrivent par les prises, l'appel ne fait qu'entretenir


# Ajouter un canal : une ligne ici, sa classe de fil (§ 9) dans `ouvrir_fil` (§ 11), son type dans TYPES (§ 3).
CANAUX: Mapping[str, Canal] = {
    "ohlcv": Canal("watchOHLCV", "watchOHLCVForSymbols"),
    "trades": Canal("watchTrades", "watchTradesForSymbols"),
    "ticker": Canal("watchTicker", "watchTickers"),
    "orderbook": Canal("watchOrderBook", "watchOrderBookForSymbols", pause_s=0.02),
}

Recevoir = Callable[[str, Sequence[Any], int], None]
"""(symbole, données de ccxt dans l'ordre, instant de réception en ms) ; un trade possible est déjà un `Trade`."""


class CanalInconnu(ErreurDefinitive):
    """La classe ccxt annonce qu'elle ne suit pas ce qu'on demande : upbit n'a de bougies que d'une seconde."""


class _TrameIllisible(ErreurTemporaire):
    """Une trame que ccxt n'a pu traiter : chez lui la boucle de réception en meurt, sans un mot."""


def _rendre_bruyant(client: Any, signaler: Callable[[Exception], None]) -> None:
    """Fait dire à un client WebSocket de ccxt ce qu'il tairait : trame abîmée, refus que personne n'attend.

    kraken et binance rejettent un abonnement par un numéro de requête que nul n'attend : `watch` ne rend jamais.
    """
    traiter, rejeter, lire = client.handle_message, client.reject, client.on_message_callback
    ccxt = importer("ccxt.base.errors", "Parler à un exchange")

    def traiter_ou_couper(message: Any) -> None:
        try:
            traiter(message)
        except ccxt.BaseError as erreur:  # coinbase, kucoin : la classe lève le refus au lieu de le rendre
            client.on_error(erreur)
        except Exception as erreur:  # noqa: BLE001  le code de l'exchange a buté sur cette trame, quelle qu'en soit la forme
            illisible = _TrameIllisible(f"trame illisible ({type(erreur).__name__})")
            signaler(illisible)  # d'abord : ce qui la suit, dans le même élan, ne prolonge plus ce qui la précède
            client.on_error(illisible)

    def lire_et_dire(client_: Any, message: Any) -> None:
        lire(client_, message)
        if _dit_une_erreur(message):  # bitfinex : la classe n'en fait rien ; déjà dite, elle ne l'est pas deux fois
            signaler(ccxt.ExchangeError(extrait(str(message), 300)))

    def rejeter_et_dire(erreur: Exception, cle: Any = None) -> Any:
        attendu = cle in client.futures
        rendu = rejeter(erreur, cle)
        if not attendu and not _est_un_decalage(erreur):
            signaler(erreur)
        return rendu

    client.handle_message, client.reject = traiter_ou_couper, rejeter_et_dire
    client.on_message_callback = lire_et_dire


def _dit_une_erreur(message: Any) -> bool:
    """Une trame par laquelle l'exchange refuse, dans ses formes les plus communes."""
    if not isinstance(message, dict):
        return False
    annonces = (message.get("event"), message.get("type"), message.get("status"))
    return "error" in annonces or "bts:error" in annonces or isinstance(message.get("error"), dict)


def symbole_en_cause(erreur: Exception, demande: Any) -> str:
    """Le symbole d'un groupe que cite l'erreur d'un carnet ; à défaut, le premier."""
    groupe: list[str] = [demande] if isinstance(demande, str) else list(demande)
    return max((symbole for symbole in groupe if symbole in str(erreur)), key=len, default=groupe[0])


def _est_un_decalage(erreur: Exception) -> bool:
    """Un carnet dont la somme ou la séquence ne tombe pas juste : ccxt repart d'un instantané à l'appel suivant."""
    return bool({"InvalidNonce", "ChecksumError"} & {parente.__name__ for parente in type(erreur).__mro__})


def _trade_recu(brut: Mapping[str, Any]) -> Trade | Mapping[str, Any]:
    return trade_de(brut, maintenant_ms()) or brut


@functools.cache
def _ecoutante(classe: Any) -> Any:
    """Une classe de cache de ccxt, où chaque ligne qui entre est gardée jusqu'à sa livraison.

    Une rafale traitée d'un bloc déborde un cache de 1000 lignes avant que quiconque ait pu le lire.
    """

    def append(cache: Any, ligne: Any) -> None:
        cache.entendre(ligne)
        classe.append(cache, ligne)

    return type(classe.__name__, (classe,), {"append": append})


class _Rayon(dict[str, Any]):
    """Ce qu'une instance de ccxt range par symbole, ou par timeframe, et ce qu'on en fait au moment où elle le range.

    Chaque classe a ses façons : deribit change de cache à chaque trame, alpaca range ses bougies sans timeframe, ndax
    récrit une liste en place.
    """

    def __init__(self, ranger: Callable[[str, Any], Any]) -> None:
        super().__init__()
        self._ranger = ranger

    def __setitem__(self, cle: str, objet: Any) -> None:
        if self.get(cle) is not objet or not hasattr(objet, "entendre"):  # binance range le même à chaque trade
            super().__setitem__(cle, self._ranger(cle, objet))


class _Carnets(dict[str, Any]):
    """Les carnets d'une instance de ccxt : celui qu'elle ôte est décalé, et repartira d'un instantané.

    L'appel qui en attend plusieurs n'apprend qu'une erreur, d'un seul, que celle d'okx ne nomme pas.
    """

    def __init__(self, oter: Callable[[str], None]) -> None:
        super().__init__()
        self._oter = oter

    def __delitem__(self, symbole: str) -> None:
        super().__delitem__(symbole)
        self._oter(symbole)


class _Livraison:
    """Les lignes que ccxt vient de traiter, livrées ensemble quand il a fini les trames qui attendaient."""

    def __init__(
        self, recevoir: Recevoir, signaler: Callable[[Exception], None], suivis: Container[str] = frozenset()
    ) -> None:
        self._recevoir, self._signaler, self._suivis = recevoir, signaler, suivis
        self._recues: dict[str, list[Any]] = {}  # par symbole, les lignes qui attendent
        self._caches: dict[str, Any] = {}
        self._recrites: dict[str, Sequence[Any]] = {}  # la dernière ligne lue d'une liste que la classe récrit
        self.entendus: set[str] = set()  # les symboles dont un cache a parlé
        self._finie = False

    def brancher(self, cache: Any, symbole: str) -> Any:
        """Fait garder les lignes de ce cache : celles qui y sont, puis celles qui y entrent. Le rend."""
        if not hasattr(cache, "max_size"):
            self._relire(cache, symbole)
            return cache
        self._caches[symbole] = cache
        if hasattr(cache, "entendre"):
            return cache
        # ccxt récrit une bougie en place à chaque mise à jour ; et cent mille dictionnaires gardés éveillent sans cesse
        # le ramasse-miettes, dont le passage coûte plus que tout le reste
        est_de_trades = hasattr(cache, "_all_new_updates")

        def entendre(ligne: Any) -> None:
            if est_de_trades:  # d'une trame à plusieurs marchés, coincheck range tout sous le premier
                dit = ligne.get("symbol")
                self._garder(dit if dit in self._suivis else symbole, _trade_recu(ligne))
            else:
                self._garder(symbole, tuple(ligne))

        for ligne in cache:
            entendre(ligne)
        # Ce cache-là, et non un autre à sa place : la classe tient peut-être déjà le sien sous un autre nom.
        cache.__class__, cache.entendre = _ecoutante(cache.__class__), entendre
        return cache

    def _relire(self, bougies: Sequence[Sequence[Any]], symbole: str) -> None:
        """Une liste de bougies, rangée de nouveau à chaque changement : dès la dernière lue, qui a pu changer."""
        connue = self._recrites.get(symbole, ())
        neuves = [tuple(bougie) for bougie in bougies if not connue or bougie[0] >= connue[0]]
        for bougie in neuves:
            if bougie != connue:
                self._garder(symbole, bougie)
                self._recrites[symbole] = bougie

    def _garder(self, symbole: str, ligne: Any) -> None:
        if not self._recues:
            asyncio.get_running_loop().call_soon(self.livrer)
        self._recues.setdefault(symbole, []).append(ligne)

    def livrer(self) -> None:
        """Livre ce qui attend ; le jette si l'écoute est finie."""
        recues, self._recues = self._recues, {}
        recu = maintenant_ms()
        self.entendus.update(recues)
        for symbole, lignes in recues.items():
            if symbole in self._caches:
                # ccxt retient chaque ouverture depuis la dernière lecture du cache : jamais, pour celles d'un groupe.
                self._caches[symbole].getLimit(symbole, None)
            if self._finie:
                continue
            try:
                self._recevoir(symbole, lignes, recu)
            except Exception as erreur:  # noqa: BLE001  une donnée d'une forme imprévue coupe, comme une trame abîmée
                self._signaler(_TrameIllisible(f"donnée illisible {de(symbole)} ({type(erreur).__name__})"))

    def finir(self) -> None:
        """Livre ce qui attend, et plus rien ensuite."""
        self.livrer()
        self._finie = True
        self._caches.clear()


INSTANTANE_S = 5.0  # entre deux instantanés d'un même carnet, au moins
INSTANTANE_TARDIF_S = 1.0


class _Instantanes:
    """Jusqu'où vont les carnets que la classe fait d'un instantané du REST, puis de ce que le flux dit changé.

    L'instantané n'a que les premiers niveaux. D'un ordre posé plus loin avant lui, et qui ne bouge pas, aucune trame ne
    dit rien : le prix venu jusque-là, il manquerait, sans erreur, aux meilleurs niveaux. Rien n'est donc rendu au-delà
    du dernier niveau de l'instantané ; quand il en reste trop peu, le carnet repart d'un autre. Le temps qu'il vienne,
    ses états se fondent en un ; s'il tarde, il en a manqué (`decaler`). ccxt#6546, cryptofeed#604.
    """

    def __init__(self, connexion: Connexion, api: Any, decaler: Callable[[str], None]) -> None:
        self._connexion, self._api, self._decaler = connexion, api, decaler
        propre = connexion.particularite
        self._pleins: dict[str, dict[str, tuple[int, float]]] = {}  # côté -> ses niveaux, et le prix du dernier
        self._attendus: dict[str, float] = {}  # depuis quand, de ceux qui ne sont pas encore venus
        self._prochains: dict[str, float] = {}  # pas d'autre instantané avant cet instant
        lire, ouvrir, appliquer = api.fetch_rest_order_book_safe, api.order_book, api.handle_book_delta

        async def lire_et_retenir(symbole: str, limite: int | None = None, params: Any = None) -> Any:
            try:
                servi = await lire(symbole, limite or propre.niveaux_de_l_instantane, params or {})
            finally:
                self._arriver(symbole)
            self._retenir(symbole, servi, limite or propre.carnet_partiel)
            return servi

        def appliquer_et_borner(carnet: Any, ecart: Any) -> None:
            appliquer(carnet, ecart)
            self._borner(carnet)

        # La classe rognerait le carnet à chaque lecture : le niveau qu'elle ôte n'y reviendrait pas avec le prix.
        api.order_book = lambda instantane=MappingProxyType({}), _profondeur=None: ouvrir(instantane)
        api.fetch_rest_order_book_safe = lire_et_retenir
        if propre.carnet_borne:
            api.handle_book_delta = appliquer_et_borner
        if servir := getattr(api, "handle_order_book_snapshot", None):  # bitvavo, par le flux

            def servir_et_retenir(client: Any, trame: Any) -> None:
                if servi := trame.get("response"):  # sinon, un refus
                    self._arriver(symbole := api.safe_symbol(servi["market"]))
                    self._retenir(symbole, api.parse_order_book(servi, symbole), propre.carnet_partiel)
                servir(client, trame)

            api.handle_order_book_snapshot = servir_et_retenir

    def _arriver(self, symbole: str) -> None:
        """L'instantané est venu, ou a échoué."""
        self._prochains[symbole] = time.monotonic() + INSTANTANE_S
        if self._attendus.pop(symbole, math.inf) + INSTANTANE_TARDIF_S < time.monotonic():
            self._decaler(symbole)

    def _retenir(self, symbole: str, servi: Any, plein: int) -> None:
        cotes = {cote: servi[cote] for cote in ("bids", "asks") if len(servi[cote]) >= plein}
        self._pleins[symbole] = {cote: (len(niveaux), niveaux[-1][0]) for cote, niveaux in cotes.items()}

    def _borner(self, carnet: Any) -> None:
        """Du niveau que de plus proches ont poussé hors de ceux dont le flux parle, rien n'est plus su."""
        pleins = self._pleins.get(carnet["symbol"], {})
        for cote, (nombre, dernier) in pleins.items():
            if len(carnet[cote]) >= nombre:
                pleins[cote] = nombre, (max if cote == "bids" else min)(dernier, carnet[cote][nombre - 1][0])

    def connu(self, symbole: str, carnet: Any, profondeur: int) -> Any:
        """Ce qu'on sait du carnet ; vide tant qu'un côté est tout entier au-delà."""
        pleins = self._pleins.get(symbole, {}) if carnet.get("nonce") is not None else {}  # sinon, il l'attend
        sus = dict[str, Sequence[Any]]()
        if len(pleins) == 2 and len(nombres := {nombre for nombre, _ in pleins.values()}) == 1:
            self._connexion.dire_les_niveaux(nombres.pop(), profondeur)
        for cote, (nombre, dernier) in pleins.items():
            niveaux = carnet[cote]
            sens = -1 if cote == "bids" else 1
            sus[cote] = niveaux[: bisect.bisect_right(niveaux, sens * dernier, key=lambda niveau: sens * niveau[0])]
            if len(sus[cote]) < min(2 * profondeur, nombre // 2):
                self._repartir(symbole)
        return {**carnet, **(sus if all(sus.values()) else {"bids": [], "asks": []})} if sus else carnet

    def _repartir(self, symbole: str) -> None:
        """Un carnet vide, où les trames attendent l'instantané, comme au premier abonnement."""
        if symbole in self._attendus or time.monotonic() < self._prochains.get(symbole, 0.0):
            return
        self._attendus[symbole] = time.monotonic()
        self._api.orderbooks[symbole] = self._api.order_book()
        journal.debug("%s : le prix sort de l'instantané du carnet, qui repart d'un autre.", symbole)
        cle, demande = f"orderbook::{symbole}", f"watchingOrderBookSnapshot@{self._api.market_id(symbole)}"
        for client in self._api.clients.values():
            for nom, abonnement in client.subscriptions.items():
                if not isinstance(abonnement, dict):
                    continue
                if demande in abonnement:  # bitvavo : la classe le redemande à la trame suivante
                    del abonnement[demande]
                elif nom == cle:
                    de_lui = {**abonnement, "symbol": symbole}
                    self._api.spawn(self._api.fetch_order_book_snapshot, client, None, de_lui)


REPRISE_DE_CARNET_S = 10.0  # un carnet décalé repart d'un instantané : okx le doit d'abord à un désabonnement acquitté
LIGNES_EN_CACHE = 10  # 1000 chez ccxt, qui pèsent deux Mo par symbole de trades ; les prises les ont déjà lues


class Ecoute:
    """Une instance ccxt.pro d'un seul usage : ses abonnements, jusqu'à la première coupure.

    Elle partage avec la connexion REST les marchés chargés, le débit et la pause commune. Une instance neuve à chaque
    reconnexion : ni cache périmé, ni abonnement que ccxt croit déjà fait.
    """

    def __init__(
        self,
        connexion: Connexion,
        canal: str,
        series: Sequence[Serie],
        recevoir: Recevoir,
        decaler: Callable[[str], None] = lambda _symbole: None,
    ) -> None:
        self.api = instancier(connexion.reglages)
        self._decaler = decaler  # dit le symbole d'un carnet repris, dont des états ont manqué
        self.canal, self.series = CANAUX[canal], {serie.cle.symbole: serie for serie in series}
        self._nom, self._recevoir, self._connexion = canal, recevoir, connexion
        self._coupure: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._livraison = _Livraison(recevoir, self._signaler, self.series)
        self._carnets_vus: dict[str, tuple[Any, ...]] = {}
        self._dit = False  # que la classe n'est suivie que par ce qu'elle rend
        self._carnet_ote = False
        propre = connexion.particularite
        self._instantanes = _Instantanes(connexion, self.api, decaler) if propre.carnet_partiel else None
        self.api.frein, self.api.throttler = connexion.essais.frein, connexion.api.throttler
        self.api.ssl_context = connexion.api.ssl_context  # en relire les certificats prend 30 ms, et un Mo par écoute
        passer_marches(connexion.api, self.api)
        self.api.signaler = self._signaler
        self.api.asyncio_loop = asyncio.get_running_loop()  # kucoin s'en sert avant le premier `watch`

    async def suivre(self, *, groupe: bool) -> None:
        """Suit tous les symboles, par appels groupés ou un par un ; ne finit que par une erreur du module."""
        self._poser_les_prises()
        appels = self._appels(groupe=groupe)
        espacement_s = 1 / self._connexion.particularite.abonnements_par_s
        taches = [
            asyncio.ensure_future(self._entretenir(*appel, rang * espacement_s)) for rang, appel in enumerate(appels)
        ]
        try:
            finies, _ = await asyncio.wait([self._coupure, *taches], return_when=asyncio.FIRST_COMPLETED)
            erreur = next(iter(finies)).exception()
        finally:
            self._livraison.livrer()
            await abandonner(*taches)
        raise self._traduire(erreur if isinstance(erreur, Exception) else ConnectionError("abonnement fini"))

    def fermer(self) -> None:
        """Ferme les connexions sans attendre, la connexion REST s'en assure ; ses requêtes comptent avec les autres."""
        self._livraison.finir()
        if not self._coupure.cancel() and not self._coupure.cancelled():
            self._coupure.exception()  # lue, pour qu'asyncio ne s'en plaigne pas
        self._connexion.api.requetes += self.api.requetes
        self._connexion.fermer_plus_tard(self.api)

    def couper(self, cause: str) -> None:
        """Fait finir `suivre` : l'appelant a vu que ces données ne valent plus rien."""
        self._signaler(ErreurTemporaire(cause))

    def _signaler(self, erreur: Exception) -> None:
        if not self._coupure.done():
            self._livraison.finir()
            self._coupure.set_exception(erreur)

    def _traduire(self, erreur: Exception) -> ErreurCollecte:
        connexion = self._connexion
        traduite = traduire(erreur, f"Flux {self._nom} {de(connexion.reglages.exchange)}", connexion.heure_ms())
        parentes = {parente.__name__ for parente in type(erreur).__mro__}
        # La classe qui refuse d'elle-même commence toujours par son nom et celui de sa méthode (p2b, woo).
        annonce = str(erreur).startswith(f"{self.api.id} {self.canal.seul}")
        if annonce or parentes & {"NotSupported", "ArgumentsRequired"}:
            traduite = CanalInconnu(str(traduite), traduite.conseil)
        elif "OnMaintenance" in parentes:
            traduite = ErreurTemporaire(str(traduite), CONSEIL_RESEAU)  # un flux attend la fin de la maintenance
        elif type(traduite) in (ErreurTemporaire, RefusProbable):  # le code HTTP d'un instantané n'est pas un refus
            classe = RefusProbable if "ExchangeError" in parentes else ErreurTemporaire
            traduite = classe(str(traduite), traduite.conseil)
        connexion.taire(traduite)
        return traduite

    # --- abonnements

    def _appels(self, *, groupe: bool) -> list[tuple[str, tuple[Any, ...]]]:
        """(méthode, arguments) : des paquets de symboles, ou un appel par symbole."""
        methode = self.canal.groupe if groupe else self.canal.seul
        series = list(self.series.values())
        taille = self._connexion.particularite.sujets_par_appel if groupe else 1
        paquets = [series[debut : debut + taille] for debut in range(0, len(series), taille)]
        return [(methode, self._arguments(paquet, groupe=groupe)) for paquet in paquets]

    def _arguments(self, paquet: Sequence[Serie], *, groupe: bool) -> tuple[Any, ...]:
        """Ce qu'attend la méthode de ccxt, pour un symbole ou un paquet."""
        params = dict(self._connexion.reglages.params)
        symboles = [serie.cle.symbole for serie in paquet]
        demande: Any = symboles if groupe else symboles[0]
        if self._nom == "ticker":
            return demande, params
        if self._nom == "orderbook":
            return demande, self._connexion.particularite.niveaux_a_demander(paquet[0].limite, paquet[0].marche), params
        if self._nom == "trades":
            return demande, None, None, params
        couples = [[serie.cle.symbole, serie.timeframe.code] for serie in paquet]
        return (couples, None, None, params) if groupe else (*couples[0], None, None, params)

    async def _entretenir(self, methode: str, arguments: tuple[Any, ...], attente_s: float) -> None:
        """Rappelle `watch_…` sans fin : c'est ce qui tient l'abonnement, et par où les refus arrivent."""
        await pause(attente_s)
        delais, patience_s = delais_backoff(), None
        while True:
            try:
                async with asyncio.timeout(patience_s):
                    rendu = await getattr(self.api, methode)(*arguments)
            except TimeoutError as erreur:
                if patience_s is None:
                    raise
                raise ErreurTemporaire("un carnet décalé n'a pas repris") from erreur
            except Exception as erreur:
                if not _est_un_decalage(erreur) or self._connexion.particularite.carnet_sans_reprise:
                    raise
                if not self._carnet_ote:  # gate swap garde le même
                    self._decaler(symbole_en_cause(erreur, arguments[0]))
                await pause(next(delais))
                patience_s = REPRISE_DE_CARNET_S + self.api.frein.reste_s
            else:
                delais, patience_s = delais_backoff(), None
                self._recueillir(rendu, arguments[0])
                await pause(self.canal.pause_s)
                self._relire_les_carnets(arguments[0])

    # --- données

    def _poser_les_prises(self) -> None:
        """Écoute tout ce que la classe rangera ; ses caches de trades existent d'avance, qui débordent vite."""
        if self._nom == "ticker":
            self.api.tickers = _Rayon(self._ranger_ticker)
        elif self._nom == "ohlcv":
            self.api.options["OHLCVLimit"] = LIGNES_EN_CACHE
            self.api.ohlcvs = _Rayon(self._ranger_bougies)
        elif self._nom == "orderbook":
            self.api.orderbooks = _Carnets(self._oter_le_carnet)
        elif self._nom == "trades":
            caches = importer("ccxt.async_support.base.ws.cache", "Suivre un flux")
            self.api.trades = _Rayon(self._ranger_trades)
            for symbole in self.series:
                self.api.trades[symbole] = caches.ArrayCache(LIGNES_EN_CACHE)

    def _oter_le_carnet(self, symbole: str) -> None:
        self._carnet_ote = True
        self._decaler(symbole)

    def _ranger_ticker(self, symbole: str, ticker: Any) -> Any:
        self._livraison.entendus.add(symbole)
        self._dire(symbole, ticker)
        return ticker

    def _ranger_trades(self, symbole: str, cache: Any) -> Any:
        return self._livraison.brancher(cache, symbole) if symbole in self.series else cache

    def _ranger_bougies(self, symbole: str, rangees: Any) -> Any:
        """Un cache, ou des caches par timeframe ; whitebit range le seul qu'on suive sous « unknown »."""
        if symbole not in self.series:
            return rangees
        if not isinstance(rangees, dict):
            return self._ecouter_bougies(symbole, rangees)
        if isinstance(rangees, _Rayon):
            return rangees
        voulu = self.series[symbole].timeframe.code

        def ranger(code: str, cache: Any) -> Any:
            ecarte = code != voulu and code in self.api.timeframes
            return cache if ecarte else self._ecouter_bougies(symbole, cache)

        rayon = _Rayon(ranger)
        for code, cache in rangees.items():
            rayon[code] = cache
        return rayon

    def _ecouter_bougies(self, symbole: str, bougies: Any) -> Any:
        if not hasattr(bougies, "getLimit"):
            self.api.newUpdates = False  # ndax demande à sa liste, qui ne le sait pas, ce qu'elle a de neuf
        return self._livraison.brancher(bougies, symbole)

    def _dire(self, symbole: str, donnee: Any) -> None:
        if symbole in self.series and not self._coupure.done():
            self._recevoir(symbole, [donnee], maintenant_ms())

    def _recueillir(self, rendu: Any, demande: Any) -> None:
        """Ce qu'un appel rend : les carnets ; d'une classe qui ne range pas où l'on écoute, c'est tout ce qu'on a."""
        if self._nom == "orderbook":
            for symbole in [demande] if isinstance(demande, str) else demande:
                self._lire_carnet(symbole, self.api.orderbooks.get(symbole))
            if (symbole := str(rendu.get("symbol") or demande)) not in self.api.orderbooks:
                self._lire_carnet(symbole, rendu)  # bitopro
        elif self._nom == "ticker":
            for ticker in [rendu] if "symbol" in rendu else list(rendu.values()):
                if ticker["symbol"] not in self._livraison.entendus:
                    self._dire(ticker["symbol"], ticker)
        elif self._nom == "trades":
            self._suivre_le_rendu(demande, map(_trade_recu, rendu))
        elif isinstance(rendu, dict):
            for symbole, par_timeframe in rendu.items():
                self._suivre_le_rendu(symbole, map(tuple, itertools.chain(*par_timeframe.values())))
        else:  # upbit rend une bougie seule
            bougies = rendu if not rendu or isinstance(rendu[0], list) else [rendu]
            self._suivre_le_rendu(demande, map(tuple, bougies))

    def _suivre_le_rendu(self, symbole: Any, lignes: Iterable[Any]) -> None:
        """Reçoit ce qu'un appel a rendu d'un symbole dont aucun cache ne parle."""
        rendues = list(lignes)  # d'un marché sans trade, phemex commence par une liste vide
        if not rendues or not isinstance(symbole, str) or symbole in self._livraison.entendus or self._coupure.done():
            return
        if not self._dit:
            self._dit = True
            journal.warning(
                "%s : ccxt garde le flux « %s » d'une façon inconnue ; seules les valeurs qu'il rend sont suivies.",
                self._connexion.reglages.exchange, self._nom,
            )  # fmt: skip
        self._recevoir(symbole, rendues, maintenant_ms())

    def _relire_les_carnets(self, demande: str | list[str]) -> None:
        """Celui qui a changé entre deux appels n'est annoncé par aucun : c'est peut-être le dernier d'une rafale."""
        for symbole in ([demande] if isinstance(demande, str) else demande) if self._nom == "orderbook" else ():
            carnet = self.api.orderbooks.get(symbole)
            if carnet is not None and (carnet.get("timestamp"), carnet.get("nonce")) != (None, None):
                self._lire_carnet(symbole, carnet)

    def _lire_carnet(self, symbole: str, carnet: Any) -> None:
        if carnet is None:
            return
        etat = (carnet.get("timestamp"), carnet.get("nonce"))
        if etat == (None, None) or self._carnets_vus.get(symbole) != etat:
            self._carnets_vus[symbole] = etat
            if self._instantanes is not None and symbole in self.series:
                carnet = self._instantanes.connu(symbole, carnet, self.series[symbole].limite)
            self._dire(symbole, carnet)


def attentes_d_abonnement(propre: Particularite, symboles: Iterable[str], *, groupe: bool) -> dict[str, float]:
    """Dans combien de secondes chaque symbole d'une écoute sera abonné."""
    par_appel = propre.sujets_par_appel if groupe else 1
    return {symbole: rang // par_appel / propre.abonnements_par_s for rang, symbole in enumerate(symboles)}


# ----------------------------------------------------------------------------------------------------------------------
# § 8   Historique REST
# ----------------------------------------------------------------------------------------------------------------------
#
# L'intervalle demandé, moins ce qui est déjà prouvé, est lu par fenêtres d'une page ; une réponse vide ne prouve rien,
# si souvent qu'elle revienne. Trois pièces, dont chacune n'emploie que les précédentes, et les pages de § 7 :
#
#   Dossier   du calcul pur : un `Manque`, et ce que des réponses prouvent de chaque bougie qui y est absente
#   Enquete   ce qu'il reste à demander, chaque question une fois : encadrer le manque (lui, puis ses bords, puis des
#             timeframes plus longs) ; ou chercher la première ligne, du marché ou d'après un vide, par les plus longs
#   Lecteur   les fenêtres, à plusieurs, rendues dans l'ordre ; après un vide, l'enquête dit où reprendre

EN_VOL = 32  # pages demandées à la fois : à 100 ms de latence, la fenêtre de binance se prend sans attendre
QUESTIONS_MAX = 32  # par manque, sans qu'aucune ligne ne soit trouvée
QUESTIONS_DE_QUEUE = 3  # d'une queue, que rien ne pourrait encadrer : le temps d'y voir une ligne
QUESTIONS_DE_PLUS = 8  # là où un timeframe plus long vit, et dont le nôtre n'a encore rien dit
CONFIRMATIONS = 4  # d'un silence, chez un exchange qui se tait parfois à tort
JEUNESSE = 12 * MARGE  # bougies, en deçà desquelles rien ne se montre sans aller à maintenant
PAGES_DE_SILENCE = 8  # d'un timeframe qui, seul à parler d'une cotation, doit dire tout ce qui la précède
RECULS_MAX = 24  # pages d'un même timeframe, à chercher la première bougie d'un marché
MUETTES_MAX = 3  # recherches sans réponse avant de renoncer à toute la suite
REFUS_MAX = 5
PREMIER_MARCHE_MS = 1_262_304_000_000  # 2010-01-01 : aucun marché coté avant
SILENCE_MS = 680 * JOUR_MS  # avant une cotation, au besoin de pages bout à bout : bitget (trois mois), paradex


class Morceau(NamedTuple):
    """Une suite lue : `couvert` va du curseur d'avant au curseur d'après ; chaque bougie absente est dans un trou."""

    lignes: pa.Table
    couvert: Intervalle
    trous: list[Trou]


class Manque(NamedTuple):
    """Un intervalle sans ligne, suspect.

    `gauche`, `droite` : l'ouverture de la dernière ligne connue avant, de la première après ; None : aucune.
    `ancien` : des lignes plus anciennes sont écrites, ce vide n'est pas celui d'avant la cotation.
    """

    debut: int
    fin: int
    gauche: int | None
    droite: int | None
    ancien: bool

    @property
    def rien_avant(self) -> bool:
        """Vrai si aucune ligne, écrite ou lue, ne le précède."""
        return self.gauche is None and not self.ancien


class Dossier:
    """Un manque, les réponses qui en parlent, et ce qu'elles en prouvent : du calcul pur.

    De `pages`, rien que ce qui est su de l'exchange : sa conduite, ses timeframes plus longs, ce qui va à maintenant.
    """

    def __init__(self, pages: Pages, manque: Manque, reponses: Iterable[Reponse] = ()) -> None:
        self.pages, self.pas, self.conduite, self.manque = pages, pages.timeframe, pages.conduite, manque
        self.reponses: list[Reponse] = [*reponses]

    def est_courte(self, reponse: Reponse) -> bool:
        """Vrai d'un timeframe plus court que le nôtre : souvent gardé moins longtemps, il n'est témoin d'aucun vide."""
        return reponse.question.timeframe.pas_ms < self.pas.pas_ms

    @property
    def voisines(self) -> tuple[int | None, int | None]:
        """Les lignes connues les plus proches du manque, celles que les réponses rendent hors de lui comprises."""
        manque = self.manque
        avant = [i for i in (manque.gauche,) if i is not None and i < manque.debut]
        apres = [i for i in (manque.droite,) if i is not None and i >= manque.fin]
        for instants in (r.instants for r in self.reponses if r.de_la_serie):
            dernier, premier = (bisect.bisect_left(instants, borne) for borne in (manque.debut, manque.fin))
            avant += instants[dernier - 1 : dernier] if dernier else []
            apres += instants[premier : premier + 1]
        return max(avant, default=None), min(apres, default=None)

    @property
    def en_tete(self) -> bool:
        """Vrai si rien de connu, d'aucun timeframe, ne précède le manque."""
        return self.manque.rien_avant and not any(v[1] <= self.manque.debut for r in self.reponses for v in r.vives)

    @property
    def est_une_queue(self) -> bool:
        """Vrai d'un manque qui va à maintenant, après autre chose : aucune question n'encadrerait rien."""
        return self.pages.va_a_maintenant(self.manque.fin) and not self.en_tete

    @property
    def trouvee(self) -> Reponse | None:
        """La première réponse qui rend une ligne du manque."""
        return next((r for r in self.reponses if r.rend(self.manque.debut, self.manque.fin)), None)

    def commencent(self, ligne: int) -> bool:
        """Vrai si une page, qui ne va pas à maintenant, commence à cette ligne ; plus courte, dans sa bougie."""
        return any(
            not r.ancree and [*map(self.pas.plancher, r.instants[:1])] == [ligne]
            for r in self.reponses
            if r.de_la_serie or (self.est_courte(r) and r.question.debut < ligne)
        )

    def juger(self) -> list[Trou]:
        """Pourquoi chaque bougie du manque est absente.

        | vu                                                                                  | dit                |
        |-------------------------------------------------------------------------------------|--------------------|
        | la première bougie connue du marché, qu'une réponse rend, non ancrée à maintenant,  | `avant_cotation`,  |
        | et assez de silence avant elle ; les bords de ce qui est demandé sont suivis        | jusqu'à elle       |
        | refus « trop ancien »                                                               | `hors_fenetre_api` |
        | une réponse rend des bougies avant et après le vide, et rien dedans ; le silence    | `sans_transaction` |
        | qui le prolonge jusqu'à une voisine                                                 |                    |
        | une ligne « pas de transaction »                                                    | `sans_transaction` |
        | une ligne impossible, un vide que rien n'encadre                                    | `echec`            |
        | une queue : rien ne la suit, que la bougie en cours                                 | `a_venir`          |
        | une tête : rien de plus ancien n'a jamais été servi                                 | `hors_fenetre_api` |

        Qui tait une ligne connue n'est témoin de rien ; muette, sa réponse récuse les silences de son timeframe. Plus
        courte que la série, une réponse ne fait que montrer le marché commencer (`commencent`), ou dément un silence.
        """
        manque, conduite, (gauche, droite) = self.manque, self.conduite, self.voisines
        reponses = [r for r in self.reponses if not self.est_courte(r)]
        connues = [c for c in (gauche, droite) if c is not None]
        menteurs = {r.code for r in reponses if not r.instants and any(map(r.tait, connues))}
        temoins = [r for r in reponses if not any(map(r.tait, connues)) and not (r.se_tait and r.code in menteurs)]
        # Qui ne suit peut-être rien de ce qu'on demande tait ce qu'il ne rend pas : ancrée à maintenant, ou d'ailleurs
        # que de sa fenêtre, une réponse n'est alors muette sur rien.
        muets = [r for r in temoins if conduite.obeit or not (r.ancree or (r.se_tait and r.instants))]
        # Une bougie vivante, ou une ligne, au milieu d'un silence le dément.
        vives = [(c, c + 1) for c in connues]
        vives += [vive for r in [*temoins, *filter(self.est_courte, self.reponses)] for vive in r.vives]
        vides = unir(v for v in self._silences(muets) if not any(v[0] <= o and c <= v[1] for o, c in vives))
        rien_servi = gauche is None and not manque.ancien
        suivie = droite is not None or any(v[0] >= manque.debut for r in reponses for v in r.vives)
        siennes = [r for r in reponses if r.de_la_serie]
        # Muette un jour, la série a peut-être une bougie plate là où ce témoin en rend (bitstamp, bitbank).
        encadrent = temoins if droite is not None else [r for r in temoins if len(r.vives) == len(r.instants)]
        longs = self._silences([r for r in muets if not r.de_la_serie]) if rien_servi else []
        cote = rien_servi and conduite.obeit and droite is not None and self._commence(droite, vides, longs)
        reste = [(manque.debut, manque.fin)]
        trous: list[Trou] = []
        for raison, intervalles in (
            (ECHEC, [(i, r.question.timeframe.avancer(i, 1)) for r in siennes for i in r.page.impossibles]),
            (AVANT_COTATION, reste if cote else []),
            (HORS_FENETRE_API, [r.question[1:] for r in siennes if r.refusee]),
            # Avant la première qui nous fut jamais servie, un silence est peut-être la fin de ce que l'exchange garde.
            (SANS_TRANSACTION, self._encadres(encadrent, [] if rien_servi else vides)),
            (A_VENIR, reste if self.est_une_queue or not (suivie or self.en_tete) else []),
            (HORS_FENETRE_API if rien_servi else ECHEC, reste),
        ):
            trous += [Trou(*i, raison) for i in croiser(reste, intervalles)]
            reste = oter(reste, intervalles)
        return sorted(trous)

    def _silences(self, temoins: Sequence[Reponse]) -> list[Intervalle]:
        """Ce qui suit la voisine de gauche, ou précède celle de droite, et où l'exchange se tait.

        Il y faut deux réponses d'un même timeframe, qui ne peuvent mentir de la même façon. L'une rend la bougie de la
        voisine, à son bord : la dernière ; ou la première, serrée sur elle (une page plafonnée n'aurait pas gardé sa
        tête). L'autre, qui part juste là, ou y finit, ne rend rien : une page plafonnée, ou coupée, rendrait quelque
        chose. Des muettes se prolongent bout à bout : bitget n'a que trois mois par page. Un `since` qui ne rend pas la
        bougie qui y ouvre n'a rien demandé d'elle, ni une fin comptée sur les clôtures, exclue, de la dernière.
        """
        muettes = [(r.code, self.conduite.tue(r)) for r in temoins if r.se_tait]
        vides: list[Intervalle] = []
        gauche, droite = self.voisines
        for reponse in (r for r in temoins if r.vives):
            (premiere, cloture), (ouverture, derniere) = reponse.vives[0], reponse.vives[-1]
            timeframe, debut, fin = reponse.question
            tues = unir(tue for code, tue in muettes if code == reponse.code)
            if gauche is not None and ouverture <= gauche < derniere < fin:
                vides += [(derniere, f) for d, f in tues if d <= derniere < f]
            serree = debut < premiere < fin <= timeframe.avancer(premiere, MARGE + 1)
            if droite is not None and premiere <= droite < cloture and serree:
                vides += [(d, premiere) for d, f in tues if d <= timeframe.avancer(debut, 1) and premiere <= f]
        return vides

    def _encadres(self, temoins: Sequence[Reponse], vides: Sequence[Intervalle]) -> list[Intervalle]:
        """Ce qu'une réponse encadre sans rien y rendre, et les silences qui le prolongent jusqu'aux voisines."""
        cadres = unir(
            ((fin, debut) for r in temoins for (_, fin), (debut, _) in itertools.pairwise(self.conduite.cadre(r))),
            ((i, r.question.timeframe.avancer(i, 1)) for r in temoins if r.de_la_serie for i in r.page.muettes),
        )
        return unir(cadres, (v for v in vides if any(c[0] <= v[1] and v[0] <= c[1] for c in cadres)))

    def _commence(self, droite: int, vides: Sequence[Intervalle], longs: Sequence[Intervalle]) -> bool:
        """Vrai si le marché commence à cette ligne : une page rendue sans aller à maintenant, et un silence avant elle.

        Il remonte, d'un timeframe à l'autre, à si loin qu'aucun marché n'existait, ou ne s'est tu si longtemps. Un long
        remonte parfois plus loin que le nôtre (hyperliquid) : le plus court dit si le marché vivait déjà. Et le silence
        des `longs`, s'il en répond, doit remonter autant : qui n'a que ses dernières bougies (htx : 2 000) en a là
        d'anciennes. Aucun, demandé d'avant elle, ne doit vivre qu'après la bougie où elle est : d'un exchange qui garde
        tant de jours, de tout, la plus ancienne bougie d'un timeframe est celle d'un autre par hasard.
        """
        longues, reponses = self.pages.longues, [r for r in self.reponses if not self.est_courte(r)]
        vivent = [r for r in reponses if r.vives and not r.de_la_serie]
        autour = [(r.code, vive[0]) for r in vivent for vive in r.vives if vive[0] <= droite < vive[1]]
        oublient = {
            r.code for r in vivent
            if droite < r.vives[0][0] and r.question.debut < r.question.timeframe.plancher(droite) < r.question.fin
        } - dict(autour).keys()  # fmt: skip
        muettes = {r.code for r in reponses if not r.refusee} - {r.code for r in reponses if r.vives}
        temoin_long = any(t.code not in muettes for t in longues)
        doute_ms = longues[0].pas_ms if longues else math.inf
        loin = max(PREMIER_MARCHE_MS, droite - SILENCE_MS)
        return (
            self.commencent(droite)
            and not oublient
            and droite - max((ouverture for _, ouverture in autour), default=droite) <= doute_ms
            and any(debut <= loin and droite <= fin for debut, fin in vides)
            and (not temoin_long or any(debut <= loin for debut, _ in longs))
        )

    def deplier(self, reponse: Reponse) -> tuple[pa.Table, list[Trou], list[Manque]]:
        """Ce qu'une page de la série dit du manque : ses lignes, les vides qu'elle encadre, ce qui reste suspect."""
        manque, pas, page = self.manque, reponse.question.timeframe, reponse.page
        lignes = entre(page.lignes, manque.debut, manque.fin)
        instants = lignes["timestamp"].to_pylist()
        connues = [c for c in (manque.gauche, manque.droite) if c is not None]
        cadre = [] if any(map(reponse.tait, connues)) else self.conduite.cadre(reponse)
        trous: list[Trou] = []
        restes: list[Manque] = []
        for debut, fin in manquants(instants, pas, manque.debut, manque.fin):
            if cadre and cadre[0][0] < debut and fin <= cadre[-1][0]:
                echecs = [(i, pas.avancer(i, 1)) for i in page.impossibles if debut <= i < fin]
                trous += [Trou(*i, ECHEC) for i in unir(echecs)]
                trous += [Trou(*i, SANS_TRANSACTION) for i in oter([(debut, fin)], echecs)]
                continue
            rang = bisect.bisect_left(instants, debut)
            gauche = instants[rang - 1] if rang else manque.gauche
            droite = instants[rang] if rang < len(instants) else manque.droite
            restes.append(Manque(debut, fin, gauche, droite, manque.ancien))
        return lignes, trous, restes


# --- L'enquête : les questions qu'un manque laisse à poser, de la plus simple à la plus lointaine ---

Demarche: TypeAlias = Generator[Question, Reponse, T]
"""Des questions, l'une après l'autre ; chacune reçoit sa réponse ; la fin dit ce qui fut trouvé."""


class Enquete(Dossier):
    """Un dossier, et ce qu'il reste à demander : rien de ce dont une réponse est tenue.

    Une fenêtre refusée trop longue laisse une réponse à sa partie lue ; son reste est redemandé, plus court.
    """

    posees = 0
    _dementie = False  # une réponse muette ne l'était plus, redemandée
    _fenetres = _muettes = _refus = 0

    async def mener(self) -> tuple[Reponse | None, list[Trou]]:
        """La première réponse qui rend une ligne du manque ; à défaut, ce que toutes en prouvent."""
        await self.suivre(self.questions(), QUESTIONS_MAX, lambda: self._sait(QUESTIONS_DE_QUEUE))
        if not self._sait():
            await self.suivre(self._ou_il_vit(), QUESTIONS_DE_PLUS, lambda: self.trouvee is not None)
        if self._est_cotee():
            await self._confirmer_les_silences()
        return self.trouvee, [] if self.trouvee else self.juger()

    async def resoudre(self, page: Reponse | None = None) -> Morceau:
        """Le manque, dont `page` rend peut-être des lignes : de chaque bougie, une ligne, ou son absence jugée."""
        connues = [*self.reponses, page] if page else self.reponses
        lignes, trous, restes = self.deplier(page) if page else (page_vide().lignes, [], [self.manque])
        tables, a_voir = [lignes], [Enquete(self.pages, reste, connues) for reste in restes]
        while a_voir:  # chaque tour trouve une ligne, ou clôt un manque
            enquete = a_voir.pop(0)
            trouvee, juges = await enquete.mener()
            trous += juges
            if trouvee is not None:
                lignes, constates, restes = enquete.deplier(trouvee)
                tables.append(lignes)
                trous += constates
                # Une page qui mentait d'un manque n'est pas témoin du suivant.
                a_voir[:0] = [Enquete(self.pages, reste, [*connues, trouvee]) for reste in restes]
        if len(tables) > 1:
            lignes = pa.concat_tables(tables).sort_by("timestamp")
            if connues:
                self.pages.noter_plafond(connues[-1])
        return Morceau(lignes, self.manque[:2], sorted(trous))

    async def demander(self, question: Question) -> Reponse:
        """La réponse à une question ; posée si on ne la tient pas, et gardée."""
        question = self.pages.borner(question)
        for tenue in self.reponses[::-1]:
            if (tenue.code, tenue.question[1:]) == (question.timeframe.code, question[1:]):
                return tenue
        reponse = await self._poser(question)
        connue = any(c is not None and question.debut < c < question.fin for c in self.voisines)
        if not (reponse.instants or reponse.refusee) and (connue or self._vit(question)):
            reponse = await self._poser(question)  # muette là où le marché vit : une panne, peut-être
            if reponse.instants and not connue:  # d'une ligne connue, elle reste : elle accuse l'exchange
                self._dementie = True
                del self.reponses[-2]
        return reponse

    async def _confirmer_les_silences(self) -> None:
        """Chaque silence, avant une cotation, est redemandé : une panne en dirait autant, une fois.

        D'un exchange pris à se taire là où le marché vit, plusieurs fois : il recommencera.
        """
        muettes = dict.fromkeys(r.question for r in self.reponses if r.se_tait)
        a_menti = self._dementie or any(map(self._vit, muettes))
        for question in [*muettes] * (CONFIRMATIONS if a_menti else 1):
            if (await self._poser(question)).instants and not self._est_cotee():
                break  # démenti ; d'un silence étranger à la preuve, les autres restent à redemander (graine 60820)

    async def _poser(self, question: Question) -> Reponse:
        self.posees += 1
        reponse = await self.pages.temoigner(question)
        self.reponses.append(reponse)
        return reponse

    async def suivre(self, demarche: Demarche[T], permises: int, assez: Callable[[], bool] = lambda: False) -> T | None:
        """Pose tant de questions d'une démarche, au plus : jusqu'à sa fin, ou jusqu'à en savoir assez."""
        limite = self.posees + permises
        try:
            question = next(demarche)
            while self.posees < limite and not assez():
                question = demarche.send(await self.demander(question))
        except StopIteration as fin:
            return fin.value  # type: ignore[no-any-return]
        return None

    def _est_cotee(self) -> bool:
        return any(trou.raison == AVANT_COTATION for trou in self.juger())

    def _sait(self, de_queue: int = 0) -> bool:
        """Vrai si une ligne est trouvée, si tout est prouvé, ou s'il est vain d'insister.

        D'une queue, passé tant de questions ; ou si, quoi qu'on demande, les mêmes dernières reviennent.
        """
        vain = self.est_une_queue and self.posees >= de_queue
        vain = vain or (self.conduite.est_figee and self.manque.gauche is None)
        return vain or self.trouvee is not None or all(trou.raison in FAITS for trou in self.juger())

    def _vit(self, question: Question) -> bool:
        """Vrai si une bougie rendue est tout entière dans ce qu'une question demande."""
        _, debut, fin = question
        return any(debut <= v[0] and min(v[1], self.pages.horizon_ms) <= fin for r in self.reponses for v in r.vives)

    def _vives(self, timeframe: Timeframe, debut: int, fin: int) -> list[Intervalle]:
        """Les bougies vivantes de ce timeframe qui touchent [debut, fin[, de toute réponse."""
        vives = (vive for r in self.reponses if r.code == timeframe.code for vive in r.vives)
        return sorted({vive for vive in vives if debut < vive[1] and vive[0] < fin})

    # --- encadrer le manque

    def questions(self) -> Demarche[None]:
        """Ce qu'il reste à demander pour expliquer le manque."""
        pages, pas = self.pages, self.pas
        yield from self._avant_maintenant()
        yield from self._cadre(pas)
        yield from self._avant_maintenant()  # de ce qui précède, s'il vient d'être connu
        if self.en_tete:
            yield from self._cotation()
        yield from self._bords(pas, avec_elles=None in self.voisines)
        if pages.va_a_maintenant(self.manque.fin):
            return
        # Le vide est plus long que le manque : d'une page muette (coinbase : 300) où aucune voisine n'est connue.
        page_ms = pages.capacite(pas) * pas.pas_ms
        gauche, droite = self.voisines
        debut = self.manque.debut - page_ms if gauche is None else gauche
        fin = self.manque.fin + page_ms if droite is None else droite
        for timeframe in [t for t in pages.longues if 2 * t.pas_ms <= fin - debut]:
            yield from self._cadre(timeframe)
            if timeframe.pas_ms > page_ms:  # ses bougies du bord en taisent trop : un timeframe entre les deux le dit
                yield from self._bords(pages.temoin(timeframe.pas_ms) or timeframe, avec_elles=True)
        yield from self._bords(pas, avec_elles=True)

    def _avant_maintenant(self) -> Demarche[None]:
        """D'un manque qui va à maintenant : une page qui finit avant dit que la dernière ne s'ajoute pas à toutes."""
        derniere, _ = self.voisines
        if derniere is None or self.conduite.peut_finir or not self.pages.va_a_maintenant(self.manque.fin):
            return
        # D'avant, la bougie en cours n'a rien à faire là ; de loin, pour qui ne lit que `since` (whitebit, luno).
        rendues = {i for r in self.reponses if r.de_la_serie for i in r.instants if i <= derniere}
        ligne = min(sorted(rendues)[-9 * MARGE :], default=derniere)
        yield Question.autour(ligne, self.pas, -MARGE, 1)
        if not self.conduite.peut_finir:  # rare (lbank), trop peu de lignes pour finir avant maintenant
            loin = -self.pages.capacite(self.pas)
            yield Question.autour(ligne, self.pas, loin, loin + MARGE + 1)

    def _cadre(self, timeframe: Timeframe) -> Demarche[None]:
        """Le manque et ses voisines d'un seul regard, s'il tient dans une page ; puis où vivent ses bougies longues.

        La place qui reste va du côté où aucune voisine n'est connue. Une marge : un `since` ou un `until` exclusif rend
        encore la voisine.
        """
        place, (gauche, droite), conduite = self.pages.capacite(timeframe), self.voisines, self.conduite
        avant, apres = int(not conduite.inclut(timeframe)), 1 if conduite.va_a_la_fin else MARGE
        debut = self.manque.debut if gauche is None else gauche
        fin = self.manque.fin if droite is None else droite
        libre = place - timeframe.compter(debut, fin) - avant - apres
        if libre < 0 and timeframe not in self.pages.longues[-1:]:
            return
        marge = max(libre, MARGE) // max(1, (gauche is None) + (droite is None))
        avant, apres = (marge if gauche is None else avant), apres + (marge if droite is None else 0)
        reponse = yield Question(timeframe, timeframe.avancer(debut, -avant), timeframe.avancer(fin, apres))
        if reponse.vives and droite is not None and reponse.vives[-1][1] <= timeframe.plancher(droite):
            # Coupée avant la voisine qu'elle demandait (mexc, ccxt#30095) : de plus près, selon ce qu'elle a rendu.
            rendu = timeframe.compter(reponse.vives[0][0], reponse.vives[-1][1])
            proche = timeframe.avancer(self.manque.debut, -max(MARGE, rendu // 2))
            yield Question(timeframe, proche, timeframe.avancer(fin, apres))
        if not reponse.de_la_serie:
            yield from self._dans_ces_bougies(reponse.vives)

    def _dans_ces_bougies(self, vives: Sequence[Intervalle]) -> Demarche[None]:
        """Où sont, dans le timeframe de la série, les transactions de bougies longues du manque ou de son bord."""
        manque, place = self.manque, self.pages.capacite(self.pas)
        for ouverture, cloture in vives:
            if manque.debut <= ouverture and cloture <= manque.fin:  # bitbank : nos pages s'arrêtaient avant elle
                yield Question.autour(ouverture, self.pas, -MARGE, place - MARGE)
                return
            if ouverture < manque.fin < cloture:
                yield Question.autour(manque.fin, self.pas, -1, place - 1)

    def _bords(self, timeframe: Timeframe, *, avec_elles: bool = False) -> Demarche[None]:
        """Ce qui précède juste la voisine de droite et suit juste celle de gauche, ou à défaut les bords du manque.

        Sans elles, jusqu'à l'autre ou une page : une page plafonnée à une bougie ne rendrait qu'elles, et la preuve
        veut que ces questions-là soient muettes. Puis, de ce qui dépasse une page, chaque bord `avec_elles`.
        """
        avancer, place, (gauche, droite) = timeframe.avancer, self.pages.capacite(timeframe), self.voisines
        debut = timeframe.plafond(self.manque.debut) if gauche is None else avancer(gauche, 1)
        fin = timeframe.plancher(self.manque.fin if droite is None else droite)
        # D'un bord peut-être exclusif, la question va jusqu'à la voisine : elle est rendue, il ne l'est pas ; ou rien.
        bout = fin if self.conduite.va_a_la_fin else avancer(fin, 1)
        if droite is not None:
            depart = avancer(bout, -place)
            yield Question(timeframe, depart if gauche is None else max(debut, depart), bout)
        rangs = (0,) if gauche is None else (0, 1) if self.conduite.inclut(timeframe) else (-1, 0, 1)
        for depart in (avancer(debut, rang) for rang in rangs):
            suite = avancer(depart, place)
            reponse = yield Question(timeframe, depart, suite if droite is None else min(bout, suite))
            if reponse.se_tait:
                break
        if avec_elles and timeframe.compter(debut, fin) > place - MARGE - 1:
            yield Question.autour(debut, timeframe, -MARGE, place - MARGE)
            yield Question.autour(fin, timeframe, MARGE - place, MARGE)

    def _ou_il_vit(self) -> Demarche[None]:
        """Dans notre timeframe, là où un plus long vit, et dont le nôtre n'a rien dit : dans le manque, ou autour.

        Chercher jusqu'où remonte un silence a pris toutes les questions : bitget n'a que trois mois par page. D'avant
        lui, une ligne suffit : tant que nulle n'est connue, ce silence est peut-être la fin de ce que l'exchange garde.
        D'après lui aussi : qui rend les dernières d'avant une fin (bigone) y joint celle d'avant le manque.
        """
        debut, fin, (gauche, droite) = self.manque.debut, self.manque.fin, self.voisines
        dites = unir(r.question[1:] for r in self.reponses if r.de_la_serie)
        rien_servi = gauche is None and not self.manque.ancien
        for timeframe in self.pages.longues:
            vives = self._vives(timeframe, 0 if rien_servi else debut, INSTANT_MAX_MS if droite is None else fin)
            dedans = [v for v in vives if debut <= v[0] and v[1] <= fin and not croiser(dites, [(v[0], v[0] + 1)])]
            avant, apres = [v for v in vives if v[0] < debut], [v for v in vives if v[0] >= fin]
            for vive in dedans[:1] or apres[:1] or avant[-1:]:
                ou = yield from self._resserrer(*vive)
                depuis = vive[0] if ou is None else ou[0]
                yield Question.autour(depuis, self.pas, -MARGE, self.pages.capacite(self.pas) - MARGE)
                yield from self._bords(self.pas)  # d'une voisine de plus (bullish)
                return

    # --- chercher une première ligne : celle du marché, ou celle qui suit un vide

    def _cotation(self) -> Demarche[None]:
        """La première bougie du marché, et le silence qui la précède."""
        _, premiere = self.voisines
        if premiere is not None:
            yield from self._autour(premiere)
            yield from self._de_plus_pres(premiere)
            if not self.conduite.obeit:
                return  # rien de ce qu'il rendrait ne prouverait une cotation
        fin = self.pages.horizon_ms if premiere is None else self.pas.avancer(premiere, 1)
        ou = yield from self._resserrer(PREMIER_MARCHE_MS, fin, silence_ms=SILENCE_MS)
        if ou is None and premiere is not None and self.pages.portee_ms(self.pas) * PAGES_DE_SILENCE >= SILENCE_MS:
            # Rien de plus long ne parle : coinbase n'a que des jours, trois cents par page ; d'un marché jeune, qui ne
            # rend que des bougies closes n'en a pas encore.
            avant = self.pas.plancher(premiere - SILENCE_MS)
            yield from self._remonter(self.pas, avant, self.pas.avancer(premiere, MARGE), SILENCE_MS)
        if ou is None or not self.en_tete:
            return  # le marché est plus ancien : c'est un encadrement qu'il faut chercher
        yield from self._remonter(self.pas, self.pas.avancer(ou[0], -1), self.pas.avancer(ou[1], MARGE))
        if (premiere := self.voisines[1]) is not None:
            yield from self._autour(premiere)
            yield from self._de_plus_pres(premiere)

    def _autour(self, ligne: int) -> Demarche[None]:
        """Ce qui précède une ligne, elle serrée de près, puis, si ses bords ne sont pas suivis, ce qui la suit."""
        pas, place = self.pas, self.pages.capacite(self.pas)
        yield from self._remonter(pas, pas.avancer(ligne, 1 - place), pas.avancer(ligne, MARGE), SILENCE_MS)
        # Qui ne lit pas la fin, mais compte ce qu'il rend (btcmarkets), va d'aussi loin jusqu'à maintenant : pas de là.
        if not self.commencent(ligne):
            yield Question.autour(ligne, pas, -MARGE, MARGE)
        # À peine large d'abord : d'un marché jeune, une page irait jusqu'à maintenant ; rare, deux bougies se taisent.
        yield from self._suivre_les_bords(ligne, pas, place // 2)

    def _suivre_les_bords(self, ligne: int, timeframe: Timeframe, place: int) -> Demarche[None]:
        """Ce qui suit une ligne, de plus en plus large, tant que rien n'a montré suivi un bord de ce qu'on demande."""
        for large in (MARGE, 8 * MARGE, place):
            if not self.conduite.obeit:
                yield Question.autour(ligne, timeframe, MARGE, MARGE + large)

    def _de_plus_pres(self, ligne: int) -> Demarche[None]:
        """D'un marché de quelques bougies, dont toute page va à maintenant : comment il commence, en plus court."""
        fin, horizon = self.pas.avancer(ligne, 1), self.pages.horizon_ms
        if self.pas.compter(ligne, horizon) > JEUNESSE:
            return
        for court in self.pages.courtes:
            if self.conduite.obeit and self.commencent(ligne):
                return
            # D'une page entière : l'exchange ne suit peut-être que ce timeframe-là, où le marché vivait déjà.
            place = self.pages.capacite(court)
            if court.compter(ligne, horizon) <= JEUNESSE or 2 * court.compter(ligne, fin) > place:
                continue
            yield Question.autour(fin, court, -place, 0)
            for premiere, _ in self._vives(court, ligne, fin)[:1]:
                yield Question.autour(premiere, court, MARGE - place, MARGE)
                yield from self._suivre_les_bords(premiere, court, place // 2)

    def _reprise(self, depuis: int) -> Demarche[Intervalle | None]:
        """Où s'ouvre la première ligne d'après `depuis` ; de rien encore connu, celle du marché."""
        if self.en_tete:
            ou = yield from self._resserrer(PREMIER_MARCHE_MS, self.pages.horizon_ms, silence_ms=0)
            if ou is not None and ou[0] >= depuis:
                return ou
        return (yield from self._resserrer(depuis, self.manque.fin))

    def _resserrer(self, depuis: int, fin: int, *, silence_ms: int | None = None) -> Demarche[Intervalle | None]:
        """L'intervalle le plus étroit où s'ouvre la première ligne de [depuis, fin[ ; None si aucune réponse n'y vit.

        Chaque timeframe long cherche dans la bougie du précédent, jusqu'à ce qu'une page du nôtre la couvre. D'une
        bougie à cheval sur `depuis`, les transactions sont peut-être toutes avant : la suivante borne la recherche.
        De la première du marché, chacun, jusqu'au plus court, dit aussi ce qui précède la sienne, sur `silence_ms`.
        """
        pages, dessus, vue = self.pages, math.inf, False
        while timeframe := pages.temoin(fin - depuis, dessus):
            limite = depuis if silence_ms is None else timeframe.avancer(depuis, -1)
            yield from self._remonter(timeframe, limite, timeframe.avancer(fin, MARGE), silence_ms or 0)
            if timeframe not in pages.longues:
                continue  # hyperliquid refuse 1M et 1w : le plus long d'après prend sa place
            dessus = timeframe.pas_ms
            if vives := self._vives(timeframe, depuis, fin):
                entiere = next((v for v in vives if v[0] >= depuis), vives[0])
                depuis, fin, vue = max(depuis, vives[0][0]), min(fin, entiere[1]), True
            if vue and silence_ms is None and pages.portee_ms(self.pas) >= fin - depuis:
                break
        return (depuis, fin) if vue else None

    def _remonter(self, timeframe: Timeframe, limite: int, fin: int, silence_ms: int = 0) -> Demarche[None]:
        """La première bougie vivante d'avant `fin`, page après page jusqu'à `limite`, et le silence qui la précède.

        Avant lui, une page serrée sur elle : la preuve veut que la même réponse la rende, et rien avant.
        """
        avancer = timeframe.avancer
        premiere = next((vive[0] for vive in self._vives(timeframe, limite, fin)), None)
        marge = min(MARGE, self.pages.capacite(timeframe) - 1)
        if premiere is None:
            fin = min(fin, avancer(self.pages.horizon_ms, 1))
        else:
            fin = avancer(premiere, marge) if silence_ms else premiere
        for _ in range(RECULS_MAX):
            if fin <= limite:
                return
            place = self.pages.capacite(timeframe)
            debut, marge = max(avancer(limite, -1), avancer(fin, -place)), min(MARGE, place - 1)
            reponse = yield Question(timeframe, debut, fin)
            debut = reponse.question.debut  # refusée trop longue, elle n'a lu que sa fin
            if reponse.vives and reponse.vives[0][0] < fin:
                premiere, cloture = reponse.vives[0]
                serree = not silence_ms or fin <= avancer(premiere, MARGE + 1)
                # D'une fin peut-être exclue, jusqu'à sa clôture : rendue, la fin ne l'est pas ; ou rien.
                incluse = self.conduite.va_a_la_fin or fin == cloture or reponse.vives[-1][1] > self.pages.horizon_ms
                juste_avant = premiere if incluse or not silence_ms else cloture
                fin = juste_avant if serree else avancer(premiere, marge)
                continue
            sur, _ = self.conduite.tue(reponse)
            if premiere is None or not reponse.se_tait or premiere - sur >= silence_ms:
                return
            fin = avancer(debut, marge) if debut > limite else limite  # bitget : trois mois par page

    # --- des fenêtres sans ligne, l'une après l'autre : où reprendre

    async def apres_le_refus(self, refus: HorsFenetre, debut: int) -> int:
        """L'exchange ne remonte pas si loin (gate : 10 000 points) : où il accepte de servir."""
        self._refus += 1
        admis = self.pas.avancer(self.pages.horizon_ms, -refus.admis - 2) if refus.admis else debut
        depart = max(debut, min(self.manque.fin, admis))
        if depart == debut and self._refus == 1 and await self._accepte(debut):
            return debut  # il ne refuse pas ce début : la page est redemandée
        if self._refus > REFUS_MAX:  # chercher n'y sert à rien : la page est passée, la suivante dira
            accepte = min(self.manque.fin, self.pas.avancer(debut, self.pages.capacite(self.pas)))
        else:
            accepte = await self._premier(self._accepte, depart, saut=1)
        self.reponses.append(refus_de(Question(self.pas, debut, accepte), de_la_serie=True))
        return accepte

    async def apres_la_fenetre(self, reponse: Reponse, fin_fenetre: int) -> int:
        """Où reprendre après une fenêtre sans ligne utile."""
        self._fenetres += 1
        self._garder(reponse)
        premiere = next((ouverture for ouverture, _ in self.conduite.cadre(reponse)), 0)
        if premiere >= fin_fenetre:
            # Une minute a passé : les dernières de kraken ont glissé d'une.
            glissee = self.pas.avancer(premiere, 1)
            relue = await self.pages.temoigner(reponse.question._replace(fin=fin_fenetre))
            self._garder(relue)
            if relue.instants and relue.instants[0] in (premiere, glissee if relue.ancree else premiere):
                return relue.instants[0]  # kraken : ses 720 dernières ; ou la suite, chez qui ignore `until`
        if fin_fenetre >= self.manque.fin or (not self.manque.rien_avant and self._fenetres % 2):
            return fin_fenetre
        return await self._chercher(fin_fenetre) if self.pages.longues else fin_fenetre

    async def _chercher(self, depuis: int) -> int:
        """Où reprendre, d'après les timeframes longs."""
        connues = self.reponses.copy()
        ou = await self.suivre(self._reprise(depuis), QUESTIONS_MAX)
        if ou is None:
            if any(r.vives for r in self.reponses[len(connues) :]):
                return self.manque.fin  # ce qui suit est connu, et rien n'y vit
            self.reponses = connues  # muette, la recherche sera refaite
            self._muettes += 1
            return self.manque.fin if self._muettes >= MUETTES_MAX else depuis
        depuis = max(depuis, self.pas.plancher(ou[0]))
        if self.manque.rien_avant and not await self._sert(depuis, min(ou[1], self.manque.fin)):
            # Un timeframe long y voit des transactions, le nôtre ne les sert pas (hyperliquid : les 5000 dernières).
            return await self._premier(self._sert, depuis)
        return depuis

    def _garder(self, reponse: Reponse) -> None:
        if reponse.vives or reponse.page.muettes:
            self.reponses.append(reponse)

    async def _accepte(self, instant: int) -> bool:
        """Vrai si l'exchange ne refuse pas de répondre, même rien."""
        return not (await self.demander(Question(self.pas, instant, self.pas.avancer(instant, 1)))).refusee

    async def _sert(self, debut: int, fin: int | None = None) -> bool:
        """Vrai si l'exchange rend une ligne de [début, fin[ ; sans fin, de la page qui y commence."""
        pas = self.pas
        fin = pas.avancer(debut, max(1, self.pages.capacite(pas) - 2)) if fin is None else fin
        while debut < fin:
            place = self.pages.capacite(pas)
            marge = int(place > 2)  # pour un `since` exclusif ; avec elle, une page, pas plus
            suivant = min(fin, pas.avancer(debut, max(1, place - 2)))
            reponse = await self.demander(Question(pas, pas.avancer(debut, -marge), pas.avancer(suivant, marge)))
            if reponse.rend(debut, suivant):
                return True
            debut = fin if reponse.refusee else suivant
        return False

    async def _premier(self, passe: Callable[[int], Awaitable[bool]], refuse: int, saut: int | None = None) -> int:
        """Par dichotomie, la première ouverture qui passe ; la fin si aucune. `saut` : d'abord à pas doublés."""
        accepte = self.manque.fin
        while (points := self.pas.compter(refuse, accepte)) > 1:
            milieu = self.pas.avancer(refuse, min(saut or points, points // 2))
            if await passe(milieu):
                accepte = milieu
            else:
                refuse, saut = milieu, saut and 2 * saut
        return accepte


# --- La lecture : des fenêtres d'une page, à plusieurs, rendues dans l'ordre ---


class Lecteur:
    """Lit une série entre deux instants, et prouve ce qu'il rend ; `par_page` : bougies par fenêtre, au plus.

    Les fenêtres partent dans l'ordre, `concurrence` en vol, et sont rendues dans l'ordre ; la première part seule :
    elle dit si l'histoire commence bien là.
    """

    def __init__(self, pages: Pages, concurrence: int = EN_VOL, par_page: float = math.inf) -> None:
        self.pages, self._concurrence, self._par_page = pages, concurrence, par_page
        self._en_vol: collections.deque[tuple[Intervalle, asyncio.Task[Reponse]]] = collections.deque()
        self._prochaine = 0  # où commence la première fenêtre qui n'est pas partie

    async def lire(
        self, debut: int, fin: int, *, ancien: bool = False, suivante: int | None = None, tete_libre: bool = False
    ) -> AsyncGenerator[Morceau]:
        """Rend les bougies de [début, fin[ par morceaux contigus et croissants, du premier au dernier instant.

        `ancien` : des lignes d'avant sont déjà écrites. `suivante` : la première écrite d'après. `tete_libre` : rien
        n'est demandé avant la première bougie servie, et les morceaux commencent à elle.
        """
        avancer, debut, fin = self.pages.timeframe.avancer, *map(self.pages.timeframe.plafond, (debut, fin))
        self._prochaine, places = debut, 1
        vide = Enquete(self.pages, Manque(debut, fin, None, suivante, ancien))
        try:
            while vide.manque.debut < fin:
                try:
                    fenetre = await self._suivante(fin, places)
                except HorsFenetre as refus:
                    self._sauter(await vide.apres_le_refus(refus, self._prochaine))
                    continue
                if fenetre is None:
                    yield await vide.resoudre()
                    return
                (reponse, fin_fenetre), places = fenetre, self._concurrence
                # Sans `until`, la page déborde ; ces lignes-là, pas demandées, attendent leur fenêtre.
                utiles = entre(reponse.page.lignes, vide.manque.debut, min(fin, avancer(fin_fenetre, 1)))
                if not utiles.num_rows:
                    self._sauter(await vide.apres_la_fenetre(reponse, fin_fenetre))
                    continue
                premiere, derniere = utiles["timestamp"][0].as_py(), utiles["timestamp"][-1].as_py()
                debut = premiere if tete_libre and vide.manque.gauche is None else vide.manque.debut
                vide.manque = vide.manque._replace(debut=debut, fin=avancer(derniere, 1))
                yield await vide.resoudre(reponse)
                # Le vide est fini ; le prochain aura cette réponse à sa gauche.
                vide = Enquete(self.pages, Manque(vide.manque.fin, fin, derniere, suivante, ancien), [reponse])
                self._sauter(vide.manque.debut)
        except PasRefuse as refus:
            journal.warning("%s", refus.complet())
            reste = (vide.manque.debut, fin)
            yield Morceau(page_vide().lignes, reste, [Trou(*reste, ECHEC)])
        finally:
            await self._repartir(fin)

    async def _suivante(self, jusqua: int, places: int) -> tuple[Reponse, int] | None:
        """La page suivante et la fin de sa fenêtre ; None quand il n'en reste plus."""
        pas, pages = self.pages.timeframe, self.pages
        place = int(min(pages.capacite(pas), max(1, self._par_page - avance_de(pas))))
        while len(self._en_vol) < places and self._prochaine < jusqua:
            debut, bout = self._prochaine, pas.avancer(self._prochaine, place)
            self._prochaine = min(jusqua, bout)
            # Une fenêtre qui a de la place demande aussi la bougie d'après : elle encadre une queue sans transaction.
            page = pages.lire(debut, min(pas.avancer(self._prochaine, 1), bout))
            self._en_vol.append(((debut, self._prochaine), asyncio.ensure_future(page)))
        if not self._en_vol:
            return None
        (debut, fin), tache = self._en_vol[0]
        try:
            reponse = await tache
        except HorsFenetre:
            await self._repartir(debut)  # `lire` dit d'où : ces fenêtres seront redemandées
            raise
        self._en_vol.popleft()
        if debut < reponse.question.fin < fin:  # refusée trop longue, elle n'a lu que son début : la suite repart de là
            fin = reponse.question.fin
            await self._repartir(fin)
        return reponse, fin

    def _sauter(self, instant: int) -> None:
        """Abandonne les fenêtres qui finissent avant l'instant, et n'en lance plus avant lui."""
        while self._en_vol and self._en_vol[0][0][1] <= instant:
            self._en_vol.popleft()[1].cancel()
        self._prochaine = max(self._prochaine, instant)

    async def _repartir(self, instant: int) -> None:
        """Annule ce qui est en vol, attend que ce soit fini, et repart de cet instant."""
        annulees = [tache for _, tache in self._en_vol]
        self._en_vol.clear()
        self._prochaine = instant
        await abandonner(*annulees)


# --- Plan et reprise ---


class Plage(NamedTuple):
    """Ce qui est demandé d'une série ; un bord None : ce qui est déjà là, ou le plus récent."""

    debut: int | None = None
    fin: int | None = None
    relecture: int = 2
    grace_ms: int = 2_000
    courante: bool = False  # garder la bougie non close

    def exigee(self, heure_ms: int) -> bool:
        """Vrai d'une fin demandée et passée : ce qui manque jusqu'à elle est un trou, pas une queue à venir."""
        return self.fin is not None and self.fin <= heure_ms


def borner(plage: Plage, timeframe: Timeframe, limite: int, heure_ms: int, fiche: Fiche) -> Intervalle:
    """L'intervalle à tenir, sur la grille : jusqu'à la dernière bougie close d'après l'heure de l'exchange."""
    close = timeframe.plancher(heure_ms - plage.grace_ms - timeframe.jeu_ms)
    if plage.courante:  # une, et pas deux : dans son délai de grâce, la précédente n'est pas encore close
        close = timeframe.avancer(close, 1)
    # Ce qui peut ouvrir au-delà de la fin n'est pas demandé.
    fin = close if plage.fin is None else min(close, timeframe.plafond(plage.fin - timeframe.jeu_ms))
    if plage.debut is not None:
        debut = timeframe.plafond(plage.debut)
    else:
        debut = fiche.couverts[0][0] if fiche.couverts else timeframe.avancer(fin, -limite)
    return min(debut, fin), fin  # rien ne s'est encore clos depuis le début : un intervalle vide, et non à l'envers


def reste_a_lire(demande: Intervalle, fiche: Fiche, *, ailleurs: bool = False) -> list[Intervalle]:
    """Ce que la fiche ne sait pas de la demande : la seule règle de reprise, de toute histoire.

    Ce que l'API ne sert plus n'est redemandé qu'à une source qui n'est pas elle (`ailleurs`) : des fichiers, ou les
    trades dont on fait les bougies qu'elle n'a plus.
    """
    return oter([demande], fiche.couverts if ailleurs else fiche.connus())


def planifier(demande: Intervalle, fiche: Fiche, timeframe: Timeframe, relecture: int) -> list[Intervalle]:
    """Ce qu'il reste à demander : la demande moins ce qui est su, plus les dernières bougies, relues.

    Des exchanges révisent leurs bougies après coup (kraken, le volume) : les `relecture` dernières du connu le sont.
    """
    manque = reste_a_lire(demande, fiche)
    sues = oter(croiser([demande], fiche.couverts), intervalles_de(fiche.trous))
    if sues and relecture:
        fin = sues[-1][1]
        cotees = oter([demande], intervalles_de(fiche.trous, AVANT_COTATION))  # rien n'y est à réviser
        manque = unir(manque, croiser([(timeframe.avancer(fin, -relecture), fin)], cotees))
    return manque


PAGES_DE_GRILLE = 8  # d'un marché muet : en jours, trois cents par page, six ans
TIMEFRAMES_DE_PREUVE = ("15m", "1h", "4h", "1d", "1w", "1M")  # servis presque partout, et pour tous les prix
TIMEFRAMES_DE_JEUNESSE = ("1m", "5m", *TIMEFRAMES_DE_PREUVE)


class Source(Protocol):
    """D'où viennent les lignes d'une série : `preparer`, puis `lots` de ce qu'il rend, dans l'ordre qu'elle veut.

    `demande` : l'intervalle à tenir, connu après `preparer` ; une source peut le préciser en lisant. `attendue` :
    l'instant de la dernière ligne qu'il doit tenir ; None si rien ne le dit, comme d'événements. La fiche donnée à la
    source est ce que la sortie prouve déjà ; un lot n'efface rien de ce qu'elle tient sans le lire à nouveau.
    """

    demande: Intervalle

    @property
    def attendue(self) -> int | None:
        """L'instant de la dernière ligne attendue."""

    async def preparer(self) -> list[Intervalle]:
        """Fixe `demande` ; rend les intervalles à lire."""

    def lots(self, intervalles: Sequence[Intervalle]) -> AsyncGenerator[Lot]:
        """Les lots de ces intervalles."""


class Historique:
    """La source REST d'une série de bougies : rend des lots pour un écrivain."""

    def __init__(
        self,
        connexion: Connexion,
        serie: Serie,
        plage: Plage,
        fiche: Fiche,
        places: asyncio.Semaphore,
        concurrence: int,
    ) -> None:
        self.connexion, self.serie, self.plage, self.fiche = connexion, serie, plage, fiche
        self.timeframe = serie.timeframe
        self.demande: Intervalle = (0, 0)
        self._decalage = 0  # de la dernière bougie rendue, sur sa grille
        self._grille_connue = True
        self._places, self._concurrence = places, concurrence

    @property
    def attendue(self) -> int | None:
        """L'ouverture de la dernière bougie close."""
        return self.timeframe.avancer(self.demande[1], -1)

    async def preparer(self) -> list[Intervalle]:
        """Fixe l'ancre et les bornes ; rend les intervalles à demander."""
        if self.timeframe.peut_etre_ancre:
            ancre = self.fiche.ancre_ms if self.fiche.couverts else await self._apprendre_ancre()
            self._grille_connue, self.timeframe = ancre is not None, self.timeframe.ancrer(ancre or 0)
        if self.connexion.avance_douteuse_ms:
            await self._lire_l_heure_aux_bougies()
        heure = self.connexion.heure_ms()
        self.demande = borner(self.plage, self.timeframe, self.serie.limite, heure, self.fiche)
        self.fiche.ancre_ms = self.timeframe.ancre_ms
        return planifier(self.demande, self.fiche, self.timeframe, self.plage.relecture)

    @property
    def _vues(self) -> int:
        """Les bougies à regarder d'avant un instant : dix, ou moins si une demande n'en couvre pas autant."""
        fenetre, autour = self.connexion.fenetre_ms(self.timeframe, self.serie.marche), 1 + avance_de(self.timeframe)
        return max(1, _tenir_dans(fenetre, self.timeframe, autour + 10) - autour)

    async def _lire_l_heure_aux_bougies(self) -> None:
        """Une bougie servie s'est ouverte : l'heure de l'exchange est au moins celle-là, si l'en-tête le permet."""
        heure = self.connexion.heure_ms()
        fin = self.timeframe.avancer(heure + self.connexion.avance_douteuse_ms, 1)
        brutes = await self._demander(self.timeframe, self.timeframe.avancer(fin, -self._vues), fin, False)
        ouvertures = sorted({b[0] for b in brutes if b and isinstance(b[0], int) and heure < b[0] < fin})
        if ouvertures:
            self.connexion.noter_instants(ouvertures)

    async def _apprendre_ancre(self) -> int | None:
        """Où l'exchange ouvre ses jours, semaines ou mois : okx à Hong Kong, kraken ses semaines le jeudi.

        None : il est muet, et n'en dit rien.
        """
        heure, brutes = self.connexion.heure_ms(), list[list[Any]]()
        for debut, fin in self._ou_voir_la_grille(heure):
            with contextlib.suppress(HorsDesBornes):  # trop ancien : rien n'en sera lu
                brutes = brutes or await self._demander(self.timeframe, debut, fin, False)
        ancre = deviner_ancre(brutes, self.timeframe)
        if ancre:
            ouverture = en_iso(self.timeframe.ancrer(ancre).plancher(heure))
            phrase = "%s : bougies ouvertes hors de la grille UTC (par exemple %s), gardées telles quelles."
            journal.info(phrase, self.serie.cle, ouverture)
        return ancre if brutes else None

    def _ou_voir_la_grille(self, heure: int) -> Iterator[Intervalle]:
        """Maintenant ; à la fin demandée ; puis, d'un marché retiré, page après page avant elle."""
        avancer, bouts = self.timeframe.avancer, [heure, *([] if self.plage.fin is None else [self.plage.fin])]
        yield from ((avancer(bout, -self._vues), avancer(bout, 1)) for bout in bouts)
        place, fin = max(1, self.serie.limite - 1 - avance_de(self.timeframe)), avancer(min(bouts), -self._vues)
        for _ in range(PAGES_DE_GRILLE):
            if self.plage.debut is not None and self.plage.debut < fin:
                yield max(self.plage.debut, avancer(fin, -place)), fin
                fin = avancer(fin, -place)

    @functools.cached_property
    def pages(self) -> Pages:
        """Ce qu'on peut demander de la série, et ce qu'on en a appris."""
        offerts = self.connexion.timeframes_offerts(self.serie.marche)
        longues, courtes = (
            [timeframe_de(self.serie.cle.exchange, code) for code in codes if code in offerts]
            for codes in (TIMEFRAMES_DE_PREUVE, TIMEFRAMES_DE_JEUNESSE)
        )
        return Pages(
            self._demander,
            self.timeframe,
            self.serie.page_de_preuve,
            prix=self.serie.cle.prix,
            longues=[longue for longue in longues if longue.pas_ms > self.timeframe.pas_ms],
            courtes=[court for court in courtes if court.pas_ms < self.timeframe.pas_ms],
            horizon_ms=self.connexion.heure_ms(),
            fenetre_ms=lambda timeframe: self.connexion.fenetre_ms(timeframe, self.serie.marche),
            grace_ms=self.plage.grace_ms,
        )

    @property
    def libre(self) -> bool:
        """Vrai si rien n'est demandé avant la première bougie servie."""
        return self.plage.debut is None and not self.fiche.couverts

    async def lots(self, intervalles: Sequence[Intervalle]) -> AsyncGenerator[Lot]:
        """Les lots des intervalles, dans l'ordre."""
        sus, libre = list(self.fiche.couverts), self.libre
        manques = await self.avec_les_bords(intervalles)
        if grappes := annexe_ou_rien("grappes"):
            manques = grappes.d_une_histoire(manques, self.pages)
        for debut, fin in manques:
            async with contextlib.aclosing(self.lots_entre(debut, fin, sus, libre=libre)) as lots:
                async for lot in lots:
                    libre = False
                    yield lot

    async def lots_entre(
        self, debut: int, fin: int, sus: Sequence[Intervalle], *, libre: bool = False
    ) -> AsyncGenerator[Lot]:
        """Les lots de [début, fin[ ; `sus` : les intervalles déjà prouvés, qu'aucun trou n'efface."""
        lecteur = Lecteur(self.pages, self._concurrence, self.serie.limite)
        # Savoir le marché pas encore coté n'est pas en avoir des lignes : sa première bougie reste à prouver.
        avant = [(t.debut, t.fin) for t in self.fiche.trous if t.raison == AVANT_COTATION]
        ancien = any(su[0] <= debut for su in oter(sus, avant))  # `--relecture` part peut-être de la première écrite
        suivante = premiere_ecrite(self.fiche, fin)
        lus = lecteur.lire(debut, fin, ancien=ancien, suivante=suivante, tete_libre=libre)
        async with contextlib.aclosing(lus) as morceaux:  # les pages encore en vol finissent avant la connexion
            async for morceau in morceaux:
                if libre:  # sans début demandé : la demande commence où l'exchange commence
                    self.demande, libre = (morceau.couvert[0], self.demande[1]), False
                yield self._en_lot(morceau, sus)

    async def avec_les_bords(self, intervalles: Sequence[Intervalle]) -> list[Intervalle]:
        """Les intervalles, et les `hors_fenetre_api` que le bord du dernier dément.

        L'exchange le sert, ou sert plus ancien : il était en panne. Ou, demandé d'avant, il y commence, ou n'a rien
        avant, et un timeframe plus long non plus : c'est peut-être la cotation, plutôt que la fin de ce qu'il garde. Ou
        elle est déjà prouvée, plus tard que lui.
        """
        hors = croiser(oter(intervalles_de(self.fiche.trous, HORS_FENETRE_API), intervalles), [self.demande])
        if not hors:
            return list(intervalles)
        fin = hors[-1][1]
        if any(t.raison == AVANT_COTATION and t.debut >= fin for t in self.fiche.trous):
            return unir(intervalles, hors)
        bord = self.timeframe.avancer(fin, -max(1, self.pages.capacite(self.timeframe) - MARGE - 1))
        reponse = await self.pages.temoigner(Question(self.timeframe, bord, self.timeframe.avancer(fin, 1)))
        if reponse.ancree and reponse.instants[0] == fin:
            # Sans date de fin (whitebit, foxbit), toute page d'un marché jeune va jusqu'à maintenant : sauf une serrée.
            reponse = await self.pages.temoigner(Question.autour(fin, self.timeframe, -MARGE, MARGE))
        revenu = bool(reponse.instants) and reponse.instants[0] < fin
        dementi = revenu or (not (reponse.refusee or reponse.ancree) and await self._semble_cote(fin))
        return unir(intervalles, hors) if dementi else list(intervalles)

    async def _semble_cote(self, instant: int) -> bool:
        """Vrai si le plus court des timeframes longs qui y vivent, demandé d'avant cet instant, n'a rien avant lui."""
        muette = False
        for longue in self.pages.longues:
            reponse = await self.pages.temoigner(Question.autour(instant, longue, -10, 1))
            if reponse.vives:
                return reponse.vives[0][1] > instant
            muette |= not reponse.refusee
        return muette

    def _en_lot(self, morceau: Morceau, sus: Sequence[Intervalle]) -> Lot:
        """Le morceau, habillé ; un trou n'efface jamais ce qui était prouvé (kraken ne sert plus ce qu'il a servi).

        Un fait relu est redit, sauf là où une ligne est écrite : le taire l'ôterait de la fiche. Sans date de fin
        passée, ce que l'exchange n'a pas encore servi jusqu'à maintenant n'est pas un trou : rien n'en est inscrit, la
        prochaine exécution le redemandera. De ce que le fichier sait après lui, ce n'est pas une queue.
        """
        if self.timeframe.jeu_ms and (remarques := annexe_ou_rien("remarques")):
            instants = morceau.lignes["timestamp"].to_pylist()
            self._decalage = remarques.dire_les_decalages(self.serie.cle, self.timeframe, instants, self._decalage)
        heure = self.connexion.heure_ms()
        close = self.timeframe.plancher(heure - self.plage.grace_ms - self.timeframe.jeu_ms)
        exigee = self.plage.exigee(heure)
        connu = max([su[1] for su in sus[-1:]] + morceau.lignes["timestamp"][-1:].to_pylist(), default=0)
        trous = [
            Trou(*reste, ECHEC if t.raison == A_VENIR else t.raison)
            for t in morceau.trous
            for reste in oter([(t.debut, t.fin)], self._ecrits(sus, t) if t.raison in FAITS else sus)
            if exigee or t.raison != A_VENIR or reste[0] < connu
        ]
        if queues := intervalles_de(morceau.trous, A_VENIR):  # un jour de panne en avait fait un trou
            dits = oter(croiser(queues, self.fiche.non_prouves(*RAISONS_PARTIELLES)), intervalles_de(trous))
            trous += [Trou(*dit, A_VENIR) for dit in dits]
        if self.plage.fin is not None and not self._grille_connue:  # d'une autre (htx), une bougie ouvrirait après elle
            trous = [t._replace(fin=min(t.fin, self.plage.fin)) for t in trous if t.debut < self.plage.fin]
        non_prouves = [(t.debut, t.fin) for t in morceau.trous if t.raison not in FAITS]
        prouves = oter([morceau.couvert], non_prouves)
        return Lot(self.serie.cle, habiller(self.serie.cle, morceau.lignes), croiser(prouves, [(0, close)]), trous)

    def _ecrits(self, sus: Sequence[Intervalle], trou: Trou) -> list[Intervalle]:
        """De ce qui est su dans ce trou, ce dont une ligne est écrite."""
        ici = croiser(sus, [(trou.debut, trou.fin)])
        return oter(ici, ((t.debut, t.fin) for t in self.fiche.trous)) if ici else []

    async def _demander(self, timeframe: Timeframe, debut: int, fin: int, relecture: bool) -> list[list[Any]]:
        if avance := avance_de(timeframe):
            # Trois mois de bitget en font parfois 92 jours, deux de plus qu'il n'en couvre : l'avance cède.
            fenetre = self.connexion.fenetre_ms(timeframe, self.serie.marche)
            permis = min(debut, fin - fenetre) if fenetre else 0
            debut = max(timeframe.avancer(debut, -avance), permis)
        async with self._places:
            # Qui ignore `until` (kucoin) suit `limit` : une question serrée rend une page serrée.
            serree = min((fin - debut) // timeframe.pas_ms + 1 + MARGE, self.serie.page_de_preuve)
            limite = serree if relecture else self.serie.limite
            return await self.connexion.lire_bougies(
                self.serie, timeframe, max(debut, 0), fin, limite=limite, relecture=relecture
            )


# --- Trades : relire ce qu'une coupure a fait manquer ---

PAGES_DE_TRADES_MAX = 500
PAGE_PLEINE = 50  # trades : aucun exchange ne coupe les siennes plus court
RECULS_MS = tuple(MINUTE_MS * 8**rang for rang in range(5))  # d'une minute à trois jours


class Lacune(NamedTuple):
    """Des trades peut-être perdus entre ces deux-là ; `saut` : des identifiants manquent, sans coupure."""

    dernier: Trade
    jusqua: Trade | None
    saut: bool = False

    def etendue(self, a_defaut: int) -> Intervalle:
        """Ce qui reste à prouver ; jusqu'à `a_defaut` si aucun trade n'est encore venu après.

        La milliseconde des deux bords en est, que des trades manqués ont pu partager ; sans coupure, ceux qui les
        entourent la prouvent, à moins qu'ils n'en aient qu'une.
        """
        debut = self.dernier.timestamp + self.saut
        fin = self.jusqua.timestamp + (not self.saut) if self.jusqua else a_defaut
        bord = self.jusqua.timestamp if self.jusqua else fin
        return (debut, fin) if self.jusqua is None or debut < fin else (bord, bord + 1)

    def trou(self, a_defaut: int, raison: str) -> list[Trou]:
        """Ce trou-là, si elle a une étendue ; un saut a pu commencer ou finir dans la milliseconde de ses bords."""
        debut, fin = self._replace(saut=False).etendue(a_defaut)
        return [Trou(debut, fin, raison)] if debut < fin else []

    def numeros(self) -> list[Intervalle]:
        """Les identifiants qui séparent ces deux trades, [début, fin[ ; aucun s'ils ne sont pas une séquence."""
        avant, apres = rangs_de(self.dernier.id), rangs_de(self.jusqua.id if self.jusqua else None)
        return [(avant[1] + 1, apres[0])] if avant and apres and avant[1] + 1 < apres[0] else []


class Relu(NamedTuple):
    """Ce qu'une relecture a prouvé.

    `trous` : ce que l'exchange n'a pas rendu ; `complet` : il a tout rendu, d'un bord à l'autre ; `rejoint` : jusqu'au
    second, au moins ; `sautent` : ses identifiants sautent eux aussi ; `sauts` : ceux d'une coupure, à redemander ;
    `dernier` : son trade le plus récent.
    """

    trous: list[Trou]
    complet: bool
    rejoint: bool
    sautent: bool
    sauts: list[Lacune]
    dernier: Trade | None


SAUTS_REDEMANDES_MAX = 20  # d'une relecture


class RelectureTrades:
    """Relit une fois, par REST, les trades d'une lacune : des `pages`, puis un `resultat`.

    Chaque page doit partir d'où finit la précédente, la première du dernier trade reçu : là où `since` est ignoré, il
    peut en passer plus d'une page entre deux demandes (phemex ne sert que ses 200 derniers). `memoire` : ce qui fut
    reçu ou relu, qui ne sera pas rendu.
    """

    def __init__(
        self, connexion: Connexion, serie: Serie, lacune: Lacune, memoire: Dedoublonneur, *, suivis: bool = False
    ) -> None:
        self._connexion, self._serie, self._lacune, self._memoire = connexion, serie, lacune, memoire
        self._avant, self._apres, self._saut = lacune
        self._suivis = suivis  # on sait que les identifiants se suivent
        self._lire = functools.partial(connexion.lire_trades, serie)
        self._maintenant = connexion.heure_ms()  # jusqu'où lire, si rien n'est encore venu après
        self._precis = False  # les instants de ces pages disent plus que la seconde
        self._accroche = self._rejoint = False
        self._dernier: Trade | None = None
        self._impossibles: set[int] = set()  # instants des trades qui ne peuvent être vrais
        self._cassures: list[tuple[Trade, Trade]] = []  # entre deux pages qui ne se suivent pas
        self._attendus: list[Trade] = []  # des groupes dont le flux n'a pas encore dit la fin
        self._numeros: list[Intervalle] = []  # ceux qu'il a servis
        self._sauts: list[Lacune] = []  # entre deux trades servis de suite ; un retardataire le comble
        self._plus_grand = self._avant  # le plus grand numéro servi

    async def pages(self) -> AsyncGenerator[list[Trade]]:
        """Les trades que le flux n'a pas dits, page par page, dans l'ordre du temps."""
        lues = self._avancer() if self._connexion.particularite.trades_arriere is None else self._reculer()
        async with contextlib.aclosing(lues) as pages:
            async for lue in pages:
                entre = [t for t in lue if _est_entre(t, self._avant, self._apres, self._grain_ms)]
                page = await self._detailler(entre)
                if self._saut or self._suivis:
                    self._numeroter(page)
                attendus = [trade for trade in page if self._attend_encore(trade)]
                self._attendus += attendus
                dits = (separer(trade, self._memoire.connu) for trade in page if trade not in attendus)
                if neufs := self._memoire.nouveaux(filter(None, dits), relecture=True):
                    yield neufs

    def resultat(self) -> Relu:
        """Ce que ces pages ont prouvé ; d'autres trades partageaient la milliseconde de leurs bords."""
        debut, servi = self._avant.timestamp, (self._dernier or self._avant).timestamp
        fin = max(self._connexion.heure_ms(), servi + self._grain_ms)  # notre heure est parfois en retard sur lui
        if self._apres:
            fin = self._apres.timestamp + 1
        # Une page commence souvent au milieu d'une milliseconde (ou de ce qu'on en voit) : celle-là manque aussi.
        bords = ((avant, min(apres.timestamp + self._grain_ms, fin)) for avant, apres in self._cassures)
        trous = [Trou(avant.timestamp, apres, HORS_FENETRE_API) for avant, apres in bords]
        if self._dernier is None or not self._rejoint:  # s'il n'a rien servi, il est en retard, ou en panne
            trous.append(Trou(max(servi, debut), fin, ECHEC))
        trous += [Trou(trade.timestamp, trade.timestamp + 1, ECHEC) for trade in self._attendus]
        impossibles = croiser(((i, i + self._grain_ms) for i in self._impossibles), [(debut, fin)])
        trous += [Trou(*instant, ECHEC) for instant in impossibles]
        trous = [trou for trou in trous if trou.debut < trou.fin]
        complet = self._accroche and self._rejoint and not trous
        # Ce qu'il n'a pas encore servi ne dit rien ; entre deux trades qu'il sert, si.
        vus = self._numeros
        servis = self._lacune.numeros() if complet else [(vus[0][0], vus[-1][1])] if vus else []
        if complet and self._apres:
            self._sauts.append(Lacune(self._plus_grand, self._apres, saut=True))
        return Relu(trous, complet, self._rejoint, bool(oter(servis, vus)), self._redemandables(), self._dernier)

    def _redemandables(self) -> list[Lacune]:
        """Les sauts qu'aucun retardataire n'a comblés ; trop nombreux, ses identifiants sautent d'eux-mêmes."""
        vus, numeros = self._numeros, ((saut, saut.numeros()) for saut in self._sauts)
        restent = (saut for saut, manque in numeros if manque and oter(manque, vus[voisins(vus, *manque[0])]))
        sauts = list(itertools.islice(restent, SAUTS_REDEMANDES_MAX + 1)) if self._suivis else []
        return sauts if len(sauts) <= SAUTS_REDEMANDES_MAX else []

    def _numeroter(self, page: Sequence[Trade]) -> None:
        """Note les numéros que cette page sert, et ceux qu'elle saute."""
        for trade in page:
            if (rangs := rangs_de(trade.id)) is None:
                continue
            if (saut := Lacune(self._plus_grand, trade, saut=True)).numeros():
                self._sauts.append(saut)
            if rangs > (rangs_de(self._plus_grand.id) or (-1, -1)):
                self._plus_grand = trade
        self._numeros = unir(self._numeros, ((r[0], r[1] + 1) for t in page if (r := rangs_de(t.id))))

    @property
    def _grain_ms(self) -> int:
        """Ce qui sépare à coup sûr deux instants : bitstamp n'en dit que la seconde, en REST."""
        return self._memoire.grain_flux_ms if self._precis else SECONDE_MS

    # --- une page

    def _noter(self, brutes: Sequence[Mapping[str, Any]]) -> list[Trade]:
        """La page, mise en trades ; de ceux qui ne peuvent être vrais, l'instant, s'ils en ont un."""
        lues = [(brut, trade_de(brut, brut.get("recu"))) for brut in brutes]
        page = [trade for _, trade in lues if trade]
        instants = (_en_instant(brut.get("timestamp")) for brut, trade in lues if trade is None)
        self._impossibles.update(instant for instant in instants if instant is not None)
        self._precis = self._precis or any(trade.timestamp % SECONDE_MS for trade in page)
        return page

    def _part_de(self, bord: Trade, page: Sequence[Trade]) -> bool:
        """Vrai si cette page prouve que rien ne manque entre ce trade et elle."""
        part = any(_touche(trade, bord, self._grain_ms) for trade in page)
        self._accroche = self._accroche or part
        return part

    def _va_jusqu_au_bout(self, page: Sequence[Trade]) -> bool:
        if self._apres is None:  # pas plus loin : un marché qui court serait poursuivi sans fin
            return bool(page) and page[-1].timestamp >= self._maintenant
        return any(_atteint(trade, self._apres, self._grain_ms) for trade in page)

    # --- de page en page

    async def _avancer(self) -> AsyncGenerator[list[Trade]]:
        """Vers le présent : par identifiant ou curseur là où l'exchange en donne, sinon par date."""
        bord = self._avant
        # Des trades réunis sont datés du premier : leur groupe a pu commencer avant le dernier reçu.
        depuis: int | None = bord.timestamp // SECONDE_MS * SECONDE_MS - SECONDE_MS
        params: Mapping[str, Any] = {}
        for _ in range(PAGES_DE_TRADES_MAX):
            brutes = await self._lire(depuis, params)
            page = self._noter(brutes)
            suivie = bool(params) or self._part_de(bord, page)
            anciennes = [] if suivie or not (page or bord.id is None) else await self._relier(bord, page)
            for lue in (*anciennes, page):
                # Ce qui a eu lieu depuis qu'on l'a lue, rien ne l'y rattache, là où `since` est ignoré (kucoin).
                if sue := [trade for trade in lue if not page or not page[-1].precede(trade)]:
                    if self._dernier is None or self._dernier.precede(sue[-1]):
                        self._dernier = sue[-1]
                    yield sue
            bord = page[-1].nomme() if page else bord
            self._rejoint = self._va_jusqu_au_bout(page)
            suite = None if self._rejoint else self._suite(brutes, page, depuis, params)
            if suite is None:
                break
            depuis, params = suite
        else:
            return
        if not self._rejoint:  # à la fin, ou devant une seconde qui tient plus d'une page
            atteint = self._apres is None or any(trade.est(self._apres, self._grain_ms) for trade in page)
            self._rejoint = atteint and len(brutes) < PAGE_PLEINE

    async def _relier(self, bord: Trade, page: Sequence[Trade]) -> list[list[Trade]]:
        """Les pages qui mènent de ce trade à celle-ci, qui ne le touche pas ; s'il n'y en a pas, c'est une cassure.

        Là où commence l'écoute, il n'y a pas de trade à retrouver : une page qui en a un plus ancien, si loin soit-il,
        et qui rejoint ceux qu'on tient, suffit. De même là où un trade n'a pas d'id, ou si `since` exclut son instant.
        """
        pages: list[list[Trade]] = []
        debuts = list(page[:1])
        if any(trade.est_anonyme for trade in (bord, *page[:1])):
            reculs = RECULS_MS
        else:
            reculs = () if bord is self._avant else RECULS_MS[:1]
        for recul in reculs:
            pages.append(self._noter(await self._lire(bord.timestamp // SECONDE_MS * SECONDE_MS - recul, {})))
            if self._part_de(bord, pages[-1]):
                if not page or self._mene_a(page[0], bord, pages[-1]):
                    return pages
                self._accroche = False  # trop loin : elle s'arrête avant eux
                break
            if page and pages[-1] and page[0].precede(pages[-1][0]):
                break  # demandée de plus loin, elle commence plus tard : `since` est ignoré (kucoin, htx)
            debuts += pages[-1][:1]
        if page and self._connexion.trades_jusqua:
            anciennes = await self._remonter(bord, page[0])
            pages += reversed(anciennes)
            if self._part_de(bord, anciennes[-1]):
                return pages
            debuts += [ancienne[0] for ancienne in anciennes if ancienne]
        if debuts:
            self._cassures.append((bord, min(debuts, key=cle_de_trade)))
        return pages

    def _mene_a(self, premier: Trade, bord: Trade, page: Sequence[Trade]) -> bool:
        """Vrai si cette page va jusqu'à ce trade ; ou s'arrête au bord faute de place dans sa fenêtre (binance)."""
        grain = self._grain_ms
        rien_apres = bord.id is not None and len(page) < PAGE_PLEINE and not bord.precede(page[-1])
        return page[-1].timestamp // grain >= premier.timestamp // grain or rien_apres

    async def _remonter(self, bord: Trade, premier: Trade) -> list[list[Trade]]:
        """L'exchange rend les trades les plus récents : on le relit vers le passé, de ce trade-ci jusqu'au bord.

        La seconde entière est redemandée : certains y arrondissent `until` (gate, coinbase). Un bord sans id ne se
        prouve que par un trade plus ancien que lui. Une page qui touche le bord sans venir jusqu'à ce trade-ci laisse
        entre eux une cassure.
        """
        pages: list[list[Trade]] = []
        recul, depuis = SECONDE_MS, bord.timestamp - (RECULS_MS[-1] if bord.est_anonyme else 0)
        while len(pages) < PAGES_DE_TRADES_MAX:
            pages.append(self._noter(await self._lire(depuis, {"until": premier.timestamp + recul})))
            if self._part_de(bord, pages[-1]):
                if recul and not self._mene_a(premier, bord, pages[-1]):  # `until` donné, elle part du bord
                    fin = pages[-1][-1]
                    self._cassures.append((bord if fin.precede(bord) else fin.nomme(), premier))
                break
            if pages[-1] and pages[-1][0].precede(premier):
                premier = pages[-1][0]
            elif recul:
                recul = 0
            else:
                break
        return pages

    def _suite(
        self,
        brutes: Sequence[Mapping[str, Any]],
        page: Sequence[Trade],
        depuis: int | None,
        params: Mapping[str, Any],
    ) -> tuple[int | None, Mapping[str, Any]] | None:
        """D'où demander la page suivante ; None quand l'exchange n'a plus rien, ou répète."""
        if not brutes:
            # binance borne sa réponse à une heure : une heure sans trade n'est pas la fin.
            suite = (depuis or 0) + HEURE_MS
            return (suite, {}) if depuis is not None and suite < self._connexion.heure_ms() else None
        info, instant = brutes[-1].get("info"), _en_instant(brutes[-1].get("timestamp"))
        if page and page[-1].est_anonyme:  # un plus ancien que lui dira qu'elles se suivent
            bord = page[-1].timestamp // self._grain_ms * self._grain_ms
            instant = max((trade.timestamp for trade in page if trade.timestamp < bord), default=instant)
        nouvelle: tuple[int | None, Mapping[str, Any]] = instant, {}
        if self._connexion.particularite.trades_par_id and isinstance(info, Mapping) and "a" in info:
            nouvelle = None, {"fromId": int(info["a"]) + 1}
        elif curseur := curseur_en_ns(info):
            nouvelle = None, {"since": curseur}
        elif instant is not None and depuis is not None and instant <= depuis:
            return None
        return None if nouvelle == (depuis, params) else nouvelle

    async def _reculer(self) -> AsyncGenerator[list[Trade]]:
        """Vers le passé, par identifiant (okx) ; rendues dans l'ordre du temps.

        La première contient le trade d'après, ou l'exchange est en retard sur son flux.
        """
        pages: list[list[Trade]] = []
        params = dict(self._connexion.particularite.trades_arriere or {})
        if self._apres is not None:
            rangs = rangs_de(self._apres.id)
            params["after"] = str(rangs[1] + 1) if rangs else self._apres.id
        for _ in range(PAGES_DE_TRADES_MAX):
            page = self._noter(await self._lire(None, params))
            if pages and page and not page[0].precede(pages[-1][0]):
                break  # `after` est ignoré : elle ne va pas plus loin
            pages.append(page)
            if not page or self._part_de(self._avant, page):
                break
            params["after"] = page[0].id
        self._dernier = pages[0][-1] if pages[0] else None
        self._rejoint = bool(pages[0]) and (self._apres is None or self._va_jusqu_au_bout(pages[0]))
        if not self._accroche and (debuts := [page[0] for page in pages if page]):
            self._cassures.append((self._avant, debuts[-1]))
        for page in reversed(pages):
            yield page

    # --- les trades réunis

    async def _detailler(self, page: Sequence[Trade]) -> list[Trade]:
        """La page, les trades réunis remplacés par leur détail là où l'exchange le sert (binance : mille trades)."""
        nature = self._serie.nature
        methode = self._connexion.particularite.trades_detail.get(nature.sous_type or nature.type_marche)
        groupes = {t.id: rangs for t in page if (rangs := rangs_de(t.id)) and rangs[0] < rangs[1]}
        if not groupes or methode is None:
            return list(page)
        try:
            bruts = await self._lire(None, {"fetchTradesMethod": methode}, essais=1)
        except (ErreurTemporaire, ErreurDefinitive) as erreur:
            journal.debug("%s : le détail des trades réunis n'est pas servi. %s", self._serie.cle, erreur)
            return list(page)
        lus = {int(t.id): t for b in bruts if (t := trade_de(b, b.get("recu"))) and t.id and t.id.isdecimal()}
        detailles: list[Trade] = []
        for trade in page:
            debut, fin = groupes.get(trade.id, (0, -1))
            numeros = range(debut, fin + 1)
            detailles += [lus[n] for n in numeros] if numeros and all(n in lus for n in numeros) else [trade]
        return detailles

    def _attend_encore(self, groupe: Trade) -> bool:
        """Vrai si des trades réunis enjambent la reprise, et que le flux n'a pas encore dit les siens."""
        rangs, bord = rangs_de(groupe.id), rangs_de(self._apres.id) if self._apres else None
        if rangs is None or bord is None or rangs[0] == rangs[1] or rangs[1] < bord[0]:
            return False
        dits = self._memoire.recents
        return not all(str(numero) in dits for numero in range(max(rangs[0], bord[0]), rangs[1] + 1))


def curseur_en_ns(info: Any) -> str:
    """Le curseur de kraken, que ccxt met au bout du dernier trade d'une page, en texte ; vide ailleurs."""
    dernier = info[-1] if isinstance(info, list) and info else None
    return dernier if isinstance(dernier, str) and dernier.isdecimal() and len(dernier) > 16 else ""


def _touche(trade: Trade, dernier: Trade, grain_ms: int) -> bool:
    """Ce trade relu prouve que rien ne manque entre le dernier reçu et lui : c'est lui, un d'avant, ou son suivant."""
    if trade.timestamp // grain_ms < dernier.timestamp // grain_ms or (trade.id and trade.id == dernier.id):
        return True  # anonyme, un autre, identique, l'a peut-être suivi
    rangs, bord = rangs_de(trade.id), rangs_de(dernier.id)
    return rangs is not None and bord is not None and rangs[0] <= bord[1] + 1 <= rangs[1] + 1


def _atteint(trade: Trade, jusqua: Trade, grain_ms: int) -> bool:
    """Ce trade relu prouve que rien ne manque entre lui et le premier d'après : c'est lui, ou un plus récent."""
    if trade.timestamp // grain_ms > jusqua.timestamp // grain_ms:
        return True
    if trade.est_anonyme or jusqua.est_anonyme:
        return False  # un autre, identique, l'a peut-être précédé
    if trade.est(jusqua):
        return True
    rangs, bord = rangs_de(trade.id), rangs_de(jusqua.id)
    return rangs is not None and bord is not None and rangs[0] - 1 <= bord[0] - 1 <= rangs[1]


def separer(groupe: Trade, connu: Callable[[int], Trade | None]) -> Trade | None:
    """Ce qui reste d'un trade réuni en REST (« 12-15 ») dont certains furent reçus un par un ; None s'il n'y a rien.

    Les trades réunis ont même instant, prix et sens : le reste a leur quantité, moins celle des connus.
    """
    rangs = rangs_de(groupe.id)
    if rangs is None or rangs[0] == rangs[1]:
        return groupe
    tous = {numero: connu(numero) for numero in range(rangs[0], rangs[1] + 1)}
    vus, numeros = [trade for trade in tous.values() if trade], [n for n, trade in tous.items() if not trade]
    if not vus:
        return groupe
    reste = float(Decimal(str(groupe.amount)) - sum(Decimal(str(trade.amount)) for trade in vus))
    if not numeros or reste <= 0:
        return None
    cout = groupe.cost * reste / groupe.amount if groupe.cost is not None else None
    nom = str(numeros[0]) if len(numeros) == 1 else f"{numeros[0]}-{numeros[-1]}"
    return groupe._replace(id=nom, amount=reste, cost=cout)


def _est_entre(trade: Trade, dernier: Trade, jusqua: Trade | None, grain_ms: int) -> bool:
    """Ce trade relu est à prendre : ni d'avant le dernier reçu, ni d'après le premier de la reprise.

    Des trades réunis en REST furent peut-être reçus un par un, d'un côté ou de l'autre ; d'autres n'y sont datés qu'à
    la seconde, ou le sont un peu avant celui qu'ils suivent : leurs identifiants décident.
    """
    rangs, avant = rangs_de(trade.id), rangs_de(dernier.id)
    apres = rangs_de(jusqua.id) if jusqua else None
    instant, debut, desordre = trade.timestamp // grain_ms, dernier.timestamp // grain_ms, SECONDE_MS // grain_ms
    fin = jusqua.timestamp // grain_ms if jusqua else instant
    suit, precede = debut <= instant, instant <= fin
    if rangs and avant and debut - desordre <= instant <= debut:
        suit = rangs[1] > avant[1]
    if rangs and apres and fin <= instant <= fin + desordre:
        precede = rangs[0] < apres[0]
    return suit and precede


# ----------------------------------------------------------------------------------------------------------------------
# § 9   Flux
# ----------------------------------------------------------------------------------------------------------------------
#
# Un fil par symbole : il reçoit ce que l'écoute (§ 7) lui dit, n'en garde que ce qui est sûr, et rend des lots. Ce qui
# n'est pas sûr (la bougie entamée, celle d'une coupure, la minute muette) n'est pas couvert, donc relu par REST : la
# couverture de la fiche est la seule mémoire de ce qui manque. Un abonnement tient les fils vivants : il se reconnecte,
# surveille chaque symbole, écarte celui que l'exchange refuse. Le flux rassemble les lots de tous.

SILENCE_MIN_S = 0.5
SILENCE_MAX_S = 900.0  # un marché calme n'est pas interrogé plus rarement
RONDE_S = 0.25  # entre deux regards sur les silences
PAS_DE_GRACE_S = 1.0  # entre deux mesures de l'heure de l'exchange, quand on attend la fin d'une grâce
FIN_MAX_S = 20.0  # la durée écoulée, la dernière relecture par REST n'attend pas plus longtemps une réponse
FIN_TOTALE_MAX_S = 300.0  # ni plus longtemps sa fin
ANNONCE_DE_FIN_S = 3.0  # plus longue, elle est dite
VEILLE_S = 10.0  # une bougie en cours ne fait pas chercher plus souvent ce qui manque, quand rien ne manquait
PAS_DE_FIN_S = 0.5  # entre deux regards sur ce que l'exchange a répondu
RETENUE_MAX_S = 4.0  # des trades attendent au plus cela que la coupure d'avant eux soit comblée
RELANCE_RATTRAPAGE_S = 1.0
REFUS_DE_SUITE_MAX = 3  # de suite
REFUS_PASSAGERS_MAX = 6  # de même, d'un abonnement qui fut servi : se couper laisserait autant de connexions
REFUS_MAX_S = 3600.0  # d'un symbole qui fut servi : refusé tout ce temps, son marché est retiré
VERIFICATION_MAX_S = 5.0  # un REST qui ne répond pas n'empêche pas de se reconnecter
ECOUTE_SAINE_S = 30.0  # une écoute qui a tant duré n'était pas refusée
VERIFICATIONS_DE_FRONT = 4
MUETS_MAX = 2  # fois qu'un symbole se tait pendant que ses voisins parlent
CROISES_MAX = 3  # carnets croisés de suite avant de se réabonner
COUPES_PAREILLES = 20  # carnets de suite coupés au même niveau : l'exchange n'en envoie pas davantage
COUPE_AU_MOINS = 5  # niveaux ; moins, c'est un marché à peine coté (options)
FINALES_GARDEES = 8
BOUGIES_DE_VERIFICATION = 10
DITES_GARDEES = 100  # bougies ; au-delà, une bougie confirmée telle quelle peut être rendue de nouveau
CONFIRMATION_MS = 10 * MINUTE_MS  # de sa clôture à sa relecture, une bougie du flux est crue sans témoin
AGE_SUR_MS = MINUTE_MS  # plus jeune, une bougie peut être encore révisée (volumes de kraken), ou le REST en retard
DEMENTIS_MAX = 3  # une bougie à peine close n'est peut-être pas encore celle que dira le REST
SAUTS_VAINS_MAX = 3
TOLERANCE_VOLUME = 1e-4  # un volume inverse est arrondi trade par trade
RETARDS_REST_S = (0.5, 1.0, 2.0, 3.0)  # entre deux relectures d'une coupure que le REST ne sert pas encore
VAINES_GARDEES = 100  # coupures qu'il n'a pas servies à temps
MANQUANTS_MAX = 10_000
DOUTE_MAX_S = 5.0  # qu'un instant en avance peut attendre d'être confirmé
EN_AVANCE_MAX = 1000
HORS_SUITE = -1  # un identifiant qu'aucun trade ne porte : celui-là n'arrivera pas
FILS_PAR_ECOUTE = 100


class ReglagesFlux(NamedTuple):
    """Les réglages d'un flux, en valeurs simples."""

    plage: Plage = Plage()
    silence_s: float = 60.0
    profondeur: int = 20
    concurrence: int = EN_VOL


@dataclass
class Compteurs:
    """Ce qu'un fil a traversé."""

    reconnexions: int = 0
    rattrapages: int = 0
    doublons: int = 0
    retards: int = 0
    perdus: int = 0
    impossibles: int = 0
    carnets_ecartes: int = 0

    def dits(self) -> dict[str, int]:
        """Ceux qui ne sont pas nuls."""
        return {nom: nombre for nom, nombre in dataclasses.asdict(self).items() if nombre}


class EnAvance(NamedTuple):
    """Une donnée datée après l'heure de l'exchange : un deuxième témoin, ou l'heure mesurée, en décidera."""

    depuis: float
    donnee: Any
    recu: int
    apres: Trade | None  # d'un fil de trades : celui qu'elle a suivi


class Fil(ABC):
    """Un symbole suivi : range ce que l'écoute lui dit, rend des lots sûrs, relit par REST ce qui lui manque."""

    type_donnee: ClassVar[TypeDonnee]

    def __init__(self, connexion: Connexion, serie: Serie, fiche: Fiche, reglages: ReglagesFlux) -> None:
        self.connexion, self.serie, self.fiche, self.reglages = connexion, serie, fiche, reglages
        self.compteurs = Compteurs()
        self.refus: ErreurCollecte | None = None
        self.admis = False  # l'exchange l'a déjà servi : qu'il le refuse ensuite n'est que passager
        self.prets: list[Lot] = []  # sûrs, pas encore collectés ; la fiche en tient déjà compte
        self.recus = 0
        self.a_collecter = False  # a reçu depuis la dernière collecte
        self.arrete = False  # plus rien ne sera relu
        self.conclut = False  # la durée est écoulée : les écoutes sont fermées par nous
        self.echec: ErreurCollecte | None = None  # du dernier rattrapage
        self.ecoute_depuis = 0  # heure de l'exchange au dernier abonnement : le flux n'avait rien à dire d'avant
        self.reveiller: Callable[[], None] = lambda: None
        self._du_depuis: int | None = None
        self._rattrapage: asyncio.Task[None] | None = None
        self._en_avance: list[EnAvance] = []
        self._prochain_essai = 0.0
        self._horloge = asyncio.get_running_loop().time
        self._apaiser()

    @property
    def cle(self) -> CleSerie:
        """La série suivie."""
        return self.serie.cle

    @property
    def du_depuis(self) -> int | None:
        """D'où cette exécution doit tout ; None : de son début."""
        return self._du_depuis

    # --- ce que dit l'écoute

    def ecouter(self) -> None:
        """Une écoute commence ; la première est le début de ce qui est dû."""
        self.rompre()
        self.ecoute_depuis = self.connexion.heure_ms()

    def renegocier(self) -> None:
        """L'exchange n'a pas voulu de l'abonnement sous cette forme : rien n'était encore écouté."""

    def rompre(self) -> None:
        """L'écoute commence ou finit : ce qui suit ne prolonge plus ce qui précède."""
        self._reprendre()
        self._en_avance.clear()  # ce que rien n'a confirmé sera relu avec la coupure

    def recevoir(self, donnees: Sequence[Any], recu: int) -> None:
        """Range des données de ccxt, dans l'ordre ; compte comme un progrès celles qui apprennent quelque chose."""
        self._reprendre()
        self._compter(self._ranger_toutes(donnees, recu))

    def _compter(self, nouvelles: int) -> None:
        self.recus += nouvelles
        if nouvelles and not self.a_collecter and self._a_voir:
            self.signaler()

    def signaler(self) -> None:
        """Demande une collecte."""
        self.a_collecter = True
        self.reveiller()

    @property
    def _a_voir(self) -> bool:
        """Vrai si ce qui vient d'être rangé a pu rendre quelque chose sûr, ou douteux."""
        return True

    def _ranger_toutes(self, donnees: Sequence[Any], recu: int) -> int:
        """Le nombre de données nouvelles."""
        return sum(self._ranger(donnee, recu) for donnee in donnees)

    @abstractmethod
    def _ranger(self, donnee: Any, recu: int) -> bool:
        """Vrai si la donnée est nouvelle."""

    # --- ce qui est en avance sur l'heure de l'exchange

    @property
    def doute(self) -> bool:
        """Vrai si des données attendent que leur instant soit confirmé."""
        return bool(self._en_avance)

    def _attendre(self, donnee: Any, recu: int, apres: Trade | None = None) -> bool:
        """Vrai d'une donnée (son instant est en tête) en avance sur l'heure : elle attend."""
        if donnee[0] <= self.connexion.heure_ms():
            return False
        self._en_avance.append(EnAvance(self._horloge(), donnee, recu, apres))
        return True

    def _reprendre(self) -> None:
        """Range ce dont l'heure est venue ; écarte ce que rien n'a confirmé."""
        if not self._en_avance:
            return
        for attente in self._en_avance:  # le dernier en confirme peut-être un premier
            self.connexion.noter_instant(attente.donnee[0])
        attentes, self._en_avance = self._en_avance, []
        rangee = None
        for attente in attentes:
            restent = len(self._en_avance)
            self._compter(self._ranger_toutes([attente.donnee], attente.recu))
            if len(self._en_avance) == restent:
                rangee = attente.donnee.nomme() if isinstance(attente.donnee, Trade) else None
                continue  # les suivantes sont venues après elle
            self._en_avance[-1] = attente if rangee is None else attente._replace(apres=rangee)
            if self._horloge() - attente.depuis > DOUTE_MAX_S or restent >= EN_AVANCE_MAX:
                self._dementir(self._en_avance.pop())

    def _dementir(self, attente: EnAvance) -> None:  # noqa: ARG002  celle d'un fil de trades en dit la place
        """Une donnée d'un instant faux est perdue : ce qu'elle disait est à relire."""
        self.compteurs.impossibles += 1

    # --- ce qui est sûr

    def collecter(self, heure: int) -> list[Lot]:
        """Les lots sûrs à cette heure de l'exchange, dans l'ordre."""
        self._reprendre()
        self.a_collecter = False
        self._rendre(*self._sures(heure))
        self._veiller()
        lots, self.prets = self.prets, []
        return lots

    def _rendre(self, *lots: Lot) -> None:
        """Ces lots sont sûrs : la fiche en tient compte, la prochaine collecte les rendra."""
        for lot in lots:
            self.fiche.noter(lot.couverts, lot.trous)
        self.prets += lots

    def _declarer(self, couverts: list[Intervalle], trous: list[Trou]) -> None:
        """Rend ce qui est prouvé ou manque, sans une ligne."""
        self._rendre(Lot(self.cle, self.type_donnee.schema.empty_table(), couverts, trous))

    @abstractmethod
    def _sures(self, heure: int) -> list[Lot]:
        """Les lots que le flux seul suffit à prouver."""

    def _veiller(self) -> None:
        """Après une collecte : relance un rattrapage s'il reste de quoi."""

    def echeance(self) -> int:
        """L'heure de l'exchange à laquelle collecter, même sans rien recevoir ; le bout des temps s'il n'y en a pas."""
        return INSTANT_MAX_MS

    def reste_de_grace_s(self) -> float:
        """Le temps à attendre pour que tout ce qui est rendu puisse être relu."""
        return 0.0

    @property
    def defaut(self) -> str:
        """Ce qui oblige à se réabonner, données reçues comprises ; vide si tout va."""
        return ""

    @abstractmethod
    async def a_bouge(self) -> bool:
        """Par REST, vrai si le marché a bougé sans que le flux le dise."""

    def refuser(self, erreur: ErreurCollecte) -> None:
        """L'exchange ne veut pas de ce symbole : il est abandonné."""
        self.refus = erreur
        journal.error("%s : abonnement refusé. %s", self.cle, erreur.complet())
        self.reveiller()

    # --- ce qui est relu par REST

    def relancer(self) -> None:
        """Rattrape, de plus en plus rarement tant que cela ne suffit pas."""
        maintenant = self._horloge()
        if maintenant >= self._prochain_essai and not (self.arrete or self.conclut):  # conclure relit tout
            self._prochain_essai = maintenant + next(self._delais)
            self.rattraper()

    def _apaiser(self) -> None:
        """Rien ne manque plus : ce qu'une longue panne a fait attendre n'attendra plus."""
        self._delais = delais_backoff(RELANCE_RATTRAPAGE_S, SILENCE_MAX_S)
        self._prochain_essai = min(self._prochain_essai, self._horloge() + RELANCE_RATTRAPAGE_S)

    def rattraper(self) -> asyncio.Task[None]:
        """Lance un rattrapage, ou rend celui qui court ; ses lots sortiront par `collecter`."""
        if self._rattrapage is None or self._rattrapage.done():
            self.compteurs.rattrapages += 1
            self._rattrapage = asyncio.ensure_future(self._rattraper_et_dire())
        return self._rattrapage

    async def rattraper_a_fond(self) -> None:
        """Attend le rattrapage qui court, puis relit encore : le premier ne savait pas jusqu'où aller."""
        if self._rattrapage is not None:
            await asyncio.gather(self._rattrapage, return_exceptions=True)
        await self.rattraper()

    async def _rattraper_et_dire(self) -> None:
        self.echec = ErreurTemporaire("abandonné")
        try:
            await self._rattraper()
            self.echec = None
        except Exception as erreur:  # noqa: BLE001  une page d'une forme imprévue ne doit pas tuer le fil en silence
            self.echec = traduire(erreur, f"Relecture {de(self.cle)}", self.connexion.heure_ms())
            journal.warning("%s : relire par REST a échoué, ce sera redemandé. %s", self.cle, self.echec.complet())
        finally:
            self.reveiller()

    async def _rattraper(self) -> None:
        """Relit par REST ce qui manque, là où une histoire s'y lit."""

    async def arreter(self) -> None:
        """Abandonne un rattrapage en cours ; inscrit en trou ce qu'il devait relire, et ne le sera plus."""
        if self._rattrapage is not None:
            await abandonner(self._rattrapage)


# --- Bougies


class Couverture:
    """Ce que la fiche d'une suite de bougies prouve ; ce qu'elle ne couvre pas est ce qui manque."""

    def __init__(self, connexion: Connexion, serie: Serie, fiche: Fiche, plage: Plage) -> None:
        self.connexion, self.serie, self.fiche, self.plage = connexion, serie, fiche, plage
        self.timeframe = serie.timeframe.ancrer(fiche.ancre_ms)
        self.relisible = bool(connexion.api.has.get("fetchOHLCV"))
        fin = fiche.couverts[-1][1] if fiche.couverts else 0
        # Une exécution tuée n'a peut-être pas relu les dernières bougies de son flux, même d'avant un vide ; ni fini de
        # relire la première d'entre elles.
        depuis = self.timeframe.plancher(fin - CONFIRMATION_MS - 2 * AGE_SUR_MS)
        self.recentes = croiser(fiche.couverts, [(depuis, fin)])
        dues = fiche.couverts[-1:] + self.recentes + fiche.a_relire() or fiche.dus_sans_couvert()
        dues += intervalles_de(fiche.provisoires)
        debut = min(dues)[0] if plage.debut is None and dues else plage.debut
        self.debut = None if debut is None else self.timeframe.plafond(debut)
        self.desavoues: list[Intervalle] = []  # la sortie les tient, ou les tenait, pour prouvés

    def close(self, age_ms: int = 0) -> int:
        """Toute bougie ouverte avant cet instant est close pour de bon, depuis ce temps au moins."""
        return self.timeframe.plancher(self.connexion.heure_ms() - self.plage.grace_ms - age_ms)

    def desavouer(self, depuis: int, fin: int | None = None) -> None:
        """Cette bougie (ou toutes jusqu'à `fin`), même rendue, n'est plus sûre : elle sera relue."""
        debut = self.timeframe.plancher(depuis)
        oublie = debut, fin or self.timeframe.avancer(debut, 1)
        place = voisins(self.fiche.couverts, *oublie)  # d'un exchange en retard, chaque trame désavoue
        if touches := croiser(self.fiche.couverts[place], [oublie]):
            self.desavoues = unir(self.desavoues, touches)
            self.fiche.couverts[place] = oter(self.fiche.couverts[place], [oublie])

    def manques(self, fin: int, *, closes: bool = True) -> list[Intervalle]:
        """Les bougies (`closes` pour de bon, ou non) d'avant `fin`, ni couvertes ni hors d'atteinte."""
        couverts, debut = self.fiche.couverts, INSTANT_MAX_MS if self.debut is None else self.debut
        if couverts and couverts[-1][0] <= debut and couverts[-1][1] >= fin:
            return []
        return oter([(debut, min(fin, self.close()) if closes else fin)], self.fiche.connus())


class Confrontation:
    """Les bougies d'un flux et celles du REST : sont-elles les mêmes ?

    Aucune n'est rendue tant qu'une n'a pu être comparée : gate compte un autre volume. Crues, elles sont rendues
    aussitôt, et relues peu après, quand elles ne seront plus révisées : une trame avalée sans que la connexion tombe
    laisserait sinon une bougie fausse que rien ne trahit.

    `crues` : None tant qu'aucune n'a été comparée ; faux, le REST seul les donne.
    """

    def __init__(self, cle: CleSerie, restes: Sequence[Intervalle] = (), crues: bool | None = True) -> None:
        self._cle, self.crues = cle, crues
        self.egales: Callable[[Sequence[Any], Sequence[Any]], bool] = operator.eq  # la dite et celle du REST
        self.temoignent = memes_valeurs  # de même, pour dire que le flux et le REST comptent pareil
        self._restes = list(restes)  # rendus, pas encore relus
        self._jeunes: list[Intervalle] = []  # de ceux-là, ce que le REST a dit trop tôt pour qu'on l'en croie
        self._dites: dict[int, Sequence[Any]] = {}  # ouverture -> valeurs des dernières bougies rendues
        self._temoins: dict[int, Sequence[Any]] = {}  # closes du flux, à comparer
        self._dementis = 0

    def croire(self, closes: Sequence[Sequence[Any]]) -> Sequence[Sequence[Any]]:
        """Celles du flux qu'on peut rendre ; les autres attendent d'être comparées, ou ne servent à rien."""
        if self.crues is None:
            self._temoins |= {bougie[0]: bougie for bougie in closes}
        return closes if self.crues else ()

    def oublier(self, depuis: int) -> None:
        """Celles qui attendent n'ont peut-être pas été vues jusqu'à leur clôture."""
        self._temoins = {instant: bougie for instant, bougie in self._temoins.items() if instant < depuis}

    def seules(self, relus: Sequence[Intervalle]) -> list[Sequence[Any]]:
        """Celles que le REST n'a ni dites ni démenties."""
        temoins = sorted(self._temoins.items()) if self.crues is None else ()
        return [bougie for instant, bougie in temoins if oter([(instant, instant + 1)], relus)]

    def _comparer(self, lues: Mapping[int, Sequence[Any]]) -> None:
        for instant in sorted(lues.keys() & self._temoins.keys()):
            dite, lue = self._temoins.pop(instant)[1:], lues[instant]
            if self.crues is not None or not lue[4]:  # sans volume, elle ne dit rien de son unité
                continue
            if self.temoignent(dite, lue):
                self.crues = True
                continue
            self._dementis += 1
            if self._dementis >= DEMENTIS_MAX:
                self.crues = False
                journal.warning(
                    "%s : les bougies du flux ne sont pas celles du REST, qui les donnera à chaque clôture : %s, %s "
                    "(volumes dans un rapport de %s).",
                    self._cle, dite, lue, decimal_lisible(f"{(_en_nombre(dite[-1]) or 0.0) / lue[-1]:g}"),
                )  # fmt: skip

    def retenir(self, couverts: Iterable[Intervalle]) -> None:
        """Ces bougies-là ne tiennent encore que du flux : elles seront relues."""
        self._restes = unir(self._restes, couverts)

    def apprendre(self, lot: Lot, fin: int) -> Lot:
        """Le lot du REST, sans les bougies déjà dites telles quelles ; il confirme ce qu'il couvre avant `fin`."""
        lues = dict(zip(instants_de(lot.lignes), en_tuples(lot.lignes, VALEURS_OHLCV), strict=True))
        self._comparer(lues)
        jeunes = oter(lot.couverts, [(0, fin)])
        self._restes = unir(oter(self._restes, lot.couverts), jeunes)
        self._jeunes = unir(oter(self._jeunes, lot.couverts), jeunes)
        neuves = self._inedites(lues, self.egales)
        if len(neuves) == len(lues):
            return lot
        return lot._replace(lignes=lot.lignes.filter(pa.array([instant in neuves for instant in lues], pa.bool_())))

    def a_relire(self, fin: int, *, sauf_du_flux: bool = False) -> list[Intervalle]:
        """Ce qui reste à relire avant cet instant de la grille."""
        restes = self._jeunes if sauf_du_flux else self._restes
        return croiser(restes, [(0, fin)]) if restes and restes[0][0] < fin else []

    def inedites(self, bougies: Sequence[Sequence[Any]]) -> list[Sequence[Any]]:
        """Celles du flux qui ne furent pas déjà dites telles quelles."""
        neuves = self._inedites({bougie[0]: tuple(bougie[1:]) for bougie in bougies}, operator.eq)
        return [bougie for bougie in bougies if bougie[0] in neuves]

    def _inedites(
        self, lues: Mapping[int, Sequence[Any]], egales: Callable[[Sequence[Any], Sequence[Any]], bool]
    ) -> Mapping[int, Sequence[Any]]:
        tues = {instant for instant in lues.keys() & self._dites.keys() if egales(self._dites[instant], lues[instant])}
        neuves = {instant: valeurs for instant, valeurs in lues.items() if instant not in tues}
        self._dites |= neuves
        if len(self._dites) > 2 * DITES_GARDEES:
            self._dites = dict(sorted(self._dites.items())[-DITES_GARDEES:])
        return neuves


def memes_valeurs(dite: Sequence[Any], lue: Sequence[Any]) -> bool:
    """Les mêmes, à l'écriture près."""
    couples = zip(dite, lue, strict=True)
    return all(math.isclose(_en_nombre(valeur) or 0.0, vraie, rel_tol=1e-6) for valeur, vraie in couples)


class BougiesDites:
    """Les bougies que dit un flux : son dernier mot sur chacune, que clôt la suivante ou l'horloge."""

    se_prouvent = False  # une trame avalée sans que la connexion tombe ne laisse aucune trace
    a_voir = False  # plus que le dernier mot sur une bougie en cours

    def __init__(self, couverture: Couverture, compteurs: Compteurs) -> None:
        self._couverture, self._compteurs = couverture, compteurs
        self.recommencer()

    def recommencer(self) -> None:
        """L'écoute commence ou finit : la bougie en cours y est entamée, la suivante est la première sûre."""
        self.fiable = INSTANT_MAX_MS  # la première ouverture que l'écoute a vue naître
        self._dites_avant = 0  # d'ouvertures d'avant, tout est dit : par le flux, ou par le REST
        self._ouvertes: dict[int, Sequence[Any]] = {}  # reçues, pas encore rendues
        self._finales: collections.deque[Sequence[Any]] = collections.deque(maxlen=FINALES_GARDEES)  # rendues
        self._derniere: Sequence[Any] = ()  # la plus récente reçue

    @property
    def derniere(self) -> int:
        """L'ouverture de la plus récente reçue ; 0 s'il n'y en a pas. Celles d'avant sont à couvrir."""
        return self._derniere[0] if self._derniere else 0

    fin_vue = sure = derniere

    def lire(self, donnee: Any, _recu: int) -> Sequence[Any] | None:
        """La bougie, son instant en tête ; None si elle n'est pas datée, ou redit la précédente."""
        instant = _en_instant(donnee[0])
        bougie = (instant, *donnee[1:6])
        if instant is None or bougie == self._derniere or not self._couverture.connexion.noter_instant(instant):
            return None
        return bougie

    def ranger(self, bougie: Sequence[Any]) -> bool:
        """Vrai si la bougie apprend quelque chose."""
        couverture, instant = self._couverture, bougie[0]
        if bougie in self._finales:
            return False
        if self.fiable == INSTANT_MAX_MS:
            self.fiable = couverture.timeframe.avancer(max(instant, couverture.connexion.heure_ms()), 1)
        if not self._derniere or instant >= self._derniere[0]:
            self._derniere = bougie
        dite = instant < self._dites_avant
        self.a_voir = self.a_voir or instant not in self._ouvertes
        if dite and couverture.relisible:
            self._compteurs.retards += 1
            couverture.desavouer(instant)  # une révision, ou un message dépassé par la clôture : le REST tranche
        elif dite and any(_volume(bougie) < _volume(finale) for finale in self._finales if finale[0] == instant):
            self._compteurs.retards += 1  # rendue avec un plus grand volume : un message en retard, non une révision
        elif instant >= self.fiable:
            self._tenir(instant, bougie)
        return True

    def _tenir(self, instant: int, bougie: Sequence[Any]) -> None:
        """Garde l'état d'une bougie ouverte ; un volume qui recule dit des messages en désordre : elle sera relue."""
        connue = self._ouvertes.get(instant)
        if connue is not None and _volume(bougie) < _volume(connue):
            self._compteurs.retards += 1
            self.fiable = self._couverture.timeframe.avancer(instant, 1)
            self.a_voir = True
            del self._ouvertes[instant]
        else:
            self._ouvertes[instant] = bougie

    def entendues(self) -> dict[int, float]:
        """Le volume dit de celles qui ne sont pas rendues, par ouverture."""
        return {instant: _volume(bougie) for instant, bougie in self._ouvertes.items()}

    def perdre(self) -> None:
        """Une bougie d'un instant faux : la vraie sera redite, ou manquera."""

    def closes(self, heure: int) -> Sequence[Sequence[Any]]:
        """Celles qui sont closes à cette heure, et pas encore rendues."""
        self.a_voir = False
        close = self._couverture.timeframe.plancher(heure - self._couverture.plage.grace_ms)
        borne = max(close, max(self._ouvertes, default=0))
        closes = [self._ouvertes.pop(instant) for instant in sorted(self._ouvertes) if instant < borne]
        if closes:
            self._finales += closes
            self._dites_avant = max(self._dites_avant, closes[-1][0] + 1)
        return closes

    def completer(self, lot: Lot) -> Lot:
        """Le lot de ces bougies, tel quel."""
        return lot

    def adopter(self, lot: Lot) -> Lot:
        """Le lot relu, tel quel ; de ce qu'il couvre, le flux n'a plus rien à dire : ses trames sont d'avant."""
        lues = [t for t in sorted(self._ouvertes) if any(debut <= t < fin for debut, fin in lot.couverts)]
        self._finales += [self._ouvertes.pop(ouverture) for ouverture in lues]
        self._dites_avant = max([self._dites_avant, *(fin for _, fin in lot.couverts)])
        return lot

    def echeance(self) -> int:
        """L'heure de la prochaine clôture."""
        if not self._ouvertes:
            return INSTANT_MAX_MS
        return self._couverture.timeframe.avancer(min(self._ouvertes), 1) + self._couverture.plage.grace_ms

    async def a_bouge(self, ecoute_depuis: int) -> bool:
        """Vrai si le REST a un volume que le flux n'a pas dit."""
        couverture, grille = self._couverture, self._couverture.timeframe
        heure = couverture.connexion.heure_ms()
        # Bien au-delà de l'heure qu'on croit : celle de l'exchange a pu avancer sans que le flux le dise.
        debut, fin = grille.avancer(heure, -1), grille.avancer(heure, BOUGIES_DE_VERIFICATION)
        limite = 2 + BOUGIES_DE_VERIFICATION
        brutes = await couverture.connexion.lire_bougies(couverture.serie, grille, debut, fin, limite=limite)
        return depassee(brutes, self._derniere, grille.plancher(ecoute_depuis))


def _volume(bougie: Sequence[Any]) -> float:
    return _en_nombre(bougie[5]) or 0.0


def depassee(brutes: Sequence[Sequence[Any]], derniere: Sequence[Any], ouverture: int) -> bool:
    """Vrai si ces bougies du REST ont un volume que la dernière du flux n'a pas (à défaut : depuis l'ouverture)."""
    seuil, dit = max(derniere[0], ouverture) if derniere else ouverture, _volume(derniere) if derniere else 0.0
    volumes = [(_en_instant(ligne[0]) or 0, _volume(ligne)) for ligne in brutes]
    depasse = bool(derniere) and any(instant == derniere[0] and volume > dit for instant, volume in volumes)
    return depasse or any(instant > seuil and volume > 0 for instant, volume in volumes)


def trade_possible(connexion: Connexion, donnee: Any, recu: int) -> Trade | None:
    """Le trade qu'est cette donnée ; None s'il ne peut être vrai, ou s'il est daté loin dans le futur."""
    trade = donnee if isinstance(donnee, Trade) else trade_de(donnee, recu)
    return trade if trade is not None and connexion.noter_instant(trade.timestamp) else None


class BougiesFaites:
    """Des bougies faites du flux de trades : celles dont la suite des identifiants ne dément rien.

    `bougies_vides` None : elles remplacent un canal que l'exchange n'offre pas, et doivent être celles du REST : une
    minute sans trade lui est demandée. Sinon, elle est omise, ou plate à la clôture précédente.
    """

    a_voir = True  # un saut d'identifiants dure peut-être assez

    def __init__(self, couverture: Couverture, compteurs: Compteurs, bougies_vides: str | None) -> None:
        self._couverture, self._compteurs, self._vides = couverture, compteurs, bougies_vides
        self._report = annexe(*BOUGIES_PLATES).Report(couverture.fiche) if bougies_vides == "reporter" else None
        horloge, grace_s = asyncio.get_running_loop().time, couverture.plage.grace_ms / 1000
        self.suite_d_ids = SuiteDIds(horloge, grace_s, sans_juge=not couverture.relisible)
        self._volume = couverture.connexion.mesure_des_trades(couverture.serie.marche)
        self._agregateur: Agregateur | None = None
        self._rendues: list[BougieTrades] = []
        self._douteuses: dict[int, float | None] = {}  # ouvertures où un saut d'identifiants -> volume reçu
        self._prouve = 0  # fin de ce que la suite de trades en cours a prouvé
        self.recommencer()

    def recommencer(self) -> None:
        """L'écoute commence ou finit : plus rien ne prolonge ce qui précède."""
        self.derniere = 0  # l'instant du dernier trade
        self._rompre_la_suite()

    def _rompre_la_suite(self) -> None:
        """La bougie en cours sera relue, la suivante est la première sûre."""
        if self._agregateur is not None:
            self._compteurs.retards += self._agregateur.retards
            self._compteurs.perdus += self._agregateur.perdus
            self._compteurs.doublons += self._agregateur.doublons
        self._agregateur, self.fiable = None, INSTANT_MAX_MS
        self.suite_d_ids.recommencer()
        self._douteuses.clear()
        self._rendues.clear()

    def _douter(self, depuis: int, jusqua: int) -> None:
        """Des identifiants ont sauté entre ces deux instants : ces bougies ne seront pas rendues, mais relues."""
        grille = self._couverture.timeframe
        self._couverture.desavouer(depuis, grille.avancer(jusqua, 1))
        ouverture = max(grille.plancher(depuis), self.fiable)
        while ouverture <= jusqua and len(self._douteuses) < MANQUANTS_MAX:
            self._douteuses[ouverture] = None
            ouverture = grille.avancer(ouverture, 1)
        self._prouve = max(self._prouve, ouverture)

    def lire(self, donnee: Any, recu: int) -> Trade | None:
        """Le trade ; None, compté, s'il est impossible."""
        trade = trade_possible(self._couverture.connexion, donnee, recu)
        self._compteurs.impossibles += trade is None
        return trade

    def ranger(self, trade: Trade) -> bool:
        """Fond un trade dans sa bougie ; il apprend toujours quelque chose."""
        agregateur = self._agregateur or self._commencer(trade)
        if avant := self.suite_d_ids.noter(trade):
            self._douter(avant.timestamp, trade.timestamp)
        perdus = agregateur.perdus
        # Des identifiants tirés au hasard ne disent pas l'ordre des trades d'une même milliseconde : leur arrivée, si.
        ordonne = trade if self.suite_d_ids.croissants else trade._replace(id=f"#{trade.id}")
        self._rendues += agregateur.ajouter([ordonne])
        if agregateur.perdus > perdus:
            self._douter(trade.timestamp, trade.timestamp)  # rendue ou non, sa bougie est sans lui
            if self._couverture.relisible and agregateur.close_jusqu_a > self._couverture.connexion.heure_ms():
                self._rompre_la_suite()  # un horodatage du futur a clos les bougies d'avant
        self.derniere = max(self.derniere, trade.timestamp)
        return True

    def _commencer(self, premier: Trade) -> Agregateur:
        """Un agrégat neuf : sa première bougie sûre est celle qui suit le premier trade reçu."""
        couverture = self._couverture
        heure = max(premier.timestamp, couverture.connexion.heure_ms())
        self.fiable = self._prouve = couverture.timeframe.avancer(heure, 1)
        self._agregateur = Agregateur(
            couverture.timeframe,
            grace_ms=couverture.plage.grace_ms,
            bougies_vides=self._vides or "omettre",
            volume=self._volume,
            depuis_ms=self.fiable,
        )
        return self._agregateur

    def entendues(self) -> dict[int, float]:
        """Le volume reçu de celles que des trades peuvent encore changer, par ouverture."""
        return self._agregateur.volumes() if self._agregateur is not None else {}

    def perdre(self) -> None:
        """Un trade d'un instant faux : il en manque un, on ne sait où."""
        if self.derniere:
            self._douter(self.derniere, self._couverture.connexion.heure_ms())

    def closes(self, heure: int) -> Sequence[Sequence[Any]]:
        """Celles qu'un trade d'une suivante ou l'horloge ont closes, sans qu'un identifiant y manque."""
        if self._agregateur is None:
            return ()
        self._rendues += self._agregateur.clore(heure)
        if avant := self.suite_d_ids.echu():
            self._douter(avant.timestamp, self.derniere)
        attendu = self.suite_d_ids.en_attente
        seuil = self._couverture.timeframe.plancher(attendu.timestamp) if attendu else INSTANT_MAX_MS
        dernieres = {bougie.timestamp: bougie[:6] for bougie in self._rendues if bougie.timestamp < seuil}
        self._rendues = [bougie for bougie in self._rendues if bougie.timestamp >= seuil]
        for instant in dernieres.keys() & self._douteuses.keys():
            self._douteuses[instant] = dernieres.pop(instant)[5]
        return [dernieres[instant] for instant in sorted(dernieres)]

    def completer(self, lot: Lot) -> Lot:
        """Entre deux bougies d'une suite sans rupture, une minute sans trade est un fait."""
        if self._vides is None:
            return lot
        fin = max([self._prouve, *(fin for _, fin in lot.couverts)])
        vides = oter([(self._prouve, fin)], [*lot.couverts, *self._couverture.fiche.couverts])
        self._prouve = fin
        if self._report is not None:
            self._report.retenir(lot)
            return lot  # l'agrégat a rendu les plates qu'il pouvait ; avant sa première bougie, le REST dit le prix
        trous = [*lot.trous, *(Trou(*vide, SANS_TRANSACTION) for vide in vides)]
        return lot._replace(couverts=unir(lot.couverts, vides), trous=trous)

    @property
    def fin_vue(self) -> int:
        """Les bougies d'avant sont à couvrir ; une minute sans trade, quand le trade d'après la prouve."""
        return min(self.derniere, self._prouve) if self._vides else self.derniere

    @property
    def sure(self) -> int:
        """Rien d'avant ne tardait encore, si l'écoute meurt là, à moins qu'un identifiant n'y manque."""
        return self.derniere - (0 if self.suite_d_ids.se_suivent else self._couverture.plage.grace_ms)

    def echeance(self) -> int:
        """L'heure de la prochaine clôture, ou de ce qu'un saut a d'incertain."""
        if self._agregateur is None:
            return INSTANT_MAX_MS
        close = self._couverture.timeframe.avancer(self._agregateur.close_jusqu_a, 1) + self._couverture.plage.grace_ms
        return min(close, self.suite_d_ids.echeance(self._couverture.connexion.heure_ms()))

    @property
    def se_prouvent(self) -> bool:
        """Vrai si un trade manquant se verrait : par des identifiants qui se suivent, pas par ceux de bybit."""
        return self._vides is not None and self.suite_d_ids.se_suivent

    async def a_bouge(self, ecoute_depuis: int) -> bool:
        """Vrai si le REST connaît un trade que le flux n'a pas dit."""
        couverture = self._couverture
        depuis = max(self.derniere, ecoute_depuis)
        return await des_trades_depuis(couverture.connexion, couverture.serie, depuis)

    # --- ce que le REST en dit

    def adopter(self, lot: Lot) -> Lot:
        """Le lot relu, tel qu'il sera rendu : sans les plates, ou avec, comme ces bougies-ci."""
        for instant, volume in zip(instants_de(lot.lignes), lot.lignes["volume"].to_pylist(), strict=True):
            if (recu := self._douteuses.pop(instant, None)) is not None:  # que le REST dit pourtant juste, peut-être
                self.suite_d_ids.juger(manquaient=not memes_volumes([recu], [volume]))
        if self._vides == "omettre":
            return omettre_les_plates(lot, self._couverture.timeframe, self._couverture.fiche)
        return lot if self._report is None else self._report.reporter(lot, self._couverture.timeframe)


def memes_volumes(dite: Sequence[Any], lue: Sequence[Any]) -> bool:
    """Ces deux bougies comptent-elles les mêmes trades ? bitget, lui, ouvre chacune à la clôture de la précédente."""
    return math.isclose(dite[-1], lue[-1] or 0.0, rel_tol=TOLERANCE_VOLUME)


def omettre_les_plates(lot: Lot, timeframe: Timeframe, ecrite: Fiche) -> Lot:
    """Le lot sans ses bougies de volume nul : binance et kraken les donnent pour une minute sans trade.

    Celle que la sortie tient déjà (reportée par une autre exécution) reste : une absence inscrite la démentirait.
    """
    vides = pc.equal(lot.lignes["volume"], constante(0.0))
    if not pc.any(vides).as_py():
        return lot
    vides = pc.and_(vides, pc.invert(ecrite.tient(lot.lignes["timestamp"])))
    instants = en_un_bloc(lot.lignes.filter(vides)["timestamp"].cast(pa.int64()))
    trous = [Trou(*plage, SANS_TRANSACTION) for plage in plages(instants, timeframe)]
    gardees = lot.lignes.filter(pc.invert(pc.fill_null(vides, constante(False))))
    return lot._replace(lignes=gardees, trous=sorted([*lot.trous, *trous]))


class FilBougies(Fil):
    """Des bougies : celles qu'une source a vues naître et se clore sont rendues, les autres relues par REST."""

    type_donnee = OHLCV

    def __init__(self, connexion: Connexion, serie: Serie, fiche: Fiche, reglages: ReglagesFlux) -> None:
        super().__init__(connexion, serie, fiche, reglages)
        self.couverture = Couverture(connexion, serie, fiche, reglages.plage)
        self.source: BougiesDites | BougiesFaites = BougiesDites(self.couverture, self.compteurs)
        crues = None if self.couverture.relisible else True
        self.confrontation = Confrontation(self.cle, self.couverture.recentes, crues)
        self._places = asyncio.Semaphore(reglages.concurrence)
        self._a_relire = True  # pas encore relu depuis que l'écoute a commencé
        self._rendue = 0  # fin de la dernière rendue
        self._entendues: dict[int, float] = {}  # des dernières de l'écoute que nous fermons, le volume qu'elle en a dit
        self._veille = -math.inf  # jusqu'à cet instant, rien n'est à relire

    @property
    def du_depuis(self) -> int | None:
        return self.couverture.debut

    def faire_des_trades(self, bougies_vides: str | None) -> None:
        """Les bougies seront faites d'un flux de trades ; `bougies_vides` None : elles restent celles du REST."""
        self.source = BougiesFaites(self.couverture, self.compteurs, bougies_vides)
        # L'unité du REST, que rien ne prouve, se compare sur les premières ; il les donne toutes, s'il diffère.
        douteuse = self.couverture.relisible and self.connexion.unite_volume(self.serie.marche) == UNITE_INCONNUE
        self.confrontation.crues = None if douteuse else True
        self.confrontation.temoignent = memes_volumes
        if bougies_vides is not None:
            self.confrontation.egales = memes_volumes

    def rompre(self) -> None:
        super().rompre()
        if self.source.derniere:
            # Une bougie que l'horloge a close sans que rien ne suive : l'écoute était peut-être déjà morte. Une autre
            # close depuis moins que la grâce : son dernier état, ou un trade, venait peut-être après la suivante.
            depuis = min(self.source.sure, self.couverture.close())
            self.couverture.desavouer(depuis, INSTANT_MAX_MS)
            self.confrontation.oublier(depuis)
        if self.conclut and self.confrontation.crues:
            self._entendues |= self.source.entendues()
        self.source.recommencer()
        self._a_relire = True
        if self.couverture.debut is None:
            self.couverture.debut = self.couverture.timeframe.plancher(self.connexion.heure_ms())

    def _ranger(self, donnee: Any, recu: int) -> bool:
        lue: Any = self.source.lire(donnee, recu)
        return lue is not None and not self._attendre(lue, recu) and self.source.ranger(lue)

    @property
    def _a_voir(self) -> bool:
        """Faux, presque toujours : ce n'est que la bougie en cours, et rien n'est à relire."""
        return self.source.a_voir or self._horloge() >= self._veille

    def _dementir(self, attente: EnAvance) -> None:
        super()._dementir(attente)
        self.source.perdre()

    def _sures(self, heure: int) -> list[Lot]:
        closes = self.confrontation.croire(self.source.closes(heure))
        if not closes:
            return []
        lot = self.source.completer(self._lot(closes))
        self.confrontation.retenir(lot.couverts)
        return [lot]

    def _lot(self, bougies: Sequence[Sequence[Any]]) -> Lot:
        timeframe = self.couverture.timeframe
        possibles, impossibles = cribler_lignes(bougies, timeframe, self.cle.prix)
        self.compteurs.impossibles += impossibles
        couverts = unir((timeframe.plancher(b[0]), timeframe.avancer(b[0], 1)) for b in possibles)
        self._rendue = max([self._rendue, *(fin for _, fin in couverts)])
        return Lot(self.cle, tabler(self.cle, self.confrontation.inedites(possibles), OHLCV), couverts, [])

    def echeance(self) -> int:
        return self.source.echeance()

    def reste_de_grace_s(self) -> float:
        heure_de_grace = self.connexion.heure_ms() - self.reglages.plage.grace_ms
        return max(0.0, (self._rendue - heure_de_grace) / 1000)

    async def a_bouge(self) -> bool:
        return await self.source.a_bouge(self.ecoute_depuis)

    # --- ce qui est relu

    def _veiller(self) -> None:
        vue = self.source.fin_vue
        if not self.confrontation.crues and self.source.derniere:
            vue = self.couverture.timeframe.avancer(self.source.derniere, 1)
        manques, douteuses = self.couverture.manques(vue), self._a_confirmer(CONFIRMATION_MS)
        self._veille = -math.inf
        if manques and not self.couverture.relisible:
            self._inscrire(manques, HORS_FENETRE_API)
        elif manques or douteuses:
            muet = self.echec and (self._rattrapage is None or self._rattrapage.done())
            if muet and (neuves := oter(douteuses, self.fiche.non_prouves(ECHEC))):
                self._inscrire(neuves, ECHEC)  # tué maintenant, la relance ne relirait que les plus récentes
            self.relancer()
        else:
            self._apaiser()
            if not self.couverture.manques(self.source.fin_vue, closes=False):  # sinon, sa grâce passée, elle manquera
                self._veille = self._horloge() + VEILLE_S

    def _a_confirmer(self, age_ms: int) -> list[Intervalle]:
        """Les bougies à confirmer, closes depuis au moins ce temps."""
        if not self.couverture.relisible:
            return []
        # Des trades qui se suivent prouvent les leurs, non celles que le REST (gate) a dites à peine closes.
        return self.confrontation.a_relire(self.couverture.close(age_ms), sauf_du_flux=self.source.se_prouvent)

    def _inscrire(self, manques: Sequence[Intervalle], raison: str) -> None:
        """Rend des trous, s'il y en a."""
        if manques:
            self._declarer([], [Trou(*manque, raison) for manque in manques])

    async def _rattraper(self) -> None:
        """Relit ce qui manque ; en concluant, tant que le REST est en retard sur ce que le flux a dit."""
        for attente_s in RETARDS_REST_S:
            if not (await self._relire() and self.conclut):
                return
            await pause(attente_s)
        await self._relire()

    def _tait(self, lot: Lot) -> int | None:
        """L'ouverture de la première bougie dont le REST ne dit pas encore tout ce qu'en a dit le flux."""
        lues = zip(instants_de(lot.lignes), lot.lignes["volume"].to_pylist(), strict=True)
        dites = self._entendues
        courtes = (i for i, v in lues if (v or 0.0) < dites.get(i, 0.0) * (1 - TOLERANCE_VOLUME))
        return min(courtes, default=None)

    async def _relire(self) -> bool:
        """Vrai si le REST est en retard sur le flux : ce qu'il en tait n'est pas rendu."""
        couverture, en_retard = self.couverture, False
        plage = self.reglages.plage._replace(debut=couverture.debut, courante=False)
        if self.source.fiable != INSTANT_MAX_MS and not self._a_relire:
            plage = plage._replace(relecture=0)  # le flux vit : seules les bougies absentes sont à lire
        histoire = Historique(
            self.connexion, self.serie, plage, self.fiche.copie(), self._places, self.reglages.concurrence
        )
        intervalles = await histoire.preparer()
        couverture.timeframe, self.fiche.ancre_ms = histoire.timeframe, histoire.timeframe.ancre_ms
        couverture.debut = histoire.demande[0] if couverture.debut is None else couverture.debut
        age_ms = 0 if self.conclut else AGE_SUR_MS
        intervalles = unir(intervalles, croiser(self._a_confirmer(age_ms), [histoire.demande]))
        sur = couverture.close(age_ms)
        async with contextlib.aclosing(histoire.lots(intervalles)) as lots:
            async for lot in lots:
                if self._entendues and (tue := self._tait(lot)) is not None:
                    en_retard = True
                    gardees = lot.lignes.filter(pa.array([i < tue for i in instants_de(lot.lignes)], pa.bool_()))
                    dits = croiser(lot.couverts, [(0, tue)]), [trou for trou in lot.trous if trou.fin <= tue]
                    lot = Lot(lot.cle, gardees, *dits)  # noqa: PLW2901  la suite sera relue
                self._rendre(self.confrontation.apprendre(self.source.adopter(lot), sur))
                self.reveiller()
        self._a_relire = False
        return en_retard

    async def arreter(self) -> None:
        await super().arreter()
        if seules := self.confrontation.seules(self.fiche.couverts):
            self._rendre(self._lot(seules))
        # La queue qu'un REST en bonne santé ne sert pas encore n'est pas un trou : la prochaine exécution la lira.
        fin = INSTANT_MAX_MS if self.echec else max([f for _, f in self.fiche.couverts], default=INSTANT_MAX_MS)
        # De même après un signal : ce que la sortie tient déjà, sans preuve, une relance le relira.
        desavoues = [] if self.conclut and not self.echec else oter(self.couverture.desavoues, self.fiche.couverts)
        if not self.conclut:
            self._inscrire(desavoues, A_VENIR)
        # Lues du REST à peine closes, elles devaient l'être de nouveau, et il n'a jamais confirmé le flux.
        jeunes = self.confrontation.a_relire(INSTANT_MAX_MS) if self.echec and self.confrontation.crues is None else []
        dits = unir(intervalles_de(self.fiche.trous), self.fiche.non_prouves(*RAISONS_PARTIELLES))
        manques = oter(unir(self.couverture.manques(fin), desavoues, jeunes), dits)
        self._inscrire(manques if self.conclut else oter(manques, desavoues), ECHEC)


# --- Trades


class SuiteDIds:
    """Surveille la suite des identifiants, là où ils se suivent : un saut qui dure est un trade perdu.

    Seul le REST sait qu'un saut est vain, ses propres trades sautant eux aussi : plusieurs de suite, et plus rien n'est
    surveillé (bitfinex partage ses identifiants entre ses marchés). Leur nombre n'en dit rien (un flux qui perd une
    trame sur deux saute autant), et n'en décide que là où aucun REST ne répond. Des identifiants qui reculent quand le
    temps avance (hyperliquid les tire au hasard) ne disent pas même l'ordre.
    """

    def __init__(self, horloge: Callable[[], float], grace_s: float, *, sans_juge: bool = False) -> None:
        self._horloge, self.grace_s = horloge, grace_s
        self.vains = self.suites = self.sauts = 0
        self.croissants = True
        self.sans_juge = sans_juge  # aucun REST ne dira si un saut est vain
        self.recommencer()

    def recommencer(self) -> None:
        """Une écoute commence ou finit : plus rien n'est attendu ; ce qu'on sait de ces identifiants reste."""
        self._recent: Trade | None = None
        self._dernier: Trade | None = None  # le plus grand identifiant vu
        self._avant_saut: Trade | None = None
        self._manquants: dict[int, float] = {}  # identifiant -> depuis quand on l'attend
        self._ouverts = 0  # sauts que ceux-là ont faits

    def noter(self, trade: Trade) -> Trade | None:
        """Le trade d'avant un saut qui dure plus que la grâce, à relire d'ici à celui-ci ; None si rien ne manque."""
        if (rangs := rangs_de(trade.id)) is None:
            return None
        self._comparer(trade, rangs)
        if not self.surveille:
            return None
        self._avancer(trade, rangs)
        return self.echu()

    def echu(self) -> Trade | None:
        """Le trade d'avant un saut qui vient de durer plus que la grâce, une seule fois ; None si rien ne manque."""
        if self.reste_s > 0:
            return None
        self._manquants.clear()
        return self._avant_saut

    def prolonger(self, dernier: Trade, nombre: int) -> bool:
        """Avance d'autant de trades, qui suivent le précédent sans saut ; faux si des identifiants sont attendus."""
        if not self._manquants:
            self._dernier = dernier
            self.suites += nombre
        return not self._manquants

    @property
    def reste_s(self) -> float:
        """Le temps laissé à ceux qui manquent ; infini si rien ne manque."""
        return next(iter(self._manquants.values()), math.inf) + self.grace_s - self._horloge()

    def echeance(self, heure_ms: int) -> int:
        """L'heure de l'exchange où ceux qui manquent seront tenus pour perdus ; le bout des temps si rien ne manque."""
        return heure_ms + math.ceil(1000 * max(0.0, self.reste_s)) if self._manquants else INSTANT_MAX_MS

    @property
    def en_attente(self) -> Trade | None:
        """Le trade d'avant un saut qui n'a pas encore assez duré ; None si rien ne manque."""
        return self._avant_saut if self._manquants else None

    @property
    def surveille(self) -> bool:
        """Faux si l'on sait que les identifiants ne se suivent pas."""
        return self.croissants and self.vains < SAUTS_VAINS_MAX

    @property
    def se_suivent(self) -> bool:
        """Vrai si les identifiants vus se suivent le plus souvent : un saut y est alors un trade perdu."""
        return self.surveille and self.suites > self.sauts

    def juger(self, *, manquaient: bool) -> None:
        """Ce que le REST dit d'un saut : des trades manquaient bien, ou ses propres identifiants sautent."""
        self.vains = 0 if manquaient else self.vains + 1

    def _comparer(self, trade: Trade, rangs: Intervalle) -> None:
        """Un trade plus récent que tous a-t-il aussi le plus grand identifiant ?"""
        if self._recent is not None and trade.timestamp > self._recent.timestamp:
            self.croissants = self.croissants and rangs > (rangs_de(self._recent.id) or rangs)
        if self._recent is None or trade.timestamp >= self._recent.timestamp:
            self._recent = trade

    def _avancer(self, trade: Trade, rangs: Intervalle) -> None:
        dernier = rangs_de(self._dernier.id) if self._dernier else None
        attendu = dernier[1] + 1 if dernier else rangs[0]
        if rangs[0] < attendu:
            trouves = sum(self._manquants.pop(n, None) is not None for n in range(rangs[0], rangs[1] + 1))
            self.suites += trouves
            if trouves and not self._manquants:  # comblés, ce n'étaient pas des sauts (bitget : le dernier d'abord)
                self.suites, self.sauts = self.suites + self._ouverts, self.sauts - self._ouverts
            return
        if rangs[0] > attendu:
            self.sauts += 1
            self._ouverts = self._ouverts + 1 if self._manquants else 1
            self._avant_saut = self._avant_saut if self._manquants else self._dernier
            if len(self._manquants) + rangs[0] - attendu > MANQUANTS_MAX:
                self._manquants[HORS_SUITE] = -math.inf  # trop pour les attendre un à un
            else:
                self._manquants.update(dict.fromkeys(range(attendu, rangs[0]), self._horloge()))
        elif dernier:
            self.suites += 1
        if self.sans_juge and self.sauts > self.suites + SAUTS_VAINS_MAX:
            self.vains = SAUTS_VAINS_MAX
        self._dernier = trade


class SuiteDeTrades:
    """Jusqu'où des trades qui se suivent sont sûrs : du calcul pur, sur leurs instants et leurs identifiants.

    Elle est couverte de son début à son `dernier`, exclu. Ce qui la rompt (une écoute neuve, un saut d'identifiants)
    est une lacune : rien n'en est couvert tant que le REST n'a pas tranché.
    """

    def __init__(self, ids: SuiteDIds, dernier: Trade | None, grace_ms: int, a_confirmer: int = 0) -> None:
        self.ids, self.dernier = ids, dernier
        self._grace_ms, self._a_confirmer = grace_ms, a_confirmer
        self._depuis: int | None = None  # d'où elle va au dernier ; None : elle est rompue
        self._couverts: list[Intervalle] = []  # des suites d'avant, ce qui n'est pas encore pris
        self._sur: Trade | None = None  # aucun trade d'avant lui ne tardait encore
        self._presque_sur: Trade | None = None  # celui qui le sera, sa grâce passée
        self._confirme: Trade | None = None  # le premier que le REST n'a pas encore confirmé
        self._non_confirmes = 0  # trades rendus depuis

    @property
    def rompue(self) -> bool:
        """Vrai si le prochain trade ne la prolongera pas."""
        return self._depuis is None

    @property
    def bord(self) -> Trade | None:
        """Le trade d'où relire ce qui manque, la suite rompue."""
        return self._sur or self.dernier

    @property
    def se_confirme(self) -> bool:
        """Vrai si des identifiants qui ne se suivent pas laissent au REST de dire qu'il n'en manque aucun."""
        return self._a_confirmer > 0 and not self.ids.se_suivent

    # --- ce qui la prolonge, ou la rompt

    def enchainer(self, trade: Trade) -> list[Lacune]:
        """Ce trade suit-il le précédent ? Sinon, ce qui les sépare est à relire."""
        if self.rompue and self.dernier is not None and trade.precede(self.dernier):
            if self.dernier.id is not None:
                return []  # un retardataire : il ne dit rien de ce qui a suivi le dernier reçu
            self.dernier = None  # l'instantané remonte plus haut que le début de l'écoute
        avant, lacunes = self.ids.noter(trade), list[Lacune]()
        if self.rompue:
            bord = self.bord
            # Un retardataire d'avant la suite ne la commence pas : rien ne dit que ceux qui l'en séparent viendront. Ni
            # la milliseconde du premier, que d'autres ont pu partager avant l'écoute.
            depuis = trade.timestamp + 1
            if bord is not None and avant is None and self._se_suivent(bord, trade):
                depuis = bord.timestamp
            elif bord is not None:
                lacunes.append(Lacune(avant or bord, trade))
            self._commencer(trade, depuis)
        elif avant is not None:
            lacunes.append(Lacune(avant, trade, saut=True))
        if self.dernier is None:  # d'autres trades de sa milliseconde ont pu passer avant l'abonnement
            lacunes.append(Lacune(trade._replace(id=None), trade, saut=True))
        self._confirme = self._confirme or trade
        if self.dernier is None or self.dernier.id is None or not trade.precede(self.dernier):
            self.dernier = trade
        return lacunes

    def _se_suivent(self, bord: Trade, trade: Trade) -> bool:
        """Vrai si les identifiants prouvent que rien n'a passé entre ces deux-là : la suite les couvre tous deux."""
        rangs, derniers = rangs_de(trade.id), rangs_de(bord.id)
        suivent = rangs is not None and derniers is not None and rangs[0] == derniers[1] + 1
        return suivent and self.ids.surveille

    def _commencer(self, premier: Trade, depuis: int) -> None:
        self._sur = self._presque_sur = premier
        self._depuis = depuis

    def renouer(self, connu: Trade, est_prouve: Callable[[int], bool]) -> list[Lacune]:
        """L'instantané d'une écoute neuve redit le dernier trade reçu, ou prouvé : ce qui vient ensuite le prolonge."""
        bord, dernier = self.bord, self.dernier
        if bord is None or dernier is None:
            return []
        if not self.rompue:  # relu par REST avant que le flux le dise
            return self.enchainer(connu) if dernier.precede(connu) else []
        if connu.est_anonyme or not connu.est(bord):
            return []
        # Sa milliseconde, si ce qui la précède est prouvé : sinon, un trade a pu la partager avant l'écoute.
        self._commencer(bord, connu.timestamp + (not est_prouve(connu.timestamp)))
        self._confirme = self._confirme or dernier
        avant = self.ids.noter(dernier)
        return [Lacune(avant, dernier, saut=True)] if avant else []

    def rompre(self) -> None:
        """Ce qui viendra ne la prolonge pas : quelque chose a peut-être eu lieu entre-temps."""
        self._solder()
        if not self.rompue and self.ids.se_suivent:
            self._sur = self.dernier
        self._depuis = None

    def repartir_de(self, servi: Trade) -> None:
        """Rompue, ce que le REST en sert jusqu'à ce trade est relu."""
        self._sur = servi
        if self.dernier is None or not servi.precede(self.dernier):
            self.dernier = servi

    # --- ce qu'elle prouve

    def _solder(self) -> None:
        """Ce que la suite en cours a prouvé va avec le reste ; elle continue d'ici."""
        if self._depuis is not None and self.dernier is not None:
            # Un trade peut tarder, que rien ne dirait absent si elle se rompait : ni identifiants, ni REST.
            tarde_ms = 0 if self.ids.se_suivent or self._a_confirmer else self._grace_ms
            fin = max(self._depuis, self.dernier.timestamp - tarde_ms)
            self._couverts.append((self._depuis, fin))
            self._depuis = fin
            # Le dernier trade a-t-il l'âge de dire que plus aucun d'avant ne tarde ?
            if self._presque_sur and self.dernier.timestamp - self._presque_sur.timestamp >= self._grace_ms:
                self._sur, self._presque_sur = self._presque_sur, self.dernier

    def prouves(self, suspens: Sequence[Intervalle]) -> list[Intervalle]:
        """Ce qu'elle a prouvé et qui n'est pas encore pris, moins ce qui est en suspens."""
        self._solder()
        return oter(self._couverts, suspens)

    def prendre(self, suspens: Sequence[Intervalle]) -> list[Intervalle]:
        """Ce qu'elle a prouvé depuis la dernière fois ; ce qui est en suspens attend."""
        pris, self._couverts = self.prouves(suspens), croiser(self._couverts, suspens)
        return pris

    def combler(self, etendue: Intervalle, trous: Sequence[Intervalle]) -> list[Intervalle]:
        """Ce que le REST a prouvé de cette étendue, moins ces trous : ils coupent la suite où ils sont, même finie."""
        self._solder()
        self._couverts = oter(self._couverts, trous)
        debut, fin = etendue
        if not trous and debut < fin == self._depuis:
            self._depuis = debut  # la milliseconde de son premier trade en est
        # La milliseconde du dernier trade attend encore celui qui la partagerait.
        ouverte = [(self.dernier.timestamp, self.dernier.timestamp + 1)] if self.dernier is not None else []
        return oter([etendue], [*trous, *ouverte])

    # --- ce que le REST doit confirmer

    def compter(self, rendus: Sequence[Trade]) -> list[Lacune]:
        """Ceux-là sont rendus, en ordre : tous les tant, ou passé une minute, ils sont à confirmer."""
        self._non_confirmes += len(rendus)
        attente_ms = rendus[-1].timestamp - (self._confirme or rendus[-1]).timestamp
        return self.confirmer() if attente_ms >= MINUTE_MS or self._non_confirmes >= self._a_confirmer else []

    def confirmer(self) -> list[Lacune]:
        """Ce qui fut reçu depuis la dernière fois, à relire là où le REST seul peut le confirmer."""
        depuis, self._confirme = self._confirme, None if self.rompue else self.dernier
        self._non_confirmes = 0
        if not self.se_confirme or depuis is None or self.dernier is None:
            return []
        return [Lacune(depuis, self.dernier, saut=True)]

    def en_suspens(self) -> list[Trade]:
        """Les trades après lesquels un autre manque peut-être encore : il tarde, ou le REST ne l'a pas démenti."""
        attendu = self.ids.en_attente
        confirme = self._confirme if self.se_confirme else None
        return [trade for trade in (attendu, confirme) if trade is not None]


class Lacunes:
    """Les lacunes d'un fil : toutes relues avant d'insister sur aucune, le REST étant parfois en retard sur le flux."""

    def __init__(self, file: Iterable[Lacune]) -> None:
        self.file = collections.deque(file)
        self.vaines = collections.deque[Lacune](maxlen=VAINES_GARDEES)  # le REST ne les servait pas encore
        self._en_lecture: tuple[Lacune, ...] = ()

    def ajouter(self, lacune: Lacune) -> None:
        """La met en file, d'un seul tenant avec la précédente : un REST muet ne fait pas enfler la file."""
        avant = self.file[-1] if self.file and self.file[-1] not in self._en_lecture else None
        # Du début de l'écoute, qui n'a pas d'id, ce qu'aucun REST ne dit n'est pas dû ; de ce qui le suit, si.
        if avant and avant.dernier.id and avant.saut and lacune.saut and avant.jusqua is lacune.dernier:
            self.file[-1] = Lacune(avant.dernier, lacune.jusqua, saut=True)
        else:
            self.file.append(lacune)

    async def relire(self, combler: Callable[[Lacune, bool], Awaitable[bool]]) -> None:
        """Jusqu'à la dernière ; `combler` : faux d'une lacune à redemander, s'il peut encore insister."""
        try:
            while self.file:
                self._en_lecture = tuple(self.file)
                await self._relire_en_insistant(combler)
        finally:
            self._en_lecture = ()

    async def _relire_en_insistant(self, combler: Callable[[Lacune, bool], Awaitable[bool]]) -> None:
        """Celle qu'une erreur passagère arrête attend le rattrapage suivant ; les autres sont peut-être servies."""
        echec: ErreurTemporaire | None = None
        restent = list(self._en_lecture)
        for attente_s in (0.0, *RETARDS_REST_S):
            await pause(attente_s)
            a_relire, restent = restent, []
            for lacune in a_relire:
                try:
                    if await combler(lacune, attente_s < RETARDS_REST_S[-1]):
                        self.file.remove(lacune)
                    else:
                        restent.append(lacune)
                except ErreurTemporaire as erreur:
                    echec = erreur
            if not restent:
                break
        if echec is not None:
            raise echec


class FilTrades(Fil):
    """Des trades : chacun une fois, dans l'ordre de l'exchange ; une coupure est comblée par REST, sinon inscrite."""

    type_donnee = TRADES

    def __init__(
        self, connexion: Connexion, serie: Serie, fiche: Fiche, reglages: ReglagesFlux, connus: Sequence[Trade] = ()
    ) -> None:
        super().__init__(connexion, serie, fiche, reglages)
        # Ce qui est dû par cette exécution, depuis la précédente : l'entre-deux, et ce qu'elle n'a pu relire.
        dus = [fin for _, fin in fiche.couverts[-1:]]
        dus += [debut for debut, _ in (fiche.a_relire() if dus else fiche.dus_sans_couvert())]
        self._du_depuis = min(dus, default=None)
        # Une ligne écrite sans que sa fiche ait pu l'être est connue, mais la suite part de ce qui est prouvé.
        dernier = dernier_prouve(connus, fiche.couverts[-1][1] if fiche.couverts else 0) or self._depart()
        grace_ms = reglages.plage.grace_ms
        ids = SuiteDIds(self._horloge, grace_ms / 1000)
        self._suite = SuiteDeTrades(ids, dernier, grace_ms, connexion.particularite.trades_a_confirmer)
        self._lacunes = Lacunes(self._oubliees(connus))
        self._a_joindre = collections.deque[int](maxlen=VAINES_GARDEES)  # ms relues, ce qui précède ne l'étant pas
        self._retenir_jusqua = 0.0
        self._recus: list[Trade] = []
        self._en_ordre = True  # ceux-là furent enchaînés d'un coup : les trier coûterait plus que les recevoir
        self._queue_entendue = False  # l'écoute vivait quand nous l'avons fermée : rien ne manque après le dernier reçu
        self._rien_eu_lieu = False  # le REST sert ce qui précède l'écoute, et rien après
        self._memoire = Dedoublonneur(relit=self._peut_relire)
        self._memoire.montrer(connus)

    def _oubliees(self, connus: Sequence[Trade]) -> Iterator[Lacune]:
        """Celles qu'une exécution arrêtée n'a pas eu le temps de combler."""
        for debut, fin in self.fiche.a_relire():
            en_tete = debut < self.fiche.couverts[0][0]  # le début d'une première écoute
            avant = debut_d_ecoute(debut) if en_tete else dernier_prouve(connus, debut)
            apres = min((trade for trade in connus if trade.timestamp >= fin), key=cle_de_trade, default=None)
            if avant is not None and apres is not None:
                yield Lacune(avant, apres)

    # --- l'écoute

    def ecouter(self) -> None:
        super().ecouter()
        # Ce qui est dû commence avec la première écoute, qu'un trade en vienne ou non.
        self._suite.dernier = self._suite.dernier or debut_d_ecoute(self.ecoute_depuis)

    def _depart(self) -> Trade | None:
        """D'où repartir si la précédente exécution n'a rien entendu."""
        return None if self._du_depuis is None or self.fiche.couverts else debut_d_ecoute(self._du_depuis)

    def renegocier(self) -> None:
        if self._suite.dernier is not None and self._suite.dernier.id is None:
            self._suite.dernier = self._depart()

    def rompre(self) -> None:
        douteux = self.doute
        self._reprendre()
        for attente in self._en_avance:
            self._relire_depuis(attente.apres)
        super().rompre()
        vivante = self._queue_entendue or not self._suite.rompue
        self._queue_entendue = self.conclut and vivante and not douteux
        self._suite.rompre()
        self._memoire.recommencer()
        self._relire(self._suite.confirmer())
        if avant := self._suite.ids.en_attente:
            self._lacunes.ajouter(Lacune(avant, self._suite.dernier, saut=True))  # ils ne viendront plus
        self._suite.ids.recommencer()

    def _peut_relire(self) -> bool:
        """Vrai si une relecture, en cours ou qui s'annonce, part de plus loin que le dernier trade reçu."""
        suite, lacunes = self._suite, self._lacunes
        attend = suite.rompue or suite.se_confirme or suite.ids.en_attente is not None or self.doute
        return attend or bool(lacunes.file or lacunes.vaines)

    # --- un trade arrive

    def _ranger_toutes(self, donnees: Sequence[Any], recu: int) -> int:
        """Presque toujours, ces trades suivent le dernier sans saut ni désordre : ils sont enchaînés d'un coup."""
        rompue, dernier = self._suite.rompue, self._suite.dernier
        if rompue:  # un instantané est souvent à rebours : son plus ancien trade est le premier
            donnees = sorted(donnees, key=_rang_recu)
        fin = None if rompue else fin_de_la_suite([dernier, *donnees])
        if not fin or not self._prolonge(donnees, fin):
            return super()._ranger_toutes(donnees, recu)
        self._recus += donnees
        self._suite.dernier = donnees[-1]
        return len(donnees)

    def _prolonge(self, trades: Sequence[Trade], fin: int) -> bool:
        vrais = self.connexion.noter_instants([trade.timestamp for trade in trades])
        suite = vrais and self._suite.ids.prolonger(trades[-1], len(trades))
        return suite and self._memoire.prolonger(trades, fin)

    def _ranger(self, donnee: Any, recu: int) -> bool:
        trade = trade_possible(self.connexion, donnee, recu)
        if trade is None:
            self.compteurs.impossibles += 1
            self._suite.rompre()  # seul le REST peut dire ce qui a eu lieu (luno tait l'heure et le prix)
            self.relancer()
            return False
        if self._attendre(trade, recu, self._suite.dernier):
            return False
        if neufs := self._memoire.nouveaux([trade]):
            self._relire(self._suite.enchainer(neufs[0]))
            self._recus += neufs
            self._en_ordre = False
            return True
        self.compteurs.doublons += 1
        self._relire(self._suite.renouer(trade, self._est_prouve))
        if self._suite.ids.en_attente:
            self.signaler()  # un saut a peut-être commencé : son échéance est à attendre
        return False

    # --- ce qui est sûr

    def _sures(self, heure: int) -> list[Lot]:  # noqa: ARG002  un trade reçu est sûr
        if avant := self._suite.ids.echu():
            self._relire([Lacune(avant, self._suite.dernier, saut=True)])
        retenus = any(not lacune.saut for lacune in self._lacunes.file) and self._horloge() < self._retenir_jusqua
        if not self._recus or retenus:
            return []
        trades = self._recus if self._en_ordre else self._ordonner(self._recus)
        self._recus, self._en_ordre = [], True
        self._relire(self._suite.compter(trades))
        return [Lot(self.cle, tabler(self.cle, trades, TRADES), self._suite.prendre(self._en_suspens()), [])]

    def _est_prouve(self, instant: int) -> bool:
        """Vrai si ce qui précède cet instant est prouvé jusqu'à lui."""
        prouves = unir(self.fiche.couverts, self._suite.prouves(self._en_suspens()))
        return any(debut < instant <= fin for debut, fin in prouves)

    def _en_suspens(self) -> list[Intervalle]:
        """Ce que les suites ne prouvent pas encore : tué là, le flux relancé doit le relire."""
        attentes = (attente.apres for attente in self._en_avance)
        ouvertes = (Lacune(trade, None, saut=True) for trade in (*self._suite.en_suspens(), *attentes) if trade)
        lacunes = (lacune for lacune in self._lacunes.file if not self._est_caduque(lacune))
        return [lacune.etendue(INSTANT_MAX_MS) for lacune in (*ouvertes, *lacunes)]

    def _ordonner(self, trades: Iterable[Trade]) -> list[Trade]:
        """Dans l'ordre de l'exchange ; dans une même ms, celui d'arrivée si les ids n'en disent rien."""
        return sorted(trades, key=cle_de_trade if self._suite.ids.croissants else lambda trade: (trade.timestamp, 0))

    def echeance(self) -> int:
        reste_s = max(0.0, self._retenir_jusqua - self._horloge())
        heure = self.connexion.heure_ms()
        retenue = heure + round(1000 * reste_s) if self._recus else INSTANT_MAX_MS
        return min(retenue, self._suite.ids.echeance(heure))

    async def a_bouge(self) -> bool:
        depuis, dernier = self.ecoute_depuis, self._suite.dernier
        if dernier is None or dernier.id is None or dernier.timestamp < depuis:
            return await des_trades_depuis(self.connexion, self.serie, depuis)
        ensemble = (trade.price for trade in self._memoire.recents.values() if trade.timestamp == dernier.timestamp)
        return await des_trades_depuis(self.connexion, self.serie, dernier.timestamp, {dernier.price, *ensemble})

    # --- ce qui est à relire

    def _relire(self, lacunes: Iterable[Lacune]) -> None:
        for lacune in lacunes:
            if not lacune.saut:  # les trades qui suivent une coupure l'attendent un peu, pour sortir en ordre
                self._retenir_jusqua = self._horloge() + RETENUE_MAX_S
            self._lacunes.ajouter(lacune)
            self.rattraper()

    def _relire_depuis(self, avant: Trade | None) -> None:
        """Le REST dira quand eut lieu un trade d'instant faux : après celui-ci, avant celui qui l'a suivi."""
        dernier = self._suite.dernier
        if avant is None or dernier is None or avant.est(dernier):
            self._suite.rompre()
        else:
            self._lacunes.ajouter(Lacune(avant, dernier))

    def _dementir(self, attente: EnAvance) -> None:
        super()._dementir(attente)
        self._relire_depuis(attente.apres)
        self.relancer()

    def _veiller(self) -> None:
        if self._lacunes.file:
            self.relancer()
        else:
            self._apaiser()

    def _queue(self) -> Lacune | None:
        """Ce qui suit le dernier trade ; None si l'écoute le dit, ou s'il est déjà à relire."""
        bord, entendue = self._suite.bord, self._queue_entendue or not self._suite.rompue
        en_file = any(lacune.jusqua is None and not self._est_caduque(lacune) for lacune in self._lacunes.file)
        return None if bord is None or entendue or en_file else Lacune(bord, None)

    def _est_caduque(self, lacune: Lacune) -> bool:
        """Vrai d'une lacune sans fin après laquelle un trade est venu : une autre la remplace, qui finit à lui."""
        return lacune.jusqua is None and lacune.dernier is not self._suite.bord

    async def _rattraper(self) -> None:
        if queue := self._queue():
            self._lacunes.ajouter(queue)
        if self.conclut:
            self._lacunes.file.extend(self._lacunes.vaines)
            self._lacunes.vaines.clear()
        await self._lacunes.relire(self._combler)

    async def _combler(self, lacune: Lacune, insister: bool) -> bool:
        """Rend ce que le REST sert de cette lacune ; faux s'il faut `insister` : il ne sert pas encore sa fin."""
        neufs, suivis, heure = 0, self._suite.ids.se_suivent, self.connexion.heure_ms()
        relecture = RelectureTrades(self.connexion, self.serie, lacune, self._memoire, suivis=suivis)
        try:
            async for page in relecture.pages():
                neufs += len(page)
                self._rendre(Lot(self.cle, tabler(self.cle, self._ordonner(page), TRADES), [], []))
                self.reveiller()
        except ErreurDefinitive as erreur:
            journal.debug("%s : trades illisibles par REST. %s", self.cle, erreur.complet())
            self._suite.ids.sans_juge = True
            if lacune.jusqua is not None or self.conclut:  # sinon, ce que redira l'écoute n'est pas perdu
                self._renoncer(lacune, HORS_FENETRE_API)
            return True
        if self._est_caduque(lacune):
            return True  # un trade est venu pendant qu'on lisait : celle qui finit à lui dira ce qui manque
        relu = relecture.resultat()
        # Des numéros qui se suivent, et qu'il saute : il les dira peut-être ; trois fois vains, ils n'existent pas.
        tait = lacune.saut and suivis and relu.sautent
        servie = relu.rejoint and not tait and not any(trou.raison == ECHEC for trou in relu.trous)
        a_revoir = insister and not servie and lacune.jusqua is not None
        # Redemandé, un même saut n'est pas vain plusieurs fois ; qu'il ne l'était pas se sait dès la première.
        if lacune.saut and (neufs or (not a_revoir and (relu.complet or relu.sautent))):
            self._suite.ids.juger(manquaient=neufs > 0 or not relu.sautent)
        if not a_revoir:
            self._regler_relue(lacune, relu, heure, tait=tait)
        return not a_revoir

    def _regler_relue(self, lacune: Lacune, relu: Relu, heure: int, *, tait: bool) -> None:
        """Inscrit ce qu'elle a prouvé, et ce qu'elle laisse à redemander ; `tait` : des numéros qu'elle saute."""
        if not lacune.saut:
            self._lacunes.file.extend(relu.sauts)
        self._rien_eu_lieu, trous = False, relu.trous
        if lacune.jusqua is None:
            fin, tus = self._repartir_de_la_queue(lacune, relu, heure)
            self._regler(lacune, fin, [*trous, *tus])
            return
        fin = lacune.etendue(lacune.jusqua.timestamp)[1]
        if not (relu.complet or trous):
            trous = lacune.trou(fin, ECHEC)  # ses deux bords ont la même milliseconde
        if not self.conclut and (tait or any(trou.raison == ECHEC for trou in trous)):
            self._lacunes.vaines.append(lacune)  # il était peut-être trop en retard
        self._regler(lacune, fin, trous)

    def _repartir_de_la_queue(self, lacune: Lacune, relu: Relu, heure: int) -> tuple[int, list[Trou]]:
        """Jusqu'où le REST sert ce qui suit le dernier trade ; en concluant, les trous de ce qu'il en tait.

        Après le dernier qu'il sert, rien n'est prouvé : il est peut-être en retard sur son flux.
        """
        servi = relu.dernier if relu.rejoint and relu.dernier else lacune.dernier
        if servi.precede(lacune.dernier):
            self._rien_eu_lieu, servi = relu.complet, lacune.dernier
        sur, sur_ms = servi, heure - self.reglages.plage.grace_ms
        if not self._suite.ids.se_suivent and servi.timestamp > sur_ms:  # d'avant lui, un autre tardait peut-être
            surs = (trade for trade in self._memoire.relus.values() if trade.timestamp <= sur_ms)
            sur = max((lacune.dernier, *surs), key=cle_de_trade)
        if sur is not lacune.dernier:
            self._suite.repartir_de(sur.nomme())
        dernier = self._suite.dernier
        tait = self.conclut and dernier is not None and servi.precede(dernier)  # un trade y tardait peut-être
        return sur.timestamp, [Trou(servi.timestamp, dernier.timestamp + 1, ECHEC)] if dernier and tait else []

    def _renoncer(self, lacune: Lacune, raison: str) -> None:
        """Ces trades ne seront pas relus : un trou, s'il y a place pour lui."""
        if self._est_caduque(lacune) or (lacune.jusqua is None and self._queue_entendue):
            return  # une autre les dira, ou rien ne manque
        heure = self.connexion.heure_ms()
        (debut, fin), trous = lacune.etendue(heure), lacune.trou(heure, raison)
        seul = lacune.jusqua is not None and lacune.dernier.timestamp == lacune.jusqua.timestamp
        if lacune.dernier.id is None and lacune.jusqua is not None and (seul or raison == HORS_FENETRE_API):
            # Aucun REST ne dira ce qui a précédé le premier trade entendu, ou partagé sa milliseconde : ce n'est ni dû,
            # ni couvert.
            fin = max(debut, min(lacune.jusqua.timestamp, self.ecoute_depuis))
            trous = [Trou(debut, fin, raison)] if debut < fin else []
        self._regler(lacune, fin, trous)

    def _regler(self, lacune: Lacune, fin: int, trous: Sequence[Trou]) -> None:
        """Inscrit ce que la relecture a prouvé jusqu'à `fin`, et les trous qu'elle laisse."""
        debut = lacune.etendue(fin)[0]
        appris = oter([(debut, fin)], intervalles_de(trous))  # rien, d'ordinaire, à l'arrêt
        if appris and lacune.dernier.id and not lacune.saut and not self._est_prouve(debut):
            if appris[0][0] == debut:
                self._a_joindre.append(debut)
            debut += 1  # d'autres ont pu le précéder dans sa milliseconde
        if lacune.saut and not self._suite.ids.se_suivent:  # ce que l'exchange ne sert pas n'a peut-être pas existé
            if len(dits := [trou for trou in trous if trou.raison == ECHEC]) < len(trous):
                debut = max(debut, lacune.dernier.timestamp + 1)  # de leur milliseconde, rien n'est appris
            trous = dits
        couverts = self._suite.combler((debut, fin), intervalles_de(trous))
        if appris and (bord := appris[-1][1]) in self._a_joindre:  # gate : un saut, redemandé, l'est après la coupure
            self._a_joindre.remove(bord)
            couverts = unir(couverts, [(bord, bord + 1)])
        self._declarer(couverts, list(trous))
        for trou in trous:
            journal.warning(
                "%s : de %s à %s, les trades de la coupure n'ont pu être relus (%s).",
                self.cle, en_iso(trou.debut), en_iso(trou.fin), trou.raison,
            )  # fmt: skip

    async def arreter(self) -> None:
        await super().arreter()
        self._retenir_jusqua = 0.0
        queue, rien_eu_lieu = self._queue(), self.conclut and self._rien_eu_lieu  # au signal, nul ne l'a redemandé
        if queue and queue.dernier.id is None and self.refus is None and not rien_eu_lieu:
            self._lacunes.ajouter(queue)  # rien ne fut entendu : la relance n'en saurait rien
        while self._lacunes.file:
            self._renoncer(self._lacunes.file.popleft(), ECHEC)
        self._queue_entendue = True  # ce qui manquait est inscrit


def debut_d_ecoute(instant: int) -> Trade:
    """En guise de trade qui précède le premier reçu : le seul qui n'ait pas d'id."""
    return Trade(instant, None, None, 0.0, 0.0)


def _rang_recu(donnee: Any) -> float:
    """L'instant d'un trade reçu, lisible ou non."""
    return float(donnee.timestamp) if isinstance(donnee, Trade) else _en_nombre(donnee.get("timestamp")) or 0.0


def fin_de_la_suite(trades: Sequence[Any]) -> int | None:
    """Le numéro qui suivrait ces trades, s'ils sont dans l'ordre et numérotés de un en un ; sinon None."""
    if set(map(type, trades)) != {Trade}:
        return None
    ids = [trade.id or "" for trade in trades]
    instants = [trade.timestamp for trade in trades]
    if instants != sorted(instants) or not all(map(str.isdecimal, ids)):
        return None
    debut = int(ids[0])
    return debut + len(ids) if list(map(int, ids)) == list(range(debut, debut + len(ids))) else None


def dernier_prouve(trades: Sequence[Trade], fin: int) -> Trade | None:
    """Celui d'où relire quand rien n'est prouvé dès `fin` : le premier de la dernière ms qui le précède, ou qu'il est.

    À défaut, le premier de tous : rien ne dit ce qui a pu manquer après lui.
    """
    instant = max((trade.timestamp for trade in trades if trade.timestamp <= fin), default=None)
    candidats = [trade for trade in trades if instant is None or trade.timestamp == instant]
    return min(candidats, key=cle_de_trade, default=None)


async def des_trades_depuis(
    connexion: Connexion, serie: Serie, instant: int, dits: Collection[float] = ()
) -> bool:
    """Vrai si le REST connaît un trade plus récent que cet instant ; à défaut de trades, si ses bougies en ont un.

    `dits` : les prix que le flux a dits à cet instant.
    """
    try:
        bruts = await connexion.lire_trades(serie, None, {})
    except ErreurDefinitive:
        return await _pas_de_calme_depuis(connexion, serie, instant, dits)
    return any((_en_instant(brut.get("timestamp")) or 0) > instant for brut in bruts)


async def _pas_de_calme_depuis(connexion: Connexion, serie: Serie, instant: int, dits: Collection[float]) -> bool:
    """Faux si les bougies ne disent rien d'après cet instant (hyperliquid ne sert pas ses trades par REST).

    De la minute de cet instant, la clôture est le prix de son dernier trade : un autre que ceux dits, et il en manque.
    Tant qu'aucune autre n'a commencé, le même ne prouve rien : bien des trades se suivent au même prix.
    """
    minute, heure = timeframe_de(serie.cle.exchange, "1m"), connexion.heure_ms()
    entamee = minute.plancher(instant)
    if minute.avancer(entamee, 1) > heure:
        return True
    lignes = await connexion.lire_bougies(serie, minute, entamee, minute.avancer(heure, 1), limite=LIMITE_PAR_DEFAUT)
    clotures = [ligne[4] for ligne in lignes if _en_instant(ligne[0]) == entamee]
    return (bool(dits) and not {*clotures} & {*dits}) or depassee(lignes, (), entamee)


# --- Tickers et carnets : des instantanés, sans histoire à relire


class FilInstantanes(Fil):
    """Des instantanés : une ligne par instant que dit l'exchange ; une coupure est un trou, que rien ne comble.

    Là où il ne date pas ses états, ne les distingue que leur contenu : une ligne quand quelque chose a changé.
    """

    def __init__(self, connexion: Connexion, serie: Serie, fiche: Fiche, reglages: ReglagesFlux) -> None:
        super().__init__(connexion, serie, fiche, reglages)
        self._lignes: dict[tuple[Any, ...], list[Any]] = {}
        self._contenu: Any = None
        self._date: int | None = None  # celle que l'exchange donnait à ce contenu
        self._rendu: list[Any] = []  # la dernière ligne rendue
        self._fin: int | None = None  # fin de ce qui est couvert d'une suite sans rupture
        self._rompu = False
        self._dernier_instant = 0  # un état sans horodatage ne précède pas ceux qui l'ont précédé
        self._entendu_a = self._horloge()  # quand il fut entendu

    def ecouter(self) -> None:
        super().ecouter()
        self._fin = self._fin or self.ecoute_depuis  # ce qui est dû commence avec la première écoute

    def renegocier(self) -> None:
        if not self.recus:
            self._fin, self._rompu = None, False

    def rompre(self) -> None:
        super().rompre()
        if not (self.conclut or self.arrete):  # fermée par nous, l'écoute a tout entendu jusque-là
            self._rompu = self._fin is not None

    async def arreter(self) -> None:
        await super().arreter()
        if self.refus is None and (self._rompu or not self.recus):
            self._finir_la_coupure(self.connexion.heure_ms())

    def _finir_la_coupure(self, instant: int) -> None:
        """Ce qui n'a pas été entendu jusqu'à cet instant est un trou ; avant toute écoute, rien n'est dû."""
        self._rendre(*self._sures(instant))
        entendu = instant if self._fin is None else max(self._fin, self._dernier_instant + 1)
        if entendu < instant and self._fin is not None:
            self._declarer(unir([(self._fin, entendu)]), [Trou(entendu, instant, HORS_FENETRE_API)])
            self._fin = instant

    def _ranger(self, donnee: Any, recu: int) -> bool:
        lue = isinstance(donnee, tuple)  # son instant vient d'être confirmé
        donne, contenu = donnee if lue else (_en_instant(donnee.get("timestamp")), self._lire(donnee))
        redit = contenu == self._contenu and donne == self._date
        if contenu is None or (redit and not self._rompu):
            return False
        if donne is None:
            self.fiche.horodatage = HORODATAGE_RECEPTION
        elif not self.connexion.noter_instant(donne) or self._attendre((donne, contenu), recu):
            return False
        instant = self._instant_de_reception() if donne is None else donne
        if self._rompu:
            self._finir_la_coupure(instant)
            self._rompu = False
        if instant >= self._dernier_instant:
            self._dernier_instant, self._entendu_a = instant, self._horloge()
        if redit:
            return False  # l'écoute reprend, et rien n'a changé
        if self._contenu is None:
            self._fin = instant  # cet état dure depuis qu'il est daté ; avant lui, rien n'était encore abonné
        else:
            self._comparer(self._contenu, contenu)
        self._contenu, self._date = contenu, donne
        ligne = [instant, recu, *contenu]
        nommee = dict(zip(self.type_donnee.noms[-len(ligne) :], ligne, strict=True))
        self._lignes[tuple(nommee[nom] for nom in self.type_donnee.rang)] = ligne
        return True

    def _instant_de_reception(self) -> int:
        """L'heure de l'exchange, que le dernier état entendu donne aussi : kraken ne date pas son premier carnet.

        Remesurée après une coupure, elle retarde : d'une seconde chez kraken, qui la dit en secondes.
        """
        if not self._dernier_instant:
            return self.connexion.heure_ms()
        ecoule_ms = max(round(1000 * (self._horloge() - self._entendu_a)), int(self._rompu))
        return max(self.connexion.heure_ms(), self._dernier_instant + ecoule_ms)

    def _comparer(self, avant: Any, apres: Any) -> None:
        """Apprend de deux états qui se suivent ce que ce flux sait dire."""

    @abstractmethod
    def _lire(self, donnee: Any) -> tuple[Any, ...] | None:
        """Les colonnes qui suivent `recu` ; None si l'instantané ne vaut rien."""

    def _sures(self, heure: int) -> list[Lot]:  # noqa: ARG002
        if not self._lignes:
            return []
        recues, self._lignes = sorted(self._lignes.values(), key=lambda ligne: ligne[:2]), {}
        precedents = [self._rendu, *recues]
        # Deux états du même instant n'en font qu'un, qui peut être celui d'avant.
        datees = self.fiche.horodatage != HORODATAGE_RECEPTION
        couples = zip(recues, precedents, strict=False)
        lignes = [li for li, avant in couples if li[2:] != avant[2:] or (datees and li[:1] != avant[:1])]
        if not lignes:
            return []
        self._rendu = lignes[-1]
        debut = self._fin or 0
        self._fin = max(lignes[-1][0] + 1, debut)  # l'écoute a pu reprendre sans que rien n'ait changé
        return [Lot(self.cle, tabler(self.cle, lignes, self.type_donnee), unir([(debut, self._fin)]), [])]


_DU_TRADE = {"last", "close", "baseVolume", "quoteVolume"}
ARRONDI_DE_MOYENNE = 1e-9  # d'un quotient de volumes


class FilTicker(FilInstantanes):
    """Des tickers."""

    type_donnee = TICKER
    _dit_les_prix = False  # le flux a dit un prix d'achat ou de vente qui changeait seul
    # les noms de ccxt, dans l'ordre des colonnes du contrat
    _CHAMPS = (
        "bid", "bidVolume", "ask", "askVolume", "last", "open", "high", "low", "close", "vwap", "baseVolume",
        "quoteVolume", "change", "percentage",
    )  # fmt: skip

    def _lire(self, donnee: Any) -> tuple[Any, ...] | None:
        valeurs = {champ: _en_nombre(donnee.get(champ)) for champ in self._CHAMPS}
        finies = {champ: v if v is not None and math.isfinite(v) else None for champ, v in valeurs.items()}
        bas, haut, vwap = finies["low"], finies["high"], finies["vwap"]
        # D'un inverse de bybit, ccxt divise des bitcoins par des dollars : 0,00006 pour un prix de 16 597.
        if bas is not None and haut is not None and vwap is not None:
            marge = ARRONDI_DE_MOYENNE * abs(haut)
            finies["vwap"] = vwap if bas - marge <= vwap <= haut + marge else None
        return tuple(finies.values()) if any(v is not None for v in finies.values()) else None

    def _comparer(self, avant: Any, apres: Any) -> None:
        """Ce flux dit-il un meilleur prix qui change seul ? coinbaseexchange ne parle qu'à chaque trade."""
        change = {nom for nom, *couple in zip(self._CHAMPS, avant, apres, strict=True) if couple[0] != couple[1]}
        self._dit_les_prix = self._dit_les_prix or (bool(change & {"bid", "ask"}) and not change & _DU_TRADE)

    async def a_bouge(self) -> bool:
        """Seuls décident les champs que les deux voies ont, et dont le flux dit les changements.

        Ce qui porte sur vingt-quatre heures glisse de soi-même, marché calme compris.
        """
        servi = await self.connexion.appeler(f"Ticker {de(self.cle)}", "fetch_ticker", self.cle.symbole)
        vu, neuf = self._contenu, self._lire(servi)
        if vu is None or neuf is None:
            return vu is not neuf
        decisifs = {"last", "close", *(("bid", "ask") if self._dit_les_prix else ())}
        champs = zip(self._CHAMPS, vu, neuf, strict=True)
        communs = [(nom, dit, lu) for nom, dit, lu in champs if dit is not None and lu is not None]
        juges = [(dit, lu) for nom, dit, lu in communs if nom in decisifs] or [(dit, lu) for _, dit, lu in communs]
        return not juges or any(dit != lu for dit, lu in juges)


class FilCarnet(FilInstantanes):
    """Des carnets, coupés à la profondeur demandée ; jamais croisés, jamais tout vides."""

    type_donnee = ORDERBOOK
    croises = 0  # de suite
    _pareils = 0  # états de suite aussi longs des deux côtés, où un niveau du bout a changé

    def rompre(self) -> None:
        super().rompre()
        self.croises = 0

    @property
    def defaut(self) -> str:
        return f"carnet croisé {de(self.cle.symbole)}" if self.croises >= CROISES_MAX else ""

    def _lire(self, donnee: Any) -> tuple[Any, ...] | None:
        cotes = [[(n[0], n[1]) for n in donnee[cote][: self.reglages.profondeur]] for cote in ("bids", "asks")]
        if not any(cotes):
            return None  # l'instantané n'est pas encore arrivé
        if defaut_de_carnet(*cotes):
            self.croises += 1
            self.compteurs.carnets_ecartes += 1
            return None
        self.croises = 0
        nonce = donnee.get("nonce")
        niveaux = [[{"price": prix, "amount": quantite} for prix, quantite in cote] for cote in cotes]
        return (nonce if isinstance(nonce, int) else None, *niveaux)

    def _comparer(self, avant: Any, apres: Any) -> None:
        """Un prix entre, un autre sort au bout, et jamais un de plus ni de moins : l'exchange coupe là ses carnets.

        Un marché peu garni n'a pas toujours autant d'acheteurs que de vendeurs, ni d'un état à l'autre.
        """
        niveaux, *autres = {len(cote) for etat in (avant, apres) for cote in etat[1:]}
        if autres or not COUPE_AU_MOINS <= niveaux < self.reglages.profondeur:
            self._pareils = 0
        elif any(vu[-1]["price"] != neuf[-1]["price"] for vu, neuf in zip(avant[1:], apres[1:], strict=True)):
            self._pareils += 1
            if self._pareils == COUPES_PAREILLES:
                self.connexion.dire_les_niveaux(niveaux, self.reglages.profondeur)

    async def a_bouge(self) -> bool:
        """Un carnet REST peut différer d'un niveau lointain : seul le meilleur prix décide."""
        quoi = f"Carnet {de(self.cle)}"
        limite = self.connexion.particularite.niveaux_a_demander(1, self.serie.marche)
        servi = await self.connexion.appeler(quoi, "fetch_order_book", self.cle.symbole, limite)
        vu, neuf = self._contenu, self._lire(servi)
        return vu is None or neuf is None or [cote[:1] for cote in vu[1:]] != [cote[:1] for cote in neuf[1:]]


# --- Abonnements


COUPURE_TENACE = 6  # erreurs de suite : une adresse fausse, un pare-feu, plutôt qu'un instant de réseau


class _Sante:
    """Ce qu'on dit d'un abonnement : une ligne par changement d'état, les répétitions comptées ; tenace, que faire."""

    def __init__(self, nom: str, horloge: Callable[[], float]) -> None:
        self._nom, self._horloge = nom, horloge
        self._erreurs, self._depuis = 0, 0.0

    def tombe(self, erreur: ErreurCollecte, attente_s: float) -> None:
        """Une coupure, ou une tentative de plus qui échoue."""
        self._erreurs += 1
        cause = str(erreur).rstrip(" .")
        if self._erreurs == 1:
            self._depuis, attente = self._horloge(), duree_lisible(attente_s)
            journal.warning("%s : flux coupé. %s. Reconnexion dans %s.", self._nom, cause, attente)
        elif self._erreurs == COUPURE_TENACE:
            duree = duree_lisible(self._horloge() - self._depuis)
            journal.warning("%s : toujours coupé après %s. %s. %s", self._nom, duree, cause, erreur.conseil)
        else:
            journal.debug("%s : toujours coupé (%s), essai %d.", self._nom, cause, self._erreurs)

    def vit(self) -> None:
        """Des données arrivent."""
        if self._erreurs:
            duree = duree_lisible(self._horloge() - self._depuis)
            journal.info("%s : flux rétabli après %s en %s.", self._nom, nombre_de(self._erreurs, "erreur"), duree)
            self._erreurs = 0


async def remettre_a_l_heure(connexion: Connexion, fils: Sequence[Fil]) -> None:
    """Mesure l'heure de l'exchange ; un REST muet n'arrête rien. Ce qui était en avance sur elle est à reprendre."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(VERIFICATION_MAX_S):
            await connexion.estimer_heure()
    for fil in fils:
        if fil.doute:
            fil.signaler()


class Abonnement:
    """Les fils suivis par une même écoute : la reconnecte sans fin, surveille chaque symbole, écarte les refusés.

    Un refus vise souvent toute la connexion (okx) : le groupe est coupé en deux jusqu'à isoler le fautif.
    """

    def __init__(self, flux: Flux, canal: str, fils: Sequence[Fil], *, groupe: bool) -> None:
        self._flux, self._canal, self._groupe = flux, canal, groupe
        self._connexion = flux.connexion
        self._par_symbole = {fil.cle.symbole: fil for fil in fils}
        noms = ", ".join(list(self._par_symbole)[:NOMS_DITS]) + ("…" if len(fils) > NOMS_DITS else "")
        self._horloge = asyncio.get_running_loop().time
        self._sante = _Sante(noms, self._horloge)
        self._vivant = False  # des données sont arrivées par l'écoute en cours
        self._servi = False  # une écoute d'avant, de cette forme, a fini autrement que par un refus
        self._premiere = True
        self._progres: dict[str, float] = {}
        self._verifications = asyncio.Semaphore(VERIFICATIONS_DE_FRONT)
        self._entendus: set[str] = set()  # les symboles qui ont parlé par l'écoute en cours
        self._muets: collections.Counter[str] = collections.Counter()  # fois où un symbole fut muet parmi des vivants
        self._patiences: dict[str, float] = {}

    @property
    def _fils(self) -> list[Fil]:
        return list(self._par_symbole.values())

    async def suivre(self) -> None:
        """Suit jusqu'à l'annulation, ou jusqu'à ce que tout soit refusé."""
        delais, refus, refuse_depuis = delais_backoff(), 0, 0.0
        while True:
            debut = self._horloge()
            erreur = await self._une_ecoute()
            saine = self._horloge() - debut >= ECOUTE_SAINE_S
            if self._vivant:
                delais = delais_backoff()  # des données ont vraiment coulé
                refus = 0 if saine else refus
            definitive = isinstance(erreur, (ErreurDefinitive, ErreurDemande))
            refusee = definitive or isinstance(erreur, RefusProbable)
            if (self._vivant or saine) and not refusee:
                self._servi = True
                for fil in self._fils:
                    fil.admis = True  # muet, il fut écouté avec eux
            refuse_depuis = refuse_depuis if refus else debut
            refus = refus + 1 if refusee else 0
            permis = self._refus_permis(erreur, definitive=definitive)
            if refus >= permis or (refus and self._horloge() - refuse_depuis >= REFUS_MAX_S):
                if not self._ceder(erreur):
                    return
                refus, self._servi = 0, False
                continue
            attente = getattr(erreur, "attente_s", None) or next(delais)
            self._sante.tombe(erreur, attente)
            if not self._vivant and (permis > REFUS_DE_SUITE_MAX or not refus):
                for fil in self._fils:
                    fil.relancer()  # une poignée de main qui échoue sans fin n'empêche pas de lire par REST
            await pause(min(attente, ATTENTE_MAX_S))

    def _refus_permis(self, erreur: ErreurCollecte, *, definitive: bool) -> float:
        """Combien de refus de suite avant de céder."""
        plusieurs, cause_dite = len(self._par_symbole) > 1, erreur.conseil in (_CONSEIL_CLES, _CONSEIL_PAYS)
        # Un exchange qui redémarre refuse un moment tout abonnement (bybit : « handler not found »). Après des données,
        # c'est une trame qui ne se lit pas.
        if not (self._vivant or cause_dite) and (self._servi if plusieurs else self._fils[0].admis):
            return REFUS_PASSAGERS_MAX if plusieurs else math.inf
        # À plusieurs, les données des autres ne disent rien de celui qui est refusé ; se couper en deux coûte peu.
        vite = not self._groupe or definitive if plusieurs else definitive and not self._vivant
        return 1 if vite else REFUS_DE_SUITE_MAX

    def _ceder(self, erreur: ErreurCollecte) -> bool:
        """L'exchange refuse : un par un au lieu de groupés, puis par moitiés, puis ce symbole seul est abandonné.

        Vrai si cet abonnement continue.
        """
        fils = self._fils
        for fil in fils:
            if not fil.admis:
                fil.renegocier()
        if erreur.conseil in (_CONSEIL_CLES, _CONSEIL_PAYS):  # ce n'est pas la faute d'un symbole
            for fil in fils:
                fil.refuser(erreur)
        elif self._groupe:
            self._groupe = False
            journal.info("%s : abonnement groupé refusé, un abonnement par symbole. %s", self._canal, erreur)
            return True
        elif isinstance(erreur, CanalInconnu) and self._flux.replier(self._canal, fils):
            journal.warning("%s", erreur)
        elif len(fils) > 1:
            milieu = len(fils) // 2
            for moitie in (fils[:milieu], fils[milieu:]):
                self._flux.abonner(self._canal, moitie, groupe=False)
        else:
            fils[0].refuser(erreur)
        return False

    async def _une_ecoute(self) -> ErreurCollecte:
        """Ouvre une écoute et la suit jusqu'à sa première erreur, qu'elle rend."""
        ecoute: Ecoute | None = None
        self._vivant = False
        self._entendus.clear()
        try:
            if not self._premiere:
                for fil in self._fils:
                    fil.compteurs.reconnexions += 1
                await remettre_a_l_heure(self._connexion, self._fils)
            self._premiere = False
            for fil in self._fils:
                fil.ecouter()
            series = [fil.serie for fil in self._fils]
            ecoute = Ecoute(self._connexion, self._canal, series, self._recevoir, self._decaler)
            maintenant = self._horloge()
            propre = self._connexion.particularite
            attentes = attentes_d_abonnement(propre, self._par_symbole, groupe=self._groupe)
            self._progres = {symbole: maintenant + attente_s for symbole, attente_s in attentes.items()}
            async with pendant(self._surveiller(ecoute)):
                await ecoute.suivre(groupe=self._groupe)
        except Exception as erreur:  # noqa: BLE001  l'imprévu est une panne comme une autre : dit, puis réessayé
            return traduire(erreur, f"Flux {self._canal}", self._connexion.heure_ms())
        finally:
            if ecoute is not None:
                ecoute.fermer()  # ses dernières trames sont encore d'avant la rupture
            for fil in self._fils:
                fil.rompre()
        return ErreurTemporaire("abonnement fini")

    def _decaler(self, symbole: str) -> None:
        """Le carnet de ce symbole a perdu une trame : ce qui suivra ne prolonge pas ce qui précède."""
        if fil := self._par_symbole.get(symbole):
            fil.compteurs.carnets_ecartes += 1
            fil.rompre()

    def _recevoir(self, symbole: str, donnees: Sequence[Any], recu: int) -> None:
        fil = self._par_symbole.get(symbole)
        if fil is None:
            return  # il est suivi par une autre connexion
        avant = fil.recus
        self._entendus.add(symbole)
        fil.recevoir(donnees, recu)
        if fil.recus != avant:
            fil.admis = True
            self._progres[symbole] = self._horloge()
            self._patiences.pop(symbole, None)
            if not self._vivant:
                self._vivant = True
                self._sante.vit()

    # --- surveillance

    async def _surveiller(self, ecoute: Ecoute) -> None:
        """Un symbole muet est vérifié par REST : marché calme, on patiente ; marché vivant, l'écoute est morte."""
        mesure = 0.0
        while True:
            await pause(RONDE_S)
            if any(fil.doute for fil in self._fils) and self._horloge() >= mesure:
                mesure = self._horloge() + PAS_DE_GRACE_S
                await remettre_a_l_heure(self._connexion, self._fils)
            for fil in self._fils:
                if fil.defaut:
                    ecoute.couper(fil.defaut)
            silencieux = [fil for fil in self._fils if self._silence_s(fil) > self._patience(fil)]
            morts = await asyncio.gather(*(self._est_mort(fil) for fil in silencieux))
            self._traiter_les_muets(list(itertools.compress(silencieux, morts)), ecoute)

    def _silence_s(self, fil: Fil) -> float:
        return self._horloge() - self._progres[fil.cle.symbole]

    def _traiter_les_muets(self, muets: Sequence[Fil], ecoute: Ecoute) -> None:
        """Reconnecte ; mais deux fois muet quand ses voisins parlent, un symbole n'a pas sa place sur leur connexion.

        bithumb n'y garde que le dernier abonné, mexc les trente premiers : les autres partent à autant qu'il en vit.
        """
        vivants = [fil for fil in self._fils if fil.cle.symbole in self._entendus and fil not in muets]
        if vivants:
            self._muets.update(fil.cle.symbole for fil in muets)
        a_part = [fil for fil in muets if self._muets[fil.cle.symbole] >= MUETS_MAX and vivants]
        for debut in range(0, len(a_part), max(1, len(vivants))):
            partants = a_part[debut : debut + len(vivants)]
            for fil in partants:
                del self._par_symbole[fil.cle.symbole]
            noms = ", ".join(fil.cle.symbole for fil in partants)
            journal.info("%s : muet à côté de %d autres ; suivi par une autre connexion.", noms, len(vivants))
            self._flux.abonner(self._canal, partants, groupe=self._groupe)
        for fil in muets:
            if fil not in a_part:
                ecoute.couper(f"plus rien {de(fil.cle.symbole)} depuis {duree_lisible(self._silence_s(fil))}")

    def _patience(self, fil: Fil) -> float:
        return self._patiences.get(fil.cle.symbole, max(SILENCE_MIN_S, fil.reglages.silence_s))

    async def _est_mort(self, fil: Fil) -> bool:
        """Vrai si le marché a bougé sans que le flux le dise."""
        recus = fil.recus
        try:
            async with self._verifications, asyncio.timeout(VERIFICATION_MAX_S):
                await self._connexion.estimer_heure()  # l'heure ne venait plus que du flux
                mort = await fil.a_bouge()
        except Exception as erreur:  # noqa: BLE001  quelle qu'en soit la cause, le doute se lève en se reconnectant
            journal.debug("%s : silence invérifiable. %s", fil.cle, erreur)
            mort = True
        if mort:
            await pause(RONDE_S)  # le flux allait peut-être le dire
        if fil.recus != recus:
            return False  # il a parlé entre-temps
        fil.rattraper()
        # Tant qu'il ne parle pas, on l'interroge de moins en moins : ni rafale de REST, ni réabonnements en boucle.
        self._patiences[fil.cle.symbole] = min(SILENCE_MAX_S, 2 * self._patience(fil))
        if not mort:
            self._progres[fil.cle.symbole] = self._horloge()
        return mort


# --- Le flux entier


class Flux:
    """La source en direct d'une tâche : les fils, leurs abonnements, et leurs lots à mesure qu'ils sont sûrs.

    `canal` None : aucun canal ne convient, les bougies sont lues par REST juste après chaque clôture.
    """

    def __init__(self, connexion: Connexion, canal: str | None, fils: Sequence[Fil]) -> None:
        self.connexion, self._canal, self.fils = connexion, canal, list(fils)
        self._reveil = asyncio.Event()
        self._taches: set[asyncio.Task[None]] = set()
        self._echec: BaseException | None = None
        self._restes: list[Lot] = []  # sûrs, sauvés avant de fermer les écoutes
        self._echeance = 0  # aucun fil n'en a de plus tôt, à moins d'être à collecter
        for fil in self.fils:
            fil.reveiller = self._reveil.set

    def demarrer(self) -> None:
        """Lance les abonnements, ou la lecture par REST."""
        if self._canal is None:
            self._lancer(self._sonder(self._bougies(self.fils)))
        else:
            self._repartir(self._canal, self.fils)

    @staticmethod
    def _bougies(fils: Sequence[Fil]) -> list[FilBougies]:
        return [fil for fil in fils if isinstance(fil, FilBougies)]

    def _repartir(self, canal: str, fils: Sequence[Fil]) -> None:
        """Autant d'écoutes qu'il faut : d'un même type de marché (binance et bybit l'exigent), de cent fils au plus."""
        groupable = bool(self.connexion.api.has.get(CANAUX[canal].groupe))
        par_nature: dict[NatureMarche, list[Fil]] = collections.defaultdict(list)
        for fil in fils:
            par_nature[fil.serie.nature].append(fil)
        for semblables in par_nature.values():
            for debut in range(0, len(semblables), FILS_PAR_ECOUTE):
                ensemble = semblables[debut : debut + FILS_PAR_ECOUTE]
                self.abonner(canal, ensemble, groupe=groupable and len(ensemble) > 1)

    def abonner(self, canal: str, fils: Sequence[Fil], *, groupe: bool) -> None:
        """Lance une écoute de plus."""
        self._lancer(Abonnement(self, canal, fils, groupe=groupe).suivre())

    def replier(self, canal: str, fils: Sequence[Fil]) -> bool:
        """Des bougies que la classe ne suit pas sont faites de ses trades, sinon lues par REST ; vrai si c'est fait."""
        bougies = self._bougies(fils)
        if not bougies:
            return False
        if canal == "ohlcv" and "trades" in self.connexion.canaux_offerts():
            for fil in bougies:
                fil.faire_des_trades(None)
            self._repartir("trades", fils)
        else:
            self._lancer(self._sonder(bougies))
        return True

    def _lancer(self, coroutine: Coroutine[Any, Any, None]) -> None:
        tache = asyncio.ensure_future(coroutine)
        self._taches.add(tache)
        tache.add_done_callback(self._finie)

    def _finie(self, tache: asyncio.Task[None]) -> None:
        self._taches.discard(tache)
        if not tache.cancelled() and tache.exception() is not None:
            self._echec = self._echec or tache.exception()
        self._reveil.set()

    async def _sonder(self, tous: Sequence[FilBougies]) -> None:
        """Relit ces séries par REST juste après chaque clôture ; celle qui vient à manquer, peu après."""
        for fil in tous:
            fil.ecouter()
        delais = delais_backoff(RELANCE_RATTRAPAGE_S)
        while fils := [fil for fil in tous if fil.refus is None]:
            await self.connexion.estimer_heure()
            close = self.connexion.heure_ms() - fils[0].reglages.plage.grace_ms
            await asyncio.gather(*(fil.rattraper() for fil in fils))
            for fil in fils:
                if isinstance(fil.echec, ErreurDefinitive):
                    fil.refuser(fil.echec)
            heure = self.connexion.heure_ms()
            prochaine = min(fil.serie.timeframe.avancer(heure, 1) + fil.reglages.plage.grace_ms for fil in fils)
            attente = max(RONDE_S, (prochaine - heure) / 1000)
            if not any(fil.couverture.manques(close) for fil in fils):
                delais = delais_backoff(RELANCE_RATTRAPAGE_S)
            else:
                attente = min(attente, next(delais))
            await pause(attente)

    @property
    def vivant(self) -> bool:
        """Faux quand plus aucun abonnement ne court : tout a été refusé."""
        return bool(self._taches)

    async def suivants(self, plafond_s: float) -> list[Lot]:
        """Les lots devenus sûrs ; attend le premier au plus `plafond_s`. Relève l'erreur qui aurait arrêté le flux."""
        heure = self.connexion.heure_ms()
        await attendre(self._reveil, min(plafond_s, (self._echeance - heure) / 1000))
        self._reveil.clear()
        if self._echec is not None:
            erreur = self._echec
            raise traduire(erreur, "Flux", heure) if isinstance(erreur, Exception) else erreur
        return self.collecter()

    def collecter(self) -> list[Lot]:
        """Ce qui est sûr à cette heure de l'exchange, sans attendre."""
        heure = self.connexion.heure_ms()
        lots, self._restes = self._restes, []
        echu = heure >= self._echeance
        if echu:
            self._echeance = INSTANT_MAX_MS
        for fil in self.fils:
            if fil.a_collecter or fil.prets or (echu and fil.echeance() <= heure):
                lots += fil.collecter(heure)
            elif not echu:
                continue  # à deux cents, une échéance de chacun à chaque trame coûterait plus que la trame
            self._echeance = min(self._echeance, fil.echeance())
        return lots

    async def _fermer_les_ecoutes(self) -> None:
        """Ce qui est sûr est d'abord mis de côté : fermer une écoute fait oublier ce qui ne l'est pas."""
        self._restes = self.collecter()
        while self._taches:  # une ronde en lance peut-être une encore (un symbole muet, mis à part)
            await abandonner(*self._taches)

    async def arreter(self) -> None:
        """Ferme les écoutes ; ce qui est reçu reste à collecter, avec les trous de ce qui ne le sera plus."""
        for fil in self.fils:
            fil.arrete = True
        await self._fermer_les_ecoutes()
        for fil in self.fils:
            await fil.arreter()
        self._echeance = 0  # rien n'est plus retenu

    async def conclure(self, plafond_s: float = FIN_MAX_S) -> list[Lot]:
        """La durée est écoulée : relit par REST ce qui manque encore, et rend tout ce qui est sûr."""
        if any(fil.doute for fil in self.fils):  # ce que l'écoute a dit en dernier vient avant sa fermeture
            await remettre_a_l_heure(self.connexion, self.fils)
        for fil in self.fils:
            fil.conclut = True
            if fil.refus is None:  # jusqu'à ce qu'une relecture dise le contraire
                fil.echec = ErreurTemporaire("abandonné")
        await self._fermer_les_ecoutes()
        async with pendant(self._tout_relire(plafond_s)) as relecture:
            await self._patienter(relecture, plafond_s)
            if relecture.done():
                relecture.result()
        await self.arreter()
        return self.collecter()

    async def _patienter(self, relecture: asyncio.Future[None], plafond_s: float) -> None:
        """Attend cette relecture : cinq cents symboles n'ont pas fini en vingt secondes.

        Un exchange qui ne répond plus n'est pas attendu. La pause qu'il impose n'est pas un silence ; plus longue que
        ce qui reste de temps, elle n'est pas attendue non plus.
        """
        horloge, frein = asyncio.get_running_loop().time, self.connexion.api.frein
        limite, reponses = horloge() + FIN_TOTALE_MAX_S, self.connexion.reponses
        patience = min(limite, horloge() + plafond_s)
        if not (await asyncio.wait([relecture], timeout=min(plafond_s / 2, ANNONCE_DE_FIN_S)))[0]:
            duree = duree_lisible(FIN_TOTALE_MAX_S)
            journal.info("Durée écoulée : ce qui manque encore est relu par REST, en %s au plus.", duree)
        while not relecture.done() and (instant := horloge()) < patience and instant + frein.reste_s < limite:
            await asyncio.wait([relecture], timeout=min(PAS_DE_FIN_S, patience - instant))
            if self.connexion.reponses != reponses or frein.reste_s:
                reponses = self.connexion.reponses
                patience = min(limite, horloge() + frein.reste_s + plafond_s)

    async def _tout_relire(self, plafond_s: float) -> None:
        """Quand tout ce qui est rendu peut être relu ; une grâce plus longue ne prend pas le temps de relire."""
        await self.connexion.estimer_heure()
        horloge = asyncio.get_running_loop().time
        limite = horloge() + plafond_s / 2
        while (reste_s := max((fil.reste_de_grace_s() for fil in self.fils), default=0.0)) > 0 and horloge() < limite:
            await pause(min(reste_s, PAS_DE_GRACE_S, limite - horloge()))
            await self.connexion.estimer_heure()
        await asyncio.gather(*(fil.rattraper_a_fond() for fil in self.fils if fil.refus is None))


# ----------------------------------------------------------------------------------------------------------------------
# § 10  Options et tâches
# ----------------------------------------------------------------------------------------------------------------------
#
# Une option est déclarée une fois, dans un champ ci-dessous : de là viennent le drapeau, la clé YAML, le contrôle,
# l'aide et la ligne de docs/options.md. Ajouter une option : un champ, et rien ailleurs.

Lire = Callable[[Any], Any]
DOSSIER_SORTIES = Path("donnees")
NIVEAUX = ("debug", "info", "warning", "error")


def option(  # noqa: PLR0913  c'est l'objet d'options lui-même
    defaut: Any = None,
    *,
    aide: str,
    groupe: str,
    lire: Lire | None = None,
    choix: Iterable[str] = (),
    valeur: str = "",
    defaut_aide: str = "",
    synonymes: Sequence[str] = (),
    secret: bool = False,
) -> Any:
    """Déclare une option.

    `lire` convertit et contrôle une valeur de n'importe quelle origine, ou lève ValueError avec une phrase (d'office :
    l'un des `choix`) ; `valeur` : son nom dans l'aide ; `defaut_aide` : le défaut, dit, quand il se calcule ;
    `secret` : absente du repr.
    """
    permis = tuple(choix)
    renseignements = {
        "lire": lire or lire_choix(permis), "aide": aide, "groupe": groupe, "choix": permis, "valeur": valeur,
        "defaut_aide": defaut_aide, "synonymes": tuple(synonymes), "secret": secret,
    }  # fmt: skip
    fabrique: Any = {"default_factory": dict} if defaut == {} else {"default": defaut}
    return field(metadata=renseignements, **fabrique)


# --- Lecteurs : d'une valeur (texte, YAML, Python) à la bonne, ou ValueError ---


_CONTROLE = r"[\x00-\x1f\x7f-\x9f\u2028\u2029]"


def lire_texte(valeur: Any) -> str:
    """Un texte non vide, sur une ligne."""
    texte = str(valeur).strip()
    if not texte or valeur is None or isinstance(valeur, bool | dict | list):
        raise ValueError("un texte non vide est attendu")
    if re.search(_CONTROLE, texte):
        raise ValueError(f"« {neutraliser(texte)} » contient un caractère de contrôle : une seule ligne est attendue")
    return texte


def lire_entier(minimum: int = 1, maximum: int = 10**9) -> Lire:
    """Un entier entre deux bornes ; « 10_000 » est accepté."""

    def lire(valeur: Any) -> int:
        texte = str(valeur).strip()
        if isinstance(valeur, bool) or not re.fullmatch(r"[+-]?(?=.{1,30}$)\d+(_\d+)*", texte):
            raise ValueError(f"un entier est attendu, pas « {valeur} »")
        if not minimum <= int(texte) <= maximum:
            raise ValueError(f"{int(texte)} n'est pas entre {minimum} et {maximum}")
        return int(texte)

    return lire


def lire_secondes(maximum: float = math.inf) -> Lire:
    """Une durée en secondes, positive ou nulle."""

    def lire(valeur: Any) -> float:
        try:
            secondes = float(valeur)
        except (TypeError, ValueError, OverflowError):
            secondes = math.nan
        if isinstance(valeur, bool) or not 0 <= secondes < math.inf:
            raise ValueError(f"un nombre de secondes est attendu, pas « {valeur} »")
        if secondes > maximum:
            raise ValueError(f"{valeur} s dépasse {duree_lisible(maximum)}")
        return secondes

    return lire


lire_grace = lire_secondes(86_400.0)  # un retard d'un jour ; au-delà, l'intervalle demandé sortirait du calendrier

_BOOLEENS = {**dict.fromkeys(("true", "oui", "yes", "on"), True), **dict.fromkeys(("false", "non", "no", "off"), False)}


def lire_booleen(valeur: Any) -> bool:
    """Un booléen, ou ses façons de s'écrire en YAML."""
    if isinstance(valeur, bool):
        return valeur
    lu = _BOOLEENS.get(str(valeur).strip().lower())
    if lu is None:
        raise ValueError(f"true ou false est attendu, pas « {valeur} »")
    return lu


def lire_choix(choix: Iterable[str]) -> Lire:
    """Une valeur parmi celles-là."""
    permis = list(choix)

    def lire(valeur: Any) -> str:
        if valeur in permis:
            return str(valeur)
        phrase = f"« {valeur} » n'est pas permis (choix : {', '.join(permis)})."
        raise ValueError(f"{phrase} {proches(str(valeur), permis, 1)}".strip())

    return lire


def lire_plusieurs(lire_un: Lire, quoi: str) -> Lire:
    """Une liste, ou des éléments séparés par des virgules, chacun lu par `lire_un` ; les répétitions sont ôtées."""

    def lire(valeur: Any) -> tuple[str, ...]:
        if isinstance(valeur, bool | Mapping):
            raise ValueError(f"au moins un {quoi} est attendu, pas « {valeur} »")
        elements = valeur if isinstance(valeur, Iterable) and not isinstance(valeur, str) else str(valeur).split(",")
        lus: dict[str, None] = {}
        fautes: dict[str, None] = {}
        for element in elements:
            try:
                lus |= {lire_un(element): None} if str(element).strip() else {}
            except ValueError as erreur:
                fautes[str(erreur)] = None
        if fautes or not lus:
            raise ValueError(" ; ".join(fautes) or f"au moins un {quoi} est attendu")
        return tuple(lus)

    return lire


def lire_code_timeframe(valeur: Any) -> str:
    """Un timeframe bien formé ; que l'exchange le serve se vérifie plus tard."""
    if "," in str(valeur):
        raise ValueError(f"plusieurs timeframes se donnent par « timeframes » (--timeframes {valeur})")
    return Timeframe.lire(str(valeur).strip()).code


PLUSIEURS_SYMBOLES = "plusieurs symboles se donnent par « symbols » (--symbols {})"


def lire_symbole(valeur: Any) -> str:
    """Un symbole, tel qu'écrit ; que l'exchange le connaisse se vérifie plus tard."""
    if isinstance(valeur, list):
        raise ValueError(PLUSIEURS_SYMBOLES.format(",".join(map(str, valeur))))
    return lire_texte(valeur)


def lire_date(valeur: Any) -> int:
    """Un instant ; un relatif se compte depuis maintenant."""
    return lire_instant(valeur, maintenant_ms())


def lire_objet(valeur: Any) -> dict[str, Any]:
    """Un dictionnaire, ou un objet JSON."""
    try:
        objet = dict(valeur) if isinstance(valeur, Mapping) else json.loads(str(valeur), parse_constant=_pas_du_json)
    except json.JSONDecodeError as erreur:
        raise ValueError(f"un objet JSON est attendu (celui-ci ne se lit plus au caractère {erreur.pos + 1})") from None
    except RecursionError:
        raise ValueError("un objet JSON moins imbriqué est attendu") from None
    if not isinstance(objet, dict) or not all(isinstance(cle, str) for cle in objet):
        raise ValueError('un objet JSON est attendu, comme {"cle": "valeur"}')
    if configuration := annexe_ou_rien("configuration"):
        configuration.controler_imbrication(objet)
    return objet


def _pas_du_json(nom: str) -> Any:
    raise ValueError(f"« {nom} » n'est pas un nombre JSON")


def lire_objet_ou_fichier(valeur: Any) -> dict[str, Any]:
    """Un objet JSON, ou `@fichier.json`."""
    if isinstance(valeur, str) and valeur.startswith("@"):
        return lire_objet(annexe("configuration", "Un « @fichier »").lire_fichier(lire_dossier(valeur[1:])))
    return lire_objet(valeur)


def lire_params(valeur: Any) -> dict[str, Any]:
    """Un objet JSON, sans ce qui changerait la série elle-même."""
    return dict(annexe("configuration", "--params").controler_params(lire_objet(valeur)))


def lire_proxy(valeur: Any) -> str:
    """Une URL http, https ou socks5."""
    texte = lire_texte(valeur)
    if not re.fullmatch(r"(https?|socks[45]h?)://\S+", texte):
        raise ValueError("une URL http://, https:// ou socks5:// est attendue")
    return texte


NOM_MAX = 200  # octets ; à côté du fichier, « .corrompu-<date> » ou « .fiche.json.<pid>.tmp » : les systèmes en ont 255

CHEMIN_MAX = 3_800  # octets, pour la même raison : Linux en a 4096


def lire_chemin(valeur: Any) -> Path:
    """Un chemin de fichier ; `~` est développé."""
    chemin = lire_dossier(valeur)
    if chemin.name in ("", ".."):
        raise ValueError(f"« {chemin} » est un dossier : un nom de fichier est attendu")
    if (octets := len(chemin.name.encode())) > NOM_MAX:
        raise ValueError(f"le nom « {chemin.name[:20]}… » est trop long : {octets} octets, {NOM_MAX} au plus")
    return chemin


def lire_chemin_a_ecrire(valeur: Any) -> Path:
    """Un chemin de fichier, qu'on remplacera : ce qui l'empêche se dit avant tout travail."""
    chemin = lire_chemin(valeur)
    if objection := _objection(chemin):
        raise ValueError(objection)
    return chemin


def lire_dossier(valeur: Any) -> Path:
    """Un chemin ; `~` est développé."""
    texte = lire_texte(valeur)
    try:
        if len(texte.encode()) <= CHEMIN_MAX:
            return Path(texte).expanduser()
        raise ValueError(f"le chemin « {texte[:20]}… » est trop long : {CHEMIN_MAX} octets au plus")
    except UnicodeEncodeError:
        raise ValueError(f"« {neutraliser(texte)} » n'est pas de l'UTF-8") from None
    except RuntimeError:
        raise ValueError(f"« {texte.partition('/')[0]} » ne désigne le dossier d'aucun utilisateur") from None


def lire_chemin_de_sortie(valeur: Any) -> Path:
    """Le chemin d'un fichier ; ni un dossier, ni la sortie standard."""
    texte = lire_texte(valeur)
    if texte == "-":
        raise ValueError("stdout ne peut tenir une sortie, qui se relit pour continuer : donnez un fichier")
    if texte.endswith(("/", os.sep)):
        raise ValueError(f"« {texte} » est un dossier : donnez un nom de fichier, comme {texte}marche.parquet")
    return lire_chemin(texte)


def lire_chemin_html(valeur: Any) -> Path:
    """Un chemin de page ; l'extension évite d'écraser par elle des données."""
    chemin = lire_chemin(valeur)
    if chemin.suffix.lower() not in (".html", ".htm"):
        raise ValueError(f"une page .html est attendue, pas « {valeur} »")
    return chemin


def lire_identifiant_sql(valeur: Any) -> str:
    """Un nom de table."""
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,62}", str(valeur)):
        raise ValueError(f"« {valeur} » n'est pas un nom de table (lettres sans accent, chiffres et _, 63 au plus)")
    return str(valeur)


# Y écrire un autre format, même demandé, ferait un fichier que son nom trahit.
EXTENSIONS_ETRANGERES = frozenset(
    (".xlsx", ".xls", ".json", ".jsonl", ".html", ".htm", ".pdf", ".zip", ".gz", ".zst", ".bz2", ".xz", ".7z", ".tar")
)
COMPRESSIONS = sorted({codec for ecrivain in ECRIVAINS.values() for codec in ecrivain.compressions})


def memes_fichiers(options: Any, *noms: str) -> Iterator[tuple[tuple[str, ...], str]]:
    """Les fautes de celles de ces options qui désignent un même fichier, fût-ce par deux chemins."""
    dits = [(nom, os.path.realpath(chemin)) for nom in noms if (chemin := getattr(options, nom))]
    for (premier, chemin), (second, autre) in itertools.combinations(dits, 2):
        if chemin == autre:
            yield (second, premier), f"c'est aussi {drapeau(premier)}, qu'il écraserait"


# fmt: off
@dataclass(frozen=True, kw_only=True, repr=False)
class Tache:
    """Un téléchargement : quoi, sur quel intervalle, vers où. Se construit par `construire`, qui contrôle tout."""

    exchange: str = option("binance", lire=lire_texte, groupe="marché", valeur="ID",
        aide="identifiant ccxt de l'exchange")
    type_marche: str = option("spot", choix=TYPES_MARCHE, groupe="marché",
        aide="type de marché")
    sous_type: str | None = option(choix=SOUS_TYPES, groupe="marché",
        aide="sous-type d'un contrat")
    mode_marge: str | None = option(choix=MODES_MARGE, groupe="marché",
        aide="mode de marge")
    symbole: str | None = option(lire=lire_symbole, groupe="marché", valeur="SYMBOLE",
        aide="symbole unifié ccxt (BTC/USDT, BTC/USDT:USDT)")
    symbols: tuple[str, ...] = option((), lire=lire_plusieurs(lire_texte, "symbole"), groupe="marché", valeur="A,B",
        synonymes=("symboles",), aide="plusieurs symboles, séparés par des virgules")
    donnee: str = option("ohlcv", choix=HISTOIRES, groupe="marché",
        aide="ce que l'historique lit, sans --stream")
    timeframe: str = option("1m", lire=lire_code_timeframe, groupe="marché", valeur="TF",
        aide="durée d'une bougie (1m, 1h, 1d, 1w, 1M)")
    timeframes: tuple[str, ...] = option((), lire=lire_plusieurs(lire_code_timeframe, "timeframe"), groupe="marché",
        valeur="A,B", aide="plusieurs timeframes, l'un après l'autre ; un fichier chacun, ou une base SQLite")
    prix_ohlcv: str = option("last", choix=PRIX, groupe="marché",
        aide="prix des bougies")
    date_debut: int | None = option(lire=lire_date, groupe="intervalle", valeur="DATE",
        defaut_aide="la suite du fichier, sinon la page la plus récente",
        aide="premier instant, inclus : ISO 8601 (UTC sans fuseau), ms epoch, ou relatif (-7j, -12h, -30m)")
    date_fin: int | None = option(lire=lire_date, groupe="intervalle", valeur="DATE",
        defaut_aide="la dernière bougie close", aide="dernier instant, exclu")
    inclure_bougie_courante: bool = option(False, lire=lire_booleen, groupe="intervalle",
        aide="garder la bougie non close")
    source: str = option(API, choix=SOURCES, groupe="intervalle",
        aide="d'où : l'API ; les fichiers publics de l'exchange, l'API pour le reste ; ou le moins cher des deux")
    relecture: int = option(2, lire=lire_entier(0, 10_000), groupe="intervalle", valeur="N",
        aide="dernières bougies relues à chaque reprise (révisions tardives)")
    grace: float = option(2.0, lire=lire_grace, groupe="intervalle", valeur="S",
        aide="retard admis d'un trade, et secondes avant de tenir une bougie pour close")
    stream: str | None = option(choix=FLUX, groupe="flux",
        aide="suit en direct au lieu de lire l'historique")
    trades_vers_ohlcv: bool = option(False, lire=lire_booleen, groupe="flux",
        aide="agrège en bougies les trades du flux (--stream trades) ou de l'histoire (--donnee trades)")
    duree: float | None = option(lire=lire_secondes(), groupe="flux", valeur="S",
        defaut_aide="sans fin", aide="secondes à suivre")
    flush: int = option(20, lire=lire_entier(), groupe="flux", valeur="N",
        aide="lignes gardées avant écriture, 5 s au plus")
    profondeur: int = option(20, lire=lire_entier(1, 5_000), groupe="flux", valeur="N",
        aide="niveaux du carnet")
    bougies_vides: str = option("omettre", choix=BOUGIES_VIDES, groupe="flux",
        aide="minutes sans trade, agrégées de trades : absentes, ou plates à la clôture précédente")
    silence: float = option(60.0, lire=lire_secondes(), groupe="flux", valeur="S",
        aide="secondes sans donnée fraîche d'un symbole avant de vérifier et de se reconnecter")
    limite: int | None = option(lire=lire_entier(), groupe="requêtes", valeur="N",
        defaut_aide="maximum de l'exchange", aide="bougies par requête")
    concurrence: int = option(EN_VOL, lire=lire_entier(1, 64), groupe="requêtes", valeur="N",
        aide="pages REST en vol, toujours sous la limite de débit de l'exchange")
    essais: int = option(8, lire=lire_entier(1, 100), groupe="requêtes", valeur="N",
        aide="essais par requête")
    timeout: int = option(30_000, lire=lire_entier(1), groupe="requêtes", valeur="MS",
        aide="délai d'une requête, en ms")
    proxy: str | None = option(lire=lire_proxy, groupe="requêtes", valeur="URL", secret=True,
        aide="proxy http(s) ou socks5")
    format: str | None = option(choix=ECRIVAINS, groupe="sortie",
        defaut_aide="d'après l'extension de --sortie, sinon csv",
        aide="format du fichier ; avec --lister : json ou csv")
    sortie: Path | None = option(lire=lire_chemin_de_sortie, groupe="sortie", valeur="CHEMIN",
        defaut_aide="nom stable sous donnees/",
        aide="fichier à écrire, ou à continuer ; {timeframe} y est remplacé")
    sqlite_table: str | None = option(lire=lire_identifiant_sql, groupe="sortie", valeur="NOM",
        defaut_aide="ohlcv, ou le nom du flux", aide="table SQLite")
    compression: str | None = option(choix=COMPRESSIONS, groupe="sortie",
        defaut_aide="zstd en Parquet et Feather, aucune en CSV", aide="codec du format")
    sandbox: bool = option(False, lire=lire_booleen, groupe="connexion",
        aide="banc d'essai officiel de l'exchange")
    hors_ligne: bool = option(False, lire=lire_booleen, groupe="connexion",
        aide="l'exchange embarqué répond à la place du vrai, sans réseau ni clé")
    options: Mapping[str, Any] = option({}, lire=lire_objet, groupe="connexion", valeur="JSON", secret=True,
        aide="options de ccxt")
    params: Mapping[str, Any] = option({}, lire=lire_params, groupe="connexion", valeur="JSON", secret=True,
        aide="paramètres ajoutés à chaque requête")
    config_ccxt: Mapping[str, Any] = option({}, lire=lire_objet_ou_fichier, groupe="connexion", valeur="JSON",
        secret=True, aide="configuration fondue dans celle du constructeur ccxt : objet JSON, ou @fichier.json")

    def __repr__(self) -> str:
        dites = (f"{c.name}={'…' if c.metadata['secret'] else repr(v)}" for c, v in options_dites(self))
        return f"{type(self).__name__}({', '.join(dites)})"

    @property
    def demandes(self) -> tuple[str, ...]:
        """Les symboles demandés, dans l'ordre."""
        return (self.symbole,) if self.symbole else self.symbols

    def fautes(self) -> Iterator[tuple[tuple[str, ...], str]]:
        """Les fautes qui tiennent à plusieurs options ensemble : (options en cause, la fautive d'abord ; phrase)."""
        if not self.demandes:
            yield ("symbole", "symbols"), "un symbole est demandé (exemple : BTC/USDT)"
        if self.symbole and "," in self.symbole:
            yield ("symbole",), PLUSIEURS_SYMBOLES.format(self.symbole)
        if self.date_debut is not None and self.date_debut > maintenant_ms():
            dite = en_iso(self.date_debut) if self.date_debut < INSTANT_MAX_MS else "cette date, d'après 2199,"
            yield ("date_debut",), f"{dite} est dans le futur : rien ne peut être lu"
        elif self.date_debut is not None and self.date_fin is not None and self.date_fin <= self.date_debut:
            phrase = f"{en_iso(self.date_fin)} n'est pas après date_debut ({en_iso(self.date_debut)})"
            yield ("date_fin", "date_debut"), phrase
        yield from self._fautes_de_donnee()
        yield from self._fautes_de_sortie()
        if self.stream and self.source != API:
            yield ("source", "stream"), "un flux se lit chez l'exchange : ôtez source"
        if self.stream and self.date_fin is not None:
            yield ("date_fin", "stream"), "un flux ne finit pas à une date : donnez une duree, en secondes"
        if self.date_debut is not None and self.stream not in (None, "ohlcv"):
            yield ("date_debut", "stream"), f"un flux {de(self.stream)} commence maintenant : ôtez date_debut"
        permises = ECRIVAINS[self.format_choisi].compressions
        if self.compression and self.compression not in permises:
            phrase = f"« {self.compression} » n'existe pas en {self.format_choisi} (choix : {', '.join(permises)})"
            yield ("compression", "format", "sortie"), phrase

    def _fautes_de_donnee(self) -> Iterator[tuple[tuple[str, ...], str]]:
        if self.stream and self.donnee != "ohlcv":
            yield ("donnee", "stream"), "ne va pas avec un flux : gardez l'une des deux"
        if self.trades_vers_ohlcv and "trades" not in (self.stream, self.donnee):
            phrase = "ne va qu'avec le flux de trades (stream: trades) ou leur histoire (donnee: trades)"
            yield ("trades_vers_ohlcv", "stream", "donnee"), phrase
        if self.prix_ohlcv != "last" and self.donnee != "ohlcv" and not self.stream:
            yield ("prix_ohlcv", "donnee"), f"« {self.prix_ohlcv} » est un prix de bougies : gardez « last »"

    def _fautes_de_sortie(self) -> Iterator[tuple[tuple[str, ...], str]]:
        """Un nom qui promet autre chose que ce qui y serait écrit."""
        if self.timeframes and self.stream:
            yield ("timeframes", "stream"), "un flux suit un timeframe à la fois : donnez timeframe"
        elif self.timeframes and not self.type_donnee.a_une_grille:
            seul = "timeframe" in self.type_donnee.cle
            phrase = "se lit un timeframe à la fois : donnez timeframe" if seul else "n'a pas de timeframe"
            yield ("timeframes", "donnee"), f"{self.donnee} {phrase}"
        if self.sortie is None:
            return
        accolades = re.findall(r"\{(\w+)\}", self.sortie.name)  # d'un autre mot, elles sont à l'utilisateur
        for faux in dict.fromkeys(nom for nom in accolades if nom != "timeframe" and nom in noms_options(Tache)):
            yield ("sortie",), f"« {{{faux}}} » n'y est pas remplacé : seul {{timeframe}} l'est"
        annonce, suffixe = format_du_chemin(self.sortie), self.sortie.suffix.lower()
        if annonce and self.format not in (None, annonce):
            phrase = f"« {self.sortie.name} » est un nom de {annonce}, pas de {self.format} : accordez-les"
            yield ("format", "sortie"), phrase
        elif annonce is None and (suffixe in EXTENSIONS_ETRANGERES or (suffixe and self.format is None)):
            connues = " ".join(sorted(EXTENSIONS))
            yield ("sortie",), f"« {suffixe} » n'est l'extension d'aucun format : prenez-en une de {connues}"
        if len(self.timeframes) > 1 and self.format_choisi != "sqlite" and "{timeframe}" not in self.sortie.name:
            phrase = "un fichier n'a qu'un timeframe : mettez {timeframe} dans son nom, ou prenez une base SQLite"
            yield ("sortie", "timeframes"), phrase

    @property
    def parties(self) -> list[Tache]:
        """Une tâche par timeframe demandé, au nom de fichier accordé ; elle-même s'il n'y a rien à y changer."""
        if not self.timeframes and self.chemin == self.sortie:
            return [self]
        codes = self.timeframes or (self.timeframe,)
        siennes = (dataclasses.replace(self, timeframe=code, timeframes=()) for code in codes)
        return [dataclasses.replace(une, sortie=une.chemin) for une in siennes]

    def ecrit(self, chemin: Path | None) -> bool:
        """Vrai si ce chemin mène à l'une de ses sorties."""
        sorties = (os.path.realpath(partie.sortie) for partie in self.parties if partie.sortie)
        return chemin is not None and os.path.realpath(chemin) in sorties

    @property
    def chemin(self) -> Path | None:
        """La sortie demandée, `{timeframe}` remplacé s'il y en a un."""
        if self.sortie is None or "{timeframe}" not in self.sortie.name or "timeframe" not in self.type_donnee.noms:
            return self.sortie
        return self.sortie.with_name(self.sortie.name.replace("{timeframe}", self.timeframe))

    @property
    def format_choisi(self) -> str:
        """Le format demandé, ou celui de l'extension de la sortie, ou csv."""
        return self.format or format_du_chemin(self.sortie) or "csv"

    @property
    def type_donnee(self) -> TypeDonnee:
        """Ce que la sortie contient : des bougies, sauf si l'on suit, ou lit, autre chose sans l'agréger."""
        return OHLCV if self.trades_vers_ohlcv else TYPES[self.stream or self.donnee]

    @property
    def origine(self) -> str:
        """D'où viendront les lignes : le vrai exchange, l'embarqué, ou le banc d'essai."""
        return HORS_LIGNE if self.hors_ligne else SANDBOX if self.sandbox else REEL

    @property
    def table_choisie(self) -> str:
        """La table SQLite demandée, ou celle du type de donnée."""
        return self.sqlite_table or self.type_donnee.nom


LISTES = ("exchanges", "marches", "timeframes", "donnees")


def lire_liste(valeur: Any) -> str:
    """Le nom d'une liste ; de `donnees`, suivi s'il le faut d'un dossier."""
    quoi, _, dossier = str(valeur).strip().partition(" ")
    return f"{lire_choix(LISTES)(quoi)} {dossier}" if quoi == "donnees" and dossier else str(lire_choix(LISTES)(valeur))


@dataclass(frozen=True, kw_only=True)
class OptionsExecution:
    """Ce que la ligne de commande ajoute à une tâche."""

    lister: str | None = option(lire=lire_liste, choix=LISTES, groupe="exécution",
        aide="affiche la liste sur stdout et sort ; marches : ceux de --type-marche, --sous-type et --symbole 'BTC*' ; "
        "donnees [DOSSIER] : les séries qui y sont")
    simulation: bool = option(False, lire=lire_booleen, groupe="exécution",
        aide="dit ce qui serait fait (bornes, requêtes, durée, taille) et sort")
    verifier: Path | None = option(lire=lire_chemin, groupe="exécution", valeur="CHEMIN",
        aide="contrôle une sortie, sans réseau ni rien écrire, dit ses fautes sur stdout et sort")
    reparer: bool = option(False, lire=lire_booleen, groupe="exécution",
        aide="avec --verifier : remet la sortie en état, relit ce qui y manque, et la contrôle encore")
    bilan: Path | None = option(lire=lire_chemin_a_ecrire, groupe="exécution", valeur="CHEMIN",
        aide="bilan JSON de l'exécution")
    rapport: Path | None = option(lire=lire_chemin_html, groupe="exécution", valeur="CHEMIN",
        aide="page .html autonome : bougies, couverture, trous, durées ; avec --verifier, celle de la sortie contrôlée")
    journal: str = option("info", choix=NIVEAUX, groupe="exécution",
        aide="niveau du journal, sur stderr")

    def fautes(self) -> Iterator[tuple[tuple[str, ...], str]]:
        """Les fautes qui tiennent à plusieurs options ensemble."""
        if self.reparer and self.verifier is None:
            yield ("reparer", "verifier"), "ne va qu'avec --verifier CHEMIN : la sortie à remettre en état"
        for autre in ("lister", "simulation"):
            if self.verifier is not None and getattr(self, autre):
                yield ("verifier", autre), f"ne va pas avec {drapeau(autre)} : gardez l'une des deux"
        if self.rapport is not None and (self.lister or self.simulation):
            yield ("rapport", "lister", "simulation"), "rien n'est téléchargé ni contrôlé : rien à montrer"
        yield from memes_fichiers(self, "verifier", "bilan", "rapport")


# fmt: on


def options_dites(objet: Any) -> Iterator[tuple[dataclasses.Field[Any], Any]]:
    """Les champs dont la valeur n'est pas le défaut."""
    for champ in fields(objet):
        defaut = champ.default if champ.default is not MISSING else {}
        if (valeur := getattr(objet, champ.name)) != defaut:
            yield champ, valeur


def noms_options(*modeles: type[Any]) -> dict[str, dataclasses.Field[Any]]:
    """Chaque nom d'option, synonymes compris, et sa déclaration."""
    champs = [champ for modele in modeles for champ in fields(modele)]
    return {nom: champ for champ in champs for nom in (champ.name, *champ.metadata["synonymes"])}


class Faute(NamedTuple):
    """Une faute d'options : celles en cause, la fautive d'abord, sous le nom donné ; et ce qui ne va pas."""

    noms: tuple[str, ...]
    phrase: str


def lire_valeurs(
    connus: Mapping[str, dataclasses.Field[Any]], valeurs: Mapping[str, Any], nommer: Callable[[str], str] = str
) -> tuple[dict[str, Any], list[Faute]]:
    """Lit `valeurs` une à une : celles qui se lisent, sous leur nom premier, et les fautes des autres."""
    lues: dict[str, Any] = {}
    fautes: list[Faute] = []
    for nom, valeur in valeurs.items():
        if nom not in connus:
            fautes.append(Faute((nom,), f"option inconnue. {proches(nom, map(nommer, connus), 1)}".strip()))
        elif valeur is not None and connus[nom].name in lues:
            fautes.append(Faute((nom,), "donnée deux fois, sous deux noms"))
        elif valeur is not None:
            try:
                lues[connus[nom].name] = connus[nom].metadata["lire"](valeur)
            except ValueError as erreur:
                fautes.append(Faute((nom,), _phrase(erreur)))
    return lues, fautes


def _phrase(erreur: ValueError) -> str:
    """Ce que dit un lecteur, sur une ligne ; d'une valeur de cinq mille caractères, le début et la fin suffisent."""
    dite = neutraliser(str(erreur))
    return dite if len(dite) <= 1000 else f"{dite[:400]}…{dite[-400:]}"


# Données ensemble, l'une serait tue. Leurs valeurs ne le diraient pas : `timeframe: 1m` est aussi le défaut.
EXCLUSIVES = (("symbols", "symbole"), ("timeframes", "timeframe"))


def fautes_ensemble(objet: Any, dites: Collection[str], illisibles: Iterable[Faute]) -> list[Faute]:
    """Les fautes qui tiennent à plusieurs options, dont `dites` ; une option illisible n'en accuse pas une autre."""
    connus = noms_options(type(objet))
    fautives = {connus[nom].name for faute in illisibles for nom in faute.noms if nom in connus}
    dire = "« {1} » et « {0} » ne vont pas ensemble : gardez l'un des deux".format
    doubles = [Faute(noms, dire(*noms)) for noms in EXCLUSIVES if set(noms) <= set(dites)]
    return doubles + [Faute(noms, phrase) for noms, phrase in objet.fautes() if fautives.isdisjoint(noms)]


def lire_options(
    modele: type[T], valeurs: Mapping[str, Any], nommer: Callable[[str], str], facultatives: Sequence[str] = ()
) -> tuple[T | None, list[str]]:
    """Lit et contrôle `valeurs` ; rend l'objet (None s'il y a une faute) et toutes les fautes, nommées par `nommer`.

    `facultatives` : d'ordinaire demandées, elles peuvent manquer ici.
    """
    lues, fautes = lire_valeurs(noms_options(modele), valeurs, nommer)
    objet = modele(**lues)
    fautes += [f for f in fautes_ensemble(objet, lues, fautes) if lues.keys() & f.noms or f.noms[0] not in facultatives]
    return (None if fautes else objet), [f"{nommer(faute.noms[0])} : {faute.phrase}" for faute in fautes]


def construire(
    valeurs: Mapping[str, Any], nommer: Callable[[str], str] = str, facultatives: Sequence[str] = ()
) -> Tache:
    """La tâche que décrivent ces options (noms du YAML) ; ErreurDemande avec toutes les fautes d'un coup."""
    tache, fautes = lire_options(Tache, valeurs, nommer, facultatives)
    if tache is None:
        raise ErreurDemande("\n".join(fautes))
    return tache


# Ceux qu'argparse exécute lui-même ; les mêmes à toute ligne de commande du projet.
DRAPEAUX_COMMUNS: Mapping[tuple[str, ...], Mapping[str, Any]] = {
    ("--version",): {
        "action": "version", "version": f"%(prog)s {__version__}", "help": "affiche la version et sort",
    },
    ("-h", "--help", "--aide"): {"action": "help", "help": "affiche cette aide et sort"},
}  # fmt: skip


def drapeau(nom: str) -> str:
    """`date_debut` -> `--date-debut`."""
    return "--" + nom.replace("_", "-")


def defaut_lisible(champ: dataclasses.Field[Any]) -> str:
    """Le défaut d'une option, tel que l'aide le dit."""
    if champ.metadata["defaut_aide"]:
        return str(champ.metadata["defaut_aide"])
    if champ.default in (None, MISSING, ()):
        return "–"
    if isinstance(champ.default, bool):
        return "non"
    return f"{champ.default:g}" if isinstance(champ.default, float) else str(champ.default)


# ----------------------------------------------------------------------------------------------------------------------
# § 11  Exécution
# ----------------------------------------------------------------------------------------------------------------------

SYMBOLES_DE_FRONT = 16  # séries lues en même temps ; leurs requêtes partagent --concurrence
NOMS_IDENTIFIANTS = {"apiKey": "API_KEY", "secret": "API_SECRET", "password": "API_PASSWORD", "uid": "API_UID"}

# États d'une série, du meilleur au pire, et le code de sortie de chacun.
ETATS = {
    "complete": CODE_SUCCES,
    "partielle": CODE_PARTIEL,
    "refusee": CODE_PARTIEL,
    "interrompue": CODE_ECHEC,
    "echec": CODE_ECHEC,
}
# Du moins au plus grave : une sortie occupée passe d'elle-même, et ne cache pas l'échec d'une autre tâche.
GRAVITE = (CODE_SUCCES, CODE_PARTIEL, CODE_OCCUPE, CODE_ECHEC, CODE_DEMANDE)


@dataclass
class BilanSerie:
    """Ce qu'une série a donné ; `trous` : ceux de l'intervalle demandé."""

    symbole: str
    etat: str = "complete"
    message: str = ""
    demande: Intervalle | None = None
    lignes_recues: int = 0
    lignes_nouvelles: int = 0
    lignes_revisees: int = 0
    trous: list[Trou] = field(default_factory=list)
    cle: CleSerie | None = None
    compteurs: dict[str, int] = field(default_factory=dict)
    derniere_ms: int | None = None  # horodatage de la dernière ligne lue
    erreur: ErreurCollecte | None = None  # ce qui l'a fait échouer
    retard_s: float | None = None  # de la dernière ligne servie à la dernière close attendue ; None : aucune ligne


@dataclass
class Bilan:
    """Ce qu'une exécution a fait : code de sortie, séries, coût. `en_dict()` est le bilan JSON."""

    exchange: str
    sortie: Path | None = None
    format: str | None = None
    series: list[BilanSerie] = field(default_factory=list)
    code: int = CODE_SUCCES
    message: str = ""
    conseil: str = ""
    requetes: int = 0
    essais: int = 0
    octets: int = 0
    modifie: bool = False
    duree_s: float = 0.0
    verification: Rapport | None = None
    parties: list[Bilan] = field(default_factory=list)  # une par timeframe, quand plusieurs sont demandés

    @property
    def detail(self) -> list[Bilan]:
        """Un bilan par timeframe quand plusieurs sont demandés, sinon lui-même."""
        return self.parties or [self]

    def conclure(self) -> None:
        """Le code global : le plus grave des séries ; un échec si l'exchange les a toutes refusées."""
        self.code = max((ETATS[s.etat] for s in self.series), key=GRAVITE.index, default=self.code)
        if self.series and all(serie.etat == "refusee" for serie in self.series):
            self.code = CODE_ECHEC

    def refuser(self, erreur: ErreurCollecte) -> None:
        """L'exécution s'est arrêtée sur cette erreur."""
        self.code, self.message, self.conseil = erreur.code_sortie, str(erreur), erreur.conseil

    def interrompre(self, code: int, message: str) -> None:
        """Un signal a arrêté l'exécution ; une partie déjà finie garde son code."""
        self.code, self.message = code, message
        for partie in self.parties:
            if any(serie.etat == "interrompue" for serie in partie.series):
                partie.interrompre(code, message)

    def total(self, champ: str) -> int:
        """La somme d'un compteur sur les séries."""
        return sum(getattr(serie, champ) for serie in self.series)

    def en_dict(self) -> dict[str, Any]:
        """Le bilan, en types JSON."""
        return dict(annexe("bilans", "Un bilan JSON").en_dict(self))


class Avancement(NamedTuple):
    """Un pas de progression : la série, où elle en est, ce qui lui est demandé (None : un flux), combien en sont.

    `allure` : d'un flux, ce qu'il y a à en dire (lignes, débit, retard, dernier prix).
    """

    cle: CleSerie
    instant: int
    demande: Intervalle | None
    lignes: int
    series: int = 1
    allure: str = ""


Suivi = Callable[[Avancement], None]


class Memoire(contextlib.AbstractContextManager["Memoire"]):
    """L'écrivain de la bibliothèque sans `sortie` : garde les lots, n'écrit rien."""

    octets = 0

    def __init__(self, type_donnee: TypeDonnee = OHLCV) -> None:
        self.type_donnee = type_donnee
        self.fiches: dict[CleSerie, Fiche] = {}
        self._tables: list[pa.Table] = []

    def __exit__(self, *_: object) -> None:
        pass

    def lire(self, cle: CleSerie, debut: int, fin: int) -> pa.Table:  # noqa: ARG002  signature de l'écrivain
        """Rien n'était là avant."""
        return self.type_donnee.schema.empty_table()

    def ecrire(self, lot: Lot, fiche: Fiche) -> tuple[int, int]:
        """Garde le lot, dont toutes les lignes sont tenues pour nouvelles."""
        connue = self.fiches.setdefault(lot.cle, fiche.vierge())
        connue.noter(lot.couverts, lot.trous, lot.source_des_lignes, sans_preuve(connue, lot))
        self._tables.append(lot.lignes)
        return lot.lignes.num_rows, 0

    def finir(self, *, presse: bool = False) -> bool:  # noqa: ARG002  signature de l'écrivain
        """Rien à fondre."""
        return False

    def table(self) -> pa.Table:
        """Toutes les lignes, triées par clé, sans doublon : la dernière reçue l'emporte."""
        return trier(pa.concat_tables([self.type_donnee.schema.empty_table(), *self._tables]), self.type_donnee)


Ecrivain: TypeAlias = Sortie | Memoire

# --- Contexte d'une tâche ---


class Contexte(NamedTuple):
    """Où une tâche s'exécute : dossier des sorties sans chemin, `.env`, ce que d'autres exécutions ont laissé.

    `ouvrir` : d'un lot, comment avoir une connexion sur ce qui est déjà ouvert. `execution` : d'une réparation, ce qui
    lit à la place d'`Execution`. `seule` : cet exchange ne servira à aucune autre tâche.
    """

    sorties: Path = DOSSIER_SORTIES
    env: Path = Path(".env")
    pauses: Pauses | None = None
    ouvrir: Callable[[Tache, Path], contextlib.AbstractAsyncContextManager[Connexion]] | None = None
    seule: bool = False
    execution: Callable[..., Execution] | None = None


def lire_identifiants(exchange: str, env: Path = Path(".env")) -> dict[str, str]:
    """Les clés de l'exchange, de l'environnement ou d'un `.env` ; `OKX_API_KEY` l'emporte sur `API_KEY`."""
    connus = {**lire_env(env), **os.environ}
    lus = {c: connus.get(f"{exchange.upper()}_{nom}") or connus.get(nom) for c, nom in NOMS_IDENTIFIANTS.items()}
    return {champ: valeur for champ, valeur in lus.items() if valeur}


def secrets_connus(env: Path = Path(".env")) -> tuple[str, ...]:
    """Toutes les clés de l'environnement et du `.env`, quel que soit leur exchange : un message n'en cite aucune."""
    motif = re.compile(rf"(?:.*_)?(?:{'|'.join(NOMS_IDENTIFIANTS.values())})", re.IGNORECASE)
    return tuple(valeur for nom, valeur in {**lire_env(env), **os.environ}.items() if motif.fullmatch(nom))


def lire_env(chemin: Path) -> dict[str, str]:
    """Les variables d'un `.env`, s'il existe ; ErreurDemande s'il ne se lit pas."""
    if not chemin.is_file():
        return {}
    try:
        lus = importer("dotenv", "Lire un .env").dotenv_values(chemin)
    except (OSError, UnicodeDecodeError) as erreur:
        cause = cause_disque(erreur) if isinstance(erreur, OSError) else "ce n'est pas du texte UTF-8"
        # Sans la cause d'origine, qui cite les octets du fichier.
        raise ErreurDemande(f"« {chemin} » ne se lit pas : {cause}", "Corrigez-le, ou ôtez-le.") from None
    return {nom: valeur for nom, valeur in lus.items() if valeur}


def nom_de_sortie(cles: Sequence[CleSerie], type_marche: str, type_donnee: TypeDonnee, extension: str) -> str:
    """Le nom stable d'une sortie sans chemin : même demande, même fichier ; une autre demande, un autre."""
    cle = cles[0]
    symboles = "+".join(_nom_de_fichier(c.symbole) for c in sorted(cles))
    if len(symboles) > 80 or len(symboles.encode()) > NOM_MAX // 2:
        symboles = f"{len(cles)}-symboles-{hashlib.sha256(symboles.encode()).hexdigest()[:10]}"
    prix = "" if cle.prix in ("", "last") else f"_{cle.prix}"
    contenu = cle.timeframe if type_donnee is OHLCV else "-".join(filter(None, (type_donnee.nom, cle.timeframe)))
    return f"{cle.exchange}_{type_marche}_{symboles}_{contenu}{prix}{extension}"


def _nom_d_office(tache: Tache, series: Sequence[Serie], dossier: Path, extension: str) -> str:
    """Le nom stable de cette demande : un symbole complet dit son type de marché."""
    types = {serie.nature.type_marche if ":" in serie.cle.symbole else tache.type_marche for serie in series}
    nom = nom_de_sortie([serie.cle for serie in series], "+".join(sorted(types)), tache.type_donnee, extension)
    noms = annexe_ou_rien("noms_d_avant")
    return str(noms.a_continuer(nom, tache, series, dossier, extension)) if noms else nom


def _nom_de_fichier(symbole: str) -> str:
    """Le symbole en nom de fichier, sans collision : « BTC/USDT:USDT » devient « BTC-USDT_USDT »."""
    remplaces = {"/": "-", ":": "_", "-": "."}
    return "".join(remplaces.get(c) or (c if c.isalnum() else f"%{ord(c):02X}") for c in symbole)


def bourse_embarquee(tache: Tache) -> Any:
    """Un contexte : la configuration ccxt qui mène à l'exchange embarqué, s'il est demandé ; vide sinon."""
    if not tache.hors_ligne:
        return contextlib.nullcontext({})
    importer("bourse_locale", "--hors-ligne")  # d'abord : d'un module copié seul, c'est ce dossier qui manque
    return annexe("hors_ligne", "--hors-ligne").ouvrir(tache)


def reglages_de(tache: Tache, config: Mapping[str, Any], env: Path = Path(".env")) -> Reglages:
    """Les réglages de connexion d'une tâche ; `config` passe sous `config_ccxt`."""
    reglages = {champ.name: getattr(tache, champ.name) for champ in fields(Reglages) if hasattr(tache, champ.name)}
    reglages["config_ccxt"] = fondre_dicts(config, tache.config_ccxt)
    if tache.hors_ligne:
        reglages |= annexe("hors_ligne", "--hors-ligne").reglages(tache, config)
    else:
        reglages |= {"identifiants": lire_identifiants(tache.exchange, env), "secrets": secrets_connus(env)}
    return Reglages(**reglages)


@contextlib.asynccontextmanager
async def ouvrir_connexion(tache: Tache, contexte: Contexte | None = None) -> AsyncIterator[Connexion]:
    """La connexion d'une tâche, à l'exchange vrai ou embarqué ; fermée quoi qu'il arrive."""
    contexte = contexte or Contexte()
    if contexte.ouvrir is not None:
        async with contexte.ouvrir(tache, contexte.env) as connexion:
            yield connexion
        return
    async with bourse_embarquee(tache) as config:
        reglages = reglages_de(tache, config, contexte.env)
        memoire = contexte.pauses.debit(reglages) if contexte.pauses else contextlib.nullcontext()
        with memoire as debit:
            async with Connexion(reglages, debit) as connexion:
                yield connexion


@contextlib.asynccontextmanager
async def ouvrir_tache(tache: Tache, contexte: Contexte | None = None) -> AsyncIterator[Connexion]:
    """La connexion d'une tâche, demande contrôlée sans requête, pour tous ses timeframes."""
    async with ouvrir_connexion(tache, contexte) as connexion:
        for partie in tache.parties:
            controler_demande(connexion, partie)
        yield connexion


def controler_demande(connexion: Connexion, tache: Tache) -> None:
    """Lève le premier des refus de cette demande. Sans requête."""
    lever_le_premier(refus_de_demande(connexion, tache))


def refus_de_demande(connexion: Connexion, tache: Tache) -> Iterator[ErreurDemande]:
    """Tout ce que l'exchange n'en sert pas : source, flux ou histoire, timeframe, prix. Sans requête."""
    if tache.stream is not None:
        yield from refus_leves(controler_flux, connexion, tache)
    else:
        yield from refus_leves(ouvrir_depot, connexion, tache)
        if tache.donnee != "ohlcv":
            yield from refus_leves(histoires(tache.donnee).controler, connexion, tache)
    # Faites de trades, elles ne se confrontent à celles de l'exchange que s'il en sert.
    suivis = tache.stream is not None and "trades" in connexion.canaux_offerts()
    faites = suivis or tache.donnee == "trades"
    if tache.type_donnee is OHLCV and (connexion.api.has.get("fetchOHLCV") or not faites):
        yield from connexion.refus_des_bougies(tache.timeframe, tache.prix_ohlcv)


def histoires(donnee: str) -> Any:
    """L'annexe qui lit ce qui n'est pas une bougie."""
    return annexe("histoires", f"donnee: {donnee}")


def ouvrir_depot(connexion: Connexion, tache: Tache) -> Any:
    """Les fichiers publics où lire ; None s'il n'y en a pas à employer. ErreurDemande s'ils sont exigés."""
    if tache.source == API:
        return None
    return annexe("depot", "--source").ouvrir_depot(connexion, exige=tache.source == ARCHIVES)


def controler_flux(connexion: Connexion, tache: Tache) -> None:
    """Refuse un flux que rien, chez cet exchange, ne peut donner ni remplacer. Sans requête."""
    offerts = connexion.canaux_offerts()
    if tache.stream not in ("ohlcv", *offerts):
        raise ErreurDemande(
            f"{tache.exchange} n'offre pas le flux « {tache.stream} »",
            f"Il offre : {', '.join(offerts)}." if offerts else "Il n'a aucun flux : ôtez --stream.",
            "stream",
        )
    lus = {"ohlcv", "trades"} if tache.stream == "ohlcv" else {tache.stream}  # sans canal à elles, des trades en font
    if not lus.isdisjoint(connexion.particularite.corrigee):
        annexe("corrections", f"Lire {tache.exchange} juste")
    if tache.stream == "orderbook":
        _controler_carnets(connexion, tache)


def _controler_carnets(connexion: Connexion, tache: Tache) -> None:
    """Ce que la profondeur demandée, ou un module copié seul, ôte aux carnets : dit, ou refusé s'ils seraient faux."""
    au_plus = max(connexion.particularite.profondeurs, default=tache.profondeur)
    connexion.dire_les_niveaux(au_plus, tache.profondeur)
    if connexion.api.carnets_mal_lus:
        annexe("carnets", f"Suivre les carnets {de(tache.exchange)}")
    if connexion.api.carnets_numerotes and annexe_ou_rien("carnets") is None:
        journal.warning(
            "Sans le dossier « annexes_ccxt_fr », livré à côté du module, une trame de carnet perdue par %s ne se "
            "verrait pas : copiez-le aussi.",
            tache.exchange,
        )


def ouvrir_exchange(**options: Any) -> contextlib.AbstractAsyncContextManager[Connexion]:
    """Ouvre un exchange, marchés à charger par `charger_marches` ; options : les noms du YAML.

        async with ouvrir_exchange(exchange="okx", type_marche="swap") as connexion:
            await connexion.charger_marches()
            connexion.api          # l'instance ccxt.pro

    La session est fermée à la sortie, erreur et annulation comprises. Lève ErreurDemande.
    """
    return ouvrir_connexion(construire(options, facultatives=("symbole",)))


def resoudre_series(connexion: Connexion, tache: Tache, bilan: Bilan) -> list[Serie]:
    """Les séries demandées ; celles qu'on refuse vont au bilan. ErreurDemande si aucune ne reste."""
    series: dict[CleSerie, Serie] = {}
    refus: list[ErreurDemande] = []
    for symbole in tache.demandes:
        try:
            serie = _ouvrir_serie(connexion, tache, symbole)
        except ErreurDemande as erreur:
            refus.append(erreur)
            bilan.series.append(BilanSerie(symbole, "refusee", erreur.complet()))
        else:
            series[serie.cle] = serie
    if not series:
        raise refus[0] if len(refus) == 1 else ErreurDemande("\n".join(refuse.complet() for refuse in refus))
    for refusee in refus:
        journal.error("%s", refusee.complet())
    return list(series.values())


def _ouvrir_serie(connexion: Connexion, tache: Tache, symbole: str) -> Serie:
    if tache.stream is None and tache.donnee != "ohlcv":
        ouverte: Serie = histoires(tache.donnee).ouvrir_serie(connexion, tache, symbole)
        return ouverte
    if tache.type_donnee is OHLCV:
        return connexion.ouvrir_serie(symbole, tache.timeframe, tache.prix_ohlcv, tache.limite)
    return connexion.ouvrir_evenements(symbole, tache.profondeur if tache.stream == "orderbook" else 0)


def ouvrir_ecrivain(tache: Tache, series: Sequence[Serie], bilan: Bilan, dossier: Path = DOSSIER_SORTIES) -> Sortie:
    """L'écrivain de la tâche, cible contrôlée sans y toucher."""
    cles = [serie.cle for serie in series]
    decrit = ECRIVAINS[tache.format_choisi]
    extension = decrit.extensions[0]
    chemin = tache.chemin or dossier / _nom_d_office(tache, series, dossier, extension)
    bilan.sortie, bilan.format = chemin, tache.format_choisi
    ecrivain = decrit(
        chemin,
        type_donnee=tache.type_donnee,
        table=tache.table_choisie,
        compression=tache.compression,
        flux=tache.stream is not None,
        origine=tache.origine,
    )
    ecrivain.controler(cles, {serie.cle: serie.marche_id for serie in series})
    return ecrivain


def plage_de(tache: Tache) -> Plage:
    """L'intervalle d'une tâche, en valeurs simples."""
    grace_ms = round(tache.grace * SECONDE_MS)
    return Plage(tache.date_debut, tache.date_fin, tache.relecture, grace_ms, tache.inclure_bougie_courante)


# --- Exécution ---


async def executer_async(
    tache: Tache,
    *,
    suivi: Suivi | None = None,
    puits: Memoire | None = None,
    bilan: Bilan | None = None,
    contexte: Contexte | None = None,
) -> Bilan:
    """Exécute une tâche et rend son bilan ; annulée, écrit d'abord tout ce qui est reçu.

    `suivi` est appelé à chaque lot écrit ; `puits` remplace le fichier ; `bilan`, s'il est donné, est rempli au fur et
    à mesure, et vaut encore après une erreur. Lève ErreurDemande (rien n'a été écrit), ErreurSortie, ou l'erreur qui a
    empêché d'ouvrir l'exchange ; l'échec d'une série est dans le bilan.
    """
    if not isinstance(tache, Tache):
        raise ErreurDemande(
            f"`executer` attend une Tache, et non {type(tache).__name__}",
            "`construire` en fait une, des options par leur nom : executer(construire({...})).",
        )
    bilan, suivi = bilan or Bilan(tache.exchange), suivi or (lambda _: None)
    contexte = contexte or Contexte(seule=True)
    parties = annexe("parties", "--timeframes") if tache.timeframes else None
    depart_s = time.monotonic()
    async with ouvrir_tache(tache, contexte) as connexion:
        with compter(connexion, bilan, depart_s):
            async with groupe_de_taches() as taches:
                # 60 ms de CPU, pendant que l'exchange répond
                taches.create_task(asyncio.to_thread(importer, "pyarrow.compute", "Mettre les lignes en table"))
                await connexion.preparer(tache.demandes, seuls=tache.stream is None and contexte.seule)
            if parties is not None:
                await parties.executer_parties(connexion, tache, bilan, suivi, contexte)
            else:
                await executer_partie(*preparer_partie(connexion, tache, bilan, suivi, contexte, puits))
    bilan.conclure()
    return bilan


@contextlib.contextmanager
def compter(connexion: Connexion, bilan: Bilan, depart_s: float, ailleurs: Bilan | None = None) -> Iterator[None]:
    """Porte au bilan les requêtes et les essais d'une connexion, sauf ceux déjà portés `ailleurs`, et le temps."""
    try:
        yield
    finally:
        bilan.requetes = connexion.requetes - (ailleurs.requetes if ailleurs else 0)
        bilan.essais = connexion.nombre_essais - (ailleurs.essais if ailleurs else 0)
        bilan.duree_s = time.monotonic() - depart_s


def preparer_partie(
    connexion: Connexion, tache: Tache, bilan: Bilan, suivi: Suivi, contexte: Contexte, puits: Memoire | None = None
) -> tuple[Execution, list[Serie]]:
    """De quoi exécuter une tâche d'un seul timeframe, sur une connexion prête ; la sortie est contrôlée, intouchée."""
    series = resoudre_series(connexion, tache, bilan)
    execution = contexte.execution or (ExecutionFlux if tache.stream else Execution)
    ecrivain = puits or ouvrir_ecrivain(tache, series, bilan, contexte.sorties)
    return execution(connexion, tache, ecrivain, bilan, suivi), series


async def executer_partie(execution: Execution, series: Sequence[Serie]) -> None:
    """La même, sortie tenue."""
    with tenir(execution.ecrivain, execution.bilan):
        await execution.lire(series)


@contextlib.contextmanager
def tenir(ecrivain: Ecrivain, bilan: Bilan) -> Iterator[Ecrivain]:
    """La sortie, tenue ; elle est finie quoi qu'il arrive, et au plus court après une erreur ou un signal."""
    with ecrivain:
        presse = True
        try:
            yield ecrivain
            presse = False
        finally:
            bilan.modifie, bilan.octets = ecrivain.finir(presse=presse), ecrivain.octets


@dataclass
class Copie:
    """Une série en cours de lecture : d'où elle vient, ce qui en est à lire, ce qu'elle a donné."""

    bilan: BilanSerie
    fiche: Fiche
    source: Source
    intervalles: list[Intervalle]


class Execution:
    """Branche les sources d'une tâche sur son écrivain."""

    def __init__(self, connexion: Connexion, tache: Tache, ecrivain: Ecrivain, bilan: Bilan, suivi: Suivi) -> None:
        self.connexion, self.tache, self.ecrivain, self.bilan, self.suivi = connexion, tache, ecrivain, bilan, suivi
        self._places = asyncio.Semaphore(tache.concurrence)
        self._fronts = asyncio.Semaphore(SYMBOLES_DE_FRONT)
        self._depot = ouvrir_depot(connexion, tache)

    async def lire(self, series: Sequence[Serie]) -> None:
        """Lit toutes les séries, à plusieurs ; une erreur du disque arrête tout, celle d'une série n'arrête qu'elle."""
        if queues := annexe_ou_rien("queues"):  # des dernières lignes, que la relecture va comparer
            queues.garder_les_dernieres(self.ecrivain, series, self.tache.relecture + MARGE)
        async with groupe_de_taches() as taches:
            for serie in series:
                bilan = self.suivre(serie)
                taches.create_task(self.sous_garde(self._copier(serie, bilan), [bilan]))

    def suivre(self, serie: Serie) -> BilanSerie:
        """Le bilan d'une série à lire ; interrompue, tant qu'elle n'est pas achevée."""
        bilan = BilanSerie(serie.cle.symbole, cle=serie.cle, etat="interrompue")
        self.bilan.series.append(bilan)
        return bilan

    async def sous_garde(self, lecture: Coroutine[Any, Any, None], bilans: Sequence[BilanSerie]) -> None:
        """Une lecture, à son tour ; son échec est celui de ses séries, et n'arrête qu'elles."""
        async with self._fronts:
            try:
                await lecture
            except (ErreurTemporaire, ErreurDefinitive) as erreur:
                for bilan in bilans:
                    bilan.etat, bilan.message, bilan.erreur = "echec", erreur.complet(), erreur
                journal.error("%s", erreur.complet())

    async def _copier(self, serie: Serie, bilan: BilanSerie) -> None:
        """De la source à l'écrivain, lot par lot."""
        copie = await self.preparer(serie, bilan)
        async with contextlib.aclosing(copie.source.lots(copie.intervalles)) as lots:
            async for lot in lots:
                self.prendre(copie, lot)
        self.achever(copie)

    async def preparer(self, serie: Serie, bilan: BilanSerie) -> Copie:
        """Ouvre la source d'une série, et fixe ce qui en est à lire."""
        fiche = self._fiche(serie)
        source = self._source(serie, fiche)
        intervalles = await source.preparer()
        bilan.demande = source.demande
        return Copie(bilan, fiche, source, unir(intervalles, self._laissees(fiche, source.demande, intervalles)))

    def _laissees(self, fiche: Fiche, demande: Intervalle, intervalles: Sequence[Intervalle]) -> list[Intervalle]:
        """Les bougies provisoires d'autres fois, que ce qui est à lire laisserait derrière, à moitié faites."""
        if fiche.provisoires:
            return oter(croiser(intervalles_de(fiche.provisoires), [(0, demande[1])]), fiche.connus())
        # Une fiche d'avant ne les disait pas : tout ce qui est écrit après ce qu'elle prouve.
        prouve = fiche.couverts[-1][1] if fiche.couverts else 0
        if self.tache.type_donnee is not OHLCV or not intervalles or intervalles[-1][0] <= prouve:
            return []
        lues = self.ecrivain.lire(fiche.cle, prouve, intervalles[-1][0])
        laissees = plages(en_un_bloc(lues["timestamp"].cast(pa.int64())), grille(fiche))
        if connue := self.ecrivain.fiches.get(fiche.cle):  # que l'exchange ne les rende pas n'en fait pas des trous
            connue.noter([], [], None, laissees)
        return laissees

    def prendre(self, copie: Copie, lot: Lot) -> None:
        """Écrit un lot, et dit où l'on en est."""
        copie.bilan.lignes_recues += lot.lignes.num_rows
        self._ecrire(lot, copie.fiche, copie.bilan)
        if lot.couverts or lot.trous:
            atteint = max([fin for _, fin in lot.couverts] + [t.fin for t in lot.trous])
            lignes, series = lot.lignes.num_rows, len(self.bilan.series)
            self.suivi(Avancement(lot.cle, atteint, copie.source.demande, lignes, series))

    def achever(self, copie: Copie) -> None:
        """Conclut une série lue jusqu'au bout."""
        bilan, demande = copie.bilan, copie.source.demande
        bilan.demande = demande
        if copie.intervalles and copie.intervalles[-1][1] < demande[1]:
            bilan.derniere_ms = None  # la queue était déjà prouvée : ce qui vient d'être lu ne la dit pas
        fiche = self.ecrivain.fiches.get(copie.fiche.cle, copie.fiche)
        self._conclure(bilan, fiche)
        self._dire_le_retard(bilan, copie.source.attendue, fiche)

    def _source(self, serie: Serie, fiche: Fiche) -> Source:
        """D'où viennent les lignes : des bougies, le REST ou les fichiers publics ; ou l'histoire d'une annexe."""
        plage = plage_de(self.tache)
        source: Source
        if self.tache.donnee != "ohlcv":
            ouvrir = histoires(self.tache.donnee).ouvrir_source
            source = ouvrir(self.connexion, serie, self.tache, plage, fiche, self._places)
        else:
            source = Historique(self.connexion, serie, plage, fiche, self._places, self.tache.concurrence)
        if self._depot is not None:
            source = annexe("archives", "--source").completer(source, self._depot, self.tache)
        return source

    def _dire_le_retard(self, bilan: BilanSerie, attendue: int | None, fiche: Fiche) -> None:
        """Ce qui manque encore jusqu'à la dernière bougie close : l'exchange est en retard, ou rien ne s'échange.

        D'une queue prouvée sans transaction, rien ne sera redemandé : il n'y a rien à dire.
        """
        if attendue is None:
            return
        prouvee = any(debut <= attendue < fin for debut, fin in fiche.couverts)
        if bilan.derniere_ms is None:
            debut, fin = bilan.demande or (0, 0)
            if debut < fin and not prouvee and not bilan.trous:  # deux pages vides ne prouvent rien, et ce serait tu
                phrase = "%s : rien n'a été servi de %s à %s ; ce sera redemandé."
                journal.info(phrase, bilan.cle, en_iso(debut), en_iso(fin))
            return
        bilan.retard_s = max(0.0, (attendue - bilan.derniere_ms) / SECONDE_MS)
        if bilan.retard_s and not prouvee and not any(t.raison == ECHEC and t.fin > attendue for t in bilan.trous):
            journal.info(
                "%s : s'arrête à %s, %s avant la dernière bougie close ; la suite sera redemandée.",
                bilan.cle, en_iso(bilan.derniere_ms), duree_lisible(bilan.retard_s),
            )  # fmt: skip

    def _fiche(self, serie: Serie) -> Fiche:
        """La fiche de la série, telle que la sortie la connaît, ou neuve."""
        contrat = serie.marche.get("contractSize")
        lire_unite = self.connexion.unite_volume if serie.cle.timeframe else self.connexion.unite_des_trades
        sans_volume = serie.cle.prix not in ("", "last")  # d'un prix mark ou d'indice, rien ne s'échange
        dans_l_histoire = self.tache.type_donnee is TRADES and not self.tache.stream  # réunis ou non
        neuve = Fiche(
            serie.cle,
            type_marche=serie.nature.type_marche,
            unite_volume=UNITE_INCONNUE if sans_volume else lire_unite(serie.marche),
            taille_contrat=float(contrat) if contrat else None,
            marche_id=serie.marche_id,
            origine=self.tache.origine,
            identifiants=histoires("trades").identifiants(self.connexion, serie) if dans_l_histoire else "",
        )
        connue = self.ecrivain.fiches.get(serie.cle)
        if connue is None:
            return neuve
        if connue.identifiants != neuve.identifiants and (connue.couverts or connue.trous):
            raise ErreurDemande(
                f"« {self.bilan.sortie} » tient les trades {de(serie.cle)} sous d'autres identifiants : l'histoire de "
                "cet exchange les réunit, son flux les dit un par un",
                "Un même trade y serait deux fois : donnez une autre sortie à l'un des deux (--sortie).",
            )
        sues = connue.copie()
        return dataclasses.replace(
            neuve, ancre_ms=connue.ancre_ms, couverts=sues.couverts, trous=sues.trous, provisoires=sues.provisoires
        )

    def _ecrire(self, lot: Lot, fiche: Fiche, bilan: BilanSerie) -> None:
        """Écrit ce que le lot apporte ; s'il n'apporte rien, l'écrivain ne fait rien."""
        if lot.lignes.num_rows:
            bilan.derniere_ms = max(bilan.derniere_ms or 0, borne_de(lot.lignes, -1)[1])
        nouvelles, revisees = self.ecrivain.ecrire(lot, fiche)
        bilan.lignes_nouvelles += nouvelles
        bilan.lignes_revisees += revisees

    def _conclure(self, bilan: BilanSerie, fiche: Fiche) -> None:
        """L'état de la série, d'après les trous de l'intervalle demandé."""
        debut, fin = bilan.demande or (0, 0)
        bilan.trous = [
            Trou(max(t.debut, debut), min(t.fin, fin), t.raison)
            for t in fiche.lacunes()
            if t.debut < fin and t.fin > debut
        ]
        if bilan.derniere_ms is None:  # rien à relire : la dernière prouvée
            bilan.derniere_ms = derniere_ligne(fiche)
        partiels = [t for t in bilan.trous if t.raison in RAISONS_PARTIELLES]
        bilan.etat = "partielle" if partiels else "complete"
        if partiels:
            bilan.message, sortie = _dire_partiel(partiels, fiche, (debut, fin)), self.bilan.sortie
            if par_les_trades := annexe_ou_rien("par_les_trades"):
                bilan.message += par_les_trades.offrir(self.connexion, self.tache, fiche.cle, sortie, partiels)
            journal.warning("%s : %s", fiche.cle, bilan.message)


def derniere_ligne(fiche: Fiche) -> int | None:
    """L'horodatage de la ligne la plus récente que la fiche prouve ; None si elle ne prouve rien."""
    if not fiche.couverts:
        return None
    fin = fiche.couverts[-1][1]
    return grille(fiche).avancer(fin, -1) if fiche.cle.a_une_grille else fin - 1


def _dire_partiel(trous: Sequence[Trou], fiche: Fiche, demande: Intervalle) -> str:
    """Ce qui manque et pourquoi, demandé contre obtenu."""
    sens = {
        HORS_FENETRE_API: "l'exchange ne sert pas si loin en arrière",
        ECHEC: "lignes impossibles ou jamais rendues",
    }
    ecrites, morceaux = intervalles_de(fiche.provisoires), list[str]()
    for raison in RAISONS_PARTIELLES:
        manquent = oter(intervalles_de(trous, raison), ecrites)
        restent = croiser(intervalles_de(trous, raison), ecrites)
        a_confirmer = sum(grille(fiche).compter(*i) for i in restent)
        for nombre, dits, pourquoi in (
            (nombre_de(len(manquent), "trou"), manquent, f"« {raison} » ({sens[raison]})"),
            (nombre_de(a_confirmer, "bougie"), restent, f"à confirmer « {raison} » (écrite, jamais redite)"),
        ):
            if dits:
                morceaux.append(f"{nombre} {pourquoi}, de {en_iso(dits[0][0])} à {en_iso(dits[-1][1])}")
    return f"demandé de {en_iso(demande[0])} à {en_iso(demande[1])} ; il reste {' et '.join(morceaux)}"


# --- Flux ---

FLUSH_MAX_S = 5.0
REPOS_D_ECRITURE = 4  # fois sa durée : d'une rafale, mille lignes s'écrivent au prix de vingt
REPOS_MAX_S = 0.1
CONNUS_MS = MINUTE_MS  # derniers trades d'une sortie à reconnaître, quand on la continue ; davantage s'il n'y en a pas


def choisir_canal(connexion: Connexion, tache: Tache, series: Sequence[Serie]) -> str | None:
    """Le canal qui donne vraiment ce qui est demandé ; None : rien que le REST, juste après chaque clôture."""
    if tache.stream != "ohlcv":
        return tache.stream
    offerts, timeframe = connexion.canaux_offerts(), series[0].timeframe
    inverses = any(serie.nature.sous_type == "inverse" for serie in series)
    if tache.prix_ohlcv != "last":
        raison = f"les bougies au prix {tache.prix_ohlcv} ne se suivent pas par WebSocket"
    elif timeframe.peut_etre_ancre or timeframe.jeu_ms:
        raison = f"les bougies {timeframe.code} du WebSocket peuvent être ouvertes ailleurs (okx : 16:00 UTC)"
    elif inverses and connexion.particularite.volume_inverse_en_contrats:
        raison = "le volume des contrats inverses y est dans une autre unité qu'en REST"
    elif "ohlcv" in offerts:
        return "ohlcv"
    elif "trades" in offerts:
        journal.warning("%s n'a pas de flux de bougies : elles sont faites de ses trades.", tache.exchange)
        return "trades"
    else:
        raison = f"{tache.exchange} n'a ni flux de bougies ni flux de trades"
    journal.warning("Bougies lues par REST juste après chaque clôture : %s.", raison)
    return None


def ouvrir_fil(
    connexion: Connexion, tache: Tache, canal: str | None, serie: Serie, fiche: Fiche, connus: Sequence[Trade] = ()
) -> Fil:
    """Le fil d'une série ; `connus` : les derniers trades de la sortie qu'on continue."""
    reglages = ReglagesFlux(plage_de(tache), tache.silence, tache.profondeur, tache.concurrence)
    if tache.type_donnee is not OHLCV:
        if canal == "trades":
            return FilTrades(connexion, serie, fiche, reglages, connus)
        return (FilTicker if canal == "ticker" else FilCarnet)(connexion, serie, fiche, reglages)
    fil = FilBougies(connexion, serie, fiche, reglages)
    if canal == "trades":
        fil.faire_des_trades(tache.bougies_vides if tache.trades_vers_ohlcv else None)
    return fil


class ExecutionFlux(Execution):
    """Branche un flux sur son écrivain : un tampon, écrit hors de la boucle pour ne jamais la faire attendre."""

    async def lire(self, series: Sequence[Serie]) -> None:
        """Suit toutes les séries jusqu'à la durée demandée, ou sans fin ; annulée, écrit d'abord tout le reçu."""
        self._bilans = {serie.cle: self.suivre(serie) for serie in series}
        self._fiches = {serie.cle: self._fiche(serie) for serie in series}
        self._tampon: list[Lot] = []
        self._lignes = 0  # du tampon : l'additionner à chaque trame coûterait le carré d'un grand --flush
        self._ecriture: asyncio.Future[None] | None = None
        self._boucle = asyncio.get_running_loop()
        self._depuis = self._repos = self._boucle.time()
        self._debut = self.connexion.heure_ms()
        canal = choisir_canal(self.connexion, self.tache, series)
        fils = [
            ouvrir_fil(self.connexion, self.tache, canal, serie, self._fiches[serie.cle].copie(), self._connus(serie))
            for serie in series
        ]
        # Un seul fil d'écriture : chacun garderait pour lui de quoi fondre un fichier, cinquante Mo.
        self._vitesse, plume = annexe_ou_rien("vitesse"), futures.ThreadPoolExecutor(1, "ecriture")
        with self._vitesse.tas_fige() if self._vitesse else contextlib.nullcontext(), plume as self._plume:
            await self._suivre(Flux(self.connexion, canal, fils))

    async def _suivre(self, flux: Flux) -> None:
        progression = annexe_ou_rien("progression")
        battre = progression.Battement(self.connexion, flux.fils, self.suivi) if progression else lambda _: None
        try:
            async with contextlib.aclosing(suivre_flux(flux, self.tache.duree, self._attente)) as recus:
                async for lots in recus:
                    self._garder(lots)
                    await self._ecrire_si_du()
                    battre(lots)
        finally:
            self._garder(flux.collecter())
            if self._ecriture is not None:
                await asyncio.wait([self._ecriture])
            self._ecrire_tampon(self._tampon)
            for fil in flux.fils:
                self._conclure_fil(fil)

    def _attente(self) -> float:
        """Le temps que le tampon admet avant d'être écrit."""
        return max(0.0, self._depuis + FLUSH_MAX_S - self._boucle.time()) if self._tampon else FLUSH_MAX_S

    def _garder(self, lots: Sequence[Lot]) -> None:
        if lots and not self._tampon:
            self._depuis = self._boucle.time()
        self._tampon += lots
        for lot in lots:
            self._lignes += lot.lignes.num_rows
            self._bilans[lot.cle].lignes_recues += lot.lignes.num_rows  # ici : un disque plein en fait récrire

    async def _ecrire_si_du(self) -> None:
        """Écrit le tampon plein, ou vieux de 5 s, dans un fil à part ; ce qui arrive pendant ce temps attend."""
        age = self._boucle.time() - self._depuis
        if not self._tampon or (self._lignes < self.tache.flush and age < FLUSH_MAX_S):
            return
        await pause(self._repos - self._boucle.time())
        debut = self._boucle.time()
        lots, self._tampon, self._lignes = self._tampon, [], 0
        ecrire = functools.partial(contextvars.copy_context().run, self._ecrire_tampon, lots)
        self._ecriture = self._boucle.run_in_executor(self._plume, ecrire)
        self._ecriture.add_done_callback(functools.partial(self._reprendre_si_echec, lots))
        await asyncio.shield(self._ecriture)
        fin = self._boucle.time()
        self._repos = fin + min(REPOS_MAX_S, REPOS_D_ECRITURE * (fin - debut))

    def _reprendre_si_echec(self, lots: Sequence[Lot], ecriture: asyncio.Future[None]) -> None:
        """Un disque plein ne fait rien oublier : ces lots seront écrits à la fin, s'il y a de nouveau de la place."""
        if ecriture.exception() is not None:
            self._tampon[:0] = lots

    def _ecrire_tampon(self, lots: Sequence[Lot]) -> None:
        for lot in self._vitesse.enchainer(lots) if self._vitesse else lots:
            self._ecrire(lot, self._fiches[lot.cle], self._bilans[lot.cle])

    def _connus(self, serie: Serie) -> list[Trade]:
        """Les trades de la sortie d'où part la reprise, qu'elle ne répète pas : les derniers, et au bord des oublis."""
        fiche = self._fiches[serie.cle]
        if self.tache.type_donnee is not TRADES or serie.cle not in self.ecrivain.fiches:
            return []
        if not fiche.couverts:  # rien n'y est encore prouvé, mais ce qui y est ne doit pas être répété
            return _trades_de(self.ecrivain.lire(serie.cle, 0, INSTANT_MAX_MS))
        oublis, premier, prouve = fiche.a_relire(), fiche.couverts[0][0], fiche.couverts[-1][1]
        bords = [*(debut for debut, _ in oublis), prouve]
        avant = [self._jusqu_a_un_trade(serie.cle, bord, premier, -CONNUS_MS) for bord in bords]
        apres = [self._jusqu_a_un_trade(serie.cle, fin, prouve, 1) for _, fin in oublis]
        # Un oubli a pu être relu en partie, puis l'arrêt survenir.
        etendues = unir(avant, oublis, apres, [(prouve, INSTANT_MAX_MS)])
        return [trade for etendue in etendues for trade in _trades_de(self.ecrivain.lire(serie.cle, *etendue))]

    def _jusqu_a_un_trade(self, cle: CleSerie, bord: int, limite: int, pas: int) -> Intervalle:
        """De `bord` vers `limite`, de quoi tenir un trade, si loin soit-il d'un marché calme."""
        while True:
            etendue = min(bord, bord + pas), max(bord, bord + pas)
            if abs(pas) >= abs(limite - bord) or self.ecrivain.lire(cle, *etendue).num_rows:
                return etendue
            pas *= 8

    def _conclure_fil(self, fil: Fil) -> None:
        bilan = self._bilans[fil.cle]
        fiche = self.ecrivain.fiches.get(fil.cle, fil.fiche)
        debut = fil.du_depuis or self._debut
        bilan.demande = (debut, max(debut, self.connexion.heure_ms()))
        bilan.compteurs = fil.compteurs.dits()
        self._conclure(bilan, fiche)
        if fil.refus is not None:
            bilan.etat, bilan.message = "refusee", fil.refus.complet()


async def suivre_flux(
    flux: Flux, duree_s: float | None, attente: Callable[[], float] = lambda: FLUSH_MAX_S
) -> AsyncGenerator[list[Lot]]:
    """Ce qu'un flux rend jusqu'à la durée demandée, ou sans fin ; `attente` : les secondes à attendre le suivant."""
    horloge = asyncio.get_running_loop().time
    echeance = math.inf if duree_s is None else horloge() + duree_s
    try:
        flux.demarrer()
        while flux.vivant and (reste := echeance - horloge()) > 0:
            yield await flux.suivants(min(reste, attente()))
        conclusion = asyncio.ensure_future(flux.conclure())
        try:
            while not (await asyncio.wait([conclusion], timeout=attente()))[0]:
                yield flux.collecter()  # elle peut durer : ce qui est sûr n'en attend pas la fin pour être écrit
            yield conclusion.result()
        finally:
            await abandonner(conclusion)
    finally:
        await flux.arreter()


def _trades_de(table: pa.Table) -> list[Trade]:
    valeurs = en_tuples(table, ("id", "side", "price", "amount"))
    return [Trade(instant, *lues) for instant, lues in zip(instants_de(table), valeurs, strict=True)]


async def suivre(**options: Any) -> AsyncGenerator[Lot]:
    """Suit un flux ; options : les noms du YAML, `stream` compris. Rend des lots, sans rien écrire.

    Un lot : `cle` (la série), `lignes` (pyarrow.Table, aux colonnes du contrat, triée), `couverts` ([début, fin[ en ms
    désormais prouvés) et `trous`. Une ligne de même clé qu'une précédente la remplace. Finit avec `duree`, ou quand
    tous les symboles sont refusés. Lève ErreurDemande, ErreurDefinitive ou ErreurTemporaire.
    """
    tache = construire({**options, "stream": options.get("stream") or "ohlcv"})
    if tache.sortie is not None:
        raise ErreurDemande("`suivre` n'écrit rien", "Ôtez sortie, ou employez `executer`, qui écrit.")
    bilan, rendus = Bilan(tache.exchange), asyncio.Queue[list[Lot]]()
    # Dans sa tâche : à la fin du programme, asyncio ferme tous les générateurs abandonnés à la fois, même emboîtés
    # l'un dans l'autre ; mais il a d'abord annulé les tâches, et celle-ci se défait dans l'ordre.
    lecture = asyncio.ensure_future(_rendre(tache, bilan, rendus))
    lecture.add_done_callback(lambda _: rendus.put_nowait([]))
    try:
        while not (lecture.done() and rendus.empty()):
            lots = await rendus.get()
            _avertir(bilan.series)
            bilan.series.clear()
            for lot in lots:
                yield lot
            rendus.task_done()
        await lecture
    finally:
        await abandonner(lecture)


async def _rendre(tache: Tache, bilan: Bilan, rendus: asyncio.Queue[list[Lot]]) -> None:
    """Les lots d'un flux, un envoi après l'autre : rien n'est mis en table avant que le précédent soit lu."""
    async with ouvrir_tache(tache) as connexion:
        await connexion.preparer(tache.demandes)
        series = resoudre_series(connexion, tache, bilan)
        canal = choisir_canal(connexion, tache, series)
        flux = Flux(connexion, canal, [ouvrir_fil(connexion, tache, canal, s, Fiche(s.cle)) for s in series])
        async with contextlib.aclosing(suivre_flux(flux, tache.duree)) as recus:
            async for lots in recus:
                rendus.put_nowait(lots)
                await rendus.join()


# --- Bibliothèque ---


def lire(sortie: str | os.PathLike[str], *, table: str | None = None) -> pa.Table:
    """Les lignes d'une sortie, quel que soit son format ; colonnes du contrat, triées par clé. Lève ErreurSortie."""
    return lire_sortie(Path(sortie), table=table)


def executer(tache: Tache, *, suivi: Suivi | None = None) -> Bilan:
    """`executer_async`, pour du code ordinaire ; marche aussi dans un notebook, dont la boucle tourne déjà."""
    return courir(lambda: executer_async(tache, suivi=suivi))


def _avertir(series: Iterable[BilanSerie]) -> None:
    """Qui ne regarde que la table doit savoir qu'elle n'est pas entière ; un programme n'a souvent pas de journal."""
    for serie in series:
        if serie.etat != "complete":
            warnings.warn(f"{serie.cle or serie.symbole} : {serie.message}", stacklevel=3)


async def telecharger_async(**options: Any) -> pa.Table:
    """Télécharge une histoire ; options : les noms du YAML (`donnee`, `symbole`, `date_debut`…).

    `donnee` : « ohlcv » (d'office), « trades » (avec `trades_vers_ohlcv`, les bougies qui en sont faites), « funding »
    ou « open_interest ». Sans `sortie`, rien n'est écrit. Rend les lignes demandées, [date_debut, date_fin[, aux
    colonnes du contrat, triées par clé ; les fiches (intervalles prouvés, trous et leurs raisons) sont en JSON dans
    `table.schema.metadata[b"fiche"]`. S'il y manque quelque chose, ou un symbole, c'est dit par un avertissement
    (`warnings`). Lève ErreurDemande, ErreurSortie, ErreurDefinitive, ou ErreurTemporaire quand les essais sont épuisés.
    """
    table, series = await _telecharger(options)
    _avertir(series)
    return table


async def _telecharger(options: Mapping[str, Any]) -> tuple[pa.Table, list[BilanSerie]]:
    """La table demandée, et ce que chaque série a donné."""
    tache = construire(options)
    if tache.timeframes:
        raise ErreurDemande("Une table n'a qu'un timeframe", "Faites un appel par timeframe, ou employez `executer`.")
    puits = Memoire(tache.type_donnee) if tache.sortie is None else None
    bilan = await executer_async(tache, puits=puits)
    for serie in bilan.series:
        if serie.etat == "echec":
            raise serie.erreur or ErreurTemporaire(serie.message)
    if puits is not None:
        return _avec_fiches(puits.table(), tache.type_donnee, puits.fiches.values()), bilan.series
    sortie = bilan.sortie or Path()  # sans puits, `executer_async` l'a choisie
    fiches = {f.cle: f for f in lire_fiches(sortie, table=tache.table_choisie)}
    demandes = {serie.cle: serie.demande or (0, 0) for serie in bilan.series if serie.cle is not None}
    table = lire(sortie, table=tache.table_choisie)
    morceaux = [table[:0]]
    for cle, lignes in par_serie(table, tache.type_donnee):
        debut, fin = demandes.get(cle, (0, 0))
        morceaux += trancher([lignes], (cle.symbole, debut), (cle.symbole, fin))
    connues = [fiches[cle] for cle in demandes if cle in fiches]
    return _avec_fiches(pa.concat_tables(morceaux), tache.type_donnee, connues), bilan.series


def telecharger(**options: Any) -> pa.Table:
    """Télécharge une histoire ; options : les noms du YAML. `help(telecharger_async)` dit ce qui est rendu, et levé.

        telecharger(exchange="binance", symbole="BTC/USDT", timeframe="1h", date_debut="-7j")

    Pour du code ordinaire ; marche aussi dans un notebook, dont la boucle tourne déjà.
    """
    table, series = courir(lambda: _telecharger(options))
    _avertir(series)  # d'ici : l'avertissement montre la ligne de qui appelle
    return table


# De bougies : mêmes options, mêmes rendus, mêmes erreurs.
telecharger_ohlcv_async, telecharger_ohlcv = telecharger_async, telecharger


def _avec_fiches(table: pa.Table, donnee: TypeDonnee, fiches: Iterable[Fiche]) -> pa.Table:
    texte = json.dumps({"type": donnee.nom, "series": [fiche.en_dict() for fiche in fiches]}, ensure_ascii=False)
    return table.replace_schema_metadata({"fiche": texte})


def courir(fabrique: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Exécute une coroutine jusqu'au bout ; dans un fil à part si une boucle tourne déjà dans celui-ci."""
    boucle = None
    with contextlib.suppress(RuntimeError):
        boucle = asyncio.get_running_loop()
    if boucle is None:  # hors du `except` : une trace ne le montrerait que pour égarer
        return asyncio.run(fabrique())
    annuler: list[Callable[[], object]] = []

    async def suivie() -> T:
        tache, ici = asyncio.current_task(), asyncio.get_running_loop()
        annuler.append(lambda: tache and ici.call_soon_threadsafe(tache.cancel))
        return await fabrique()

    with futures.ThreadPoolExecutor(1) as fil:
        try:
            return fil.submit(lambda: asyncio.run(suivie())).result()
        except KeyboardInterrupt:  # « interrompre le noyau » : ce qui est reçu s'écrit, puis l'on s'arrête
            with contextlib.suppress(RuntimeError):  # elle venait de finir
                for un in annuler:
                    un()
            raise


# --- Les annexes : ce qui sert autour, chargé au premier usage ---
#
# Ajouter un nom public qui vit dans une annexe : une ligne ici, une dans `__all__`, son import pour mypy.

DANS_LES_ANNEXES = {
    "Rapport": ("controle", "Vérifier une sortie"),
    "agreger_trades": ("agregation", "Agréger des trades déjà écrits"),
    "verifier": ("verification", "Vérifier une sortie"),
    "BilanLot": ("lot", "Exécuter un lot"),
    "executer_lot": ("lot", "Exécuter un lot"),
    "executer_lot_async": ("lot", "Exécuter un lot"),
}

if TYPE_CHECKING:
    from annexes_ccxt_fr.agregation import agreger_trades
    from annexes_ccxt_fr.controle import Rapport
    from annexes_ccxt_fr.lot import BilanLot, executer_lot, executer_lot_async
    from annexes_ccxt_fr.pauses import Pauses
    from annexes_ccxt_fr.verification import verifier
else:

    def __getattr__(nom: str) -> Any:
        if nom not in DANS_LES_ANNEXES:
            raise AttributeError(f"module {__name__!r} has no attribute {nom!r}")
        return getattr(annexe(*DANS_LES_ANNEXES[nom]), nom)


# ----------------------------------------------------------------------------------------------------------------------
# § 12  Ligne de commande
# ----------------------------------------------------------------------------------------------------------------------

COMMANDES = ("ccxt-fr", "ccxt-fr-lot")  # celles qu'installe pyproject.toml
DESCRIPTION = (
    "Télécharge des bougies OHLCV vraies et complètes de n'importe quel exchange ccxt, et les range sur le disque. "
    "« initier [DOSSIER] » y écrit un lot commenté et un .env."
)


INSECABLE = "\u00a0"

# Ce qu'argparse dit en anglais d'une option mal donnée.
_FAUTES_D_ARGPARSE = (
    (r"argument (\S+): expected (?:one|at least one) argument", r"\1 attend une valeur"),
    (r"argument (\S+): ignored explicit argument (.*)", r"\1 est un drapeau : il ne prend pas de valeur (\2)"),
)


def _mettre_en_page(prog: str) -> argparse.HelpFormatter:
    """La mise en page de l'aide, où argparse écrirait « usage » et commencerait une ligne par « : »."""
    page = argparse.HelpFormatter(prog, max_help_position=34, width=min(shutil.get_terminal_size().columns, 110))
    page.add_usage = functools.partial(page.add_usage, prefix="utilisation : ")  # type: ignore[method-assign]
    mettre_en_lignes = page.format_help
    page.format_help = lambda: mettre_en_lignes().replace(INSECABLE, " ")  # type: ignore[method-assign]
    return page


def _insecable(texte: str) -> str:
    """Le texte, dont un retour à la ligne ne sépare pas un signe double du mot d'avant."""
    return re.sub(r" (?=[:;?])", INSECABLE, texte)


def analyseur(programme: str, description: str, *modeles: type[Any]) -> argparse.ArgumentParser:
    """L'analyseur d'une ligne de commande, tout entier tiré des déclarations d'options."""
    resultat = argparse.ArgumentParser(
        prog=programme,
        description=description,
        epilog=_insecable(
            "Codes de sortie : 0 tout est sur le disque ; 1 échec ; 2 demande invalide ; 3 partiel ; "
            "4 fautes trouvées ; 75 sortie occupée ; 130, 143 interrompu."
        ),
        allow_abbrev=False,
        add_help=False,
        exit_on_error=False,
        formatter_class=_mettre_en_page,
    )
    champs = [champ for modele in modeles for champ in fields(modele)]
    noms = dict.fromkeys(champ.metadata["groupe"] for champ in champs)
    groupes = {nom: resultat.add_argument_group(f"{nom} ") for nom in noms}  # argparse y colle ses deux points
    for champ in champs:
        _ajouter_drapeau(groupes[champ.metadata["groupe"]], champ)
    divers = resultat.add_argument_group("divers ")
    for drapeaux, reglages in DRAPEAUX_COMMUNS.items():
        divers.add_argument(*drapeaux, **reglages)
    return resultat


def _ajouter_drapeau(groupe: Any, champ: dataclasses.Field[Any]) -> None:
    """Un drapeau par option ; argparse ne fait que découper, `lire_options` contrôle."""
    declaration = champ.metadata
    defaut = defaut_lisible(champ)
    sans_lui = "" if defaut in ("–", "non") else f" (défaut : {defaut})"
    aide = _insecable(declaration["aide"].replace("%", "%%") + sans_lui)
    noms = [drapeau(nom) for nom in (champ.name, *declaration["synonymes"])]
    if isinstance(champ.default, bool):
        groupe.add_argument(*noms, dest=champ.name, action="store_true", default=argparse.SUPPRESS, help=aide)
        return
    valeur = "{" + ",".join(declaration["choix"]) + "}" if declaration["choix"] else declaration["valeur"]
    action = groupe.add_argument(*noms, dest=champ.name, metavar=valeur, default=argparse.SUPPRESS, help=aide)
    if declaration["choix"]:
        action.completer = lambda **_: declaration["choix"]  # argcomplete, quand l'interpréteur de commandes le demande


def decouper(
    arguments: Sequence[str], programme: str, description: str, *modeles: type[Any]
) -> tuple[dict[str, Any], list[str]]:
    """Les options données, encore en texte, et les fautes de celles qui n'existent pas."""
    lecteur = analyseur(programme, description, *modeles)
    if "_ARGCOMPLETE" in os.environ:  # la touche tabulation : argcomplete répond, et sort
        importer("argcomplete", "Compléter une commande").autocomplete(lecteur)
    try:
        lus, inconnus = lecteur.parse_known_args(_coller_relatifs(arguments))
    except argparse.ArgumentError as erreur:
        dite = str(erreur)
        for motif, francais in _FAUTES_D_ARGPARSE:
            dite = re.sub(motif, francais, dite)
        raise ErreurDemande(dite, "L'aide : --help.") from None
    drapeaux = [drapeau(nom) for nom in noms_options(*modeles)]
    # La valeur d'une option inconnue n'est pas répétée : ce peut être une clé, donnée par erreur en option.
    noms_inconnus = [mot.partition("=")[0] for avant, mot in zip(["", *inconnus], inconnus, strict=False)
                     if mot.startswith("-") or not avant.startswith("-")]  # fmt: skip
    return vars(lus), [
        f"{nom} : option inconnue. {proches(nom, drapeaux, 1)}".strip() if nom.startswith("-")
        else f"« {nom} » est en trop : une option précède chaque valeur, et une liste se sépare par des virgules"
        for nom in noms_inconnus
    ]  # fmt: skip


FORMES_DE_LISTE = ("json", "csv")


def nom_du_programme(fichier: str) -> str:
    """Le nom sous lequel on est lancé, s'il est l'un des nôtres (`ccxt-fr`) ; sinon celui du fichier."""
    lance = Path(sys.argv[0]).stem if sys.argv else ""
    return lance if lance in COMMANDES else fichier


def lire_arguments(arguments: Sequence[str]) -> tuple[Tache, OptionsExecution]:
    """La tâche et les options d'exécution ; ErreurDemande avec toutes les fautes.

    `--lister` et `--verifier` se passent de symbole ; avec `--lister`, `format` est la forme de la liste.
    """
    programme = nom_du_programme("module_ccxt_fr_v2.py")
    valeurs, fautes = decouper(arguments, programme, DESCRIPTION, Tache, OptionsExecution)
    d_execution = {nom: valeurs.pop(nom) for nom in noms_options(OptionsExecution) if nom in valeurs}
    liste = d_execution.get("lister")
    forme = valeurs.pop("format", None) if liste else None
    if forme not in (None, *FORMES_DE_LISTE):
        choix = ", ".join(FORMES_DE_LISTE)
        fautes.append(f"--format : « {forme} » n'est pas permis avec --lister (choix : {choix})")
    facultatives = ("symbole",) if liste or d_execution.get("verifier") else ()  # même mal écrits
    execution, d_elles = lire_options(OptionsExecution, d_execution, drapeau)
    tache, de_la_tache = lire_options(Tache, valeurs, drapeau, facultatives)
    if tache and execution and tache.ecrit(execution.bilan):
        fautes.append("--bilan : c'est aussi --sortie, qu'il écraserait")
    if fautes or tache is None or execution is None:
        raise ErreurDemande("\n".join([*fautes, *d_elles, *de_la_tache]), "L'aide : --help.")
    if liste:
        tache = dataclasses.replace(tache, format=forme)
    if liste == "marches" and "type_marche" not in valeurs:
        tache = dataclasses.replace(tache, type_marche="")  # sans type demandé, cette liste les a tous
    return tache, execution


def _coller_relatifs(arguments: Sequence[str]) -> list[str]:
    """`--date-debut -7j` et `--lister donnees DOSSIER`, en un seul mot : argparse ne le devinerait pas."""
    colles: list[str] = []
    for mot in arguments:
        if colles[-2:] == ["--lister", "donnees"] and not mot.startswith("-"):
            colles[-1] = f"donnees {mot}"
        elif colles and re.fullmatch(r"-\d[\w.,]*", mot) and colles[-1].startswith("--") and "=" not in colles[-1]:
            colles[-1] = f"{colles[-1]}={mot}"
        else:
            colles.append(mot)
    return colles


# --- Journal ---

NIVEAU_COURANT: contextvars.ContextVar[str | None] = contextvars.ContextVar("niveau_courant", default=None)
TACHE_COURANTE: contextvars.ContextVar[str] = contextvars.ContextVar("tache_courante", default="")


def installer_journal(niveau: str, niveaux_des_taches: Iterable[str] = ()) -> None:
    """Le journal du module sur stderr ; celui des bibliothèques, qui peut citer des en-têtes, se tait.

    `niveaux_des_taches` : ceux que des tâches d'un lot demandent pour elles ; les autres gardent `niveau`.
    """
    sortie = logging.StreamHandler()
    sortie.addFilter(lambda ligne: ligne.levelno >= getattr(logging, (NIVEAU_COURANT.get() or niveau).upper()))
    forme = _Forme("%(asctime)s %(levelname)-7s %(tache)s%(message)s", "%Y-%m-%dT%H:%M:%SZ")
    forme.converter = time.gmtime
    sortie.setFormatter(forme)
    journal.handlers[:] = [sortie]
    journal.setLevel(min(getattr(logging, nom.upper()) for nom in (niveau, *niveaux_des_taches)))
    journal.propagate = False
    for bavard in ("ccxt", "asyncio", "aiohttp", "dotenv", "distributed", "tornado"):
        logging.getLogger(bavard).addHandler(logging.NullHandler())
        logging.getLogger(bavard).propagate = False


class _Forme(logging.Formatter):
    """Une ligne de journal, au nom de sa tâche dans un lot ; rien n'y pilote le terminal, seuls nos sauts de ligne."""

    def format(self, record: logging.LogRecord) -> str:
        nom = getattr(record, "nom_tache", None) or TACHE_COURANTE.get()
        record.tache = f"{nom} : " if nom else ""
        return neutraliser(super().format(record), sauf="\n")


# --- Commandes ---


async def commande_telecharger(tache: Tache, bilan: Bilan) -> None:
    """Le travail principal ; la ligne finale va au journal, stdout est réservé aux listes."""
    pauses, progression = annexe_ou_rien("pauses"), annexe_ou_rien("progression")
    dossier = tache.sortie.parent if tache.sortie else DOSSIER_SORTIES
    contexte = Contexte(pauses=pauses and pauses.Pauses(dossier), seule=True)
    with progression.montrer() if progression else contextlib.nullcontext() as suivi:
        await executer_async(tache, suivi=suivi, bilan=bilan, contexte=contexte)
    dire_la_fin(bilan)


def dire_la_fin(bilan: Bilan) -> None:
    """La ligne finale, une par timeframe quand plusieurs sont demandés ; le module copié seul la dit courte."""
    bilans = annexe_ou_rien("bilans")
    for partie in bilan.detail:
        if partie.sortie is not None:
            lignes = nombre_de(partie.total("lignes_nouvelles"), "ligne nouvelle")
            courte = f"Code {partie.code} : {lignes}, {partie.sortie}"
            journal.info("%s", bilans.dire_bilan(partie) if bilans else courte)


def _sous_signaux(coroutine: Any) -> Any:
    """Exécute une coroutine ; SIGINT et SIGTERM l'annulent et lèvent Interruption quand elle a fini de ranger."""
    recus: list[int] = []

    async def sous_garde() -> Any:
        boucle, tache = asyncio.get_running_loop(), asyncio.ensure_future(coroutine)
        boucle.set_exception_handler(_taire_la_boucle)

        def annuler(numero: int, _cadre: object) -> None:
            if not recus:
                boucle.call_soon_threadsafe(tache.cancel)
            recus.append(numero)

        with _signaux_recus_par(annuler):
            try:
                return await tache
            except asyncio.CancelledError:
                raise Interruption(recus[0] if recus else signal.SIGINT) from None

    return asyncio.run(sous_garde())


@contextlib.contextmanager
def _signaux_recus_par(recevoir: Callable[[int, object], object]) -> Iterator[None]:
    """SIGINT et SIGTERM lui vont, puis à qui ils allaient."""
    # `signal.signal` et non `add_signal_handler` : il existe aussi sous Windows.
    anciens = {numero: signal.signal(numero, recevoir) for numero in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for numero, ancien in anciens.items():
            signal.signal(numero, ancien)


def _taire_la_boucle(_boucle: object, contexte: Mapping[str, Any]) -> None:
    """Ce que la boucle asyncio dirait d'elle-même (avec une trace) va au journal, en une ligne, au niveau debug."""
    journal.debug("asyncio : %s %s", contexte.get("message"), type(contexte.get("exception")).__name__)


class Interruption(Exception):
    """Un signal a arrêté l'exécution ; tout le reçu est écrit."""

    def __init__(self, numero: int) -> None:
        super().__init__(signal.Signals(numero).name)
        self.code = 128 + numero


def preparer_terminal() -> None:
    """Journal au niveau d'office ; un terminal sans accents n'est pas une faute."""
    for flux in (sys.stdout, sys.stderr):
        if isinstance(flux, io.TextIOWrapper):
            flux.reconfigure(errors="backslashreplace")
    installer_journal("info")


def obtenir(demander: Callable[[], T]) -> T | int:
    """Ce qui est demandé, ou le code de sortie : aide affichée, demande refusée (et dite), Ctrl-C, SIGTERM."""
    try:
        if threading.current_thread() is not threading.main_thread():  # un autre fil ne garde aucun signal
            return demander()
        # Hors de l'exécution, qui les garde : d'office, SIGTERM tue (-15).
        with _signaux_recus_par(lambda recu, _: sys.exit(128 + recu)):
            return demander()
    except SystemExit as sortie:  # --help, --version, SIGTERM
        return int(sortie.code or 0)
    except KeyboardInterrupt:  # avant que l'exécution ne garde les signaux, ou après
        return CODE_SIGINT
    except ErreurCollecte as refus:
        journal.error("%s", refus.complet())
        return refus.code_sortie


BILAN, RAPPORT = ("bilans", "--bilan"), ("rapport", "Une page --rapport")


def principal(arguments: Sequence[str] | None = None) -> int:
    """La ligne de commande ; rend le code de sortie."""
    preparer_terminal()
    return obtenir(lambda: _mener(sys.argv[1:] if arguments is None else arguments))


def _mener(mots: Sequence[str]) -> int:
    """Fait ce que disent ces mots, et rend le code de sortie ; ErreurDemande s'ils ne veulent rien dire."""
    if mots and mots[0] == "initier":
        imprimer(annexe("initier", "initier").commande(mots[1:]))
        return CODE_SUCCES
    tache, execution = lire_arguments(mots)
    installer_journal(execution.journal)
    dire_les_repetitions(mots)
    if not (execution.lister or execution.verifier) and (remarques := annexe_ou_rien("remarques")):
        remarques.dire_les_sans_objet(tache)
    for demande, lue in ((execution.bilan, BILAN), (execution.rapport, RAPPORT)):
        if demande is not None:
            annexe(*lue)  # ce qui manquerait se dit avant de télécharger
    bilan = Bilan(tache.exchange)
    conduire(_choisir(tache, execution, bilan), bilan, flux=tache.stream is not None)
    if execution.rapport is not None:
        page, bilans = execution.rapport, [("", bilan)]
        echec = obtenir(lambda: annexe(*RAPPORT).ecrire_rapport(page, bilans, tache.sqlite_table))
        bilan.code = bilan.code or echec
    return bilan.code if execution.bilan is None else int(annexe(*BILAN).ecrire_bilan(execution.bilan, bilan))


CompteRendu: TypeAlias = "Bilan | BilanLot"


def dire_les_repetitions(mots: Sequence[str]) -> None:
    """D'une option donnée deux fois, la dernière l'emporte ; de deux symboles, ce serait en taire un."""
    vus = collections.Counter(mot.partition("=")[0].replace("--symboles", "--symbols") for mot in mots)
    for nom in (nom for nom, fois in vus.items() if fois > 1 and nom.startswith("--")):
        plusieurs = " ; plusieurs symboles : --symbols A,B" if nom.startswith("--symbol") else ""
        journal.warning("« %s » est donné plusieurs fois : seul le dernier compte%s.", nom, plusieurs)


def conduire(commande: Coroutine[Any, Any, list[str]], bilan: CompteRendu, *, flux: bool = False) -> None:
    """Exécute une commande et imprime ses lignes ; toute erreur prévue finit en une phrase et un code, au bilan."""
    try:
        vitesse = annexe_ou_rien("vitesse")
        with vitesse.commande(flux=flux) if vitesse else contextlib.nullcontext():
            lignes = _sous_signaux(commande)
        imprimer(lignes)
    except ErreurCollecte as erreur:
        bilan.refuser(erreur)
        journal.error("%s", erreur.complet())
    except Interruption as interruption:
        bilan.interrompre(interruption.code, f"interrompu par {interruption}")
        journal.warning(
            "Interrompu par %s : tout ce qui est reçu est écrit ; relancer reprend où l'on en est.", interruption
        )
        if isinstance(bilan, Bilan) and bilan.verification is None:
            dire_la_fin(bilan)
    finally:
        commande.close()  # qu'un signal a devancée : Python dirait qu'elle n'a jamais commencé


async def _choisir(tache: Tache, execution: OptionsExecution, bilan: Bilan) -> list[str]:
    """Les lignes que la commande demandée met sur stdout."""
    if execution.lister == "timeframes" and not tache.format:  # le module copié seul sait encore cela
        async with ouvrir_connexion(tache) as connexion:
            return list(connexion.api.timeframes or {})
    if execution.lister:
        return list(await annexe("listes", "--lister").lister(tache, execution.lister))
    if execution.simulation:
        return list(await annexe("simulation", "--simulation").commande_simuler(tache))
    if execution.verifier:
        return list(await annexe("verification", "--verifier").commande_verifier(tache, execution, bilan))
    await commande_telecharger(tache, bilan)
    return []


def imprimer(lignes: Iterable[str]) -> None:
    """Les lignes sur stdout ; un tube fermé en face (`| head`) n'est pas une faute, un disque plein si."""
    try:
        for ligne in lignes:
            print(neutraliser(ligne, sauf="\t"), flush=True)  # noqa: T201  le seul print : stdout est réservé aux listes
    except OSError as erreur:
        # Ce qui reste dans le tampon serait réécrit, et échouerait encore, à la sortie de Python.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(erreur, BrokenPipeError):
            raise ErreurSortie(
                f"Écrire sur stdout a échoué : {cause_disque(erreur)}", "Vérifiez où il est redirigé."
            ) from erreur


if __name__ == "__main__":
    sys.exit(principal())
