"""Une boucle asyncio où le temps ne passe que quand tout le monde dort : rien n'y dépend de la vitesse de la machine.

Les sockets sont vrais : ce qui est écrit dans l'un est lu de l'autre, dans la même boucle, avant que l'heure n'avance.
Un calcul, si long qu'il soit, ne dure pas ; une attente, si longue qu'elle soit, n'a pas lieu.
"""

from __future__ import annotations

import asyncio
import os
import selectors
import threading
import time
from typing import TYPE_CHECKING, Any

import aiohttp.connector
import pytest
from ccxt.async_support.base import throttler

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

TOUR_S = 1e-6  # ce que dure un tour de boucle : qui compare deux instants voit le second après le premier


class _Selecteur(selectors.DefaultSelector):
    """Ce qui est prêt, tout de suite ; quand rien ne l'est, l'heure saute au prochain réveil."""

    def __init__(self) -> None:
        super().__init__()
        self.ecoule_s = 0.0
        self.en_fil = 0  # appels confiés à des fils : leur fin réveille la boucle, l'heure l'attend

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Comme d'ordinaire, sans jamais dormir tant qu'il y a un réveil à venir."""
        self.ecoule_s += TOUR_S
        prets = super().select(0)
        if prets or (timeout is not None and timeout <= 0):
            return prets
        if timeout is None or self.en_fil:
            return super().select(None)
        os.sched_yield()  # le noyau peut avoir remis à plus tard ce qui est déjà écrit
        prets = super().select(0)
        if not prets:
            self.ecoule_s += timeout
        return prets


class _Boucle(asyncio.SelectorEventLoop):
    """La boucle ordinaire, à l'heure de son sélecteur."""

    def __init__(self) -> None:
        self._selecteur = _Selecteur()
        self._depart_s = time.monotonic()
        super().__init__(self._selecteur)

    def time(self) -> float:
        """L'heure simulée, en secondes."""
        return self._depart_s + self._selecteur.ecoule_s

    @property
    def ecoule_s(self) -> float:
        """Depuis l'ouverture de la boucle."""
        return self._selecteur.ecoule_s

    def run_in_executor(  # type: ignore[override]  # typeshed le rend plus précis qu'une redéfinition ne peut l'être
        self, executor: Any, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        """Un fil ne dure pas non plus : l'heure s'arrête jusqu'à ce qu'il ait rendu."""
        rendu = super().run_in_executor(executor, func, *args)
        self._selecteur.en_fil += 1
        rendu.add_done_callback(self._fil_rendu)
        return rendu

    def _fil_rendu(self, _rendu: object) -> None:
        self._selecteur.en_fil -= 1


def derouler(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Comme `asyncio.run`, au temps simulé ; les autres fils gardent l'heure vraie."""
    with asyncio.Runner(loop_factory=_Boucle) as coureur, pytest.MonkeyPatch.context() as rustine:
        boucle, fil = coureur.get_loop(), threading.get_ident()
        assert isinstance(boucle, _Boucle)
        monotone, heure, heure_ns = time.monotonic, time.time, time.time_ns
        depart_ns = heure_ns()

        def ici() -> bool:
            return threading.get_ident() == fil

        def simulee_ns() -> int:
            return depart_ns + round(boucle.ecoule_s * 1e9) if ici() else heure_ns()

        def simulee() -> float:
            return depart_ns / 1e9 + boucle.ecoule_s if ici() else heure()

        def monotone_simulee() -> float:
            return boucle.time() if ici() else monotone()

        rustine.setattr(time, "monotonic", monotone_simulee)
        rustine.setattr(time, "time", simulee)
        rustine.setattr(time, "time_ns", simulee_ns)
        # Qui a pris la fonction au lieu du module.
        rustine.setattr(aiohttp.connector, "monotonic", monotone_simulee)
        rustine.setattr(throttler, "time", simulee)
        return coureur.run(coroutine)
