"""Ce que d'autres outils font de nos fichiers, mesuré : chaque format, chaque type, comparé cellule à cellule.

`python bancs/lecteurs.py docs/lecteurs.md` demande l'extra `lecteurs` et deux minutes.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import importlib.metadata
import json
import os
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

RACINE = Path(__file__).parent.parent
sys.path[:0] = [str(RACINE), str(RACINE / "tests" / "outils")]

from sorties_modeles import creer, fiche, ligne  # noqa: E402

import module_ccxt_fr_v2 as collecte  # noqa: E402  après le chemin

LIGNES = 22_000  # au-delà des 20 480 que DuckDB regarde pour deviner un type
CLE = {True: collecte.CleSerie("binance", "BTC/USDT", "1m", "last"), False: collecte.CleSerie("binance", "BTC/USDT")}
TYPES = tuple(collecte.TYPES)
REUNIS = "trades réunis"  # des trades dont un id, tard dans le fichier, est « 123-125 » : ceux que binance réunit
EXTENSIONS = {"csv": ".csv", "parquet": ".parquet", "feather": ".feather", "sqlite": ".db"}
INSTANTS, NIVEAUX = ("timestamp", "recu"), ("bids", "asks")
Colonnes = Mapping[str, list[Any]]


class Lecteur(NamedTuple):
    """Un outil : son paquet, ce qu'il lit, comment (chemin, type -> colonnes), et comment il récrit un fichier."""

    paquet: str
    formats: tuple[str, ...]
    lire: Callable[[Path, str], Colonnes]
    recrire: Callable[[Path], None] | None = None


# --- Chaque outil, tel qu'on l'appelle sans y penser


def _table_pandas(chemin: Path, nom: str = "") -> Any:
    import pandas as pd

    if chemin.suffix == ".db":
        with contextlib.closing(sqlite3.connect(chemin)) as base:
            return pd.read_sql(f"SELECT * FROM {nom}", base)  # noqa: S608  un nom de type
    lire: Mapping[str, Callable[[Path], Any]] = {
        ".csv": pd.read_csv, ".parquet": pd.read_parquet, ".feather": pd.read_feather}  # fmt: skip
    return lire[chemin.suffix](chemin)


def _lire_pandas(chemin: Path, nom: str) -> Colonnes:
    table = _table_pandas(chemin, nom)
    return {nom: table[nom].tolist() for nom in table.columns}


def _recrire_pandas(chemin: Path) -> None:
    table = _table_pandas(chemin)
    if chemin.suffix == ".csv":
        table.to_csv(chemin, index=False)
    else:
        (table.to_parquet if chemin.suffix == ".parquet" else table.to_feather)(chemin)


def _table_polars(chemin: Path) -> Any:
    import polars as pl

    lire: Mapping[str, Callable[[Path], Any]] = {
        ".csv": pl.read_csv, ".parquet": pl.read_parquet, ".feather": pl.read_ipc}  # fmt: skip
    return lire[chemin.suffix](chemin)


def _recrire_polars(chemin: Path) -> None:
    table = _table_polars(chemin)
    {".csv": table.write_csv, ".parquet": table.write_parquet, ".feather": table.write_ipc}[chemin.suffix](chemin)


def _lire_duckdb(chemin: Path, _nom: str) -> Colonnes:
    import duckdb

    with duckdb.connect() as base:
        lue = base.sql(f"SELECT * FROM '{chemin}'")  # noqa: S608
        return dict(zip(lue.columns, map(list, zip(*lue.fetchall(), strict=True)), strict=True))


def _recrire_duckdb(chemin: Path) -> None:
    import duckdb

    autre = chemin.with_name(f"neuf{chemin.suffix}")
    with duckdb.connect() as base:
        base.sql(f"COPY (SELECT * FROM '{chemin}') TO '{autre}'")  # noqa: S608
    autre.replace(chemin)


