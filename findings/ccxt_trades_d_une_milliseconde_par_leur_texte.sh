#!/usr/bin/env bash
# ccxt 4.5.90, Python 3.11.
# Supposé avant l'essai : `fetch_trades` rend les trades du plus ancien au plus récent ; le dernier de la liste est le dernier échangé.
# Vu : ccxt les trie par instant, puis par identifiant, comparé comme un texte. Dans une même milliseconde, l'ordre où bybit les donne (du
# plus récent au plus ancien) est perdu : ses identifiants de contrats sont des UUID, tirés au hasard. Un ordre qui a fait 100, 101, 102
# rend 101, 102, 100 : la bougie qui finit là se clôt à 100. Et des identifiants qui sont des nombres (binance) se trient de même :
# 1000000000 avant 999999999.
set -euo pipefail
dossier="$(mktemp -d)"
trap 'rm -rf "$dossier"' EXIT
python3 -m venv "$dossier/venv"
"$dossier/venv/bin/pip" install -q "ccxt==4.5.90"
"$dossier/venv/bin/python" - <<'PY'
import sys

import ccxt

CONTRAT = {
    "id": "BTCUSDT", "symbol": "BTC/USDT:USDT", "base": "BTC", "quote": "USDT", "settle": "USDT", "type": "swap", "swap": True,
    "contract": True, "linear": True, "contractSize": 1, "active": True,
}
COMPTANT = {"id": "BTCUSDT", "symbol": "BTC/USDT", "base": "BTC", "quote": "USDT", "type": "spot", "spot": True, "active": True}
SUITE = [  # du plus ancien au plus récent
    ("100", "f66042b4-50c6-58f3-bd9c-89b2088663ff"),
    ("101", "066042b4-50c6-58f3-bd9c-89b208866400"),
    ("102", "a66042b4-50c6-58f3-bd9c-89b208866401"),
]
bybit, binance = ccxt.bybit(), ccxt.binance()
bybit.set_markets([bybit.safe_market_structure(CONTRAT)])
binance.set_markets([binance.safe_market_structure(COMPTANT)])
reponse = [
    {"execId": i, "symbol": "BTCUSDT", "price": p, "size": "1", "side": "Buy", "time": "1669191277315", "isBlockTrade": False}
    for p, i in reversed(SUITE)
]
bybit.publicGetV5MarketRecentTrade = lambda _: {"retCode": 0, "retMsg": "OK", "result": {"category": "linear", "list": reponse}}
agreges = [
    {"a": n, "p": p, "q": "1", "f": n, "l": n, "T": 1669191277315, "m": False, "M": True}
    for n, p in ((999_999_998, "100"), (999_999_999, "101"), (1_000_000_000, "102"))
]
binance.publicGetAggTrades = lambda _: agreges
vus = {
    "bybit": [trade["price"] for trade in bybit.fetch_trades("BTC/USDT:USDT")],
    "binance": [trade["price"] for trade in binance.fetch_trades("BTC/USDT")],
}
clotures = {nom: (bybit if nom == "bybit" else binance).build_ohlcvc(
    [{"timestamp": 1669191277315, "price": p, "amount": 1.0} for p in prix], "1m")[0][4] for nom, prix in vus.items()}
print(f"ccxt {ccxt.__version__} : échangés à 100, 101, puis 102 ; rendus {vus} ; clôture de la bougie : {clotures}")
sys.exit(vus != {"bybit": [101, 102, 100], "binance": [102, 100, 101]} or clotures != {"bybit": 100, "binance": 101})
PY
