"""Sur des réponses réelles : un jour de kraken enregistré, rejoué à la vraie classe, écrit par la ligne de commande."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path

import pytest
from ligne_de_commande import EXTENSIONS, MODULE, commande, fiche, finir, lancer, lignes, telecharger

import module_ccxt_fr_v2 as m
from bourse_locale.kraken.rejeu import Rejeu

DOSSIER = Path(os.environ.get("DONNEES_REELLES", MODULE.parent.parent / "shared" / "donnees_reelles"))
KRAKEN = DOSSIER / "kraken_XBTUSDT"
VITE = {"rateLimit": 50}  # trois requêtes, loin de la limite que l'enregistrement applique aussi

pytestmark = pytest.mark.skipif(
    not KRAKEN.is_dir(), reason="données réelles absentes : donner leur dossier par la variable DONNEES_REELLES"
)


def enregistrees() -> list[tuple[float, ...]]:
    """Les bougies closes, lues du CSV enregistré à côté des réponses, sans passer par le rejeu."""
    with (KRAKEN / "candles_1m.csv").open(encoding="utf-8", newline="") as fichier:
        bougies = [(int(ts), *map(float, reste)) for ts, *reste in list(csv.reader(fichier))[1:]]
    return bougies[:-1]  # la dernière est celle en cours à l'enregistrement


@pytest.mark.parametrize("nom", EXTENSIONS)
def test_le_jour_reel_de_kraken_est_ecrit_tel_quel(tmp_path: Path, nom: str) -> None:
    """Exactement les bougies closes enregistrées, dans les quatre formats, aussi celles sans transaction."""
    rejeu = Rejeu(KRAKEN)
    sortie = tmp_path / f"kraken{EXTENSIONS[nom]}"
    attendues = enregistrees()
    with rejeu.bourse().en_fil() as bourse:
        assert telecharger(bourse, sortie, rejeu.bornes_ms, exchange="kraken", config=VITE) == 0
        assert lignes(sortie) == attendues == bourse.attendu("kraken", "BTC/USDT", "1m", *rejeu.bornes_ms)
        avant = m.lire(sortie)
        assert telecharger(bourse, sortie, rejeu.bornes_ms, exchange="kraken", config=VITE) == 0
        assert m.lire(sortie).equals(avant)
    assert fiche(sortie).couverts == [rejeu.bornes_ms]
    assert not fiche(sortie).trous


def test_le_jour_reel_sans_bornes_ne_prend_pas_la_bougie_en_cours(tmp_path: Path) -> None:
    """Sans date, la page la plus récente : tout l'enregistrement, moins la bougie que kraken sert encore ouverte."""
    rejeu, sortie = Rejeu(KRAKEN), tmp_path / "kraken.csv"
    with rejeu.bourse().en_fil() as bourse:
        assert telecharger(bourse, sortie, exchange="kraken", config=VITE) == 0
    assert lignes(sortie) == enregistrees()[-len(lignes(sortie)) :]
    assert lignes(sortie)[-1] == enregistrees()[-1]


def test_le_jour_reel_par_un_vrai_processus(tmp_path: Path) -> None:
    """La ligne de commande, seule dans son processus : code 0, bilan, et les mêmes bougies."""
    rejeu, sortie, bilan = Rejeu(KRAKEN), tmp_path / "kraken.parquet", tmp_path / "bilan.json"
    with rejeu.bourse().en_fil() as bourse:
        mots = commande(bourse, sortie, rejeu.bornes_ms, "--bilan", str(bilan), exchange="kraken", config=VITE)
        code, erreurs = finir(lancer(mots))
    assert code == 0, erreurs
    assert lignes(sortie) == enregistrees()
    assert json.loads(bilan.read_text())["lignes_nouvelles"] == len(enregistrees())


def test_les_trades_reels_font_les_bougies_reelles(tmp_path: Path) -> None:
    """`--donnee trades --trades-vers-ohlcv` : exactement les bougies de kraken, là où les deux existent."""
    rejeu, sortie = Rejeu(KRAKEN), tmp_path / "kraken.csv"
    with (KRAKEN / "trades.csv").open(encoding="utf-8", newline="") as fichier:
        instants = [int(ligne["timestamp_ms"]) for ligne in csv.DictReader(fichier)]
    minute = m.Timeframe.lire("1m")
    bornes = (minute.plafond(instants[0]), minute.plancher(instants[-1]))
    mots = ("--donnee", "trades", "--trades-vers-ohlcv", "--bougies-vides", "reporter")
    with rejeu.bourse().en_fil() as bourse:
        assert telecharger(bourse, sortie, bornes, *mots, exchange="kraken", config=VITE) == 0
    faites = lignes(sortie)
    siennes = [bougie for bougie in enregistrees() if bornes[0] <= bougie[0] < bornes[1]]
    assert [bougie[:5] for bougie in faites] == [bougie[:5] for bougie in siennes]
    assert [round(bougie[5], 8) for bougie in faites] == [bougie[5] for bougie in siennes]
    assert (fiche(sortie).couverts, fiche(sortie).trous) == ([bornes], [])
