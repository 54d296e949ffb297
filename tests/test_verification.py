"""--verifier et --reparer : chaque faute est trouvée à son instant, un fichier sain n'en a aucune, réparé il redevient l'original."""

from __future__ import annotations

import contextlib
import json
import math
import shutil
import signal
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from outils_bout_en_bout import EXTENSIONS, HEURE, HEURE_BOURSE, JOUR, MINUTE, commande, jusqua, lancer, telecharger
from outils_ecrivains import creer

import module_ccxt_fr_v2 as m
from bourse_locale import Bourse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Rangee = dict[str, Any]
DEBUT = 1_704_067_200_000  # 2024-01-01
NOMBRE = 40
FORMATS = tuple(EXTENSIONS)
FICHIERS = tuple(nom for nom in FORMATS if nom != "sqlite")
SERIES = {
    donnee.nom: m.CleSerie("binance", "BTC/USDT", "1m", "last") if donnee.a_une_grille else m.CleSerie("binance", "BTC/USDT")
    for donnee in m.TYPES.values()
}  # fmt: skip


def instant(rang: int) -> int:
    return DEBUT + rang * MINUTE


def rangee(donnee: m.TypeDonnee, rang: int, symbole: str = "BTC/USDT") -> Rangee:
    """Une ligne saine de ce rang."""
    prix = 100 + rang / 7
    carnet = [[{"price": prix + signe * (n + 1) / 8, "amount": 1.5} for n in range(3)] for signe in (-1, 1)]
    valeurs = {
        **SERIES[donnee.nom]._asdict(), "symbole": symbole, "timestamp": instant(rang), "recu": instant(rang) + 40,
        "open": prix, "high": prix + 1, "low": prix - 1, "close": prix, "volume": rang / 3,
        "id": str(95 + rang), "side": "buy", "price": prix, "amount": 0.5, "cost": prix / 2,
        "bid": prix, "ask": prix + 1, "last": prix, "nonce": 1000 + rang, "bids": carnet[0], "asks": carnet[1],
    }  # fmt: skip
    return {nom: valeurs.get(nom) for nom in donnee.noms}


def table(donnee: m.TypeDonnee, rangees: list[Rangee]) -> pa.Table:
    return pa.Table.from_pylist(rangees, schema=donnee.schema)


def ecrire(
    chemin: Path, donnee: m.TypeDonnee, rangees: list[Rangee] | None = None, trous: tuple[m.Trou, ...] = (),
    cle: m.CleSerie | None = None, couverts: list[m.Intervalle] | None = None,
) -> Path:  # fmt: skip
    """Une sortie saine : par défaut quarante lignes d'une série, couvertes."""
    rangees = [rangee(donnee, rang) for rang in range(NOMBRE)] if rangees is None else rangees
    cle = cle or SERIES[donnee.nom]
    couverts = [(instant(0), instant(NOMBRE))] if couverts is None else couverts
    with creer(chemin, donnee) as ecrivain:
        for symbole in sorted({une["symbole"] for une in rangees} | {cle.symbole}):
            siennes = table(donnee, [une for une in rangees if une["symbole"] == symbole])
            serie = cle._replace(symbole=symbole)
            ecrivain.ecrire(m.Lot(serie, siennes, couverts, list(trous)), m.Fiche(serie))
        ecrivain.finir()
    return chemin


def recrire(chemin: Path, donnee: m.TypeDonnee, rangees: list[Rangee]) -> None:
    """Les mêmes métadonnées, d'autres lignes, dans cet ordre : ce que ferait un éditeur."""
    lignes = table(donnee, rangees)
    if chemin.suffix == ".csv":
        chemin.write_bytes(",".join(donnee.noms).encode() + b"\n" + m._en_csv(donnee, lignes))
    elif chemin.suffix == ".parquet":
        metadonnees = pq.read_metadata(chemin).metadata
        with pq.ParquetWriter(chemin, donnee.schema, store_schema=False) as graveur:
            graveur.write_table(lignes)
            graveur.add_key_value_metadata({"fiche": metadonnees[b"fiche"].decode()})
    elif chemin.suffix == ".feather":
        with pa.OSFile(str(chemin)) as fichier:
            schema = pa.ipc.open_file(fichier).schema
        with pa.OSFile(str(chemin), "wb") as fichier, pa.ipc.new_file(fichier, schema) as graveur:
            graveur.write_table(lignes.cast(schema))
    else:
        recrire_base(chemin, donnee, lignes)


