"""Passer d'un trait tant que la fenêtre d'un exchange a de la place, là où l'on sait sur combien de temps il compte.

Le module s'en passe quand il est copié seul : ses requêtes partent au goutte-à-goutte.
"""

from __future__ import annotations

import collections
import functools
import math
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from module_ccxt_fr_v2 import Limiteur

PART_DE_FENETRE = 0.8  # de ce qu'un exchange admet : le reste est aux retards du réseau, et à d'autres que nous
SONDES_PAR_FENETRE = 12  # d'un exchange qui se dit plein

Usage: TypeAlias = Callable[[str, Mapping[str, str]], float | None]
"""(url, en-têtes d'une réponse) -> la part de sa fenêtre que l'exchange dit employée ; None : il n'en dit rien."""


class LimiteurAFenetre(Limiteur):
    """Le tour de passage vers un exchange dont on sait compter la fenêtre ; un refus le met au goutte-à-goutte.

    `par_s` : le poids qu'il admet par seconde ; `fenetre_s` : sur combien de temps il le compte. Le temps sans requête
    est crédité : le limiteur de ccxt fait l'inverse.
    """

    def __init__(self, par_s: float, fenetre_s: float, usage: Usage | None = None, **heure: Any) -> None:
        super().__init__(par_s, **heure)
        self.fenetre_s, self.place = fenetre_s, PART_DE_FENETRE * par_s * fenetre_s
        self.passages: collections.deque[tuple[float, float]] = collections.deque()  # (instant, poids), de la fenêtre
        self._usage = usage
        self._plein = False

    def attente_s(self, poids: float) -> float:
        maintenant = self.horloge()
        if not self.fenetre_s or (self._plein and self.libre > maintenant):
            return super().attente_s(poids)
        while self.passages and self.passages[0][0] + self.fenetre_s <= maintenant:
            self.passages.popleft()
        if not self.passages or sum(passe for _, passe in self.passages) + poids <= self.place:
            return 0.0
        return self.passages[0][0] + self.fenetre_s - maintenant

    def passer(self, poids: float) -> None:
        if not self.fenetre_s:
            super().passer(poids)
            return
        maintenant = self.horloge()
        self.passages.append((maintenant, poids))
        self.libre = maintenant + self.fenetre_s / SONDES_PAR_FENETRE  # s'il est plein : une requête à la fois

    def noter_reponse(self, url: str, entetes: Mapping[str, str]) -> None:
        part = self._usage(url, entetes) if self._usage else None
        if part is not None:
            self.noter_usage(part)

    def noter_usage(self, part: float) -> None:
        """Ce que l'exchange dit de sa fenêtre, employée par nous et par d'autres derrière la même adresse : 1, pleine.

        Au-delà de la part permise, une requête de temps en temps, jusqu'à ce qu'il la dise vidée ; un peu en dessous,
        ce peut être une réponse en retard.
        """
        if part >= PART_DE_FENETRE and not self._plein:
            self._plein = True
            self.libre = self.horloge() + self.fenetre_s / SONDES_PAR_FENETRE
        elif part < PART_DE_FENETRE / 2:
            self._plein = False

    def ralentir(self) -> None:
        super().ralentir()
        self.fenetre_s = 0.0
        self.passages.clear()

    def duree_s(self, poids: float) -> float:
        if not self.fenetre_s:
            return super().duree_s(poids)
        return max(0.0, math.ceil(poids / self.place) - 1) * self.fenetre_s


def _usage_binance(url: str, entetes: Mapping[str, str]) -> float | None:
    """Le poids de la minute, sur 6000 au comptant (1200 chez binanceus), 2400 pour les contrats."""
    poids = next((v for nom, v in entetes.items() if nom.lower() == "x-mbx-used-weight-1m"), "")
    plein = 2400 if "/api/" not in url else 1200 if "binance.us/" in url else 6000
    return int(poids) / plein if poids.isdecimal() else None


def _usage_bybit(_url: str, entetes: Mapping[str, str]) -> float | None:
    """Ce qui reste de la limite d'une route, sur ce qu'elle est."""
    dits = {nom.lower(): valeur for nom, valeur in entetes.items()}
    reste, plein = (dits.get(f"x-bapi-limit{fin}", "") for fin in ("-status", ""))
    return 1 - int(reste) / int(plein) if reste.isdecimal() and plein.isdecimal() and int(plein) else None


# Ajouter un exchange qui dit ce qu'on emploie : une ligne.
USAGES: Mapping[str, Usage] = {
    **dict.fromkeys(("binance", "binanceusdm", "binancecoinm"), _usage_binance),
    "bybit": _usage_bybit,
}


def limiteur_de(api: Any, par_s: float) -> Limiteur:
    """Le limiteur d'une instance ccxt : à fenêtre, si sa classe en donne une ; 0 (okx) n'en est pas une."""
    fenetre_s = float(api.rollingWindowSize) / 1000 if _declare_une_fenetre(api.__class__) else 0.0
    if not fenetre_s or math.isinf(par_s):
        return Limiteur(par_s)
    usages = (USAGES[parente.__name__] for parente in type(api).__mro__ if parente.__name__ in USAGES)
    return LimiteurAFenetre(par_s, fenetre_s, next(usages, None))


@functools.cache
def _declare_une_fenetre(classe: Any) -> bool:
    """Vrai si la description d'une classe donne elle-même sa fenêtre : ccxt en met une d'office, qui ne prouve rien."""
    for parente in classe.__mro__:
        decrire = vars(parente).get("describe")
        if decrire is None or ".base." in parente.__module__:
            continue
        mots = decrire.__code__.co_consts
        if any(mot == "rollingWindowSize" or (isinstance(mot, tuple) and "rollingWindowSize" in mot) for mot in mots):
            return True
    return False
