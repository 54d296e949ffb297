"""Une horloge de test : les attentes se déroulent dans leur ordre, sans qu'aucune n'ait lieu."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable


@dataclass
class Temps:
    """Une horloge qui n'avance que quand tout le monde dort."""

    instant: float = 1_000.0
    sommeils: list[float] = field(default_factory=list)
    _reveils: list[tuple[float, asyncio.Future[None]]] = field(default_factory=list)

    def horloge(self) -> float:
        """L'heure, en secondes."""
        return self.instant

    async def dormir(self, duree_s: float) -> None:
        """Dort jusqu'à l'heure dite ; c'est `derouler` qui fait avancer l'heure."""
        assert duree_s >= 0
        self.sommeils.append(duree_s)
        reveil: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._reveils.append((self.instant + duree_s, reveil))
        await reveil

    async def derouler(self, *taches: Awaitable[object]) -> list[object]:
        """Fait avancer l'heure de réveil en réveil, jusqu'à la fin de toutes les tâches."""
        groupe = asyncio.gather(*taches, return_exceptions=True)
        while not groupe.done():
            for _ in range(20):  # laisse chacun aller jusqu'à son prochain sommeil
                await asyncio.sleep(0)
            if self._reveils:
                self._reveils.sort(key=lambda reveil: reveil[0])
                heure, reveil = self._reveils.pop(0)
                self.instant = max(self.instant, heure)
                if not reveil.done():  # qui dormait a pu être annulé
                    reveil.set_result(None)
        return list(groupe.result())