def recrire_base(chemin: Path, donnee: m.TypeDonnee, lignes: pa.Table) -> None:
    convertir = {"instant": lambda c: c.cast("int64"), "niveaux": m.niveaux_en_texte}
    colonnes = [
        convertir.get(nature, lambda c: c)(lignes[nom].combine_chunks()).to_pylist() for nom, nature in donnee.colonnes
    ]
    with contextlib.closing(sqlite3.connect(chemin)) as base, base:
        base.execute(f'DELETE FROM "{donnee.nom}"')  # noqa: S608  le nom d'un type
        places = ",".join("?" * len(colonnes))
        base.executemany(f'INSERT INTO "{donnee.nom}" VALUES ({places})', zip(*colonnes, strict=True))  # noqa: S608


# Les fautes, à la ligne 20


def doubler(rangees: list[Rangee]) -> None:
    rangees.insert(21, dict(rangees[20]))


def permuter(rangees: list[Rangee]) -> None:
    rangees[19], rangees[20] = rangees[20], rangees[19]


def oter(rangees: list[Rangee]) -> None:
    del rangees[20]


def changer(**valeurs: Any) -> Callable[[list[Rangee]], None]:
    return lambda rangees: rangees[20].update(valeurs)


def niveaux(*prix: float | None, amount: float = 1.0) -> list[dict[str, float | None]]:
    return [{"price": p, "amount": amount} for p in prix]


LIGNES: list[tuple[str, str, Callable[[list[Rangee]], None], tuple[str, ...], int]] = [
    *((nom, "doublon", doubler, FICHIERS, instant(20)) for nom in m.TYPES),
    *((nom, "desordre", permuter, FICHIERS, instant(19)) for nom in m.TYPES),
    *((nom, "futur", changer(timestamp=4_102_444_800_000), FORMATS, 4_102_444_800_000) for nom in m.TYPES),
    ("ohlcv", "absente", oter, FORMATS, instant(20)),
    ("ohlcv", "hors_grille", changer(timestamp=instant(20) + 1), FORMATS, instant(20) + 1),
    *(
        ("ohlcv", "impossible", changer(**valeurs), FORMATS, instant(20))
        for valeurs in (
            {"open": None}, {"high": math.nan}, {"low": -1.0}, {"close": 0.0}, {"close": math.inf}, {"high": 1.0},
            {"volume": -1.0}, {"volume": None},
        )
    ),
    *(
        ("trades", "impossible", changer(**valeurs), FORMATS, instant(20))
        for valeurs in ({"price": 0.0}, {"price": math.nan}, {"price": None}, {"amount": -1.0}, {"amount": math.inf})
    ),
    *(
        ("orderbook", "impossible", changer(**valeurs), FORMATS, instant(20))
        for valeurs in (
            {"bids": []}, {"asks": None}, {"bids": niveaux(200)}, {"asks": niveaux(103, 102)}, {"bids": niveaux(90, 90)},
            {"bids": niveaux(-1)}, {"asks": niveaux(200, amount=0)}, {"asks": niveaux(None)},
        )
    ),
    ("ticker", "impossible", changer(bid=math.inf), FORMATS, instant(20)),
    ("ticker", "impossible", changer(bid=None, ask=None, last=None, open=None, high=None, low=None, close=None), FORMATS,
     instant(20)),
    *((nom, "autre_serie", changer(exchange="okx"), FICHIERS, instant(20)) for nom in m.TYPES),
    ("ohlcv", "autre_serie", changer(timeframe="1x"), FORMATS, instant(20)),
]  # fmt: skip


@pytest.mark.parametrize(
    ("nom", "nature", "abimer", "moment", "format_"),
    [(nom, nature, abimer, moment, f) for nom, nature, abimer, formats, moment in LIGNES for f in formats],
)
def test_une_ligne_fautive_est_trouvee_a_son_instant(
    nom: str, nature: str, abimer: Callable[[list[Rangee]], None], moment: int, format_: str, tmp_path: Path
) -> None:
    """Le fichier sain n'a aucune faute ; abîmé à la ligne 20, la faute est là, et rien n'est dit des voisines."""
    donnee = m.TYPES[nom]
    chemin = ecrire(tmp_path / f"s{EXTENSIONS[format_]}", donnee)
    assert m.verifier(chemin).fautes == {}, m.verifier(chemin).constats
    rangees = [rangee(donnee, rang) for rang in range(NOMBRE)]
    abimer(rangees)
    recrire(chemin, donnee, rangees)
    rapport = m.verifier(chemin)
    assert [c.debut for c in rapport.constats if c.nature == nature] == [moment], rapport.constats
    # La ligne déplacée ou ôtée laisse sa place vide : c'est une faute aussi, et la seule autre.
    assert set(rapport.fautes) <= {nature, "absente", "hors_intervalles", "desordre"}
    assert {c.debut for c in rapport.constats} <= {moment, instant(20), instant(21)}
    assert rapport.code == 4


