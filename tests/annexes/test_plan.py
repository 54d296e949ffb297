"""§ 10 : un fichier de tâches, lu en entier ; chaque faute à sa ligne, toutes d'un coup, avant tout appel réseau."""

from __future__ import annotations

import datetime as dt
import json
import logging
import time
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from options_tirees import SYMBOLES, VALEURS, en_drapeaux

import module_ccxt_fr_v2 as module
from annexes_ccxt_fr import plan as annexe_plan

D2024 = 1_704_067_200_000
LOT = "lot.yaml"
SEUL = "version: 1\ntasks:\n  - name: a\n    symbole: BTC/USDT\n"
INSTANT = "(ISO 8601 comme 2024-01-01 ou 2024-01-01T12:00Z, ms epoch, ou -7j -12h -30m)"
NOM = "un nom de tâche tient sur une ligne, sans virgule ni « $ »"
PARKET = (
    "« parket » n'est pas permis (choix : csv, parquet, feather, sqlite). Vouliez-vous dire « parquet » ?"
)
SANS_TACHE = "tasks : une liste d'au moins une tâche est attendue, chacune commençant par « - name: »"
NI_DEFINIE = "n'est ni définie, ni dans le .env à côté du lot"
SANS_TRADES = "ne va qu'avec le flux de trades (stream: trades) ou leur histoire (donnee: trades)"
TRADE = "« trade » n'est pas permis (choix : ohlcv, trades, ticker, orderbook). Vouliez-vous dire « trades » ?"
AVANT = "2024-01-01T00:00Z n'est pas après date_debut (2024-02-01T00:00Z)"
A = f"{LOT}, ligne 5, tâche « a »"


def lire(texte: str, dossier: str = "d", **environnement: str) -> annexe_plan.Plan:
    return annexe_plan.lire_plan(texte, LOT, Path(dossier), environnement)


def fautes(texte: str, **environnement: str) -> list[str]:
    """Les phrases du lot refusé, une par faute."""
    with pytest.raises(module.ErreurDemande) as refus:
        lire(texte, **environnement)
    return str(refus.value).splitlines()


def seule(texte: str, **environnement: str) -> module.Tache:
    """La tâche d'un lot qui n'en a qu'une."""
    (planifiee,) = lire(texte, **environnement).taches
    return planifiee.tache


# Un lot fautif : (ce qu'il a de particulier, le texte, toutes ses phrases)

