"""Contrôler `config_ccxt` et `params` avant la première requête : ccxt ne s'en plaindrait qu'alors, ou jamais."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from annexes_ccxt_fr.suggestions import forme_de_mot
from module_ccxt_fr_v2 import ErreurDemande, cause_disque, neutraliser

if TYPE_CHECKING:
    from pathlib import Path

TEXTE_MAX = 16 << 20  # un fichier de tâches n'en fait pas tant ; un fichier de données donné par erreur, si
IMBRICATION_MAX = 32  # la configuration d'un exchange en a quatre ; ccxt la parcourt récursivement
RATE_LIMIT_MAX_MS = 3_600_000.0  # une requête par heure : au-delà, rien n'avancerait


def controler_imbrication(objet: Any) -> None:
    """ValueError si un objet a trop de niveaux, ou se contient lui-même."""
    try:
        imbrication = _imbrication(objet)
    except RecursionError:
        imbrication = IMBRICATION_MAX + 1
    if imbrication > IMBRICATION_MAX:
        raise ValueError(f"un objet JSON d'au plus {IMBRICATION_MAX} niveaux est attendu")


def _imbrication(objet: Any) -> int:
    """Le nombre de niveaux d'un objet ; RecursionError s'il se contient lui-même."""
    if not isinstance(objet, Mapping | list | tuple):
        return 0
    enfants = objet.values() if isinstance(objet, Mapping) else objet
    return 1 + max(map(_imbrication, enfants), default=0)


@functools.lru_cache(8)
def _modele(classe: Any) -> Any:
    """Une instance sans réglage, qui ne sert qu'à comparer les natures."""
    return classe()


def controler(config: Mapping[str, Any], classe: Any) -> None:
    """Lève ErreurDemande si une valeur ne peut aller à cette classe ccxt.

    Rien ne dit ce que doit être chaque valeur : c'est celle que la classe a d'office qui le dit, à quelques noms près.
    """
    modele = _modele(classe)
    for nom, valeur in config.items():
        attendu = _attendu(nom, valeur, getattr(modele, nom, None))
        if attendu:
            raise ErreurDemande(
                f"config_ccxt : « {neutraliser(nom)} » ne convient pas à {modele.id} : {attendu} est attendu",
                "Corrigez cette valeur, ou ôtez-la.",
            )


def _attendu(nom: str, valeur: Any, actuel: Any) -> str:
    """Ce que devrait être une valeur de configuration, d'après celle que la classe a d'office ; vide si elle va."""
    if nom in _ATTENDUS:
        convient, dit = _ATTENDUS[nom]
    elif nom.lower().endswith("proxy"):
        convient, dit = (lambda v: v is None or isinstance(v, str)), "une URL"
    else:
        natures = (n for n in _NATURES if (callable(actuel) if n[0] is Callable else isinstance(actuel, n[0])))
        _, convient, dit = next(natures, (object, lambda _: True, ""))
    return "" if convient(valeur) and (nom != "urls" or _memes_formes(valeur, actuel)) else dit


def _est_un_nombre(valeur: Any) -> bool:
    return isinstance(valeur, int | float) and not isinstance(valeur, bool) and 0 <= valeur < math.inf


def _sont_des_entetes(valeur: Any) -> bool:
    return isinstance(valeur, Mapping) and all(
        isinstance(mot, str) and mot.isprintable() for paire in valeur.items() for mot in paire
    )


def _memes_formes(valeur: Mapping[str, Any], actuel: Mapping[str, Any]) -> bool:
    """Vrai si chaque adresse en reste une, et chaque groupe d'adresses un groupe."""
    for nom in valeur.keys() & actuel.keys():
        dite, connue = valeur[nom], actuel[nom]
        if isinstance(connue, Mapping):
            if not isinstance(dite, Mapping) or not _memes_formes(dite, connue):
                return False
        elif isinstance(connue, str) and not isinstance(dite, str):
            return False
    return True


_OBJET = (lambda v: not isinstance(v, str | int | float | list), "un objet")


