"""`--lister` : ce qu'il dit de chaque exchange, sans réseau, pour un terminal et pour une machine ; et sa page."""

from __future__ import annotations

import csv
import inspect
import json
import socket
from pathlib import Path
from typing import Any

import ccxt
import pytest
from bourses_tierces import SIMULATEURS
from bourses_tierces_table import PROTOCOLES

import module_ccxt_fr_v2 as module
from annexes_ccxt_fr import listes
from bourse_locale.serveur import Bourse

RACINE = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def tous() -> list[dict[str, Any]]:
    """Tous les exchanges, décrits une fois."""
    return listes.exchanges()


def lister(capsys: pytest.CaptureFixture[str], *options: str) -> list[str]:
    """Les lignes que la commande met sur stdout."""
    assert module.principal(["--journal", "error", "--lister", *options]) == 0
    return capsys.readouterr().out.splitlines()


# Ce qui est dit éprouvé l'est


def test_ce_qui_est_dit_rejoue_est_ce_que_les_tests_rejouent() -> None:
    """Exchange par exchange et genre par genre : la table et les simulateurs, ni plus ni moins."""
    vus: dict[str, set[str]] = {}
    for nom, protocole in PROTOCOLES.items():
        vus.setdefault(nom, set()).add(protocole.genre.rpartition(".")[2])
    for simulateur in SIMULATEURS.values():
        vus.setdefault(simulateur.nom, set()).add("linear" if ":" in simulateur.symbole else "spot")
    assert {nom: set(genres) for nom, genres in listes.REJOUES.items()} == vus
    jumeaux = {"bequant", "fmfwio", "woofipro", "coinbaseinternational"}
    assert len(vus.keys() - jumeaux) >= 70


def test_ce_qui_est_dit_embarque_est_ce_que_sert_l_exchange_embarque() -> None:
    assert set(inspect.signature(Bourse).parameters["exchanges"].default) == listes.EMBARQUES


def test_chaque_exchange_a_une_epreuve(tous: list[dict[str, Any]]) -> None:
    """« non » : il n'a pas de bougies ; « requête » : les autres, dont tests/test_classes.py capte les demandes."""
    assert [exchange["exchange"] for exchange in tous] == sorted(ccxt.exchanges)
    for exchange in tous:
        a_des_bougies = bool(getattr(ccxt, exchange["exchange"])().has["fetchOHLCV"])
        assert (exchange["epreuve"] == "non") is not a_des_bougies, exchange["exchange"]
        assert exchange["epreuve"] in listes.EPREUVES
    assert listes.NOTES.keys() <= {exchange["exchange"] for exchange in tous}


# Les formes


def test_la_table_tient_dans_80_colonnes(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Alignée, un exchange par ligne, sa légende ensuite ; et rien n'est demandé au réseau."""

    def interdit(*_: object) -> None:
        raise AssertionError("le réseau est demandé")

    monkeypatch.setattr(socket.socket, "connect", interdit)
    lignes = lister(capsys, "exchanges")
    assert max(map(len, lignes)) <= 80
    table, legende = lignes[: lignes.index("")], lignes[lignes.index("") + 1 :]
    assert [ligne.split()[0] for ligne in table] == ["exchange", *sorted(ccxt.exchanges)]
    colonne = table[0].index("prix")
    assert all(ligne[colonne - 1] == " " and set(ligne[colonne : colonne + 4]) <= set("lmip-") for ligne in table[1:])
    par_nom = {ligne.split()[0]: " ".join(ligne.split()[1:]) for ligne in table}
    assert par_nom["kraken"] == "embarqué 1m-2w 720 720 l--- btkc"
    assert par_nom["phemex"] == "rejoué 1m-1y 1000-2000 en partie l--- btkc inconnue"
    assert par_nom["gemini"] == "rejoué 1m-1d 100 page l--- bt-c inconnue"
    assert par_nom["krakenfutures"] == "rejoué 1m-1w 2000 lmi- -tkc selon"
    assert par_nom["coinone"] == "non - - ---- -tkc"
    assert all(mot in "\n".join(legende) for mot in (*listes.EPREUVES, "recul", "last", "premiumIndex", "carnet"))


def test_le_json_et_le_csv_disent_tout(capsys: pytest.CaptureFixture[str], tous: list[dict[str, Any]]) -> None:
    """Le JSON est ce qui est su ; le CSV, le même, une cellule à plusieurs valeurs les séparant d'une espace."""
    assert json.loads("\n".join(lister(capsys, "exchanges", "--format", "json"))) == tous
    rangs = {rang["exchange"]: rang for rang in csv.DictReader(lister(capsys, "exchanges", "--format", "csv"))}
    assert list(rangs) == [exchange["exchange"] for exchange in tous]
    bitrue = rangs["bitrue"]
    assert (bitrue["page"], bitrue["sourde"]) == ("spot=1440 linear=300 inverse=300", "inverse linear")
    assert (rangs["okx"]["portee"], rangs["gate"]["portee"]) == ("", "10000")


@pytest.mark.parametrize(
    ("quoi", "attendu"),
    [
        ("timeframes", {"timeframe": "1m"}),
        ("marches", {"symbole": "BTC/USDT:USDT", "genre": "swap linear", "etat": "actif"}),
    ],
)
def test_les_autres_listes_ont_les_memes_formes(
    capsys: pytest.CaptureFixture[str], quoi: str, attendu: dict[str, str]
) -> None:
    """Un objet par élément ; en CSV, sa ligne."""
    chez = ("--exchange", "okx", "--hors-ligne", "--format")
    assert attendu in json.loads("\n".join(lister(capsys, quoi, *chez, "json")))
    assert attendu in list(csv.DictReader(lister(capsys, quoi, *chez, "csv")))


@pytest.mark.parametrize("forme", ["parquet", "xml"])
def test_une_liste_n_a_pas_la_forme_d_un_fichier(forme: str) -> None:
    """Ni un fichier celle d'une liste."""
    with pytest.raises(module.ErreurDemande, match=f"« {forme} » n'est pas permis avec --lister"):
        module.lire_arguments(["--lister", "exchanges", "--format", forme])
    with pytest.raises(module.ErreurDemande, match="« json » n'est pas permis"):
        module.lire_arguments(["--symbole", "A/B", "--format", "json"])


# La page


def test_la_page_des_exchanges_est_a_jour() -> None:
    """Sinon : python -m annexes_ccxt_fr.listes docs/exchanges.md."""
    page = RACINE / "docs" / "exchanges.md"
    assert page.read_text(encoding="utf-8") == listes.page_des_exchanges()
    assert "(docs/exchanges.md)" in (RACINE / "README.md").read_text(encoding="utf-8")
