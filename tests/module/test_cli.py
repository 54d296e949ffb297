"""§ 12 : la ligne de commande, de bout en bout, face à l'exchange embarqué."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from attente import PLAFOND_S, attendre, moins_de
from couverture import une_seule
from ligne_de_commande import commande
from ligne_de_commande import lancer as lancer_un_programme

import module_ccxt_fr_v2 as module
from annexes_ccxt_fr import remarques
from bourse_locale import Bourse, Panne

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MODULE = Path(module.__file__)
MINUTE, HEURE, JOUR = 60_000, 3_600_000, 86_400_000
DEBUT = 1_709_632_800_000  # 2024-03-05T10:00Z
HEURE_LUE = ("--date-debut", "2024-03-05T10:00", "--date-fin", "2024-03-05T11:00")
CLE, SECRET, PHRASE = "CLE-TRES-PRIVEE-0123", "SECRET-TRES-PRIVE-4567", "PHRASE-TRES-PRIVEE-89"
PRIVES = {"API_KEY": CLE, "API_SECRET": SECRET, "OKX_API_PASSWORD": PHRASE}


class Fin(NamedTuple):
    """Ce qu'une exécution a rendu."""

    code: int
    out: str
    err: str


def sans_trace(fin: Fin) -> Fin:
    """Ce qui n'arrive jamais, quelle que soit la fin."""
    interdits = ("Traceback", "Unclosed", "requires to release", "Task exception", "never awaited", "Exception ignored")
    assert not [interdit for interdit in interdits if interdit in fin.err], fin.err
    return fin


def fichiers(dossier: Path) -> list[str]:
    """Les fichiers produits."""
    return sorted(str(chemin.relative_to(dossier)) for chemin in dossier.rglob("*") if chemin.is_file())


