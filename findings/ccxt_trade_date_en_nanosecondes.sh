#!/usr/bin/env bash
# ccxt 4.5.90, Python 3.11.
# Supposé avant l'essai : un entier, ou un texte de chiffres, lu par safe_integer en ressort tel quel ; divisé par un million, un
# instant en nanosecondes donne sa milliseconde.
# Vu : safe_integer passe par un flottant, qui n'a que seize chiffres des dix-neuf. Une milliseconde entière (le `ts` de kucoin)
# tombe parfois juste au-dessous d'elle-même, et la division tronque : un trade sur huit est daté une milliseconde trop tôt, par
# REST comme par WebSocket. Ceux dont l'instant n'est pas rond sont presque tous justes, et ne le laissent pas voir.
set -euo pipefail
dossier="$(mktemp -d)"
trap 'rm -rf "$dossier"' EXIT
python3 -m venv "$dossier/venv"
"$dossier/venv/bin/pip" install -q "ccxt==4.5.90"
"$dossier/venv/bin/python" - <<'PY'
import asyncio
import random
import sys
from types import SimpleNamespace

import ccxt
import ccxt.pro

BRUT = {"symbol": "BTC-USDT", "side": "buy", "size": "1", "price": "90000.0", "tradeId": "1", "type": "match"}
hasard = random.Random(1)
ronds = [10**6 * (1_700_000_000_000 + hasard.randrange(10**11)) for _ in range(2000)]
quelconques = [instant + hasard.randrange(10**6) for instant in ronds]


def ecarts(dater, instants: list[int]) -> list[int]:
    return [dater(instant) - instant // 10**6 for instant in instants]


def preparer(kucoin):
    kucoin.set_markets([kucoin.safe_market_structure({"id": "BTC-USDT", "symbol": "BTC/USDT", "base": "BTC", "quote": "USDT",
                                                      "spot": True, "type": "spot", "active": True})])
    return kucoin


async def par_websocket() -> list[int]:
    kucoin = preparer(ccxt.pro.kucoin())
    recus: list[int] = []
    client = SimpleNamespace(resolve=lambda cache, _: recus.append(cache[-1]["timestamp"]))

    def dater(instant: int) -> int:
        kucoin.handle_trade(client, {"data": {**BRUT, "time": str(instant)}, "subject": "trade.l3match"})
        return recus[-1]

    try:
        return ecarts(dater, ronds)
    finally:
        await kucoin.close()


rest = preparer(ccxt.kucoin())
vus = {
    "REST, ms entières": ecarts(lambda instant: rest.parse_trade({**BRUT, "ts": instant})["timestamp"], ronds),
    "WebSocket, ms entières": asyncio.run(par_websocket()),
    "REST, instants quelconques": ecarts(lambda instant: rest.parse_trade({**BRUT, "ts": instant})["timestamp"], quelconques),
}
for quoi, ecart in vus.items():
    print(f"ccxt {ccxt.__version__} : {quoi} : {sum(e == -1 for e in ecart)} trades sur {len(ecart)} datés une ms trop tôt")
*entiers, autres = vus.values()
huitieme = all(set(ecart) == {0, -1} and 200 < sum(e == -1 for e in ecart) < 300 for ecart in entiers)
sys.exit(not (huitieme and sum(map(abs, autres)) < 20))
PY
