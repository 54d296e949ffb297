#!/usr/bin/env bash
# ccxt 4.5.90 (ccxt.pro), Python 3.11.
# Supposé avant l'essai : un instant sans fuseau, dans une trame d'exchange, est en UTC ; `watch_trades` de lbank rend l'heure du trade.
# Vu : `TS` y est à l'heure de Shanghai, huit heures en avance, sans que rien le dise. La preuve est dans les trames que donne, en exemple,
# le code de la classe : un ordre changé à 1705676718532 (15 h 05 min 18,532 s en UTC) y est daté 23:05:18.548, seize millisecondes plus
# tard. La classe lit tout `TS` comme de l'UTC : un trade du flux est huit heures après celui que rend le REST, dont l'instant est en
# millisecondes.
set -euo pipefail
dossier="$(mktemp -d)"
trap 'rm -rf "$dossier"' EXIT
python3 -m venv "$dossier/venv"
"$dossier/venv/bin/pip" install -q "ccxt==4.5.90"
"$dossier/venv/bin/python" - <<'PY'
import sys
from types import SimpleNamespace

import ccxt
import ccxt.pro

HEURE_MS = 3_600_000
api = ccxt.pro.lbank()
marche = {"id": "lbk_usdt", "symbol": "LBK/USDT", "base": "LBK", "quote": "USDT", "type": "spot", "spot": True, "active": True}
api.set_markets([api.safe_market_structure(marche)])
ordre = {"TS": "2024-01-19T23:05:18.548", "orderUpdate": {"updateTime": 1705676718532}}
avance_ms = api.parse8601(ordre["TS"]) - ordre["orderUpdate"]["updateTime"]
trade = {"volume": 5.0, "amount": 0.05, "price": 0.009834, "direction": "buy_market", "TS": ordre["TS"]}
api.handle_trades(
    SimpleNamespace(resolve=lambda *_: None),
    {"trade": trade, "type": "trade", "pair": "lbk_usdt", "SERVER": "V2", "TS": ordre["TS"]},
)
(cache,) = api.trades.values()
lu_ms = cache[-1]["timestamp"] - ordre["orderUpdate"]["updateTime"]
print(f"ccxt {ccxt.__version__} : TS avance de {avance_ms} ms sur l'instant de l'ordre ; le trade lu, de {lu_ms} ms")
sys.exit(not 0 < avance_ms - 8 * HEURE_MS < 1_000 or lu_ms != avance_ms)
PY
