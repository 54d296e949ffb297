"""Le carnet et le ticker simulés : fonctions pures de (marché, instrument, instant), communes à tous les exchanges.

`carnet(marche, instrument, instant_ms, profondeur)` rend le carnet tel qu'il est à cet instant : `profondeur` niveaux
par côté, meilleurs d'abord, jamais croisés, de part et d'autre du dernier prix échangé. Il ne change qu'au début de
chaque pas de PAS_CARNET_MS de l'horloge de l'exchange, et `sequence` croît alors de 1 : une séquence, un état. Les
niveaux tiennent à une grille de prix fixe et leur quantité ne dépend que du prix et du temps : d'un pas à l'autre, peu
de niveaux changent, et les écarts restent courts.

Émettre : l'instantané est un carnet ; la suite est `ecarts(avant, apres)`, où une quantité nulle retire le niveau.
Appliquer ces écarts à `avant` donne exactement `apres` : un client qui les perd ou les mélange n'a plus le bon carnet.

`statistiques_24h` rend la bougie glissante des dernières 24 h (à la minute), de quoi rédiger un ticker.
"""

from __future__ import annotations

from typing import NamedTuple

from bourse_locale.marche import MINUTE_MS, Bougie, Instrument, Marche, Trade, empreinte, plancher

PAS_CARNET_MS = 100
"""Durée d'un état du carnet, à l'horloge de l'exchange."""
VIE_NIVEAU = 16
"""Nombre de pas pendant lesquels un niveau garde sa quantité ; chaque prix en change à son tour."""
NIVEAU_ABSENT = 7
"""Un niveau de la grille sur huit manque : les écarts comptent aussi des retraits et des apparitions."""
MASQUE = 2**64 - 1


class Niveau(NamedTuple):
    """Un niveau de prix en entiers : prix en ticks, quantité en lots ; quantité nulle dans un écart : niveau retiré."""

    prix: int
    quantite: int


class Carnet(NamedTuple):
    """Un carnet à un instant : `ts` est l'instant du pas, `sequence` son numéro depuis la cotation."""

    ts: int
    sequence: int
    bids: tuple[Niveau, ...]
    asks: tuple[Niveau, ...]


class Ecarts(NamedTuple):
    """Ce qui change d'un carnet au suivant, meilleurs niveaux d'abord."""

    bids: tuple[Niveau, ...]
    asks: tuple[Niveau, ...]


def carnet(marche: Marche, instrument: Instrument, instant_ms: int, profondeur: int = 50) -> Carnet:
    """Rend le carnet du pas qui contient cet instant ; vide tant qu'aucun trade n'a eu lieu."""
    pas = instant_ms // PAS_CARNET_MS
    ts, sequence = pas * PAS_CARNET_MS, pas - instrument.cotation_ms // PAS_CARNET_MS + 1
    dernier = dernier_prix(marche, instrument, ts)
    if dernier is None:
        return Carnet(ts, sequence, (), ())
    grille = pas_de_grille(instrument)
    sel = empreinte(marche.graine, instrument.symbole, "carnet")
    premiere_achat, premiere_vente = (dernier - 1) // grille * grille, (dernier // grille + 1) * grille
    bids = _niveaux(sel, pas, premiere_achat, -grille, profondeur)
    return Carnet(ts, sequence, bids, _niveaux(sel, pas, premiere_vente, grille, profondeur))


def ecarts(avant: Carnet, apres: Carnet) -> Ecarts:
    """Rend les niveaux à poser ou à retirer (quantité nulle) pour passer d'un carnet à l'autre."""
    bids, asks = _changes(avant.bids, apres.bids), _changes(avant.asks, apres.asks)
    return Ecarts(tuple(sorted(bids, reverse=True)), tuple(sorted(asks)))


def dernier_prix(marche: Marche, instrument: Instrument, instant_ms: int) -> int | None:
    """Rend le prix du dernier trade d'horodatage <= instant, None avant le premier."""
    trade = dernier_trade(marche, instrument, instant_ms)
    return None if trade is None else trade.prix


def dernier_trade(marche: Marche, instrument: Instrument, instant_ms: int) -> Trade | None:
    """Rend le dernier trade d'horodatage <= instant, None avant le premier."""
    fin_ms, bond = instant_ms + 1, MINUTE_MS
    debut_ms = plancher(instant_ms, MINUTE_MS)
    while fin_ms > instrument.cotation_ms:
        trades = marche.trades(instrument, debut_ms, fin_ms)
        if trades:
            return trades[-1]
        fin_ms, bond = debut_ms, bond * 2
        debut_ms = fin_ms - bond
    return None


def statistiques_24h(marche: Marche, instrument: Instrument, instant_ms: int) -> Bougie | None:
    """Rend la bougie des dernières 24 h, ouverte à la minute ; None si rien ne s'y est échangé."""
    return marche.glissante(instrument, instant_ms)


def vivant(instrument: Instrument, instant_ms: int) -> bool:
    """Dit si le marché se négocie à cet instant : coté, actif, pas échu ; sinon un abonnement se refuse."""
    echu = instrument.fin_ms is not None and instant_ms >= instrument.fin_ms
    return instrument.actif and instant_ms >= instrument.cotation_ms and not echu


def pas_de_grille(instrument: Instrument) -> int:
    """Rend l'écart entre deux prix possibles du carnet, en ticks : un demi-dix-millième du prix de référence."""
    return max(1, instrument.reference_ticks // 20_000)


def _niveaux(sel: int, pas: int, prix: int, grille: int, profondeur: int) -> tuple[Niveau, ...]:
    rendus: list[Niveau] = []
    while len(rendus) < profondeur and prix > 0:
        tirage = _melanger(sel ^ prix * 0x9E3779B97F4A7C15)
        # Chaque prix a sa phase : à un pas donné, un seizième des niveaux change.
        tirage = _melanger(tirage + (pas + tirage % VIE_NIVEAU) // VIE_NIVEAU)
        if tirage % (NIVEAU_ABSENT + 1):
            rendus.append(Niveau(prix, 1 + (tirage >> 8) % 999))
        prix += grille
    return tuple(rendus)


def _melanger(valeur: int) -> int:
    """Brouille un entier sur 64 bits (splitmix64) : une empreinte par niveau coûterait dix fois plus."""
    valeur = (valeur ^ valeur >> 30) * 0xBF58476D1CE4E5B9 & MASQUE
    valeur = (valeur ^ valeur >> 27) * 0x94D049BB133111EB & MASQUE
    return valeur ^ valeur >> 31


def _changes(avant: tuple[Niveau, ...], apres: tuple[Niveau, ...]) -> list[Niveau]:
    garde = {niveau.prix for niveau in apres}
    poses = set(apres).difference(avant)
    return [*poses, *(Niveau(niveau.prix, 0) for niveau in avant if niveau.prix not in garde)]
