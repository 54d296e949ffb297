#!/usr/bin/env bash
# duckdb 2.0.1, pyarrow 26.0.1, pandas 3.1.1, polars 2.1.0, Python 3.11.
# Supposé avant l'essai : un identifiant trop grand pour 64 bits est lu en texte, en grand entier, ou refusé. On supposerait aussi que ce que
# DuckDB lit juste, il l'écrit juste.
# Vu : DuckDB lit d'un CSV les identifiants de paradex (28 chiffres) en HUGEINT, tous distincts ; mais son Parquet et son `.df()` en font des
# flottants, sans erreur, comme pyarrow d'un CSV, et tous deux d'un JSON. De mille trades d'une seconde, il reste dix identifiants :
# un CSV converti en Parquet, puis dédoublonné, perd 99 trades sur cent. polars (Int128), et pandas (entiers de Python) gardent
# tout. Les identifiants lus en texte, rien n'est perdu nulle part.
set -euo pipefail
dossier="$(mktemp -d)"
trap 'rm -rf "$dossier"' EXIT
python3 -m venv "$dossier/venv"
"$dossier/venv/bin/pip" install -q "duckdb==2.0.1" "pyarrow==26.0.1" "pandas==3.1.1" "polars==2.1.0"
cd "$dossier"
"$dossier/venv/bin/python" - <<'PY'
import sys
from pathlib import Path

import duckdb
import pandas as pd
import polars as pl
import pyarrow.csv
import pyarrow.json

IDS = [f"{1718154353750 + i // 100}201703989430{i % 1000:03d}" for i in range(1000)]  # « 1718154353750201703989430001 » : l'exemple de ccxt
assert {len(i) for i in IDS} == {28} and len(set(IDS)) == 1000
Path("t.csv").write_text("id,price\n" + "".join(f"{i},100.5\n" for i in IDS))
Path("t.ndjson").write_text("".join(f'{{"id": {i}}}\n' for i in IDS))
duckdb.sql("copy (from 't.csv') to 't.parquet'")
duckdb.sql("copy (from read_csv('t.csv', types={'id': 'VARCHAR'})) to 'texte.parquet'")


def compter(fichier):
    return duckdb.sql(f"select count(distinct id) from '{fichier}'").fetchall()[0][0]


distincts = {
    "DuckDB, csv": compter("t.csv"),
    "DuckDB, csv puis df": duckdb.sql("from 't.csv'").df().id.nunique(),
    "DuckDB, csv puis parquet": compter("t.parquet"),
    "DuckDB, csv en texte puis parquet": compter("texte.parquet"),
    "DuckDB, json": compter("t.ndjson"),
    "pyarrow, csv": len(pyarrow.csv.read_csv("t.csv")["id"].unique()),
    "pyarrow, json": len(pyarrow.json.read_json("t.ndjson")["id"].unique()),
    "polars, csv": pl.read_csv("t.csv")["id"].n_unique(),
    "polars, json": pl.read_ndjson("t.ndjson")["id"].n_unique(),
    "pandas, csv": pd.read_csv("t.csv").id.nunique(),
}
print("mille trades ; identifiants distincts :", distincts)
perdus = {nom for nom, nombre in distincts.items() if nombre == 10}
justes = {nom for nom, nombre in distincts.items() if nombre == 1000}
fondus = {"DuckDB, csv puis df", "DuckDB, csv puis parquet", "DuckDB, json", "pyarrow, csv", "pyarrow, json"}
sys.exit(perdus != fondus or justes != set(distincts) - fondus)
PY
