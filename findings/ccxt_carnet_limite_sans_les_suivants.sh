#!/usr/bin/env bash
# ccxt 4.5.90 (ccxt.pro), Python 3.11.
# Supposé avant l'essai : `watch_order_book("BTC/USDT", 5)` tient le carnet entier, et en rend les cinq meilleurs niveaux ; les cinq
# meilleures ventes échangées, viennent les cinq suivantes, que l'exchange a toujours.
# Vu : `limit` est aussi le nombre de niveaux de l'instantané demandé en REST, et à chaque lecture la classe ôte de son carnet ce qui le
# dépasse. Les niveaux suivants, qui ne bougent pas, ne sont dans aucune trame : d'abord il n'y a que quatre ventes, puis aucune,
# puis une seule, à 130, donnée pour la meilleure quand l'exchange en a une à 106. Sans erreur : la suite des trames est complète. Avec
# l'instantané d'office, mille niveaux, il en va de même dès que le prix a traversé les mille. La source : ccxt#6546, ccxt#22063 ;
# cryptofeed#604 décrit le même défaut.
set -euo pipefail
dossier="$(mktemp -d)"
trap 'rm -rf "$dossier"' EXIT
python3 -m venv "$dossier/venv"
"$dossier/venv/bin/pip" install -q "ccxt==4.5.90"
"$dossier/venv/bin/python" - <<'PY'
import asyncio
import json
import sys

import ccxt
import ccxt.pro
from aiohttp import WSMsgType, web

INSTANT = 1_700_000_000_000
MARCHE = {
    "symbol": "BTCUSDT", "status": "TRADING", "baseAsset": "BTC", "quoteAsset": "USDT", "isSpotTradingAllowed": True,
    "permissionSets": [["SPOT"]], "orderTypes": ["LIMIT"], "baseAssetPrecision": 8, "quotePrecision": 8,
    "filters": [{"filterType": "PRICE_FILTER", "tickSize": "1", "minPrice": "1", "maxPrice": "1000"}],
}
VENTES, ACHATS = list(range(101, 121)), list(range(99, 79, -1))  # un ordre par prix ; seuls les meilleurs s'échangent
TRAMES = [[[101, 0]], [[102, 0], [103, 0], [104, 0], [105, 0]], [[130, 2]]]


class Exchange:
    """Le marché, et ce qu'en disent son REST et son flux : les vraies formes de binance."""

    def __init__(self):
        self.numero, self.ventes = 100, {prix: 1 for prix in VENTES}

    async def infos(self, _):
        return web.json_response({"symbols": [MARCHE], "rateLimits": []})

    async def carnet(self, http):
        limite = int(http.query["limit"])
        cotes = {"bids": ACHATS[:limite], "asks": sorted(self.ventes)[:limite]}
        return web.json_response({"lastUpdateId": self.numero, **{c: [[str(p), "1"] for p in ps] for c, ps in cotes.items()}})

    async def flux(self, http):
        self.ws = web.WebSocketResponse()
        await self.ws.prepare(http)
        async for message in self.ws:
            if message.type == WSMsgType.TEXT:
                await self.ws.send_json({"result": None, "id": json.loads(message.data)["id"]})
        return self.ws

    async def emettre(self, changes):
        self.ventes.update(changes)
        self.ventes = {prix: quantite for prix, quantite in self.ventes.items() if quantite}
        self.numero += 1
        await self.ws.send_json({
            "e": "depthUpdate", "E": INSTANT + self.numero, "s": "BTCUSDT", "U": self.numero, "u": self.numero,
            "b": [], "a": [[str(prix), str(quantite)] for prix, quantite in changes],
        })


async def essai():
    exchange, app = Exchange(), web.Application()
    app.router.add_get("/api/v3/exchangeInfo", exchange.infos)
    app.router.add_get("/api/v3/depth", exchange.carnet)
    app.router.add_get("/ws/{nom}", exchange.flux)
    serveur = web.AppRunner(app)
    await serveur.setup()
    site = web.TCPSite(serveur, "127.0.0.1", 0)
    await site.start()
    hote = "127.0.0.1:%d" % site._server.sockets[0].getsockname()[1]
    api = ccxt.pro.binance({"options": {"fetchMarkets": {"types": ["spot"]}, "fetchMargins": False}})
    api.has["fetchCurrencies"] = False
    for nom in ("public", "v1"):
        api.urls["api"][nom] = f"http://{hote}/api/v3"
    api.urls["api"]["ws"]["spot"] = f"ws://{hote}/ws"
    rendus = []
    try:
        carnet = await api.watch_order_book("BTC/USDT", 5)
        rendus.append(([n[0] for n in carnet["asks"][:5]], sorted(exchange.ventes)[:5]))
        for changes in TRAMES:
            attente = asyncio.ensure_future(api.watch_order_book("BTC/USDT", 5))
            await asyncio.sleep(0)
            await exchange.emettre(changes)
            carnet = await asyncio.wait_for(attente, 10)
            rendus.append(([n[0] for n in carnet["asks"][:5]], sorted(exchange.ventes)[:5]))
    finally:
        await api.close()
        await serveur.cleanup()
    return rendus


rendus = asyncio.run(essai())
print("ccxt", ccxt.__version__)
for rendu, vrai in rendus:
    print(f"meilleures ventes rendues : {rendu} ; celles de l'exchange : {vrai}")
attendu = [
    ([101, 102, 103, 104, 105], [101, 102, 103, 104, 105]),
    ([102, 103, 104, 105], [102, 103, 104, 105, 106]),
    ([], [106, 107, 108, 109, 110]),
    ([130], [106, 107, 108, 109, 110]),
]
if ccxt.__version__ != "4.5.90" or rendus != attendu:
    sys.exit("le comportement a changé")
PY
