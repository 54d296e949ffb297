"""§ 10 : chaque option lue depuis la ligne de commande, le YAML ou Python, par un seul chemin, avec un seul message."""

from __future__ import annotations

import contextlib
import datetime as dt
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from options_tirees import SYMBOLES, VALEURS, en_drapeaux
from tableau_options import table_options

import module_ccxt_fr_v2 as module
from annexes_ccxt_fr import lot as annexe_lot
from annexes_ccxt_fr import plan as annexe_plan

MAINTENANT = 1_767_225_600_000  # 2026-01-01
JOUR_MS = 86_400_000
D2024 = 1_704_067_200_000
UTC = dt.timezone.utc  # noqa: UP017  la forme du module
BASE = {"symbole": "BTC/USDT"}


@pytest.fixture(autouse=True)
def _heure_fixe(monkeypatch: pytest.MonkeyPatch) -> None:
    """Un relatif se compte depuis une heure connue."""
    monkeypatch.setattr(module, "maintenant_ms", lambda: MAINTENANT)


def par_dict(**options: Any) -> module.Tache:
    return module.construire(options)


def par_cli(*arguments: str) -> tuple[module.Tache, module.OptionsExecution]:
    tache, execution = module.lire_arguments(arguments)
    assert tache is not None
    return tache, execution


def fautes(**options: Any) -> list[str]:
    """Les phrases de la demande refusée, une par faute."""
    with pytest.raises(module.ErreurDemande) as refus:
        module.construire(options)
    return str(refus.value).splitlines()


def fautes_cli(*arguments: str) -> list[str]:
    with pytest.raises(module.ErreurDemande) as refus:
        module.lire_arguments(arguments)
    assert refus.value.conseil == "L'aide : --help."
    return str(refus.value).splitlines()


