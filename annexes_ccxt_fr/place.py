"""La place d'un fichier sur le disque : la dire, et s'assurer avant d'écrire qu'elle y est.

Copié seul, le module l'apprend en écrivant : l'ancien fichier reste intact, et ce qui est reçu est gardé.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from module_ccxt_fr_v2 import ErreurSortie, decimal_lisible, disque

if TYPE_CHECKING:
    from module_ccxt_fr_v2 import SortieFichier

MARGE = 1 << 20
CONSEIL_PLACE = "Libérez de la place, puis relancez : ce qui est reçu est gardé."


def exiger(sortie: SortieFichier) -> None:
    """Refuse d'entamer une fonte qui n'aurait pas la place de finir."""
    lourde, reprise = sortie.type_donnee.est_lourd, sortie.reprise
    recus = 2 * reprise.octets if lourde else reprise.lignes * sortie.codec.octets_par_ligne
    demandes = sortie.octets + recus + MARGE
    with disque("Écrire", sortie.chemin):
        libres = shutil.disk_usage(sortie.chemin.parent).free
    if libres < demandes:
        raise ErreurSortie(
            f"Écrire « {sortie.chemin} » demande environ {taille_lisible(demandes)} libres, "
            f"le disque en a {taille_lisible(libres)}",
            CONSEIL_PLACE,
        )


def taille_lisible(octets: float) -> str:
    """Une taille en octets, avec son unité."""
    rang = 0
    while octets >= 1000 and rang < 3:
        octets, rang = octets / 1000, rang + 1
    return decimal_lisible(f"{octets:.{min(rang, 1)}f} {('o', 'Ko', 'Mo', 'Go')[rang]}")
