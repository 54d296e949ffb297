"""Les flux par la ligne de commande : ce qui est sur le disque est ce que dit l'exchange, quoi qu'il arrive."""

from __future__ import annotations

import contextlib
import itertools
import json
import signal
import sqlite3
import time
from typing import TYPE_CHECKING, Any

import pyarrow.compute as pc
import pytest
from attente import moins_de
from couverture import une_seule
from flux_suivi import identifiant_de
from ligne_de_commande import EXTENSIONS, HEURE_BOURSE, commande, fiche, finir, jusqua, lancer, lignes, octets
from marche_simule import marche_commun
from temps_simule import temps_simule
from vrais_processus import condamner, tuer

import module_ccxt_fr_v2 as m
from bourse_locale import Bourse, Marche, Panne

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MINUTE = 60_000
ACCELERATION = 60  # une minute par seconde
# Trois façons d'écrire un flux : à la suite, par un journal fondu, en base. Feather a le journal de Parquet; qu'il le
# fonde est joué par `test_bougies_en_direct_dans_chaque_format` et, tué, par `test_tuer_un_flux` des écrivains.
MECANIQUES = ("csv", "parquet", "sqlite")


@pytest.fixture
def vive() -> Iterator[Bourse]:
    """Les quatre exchanges embarqués, à une minute par seconde ; au temps simulé pour ce que joue ce processus."""
    with temps_simule(), Bourse(marche=marche_commun(), limites=False, acceleration=ACCELERATION).en_fil() as ouverte:
        yield ouverte


def suivre(bourse: Bourse, sortie: Path, *mots: str, exchange: str = "binance") -> int:
    """Un flux, exécuté dans ce processus ; rend le code de sortie."""
    return m.principal(commande(bourse, sortie, None, *mots, exchange=exchange))


def oracle(bourse: Bourse, exchange: str, symbole: str, lues: list[Any]) -> list[Any]:
    """Ce que l'exchange dit de l'étendue de ces lignes."""
    attendu = bourse.attendu(exchange, symbole, "1m", lues[0][0], lues[-1][0] + MINUTE)
    return [ligne[:5] for ligne in attendu]


def est_vrai(bourse: Bourse, exchange: str, symbole: str, sortie: Path, au_moins: int = 1) -> None:
    """Les bougies de la sortie sont celles de l'exchange : mêmes minutes, mêmes prix, mêmes volumes."""
    lues = lignes(sortie, symbole)
    assert len(lues) >= au_moins
    assert [ligne[:5] for ligne in lues] == oracle(bourse, exchange, symbole, lues)
    volumes = [ligne[5] for ligne in bourse.attendu(exchange, symbole, "1m", lues[0][0], lues[-1][0] + MINUTE)]
    assert [ligne[5] for ligne in lues] == pytest.approx(volumes, rel=1e-9, abs=1e-7)


def trades_manquants(
    bourse: Bourse, exchange: str, symbole: str, sortie: Path, *, bords: bool = True
) -> tuple[set[str], set[str]]:
    """Les ids de l'étendue de la sortie qui y manquent, et ceux qui y sont en trop.

    Sans ses `bords` : d'autres trades partagent la milliseconde du premier et du dernier, qu'un arrêt laisse à relire.
    """
    table = m.lire(sortie)
    table = table.filter(pc.equal(table["symbole"], symbole))
    instants, ids = m.instants_de(table), table["id"].to_pylist()
    assert len(ids) == len(set(ids)), "un trade en double"
    assert instants == sorted(instants)
    instrument = bourse.protocoles[exchange].par_symbole[symbole]
    emis = {identifiant_de(exchange, instrument, t): t.ts
            for t in bourse.marche.trades(instrument, instants[0], instants[-1] + 1)}  # fmt: skip
    manquants = {ident for ident, ts in emis.items() if bords or instants[0] < ts < instants[-1]} - set(ids)
    return manquants, set(ids) - set(emis)


# Les exemples du propriétaire


