"""Jusqu'où remontent les bougies d'un exchange, d'après ce qu'on en sait d'avance.

La collecte n'en a pas besoin : elle le voit à ce que rendent ses pages, et le prouve. C'est ce que disent les listes,
ce que suppose une simulation, et ce qui fait proposer les trades.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping  # noqa: TC003  lus par NamedTuple
from typing import Any, NamedTuple

from annexes_ccxt_fr.corrections import fichier_bitbank
from module_ccxt_fr_v2 import Connexion, Timeframe, genre_de


class Portee(NamedTuple):
    """Ce qu'un exchange sert de son passé."""

    sourde: frozenset[str] = frozenset()  # genres de marché, ou prix, dont la demande ne dit pas la fenêtre
    bougies: int = 0  # servies en tout, comptées depuis maintenant ; 0 : rien n'en est dit
    fichier: Callable[[int, Timeframe], int] | None = None  # fin du fichier qui tient un instant : un par demande

    def est_sourde(self, marche: Mapping[str, Any], prix: str) -> bool:
        """Vrai si une demande de bougies de ce marché, à ce prix, ne dit pas quelle fenêtre elle veut."""
        return not self.sourde.isdisjoint({genre_de(marche), prix})


_CONTRATS = frozenset({"linear", "inverse"})

# Ajouter un exchange : une ligne ici, avec le fait observé. `sourde` est tenu vrai par tests/exchanges/test_classes.py.
PORTEES: Mapping[str, Portee] = {
    "kraken": Portee(bougies=720),  # les dernières, quel que soit `since`
    "gate": Portee(bougies=10_000),  # « Maximum 10000 points ago are allowed »
    "hyperliquid": Portee(bougies=5000),  # les dernières de chaque timeframe
    "bitbank": Portee(fichier=fichier_bitbank),
    **dict.fromkeys(
        ("bitteam", "bittrade", "gemini", "modetrade", "p2b", "weex", "woofipro"), Portee(_CONTRATS | {"spot"})
    ),
    **dict.fromkeys(("bitrue", "digifinex"), Portee(_CONTRATS)),
    "phemex": Portee(frozenset({"spot", "inverse"})),
    "htx": Portee(frozenset({"mark", "index", "premiumIndex"})),  # la demande n'a que `size`
}


def portee_de(connexion: Connexion) -> Portee:
    """Ce qu'on sait d'un exchange, ou de celui dont il n'est qu'un autre nom (okxus, gateeu)."""
    lignee = (parente.__name__ for parente in type(connexion.api).__mro__)
    return next((PORTEES[nom] for nom in lignee if nom in PORTEES), Portee())