def _lire_arrow(chemin: Path, _nom: str) -> Colonnes:
    import pyarrow.dataset as ds

    lues: Colonnes = ds.dataset(chemin, format=chemin.suffix[1:]).to_table().to_pydict()
    return lues


def _lire_fastparquet(chemin: Path, _nom: str) -> Colonnes:
    import fastparquet

    table = fastparquet.ParquetFile(chemin).to_pandas()
    return {nom: table[nom].tolist() for nom in table.columns}


def _lire_sqlite(chemin: Path, nom: str) -> Colonnes:
    with contextlib.closing(sqlite3.connect(chemin)) as base:
        curseur = base.execute(f"SELECT * FROM {nom}")  # noqa: S608
        noms = [colonne[0] for colonne in curseur.description]
        return dict(zip(noms, map(list, zip(*curseur.fetchall(), strict=True)), strict=True))


# Ajouter un lecteur : une ligne.
LECTEURS: Mapping[str, Lecteur] = {
    "pandas": Lecteur("pandas", ("csv", "parquet", "feather", "sqlite"), _lire_pandas, _recrire_pandas),
    "polars": Lecteur("polars", ("csv", "parquet", "feather"),
                      lambda chemin, _nom: _table_polars(chemin).to_dict(as_series=False), _recrire_polars),
    "DuckDB": Lecteur("duckdb", ("csv", "parquet"), _lire_duckdb, _recrire_duckdb),
    "pyarrow.dataset": Lecteur("pyarrow", ("csv", "parquet", "feather"), _lire_arrow),
    "fastparquet": Lecteur("fastparquet", ("parquet",), _lire_fastparquet),
    "sqlite3": Lecteur("", ("sqlite",), _lire_sqlite),
}  # fmt: skip


# --- L'oracle


def vraies(nom: str, lignes: int | None = None) -> pa.Table:
    """Les lignes d'un type ; d'un carnet ou d'un trade, plusieurs par milliseconde."""
    donnee = collecte.TYPES[nom.partition(" ")[0]]
    cle = CLE["timeframe" in donnee.noms]
    if "prix" not in donnee.noms:
        cle = cle._replace(prix="")
    lues = [ligne(donnee, cle, rang) for rang in range(1, (lignes or LIGNES) + 1)]
    for rang, lue in enumerate(lues if nom == "orderbook" else ()):  # des carnets possibles : ni croisés, ni tout vides
        lue["bids"] = [{"price": 100.0 - n, "amount": (rang + n) / 7 + 1} for n in range(rang % 4)]
        lue["asks"] = [{"price": 100.5 + n, "amount": (rang + n) / 3 + 1} for n in range(1 + rang % 3)]
    if nom == REUNIS:
        lues[-1]["id"] = f"{lues[-1]['id']}-{int(lues[-1]['id']) + 2}"
    return collecte.trier(pa.Table.from_pylist(lues, donnee.schema), donnee)


def ecrire(dossier: Path, nom: str, extension: str, lignes: int | None = None) -> tuple[Path, pa.Table]:
    """Un fichier de ce type, par nos écrivains, et ce qu'il tient."""
    donnee, table = collecte.TYPES[nom.partition(" ")[0]], vraies(nom, lignes)
    ecrivain = creer(dossier / f"{nom.replace(' ', '_')}{extension}", donnee)
    cle = _cle_de(table)
    ecrivain.controler([cle])
    with ecrivain:
        instants = collecte.instants_de(table)
        ecrivain.ecrire(collecte.Lot(cle, table, [(instants[0], instants[-1] + 1)], []), fiche(cle))
        ecrivain.finir()
    return ecrivain.chemin, table


def _cle_de(table: pa.Table) -> collecte.CleSerie:
    noms = collecte.CleSerie._fields
    return collecte.CleSerie(*(table[nom][0].as_py() if nom in table.schema.names else "" for nom in noms))


