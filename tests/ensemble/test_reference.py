"""La version de référence : son calcul, puis ses promesses face à l'exchange embarqué."""

from __future__ import annotations

import ast
import json
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ccxt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from marche_simule import SANS_LIMITEUR, marche_commun

import module_ccxt_fr as reference
from bourse_locale import Bourse, Panne

if TYPE_CHECKING:
    from collections.abc import Iterator

JOUR_MS = 86_400_000
MINUTE_MS = 60_000


def ms(texte: str) -> int:
    return reference.lire_instant(texte)


# Temps


@pytest.mark.parametrize(
    ("texte", "attendu"),
    [
        ("2024-01-01", 1_704_067_200_000),
        ("2024-01-01T00:00:00Z", 1_704_067_200_000),
        ("2024-01-01T01:00:00+01:00", 1_704_067_200_000),
        ("2024-01-01 00:00:00.250", 1_704_067_200_250),
        ("1704067200000", 1_704_067_200_000),
    ],
)
def test_une_date_se_lit_sous_toutes_ses_formes(texte: str, attendu: int) -> None:
    assert reference.lire_instant(texte) == attendu


def test_une_duree_se_compte_avant_maintenant() -> None:
    avant = int(time.time() * 1000)
    assert avant - 7 * JOUR_MS <= reference.lire_instant("-7j") <= int(time.time() * 1000) - 7 * JOUR_MS


