"""Un temps qui ne passe que quand toutes les boucles dorment : rien n'y dépend de la vitesse de la machine.

Les sockets et les fils sont vrais : ce qui est écrit d'un côté est lu de l'autre avant que l'heure n'avance. Un calcul,
si long qu'il soit, ne dure pas ; une attente, si longue qu'elle soit, n'a pas lieu. Un autre processus n'y est pas.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import selectors
import threading
import time
from typing import TYPE_CHECKING, Any, TypeVar

import aiohttp.connector
import pytest
from ccxt.async_support.base import throttler

import module_ccxt_fr_v2 as m
from bourse_locale.marche import instant_ms

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

T = TypeVar("T")
HEURE_DES_ESSAIS = instant_ms(os.environ.get("HEURE_DES_ESSAIS", "2026-11-20T12:34:30"))
"""L'heure qu'il est pour qui ne suit que la sienne (`a_l_heure_dite`) ; le milieu en donne une autre, pour chercher."""
TOUR_S = 1e-6  # ce que dure un tour de boucle : qui compare deux instants voit le second après le premier


class Temps:
    """L'heure commune à des boucles : arrêtée, elle saute d'un réveil au suivant ; elle court quand aucune ne mène.

    Mènent celles d'`asyncio.run` ; celle d'un serveur suit : seule, elle n'a rien vers quoi courir.
    """

    def __init__(self) -> None:
        self._vraie = time.monotonic
        self._ecoule_s, self._depuis = 0.0, self._vraie()
        self._verrou = threading.RLock()
        self._boucles: list[Boucle] = []

    def ecoule_s(self) -> float:
        """Depuis le départ."""
        return self._ecoule_s + (0.0 if self.menee else self._vraie() - self._depuis)

    @property
    def menee(self) -> bool:
        """Vrai tant qu'une boucle mène : l'heure ne court pas."""
        return any(boucle.mene for boucle in self._boucles)

    def durer(self, duree_s: float) -> None:
        """Fait passer un peu de temps."""
        with self._verrou:
            self._ecoule_s += duree_s

    @contextlib.contextmanager
    def _changer(self) -> Iterator[None]:
        with self._verrou:
            self._ecoule_s = self.ecoule_s()
            yield
            self._depuis = self._vraie()
            for boucle in self._boucles:  # elles dormaient à l'ancienne façon
                boucle.reveiller()

    def entrer(self, boucle: Boucle) -> None:
        """Une boucle de plus."""
        with self._changer():
            self._boucles.append(boucle)

    def sortir(self, boucle: Boucle) -> None:
        """Une boucle de moins."""
        with self._changer():
            self._boucles.remove(boucle)

    def avancer(self) -> None:
        """Si toutes dorment et que rien n'est arrivé, saute au premier réveil."""
        with self._verrou:
            if not (self.menee and self._dorment()):
                return
            time.sleep(0)  # le noyau peut avoir remis à plus tard ce qui est déjà écrit
            if self._dorment() and (prochain := min(boucle.reveil_s for boucle in self._boucles)) < math.inf:
                self._ecoule_s = max(self._ecoule_s, prochain)
                for boucle in self._boucles:
                    if boucle.reveil_s <= prochain:
                        boucle.reveiller()

    def _dorment(self) -> bool:
        """Vrai si aucune n'a bougé pendant qu'on les regardait toutes."""
        avant = [boucle.sommeil for boucle in self._boucles]
        return (
            None not in avant
            and not any(boucle.est_servie() for boucle in self._boucles)
            and [boucle.sommeil for boucle in self._boucles] == avant
        )


