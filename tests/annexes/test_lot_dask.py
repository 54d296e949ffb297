"""§ 11 : un lot sur un cluster Dask ; mêmes fichiers, même bilan, mêmes codes ; un worker tué coûte une reprise."""

from __future__ import annotations

import importlib.util
import itertools
import os
import re
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from attente import attendre, moins_de
from lots_yaml import MINUTE, NOMS_DE_CLES, Lot, etats, finir

from annexes_ccxt_fr import cluster as annexe_cluster
from annexes_ccxt_fr import lot as annexe_lot
from annexes_ccxt_fr import plan as annexe_plan
from bourse_locale import Panne

dask = pytest.importorskip("dask")
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bourse_locale import Bourse

# distributed laisse des sockets au ramasse-miettes quand un worker est tué.
pytestmark = [
    pytest.mark.lent,
    pytest.mark.filterwarnings("default"),
    # Importé où il sert : chaque processus des essais récolte ce fichier, un seul ou deux le jouent.
    pytest.mark.skipif(importlib.util.find_spec("distributed") is None, reason="demande distributed"),
]

BTC = {"name": "btc", "symbole": "BTC/USDT", "sortie": "donnees/btc.parquet"}
FAUX = {"name": "faux", "symbole": "BTC/USTD"}
BASE = {"name": "base", "exchange": "okx", "symbols": ["BTC/USDT", "ETH/USTD", "ETH/USDT"], "format": "sqlite",
        "sortie": "base.sqlite"}  # fmt: skip
SANS_SORTIE = {"name": "deux", "symbols": ["BTC/USDT", "ETH/USDT"], "format": "csv", "output_dir": "ici"}
LENT = {"name": "lent", "symbole": "BTC/USDT", "sortie": "lent.parquet", "date_debut": "2024-01-01",
        "date_fin": "2024-01-31", "concurrence": 2}  # fmt: skip
DEBUT_LENT = 1_704_067_200_000


