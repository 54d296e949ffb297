#!/usr/bin/env bash
# polars 2.1.0, Python 3.11.
# Supposé avant l'essai : `upsample`, qui augmente la fréquence, ajoute les instants qui manquent et garde toutes les lignes.
# Vu : il fait une grille à partir du premier instant, et ne garde que les lignes qui tombent juste dessus. De cotations à la milliseconde,
# ramenées à une par seconde puis prolongées (`fill_null(strategy="forward")`, l'exemple de sa page), il ne reste que la première, redite
# partout : un marché immobile, sans erreur. De bougies d'une minute dont une est datée de son premier trade, celle-là disparaît.
# `join_asof` sur une grille rend, à chaque seconde, la dernière connue.
set -euo pipefail
dossier="$(mktemp -d)"
trap 'rm -rf "$dossier"' EXIT
python3 -m venv "$dossier/venv"
"$dossier/venv/bin/pip" install -q "polars==2.1.0"
"$dossier/venv/bin/python" -W error - <<'PY'
import sys

import polars as pl

MS = 1_704_067_200_000


def serie(*lignes):
    return pl.DataFrame(lignes, schema={"t": pl.Int64, "x": pl.Float64}, orient="row").with_columns(
        (pl.col("t") + MS).cast(pl.Datetime("ms", "UTC"))
    )


cotations = serie((123, 100.0), (1456, 101.0), (2789, 102.0), (4123, 103.0), (4900, 104.0))
seconde = cotations.upsample("t", every="1s").fill_null(strategy="forward")
bougies = serie((0, 1.0), (60_000, 2.0), (120_004, 3.0), (180_000, 4.0)).upsample("t", every="1m")
grille = pl.DataFrame({"t": pl.datetime_range(pl.lit(MS + 1000).cast(pl.Datetime("ms", "UTC")), pl.lit(MS + 5000).cast(
    pl.Datetime("ms", "UTC")), "1s", eager=True)})
juste = grille.join_asof(cotations, on="t")
print(f"polars {pl.__version__} : cotations {cotations['x'].to_list()}")
print("upsample à la seconde, prolongé :", seconde["x"].to_list(), "; join_asof :", juste["x"].to_list())
print("bougies 1, 2, 3, 4 ; upsample à la minute :", bougies["x"].to_list())
sys.exit(not (
    seconde["x"].to_list() == [100, 100, 100, 100, 103] and juste["x"].to_list() == [100, 101, 102, 102, 104]
    and bougies["x"].to_list() == [1, 2, None, 4]
))
PY
