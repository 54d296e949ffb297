"""Sur des trades et des bougies réels : l'agrégat est, au chiffre près, ce que l'exchange a publié."""

from __future__ import annotations

import csv
import itertools
import os
from pathlib import Path

import pytest

from module_ccxt_fr_v2 import GRACE_MS, MINUTE_MS, Agregateur, Timeframe, Trade, agreger_trades

RACINE = Path(__file__).parents[3]
DOSSIER = Path(os.environ.get("DONNEES_REELLES", RACINE / "shared" / "donnees_reelles"))

pytestmark = pytest.mark.skipif(
    not DOSSIER.is_dir(), reason="données réelles absentes : donner leur dossier par la variable DONNEES_REELLES"
)

MINUTE = Timeframe.lire("1m")
# couple : (minutes sans trade, minutes avec trades, plates), comme le dit l'INDEX des données.
COUPLES = {
    "kraken_XBTUSDT": ("reporter", 273, 140),
    "hitbtc_CRDTETH": ("omettre", 41, 0),
    "hitbtc_EURSUSD": ("omettre", 50, 0),
    "hitbtc_VETBTC": ("omettre", 19, 0),
    "phemex_ATOMUSD": ("reporter", 307, 0),
    "phemex_ENJUSD": ("reporter", 490, 350),
}

Bougie = tuple[float, ...]


def lire_trades(couple: str) -> list[Trade]:
    """Les trades enregistrés, dans l'ordre de l'exchange."""
    with (DOSSIER / couple / "trades.csv").open(encoding="utf-8", newline="") as fichier:
        lignes = list(csv.reader(fichier))[1:]
    return [Trade(int(ms), ident, sens, float(prix), float(quantite)) for ms, ident, sens, prix, quantite in lignes]


def publiees(couple: str, debut: int) -> list[Bougie]:
    """Les bougies de l'exchange : dès la première minute entière, sans la dernière, en cours à l'enregistrement."""
    with (DOSSIER / couple / "candles_1m.csv").open(encoding="utf-8", newline="") as fichier:
        bougies = [(int(ms), *map(float, valeurs)) for ms, *valeurs in list(csv.reader(fichier))[1:]]
    return [bougie for bougie in bougies[:-1] if bougie[0] >= debut]


def agreger(trades: list[Trade], vides: str, fin: int) -> list[Bougie]:
    """Les bougies des minutes entières, jusqu'à celle qui s'ouvre à `fin`."""
    agregateur = Agregateur(MINUTE, bougies_vides=vides, depuis_ms=trades[0].timestamp)
    return [b[:6] for b in (*agregateur.ajouter(trades), *agregateur.clore(fin + MINUTE_MS + GRACE_MS))]


def comparer(couple: str, trades: list[Trade], vides: str) -> tuple[list[Bougie], list[Bougie]]:
    """Les bougies publiées et les nôtres, sur le même intervalle."""
    attendues = publiees(couple, MINUTE.plafond(trades[0].timestamp))
    return attendues, agreger(trades, vides, int(attendues[-1][0]))


@pytest.mark.parametrize("couple", COUPLES)
def test_chaque_couple_reel_est_reproduit_exactement(couple: str) -> None:
    """Prix et volumes, minutes avec et sans trade : les mêmes flottants, et autant que l'INDEX en compte."""
    vides, avec_trades, plates = COUPLES[couple]
    attendues, rendues = comparer(couple, lire_trades(couple), vides)
    assert rendues == attendues
    assert (sum(b[5] > 0 for b in rendues), sum(b[5] == 0 for b in rendues)) == (avec_trades, plates)


@pytest.mark.parametrize("couple", COUPLES)
def test_un_trade_par_message_donne_les_memes_bougies(couple: str) -> None:
    """Un flux : chaque trade seul, répété, la minuterie entre deux ; le même résultat."""
    vides, trades = COUPLES[couple][0], lire_trades(couple)
    debut = MINUTE.plafond(trades[0].timestamp)
    attendues = publiees(couple, debut)
    agregateur = Agregateur(MINUTE, bougies_vides=vides, depuis_ms=trades[0].timestamp)
    rendues = []
    for trade in trades:
        rendues += agregateur.ajouter([trade, trade]) + agregateur.clore(trade.timestamp + 1)
    rendues += agregateur.clore(int(attendues[-1][0]) + MINUTE_MS + GRACE_MS)
    assert [b[:6] for b in rendues] == attendues
    comptes = sum(trade.timestamp >= debut for trade in trades)
    assert (agregateur.doublons, agregateur.retards, agregateur.perdus) == (comptes, 0, 0)


