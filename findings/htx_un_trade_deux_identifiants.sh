#!/usr/bin/env bash
# ccxt 4.5.90 (ccxt.pro), Python 3.11.
# Supposé avant l'essai : un trade de htx a le même identifiant, qu'il vienne de `watch_trades` ou de `fetch_trades` ; on peut donc relire
# par REST ce qu'une coupure a fait manquer, et en ôter ce que le flux avait déjà rendu.
# Vu : l'exchange dit deux numéros d'un trade, `id` et celui du trade, nommé `trade-id` en REST et `tradeId` dans le flux. La classe ne lit
# que le premier de ces noms : du REST elle rend le numéro du trade, du flux l'autre. Dédoublonnés par identifiant, les trades relus sont
# donc tous écrits deux fois. Les deux formes sont celles que donne, en exemple, le code de la classe.
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

api = ccxt.pro.htx()
marche = {"id": "btcusdt", "symbol": "BTC/USDT", "base": "BTC", "quote": "USDT", "type": "spot", "spot": True, "active": True}
api.set_markets([api.safe_market_structure(marche)])
commun = {"id": "10500517034273194594947", "ts": 1583497692182, "amount": 0.010411, "price": 9096.05, "direction": "sell"}
du_flux = {"ch": "market.btcusdt.trade.detail", "ts": 1583497692190, "tick": {"id": 105005170342, "data": [
    {**commun, "tradeId": 102090736910}]}}
api.handle_trades(SimpleNamespace(resolve=lambda *_: None), du_flux)
vus = [api.trades["BTC/USDT"][-1]["id"], api.parse_trade({**commun, "trade-id": 102090736910}, api.market("BTC/USDT"))["id"]]
print(f"ccxt {ccxt.__version__} : le même trade, {vus[0]} par le flux, {vus[1]} par le REST")
sys.exit(vus != ["10500517034273194594947", "102090736910"])
PY
