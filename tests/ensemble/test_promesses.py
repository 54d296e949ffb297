"""Les promesses du contrat, de bout en bout : ligne de commande, vraies classes ccxt, protocoles réels des exchanges.

Le numéro d'une promesse est dans le nom de ses tests. Celles des flux (8, 9) ne sont pas ici.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import signal
import sqlite3
import subprocess
from functools import partial
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.feather as pf
import pyarrow.parquet as pq
import pytest
from attente import moins_de
from couverture import une_seule
from ligne_de_commande import (
    CHEMINS,
    EXCHANGES,
    EXTENSIONS,
    HEURE,
    HEURE_BOURSE,
    JOUR,
    MINUTE,
    Ligne,
    commande,
    donnees,
    empreinte,
    famille,
    fenetres,
    fiche,
    finir,
    jusqua,
    lancer,
    lignes,
    raisons,
    restes,
    telecharger,
)
from marche_simule import marche_commun
from temps_simule import temps_simule
from vrais_processus import condamner, tuer

import module_ccxt_fr_v2 as m
from bourse_locale import Bourse, Marche, Panne

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

FIN = HEURE_BOURSE - HEURE_BOURSE % HEURE - 2 * HEURE  # 11:00 ; kraken ne sert que les 12 heures d'avant 13:00
BORNES = (FIN - 500 * MINUTE, FIN)
PAGES_DE_100 = ("--limite", "100", "--essais", "3")


@pytest.fixture(scope="module")
def _figee() -> Iterator[Bourse]:
    with Bourse(maintenant_ms=HEURE_BOURSE, acceleration=0.0, limites=False).en_fil() as ouverte:
        yield ouverte


@pytest.fixture
def figee(_figee: Bourse) -> Iterator[Bourse]:
    """Les quatre exchanges, horloge arrêtée le 5 janvier 2024 à 13:00:30, sans limite de débit ; remis à neuf."""
    _figee.requetes.clear()
    yield _figee
    _figee.pannes.vider()
    _figee.latence_s, _figee.decalage_ms = 0.0, 0
    _figee.avancer(HEURE_BOURSE - _figee.maintenant_ms())


@pytest.fixture
def sans_attente(monkeypatch: pytest.MonkeyPatch) -> None:
    """Les essais s'enchaînent : c'est leur issue qui est en cause, pas leur délai."""
    monkeypatch.setattr(m, "delais_backoff", lambda **_: itertools.repeat(0.01))


@pytest.fixture(params=EXTENSIONS)
def sortie(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """Une sortie dans chaque format."""
    return tmp_path / f"bougies{EXTENSIONS[request.param]}"


@pytest.fixture
def csv(tmp_path: Path) -> Path:
    """Une sortie CSV."""
    return tmp_path / "bougies.csv"


def attendues(bourse: Bourse, bornes: m.Intervalle = BORNES, exchange: str = "binance", **serie: Any) -> list[Ligne]:
    """L'oracle."""
    symbole, timeframe = serie.pop("symbole", "BTC/USDT"), serie.pop("timeframe", "1m")
    return list(bourse.attendu(exchange, symbole, timeframe, *bornes, **serie))


def manquantes(lues: list[Ligne], oracle: list[Ligne]) -> list[int]:
    """Les instants de l'oracle qui n'ont pas été écrits ; ce qui l'est doit en venir."""
    assert set(lues) <= set(oracle), "une ligne écrite n'est pas vraie"
    return sorted({ligne[0] for ligne in oracle} - {ligne[0] for ligne in lues})


def sans_trace(capsys: pytest.CaptureFixture[str]) -> str:
    """Ce qui a été dit sur stderr ; rien sur stdout, jamais de trace."""
    out, err = capsys.readouterr()
    assert out == ""
    for interdit in ("Traceback", "Unclosed", "never awaited", "exception was never retrieved"):
        assert interdit not in err
    return err


# --- 1. Bornes strictes -----------------------------------------------------------------------------------------------

ETENDUES = {"1m": 3 * HEURE, "5m": 20 * HEURE, "1h": 5 * JOUR, "1d": 40 * JOUR, "1w": 140 * JOUR, "1M": 400 * JOUR}


@pytest.mark.parametrize(("exchange", "timeframe"), [
    *((e, t) for e in EXCHANGES for t in ("1m", "1w", "1M") if (e, t) != ("kraken", "1M")),
    *zip(EXCHANGES, ("5m", "1h", "1d", "5m"), strict=True),  # d'un pas fixe, même code
])  # fmt: skip
def test_1_bornes_strictes(figee: Bourse, csv: Path, exchange: str, timeframe: str) -> None:
    """Des bornes qui tombent entre deux ouvertures, un exchange qui rend plus que demandé : rien ne dépasse."""
    figee.pannes.ajouter(Panne("chevauchement", CHEMINS[exchange]))
    pas = m.Timeframe.lire(timeframe).pas_ms
    fin = HEURE_BOURSE - 2 * pas - pas // 3
    bornes = (fin - ETENDUES[timeframe], fin)
    assert telecharger(figee, csv, bornes, "--timeframe", timeframe, "--limite", "60", exchange=exchange) == 0
    assert lignes(csv) == attendues(figee, bornes, exchange, timeframe=timeframe)
    assert all(bornes[0] <= ligne[0] < bornes[1] for ligne in lignes(csv))


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_1_bornes_sur_la_grille_debut_inclus_fin_exclue(figee: Bourse, csv: Path, exchange: str) -> None:
    """Le premier instant demandé est écrit, le dernier ne l'est pas."""
    assert telecharger(figee, csv, BORNES, exchange=exchange) == 0
    assert (lignes(csv)[0][0], lignes(csv)[-1][0]) == (BORNES[0], BORNES[1] - MINUTE)


