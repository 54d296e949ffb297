"""Les mêmes trades, bougies et tickers dans la forme brute de chaque exchange, au flux et en REST : l'oracle est un.

Les formes sont celles que citent les classes de ccxt 4.5.90 et les documentations publiques.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import ccxt
from ecoute_rejouee import Rejoue

if TYPE_CHECKING:
    from collections.abc import Callable

Objet = dict[str, Any]
INSTANT = 1_700_000_000_000
_JETON = {"/bullet-public": {"code": "200000", "data": {"token": "jeton", "instanceServers": [
    {"endpoint": "{ws}/ws", "protocol": "websocket", "encrypt": False, "pingInterval": 18000,
     "pingTimeout": 10000}]}}}  # fmt: skip


def en_iso(ms: int) -> str:
    """En ISO 8601, UTC, toujours à la ms."""
    return str(ccxt.Exchange.iso8601(ms))


class T(NamedTuple):
    """Un trade, tel qu'il eut lieu."""

    ms: int
    id: int
    achat: bool  # le preneur achète
    prix: str
    quantite: str

    @property
    def s(self) -> int:
        """En secondes."""
        return self.ms // 1000

    @property
    def iso(self) -> str:
        """En ISO 8601, UTC."""
        return en_iso(self.ms)

    @property
    def heure_de_shanghai(self) -> str:
        """Sans fuseau, à l'heure de Shanghai."""
        return en_iso(self.ms + 8 * 3_600_000).removesuffix("Z")

    @property
    def sens(self) -> str:
        """Celui du preneur."""
        return "buy" if self.achat else "sell"

    @property
    def cout(self) -> str:
        """Prix fois quantité."""
        return str(float(self.prix) * float(self.quantite))

    @property
    def uuid(self) -> str:
        """Un identifiant qui n'est pas une séquence."""
        return f"993f7f85-9215-5723-9078-2186ae{self.id:06d}"


TRADES = [
    T(INSTANT + 123, 70_001, True, "100.5", "0.25"),
    T(INSTANT + 123, 70_002, True, "100.5", "0.25"),  # le jumeau du premier
    T(INSTANT + 2_456, 70_003, False, "100.25", "0.5"),
]


class Forme(NamedTuple):
    """Comment un exchange dit un trade dans son flux (une trame), et les mêmes en REST (une réponse)."""

    exchange: Rejoue
    flux: Callable[[T], Any]
    rest: Callable[[list[T]], Any] | None = None
    grain_ms: int = 1  # le flux ne dit pas mieux
    grain_rest_ms: int = 1


def _orderly(nom: str) -> Forme:
    return Forme(
        Rejoue(nom, "PERP_AAA_BBB", "swap.linear"),
        lambda t: {"topic": "PERP_AAA_BBB@trade", "ts": t.ms, "data": {
            "symbol": "PERP_AAA_BBB", "price": float(t.prix), "size": float(t.quantite), "side": t.sens.upper()}},
        lambda ts: {"success": True, "timestamp": INSTANT, "data": {"rows": [{
            "symbol": "PERP_AAA_BBB", "side": t.sens.upper(), "executed_price": float(t.prix),
            "executed_quantity": float(t.quantite), "executed_timestamp": t.ms} for t in ts]}},
    )  # fmt: skip


def _bhex(nom: str, m_de: Callable[[T], bool]) -> Forme:
    return Forme(
        Rejoue(nom, "AAABBB"),
        lambda t: {"symbol": "AAABBB", "symbolName": "AAABBB", "topic": "trade", "params": {}, "data": [
            {"v": str(t.id), "t": t.ms, "p": t.prix, "q": t.quantite, "m": m_de(t)}], "f": False, "sendTime": t.ms},
        lambda ts: [{"t": str(t.ms), "p": t.prix, "q": t.quantite, "ibm": not t.achat} for t in ts],
    )  # fmt: skip


def _huobi(nom: str) -> Forme:
    def un(t: T, cle: str) -> Objet:
        # Plus long qu'un entier de 64 bits : celui de la trame, qui n'est pas celui du trade.
        return {"id": 10**22 + t.id, "ts": t.ms, cle: t.id, "amount": float(t.quantite), "price": float(t.prix),
                "direction": t.sens}  # fmt: skip

    return Forme(
        Rejoue(nom, "aaabbb", comprime=True),
        lambda t: {"ch": "market.aaabbb.trade.detail", "ts": t.ms, "tick": {
            "id": 1, "ts": t.ms, "data": [un(t, "tradeId")]}},
        lambda ts: {"status": "ok", "ch": "market.aaabbb.trade.detail", "ts": INSTANT, "data": [
            {"id": 1, "ts": t.ms, "data": [un(t, "trade-id")]} for t in ts]},
    )  # fmt: skip


