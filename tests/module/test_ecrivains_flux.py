"""§ 6, les flux : la sortie grossit lot après lot, se lit à tout instant, et ne coûte que ce qu'elle reçoit."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import gzip
import itertools
import json
import logging
import math
import random
import re
import sqlite3
import statistics
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from ligne_de_commande import famille
from sorties_modeles import (
    DEBUT,
    MINUTE,
    VARIANTES,
    attendre_de,
    cles,
    contenu_de,
    creer,
    executer,
    fiche,
    flux_a_tuer,
    ligne,
    lot,
    lot_de,
    modele_de,
    pese,
    restes,
    suivre_sans_fin,
)
from vrais_processus import processus_neufs

import module_ccxt_fr_v2 as m
from annexes_ccxt_fr import reperage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

RACINE = Path(__file__).parents[2]
BTC, ETH = cles(m.TRADES)
SUFFIXES = [suffixe for _, suffixe in VARIANTES]
FONDUS = [".parquet", ".feather", ".csv.gz"]  # ceux qu'un flux fond en route

pytestmark = pytest.mark.filterwarnings("ignore:This process.*multi-threaded:DeprecationWarning")


# Un processus neuf : Arrow choisit sa réserve à son chargement.
FONTES = """
import json, sys
from concurrent import futures
from pathlib import Path

import module_ccxt_fr_v2 as m
from annexes_ccxt_fr import vitesse

releves, fondre = {}, m.SortieFichier._finir


def fondre_et_relever(ecrivain):
    fondre(ecrivain)
    etat = Path("/proc/self/status").read_text()
    releves[ecrivain.tableau.lignes] = int(etat.partition("RssAnon:")[2].split()[0]) / 1024


m.SortieFichier._finir = fondre_et_relever
with vitesse.commande(flux=True), futures.ThreadPoolExecutor(1) as plume:
    with m.ECRIVAINS["parquet"](Path(sys.argv[1]), type_donnee=m.TRADES, flux=True) as ecrivain:
        for rang in range(65):
            cle, debut = m.CleSerie("binance", f"S{rang % 40:02}/USDT"), 1_767_225_600_000 + rang // 40 * 60_000
            trades = [
                m.Trade(debut + n * 50, str(10**9 + 1000 * rang + n), "buy", 6e4 + n * rang % 97, 0.001 * n, 1.5 * n)
                for n in range(1000)
            ]
            lot = m.Lot(cle, m.tabler(cle, trades, m.TRADES), [(debut, debut + 60_000)], [])
            plume.submit(ecrivain.ecrire, lot, m.Fiche(cle)).result()
print(json.dumps(releves))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="lit /proc")
def test_un_flux_rend_au_systeme_ce_que_ses_fontes_ont_pris(tmp_path: Path) -> None:
    """La réserve d'office d'Arrow gardait vingt-cinq Mo de plus à la dernière : le double du groupe qu'elle récrit.

    À chaque fois ; ce qu'un processus rend un instant plus tard (de 0 à 14 Mo) ne se redit pas trois fois de suite.
    """
    ecarts: list[float] = []
    while len(ecarts) < 3 and min(ecarts, default=math.inf) >= 12:
        chemin = tmp_path / f"{len(ecarts)}.parquet"
        lance = subprocess.run(
            [sys.executable, "-c", FONTES, chemin], capture_output=True, text=True, check=True, cwd=RACINE
        )
        releves = {int(lignes): mo for lignes, mo in json.loads(lance.stdout).items()}
        assert list(releves) == [1000 * 2**n for n in range(7)]
        ecarts.append(releves[64_000] - releves[1000])
    assert min(ecarts) < 12, ecarts


@pytest.fixture(scope="module")
def naissances() -> Any:
    """De quoi lancer de vrais processus."""
    return processus_neufs()


@contextlib.contextmanager
def flux(chemin: Path, donnee: m.TypeDonnee = m.TRADES) -> Iterator[Callable[[m.Lot], object]]:
    """Un flux ouvert sur cette sortie ; rend de quoi y écrire un lot, et le finit."""
    with creer(chemin, donnee, flux=True) as ecrivain:
        yield lambda unique: ecrivain.ecrire(unique, m.Fiche(unique.cle))
        ecrivain.finir()


def ids(chemin: Path) -> list[str]:
    return list(m.lire_sortie(chemin)["id"].to_pylist())


# --- CSV : ajouté ligne à ligne


def test_tail_voit_chaque_ligne(tmp_path: Path) -> None:
    """Un lecteur ouvert au début voit chaque lot dès qu'`ecrire` revient ; le fichier n'est jamais remplacé."""
    chemin = tmp_path / "a.csv"
    with flux(chemin) as recevoir:
        recevoir(lot_de(m.TRADES, range(3)))
        inode = chemin.stat().st_ino
        with chemin.open(encoding="utf-8") as queue:
            assert len(queue.readlines()) == 4
            for debut in range(3, 60, 5):
                unique = lot_de(m.TRADES, range(debut, debut + 5), (BTC, ETH)[debut % 2])
                recevoir(unique)
                vues = queue.readlines()
                assert [vue.split(",")[3] for vue in vues] == unique.lignes["id"].to_pylist()
                assert all(vue.endswith("\n") for vue in vues)
    assert chemin.stat().st_ino == inode
    assert restes(chemin) == set()


