#!/usr/bin/env bash
# ccxt 4.5.90 (ccxt.pro), Python 3.11.
# Supposé avant l'essai : un carnet suivi a l'instant de sa dernière mise à jour, que la trame porte (`t`).
# Vu : la classe de cryptocom avance les niveaux et le `nonce`, mais laisse au carnet l'instant de son premier état : au bout d'un
# jour, `timestamp` et `datetime` ont un jour de retard, sans rien qui le dise.
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

OUVERTURE, UN_JOUR = 1_700_000_000_000, 86_400_000
api = ccxt.pro.cryptocom()
marche = {"id": "BTC_USDT", "symbol": "BTC/USDT", "base": "BTC", "quote": "USDT", "type": "spot", "spot": True, "active": True}
api.set_markets([api.safe_market_structure(marche)])
client = SimpleNamespace(resolve=lambda *_: None)
commun = {"instrument_name": "BTC_USDT", "subscription": "book.BTC_USDT.50", "depth": 50}
entier = {"bids": [["99", "1", "1"]], "asks": [["101", "1", "1"]], "t": OUVERTURE, "u": 1}
suite = {"update": {"bids": [["100", "1", "1"]], "asks": []}, "t": OUVERTURE + UN_JOUR, "u": 2, "pu": 1}
api.handle_order_book(client, {**commun, "channel": "book", "data": [entier]})
api.handle_order_book(client, {**commun, "channel": "book.update", "data": [suite]})
carnet = api.orderbooks["BTC/USDT"]
retard = OUVERTURE + UN_JOUR - carnet["timestamp"]
print(f"ccxt {ccxt.__version__} : demande {carnet['bids'][0][0]:g}, nonce {carnet['nonce']}, datés de {retard // 3_600_000} heures plus tôt")
sys.exit((carnet["bids"][0][0], carnet["nonce"], retard) != (100, 2, UN_JOUR))
PY
