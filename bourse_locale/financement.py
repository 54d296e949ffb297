"""Les relevés d'un contrat simulé : taux de financement et intérêt ouvert, déduits du marché, sans rien garder.

L'intervalle entre deux financements change d'un jour à l'autre, comme chez les vrais exchanges : huit heures le plus
souvent, quatre ou une certains jours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from bourse_locale.marche import JOUR_MS, MINUTE_MS, empreinte

if TYPE_CHECKING:
    from bourse_locale.marche import Instrument, Marche

HEURE_MS = 3_600_000
DECIMALES_TAUX = 8
TOUS = slice(None)
HEURES_POSSIBLES = (8, 8, 8, 8, 8, 4, 4, 1)


class Financement(NamedTuple):
    """Un règlement : son instant, son taux en 1e-8, le prix de marque en ticks."""

    ts: int
    taux: int
    marque: int


class Interet(NamedTuple):
    """L'intérêt ouvert à un instant : en lots (contrats d'un inverse), et le prix en ticks qui l'évalue."""

    ts: int
    lots: int
    prix: int


def prix_de_marque(marche: Marche, instrument: Instrument, ts: int) -> int:
    """Rend un prix de marque, en ticks : le niveau de la minute d'un instant."""
    return marche.jour(instrument, ts // JOUR_MS).niveaux[ts % JOUR_MS // MINUTE_MS]


def instants_de_financement(marche: Marche, instrument: Instrument, debut_ms: int, fin_ms: int) -> list[int]:
    """Rend les instants des règlements de [debut_ms, fin_ms[, croissants ; le premier suit la cotation."""
    debut_ms = max(debut_ms, instrument.cotation_ms + 1)
    instants: list[int] = []
    for jour in range(debut_ms // JOUR_MS, -(-fin_ms // JOUR_MS)):
        heures = HEURES_POSSIBLES[empreinte(marche.graine, instrument.symbole, "intervalle", jour) % 8]
        instants += range(jour * JOUR_MS, (jour + 1) * JOUR_MS, heures * HEURE_MS)
    return [ts for ts in instants if debut_ms <= ts < fin_ms]


def financements(
    marche: Marche, instrument: Instrument, debut_ms: int, fin_ms: int, garder: slice = TOUS
) -> list[Financement]:
    """Rend les règlements de [debut_ms, fin_ms[ : tous, ou ceux que `garder` en tire (le prix des autres coûte)."""
    return [
        Financement(
            ts,
            empreinte(marche.graine, instrument.symbole, "taux", ts) % 40_001 - 20_000,
            prix_de_marque(marche, instrument, ts),
        )
        for ts in instants_de_financement(marche, instrument, debut_ms, fin_ms)[garder]
    ]


def interets(marche: Marche, instrument: Instrument, pas_ms: int, debut_ms: int, fin_ms: int) -> list[Interet]:
    """Rend l'intérêt ouvert aux instants de la grille de [debut_ms, fin_ms[."""
    debut = -(-max(debut_ms, instrument.cotation_ms) // pas_ms) * pas_ms
    return [
        Interet(
            ts,
            100_000 + empreinte(marche.graine, instrument.symbole, "interet", ts) % 50_000,
            prix_de_marque(marche, instrument, ts),
        )
        for ts in range(debut, fin_ms, pas_ms)
    ]
