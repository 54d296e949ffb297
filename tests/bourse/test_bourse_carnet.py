"""Le carnet simulé : pur, jamais croisé, et ses écarts le reconstruisent exactement."""

from __future__ import annotations

from itertools import pairwise

import pytest

from bourse_locale.carnet import PAS_CARNET_MS, Carnet, Niveau, carnet, dernier_prix, ecarts, statistiques_24h
from bourse_locale.marche import INSTRUMENTS_PAR_DEFAUT, JOUR_MS, Marche, instant_ms

T0 = instant_ms("2026-07-01T12:00:17")
INSTRUMENTS = INSTRUMENTS_PAR_DEFAUT["okx"]


def appliquer(niveaux: tuple[Niveau, ...], changes: tuple[Niveau, ...], *, decroissant: bool) -> tuple[Niveau, ...]:
    """Applique des écarts comme un client le ferait."""
    livre = {n.prix: n.quantite for n in niveaux} | {n.prix: n.quantite for n in changes}
    gardes = [Niveau(prix, quantite) for prix, quantite in livre.items() if quantite]
    return tuple(sorted(gardes, reverse=decroissant))


def suite(marche: Marche, rang: int, nombre: int, profondeur: int = 20) -> list[Carnet]:
    """Rend des carnets successifs d'un instrument."""
    return [carnet(marche, INSTRUMENTS[rang], T0 + i * PAS_CARNET_MS, profondeur) for i in range(nombre)]


@pytest.mark.parametrize("rang", range(len(INSTRUMENTS)))
def test_jamais_croise_et_trie(rang: int) -> None:
    """Chaque côté est trié, complet, et le meilleur achat reste sous la meilleure vente."""
    for etat in suite(Marche(3), rang, 50):
        assert len(etat.bids) == len(etat.asks) == 20
        assert list(etat.bids) == sorted(etat.bids, reverse=True)
        assert list(etat.asks) == sorted(etat.asks)
        assert 0 < etat.bids[-1].prix < etat.bids[0].prix < etat.asks[0].prix
        assert all(niveau.quantite > 0 for niveau in etat.bids + etat.asks)


def test_pur_et_croissant() -> None:
    """Deux marchés de même graine rendent le même carnet ; la séquence croît de 1 par pas."""
    un, deux = suite(Marche(3), 0, 100), suite(Marche(3), 0, 100)
    assert un == deux
    assert [b.sequence - a.sequence for a, b in pairwise(un)] == [1] * 99
    assert suite(Marche(4), 0, 1) != un[:1]
    # Dans un même pas, un même état : la séquence le désigne.
    assert carnet(Marche(3), INSTRUMENTS[0], T0 + PAS_CARNET_MS - 1, 20) == un[0]


def test_ecarts_reconstruisent() -> None:
    """Les écarts, appliqués à un carnet, donnent exactement le suivant ; ils sont courts, et il y a des retraits."""
    etats = suite(Marche(3), 0, 600)
    tailles, retraits = [], 0
    for avant, apres in pairwise(etats):
        changes = ecarts(avant, apres)
        assert appliquer(avant.bids, changes.bids, decroissant=True) == apres.bids
        assert appliquer(avant.asks, changes.asks, decroissant=False) == apres.asks
        tailles.append(len(changes.bids) + len(changes.asks))
        retraits += sum(not niveau.quantite for niveau in changes.bids + changes.asks)
    assert sum(tailles) / len(tailles) < 12
    assert retraits


def test_profondeurs_coherentes() -> None:
    """Un carnet moins profond est le haut d'un carnet plus profond."""
    profond, court = (carnet(Marche(3), INSTRUMENTS[0], T0, n) for n in (400, 5))
    assert profond.bids[:5] == court.bids
    assert profond.asks[:5] == court.asks


def test_avant_la_cotation() -> None:
    """Sans aucun trade encore, le carnet est vide et le dernier prix inconnu."""
    instrument = INSTRUMENTS[0]
    assert carnet(Marche(3), instrument, instrument.cotation_ms - 1).bids == ()
    assert dernier_prix(Marche(3), instrument, instrument.cotation_ms - 1) is None
    assert statistiques_24h(Marche(3), instrument, instrument.cotation_ms - 1) is None


def test_autour_du_dernier_prix() -> None:
    """Le carnet entoure le dernier prix échangé, panne ou non."""
    for marche in (Marche(3), Marche(3, pannes=[(T0 - JOUR_MS, T0 + JOUR_MS)])):
        prix = dernier_prix(marche, INSTRUMENTS[0], T0)
        etat = carnet(marche, INSTRUMENTS[0], T0)
        assert prix is not None
        assert etat.bids[0].prix < prix < etat.asks[0].prix


def test_statistiques_glissantes() -> None:
    """Les 24 h glissantes se ferment sur le dernier trade et comptent chaque trade une fois."""
    marche, instrument = Marche(3), INSTRUMENTS[0]
    total = statistiques_24h(marche, instrument, T0)
    assert total is not None
    trades = marche.trades(instrument, total.ts, T0 + 1)
    assert (total.close, total.nombre) == (trades[-1].prix, len(trades))
    assert total.volume == sum(trade.quantite for trade in trades)
