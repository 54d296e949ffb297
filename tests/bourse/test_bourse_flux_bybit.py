"""bybit en direct, par la vraie classe ccxt.pro : une adresse par catégorie, dix sujets par demande en spot, uuid."""

from __future__ import annotations

import asyncio
import json
from functools import partial
from typing import Any

import cas_de_flux as outils
import pytest
from attente import PLAFOND_S
from cas_de_flux import Banc, jouer
from ccxt.base.errors import BadRequest, ExchangeError

from bourse_locale.bybit import flux as bybit_flux
from bourse_locale.marche import MINUTE_MS, Marche, instant_ms

SYMBOLES = ["BTC/USDT", "BTC/USDT:USDT", "BTC/USD:BTC", "BTC/USDT:USDT-261225", "BTC/USD:BTC-261225"]
SPOTS = ["BTC/USDT", "ETH/USDT", "XRP/USDC"]


@pytest.mark.parametrize("symbole", SYMBOLES)
def test_trades(symbole: str) -> None:
    """Chaque genre de marché reçoit ses trades ; REST les rend sous le même identifiant, uuid compris."""

    async def scenario(banc: Banc) -> None:
        await outils.trades_exacts(banc, symbole)
        premier = banc.exchange.trades[symbole][0]["id"]
        assert ("-" in premier) is (symbole != "BTC/USDT")

    jouer("bybit", scenario)


@pytest.mark.parametrize("symboles", [SPOTS, ["BTC/USDT:USDT", "ETH/USDT:USDT", "BTC/USDT:USDT-261225"]])
def test_trades_de_plusieurs_marches(symboles: list[str]) -> None:
    """Un abonnement porte plusieurs marchés d'une même catégorie."""
    jouer("bybit", lambda banc: outils.trades_exacts(banc, *symboles))


@pytest.mark.parametrize("symbole", SYMBOLES)
def test_bougies(symbole: str) -> None:
    """Les bougies closes sont celles du REST, volume d'un inverse en monnaie de base compris."""
    jouer("bybit", lambda banc: outils.bougies_exactes(banc, symbole))


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


@pytest.mark.parametrize("symbole", ["BTC/USDT", "BTC/USD:BTC"])
@pytest.mark.parametrize(("limite", "profondeur"), [(None, 50), (1, 1), (200, 200)])
def test_carnet(symbole: str, limite: int | None, profondeur: int) -> None:
    """Instantané et deltas (ou carnets entiers en profondeur 1) donnent le carnet de la bourse."""
    jouer("bybit", lambda banc: outils.carnets_exacts(banc, profondeur, symbole, limite=limite))


def test_carnets_de_plusieurs_marches() -> None:
    """Un carnet par marché."""
    jouer("bybit", lambda banc: outils.carnets_exacts(banc, 50, *SPOTS))


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


def test_carnet_croise() -> None:
    """Un carnet croisé passe, puis se répare."""
    jouer("bybit", lambda banc: outils.carnet_croise(banc, 50, "BTC/USDT:USDT"))


def test_trades_doubles() -> None:
    """Des trades envoyés deux fois se reconnaissent à leur identifiant."""
    jouer("bybit", lambda banc: outils.trades_doubles(banc, "BTC/USDT:USDT"))


@pytest.mark.parametrize("symbole", SYMBOLES)
def test_ticker(symbole: str) -> None:
    """Un ticker suit le marché, entier en spot, par différences sur les contrats."""
    jouer("bybit", lambda banc: outils.ticker_exact(banc, symbole))


def test_tickers() -> None:
    """Plusieurs tickers en un abonnement."""
    jouer("bybit", lambda banc: outils.ticker_exact(banc, *SPOTS))


def test_minutes_vides() -> None:
    """Une minute sans trade est envoyée plate."""
    jouer("bybit", lambda b: outils.minutes_vides(b, "BTC/USDT", plates=True), marche=Marche(3, taux_vide=0.4))


async def derniers(exchange: Any, symbole: str, _dernier: Any, _premier: Any) -> list[Any]:
    """Rend tout ce que recent-trade sait : soixante trades en spot, mille sur les contrats."""
    return list(await exchange.fetch_trades(symbole, None, 1000 if ":" in symbole else 60))


@pytest.mark.parametrize(("symbole", "minutes"), [("BTC/USDT", 5), ("BTC/USDT:USDT", 150), ("BTC/USD:BTC", 150)])
def test_coupure_comblee(symbole: str, minutes: int) -> None:
    """Une page de recent-trade comble une coupure, par les mêmes identifiants (uuid sur les contrats)."""
    jouer("bybit", lambda banc: outils.coupure_comblee(banc, symbole, minutes * MINUTE_MS, derniers))


def test_horloge_acceleree() -> None:
    """À 120 minutes par minute, rien ne se perd."""
    jouer("bybit", lambda banc: outils.horloge_acceleree(banc, "BTC/USDT:USDT"), acceleration=120.0)


@pytest.mark.parametrize("symbole", ["BTC/USDT", "BTC/USDT:USDT"])
def test_pongs(symbole: str) -> None:
    """Le pong du spot et celui des contrats n'ont pas la même forme ; ccxt lit les deux."""
    jouer("bybit", lambda banc: outils.pongs(banc, symbole), ccxt={"streaming": {"keepAlive": 250}})


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


def test_desabonnement() -> None:
    """Après un_watch_trades, plus rien n'est émis."""

    async def scenario(banc: Banc) -> None:
        banc.suivre("watch_trades", "BTC/USDT")
        await banc.abonne()
        await asyncio.wait_for(banc.exchange.un_watch_trades("BTC/USDT"), PLAFOND_S)
        (connexion,) = banc.bourse.connexions
        assert not connexion.actifs

    jouer("bybit", scenario)