def test_le_deuxieme_exemple_du_proprietaire(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bougies d'un contrat okx, dix minutes dans SQLite, telle quelle ; la durée est écourtée, rien d'autre."""
    monkeypatch.chdir(tmp_path)
    exemple = (
        "--exchange okx --type-marche swap --sous-type linear --symbole BTC/USDT:USDT --timeframe 1m --stream ohlcv "
        "--duree 600 --format sqlite --sqlite-table ohlcv_1m"
    )
    with temps_simule():
        assert m.principal([*exemple.split(), "--hors-ligne", "--duree", "5"]) == 0
    (sortie,) = (tmp_path / "donnees").glob("*.sqlite")
    table = m.lire(sortie, table="ohlcv_1m")
    instants = m.instants_de(table)
    assert len(instants) >= 3
    assert instants == list(range(instants[0], instants[-1] + 1, MINUTE))
    assert set(table["prix"].to_pylist()) == {"last"}


@pytest.mark.posix
def test_le_troisieme_exemple_du_proprietaire(tmp_path: Path) -> None:
    """Trades d'un contrat inverse de bybit agrégés en bougies, sans fin : un SIGTERM l'arrête, tout est écrit."""
    exemple = (
        "--exchange bybit --type-marche future --sous-type inverse --symbole BTC/USD:BTC --timeframe 1m "
        "--stream trades --trades-vers-ohlcv --sortie donnees/bybit_btc_1m_ohlcv.csv --flush 50"
    )
    sortie = tmp_path / "donnees" / "bybit_btc_1m_ohlcv.csv"
    processus = lancer([*exemple.split(), "--hors-ligne"], cwd=tmp_path)
    jusqua(lambda: sortie.exists() and sortie.read_text().count("\n") >= 4)
    processus.send_signal(signal.SIGTERM)
    code, erreurs = finir(processus)
    assert code == 143
    assert "Traceback" not in erreurs
    instants = [ligne[0] for ligne in lignes(sortie)]
    assert len(instants) >= 3
    assert instants == list(range(instants[0], instants[-1] + 1, MINUTE))


# Ce qui est écrit est vrai, dans chaque format


@pytest.mark.parametrize("format_", EXTENSIONS)
def test_bougies_en_direct_dans_chaque_format(vive: Bourse, tmp_path: Path, format_: str) -> None:
    """Deux symboles, une coupure : les quatre formats tiennent exactement ce que dit le REST."""
    sortie = tmp_path / f"flux{EXTENSIONS[format_]}"
    coupure = Panne("ws_reset", chemin="/okx/", fois=1, apres_s=2.5)
    vive.pannes.ajouter(coupure)
    symboles = ("BTC/USDT:USDT", "ETH/USDT:USDT")
    assert suivre(vive, sortie, "--symbols", ",".join(symboles), "--type-marche", "swap", "--stream", "ohlcv",
                  "--duree", "6", exchange="okx") == 0  # fmt: skip
    assert coupure.touchees == 1
    for symbole in symboles:
        est_vrai(vive, "okx", symbole, sortie, au_moins=4)
        assert [trou for trou in fiche(sortie, symbole).trous if trou.raison != m.SANS_TRANSACTION] == []


@pytest.mark.parametrize("format_", MECANIQUES)
def test_tuer_le_flux_puis_relancer_ne_perd_ni_ne_double_rien(vive: Bourse, tmp_path: Path, format_: str) -> None:
    """`kill -9` pendant le flux : la même commande relancée relit par REST le temps de sa mort."""
    sortie = tmp_path / f"flux{EXTENSIONS[format_]}"
    mots = ("--symbole", "BTC/USD", "--stream", "trades", "--flush", "5")
    arguments = commande(vive, sortie, None, *mots, exchange="kraken")
    tuer(condamner(arguments), lambda: octets(sortie) > 5000)
    vive.avancer(MINUTE)  # des trades passent sans lui
    assert m.principal([*arguments, "--duree", "3"]) == 0
    assert trades_manquants(vive, "kraken", "BTC/USD", sortie) == (set(), set())


@pytest.mark.parametrize("format_", ["csv", "sqlite"])  # où l'on voit la bougie fausse avant la fonte
def test_une_bougie_fausse_d_un_flux_tue_est_corrigee_a_la_relance(vive: Bourse, tmp_path: Path, format_: str) -> None:
    """Des trames avalées sans coupure, puis `kill -9` avant que le REST n'ait été relu."""
    sortie = tmp_path / f"flux{EXTENSIONS[format_]}"
    arguments = commande(vive, sortie, None, "--symbole", "BTC/USDT", "--stream", "ohlcv", "--flush", "1")

    def ecrites() -> list[Any]:
        try:
            return lignes(sortie, "BTC/USDT")
        except (OSError, m.ErreurCollecte):
            return []  # la sortie n'est pas encore née

    def fausse() -> bool:
        """Une bougie de la sortie n'est pas celle de l'exchange."""
        lues = ecrites()
        return bool(lues) and [ligne[:5] for ligne in lues] != oracle(vive, "binance", "BTC/USDT", lues)

    processus = condamner(arguments)
    jusqua(lambda: len(ecrites()) >= 4)  # trois fausses dès l'abord, et le flux ne serait plus cru : le REST seul
    avalees = vive.pannes.ajouter(Panne("ws_perdu", chemin="/binance/", canal="bougies", probabilite=0.6))
    tuer(processus, fausse)
    vive.pannes.retirer(avalees)
    assert m.principal([*arguments, "--duree", "3"]) == 0
    est_vrai(vive, "binance", "BTC/USDT", sortie, au_moins=4)


@pytest.mark.parametrize("exchange", ["binance", "okx"])
@pytest.mark.parametrize("format_", MECANIQUES)
def test_une_bougie_ecrite_que_le_rest_mort_ne_confirme_pas_est_provisoire(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], format_: str, exchange: str
) -> None:
    """Lue à peine close, le REST meurt avant de la redire : elle était en trou et au fichier, une faute."""
    sortie, chemin = tmp_path / f"flux{EXTENSIONS[format_]}", {"binance": "klines", "okx": "candles"}[exchange]
    mots = ("--stream", "ohlcv", "--essais", "1")
    neuve = Bourse(marche=marche_commun(), limites=False, maintenant_ms=HEURE_BOURSE, acceleration=ACCELERATION)
    with temps_simule(), neuve.en_fil() as bourse:
        mort = bourse.pannes.ajouter(Panne("html", chemin=chemin, sauter=1))
        muet = bourse.pannes.ajouter(Panne("ws_silence", chemin=f"/{exchange}/", apres_s=3))
        assert suivre(bourse, sortie, *mots, "--duree", "6", exchange=exchange) == 3
        assert "à confirmer « echec »" in capsys.readouterr().err
        assert m.verifier(sortie).constats == []
        ecrites = [(ligne[0], ligne[0] + MINUTE) for ligne in lignes(sortie)]
        assert m.croiser(ecrites, m.intervalles_de(fiche(sortie).provisoires, m.ECHEC)), "c'est ce cas"
        bourse.pannes.retirer(mort)
        bourse.pannes.retirer(muet)
        assert suivre(bourse, sortie, *mots, "--duree", "3", exchange=exchange) == 0
        assert fiche(sortie).provisoires == fiche(sortie).trous == []
        est_vrai(bourse, exchange, "BTC/USDT", sortie, au_moins=len(ecrites))


