"""Dire d'une demande ce qui n'y changera rien, ou pas ce qu'on en attend, et où ouvrent ses bougies.

Rien n'est refusé, ni changé ; le module s'en passe quand il est copié seul.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from module_ccxt_fr_v2 import NatureMarche, drapeau, en_iso, journal, options_dites

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from module_ccxt_fr_v2 import CleSerie, Reglages, Tache, Timeframe


def dire_les_sans_objet(tache: Tache) -> None:
    """Les options données qui ne changeront rien, et ce avec quoi elles serviraient."""
    donnees = {champ.name for champ, _ in options_dites(tache)}
    carnet, base = tache.stream == "orderbook", tache.format_choisi == "sqlite"
    a_un_pas = "timeframe" in tache.type_donnee.cle
    for nom, sert, ou in (
        ("duree", tache.stream, "--stream"),
        ("flush", tache.stream, "--stream"),
        ("silence", tache.stream, "--stream"),
        ("profondeur", carnet, "--stream orderbook"),
        ("bougies_vides", tache.trades_vers_ohlcv, "--trades-vers-ohlcv"),
        ("timeframe", a_un_pas, "des bougies ou un intérêt ouvert"),
        ("sqlite_table", base, "--format sqlite"),
        ("sandbox", not tache.hors_ligne, "un vrai exchange"),
        ("proxy", not tache.hors_ligne, "un vrai exchange"),
    ):
        if nom in donnees and not sert:
            journal.warning("« %s » ne sert qu'avec %s.", drapeau(nom), ou)


def dire_le_marche(symbole: str, marche: Mapping[str, Any], reglages: Reglages, *, du_genre: bool) -> None:
    """Le marché d'un symbole complet, s'il n'est pas du genre demandé, ou n'est plus coté."""
    if not du_genre:
        trouve = NatureMarche(str(marche.get("type")), marche.get("subType"))
        demande = NatureMarche(reglages.type_marche, reglages.sous_type)
        journal.warning("« %s » est un marché %s, pas %s : le symbole l'emporte.", symbole, trouve, demande)
    if marche.get("active") is False:
        journal.warning("« %s » n'est plus coté sur %s : seul son passé peut être lu.", symbole, reglages.exchange)


def dire_les_decalages(cle: CleSerie, timeframe: Timeframe, instants: Iterable[int], connu: int) -> int:
    """L'heure où ouvrent des bougies d'une grille à minuit local, à chaque fois qu'elle change ; rend la dernière."""
    for instant in instants:
        decalage = instant - timeframe.plancher(instant)
        if decalage != connu:
            connu = decalage
            phrase = "%s : bougies ouvertes à %s UTC à partir de %s, gardées telles quelles."
            journal.info(phrase, cle, en_iso(instant)[11:16], en_iso(instant)[:10])
    return connu
