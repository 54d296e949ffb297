"""Les messages WebSocket d'okx, bybit et kraken : fonctions pures, comparées au REST et aux exemples des exchanges."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any
from zlib import crc32

import pytest

from bourse_locale.bybit import flux as bybit_flux
from bourse_locale.bybit.rest import ligne_trade as ligne_trade_bybit
from bourse_locale.carnet import PAS_CARNET_MS, Carnet, Niveau, carnet, ecarts, statistiques_24h
from bourse_locale.flux import Resume
from bourse_locale.kraken import flux as kraken_flux
from bourse_locale.marche import INSTRUMENTS_PAR_DEFAUT, MINUTE_MS, Instrument, Marche, instant_ms
from bourse_locale.okx import flux as okx_flux
from bourse_locale.okx.rest import inst_id

T0 = instant_ms("2026-07-01T12:00:17")
MARCHE = Marche(5)
OKX, BYBIT, KRAKEN = (INSTRUMENTS_PAR_DEFAUT[nom] for nom in ("okx", "bybit", "kraken"))


def resume(instrument: Instrument, ts: int = T0) -> Resume:
    """Rend le ticker d'un instant, sans cadre."""
    jour, haut = statistiques_24h(MARCHE, instrument, ts), carnet(MARCHE, instrument, ts, 1)
    assert jour is not None
    return Resume(ts, jour, MARCHE.trades(instrument, ts - 5 * MINUTE_MS, ts + 1)[-1], haut.bids[0], haut.asks[0])


def test_somme_okx_de_la_documentation() -> None:
    """La somme suit l'exemple d'okx : achats et ventes en alternance, entier signé."""
    instrument = Instrument("BTC", "USDT", decimales_prix=1, decimales_quantite=0)
    etat = Carnet(0, 1, (Niveau(33661, 7), Niveau(33660, 6)), (Niveau(33662, 8),))
    attendu = crc32(b"3366.1:7:3366.2:8:3366.0:6")
    assert okx_flux.somme(instrument, etat) == (attendu - 2**32 if attendu >= 2**31 else attendu)


def test_somme_kraken_de_la_documentation() -> None:
    """La somme suit la règle de kraken : ventes puis achats, sans point ni zéros de tête."""
    instrument = Instrument("BTC", "USD", decimales_prix=1, decimales_quantite=8)
    etat = Carnet(0, 1, (Niveau(452835, 100_000),), (Niveau(452852, 100_000), Niveau(452864, 154_571_953)))
    assert kraken_flux.somme(instrument, etat) == crc32(b"452852100000452864154571953452835100000")


def test_nombres_kraken_gardent_leurs_zeros() -> None:
    """Un nombre JSON de kraken porte toutes ses décimales, et reste un nombre."""
    instrument = KRAKEN[0]
    texte = kraken_flux.encoder({"price": kraken_flux.prix(instrument, 6_500_000), "nom": "x"})
    assert texte == '{"price":65000.00,"nom":"x"}'
    assert json.loads(texte)["price"] == 65000.0


@pytest.mark.parametrize("arg", [{"channel": "trades", "instId": "BTC-USDT"}, {"channel": "candle1m"}])
def test_canal_okx_lu(arg: dict[str, str]) -> None:
    """Un abonnement est relu tel quel ; les bougies ne sont servies que par « business »."""
    canal = okx_flux.lire_canal(arg)
    assert canal is not None
    assert canal.arg["channel"] == arg["channel"]
    assert okx_flux.servi(canal, "business") is (arg["channel"] == "candle1m")


@pytest.mark.parametrize("arg", ["trades", None, {"instId": "BTC-USDT"}, {"channel": 3}])
def test_canal_okx_illisible(arg: object) -> None:
    """Un abonnement mal formé n'est pas compris."""
    assert okx_flux.lire_canal(arg) is None


@pytest.mark.parametrize(
    "texte", ["kline.7.BTCUSDT", "orderbook.20.BTCUSDT", "foo.BTCUSDT", "publicTrade", "", None, 3]
)
def test_sujet_bybit_inconnu(texte: object) -> None:
    """Un sujet inconnu n'est pas compris."""
    assert bybit_flux.lire_sujet(texte) is None


@pytest.mark.parametrize("texte", ["kline.60.BTCUSDT", "orderbook.50.BTCUSDT-25DEC26", "tickers.BTCUSD"])
def test_sujet_bybit_lu(texte: str) -> None:
    """Un sujet est relu tel quel, symbole d'échéance compris."""
    sujet = bybit_flux.lire_sujet(texte)
    assert sujet is not None
    assert ".".join(filter(None, (sujet.genre, sujet.reglage, sujet.symbole))) == texte


@pytest.mark.parametrize(
    ("params", "refus"),
    [
        ({"channel": "foo"}, "Subscription name invalid"),
        ({"channel": "ohlc", "interval": 7}, "Subscription ohlc interval not supported"),
        ({"channel": "book", "depth": 7}, "Subscription depth not supported"),
        ({"channel": "book"}, None),
        ({"channel": "ohlc", "interval": 21600}, None),
    ],
)
def test_demande_kraken_controlee(params: dict[str, Any], refus: str | None) -> None:
    """Une demande mal réglée est refusée par le texte de kraken."""
    demande = kraken_flux.lire_demande({"method": "subscribe", "params": {"symbol": ["BTC/USD"], **params}})
    assert demande is not None
    assert kraken_flux.defaut(demande) == refus


