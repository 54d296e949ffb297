#!/usr/bin/env bash
# pyarrow 26.0.1, Python 3.11.
# On supposerait : un CSV sans en-tête, d'une seule ligne, se lit, que cette ligne finisse par un saut de ligne ou non.
# Vu : sans saut de ligne final, `autogenerate_column_names=True` lève « Empty CSV file or block: cannot infer number of columns ». Avec le
# saut, ou d'une ligne de plus, ou les noms donnés, tout se lit. Les fichiers publics n'ont pas d'en-tête, et celui d'un jour, en bougies
# d'un jour, n'a qu'une ligne ; un fichier lu par blocs peut aussi finir sur une seule. Le nôtre reçoit son saut de ligne avant d'être lu.
set -euo pipefail
dossier="$(mktemp -d)"
trap 'rm -rf "$dossier"' EXIT
python3 -m venv "$dossier/venv"
"$dossier/venv/bin/pip" install -q "pyarrow==26.0.1"
"$dossier/venv/bin/python" - <<'PY'
import sys

import pyarrow as pa
import pyarrow.csv as lecteur

BOUGIE = b"1704844800000,46110.9,47695.9,44300.3,46653.9,84955.4"


def lire(octets: bytes, **options: object) -> str:
    try:
        return str(lecteur.read_csv(pa.BufferReader(octets), read_options=lecteur.ReadOptions(**options)).num_rows)
    except pa.ArrowInvalid as refus:
        return str(refus)


vus = [
    lire(BOUGIE, autogenerate_column_names=True),
    lire(BOUGIE + b"\n", autogenerate_column_names=True),
    lire(BOUGIE + b"\n" + BOUGIE, autogenerate_column_names=True),
    lire(BOUGIE, column_names=list("abcdef")),
]
print(f"pyarrow {pa.__version__} : {vus}")
sys.exit(not ("Empty CSV" in vus[0] and vus[1:] == ["1", "2", "1"]))
PY