@pytest.mark.parametrize("couple", COUPLES)
def test_la_fonction_de_bibliotheque_reproduit_aussi_chaque_couple(couple: str) -> None:
    """Les minutes entières : de la première à l'avant-dernière que touchent les trades."""
    vides, trades = COUPLES[couple][0], lire_trades(couple)
    attendues = publiees(couple, MINUTE.plafond(trades[0].timestamp))
    table = agreger_trades(trades, ["1m"], bougies_vides=vides)["1m"]
    derniere = MINUTE.plancher(trades[-1].timestamp)
    assert list(zip(*(c.to_pylist() for c in table.columns), strict=True)) == [b for b in attendues if b[0] < derniere]


@pytest.mark.parametrize("couple", ["phemex_ATOMUSD", "phemex_ENJUSD"])
def test_phemex_est_faux_si_l_on_oublie_la_sequence(couple: str) -> None:
    """Plusieurs trades par ms : rangés par ms seule (ici, la séquence inversée dans chaque ms), des open sont faux."""
    trades = lire_trades(couple)[::-1]
    trades.sort(key=lambda trade: trade.timestamp)
    attendues, rendues = comparer(couple, trades, "reporter")
    fausses = [(vraie, autre) for vraie, autre in zip(attendues, rendues, strict=True) if vraie != autre]
    assert fausses
    # Seuls open et close dépendent de l'ordre (et les plates, qui reportent la clôture).
    assert all(vraie[5] == autre[5] for vraie, autre in fausses)
    assert all(vraie[2:4] == autre[2:4] for vraie, autre in fausses if vraie[5])


@pytest.mark.parametrize("couple", ["phemex_ATOMUSD", "kraken_XBTUSDT"])
def test_un_ordre_d_arrivee_quelconque_dans_la_grace_donne_les_memes_bougies(couple: str) -> None:
    """Deux trades voisins, d'instants différents et à moins de deux secondes, arrivés l'un avant l'autre."""
    trades = lire_trades(couple)
    melanges = list(trades)
    for rang in range(1, len(trades) - 2, 2):
        avant, apres = melanges[rang : rang + 2]
        if 0 < apres.timestamp - avant.timestamp <= GRACE_MS:
            melanges[rang : rang + 2] = [apres, avant]
    assert melanges != trades
    attendues, rendues = comparer(couple, melanges, "reporter")
    assert list({b[0]: b for b in rendues}.values()) == attendues


def test_bitget_ouvre_a_la_cloture_precedente() -> None:
    """Le contre-exemple : close et volume sont ceux des trades, open non.

    Cet exchange ouvre chaque bougie à la clôture de la précédente, non au premier trade ; le haut et le bas s'en
    trouvent étirés d'autant. Un agrégat de trades ne peut donc reproduire son open : c'est sa définition qui
    diffère, et nos bougies restent celles des trades.
    """
    trades = lire_trades("bitget_spot_AVAXUSDT")
    attendues, rendues = comparer("bitget_spot_AVAXUSDT", trades, "omettre")
    assert [b[0] for b in rendues] == [b[0] for b in attendues]
    assert [b[4:] for b in rendues] == [b[4:] for b in attendues], "close et volume coïncident"
    assert all(notre[1] != sien[1] for notre, sien in zip(rendues, attendues, strict=True)), "open : aucun"
    toutes = publiees("bitget_spot_AVAXUSDT", 0)
    assert all(sien[1] == precedent[4] for precedent, sien in itertools.pairwise(toutes))
    for notre, sien in zip(rendues, attendues, strict=True):
        assert sien[2:4] == (max(notre[2], sien[1]), min(notre[3], sien[1]))
