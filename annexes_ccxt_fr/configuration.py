"""Contrôler `config_ccxt` avant la première requête : ccxt ne s'en plaindrait qu'alors, ou jamais.

Rien n'y dit ce que doit être chaque valeur : c'est celle que la classe a d'office qui le dit, à quelques noms près.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from typing import Any

from module_ccxt_fr_v2 import ErreurDemande, neutraliser

RATE_LIMIT_MAX_MS = 3_600_000.0  # une requête par heure : au-delà, rien n'avancerait


@functools.lru_cache(8)
def _modele(classe: Any) -> Any:
    """Une instance sans réglage, qui ne sert qu'à comparer les natures."""
    return classe()


def controler(config: Mapping[str, Any], classe: Any) -> None:
    """Lève ErreurDemande si une valeur ne peut aller à cette classe ccxt."""
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
