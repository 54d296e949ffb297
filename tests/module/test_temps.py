"""Le temps : instants lus et écrits, grilles des timeframes, semaines et mois du calendrier, intervalles."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from module_ccxt_fr_v2 import (
    HEURE_MS,
    INSTANT_MAX_MS,
    INSTANT_MIN_MS,
    JOUR_MS,
    MINUTE_MS,
    SEMAINE_MS,
    Intervalle,
    Timeframe,
    croiser,
    duree_lisible,
    en_iso,
    lire_instant,
    oter,
    unir,
)

UTC = dt.UTC
MAINTENANT = 1_718_446_651_000  # 2024-06-15T10:17:31Z
CODES = ("1s", "1m", "5m", "1h", "4h", "6h", "1d", "3d", "1w", "2w", "1M", "3M", "1y")
INSTANTS = st.integers(INSTANT_MIN_MS, INSTANT_MAX_MS - 5 * 366 * JOUR_MS)
GRILLES = st.builds(
    lambda code, ancre: Timeframe.lire(code).ancrer(ancre if Timeframe.lire(code).peut_etre_ancre else 0),
    st.sampled_from(CODES),
    st.sampled_from((0, 0, 16 * HEURE_MS, 3 * JOUR_MS, -8 * HEURE_MS)),
)


def ms(*date: int) -> int:
    return int(dt.datetime(*date, tzinfo=UTC).timestamp() * 1000)  # type: ignore[misc,arg-type]  # année, mois, jour…


# --- Instants ---


@pytest.mark.parametrize(
    ("valeur", "attendu"),
    [
        ("2024-01-01", ms(2024, 1, 1)),
        (" 2024-01-01 ", ms(2024, 1, 1)),
        ("2024-01-01T12:30", ms(2024, 1, 1, 12, 30)),
        ("2024-01-01T12:30+02:00", ms(2024, 1, 1, 10, 30)),
        ("2024-01-01 12:30:15.250", ms(2024, 1, 1, 12, 30, 15) + 250),
        (1_704_067_200_000, ms(2024, 1, 1)),
        ("1704067200000", ms(2024, 1, 1)),
        (dt.date(2024, 1, 1), ms(2024, 1, 1)),
        (dt.datetime(2024, 1, 1, 6, tzinfo=UTC), ms(2024, 1, 1, 6)),
        (dt.datetime(2024, 1, 1, 6), ms(2024, 1, 1, 6)),  # noqa: DTZ001  YAML rend des dates nues : elles sont UTC
        ("-7j", MAINTENANT - 7 * JOUR_MS),
        ("-12h", MAINTENANT - 12 * HEURE_MS),
        ("-30m", MAINTENANT - 30 * MINUTE_MS),
    ],
)
def test_un_instant_se_lit_de_plusieurs_facons(valeur: object, attendu: int) -> None:
    """ISO 8601, ms epoch, relatif, date de YAML : le même instant UTC."""
    assert lire_instant(valeur, MAINTENANT) == attendu


@pytest.mark.parametrize(
    "valeur",
    [
        "",
        "hier",
        "2024-13-01",
        "2024-02-30",
        "-7",
        "7j",
        "-j",
        "1704067200",
        1_704_067_200,
        10**16,
        -5,
        True,
        None,
        1.5,
        [],
        "-7s",
    ],
)
def test_ce_qui_n_est_pas_un_instant_est_refuse(valeur: object) -> None:
    """Des secondes, des µs, un booléen, un texte libre : ValueError, jamais une date fausse."""
    with pytest.raises(ValueError, match="instant"):
        lire_instant(valeur, MAINTENANT)


@settings(deadline=None)
@given(INSTANTS)
def test_en_iso_se_relit(instant: int) -> None:
    """Ce qui est écrit en ISO 8601 redonne exactement l'instant, à la ms."""
    texte = en_iso(instant)
    assert texte.endswith("Z")
    assert lire_instant(texte.replace("Z", "+00:00"), 0) == instant