@pytest.mark.parametrize("texte", ["", "hier", "2024-13-01", "-7x", "7j"])
def test_une_date_illisible_est_refusee(texte: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        reference.lire_instant(texte)


@pytest.mark.parametrize(
    ("timeframe", "ouverture", "apres"),
    [
        ("1m", "2024-02-28T23:59", "2024-02-29"),
        ("1w", "2024-01-01", "2024-01-08"),
        ("1M", "2024-01-01", "2024-02-01"),
        ("1M", "2024-02-01", "2024-03-01"),
        ("3M", "2023-10-01", "2024-01-01"),
        ("1M", "2024-01-31T16:00", "2024-02-29T16:00"),
    ],
)
def test_l_ouverture_suivante_suit_le_calendrier(timeframe: str, ouverture: str, apres: str) -> None:
    assert reference.suivante(ms(ouverture), timeframe) == ms(apres)


@given(
    debut=st.integers(min_value=0, max_value=4_000_000_000_000),
    timeframe=st.sampled_from(["1s", "1m", "15m", "1h", "12h", "1d", "1w", "1M", "3M"]),
)
def test_la_premiere_ouverture_est_la_plus_proche_a_partir_de_debut(debut: int, timeframe: str) -> None:
    premiere = reference.premiere_ouverture(debut, timeframe)
    plus_long = {"1M": 31 * JOUR_MS, "3M": 92 * JOUR_MS}.get(timeframe, reference.suivante(0, timeframe))
    assert debut <= premiere < debut + plus_long
    date = datetime.fromtimestamp(premiere / 1000, tz=UTC)
    assert timeframe != "1w" or (date.weekday(), premiere % JOUR_MS) == (0, 0)
    assert not timeframe.endswith("M") or (date.day, premiere % JOUR_MS) == (1, 0)


# Fichier

SERIE = ["binance", "BTC/USDT", "1m", "last"]


@given(st.dictionaries(st.integers(0, 4_000_000_000_000), st.tuples(*[st.floats(allow_nan=False)] * 5), max_size=5))
def test_le_csv_se_relit_tel_quel(
    tmp_path_factory: pytest.TempPathFactory, nombres: dict[int, tuple[float, ...]]
) -> None:
    chemin = tmp_path_factory.mktemp("csv") / "f.csv"
    bougies = {instant: tuple(map(repr, valeurs)) for instant, valeurs in nombres.items()}
    reference.ecrire_csv(chemin, SERIE, bougies)
    assert reference.lire_csv(chemin, SERIE) == bougies
    assert [fichier.name for fichier in chemin.parent.iterdir()] == ["f.csv"]


def test_le_csv_a_la_forme_du_contrat(tmp_path: Path) -> None:
    chemin = tmp_path / "sous" / "f.csv"
    reference.ecrire_csv(chemin, SERIE, {ms("2024-01-01"): ("42.0", "1e-08", "0.1", "0.3", "")})
    assert chemin.read_bytes() == (
        b"exchange,symbole,timeframe,prix,timestamp,open,high,low,close,volume\n"
        b"binance,BTC/USDT,1m,last,2024-01-01T00:00:00.000Z,42.0,1e-08,0.1,0.3,\n"
    )


@pytest.mark.parametrize("contenu", ["", "a,b\n1,2\n", ",".join(reference.COLONNES) + "\nokx,BTC/USDT,1m,last,,,,,,\n"])
def test_le_fichier_d_une_autre_serie_est_refuse_et_reste_intact(tmp_path: Path, contenu: str) -> None:
    chemin = tmp_path / "f.csv"
    chemin.write_text(contenu)
    with pytest.raises(reference.DemandeInvalideError, match=r"f\.csv n'est pas un CSV de la série binance"):
        reference.lire_csv(chemin, SERIE)
    assert chemin.read_text() == contenu


def test_un_disque_plein_laisse_l_ancien_fichier_intact(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chemin = tmp_path / "f.csv"
    reference.ecrire_csv(chemin, SERIE, {0: ("1.0",) * 5})
    avant = chemin.read_bytes()

    def refuser(_descripteur: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", refuser)
    with pytest.raises(OSError, match="No space"):
        reference.ecrire_csv(chemin, SERIE, {0: ("2.0",) * 5})
    assert chemin.read_bytes() == avant
    assert list(tmp_path.iterdir()) == [chemin]


# Forme


def test_elle_reste_courte_et_independante_de_la_v2() -> None:
    source = Path(reference.__file__).read_text(encoding="utf-8")
    assert len(source.splitlines()) <= 250
    noeuds = list(ast.walk(ast.parse(source)))
    importes = {alias.name for noeud in noeuds if isinstance(noeud, ast.Import) for alias in noeud.names}
    depuis = {str(noeud.module) for noeud in noeuds if isinstance(noeud, ast.ImportFrom)}
    assert "ccxt" in importes
    assert not any("v2" in nom or "bourse_locale" in nom for nom in importes | depuis)
    assert "paginate" not in source


# Pages


class ExchangeArrondi:
    """Sert les lundis à partir de since arrondi à la semaine de l'époque (un jeudi), comme ccxt le demande à bybit."""

    last_json_response = "lue"
    parse_timeframe = staticmethod(ccxt.Exchange.parse_timeframe)

    def fetch_ohlcv(self, _symbole: str, _timeframe: str, since: int, limite: int, _params: object) -> list[list[Any]]:
        """Rend une page."""
        premier = reference.premiere_ouverture(-(-since // (7 * JOUR_MS)) * 7 * JOUR_MS, "1w")
        return [[premier + rang * 7 * JOUR_MS, 1, 1, 1, 1, 1] for rang in range(limite)]


def test_un_since_arrondi_ne_perd_aucune_semaine() -> None:
    debut, fin = ms("2024-01-01"), ms("2024-12-30")
    lignes = list(reference.lire_pages(ExchangeArrondi(), ("BTC/USDT", "1w", 10, {}), debut, fin))
    assert [ligne[0] for ligne in lignes] == list(range(debut, fin, 7 * JOUR_MS))


# Contre l'exchange embarqué


@dataclass
class Essai:
    """Une ligne de commande de référence, branchée sur une bourse embarquée."""

    bourse: Bourse
    sortie: Path

    def lancer(self, exchange: str, *options: str) -> int:
        """Lance la commande et rend son code de sortie."""
        config = json.dumps({**self.bourse.config_ccxt(exchange), **SANS_LIMITEUR})
        fixes = ["--exchange", exchange, "--sortie", str(self.sortie), "--config-ccxt", config]
        return reference.principal([*fixes, *options])

    def vers_la_cotation(self, exchange: str, symbole: str) -> int:
        """Ramène la bourse un mois après la cotation, qu'elle rend : l'histoire d'après est longue à dire."""
        cotation = self.bourse.protocoles[exchange].par_symbole[symbole].cotation_ms
        self.bourse.avancer(cotation + 31 * JOUR_MS - self.bourse.maintenant_ms())
        return cotation

    def lignes(self) -> list[tuple[Any, ...]]:
        """Relit la sortie sous la forme de l'oracle."""
        champs = [ligne.split(",") for ligne in self.sortie.read_text().splitlines()[1:]]
        return [(ms(c[4]), *(float(nombre) if nombre else None for nombre in c[5:])) for c in champs]


@pytest.fixture
def essai(tmp_path: Path) -> Iterator[Essai]:
    bourse = Bourse(marche=marche_commun(), limites=False, maintenant_ms=ms("2025-03-01T00:00:30"))
    with bourse.en_fil():
        yield Essai(bourse, tmp_path / "sortie.csv")


@pytest.fixture
def attentes(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Les attentes demandées entre deux essais, sans attendre."""
    dormies: list[float] = []
    monkeypatch.setattr(reference, "time", type("Temps", (), {"time": time.time, "sleep": dormies.append}))
    return dormies


SERIES = [
    ("binance", "spot", "BTC/USDT", "1m", "last"),
    ("binance", "swap", "BTC/USDT:USDT", "1m", "mark"),
    ("binance", "swap", "BTC/USD:BTC", "1m", "last"),
    ("okx", "spot", "BTC/USDT", "1m", "last"),
    ("okx", "swap", "BTC/USDT:USDT", "1m", "mark"),
    ("okx", "swap", "BTC/USDT:USDT", "1m", "index"),
    ("bybit", "spot", "BTC/USDT", "1m", "last"),
    ("bybit", "swap", "BTC/USDT:USDT", "1m", "index"),
]


@pytest.mark.parametrize(("exchange", "type_marche", "symbole", "timeframe", "prix"), SERIES)
def test_elle_ecrit_exactement_ce_que_l_exchange_sert(
    essai: Essai, exchange: str, type_marche: str, symbole: str, timeframe: str, prix: Any
) -> None:
    debut, fin = "2024-06-01T12:00", "2024-06-02T15:30"
    options = ["--type-marche", type_marche, "--symbole", symbole, "--timeframe", timeframe, "--prix-ohlcv", prix]
    assert essai.lancer(exchange, *options, "--date-debut", debut, "--date-fin", fin) == 0
    assert essai.lignes() == essai.bourse.attendu(exchange, symbole, timeframe, ms(debut), ms(fin), prix)
    assert len(essai.lignes()) == 27 * 60 + 30


@pytest.mark.parametrize("exchange", ["binance", "okx", "bybit"])
@pytest.mark.parametrize(("timeframe", "nombre"), [("1w", 35), ("1M", 8), ("1d", 242)])
def test_semaines_et_mois_sont_ceux_du_calendrier(essai: Essai, exchange: str, timeframe: str, nombre: int) -> None:
    bornes = ["--date-debut", "2024-01-01", "--date-fin", "2024-08-30"]
    assert essai.lancer(exchange, "--symbole", "BTC/USDT", "--timeframe", timeframe, *bornes) == 0
    assert essai.lignes() == essai.bourse.attendu(exchange, "BTC/USDT", timeframe, ms(bornes[1]), ms(bornes[3]))
    assert len(essai.lignes()) == nombre


def test_kraken_ne_rend_que_ses_720_dernieres_et_elle_le_dit(essai: Essai) -> None:
    """Une réponse de kraken tient 720 bougies closes et celle en cours."""
    assert essai.lancer("kraken", "--symbole", "BTC/USD", "--date-debut", "2025-02-27") == 3
    minuit = ms("2025-03-01")
    assert essai.lignes() == essai.bourse.attendu("kraken", "BTC/USD", "1m", minuit - 720 * MINUTE_MS, minuit)
    assert len(essai.lignes()) == 720


def test_un_marche_pas_encore_cote_n_est_pas_un_historique_tronque(essai: Essai) -> None:
    cotation = essai.vers_la_cotation("binance", "BTC/USDT")
    bornes = ["--date-debut", str(cotation - JOUR_MS), "--date-fin", str(cotation + 3_600_000)]
    assert essai.lancer("binance", "--symbole", "BTC/USDT", *bornes) == 0
    assert [ligne[0] for ligne in essai.lignes()] == list(range(cotation, cotation + 3_600_000, MINUTE_MS))


def test_une_fenetre_vide_n_emporte_pas_le_debut_de_la_suivante(essai: Essai) -> None:
    """La classe okx borne une page de prix mark à 100 bougies, quoi que dise sa limite de 300."""
    cotation = essai.vers_la_cotation("okx", "BTC/USDT:USDT")
    options = ["--type-marche", "swap", "--symbole", "BTC/USDT:USDT", "--prix-ohlcv", "mark", "--limite", "300"]
    bornes = ["--date-debut", str(cotation - 120 * MINUTE_MS), "--date-fin", str(cotation + 300 * MINUTE_MS)]
    assert essai.lancer("okx", *options, *bornes) == 0
    assert [ligne[0] for ligne in essai.lignes()] == [cotation + rang * MINUTE_MS for rang in range(300)]


def test_la_bougie_en_cours_est_exclue_a_l_heure_de_l_exchange(essai: Essai) -> None:
    """L'heure locale est loin de celle de l'exchange : c'est celle-ci qui décide."""
    options = ["--symbole", "BTC/USDT", "--date-debut", "2025-02-28T23:00"]
    assert essai.lancer("binance", *options) == 0
    assert essai.lignes()[-1][0] == ms("2025-02-28T23:59")
    assert essai.lancer("binance", *options, "--inclure-bougie-courante") == 0
    assert essai.lignes()[-1][0] == ms("2025-03-01T00:00")


def test_relancer_ne_redemande_que_la_fin_et_ne_reecrit_rien(essai: Essai) -> None:
    options = ["--symbole", "BTC/USDT", "--date-debut", "2024-06-01", "--date-fin", "2024-06-03"]
    assert essai.lancer("binance", *options) == 0
    octets, date, pages = essai.sortie.read_bytes(), essai.sortie.stat().st_mtime_ns, essai.bourse.compter("klines")
    assert essai.lancer("binance", *options) == 0
    assert (essai.sortie.read_bytes(), essai.sortie.stat().st_mtime_ns) == (octets, date)
    assert (pages, essai.bourse.compter("klines")) == (3, 4)


def test_elargir_comble_avant_apres_et_dedans(essai: Essai) -> None:
    for debut, fin in [("2024-06-02", "2024-06-03"), ("2024-06-05", "2024-06-06"), ("2024-06-01", "2024-06-07")]:
        options = ["--symbole", "BTC/USDT", "--timeframe", "1h", "--date-debut", debut, "--date-fin", fin]
        assert essai.lancer("okx", *options) == 0
    assert essai.lignes() == essai.bourse.attendu("okx", "BTC/USDT", "1h", ms("2024-06-01"), ms("2024-06-07"))


def test_une_panne_passagere_se_reessaie(essai: Essai, attentes: list[float]) -> None:
    options = ["--symbole", "BTC/USDT", "--date-debut", "2024-06-01", "--date-fin", "2024-06-02"]
    for nature in ("http", "html", "json_coupe", "vide"):
        essai.bourse.pannes.ajouter(Panne(nature, "klines", fois=1))
    assert essai.lancer("binance", *options) == 0
    assert essai.lignes() == essai.bourse.attendu("binance", "BTC/USDT", "1m", ms("2024-06-01"), ms("2024-06-02"))
    assert attentes == [1, 2, 4, 8]


def test_un_echec_garde_ce_qui_est_recu_et_la_relance_en_repart(essai: Essai, attentes: list[float]) -> None:
    options = ["--symbole", "BTC/USDT", "--date-debut", "2024-06-01", "--date-fin", "2024-06-03"]
    panne = Panne("http", "klines", sauter=2, fois=reference.ESSAIS)
    essai.bourse.pannes.ajouter(panne)
    assert essai.lancer("binance", *options) == 1
    assert (len(essai.lignes()), len(attentes)) == (2000, reference.ESSAIS - 1)
    avant = essai.bourse.compter("klines")
    assert essai.lancer("binance", *options) == 0
    assert essai.bourse.compter("klines") == avant + 1
    assert len(essai.lignes()) == 2880


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--symbole", "BTC/USDX"], "symbole inconnu : « BTC/USDX »"),
        (["--symbole", "BTC/USDT", "--type-marche", "swap"], "BTC/USDT:USDT"),
        (["--symbole", "BTC/USDT", "--prix-ohlcv", "mark"], "symbole inconnu"),
        (["--symbole", "BTC/USDT", "--timeframe", "7m"], "timeframe inconnu : « 7m »"),
        (["--symbole", "BTC/USDT", "--date-debut", "2030-01-01"], "intervalle vide"),
        (["--symbole", "BTC/USDT", "--date-debut", "2024-01-02", "--date-fin", "2024-01-02"], "intervalle vide"),
    ],
)
def test_une_demande_invalide_sort_en_2_sans_rien_ecrire(
    essai: Essai, caplog: pytest.LogCaptureFixture, options: list[str], message: str
) -> None:
    assert essai.lancer("binance", *options) == 2
    assert message in caplog.text
    assert not essai.sortie.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "il manque: --symbole"),
        (["--symbole", "A/B", "--date-debut", "hier"], "option --date-debut: ni date ISO 8601"),
        (["--symbole", "A/B", "--limite", "x"], "option --limite: pas un entier"),
        (["--symbole", "A/B", "--params", "[1]"], "option --params: pas un objet JSON"),
        (["--symbole", "A/B", "--config-ccxt", "@absent.json"], "option --config-ccxt: pas un objet JSON"),
        (["--symbole", "A/B", "--prix-ohlcv", "milieu"], "inconnu"),
        (["--symbole", "A/B", "--bidule"], "options inconnues: --bidule"),
    ],
)
def test_une_ligne_de_commande_fautive_sort_en_2_en_francais(
    capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    with pytest.raises(SystemExit) as sortie:
        reference.principal(arguments)
    assert sortie.value.code == 2
    assert message in capsys.readouterr().err


def test_un_exchange_inconnu_ou_sans_la_serie_demandee_est_refuse(caplog: pytest.LogCaptureFixture) -> None:
    assert reference.principal(["--exchange", "binanse", "--symbole", "BTC/USDT"]) == 2
    assert "exchange inconnu : « binanse » ; permis : binance" in caplog.text
    assert reference.principal(["--exchange", "kraken", "--symbole", "BTC/USD", "--prix-ohlcv", "mark"]) == 2
    assert "prix OHLCV inconnu : « mark » ; permis : last" in caplog.text


def test_une_date_relative_s_ecrit_en_deux_mots(essai: Essai) -> None:
    """« --date-debut -7j » : la bourse est dans le passé, donc l'intervalle est vide, mais la date est comprise."""
    assert essai.lancer("binance", "--symbole", "BTC/USDT", "--date-debut", "-7j") == 2


def test_la_configuration_de_l_utilisateur_l_emporte(tmp_path: Path) -> None:
    fichier = tmp_path / "config.json"
    fichier.write_text('{"timeout": 5, "options": {"defaultType": "future"}}')
    options = reference.lire_options(["--symbole", "A/B", "--config-ccxt", f"@{fichier}", "--options", '{"a": 1}'])
    exchange = reference.ouvrir_exchange(options)
    assert (exchange.timeout, exchange.options["defaultType"], exchange.options["a"]) == (5, "future", 1)
    assert isinstance(exchange, ccxt.binance)
