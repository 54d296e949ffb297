#!/usr/bin/env bash
# ccxt 4.5.90 (ccxt.pro), Python 3.11.
# Supposé avant l'essai : le carnet de bitstamp part d'un instantané REST, auquel la classe applique les différences reçues depuis.
# Vu : seulement si l'une d'elles a la microseconde exacte de l'instantané. Sinon, la recherche, qui ne trouve pas cet instant, rend la fin
# de la liste au lieu de la première différence qui le suit : toutes celles qu'on gardait sont oubliées, sans erreur. Un ordre ôté entre
# l'instantané et la suite reste dans le carnet, et le carnet rendu porte l'instant de l'instantané. Deux différences, l'une juste avant lui, l'autre
# juste après, qui ôte la meilleure vente : elle y est encore.
set -euo pipefail
dossier="$(mktemp -d)"
trap 'rm -rf "$dossier"' EXIT
python3 -m venv "$dossier/venv"
"$dossier/venv/bin/pip" install -q "ccxt==4.5.90"
"$dossier/venv/bin/python" - <<'PY'
import sys

import ccxt
import ccxt.pro

INSTANT = 1_700_000_000_000_000  # µs
api = ccxt.pro.bitstamp()
instantane = api.parse_order_book(
    {"bids": [["99", "1"]], "asks": [["101", "1"], ["102", "1"]]}, "BTC/USD", INSTANT // 1000
)
instantane["nonce"] = INSTANT
gardees = [
    {"timestamp": str((INSTANT + ecart) // 1_000_000), "microtimestamp": str(INSTANT + ecart), "bids": [], "asks": asks}
    for ecart, asks in ((-500, [["103", "1"]]), (+500, [["101", "0"]]))
]
carnet = api.order_book({})
carnet.reset(instantane)
rang = api.get_cache_index(instantane, gardees)
for difference in gardees[rang:]:
    api.handle_book_delta(carnet, difference)
ventes = [niveau[0] for niveau in carnet["asks"]]
print(f"ccxt {ccxt.__version__} : {len(gardees) - rang} différence appliquée sur {len(gardees)} ; ventes {ventes}")
sys.exit((rang, ventes) != (2, [101, 102]))
PY