def test_symboles_entrelaces(tmp_path: Path) -> None:
    """Deux symboles s'entrelacent : la fiche le dit, la lecture rend trié, et le fichier n'est pas récrit à la fin."""
    chemin = tmp_path / "a.csv"
    lots = [lot_de(m.TRADES, range(r, r + 4), cle) for r in range(0, 40, 4) for cle in (BTC, ETH)]
    with flux(chemin) as recevoir:
        for unique in lots:
            recevoir(unique)
            assert len(ids(chemin)) == sum(lot.lignes.num_rows for lot in lots[: lots.index(unique) + 1])
        octets, inode = chemin.read_bytes(), chemin.stat().st_ino
    assert (chemin.read_bytes(), chemin.stat().st_ino) == (octets, inode)
    assert json.loads((tmp_path / "a.csv.fiche.json").read_text())["entrelace"] is True
    assert contenu_de(chemin, m.TRADES) == modele_de(m.TRADES, lots)
    tables = pa.concat_tables(creer(chemin, m.TRADES).lire_tout())
    assert m.est_triee(tables, m.TRADES)
    (tmp_path / "a.csv.fiche.json").unlink()  # sans fiche, les lignes le disent
    assert m.est_triee(pa.concat_tables(creer(chemin, m.TRADES).lire_tout()), m.TRADES)


def test_un_seul_symbole_n_est_pas_entrelace(tmp_path: Path) -> None:
    """Un flux d'un symbole, ou de plusieurs qui se suivent, est en ordre comme un autre."""
    chemin = tmp_path / "a.csv"
    executer(
        chemin, m.TRADES, *(lot_de(m.TRADES, range(r, r + 9), cle) for cle in (BTC, ETH) for r in (0, 9)), flux=True
    )
    assert "entrelace" not in json.loads((tmp_path / "a.csv.fiche.json").read_text())


@pytest.mark.parametrize("place", [1, 4000, 32 << 20])
def test_demeler_en_memoire_bornee(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: int) -> None:
    """Un gros fichier entrelacé se lit en plusieurs passes, par paquets de symboles ou symbole par symbole."""
    chemin = tmp_path / "a.csv"
    series = [BTC._replace(symbole=f"{lettre}/USDT") for lettre in "GACEBDF"]
    lots = [lot_de(m.TRADES, range(r, r + 3), cle) for r in range(0, 60, 3) for cle in series]
    executer(chemin, m.TRADES, *lots, flux=True)
    monkeypatch.setattr(m, "RELECTURE_MAX", place)
    tables = [t for t in creer(chemin, m.TRADES).lire_tout() if t.num_rows]
    tout = pa.concat_tables(tables)
    assert m.est_triee(tout, m.TRADES)
    assert tout.num_rows == 7 * 60
    symboles = {len(t["symbole"].unique()) for t in tables}
    assert (max(symboles) == 7) == (place > 1 << 20)
    with creer(chemin, m.TRADES, flux=True) as ecrivain:
        milieu = ecrivain.lire(series[3], DEBUT + 5, DEBUT + 9)
        assert milieu["id"].to_pylist() == [ligne(m.TRADES, series[3], r)["id"] for r in range(15, 27)]


def test_paquets() -> None:
    """Des paquets triés, qui tiennent dans la place, sauf un symbole trop gros, seul."""
    comptes = {"D": 3, "A": 4, "B": 5, "C": 50}
    assert list(reperage.paquets(comptes, 9)) == [["A", "B"], ["C"], ["D"]]
    assert list(reperage.paquets(comptes, 0)) == [["A"], ["B"], ["C"], ["D"]]
    assert list(reperage.paquets({}, 9)) == []


def test_relances_d_un_csv_entrelace(tmp_path: Path) -> None:
    """Un flux s'y ajoute au même fichier ; une exécution REST le remet en ordre, et le complète."""
    chemin = tmp_path / "a.csv"
    premiers = [lot_de(m.TRADES, range(r, r + 4), cle) for r in range(0, 20, 4) for cle in (BTC, ETH)]
    executer(chemin, m.TRADES, *premiers, flux=True)
    inode = chemin.stat().st_ino
    suite = [lot_de(m.TRADES, range(20, 26), ETH), lot_de(m.TRADES, range(20, 23), BTC)]
    assert executer(chemin, m.TRADES, *suite, flux=True)
    assert chemin.stat().st_ino == inode
    assert contenu_de(chemin, m.TRADES) == modele_de(m.TRADES, premiers + suite)
    assert not executer(chemin, m.TRADES, flux=True)
    assert chemin.stat().st_ino == inode
    rest = [lot_de(m.TRADES, range(10, 30), BTC, 1)]
    assert executer(chemin, m.TRADES, *rest)
    lignes = chemin.read_text().splitlines()[1:]
    assert lignes == sorted(lignes, key=lambda texte: texte.split(",")[1])
    assert "entrelace" not in json.loads((tmp_path / "a.csv.fiche.json").read_text())
    assert contenu_de(chemin, m.TRADES) == modele_de(m.TRADES, premiers + suite + rest)
    assert executer(chemin, m.TRADES, lot_de(m.TRADES, range(30, 33), BTC), flux=True)
    assert json.loads((tmp_path / "a.csv.fiche.json").read_text())["entrelace"]


