#!/usr/bin/env bash
# ccxt 4.5.90, Python 3.11.
# On supposerait : l'ouverture (open) d'un ticker est un prix dit par l'exchange, ou None.
# Vu : gate n'en donne pas ; ccxt la déduit du dernier prix et du pourcentage, que l'exchange arrondit à deux décimales : 6159.149669635162,
# qui n'est sur aucun pas de cotation et peut être faux de plusieurs dixièmes ; `change` en hérite. Rien ne la distingue d'une vraie.
set -euo pipefail
dossier="$(mktemp -d)"
trap 'rm -rf "$dossier"' EXIT
python3 -m venv "$dossier/venv"
"$dossier/venv/bin/pip" install -q "ccxt==4.5.90"
"$dossier/venv/bin/python" - <<'PY'
import sys

import ccxt

gate = ccxt.gate()
marche = {"id": "BTC_USDT", "symbol": "BTC/USDT", "base": "BTC", "quote": "USDT", "type": "spot", "spot": True, "active": True}
gate.set_markets([gate.safe_market_structure(marche)])
ouvertures = {}
for vraie in ("61300.00", "61302.10"):  # deux ouvertures que le même pourcentage, arrondi, résume
    pourcent = f"{(64000 / float(vraie) - 1) * 100:.2f}"
    brut = {"currency_pair": "BTC_USDT", "last": "64000.00", "lowest_ask": "64000.1", "highest_bid": "63999.9",
            "change_percentage": pourcent, "base_volume": "1200.5", "quote_volume": "76832000", "high_24h": "64100", "low_24h": "61000"}
    lu = gate.parse_ticker(brut, gate.market("BTC/USDT"))
    ouvertures[vraie] = lu["open"]
    print(f"ccxt {ccxt.__version__} : ouverture vraie {vraie}, {pourcent} % ; open {lu['open']}, change {lu['change']}")
sys.exit(not (len(set(ouvertures.values())) == 1 and all(abs(dite - float(vraie)) > 0.5 for vraie, dite in ouvertures.items())))
PY
