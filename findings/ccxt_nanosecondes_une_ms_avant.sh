#!/usr/bin/env bash
# ccxt 4.5.90, Python 3.11.
# Supposé avant l'essai : un horodatage en nanosecondes qui tombe sur une milliseconde entière donne cette milliseconde.
# Vu : la classe grvt multiplie par 0.000001 en flottant, puis tronque : plus du tiers de ces trades sont datés une milliseconde
# trop tôt. Les minutes entières, elles, sont toutes justes : ses bougies restent sur leur grille, et rien ne le laisse voir.
set -euo pipefail
dossier="$(mktemp -d)"
trap 'rm -rf "$dossier"' EXIT
python3 -m venv "$dossier/venv"
"$dossier/venv/bin/pip" install -q "ccxt==4.5.90"
"$dossier/venv/bin/python" - <<'PY'
import random
import sys

import ccxt

grvt, hasard = ccxt.grvt(), random.Random(1)
grvt.markets, grvt.markets_by_id = {}, {}
market = grvt.safe_market("BTC_USDT_Perp")


def date_du_trade(ms: int) -> int:
    brut = {"event_time": f"{ms}000000", "instrument": "BTC_USDT_Perp", "size": "1", "price": "90000.0",
            "trade_id": "1-1", "is_taker_buyer": False}
    return grvt.parse_trade(brut, market)["timestamp"] - ms


ecarts = [date_du_trade(1_700_000_000_000 + hasard.randrange(10**11)) for _ in range(2000)]
minutes = [date_du_trade(60_000 * hasard.randrange(28_000_000, 30_000_000)) for _ in range(2000)]
en_avance = sum(e == -1 for e in ecarts)
print(f"ccxt {ccxt.__version__} : {en_avance} trades sur 2000 datés une ms trop tôt, {sum(map(bool, minutes))} minutes fausses")
sys.exit(not (set(ecarts) == {0, -1} and 500 < en_avance < 1000 and not any(minutes)))
PY
