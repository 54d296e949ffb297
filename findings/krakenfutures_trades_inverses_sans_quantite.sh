#!/usr/bin/env bash
# ccxt 4.5.90, Python 3.11.
# Supposé avant l'essai : un trade de contrat a sa quantité, qu'il soit linéaire ou inverse : c'est un champ unifié.
# Vu : krakenfutures, d'un même trade brut, donne la quantité du linéaire et None à l'inverse ; elle n'est plus que dans `info`.
# Qui écarte les trades sans quantité perd donc tous ceux des contrats inverses, sans erreur.
set -euo pipefail
dossier="$(mktemp -d)"
trap 'rm -rf "$dossier"' EXIT
python3 -m venv "$dossier/venv"
"$dossier/venv/bin/pip" install -q "ccxt==4.5.90"
"$dossier/venv/bin/python" - <<'PY'
import sys

import ccxt

exchange = ccxt.krakenfutures()
commun = {"base": "BTC", "quote": "USD", "type": "swap", "swap": True, "contract": True, "spot": False, "future": False,
          "option": False, "active": True, "contractSize": 1}
exchange.set_markets([exchange.safe_market_structure({**commun, **propre}) for propre in (
    {"id": "PF_XBTUSD", "symbol": "BTC/USD:USD", "settle": "USD", "linear": True, "inverse": False},
    {"id": "PI_XBTUSD", "symbol": "BTC/USD:BTC", "settle": "BTC", "linear": False, "inverse": True},
)])
brut = {"uid": "b2eb0ee1-9a1c-4c45-b8e8-d8d1f5a9e1a1", "side": "BUY", "type": "fill", "price": "36000.5", "quantity": "12",
        "timestamp": "2024-01-01T00:00:00.000Z"}
vus = {}
for symbole in ("BTC/USD:USD", "BTC/USD:BTC"):
    marche = exchange.market(symbole)
    vus[symbole] = exchange.parse_trade(brut, marche)["amount"]
print(f"ccxt {ccxt.__version__} : {vus}")
sys.exit(vus != {"BTC/USD:USD": 12.0, "BTC/USD:BTC": None})
PY
