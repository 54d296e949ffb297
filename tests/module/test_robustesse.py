"""Ce qui est absurde, abîmé ou hostile : une phrase, le bon code, et rien de cru (contrat § 9)."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import dataclasses
import gzip
import json
import logging
import math
import os
import re
import sqlite3
import traceback
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from attente import moins_de
from hypothesis import given
from hypothesis import strategies as st
from ligne_de_commande import HEURE, JOUR, MINUTE, commande, lignes, telecharger
from pyarrow import feather
from sorties_modeles import BTC, ETH, cles, creer, fiche, lot, lot_de

import module_ccxt_fr_v2 as m
from annexes_ccxt_fr import corps as corps_bornes
from annexes_ccxt_fr import lecture_brute
from annexes_ccxt_fr.pauses import Pauses
from bourse_locale import Panne

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from bourse_locale import Bourse

JANVIER = 1_704_067_200_000
UNE_HEURE = (JANVIER, JANVIER + HEURE)
OPTIONS = m.noms_options(m.Tache, m.OptionsExecution)

# La table : chaque option × chaque valeur absurde.
PARTOUT = [
    "", " ", "\0", "a\nb", "\x1b[31mx", "é" * 300, "-1", "0", "1e308", "nan", "-inf", "9" * 30, "9" * 5000, "1_0", "{}",
    "[]", "null", '"', "\udcff", "\u202e", "x" * 5000, "٣", "1.5", "--", "-", "=",
]  # fmt: skip
DE_CHEMIN = [".", "./", "/", "..", "a/..", "~personne/x.csv", "n" * 300 + ".csv", "a\nb.csv", "\udcff.csv", "d/" * 3000]
DE_DATE = [
    "9999-01-01",
    "2024-13-01",
    "2024-02-30",
    "-1e9j",
    "1e20",
    "253402300800000",
    "2024-01-01T25:00",
    "hier",
    "-7",
]
DE_JSON = [
    '{"a":', "[1]", '{"a":NaN}', '{"a":-Infinity}', "[" * 100_000, '{"a":' * 100_000, '{"a":' * 40 + "1" + "}" * 40,
    "@", "@/dev/zero", "@/nulle/part", "@.", "@\0",
]  # fmt: skip
DE_DUREE = ["1e9", "1e11", "1e300"]


def absurdes(champ: Any) -> list[str]:
    lecteur = champ.metadata["lire"]
    suite = {m.lire_chemin: DE_CHEMIN, m.lire_chemin_html: DE_CHEMIN, m.lire_date: DE_DATE, m.lire_grace: DE_DUREE}
    return PARTOUT + suite.get(lecteur, []) + (DE_JSON if champ.default is dataclasses.MISSING else [])


@pytest.mark.parametrize("nom", [nom for nom, champ in OPTIONS.items() if not isinstance(champ.default, bool)])
def test_une_valeur_absurde_est_lue_ou_refusee_d_une_phrase(nom: str) -> None:
    """Jamais autre chose qu'une ErreurDemande, imprimable, d'une ligne, et sans attendre."""
    symbole = () if nom in ("symbole", "symbols", "symboles") else ("--symbole", "BTC/USDT")
    with moins_de(5):
        for valeur in absurdes(OPTIONS[nom]):
            try:
                tache, _ = m.lire_arguments([*symbole, f"{m.drapeau(nom)}={valeur}"])
            except m.ErreurDemande as refus:
                dit = m.neutraliser(str(refus), sauf="\n")
                assert OPTIONS[nom].name.replace("_", "-") in dit, (valeur[:80], dit)
                assert len(dit.splitlines()) == 1, (valeur[:80], dit)
            else:
                assert nom not in ("sortie", "bilan", "verifier") or valeur not in DE_CHEMIN, valeur[:80]
                m.plage_de(tache)  # ce que l'exécution en fait d'abord


def test_une_date_de_l_an_9999_n_est_pas_dite_de_2200() -> None:
    with pytest.raises(m.ErreurDemande, match="d'après 2199, est dans le futur") as refus:
        m.construire({"symbole": "A/B", "date_debut": "9999-01-01"})
    assert "2200" not in str(refus.value)


@pytest.fixture
def lieux(tmp_path: Path) -> Path:
    (tmp_path / "boucle.csv").symlink_to(tmp_path / "autre.csv")
    (tmp_path / "autre.csv").symlink_to(tmp_path / "boucle.csv")
    (tmp_path / "fichier").write_text("x")
    os.mkfifo(tmp_path / "tube")
    return tmp_path


@pytest.mark.posix
@pytest.mark.parametrize(
    ("nom", "code", "dit"),
    [
        ("boucle.csv", 2, "liens symboliques tournent en rond"),
        ("boucle.csv/a.csv", 2, "liens symboliques tournent en rond"),
        ("tube", 2, "n'est pas un fichier ordinaire"),
        ("/dev/null", 2, "n'est pas un fichier ordinaire"),
        ("fichier/a.csv", 2, "un des dossiers du chemin est un fichier"),
        ("n" * 230 + ".csv", 2, "trop long"),
        ("/proc/x.csv", 1, "Aucun fichier ne peut être créé à côté de"),
    ],
)
def test_une_sortie_impossible_est_refusee_avant_le_telechargement(
    nom: str, code: int, dit: str, bourse: Bourse, lieux: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if not (lieux / nom).parent.exists() and nom.startswith("/"):
        pytest.skip("ce système n'a pas de /proc")
    avant = sorted(voisin.name for voisin in lieux.iterdir())
    assert telecharger(bourse, lieux / nom, UNE_HEURE) == code
    erreurs = capsys.readouterr().err
    assert dit in erreurs
    assert "Traceback" not in erreurs
    assert not [r for r in bourse.requetes if "klines" in r.chemin]
    assert sorted(voisin.name for voisin in lieux.iterdir()) == avant


# --- Paramètres et configuration


@pytest.mark.parametrize(
    ("nom", "option"),
    [
        ("symbol", "symbole"), ("interval", "timeframe"), ("limit", "limite"), ("startTime", "date_debut"),
        ("since", "date_debut"), ("until", "date_fin"), ("endTime", "date_fin"), ("instrument_name", "symbole"),
        ("instId", "symbole"), ("price", "prix_ohlcv"), ("end_timestamp", "date_fin"), ("productType", "type_marche"),
    ],
)  # fmt: skip
def test_un_parametre_reserve_renvoie_a_son_option(nom: str, option: str) -> None:
    phrase = f"params : « {nom} » changerait la série demandée : employez l'option {option}"
    with pytest.raises(m.ErreurDemande) as refus:
        m.construire({"symbole": "A/B", "params": {nom: "x"}})
    assert str(refus.value) == phrase


@pytest.mark.parametrize("nom", ["adjust", "type", "feed", "method", "channel", "adjustment"])
def test_un_parametre_qui_ne_change_pas_la_serie_passe(nom: str) -> None:
    assert m.construire({"symbole": "A/B", "params": {nom: "x"}}).params == {nom: "x"}


@pytest.mark.parametrize(
    "config",
    [
        {"rateLimit": -1}, {"rateLimit": "x"}, {"rateLimit": 1e12}, {"rateLimit": None}, {"timeout": "x"},
        {"timeout": 0}, {"urls": 3}, {"urls": {"api": 3}}, {"urls": {"api": "http://x"}}, {"headers": []},
        {"headers": {"X": "a\nb"}},
        {"headers": {"X": 3}}, {"options": 3}, {"fetch_ohlcv": 3}, {"enableRateLimit": "x"}, {"hostname": 3},
        {"markets": 3}, {"session": 3}, {"httpsProxy": 3}, {"verbose": "x"},
    ],
    ids=json.dumps,
)  # fmt: skip
def test_une_configuration_que_ccxt_ne_peut_digerer(
    config: dict[str, Any], bourse: Bourse, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Code 2, une phrase qui nomme la clé, aucune requête, aucune attente."""
    with moins_de(5):
        assert m.principal(commande(bourse, tmp_path / "a.csv", UNE_HEURE, config=config)) == 2
    erreurs = capsys.readouterr().err
    assert f"config_ccxt : « {next(iter(config))} » ne convient pas à binance" in erreurs
    assert len(erreurs.splitlines()) == 1
    assert not bourse.requetes
    assert not list(tmp_path.iterdir())


