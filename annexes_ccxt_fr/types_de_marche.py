"""Ne demander d'un exchange que les listes de marchés dont la tâche a besoin : binance en charge trois, d'office.

Le module s'en passe quand il est copié seul : il les demande toutes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from module_ccxt_fr_v2 import Connexion, NatureMarche

_GENRES_CHARGES = {
    "spot": {"spot"},
    "margin": {"spot"},
    "swap": {"swap", "linear", "inverse", "contract"},
    # bitget range ses échéances avec ses swaps
    "future": {"future", "delivery", "swap", "linear", "inverse", "contract"},
    "option": {"option"},
}


def reduire(connexion: Connexion, natures: Collection[NatureMarche]) -> Any:
    """Réduit l'option `fetchMarkets.types` de la classe ; rend ce qu'elle était, None si rien n'est réduit."""
    reglages, reglage = connexion.reglages, connexion.api.options.get("fetchMarkets")
    types = reglage.get("types") if isinstance(reglage, dict) else None
    choisis = {**reglages.options, **reglages.config_ccxt.get("options", {})}
    utiles = marches_utiles(types, natures) if natures and types and "fetchMarkets" not in choisis else types
    if utiles == types:
        return None
    reglage["types"] = utiles
    return types


def marches_utiles(types: Any, natures: Iterable[NatureMarche]) -> Any:
    """Les types de marché qui servent à ces natures ; tous, si l'exchange ne les nomme pas comme les autres."""
    utiles: set[str] = set()
    for nature in natures:
        ecarte = {"linear": {"inverse"}, "inverse": {"linear"}}.get(nature.sous_type or "", set())
        utiles |= _GENRES_CHARGES[nature.type_marche] - ecarte
    if isinstance(types, list):
        return [genre for genre in types if genre in utiles] or types
    return types
