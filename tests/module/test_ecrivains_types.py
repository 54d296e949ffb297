"""§ 6, les quatre types de donnée : les promesses des bougies, pour les trades, les tickers et les carnets aussi."""

from __future__ import annotations

import contextlib
import dataclasses
import gzip
import itertools
import json
import random
import sqlite3
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ligne_de_commande import famille
from sorties_modeles import (
    BTC,
    DEBUT,
    ETH,
    MINUTE,
    VARIANTES,
    cles,
    contenu_de,
    couverts,
    creer,
    ecrire,
    executer,
    instant,
    ligne,
    lot,
    lot_de,
    modele_de,
    ordre_de,
    restes,
    table_de,
)

import module_ccxt_fr_v2 as m

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

SUFFIXES = [suffixe for _, suffixe in VARIANTES]
EVENEMENTS = [m.TRADES, m.TICKER, m.ORDERBOOK]
par_famille = pytest.mark.couvrant(sortie=famille)
"""Chaque type dans chaque famille de formats ; chaque format, au moins un type."""


@pytest.fixture(params=SUFFIXES)
def sortie(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Une sortie à écrire, dans chaque format."""
    return tmp_path / "donnees" / f"btc{request.param}"


@pytest.fixture(params=m.TYPES.values(), ids=list(m.TYPES))
def donnee(request: pytest.FixtureRequest) -> m.TypeDonnee:
    """Chacun des quatre types."""
    trouve: m.TypeDonnee = request.param
    return trouve


@pytest.fixture(params=EVENEMENTS, ids=[e.nom for e in EVENEMENTS])
def evenement(request: pytest.FixtureRequest) -> m.TypeDonnee:
    """Les types sans grille."""
    trouve: m.TypeDonnee = request.param
    return trouve


def octets(chemin: Path) -> dict[str, Any]:
    """De quoi dire qu'une sortie n'a pas été touchée."""
    if chemin.suffix == ".sqlite":
        with contextlib.closing(sqlite3.connect(chemin)) as base, base:
            return {"base": list(base.iterdump())}
    voisins = [v for v in chemin.parent.iterdir() if ".verrou" not in v.name]
    return {v.name: (v.read_bytes(), v.stat().st_mtime_ns) for v in voisins}


def lot_brut(donnee: m.TypeDonnee, lignes: Iterable[dict[str, Any]]) -> m.Lot:
    """Un lot de lignes quelconques, qui ne prouve rien."""
    table = table_de(donnee, lignes)
    return m.Lot(cles(donnee)[0]._replace(symbole=table["symbole"][0].as_py()), table, [], [])


# --- Ce qui est écrit se relit


@par_famille
@pytest.mark.parametrize("flux", [False, True])
def test_aller_retour(sortie: Path, donnee: m.TypeDonnee, flux: bool) -> None:
    """Chaque type, dans chaque format, en flux ou non : relu tel quel, sans dire lequel c'était."""
    lots = [lot_de(donnee, range(40), cle) for cle in reversed(cles(donnee))]
    assert executer(sortie, donnee, *lots, flux=flux)
    assert contenu_de(sortie, donnee) == modele_de(donnee, lots)
    assert m.lire(sortie).schema.equals(donnee.schema)
    assert {f.cle: f.couverts for f in m.lire_fiches(sortie)} == {unique.cle: unique.couverts for unique in lots}
    assert restes(sortie) == set()


NOMBRES = [1e-8, 0.1 + 0.2, 1e22, 42.0, 5e-324, 1.7976931348623157e308, 123456789.12345679, 1 / 3, 1e-5, 100.0]


def test_carnet_exact(sortie: Path) -> None:
    """Au bit près, vide, absent, sans prix : les niveaux se relisent tels quels, avec leur nonce ou sans."""
    niveaux = [{"price": n, "amount": NOMBRES[-1 - rang]} for rang, n in enumerate(NOMBRES)]
    cas = [niveaux, [], None, niveaux[:1], [{"price": 1.5, "amount": None}], niveaux * 50]
    lignes = [
        {**ligne(m.ORDERBOOK, cles(m.ORDERBOOK)[0], 3 * rang), "bids": cas[rang], "asks": cas[-1 - rang]}
        for rang in range(len(cas))
    ]
    executer(sortie, m.ORDERBOOK, lot_brut(m.ORDERBOOK, lignes))
    assert m.lire_sortie(sortie).equals(table_de(m.ORDERBOOK, lignes))


def test_carnet_en_texte(tmp_path: Path) -> None:
    """CSV et SQLite : du JSON, nombres au plus court, cité comme il faut ; lu par n'importe quel outil."""
    une = {
        **ligne(m.ORDERBOOK, cles(m.ORDERBOOK)[0], 3),
        "bids": [{"price": 42000.0, "amount": 0.5}, {"price": 41999.9, "amount": 1e-7}],
        "asks": [],
    }
    for nom in ("a.csv", "a.db"):
        executer(tmp_path / nom, m.ORDERBOOK, lot_brut(m.ORDERBOOK, [une]))
    texte = (tmp_path / "a.csv").read_text().splitlines()[1]
    assert texte == (
        'binance,BTC/USDT,2024-01-01T00:00:00.001Z,2024-01-01T00:00:00.041Z,3,"[[42000,0.5],[41999.9,1e-7]]","[]"'
    )
    with contextlib.closing(sqlite3.connect(tmp_path / "a.db")) as base, base:
        (bids, asks) = base.execute("SELECT bids, asks FROM orderbook").fetchone()
    assert json.loads(bids) == [[42000, 0.5], [41999.9, 1e-7]]
    assert json.loads(asks) == []


@pytest.mark.parametrize("texte", ["[[1,2],[3]]", "[[1,2,3],[4]]", "[[1,2]", "1,2", "[[a,b]]", '{"a": 1}'])
def test_carnet_abime(texte: str) -> None:
    """Un texte qui n'est pas une suite de paires de nombres est une faute, pas un carnet de travers."""
    with pytest.raises((ValueError, pa.ArrowException)):
        m.niveaux_du_texte(pa.array([texte]))


def test_carnet_d_un_autre_outil() -> None:
    """Des espaces, comme en met json.dumps, ne changent rien."""
    lus = m.niveaux_du_texte(pa.array(["[[1.5, 2], [3, null]]", None, "[ ]"]))
    assert lus.to_pylist() == [[{"price": 1.5, "amount": 2.0}, {"price": 3.0, "amount": None}], None, []]


def test_carnet_plus_long_que_les_tampons(tmp_path: Path) -> None:
    """Une ligne de cinq cent mille octets se relit, et sa coupure se répare."""
    chemin = tmp_path / "a.csv"
    cotes = {nom: [{"price": 2000 + pas * n, "amount": n / 3} for n in range(1, 8001)]
             for nom, pas in (("bids", -1 / 7), ("asks", 1 / 7))}  # fmt: skip
    lignes = [{**ligne(m.ORDERBOOK, cles(m.ORDERBOOK)[0], 3 * r), **cotes} for r in range(4)]
    executer(chemin, m.ORDERBOOK, lot_brut(m.ORDERBOOK, lignes[:3]))
    executer(chemin, m.ORDERBOOK, lot_brut(m.ORDERBOOK, lignes[2:]))
    assert m.lire_sortie(chemin).equals(table_de(m.ORDERBOOK, lignes))
    chemin.write_bytes(chemin.read_bytes()[:-200_000])
    executer(chemin, m.ORDERBOOK, lot_brut(m.ORDERBOOK, lignes[3:]))
    assert m.lire_sortie(chemin).equals(table_de(m.ORDERBOOK, lignes))


def test_types_des_colonnes(tmp_path: Path) -> None:
    """Parquet et Feather : listes de structures, entiers, instants ; SQLite : REAL, INTEGER, TEXT."""
    for donnee in EVENEMENTS:
        for suffixe in (".parquet", ".feather", ".sqlite"):
            executer(tmp_path / f"{donnee.nom}{suffixe}", donnee, lot_de(donnee, range(9)))
        assert pq.read_table(tmp_path / f"{donnee.nom}.parquet").cast(donnee.schema).num_rows == 9
        feather = pa.ipc.open_file(tmp_path / f"{donnee.nom}.feather").schema
        assert feather.remove_metadata().equals(donnee.schema)
    with contextlib.closing(sqlite3.connect(tmp_path / "trades.sqlite")) as base, base:
        types = "SELECT typeof(timestamp), typeof(recu), typeof(id), typeof(price) FROM trades"
        assert base.execute(types).fetchone() == ("integer", "integer", "text", "real")


# --- L'ordre d'un même instant


def trades(ids: Iterable[str], ms: int = 0, prix: float = 1.0) -> list[dict[str, Any]]:
    """Des trades d'un même instant, dans l'ordre reçu."""
    modele = ligne(m.TRADES, cles(m.TRADES)[0], 0)
    return [{**modele, "timestamp": DEBUT + ms, "id": unique, "price": prix} for unique in ids]


def ids(chemin: Path) -> list[str]:
    """Les ids de la sortie, dans l'ordre."""
    return list(m.lire_sortie(chemin)["id"].to_pylist())


@pytest.mark.parametrize("flux", [False, True])
def test_ordre_des_trades_d_une_milliseconde(sortie: Path, flux: bool) -> None:
    """Ids en chiffres : par nombre, quelle que soit leur longueur ; sinon, comme ils sont arrivés."""
    nombres = ["9", "10", "100", "1139418393212137473", "11394183932121374730"]
    lettres = ["~z", "b7", "~a", "0x1f"]
    executer(
        sortie,
        m.TRADES,
        lot_brut(m.TRADES, trades(["10", "9", "11394183932121374730", *lettres[:2]])),
        lot_brut(m.TRADES, trades([lettres[2], "1139418393212137473", "100", lettres[3]])),
        flux=flux,
    )
    assert ids(sortie) == [*nombres, *lettres]


def test_relire_une_partie_garde_l_ordre(sortie: Path) -> None:
    """Un trade relu garde sa place dans sa milliseconde ; révisé, il est remplacé entier, sur place."""
    executer(sortie, m.TRADES, lot_brut(m.TRADES, trades("cab")))
    executer(sortie, m.TRADES, lot_brut(m.TRADES, trades("ad", prix=7.0)))
    assert ids(sortie) == ["c", "a", "b", "d"]
    assert m.lire_sortie(sortie)["price"].to_pylist() == [1.0, 7.0, 1.0, 7.0]


@pytest.mark.parametrize("flux", [False, True])
def test_doublons_d_id(sortie: Path, flux: bool) -> None:
    """Le même id dans un lot, entre deux lots, entre l'ancien fichier et le journal : une seule ligne, la dernière."""
    executer(sortie, m.TRADES, lot_brut(m.TRADES, trades(["1", "2", "2", "~a"])), flux=flux)
    lots = [lot_brut(m.TRADES, trades(["2", "3", "~a"], prix=2.0)), lot_brut(m.TRADES, trades(["3", "~a"], prix=3.0))]
    executer(sortie, m.TRADES, *lots, flux=flux)
    lue = m.lire_sortie(sortie)
    assert list(zip(lue["id"].to_pylist(), lue["price"].to_pylist(), strict=True)) == [
        ("1", 1.0),
        ("2", 2.0),
        ("3", 3.0),
        ("~a", 3.0),
    ]


def test_nonce_absent(sortie: Path) -> None:
    """Deux carnets sans nonce au même instant n'en font qu'un ; avec, ils sont distincts."""
    modele = ligne(m.ORDERBOOK, cles(m.ORDERBOOK)[0], 3)
    lignes = [{**modele, "nonce": nonce, "asks": [{"price": p, "amount": 1.0}]} for nonce, p in ((None, 1e3), (8, 2e3))]
    for _ in range(2):
        executer(sortie, m.ORDERBOOK, lot_brut(m.ORDERBOOK, lignes))
    revise = {**lignes[0], "bids": []}
    executer(sortie, m.ORDERBOOK, lot_brut(m.ORDERBOOK, [revise]))
    assert m.lire_sortie(sortie).to_pylist() == table_de(m.ORDERBOOK, [lignes[1], revise]).to_pylist()


@pytest.mark.parametrize("suffixe", SUFFIXES)
def test_un_groupe_n_est_jamais_coupe(suffixe: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Des tables de cinq lignes, des instants de vingt : ni doublon ni perte, où que tombent les coupures."""
    monkeypatch.setattr(m, "LIGNES_PAR_LOT", 5)
    monkeypatch.setattr(m, "LIGNES_PAR_GROUPE", 7)
    chemin, alea = tmp_path / f"a{suffixe}", random.Random(1)
    attendu: dict[str, float] = {}
    for tour in range(8):
        flux = bool(tour % 2)
        lots = []
        for _ in range(4):
            debut = alea.randrange(300)
            un = [
                {**trades([str(i)], i // 20, float(tour + 1))[0], "symbole": "BTC/USDT"}
                for i in range(debut, debut + alea.randrange(1, 50))
            ]
            attendu.update({t["id"]: t["price"] for t in un})
            lots.append(lot_brut(m.TRADES, un))
        executer(chemin, m.TRADES, *lots, flux=flux)
        with creer(chemin, m.TRADES) as ecrivain:
            milieu = ecrivain.lire(lots[0].cle, DEBUT + 5, DEBUT + 7)["id"].to_pylist()
        assert milieu == [i for i in sorted(attendu, key=int) if 100 <= int(i) < 140]
    lue = m.lire_sortie(chemin)
    assert dict(zip(lue["id"].to_pylist(), lue["price"].to_pylist(), strict=True)) == attendu
    assert lue["id"].to_pylist() == sorted(attendu, key=int)


# (symbole, numéro) : le numéro dit l'instant, et l'id, en chiffres une fois sur deux.
RECUS = st.lists(st.tuples(st.sampled_from("BA"), st.integers(0, 11)), max_size=20)


def recus(lignes: list[tuple[str, int]], prix: float) -> pa.Table:
    """Des trades tels que reçus, reconnaissables à leur prix."""
    modele = ligne(m.TRADES, BTC, 0)
    return table_de(
        m.TRADES,
        (
            {**modele, "symbole": s, "timestamp": DEBUT + n // 4, "id": str(8 + n) if n % 2 else f"~{n}", "price": p}
            for p, (s, n) in enumerate(lignes, start=int(prix))
        ),
    )


def tries(*tables: pa.Table) -> list[dict[str, Any]]:
    """L'union, en Python : la place de la première reçue, les valeurs de la dernière."""
    derniere = {(une["symbole"], une["id"]): une for table in tables for une in table.to_pylist()}
    return sorted(derniere.values(), key=ordre_de)


@settings(max_examples=150, deadline=None)
@given(RECUS, RECUS, st.lists(st.integers(0, 20), max_size=3))
def test_tri_et_fusion_des_trades(
    anciens: list[tuple[str, int]], nouveaux: list[tuple[str, int]], coupes: list[int]
) -> None:
    """Le tri, le contrôle d'ordre et la fusion, contre un dictionnaire et un tri de Python."""
    brute = recus(anciens, 1)
    ancienne, nouvelle = m.trier(brute, m.TRADES), m.trier(recus(nouveaux, 100), m.TRADES)
    assert ancienne.to_pylist() == tries(brute)
    assert m.est_triee(ancienne, m.TRADES)
    assert m.est_triee(brute, m.TRADES) == (brute.to_pylist() == tries(brute))
    bornes = [0, *sorted(c % (len(ancienne) + 1) for c in coupes), len(ancienne)]
    flot = m.sans_couper(ancienne[a:b] for a, b in itertools.pairwise(bornes))
    fondues = pa.concat_tables([m.TRADES.schema.empty_table(), *m.fusionner(flot, [nouvelle], m.TRADES)])
    assert fondues.to_pylist() == tries(ancienne, nouvelle)


def test_fusion_d_un_flot_mal_range() -> None:
    """Un fichier mélangé sous une fiche qui le dit en ordre : la fusion finit, et ne perd aucune ligne."""
    melange = recus([("A", n) for n in (9, 3, 7, 1, 5)], 1)
    fondues = pa.concat_tables(list(m.fusionner([melange, melange.take([4, 2, 0])], [recus([("A", 2)], 50)], m.TRADES)))
    assert {une["id"] for une in fondues.to_pylist()} == {"17", "11", "15", "9", "13", "~2"}


def test_voisins() -> None:
    """Ceux qui touchent, bords compris, et la place où s'insérer quand il n'y en a pas."""
    suite = [(0, 2), (4, 6), (8, 10)]
    assert suite[m.voisins(suite, 2, 4)] == [(0, 2), (4, 6)]
    assert suite[m.voisins(suite, 5, 5)] == [(4, 6)]
    assert suite[m.voisins(suite, 11, 20)] == []
    assert m.voisins(suite, 3, 3) == slice(1, 1)
    assert m.voisins([], 0, 9) == slice(0, 0)


# --- Reprises


OPERATIONS = st.lists(
    st.tuples(
        st.integers(0, 1),
        st.integers(0, 80),
        st.integers(0, 40),
        st.integers(0, 3),
        st.sampled_from(["suite", "suite", "finir", "rouvrir", "tuer"]),
    ),
    min_size=1,
    max_size=10,
)


@pytest.mark.parametrize("suffixe", SUFFIXES)
@settings(max_examples=16, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    donnee=st.sampled_from(list(m.TYPES.values())), modes=st.lists(st.booleans(), min_size=11), operations=OPERATIONS
)
def test_n_importe_quelle_suite_de_chaque_type(
    tmp_path_factory: pytest.TempPathFactory,
    suffixe: str,
    donnee: m.TypeDonnee,
    modes: list[bool],
    operations: list[tuple[int, int, int, int, str]],
) -> None:
    """Des lots quelconques, en flux ou non, dans des exécutions finies ou abandonnées : toujours l'union."""
    chemin = tmp_path_factory.mktemp("suite") / f"a{suffixe}"
    lots: list[m.Lot] = []
    lus: dict[m.CleSerie, list[m.Intervalle]] = {}
    ecrivain = creer(chemin, donnee, flux=modes.pop()).ouvrir()
    for serie, debut, taille, version, ensuite in operations:
        unique = lot_de(donnee, range(debut, debut + taille), cles(donnee)[serie], version)
        ecrivain.ecrire(unique, m.Fiche(unique.cle))
        lots.append(unique)
        lus[unique.cle] = m.unir(lus.get(unique.cle, []), unique.couverts)
        if ensuite in ("finir", "rouvrir"):
            ecrivain.finir()
        if ensuite in ("rouvrir", "tuer"):  # « tuer » : fermé sans finir
            ecrivain.fermer()
            ecrivain = creer(chemin, donnee, flux=modes.pop()).ouvrir()
        assert {c: f.couverts for c, f in ecrivain.fiches.items() if f.couverts} == {c: i for c, i in lus.items() if i}
    ecrivain.finir()
    ecrivain.fermer()
    attendu = modele_de(donnee, lots)
    trouve = contenu_de(chemin, donnee) if chemin.exists() else {}
    assert sans_reception(trouve) == sans_reception(attendu)
    assert restes(chemin) == set()


def sans_reception(modele: dict[tuple[Any, ...], dict[str, Any]]) -> dict[tuple[Any, ...], dict[str, Any]]:
    """Le modèle sans l'instant de réception, qui ne fait pas une révision."""
    return {cle: {**une, "recu": None} for cle, une in modele.items()}


@par_famille
def test_idempotence_de_chaque_type(sortie: Path, donnee: m.TypeDonnee) -> None:
    """Récrire les mêmes lignes, ou les recevoir plus tard, ne touche à rien."""
    tout = lot_de(donnee, range(60))
    executer(sortie, donnee, tout)
    avant = octets(sortie)
    assert not executer(sortie, donnee, tout)
    assert not executer(sortie, donnee, lot_de(donnee, range(50, 60)))
    if "recu" in donnee.noms:
        plus_tard = tout.lignes.to_pylist()
        for une in plus_tard:
            une["recu"] = None
        assert not executer(sortie, donnee, tout._replace(lignes=table_de(donnee, plus_tard)))
    assert octets(sortie) == avant


@par_famille
def test_lot_en_desordre(sortie: Path, donnee: m.TypeDonnee) -> None:
    """Un lot mal rangé, avec des doublons, est rangé à la réception ; le dernier de chaque clé l'emporte."""
    rangs = [*range(30), *range(10, 20)]
    random.Random(0).shuffle(rangs)
    unique = lot_de(donnee, rangs)
    executer(sortie, donnee, unique)
    assert contenu_de(sortie, donnee) == modele_de(donnee, [unique])


@par_famille
def test_fichier_d_evenements_sans_fiche(evenement: m.TypeDonnee, sortie: Path) -> None:
    """Ses lignes sont là, mais rien n'est prouvé ; la suite s'y ajoute, et prouve ce qu'elle apporte."""
    executer(sortie, evenement, lot_de(evenement, range(30)))
    if sortie.suffix == ".sqlite":
        with contextlib.closing(sqlite3.connect(sortie)) as base, base:
            for nom in ("series", "intervalles", "trous"):
                base.execute(f"DROP TABLE {evenement.nom}_{nom}")
    elif sortie.suffix == ".parquet":
        pq.write_table(m.lire_sortie(sortie), sortie)
    elif sortie.suffix == ".feather":
        lues = m.lire_sortie(sortie)
        with pa.ipc.new_file(str(sortie), lues.schema) as graveur:
            graveur.write_table(lues)
    else:
        sortie.with_name(f"{sortie.name}.fiche.json").unlink()
    cle = cles(evenement)[0]
    creer(sortie, evenement).controler([cle])
    with creer(sortie, evenement) as ecrivain:
        assert {c: dataclasses.replace(f, lignes=None) for c, f in ecrivain.fiches.items()} == {cle: m.Fiche(cle)}
    suite = lot_de(evenement, range(27, 60))
    executer(sortie, evenement, suite)
    assert couverts(sortie, cle) == suite.couverts
    assert contenu_de(sortie, evenement) == modele_de(evenement, [lot_de(evenement, range(60))])


def test_evenements_remis_en_ordre(evenement: m.TypeDonnee, tmp_path: Path) -> None:
    """Un CSV retouché à la main, en désordre et en double, est remis en ordre à l'ouverture suivante."""
    chemin = tmp_path / "a.csv"
    executer(chemin, evenement, lot_de(evenement, range(40)))
    lignes = chemin.read_text().splitlines(keepends=True)
    chemin.write_text("".join([lignes[0], *lignes[20:], *lignes[1:25]]))
    executer(chemin, evenement, lot_de(evenement, range(40, 45)))
    assert contenu_de(chemin, evenement) == modele_de(evenement, [lot_de(evenement, range(45))])
    assert chemin.read_text().count("\n") == 46


@par_famille
def test_evenements_illisibles_mis_de_cote(evenement: m.TypeDonnee, sortie: Path) -> None:
    """Des octets brouillés : le fichier est mis de côté, et la commande fait son travail."""
    unique = lot_de(evenement, range(2000))
    executer(sortie, evenement, unique)
    intacts = sortie.read_bytes()
    tiers = len(intacts) // 3
    sortie.write_bytes(intacts[:tiers] + random.Random(1).randbytes(tiers) + intacts[2 * tiers :])
    executer(sortie, evenement, unique)
    assert contenu_de(sortie, evenement) == modele_de(evenement, [unique])
    assert any(".corrompu-20" in nom for nom in restes(sortie))


# --- Le nôtre, ou pas


@par_famille
def test_un_autre_type_est_refuse(sortie: Path, donnee: m.TypeDonnee) -> None:
    """Le fichier d'un autre type : code 2, intact, et le message dit ce qu'il contient."""
    executer(sortie, donnee, lot_de(donnee, range(5)), table="lignes")
    avant = octets(sortie)
    for autre in m.TYPES.values():
        ecrivain = creer(sortie, autre, table="lignes")
        if autre is donnee:
            ecrivain.controler(list(cles(autre)))
            continue
        with pytest.raises(m.ErreurDemande, match=f"lignes de type {donnee.nom}") as erreur:
            ecrivain.controler(list(cles(autre)))
        assert erreur.value.code_sortie == 2
        with pytest.raises(m.ErreurDemande):
            ecrivain.ouvrir()
    assert octets(sortie) == avant


@par_famille
def test_une_autre_famille_est_refusee(evenement: m.TypeDonnee, sortie: Path) -> None:
    """Un autre exchange : refusé dans un fichier, admis dans une base. Un autre symbole de la même famille : ajouté."""
    executer(sortie, evenement, lot_de(evenement, range(5)))
    cle = cles(evenement)[0]
    creer(sortie, evenement).controler([cle._replace(symbole="SOL/USDT")])
    autre = cle._replace(exchange="okx")
    if sortie.suffix == ".sqlite":
        creer(sortie, evenement).controler([autre])
    else:
        with pytest.raises(m.ErreurDemande, match=r"BTC/USDT \(binance\)"):
            creer(sortie, evenement).controler([autre])


def test_sqlite_choix_de_la_table(tmp_path: Path) -> None:
    """Une seule table à nous : c'est elle ; sinon « ohlcv », ou celle qu'on nomme."""
    chemin = tmp_path / "a.db"
    with contextlib.closing(sqlite3.connect(chemin)) as base, base:
        base.execute("CREATE TABLE autre (x)")
    executer(chemin, m.TRADES, lot_de(m.TRADES, range(9)), table="echanges")
    assert m.lire(chemin).num_rows == 9
    assert m.lire_fiches(chemin)[0].cle == cles(m.TRADES)[0]
    executer(chemin, m.ORDERBOOK, lot_de(m.ORDERBOOK, range(6)))
    with pytest.raises(m.ErreurDemande, match="ohlcv"):
        m.lire(chemin)
    ecrire(chemin, lot(range(3)))
    assert m.lire(chemin).schema.equals(m.OHLCV.schema)
    assert m.lire(chemin, table="orderbook").schema.equals(m.ORDERBOOK.schema)
    assert m.lire(chemin, table="echanges").schema.equals(m.TRADES.schema)


# --- La fiche dit d'où vient l'horodatage


@par_famille
def test_horodatage(sortie: Path, donnee: m.TypeDonnee) -> None:
    """« reception » est inscrit, survit à une interruption, et se relit ; « exchange » ne s'écrit pas."""
    premier, second = lot_de(donnee, range(5)), lot_de(donnee, range(5, 9))
    fiche = m.Fiche(premier.cle, horodatage=m.HORODATAGE_RECEPTION)
    with creer(sortie, donnee) as ecrivain:
        ecrivain.ecrire(premier, fiche)
    with creer(sortie, donnee) as ecrivain:
        assert ecrivain.fiches[premier.cle].horodatage == "reception"
        ecrivain.ecrire(second, fiche)
        ecrivain.finir()
    assert [f.horodatage for f in m.lire_fiches(sortie)] == ["reception"]
    assert "horodatage" not in m.Fiche(premier.cle).en_dict()


def test_fiche_ancienne(tmp_path: Path) -> None:
    """Une fiche d'avant, sans horodatage, vaut « exchange » ; rien n'est récrit pour autant."""
    fiche = m.Fiche(BTC, couverts=[(instant(0), instant(3))])
    donnees = fiche.en_dict()
    assert m.Fiche.depuis_dict(donnees) == fiche
    for suffixe in SUFFIXES[:3]:
        ecrire(tmp_path / f"a{suffixe}", lot(range(3)))
        assert m.lire_fiches(tmp_path / f"a{suffixe}")[0].horodatage == "exchange"
        assert not ecrire(tmp_path / f"a{suffixe}", lot(range(3)))


def test_base_d_avant_l_horodatage(tmp_path: Path) -> None:
    """Une base de l'ancien schéma se lit sans être touchée, et s'écrit : la colonne lui est ajoutée."""
    chemin = tmp_path / "a.db"
    ecrire(chemin, lot(range(3)))
    with contextlib.closing(sqlite3.connect(chemin)) as base, base:
        base.execute("ALTER TABLE ohlcv_series DROP COLUMN horodatage")
    avant = octets(tmp_path / "a.db") if chemin.suffix == ".sqlite" else chemin.read_bytes()
    creer(chemin).controler([BTC])
    assert m.lire_fiches(chemin)[0] == m.Fiche(BTC, "spot", "base", couverts=[(instant(0), instant(3))])
    assert not ecrire(chemin, lot(range(3)))
    assert chemin.read_bytes() == avant
    with creer(chemin) as ecrivain:
        ecrivain.ecrire(lot(range(3), ETH), m.Fiche(ETH, horodatage="reception"))
        ecrivain.ecrire(lot(range(3, 5)), m.Fiche(BTC))
        ecrivain.finir()
    assert {f.cle: f.horodatage for f in m.lire_fiches(chemin)} == {BTC: "exchange", ETH: "reception"}


# --- Mémoire et lecture


def test_memoire_de_chaque_type(donnee: m.TypeDonnee) -> None:
    """Le puits de la bibliothèque rend ce que rendrait un fichier."""
    puits = m.Memoire(donnee)
    lots = [
        lot_de(donnee, range(20), cles(donnee)[1]),
        lot_de(donnee, range(9)),
        lot_de(donnee, range(5, 12), version=1),
    ]
    for unique in lots:
        puits.ecrire(unique, m.Fiche(unique.cle))
    assert puits.lire(lots[0].cle, 0, 10).schema.equals(donnee.schema)
    assert puits.table().num_rows == 32
    assert {tuple(une[n] for n in donnee.cle): une for une in puits.table().to_pylist()} == modele_de(donnee, lots)


def test_gros_evenements_en_memoire_bornee(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Des carnets lourds sont écrits et relus par tables qui pèsent peu, pas par soixante mille."""
    monkeypatch.setattr(m, "OCTETS_PAR_LOT", 1 << 16)
    niveaux = [{"price": float(n), "amount": 1.0} for n in range(200)]
    modele = ligne(m.ORDERBOOK, cles(m.ORDERBOOK)[0], 0)
    lignes = [{**modele, "timestamp": DEBUT + r, "nonce": r, "bids": niveaux, "asks": niveaux} for r in range(300)]
    for suffixe in (".parquet", ".feather"):
        chemin = tmp_path / f"a{suffixe}"
        executer(chemin, m.ORDERBOOK, *(lot_brut(m.ORDERBOOK, lignes[d : d + 10]) for d in range(0, 300, 10)))
        ecrivain = creer(chemin, m.ORDERBOOK)
        assert max(table.nbytes for table in ecrivain.lire_tout()) < 1 << 18
        assert m.lire_sortie(chemin).equals(table_de(m.ORDERBOOK, lignes))


def test_csv_gzip_d_evenements(tmp_path: Path) -> None:
    """Le CSV compressé garde le même texte que l'autre."""
    for nom in ("a.csv", "a.csv.gz"):
        executer(tmp_path / nom, m.TRADES, lot_de(m.TRADES, range(30)))
    assert gzip.decompress((tmp_path / "a.csv.gz").read_bytes()) == (tmp_path / "a.csv").read_bytes()


def test_noter_ne_parcourt_pas_tout() -> None:
    """Des intervalles contigus n'en font qu'un ; des disjoints, par milliers, restent justes."""
    fiche = m.Fiche(BTC)
    for rang in range(0, 6000, 2):
        fiche.noter([(rang * MINUTE, (rang + 1) * MINUTE)], [])
    assert len(fiche.couverts) == 3000
    fiche.noter([(MINUTE, 5999 * MINUTE)], [m.Trou(10 * MINUTE, 12 * MINUTE, m.SANS_TRANSACTION)])
    assert fiche.couverts == [(0, 5999 * MINUTE)]
