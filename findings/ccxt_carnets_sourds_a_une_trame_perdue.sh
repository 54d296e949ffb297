#!/usr/bin/env bash
# ccxt 4.5.90 (ccxt.pro), Python 3.11.
# Supposé avant l'essai : d'une mise à jour de carnet dont la précédente n'est pas venue, la classe lève ChecksumError et reprend
# le carnet, comme le font celles de binance ou d'okx ; bybit et deribit numérotent leurs trames pour cela (`u`, `prev_change_id`).
# Vu : ces deux classes ne lisent pas ce numéro. Elles appliquent la suite à un carnet faux, sans erreur, et le gardent : ici croisé
# (demande 103 au-dessus de l'offre 101, que la trame perdue retirait). Rien n'en reste à lire : le `nonce` rendu est vide chez
# bybit, et chez deribit, c'est l'instant de la trame.
set -euo pipefail
dossier="$(mktemp -d)"
trap 'rm -rf "$dossier"' EXIT
python3 -m venv "$dossier/venv"
"$dossier/venv/bin/pip" install -q "ccxt==4.5.90"
"$dossier/venv/bin/python" - <<'PY'
import sys

import ccxt
import ccxt.pro

INSTANT = 1_700_000_000_000
# Une trame entière, une mise à jour, puis la quatrième : la troisième, perdue, retirait l'offre à 101.
SUITE = ((1, [[99, 1]], [[101, 1], [105, 1]]), (2, [[98, 2]], []), (4, [[103, 1]], []))


def de_bybit(numero: int, demandes: list, offres: list) -> dict:
    en_texte = ([[str(valeur) for valeur in niveau] for niveau in cote] for cote in (demandes, offres))
    donnees = dict(zip(("b", "a"), en_texte), s="BTCUSDT", u=numero, seq=numero)
    return {"topic": "orderbook.50.BTCUSDT", "type": "delta" if numero > 1 else "snapshot", "ts": INSTANT, "data": donnees}


def de_deribit(numero: int, demandes: list, offres: list) -> dict:
    cotes = {nom: [["new", *niveau] for niveau in cote] for nom, cote in (("bids", demandes), ("asks", offres))}
    suivi = {"type": "change", "prev_change_id": numero - 1} if numero > 1 else {"type": "snapshot"}
    donnees = {"timestamp": INSTANT, "instrument_name": "BTC-PERPETUAL", "change_id": numero, **suivi, **cotes}
    return {"method": "subscription", "params": {"channel": "book.BTC-PERPETUAL.100ms", "data": donnees}}


class Client:
    """Ce que les classes appellent de leur client."""

    url, subscriptions = "wss://stream.bybit.com/v5/public/spot", {}

    def resolve(self, *_: object) -> None: ...


def suivre(nom: str, marche: dict, trame) -> tuple[float, float, int | None]:
    api = getattr(ccxt.pro, nom)()
    api.set_markets([api.safe_market_structure({"base": "BTC", "active": True, **marche})])
    for numero, demandes, offres in SUITE:
        api.handle_message(Client(), trame(numero, demandes, offres))
    carnet = api.orderbooks[marche["symbol"]]
    return carnet["bids"][0][0], carnet["asks"][0][0], carnet["nonce"]


contrat = {"type": "swap", "swap": True, "contract": True, "inverse": True, "settle": "BTC", "contractSize": 10}
vus = {
    "bybit": suivre("bybit", {"id": "BTCUSDT", "symbol": "BTC/USDT", "quote": "USDT", "type": "spot", "spot": True}, de_bybit),
    "deribit": suivre("deribit", {"id": "BTC-PERPETUAL", "symbol": "BTC/USD:BTC", "quote": "USD", **contrat}, de_deribit),
}
for nom, (demande, offre, nonce) in vus.items():
    print(f"ccxt {ccxt.__version__}, {nom} : aucune erreur ; demande {demande:g}, offre {offre:g}, nonce {nonce}")
sys.exit(vus != {"bybit": (103, 101, None), "deribit": (103, 101, INSTANT)})
PY
