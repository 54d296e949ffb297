"""§ 11 : l'emploi en bibliothèque, face à l'exchange embarqué."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import threading
import traceback
from concurrent import futures
from typing import TYPE_CHECKING, Any

import pytest
from attente import PLAFOND_S, attendre_ici

import module_ccxt_fr_v2 as module
from bourse_locale import Bourse, Panne

if TYPE_CHECKING:
    from pathlib import Path

DEBUT = 1_709_632_800_000  # 2024-03-05T10:00Z
HEURE = 3_600_000
OPTIONS: dict[str, Any] = {"symbole": "BTC/USDT", "date_debut": DEBUT, "date_fin": DEBUT + HEURE}


@pytest.fixture(autouse=True)
def _dossier_vide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def options(bourse: Bourse) -> dict[str, Any]:
    """Une heure de BTC/USDT, chez la bourse embarquée."""
    rapide = {"enableRateLimit": False, "timeout_on_exit": 0}
    return {**OPTIONS, "config_ccxt": {**bourse.config_ccxt("binance"), **rapide}}


def valeurs(table: Any) -> list[tuple[Any, ...]]:
    instants = table["timestamp"].cast("int64").to_pylist()
    return list(zip(instants, *(table[nom].to_pylist() for nom in module.VALEURS_OHLCV), strict=True))


def oracle(bourse: Bourse, debut: int, fin: int) -> list[tuple[Any, ...]]:
    return list(bourse.attendu("binance", "BTC/USDT", "1m", debut, fin))


def test_sans_sortie_rien_n_est_ecrit(bourse: Bourse, options: dict[str, Any], tmp_path: Path) -> None:
    """La table est rendue, aux colonnes du contrat, avec sa fiche."""
    table = module.telecharger_ohlcv(**options)
    assert valeurs(table) == oracle(bourse, DEBUT, DEBUT + HEURE)
    assert table.schema.remove_metadata() == module.OHLCV.schema
    (fiche,) = json.loads(table.schema.metadata[b"fiche"])["series"]
    assert fiche["intervalles"] == [["2024-03-05T10:00Z", "2024-03-05T11:00Z"]]
    assert list(tmp_path.iterdir()) == []


def test_avec_sortie_seules_les_bornes_demandees_sont_rendues(bourse: Bourse, options: dict[str, Any]) -> None:
    """Le fichier garde tout ; la table rendue est ce qui était demandé."""
    options["sortie"] = "a.parquet"
    assert module.telecharger_ohlcv(**options).num_rows == 60
    options |= {"date_debut": DEBUT + HEURE // 2, "date_fin": DEBUT + 2 * HEURE}
    table = module.telecharger_ohlcv(**options)
    assert valeurs(table) == oracle(bourse, DEBUT + HEURE // 2, DEBUT + 2 * HEURE)
    assert valeurs(module.lire("a.parquet")) == oracle(bourse, DEBUT, DEBUT + 2 * HEURE)


def test_suivre_refuse_une_sortie_qu_il_n_ecrirait_pas(options: dict[str, Any], tmp_path: Path) -> None:
    """Elle était ignorée en silence : dix minutes de flux, et pas de fichier."""

    async def essai() -> None:
        with pytest.raises(module.ErreurDemande, match="n'écrit rien") as refus:
            await anext(module.suivre(symbole="BTC/USDT", sortie="a.csv", config_ccxt=options["config_ccxt"]))
        assert "executer" in refus.value.conseil

    asyncio.run(essai())
    assert list(tmp_path.iterdir()) == []


def test_elle_marche_aussi_dans_une_boucle_deja_lancee(bourse: Bourse, options: dict[str, Any]) -> None:
    """Comme dans un notebook : l'appel ordinaire, puis l'appel asynchrone."""

    async def cellule() -> None:
        assert module.telecharger_ohlcv(**options).num_rows == 60
        table = await module.telecharger_ohlcv_async(**options)
        assert valeurs(table) == oracle(bourse, DEBUT, DEBUT + HEURE)

    asyncio.run(cellule())


ABANDONS = {
    "tenu par la trace de l'erreur": """
    flux = collecte.suivre(**OPTIONS)
    async for lot in flux:
        assert not lot.lignes.num_rows, "utilisateur"
""",
    "tenu ailleurs": """
    globals()["flux"] = collecte.suivre(**OPTIONS)
    await anext(flux)
""",
    "deux, chacun dans sa tâche": """
    async def lire():
        async for lot in collecte.suivre(**OPTIONS):
            assert not lot.lignes.num_rows, "utilisateur"
    fautes = await asyncio.gather(lire(), lire(), return_exceptions=True)
    assert [str(faute) for faute in fautes] == ["utilisateur"] * 2
""",
    "en pleine attente, par la fin du programme": """
    async def lire():
        async for lot in collecte.suivre(**OPTIONS):
            recus.set()
    recus = asyncio.Event()
    tache = asyncio.create_task(lire())
    await recus.wait()
""",
}
PROGRAMME = """
import asyncio, contextlib
import module_ccxt_fr_v2 as collecte
OPTIONS = {{"exchange": "okx", "stream": "trades", "symbole": "BTC/USDT", "hors_ligne": True}}
async def principal():{corps}
with contextlib.suppress(AssertionError):
    asyncio.run(principal())