# (option, ce qui est donné, ce qui est lu) : les textes valent en ligne de commande comme en YAML.
TEXTES = [
    ("exchange", "okx", "okx"),
    ("type_marche", "swap", "swap"),
    ("sous_type", "inverse", "inverse"),
    ("mode_marge", "isolated", "isolated"),
    ("symbole", " BTC/USDT:USDT ", "BTC/USDT:USDT"),
    ("donnee", "open_interest", "open_interest"),
    ("timeframe", "1M", "1M"),
    ("timeframe", "15m", "15m"),
    ("timeframes", "1m, 1h,1m", ("1m", "1h")),
    ("prix_ohlcv", "premiumIndex", "premiumIndex"),
    ("date_debut", "2024-01-01", D2024),
    ("date_debut", "2024-01-01T00:00:00Z", D2024),
    ("date_debut", "2024-01-01T01:00+01:00", D2024),
    ("date_debut", "2024-01-01 00:00", D2024),
    ("date_debut", "1704067200000", D2024),
    ("date_debut", "-7j", MAINTENANT - 7 * JOUR_MS),
    ("date_debut", "-12h", MAINTENANT - JOUR_MS // 2),
    ("date_debut", "-30m", MAINTENANT - 1_800_000),
    ("date_debut", "-999999j", 0),
    ("date_debut", "0001-01-01", 0),
    ("date_fin", "9999-12-31T23:59", module.INSTANT_MAX_MS),
    ("date_fin", "2024-01-01T00:00:00.123Z", D2024 + 123),
    ("source", "archives", "archives"),
    ("relecture", "0", 0),
    ("grace", "0.5", 0.5),
    ("grace", "0", 0.0),
    ("stream", "orderbook", "orderbook"),
    ("duree", "600", 600.0),
    ("flush", "50", 50),
    ("profondeur", "5", 5),
    ("bougies_vides", "reporter", "reporter"),
    ("silence", "30", 30.0),
    ("limite", "1_000", 1000),
    ("concurrence", "64", 64),
    ("essais", "1", 1),
    ("timeout", "10000", 10_000),
    ("proxy", "http://127.0.0.1:8080", "http://127.0.0.1:8080"),
    ("proxy", "socks5h://nom:mot@hote:1080", "socks5h://nom:mot@hote:1080"),
    ("format", "feather", "feather"),
    ("sortie", "donnees/a.csv", Path("donnees/a.csv")),
    ("sqlite_table", "_bougies_1m", "_bougies_1m"),
    ("options", '{"defaultType": "swap"}', {"defaultType": "swap"}),
    ("params", "{}", {}),
    ("config_ccxt", '{"urls": {"api": "x"}}', {"urls": {"api": "x"}}),
]
# Les types naturels du YAML et de Python.
NATURELS = [
    ("date_debut", dt.date(2024, 1, 1), D2024),
    ("date_debut", dt.datetime(2024, 1, 1, 0, 0), D2024),  # noqa: DTZ001  une date-heure nue est en UTC
    ("date_debut", dt.datetime(2024, 1, 1, 1, 0, tzinfo=dt.timezone(dt.timedelta(hours=1))), D2024),
    ("date_debut", D2024, D2024),
    ("inclure_bougie_courante", True, True),
    ("inclure_bougie_courante", "oui", True),
    ("sandbox", "Off", False),
    ("trades_vers_ohlcv", False, False),
    ("hors_ligne", False, False),
    ("relecture", 3, 3),
    ("grace", 1, 1.0),
    ("limite", 500, 500),
    ("sortie", Path("a.parquet"), Path("a.parquet")),
    ("options", {"a": {"b": 1}}, {"a": {"b": 1}}),
    ("limite", None, None),
    ("proxy", None, None),
]
INSTANT = "(ISO 8601 comme 2024-01-01 ou 2024-01-01T12:00Z, ms epoch, ou -7j -12h -30m)"
TYPES = "(choix : spot, swap, future, margin, option)"
PRIX = "(choix : last, mark, index, premiumIndex)"
FORMATS = "(choix : csv, parquet, feather, sqlite)"
FLUX = "(choix : ohlcv, trades, ticker, orderbook)"
HISTOIRES = "(choix : ohlcv, trades, funding, open_interest)"
SOURCES = "(choix : api, archives, auto)"
TABLE = "(lettres sans accent, chiffres et _, 63 au plus)"
MAUVAIS = [
    ("exchange", "", "un texte non vide est attendu"),
    ("type_marche", "sopt", f"« sopt » n'est pas permis {TYPES}. Vouliez-vous dire « spot » ?"),
    ("type_marche", "x", f"« x » n'est pas permis {TYPES}."),
    ("sous_type", "linaer", "« linaer » n'est pas permis (choix : linear, inverse). Vouliez-vous dire « linear » ?"),
    ("mode_marge", "", "«  » n'est pas permis (choix : isolated, cross)."),
    ("symbole", "  ", "un texte non vide est attendu"),
    ("donnee", "trade", f"« trade » n'est pas permis {HISTOIRES}. Vouliez-vous dire « trades » ?"),
    ("timeframe", "1m,1h", "plusieurs timeframes se donnent par « timeframes » (--timeframes 1m,1h)"),
    ("timeframes", " , ", "au moins un timeframe est attendu"),
    ("sortie", "-", "stdout ne peut tenir une sortie, qui se relit pour continuer : donnez un fichier"),
    ("sortie", "d/", "« d/ » est un dossier : donnez un nom de fichier, comme d/marche.parquet"),
    ("timeframe", "1 heure", "« 1 heure » n'est pas un timeframe (exemples : 1m, 5m, 1h, 1d, 1w, 1M)"),
    ("timeframe", "0m", "« 0m » n'est pas un timeframe (exemples : 1m, 5m, 1h, 1d, 1w, 1M)"),
    ("prix_ohlcv", "marks", f"« marks » n'est pas permis {PRIX}. Vouliez-vous dire « mark » ?"),
    ("date_debut", "2024-13-01", f"« 2024-13-01 » n'est pas un instant {INSTANT}"),
    ("date_debut", "hier", f"« hier » n'est pas un instant {INSTANT}"),
    ("date_debut", "1704067200", "1704067200 n'est pas un instant en ms epoch (2024-01-01 vaut 1704067200000)"),
    ("date_fin", "-7d", f"« -7d » n'est pas un instant {INSTANT}"),
    ("source", "archive", f"« archive » n'est pas permis {SOURCES}. Vouliez-vous dire « archives » ?"),
    ("relecture", "-1", "-1 n'est pas entre 0 et 10000"),
    ("relecture", "deux", "un entier est attendu, pas « deux »"),
    ("grace", "-1", "un nombre de secondes est attendu, pas « -1 »"),
    ("grace", "nan", "un nombre de secondes est attendu, pas « nan »"),
    ("grace", "inf", "un nombre de secondes est attendu, pas « inf »"),
    ("stream", "trade", f"« trade » n'est pas permis {FLUX}. Vouliez-vous dire « trades » ?"),
    ("duree", "10min", "un nombre de secondes est attendu, pas « 10min »"),
    ("flush", "0", "0 n'est pas entre 1 et 1000000000"),
    ("profondeur", "5001", "5001 n'est pas entre 1 et 5000"),
    ("bougies_vides", "garder", "« garder » n'est pas permis (choix : omettre, reporter)."),
    ("silence", "-1", "un nombre de secondes est attendu, pas « -1 »"),
    ("limite", "0", "0 n'est pas entre 1 et 1000000000"),
    ("limite", "1.5", "un entier est attendu, pas « 1.5 »"),
    ("concurrence", "65", "65 n'est pas entre 1 et 64"),
    ("essais", "101", "101 n'est pas entre 1 et 100"),
    ("timeout", "30s", "un entier est attendu, pas « 30s »"),
    ("proxy", "ftp://hote", "une URL http://, https:// ou socks5:// est attendue"),
    ("proxy", "http://", "une URL http://, https:// ou socks5:// est attendue"),
    ("format", "parket", f"« parket » n'est pas permis {FORMATS}. Vouliez-vous dire « parquet » ?"),
    ("sortie", "", "un texte non vide est attendu"),
    ("sqlite_table", "été", f"« été » n'est pas un nom de table {TABLE}"),
    ("sqlite_table", "x; DROP TABLE y", f"« x; DROP TABLE y » n'est pas un nom de table {TABLE}"),
    ("sqlite_table", "1m", f"« 1m » n'est pas un nom de table {TABLE}"),
    ("sqlite_table", "a" * 64, f"« {'a' * 64} » n'est pas un nom de table {TABLE}"),
    ("options", "{a: 1}", "un objet JSON est attendu (celui-ci ne se lit plus au caractère 2)"),
    ("params", "[1]", 'un objet JSON est attendu, comme {"cle": "valeur"}'),
    ("config_ccxt", "3", 'un objet JSON est attendu, comme {"cle": "valeur"}'),
    ("config_ccxt", "@absent.json", "« absent.json » ne se lit pas (il n'existe pas)"),
]
MAUVAIS_NATURELS = [
    ("symbole", ["A/B", "C/D"], "plusieurs symboles se donnent par « symbols » (--symbols A/B,C/D)"),
    ("symbols", [], "au moins un symbole est attendu"),
    ("symbols", ["BTC/USDT", None], "un texte non vide est attendu"),
    ("symbols", {"BTC/USDT": 1}, "au moins un symbole est attendu, pas « {'BTC/USDT': 1} »"),
    ("symbols", True, "au moins un symbole est attendu, pas « True »"),
    ("limite", True, "un entier est attendu, pas « True »"),
    ("limite", 2.5, "un entier est attendu, pas « 2.5 »"),
    ("grace", True, "un nombre de secondes est attendu, pas « True »"),
    ("date_debut", True, "un instant est attendu, pas un booléen"),
    ("date_debut", 20240101, "20240101 n'est pas un instant en ms epoch (2024-01-01 vaut 1704067200000)"),
    ("sandbox", "peut-être", "true ou false est attendu, pas « peut-être »"),
    ("sandbox", 2, "true ou false est attendu, pas « 2 »"),
    ("options", ["a"], "un objet JSON est attendu (celui-ci ne se lit plus au caractère 2)"),
    ("config_ccxt", {1: 2}, 'un objet JSON est attendu, comme {"cle": "valeur"}'),
]


# Un seul chemin, un seul message


@pytest.mark.parametrize(("nom", "donne", "attendu"), [*TEXTES, *NATURELS])
def test_une_bonne_valeur_est_lue(nom: str, donne: Any, attendu: Any) -> None:
    """Chaque forme admise donne la valeur typée."""
    assert getattr(par_dict(**{**BASE, nom: donne}), nom) == attendu


@pytest.mark.parametrize(("nom", "donne", "attendu"), TEXTES)
def test_la_ligne_de_commande_lit_de_meme(nom: str, donne: str, attendu: Any) -> None:
    """En deux mots, même quand la valeur commence par un tiret."""
    autres = () if nom == "symbole" else ("--symbole", "BTC/USDT")
    assert getattr(par_cli(*autres, module.drapeau(nom), donne)[0], nom) == attendu


@pytest.mark.parametrize(("nom", "donne", "phrase"), [*MAUVAIS, *MAUVAIS_NATURELS])
def test_une_mauvaise_valeur_est_dite(nom: str, donne: Any, phrase: str) -> None:
    """Une seule faute, la phrase exacte, précédée du nom de l'option."""
    base = {} if nom == "symbols" else BASE
    assert fautes(**{**base, nom: donne}) == [f"{nom} : {phrase}"]


@pytest.mark.parametrize(("nom", "donne", "phrase"), MAUVAIS)
def test_une_mauvaise_valeur_est_dite_de_meme_en_ligne_de_commande(nom: str, donne: str, phrase: str) -> None:
    """Même contrôle, même phrase ; seul le nom prend la forme du drapeau."""
    autres = () if nom == "symbole" else ("--symbole", "BTC/USDT")
    assert fautes_cli(*autres, module.drapeau(nom), donne) == [f"{module.drapeau(nom)} : {phrase}"]


def test_chaque_option_a_ses_bons_et_ses_mauvais_cas() -> None:
    """Une option ajoutée sans cas de test se voit ici."""
    options = {champ.name for champ in fields(module.Tache)}
    drapeaux = {champ.name for champ in fields(module.Tache) if isinstance(champ.default, bool)}
    autres = {"symbols", "compression"}  # plus bas : elles dépendent d'autres options
    assert {nom for nom, *_ in (*TEXTES, *NATURELS)} | autres == options
    assert {nom for nom, *_ in (*MAUVAIS, *MAUVAIS_NATURELS)} | autres | drapeaux == options


def test_les_drapeaux_ne_prennent_pas_de_valeur() -> None:
    """`--sandbox` suffit ; `--sandbox=oui` est une faute, dite en français."""
    drapeaux = ("--sandbox", "--hors-ligne", "--inclure-bougie-courante", "--simulation")
    tache, execution = par_cli("--symbole", "A/B", *drapeaux)
    assert (tache.sandbox, tache.hors_ligne, tache.inclure_bougie_courante, execution.simulation) == (True,) * 4
    phrase = "--sandbox est un drapeau : il ne prend pas de valeur ('oui')"
    assert fautes_cli("--symbole", "A/B", "--sandbox=oui") == [phrase]


def test_une_valeur_oubliee_est_dite() -> None:
    assert fautes_cli("--symbole") == ["--symbole attend une valeur"]
    assert fautes_cli("--timeframe", "--symbole", "A/B") == ["--timeframe attend une valeur"]


# Les options d'exécution


def test_les_options_d_execution_ont_leurs_valeurs() -> None:
    _, execution = par_cli("--lister", "marches", "--bilan", "a/b.json", "--journal", "debug")
    assert (execution.lister, execution.bilan, execution.journal) == ("marches", Path("a/b.json"), "debug")
    assert execution.simulation is False
    assert par_cli("--symbole", "A/B")[1] == module.OptionsExecution()


def test_les_fautes_d_execution_et_de_tache_sont_dites_ensemble() -> None:
    """Toutes les fautes d'un coup : option inconnue, exécution, valeur, et oubli ; une liste se passe de symbole."""
    listes = "(choix : exchanges, marches, timeframes, donnees)"
    assert fautes_cli("--jornal", "info", "--lister", "marché", "--limite", "x") == [
        "--jornal : option inconnue. Vouliez-vous dire « --journal » ?",
        f"--lister : « marché » n'est pas permis {listes}. Vouliez-vous dire « marches » ?",
        "--limite : un entier est attendu, pas « x »",
    ]
    assert fautes_cli("--jornal", "info", "--limite", "x") == [
        "--jornal : option inconnue. Vouliez-vous dire « --journal » ?",
        "--limite : un entier est attendu, pas « x »",
        "--symbole : un symbole est demandé (exemple : BTC/USDT)",
    ]


# Plusieurs options ensemble


def test_toutes_les_fautes_sont_dites_d_un_coup() -> None:
    """Valeurs illisibles, noms inconnus et options contradictoires sont dits ensemble, dans l'ordre donné."""
    assert fautes(timefram="1m", limite="x", date_debut="2024-02-01", date_fin="2024-01-01", essais=0) == [
        "timefram : option inconnue. Vouliez-vous dire « timeframe » ?",
        "limite : un entier est attendu, pas « x »",
        "essais : 0 n'est pas entre 1 et 100",
        "symbole : un symbole est demandé (exemple : BTC/USDT)",
        "date_fin : 2024-01-01T00:00Z n'est pas après date_debut (2024-02-01T00:00Z)",
    ]


def test_une_option_illisible_n_en_accuse_pas_une_autre() -> None:
    """Le symbole est là, mais illisible : « un symbole est demandé » serait un mensonge de plus."""
    assert fautes(symbole="") == ["symbole : un texte non vide est attendu"]
    assert fautes(**BASE, compression="snappy", format="parket")[0].startswith("format : ")
    assert len(fautes(**BASE, compression="snappy", format="parket")) == 1


@pytest.mark.parametrize(
    ("inconnu", "proche"),
    [
        ("symbol", "symbols », « symbole"),
        ("date_de_debut", "date_debut"),
        ("prix-ohlcv", "prix_ohlcv"),
        ("TIMEFRAME", "timeframe"),
        ("concurence", "concurrence"),
        ("hors_lignes", "hors_ligne"),
    ],
)
def test_une_option_inconnue_propose_la_plus_proche(inconnu: str, proche: str) -> None:
    assert fautes(**{**BASE, inconnu: "1"}) == [f"{inconnu} : option inconnue. Vouliez-vous dire « {proche} » ?"]


def test_une_option_sans_voisine_est_dite_seule() -> None:
    assert fautes(**BASE, zzzz=1) == ["zzzz : option inconnue."]


def test_symboles_et_symbols_sont_synonymes() -> None:
    """Une liste, ou des virgules ; les répétitions et les blancs sont ôtés, l'ordre est gardé."""
    attendus = ("ETH/USDT", "BTC/USDT")
    assert par_dict(symbols=["ETH/USDT", "BTC/USDT", "ETH/USDT"]).demandes == attendus
    assert par_dict(symboles="ETH/USDT, BTC/USDT,") == par_dict(symbols=attendus)
    assert par_dict(symbols=(symbole for symbole in attendus)) == par_dict(symbols=dict.fromkeys(attendus).keys())
    assert par_dict(symbols=dict.fromkeys(attendus).keys()) == par_dict(symbols=attendus)
    for nom in ("--symbols", "--symboles"):
        assert par_cli(nom, "ETH/USDT,BTC/USDT")[0] == par_dict(symbols=attendus)
    assert fautes(symbols="A/B", symboles="C/D") == ["symboles : donnée deux fois, sous deux noms"]


def test_les_options_de_flux_qui_se_contredisent() -> None:
    """Un flux n'a pas de date de fin, ne remonte pas hors bougies, et seuls les trades s'agrègent."""
    assert fautes(**BASE, trades_vers_ohlcv=True) == [
        "trades_vers_ohlcv : ne va qu'avec le flux de trades (stream: trades) ou leur histoire (donnee: trades)"
    ]
    assert fautes(**BASE, stream="ohlcv", date_fin="2030-01-01") == [
        "date_fin : un flux ne finit pas à une date : donnez une duree, en secondes"
    ]
    assert fautes(**BASE, stream="ticker", date_debut="2024-01-01") == [
        "date_debut : un flux de ticker commence maintenant : ôtez date_debut"
    ]
    assert par_dict(**BASE, stream="ohlcv", date_debut="2024-01-01").date_debut == D2024


def test_la_table_sqlite_porte_le_nom_de_ce_qu_elle_contient() -> None:
    """Des trades agrégés sont des bougies ; un nom donné l'emporte."""
    assert par_dict(**BASE, stream="trades").table_choisie == "trades"
    assert par_dict(**BASE, stream="trades", trades_vers_ohlcv=True).table_choisie == "ohlcv"
    assert par_dict(**BASE, stream="trades", sqlite_table="t").table_choisie == "t"


def test_symbole_et_symbols_ensemble_sont_une_faute() -> None:
    phrase = "« symbole » et « symbols » ne vont pas ensemble : gardez l'un des deux"
    assert fautes(symbole="A/B", symbols="C/D") == [f"symbols : {phrase}"]
    assert fautes_cli("--symbole", "A/B", "--symboles", "C/D") == [f"--symbols : {phrase}"]


def test_un_symbole_est_demande() -> None:
    """Sauf pour `--lister`, qui n'en a pas besoin."""
    assert fautes() == ["symbole : un symbole est demandé (exemple : BTC/USDT)"]
    assert fautes_cli() == ["--symbole : un symbole est demandé (exemple : BTC/USDT)"]
    assert par_cli("--lister", "exchanges")[1].lister == "exchanges"


def test_un_debut_dans_le_futur_est_refuse() -> None:
    assert fautes(**BASE, date_debut="2026-01-02") == [
        "date_debut : 2026-01-02T00:00Z est dans le futur : rien ne peut être lu"
    ]
    assert par_dict(**BASE, date_fin="2030-01-01").date_fin == 1_893_456_000_000


@pytest.mark.parametrize(("debut", "fin"), [("2024-01-02", "2024-01-01"), ("2024-01-01", "2024-01-01")])
def test_un_intervalle_vide_ou_renverse_est_refuse(debut: str, fin: str) -> None:
    """La fin est exclue : elle doit être après le début."""
    (faute,) = fautes(**BASE, date_debut=debut, date_fin=fin)
    assert faute == f"date_fin : {fin}T00:00Z n'est pas après date_debut ({debut}T00:00Z)"


@pytest.mark.parametrize(
    ("sortie", "demande", "choisi"),
    [
        (None, None, "csv"),
        ("a.parquet", None, "parquet"),
        ("a.PARQUET", None, "parquet"),
        ("a.csv.gz", None, "csv"),
        ("a.sqlite", None, "sqlite"),
        ("a.feather", None, "feather"),
        ("a", None, "csv"),
        ("a.donnees", "parquet", "parquet"),
    ],
)
def test_le_format_se_deduit_de_l_extension(sortie: str | None, demande: str | None, choisi: str) -> None:
    """Le format dit, ou l'extension, ou csv."""
    assert par_dict(**BASE, sortie=sortie, format=demande).format_choisi == choisi


@pytest.mark.parametrize(
    ("options", "dit"),
    [
        ({"sortie": "{exchange}_{date}.csv"}, "sortie : « {exchange} » n'y est pas remplacé"),
        ({"sortie": "a_{timeframes}.csv"}, "sortie : « {timeframes} » n'y est pas remplacé : seul {timeframe} l'est"),
        ({"sortie": "a.xlsx"}, "sortie : « .xlsx » n'est l'extension d'aucun format"),
        ({"sortie": "a.json", "format": "csv"}, "sortie : « .json » n'est l'extension d'aucun format"),
        ({"sortie": "a.csv.zst"}, "sortie : « .zst » n'est l'extension d'aucun format"),
        ({"sortie": "a.parquet", "format": "csv"}, "format : « a.parquet » est un nom de parquet, pas de csv"),
        ({"timeframes": "1m,1h", "sortie": "a.csv"}, "sortie : un fichier n'a qu'un timeframe"),
        ({"timeframes": "1m,1h", "stream": "ohlcv"}, "timeframes : un flux suit un timeframe à la fois"),
        ({"timeframes": "1m,1h", "donnee": "funding"}, "timeframes : funding n'a pas de timeframe"),
        ({"timeframes": "1m,1h", "donnee": "open_interest"}, "timeframes : open_interest se lit un timeframe à la"),
        ({"timeframes": "5m", "timeframe": "1m"}, "timeframes : « timeframe » et « timeframes » ne vont pas ensemble"),
        ({"symbole": "A/B,C/D"}, "symbole : plusieurs symboles se donnent par « symbols » (--symbols A/B,C/D)"),
    ],
)
def test_une_sortie_surprise_est_refusee(options: dict[str, Any], dit: str) -> None:
    """Un nom qui promet autre chose que ce qui y serait écrit, ou une liste au singulier."""
    (faute,) = fautes(**{**BASE, **options})
    assert faute.startswith(dit)


@pytest.mark.parametrize(
    ("sortie", "attendues"),
    [
        (None, [None, None]),
        ("d/a_{timeframe}.csv", [Path("d/a_1m.csv"), Path("d/a_1h.csv")]),
        ("a.db", [Path("a.db")] * 2),
        ("{timeframe}.db", [Path("1m.db"), Path("1h.db")]),
    ],
)
def test_plusieurs_timeframes_font_autant_de_taches(sortie: str | None, attendues: list[Path | None]) -> None:
    parties = par_dict(**BASE, timeframes=["1m", "1h"], sortie=sortie).parties
    assert [(p.timeframe, p.timeframes, p.sortie) for p in parties] == [
        ("1m", (), attendues[0]), ("1h", (), attendues[1])]  # fmt: skip
    (seule,) = par_dict(**BASE, timeframe="1h", sortie=sortie).parties
    assert (seule.timeframe, seule.sortie) == ("1h", attendues[1])


@pytest.mark.parametrize("nom", module.ECRIVAINS)
def test_les_compressions_dependent_du_format(nom: str) -> None:
    """Chaque format dit les siennes ; celle d'un autre est refusée avec le choix."""
    siennes = module.ECRIVAINS[nom].compressions
    for compression in siennes:
        assert par_dict(**BASE, format=nom, compression=compression).compression == compression
    for compression in set(module.COMPRESSIONS) - set(siennes):
        phrase = f"« {compression} » n'existe pas en {nom} (choix : {', '.join(siennes)})"
        assert fautes(**BASE, format=nom, compression=compression) == [f"compression : {phrase}"]
    (faute,) = fautes(**BASE, compression="zip")
    assert faute.startswith("compression : « zip » n'est pas permis (choix : ")


# Fichiers et secrets


def test_config_ccxt_se_lit_dans_un_fichier(tmp_path: Path) -> None:
    """`@fichier.json` : même objet que le texte ; absent, coupé, binaire ou dossier, c'est une faute."""
    bon, coupe, binaire = tmp_path / "bon.json", tmp_path / "coupe.json", tmp_path / "binaire.json"
    bon.write_text('{"headers": {"X": "é"}}', encoding="utf-8")
    coupe.write_text('{"headers": ', encoding="utf-8")
    binaire.write_bytes(b"\xff\xfe")
    assert par_dict(**BASE, config_ccxt=f"@{bon}").config_ccxt == {"headers": {"X": "é"}}
    assert par_cli("--symbole", "A/B", "--config-ccxt", f"@{bon}")[0].config_ccxt == {"headers": {"X": "é"}}
    phrase = "un objet JSON est attendu (celui-ci ne se lit plus au caractère 13)"
    assert fautes(**BASE, config_ccxt=f"@{coupe}") == [f"config_ccxt : {phrase}"]
    absent = tmp_path / "absent.json"
    illisibles = {binaire: "pas du texte UTF-8", tmp_path: "c'est un dossier", absent: "il n'existe pas"}
    for chemin, cause in illisibles.items():
        assert fautes(**BASE, config_ccxt=f"@{chemin}") == [f"config_ccxt : « {chemin} » ne se lit pas ({cause})"]


def test_le_repr_ne_dit_que_l_ecart_et_tait_les_secrets() -> None:
    """Ce qui vaut le défaut n'encombre pas ; ce qui peut porter une clé est remplacé par « … »."""
    tache = par_dict(
        **BASE, limite=5, proxy="http://moi:secret@h:1", options={"k": "secret"}, params={"s": "secret"},
        config_ccxt={"apiKey": "secret"},
    )  # fmt: skip
    assert repr(tache) == "Tache(symbole='BTC/USDT', limite=5, proxy=…, options=…, params=…, config_ccxt=…)"
    assert "secret" not in f"{tache} {tache!r}"
    assert repr(par_dict(**BASE)) == "Tache(symbole='BTC/USDT')"


def test_une_faute_ne_repete_pas_un_secret() -> None:
    """Un proxy ou un JSON mal écrit peut porter un mot de passe : le message ne le cite pas."""
    portant = {"proxy": "moi:motdepasse@h", "config_ccxt": '{"secret": "motdepasse"', "params": "motdepasse"}
    for nom, donne in portant.items():
        assert "motdepasse" not in "".join(fautes(**{**BASE, nom: donne}))


# La ligne de commande et le dictionnaire, toujours d'accord


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(choisies=st.fixed_dictionaries({"symbols": SYMBOLES}, optional=VALEURS))
def test_memes_options_meme_tache(choisies: dict[str, Any]) -> None:
    """Tout sous-ensemble d'options donne la même tâche par la ligne de commande et par un dictionnaire."""
    assert par_cli(*en_drapeaux(choisies))[0] == par_dict(**choisies)


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(
        st.sampled_from([champ.name for champ in fields(module.Tache)]) | st.text(max_size=5),
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.lists(st.text()),
    )
)
def test_n_importe_quoi_est_une_faute_ou_une_tache(options: dict[str, Any]) -> None:
    """Aucune valeur, si étrange soit-elle, ne fait lever autre chose qu'une demande à corriger."""
    with contextlib.suppress(module.ErreurDemande):
        module.construire(options)


