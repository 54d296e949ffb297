#!/usr/bin/env bash
# ccxt 4.5.90 (ccxt.pro), Python 3.11.
# Supposé avant l'essai : le flux de carnets de coincheck ne dit que des différences (une quantité de zéro ôte le niveau) ; la classe,
# qui annonce `watchOrderBook`, les applique au carnet qu'elle tient.
# Vu : chaque trame remplace tout le carnet. Celui qu'elle rend n'a que les niveaux de la dernière : une trame qui en ôte deux autres
# le laisse vide, quand l'exchange a toujours l'offre et la demande que la trame d'avant y avait posées. Les trames sont de la forme que
# donne, en exemple, le code même de la classe.
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

api = ccxt.pro.coincheck()
marche = {"id": "btc_jpy", "symbol": "BTC/JPY", "base": "BTC", "quote": "JPY", "type": "spot", "spot": True, "active": True}
api.set_markets([api.safe_market_structure(marche)])
client = SimpleNamespace(resolve=lambda *_: None)
posee = {"bids": [["6288280.0", "0.5"]], "asks": [["6290315.0", "0.2"]], "last_update_at": "1705396096"}
otee = {"bids": [["6288279.0", "0"]], "asks": [["6290314.0", "0"]], "last_update_at": "1705396097"}
vus = []
for difference in (posee, otee):
    api.handle_order_book(client, ["btc_jpy", difference])
    carnet = api.orderbooks["BTC/JPY"]
    vus.append([[list(niveau[:2]) for niveau in carnet[cote]] for cote in ("bids", "asks")])
    print(f"ccxt {ccxt.__version__} : demandes {vus[-1][0]}, offres {vus[-1][1]}")
attendus = [[[[6288280.0, 0.5]], [[6290315.0, 0.2]]], [[], []]]
sys.exit(not api.has["watchOrderBook"] or vus != attendus)
PY
