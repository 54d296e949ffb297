#!/usr/bin/env bash
# ccxt 4.5.90 (ccxt.pro), Python 3.11.
# Supposé avant l'essai : une bougie de `watch_ohlcv` porte l'instant de son ouverture, comme partout dans ccxt, et comme celle que
# `fetch_ohlcv` rend du même exchange.
# Vu : celle de backpack porte celui de sa clôture. Mises ensemble, les bougies du flux et celles du REST se décalent d'un pas : la bougie
# de 22 h est rangée sous l'heure de la suivante, où le REST en rendra une autre. La trame est celle que donne, en exemple, le code de
# la classe (une bougie de deux heures : `t`, son ouverture, `T`, sa clôture).
set -euo pipefail
dossier="$(mktemp -d)"
trap 'rm -rf "$dossier"' EXIT
python3 -m venv "$dossier/venv"
"$dossier/venv/bin/pip" install -q "ccxt==4.5.90"
"$dossier/venv/bin/python" - <<'PY'
import sys

import ccxt
import ccxt.pro

api = ccxt.pro.backpack()
trame = {
    "e": "kline", "E": "1754519557526056", "s": "ETH_USDC", "t": "2025-08-06T22:00:00", "T": "2025-08-07T00:00:00", "X": False,
    "o": "3670.150000000", "h": "3681.370000000", "l": "3667.650000000", "c": "3680.520000000", "v": "62.2621000", "n": 255,
}
du_rest = {
    "start": "2025-08-06 22:00:00", "end": "2025-08-07 00:00:00", "open": "3670.15", "high": "3681.37", "low": "3667.65",
    "close": "3680.52", "volume": "62.2621", "quoteVolume": "228000", "trades": "255",
}
vus = [api.iso8601(api.parse_ws_ohlcv(trame)[0]), api.iso8601(api.parse_ohlcv(du_rest)[0])]
print(f"ccxt {ccxt.__version__} : la même bougie, {vus[0]} par le flux, {vus[1]} par le REST")
sys.exit(vus != ["2025-08-07T00:00:00.000Z", "2025-08-06T22:00:00.000Z"])
PY
