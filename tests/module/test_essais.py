"""Les essais : attentes entre essais, pause commune, Retry-After obéi par toutes les requêtes. Aucun vrai sommeil."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING, Any

import pytest
from horloge_simulee import Temps
from hypothesis import given, settings
from hypothesis import strategies as st

from module_ccxt_fr_v2 import (
    ATTENTE_MAX_S,
    DELAI_INITIAL_S,
    DELAI_MAX_S,
    ErreurDefinitive,
    ErreurTemporaire,
    Essais,
    Frein,
    HorsFenetre,
    LimiteDeDebit,
    RefusProbable,
    attendre,
    delais_backoff,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


def essais(temps: Temps, nombre: int = 8, **options: object) -> Essais:
    """Une politique d'essais sans aléa, à l'heure de ce temps."""
    frein = Frein(temps.dormir, temps.horloge)
    return Essais(nombre, frein, dormir=temps.dormir, alea=lambda: 1.0, **options)  # type: ignore[arg-type]  # noter


def jouer(temps: Temps, *taches: Awaitable[object]) -> list[object]:
    return asyncio.run(temps.derouler(*taches))


def suite(
    *reponses: object, appels: list[float] | None = None, temps: Temps | None = None
) -> Callable[[], Awaitable[object]]:
    """Un appel qui rend ou lève ces réponses, l'une après l'autre ; la dernière se répète."""
    restantes = list(reponses)

    async def appel() -> object:
        if appels is not None and temps is not None:
            appels.append(temps.instant)
        reponse = restantes.pop(0) if len(restantes) > 1 else restantes[0]
        if isinstance(reponse, BaseException):
            raise reponse
        return reponse

    return appel


PANNE = ErreurTemporaire("panne")


@pytest.mark.parametrize(
    ("dits", "appels"),
    [(["non 1", "non 2", "non 3", "non 4"], 3), (["non", "oui", "non", "oui"], 8), (["non", PANNE, "non", "non"], 5)],
)
def test_un_refus_redit_de_suite_n_attend_pas_le_dernier_essai(dits: list[Any], appels: int) -> None:
    """Trois fois la même réponse, aux nombres près et sans rien entre elles."""
    temps, faits = Temps(), list[float]()
    reponses = [dit if isinstance(dit, Exception) else RefusProbable(dit) for dit in dits] * 3
    (levee,) = jouer(temps, essais(temps).tenter(suite(*reponses, appels=faits, temps=temps)))
    assert isinstance(levee, ErreurTemporaire)
    assert len(faits) == appels


# --- Délais ---


@settings(deadline=None)
@given(st.lists(st.floats(0, 1, exclude_max=True), min_size=15, max_size=15))
def test_les_delais_doublent_jusqu_au_plafond(tirages: list[float]) -> None:
    """Chaque attente est tirée entre la moitié et le tout d'un délai qui double et plafonne."""
    restants = iter(tirages)
    delais = list(itertools.islice(delais_backoff(alea=lambda: next(restants)), 15))
    for rang, delai in enumerate(delais):
        entier = min(DELAI_MAX_S, DELAI_INITIAL_S * 2**rang)
        assert entier / 2 <= delai <= entier


def test_les_delais_ne_finissent_pas() -> None:
    """La suite est sans fin, et reste au plafond."""
    delais = list(itertools.islice(delais_backoff(alea=lambda: 1.0), 500))
    assert set(delais[10:]) == {DELAI_MAX_S}


# --- Essais ---


def test_une_reponse_saine_ne_dort_pas() -> None:
    """Rien à attendre quand tout va bien."""
    temps = Temps()
    assert jouer(temps, essais(temps).tenter(suite(7))) == [7]
    assert temps.sommeils == []


def test_une_erreur_passagere_est_reessayee_et_notee() -> None:
    """Deux pannes puis une réponse : deux attentes croissantes, notées avant d'être dormies."""
    temps, notes = Temps(), list[tuple[int, int, str, float]]()
    politique = essais(temps, noter=lambda *note: notes.append((note[0], note[1], str(note[2]), note[3])))
    assert jouer(temps, politique.tenter(suite(PANNE, PANNE, 7))) == [7]
    assert temps.sommeils == [DELAI_INITIAL_S, 2 * DELAI_INITIAL_S]
    assert notes == [(1, 8, "panne", DELAI_INITIAL_S), (2, 8, "panne", 2 * DELAI_INITIAL_S)]


@pytest.mark.parametrize("nombre", [1, 2, 5])
@pytest.mark.parametrize("erreur", [PANNE, LimiteDeDebit("429", attente_s=1.0), LimiteDeDebit("429")])
def test_le_nombre_d_essais_est_un_plafond(nombre: int, erreur: ErreurTemporaire) -> None:
    """Une panne qui dure : exactement `nombre` appels, et la dernière erreur est relevée."""
    temps, appels = Temps(), list[float]()
    resultat = jouer(temps, essais(temps, nombre).tenter(suite(erreur, appels=appels, temps=temps)))
    assert (resultat, len(appels)) == ([erreur], nombre)


def test_le_nombre_d_un_appel_l_emporte() -> None:
    """Un appel peut avoir son propre plafond."""
    temps, appels = Temps(), list[float]()
    jouer(temps, essais(temps, 8).tenter(suite(PANNE, appels=appels, temps=temps), nombre=2))
    assert len(appels) == 2


@pytest.mark.parametrize(
    "erreur", [ErreurDefinitive("non"), HorsFenetre("trop ancien"), ValueError("bogue"), KeyError("k")]
)
def test_une_erreur_definitive_sort_tout_de_suite(erreur: Exception) -> None:
    """Ce qui n'est pas passager n'est pas réessayé, ni avalé."""
    temps, appels = Temps(), list[float]()
    assert jouer(temps, essais(temps).tenter(suite(erreur, appels=appels, temps=temps))) == [erreur]
    assert (len(appels), temps.sommeils) == (1, [])


