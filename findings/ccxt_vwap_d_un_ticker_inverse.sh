#!/usr/bin/env bash
# ccxt 4.5.90, Python 3.11.
# On supposerait : d'un ticker de contrat inverse, baseVolume est en monnaie de base, et vwap est un prix.
# Vu : bybit met dans baseVolume les contrats (des dollars) et dans quoteVolume des bitcoins ; ccxt en fait lui-même un vwap, leur quotient :
# 0.00006 pour un marché à 16 597. okx y met des contrats de 100 dollars. De binance, la même classe de champs est en monnaie de base.
# Un vwap hors de [low, high] n'est pas un prix moyen : la colonne est laissée vide ici.
set -euo pipefail
dossier="$(mktemp -d)"
trap 'rm -rf "$dossier"' EXIT
python3 -m venv "$dossier/venv"
"$dossier/venv/bin/pip" install -q "ccxt==4.5.90"
"$dossier/venv/bin/python" - <<'PY'
import sys

import ccxt


def ticker(nom: str, propre: dict[str, object], brut: dict[str, str]) -> dict[str, object]:
    exchange = getattr(ccxt, nom)()
    marche = {"symbol": "BTC/USD:BTC", "base": "BTC", "quote": "USD", "settle": "BTC", "type": "swap", "swap": True, "contract": True,
              "linear": False, "inverse": True, "spot": False, "active": True, **propre}
    exchange.set_markets([exchange.safe_market_structure(marche)])
    return exchange.parse_ticker(brut, exchange.market("BTC/USD:BTC"))


bybit = ticker("bybit", {"id": "BTCUSD", "contractSize": 1}, {
    "symbol": "BTCUSD", "lastPrice": "16597.00", "highPrice24h": "16700.00", "lowPrice24h": "16400.00", "prevPrice24h": "16464.50",
    "turnover24h": "7465.2", "volume24h": "123894000",
})
okx = ticker("okx", {"id": "BTC-USD-SWAP", "contractSize": 100}, {
    "instType": "SWAP", "instId": "BTC-USD-SWAP", "last": "56956.1", "open24h": "55926", "high24h": "57641.1", "low24h": "54570.1",
    "vol24h": "6830000", "volCcy24h": "12005.5", "ts": "1620289117764",
})
binance = ticker("binance", {"id": "BTCUSD_PERP", "contractSize": 100}, {
    "symbol": "BTCUSD_PERP", "pair": "BTCUSD", "lastPrice": "9814.3", "openPrice": "9685.0", "highPrice": "9878.5", "lowPrice": "9642.3",
    "weightedAvgPrice": "9785.94187619", "volume": "72968", "baseVolume": "745.64", "closeTime": 1591267704450,
})
for nom, dit in (("bybit", bybit), ("okx", okx), ("binance", binance)):
    print(f"ccxt {ccxt.__version__}, {nom} : base {dit['baseVolume']}, quote {dit['quoteVolume']}, vwap {dit['vwap']}, last {dit['last']}")
vwap = bybit["vwap"]
sys.exit(not (bybit["baseVolume"] == 123894000.0 and bybit["quoteVolume"] == 7465.2 and vwap is not None and vwap < 0.001
              and okx["baseVolume"] == 6830000.0 and binance["baseVolume"] == 745.64))
PY
