#!/usr/bin/env bash
# arcticdb 6.28.2, pandas 2.3.3 (arcticdb n'admet pas la 3), Python 3.11.
# Supposé avant l'essai : `update(serie, lignes)`, comme DataFrame.update de pandas, remplace les lignes données et garde les autres.
# Vu : il remplace tout l'intervalle, de la première des lignes données à la dernière. Deux bougies révisées, à 1 h et à 22 h, écrites
# d'un coup, ôtent les vingt de l'entre-deux, sans erreur ni avertissement. Écrites l'une après l'autre, rien n'est perdu : c'est de les
# réunir qui efface. Une collecte qui range ainsi ses révisions, ou les trous qu'elle vient de combler, en creuse de plus grands.
set -euo pipefail
dossier="$(mktemp -d)"
trap 'rm -rf "$dossier"' EXIT
python3 -m venv "$dossier/venv"
"$dossier/venv/bin/pip" install -q "arcticdb==6.28.2" "pandas==2.3.3"
cd "$dossier"
"$dossier/venv/bin/python" - <<'PY'
import sys

import arcticdb
import pandas as pd

heures = pd.date_range("2024-01-01", periods=24, freq="1h")
jour = pd.DataFrame({"close": [100.0 + i for i in range(24)], "volume": 1.0}, index=heures)
revisees = jour.iloc[[1, 22]] + 0.5
base = arcticdb.Arctic("lmdb://base").create_library("bougies")
restent = {}
for nom, lots in {"reunies": [revisees], "separees": [revisees.iloc[[0]], revisees.iloc[[1]]]}.items():
    base.write(nom, jour)
    for lot in lots:
        base.update(nom, lot)
    lues = base.read(nom).data
    restent[nom] = len(lues)
    assert lues.loc[revisees.index, "close"].tolist() == revisees.close.tolist()
voulu = jour.copy()
voulu.update(revisees)
print(f"arcticdb {arcticdb.__version__} : 24 bougies, deux révisées ; après update, il en reste {restent} ; pandas : {len(voulu)}")
sys.exit(restent != {"reunies": 4, "separees": 24} or len(voulu) != 24)
PY
