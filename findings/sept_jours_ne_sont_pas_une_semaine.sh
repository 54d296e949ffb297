#!/usr/bin/env bash
# polars 2.1.0, pyarrow 26.0.1, duckdb 2.0.1, Python 3.11.
# Supposé avant l'essai : couper le temps en tranches de sept jours, ou d'une semaine, donne les mêmes bougies hebdomadaires.
# Vu : polars et pyarrow ouvrent « 1 semaine » le lundi, comme les exchanges, et « 7 jours » le jeudi, jour de l'époque ; DuckDB ouvre les
# deux le lundi, car son origine est le 3 janvier 2000. Cette origine fait, en retour, que time_bucket de sept minutes ne
# tombe pas sur les mêmes instants que polars et pyarrow : le même calcul change de bougies en changeant d'outil.
set -euo pipefail
dossier="$(mktemp -d)"
trap 'rm -rf "$dossier"' EXIT
python3 -m venv "$dossier/venv"
"$dossier/venv/bin/pip" install -q "polars==2.1.0" "pyarrow==26.0.1" "duckdb==2.0.1" "pytz"
"$dossier/venv/bin/python" - <<'PY'
import datetime as dt
import sys

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

mercredi = dt.datetime(2024, 1, 3, 5, 3)


def par_polars(largeur: str) -> dt.datetime:
    return pl.Series([mercredi]).dt.truncate(largeur).item()


def par_arrow(combien: int, unite: str) -> dt.datetime:
    return pc.floor_temporal(pa.scalar(mercredi, pa.timestamp("ms")), combien, unite).as_py()


def par_duckdb(largeur: str) -> dt.datetime:
    return duckdb.sql(f"select time_bucket(interval '{largeur}', timestamp '{mercredi}')").fetchall()[0][0]


lundi, jeudi = dt.datetime(2024, 1, 1), dt.datetime(2023, 12, 28)
vus = {
    "1 semaine": [par_polars("1w"), par_arrow(1, "week"), par_duckdb("1 week")],
    "7 jours": [par_polars("7d"), par_arrow(7, "day"), par_duckdb("7 days")],
    "7 minutes": [par_polars("7m"), par_arrow(7, "minute"), par_duckdb("7 minutes")],
}
for largeur, (polars, arrow, duck) in vus.items():
    print(f"{largeur:>9} : polars {polars}, pyarrow {arrow}, DuckDB {duck}")
minutes = vus["7 minutes"]
sys.exit(not (vus["1 semaine"] == [lundi] * 3 and vus["7 jours"] == [jeudi, jeudi, lundi]
              and minutes[0] == minutes[1] != minutes[2]))
PY
