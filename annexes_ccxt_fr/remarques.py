"""Dire d'une demande ce qui n'y changera rien : rien n'est refusé.

Le module s'en passe quand il est copié seul.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from module_ccxt_fr_v2 import drapeau, journal, options_dites

if TYPE_CHECKING:
    from module_ccxt_fr_v2 import Tache


def dire_les_sans_objet(tache: Tache) -> None:
    """Les options données qui ne changeront rien, et ce avec quoi elles serviraient."""
    donnees = {champ.name for champ, _ in options_dites(tache)}
    carnet, base = tache.stream == "orderbook", tache.format_choisi == "sqlite"
    for nom, sert, ou in (
        ("duree", tache.stream, "--stream"),
        ("flush", tache.stream, "--stream"),
        ("silence", tache.stream, "--stream"),
        ("profondeur", carnet, "--stream orderbook"),
        ("sqlite_table", base, "--format sqlite"),
        ("sandbox", not tache.hors_ligne, "un vrai exchange"),
        ("proxy", not tache.hors_ligne, "un vrai exchange"),
    ):
        if nom in donnees and not sert:
            journal.warning("« %s » ne sert qu'avec %s.", drapeau(nom), ou)
