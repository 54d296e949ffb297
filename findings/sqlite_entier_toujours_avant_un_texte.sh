#!/usr/bin/env bash
# apsw 3.54.1.0 (SQLite 3.54.1), Python 3.11.
# On supposerait : d'une colonne entière de millisecondes, comparer à strftime('%s', …), qui est un nombre de secondes, ou à une date en
# texte, filtre les lignes, ou lève une erreur.
# Vu : strftime rend un texte, et `timestamp / 1000` n'a pas d'affinité : SQLite compare un entier à un texte, et tout entier est plus petit que
# tout texte. `timestamp / 1000 >= strftime('%s', '2024-01-02')` ne rend jamais rien, `<` rend tout, sans erreur ; la date en texte de même.
# Un calcul sur le texte (`* 1000`), ou unixepoch(), en refait un nombre.
set -euo pipefail
dossier="$(mktemp -d)"
trap 'rm -rf "$dossier"' EXIT
python3 -m venv "$dossier/venv"
"$dossier/venv/bin/pip" install -q "apsw==3.54.1.0"
"$dossier/venv/bin/python" - <<'PY'
import sys

import apsw

base = apsw.Connection(":memory:")
base.execute("create table ohlcv (timestamp integer)")
base.executemany("insert into ohlcv values (?)", [(1_704_067_200_000 + heure * 3_600_000,) for heure in range(48)])
vus = {}
for condition in (
    "timestamp / 1000 >= strftime('%s', '2024-01-02')",
    "timestamp / 1000 < strftime('%s', '2024-01-02')",
    "timestamp >= '2024-01-02'",
    "timestamp >= strftime('%s', '2024-01-02') * 1000",
    "timestamp / 1000 >= unixepoch('2024-01-02')",
):
    vus[condition] = next(base.execute(f"select count(*) from ohlcv where {condition}"))[0]
    print(f"SQLite {apsw.sqlite_lib_version()} : {vus[condition]} lignes sur 48 où {condition}")
sys.exit(list(vus.values()) != [0, 48, 0, 24, 24])
PY