@pytest.fixture(autouse=True)
def dossier(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Un dossier vide, où la commande est lancée ; aucune clé dans l'environnement."""
    travail = tmp_path / "travail"
    travail.mkdir()
    monkeypatch.chdir(travail)
    for nom in os.environ:
        if nom.endswith(("API_KEY", "API_SECRET", "API_PASSWORD", "API_UID")):
            monkeypatch.delenv(nom)
    return travail


@pytest.fixture
def vers(bourse: Bourse, tmp_path: Path) -> Callable[..., tuple[str, ...]]:
    """Les mots qui mènent un exchange à celui de la bourse embarquée."""

    def preparer(exchange: str, **config: Any) -> tuple[str, ...]:
        fichier = tmp_path / f"{exchange}.json"
        reglages = {"enableRateLimit": False, "timeout_on_exit": 0, **config}
        fichier.write_text(json.dumps({**bourse.config_ccxt(exchange), **reglages}))
        return ("--exchange", exchange, "--config-ccxt", f"@{fichier}")

    return preparer


@pytest.fixture
def cli(vers: Callable[..., tuple[str, ...]], capsys: pytest.CaptureFixture[str]) -> Callable[..., Fin]:
    """La ligne de commande dans ce processus ; `exchange=None` : sans bourse embarquée."""

    def appeler(*mots: str, exchange: str | None = "binance") -> Fin:
        capsys.readouterr()
        code = module.principal([*(vers(exchange) if exchange else ()), *mots])
        return sans_trace(Fin(code, *capsys.readouterr()))

    return appeler


def lancer(*mots: str, **env: str) -> Fin:
    """La ligne de commande dans un vrai processus."""
    if not env:
        processus = lancer_un_programme(mots)
        out, err = processus.communicate(timeout=PLAFOND_S)
        return sans_trace(Fin(processus.returncode, out, err))
    fini = subprocess.run(
        [sys.executable, str(MODULE), *mots],
        capture_output=True, text=True, check=False, timeout=PLAFOND_S, env={**os.environ, "PYTHONDEVMODE": "", **env},
    )  # fmt: skip
    return sans_trace(Fin(fini.returncode, fini.stdout, fini.stderr))


def lignes_lues(chemin: Path | str) -> list[tuple[Any, ...]]:
    """(instant ms, o, h, l, c, v) de chaque ligne d'une sortie."""
    table = module.lire(chemin)
    instants = table["timestamp"].cast("int64").to_pylist()
    return list(zip(instants, *(table[nom].to_pylist() for nom in module.VALEURS_OHLCV), strict=True))


# La première commande du propriétaire


def test_la_premiere_commande_du_proprietaire_marche_telle_quelle(dossier: Path) -> None:
    """Au caractère près, plus `--hors-ligne` : un mois entier, sans réseau ni clé ; relancée, rien ne bouge."""
    commande = shlex.split(
        "--exchange binance --symbole BTC/USDT --timeframe 1m   --date-debut 2024-01-01 --date-fin 2024-02-01 "
        "--format parquet"
    )
    fin = lancer(*commande, "--hors-ligne")
    assert (fin.code, fin.out) == (0, ""), fin.err
    (nom,) = fichiers(dossier)
    assert nom == "donnees/binance_spot_BTC-USDT_1m.parquet"
    instants = [ligne[0] for ligne in lignes_lues(nom)]
    assert instants == list(range(1_704_067_200_000, 1_706_745_600_000, MINUTE))
    assert "l'exchange embarqué imite binance ; ses prix sont inventés" in fin.err
    assert "Terminé : 44640 lignes nouvelles, de 2024-01-01T00:00Z à 2024-02-01T00:00Z, 0 trou, " in fin.err
    avant = (Path(nom).read_bytes(), Path(nom).stat().st_mtime_ns)
    relance = lancer(*commande, "--hors-ligne")
    assert relance.code == 0
    assert "Terminé : 0 ligne nouvelle" in relance.err
    assert (Path(nom).read_bytes(), Path(nom).stat().st_mtime_ns) == avant
    assert fichiers(dossier) == [nom]


# Ce qui sort, selon le format, le timeframe, le prix


@pytest.mark.parametrize("nom", ["a.csv", "a.parquet", "a.feather", "a.sqlite", "sous/dossier/a.csv.gz"])
def test_chaque_format_rend_l_oracle(cli: Callable[..., Fin], bourse: Bourse, dossier: Path, nom: str) -> None:
    """Mêmes lignes dans les quatre formats ; ni journal ni fichier temporaire après ; rien sur stdout."""
    options = ("--compression", "gzip") if nom.endswith(".gz") else ()
    fin = cli("--symbole", "BTC/USDT", *HEURE_LUE, "--sortie", nom, *options)
    assert (fin.code, fin.out) == (0, "")
    assert lignes_lues(nom) == bourse.attendu("binance", "BTC/USDT", "1m", DEBUT, DEBUT + HEURE)
    attendus = {nom} | ({f"{nom}.fiche.json"} if ".csv" in nom else set())
    assert set(fichiers(dossier)) == attendus


class Cas(NamedTuple):
    """Une série à demander."""

    exchange: str
    mots: str
    symbole: str
    timeframe: str
    prix: str


@pytest.mark.parametrize(
    "cas",
    [
        Cas("binance", "", "BTC/USDT", "5m", "last"),
        Cas("binance", "", "ETH/USDT", "1h", "last"),
        Cas("binance", "", "BTC/USDT", "1d", "last"),
        Cas("binance", "", "BTC/USDT", "1w", "last"),
        Cas("binance", "", "BTC/USDT", "1M", "last"),
        Cas("binance", "--type-marche swap", "BTC/USDT:USDT", "15m", "mark"),
        Cas("binance", "--type-marche swap", "BTC/USD:BTC", "1h", "index"),
        Cas("okx", "--type-marche swap --sous-type linear", "BTC/USDT:USDT", "1h", "mark"),
        Cas("okx", "", "BTC/USDT", "1m", "last"),
        Cas("bybit", "--type-marche future --sous-type inverse", "BTC/USD:BTC", "1h", "last"),
        Cas("bybit", "--type-marche swap", "BTC/USDT:USDT", "4h", "index"),
    ],
)
def test_timeframes_et_prix(cli: Callable[..., Fin], bourse: Bourse, cas: Cas) -> None:
    """Chaque timeframe, chaque prix, chez chacun : exactement ce que l'exchange sert."""
    pas = module.Timeframe.lire(cas.timeframe)
    fin_ms = pas.plancher(DEBUT)
    debut_ms = pas.avancer(fin_ms, -6)
    fin = cli(
        *cas.mots.split(), "--symbole", cas.symbole, "--timeframe", cas.timeframe, "--prix-ohlcv", cas.prix,
        "--date-debut", module.en_iso(debut_ms), "--date-fin", module.en_iso(fin_ms), "--sortie", "a.csv",
        exchange=cas.exchange,
    )  # fmt: skip
    assert fin.code == 0, fin.err
    prix: Any = cas.prix
    assert lignes_lues("a.csv") == bourse.attendu(cas.exchange, cas.symbole, cas.timeframe, debut_ms, fin_ms, prix)
    assert len(lignes_lues("a.csv")) == 6


def test_le_refus_d_un_timeframe_se_dit_avant_que_rien_ne_soit_ecrit(cli: Callable[..., Fin], dossier: Path) -> None:
    """Le second nom est celui d'un autre contenu : le premier n'est pas téléchargé, et la phrase est dite une fois."""
    assert cli("--symbole", "BTC/USDT", "--timeframe", "1h", *HEURE_LUE, "--sortie", "a_5m.csv").code == 0
    avant = fichiers(dossier)
    fin = cli("--symbole", "BTC/USDT", "--timeframes", "1m,5m", *HEURE_LUE, "--sortie", "a_{timeframe}.csv")
    assert fin.code == 2
    assert fichiers(dossier) == avant
    assert fin.err.count("ERROR") == 1


def test_une_base_de_plusieurs_timeframes_ne_pese_qu_une_fois(cli: Callable[..., Fin], dossier: Path) -> None:
    mots = ("--symbole", "BTC/USDT", "--timeframes", "1m,5m", *HEURE_LUE, "--sortie", "a.sqlite", "--bilan", "b.json")
    assert cli(*mots).code == 0
    assert json.loads(Path("b.json").read_text())["octets"] == (dossier / "a.sqlite").stat().st_size


def test_le_bilan_de_plusieurs_timeframes_dit_lequel_est_lequel(cli: Callable[..., Fin]) -> None:
    """Chaque série a le sien, chaque fichier son bilan ; sans cela, deux séries d'un symbole y seraient les mêmes."""
    mots = ("--symbole", "BTC/USDT", "--timeframes", "1m,5m", *HEURE_LUE, "--sortie", "{timeframe}.csv")
    assert cli(*mots, "--bilan", "b.json").code == 0
    bilan = json.loads(Path("b.json").read_text())
    assert [(s["timeframe"], s["lignes_nouvelles"]) for s in bilan["series"]] == [("1m", 60), ("5m", 12)]
    assert [(p["sortie"], p["lignes_nouvelles"]) for p in bilan["parties"]] == [("1m.csv", 60), ("5m.csv", 12)]


def test_un_timeframe_empeche_le_dit_dans_son_bilan(cli: Callable[..., Fin], dossier: Path) -> None:
    """Le premier est fait, et le reste ; le second n'a ni le code ni le silence d'un succès."""
    mots = ("--symbole", "BTC/USDT", "--timeframes", "1m,5m", *HEURE_LUE, "--sortie", "{timeframe}.csv")
    verrou = module.Verrou(dossier / "5m.csv")
    verrou.prendre()
    try:
        fin = cli(*mots, "--bilan", "b.json")
    finally:
        verrou.rendre()
    bilan = json.loads(Path("b.json").read_text())
    assert fin.code == bilan["code"] == 75
    assert [(p["sortie"], p["code"]) for p in bilan["parties"]] == [("1m.csv", 0), ("5m.csv", 75)]
    assert [p["message"] for p in bilan["parties"]] == ["", bilan["message"]]


def test_un_signal_ne_change_pas_le_code_d_un_timeframe_deja_fini() -> None:
    def partie(etat: str) -> module.Bilan:
        return module.Bilan("binance", series=[module.BilanSerie("BTC/USDT", etat)])

    bilan = module.Bilan("binance", parties=[partie("complete"), partie("interrompue")])
    bilan.interrompre(143, "interrompu par SIGTERM")
    assert [(p.code, p.message) for p in bilan.parties] == [(0, ""), (143, "interrompu par SIGTERM")]


def test_le_nom_par_defaut_est_stable_et_propre_a_la_demande(cli: Callable[..., Fin], dossier: Path) -> None:
    """Même commande, même fichier ; un autre symbole, un autre timeframe, un autre prix : un autre fichier."""
    swap = ("--type-marche", "swap")
    for mots in (
        ("--symbole", "BTC/USDT"),
        ("--symbole", "BTC/USDT", "--timeframe", "5m"),
        ("--symbols", "ETH/USDT,BTC/USDT"),
        ("--symbole", "BTC/USDT:USDT", *swap),
        ("--symbole", "BTC/USDT:USDT", *swap, "--prix-ohlcv", "mark"),
        ("--symbole", "BTC/USDT"),
    ):
        assert cli(*mots, *HEURE_LUE, "--format", "feather").code == 0
    assert fichiers(dossier) == [
        "donnees/binance_spot_BTC-USDT+ETH-USDT_1m.feather",
        "donnees/binance_spot_BTC-USDT_1m.feather",
        "donnees/binance_spot_BTC-USDT_5m.feather",
        "donnees/binance_swap_BTC-USDT_USDT_1m.feather",
        "donnees/binance_swap_BTC-USDT_USDT_1m_mark.feather",
    ]


def test_un_seul_timeframe_se_met_aussi_dans_le_nom(cli: Callable[..., Fin], dossier: Path) -> None:
    assert cli("--symbole", "BTC/USDT", *HEURE_LUE, "--timeframe", "5m", "--sortie", "d_{timeframe}.csv").code == 0
    assert fichiers(dossier) == ["d_5m.csv", "d_5m.csv.fiche.json"]


@pytest.mark.parametrize(
    ("option", "valeur", "phrase"),
    [
        ("--duree", "5", "« --duree » ne sert qu'avec --stream."),
        ("--flush", "5", "« --flush » ne sert qu'avec --stream."),
        ("--silence", "5", "« --silence » ne sert qu'avec --stream."),
        ("--profondeur", "5", "« --profondeur » ne sert qu'avec --stream orderbook."),
        ("--sqlite-table", "minutes", "« --sqlite-table » ne sert qu'avec --format sqlite."),
        ("--bougies-vides", "reporter", "« --bougies-vides » ne sert qu'avec --trades-vers-ohlcv."),
    ],
)
def test_une_option_sans_objet_se_dit(cli: Callable[..., Fin], option: str, valeur: str, phrase: str) -> None:
    """Une durée ne borne pas un historique : rien n'est refusé, mais c'est dit, si elle est donnée."""
    assert phrase in cli("--symbole", "BTC/USDT", *HEURE_LUE, "--sortie", "a.csv", option, valeur).err
    assert "ne sert qu'avec" not in cli("--symbole", "BTC/USDT", *HEURE_LUE, "--sortie", "a.csv").err
    assert "ne sert qu'avec" not in cli("--verifier", "a.csv", option, valeur, exchange=None).err


@pytest.mark.parametrize(
    ("mots", "dit"),
    [
        ("--stream trades --timeframe 5m", True),
        ("--stream trades --timeframe 5m --trades-vers-ohlcv", False),
        ("--donnee funding --timeframe 8h", True),
        ("--donnee open_interest --timeframe 1h", False),
        ("--stream ticker", False),
    ],
)
def test_un_timeframe_sans_objet_se_dit(mots: str, dit: bool, caplog: pytest.LogCaptureFixture) -> None:
    """Oublier --trades-vers-ohlcv rendait des trades, sans un mot sur le timeframe demandé."""
    tache, _ = module.lire_arguments(["--symbole", "BTC/USDT:USDT", *mots.split()])
    with caplog.at_level("WARNING", module.journal.name):
        remarques.dire_les_sans_objet(tache)
    assert ("« --timeframe » ne sert qu'avec" in caplog.text) == dit


def test_un_mot_en_trop_n_est_pas_une_option(cli: Callable[..., Fin]) -> None:
    fin = cli("--symbole", "BTC/USDT", "ETH/USDT", exchange=None)
    assert fin.code == 2
    assert "« ETH/USDT » est en trop" in fin.err
    assert "option inconnue" not in fin.err


def test_une_option_donnee_deux_fois_se_dit(cli: Callable[..., Fin]) -> None:
    """La dernière l'emporte, comme partout ; de deux symboles, l'un serait oublié en silence, code 0."""
    fin = cli("--symbole", "BTC/USDT", *HEURE_LUE, "--sortie", "a.csv", "--symbole", "ETH/USDT")
    assert "« --symbole » est donné plusieurs fois : seul le dernier compte" in fin.err
    assert "--symbols A,B" in fin.err
    fin = cli("--symbols", "BTC/USDT", *HEURE_LUE, "--sortie", "b.csv", "--symboles", "ETH/USDT")
    assert "« --symbols » est donné plusieurs fois" in fin.err
    assert "plusieurs fois" not in cli("--symbole", "ETH/USDT", *HEURE_LUE, "--sortie", "a.csv").err


def test_un_debut_relatif_s_ecrit_en_deux_mots(cli: Callable[..., Fin]) -> None:
    """`--date-debut -2h`, sans `=` ni guillemets : de deux heures avant à la dernière bougie close.

    La précédente n'est pas encore tenue pour close dans les deux premières secondes d'une minute.
    """
    avant = int(time.time() * 1000)
    assert cli("--symbole", "BTC/USDT", "--date-debut", "-2h", "--sortie", "a.csv").code == 0
    apres = int(time.time() * 1000)
    instants = [ligne[0] for ligne in lignes_lues("a.csv")]
    assert avant - 2 * HEURE <= instants[0] < apres - 2 * HEURE + MINUTE
    assert avant - 2 * MINUTE - 2000 <= instants[-1] <= apres - MINUTE
    assert instants == list(range(instants[0], instants[-1] + 1, MINUTE))


def test_sans_dates_la_page_la_plus_recente(cli: Callable[..., Fin], bourse: Bourse) -> None:
    """`--limite` bougies, la dernière close ; relancée, la suite seulement."""
    assert cli("--symbole", "BTC/USDT", "--limite", "50", "--sortie", "a.csv").code == 0
    assert len(lignes_lues("a.csv")) == 50
    bourse.requetes.clear()
    assert cli("--symbole", "BTC/USDT", "--limite", "50", "--sortie", "a.csv").code == 0
    assert bourse.compter("klines") <= 2


# Demandes refusées : code 2, un message, rien d'écrit

REFUS: list[tuple[tuple[str, ...], str]] = [
    ((), "--symbole : un symbole est demandé (exemple : BTC/USDT). L'aide : --help."),
    (("--symbole", ""), "--symbole : un texte non vide est attendu. L'aide : --help."),
    (("--symbole",), "--symbole attend une valeur. L'aide : --help."),
    (("--symbole", "A/B", "--symbols", "C/D"), "ne vont pas ensemble : gardez l'un des deux"),
    (("--symbole", "A/B", "--simbole", "x"), "--simbole : option inconnue. Vouliez-vous dire « --symbole » ?"),
    (("--symbole", "A/B", "--symbol", "x"), "inconnue. Vouliez-vous dire « --symbols », « --symbole » ?"),
    (("--symbole", "A/B", "--timeframe", "1x"), "« 1x » n'est pas un timeframe"),
    (("--symbole", "A/B", "--date-debut", "hier"), "--date-debut : « hier » n'est pas un instant"),
    (("--symbole", "A/B", "--date-debut", "-7d"), "--date-debut : « -7d » n'est pas un instant"),
    (("--symbole", "A/B", "--date-debut", "-1.5h"), "--date-debut : « -1.5h » n'est pas un instant"),
    (("--symbole", "A/B", "--date-debut", "2199-01-01"), "2199-01-01T00:00Z est dans le futur"),
    (("--symbole", "A/B", "--date-debut", "2024-02-01", "--date-fin", "2024-01-01"), "n'est pas après date_debut"),
    (("--symbole", "A/B", "--limite", "0"), "--limite : 0 n'est pas entre 1 et"),
    (("--symbole", "A/B", "--concurrence", "-3"), "--concurrence : -3 n'est pas entre 1 et 64"),
    (("--symbole", "A/B", "--essais", "beaucoup"), "--essais : un entier est attendu, pas « beaucoup »"),
    (("--symbole", "A/B", "--grace", "x"), "--grace : un nombre de secondes est attendu"),
    (("--symbole", "A/B", "--proxy", "hote:80"), "--proxy : une URL http://, https:// ou socks5:// est attendue"),
    (("--symbole", "A/B", "--format", "xlsx"), "--format : « xlsx » n'est pas permis (choix : csv, parquet,"),
    (("--symbole", "A/B", "--compression", "brotli"), "« brotli » n'existe pas en csv (choix : none, gzip)"),
    (("--symbole", "A/B", "--sqlite-table", "a-b"), "--sqlite-table : « a-b » n'est pas un nom de table"),
    (("--symbole", "A/B", "--options", "{"), "--options : un objet JSON est attendu"),
    (("--symbole", "A/B", "--config-ccxt", "@absent"), "--config-ccxt : « absent » ne se lit pas"),
    (("--symbole", "A/B", "--type-marche", "perp"), "--type-marche : « perp » n'est pas permis (choix : spot,"),
    (("--symbole", "A/B", "--prix-ohlcv", "marque"), "--prix-ohlcv : « marque » n'est pas permis (choix : last,"),
    (("--symbole", "A/B", "--journal", "bavard"), "--journal : « bavard » n'est pas permis"),
    (("--symbole", "A/B", "--lister", "tout"), "--lister : « tout » n'est pas permis"),
    (("--symbole", "A/B", "--exchange", "binnance"), "Exchange inconnu : « binnance ». Vouliez-vous dire « binance »"),
    (("--symbole", "A/B", "--timeframe", "7m"), "Timeframe inconnu de binance : « 7m ». Il sert : 1s, 1m, 3m,"),
    (("--symbole", "A/B", "--exchange", "kraken", "--prix-ohlcv", "mark"), "kraken ne sert pas de bougies au prix"),
    (("--symbole", "A/B", "--exchange", "kraken", "--sandbox"), "kraken n'a pas de banc d'essai officiel"),
    (("--symbole", "A/B", "--exchange", "coinbase", "--hors-ligne"), "ne sait pas imiter « coinbase ». Il imite :"),
    (("--symbole", "A/B", "--sortie", "a.csv", "--bilan", "a.csv"), "--bilan : c'est aussi --sortie, qu'il écraserait"),
    (("--symbole", "A/B", "--sortie", "d/a.csv", "--bilan", "./d/../d/a.csv"), "--bilan : c'est aussi --sortie"),
    (("--symbole", "A/B", "--timeframes", "1m,1h", "--sortie", "{timeframe}.csv", "--bilan", "1h.csv"),
     "--bilan : c'est aussi --sortie, qu'il écraserait"),
    (("--symbole", "A/B", "--api-secret", "abc"), "--api-secret : option inconnue"),
    (("--symbole", "A/B", "bonjour"), "« bonjour » est en trop"),
]


@pytest.mark.parametrize(("mots", "message"), REFUS)
def test_une_mauvaise_demande_est_refusee_en_une_phrase(
    cli: Callable[..., Fin], dossier: Path, mots: tuple[str, ...], message: str
) -> None:
    """Code 2, une seule ligne sur stderr, rien sur stdout, rien d'écrit, aucune requête."""
    fin = cli(*mots, exchange=None)
    assert (fin.code, fin.out) == (2, "")
    assert message in fin.err
    assert fin.err.count("\n") == 1
    assert " ERROR " in fin.err
    assert list(dossier.iterdir()) == []


@pytest.mark.parametrize(
    ("exchange", "mots", "message"),
    [
        ("binance", "BTC/USTD", "« BTC/USTD » sur binance (spot). Vouliez-vous dire « BTC/USDT »"),
        ("binance", "QQQ/ZZZ", "Symbole inconnu : « QQQ/ZZZ » sur binance (spot)"),
        ("binance", "BTC/USDT --prix-ohlcv mark", "« BTC/USDT » est au comptant : il n'a pas de prix « mark »"),
        ("okx", "BTC/USD --type-marche swap --sous-type linear", "Symbole inconnu : « BTC/USD » sur okx (swap linear)"),
        ("kraken", "BTC/USDT:USDT", "Symbole inconnu : « BTC/USDT:USDT » sur kraken"),
    ],
)
def test_un_symbole_refuse_l_est_avant_toute_ecriture(
    cli: Callable[..., Fin], bourse: Bourse, dossier: Path, exchange: str, mots: str, message: str
) -> None:
    """Après lecture des marchés, sans demander une bougie, avec les plus proches."""
    fin = cli("--symbole", *mots.split(), *HEURE_LUE, exchange=exchange)
    assert (fin.code, fin.out) == (2, ""), fin.err
    assert message in fin.err
    assert list(dossier.iterdir()) == []
    assert bourse.compter("klines") + bourse.compter("candles") + bourse.compter("OHLC") == 0


def test_toutes_les_fautes_en_une_fois(cli: Callable[..., Fin]) -> None:
    """Trois fautes, trois lignes, un seul conseil à la fin."""
    fin = cli("--limite", "x", "--timefram", "1m", exchange=None)
    assert fin.code == 2
    for faute in ("--timefram=… : option inconnue", "--limite : un entier", "--symbole : un symbole est demandé"):
        assert faute.split("=…")[0] in fin.err
    assert fin.err.count("L'aide : --help.") == 1


def test_la_valeur_d_une_option_inconnue_n_est_pas_repetee(cli: Callable[..., Fin]) -> None:
    """Une clé donnée par erreur en option ne finit pas dans le journal."""
    for mots in (("--api-secret", SECRET), (f"--api-secret={SECRET}",)):
        fin = cli("--symbole", "A/B", *mots, exchange=None)
        assert fin.code == 2
        assert SECRET not in fin.err


SANS = "import sys; sys.modules[{!r}] = None; import module_ccxt_fr_v2 as m; sys.exit(m.principal(sys.argv[1:]))"


@pytest.mark.parametrize(
    ("absent", "mots", "dit"),
    [
        ("pyarrow", (), "demande « pyarrow »"),
        ("ccxt", (), "Parler à un exchange demande « ccxt »"),
        ("ccxt.pro", ("--stream", "trades", "--duree", "1"), "Parler à un exchange demande « ccxt »"),
    ],
)
def test_une_bibliotheque_absente_est_dite(dossier: Path, absent: str, mots: tuple[str, ...], dit: str) -> None:
    """Ce qui manque, pour quoi, et la commande qui l'installe ; code 2, rien d'écrit, pas de trace."""
    commande = [sys.executable, "-c", SANS.format(absent), "--symbole", "BTC/USDT", "--hors-ligne", *mots]
    milieu = {**os.environ, "PYTHONPATH": str(MODULE.parent)}
    fini = subprocess.run(commande, capture_output=True, text=True, check=False, timeout=PLAFOND_S, env=milieu)
    fin = sans_trace(Fin(fini.returncode, fini.stdout, fini.stderr))
    assert (fin.code, fin.out) == (2, ""), fin.err
    assert dit in fin.err
    # Le Python qui a échoué, tout entier : « python » serait celui d'un autre environnement.
    assert f"{sys.executable} -m pip install --upgrade {absent.partition('.')[0]}" in fin.err
    assert fichiers(dossier) == []


def test_un_sqlite_trop_vieux_est_dit(cli: Callable[..., Fin], dossier: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """D'avant 3.24, il ne sait pas remplacer par clé : code 2, avant tout téléchargement ; les autres formats vont."""
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 22, 0))
    fin = cli("--symbole", "BTC/USDT", *HEURE_LUE, "--sortie", "a.sqlite")
    assert (fin.code, fin.out) == (2, "")
    assert "Écrire en SQLite demande SQLite 3.24" in fin.err
    assert "choisissez un autre format" in fin.err
    assert fichiers(dossier) == []
    assert cli("--symbole", "BTC/USDT", *HEURE_LUE, "--sortie", "a.csv").code == 0