FAUTIFS: list[tuple[str, str, list[str]]] = [
    # Le fichier
    ("vide", "", [f"{LOT}, ligne 1 : le fichier est vide : il y faut « version: 1 » et « tasks: »"]),
    ("commentaire", "# rien\n", [f"{LOT}, ligne 1 : le fichier est vide : il y faut « version: 1 » et « tasks: »"]),
    ("tabulation", "version: 1\ntasks:\n\t- name: a\n", [
        f"{LOT}, ligne 3 : une tabulation : YAML s'indente avec des espaces"]),
    ("liste", "- name: a\n", [f"{LOT}, ligne 1 : un dictionnaire est attendu (version, defaults, tasks)"]),
    ("texte", "bonjour\n", [f"{LOT}, ligne 1 : un dictionnaire est attendu (version, defaults, tasks)"]),
    ("deux documents", f"{SEUL}---\n{SEUL}", [f"{LOT}, ligne 5 : un second document (« --- ») : un lot n'en a qu'un"]),
    ("crochet ouvert", "version: 1\ntasks: [a", [f"{LOT}, ligne 2 : une liste « [ » n'est pas fermée"]),
    ("accolade ouverte", "version: 1\ntasks: {a: 1", [f"{LOT}, ligne 2 : un dictionnaire « {{ » n'est pas fermé"]),
    ("guillemet ouvert", "version: 1\nx: 'a\n", [f"{LOT}, ligne 3 : un guillemet n'est pas fermé"]),
    ("deux-points", "version: 1\na: b: c\n", [
        f"{LOT}, ligne 2 : un « : » inattendu : alignez la clé, ou mettez la valeur entre guillemets"]),
    ("sans deux-points", "version: 1\ntasks\n", [f"{LOT}, ligne 3 : il manque « : » après une clé"]),
    ("indentation", "a:\n  b: 1\n c: 2\n", [f"{LOT}, ligne 3 : une indentation incohérente, ou un tiret mal placé"]),
    ("arobase", "version: @1\n", [f"{LOT}, ligne 1 : « @ » ne peut commencer une valeur : mettez-la entre guillemets"]),
    ("alias inconnu", "version: *v\n", [f"{LOT}, ligne 1 : l'alias « *v » ne renvoie à aucune ancre"]),
    ("caractère de contrôle", "version: 1\n\x07", [f"{LOT}, ligne 2 : un caractère de contrôle"]),
    ("alias en boucle", "version: 1\ntasks: &t [*t]\n", [f"{LOT}, ligne 1 : un alias se contient lui-même"]),
    ("bombe", "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join([f'*{chr(97 + n)}'] * 9)}]\n" for n in range(8)), [
        f"{LOT}, ligne 1 : des alias qui, développés, feraient plus de 500000 valeurs"]),
    ("profond", "[" * 5000, [f"{LOT}, ligne 1 : une imbrication trop profonde"]),
    # La racine
    ("sans version", "tasks:\n  - name: a\n    symbole: BTC/USDT\n", [
        f"{LOT}, ligne 1 : version : absente ; écrivez « version: 1 »"]),
    ("version 2", SEUL.replace("1", "2", 1), [f"{LOT}, ligne 1 : version : 1 est attendu, pas « 2 »"]),
    ("version en liste", SEUL.replace("1", "[1]", 1), [f"{LOT}, ligne 1 : version : 1 est attendu, pas « … »"]),
    ("clé de racine", "versions: 1\n" + SEUL, [
        f"{LOT}, ligne 1 : versions : clé inconnue. Vouliez-vous dire « version » ?"]),
    ("racine double", SEUL + "version: 1\n", [f"{LOT}, ligne 5 : version : donnée deux fois (déjà ligne 1)"]),
    ("sans tasks", "version: 1\n", [f"{LOT}, ligne 1 : {SANS_TACHE}"]),
    ("tasks vide", "version: 1\ntasks: []\n", [f"{LOT}, ligne 2 : {SANS_TACHE}"]),
    ("tasks en dictionnaire", "version: 1\ntasks:\n  a: {symbole: BTC/USDT}\n", [f"{LOT}, ligne 2 : {SANS_TACHE}"]),
    ("tasks en français", SEUL.replace("tasks", "tâches"), [
        f"{LOT}, ligne 1 : {SANS_TACHE}",
        f"{LOT}, ligne 2 : tâches : clé inconnue. Vouliez-vous dire « tasks » ?"]),
    ("defaults en liste", "version: 1\ndefaults: [format]\n" + SEUL.split("\n", 1)[1], [
        f"{LOT}, ligne 2, defaults : un dictionnaire est attendu"]),
    ("clé de defaults", "version: 1\ndefaults:\n  timout: 3\n" + SEUL.split("\n", 1)[1], [
        f"{LOT}, ligne 3, defaults : timout : option inconnue. Vouliez-vous dire « timeout » ?"]),
    ("valeur de defaults", "version: 1\ndefaults:\n  format: parket\n" + SEUL.split("\n", 1)[1], [
        f"{LOT}, ligne 3, defaults : format : {PARKET}"]),
    ("nom dans defaults", "version: 1\ndefaults: {name: x}\n" + SEUL.split("\n", 1)[1], [
        f"{LOT}, ligne 2, defaults : name : chaque tâche a le sien"]),
    ("défauts contradictoires", "version: 1\ndefaults:\n  date_debut: 2024-02-01\n  date_fin: 2024-01-01\n"
        + SEUL.split("\n", 1)[1], [
        f"{LOT}, ligne 4, defaults : date_fin : {AVANT}"]),
    # Les tâches
    ("tâche en texte", "version: 1\ntasks:\n  - BTC/USDT\n", [
        f"{LOT}, ligne 3, tâche n° 1 : un dictionnaire est attendu (name, mode, …)"]),
    ("sans nom", "version: 1\ntasks:\n  - symbole: BTC/USDT\n", [
        f"{LOT}, ligne 3, tâche n° 1 : name : absent ; chaque tâche a un nom"]),
    ("nom à virgule", SEUL.replace("name: a", "name: 'a,b'"), [f"{LOT}, ligne 3, tâche « a,b » : name : {NOM}"]),
    ("nom en variable", SEUL.replace("name: a", "name: ${X}"), [
        f"{LOT}, ligne 3, tâche « ${{X}} » : name : la variable d'environnement « X » {NI_DEFINIE}"]),
    ("nom doublé", SEUL + "  - name: a\n    symbole: ETH/USDT\n", [
        f"{A} : name : ce nom est déjà pris (ligne 3)"]),
    ("sans symbole", "version: 1\ntasks:\n  - name: a\n", [
        f"{LOT}, ligne 3, tâche « a » : symbole : un symbole est demandé (exemple : BTC/USDT)"]),
    ("clé inconnue", SEUL + "    time_frame: 1m\n", [
        f"{A} : time_frame : option inconnue. Vouliez-vous dire « timeframe » ?"]),
    ("drapeau pour clé", SEUL + "    date-debut: 2024-01-01\n", [
        f"{A} : date-debut : option inconnue. Vouliez-vous dire « date_debut » ?"]),
    ("clé de tâche double", SEUL + "    exchange: okx\n    exchange: binance\n", [
        f"{LOT}, ligne 6, tâche « a » : exchange : donnée deux fois (déjà ligne 5)"]),
    ("clé double dans une valeur", SEUL + "    params: {a: 1, a: 2}\n", [
        f"{A} : a : donnée deux fois (déjà ligne 5)"]),
    ("synonymes", SEUL.replace("symbole: BTC/USDT", "symbols: [A/B]") + "    symboles: [C/D]\n", [
        f"{A} : symboles : donnée deux fois, sous deux noms"]),
    ("symbole et symbols", SEUL + "    symbols: [ETH/USDT]\n", [
        f"{A} : symbols : « symbole » et « symbols » ne vont pas ensemble : gardez l'un des deux"]),
    ("clé en liste", SEUL + "    ? [x]\n    : 1\n", [
        f"{A} : une clé est un mot, pas une liste ni un dictionnaire"]),
    ("fusion d'un texte", SEUL + "    <<: bonjour\n", [f"{A} : « << » demande un dictionnaire"]),
    ("objet Python", SEUL + "    params: !!python/object/apply:os.system [ls]\n", [
        f"{A} : params : « tag:yaml.org,2002:python/object/apply:os.system » n'est pas un type qu'un lot admet"]),
    ("date impossible", SEUL + "    date_debut: 2024-02-30\n", [
        f"{A} : date_debut : « 2024-02-30 » n'est pas un instant {INSTANT}"]),
    ("entier", SEUL + "    limite: beaucoup\n", [f"{A} : limite : un entier est attendu, pas « beaucoup »"]),
    ("booléen", SEUL + "    sandbox: peut-être\n", [f"{A} : sandbox : true ou false est attendu, pas « peut-être »"]),
    ("timeframe", SEUL + "    timeframe: 1x\n", [
        f"{A} : timeframe : « 1x » n'est pas un timeframe (exemples : 1m, 5m, 1h, 1d, 1w, 1M)"]),
    ("table", SEUL + "    sqlite_table: a-b\n", [
        f"{A} : sqlite_table : « a-b » n'est pas un nom de table (lettres sans accent, chiffres et _, 63 au plus)"]),
    ("mode", SEUL + "    mode: flux\n", [f"{A} : mode : « flux » n'est pas permis (choix : rest, stream)."]),
    ("stream sans flux", SEUL + "    mode: stream\n", [
        f"{A} : mode : « stream » demande un flux : stream, parmi ohlcv, trades, ticker, orderbook"]),
    ("rest avec flux", SEUL + "    mode: rest\n    stream: ohlcv\n", [
        f"{A} : mode : « rest » ne va pas avec stream (ohlcv)"]),
    ("flux inconnu", SEUL + "    mode: stream\n    stream: trade\n", [
        f"{LOT}, ligne 6, tâche « a » : stream : {TRADE}"]),
    ("agrégation sans trades", SEUL + "    stream: ohlcv\n    trades_vers_ohlcv: true\n", [
        f"{LOT}, ligne 6, tâche « a » : trades_vers_ohlcv : {SANS_TRADES}"]),
    ("compression d'un autre format", SEUL + "    format: csv\n    compression: snappy\n", [
        f"{LOT}, ligne 6, tâche « a » : compression : « snappy » n'existe pas en csv (choix : none, gzip)"]),
    ("début après la fin", SEUL + "    date_debut: 2024-02-01\n    date_fin: 2024-01-01\n", [
        f"{LOT}, ligne 6, tâche « a » : date_fin : {AVANT}"]),
    ("variable absente", SEUL + "    proxy: ${PROXY_ABSENT}\n", [
        f"{A} : proxy : la variable d'environnement « PROXY_ABSENT » {NI_DEFINIE}"]),
    ("variable absente du symbole", "version: 1\ntasks:\n  - name: a\n    symbole: '${X}/USDT'\n", [
        f"{LOT}, ligne 4, tâche « a » : symbole : la variable d'environnement « X » {NI_DEFINIE}"]),
    ("config absente", SEUL + "    config_ccxt: '@absent.json'\n", [
        f"{A} : config_ccxt : « d/absent.json » ne se lit pas (il n'existe pas)"]),
    ("tout à la fois", "version: 3\ntask: []\ntasks:\n  - name: a\n    limite: x\n  - name: b\n    symbole: ''\n", [
        f"{LOT}, ligne 1 : version : 1 est attendu, pas « 3 »",
        f"{LOT}, ligne 2 : task : clé inconnue. Vouliez-vous dire « tasks » ?",
        f"{LOT}, ligne 4, tâche « a » : symbole : un symbole est demandé (exemple : BTC/USDT)",
        f"{LOT}, ligne 5, tâche « a » : limite : un entier est attendu, pas « x »",
        f"{LOT}, ligne 7, tâche « b » : symbole : un texte non vide est attendu"]),
]  # fmt: skip


