"""Les trames de carnet que la classe ccxt perd sans le dire : numéros non lus, instantané mal raccordé.

Copié seul, le module se passe des numéros : il avertit qu'une trame perdue ne s'y verrait pas. Sans ce qu'elle corrige,
il ne suit pas les carnets de ces exchanges.
"""

from __future__ import annotations

import contextlib
import re
import zlib
from collections.abc import Iterator
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeAlias

from module_ccxt_fr_v2 import importer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

Numeros: TypeAlias = Iterator[tuple[str, Any, Any]]
"""D'une trame : le sujet d'une suite, le numéro de celle d'avant (None : un carnet entier), et le sien (0 : elle n'en
dit pas). D'une autre trame : rien, ou une erreur de lecture, qui n'apprend rien."""

# La règle est celle que dit l'exchange, ou ce qui en fut mesuré sur des milliers de trames ; rien n'y est supposé.


def _deribit(trame: Mapping[str, Any]) -> Numeros:
    dite = trame["params"]
    if dite["channel"].startswith("book."):
        yield dite["channel"], dite["data"].get("prev_change_id"), dite["data"]["change_id"]


def _bitvavo(trame: Mapping[str, Any]) -> Numeros:
    if trame["event"] == "book":
        yield trame["market"], int(trame["nonce"]) - 1, trame["nonce"]


def _bybit(trame: Mapping[str, Any]) -> Numeros:
    numero = int(trame["data"]["u"])
    if trame["topic"].startswith("orderbook."):
        yield trame["topic"], None if trame["type"] == "snapshot" else numero - 1, numero


def _apex(trame: Mapping[str, Any]) -> Numeros:
    numero = int(trame["data"]["u"])
    if trame["topic"].startswith("orderBook"):
        yield trame["topic"], None if trame["type"] == "snapshot" else numero - 1, numero


def _backpack(trame: Mapping[str, Any]) -> Numeros:
    if trame["stream"].startswith("depth."):
        yield trame["stream"], int(trame["data"]["U"]) - 1, trame["data"]["u"]


def _krakenfutures(trame: Mapping[str, Any]) -> Numeros:
    numero = int(trame["seq"])  # l'abonnement accepté porte le même nom, sans numéro
    if trame["feed"] in {"book", "book_snapshot"}:
        yield trame["product_id"], numero - 1 if trame["feed"] == "book" else None, numero


def _gate(trame: Mapping[str, Any]) -> Numeros:
    """Au comptant ; la classe vérifie les autres canaux, celui de gateeu compris."""
    dits = trame["result"]
    if trame["channel"] == "spot.obu":
        yield dits["s"], None if dits.get("full") else int(dits["U"]) - 1, dits["u"]


def _kucoin(trame: Mapping[str, Any]) -> Numeros:
    """Comptant ; contrats, un niveau par trame ; et le canal des deux, si l'on prend le compte unifié."""
    if "T" in trame:
        dits, entier = trame["d"], trame["t"] == "snapshot"
        yield f"{trame['T']} {dits['s']} {trame['dp']}", None if entier else int(dits["O"]) - 1, dits["C"]
    elif trame["topic"].startswith("/market/level2:"):
        yield trame["topic"], int(trame["data"]["sequenceStart"]) - 1, trame["data"]["sequenceEnd"]
    elif trame["topic"].startswith("/contractMarket/level2:"):
        yield trame["topic"], int(trame["data"]["sequence"]) - 1, trame["data"]["sequence"]


def _mexc(trame: Mapping[str, Any]) -> Numeros:
    """Au comptant, en protobuf ; d'un contrat, plusieurs versions par trame, ou une (`compress: false`)."""
    if "publicAggreDepths" in trame:
        dits = trame["publicAggreDepths"]
        yield trame["symbol"], int(dits["fromVersion"]) - 1, dits["toVersion"]
    elif trame["channel"] == "push.depth":
        dits = trame["data"]
        yield trame["symbol"], int(dits.get("begin", dits["version"])) - 1, dits["version"]


def _bittrade(trame: Mapping[str, Any]) -> Numeros:
    yield trame["ch"], trame["tick"]["prevSeqNum"], trame["tick"]["seqNum"]