def test_un_fichier_etranger_est_refuse_et_reste_intact(cli: Callable[..., Fin], dossier: Path) -> None:
    """Le CSV d'un autre outil, ou la série d'un autre exchange : code 2, et le message dit ce qu'il contient."""
    autre = dossier / "autre.csv"
    autre.write_text("date;prix\n2024;1\n")
    fin = cli("--symbole", "BTC/USDT", *HEURE_LUE, "--sortie", "autre.csv")
    assert fin.code == 2, fin.err
    assert autre.read_text() == "date;prix\n2024;1\n"
    assert cli("--symbole", "ETH/USDT", *HEURE_LUE, "--sortie", "eth.csv").code == 0
    avant = Path("eth.csv").read_bytes()
    fin = cli("--symbole", "ETH/USDT", *HEURE_LUE, "--sortie", "eth.csv", exchange="okx")
    assert fin.code == 2
    assert "ETH/USDT" in fin.err
    assert Path("eth.csv").read_bytes() == avant


def test_un_fichier_corrompu_est_mis_de_cote(cli: Callable[..., Fin], dossier: Path) -> None:
    """Illisible, il est gardé sous un autre nom et la commande fait son travail, code 0."""
    (dossier / "a.parquet").write_bytes(b"PAR1" + bytes(500))
    fin = cli("--symbole", "BTC/USDT", *HEURE_LUE, "--sortie", "a.parquet")
    assert fin.code == 0, fin.err
    assert len(lignes_lues("a.parquet")) == 60
    (cote,) = [nom for nom in fichiers(dossier) if nom != "a.parquet"]
    assert cote.startswith("a.parquet.corrompu-")
    assert (dossier / cote).read_bytes() == b"PAR1" + bytes(500)