@pytest.mark.parametrize("instrument", BYBIT, ids=lambda i: i.symbole)
def test_trade_bybit_comme_en_rest(instrument: Instrument) -> None:
    """Identifiant, prix, quantité, sens et instant sont ceux du REST, mot pour mot."""
    for trade in MARCHE.trades(instrument, T0 - MINUTE_MS, T0):
        flux, rest = bybit_flux.donnees_trade(instrument, trade), ligne_trade_bybit(instrument, trade)
        assert [flux[nom] for nom in ("i", "p", "v", "S", "s")] == [
            rest[nom] for nom in ("execId", "price", "size", "side", "symbol")
        ]
        assert str(flux["T"]) == rest["time"]


def test_ticker_bybit_de_contrat_ne_dit_que_ce_qui_change() -> None:
    """Les deltas d'un ticker de contrat, appliqués à l'état, donnent l'état entier ; le spot est toujours entier."""
    contrat = next(i for i in BYBIT if i.symbole == "BTC/USDT:USDT")
    sujet = bybit_flux.Sujet("tickers.BTCUSDT", "tickers", "", "BTCUSDT")
    premier, etat = bybit_flux.message_ticker(sujet, MARCHE, contrat, resume(contrat))
    assert premier["type"] == "snapshot"
    livre = dict(etat)
    for i in range(1, 40):
        recu, etat = bybit_flux.message_ticker(sujet, MARCHE, contrat, resume(contrat, T0 + i * 700), etat)
        assert recu["type"] == "delta"
        assert isinstance(recu["data"], dict)
        assert set(recu["data"]) < set(etat)
        livre |= recu["data"]
        assert livre == etat
    entier, _ = bybit_flux.message_ticker(sujet, MARCHE, BYBIT[0], resume(BYBIT[0]), {"symbol": "BTCUSDT"})
    assert entier["type"] == "snapshot"


def test_carnet_okx_enchaine_ses_sequences() -> None:
    """Chaque écart d'okx nomme la séquence d'avant, et un niveau retiré s'écrit « 0 »."""
    canal = okx_flux.Canal("books", inst_id(OKX[0]))
    etats = [carnet(MARCHE, OKX[0], T0 + i * PAS_CARNET_MS, 25) for i in range(100)]
    (premier,) = _donnees(okx_flux.message_carnet(canal, OKX[0], etats[0]))
    assert premier["prevSeqId"] == -1
    vus, retraits = premier["seqId"], 0
    for avant, apres in pairwise(etats):
        suite = (avant.sequence, ecarts(avant, apres))
        (donnee,) = _donnees(okx_flux.message_carnet(canal, OKX[0], apres, suite))
        assert donnee["prevSeqId"] == vus
        vus = donnee["seqId"]
        retraits += sum(niveau[1] == "0" for niveau in donnee["bids"] + donnee["asks"])
    assert retraits


def test_carnet_kraken_tronque_par_le_client() -> None:
    """Les écarts visibles, appliqués puis tronqués à la profondeur, donnent le carnet et sa somme."""
    instrument, profondeur = KRAKEN[0], 10
    etats = [carnet(MARCHE, instrument, T0 + i * PAS_CARNET_MS, profondeur) for i in range(900)]
    bids, asks = ({n.prix: n.quantite for n in cote} for cote in (etats[0].bids, etats[0].asks))
    for avant, apres in pairwise(etats):
        change = ecarts(avant, apres)
        for livre, changes, cote, achats in (
            (bids, change.bids, apres.bids, True),
            (asks, change.asks, apres.asks, False),
        ):
            livre |= {n.prix: n.quantite for n in kraken_flux.visibles(changes, cote, achats=achats)}
            vivants = sorted(((p, q) for p, q in livre.items() if q), reverse=achats)[:profondeur]
            livre.clear()
            livre.update(vivants)
            assert tuple(Niveau(*v) for v in vivants) == cote


def test_bougie_kraken() -> None:
    """Une bougie de kraken porte ses bornes, son intervalle et ses nombres exacts."""
    instrument = KRAKEN[0]
    bougie = MARCHE.bougies(instrument, MINUTE_MS, T0 - T0 % MINUTE_MS - MINUTE_MS, T0 - T0 % MINUTE_MS)[0]
    texte = kraken_flux.message_bougies(instrument, (MINUTE_MS, 0), [bougie], T0, instantane=False)
    (lue,) = json.loads(texte)["data"]
    assert (lue["interval"], lue["trades"], lue["symbol"]) == (1, bougie.nombre, "BTC/USD")
    assert lue["interval_begin"] == "2026-07-01T11:59:00.000000000Z"
    assert lue["timestamp"] == "2026-07-01T12:00:00.000000Z"
    assert [lue[nom] for nom in ("open", "high", "low", "close")] == [p / 100 for p in bougie[1:5]]


def test_ticker_okx_et_kraken() -> None:
    """Les tickers se rédigent pour chaque marché, et disent le dernier prix."""
    for instrument in OKX:
        vu = resume(instrument)
        message = okx_flux.message_ticker(okx_flux.Canal("tickers", inst_id(instrument)), MARCHE, instrument, vu)
        assert _donnees(message)[0]["last"] == instrument.texte_prix(vu.dernier.prix)
    for instrument in KRAKEN:
        vu = resume(instrument)
        lu = json.loads(kraken_flux.message_ticker(instrument, vu, instantane=True))["data"][0]
        assert lu["last"] == float(instrument.texte_prix(vu.dernier.prix))
        assert lu["bid"] < lu["ask"]


def _donnees(message: dict[str, Any]) -> list[dict[str, Any]]:
    return list(message["data"])
