"""§ 11 et runner : un lot entier, de bout en bout, face à l'exchange embarqué."""

from __future__ import annotations

import asyncio
import dataclasses
import errno
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from email.utils import formatdate
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from attente import PLAFOND_S, attendre, moins_de
from lots_yaml import (
    DEBUT,
    HEURE,
    HEURE_LUE,
    MINUTE,
    NOMS_DE_CLES,
    RUNNER,
    Fin,
    Lot,
    etats,
    finir,
    metriques,
    sans_trace,
)
from temps_simule import temps_simule

import module_ccxt_fr_v2 as module
import runner_ccxt_batch as runner
from annexes_ccxt_fr import lot as annexe_lot
from annexes_ccxt_fr import metriques as annexe_metriques
from annexes_ccxt_fr import plan as annexe_plan
from annexes_ccxt_fr.parc import Parc
from bourse_locale import Bourse, Panne, serveur

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

BTC = {"name": "btc", "symbole": "BTC/USDT", "sortie": "donnees/btc.parquet"}
ETH = {"name": "eth", "symbole": "ETH/USDT", "sortie": "donnees/eth.csv", "format": "csv"}
FAUX = {"name": "faux", "symbole": "BTC/USTD"}
OKX = {"name": "okx", "exchange": "okx", "symbols": ["BTC/USDT", "ETH/USDT"], "format": "sqlite",
       "sortie": "okx.sqlite"}  # fmt: skip
LISTE = "exchangeInfo"


