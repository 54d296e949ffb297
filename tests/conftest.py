"""Ce que les tests partagent : l'exchange embarqué dans un fil, et le journal du module remis à neuf."""

from __future__ import annotations

import contextlib
import functools
import gc
import inspect
import logging
import os
import ssl
import sys
import weakref
from typing import TYPE_CHECKING

# Ce qui se compile ici se garde, où que le milieu l'interdise, et avant tout autre import : le processus qui distribue
# les tests compile les 12 000 lignes du module et récrit les outils, ceux qui les jouent les relisent.
if sys.dont_write_bytecode:
    sys.dont_write_bytecode = False

import pytest
from ccxt.async_support.base.exchange import Exchange
from couverture import partager
from hypothesis import settings
from ligne_de_commande import tuer_les_lances
from temps_simule import HEURE_DES_ESSAIS, temps_simule

from annexes_ccxt_fr import vitesse
from bourse_locale import Bourse
from bourse_locale.pannes import Panne, Pannes

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

# Les mêmes exemples à chaque fois : une suite rouge se rejoue. Pour en chercher d'autres :
# --hypothesis-profile=default.
settings.register_profile("rejouable", derandomize=True, deadline=None)
settings.load_profile("rejouable")

JOURNAUX = ("module_ccxt_fr_v2", "ccxt", "asyncio", "aiohttp", "dotenv")


@pytest.fixture(autouse=True, scope="session")
def _autorites_lues_une_fois() -> Iterator[None]:
    """Chaque instance de ccxt relit les autorités de certifi, trente millisecondes : une fois par processus suffit."""
    with pytest.MonkeyPatch.context() as rustine:
        rustine.setattr(ssl, "create_default_context", functools.cache(ssl.create_default_context))
        yield


@pytest.fixture(autouse=True, scope="session")
def _noms_poses_une_fois() -> Iterator[None]:
    """Chaque instance de ccxt repose sur sa classe ses 1 700 méthodes, sous leur nom en camelCase : la première suffit.

    C'était le quart d'une commande, et une classe modifiée perd ses caches : tout ce qui suit la lisait plus lentement.
    Le constructeur de ccxt demande ces noms à `dir()` ; les attributs propres à une instance y sont toujours.
    """
    sans_methodes = weakref.WeakKeyDictionary[type, list[str]]()

    def noms(api: Exchange) -> list[str]:
        classe = type(api)
        if classe in sans_methodes:
            return [*{*sans_methodes[classe], *vars(api)}]
        tous = [*object.__dir__(api)]
        sans_methodes[classe] = [nom for nom in tous if not inspect.isroutine(getattr(classe, nom, None))]
        return tous

    with pytest.MonkeyPatch.context() as rustine:
        rustine.setattr(Exchange, "__dir__", noms)
        yield


@pytest.fixture(autouse=True, scope="session")
def _disque_sans_coupure_de_courant() -> Iterator[None]:
    """Aucun test n'éteint la machine : le `fsync` de ce processus n'attend pas le disque (les processus lancés, si)."""
    with pytest.MonkeyPatch.context() as rustine:
        rustine.setattr(os, "fsync", os.fstat)  # d'un descripteur fermé, la même erreur
        yield


def pytest_addoption(parser: pytest.Parser) -> None:
    """Ce que la suite a d'options à elle."""
    parser.addoption("--complet", action="store_true", help="joue en entier les produits de paramètres (couvrant)")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """D'un produit de paramètres, les rencontres qui font passer par un autre code ; nommé un à un, un cas est joué."""
    if config.getoption("complet"):
        return
    joues, epargnes = partager(items)
    if epargnes:
        items[:] = joues
        config.hook.pytest_deselected(items=epargnes)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Sous Windows, ce qui demande Unix est sauté, et dit."""
    if os.name == "nt" and item.get_closest_marker("posix"):
        pytest.skip("demande les signaux, les droits ou les liens d'Unix")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Huit mille tests et leurs bibliothèques resteront : le ramasse-miettes les reparcourait, 0,2 s à chaque fois.

    Et un exchange, ses marchés, ses pages font des dizaines de milliers d'objets : tous les 700, c'est 5 % du temps.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.freeze()
        gc.set_threshold(20_000)


@pytest.fixture(autouse=True, scope="session")
def _tas_fige_une_fois() -> Iterator[None]:
    """Un flux fige le tas puis le rend, celui de pytest compris ; les vrais processus des tests, eux, le font."""
    with pytest.MonkeyPatch.context() as rustine:
        rustine.setattr(vitesse, "tas_fige", contextlib.nullcontext)
        yield


@pytest.fixture(autouse=True, scope="session")
def _modules_compiles_une_fois() -> Iterator[None]:
    """Les processus que lancent les tests gardent ce qu'ils compilent, comme chez qui s'en sert : 14 000 lignes."""
    with pytest.MonkeyPatch.context() as milieu:
        milieu.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
        yield


@pytest.fixture(autouse=True)
def _journal_neuf() -> Iterator[None]:
    """La ligne de commande installe ses gestionnaires de journal : un test ne les lègue pas au suivant."""
    journaux = [logging.getLogger(nom) for nom in JOURNAUX]
    avant = [(journal, list(journal.handlers), journal.level, journal.propagate) for journal in journaux]
    yield
    for journal, gestionnaires, niveau, propage in avant:
        journal.handlers[:], journal.propagate = gestionnaires, propage
        journal.setLevel(niveau)


@pytest.fixture(autouse=True)
def _rien_ne_court() -> Iterator[None]:
    yield
    tuer_les_lances()


ACHEVE = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Retient qu'un test est allé au bout : d'un échec, d'un Ctrl-C, ce qui suit ne dirait rien de plus."""
    rendu = yield
    item.stash[ACHEVE] = True
    return rendu


@pytest.fixture(autouse=True)
def _chaque_panne_touche(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Une panne posée qui n'a rien touché : le test passerait aussi bien sans elle, et ne prouve rien."""
    posees: list[tuple[Panne, int]] = []
    ajouter = Pannes.ajouter

    def noter(pannes: Pannes, panne: Panne) -> Panne:
        posees.append((panne, panne.touchees))
        return ajouter(pannes, panne)

    monkeypatch.setattr(Pannes, "ajouter", noter)
    yield
    # D'un fichier public, le défaut est dans son contenu : aucune requête ne le compte.
    vaines = [panne for panne, avant in posees if panne.touchees == avant and not panne.est_d_archive]
    # Levée à la fermeture d'une suite interrompue, cette faute en tairait le compte rendu.
    assert vaines == [] or ACHEVE not in request.node.stash, f"n'ont rien touché : {vaines}"


@pytest.fixture
def a_l_heure_dite() -> Iterator[None]:
    """Le temps simulé, depuis la même heure à chaque fois : ni le jour, ni minuit, ni le mois n'y sont pour rien."""
    with temps_simule(HEURE_DES_ESSAIS):
        yield


@pytest.fixture(scope="session")
def _bourse_ouverte() -> Iterator[Bourse]:
    with Bourse(limites=False).en_fil() as ouverte:
        yield ouverte


@pytest.fixture
def bourse(_bourse_ouverte: Bourse) -> Iterator[Bourse]:
    """Les quatre exchanges embarqués, à l'heure vraie, sans limite de débit, servis par un fil ; remis à neuf."""
    _bourse_ouverte.requetes.clear()
    yield _bourse_ouverte
    _bourse_ouverte.pannes.vider()
    _bourse_ouverte.latence_s, _bourse_ouverte.decalage_ms = 0.0, 0
