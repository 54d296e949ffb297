"""Les flux dans un lot : les quatre tâches du propriétaire, et ce qui ne finit que par un signal."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Literal

import pyarrow.compute as pc
import pytest
from attente import PLAFOND_S, attendre, moins_de
from lots_yaml import MINUTE, RUNNER, Lot, etats, finir, sans_trace
from marche_simule import marche_commun
from temps_simule import temps_simule

import module_ccxt_fr_v2 as module
from bourse_locale import Bourse

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RACINE = RUNNER.parent
JANVIER, FEVRIER = 1_704_067_200_000, 1_706_745_600_000


@pytest.fixture
def vive() -> Iterator[Bourse]:
    """Les quatre exchanges embarqués, à une minute par seconde ; au temps simulé pour ce que joue ce processus."""
    with temps_simule(), Bourse(limites=False, acceleration=60).en_fil() as ouverte:
        yield ouverte


@pytest.fixture
def lot(tmp_path: Path, vive: Bourse, capsys: pytest.CaptureFixture[str]) -> Lot:
    return Lot(tmp_path, vive, capsys)


def est_l_oracle(
    sortie: Path, exchange: str, symbole: str, *, table: str = "ohlcv", prix: Literal["last", "mark"] = "last"
) -> int:
    """Vérifie que les bougies d'une sortie sont, sans trou, celles de l'exchange ; rend leur nombre."""
    lue = module.lire(sortie, table=table)
    lue = lue.filter(pc.equal(lue["symbole"], symbole))
    instants = module.instants_de(lue)
    assert instants == list(range(instants[0], instants[-1] + 1, MINUTE))
    # Le marché embarqué est le même partout.
    apres = Bourse(marche=marche_commun(), maintenant_ms=instants[-1] + 10 * MINUTE)
    attendues = apres.attendu(exchange, symbole, "1m", instants[0], instants[-1] + MINUTE, prix)
    valeurs = zip(*(lue[nom].to_pylist() for nom in module.VALEURS_OHLCV[:4]), strict=True)
    assert [(i, *v) for i, v in zip(instants, valeurs, strict=True)] == [ligne[:5] for ligne in attendues]
    for volume, attendu in zip(lue["volume"].to_pylist(), (ligne[5] for ligne in attendues), strict=True):
        assert volume == (None if attendu is None else pytest.approx(attendu, rel=1e-9, abs=1e-7))
    return len(instants)


def ici(commande: str) -> list[str]:
    """Les mots d'une commande du README, avec l'interpréteur et le runner d'ici."""
    mots = shlex.split(commande.rpartition("&&")[2])
    assert mots[:2] == [".venv/bin/python", "runner_ccxt_batch.py"]
    return [sys.executable, str(RUNNER), *mots[2:]]


@pytest.mark.lent
def test_les_quatre_taches_du_proprietaire_telles_quelles(tmp_path: Path) -> None:
    """La première commande du README, au caractère près : chaque sortie est l'oracle."""
    shutil.copy(RACINE / "ccxt_batch.yaml", tmp_path)
    readme = (RACINE / "README.md").read_text(encoding="utf-8")
    premiere = readme.partition("```bash\n")[2].partition("\n```")[0]
    assert premiere.endswith("runner_ccxt_batch.py --yaml ccxt_batch.yaml --hors-ligne")
    commande = [*ici(premiere), "--bilan", "b.json"]
    fini = subprocess.run(commande, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=PLAFOND_S)
    assert fini.returncode == 0, fini.stderr
    assert "Hors ligne, chaque flux est plafonné à 10 s ; --duree-max en décide." in fini.stderr
    assert "Traceback" not in fini.stderr
    bilan = json.loads((tmp_path / "b.json").read_text())
    assert etats(bilan) == {
        "binance_btc_1m_jan2024": "complete",
        "okx_btc_swap_mark_1m_10min": "complete",
        "bybit_btc_trades_to_ohlcv": "complete",
        "okx_multi_ohlcv": "complete",
    }
    assert [tache["mode"] for tache in bilan["taches"]] == ["rest", "stream", "stream", "stream"]
    donnees = tmp_path / "donnees"
    janvier = donnees / "binance_btcusdt_1m_202401.parquet"
    assert est_l_oracle(janvier, "binance", "BTC/USDT") == (FEVRIER - JANVIER) // MINUTE
    contrat = "BTC/USDT:USDT"
    assert est_l_oracle(donnees / "okx_stream_ohlcv_1m.sqlite", "okx", contrat, table="ohlcv_1m", prix="mark") >= 5
    assert est_l_oracle(donnees / "bybit_btc_trades_ohlcv.csv", "bybit", "BTC/USD:BTC") >= 5
    for symbole in (contrat, "ETH/USDT:USDT"):
        assert est_l_oracle(donnees / "okx_multi_ohlcv.parquet", "okx", symbole) >= 5
    assert max(map(len, fini.stdout.splitlines())) <= 80


