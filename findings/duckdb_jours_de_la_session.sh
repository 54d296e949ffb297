#!/usr/bin/env bash
# duckdb 2.0.1, pyarrow 26.0.1, Python 3.11.
# Supposé avant l'essai : d'une colonne d'instants UTC, date_trunc('day', t) et time_bucket(INTERVAL '1 day', t) font les mêmes jours ; le
# fuseau de la session ne change que l'affichage.
# Vu : date_trunc et `::date` coupent au minuit de la session, celui de la machine si rien n'est dit ; time_bucket, à minuit UTC. Deux jours
# pleins en font trois à New York, dont aucun n'est celui de l'exchange : mêmes requête et fichier, autres bougies d'une machine à l'autre.
set -euo pipefail
dossier="$(mktemp -d)"
trap 'rm -rf "$dossier"' EXIT
python3 -m venv "$dossier/venv"
"$dossier/venv/bin/pip" install -q "duckdb==2.0.1" "pyarrow==26.0.1" "pytz"
cd "$dossier"
"$dossier/venv/bin/python" - <<'PY'
import sys

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

HEURE_MS, LUNDI_MS = 3_600_000, 1_704_067_200_000
pq.write_table(pa.table({"t": pa.array([LUNDI_MS + n * HEURE_MS for n in range(48)], pa.timestamp("ms", "UTC"))}), "t.parquet")
vus = {}
for fuseau in ("UTC", "America/New_York"):
    duckdb.sql(f"set TimeZone = '{fuseau}'")
    for jour in ("date_trunc('day', t)", "t::date", "time_bucket(interval '1 day', t)"):
        heures = duckdb.sql(f"select count(*) from 't.parquet' group by {jour} order by min(t)").fetchall()
        vus[fuseau, jour] = [nombre for (nombre,) in heures]
        print(f"DuckDB {duckdb.__version__}, {fuseau}, {jour} : des jours de {vus[fuseau, jour]} heures")
entiers, coupes = [24, 24], [5, 24, 19]
sys.exit(list(vus.values()) != [entiers, entiers, entiers, coupes, coupes, entiers])
PY