def test_une_sortie_tenue_par_un_autre_rend_75(cli: Callable[..., Fin], dossier: Path) -> None:
    """Le message nomme le processus qui la tient."""
    verrou = module.Verrou(dossier / "a.csv")
    verrou.prendre()
    try:
        fin = cli("--symbole", "BTC/USDT", *HEURE_LUE, "--sortie", "a.csv")
    finally:
        verrou.rendre()
    assert fin.code == 75
    assert str(os.getpid()) in fin.err
    assert fichiers(dossier) == []


def test_un_dossier_impossible_est_dit(cli: Callable[..., Fin], dossier: Path) -> None:
    """Un fichier là où il faudrait un dossier : code 2, une phrase, rien d'abîmé."""
    (dossier / "fichier").write_text("x")
    fin = cli("--symbole", "BTC/USDT", *HEURE_LUE, "--sortie", "fichier/a.csv")
    assert fin.code == 2, fin.err
    assert "fichier" in fin.err
    assert fichiers(dossier) == ["fichier"]


@pytest.mark.posix
@pytest.mark.parametrize("option", ["--sortie", "--bilan"])
def test_ce_qui_n_est_pas_un_fichier_ordinaire_n_est_pas_remplace(
    vers: Callable[..., tuple[str, ...]], dossier: Path, option: str
) -> None:
    """Un tube ou un périphérique (`/dev/null`, `/dev/stdout`) : refusé, jamais attendu sans fin ni remplacé."""
    os.mkfifo(dossier / "tube")
    with demarrer(*vers("binance"), "--symbole", "BTC/USDT", *HEURE_LUE, option, "tube") as processus:
        _, err = processus.communicate(timeout=PLAFOND_S)
    assert processus.returncode == 2
    assert "« tube » n'est pas un fichier ordinaire" in sans_trace(Fin(2, "", err)).err
    assert (fichiers(dossier), (dossier / "tube").is_fifo()) == ([], True)  # rien n'a été téléchargé


@pytest.mark.posix
@pytest.mark.parametrize("option", ["--sortie", "--bilan"])
def test_un_lien_n_est_pas_remplace(cli: Callable[..., Fin], dossier: Path, option: str) -> None:
    """`/dev/stdout` d'un `> fichier` en est un : c'est le fichier qui est écrit."""
    (dossier / "visee").touch()
    (dossier / "lien").symlink_to("visee")
    fin = cli("--symbole", "BTC/USDT", *HEURE_LUE, option, "lien")
    assert fin.code == 0, fin.err
    assert (dossier / "lien").is_symlink()
    assert (dossier / "visee").stat().st_size > 500


@pytest.mark.parametrize("nom", ["donnees/binance_spot_BTC-USDT_1m.csv", "a.csv.fiche.json", "conf.json"])
def test_un_bilan_ne_remplace_qu_un_bilan(cli: Callable[..., Fin], dossier: Path, nom: str) -> None:
    """Le nom d'office d'une sortie, une fiche, une configuration : rien ne disait que c'en était, et c'était perdu."""
    (dossier / "conf.json").write_text('{"timeout": 3000}')
    demande = ("--symbole", "BTC/USDT", *HEURE_LUE, *(("--sortie", "a.csv") if nom.startswith("a.") else ()))
    for _ in range(2):
        assert cli(*demande, "--bilan", "b.json").code == 0
    avant = (dossier / nom).read_bytes()
    fin = cli(*demande, "--bilan", nom)
    assert (fin.code, (dossier / nom).read_bytes()) == (1, avant)
    assert f"« {nom} » n'est pas un compte rendu : il n'est pas remplacé" in fin.err


