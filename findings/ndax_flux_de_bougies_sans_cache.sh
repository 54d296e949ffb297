#!/usr/bin/env bash
# ccxt 4.5.90 (ccxt.pro), Python 3.11.
# Supposé avant l'essai : la classe range chaque bougie reçue au timeframe demandé, dans le cache que toutes les classes pro emploient.
# Vu : ndax range la bougie d'une trame sous tous ses timeframes à la fois, sans ramener son heure au début de chacun (10:07 en « 1h »),
# et dans des listes ordinaires : watch_ohlcv leur demande ensuite `getLimit`, qu'une liste n'a pas. Avec le réglage d'office
# (newUpdates vrai), chaque appel lève AttributeError dès la première bougie.
set -euo pipefail
dossier="$(mktemp -d)"
trap 'rm -rf "$dossier"' EXIT
python3 -m venv "$dossier/venv"
"$dossier/venv/bin/pip" install -q "ccxt==4.5.90"
"$dossier/venv/bin/python" - <<'PY'
import asyncio
import sys

import ccxt.pro

DIX_HEURES_SEPT = 1608286020000
TRAME = {"m": 1, "i": 1, "n": "SubscribeTicker",
         "o": [[DIX_HEURES_SEPT, 23113.52, 23070.88, 23075.76, 23075.39, 162.44964, 23075.38, 23075.39, 8, 1608285960000]]}


class Lu:
    """Le client de la classe, réduit à ce qu'elle en appelle : rendre ce qui est reçu."""

    def __init__(self) -> None:
        self.rendus: dict[str, object] = {}

    def resolve(self, donnee: object, quoi: str) -> None:
        self.rendus[quoi] = donnee


async def essayer() -> tuple[set[str], str, object]:
    ndax = ccxt.pro.ndax()
    marche = {"id": "8", "symbol": "BTC/CAD", "base": "BTC", "quote": "CAD", "type": "spot", "spot": True, "active": True}
    ndax.set_markets([ndax.safe_market_structure(marche)])
    lu = Lu()
    ndax.handle_ohlcv(lu, TRAME)

    async def recu(_url: str, quoi: str, *_reste: object) -> object:
        return lu.rendus[quoi]

    ndax.watch = recu
    try:
        dit = str(await ndax.watch_ohlcv("BTC/CAD", "1h"))
    except AttributeError as erreur:
        dit = str(erreur)
    await ndax.close()
    return {nom for nom, rangees in ndax.ohlcvs["BTC/CAD"].items() if rangees}, dit, ndax.ohlcvs["BTC/CAD"]["1h"][0][0]


ranges, dit, heure = asyncio.run(essayer())
print(f"ccxt {ccxt.__version__} : une trame rangée sous {len(ranges)} timeframes ; en 1h, à {ccxt.Exchange.iso8601(heure)} ; {dit}")
sys.exit(not ({"1m", "1h", "1d"} <= ranges and heure == DIX_HEURES_SEPT and dit == "'list' object has no attribute 'getLimit'"))
PY
