"""Les noms d'office d'avant, qui redisaient `--type-marche` (bybit_spot_… pour un swap) : un fichier qui l'a le garde.

Le module s'en passe quand il est copié seul : il ne connaît que le nom d'aujourd'hui.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from module_ccxt_fr_v2 import TYPES_MARCHE, Serie, Tache, nom_de_sortie

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def a_continuer(nom: str, tache: Tache, series: Sequence[Serie], dossier: Path, extension: str) -> str:
    """Le premier de ces noms qui est celui d'un fichier du dossier : `nom`, ou un d'avant ; `nom` sinon."""
    complets = all(":" in serie.cle.symbole for serie in series)
    cles = [serie.cle for serie in series]
    types = (tache.type_marche, *(TYPES_MARCHE if complets else ()))
    d_avant = (nom_de_sortie(cles, un, tache.type_donnee, extension) for un in types)
    return next((un for un in (nom, *d_avant) if (dossier / un).exists()), nom)
