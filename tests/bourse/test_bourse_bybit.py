"""bybit embarqué, lu par la vraie classe ccxt : curseurs, dernières bougies de la fenêtre, 403 qui bannit."""

from __future__ import annotations

import asyncio
import uuid
from functools import partial
from typing import TYPE_CHECKING, Any

import cas_de_rest
import ccxt.async_support as ccxt
import pytest
from cas_de_rest import HEURE, JOUR, MAINTENANT, MINUTE, PASSE, attendu

from bourse_locale.bybit.rest import LimiteBybit
from bourse_locale.marche import Marche, instant_ms
from bourse_locale.pannes import Panne

if TYPE_CHECKING:
    from bourse_locale.serveur import Bourse

jouer = partial(cas_de_rest.jouer, "bybit")


async def kline(exchange: Any, **params: Any) -> list[int]:
    demande = {"category": "spot", "symbol": "BTCUSDT", "interval": "1", **params}
    reponse = await exchange.publicGetV5MarketKline(demande)
    return [int(ligne[0]) for ligne in reponse["result"]["list"]]


def test_les_marches_ont_leurs_noms_et_leurs_echeances() -> None:
    async def scenario(_bourse: Bourse, exchange: Any) -> None:
        marches = await exchange.load_markets()
        assert marches["BTC/USDT"]["id"] == marches["BTC/USDT:USDT"]["id"] == "BTCUSDT"
        assert marches["BTC/USD:BTC"]["id"] == "BTCUSD"
        assert marches["BTC/USD:BTC"]["contractSize"] == marches["ETH/USD:ETH"]["contractSize"] == 1.0
        assert marches["BTC/USD:BTC-261225"]["id"] == "BTCUSDZ26"
        assert marches["BTC/USDT:USDT-261225"]["id"] == "BTCUSDT-25DEC26"
        assert marches["BTC/USDT:USDT-261225"]["expiry"] == instant_ms("2026-12-25T08:00:00")

    jouer(scenario)


def test_les_contrats_se_listent_par_curseur_et_le_spot_d_un_coup() -> None:
    async def scenario(_bourse: Bourse, exchange: Any) -> None:
        async def pages(categorie: str, limite: int) -> list[list[str]]:
            lues, curseur = [], ""
            while True:
                demande = {"category": categorie, "limit": limite} | ({"cursor": curseur} if curseur else {})
                resultat = (await exchange.publicGetV5MarketInstrumentsInfo(demande))["result"]
                lues.append([fiche["symbol"] for fiche in resultat["list"]])
                curseur = resultat.get("nextPageCursor", "")
                if not curseur:
                    return lues

        linear = await pages("linear", 3)
        assert [len(page) for page in linear] == [3, 3, 1]
        assert [[nom for page in linear for nom in page]] == await pages("linear", 1000)
        assert [len(page) for page in await pages("spot", 3)] == [16]
        assert await pages("option", 500) == [[]]

    jouer(scenario)


def test_un_contrat_echu_n_est_plus_liste() -> None:
    async def scenario(bourse: Bourse, exchange: Any) -> None:
        bourse.avancer(40 * JOUR)
        marches = await exchange.load_markets()
        assert "BTC/USD:BTC" in marches
        assert "BTC/USD:BTC-261225" not in marches

    jouer(scenario)


def test_les_semaines_s_ouvrent_le_lundi_et_les_mois_le_premier() -> None:
    async def scenario(bourse: Bourse, exchange: Any) -> None:
        lundi = instant_ms("2024-03-04T00:00:00")
        semaines = await exchange.fetch_ohlcv("BTC/USDT", "1w", lundi, 4)
        assert semaines == attendu(bourse, "BTC/USDT", "1w", lundi, lundi + 28 * JOUR)
        assert [ligne[0] for ligne in semaines] == [lundi + n * 7 * JOUR for n in range(4)]
        mois = await kline(exchange, interval="M", start=instant_ms("2024-01-31T00:00:00"), limit=3)
        assert mois == [instant_ms(f"2024-0{n}-01T00:00:00") for n in (3, 2, 1)]

    jouer(scenario)