def _htx(trame: Mapping[str, Any]) -> Numeros:
    """Contrats : la classe n'applique plus rien après un saut, sans le dire. Au comptant, elle lève."""
    numero = int(trame["tick"]["version"])
    yield trame["ch"], None if trame["tick"]["event"] == "snapshot" else numero - 1, numero


def _blofin(trame: Mapping[str, Any]) -> Numeros:
    if trame["arg"]["channel"] == "books":
        dits = trame["data"]
        yield trame["arg"]["instId"], None if trame["action"] == "snapshot" else dits["prevSeqId"], dits["seqId"]


def _bitget(trame: Mapping[str, Any]) -> Numeros:
    """La classe vérifie une somme que l'exchange n'envoie plus."""
    for dits in trame["data"]:
        yield str(sorted(trame["arg"].items())), None if trame["action"] == "snapshot" else dits["pseq"], dits["seq"]


def _poloniex(trame: Mapping[str, Any]) -> Numeros:
    for dits in trame["data"] if trame["channel"] == "book_lv2" else ():
        yield dits["symbol"], None if trame["action"] == "snapshot" else dits["lastId"], dits["id"]


def _hitbtc(trame: Mapping[str, Any]) -> Numeros:
    entier = "snapshot" in trame
    if trame["ch"] == "orderbook/full":
        for marche, dits in trame["snapshot" if entier else "update"].items():
            yield marche, None if entier else int(dits["s"]) - 1, dits["s"]


def _xt(trame: Mapping[str, Any]) -> Numeros:
    dits = trame["data"]
    if trame["topic"] == "depth_update":
        yield (dits["s"], dits["pu"], dits["u"]) if "pu" in dits else (dits["s"], int(dits["fi"]) - 1, dits["i"])


def _weex(trame: Mapping[str, Any]) -> Numeros:
    """`U` est le `u` d'avant d'un contrat, et peut-être son suivant au comptant : le plus tolérant des deux."""
    if trame["e"] in {"depth", "depthSnapshot"}:
        yield trame["s"], None if trame["e"] == "depthSnapshot" else int(trame["U"]) - 1, trame["u"]


def _lighter(trame: Mapping[str, Any]) -> Numeros:
    dits = trame["order_book"]
    yield trame["channel"], None if trame["type"].startswith("subscribed") else dits["begin_nonce"], dits["nonce"]


def _whitebit(trame: Mapping[str, Any]) -> Numeros:
    if trame["method"] == "depth_update":
        entier, dits, marche = trame["params"]
        yield marche, None if entier else dits["past_update_id"], dits["update_id"]


def _blockchaincom(trame: Mapping[str, Any]) -> Numeros:
    yield "connexion", int(trame["seqnum"]) - 1, trame["seqnum"]


def _gemini(trame: Mapping[str, Any]) -> Numeros:
    """Plusieurs marchés par connexion ; un seul passe par une autre adresse, sans numéro."""
    yield "connexion", int(trame["socket_sequence"]) - 1, trame["socket_sequence"]


def _grvt(trame: Mapping[str, Any]) -> Numeros:
    """Un carnet entier porte le numéro 0 : la suite est celle des mises à jour."""
    if trame["stream"] == "v1.book.d":
        entier = int(trame["sequence_number"]) == 0
        yield trame["selector"], None if entier else trame["prev_sequence_number"], trame["sequence_number"]


def _extended(trame: Mapping[str, Any]) -> Numeros:
    """La classe voit le saut, puis refait un carnet des seules mises à jour qui le suivent."""
    yield trame["data"]["m"], None if trame["type"] == "SNAPSHOT" else int(trame["seq"]) - 1, trame["seq"]


# Ajouter un exchange : une fonction et une ligne ici, et son nom dans `CARNETS_NUMEROTES`.
NUMEROS: Mapping[str, Callable[[Mapping[str, Any]], Numeros]] = {
    "apex": _apex,
    "backpack": _backpack,
    "bitget": _bitget,
    "bittrade": _bittrade,
    "bitvavo": _bitvavo,
    "blockchaincom": _blockchaincom,
    "blofin": _blofin,
    "bybit": _bybit,
    "deribit": _deribit,
    "extended": _extended,
    "gate": _gate,
    "gemini": _gemini,
    "grvt": _grvt,
    "hitbtc": _hitbtc,
    "htx": _htx,
    "krakenfutures": _krakenfutures,
    "kucoin": _kucoin,
    "lighter": _lighter,
    "mexc": _mexc,
    "poloniex": _poloniex,
    "weex": _weex,
    "whitebit": _whitebit,
    "xt": _xt,
}


