"""Les dernières lignes de beaucoup de séries, lues en une passe : les mêmes que lues une à une."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest
from sorties_modeles import BTC, creer, fiche, instant, lot

import module_ccxt_fr_v2 as m
from annexes_ccxt_fr import queues

if TYPE_CHECKING:
    from pathlib import Path

SERIES = [BTC._replace(symbole=f"S{rang:02}/USDT") for rang in range(23)]
FORMATS = ("csv", "parquet", "feather")


def ouvrir(chemin: Path) -> Any:
    """L'écrivain de ce fichier, contrôlé."""
    ecrivain = creer(chemin)
    ecrivain.controler(SERIES)
    return ecrivain


def remplir(chemin: Path, monkeypatch: pytest.MonkeyPatch) -> dict[m.CleSerie, int]:
    """Vingt-trois séries de longueurs diverses, en petits groupes ; rend le nombre de bougies de chacune."""
    monkeypatch.setattr(m, "LIGNES_PAR_GROUPE", 64)
    monkeypatch.setattr(m, "LIGNES_PAR_LOT", 32)
    alea = random.Random(5)
    longueurs = {cle: alea.choice([1, 3, 31, 32, 33, 64, 150]) for cle in SERIES}
    with ouvrir(chemin) as ecrivain:
        for cle, nombre in longueurs.items():
            ecrivain.ecrire(lot(range(nombre), cle), fiche(cle))
        ecrivain.finir()
    return longueurs


@pytest.mark.parametrize("nom", FORMATS)
def test_les_queues_gardees_sont_celles_du_fichier(nom: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Toutes les bornes à partir de l'instant gardé, celles d'avant, et les symboles absents."""
    longueurs = remplir(tmp_path / f"x.{nom}", monkeypatch)
    with ouvrir(tmp_path / f"x.{nom}") as ecrivain:
        absente = BTC._replace(symbole="S07b/USDT")
        demandes = [
            (cle, instant(debut), instant(debut + 5))
            for cle, nombre in [*longueurs.items(), (absente, 4)]
            for debut in (0, max(0, nombre - 4), nombre - 1, nombre)
        ]
        une_a_une = [ecrivain.lire(*demande) for demande in demandes]
        queues.garder(ecrivain, {
            **{cle.symbole: instant(max(0, nombre - 4)) for cle, nombre in longueurs.items()}, absente.symbole: 0
        })  # fmt: skip
        assert [ecrivain.lire(*demande) for demande in demandes] == une_a_une
        assert sum(table.num_rows for table in une_a_une) > 100


@pytest.mark.parametrize("nom", FORMATS)
def test_une_passe_suffit(nom: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Le fichier n'est plus rouvert pour chaque série."""
    longueurs = remplir(tmp_path / f"x.{nom}", monkeypatch)
    with ouvrir(tmp_path / f"x.{nom}") as ecrivain:
        queues.garder(ecrivain, {cle.symbole: instant(nombre - 1) for cle, nombre in longueurs.items()})
        monkeypatch.setattr(ecrivain.tableau, "lots", None)
        for cle, nombre in longueurs.items():
            assert ecrivain.lire(cle, instant(nombre - 1), instant(nombre)).num_rows == 1


@pytest.mark.parametrize("nom", FORMATS)
def test_un_fichier_qui_change_se_relit(nom: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Une ligne révisée, dans le journal puis fondue : c'est elle qui est lue."""
    longueurs = remplir(tmp_path / f"x.{nom}", monkeypatch)
    cle, nombre = next((cle, n) for cle, n in longueurs.items() if n > 30)
    derniere = instant(nombre - 1), instant(nombre)
    with ouvrir(tmp_path / f"x.{nom}") as ecrivain:
        queues.garder(ecrivain, {cle.symbole: derniere[0]})
        ecrivain.ecrire(lot({nombre - 1: (5.0, 6.0, 4.0, 5.5, 1.0)}, cle), fiche(cle))
        assert ecrivain.lire(cle, *derniere)["close"].to_pylist() == [5.5]
        ecrivain.finir()
        assert ecrivain.lire(cle, *derniere)["close"].to_pylist() == [5.5]
