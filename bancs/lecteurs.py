"""Ce que d'autres outils lisent de nos fichiers, mesuré : chaque format, chaque type, comparé à la somme vraie.

`python bancs/lecteurs.py docs/lecteurs.md` demande l'extra `lecteurs` et une minute.
"""

from __future__ import annotations

import importlib.metadata
import math
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

RACINE = Path(__file__).parent.parent
sys.path[:0] = [str(RACINE), str(RACINE / "tests")]

from outils_ecrivains import creer, fiche, ligne  # noqa: E402

import module_ccxt_fr_v2 as collecte  # noqa: E402  après le chemin

LIGNES = 30_000  # au-delà des 20 480 que DuckDB regarde pour deviner un type
CLE = {True: collecte.CleSerie("binance", "BTC/USDT", "1m", "last"), False: collecte.CleSerie("binance", "BTC/USDT")}
TYPES = {"ohlcv": "close", "trades": "price", "ticker": "last"}
EXTENSIONS = {"csv": ".csv", "parquet": ".parquet", "feather": ".feather", "sqlite": ".db"}
Lire = Callable[[Path, str, str], tuple[int, float, str]]  # lignes, somme, type de l'instant


def _pandas(chemin: Path, nom: str, colonne: str) -> tuple[int, float, str]:
    import pandas as pd

    with sqlite3.connect(chemin) if chemin.suffix == ".db" else tempfile.TemporaryDirectory() as base:
        lecteurs: Mapping[str, Callable[[], Any]] = {
            ".csv": lambda: pd.read_csv(chemin),
            ".parquet": lambda: pd.read_parquet(chemin, engine="pyarrow"),
            ".feather": lambda: pd.read_feather(chemin),
            ".db": lambda: pd.read_sql(f"SELECT * FROM {nom}", base),  # noqa: S608  un nom de type
        }
        table = lecteurs[chemin.suffix]()
    return len(table), float(table[colonne].sum()), str(table["timestamp"].dtype)


def _polars(chemin: Path, _nom: str, colonne: str) -> tuple[int, float, str]:
    import polars as pl

    lecteurs: Mapping[str, Callable[[Path], Any]] = {
        ".csv": pl.read_csv, ".parquet": pl.read_parquet, ".feather": pl.read_ipc}  # fmt: skip
    table = lecteurs[chemin.suffix](chemin)
    return table.height, float(table[colonne].sum()), str(table["timestamp"].dtype)


def _duckdb(chemin: Path, _nom: str, colonne: str) -> tuple[int, float, str]:
    import duckdb

    requete = f"SELECT count(*), sum({colonne}), any_value(typeof(timestamp)) FROM '{chemin}'"  # noqa: S608
    ((lignes, somme, instant),) = duckdb.sql(requete).fetchall()
    return lignes, float(somme), instant


def _arrow(chemin: Path, _nom: str, colonne: str) -> tuple[int, float, str]:
    import pyarrow.dataset as ds

    table = ds.dataset(chemin, format=chemin.suffix[1:]).to_table()
    return table.num_rows, pc.sum(table[colonne]).as_py(), str(table.schema.field("timestamp").type)


def _fastparquet(chemin: Path, _nom: str, colonne: str) -> tuple[int, float, str]:
    import fastparquet

    table = fastparquet.ParquetFile(chemin).to_pandas()
    return len(table), float(table[colonne].sum()), str(table["timestamp"].dtype)


def _sqlite(chemin: Path, nom: str, colonne: str) -> tuple[int, float, str]:
    with sqlite3.connect(chemin) as base:
        requete = f"SELECT count(*), sum({colonne}), typeof(timestamp) FROM {nom}"  # noqa: S608
        return tuple(base.execute(requete).fetchone())


# Ajouter un lecteur : une ligne.
LECTEURS: Mapping[str, tuple[str, Lire, tuple[str, ...]]] = {
    "pandas": ("pandas", _pandas, ("csv", "parquet", "feather", "sqlite")),
    "polars": ("polars", _polars, ("csv", "parquet", "feather")),
    "DuckDB": ("duckdb", _duckdb, ("csv", "parquet")),
    "pyarrow.dataset": ("pyarrow", _arrow, ("csv", "parquet", "feather")),
    "fastparquet": ("fastparquet", _fastparquet, ("parquet",)),
    "sqlite3": ("", _sqlite, ("sqlite",)),
}


def ecrire(dossier: Path, nom: str, extension: str) -> tuple[Path, float]:
    """Un fichier de ce type, par nos écrivains, et la somme vraie de sa colonne."""
    donnee = collecte.TYPES[nom]
    cle = CLE["timeframe" in donnee.noms]
    table = pa.Table.from_pylist([ligne(donnee, cle, rang) for rang in range(1, LIGNES)], donnee.schema)
    table = collecte.trier(table, donnee)
    instants = collecte.instants_de(table)
    ecrivain = creer(dossier / f"{nom}{extension}", donnee)
    ecrivain.controler([cle])
    with ecrivain:
        ecrivain.ecrire(collecte.Lot(cle, table, [(instants[0], instants[-1] + 1)], []), fiche(cle))
        ecrivain.finir()
    return ecrivain.chemin, math.fsum(v for v in table[TYPES[nom]].to_pylist() if v is not None)


def mesurer(nom_du_lecteur: str, chemin: Path, nom: str, somme: float) -> str:
    """Ce que ce lecteur fait de ce fichier, en une cellule."""
    _, lire, _ = LECTEURS[nom_du_lecteur]
    try:
        lignes, lue, instant = lire(chemin, nom, TYPES[nom])
    except Exception as erreur:  # noqa: BLE001  c'est ce qu'on mesure
        return f"**erreur** : {type(erreur).__name__}"
    if lignes != LIGNES - 1:
        return f"**{lignes} lignes** au lieu de {LIGNES - 1}"
    juste = math.isclose(lue, somme, rel_tol=1e-9)
    return f"{'juste' if juste else f'**faux** ({lue:.6g} au lieu de {somme:.6g})'}, instant : `{instant}`"


def page() -> str:
    """Le tableau, en Markdown."""
    versions = ", ".join(f"{nom} {importlib.metadata.version(paquet) if paquet else sqlite3.sqlite_version}"
                         for nom, (paquet, _, _) in LECTEURS.items())  # fmt: skip
    usage = "chaque outil tel qu'on l'appelle sans y penser ; « juste » : toutes les lignes, et la somme."
    lignes = [
        "# Nos fichiers dans d'autres mains", "",
        f"Page faite par `python bancs/lecteurs.py docs/lecteurs.md` : {LIGNES - 1} lignes de chaque type, relues par",
        usage, "",
        f"Versions : {versions}.", "",
        "| format | lecteur | " + " | ".join(TYPES) + " |", "|---|---|" + "---|" * len(TYPES),
    ]  # fmt: skip
    with tempfile.TemporaryDirectory() as brut:
        for format_, extension in EXTENSIONS.items():
            fichiers = {nom: ecrire(Path(brut), nom, extension) for nom in TYPES}
            for lecteur, (_, _, formats) in LECTEURS.items():
                if format_ in formats:
                    cellules = [mesurer(lecteur, *fichiers[nom][:1], nom, fichiers[nom][1]) for nom in TYPES]
                    lignes.append(f"| {format_} | {lecteur} | {' | '.join(cellules)} |")
    return "\n".join(lignes) + "\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page(), encoding="utf-8")
