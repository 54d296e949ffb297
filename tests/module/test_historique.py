"""La lecture de l'historique face à des serveurs de tous caractères : bornes, preuves, trous, fin garantie."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import itertools
import random
from dataclasses import dataclass
from itertools import pairwise
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from attente import PLAFOND_S
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from serveurs_de_bougies import (
    CLE,
    CODES,
    ECHELLE,
    MAINTENANT,
    PERSONNALITES,
    POINTS,
    Choix,
    Ligne,
    Monde,
    Panne,
    Serveur,
    dernieres_de_la_fenetre,
    monde,
    plage_de,
    premieres_jusqua,
    premieres_sans_fin,
)

import module_ccxt_fr_v2 as module
from annexes_ccxt_fr.grappes import rapprocher
from bourse_locale.marche import instant_ms
from module_ccxt_fr_v2 import (
    A_VENIR,
    AVANT_COTATION,
    ECHEC,
    HEURE_MS,
    HORS_FENETRE_API,
    JOUR_MS,
    MARGE,
    MINUTE_MS,
    SANS_TRANSACTION,
    ErreurDefinitive,
    ErreurTemporaire,
    Fiche,
    Historique,
    HorsFenetre,
    Intervalle,
    Lecteur,
    Morceau,
    Pages,
    Plage,
    Serie,
    Timeframe,
    Trou,
    borner,
    planifier,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from module_ccxt_fr_v2 import Connexion

# --- La lecture et ce qu'on en vérifie ---


@dataclass
class Recolte:
    """Ce qu'un Lecteur a rendu de [debut, fin[."""

    debut: int
    fin: int
    timeframe: Timeframe
    morceaux: list[Morceau]
    appels: int

    @functools.cached_property
    def lignes(self) -> list[tuple[Any, ...]]:
        """Toutes les lignes, dans l'ordre rendu."""
        tables = [m.lignes for m in self.morceaux]
        return [tuple(ligne.values()) for table in tables for ligne in table.to_pylist()]

    @property
    def trous(self) -> list[Trou]:
        """Tous les trous, dans l'ordre rendu."""
        return [trou for m in self.morceaux for trou in m.trous]

    def raison(self, instant: int) -> str | None:
        """La raison du trou qui contient l'instant."""
        return next((t.raison for t in self.trous if t.debut <= instant < t.fin), None)


def longues(code: str, serveur: Serveur) -> list[Timeframe]:
    """Les timeframes plus longs que le serveur sert aussi."""
    pas = Timeframe.lire(code).pas_ms
    return [t for t in map(Timeframe.lire, ECHELLE) if t.pas_ms > pas and serveur is not None]


def lire(serveur: Serveur, code: str, plage: tuple[int, int], *, avec_longues: bool = True, **options: Any) -> Recolte:
    """Lit la plage (instants quelconques), bougies closes seulement, et contrôle la forme de ce qui est rendu."""
    timeframe = Timeframe.lire(code).ancrer(serveur.ancres.get(code, 0))
    taille = options.pop("taille", serveur.limite)
    debut, fin = borner(Plage(*plage), timeframe, taille, MAINTENANT, Fiche(CLE))

    async def tout() -> list[Morceau]:
        pages = Pages(
            serveur.demander,
            timeframe,
            taille,
            longues=longues(code, serveur) if avec_longues else (),
            horizon_ms=MAINTENANT,
        )
        lecteur = Lecteur(pages, options.get("concurrence", 8))
        return [m async for m in lecteur.lire(debut, fin, ancien=options.get("ancien", False))]

    recolte = Recolte(debut, fin, timeframe, asyncio.run(tout()), len(serveur.appels))
    verifier_forme(recolte)
    return recolte


def verifier_forme(recolte: Recolte) -> None:
    """Morceaux contigus qui couvrent exactement la plage ; chaque absence est dans un trou, et un seul."""
    bornes = [m.couvert for m in recolte.morceaux]
    if recolte.debut < recolte.fin:
        assert (bornes[0][0], bornes[-1][1]) == (recolte.debut, recolte.fin)
    assert all(debut < fin for debut, fin in bornes)
    assert all(gauche[1] == droite[0] for gauche, droite in pairwise(bornes))
    for morceau in recolte.morceaux:
        debut, fin = morceau.couvert
        assert all(debut <= i < fin for i in morceau.lignes["timestamp"].to_pylist())
        assert all(debut <= t.debut < t.fin <= fin for t in morceau.trous)
    instants = [ligne[0] for ligne in recolte.lignes]
    assert all(gauche < droite for gauche, droite in pairwise(instants))
    trous = recolte.trous
    assert all(gauche.fin <= droite.debut for gauche, droite in pairwise(trous)), "trous mêlés"
    assert souder([(t.debut, t.fin) for t in trous]) == absences(instants, recolte)


def absences(instants: Sequence[int], recolte: Recolte) -> list[Intervalle]:
    """Les suites d'ouvertures sans ligne."""
    avancer = recolte.timeframe.avancer
    bords = [avancer(recolte.debut, -1), *instants, recolte.fin]
    return [(avancer(g, 1), d) for g, d in pairwise(bords) if avancer(g, 1) < d]


def souder(intervalles: Sequence[Intervalle]) -> list[Intervalle]:
    """Les intervalles, ceux qui se touchent réunis."""
    soudes: list[Intervalle] = []
    for debut, fin in intervalles:
        if soudes and soudes[-1][1] == debut:
            soudes[-1] = (soudes[-1][0], fin)
        else:
            soudes.append((debut, fin))
    return soudes


def verifier_vrai(
    recolte: Recolte,
    serveur: Serveur,
    servies: Callable[[Ligne], bool] = lambda _ligne: True,
    *,
    sans_preuve: bool = False,
) -> None:
    """Les lignes sont celles que l'exchange peut servir, toutes ; chaque trou a la raison que dit le monde."""
    bougies = serveur.monde.bougies(recolte.timeframe)
    attendues = [tuple(b) for b in bougies if recolte.debut <= b[0] < recolte.fin and servies(b)]
    assert recolte.lignes == attendues
    toutes = {b[0] for b in bougies}
    for trou in recolte.trous:
        vraie = raison_vraie(trou, toutes)
        if trou.raison == HORS_FENETRE_API and vraie == A_VENIR:
            continue  # un marché retiré depuis si longtemps que rien de lui n'est servi
        assert trou.raison == vraie or (sans_preuve and trou.raison in SANS_PREUVE.get(vraie, ())), (trou, vraie)


# Ce qu'un exchange qui ne prouve rien laisse dire, sans mentir, à la place d'un fait.
SANS_PREUVE = {
    AVANT_COTATION: (HORS_FENETRE_API,),
    SANS_TRANSACTION: (ECHEC, HORS_FENETRE_API, A_VENIR),
    HORS_FENETRE_API: (ECHEC,),  # d'une ligne que l'essai n'attend pas
}


def raison_vraie(trou: Trou, toutes: set[int]) -> str:
    """La raison d'un trou d'après le monde ; un trou à cheval sur deux raisons n'en a aucune."""
    if any(trou.debut <= instant < trou.fin for instant in toutes):
        return HORS_FENETRE_API
    if not toutes:
        return HORS_FENETRE_API  # rien n'a jamais été servi : rien ne dit que rien n'a existé
    if trou.fin <= min(toutes):
        return AVANT_COTATION
    if trou.debut > max(toutes):
        return A_VENIR
    return SANS_TRANSACTION if trou.debut > min(toutes) else "à cheval"


# --- Les marchés, dits en bougies de leur timeframe autour de la plage [0, POINTS[ ---


def illiquide(rang: int) -> bool:
    return random.Random(rang).random() < 1 / 50