def normale(nom: str, valeur: Any) -> Any:
    """Une cellule, quelle que soit la façon d'un outil de la dire : instants en ms, vides à None, niveaux en paires."""
    if nom in NIVEAUX:
        if isinstance(valeur, str):
            valeur = json.loads(valeur)
        if valeur is None or str(valeur) in ("nan", "<NA>"):
            return None
        return [(n["price"], n["amount"]) if isinstance(n, Mapping) else tuple(n) for n in valeur]
    if valeur is None or str(valeur) in ("nan", "NaT", "<NA>"):
        return None
    if nom in INSTANTS:
        if isinstance(valeur, str):
            valeur = dt.datetime.fromisoformat(valeur)
        if isinstance(valeur, dt.datetime):
            valeur = round((valeur if valeur.tzinfo else valeur.replace(tzinfo=dt.UTC)).timestamp() * 1000)
    return valeur


def ecarts(lues: Colonnes, table: pa.Table) -> dict[str, str]:
    """Par colonne qui n'est pas la vraie, ce qu'elle a de faux."""
    faux = {}
    attendues = table.to_pydict()
    for nom in attendues:
        if nom not in lues:
            faux[nom] = "absente"
            continue
        vraie, lue = [normale(nom, v) for v in attendues[nom]], [normale(nom, v) for v in lues[nom]]
        if lue == vraie:
            continue
        if list(map(str, lue)) == list(map(str, vraie)):
            faux[nom] = f"en {type(lue[0]).__name__}"
        elif [v or None for v in lue] == vraie:
            faux[nom] = "texte vide au lieu d'absent"
        else:
            faux[nom] = "vide" if not any(lue) else "fausse"
    return faux


def dire_instant(valeur: Any) -> str:
    """La forme sous laquelle un outil rend un instant."""
    if isinstance(valeur, dt.datetime):
        return f"instant, {'UTC' if valeur.utcoffset() == dt.timedelta(0) else valeur.tzinfo or 'sans fuseau'}"
    return "texte ISO" if isinstance(valeur, str) else "ms"


def mesurer(lecteur: Lecteur, chemin: Path, nom: str, table: pa.Table) -> str:
    """Ce que ce lecteur fait de ce fichier, en une cellule."""
    try:
        lues = lecteur.lire(chemin, nom.partition(" ")[0])
    except Exception as erreur:  # noqa: BLE001  c'est ce qu'on mesure
        return f"**erreur** ({type(erreur).__name__})"
    if len(lues["timestamp"]) != table.num_rows:
        return f"**{len(lues['timestamp'])} lignes** sur {table.num_rows}"
    faux = ecarts(lues, table)
    niveaux = " ; niveaux en texte JSON" if any(isinstance(n, str) for n in lues.get("bids", [])[:9]) else ""
    dits = ", ".join(f"`{colonne}` {comment}" for colonne, comment in faux.items())
    return f"{f'juste, sauf {dits}' if faux else 'juste'}{niveaux}"


# --- La page


def tableau_de_lecture(dossier: Path) -> list[str]:
    """Chaque format par chaque lecteur."""
    types = [*TYPES, REUNIS]
    lignes = [f"| format | lecteur | instant | {' | '.join(types)} |", "|---|---|---|" + "---|" * len(types)]
    for format_, extension in EXTENSIONS.items():
        fichiers = {nom: ecrire(dossier, nom, extension) for nom in types}
        for outil, lecteur in LECTEURS.items():
            if format_ in lecteur.formats:
                print(format_, outil, file=sys.stderr)
                cellules = [mesurer(lecteur, chemin, nom, table) for nom, (chemin, table) in fichiers.items()]
                instant = dire_instant(lecteur.lire(fichiers["ohlcv"][0], "ohlcv")["timestamp"][0])
                lignes.append(f"| {format_} | {outil} | {instant} | {' | '.join(cellules)} |")
    return lignes


SYMBOLES, PAR_SYMBOLE = 5_000, 200  # un million de bougies dans un fichier