"""


@pytest.mark.parametrize("corps", ABANDONS.values(), ids=ABANDONS)
def test_un_flux_oublie_se_ferme_sans_rien_dire(corps: str) -> None:
    """asyncio, à la fin, annule d'un coup toutes les tâches puis ferme tous les générateurs : rien ne s'y emmêle."""
    commande = [sys.executable, "-W", "error", "-c", PROGRAMME.format(corps=corps)]
    fin = subprocess.run(commande, capture_output=True, text=True, check=False, timeout=PLAFOND_S)
    assert (fin.returncode, fin.stderr) == (0, "")


@pytest.mark.posix
def test_interrompre_le_notebook_annule_ce_qui_court() -> None:
    """La cellule s'arrête, et la tâche, dans son fil, a rangé avant."""
    suite: list[str] = []

    def la_cellule_attend() -> bool:
        pile = traceback.walk_stack(sys._current_frames()[threading.main_thread().ident or 0])
        return any(cadre.f_code is futures.Future.result.__code__ for cadre, _ in pile)

    async def longue() -> None:
        await attendre_ici(la_cellule_attend)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        try:
            await asyncio.sleep(PLAFOND_S)
            suite.append("jamais annulée")
        except asyncio.CancelledError:
            suite.append("annulée")
            raise

    async def cellule() -> None:
        module.courir(longue)

    boucle = asyncio.new_event_loop()  # celle d'un notebook laisse à Python le soin de SIGINT
    avant = signal.signal(signal.SIGINT, signal.default_int_handler)  # les processus de xdist l'ignorent
    try:
        with pytest.raises(KeyboardInterrupt):
            boucle.run_until_complete(cellule())
    finally:
        signal.signal(signal.SIGINT, avant)
        boucle.close()
    assert suite == ["annulée"]


def test_une_tache_s_execute_et_rend_son_bilan(options: dict[str, Any]) -> None:
    tache = module.construire({**options, "sortie": "a.csv"})
    bilan = module.executer(tache)
    assert (bilan.code, bilan.total("lignes_nouvelles"), bilan.modifie) == (0, 60, True)
    assert asyncio.run(module.executer_async(tache)).modifie is False


def test_executer_des_options_au_lieu_d_une_tache_se_dit(options: dict[str, Any]) -> None:
    """Un AttributeError nu, sur « exchange »."""
    with pytest.raises(module.ErreurDemande, match="attend une Tache, et non dict") as levee:
        module.executer({**options, "sortie": "a.csv"})  # type: ignore[arg-type]
    assert "construire" in levee.value.conseil


@pytest.mark.parametrize(
    ("change", "attendue"),
    [
        ({"symbole": "BTC/USTD"}, module.ErreurDemande),
        ({"timeframe": "7m"}, module.ErreurDemande),
        ({"inconnue": 1}, module.ErreurDemande),
        ({"exchange": "binnance"}, module.ErreurDemande),
    ],
)
def test_les_fautes_sont_des_exceptions_du_module(
    options: dict[str, Any], change: dict[str, Any], attendue: type[Exception], tmp_path: Path
) -> None:
    """Rattrapables par leur racine, avec un conseil ; rien n'est écrit."""
    with pytest.raises(attendue):
        module.telecharger_ohlcv(**{**options, "sortie": "a.csv", **change})
    assert list(tmp_path.iterdir()) == []


def test_un_echec_apres_essais_est_une_exception(bourse: Bourse, options: dict[str, Any]) -> None:
    bourse.pannes.ajouter(Panne("html", "klines"))
    with pytest.raises(module.ErreurTemporaire, match="Réponse illisible"):
        module.telecharger_ohlcv(**options, essais=1)


def test_une_table_incomplete_avertit(bourse: Bourse, options: dict[str, Any]) -> None:
    """Ce que la commande dit par son code 3 : qui ne regarde que la table ne le saurait pas.."""
    kraken = {**options, "exchange": "kraken", "symbole": "BTC/USD", "config_ccxt": bourse.config_ccxt("kraken")}
    with pytest.warns(UserWarning, match=r"BTC/USD 1m .*hors_fenetre_api") as dits:
        assert module.telecharger(**kraken).num_rows == 0
    assert dits[0].filename == __file__

    async def emploi() -> Any:
        return await module.telecharger_async(**{**options, "symbole": None, "symbols": ["BTC/USDT", "BTCC/USDT"]})

    with pytest.warns(UserWarning, match=r"BTCC/USDT : Symbole inconnu.*BTC/USDT") as dits:
        assert asyncio.run(emploi()).num_rows == 60
    assert dits[0].filename == __file__


def test_l_exchange_s_ouvre_et_se_ferme(bourse: Bourse) -> None:
    """L'instance ccxt est rendue utilisable ; sa session est fermée à la sortie."""

    async def emploi() -> Any:
        async with module.ouvrir_exchange(config_ccxt=bourse.config_ccxt("binance")) as connexion:
            await connexion.charger_marches()
            assert "BTC/USDT" in connexion.api.markets
            return connexion.api

    assert asyncio.run(emploi()).session is None


def test_plusieurs_symboles_sont_tries_par_cle(options: dict[str, Any]) -> None:
    del options["symbole"]
    table = module.telecharger_ohlcv(**options, symbols=["ETH/USDT", "BTC/USDT"])
    assert table["symbole"].to_pylist() == ["BTC/USDT"] * 60 + ["ETH/USDT"] * 60
