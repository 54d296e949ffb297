"""Les lignes : le crible d'une page, la fusion de deux réponses, les manques, la fiche d'une série."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any, NamedTuple

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import module_ccxt_fr_v2 as m
from annexes_ccxt_fr.controle import contradictions
from module_ccxt_fr_v2 import (
    A_VENIR,
    AVANT_COTATION,
    ECHEC,
    FAITS,
    HEURE_MS,
    HORS_FENETRE_API,
    JOUR_MS,
    MINUTE_MS,
    OHLCV,
    PEU_DE_LIGNES,
    SANS_TRANSACTION,
    CleSerie,
    Fiche,
    Page,
    Timeframe,
    Trou,
    autre_pas,
    comparer,
    confronter,
    cribler,
    cribler_table,
    deviner_ancre,
    en_colonnes,
    entre,
    fondre_pages,
    habiller,
    instants_de,
    manquants,
    premiere_ecrite,
    regle_enfreinte,
    tabler,
)

DEBUT = 1_704_067_200_000  # 2024-01-01T00:00Z, un lundi
CLE = CleSerie("faux", "BTC/USDT", "1m", "last")
MINUTE = Timeframe.lire("1m")


def ligne(rang: int, prix: float = 100.0, volume: float | None = 1.0) -> list[Any]:
    return [DEBUT + rang * MINUTE_MS, prix, prix + 1, prix - 1, prix, volume]


def en_lignes(page: Page) -> list[tuple[Any, ...]]:
    return [tuple(valeurs.values()) for valeurs in page.lignes.to_pylist()]


# --- Le crible ---

VALEURS = st.one_of(
    st.none(),
    st.just(float("nan")),
    st.just(float("inf")),
    st.sampled_from((-1.0, 0.0, 0.5, 100.0, 101.0)),
    st.sampled_from(("1.5", "x")),
)
INSTANTS = st.one_of(
    st.integers(0, 6).map(lambda r: DEBUT + r * MINUTE_MS),
    st.sampled_from((None, "x", DEBUT + 17, float("nan"), -MINUTE_MS, 10**16, 10**20, True)),
)
SAINES = st.builds(ligne, st.integers(0, 6), st.sampled_from((100.0, 200.0)))
ABIMEES = st.builds(lambda i, v: [i, *v], INSTANTS, st.lists(VALEURS, min_size=0, max_size=6))
PRIX = st.sampled_from(("last", "mark", "index", "premiumIndex"))


def nombre(valeur: Any) -> float | None:
    try:
        return float(valeur)
    except (TypeError, ValueError, OverflowError):
        return None


def est_vraie(valeurs: list[Any], prix: str) -> bool:
    """Le contrat, dit naïvement, pour une ligne dont l'instant est bon."""
    ouverture, haut, bas, cloture, volume = (nombre(v) for v in [*valeurs, *[None] * 5][:5])
    for cours in (ouverture, haut, bas, cloture):
        if cours is None or cours != cours or abs(cours) == float("inf") or (prix != "premiumIndex" and cours <= 0):  # noqa: PLR0124  NaN
            return False
    assert haut is not None
    assert bas is not None
    if haut < bas:
        return False
    if volume is None:
        return prix != "last"
    return volume >= 0 and volume != float("inf")


class Modele(NamedTuple):
    """Une page, dite naïvement."""

    gardees: dict[int, tuple[Any, ...]]
    impossibles: set[int]
    sans_instant: int
    muettes: set[int]
    doubles: set[int]