# Plusieurs symboles


def test_un_symbole_inconnu_n_arrete_pas_les_autres(cli: Callable[..., Fin]) -> None:
    """Code 3 : les autres sont écrits, le fautif est nommé avec le plus proche."""
    fin = cli("--symbols", "BTC/USDT,ETH/USTD,SOL/USDT", *HEURE_LUE, "--sortie", "a.parquet", "--bilan", "b.json")
    assert (fin.code, fin.out) == (3, ""), fin.err
    assert "Symbole inconnu : « ETH/USTD » sur binance (spot). Vouliez-vous dire « ETH/USDT »" in fin.err
    assert module.lire("a.parquet")["symbole"].to_pylist() == ["BTC/USDT"] * 60 + ["SOL/USDT"] * 60
    bilan = json.loads(Path("b.json").read_text())
    etats = {serie["symbole"]: serie["etat"] for serie in bilan["series"]}
    assert etats == {"BTC/USDT": "complete", "ETH/USTD": "refusee", "SOL/USDT": "complete"}
    assert bilan["code"] == 3


def test_tous_les_symboles_inconnus_rendent_2(cli: Callable[..., Fin], dossier: Path) -> None:
    """Chacun est nommé, avec les siens ; rien n'est écrit."""
    fin = cli("--symbols", "BTC/USTD,ETH/USTD", *HEURE_LUE)
    assert fin.code == 2
    assert "« BTC/USTD »" in fin.err
    assert "« ETH/USDT »" in fin.err
    assert list(dossier.iterdir()) == []


def test_un_symbole_en_echec_rend_1_et_les_autres_sont_ecrits(cli: Callable[..., Fin], bourse: Bourse) -> None:
    """Un 503 qui persiste sur un symbole : code 1 ; une relance, l'exchange guéri, complète."""
    bourse.pannes.ajouter(Panne("http", "klines", code=503, symbole="ETHUSDT"))
    mots = ("--symbols", "BTC/USDT,ETH/USDT", *HEURE_LUE, "--sortie", "a.csv", "--essais", "2")
    fin = cli(*mots)
    assert fin.code == 1
    assert "Bougies 1m d'ETH/USDT (binance)" in fin.err
    assert module.lire("a.csv")["symbole"].to_pylist() == ["BTC/USDT"] * 60
    bourse.pannes.vider()
    assert cli(*mots).code == 0
    assert module.lire("a.csv").num_rows == 120


# Partiel, échec


def test_ce_que_l_exchange_ne_sert_plus_est_dit(cli: Callable[..., Fin]) -> None:
    """Kraken ne sert que ses 720 dernières : code 3, demandé contre obtenu, et la raison."""
    fin = cli("--symbole", "BTC/USD", "--date-debut", "-2j", "--sortie", "a.csv", exchange="kraken")
    assert fin.code == 3, fin.err
    assert "hors_fenetre_api" in fin.err
    assert "l'exchange ne sert pas si loin en arrière" in fin.err
    assert 718 <= len(lignes_lues("a.csv")) <= 720


def test_avant_la_cotation_il_n_y_a_rien_a_ecrire(cli: Callable[..., Fin]) -> None:
    """Une plage d'avant la cotation : aucune ligne, code 0, et la raison dans le bilan."""
    fin = cli(
        "--symbole", "BTC/USDT", "--timeframe", "1d", "--date-debut", "2012-01-01", "--date-fin", "2012-03-01",
        "--sortie", "a.csv", "--bilan", "b.json",
    )  # fmt: skip
    assert fin.code == 0, fin.err
    (serie,) = json.loads(Path("b.json").read_text())["series"]
    assert [trou["raison"] for trou in serie["trous"]] == ["avant_cotation"]
    assert serie["lignes_recues"] == 0


def test_une_reponse_illisible_qui_persiste_est_un_echec(cli: Callable[..., Fin], bourse: Bourse) -> None:
    """Code 1, et pourquoi ; chaque nature et chaque exchange sont dans les promesses."""
    bourse.pannes.ajouter(Panne("html", "klines"))
    fin = cli("--symbole", "BTC/USDT", *HEURE_LUE, "--sortie", "a.csv", "--essais", "2")
    assert fin.code == 1
    assert "Réponse illisible (code 200" in fin.err


@pytest.mark.parametrize(("code", "conseil"), [(451, "--proxy"), (403, "--proxy"), (401, "API_KEY")])
def test_un_refus_definitif_porte_son_conseil(
    cli: Callable[..., Fin], bourse: Bourse, code: int, conseil: str
) -> None:
    """Pays refusé, clé refusée : jamais réessayé, code 1, que faire."""
    corps = '{"code":0,"msg":"Service unavailable from a restricted location"}' if code != 401 else '{"msg":"no"}'
    bourse.pannes.ajouter(Panne("http", "exchangeInfo", code=code, corps=corps))
    fin = cli("--symbole", "BTC/USDT", *HEURE_LUE)
    assert fin.code == 1
    assert conseil in fin.err
    assert len([requete for requete in bourse.requetes if "exchangeInfo" in requete.chemin]) == 1


# Journal, bilan, listes, simulation


def test_le_journal_d_erreur_se_tait_quand_tout_va_bien(cli: Callable[..., Fin]) -> None:
    assert cli("--symbole", "BTC/USDT", *HEURE_LUE, "--journal", "error") == (0, "", "")


def test_la_ligne_finale_dit_tout(cli: Callable[..., Fin]) -> None:
    """Lignes, intervalle, trous, requêtes, temps, fichier."""
    fin = cli("--symbole", "BTC/USDT", *HEURE_LUE, "--sortie", "a.csv")
    attendu = (
        r"Terminé : 60 lignes nouvelles, de 2024-03-05T10:00Z à 2024-03-05T11:00Z, 0 trou, \d+ requêtes, \S+ s, "
        r"a\.csv \(\S+ Ko\)\n$"
    )
    assert re.search(attendu, fin.err)


def test_le_bilan_cree_son_dossier_et_dit_le_vrai(cli: Callable[..., Fin]) -> None:
    fin = cli("--symbole", "BTC/USDT", *HEURE_LUE, "--sortie", "a.csv", "--bilan", "x/y/b.json")
    assert fin.code == 0
    bilan = json.loads(Path("x/y/b.json").read_text())
    attendu = {
        "exchange": "binance", "code": 0, "message": "", "sortie": "a.csv", "format": "csv", "lignes_recues": 60,
        "lignes_nouvelles": 60, "lignes_revisees": 0, "modifie": True,
    }  # fmt: skip
    assert {nom: bilan[nom] for nom in attendu} == attendu
    assert bilan["octets"] == Path("a.csv").stat().st_size
    assert bilan["outil"] == f"module_ccxt_fr_v2 {module.__version__}"
    assert bilan["series"][0]["demande"] == ["2024-03-05T10:00Z", "2024-03-05T11:00Z"]


def test_ce_qu_un_bilan_tue_a_laisse_part_au_suivant(cli: Callable[..., Fin], dossier: Path) -> None:
    """Nul verrou ne le garde : son âge dit qu'il est mort ; un autre, tout frais, s'écrit peut-être."""
    for numero, age_s in ((1, 7200.0), (2, 0.0)):
        (dossier / f"b.json.{numero}.tmp").touch()
        (dossier / f"r.html.{numero}.tmp").touch()
        for nom in (f"b.json.{numero}.tmp", f"r.html.{numero}.tmp"):
            os.utime(nom, (time.time() - age_s,) * 2)
    (dossier / "autre.json.1.tmp").touch()
    demande = ("--symbole", "BTC/USDT", *HEURE_LUE, "--sortie", "a.csv", "--bilan", "b.json", "--rapport", "r.html")
    assert cli(*demande).code == 0
    restes = sorted(fichier.name for fichier in dossier.glob("*.tmp"))
    assert restes == ["autre.json.1.tmp", "b.json.2.tmp", "r.html.2.tmp"]


