#!/usr/bin/env bash
# ccxt 4.5.90, Python 3.11.
# On supposerait : `fetch_ohlcv(symbole, "1h", since, params={"paginate": True})` part de `since` et avance ; si dix pages n'y
# suffisent pas, ce qui manque est à la fin.
# Vu : sans `until`, la classe calcule l'instant d'où dix pages mènent à maintenant et commence là, si `since` est plus ancien : ce sont les
# premières bougies qui manquent, sans erreur. `limit` est ensuite appliqué à ce qui reste : « les 24 premières depuis 2020 » sont
# d'il y a un an. Demander la suite depuis la dernière reçue ne les ramènera jamais. Avec `until`, la même demande lève BadRequest.
set -euo pipefail
dossier="$(mktemp -d)"
trap 'rm -rf "$dossier"' EXIT
python3 -m venv "$dossier/venv"
"$dossier/venv/bin/pip" install -q "ccxt==4.5.90"
"$dossier/venv/bin/python" - <<'PY'
import http.server
import json
import sys
import threading
import urllib.parse

import ccxt

HEURE, DEBUT, MAINTENANT = 3_600_000, 1_577_836_800_000, 1_735_689_600_000  # 2020, 2025 : l'exchange sert toutes ces bougies
MARCHE = {"id": "BTCUSDT", "symbol": "BTC/USDT", "base": "BTC", "quote": "USDT", "type": "spot", "spot": True, "active": True}


class Exchange(http.server.BaseHTTPRequestHandler):
    """Les bougies de binance : `startTime` inclus, `limit` au plus."""

    def do_GET(self):
        dit = {nom: int(v) for nom, v in urllib.parse.parse_qsl(urllib.parse.urlsplit(self.path).query) if v.isdecimal()}
        debut = -(-max(DEBUT, dit["startTime"]) // HEURE) * HEURE
        instants = range(debut, min(dit.get("endTime", MAINTENANT) + 1, MAINTENANT), HEURE)[: dit["limit"]]
        corps = [[t, "1", "2", "1", "2", "5", t + HEURE - 1, "10", 3, "2", "4", "0"] for t in instants]
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(corps).encode())

    def log_message(self, *_):
        pass


serveur = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Exchange)
threading.Thread(target=serveur.serve_forever, daemon=True).start()
api = ccxt.binance({"enableRateLimit": False})
api.urls["api"]["public"] = f"http://127.0.0.1:{serveur.server_port}"
api.milliseconds = lambda: MAINTENANT
api.set_markets([api.safe_market_structure(MARCHE)])
page = api.fetch_ohlcv("BTC/USDT", "1h", DEBUT, 24)
tout = api.fetch_ohlcv("BTC/USDT", "1h", DEBUT, None, {"paginate": True})
jour = api.fetch_ohlcv("BTC/USDT", "1h", DEBUT, 24, {"paginate": True})
try:
    avec_fin = api.fetch_ohlcv("BTC/USDT", "1h", DEBUT, None, {"paginate": True, "until": MAINTENANT})
except ccxt.BadRequest as refus:
    avec_fin = type(refus).__name__
print("ccxt", ccxt.__version__)
print("demandées depuis", api.iso8601(DEBUT), ": sans paginate, la première est à", api.iso8601(page[0][0]))
print("avec paginate :", len(tout), "bougies, de", api.iso8601(tout[0][0]), "à", api.iso8601(tout[-1][0]))
print("avec paginate et limit=24 : de", api.iso8601(jour[0][0]), "à", api.iso8601(jour[-1][0]), "; avec until :", avec_fin)
serveur.shutdown()
premiere = MAINTENANT - 10_000 * HEURE
sys.exit(not (page[0][0] == DEBUT and tout[0][0] == jour[0][0] == premiere and len(jour) == 24 and avec_fin == "BadRequest"))
PY
