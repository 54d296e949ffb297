"""De vrais processus sans payer à chacun l'import de pyarrow et de ccxt : ceux que les tests tuent."""

from __future__ import annotations

import multiprocessing
import os
import sys
from multiprocessing import forkserver
from typing import TYPE_CHECKING, Any

import pytest
from ligne_de_commande import CONDAMNES, jusqua

import module_ccxt_fr_v2 as m

if TYPE_CHECKING:
    from collections.abc import Callable
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


def tuer(processus: BaseProcess, quand: Callable[[], bool], apres_s: float = 0.0) -> None:
    """`kill -9`, un instant après que la condition est vraie, ou que le processus a fini de lui-même."""
    jusqua(lambda: quand() or not processus.is_alive())
    processus.join(apres_s)
    processus.kill()
    processus.join()