def test_en_iso_tait_ce_qui_est_nul() -> None:
    """Ni secondes ni ms quand elles sont nulles."""
    minute = ms(2024, 1, 1)
    assert [en_iso(minute), en_iso(minute + 15_000), en_iso(minute + 1)] == [
        "2024-01-01T00:00Z",
        "2024-01-01T00:00:15Z",
        "2024-01-01T00:00:00.001Z",
    ]


@pytest.mark.parametrize(
    ("secondes", "texte"),
    [
        (0.42, "0,4 s"),
        (12, "12 s"),
        (185, "3 min 05 s"),
        (7_800, "2 h 10 min"),
        (273_600, "3 j 4 h"),
        (59.7, "1 min 00 s"),
    ],
)
def test_une_duree_se_lit(secondes: float, texte: str) -> None:
    """Une durée s'écrit en français, à l'échelle qui convient."""
    assert duree_lisible(secondes) == texte


# --- Timeframes ---


@pytest.mark.parametrize("code", ["", "m", "0m", "1", "1x", "-1m", "1 m", "01m", "1H", "999999m", "1.5h", "1mm"])
def test_ce_qui_n_est_pas_un_timeframe_est_refuse(code: str) -> None:
    """Un code mal formé lève ValueError, avec des exemples."""
    with pytest.raises(ValueError, match="1m, 5m, 1h"):
        Timeframe.lire(code)


@settings(max_examples=300, deadline=None)
@given(GRILLES, INSTANTS)
def test_le_plancher_et_le_plafond_encadrent(timeframe: Timeframe, instant: int) -> None:
    """Plancher <= instant < bougie suivante ; le plafond est la première ouverture à l'instant ou après."""
    bas, haut = timeframe.plancher(instant), timeframe.plafond(instant)
    assert bas <= instant < timeframe.avancer(bas, 1)
    assert timeframe.est_sur_grille(bas)
    assert haut == (bas if bas == instant else timeframe.avancer(bas, 1))


@settings(max_examples=300, deadline=None)
@given(GRILLES, INSTANTS, st.integers(-60, 60), st.integers(-60, 60))
def test_avancer_se_compose_et_se_compte(timeframe: Timeframe, instant: int, aller: int, retour: int) -> None:
    """Avancer de a puis de b vaut a + b ; compter est l'inverse d'avancer ; deux ouvertures ne se confondent pas."""
    depart = timeframe.plancher(instant)
    arrivee = timeframe.avancer(depart, aller)
    assert timeframe.avancer(arrivee, retour) == timeframe.avancer(depart, aller + retour)
    assert timeframe.compter(depart, arrivee) == max(0, aller)
    assert (arrivee > depart, arrivee == depart) == (aller > 0, aller == 0)


@settings(max_examples=200, deadline=None)
@given(GRILLES, INSTANTS, st.integers(0, 40 * JOUR_MS))
def test_compter_compte_les_ouvertures(timeframe: Timeframe, debut: int, duree: int) -> None:
    """Même résultat qu'en les énumérant une à une, bornes hors grille comprises."""
    duree = min(duree, 50 * timeframe.pas_ms)
    ouvertures, instant = 0, timeframe.plafond(debut)
    while instant < debut + duree:
        ouvertures, instant = ouvertures + 1, timeframe.avancer(instant, 1)
    assert timeframe.compter(debut, debut + duree) == ouvertures
    assert timeframe.compter(debut + duree, debut) == 0


@settings(max_examples=100, deadline=None)
@given(INSTANTS)
def test_les_semaines_ouvrent_le_lundi(instant: int) -> None:
    """Une semaine ouvre le lundi à minuit UTC, pas le jeudi de l'époque."""
    ouverture = dt.datetime.fromtimestamp(Timeframe.lire("1w").plancher(instant) / 1000, UTC)
    assert (ouverture.weekday(), ouverture.hour, ouverture.minute) == (0, 0, 0)