def tableau_des_formats(dossier: Path) -> list[str]:
    """Un million de bougies de 5 000 symboles : la taille, tout lire, en lire un symbole, à la suite."""
    lignes = ["| format | taille | tout lire | un symbole sur 5 000 |", "|---|---|---|---|"]
    milieu = f"S{SYMBOLES // 2:04d}/USDT"
    for format_, extension in EXTENSIONS.items():
        chemin = dossier / f"gros{extension}"
        _ecrire_gros(chemin)
        print(chemin.name, file=sys.stderr)
        mesures = [_duree(collecte.lire, chemin), _duree(_un_symbole, chemin, milieu)]
        lignes.append(f"| {format_} | {chemin.stat().st_size / 1e6:.0f} Mo | "
                      f"{' | '.join(f'{duree * 1000:.0f} ms' for duree in mesures)} |")  # fmt: skip
    return [ligne.replace(".", ",") for ligne in lignes]


def _ecrire_gros(chemin: Path) -> None:
    ecrivain = creer(chemin)
    cles = [CLE[True]._replace(symbole=f"S{rang:04d}/USDT") for rang in range(SYMBOLES)]
    ecrivain.controler(cles)
    table = vraies("ohlcv", PAR_SYMBOLE)
    instants = collecte.instants_de(table)
    with ecrivain:
        for rang, cle in enumerate(cles):
            sienne = _prix_a_elle(table, rang).set_column(1, "symbole", pa.array([cle.symbole] * table.num_rows))
            ecrivain.ecrire(collecte.Lot(cle, sienne, [(instants[0], instants[-1] + 1)], []), fiche(cle))
        ecrivain.finir()


def _prix_a_elle(table: pa.Table, rang: int) -> pa.Table:
    """Les mêmes bougies à un autre prix, au centime : des copies se comprimeraient comme aucun marché."""
    for nom in collecte.VALEURS_OHLCV:
        place = table.schema.names.index(nom)
        table = table.set_column(place, nom, pc.round(pc.multiply(table[nom], 1 + rang / 997), 2))
    return table


def _un_symbole(chemin: Path, symbole: str) -> None:
    """Comme on le fait d'ordinaire : un filtre d'Arrow, une clause WHERE."""
    import pyarrow.dataset as ds

    if chemin.suffix == ".db":
        with contextlib.closing(sqlite3.connect(chemin)) as base:
            nombre = len(base.execute("SELECT * FROM ohlcv WHERE symbole = ?", [symbole]).fetchall())
    else:
        nombre = ds.dataset(chemin, format=chemin.suffix[1:]).to_table(filter=pc.field("symbole") == symbole).num_rows
    assert nombre == PAR_SYMBOLE  # noqa: S101  un banc qui mesure autre chose s'arrête


def _charge() -> str:
    return f"{os.getloadavg()[0]:.0f}" if hasattr(os, "getloadavg") else "inconnue"


def _duree(faire: Callable[..., object], *arguments: object) -> float:
    durees = []
    for _ in range(2):
        depart = time.perf_counter()
        faire(*arguments)
        durees.append(time.perf_counter() - depart)
    return min(durees)


def page() -> str:
    """La page, en Markdown."""
    versions = ", ".join(
        f"{nom} {importlib.metadata.version(lecteur.paquet) if lecteur.paquet else sqlite3.sqlite_version}"
        for nom, lecteur in LECTEURS.items()
    )
    with tempfile.TemporaryDirectory() as brut:
        lecture, formats = tableau_de_lecture(Path(brut)), tableau_des_formats(Path(brut))
    return "\n".join([
        "# Nos fichiers dans d'autres mains", "",
        f"Page faite par `python bancs/lecteurs.py docs/lecteurs.md`. Versions : {versions}.", "",
        "## Quel format pour quel usage", "",
        *formats, "",
        f"{SYMBOLES} symboles, {PAR_SYMBOLE} bougies chacun, dans un seul fichier ; le meilleur de deux essais. Un",
        f"symbole : un filtre de pyarrow.dataset, une clause `WHERE` en SQLite. Charge de la machine : {_charge()} sur",
        f"{os.cpu_count()} cœurs ; au-delà d'eux, seuls les rapports comptent.", "",
        "## Ce que chaque outil en lit", "",
        f"{LIGNES} lignes de chaque type, relues par chaque outil appelé sans y penser, comparées cellule à",
        "cellule ; « juste » : toutes. « trades réunis » : un id, tard dans le fichier, est `123-125`.", "",
        *lecture, "",
        CONSEILS,
    ])  # fmt: skip


