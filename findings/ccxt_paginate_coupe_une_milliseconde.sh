#!/usr/bin/env bash
# ccxt 4.5.90, Python 3.11.
# Supposé avant l'essai : `fetch_trades(…, params={"paginate": True})` met les pages bout à bout ; chaque page de mille trades peut couper une
# milliseconde en deux, l'identifiant est là pour les recoller.
# Vu : la classe redemande « jusqu'à l'instant du premier, moins une milliseconde » : les trades de cette milliseconde que la page n'avait pas
# sont sautés, sans erreur. Vers l'avant (`paginationDirection`), de même, à la dernière milliseconde de la page. Un gros ordre fait des
# dizaines de trades dans la même milliseconde ; ce sont eux qui manquent, et le volume de la bougie avec. L'identifiant, entier
# et sans saut ici, ne sert qu'à ôter des redites.
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

MARCHE = {"id": "BTCUSDT", "symbol": "BTC/USDT", "base": "BTC", "quote": "USDT", "type": "spot", "spot": True, "active": True}
DEBUT, NOMBRE, PAR_MS = 1_700_000_000_000, 3_000, 7  # sept trades par milliseconde : mille n'en est pas un multiple
TRADES = [
    {"a": n, "p": "100.0", "q": "1.0", "f": n, "l": n, "T": DEBUT + n // PAR_MS, "m": False, "M": True} for n in range(NOMBRE)
]


class Exchange(http.server.BaseHTTPRequestHandler):
    """Les aggTrades de binance : bornes incluses ; les premiers depuis `startTime`, sinon les derniers avant `endTime`."""

    def do_GET(self):
        dit = {nom: int(v) for nom, v in urllib.parse.parse_qsl(urllib.parse.urlsplit(self.path).query) if v.isdecimal()}
        page = [t for t in TRADES if dit.get("startTime", 0) <= t["T"] <= dit.get("endTime", DEBUT * 2)]
        page = page[: dit["limit"]] if "startTime" in dit else page[-dit["limit"] :]
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(page).encode())

    def log_message(self, *_):
        pass


serveur = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Exchange)
threading.Thread(target=serveur.serve_forever, daemon=True).start()
api = ccxt.binance({"enableRateLimit": False})
api.urls["api"]["public"] = f"http://127.0.0.1:{serveur.server_port}"
api.set_markets([api.safe_market_structure(MARCHE)])
manquent = {}
for sens in ("backward", "forward"):
    lus = api.fetch_trades("BTC/USDT", DEBUT, None, {"paginate": True, "paginationDirection": sens, "maxEntriesPerRequest": 1000})
    manquent[sens] = sorted(set(range(NOMBRE)) - {int(trade["id"]) for trade in lus})
print(f"ccxt {ccxt.__version__} : {NOMBRE} trades, sept par milliseconde ; les identifiants que paginate ne rend pas : {manquent}")
serveur.shutdown()
sys.exit(manquent != {"backward": [994, 1995, 1996, 1997, 1998, 1999], "forward": [1000, 2001]})
PY
