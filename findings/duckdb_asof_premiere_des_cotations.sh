#!/usr/bin/env bash
# duckdb 2.0.1, polars 2.1.0, pyarrow 26.0.1, pandas 3.1.1, Python 3.11.
# Supposé avant l'essai : de deux cotations du même instant, une jointure ASOF (« la dernière connue ») prend la dernière.
# Vu : pandas, polars et pyarrow prennent la dernière ; DuckDB, la première. Plusieurs tickers ou carnets tombent couramment dans une même
# milliseconde : joints à leurs trades par DuckDB, ceux-ci reçoivent un prix déjà remplacé. L'ordre des lignes en décide, et la
# syntaxe n'en dit rien : ne garder qu'une cotation par instant (`max_by` sur l'ordre d'arrivée) rend les quatre égaux.
set -euo pipefail
dossier="$(mktemp -d)"
trap 'rm -rf "$dossier"' EXIT
python3 -m venv "$dossier/venv"
"$dossier/venv/bin/pip" install -q "duckdb==2.0.1" "polars==2.1.0" "pyarrow==26.0.1" "pandas==3.1.1"
"$dossier/venv/bin/python" - <<'PY'
import sys

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa

trades = pd.DataFrame({"k": "BTC/USDT", "t": [1000, 2500]})
cotations = pd.DataFrame({"k": "BTC/USDT", "t": [1000, 1000, 1000, 2000, 2000], "rang": range(5), "bid": [1, 2, 3, 4, 5]})
uniques = "(select k, t, max_by(bid, rang) bid from cotations group by k, t)"
joindre = "select bid from trades asof join {} c on trades.k = c.k and trades.t >= c.t order by trades.t"
vus = {
    "pandas": pd.merge_asof(trades, cotations, on="t", by="k").bid.tolist(),
    "polars": pl.from_pandas(trades).join_asof(pl.from_pandas(cotations), on="t")["bid"].to_list(),
    "pyarrow": pa.Table.from_pandas(trades).join_asof(pa.Table.from_pandas(cotations), on="t", by="k", tolerance=-10_000)["bid"].to_pylist(),
    "DuckDB": [bid for (bid,) in duckdb.sql(joindre.format("cotations")).fetchall()],
    "DuckDB, à l'envers": [bid for (bid,) in duckdb.sql(joindre.format("(from cotations order by t, rang desc)")).fetchall()],
    "DuckDB, une par instant": [bid for (bid,) in duckdb.sql(joindre.format(uniques)).fetchall()],
}
print(vus)
egaux = vus["DuckDB, à l'envers"] == vus["DuckDB, une par instant"] == vus["pandas"]
sys.exit(not (egaux and vus["pandas"] == vus["polars"] == vus["pyarrow"] == [3, 5] and vus["DuckDB"] == [1, 4]))
PY
