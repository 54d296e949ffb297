"""bybit en direct, par la vraie classe ccxt.pro : une adresse par catégorie, dix sujets par demande en spot, uuid."""

from __future__ import annotations

import asyncio
import json
from functools import partial

import cas_de_flux as outils
import pytest
from attente import PLAFOND_S
from cas_de_flux import Banc, jouer
from ccxt.base.errors import BadRequest, ExchangeError

from bourse_locale.bybit import flux as bybit_flux
from bourse_locale.marche import MINUTE_MS, instant_ms

SYMBOLES = ["BTC/USDT", "BTC/USDT:USDT", "BTC/USD:BTC", "BTC/USDT:USDT-261225", "BTC/USD:BTC-261225"]
SPOTS = ["BTC/USDT", "ETH/USDT", "XRP/USDC"]


@pytest.mark.parametrize("symbole", ["BTC/USDT", "BTC/USDT:USDT"])
def test_seuls_les_trades_des_contrats_ont_un_uuid(symbole: str) -> None:
    """Au comptant, un nombre ; ailleurs, un uuid, dont l'ordre ne dit rien."""

    async def scenario(banc: Banc) -> None:
        banc.suivre("watch_trades", symbole)
        await banc.abonne()
        await banc.avancer(2 * MINUTE_MS, 5000)
        await banc.attendre(lambda: banc.trades(symbole), "trades")
        assert ("-" in banc.exchange.trades[symbole][0]["id"]) is (symbole != "BTC/USDT")

    jouer("bybit", scenario)


def test_trades_de_plusieurs_contrats() -> None:
    """Un abonnement porte plusieurs marchés d'une même catégorie, échéances comprises."""
    contrats = ("BTC/USDT:USDT", "ETH/USDT:USDT", "BTC/USDT:USDT-261225")
    jouer("bybit", lambda banc: outils.trades_exacts(banc, *contrats))


def test_pongs_des_contrats() -> None:
    """Le pong des contrats n'a pas la forme de celui du comptant ; ccxt lit les deux."""
    jouer("bybit", lambda banc: outils.pongs(banc, "BTC/USDT:USDT"), ccxt={"streaming": {"keepAlive": 250}})


def test_bougies_de_plusieurs_marches() -> None:
    """Par watch_ohlcv_for_symbols, tout est dans le cache, quel que soit le symbole que rend chaque appel."""

    async def scenario(banc: Banc) -> None:
        banc.suivre("watch_ohlcv_for_symbols", [[symbole, "1m"] for symbole in SPOTS])
        await banc.abonne(3)
        debut = banc.maintenant - banc.maintenant % MINUTE_MS
        await banc.avancer(3 * MINUTE_MS, 15_000)
        for symbole in SPOTS:
            voulues = banc.oracle_bougies(symbole, "1m", debut)
            lire = partial(banc.bougies, symbole, "1m", debut, debut + 3 * MINUTE_MS)
            await banc.attendre_egal(lire, voulues, "bougies")

    jouer("bybit", scenario)


def test_les_numeros_d_un_carnet_se_suivent() -> None:
    """Le numéro `u` croît de 1 par message, `seq` croît ; ccxt ne regarde ni l'un ni l'autre."""

    async def scenario(banc: Banc) -> None:
        async with outils.brute(banc, "/v5/public/linear") as ws:
            await ws.send_json({"op": "subscribe", "args": ["orderbook.50.BTCUSDT"], "req_id": "7"})
            ack = await ws.receive_json()
            assert (ack["success"], ack["req_id"], ack["op"]) == (True, "7", "subscribe")
            recus = [await ws.receive_json()]
            for _ in range(20):
                banc.bourse.avancer(100)
                recus.append(await ws.receive_json())
            assert [r["type"] for r in recus] == ["snapshot"] + ["delta"] * 20
            assert [r["data"]["u"] for r in recus] == list(range(1, 22))
            assert [r["data"]["seq"] for r in recus] == sorted({r["data"]["seq"] for r in recus})

    jouer("bybit", scenario)


