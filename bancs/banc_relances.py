"""Après un jour de panne, la relance vaut un fichier neuf : chaque exchange de la table, cinq marchés, cinq pannes.

python bancs/banc_relances.py [exchange…]
"""

from __future__ import annotations

import contextlib
import io
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

RACINE = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(RACINE), *(str(RACINE / "tests" / dossier) for dossier in ("outils", "exchanges"))]

from bourses_tierces_table import PROTOCOLES  # noqa: E402  le chemin vient d'être posé
from collecte_tierce import lancer  # noqa: E402
from temps_simule import HEURE_DES_ESSAIS, temps_simule  # noqa: E402
from test_exchanges_table import Cas, en_panne, options_de, servir  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from collecte_tierce import Releve

RECENTES = 60  # bougies : ce qu'une réplique n'a pas encore, ou tout ce qu'il reste d'un passé oublié


class Marche(NamedTuple):
    """Une demande, et ce que vit son marché."""

    cas: Cas
    vide: float


MARCHES = {
    "jeune": Marche(Cas(500, 10, 90), 0.1),
    "coté dans la demande": Marche(Cas(300, 10, 200), 0.1),
    "ancien": Marche(Cas(120, 10), 0.1),
    "rare": Marche(Cas(300, 10, 200), 0.9),
    "jusqu'à maintenant": Marche(Cas(300, None, 200), 0.3),
}

# Ce que l'exchange garde d'une bougie un jour de panne : (elle est de la série, son âge en pas) -> vrai.
PANNES: dict[str, Callable[[bool, float], bool]] = {
    "tout muet": lambda _sienne, _age: False,
    "la série muette": lambda sienne, _age: not sienne,
    "les timeframes longs muets": lambda sienne, _age: sienne,
    "réplique en retard": lambda _sienne, age: age > RECENTES,
    "passé oublié": lambda _sienne, age: age <= RECENTES,
}


def ecarts(neuf: Releve, vue: Releve, relance: Releve, *, finie: bool) -> list[str]:
    """Ce que la relance a de moins qu'un fichier neuf, et ce que la suivante change encore.

    D'une demande sans fin, une dernière minute sans transaction, inscrite le jour de la panne, reste à 3 jusqu'à ce
    qu'une ligne la suive : ce n'en est pas un.
    """
    perdues = {ligne[0] for ligne in neuf.lignes} - {ligne[0] for ligne in vue.lignes}
    dits = [f"{len(perdues)} lignes perdues"] if perdues else []
    dits += [f"code {vue.code}, et {neuf.code} d'un fichier neuf"] if finie and vue.code > neuf.code else []
    dits += ["la relance suivante change encore"] if finie and relance.octets != vue.octets else []
    return dits


def jouer(nom: str, marche: Marche) -> Iterator[str]:
    """Les écarts d'un exchange, panne par panne."""
    with temps_simule(HEURE_DES_ESSAIS), servir(nom, marche.cas.cotation, panne=False, vide=marche.vide) as simulateur:
        options = options_de(simulateur.protocole, marche.cas)
        with tempfile.TemporaryDirectory() as lieu:
            neuf = lancer(simulateur, Path(lieu), *options)
        for panne, garde in PANNES.items():
            with tempfile.TemporaryDirectory() as lieu:
                with en_panne(simulateur, garde):
                    lancer(simulateur, Path(lieu), *options)
                vue, relance = (lancer(simulateur, Path(lieu), *options) for _ in range(2))
            yield from (f"{panne} : {ecart}" for ecart in ecarts(neuf, vue, relance, finie=marche.cas.fin is not None))


def principal(noms: list[str]) -> int:
    """Joue tous les exchanges, ou ceux-là ; rend 1 si une relance ne vaut pas un fichier neuf."""
    depart, joues, trouves = time.monotonic(), noms or list(PROTOCOLES), 0
    for nom in joues:
        for dit, marche in MARCHES.items():
            with contextlib.redirect_stderr(io.StringIO()):
                lus = list(jouer(nom, marche))
            trouves += len(lus)
            for ecart in lus:
                print(f"{nom}, marché {dit}, {ecart}")
    nombre, duree_s = len(joues) * len(MARCHES) * len(PANNES), time.monotonic() - depart
    print(f"{nombre} pannes suivies d'une relance, {trouves} écarts, {duree_s:.0f} s")
    return 1 if trouves else 0


if __name__ == "__main__":
    sys.exit(principal(sys.argv[1:]))
