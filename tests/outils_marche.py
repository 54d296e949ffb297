"""Ce que partagent les tests qui parlent à la bourse par la classe ccxt nue : le marché simulé, ses réglages."""

from __future__ import annotations

import functools

from bourse_locale.marche import Marche

# À chaque fermeture, ccxt attend un quart de seconde que finisse le TLS : la boucle locale n'en a pas.
SANS_LIMITEUR = {"enableRateLimit": False, "timeout_on_exit": 0}


@functools.cache
def marche_commun(graine: int = 1) -> Marche:
    """Le marché d'une graine : toute son histoire en découle, il n'a d'état que ses caches (cf. test_bourse_marche).

    En tirer un neuf à chaque test refait les mêmes motifs et les mêmes jours, le plus cher de ce que fait la bourse.
    Pour un test à la fois : la boucle du test, ou un fil fermé avec lui. Une bourse qui reste ouverte a le sien.
    """
    return Marche(graine)