MARCHES: dict[str, Callable[[int, int], bool]] = {
    "plein": lambda _r, _n: True,
    "neuf": lambda r, n: r >= n // 2 + 3,
    "retire": lambda r, n: r < n // 2 + 3,
    "panne": lambda r, n: not n // 3 <= r < 2 * n // 3,
    "petites_pannes": lambda r, _n: r % 37 not in (0, 1, 2),
    "illiquide": lambda r, _n: illiquide(r),
    "pas_encore_cote": lambda r, n: r > n + 4,
    "retire_avant": lambda r, _n: r < -20,
    "rien": lambda _r, _n: False,
}


@functools.cache
def marche(nom: str, code: str) -> Monde:
    """Un marché ; il n'a d'état que ses bougies, faites une fois : une page servie en est une copie."""
    vivante, points = MARCHES[nom], POINTS[code]
    return monde(code, lambda rang: vivante(rang, points))


@pytest.mark.couvrant
@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("nom_marche", MARCHES)
@pytest.mark.parametrize("caractere", PERSONNALITES)
def test_tout_caractere_est_lu_en_entier(caractere: str, nom_marche: str, code: str) -> None:
    """Lignes exactes, trous vrais, appels comptés, quel que soit le serveur, le marché et le timeframe."""
    timeframe, debut, fin = plage_de(code)
    tirage = random.Random(f"{caractere} {nom_marche} {code}")
    serveur = Serveur(marche(nom_marche, code), PERSONNALITES[caractere], tirage.choice((33, 50, 100)))
    decale = timeframe.pas_ms // 3
    recolte = lire(serveur, code, (debut - decale, fin - decale))
    # Sans timeframe plus long (1M), ou à une bougie par page, un vide peut rester sans preuve : il est dit en échec.
    # Celui qui ignore `since` ne prouve rien d'avant la cotation, ni un marché trop jeune pour qu'une page s'arrête
    # avant maintenant, ou pour que son premier mois soit servi.
    sans_preuve = code == "1M" or caractere in ("une_en_tete", "dernieres_avant_la_fin")
    if nom_marche in ("neuf", "pas_encore_cote"):
        sans_preuve |= caractere in ("premieres_sans_fin", "fin_exclue", "fin_sur_cloture")
    # Une demande de semaines ou de mois part une bougie plus tôt : à une par page, c'est celle-là qui revient.
    la_veille = caractere == "une_en_tete" and code in ("1w", "1M")
    verifier_vrai(
        recolte,
        serveur,
        lambda bougie: not (la_veille and recolte.raison(bougie[0]) == ECHEC),
        sans_preuve=sans_preuve,
    )
    assert recolte.appels <= appels_permis(caractere, serveur.limite, POINTS[code])


def appels_permis(caractere: str, limite: int, points: int) -> int:
    """Trois par fenêtre que le serveur sait remplir, et quatre-vingt-dix pour les recherches, à de si petites pages."""
    utile = {"une_en_tete": 1, "plafonnee_en_tete": limite // 3, "plafonnee_en_queue": limite // 3}.get(
        caractere, limite
    )
    return 3 * -(-points // utile) + 90


@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    code=st.sampled_from(("1m", "1h", "1d", "1w")),
    caractere=st.sampled_from([c for c in PERSONNALITES if c != "une_en_tete"]),
    limite=st.integers(20, 120),
    bords=st.tuples(st.integers(0, 150), st.integers(0, 150), st.floats(0, 1), st.floats(0, 1)),
    pannes=st.lists(st.tuples(st.integers(-60, 170), st.integers(1, 90)), max_size=4),
    cotation=st.integers(-300, 120),
)
@example(  # un long vide dont le bord gauche n'est qu'à deux bougies d'une ligne
    code="1m", caractere="since_exclusif", limite=20, bords=(53, 59, 1.0, 1.0), pannes=[(23, 90)], cotation=0
)
def test_bornes_strictes_et_trous_vrais(
    code: str,
    caractere: str,
    limite: int,
    bords: tuple[int, int, float, float],
    pannes: list[tuple[int, int]],
    cotation: int,
) -> None:
    """Bornes quelconques, hors grille, pannes et cotation au hasard : jamais une ligne de trop ni de moins."""
    timeframe, origine, _ = plage_de(code)
    absents = {rang for debut, duree in pannes for rang in range(debut, debut + duree)}
    serveur = Serveur(monde(code, lambda rang: rang not in absents, cotation), PERSONNALITES[caractere], limite)
    debut = timeframe.avancer(origine, bords[0]) + int(bords[2] * timeframe.pas_ms)
    fin = timeframe.avancer(debut, bords[1]) + int(bords[3] * timeframe.pas_ms)
    recolte = lire(serveur, code, (debut, fin))
    verifier_vrai(recolte, serveur, sans_preuve=True)
    assert all(debut <= ligne[0] < fin for ligne in recolte.lignes)


@pytest.mark.parametrize("caractere", [c for c in PERSONNALITES if c != "une_en_tete"])
@pytest.mark.parametrize("nom_marche", ["plein", "neuf", "petites_pannes", "pas_encore_cote", "rien"])
def test_sans_timeframe_long_les_lignes_restent_exactes(caractere: str, nom_marche: str) -> None:
    """Un exchange qui n'a qu'un timeframe : toutes les lignes, et rien d'affirmé sans preuve."""
    serveur = Serveur(marche(nom_marche, "1m"), PERSONNALITES[caractere], 33)
    recolte = lire(serveur, "1m", plage_de("1m")[1:], avec_longues=False)
    verifier_vrai(recolte, serveur, sans_preuve=True)


@pytest.mark.parametrize("concurrence", [1, 2, 64])
def test_la_concurrence_ne_change_rien(concurrence: int) -> None:
    """Une fenêtre ou soixante-quatre en vol : les mêmes lignes, dans le même ordre."""
    serveur = Serveur(marche("petites_pannes", "1m"), dernieres_de_la_fenetre, 10)
    recolte = lire(serveur, "1m", plage_de("1m")[1:], concurrence=concurrence)
    verifier_vrai(recolte, serveur)


