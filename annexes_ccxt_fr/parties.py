"""Une tâche de plusieurs timeframes : l'un après l'autre, ou tous d'une même histoire de trades, lue une fois."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

from module_ccxt_fr_v2 import (
    Bilan,
    BilanSerie,
    Connexion,
    Contexte,
    ErreurCollecte,
    Execution,
    Serie,
    Sortie,
    Suivi,
    Tache,
    compter,
    executer_partie,
    groupe_de_taches,
    histoires,
    ouvrir_ecrivain,
    preparer_partie,
    resoudre_series,
    tenir,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def en_une_passe(tache: Tache) -> bool:
    """Vrai si plusieurs timeframes sont faits d'une même histoire de trades, qui n'est lue qu'une fois."""
    return bool(tache.timeframes) and tache.trades_vers_ohlcv and tache.donnee == "trades"


async def executer_parties(connexion: Connexion, tache: Tache, bilan: Bilan, suivi: Suivi, contexte: Contexte) -> None:
    """Chaque timeframe a son bilan, et son fichier ou la base qui les tient tous."""
    lire = _lire_en_une_passe if en_une_passe(tache) else _lire_l_un_apres_l_autre
    await lire(connexion, tache, bilan, suivi, contexte)


async def _lire_l_un_apres_l_autre(
    connexion: Connexion, tache: Tache, bilan: Bilan, suivi: Suivi, contexte: Contexte
) -> None:
    pretes = [  # toutes d'abord : un refus se dit avant que rien ne soit écrit
        preparer_partie(connexion, partie, Bilan(tache.exchange), suivi, contexte) for partie in tache.parties
    ]
    for execution, series in pretes:
        sien = execution.bilan
        try:
            with compter(connexion, sien, time.monotonic(), bilan):
                await executer_partie(execution, series)
            sien.conclure()
        except ErreurCollecte as erreur:
            sien.refuser(erreur)
            raise
        finally:
            absorber(bilan, sien)


async def _lire_en_une_passe(
    connexion: Connexion, tache: Tache, bilan: Bilan, suivi: Suivi, contexte: Contexte
) -> None:
    siens = [Bilan(tache.exchange) for _ in tache.parties]
    ecrivains: dict[Path, Sortie] = {}
    executions = []
    try:
        with compter(connexion, siens[0], time.monotonic(), bilan), contextlib.ExitStack() as pile:
            for partie, sien in zip(tache.parties, siens, strict=True):
                series = resoudre_series(connexion, partie, sien)
                ecrivain = ouvrir_ecrivain(partie, series, sien, contexte.sorties)
                ecrivain = ecrivains.setdefault(ecrivain.chemin, ecrivain)
                executions.append((Execution(connexion, partie, ecrivain, sien, suivi), series))
            for chemin, ecrivain in ecrivains.items():
                premier = next(sien for sien in siens if sien.sortie == chemin)  # une base n'y est qu'une fois
                pile.enter_context(tenir(ecrivain, premier))
            await _lire_ensemble(executions)
        for sien in siens:
            sien.conclure()
    except ErreurCollecte as erreur:
        for sien in siens:
            sien.refuser(erreur)
        raise
    finally:
        for sien in siens:
            tenu = next(autre for autre in siens if autre.sortie == sien.sortie)  # une base, tenue par le premier
            sien.octets, sien.modifie = tenu.octets, tenu.modifie
            absorber(bilan, sien)


async def _lire_ensemble(executions: Sequence[tuple[Execution, Sequence[Serie]]]) -> None:
    """Chaque symbole une fois, pour tous ses timeframes."""
    par_symbole: dict[str, list[tuple[Execution, Serie]]] = {}
    for execution, series in executions:
        for serie in series:
            par_symbole.setdefault(serie.cle.symbole, []).append((execution, serie))
    async with groupe_de_taches() as taches:
        for membres in par_symbole.values():
            bilans = [execution.suivre(serie) for execution, serie in membres]
            taches.create_task(executions[0][0].sous_garde(_copier_ensemble(membres, bilans), bilans))


async def _copier_ensemble(membres: Sequence[tuple[Execution, Serie]], bilans: Sequence[BilanSerie]) -> None:
    """D'une même lecture à chaque écrivain, lot par lot."""
    copies = [await e.preparer(serie, bilan) for (e, serie), bilan in zip(membres, bilans, strict=True)]
    sources = [copie.source for copie in copies]
    ensemble = histoires("trades").lots_ensemble(sources, [copie.intervalles for copie in copies])
    async with contextlib.aclosing(ensemble) as lots:
        async for rang, lot in lots:
            membres[rang][0].prendre(copies[rang], lot)
    for (execution, _), copie in zip(membres, copies, strict=True):
        execution.achever(copie)


def absorber(bilan: Bilan, partie: Bilan) -> None:
    """Ajoute à un bilan ce qu'une partie a donné et coûté."""
    bilan.parties.append(partie)
    bilan.series += partie.series
    bilan.sortie, bilan.format = partie.sortie or bilan.sortie, partie.format or bilan.format
    for nom in ("requetes", "essais", "duree_s"):
        setattr(bilan, nom, getattr(bilan, nom) + getattr(partie, nom))
    # La base de plusieurs parties ne pèse qu'une fois, ce qu'elle pèse après la dernière.
    bilan.octets = sum({une.sortie: une.octets for une in bilan.parties if une.octets}.values())
    bilan.modifie = bilan.modifie or partie.modifie