# Les fautes de la fiche


def refaire_fiche(chemin: Path, donnee: m.TypeDonnee, **champs: Any) -> None:
    """Remplace des champs de la fiche, lignes intactes."""
    lecteur = m._lecteur_de(chemin, None)
    fiches = [m.dataclasses.replace(fiche, **champs) for fiche in m.lire_fiches(chemin)]
    with lecteur.tenue(), lecteur.brut() as brut:
        retenus = [lecteur.retenir(lot, pa.array(range(lot.num_rows), pa.int64())) for lot in brut.lots]
    with lecteur.tenue():
        lecteur.remplacer(retenus, {fiche.cle: fiche for fiche in fiches})
    assert m.lire_fiches is not None
    del donnee


TOUT = (instant(0), instant(NOMBRE))
FICHES: list[tuple[str, dict[str, Any], int, int]] = [
    ("dans_un_vide", {"trous": [m.Trou(instant(20), instant(21), m.SANS_TRANSACTION)]}, instant(20), 0),
    ("dans_un_vide", {"trous": [m.Trou(instant(20), instant(21), m.AVANT_COTATION)]}, instant(20), 0),
    ("dans_un_trou", {"trous": [m.Trou(instant(20), instant(21), m.ECHEC)],
                      "couverts": [(instant(0), instant(20)), (instant(21), instant(NOMBRE))]}, instant(20), 0),
    ("hors_intervalles", {"couverts": [(instant(0), instant(20)), (instant(22), instant(NOMBRE))]}, instant(20),
     instant(22)),
    ("absente", {"couverts": [(instant(0), instant(NOMBRE + 3))]}, instant(NOMBRE), instant(NOMBRE + 3)),
    ("fiche", {"trous": [m.Trou(instant(50), instant(51), m.ECHEC)], "couverts": [(instant(0), instant(60))]},
     instant(50), instant(51)),
    ("fiche", {"trous": [m.Trou(instant(50), instant(51), "lune")]}, instant(50), instant(51)),
    ("fiche", {"couverts": [TOUT, (instant(50), instant(49))]}, instant(50), instant(49)),
    ("fiche", {"couverts": [(instant(0), instant(30)), (instant(20), instant(NOMBRE))]}, instant(20), instant(NOMBRE)),
]  # fmt: skip


@pytest.mark.parametrize("format_", FORMATS)
@pytest.mark.parametrize(("nature", "champs", "debut", "fin"), FICHES)
def test_une_fiche_qui_contredit_les_lignes_est_une_faute(
    nature: str, champs: dict[str, Any], debut: int, fin: int, format_: str, tmp_path: Path
) -> None:
    chemin = ecrire(tmp_path / f"s{EXTENSIONS[format_]}", m.OHLCV)
    refaire_fiche(chemin, m.OHLCV, **champs)
    rapport = m.verifier(chemin)
    assert [(c.debut, c.fin or 0) for c in rapport.constats if c.nature == nature] == [(debut, fin)], rapport.constats


# Les fautes de forme