@pytest.fixture
def lot(tmp_path: Path, bourse: Bourse, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Lot:
    monkeypatch.chdir(tmp_path)
    for nom in os.environ:
        if nom.endswith(NOMS_DE_CLES):
            monkeypatch.delenv(nom)
    dossier = tmp_path / "lot"
    dossier.mkdir()
    return Lot(dossier, bourse, capsys)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Un vrai cluster de deux workers, sur cette machine."""
    import distributed

    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, resources={"exchange": 1}, dashboard_address=":0"
    ) as ouvert:
        yield ouvert


def contenus(lot: Lot) -> dict[str, bytes]:
    """Les octets des sorties, sans la date ni la somme d'une fiche CSV ; une base n'est comparée que par ses lignes."""
    sorties = {nom: octets for nom, (octets, _) in lot.empreinte().items() if nom != "b.json" and ".sqlite" not in nom}
    return {nom: re.sub(rb'"(modifie_ns": \d+|somme": "\w+")', b"", octets) for nom, octets in sorties.items()}


def comparable(bilan: dict[str, Any]) -> list[dict[str, Any]]:
    """Un bilan sans ce qui dépend du moment, ni du nombre de requêtes (chaque worker lit sa liste de marchés)."""
    variables = {"debut", "duree_s", "requetes", "octets"}
    return [{nom: valeur for nom, valeur in tache.items() if nom not in variables} for tache in bilan["taches"]]


def sans_temps(tableau: str) -> str:
    """Sans les durées, ni la place qu'elles prennent : « 12 s » sur une machine chargée, « 9,5 s » sur une autre."""
    return re.sub(" +", " ", re.sub(r"(\d+ min )?\d+(,\d)? (s|ms)\b", "", tableau))


def test_meme_lot_memes_fichiers_meme_bilan(lot: Lot, cluster: Any) -> None:
    """Ici puis sur le cluster : octets égaux, bilans égaux, même code ; relancé là-bas, rien de nouveau."""
    lot.ecrire(BTC, FAUX, BASE, SANS_SORTIE)
    ici = lot.lancer("--bilan", str(lot.dossier / "b.json"))
    bilan, lignes = lot.bilan(), lot.lignes("base.sqlite")
    fichiers = contenus(lot)
    for nom in lot.fichiers():
        (lot.dossier / nom).unlink()
    la_bas = lot.lancer("--bilan", str(lot.dossier / "b.json"), "--dask", cluster.scheduler_address)
    assert la_bas.code == ici.code == 2, la_bas.err
    assert etats(lot.bilan()) == {"btc": "complete", "faux": "refusee", "base": "partielle", "deux": "complete"}
    assert comparable(lot.bilan()) == comparable(bilan)
    assert sans_temps(la_bas.out) == sans_temps(ici.out)
    assert contenus(lot) == fichiers
    assert lot.lignes("base.sqlite") == lignes
    avant = {n: v for n, v in lot.empreinte().items() if n in fichiers}
    assert lot.lancer("--dask", cluster.scheduler_address).code == 2
    assert {n: v for n, v in lot.empreinte().items() if n in fichiers} == avant
    assert re.search(r"INFO    btc : Terminé : 60 lignes nouvelles", la_bas.err), "le journal des workers est ramené"


def test_l_echec_d_une_tache_n_arrete_pas_le_cluster(lot: Lot, bourse: Bourse, cluster: Any) -> None:
    bourse.pannes.ajouter(Panne("http", "klines", code=451, symbole="BTCUSDT"))
    lot.ecrire(BTC, {**BASE, "symbols": ["BTC/USDT"]})
    fin = lot.lancer("--bilan", str(lot.dossier / "b.json"), "--dask", cluster.scheduler_address)
    assert fin.code == 1
    assert etats(lot.bilan()) == {"btc": "echec", "base": "complete"}


def test_les_workers_d_une_meme_adresse_ne_demandent_pas_ensemble(lot: Lot, bourse: Bourse, cluster: Any) -> None:
    """Deux workers, une IP : les tâches de binance se suivent, celle d'okx va de front."""
    bourse.latence_s = 0.2
    heures = [{**BTC, "name": f"b{n}", "sortie": f"b{n}.csv", "format": "csv"} for n in range(3)]
    lot.ecrire(*heures, {**BASE, "symbols": ["BTC/USDT"]})
    assert lot.lancer("--dask", cluster.scheduler_address).code == 0
    binance = [r for r in bourse.requetes if r.exchange == "binance"]
    listes = [r.instant for r in binance if "exchangeInfo" in r.chemin]
    bougies = [r.instant for r in binance if "klines" in r.chemin]
    assert len(listes) == 3
    assert all(any(a < b < c for b in bougies) for a, c in itertools.pairwise(listes))


@pytest.mark.posix
def test_un_worker_tue_en_pleine_tache(lot: Lot, bourse: Bourse) -> None:
    """`kill -9` : la tâche est relancée ailleurs, repart de ce qui est reçu, et le lot finit au code 0."""
    lot.ecrire(LENT)
    bourse.latence_s = 0.15
    with lot.demarrer("--dask", "local:2", "--bilan", str(lot.dossier / "b.json")) as processus:
        attendre(lambda: bourse.compter("klines") >= 12)
        victime = int((lot.dossier / "lent.parquet.verrou.pid").read_text())
        assert victime != processus.pid
        os.kill(victime, signal.SIGKILL)
        avant = bourse.compter("klines")
        bourse.latence_s = 0.0
        fin = finir(processus)
    assert fin.code == 0, fin.err
    assert etats(lot.bilan()) == {"lent": "complete"}
    attendu = bourse.attendu("binance", "BTC/USDT", "1m", DEBUT_LENT, DEBUT_LENT + 30 * 1440 * MINUTE)
    assert lot.lignes("lent.parquet") == [("BTC/USDT", *bougie) for bougie in attendu]
    assert bourse.compter("klines") - avant <= 44 - (avant - 4) + 4, "la reprise ne redemande que ce qui manque"
    assert lot.bilan()["taches"][0]["lignes_nouvelles"] < 30 * 1440


@pytest.mark.posix
@pytest.mark.parametrize(("numero", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_un_signal_annule_sur_le_cluster(lot: Lot, bourse: Bourse, numero: signal.Signals, code: int) -> None:
    """La tâche en cours sur un worker écrit tout ce qu'elle a reçu ; les suivantes ne commencent pas.

    Le signal va à tout le groupe, comme Ctrl-C dans un terminal ou l'arrêt d'un service systemd.
    """
    bourse.latence_s = 0.15
    lot.ecrire(LENT, BTC)
    with lot.demarrer("--dask", "local:1", "--bilan", str(lot.dossier / "b.json"), groupe=True) as processus:
        attendre(lambda: bourse.compter("klines") >= 12)
        with moins_de(8):
            os.killpg(processus.pid, numero)
            fin = finir(processus)
    assert fin.code == code, fin.err
    assert etats(lot.bilan()) == {"lent": "interrompue", "btc": "non_executee"}
    assert len(lot.lignes("lent.parquet")) >= 8000
    assert not list(lot.dossier.glob("*.journal"))


@pytest.mark.parametrize(
    ("ressources", "phrase"),
    [({}, "Aucun des 1 workers du cluster n'offre la ressource « exchange »"), (None, "ne répond pas")],
)
def test_un_cluster_qui_ne_convient_pas_est_dit(lot: Lot, ressources: dict[str, int] | None, phrase: str) -> None:
    """Sans ressource, ou sans cluster du tout : code 1, rien d'exécuté, jamais d'attente sans fin."""
    lot.ecrire(BTC)
    if ressources is None:
        fin = lot.lancer("--dask", "tcp://127.0.0.1:9")
    else:
        import distributed

        # Son worker est un fil de ce processus : il ne lui est demandé que ce qu'il offre.
        with distributed.LocalCluster(1, threads_per_worker=1, processes=False, dashboard_address=":0") as sans:
            fin = lot.lancer("--dask", sans.scheduler_address)
    assert (fin.code, fin.out) == (1, "")
    assert phrase in fin.err
    assert lot.fichiers() == []


def test_un_cluster_local_qui_ne_demarre_pas_est_dit(lot: Lot) -> None:
    """Ce que la configuration de Dask fait charger à ses workers, et qui n'est pas là : une phrase, pas une trace."""
    lot.ecrire(BTC)
    with dask.config.set({"distributed.worker.preload": ["absent_d_ici"]}):
        fin = lot.lancer("--dask", "local:1")
    assert (fin.code, fin.out) == (1, "")
    assert "Le cluster Dask « local:1 » ne démarre pas (" in fin.err
    assert "absent_d_ici" in fin.err
    assert "Traceback" not in fin.err
    assert lot.fichiers() == []


def test_une_base_se_partage_par_symbole_le_reste_par_tache() -> None:
    """Un fichier ne s'ouvre que pour toutes ses séries ; un flux suit tous ses symboles ensemble."""
    taches = [
        {"name": "base", "symbols": ["A/B", "C/D"], "sortie": "x.sqlite"},
        {"name": "fichier", "symbols": ["A/B", "C/D"], "sortie": "x.parquet"},
        {"name": "sans_sortie", "symbols": ["A/B", "C/D"], "format": "sqlite"},
        {"name": "flux", "symbols": ["A/B", "C/D"], "sortie": "y.sqlite", "stream": "ohlcv"},
    ]
    plan = annexe_plan.lire_plan({"version": 1, "tasks": taches}, "lot", Path("d"), {})
    bilan = annexe_lot.BilanLot.vierge(plan)
    parts = [annexe_cluster.parts_de(p, b, plan) for p, b in zip(plan.taches, bilan.taches, strict=True)]
    assert [[part.planifiee.tache.demandes for part in siennes] for siennes in parts] == [
        [("A/B",), ("C/D",)], [("A/B", "C/D")], [("A/B", "C/D")], [("A/B", "C/D")],
    ]  # fmt: skip
    assert all(part.planifiee.dossier.is_absolute() for siennes in parts for part in siennes)