def test_retard_et_revision_fondus_a_la_fin(tmp_path: Path) -> None:
    """Une ligne en retard ou révisée attend au journal, qu'on lit aussi ; la suite s'ajoute ; la fin fond tout."""
    chemin = tmp_path / "a.csv"
    lots = [
        lot_de(m.TRADES, range(12)),
        lot_de(m.TRADES, range(9), ETH),
        lot_de(m.TRADES, range(15, 30)),
        lot_de(m.TRADES, range(9, 36), version=1),  # des révisions, un retard, puis des lignes neuves
        lot_de(m.TRADES, range(36, 40)),
    ]
    with creer(chemin, m.TRADES, flux=True) as ecrivain:
        for unique in lots:
            ecrivain.ecrire(unique, m.Fiche(unique.cle))
        inode = chemin.stat().st_ino
        assert [t.split(",")[3] for t in chemin.read_text().splitlines()[-4:]] == [str(95 + r) for r in range(36, 40)]
        lues = ecrivain.lire(BTC, DEBUT, DEBUT + 100).to_pylist()
        assert {une["id"]: une for une in lues} == {
            une["id"]: une for une in modele_de(m.TRADES, [x for x in lots if x.cle == BTC]).values()
        }
        assert ecrivain.finir()
        assert chemin.stat().st_ino != inode
    assert contenu_de(chemin, m.TRADES) == modele_de(m.TRADES, lots)
    assert "entrelace" not in json.loads((tmp_path / "a.csv.fiche.json").read_text())
    assert restes(chemin) == set()


@pytest.mark.parametrize("nom", ["a.parquet", "a.feather", "a.csv"])
def test_une_revision_se_reconnait_au_fichier_comme_au_journal(tmp_path: Path, nom: str) -> None:
    """Le fichier n'est pas relu pour une ligne plus récente que toutes les siennes ; pour les autres, si."""
    with creer(tmp_path / nom, m.OHLCV, flux=True) as ecrivain:

        def apport(debut: int, fin: int, version: int = 0) -> tuple[int, int]:
            unique = lot_de(m.OHLCV, range(debut, fin), version=version)
            return ecrivain.ecrire(unique, m.Fiche(unique.cle))

        assert apport(0, 40) == (40, 0)
        assert apport(40, 45) == (5, 0)
        assert apport(3, 5, version=1) == (0, 2), "au fichier"
        assert apport(42, 43, version=1) == (0, 1), "au journal"
        assert apport(44, 47) == (2, 0), "une déjà là, telle quelle"
        ecrivain.finir()
        assert apport(46, 48, version=1) == (1, 1), "au fichier, depuis la fonte"
    with creer(tmp_path / nom, m.OHLCV, flux=True) as ecrivain:
        assert apport(7, 8, version=1) == (0, 1), "d'une exécution d'avant"
        assert apport(48, 49) == (1, 0)


def test_flux_apres_une_interruption_sans_fichier(tmp_path: Path) -> None:
    """Le fichier vient du journal d'une exécution tuée : ses fins sont connues, un retard n'est pas mis au bout."""
    chemin = tmp_path / "a.csv"
    lots = [lot_de(m.TRADES, range(18)), lot_de(m.TRADES, range(6, 35), ETH)]
    with creer(chemin, m.TRADES) as ecrivain:
        for unique in lots:
            ecrivain.ecrire(unique, m.Fiche(unique.cle))
    lots += [lot_de(m.TRADES, range(18, 32)), lot_de(m.TRADES, range(20, 24), ETH, 1)]
    executer(chemin, m.TRADES, *lots[2:], flux=True)
    lots.append(lot_de(m.TRADES, range(33, 54)))
    executer(chemin, m.TRADES, lots[-1])
    assert contenu_de(chemin, m.TRADES) == modele_de(m.TRADES, lots)


