"""§ 6 : `kill -9`, disque plein, droits, fichiers abîmés, verrous. Rien n'est perdu, rien n'est abîmé."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import gzip
import itertools
import json
import logging
import os
import random
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from attente import PLAFOND_S
from couverture import une_seule
from ligne_de_commande import famille
from sorties_modeles import (
    BTC,
    ETH,
    MINUTE,
    VARIANTES,
    attendre_de,
    bougie,
    cles,
    contenu,
    contenu_de,
    couverts,
    creer,
    ecrire,
    ecrire_sans_fin,
    executer,
    fiche,
    instant,
    lot,
    lot_de,
    lots_a_tuer,
    modele_de,
    pese,
    plage,
    restes,
    tenir,
)
from vrais_processus import processus_neufs

import module_ccxt_fr_v2 as m
from annexes_ccxt_fr import causes, octets_douteux, reperage
from annexes_ccxt_fr.place import CONSEIL_PLACE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sorties_modeles import Modele

TUES_PAR_FORMAT = 6
FICHIERS = [suffixe for nom, suffixe in VARIANTES if nom != "sqlite"]

pytestmark = pytest.mark.filterwarnings("ignore:This process.*multi-threaded:DeprecationWarning")


@pytest.fixture(params=[suffixe for _, suffixe in VARIANTES])
def sortie(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return tmp_path / f"btc{request.param}"


@pytest.fixture(params=FICHIERS)
def fichier(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Une sortie des formats à journal."""
    return tmp_path / f"btc{request.param}"


@pytest.fixture(scope="module")
def naissances() -> Any:
    """De quoi lancer de vrais processus."""
    return processus_neufs()


def abandonner(chemin: Path, *lots: m.Lot) -> None:
    """Une exécution interrompue : les lots sont reçus, jamais fondus."""
    with creer(chemin) as ecrivain:
        for unique in lots:
            ecrivain.ecrire(unique, fiche(unique.cle))


# --- kill -9