def test_un_fichier_abime_est_dit_illisible(tmp_path: Path) -> None:
    for format_ in ("parquet", "feather", "sqlite"):
        chemin = ecrire(tmp_path / f"s{EXTENSIONS[format_]}", m.OHLCV)
        octets = bytearray(chemin.read_bytes())
        if format_ == "sqlite":
            octets[4096:8192] = bytes(4096)
        else:
            del octets[len(octets) // 2 :]
        chemin.write_bytes(octets)
        rapport = m.verifier(chemin)
        assert set(rapport.fautes) == {"illisible"}, rapport.constats
    compresse = ecrire(tmp_path / "s.csv.gz", m.OHLCV)
    compresse.write_bytes(compresse.read_bytes()[:-30])
    assert "illisible" in m.verifier(compresse).fautes


def test_une_page_de_parquet_abimee_est_vue_par_sa_somme(tmp_path: Path) -> None:
    chemin = ecrire(tmp_path / "s.parquet", m.OHLCV)
    octets = bytearray(chemin.read_bytes())
    octets[len(octets) // 4] ^= 0xFF
    chemin.write_bytes(octets)
    assert m.verifier(chemin).code == 4


def test_une_ligne_coupee_ou_illisible_se_situe(tmp_path: Path) -> None:
    chemin = ecrire(tmp_path / "s.csv", m.OHLCV)
    sain = chemin.read_bytes()
    chemin.write_bytes(sain[:-7])
    assert {"ligne_coupee", "absente"} == set(m.verifier(chemin).fautes)
    for poubelle in (b"n'importe quoi", b'"', b"\xff\xfe,\x00", b"binance,BTC/USDT,1m,last,hier,1,1,1,1,1"):
        lignes = sain.split(b"\n")
        lignes[21] = poubelle
        chemin.write_bytes(b"\n".join(lignes))
        rapport = m.verifier(chemin)
        assert [(c.nature, c.debut) for c in rapport.constats] == [
            ("ligne_illisible", instant(19)), ("absente", instant(20))
        ]  # fmt: skip


def test_des_types_ou_des_colonnes_changes_sont_des_fautes(tmp_path: Path) -> None:
    chemin = ecrire(tmp_path / "s.parquet", m.OHLCV)
    lue = pq.read_table(chemin)
    pq.write_table(lue.set_column(5, "open", lue["open"].cast("float32")), chemin)
    assert set(m.verifier(chemin).fautes) == {"types"}
    pq.write_table(lue.drop_columns(["volume"]), chemin)
    assert set(m.verifier(chemin).fautes) == {"colonnes"}
    csv = ecrire(tmp_path / "s.csv", m.OHLCV)
    csv.write_text(csv.read_text().replace("close", "cloture"))
    assert set(m.verifier(csv).fautes) == {"colonnes"}


def test_une_valeur_de_texte_dans_une_base_est_une_ligne_impossible(tmp_path: Path) -> None:
    chemin = ecrire(tmp_path / "s.sqlite", m.OHLCV)
    with contextlib.closing(sqlite3.connect(chemin)) as base, base:
        base.execute("UPDATE ohlcv SET close = 'abc' WHERE timestamp = ?", (instant(20),))
    assert [(c.nature, c.debut) for c in m.verifier(chemin).constats] == [("impossible", instant(20))]


@pytest.mark.parametrize("format_", FORMATS)
def test_une_fiche_perdue_est_un_avertissement(format_: str, tmp_path: Path) -> None:
    chemin = ecrire(tmp_path / f"s{EXTENSIONS[format_]}", m.OHLCV)
    if format_ == "csv":
        (tmp_path / "s.csv.fiche.json").write_text("{")
    elif format_ == "parquet":
        pq.write_table(pq.read_table(chemin).replace_schema_metadata({}), chemin)
    elif format_ == "feather":
        lue = m.lire(chemin)
        with pa.OSFile(str(chemin), "wb") as fichier, pa.ipc.new_file(fichier, m.OHLCV.schema) as graveur:
            graveur.write_table(lue)
    else:
        with contextlib.closing(sqlite3.connect(chemin)) as base, base:
            base.execute("DROP TABLE ohlcv_series")
    rapport = m.verifier(chemin)
    assert (rapport.code, len(rapport.avertissements)) == (0, 1), rapport.constats


def test_les_fautes_d_une_nature_sont_plafonnees_et_comptees(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rangees = [rangee(m.OHLCV, rang) | {"close": -1.0} for rang in range(NOMBRE)]
    chemin = ecrire(tmp_path / "s.csv", m.OHLCV)
    recrire(chemin, m.OHLCV, rangees)
    assert m.principal(["--verifier", str(chemin), "--bilan", str(tmp_path / "b.json")]) == 4
    dites = capsys.readouterr().out.splitlines()
    assert len(dites) == m.CONSTATS_DITS + 2
    assert dites[-2] == "… et 20 autres fautes de nature « impossible »"
    assert dites[-1] == (
        "BTC/USDT 1m (binance, prix last) : 40 lignes, de 2024-01-01T00:00Z à 2024-01-01T00:39Z, couverture 100 %, "
        "aucun trou, 40 fautes"
    )
    bilan = json.loads((tmp_path / "b.json").read_text())
    assert bilan["code"] == 4
    assert bilan["verification"]["fautes"] == {"impossible": 40}
    assert bilan["verification"]["series"][0]["fautes"] == {"impossible": 40}


# Sans faute : ce que le module produit


def test_des_trous_inscrits_ne_sont_pas_des_fautes(tmp_path: Path) -> None:
    trous = (m.Trou(instant(5), instant(7), m.ECHEC), m.Trou(instant(9), instant(10), m.SANS_TRANSACTION))
    presentes = [rangee(m.OHLCV, rang) for rang in range(NOMBRE) if rang not in (5, 6, 9)]
    couverts = [(instant(0), instant(5)), (instant(7), instant(NOMBRE))]
    rapport = m.verifier(ecrire(tmp_path / "s.csv", m.OHLCV, presentes, trous, couverts=couverts))
    assert rapport.code == 0
    assert rapport.series[0].trous == {m.ECHEC: 1, m.SANS_TRANSACTION: 1}
    assert rapport.series[0].couverture == 95.0


@pytest.mark.parametrize("format_", FORMATS)
@pytest.mark.parametrize("donnee", m.TYPES.values(), ids=lambda donnee: donnee.nom)
def test_plusieurs_symboles_plusieurs_lignes_par_ms_sans_nonce(format_: str, donnee: m.TypeDonnee, tmp_path: Path) -> None:
    rangees = [rangee(donnee, rang, symbole) for symbole in ("BTC/USDT", "ETH/USDT") for rang in range(NOMBRE)]
    for une in rangees if donnee is m.TRADES else ():
        une |= {"timestamp": une["timestamp"] - une["timestamp"] % (5 * MINUTE), "id": f"~{une['id']}"}
    for une in rangees if donnee is m.ORDERBOOK else ():
        une["nonce"] = None
    chemin = ecrire(tmp_path / f"s{EXTENSIONS[format_]}", donnee, rangees)
    assert m.verifier(chemin).constats == []
    assert [serie.lignes for serie in m.verifier(chemin).series] == [NOMBRE, NOMBRE]


@pytest.mark.parametrize("format_", FORMATS)
@pytest.mark.parametrize(
    ("exchange", "mots"),
    [
        ("binance", ("--timeframe", "1m")),
        ("binance", ("--symbols", "BTC/USDT,ETH/USDT", "--timeframe", "1h")),
        ("binance", ("--timeframe", "1w", "--date-debut", "2023-01-01")),
        ("binance", ("--timeframe", "1M", "--date-debut", "2023-01-01")),
        ("okx", ("--timeframe", "1d", "--date-debut", "2023-12-01")),
        ("okx", ("--type-marche", "swap", "--symbole", "BTC/USDT:USDT", "--prix-ohlcv", "mark", "--timeframe", "1h")),
        ("kraken", ("--timeframe", "1w", "--date-debut", "2023-06-01")),
        ("binance", ("--timeframe", "1h", "--inclure-bougie-courante", "--date-fin", "2030-01-01")),
    ],
)
def test_ce_que_le_rest_produit_est_sain(
    exchange: str, mots: tuple[str, ...], format_: str, tmp_path: Path, fixe: Bourse
) -> None:
    """Ancre, calendrier, prix sans volume, bougie courante : aucun faux positif."""
    sortie = tmp_path / f"s{EXTENSIONS[format_]}"
    bornes = (HEURE_BOURSE - JOUR, HEURE_BOURSE)
    assert telecharger(fixe, sortie, bornes, *mots, exchange=exchange) in (0, 3)
    avant = {f.name: f.read_bytes() for f in tmp_path.iterdir()}
    rapport = m.verifier(sortie)
    assert rapport.constats == []
    assert rapport.avertissements == []
    assert sum(serie.lignes for serie in rapport.series) == m.lire(sortie).num_rows > 0
    assert {f.name: f.read_bytes() for f in tmp_path.iterdir()} == avant


@pytest.fixture
def fixe() -> Iterator[Bourse]:
    """L'exchange embarqué, à une heure connue."""
    with Bourse(limites=False, maintenant_ms=HEURE_BOURSE).en_fil() as ouverte:
        yield ouverte