def modele(brutes: list[list[Any]], prix: str) -> Modele:
    """Bougies gardées, impossibles, sans instant, dites absentes, en deux versions : avec des dictionnaires."""
    gardees: dict[int, set[tuple[Any, ...]]] = {}
    touchees: set[int] = set()
    contestees: set[int] = set()
    muettes: set[int] = set()
    sans_instant = 0
    for brute in brutes:
        instant = nombre(brute[0])
        valeurs = tuple(nombre(v) for v in [*brute, *[None] * 6][1:6])
        bon = instant is not None and instant.is_integer() and 0 <= instant < 10**13
        if not any(valeurs) and not est_vraie(brute[1:], prix):
            if bon and instant and not int(instant) % MINUTE_MS:
                muettes.add(int(instant))
        elif not bon or instant is None:
            sans_instant += 1
        elif int(instant) % MINUTE_MS:
            contestees.add(int(instant) // MINUTE_MS * MINUTE_MS)
        elif not est_vraie(brute[1:], prix):
            touchees.add(int(instant))
        else:
            gardees.setdefault(int(instant), set()).add(valeurs)
    uniques = {i: (i, *next(iter(v))) for i, v in gardees.items() if len(v) == 1 and i not in contestees}
    doubles = {i for i, v in gardees.items() if len(v) > 1} - contestees
    impossibles = contestees | touchees - gardees.keys()
    return Modele(uniques, impossibles, sans_instant, muettes - gardees.keys() - impossibles, doubles)


@settings(max_examples=400, deadline=None)
@given(st.lists(st.one_of(SAINES, SAINES, ABIMEES), max_size=8), PRIX)
def test_le_crible_suit_le_contrat(brutes: list[list[Any]], prix: str) -> None:
    """Contre un modèle naïf : lignes gardées triées et uniques, bougies impossibles, absentes, en double.

    Quelques lignes se jugent une à une, beaucoup par colonnes : la même règle.
    """
    attendue, page = modele(brutes, prix), cribler(brutes, MINUTE, prix)
    par_colonnes = cribler_table(en_colonnes(brutes), MINUTE, prix)
    assert (en_lignes(par_colonnes), par_colonnes[1:]) == (en_lignes(page), page[1:])
    assert en_lignes(page) == [attendue.gardees[i] for i in sorted(attendue.gardees)]
    assert (set(page.impossibles), page.sans_instant) == (attendue.impossibles, attendue.sans_instant)
    assert (set(page.muettes), set(page.doubles)) == (attendue.muettes, attendue.doubles)
    assert page.lignes.schema.names == ["timestamp", "open", "high", "low", "close", "volume"]
    assert [str(t) for t in page.lignes.schema.types] == ["int64", *["double"] * 5]


@pytest.mark.parametrize("brutes", [[], [ligne(0)], [ligne(r) for r in range(500)]])
def test_une_page_saine_traverse(brutes: list[list[Any]]) -> None:
    """Vide, d'une ligne ou pleine : rien n'y change."""
    page = cribler(brutes, MINUTE, "last")
    assert (en_lignes(page), page.impossibles, page.sans_instant) == ([tuple(b) for b in brutes], [], 0)


@pytest.mark.parametrize("colonnes", [0, 1, 3, 5, 7])
def test_une_page_de_forme_etrange_ne_leve_pas(colonnes: int) -> None:
    """Trop ou trop peu de colonnes : ce qui manque est impossible, ce qui dépasse est ignoré."""
    page = cribler([[*ligne(0), 42.0][:colonnes], [*ligne(1), 42.0][:colonnes]], MINUTE, "last")
    assert page.lignes.num_rows == (2 if colonnes == 7 else 0)


def test_l_heure_des_semaines_et_des_mois() -> None:
    """Hors de la grille du calendrier, une bougie est impossible ; sur une grille ancrée, elle est bonne."""
    jeudi = [DEBUT + 3 * JOUR_MS, 1.0, 1.0, 1.0, 1.0, 1.0]
    semaine = Timeframe.lire("1w")
    assert cribler([jeudi], semaine, "last").impossibles == [DEBUT]
    assert cribler([jeudi], semaine.ancrer(3 * JOUR_MS), "last").lignes.num_rows == 1
    assert cribler([jeudi], Timeframe.lire("1M"), "last").impossibles == [DEBUT]


def test_deux_versions_d_une_bougie_attendent_d_etre_departagees() -> None:
    """Le même instant avec deux valeurs n'est pas encore une ligne ; deux fois la même ligne, une bougie."""
    page = cribler([ligne(0), ligne(1), [*ligne(0, 200.0)[:5], 9.0], ligne(1)], MINUTE, "last")
    assert ([i for i, *_ in en_lignes(page)], page.impossibles) == ([DEBUT + MINUTE_MS], [])
    departagee = page.departager()
    assert [(i, volume) for i, *_, volume in en_lignes(departagee)] == [(DEBUT, 9.0), (DEBUT + MINUTE_MS, ligne(1)[5])]


@pytest.mark.parametrize("valeurs", [[None] * 5, [0, 0, 0, 0, 0], ["0", "0", "0", "0", None]])
def test_une_ligne_sans_prix_ni_volume_dit_l_absence(valeurs: list[Any]) -> None:
    """Backpack laisse ces cases vides, poloniex y met zéro ; à l'instant zéro, elle tient lieu de page vide."""
    page = cribler([ligne(0), [DEBUT + MINUTE_MS, *valeurs], ligne(2), [0, *valeurs]], MINUTE, "last")
    assert (page.muettes, page.impossibles, page.sans_instant) == ([DEBUT + MINUTE_MS], [], 0)


@pytest.mark.parametrize(
    ("timeframe", "ecart_s", "nombre", "refusee"),
    [
        ("5m", 60, 10, True),
        ("15m", 3600, 20, True),
        ("1m", 3600, 8, True),
        ("1w", 3 * 86_400, 18, True),
        ("4h", 8 * 3600, 40, True),
        ("1M", 28 * 86_400, 12, True),
        ("1m", 60, 500, False),
        ("1h", 3600, 2, False),
        ("1m", 3600, 3, False),
        ("4h", 8 * 3600, 5, False),  # cinq lignes d'un marché rare peuvent tomber ainsi
        ("1m", 7 * 60, 300, False),  # aucun exchange ne sert sept minutes : un robot y passe un ordre, régulièrement
        ("1d", 9 * 86_400, 40, False),
    ],
)
def test_le_pas_rendu_est_celui_demande(timeframe: str, ecart_s: int, nombre: int, refusee: bool) -> None:
    """Ni 1m pour 5m, ni 1h pour 1m, ni trois jours pour une semaine ; un hasard n'accuse personne."""
    pas = Timeframe.lire(timeframe)
    debut = pas.plafond(DEBUT)
    assert bool(autre_pas([debut + rang * ecart_s * 1000 for rang in range(nombre)], pas)) is refusee


# --- La fusion de deux réponses ---


@settings(max_examples=200, deadline=None)
@given(st.lists(st.one_of(SAINES, ABIMEES), max_size=6), st.lists(st.one_of(SAINES, ABIMEES), max_size=6))
def test_fondre_garde_la_plus_recente(premieres: list[list[Any]], secondes: list[list[Any]]) -> None:
    """Une bougie vraie dans l'une suffit ; vraie dans les deux, celle de la relecture l'emporte."""
    page, relue = cribler(premieres, MINUTE, "last"), cribler(secondes, MINUTE, "last")
    fondue = fondre_pages(page, relue)
    attendues = {v[0]: v for v in [*en_lignes(page), *en_lignes(relue)]}
    assert en_lignes(fondue) == [attendues[i] for i in sorted(attendues)]
    doubles = relue.doubles.keys() - attendues.keys()
    assert set(fondue.doubles) == doubles
    assert fondue.impossibles == sorted({*page.impossibles, *relue.impossibles} - attendues.keys() - doubles)
    assert fondue.sans_instant == min(page.sans_instant, relue.sans_instant)


# --- L'ancre ---


@pytest.mark.parametrize(
    ("code", "ancre"),
    [("1d", 16 * HEURE_MS), ("1w", 3 * JOUR_MS), ("1M", -8 * HEURE_MS), ("1w", 0), ("12h", 4 * HEURE_MS)],
)
def test_l_ancre_d_une_page_se_devine(code: str, ancre: int) -> None:
    """Hong Kong, semaines du jeudi : la majorité des ouvertures le dit, une ligne abîmée n'y change rien."""
    timeframe = Timeframe.lire(code).ancrer(ancre)
    depart = timeframe.plancher(DEBUT)
    brutes: list[list[Any]] = [[timeframe.avancer(depart, -r), 1, 1, 1, 1, 1] for r in range(12)]
    assert deviner_ancre(brutes, Timeframe.lire(code)) == ancre
    assert deviner_ancre([*brutes, [None], [DEBUT + 17], []], Timeframe.lire(code)) == ancre


def test_sans_majorite_pas_d_ancre() -> None:
    """Des ouvertures en désaccord, une page vide ou un timeframe court : la grille UTC."""
    semaine = Timeframe.lire("1w")
    melange = [[DEBUT + r * JOUR_MS, 1, 1, 1, 1, 1] for r in range(7)]
    assert [deviner_ancre(melange, semaine), deviner_ancre([], semaine), deviner_ancre([[DEBUT + 17]], MINUTE)] == [
        0,
        0,
        0,
    ]


# --- Les manques ---


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(("1m", "1d", "1w", "1M")),
    st.sets(st.integers(0, 20)),
    st.integers(0, 20),
    st.integers(0, 20),
    st.floats(0, 0.99),
)
def test_manquants_contre_un_ensemble(
    code: str, presents: set[int], gauche: int, droite: int, hors_grille: float
) -> None:
    """Les points de la grille de [début, fin[ qu'aucun instant n'occupe, en intervalles disjoints."""
    timeframe = Timeframe.lire(code)
    ouvertures = [timeframe.avancer(DEBUT, rang) for rang in range(22)]
    debut = ouvertures[gauche] - int(hors_grille * timeframe.pas_ms * 0.9)
    dedans = [r for r in range(gauche, droite) if r in presents]
    trous = manquants([ouvertures[r] for r in dedans], timeframe, debut, ouvertures[max(gauche, droite)])
    absents = [r for r in range(gauche, max(gauche, droite)) if r not in presents]
    if hors_grille == 0:
        assert [r for r, o in enumerate(ouvertures) if any(d <= o < f for d, f in trous)] == absents
        assert all(timeframe.est_sur_grille(b) for trou in trous for b in trou)


