#!/usr/bin/env bash
# ccxt 4.5.90, Python 3.11.
# Supposé avant l'essai : `fetch_time` rend des millisecondes, comme le promettent le manuel de ccxt et le docstring de la classe.
# Vu : celle de dydx prend l'entier du champ `epoch`, qui est en secondes : 2025 devient janvier 1970. Qui compare cette heure à
# celle d'une bougie tient toute bougie pour future, ou, s'il en fait un décalage d'horloge, recule de cinquante-cinq ans.
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

import ccxt

INSTANT_MS = 1_753_024_333_466  # 2025-07-20T15:12:13.466Z


class Dydx(http.server.BaseHTTPRequestHandler):
    """La réponse que documente l'indexeur de dydx : l'heure, en ISO et en secondes."""

    def do_GET(self) -> None:
        corps = json.dumps({"iso": "2025-07-20T15:12:13.466Z", "epoch": INSTANT_MS / 1000}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(corps)

    def log_message(self, *_: object) -> None: ...


serveur = http.server.HTTPServer(("127.0.0.1", 0), Dydx)
threading.Thread(target=serveur.serve_forever, daemon=True).start()
api = ccxt.dydx()
api.urls["api"]["indexer"] = f"http://127.0.0.1:{serveur.server_port}/v4"
rendu = api.fetch_time()
serveur.shutdown()
print(f"ccxt {ccxt.__version__} : dydx dit {rendu}, soit {api.iso8601(rendu)}, au lieu de {api.iso8601(INSTANT_MS)}")
sys.exit(rendu != INSTANT_MS // 1000)
PY
