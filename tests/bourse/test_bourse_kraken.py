"""kraken embarqué, lu par la vraie classe ccxt : 720 bougies quel que soit `since`, trades par curseur en ns."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

import cas_de_rest
import ccxt.async_support as ccxt
import pytest
from cas_de_rest import HEURE, JOUR, MAINTENANT, MINUTE, attendu

from bourse_locale.kraken.rest import LimiteKraken
from bourse_locale.marche import Marche, instant_ms
from bourse_locale.pannes import Panne

if TYPE_CHECKING:
    from bourse_locale.serveur import Bourse

jouer = partial(cas_de_rest.jouer, "kraken")
COURANTE = MAINTENANT // MINUTE * MINUTE


async def ohlc(exchange: Any, **params: Any) -> tuple[list[list[Any]], int]:
    resultat = (await exchange.publicGetOHLC({"pair": "XXBTZUSD", **params}))["result"]
    return resultat["XXBTZUSD"], resultat["last"]


def test_les_marches_sont_lus_sous_leurs_noms_historiques() -> None:
    async def scenario(_bourse: Bourse, exchange: Any) -> None:
        marches = await exchange.load_markets()
        noms = {
            symbole: marches[symbole]["id"] for symbole in ("BTC/USD", "BTC/USDT", "ETH/EUR", "DOGE/USD", "ADA/USD")
        }
        assert list(noms.values()) == ["XXBTZUSD", "XBTUSDT", "XETHZEUR", "XDGUSD", "ADAUSD"]
        assert marches["BTC/USD"]["altname"] == "XBTUSD"
        assert marches["BTC/USD"]["precision"] == {"amount": 1e-08, "price": 0.01}
        assert set(exchange.currencies) >= {"BTC", "DOGE", "USD", "USDT", "EUR"}
        assert await exchange.fetch_time() == MAINTENANT // 1000 * 1000

    jouer(scenario)


@pytest.mark.parametrize("timeframe", ["1m", "5m", "15m", "30m", "1h", "4h", "1d", "1w", "2w"])
def test_la_page_est_celle_de_l_oracle_bougie_en_cours_comprise(timeframe: str) -> None:
    async def scenario(bourse: Bourse, exchange: Any) -> None:
        recues = await exchange.fetch_ohlcv("SOL/USD", timeframe)
        pas = exchange.parse_timeframe(timeframe) * 1000 if timeframe != "2w" else 15 * JOUR
        assert recues == attendu(bourse, "SOL/USD", timeframe, recues[0][0], MAINTENANT + 1)
        # L'époque est un jeudi : c'est ce jour que kraken ouvre ses semaines.
        assert recues[-1][0] == MAINTENANT // pas * pas
        assert len(recues) == 721 or recues[0][0] <= bourse.marche.instrument("kraken", "SOL/USD").cotation_ms

    jouer(scenario)


def test_since_ne_recule_pas_au_dela_des_720_dernieres() -> None:
    async def scenario(bourse: Bourse, exchange: Any) -> None:
        recues = await exchange.fetch_ohlcv("BTC/USD", "1m", instant_ms("2024-01-01T00:00:00"))
        assert [ligne[0] for ligne in recues] == [COURANTE - n * MINUTE for n in range(720, -1, -1)]
        debut = COURANTE - 50 * MINUTE
        assert await exchange.fetch_ohlcv("BTC/USD", "1m", debut) == attendu(
            bourse, "BTC/USD", "1m", debut, MAINTENANT + 1
        )

    jouer(scenario)


def test_since_est_exclu_et_last_designe_la_derniere_close() -> None:
    async def scenario(bourse: Bourse, exchange: Any) -> None:
        lignes, last = await ohlc(exchange, since=(COURANTE - 3 * MINUTE) // 1000)
        assert [ligne[0] * 1000 for ligne in lignes] == [COURANTE - 2 * MINUTE, COURANTE - MINUTE, COURANTE]
        assert last * 1000 == COURANTE - MINUTE
        lignes, _ = await ohlc(exchange, since=last)
        assert [ligne[0] * 1000 for ligne in lignes] == [COURANTE]
        bourse.avancer(2 * MINUTE)
        lignes, _ = await ohlc(exchange, since=last)
        assert [ligne[0] * 1000 for ligne in lignes] == [COURANTE + n * MINUTE for n in range(3)]

    jouer(scenario)


def test_les_textes_ont_les_decimales_de_kraken() -> None:
    async def scenario(_bourse: Bourse, exchange: Any) -> None:
        lignes, _ = await ohlc(exchange)
        for instant, ouvre, haut, bas, ferme, moyenne, volume, nombre in lignes:
            assert isinstance(instant, int)
            assert {len(texte.partition(".")[2]) for texte in (ouvre, haut, bas, ferme, moyenne)} == {2}
            assert len(volume.partition(".")[2]) == 8
            assert nombre == 0 or float(bas) <= float(moyenne) <= float(haut)

    jouer(scenario)


def test_une_minute_sans_trade_est_plate_et_sans_moyenne() -> None:
    async def scenario(bourse: Bourse, exchange: Any) -> None:
        lignes, _ = await ohlc(exchange)
        vides = [rang for rang, ligne in enumerate(lignes) if ligne[7] == 0 and rang]
        assert 200 < len(vides) < 500
        for rang in vides:
            assert set(lignes[rang][1:5]) == {lignes[rang - 1][4]}
            assert lignes[rang][5:7] == ["0.00", "0.00000000"]
        recues = await exchange.fetch_ohlcv("BTC/USD", "1m")
        assert recues == attendu(bourse, "BTC/USD", "1m", COURANTE - 720 * MINUTE, MAINTENANT + 1)

    jouer(scenario, marche=Marche(taux_vide=0.5))


def test_les_720_dernieres_enjambent_une_panne() -> None:
    panne = (COURANTE - 100 * MINUTE, COURANTE - 40 * MINUTE)

    async def scenario(_bourse: Bourse, exchange: Any) -> None:
        instants = [ligne[0] for ligne in await exchange.fetch_ohlcv("BTC/USD", "1m")]
        assert len(instants) == 721
        assert instants[0] == COURANTE - 780 * MINUTE
        assert not [instant for instant in instants if panne[0] <= instant < panne[1]]

    jouer(scenario, marche=Marche(pannes=[panne]))


def test_les_trades_se_remontent_par_curseur_sans_perte_ni_doublon() -> None:
    async def scenario(bourse: Bourse, exchange: Any) -> None:
        instrument = bourse.marche.instrument("kraken", "BTC/USD")
        debut = MAINTENANT // 1000 * 1000 - 12 * HEURE
        vrais = bourse.marche.trades(instrument, debut, MAINTENANT + 1)
        lus, curseur = [], str(debut * 1_000_000)
        while True:
            page = await exchange.fetch_trades("BTC/USD", None, None, {"since": curseur})
            if not page:
                break
            assert len(page) <= 1000
            curseur = page[-1]["info"][-1]
            lus += page
        assert len(vrais) > 3000
        assert [(t["timestamp"], t["side"], t["price"], t["amount"]) for t in lus] == [
            (t.ts, t.sens, float(instrument.texte_prix(t.prix)), float(instrument.texte_quantite(t.quantite)))
            for t in vrais
        ]
        assert bourse.compter("Trades") == len(lus) // 1000 + 2

    jouer(scenario)


def test_les_bougies_sont_l_agregat_des_trades() -> None:
    async def scenario(_bourse: Bourse, exchange: Any) -> None:
        debut = COURANTE - 30 * MINUTE
        trades = await exchange.fetch_trades("BTC/USD", debut)
        for bougie in (await exchange.fetch_ohlcv("BTC/USD", "1m", debut))[:-1]:
            dedans = [t for t in trades if bougie[0] <= t["timestamp"] < bougie[0] + MINUTE]
            prix = [t["price"] for t in dedans]
            assert bougie[1:5] == [prix[0], max(prix), min(prix), prix[-1]]
            assert bougie[5] == pytest.approx(sum(t["amount"] for t in dedans), abs=1e-9)

    jouer(scenario)


def test_since_des_trades_est_exclu_et_se_lit_en_secondes_ou_en_nanosecondes() -> None:
    async def scenario(_bourse: Bourse, exchange: Any) -> None:
        async def lire(**params: Any) -> tuple[list[list[Any]], str]:
            resultat = (await exchange.publicGetTrades({"pair": "XBTUSD", **params}))["result"]
            return resultat["XXBTZUSD"], resultat["last"]

        derniers, last = await lire()
        assert len(derniers) == 1000
        assert await lire(since=last) == ([], last)
        seconde = MAINTENANT // 1000 - 600
        en_secondes, _ = await lire(since=seconde)
        assert await lire(since=seconde * 10**9) == (en_secondes, last)
        assert en_secondes == derniers[-len(en_secondes) :]
        premiers, curseur = await lire(since=seconde, count=7)
        assert premiers == en_secondes[:7]
        suite, _ = await lire(since=curseur, count=3)
        assert suite == en_secondes[7:10]

    jouer(scenario)


def test_l_histoire_des_trades_remonte_a_la_cotation() -> None:
    async def scenario(bourse: Bourse, exchange: Any) -> None:
        page = await exchange.fetch_trades("SOL/USD", None, None, {"since": "0"})
        assert len(page) == 1000
        assert page[0]["timestamp"] // MINUTE == bourse.marche.instrument("kraken", "SOL/USD").cotation_ms // MINUTE

    jouer(scenario)


def test_les_refus_sont_ceux_que_ccxt_connait() -> None:
    async def scenario(bourse: Bourse, exchange: Any) -> None:
        with pytest.raises(ccxt.ExchangeError, match="EQuery:Unknown asset pair"):
            await exchange.publicGetOHLC({"pair": "RIENUSD"})
        for params in ({"interval": 7}, {"since": "hier"}, {"since": "NaN"}):
            with pytest.raises(ccxt.BadRequest, match="EGeneral:Invalid arguments"):
                await ohlc(exchange, **params)
        for code in ("429", "418"):
            bourse.pannes.ajouter(Panne(code, "OHLC", fois=1))
            with pytest.raises(ccxt.DDoSProtection, match="EAPI:Rate limit exceeded"):
                await ohlc(exchange)
            assert bourse.requetes[-1].code == int(code)
        bourse.pannes.ajouter(Panne("http", "OHLC", fois=1, code=520))
        with pytest.raises(ccxt.ExchangeNotAvailable, match="520"):
            await ohlc(exchange)
        assert len((await ohlc(exchange))[0]) == 721

    jouer(scenario)


def test_le_compteur_se_vide_d_une_requete_par_seconde() -> None:
    limite = LimiteKraken()
    assert [limite.consommer(1, 100.0).accepte for _ in range(17)] == [True] * 15 + [False] * 2
    assert not limite.consommer(1, 100.9).accepte
    assert limite.consommer(1, 101.0).accepte
    assert not limite.consommer(1, 101.0).accepte
    assert [limite.consommer(1, 200.0 + n).accepte for n in range(60)] == [True] * 60


def test_le_debit_depasse_est_un_http_200_avec_une_erreur() -> None:
    async def scenario(bourse: Bourse, exchange: Any) -> None:
        demandes = [exchange.publicGetTime() for _ in range(25)]
        reponses = await asyncio.gather(*demandes, return_exceptions=True)
        refus = [reponse for reponse in reponses if isinstance(reponse, BaseException)]
        assert 7 <= len(refus) <= 10
        assert all(isinstance(r, ccxt.DDoSProtection) and "EAPI:Rate limit exceeded" in str(r) for r in refus)
        assert bourse.violations == len(refus)
        assert bourse.compter(code=200) == 25

    jouer(scenario, limites=True)


def test_un_horodatage_hors_grille_arrive_jusqu_a_ccxt() -> None:
    async def scenario(_bourse: Bourse, exchange: Any) -> None:
        recues = await exchange.fetch_ohlcv("BTC/USD", "1m")
        assert [ligne[0] % MINUTE for ligne in recues if ligne[0] % MINUTE] == [17_001]

    jouer(scenario, pannes=[Panne("valeurs", "OHLC", cas="hors_grille")])