@pytest.mark.parametrize(("texte", "phrases"), [pytest.param(t, p, id=i) for i, t, p in FAUTIFS])
def test_un_lot_fautif_est_refuse_phrase_pour_phrase(texte: str, phrases: list[str]) -> None:
    """Toutes les fautes, celles-là et pas d'autres, dans l'ordre du fichier."""
    assert fautes(texte) == phrases


def test_la_valeur_d_une_variable_n_est_jamais_repetee() -> None:
    """Une clé mise par `${}` à la mauvaise place n'est dite que par son nom."""
    (phrase,) = fautes(SEUL + "    limite: ${SECRET}\n", SECRET="tres-prive")  # noqa: S106
    assert phrase == f"{A} : limite : la valeur de ${{SECRET}} ne convient pas ; elle n'est pas répétée ici"


def test_le_plafond_hors_ligne_n_est_dit_que_s_il_sert(caplog: pytest.LogCaptureFixture) -> None:
    """D'un lot dont on ne choisit que les historiques, aucun flux n'est écourté."""
    commun = {"symbole": "BTC/USDT", "hors_ligne": True}
    taches = [{"name": "histoire", **commun}, {"name": "flux", "mode": "stream", "stream": "trades", **commun}]
    caplog.set_level(logging.INFO, logger=module.journal.name)
    annexe_plan.ouvrir_plan({"version": 1, "tasks": taches}, taches=["histoire"], hors_ligne=True)
    assert "est plafonné" not in caplog.text
    annexe_plan.ouvrir_plan({"version": 1, "tasks": taches}, taches=["flux"], hors_ligne=True)
    assert "chaque flux est plafonné à 10 s" in caplog.text


