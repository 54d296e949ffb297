#!/usr/bin/env bash
# pandas 3.1.1, pyarrow 26.0.1, Python 3.11.
# Supposé avant l'essai : la même colonne d'instants, lue d'un CSV ou d'un Parquet, donne les mêmes entiers par astype("int64").
# Vu : pandas 3 garde l'unité du fichier : des millisecondes d'un Parquet ou d'un Feather en ms, des microsecondes d'un CSV, et aucun
# n'est en nanosecondes comme avant. `astype("int64") // 10**6`, longtemps la façon d'avoir des ms, rend ici des milliers de secondes ou des
# secondes, sans erreur. Ce qui ne dépend de rien : `.dt.as_unit("ms")` avant la conversion.
set -euo pipefail
dossier="$(mktemp -d)"
trap 'rm -rf "$dossier"' EXIT
python3 -m venv "$dossier/venv"
"$dossier/venv/bin/pip" install -q "pandas==3.1.1" "pyarrow==26.0.1"
cd "$dossier"
"$dossier/venv/bin/python" -W error - <<'PY'
import sys
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet

MS = 1_704_067_200_000
bougies = pa.table({"heure": pa.array([MS], pa.timestamp("ms", "UTC"))})
pa.parquet.write_table(bougies, "b.parquet")
pa.feather.write_feather(bougies, "b.feather")
Path("b.csv").write_text("heure\n2024-01-01T00:00:00.000Z\n")
lues = {
    "csv": pd.read_csv("b.csv", parse_dates=["heure"]).heure,
    "parquet": pd.read_parquet("b.parquet").heure,
    "feather": pd.read_feather("b.feather").heure,
}
entiers = {nom: int(colonne.astype("int64")[0]) for nom, colonne in lues.items()}
surs = {int(colonne.dt.as_unit("ms").astype("int64")[0]) for colonne in lues.values()}
print(f"pandas {pd.__version__} : {entiers} ; après as_unit('ms') : {surs}")
assert len({colonne[0] for colonne in lues.values()}) == 1  # c'est bien le même instant
sys.exit(not (entiers == {"csv": MS * 1000, "parquet": MS, "feather": MS} and surs == {MS}))
PY