class Selecteur(selectors.DefaultSelector):
    """Ce qui est prêt, tout de suite ; sinon, dort jusqu'à ce que l'heure ait sauté."""

    def __init__(self, temps: Temps) -> None:
        super().__init__()
        self.temps = temps
        self.sommeil: int | None = None  # le rang de celui où elle est
        self.reveil_s = math.inf
        self._sommeils = 0
        self.en_fil = 0  # appels confiés à des fils : leur fin réveille la boucle, l'heure l'attend

    def est_servi(self) -> bool:
        """Vrai si quelque chose est prêt, qui n'a pas été pris."""
        return bool(super().select(0))

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Comme d'ordinaire, à l'heure commune."""
        prets = super().select(0)
        self.temps.durer(TOUR_S)
        if prets or (timeout is not None and timeout <= 0):
            return prets
        if not self.temps.menee:
            return super().select(timeout)
        if self.en_fil:
            return super().select(None)
        self.reveil_s = math.inf if timeout is None else self.temps.ecoule_s() + timeout
        self._sommeils += 1
        self.sommeil = self._sommeils
        self.temps.avancer()
        prets = super().select(0 if self.sommeil is None else None)
        self.sommeil = None
        return prets


class Boucle(asyncio.SelectorEventLoop):
    """La boucle ordinaire, à l'heure commune."""

    def __init__(self, temps: Temps, *, mene: bool) -> None:
        self._selecteur, self._temps, self.mene = Selecteur(temps), temps, mene
        super().__init__(self._selecteur)
        temps.entrer(self)

    def close(self) -> None:
        """Rend l'heure aux autres."""
        if not self.is_closed():
            super().close()
            self._temps.sortir(self)

    def time(self) -> float:
        """L'heure commune, en secondes."""
        return time.monotonic()

    @property
    def sommeil(self) -> int | None:
        """Le rang du sommeil où elle est : rien à faire avant `reveil_s`."""
        return self._selecteur.sommeil

    @property
    def reveil_s(self) -> float:
        """Quand elle veut être réveillée."""
        return self._selecteur.reveil_s

    def est_servie(self) -> bool:
        """Vrai si quelque chose l'attend."""
        return self._selecteur.est_servi()

    def reveiller(self) -> None:
        """La fait revenir de son sommeil, d'un autre fil s'il le faut."""
        self._selecteur.sommeil = None
        self._write_to_self()  # type: ignore[attr-defined]

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

    async def shutdown_default_executor(self, *delai: Any) -> None:
        """Depuis 3.12, un fil attend la fin des autres, et cinq minutes plus tard on ne l'attend plus."""
        self._selecteur.en_fil += 1
        try:
            await super().shutdown_default_executor(*delai)
        finally:
            self._selecteur.en_fil -= 1


@contextlib.contextmanager
def temps_simule(depart_ms: int | None = None) -> Iterator[Temps]:
    """Les boucles qui naissent dedans vivent au temps simulé : celles d'`asyncio.run`, celles des serveurs en fil.

    `depart_ms` : l'heure qu'il y est d'abord ; sinon, l'heure vraie.
    """
    monotone, heure, heure_ns = time.monotonic, time.time, time.time_ns
    temps, depart_s = Temps(), monotone()
    depart_ns = heure_ns() if depart_ms is None else depart_ms * 1_000_000
    avant = {fil.ident for fil in threading.enumerate()} - {threading.get_ident()}  # d'autres serveurs, à l'heure vraie

    def dedans() -> bool:
        return threading.get_ident() not in avant

    def monotone_simulee() -> float:
        return depart_s + temps.ecoule_s() if dedans() else monotone()

    def heure_ns_simulee() -> int:
        return depart_ns + round(temps.ecoule_s() * 1e9) if dedans() else heure_ns()

    def heure_simulee() -> float:
        return heure_ns_simulee() / 1e9 if dedans() else heure()

    with pytest.MonkeyPatch.context() as rustine:
        rustine.setattr(time, "monotonic", monotone_simulee)
        rustine.setattr(time, "time", heure_simulee)
        rustine.setattr(time, "time_ns", heure_ns_simulee)
        # Qui a pris la fonction au lieu du module.
        rustine.setattr(aiohttp.connector, "monotonic", monotone_simulee)
        rustine.setattr(throttler, "time", heure_simulee)
        for classe in (m.Frein, m.Limiteur):
            d_office = classe.__init__.__defaults__ or ()
            rustine.setattr(
                classe.__init__, "__defaults__", tuple(monotone_simulee if d is monotone else d for d in d_office)
            )
        rustine.setattr(asyncio.events, "new_event_loop", lambda: Boucle(temps, mene=True))
        rustine.setattr(asyncio, "new_event_loop", lambda: Boucle(temps, mene=False))
        yield temps


def derouler(coroutine: Coroutine[Any, Any, T]) -> T:
    """Comme `asyncio.run`, au temps simulé."""
    with temps_simule():
        return asyncio.run(coroutine)