def test_entre_coupe_aux_bornes() -> None:
    """Début inclus, fin exclue, sans rien copier ni perdre."""
    lignes = cribler([ligne(r) for r in range(10)], MINUTE, "last").lignes
    coupe = entre(lignes, DEBUT + 2 * MINUTE_MS, DEBUT + 5 * MINUTE_MS)
    assert coupe["timestamp"].to_pylist() == [DEBUT + r * MINUTE_MS for r in (2, 3, 4)]
    assert entre(lignes, DEBUT - 5, DEBUT).num_rows == entre(lignes.slice(0, 0), 0, DEBUT).num_rows == 0


# --- La forme écrite et la comparaison ---


def ecrite(lignes: dict[int, float]) -> pa.Table:
    return habiller(CLE, cribler([ligne(r, prix) for r, prix in sorted(lignes.items())], MINUTE, "last").lignes)


def test_habiller_donne_le_schema_du_contrat() -> None:
    """Les colonnes de la série, un instant UTC en ms, cinq nombres."""
    table = ecrite({0: 100.0, 1: 101.0})
    assert table.schema == OHLCV.schema
    assert instants_de(table) == [DEBUT, DEBUT + MINUTE_MS]
    assert table.column("symbole").to_pylist() == ["BTC/USDT"] * 2


