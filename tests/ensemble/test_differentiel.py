"""La v2 contre la version de référence : mêmes bougies, ligne pour ligne, face au même exchange en bonne santé."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

import pytest
from couverture import une_seule
from ligne_de_commande import EXCHANGES, HEURE, JOUR, commande

import module_ccxt_fr as reference
import module_ccxt_fr_v2 as v2
from bourse_locale import Bourse, Marche

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MAINTENANT = 1_704_459_630_000  # 2024-01-05T13:00:30Z
FIN = MAINTENANT - MAINTENANT % JOUR
ETENDUES = {"1m": 20 * HEURE, "5m": 3 * JOUR, "1h": 40 * JOUR, "1d": 50 * JOUR, "1w": 140 * JOUR, "1M": 190 * JOUR}
KRAKEN = {"1m": 10 * HEURE, "5m": JOUR, "1h": 25 * JOUR, "1d": 50 * JOUR, "1w": 142 * JOUR}
CONTRATS = [
    ("binance", "BTC/USDT:USDT", prix) for prix in ("last", "mark", "index", "premiumIndex")
] + [
    ("binance", "BTC/USD:BTC", "last"),
    *(("okx", "BTC/USDT:USDT", prix) for prix in ("last", "mark", "index")),
    *(("bybit", "BTC/USDT:USDT", prix) for prix in ("last", "mark", "index")),
    ("bybit", "BTC/USD:BTC", "last"),
]  # fmt: skip


@pytest.fixture(scope="module")
def bourse() -> Iterator[Bourse]:
    """Les quatre exchanges, le 5 janvier 2024, une minute sur cinquante sans transaction."""
    marche = Marche(graine=7, taux_vide=0.02)
    with Bourse(EXCHANGES, marche, maintenant_ms=MAINTENANT, acceleration=0.0, limites=False).en_fil() as ouverte:
        yield ouverte


def lire(chemin: Path) -> list[tuple[object, ...]]:
    """Les lignes d'un CSV, nombres et instants relus, sans rien du produit."""
    with chemin.open(encoding="utf-8", newline="") as fichier:
        return [
            (*ligne[:4], reference.lire_instant(ligne[4]), *(float(x) if x else None for x in ligne[5:]))
            for ligne in list(csv.reader(fichier))[1:]
        ]


def comparer(bourse: Bourse, dossier: Path, bornes: tuple[int, int], *mots: str, exchange: str) -> int:
    """Exécute les deux versions, exige les mêmes lignes et le même code ; rend leur nombre."""
    sorties = dossier / "v2.csv", dossier / "reference.csv"
    codes = [
        version.principal(commande(bourse, sortie, bornes, *mots, exchange=exchange))
        for version, sortie in zip((v2, reference), sorties, strict=True)
    ]
    assert codes == [0, 0]
    lues = lire(sorties[0])
    assert lues == lire(sorties[1])
    return len(lues)


@pytest.mark.parametrize(("exchange", "timeframe"), [
    (e, t) for e in EXCHANGES for t in (KRAKEN if e == "kraken" else ETENDUES)
])  # fmt: skip
def test_la_v2_ecrit_ce_qu_ecrit_la_reference(bourse: Bourse, tmp_path: Path, exchange: str, timeframe: str) -> None:
    """Au comptant, du 1m au mois, sur les quatre exchanges, fin fixée dans le passé."""
    etendue = (KRAKEN if exchange == "kraken" else ETENDUES)[timeframe]
    fin = MAINTENANT - HEURE if exchange == "kraken" and timeframe == "1m" else FIN
    nombre = comparer(bourse, tmp_path, (fin - etendue, fin), "--timeframe", timeframe, exchange=exchange)
    pas = v2.Timeframe.lire(timeframe).pas_ms
    assert 0.9 * etendue / pas - 1 <= nombre <= etendue / pas + 1


@pytest.mark.couvrant(contrat=une_seule)
@pytest.mark.parametrize("timeframe", ["1m", "1h", "1d"])
@pytest.mark.parametrize("contrat", CONTRATS, ids="-".join)
def test_la_v2_ecrit_ce_qu_ecrit_la_reference_sur_les_contrats(
    bourse: Bourse, tmp_path: Path, contrat: tuple[str, str, str], timeframe: str
) -> None:
    """Linéaires et inverses, à tous leurs prix."""
    exchange, symbole, prix = contrat
    etendue = {"1m": 12 * HEURE, "1h": 20 * JOUR, "1d": 40 * JOUR}[timeframe]
    mots = ("--symbole", symbole, "--type-marche", "swap", "--prix-ohlcv", prix, "--timeframe", timeframe)
    assert comparer(bourse, tmp_path, (FIN - etendue, FIN), *mots, exchange=exchange) > 0


def test_la_v2_reprend_comme_la_reference(bourse: Bourse, tmp_path: Path) -> None:
    """En deux fois, la seconde plus longue : le même fichier des deux côtés."""
    comparer(bourse, tmp_path, (FIN - 6 * HEURE, FIN - 3 * HEURE), exchange="bybit")
    assert comparer(bourse, tmp_path, (FIN - 6 * HEURE, FIN), exchange="bybit") == 360
