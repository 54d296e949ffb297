#!/usr/bin/env bash
# pandas 3.1.1, pyarrow 26.0.1, Python 3.11.
# On supposerait : mettre bout à bout deux mois de bougies, l'un d'un Parquet, l'autre d'un CSV, garde une colonne d'instants.
# Vu : leurs unités diffèrent (ms, µs), et pandas.concat en fait une colonne d'objets Python, sans avertissement : `.dt` n'y est plus, et
# resample(on=…) lève une erreur. Sans fuseau, la même réunion rend bien des µs ; merge les joint, merge_asof les refuse.
# `.dt.as_unit("ms")` sur chacune avant de les réunir.
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
import pyarrow.parquet

JANVIER_MS = 1_704_067_200_000
pa.parquet.write_table(pa.table({"heure": pa.array([JANVIER_MS], pa.timestamp("ms", "UTC")), "close": [1.0]}), "janvier.parquet")
Path("fevrier.csv").write_text("heure,close\n2024-02-01T00:00:00.000Z,2.0\n")
janvier, fevrier = pd.read_parquet("janvier.parquet"), pd.read_csv("fevrier.csv", parse_dates=["heure"])


def reunis(*mois: pd.DataFrame) -> str:
    return str(pd.concat(mois).heure.dtype)


vus = {
    "tels quels": reunis(janvier, fevrier),
    "sans fuseau": reunis(*(m.assign(heure=m.heure.dt.tz_localize(None)) for m in (janvier, fevrier))),
    "as_unit": reunis(*(m.assign(heure=m.heure.dt.as_unit("ms")) for m in (janvier, fevrier))),
}
try:
    pd.concat([janvier, fevrier]).resample("1D", on="heure").close.last()
    vus["resample"] = "rendu"
except TypeError as erreur:
    vus["resample"] = type(erreur).__name__
print(f"pandas {pd.__version__} ; Parquet {janvier.heure.dtype}, CSV {fevrier.heure.dtype} : {vus}")
sys.exit(vus != {"tels quels": "object", "sans fuseau": "datetime64[us]", "as_unit": "datetime64[ms, UTC]", "resample": "TypeError"})
PY