def test_une_bougie_fausse_d_avant_un_vide_est_corrigee_a_la_relance(vive: Bourse, tmp_path: Path) -> None:
    """Tué avec une minute à combler : ce qui la précède n'avait pas été relu non plus."""
    sortie, minute = tmp_path / "flux.sqlite", m.Timeframe.lire("1m").plancher(vive.maintenant_ms())
    for bornes in ((minute - 9 * MINUTE, minute - 3 * MINUTE), (minute - 2 * MINUTE, minute - MINUTE)):
        assert m.principal(commande(vive, sortie, bornes)) == 0
    with contextlib.closing(sqlite3.connect(sortie)) as base, base:
        base.execute("UPDATE ohlcv SET high = high + 1 WHERE timestamp = ?", (minute - 4 * MINUTE,))
    assert suivre(vive, sortie, "--symbole", "BTC/USDT", "--stream", "ohlcv", "--duree", "3") == 0
    est_vrai(vive, "binance", "BTC/USDT", sortie, au_moins=10)


@pytest.mark.parametrize("exchange", ["binance", "kraken"])
@pytest.mark.parametrize("format_", MECANIQUES)
def test_omettre_apres_reporter_ne_dement_pas_les_plates_ecrites(tmp_path: Path, format_: str, exchange: str) -> None:
    """Relues sans trade, la fiche disait qu'elles n'étaient pas ; la relance les ôtait, le fichier mis de côté."""
    sortie, mots = tmp_path / f"t{EXTENSIONS[format_]}", ("--stream", "trades", "--trades-vers-ohlcv", "--duree", "6")
    rare = Marche(3, taux_vide=0.6)
    with temps_simule(), Bourse(marche=rare, limites=False, acceleration=ACCELERATION).en_fil() as bourse:
        for vides in ("reporter", "omettre", "reporter"):
            assert suivre(bourse, sortie, *mots, "--bougies-vides", vides, exchange=exchange) == 0
            assert m.verifier(sortie).code == 0
            assert vides == "omettre" or any(ligne[5] == 0 for ligne in lignes(sortie, "BTC/USDT"))
    assert not list(tmp_path.glob("*.corrompu-*"))


