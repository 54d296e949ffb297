#!/usr/bin/env bash
# pandas 3.1.1, polars 2.1.0, Python 3.11.
# Supposé avant l'essai : des bougies de trois jours faites de bougies d'un jour ne dépendent pas du jour où le fichier commence ;
# sinon, origin="epoch" les cale.
# Vu : resample("3D") part du premier jour présent : le même marché, lu un jour plus tard, n'a plus une ouverture en commun.
# Et origin="epoch" ne cale qu'un index sans fuseau : sur un index UTC, il est sans effet (un avertissement le dit).
# floor("3D") de pandas et truncate("3d") de polars tiennent la grille de l'époque, fuseau ou non.
set -euo pipefail
dossier="$(mktemp -d)"
trap 'rm -rf "$dossier"' EXIT
python3 -m venv "$dossier/venv"
"$dossier/venv/bin/pip" install -q "pandas==3.1.1" "polars==2.1.0"
"$dossier/venv/bin/python" - <<'PY'
import sys

import pandas as pd
import polars as pl

vus = {}
for fuseau in ("UTC", None):
    jours = pd.Series(1.0, index=pd.date_range("2024-01-01", periods=30, freq="D", tz=fuseau))
    for regle in ({}, {"origin": "epoch"}):
        entier, sans_le_premier = (set(s.resample("3D", **regle).sum().index) for s in (jours, jours[1:]))
        vus[fuseau, bool(regle)] = len(entier & sans_le_premier)
    grille = {jour.floor("3D") for jour in jours.index}
    assert grille == set(pl.Series(list(jours.index)).dt.truncate("3d").to_list())
for (fuseau, cale), communes in vus.items():
    print(f"index {fuseau or 'sans fuseau'}, {'origin=epoch' if cale else 'par défaut'} : {communes} ouvertures communes")
sys.exit(vus != {("UTC", False): 0, ("UTC", True): 0, (None, False): 0, (None, True): len(grille)})
PY
