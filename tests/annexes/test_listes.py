"""`--lister` : ce qu'il dit de chaque exchange, sans réseau, pour un terminal et pour une machine ; et sa page."""

from __future__ import annotations

import csv
import json
import re
import signal
import socket
from pathlib import Path
from typing import Any

import ccxt
import pytest
from bourses_tierces import SIMULATEURS
from bourses_tierces_table import PROTOCOLES
from marche_simule import classe_neuve
from sorties_modeles import BTC, ETH, ecrire, lot, plage

import bourse_locale
import module_ccxt_fr_v2 as module
from annexes_ccxt_fr import listes

RACINE = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def tous() -> list[dict[str, Any]]:
    """Tous les exchanges, décrits une fois."""
    return list(listes.exchanges())


def test_un_signal_n_attend_pas_la_derniere_classe(monkeypatch: pytest.MonkeyPatch) -> None:
    """Importer cent classes prend deux secondes : la liste sortait, code 0, longtemps après Ctrl-C."""
    decrits: list[str] = []

    def decrire(nom: str) -> dict[str, Any]:
        decrits.append(nom)
        signal.raise_signal(signal.SIGINT)
        return {}

    monkeypatch.setattr(listes, "decrire", decrire)
    assert module.principal(["--lister", "exchanges"]) == 130
    assert len(decrits) <= 2


def lister(capsys: pytest.CaptureFixture[str], *options: str) -> list[str]:
    """Les lignes que la commande met sur stdout."""
    assert module.principal(["--journal", "error", "--lister", *options]) == 0
    return capsys.readouterr().out.splitlines()


# Ce qui est dit éprouvé l'est


def test_ce_qui_est_dit_rejoue_est_ce_que_les_tests_rejouent() -> None:
    """Exchange par exchange et genre par genre : la table et les simulateurs, ni plus ni moins."""
    vus: dict[str, set[str]] = {}
    for nom, protocole in PROTOCOLES.items():
        vus.setdefault(nom.partition("_")[0], set()).add(protocole.genre.rpartition(".")[2])
    for simulateur in SIMULATEURS.values():
        vus.setdefault(simulateur.nom, set()).add("linear" if ":" in simulateur.symbole else "spot")
    assert {nom: set(genres) for nom, genres in listes.REJOUES.items()} == vus
    jumeaux = {"bequant", "fmfwio", "woofipro", "coinbaseinternational"}
    assert len(vus.keys() - jumeaux) >= 70


def test_ce_qui_est_dit_embarque_est_ce_que_sert_l_exchange_embarque() -> None:
    assert set(bourse_locale.PROTOCOLES) == listes.EMBARQUES


def test_chaque_exchange_a_une_epreuve(tous: list[dict[str, Any]]) -> None:
    """« non » : il n'a pas de bougies ; « requête » : les autres, dont test_classes.py capte les demandes."""
    assert [exchange["exchange"] for exchange in tous] == sorted(ccxt.exchanges)
    for exchange in tous:
        a_des_bougies = bool(classe_neuve(exchange["exchange"]).has["fetchOHLCV"])
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


BTC_SWAP = {
    "symbole": "BTC/USDT:USDT", "genre": "swap linear", "etat": "actif", "id": "BTC-USDT-SWAP", "taille_contrat": 0.01,
    "unite_volume": "BTC", "cotation": "2019-09-08T17:57Z",
}  # fmt: skip
A_OKX = ("--exchange", "okx", "--hors-ligne")


@pytest.mark.parametrize(("quoi", "attendu"), [("timeframes", {"timeframe": "1m"}), ("marches", BTC_SWAP)])
def test_les_autres_listes_ont_les_memes_formes(
    capsys: pytest.CaptureFixture[str], quoi: str, attendu: dict[str, object]
) -> None:
    """Un objet par élément ; en CSV, sa ligne."""
    assert attendu in json.loads("\n".join(lister(capsys, quoi, *A_OKX, "--format", "json")))
    en_csv = {nom: str(valeur) for nom, valeur in attendu.items()}
    assert en_csv in list(csv.DictReader(lister(capsys, quoi, *A_OKX, "--format", "csv")))