def test_une_variable_vide_se_dit() -> None:
    """`PROXY=` dans le `.env` : ce n'est pas un secret, et c'est elle qu'il faut remplir."""
    (phrase,) = fautes(SEUL + "    proxy: ${MANDATAIRE}\n", MANDATAIRE="")
    assert phrase == (
        f"{A} : proxy : la variable d'environnement « MANDATAIRE » est vide : donnez-lui une valeur, ou ôtez cette clé"
    )


def test_un_nom_de_tache_ne_vient_pas_d_une_variable() -> None:
    """Le nom est dit dans le tableau, le bilan, le journal : ce n'est pas la place d'un secret."""
    assert fautes(SEUL.replace("name: a", "name: ${X}"), X="tres-prive") == [
        f"{LOT}, ligne 3, tâche « ${{X}} » : name : un nom s'écrit en clair : il est dit partout"
    ]


def test_mille_taches_se_lisent_vite() -> None:
    """Un exchange entier dans une base : quatre fois plus de tâches ne coûtent guère que quatre fois plus de calcul."""

    def cout_s(nombre: int) -> float:
        taches = "".join(f"  - {{name: t{n}, symbole: A{n}/USDT, sortie: x.sqlite}}\n" for n in range(nombre))
        depart = time.thread_time()
        plan = lire(f"version: 1\ntasks:\n{taches}")
        assert list(plan.disputes()) == []
        return time.thread_time() - depart

    peu, beaucoup = (min(cout_s(nombre) for _ in range(3)) for nombre in (250, 1000))
    assert beaucoup < 8 * peu  # tâche contre tâche, ce serait seize


# Types YAML


@pytest.mark.parametrize(
    ("ligne", "nom", "attendu"),
    [
        ("date_debut: 2024-01-01", "date_debut", D2024),
        ("date_debut: '2024-01-01'", "date_debut", D2024),
        ("date_debut: 2024-01-01T00:00:00Z", "date_debut", D2024),
        ("date_debut: 2024-01-01 01:00:00 +01:00", "date_debut", D2024),
        ("date_debut: 2024-01-01 00:00", "date_debut", D2024),
        ("date_debut: 1_704_067_200_000", "date_debut", D2024),
        ("limite: 1_000", "limite", 1000),
        ("limite: '1_000'", "limite", 1000),
        ("sandbox: on", "sandbox", True),
        ("sandbox: 'on'", "sandbox", True),
        ("sandbox: No", "sandbox", False),
        ("sandbox: oui", "sandbox", True),
        ("inclure_bougie_courante: yes", "inclure_bougie_courante", True),
        ("grace: 1", "grace", 1.0),
        ("timeframe: 1M", "timeframe", "1M"),
        ("format:", "format", None),
        ("config_ccxt: {urls: {api: x}}", "config_ccxt", {"urls": {"api": "x"}}),
        ("params: '{\"a\": 1}'", "params", {"a": 1}),
        ("sortie: donnees/x.csv", "sortie", Path("d/donnees/x.csv")),
        ("sortie: /abs/x.csv", "sortie", Path("/abs/x.csv")),
        ("proxy: http://${HOTE}:8080", "proxy", "http://hote:8080"),
        ("options: {a: ['${HOTE}', 1]}", "options", {"a": ["hote", 1]}),
    ],
)
def test_les_types_naturels_du_yaml(ligne: str, nom: str, attendu: Any) -> None:
    """Dates nues, entiers à tirets bas, booléens en toutes lettres, entre guillemets ou non ; chemins du dossier."""
    assert getattr(seule(f"{SEUL}    {ligne}\n", HOTE="hote"), nom) == attendu


def test_un_lot_en_dictionnaire_est_lu_de_meme() -> None:
    """Types Python, chemins, tuples ; les fautes n'ont alors pas de ligne."""
    options = {"symbols": ("A/B", "C/D"), "date_debut": dt.date(2024, 1, 1)}
    tache = {"name": "a", "sortie": Path("x.csv"), **options}
    plan = annexe_plan.lire_plan({"version": 1, "tasks": [tache]}, "lot", Path("d"), {})
    assert plan.taches[0].tache == module.construire({"sortie": "d/x.csv", **options})
    with pytest.raises(module.ErreurDemande) as refus:
        annexe_plan.lire_plan({"version": 1, "tasks": [{**tache, "timefram": 1}]}, "lot", Path(), {})
    assert str(refus.value) == "lot, tâche « a » : timefram : option inconnue. Vouliez-vous dire « timeframe » ?"