@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from([module.drapeau(n) for n in module.noms_options(module.Tache)]) | st.text(max_size=6)))
def test_n_importe_quels_mots_sont_une_faute_ou_une_tache(mots: list[str]) -> None:
    """Aucun mot n'échappe : argparse rend jamais la main en anglais, ni par `sys.exit(2)`."""
    with contextlib.suppress(module.ErreurDemande):
        module.lire_arguments([mot for mot in mots if mot != "-h"])


# Ce qui se lit des déclarations


def test_chaque_option_est_declaree_en_entier() -> None:
    """Un lecteur, une aide en une phrase sans point, un groupe ; un défaut que son propre lecteur accepte."""
    modeles = (module.Tache, module.OptionsExecution, annexe_lot.OptionsLot, annexe_plan.OptionsTacheDeLot)
    for champ in (champ for modele in modeles for champ in fields(modele)):
        declaration = champ.metadata
        assert callable(declaration["lire"])
        assert declaration["groupe"]
        assert declaration["aide"]
        assert not declaration["aide"].endswith(".")
        if champ.default not in (None, MISSING, ()):
            assert declaration["lire"](champ.default) == champ.default, champ.name


def test_les_noms_sont_ceux_du_contrat() -> None:
    """Les drapeaux promis, et eux seuls."""
    promis = """exchange type-marche sous-type mode-marge symbole symbols symboles timeframe timeframes date-debut
         date-fin limite prix-ohlcv inclure-bougie-courante relecture concurrence grace essais format sortie
         sqlite-table compression
         donnee source stream trades-vers-ohlcv duree flush profondeur bougies-vides silence
        timeout sandbox proxy options params config-ccxt hors-ligne lister simulation verifier reparer bilan rapport
        journal"""
    noms = module.noms_options(module.Tache, module.OptionsExecution)
    assert {module.drapeau(nom) for nom in noms} == {f"--{nom}" for nom in promis.split()}