@pytest.mark.parametrize(
    ("filtre", "attendus"),
    [
        (("--type-marche", "spot", "--symbole", "btc*"), ["BTC/USDC", "BTC/USDT"]),
        (("--type-marche", "swap", "--sous-type", "inverse"), ["BTC/USD:BTC", "ETH/USD:ETH"]),
        (("--symbols", "BTC/USD,eth/usd"), ["BTC/USD:BTC", "BTC/USD:BTC-261225", "ETH/USD:ETH"]),
        (("--symbole", "SOL-USDT-SWAP"), ["SOL/USDT:USDT"]),
    ],
)
def test_les_marches_se_filtrent(
    capsys: pytest.CaptureFixture[str], filtre: tuple[str, ...], attendus: list[str]
) -> None:
    """Par type, sous-type et motif ; sans égard à la casse, sur le symbole, sa forme courte ou l'identifiant."""
    lignes = [ligne.partition("\t")[0] for ligne in lister(capsys, "marches", *A_OKX, *filtre)]
    assert [re.sub(r"-\d{6}$", "-261225", ligne) for ligne in lignes] == attendus


def test_aucun_marche_est_une_faute(capsys: pytest.CaptureFixture[str]) -> None:
    """Un filtre qui ne laisse rien : code 2, avec le plus proche."""
    assert module.principal(["--lister", "marches", *A_OKX, "--symbole", "BTC/USDD"]) == module.CODE_DEMANDE
    assert "Vouliez-vous dire « BTC/USD" in capsys.readouterr().err


# Les données d'un dossier


@pytest.fixture
def dossier(tmp_path: Path) -> Path:
    """Deux sorties, l'une dans un sous-dossier, un fichier étranger, un fichier abîmé."""
    trous = [module.Trou(*plage(10, 20), module.ECHEC), module.Trou(*plage(30, 31), module.SANS_TRANSACTION)]
    presents = [rang for rang in range(100) if not (10 <= rang < 20 or rang == 30)]
    (tmp_path / "sous").mkdir()
    couverts = module.oter([plage(0, 100)], [plage(10, 20)])
    ecrire(tmp_path / "sous" / "a.parquet", lot(presents, BTC, couverts, trous), lot(range(50), ETH))
    ecrire(tmp_path / "b.db", lot(range(9)))
    (tmp_path / "etranger.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    (tmp_path / "abime.parquet").write_bytes(b"PAR1" + bytes(50) + b"PAR1")
    return tmp_path


def test_lister_donnees_dit_chaque_serie(capsys: pytest.CaptureFixture[str], dossier: Path) -> None:
    """Étendue, couverture, trous, taille, dernière écriture ; ce qui n'est pas à nous n'y est pas."""
    base, btc, eth = json.loads("\n".join(lister(capsys, "donnees", str(dossier), "--format", "json")))
    assert (base["fichier"], base["timeframe"]) == (str(dossier / "b.db"), "1m")
    fichier = dossier / "sous" / "a.parquet"
    assert btc == {
        "fichier": str(fichier), "table": None, "donnee": "ohlcv", "exchange": "binance", "symbole": "BTC/USDT",
        "timeframe": "1m", "prix": "last", "origine": "reel", "debut": "2024-01-01T00:00Z", "fin": "2024-01-01T01:40Z",
        "couverture": 90.0, "trous": {"echec": 1, "sans_transaction": 1}, "octets": fichier.stat().st_size,
        "modifie": module.en_iso(int(fichier.stat().st_mtime) * 1000),
    }  # fmt: skip
    assert (eth["symbole"], eth["couverture"], eth["trous"]) == ("ETH/USDT", 100, {})


def test_lister_donnees_sur_un_terminal(capsys: pytest.CaptureFixture[str], dossier: Path) -> None:
    """Le fichier, puis ses séries ; un fichier abîmé est dit au journal."""
    lignes = lister(capsys, "donnees", str(dossier / "sous"))
    assert lignes[0].startswith(f"{dossier / 'sous' / 'a.parquet'}  ")
    trous = "90 % ; trous : 1 echec, 1 sans_transaction"
    assert lignes[1:] == [
        f"  BTC/USDT 1m (binance) : de 2024-01-01T00:00Z à 2024-01-01T01:40Z, {trous}",
        "  ETH/USDT 1m (binance) : de 2024-01-01T00:00Z à 2024-01-01T00:50Z",
        "2 séries, 1 fichier.",
    ]
    assert module.principal(["--lister", "donnees", str(dossier)]) == 0
    assert "abime.parquet » ne se lit pas" in capsys.readouterr().err


def test_lister_donnees_sans_dossier(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Le dossier des sorties d'office ; absent, c'est une faute."""
    with pytest.MonkeyPatch.context() as milieu:
        milieu.chdir(tmp_path)
        assert module.principal(["--lister", "donnees"]) == module.CODE_DEMANDE
        assert "« donnees » n'existe pas" in capsys.readouterr().err
        (tmp_path / "donnees").mkdir()
        assert lister(capsys, "donnees") == ["0 série, 0 fichier."]


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