def test_une_plage_vide_ne_demande_rien() -> None:
    """Début et fin dans la même bougie close : aucune requête, aucun morceau."""
    _, debut, _ = plage_de("1h")
    serveur = Serveur(marche("plein", "1h"))
    recolte = lire(serveur, "1h", (debut + 1, debut + 2 + HEURE_MS // 2))
    assert (recolte.morceaux, recolte.appels) == ([], 0)


def test_un_marche_sain_coute_une_requete_par_page() -> None:
    """Un exchange sans défaut n'est pas interrogé deux fois."""
    serveur = Serveur(marche("plein", "1m"), premieres_jusqua, 50)
    recolte = lire(serveur, "1m", plage_de("1m")[1:])
    verifier_vrai(recolte, serveur)
    assert recolte.appels == POINTS["1m"] // 50


# --- Ce que l'exchange ne sert pas, ou pas encore ---


@pytest.mark.parametrize(
    "caractere", ["premieres_jusqua", "premieres_sans_fin", "dernieres_de_la_fenetre", "decroissante"]
)
@pytest.mark.parametrize("code", ["1m", "1h", "1d"])
def test_pas_cote_depuis_des_annees_se_trouve_en_peu_d_appels(code: str, caractere: str) -> None:
    """Huit ans avant la cotation : une vingtaine d'appels, `avant_cotation`, et toutes les lignes."""
    serveur = Serveur(monde(code, lambda _rang: True, depuis=250), PERSONNALITES[caractere], 1000)
    _, _, fin = plage_de(code)
    recolte = lire(serveur, code, (fin - 8 * 365 * JOUR_MS, fin))
    # Sans `until`, toute page d'un marché si jeune va jusqu'à maintenant : rien n'y prouve que `since` est suivi.
    raison = HORS_FENETRE_API if caractere == "premieres_sans_fin" else AVANT_COTATION
    verifier_vrai(recolte, serveur, sans_preuve=raison == HORS_FENETRE_API)
    assert [trou.raison for trou in recolte.trous] == [raison] * len(recolte.trous)
    assert recolte.appels <= 25


@pytest.mark.parametrize(
    "caractere", ["premieres_jusqua", "premieres_sans_fin", "dernieres_de_la_fenetre", "since_exclusif"]
)
@pytest.mark.parametrize("code", ["1m", "1h"])
def test_retire_depuis_des_annees(code: str, caractere: str) -> None:
    """Rien depuis le retrait, trois ans de vide : peu d'appels, `sans_transaction`."""
    timeframe = Timeframe.lire(code)
    debut = timeframe.plancher(MAINTENANT - 3 * 365 * JOUR_MS)
    serveur = Serveur(
        Monde([timeframe.avancer(debut, rang) for rang in range(-50, 300)]), PERSONNALITES[caractere], 500
    )
    recolte = lire(serveur, code, (debut, MAINTENANT))
    verifier_vrai(recolte, serveur)
    assert recolte.appels <= 60


def kraken(bougies: list[Ligne], _tf: Timeframe, _debut: int, _fin: int, limite: int) -> list[Ligne]:
    """Les plus récentes, quel que soit `since`."""
    return bougies[-limite:]


def hyperliquid(bougies: list[Ligne], _tf: Timeframe, debut: int, fin: int, limite: int) -> list[Ligne]:
    """Les premières de la fenêtre, prises dans les seules plus récentes."""
    return [b for b in bougies[-3 * limite :] if debut <= b[0] < fin][:limite]


def trop_ancien(avec_points: bool) -> Choix:
    """Gate : refuse ce qui est plus vieux que trois pages."""

    def choisir(bougies: list[Ligne], tf: Timeframe, debut: int, fin: int, limite: int) -> list[Ligne]:
        if debut < tf.avancer(MAINTENANT, -3 * limite):
            raise HorsFenetre("trop ancien", admis=3 * limite if avec_points else None)
        return premieres_jusqua(bougies, tf, debut, fin, limite)

    return choisir


RECENTS: dict[str, tuple[Choix, int]] = {
    "kraken": (kraken, 120),
    "hyperliquid": (hyperliquid, 360),
    "gate": (trop_ancien(avec_points=True), 361),
    "gate_muet": (trop_ancien(avec_points=False), 361),
}


@pytest.mark.couvrant
@pytest.mark.parametrize("code", ["1m", "1h", "1d"])
@pytest.mark.parametrize("avant", [3000, 500, 5])
@pytest.mark.parametrize("nom", RECENTS)
def test_ce_que_l_exchange_ne_sert_plus_est_dit_hors_fenetre(nom: str, avant: int, code: str) -> None:
    """Les plus récentes seulement : elles sont toutes lues, et le reste est `hors_fenetre_api`, jamais autre chose."""
    choisir, servies = RECENTS[nom]
    timeframe = Timeframe.lire(code)
    premiere = timeframe.avancer(MAINTENANT, 1 - servies)
    depuis = timeframe.avancer(premiere, -4000)
    serveur = Serveur(Monde([timeframe.avancer(depuis, r) for r in range(4000 + servies)]), choisir, 120)
    recolte = lire(serveur, code, (timeframe.avancer(premiere, -avant), MAINTENANT))
    servie = recolte.lignes[0][0]
    assert servie == premiere
    verifier_vrai(recolte, serveur, lambda bougie: bougie[0] >= servie)
    assert {t.raison for t in recolte.trous} == {HORS_FENETRE_API}
    assert recolte.appels <= 60


@pytest.mark.parametrize("avec_longues", [True, False])
@pytest.mark.parametrize("avant", [3000, 500, 5])
@pytest.mark.parametrize("nom", ["gate", "gate_muet"])
def test_un_fichier_plus_vieux_que_la_fenetre_recoit_ce_qui_est_encore_servi(
    nom: str, avant: int, avec_longues: bool
) -> None:
    """Des lignes d'avant sont écrites, la suite est trop ancienne : elle est dite, et tout le reste est lu."""
    minute, (choisir, servies) = Timeframe.lire("1m"), RECENTS[nom]
    premiere = minute.avancer(MAINTENANT, 1 - servies)
    serveur = Serveur(Monde([minute.avancer(premiere, r) for r in range(-4000, servies)]), choisir, 120)
    plage = (minute.avancer(premiere, -avant), MAINTENANT)
    recolte = lire(serveur, "1m", plage, avec_longues=avec_longues, ancien=True)
    assert recolte.lignes[0][0] == premiere
    verifier_vrai(recolte, serveur, lambda bougie: bougie[0] >= premiere)
    assert recolte.trous == [Trou(recolte.debut, premiere, HORS_FENETRE_API)]
    assert recolte.appels <= 60


def trop_anciens(refus: Callable[[int, int, int], bool]) -> Choix:
    """Refuse, comme trop anciennes, des demandes dites par leur rang, leur début et leur fin (en bougies d'essai)."""
    rangs = itertools.count(1)

    def choisir(bougies: list[Ligne], tf: Timeframe, debut: int, fin: int, limite: int) -> list[Ligne]:
        if refus(next(rangs), *((borne - DEBUT_DES_REFUS) // MINUTE_MS for borne in (debut, fin))):
            raise HorsFenetre("trop ancien")
        return premieres_jusqua(bougies, tf, debut, fin, limite)

    return choisir


DEBUT_DES_REFUS = MAINTENANT // MINUTE_MS * MINUTE_MS - 1000 * MINUTE_MS
# Le refus ; de quelles minutes il peut priver.
REFUS: dict[str, tuple[Callable[[int, int, int], bool], range]] = {
    "le premier": (lambda rang, _debut, _fin: rang == 1, range(0)),
    "un au milieu": (lambda rang, _debut, _fin: rang == 5, range(0)),
    "un sur trois": (lambda rang, _debut, _fin: rang % 3 == 0, range(1000)),
    "des minutes du milieu": (lambda _rang, debut, _fin: 300 <= debut < 500, range(300, 500)),
    "les dernières": (lambda _rang, debut, _fin: debut >= 700, range(700, 1000)),
    "tout": (lambda _rang, _debut, _fin: True, range(1000)),
    "toute page de plus d'une bougie": (lambda _rang, debut, fin: fin - debut > 1, range(1000)),
}


@pytest.mark.couvrant
@pytest.mark.parametrize("ancien", [True, False])
@pytest.mark.parametrize("vide", [range(0), range(100, 350)])
@pytest.mark.parametrize("nom", REFUS)
def test_aucun_refus_trop_ancien_n_arrete_la_serie(nom: str, vide: range, ancien: bool) -> None:
    """Où qu'il tombe, le reste est lu ; ce qui n'est pas servi est dit."""
    refus, prive = REFUS[nom]
    vivantes = [DEBUT_DES_REFUS + rang * MINUTE_MS for rang in range(-200, 1000) if rang not in vide]
    serveur = Serveur(Monde(vivantes), trop_anciens(refus), 50)
    recolte = lire(serveur, "1m", (DEBUT_DES_REFUS, MAINTENANT), ancien=ancien)
    prives = {DEBUT_DES_REFUS + rang * MINUTE_MS for rang in prive}
    lues = {ligne[0] for ligne in recolte.lignes}
    assert {i for i in vivantes if recolte.debut <= i < recolte.fin} - lues <= prives
    for trou in recolte.trous:
        absentes = {i for i in vivantes if trou.debut <= i < trou.fin}
        assert trou.raison == HORS_FENETRE_API or not absentes
    assert recolte.appels <= 300


def test_une_page_qui_tait_sa_fenetre_est_relue_et_refusee() -> None:
    """Elle commence après ce qui était demandé ; relue, elle est dite trop ancienne : la suite est lue."""
    vues: set[tuple[int, int]] = set()

    def choisir(bougies: list[Ligne], tf: Timeframe, debut: int, fin: int, limite: int) -> list[Ligne]:
        if tf.code == "1m" and debut < DEBUT_DES_REFUS + 200 * MINUTE_MS:
            if vues:
                raise HorsFenetre("trop ancien")
            vues.add((debut, fin))
        return premieres_sans_fin(bougies, tf, debut, fin, limite)

    vivantes = [DEBUT_DES_REFUS + rang * MINUTE_MS for rang in range(200, 1000)]
    serveur = Serveur(Monde(vivantes), choisir, 50)
    recolte = lire(serveur, "1m", (DEBUT_DES_REFUS, MAINTENANT), ancien=True)
    assert [ligne[0] for ligne in recolte.lignes] == vivantes
    assert all(trou.fin <= vivantes[0] for trou in recolte.trous)


def test_le_pas_d_un_marche_rare_au_bord_de_la_fenetre_se_confirme_plus_loin() -> None:
    """Une page éparse en veut une plus large, refusée : elle-même est servie, et le pas se verra ensuite."""
    serveur = Serveur(
        Monde([DEBUT_DES_REFUS + rang * MINUTE_MS for rang in (-9, 0, 7, *range(60, 1000))]),
        trop_anciens(lambda _rang, debut, _fin: debut < 0),
        50,
    )
    recolte = lire(serveur, "1m", (DEBUT_DES_REFUS, MAINTENANT), ancien=True)
    assert [ligne[0] for ligne in recolte.lignes] == serveur.monde.transactions[1:]


def test_le_pas_qu_un_refus_a_laisse_a_voir_est_vu_ensuite() -> None:
    """Ce qu'il nomme 1m est de quinze minutes, et une première page plus large est refusée : la suivante le dit."""
    vivantes = [DEBUT_DES_REFUS + rang * MINUTE_MS for rang in range(140, 230, 15)]
    serveur = Serveur(Monde(vivantes), trop_anciens(lambda _rang, debut, _fin: debut < 0), 200)
    pages = Pages(serveur.demander, Timeframe.lire("1m"), 200, horizon_ms=MAINTENANT)

    async def deux_pages() -> None:
        reponse = await pages.lire(DEBUT_DES_REFUS, vivantes[3])
        assert reponse.instants == vivantes[:3]
        with pytest.raises(module.PasRefuse):
            await pages.lire(vivantes[3], vivantes[3] + 200 * MINUTE_MS)

    asyncio.run(deux_pages())


def historique_de(
    lire_bougies: Callable[..., Awaitable[list[Ligne]]], serie: Serie, plage: Plage, en_vol: int = 1
) -> Historique:
    """La source d'une série neuve, d'un exchange qui n'offre que son timeframe."""
    connexion = SimpleNamespace(
        heure_ms=lambda: MAINTENANT,
        avance_douteuse_ms=0,
        lire_bougies=lire_bougies,
        timeframes_offerts=lambda _marche: {serie.timeframe.code: serie.timeframe.code},
        fenetre_ms=lambda _timeframe, _marche: 0,
    )
    return Historique(cast("Connexion", connexion), serie, plage, Fiche(CLE), asyncio.Semaphore(en_vol), en_vol)


def test_une_grille_trop_ancienne_pour_etre_apprise_n_arrete_pas_la_serie() -> None:
    """D'un marché retiré, les jours d'avant la fin demandée diraient la grille : trop anciens, ils sont refusés."""
    fin = MAINTENANT - 900 * JOUR_MS

    async def lire_bougies(_serie: Serie, _tf: Timeframe, debut: int, _fin: int, **_options: Any) -> list[Ligne]:
        if debut < MAINTENANT - 100 * JOUR_MS:
            raise HorsFenetre("trop ancien")
        return []

    serie = Serie(CLE, {}, Timeframe.lire("1d"), 100)
    source = historique_de(lire_bougies, serie, Plage(fin - 30 * JOUR_MS, fin))

    async def trous() -> list[Trou]:
        return [trou async for lot in source.lots(await source.preparer()) for trou in lot.trous]

    assert asyncio.run(trous()) == [Trou(source.demande[0], fin, HORS_FENETRE_API)]


@pytest.mark.parametrize("fin", [None, MAINTENANT - 60 * JOUR_MS])
@pytest.mark.parametrize(("code", "muet"), [("1d", 40), ("1d", 400), ("1w", 30), ("1M", 13)])
def test_la_grille_d_un_marche_retire_s_apprend_de_ses_dernieres_bougies(code: str, muet: int, fin: int | None) -> None:
    """htx, jours de Hong Kong, retiré depuis plus de dix bougies : toutes étaient refusées, « hors de la grille »."""
    pas = Timeframe.lire(code).ancrer(-8 * HEURE_MS)
    ouvertures = [pas.avancer(MAINTENANT, -muet - rang) for rang in range(60)][::-1]

    async def lire_bougies(_serie: Serie, _tf: Timeframe, debut: int, jusqua: int, **_options: Any) -> list[Ligne]:
        return [[i, 10.0, 11.0, 9.0, 10.5, 3.0] for i in ouvertures if debut <= i < jusqua]

    source = historique_de(lire_bougies, Serie(CLE, {}, Timeframe.lire(code), 100), Plage(ouvertures[5], fin))

    async def lus() -> list[int]:
        lots = [lot async for lot in source.lots(await source.preparer())]
        return [i for lot in lots for i in lot.lignes["timestamp"].cast("int64").to_pylist()]

    assert asyncio.run(lus()) == [i for i in ouvertures[5:] if fin is None or i < fin]


def test_d_un_exchange_muet_dont_la_grille_est_inconnue_rien_n_est_dit_apres_la_fin_demandee() -> None:
    """Ses mois ouvrent peut-être à Hong Kong (htx) : une réparation écrirait celui qui s'ouvre après la fin."""
    debut, fin = instant_ms("2019-04-27"), instant_ms("2021-06-30T12:00")

    async def lire_bougies(*_demande: Any, **_options: Any) -> list[Ligne]:
        return []

    source = historique_de(lire_bougies, Serie(CLE, {}, Timeframe.lire("1M"), 100), Plage(debut, fin))

    async def trous() -> list[Trou]:
        return [trou async for lot in source.lots(await source.preparer()) for trou in lot.trous]

    assert asyncio.run(trous()) == [Trou(instant_ms("2019-05-01"), fin, HORS_FENETRE_API)]


@pytest.mark.parametrize(
    ("page", "depart", "raison"),
    [("comptees", 416, SANS_TRANSACTION), ("comptees", 417, SANS_TRANSACTION), ("suivies", 416, ECHEC)],
)
def test_un_vide_juste_avant_la_derniere_bougie_close_n_est_pas_une_queue(page: str, depart: int, raison: str) -> None:
    """Elle est écrite : il est prouvé, ou en échec, dès la première fois ; tu, une relance l'aurait trouvé (lbank).

    De qui compte ses lignes depuis `since`, une demande d'assez loin finit avant elle : il ne l'ajoute pas à tout.
    """
    timeframe, debut, _ = plage_de("1h")
    vivantes = [rang for rang in range(-900, 430) if (rang % 13 == 0 and rang < 420) or rang == 429]

    def servir(bougies: list[Ligne], tf: Timeframe, depuis: int, fin: int, limite: int) -> list[Ligne]:
        if page == "comptees":
            return [b for b in bougies if depuis <= b[0]][: min(limite, tf.compter(depuis, fin))]
        return [*(b for b in bougies[:-1] if depuis <= b[0] < fin), bougies[-1]]

    serveur = Serveur(monde("1h", frozenset(vivantes).__contains__), servir, 500)

    async def lire_bougies(_serie: Serie, tf: Timeframe, depuis: int, fin: int, **_options: Any) -> list[Ligne]:
        return await serveur.demander(tf, depuis, fin, False)

    source = historique_de(
        lire_bougies, Serie(CLE, {}, timeframe, 500), Plage(timeframe.avancer(debut, depart))
    )

    async def lots() -> list[module.Lot]:
        return [lot async for lot in source.lots(await source.preparer())]

    lus = asyncio.run(lots())
    rangs = [timeframe.compter(debut, i) for lot in lus for i in lot.lignes["timestamp"].cast("int64").to_pylist()]
    assert rangs == [rang for rang in (416, 429) if rang >= depart]
    bornes = (timeframe.avancer(debut, 417), timeframe.avancer(debut, 429))
    assert [trou for lot in lus for trou in lot.trous] == [Trou(*bornes, raison)]


def test_ce_qui_ne_sert_que_ses_dernieres_a_chaque_timeframe_n_a_pas_de_cotation() -> None:
    """Les mois y remontent plus loin que les heures : rien n'est prouvé, aucune demande ne finit avant son début."""

    def les_300_dernieres(bougies: list[Ligne], _tf: Timeframe, debut: int, fin: int, limite: int) -> list[Ligne]:
        return [b for b in bougies[-300:] if debut <= b[0] < fin][:limite]

    timeframe, _, fin = plage_de("1h")
    serveur = Serveur(monde("1h", lambda _rang: True, -20_000), les_300_dernieres, limite=100)
    ancien = timeframe.avancer(fin, -15_000)
    recolte = lire(serveur, "1h", (ancien, timeframe.avancer(ancien, 100)))
    assert [trou.raison for trou in recolte.trous] == [HORS_FENETRE_API]
    assert all(debut < fin for _, debut, fin, _ in serveur.appels)


@pytest.mark.parametrize(("debut", "fin"), [(4000, 1000), (4000, 3700), (4000, 3900), (500, 200)])
def test_kraken_ne_sert_rien_de_la_plage(debut: int, fin: int) -> None:
    """Une plage tout entière avant ce que l'exchange sert : `hors_fenetre_api`, en peu d'appels."""
    timeframe = Timeframe.lire("1m")
    serveur = Serveur(Monde([timeframe.avancer(MAINTENANT, -r) for r in range(6000, -1, -1)]), kraken, 120)
    recolte = lire(serveur, "1m", (timeframe.avancer(MAINTENANT, -debut), timeframe.avancer(MAINTENANT, -fin)))
    assert (recolte.lignes, {t.raison for t in recolte.trous}) == ([], {HORS_FENETRE_API})
    assert recolte.appels <= 40


def test_un_marche_neuf_chez_kraken_ne_prouve_rien_d_avant() -> None:
    """Moins de bougies que la page, mais toujours les mêmes : rien ne dit que ce soient les premières."""
    timeframe = Timeframe.lire("1m")
    serveur = Serveur(Monde([timeframe.avancer(MAINTENANT, -r) for r in range(100, -1, -1)]), kraken, 720)
    recolte = lire(serveur, "1m", (MAINTENANT - 900 * JOUR_MS, MAINTENANT))
    verifier_vrai(recolte, serveur, sans_preuve=True)
    assert {trou.raison for trou in recolte.trous} == {HORS_FENETRE_API}


@pytest.mark.parametrize(("code", "ancre"), [("1w", 3 * JOUR_MS), ("1d", 16 * HEURE_MS), ("1M", -8 * HEURE_MS)])
@pytest.mark.parametrize(
    "caractere", ["premieres_jusqua", "dernieres_de_la_fenetre", "premieres_sans_fin", "since_exclusif"]
)
@pytest.mark.parametrize("nom_marche", ["plein", "neuf", "petites_pannes"])
def test_les_bougies_ancrees_ailleurs_gardent_leurs_horodatages(
    nom_marche: str, caractere: str, code: str, ancre: int
) -> None:
    """Semaines du jeudi, jours et mois de Hong Kong : lues en entier, à leurs propres instants."""
    timeframe, debut, fin = plage_de(code)
    points = POINTS[code]
    transactions = monde(code, lambda rang: MARCHES[nom_marche](rang, points), ancre=ancre).transactions
    serveur = Serveur(Monde(transactions), PERSONNALITES[caractere], 50, ancres={code: ancre, "1w": 3 * JOUR_MS})
    recolte = lire(serveur, code, (debut, fin))
    verifier_vrai(recolte, serveur, sans_preuve=code == "1M")
    assert all(timeframe.ancrer(ancre).est_sur_grille(ligne[0]) for ligne in recolte.lignes)


# --- Pannes passagères : rien ne doit en paraître ---


def a_l_appel(*numeros: int) -> Callable[[Callable[[list[Ligne], Serveur], list[Ligne]]], Panne]:
    """La panne qu'on lui donne, à ces appels seulement."""
    return lambda abimer: lambda numero, page, serveur: abimer(page, serveur) if numero in numeros else page


def reculee(page: list[Ligne], serveur: Serveur, minutes: int) -> list[Ligne]:
    """Les vraies bougies de 1 min d'un peu plus tôt."""
    if not page:
        return []
    debut, fin = page[0][0] - minutes * MINUTE_MS, page[-1][0] - minutes * MINUTE_MS
    bougies = serveur.monde.bougies(Timeframe.lire("1m"))
    return [list(ligne) for ligne in bougies if debut <= ligne[0] <= fin]


def abimer_une(page: list[Ligne], rang: int, colonne: int, valeur: object) -> list[Ligne]:
    """La page, où une valeur d'une ligne est remplacée."""
    if page:
        ligne = page[rang % len(page)]
        ligne[colonne] = valeur if colonne or valeur is None else ligne[0] + 17_000
    return page


def abimeur(colonne: int, valeur: object) -> Callable[[list[Ligne], Serveur], list[Ligne]]:
    """La panne qui met cette valeur dans une ligne de la page."""
    return lambda page, _serveur: abimer_une(page, 11, colonne, valeur)


IMPOSSIBLES: dict[str, tuple[int, object]] = {
    "sans_instant": (0, None),
    "hors_grille": (0, 1_718_000_000_123),
    "open_absent": (1, None),
    "high_nan": (2, float("nan")),
    "low_infini": (3, float("inf")),
    "close_nul": (4, 0.0),
    "close_negatif": (4, -1.0),
    "volume_negatif": (5, -1.0),
    "volume_absent": (5, None),
    "high_sous_low": (2, 0.5),
    "open_texte": (1, "n/a"),
}

PASSAGERES: dict[str, Callable[[list[Ligne], Serveur], list[Ligne]]] = {
    "vide": lambda _p, _s: [],
    "sans_tete": lambda p, _s: p[7:],
    "sans_queue": lambda p, _s: p[:-7],
    "doublons": lambda p, _s: p + p[:9],
    "desordre": lambda p, _s: sorted(p, key=lambda ligne: ligne[0] * 7919 % 101),
    "page_precedente": lambda _p, s: [list(ligne) for ligne in s.pages[-1]] if s.pages else [],
    "page_qui_recule": lambda p, s: reculee(p, s, 50),
    "lignes_hors_fenetre": lambda p, s: reculee(p, s, 300)[:5] + p + reculee(p, s, -200)[-5:],
    "premiere_seule": lambda p, _s: p[:1],
    "derniere_seule": lambda p, _s: p[-1:],
    **{f"impossible_{nom}": abimeur(colonne, valeur) for nom, (colonne, valeur) in IMPOSSIBLES.items()},
}


@pytest.mark.couvrant(nom=lambda nom: nom.partition("_")[0] if nom.startswith("impossible") else nom)
@pytest.mark.parametrize(
    "caractere", ["premieres_jusqua", "premieres_sans_fin", "dernieres_de_la_fenetre", "decroissante"]
)
@pytest.mark.parametrize("nom", PASSAGERES)
def test_une_panne_passagere_ne_laisse_aucune_trace(nom: str, caractere: str) -> None:
    """Première, dernière, une du milieu ou deux de suite abîmées : le résultat est celui d'un exchange sain."""
    plage = plage_de("1m")[1:]
    # Par paires : chaque panne, chaque caractère et chaque appel abîmé voient les deux marchés.
    decalage = [*PASSAGERES].index(nom) + [*PERSONNALITES].index(caractere)
    for rang, numeros in enumerate(((1,), (2,), (5,), (8,), (3, 4))):
        nom_marche = ("plein", "petites_pannes")[(rang + decalage) % 2]
        sain = lu_sain(nom_marche, caractere)
        panne = a_l_appel(*numeros)(PASSAGERES[nom])
        malade = lire(Serveur(marche(nom_marche, "1m"), PERSONNALITES[caractere], panne=panne), "1m", plage)
        assert malade.lignes == sain.lignes, numeros
        assert unifies(malade.trous) == unifies(sain.trous), numeros


@functools.cache
def lu_sain(nom_marche: str, caractere: str) -> Recolte:
    """Ce que rend un exchange sans panne."""
    return lire(Serveur(marche(nom_marche, "1m"), PERSONNALITES[caractere]), "1m", plage_de("1m")[1:])


def unifies(trous: list[Trou]) -> dict[str, list[Intervalle]]:
    """Les trous par raison, ceux qui se touchent réunis."""
    return {
        raison: souder([(t.debut, t.fin) for t in trous if t.raison == raison]) for raison in {t.raison for t in trous}
    }


@pytest.mark.parametrize("numero", range(1, 13))
@pytest.mark.parametrize("nom_marche", ["neuf", "retire", "panne", "pas_encore_cote"])
def test_une_page_vide_passagere_ne_devient_pas_un_fait(nom_marche: str, numero: int) -> None:
    """Pendant la recherche aussi, une seule page vide ne fait pas croire à un vide."""
    plage = plage_de("1m")[1:]
    panne = a_l_appel(numero)(PASSAGERES["vide"])
    serveur = Serveur(marche(nom_marche, "1m"), panne=panne)
    verifier_vrai(lire(serveur, "1m", plage), serveur)


@pytest.mark.parametrize("caractere", ["premieres_jusqua", "dernieres_de_la_fenetre", "premieres_sans_fin"])
@pytest.mark.parametrize("reste", range(1, 5))
def test_un_vide_plus_long_qu_une_page_finit_juste_apres_la_fin(caractere: str, reste: int) -> None:
    """La bougie longue qui l'encadre commence avant la fin demandée : la ligne d'après la fin dit où il s'arrête."""
    _, debut, fin = plage_de("1m")
    longue = Timeframe.lire("5m").plancher(fin)
    suivante = longue + 5 * MINUTE_MS - MINUTE_MS  # la dernière minute de la bougie où finit la demande
    vide = range(-130, (suivante - longue) // MINUTE_MS)
    serveur = Serveur(
        monde("1m", lambda rang: (debut + rang * MINUTE_MS - longue) // MINUTE_MS not in vide),
        PERSONNALITES[caractere], limite=50,
    )  # fmt: skip
    recolte = lire(serveur, "1m", (debut, longue + reste * MINUTE_MS))
    verifier_vrai(recolte, serveur)
    assert [trou.raison for trou in recolte.trous] == [SANS_TRANSACTION]


def test_un_trou_au_milieu_d_une_page_est_inscrit() -> None:
    """Une page à laquelle il manque son milieu est crue, mais le manque est inscrit : jamais un trou silencieux."""
    panne = a_l_appel(3)(lambda page, _serveur: page[:20] + page[25:])
    serveur = Serveur(marche("plein", "1m"), panne=panne)
    recolte = lire(serveur, "1m", plage_de("1m")[1:])
    assert (len(recolte.lignes), [t.raison for t in recolte.trous]) == (POINTS["1m"] - 5, [SANS_TRANSACTION])


def test_deux_versions_d_une_bougie_sont_redemandees() -> None:
    """Deux lignes contradictoires du même instant : ni l'une ni l'autre n'est crue, la page est redemandée."""
    panne = a_l_appel(2)(lambda page, _serveur: [*page, [page[3][0], 900.0, 901.0, 899.0, 900.0, 1.0]])
    serveur = Serveur(marche("plein", "1m"), panne=panne)
    recolte = lire(serveur, "1m", plage_de("1m")[1:])
    verifier_vrai(recolte, serveur)


# --- Pannes qui durent : fin garantie, rien de silencieux ---


def lire_ou_abandonner(serveur: Serveur, code: str = "1m", **options: Any) -> Recolte | None:
    """La récolte, ou None si la lecture s'est arrêtée sur une erreur temporaire."""
    try:
        return lire(serveur, code, plage_de(code)[1:], **options)
    except ErreurTemporaire:
        return None


def verifier_sans_mensonge(recolte: Recolte | None, serveur: Serveur) -> None:
    """Ce qui est rendu est vrai ; une bougie qui existe et manque est dans un trou `echec`, jamais un fait."""
    if recolte is None:
        return
    vraies = {b[0]: tuple(b) for b in serveur.monde.bougies(recolte.timeframe)}
    assert all(vraies.get(ligne[0]) == ligne for ligne in recolte.lignes)
    rendues = {ligne[0] for ligne in recolte.lignes}
    perdues = [i for i in vraies if recolte.debut <= i < recolte.fin and i not in rendues]
    assert {recolte.raison(i) for i in perdues} <= {ECHEC, HORS_FENETRE_API, A_VENIR}


def premiere_page(serveur: Serveur) -> list[Ligne]:
    """La toute première page rendue."""
    return [list(ligne) for ligne in serveur.pages[0]]


TOUJOURS: dict[str, Panne] = {
    "toujours_la_premiere_page": lambda _n, page, s: premiere_page(s) if s.appels[-1][0] == "1m" and s.pages else page,
    "toujours_sans_ses_dernieres": lambda _n, page, _s: page[:-3],
    "toujours_sans_ses_premieres": lambda _n, page, _s: page[3:],
    "toujours_en_double": lambda _n, page, _s: page + page,
    "toujours_reculee": lambda _n, page, s: reculee(page, s, 500),
    "une_page_sur_deux_vide": lambda n, page, _s: page if n % 2 else [],
}


@pytest.mark.couvrant
@pytest.mark.parametrize("limite", [20, 100])
@pytest.mark.parametrize("nom_marche", ["plein", "petites_pannes"])
@pytest.mark.parametrize("nom", TOUJOURS)
def test_une_panne_qui_dure_finit_et_se_dit(nom: str, nom_marche: str, limite: int) -> None:
    """Jamais de boucle sans fin, jamais un trou silencieux ou mal expliqué."""
    serveur = Serveur(marche(nom_marche, "1m"), limite=limite, panne=TOUJOURS[nom])
    verifier_sans_mensonge(lire_ou_abandonner(serveur), serveur)
    assert len(serveur.appels) <= 1_000


@pytest.mark.parametrize("limite", [20, 100])
def test_la_meme_page_pour_tout_timeframe_est_un_echec(limite: int) -> None:
    """Une page unique quoi qu'on demande : ses lignes sont rendues, tout le reste est en échec."""
    serveur = Serveur(marche("plein", "1m"), limite=limite, panne=lambda n, p, s: p if n == 1 else premiere_page(s))
    recolte = lire_ou_abandonner(serveur)
    verifier_sans_mensonge(recolte, serveur)
    assert recolte is None or len(recolte.lignes) == limite


@pytest.mark.parametrize("nom", IMPOSSIBLES)
def test_une_ligne_impossible_qui_persiste_est_un_echec(nom: str) -> None:
    """Elle n'est pas rendue, sa bougie est un trou `echec`, le reste est entier, et elle est comptée."""
    _, debut, fin = plage_de("1m")
    cible, (colonne, valeur) = debut + 123 * MINUTE_MS, IMPOSSIBLES[nom]
    if nom == "hors_grille":
        valeur = cible + 17_000

    def panne(_numero: int, page: list[Ligne], _serveur: Serveur) -> list[Ligne]:
        for ligne in page:
            if ligne[0] == cible:
                ligne[colonne] = valeur
        return page

    serveur = Serveur(marche("plein", "1m"), panne=panne)
    recolte = lire(serveur, "1m", (debut, fin))
    assert [ligne[0] for ligne in recolte.lignes] == [i for i in range(debut, fin, MINUTE_MS) if i != cible]
    assert recolte.trous == [Trou(cible, cible + MINUTE_MS, ECHEC)]


@pytest.mark.parametrize("rang", [0, 49, 50, 199, 399])
def test_une_ligne_impossible_au_bord_d_une_page_est_un_echec(rang: int) -> None:
    """Première ou dernière d'une page, ou de la plage : la bougie impossible reste un échec, pas un vide vrai."""
    _, debut, fin = plage_de("1m")
    cible = debut + rang * MINUTE_MS

    def panne(_numero: int, page: list[Ligne], _serveur: Serveur) -> list[Ligne]:
        return [[*ligne[:4], -1.0, ligne[5]] if ligne[0] == cible else ligne for ligne in page]

    serveur = Serveur(marche("plein", "1m"), panne=panne)
    recolte = lire(serveur, "1m", (debut, fin))
    assert recolte.trous == [Trou(cible, cible + MINUTE_MS, ECHEC)]
    assert len(recolte.lignes) == POINTS["1m"] - 1


@pytest.mark.parametrize("caractere", ["premieres_jusqua", "dernieres_de_la_fenetre", "premieres_sans_fin"])
@pytest.mark.parametrize(("debut_muet", "fin_muet"), [(120, 290), (0, 250), (150, 400), (203, 211)])
def test_un_vide_que_les_timeframes_longs_contredisent_est_un_echec(
    debut_muet: int, fin_muet: int, caractere: str
) -> None:
    """Pages muettes, bougies de 5 min vivantes : un trou `echec` (ou la fenêtre de l'API, en tête)."""
    _, debut, fin = plage_de("1m")
    bornes = debut + debut_muet * MINUTE_MS, debut + fin_muet * MINUTE_MS

    def panne(_numero: int, page: list[Ligne], serveur: Serveur) -> list[Ligne]:
        muette = serveur.appels[-1][0] == "1m"
        entiere = [ligne for ligne in page if not (muette and bornes[0] <= ligne[0] < bornes[1])]
        return entiere if len(entiere) == len(page) else []

    serveur = Serveur(marche("plein", "1m"), PERSONNALITES[caractere], panne=panne)
    recolte = lire(serveur, "1m", (debut, fin))
    raisons = {t.raison for t in recolte.trous}
    assert raisons <= ({ECHEC} if debut_muet else {HORS_FENETRE_API})
    assert {ligne[0] for ligne in recolte.lignes} | {
        i for t in recolte.trous for i in range(t.debut, t.fin, MINUTE_MS)
    } == set(range(debut, fin, MINUTE_MS))


def test_qui_cesse_de_lire_ne_laisse_aucune_page_en_vol() -> None:
    """Disque plein : elles vivaient encore quand la connexion se fermait, et le journal accusait le réseau."""
    timeframe, debut, fin = plage_de("1m")
    serveur, demandees = Serveur(marche("plein", "1m")), itertools.count(1)

    async def lire_bougies(_serie: Serie, tf: Timeframe, depuis: int, jusqua: int, **_options: Any) -> list[Ligne]:
        if next(demandees) > 3:
            await asyncio.Event().wait()
        return await serveur.demander(tf, depuis, jusqua, False)

    source = historique_de(lire_bougies, Serie(CLE, {}, timeframe, 50), Plage(debut, fin), en_vol=4)

    async def deux_lots() -> tuple[int, int]:
        async with asyncio.timeout(PLAFOND_S), contextlib.aclosing(source.lots(await source.preparer())) as lots:
            for _ in range(2):
                await anext(lots)
            avant = len(asyncio.all_tasks())
        return avant, len(asyncio.all_tasks())

    avant, apres = asyncio.run(deux_lots())
    assert (avant > 1, apres) == (True, 1)


@pytest.mark.parametrize("exception", [ErreurTemporaire("panne"), ErreurDefinitive("refusé")])
def test_une_erreur_en_pleine_lecture_sort_apres_ce_qui_est_recu(exception: Exception) -> None:
    """Ce qui est lu avant l'erreur est rendu, l'erreur est relevée, aucune tâche ne reste en vol."""

    def panne(numero: int, page: list[Ligne], _serveur: Serveur) -> list[Ligne]:
        if numero >= 4:
            raise exception
        return page

    _, debut, fin = plage_de("1m")
    serveur = Serveur(marche("plein", "1m"), panne=panne)
    recus: list[Morceau] = []

    async def recevoir() -> None:
        lecteur = Lecteur(Pages(serveur.demander, Timeframe.lire("1m"), 50, horizon_ms=MAINTENANT))
        async for morceau in lecteur.lire(debut, fin):
            recus.append(morceau)  # noqa: PERF401  ce qui est reçu avant l'erreur compte

    async def tout() -> int:
        with pytest.raises(type(exception)):
            await recevoir()
        return len(asyncio.all_tasks())

    assert asyncio.run(tout()) == 1
    assert sum(m.lignes.num_rows for m in recus) == 150


# --- Bornes et reprise ---


@pytest.mark.parametrize("code", CODES)
def test_la_bougie_en_cours_n_est_jamais_dans_les_bornes(code: str) -> None:
    """La fin s'arrête à la dernière bougie close d'après l'heure de l'exchange, délai de grâce compris."""
    timeframe = Timeframe.lire(code)
    ouverture = timeframe.plancher(MAINTENANT)
    for heure, attendue in (
        (MAINTENANT, ouverture),
        (ouverture, timeframe.avancer(ouverture, -1)),
        (ouverture + 1_999, timeframe.avancer(ouverture, -1)),
        (ouverture + 2_000, ouverture),
    ):
        assert borner(Plage(0, None), timeframe, 10, heure, Fiche(CLE))[1] == attendue
        assert borner(Plage(0, heure + 10 * JOUR_MS), timeframe, 10, heure, Fiche(CLE))[1] == attendue


def test_la_bougie_en_cours_se_demande() -> None:
    """`courante` garde la bougie non close, et elle seule en plus."""
    timeframe = Timeframe.lire("1h")
    plage = Plage(0, None, courante=True)
    assert borner(plage, timeframe, 10, MAINTENANT, Fiche(CLE))[1] == timeframe.avancer(MAINTENANT, 1)
    # Dans son délai de grâce, celle qui vient de finir n'est pas close : c'est elle, et pas deux.
    ouverture = timeframe.plancher(MAINTENANT)
    assert borner(plage, timeframe, 10, ouverture + 1_999, Fiche(CLE))[1] == ouverture
    assert borner(plage, timeframe, 10, ouverture + 2_000, Fiche(CLE))[1] == timeframe.avancer(ouverture, 1)


def test_un_debut_que_rien_n_a_suivi_n_est_pas_demande_a_l_envers() -> None:
    """Dix minutes en arrière, en 1h : « de 22:00Z à 21:00Z », disaient la ligne finale et le bilan."""
    timeframe, fiche = Timeframe.lire("1h"), Fiche(CLE)
    close = timeframe.plancher(MAINTENANT)
    assert borner(Plage(close + 1, None), timeframe, 10, MAINTENANT, fiche) == (close, close)
    fiche.noter([(close - 5 * HEURE_MS, close)], [])
    avant = close - 10 * HEURE_MS
    assert borner(Plage(None, avant), timeframe, 10, MAINTENANT, fiche) == (avant, avant)


def test_sans_debut_ni_fin_la_page_la_plus_recente() -> None:
    """Rien demandé, rien sur le disque : une page ; quelque chose sur le disque : depuis là."""
    timeframe, fiche = Timeframe.lire("1h"), Fiche(CLE)
    close = timeframe.plancher(MAINTENANT)
    assert borner(Plage(), timeframe, 10, MAINTENANT, fiche) == (close - 10 * HEURE_MS, close)
    fiche.noter([(close - 50 * HEURE_MS, close - 20 * HEURE_MS)], [])
    assert borner(Plage(), timeframe, 10, MAINTENANT, fiche) == (close - 50 * HEURE_MS, close)


@settings(max_examples=150, deadline=None)
@given(
    demande=st.tuples(st.integers(0, 60), st.integers(0, 60)),
    couverts=st.lists(st.tuples(st.integers(0, 60), st.integers(1, 15)), max_size=5),
    trous=st.lists(
        st.tuples(st.integers(0, 60), st.integers(1, 5), st.sampled_from(module.RAISONS_PARTIELLES)), max_size=3
    ),
    relecture=st.integers(0, 5),
)
def test_planifier_demande_ce_qui_manque_et_rien_d_autre(
    demande: tuple[int, int],
    couverts: list[tuple[int, int]],
    trous: list[tuple[int, int, str]],
    relecture: int,
) -> None:
    """Modèle par ensembles : demandé − prouvé − hors fenêtre, plus la relecture des dernières bougies prouvées."""
    fiche = Fiche(CLE)
    fiche.noter([(d * MINUTE_MS, (d + n) * MINUTE_MS) for d, n in couverts], [])
    for debut, duree, raison in trous:
        fiche.noter([], [Trou(debut * MINUTE_MS, (debut + duree) * MINUTE_MS, raison)])
    voulus = set(range(*demande))
    prouves = {p for d, f in fiche.couverts for p in range(d // MINUTE_MS, f // MINUTE_MS)}
    hors = {
        p
        for t in [*fiche.trous, *fiche.provisoires]
        if t.raison == HORS_FENETRE_API
        for p in range(t.debut // MINUTE_MS, t.fin // MINUTE_MS)
    }
    attendus = voulus - prouves - hors
    if relecture and voulus & prouves:
        dernier = max(voulus & prouves)
        attendus |= set(range(dernier + 1 - relecture, dernier + 1)) & voulus
    plan = planifier((demande[0] * MINUTE_MS, demande[1] * MINUTE_MS), fiche, Timeframe.lire("1m"), relecture)
    assert {p for d, f in plan for p in range(d // MINUTE_MS, f // MINUTE_MS)} == attendus
    assert all(gauche[1] < droite[0] for gauche, droite in pairwise(plan))


def test_la_relecture_d_un_marche_neuf_ne_repasse_pas_sur_sa_cotation() -> None:
    """D'une seule bougie, les deux dernières du connu étaient elle et la veille de sa cotation, prouvée à nouveau."""
    fiche, timeframe = Fiche(CLE), Timeframe.lire("1m")
    fiche.noter([(0, 10 * MINUTE_MS)], [Trou(0, 9 * MINUTE_MS, AVANT_COTATION)])
    assert planifier((0, 10 * MINUTE_MS), fiche, timeframe, 2) == [(9 * MINUTE_MS, 10 * MINUTE_MS)]


def test_des_manques_epars_se_demandent_ensemble_quelques_uns_chacun_seul() -> None:
    """Avant, après et dedans restent trois demandes ; huit minutes proches n'en sont qu'une, et le lointain à part."""
    trois = [(0, 10), (12, 14), (16, 20)]
    huit = [(rang, rang + 1) for rang in range(100, 124, 3)]
    assert rapprocher([*trois, *huit, (900, 950)], lambda debut, fin: fin - debut, 5) == [
        *trois, (100, 122), (900, 950),
    ]  # fmt: skip
    assert rapprocher(huit[1:], lambda debut, fin: fin - debut, 5) == huit[1:]
    assert rapprocher(huit, lambda debut, fin: fin - debut, 1) == huit
    assert rapprocher([], lambda debut, fin: fin - debut, 5) == []


def test_une_page_ramenee_est_dite_une_fois_et_telle_qu_elle_est(caplog: pytest.LogCaptureFixture) -> None:
    """Un exchange qui rend trois bougies : les pages sont ramenées à huit, pas à trois, et une seule fois."""
    caplog.set_level("INFO", "module_ccxt_fr_v2")
    serveur = Serveur(marche("plein", "1m"), limite=3)
    verifier_vrai(lire(serveur, "1m", plage_de("1m")[1:], taille=50), serveur)
    dits = [r.getMessage() for r in caplog.records if "ramenées" in r.getMessage()]
    assert dits == ["L'exchange rend 3 bougies par page, pas 50 : pages ramenées à 8."]


def test_la_page_choisie_n_est_jamais_depassee(caplog: pytest.LogCaptureFixture) -> None:
    """`--limite 5` d'un exchange qui en rend trois : on n'en demande pas huit."""
    caplog.set_level("INFO", "module_ccxt_fr_v2")
    serveur = Serveur(marche("plein", "1m"), limite=3)
    verifier_vrai(lire(serveur, "1m", plage_de("1m")[1:], taille=5), serveur)
    assert [r.getMessage() for r in caplog.records if "ramenées" in r.getMessage()] == []
    demandees = [(fin - debut) // MINUTE_MS for code, debut, fin, relue in serveur.appels if code == "1m" and not relue]
    assert max(demandees) <= 5 + MARGE


def test_une_suite_deja_obtenue_ne_redevient_pas_avant_cotation() -> None:
    """Le vide qui suit ce qui est déjà écrit n'est ni d'avant la cotation, ni prouvé si rien ne l'encadre."""
    _, debut, fin = plage_de("1m")
    serveur = Serveur(marche("neuf", "1m"), limite=100)
    recolte = lire(serveur, "1m", (debut, fin), ancien=True)
    assert {t.raison for t in recolte.trous} == {ECHEC}


@pytest.mark.parametrize("nom_marche", ["neuf", "panne", "pas_encore_cote", "retire"])
def test_le_seul_timeframe_long_qui_echoue_ne_fait_pas_echouer_la_serie(nom_marche: str) -> None:
    """Hyperliquid répond 422 à 1w et 1M : les lignes sont toutes là, rien n'est affirmé sans preuve."""
    serveur = Serveur(marche(nom_marche, "1m"), limite=50)
    sain = serveur.demander

    async def demander(timeframe: Timeframe, debut: int, fin: int, relecture: bool) -> list[Ligne]:
        if timeframe.code != "1m":
            raise ErreurTemporaire("422")
        return await sain(timeframe, debut, fin, relecture)

    serveur.demander = demander  # type: ignore[method-assign]  # le même serveur, un timeframe en moins
    verifier_vrai(lire(serveur, "1m", plage_de("1m")[1:]), serveur, sans_preuve=True)
