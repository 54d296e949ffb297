#!/usr/bin/env bash
# ccxt 4.5.90 (ccxt.pro), Python 3.11.
# Supposé avant l'essai : un trade, le même identifiant et les mêmes champs, a le même instant par `fetch_trades` et par `watch_trades`.
# Vu : chez poloniex, la trame porte `createTime` et `ts`, comme la ligne du REST ; la classe lit `ts` en REST, `createTime` dans le flux.
# Chez upbit, elle lit la trame comme une ligne du REST : `timestamp` y est l'instant de l'envoi, et non `trade_timestamp`, celui du
# trade. À la fin d'une minute, le même trade est d'un côté dans une bougie, de l'autre dans la suivante.
set -euo pipefail
dossier="$(mktemp -d)"
trap 'rm -rf "$dossier"' EXIT
python3 -m venv "$dossier/venv"
"$dossier/venv/bin/pip" install -q "ccxt==4.5.90"
"$dossier/venv/bin/python" - <<'PY'
import sys
from types import SimpleNamespace

import ccxt
import ccxt.pro

MINUTE = 1_700_000_040_000  # une minute entière
client = SimpleNamespace(resolve=lambda *_: None)


def instants(nom, identifiant, symbole, rest, recevoir, trame):
    """L'instant du même trade, lu du REST puis du flux."""
    api = getattr(ccxt.pro, nom)()
    base, cotation = symbole.split("/")
    marche = {"id": identifiant, "symbol": symbole, "base": base, "quote": cotation, "type": "spot", "spot": True, "active": True}
    api.set_markets([api.safe_market_structure(marche)])
    recevoir(api)(client, trame)
    return api.parse_trade(rest, api.market(symbole))["timestamp"], api.trades[symbole][-1]["timestamp"]


trade = {"symbol": "BTC_USDT", "id": "1", "price": "100", "quantity": "1", "amount": "100", "takerSide": "buy"}
trade |= {"createTime": MINUTE - 2, "ts": MINUTE + 3}
poloniex = instants("poloniex", "BTC_USDT", "BTC/USDT", trade, lambda api: api.handle_trade, {"channel": "trades", "data": [trade]})
commun = {"trade_price": 100, "trade_volume": 1, "ask_bid": "BID", "sequential_id": 1}
upbit = instants(
    "upbit", "KRW-BTC", "BTC/KRW", {**commun, "market": "KRW-BTC", "timestamp": MINUTE - 2}, lambda api: api.handle_trades,
    {**commun, "type": "trade", "code": "KRW-BTC", "trade_timestamp": MINUTE - 2, "timestamp": MINUTE + 900},
)  # fmt: skip
for nom, (rest, flux) in {"poloniex": poloniex, "upbit": upbit}.items():
    minutes = ["la suivante" if instant >= MINUTE else "sa minute" for instant in (rest, flux)]
    print(f"ccxt {ccxt.__version__}, {nom} : REST {rest - MINUTE:+d} ms ({minutes[0]}), flux {flux - MINUTE:+d} ms ({minutes[1]})")
sys.exit((poloniex, upbit) != ((MINUTE + 3, MINUTE - 2), (MINUTE - 2, MINUTE + 900)))
PY
