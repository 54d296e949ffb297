#!/usr/bin/env bash
# pandas 3.1.1, polars 2.1.0, duckdb 2.0.1, pyarrow 26.0.1, Python 3.11.
# Supposé avant l'essai : la somme d'un volume qui manque partout manque aussi, quel que soit l'outil.
# Vu : pandas et polars rendent 0.0, DuckDB et pyarrow rien. Des bougies « mark » ou « index », dont les exchanges ne donnent pas le volume,
# agrégées d'une minute à une heure, ont dans les deux premiers un volume nul : celui d'un marché où rien ne s'est échangé, que l'on
# écarte d'ordinaire. `min_count=1` (pandas) et `pl.when(pl.col(…).count() > 0)` (polars) gardent l'absence.
set -euo pipefail
dossier="$(mktemp -d)"
trap 'rm -rf "$dossier"' EXIT
python3 -m venv "$dossier/venv"
"$dossier/venv/bin/pip" install -q "pandas==3.1.1" "polars==2.1.0" "duckdb==2.0.1" "pyarrow==26.0.1"
"$dossier/venv/bin/python" - <<'PY'
import sys

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa

mark = pa.table({
    "heure": pa.array([60_000 * n for n in range(60)], pa.timestamp("ms")), "volume": pa.nulls(60, pa.float64()),
})
minutes, colonnes = mark.to_pandas(), pl.from_arrow(mark)
garde = pl.when(pl.col("volume").count() > 0).then(pl.col("volume").sum())
vus = {
    "pandas": minutes.resample("1h", on="heure").volume.sum().item(),
    "polars": colonnes.group_by_dynamic("heure", every="1h").agg(pl.col("volume").sum())["volume"].item(),
    "DuckDB": duckdb.sql("select sum(volume) from mark group by date_trunc('hour', heure)").fetchall()[0][0],
    "pyarrow": mark.append_column("h", pa.nulls(60, pa.int64())).group_by("h").aggregate([("volume", "sum")])["volume_sum"][0].as_py(),
}
print(vus)
assert pd.isna(minutes.resample("1h", on="heure").volume.sum(min_count=1).item())
assert colonnes.group_by_dynamic("heure", every="1h").agg(garde)["volume"].item() is None
sys.exit(vus != {"pandas": 0.0, "polars": 0.0, "DuckDB": None, "pyarrow": None})
PY
