#!/usr/bin/env bash
# ccxt 4.5.90, Python 3.11.
# Supposé avant l'essai : une classe lit l'heure de ses taux de financement dans la même unité partout.
# Vu : bitstamp date en secondes. `parse_funding_rate` multiplie par 1000 ; `parse_funding_rate_history`, du même champ, par 0.001 :
# toute l'histoire du funding est du 1er janvier 1970. Avec `since`, le filtre de la classe n'en rend pas une ligne, sans erreur.
set -euo pipefail
dossier="$(mktemp -d)"
trap 'rm -rf "$dossier"' EXIT
python3 -m venv "$dossier/venv"
"$dossier/venv/bin/pip" install -q "ccxt==4.5.90"
"$dossier/venv/bin/python" - <<'PY'
import sys

import ccxt

bitstamp = ccxt.bitstamp()
marche = {"id": "btcusd-perp", "symbol": "BTC/USD:USD", "base": "BTC", "quote": "USD", "settle": "USD", "type": "swap",
          "swap": True, "contract": True, "linear": True, "spot": False, "future": False, "option": False, "active": True}
bitstamp.set_markets([bitstamp.safe_market_structure(marche)])
brut = {"market": "BTC/USD-PERP", "timestamp": "1726246800", "funding_rate": "0.0001", "next_funding_time": "1726275600"}
courant = bitstamp.parse_funding_rate(brut, bitstamp.market("BTC/USD:USD"))
passe = bitstamp.parse_funding_rate_history(brut, bitstamp.market("BTC/USD:USD"))
servis = bitstamp.filter_by_symbol_since_limit([passe], None, 1726000000000, None)
print(f"ccxt {ccxt.__version__} : courant {bitstamp.iso8601(courant['timestamp'])}, histoire {passe['datetime']}, avec since : {servis}")
sys.exit(not (courant["timestamp"] == 1726246800000 and passe["datetime"].startswith("1970-01") and servis == []))
PY