FORMES = [
    Forme(
        Rejoue("apex", "AAABBB", "swap.linear", marche={"id2": "AAABBB"}),
        lambda t: {"topic": "recentlyTrade.H.AAABBB", "type": "snapshot", "ts": t.ms, "data": [
            {"T": t.ms, "s": "AAABBB", "S": t.sens.title(), "v": t.quantite, "p": t.prix, "i": t.uuid}]},
        lambda ts: {"data": [{"i": t.uuid, "p": t.prix, "S": t.sens.title(), "v": t.quantite, "s": "AAABBB",
                              "T": t.ms} for t in ts]},
    ),
    Forme(
        Rejoue("aster", "AAABBB", "swap.linear"),
        lambda t: {"e": "aggTrade", "E": t.ms, "a": t.id - 9, "s": "AAABBB", "p": t.prix, "q": t.quantite, "f": t.id,
                   "l": t.id, "T": t.ms, "m": not t.achat},
        lambda ts: [{"id": t.id, "price": t.prix, "qty": t.quantite, "quoteQty": t.cout, "time": t.ms,
                     "isBuyerMaker": not t.achat} for t in ts],
    ),
    Forme(
        Rejoue("backpack", "AAA_BBB"),
        lambda t: {"stream": "trade.AAA_BBB", "data": {
            "E": str(t.ms * 1000 + 5_000), "T": str(t.ms * 1000), "a": "5", "b": "6", "e": "trade", "m": not t.achat,
            "p": t.prix, "q": t.quantite, "s": "AAA_BBB", "t": t.id}},
        lambda ts: [{"id": t.id, "isBuyerMaker": not t.achat, "price": t.prix, "quantity": t.quantite,
                     "quoteQuantity": t.cout, "timestamp": t.ms} for t in ts],
    ),
    Forme(
        Rejoue("bingx", "AAA-BBB"),
        lambda t: {"code": 0, "dataType": "AAA-BBB@trade", "success": True, "data": {
            "E": t.ms + 9, "T": t.ms, "e": "trade", "m": not t.achat, "p": t.prix, "q": t.quantite, "s": "AAA-BBB",
            "t": str(t.id)}},
        lambda ts: {"code": 0, "data": [{"id": t.id, "price": float(t.prix), "qty": float(t.quantite), "time": t.ms,
                                         "buyerMaker": not t.achat} for t in ts]},
    ),
    Forme(
        Rejoue("bingx", "AAA-BBB", "swap.linear"),
        lambda t: {"code": 0, "dataType": "AAA-BBB@trade", "data": [
            {"q": t.quantite, "p": t.prix, "T": t.ms, "m": not t.achat, "s": "AAA-BBB"}]},
        lambda ts: {"code": 0, "msg": "", "data": [{"time": t.ms, "isBuyerMaker": not t.achat, "price": t.prix,
                                                    "qty": t.quantite, "quoteQty": t.cout} for t in ts]},
    ),
    _huobi("bittrade"),
    _huobi("htx"),
    Forme(
        Rejoue("bitvavo", "AAA-BBB"),
        lambda t: {"event": "trade", "timestamp": t.ms, "market": "AAA-BBB", "id": t.uuid, "amount": t.quantite,
                   "price": t.prix, "side": t.sens},
        lambda ts: [{"timestamp": t.ms, "id": t.uuid, "amount": t.quantite, "price": t.prix, "side": t.sens}
                    for t in ts],
    ),
    Forme(
        Rejoue("bitrue", "E-AAA-BBB", "swap.linear", marche={"contractSize": 0.01}),
        lambda t: {"event_rep": "", "channel": "market_e_aaabbb_trade_ticker", "ts": t.ms, "status": "ok", "tick": {
            "data": [{"amount": "1", "ds": "2024-07-23 22:03:11", "price": t.prix, "side": t.sens.upper(), "ts": t.ms,
                      "vol": str(float(t.quantite) * 100)}]}},
    ),
    Forme(
        Rejoue("blockchaincom", "AAA-BBB"),
        lambda t: {"seqnum": 1, "event": "updated", "channel": "trades", "symbol": "AAA-BBB", "timestamp": t.iso,
                   "side": t.sens, "qty": float(t.quantite), "price": float(t.prix), "trade_id": str(t.id)},
    ),
    Forme(
        Rejoue("blofin", "AAA-BBB", "swap.linear"),
        lambda t: {"arg": {"channel": "trades", "instId": "AAA-BBB"}, "data": [
            {"tradeId": str(t.id), "instId": "AAA-BBB", "price": t.prix, "size": t.quantite, "side": t.sens,
             "ts": str(t.ms)}]},
        lambda ts: {"code": "0", "data": [{"tradeId": str(t.id), "instId": "AAA-BBB", "price": t.prix,
                                           "size": t.quantite, "side": t.sens, "ts": str(t.ms)} for t in ts]},
    ),
    Forme(
        Rejoue("bullish", "AAABBB"),
        lambda t: {"type": "update", "dataType": "V1TAAnonymousTradeUpdate", "data": {
            "symbol": "AAABBB", "createdAtTimestamp": str(t.ms), "publishedAtTimestamp": str(t.ms + 9), "trades": [
                {"tradeId": str(t.id), "isTaker": True, "price": t.prix, "createdAtTimestamp": str(t.ms),
                 "quantity": t.quantite, "publishedAtTimestamp": str(t.ms + 9), "side": t.sens.upper(),
                 "createdAtDatetime": t.iso, "symbol": "AAABBB"}]}},
        lambda ts: [{"tradeId": str(t.id), "symbol": "AAABBB", "price": t.prix, "quantity": t.quantite,
                     "quoteAmount": t.cout, "side": t.sens.upper(), "isTaker": True, "createdAtTimestamp": str(t.ms),
                     "createdAtDatetime": t.iso} for t in ts],
    ),
    Forme(
        Rejoue("coinbaseexchange", "AAA-BBB"),
        lambda t: {"type": "match", "trade_id": t.id, "maker_order_id": "m", "taker_order_id": "t",
                   "side": "sell" if t.achat else "buy", "size": t.quantite, "price": t.prix, "product_id": "AAA-BBB",
                   "sequence": 1, "time": t.iso},
        lambda ts: [{"trade_id": str(t.id), "side": "sell" if t.achat else "buy", "size": t.quantite, "price": t.prix,
                     "time": t.iso} for t in ts],
    ),
    Forme(
        Rejoue("coincheck", "aaa_bbb"),
        lambda t: [[str(t.s), str(t.id), "aaa_bbb", t.prix, t.quantite, t.sens, "1", "2"]],
        lambda ts: {"success": True, "data": [{
            "id": str(t.id), "amount": t.quantite, "rate": t.prix, "pair": "aaa_bbb", "order_type": t.sens,
            "created_at": en_iso(t.s * 1000)} for t in ts]},
        grain_ms=1000,
    ),
    Forme(
        Rejoue("coinone", "AAA"),
        lambda t: {"response_type": "DATA", "channel": "TRADE", "data": {
            "quote_currency": "BBB", "target_currency": "AAA", "id": str(t.id), "timestamp": t.ms, "price": t.prix,
            "qty": t.quantite, "is_seller_maker": not t.achat}},
        lambda ts: {"result": "success", "error_code": "0", "transactions": [{
            "id": str(t.id), "timestamp": t.ms, "price": t.prix, "qty": t.quantite,
            "is_seller_maker": not t.achat} for t in ts]},
    ),
    Forme(
        Rejoue("cryptocom", "AAA_BBB"),
        lambda t: {"code": 0, "method": "subscribe", "result": {
            "instrument_name": "AAA_BBB", "subscription": "trade.AAA_BBB", "channel": "trade", "data": [
                {"dataTime": t.ms + 1, "d": str(t.id), "s": t.sens.upper(), "p": t.prix, "q": t.quantite, "t": t.ms,
                 "i": "AAA_BBB"}]}},
        lambda ts: {"code": 0, "result": {"data": [{
            "s": t.sens.upper(), "p": t.prix, "q": t.quantite, "t": t.ms, "d": str(t.id), "i": "AAA_BBB"}
            for t in ts]}},
    ),
    Forme(
        Rejoue("deepcoin", "AAA-BBB"),
        lambda t: {"a": "PMT", "b": 0, "tt": t.ms, "mt": t.ms, "r": [{"d": {
            "TradeID": str(t.id), "I": "AAA/BBB", "D": "0" if t.achat else "1", "P": float(t.prix),
            "V": float(t.quantite), "T": t.s}}]},
        lambda ts: {"code": "0", "data": [{"instId": "AAA-BBB", "tradeId": str(t.id), "px": t.prix, "sz": t.quantite,
                                           "side": t.sens, "ts": str(t.s * 1000)} for t in ts]},
        grain_ms=1000,
    ),
    Forme(
        Rejoue("derive", "AAA-PERP", "swap.linear"),
        lambda t: {"method": "subscription", "params": {"channel": "trades.AAA-PERP", "data": [
            {"trade_id": t.uuid, "instrument_name": "AAA-PERP", "timestamp": t.ms, "trade_price": t.prix,
             "trade_amount": t.quantite, "mark_price": "1", "index_price": "1", "direction": t.sens}]}},
        lambda ts: {"id": "1", "result": {"trades": [
            {"trade_id": t.uuid, "instrument_name": "AAA-PERP", "timestamp": t.ms, "trade_price": t.prix,
             "trade_amount": t.quantite, "direction": t.sens if role == "taker" else "x", "liquidity_role": role}
            for t in ts for role in ("maker", "taker")], "pagination": {}}},
    ),
    Forme(
        Rejoue("dydx", "AAA-BBB", "swap.linear"),
        lambda t: {"type": "channel_data", "connection_id": "c", "message_id": 3, "id": "AAA-BBB",
                   "channel": "v4_trades", "version": "1.0", "contents": {"trades": [
                       {"id": t.uuid, "side": t.sens.upper(), "size": t.quantite, "price": t.prix, "type": "LIMIT",
                        "createdAt": t.iso, "createdAtHeight": "1"}]}},
        lambda ts: {"trades": [{"id": t.uuid, "side": t.sens.upper(), "size": t.quantite, "price": t.prix,
                                "type": "LIMIT", "createdAt": t.iso, "createdAtHeight": "1"} for t in ts]},
    ),
    Forme(
        Rejoue("extended", "AAA-BBB", "swap.linear", envoie_d_abord=True),
        lambda t: {"ts": t.ms, "seq": t.id, "data": [
            {"m": "AAA-BBB", "S": t.sens.upper(), "tT": "TRADE", "T": t.ms, "p": t.prix, "q": t.quantite,
             "i": 2_049_676_905_958_800_000 + t.id}]},
        lambda ts: {"status": "OK", "data": [{
            "i": 2_049_676_905_958_800_000 + t.id, "m": "AAA-BBB", "S": t.sens.upper(), "tT": "TRADE", "T": t.ms,
            "p": t.prix, "q": t.quantite} for t in ts]},
    ),
    Forme(
        Rejoue("gemini", "aaabbb", envoie_d_abord=True),
        lambda t: {"type": "trade", "symbol": "AAABBB", "event_id": t.id, "timestamp": t.ms, "price": t.prix,
                   "quantity": t.quantite, "side": t.sens},
        lambda ts: [{"timestamp": t.s, "timestampms": t.ms, "tid": t.id, "price": t.prix, "amount": t.quantite,
                     "exchange": "gemini", "type": t.sens} for t in ts],
    ),
    Forme(
        Rejoue("grvt", "AAA_BBB_Perp", "swap.linear"),
        lambda t: {"stream": "v1.trade", "selector": "AAA_BBB_Perp@50", "sequence_number": "0", "feed": {
            "event_time": str(t.ms * 10**6 + 164_798), "instrument": "AAA_BBB_Perp", "is_taker_buyer": t.achat,
            "size": t.quantite, "price": t.prix, "trade_id": f"{t.id}-19", "venue": "ORDERBOOK"}},
        lambda ts: {"next": "", "result": [{
            "event_time": str(t.ms * 10**6 + 164_798), "instrument": "AAA_BBB_Perp", "is_taker_buyer": t.achat,
            "size": t.quantite, "price": t.prix, "trade_id": f"{t.id}-19", "venue": "ORDERBOOK"} for t in ts]},
    ),
    _bhex("hashkey", lambda t: not t.achat),
    _bhex("toobit", lambda t: t.achat),
    Forme(
        Rejoue("hitbtc", "AAABBB"),
        lambda t: {"ch": "trades", "update": {"AAABBB": [
            {"t": t.ms, "i": t.id, "p": t.prix, "q": t.quantite, "s": t.sens}]}},
        lambda ts: [{"id": t.id, "price": t.prix, "qty": t.quantite, "side": t.sens, "timestamp": t.iso} for t in ts],
    ),
    Forme(
        Rejoue("hollaex", "aaa-bbb"),
        lambda t: {"topic": "trade", "action": "insert", "symbol": "aaa-bbb", "data": [
            {"size": float(t.quantite), "price": float(t.prix), "side": t.sens, "timestamp": t.iso}]},
        lambda ts: {"aaa-bbb": [{"size": float(t.quantite), "price": float(t.prix), "side": t.sens,
                                 "timestamp": t.iso} for t in ts]},
    ),
    Forme(
        Rejoue("independentreserve", "Aaa/Bbb", envoie_d_abord=True),
        lambda t: {"Channel": "ticker-aaa-bbb", "Nonce": 1, "Time": t.ms, "Event": "Trade", "Data": {
            "TradeGuid": t.uuid, "Pair": "aaa-bbb",
            "TradeDate": en_iso(t.ms + 11 * 3_600_000).removesuffix("Z") + "0489+11:00", "Price": float(t.prix),
            "Volume": float(t.quantite), "BidGuid": "b", "OfferGuid": "o", "Side": t.sens.title()}},
    ),
    Forme(
        Rejoue("krakenfutures", "PF_AAABBB", "swap.linear",
            repondre=lambda d: [{"event": "subscribed", "feed": "trade", "product_ids": d["product_ids"]}]),
        lambda t: {"feed": "trade", "product_id": "PF_AAABBB", "uid": t.uuid, "side": t.sens, "type": "fill", "seq": 1,
                   "time": t.ms, "qty": float(t.quantite), "price": float(t.prix)},
    ),
    Forme(
        Rejoue("kucoin", "AAA-BBB", chemins=_JETON,
            repondre=lambda d: [{"id": d["id"], "type": "ack"}] if d["type"] == "subscribe" else []),
        lambda t: {"type": "message", "topic": "/market/match:AAA-BBB", "subject": "trade.l3match", "data": {
            "sequence": str(t.id), "symbol": "AAA-BBB", "side": t.sens, "size": t.quantite, "price": t.prix,
            "takerOrderId": "t", "time": str(t.ms * 10**6 + 443_257), "type": "match", "makerOrderId": "m",
            "tradeId": t.uuid}},
        lambda ts: {"code": "200000", "data": [{
            "sequence": str(t.id), "price": t.prix, "size": t.quantite, "side": t.sens,
            "time": t.ms * 10**6 + 443_257} for t in ts]},
    ),
    Forme(
        Rejoue("kucoin", "AAABBBM", "swap.linear", chemins=_JETON,
            repondre=lambda d: [{"id": d["id"], "type": "ack"}] if d["type"] == "subscribe" else []),
        lambda t: {"type": "message", "topic": "/contractMarket/execution:AAABBBM", "subject": "match", "data": {
            "makerUserId": "m", "symbol": "AAABBBM", "sequence": t.id, "side": t.sens, "size": float(t.quantite),
            "price": t.prix, "takerOrderId": "t", "makerOrderId": "m", "takerUserId": "t", "tradeId": t.uuid,
            "ts": t.ms * 10**6 + 443_257}},
        lambda ts: {"code": "200000", "data": [{
            "sequence": t.id, "tradeId": t.uuid, "takerOrderId": "t", "makerOrderId": "m", "price": t.prix,
            "size": float(t.quantite), "side": t.sens, "ts": t.ms * 10**6 + 443_257} for t in ts]},
    ),
    Forme(
        Rejoue("lbank", "aaa_bbb"),
        lambda t: {"trade": {"volume": float(t.quantite), "amount": float(t.cout), "price": float(t.prix),
                             "direction": t.sens + "_market", "TS": t.heure_de_shanghai},
                   "type": "trade", "pair": "aaa_bbb", "SERVER": "V2", "TS": t.heure_de_shanghai},
        lambda ts: {"result": "true", "error_code": 0, "ts": INSTANT, "data": [{
            "date_ms": t.ms, "amount": float(t.quantite), "price": float(t.prix), "type": t.sens,
            "tid": t.uuid} for t in ts]},
    ),
    Forme(
        Rejoue("lighter", "12", "swap.linear"),
        lambda t: {"channel": "trade:12", "liquidation_trades": [], "nonce": 1, "type": "update/trade", "trades": [
            {"trade_id": t.id, "tx_hash": "h", "type": "trade", "market_id": 12, "size": t.quantite, "price": t.prix,
             "usd_amount": t.cout, "is_maker_ask": t.achat, "timestamp": t.ms}]},
        lambda ts: {"code": 200, "trades": [{
            "trade_id": t.id, "tx_hash": "h", "type": "trade", "market_id": 12, "size": t.quantite, "price": t.prix,
            "usd_amount": t.cout, "ask_id": 1, "bid_id": 2, "ask_account_id": 3, "bid_account_id": 4,
            "is_maker_ask": t.achat, "timestamp": t.ms} for t in ts]},
    ),
    Forme(
        Rejoue("mexc", "AAA_BBB", "swap.linear"),
        lambda t: {"symbol": "AAA_BBB", "channel": "push.deal", "ts": t.ms, "data": [
            {"p": float(t.prix), "v": float(t.quantite), "T": 1 if t.achat else 2, "O": 3, "M": 2, "t": t.ms}]},
        lambda ts: {"success": True, "code": 0, "data": [{
            "p": float(t.prix), "v": float(t.quantite), "T": 1 if t.achat else 2, "O": 3, "M": 2, "t": t.ms}
            for t in ts]},
    ),
    _orderly("modetrade"),
    _orderly("woofipro"),
    Forme(
        Rejoue("woo", "SPOT_AAA_BBB"),
        lambda t: {"topic": "SPOT_AAA_BBB@trade", "ts": t.ms, "data": {
            "symbol": "SPOT_AAA_BBB", "price": float(t.prix), "size": float(t.quantite), "side": t.sens.upper(),
            "source": 0}},
        lambda ts: {"success": True, "timestamp": INSTANT, "data": {"rows": [{
            "symbol": "SPOT_AAA_BBB", "side": t.sens.upper(), "source": 0, "executedPrice": t.prix,
            "executedQuantity": t.quantite, "executedTimestamp": t.ms} for t in ts]}},
    ),
    Forme(
        Rejoue("nado", "2", "swap.linear", marche={"info": {"ticker_id": "AAA-PERP_BBB"}}),
        lambda t: {"type": "trade", "timestamp": str(t.ms * 10**6), "product_id": 2,
                   "price": f"{float(t.prix) * 10**18:.0f}", "taker_qty": f"{float(t.quantite) * 10**18:.0f}",
                   "maker_qty": f"{float(t.quantite) * 10**18:.0f}", "is_taker_buyer": t.achat},
        lambda ts: [{"product_id": 2, "ticker_id": "AAA-PERP_BBB", "trade_id": t.id, "price": float(t.prix),
                     "base_filled": float(t.quantite) * (1 if t.achat else -1), "quote_filled": float(t.cout),
                     "timestamp": t.s, "trade_type": t.sens} for t in ts],
        grain_rest_ms=1000,
    ),
    Forme(
        Rejoue("p2b", "AAA_BBB"),
        lambda t: {"method": "deals.update", "id": None, "params": ["AAA_BBB", [
            {"id": t.id, "amount": t.quantite, "type": t.sens, "time": t.ms / 1000, "price": t.prix}]]},
    ),
    Forme(
        Rejoue("pacifica", "AAA", "swap.linear"),
        lambda t: {"channel": "trades", "data": [
            {"h": t.id, "s": "AAA", "a": t.quantite, "p": t.prix, "d": "close_short" if t.achat else "open_short",
             "tc": "normal", "t": t.ms, "li": 1}]},
        lambda ts: {"success": True, "error": None, "code": None, "last_order_id": 1, "data": [{
            "event_type": "fulfill_taker", "price": t.prix, "amount": t.quantite,
            "side": "close_short" if t.achat else "open_short", "cause": "normal", "created_at": t.ms} for t in ts]},
    ),
    Forme(
        Rejoue("paradex", "AAA-BBB-PERP", "swap.linear"),
        lambda t: {"jsonrpc": "2.0", "method": "subscription", "params": {"channel": "trades.AAA-BBB-PERP", "data": {
            "id": str(t.id), "market": "AAA-BBB-PERP", "side": t.sens.upper(), "size": t.quantite, "price": t.prix,
            "created_at": t.ms, "trade_type": "FILL"}}},
        lambda ts: {"next": None, "prev": None, "results": [{
            "id": str(t.id), "market": "AAA-BBB-PERP", "side": t.sens.upper(), "size": t.quantite, "price": t.prix,
            "created_at": t.ms, "trade_type": "FILL"} for t in ts]},
    ),
    Forme(
        Rejoue("poloniex", "AAA_BBB"),
        lambda t: {"channel": "trades", "data": [
            {"symbol": "AAA_BBB", "amount": t.cout, "quantity": t.quantite, "takerSide": t.sens, "createTime": t.ms,
             "price": t.prix, "id": str(t.id), "ts": t.ms + 5}]},
        lambda ts: [{"id": str(t.id), "price": t.prix, "quantity": t.quantite, "amount": t.cout,
                     "takerSide": t.sens, "ts": t.ms + 7, "createTime": t.ms} for t in ts],
    ),
    Forme(
        Rejoue("polymarket", "1", "swap.linear"),
        lambda t: {"ch": "trades::1", "ts": t.ms + 9, "ets": t.ms + 8, "sq": 1, "data": {
            "tid": t.id, "iid": 1, "side": "long" if t.achat else "short", "p": t.prix, "qty": t.quantite, "ts": t.ms,
            "hash": "0x"}},
        lambda ts: {"more": False, "data": [{
            "trade_id": t.id, "instrument_id": 1, "side": "long" if t.achat else "short", "price": t.prix,
            "quantity": t.quantite, "timestamp": t.ms, "hash": "0x"} for t in ts]},
    ),
    Forme(
        Rejoue("weex", "AAABBB", "swap.linear"),
        lambda t: {"e": "trade", "E": t.ms + 9, "s": "AAABBB", "d": [
            {"T": t.ms, "t": t.uuid, "p": t.prix, "q": t.quantite, "v": t.cout, "m": not t.achat}]},
        lambda ts: [{"id": t.uuid, "price": t.prix, "qty": t.quantite, "quoteQty": t.cout, "time": t.ms,
                     "isBuyerMaker": not t.achat, "isBestMatch": True} for t in ts],
    ),
    Forme(
        Rejoue("whitebit", "AAA_BBB"),
        lambda t: {"method": "trades_update", "id": None, "params": ["AAA_BBB", [
            {"id": t.id, "time": t.ms / 1000, "price": t.prix, "amount": t.quantite, "type": t.sens}]]},
        lambda ts: [{"tradeID": t.id, "price": t.prix, "quote_volume": t.quantite, "base_volume": "1",
                     "trade_timestamp": t.s, "type": t.sens} for t in ts],
        grain_rest_ms=1000,
    ),
    Forme(
        Rejoue("xt", "aaa_bbb"),
        lambda t: {"topic": "trade", "event": "trade@aaa_bbb", "data": {
            "s": "aaa_bbb", "i": str(t.id), "t": t.ms, "p": t.prix, "q": t.quantite, "b": not t.achat}},
        lambda ts: {"rc": 0, "mc": "SUCCESS", "ma": [], "result": [
            {"i": str(t.id), "t": t.ms, "p": t.prix, "q": t.quantite, "v": "1", "b": not t.achat} for t in ts]},
    ),
    Forme(
        Rejoue("xt", "aaa_bbb", "swap.linear", marche={"contractSize": 0.01}),
        lambda t: {"topic": "trade", "event": "trade@aaa_bbb", "data": {
            "s": "aaa_bbb", "p": t.prix, "a": str(float(t.quantite) * 100), "m": "BID" if t.achat else "ASK",
            "t": t.ms}},
        lambda ts: {"returnCode": 0, "msgInfo": "success", "error": None, "result": [
            {"a": str(float(t.quantite) * 100), "m": "BID" if t.achat else "ASK", "p": t.prix, "s": "aaa_bbb",
             "t": t.ms} for t in ts]},
    ),
]  # fmt: skip