def test_un_fichier_de_config_est_cherche_a_cote_du_lot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "c.json").write_text('{"hostname": "h"}')
    assert seule(SEUL + "    config_ccxt: '@c.json'\n", dossier=str(tmp_path)).config_ccxt == {"hostname": "h"}
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert seule(SEUL + "    config_ccxt: '@~/c.json'\n", dossier="ailleurs").config_ccxt == {"hostname": "h"}


def seule_avec(defauts: str, tache: str) -> module.Tache:
    """Une tâche qui n'a que cela, sous ces défauts."""
    return seule(f"version: 1\ndefaults: {{{defauts}}}\ntasks:\n  - {{name: a, {tache}}}\n")


# Défauts


def test_les_defauts_s_appliquent_et_s_ecrasent() -> None:
    tache = seule_avec("exchange: okx, timeframe: 1h, limite: 5", "symbole: A/B, timeframe: 4h")
    assert (tache.exchange, tache.timeframe, tache.limite) == ("okx", "4h", 5)


@pytest.mark.parametrize(
    ("defauts", "tache", "nom", "attendu"),
    [
        ("duree: 60", "symbole: A/B", "duree", 60.0),
        ("trades_vers_ohlcv: true", "symbole: A/B", "trades_vers_ohlcv", False),
        ("trades_vers_ohlcv: true", "symbole: A/B, stream: ohlcv", "trades_vers_ohlcv", False),
        ("date_fin: 2024-02-01", "symbole: A/B, stream: ohlcv", "date_fin", None),
        ("date_debut: 2024-02-01", "symbole: A/B, stream: trades", "date_debut", None),
        ("date_fin: 2024-02-01", "symbole: A/B, date_debut: 2024-03-01", "date_fin", None),
        ("symbole: A/B", "symbols: [C/D]", "symbole", None),
        ("symbols: [C/D]", "symbole: A/B", "symbols", ()),
        ("stream: ohlcv", "symbole: A/B, mode: rest", "stream", None),
        ("mode: rest", "symbole: A/B, stream: ohlcv", "stream", "ohlcv"),
        ("mode: stream, stream: ticker", "symbole: A/B", "stream", "ticker"),
        ("compression: snappy", "symbole: A/B, format: csv", "compression", None),
        ("format: parquet", "symbole: A/B, sortie: x.csv", "format", None),
        ("format: parquet", "symbole: A/B, sortie: x", "format", "parquet"),
    ],
)
def test_un_defaut_sans_objet_n_est_pas_une_faute(defauts: str, tache: str, nom: str, attendu: Any) -> None:
    """Ce qu'une tâche fixe elle-même l'emporte, même quand le défaut le contredirait."""
    assert getattr(seule_avec(defauts, tache), nom) == attendu


def test_une_ancre_fusionnee_complete_la_tache() -> None:
    """`<<` n'écrase pas ce que la tâche dit ; une ancre vaut pour plusieurs tâches."""
    plan = lire(
        "version: 1\ntasks:\n  - &base {name: a, symbole: A/B, timeframe: 1h, limite: 3}\n"
        "  - {<<: *base, name: b, timeframe: 4h}\n"
    )
    assert [(p.nom, p.tache.timeframe, p.tache.limite) for p in plan.taches] == [("a", "1h", 3), ("b", "4h", 3)]


def test_output_dir_ne_vaut_que_pour_les_taches_sans_sortie() -> None:
    """Le lot du propriétaire : `output_dir: donnees` et `sortie: donnees/x` donnent donnees/x, à côté du YAML."""
    texte = Path("ccxt_batch.yaml").read_text(encoding="utf-8")
    plan = annexe_plan.lire_plan(texte, "ccxt_batch.yaml", Path("/srv"), {})
    assert [(p.nom, p.tache.stream, p.tache.duree, p.tache.sortie, p.dossier) for p in plan.taches] == [
        ("binance_btc_1m_jan2024", None, None,
         Path("/srv/donnees/binance_btcusdt_1m_202401.parquet"), Path("/srv/donnees")),
        ("okx_btc_swap_mark_1m_10min", "ohlcv", 600.0,
         Path("/srv/donnees/okx_stream_ohlcv_1m.sqlite"), Path("/srv/donnees")),
        ("bybit_btc_trades_to_ohlcv", "trades", None,
         Path("/srv/donnees/bybit_btc_trades_ohlcv.csv"), Path("/srv/donnees")),
        ("okx_multi_ohlcv", "ohlcv", 300.0, Path("/srv/donnees/okx_multi_ohlcv.parquet"), Path("/srv/donnees")),
    ]  # fmt: skip
    assert [p.nom for p in plan.taches if p.sans_fin] == ["bybit_btc_trades_to_ohlcv"]


# Plusieurs tâches, un fichier


