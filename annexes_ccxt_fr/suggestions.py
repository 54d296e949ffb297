"""Ce qu'un mot mal écrit voulait dire : une option, un exchange, un symbole.

Le module s'en passe quand il est copié seul : il refuse le mot, sans proposer le sien.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from module_ccxt_fr_v2 import neutraliser, sans_reglement

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MOT_MAX = 100  # au-delà, ce n'est pas une faute de frappe


def proches(mot: str, choix: Iterable[str], nombre: int = 3) -> str:
    """« Vouliez-vous dire … ? » avec les choix les plus proches, sans tenir compte de la casse ; vide sinon."""
    import difflib  # 2 ms, qu'une demande bien écrite ne paie pas

    par_forme = {forme_de_mot(c): c for c in choix}
    forme = forme_de_mot(mot[:MOT_MAX])
    trouves = difflib.get_close_matches(forme, list(par_forme), n=nombre + 1, cutoff=0.6)
    notes = [difflib.SequenceMatcher(None, trouve, forme).ratio() for trouve in trouves]
    if len(notes) > nombre and notes[-1] < notes[-2]:  # à égalité, rien ne dit lequel (--symbol)
        del trouves[-1]
    noms = ", ".join(f"« {neutraliser(par_forme[forme])} »" for forme in trouves)
    return f"Vouliez-vous dire {noms} ?" if noms else ""


def forme_de_mot(mot: str) -> str:
    """Forme de comparaison : « BTCUSDT », « btc-usdt » et « BTC/USDT » se ressemblent."""
    return re.sub(r"[^a-z0-9]", "", mot.lower())


def marches_designes(symbole: str, marches: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Les marchés que « btc/usdt » ou « BTCUSDT » peut désigner.

    L'identifiant de l'exchange ne compte que pour un mot sans « / » : un symbole bien formé n'en est pas un.
    """
    forme, trouves = forme_de_mot(symbole), []
    for nom, marche in marches.items() if forme else ():
        formes = {forme_de_mot(nom), forme_de_mot(sans_reglement(nom))}
        if "/" not in symbole:
            formes.add(forme_de_mot(str(marche.get("id"))))
        if forme in formes:
            trouves.append(nom)
    return trouves