class B(NamedTuple):
    """Une bougie d'une minute."""

    ms: int
    o: str
    h: str
    l: str  # noqa: E741  comme les exchanges
    c: str
    v: str

    @property
    def fin(self) -> int:
        """La dernière ms."""
        return self.ms + 59_999

    @property
    def attendue(self) -> tuple[float, ...]:
        """Telle que le module doit la recevoir."""
        return (self.ms, *map(float, self[1:]))


BOUGIES = [B(INSTANT - 20_000, "100.5", "101.5", "99.5", "100.75", "12.5"),
           B(INSTANT + 40_000, "100.75", "102.5", "100.25", "101.25", "7.25")]  # fmt: skip


def _ohlcv(b: B, noms: str = "ohlcv", nombre: Any = str) -> Objet:
    return dict(zip(noms.split(",") if "," in noms else noms, map(nombre, b[1:]), strict=True))


def _kline_orderly(nom: str, marche_id: str, genre: str) -> tuple[Rejoue, Any]:
    return Rejoue(nom, marche_id, genre), lambda b: {"topic": f"{marche_id}@kline_1m", "ts": b.ms + 9, "data": {
        "symbol": marche_id, "type": "1m", "amount": 1.0, "startTime": b.ms, "endTime": b.ms + 60_000,
        **_ohlcv(b, "open,high,low,close,volume", float)}}


