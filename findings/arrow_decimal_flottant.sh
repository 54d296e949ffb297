#!/usr/bin/env bash
# pyarrow 26.0.1, Python 3.11.
# Supposé avant l'essai : un prix lu en decimal128 exact, puis converti en float64, donne le flottant le plus proche du texte.
# Vu : le dernier bit peut être faux, selon l'échelle du décimal. « 61302.52 » en decimal128(18, 2) donne
# 61302.520000000004, « 0.1 » en decimal128(38, 16) donne 0.09999999999999999. Le texte converti droit en float64 est juste.
# Qui passe par des décimaux pour « ne rien perdre » ne retrouve pas, au bit près, les prix de l'API : deux sources d'une
# même série y semblent se contredire. Ici, les fichiers publics sont lus droit du texte au flottant.
set -euo pipefail
dossier="$(mktemp -d)"
trap 'rm -rf "$dossier"' EXIT
python3 -m venv "$dossier/venv"
"$dossier/venv/bin/pip" install -q "pyarrow==26.0.1"
"$dossier/venv/bin/python" - <<'PY'
import sys

import pyarrow as pa

vus = []
for texte, precision, echelle in (("61302.52", 18, 2), ("61302.52", 38, 16), ("0.1", 38, 16), ("0.1", 18, 2)):
    colonne = pa.array([texte])
    exact = colonne.cast(pa.decimal128(precision, echelle))
    assert float(str(exact[0].as_py())) == float(texte)  # le décimal, lui, est juste
    vus.append(exact.cast(pa.float64())[0].as_py() == float(texte))
    assert colonne.cast(pa.float64())[0].as_py() == float(texte)
    print(f"pyarrow {pa.__version__} ; {texte} en decimal128({precision}, {echelle}) : {exact.cast(pa.float64())[0].as_py()!r}")
sys.exit(vus != [False, True, False, True])
PY