Somme: TypeAlias = tuple[str, bool, bool]
"""D'une trame appliquée : le marché, si elle porte un carnet entier, et si la somme qu'elle dit est celle du carnet."""


def _aucun(_trame: Mapping[str, Any]) -> Numeros:
    return iter(())


def _kraken(api: Any, trame: Mapping[str, Any]) -> Somme:
    """Dix niveaux, ventes puis achats, sans point ni zéros de tête ; la classe les lirait sans leurs derniers zéros."""
    dits = trame["data"][0]
    carnet, precision = api.orderbooks[dits["symbol"]], api.markets[dits["symbol"]]["info"]
    decimales = int(precision["pair_decimals"]), int(precision["lot_decimals"])
    niveaux = [*carnet["asks"][:10], *carnet["bids"][:10]]
    valeurs = (f"{valeur:.{d}f}" for niveau in niveaux for valeur, d in zip(niveau[:2], decimales, strict=True))
    texte = "".join(valeur.replace(".", "").lstrip("0") for valeur in valeurs)
    return dits["symbol"], trame["type"] == "snapshot", zlib.crc32(texte.encode()) == dits["checksum"]


# Ceux qui n'ont pas de numéro, mais une somme que la classe ne vérifie pas.
SOMMES: Mapping[str, Callable[[Any, Mapping[str, Any]], Somme]] = {"kraken": _kraken}


class SuitesDeCarnets:
    """Les numéros des trames de carnet d'une connexion, ou leurs sommes."""

    def __init__(self, numeros: Callable[[Mapping[str, Any]], Numeros]) -> None:
        self._numeros = numeros
        self._vus: dict[str, int] = {}
        self._sommes: dict[str, bool] = {}  # par marché : celle du carnet entier est tombée juste

    def verifier(self, trame: Any) -> None:
        """Lève l'erreur de ccxt, avant que le carnet ne soit touché, si la trame d'avant n'est pas venue."""
        # D'une forme imprévue, une trame ne se vérifie pas : la classe en fera ce qu'elle peut.
        with contextlib.suppress(AttributeError, LookupError, TypeError, ValueError):
            for dits in self._numeros(trame):
                self._comparer(*dits)

    def _comparer(self, sujet: str, avant: Any, numero: Any) -> None:
        numero, vu = int(numero), self._vus.get(sujet)
        if avant is not None and vu is not None:
            if int(avant) > vu > 0:
                _dire_perdue(f"carnet {sujet} : trame {avant} perdue, après la {vu}")
            numero = max(vu, numero)
        self._vus[sujet] = numero

    def sommer(self, somme: Callable[[Any, Mapping[str, Any]], Somme], api: Any, trame: Any) -> None:
        """Lève l'erreur de ccxt si la somme d'une mise à jour n'est plus celle du carnet.

        Celle d'un carnet entier dit d'abord si l'on sait la faire : de ce marché, sinon, aucune n'est crue.
        """
        with contextlib.suppress(AttributeError, LookupError, TypeError, ValueError):
            sujet, entier, juste = somme(api, trame)
            if entier:
                self._sommes[sujet] = juste
            elif self._sommes.get(sujet) and not juste:
                _dire_perdue(f"carnet {sujet} : la somme n'est plus celle que dit l'exchange, une trame est perdue")


def _dire_perdue(message: str) -> None:
    ccxt = importer("ccxt.base.errors", "Parler à un exchange")
    raise ccxt.ChecksumError(message)


class Numerotee:
    """À mettre devant une classe ccxt : une connexion vérifie les numéros de ses trames avant de les lire.

    D'un exchange de la table, ou de celui dont il n'est qu'un autre nom.
    """

    def client(self, url: str) -> Any:
        """Le client WebSocket d'une adresse."""
        client: Any = super().client(url)  # type: ignore[misc]  # la classe ccxt est dessous
        if hasattr(client, "suites"):
            return client
        nom = next(parente.__name__ for parente in type(self).__mro__ if parente.__name__ in {*NUMEROS, *SOMMES})
        client.suites, lire = SuitesDeCarnets(NUMEROS.get(nom, _aucun)), client.on_message_callback

        def verifier_et_lire(client_: Any, trame: Any) -> None:
            client.suites.verifier(trame)
            lire(client_, trame)
            if nom in SOMMES:
                client.suites.sommer(SOMMES[nom], self, trame)

        client.on_message_callback = verifier_et_lire
        return client

    def handle_protobuf_message(self, client: Any, trame: Any) -> Any:
        """Une trame de mexc au comptant, dont l'adresse n'a reçu que des octets."""
        client.suites.verifier(trame)
        return super().handle_protobuf_message(client, trame)  # type: ignore[misc]


