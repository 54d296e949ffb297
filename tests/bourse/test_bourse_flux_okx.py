"""okx en direct, par la vraie classe ccxt.pro : deux adresses, bougies à 16:00 UTC, séquences, refus par canal."""

from __future__ import annotations

import asyncio
from functools import partial

import cas_de_flux as outils
import pytest
from attente import PLAFOND_S
from cas_de_flux import MAINTENANT, Banc, jouer
from ccxt.base.errors import BadRequest, InvalidNonce

from bourse_locale.marche import HEURE_MS, MINUTE_MS, instant_ms
from bourse_locale.pannes import Panne

SYMBOLES = ["BTC/USDT", "BTC/USDT:USDT", "BTC/USD:BTC", "BTC/USDT:USDT-261225"]


def test_les_bougies_passent_par_l_adresse_business() -> None:
    """Une autre connexion que celle des trades."""

    async def scenario(banc: Banc) -> None:
        banc.suivre("watch_ohlcv", "BTC/USDT", "1m")
        await banc.abonne()
        assert [c.chemin for c in banc.bourse.connexions] == ["/okx/ws/v5/business"]

    jouer("okx", scenario)


def test_bougies_de_plusieurs_marches() -> None:
    """watch_ohlcv_for_symbols mêle marchés et timeframes ; tout est dans le cache."""

    async def scenario(banc: Banc) -> None:
        suivies = [["BTC/USDT", "1m"], ["ETH/USDT", "1m"], ["BTC/USD:BTC", "5m"]]
        banc.suivre("watch_ohlcv_for_symbols", suivies)
        await banc.abonne(3)
        debut = banc.maintenant - banc.maintenant % (5 * MINUTE_MS)
        await banc.avancer(6 * MINUTE_MS, 15_000)
        for symbole, timeframe in suivies:
            lignes = banc.bourse.attendu("okx", symbole, timeframe, debut, banc.maintenant)
            # La dernière est en cours, et les premières minutes sont d'avant l'abonnement.
            voulues = [list(b) for b in lignes if timeframe == "5m" or b[0] >= MAINTENANT - 30_000][:-1]
            lire = partial(banc.bougies, symbole, timeframe, debut, lignes[-1][0])
            await banc.attendre_egal(lire, voulues, "bougies")

    jouer("okx", scenario)


@pytest.mark.parametrize(
    ("timeframe", "ouverture"),
    [("4h", "20T12"), ("6h", "20T10"), ("12h", "20T04"), ("1d", "19T16"), ("1w", "15T16"), ("1M", "01T00")],
)
def test_les_bougies_longues_s_ouvrent_a_16h_utc(timeframe: str, ouverture: str) -> None:
    """Sans suffixe utc, que ccxt n'ajoute qu'en REST, 6 h et plus se comptent de 16:00 UTC."""

    async def scenario(banc: Banc) -> None:
        (bougie,) = await asyncio.wait_for(banc.exchange.watch_ohlcv("BTC/USDT", timeframe), PLAFOND_S)
        decalage = 8 * HEURE_MS if timeframe == "1M" else 0
        assert bougie[0] == instant_ms(f"2026-11-{ouverture}:00:00") - decalage
        instrument = banc.instrument("BTC/USDT")
        trades = banc.bourse.marche.trades(instrument, bougie[0], MAINTENANT + 1)
        assert bougie[1:5] == [
            float(instrument.texte_prix(p))
            for p in (trades[0].prix, max(t.prix for t in trades), min(t.prix for t in trades), trades[-1].prix)
        ]

    jouer("okx", scenario)


def test_une_sequence_faussee_est_vue_puis_reprise() -> None:
    """Une séquence rompue est rejetée par ccxt (qui ignore la somme) ; l'appel suivant redemande un instantané."""

    async def scenario(banc: Banc) -> None:
        banc.suivre("watch_order_book", "BTC/USDT")
        await banc.abonne()
        await banc.avancer(1000, 100)
        banc.bourse.pannes.ajouter(Panne("ws_somme", fois=1))
        banc.bourse.avancer(100)
        with pytest.raises(InvalidNonce):
            await banc.attendre(lambda: False)
        banc.erreurs.clear()
        banc.suivre("watch_order_book", "BTC/USDT")
        await banc.abonne(2)
        await banc.avancer(1000, 100)
        await banc.attendre(lambda: banc.carnet("BTC/USDT") == banc.oracle_carnet("BTC/USDT", 400))

    jouer("okx", scenario)


def test_un_refus_rejette_toutes_les_attentes_de_la_connexion() -> None:
    """Un contrat échu est refusé (60018), et ccxt rejette tout ce qui attend sur cette connexion."""
    echeance = instant_ms("2026-12-25T08:00:00")

    async def scenario(banc: Banc) -> None:
        banc.suivre("watch_trades", "BTC/USDT")
        await banc.abonne()
        banc.bourse.avancer(echeance - banc.maintenant)
        with pytest.raises(BadRequest, match="60018"):
            await asyncio.wait_for(banc.exchange.watch_trades("BTC/USDT:USDT-261225"), PLAFOND_S)
        with pytest.raises(BadRequest, match="BTC-USDT-261225 doesn't exist"):
            await banc.attendre(lambda: False)

    jouer("okx", scenario, maintenant_ms=echeance - 2 * MINUTE_MS)


def test_les_autres_canaux_d_une_demande_refusee_restent_servis() -> None:
    """Le refus se fait canal par canal ; « business » et « public » ne portent pas les mêmes canaux."""

    async def scenario(banc: Banc) -> None:
        async with outils.brute(banc, "/ws/v5/public") as ws:
            args = [{"channel": nom, "instId": "BTC-USDT"} for nom in ("candle1m", "inconnu", "trades")]
            await ws.send_json({"op": "subscribe", "args": args})
            recus = [await ws.receive_json() for _ in args]
            assert [(r["event"], r.get("code")) for r in recus] == [
                ("error", "60018"),
                ("error", "60018"),
                ("subscribe", None),
            ]
            await ws.send_str("ping")
            assert await ws.receive_str() == "pong"
            for illegal in ("{", '{"op":"foo","args":[{"channel":"trades"}]}', '{"op":"subscribe","args":["trades"]}'):
                await ws.send_str(illegal)
                assert (await ws.receive_json())["code"] == "60012"

    jouer("okx", scenario)


def test_480_demandes_par_heure_et_par_connexion() -> None:
    """La 481e demande de la même connexion est refusée."""

    async def scenario(banc: Banc) -> None:
        async with outils.brute(banc, "/ws/v5/public") as ws:
            for _ in range(481):
                await ws.send_json({"op": "subscribe", "args": [{"channel": "trades", "instId": "BTC-USDT"}]})
            recus = [await ws.receive_json() for _ in range(481)]
            assert {r["event"] for r in recus[:480]} == {"subscribe"}
            assert recus[480]["code"] == "60014"

    jouer("okx", scenario, limites=True)
