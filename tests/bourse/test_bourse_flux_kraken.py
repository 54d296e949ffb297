"""kraken v2 en direct, par la vraie classe ccxt.pro : sommes de contrôle, minutes vides tues, refus sans réponse."""

from __future__ import annotations

import asyncio
import json
from functools import partial
from typing import Any
from zlib import crc32

import cas_de_flux as outils
import pytest
from attente import PLAFOND_S
from cas_de_flux import Banc, jouer

from bourse_locale.marche import MINUTE_MS
from bourse_locale.pannes import Panne

SYMBOLES = ["BTC/USD", "ETH/EUR", "DOGE/USDT"]


def test_l_instantane_rend_les_dernieres_bougies() -> None:
    """L'abonnement commence par les dernières bougies, closes comprises."""

    async def scenario(banc: Banc) -> None:
        banc.suivre("watch_ohlcv", "BTC/USD", "1m")
        await banc.attendre(lambda: banc.rendus, "instantané")
        assert len(banc.rendus[0]) == 12
        debut = banc.rendus[0][0][0]
        closes = banc.oracle_bougies("BTC/USD", "1m", debut)
        assert [list(b) for b in banc.rendus[0]][:-1] == closes

    jouer("kraken", scenario)


def texte(nombre: str) -> str:
    """Rend un nombre comme la somme de contrôle le lit."""
    return nombre.replace(".", "").lstrip("0")


def test_la_somme_se_verifie_sur_les_textes_recus() -> None:
    """La somme de chaque message est celle des dix premiers niveaux, recomposés par un client ; une fausse se voit."""

    async def scenario(banc: Banc) -> None:
        livre: dict[str, dict[str, str]] = {"bids": {}, "asks": {}}
        async with outils.brute(banc, "/v2") as ws:
            params = {"channel": "book", "symbol": ["BTC/USD"], "depth": 10}
            await ws.send_json({"method": "subscribe", "params": params, "req_id": 3})
            assert (await ws.receive_json())["success"]
            verdicts = [await lire_carnet(ws, livre)]
            for _ in range(60):
                banc.bourse.avancer(100)
                verdicts.append(await lire_carnet(ws, livre))
            assert all(verdicts)
            banc.bourse.pannes.ajouter(Panne("ws_somme", fois=1))
            banc.bourse.avancer(100)
            assert not await lire_carnet(ws, livre)

    jouer("kraken", scenario)


async def lire_carnet(ws: Any, livre: dict[str, dict[str, str]]) -> bool:
    """Applique un message de carnet, tronque à dix niveaux, et dit si la somme est la bonne."""
    message = await ws.receive_json(loads=partial(json.loads, parse_float=str))
    (donnee,) = message["data"]
    for cote in ("bids", "asks"):
        for niveau in donnee[cote]:
            livre[cote][niveau["price"]] = niveau["qty"]
        vivants = [(p, q) for p, q in livre[cote].items() if float(q)]
        livre[cote] = dict(sorted(vivants, key=lambda v: float(v[0]), reverse=cote == "bids")[:10])
    textes = [texte(t) for cote in ("asks", "bids") for niveau in livre[cote].items() for t in niveau]
    return bool(crc32("".join(textes).encode()) == donnee["checksum"])


def test_un_refus_ne_rend_jamais_la_main() -> None:
    """Ccxt rejette un refus sous le numéro de la demande, que personne n'attend : l'appel dort sans fin."""

    async def scenario(banc: Banc) -> None:
        banc.bourse.pannes.ajouter(Panne("ws_abonnement_refuse", symbole="ETH/EUR"))
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(banc.exchange.watch_trades("ETH/EUR"), 0.3)
        (connexion,) = banc.bourse.connexions
        assert (connexion.refus, connexion.envoyes, connexion.fin) == (["ETH/EUR"], 1, None)

    jouer("kraken", scenario)


@pytest.mark.parametrize(
    ("params", "refus"),
    [
        ({"channel": "trade", "symbol": ["XBT/USD"]}, "Currency pair not supported XBT/USD"),
        ({"channel": "ohlc", "symbol": ["BTC/USD"], "interval": 7}, "Subscription ohlc interval not supported"),
        ({"channel": "book", "symbol": ["BTC/USD"], "depth": 7}, "Subscription depth not supported"),
        ({"channel": "foo", "symbol": ["BTC/USD"]}, "Subscription name invalid"),
        ({"channel": "trade"}, "Malformed request"),
    ],
)
def test_refus(params: dict[str, Any], refus: str) -> None:
    """Chaque demande fautive reçoit le texte de kraken."""

    async def scenario(banc: Banc) -> None:
        async with outils.brute(banc, "/v2") as ws:
            await ws.send_json({"method": "subscribe", "params": params, "req_id": 5})
            recu = await ws.receive_json()
            assert (recu["error"], recu["success"]) == (refus, False)

    jouer("kraken", scenario)


def test_un_seul_intervalle_par_marche_et_par_connexion() -> None:
    """Le deuxième intervalle d'un marché est refusé ; ccxt, lui, ne le demande même pas et mêle les deux."""

    async def scenario(banc: Banc) -> None:
        async with outils.brute(banc, "/v2") as ws:
            textes = []
            for intervalle in (1, 5):
                params = {"channel": "ohlc", "symbol": ["BTC/USD"], "interval": intervalle, "snapshot": False}
                await ws.send_json({"method": "subscribe", "params": params, "req_id": intervalle})
                textes.append((await ws.receive_json()).get("error"))
            assert textes == [None, "Already subscribed to one ohlc interval on this symbol"]
        assert len(banc.bourse.connexions[0].abonnements) == 1
        banc.suivre("watch_ohlcv", "ETH/EUR", "1m")
        await banc.attendre(lambda: banc.rendus, "bougies de 1m")
        attente = asyncio.ensure_future(banc.exchange.watch_ohlcv("ETH/EUR", "5m"))
        await asyncio.sleep(0)
        banc.bourse.avancer(MINUTE_MS)
        demandee_en_5m = await asyncio.wait_for(attente, PLAFOND_S)
        assert {b[0] for b in demandee_en_5m} <= {b[0] for b in banc.exchange.ohlcvs["ETH/EUR"]["1m"]}
        assert banc.bourse.connexions[1].abonnements == ["ohlc:ETH/EUR"]

    jouer("kraken", scenario)


def test_les_trades_n_ont_un_instantane_que_sur_demande() -> None:
    """`snapshot` vaut faux pour les trades ; demandé, il rend les cinquante derniers."""

    async def scenario(banc: Banc) -> None:
        trades = await asyncio.wait_for(
            banc.exchange.watch_trades("BTC/USD", None, None, {"snapshot": True}), PLAFOND_S
        )
        assert outils.lus(trades) == banc.oracle_trades("BTC/USD", banc.maintenant - 60 * MINUTE_MS)[-50:]

    jouer("kraken", scenario)