def test_une_annulation_traverse() -> None:
    """Une annulation n'est ni réessayée, ni retenue."""
    temps, appels = Temps(), list[float]()
    resultat = jouer(temps, essais(temps).tenter(suite(asyncio.CancelledError(), appels=appels, temps=temps)))
    assert isinstance(resultat[0], asyncio.CancelledError)
    assert len(appels) == 1


# --- La pause commune ---


@pytest.mark.parametrize("attente", [0.5, 3.0, 60.0, ATTENTE_MAX_S])
def test_retry_after_est_obei_par_toutes_les_requetes(attente: float) -> None:
    """Un 429 reçu par une seule : aucune des autres ne part avant l'instant donné, et toutes repartent après."""
    temps = Temps()
    politique = essais(temps)
    appels: list[float] = []
    fautif = politique.tenter(suite(LimiteDeDebit("429", attente_s=attente), 0, appels=appels, temps=temps))

    async def suivant(rang: int) -> object:
        await temps.dormir(0.01 + rang * attente / 12)  # certains arrivent pendant la pause, d'autres après
        return await politique.tenter(suite(rang, appels=appels, temps=temps))

    depart = temps.instant
    assert jouer(temps, fautif, *(suivant(rang) for rang in range(1, 20))) == list(range(20))
    assert appels[0] == depart
    assert min(appels[1:]) >= depart + attente
    assert len(appels) == 21


def test_sans_retry_after_la_pause_croit() -> None:
    """Un 429 qui ne dit rien : la pause est celle du backoff, et elle vaut pour tous."""
    temps = Temps()
    politique, appels = essais(temps), list[float]()
    limite = LimiteDeDebit("429")
    jouer(temps, politique.tenter(suite(limite, limite, limite, 1, appels=appels, temps=temps)))
    ecarts = [droite - gauche for gauche, droite in itertools.pairwise(appels)]
    assert all(ecart >= DELAI_INITIAL_S * 2**rang for rang, ecart in enumerate(ecarts))


def test_une_pause_prolongee_retient_ceux_qui_attendaient_deja() -> None:
    """Serré de nouveau pendant l'attente : personne ne part avant la nouvelle fin."""
    temps = Temps()
    frein = Frein(temps.dormir, temps.horloge)
    departs: list[float] = []

    async def attendre() -> None:
        await frein.attendre()
        departs.append(temps.instant)

    async def prolonger() -> None:
        await temps.dormir(5)
        frein.serrer(20)

    frein.serrer(10)
    jouer(temps, attendre(), attendre(), prolonger())
    assert min(departs) >= 1_025.0


def test_une_pause_plus_courte_ne_raccourcit_pas_l_autre() -> None:
    """Deux 429 : le plus lointain l'emporte."""
    temps = Temps()
    frein = Frein(temps.dormir, temps.horloge)
    frein.serrer(30)
    frein.serrer(1)
    jouer(temps, frein.attendre())
    assert temps.instant >= 1_030.0


def test_un_bannissement_long_rend_la_main() -> None:
    """Au-delà du plafond, l'erreur sort au premier essai au lieu de tenir le processus."""
    temps, appels = Temps(), list[float]()
    bannissement = LimiteDeDebit("418", attente_s=ATTENTE_MAX_S + 1)
    assert jouer(temps, essais(temps).tenter(suite(bannissement, appels=appels, temps=temps))) == [bannissement]
    assert (len(appels), temps.sommeils) == (1, [])


def test_les_essais_epuises_laissent_la_pause_aux_autres() -> None:
    """La requête qui abandonne sur un 429 ne libère pas les autres avant l'heure."""
    temps, appels = Temps(), list[float]()
    politique = essais(temps, 1)
    limite = LimiteDeDebit("429", attente_s=5.0)
    jouer(temps, politique.tenter(suite(limite)))
    jouer(temps, politique.tenter(suite(1, appels=appels, temps=temps)))
    assert len(appels) == 1
    assert appels[0] >= 1_005.0


def test_pendant_un_bannissement_long_plus_aucune_requete() -> None:
    """Banni pour longtemps : les autres requêtes échouent sans partir, en disant combien il reste."""
    temps, appels = Temps(), list[float]()
    politique = essais(temps)
    jouer(temps, politique.tenter(suite(LimiteDeDebit("418", attente_s=ATTENTE_MAX_S + 60))))
    (erreur,) = jouer(temps, politique.tenter(suite(1, appels=appels, temps=temps)))
    assert isinstance(erreur, LimiteDeDebit)
    assert "16 min" in str(erreur)
    assert appels == []


def test_une_annulation_qui_croise_l_evenement_n_est_pas_perdue() -> None:
    """Un SIGTERM dans le même tour de boucle qu'une donnée : `asyncio.wait_for` de Python 3.11 l'avalerait."""

    async def essai() -> bool:
        evenement = asyncio.Event()
        tache = asyncio.ensure_future(attendre(evenement, 60))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        evenement.set()
        tache.cancel()
        await asyncio.wait([tache])
        return tache.cancelled()

    assert asyncio.run(essai())


@pytest.mark.parametrize("plafond_s", [-1.0, 0.0, 0.001])
def test_attendre_un_evenement_s_arrete_a_son_plafond(plafond_s: float) -> None:
    """Ou le rend aussitôt s'il est déjà là."""

    async def essai() -> tuple[bool, bool]:
        evenement = asyncio.Event()
        sans = await attendre(evenement, plafond_s)
        evenement.set()
        return sans, await attendre(evenement, plafond_s)

    assert asyncio.run(essai()) == (False, True)