def test_start_et_end_rendent_les_dernieres_de_la_fenetre() -> None:
    async def scenario(_bourse: Bourse, exchange: Any) -> None:
        fin = PASSE + 999 * MINUTE
        assert await kline(exchange, start=PASSE, end=fin, limit=3) == [fin - n * MINUTE for n in range(3)]
        assert await kline(exchange, start=PASSE, limit=3) == [PASSE + n * MINUTE for n in (2, 1, 0)]
        assert await kline(exchange, end=PASSE, limit=2) == [PASSE, PASSE - MINUTE]
        assert (await kline(exchange, limit=1)) == [MAINTENANT // MINUTE * MINUTE]
        assert len(await kline(exchange, start=PASSE)) == 200
        assert len(await kline(exchange, start=PASSE, limit=5000)) == 1000

    jouer(scenario)


def test_un_start_en_milieu_de_bougie_rend_celle_qui_le_contient() -> None:
    async def scenario(_bourse: Bourse, exchange: Any) -> None:
        assert await kline(exchange, interval="60", start=PASSE + 7 * MINUTE, limit=2) == [PASSE + HEURE, PASSE]

    jouer(scenario)


@pytest.mark.parametrize("prix", ["mark", "index", "premiumIndex"])
def test_les_autres_prix_des_contrats_n_ont_pas_de_volume(prix: str) -> None:
    async def scenario(bourse: Bourse, exchange: Any) -> None:
        recues = await exchange.fetch_ohlcv("BTC/USDT:USDT", "5m", PASSE, 100, {"price": prix})
        assert recues == attendu(bourse, "BTC/USDT:USDT", "5m", PASSE, PASSE + 500 * MINUTE, prix)
        assert len(recues) == 100
        assert {ligne[5] for ligne in recues} == {None}
        sur_spot = await exchange.fetch_ohlcv("BTC/USDT", "5m", PASSE, 100)
        assert sur_spot == attendu(bourse, "BTC/USDT", "5m", PASSE, PASSE + 500 * MINUTE, prix)

    jouer(scenario)


def test_volume_et_turnover_d_un_contrat_inverse() -> None:
    async def scenario(_bourse: Bourse, exchange: Any) -> None:
        demande = {"category": "inverse", "symbol": "BTCUSD", "interval": "1", "end": PASSE, "limit": 1}
        (ligne,) = (await exchange.publicGetV5MarketKline(demande))["result"]["list"]
        assert float(ligne[6]) == pytest.approx(float(ligne[5]) / float(ligne[4]), rel=0.02)

    jouer(scenario)


def test_rien_avant_la_cotation_et_une_panne_est_enjambee() -> None:
    panne = (PASSE, PASSE + 6 * HEURE)

    async def scenario(bourse: Bourse, exchange: Any) -> None:
        instrument = bourse.marche.instrument("bybit", "SOL/USDT")
        avant = instrument.cotation_ms - 50 * MINUTE
        recues = await exchange.fetch_ohlcv("SOL/USDT", "1m", avant, 100)
        assert recues == attendu(bourse, "SOL/USDT", "1m", avant, avant + 100 * MINUTE)
        assert len(recues) == 50
        assert await kline(exchange, start=PASSE, limit=100) == []
        assert await kline(exchange, end=panne[1], limit=3) == [panne[1], panne[0] - MINUTE, panne[0] - 2 * MINUTE]

    jouer(scenario, marche=Marche(pannes=[panne]))


def test_une_page_close_est_servie_du_cache_mais_a_l_heure_du_moment() -> None:
    async def scenario(bourse: Bourse, exchange: Any) -> None:
        demande = {"category": "spot", "symbol": "BTCUSDT", "interval": "1", "start": PASSE, "end": PASSE + HEURE}
        premiere = await exchange.publicGetV5MarketKline(demande)
        bourse.avancer(5000)
        seconde = await exchange.publicGetV5MarketKline(demande)
        assert seconde["result"] == premiere["result"]
        assert (premiere["time"], seconde["time"]) == (MAINTENANT, MAINTENANT + 5000)

    jouer(scenario)


def test_une_page_qui_contient_la_bougie_en_cours_n_est_pas_gardee() -> None:
    async def scenario(bourse: Bourse, exchange: Any) -> None:
        courante = MAINTENANT // HEURE * HEURE
        demande = {"category": "spot", "symbol": "BTCUSDT", "interval": "60", "end": courante, "limit": 2}
        avant = (await exchange.publicGetV5MarketKline(demande))["result"]["list"]
        bourse.avancer(2 * HEURE)
        apres = (await exchange.publicGetV5MarketKline(demande))["result"]["list"]
        assert (apres[0][0], apres[1]) == (avant[0][0], avant[1])
        assert float(apres[0][5]) > float(avant[0][5])

    jouer(scenario)


def test_les_trades_recents_60_en_spot_1000_en_contrat_par_uuid() -> None:
    async def scenario(bourse: Bourse, exchange: Any) -> None:
        for symbole, nombre in (("BTC/USDT", 60), ("BTC/USDT:USDT", 1000)):
            instrument = bourse.marche.instrument("bybit", symbole)
            vrais = bourse.marche.trades(instrument, MAINTENANT - JOUR, MAINTENANT + 1)[-nombre:]
            recus = await exchange.fetch_trades(symbole, None, 1000)
            # Dans une même milliseconde, ccxt range les trades par identifiant : un uuid ne dit pas l'ordre, `seq` si.
            recus.sort(key=lambda trade: int(trade["info"]["seq"]))
            assert [(t["timestamp"], t["side"], t["price"], t["amount"]) for t in recus] == [
                (t.ts, t.sens, float(instrument.texte_prix(t.prix)), float(instrument.texte_quantite(t.quantite)))
                for t in vrais
            ]
            assert len({trade["id"] for trade in recus}) == nombre
        assert all(uuid.UUID(trade["id"]) for trade in recus)

    jouer(scenario)


def test_les_refus_sont_ceux_que_ccxt_connait() -> None:
    async def scenario(bourse: Bourse, exchange: Any) -> None:
        with pytest.raises(ccxt.BadSymbol, match="Not supported symbols"):
            await kline(exchange, symbol="RIENUSDT")
        with pytest.raises(ccxt.BadRequest, match="Invalid period"):
            await kline(exchange, interval="7")
        with pytest.raises(ccxt.BadRequest, match="Category is invalid"):
            await kline(exchange, category="rien")
        bourse.pannes.ajouter(Panne("429", "kline", fois=1))
        with pytest.raises(ccxt.RateLimitExceeded, match="10006"):
            await kline(exchange)
        bourse.pannes.ajouter(Panne("418", "kline", fois=1))
        with pytest.raises(ccxt.RateLimitExceeded, match="access too frequent"):
            await kline(exchange)
        bourse.pannes.ajouter(Panne("http", "kline", fois=1, code=502))
        with pytest.raises(ccxt.ExchangeNotAvailable, match="502"):
            await kline(exchange)
        assert len(await kline(exchange, limit=10)) == 10

    jouer(scenario)


def test_600_requetes_par_5_secondes_puis_dix_minutes_de_403() -> None:
    limite = LimiteBybit()
    verdicts = [limite.consommer(1, 1000.0) for _ in range(601)]
    assert [verdict.accepte for verdict in verdicts] == [True] * 600 + [False]
    assert (verdicts[-1].code, verdicts[-1].violation, verdicts[-1].attente_s) == (403, True, 0.0)
    assert limite.consommer(1, 1599.0).code == 403
    assert limite.consommer(1, 1601.0).accepte


def test_le_bannissement_arrive_jusqu_a_ccxt() -> None:
    async def scenario(bourse: Bourse, exchange: Any) -> None:
        protocole = bourse.protocoles["bybit"]
        assert protocole.limite is not None
        protocole.limite.jetons = 3
        reponses = await asyncio.gather(*(kline(exchange, limit=1) for _ in range(12)), return_exceptions=True)
        refus = [reponse for reponse in reponses if isinstance(reponse, BaseException)]
        assert len(refus) >= 6
        assert all(isinstance(r, ccxt.RateLimitExceeded) and "access too frequent" in str(r) for r in refus)
        assert bourse.compter(code=403) == len(refus)

    jouer(scenario, limites=True)


def test_une_page_qui_en_chevauche_une_autre_en_repete_les_bords() -> None:
    async def scenario(_bourse: Bourse, exchange: Any) -> None:
        assert len(await kline(exchange, end=PASSE)) == 204

    jouer(scenario, pannes=[Panne("chevauchement", "kline", k=2)])
