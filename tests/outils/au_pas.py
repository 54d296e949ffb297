"""Une bourse dont l'heure suit le travail des boucles : une machine chargée ralentit le marché, et les durées avec lui.

L'heure n'avance que quand le client et le serveur ont tous deux fait un tour. Sans charge, elle va au pas demandé ;
sous charge, rien de ce qui est joué n'a moins de tours pour avoir lieu.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import dataclasses
import math
from typing import TYPE_CHECKING

from attente import attendre_ici

import module_ccxt_fr_v2 as m
from bourse_locale.serveur import Horloge

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bourse_locale import Bourse

TOUR_S = 0.01
TOUR_MAX_S = 0.02  # ce qu'un tour fait avancer au plus, si longtemps qu'il ait duré,
TOUR_MAX_MS = 6_000  # ou cela, du marché : dites d'un coup, les trames de plus d'une grâce ne seraient plus crues
SANS_TOUR_S = 600.0  # en vrai temps : un essai bloqué finit
REGARD_S = 0.05  # entre deux regards sur les faits attendus
PATIENCE = 6  # fois la durée : un fait qui ne vient pas n'est pas attendu au-delà


class HorlogeAuPas(Horloge):
    """Une heure que seul `battre` fait avancer."""

    def __init__(self, bourse: Bourse) -> None:
        """Reprend celle de cette bourse, qui devient la sienne."""
        super().__init__(bourse.maintenant_ms(), bourse.horloge.acceleration, 0)
        self.ecoule_s = 0.0
        self._bourse = bourse
        self._battement: asyncio.Task[None] | None = None
        bourse.horloge = self

    def maintenant_ms(self) -> int:
        """L'heure de l'exchange."""
        return self._depart_ms + int(self.ecoule_s * 1000 * self.acceleration) + self.decalage_ms

    def regler(self, acceleration: float) -> None:
        """Change d'allure, sans changer d'heure."""
        self._depart_ms = self.maintenant_ms() - self.decalage_ms - int(self.ecoule_s * 1000 * acceleration)
        self.acceleration = acceleration

    async def dormir(self, duree_s: float) -> None:
        """Attend que cette durée ait passé, à cette heure-ci."""
        fin_s = self.ecoule_s + duree_s
        await attendre_ici(lambda: self.ecoule_s >= fin_s, SANS_TOUR_S)

    def lancer(self) -> None:
        """L'heure court, dans la boucle du client, jusqu'à ce que celle-ci finisse."""
        if self._battement is None or self._battement.done():
            self._battement = asyncio.ensure_future(self._battre())

    async def _battre(self) -> None:
        boucle = asyncio.get_running_loop()
        avant = boucle.time()
        while True:
            await asyncio.sleep(TOUR_S)
            await self._bourse.faire_un_tour()
            plafond_s = max(TOUR_MAX_S, TOUR_MAX_MS / 1000 / self.acceleration) if self.acceleration > 1 else math.inf
            self.ecoule_s += min(boucle.time() - avant, plafond_s)
            avant = boucle.time()


    async def arreter(self) -> None:
        """L'heure ne court plus."""
        if self._battement is not None:
            self._battement.cancel()
            await asyncio.gather(self._battement, return_exceptions=True)


@dataclasses.dataclass
class Pas:
    """L'heure à laquelle se comptent les durées, et ce sans quoi un flux ne finit pas."""

    horloge: HorlogeAuPas
    assez: Callable[[], bool]


_pas: contextvars.ContextVar[Pas | None] = contextvars.ContextVar("_pas", default=None)
_vrai_compte = m.compte_a_rebours


def _compte_a_rebours(duree_s: float | None) -> Callable[[], float]:
    """Celui de la bourse au pas ; ailleurs, le vrai."""
    pas = _pas.get()
    if pas is None or duree_s is None:
        return _vrai_compte(duree_s)
    pas.horloge.lancer()
    debut_s = pas.horloge.ecoule_s

    def reste_s() -> float:
        passee_s = pas.horloge.ecoule_s - debut_s
        finie = passee_s >= duree_s and (pas.assez() or passee_s >= PATIENCE * duree_s)
        return 0.0 if finie else REGARD_S

    return reste_s


m.compte_a_rebours = _compte_a_rebours


@contextlib.contextmanager
def au_pas(bourse: Bourse, assez: Callable[[], bool] = lambda: True) -> Iterator[HorlogeAuPas]:
    """L'heure de cette bourse, où se comptent aussi les durées des flux, qui s'allongent jusqu'à `assez`."""
    horloge = HorlogeAuPas(bourse)
    jeton = _pas.set(Pas(horloge, assez))
    try:
        yield horloge
    finally:
        _pas.reset(jeton)


async def dormir(duree_s: float) -> None:
    """Attend que cette durée ait passé, à l'heure de la bourse au pas."""
    pas = _pas.get()
    assert pas is not None, "hors d'une bourse au pas"
    await pas.horloge.dormir(duree_s)