@pytest.fixture
def lot(tmp_path: Path, bourse: Bourse, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Lot:
    """Un lot dans son dossier ; lancé d'ailleurs, sans clé dans l'environnement."""
    dossier, ailleurs = tmp_path / "lot", tmp_path / "ailleurs"
    dossier.mkdir()
    ailleurs.mkdir()
    monkeypatch.chdir(ailleurs)
    for nom in os.environ:
        if nom.endswith(NOMS_DE_CLES):
            monkeypatch.delenv(nom)
    return Lot(dossier, bourse, capsys)


# Exécution


def test_un_lot_rend_l_oracle_et_le_dit(lot: Lot) -> None:
    """Chaque sortie est exactement ce que l'exchange sert, à côté du YAML d'où qu'on le lance ; stdout : le tableau."""
    lot.ecrire(BTC, ETH, OKX)
    fin = lot.lancer("--bilan", "b.json")
    assert fin.code == 0, fin.err
    assert lot.lignes("donnees/btc.parquet") == lot.attendues()
    assert lot.lignes("donnees/eth.csv") == lot.attendues("ETH/USDT")
    assert lot.lignes("okx.sqlite") == lot.attendues(exchange="okx") + lot.attendues("ETH/USDT", "okx")
    assert lot.fichiers() == ["donnees/btc.parquet", "donnees/eth.csv", "donnees/eth.csv.fiche.json", "okx.sqlite"]
    intervalle = "2024-03-05T10:00Z/2024-03-05T11:00Z"
    # Une durée, sur une machine chargée, peut être plus large que son titre.
    assert re.sub(r" +(temps|(\d+ min )?\d+(,\d)? s)\b", " T", fin.out).splitlines() == [
        "tâche  état      lignes  trous T",
        "btc    complète      60      0 T",
        f"  {intervalle}  {lot.dossier}/donnees/btc.parquet",
        "eth    complète      60      0 T",
        f"  {intervalle}  {lot.dossier}/donnees/eth.csv",
        "okx    complète     120      0 T",
        f"  {intervalle}  {lot.dossier}/okx.sqlite",
        "3 complètes ; T, code 0.",
    ]
    assert list(Path.cwd().iterdir()) == [Path.cwd() / "b.json"], "--bilan est relatif à qui le demande"


def test_plusieurs_timeframes_une_tache(lot: Lot) -> None:
    """Une ligne du tableau et un fichier par timeframe ; choisie par son nom, la tâche les a tous."""
    lot.ecrire({"name": "multi", "symbole": "btcusdt", "timeframes": ["1m", "5m"], "sortie": "{timeframe}.csv"}, ETH)
    fin = lot.lancer("--taches", "multi")
    assert fin.code == 0, fin.err
    assert [ligne.split()[:2] for ligne in fin.out.splitlines()[1:-1:2]] == [["multi", "[1m]"], ["multi", "[5m]"]]
    assert lot.lignes("1m.csv") == lot.attendues()
    assert module.lire(lot.dossier / "5m.csv").num_rows == 12
    assert "donnees/eth.csv" not in lot.fichiers()


def test_un_symbole_s_ajoute_au_fichier_d_une_autre_tache(lot: Lot) -> None:
    lot.ecrire(BTC, {**ETH, "format": "parquet", "sortie": BTC["sortie"]})
    assert lot.lancer().code == 0
    assert lot.lignes(BTC["sortie"]) == lot.attendues() + lot.attendues("ETH/USDT")


def test_une_tache_a_son_journal_et_sa_page(lot: Lot) -> None:
    """Le niveau d'une tâche n'est pas celui des autres ; deux tâches d'une même page y sont ensemble."""
    page = {"rapport": "p/page.html"}
    lot.ecrire({**BTC, **page, "journal": "error"}, {**ETH, **page, "journal": "debug"})
    fin = lot.lancer("--rapport", str(lot.dossier / "tout.html"))
    assert fin.code == 0, fin.err
    assert "btc : " not in fin.err
    assert re.search(r"DEBUG   eth : GET \S+symbol=ETHUSDT", fin.err)
    for nom in ("p/page.html", "tout.html"):
        texte = (lot.dossier / nom).read_text(encoding="utf-8")
        assert "<td>btc</td>" in texte
        assert "<td>eth</td>" in texte


def test_une_page_dont_l_annexe_manque_se_dit(lot: Lot, monkeypatch: pytest.MonkeyPatch) -> None:
    """Les données sont là ; la page, non : une phrase, un code, pas de trace."""
    monkeypatch.setitem(sys.modules, "annexes_ccxt_fr.rapport", None)
    lot.ecrire(BTC)
    fin = lot.lancer("--rapport", "page.html")
    assert fin.code == 2
    assert "Une page --rapport demande le dossier « annexes_ccxt_fr »" in fin.err
    assert lot.lignes(BTC["sortie"]) == lot.attendues()


def test_relancer_le_lot_n_ecrit_rien(lot: Lot) -> None:
    """Mêmes octets, même date ; rien de nouveau au bilan."""
    lot.ecrire(BTC, ETH, OKX, {"name": "sans_sortie", "symbole": "SOL/USDT", "output_dir": "ici"})
    assert lot.lancer().code == 0
    assert "ici/binance_spot_SOL-USDT_1m.parquet" in lot.fichiers()
    avant = {n: v for n, v in lot.empreinte().items() if not n.endswith(".sqlite")}
    base = lot.lignes("okx.sqlite")
    assert lot.lancer("--bilan", str(lot.dossier / "b.json")).code == 0
    apres = {n: v for n, v in lot.empreinte().items() if not n.endswith(".sqlite") and n != "b.json"}
    assert apres == avant
    assert lot.lignes("okx.sqlite") == base
    assert [(t["lignes_nouvelles"], t["modifie"]) for t in lot.bilan()["taches"]] == [(0, False)] * 4


def test_l_echec_d_une_tache_n_arrete_pas_les_suivantes(lot: Lot, bourse: Bourse) -> None:
    """Chacune a son état ; le code est le plus grave ; la tâche est nommée à chaque ligne de journal."""
    bourse.pannes.ajouter(Panne("http", "klines", code=503, symbole="ETHUSDT"))
    lot.ecrire(FAUX, {**ETH, "essais": 1}, BTC)
    fin = lot.lancer("--bilan", str(lot.dossier / "b.json"))
    assert fin.code == 2
    assert etats(lot.bilan()) == {"faux": "refusee", "eth": "echec", "btc": "complete"}
    assert "  Symbole inconnu : « BTC/USTD » sur binance (spot)" in fin.out.splitlines(), "la raison d'un refus"
    assert [t["code"] for t in lot.bilan()["taches"]] == [2, 1, 0]
    assert lot.lignes("donnees/btc.parquet") == lot.attendues()
    assert re.search(r"^\S+Z ERROR   faux : Symbole inconnu : « BTC/USTD »", fin.err, re.MULTILINE)
    assert re.search(r"^\S+Z ERROR   eth : Bougies 1m d'ETH/USDT", fin.err, re.MULTILINE)
    assert re.search(r"^\S+Z INFO    btc : Terminé : 60 lignes nouvelles", fin.err, re.MULTILINE)
    assert "1 refusée, 1 échec, 1 complète" in fin.out
    assert "Vouliez-vous dire « BTC/USDT »" in lot.bilan()["taches"][0]["conseil"]


def test_le_tableau_dit_pourquoi_un_symbole_manque(lot: Lot, bourse: Bourse) -> None:
    """Refusé ou en échec, un seul parmi d'autres : sa raison est sous sa tâche, après l'intervalle et le fichier."""
    bourse.pannes.ajouter(Panne("http", "klines", code=503, symbole="ETHUSDT"))
    lot.ecrire({**BTC, "symbole": None, "symbols": ["BTC/USDT", "ETH/USDT", "BTC/USTD"], "essais": 1})
    fin = lot.lancer()
    assert fin.code == 1
    tache, intervalle, *raisons, pied = fin.out.splitlines()[1:]
    assert tache.split()[:2] == ["btc", "échec"]
    assert intervalle.startswith("  2024-03-05T10:00Z/2024-03-05T11:00Z  ")
    assert raisons, fin.out
    assert max(map(len, raisons)) <= 80
    assert any(raison.startswith("  Symbole inconnu : « BTC/USTD »") for raison in raisons)
    assert any(raison.startswith("  Bougies 1m d'ETH/USDT") for raison in raisons)
    assert pied.startswith("1 échec ; ")


def test_une_faute_du_programme_n_arrete_pas_le_lot(lot: Lot, monkeypatch: pytest.MonkeyPatch) -> None:
    """Même un bogue est un échec de sa tâche, en une phrase."""
    vraie = module.executer_async

    async def fautive(tache: module.Tache, **reste: Any) -> module.Bilan:
        if tache.symbole == "ETH/USDT":
            raise KeyError("oups")
        return await vraie(tache, **reste)

    monkeypatch.setattr(annexe_lot, "executer_async", fautive)
    lot.ecrire(ETH, BTC)
    fin = lot.lancer("--bilan", str(lot.dossier / "b.json"))
    assert fin.code == 1
    assert etats(lot.bilan()) == {"eth": "echec", "btc": "complete"}
    assert "eth : erreur imprévue : KeyError : 'oups'" in fin.err


def test_les_taches_choisies_seules_s_executent(lot: Lot) -> None:
    lot.ecrire(BTC, ETH, OKX)
    assert lot.lancer("--taches", "eth").code == 0
    assert lot.fichiers() == ["donnees/eth.csv", "donnees/eth.csv.fiche.json"]
    fin = lot.lancer("--taches", "et,btc")
    assert (fin.code, fin.out) == (2, "")
    assert "« et » n'est pas dans" in fin.err
    assert "Vouliez-vous dire « eth » ?" in fin.err


def test_le_tableau_tient_en_80_colonnes(lot: Lot) -> None:
    """Des noms et des chemins comme ceux du propriétaire, un lot lancé de son dossier."""
    os.chdir(lot.dossier)
    lot.yaml = Path("lot.yaml")
    lot.ecrire({**BTC, "name": "okx_btc_swap_mark_1m_10min", "sortie": "donnees/okx_stream_ohlcv_1m.sqlite",
                "format": "sqlite"}, FAUX)  # fmt: skip
    fin = lot.lancer()
    assert max(map(len, fin.out.splitlines())) <= 80
    assert "  2024-03-05T10:00Z/2024-03-05T11:00Z  donnees/okx_stream_ohlcv_1m.sqlite" in fin.out.splitlines()


def test_les_cles_viennent_du_env_voisin_du_yaml(lot: Lot, monkeypatch: pytest.MonkeyPatch) -> None:
    """Le `.env` du dossier du lot vaut pour les clés et pour `${}` ; celui du dossier courant, non."""
    (lot.dossier / ".env").write_text("API_KEY=du-lot\nSYMBOLE=BTC/USDT\n")
    Path(".env").write_text("API_KEY=du-dossier-courant\n")
    vus: list[module.Reglages] = []
    ouvrir = module.Connexion.__init__

    def noter(connexion: module.Connexion, reglages: module.Reglages, *reste: Any) -> None:
        vus.append(reglages)
        ouvrir(connexion, reglages, *reste)

    monkeypatch.setattr(module.Connexion, "__init__", noter)
    lot.ecrire({**BTC, "symbole": "${SYMBOLE}"})
    assert lot.lancer().code == 0
    assert {reglages.identifiants["apiKey"] for reglages in vus} == {"du-lot"}
    assert lot.lignes("donnees/btc.parquet") == lot.attendues()


# Validation


def test_valider_ne_fait_que_cela(lot: Lot, bourse: Bourse) -> None:
    lot.ecrire(BTC, ETH, OKX)
    assert lot.lancer("--valider") == (0, f"{lot.yaml} : 3 tâches valides.\n", "")
    assert lot.lancer("--valider", "--taches", "btc").out == f"{lot.yaml} : 1 tâche valide.\n"
    assert bourse.compter() == 0
    assert lot.fichiers() == []


def test_un_lot_fautif_rend_2_sans_rien_faire(lot: Lot, bourse: Bourse) -> None:
    """Les fautes de toutes les tâches d'un coup, y compris ce que ccxt sait refuser sans requête."""
    lot.ecrire(BTC, {**ETH, "exchange": "binance", "timeframe": "7m"}, {**OKX, "timeframe": "1x"})
    fin = lot.lancer("--metriques", "m.prom", "--bilan", "b.json")
    assert (fin.code, fin.out) == (2, "")
    assert "lot.yaml, ligne" in fin.err
    assert "tâche « okx » : timeframe : « 1x » n'est pas un timeframe" in fin.err
    lot.ecrire(BTC, {**ETH, "timeframe": "7m"}, {**OKX, "prix_ohlcv": "premiumIndex"}, {**BTC, "name": "b2",
               "timeframe": "1h"})  # fmt: skip
    fin = lot.lancer()
    assert (fin.code, fin.out) == (2, "")
    assert "tâche « eth » : timeframe : Timeframe inconnu de binance : « 7m »" in fin.err
    assert "tâche « okx » : prix_ohlcv : okx ne sert pas de bougies au prix « premiumIndex »" in fin.err
    assert "tâche « b2 » : sortie : « " in fin.err
    assert "est aussi celle de « btc » : les séries diffèrent" in fin.err
    texte = lot.yaml.read_text().replace("name: eth", "name: eth\n  exchange: binnance")
    lot.yaml.write_text(texte)
    assert "Exchange inconnu : « binnance ». Vouliez-vous dire « binance »" in lot.lancer().err
    assert bourse.compter() == 0
    assert lot.fichiers() == []
    assert list(Path.cwd().iterdir()) == []


@pytest.mark.parametrize(
    ("contenu", "phrase"),
    [
        (None, "ne se lit pas : il n'existe pas. Vérifiez le chemin du fichier."),
        (b"version: 1 # \xe9t\xe9\n", "ne se lit pas : ce n'est pas du texte UTF-8 (octet 14)."),
        (b"", "ligne 1 : le fichier est vide : il y faut « version: 1 » et « tasks: »"),
    ],
)
def test_un_fichier_illisible_est_dit(lot: Lot, contenu: bytes | None, phrase: str) -> None:
    if contenu is not None:
        lot.yaml.write_bytes(contenu)
    fin = lot.lancer()
    assert (fin.code, fin.out) == (2, "")
    assert phrase in fin.err


@pytest.mark.parametrize(
    ("mots", "phrase"),
    [
        ((), "--yaml : le fichier des tâches est demandé (exemple : ccxt_batch.yaml)"),
        (("--yaml", "a.yaml", "--yam", "b"), "--yam : option inconnue. Vouliez-vous dire « --yaml » ?"),
        (("--yaml", "a.yaml", "--duree-max", "x"), "--duree-max : un nombre de secondes est attendu, pas « x »"),
        (("--yaml", "a.yaml", "--dask", "local:0"), "--dask : « local:0 » n'est ni une adresse"),
        (("--yaml", "a.yaml", "--bilan", "a.yaml"), "--bilan : c'est aussi --yaml, qu'il écraserait"),
        (("--yaml", "a.yaml", "--bilan", "b", "--metriques", "./x/../b"), "--metriques : c'est aussi --bilan, qu'il"),
        (("--yaml",), "--yaml attend une valeur"),
        (("--yaml", "a.yaml", "--taches", ","), "--taches : au moins un nom de tâche est attendu"),
    ],
)
def test_une_mauvaise_option_est_dite(mots: tuple[str, ...], phrase: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert runner.principal(mots) == 2
    assert phrase in capsys.readouterr().err


@pytest.mark.parametrize(
    ("programme", "mots"),
    [
        (module.principal, ("--hors-ligne", "--symbole", "BTC/USDT", "--bilan")),
        (runner.principal, ("--yaml", "a.yaml", "--bilan")),
        (runner.principal, ("--yaml", "a.yaml", "--metriques")),
    ],
)
def test_un_compte_rendu_n_est_pas_un_dossier(
    programme: Callable[[Sequence[str]], int], mots: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """C'est dit avant de télécharger, non après."""
    assert programme([*mots, str(tmp_path)]) == 2
    assert f"{mots[-1]} : « {tmp_path} » est un dossier" in capsys.readouterr().err


@pytest.mark.posix
def test_un_compte_rendu_n_ecrase_pas_une_sortie(lot: Lot) -> None:
    lot.ecrire(BTC)
    fin = lot.lancer("--bilan", str(lot.dossier / "donnees/btc.parquet"))
    assert fin.code == 2
    assert "--bilan : c'est aussi la sortie de « btc », qu'il écraserait" in fin.err
    (lot.dossier / "lien").symlink_to(lot.dossier)
    assert "la sortie de « btc »" in lot.lancer("--metriques", str(lot.dossier / "lien/donnees/btc.parquet")).err


def test_l_aide_et_la_version(capsys: pytest.CaptureFixture[str]) -> None:
    """En français, sans rien d'autre que les options du lot."""
    assert runner.principal(["--help"]) == 0
    aide = capsys.readouterr().out
    assert aide.startswith("utilisation : runner_ccxt_batch.py")
    for nom in module.noms_options(annexe_lot.OptionsLot):
        assert module.drapeau(nom) in aide
    assert not re.search(r"\b(usage|options:|show|this|exit|default)\b", aide.replace("--help", ""))
    assert runner.principal(["--version"]) == 0
    assert capsys.readouterr().out == f"runner_ccxt_batch.py {module.__version__}\n"


def test_un_exchange_muet_n_est_dit_qu_une_fois_par_la_simulation(lot: Lot) -> None:
    """Dix tâches d'un même exchange ne font pas dix fois le même avertissement."""
    muet = {"urls": {"api": dict.fromkeys(("public", "private"), "http://127.0.0.1:1")}}
    taches = [
        {"name": nom, "exchange": "kraken", "symbole": f"{nom}/USD", "config_ccxt": muet}
        for nom in ("BTC", "ETH", "SOL")
    ]
    lot.ecrire(*taches)
    fin = lot.lancer("--simulation")
    assert fin.code == 0, fin.err
    assert fin.err.count("La simulation s'en passe") == 1
    assert all(f"{tache['symbole']} " in fin.out for tache in taches)


def test_un_lot_en_lecture_seule_dit_d_ou_le_lancer(lot: Lot, monkeypatch: pytest.MonkeyPatch) -> None:
    """Son verrou se pose à côté de lui : changer de sortie n'y ferait rien."""
    lot.ecrire(BTC)

    def refuser(_verrou: module.Verrou) -> int:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(module.Verrou, "_ouvrir", refuser)
    fin = lot.lancer()
    assert fin.code == 1
    assert "le disque est en lecture seule. Copiez le fichier de tâches dans un dossier où l'on peut écrire" in fin.err
    assert lot.fichiers() == []


def test_la_simulation_n_ecrit_ni_ne_demande_de_bougie(lot: Lot, bourse: Bourse) -> None:
    """Par tâche : intervalle, requêtes, durée, lignes, taille ; d'après ce qui est déjà là."""
    lot.ecrire(BTC, ETH, FAUX)
    assert lot.lancer("--taches", "eth").code == 0
    avant = lot.empreinte()
    bourse.requetes.clear()
    fin = lot.lancer("--simulation")
    assert fin.code == 2
    sans_mesures = re.sub(r"\d+(,\d)? (s|ms|Ko|o)\b", "X", fin.out)
    assert [" ".join(ligne.split()) for ligne in sans_mesures.splitlines()] == [
        "tâche lignes requêtes temps taille",
        "btc 60 1 X X",
        f"2024-03-05T10:00Z/2024-03-05T11:00Z BTC/USDT {lot.dossier}/donnees/btc.parquet",
        "eth 2 1 X X",
        f"2024-03-05T10:00Z/2024-03-05T11:00Z ETH/USDT {lot.dossier}/donnees/eth.csv",
        "faux – – – –",
        "Symbole inconnu : « BTC/USTD » sur binance (spot)",
        "Estimé au débit permis ; rien n'a été écrit.",
    ]
    assert lot.empreinte() == avant
    assert bourse.compter("klines") == 0
    assert lot.lancer("--simulation", "--bilan", "b.json").code == 2
    dites = json.loads(Path("b.json").read_text())["taches"]
    assert [(t["code"], t["message"]) for t in dites] == [
        (0, ""), (0, ""), (2, "Symbole inconnu : « BTC/USTD » sur binance (spot)"),
    ]  # fmt: skip
    assert [t["sortie"] for t in dites[:2]] == [f"{lot.dossier}/donnees/{nom}" for nom in ("btc.parquet", "eth.csv")]


def test_un_ctrl_c_hors_de_l_execution_n_est_pas_une_trace(lot: Lot, monkeypatch: pytest.MonkeyPatch) -> None:
    """Avant qu'elle ne garde les signaux, pendant une page : la commande installée n'a personne pour l'attraper."""
    lot.ecrire(BTC)

    def couper(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as pendant:
        pendant.setattr(runner, "ecrire_rapport", couper)
        assert lot.lancer("--rapport", "p.html", "--bilan", "b.json").code == 130
        assert json.loads(Path("b.json").read_text())["taches"][0]["code"] == 0
    monkeypatch.setattr(annexe_lot, "plan_demande", couper)
    assert lot.lancer() == (130, "", "")
    monkeypatch.setattr(module, "lire_arguments", couper)
    assert module.principal([]) == 130


# Partage


def test_les_taches_d_un_exchange_partagent_son_client(lot: Lot, bourse: Bourse) -> None:
    """Trois tâches, une lecture des marchés, une seule session HTTP."""
    lot.ecrire(BTC, ETH, {**BTC, "name": "5m", "timeframe": "5m", "sortie": "5m.parquet"}, OKX)
    assert lot.lancer().code == 0
    assert bourse.compter(LISTE) == 1
    assert bourse.compter("instruments") == 1


def test_un_symbole_d_un_autre_genre_relit_la_liste_sans_perdre_l_autre(lot: Lot, bourse: Bourse) -> None:
    """Spot, puis contrat, puis spot : deux lectures, pas trois."""
    contrat = {"name": "contrat", "symbole": "BTC/USDT:USDT", "sortie": "c.parquet"}
    lot.ecrire(BTC, contrat, ETH)
    assert lot.lancer().code == 0
    assert bourse.compter(f"api/v3/{LISTE}") == 2
    assert bourse.compter(f"fapi/v1/{LISTE}") == 1
    assert len(lot.lignes("c.parquet")) == 60


def test_les_reglages_differents_partagent_encore_le_debit() -> None:
    """Deux types de marché, deux listes ; mais un limiteur et une pause, puisque l'exchange compte par adresse."""

    async def ouvrir() -> list[Any]:
        async with Parc() as parc:
            vus = []
            for options in ({}, {"type_marche": "swap"}, {"exchange": "okx"}, {"proxy": "http://127.0.0.1:9"}):
                tache = module.construire({"symbole": "A/B", **options})
                async with parc.connecter(module.reglages_de(tache, {})) as connexion:
                    vus.append((connexion.api.throttler, connexion.essais.frein, connexion.api.session))
            return vus

    spot, swap, okx, proxy = asyncio.run(ouvrir())
    assert spot[0] is swap[0]
    assert spot[1] is swap[1]
    assert spot[2] is not swap[2]
    assert len({id(debit) for _, debit, _ in (spot, okx, proxy)}) == 3


def test_chaque_tache_a_son_instance_sur_la_meme_session() -> None:
    """Les abonnements d'un flux ne survivent pas à sa tâche ; la session et les marchés, si."""

    async def ouvrir() -> None:
        reglages = module.reglages_de(module.construire({"symbole": "A/B"}), {})
        async with Parc() as parc:
            async with parc.connecter(reglages) as une, parc.connecter(reglages) as autre:
                assert une.api is not autre.api
                assert une.api.session is autre.api.session is not None
                session = une.api.session
            assert not session.closed
        assert session.closed

    asyncio.run(ouvrir())


def test_la_deuxieme_tache_sait_encore_l_heure_d_un_exchange_qui_ne_la_dit_que_par_ses_en_tetes(
    bourse: Bourse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hitbtc n'a pas fetchTime : les marchés prêtés, plus rien n'était daté, et l'horloge d'ici closait les bougies."""
    envoyer, retard_ms = serveur.envoyer, 8 * MINUTE

    def envoyer_date(reponse: serveur.Reponse, requete: Any) -> Any:
        entetes = {**reponse.entetes, "Date": formatdate((module.maintenant_ms() - retard_ms) / 1000, usegmt=True)}
        return envoyer(dataclasses.replace(reponse, entetes=entetes), requete)

    monkeypatch.setattr(serveur, "envoyer", envoyer_date)

    async def ouvrir() -> list[int]:
        ecarts, config = [], bourse.config_ccxt("binance")
        reglages = module.reglages_de(module.construire({"symbole": "BTC/USDT", "config_ccxt": config}), {})
        async with Parc() as parc:
            for _ in range(2):
                async with parc.connecter(reglages) as connexion:
                    connexion.api.has["fetchTime"] = False
                    await connexion.preparer(["BTC/USDT"])
                    ecarts.append(connexion.heure_ms() - module.maintenant_ms())
        return ecarts

    assert asyncio.run(ouvrir()) == [pytest.approx(-retard_ms, abs=2500)] * 2
    assert bourse.compter(LISTE) == 1


# Pauses


def test_un_bannissement_vaut_pour_les_taches_suivantes_et_l_execution_d_apres(lot: Lot, bourse: Bourse) -> None:
    """Vingt minutes demandées : plus une requête vers cet exchange, jusqu'après l'heure dite."""
    bourse.pannes.ajouter(Panne("418", "klines", retry_after=1200, symbole="BTCUSDT"))
    lot.ecrire(BTC, ETH, OKX)
    avant = time.time()
    fin = lot.lancer("--bilan", str(lot.dossier / "b.json"))
    assert fin.code == 1
    assert etats(lot.bilan()) == {"btc": "echec", "eth": "echec", "okx": "complete"}
    assert lot.bilan()["taches"][1]["requetes"] == 0
    assert bourse.compter("ETHUSDT") == 0
    pauses = json.loads((lot.dossier / ".pauses-ccxt.json").read_text())
    assert set(pauses) == {"binance"}
    assert avant + 1200 <= pauses["binance"] / 1000 < time.time() + 1201
    bourse.pannes.vider()
    bourse.requetes.clear()
    fin = lot.lancer()
    assert fin.code == 1
    assert re.search(r"btc : binance a demandé une pause qui dure encore .*Relancez après 20\d\d-.*Z\.", fin.err)
    assert bourse.compter_par_chemin().keys() & {"/binance/api/v3/exchangeInfo", "/binance/api/v3/klines"} == set()


@pytest.mark.parametrize("contenu", ['{"binance": 1000}', "{", "[]", '{"binance": "x"}', "\x00", '{"binance": 1e400}'])
def test_une_pause_passee_ou_illisible_ne_compte_pas(lot: Lot, contenu: str) -> None:
    (lot.dossier / ".pauses-ccxt.json").write_text(contenu)
    lot.ecrire(BTC)
    assert lot.lancer().code == 0
    assert lot.fichiers() == ["donnees/btc.parquet"]


def test_une_pause_courte_est_attendue(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """L'exécution d'avant a reçu un Retry-After : celle-ci laisse passer les vingt secondes, puis travaille."""
    with temps_simule(), Bourse(("binance",), limites=False).en_fil() as bourse:
        lot = Lot(tmp_path, bourse, capsys)
        fin_pause = int(time.time() * 1000) + 20_000
        (lot.dossier / ".pauses-ccxt.json").write_text(json.dumps({"binance": fin_pause}))
        lot.ecrire(BTC)
        fin = lot.lancer()
        premiere = min(requete.instant for requete in bourse.requetes) - time.monotonic() + time.time()
    assert fin.code == 0
    assert "btc : binance a demandé une pause : encore" in fin.err
    assert premiere * 1000 >= fin_pause


def test_la_ligne_de_commande_respecte_aussi_les_pauses(lot: Lot, bourse: Bourse) -> None:
    """Le fichier est à côté de la sortie."""
    (lot.dossier / ".pauses-ccxt.json").write_text(json.dumps({"binance": int(time.time() * 1000) + 3_600_000}))
    config = json.dumps(bourse.config_ccxt("binance"))
    mots = ["--symbole", "BTC/USDT", "--sortie", str(lot.dossier / "x.csv"), "--config-ccxt", config]
    assert module.principal(mots) == 1
    assert bourse.compter() == 0


# Cron : vrais processus


LENT = {"name": "lent", "symbole": "BTC/USDT", "sortie": "lent.parquet", "date_debut": "2024-01-01",
        "date_fin": "2024-01-31", "concurrence": 2}  # fmt: skip


@pytest.mark.posix
def test_deux_executions_du_meme_lot_ne_se_chevauchent_pas(lot: Lot, bourse: Bourse) -> None:
    """La seconde rend 75 tout de suite et nomme la première, qui finit comme si de rien n'était."""
    lot.ecrire(LENT)
    with lot.demarrer() as premiere:
        attendre(lambda: bourse.compter("klines") >= 1)
        premiere.send_signal(signal.SIGSTOP)  # elle ne peut pas finir : l'attendre serait sans fin
        try:
            with lot.demarrer("--bilan", "b.json") as seconde:
                fin = finir(seconde)
        finally:
            premiere.send_signal(signal.SIGCONT)
        assert (fin.code, fin.out) == (75, "")
        assert f"est déjà en cours d'exécution par le processus {premiere.pid}" in fin.err
        assert finir(premiere).code == 0
    assert len(lot.lignes("lent.parquet")) == 30 * 1440
    bilan = json.loads(Path("b.json").read_text())
    assert (bilan["code"], etats(bilan)) == (75, {"lent": "non_executee"})


@pytest.mark.posix
@pytest.mark.parametrize(("numero", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_un_signal_en_plein_lot(lot: Lot, bourse: Bourse, numero: signal.Signals, code: int) -> None:
    """La tâche courante écrit tout, les suivantes sont dites non exécutées ; la relance reprend."""
    lot.ecrire(BTC, LENT, ETH)
    with lot.demarrer("--bilan", str(lot.dossier / "b.json")) as processus:
        attendre((lot.dossier / "donnees/btc.parquet").exists)
        bourse.latence_s = 0.1
        attendre(lambda: bourse.compter("klines") >= 12)
        with moins_de(5):
            processus.send_signal(numero)
            fin = finir(processus)
    bourse.latence_s = 0.0
    assert fin.code == code, fin.err
    assert etats(lot.bilan()) == {"btc": "complete", "lent": "interrompue", "eth": "non_executee"}
    assert [tache["code"] for tache in lot.bilan()["taches"]] == [0, code, None]
    assert lot.bilan()["message"] == f"interrompu par {numero.name}"
    assert "1 complète, 1 interrompue, 1 non exécutée" in fin.out
    recues = lot.lignes("lent.parquet")
    debut = 1_704_067_200_000
    attendu = bourse.attendu("binance", "BTC/USDT", "1m", debut, debut + len(recues) * MINUTE)
    assert len(recues) >= 1000
    assert recues == [("BTC/USDT", *bougie) for bougie in attendu]
    assert lot.lancer().code == 0
    assert len(lot.lignes("lent.parquet")) == 30 * 1440


def test_depuis_n_importe_quel_dossier_sans_rien_laisser(lot: Lot, tmp_path: Path) -> None:
    """En mode de développement de Python, ce qui serait oublié se plaindrait sur stderr."""
    lot.ecrire(BTC, OKX)
    racine = tmp_path / "racine"
    racine.mkdir()
    commande = [sys.executable, str(RUNNER), "--yaml", os.path.relpath(lot.yaml, racine), "--journal", "error"]
    env = {**os.environ, "PYTHONDEVMODE": "1"}
    fini = subprocess.run(commande, cwd=racine, capture_output=True, text=True, check=False, timeout=PLAFOND_S, env=env)
    assert fini.returncode == 0, fini.stderr
    assert "module_ccxt_fr_v2" not in fini.stderr
    assert "runner" not in fini.stderr
    assert "../lot/donnees/btc.parquet" in fini.stdout
    assert list(racine.iterdir()) == []
    assert lot.lignes("donnees/btc.parquet") == lot.attendues()


@pytest.mark.posix
@pytest.mark.parametrize(("suite", "code", "dit"), [(">&-", 0, ""), (">/dev/full", 1, "stdout"), ("| head -1", 0, "")])
def test_un_stdout_ferme_ou_plein_n_est_pas_une_trace(lot: Lot, suite: str, code: int, dit: str) -> None:
    """Le lot est fait quand même ; le tableau perdu se dit."""
    if "full" in suite and not Path("/dev/full").exists():
        pytest.skip("ce système n'a pas de /dev/full")
    lot.ecrire(BTC)
    commande = f"{shlex.quote(sys.executable)} {shlex.quote(str(RUNNER))} --yaml {shlex.quote(str(lot.yaml))} {suite}"
    fini = subprocess.run(["/bin/sh", "-c", commande], capture_output=True, text=True, check=False, timeout=PLAFOND_S)
    assert fini.returncode == code, fini.stderr
    assert dit in sans_trace(Fin(fini.returncode, fini.stdout, fini.stderr)).err
    assert lot.lignes("donnees/btc.parquet") == lot.attendues()


def test_une_sortie_tenue_par_une_autre_commande_est_dite_occupee(lot: Lot) -> None:
    """Le verrou est par sortie aussi : la tâche rend 75, les autres se font."""
    lot.ecrire(BTC, ETH)
    (lot.dossier / "donnees").mkdir()
    verrou = module.Verrou(lot.dossier / "donnees/btc.parquet")
    verrou.prendre()
    try:
        fin = lot.lancer("--bilan", str(lot.dossier / "b.json"))
    finally:
        verrou.rendre()
    assert fin.code == 75
    assert etats(lot.bilan()) == {"btc": "occupee", "eth": "complete"}


@pytest.mark.parametrize("echec", ["avant", "apres"])
def test_une_sortie_occupee_ne_cache_pas_l_echec_d_une_autre_tache(lot: Lot, bourse: Bourse, echec: str) -> None:
    """75 dit « repassez » : un cron qui l'admet ne verrait jamais l'échec. Le lot rend 1, dans les deux ordres."""
    bourse.pannes.ajouter(Panne("html", "klines", symbole="ETHUSDT"))
    tenue, fautive = BTC, {**ETH, "essais": 1}
    lot.ecrire(*((fautive, tenue) if echec == "avant" else (tenue, fautive)))
    (lot.dossier / "donnees").mkdir()
    verrou = module.Verrou(lot.dossier / "donnees/btc.parquet")
    verrou.prendre()
    try:
        fin = lot.lancer("--bilan", str(lot.dossier / "b.json"))
    finally:
        verrou.rendre()
    assert etats(lot.bilan()) == {"btc": "occupee", "eth": "echec"}
    assert (fin.code, lot.bilan()["code"]) == (1, 1)


# Ordre des flux (l'exécution d'un flux est éprouvée ailleurs)


class Flux:
    """Remplace l'exécution : note ce qui commence et finit ; un flux sans durée ne finit qu'annulé."""

    def __init__(self) -> None:
        self.faits: list[str] = []
        self.dernier = asyncio.Event()

    async def __call__(self, tache: module.Tache, *, bilan: module.Bilan, **_: Any) -> module.Bilan:
        """Une exécution de rien du tout."""
        nom = module.TACHE_COURANTE.get()
        self.faits.append(f"+{nom}")
        if nom == "s2":
            self.dernier.set()
        try:
            await asyncio.wait_for(asyncio.Event().wait(), tache.duree if tache.stream else 0.01)
        except TimeoutError:
            self.faits.append(f"-{nom}")
        except asyncio.CancelledError:
            self.faits.append(f"x{nom}")
            raise
        return bilan


def lot_de_flux(sans_fin: str) -> dict[str, Any]:
    taches = [{"name": "rest"}, {"name": "s1", "stream": "ohlcv"}, {"name": "fini", "stream": "ohlcv", "duree": 0.02},
              {"name": "s2", "stream": "trades"}]  # fmt: skip
    return {"version": 1, "defaults": {"symbole": sans_fin}, "tasks": taches}


def test_les_flux_sans_fin_viennent_apres_ensemble(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Les tâches finies dans leur ordre, puis les flux sans fin tous ensemble ; c'est dit au départ."""
    flux = Flux()
    monkeypatch.setattr(annexe_lot, "executer_async", flux)
    plan = annexe_plan.ouvrir_plan(lot_de_flux("BTC/USDT"))
    bilan = annexe_lot.BilanLot.vierge(plan)

    async def puis_signal() -> None:
        travail = asyncio.ensure_future(annexe_lot.executer_plan(plan, bilan))
        await flux.dernier.wait()
        travail.cancel()
        with pytest.raises(asyncio.CancelledError):
            await travail

    with caplog.at_level("INFO", logger="module_ccxt_fr_v2"):
        asyncio.run(puis_signal())
    assert flux.faits[:6] == ["+rest", "-rest", "+fini", "-fini", "+s1", "+s2"]
    assert set(flux.faits[6:]) == {"xs1", "xs2"}
    bilan.interrompre(143, "interrompu par SIGTERM")
    assert [(t.nom, t.etat, t.code) for t in bilan.taches] == [
        ("rest", "complete", 0), ("s1", "interrompue", 143), ("fini", "complete", 0), ("s2", "interrompue", 143),
    ]  # fmt: skip
    assert "Sans fin, après les autres et jusqu'à un signal : s1, s2. --duree-max les bornerait." in caplog.messages


def test_un_plafond_rend_l_ordre_du_fichier(monkeypatch: pytest.MonkeyPatch) -> None:
    flux = Flux()
    monkeypatch.setattr(annexe_lot, "executer_async", flux)
    bilan = module.executer_lot(lot_de_flux("BTC/USDT"), duree_max=0.01)
    assert flux.faits == ["+rest", "-rest", "+s1", "-s1", "+fini", "-fini", "+s2", "-s2"]
    assert bilan.code == 0


def test_hors_ligne_plafonne_les_flux(monkeypatch: pytest.MonkeyPatch) -> None:
    """Dix secondes chacun, sauf plafond donné ; l'exchange embarqué est le seul joint."""
    monkeypatch.setattr(annexe_lot, "executer_async", Flux())
    plan = annexe_plan.ouvrir_plan(lot_de_flux("BTC/USDT"), hors_ligne=True)
    assert [p.tache.duree for p in plan.taches] == [None, 10.0, 0.02, 10.0]
    assert all(p.tache.hors_ligne for p in plan.taches)
    plan = annexe_plan.ouvrir_plan(lot_de_flux("BTC/USDT"), hors_ligne=True, duree_max=3)
    assert [p.tache.duree for p in plan.taches] == [None, 3, 0.02, 3]


# Comptes rendus


def test_les_metriques_se_relisent(lot: Lot, bourse: Bourse) -> None:
    """Succès, lignes, trous, âge, durée, code, par tâche ; un échec garde la date du dernier succès."""
    chemin = lot.dossier / "m.prom"
    lot.ecrire({**BTC, "date_debut": "2024-03-05T10:00"}, FAUX)
    depart = time.time()
    assert lot.lancer("--metriques", str(chemin)).code == 2
    lues = metriques(chemin)
    assert lues["ccxt_fr_code", "btc", ""] == 0
    assert lues["ccxt_fr_code", "faux", ""] == 2
    succes = lues["ccxt_fr_dernier_succes_timestamp_seconds", "btc", ""]
    assert depart - 1 < succes < time.time() + 1
    assert ("ccxt_fr_dernier_succes_timestamp_seconds", "faux", "") not in lues
    assert lues["ccxt_fr_lignes", "btc", "nouvelles"] == 60
    assert lues["ccxt_fr_trous", "btc", "echec"] == 0
    derniere = (DEBUT + HEURE - MINUTE) / 1000
    assert lues["ccxt_fr_derniere_ligne_timestamp_seconds", "btc", ""] == derniere
    age = lues["ccxt_fr_age_derniere_ligne_seconds", "btc", ""]
    assert depart - derniere - 1 < age < time.time() - derniere + 1
    assert lues["ccxt_fr_duree_seconds", "btc", ""] > 0
    bourse.pannes.ajouter(Panne("http", "klines", code=451))
    assert lot.lancer("--metriques", str(chemin), "--taches", "btc").code == 1
    lues = metriques(chemin)
    assert lues["ccxt_fr_code", "btc", ""] == 1
    assert lues["ccxt_fr_dernier_succes_timestamp_seconds", "btc", ""] == pytest.approx(succes)
    assert lues["ccxt_fr_code", "faux", ""] == 2, "une tâche non choisie garde ses mesures"


def test_une_etiquette_se_relit_quel_que_soit_le_nom() -> None:
    """Guillemets et barres obliques inverses sont échappés, comme Prometheus le demande."""
    tache = annexe_lot.BilanTache('a"b\\c', "rest", module.Bilan("binance"))
    tache.finir(0)
    bilan = annexe_lot.BilanLot("l", [tache], (tache.nom,))
    texte = annexe_metriques.rediger_metriques(bilan)
    assert r'ccxt_fr_code{lot="l",tache="a\"b\\c"} 0' in texte
    tache.code = None  # non exécutée la fois d'après : rien n'est perdu
    assert annexe_metriques.rediger_metriques(bilan, texte) == texte


def test_deux_lots_gardent_leurs_metriques_dans_un_meme_fichier(tmp_path: Path) -> None:
    """Chacun remplace les siennes, et laisse celles de l'autre ; l'heure est la fin de la tâche, pas celle du lot."""
    chemin = tmp_path / "neuf" / "m.prom"
    for nom in ("l1", "l2"):
        tache = annexe_lot.BilanTache("t", "rest", module.Bilan("binance"))
        tache.finir(0)
        tache.fin_ms = 5000 if nom == "l1" else 7000
        assert annexe_metriques.ecrire_metriques(chemin, annexe_lot.BilanLot(nom, [tache], ("t",))) == 0
    lues = [ligne for ligne in chemin.read_text().splitlines() if ligne.startswith("ccxt_fr_execution_timestamp")]
    assert lues == [f'ccxt_fr_execution_timestamp_seconds{{lot="l{n}",tache="t"}} {s}' for n, s in ((1, 5), (2, 7))]


def test_le_bilan_dit_tout(lot: Lot) -> None:
    """Un objet par exécution, une entrée par tâche, dans l'ordre du fichier."""
    lot.ecrire(BTC, OKX)
    assert lot.lancer("--bilan", str(lot.dossier / "x/b.json")).code == 0
    bilan = lot.bilan("x/b.json")
    assert list(bilan) == ["outil", "lot", "code", "message", "debut", "duree_s", "taches"]
    assert bilan["lot"] == str(lot.yaml)
    btc, okx = bilan["taches"]
    attendus = {
        "name": "btc", "mode": "rest", "etat": "complete", "code": 0, "exchange": "binance", "lignes_recues": 60,
        "lignes_nouvelles": 60, "lignes_revisees": 0, "essais": 0, "modifie": True,
        "sortie": str(lot.dossier / "donnees/btc.parquet"), "derniere_ligne": "2024-03-05T10:59Z",
    }  # fmt: skip
    assert {nom: btc[nom] for nom in attendus} == attendus
    assert btc["octets"] == (lot.dossier / "donnees/btc.parquet").stat().st_size
    assert [serie["symbole"] for serie in okx["series"]] == ["BTC/USDT", "ETH/USDT"]
    assert okx["series"][0]["trous"] == []


# Bibliothèque


def test_executer_lot_en_bibliotheque(lot: Lot) -> None:
    """Un chemin, du code ordinaire ou une boucle déjà lancée ; un dictionnaire, chemins du dossier courant."""
    lot.ecrire(BTC)
    bilan = module.executer_lot(lot.yaml)
    assert (bilan.code, [t.etat for t in bilan.taches]) == (0, ["complete"])
    contenu = {"version": 1, "tasks": [lot._vers({**ETH, **HEURE_LUE})]}

    async def dans_une_boucle() -> annexe_lot.BilanLot:
        assert module.executer_lot(lot.yaml).code == 0
        return await module.executer_lot_async(contenu)

    assert asyncio.run(dans_une_boucle()).code == 0
    assert Path("donnees/eth.csv").exists()
    with pytest.raises(module.ErreurDemande):
        module.executer_lot({"version": 1})
    with pytest.raises(module.ErreurDemande, match=r"^duree_max : .*\nhors_ligne : |^hors_ligne : .*\nduree_max : "):
        module.executer_lot(lot.yaml, hors_ligne="peut-être", duree_max="dix")
    assert module.executer_lot(lot.yaml, taches="btc").code == 0
