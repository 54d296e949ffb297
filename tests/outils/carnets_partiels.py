"""Un carnet plus profond que l'instantané d'où part la classe, et ce qu'en dit l'exchange à chaque instant."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import module_ccxt_fr_v2 as m
from bourse_locale import carnet as carnets
from bourse_locale.carnet import PAS_CARNET_MS, carnet

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pytest

    from bourse_locale import Instrument, Marche
    from bourse_locale.flux import Flux

PROFONDEUR_DITE = 1500  # niveaux dont le flux dit les changements
PRIX_POSSIBLES = 200_000  # entre zéro et le prix de référence : en une minute, il en traverse cent
COTES = ("bids", "asks")


def immobiliser_les_ordres(monkeypatch: pytest.MonkeyPatch, flux: type[Flux], tardif_s: float = 60.0) -> None:
    """Des ordres serrés, que seul le prix qui passe change ; un instantané peut en suivre un autre de près.

    `tardif_s` : ce qu'un instantané peut se faire attendre, sur une machine chargée.
    """
    monkeypatch.setattr(carnets, "VIE_NIVEAU", 10**12)
    monkeypatch.setattr(carnets, "pas_de_grille", lambda i: max(1, i.reference_ticks // PRIX_POSSIBLES))
    monkeypatch.setattr(flux, "profondeur", PROFONDEUR_DITE)
    monkeypatch.setattr(m, "INSTANTANE_S", 0.2)
    monkeypatch.setattr(m, "INSTANTANE_TARDIF_S", tardif_s)


def niveaux_vrais(marche: Marche, instrument: Instrument, instant_ms: int, profondeur: int) -> dict[str, list[Any]]:
    """Les meilleurs niveaux de chaque côté à cet instant : (prix, quantité), comme ccxt les rend."""
    vrai = carnet(marche, instrument, instant_ms, profondeur)
    return {
        cote: [(float(instrument.texte_prix(n.prix)), float(instrument.texte_quantite(n.quantite))) for n in niveaux]
        for cote, niveaux in zip(COTES, (vrai.bids, vrai.asks), strict=True)
    }


def niveaux_lus(ligne: dict[str, Any]) -> dict[str, list[Any]]:
    """Ceux d'une ligne écrite."""
    return {cote: [(niveau["price"], niveau["amount"]) for niveau in ligne[cote]] for cote in COTES}


def exiger_jusqu_ou_il_est_su(
    marche: Marche, instrument: Instrument, lignes: Iterable[dict[str, Any]], profondeur: int
) -> None:
    """Chaque côté est celui de l'exchange, ou ses premiers niveaux ; presque tous y sont tout entiers.

    Le prix saute : un côté est parfois court, jusqu'à l'instantané qui le complète.
    """
    lignes = list(lignes)
    entiers = 0
    for ligne in lignes:
        pas = ligne["nonce"] - 1 + instrument.cotation_ms // PAS_CARNET_MS  # sa séquence compte les pas
        vrais, lus = niveaux_vrais(marche, instrument, pas * PAS_CARNET_MS, profondeur), niveaux_lus(ligne)
        for cote in COTES:
            assert lus[cote]
            assert lus[cote] == vrais[cote][: len(lus[cote])]
            entiers += lus[cote] == vrais[cote]
    assert len(lignes) >= 10
    assert entiers >= 1.6 * len(lignes)