CONSEILS = """## À savoir

- CSV, `id` : un outil qui devine les types en fait un entier. Lisez-le en texte :
  `pl.read_csv(f, schema_overrides={"id": pl.String})`, `pd.read_csv(f, dtype={"id": str})`,
  `SELECT * FROM read_csv('f.csv', types={'id': 'VARCHAR'})`. Ceux de paradex ont 28 chiffres : pyarrow en ferait des
  flottants, DuckDB aussi en récrivant un Parquet ou par `.df()`, et des trades différents y auraient le même.
- DuckDB affiche un instant dans le fuseau de la session, et `date_trunc('day', …)` ou `::date` y coupent les jours :
  `SET TimeZone = 'UTC'` d'abord. fastparquet le rend sans fuseau (c'est de l'UTC), pandas et polars en texte depuis
  un CSV.
- pandas garde l'unité du fichier (ms en Parquet, µs en CSV) : `.dt.as_unit("ms")` avant d'en faire des entiers, ou
  d'en réunir de deux fichiers (`concat` en ferait des objets).
- Un volume vide (mark, index) n'est pas zéro : pandas et polars le somment en `0.0`. `sum(min_count=1)`, ou
  `pl.when(pl.col("volume").count() > 0).then(pl.col("volume").sum())`, le laissent vide.
- La clôture d'une bougie faite de trades : plusieurs tombent dans la même milliseconde, et
  `arg_max(price, timestamp)` (DuckDB), `sort_by("timestamp").last()` (polars) en prennent le premier.
  `arg_max(price, id::BIGINT)`, là où les ids sont des nombres ; le fichier étant trié, `.last()` de pandas et de
  polars, sans tri.
- Une fenêtre d'un Parquet : `pd.read_parquet(f, filters=…)` ne rend ses seules lignes qu'avec pyarrow ; fastparquet
  rend des groupes entiers, et deux fenêtres mises bout à bout en ont en double. Un filtre sur la colonne, ensuite.
- De tickers à un par seconde, par `upsample` de polars, ne restent que ceux qui tombent juste sur sa grille :
  `join_asof` sur une grille. arcticdb : `update` de bougies révisées ôte celles qui sont entre elles ; une à une.
- freqtrade date une semaine faite de trades (« 1w ») du lundi où elle finit ; l'exchange, de celui où elle commence.
- De cotations du même instant, `ASOF JOIN` de DuckDB prend la première, les autres outils la dernière : n'en gardez
  qu'une par instant.
- SQLite tient ses instants en ms : `datetime(timestamp / 1000, 'unixepoch')`,
  `timestamp >= unixepoch('2024-01-02') * 1000`. Comparé à une date en texte ou à `strftime('%s', …)`, un entier est
  toujours plus petit, sans erreur. D'un autre programme, en lecture seule :
  `sqlite3.connect("file:f.db?mode=ro", uri=True)` ; un flux qui écrit ne gêne pas.
- Un carnet récrit par pandas, avec une pyarrow d'avant la 24, a ses niveaux en (amount, price) : `list_max(bids)` y
  rend la plus grande quantité. Nommez le champ : `list_max([n.price for n in bids])`. Nous le remettons en ordre.
- Un fichier récrit par pandas, polars ou DuckDB se continue : sa fiche est perdue, `--verifier` le dit. Des instants
  sans fuseau (un CSV récrit par DuckDB 1.2) y sont tenus pour UTC. pandas d'avant la 3 change parfois le dernier
  chiffre d'un nombre lu d'un CSV : `read_csv(f, float_precision="round_trip")`.
"""


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page(), encoding="utf-8")
