#!/usr/bin/env bash
# pandas 3.1.1, pyarrow 26.0.1, fastparquet 2026.9.0, Python 3.11.
# Supposé avant l'essai : `pd.read_parquet(f, filters=[("timestamp", ">=", a), ("timestamp", "<", b)])` rend ces lignes-là, quel que soit le
# moteur : pandas prend de lui-même celui qui est installé.
# Vu : avec pyarrow, les lignes ; avec fastparquet, les groupes de lignes entiers où il peut y en avoir, sans erreur. Deux jours lus
# l'un après l'autre et mis bout à bout ont chacun deux fois les bougies du groupe qu'ils se partagent. Le même programme double donc des
# lignes sur une machine sans pyarrow, et seulement d'un fichier dont les groupes ne suivent pas les jours.
set -euo pipefail
dossier="$(mktemp -d)"
trap 'rm -rf "$dossier"' EXIT
for moteur in pyarrow fastparquet; do
    python3 -m venv "$dossier/venv-$moteur"
done
"$dossier/venv-pyarrow/bin/pip" install -q "pandas==3.1.1" "pyarrow==26.0.1"
"$dossier/venv-fastparquet/bin/pip" install -q "pandas==3.1.1" "fastparquet==2026.9.0"
cat > "$dossier/lire.py" <<'PY'
import sys

import pandas as pd

JOUR, MS = 86_400_000, 1_704_067_200_000
jours = [
    pd.read_parquet(sys.argv[1], filters=[("timestamp", ">=", MS + j * JOUR), ("timestamp", "<", MS + (j + 1) * JOUR)])
    for j in range(2)
]
reunis = pd.concat(jours)
print(f"pandas {pd.__version__}, {sys.argv[2]} : {len(reunis)} lignes, {reunis.timestamp.nunique()} bougies, "
      f"{reunis.timestamp.duplicated().sum()} en double")
vus = (len(reunis), reunis.timestamp.nunique(), int(reunis.volume.sum()))
sys.exit(vus != {"pyarrow": (2880, 2880, 2880), "fastparquet": (4000, 3000, 4000)}[sys.argv[2]])
PY
"$dossier/venv-pyarrow/bin/python" - "$dossier/b.parquet" <<'PY'
import sys

import pyarrow as pa
import pyarrow.parquet as pq

MS, MINUTE = 1_704_067_200_000, 60_000
bougies = pa.table({"timestamp": [MS + i * MINUTE for i in range(3 * 1440)], "volume": [1.0] * (3 * 1440)})
pq.write_table(bougies, sys.argv[1], row_group_size=1000)
PY
for moteur in pyarrow fastparquet; do
    "$dossier/venv-$moteur/bin/python" "$dossier/lire.py" "$dossier/b.parquet" "$moteur"
done
