#!/usr/bin/env bash
# ccxt 4.5.90, Python 3.11.
# Supposé avant l'essai : parse8601("2024-01-01"), une date ISO 8601 valide, est minuit UTC, ou lève une erreur.
# Vu : None, sans erreur. Passé tel quel à fetch_ohlcv(since=...), None veut dire « pas de début » : la demande part sans date,
# et l'exchange sert ses dernières bougies, pas celles de 2024. La même date suivie d'une heure est lue.
set -euo pipefail
dossier="$(mktemp -d)"
trap 'rm -rf "$dossier"' EXIT
python3 -m venv "$dossier/venv"
"$dossier/venv/bin/pip" install -q "ccxt==4.5.90"
"$dossier/venv/bin/python" - <<'PY'
import sys

import ccxt

demandes = []
binance = ccxt.binance()
binance.fetch = lambda url, *_: demandes.append(url) or []  # rien ne part : seule l'adresse demandée importe
binance.set_markets([binance.safe_market_structure({"id": "BTCUSDT", "symbol": "BTC/USDT", "base": "BTC", "quote": "USDT",
                                                    "spot": True, "type": "spot", "active": True})])
lues = {texte: binance.parse8601(texte) for texte in ("2024-01-01", "2024-01-01T00:00:00Z")}
for texte, since in lues.items():
    binance.fetch_ohlcv("BTC/USDT", "1d", since=since)
    print(f"ccxt {ccxt.__version__} : {texte} -> {since} -> {demandes[-1].partition('?')[2]}")
sys.exit(not (lues["2024-01-01"] is None and "startTime" not in demandes[0] and "startTime=1704067200000" in demandes[1]))
PY