@pytest.mark.parametrize("heures", [1, 3])
def test_un_flux_sur_un_vieux_fichier_dit_d_ou_il_part(
    vive: Bourse, tmp_path: Path, capsys: pytest.CaptureFixture[str], heures: int
) -> None:
    """Des jours de bougies à lire avant la première du direct : sans un mot, on le croirait arrêté."""
    sortie, pas = tmp_path / "flux.csv", m.Timeframe.lire("1m")
    fin = pas.plancher(vive.maintenant_ms()) - heures * 60 * MINUTE + 10 * MINUTE
    assert m.principal(commande(vive, sortie, (fin - 60 * MINUTE, fin))) == 0
    capsys.readouterr()
    assert suivre(vive, sortie, "--symbole", "BTC/USDT", "--stream", "ohlcv", "--duree", "3") == 0
    assert (f"ce qui manque depuis {m.en_iso(fin)} est à relire par REST" in capsys.readouterr().err) == (heures > 1)


@pytest.mark.posix
@pytest.mark.parametrize(("stream", "chemin", "arret"), [
    ("ohlcv", "klines", -9),
    ("ohlcv", "klines", signal.SIGTERM),
    ("trades", "rades", signal.SIGTERM),  # tués, des trades à relire sont plus bas
])  # fmt: skip
def test_une_coupure_que_l_arret_laisse_a_combler_l_est_a_la_relance(
    vive: Bourse, tmp_path: Path, stream: str, chemin: str, arret: int
) -> None:
    """Le flux est coupé, le REST en panne, la suite déjà écrite, puis l'arrêt : ce vide est relu."""
    sortie = tmp_path / "flux.csv"
    arguments = commande(vive, sortie, None, "--symbole", "BTC/USDT", "--stream", stream, "--flush", "1")

    def manquent() -> bool:
        """Des lignes manquent entre la première et la dernière de la sortie."""
        if stream == "trades":
            return trades_manquants(vive, "binance", "BTC/USDT", sortie)[0] != set()
        lues = lignes(sortie)
        return len(lues) < len(oracle(vive, "binance", "BTC/USDT", lues))

    processus = lancer(arguments)
    jusqua(lambda: sortie.exists() and sortie.read_text().count("\n") > 5)
    panne = vive.pannes.ajouter(Panne("http", chemin=chemin, code=502))
    refus, depuis = vive.refuser_connexions("binance"), vive.maintenant_ms()
    vive.couper("binance", "reset")
    instrument = vive.protocoles["binance"].par_symbole["BTC/USDT"]
    jusqua(lambda: vive.maintenant_ms() > depuis + 2 * MINUTE)
    jusqua(lambda: len(vive.marche.trades(instrument, depuis, vive.maintenant_ms())) >= 3)
    vive.pannes.retirer(refus)
    jusqua(manquent)
    processus.send_signal(abs(arret))
    assert finir(processus)[0] == (143 if arret == signal.SIGTERM else arret)
    vive.pannes.retirer(panne)
    assert m.principal([*arguments, "--duree", "3"]) == 0
    assert not manquent()
    assert fiche(sortie).a_relire() == []