@pytest.mark.parametrize(
    ("mots", "pannes", "code"),
    [
        (("--symbole", "BTC/USTD"), (), 2),
        (("--symbole", "BTC/USDT", "--timeframe", "7m"), (), 2),
        (("--symbole", "BTC/USDT", "--essais", "1"), (Panne("html", "klines"),), 1),
        (("--symbole", "BTC/USDT", "--essais", "1"), (Panne("html", "exchangeInfo"),), 1),
    ],
)
def test_le_bilan_existe_aussi_apres_un_echec(
    cli: Callable[..., Fin], bourse: Bourse, mots: tuple[str, ...], pannes: tuple[Panne, ...], code: int
) -> None:
    """Avec le code rendu et ce qui s'est passé."""
    for panne in pannes:
        bourse.pannes.ajouter(panne)
    fin = cli(*mots, *HEURE_LUE, "--bilan", "d/b.json")
    assert fin.code == code
    bilan = json.loads(Path("d/b.json").read_text())
    assert bilan["code"] == code
    assert bilan["exchange"] == "binance"
    assert bilan["message"] or bilan["series"][0]["message"]


def test_un_bilan_qui_ne_peut_etre_ecrit_est_dit(cli: Callable[..., Fin], dossier: Path) -> None:
    """La tâche a réussi, le bilan non : code 1, et les données sont là."""
    (dossier / f"b.json.{os.getpid()}.tmp").mkdir()  # là où il s'écrit d'abord
    fin = cli("--symbole", "BTC/USDT", *HEURE_LUE, "--sortie", "a.csv", "--bilan", "b.json")
    assert fin.code == 1
    assert "b.json" in fin.err
    assert len(lignes_lues("a.csv")) == 60


def test_lister_ecrit_sur_stdout(cli: Callable[..., Fin], dossier: Path) -> None:
    """Les listes sur stdout, un élément par ligne ; aucun symbole demandé ; rien d'écrit."""
    exchanges = cli("--lister", "exchanges", exchange=None)
    assert exchanges.code == 0
    assert {"binance", "kraken", "okx"} <= {ligne.partition(" ")[0] for ligne in exchanges.out.splitlines()}
    timeframes = cli("--lister", "timeframes")
    assert timeframes.out.splitlines()[:3] == ["1s", "1m", "3m"]
    marches = cli("--lister", "marches", exchange="okx")
    lignes = marches.out.splitlines()
    assert any(ligne.startswith("BTC/USDT:USDT\tswap linear\tactif\tcontrat de 0,01\tvolume : BTC") for ligne in lignes)
    assert any(ligne.startswith("BTC/USDT\tspot\tactif\tvolume : BTC") for ligne in lignes)
    assert list(dossier.iterdir()) == []


def test_un_tube_ferme_n_est_pas_une_trace() -> None:
    """`--lister exchanges | head` : le lecteur parti, la commande finit sans bruit."""
    with lancer_un_programme(["--lister", "exchanges"]) as processus:
        assert processus.stdout is not None
        assert processus.stderr is not None
        processus.stdout.close()
        assert processus.stderr.read() == ""
        assert processus.wait(PLAFOND_S) == 0


@pytest.mark.posix
@pytest.mark.parametrize(("suite", "code", "dit"), [(">&-", 0, ""), (">/dev/full", 1, "stdout"), ("2>&-", 0, "")])
def test_un_flux_ferme_ou_plein_n_est_pas_une_trace(suite: str, code: int, dit: str) -> None:
    """Sans stdout, sans stderr, ou sur un disque plein : une phrase s'il y a lieu, et le bon code."""
    if "full" in suite and not Path("/dev/full").exists():
        pytest.skip("ce système n'a pas de /dev/full")
    commande = f"{shlex.quote(sys.executable)} {shlex.quote(str(MODULE))} --lister exchanges {suite}"
    fini = subprocess.run(["/bin/sh", "-c", commande], capture_output=True, text=True, check=False, timeout=PLAFOND_S)
    assert fini.returncode == code, fini.stderr
    assert dit in sans_trace(Fin(fini.returncode, fini.stdout, fini.stderr)).err


def test_un_terminal_sans_accents_n_est_pas_une_trace() -> None:
    """Encodage ASCII : les accents sont échappés, l'aide et les fautes sortent quand même."""
    assert lancer("--help", PYTHONIOENCODING="ascii").code == 0
    assert "\\xe9" in lancer("--help", PYTHONIOENCODING="ascii").out
    fin = lancer("--symbole", "\udcff", "--timeframe", "7m", "--bilan", "b.json")
    assert fin.code == 2
    assert json.loads(Path("b.json").read_text())["code"] == 2


def test_la_barre_de_progression_ne_sort_que_sur_un_terminal(
    vers: Callable[..., tuple[str, ...]], bourse: Bourse
) -> None:
    """Sur un terminal, une barre sur stderr qui s'efface, puis la ligne finale ; stdout reste vide."""
    pty, termios = pytest.importorskip("pty"), pytest.importorskip("termios")
    bourse.latence_s = 0.05
    maitre, esclave = pty.openpty()
    termios.tcsetwinsize(esclave, (24, 120))  # tqdm se tait sur un terminal sans largeur
    mots = (*vers("binance"), "--symbole", "BTC/USDT", "--date-debut", "2024-01-01", "--date-fin", "2024-01-08")
    commande = [sys.executable, str(MODULE), *mots, "--sortie", "a.csv"]
    with subprocess.Popen(commande, stdout=subprocess.PIPE, stderr=esclave, text=True) as processus:
        os.close(esclave)
        ecran = b""
        with contextlib.suppress(OSError):  # fin de terminal
            while morceau := os.read(maitre, 65536):
                ecran += morceau
        out, _ = processus.communicate(timeout=PLAFOND_S)
    os.close(maitre)
    err = ecran.decode()
    assert (processus.returncode, out) == (0, ""), err
    assert "% |" in sans_trace(Fin(0, out, err)).err
    assert "Terminé : 10080 lignes nouvelles" in err


def test_la_simulation_n_ecrit_rien(cli: Callable[..., Fin], bourse: Bourse, dossier: Path) -> None:
    """Bornes, bougies, requêtes, durée et taille sur stdout ; aucune bougie demandée, aucun dossier créé."""
    fin = cli("--symbole", "BTC/USDT", "--date-debut", "2024-01-01", "--date-fin", "2024-01-02", "--simulation")
    assert fin.code == 0, fin.err
    assert "de 2024-01-01T00:00Z à 2024-01-02T00:00Z, 1440 bougies à demander, 2 requêtes, au moins " in fin.out
    assert "donnees/binance_spot_BTC-USDT_1m.csv" in fin.out
    assert list(dossier.iterdir()) == []
    assert bourse.compter("klines") == 0


def test_la_simulation_tient_compte_de_ce_qui_est_la(cli: Callable[..., Fin]) -> None:
    """Ce qui est déjà écrit n'est pas à demander, sauf les deux dernières bougies."""
    mots = ("--symbole", "BTC/USDT", "--sortie", "a.csv")
    assert cli(*mots, *HEURE_LUE).code == 0
    avant = Path("a.csv").stat().st_mtime_ns
    fin = cli(*mots, *HEURE_LUE, "--simulation")
    assert "2 bougies à demander, 1 requête" in fin.out
    assert Path("a.csv").stat().st_mtime_ns == avant


@pytest.fixture(scope="module")
def jeune() -> Iterator[Bourse]:
    """Deux mois après la cotation de SOL : prouver d'où part un marché n'y relit pas dix ans."""
    with Bourse(maintenant_ms=JEUNESSE, limites=False).en_fil() as ouverte:
        yield ouverte


JEUNESSE = 1_602_763_230_000  # 2020-10-15T12:00:30Z


