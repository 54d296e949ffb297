"""Ce que partagent les tests qui parlent à une bourse par la classe ccxt nue : le marché simulé, ses réglages."""

from __future__ import annotations

import functools
from typing import Any

import ccxt.async_support as ccxt

from bourse_locale.marche import Marche

# À chaque fermeture, ccxt attend un quart de seconde que finisse le TLS : la boucle locale n'en a pas.
# Une page de trente mois se compose en des secondes sur une machine chargée : ce n'est pas une bourse muette.
SANS_LIMITEUR = {"enableRateLimit": False, "timeout_on_exit": 0, "timeout": 60_000}


@functools.cache
def classe_neuve(exchange: str) -> Any:
    """Une instance de la vraie classe, pour ce qu'elle dit d'elle-même : en construire une coûte dix millisecondes."""
    return getattr(ccxt, exchange)()


def avec_bougies() -> list[str]:
    """Les exchanges dont la classe annonce des bougies."""
    return sorted(nom for nom in ccxt.exchanges if classe_neuve(nom).has.get("fetchOHLCV"))


@functools.cache
def marche_commun(graine: int = 1) -> Marche:
    """Le marché d'une graine : toute son histoire en découle, il n'a d'état que ses caches (cf. test_bourse_marche).

    En tirer un neuf à chaque test refait les mêmes motifs et les mêmes jours, le plus cher de ce que fait la bourse.
    Pour un test à la fois : la boucle du test, ou un fil fermé avec lui. Une bourse qui reste ouverte a le sien.
    """
    return Marche(graine)


def marche_de(genre: str) -> dict[str, Any]:
    """Un marché de ce genre (« spot », « swap.linear »…), dans la forme de ccxt."""
    type_marche, _, sous_type = genre.partition(".")
    contrat = type_marche != "spot"
    regle = {"linear": "BBB", "inverse": "AAA"}.get(sous_type)
    symbole = "AAA/BBB" + (f":{regle}" if regle else "") + ("-270625" if type_marche == "future" else "")
    return {
        "id": "12", "lowercaseId": "12", "symbol": symbole, "base": "AAA", "quote": "BBB", "baseId": "AAA",
        "quoteId": "BBB", "settle": regle, "settleId": regle, "type": type_marche, "subType": sous_type or None,
        **{nom: nom == type_marche for nom in ("spot", "swap", "future", "option")}, "margin": False, "index": False,
        "contract": contrat, "linear": sous_type == "linear" if contrat else None,
        "inverse": sous_type == "inverse" if contrat else None, "contractSize": 1.0 if contrat else None,
        "active": True, "expiry": 1_782_345_600_000 if type_marche == "future" else None, "expiryDatetime": None,
        "strike": None, "optionType": None, "precision": {"amount": 0.001, "price": 0.01}, "created": None,
        "limits": {"amount": {}, "price": {}, "cost": {}, "leverage": {}}, "taker": 0.001, "maker": 0.001,
        "info": {"instFamily": "AAA-BBB", "spot_index": {"symbol": ".DEAAABBB"}, "indexToken": "AAABBB",
                 "crossSymbol": "AAABBB"},
    }  # fmt: skip