# --- Réponses hostiles

PILOTE = "\x1b[2J\x1b]0;titre\x07\u202e\r\n2024 ERROR faux\x9b31m"


def test_ce_que_dit_l_exchange_ne_pilote_pas_le_terminal(
    bourse: Bourse, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    corps = json.dumps({"code": -1121, "msg": f"refus {PILOTE} fin"}, ensure_ascii=False)
    bourse.pannes.ajouter(Panne("http", "klines", code=400, corps=corps))
    assert telecharger(bourse, tmp_path / "a.csv", UNE_HEURE, "--essais", "1") == 1
    erreurs = capsys.readouterr().err
    assert "refus" in erreurs
    assert all(c.isprintable() or c == "\n" for c in erreurs), erreurs
    assert not [ligne for ligne in erreurs.splitlines() if ligne.startswith("2024 ERROR faux")]


def test_ce_qui_va_au_terminal_est_neutralise(capsys: pytest.CaptureFixture[str]) -> None:
    m.installer_journal("info")
    m.journal.info("%s", PILOTE)
    m.imprimer([f"A{PILOTE}/USDT\tspot"])
    sortie = capsys.readouterr()
    assert all(c.isprintable() or c in "\t\n" for c in sortie.out + sortie.err)
    assert sortie.out.count("\n") == 1
    assert sortie.out.endswith("/USDT\tspot\n")


@pytest.mark.parametrize("suffixe", [".csv", ".csv.gz", ".sqlite"])
def test_un_identifiant_sur_deux_lignes_ne_casse_pas_le_fichier(suffixe: str, tmp_path: Path) -> None:
    """L'id et le sens d'un trade viennent de l'exchange : ni saut de ligne, ni échappement ; un id sans fin est ôté."""
    chemin, cle = tmp_path / f"t{suffixe}", m.CleSerie("binance", "BTC/USDT")
    bruts = [
        {"timestamp": JANVIER + rang, "id": ident, "side": "buy\n\x1b[31m", "price": 1.0, "amount": 1.0}
        for rang, ident in enumerate(('1\n2,"', "\x1b]0;x\x07", "9" * 6000))
    ]
    trades = [m.trade_de(brut, JANVIER) for brut in bruts]
    assert trades[2] is not None
    assert trades[2].id is None
    nommes = [t._replace(id=t.id or "~3") for t in trades if t is not None]
    with creer(chemin, m.TRADES) as ecrivain:
        ecrivain.ecrire(m.Lot(cle, m.tabler(cle, nommes, m.TRADES), [(JANVIER, JANVIER + 9)], []), m.Fiche(cle))
        ecrivain.finir()
    lue = m.lire(chemin)
    assert lue.num_rows == 3
    assert all(texte.isprintable() for nom in ("id", "side") for texte in lue[nom].to_pylist())
    assert m.verifier(chemin).code == 0


def test_une_cle_d_un_autre_exchange_est_masquee(
    bourse: Bourse, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Toute clé de l'environnement se tait, employée ou non : celle qu'une autre remplace, et celle d'okx."""
    cles = {"API_KEY": "CLE-REMPLACEE-1", "BINANCE_API_KEY": "CLE-EMPLOYEE-2", "OKX_API_PASSWORD": "PHRASE-D-OKX-3"}
    for nom, valeur in cles.items():
        monkeypatch.setenv(nom, valeur)
    corps = json.dumps({"code": -2015, "msg": f"Invalid {' '.join(cles.values())}"})
    bourse.pannes.ajouter(Panne("http", "klines", code=400, corps=corps))
    assert telecharger(bourse, tmp_path / "a.csv", UNE_HEURE, "--essais", "1", "--journal", "debug") == 1
    erreurs = capsys.readouterr().err
    assert erreurs.count("***") >= 3
    assert not [valeur for valeur in cles.values() if valeur in erreurs]


def test_un_corps_sans_fin_est_laisse_la(
    bourse: Bourse, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Au-delà du plafond, la lecture s'arrête : code 1, et la raison."""
    assert corps_bornes.CORPS_MAX == 64 << 20
    monkeypatch.setattr(corps_bornes, "CORPS_MAX", 1000)
    bourse.pannes.ajouter(Panne("http", "exchangeInfo", code=200, corps="[" + "1," * 200_000 + "1]"))
    assert telecharger(bourse, tmp_path / "a.csv", UNE_HEURE, "--essais", "1") == 1
    assert "laissée là" in capsys.readouterr().err


@pytest.mark.parametrize("attente_s", [1e12, float("inf"), 8e9])
def test_une_pause_jusqu_en_9999_est_plafonnee(attente_s: float) -> None:
    frein, dites = m.Frein(), list[float]()
    frein.prevenir = dites.append
    frein.serrer(attente_s)
    assert m.PAUSE_MAX_S - 5 < frein.reste_s <= m.PAUSE_MAX_S + 1
    assert dites == [pytest.approx(m.PAUSE_MAX_S, abs=5)]


def test_une_longue_pause_dit_ou_elle_est_gardee(
    bourse: Bourse, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """« banned until » l'an 9999 : trois jours au plus, le fichier qui la garde, et comment passer outre."""
    corps = json.dumps({"code": -1003, "msg": "Way too many requests; IP banned until 253402300799000."})
    bourse.pannes.ajouter(Panne("http", "klines", code=418, corps=corps))
    sortie, gardee = tmp_path / "a.csv", tmp_path / ".pauses-ccxt.json"
    assert telecharger(bourse, sortie, UNE_HEURE) == 1
    assert Pauses(tmp_path).lire()["binance"] - m.maintenant_ms() <= (m.PAUSE_MAX_S + 60) * 1000
    assert telecharger(bourse, sortie, UNE_HEURE) == 1
    dites = capsys.readouterr().err
    assert dites.count(str(gardee)) == 2
    assert "9999" not in dites.splitlines()[-1]
    gardee.write_text(json.dumps({"binance": m.maintenant_ms() + 100 * 86_400_000}))
    assert Pauses(tmp_path).lire() == {}  # d'avant le plafond


# --- Bibliothèque


@contextlib.contextmanager
def bibliotheque(bourse: Bourse) -> Iterator[dict[str, Any]]:
    yield {
        "symbole": "BTC/USDT", "date_debut": UNE_HEURE[0], "date_fin": UNE_HEURE[1], "essais": 1,
        "config_ccxt": {**bourse.config_ccxt("binance"), "rateLimit": 1},
    }  # fmt: skip


def test_une_trace_montre_le_conseil_et_rien_d_autre(bourse: Bourse) -> None:
    with bibliotheque(bourse) as options, pytest.raises(m.ErreurDemande) as refus:
        m.telecharger_ohlcv(**{**options, "symbole": "BTC/USDTT"})
    trace = "".join(traceback.format_exception(refus.value))
    assert "Vouliez-vous dire « BTC/USDT »" in trace
    assert "During handling" not in trace
    assert "no running event loop" not in trace


def test_un_refus_definitif_n_est_pas_dit_passager(bourse: Bourse) -> None:
    bourse.pannes.ajouter(Panne("http", "klines", code=451, corps='{"msg": "restricted location"}'))
    with bibliotheque(bourse) as options, pytest.raises(m.ErreurDefinitive, match="accès refusé"):
        m.telecharger_ohlcv(**options)


# --- Noms d'office


def nom_choisi(bourse: Bourse, *mots: str) -> str:
    assert telecharger_sans_sortie(bourse, *mots) == 0
    nommes = [f.name for f in m.DOSSIER_SORTIES.iterdir() if f.suffix == ".csv"]
    assert len(nommes) == 1
    return nommes[0]


def telecharger_sans_sortie(bourse: Bourse, *mots: str) -> int:
    return m.principal(commande(bourse, None, UNE_HEURE, "--symbole", "BTC/USD:BTC", *mots, exchange="bybit"))


def test_un_symbole_complet_nomme_son_fichier(bourse: Bourse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Avec ou sans --type-marche : le même fichier, au nom du vrai marché ; un fichier au nom d'avant est continué."""
    monkeypatch.chdir(tmp_path)
    nom = nom_choisi(bourse)
    assert nom.startswith("bybit_swap_BTC-USD_BTC_1m")
    assert nom_choisi(bourse, "--type-marche", "swap") == nom
    for suffixe in ("", ".fiche.json"):
        avant = m.DOSSIER_SORTIES / f"{nom}{suffixe}"
        avant.rename(avant.with_name(avant.name.replace("swap", "spot")))
    requetes = len(bourse.requetes)
    assert nom_choisi(bourse, "--type-marche", "swap") == nom.replace("swap", "spot")
    assert len(lignes(m.DOSSIER_SORTIES / nom.replace("swap", "spot"))) == HEURE // MINUTE
    assert len([r for r in bourse.requetes[requetes:] if "kline" in r.chemin]) <= 1  # la relecture


def test_le_journal_des_bibliotheques_reste_muet() -> None:
    m.installer_journal("debug")
    assert not logging.getLogger("ccxt").propagate


# --- Une relance voit ce que verrait --verifier


def oter_un_chiffre(chemin: Path) -> None:
    """Une cellule qui n'est plus un nombre."""
    rangs = chemin.read_bytes().split(b"\n")
    cellules = rangs[20].split(b",")
    cellules[7] = b"x" + cellules[7][1:]
    chemin.write_bytes(b"\n".join([*rangs[:20], b",".join(cellules), *rangs[21:]]))


def voler_une_ligne(chemin: Path) -> None:
    """Un saut de ligne abîmé : deux lignes n'en font plus qu'une."""
    octets = bytearray(chemin.read_bytes())
    rang = [i for i, octet in enumerate(octets) if octet == ord("\n")][20]
    octets[rang] = ord("\x0b")
    chemin.write_bytes(bytes(octets))


def ouvrir_un_guillemet(chemin: Path) -> None:
    octets = bytearray(chemin.read_bytes())
    rang = [i for i, octet in enumerate(octets) if octet == ord("\n")][20]
    octets[rang + 1] = ord('"')
    chemin.write_bytes(bytes(octets))


def inventer_un_symbole(chemin: Path) -> None:
    rangs = chemin.read_bytes().split(b"\n")
    rangs[20] = rangs[20].replace(b"BTC/USDT", b"BTC/USDU")
    chemin.write_bytes(b"\n".join(rangs))


def echanger_haut_et_bas(chemin: Path) -> None:
    rangs = chemin.read_bytes().split(b"\n")
    cellules = rangs[20].split(b",")
    cellules[6], cellules[7] = b"1.0", b"2.0"
    chemin.write_bytes(b"\n".join([*rangs[:20], b",".join(cellules), *rangs[21:]]))


def changer_le_jour(chemin: Path) -> None:
    rangs = chemin.read_bytes().split(b"\n")
    rangs[20] = rangs[20].replace(b"2024-01-01", b"2024-01-09")
    chemin.write_bytes(b"\n".join(rangs))


@pytest.mark.parametrize(
    "abimer",
    [changer_le_jour, oter_un_chiffre, voler_une_ligne, ouvrir_un_guillemet, inventer_un_symbole, echanger_haut_et_bas],
)
def test_une_relance_ne_dit_pas_zero_sur_un_csv_abime(
    abimer: Any, bourse: Bourse, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ce que --verifier dit fautif est ôté, dit, redemandé ; l'original est gardé, et la suite est sans faute."""
    sortie = tmp_path / "a.csv"
    assert telecharger(bourse, sortie, UNE_HEURE) == 0
    juste = lignes(sortie)
    abimer(sortie)
    assert m.verifier(sortie).code == 4
    capsys.readouterr()
    assert telecharger(bourse, sortie, UNE_HEURE) == 0
    assert "abîmée" in capsys.readouterr().err
    assert lignes(sortie) == juste
    assert m.verifier(sortie).code == 0
    assert len(list(tmp_path.glob("a.csv.corrompu-*"))) == 1


@pytest.mark.parametrize(
    "requete",
    [
        "UPDATE ohlcv SET close = 'abc' WHERE timestamp = {t}",
        "UPDATE ohlcv SET high = low / 2 WHERE timestamp = {t}",
        "UPDATE ohlcv SET symbole = 'BTC/USDU' WHERE timestamp = {t}",
        "UPDATE ohlcv SET timestamp = timestamp + 1 WHERE timestamp = {t}",
        "UPDATE ohlcv SET volume = NULL WHERE timestamp = {t}",
        "UPDATE ohlcv SET timestamp = timestamp + 86400000 WHERE timestamp = {t}",
    ],
)
def test_une_relance_ne_dit_pas_zero_sur_une_base_abimee(requete: str, bourse: Bourse, tmp_path: Path) -> None:
    sortie = tmp_path / "a.sqlite"
    assert telecharger(bourse, sortie, UNE_HEURE) == 0
    juste = lignes(sortie)
    with contextlib.closing(sqlite3.connect(sortie)) as base, base:
        base.execute(requete.format(t=JANVIER + 20 * MINUTE))
    assert m.verifier(sortie).code == 4
    assert telecharger(bourse, sortie, UNE_HEURE) == 0
    assert lignes(sortie) == juste
    assert m.verifier(sortie).code == 0


@pytest.mark.parametrize("suffixe", [".parquet", ".feather"])
def test_une_relance_regarde_un_fichier_recrit_par_un_autre_outil(suffixe: str, bourse: Bourse, tmp_path: Path) -> None:
    """Récrit avec une cellule vidée, sans sceau : la ligne est ôtée et redemandée."""
    sortie = tmp_path / f"a{suffixe}"
    assert telecharger(bourse, sortie, UNE_HEURE) == 0
    juste, lue = lignes(sortie), m.lire(sortie)
    parquet = suffixe == ".parquet"
    metadonnees = pq.read_metadata(sortie).metadata if parquet else feather.read_table(sortie).schema.metadata
    closes = lue["close"].to_pylist()
    closes[20] = None
    lue = lue.set_column(lue.schema.get_field_index("close"), "close", pa.array(closes, pa.float64()))
    lue = lue.replace_schema_metadata({b"fiche": metadonnees[b"fiche"]})
    (pq.write_table if parquet else feather.write_feather)(lue, sortie)
    assert m.verifier(sortie).code == 4
    assert telecharger(bourse, sortie, UNE_HEURE) == 0
    assert lignes(sortie) == juste
    assert m.verifier(sortie).code == 0


# --- Ce que --verifier voit de plus


def ecrite(chemin: Path, *, trous: tuple[m.Trou, ...] = (), couverts: list[m.Intervalle] | None = None) -> m.CleSerie:
    """Dix bougies, de la 10e à la 19e minute, et ce que la fiche en dit."""
    cle = m.CleSerie("binance", "BTC/USDT", "1m", "last")
    instants = [JANVIER + rang * MINUTE for rang in range(10, 20)]
    page = pa.table(
        [pa.array(instants, pa.int64()), *[pa.array([1.0] * 10)] * 5], names=["timestamp", *m.VALEURS_OHLCV]
    )
    with creer(chemin) as ecrivain:
        lot = m.Lot(cle, m.habiller(cle, page), couverts or [(instants[0], instants[-1] + MINUTE)], list(trous))
        ecrivain.ecrire(lot, m.Fiche(cle))
        ecrivain.finir()
    return cle


def test_une_ouverture_hors_de_low_high_est_un_avertissement(tmp_path: Path) -> None:
    """Des exchanges en servent : code 0, et le nombre."""
    sortie = tmp_path / "a.csv"
    ecrite(sortie)
    rangs = sortie.read_text().splitlines()
    for rang, cellule in ((3, 5), (7, 8)):  # open, close
        cellules = rangs[rang].split(",")
        cellules[cellule] = "2.0"
        rangs[rang] = ",".join(cellules)
    sortie.write_text("\n".join(rangs) + "\n")
    rapport = m.verifier(sortie)
    assert rapport.code == 0, rapport.constats
    assert ["2 bougies dont l'ouverture ou la clôture" in a for a in rapport.avertissements] == [True]


@pytest.mark.parametrize("suffixe", [".csv", ".parquet", ".sqlite"])
def test_un_avant_cotation_dementi_est_une_faute_redemandee(suffixe: str, tmp_path: Path) -> None:
    """Des lignes plus anciennes qu'un « avant_cotation » : faute, et l'ouverture n'y voit plus un fait."""
    sortie, vide = tmp_path / f"a{suffixe}", (JANVIER + 20 * MINUTE, JANVIER + 30 * MINUTE)
    cle = ecrite(sortie, trous=(m.Trou(*vide, m.AVANT_COTATION),))
    assert m.verifier(sortie).fautes == {"cotation": 1}
    with creer(sortie) as ecrivain:
        assert ecrivain.fiches[cle].trous == [m.Trou(*vide, m.ECHEC)]


def test_ce_qui_n_a_jamais_ete_lu_est_dit(tmp_path: Path) -> None:
    """Entre deux intervalles couverts : « couverture 68 %, aucun trou » taisait le mois qui manque."""
    sortie, loin = tmp_path / "a.csv", (JANVIER + 50 * MINUTE, JANVIER + 60 * MINUTE)
    couverts = [(JANVIER + 10 * MINUTE, JANVIER + 20 * MINUTE)]
    ecrite(sortie, couverts=couverts, trous=(m.Trou(*loin, m.HORS_FENETRE_API),))
    rapport = m.verifier(sortie)
    assert rapport.series[0].non_couverts == [(couverts[0][1], loin[0])]
    assert rapport.en_dict()["series"][0]["non_couverts"] == [["2024-01-01T00:20Z", "2024-01-01T00:50Z"]]
    assert m.principal(["--verifier", str(sortie)]) == 0


def test_une_serie_que_la_fiche_ignore_est_une_faute(tmp_path: Path) -> None:
    sortie = tmp_path / "a.csv"
    ecrite(sortie)
    sortie.write_text(sortie.read_text().replace("BTC/USDT", "BTC/USDU", 1))
    rapport = m.verifier(sortie)
    assert "autre_serie" in rapport.fautes
    assert rapport.code == 4


SANS_FUSEAU = (r"\1 \2", r"\1T\2.000000")


@pytest.mark.parametrize("sans_fiche", [False, True], ids=["fiche", "sans_fiche"])
@pytest.mark.parametrize(
    "date",
    [r"\1T\2.000000+0000", r"\1T\2.000Z", r"\1 \2+00:00", r"\1 \2+00", *SANS_FUSEAU],
    ids=["polars_dates", "polars", "pandas_dates", "duckdb", "duckdb_1.2", "polars_naif"],
)
def test_un_csv_recrit_par_un_autre_outil_est_admis(
    date: str, sans_fiche: bool, bourse: Bourse, tmp_path: Path
) -> None:
    """Ce qu'écrivent polars 2.1, pandas 3.1, DuckDB 2.0 et 1.2 d'un CSV lu par eux, dates comprises."""
    sortie = tmp_path / "a.csv"
    assert telecharger(bourse, sortie, UNE_HEURE) == 0
    juste, ecrit = m.lire(sortie), sortie.read_text()
    sortie.write_text(re.sub(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)\.000Z", date, ecrit))
    if sans_fiche:
        sortie.with_name("a.csv.fiche.json").unlink()
    assert (m.verifier(sortie).code, bool(m.verifier(sortie).avertissements)) == (0, sans_fiche)
    assert m.lire(sortie).equals(juste)
    recrit = sortie.read_bytes()
    assert telecharger(bourse, sortie, UNE_HEURE) == 0
    # Sans fuseau, ce qui s'ajoute ne se lirait pas avec le reste : il y est remis.
    assert sortie.read_bytes() == (ecrit.encode() if date in SANS_FUSEAU else recrit)
    assert telecharger(bourse, sortie, (JANVIER, JANVIER + 2 * HEURE)) == 0
    assert m.lire(sortie)[:60].equals(juste)
    assert m.lire(sortie).num_rows == 120
    assert m.verifier(sortie).code == 0
    assert [p.name for p in tmp_path.iterdir() if "corrompu" in p.name] == []


@pytest.mark.parametrize(
    ("texte", "instant"),
    [
        (pa.large_string(), pa.timestamp("us", "UTC")),
        (pa.string_view(), pa.timestamp("ns", "UTC")),
        (pa.dictionary(pa.int32(), pa.string()), pa.timestamp("us")),
    ],
    ids=["pandas", "polars", "duckdb"],
)
@pytest.mark.parametrize("suffixe", [".parquet", ".feather"])
def test_un_fichier_recrit_par_un_autre_outil_est_admis(
    suffixe: str, texte: pa.DataType, instant: pa.DataType, bourse: Bourse, tmp_path: Path
) -> None:
    """Types équivalents, fiche perdue : --verifier avertit, code 0 ; la collecte continue."""
    sortie = tmp_path / f"a{suffixe}"
    assert telecharger(bourse, sortie, UNE_HEURE) == 0
    juste, lue = lignes(sortie), m.lire(sortie)
    for rang, nom in enumerate(lue.schema.names[:5]):
        if rang == 4:
            colonne = lue[nom].cast(instant)
        elif pa.types.is_dictionary(texte):
            colonne = lue[nom].dictionary_encode().cast(texte)
        else:  # sans `cast` : d'un string_view qui en vient, pyarrow d'avant la 24 meurt en l'écrivant
            colonne = pa.array(lue[nom].to_pylist(), texte)
        lue = lue.set_column(rang, nom, colonne)
    lue = lue.replace_schema_metadata({})
    (pq.write_table if suffixe == ".parquet" else feather.write_feather)(lue, sortie)
    rapport = m.verifier(sortie)
    assert rapport.code == 0, rapport.constats
    assert rapport.avertissements
    assert telecharger(bourse, sortie, (UNE_HEURE[0], UNE_HEURE[1] + HEURE)) == 0
    assert lignes(sortie)[: len(juste)] == juste
    assert len(lignes(sortie)) == 2 * len(juste)


@pytest.mark.parametrize("suffixe", [".parquet", ".feather"])
def test_un_carnet_recrit_quantite_avant_prix_est_admis(suffixe: str, tmp_path: Path) -> None:
    """pandas, avec pyarrow 23 : chaque niveau y est (amount, price). Ni refusé, ni pris pour l'inverse."""
    sortie, deux = tmp_path / f"a{suffixe}", [lot_de(m.ORDERBOOK, rangs) for rangs in (range(10), range(10, 14))]
    with creer(sortie, m.ORDERBOOK) as ecrivain:
        ecrivain.ecrire(deux[0], m.Fiche(deux[0].cle))
        ecrivain.finir()
    lue = m.lire(sortie).replace_schema_metadata({})
    inverses = pa.list_(pa.struct([("amount", pa.float64()), ("price", pa.float64())]))
    for nom in ("bids", "asks"):
        lue = lue.set_column(lue.schema.names.index(nom), nom, pa.array(lue[nom].to_pylist(), inverses))
    (pq.write_table if suffixe == ".parquet" else feather.write_feather)(lue, sortie)
    rapport = m.verifier(sortie)
    assert rapport.code == 0, rapport.constats
    assert rapport.avertissements
    assert m.lire(sortie).equals(deux[0].lignes)
    with creer(sortie, m.ORDERBOOK) as ecrivain:
        ecrivain.ecrire(deux[1], m.Fiche(deux[1].cle))
        ecrivain.finir()
    assert m.lire(sortie).equals(pa.concat_tables([unique.lignes for unique in deux]))


@pytest.mark.parametrize("suffixe", [".csv", ".parquet", ".feather"])
def test_l_index_de_pandas_est_nomme(
    suffixe: str, bourse: Bourse, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Une table filtrée puis récrite par pandas a, d'office, une colonne de plus : refusée, intacte, avec que faire."""
    sortie = tmp_path / f"a{suffixe}"
    assert telecharger(bourse, sortie, UNE_HEURE) == 0
    if suffixe == ".csv":
        sortie.write_text("".join(f"{n or ''},{ligne}\n" for n, ligne in enumerate(sortie.read_text().splitlines())))
    else:
        indexee = m.lire(sortie).append_column("__index_level_0__", pa.array(range(60))).replace_schema_metadata({})
        (pq.write_table if suffixe == ".parquet" else feather.write_feather)(indexee, sortie)
    avant = sortie.read_bytes()
    assert telecharger(bourse, sortie, UNE_HEURE) == 2
    assert "l'index de pandas" in (dit := capsys.readouterr().err)
    assert "index=False" in dit
    assert sortie.read_bytes() == avant


def test_un_feather_v1_est_nomme_et_laisse(bourse: Bourse, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sortie = tmp_path / "a.feather"
    sortie.write_bytes(b"FEA1" + bytes(60) + b"FEA1")
    assert telecharger(bourse, sortie, UNE_HEURE) == 2
    assert "Feather V1" in capsys.readouterr().err
    assert sortie.read_bytes() == b"FEA1" + bytes(60) + b"FEA1"
    assert m.principal(["--verifier", str(sortie)]) == 2


@pytest.mark.parametrize("suffixe", [".csv", ".parquet", ".feather"])
def test_le_journal_d_une_execution_tuee_dit_toutes_ses_series(suffixe: str, tmp_path: Path) -> None:
    """Tuée avant sa fin, elle n'a écrit qu'au journal : sa deuxième série y est aussi, et se continue seule."""
    chemin = tmp_path / f"a{suffixe}"
    tuee = creer(chemin).ouvrir()
    for rang, cle in enumerate((BTC, ETH)):
        tuee.ecrire(lot(range(rang, rang + 3), cle), fiche(cle))
    tuee.fermer()
    ecrivain = creer(chemin)
    ecrivain.controler([ETH])
    with pytest.raises(m.ErreurDemande, match=r"BTC/USDT.*ETH/USDT"):
        creer(chemin).controler([ETH._replace(timeframe="5m")])


def test_le_refus_d_un_symbole_ne_raccourcit_pas_les_pages_des_autres(bourse: Bourse) -> None:
    """Une page de trades plus courte n'est retenue que d'une réponse : le refus d'un symbole retiré n'apprend rien."""

    async def scenario(options: dict[str, Any]) -> list[str]:
        async with m.ouvrir_exchange(config_ccxt=options["config_ccxt"], essais=1) as connexion:
            await connexion.charger_marches(["BTC/USDT"])
            serie = connexion.ouvrir_evenements("BTC/USDT")
            retire = dataclasses.replace(serie, cle=serie.cle._replace(symbole="RETIRE/USDT"))
            with pytest.raises(m.ErreurDefinitive):
                await connexion.lire_trades(retire, None, {})
            await connexion.lire_trades(serie, None, {})
        return [r.params["limit"] for r in bourse.requetes if "rades" in r.chemin]

    with bibliotheque(bourse) as options:
        assert asyncio.run(scenario(options)) == ["1000"]


def test_l_ecart_d_un_carnet_est_compte_a_son_symbole() -> None:
    groupe = ["BTC/USDT", "ETH/USDT", "ETH/USDT:USDT"]
    assert m.symbole_en_cause(ValueError("x ETH/USDT:USDT : checksum"), groupe) == "ETH/USDT:USDT"
    assert m.symbole_en_cause(ValueError("x ETH/USDT : checksum"), groupe) == "ETH/USDT"
    assert m.symbole_en_cause(ValueError("nonce"), groupe) == "BTC/USDT"
    assert m.symbole_en_cause(ValueError("nonce"), "SOL/USDT") == "SOL/USDT"


def financements(bourse: Bourse, sortie: Path) -> list[str]:
    """La commande d'une histoire d'événements : un mois de funding."""
    return commande(bourse, sortie, (JANVIER, JANVIER + 31 * JOUR), "--symbole", "BTC/USDT:USDT",
                    "--type-marche", "swap", "--donnee", "funding")  # fmt: skip


@pytest.mark.parametrize("rang", [1, 60, -1], ids=["premiere", "milieu", "derniere"])
def test_un_evenement_abime_d_une_histoire_est_redemande(rang: int, bourse: Bourse, tmp_path: Path) -> None:
    """Aucune grille ne dit qu'il manque : ce qui sépare ses voisines saines n'est plus couvert."""
    sortie = tmp_path / "f.csv"
    assert m.principal(financements(bourse, sortie)) == 0
    entier = sortie.read_bytes()
    rangees = entier.splitlines(keepends=True)
    rangees[rang] = rangees[rang].replace(b".000Z", b".0x0Z")
    sortie.write_bytes(b"".join(rangees))
    assert m.principal(financements(bourse, sortie)) == 0
    assert sortie.read_bytes() == entier


REQUETE_ABIMANTE = "UPDATE funding SET {} WHERE timestamp = {}"


@pytest.mark.parametrize("d_avant", [False, True], ids=["compte", "d_avant"])
@pytest.mark.parametrize(
    "abime", ["funding_rate = 'x'", "timestamp = 'x'", "timestamp = -5", "symbole = 'ZZZ'", "funding_rate = 9e999"]
)
def test_un_evenement_abime_d_une_base_est_redemande(
    abime: str, d_avant: bool, bourse: Bourse, tmp_path: Path
) -> None:
    """Même si la ligne abîmée n'est plus rangée là où elle fut écrite ; une base d'avant ne compte pas ses lignes."""
    sortie = tmp_path / "f.sqlite"
    assert m.principal(financements(bourse, sortie)) == 0
    entiere = m.lire(sortie)
    with contextlib.closing(sqlite3.connect(sortie)) as base, base:
        assert base.execute(REQUETE_ABIMANTE.format(abime, JANVIER + 10 * JOUR)).rowcount == 1
        if d_avant:
            base.execute("ALTER TABLE funding_series DROP COLUMN lignes")
    assert m.verifier(sortie).code == 4
    assert m.principal(financements(bourse, sortie)) == 0
    assert m.lire(sortie).equals(entiere)
    assert m.verifier(sortie).code == 0


FICHES_ABIMEES: dict[str, Callable[[bytes], bytes]] = {
    "un bit": lambda texte: texte.replace(b'"BTC', b'"BTB'),
    "une date": lambda texte: texte.replace(b"2024-01-01T00:00Z", b"2024-01-01T01:00Z"),
    "coupee": lambda texte: texte[:-20],
    "rien": lambda _: b"",
}


@pytest.mark.parametrize("par", ["relance", "reparer"])
@pytest.mark.parametrize("comment", FICHES_ABIMEES)
def test_une_fiche_abimee_se_voit_et_se_refait(
    comment: str, par: str, bourse: Bourse, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--verifier` 4 ; la même commande, ou `--reparer`, redemande tout ; pas lui si rien ne dit d'où elles sont."""
    sortie = tmp_path / "f.csv"
    assert m.principal(financements(bourse, sortie)) == 0
    entiere, fiches = m.lire(sortie), m.lire_fiches(sortie)
    voisine = sortie.with_name("f.csv.fiche.json")
    voisine.write_bytes(FICHES_ABIMEES[comment](voisine.read_bytes()))
    assert m.verifier(sortie).code == 4
    bourse.requetes.clear()
    if par == "reparer":
        config = json.dumps(bourse.config_ccxt("binance"))
        refuse = comment == "rien"
        assert m.principal(["--verifier", str(sortie), "--reparer", "--config-ccxt", config]) == (2 if refuse else 0)
    else:
        refuse = False
        assert m.principal(financements(bourse, sortie)) == 0
        assert "mis de côté" in capsys.readouterr().err
        assert m.lire_fiches(sortie) == fiches
    if not refuse:
        assert any("fundingRate" in r.chemin for r in bourse.requetes)
        assert m.lire(sortie).equals(entiere)
        assert m.verifier(sortie).code == 0


def oter_une_ligne(sortie: Path) -> None:
    """Une ligne du milieu ôtée par un éditeur, ou un autre outil qui garde la fiche."""
    if sortie.suffix == ".sqlite":
        with contextlib.closing(sqlite3.connect(sortie)) as base, base:
            assert base.execute("DELETE FROM funding WHERE timestamp = ?", (JANVIER + 10 * JOUR,)).rowcount == 1
    elif sortie.suffix == ".parquet":
        lue = pq.read_table(sortie)
        pq.write_table(lue.take([*range(40), *range(41, lue.num_rows)]), sortie)
    elif sortie.suffix == ".feather":
        lue = feather.read_table(sortie)
        feather.write_feather(lue.take([*range(40), *range(41, lue.num_rows)]), str(sortie))
    else:
        ouvrir = gzip.open if sortie.suffix == ".gz" else open
        with ouvrir(sortie, "rb") as fichier:
            rangees = fichier.readlines()
        with ouvrir(sortie, "wb") as fichier:
            fichier.writelines([*rangees[:40], *rangees[41:]])


@pytest.mark.parametrize("suffixe", [".csv", ".csv.gz", ".parquet", ".feather", ".sqlite"])
def test_un_evenement_ote_a_la_main_est_redemande(
    suffixe: str, bourse: Bourse, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sortie = tmp_path / f"f{suffixe}"
    assert m.principal(financements(bourse, sortie)) == 0
    entiere = m.lire(sortie)
    oter_une_ligne(sortie)
    assert m.lire(sortie).num_rows == entiere.num_rows - 1
    rapport = m.verifier(sortie)
    assert (rapport.code, dict(rapport.fautes)) == (4, {"absente": 1})
    capsys.readouterr()
    assert m.principal(financements(bourse, sortie)) == 0
    assert "rien n'est plus tenu pour couvert" in capsys.readouterr().err
    assert m.lire(sortie).equals(entiere)
    assert m.verifier(sortie).code == 0
    financees = [r for r in bourse.requetes if "fundingRate" in r.chemin]
    assert financees
    assert m.principal(financements(bourse, sortie)) == 0
    assert "tenu pour couvert" not in capsys.readouterr().err
    assert financees == [r for r in bourse.requetes if "fundingRate" in r.chemin]


@pytest.mark.parametrize("suffixe", [".csv", ".parquet", ".feather", ".sqlite"])
def test_reparer_redemande_un_evenement_ote_a_la_main(suffixe: str, bourse: Bourse, tmp_path: Path) -> None:
    sortie = tmp_path / f"f{suffixe}"
    assert m.principal(financements(bourse, sortie)) == 0
    entiere = m.lire(sortie)
    oter_une_ligne(sortie)
    config = json.dumps(bourse.config_ccxt("binance"))
    assert m.principal(["--verifier", str(sortie), "--reparer", "--config-ccxt", config]) == 0
    assert m.lire(sortie).equals(entiere)


@pytest.mark.couvrant
@pytest.mark.parametrize("suffixe", [".csv", ".csv.gz", ".parquet", ".feather", ".sqlite"])
@pytest.mark.parametrize("flux", [False, True], ids=["lot", "flux"])
@pytest.mark.parametrize("donnee", [m.TRADES, m.TICKER, m.ORDERBOOK], ids=lambda d: d.nom)
def test_le_compte_des_evenements_est_celui_des_lignes(
    donnee: m.TypeDonnee, flux: bool, suffixe: str, tmp_path: Path
) -> None:
    """Deux séries, des lots qui se recouvrent, des révisions, une reprise sans `finir` : le compte est exact."""
    sortie = tmp_path / f"f{suffixe}"
    btc, eth = cles(donnee)
    for rangs in ((range(30), range(20, 50)), (range(10, 60), range(55, 90), range(5))):
        with creer(sortie, donnee, flux=flux) as ecrivain:
            for unique in rangs:
                for cle in (eth, btc):
                    ecrivain.ecrire(lot_de(donnee, unique, cle, version=len(unique)), fiche(cle))
            if len(rangs) == 2:
                continue
            ecrivain.finir()
    table = m.lire_sortie(sortie)
    comptes = collections.Counter(table["symbole"].to_pylist())
    assert {f.cle.symbole: f.lignes for f in m.lire_fiches(sortie)} == comptes
    assert min(comptes.values()) > 80


@pytest.mark.parametrize("controle", ["\x19", "\0"], ids=["controle", "nul"])
@pytest.mark.parametrize("suffixe", [".csv", ".sqlite"])
def test_un_id_de_trade_abime_est_ote_et_redemande(
    suffixe: str, controle: str, bourse: Bourse, tmp_path: Path
) -> None:
    """Un caractère de contrôle : le collecteur n'en écrit pas. Gardé, ce trade serait là deux fois."""
    sortie = tmp_path / f"t{suffixe}"
    bornes = (JANVIER, JANVIER + 10 * MINUTE)
    assert telecharger(bourse, sortie, bornes, "--donnee", "trades") == 0
    entiere = m.lire(sortie)
    ident = entiere["id"][20].as_py()
    abime = f"{ident[:-2]}{controle}{ident[-1]}"
    if suffixe == ".sqlite":
        with contextlib.closing(sqlite3.connect(sortie)) as base, base:
            base.execute("UPDATE trades SET id = ? WHERE id = ?", (abime, ident))
    else:
        sortie.write_bytes(sortie.read_bytes().replace(f",{ident},".encode(), f",{abime},".encode()))
    assert dict(m.verifier(sortie).fautes) == {"impossible": 1}
    assert telecharger(bourse, sortie, bornes, "--donnee", "trades") == 0
    assert m.lire(sortie).drop_columns("recu").equals(entiere.drop_columns("recu"))
    assert m.verifier(sortie).code == 0


@pytest.mark.parametrize("suffixe", [".csv", ".csv.gz", ".sqlite"])
def test_une_cellule_facultative_illisible_ote_sa_ligne(suffixe: str, bourse: Bourse, tmp_path: Path) -> None:
    """Tenue pour absente, `--verifier` et la relance n'y voyaient rien, et `lire` échouait."""
    sortie = tmp_path / f"t{suffixe}"
    bornes = (JANVIER, JANVIER + 10 * MINUTE)
    assert telecharger(bourse, sortie, bornes, "--donnee", "trades") == 0
    entiere = m.lire(sortie)
    if suffixe == ".sqlite":
        with contextlib.closing(sqlite3.connect(sortie)) as base, base:
            base.execute("UPDATE trades SET cost = '1?4' WHERE id = ?", (entiere["id"][20].as_py(),))
    else:
        ouvrir = gzip.open if sortie.suffix == ".gz" else open
        with ouvrir(sortie, "rb") as fichier:
            rangees = fichier.readlines()
        cellules = rangees[21].split(b",")
        cellules[m.TRADES.noms.index("cost")] = b"1?4"
        with ouvrir(sortie, "wb") as fichier:
            fichier.writelines([*rangees[:21], b",".join(cellules), *rangees[22:]])
    assert dict(m.verifier(sortie).fautes) == {"impossible": 1}
    assert telecharger(bourse, sortie, bornes, "--donnee", "trades") == 0
    assert m.lire(sortie).drop_columns("recu").equals(entiere.drop_columns("recu"))


def test_un_texte_qui_n_est_pas_de_l_utf8_met_la_base_de_cote(bourse: Bourse, tmp_path: Path) -> None:
    sortie = tmp_path / "a.sqlite"
    assert telecharger(bourse, sortie, UNE_HEURE) == 0
    juste = lignes(sortie)
    with contextlib.closing(sqlite3.connect(sortie)) as base, base:
        base.execute("UPDATE ohlcv SET symbole = CAST(x'ff' AS TEXT) WHERE timestamp = ?", (JANVIER + 20 * MINUTE,))
    assert m.verifier(sortie).code == 4
    assert telecharger(bourse, sortie, UNE_HEURE) == 0
    assert lignes(sortie) == juste


@pytest.mark.parametrize("suffixe", [".csv", ".parquet", ".sqlite"])
def test_un_ticker_impossible_est_ote_a_la_relance_aussi(suffixe: str, tmp_path: Path) -> None:
    """Le verdict de la relance est celui de `--verifier`, de tous les types."""
    sortie, (btc, _) = tmp_path / f"f{suffixe}", cles(m.TICKER)
    unique = lot_de(m.TICKER, range(20), btc)
    with creer(sortie, m.TICKER) as ecrivain:
        ecrivain.ecrire(unique, fiche(btc))
        ecrivain.finir()
    if suffixe == ".sqlite":
        with contextlib.closing(sqlite3.connect(sortie)) as base, base:
            base.execute("UPDATE ticker SET bid = 9e999 WHERE timestamp = (SELECT min(timestamp) + 7 FROM ticker)")
    elif suffixe == ".parquet":
        lue = pq.read_table(sortie)
        bids = lue["bid"].to_pylist()
        bids[7] = math.inf
        pq.write_table(lue.set_column(lue.schema.get_field_index("bid"), lue.schema.field("bid"), [bids]), sortie)
    else:
        rangees = sortie.read_text().splitlines(keepends=True)
        cellules = rangees[8].split(",")
        cellules[m.TICKER.noms.index("bid")] = "inf"
        sortie.write_text("".join([*rangees[:8], ",".join(cellules), *rangees[9:]]))
    assert dict(m.verifier(sortie).fautes) == {"impossible": 1}
    with creer(sortie, m.TICKER) as ecrivain:
        assert ecrivain.fiches[btc].couverts != unique.couverts
        ecrivain.finir()
    assert m.lire_sortie(sortie).num_rows == 19
    assert m.verifier(sortie).code == 0


COTES = st.lists(st.tuples(*[st.sampled_from([None, math.nan, math.inf, -1.0, 0.0, 1.0, 2.0, 3.0])] * 2), max_size=3)


@given(st.lists(st.tuples(COTES, COTES), max_size=6))
def test_les_carnets_possibles_sont_ceux_sans_defaut(carnets: list[Any]) -> None:
    """La même règle deux fois : un carnet reçu, et tous ceux d'un fichier."""
    cotes = [[[{"price": p, "amount": q} for p, q in cote] for cote in carnet] for carnet in carnets]
    table = pa.Table.from_pylist(
        [{"bids": bids or None, "asks": asks} for bids, asks in cotes],
        schema=pa.schema([m.ORDERBOOK.schema.field("bids"), m.ORDERBOOK.schema.field("asks")]),
    )
    justes = [not m.defaut_de_carnet(*carnet) for carnet in carnets]
    assert lecture_brute.possibles(table, "", m.ORDERBOOK).to_pylist() == justes