@pytest.mark.parametrize(
    ("exchange", "demande", "marge"),
    [
        ("kraken", ("--symbole", "SOL/USD", "--timeframe", "1h", "--date-debut", "2020-08-20"), 1),  # 720 en tout
        ("kraken", ("--symbole", "SOL/USD", "--timeframe", "1h", "--date-debut", "2020-10-10"), 0),
        ("okx", ("--symbole", "SOL/USDT", "--timeframe", "1w", "--date-debut", "2020-09-01"), 0),  # son ancre
        ("bybit", ("--symbole", "SOL/USDT:USDT", "--timeframe", "1d", "--date-debut", "2020-06-01"), 2),  # sa cotation
    ],
)
def test_la_simulation_compte_les_requetes_que_la_tache_fera(
    jeune: Bourse, capsys: pytest.CaptureFixture[str], exchange: str, demande: tuple[str, ...], marge: int
) -> None:
    """Recul limité, preuve d'une cotation, ancre d'une grille : annoncé, puis fait ; relancé de même."""
    mots = [*commande(jeune, None, None, *demande, exchange=exchange), "--journal", "error"]
    for _ in range(2):
        assert module.principal([*mots, "--simulation"]) == 0
        dites = capsys.readouterr().out
        annoncees = int(re.findall(r"à demander, (\d+) requête", dites)[0])
        preparation = int(re.findall(r"Marchés et heure d(?:e |')\w+ : (\d+) requêtes, que la tâche refera", dites)[0])
        assert preparation >= 2
        assert module.principal([*mots, "--bilan", "b.json"]) in (0, 3)
        faites = json.loads(Path("b.json").read_text(encoding="utf-8"))["requetes"]
        assert abs(annoncees + preparation - faites) <= marge, (annoncees, preparation, faites)


def test_la_simulation_dit_ce_que_couterait_une_cotation_inconnue(
    jeune: Bourse, capsys: pytest.CaptureFixture[str]
) -> None:
    """Binance ne dit pas la cotation d'un marché au comptant ; ce que la sortie prouve déjà n'est plus à prouver."""
    demande = ("--symbole", "SOL/USDT", "--timeframe", "1h", "--date-debut", "2020-09-01", "--journal", "error")
    mots = commande(jeune, None, None, *demande)
    phrase = "Sa cotation n'est pas connue : si elle est plus récente que 2020-09-01T00:00Z, la prouver coûterait"
    assert module.principal([*mots, "--simulation"]) == 0
    assert phrase in capsys.readouterr().out
    assert module.principal(mots) == 0
    assert module.principal([*mots, "--simulation"]) == 0
    assert phrase not in capsys.readouterr().out


@pytest.fixture
def muet(tmp_path: Path) -> tuple[str, ...]:
    """Les mots qui mènent kraken où rien n'écoute."""
    config = {"urls": {"api": {"public": "http://127.0.0.1:1", "private": "http://127.0.0.1:1"}}}
    (tmp_path / "muet.json").write_text(json.dumps(config), encoding="utf-8")
    return ("--exchange", "kraken", "--config-ccxt", f"@{tmp_path / 'muet.json'}", "--simulation")


def test_la_simulation_se_passe_de_reseau_et_le_dit(
    cli: Callable[..., Fin], muet: tuple[str, ...], dossier: Path
) -> None:
    """Le disque et `features` suffisent à un symbole complet : mêmes requêtes que l'exchange présent."""
    demande = ("--symbole", "BTC/USD", "--timeframe", "1m", "--date-debut", "-2j")
    presente = cli(*demande, "--simulation", exchange="kraken")
    seule = cli(*muet, *demande, exchange=None)
    assert seule.code == 0, seule.err
    assert re.findall(r"à demander, (\d+) requêtes", seule.out) == re.findall(r"à demander, (\d+) req", presente.out)
    assert "La simulation s'en passe" in seule.err
    assert "ni leur cotation ne sont vérifiés" in seule.err
    assert "Nouvel essai" not in seule.err
    assert list(dossier.iterdir()) == []


@pytest.mark.parametrize("source", ["auto", "archives"])
def test_la_simulation_sans_reseau_dit_que_les_archives_ne_se_chiffrent_pas(
    cli: Callable[..., Fin], tmp_path: Path, source: str
) -> None:
    """Elle finissait en échec, là où sans `--source` elle sait répondre."""
    rien = "http://127.0.0.1:1"
    config = {"urls": {"api": {"public": rien, "sapi": rien, "fapiPublic": rien, "dapiPublic": rien}, "archives": rien}}
    (tmp_path / "muet.json").write_text(json.dumps(config), encoding="utf-8")
    muette = ("--config-ccxt", f"@{tmp_path / 'muet.json'}", "--symbole", "BTC/USDT", *HEURE_LUE, "--simulation")
    seule, api = cli(*muette, "--source", source, exchange=None), cli(*muette, exchange=None)
    assert (seule.code, seule.out) == (0, api.out)
    assert "les archives ne se chiffrent pas" in seule.err
    assert "archives" not in api.err


@pytest.mark.parametrize("mots", [("--symbole", "BTCUSD"), ("--symbole", "BTC/USD", "--donnee", "trades")])
def test_la_simulation_dit_quand_il_lui_faut_le_reseau(
    cli: Callable[..., Fin], muet: tuple[str, ...], mots: tuple[str, ...]
) -> None:
    """Un symbole à deviner, des trades à compter : l'erreur du réseau, code 1."""
    fin = cli(*muet, *mots, "--date-debut", "-1j", exchange=None)
    assert (fin.code, fin.out) == (1, "")
    assert "Liste des marchés de kraken" in fin.err


def test_version_et_aide_vont_sur_stdout(cli: Callable[..., Fin]) -> None:
    assert cli("--version", exchange=None) == (0, f"module_ccxt_fr_v2.py {module.__version__}\n", "")
    aide = cli("--help", exchange=None)
    assert (aide.code, aide.err) == (0, "")
    for mots in (("-h",), ("--aide",)):
        assert cli(*mots, exchange=None) == aide


def test_l_aide_est_tout_en_francais(cli: Callable[..., Fin]) -> None:
    """Aucun mot d'argparse n'y reste ; chaque option y est, avec son aide."""
    aide = cli("--help", exchange=None).out
    anglais = r"\b(usage|options:|optional|positional|arguments|show|this|message|exit|default|required|choose)\b"
    assert not re.search(anglais, aide.replace("--help", ""))
    assert aide.startswith("utilisation : module_ccxt_fr_v2.py")
    assert "\nmarché :\n" in aide
    assert not re.search(r"^ *[:;?]", aide, re.MULTILINE), "un signe double suit son mot"
    assert module.INSECABLE not in aide
    for nom in module.noms_options(module.Tache, module.OptionsExecution):
        assert module.drapeau(nom) in aide
    assert "75 sortie occupée" in aide


# Secrets


@pytest.mark.parametrize("ou", ["exchangeInfo", "klines"])
def test_les_cles_ne_sortent_nulle_part(
    cli: Callable[..., Fin], bourse: Bourse, dossier: Path, monkeypatch: pytest.MonkeyPatch, ou: str
) -> None:
    """Des clés dans l'environnement et le .env, un exchange qui les répète dans son erreur : ni journal, ni fichier."""
    monkeypatch.setenv("API_KEY", CLE)
    (dossier / ".env").write_text(f"BINANCE_API_SECRET={SECRET}\n")
    corps = json.dumps({"code": -2015, "msg": f"Invalid {CLE}, {SECRET}, signature=abcdef0123456789"})
    bourse.pannes.ajouter(Panne("http", ou, code=400, corps=corps))
    fin = cli("--symbole", "BTC/USDT", *HEURE_LUE, "--journal", "debug", "--bilan", "b.json", "--essais", "2")
    assert fin.code == 1
    assert "***" in fin.err
    ecrits = "".join((dossier / nom).read_text() for nom in fichiers(dossier) if nom != ".env")
    for prive in (CLE, SECRET, "abcdef0123456789"):
        assert prive not in fin.out + fin.err + ecrits


def test_le_journal_debug_tait_la_valeur_des_params(cli: Callable[..., Fin]) -> None:
    """`params` est déclaré secret : la demande est dite, leurs noms aussi, aucune de leurs valeurs."""
    params = json.dumps({"compte": "VALEUR-TRES-PRIVEE", "pin": 731})
    fin = cli("--symbole", "BTC/USDT", *HEURE_LUE, "--params", params, "--journal", "debug", "--sortie", "a.csv")
    (dite, *_) = [ligne for ligne in fin.err.splitlines() if "klines" in ligne]
    assert "symbol=BTCUSDT" in dite
    assert "compte=***" in dite
    assert "pin=***" in dite
    assert "VALEUR-TRES-PRIVEE" not in fin.err