def test_les_defauts_sont_ceux_du_contrat() -> None:
    tache = par_dict(**BASE)
    promis = {
        "exchange": "binance", "type_marche": "spot", "timeframe": "1m", "prix_ohlcv": "last", "relecture": 2,
        "source": "api",
        "concurrence": 32, "grace": 2.0, "essais": 8, "table_choisie": "ohlcv", "timeout": 30_000, "limite": None,
        "stream": None, "donnee": "ohlcv", "trades_vers_ohlcv": False, "duree": None, "flush": 20, "profondeur": 20,
        "bougies_vides": "omettre", "silence": 60.0,
        "inclure_bougie_courante": False, "sandbox": False, "hors_ligne": False, "options": {}, "params": {},
    }  # fmt: skip
    assert {nom: getattr(tache, nom) for nom in promis} == promis


@pytest.mark.parametrize("modeles", [(module.Tache, module.OptionsExecution), (annexe_lot.OptionsLot,)])
def test_la_table_a_une_ligne_par_option(modeles: tuple[type[Any], ...]) -> None:
    """Quatre colonnes partout : aucune aide ne contient de barre verticale."""
    lignes = table_options(*modeles).splitlines()
    assert len(lignes) == 2 + sum(len(fields(modele)) for modele in modeles) + 2
    assert lignes[-2].startswith("| `--version` | ")
    assert lignes[-1].startswith("| `-h`, `--help`, `--aide` | ")
    assert {ligne.count("|") for ligne in lignes} == {5}