def _kline_bhex(nom: str) -> tuple[Rejoue, Any]:
    return Rejoue(nom, "AAABBB"), lambda b: {
        "symbol": "AAABBB", "symbolName": "AAABBB", "topic": "kline", "klineType": "1m", "f": False,
        "params": {"realtimeInterval": "24h", "klineType": "1m", "binary": "false"}, "sendTime": b.ms + 9,
        "data": [{"t": b.ms, "s": "AAABBB", "sn": "AAABBB", **_ohlcv(b), "st": 0}]}


def _kline_huobi(nom: str) -> tuple[Rejoue, Any]:
    return Rejoue(nom, "aaabbb", comprime=True), lambda b: {"ch": "market.aaabbb.kline.1min", "ts": b.ms + 9, "tick": {
        "id": b.ms // 1000, **_ohlcv(b, "open,high,low,close,amount", float), "vol": 1.0, "count": 1}}


# (exchange, sa trame pour une bougie)
FORMES_DE_BOUGIES: list[tuple[Rejoue, Callable[[B], Any]]] = [
    (Rejoue("apex", "AAABBB", "swap.linear", marche={"id2": "AAABBB"}), lambda b: {
        "topic": "candle.1.AAABBB", "ts": b.ms + 9, "type": "snapshot", "data": [{
            "start": b.ms, "end": b.fin, "interval": "1", **_ohlcv(b, "open,high,low,close,volume"), "turnover": "1",
            "confirm": False, "timestamp": b.ms + 9}]}),
    (Rejoue("aster", "AAABBB", "swap.linear"), lambda b: {"e": "kline", "E": b.ms + 9, "s": "AAABBB", "k": {
        "t": b.ms, "T": b.fin, "s": "AAABBB", "i": "1m", **_ohlcv(b), "x": False, "q": "1", "V": "0", "Q": "0"}}),
    (Rejoue("backpack", "AAA_BBB"), lambda b: {"stream": "kline.1m.AAA_BBB", "data": {
        "E": str(b.ms * 1000), "t": en_iso(b.ms)[:19], "T": en_iso(b.ms + 60_000)[:19],
        "X": False, "e": "kline", "n": 1, "s": "AAA_BBB", **_ohlcv(b)}}),
    (Rejoue("bingx", "AAA-BBB"), lambda b: {"code": 0, "dataType": "AAA-BBB@kline_1min", "success": True, "data": {
        "E": b.ms + 9, "e": "kline", "s": "AAA-BBB",
        "K": {"t": b.ms, "T": b.fin, "i": "1min", "s": "AAA-BBB", "q": "1", **_ohlcv(b)}}}),
    (Rejoue("bingx", "AAA-BBB", "swap.linear"), lambda b: {
        "code": 0, "dataType": "AAA-BBB@kline_1m", "s": "AAA-BBB", "data": [{"T": b.ms, **_ohlcv(b)}]}),
    (Rejoue("bitrue", "E-AAA-BBB", "swap.linear", marche={"contractSize": 0.01}), lambda b: {
        "channel": "market_e_aaabbb_kline_1min", "data": [], "ts": b.ms + 9, "status": "ok", "tick": {
            "amount": 1, "id": b.ms // 1000, **_ohlcv(b._replace(v=str(float(b.v) * 100)), "open,high,low,close,vol",
                                                      float)}}),
    _kline_huobi("bittrade"),
    _kline_huobi("htx"),
    (Rejoue("bitvavo", "AAA-BBB"), lambda b: {
        "event": "candle", "market": "AAA-BBB", "interval": "1m", "candle": [list(b)]}),
    (Rejoue("blockchaincom", "AAA-BBB"), lambda b: {
        "seqnum": 1, "event": "updated", "channel": "prices", "symbol": "AAA-BBB", "price": list(b.attendue)}),
    (Rejoue("blofin", "AAA-BBB", "swap.linear"), lambda b: {
        "arg": {"channel": "candle1m", "instId": "AAA-BBB"}, "data": [[str(b.ms), *b[1:], b.v, "1", "0"]]}),
    (Rejoue("bydfi", "AAA-BBB", "swap.linear"), lambda b: {
        "s": "AAA-BBB", "t": b.ms, "T": b.ms + 60_000, "e": "kline", "i": "1m", **_ohlcv(b, nombre=float)}),
    (Rejoue("cryptocom", "AAA_BBB"), lambda b: {"code": 0, "method": "subscribe", "result": {
        "instrument_name": "AAA_BBB", "subscription": "candlestick.1m.AAA_BBB", "channel": "candlestick",
        "depth": 300, "interval": "1m", "data": [{"t": b.ms, **_ohlcv(b)}]}}),
    (Rejoue("deepcoin", "AAA-BBB"), lambda b: {"a": "PK", "tt": b.ms, "mt": b.ms, "r": [{"t": "LK", "d": {
        "I": "AAA/BBB", "P": "1m", "B": b.ms // 1000, "M": 1, **_ohlcv(b, "OHLCV", float)}}]}),
    (Rejoue("deribit", "AAA_BBB"), lambda b: {"jsonrpc": "2.0", "method": "subscription", "params": {
        "channel": "chart.trades.AAA_BBB.1", "data": {
            "tick": b.ms, "cost": 0, **_ohlcv(b, "open,high,low,close,volume", float)}}}),
    (Rejoue("dydx", "AAA-BBB", "swap.linear"), lambda b: {
        "type": "channel_data", "connection_id": "c", "message_id": 3, "id": "AAA-BBB/1MIN", "channel": "v4_candles",
        "version": "1.0.0", "contents": {"startedAt": en_iso(b.ms), "ticker": "AAA-BBB", "resolution": "1MIN",
                                         "usdVolume": "1", **_ohlcv(b, "open,high,low,close,baseTokenVolume")}}),
    (Rejoue("extended", "AAA-BBB", "swap.linear", envoie_d_abord=True), lambda b: {
        "ts": b.ms + 9, "seq": b.ms, "data": [{"T": b.ms, **_ohlcv(b)}]}),
    (Rejoue("gemini", "aaabbb"), lambda b: {
        "type": "candles_1m_updates", "symbol": "AAABBB", "changes": [list(b.attendue)]}),
    (Rejoue("grvt", "AAA_BBB_Perp", "swap.linear"), lambda b: {
        "stream": "v1.candle", "selector": "AAA_BBB_Perp@CI_1_M-TRADE", "sequence_number": "0", "feed": {
            "open_time": str(b.ms * 10**6), "close_time": str((b.ms + 60_000) * 10**6), "volume_q": "1", "trades": 1,
            "instrument": "AAA_BBB_Perp", **_ohlcv(b, "open,high,low,close,volume_b")}}),
    _kline_bhex("hashkey"),
    _kline_bhex("toobit"),
    (Rejoue("hitbtc", "AAABBB"), lambda b: {"ch": "candles/M1", "update": {"AAABBB": [{
        "t": b.ms, "q": "1", **_ohlcv(b)}]}}),
    (Rejoue("kucoin", "AAA-BBB", chemins=_JETON,
         repondre=lambda d: [{"id": d["id"], "type": "ack"}] if d["type"] == "subscribe" else []), lambda b: {
        "type": "message", "topic": "/market/candles:AAA-BBB_1min", "subject": "trade.candles.update", "data": {
            "symbol": "AAA-BBB", "candles": [str(b.ms // 1000), b.o, b.c, b.h, b.l, b.v, "1"],
            "time": b.ms * 10**6}}),
    (Rejoue("lbank", "aaa_bbb"), lambda b: {
        "SERVER": "V2", "type": "kbar", "pair": "aaa_bbb", "TS": en_iso(b.ms + 8 * 3_600_000 + 9).removesuffix("Z"),
        "kbar": {"a": 1.0, "t": en_iso(b.ms + 8 * 3_600_000).removesuffix("Z"), "slot": "1min", "n": 1,
                 **_ohlcv(b, nombre=float)}}),
    (Rejoue("mexc", "AAA_BBB", "swap.linear"), lambda b: {
        "channel": "push.kline", "symbol": "AAA_BBB", "ts": b.ms + 9, "data": {
            "a": 1.0, "interval": "Min1", "symbol": "AAA_BBB", "t": b.ms // 1000, "rc": 1, "rh": 1, "rl": 1, "ro": 1,
            **_ohlcv(b, "ohlcq", float)}}),
    _kline_orderly("modetrade", "PERP_AAA_BBB", "swap.linear"),
    _kline_orderly("woofipro", "PERP_AAA_BBB", "swap.linear"),
    _kline_orderly("woo", "SPOT_AAA_BBB", "spot"),
    (Rejoue("nado", "2", "swap.linear"), lambda b: {
        "type": "latest_candlestick", "timestamp": str(b.ms // 1000), "product_id": 2, "granularity": 60,
        **_ohlcv(b, "open_x18,high_x18,low_x18,close_x18,volume", lambda x: f"{float(x) * 10**18:.0f}")}),
    (Rejoue("onetrading", "AAA_BBB"), lambda b: {
        "instrument_code": "AAA_BBB", "granularity": {"unit": "MINUTES", "period": 1}, "last_sequence": 1,
        "channel_name": "CANDLESTICKS", "type": "CANDLESTICK", "time": en_iso(b.fin).removesuffix("Z") + "000Z",
        **_ohlcv(b, "open,high,low,close,volume"), "total_amount": b.v}),
    (Rejoue("pacifica", "AAA", "swap.linear"), lambda b: {"channel": "candle", "data": {
        "t": b.ms, "T": b.ms + 60_000, "s": "AAA", "i": "1m", "n": 8, **_ohlcv(b)}}),
    (Rejoue("poloniex", "AAA_BBB"), lambda b: {"channel": "candles_minute_1", "data": [{
        "symbol": "AAA_BBB", "amount": "1", "tradeCount": 1, "closeTime": b.fin, "startTime": b.ms, "ts": b.ms + 9,
        **_ohlcv(b, "open,high,low,close,quantity")}]}),
    (Rejoue("polymarket", "1", "swap.linear"), lambda b: {
        "ch": "klines::1::1m", "ts": b.ms + 9, "ets": b.ms + 9, "sq": 1, "data": [[*b, 5]]}),
    (Rejoue("weex", "AAABBB", "swap.linear"), lambda b: {
        "e": "kline", "E": b.ms + 9, "s": "AAABBB", "p": "LAST_PRICE", "d": [{
            "t": b.ms, "T": b.ms + 60_000, "s": "AAABBB", "i": "1m", "n": 1, "q": "1", "V": "1", "Q": "1",
            **_ohlcv(b)}]}),
    (Rejoue("whitebit", "AAA_BBB"), lambda b: {"method": "candles_update", "id": None, "params": [
        [b.ms // 1000, b.o, b.c, b.h, b.l, b.v, "1", "AAA_BBB"]]}),
    (Rejoue("xt", "aaa_bbb"), lambda b: {"topic": "kline", "event": "kline@aaa_bbb,1m", "data": {
        "s": "aaa_bbb", "t": b.ms, "i": "1m", "v": "1", **_ohlcv(b, "ohlcq")}}),
]  # fmt: skip


# --- Des tickers : chaque colonne qu'un exchange dit est celle de cet état-là


K = INSTANT + 28_845  # l'instant de l'état
TICKER = {"bid": 100.25, "bidVolume": 2.5, "ask": 100.75, "askVolume": 3.5, "last": 100.5, "open": 98.0, "high": 103.0,
          "low": 97.0, "close": 100.5, "vwap": 100.5, "baseVolume": 1200.0, "quoteVolume": 120_600.0, "change": 2.5,
          "percentage": 2.5 / 0.98}  # fmt: skip


def _dit(noms: str, nombre: Any = str, **autres: Any) -> Objet:
    """« c=last h=high » : ces champs de l'exchange, avec les valeurs de l'oracle."""
    couples = (couple.split("=") for couple in noms.split())
    return {cle: nombre(TICKER[nom]) for cle, nom in couples} | autres


def _bhex_ticker(nom: str) -> tuple[Rejoue, list[Any], str]:
    reste = {"t": K, "s": "AAABBB", "sn": "AAABBB", "m": "0.0255", "e": 301}
    return Rejoue(nom, "AAABBB"), [{
        "symbol": "AAABBB", "symbolName": "AAABBB", "topic": "realtimes", "params": {"realtimeInterval": "24h"},
        "f": False, "sendTime": K + 9, "shared": False,
        "data": [_dit("c=last h=high l=low o=open v=baseVolume qv=quoteVolume", **reste)],
    }], "last high low open baseVolume"  # fmt: skip


def _orderly_ticker(nom: str, marche_id: str, genre: str) -> tuple[Rejoue, list[Any], str]:
    return Rejoue(nom, marche_id, genre), [{"topic": f"{marche_id}@ticker", "ts": K, "data": _dit(
        "open=open close=close high=high low=low volume=baseVolume amount=quoteVolume", float, symbol=marche_id,
        count=3)}], "close high low open baseVolume quoteVolume"


def _huobi_ticker(nom: str) -> tuple[Rejoue, list[Any], str]:
    return Rejoue(nom, "aaabbb", comprime=True), [{"ch": "market.aaabbb.detail", "ts": K, "tick": _dit(
        "low=low high=high open=open close=close vol=quoteVolume amount=baseVolume", float, id=1, version=1,
        count=1)}], "close high low open baseVolume quoteVolume"


_KRAKEN = "bid=bid ask=ask bid_size=bidVolume ask_size=askVolume last=last change=percentage volumeQuote=quoteVolume"


def _krakenfutures(marche_id: str, genre: str, volume: str) -> tuple[Rejoue, list[Any], str]:
    exchange = Rejoue("krakenfutures", marche_id, genre,
                   repondre=lambda d: [{"event": "subscribed", "feed": "ticker", "product_ids": d["product_ids"]}])
    return exchange, [_dit(f"{_KRAKEN} volume={volume}", float, time=K, product_id=marche_id, feed="ticker",
                           markPrice=100.4, index=100.3, suspended=False)], "bid ask last percentage change open"


# (exchange, ses trames, ce que la dernière doit laisser de dit)
FORMES_DE_TICKERS: list[tuple[Rejoue, list[Any], str]] = [
    (Rejoue("apex", "AAABBB", "swap.linear", marche={"id2": "AAABBB"}), [
        {"topic": "instrumentInfo.H.AAABBB", "type": "snapshot", "cs": 1, "ts": (K - 1000) * 1000, "data": _dit(
            "highPrice24h=high lowPrice24h=low turnover24h=quoteVolume volume24h=baseVolume", symbol="AAABBB",
            lastPrice="99", price24hPcnt="0.01")},
        {"topic": "instrumentInfo.H.AAABBB", "type": "delta", "cs": 2, "ts": K * 1000, "data": _dit(
            "lastPrice=last", price24hPcnt=str(2.5 / 98))}],
     "last high low baseVolume quoteVolume percentage open"),
    (Rejoue("aster", "AAABBB", "swap.linear"), [_dit(
        "p=change P=percentage w=vwap c=last o=open h=high l=low v=baseVolume q=quoteVolume", e="24hrTicker", E=K,
        s="AAABBB", Q="5", O=1, C=K - 3)], "last open high low vwap baseVolume quoteVolume change percentage"),
    (Rejoue("backpack", "AAA_BBB"), [{"stream": "ticker.AAA_BBB", "data": _dit(
        "c=last h=high l=low o=open v=baseVolume V=quoteVolume", E=str(K * 1000), e="ticker", n=1, s="AAA_BBB")}],
     "last open high low baseVolume quoteVolume"),
    (Rejoue("bingx", "AAA-BBB"), [{"code": 0, "timestamp": K + 1, "dataType": "AAA-BBB@ticker", "data": _dit(
        "p=change o=open h=high l=low c=last v=baseVolume q=quoteVolume A=ask a=askVolume B=bid b=bidVolume", float,
        e="24hTicker", E=K, s="AAA-BBB", P="2.55%", O=1, C=K)}], "bid ask last open high low quoteVolume"),
    (Rejoue("bingx", "AAA-BBB", "swap.linear"), [{"code": 0, "dataType": "AAA-BBB@ticker", "data": _dit(
        "p=change o=open h=high l=low c=last v=baseVolume q=quoteVolume A=ask a=askVolume B=bid b=bidVolume",
        e="24hTicker", E=K, s="AAA-BBB", P="2.55", O=1, C=K - 40_000)}],
     "bid ask last open high low baseVolume quoteVolume"),
    (Rejoue("bitrue", "E-AAA-BBB", "swap.linear", marche={"contractSize": 0.5}), [{
        "channel": "market_e_aaabbb_ticker", "ts": K, "status": "ok", "tick": _dit(
            "open=open close=close high=high low=low", float, vol=2400, amount=241_200, rose=2.5 / 98)}],
     "last open high low baseVolume quoteVolume percentage"),
    _huobi_ticker("bittrade"),
    _huobi_ticker("htx"),
    (Rejoue("bitvavo", "AAA-BBB"), [{"event": "ticker24h", "data": [_dit(
        "open=open high=high low=low last=last volume=baseVolume volumeQuote=quoteVolume bid=bid bidSize=bidVolume "
        "ask=ask askSize=askVolume", market="AAA-BBB", timestamp=K)]}], "bid ask last open high low baseVolume"),
    (Rejoue("blockchaincom", "AAA-BBB"), [
        _dit("price_24h=open volume_24h=baseVolume last_trade_price=last", float, seqnum=1, event="snapshot",
             channel="ticker", symbol="AAA-BBB", mark_price=100.2),
        {"seqnum": 2, "event": "updated", "channel": "ticker", "symbol": "AAA-BBB", "mark_price": 100.1}],
     "last open baseVolume"),
    (Rejoue("bydfi", "AAA-BBB", "swap.linear"), [_dit("c=last v=baseVolume h=high l=low o=open", float, s="AAA-BBB",
                                                   e="24hrTicker", E=K)], "last open high low"),
    (Rejoue("coinone", "AAA"), [{"response_type": "DATA", "channel": "TICKER", "data": _dit(
        "quote_volume=quoteVolume target_volume=baseVolume high=high low=low first=open last=last ask_best_price=ask "
        "ask_best_qty=askVolume bid_best_price=bid bid_best_qty=bidVolume", quote_currency="BBB",
        target_currency="AAA", timestamp=K, id="1", yesterday_last="1")}], "bid ask last open high low baseVolume"),
    (Rejoue("cryptocom", "AAA_BBB"), [{"code": 0, "method": "subscribe", "result": {
        "instrument_name": "AAA_BBB", "subscription": "ticker.AAA_BBB", "channel": "ticker", "data": [_dit(
            "h=high l=low a=last b=bid bs=bidVolume k=ask ks=askVolume v=baseVolume", c=str(2.5 / 98), i="AAA_BBB",
            t=K)]}}], "bid ask last high low baseVolume percentage open change"),
    (Rejoue("deepcoin", "AAA-BBB"), [{"a": "PO", "m": "Success", "tt": K + 9, "mt": K + 9, "r": [{"d": _dit(
        "O=open H=high L=low V=baseVolume T=quoteVolume N=last BP1=bid AP1=ask", float, I="AAA/BBB", U=K, PF=0, M=1,
        D=0, V2=1, T2=1)}]}], "bid ask last open high low baseVolume quoteVolume"),
    (Rejoue("derive", "AAA-PERP", "swap.linear"), [{"method": "subscription", "params": {
        "channel": "ticker_slim.AAA-PERP.100", "data": {"timestamp": K + 17, "instrument_ticker": _dit(
            "A=askVolume a=ask B=bidVolume b=bid", t=K, I="1", M="1", stats=_dit(
                "c=baseVolume v=quoteVolume h=high l=low", n=1, oi="0", p=str(2.5 / 98)))}}}],
     "bid ask high low baseVolume quoteVolume percentage"),
    (Rejoue("grvt", "AAA_BBB_Perp", "swap.linear"), [{
        "stream": "v1.ticker.s", "selector": "AAA_BBB_Perp@500", "sequence_number": "0", "feed": _dit(
            "last_price=last best_bid_price=bid best_bid_size=bidVolume best_ask_price=ask best_ask_size=askVolume "
            "high_price=high low_price=low open_price=open", event_time=str(K * 10**6 + 794_823),
            instrument="AAA_BBB_Perp", buy_volume_24h_b="450", sell_volume_24h_b="750", buy_volume_24h_q="45000.5",
            sell_volume_24h_q="75599.5")}], "bid ask last open high low baseVolume quoteVolume vwap"),
    _bhex_ticker("hashkey"),
    _bhex_ticker("toobit"),
    (Rejoue("hitbtc", "AAABBB"), [{"ch": "ticker/1s", "data": {"AAABBB": _dit(
        "a=ask A=askVolume b=bid B=bidVolume c=last o=open h=high l=low v=baseVolume q=quoteVolume p=change "
        "P=percentage", t=K, L=1)}}], "bid ask last open high low baseVolume quoteVolume"),
    _krakenfutures("PF_AAABBB", "swap.linear", "baseVolume"),
    _krakenfutures("PI_AAABBB", "swap.inverse", "quoteVolume"),
    (Rejoue("kucoin", "AAA-BBB", chemins=_JETON,
         repondre=lambda d: [{"id": d["id"], "type": "ack"}] if d["type"] == "subscribe" else []),
     [{"type": "message", "topic": "/market/ticker:AAA-BBB", "subject": "trade.ticker", "data": _dit(
         "bestAsk=ask bestAskSize=askVolume bestBid=bid bestBidSize=bidVolume price=last", sequence="1", size="9",
         time=K)}], "bid ask last"),
    (Rejoue("lbank", "aaa_bbb"), [{"tick": _dit(
        "high=high vol=baseVolume low=low change=percentage turnover=quoteVolume latest=last", float, dir="sell",
        to_usd=1, usd=1), "type": "tick", "pair": "aaa_bbb", "SERVER": "V2",
        "TS": en_iso(K + 8 * 3_600_000).removesuffix("Z")}], "last high low baseVolume quoteVolume percentage"),
    (Rejoue("lighter", "12", "swap.linear"), [{"channel": "market_stats:12", "type": "update/market_stats",
                                            "market_stats": _dit(
        "last_trade_price=last daily_base_token_volume=baseVolume daily_quote_token_volume=quoteVolume "
        "daily_price_low=low daily_price_high=high daily_price_change=percentage", float, market_id=12,
        index_price="1", mark_price="1", funding_timestamp=K + 5)}], "last high low baseVolume percentage"),
    (Rejoue("mexc", "AAA_BBB", "swap.linear"), [{
        "symbol": "AAA_BBB", "channel": "push.ticker", "ts": K + 1, "data": _dit(
            "lastPrice=last lower24Price=low high24Price=high bid1=bid ask1=ask amount24=quoteVolume "
            "volume24=baseVolume riseFallValue=change", float, symbol="AAA_BBB", riseFallRate=2.5 / 98, fairPrice=1,
            indexPrice=1, maxBidPrice=200, minAskPrice=50, timestamp=K)}], "bid ask last high low"),
    _orderly_ticker("modetrade", "PERP_AAA_BBB", "swap.linear"),
    _orderly_ticker("woofipro", "PERP_AAA_BBB", "swap.linear"),
    _orderly_ticker("woo", "SPOT_AAA_BBB", "spot"),
    (Rejoue("paradex", "AAA-BBB-PERP", "swap.linear"), [{"jsonrpc": "2.0", "method": "subscription", "params": {
        "channel": "markets_summary.AAA-BBB-PERP", "data": _dit(
            "last_traded_price=last bid=bid ask=ask volume_24h=quoteVolume", symbol="AAA-BBB-PERP", oracle_price="1",
            mark_price="1", total_volume="9", created_at=K, price_change_rate_24h=str(2.5 / 98))}}], "bid ask last"),
    (Rejoue("bitget", "AAABBB"), [{"action": "snapshot", "arg": {
        "instType": "SPOT", "channel": "ticker", "instId": "AAABBB"}, "data": [_dit(
            "lastPr=last open24h=open high24h=high low24h=low bidPr=bid askPr=ask bidSz=bidVolume askSz=askVolume "
            "baseVolume=baseVolume quoteVolume=quoteVolume", instId="AAABBB", change24h=str(2.5 / 98), openUtc="99",
            ts=str(K))], "ts": K + 3}], "bid ask last open high low baseVolume quoteVolume percentage"),
    (Rejoue("bybit", "AAABBB", "swap.linear"), [
        {"topic": "tickers.AAABBB", "type": "snapshot", "ts": K - 1000, "cs": 1, "data": _dit(
            "prevPrice24h=open highPrice24h=high lowPrice24h=low turnover24h=quoteVolume volume24h=baseVolume "
            "ask1Price=ask ask1Size=askVolume", symbol="AAABBB", lastPrice="99", price24hPcnt="0.01", bid1Price="98",
            bid1Size="9", openInterestValue="1", markPrice="100.4")},
        {"topic": "tickers.AAABBB", "type": "delta", "ts": K, "cs": 2, "data": _dit(
            "lastPrice=last bid1Price=bid bid1Size=bidVolume", symbol="AAABBB", price24hPcnt=str(2.5 / 98))}],
     "bid ask last open high low baseVolume quoteVolume percentage"),
    (Rejoue("gate", "AAA_BBB"), [{"time": K // 1000, "time_ms": K, "channel": "spot.tickers", "event": "update",
        "result": _dit("last=last lowest_ask=ask highest_bid=bid base_volume=baseVolume quote_volume=quoteVolume "
                       "high_24h=high low_24h=low change_percentage=percentage", currency_pair="AAA_BBB")}],
     "bid ask last high low baseVolume quoteVolume percentage"),
    (Rejoue("kraken", "AAABBB", marche={"info": {"wsname": "AAA/BBB"}}), [{"channel": "ticker", "type": "snapshot",
        "data": [_dit("bid=bid bid_qty=bidVolume ask=ask ask_qty=askVolume last=last volume=baseVolume vwap=vwap "
                      "low=low high=high change=change change_pct=percentage", float, symbol="AAA/BBB")]}],
     "bid ask last high low baseVolume quoteVolume vwap change percentage"),
    (Rejoue("okx", "AAA-BBB"), [{"arg": {"channel": "tickers", "instId": "AAA-BBB"}, "data": [_dit(
        "last=last askPx=ask askSz=askVolume bidPx=bid bidSz=bidVolume open24h=open high24h=high low24h=low "
        "volCcy24h=quoteVolume vol24h=baseVolume", instType="SPOT", instId="AAA-BBB", lastSz="1", sodUtc0="99",
        sodUtc8="99", ts=str(K))]}], "bid ask last open high low baseVolume quoteVolume"),
    (Rejoue("phemex", "sAAABBB", marche={"priceScale": 8, "valueScale": 4, "ratioScale": 8}), [{
        "spot_market24h": _dit(
            "askEp=ask bidEp=bid highEp=high lastEp=last lowEp=low openEp=open turnoverEv=quoteVolume",
            lambda v: int(v * 10**8), symbol="sAAABBB", volumeEv=12_000_000),
        "timestamp": K * 10**6}], "bid ask last open high low baseVolume quoteVolume"),
    (Rejoue("phemex", "AAABBB", "swap.inverse", marche={"priceScale": 4, "valueScale": 8, "ratioScale": 8}), [{
        "market24h": _dit("close=close high=high low=low open=open", lambda v: int(v * 10**4), symbol="AAABBB",
                          volume=1200, turnover=120_600 * 10**8, fundingRate=1, indexPrice=1, markPrice=1,
                          openInterest=1, predFundingRate=1),
        "timestamp": K * 10**6}], "last open high low baseVolume"),
    (Rejoue("poloniex", "AAA_BBB"), [{"channel": "ticker", "data": [_dit(
        "open=open high=high low=low close=close quantity=baseVolume amount=quoteVolume", symbol="AAA_BBB",
        startTime=1, tradeCount=1, dailyChange=str(2.5 / 98), markPrice="1", closeTime=K - 50, ts=K)]}],
     "close open high low baseVolume quoteVolume percentage"),
    (Rejoue("polymarket", "1", "swap.linear"), [{"ch": "tickers::1", "ts": K, "ets": K - 9, "sq": 1, "data": _dit(
        "last=last", iid=1, idx="1", mark="1", mid="1", oi="1", fr="0", nxf=1)}], "last"),
    (Rejoue("weex", "AAABBB", "swap.linear"), [{"e": "ticker", "E": K, "s": "AAABBB", "d": [_dit(
        "p=change w=vwap c=last o=open h=high l=low v=baseVolume q=quoteVolume", P=str(2.5 / 98), O=1, C=K - 28_845,
        n=1, m="1", i="1")]}], "last open high low vwap baseVolume quoteVolume change percentage"),
    (Rejoue("whitebit", "AAA_BBB"), [{"method": "market_update", "id": None, "params": ["AAA_BBB", _dit(
        "close=close deal=quoteVolume high=high last=last low=low open=open volume=baseVolume", period=86400)]}],
     "last open high low baseVolume quoteVolume"),
    (Rejoue("xt", "aaa_bbb"), [{"topic": "ticker", "event": "ticker@aaa_bbb", "data": _dit(
        "cv=change o=open c=close h=high l=low q=baseVolume v=quoteVolume", s="aaa_bbb", t=K, cr=str(2.5 / 98))}],
     "close open high low baseVolume quoteVolume percentage"),
]  # fmt: skip
