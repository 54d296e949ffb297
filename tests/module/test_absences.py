"""Une absence est un fait prouvé (CONTRAT § 8) : un `Dossier` seul, puis des serveurs qui mentent, contre le marché."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime as dt
import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from ligne_de_commande import CHEMINS, HEURE_BOURSE, commande, donnees, fiche, lignes, telecharger
from mensonges import Scenario, fautes, lire, serveur_de, tirer
from serveurs_de_bougies import MAINTENANT, PERSONNALITES, Monde, Serveur, monde, plage_de

import module_ccxt_fr_v2 as module
from bourse_locale import Bourse, Marche, Panne
from module_ccxt_fr_v2 import (
    A_VENIR,
    AVANT_COTATION,
    ECHEC,
    HEURE_MS,
    HORS_FENETRE_API,
    JOUR_MS,
    MINUTE_MS,
    SANS_TRANSACTION,
    Manque,
    Question,
    Reponse,
    Timeframe,
    cribler,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

M1, H1, MOIS = Timeframe.lire("1m"), Timeframe.lire("1h"), Timeframe.lire("1M")
T0 = 1_704_067_200_000  # 2024-01-01
# Des pages toujours coupées, prises pour la première ou la dernière bougie ; des heures, presque toutes, pour 5m ou 1m.
# Des silences crus : ses dernières seulement, un timeframe muet sur une ligne connue, une page coupée auparavant, un
# `since` exclusif (35550), une page large toujours coupée (39676), le démenti d'un silence étranger (60820).
NOMMEES = (
    6129, 6248, 6551, 11825, 3389, 20992, 13125, 6205, 14147, 7923, 267, 2738, 3953, 4847, 12900, 35550,
    39676, 60820, 97772, 118055, 118348, 300996, 301189, 331521, 343106, 502699, 504172, 508650, 600258, 701780,
)  # fmt: skip
DEPARTS = (300_000, 500_000, 2_000_000)  # les caractères rares, les longs pas, les marchés jeunes
GRAINES = sorted({*range(240), *(graine for depart in DEPARTS for graine in range(depart, depart + 40)), *NOMMEES})


def reponse(
    instants: Iterable[int],
    debut: int,
    fin: int,
    *,
    timeframe: Timeframe = M1,
    ancree: bool = False,
    refusee: bool = False,
) -> Reponse:
    """Une réponse à [debut, fin[ qui rend ces ouvertures, toutes avec des transactions."""
    instants = sorted(instants)
    page = cribler([[i, 1.0, 1.0, 1.0, 1.0, 1.0] for i in instants], timeframe, "last")
    vives = [(i, timeframe.avancer(i, 1)) for i in instants]
    return Reponse(Question(timeframe, debut, fin), page, instants, vives, timeframe is M1, ancree, refusee)


def minutes(*rangs: int) -> list[int]:
    return [T0 + rang * MINUTE_MS for rang in rangs]


def tue_au_plus(muette: Reponse) -> tuple[int, int]:
    """D'un exchange dont les deux bords sont inclus."""
    return muette.question.debut, muette.question.fin


@dataclass(frozen=True)
class Connue:
    """La conduite d'un exchange, sue d'avance ; il n'ajoute rien à ses pages."""

    obeit: bool = False
    tue: Callable[[Reponse], tuple[int, int]] = tue_au_plus

    def cadre(self, reponse: Reponse) -> list[tuple[int, int]]:
        """Toutes ses bougies encadrent."""
        return reponse.vives


def raisons(manque: Manque, *reponses: Reponse, **conduite: Any) -> list[str]:
    """Les raisons, dans l'ordre, sans leurs bornes."""
    return [trou.raison for trou in dossier(manque, reponses, Connue(**conduite)).juger()]


def dossier(manque: Manque, reponses: Iterable[Reponse], conduite: Connue, *longues: Timeframe) -> module.Dossier:
    """Des réponses, sans l'exchange d'où elles viendraient : on en sait la conduite, et que le manque est ancien."""
    su = SimpleNamespace(timeframe=M1, conduite=conduite, longues=longues, va_a_maintenant=lambda _fin: False)
    return module.Dossier(cast("module.Pages", su), manque, reponses)


def manque(debut: int, fin: int, gauche: int | None, droite: int | None) -> Manque:
    """Un manque, dit en minutes depuis T0."""
    voisine, suivante = (None if rang is None else T0 + rang * MINUTE_MS for rang in (gauche, droite))
    return Manque(T0 + debut * MINUTE_MS, T0 + fin * MINUTE_MS, voisine, suivante, ancien=False)


def test_8_1_une_reponse_qui_encadre_prouve_l_absence() -> None:
    """La même réponse rend la minute d'avant et celle d'après."""
    assert raisons(manque(3, 6, 2, 6), reponse(minutes(2, 6), T0, T0 + HEURE_MS)) == [SANS_TRANSACTION]


@pytest.mark.parametrize("vides", [1, 2, 4, 50])
def test_8_1_une_reponse_vide_ne_prouve_rien_si_souvent_qu_elle_revienne(vides: int) -> None:
    """Au milieu, un échec ; en tête, ce que l'exchange ne sert pas ; en queue, ce qui viendra peut-être."""
    vide = [reponse([], T0, T0 + HEURE_MS), reponse([], T0, T0 + 30 * JOUR_MS, timeframe=H1)] * vides
    assert raisons(manque(3, 6, 2, 6), *vide, obeit=True) == [ECHEC]
    assert raisons(manque(3, 6, None, 6), *vide, obeit=True) == [HORS_FENETRE_API]
    assert raisons(manque(3, 6, 2, None), *vide, obeit=True) == [A_VENIR]


def test_8_1_deux_reponses_qui_se_partagent_les_voisines_ne_prouvent_rien() -> None:
    """L'une rend celle de gauche, l'autre celle de droite : chacune a pu être coupée."""
    gauche, droite = reponse(minutes(2), T0, T0 + 6 * MINUTE_MS), reponse(minutes(6), *minutes(3, 9))
    assert raisons(manque(3, 6, 2, 6), gauche, droite) == [ECHEC]


def test_8_1_une_reponse_qui_tait_une_voisine_ecrite_accuse_l_exchange() -> None:
    """Elle rend la minute 0 et la 9, mais pas la 2, qui est écrite : son vide n'en est pas un."""
    assert raisons(manque(3, 6, 2, 6), reponse(minutes(0, 9), T0, T0 + HEURE_MS)) == [ECHEC]


def test_8_1_un_timeframe_plus_court_que_le_vide_et_ses_bords() -> None:
    """Les heures d'autour, rien entre elles ; aux deux bords, une page rend la voisine, une autre se tait."""
    vide = manque(10, 600, 9, 600)
    heures = reponse([T0, T0 + 10 * HEURE_MS], T0 - HEURE_MS, T0 + 12 * HEURE_MS, timeframe=H1)
    bords = reponse(minutes(8, 9), *minutes(7, 107)), reponse(minutes(600), *minutes(500, 602))
    muettes = reponse([], *minutes(10, 110)), reponse([], *minutes(500, 600))
    assert raisons(vide, heures, *bords, *muettes) == [SANS_TRANSACTION]
    assert raisons(vide, *bords, *muettes) == [ECHEC]  # des silences, que rien n'encadre
    assert raisons(vide, heures, *bords) == [ECHEC, SANS_TRANSACTION]  # une page toujours coupée en tairait autant
    menteuse = reponse([], *minutes(0, 100))  # muette sur la minute 9, elle récuse les autres silences de son pas
    assert raisons(vide, heures, *bords, *muettes, menteuse) == [ECHEC, SANS_TRANSACTION]
    # D'un `since` exclusif, la muette n'a rien demandé de la minute 10 ; d'une fin exclue, de la 599.
    neuve = module.Conduite()
    assert neuve.tue(muettes[0]) == tuple(minutes(11, 109))
    assert raisons(vide, heures, *bords, *muettes, tue=neuve.tue) == [ECHEC, SANS_TRANSACTION]
    assert raisons(vide, heures) == [ECHEC, SANS_TRANSACTION]  # la première heure a pu vivre après la minute 9


@pytest.mark.parametrize(("code", "compte_les_clotures"), [("1M", False), ("1w", False), ("1h", True)])
def test_8_1_d_une_semaine_la_bougie_d_avant_ne_dit_rien_d_un_since(code: str, compte_les_clotures: bool) -> None:
    """Semaines et mois partent toujours une bougie plus tôt : la rendre n'est pas compter sur les clôtures."""
    long, conduite = Timeframe.lire(code), module.Conduite()
    debut = long.plancher(T0)
    for _ in range(2):
        rendues = [long.avancer(debut, rang) for rang in (-1, 0, 1)]
        conduite.apprendre(reponse(rendues, debut, long.avancer(debut, 2), timeframe=long), 100)
    assert conduite.tue(reponse([], *minutes(10, 110)))[0] == T0 + (9 if compte_les_clotures else 11) * MINUTE_MS


def test_8_1_qui_ne_suit_rien_ne_se_tait_que_s_il_ne_rend_rien() -> None:
    """La minute 630, quoi qu'on demande (97772) : rendue d'ailleurs, elle ne dit rien de ce qui la précède."""
    heures = reponse([T0, T0 + 10 * HEURE_MS], T0 - HEURE_MS, T0 + 12 * HEURE_MS, timeframe=H1)
    bord, tete = reponse(minutes(630), *minutes(532, 632)), manque(60, 630, 0, 630)
    vide, d_ailleurs = (reponse(rendues, *minutes(530, 630)) for rendues in ([], minutes(630)))
    assert raisons(tete, heures, bord, vide) == [SANS_TRANSACTION]
    assert raisons(tete, heures, bord, d_ailleurs, obeit=True) == [SANS_TRANSACTION]
    assert raisons(tete, heures, bord, d_ailleurs) == [SANS_TRANSACTION, ECHEC]  # la dixième heure
    # Rien de plus ancien que la minute 630 ne fut jamais servi : ce silence est peut-être la fin de ce qu'il garde.
    assert raisons(manque(60, 630, None, 630), heures, bord, vide) == [SANS_TRANSACTION, HORS_FENETRE_API]


def test_8_1_d_une_serie_muette_un_timeframe_a_bougies_plates_ne_prouve_pas_l_absence() -> None:
    """Aucune ligne n'est connue d'après le vide de la troisième heure, plate : la série en a peut-être autant."""
    heures = reponse([T0 + rang * HEURE_MS for rang in range(6)], T0 - HEURE_MS, T0 + 6 * HEURE_MS, timeframe=H1)
    plates = heures._replace(vives=[vive for vive in heures.vives if vive[0] != T0 + 2 * HEURE_MS])
    sans = plates._replace(instants=[ouverture for ouverture, _ in plates.vives])
    muette = reponse([], *minutes(0, 400))
    assert raisons(manque(120, 180, None, None), plates, muette) == [HORS_FENETRE_API]
    assert SANS_TRANSACTION not in raisons(manque(120, 180, 0, None), plates, muette)
    assert raisons(manque(120, 180, 0, 200), plates) == [SANS_TRANSACTION]
    assert raisons(manque(120, 180, None, None), sans, muette) == [SANS_TRANSACTION]


def test_8_6_une_ligne_nulle_ne_dit_rien_de_ce_qui_la_suit() -> None:
    """Qui dit ses minutes vides (backpack) n'en tait aucune : la page coupée après la première n'est pas un silence."""
    muette = reponse([], *minutes(10, 210))
    coupee, dites = (
        muette._replace(page=cribler([[i, *[None] * 5] for i in minutes(*rangs)], M1, "last"))
        for rangs in ([10], range(10, 210))
    )
    bord = reponse(minutes(9), *minutes(9, 209))
    assert raisons(manque(10, 210, 9, None), bord, coupee, obeit=True) == [SANS_TRANSACTION, A_VENIR]
    assert raisons(manque(10, 210, 9, 210), bord, coupee, obeit=True) == [SANS_TRANSACTION, ECHEC]
    assert raisons(manque(10, 210, 9, None), bord, dites, obeit=True) == [SANS_TRANSACTION]


def test_8_1_une_heure_vivante_dans_le_vide_le_dement() -> None:
    """Le timeframe long voit des transactions là où le nôtre se tait."""
    heures = reponse([T0, T0 + 3 * HEURE_MS, T0 + 10 * HEURE_MS], T0 - HEURE_MS, T0 + 12 * HEURE_MS, timeframe=H1)
    assert ECHEC in raisons(manque(10, 600, 9, 600), heures)


PREMIERE = T0 + 100 * MINUTE_MS
AVANT_TOUT = reponse([T0], module.PREMIER_MARCHE_MS, T0 + 59 * JOUR_MS, timeframe=MOIS)
LISTAGE = reponse(minutes(100, 101), T0 - MINUTE_MS, PREMIERE + 2 * MINUTE_MS)
# Ce qui finit juste avant la première bougie, dans les deux timeframes : rien.
MUETTES = reponse([], module.PREMIER_MARCHE_MS, T0, timeframe=MOIS), reponse([], T0 - MINUTE_MS, PREMIERE)


def test_8_2_une_cotation_se_prouve_par_sa_premiere_bougie() -> None:
    """Une page commence à elle, rien ne la précède, de si loin qu'on le demande, et les bords sont suivis."""
    assert raisons(manque(0, 100, None, 100), AVANT_TOUT, LISTAGE, *MUETTES, obeit=True) == [AVANT_COTATION]


def test_8_2_des_pages_de_cent_jours_remontent_assez_loin_bout_a_bout() -> None:
    """Bullish n'a que cent jours par page de son plus long timeframe : il en faut huit, sans rien entre elles."""
    jour = Timeframe.lire("1d")
    jours = reponse([T0], T0 - 97 * JOUR_MS, T0 + 2 * JOUR_MS, timeframe=jour)
    avant = [reponse([], *(T0 - rang * 97 * JOUR_MS for rang in (r + 1, r)), timeframe=jour) for r in range(8)]
    vide = manque(0, 100, None, 100)
    assert raisons(vide, jours, *avant, LISTAGE, MUETTES[1], obeit=True) == [AVANT_COTATION]
    for rang in (0, 5, 7):
        moins = [r for r in avant if r is not avant[rang]]
        assert raisons(vide, jours, *moins, LISTAGE, MUETTES[1], obeit=True) == [HORS_FENETRE_API]


def test_8_2_une_bougie_plus_longue_ouverte_bien_avant_laisse_un_doute() -> None:
    """Le mois, ouvert cent minutes plus tôt, vivait peut-être avant ce que 1m sert (hyperliquid) : 15m le dit."""
    vide, vues = manque(0, 100, None, 100), (AVANT_TOUT, LISTAGE, *MUETTES)
    quart = Timeframe.lire("15m")
    fine = reponse([quart.plancher(PREMIERE)], T0, PREMIERE + HEURE_MS, timeframe=quart)
    for preuves, raison in ((vues, HORS_FENETRE_API), ((*vues, fine), AVANT_COTATION)):
        assert [t.raison for t in dossier(vide, preuves, Connue(obeit=True), quart).juger()] == [raison]


@pytest.mark.parametrize(
    ("reponses", "obeit"),
    [
        ((AVANT_TOUT, LISTAGE, *MUETTES), False),  # aucun bord n'a été vu suivi : toujours les N dernières, peut-être
        ((LISTAGE, *MUETTES), True),  # rien n'a cherché plus loin
        ((AVANT_TOUT, LISTAGE), True),  # des pages toujours coupées commenceraient là aussi
        ((AVANT_TOUT, LISTAGE, MUETTES[0]), True),
        ((AVANT_TOUT, LISTAGE, MUETTES[1]), True),
        ((AVANT_TOUT, LISTAGE, MUETTES[1], reponse([], *MUETTES[0].question[1:], timeframe=MOIS, refusee=True)), True),
        ((AVANT_TOUT, reponse(minutes(100, 101), *minutes(-1, 102), ancree=True), *MUETTES), True),
        ((AVANT_TOUT, reponse(minutes(100, 101), *minutes(-1, 90)), *MUETTES), True),  # elle n'était pas demandée
    ],
)
def test_8_2_rien_de_moins_ne_la_prouve(reponses: tuple[Reponse, ...], obeit: bool) -> None:
    """Une preuve de moins : hors de la fenêtre de l'API, code 3, jamais « pas encore coté »."""
    assert raisons(manque(0, 100, None, 100), *reponses, obeit=obeit) == [HORS_FENETRE_API]


def test_8_3_une_queue_n_est_jamais_un_fait() -> None:
    """Rien après elle, quoi que disent les réponses."""
    longue = reponse([T0], T0 - HEURE_MS, T0 + 12 * HEURE_MS, timeframe=H1)
    assert raisons(manque(3, 600, 2, None), reponse(minutes(1, 2), *minutes(0, 600)), longue) == [A_VENIR]


def test_8_6_une_ligne_sans_prix_ni_volume_vaut_une_absence() -> None:
    """L'exchange la dit lui-même."""
    avant, vide = minutes(2, 3)
    brutes: list[list[Any]] = [[avant, 1.0, 1.0, 1.0, 1.0, 1.0], [vide, None, None, None, None, 0]]
    page = cribler(brutes, M1, "last")
    dite = Reponse(Question(M1, *minutes(2, 4)), page, page.instants, [(avant, vide)], de_la_serie=True)
    assert raisons(manque(3, 4, 2, 4), dite) == [SANS_TRANSACTION]


def test_un_refus_trop_ancien_est_hors_fenetre() -> None:
    """Gate : au-delà de dix mille points, même au milieu de ce qui est écrit."""
    refus = reponse([], *minutes(0, 50), refusee=True)
    assert raisons(manque(3, 6, 2, 6), refus) == [HORS_FENETRE_API]


Servir = Callable[[int, int], list[int]]
"""Les bornes demandées, en minutes -> les minutes rendues, d'un marché qui n'en manque aucune."""

SERVIR: dict[str, tuple[Servir, bool]] = {
    "les deux bords": (lambda debut, fin: [*range(debut, fin)], True),
    "le début seul": (lambda debut, _fin: [*range(debut, debut + 20)], True),
    "la fin seule": (lambda _debut, fin: [*range(fin - 20, fin)], True),  # upbit
    "les dernières": (lambda _debut, _fin: [*range(980, 1001)], False),
    "trois fois les dernières": (lambda _debut, _fin: [*range(940, 1001)], False),
    "toujours les mêmes": (lambda _debut, _fin: [*range(100, 120)], False),
    "rien que la voisine d'avant, ou bien d'autres": (lambda debut, _f: [900 if debut == 520 else debut - 1], False),
    "rien": (lambda _debut, _fin: [], False),
}


@pytest.mark.parametrize("departs", [(500, 520, 510), (500, 520)])
@pytest.mark.parametrize("nom", SERVIR)
def test_8_2_deux_demandes_deux_reponses_disent_si_un_bord_est_suivi(nom: str, departs: tuple[int, ...]) -> None:
    """Dans quelque ordre qu'elles viennent ; jamais une page qui va jusqu'à maintenant, ni la même page deux fois."""
    servir, obeit = SERVIR[nom]

    async def demander(_timeframe: Timeframe, debut: int, fin: int, _relecture: bool) -> list[list[float]]:
        bornes = ((borne - T0) // MINUTE_MS for borne in (debut, fin))
        return [[T0 + rang * MINUTE_MS, *[1.0] * 5] for rang in servir(*bornes)]

    async def lire() -> bool:
        pages = module.Pages(demander, M1, 20, horizon_ms=T0 + 1000 * MINUTE_MS)
        for debut in departs:
            await pages.lire(*minutes(debut, debut + 20))
        return pages.conduite.obeit

    assert asyncio.run(lire()) is obeit


@pytest.mark.parametrize("graine", GRAINES)
def test_quels_que_soient_les_mensonges_rien_d_ecrit_ne_contredit_le_marche(graine: int) -> None:
    """Toute ligne est vraie, tout fait est vrai, les appels sont comptés ; redevenu honnête, il rend tout."""
    assert fautes(tirer(graine)) == []


def un_marche_jeune(code: str, caractere: str, age: int, **change: Any) -> Scenario:
    """Demandé d'avant sa cotation à maintenant, d'un exchange qui rend cinq cents bougies par page."""
    timeframe, origine, _ = plage_de(code)
    maintenant = timeframe.compter(origine, MAINTENANT) - 1
    points, cotation = (maintenant - age - 30, maintenant + 1), maintenant - age
    jeune = Scenario(1, code, caractere, limite=500, points=points, cotation=cotation, transactions=120)
    return dataclasses.replace(jeune, **change)


def ce_qu_il_dit(scenario: Scenario) -> list[str]:
    """Les raisons des trous d'une lecture honnête."""
    serveur = serveur_de(scenario)
    serveur.honnete = True
    return [trou.raison for morceau in lire(serveur, scenario).morceaux for trou in morceau.trous]


@pytest.mark.parametrize("code", ["4h", "1d", "1w", "1M"])
@pytest.mark.parametrize(
    ("caractere", "ages"),
    [
        *((nom, (1, 2, 4, 10)) for nom in ("premieres_jusqua", "dernieres_de_la_fenetre", "since_exclusif")),
        *((nom, (1, 2, 4, 10)) for nom in ("decroissante", "avec_la_veille", "comptee_par_la_fin", "fenetre_fixe")),
        # Qui ne rend que des bougies closes n'en a d'abord aucune de plus longue.
        *((nom, (3, 4, 10, 20)) for nom in ("fin_exclue", "fin_sur_cloture", "since_sur_cloture", "deux_bouts_exclus")),
    ],
)
def test_8_2_la_cotation_d_un_marche_de_quelques_bougies_se_prouve(
    caractere: str, ages: tuple[int, ...], code: str
) -> None:
    """Toute page de sa série va à maintenant : un timeframe plus court le montre commencer, et obéit."""
    for age in ages:
        assert ce_qu_il_dit(un_marche_jeune(code, caractere, age)) == [AVANT_COTATION], age


@pytest.mark.parametrize("code", ["1d", "1w"])
@pytest.mark.parametrize("age", [8, 10, 20])
def test_8_2_un_timeframe_plus_court_qui_obeit_ne_blanchit_pas_une_serie_qui_rend_toujours_ses_dernieres(
    code: str, age: int
) -> None:
    """Cinq bougies, quoi qu'on demande ; les heures, elles, obéissent, et disent que le marché vivait avant elles."""
    jeune = un_marche_jeune(code, "longues_aux_dernieres", age)
    maintenant = jeune.cotation + age
    for pannes in ([], [(maintenant - 5, 1)], [(maintenant - 6, 2)]):
        assert AVANT_COTATION not in ce_qu_il_dit(dataclasses.replace(jeune, pannes=pannes)), pannes


@pytest.mark.parametrize("caractere", ["courtes_oublieuses", "courtes_aux_dernieres"])
@pytest.mark.parametrize("age", [40, 200])
def test_8_2_un_timeframe_plus_court_qui_n_a_plus_tout_n_ote_rien(caractere: str, age: int) -> None:
    """Le plus court n'est gardé que trente bougies, ou ignore `since` : la série se prouve comme sans lui."""
    assert ce_qu_il_dit(un_marche_jeune("1d", caractere, age)) == [AVANT_COTATION]


def test_8_2_sans_timeframe_plus_long_le_silence_se_lit_page_a_page() -> None:
    """Coinbase n'a rien au-delà du jour, et trois cents jours par page : deux ans de silence en font trois."""
    jour, origine, _ = plage_de("1d")
    serveur = Serveur(monde("1d", lambda _rang: True, -200), PERSONNALITES["premieres_jusqua"], 300)
    debut, fin = jour.avancer(origine, -400), jour.avancer(origine, 200)

    async def tout() -> list[module.Trou]:
        pages = module.Pages(serveur.demander, jour, 300, horizon_ms=MAINTENANT)
        return [trou async for morceau in module.Lecteur(pages).lire(debut, fin) for trou in morceau.trous]

    assert asyncio.run(tout()) == [module.Trou(debut, jour.avancer(origine, -200), AVANT_COTATION)]
    assert len(serveur.appels) <= 16


@pytest.mark.couvrant
@pytest.mark.parametrize("panne", [39, 50, 85])
@pytest.mark.parametrize("reprise", [79, 80, 81])
@pytest.mark.parametrize("caractere", ["fin_sur_cloture", "fin_exclue", "since_exclusif", "premieres_jusqua"])
def test_8_1_une_ligne_au_bord_d_une_fenetre_qui_l_exclut_n_est_pas_une_absence(
    caractere: str, reprise: int, panne: int
) -> None:
    """Après un vide plus long qu'une page, la première ligne est la dernière, ou la première, d'une fenêtre."""
    scenario = Scenario(
        0, "1m", caractere, limite=40, points=(0, 200), cotation=-500, pannes=[(reprise - panne, panne)]
    )
    assert fautes(scenario) == []
    serveur = serveur_de(scenario)
    lue = lire(serveur, scenario)
    assert sum(m.lignes.num_rows for m in lue.morceaux) == 200 - min(panne, reprise)
    assert {t.raison for m in lue.morceaux for t in m.trous} == {SANS_TRANSACTION}


def bougies_et_raisons(scenario: Scenario) -> tuple[int, set[str]]:
    """Les bougies lues d'un scénario, et les raisons de ses trous."""
    lue = lire(serveur_de(scenario), scenario)
    return sum(m.lignes.num_rows for m in lue.morceaux), {t.raison for m in lue.morceaux for t in m.trous}


@pytest.mark.parametrize("cotation", [-500, 79, 146])
def test_8_1_une_bougie_ajoutee_a_toute_page_n_encadre_rien(cotation: int) -> None:
    """La bougie en cours, après une page pleine : de l'une à l'autre, rien n'est prouvé."""
    scenario = Scenario(0, "1m", "avec_la_courante", limite=40, points=(0, 200), cotation=cotation)
    assert fautes(scenario) == []
    assert bougies_et_raisons(scenario)[0] == 200 - max(cotation, 0)


@pytest.mark.parametrize(("jusqua", "compte"), [(430, False), (428, False), (430, True)])
def test_8_1_d_un_exchange_sourd_la_bougie_en_cours_encadre(
    jusqua: int, compte: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Gemini, kraken rendent leurs quarante dernières, p2b autant qu'on en demande : la page va d'elle-même là."""

    def dernieres(bougies: list[Any], tf: Timeframe, debut: int, fin: int, limite: int) -> list[Any]:
        return bougies[-(min(limite, tf.compter(debut, fin)) if compte else limite) :]

    monkeypatch.setitem(PERSONNALITES, "sourde", dernieres)
    scenario = Scenario(0, "1m", "sourde", limite=40, points=(410, jusqua), cotation=-500, pannes=[(427, 3)])
    assert fautes(scenario) == []
    assert bougies_et_raisons(scenario) == (17, {SANS_TRANSACTION})


@pytest.mark.parametrize("vide", [1, 3, 9])
@pytest.mark.parametrize(
    "caractere", ["premieres_jusqua", "dernieres_de_la_fenetre", "since_exclusif", "premieres_sans_fin"]
)
def test_8_1_un_marche_rare_lu_jusqu_a_maintenant_finit_sans_trou(caractere: str, vide: int) -> None:
    """Une collecte par heure n'a que des pages qui y vont : une question d'avant montre que rien ne s'y ajoute."""
    scenario = Scenario(0, "1m", caractere, limite=40, points=(400, 430), cotation=-500, pannes=[(430 - vide, vide)])
    assert fautes(scenario) == []
    assert bougies_et_raisons(scenario) == (30 - vide, {SANS_TRANSACTION})
    ajoutee = dataclasses.replace(scenario, caractere="avec_la_courante")
    assert bougies_et_raisons(ajoutee) == (30 - vide, {A_VENIR})


@pytest.mark.parametrize(("reprise", "panne"), [(79, 39), (80, 85), (130, 50), (237, 90)])
def test_8_1_un_since_compte_sur_les_clotures_ne_prive_pas_d_une_preuve(reprise: int, panne: int) -> None:
    """La bougie d'avant `since` est toujours rendue : aucune page n'est muette juste après la voisine."""
    scenario = Scenario(0, "1m", "since_sur_cloture", 40, (-25, 195), -542, [(reprise - panne, panne)])
    assert fautes(scenario) == []
    assert bougies_et_raisons(scenario) == (220 - panne + max(0, reprise - 195), {SANS_TRANSACTION})


@pytest.mark.parametrize(
    "scenario",
    [
        Scenario(0, "1w", "dernieres_seules", 100, (-9, 65), 11),  # 99 semaines muettes ; ses mois sont plus vieux
        Scenario(0, "1h", "dernieres_seules", 8, (78, 306), -325, [(189, 90)]),  # la portée finit dans le vide
    ],
    ids=["avant", "dans un vide"],
)
def test_8_la_fin_de_ce_que_l_exchange_garde_n_est_ni_une_cotation_ni_un_vide(scenario: Scenario) -> None:
    """Il obéit à `since`, mais ne sert que les 150 dernières bougies de chaque timeframe : un plus long vit avant."""
    assert fautes(scenario) == []
    assert HORS_FENETRE_API in bougies_et_raisons(scenario)[1]


@pytest.mark.parametrize(("limite", "debut", "fin"), [(300, 40, 202), (40, -4, 66), (40, 90, 227), (12, 23, 65)])
def test_8_une_page_de_calendrier_plus_courte_que_la_fenetre_rend_tout(limite: int, debut: int, fin: int) -> None:
    """Bitbank sert un jour entier, celui de `since` : la fenêtre à cheval sur deux jours est lue en deux fois."""
    scenario = Scenario(0, "1m", "page_alignee", limite, (debut, fin), -600)
    assert bougies_et_raisons(scenario) == (fin - debut, set())


@pytest.mark.couvrant
@pytest.mark.parametrize("vide", [6, 10, 30, 200])
@pytest.mark.parametrize("par_page", [1, 5, 10])
@pytest.mark.parametrize("caractere", ["premieres_jusqua", "fin_sur_cloture", "fin_exclue", "since_exclusif"])
def test_8_1_une_page_que_l_utilisateur_veut_courte_ne_prive_pas_d_une_preuve(
    caractere: str, par_page: int, vide: int
) -> None:
    """`--limite 10` : dix bougies par fenêtre, mais des questions assez larges pour encadrer un vide de dix.

    Une fenêtre qui n'a pas la bougie d'un bord exclu n'est pas une page plafonnée.
    """
    absentes, lues = range(20, 20 + vide), vide + 40  # deux pages au moins de part et d'autre
    serveur = Serveur(monde("1m", lambda rang: rang not in absentes), PERSONNALITES[caractere], 1000)
    _, origine, _ = plage_de("1m")
    longues = [Timeframe.lire(code) for code in ("15m", "1h", "4h", "1d")]
    serie = module.Serie(module.CleSerie("binance", "BTC/USDT", "1m", "last"), {}, M1, par_page, 1000)

    async def essai() -> list[module.Morceau]:
        pages = module.Pages(serveur.demander, M1, serie.page_de_preuve, longues=longues, horizon_ms=MAINTENANT)
        lecteur = module.Lecteur(pages, par_page=serie.limite)
        return [m async for m in lecteur.lire(origine, M1.avancer(origine, lues))]

    morceaux = asyncio.run(essai())
    assert sum(m.lignes.num_rows for m in morceaux) == lues - vide
    assert {t.raison for m in morceaux for t in m.trous} == {SANS_TRANSACTION}
    fenetres = [(fin - debut) // MINUTE_MS for _, debut, fin, relecture in serveur.appels if not relecture]
    assert max(fenetres) <= par_page


# --- De bout en bout ---


def hors_ligne(dossier: Path, *options: str) -> tuple[int, dict[str, object]]:
    """La ligne de commande sur l'exchange embarqué : code, et la série du bilan."""
    bilan = dossier / "bilan.json"
    code = module.principal([
        "--hors-ligne", "--exchange", "kraken", "--symbole", "BTC/USD", "--sortie", str(dossier / "k.csv"),
        "--bilan", str(bilan), "--journal", "error", "--config-ccxt", '{"rateLimit": 20}', *options,
    ])  # fmt: skip
    dit = json.loads(bilan.read_text())
    return code, dit["series"][0] | {"requetes": dit["requetes"]}


def test_8_kraken_ne_dit_pas_sans_transaction_ce_qu_il_ne_sert_pas(tmp_path: Path) -> None:
    """Un jour d'il y a deux cents jours : hors de ses 720 dernières, code 3."""
    jour = dt.datetime.now(dt.UTC).date() - dt.timedelta(days=200)
    fin = jour + dt.timedelta(days=1)
    code, serie = hors_ligne(tmp_path, "--date-debut", str(jour), "--date-fin", str(fin), "--timeframe", "1m")
    assert code == 3
    assert [t["raison"] for t in serie["trous"]] == ["hors_fenetre_api"]  # type: ignore[attr-defined]
    assert int(str(serie["requetes"])) <= 11  # sourd, il n'est pas questionné plus longtemps


@pytest.mark.parametrize("ensuite", [1, 2, 4])
def test_8_kraken_n_est_pas_questionne_davantage_quand_la_minute_tourne(ensuite: int) -> None:
    """Ses 720 dernières glissent d'une bougie entre deux demandes : elles n'en disent pas plus."""
    maintenant, demandes = M1.plancher(MAINTENANT), 0

    async def les_dernieres(timeframe: Timeframe, _debut: int, _fin: int, _relecture: bool) -> list[list[float]]:
        nonlocal demandes
        demandes += 1
        derniere = timeframe.plancher(maintenant + MINUTE_MS * (demandes > ensuite))
        return [[timeframe.avancer(derniere, -rang), *[1.0] * 5] for rang in reversed(range(720))]

    async def lire(debut: int) -> list[str]:
        longues = [Timeframe.lire(code) for code in ("15m", "1h", "4h", "1d")]
        lecteur = module.Lecteur(module.Pages(les_dernieres, M1, 720, longues=longues, horizon_ms=maintenant))
        return [trou.raison async for morceau in lecteur.lire(debut, debut + JOUR_MS) for trou in morceau.trous]

    assert asyncio.run(lire(maintenant - 200 * JOUR_MS)) == [HORS_FENETRE_API]
    assert demandes <= 9


def test_8_kraken_sans_date_rend_la_page_servie(tmp_path: Path) -> None:
    """Sans date de début, ce que l'exchange sert est tout ce qui était demandé : code 0, aucun trou."""
    code, serie = hors_ligne(tmp_path, "--timeframe", "1m")
    assert (code, serie["trous"]) == (0, [])
    assert int(str(serie["lignes_nouvelles"])) >= 719
    assert serie["retard"] == 0


def test_un_refus_arrive_apres_un_autre_n_allonge_pas_la_fenetre() -> None:
    """Deux pages en vol, refusées toutes deux : la première, dont le refus tarde, ne défait pas ce qui fut appris."""

    async def essai() -> int:
        tarde, refusees = asyncio.Event(), 0

        async def demander(_timeframe: Timeframe, debut: int, fin: int, _relecture: bool) -> list[list[float]]:
            nonlocal refusees
            refusees += (longue := fin - debut > 30 * MINUTE_MS)
            if longue and refusees == 1:
                await tarde.wait()
            if longue:
                raise module.FenetreTropLongue("trop longue")
            return [[debut, *[1.0] * 5], [debut + MINUTE_MS, *[1.0] * 5]]

        pages = module.Pages(demander, M1, 100, horizon_ms=MAINTENANT)
        debut, milieu, fin = minutes(0, 100, 200)
        lente = asyncio.ensure_future(pages.lire(debut, milieu))
        await asyncio.sleep(0)
        await pages.lire(milieu, fin)
        tarde.set()
        await lente
        return refusees

    assert asyncio.run(essai()) == 3  # cent, cent, cinquante


def test_un_jour_qui_n_est_que_le_timeframe_ne_fait_pas_des_pages_d_une_bougie() -> None:
    """« Interval 1 day: range too large » ne dit pas ce que l'exchange admet : la page est coupée en deux."""
    jour = Timeframe.lire("1d")

    async def demander(_timeframe: Timeframe, debut: int, fin: int, _relecture: bool) -> list[list[float]]:
        if fin - debut > 60 * JOUR_MS:
            raise module.FenetreTropLongue("trop longue", admis=1)
        return [[instant, *[1.0] * 5] for instant in range(debut, fin, JOUR_MS)]

    pages = module.Pages(demander, jour, 100, horizon_ms=T0 + 1000 * JOUR_MS)
    reponse = asyncio.run(pages.lire(T0, T0 + 100 * JOUR_MS))
    assert pages.capacite(jour) == 50
    assert len(reponse.instants) == 50


@pytest.mark.parametrize("rang", [0, 40, 70])
def test_ce_qu_un_exchange_sert_se_cherche_en_pages_de_ce_qu_il_admet(rang: int) -> None:
    """Cent bougies par page, trente par fenêtre : raccourcie, une question n'a pas lu son début."""
    ligne = T0 + rang * MINUTE_MS

    async def demander(_timeframe: Timeframe, debut: int, fin: int, _relecture: bool) -> list[list[float]]:
        if fin - debut > 30 * MINUTE_MS:
            raise module.FenetreTropLongue("trop longue")
        return [[ligne, *[1.0] * 5]] if debut <= ligne < fin else []

    async def essai() -> bool:
        pages = module.Pages(demander, M1, 100, horizon_ms=MAINTENANT)
        debut, fin = minutes(0, 98)
        await pages.lire(debut - 500 * MINUTE_MS, debut - 400 * MINUTE_MS)
        return await module.Enquete(pages, manque(-1000, 1000, None, None))._sert(debut, fin)

    assert asyncio.run(essai())


def test_un_silence_refuse_trop_long_est_lu_bout_a_bout() -> None:
    """Vingt-cinq bougies admises, cent demandées : ce que la page raccourcie n'a pas lu l'est ensuite."""
    lues: list[tuple[int, int]] = []

    async def demander(_timeframe: Timeframe, debut: int, fin: int, _relecture: bool) -> list[list[float]]:
        if fin - debut > 30 * MINUTE_MS:
            raise module.FenetreTropLongue("trop longue")
        lues.append((debut, fin))
        return [[T0, *[1.0] * 5]] if debut <= T0 < fin else []

    pages = module.Pages(demander, M1, 100, horizon_ms=MAINTENANT)
    enquete, (limite, fin) = module.Enquete(pages, manque(-1000, 0, None, None)), minutes(-1000, 1)
    asyncio.run(enquete.suivre(enquete._remonter(M1, limite, fin, 200 * MINUTE_MS), 99))
    assert lues[-1][0] <= T0 - 200 * MINUTE_MS
    assert all(ancienne[1] >= recente[0] for recente, ancienne in itertools.pairwise(lues))


def test_une_page_de_trois_mois_recule_quand_meme() -> None:
    """Chez bitget, 90 jours par demande, une bougie de plus demandée ; la marge ne doit pas prendre toute la page."""
    fin = module.lire_instant("2026-11-01", 0)
    posees: list[tuple[int, int]] = []

    async def en_octobre(_timeframe: Timeframe, debut: int, fin: int, _relecture: bool) -> list[list[float]]:
        posees.append((debut, fin))
        octobre = module.lire_instant("2026-10-01", 0)
        return [[octobre, *[1.0] * 5]] if debut <= octobre < fin else []

    pages = module.Pages(en_octobre, M1, 200, longues=[MOIS], horizon_ms=fin, fenetre_ms=lambda _: 90 * JOUR_MS)
    enquete = module.Enquete(pages, Manque(fin, fin + HEURE_MS, None, None, ancien=False))
    asyncio.run(enquete.suivre(enquete._remonter(MOIS, module.PREMIER_MARCHE_MS, fin, module.SILENCE_MS), 99))
    debuts = [debut for debut, _ in posees]
    assert fin - debuts[-1] >= module.SILENCE_MS
    assert debuts == sorted(set(debuts), reverse=True)
    assert all(ancienne[1] >= recente[0] for recente, ancienne in itertools.pairwise(posees))  # sans laisser de vide


@pytest.mark.parametrize("caractere", PERSONNALITES)
@pytest.mark.parametrize("gauche", [None, -1, -4, -90])
def test_une_queue_a_sa_borne_de_questions(caractere: str, gauche: int | None) -> None:
    """Jusqu'à maintenant, vide, longue ou courte, l'exchange sain ou une fois sur deux muet : comptée à la question."""
    fin = M1.plancher(MAINTENANT)
    for queue, saine in itertools.product((1, 3, 30, 300), (True, False)):
        debut = M1.avancer(fin, -queue)
        # Des lignes jusqu'à la voisine ; puis plus rien.
        vivantes = [M1.avancer(debut, gauche or -200) - rang * MINUTE_MS for rang in range(400)]
        serveur = Serveur(Monde(vivantes[::-1]), PERSONNALITES[caractere], 50)
        if not saine:
            serveur.panne = lambda numero, page, _serveur: page if numero % 2 else []
        longues = [Timeframe.lire(code) for code in ("5m", "1h", "1d", "1M")]
        pages = module.Pages(serveur.demander, M1, 50, longues=longues, horizon_ms=MAINTENANT)
        voisine = None if gauche is None else M1.avancer(debut, gauche)
        enquete = module.Enquete(pages, Manque(debut, fin, voisine, None, ancien=True))
        trouvee, trous = asyncio.run(enquete.mener())
        assert trouvee is None
        assert {trou.raison for trou in trous} == {A_VENIR}
        assert enquete.posees <= module.QUESTIONS_DE_QUEUE + 1  # la dernière est reposée, muette sur une ligne connue
        assert len(serveur.appels) <= enquete.posees + 1  # le pas de lignes éparses se confirme, une fois par série


# Ce que l'exchange embarqué fait d'une demande de dix-neuf jours d'heures, et comment la série doit finir : 0 quand
# tout finit par être servi, 3 quand il en manque ; jamais un fait que le marché dément.
MENSONGES: dict[str, tuple[list[tuple[str, dict[str, Any]]], int]] = {
    "deux réponses vides": ([("page_vide", {"fois": 2})], 0),
    "quatre réponses vides": ([("page_vide", {"fois": 4})], 0),
    "vide une fois sur trois": ([("page_vide", {"probabilite": 0.3})], 0),
    "toujours vide": ([("page_vide", {})], 3),
    "sourde à la fenêtre": ([("sourde", {"n": 120})], 3),
    "sourde, mais elle en rend assez": ([("sourde", {"n": 600})], 0),
    "les 120 dernières seulement": ([("portee", {"n": 120})], 3),
    "réplique de trois heures en retard": ([("replique", {"retard_s": 10_800})], 3),
    "une seule ligne par page": ([("voisine_seule", {"fois": 6})], 0),
    "une heure pour quatre": ([("autre_pas", {"facteur": 4})], 3),
    "un cinquième d'heure pour une heure": ([("autre_pas", {"facteur": 0.2})], 3),
    "deux pages d'un autre pas": ([("autre_pas", {"facteur": 4, "fois": 2})], 0),
    "dix jours par page": ([("fenetre_en_jours", {"jours": 10})], 0),
    "une erreur là où il n'y a rien": ([("erreur_si_vide", {})], 0),
}


@pytest.fixture(scope="module")
def bourse() -> Iterator[Bourse]:
    """Binance, okx et bybit, horloge arrêtée, sans limite de débit."""
    with Bourse(("binance", "okx", "bybit"), maintenant_ms=HEURE_BOURSE, acceleration=0.0, limites=False).en_fil() as b:
        yield b
        b.pannes.vider()


def dementi(sortie: Path, oracle: list[Any]) -> list[Any]:
    """Les lignes fausses, et les faits inscrits sur une bougie qui existe."""
    instants = [ligne[0] for ligne in oracle]
    faits = [t for t in fiche(sortie).trous if t.raison in module.FAITS]
    return [ligne for ligne in lignes(sortie) if ligne not in oracle] + [
        fait for fait in faits if any(fait.debut <= instant < fait.fin for instant in instants)
    ]


@pytest.mark.parametrize(("nom", "exchange"), [
    *((nom, "binance") for nom in MENSONGES),
    *((nom, exchange) for nom in [*MENSONGES][1:9:3] for exchange in ("okx", "bybit")),
])  # fmt: skip
def test_8_un_mensonge_n_est_jamais_un_fait_et_ne_dure_pas(
    nom: str, exchange: str, bourse: Bourse, tmp_path: Path
) -> None:
    """La ligne de commande sur un exchange qui ment, puis la même, quand il ne ment plus : tout est là, code 0."""
    pannes, code = MENSONGES[nom]
    fin = HEURE_BOURSE // HEURE_MS * HEURE_MS
    bornes, sortie = (fin - 19 * JOUR_MS, fin), tmp_path / "heures.csv"
    options = ("--timeframe", "1h", "--limite", "100", "--essais", "2")
    oracle = list(bourse.attendu(exchange, "BTC/USDT", "1h", *bornes))
    bourse.pannes.vider()
    for nature, reglages in pannes:
        bourse.pannes.ajouter(Panne(nature, CHEMINS[exchange], **reglages))
    rendu = telecharger(bourse, sortie, bornes, *options, exchange=exchange)
    assert dementi(sortie, oracle) == []
    assert (rendu, lignes(sortie) == oracle) in ((code, code == 0), (0, True))
    bourse.pannes.vider()
    assert telecharger(bourse, sortie, bornes, *options, exchange=exchange) == 0
    assert lignes(sortie) == oracle


@pytest.mark.parametrize("demandee_ms", [None, 0, 1], ids=["sans fin", "fin passee", "fin dans la bougie ouverte"])
def test_8_3_une_replique_en_retard_s_arrete_plus_tot_et_le_dit(
    demandee_ms: int | None, bourse: Bourse, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Trois heures : code 0, le retard au bilan, rien d'inscrit comme prouvé ; d'une fin demandée et passée, code 3."""
    fin, finie = HEURE_BOURSE // HEURE_MS * HEURE_MS, demandee_ms is not None
    debut, sortie, bilan = fin - 4 * JOUR_MS, tmp_path / "heures.csv", tmp_path / "bilan.json"
    bornes = ("--date-debut", str(debut), *(("--date-fin", str(fin + demandee_ms)) if demandee_ms is not None else ()))
    mots = (*bornes, "--timeframe", "1h", "--bilan", str(bilan))
    oracle = list(bourse.attendu("binance", "BTC/USDT", "1h", debut, fin))
    bourse.pannes.ajouter(Panne("replique", CHEMINS["binance"], retard_s=3 * 3600 + 60))
    assert telecharger(bourse, sortie, None, *mots) == (3 if finie else 0)
    servies = lignes(sortie)
    assert servies == oracle[: len(servies)]
    assert len(oracle) - len(servies) == 3
    (serie,) = json.loads(bilan.read_text())["series"]
    assert serie["retard"] == 3 * 3600
    assert fiche(sortie).couverts[-1][1] <= fin - 3 * HEURE_MS
    assert [t.raison for t in fiche(sortie).trous] == [ECHEC] * finie
    assert ("3 h 00 min avant la dernière bougie close ; la suite sera redemandée" in capsys.readouterr().err) != finie
    bourse.pannes.vider()
    assert telecharger(bourse, sortie, None, *mots) == 0
    assert (lignes(sortie), fiche(sortie).trous) == (oracle, [])
    assert json.loads(bilan.read_text())["series"][0]["retard"] == 0


@pytest.mark.parametrize("exchange", ["binance", "okx", "bybit"])
def test_8_3_ce_qui_precede_une_ligne_ecrite_n_est_pas_une_queue(
    exchange: str, bourse: Bourse, tmp_path: Path
) -> None:
    """Trois heures écrites ; une réplique en retard de dix s'arrête avant elles : un trou, code 3, même sans fin."""
    fin = HEURE_BOURSE // HEURE_MS * HEURE_MS
    ecrit, debut, sortie = fin - 3 * HEURE_MS, fin - 4 * JOUR_MS, tmp_path / "heures.csv"
    mots = ("--timeframe", "1h", "--limite", "50", "--relecture", "10")
    bourse.pannes.vider()
    assert telecharger(bourse, sortie, None, "--date-debut", str(ecrit), *mots, exchange=exchange) == 0
    panne = bourse.pannes.ajouter(Panne("replique", CHEMINS[exchange], retard_s=10 * 3600 + 60))
    assert telecharger(bourse, sortie, None, "--date-debut", str(debut), *mots, exchange=exchange) == 3
    assert panne.touchees
    oracle = list(bourse.attendu(exchange, "BTC/USDT", "1h", debut, fin))
    assert lignes(sortie) == [ligne for ligne in oracle if not fin - 10 * HEURE_MS <= ligne[0] < ecrit]
    assert fiche(sortie).trous == [module.Trou(fin - 10 * HEURE_MS, ecrit, ECHEC)]
    bourse.pannes.vider()
    assert telecharger(bourse, sortie, None, "--date-debut", str(debut), *mots, exchange=exchange) == 0
    assert (lignes(sortie), fiche(sortie).trous) == (oracle, [])


@pytest.mark.parametrize("exchange", ["binance", "okx", "bybit"])
@pytest.mark.parametrize("garde", ["2023-12-28T12:00Z", "2023-12-29T00:00Z"], ids=["4h", "1d"])
def test_8_2_ce_que_tout_timeframe_oublie_au_meme_age_n_est_pas_une_cotation(
    garde: str, exchange: str, bourse: Bourse, tmp_path: Path
) -> None:
    """Tant de jours de tout : par hasard, la plus ancienne de 1h et celle de 4h ouvrent ensemble ; de 1d ou 1w, non."""
    fin, depuis = HEURE_BOURSE // HEURE_MS * HEURE_MS, module.lire_instant(garde, 0)
    bornes, sortie = (fin - 19 * JOUR_MS, fin), tmp_path / "heures.csv"
    bourse.pannes.vider()
    bourse.pannes.ajouter(Panne("oubli", CHEMINS[exchange], age_s=(HEURE_BOURSE - depuis) // 1000))
    assert telecharger(bourse, sortie, bornes, "--timeframe", "1h", exchange=exchange) == 3
    assert fiche(sortie).trous == [module.Trou(bornes[0], depuis, HORS_FENETRE_API)]
    assert lignes(sortie) == list(bourse.attendu(exchange, "BTC/USDT", "1h", depuis, fin))


@pytest.mark.parametrize("exchange", ["binance", "okx", "bybit"])
@pytest.mark.parametrize(
    ("nature", "reglages", "retard_h"),
    [("page_vide", {}, 0), ("page_vide", {}, 3), ("oubli", {"age_s": 3_700}, 0)],
    ids=["muette", "muette puis en retard", "une ligne"],
)
def test_8_3_apres_un_jour_de_panne_la_relance_finit_comme_un_fichier_neuf(
    nature: str, reglages: dict[str, int], retard_h: int, exchange: str, bourse: Bourse, tmp_path: Path
) -> None:
    """Muette, ou réduite à sa dernière heure, que `--relecture` relit : tout revient, et la queue n'est pas un trou."""
    fin = HEURE_BOURSE // HEURE_MS * HEURE_MS
    debut, sortie = fin - 4 * JOUR_MS, tmp_path / "heures.csv"
    mots = ("--date-debut", str(debut), "--timeframe", "1h", "--essais", "2")
    bourse.pannes.vider()
    bourse.pannes.ajouter(Panne(nature, CHEMINS[exchange], **reglages))
    assert telecharger(bourse, sortie, None, *mots, exchange=exchange) == 3
    bourse.pannes.vider()
    if retard_h:
        bourse.pannes.ajouter(Panne("replique", CHEMINS[exchange], retard_s=retard_h * 3600 + 60))
    assert telecharger(bourse, sortie, None, *mots, exchange=exchange) == 0
    oracle = list(bourse.attendu(exchange, "BTC/USDT", "1h", debut, fin - retard_h * HEURE_MS))
    assert (lignes(sortie), fiche(sortie).trous) == (oracle, [])


@pytest.mark.parametrize("exchange", ["binance", "okx", "bybit"])
def test_8_3_deux_lignes_ecrites_que_tait_un_exchange_muet_sont_suivies_d_une_queue(
    exchange: str, bourse: Bourse, tmp_path: Path
) -> None:
    """`--relecture` relit tout ce qui est écrit : rien ne précède la demande, et ce n'est pas une tête."""
    fin, sortie = HEURE_BOURSE // HEURE_MS * HEURE_MS, tmp_path / "heures.csv"
    debut = fin - 6 * HEURE_MS
    bourse.pannes.vider()
    panne = bourse.pannes.ajouter(Panne("replique", CHEMINS[exchange], retard_s=4 * 3600 + 60))
    mots = ("--date-debut", str(debut), "--timeframe", "1h", "--essais", "2")
    assert telecharger(bourse, sortie, None, *mots, exchange=exchange) == 0
    oracle = list(bourse.attendu(exchange, "BTC/USDT", "1h", debut, fin))
    assert panne.touchees
    assert lignes(sortie) == oracle[:2]
    bourse.pannes.vider()
    bourse.pannes.ajouter(Panne("page_vide", CHEMINS[exchange]))
    assert telecharger(bourse, sortie, None, *mots, exchange=exchange) == 0
    assert (lignes(sortie), fiche(sortie).trous) == (oracle[:2], [])
    bourse.pannes.vider()
    assert telecharger(bourse, sortie, None, *mots, exchange=exchange) == 0
    assert (lignes(sortie), fiche(sortie).trous) == (oracle, [])


@pytest.mark.parametrize(
    ("raison", "effacee"), [("sans_transaction", False), ("echec", True), ("hors_fenetre_api", True)]
)
def test_8_3_une_queue_n_efface_que_ce_qui_n_etait_pas_prouve(raison: str, effacee: bool) -> None:
    """`--reparer` redemande un fait à un exchange muet, sans date de fin : il reste ; un jour de panne, non."""
    cle, heure = module.CleSerie("binance", "BTC/USDT", "1m", "last"), module.lire_instant("2024-01-02", 0)
    queue = (heure - 10 * MINUTE_MS, heure)
    fiche_ = module.Fiche(cle, trous=[module.Trou(*queue, raison)])
    fiche_.couverts = [queue] if raison in module.FAITS else []
    source: Any = object.__new__(module.Historique)
    vars(source).update(
        fiche=fiche_, plage=module.Plage(), timeframe=module.Timeframe.lire("1m"), serie=SimpleNamespace(cle=cle),
        connexion=SimpleNamespace(heure_ms=lambda: heure),
    )  # fmt: skip
    muet = module.Morceau(module.page_vide().lignes, queue, [module.Trou(*queue, module.A_VENIR)])
    lot = source._en_lot(muet, list(fiche_.couverts))
    apres = fiche_.copie()
    apres.noter(lot.couverts, lot.trous)
    assert (apres.couverts, apres.trous) == (([], []) if effacee else (fiche_.couverts, fiche_.trous))


@pytest.mark.parametrize("exchange", ["binance", "okx", "bybit"])
def test_8_4_une_ligne_ecrite_dement_la_cotation_que_l_exchange_montre(
    exchange: str, bourse: Bourse, tmp_path: Path
) -> None:
    """Il ne sert plus rien d'avant un lundi premier du mois, de tout timeframe ; une semaine d'avant est écrite."""
    garde, sortie = module.lire_instant("2024-01-01", 0), tmp_path / "heures.csv"
    ecrites, mots = (garde - 12 * JOUR_MS, garde - 5 * JOUR_MS), ("--timeframe", "1h")
    bourse.pannes.vider()
    assert telecharger(bourse, sortie, ecrites, *mots, exchange=exchange) == 0
    bourse.pannes.ajouter(Panne("oubli", CHEMINS[exchange], age_s=(HEURE_BOURSE - garde) // 1000))
    plus_tot = (ecrites[0] - 9 * JOUR_MS, ecrites[1])
    assert telecharger(bourse, sortie, plus_tot, *mots, exchange=exchange) == 3
    assert fiche(sortie).trous == [module.Trou(plus_tot[0], ecrites[0], HORS_FENETRE_API)]
    bourse.pannes.vider()
    assert telecharger(bourse, sortie, plus_tot, *mots, exchange=exchange) == 0
    assert (lignes(sortie), fiche(sortie).trous) == (list(bourse.attendu(exchange, "BTC/USDT", "1h", *plus_tot)), [])


@pytest.mark.parametrize("exchange", ["binance", "bybit"])
def test_8_4_reparer_redemande_les_faits_une_fois(exchange: str, bourse: Bourse, tmp_path: Path) -> None:
    """Des pages trouées en leur milieu sont crues ; la relance n'y revient pas, `--reparer` si."""
    fin = HEURE_BOURSE // HEURE_MS * HEURE_MS
    bornes, sortie = (fin - 19 * JOUR_MS, fin), tmp_path / "heures.csv"
    options = ("--timeframe", "1h", "--limite", "100")
    oracle = list(bourse.attendu(exchange, "BTC/USDT", "1h", *bornes))
    bourse.pannes.vider()
    bourse.pannes.ajouter(Panne("trou", CHEMINS[exchange], k=3))
    assert telecharger(bourse, sortie, bornes, *options, exchange=exchange) == 0
    manquent = len(oracle) - len(lignes(sortie))
    assert manquent >= 9
    bourse.pannes.vider()
    assert telecharger(bourse, sortie, bornes, *options, exchange=exchange) == 0
    assert len(oracle) - len(lignes(sortie)) == manquent
    reparation = [*commande(bourse, None, exchange=exchange)[:4], "--verifier", str(sortie), "--reparer"]
    assert module.principal(reparation) == 0
    assert lignes(sortie) == oracle
    assert fiche(sortie).trous == []
    bourse.requetes.clear()
    assert module.principal(reparation) == 0
    assert donnees(bourse, exchange) == []


def test_8_4_reparer_garde_les_faits_que_rien_ne_dement(tmp_path: Path) -> None:
    """Une cotation, une panne : redemandées, elles restent ; muet, l'exchange ne les défait pas."""
    marche = Marche(pannes=[(HEURE_BOURSE - 2 * JOUR_MS, HEURE_BOURSE - JOUR_MS)])
    sortie = tmp_path / "minutes.csv"
    with Bourse(("binance",), marche, maintenant_ms=HEURE_BOURSE, acceleration=0.0, limites=False).en_fil() as ouverte:
        bornes = (HEURE_BOURSE - 3 * JOUR_MS, HEURE_BOURSE - HEURE_MS)
        assert telecharger(ouverte, sortie, bornes) == 0
        faits, ecrites = fiche(sortie).trous, lignes(sortie)
        assert [t.raison for t in faits] == [SANS_TRANSACTION]
        reparation = [*commande(ouverte, None)[:4], "--verifier", str(sortie), "--reparer"]
        assert module.principal(reparation) == 0
        assert (fiche(sortie).trous, lignes(sortie)) == (faits, ecrites)
        ouverte.pannes.ajouter(Panne("page_vide", "klines"))
        assert module.principal(reparation) == 0
        assert (fiche(sortie).trous, lignes(sortie)) == (faits, ecrites)


def test_8_4_reparer_qui_n_a_rien_pu_redemander_est_un_echec(tmp_path: Path) -> None:
    """Les marchés répondent, les bougies non : les faits n'ont pas été redemandés ; dit, code 1, rien ne change."""
    marche = Marche(pannes=[(HEURE_BOURSE - 2 * JOUR_MS, HEURE_BOURSE - JOUR_MS)])
    sortie = tmp_path / "minutes.csv"
    with Bourse(("binance",), marche, maintenant_ms=HEURE_BOURSE, acceleration=0.0, limites=False).en_fil() as ouverte:
        assert telecharger(ouverte, sortie, (HEURE_BOURSE - 3 * JOUR_MS, HEURE_BOURSE - HEURE_MS)) == 0
        avant = sortie.read_bytes(), fiche(sortie)
        reparation = [*commande(ouverte, None)[:4], "--essais", "1", "--verifier", str(sortie), "--reparer"]
        ouverte.pannes.ajouter(Panne("http", "klines"))
        assert module.principal(reparation) == 1
        assert (sortie.read_bytes(), fiche(sortie)) == avant
        ouverte.pannes.vider()
        assert module.principal(reparation) == 0
        assert (sortie.read_bytes(), fiche(sortie)) == avant
