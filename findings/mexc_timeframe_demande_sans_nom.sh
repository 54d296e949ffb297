#!/usr/bin/env bash
# ccxt 4.5.90, Python 3.11.
# Supposé avant l'essai : un timeframe que la classe annonce se demande à tous ses marchés, ou est refusé par elle avant de partir.
# Vu : mexc annonce 8h, que seuls ses contrats servent ; au comptant, la classe n'en trouve pas le nom, ne s'en plaint pas, et la demande
# part avec le texte « None » (interval=None).
set -euo pipefail
dossier="$(mktemp -d)"
trap 'rm -rf "$dossier"' EXIT
python3 -m venv "$dossier/venv"
"$dossier/venv/bin/pip" install -q "ccxt==4.5.90"
"$dossier/venv/bin/python" - <<'PY'
import sys

import ccxt

demandes = []
mexc = ccxt.mexc()
mexc.fetch = lambda url, *_: demandes.append(url) or []  # rien ne part : seule l'adresse demandée importe
mexc.set_markets([mexc.safe_market_structure({"id": "BTCUSDT", "symbol": "BTC/USDT", "base": "BTC", "quote": "USDT",
                                              "spot": True, "swap": False, "type": "spot", "active": True})])
for timeframe in ("4h", "8h"):
    mexc.fetch_ohlcv("BTC/USDT", timeframe, since=1704067200000, limit=10)
    print(f"ccxt {ccxt.__version__} : {timeframe} annoncé : {timeframe in mexc.timeframes} -> {demandes[-1].partition('?')[2]}")
sys.exit(not ("8h" in mexc.timeframes and "interval=4h" in demandes[0] and "interval=None" in demandes[1]))
PY
