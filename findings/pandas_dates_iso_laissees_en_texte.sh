#!/usr/bin/env bash
# pandas 3.1.1, pyarrow 26.0.1, polars 2.1.0, duckdb 2.0.1, Python 3.11.
# Supposé avant l'essai : read_csv(parse_dates=["heure"]) rend des dates, ou dit qu'il n'a pas pu.
# Vu : une colonne de trades où une heure tombe juste sur la seconde (« …:00Z »), les autres non (« …:00.500Z »), reste du texte,
# sans erreur ni avertissement : pandas retient la forme de la première ligne. pyarrow, polars et DuckDB y lisent trois instants.
# Les exchanges qui ôtent les zéros de la fin donnent de telles colonnes ; chaque ligne écrite à la même précision en protège.
set -euo pipefail
dossier="$(mktemp -d)"
trap 'rm -rf "$dossier"' EXIT
python3 -m venv "$dossier/venv"
"$dossier/venv/bin/pip" install -q "pandas==3.1.1" "pyarrow==26.0.1" "polars==2.1.0" "duckdb==2.0.1" "pytz"
cd "$dossier"
"$dossier/venv/bin/python" -W error - <<'PY'
import sys
from pathlib import Path

import duckdb
import pandas as pd
import polars as pl
import pyarrow.csv

Path("t.csv").write_text("heure,prix\n2024-01-01T00:00:00Z,1\n2024-01-01T00:00:00.500Z,2\n2024-01-01T00:00:01Z,3\n")
Path("egal.csv").write_text("heure,prix\n2024-01-01T00:00:00.000Z,1\n2024-01-01T00:00:00.500Z,2\n")
vus = {
    "pandas": str(pd.read_csv("t.csv", parse_dates=["heure"]).heure.dtype),
    "pandas, même précision": str(pd.read_csv("egal.csv", parse_dates=["heure"]).heure.dtype),
    "pyarrow": str(pyarrow.csv.read_csv("t.csv").schema.field("heure").type),
    "polars": str(pl.read_csv("t.csv", try_parse_dates=True).schema["heure"]),
    "duckdb": duckdb.sql("select any_value(typeof(heure)) from 't.csv'").fetchall()[0][0],
}
print(vus)
sys.exit(not (vus.pop("pandas") in ("str", "object") and all("time" in vu.lower() for vu in vus.values())))
PY