def oracle(lots: list[m.Lot]) -> tuple[Modele, dict[m.CleSerie, list[m.Intervalle]]]:
    """Ce que doit tenir la sortie après ces lots."""
    modele: Modele = {}
    couverture: dict[m.CleSerie, list[m.Intervalle]] = {}
    for unique in lots:
        lignes = zip(
            m.instants_de(unique.lignes), *(unique.lignes[n].to_pylist() for n in m.VALEURS_OHLCV), strict=True
        )
        modele.setdefault(unique.cle, {}).update({(i - instant(0)) // MINUTE: tuple(v) for i, *v in lignes})
        couverture[unique.cle] = m.unir(couverture.get(unique.cle, []), unique.couverts)
    return modele, couverture


@pytest.mark.parametrize("suffixe", [suffixe for _, suffixe in VARIANTES])
def test_tuer_a_n_importe_quel_instant(naissances: Any, tmp_path: Path, suffixe: str) -> None:
    """Tué n'importe quand (écriture, fonte, ouverture), un écrivain a gardé tout lot dont `ecrire` était revenu."""
    alea = random.Random(suffixe)
    for essai in range(TUES_PAR_FORMAT):
        chemin, temoin = tmp_path / str(essai) / f"a{suffixe}", tmp_path / f"temoin{essai}"
        temoin.touch()
        processus = naissances.Process(target=ecrire_sans_fin, args=(chemin, essai, temoin), daemon=True)
        processus.start()
        vise = alea.randrange(0, 30)
        attendre_de(processus, partial(pese, temoin, vise))
        time.sleep(alea.uniform(0, 0.004))
        processus.kill()
        processus.join()
        confirmes = temoin.stat().st_size
        verifier_reprise(chemin, lots_a_tuer(essai), confirmes)


def verifier_reprise(chemin: Path, lots: list[m.Lot], confirmes: int) -> None:
    """La reprise rend exactement un préfixe de l'oracle, qui tient au moins tous les lots confirmés."""
    if chemin.exists():
        m.lire_sortie(chemin)  # lisible avant toute réparation
    with creer(chemin) as ecrivain:
        repris = {cle: f.couverts for cle, f in ecrivain.fiches.items()}
        ecrivain.finir()
    trouve = contenu(chemin) if chemin.exists() else {}
    possibles = [oracle(lots[:n]) for n in (confirmes, confirmes + 1)]  # tué entre l'écriture et le témoin
    assert (trouve, repris) in possibles
    assert restes(chemin) == set()


def test_journal_coupe_a_tout_octet(tmp_path: Path) -> None:
    """Coupé n'importe où, un journal rend exactement ses lots entiers, et disparaît une fois fondu."""
    origine = tmp_path / "a.parquet"
    lots = [lot({r: bougie(r, n) for r in range(n * 3, n * 3 + 5)}) for n in range(3)]
    fins = []
    with creer(origine) as ecrivain:
        for unique in lots:
            ecrivain.ecrire(unique, fiche())
            fins.append((tmp_path / "a.parquet.journal").stat().st_size)
    octets = (tmp_path / "a.parquet.journal").read_bytes()
    attendus = [oracle(lots[:n])[0] for n in range(4)]
    alea = random.Random(0)
    coupes = {
        *range(40),
        *(f + d for f in (0, *fins) for d in (-9, -8, -1, 0, 1, 8, 9)),
        *alea.sample(range(len(octets)), 60),
    }
    for coupe in sorted(c for c in coupes if 0 <= c <= len(octets)):
        chemin = tmp_path / f"{coupe}" / "a.parquet"
        chemin.parent.mkdir()
        chemin.with_name("a.parquet.journal").write_bytes(octets[:coupe])
        ecrire(chemin)
        entiers = sum(coupe >= fin for fin in fins)
        assert (contenu(chemin) if chemin.exists() else {}) == attendus[entiers], coupe
        assert restes(chemin) - {chemin.name} == set(), coupe


def test_journal_qui_n_en_est_pas_un(fichier: Path) -> None:
    """Un journal illisible est mis de côté, et la commande fait son travail."""
    fichier.with_name(f"{fichier.name}.journal").write_bytes(b"n'importe quoi" * 100)
    ecrire(fichier, lot(range(5)))
    assert sorted(contenu(fichier)[BTC]) == list(range(5))
    (reste,) = restes(fichier)
    assert ".journal.corrompu-" in reste


def test_reprise_puis_suite(fichier: Path) -> None:
    """Le journal d'une exécution interrompue est fondu à l'ouverture, par-dessus ce qui était déjà là."""
    vide = [m.Trou(*plage(30, 35), m.SANS_TRANSACTION)]
    ecrire(fichier, lot(range(20)), lot(range(4), ETH))
    abandonner(fichier, lot({r: bougie(r, 1) for r in range(15, 30)}), lot([], couverts=[plage(30, 35)], trous=vide))
    with creer(fichier) as ecrivain:
        assert ecrivain.fiches[BTC].couverts == [plage(0, 35)]
        assert not fichier.with_name(f"{fichier.name}.journal").exists()
        assert ecrivain.finir()  # depuis l'ouverture, le fichier a changé : le bilan ne le dit pas « inchangé »
        assert not ecrivain.finir()
    assert contenu(fichier)[BTC] == {r: bougie(r, int(r >= 15)) for r in range(30)}


def test_tue_entre_le_csv_et_sa_fiche(tmp_path: Path) -> None:
    """Le CSV est remplacé avant sa fiche ; tué entre les deux, rien n'est redemandé ni perdu."""
    chemin = tmp_path / "a.csv"
    ecrire(chemin, lot(range(10)))
    abandonner(chemin, lot(range(10, 20)))
    for nom in ("a.csv.fiche.json", "a.csv.journal"):
        shutil.copy2(tmp_path / nom, tmp_path / f"{nom}.avant")
    ecrire(chemin)
    for nom in ("a.csv.fiche.json", "a.csv.journal"):
        shutil.move(tmp_path / f"{nom}.avant", tmp_path / nom)
    with creer(chemin) as ecrivain:
        assert ecrivain.fiches[BTC].couverts == [plage(0, 20)]
    assert sorted(contenu(chemin)[BTC]) == list(range(20))
    assert restes(chemin) == set()


def ecrire_et_mourir(
    chemin: Path, donnee: str, lots: list[m.Lot], ou: tuple[str, str, int], reglages: dict[str, Any]
) -> None:
    """Corps d'un processus : écrit ces lots ; meurt au n-ième appel d'une méthode, avant elle (ou après, si n < 0)."""
    nom, methode, rang = ou
    vraie, appels = getattr(getattr(m, nom), methode), itertools.count(1)

    def fatale(*arguments: Any) -> Any:
        numero = next(appels)
        if numero == rang:
            os.kill(os.getpid(), signal.SIGKILL)
        rendu = vraie(*arguments)
        if numero == -rang:
            os.kill(os.getpid(), signal.SIGKILL)
        return rendu

    setattr(getattr(m, nom), methode, fatale)
    with creer(chemin, m.TYPES[donnee], **reglages) as ecrivain:
        for unique in lots:
            connue = m.Fiche(unique.cle) if donnee != "ohlcv" else fiche(unique.cle)
            ecrivain.ecrire(unique, dataclasses.replace(connue, origine=reglages.get("origine") or m.REEL))
        ecrivain.finir()


def mourir(naissances: Any, *arguments: Any) -> None:
    """`ecrire_et_mourir`, dans son processus."""
    processus = naissances.Process(target=ecrire_et_mourir, args=arguments, daemon=True)
    processus.start()
    processus.join(PLAFOND_S)
    assert processus.exitcode == -signal.SIGKILL


@pytest.mark.parametrize(
    ("flux", "ou"),
    [(False, ("Feuille", "ecrire", 1)), (True, ("Feuille", "ecrire", 1)), (True, ("Bout", "ajouter", -1))],
    ids=["rest", "flux", "premier_lot"],
)
def test_tue_avant_la_premiere_fiche_d_un_csv_invente(
    naissances: Any, tmp_path: Path, flux: bool, ou: tuple[str, str, int]
) -> None:
    """Le journal dit seul que ses lignes ne sont pas réelles : la relance les reprend, une vraie les écarte."""
    chemin = tmp_path / "a.csv"
    mourir(naissances, chemin, "ohlcv", [lot(range(5))], ou, {"flux": flux, "origine": m.HORS_LIGNE})
    assert chemin.exists()
    assert not chemin.with_name("a.csv.fiche.json").exists()
    assert creer(chemin, origine=m.REEL).origine_a_ecarter() == m.HORS_LIGNE
    relance = creer(chemin, flux=flux, origine=m.HORS_LIGNE)
    relance.controler([BTC])
    with relance:
        relance.finir()
        assert relance.fiches[BTC].origine == m.HORS_LIGNE
    assert sorted(contenu(chemin)[BTC]) == list(range(5))
    assert restes(chemin) == set()


def test_tue_au_premier_lot_d_une_serie_d_un_flux(naissances: Any, tmp_path: Path) -> None:
    """Ses lignes sont dans le CSV, aucun lot ne les dit encore : on sait de qui elles sont, elles restent."""
    chemin = tmp_path / "a.csv"
    lots = [lot(range(5)), lot(range(5), ETH)]
    mourir(naissances, chemin, "ohlcv", lots, ("Bout", "ajouter", -2), {"flux": True})
    with creer(chemin, flux=True) as ecrivain:
        assert set(ecrivain.fiches) == {BTC, ETH}
        ecrivain.finir()
    assert {cle: set(lignes) for cle, lignes in contenu(chemin).items()} == {BTC: {*range(5)}, ETH: {*range(5)}}
    assert restes(chemin) == set()


def test_la_fiche_d_un_csv_efface_ne_dit_rien_du_suivant(naissances: Any, tmp_path: Path) -> None:
    """Le suivant, tué avant d'avoir la sienne, n'a de prouvé que ce que dit son journal."""
    chemin = tmp_path / "a.csv"
    executer(chemin, m.TRADES, lot_de(m.TRADES, range(30)))
    chemin.unlink()
    neuf = lot_de(m.TRADES, range(300, 400))
    mourir(naissances, chemin, "trades", [neuf], ("Feuille", "ecrire", 1), {})
    with creer(chemin, m.TRADES) as ecrivain:
        assert ecrivain.fiches[neuf.cle].couverts == neuf.couverts


@pytest.mark.parametrize("suffixe", FICHIERS)
def test_un_lot_qui_tait_des_lignes_ne_prouve_rien_sans_elles(tmp_path: Path, suffixe: str) -> None:
    """D'événements, rien d'autre ne dirait, une fois le fichier perdu, que celles que le lot répétait manquent."""
    chemin, entier = tmp_path / f"a{suffixe}", lot_de(m.TRADES, range(90, 120))
    executer(chemin, m.TRADES, lot_de(m.TRADES, range(30)))
    with creer(chemin, m.TRADES) as tue:
        assert tue.ecrire(lot_de(m.TRADES, range(15, 60)), m.Fiche(entier.cle)) == (30, 0)
        tue.ecrire(entier, m.Fiche(entier.cle))
    chemin.unlink()
    executer(chemin, m.TRADES)
    assert len(contenu_de(chemin, m.TRADES)) == 60
    assert couverts(chemin, entier.cle) == entier.couverts


def test_une_fiche_ne_precede_pas_le_journal_sur_le_disque(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Une coupure de courant : ce qu'elle dit couvert, les lignes en retard, au journal, doivent y être déjà."""
    chemin, durables = tmp_path / "a.csv", dict[int, int]()
    fsync, ecrire_la_fiche, vus = os.fsync, m.Feuille.ecrire, list[tuple[int, int]]()

    def synchroniser(numero: int) -> None:
        fsync(numero)
        etat = os.fstat(numero)
        durables[etat.st_ino] = etat.st_size

    def temoigner(feuille: m.Feuille, *reste: Any) -> None:
        etat = chemin.with_name("a.csv.journal").stat()
        vus.append((durables.get(etat.st_ino, 0), etat.st_size))
        ecrire_la_fiche(feuille, *reste)

    monkeypatch.setattr(os, "fsync", synchroniser)
    monkeypatch.setattr(m.Feuille, "ecrire", temoigner)
    monkeypatch.setattr(m, "SYNCHRO_S", float("inf"))
    monkeypatch.setattr(m, "CADENCE_FICHE_S", -1.0)
    with creer(chemin, m.TRADES, flux=True) as ecrivain:
        for rangs in (range(30, 60), range(30), range(60, 90)):
            ecrivain.ecrire(lot_de(m.TRADES, rangs), m.Fiche(cles(m.TRADES)[0]))
    assert len(vus) == 3
    assert all(durable == taille > 0 for durable, taille in vus), vus


def test_temporaires_des_morts_effaces(fichier: Path) -> None:
    """Les fichiers temporaires d'exécutions tuées disparaissent ; ceux d'une autre sortie restent."""
    fichier.with_name(f"{fichier.name}.123.tmp").touch()
    fichier.with_name(f"{fichier.name}.fiche.json.9.tmp").touch()
    voisin = fichier.with_name(f"autre-{fichier.name}.123.tmp")
    voisin.touch()
    ecrire(fichier, lot(range(5)))
    assert restes(fichier) == {voisin.name}


# --- Verrou


@pytest.mark.posix
def test_verrou_d_un_autre_processus(naissances: Any, sortie: Path) -> None:
    """La sortie tenue par un autre : code 75, son pid dans le message ; lui mort (`kill -9`), elle est libre."""
    pret = sortie.with_name("pret")
    processus = naissances.Process(target=tenir, args=(sortie, pret), daemon=True)
    processus.start()
    attendre_de(processus, lambda: pret.exists() and pret.read_text())
    pret.unlink()
    for _ in range(2):  # le premier refus n'efface pas le nom du tenant
        with pytest.raises(m.SortieOccupee, match=str(processus.pid)) as erreur:
            creer(sortie).ouvrir()
        assert erreur.value.code_sortie == 75
        assert erreur.value.conseil
    os.kill(processus.pid, signal.SIGKILL)
    processus.join()
    ecrire(sortie, lot(range(5)))
    assert restes(sortie) == set()


def test_verrou_dans_le_meme_processus(sortie: Path) -> None:
    """Deux écrivains d'une même sortie s'excluent aussi dans un seul processus."""
    with creer(sortie), pytest.raises(m.SortieOccupee, match=str(os.getpid())):
        creer(sortie).ouvrir()
    with creer(sortie) as ecrivain:
        ecrivain.fermer()
        ecrivain.fermer()
        creer(sortie).ouvrir().fermer()


def verrous(dossier: Path) -> list[str]:
    """Ce qui reste d'un verrou."""
    return sorted(v.name for v in dossier.iterdir() if ".verrou" in v.name)


def test_le_verrou_part_avec_l_execution(sortie: Path) -> None:
    """Écriture faite, vide, ou qui lève : il n'en reste rien ; tenu, ses deux fichiers sont là."""
    with creer(sortie):
        assert verrous(sortie.parent) == [f"{sortie.name}.verrou", f"{sortie.name}.verrou.pid"]
    assert verrous(sortie.parent) == []
    with pytest.raises(KeyError), creer(sortie):
        raise KeyError
    ecrire(sortie, lot(range(5)))
    assert verrous(sortie.parent) == []


@pytest.mark.posix
def test_un_verrou_pris_sur_un_fichier_ote_ne_vaut_rien(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Le tenant s'en va, un autre vient, entre l'ouverture et le verrou : l'autre le tient, et il est refusé."""
    fcntl = pytest.importorskip("fcntl")
    premier, deuxieme, troisieme = (m.Verrou(tmp_path / "a.csv") for _ in range(3))
    premier.prendre()
    verrouiller, relais = fcntl.flock, [troisieme]

    def relayer(descripteur: int, operation: int) -> None:
        if operation & fcntl.LOCK_EX and relais:
            suivant = relais.pop()
            premier.rendre()
            suivant.prendre()
        verrouiller(descripteur, operation)

    monkeypatch.setattr(fcntl, "flock", relayer)
    with pytest.raises(m.SortieOccupee):
        deuxieme.prendre()
    assert not relais
    troisieme.rendre()
    deuxieme.prendre()
    assert verrous(tmp_path) == ["a.csv.verrou", "a.csv.verrou.pid"]
    deuxieme.rendre()
    assert verrous(tmp_path) == []


def test_un_verrou_rendu_apres_l_ouverture_se_reprend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Le tenant s'en va entre l'ouverture et le verrou, sans successeur : le fichier est rouvert, et tenu."""
    premier, deuxieme = (m.Verrou(tmp_path / "a.csv") for _ in range(2))
    premier.prendre()
    ouvrir, ouvertures = m.Verrou._ouvrir, []

    def partir(verrou: m.Verrou) -> int:
        ouvertures.append(ouvrir(verrou))
        premier.rendre()
        return ouvertures[-1]

    monkeypatch.setattr(m.Verrou, "_ouvrir", partir)
    deuxieme.prendre()
    assert len(ouvertures) == 2
    with pytest.raises(m.SortieOccupee, match=str(os.getpid())):
        m.Verrou(tmp_path / "a.csv").prendre()


def test_un_verrou_ote_a_la_main_n_emporte_pas_celui_d_un_autre(tmp_path: Path) -> None:
    premier, autre = (m.Verrou(tmp_path / "a.csv") for _ in range(2))
    premier.prendre()
    (tmp_path / "a.csv.verrou").unlink()
    autre.prendre()
    premier.rendre()
    assert verrous(tmp_path) == ["a.csv.verrou", "a.csv.verrou.pid"]
    with pytest.raises(m.SortieOccupee):
        m.Verrou(tmp_path / "a.csv").prendre()


def compter_sous_verrou(dossier: Path, fois: int) -> None:
    """Lit, attend qu'un autre puisse s'en mêler, écrit plus un : sans exclusion, des comptes se perdent."""
    compte = dossier / "compte"
    for _ in range(fois):
        verrou = m.Verrou(dossier / "a.csv")
        verrou.prendre(60.0)
        valeur = int(compte.read_text())
        os.sched_yield()
        compte.write_text(str(valeur + 1))
        verrou.rendre()


def test_des_processus_se_suivent_sans_jamais_se_croiser(naissances: Any, tmp_path: Path) -> None:
    """Chacun ôte le fichier en partant, sous les yeux de ceux qui l'attendent : aucun compte ne se perd."""
    (tmp_path / "compte").write_text("0")
    processus = [naissances.Process(target=compter_sous_verrou, args=(tmp_path, 60)) for _ in range(3)]
    for p in processus:
        p.start()
    for p in processus:
        p.join(PLAFOND_S)
    assert [p.exitcode for p in processus] == [0] * 3
    assert (tmp_path / "compte").read_text() == "180"
    assert verrous(tmp_path) == []


# --- Fichiers abîmés


def abimer(chemin: Path, comment: str) -> None:
    octets = chemin.read_bytes()
    tiers, dixieme = len(octets) // 3, len(octets) // 10
    nouveaux = {
        "tronqué": octets[: 2 * tiers],
        "zéros": b"\0" * len(octets),
        "milieu": octets[:tiers] + bytes(random.Random(1).randbytes(tiers)) + octets[2 * tiers :],
        "prix": octets[: 6 * dixieme] + bytes(random.Random(1).randbytes(2 * dixieme)) + octets[8 * dixieme :],
    }
    chemin.write_bytes(nouveaux[comment])


@pytest.mark.parametrize("comment", ["tronqué", "zéros", "milieu"])
def test_fichier_illisible_mis_de_cote(sortie: Path, comment: str, caplog: pytest.LogCaptureFixture) -> None:
    """Un fichier abîmé est mis de côté, entier, avec un avertissement ; la commande fait son travail."""
    lignes = 3000
    ecrire(sortie, lot(range(lignes)))
    abimer(sortie, comment)
    abime = sortie.read_bytes()
    ecrivain = creer(sortie)
    ecrivain.controler([BTC])
    with caplog.at_level(logging.WARNING):
        ecrire(sortie, lot(range(lignes)))
    assert contenu(sortie) == {BTC: {r: bougie(r) for r in range(lignes)}}
    if sortie.suffix == ".csv" and comment == "tronqué":
        assert "dernière ligne incomplète" in caplog.text  # le début d'un CSV coupé est bon : il est gardé
        return
    cotes = [sortie.with_name(nom) for nom in restes(sortie) if ".fiche.json" not in nom]
    assert [c.read_bytes() for c in cotes] == [abime]
    assert ".corrompu-20" in cotes[0].name
    assert "mis de côté" in caplog.text


@pytest.mark.parametrize("suffixe", [".csv", ".csv.gz"])
@pytest.mark.parametrize("donnee", [m.OHLCV, m.TRADES], ids=lambda donnee: donnee.nom)
def test_un_csv_coupe_dans_son_titre_est_abime_pas_etranger(
    tmp_path: Path, donnee: m.TypeDonnee, suffixe: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Coupé à n'importe quel octet, c'est encore le nôtre : mis de côté, et refait."""
    chemin = tmp_path / f"a{suffixe}"
    for octets in (1, 9, 30, len(",".join(donnee.noms)) - 1):
        executer(chemin, donnee, lot_de(donnee, range(5)))
        entier = gzip.decompress(chemin.read_bytes()) if suffixe == ".csv.gz" else chemin.read_bytes()
        reste = entier[:octets]
        chemin.write_bytes(gzip.compress(reste) if suffixe == ".csv.gz" else reste)
        assert dict(m.verifier(chemin).fautes) == {"illisible": 1}
        executer(chemin, donnee, lot_de(donnee, range(5)))
        assert len(m.lire_sortie(chemin)) == 5
        assert "sa fin manque : mis de côté" in caplog.text
        caplog.clear()
    chemin.write_bytes(b"exchange\n")  # une ligne entière, d'un autre
    with pytest.raises(m.ErreurDemande, match="n'est pas une sortie"):
        creer(chemin, donnee).controler([lot_de(donnee, [0]).cle])


def test_csv_a_derniere_ligne_coupee(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """La dernière ligne coupée d'un CSV est retirée, dite, et redemandée ; le reste est gardé."""
    chemin = tmp_path / "a.csv"
    ecrire(chemin, lot(range(10)))
    chemin.write_bytes(chemin.read_bytes()[:-20])
    assert m.lire_sortie(chemin).num_rows == 9
    creer(chemin).controler([BTC])
    with caplog.at_level(logging.WARNING), creer(chemin) as ecrivain:
        assert ecrivain.fiches[BTC].couverts == [plage(0, 9)]
    assert "dernière ligne incomplète" in caplog.text
    ecrire(chemin, lot([9]))
    assert contenu(chemin) == {BTC: {r: bougie(r) for r in range(10)}}
    assert restes(chemin) == set()


def test_gros_fichier_abime(fichier: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trop gros pour être relu à l'ouverture, il est mis de côté quand on y touche ; ce qui est reçu est gardé."""
    monkeypatch.setattr(m, "SOMMES_MAX", 0)
    ecrire(fichier, lot(range(5000)))
    etat = fichier.stat()
    abimer(fichier, "prix")  # les clés, elles, se relisent à l'ouverture
    os.utime(fichier, ns=(etat.st_atime_ns, etat.st_mtime_ns))
    with creer(fichier) as ecrivain:
        ecrivain.ecrire(lot(range(5000, 5010)), fiche())
        with pytest.raises(m.ErreurSortie, match="illisible") as erreur:
            ecrivain.lire(BTC, *plage(0, 5000))
        ecrivain.ecrire(lot(range(5010, 5012)), fiche())
    assert "Relancez" in erreur.value.conseil
    with creer(fichier) as ecrivain:
        assert ecrivain.fiches[BTC].couverts == [plage(5000, 5012)]
    assert sorted(contenu(fichier)[BTC]) == list(range(5000, 5012))


def test_sqlite_annexes_mises_de_cote(tmp_path: Path) -> None:
    """Le -wal d'une base abîmée la suit : il n'est pas rejoué sur la nouvelle."""
    chemin = tmp_path / "a.db"
    ecrire(chemin, lot(range(500)))
    abimer(chemin, "zéros")
    (tmp_path / "a.db-wal").write_bytes(b"reste")
    ecrire(chemin, lot(range(3)))
    assert sorted(contenu(chemin)[BTC]) == [0, 1, 2]
    assert any(nom.endswith("-wal") or "-wal.corrompu-" in nom for nom in restes(chemin))


# --- Disque plein, droits


@contextlib.contextmanager
def taille_limitee(octets: int) -> Iterator[None]:
    """Un vrai refus du système au milieu d'une écriture, sans disque à remplir (EFBIG : écritures partielles)."""
    resource = pytest.importorskip("resource")
    douce, dure = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (octets, dure))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (douce, dure))


def test_ecriture_refusee_au_milieu(sortie: Path) -> None:
    """Le système refuse d'écrire plus loin : erreur claire, l'ancien intact, et les lots déjà reçus gardés."""
    ecrire(sortie, lot(range(100)))
    avant = contenu(sortie)
    confirmes = [lot(range(100))]
    gros = [
        lot({r: (r * 1.1, r * 1.3, r / 7, r / 3, r / 11) for r in range(d, d + 2000)}) for d in range(100, 40_100, 2000)
    ]
    with taille_limitee(250_000), pytest.raises(m.ErreurSortie) as erreur, creer(sortie) as ecrivain:  # noqa: PT012
        for unique in gros:
            ecrivain.ecrire(unique, fiche())
            confirmes.append(unique)
        ecrivain.finir()
    assert str(sortie.name) in str(erreur.value)
    assert erreur.value.conseil
    if m.format_du_fichier(sortie) != "sqlite":
        assert contenu(sortie) == avant
    assert not any(nom.endswith(".tmp") for nom in restes(sortie))
    ecrire(sortie)
    assert contenu(sortie) == oracle(confirmes)[0]


def test_journal_utilisable_apres_un_refus(fichier: Path) -> None:
    """Un lot à moitié écrit est repris en entier : le suivant, s'il tient, se relit."""
    with creer(fichier) as ecrivain:
        ecrivain.ecrire(lot(range(10)), fiche())
        with taille_limitee(4000), pytest.raises(m.ErreurSortie, match="taille permise"):
            ecrivain.ecrire(lot({r: (r * 1.1, r * 1.3, r / 7, r / 3, r / 11) for r in range(10, 2000)}), fiche())
        assert ecrivain.fiches[BTC].couverts == [plage(0, 10)]
        ecrivain.ecrire(lot(range(10, 12)), fiche())
    ecrire(fichier)
    assert contenu(fichier) == {BTC: {r: bougie(r) for r in range(12)}}


@pytest.mark.parametrize("numero", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_disque_plein_a_la_fonte(fichier: Path, numero: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Le disque refuse la fonte : l'ancien fichier est intact, sans temporaire, et la relance finit le travail."""
    ecrire(fichier, lot(range(10)))
    avant = fichier.read_bytes()
    with creer(fichier) as ecrivain:
        ecrivain.ecrire(lot(range(10, 20)), fiche())
        with monkeypatch.context() as bouchon:
            bouchon.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(OSError(numero, os.strerror(numero))))
            with pytest.raises(m.ErreurSortie, match=fichier.name) as erreur:
                ecrivain.finir()
    assert erreur.value.code_sortie == 1
    assert os.strerror(numero) not in str(erreur.value)  # la cause est dite en français
    assert fichier.read_bytes() == avant
    assert restes(fichier) == {f"{fichier.name}.journal"}
    ecrire(fichier)
    assert contenu(fichier) == {BTC: {r: bougie(r) for r in range(20)}}


def test_place_verifiee_avant_de_fondre(fichier: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sans la place de finir, la fonte n'est pas entamée."""
    with creer(fichier) as ecrivain:
        ecrivain.ecrire(lot(range(10)), fiche())
        with monkeypatch.context() as bouchon:
            bouchon.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 9, 1))
            with pytest.raises(m.ErreurSortie, match="demande environ") as erreur:
                ecrivain.finir()
    assert "Libérez" in erreur.value.conseil
    ecrire(fichier)
    assert sorted(contenu(fichier)[BTC]) == list(range(10))


def test_une_fonte_refusee_ne_compte_pas_ses_lignes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Recommencée, elle les compterait deux fois : rien ne serait plus tenu pour couvert."""
    chemin, lots = tmp_path / "a.csv", [lot_de(m.TRADES, rangs) for rangs in (range(30), range(30, 60))]
    executer(chemin, m.TRADES, lots[0])
    with creer(chemin, m.TRADES) as ecrivain:
        ecrivain.ecrire(lots[1], m.Fiche(lots[1].cle))
        with monkeypatch.context() as plein:
            plein.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(OSError(errno.ENOSPC, "")))
            with pytest.raises(m.ErreurSortie):
                ecrivain.finir()
        ecrivain.finir()
        assert ecrivain.fiches[lots[0].cle].lignes == 60
    assert contenu_de(chemin, m.TRADES) == modele_de(m.TRADES, lots)
    assert m.verifier(chemin).code == 0


def test_un_csv_qui_raccourcit_pendant_la_fonte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Un autre programme le tronque : c'est dit, et ce qui est reçu est gardé."""
    chemin, octet = tmp_path / "a.csv", reperage.octet
    ecrire(chemin, lot(range(50)))

    def tronquer(*arguments: Any) -> int:
        place = octet(*arguments)
        os.truncate(chemin, 100)
        return place

    with creer(chemin) as ecrivain:
        ecrivain.ecrire(lot(range(50, 60)), fiche())
        monkeypatch.setattr(reperage, "octet", tronquer)
        with pytest.raises(m.ErreurSortie, match="a raccourci"):
            ecrivain.finir()
    monkeypatch.undo()
    ecrire(chemin)
    assert sorted(contenu(chemin)[BTC]) == list(range(50, 60))


@contextlib.contextmanager
def sans_droits() -> Iterator[None]:
    """Les droits d'un utilisateur ordinaire, même quand les tests tournent en root."""
    if sys.platform == "win32":
        pytest.skip("demande les droits de fichiers Unix")
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.posix
@pytest.mark.parametrize("suffixe", [suffixe for _, suffixe in VARIANTES])
def test_dossier_en_lecture_seule(suffixe: str) -> None:
    """Sans le droit d'écrire dans le dossier : erreur claire, rien de créé, rien d'abîmé."""
    dossier = Path(tempfile.mkdtemp())
    try:
        chemin = dossier / f"a{suffixe}"
        ecrire(chemin, lot(range(5)))
        avant = {v.name: v.read_bytes() for v in dossier.iterdir()}
        dossier.chmod(0o555)
        with sans_droits(), pytest.raises(m.ErreurSortie, match="accès est refusé") as erreur:
            creer(chemin).ouvrir()
        assert "droits" in erreur.value.conseil
        with sans_droits():
            creer(chemin).controler([BTC])
            assert m.lire_sortie(chemin).num_rows == 5
        assert {v.name: v.read_bytes() for v in dossier.iterdir()} == avant
    finally:
        dossier.chmod(0o755)
        shutil.rmtree(dossier)


def test_dossier_impossible(sortie: Path) -> None:
    """Un fichier là où il faudrait un dossier : erreur claire."""
    sortie.write_text("x")
    with pytest.raises(m.ErreurSortie, match="fichier") as erreur:
        creer(sortie / sortie.name).ouvrir()
    assert erreur.value.conseil


LECTEUR_LENT = """
import sqlite3, sys
curseur = sqlite3.connect(sys.argv[1]).execute(sys.argv[2])
curseur.fetchone()
print("tenue", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize(
    "requete", ["SELECT * FROM ohlcv a, ohlcv b", "BEGIN EXCLUSIVE"], ids=["lecture_a_moitie_faite", "ecriture"]
)
def test_sqlite_tenue_par_un_autre_programme(requete: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Une base qu'un autre programme tient : après l'attente, une phrase le nomme, et rien n'est abîmé."""
    chemin = tmp_path / "a.db"
    ecrire(chemin, lot(range(5)))
    monkeypatch.setattr(m, "ATTENTE_SQLITE_S", 0.05)
    with subprocess.Popen(
        [sys.executable, "-c", LECTEUR_LENT, str(chemin), requete], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as autre:
        assert autre.stdout is not None
        assert autre.stdout.readline() == b"tenue\n"
        with pytest.raises(m.SortieOccupee, match=rf"tenue depuis .* par le processus {autre.pid}\b") as refus:
            ecrire(chemin, lot(range(5, 9)))
        assert "relancez" in refus.value.conseil
        autre.communicate()
    ecrire(chemin, lot(range(5, 9)))
    assert sorted(contenu(chemin)[BTC]) == list(range(9))


def test_sqlite_sans_place(tmp_path: Path) -> None:
    """La même phrase, et le même conseil, que d'un fichier ; l'ancien contenu reste, et la relance finit."""
    chemin, neufs = tmp_path / "a.db", lot(range(5, 5000))
    ecrire(chemin, lot(range(5)))
    with creer(chemin) as ecrivain:
        assert isinstance(ecrivain, m.SortieSqlite)
        assert ecrivain._base is not None
        ecrivain._base.execute("PRAGMA max_page_count = 1")  # SQLite s'en tient à sa taille d'alors
        with pytest.raises(m.ErreurSortie, match="a échoué : le disque est plein") as erreur:
            ecrivain.ecrire(neufs, fiche())
    assert erreur.value.conseil == CONSEIL_PLACE
    assert sorted(contenu(chemin)[BTC]) == list(range(5))
    ecrire(chemin, neufs)
    assert sorted(contenu(chemin)[BTC]) == list(range(5000))


# --- Écriture atomique


def test_ecrire_atomique_interrompu(tmp_path: Path) -> None:
    """Une erreur pendant le remplissage laisse l'ancien fichier et aucun temporaire ; le dossier est créé."""
    chemin = tmp_path / "loin" / "f.json"
    m.ecrire_atomique(chemin, lambda f: f.write(b"ancien"))

    def echouer(f: Any) -> None:
        f.write(b"nouveau" * 1000)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        m.ecrire_atomique(chemin, echouer)
    assert chemin.read_bytes() == b"ancien"
    assert [v.name for v in chemin.parent.iterdir()] == ["f.json"]


@pytest.mark.posix
def test_ecrire_atomique_garde_les_droits(tmp_path: Path) -> None:
    """Le fichier remplacé garde ses droits."""
    chemin = tmp_path / "f"
    m.ecrire_atomique(chemin, lambda f: f.write(b"1"))
    chemin.chmod(0o600)
    m.ecrire_atomique(chemin, lambda f: f.write(b"2"))
    assert chemin.stat().st_mode & 0o777 == 0o600


def test_gzip_deterministe(tmp_path: Path) -> None:
    """Deux CSV compressés des mêmes lignes ont les mêmes octets."""
    for nom in ("a.csv.gz", "b.csv.gz"):
        ecrire(tmp_path / nom, lot(range(50)))
    octets = (tmp_path / "a.csv.gz").read_bytes()
    assert octets == (tmp_path / "b.csv.gz").read_bytes()
    assert octets[4:8] == bytes(4), "pas d'heure : deux secondes différentes donneraient deux fichiers"
    assert gzip.decompress((tmp_path / "a.csv.gz").read_bytes()).endswith(b"\n")
    assert couverts(tmp_path / "a.csv.gz") == [plage(0, 50)]


@pytest.mark.parametrize("suffixe", [".parquet", ".feather", ".csv.gz"])
def test_un_signal_n_attend_pas_une_longue_fonte(tmp_path: Path, suffixe: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ce qu'un gros fichier mettrait trop de temps à fondre reste au journal, et la relance l'y fond."""
    chemin = tmp_path / f"x{suffixe}"
    ecrire(chemin, lot(range(5)))
    monkeypatch.setattr(m, "FONTE_PRESSEE_S", 0.0)
    with creer(chemin) as ecrivain:
        ecrivain.ecrire(lot(range(5, 8)), fiche())
        assert not ecrivain.finir(presse=True)
    assert sorted(contenu(chemin)[BTC]) == list(range(5))
    with creer(chemin) as ecrivain:
        ecrivain.finir()
    assert sorted(contenu(chemin)[BTC]) == list(range(8))


# --- Octets abîmés


def retourner(chemin: Path, place: int) -> None:
    """Change un octet."""
    octets = bytearray(chemin.read_bytes())
    octets[place] ^= 0x10
    chemin.write_bytes(octets)


def test_un_lot_abime_du_journal_se_saute(fichier: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Où que soit l'octet changé, un seul lot manque, n'est pas couvert, et c'est dit ; les autres sont là."""
    nom = fichier.with_name(f"{fichier.name}.journal")
    abandonner(fichier, *(lot(range(d, d + 5)) for d in (0, 5, 10)))
    octets, alea = nom.read_bytes(), random.Random(4)
    for place in alea.sample(range(len(octets)), 12):
        for voisin in fichier.parent.iterdir():
            voisin.unlink()
        nom.write_bytes(octets)
        retourner(nom, place)
        caplog.clear()
        ecrire(fichier)
        restants = {r // 5 for r in contenu(fichier)[BTC]}
        assert len(restants) == 2, place
        assert contenu(fichier)[BTC] == {r: bougie(r) for d in restants for r in range(5 * d, 5 * d + 5)}
        (connue,) = m.lire_fiches(fichier)
        assert connue.couverts == m.unir(plage(5 * d, 5 * d + 5) for d in restants)
        assert "écarté" in caplog.text


def test_une_longueur_abimee_ne_coute_qu_un_lot(fichier: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Elle dépasse la fin du journal comme d'un dernier lot coupé ; mais d'autres le suivent."""
    nom = fichier.with_name(f"{fichier.name}.journal")
    abandonner(fichier, *(lot(range(d, d + 5)) for d in (0, 5, 10, 15)))
    places = [trouve.start() for trouve in re.finditer(re.escape(m.MARQUE_DE_LOT), nom.read_bytes())]
    retourner(nom, places[1] + m.TETE_DE_LOT.size - 5)  # l'octet fort de la longueur des lignes
    with caplog.at_level(logging.INFO, m.journal.name):
        ecrire(fichier)
    assert sorted(contenu(fichier)[BTC]) == [*range(5), *range(10, 20)]
    assert couverts(fichier) == [plage(0, 5), plage(10, 20)]
    assert "octets abîmés à 1 endroit" in caplog.text
    assert "3 lots d'une exécution interrompue, repris" in caplog.text


# La lecture ne connaît pas le format, qui l'écrit ensuite : chaque coupe une fois, chaque famille une fois.
@pytest.mark.couvrant(suffixe=famille, coupe=une_seule, un_par_famille=("suffixe",))
@pytest.mark.parametrize(("coupe", "entiers"), [(0, 2), (9, 1)])
@pytest.mark.parametrize("suffixe", FICHIERS)
def test_un_journal_d_avant_les_sommes_est_repris(suffixe: str, coupe: int, entiers: int, tmp_path: Path) -> None:
    """Le flux Arrow des versions d'avant : relu par un processus à part, coupé ou non."""
    fichier = tmp_path / f"btc{suffixe}"
    lots = [lot(range(d, d + 5)) for d in (0, 5)]
    tampon = pa.BufferOutputStream()
    with pa.ipc.new_stream(tampon, m.OHLCV.schema, options=pa.ipc.IpcWriteOptions(compression="lz4")) as flux:
        for unique in lots:
            note = m.note_du_lot(fiche(), unique, fichier=False)
            (page,) = unique.lignes.combine_chunks().to_batches()
            flux.write_batch(page, custom_metadata={"lot": json.dumps(note)})
    octets = tampon.getvalue().to_pybytes()[:-8]
    fichier.with_name(f"{fichier.name}.journal").write_bytes(octets[: len(octets) - coupe])
    ecrire(fichier)
    assert sorted(contenu(fichier)[BTC]) == list(range(5 * entiers))


@pytest.mark.parametrize("suffixe", [".parquet", ".feather"])
def test_un_octet_change_d_un_fichier_scelle_est_vu(tmp_path: Path, suffixe: str) -> None:
    """Dans les lignes comme dans le pied ; la relance le met de côté et refait tout."""
    chemin = tmp_path / f"a{suffixe}"
    ecrire(chemin, lot(range(500)))
    octets = chemin.read_bytes()
    for place in (20, len(octets) // 3, len(octets) - 60):
        chemin.write_bytes(octets)
        retourner(chemin, place)
        assert "illisible" in m.verifier(chemin).fautes
        ecrire(chemin, lot(range(500)))
        assert contenu(chemin) == {BTC: {r: bougie(r) for r in range(500)}}


def oter_le_sceau(chemin: Path) -> None:
    """Il est alors comme celui d'une version d'avant, et lu à part."""
    octets = chemin.read_bytes()
    place = octets.rindex(m.MARQUE_DU_SCEAU)
    chemin.write_bytes(octets[:place] + b"\0" * 8 + octets[place + 8 :])


@pytest.mark.parametrize("suffixe", [".parquet", ".feather"])
def test_un_fichier_sans_sceau_est_eprouve_a_part(tmp_path: Path, suffixe: str) -> None:
    """Celui d'une version d'avant : sain, il se lit ; coupé dans ses lignes, il est dit illisible."""
    chemin = tmp_path / f"a{suffixe}"
    ecrire(chemin, lot(range(500)))
    classe = m.ECRIVAINS[m.EXTENSIONS[suffixe]]
    octets = chemin.read_bytes()
    oter_le_sceau(chemin)
    assert "illisible" not in m.verifier(chemin).fautes
    assert sorted(contenu(chemin)[BTC]) == list(range(500))
    chemin.write_bytes(classe.signature + b"\0" * 900 + octets[900 + len(classe.signature) :])
    assert "illisible" in m.verifier(chemin).fautes


def test_une_machine_lente_ne_rend_pas_un_fichier_illisible(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Le délai passé, on ne sait rien de lui : il reste en place, et relancer suffit."""
    chemin = tmp_path / "a.parquet"
    ecrire(chemin, lot(range(500)))
    oter_le_sceau(chemin)
    octets = chemin.read_bytes()
    with monkeypatch.context() as lente:
        lente.setattr(octets_douteux, "DELAI_A_PART_S", -1.0)
        with pytest.raises(m.ErreurSortie, match="n'a pas fini") as erreur:
            creer(chemin).ouvrir()
    assert "Relancez" in erreur.value.conseil
    assert chemin.read_bytes() == octets
    assert restes(chemin) == set()
    assert sorted(contenu(chemin)[BTC]) == list(range(500))


@pytest.mark.posix
def test_ce_qui_arrete_la_lecture_a_part_est_dit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """La dernière ligne que le processus a écrite, non la ligne vide qui la suit."""
    chemin, python = tmp_path / "a.parquet", tmp_path / "python"
    ecrire(chemin, lot(range(500)))
    oter_le_sceau(chemin)
    python.write_text("#!/bin/sh\necho Traceback >&2\necho ImportError: libarrow >&2\nexit 1\n")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    with pytest.raises(m.ErreurSortie, match="a échoué : ImportError: libarrow"):
        creer(chemin).ouvrir()


@pytest.mark.posix
@pytest.mark.parametrize("suffixe", [".parquet", ".feather"])
def test_un_fichier_qui_tue_son_lecteur_ne_tue_que_lui(
    tmp_path: Path, suffixe: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """La bibliothèque s'arrête net sur ses octets : `--verifier` le dit, la relance le met de côté et refait tout."""
    chemin, mort = tmp_path / f"a{suffixe}", tmp_path / "mort"
    ecrire(chemin, lot(range(500)))
    oter_le_sceau(chemin)
    mort.write_text("#!/bin/sh\nkill -SEGV $$\n")
    mort.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(mort))
    rapport = m.verifier(chemin)
    assert (rapport.code, dict(rapport.fautes)) == (4, {"illisible": 1})
    assert "s'y est arrêtée net (SIGSEGV)" in rapport.constats[0].phrase
    ecrire(chemin, lot(range(300)))
    assert sorted(contenu(chemin)[BTC]) == list(range(300))
    assert [nom for nom in restes(chemin) if "corrompu" in nom] != []
    assert "s'y est arrêtée net" in caplog.text


@pytest.mark.posix
def test_un_journal_d_avant_qui_tue_son_lecteur_ne_tue_que_lui(
    fichier: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    nom, mort = fichier.with_name(f"{fichier.name}.journal"), fichier.with_name("mort")
    nom.write_bytes(octets_douteux.DEBUT_DE_FLUX_ARROW + bytes(200))
    mort.write_text("#!/bin/sh\nkill -BUS $$\n")
    mort.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(mort))
    ecrire(fichier, lot(range(5)))
    assert sorted(contenu(fichier)[BTC]) == list(range(5))
    assert any(".journal.corrompu-" in reste for reste in restes(fichier))
    assert "s'y est arrêtée net (SIGBUS)" in caplog.text


# --- Ce que disent le système et SQLite n'est pas répété


@pytest.mark.parametrize("numero", sorted(errno.errorcode))
def test_une_erreur_du_systeme_se_dit_en_francais(numero: int) -> None:
    dite = m.cause_disque(OSError(numero, os.strerror(numero)))
    assert os.strerror(numero) not in dite
    connue = causes.CAUSES_DISQUE.get(numero, ("",))[0]
    assert dite == connue or dite == f"le système le refuse ({errno.errorcode[numero]})"


def abimer_la_base(chemin: Path, comment: str) -> None:
    """Une base à nous, puis ce qui lui arrive."""
    ecrire(chemin, lot(range(2000)))
    octets = bytearray(chemin.read_bytes())
    if comment == "pages":
        octets[4096:12288] = bytes(8192)
    elif comment == "entete":
        octets[16:40] = bytes(24)
    chemin.write_bytes(octets)


@pytest.mark.parametrize("comment", ["pages", "entete"])
def test_une_base_abimee_se_dit_en_francais(tmp_path: Path, comment: str, caplog: pytest.LogCaptureFixture) -> None:
    """Ni « malformed », ni « not a database », à la lecture comme à la reprise."""
    chemin = tmp_path / "a.db"
    abimer_la_base(chemin, comment)
    with pytest.raises(m.ErreurCollecte) as erreur:
        list(creer(chemin).lire_tout())
    with caplog.at_level(logging.INFO, m.journal.name):
        creer(chemin).ouvrir().fermer()
    dit = f"{erreur.value} {caplog.text}"
    assert "illisible" in dit
    assert not re.search(r"malformed|not a database|disk image|encrypted|error", dit), dit


@pytest.mark.parametrize("otes", [1, 3, 900, 4095])
def test_une_base_dont_la_derniere_page_est_coupee_est_abimee(
    tmp_path: Path, otes: int, caplog: pytest.LogCaptureFixture
) -> None:
    """SQLite la complète de zéros sans rien en dire : les nombres qu'elle tenait en sortent changés."""
    chemin = tmp_path / "a.db"
    ecrire(chemin, lot(range(2000)))
    chemin.write_bytes(chemin.read_bytes()[:-otes])
    assert m.verifier(chemin).code == 4
    with pytest.raises(m.SortieIllisible, match="sa fin manque"):
        m.lire_sortie(chemin)
    ecrire(chemin, lot(range(2000)))
    assert contenu(chemin) == {BTC: {rang: bougie(rang) for rang in range(2000)}}
    assert "sa fin manque : mis de côté" in caplog.text


@pytest.mark.parametrize("flux", [False, True])
@pytest.mark.parametrize("donnee", [m.OHLCV, m.TRADES], ids=lambda donnee: donnee.nom)
def test_une_ligne_otee_a_la_reprise_n_est_plus_prouvee(tmp_path: Path, donnee: m.TypeDonnee, flux: bool) -> None:
    """Un lot du journal la taisait, déjà écrite ; abîmée depuis, puis ôtée, elle est à redemander."""
    chemin = tmp_path / "a.csv"
    executer(chemin, donnee, lot_de(donnee, range(30)))
    with creer(chemin, donnee, flux=flux) as tue:
        tue.ecrire(suite := lot_de(donnee, range(15, 60)), m.Fiche(suite.cle))
    lignes = chemin.read_text().splitlines(keepends=True)
    prix = lignes[22].split(",")[5]
    lignes[22] = lignes[22].replace(f",{prix},", ",-1.0,")
    chemin.write_text("".join(lignes))
    executer(chemin, donnee, flux=flux)
    absent = m.instants_de(lot_de(donnee, [21]).lignes)[0]
    assert len(m.lire_sortie(chemin)) == 59
    assert m.croiser(couverts(chemin, suite.cle), [(absent, absent + 1)]) == []


def oter_la_ligne(chemin: Path, rang: int) -> None:
    """Une ligne ôtée d'un CSV par un éditeur, le titre compté."""
    lignes = chemin.read_bytes().splitlines(keepends=True)
    chemin.write_bytes(b"".join(lignes[:rang] + lignes[rang + 1 :]))


@pytest.mark.parametrize("flux", [False, True])
@pytest.mark.parametrize("donnee", [m.OHLCV, m.TRADES], ids=lambda donnee: donnee.nom)
def test_une_ligne_otee_d_un_csv_tue_se_redemande(tmp_path: Path, donnee: m.TypeDonnee, flux: bool) -> None:
    """Le journal la dit couverte, et déjà écrite : son lot la relisait, ou l'avait ajoutée au bout du fichier."""
    chemin = tmp_path / "a.csv"
    executer(chemin, donnee, lot_de(donnee, range(30)))
    with creer(chemin, donnee, flux=flux) as tue:
        for rangs in (range(15, 60), range(60, 90)):
            tue.ecrire(suite := lot_de(donnee, rangs), m.Fiche(suite.cle))
    ote = 75 if flux else 21
    oter_la_ligne(chemin, ote + 1)
    executer(chemin, donnee, flux=flux)
    absent = m.instants_de(lot_de(donnee, [ote]).lignes)[0]
    assert len(m.lire_sortie(chemin)) == 89
    assert m.croiser(couverts(chemin, suite.cle), [(absent, absent + 1)]) == []


@pytest.mark.parametrize("donnee", [m.OHLCV, m.TRADES], ids=lambda donnee: donnee.nom)
def test_une_fiche_abimee_ne_laisse_pas_croire_le_journal(tmp_path: Path, donnee: m.TypeDonnee) -> None:
    """D'un flux tué dont une ligne fut ôtée et la fiche abîmée, rien ne reste couvert que ce qui est là."""
    chemin = tmp_path / "a.csv"
    with creer(chemin, donnee, flux=True) as tue:
        for rangs in (range(30), range(30, 60)):
            tue.ecrire(unique := lot_de(donnee, rangs), m.Fiche(unique.cle))
    oter_la_ligne(chemin, 46)
    fiche_a_part = chemin.with_name("a.csv.fiche.json")
    fiche_a_part.write_text(fiche_a_part.read_text().replace("somme", "sonne"))
    executer(chemin, donnee, flux=True)
    absent = m.instants_de(lot_de(donnee, [45]).lignes)[0]
    assert len(m.lire_sortie(chemin)) == 59
    assert m.croiser(couverts(chemin, unique.cle), [(absent, absent + 1)]) == []


def test_deux_executions_qui_se_suivent_ne_melent_pas_leurs_series(sortie: Path) -> None:
    """Contrôlée quand la sortie n'existait pas encore, une exécution l'ouvre après qu'une autre y a fini."""
    lente, cinq = creer(sortie), BTC._replace(timeframe="5m")
    lente.controler([BTC])
    ecrire(sortie, lot([0, 5, 10], cinq))
    avant = m.lire_sortie(sortie)
    if sortie.suffix == ".sqlite":  # une base tient plusieurs séries
        lente.ouvrir().fermer()
    else:
        with pytest.raises(m.ErreurDemande, match="contient d'autres séries"):
            lente.ouvrir()
    assert m.lire_sortie(sortie).equals(avant)
    ecrire(sortie, lot([15], cinq))


@pytest.mark.parametrize("suffixe", FICHIERS)
@pytest.mark.parametrize("donnee", [m.OHLCV, m.TRADES], ids=lambda donnee: donnee.nom)
def test_un_fichier_ote_pendant_un_flux_n_est_plus_couvert(tmp_path: Path, donnee: m.TypeDonnee, suffixe: str) -> None:
    """Rangé ailleurs par un autre (`mv`) : ce qui reste n'est dit couvert que de ce qu'il tient."""
    chemin, ailleurs = tmp_path / f"a{suffixe}", tmp_path / "rangee"
    executer(chemin, donnee, lot_de(donnee, range(30)))
    with creer(chemin, donnee, flux=True) as ecrivain:
        ecrivain.ecrire(lot_de(donnee, range(30, 60)), m.Fiche(cles(donnee)[0]))
        chemin.rename(ailleurs)
        ecrivain.ecrire(lot_de(donnee, range(60, 90)), m.Fiche(cles(donnee)[0]))
        ecrivain.finir()
    presents = {(i, i + 1) for i in m.instants_de(m.lire_sortie(chemin))}
    dits = couverts(chemin, cles(donnee)[0])
    absents = {(i, i + 1) for i in m.instants_de(lot_de(donnee, range(90)).lignes)} - presents
    assert presents >= {(i, i + 1) for i in m.instants_de(lot_de(donnee, range(60, 90)).lignes)}
    assert not m.croiser(dits, absents)
    assert restes(chemin) == {"rangee"}


@pytest.mark.parametrize("nom", ['a"b', "a'b", "é ; --"])
def test_une_base_aux_tables_mal_nommees_se_lit(tmp_path: Path, nom: str) -> None:
    """Un autre programme y range ce qu'il veut, sous le nom qu'il veut."""
    chemin = tmp_path / "a.db"
    ecrire(chemin, lot(range(5)))
    with contextlib.closing(sqlite3.connect(chemin)) as base, base:
        base.execute(f'CREATE TABLE "{nom.replace(chr(34), chr(34) * 2)}" (x)')
    ecrire(chemin, lot(range(5, 9)))
    assert sorted(contenu(chemin)[BTC]) == list(range(9))
    assert m.verifier(chemin).code == 0


def test_une_base_tuee_se_lit_entiere_sans_pouvoir_ecrire(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ses derniers lots sont dans le -wal : « immutable » ne les lirait pas, sans rien dire."""
    chemin = tmp_path / "a.db"
    ecrire(chemin, lot(range(5)))
    with creer(chemin) as ecrivain:
        ecrivain.ecrire(lot(range(5, 9)), fiche())
        monkeypatch.setattr(os, "access", lambda *_, **__: False)
        assert sorted(contenu(chemin)[BTC]) == list(range(9))
        assert couverts(chemin) == [plage(0, 9)]


def test_un_nom_dont_les_voisins_seraient_trop_longs_est_refuse_d_abord(sortie: Path) -> None:
    """La fiche, son temporaire, le journal ont un nom plus long : il ne servirait à rien de télécharger d'abord."""
    for longueur in range(226, 250, 2):
        chemin = sortie.with_name("a" * (longueur - len(sortie.name)) + sortie.name)
        with contextlib.suppress(m.ErreurDemande):
            ecrire(chemin, lot(range(3)))
            assert sorted(contenu(chemin)[BTC]) == [0, 1, 2]
            chemin.unlink()
    assert not list(sortie.parent.glob("*.journal"))
