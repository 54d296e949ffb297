#!/usr/bin/env bash
# duckdb 2.0.1, polars 2.1.0, pandas 3.1.1, pyarrow 26.0.1, apsw 3.54.1.0 (SQLite), Python 3.11.
# On supposerait : de trades déjà dans l'ordre, la clôture par arg_max(price, t), last(price ORDER BY t) ou
# sort_by("t").last() est le prix du dernier trade.
# Vu : quand la bougie finit sur plusieurs trades d'une même milliseconde, ce qui est courant, DuckDB, polars et SQLite (colonne à côté
# de max(t)) rendent le prix du premier d'entre eux ; le tri par l'instant n'y garde pas l'ordre d'arrivée. Seul l'id départage :
# arg_max(price, id), sort_by("t", "id").last(). L'ouverture, elle, est juste : les essais sur elle ne montrent rien.
set -euo pipefail
dossier="$(mktemp -d)"
trap 'rm -rf "$dossier"' EXIT
python3 -m venv "$dossier/venv"
"$dossier/venv/bin/pip" install -q "duckdb==2.0.1" "polars==2.1.0" "pandas==3.1.1" "pyarrow==26.0.1" "apsw==3.54.1.0"
"$dossier/venv/bin/python" - <<'PY'
import sys

import apsw
import duckdb
import polars as pl
import pyarrow as pa

trades = pa.table({"t": [0, 59_500, 59_500, 59_500], "id": [1, 2, 3, 4], "price": [10.0, 11.0, 12.0, 13.0]})
base = apsw.Connection(":memory:")
base.execute("create table trades (t integer, id integer, price real)")
base.executemany("insert into trades values (?, ?, ?)", list(zip(*trades.to_pydict().values(), strict=True)))
colonnes = pl.from_arrow(trades)


def duck(quoi: str) -> float:
    return duckdb.sql(f"select {quoi} from trades").fetchall()[0][0]


vus = {
    "DuckDB arg_max(price, t)": duck("arg_max(price, t)"),
    "DuckDB last(price order by t)": duck("last(price order by t)"),
    "polars sort_by('t').last()": colonnes.select(pl.col("price").sort_by("t").last()).item(),
    "polars top_k_by('t', 1)": colonnes.select(pl.col("price").top_k_by("t", 1)).item(),
    "SQLite max(t), price": next(base.execute("select max(t), price from trades"))[1],
}
justes = {
    "DuckDB arg_max(price, id)": duck("arg_max(price, id)"),
    "polars sort_by('t', 'id').last()": colonnes.select(pl.col("price").sort_by("t", "id").last()).item(),
    "SQLite max(id), price": next(base.execute("select max(id), price from trades"))[1],
}
print(f"clôture attendue : 13.0 ; {vus} ; {justes}")
assert duck("arg_min(price, t)") == 10.0
sys.exit(not (set(vus.values()) == {11.0} and set(justes.values()) == {13.0}))
PY
