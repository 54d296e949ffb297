"""Attendre un fait, jamais une durée : le plafond n'est là que pour qu'un test qui échoue finisse."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PLAFOND_S = 60.0


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