@pytest.mark.posix
@pytest.mark.couvrant(exchange=une_seule, arret=une_seule)
@pytest.mark.parametrize("arret", [-9, signal.SIGTERM])
@pytest.mark.parametrize(("exchange", "symbole"), [("binance", "BTC/USDT"), ("bybit", "BTC/USDT:USDT")])
def test_des_trades_avales_que_l_arret_laisse_a_relire_le_sont_a_la_relance(
    vive: Bourse, tmp_path: Path, exchange: str, symbole: str, arret: int
) -> None:
    """Des trames de trades avalées sans coupure ; l'arrêt survient avant que le REST n'ait pu les dire."""
    sortie = tmp_path / "flux.csv"
    mots = ("--symbole", symbole, "--stream", "trades", "--flush", "1", "--grace", "5")
    arguments = commande(vive, sortie, None, *mots, exchange=exchange)
    avalees = vive.pannes.ajouter(Panne("ws_perdu", chemin=f"/{exchange}/", canal="trades", probabilite=0.4))

    processus = lancer(arguments)
    jusqua(lambda: sortie.exists() and sortie.read_text().count("\n") > 5)
    jusqua(lambda: trades_manquants(vive, exchange, symbole, sortie)[0] != set())
    processus.send_signal(abs(arret))
    assert finir(processus)[0] == (143 if arret == signal.SIGTERM else arret)
    vive.pannes.retirer(avalees)
    assert m.principal([*arguments, "--duree", "3"]) == 0
    assert trades_manquants(vive, exchange, symbole, sortie) == (set(), set())
    assert fiche(sortie, symbole).a_relire() == []


def test_un_flux_fini_dans_un_marche_calme_reprend_au_dernier_trade(tmp_path: Path) -> None:
    """Une coupure comblée jusqu'à la fin, aucun trade dans la dernière minute : ce qui suit est pourtant relu."""
    calme = HEURE_BOURSE + 2 * MINUTE, HEURE_BOURSE + 9 * MINUTE
    sortie = tmp_path / "flux.csv"
    marche = Marche(pannes=[calme])
    reglages: dict[str, Any] = {"limites": False, "acceleration": ACCELERATION, "maintenant_ms": HEURE_BOURSE}
    with temps_simule(), Bourse(marche=marche, **reglages).en_fil() as bourse:
        mots = ("--symbole", "BTC/USDT", "--stream", "trades", "--flush", "1")
        bourse.pannes.ajouter(Panne("ws_reset", fois=1, apres_s=3.0))
        assert suivre(bourse, sortie, *mots, "--duree", "4.5") == 0
        assert bourse.maintenant_ms() < calme[1]
        couverte = fiche(sortie).couverts[-1][1]
        assert m.instants_de(m.lire(sortie))[-1] == couverte < bourse.maintenant_ms() - m.CONNUS_MS
        bourse.avancer(calme[1] + 3 * MINUTE - bourse.maintenant_ms())
        assert suivre(bourse, sortie, *mots, "--duree", "3") == 0
        assert trades_manquants(bourse, "binance", "BTC/USDT", sortie) == (set(), set())


@pytest.mark.posix
@pytest.mark.parametrize("format_", MECANIQUES)
def test_sigterm_sous_charge_ecrit_tout_en_moins_de_cinq_secondes(vive: Bourse, tmp_path: Path, format_: str) -> None:
    """Vingt symboles de trades : le signal rend 143, et tout le reçu est sur le disque."""
    sortie = tmp_path / f"flux{EXTENSIONS[format_]}"
    symboles = ",".join(sorted(s for s in vive.protocoles["binance"].par_symbole if ":" not in s))
    processus = lancer(commande(vive, sortie, None, "--symbols", symboles, "--stream", "trades"))
    jusqua(lambda: octets(sortie) > 60_000)  # d'une base, les tables vides en pèsent la moitié
    with moins_de(5):
        processus.send_signal(signal.SIGTERM)
        code, erreurs = finir(processus)
    assert code == 143, erreurs
    assert "Traceback" not in erreurs
    servis = sorted(set(m.lire(sortie)["symbole"].to_pylist()))
    assert len(servis) > 5
    for symbole in servis:
        assert trades_manquants(vive, "binance", symbole, sortie, bords=False) == (set(), set())


# Codes de sortie