def test_ligne_coupee_reparee(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Tué au milieu d'une ligne : elle est retirée à l'ouverture, les autres gardées, et le flux continue."""
    chemin = tmp_path / "a.csv"
    lots = [lot_de(m.TRADES, range(6)), lot_de(m.TRADES, range(6), ETH), lot_de(m.TRADES, range(6, 9))]
    executer(chemin, m.TRADES, *lots, flux=True)
    with chemin.open("ab") as fichier:
        fichier.write(b"binance,BTC/USDT,2024-01-01T00:00:00.003Z,104,buy,1")
    assert len(ids(chemin)) == 15
    with caplog.at_level(logging.WARNING):
        executer(chemin, m.TRADES, lot_de(m.TRADES, range(9, 12)), flux=True)
    assert "dernière ligne incomplète" in caplog.text
    assert contenu_de(chemin, m.TRADES) == modele_de(m.TRADES, [*lots, lot_de(m.TRADES, range(9, 12))])


def test_lignes_sans_fiche_ni_note(tmp_path: Path) -> None:
    """Tué entre les lignes et leur note : les lignes restent, rien n'est inventé ; une bougie présente est couverte."""
    for donnee in (m.OHLCV, m.TRADES):
        chemin, cle = tmp_path / f"{donnee.nom}.csv", cles(donnee)[0]
        with creer(chemin, donnee, flux=True) as ecrivain:
            ecrivain.ecrire(lot_de(donnee, range(9)), m.Fiche(cle))
            ecrivain.ecrire(lot_de(donnee, range(9, 18)), m.Fiche(cle))
        for voisin in (f"{chemin.name}.journal", f"{chemin.name}.fiche.json"):
            (tmp_path / voisin).unlink()
        with creer(chemin, donnee, flux=True) as ecrivain:
            couverts = ecrivain.fiches[cle].couverts
        assert couverts == (lot_de(donnee, range(18)).couverts if donnee.a_une_grille else [])
        assert len(m.lire_sortie(chemin)) == 18


@pytest.mark.parametrize("perte", ["abîmé", "effacé"])
@pytest.mark.parametrize("suffixe", [s for s in SUFFIXES if s != ".sqlite"])
def test_fichier_de_flux_perdu_apres_une_interruption(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffixe: str, perte: str
) -> None:
    """Le fichier perdu, ce que le journal en disait ne prouve plus rien ; les lignes du journal sont gardées."""
    monkeypatch.setattr(m, "JOURNAL_MAX", 2000)
    chemin = tmp_path / f"a{suffixe}"
    lots = [lot_de(m.TRADES, range(r, r + 3)) for r in range(0, 60, 3)]
    with creer(chemin, m.TRADES, flux=True) as ecrivain:
        for unique in lots:
            ecrivain.ecrire(unique, m.Fiche(BTC))
        monkeypatch.setattr(m, "JOURNAL_MAX", 1 << 30)  # ce lot-là attend au journal
        ecrivain.ecrire(lot_de(m.TRADES, range(30, 36), version=1), m.Fiche(BTC))
    if perte == "abîmé":
        chemin.write_bytes(b"\0" * 3000)
    else:
        chemin.unlink()
    with creer(chemin, m.TRADES) as ecrivain:
        ecrivain.finir()
        prouves = ecrivain.fiches[BTC].couverts
    presents = {une["timestamp"].timestamp() * 1000 for une in m.lire_sortie(chemin).to_pylist()}
    assert presents
    for debut, fin in prouves:
        assert presents >= set(range(debut, fin))


def test_csv_illisible_en_plein_flux(tmp_path: Path) -> None:
    """Abîmé sous un flux, le fichier est mis de côté ; le flux reprend dans un neuf, et n'y prouve que le neuf."""
    chemin = tmp_path / "a.csv"
    executer(chemin, m.TRADES, lot_de(m.TRADES, range(30)))
    with creer(chemin, m.TRADES, flux=True) as ecrivain:
        ecrivain.ecrire(lot_de(m.TRADES, range(30, 36)), m.Fiche(BTC))
        intacts = chemin.read_bytes()
        chemin.write_bytes(intacts[:300] + b"\xff" * 200 + intacts[500:])
        with pytest.raises(m.ErreurSortie, match="illisible"):
            ecrivain.lire(BTC, DEBUT, DEBUT + 100)
        neuf = lot_de(m.TRADES, range(36, 42))
        ecrivain.ecrire(neuf, m.Fiche(BTC))
    with creer(chemin, m.TRADES) as ecrivain:  # interrompu, repris
        assert ecrivain.fiches[BTC].couverts == neuf.couverts
        ecrivain.finir()
    assert contenu_de(chemin, m.TRADES) == modele_de(m.TRADES, [neuf])


def test_un_flux_qui_vient_de_s_entrelacer_se_lit_trie(tmp_path: Path) -> None:
    """Sa fiche ne le dit pas encore : un lecteur, qui voit le fichier changé, n'en croit que les lignes."""
    chemin = tmp_path / "a.csv"
    lots = [lot_de(m.TRADES, range(3)), lot_de(m.TRADES, range(3), ETH), lot_de(m.TRADES, range(3, 6))]
    with creer(chemin, m.TRADES, flux=True) as ecrivain:
        for unique in lots:
            ecrivain.ecrire(unique, m.Fiche(unique.cle))
        assert "entrelace" not in json.loads((tmp_path / "a.csv.fiche.json").read_text())
        assert m.est_triee(pa.concat_tables(creer(chemin, m.TRADES).lire_tout()), m.TRADES)
        assert m.verifier(chemin).code == 0
        ecrivain.finir()
    assert json.loads((tmp_path / "a.csv.fiche.json").read_text())["entrelace"]
    assert contenu_de(chemin, m.TRADES) == modele_de(m.TRADES, lots)


@pytest.mark.posix
def test_disque_plein_en_flux(tmp_path: Path) -> None:
    """Un lot refusé au milieu ne laisse pas de demi-ligne ; le suivant, s'il tient, s'ajoute."""
    resource = pytest.importorskip("resource")
    chemin = tmp_path / "a.csv"
    with creer(chemin, m.TRADES, flux=True) as ecrivain:
        ecrivain.ecrire(lot_de(m.TRADES, range(5)), m.Fiche(BTC))
        avant = chemin.read_bytes()
        douce, dure = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (8000, dure))
        try:
            with pytest.raises(m.ErreurSortie, match="taille permise"):
                ecrivain.ecrire(lot_de(m.TRADES, range(5, 500)), m.Fiche(BTC))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (douce, dure))
        assert chemin.read_bytes() == avant
        ecrivain.ecrire(lot_de(m.TRADES, range(5, 500)), m.Fiche(BTC))
        ecrivain.finir()
    assert contenu_de(chemin, m.TRADES) == modele_de(m.TRADES, [lot_de(m.TRADES, range(500))])


