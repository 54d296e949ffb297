"""Ce qu'une couverture joue d'un produit de paramètres, et ce qu'elle n'en laisse jamais de côté."""

from __future__ import annotations

import collections
import itertools
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from couverture import couvrir, une_seule
from hypothesis import given
from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Iterator

PRODUITS = st.lists(st.tuples(*[st.integers(0, 4)] * 4), unique=True, max_size=60)
Cas = tuple[int, ...]


def rencontres(cas: list[Cas], nombre: int) -> set[object]:
    """Les valeurs qui s'y rencontrent, chacune à sa place."""
    return {groupe for un in cas for groupe in itertools.combinations(enumerate(un), nombre)}


@given(PRODUITS)
def test_rien_de_ce_qui_se_rencontre_n_est_laisse(cas: list[Cas]) -> None:
    """D'un produit troué aussi : chaque couple, sans un cas deux fois ; la même réponse à chaque fois, en ordre."""
    rangs = couvrir(cas)
    assert rencontres([cas[rang] for rang in rangs], 2) == rencontres(cas, 2)
    assert rangs == sorted(set(rangs)) == couvrir(cas)


@given(PRODUITS, st.integers(1, 5))
def test_chaque_valeur_est_jouee_et_chaque_couple_de_familles(cas: list[Cas], modulo: int) -> None:
    """Une famille est la même chose pour le code : d'elle, une valeur suffit à chaque rencontre."""
    familles = [tuple(valeur % modulo for valeur in un) for un in cas]
    rangs = couvrir(cas, familles)
    assert rencontres([cas[rang] for rang in rangs], 1) == rencontres(cas, 1)
    assert rencontres([familles[rang] for rang in rangs], 2) == rencontres(familles, 2)


@pytest.mark.parametrize(("tailles", "au_plus"), [
    ((33, 4), 132),
    ((15, 9, 4), 145),  # le moins qui se puisse : 135
    ((5, 5, 5, 5), 40),
    ((7,), 7),
])  # fmt: skip
def test_une_couverture_est_courte(tailles: Cas, au_plus: int) -> None:
    """À peine plus que le produit des deux plus longs."""
    rangs = couvrir(list(itertools.product(*map(range, tailles))))
    assert max(tailles) <= len(rangs) <= au_plus


def test_des_valeurs_d_une_famille_se_partagent_les_autres() -> None:
    """Chacune change de partenaire : aucune n'en sert deux de plus qu'une autre."""
    cas = list(itertools.product(range(33), range(4)))
    rangs = couvrir(cas, [(0, 0)] * len(cas))
    servies = collections.Counter(cas[rang][1] for rang in rangs)
    assert (len(rangs), sorted(servies.values())) == (33, [8, 8, 8, 9])


class Collecte(SimpleNamespace):
    """Un test collecté, de ce qu'il faut pour le partager."""

    def __init__(self, nom: str, marque: pytest.Mark | None, **params: int) -> None:
        super().__init__(nodeid=f"{nom}[{params}]", marque=marque, callspec=SimpleNamespace(params=params))

    def iter_markers(self, nom: str) -> Iterator[pytest.Mark]:
        """De ses paramètres, deux sont donnés ensemble, un seul ; le dernier est celui d'une fixture."""
        yield getattr(pytest.mark, nom)("a, avec_a", []).mark
        yield getattr(pytest.mark, nom)(["b"], []).mark

    def get_closest_marker(self, nom: str) -> pytest.Mark | None:
        """Sa marque."""
        return self.marque if self.marque and nom == self.marque.name else None


@pytest.mark.parametrize(("complet", "joues"), [
    (False, {"par_deux": 9, "par_un": 3, "par_familles": 6, "un_par_famille": 3, "entier": 27}),
    (True, dict.fromkeys(("par_deux", "par_un", "par_familles", "un_par_famille", "entier"), 27)),
])  # fmt: skip
def test_seuls_les_tests_marques_sont_partages(
    request: pytest.FixtureRequest, complet: bool, joues: dict[str, int]
) -> None:
    """Chacun selon ses familles, les autres en entier ; ce qui est épargné est compté ; `--complet` n'épargne rien."""
    couvrant = pytest.mark.couvrant
    marques = {
        "par_deux": couvrant.mark,
        "par_un": couvrant(a=une_seule, b=une_seule, c=une_seule).mark,
        "par_familles": couvrant(a=une_seule, b=(1).__le__).mark,  # deux familles pour b, trois pour c
        "un_par_famille": couvrant(a=une_seule, b=(1).__le__, un_par_famille=("a", "b"), c=une_seule).mark,
        "entier": None,
    }
    tests = [
        Collecte(nom, marques[nom], a=a, avec_a=-a, b=b, c=c)
        for a, b, c in itertools.product(range(3), repeat=3)
        for nom in marques
    ]  # fmt: skip
    epargnes: list[Any] = []
    config = SimpleNamespace(
        getoption={"complet": complet}.__getitem__,
        hook=SimpleNamespace(pytest_deselected=lambda **dits: epargnes.extend(dits["items"])),
    )
    [conftest] = [p for p in request.config.pluginmanager.get_plugins() if hasattr(p, "_chaque_panne_touche")]
    gardes = list(tests)
    conftest.pytest_collection_modifyitems(config, gardes)
    assert collections.Counter(test.nodeid.partition("[")[0] for test in gardes) == joues
    assert gardes == [test for test in tests if test in gardes]
    assert epargnes == [test for test in tests if test not in gardes]
