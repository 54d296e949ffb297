#!/usr/bin/env bash
# ccxt 4.5.90, Python 3.11 et plus.
# Supposé avant l'essai : `price` donné par un membre de enum.StrEnum, qui est un str et vaut "mark", est lu comme "mark".
# Vu : la classe prend le paramètre pour absent (elle compare le type exact) et demande en silence les bougies « last ».
# Le paramètre, inconnu de cette adresse, y part en plus. Un str ordinaire obtient bien les bougies mark.
# Quiconque range ses options dans un StrEnum écrit donc des prix « last » sous le nom de prix « mark ».
set -euo pipefail
dossier="$(mktemp -d)"
trap 'rm -rf "$dossier"' EXIT
python3 -m venv "$dossier/venv"
"$dossier/venv/bin/pip" install -q "ccxt==4.5.90"
"$dossier/venv/bin/python" - <<'PY'
import enum
import sys

import ccxt


class Prix(enum.StrEnum):
    MARK = "mark"


exchange = ccxt.binance()
marche = {"id": "BTCUSDT", "symbol": "BTC/USDT:USDT", "base": "BTC", "quote": "USDT", "settle": "USDT", "type": "swap",
          "swap": True, "contract": True, "linear": True, "inverse": False, "spot": False, "option": False, "future": False}
exchange.set_markets([marche])
demandes = []
exchange.fetch = lambda url, *reste: demandes.append(url.partition("?")[0].rsplit("/", 1)[1]) or []
for prix in ("mark", Prix.MARK):
    exchange.fetch_ohlcv("BTC/USDT:USDT", "1m", params={"price": prix})
print(f"ccxt {ccxt.__version__} ; StrEnum égal à 'mark' : {Prix.MARK == 'mark'} ; demandes : {demandes}")
sys.exit(demandes != ["markPriceKlines", "klines"])
PY