def test_gzip_sous_un_nom_en_csv(tmp_path: Path) -> None:
    """Un flux n'ajoute jamais de texte au bout d'un fichier compressé."""
    chemin = tmp_path / "a.csv"
    with creer(chemin, m.TRADES, compression="gzip") as ecrivain:
        ecrivain.ecrire(lot_de(m.TRADES, range(5)), m.Fiche(BTC))
        ecrivain.finir()
    for compression, debut in ((None, 5), ("none", 10)):
        with creer(chemin, m.TRADES, compression=compression, flux=True) as ecrivain:
            ecrivain.ecrire(lot_de(m.TRADES, range(debut, debut + 5)), m.Fiche(BTC))
            ecrivain.finir()
    assert len(ids(chemin)) == 15


def test_fiche_tenue_pendant_le_flux(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """La fiche du CSV existe dès le premier lot, et se tient à jour sans être récrite à chaque lot."""
    chemin = tmp_path / "a.csv"
    ecritures: list[str] = []
    vraie = m.ecrire_atomique

    def noter(cible: Path, remplir: Any) -> None:
        ecritures.append(cible.name)
        vraie(cible, remplir)

    monkeypatch.setattr(m, "ecrire_atomique", noter)
    with flux(chemin) as recevoir:
        recevoir(lot_de(m.TRADES, range(5)))
        assert m.lire_fiches(chemin)[0].couverts == [(DEBUT, DEBUT + 2)]
        for rang in range(5, 200):
            recevoir(lot_de(m.TRADES, [rang]))
        assert ecritures == ["a.csv", "a.csv.fiche.json"]
        monkeypatch.setattr(m, "CADENCE_FICHE_S", 0.0)
        recevoir(lot_de(m.TRADES, [200]))
        assert m.lire_fiches(chemin)[0].couverts[-1][1] == DEBUT + 200 // 3 + 1


# --- Parquet, Feather, CSV compressé : fontes amorties


@pytest.mark.parametrize("suffixe", FONDUS)
def test_fontes_amorties(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffixe: str) -> None:
    """Deux cent mille lignes, par lots : ce qui est écrit au total reste en proportion du fichier final."""
    chemin, ecrits = tmp_path / f"a{suffixe}", [0, 0]
    vraie = m.ecrire_atomique

    def compter(cible: Path, remplir: Any) -> None:
        vraie(cible, remplir)
        ecrits[0] += cible.stat().st_size
        ecrits[1] += cible == chemin

    monkeypatch.setattr(m, "ecrire_atomique", compter)
    colonnes = {
        "exchange": pa.repeat("binance", 500),
        "symbole": pa.repeat("BTC/USDT", 500),
        "side": pa.repeat("buy", 500),
        **{nom: pa.array([random.Random(0).random()] * 500) for nom in ("price", "amount", "cost")},
    }
    vues = 0
    with creer(chemin, m.TRADES, flux=True) as ecrivain:
        for numero in range(400):
            rangs = range(numero * 500, numero * 500 + 500)
            instants = pa.array([DEBUT + r for r in rangs], pa.timestamp("ms", "UTC"))
            propres = {**colonnes, "timestamp": instants, "recu": instants, "id": pa.array([str(r) for r in rangs])}
            table = pa.table([propres[nom] for nom in m.TRADES.noms], schema=m.TRADES.schema)
            ecrivain.ecrire(m.Lot(BTC, table, [(DEBUT + rangs[0], DEBUT + rangs[-1] + 1)], []), m.Fiche(BTC))
            if numero in (0, 3, 50, 200):  # le fichier existe et se lit, avec l'essentiel de ce qui est reçu
                lignes = len(m.lire_sortie(chemin))
                assert lignes >= max(vues, (numero + 1) * 500 // 2)
                vues = lignes
                assert len(list(tmp_path.iterdir())) <= 5
                assert len(ecrivain.fiches[BTC].couverts) == 1
        ecrivain.finir()
    assert len(ids(chemin)) == 200_000
    assert ecrits[1] <= 20
    assert ecrits[0] <= 5 * chemin.stat().st_size
    assert restes(chemin) == set()


@pytest.mark.parametrize("suffixe", FONDUS)
def test_petit_flux_fondu_avec_l_age(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffixe: str) -> None:
    """Peu de lignes attendent au journal ; vieilles, elles sont fondues, si cela coûte peu."""
    chemin = tmp_path / f"a{suffixe}"
    with creer(chemin, m.TRADES, flux=True) as ecrivain:
        for rang in range(30):
            ecrivain.ecrire(lot_de(m.TRADES, [rang]), m.Fiche(BTC))
        assert len(ids(chemin)) == 1
        monkeypatch.setattr(m, "ATTENTE_FONTE_S", 0.0)
        monkeypatch.setattr(m, "PART_DU_TEMPS", 1e9)
        ecrivain.ecrire(lot_de(m.TRADES, [30]), m.Fiche(BTC))
        assert len(ids(chemin)) == 1  # la dernière fonte a coûté trop pour cet âge
        monkeypatch.setattr(m, "PART_DU_TEMPS", 0.0)
        ecrivain.ecrire(lot_de(m.TRADES, [31]), m.Fiche(BTC))
        assert len(ids(chemin)) == 32
        assert ecrivain.finir()
        assert not ecrivain.finir()
    assert len(m.lire_sortie(chemin)) == 32


@pytest.mark.couvrant(suffixe=famille, un_par_famille=("suffixe",))  # le journal ignore le codec
@pytest.mark.parametrize("suffixe", [s for s in SUFFIXES if s != ".sqlite"])
def test_journal_condense(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffixe: str) -> None:
    """Un long flux ne fait pas grossir le journal sans fin ; abandonné, il rend tout ce qu'il tenait."""
    monkeypatch.setattr(m, "JOURNAL_MAX", 20_000)
    monkeypatch.setattr(m, "LIGNES_A_FONDRE", 10_000)
    chemin, alea, lots = tmp_path / f"a{suffixe}", random.Random(3), []
    tailles = []
    with creer(chemin, m.TRADES, flux=True) as ecrivain:
        for rang in range(0, 1000, 2):
            debut = rang if alea.random() < 0.9 else max(0, rang - 40)
            lots.append(lot_de(m.TRADES, range(debut, rang + 2), alea.choice([BTC, ETH]), rang))
            ecrivain.ecrire(lots[-1], m.Fiche(lots[-1].cle))
            tailles.append(ecrivain.reprise.octets)  # type: ignore[attr-defined]
        trou = lots[-1]._replace(lignes=lots[-1].lignes[:0], couverts=[], trous=[m.Trou(DEBUT, DEBUT + 9, m.ECHEC)])
        ecrivain.ecrire(trou, m.Fiche(trou.cle))
        fiches = dict(ecrivain.fiches)
    assert any(apres < avant for avant, apres in itertools.pairwise(tailles))
    assert max(tailles) < 200_000
    with creer(chemin, m.TRADES) as ecrivain:
        for cle, fiche in ecrivain.fiches.items():  # ce que tenait le journal n'était pas encore compté
            assert fiche == dataclasses.replace(fiches[cle], lignes=fiche.lignes)
        ecrivain.finir()
    assert contenu_de(chemin, m.TRADES) == modele_de(m.TRADES, lots)
    assert restes(chemin) == set()


@pytest.mark.parametrize("lignes", [1, m.PETIT_LOT, m.PETIT_LOT + 1, 500])
def test_un_lot_du_journal_se_relit_tel_quel(tmp_path: Path, lignes: int) -> None:
    """Petit, il n'est pas comprimé : il ne pèse pas plus que ses colonnes, et se relit du même geste."""
    lot = lot_de(m.TRADES, range(lignes), BTC)
    journal = m.JournalDeReprise(tmp_path / "a.journal", m.TRADES)
    for _ in range(2):
        journal.ajouter(lot.lignes, {"n": lignes})
    journal.ajouter(lot.lignes[:0], {"n": 0})
    journal.fermer()
    relu = m.JournalDeReprise(tmp_path / "a.journal", m.TRADES)
    assert [note["n"] for note in relu.reprendre()] == [lignes, lignes, 0]
    assert pa.concat_tables(relu.flot()).equals(lot.lignes.combine_chunks())
    assert relu.lignes == 2 * lignes


def test_le_journal_se_relit_par_petits_paquets_de_lots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Des milliers de lots d'une ligne ne sont jamais en mémoire à la fois : chacun y pèse bien plus que sa ligne."""
    monkeypatch.setattr(m, "LOTS_A_REUNIR", 4)
    chemin, alea = tmp_path / "a.parquet", random.Random(5)
    rangs = [*range(60), *alea.sample(range(60), 20)]  # un tiers, rendu deux fois : la dernière l'emporte
    lots = [lot_de(m.TRADES, [rang], alea.choice([BTC, ETH]), version) for version, rang in enumerate(rangs)]
    with creer(chemin, m.TRADES, flux=True) as ecrivain:
        for lot in lots:
            ecrivain.reprise.ajouter(lot.lignes, {})  # type: ignore[attr-defined]
        tables = list(ecrivain.reprise.flot())  # type: ignore[attr-defined]
    assert max(table.num_rows for table in tables) <= 4 + 2  # et ceux qui attendaient la suite de leur instant
    assert {colonne.num_chunks for table in tables for colonne in table.columns} == {1}
    relu = pa.concat_tables(tables)
    assert m.est_triee(relu, m.TRADES)
    assert {tuple(une[n] for n in m.TRADES.cle): une for une in relu.to_pylist()} == modele_de(m.TRADES, lots)


OUVRIR_PUIS_ECRIRE = f"""
import os, sys
sys.path.insert(0, "tests/outils")
import module_ccxt_fr_v2 as m
import sorties_modeles  # le registre, codec à éprouver compris
cle = m.CleSerie("binance", "BTC/USDT")
trades = [m.Trade({DEBUT} + n, str(n), "buy", 1.0, 1.0) for n in range(3000)]
lot = m.Lot(cle, m.tabler(cle, trades, m.TRADES), [({DEBUT}, {DEBUT} + 3000)], [])
for suffixe in sys.argv[2:]:
    if os.fork():
        os.wait()  # l'enfant ne lègue pas ses imports au suivant
        continue
    chemin = m.Path(sys.argv[1], "a" + suffixe)
    with m.ECRIVAINS[m.EXTENSIONS[suffixe]](chemin, type_donnee=m.TRADES, flux=True) as ecrivain:
        ouverts = set(sys.modules)
        ecrivain.ecrire(lot, m.Fiche(cle))
        lourds = [nom for nom in set(sys.modules) - ouverts if nom.startswith("pyarrow.") and "._" not in nom]
    print(suffixe, *sorted(lourds), flush=True)
    break
"""


@pytest.mark.posix
@pytest.mark.parametrize("suffixes", [[".jsonl"] if ".jsonl" in SUFFIXES else SUFFIXES], ids="-".join)
def test_un_flux_n_importe_rien_une_fois_ouvert(tmp_path: Path, suffixes: list[str]) -> None:
    """Un import dans le fil d'écriture tient le GIL un dixième de seconde : la réception attendrait."""
    commande = [sys.executable, "-c", OUVRIR_PUIS_ECRIRE, str(tmp_path), *suffixes]
    fin = subprocess.run(commande, cwd=RACINE, capture_output=True, text=True, check=True)
    assert fin.stdout.split() == [*suffixes]


def test_condensation_refusee_par_le_disque(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Le disque refuse de remplacer le journal : rien n'en est perdu."""
    monkeypatch.setattr(m, "JOURNAL_MAX", 5000)
    chemin = tmp_path / "a.parquet"
    lots = [lot_de(m.TRADES, range(r, r + 3)) for r in range(0, 60, 3)]
    with creer(chemin, m.TRADES, flux=True) as ecrivain:
        for unique in lots:
            with monkeypatch.context() as bouchon:
                if unique is not lots[0]:
                    bouchon.setattr(
                        type(chemin), "replace", lambda *_: (_ for _ in ()).throw(OSError(errno.ENOSPC, "plein"))
                    )
                with contextlib.suppress(m.ErreurSortie):
                    ecrivain.ecrire(unique, m.Fiche(BTC))
    with creer(chemin, m.TRADES) as ecrivain:
        ecrivain.finir()
    assert contenu_de(chemin, m.TRADES) == modele_de(m.TRADES, lots)
    assert restes(chemin) == set()


# --- SQLite


def test_sqlite_en_flux(tmp_path: Path) -> None:
    """De petits lots sans fin : le -wal reste borné, un lecteur voit l'état d'après chaque lot sans attendre."""
    chemin = tmp_path / "a.db"
    with creer(chemin, m.TRADES, flux=True) as ecrivain:
        for rang in range(3000):
            ecrivain.ecrire(lot_de(m.TRADES, [rang], (BTC, ETH)[rang % 2]), m.Fiche((BTC, ETH)[rang % 2]))
            if rang % 1000 == 999:
                with contextlib.closing(sqlite3.connect(f"file:{chemin}?mode=ro", uri=True, timeout=0)) as lecteur:
                    assert lecteur.execute("SELECT COUNT(*) FROM trades").fetchone() == (rang + 1,)
        assert (tmp_path / "a.db-wal").stat().st_size < 16 << 20
        ecrivain.finir()
    assert restes(chemin) == set()
    assert len(m.lire(chemin)) == 3000


# --- Pour tous : rien de perdu


@pytest.mark.parametrize("suffixe", SUFFIXES)
def test_tuer_un_flux(naissances: Any, tmp_path: Path, suffixe: str) -> None:
    """Tué n'importe quand, un flux a gardé tout lot dont `ecrire` était revenu, et n'a pas inventé de preuve."""
    alea, place = random.Random(suffixe), SUFFIXES.index(suffixe)
    for essai, donnee in enumerate(m.TYPES.values(), start=place):
        chemin, temoin = tmp_path / str(essai) / f"a{suffixe}", tmp_path / f"temoin{essai}"
        temoin.touch()
        processus = naissances.Process(target=suivre_sans_fin, args=(chemin, donnee.nom, essai, temoin), daemon=True)
        processus.start()
        vise = alea.randrange(0, 40)
        attendre_de(processus, partial(pese, temoin, vise))
        time.sleep(alea.uniform(0, 0.003))
        processus.kill()
        processus.join()
        verifier_flux(chemin, donnee, flux_a_tuer(donnee, essai), temoin.stat().st_size, relance=bool(essai % 2))


def verifier_flux(chemin: Path, donnee: m.TypeDonnee, lots: list[m.Lot], confirmes: int, *, relance: bool) -> None:
    """Tous les lots confirmés, au plus le suivant, en partie ; et d'elles seules, les preuves."""
    if chemin.exists():
        m.lire_sortie(chemin)  # lisible avant toute réparation
        m.lire_fiches(chemin)
    with creer(chemin, donnee, flux=relance) as ecrivain:
        prouves = {cle: fiche.couverts for cle, fiche in ecrivain.fiches.items() if fiche.couverts}
        ecrivain.finir()
    trouve = contenu_de(chemin, donnee) if chemin.exists() else {}
    avant, apres = (modele_de(donnee, lots[:n]) for n in (confirmes, confirmes + 1))
    assert avant.keys() <= trouve.keys() <= apres.keys()
    assert all(une in (avant.get(cle), apres[cle]) for cle, une in trouve.items())
    certains, possibles = couverts_de(lots[:confirmes]), couverts_de(lots[: confirmes + 1])
    assert prouves in (certains, possibles) or donnee.a_une_grille  # une bougie présente, elle, se prouve seule
    for cle in possibles:
        assert not m.oter(certains.get(cle, []), prouves.get(cle, []))
        assert not m.oter(prouves.get(cle, []), possibles[cle])
        instants = sorted(
            une["timestamp"].timestamp() * 1000 for une in trouve.values() if une["symbole"] == cle.symbole
        )
        for debut, fin in prouves.get(cle, []):
            assert instants[0] <= debut < fin <= instants[-1] + MINUTE
    assert restes(chemin) == set()


def couverts_de(lots: list[m.Lot]) -> dict[m.CleSerie, list[m.Intervalle]]:
    """Ce que ces lots prouvent."""
    couverts: dict[m.CleSerie, list[m.Intervalle]] = {}
    for unique in lots:
        couverts[unique.cle] = m.unir(couverts.get(unique.cle, []), unique.couverts)
    return couverts


@pytest.mark.couvrant(suffixe=famille, un_par_famille=("suffixe",))  # le journal ignore le codec
@pytest.mark.parametrize("suffixe", SUFFIXES)
def test_ecrire_un_petit_lot_est_bon_marche(tmp_path: Path, suffixe: str) -> None:
    """Un lot d'une ligne se range en quelques centaines d'appels, autant pour deux cents séries que pour vingt.

    Compter les appels dit ce qu'il coûte quelle que soit la machine ; une fonte, amortie, en fait cent fois plus.
    """
    peu, beaucoup = (_appels_par_lot(tmp_path / f"{nombre}{suffixe}", nombre) for nombre in (20, 200))
    assert peu == beaucoup < 600


def _appels_par_lot(chemin: Path, nombre: int) -> float:
    """La médiane de ce qu'en coûte l'écriture : un lot d'une ligne à chaque série, après deux qui l'ont ouverte."""
    series = [BTC._replace(symbole=f"S{n}/USDT") for n in range(nombre)]
    appels: list[int] = []

    def compter(_cadre: object, evenement: str, _de: object) -> None:
        appels[-1] += evenement in ("call", "c_call")

    with creer(chemin, m.TRADES, flux=True) as ecrivain:
        for unique in [lot_de(m.TRADES, [rang], cle) for rang in range(3) for cle in series]:
            appels.append(0)
            sys.setprofile(compter if len(appels) > 2 * nombre else None)
            try:
                ecrivain.ecrire(unique, m.Fiche(unique.cle))
            finally:
                sys.setprofile(None)
        ecrivain.finir()
    assert len(m.lire_sortie(chemin)) == 3 * nombre
    return statistics.median(appels[2 * nombre :])


@pytest.mark.parametrize("suffixe", SUFFIXES)
def test_un_lecteur_pendant_le_flux(tmp_path: Path, suffixe: str) -> None:
    """À chaque instant, la sortie se lit, triée, sans doublon, et ne perd jamais une ligne déjà vue."""
    chemin, vues = tmp_path / f"a{suffixe}", set[Any]()
    lots = flux_a_tuer(m.ORDERBOOK, 5)
    with flux(chemin, m.ORDERBOOK) as recevoir:
        for rang, unique in enumerate(lots):
            recevoir(unique)
            if rang % 4 == 0:
                trouve = contenu_de(chemin, m.ORDERBOOK).keys()
                assert vues <= trouve
                vues = set(trouve)
    assert contenu_de(chemin, m.ORDERBOOK) == modele_de(m.ORDERBOOK, lots)


@pytest.mark.parametrize("date", [r"\1 \2\3", r"\1"], ids=["heures", "jours"])
@pytest.mark.parametrize("nom", ["a.csv", "a.csv.gz"])
def test_un_flux_continue_un_csv_recrit_sans_fuseau(tmp_path: Path, nom: str, date: str) -> None:
    """DuckDB d'avant 1.3 ; pandas, d'instants naïfs, tous à minuit : au bout, nos lignes ne s'y liraient pas."""
    chemin, cle, lignes = tmp_path / nom, cles(m.OHLCV)[0], lot(range(6)).lignes
    if date == r"\1":
        cle = cle._replace(timeframe="1d")
        jours = pa.array([DEBUT + m.JOUR_MS * rang for rang in range(6)])
        lignes = m.habiller(cle, lignes.select(m.VALEURS_OHLCV).add_column(0, "timestamp", jours))
    instants = m.instants_de(lignes)
    with creer(chemin) as ecrivain:
        ecrivain.ecrire(m.Lot(cle, lignes[:3], [(instants[0], instants[3])], []), fiche(cle))
        ecrivain.finir()
    texte = (gzip.decompress if nom.endswith(".gz") else bytes)(chemin.read_bytes()).decode()
    texte = re.sub(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(\.\d+)Z", date, texte)
    chemin.write_bytes((gzip.compress if nom.endswith(".gz") else bytes)(texte.encode()))
    assert m.lire(chemin).equals(lignes[:3])
    with creer(chemin, flux=True) as ecrivain:
        ecrivain.ecrire(m.Lot(cle, lignes[3:], [(instants[3], instants[5] + 1)], []), fiche(cle))
        assert m.lire(chemin)[:3].equals(lignes[:3])
        ecrivain.finir()
    assert m.lire(chemin).equals(lignes)
