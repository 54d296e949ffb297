"""§ 6, la suite de conformité : les mêmes promesses pour chaque format du registre."""

from __future__ import annotations

import contextlib
import gzip
import itertools
import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sorties_modeles import (
    BTC,
    ETH,
    MINUTE,
    VARIANTES,
    bougie,
    contenu,
    couverts,
    creer,
    ecrire,
    fiche,
    instant,
    lot,
    plage,
    restes,
)

import module_ccxt_fr_v2 as m
from annexes_ccxt_fr import lecture_brute, remise_en_ordre

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sorties_modeles import Modele


@pytest.fixture(params=VARIANTES, ids=[suffixe for _, suffixe in VARIANTES])
def sortie(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Une sortie à écrire, dans chaque format."""
    return tmp_path / "donnees" / f"btc{request.param[1]}"


def est_fichier(chemin: Path) -> bool:
    return m.format_du_fichier(chemin) != "sqlite"


def etat(chemin: Path) -> dict[str, Any]:
    """De quoi dire qu'une sortie n'a pas été touchée : octets et dates, ou contenu pour SQLite."""
    if est_fichier(chemin):
        voisins = [v for v in chemin.parent.iterdir() if ".verrou" not in v.name]
        return {v.name: (v.read_bytes(), v.stat().st_mtime_ns) for v in voisins}
    with contextlib.closing(sqlite3.connect(chemin)) as base, base:
        return {"base": list(base.iterdump())}


# --- Ce qui est écrit se relit


def test_aller_retour_exact(sortie: Path) -> None:
    """Les nombres se relisent au bit près, un volume nul reste nul, un symbole garde ses lettres."""
    cle = BTC._replace(symbole="币安人生/USDT")
    nombres = [1e-8, 0.1 + 0.2, 1e22, 42.0, 5e-324, 1.7976931348623157e308, 123456789.12345679, 1e-5, 1 / 3]
    lignes = {rang: (n, n, n, n, None if rang % 2 else n) for rang, n in enumerate(nombres)}
    assert ecrire(sortie, lot(lignes, cle))
    assert contenu(sortie) == {cle: lignes}
    assert restes(sortie) == set()


def test_fiche_complete(sortie: Path) -> None:
    """La fiche garde le marché, l'unité, l'ancre, les intervalles et les trous avec leur raison."""
    connue = m.Fiche(ETH, "swap", "contrats", 0.01, 0)
    trous = [m.Trou(*plage(3, 5), m.SANS_TRANSACTION), m.Trou(*plage(20, 30), m.HORS_FENETRE_API)]
    with creer(sortie) as ecrivain:
        ecrivain.ecrire(lot([0, 1, 2, 5, 6], ETH, [plage(0, 7)], trous), connue)
        ecrivain.finir()
    (lue,) = m.lire_fiches(sortie)
    assert lue == m.Fiche(ETH, "swap", "contrats", 0.01, 0, [plage(0, 7)], trous)
    with creer(sortie) as ecrivain:
        assert ecrivain.fiches == {ETH: lue}


def test_ou_vit_la_fiche(tmp_path: Path) -> None:
    """Parquet et Feather : métadonnées du schéma ; CSV : fichier voisin ; SQLite : tables voisines."""
    for nom in ("a.parquet", "a.feather", "a.csv", "a.sqlite"):
        ecrire(tmp_path / nom, lot(range(3)))
    textes = [
        pq.read_schema(tmp_path / "a.parquet").metadata[b"fiche"],
        pa.ipc.open_file(tmp_path / "a.feather").schema.metadata[b"fiche"],
        (tmp_path / "a.csv.fiche.json").read_bytes(),
    ]
    for texte in textes:
        lue = json.loads(texte)
        assert lue["outil"] == f"module_ccxt_fr_v2 {m.__version__}"
        assert lue["series"][0]["symbole"] == "BTC/USDT"
        assert lue["series"][0]["intervalles"] == [["2024-01-01T00:00Z", "2024-01-01T00:03Z"]]
    with contextlib.closing(sqlite3.connect(tmp_path / "a.sqlite")) as base, base:
        assert base.execute("SELECT debut, fin FROM ohlcv_intervalles").fetchall() == [plage(0, 3)]
        assert base.execute("SELECT outil FROM ohlcv_series").fetchone() == (f"module_ccxt_fr_v2 {m.__version__}",)


def test_texte_du_csv(tmp_path: Path) -> None:
    """En-tête nu, instants ISO avec « Z », nombres au plus court mais à point, nul en vide, ni guillemet ni retour."""
    ecrire(tmp_path / "a.csv", lot({0: (42.0, 0.1 + 0.2, 1e-7, 1e22, None)}))
    assert (tmp_path / "a.csv").read_bytes() == (
        b"exchange,symbole,timeframe,prix,timestamp,open,high,low,close,volume\n"
        b"binance,BTC/USDT,1m,last,2024-01-01T00:00:00.000Z,42.0,0.30000000000000004,1.0e-7,1.0e+22,\n"
    )


def test_csv_texte_a_guillemets(tmp_path: Path) -> None:
    """Un symbole qui contient une virgule ou un guillemet se relit tel quel, et la suite s'ajoute encore."""
    cle = BTC._replace(symbole='A,"B"/USDT')
    ecrire(tmp_path / "a.csv", lot(range(3), cle))
    ecrire(tmp_path / "a.csv", lot(range(2, 6), cle), lot(range(2), BTC))
    assert contenu(tmp_path / "a.csv") == {cle: {r: bougie(r) for r in range(6)}, BTC: {r: bougie(r) for r in range(2)}}


def test_types_des_fichiers(tmp_path: Path) -> None:
    """Parquet, Feather : timestamp[ms, UTC] et double lus par n'importe qui ; SQLite : entiers ms et REAL."""
    for nom in ("a.parquet", "a.feather", "a.db"):
        ecrire(tmp_path / nom, lot(range(3)))
    assert pq.read_schema(tmp_path / "a.parquet").remove_metadata().equals(m.OHLCV.schema)
    assert pa.ipc.open_file(tmp_path / "a.feather").schema.remove_metadata().equals(m.OHLCV.schema)
    with contextlib.closing(sqlite3.connect(tmp_path / "a.db")) as base, base:
        assert base.execute("SELECT typeof(timestamp), typeof(open) FROM ohlcv").fetchone() == ("integer", "real")
        assert base.execute("SELECT MIN(timestamp) FROM ohlcv").fetchone() == (instant(0),)


@pytest.mark.parametrize(("nom", "classe"), m.ECRIVAINS.items())
def test_compressions(nom: str, classe: m.Format, tmp_path: Path) -> None:
    """Chaque codec déclaré s'écrit et se relit, dans le nom demandé ; un autre est refusé."""
    for codec in classe.compressions:
        chemin = tmp_path / f"{codec}{classe.extensions[0]}"
        ecrire(chemin, lot(range(50)), compression=codec)
        assert contenu(chemin) == {BTC: {r: bougie(r) for r in range(50)}}
    with pytest.raises(m.ErreurDemande, match="zstdd") as erreur:
        classe(tmp_path / nom, compression="zstdd")
    assert classe.compressions[0] in erreur.value.conseil


def test_gzip_sans_extension_garde_sa_compression(tmp_path: Path) -> None:
    """Un CSV compressé sous un nom en .csv reste compressé quand on le prolonge sans redire le codec."""
    chemin = tmp_path / "a.csv"
    ecrire(chemin, lot(range(5)), compression="gzip")
    ecrire(chemin, lot(range(5, 9)))
    assert chemin.read_bytes()[:2] == b"\x1f\x8b"
    assert gzip.decompress(chemin.read_bytes()).count(b"\n") == 10


# --- Reprises


@pytest.mark.parametrize(
    ("avant", "apres"),
    [((50, 60), (60, 80)), ((50, 60), (20, 50)), ((0, 90), (30, 40)), ((50, 60), (40, 70)), ((50, 60), (0, 10))],
    ids=["apres", "avant", "dedans", "autour", "loin avant"],
)
def test_ajouts(sortie: Path, avant: tuple[int, int], apres: tuple[int, int]) -> None:
    """Ajouter avant, après, dedans ou autour : la ligne la plus récente l'emporte, entière."""
    revisees = {r: bougie(r, 9) for r in range(*apres)}
    assert ecrire(sortie, lot(range(*avant)))
    assert ecrire(sortie, lot(revisees))
    assert contenu(sortie) == {BTC: {r: bougie(r) for r in range(*avant)} | revisees}
    assert couverts(sortie) == m.unir([plage(*avant)], [plage(*apres)])
    assert restes(sortie) == set()


def test_doublons_entre_lots(sortie: Path) -> None:
    """Des lots qui se recouvrent en chaîne, dans le désordre : le dernier arrivé l'emporte."""
    lots = [lot({r: bougie(r, v) for r in range(d, d + 10)}) for v, d in enumerate((12, 4, 20, 8, 0))]
    attendu: dict[int, int] = {}
    for unique in lots:
        attendu |= {(i - instant(0)) // MINUTE: i for i in m.instants_de(unique.lignes)}
    ecrire(sortie, *lots)
    lues = contenu(sortie)[BTC]
    assert sorted(lues) == sorted(attendu)
    assert {r: lues[r] for r in range(10)} == {r: bougie(r, 4) for r in range(10)}
    assert lues[11] == bougie(11, 3)
    assert lues[19] == bougie(19, 0)


def test_plusieurs_symboles(sortie: Path) -> None:
    """Plusieurs symboles, entrelacés, dans une sortie : triée par symbole puis instant."""
    ecrire(sortie, lot(range(10), ETH), lot(range(5), BTC))
    ecrire(sortie, lot(range(5, 9), BTC))
    ecrire(sortie, lot(range(10, 12), ETH), lot(range(3)))
    assert contenu(sortie) == {BTC: {r: bougie(r) for r in range(9)}, ETH: {r: bougie(r) for r in range(12)}}
    assert couverts(sortie, ETH) == [plage(0, 12)]


def test_idempotence(sortie: Path) -> None:
    """Récrire les mêmes lignes, ou une partie, ne touche à rien : mêmes octets, même date."""
    lignes = lot(range(100), trous=[m.Trou(*plage(200, 210), m.SANS_TRANSACTION)])
    ecrire(sortie, lignes)
    avant = etat(sortie)
    assert not ecrire(sortie, lignes)
    assert not ecrire(sortie, lot(range(98, 100)))
    assert not ecrire(sortie)
    assert etat(sortie) == avant


def test_changer_de_version_ne_recrit_rien(sortie: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """La version de l'outil et de ccxt sont dans la fiche, mais ne sont pas une raison d'écrire."""
    ecrire(sortie, lot(range(10)))
    avant = etat(sortie)
    monkeypatch.setattr(m, "_versions", lambda: {"outil": "autre", "ccxt": "9.9"})
    assert not ecrire(sortie, lot(range(8, 10)))
    assert etat(sortie) == avant


def test_savoir_sans_ligne(sortie: Path) -> None:
    """Un lot sans ligne inscrit ce qu'il apprend ; un CSV n'a que sa fiche de récrite."""
    ecrire(sortie, lot(range(10)))
    avant = sortie.read_bytes(), sortie.stat().st_mtime_ns
    vide = lot([], couverts=[plage(10, 20)], trous=[m.Trou(*plage(10, 20), m.SANS_TRANSACTION)])
    assert ecrire(sortie, vide)
    assert couverts(sortie) == [plage(0, 20)]
    if m.format_du_fichier(sortie) == "csv":
        assert (sortie.read_bytes(), sortie.stat().st_mtime_ns) == avant
    assert not ecrire(sortie, vide)


def test_sortie_sans_aucune_ligne(sortie: Path) -> None:
    """Avant la cotation il n'y a rien à écrire, mais la sortie existe, se relit, et le sait."""
    vide = lot([], couverts=[plage(0, 20)], trous=[m.Trou(*plage(0, 20), m.AVANT_COTATION)])
    assert ecrire(sortie, vide)
    assert contenu(sortie) == {}
    assert couverts(sortie) == [plage(0, 20)]
    assert not ecrire(sortie, vide)
    assert ecrire(sortie, lot(range(20, 25)))
    assert sorted(contenu(sortie)[BTC]) == list(range(20, 25))


def test_rien_du_tout(sortie: Path) -> None:
    """Ouvrir et finir sans lot ne crée pas de sortie."""
    assert not ecrire(sortie)
    assert not sortie.exists()
    assert restes(sortie) <= {sortie.name}


def test_lire_avant_la_fin(sortie: Path) -> None:
    """`lire` voit ce qui est dans la sortie et ce qui attend, et rien hors des bornes."""
    ecrire(sortie, lot(range(1000)), lot(range(10), ETH))
    with creer(sortie) as ecrivain:
        ecrivain.ecrire(lot({r: bougie(r, 1) for r in range(995, 1005)}), fiche())
        lues = ecrivain.lire(BTC, *plage(990, 1003))
        assert m.instants_de(lues) == [instant(r) for r in range(990, 1003)]
        assert lues["close"].to_pylist() == [bougie(r, int(r >= 995))[3] for r in range(990, 1003)]
        assert ecrivain.lire(BTC, *plage(5000, 6000)).num_rows == 0
        assert ecrivain.lire(ETH, *plage(8, 3000)).num_rows == 2
        ecrivain.finir()
        assert ecrivain.octets == sortie.stat().st_size


def test_lire_sans_ouvrir(sortie: Path) -> None:
    """Un lecteur qui n'a pas été ouvert lit la sortie, qui n'est pas touchée ; absente, elle n'a aucune ligne."""
    assert creer(sortie).lire(BTC, *plage(0, 10)).num_rows == 0
    ecrire(sortie, lot(range(100)), lot(range(10), ETH))
    avant = etat(sortie)
    lecteur = m.lecteur_de(sortie, None)
    assert m.instants_de(lecteur.lire(BTC, *plage(90, 200))) == [instant(r) for r in range(90, 100)]
    assert lecteur.lire(ETH, *plage(0, 10)).num_rows == 10
    assert lecteur.lire(BTC, *plage(500, 600)).num_rows == 0
    assert etat(sortie) == avant


def test_lire_sans_ouvrir_ne_met_rien_de_cote(sortie: Path) -> None:
    """Qui n'a pas le verrou d'une sortie illisible le dit, et la laisse où elle est."""
    ecrire(sortie, lot(range(3000)))
    lecteur, octets = creer(sortie), sortie.read_bytes()
    milieu = len(octets) // 2
    sortie.write_bytes(octets[:200] + bytes(milieu) + octets[200 + milieu :])
    avant = {voisin.name: voisin.read_bytes() for voisin in sortie.parent.iterdir()}
    with pytest.raises(m.SortieIllisible):
        lecteur.lire(BTC, *plage(0, 3000))
    assert {voisin.name: voisin.read_bytes() for voisin in sortie.parent.iterdir()} == avant


@pytest.fixture
def lectures(monkeypatch: pytest.MonkeyPatch) -> list[Sequence[str] | None]:
    """Les colonnes de chaque lecture d'un fichier Parquet ou Feather, dans l'ordre."""
    faites: list[Sequence[str] | None] = []
    for codec in (m.CodecParquet, m.CodecFeather):
        monkeypatch.setattr(codec, "lots", _en_notant(codec.lots, faites))
    return faites


def _en_notant(lots: Callable[..., Any], faites: list[Sequence[str] | None]) -> Callable[..., Any]:
    def noter(*arguments: Any) -> Any:
        faites.append(arguments[4] if len(arguments) > 4 else None)
        return lots(*arguments)

    return noter


@pytest.mark.parametrize("suffixe", [".parquet", ".feather"])
def test_ouvrir_un_fichier_scelle_n_en_lit_aucune_ligne(
    tmp_path: Path, suffixe: str, lectures: list[Sequence[str] | None]
) -> None:
    """Son sceau suffit : compter ses lignes coûtait quatre fois plus que de vérifier tous ses octets."""
    chemin = tmp_path / f"a{suffixe}"
    ecrire(chemin, lot(range(100)), lot(range(10), ETH))
    lectures.clear()
    with creer(chemin) as ecrivain:
        assert ecrivain.fiches[BTC].couverts == [plage(0, 100)]
    assert lectures == []


@pytest.mark.parametrize("suffixe", [".parquet", ".feather"])
def test_un_fichier_scelle_de_moins_de_lignes_que_sa_fiche_n_est_pas_cru(tmp_path: Path, suffixe: str) -> None:
    """Toutes ses sommes sont justes, mais cinq bougies que sa fiche dit couvertes n'y sont pas."""
    chemin = tmp_path / f"a{suffixe}"
    ecrire(chemin, lot(range(100)))
    with creer(chemin) as ecrivain:
        assert isinstance(ecrivain, m.SortieFichier)
        gardees = ecrivain.lire(BTC, 0, m.INSTANT_MAX_MS)[:95]
        ecrivain.recrire([gardees])
    with creer(chemin) as ecrivain:
        assert ecrivain.fiches[BTC].couverts == [plage(0, 95)]


@pytest.mark.parametrize("suffixe", [".parquet", ".feather"])
def test_une_bougie_desavouee_ne_relit_pas_le_fichier(
    tmp_path: Path, suffixe: str, lectures: list[Sequence[str] | None]
) -> None:
    """Reçue depuis l'ouverture, elle est au journal ; celle du fichier, elle, s'y relit, et est remplacée."""
    chemin = tmp_path / f"a{suffixe}"
    ecrire(chemin, lot(range(100)), lot(range(100), ETH))
    with creer(chemin, flux=True) as ecrivain:
        ecrivain.controler([BTC, ETH])
        ecrivain.ecrire(lot(range(100, 110)), fiche())
        lectures.clear()
        assert ecrivain.ecrire(lot({105: bougie(105, 1)}), fiche()) == (0, 1)
        assert ecrivain.ecrire(lot({105: bougie(105, 1)}), fiche()) == (0, 0)
        assert lectures == []
        assert ecrivain.ecrire(lot({99: bougie(99, 1)}), fiche()) == (0, 1)
        assert len(lectures) == 1
        ecrivain.finir()
        lectures.clear()
        assert ecrivain.ecrire(lot({107: bougie(107, 2)}), fiche()) == (0, 1)  # fondue, elle est au fichier
        assert len(lectures) == 1
        ecrivain.finir()
    voulues = {rang: bougie(rang, {99: 1, 105: 1, 107: 2}.get(rang, 0)) for rang in range(110)}
    assert contenu(chemin)[BTC] == voulues


def test_ancre_et_mois(sortie: Path) -> None:
    """Mois du calendrier et jours ancrés ailleurs qu'à minuit se confrontent sans fausse absence."""
    for chemin, code, ancre in ((sortie, "1M", 0), (sortie.with_name(f"j-{sortie.name}"), "1d", 16 * m.HEURE_MS)):
        pas = m.Timeframe.lire(code).ancrer(ancre)
        cle = BTC._replace(timeframe=code)
        instants = [pas.avancer(instant(0), n) for n in range(14)]
        page = pa.table(
            [pa.array(instants, pa.int64()), *[pa.array([1.0] * 14)] * 5], names=["timestamp", *m.VALEURS_OHLCV]
        )
        unique = m.Lot(cle, m.habiller(cle, page), [(instants[0], pas.avancer(instants[-1], 1))], [])
        with creer(chemin) as ecrivain:
            ecrivain.ecrire(unique, m.Fiche(cle, ancre_ms=ancre))
            ecrivain.finir()
        (chemin.parent / f"{chemin.name}.fiche.json").unlink(missing_ok=True)
        with creer(chemin) as ecrivain:
            assert ecrivain.fiches[cle].couverts == unique.couverts
            assert ecrivain.fiches[cle].ancre_ms == ancre


# --- Accord de la fiche et des lignes


def oter_lignes(chemin: Path, rangs: set[int]) -> None:
    """Ôte des lignes comme le ferait l'utilisateur, avec un autre outil."""
    retirees = pa.array([instant(r) for r in rangs], pa.timestamp("ms", "UTC"))
    nom = m.format_du_fichier(chemin)
    if nom == "sqlite":
        with contextlib.closing(sqlite3.connect(chemin)) as base, base:
            base.executemany("DELETE FROM ohlcv WHERE timestamp = ?", [(instant(r),) for r in rangs])
        return
    lues = m.lire_sortie(chemin)
    gardees = lues.filter(pa.compute.invert(pa.compute.is_in(lues["timestamp"], retirees)))
    if nom == "parquet":
        pq.write_table(gardees.replace_schema_metadata(pq.read_schema(chemin).metadata), chemin)
    elif nom == "feather":
        gardees = gardees.replace_schema_metadata(pa.ipc.open_file(chemin).schema.metadata)
        with pa.ipc.new_file(str(chemin), gardees.schema) as graveur:
            graveur.write_table(gardees)
    else:
        ouvrir = gzip.open if chemin.suffix == ".gz" else open
        with ouvrir(chemin, "rt", encoding="utf-8") as fichier:
            textes = fichier.readlines()
        horaires = {dit for r in rangs for dit in (m.en_iso(instant(r)).replace("Z", ":00.000Z"), str(instant(r)))}
        with ouvrir(chemin, "wt", encoding="utf-8") as fichier:
            fichier.writelines(t for t in textes if not any(horaire in t for horaire in horaires))


def test_lignes_otees_redemandees(sortie: Path) -> None:
    """Une ligne ôtée à la main n'est plus couverte ; un trou connu, lui, le reste."""
    trou = m.Trou(*plage(30, 32), m.SANS_TRANSACTION)
    ecrire(sortie, lot([*range(30), *range(32, 60)], trous=[trou]), lot(range(5), ETH))
    oter_lignes(sortie, {7, 8, 40})
    with creer(sortie) as ecrivain:
        assert ecrivain.fiches[BTC].couverts == [plage(0, 7), plage(9, 40), plage(41, 60)]
        assert ecrivain.fiches[BTC].trous == [trou]
        assert ecrivain.fiches[ETH].couverts == ([plage(0, 5)])
        ecrivain.ecrire(lot([7, 8, 40], couverts=[plage(7, 9), plage(40, 41)]), fiche())
        assert ecrivain.finir()
    assert couverts(sortie) == [plage(0, 60)]
    avant = etat(sortie)
    assert not ecrire(sortie)
    assert etat(sortie) == avant


def test_fiche_perdue(sortie: Path) -> None:
    """Sans fiche, les lignes présentes disent ce qui est couvert, et la reprise marche."""
    ecrire(sortie, lot([*range(10), *range(20, 30)], couverts=[plage(0, 10), plage(20, 30)]))
    if m.format_du_fichier(sortie) == "sqlite":
        with contextlib.closing(sqlite3.connect(sortie)) as base, base:
            for nom in ("series", "intervalles", "trous"):
                base.execute(f"DROP TABLE ohlcv_{nom}")
    elif m.format_du_fichier(sortie) == "parquet":
        pq.write_table(pq.read_table(sortie).replace_schema_metadata(None), sortie)
    elif m.format_du_fichier(sortie) == "feather":
        lues = m.lire_sortie(sortie)
        with pa.ipc.new_file(str(sortie), lues.schema) as graveur:
            graveur.write_table(lues)
    else:
        sortie.with_name(f"{sortie.name}.fiche.json").unlink()
    with creer(sortie) as ecrivain:
        assert ecrivain.fiches[BTC].couverts == [plage(0, 10), plage(20, 30)]
    ecrire(sortie, lot(range(10, 20)))
    assert couverts(sortie) == [plage(0, 30)]
    assert contenu(sortie) == {BTC: {r: bougie(r) for r in range(30)}}


def abimer_la_fiche(chemin: Path, ancien: bytes, neuf: bytes) -> None:
    voisine = chemin.with_name(f"{chemin.name}.fiche.json")
    assert ancien in voisine.read_bytes()
    voisine.write_bytes(voisine.read_bytes().replace(ancien, neuf, 1))


@pytest.mark.parametrize(
    ("ancien", "neuf"),
    [
        (b'"last"', b'"lasp"'),  # une autre série, disait-on : code 2, et la fiche à ôter à la main
        (b"00:11Z", b"00:01Z"),
        (b'"trous"', b'"trouS"'),
        (b'"series": [', b'"series": '),
        (b"{", b"\xff"),
    ],
)
def test_une_fiche_abimee_n_est_pas_crue(tmp_path: Path, ancien: bytes, neuf: bytes) -> None:
    """Mise de côté ; les lignes restent, rien n'est plus couvert, et la même commande redemande tout."""
    chemin = tmp_path / "a.csv"
    ecrire(chemin, lot(range(10), couverts=[(instant(0), instant(9)), (instant(9), instant(11))]))
    abimer_la_fiche(chemin, ancien, neuf)
    assert creer(chemin).feuille.est_abimee()  # type: ignore[attr-defined]
    with creer(chemin) as ecrivain:
        ecrivain.controler([BTC])
        assert ecrivain.fiches[BTC].couverts == []
        assert ecrivain.fiches[BTC].trous == []
        assert ecrivain.finir()
    assert contenu(chemin) == {BTC: {r: bougie(r) for r in range(10)}}
    assert len(list(tmp_path.glob("a.csv.fiche.json.corrompu-*"))) == 1
    assert not creer(chemin).feuille.est_abimee()  # type: ignore[attr-defined]


@pytest.mark.parametrize("texte", ["{", "[]", '{"series": [{}]}', "\x00\x01"])
def test_sans_son_origine_une_fiche_abimee_emporte_ses_lignes(
    tmp_path: Path, texte: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Rien ne dit plus que les lignes ne sont pas inventées : le fichier est mis de côté avec elle, qui est accusée."""
    chemin = tmp_path / "a.csv"
    ecrire(chemin, lot(range(10)))
    chemin.with_name("a.csv.fiche.json").write_text(texte, encoding="utf-8")
    with creer(chemin) as ecrivain:
        assert ecrivain.fiches == {}
    assert "a.csv.fiche.json » est abîmée, et ne dit plus d'où viennent les lignes de « a.csv »" in caplog.text
    assert "illisible" not in caplog.text.replace("fiche illisible, refaite", "")
    assert len(list(tmp_path.glob("a.csv.corrompu-*"))) == len(list(tmp_path.glob("a.csv.fiche.json.corrompu-*"))) == 1
    ecrire(chemin, lot(range(10)))
    assert json.loads(chemin.with_name("a.csv.fiche.json").read_text())["series"]


def test_une_fiche_remise_en_page_reste_crue(tmp_path: Path) -> None:
    """La somme est celle de ce que la fiche dit ; une fiche d'avant n'en a pas."""
    chemin = tmp_path / "a.csv"
    ecrire(chemin, lot(range(10)))
    voisine = chemin.with_name("a.csv.fiche.json")
    dite = json.loads(voisine.read_text())
    for garde in (dite, {nom: valeur for nom, valeur in dite.items() if nom != "somme"}):
        voisine.write_text(json.dumps(garde))
        assert couverts(chemin) == [plage(0, 10)]


def test_une_fiche_d_avant_a_sa_somme_des_qu_elle_est_recrite(tmp_path: Path) -> None:
    """Elle est crue, `--verifier` le dit, et rien n'est récrit pour cela ; à la première écriture, elle en a une."""
    chemin = tmp_path / "a.csv"
    ecrire(chemin, lot(range(10)))
    voisine = chemin.with_name("a.csv.fiche.json")
    assert m.verifier(chemin).avertissements == []
    d_avant = {nom: valeur for nom, valeur in json.loads(voisine.read_text()).items() if nom != "somme"}
    voisine.write_text(json.dumps(d_avant))
    octets = voisine.read_bytes()
    ecrire(chemin, lot(range(10)))
    assert voisine.read_bytes() == octets
    rapport = m.verifier(chemin)
    assert rapport.code == 0
    assert "a.csv.fiche.json » n'a pas de somme de contrôle" in " ".join(rapport.avertissements)
    ecrire(chemin, lot(range(10, 12)))
    assert "somme" in json.loads(voisine.read_text())
    assert m.verifier(chemin).avertissements == []


def test_une_fiche_dont_la_somme_a_change_de_nom_n_est_pas_d_avant(tmp_path: Path) -> None:
    """Un bit du mot « somme » : une fiche d'avant n'a aucune clé inconnue."""
    chemin = tmp_path / "a.csv"
    ecrire(chemin, lot(range(10)))
    for mot in (b"sommd", b"romme", b"somMe"):
        abimer_la_fiche(chemin, b'"somme"', b'"' + mot + b'"')
        assert creer(chemin).feuille.est_abimee()  # type: ignore[attr-defined]
        abimer_la_fiche(chemin, b'"' + mot + b'"', b'"somme"')
    assert couverts(chemin) == [plage(0, 10)]


def test_fichier_en_desordre_remis_en_ordre(tmp_path: Path) -> None:
    """Des lignes ajoutées à la main, en double et en désordre, sont triées ; la dernière l'emporte."""
    chemin = tmp_path / "a.csv"
    ecrire(chemin, lot(range(10)))
    lignes = chemin.read_text().splitlines(keepends=True)
    chemin.write_text("".join([lignes[0], *lignes[5:], *lignes[1:6]]))
    ecrire(chemin, lot(range(10, 12)))
    assert contenu(chemin) == {BTC: {r: bougie(r) for r in range(12)}}
    assert chemin.read_text().count("\n") == 13


def test_csv_a_fins_de_ligne_windows(tmp_path: Path) -> None:
    """Un CSV repassé par un éditeur qui change les fins de ligne se prolonge."""
    chemin = tmp_path / "a.csv"
    ecrire(chemin, lot(range(10)))
    chemin.write_bytes(chemin.read_bytes().replace(b"\n", b"\r\n"))
    ecrire(chemin, lot(range(8, 12)))
    assert contenu(chemin) == {BTC: {r: bougie(r) for r in range(12)}}


def test_parquet_d_un_autre_outil(tmp_path: Path) -> None:
    """Mêmes colonnes, types voisins (large_string, timestamp[us], dictionnaire) : c'est le nôtre."""
    chemin = tmp_path / "a.parquet"
    table = lot(range(10)).lignes
    table = table.set_column(0, "exchange", table["exchange"].cast(pa.large_string()))
    table = table.set_column(1, "symbole", table["symbole"].dictionary_encode())
    pq.write_table(table.set_column(4, "timestamp", table["timestamp"].cast(pa.timestamp("us", "UTC"))), chemin)
    ecrire(chemin, lot(range(8, 12)))
    assert contenu(chemin) == {BTC: {r: bougie(r) for r in range(12)}}


# --- Le nôtre, ou pas


def test_autre_serie_refusee(sortie: Path) -> None:
    """Un autre exchange, timeframe ou prix : code 2, intact, contenu dit. Un autre symbole s'ajoute."""
    ecrire(sortie, lot(range(10)), lot(range(3), ETH))
    avant = etat(sortie)
    autres = [
        BTC._replace(timeframe="5m"),
        BTC._replace(exchange="okx"),
        BTC._replace(prix="mark"),
    ]
    creer(sortie).controler([BTC._replace(symbole="SOL/USDT")])
    for autre in autres:
        if not est_fichier(sortie):
            creer(sortie).controler([autre])  # une base tient plusieurs séries
            continue
        with pytest.raises(m.ErreurDemande, match="BTC/USDT 1m") as erreur:
            creer(sortie).controler([autre])
        assert erreur.value.code_sortie == 2
        assert autre.symbole in erreur.value.conseil
    for demandees in ([BTC], [BTC, BTC._replace(symbole="SOL/USDT")], [ETH, BTC]):
        creer(sortie).controler(demandees)
    assert etat(sortie) == avant


@pytest.mark.parametrize("suffixe", [".parquet", ".feather", ".sqlite"])
def test_un_texte_sans_forme_sous_un_nom_binaire_est_mis_de_cote(tmp_path: Path, suffixe: str) -> None:
    """Ni tableau ni document : un fichier abîmé, gardé à côté, et le travail se fait."""
    chemin = tmp_path / f"a{suffixe}"
    chemin.write_bytes(b"pas du tout un fichier de bougies")
    ecrivain = creer(chemin)
    ecrivain.controler([BTC])
    with ecrivain:
        ecrivain.finir()
    assert [f.read_bytes() for f in tmp_path.glob("*.corrompu-*")] == [b"pas du tout un fichier de bougies"]


ETRANGERS = {
    "texte": b"bonjour,tout,le\nmonde\n",
    "json": b'{"a": 1}',
    "autres colonnes": b"timestamp,open,high\n1,2,3\n",
}


@pytest.mark.parametrize("nom", ETRANGERS)
def test_fichier_etranger_refuse(sortie: Path, nom: str) -> None:
    """Ce qui se lit mais n'est pas à nous est refusé, intact, et rien n'est créé à côté."""
    sortie.parent.mkdir()
    sortie.write_bytes(ETRANGERS[nom])
    with pytest.raises(m.ErreurDemande, match="contient") as erreur:
        creer(sortie).controler([BTC])
    assert erreur.value.code_sortie == 2
    assert sortie.read_bytes() == ETRANGERS[nom]
    assert [v.name for v in sortie.parent.iterdir()] == [sortie.name]


@pytest.mark.parametrize("autre", [s for _, s in VARIANTES if s != ".csv.gz"])
def test_autre_format_refuse(sortie: Path, autre: str, tmp_path: Path) -> None:
    """Un de nos fichiers sous l'extension d'un autre format est reconnu et refusé."""
    origine = tmp_path / f"origine{autre}"
    ecrire(origine, lot(range(5)))
    sortie.parent.mkdir()
    shutil.copy(origine, sortie)
    ecrivain = creer(sortie)
    if m.format_du_fichier(origine) == ecrivain.format:
        ecrivain.controler([BTC])
    else:
        with pytest.raises(m.ErreurDemande):
            ecrivain.controler([BTC])
    assert m.lire_sortie(sortie).num_rows == 5  # le contenu prime sur l'extension


def test_parquet_d_autres_colonnes_refuse(tmp_path: Path) -> None:
    """Un Parquet ou un Feather à d'autres colonnes n'est pas à nous ; le message les nomme."""
    autre = pa.table({"prenom": ["Ada"], "age": [36]})
    pq.write_table(autre, tmp_path / "a.parquet")
    with pa.ipc.new_file(str(tmp_path / "a.feather"), autre.schema) as graveur:
        graveur.write_table(autre)
    for nom in ("a.parquet", "a.feather"):
        avant = (tmp_path / nom).read_bytes()
        with pytest.raises(m.ErreurDemande, match="prenom string, age int64"):
            creer(tmp_path / nom).controler([BTC])
        assert (tmp_path / nom).read_bytes() == avant


def test_dossier_refuse(sortie: Path) -> None:
    """Un dossier n'est pas une sortie."""
    sortie.mkdir(parents=True)
    with pytest.raises(m.ErreurDemande, match="dossier"):
        creer(sortie).controler([BTC])


def test_fichier_vide_vaut_absent(sortie: Path) -> None:
    """Un fichier de zéro octet (`touch`) est rempli sans façon."""
    sortie.parent.mkdir()
    sortie.touch()
    ecrire(sortie, lot(range(5)))
    assert sorted(contenu(sortie)[BTC]) == list(range(5))
    assert restes(sortie) == set()


@pytest.mark.posix
def test_lien_symbolique(sortie: Path, tmp_path: Path) -> None:
    """Par un lien, c'est le fichier désigné qui est remplacé, et le lien demeure."""
    cible = tmp_path / f"vrai{''.join(sortie.suffixes)}"
    ecrire(cible, lot(range(5)))
    sortie.parent.mkdir()
    sortie.symlink_to(cible)
    ecrire(sortie, lot(range(5, 9)))
    assert sortie.is_symlink()
    assert sorted(contenu(cible)[BTC]) == list(range(9))


# --- SQLite


@pytest.mark.parametrize("nom", ["ohlcv; DROP TABLE x", 'a"b', "1a", "é", "", "a" * 64, "a b", "sqlite_x", "a-b"])
def test_noms_de_table_refuses(nom: str, tmp_path: Path) -> None:
    """Un nom de table qui n'est pas un identifiant simple est une faute de la demande."""
    with pytest.raises(m.ErreurDemande, match="nom de table"):
        creer(tmp_path / "a.db", table=nom)


@pytest.mark.parametrize("nom", ["select", "Table_1", "_", "a" * 63])
def test_noms_de_table_acceptes(nom: str, tmp_path: Path) -> None:
    """Un mot réservé de SQL est un nom comme un autre, une fois entre guillemets."""
    chemin = tmp_path / "a.db"
    ecrire(chemin, lot(range(5)), table=nom)
    ecrire(chemin, lot(range(5, 8)), table=nom)
    assert sorted(contenu(chemin, nom)[BTC]) == list(range(8))


def test_sqlite_plusieurs_tables_et_series(tmp_path: Path) -> None:
    """Une base tient des tables étrangères, plusieurs des nôtres, et plusieurs séries par table."""
    chemin, cinq = tmp_path / "a.db", BTC._replace(timeframe="5m")
    with contextlib.closing(sqlite3.connect(chemin)) as base, base:
        base.execute("CREATE TABLE carnet (x)")
        base.execute("INSERT INTO carnet VALUES (7)")
    ecrire(chemin, lot(range(5)))
    ecrire(chemin, lot([0, 5, 10], cinq))
    ecrire(chemin, lot(range(3), ETH), table="autre")
    assert set(contenu(chemin)) == {BTC, cinq}
    assert set(contenu(chemin, "autre")) == {ETH}
    with contextlib.closing(sqlite3.connect(chemin)) as base, base:
        assert base.execute("SELECT x FROM carnet").fetchall() == [(7,)]


@pytest.mark.parametrize(
    "definition",
    ["(exchange TEXT, prix REAL)", "(" + ", ".join(f"{n} TEXT" for n, _ in m.OHLCV.colonnes) + ")", "SANS CLE"],
)
def test_sqlite_table_d_un_autre(tmp_path: Path, definition: str) -> None:
    """Une table du même nom aux autres colonnes, ou sans notre clé unique, est refusée, intacte."""
    chemin = tmp_path / "a.db"
    with contextlib.closing(sqlite3.connect(chemin)) as base, base:
        if definition == "SANS CLE":
            definition = "(" + m.tables_sqlite(m.OHLCV, "ohlcv")["ohlcv"] + ")"
        base.execute(f"CREATE TABLE ohlcv {definition}")
    avant = chemin.read_bytes()
    with pytest.raises(m.ErreurDemande, match="ohlcv"):
        creer(chemin).controler([BTC])
    assert chemin.read_bytes() == avant


def test_sqlite_lecteur_jamais_bloque(tmp_path: Path) -> None:
    """Pendant une écriture, un autre processus lit l'état d'avant, sans attendre."""
    chemin = tmp_path / "a.db"
    ecrire(chemin, lot(range(5)))
    with creer(chemin) as ecrivain:
        ecrivain.ecrire(lot(range(5, 9)), fiche())
        with contextlib.closing(sqlite3.connect(f"file:{chemin}?mode=ro", uri=True, timeout=0)) as lecteur:
            assert lecteur.execute("SELECT COUNT(*) FROM ohlcv").fetchone() == (9,)
            lecteur.execute("BEGIN")
            assert lecteur.execute("SELECT COUNT(*) FROM ohlcv").fetchone() == (9,)
            ecrivain.ecrire(lot(range(9, 12)), fiche())
            assert lecteur.execute("SELECT COUNT(*) FROM ohlcv").fetchone() == (9,)
        ecrivain.finir()
    assert restes(chemin) == set()


def lu_par_un_autre(chemin: Path) -> str:
    """Ce que lit d'une base un utilisateur, qui n'est pas root, dans un dossier où il ne peut écrire."""
    root, python = os.geteuid() == 0, shutil.which("python3", path="/usr/bin")  # root écrit partout
    if root and python is None:
        return "pas d'autre utilisateur"
    code = "import sqlite3, sys; print(sqlite3.connect(sys.argv[1]).execute('SELECT COUNT(*) FROM ohlcv').fetchone())"
    commande = [python if root and python else sys.executable, "-c", code, str(chemin)]
    chemin.parent.parent.chmod(0o755)
    chemin.parent.chmod(0o555)
    try:
        fin = subprocess.run(
            commande, capture_output=True, text=True, check=False, cwd="/", user=65534 if root else None
        )
    finally:
        chemin.parent.chmod(0o755)
    return fin.stdout or fin.stderr


@pytest.mark.posix
def test_sqlite_au_repos_un_seul_fichier() -> None:
    """Fermée proprement, une base se lit d'un dossier où l'on ne peut écrire ; un lecteur présent n'y fait rien."""
    with tempfile.TemporaryDirectory() as lieu:  # celui de pytest n'est ouvert qu'à nous
        chemin = Path(lieu) / "seule" / "a.db"
        ecrire(chemin, lot(range(5)))
        with creer(chemin) as ecrivain:
            ecrivain.ecrire(lot(range(5, 9)), fiche())
            with contextlib.closing(sqlite3.connect(chemin)) as lecteur:
                lecteur.execute("SELECT COUNT(*) FROM ohlcv").fetchone()
                ecrivain.finir()
            ecrivain.finir()
        chemin.with_name("a.db.verrou").unlink(missing_ok=True)
        assert [voisin.name for voisin in chemin.parent.iterdir()] == ["a.db"]
        assert lu_par_un_autre(chemin) in {"(9,)\n", "pas d'autre utilisateur"}
        assert chemin.read_bytes()[18:20] == b"\1\1"  # journal d'annulation, et non WAL


def test_sqlite_table_compacte_et_rangee(tmp_path: Path) -> None:
    """Une table neuve prend au plus 105 octets par bougie, et se lit dans l'ordre de sa clé, élargie ou non."""
    chemin, nombre = tmp_path / "a.db", 20_000
    rangs = list(range(0, nombre, 500))
    random.Random(3).shuffle(rangs)
    for moitie in (rangs[20:], rangs[:20]):
        ecrire(chemin, *(lot(range(rang, rang + 500)) for rang in moitie))
    with contextlib.closing(sqlite3.connect(chemin)) as base:
        lues = base.execute("SELECT * FROM ohlcv").fetchall()
    assert [ligne[4] for ligne in lues] == [instant(rang) for rang in range(nombre)]
    assert chemin.stat().st_size <= 105 * nombre


def test_sqlite_table_d_avant(tmp_path: Path) -> None:
    """Une table d'avant (rowid, index unique, base en WAL) continue, telle qu'elle est."""
    chemin = tmp_path / "a.db"
    tables = m.tables_sqlite(m.OHLCV, "ohlcv")
    with contextlib.closing(sqlite3.connect(chemin)) as base, base:
        base.execute("PRAGMA journal_mode = WAL")
        base.execute(f"CREATE TABLE ohlcv ({tables['ohlcv']})")
        base.execute(f"CREATE UNIQUE INDEX ohlcv_cle ON ohlcv ({', '.join(m.OHLCV.cle)})")
    ecrire(chemin, lot(range(5, 9)))
    ecrire(chemin, lot({rang: bougie(rang, 1) for rang in range(7)}))
    assert contenu(chemin) == {BTC: {rang: bougie(rang, rang < 7) for rang in range(9)}}
    with contextlib.closing(sqlite3.connect(chemin)) as base:
        assert base.execute("SELECT rowid FROM ohlcv ORDER BY timestamp").fetchone() != (1,)
    oter_la_troisieme(chemin)


def test_sqlite_une_ligne_fautive_s_ote(tmp_path: Path) -> None:
    """D'une table sans rowid aussi, et même si sa clé n'est pas du type de sa colonne."""
    chemin = tmp_path / "a.db"
    ecrire(chemin, lot(range(9)))
    with contextlib.closing(sqlite3.connect(chemin)) as base, base:
        base.execute("UPDATE ohlcv SET timestamp = 'abc' WHERE timestamp = ?", (instant(3),))
    with creer(chemin).tenue() as ecrivain:
        with lecture_brute.brut(ecrivain) as brut:
            (lignes,) = brut.lots
            rangs = pa.array([r for r, i in enumerate(lignes["timestamp"].to_pylist()) if i is not None], pa.int64())
            retenu = lignes.take(rangs)
        remise_en_ordre.remplacer(ecrivain, retenu, {fiche().cle: fiche()})
    with contextlib.closing(sqlite3.connect(chemin)) as base:
        lus = [t for (t,) in base.execute("SELECT timestamp FROM ohlcv")]
    assert lus == [instant(rang) for rang in (0, 1, 2, 4, 5, 6, 7, 8)]


def oter_la_troisieme(chemin: Path) -> None:
    with creer(chemin).tenue() as ecrivain:
        with lecture_brute.brut(ecrivain) as brut:
            (lignes,) = brut.lots
            retenu = lignes.take(pa.array([r for r in range(9) if r != 3], pa.int64()))
        remise_en_ordre.remplacer(ecrivain, retenu, {fiche().cle: fiche()})
    assert sorted(contenu(chemin)[BTC]) == [0, 1, 2, 4, 5, 6, 7, 8]


# --- Registre et fonctions pures


def test_extensions_du_registre() -> None:
    """Chaque extension mène à un format, et l'import du module n'a besoin d'aucune dépendance lourde."""
    assert {"csv", "parquet", "feather", "sqlite"} == set(m.ECRIVAINS)
    assert m.EXTENSIONS[".csv.gz"] == "csv"
    assert m.EXTENSIONS[".pq"] == "parquet"
    assert m.EXTENSIONS[".arrow"] == "feather"
    assert m.EXTENSIONS[".db"] == "sqlite"


def test_lire_sortie_absente(tmp_path: Path) -> None:
    """Lire ce qui n'existe pas dit quoi, sur quoi et que faire."""
    with pytest.raises(m.ErreurSortie, match=r"absent\.csv.*n'existe pas") as erreur:
        m.lire_sortie(tmp_path / "absent.csv")
    assert erreur.value.conseil


def morceaux(lignes: dict[int, int], coupes: list[int]) -> list[pa.Table]:
    """Une table triée (rang -> version), coupée en morceaux, parfois vides."""
    entiere = lot({r: bougie(r, v) for r, v in lignes.items()}).lignes
    bornes = [0, *sorted(c % (len(lignes) + 1) for c in coupes), len(lignes)]
    return [entiere[a:b] for a, b in itertools.pairwise(bornes)]


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(st.integers(0, 60), st.just(0)),
    st.dictionaries(st.integers(0, 60), st.just(1)),
    st.lists(st.integers(0, 60), max_size=5),
    st.lists(st.integers(0, 60), max_size=5),
    st.integers(1, 20),
)
def test_fusion_et_regroupement(
    ancien: dict[int, int], nouveau: dict[int, int], coupes: list[int], autres: list[int], taille: int
) -> None:
    """Fusionner deux flots découpés n'importe comment vaut l'union de deux dictionnaires."""
    flot = m.regrouper(m.fusionner(morceaux(ancien, coupes), morceaux(nouveau, autres), m.OHLCV), taille)
    tables = list(flot)
    attendu = ancien | nouveau
    assert [t.num_rows for t in tables[:-1]] == [taille] * (len(tables) - 1)
    ouvertures = [o for t in tables for o in zip(m.instants_de(t), t["open"].to_pylist(), strict=True)]
    assert ouvertures == [(instant(r), bougie(r, attendu[r])[0]) for r in sorted(attendu)]


OPERATIONS = st.lists(
    st.tuples(
        st.sampled_from([BTC, ETH]),
        st.integers(0, 80),
        st.integers(0, 40),
        st.integers(0, 3),
        st.sampled_from(["suite", "finir", "rouvrir", "tuer"]),
    ),
    min_size=1,
    max_size=12,
)


@pytest.mark.parametrize("suffixe", [s for _, s in VARIANTES])
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(operations=OPERATIONS)
def test_n_importe_quelle_suite_vaut_un_dictionnaire(
    tmp_path_factory: pytest.TempPathFactory, suffixe: str, operations: list[tuple[m.CleSerie, int, int, int, str]]
) -> None:
    """Des lots quelconques, en désordre, se recouvrant, entre des fins et des abandons : toujours l'union."""
    chemin = tmp_path_factory.mktemp("suite") / f"a{suffixe}"
    modele: Modele = {}
    lus: dict[m.CleSerie, list[m.Intervalle]] = {}
    ecrivain = creer(chemin).ouvrir()
    for cle, debut, taille, version, ensuite in operations:
        lignes = {r: bougie(r, version) for r in range(debut, debut + taille)}
        ecrivain.ecrire(lot(lignes, cle), fiche(cle))
        modele.setdefault(cle, {}).update(lignes)
        lus[cle] = m.unir(lus.get(cle, []), [plage(debut, debut + taille)])
        if ensuite in ("finir", "rouvrir"):
            ecrivain.finir()
        if ensuite in ("rouvrir", "tuer"):  # « tuer » : fermé sans finir, le journal reste
            ecrivain.fermer()
            ecrivain = creer(chemin).ouvrir()
        assert {c: f.couverts for c, f in ecrivain.fiches.items() if f.couverts} == {c: i for c, i in lus.items() if i}
    ecrivain.finir()
    ecrivain.fermer()
    assert (contenu(chemin) if chemin.exists() else {}) == {c: lignes for c, lignes in modele.items() if lignes}
    assert restes(chemin) == set()


def test_un_fait_dementi_quitte_la_base(tmp_path: Path) -> None:
    """Des lignes d'avant la cotation la démentent : la base ne tient plus cet intervalle pour couvert."""
    chemin = tmp_path / "a.sqlite"
    ecrire(chemin, lot(range(10, 20), BTC, [plage(0, 20)], [m.Trou(*plage(0, 10), m.AVANT_COTATION)]))
    ecrire(chemin, lot(dict.fromkeys(range(-10, 0), bougie(1))))
    with creer(chemin) as ecrivain:
        ecrivain.ecrire(lot(range(18, 25)), fiche())
        ecrivain.finir()
        (connue,) = ecrivain.fiches.values()
    assert connue.couverts == [plage(-10, 0), plage(10, 25)]
    assert m.lire_fiches(chemin) == [connue]
    assert m.verifier(chemin).code == 0


def test_csv_de_reference_lisible_par_tous(tmp_path: Path) -> None:
    """Le lecteur CSV d'Arrow, sans réglage, en tire les bons types."""
    ecrire(tmp_path / "a.csv", lot(range(1, 5)))
    lue = pa_csv.read_csv(tmp_path / "a.csv")
    assert pa.types.is_timestamp(lue.schema.field("timestamp").type)
    assert lue["close"].to_pylist() == [bougie(r)[3] for r in range(1, 5)]
