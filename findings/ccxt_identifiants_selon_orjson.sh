#!/usr/bin/env bash
# ccxt 4.5.90 (ccxt.pro), orjson 3.13.0, Python 3.11.
# Supposé avant l'essai : orjson, par qui ccxt lit toute trame dès qu'il est là (pip l'installe avec lui), ne change que la vitesse.
# Vu : il change les identifiants. htx écrit ceux de ses trades en entiers de 23 chiffres ; le json de Python les lit justes, orjson en fait
# des flottants : quatre trades d'une trame deviennent quatre fois « 1.0500517034273194e+22 ». Dédoublonnés par identifiant, il n'en
# reste qu'un ; et le même programme rend d'autres identifiants là où orjson ne s'installe pas. La forme est celle que donne, en exemple,
# le code de la classe REST ; l'exemple de la classe pro porte déjà un flottant.
set -euo pipefail
dossier="$(mktemp -d)"
trap 'rm -rf "$dossier"' EXIT
python3 -m venv "$dossier/venv"
"$dossier/venv/bin/pip" install -q "ccxt==4.5.90" "orjson==3.13.0"
cat > "$dossier/essai.py" <<'PY'
import asyncio
import gzip
import json
import sys

import ccxt
import ccxt.pro
from aiohttp import web

IDS = [10500517034273194594947 + i for i in range(4)]
COMMUN = {"ts": 1583497692182, "amount": 0.010411, "direction": "sell"}
LIGNES = [{**COMMUN, "id": i, "tradeId": 102090736910 + rang, "price": 9096.0 + rang} for rang, i in enumerate(IDS)]
TRAME = {"ch": "market.btcusdt.trade.detail", "ts": 1583497692190, "tick": {"id": 105005170342, "ts": 1583497692182, "data": LIGNES}}
MARCHE = {"id": "btcusdt", "symbol": "BTC/USDT", "base": "BTC", "quote": "USDT", "type": "spot", "spot": True, "active": True}


async def flux(http):
    ws = web.WebSocketResponse()
    await ws.prepare(http)
    async for _ in ws:  # l'abonnement ; htx envoie ses trames en gzip
        await ws.send_bytes(gzip.compress(json.dumps(TRAME).encode()))
    return ws


async def essai():
    app = web.Application()
    app.router.add_get("/ws", flux)
    serveur = web.AppRunner(app)
    await serveur.setup()
    site = web.TCPSite(serveur, "127.0.0.1", 0)
    await site.start()
    api = ccxt.pro.htx()
    api.set_markets([api.safe_market_structure(MARCHE)])
    port = site._server.sockets[0].getsockname()[1]
    api.urls["api"]["ws"]["api"]["spot"]["public"] = f"ws://127.0.0.1:{port}/ws"
    try:
        return await asyncio.wait_for(api.watch_trades("BTC/USDT"), 20)
    finally:
        await api.close()
        await serveur.cleanup()


trades = asyncio.run(essai())
ids = [trade["id"] for trade in trades]
print(f"ccxt {ccxt.__version__}, {sys.argv[1]} orjson : prix {[t['price'] for t in trades]}, identifiants {ids}")
attendus = {"avec": ["1.0500517034273194e+22"] * 4, "sans": [str(i) for i in IDS]}[sys.argv[1]]
sys.exit(("orjson" in sys.modules) != (sys.argv[1] == "avec") or ids != attendus)
PY
"$dossier/venv/bin/python" "$dossier/essai.py" avec
"$dossier/venv/bin/pip" uninstall -q -y orjson
"$dossier/venv/bin/python" "$dossier/essai.py" sans
