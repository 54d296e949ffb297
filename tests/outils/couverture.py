"""D'un produit de paramètres, ce qu'il suffit d'en jouer : chaque valeur, et chaque rencontre de deux familles.

Un test marqué `couvrant` dit qu'un défaut s'y voit à une valeur, ou à la rencontre de deux, jamais à celle de trois :
le reste du produit rejoue le même code. Les valeurs qui passent par le même code font une famille, que la marque dit :
`@pytest.mark.couvrant(format=famille_de_format)` ; d'office, chacune est la sienne, et tous les couples sont joués. Des
paramètres que nomme `un_par_famille`, une valeur suffit, qui vaut les autres. `pytest --complet` joue tout le produit.
"""

from __future__ import annotations

import collections
import itertools
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Sequence

    import pytest

Cas = tuple["Hashable", ...]


def couvrir(
    cas: Sequence[Cas], familles: Sequence[Cas] | None = None, chaque: Sequence[int] | None = None
) -> list[int]:
    """Les rangs des cas à jouer ; toujours les mêmes. `familles` : de chaque cas, celles de ses valeurs.

    `chaque` : les rangs des paramètres dont toute valeur est jouée ; d'office, tous.

    À chaque tour, le cas qui apporte le plus de rencontres ; à égalité, celui des valeurs les moins servies : aucune
    ne fait équipe avec toutes les autres, et chacune change de partenaire.
    """
    apports: list[set[Hashable]] = [
        {(rang, un[rang]) for rang in (range(len(un)) if chaque is None else chaque)}
        | set(enumerate(siennes, start=-len(siennes)))
        | set(itertools.combinations(enumerate(siennes), 2))
        for un, siennes in zip(cas, familles or cas, strict=True)
    ]
    reste: set[Hashable] = set().union(*apports)
    servies: collections.Counter[Hashable] = collections.Counter()
    utiles, gardes = list(range(len(cas))), []
    while reste:
        choisi = max(
            utiles, key=lambda rang: (len(apports[rang] & reste), -sum(servies[v] for v in enumerate(cas[rang])), -rang)
        )
        gardes.append(choisi)
        reste -= apports[choisi]
        servies.update(enumerate(cas[choisi]))
        utiles = [rang for rang in utiles if not apports[rang].isdisjoint(reste)]
    return sorted(gardes)


def une_seule(_valeur: object) -> str:
    """La famille de toutes les valeurs d'un paramètre dont chacune suffit une fois, avec qui que ce soit."""
    return "toutes"


def partager(tests: Iterable[pytest.Item]) -> tuple[list[pytest.Item], list[pytest.Item]]:
    """Les tests à jouer, dans leur ordre, et ceux qu'une couverture épargne."""
    tests, produits = list(tests), collections.defaultdict[str, list[Any]](list)
    for test in tests:
        if test.get_closest_marker("couvrant"):
            produits[test.nodeid.partition("[")[0]].append(test)
    epargnes: set[str] = set()
    for produit in produits.values():
        marque = produit[0].get_closest_marker("couvrant").kwargs
        axes = _axes(produit[0])
        cas = [tuple(tuple(id(test.callspec.params[nom]) for nom in noms) for noms in axes) for test in produit]
        familles = [
            tuple(
                tuple(marque[nom](test.callspec.params[nom]) for nom in noms if nom in marque) or valeur
                for noms, valeur in zip(axes, valeurs, strict=True)
            )
            for test, valeurs in zip(produit, cas, strict=True)
        ]
        chaque = [rang for rang, noms in enumerate(axes) if not {*noms} & {*marque.get("un_par_famille", ())}]
        gardes = couvrir(cas, familles, chaque)
        epargnes |= {test.nodeid for test in produit} - {produit[rang].nodeid for rang in gardes}
    return [test for test in tests if test.nodeid not in epargnes], [test for test in tests if test.nodeid in epargnes]


def _axes(test: Any) -> list[tuple[str, ...]]:
    """Ses paramètres ; ceux qui sont donnés ensemble n'en font qu'un."""
    ensemble = [mark.args[0] for mark in test.iter_markers("parametrize")]
    noms = [tuple(re.findall(r"\w+", un) if isinstance(un, str) else un) for un in ensemble]
    seuls = [(nom,) for nom in test.callspec.params if nom not in itertools.chain(*noms)]
    return noms + seuls