@pytest.mark.parametrize(
    ("une", "autre", "dispute"),
    [
        ("symbole: A/B", "symbole: A/B, date_debut: 2024-01-01", ""),
        ("symbole: A/B", "symbole: A/B, stream: ohlcv, duree: 5", ""),
        ("symbole: A/B", "symbole: C/D", ""),
        ("symbole: A/B", "symbole: A/B, timeframe: 1h", "les séries diffèrent"),
        ("symbole: A/B", "symbole: A/B, exchange: okx", "les séries diffèrent"),
        ("symbole: A/B", "symbole: A/B, format: feather", "formats différents (csv, feather)"),
        ("symbole: A/B", "symbole: A/B, stream: trades, duree: 5", "contenus différents (ohlcv, trades)"),
        ("symbole: A/B, stream: ohlcv", "symbole: A/B, stream: ohlcv",
         "deux flux sans fin ne peuvent la tenir en même temps"),
        ("format: sqlite, symbole: A/B", "format: sqlite, symbole: C/D, timeframe: 1h", ""),
        ("format: sqlite, symbole: A/B", "format: sqlite, symbole: A/B, stream: trades, duree: 5", ""),
        ("format: sqlite, symbole: A/B, sqlite_table: t",
         "format: sqlite, symbole: A/B, stream: trades, duree: 5, sqlite_table: t",
         "contenus différents (ohlcv, trades)"),
    ],
)  # fmt: skip
def test_deux_taches_vers_un_meme_fichier(une: str, autre: str, dispute: str) -> None:
    """La même famille, oui ; une autre, seulement dans une base. Le chemin est comparé, pas sa façon de s'écrire."""
    plan = lire(
        f"version: 1\ntasks:\n  - {{name: a, sortie: x, {une}}}\n  - {{name: b, sortie: ./y/../x, {autre}}}\n"
    )
    attendues = [
        (4, "tâche « b »", f"sortie : « d/y/../x » est aussi celle de « a » : {dispute}")
    ] if dispute else []  # fmt: skip
    assert [(tache.ligne, tache.ou, phrase) for tache, phrase in plan.disputes()] == attendues


def test_une_cle_en_x_est_libre() -> None:
    """Des ancres à la racine, des notes dans une tâche."""
    plan = lire(
        "version: 1\nx-commun: &c {symbole: A/B, x-note: 1}\ndefaults: {x-qui: moi}\n"
        "tasks:\n  - {name: a, <<: *c, x-y: [1]}\n"
    )
    assert [p.tache.symbole for p in plan.taches] == ["A/B"]


def test_les_refus_de_l_exchange_sont_dits_avec_les_autres_fautes(tmp_path: Path) -> None:
    """Exchange ou timeframe inconnu : à la ligne de sa clé, dans la même liste que le reste."""
    fichier = tmp_path / "l.yaml"
    fichier.write_text(
        "version: 1\ntasks:\n  - name: a\n    symbole: A/B\n    exchange: binnance\n"
        "  - name: b\n    symbole: A/B\n    timeframe: 7m\n    limite: x\n"
        "  - name: c\n    symbole: A/B\n    timeframes: [1m, 11m]\n",
        encoding="utf-8",
    )
    with pytest.raises(module.ErreurDemande) as refus:
        annexe_plan.ouvrir_plan(fichier)
    fautes = [faute.partition("l.yaml, ")[2] for faute in str(refus.value).splitlines()]
    assert [faute[: len(attendu)] for faute, attendu in zip(fautes, REFUS, strict=True)] == REFUS


REFUS = [
    "ligne 5, tâche « a » : exchange : Exchange inconnu : « binnance »",
    "ligne 8, tâche « b » : timeframe : Timeframe inconnu de binance : « 7m",
    "ligne 9, tâche « b » : limite : un entier est attendu, pas « x »",
    "ligne 12, tâche « c » : timeframes : Timeframe inconnu de binance : «",
]