COURS = st.dictionaries(st.integers(0, 10), st.sampled_from((100.0, 200.0)), max_size=8)


@settings(max_examples=150, deadline=None)
@given(COURS, COURS)
def test_comparer_rend_les_lignes_neuves_ou_revisees(anciennes: dict[int, float], lues: dict[int, float]) -> None:
    """Contre un dictionnaire : les inchangées disparaissent, les changées sont comptées, entières."""
    apport, revisees = comparer(ecrite(anciennes), ecrite(lues))
    attendu = {r: p for r, p in lues.items() if anciennes.get(r) != p}
    assert apport.equals(ecrite(attendu))
    assert revisees == sum(r in anciennes for r in attendu)


# --- La fiche, contre un modèle par point ---

RAISONS = (SANS_TRANSACTION, AVANT_COTATION, HORS_FENETRE_API, ECHEC)


@st.composite
def lecture(tirer: st.DrawFn) -> tuple[list[tuple[int, int]], list[tuple[int, int, str]]]:
    """Une lecture cohérente : des trous disjoints, et des intervalles prouvés disjoints des trous partiels."""
    debut = tirer(st.integers(0, 40))
    bornes = [debut]
    for duree in tirer(st.lists(st.integers(1, 6), min_size=1, max_size=5)):
        bornes.append(bornes[-1] + duree)
    couverts, trous = [], []
    for gauche, droite in pairwise(bornes):
        nature = tirer(st.sampled_from(("couvert", "rien", *RAISONS)))
        if nature in RAISONS:
            trous.append((gauche, droite, nature))
        if nature in ("couvert", SANS_TRANSACTION, AVANT_COTATION):
            couverts.append((gauche, droite))
    return couverts, trous


