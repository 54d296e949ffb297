#!/usr/bin/env bash
# duckdb 2.0.1, pyarrow 26.0.1, Python 3.11.
# Supposé avant l'essai : la même requête, sur une table puis sur le Parquet écrit de cette table, rend les mêmes lignes.
# Vu : DuckDB tient NaN pour plus grand que tout nombre : `close > 100` et `max(close)` les rendent. Mais d'un Parquet, il écarte les
# groupes de lignes d'après leurs statistiques, où pyarrow ne compte pas les NaN : le même filtre ne rend plus rien, et le même
# maximum est un nombre. Une seule valeur d'au-dessus du seuil dans un groupe y ramène tous les NaN de ce groupe-là : ce que rend la requête
# dépend du découpage du fichier. Nos colonnes vides sont des nuls, jamais des NaN.
set -euo pipefail
dossier="$(mktemp -d)"
trap 'rm -rf "$dossier"' EXIT
python3 -m venv "$dossier/venv"
"$dossier/venv/bin/pip" install -q "duckdb==2.0.1" "pyarrow==26.0.1"
cd "$dossier"
"$dossier/venv/bin/python" - <<'PY'
import sys

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

# Mille bougies de 0 à 49, une sur cinq sans cours ; la dernière, et elle seule, est à 150.
cours = [float("nan") if n % 5 == 0 else float(n % 50) for n in range(999)] + [150.0]
bougies = pa.table({"close": cours})
duckdb.sql("create table bougies as select * from bougies")
vus = {"table": duckdb.sql("select count(*), max(close) from bougies where close > 100").fetchall()[0]}
for groupe in (1000, 100):
    pq.write_table(bougies, f"par_{groupe}.parquet", row_group_size=groupe)
    vus[f"groupes de {groupe}"] = duckdb.sql(f"select count(*) from 'par_{groupe}.parquet' where close > 100").fetchall()[0]
maxima = [str(duckdb.sql(f"select max(close) from {source}").fetchall()[0][0]) for source in ("bougies", "'par_100.parquet'")]
print(f"DuckDB {duckdb.__version__} ; close > 100 : {vus} ; max(close), table puis Parquet : {maxima}")
sys.exit(not (vus["table"][0] == 201 and vus["groupes de 1000"] == (201,) and vus["groupes de 100"] == (21,)
              and maxima == ["nan", "150.0"]))
PY