def test_les_cles_propres_a_l_exchange_l_emportent(monkeypatch: pytest.MonkeyPatch, dossier: Path) -> None:
    """`OKX_API_KEY` avant `API_KEY` ; l'environnement avant le .env ; une valeur vide ne compte pas."""
    (dossier / ".env").write_text("API_KEY=commune\nAPI_SECRET=du-fichier\nOKX_API_UID=7\n")
    monkeypatch.setenv("OKX_API_KEY", "propre")
    monkeypatch.setenv("API_SECRET", "de-l-environnement")
    monkeypatch.setenv("API_PASSWORD", "")
    assert module.lire_identifiants("okx") == {"apiKey": "propre", "secret": "de-l-environnement", "uid": "7"}
    assert module.lire_identifiants("kraken") == {"apiKey": "commune", "secret": "de-l-environnement"}


@pytest.mark.parametrize(("contenu", "code"), [(b"API_KEY=\xff\xfe", 2), (b'une ligne folle "\n', 0)])
def test_un_env_abime_n_est_pas_une_trace(
    cli: Callable[..., Fin], dossier: Path, contenu: bytes, code: int
) -> None:
    """Illisible : dit, code 2 ; une ligne folle : ignorée, sans phrase anglaise de la bibliothèque."""
    (dossier / ".env").write_bytes(contenu)
    fin = cli("--symbole", "BTC/USDT", *HEURE_LUE, "--sortie", "a.csv")
    assert fin.code == code, fin.err
    assert ("« .env » ne se lit pas" in fin.err) == (code == 2)
    assert "dotenv" not in fin.err


def test_un_proxy_injoignable_ne_montre_pas_son_mot_de_passe(cli: Callable[..., Fin]) -> None:
    fin = cli("--symbole", "BTC/USDT", *HEURE_LUE, "--proxy", f"http://moi:{SECRET}@127.0.0.1:9", "--essais", "1")
    assert fin.code == 1
    assert "proxy injoignable" in fin.err
    assert SECRET not in fin.err


# Vrais processus : signaux, tubes, mode de développement


def test_un_vrai_processus_ne_laisse_rien_trainer(vers: Callable[..., tuple[str, ...]], bourse: Bourse) -> None:
    """En mode de développement de Python, une session ou un fichier oublié se plaindraient sur stderr."""
    mots = ("--symbole", "BTC/USDT", *HEURE_LUE, "--sortie", "a.csv", "--journal", "error")
    fin = lancer(*vers("binance"), *mots, PYTHONDEVMODE="1")
    assert (fin.code, fin.out) == (0, "")
    assert "module_ccxt_fr_v2" not in fin.err
    bourse.pannes.ajouter(Panne("http", "klines", code=451))
    fin = lancer(*vers("binance"), *mots[:-4], "--sortie", "b.csv", PYTHONDEVMODE="1", **PRIVES)
    assert fin.code == 1
    assert "PRIV" not in fin.err


@contextlib.contextmanager
def demarrer(*mots: str) -> Any:
    """La ligne de commande en cours d'exécution ; tuée si le test la laisse."""
    with lancer_un_programme(mots) as processus:
        try:
            yield processus
        finally:
            processus.kill()


@pytest.mark.posix
@pytest.mark.couvrant(numero=une_seule, nom=une_seule)
@pytest.mark.parametrize(("numero", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("nom", ["a.parquet", "a.sqlite"])
def test_un_signal_arrete_proprement(
    vers: Callable[..., tuple[str, ...]], bourse: Bourse, numero: signal.Signals, code: int, nom: str
) -> None:
    """En moins de 5 s, avec le code du signal ; tout le reçu est sur le disque, et la relance repart de là."""
    bourse.latence_s = 0.1
    dix_jours = ("--date-debut", "2024-01-01", "--date-fin", "2024-01-31")
    mots = (*vers("binance"), "--symbole", "BTC/USDT", *dix_jours, "--sortie", nom, "--bilan", "b.json")
    with demarrer(*mots, "--concurrence", "2") as processus:
        attendre(lambda: bourse.compter("klines") >= 12)
        with moins_de(5):
            processus.send_signal(numero)
            _, err = processus.communicate(timeout=PLAFOND_S)
    assert processus.returncode == code, err
    sans_trace(Fin(code, "", err))
    recues = lignes_lues(nom)
    debut = 1_704_067_200_000
    assert recues == bourse.attendu("binance", "BTC/USDT", "1m", debut, debut + len(recues) * MINUTE)
    # Deux requêtes étaient en vol, et deux pages au plus attendaient leur tour.
    assert len(recues) >= (bourse.compter("klines") - 4) * 1000
    assert json.loads(Path("b.json").read_text())["code"] == code
    bourse.latence_s = 0.0
    avant = bourse.compter("klines")
    assert module.principal(list(mots)) == 0
    assert len(lignes_lues(nom)) == 30 * 1440
    assert bourse.compter("klines") - avant <= 44 - len(recues) // 1000 + 3


@pytest.mark.parametrize(
    ("programme", "ou"), [("module_ccxt_fr_v2", "lire_arguments"), ("runner_ccxt_batch", "lot.lire_arguments_lot")]
)
@pytest.mark.parametrize(("numero", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_un_signal_d_avant_l_execution_finit_par_son_code(
    numero: signal.Signals, code: int, programme: str, ou: str
) -> None:
    """Dans la première demi-seconde, l'exécution ne garde pas encore les signaux : SIGTERM tuait, -15."""
    suite = f"""
import signal, sys
import {programme} as programme
programme.{ou} = lambda *_: signal.raise_signal({int(numero)})
sys.exit(programme.principal([]))
"""
    fini = subprocess.run([sys.executable, "-c", suite], cwd=MODULE.parent, capture_output=True, text=True, check=False)
    assert (fini.returncode, fini.stdout, fini.stderr) == (code, "", "")


@pytest.mark.posix
@pytest.mark.parametrize("programme", ["module_ccxt_fr_v2.py", "runner_ccxt_batch.py"])
def test_ctrl_c_pendant_les_imports_ne_montre_pas_de_trace(programme: str) -> None:
    """Rien n'est commencé : le processus meurt du signal, comme de SIGTERM ; ce qu'un shell ignorait le reste."""
    suite = """
import runpy, signal, sys
class Crochet:
    def find_spec(nom, *_):
        if nom == "decimal":
            signal.raise_signal(signal.SIGINT)
sys.meta_path.insert(0, Crochet)
signal.signal(signal.SIGINT, signal.{avant})
sys.argv = [{chemin!r}, "--version"]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
    for avant, code in (("default_int_handler", -signal.SIGINT), ("SIG_IGN", 0)):
        mots = [sys.executable, "-c", suite.format(avant=avant, chemin=str(MODULE.with_name(programme)))]
        fini = subprocess.run(mots, cwd=MODULE.parent, capture_output=True, text=True, check=False)
        assert (fini.returncode, fini.stderr) == (code, "")


@pytest.mark.parametrize("ou", ["annexe_ou_rien", "_sous_signaux"])
def test_un_signal_d_avant_le_depart_ne_montre_rien(ou: str) -> None:
    """« coroutine … was never awaited » : ce que Python dit d'une coroutine faite, et jamais commencée."""
    suite = f"""
import signal, sys
import module_ccxt_fr_v2 as programme
programme.{ou} = lambda *_: signal.raise_signal(signal.SIGINT)
sys.exit(programme.principal(["--hors-ligne", "--symbole", "BTC/USDT"]))
"""
    fini = subprocess.run([sys.executable, "-c", suite], cwd=MODULE.parent, capture_output=True, text=True, check=False)
    assert (fini.returncode, fini.stdout, fini.stderr) == (130, "", "")


@pytest.mark.posix
def test_un_signal_pendant_une_reponse_muette(
    vers: Callable[..., tuple[str, ...]], bourse: Bourse, dossier: Path
) -> None:
    """Rien n'est encore reçu, l'exchange se tait : l'arrêt est immédiat et ne laisse rien."""
    bourse.pannes.ajouter(Panne("muet", "exchangeInfo", delai_s=20.0))
    with demarrer(*vers("binance"), "--symbole", "BTC/USDT", *HEURE_LUE) as processus:
        attendre(lambda: bourse.compter("exchangeInfo") >= 1)
        with moins_de(5):
            processus.send_signal(signal.SIGTERM)
            out, err = processus.communicate(timeout=PLAFOND_S)
    assert (processus.returncode, out) == (143, "")
    assert "Interrompu par SIGTERM" in err
    sans_trace(Fin(143, out, err))
    assert list(dossier.iterdir()) == []
