"""Dire où l'on en est : une barre sur un terminal, une ligne de journal de temps en temps sinon."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import logging
import sys
import time
from typing import TYPE_CHECKING, Any

from module_ccxt_fr_v2 import (
    HEURE_MS,
    SECONDE_MS,
    TACHE_COURANTE,
    Avancement,
    CleSerie,
    decimal_lisible,
    duree_lisible,
    en_iso,
    importer,
    instants_de,
    journal,
    nombre_de,
    oter,
    timeframe_de,
    type_des_colonnes,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from module_ccxt_fr_v2 import Connexion, Fil, Lot, Suivi

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
        self._pile = contextlib.ExitStack()
        if active and sys.stderr is not None and sys.stderr.isatty():
            tqdm = importer("tqdm", "La barre de progression").tqdm
            # Ni part ni barre avant le premier pas : un flux, ou une connexion lente, semblerait figé à 0 %.
            self._barre = tqdm(total=100, desc="connexion", bar_format=self.FORME_FLUX, leave=False, dynamic_ncols=True)
            # Le temps d'une ligne de journal, la barre s'efface, au lieu que la ligne s'y colle.
            journaux = importer("tqdm.contrib.logging", "La barre de progression")
            filtres = [filtre for sortie in journal.handlers for filtre in sortie.filters]
            self._pile.enter_context(journaux.logging_redirect_tqdm([journal]))
            for sortie in journal.handlers:  # tqdm 4.66.0 oublie ceux de la sortie qu'il remplace
                sortie.filters = list(filtres)

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
            lignes, part = nombre_de(self._lignes, "ligne"), round(100 * self._part_de_la_tache(pas.series))
            journal.info("%s : %s, jusqu'à %s (%d %%).", pas.cle, lignes, en_iso(pas.instant), part)

    def _montrer(self, phrase: str, forme: str) -> None:
        if self._barre is not None and time.monotonic() - self._derniere > PERIODE_BARRE_S:
            self._derniere = time.monotonic()
            self._barre.bar_format = forme
            self._barre.set_description_str(f"{self._nom} : {phrase}" if self._nom else phrase)

    def _part(self, series: int) -> float:
        """La part faite : les tâches d'avant, et celle des séries de la tâche en cours."""
        part = self._part_de_la_tache(series)
        if self._nom not in self._taches:
            return part
        return (self._taches.index(self._nom) + part) / len(self._taches)

    def _part_de_la_tache(self, series: int) -> float:
        return sum(self._parts.values()) / max(series, len(self._parts))

    def fermer(self) -> None:
        """Efface la barre."""
        self._pile.close()
        if self._barre is not None:
            self._barre.close()


# --- Un flux ---

BATTEMENT_S = 60.0  # entre deux lignes de journal d'un flux qui va bien
AFFICHAGE_S = 0.5  # entre deux pas de progression d'un flux

# Le prix d'une ligne : d'un carnet, celui du meilleur acheteur. Ajouter un type de flux : une ligne.
PRIX_DIT: Mapping[str, Callable[[Mapping[str, Any]], float | None]] = {
    "ohlcv": lambda ligne: ligne["close"],
    "trades": lambda ligne: ligne["price"],
    "ticker": lambda ligne: ligne["last"],
    "orderbook": lambda ligne: ligne["bids"][0]["price"] if ligne["bids"] else None,
}


class Allure:
    """Ce qu'un flux montre de lui : lignes reçues, débit récent, retard sur l'exchange, dernier prix."""

    FENETRE_S = 10.0  # du débit

    def __init__(self, instant_s: float) -> None:
        self.lignes = 0
        self.dernier: Lot | None = None
        self._jalons = collections.deque([(instant_s, 0)])

    def noter(self, lot: Lot) -> None:
        """Un lot de plus."""
        if lot.lignes.num_rows:
            self.lignes += lot.lignes.num_rows
            self.dernier = lot

    @property
    def fin_ms(self) -> int | None:
        """L'instant jusqu'où la dernière ligne dit le marché : la clôture d'une bougie, l'horodatage du reste."""
        if self.dernier is None:
            return None
        cle, instant = self.dernier.cle, instants_de(self.dernier.lignes.slice(self.dernier.lignes.num_rows - 1))[0]
        return timeframe_de(cle.exchange, cle.timeframe).avancer(instant, 1) if cle.timeframe else instant

    def dire(self, instant_s: float, heure_ms: int) -> str:
        """« 1234 lignes, 12,3/s, retard 0,4 s, BTC/USDT à 70123,5 »."""
        debut_s, avant = self._jalons[0]
        if instant_s - self._jalons[-1][0] >= 1:
            self._jalons.append((instant_s, self.lignes))
        while len(self._jalons) > 1 and instant_s - self._jalons[1][0] >= self.FENETRE_S:
            self._jalons.popleft()
        debit = (self.lignes - avant) / max(1.0, instant_s - debut_s)
        morceaux = [nombre_de(self.lignes, "ligne"), decimal_lisible(f"{debit:.1f}/s")]
        if self.dernier is not None and self.fin_ms is not None:
            morceaux.append(f"retard {duree_lisible(max(0, heure_ms - self.fin_ms) / SECONDE_MS)}")
            (ligne,) = self.dernier.lignes.slice(self.dernier.lignes.num_rows - 1).to_pylist()
            donnee = type_des_colonnes(self.dernier.lignes.column_names)
            if donnee and (prix := PRIX_DIT[donnee.nom](ligne)) is not None:
                morceaux.append(f"{self.dernier.cle.symbole} à {decimal_lisible(f'{prix:.10g}')}")
        return ", ".join(morceaux)


class Battement:
    """Dit où en est un flux : à la progression souvent, au journal une fois par minute."""

    def __init__(self, connexion: Connexion, fils: Sequence[Fil], suivi: Suivi) -> None:
        self._connexion, self._fils, self._suivi = connexion, fils, suivi
        self._horloge = asyncio.get_running_loop().time
        self._dit_s = self._montre_s = self._horloge()
        self._allure = Allure(self._dit_s)
        heure_ms = connexion.heure_ms()
        for fil in fils:  # des jours de bougies, avant la première du direct : des minutes sans un mot
            manques = oter([(fil.du_depuis or heure_ms, heure_ms)], fil.fiche.connus())
            if manques and heure_ms - manques[0][0] > HEURE_MS:
                journal.info("%s : ce qui manque depuis %s est à relire par REST.", fil.cle, en_iso(manques[0][0]))

    def __call__(self, lots: Sequence[Lot]) -> None:
        """Des lots de plus, ou aucun."""
        for lot in lots:
            self._allure.noter(lot)
        instant_s, heure_ms, dernier = self._horloge(), self._connexion.heure_ms(), self._allure.dernier
        if instant_s - self._montre_s >= AFFICHAGE_S and dernier is not None:
            self._montre_s = instant_s
            dite, fin_ms = self._allure.dire(instant_s, heure_ms), self._allure.fin_ms or 0
            self._suivi(Avancement(dernier.cle, fin_ms, None, self._allure.lignes, len(self._fils), dite))
        if instant_s - self._dit_s >= BATTEMENT_S:
            self._dit_s = instant_s
            reconnexions = nombre_de(sum(fil.compteurs.reconnexions for fil in self._fils), "reconnexion")
            journal.info("Flux : %s, %s.", self._allure.dire(instant_s, heure_ms), reconnexions)