@settings(max_examples=100, deadline=None)
@given(INSTANTS, st.sampled_from((1, 3, 12)))
def test_les_mois_sont_ceux_du_calendrier(instant: int, nombre: int) -> None:
    """Un mois ouvre le 1er à minuit UTC ; un trimestre en janvier, avril, juillet ou octobre."""
    ouverture = dt.datetime.fromtimestamp(Timeframe.lire(f"{nombre}M").plancher(instant) / 1000, UTC)
    assert (ouverture.day, ouverture.hour, (ouverture.month - 1) % nombre) == (1, 0, 0)


def test_fevrier_et_la_fin_de_l_annee() -> None:
    """Les mois n'ont pas la même durée ; une année bissextile non plus."""
    mois = Timeframe.lire("1M")
    assert [mois.avancer(ms(2024, 1, 31, 12), n) for n in range(-1, 3)] == [
        ms(2023, 12, 1),
        ms(2024, 1, 1),
        ms(2024, 2, 1),
        ms(2024, 3, 1),
    ]
    assert Timeframe.lire("1y").avancer(ms(2024, 5, 5), 1) - ms(2024, 1, 1) == 366 * JOUR_MS


@pytest.mark.parametrize(
    ("code", "ancre"),
    [
        ("1w", 3 * JOUR_MS),
        ("1d", 16 * HEURE_MS),
        ("1M", -8 * HEURE_MS),
        ("6h", 2 * HEURE_MS),
        ("3d", JOUR_MS),
        ("1M", 0),
    ],
)
def test_une_ancre_se_retrouve(code: str, ancre: int) -> None:
    """Chaque ouverture d'une grille décalée dit de combien, quelle que soit la longueur du mois."""
    timeframe = Timeframe.lire(code).ancrer(ancre)
    depart = timeframe.plancher(MAINTENANT)
    assert {timeframe.decalage(timeframe.avancer(depart, -rang)) for rang in range(40)} == {ancre}


def test_les_courts_ne_s_ancrent_pas() -> None:
    """En dessous de six heures, une ouverture hors grille est une faute, pas une ancre."""
    assert [Timeframe.lire(c).peut_etre_ancre for c in ("1m", "4h", "6h", "1d", "1w", "1M")] == [False] * 2 + [True] * 4
    assert Timeframe.lire("1w").pas_ms == SEMAINE_MS


# --- Intervalles, contre un modèle par ensembles ---

SUITES = st.lists(st.tuples(st.integers(0, 40), st.integers(-3, 12)).map(lambda c: (c[0], c[0] + c[1])), max_size=8)


def points(suite: list[Intervalle]) -> set[int]:
    return {p for debut, fin in suite for p in range(debut, fin)}


def verifier(suite: list[Intervalle], attendus: set[int]) -> None:
    """Les bons points, et la forme : trié, disjoint, non contigu, sans intervalle vide."""
    assert points(suite) == attendus
    assert all(debut < fin for debut, fin in suite)
    assert all(suite[rang][1] < suite[rang + 1][0] for rang in range(len(suite) - 1))


@settings(max_examples=300, deadline=None)
@given(SUITES, SUITES)
def test_unir_oter_croiser_sont_les_operations_d_ensembles(une: list[Intervalle], autre: list[Intervalle]) -> None:
    """Suites quelconques, non triées, vides ou à l'envers : union, différence et intersection exactes."""
    verifier(unir(une, autre), points(une) | points(autre))
    verifier(oter(une, autre), points(une) - points(autre))
    verifier(croiser(une, autre), points(une) & points(autre))


@settings(max_examples=100, deadline=None)
@given(SUITES)
def test_les_operations_sont_stables(suite: list[Intervalle]) -> None:
    """Unir une suite en forme ne la change pas ; s'ôter, c'est vide ; se croiser, c'est soi."""
    forme = unir(suite)
    assert unir(forme) == forme == croiser(forme, forme) == oter(forme, [])
    assert oter(forme, forme) == []
