#!/usr/bin/env bash
# pandas 2.3.3, pyarrow 23.0.0 et 24.0.0, DuckDB 2.0.1, Python 3.11.
# Supposé avant l'essai : un carnet dont les niveaux sont des paires (price, amount) sort d'un aller-retour par pandas tel qu'il y est
# entré ; au pire un type plus large.
# Vu : pandas rend chaque niveau en dictionnaire, et la pyarrow d'avant la 24 range les champs d'un dictionnaire par leur nom : le type
# devient (amount, price). Qui lit par le nom ne voit rien. Mais des paires se comparent par leur premier champ : le meilleur achat,
# `list_max(bids).price`, juste sur l'original, devient le prix du niveau de plus grande quantité. Avec pyarrow 24, rien ne change : le
# même programme rend juste ou faux selon la version d'une dépendance.
set -euo pipefail
dossier="$(mktemp -d)"
trap 'rm -rf "$dossier"' EXIT
for version in 23.0.0 24.0.0; do
    python3 -m venv "$dossier/$version"
    "$dossier/$version/bin/pip" install -q "pandas==2.3.3" "pyarrow==$version" "duckdb==2.0.1"
    "$dossier/$version/bin/python" - "$dossier" "$version" <<'PY'
import sys

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

dossier, version = sys.argv[1:]
original, recrit = f"{dossier}/{version}.parquet", f"{dossier}/{version}-recrit.parquet"
niveaux = pa.list_(pa.struct([("price", pa.float64()), ("amount", pa.float64())]))
carnet = [{"price": 100.0, "amount": 0.5}, {"price": 99.0, "amount": 2.0}, {"price": 98.0, "amount": 1.0}]
pq.write_table(pa.table({"timestamp": [1_704_067_200_000], "bids": pa.array([carnet], niveaux)}), original)
pd.read_parquet(original).to_parquet(recrit, index=False)
meilleurs = [duckdb.sql(f"SELECT list_max(bids).price FROM '{f}'").fetchall()[0][0] for f in (original, recrit)]
champs = [champ.name for champ in pq.read_schema(recrit).field("bids").type.value_type]
print(f"pandas {pd.__version__}, pyarrow {pa.__version__} : champs récrits {champs}, meilleur achat avant {meilleurs[0]}, après {meilleurs[1]}")
attendus = {"23.0.0": (["amount", "price"], [100.0, 99.0]), "24.0.0": (["price", "amount"], [100.0, 100.0])}
sys.exit((champs, meilleurs) != attendus[version])
PY
done