BOUGIES = {"stream": "ohlcv", "format": "csv"}
SANS_FIN = [
    {"name": "a", "exchange": "binance", "symbole": "BTC/USDT", "sortie": "a.csv", **BOUGIES},
    {"name": "b", "exchange": "binance", "symbole": "ETH/USDT", "sortie": "b.csv", **BOUGIES},
]
HEURE_FINIE = {"name": "fini", "symbole": "BTC/USDT", "sortie": "fini.parquet", "date_debut": "2024-03-05T10:00",
               "date_fin": "2024-03-05T11:00"}  # fmt: skip


def au_moins(lot: Lot, *noms: str) -> bool:
    """Vrai quand chacun de ces CSV tient trois bougies."""
    return all((lot.dossier / n).exists() and (lot.dossier / n).read_text().count("\n") > 3 for n in noms)


def ecrire(lot: Lot, *taches: dict[str, Any]) -> None:
    """Un lot sans les bornes de l'heure lue, qui n'ont pas de sens pour un flux."""
    lot.ecrire(*taches, date_debut=None, date_fin=None)


@pytest.mark.posix
@pytest.mark.parametrize(("numero", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_les_flux_sans_fin_tournent_ensemble_jusqu_au_signal(
    lot: Lot, vive: Bourse, numero: signal.Signals, code: int
) -> None:
    """La tâche finie d'abord, bien que dernière du fichier ; puis les deux flux, sur une seule liste de marchés.

    Au signal, tout le reçu est écrit.
    """
    ecrire(lot, *SANS_FIN, HEURE_FINIE)
    with lot.demarrer("--bilan", str(lot.dossier / "bilan.json")) as processus:
        attendre(lambda: au_moins(lot, "a.csv", "b.csv"))
        assert (lot.dossier / "fini.parquet").exists()
        with moins_de(5):
            processus.send_signal(numero)
            fin = finir(processus)
    assert fin.code == code, fin.err
    assert etats(lot.bilan("bilan.json")) == {"a": "interrompue", "b": "interrompue", "fini": "complete"}
    assert "Sans fin, après les autres et jusqu'à un signal : a, b. --duree-max les bornerait." in fin.err
    for nom, symbole in (("a.csv", "BTC/USDT"), ("b.csv", "ETH/USDT")):
        assert est_l_oracle(lot.dossier / nom, "binance", symbole) >= 3
    assert vive.compter("exchangeInfo") == 1


def test_un_flux_en_echec_n_arrete_pas_l_autre(lot: Lot) -> None:
    """Un symbole inconnu refuse sa tâche ; l'autre suit le sien jusqu'au bout."""
    ecrire(lot, {**SANS_FIN[0], "symbole": "BTC/USTD"}, SANS_FIN[1])
    fin = lot.lancer("--duree-max", "4", "--bilan", str(lot.dossier / "bilan.json"))
    assert fin.code == 2
    assert etats(lot.bilan("bilan.json")) == {"a": "refusee", "b": "complete"}
    assert est_l_oracle(lot.dossier / "b.csv", "binance", "ETH/USDT") >= 2


@pytest.mark.posix
@pytest.mark.lent
@pytest.mark.filterwarnings("default")
def test_un_flux_sans_fin_sur_un_cluster(lot: Lot) -> None:
    """Sur un worker Dask, un signal l'arrête de même."""
    pytest.importorskip("distributed")
    ecrire(lot, *SANS_FIN, HEURE_FINIE)
    with lot.demarrer("--dask", "local:2", "--bilan", str(lot.dossier / "bilan.json"), groupe=True) as processus:
        attendre(lambda: au_moins(lot, "a.csv", "b.csv"))
        os.killpg(processus.pid, signal.SIGTERM)
        fin = sans_trace(finir(processus))
    assert fin.code == 143, fin.err
    assert etats(lot.bilan("bilan.json")) == {"a": "interrompue", "b": "interrompue", "fini": "complete"}
    for nom, symbole in (("a.csv", "BTC/USDT"), ("b.csv", "ETH/USDT")):
        assert est_l_oracle(lot.dossier / nom, "binance", symbole) >= 3
