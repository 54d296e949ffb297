"""Attendre un fait, jamais une durée : le plafond n'est là que pour qu'un test qui échoue finisse."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PLAFOND_S = 120.0


def _pauses(vrai: Callable[[], object], plafond_s: float, sinon: Callable[[], str]) -> Iterator[float]:
    """Les pauses entre deux regards : brèves, mais plus longues qu'eux : les regards ralentiraient le fait."""
    limite, avant = time.monotonic() + plafond_s, time.thread_time()
    while not vrai():
        assert time.monotonic() < limite, f"le fait attendu n'est jamais venu\n{sinon()}"
        yield max(0.002, 4 * (time.thread_time() - avant))
        avant = time.thread_time()


def attendre(vrai: Callable[[], object], plafond_s: float = PLAFOND_S, sinon: Callable[[], str] = str) -> None:
    """Attend qu'une condition devienne vraie ; au-delà du plafond, échoue, et dit `sinon`."""
    for pause in _pauses(vrai, plafond_s, sinon):
        time.sleep(pause)


async def attendre_ici(
    vrai: Callable[[], object], plafond_s: float = PLAFOND_S, sinon: Callable[[], str] = str
) -> None:
    """La même attente, dans la boucle."""
    for pause in _pauses(vrai, plafond_s, sinon):
        await asyncio.sleep(pause)


class Temoin:
    """Un processus qui ne fait que calculer : ce qu'il a calculé est le temps qu'une machine libre aurait laissé."""

    def __init__(self) -> None:
        self._processus = subprocess.Popen([sys.executable, "-I", "-S", "-c", "while True: pass"])

    def arreter(self) -> float:
        """Rend ses secondes de calcul."""
        self._processus.kill()
        _, _, emploi = os.wait4(self._processus.pid, 0)
        self._processus.returncode = -signal.SIGKILL
        return emploi.ru_utime + emploi.ru_stime


@contextlib.contextmanager
def moins_de(secondes: float) -> Iterator[None]:
    """Exige que ce qui suit dure moins longtemps ; sur une machine prise, le témoin attend son tour comme le reste."""
    if not hasattr(os, "wait4"):
        pytest.skip("demande os.wait4 (Linux, macOS)")
    temoin = Temoin()
    try:
        yield
    finally:
        duree_s = temoin.arreter()
    assert duree_s < secondes