def test_un_symbole_inconnu_n_arrete_pas_les_autres(
    vive: Bourse, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Code 3, le fautif nommé avec le plus proche ; les autres sont écrits."""
    sortie = tmp_path / "flux.parquet"
    assert suivre(vive, sortie, "--symbols", "BTC/USDT,BTC/USDTT", "--stream", "trades", "--duree", "2") == 3
    assert "« BTC/USDTT »" in capsys.readouterr().err
    assert trades_manquants(vive, "binance", "BTC/USDT", sortie) == (set(), set())


@pytest.mark.parametrize(
    ("exchange", "symbole"), [("okx", "ETH/USDT:USDT"), ("bybit", "ETH/USDT:USDT"), ("kraken", "ETH/USD")]
)
def test_un_abonnement_refuse_est_dit_et_les_autres_vivent(
    vive: Bourse, tmp_path: Path, exchange: str, symbole: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """L'exchange refuse un symbole qu'il liste : code 3, il est nommé, l'autre est complet."""
    sain = symbole.replace("ETH", "BTC")
    instrument = vive.protocoles[exchange].par_symbole[symbole]
    identifiant = vive.protocoles[exchange].identifiant(instrument)
    vive.pannes.ajouter(Panne("ws_abonnement_refuse", chemin=f"/{exchange}/", symbole=identifiant))
    sortie = tmp_path / "flux.csv"
    mots = ("--type-marche", "swap") if ":" in symbole else ()
    assert suivre(vive, sortie, "--symbols", f"{sain},{symbole}", "--stream", "trades", "--trades-vers-ohlcv",
                  "--duree", "8", *mots, exchange=exchange) == 3  # fmt: skip
    assert f"{symbole} " in capsys.readouterr().err
    est_vrai(vive, exchange, sain, sortie)


def test_tous_refuses_est_un_echec(vive: Bourse, tmp_path: Path) -> None:
    """Plus rien à suivre : le flux s'arrête de lui-même, code 1."""
    vive.pannes.ajouter(Panne("ws_abonnement_refuse", chemin="/okx/"))
    assert suivre(vive, tmp_path / "flux.csv", "--symbole", "BTC/USDT", "--stream", "trades", exchange="okx") == 1


def test_un_canal_que_rien_ne_remplace_est_refuse_avant_toute_connexion(
    vive: Bourse, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Code 2, avec ce que l'exchange offre ; aucune requête n'est partie."""
    avant = len(vive.requetes)
    sans_ticker = {"has": {"watchTicker": False}}
    assert m.principal(commande(vive, tmp_path / "flux.csv", None, "--stream", "ticker", config=sans_ticker)) == 2
    erreur = capsys.readouterr().err
    assert "n'offre pas le flux « ticker »" in erreur
    assert "trades" in erreur
    assert len(vive.requetes) == avant
    assert not (tmp_path / "flux.csv").exists()


def test_le_bilan_d_un_flux_dit_ce_qu_il_a_traverse(vive: Bourse, tmp_path: Path) -> None:
    """Reconnexions comptées, trous vides, étendue suivie."""
    vive.pannes.ajouter(Panne("ws_fermeture", chemin="/binance/", fois=1, apres_s=1.0))
    sortie, bilan = tmp_path / "flux.sqlite", tmp_path / "bilan.json"
    assert suivre(vive, sortie, "--stream", "trades", "--duree", "4", "--bilan", str(bilan)) == 0
    (serie,) = json.loads(bilan.read_text(encoding="utf-8"))["series"]
    assert serie["etat"] == "complete"
    assert serie["compteurs"]["reconnexions"] == 1
    assert serie["trous"] == []
    instants = m.instants_de(m.lire(sortie))
    assert serie["lignes_recues"] == len(instants) > 10
    debut, fin = (m.lire_instant(borne, 0) for borne in serie["demande"])
    assert debut <= instants[0] < instants[-1] < fin <= vive.maintenant_ms()


def test_le_tampon_d_un_flux_s_ecrit_plein_ou_vieux_de_cinq_secondes(vive: Bourse, tmp_path: Path) -> None:
    """`--flush` : tant de lignes attendent, pas une de plus ; moins, elles n'attendent pas plus de cinq secondes."""

    def ecrites(sortie: Path) -> int:
        return max(0, sortie.read_text().count("\n") - 1) if sortie.exists() else 0

    def suivies(flush: int) -> list[int]:
        """Ce qui est sur le disque après deux secondes et demie, puis neuf."""
        sortie, vues = tmp_path / f"flux{flush}.csv", list[int]()
        for instant_s in (2.5, 9.0):
            vive.plus_tard(instant_s, lambda: vues.append(ecrites(sortie)))
        assert suivre(vive, sortie, "--stream", "trades", "--flush", str(flush), "--duree", "10") == 0
        assert ecrites(sortie) > max(vues)
        return vues

    tot, tard = suivies(1_000_000)
    assert (tot, tard > 10) == (0, True)
    tot, _ = suivies(3)
    assert tot >= 3


def test_un_disque_plein_ne_fait_pas_compter_deux_fois_ce_qui_est_recu(
    vive: Bourse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Le lot refusé, et ceux du même tampon qui le précédaient, sont écrits de nouveau à la fin : reçus une fois."""
    sortie, bilan = tmp_path / "flux.csv", tmp_path / "bilan.json"
    ecrire, appels = m.SortieFichier.ecrire, itertools.count(1)

    def plein(ecrivain: m.SortieFichier, lot: m.Lot, fiche: m.Fiche) -> tuple[int, int]:
        if lot.lignes.num_rows and next(appels) == 2:
            raise m.ErreurSortie("le disque est plein")
        return ecrire(ecrivain, lot, fiche)

    monkeypatch.setattr(m.SortieFichier, "ecrire", plein)
    mots = ("--stream", "trades", "--flush", "10", "--duree", "10", "--bilan", str(bilan))
    assert suivre(vive, sortie, *mots) == 1
    (serie,) = json.loads(bilan.read_text(encoding="utf-8"))["series"]
    assert serie["lignes_recues"] == m.lire(sortie).num_rows > 5


@pytest.mark.parametrize(
    ("adresse", "cause"),
    [
        ("ws://{hote}/nulle/part", "le WebSocket ne s'ouvre pas (code 404) : {hote}"),
        ("wss://{hote}/okx/ws/v5", "échec du TLS : {hote}"),
        ("ws://flux.invalid", "nom introuvable : flux.invalid"),
        ("sans schéma", "adresse illisible"),
    ],
)
def test_un_flux_qui_ne_s_ouvre_pas_dit_pourquoi_et_que_faire(
    vive: Bourse, tmp_path: Path, adresse: str, cause: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """La cause dès la première fois, sur quel hôte ; ce qu'il faut faire, une fois, si elle dure."""
    hote = vive.url.removeprefix("http://")
    urls = {"urls": {"api": {"ws": adresse.format(hote=hote)}}}
    mots = ("--stream", "trades", "--duree", "30")
    m.principal(commande(vive, tmp_path / "flux.csv", None, *mots, exchange="okx", config=urls))
    dit = capsys.readouterr().err
    assert dit.count(f"flux coupé. Flux trades de okx : {cause.format(hote=hote)}. Reconnexion dans ") == 1
    assert dit.count("toujours coupé après") == 1
    assert dit.count("Vérifiez") == 1
    assert "Traceback" not in dit


def test_les_params_vont_aux_abonnements(
    vive: Bourse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Chaque demande d'abonnement les porte, comme chaque requête."""
    recus: list[dict[str, Any]] = []
    ecoute: Any = type(vive.flux["kraken"])
    recevoir = ecoute.recevoir

    def noter(flux: Any, session: Any, texte: str) -> None:
        recus.append(json.loads(texte))
        recevoir(flux, session, texte)

    monkeypatch.setattr(ecoute, "recevoir", noter)
    mots = ("--symbole", "BTC/USD", "--stream", "trades", "--duree", "3", "--params", '{"compte": "mien"}')
    assert suivre(vive, tmp_path / "flux.csv", *mots, exchange="kraken") == 0
    abonnements = [demande["params"] for demande in recus if demande.get("method") == "subscribe"]
    assert abonnements
    assert {(demande["channel"], demande["compte"]) for demande in abonnements} == {("trade", "mien")}


@pytest.mark.parametrize(("numero", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_un_signal_l_emporte_sur_un_symbole_refuse(
    vive: Bourse, tmp_path: Path, numero: signal.Signals, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Le flux finirait partiel, code 3 : interrompu, il rend le code du signal, et le refus reste au bilan."""
    vive.pannes.ajouter(Panne("ws_abonnement_refuse", chemin="/okx/", symbole="ETH-USDT"))
    garder, lots = m.ExecutionFlux._garder, list[m.Lot]()

    def garder_et_interrompre(execution: m.ExecutionFlux, recus: list[m.Lot]) -> None:
        garder(execution, recus)
        lots.extend(recus)
        if len(lots) == 30:
            signal.raise_signal(numero)

    monkeypatch.setattr(m.ExecutionFlux, "_garder", garder_et_interrompre)
    sortie, bilan = tmp_path / "flux.csv", tmp_path / "bilan.json"
    mots = ("--symbols", "BTC/USDT,ETH/USDT", "--stream", "trades", "--bilan", str(bilan))
    assert suivre(vive, sortie, *mots, exchange="okx") == code
    dit = json.loads(bilan.read_text(encoding="utf-8"))
    assert (dit["code"], [serie["etat"] for serie in dit["series"]]) == (code, ["complete", "refusee"])
    assert trades_manquants(vive, "okx", "BTC/USDT", sortie, bords=False) == (set(), set())


# CSV ligne à ligne


def test_le_csv_d_un_flux_grandit_ligne_a_ligne_dans_le_meme_fichier(vive: Bourse, tmp_path: Path) -> None:
    """`tail -f` le suit : jamais remplacé en route, chaque ligne entière."""
    sortie = tmp_path / "flux.csv"
    processus = lancer(commande(vive, sortie, None, "--stream", "trades", "--flush", "1", "--duree", "4"))
    jusqua(sortie.exists)
    with sortie.open("rb") as suivi:
        noeud, lu = sortie.stat().st_ino, b""
        while processus.poll() is None:
            lu += suivi.read()
            assert sortie.stat().st_ino == noeud
            time.sleep(0.02)
        lu += suivi.read()
    assert finir(processus)[0] == 0
    assert lu == sortie.read_bytes()
    assert lu.count(b"\n") > 10
    assert trades_manquants(vive, "binance", "BTC/USDT", sortie) == (set(), set())


# Carnets et tickers


@pytest.mark.parametrize("format_", ["csv", "parquet"])  # du texte JSON, des listes de struct
def test_les_carnets_ecrits_sont_entiers_et_jamais_croises(vive: Bourse, tmp_path: Path, format_: str) -> None:
    """Cinq niveaux par côté, triés, le meilleur achat sous la meilleure vente, malgré un carnet croisé en route."""
    vive.pannes.ajouter(Panne("ws_croise", chemin="/kraken/", fois=2, sauter=5))
    sortie = tmp_path / f"flux{EXTENSIONS[format_]}"
    mots = ("--symbole", "BTC/USD", "--stream", "orderbook", "--profondeur", "5", "--duree", "3")
    assert suivre(vive, sortie, *mots, exchange="kraken") in (0, 3)
    carnets = m.lire(sortie).to_pylist()
    assert len(carnets) > 5
    for carnet in carnets:
        bids, asks = ([niveau["price"] for niveau in carnet[cote]] for cote in ("bids", "asks"))
        assert (len(bids), len(asks)) == (5, 5)
        assert bids == sorted(bids, reverse=True)
        assert asks == sorted(asks)
        assert bids[0] < asks[0]


@pytest.mark.parametrize("format_", ["csv", "sqlite"])  # `recu` en ISO 8601, en entier
def test_les_tickers_ne_sont_ecrits_que_s_ils_changent(vive: Bourse, tmp_path: Path, format_: str) -> None:
    """Deux lignes de suite diffèrent ; la colonne `recu` est une heure locale."""
    sortie = tmp_path / f"flux{EXTENSIONS[format_]}"
    avant = time.time()
    assert suivre(vive, sortie, "--stream", "ticker", "--duree", "3") == 0
    lus = m.lire(sortie).to_pylist()
    assert len(lus) > 3
    assert all(avant - 1 <= ligne["recu"].timestamp() <= time.time() for ligne in lus)
    valeurs = [tuple(v for nom, v in ligne.items() if nom not in ("timestamp", "recu")) for ligne in lus]
    assert all(un != autre for un, autre in itertools.pairwise(valeurs))