@settings(max_examples=300, deadline=None)
@given(st.lists(lecture(), max_size=6))
def test_noter_remplace_ce_qu_on_savait_point_par_point(lectures: list[tuple[list[Any], list[Any]]]) -> None:
    """Après n'importe quelle suite de lectures, chaque point garde ce que la dernière qui l'a lu en a dit.

    Une bougie écrite n'est jamais dans un trou : elle est provisoire, pour la raison qu'il donne. Un fait ne dément pas
    celle qui est prouvée ; d'une provisoire, elle reste à confirmer.
    """
    fiche, prouve, raison, provisoires = Fiche(CLE), set[int](), dict[int, str](), dict[int, str]()
    for couverts, trous in lectures:
        fiche.noter(
            [(d * MINUTE_MS, f * MINUTE_MS) for d, f in couverts],
            [Trou(d * MINUTE_MS, f * MINUTE_MS, r) for d, f, r in trous],
        )
        lus = {p for d, f in couverts for p in range(d, f)}
        dits = {p: r for d, f, r in trous for p in range(d, f)}
        ecrits = prouve - raison.keys()
        dits = {p: r for p, r in dits.items() if p not in ecrits or r not in FAITS}
        ecrites = {p: r for p, r in dits.items() if p in provisoires or p in ecrits}
        provisoires = {p: r for p, r in provisoires.items() if p not in lus and p not in dits}
        provisoires |= {p: ECHEC if r in FAITS else r for p, r in ecrites.items()}
        dits = {p: r for p, r in dits.items() if p not in ecrites}
        prouve = ((prouve - lus - dits.keys()) | lus) - provisoires.keys()
        raison = {p: r for p, r in raison.items() if p not in lus and p not in dits} | dits
    assert {p for d, f in fiche.couverts for p in range(d // MINUTE_MS, f // MINUTE_MS)} == prouve
    trouves = [(p, t.raison) for t in fiche.trous for p in range(t.debut // MINUTE_MS, t.fin // MINUTE_MS)]
    assert trouves == sorted(raison.items())
    trouves = [(p, t.raison) for t in fiche.provisoires for p in range(t.debut // MINUTE_MS, t.fin // MINUTE_MS)]
    assert trouves == sorted(provisoires.items())
    assert not contradictions(fiche)
    assert Fiche.depuis_dict(fiche.en_dict()) == fiche
    raison |= provisoires
    connus = {p for d, f in fiche.connus() for p in range(d // MINUTE_MS, f // MINUTE_MS)}
    assert connus == prouve | {p for p, r in raison.items() if r == HORS_FENETRE_API}
    a_relire = {p for d, f in fiche.a_relire() for p in range(d // MINUTE_MS, f // MINUTE_MS)}
    premier = min(prouve, default=0)
    while prouve and raison.get(premier - 1) == ECHEC:  # le début d'une écoute, laissé à prouver
        premier -= 1
    assert a_relire == set(range(premier, max(prouve, default=0))) - connus


@settings(max_examples=300, deadline=None)
@given(st.lists(lecture(), max_size=6), st.integers(-2, 80), st.sampled_from((0, 20_000)))
def test_la_premiere_ecrite_est_la_premiere_de_toutes(
    lectures: list[tuple[list[Any], list[Any]]], depuis: int, ancre: int
) -> None:
    """À cet instant ou après ; un intervalle, ou son reste, où ne s'ouvre aucune bougie n'en tient pas."""
    fiche = Fiche(CLE, ancre_ms=ancre)
    for couverts, trous in lectures:  # bornes à la demi-minute : quelques intervalles ne tiennent aucune ouverture
        moitie = MINUTE_MS // 2
        trous_lus = [Trou(d * moitie, f * moitie, r) for d, f, r in trous]
        fiche.noter([(d * moitie, f * moitie) for d, f in couverts], trous_lus)
    minute = MINUTE.ancrer(ancre)
    instants = range(minute.plafond(0), 80 * MINUTE_MS, MINUTE_MS)
    ecrites = [i for i in instants if any(debut <= i < fin for debut, fin in fiche.ecrits())]
    depuis *= MINUTE_MS // 2
    assert premiere_ecrite(fiche, depuis) == next((i for i in ecrites if i >= depuis), None)


@settings(max_examples=100, deadline=None)
@given(st.lists(lecture(), max_size=4), st.sampled_from((None, 0.01, 100.0)), st.sampled_from((0, -8 * HEURE_MS)))
def test_la_fiche_se_relit(lectures: list[tuple[list[Any], list[Any]]], contrat: float | None, ancre: int) -> None:
    """En JSON et retour : la même fiche."""
    fiche = Fiche(CLE, "swap", "BTC", contrat, ancre)
    for couverts, trous in lectures:
        fiche.noter([(DEBUT + d, DEBUT + f) for d, f in couverts], [Trou(DEBUT + d, DEBUT + f, r) for d, f, r in trous])
    assert Fiche.depuis_dict(json.loads(json.dumps(fiche.en_dict()))) == fiche


@pytest.mark.parametrize(
    "abime",
    [{}, {"exchange": "x"}, {"intervalles": [["hier", "demain"]]}, {"trous": [{"debut": 1}]}, {"ancre_ms": "x"}],
)
def test_une_fiche_abimee_se_reconnait(abime: dict[str, Any]) -> None:
    """Champ absent ou illisible : KeyError, TypeError ou ValueError, que l'appelant attend."""
    donnees = {**Fiche(CLE).en_dict(), **abime} if abime.keys() - {"exchange"} else abime
    with pytest.raises((KeyError, TypeError, ValueError)):
        Fiche.depuis_dict(donnees)


@pytest.mark.parametrize(("ligne_brute", "prix", "regle"), [
    ([DEBUT, 1.0, 2.0, 1.0, 2.0, 3.0], "last", ""),
    ([DEBUT, -1.0, 2.0, -1.0, 2.0, 3.0], "last", "un prix nul ou négatif"),
    ([DEBUT, -1.0, 2.0, -1.0, 2.0, 3.0], "premiumIndex", ""),
    ([DEBUT, 1.0, 2.0, 3.0, 2.0, 3.0], "last", "high sous low"),
    ([DEBUT, 1.0, None, 1.0, 2.0, 3.0], "last", "un prix manque"),
    ([DEBUT, 1.0, 2.0, 1.0, 2.0, None], "last", "volume absent ou négatif"),
    ([DEBUT, 1.0, 2.0, 1.0, 2.0, None], "mark", ""),
    ([DEBUT + 1, 1.0, 2.0, 1.0, 2.0], "mark", "ouverture hors de la grille"),
    (["?", 1.0, 2.0, 1.0, 2.0, 1.0], "last", "instant illisible"),
])  # fmt: skip
def test_la_regle_enfreinte_a_un_nom(ligne_brute: list[Any], prix: str, regle: str) -> None:
    """Ce que dit le message d'une bougie refusée ; et ce que refuse le crible, ni plus ni moins."""
    assert regle_enfreinte(ligne_brute, MINUTE, prix) == regle
    if regle != "instant illisible":
        assert bool(cribler([ligne_brute], MINUTE, prix).impossibles) is bool(regle)


@given(st.lists(st.tuples(st.integers(0, 60), st.floats(allow_nan=False), st.none() | st.floats(allow_nan=False)),
                max_size=2 * PEU_DE_LIGNES))  # fmt: skip
def test_peu_de_lignes_font_la_meme_table_que_beaucoup(tirees: list[tuple[int, float, float | None]]) -> None:
    """Ligne à ligne ou colonne à colonne, selon ce qui coûte le moins."""
    lignes = [(DEBUT + rang * MINUTE_MS, prix, prix, prix, prix, volume) for rang, prix, volume in tirees]
    une_a_une = [tabler(CLE, [ligne], OHLCV) for ligne in lignes]
    assert tabler(CLE, lignes, OHLCV).equals(pa.concat_tables([OHLCV.schema.empty_table(), *une_a_une]))
    assert tabler(CLE, lignes, OHLCV).schema == OHLCV.schema


def test_une_bougie_ecrite_dont_la_fiche_ne_dit_rien_est_provisoire() -> None:
    """Où qu'elle soit : une version d'avant, en récrivant la fiche, en oubliait les provisoires ; un fait reste."""

    def de(debut: int, fin: int) -> tuple[int, int]:
        return debut * MINUTE_MS, fin * MINUTE_MS

    trous = [Trou(*de(20, 22), ECHEC), Trou(*de(30, 32), HORS_FENETRE_API), Trou(*de(40, 41), SANS_TRANSACTION)]
    fiche = Fiche(CLE, couverts=[de(0, 10), de(12, 20), de(40, 41)], trous=trous)
    confronter(fiche, [de(0, 9), de(11, 24), de(31, 33), de(40, 41)], dire=False)
    assert fiche.couverts == [de(0, 9), de(12, 20), de(40, 41)]
    assert fiche.trous == [Trou(*de(30, 31), HORS_FENETRE_API), Trou(*de(40, 41), SANS_TRANSACTION)]
    assert fiche.provisoires == [
        Trou(*de(11, 12), A_VENIR),
        Trou(*de(20, 22), ECHEC),
        Trou(*de(22, 24), A_VENIR),
        Trou(*de(31, 32), HORS_FENETRE_API),
        Trou(*de(32, 33), A_VENIR),
    ]
    assert not contradictions(fiche)


def test_noter_ne_parcourt_pas_toutes_les_provisoires_a_chaque_fait() -> None:
    """D'une fiche abîmée, toutes les bougies d'un marché rare en sont : chaque fait relu les parcourait toutes."""
    nombre = 2_000
    fiche = Fiche(CLE, provisoires=[Trou(2 * k * MINUTE_MS, (2 * k + 1) * MINUTE_MS, A_VENIR) for k in range(nombre)])
    faits = [Trou((2 * k + 1) * MINUTE_MS, (2 * k + 2) * MINUTE_MS, SANS_TRANSACTION) for k in range(nombre)]
    fusions = 0

    def unir_en_comptant(*suites: Any) -> list[tuple[int, int]]:
        nonlocal fusions
        reunies = vraie(*suites)
        fusions += len(reunies)
        return reunies

    vraie = m.unir
    with pytest.MonkeyPatch.context() as compte:
        compte.setattr(m, "unir", unir_en_comptant)
        fiche.noter([(0, 2 * nombre * MINUTE_MS)], faits, "api")
    assert fiche.couverts == [(0, 2 * nombre * MINUTE_MS)]
    assert (fiche.trous, fiche.provisoires) == (faits, [])
    assert fusions < 20 * nombre, "autant que de faits, pas leur produit"
