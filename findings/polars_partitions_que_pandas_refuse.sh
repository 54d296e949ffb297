#!/usr/bin/env bash
# polars 2.1.0, pyarrow 26.0.1, pandas 3.1.1, duckdb 2.0.1, Python 3.11.
# Supposé avant l'essai : un dossier de bougies réparti par symbole (`symbole=BTC%2FUSDT/…`) par polars se lit avec pandas et pyarrow
# comme avec DuckDB ; les quatre écrivent la même forme de dossiers.
# Vu : polars garde aussi la colonne du symbole dans chaque fichier, en « large_string » ; le nom du dossier en fait une autre, que
# pyarrow tient pour « string » et pandas pour un dictionnaire. Ni l'un ni l'autre ne les fond : ArrowTypeError, rien n'est lu. DuckDB
# et polars lisent. Réparti par pyarrow, pandas ou DuckDB, qui ôtent la colonne des fichiers, tous les quatre lisent.
set -euo pipefail
dossier="$(mktemp -d)"
trap 'rm -rf "$dossier"' EXIT
python3 -m venv "$dossier/venv"
"$dossier/venv/bin/pip" install -q "polars==2.1.0" "pyarrow==26.0.1" "pandas==3.1.1" "duckdb==2.0.1"
"$dossier/venv/bin/python" - "$dossier" <<'PY'
import sys

import duckdb
import pandas
import polars
import pyarrow
import pyarrow.dataset

RACINE = sys.argv[1]
BOUGIES = pyarrow.table({"symbole": ["BTC/USDT", "ETH/USDT:USDT"], "timestamp": [1_700_000_000_000] * 2, "close": [37_000.5, 2_050.25]})
VRAIES = sorted(zip(*BOUGIES.to_pydict().values()))
ECRIVAINS = {
    "polars": lambda ou: polars.from_arrow(BOUGIES).write_parquet(f"{ou}/", partition_by="symbole", mkdir=True),
    "pyarrow": lambda ou: pyarrow.dataset.write_dataset(
        BOUGIES, ou, format="parquet", partitioning=["symbole"], partitioning_flavor="hive"
    ),
    "pandas": lambda ou: BOUGIES.to_pandas().to_parquet(ou, partition_cols=["symbole"]),
    "DuckDB": lambda ou: duckdb.sql("FROM BOUGIES").write_parquet(ou, partition_by=["symbole"]),
}
LECTEURS = {
    "polars": lambda ou: polars.read_parquet(f"{ou}/**/*.parquet", hive_partitioning=True).to_dicts(),
    "pyarrow": lambda ou: pyarrow.dataset.dataset(ou, partitioning="hive").to_table().to_pylist(),
    "pandas": lambda ou: pandas.read_parquet(ou).to_dict("records"),
    "DuckDB": lambda ou: duckdb.read_parquet(f"{ou}/**/*.parquet", hive_partitioning=True).to_arrow_table().to_pylist(),
}


def lire(lecteur, ou):
    try:
        lues = LECTEURS[lecteur](ou)
    except pyarrow.ArrowTypeError as refus:
        return f"{type(refus).__name__}"
    return "juste" if sorted((str(l["symbole"]), l["timestamp"], l["close"]) for l in lues) == VRAIES else "faux"


vus = {}
for ecrivain, ecrire in ECRIVAINS.items():
    ou = f"{RACINE}/{ecrivain}"
    ecrire(ou)
    vus[ecrivain] = {lecteur: lire(lecteur, ou) for lecteur in LECTEURS}
    print(f"réparti par {ecrivain} :", ", ".join(f"{lecteur} {vu}" for lecteur, vu in vus[ecrivain].items()))
juste = dict.fromkeys(LECTEURS, "juste")
attendus = {**dict.fromkeys(ECRIVAINS, juste), "polars": {**juste, "pyarrow": "ArrowTypeError", "pandas": "ArrowTypeError"}}
sys.exit(vus != attendus)
PY
