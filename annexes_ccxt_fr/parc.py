"""Le parc : ce que partagent les connexions d'une même exécution, quand elle a plusieurs tâches.

Une session et des marchés par réglages, un débit par exchange. Une tâche seule s'en passe.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, Self

from annexes_ccxt_fr.pauses import Debit, Pauses, debit_de
from module_ccxt_fr_v2 import (
    Connexion,
    NatureMarche,
    Reglages,
    Tache,
    bourse_embarquee,
    instancier,
    passer_marches,
    reglages_de,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
    from pathlib import Path


class SessionPartagee:
    """Ce que se passent les connexions de mêmes réglages : la session HTTP, les marchés chargés, le débit."""

    def __init__(self, reglages: Reglages, debit: Debit) -> None:
        self.souche = instancier(reglages)  # tient la session et les marchés, ne demande rien
        self.reglages, self.debit = reglages, debit
        self._natures: set[NatureMarche] = set()
        self._verrou = asyncio.Lock()  # une lecture des marchés à la fois

    @contextlib.asynccontextmanager
    async def preter_marches(self, api: Any, natures: Iterable[NatureMarche]) -> AsyncIterator[set[NatureMarche]]:
        """Donne à une instance les marchés déjà chargés, puis garde les siens pour les suivantes."""
        async with self._verrou:
            if self.souche.markets:
                _passer(self.souche, api)
            self._natures |= set(natures)
            yield self._natures
            _passer(api, self.souche)

    async def __aenter__(self) -> Self:
        await self.souche.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.souche.close()


def _passer(source: Any, cible: Any) -> None:
    """Les marchés, et la date de leur réponse : la seule heure d'un exchange sans fetchTime (hitbtc)."""
    passer_marches(source, cible)
    cible.date_serveur, cible.date_recue_ms = source.date_serveur, source.date_recue_ms


class ConnexionPartagee(Connexion):
    """Une connexion sur la session d'une autre ; son instance ccxt est neuve (4 ms).

    Les abonnements d'un flux meurent ainsi avec sa tâche.
    """

    def __init__(self, session: SessionPartagee) -> None:
        super().__init__(session.reglages, session.debit)
        self._session = session
        self.api.session, self.api.own_session = session.souche.session, False
        self.api.ssl_context = session.souche.ssl_context  # lire les certificats coûte 25 ms

    async def charger_marches(self, symboles: Sequence[str] = (), connues: Collection[NatureMarche] = ()) -> None:
        """Charge ce que les connexions d'avant n'ont pas chargé."""
        voulues = (*connues, *map(self.nature_demandee, symboles))
        async with self._session.preter_marches(self.api, voulues) as natures:
            await super().charger_marches(symboles, natures)


class Parc:
    """Les exchanges ouverts d'une exécution.

    `pauses` : celles qu'un exchange a demandées lors d'une exécution précédente, et où noter celles de celle-ci.
    """

    def __init__(self, pauses: Pauses | None = None) -> None:
        self._pauses = pauses
        self._pile = contextlib.AsyncExitStack()
        self._verrou = asyncio.Lock()
        self._sessions: list[SessionPartagee] = []
        self._debits: dict[object, Debit] = {}
        self._embarquees: dict[object, Mapping[str, Any]] = {}  # par allure, la configuration qui y mène

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._pile.aclose()
        for debit in self._debits.values():
            debit.laisser()
        if self._pauses is not None:
            self._pauses.nettoyer()

    @contextlib.asynccontextmanager
    async def ouvrir(self, tache: Tache, env: Path) -> AsyncIterator[Connexion]:
        """La connexion d'une tâche, sur ce qui est déjà ouvert."""
        allure = (tache.hors_ligne, tache.exchange, tache.stream is not None)
        async with self._verrou:
            if allure not in self._embarquees:
                self._embarquees[allure] = await self._pile.enter_async_context(bourse_embarquee(tache))
        reglages = reglages_de(tache, self._embarquees[allure], env)
        async with self.connecter(reglages, tache.hors_ligne and tache.stream) as connexion:
            yield connexion

    @contextlib.asynccontextmanager
    async def connecter(self, reglages: Reglages, serveur: object = None) -> AsyncIterator[Connexion]:
        """Une connexion neuve sur ce qui est déjà ouvert ; LimiteDeDebit si l'exchange a demandé une longue pause.

        `serveur` distingue ceux d'un même exchange qui ne comptent pas ensemble : l'embarqué a deux allures.
        """
        async with self._verrou:
            session = await self._session_de(reglages, serveur)
        session.debit.respecter_la_pause(reglages.exchange)
        async with ConnexionPartagee(session) as connexion:
            yield connexion

    async def _session_de(self, reglages: Reglages, serveur: object) -> SessionPartagee:
        for connue in self._sessions:
            if connue.reglages == reglages:
                return connue
        nouvelle = SessionPartagee(reglages, self._debit_de(reglages, serveur))
        self._sessions.append(await self._pile.enter_async_context(nouvelle))
        return nouvelle

    def _debit_de(self, reglages: Reglages, serveur: object) -> Debit:
        """Le débit d'un exchange, par adresse d'où il nous voit ; une pause notée avant y court encore."""
        cle = (reglages.exchange, reglages.proxy, reglages.sandbox, serveur)
        if cle not in self._debits:
            self._debits[cle] = debit_de(reglages, self._pauses)
        return self._debits[cle]
