#!/usr/bin/env bash
# ccxt 4.5.90, Python 3.11.
# Supposé avant l'essai : une demande refusée par un 400 ou un 404 (symbole, intervalle, fenêtre) sort comme BadRequest ou ExchangeError,
# qu'il est vain de réessayer.
# Vu : d'un corps que la classe ne reconnaît pas, ccxt lève ExchangeNotAvailable, qui est une OperationFailed, sa racine des pannes
# passagères : qui réessaie ce que ccxt dit passager redemande sans fin ce qui ne passera jamais. 422, lui, est une ExchangeError.
set -euo pipefail
dossier="$(mktemp -d)"
trap 'rm -rf "$dossier"' EXIT
python3 -m venv "$dossier/venv"
"$dossier/venv/bin/pip" install -q "ccxt==4.5.90"
"$dossier/venv/bin/python" - <<'PY'
import collections
import sys

import ccxt

vues = collections.defaultdict(collections.Counter)
for nom in ccxt.exchanges:
    classe = getattr(ccxt, nom)()
    for code in (400, 404, 422):
        try:
            classe.handle_http_status_code(code, "", "https://exchange/candles", "GET", '{"message":"no data for this period"}')
        except ccxt.BaseError as erreur:
            vues[code]["passagère" if isinstance(erreur, ccxt.OperationFailed) else type(erreur).__name__] += 1
print(f"ccxt {ccxt.__version__} ; {len(ccxt.exchanges)} classes : {dict((c, dict(v)) for c, v in vues.items())}")
sys.exit(not (min(vues[400]["passagère"], vues[404]["passagère"]) >= 90 and vues[422]["passagère"] == 0))
PY
