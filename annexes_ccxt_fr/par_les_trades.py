"""Proposer les trades là où les bougies ne remontent plus : la commande entière, prête à coller."""

from __future__ import annotations

import dataclasses
import shlex
from typing import TYPE_CHECKING

from annexes_ccxt_fr.portees import portee_de
from module_ccxt_fr_v2 import (
    HORS_FENETRE_API,
    CleSerie,
    Connexion,
    Tache,
    Trou,
    drapeau,
    en_iso,
    histoires,
    nom_du_programme,
    options_dites,
)

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


def offrir(
    connexion: Connexion, tache: Tache, cle: CleSerie, sortie: Path | None, trous: Iterable[Trou]
) -> str:
    """La suite d'un message qui dit ces trous ; vide si les trades n'y peuvent rien."""
    bougies = tache.stream is None and tache.donnee == "ohlcv" and cle.prix == "last"
    hors_d_atteinte = any(trou.raison == HORS_FENETRE_API for trou in trous)
    if not (bougies and hors_d_atteinte and portee_de(connexion).bougies):
        return ""
    if not histoires("trades").sert_les_trades(connexion, connexion.api.markets[cle.symbole]):
        return ""
    seule = dataclasses.replace(tache, symbole=cle.symbole, symbols=(), sortie=sortie)
    commande = f"{ecrire_commande(seule)} --donnee trades --trades-vers-ohlcv"
    return f". Ses trades remontent plus loin, et font ces bougies : {commande}"


def ecrire_commande(tache: Tache) -> str:
    """La ligne de commande d'une tâche ; les options qui peuvent tenir un secret n'y sont pas."""
    programme = nom_du_programme("module_ccxt_fr_v2.py")
    mots = ["python", programme] if programme.endswith(".py") else [programme]
    for champ, valeur in options_dites(tache):
        if champ.metadata["secret"]:
            continue
        mots.append(drapeau(champ.name))
        if champ.name.startswith("date_"):
            mots.append(en_iso(valeur))
        elif not isinstance(valeur, bool):
            mots.append(",".join(valeur) if isinstance(valeur, tuple) else str(valeur))
    return shlex.join(mots)
