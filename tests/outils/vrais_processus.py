"""De vrais processus sans payer à chacun l'import de pyarrow et de ccxt : ceux que les tests tuent."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import runpy
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
from multiprocessing import forkserver
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from attente import PLAFOND_S
from ligne_de_commande import CONDAMNES, jusqua

import module_ccxt_fr_v2 as m
from annexes_ccxt_fr import octets_douteux

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from multiprocessing.process import BaseProcess

# pandas : pyarrow l'importe à la première table faite d'objets, s'il est installé, un tiers de seconde.
IMPORTS_FAITS = (
    "sorties_modeles", "pyarrow.parquet", "pyarrow.csv", "pyarrow.feather", "pandas", "filelock", "ccxt.pro",
)  # fmt: skip


def processus_neufs() -> Any:
    """De quoi lancer de vrais processus, nés d'un serveur qui a fait leurs imports."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        pytest.skip("demande forkserver (Linux, macOS)")
    contexte = multiprocessing.get_context("forkserver")
    contexte.set_forkserver_preload([__name__, *IMPORTS_FAITS])
    # Avant Python 3.13.1, le serveur naît sans le sys.path de pytest et tait les imports qu'il manque : chaque enfant
    # les referait, une seconde à chacun.
    with pytest.MonkeyPatch.context() as milieu:
        milieu.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
        forkserver.ensure_running()
    return contexte


def condamner(arguments: list[str]) -> BaseProcess:
    """La ligne de commande dans un processus que le test tuera ; qui juge une fin normale lance le script."""
    processus: BaseProcess = processus_neufs().Process(target=_executer, args=(arguments,), daemon=True)
    processus.start()
    CONDAMNES.append(processus)
    return processus


def _executer(arguments: list[str]) -> None:
    sys.exit(m.principal(arguments))


PIECES = ("module_ccxt_fr_v2", "annexes_ccxt_fr", "bourse_locale")


def executer_seul(script: Path, arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Ce script, lancé de son dossier, dans un processus où rien d'autre du dépôt ne s'importe."""
    dits = [script.with_name(f"{script.stem}.{flux}") for flux in ("stdout", "stderr")]
    processus = processus_neufs().Process(target=_executer_seul, args=(script, arguments, dits), daemon=True)
    processus.start()
    CONDAMNES.append(processus)
    processus.join(PLAFOND_S)
    assert processus.exitcode is not None, "n'a pas fini"
    lus = [dit.read_text(encoding="utf-8") for dit in dits]
    for dit in dits:
        dit.unlink()
    return subprocess.CompletedProcess([str(script), *arguments], processus.exitcode, *lus)


def _executer_seul(script: Path, arguments: Sequence[str], dits: Sequence[Path]) -> None:
    for descripteur, dit in enumerate(dits, start=1):
        os.dup2(os.open(dit, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), descripteur)
    os.chdir(script.parent)
    depot = Path(m.__file__).parent
    sys.path[:] = [str(script.parent), *(c for c in sys.path if not Path(c).resolve().is_relative_to(depot))]
    for nom in [nom for nom in sys.modules if nom.partition(".")[0] in PIECES]:
        del sys.modules[nom]
    sys.modules |= dict.fromkeys(PIECES[1:])  # type: ignore[arg-type]  # installé, le projet s'importe de partout
    sys.argv = [script.name, *arguments]
    runpy.run_path(script.name, run_name="__main__")


def tuer(processus: BaseProcess, quand: Callable[[], bool], apres_s: float = 0.0) -> None:
    """`kill -9`, un instant après que la condition est vraie, ou que le processus a fini de lui-même."""
    jusqua(lambda: quand() or not processus.is_alive())
    processus.join(apres_s)
    processus.kill()
    processus.join()


# Ce qui change le disque, d'après Python ; ouvrir un fichier n'en est que pour y écrire.
GESTES = {"os.rename", "os.remove", "os.link", "os.truncate", "shutil.copyfile"}
REQUETES = ("BEGIN IMMEDIATE", "COMMIT", "PRAGMA journal_mode", "PRAGMA wal_checkpoint")
GESTES_MAX = 90


def mourir_a_chaque_geste(sain: Path, lieu: Path, agir: Callable[..., object], *arguments: Any) -> list[Path]:
    """Agit sur une copie de la sortie par geste que cela fait, tuée (`kill -9`) juste avant lui.

    Rend les copies ; la dernière est allée au bout.
    """
    corps = (sain, lieu, agir, arguments)
    processus = processus_neufs().Process(target=_mourir_a_chaque_geste, args=corps, daemon=True)
    processus.start()
    CONDAMNES.append(processus)
    processus.join(PLAFOND_S)
    assert processus.exitcode == 0
    return [lieu / str(rang) / sain.name for rang in range(1, len(list(lieu.iterdir())) + 1)]


def _mourir_a_chaque_geste(sain: Path, lieu: Path, agir: Callable[..., object], arguments: Sequence[Any]) -> None:
    octets_douteux.lire_a_part = lambda *_: ""  # bien formés, ils ne tueraient personne
    with tempfile.TemporaryDirectory() as chaud:  # ce qui s'importe au premier usage ne l'est qu'une fois
        agir(Path(shutil.copytree(sain.parent, Path(chaud) / "d")) / sain.name, *arguments)
    for rang in range(1, GESTES_MAX):
        copie = Path(shutil.copytree(sain.parent, lieu / str(rang))) / sain.name
        if not (pid := os.fork()):
            _agir_puis_mourir(rang, agir, copie, *arguments)
        fin = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if fin != -signal.SIGKILL:
            sys.exit(fin)
    sys.exit(GESTES_MAX)


def _agir_puis_mourir(rang: int, agir: Callable[..., object], *arguments: Any) -> None:
    gestes = itertools.count(1)

    def compter() -> None:
        if next(gestes) == rang:
            os.kill(os.getpid(), signal.SIGKILL)

    def guetter(evenement: str, dit: tuple[Any, ...]) -> None:
        ecrit = evenement == "open" and isinstance(dit[2], int) and dit[2] & (os.O_WRONLY | os.O_RDWR)
        if ecrit or evenement in GESTES:
            compter()

    def connecter(*bornes: Any, **reglages: Any) -> sqlite3.Connection:
        base: sqlite3.Connection = ouvrir(*bornes, **reglages)
        base.set_trace_callback(lambda requete: compter() if requete.startswith(REQUETES) else None)
        return base

    ouvrir: Any = sqlite3.connect
    sqlite3.connect = connecter  # type: ignore[assignment]

    fin = 1
    try:
        sys.addaudithook(guetter)
        agir(*arguments)
        fin = 0
    finally:
        os._exit(fin)
