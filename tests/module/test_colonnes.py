"""La lecture d'une page par colonnes : toujours, au bit près, ce que la classe ccxt rendrait ligne à ligne."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import module_ccxt_fr_v2 as module

DEPART = 1_700_000_040_000


def prix(alea: random.Random) -> list[str]:
    """Ouverture, haut, bas, clôture, volume, tous différents."""
    bas, haut = sorted(alea.uniform(1, 90_000) for _ in range(2))
    return [f"{v:.8f}" for v in (alea.uniform(bas, haut), haut, bas, alea.uniform(bas, haut), alea.uniform(0, 5000))]


# Les lignes brutes de quelques exchanges : (instant en ms, ouverture, haut, bas, clôture, volume) -> leur ligne.
BRUTES: dict[str, Any] = {
    "binance": lambda t, o, h, b, c, v: [t, o, h, b, c, v, t + 59_999, "12.5", 308, "1.25", "2.5", "0"],
    "okx": lambda t, o, h, b, c, v: [str(t), o, h, b, c, v, "7.25", "8.25", "1"],
    "bybit": lambda t, o, h, b, c, v: [str(t), o, h, b, c, v, "3.5"],
    "kraken": lambda t, o, h, b, c, v: [t // 1000, o, h, b, c, "0.1", v, 17],
    "coinbaseexchange": lambda t, o, h, b, c, v: [t // 1000, *map(float, (b, h, o, c, v))],
    "gate": lambda t, o, h, b, c, v: [str(t // 1000), "1.5", c, h, b, o, v, "true"],
    "hyperliquid": lambda t, o, h, b, c, v: {
        "t": t, "T": t + 59_999, "s": "BTC", "i": "1m", "o": o, "c": c, "h": h, "l": b, "v": v, "n": 3
    },
}  # fmt: skip


def page(exchange: str, alea: random.Random, lignes: int = 40) -> list[Any]:
    """Une page brute de cet exchange."""
    debut = DEPART + 60_000 * alea.randrange(10_000)
    return [BRUTES[exchange](debut + 60_000 * rang, *prix(alea)) for rang in range(lignes)]


def marche(**champs: Any) -> dict[str, Any]:
    """Un marché au comptant."""
    genre = {"type": "spot", "spot": True, "contract": False, "inverse": False}
    return {"symbol": "BTC/USDT", "id": "BTCUSDT", **genre, **champs}


def compter(api: Any, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Les lignes que la classe lit elle-même."""
    lues: list[Any] = []
    vraie = type(api).parse_ohlcv

    def parse_ohlcv(self: Any, ligne: Any, market: Any = None) -> Any:
        lues.append(ligne)
        return vraie(self, ligne, market)

    monkeypatch.setattr(type(api), "parse_ohlcv", parse_ohlcv)
    return lues


@pytest.mark.parametrize("exchange", BRUTES)
def test_deux_pages_suffisent_et_trois_lignes_temoignent(exchange: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Dès la troisième page, la classe ne lit plus que trois lignes, et rien n'en change."""
    api, alea = module._classe(exchange)(), random.Random(1)
    pages = [page(exchange, alea) for _ in range(5)]
    attendues = [[api.parse_ohlcv(ligne, marche()) for ligne in lignes] for lignes in pages]
    lues = compter(api, monkeypatch)
    assert [api.parse_ohlcvs(lignes, marche()) for lignes in pages] == attendues
    assert len(lues) == 40 + 40 + 3 * 3
    assert len(attendues[0][0]) == 6


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from(sorted(BRUTES)), st.data())
def test_une_page_abimee_se_lit_comme_la_classe(graine: int, exchange: str, donnees: st.DataObject) -> None:
    """Nombres absents, démesurés, vides, lignes courtes, textes, booléens : le résultat est celui de la classe."""
    api, alea = module._classe(exchange)(), random.Random(graine)
    for _ in range(2):
        api.parse_ohlcvs(page(exchange, alea), marche())
    lignes = page(exchange, alea, 8)
    valeurs: list[Any] = [None, "", "abc", "1e400", True, "nan", 0, "1_000", 10**30, [], "12.5", " 7 ", -1, 1.5]
    for _ in range(donnees.draw(st.integers(0, 4))):
        ligne = lignes[donnees.draw(st.integers(0, 7))]
        cles = sorted(ligne) if isinstance(ligne, dict) else range(len(ligne))
        if donnees.draw(st.booleans()) and isinstance(ligne, list) and len(ligne) > 1:
            ligne.pop()
        elif cles:
            ligne[donnees.draw(st.sampled_from(cles))] = donnees.draw(st.sampled_from(valeurs))

    def rendre(lire: Any) -> str:
        try:
            return repr(lire())
        except Exception as erreur:  # noqa: BLE001  la classe peut buter : la lecture par colonnes bute pareil
            return type(erreur).__name__

    attendu = rendre(lambda: [api.parse_ohlcv(ligne, marche()) for ligne in lignes])
    assert rendre(lambda: api.parse_ohlcvs(lignes, marche())) == attendu


def test_un_autre_marche_se_prouve_a_nouveau(monkeypatch: pytest.MonkeyPatch) -> None:
    """Binance lit ailleurs le volume d'un contrat inverse : ce qui est appris d'un marché ne sert pas un autre."""
    api, alea = module._classe("binance")(), random.Random(2)
    inverse = marche(symbol="BTC/USD:BTC", inverse=True, contract=True, spot=False)
    for _ in range(3):
        api.parse_ohlcvs(page("binance", alea), marche())
    lignes = page("binance", alea)
    attendues = [api.parse_ohlcv(ligne, inverse) for ligne in lignes]
    lues = compter(api, monkeypatch)
    assert api.parse_ohlcvs(lignes, inverse) == attendues
    assert len(lues) == 40
    assert {ligne[5] for ligne in attendues} == {12.5}


def test_un_marche_fige_ne_prouve_rien(monkeypatch: pytest.MonkeyPatch) -> None:
    """Quatre prix égaux partout : plusieurs colonnes conviennent, la classe continue de lire."""
    api = module._classe("binance")()
    lues = compter(api, monkeypatch)
    for tour in range(4):
        plates = [BRUTES["binance"](DEPART + 60_000 * (10 * tour + rang), *["5.0"] * 4, "0") for rang in range(10)]
        api.parse_ohlcvs(plates, marche())
    assert len(lues) == 40
    alea = random.Random(3)
    for _ in range(2):
        api.parse_ohlcvs(page("binance", alea, 10), marche())
    assert len(lues) == 50 + 3


def test_un_temoin_qui_dement_rend_la_main_a_la_classe(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """L'exchange change ses colonnes en route : la page est lue par la classe, c'est dit une fois, et pour la suite."""
    caplog.set_level("INFO")
    api, alea = module._classe("binance")(), random.Random(4)
    for _ in range(3):
        api.parse_ohlcvs(page("binance", alea), marche())
    vraie = type(api).parse_ohlcv
    monkeypatch.setattr(
        type(api), "parse_ohlcv", lambda self, ligne, market=None: [*vraie(self, ligne, market)[:5], 1.0]
    )
    for _ in range(3):
        lignes = page("binance", alea)
        assert api.parse_ohlcvs(lignes, marche()) == [api.parse_ohlcv(ligne) for ligne in lignes]
    assert caplog.text.count("ligne à ligne") == 1