# --- 2. Vérité --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("decalage_min", [-10, 0, 10])
@pytest.mark.parametrize("exchange", EXCHANGES)
def test_2_la_bougie_ouverte_se_decide_a_l_heure_de_l_exchange(
    figee: Bourse, csv: Path, exchange: str, decalage_min: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dix minutes d'écart dans un sens ou dans l'autre : toutes les bougies closes, et elles seules."""
    locale = HEURE_BOURSE - figee.decalage_ms
    monkeypatch.setattr(m, "maintenant_ms", lambda: locale)
    figee.decalage_ms = decalage_min * MINUTE
    heure = HEURE_BOURSE + figee.decalage_ms
    debut = heure - heure % HEURE - 2 * HEURE
    mots = ("--date-debut", str(debut))
    assert telecharger(figee, csv, None, *mots, exchange=exchange) == 0
    close = heure - heure % MINUTE
    assert lignes(csv) == attendues(figee, (debut, close), exchange)
    assert lignes(csv)[-1][0] == close - MINUTE, "la dernière bougie close est gardée"


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_2_la_bougie_ouverte_n_est_ecrite_qu_une_fois_close(figee: Bourse, csv: Path, exchange: str) -> None:
    """Cinq minutes plus tard, la relance ajoute cinq bougies, closes, sans en avoir révisé une seule."""
    mots = ("--date-debut", str(FIN))
    assert telecharger(figee, csv, None, *mots, exchange=exchange) == 0
    avant = lignes(csv)
    figee.avancer(5 * MINUTE)
    assert telecharger(figee, csv, None, *mots, exchange=exchange) == 0
    heure = figee.maintenant_ms()
    assert lignes(csv) == attendues(figee, (FIN, heure - heure % MINUTE), exchange)
    assert lignes(csv)[: len(avant)] == avant
    assert len(lignes(csv)) == len(avant) + 5


def test_2_a_l_instant_exact_de_la_cloture() -> None:
    """À la clôture plus la grâce, la bougie est close ; une milliseconde avant, non."""
    timeframe, vide = m.Timeframe.lire("1m"), m.Fiche(m.CleSerie("binance", "BTC/USDT", "1m", "last"))
    plage = m.Plage(debut=FIN - HEURE, grace_ms=2_000)
    assert m.borner(plage, timeframe, 100, FIN + 2_000, vide) == (FIN - HEURE, FIN)
    assert m.borner(plage, timeframe, 100, FIN + 1_999, vide) == (FIN - HEURE, FIN - MINUTE)


@pytest.mark.parametrize(("apres_ms", "grace", "derniere"), [
    (30_000, "2", FIN - MINUTE),  # bien après la clôture de 10:59
    (0, "10", FIN - 2 * MINUTE),  # à l'instant même : la grâce n'est pas passée
    (0, "0", FIN - MINUTE),  # sans grâce, elle est close
])  # fmt: skip
def test_2_au_bord_de_la_cloture(figee: Bourse, csv: Path, apres_ms: int, grace: str, derniere: int) -> None:
    """L'exchange sert déjà la suivante : seule l'heure décide."""
    figee.avancer(FIN + apres_ms + (50 if grace == "0" else 0) - figee.maintenant_ms())
    assert telecharger(figee, csv, None, "--date-debut", str(FIN - HEURE), "--grace", grace) == 0
    assert lignes(csv) == attendues(figee, (FIN - HEURE, derniere + MINUTE))


# --- 3. Ni doublon ni désordre ----------------------------------------------------------------------------------------


@pytest.mark.couvrant(graine=une_seule)
@pytest.mark.parametrize("graine", [1, 2])
def test_3_apres_n_importe_quelle_suite_de_reprises(figee: Bourse, sortie: Path, graine: int) -> None:
    """Des plages partielles, qui se recouvrent, d'avant, de dedans : à chaque pas, exactement leur union."""
    alea = random.Random(graine)
    faites: list[m.Intervalle] = []
    for _ in range(6):
        debut = BORNES[0] + alea.randrange(450) * MINUTE
        bornes = (debut, min(BORNES[1], debut + alea.randrange(1, 200) * MINUTE))
        faites = m.unir([*faites, bornes])
        assert telecharger(figee, sortie, bornes, "--limite", "60") == 0
        assert lignes(sortie) == [ligne for plage in faites for ligne in attendues(figee, plage)]
    assert telecharger(figee, sortie, BORNES, "--limite", "60") == 0
    assert lignes(sortie) == attendues(figee)
    assert restes(sortie) == set()


@pytest.mark.couvrant(nature=une_seule, sortie=une_seule)  # mis en ordre avant toute sortie
@pytest.mark.parametrize("nature", ["doublons", "desordre", "chevauchement"])
def test_3_meme_si_l_exchange_repete_et_melange(figee: Bourse, sortie: Path, nature: str) -> None:
    """Ce que l'exchange rend en double ou en désordre est écrit une fois, à sa place, reprises comprises."""
    figee.pannes.ajouter(Panne(nature, CHEMINS["okx"]))
    milieu = BORNES[0] + 200 * MINUTE
    for bornes in ((milieu, BORNES[1]), (BORNES[0], milieu + 50 * MINUTE)):
        assert telecharger(figee, sortie, bornes, *PAGES_DE_100, exchange="okx") == 0
    assert lignes(sortie) == attendues(figee, exchange="okx")


# --- 4. Aucun trou silencieux -----------------------------------------------------------------------------------------

VALEURS = ("nan", "null", "negatif", "zero", "high_low", "hors_grille", "texte")
TRANSPORT = ("429", "418", "http", "coupure", "tronque", "json_coupe", "html", "vide", "null")
SANS_EFFET = ("doublons", "desordre", "chevauchement")
PASSAGERES: list[tuple[str, dict[str, Any]]] = [
    *((nature, {}) for nature in (*TRANSPORT, *SANS_EFFET, "page_vide", "repetee")),
    ("http", {"code": 503}),
    ("http", {"code": 500, "corps": "oups"}),
    ("lent", {"delai_s": 0.2}),
    ("muet", {}),
    *((nature, {"k": k}) for nature in ("tete", "queue") for k in (1, 50, 99)),
    *(("plafond", {"n": n}) for n in (1, 30)),
    *(("valeurs", {"cas": cas}) for cas in VALEURS),
]


GENRES = {
    **dict.fromkeys(("429", "418", "http"), "un refus, que la classe lit"),
    **dict.fromkeys(("coupure", "tronque", "muet", "lent"), "une réponse qui ne vient pas entière"),
    **dict.fromkeys(("json_coupe", "html", "vide", "null"), "une réponse qui n'en est pas une"),
    **dict.fromkeys(SANS_EFFET, "rien ne manque"),
    **dict.fromkeys(("tete", "queue", "plafond"), "une page coupée"),
    **dict.fromkeys(("page_vide", "repetee"), "aucune ligne neuve"),
    "valeurs": "des lignes impossibles",
}
"""Un genre, un chemin : chaque exchange les voit tous, chaque panne au moins un exchange."""
par_genre = pytest.mark.couvrant(nature=GENRES.__getitem__)


def nommer(valeur: Any) -> str | None:
    """Le nom d'un réglage de panne dans celui du test."""
    return "-".join(map(str, valeur.values())) if isinstance(valeur, dict) else None


@pytest.mark.usefixtures("sans_attente")
@par_genre
@pytest.mark.parametrize("exchange", EXCHANGES)
@pytest.mark.parametrize(("nature", "reglages"), PASSAGERES, ids=nommer)
def test_4_une_panne_passagere_ne_laisse_pas_de_trace(
    figee: Bourse, csv: Path, exchange: str, nature: str, reglages: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """À la première page, puis deux plus loin : exactement l'oracle, aucun trou, code 0."""
    delai = ("--timeout", "800") if nature == "muet" else ()
    sauts = (0, 2) if exchange != "kraken" else (0,)
    pannes = [figee.pannes.ajouter(Panne(nature, CHEMINS[exchange], fois=1, sauter=n, **reglages)) for n in sauts]
    assert telecharger(figee, csv, BORNES, *PAGES_DE_100, *delai, exchange=exchange) == 0
    assert [panne.touchees for panne in pannes] == [1] * len(sauts)
    assert lignes(csv) == attendues(figee, exchange=exchange)
    assert fiche(csv).couverts == [BORNES]
    assert not fiche(csv).trous
    sans_trace(capsys)


@pytest.mark.usefixtures("sans_attente")
@par_genre
@pytest.mark.parametrize("exchange", EXCHANGES)
@pytest.mark.parametrize("nature", [*TRANSPORT, "muet"])
def test_4_une_reponse_illisible_qui_dure_est_un_echec(
    figee: Bourse, csv: Path, exchange: str, nature: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Code 1, dit ; ce qui est reçu est gardé, rien d'autre n'est tenu pour su ; la relance demande le reste."""
    sauter = 2 if exchange != "kraken" else 0
    figee.pannes.ajouter(Panne(nature, CHEMINS[exchange], sauter=sauter))
    delai = ("--timeout", "500") if nature == "muet" else ()
    assert telecharger(figee, csv, BORNES, "--limite", "100", "--essais", "2", *delai, exchange=exchange) == 1
    assert "BTC/USDT" in sans_trace(capsys)
    recues = lignes(csv) if csv.exists() else []
    assert recues == attendues(figee, exchange=exchange)[: 100 * sauter]
    if recues:
        assert fiche(csv).couverts == [(BORNES[0], BORNES[0] + len(recues) * MINUTE)]
    figee.pannes.vider()
    figee.requetes.clear()
    assert telecharger(figee, csv, BORNES, "--limite", "100", exchange=exchange) == 0
    assert lignes(csv) == attendues(figee, exchange=exchange)
    assert len(donnees(figee, exchange)) <= 5 - sauter + 1


@pytest.mark.couvrant(cas=une_seule)
@pytest.mark.parametrize("exchange", EXCHANGES)
@pytest.mark.parametrize("cas", VALEURS)
def test_4_une_ligne_impossible_qui_dure_est_un_trou_dit(figee: Bourse, csv: Path, exchange: str, cas: str) -> None:
    """Code 3 ; les autres bougies sont écrites, celle-là est en trou `echec`, redemandée à la relance."""
    figee.pannes.ajouter(Panne("valeurs", CHEMINS[exchange], cas=cas))
    mots = PAGES_DE_100 if exchange != "kraken" else ()  # kraken ignore la limite : une page y suffit
    assert telecharger(figee, csv, BORNES, *mots, exchange=exchange) == 3
    absentes = manquantes(lignes(csv), attendues(figee, exchange=exchange))
    assert len(absentes) == (5 if exchange != "kraken" else 1)
    assert fiche(csv).trous == [m.Trou(i, i + MINUTE, "echec") for i in absentes]
    figee.pannes.vider()
    assert telecharger(figee, csv, BORNES, *mots, exchange=exchange) == 0
    assert lignes(csv) == attendues(figee, exchange=exchange)
    assert not fiche(csv).trous


ENTETES: list[tuple[str, dict[str, Any], int]] = [
    ("plafond", {"n": 30}, 0),
    ("tete", {"k": 1}, 0),
    ("queue", {"k": 1}, 0),
    ("lent", {"delai_s": 0.05}, 0),
    *((nature, {}, 0) for nature in SANS_EFFET),
    ("plafond", {"n": 1}, 3),
    ("tete", {"k": 50}, 3),
    ("queue", {"k": 50}, 3),
    ("repetee", {}, 3),
    ("page_vide", {}, 3),
]


@par_genre
@pytest.mark.parametrize("exchange", [e for e in EXCHANGES if e != "kraken"])
@pytest.mark.parametrize(("nature", "reglages", "pire"), ENTETES, ids=nommer)
def test_4_un_exchange_qui_ment_toujours_n_a_jamais_le_silence(
    figee: Bourse, csv: Path, exchange: str, nature: str, reglages: dict[str, Any], pire: int
) -> None:
    """Complet et code 0, ou code 3 et chaque bougie absente en trou ; jamais de ligne fausse, toujours une fin."""
    figee.pannes.ajouter(Panne(nature, CHEMINS[exchange], sauter=2, **reglages))
    code = telecharger(figee, csv, BORNES, "--limite", "100", exchange=exchange)
    oracle = attendues(figee, exchange=exchange)
    absentes = manquantes(lignes(csv), oracle)
    assert code == (3 if absentes else 0)
    assert code in (0, pire)
    dits = [(t.debut, t.fin) for t in fiche(csv).trous]
    assert [i for i in absentes if not m.croiser(dits, [(i, i + 1)])] == []
    assert m.croiser(fiche(csv).couverts, [(t.debut, t.fin) for t in fiche(csv).trous if t.raison == "echec"]) == []
    assert len(donnees(figee, exchange)) < 2000, "fin garantie"


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_4_un_trou_confirme_porte_sa_raison(figee: Bourse, csv: Path, exchange: str) -> None:
    """Des bougies absentes au milieu d'une page qui en a avant et après : `sans_transaction`, code 0."""
    figee.pannes.ajouter(Panne("trou", CHEMINS[exchange], k=3))
    mots = PAGES_DE_100 if exchange != "kraken" else ()
    assert telecharger(figee, csv, BORNES, *mots, exchange=exchange) == 0
    absentes = manquantes(lignes(csv), attendues(figee, exchange=exchange))
    assert absentes
    assert sorted({t.raison for t in fiche(csv).trous}) == ["sans_transaction"]
    assert sum((t.fin - t.debut) // MINUTE for t in fiche(csv).trous) == len(absentes)


@pytest.mark.parametrize("exchange", ["binance", "okx", "bybit"])
def test_4_une_vraie_panne_de_l_exchange_est_dite(csv: Path, exchange: str) -> None:
    """Trois heures sans cotation au milieu : un trou `sans_transaction` exact, et la relance n'y revient pas."""
    arret = (BORNES[0] + 130 * MINUTE, BORNES[0] + 310 * MINUTE)
    marche = Marche(pannes=[arret])
    with Bourse((exchange,), marche, maintenant_ms=HEURE_BOURSE, limites=False).en_fil() as bourse:
        assert telecharger(bourse, csv, BORNES, *PAGES_DE_100, exchange=exchange) == 0
        assert lignes(csv) == attendues(bourse, exchange=exchange)
        assert fiche(csv).trous == [m.Trou(*arret, "sans_transaction")]
        bourse.requetes.clear()
        assert telecharger(bourse, csv, BORNES, *PAGES_DE_100, exchange=exchange) == 0
        assert len(donnees(bourse, exchange)) <= 2


@pytest.mark.usefixtures("sans_attente")
@par_genre
@pytest.mark.parametrize("exchange", EXCHANGES)
@pytest.mark.parametrize("nature", ["html", "json_coupe", "vide", "null", "http", "tronque"])
def test_4_la_liste_des_marches_et_l_heure_sont_relues(figee: Bourse, csv: Path, exchange: str, nature: str) -> None:
    """Une des toutes premières réponses abîmée : ni symbole « inconnu », ni bougie ouverte prise pour close."""
    for saut in (0, 2):  # une requête sur deux, parmi les toutes premières
        figee.pannes.ajouter(Panne(nature, f"/{exchange}/", fois=1, sauter=saut))
    bornes = (FIN, HEURE_BOURSE + HEURE)
    assert telecharger(figee, csv, bornes, "--essais", "5", exchange=exchange) == 0
    assert lignes(csv) == attendues(figee, (FIN, HEURE_BOURSE - HEURE_BOURSE % MINUTE), exchange)


# --- 5. Idempotence ---------------------------------------------------------------------------------------------------


def test_5_relancer_ne_reecrit_rien(figee: Bourse, sortie: Path) -> None:
    """Mêmes octets, même date (même contenu en SQLite), et deux requêtes de bougies au plus."""
    assert telecharger(figee, sortie, BORNES, *PAGES_DE_100) == 0
    avant, contenu, rang = empreinte(sortie), m.lire(sortie), len(figee.requetes)
    assert telecharger(figee, sortie, BORNES, *PAGES_DE_100) == 0
    assert m.lire(sortie).equals(contenu)
    assert sortie.suffix == ".sqlite" or empreinte(sortie) == avant
    assert len(donnees(figee, depuis=rang)) <= 2


@pytest.mark.parametrize("timeframe", ["1h", "1d", "1w"])
@pytest.mark.parametrize("exchange", EXCHANGES)
def test_5_relancer_demande_deux_pages_au_plus(figee: Bourse, csv: Path, exchange: str, timeframe: str) -> None:
    """Sur chaque exchange et chaque timeframe, mois et semaines compris."""
    bornes = (HEURE_BOURSE - 20 * m.Timeframe.lire(timeframe).pas_ms, HEURE_BOURSE)
    mots = ("--timeframe", timeframe)
    assert telecharger(figee, csv, bornes, *mots, exchange=exchange) == 0
    avant, rang = empreinte(csv), len(figee.requetes)
    assert telecharger(figee, csv, bornes, *mots, exchange=exchange) == 0
    assert empreinte(csv) == avant
    assert len(donnees(figee, exchange, rang)) <= 2


def test_5_elargir_ne_demande_que_ce_qui_manque(figee: Bourse, sortie: Path) -> None:
    """Avant, après, dedans : les bornes demandées à l'exchange ne débordent que de quelques bougies."""
    milieu = [(BORNES[0] + rang * MINUTE, BORNES[0] + (rang + 100) * MINUTE) for rang in (100, 300)]
    for bornes in milieu:
        assert telecharger(figee, sortie, bornes) == 0
    rang = len(figee.requetes)
    assert telecharger(figee, sortie, BORNES) == 0
    assert lignes(sortie) == attendues(figee)
    demandees = fenetres(donnees(figee, depuis=rang))
    assert len(demandees) <= 4  # avant, dedans, après (la relecture y touche), et un encadrement
    redemandees = m.croiser(demandees, milieu)
    assert sum(fin - debut for debut, fin in redemandees) <= 8 * MINUTE


@pytest.mark.parametrize("exchange", ["okx", "bybit", "kraken"])
def test_5_elargir_compte_ses_pages(figee: Bourse, csv: Path, exchange: str) -> None:
    """Un jour de plus avant et une heure de plus après, sans relire les pages du milieu."""
    milieu = (BORNES[0] + 50 * MINUTE, BORNES[1] - 50 * MINUTE)
    assert telecharger(figee, csv, milieu, *PAGES_DE_100, exchange=exchange) == 0
    rang = len(figee.requetes)
    assert telecharger(figee, csv, BORNES, *PAGES_DE_100, exchange=exchange) == 0
    assert lignes(csv) == attendues(figee, exchange=exchange)
    assert len(donnees(figee, exchange, rang)) <= 4


@pytest.mark.parametrize("nombre", [0, 1, 7])
def test_5_la_relecture_est_celle_demandee(figee: Bourse, csv: Path, nombre: int) -> None:
    """`--relecture N` : à la reprise, les N dernières bougies sont relues, et elles seules."""
    assert telecharger(figee, csv, BORNES) == 0
    rang = len(figee.requetes)
    assert telecharger(figee, csv, BORNES, "--relecture", str(nombre)) == 0
    demandees = m.unir(fenetres(donnees(figee, depuis=rang)))
    assert m.oter([(BORNES[1] - nombre * MINUTE, BORNES[1])], demandees) == []
    assert sum(fin - debut for debut, fin in demandees) <= (nombre + 1) * MINUTE * bool(nombre)


# --- 6. Rien n'est perdu ----------------------------------------------------------------------------------------------

INSTANTS_PAR_FORMAT = 6
PAGES, EN_VOL = 40, 4
LONGUES = (FIN - 25 * PAGES * MINUTE, FIN)


def tuer_a_un_instant(bourse: Bourse, sortie: Path, symbole: str, alea: random.Random) -> int:
    """Lance, tue à la page tirée (parfois pendant la fusion finale), et rend le nombre de pages déjà servies."""

    def servies() -> int:
        return sum(r.code == 200 and r.params.get("symbol") == symbole.replace("/", "") for r in donnees(bourse))

    depart, cible = servies(), alea.choice([0, *range(1, PAGES + 1, 3), PAGES, PAGES])
    mots = ("--symbole", symbole, "--limite", "25", "--concurrence", str(EN_VOL), "--journal", "error")
    processus = condamner(commande(bourse, sortie, LONGUES, *mots))
    tuer(processus, lambda: servies() - depart >= cible, alea.uniform(0, 0.05))
    return servies() - depart


@pytest.mark.couvrant(nom=famille, un_par_famille=("nom",))
@pytest.mark.parametrize("nom", EXTENSIONS)
def test_6_tue_a_n_importe_quel_instant_puis_relance(figee: Bourse, tmp_path: Path, nom: str) -> None:
    """`kill -9` : fichier lisible, relance = oracle, et aucune page redemandée hors de celles qui étaient en vol."""
    figee.latence_s = 0.005
    alea, symbole = random.Random(nom), "ETH/USDT"
    oracle = attendues(figee, LONGUES, symbole=symbole)
    for rang in range(INSTANTS_PAR_FORMAT):
        sortie = tmp_path / f"{rang}" / f"bougies{EXTENSIONS[nom]}"
        servies = tuer_a_un_instant(figee, sortie, symbole, alea)
        manquantes(lignes(sortie) if sortie.exists() else [], oracle)
        depuis = len(figee.requetes)
        assert telecharger(figee, sortie, LONGUES, "--symbole", symbole, "--limite", "25", "--essais", "2") == 0
        assert lignes(sortie) == oracle
        assert servies + len(donnees(figee, depuis=depuis)) <= PAGES + EN_VOL + 2
        assert restes(sortie) == set()


@pytest.mark.parametrize("nom", ["csv", "sqlite"])
def test_6_tue_plusieurs_fois_de_suite(figee: Bourse, tmp_path: Path, nom: str) -> None:
    """Tué à chaque relance, le téléchargement avance quand même jusqu'au bout, sans page perdue."""
    sortie = tmp_path / f"bougies{EXTENSIONS[nom]}"
    figee.latence_s = 0.01
    mots = ("--limite", "25", "--concurrence", str(EN_VOL), "--journal", "error")
    for _ in range(3):
        depuis = len(donnees(figee))
        processus = condamner(commande(figee, sortie, LONGUES, *mots))
        tuer(processus, lambda debut=depuis: len(donnees(figee)) - debut >= 10)  # type: ignore[misc]
        manquantes(lignes(sortie) if sortie.exists() else [], attendues(figee, LONGUES))
    assert telecharger(figee, sortie, LONGUES, *mots) == 0
    assert lignes(sortie) == attendues(figee, LONGUES)
    assert len(donnees(figee)) <= PAGES + 3 * (EN_VOL + 2) + 2


@pytest.mark.posix
@pytest.mark.couvrant(numero=int, nom=famille, un_par_famille=("nom",))
@pytest.mark.parametrize(("numero", "code", "nom"), [
    *((signal.SIGTERM, 143, nom) for nom in EXTENSIONS),
    (signal.SIGINT, 130, "csv"),
])  # fmt: skip
def test_6_un_signal_sous_charge(figee: Bourse, tmp_path: Path, numero: signal.Signals, code: int, nom: str) -> None:
    """En moins de cinq secondes, tout le reçu est écrit : la relance ne redemande que la suite."""
    sortie = tmp_path / f"bougies{EXTENSIONS[nom]}"
    figee.latence_s = 0.05
    mots = ("--limite", "25", "--concurrence", str(EN_VOL))
    processus = lancer(commande(figee, sortie, LONGUES, *mots))
    jusqua(lambda: sum(r.code == 200 for r in donnees(figee)) >= 15)
    with moins_de(5):
        processus.send_signal(numero)
        rendu, erreurs = finir(processus)
    assert rendu == code, erreurs
    assert "Traceback" not in erreurs
    servies = sum(r.code == 200 for r in donnees(figee))
    ecrites = lignes(sortie)
    assert ecrites == attendues(figee, LONGUES)[: len(ecrites)]
    assert len(ecrites) >= 25 * (servies - EN_VOL)
    assert restes(sortie) == set()
    depuis = len(figee.requetes)
    assert telecharger(figee, sortie, LONGUES, *mots) == 0
    assert lignes(sortie) == attendues(figee, LONGUES)
    assert len(donnees(figee, depuis=depuis)) <= PAGES - len(ecrites) // 25 + 2


# --- 7. Rien n'est abîmé ----------------------------------------------------------------------------------------------


@pytest.fixture
def petit_disque(tmp_path: Path) -> Iterator[Path]:
    """Un disque de 3 Mio ; il faut être root pour le monter."""
    point = tmp_path / "disque"
    point.mkdir()
    monte = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(point)],  # noqa: S607  le mount du système
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if monte.returncode:
        pytest.skip(f"un petit disque ne peut être monté ici : {monte.stderr.strip()}")
    try:
        yield point
    finally:
        subprocess.run(["umount", "--lazy", str(point)], check=True)  # noqa: S607


@pytest.mark.parametrize("nom", EXTENSIONS)
def test_7_disque_plein(figee: Bourse, petit_disque: Path, nom: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Code 1, dit ; l'ancien contenu est intact ; de la place revenue, la relance finit le travail."""
    sortie, bouchon = petit_disque / f"bougies{EXTENSIONS[nom]}", petit_disque / "bouchon"
    anciennes = (BORNES[0], BORNES[0] + 60 * MINUTE)
    assert telecharger(figee, sortie, anciennes) == 0
    with contextlib.suppress(OSError), bouchon.open("wb", buffering=0) as fichier:
        while True:
            fichier.write(bytes(4096))
    capsys.readouterr()
    assert telecharger(figee, sortie, BORNES, *PAGES_DE_100) == 1
    erreurs = sans_trace(capsys)
    assert str(sortie) in erreurs
    bouchon.unlink()  # SQLite ne peut pas même lire sur un disque plein : il y met son index
    assert lignes(sortie) == attendues(figee, anciennes)
    subprocess.run(["mount", "-o", "remount,size=16m", str(petit_disque)], check=True)  # noqa: S607
    assert telecharger(figee, sortie, BORNES, *PAGES_DE_100) == 0
    assert lignes(sortie) == attendues(figee)


@pytest.mark.posix
@pytest.mark.couvrant(nom=famille, un_par_famille=("nom",))
@pytest.mark.parametrize("nom", EXTENSIONS)
def test_7_taille_de_fichier_limitee(
    figee: Bourse, tmp_path: Path, nom: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Un vrai refus du noyau, sans être root : code 1, dit, l'ancien contenu intact."""
    import resource  # Windows n'a pas ce module

    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")  # il garderait, pour tous les tests, un module compilé coupé
    sortie = tmp_path / f"bougies{EXTENSIONS[nom]}"
    anciennes = (BORNES[0], BORNES[0] + 60 * MINUTE)
    assert telecharger(figee, sortie, anciennes) == 0
    arguments = commande(figee, sortie, (BORNES[0], FIN + 2 * HEURE), "--journal", "error")
    petits_fichiers = partial(resource.setrlimit, resource.RLIMIT_FSIZE, (20_000, 20_000))
    code, erreurs = finir(lancer(arguments, preexec_fn=petits_fichiers))
    assert code == 1, erreurs
    assert "Traceback" not in erreurs
    assert str(tmp_path) in erreurs
    assert manquantes(lignes(sortie), attendues(figee, (BORNES[0], FIN + 2 * HEURE)))
    assert lignes(sortie)[:60] == attendues(figee, anciennes)
    assert telecharger(figee, sortie, BORNES) == 0
    assert set(attendues(figee)) <= set(lignes(sortie))


@pytest.mark.parametrize("nom", EXTENSIONS)
def test_7_dossier_en_lecture_seule(
    figee: Bourse, petit_disque: Path, nom: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Code 1, le chemin et quoi faire ; l'ancien fichier est intact."""
    sortie = petit_disque / f"bougies{EXTENSIONS[nom]}"
    anciennes = (BORNES[0], BORNES[0] + 60 * MINUTE)
    assert telecharger(figee, sortie, anciennes) == 0
    avant = empreinte(sortie)
    subprocess.run(["mount", "-o", "remount,ro", str(petit_disque)], check=True)  # noqa: S607
    capsys.readouterr()
    assert telecharger(figee, sortie, BORNES) == 1
    assert str(sortie) in sans_trace(capsys)
    assert empreinte(sortie) == avant


def bruit(taille: int) -> bytes:
    """Des octets sans forme, les mêmes à chaque fois."""
    return random.Random(7).randbytes(taille)


def _coupe(octets: bytes) -> bytes:
    return octets[: len(octets) // 2]


def _au_milieu(octets: bytes) -> bytes:
    return octets[: len(octets) // 3] + bruit(len(octets) // 3) + octets[2 * len(octets) // 3 :]


@pytest.mark.parametrize("abimer", [_coupe, _au_milieu, lambda octets: bruit(len(octets))])
@pytest.mark.parametrize("nom", ["parquet", "feather", "sqlite"])
def test_7_un_fichier_corrompu_est_mis_de_cote(
    figee: Bourse, tmp_path: Path, nom: str, abimer: Callable[[bytes], bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    """Ses octets sont gardés sous un autre nom, c'est dit, et le travail est fait, code 0."""
    sortie = tmp_path / f"bougies{EXTENSIONS[nom]}"
    assert telecharger(figee, sortie, (BORNES[0], BORNES[0] + 60 * MINUTE)) == 0
    abimes = abimer(sortie.read_bytes())
    sortie.write_bytes(abimes)
    capsys.readouterr()
    assert telecharger(figee, sortie, BORNES) == 0
    assert lignes(sortie) == attendues(figee)
    assert "corrompu" in sans_trace(capsys)
    gardes = [f for f in tmp_path.iterdir() if ".corrompu-" in f.name and f.name.startswith(sortie.name)]
    assert abimes in [f.read_bytes() for f in gardes]


@pytest.mark.parametrize(
    "abimes",
    [bruit(3000), b"\0" * 3000, b"\xff\xfe" + b"a\0" * 900, b"\r\n\n" + b"\x07\xcc" * 900, b"\n" * 9],
    ids=["bruit", "nuls", "utf_16", "lignes_vides_puis_bruit", "lignes_vides"],
)
def test_7_un_csv_illisible_est_mis_de_cote(figee: Bourse, csv: Path, abimes: bytes) -> None:
    """Ce qui n'est pas du texte ne peut être un CSV à qui que ce soit."""
    csv.write_bytes(abimes)
    assert telecharger(figee, csv, BORNES) == 0
    assert lignes(csv) == attendues(figee)
    assert abimes in [f.read_bytes() for f in csv.parent.iterdir() if ".corrompu-" in f.name]


def _csv_etranger(chemin: Path) -> None:
    chemin.write_text("date,prix\n2024-01-01,42\n", encoding="utf-8")


def _parquet_etranger(chemin: Path) -> None:
    pq.write_table(pa.table({"a": [1, 2]}), chemin)


def _feather_etranger(chemin: Path) -> None:
    pf.write_feather(pa.table({"a": [1, 2]}), chemin)


def _sqlite_etranger(chemin: Path) -> None:
    with contextlib.closing(sqlite3.connect(chemin)) as base:
        base.execute("CREATE TABLE ohlcv (a INTEGER)")


ETRANGERS = {
    "csv": _csv_etranger,
    "parquet": _parquet_etranger,
    "feather": _feather_etranger,
    "sqlite": _sqlite_etranger,
}


@pytest.mark.parametrize(("nom", "creer"), ETRANGERS.items())
def test_7_un_fichier_etranger_est_refuse(
    figee: Bourse, tmp_path: Path, nom: str, creer: Callable[[Path], None], capsys: pytest.CaptureFixture[str]
) -> None:
    """Code 2, intact, et le message dit ce qu'il contient."""
    sortie = tmp_path / f"bougies{EXTENSIONS[nom]}"
    creer(sortie)
    avant = empreinte(sortie)
    assert telecharger(figee, sortie, BORNES) == 2
    assert empreinte(sortie) == avant
    assert str(sortie) in sans_trace(capsys)
    assert donnees(figee) == []


def test_7_un_csv_etranger_qui_commence_par_une_ligne_vide_est_refuse(
    figee: Bourse, csv: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """La première ligne ne dit rien : ce qui suit dit que ce n'est pas le nôtre, et le message aussi."""
    csv.write_text("\ndate,prix\n2024-01-01,42\n", encoding="utf-8")
    avant = empreinte(csv)
    assert telecharger(figee, csv, BORNES) == 2
    assert empreinte(csv) == avant
    assert "une ligne vide, puis les colonnes « date,prix »" in sans_trace(capsys)


@pytest.mark.parametrize("mots", [("--timeframe", "5m"), ("--symbole", "ETH/USDT", "--timeframe", "5m")])
@pytest.mark.parametrize("nom", ["csv", "parquet", "feather"])
def test_7_le_fichier_d_une_autre_serie_est_refuse(
    figee: Bourse, tmp_path: Path, nom: str, mots: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    """Code 2, intact, et le message nomme la série qui y est."""
    sortie = tmp_path / f"bougies{EXTENSIONS[nom]}"
    assert telecharger(figee, sortie, BORNES) == 0
    avant = empreinte(sortie)
    capsys.readouterr()
    assert telecharger(figee, sortie, BORNES, *mots) == 2
    assert empreinte(sortie) == avant
    assert "BTC/USDT 1m" in sans_trace(capsys)


@pytest.mark.parametrize("nom", ["csv", "parquet", "feather"])
def test_7_un_symbole_s_ajoute_sans_redire_les_autres(
    figee: Bourse, tmp_path: Path, nom: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Même exchange, timeframe et prix : les lignes d'avant restent, c'est dit, et relancer ne récrit rien."""
    sortie = tmp_path / f"bougies{EXTENSIONS[nom]}"
    assert telecharger(figee, sortie, BORNES) == 0
    btc = m.lire(sortie)
    assert telecharger(figee, sortie, BORNES, "--symbole", "ETH/USDT") == 0
    assert "ETH/USDT 1m (binance, prix last) s'ajoute à BTC/USDT 1m" in sans_trace(capsys)
    ensemble = m.lire(sortie)
    assert ensemble.slice(0, btc.num_rows).equals(btc)
    assert set(ensemble["symbole"].to_pylist()) == {"BTC/USDT", "ETH/USDT"}
    assert [fiche.cle.symbole for fiche in m.lire_fiches(sortie)] == ["BTC/USDT", "ETH/USDT"]
    avant = empreinte(sortie)
    for symbole in ("BTC/USDT", "ETH/USDT"):
        assert telecharger(figee, sortie, BORNES, "--symbole", symbole) == 0
    assert empreinte(sortie) == avant


def test_7_une_base_tient_plusieurs_series(figee: Bourse, tmp_path: Path) -> None:
    """En SQLite, une autre série s'ajoute, dans la même table ou une autre."""
    sortie = tmp_path / "base.sqlite"
    for mots in ((), ("--timeframe", "5m"), ("--symbole", "ETH/USDT", "--sqlite-table", "autre")):
        assert telecharger(figee, sortie, BORNES, *mots) == 0
    assert m.lire(sortie).num_rows == 500 + 100
    assert m.instants_de(m.lire(sortie, table="autre")) == [ligne[0] for ligne in attendues(figee)]


@pytest.mark.posix
@pytest.mark.parametrize("nom", ["parquet", "sqlite"])
def test_7_la_sortie_tenue_par_un_autre(
    figee: Bourse, tmp_path: Path, nom: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Code 75, le processus est nommé ; lui finit son travail."""
    sortie = tmp_path / f"bougies{EXTENSIONS[nom]}"
    figee.latence_s = 0.1
    mots = ("--limite", "25", "--concurrence", "1")
    tenant = lancer(commande(figee, sortie, BORNES, *mots))
    jusqua(lambda: len(donnees(figee)) >= 2)
    tenant.send_signal(signal.SIGSTOP)  # il ne finit pas avant qu'on ait regardé
    try:
        assert telecharger(figee, sortie, BORNES, *mots) == 75
        assert str(tenant.pid) in sans_trace(capsys)
    finally:
        tenant.send_signal(signal.SIGCONT)
    figee.latence_s = 0.0
    code, erreurs = finir(tenant)
    assert code == 0, erreurs
    assert lignes(sortie) == attendues(figee)


@pytest.mark.parametrize("nom", ["csv", "sqlite"])
def test_7_le_verrou_d_un_mort_ne_bloque_pas(figee: Bourse, tmp_path: Path, nom: str) -> None:
    """Tué en tenant la sortie : la relance la prend."""
    sortie = tmp_path / f"bougies{EXTENSIONS[nom]}"
    figee.latence_s = 0.05
    tuer(condamner(commande(figee, sortie, BORNES, "--limite", "25")), lambda: len(donnees(figee)) >= 2)
    figee.latence_s = 0.0
    assert telecharger(figee, sortie, BORNES) == 0
    assert lignes(sortie) == attendues(figee)


def test_7_la_fiche_csv_perdue(figee: Bourse, csv: Path) -> None:
    """La reprise marche d'après les lignes, et la fiche revient."""
    assert telecharger(figee, csv, BORNES, *PAGES_DE_100) == 0
    avant = csv.read_bytes()
    csv.with_name("bougies.csv.fiche.json").unlink()
    rang = len(figee.requetes)
    assert telecharger(figee, csv, (BORNES[0], FIN + HEURE), *PAGES_DE_100) == 0
    assert csv.read_bytes().startswith(avant)
    assert lignes(csv) == attendues(figee, (BORNES[0], FIN + HEURE))
    assert len(donnees(figee, depuis=rang)) <= 2
    assert fiche(csv).couverts == [(BORNES[0], FIN + HEURE)]


def oter_lignes(sortie: Path, instants: set[int]) -> None:
    """Retire des lignes d'une sortie comme le ferait un autre outil, fiche laissée telle quelle."""
    if sortie.suffix == ".sqlite":
        with contextlib.closing(sqlite3.connect(sortie)) as base, base:
            base.executemany("DELETE FROM ohlcv WHERE timestamp = ?", [(i,) for i in instants])
    elif sortie.suffix == ".csv":
        dates = [m.en_iso(i).removesuffix("Z") for i in instants]
        gardees = [x for x in sortie.read_text().splitlines(keepends=True) if not any(d in x for d in dates)]
        sortie.write_text("".join(gardees))
    else:
        table = m.lire(sortie)
        lire, ecrire = (pq.read_schema, pq.write_table) if sortie.suffix == ".parquet" else (_schema, pf.write_feather)
        masque = pa.array([i not in instants for i in m.instants_de(table)])
        ecrire(table.filter(masque).replace_schema_metadata(lire(sortie).metadata), sortie)


def _schema(sortie: Path) -> pa.Schema:
    with pa.OSFile(str(sortie)) as fichier:
        return pa.ipc.open_file(fichier).schema


def test_7_des_lignes_otees_a_la_main_sont_redemandees(figee: Bourse, sortie: Path) -> None:
    """Elles reviennent, et elles seules sont redemandées."""
    assert telecharger(figee, sortie, BORNES) == 0
    otees = {BORNES[0] + rang * MINUTE for rang in (0, 100, 101, 102, 300)}
    oter_lignes(sortie, otees)
    assert len(lignes(sortie)) == 495
    rang = len(figee.requetes)
    assert telecharger(figee, sortie, BORNES) == 0
    assert lignes(sortie) == attendues(figee)
    demandees = m.unir(fenetres(donnees(figee, depuis=rang)))
    assert m.oter([(i, i + MINUTE) for i in otees], demandees) == []
    assert sum(fin - debut for debut, fin in demandees) <= 40 * MINUTE


# --- 10. Politesse ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("nature", ["429", "418"])
@pytest.mark.parametrize("exchange", EXCHANGES)
def test_10_une_pause_demandee_arrete_toutes_les_requetes(csv: Path, exchange: str, nature: str) -> None:
    """De la réponse à l'instant qu'elle donne, plus rien n'arrive au serveur ; puis le travail finit."""
    pause_s, perception_s = 1.0, 0.4  # `Retry-After` est en secondes entières ; ce qui est parti doit bien arriver
    sauter = 1 if exchange != "kraken" else 0  # une page de kraken suffit
    panne = Panne(nature, CHEMINS[exchange], fois=1, sauter=sauter, retry_after=pause_s)
    vite = {"rateLimit": 20}
    reglages: dict[str, Any] = {"maintenant_ms": HEURE_BOURSE, "pannes": [panne], "latence_s": 0.02}
    with temps_simule(), Bourse((exchange,), marche_commun(), **reglages).en_fil() as bourse:
        assert telecharger(bourse, csv, BORNES, "--limite", "50", exchange=exchange, config=vite) == 0
        assert lignes(csv) == attendues(bourse, exchange=exchange)
        assert panne.touchees == 1
        refus = next(r for r in bourse.requetes if r.panne == nature)
        ecarts = [r.instant - refus.instant for r in bourse.requetes if r is not refus]
        assert not [e for e in ecarts if perception_s < e < pause_s]
        assert any(e >= pause_s for e in ecarts)


@pytest.mark.parametrize("concurrence", [8, 64])
def test_10_les_limites_de_debit_ne_sont_jamais_violees(tmp_path: Path, concurrence: int) -> None:
    """Les débits réels des quatre exchanges, tenus en même temps, quelle que soit la concurrence."""
    with temps_simule(), Bourse(marche=marche_commun(), maintenant_ms=HEURE_BOURSE).en_fil() as bourse:

        def tache(exchange: str) -> m.Tache:
            config = {**bourse.config_ccxt(exchange), "timeout_on_exit": 0}
            debut = BORNES[0] if exchange == "kraken" else FIN - 2500 * MINUTE
            return m.construire({
                "exchange": exchange, "symbole": "BTC/USDT", "date_debut": debut, "date_fin": FIN, "limite": 100,
                "concurrence": concurrence, "config_ccxt": config, "sortie": tmp_path / f"{exchange}.csv",
            })  # fmt: skip

        async def toutes() -> list[m.Bilan]:
            return await asyncio.gather(*(m.executer_async(tache(exchange)) for exchange in EXCHANGES))

        assert [bilan.code for bilan in asyncio.run(toutes())] == [0, 0, 0, 0]
        assert bourse.violations == 0
        assert not [r for r in bourse.requetes if r.code in (418, 429)]
        for exchange in ("binance", "okx", "bybit"):
            assert lignes(tmp_path / f"{exchange}.csv") == attendues(bourse, (FIN - 2500 * MINUTE, FIN), exchange)


# --- 11. Fin garantie, 12. Messages utiles ----------------------------------------------------------------------------


@pytest.mark.usefixtures("sans_attente")
@pytest.mark.parametrize("exchange", EXCHANGES)
def test_11_un_exchange_muet_de_bout_en_bout_finit(
    figee: Bourse, csv: Path, exchange: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Aucune réponse, jamais : les essais s'épuisent, code 1, rien d'écrit, et le délai dit est celui demandé."""
    figee.pannes.ajouter(Panne("muet", f"/{exchange}/"))
    assert telecharger(figee, csv, BORNES, "--timeout", "100", "--essais", "2", exchange=exchange) == 1
    assert "pas de réponse en 0,1 s" in sans_trace(capsys)
    assert not csv.exists()
    assert len(figee.requetes) <= 10


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_12_un_pays_refuse_ne_se_reessaie_pas(
    figee: Bourse, csv: Path, exchange: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """451 : une seule requête, code 1, et le conseil parle de proxy."""
    figee.pannes.ajouter(Panne("http", CHEMINS[exchange], code=451))
    assert telecharger(figee, csv, BORNES, exchange=exchange) == 1
    assert len(donnees(figee, exchange)) == 1
    assert "proxy" in sans_trace(capsys)


@pytest.mark.parametrize(("mots", "dit"), [
    (("--symbole", "BTC/USDX"), "BTC/USDT"),
    (("--symbole", "BTC/USTD"), "BTC/USDT"),
    (("--timeframe", "7m"), "1m"),
    (("--type-marche", "swap", "--symbole", "BTC/EUR"), "BTC/"),
    (("--prix-ohlcv", "mark"), "comptant"),
    (("--date-debut", "2100-01-01"), "futur"),
    (("--date-fin", "2020-01-01"), "date-fin"),
])  # fmt: skip
def test_12_une_demande_invalide_est_expliquee(
    figee: Bourse, csv: Path, mots: tuple[str, ...], dit: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Code 2, rien d'écrit, le plus proche ou la cause dans le message."""
    assert telecharger(figee, csv, BORNES, *mots) == 2
    assert dit in sans_trace(capsys)
    assert list(csv.parent.iterdir()) == []


# --- Précisions du contrat : marchés, symboles, fenêtres --------------------------------------------------------------

@pytest.mark.parametrize("concurrence", [1, 3])
def test_la_concurrence_et_la_limite_sont_celles_demandees(csv: Path, concurrence: int) -> None:
    """Jamais plus de pages en vol, tous symboles ensemble, et pas moins quand il y en a ; aucune page plus longue."""
    reglages: dict[str, Any] = {"maintenant_ms": HEURE_BOURSE, "limites": False, "latence_s": 0.2}
    mots = ("--symbols", "BTC/USDT,ETH/USDT,SOL/USDT", "--limite", "25", "--concurrence", str(concurrence))
    with temps_simule(), Bourse(("binance",), marche_commun(), **reglages).en_fil() as bourse:
        assert telecharger(bourse, csv, BORNES, *mots) == 0
        assert lignes(csv, "SOL/USDT") == attendues(bourse, symbole="SOL/USDT")
        pages = donnees(bourse)
    assert max(page.en_vol for page in pages) + 1 == concurrence
    assert {page.params["limit"] for page in pages} == {"25"}
    assert max(fin - debut for debut, fin in fenetres(pages)) <= 26 * MINUTE


CONTRATS = [
    *(("binance", "BTC/USDT:USDT", prix) for prix in ("last", "mark", "index", "premiumIndex")),
    *(("binance", "BTC/USD:BTC", prix) for prix in ("last", "mark", "index")),
    *(("okx", "BTC/USDT:USDT", prix) for prix in ("last", "mark", "index")),
    *(("okx", "BTC/USD:BTC", prix) for prix in ("last", "mark")),
    *(("bybit", "BTC/USDT:USDT", prix) for prix in ("last", "mark", "index", "premiumIndex")),
    *(("bybit", "BTC/USD:BTC", prix) for prix in ("last", "mark")),
]


@pytest.mark.couvrant(prix=une_seule)
@pytest.mark.parametrize("timeframe", ["1m", "1h"])
@pytest.mark.parametrize(("exchange", "symbole", "prix"), CONTRATS)
def test_contrats_et_prix(figee: Bourse, csv: Path, exchange: str, symbole: str, prix: Any, timeframe: str) -> None:
    """Linéaire, inverse, mark, index, prime : l'oracle, puis une relance qui ne change rien."""
    pas = m.Timeframe.lire(timeframe).pas_ms
    bornes = (FIN - 450 * pas, FIN)
    mots = ("--symbole", symbole, "--prix-ohlcv", prix, "--timeframe", timeframe)
    assert telecharger(figee, csv, bornes, *mots, exchange=exchange) == 0
    assert lignes(csv) == attendues(figee, bornes, exchange, symbole=symbole, prix=prix, timeframe=timeframe)
    avant = empreinte(csv)
    assert telecharger(figee, csv, bornes, *mots, exchange=exchange) == 0
    assert empreinte(csv) == avant


@pytest.mark.couvrant(exchange=une_seule, sortie=une_seule)  # la sortie ne sait pas d'où viennent ses lignes
@pytest.mark.parametrize("exchange", EXCHANGES)
def test_plusieurs_symboles(figee: Bourse, sortie: Path, exchange: str) -> None:
    """Chaque série est entière, dans le même fichier, trié par symbole puis par instant."""
    symboles = ["SOL/USDT", "BTC/USDT", "ETH/USDT"]
    assert telecharger(figee, sortie, BORNES, "--symbols", ",".join(symboles), exchange=exchange) == 0
    for symbole in symboles:
        assert lignes(sortie, symbole) == attendues(figee, exchange=exchange, symbole=symbole)
        assert fiche(sortie, symbole).couverts == [BORNES]
    assert m.lire(sortie).num_rows == 3 * 500


def test_plusieurs_symboles_dont_un_inconnu(figee: Bourse, csv: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Les autres sont servis, code 3, le fautif nommé avec le plus proche ; tous inconnus : code 2."""
    assert telecharger(figee, csv, BORNES, "--symbols", "BTC/USDT,ETH/USDTT") == 3
    assert lignes(csv) == attendues(figee)
    erreurs = sans_trace(capsys)
    assert "ETH/USDTT" in erreurs
    assert "« ETH/USDT »" in erreurs
    assert telecharger(figee, csv.with_stem("rien"), BORNES, "--symbols", "BTC/USDTT,ETH/USDTT") == 2
    assert not csv.with_stem("rien").exists()


@pytest.mark.usefixtures("sans_attente")
def test_8_un_symbole_dont_rien_n_est_servi_est_dit(
    figee: Bourse, csv: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Sans date de fin, une queue vide n'est pas une faute ; mais un symbole sans une ligne ne peut être tu."""
    figee.pannes.ajouter(Panne("page_vide", "klines", fois=2, symbole="ETHUSDT"))
    mots = ("--symbols", "BTC/USDT,ETH/USDT", "--date-debut", str(FIN))
    assert m.principal(commande(figee, csv, None, *mots)) == 0
    dit = sans_trace(capsys)
    assert "ETH/USDT 1m (binance, prix last) : rien n'a été servi de 2024-01-05T11:00Z à 2024-01-05T13:00Z" in dit
    assert "BTC/USDT 1m (binance, prix last) : rien" not in dit
    figee.pannes.vider()
    assert m.principal(commande(figee, csv, None, *mots)) == 0
    assert lignes(csv, "ETH/USDT") == attendues(figee, (FIN, FIN + 2 * HEURE), symbole="ETH/USDT")
    assert "rien n'a été servi" not in sans_trace(capsys)


def test_plusieurs_symboles_dont_un_en_echec(figee: Bourse, csv: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Code 1, les autres sont écrits."""
    figee.pannes.ajouter(Panne("http", "klines", symbole="ETHUSDT"))
    assert telecharger(figee, csv, BORNES, "--symbols", "BTC/USDT,ETH/USDT", "--essais", "2") == 1
    assert lignes(csv) == attendues(figee)
    assert "ETH/USDT" in sans_trace(capsys)


def test_okx_au_bord_de_ses_1440_bougies_recentes(bourse: Bourse, csv: Path) -> None:
    """Une plage à cheval sur ses deux routes : rien ne manque au raccord."""
    heure = bourse.maintenant_ms()
    for recul_min in (1439, 1441, 1800):
        fin = heure - heure % MINUTE - 5 * MINUTE
        bornes = (heure - heure % MINUTE - recul_min * MINUTE, fin)
        sortie = csv.with_stem(f"okx-{recul_min}")
        assert telecharger(bourse, sortie, bornes, exchange="okx") == 0
        assert lignes(sortie) == attendues(bourse, bornes, "okx")


def test_kraken_demande_trop_loin(figee: Bourse, csv: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Ses 720 dernières sont écrites, le reste est `hors_fenetre_api`, dit demandé contre obtenu, code 3."""
    bornes = (HEURE_BOURSE - 3 * JOUR, HEURE_BOURSE)
    servies = (HEURE_BOURSE - HEURE_BOURSE % MINUTE - 720 * MINUTE, HEURE_BOURSE - HEURE_BOURSE % MINUTE)
    assert telecharger(figee, csv, bornes, exchange="kraken") == 3
    assert lignes(csv) == attendues(figee, servies, "kraken")
    debut = m.Timeframe.lire("1m").plafond(bornes[0])
    assert fiche(csv).trous == [m.Trou(debut, servies[0], "hors_fenetre_api")]
    erreurs = sans_trace(capsys)
    assert m.en_iso(debut) in erreurs
    assert m.en_iso(servies[0]) in erreurs
    avant = empreinte(csv)
    assert telecharger(figee, csv, bornes, exchange="kraken") == 3
    assert empreinte(csv) == avant


def test_kraken_ce_qui_fut_servi_n_est_pas_perdu(figee: Bourse, csv: Path) -> None:
    """Six heures plus tard, kraken ne sert plus le début : il reste écrit, et la suite s'y raccorde, code 0."""
    debut = HEURE_BOURSE - HEURE_BOURSE % MINUTE - 600 * MINUTE
    assert telecharger(figee, csv, None, "--date-debut", str(debut), exchange="kraken") == 0
    oracle = attendues(figee, (debut, HEURE_BOURSE - HEURE_BOURSE % MINUTE), "kraken")
    figee.avancer(6 * HEURE)
    assert telecharger(figee, csv, None, "--date-debut", str(debut), exchange="kraken") == 0
    heure = figee.maintenant_ms()
    assert lignes(csv)[: len(oracle)] == oracle
    assert lignes(csv) == attendues(figee, (debut, heure - heure % MINUTE), "kraken")


def test_hors_de_ce_que_l_exchange_sert(figee: Bourse, csv: Path) -> None:
    """Une plage que kraken ne sert plus du tout : code 3, aucune ligne, la raison dans la fiche."""
    bornes = (HEURE_BOURSE - 20 * JOUR, HEURE_BOURSE - 19 * JOUR)
    assert telecharger(figee, csv, bornes, exchange="kraken") == 3
    assert lignes(csv) == []
    assert raisons(csv) == {"hors_fenetre_api"}


@pytest.mark.parametrize("exchange", ["binance", "okx", "bybit"])
@pytest.mark.parametrize("timeframe", ["1m", "1d"])
def test_avant_la_cotation(figee: Bourse, csv: Path, exchange: str, timeframe: str) -> None:
    """Rien à écrire : code 0, un trou `avant_cotation`, trouvé en peu de requêtes ; la relance n'y revient pas."""
    bornes = (1_388_534_400_000, 1_388_534_400_000 + 300 * JOUR)  # 2014
    assert telecharger(figee, csv, bornes, "--timeframe", timeframe, exchange=exchange) == 0
    assert lignes(csv) == []
    assert fiche(csv).trous == [m.Trou(*bornes, "avant_cotation")]
    assert len(donnees(figee, exchange)) <= 20
    rang = len(figee.requetes)
    assert telecharger(figee, csv, bornes, "--timeframe", timeframe, exchange=exchange) == 0
    assert len(donnees(figee, exchange, rang)) <= 2


@pytest.mark.parametrize("exchange", ["binance", "okx", "bybit"])
def test_a_cheval_sur_la_cotation(figee: Bourse, csv: Path, exchange: str) -> None:
    """Deux ans d'avant la cotation puis quelques heures : les premières bougies exactes, en peu de requêtes."""
    cotation = next(i for i in figee.protocoles[exchange].instruments if i.symbole == "BTC/USDT").cotation_ms
    bornes = (cotation - 700 * JOUR, cotation + 6 * HEURE)
    assert telecharger(figee, csv, bornes, exchange=exchange) == 0
    assert lignes(csv) == attendues(figee, bornes, exchange)
    assert fiche(csv).trous == [m.Trou(bornes[0], cotation, "avant_cotation")]
    assert len(donnees(figee, exchange)) <= 40