# --- Ce qui raccorde le flux à l'instantané, ou demande les vrais prix : à mettre devant la classe ccxt.


def _perimee(carnet: Any, numero: Any) -> bool:
    """D'une trame que le carnet contient déjà : rejouée, elle le ferait reculer."""
    return carnet is not None and None not in (carnet["nonce"], numero) and numero <= carnet["nonce"]


class Bitstamp:
    """Sans trame gardée du même instant que l'instantané, la classe les oublierait toutes ; elle date à la seconde."""

    def get_cache_index(self, carnet: Any, gardees: Any) -> int:
        """Le rang de la première trame qui suit l'instantané ; -1 s'il est trop ancien."""
        rang: int = super().get_cache_index(carnet, gardees)  # type: ignore[misc]  # la classe ccxt est dessous
        suivent = (i for i, trame in enumerate(gardees) if int(trame["microtimestamp"]) > carnet["nonce"])
        return rang if rang < 0 else next(suivent, len(gardees))

    def handle_book_delta(self, carnet: Any, trame: Any) -> None:
        """Une trame."""
        super().handle_book_delta(carnet, trame)  # type: ignore[misc]
        carnet["timestamp"] = carnet["nonce"] // 1000
        carnet["datetime"] = self.iso8601(carnet["timestamp"])  # type: ignore[attr-defined]


class Bitvavo:
    """La classe ne voit pas qu'il manque des trames entre l'instantané et la première qu'elle a gardée."""

    def handle_order_book_message(self, client: Any, trame: Any, carnet: Any) -> Any:
        """Une trame, gardée ou non."""
        api: Any = self
        numero, vu = api.safe_integer(trame, "nonce"), carnet["nonce"]
        if None not in (numero, vu) and numero > vu + 1:
            _dire_perdue(f"carnet {trame.get('market')} : trame {vu + 1} perdue, l'instantané est trop ancien")
        return super().handle_order_book_message(client, trame, carnet)  # type: ignore[misc]


class Gate:
    """D'un contrat, la classe date l'instantané à la seconde : il précéderait l'état d'avant."""

    def parse_order_book(self, carnet: Any, symbole: Any, instant: Any = None, *autres: Any) -> Any:
        """Un carnet."""
        with contextlib.suppress(AttributeError, TypeError, ValueError):
            precis = int(1000 * float(carnet.get("current")))
            instant = precis if 0 <= precis - instant < 1000 else instant
        return super().parse_order_book(carnet, symbole, instant, *autres)  # type: ignore[misc]


class Kucoin:
    """D'un contrat, la classe rejouerait les trames que l'instantané contient déjà."""

    def handle_order_book(self, client: Any, trame: Any) -> None:
        """Une trame."""
        if "sequence" in (dits := trame.get("data") or {}):
            dits["sequenceEnd"] = dits["sequence"]
        super().handle_order_book(client, trame)  # type: ignore[misc]


class Mexc:
    """Au comptant, la classe ne lit que la première version d'une trame : elle perd celle qui chevauche l'instantané.

    Celles qu'elle garde n'ont pas d'heure.
    """

    def handle_order_book(self, client: Any, trame: Any) -> None:
        """Une trame."""
        api: Any = self
        dits = api.safe_dict_n(trame, ["data", "publicAggreDepths"], {})
        dits["version"] = dits.get("version") or dits.get("toVersion")
        dits["instant"] = trame.get("sendTime", trame.get("ts"))
        if not _perimee(api.orderbooks.get(api.safe_symbol(trame.get("symbol"))), api.safe_integer(dits, "version")):
            super().handle_order_book(client, trame)  # type: ignore[misc]

    def handle_book_delta(self, carnet: Any, dits: Any) -> None:
        """Une trame, gardée ou non."""
        api: Any = self
        super().handle_book_delta(carnet, dits)  # type: ignore[misc]
        carnet["timestamp"] = api.safe_integer(dits, "instant")
        carnet["datetime"] = api.iso8601(carnet["timestamp"])


