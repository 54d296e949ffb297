"""Dire où l'on en est : une barre sur un terminal, une ligne de journal de temps en temps sinon."""

from __future__ import annotations

import contextlib
import functools
import logging
import sys
import time
from typing import TYPE_CHECKING, Any

from module_ccxt_fr_v2 import TACHE_COURANTE, Avancement, CleSerie, SortieJournal, en_iso, importer, journal, nombre_de

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PERIODE_PROGRESSION_S = 10.0
PERIODE_BARRE_S = 0.1


@contextlib.contextmanager
def montrer(taches: Sequence[str] = ()) -> Iterator[Progression]:
    """La progression de ce qui suit, effacée à la fin ; `taches` : celles du lot."""
    progression = Progression(active=journal.isEnabledFor(logging.INFO), taches=taches)
    try:
        yield progression
    finally:
        progression.fermer()


class Progression:
    """Une barre sur un terminal, une ligne de journal de temps en temps sinon ; `taches` : celles du lot."""

    def __init__(self, *, active: bool, taches: Sequence[str] = ()) -> None:
        self._taches = list(taches)
        self._parts: dict[CleSerie, float] = {}
        self._nom = ""
        self._lignes = 0
        self._derniere = time.monotonic()
        self._barre: Any = None
        if active and sys.stderr is not None and sys.stderr.isatty():
            tqdm = importer("tqdm", "La barre de progression").tqdm
            # Ni part ni barre avant le premier pas : un flux, ou une connexion lente, semblerait figé à 0 %.
            self._barre = tqdm(total=100, desc="connexion", bar_format=self.FORME_FLUX, leave=False, dynamic_ncols=True)
            SortieJournal.hors_de_la_barre = functools.partial(tqdm.external_write_mode, file=sys.stderr)

    FORME = "{percentage:3.0f} % |{bar}| {desc} [{elapsed} < {remaining}]"
    FORME_FLUX = "{desc} [{elapsed}]"  # un flux n'a pas de fin vers où avancer

    def __call__(self, pas: Avancement) -> None:
        """Un pas de plus."""
        nom = TACHE_COURANTE.get() or ""
        if nom != self._nom:  # la tâche suivante du lot : ses séries, même de mêmes noms, sont à faire
            self._nom, self._lignes = nom, 0
            self._parts.clear()
        if pas.demande is None:
            self._montrer(pas.allure, self.FORME_FLUX)
            return
        debut, fin = pas.demande
        self._parts[pas.cle] = min(1.0, max(0.0, (pas.instant - debut) / (fin - debut))) if fin > debut else 1.0
        self._lignes += pas.lignes
        if self._barre is not None:
            self._barre.n = round(100 * self._part(pas.series), 1)
            self._montrer(f"{nombre_de(self._lignes, 'ligne')}, {pas.cle.symbole} à {en_iso(pas.instant)}", self.FORME)
        elif time.monotonic() - self._derniere > PERIODE_PROGRESSION_S:
            self._derniere = time.monotonic()
            lignes, part = nombre_de(self._lignes, "ligne"), round(100 * self._part(pas.series))
            journal.info("%s : %s, jusqu'à %s (%d %%).", pas.cle, lignes, en_iso(pas.instant), part)

    def _montrer(self, phrase: str, forme: str) -> None:
        if self._barre is not None and time.monotonic() - self._derniere > PERIODE_BARRE_S:
            self._derniere = time.monotonic()
            self._barre.bar_format = forme
            self._barre.set_description_str(f"{self._nom} : {phrase}" if self._nom else phrase)

    def _part(self, series: int) -> float:
        """La part faite : les tâches d'avant, et celle des séries de la tâche en cours."""
        part = sum(self._parts.values()) / max(series, len(self._parts))
        if self._nom not in self._taches:
            return part
        return (self._taches.index(self._nom) + part) / len(self._taches)

    def fermer(self) -> None:
        """Efface la barre."""
        SortieJournal.hors_de_la_barre = contextlib.nullcontext
        if self._barre is not None:
            self._barre.close()