# Ce qui se refuse d'une seule tâche, et se cachait : (ses options, tous ses refus, chacun à la ligne de la sienne)
SANS_ARCHIVES = "source : « kraken » n'a pas de fichiers publics que l'on sache lire"
SANS_7M = "timeframe : Timeframe inconnu de kraken : « 7m »"
SANS_MARK = "prix_ohlcv : kraken ne sert pas de bougies au prix « mark »"
PAS_UN_TIMEFRAME = "n'est pas un timeframe (exemples : 1m, 5m, 1h, 1d, 1w, 1M)"
ENSEMBLE: list[tuple[str, list[str]]] = [
    # Ce que l'exchange ne sert pas
    ("source: archives, prix_ohlcv: mark, timeframe: 7m", [SANS_ARCHIVES, SANS_MARK, SANS_7M]),
    ("source: archives, prix_ohlcv: mark, timeframes: [1h, 7m, 9m]", [
        SANS_ARCHIVES, SANS_MARK, "timeframes : Timeframe inconnu de kraken : « 7m »",
        "timeframes : Timeframe inconnu de kraken : « 9m »"]),
    ("stream: ohlcv, prix_ohlcv: mark, timeframe: 7m", [SANS_MARK, SANS_7M]),
    ("donnee: open_interest, source: archives", [
        "donnee : kraken ne sert pas d'histoire « open_interest »", SANS_ARCHIVES]),
    ("exchange: btcturk, donnee: trades, trades_vers_ohlcv: true, timeframe: 7m", [
        "donnee : btcturk ne sert pas l'histoire de ses trades", "timeframe : Timeframe inconnu de btcturk : « 7m »"]),
    # Une option qui ne se lit pas ne tait pas les autres
    ("timeframe: 7x, prix_ohlcv: mark, source: archives", [
        "timeframe : « 7x » n'est pas un timeframe", SANS_MARK, SANS_ARCHIVES]),
    ("timeframe: 7m, prix_ohlcv: marque", [SANS_7M, "prix_ohlcv : « marque » n'est pas permis"]),
    ("stream: tricker, source: archives, timeframe: 7m", [  # le timeframe d'un ticker : rien ne s'en dit
        "stream : « tricker » n'est pas permis", SANS_ARCHIVES]),
    # Ni une faute de plusieurs options
    ("timeframe: 7m, sortie: a.csv, format: parquet", [
        SANS_7M, "format : « a.csv » est un nom de csv, pas de parquet"]),
    ("donnee: open_interest, prix_ohlcv: mark, trades_vers_ohlcv: true", [
        "donnee : kraken ne sert pas d'histoire « open_interest »", "prix_ohlcv : « mark » est un prix de bougies",
        "trades_vers_ohlcv : ne va qu'avec le flux de trades"]),
    ("source: archives, timeframe: 7m, donnee: trades, trades_vers_ohlcv: true, prix_ohlcv: mark", [
        SANS_ARCHIVES, SANS_7M, "prix_ohlcv : « mark » est un prix de bougies"]),
    ("donnee: open_interest, timeframe: 7m, trades_vers_ohlcv: true", [  # l'un ou l'autre : le timeframe attend
        "donnee : kraken ne sert pas d'histoire « open_interest »",
        "trades_vers_ohlcv : ne va qu'avec le flux de trades"]),
    ("stream: ticker, donnee: funding, trades_vers_ohlcv: true", [
        "donnee : ne va pas avec un flux", "trades_vers_ohlcv : ne va qu'avec le flux de trades"]),
    # Ni, d'une même option, la première
    ("sortie: '{symbole}_{exchange}.csv'", [
        "sortie : « {symbole} » n'y est pas remplacé", "sortie : « {exchange} » n'y est pas remplacé"]),
    ("timeframes: [3q, 1h, 4z]", [f"timeframes : « 3q » {PAS_UN_TIMEFRAME} ; « 4z » {PAS_UN_TIMEFRAME}"]),
]  # fmt: skip


@pytest.mark.parametrize(("options", "refus"), ENSEMBLE, ids=[options for options, _ in ENSEMBLE])
def test_tout_ce_qu_une_tache_demande_a_tort_est_dit_d_un_coup(options: str, refus: list[str], tmp_path: Path) -> None:
    """Chaque refus à la ligne de son option : corriger l'un n'en découvre pas un autre."""
    fichier, donnees = tmp_path / "l.yaml", {"exchange": "kraken", **yaml.safe_load(f"{{{options}}}")}
    lignes = [f"    {json.dumps(nom)}: {json.dumps(valeur)}\n" for nom, valeur in donnees.items()]
    fichier.write_text("version: 1\ntasks:\n  - name: a\n    symbole: BTC/USD\n" + "".join(lignes), encoding="utf-8")
    with pytest.raises(module.ErreurDemande) as leve:
        annexe_plan.ouvrir_plan(fichier)
    noms = ["", *donnees]
    attendus = [f"ligne {4 + noms.index(phrase.partition(' :')[0])}, tâche « a » : {phrase}" for phrase in refus]
    dites = [faute.partition("l.yaml, ")[2] for faute in str(leve.value).splitlines()]
    dites.sort(key=lambda dite: int(dite.split()[1].rstrip(",")))
    assert [dite[: len(attendu)] for dite, attendu in zip(dites, attendus, strict=True)] == attendus


# Choix et plafonds


def test_les_taches_choisies_gardent_l_ordre_du_fichier() -> None:
    plan = lire("version: 1\ntasks:\n" + "".join(f"  - {{name: {n}, symbole: A/B}}\n" for n in ("un", "deux", "trois")))
    assert [p.nom for p in plan.choisir(("trois", "un")).taches] == ["un", "trois"]
    assert plan.choisir(()).taches == plan.taches
    with pytest.raises(module.ErreurDemande) as refus:
        plan.choisir(("troi", "zzz", "un [15m]"))
    assert str(refus.value).splitlines() == [
        f"--taches : « troi » n'est pas dans {LOT} (ses tâches : un, deux, trois). Vouliez-vous dire « trois » ?",
        f"--taches : « zzz » n'est pas dans {LOT} (ses tâches : un, deux, trois).",
        f"--taches : « un [15m] » n'est pas dans {LOT} (ses tâches : un, deux, trois). Vouliez-vous dire « un » ?",
    ]


