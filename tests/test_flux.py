"""Le flux, promesse par promesse : les vraies classes ccxt.pro, l'exchange embarqué, l'oracle de son marché."""

from __future__ import annotations

import asyncio
import itertools
import logging
from typing import TYPE_CHECKING, Any

import pytest
from outils_flux_module import Recolte, jouer, ouvrir, recolter

import module_ccxt_fr_v2 as m
from bourse_locale.marche import Marche

if TYPE_CHECKING:
    from collections.abc import Iterator

EXCHANGES = ("binance", "okx", "bybit", "kraken")
DEUX = "BTC/USDT,ETH/USDT"


@pytest.fixture(autouse=True)
def _rien_sur_stderr(capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Ni asyncio, ni ccxt, ni aiohttp n'écrivent quoi que ce soit."""
    caplog.set_level(logging.DEBUG, m.journal.name)
    yield
    assert capfd.readouterr().err == ""
    etrangers = [r.getMessage() for r in caplog.records if r.name != m.journal.name and r.levelno >= logging.WARNING]
    assert etrangers == []


# --- Ce que rend le flux est ce que sert le REST


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_tous_les_canaux_egalent_l_oracle(exchange: str) -> None:
    """Deux symboles au comptant : bougies, trades, trades en bougies (des minutes sont vides), tickers, carnets."""

    async def essai() -> None:
        async with ouvrir(exchange, marche=Marche(3, taux_vide=0.3), acceleration=300) as bourse:
            communes: dict[str, Any] = {"duree": 3, "grace": 30}
            bougies, trades, omises, reportees, tickers, carnets = await asyncio.gather(
                recolter(bourse, exchange, DEUX, stream="ohlcv", **communes),
                recolter(bourse, exchange, DEUX, stream="trades", **communes),
                recolter(bourse, exchange, DEUX, stream="trades", trades_vers_ohlcv=True, **communes),
                recolter(
                    bourse, exchange, DEUX, stream="trades", trades_vers_ohlcv=True, bougies_vides="reporter",
                    **communes,
                ),
                recolter(bourse, exchange, DEUX, stream="ticker", **communes),
                recolter(bourse, exchange, DEUX, stream="orderbook", profondeur=5, **communes),
            )
            for symbole in DEUX.split(","):
                bougies.exiger_bougies(symbole, au_moins=10)
                trades.exiger_trades(symbole, au_moins=30)
                omises.exiger_bougies(symbole, au_moins=6, plates=False)
                assert any(t.raison == m.SANS_TRANSACTION for t in omises.trous(symbole))
                assert len(reportees.bougies(symbole)) >= 10
                exiger_tickers(tickers, symbole)
                exiger_carnets(carnets, symbole, profondeur=5)

    jouer(essai())


def exiger_tickers(recolte: Recolte, symbole: str) -> None:
    """Des lignes croissantes, dont chacune change quelque chose."""
    lignes = recolte.lignes(symbole)
    assert len(lignes) >= 3
    instants = [ligne["timestamp"] for ligne in lignes]
    assert instants == sorted(set(instants))
    contenus = [tuple(v for k, v in ligne.items() if k not in ("timestamp", "recu")) for ligne in lignes]
    assert all(avant != apres for avant, apres in itertools.pairwise(contenus))
    assert all(ligne["last"] > 0 for ligne in lignes)


def exiger_carnets(recolte: Recolte, symbole: str, profondeur: int) -> None:
    """Ni croisé ni vide, à la profondeur demandée, dans l'ordre."""
    lignes = recolte.lignes(symbole)
    assert len(lignes) >= 3
    for ligne in lignes:
        achats, ventes = ([n["price"] for n in ligne[cote]] for cote in ("bids", "asks"))
        assert len(achats) == len(ventes) == profondeur
        assert achats == sorted(achats, reverse=True)
        assert ventes == sorted(ventes)
        assert achats[0] < ventes[0]
    cles = [(ligne["timestamp"], ligne["nonce"] or 0) for ligne in lignes[1:]]  # kraken ne date pas son premier carnet
    assert cles == sorted(set(cles))