class Xt:
    """La classe rejouerait les trames que l'instantané contient déjà ; celles qu'elle garde n'ont pas d'heure."""

    def handle_order_book(self, client: Any, trame: Any) -> None:
        """Une trame."""
        api: Any = self
        dits = api.safe_dict(trame, "data", {})
        symbole = api.safe_symbol(dits.get("s"), None, None, "contract" if "fu" in dits else "spot")
        if not _perimee(api.orderbooks.get(symbole), api.safe_integer_2(dits, "i", "u")):
            super().handle_order_book(client, trame)  # type: ignore[misc]

    def handle_book_delta(self, carnet: Any, dits: Any) -> None:
        """Une trame gardée."""
        api: Any = self
        super().handle_book_delta(carnet, dits)  # type: ignore[misc]
        carnet["timestamp"] = api.safe_integer(dits, "t")
        carnet["datetime"] = api.iso8601(carnet["timestamp"])


class Deepcoin:
    """De deux trames de la même ms, la classe n'applique que la première ; d'un carnet entier redit, que les ajouts."""

    def order_book(self, instantane: Any = MappingProxyType({}), _profondeur: Any = None) -> Any:
        """Un carnet : l'exchange en tient soixante niveaux, sans toujours dire lequel en sort."""
        return super().order_book(instantane, 60)  # type: ignore[misc]

    def handle_order_book(self, client: Any, trame: Any) -> None:
        """Une trame : de sorte « f », un carnet entier, qu'il arrive à l'exchange de redire en cours de route."""
        api: Any = self
        dits = api.safe_dict(api.safe_dict(api.safe_list(trame, "r", []), 0, {}), "d", {})
        carnet = api.orderbooks.get(api.safe_symbol(dits.get("I"), None, "/"))
        if carnet is not None and trame.get("t") == "f":
            carnet["timestamp"] = None
        super().handle_order_book(client, trame)  # type: ignore[misc]

    def handle_order_book_message(self, client: Any, trame: Any, carnet: Any) -> None:
        """Une trame ; de celles que la classe a gardées, l'instantané peut contenir celle de la même ms."""
        if not carnet.cache and carnet["timestamp"] == trame.get("mt"):
            carnet["timestamp"] -= 1
        super().handle_order_book_message(client, trame, carnet)  # type: ignore[misc]
        carnet.limit()


class Derive:
    """La classe demande des prix réunis par dix ; il est des groupes d'un."""

    async def watch_public(self, sujet: str, demande: Any, abonnement: Any) -> Any:
        """Un abonnement."""
        vrai = re.sub(r"^(orderbook\..+)\.10\.(\d+)$", r"\1.1.\2", sujet)
        params = {**demande["params"], "channels": [vrai]}
        return await super().watch_public(vrai, {**demande, "params": params}, abonnement)  # type: ignore[misc]


class P2b:
    """La classe demande des prix réunis par 0,001, souvent plus que le pas du marché ; « 0 » les laisse entiers."""

    async def subscribe(self, nom: str, sujet: str, demande: Any, params: Any = MappingProxyType({})) -> Any:
        """Un abonnement."""
        entiere = [*demande[:2], params.get("interval", "0")] if nom == "depth.subscribe" else demande
        return await super().subscribe(nom, sujet, entiere, dict(params))  # type: ignore[misc]


# Ajouter un exchange : une classe et une ligne ici, et son nom dans `CARNETS_MAL_LUS` s'il serait faux sans elle.
CORRIGES: Mapping[str, type] = {
    "bitstamp": Bitstamp, "bitvavo": Bitvavo, "deepcoin": Deepcoin, "derive": Derive, "gate": Gate, "kucoin": Kucoin,
    "mexc": Mexc, "p2b": P2b, "xt": Xt,
}  # fmt: skip


def couches(lignee: Iterable[str]) -> list[type]:
    """Ce qui se met devant une classe de cette lignée."""
    noms = dict.fromkeys(lignee)
    numerotee = [Numerotee] if not {*NUMEROS, *SOMMES}.isdisjoint(noms) else []
    return [*(CORRIGES[nom] for nom in noms if nom in CORRIGES), *numerotee]
