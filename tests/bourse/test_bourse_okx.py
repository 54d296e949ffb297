"""okx embarqué, lu par la vraie classe ccxt : pages par la fin, bornes exclues, 1440 bougies récentes, refus."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

import cas_de_rest
import ccxt.async_support as ccxt
import pytest
from cas_de_rest import HEURE, JOUR, MAINTENANT, MINUTE, PASSE, attendu

from bourse_locale.marche import Marche, instant_ms
from bourse_locale.pannes import Panne

if TYPE_CHECKING:
    from bourse_locale.serveur import Bourse

jouer = partial(cas_de_rest.jouer, "okx")


async def brut(exchange: Any, methode: str, **params: Any) -> list[list[str]]:
    return list((await getattr(exchange, methode)(params))["data"])


def test_les_marches_ont_leurs_noms_et_leurs_contrats() -> None:
    async def scenario(_bourse: Bourse, exchange: Any) -> None:
        marches = await exchange.load_markets()
        perpetuel, inverse = marches["BTC/USDT:USDT"], marches["BTC/USD:BTC"]
        assert (perpetuel["id"], perpetuel["linear"], perpetuel["contractSize"]) == ("BTC-USDT-SWAP", True, 0.01)
        assert (inverse["id"], inverse["inverse"], inverse["contractSize"]) == ("BTC-USD-SWAP", True, 100.0)
        echeance = marches["BTC/USD:BTC-261225"]
        assert (echeance["id"], echeance["expiry"]) == ("BTC-USD-261225", instant_ms("2026-12-25T08:00:00"))
        assert marches["BTC/USDT"]["precision"] == {"amount": 1e-05, "price": 0.01}

    jouer(scenario)


def test_sans_suffixe_utc_les_longues_bougies_suivent_hong_kong() -> None:
    async def scenario(_bourse: Bourse, exchange: Any) -> None:
        def heures(lignes: list[list[str]]) -> set[int]:
            return {int(ligne[0]) % JOUR // HEURE for ligne in lignes}

        assert heures(await brut(exchange, "publicGetMarketCandles", instId="BTC-USDT", bar="1D", limit=5)) == {16}
        assert heures(await brut(exchange, "publicGetMarketCandles", instId="BTC-USDT", bar="1Dutc", limit=5)) == {0}
        six = await brut(exchange, "publicGetMarketCandles", instId="BTC-USDT", bar="6H", limit=8)
        assert heures(six) == {4, 10, 16, 22}

    jouer(scenario)


def test_before_et_after_sont_exclus_et_la_fin_de_la_fenetre_l_emporte() -> None:
    async def scenario(_bourse: Bourse, exchange: Any) -> None:
        async def lire(**bornes: int) -> list[int]:
            lignes = await brut(exchange, "publicGetMarketHistoryCandles", instId="BTC-USDT", bar="1m", **bornes)
            return [int(ligne[0]) for ligne in lignes]

        assert await lire(before=PASSE, after=PASSE + 3 * MINUTE) == [PASSE + 2 * MINUTE, PASSE + MINUTE]
        large = await lire(before=PASSE, after=PASSE + 1000 * MINUTE, limit=300)
        assert large == [PASSE + n * MINUTE for n in range(999, 699, -1)]
        assert (await lire(before=PASSE, limit=2))[0] == MAINTENANT // MINUTE * MINUTE
        assert len(await lire(after=PASSE, limit=5000)) == 300
        assert len(await lire(after=PASSE)) == 100

    jouer(scenario)


def test_candles_s_arrete_a_1440_bougies_et_history_candles_non() -> None:
    async def scenario(bourse: Bourse, exchange: Any) -> None:
        premiere = MAINTENANT // MINUTE * MINUTE - 1439 * MINUTE
        candles, history = "publicGetMarketCandles", "publicGetMarketHistoryCandles"
        demande = {"instId": "BTC-USDT", "bar": "1m", "after": premiere + 10 * MINUTE, "limit": 300}
        assert int((await brut(exchange, candles, **demande))[-1][0]) == premiere
        assert len(await brut(exchange, candles, **demande)) == 10
        assert len(await brut(exchange, history, **demande)) == 300
        assert await brut(exchange, candles, **{**demande, "after": premiere}) == []
        # Une page gardée en cache ne doit pas survivre au temps qui passe.
        bourse.avancer(3 * MINUTE)
        assert len(await brut(exchange, candles, **demande)) == 7

    jouer(scenario)


def test_seule_la_bougie_en_cours_n_est_pas_confirmee_et_elle_bouge() -> None:
    async def scenario(bourse: Bourse, exchange: Any) -> None:
        # `after` juste au-dessus de l'ouverture en cours : la page la contient, elle ne peut pas être mise en cache.
        courante = MAINTENANT // (5 * MINUTE) * 5 * MINUTE
        demande = {"instId": "BTC-USDT", "bar": "5m", "limit": 4, "after": courante + 1}
        avant = await brut(exchange, "publicGetMarketHistoryCandles", **demande)
        assert [ligne[8] for ligne in avant] == ["0", "1", "1", "1"]
        bourse.avancer(MINUTE // 4)
        pendant = await brut(exchange, "publicGetMarketHistoryCandles", **demande)
        assert float(pendant[0][5]) >= float(avant[0][5])
        assert pendant[1:] == avant[1:]
        bourse.avancer(5 * MINUTE)
        apres = await brut(exchange, "publicGetMarketHistoryCandles", **demande)
        assert (apres[0][0], apres[0][8]) == (avant[0][0], "1")
        assert float(apres[0][5]) > float(avant[0][5])

    jouer(scenario)


def test_les_volumes_distinguent_contrats_base_et_quote() -> None:
    async def scenario(_bourse: Bourse, exchange: Any) -> None:
        async def volumes(identifiant: str) -> tuple[float, float, float, float]:
            lignes = await brut(exchange, "publicGetMarketCandles", instId=identifiant, after=MAINTENANT - JOUR // 2)
            vol, base, quote = (float(cellule) for cellule in lignes[0][5:8])
            return vol, base, quote, float(lignes[0][4])

        vol, base, quote, prix = await volumes("BTC-USDT-SWAP")
        assert base == pytest.approx(vol * 0.01)
        assert quote == pytest.approx(base * prix, rel=0.05)
        vol, base, quote, prix = await volumes("BTC-USD-SWAP")
        assert quote == pytest.approx(vol * 100)
        assert base == pytest.approx(quote / prix, rel=0.05)
        vol, quote, meme, prix = await volumes("BTC-USDT")
        assert quote == meme == pytest.approx(vol * prix, rel=0.05)

    jouer(scenario)


@pytest.mark.parametrize("prix", ["mark", "index"])
@pytest.mark.parametrize("symbole", ["BTC/USDT:USDT", "BTC/USD:BTC-261225"])
def test_mark_et_index_sont_plafonnes_a_100_et_sans_volume(prix: str, symbole: str) -> None:
    async def scenario(bourse: Bourse, exchange: Any) -> None:
        debut = MAINTENANT // MINUTE * MINUTE - 3000 * MINUTE
        recues = await exchange.fetch_ohlcv(symbole, "1m", debut, 300, {"price": prix})
        assert recues == attendu(bourse, symbole, "1m", debut, debut + 100 * MINUTE, prix)
        assert len(recues) == 100
        assert {ligne[5] for ligne in recues} == {None}

    jouer(scenario)


def test_mark_et_index_sont_refuses_sur_un_marche_spot() -> None:
    async def scenario(_bourse: Bourse, exchange: Any) -> None:
        for prix in ("mark", "index"):
            with pytest.raises(ccxt.BadSymbol, match="51001"):
                await exchange.fetch_ohlcv("BTC/USDT", "1m", PASSE, 10, {"price": prix})

    jouer(scenario)


def test_rien_avant_la_cotation_et_une_panne_est_enjambee() -> None:
    panne = (PASSE, PASSE + 6 * HEURE)

    async def scenario(bourse: Bourse, exchange: Any) -> None:
        instrument = bourse.marche.instrument("okx", "SOL/USDT")
        avant = instrument.cotation_ms - 50 * MINUTE
        recues = await exchange.fetch_ohlcv("SOL/USDT", "1m", avant, 100)
        assert recues == attendu(bourse, "SOL/USDT", "1m", avant, avant + 100 * MINUTE)
        assert recues[0][0] == instrument.cotation_ms // MINUTE * MINUTE
        autour = await brut(
            exchange, "publicGetMarketHistoryCandles", instId="SOL-USDT", after=panne[1] + MINUTE, limit=3
        )
        assert [int(ligne[0]) for ligne in autour] == [panne[1], panne[0] - MINUTE, panne[0] - 2 * MINUTE]

    jouer(scenario, marche=Marche(pannes=[panne]))


def test_une_minute_sans_trade_est_une_bougie_plate() -> None:
    async def scenario(bourse: Bourse, exchange: Any) -> None:
        recues = await exchange.fetch_ohlcv("BTC/USDT", "1m", PASSE, 300)
        assert recues == attendu(bourse, "BTC/USDT", "1m", PASSE, PASSE + 300 * MINUTE)
        assert len(recues) == 300
        plates = [rang for rang, ligne in enumerate(recues) if ligne[5] == 0.0 and rang]
        assert 60 < len(plates) < 240
        assert all(set(recues[rang][1:5]) == {recues[rang - 1][4]} for rang in plates)

    jouer(scenario, marche=Marche(taux_vide=0.5))


def test_les_trades_recents_et_leur_histoire_se_rejoignent() -> None:
    async def scenario(bourse: Bourse, exchange: Any) -> None:
        instrument = bourse.marche.instrument("okx", "BTC/USDT:USDT")
        vrais = bourse.marche.trades(instrument, MAINTENANT - HEURE, MAINTENANT + 1)
        recents = await exchange.fetch_trades("BTC/USDT:USDT", None, 100)
        assert [trade["id"] for trade in recents] == [str(trade.id) for trade in vrais[-100:]]
        assert recents[-1]["price"] == float(instrument.texte_prix(vrais[-1].prix))
        curseur, remontes = int(recents[0]["id"]), list(recents)
        for _ in range(2):
            page = await exchange.fetch_trades(
                "BTC/USDT:USDT", None, 100, {"method": "publicGetMarketHistoryTrades", "after": curseur}
            )
            curseur, remontes = int(page[0]["id"]), page + remontes
        assert [trade["id"] for trade in remontes] == [str(trade.id) for trade in vrais[-300:]]

    jouer(scenario)


def test_l_histoire_des_trades_se_lit_aussi_par_instant() -> None:
    async def scenario(bourse: Bourse, exchange: Any) -> None:
        instrument = bourse.marche.instrument("okx", "BTC/USDT")
        fin = MAINTENANT - JOUR
        vrais = bourse.marche.trades(instrument, fin - HEURE, fin)[-50:]
        demande = {"instId": "BTC-USDT", "type": "2", "limit": 50}
        page = await brut(exchange, "publicGetMarketHistoryTrades", **demande, after=fin)
        assert [ligne["tradeId"] for ligne in page] == [str(t.id) for t in reversed(vrais)]  # type: ignore[call-overload]
        ancien = MAINTENANT - 100 * JOUR
        assert await brut(exchange, "publicGetMarketHistoryTrades", **demande, after=ancien) == []

    jouer(scenario)


def test_les_refus_sont_ceux_que_ccxt_connait() -> None:
    async def scenario(bourse: Bourse, exchange: Any) -> None:
        with pytest.raises(ccxt.BadSymbol, match="51001"):
            await exchange.publicGetMarketCandles({"instId": "RIEN-USDT"})
        with pytest.raises(ccxt.BadRequest, match="Parameter bar error"):
            await exchange.publicGetMarketCandles({"instId": "BTC-USDT", "bar": "7m"})
        bourse.pannes.ajouter(Panne("429", "candles", fois=1))
        with pytest.raises(ccxt.RateLimitExceeded, match="50011"):
            await exchange.fetch_ohlcv("BTC/USDT", "1m")
        bourse.pannes.ajouter(Panne("http", "candles", fois=1, code=503))
        with pytest.raises(ccxt.ExchangeNotAvailable, match="50001"):
            await exchange.fetch_ohlcv("BTC/USDT", "1m")
        assert len(await exchange.fetch_ohlcv("BTC/USDT", "1m", None, 10)) == 10

    jouer(scenario)


def test_le_debit_est_compte_par_route() -> None:
    async def scenario(bourse: Bourse, exchange: Any) -> None:
        demandes = [exchange.publicGetMarketHistoryCandles({"instId": "BTC-USDT", "limit": 1}) for _ in range(60)]
        reponses = await asyncio.gather(*demandes, return_exceptions=True)
        refus = [r for r in reponses if isinstance(r, ccxt.RateLimitExceeded)]
        # Une fenêtre de 2 s en laisse passer 20 ; au pire, deux fenêtres se partagent la salve.
        assert 20 <= len(refus) <= 40
        assert bourse.violations >= 1
        assert len((await exchange.publicGetMarketCandles({"instId": "BTC-USDT"}))["data"]) == 100

    jouer(scenario, limites=True)


def test_un_volume_abime_l_est_dans_la_colonne_que_lit_ccxt() -> None:
    async def scenario(_bourse: Bourse, exchange: Any) -> None:
        recues = await exchange.fetch_ohlcv("BTC/USDT:USDT", "1m", PASSE, 10)
        assert recues[4][5] is None

    jouer(scenario, pannes=[Panne("valeurs", "candles", cas="null", champ="volume", rang=5)])