def test_un_plafond_borne_chaque_flux_et_eux_seuls() -> None:
    """Un flux sans durée devient fini ; un plus court garde la sienne ; l'historique n'en a pas."""
    plan = lire(
        "version: 1\ntasks:\n  - {name: a, symbole: A/B}\n  - {name: b, symbole: A/B, stream: ohlcv}\n"
        "  - {name: c, symbole: A/B, stream: ohlcv, duree: 3}\n  - {name: d, symbole: A/B, stream: ohlcv, duree: 99}\n"
    ).regler(hors_ligne=True, duree_max=10.0)
    assert [p.tache.duree for p in plan.taches] == [None, 10.0, 3.0, 10.0]
    assert all(p.tache.hors_ligne and not p.sans_fin for p in plan.taches)


def test_le_timeframe_d_une_tache_l_emporte_sur_ceux_d_office() -> None:
    """Et l'inverse ; les deux au même endroit sont une faute, fût-ce le timeframe de toute façon par défaut."""
    un, plusieurs = "timeframe: 1m", "timeframes: [5m, 1h]"
    assert [p.tache.timeframe for p in lire(DEFAUTS.format(plusieurs, un)).taches] == ["1m"]
    assert [p.tache.timeframe for p in lire(DEFAUTS.format(un, plusieurs)).taches] == ["5m", "1h"]
    dit = "timeframes : « timeframe » et « timeframes » ne vont pas ensemble : gardez l'un des deux"
    assert fautes(DEFAUTS.format(un, f"{un}, {plusieurs}")) == [f"{LOT}, ligne 4, tâche « a » : {dit}"]
    assert fautes(DEFAUTS.format(f"{un}, {plusieurs}", "limite: 5")) == [f"{LOT}, ligne 2, defaults : {dit}"]


DEFAUTS = "version: 1\ndefaults: {{{}}}\ntasks:\n  - {{name: a, symbole: A/B, {}}}\n"

# La même tâche, d'où qu'elle vienne

CLES = {nom: valeurs for nom, valeurs in VALEURS.items() if nom != "sortie"}


def en_yaml(options: dict[str, Any]) -> str:
    return yaml.safe_dump({"version": 1, "tasks": [{"name": "a", **options}]}, allow_unicode=True)


@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    choisies=st.fixed_dictionaries({"symbols": SYMBOLES}, optional=CLES),
    communes=st.fixed_dictionaries({}, optional=CLES),
)
def test_memes_cles_meme_tache(choisies: dict[str, Any], communes: dict[str, Any]) -> None:
    """Tout sous-ensemble de clés bâtit la même tâche que les mêmes options en ligne de commande ; défauts compris."""
    attendue, _ = module.lire_arguments(en_drapeaux(choisies))
    assert seule(en_yaml(choisies)) == attendue
    moitie = {nom: valeur for nom, valeur in choisies.items() if nom < "l"}
    reste = {nom: valeur for nom, valeur in choisies.items() if nom not in moitie}
    lot = {"version": 1, "defaults": moitie, "tasks": [{"name": "a", **reste}]}
    assert seule(yaml.safe_dump(lot)) == attendue
    ecrasees = {nom: valeur for nom, valeur in communes.items() if nom in choisies}
    lot = {"version": 1, "defaults": ecrasees, "tasks": [{"name": "a", **choisies}]}
    assert seule(yaml.safe_dump(lot)) == attendue


def test_chaque_option_est_une_cle() -> None:
    """Aucune option de tâche ne manque au YAML."""
    options = module.noms_options(module.Tache)
    autres = {"symbole", "symbols", "timeframes", "sortie", "compression", "donnee", "stream", "trades_vers_ohlcv"}
    assert set(CLES) | autres == {
        champ.name for champ in fields(module.Tache)
    }
    for nom in options:
        phrase = f"{nom} : option inconnue"
        assert not [f for f in messages(SEUL + f"    {nom}: ''\n") if phrase in f]


def messages(texte: str) -> list[str]:
    try:
        lire(texte)
    except module.ErreurDemande as refus:
        return str(refus).splitlines()
    return []


MORCEAUX = (
    "version: 1\n", "tasks:\n", "  - ", "name: a\n", "symbole: A/B\n", "{", "]", "&a ", "*a", "<<: ", "\t", "${X}",
    "? ",
)  # fmt: skip
ARBRES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4) | st.dates() | st.floats(),
    lambda enfants: st.lists(enfants, max_size=3) | st.dictionaries(st.text(max_size=4), enfants, max_size=3),
    max_leaves=8,
)
TACHES = st.dictionaries(st.sampled_from(["name", "mode", *(c.name for c in fields(module.Tache))]), ARBRES, max_size=4)
LOTS = st.fixed_dictionaries(
    {"version": st.just(1), "defaults": TACHES, "tasks": st.lists(TACHES | ARBRES, max_size=3)}
)


@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=80) | st.lists(st.sampled_from(MORCEAUX)).map("".join) | LOTS.map(yaml.safe_dump))
def test_n_importe_quel_texte_est_un_plan_ou_une_demande_refusee(texte: str) -> None:
    """Aucun texte ne fait lever autre chose qu'une demande à corriger."""
    messages(texte)