def test_onze_sujets_spot_sont_refuses() -> None:
    """Au-delà de dix sujets, toute la demande spot est refusée, et seules ses attentes sont rejetées."""

    async def scenario(banc: Banc) -> None:
        banc.suivre("watch_ticker", "BTC/USDT")
        await banc.abonne()
        onze = [f"{base}/{quote}" for quote in ("USDT", "USDC") for base in ("BTC", "ETH", "SOL", "XRP", "DOGE", "ADA")]
        with pytest.raises(ExchangeError, match="args size >10"):
            await asyncio.wait_for(banc.exchange.watch_trades_for_symbols(onze[:11]), PLAFOND_S)
        assert not banc.erreurs
        banc.suivre("watch_trades_for_symbols", onze[:10])
        await banc.abonne(11)

    jouer("bybit", scenario, limites=True)


def test_les_contrats_n_ont_pas_cette_limite() -> None:
    """Les contrats acceptent plus de dix sujets par demande."""

    async def scenario(banc: Banc) -> None:
        async with outils.brute(banc, "/v5/public/linear") as ws:
            args = [f"kline.{i}.{s}" for i in ("1", "3", "5") for s in ("BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT")]
            await ws.send_json({"op": "subscribe", "args": args})
            assert (await ws.receive_json())["success"]
            await ws.send_json({"op": "subscribe", "args": args[:1]})
            textes = [await ws.receive_json() for _ in range(len(args) + 1)]
            assert [t["ret_msg"] for t in textes if "ret_msg" in t] == [
                "error:already subscribed,topic:kline.1.BTCUSDT"
            ]

    jouer("bybit", scenario, limites=True)


def test_un_contrat_echu_fait_refuser_toute_la_demande() -> None:
    """Un sujet inconnu emporte ceux de la même demande ; les autres attentes de la connexion restent."""
    echeance = instant_ms("2026-12-25T08:00:00")

    async def scenario(banc: Banc) -> None:
        banc.suivre("watch_trades", "SOL/USDT:USDT")
        await banc.abonne()
        banc.bourse.avancer(echeance - banc.maintenant)
        demandes = ["ETH/USDT:USDT", "BTC/USDT:USDT-261225"]
        with pytest.raises(ExchangeError, match=r"handler not found,topic:publicTrade\.BTCUSDT-25DEC26"):
            await asyncio.wait_for(banc.exchange.watch_trades_for_symbols(demandes), PLAFOND_S)
        assert not banc.erreurs
        assert [c.abonnements for c in banc.bourse.connexions] == [["publicTrade.SOLUSDT"]]

    jouer("bybit", scenario, maintenant_ms=echeance - 2 * MINUTE_MS)


def test_ccxt_refuse_de_meler_les_categories() -> None:
    """Les bougies de catégories différentes se demandent par des appels différents : ccxt le vérifie."""

    async def scenario(banc: Banc) -> None:
        with pytest.raises(BadRequest):
            await banc.exchange.watch_ohlcv_for_symbols([["BTC/USDT", "1m"], ["BTC/USDT:USDT", "1m"]])

    jouer("bybit", scenario)


def test_demandes_illisibles() -> None:
    """Une opération inconnue est refusée."""

    async def scenario(banc: Banc) -> None:
        async with outils.brute(banc, "/v5/public/linear") as ws:
            for illisible in ("{", "[]", json.dumps({"op": "foo"})):
                await ws.send_str(illisible)
                assert (await ws.receive_json())["ret_msg"] == "error:invalid op"

    jouer("bybit", scenario)


def test_longueur_des_sujets_d_une_connexion(monkeypatch: pytest.MonkeyPatch) -> None:
    """La longueur cumulée des sujets d'une connexion est bornée (21 000 caractères chez bybit, 40 ici)."""
    monkeypatch.setattr(bybit_flux, "CARACTERES_MAX", 40)

    async def scenario(banc: Banc) -> None:
        async with outils.brute(banc, "/v5/public/linear") as ws:
            verdicts = []
            for base in ("BTC", "ETH", "SOL"):
                await ws.send_json({"op": "subscribe", "args": [f"publicTrade.{base}USDT"]})
                verdicts.append((await ws.receive_json())["success"])
            assert verdicts == [True, True, False]

    jouer("bybit", scenario, limites=True)