# Ce qu'attend ccxt : pour certains noms, puis d'après la nature de la valeur d'office, la première qui convient.
_ATTENDUS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "rateLimit": (
        lambda v: _est_un_nombre(v) and v <= RATE_LIMIT_MAX_MS,
        f"un nombre entre 0 et {RATE_LIMIT_MAX_MS:.0f}",
    ),
    "timeout": (lambda v: _est_un_nombre(v) and v > 0, "un nombre de ms"),
    "hostname": (lambda v: isinstance(v, str), "un texte"),
    "headers": (_sont_des_entetes, "un objet de textes, chacun sur une ligne,"),
    **dict.fromkeys(("session", "asyncio_loop", "ssl_context", "tcp_connector", "throttler", "markets"), _OBJET),
}


_NATURES: tuple[tuple[Any, Callable[[Any], bool], str], ...] = (
    (Callable, callable, "rien, c'est une méthode de ccxt,"),
    (bool, lambda v: isinstance(v, bool), "true ou false"),
    (int | float, _est_un_nombre, "un nombre"),
    (str, lambda v: isinstance(v, str), "un texte"),
    (Mapping, lambda v: isinstance(v, Mapping), "un objet"),
)


def lire_texte_utf8(chemin: Path) -> str:
    """Le texte d'un fichier de demande ; ErreurDemande s'il ne se lit pas, est trop gros ou n'est pas de l'UTF-8."""
    try:
        with chemin.open("rb") as fichier:  # borné : `/dev/zero` dit une taille nulle, et ne finit pas
            octets = fichier.read(TEXTE_MAX + 1)
        if len(octets) <= TEXTE_MAX:
            return octets.decode("utf-8-sig").replace("\r\n", "\n")
        cause = f"il dépasse {TEXTE_MAX >> 20} Mo"
    except UnicodeDecodeError as erreur:
        cause = f"ce n'est pas du texte UTF-8 (octet {erreur.start + 1})"
    except OSError as erreur:
        cause = cause_disque(erreur)
    raise ErreurDemande(f"« {chemin} » ne se lit pas : {cause}", "Vérifiez le chemin du fichier.")


def lire_fichier(chemin: Path) -> str:
    """Le texte d'un `@fichier.json` ; ValueError s'il ne se lit pas."""
    try:
        if chemin.exists() and not (chemin.is_file() or chemin.is_dir()):  # un tube s'attendrait sans fin
            raise ValueError(f"« {chemin} » n'est pas un fichier ordinaire")
        with chemin.open("rb") as fichier:
            octets = fichier.read(TEXTE_MAX + 1)
        if len(octets) > TEXTE_MAX:
            raise ValueError(f"« {chemin} » ne se lit pas (il dépasse {TEXTE_MAX >> 20} Mo)")
        return octets.decode()
    except (OSError, UnicodeDecodeError) as erreur:
        cause = cause_disque(erreur) if isinstance(erreur, OSError) else "pas du texte UTF-8"
        raise ValueError(f"« {chemin} » ne se lit pas ({cause})") from None


# Ce que dit une autre option : donné en paramètre, la série ne serait plus celle que le fichier annonce. Formes de
# comparaison (`forme_de_mot`) des noms qu'emploient les exchanges.
_RESERVES = {
    "symbole": """symbol symbols pair pairs market markets marketid instrument instrumentname instrumentid instid
        contract contractcode currencypair productid symbolid tradingpair coin baseid quoteid""",
    "type_marche": "category producttype insttype",
    "timeframe": "interval timeframe granularity resolution period bar barsize",
    "prix_ohlcv": "price pricetype pricekind",
    "limite": "limit count size pagesize perpage num candlesticks paginate",
    "date_debut": """since start starttime starttimestamp startts startat startdate startdateiso from fromtime
        fromtimestamp fromms fromiso fromdate fromdateiso fromidx after cursor""",
    "date_fin": """until end endtime endtimestamp endts endat enddate enddateiso to totime totimestamp toms toiso todate
        todateiso before last""",
}
_OPTION_DU_PARAMETRE = {forme: nom for nom, formes in _RESERVES.items() for forme in formes.split()}


def controler_params(params: Mapping[str, Any]) -> Mapping[str, Any]:
    """Les mêmes paramètres ; ValueError si l'un changerait la série elle-même."""
    for nom in params:
        if choix := _OPTION_DU_PARAMETRE.get(forme_de_mot(str(nom))):
            raise ValueError(f"« {neutraliser(str(nom))} » changerait la série demandée : employez l'option {choix}")
    return params
