"""De quoi lire un exchange embarqué par la vraie classe ccxt : horloge arrêtée, sans débit imposé."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ccxt.async_support as ccxt
from marche_simule import SANS_LIMITEUR, marche_commun
from temps_simule import derouler

from bourse_locale import Bourse
from bourse_locale.marche import instant_ms

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Scenario = Callable[[Bourse, Any], Awaitable[Any]]

MAINTENANT = instant_ms("2026-11-20T12:34:30")
PASSE = instant_ms("2024-03-05T10:00:00")
MINUTE, HEURE, JOUR = 60_000, 3_600_000, 86_400_000


def jouer(nom: str, scenario: Scenario, **reglages: Any) -> None:
    """Ouvre la bourse et la vraie classe ccxt, à la même heure, le temps d'un scénario."""

    async def dedans() -> None:
        communs = {"maintenant_ms": MAINTENANT, "acceleration": 0.0, "limites": False}
        options: dict[str, Any] = {"marche": marche_commun(), **communs, **reglages}
        async with Bourse((nom,), **options) as bourse:
            exchange = getattr(ccxt, nom)({**bourse.config_ccxt(nom), **SANS_LIMITEUR})
            exchange.milliseconds = bourse.maintenant_ms
            try:
                await scenario(bourse, exchange)
            finally:
                await exchange.close()

    derouler(dedans())


def attendu(
    bourse: Bourse, symbole: str, timeframe: str, debut: int, fin: int, prix: Any = "last"
) -> list[list[Any]]:
    """L'oracle du seul exchange de cette bourse, dans la forme de ccxt."""
    (nom,) = bourse.protocoles
    return [list(ligne) for ligne in bourse.attendu(nom, symbole, timeframe, debut, fin, prix)]
