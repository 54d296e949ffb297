"""Une trame de carnet perdue, par la vraie classe ccxt.pro de chaque exchange à numéros : dite, jamais crue."""

from __future__ import annotations

import asyncio

import pytest
from trames_de_carnets import EXCHANGES, PREMIER, VENTE, Exchange, acheteur, ecouter, nom_de

SUITE = 8  # trames qui suivent la première, une fois le carnet établi


def trames(exchange: Exchange, perdue: int | None = None) -> list[tuple[int, dict[str, object]]]:
    """Une suite saine, ou sans cette trame-là."""
    fin = PREMIER + exchange.attend + SUITE
    return [
        (numero, exchange.trame(numero, entier=exchange.entier and numero == PREMIER))
        for numero in range(PREMIER, fin)
        if numero != perdue
    ]


@pytest.mark.parametrize("exchange", EXCHANGES, ids=nom_de)
def test_une_suite_saine_ne_dit_rien(exchange: Exchange) -> None:
    """Ni coupure, ni réabonnement : le dernier état est celui de la dernière trame."""
    envoyees = trames(exchange)
    ecoutee = asyncio.run(ecouter(exchange, envoyees))
    assert ecoutee.erreur is None
    assert ecoutee.serveur.connexions == 1
    achats, ventes = ecoutee.etats[-1]
    assert (achats[0], ventes) == (acheteur(envoyees[-1][0]), [VENTE])
    assert len(achats) == 1 or not exchange.remplace


@pytest.mark.parametrize("exchange", EXCHANGES, ids=nom_de)
def test_une_trame_perdue_est_dite_et_rien_de_faux_n_est_rendu(exchange: Exchange) -> None:
    """L'écoute finit là : le module en ouvre une autre, d'un carnet neuf, et la coupure est un trou."""
    perdue = PREMIER + exchange.attend + SUITE // 2
    ecoutee = asyncio.run(ecouter(exchange, trames(exchange, perdue)))
    assert ecoutee.erreur is not None
    assert "perdue" in str(ecoutee.erreur)
    assert ecoutee.etats, "rien ne fut rendu d'avant la perte"
    for achats, ventes in ecoutee.etats:
        assert (achats[0] < acheteur(perdue), ventes) == (True, [VENTE])
        assert len(achats) == 1 or not exchange.remplace
