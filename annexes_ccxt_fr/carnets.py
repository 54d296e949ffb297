"""Les numéros des trames de carnet, là où la classe ccxt ne les lit pas : il en manquerait une sans que rien le dise.

Le module ne s'en passe pas : sans elle, il ne suit pas les carnets de ces exchanges.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, TypeAlias

from module_ccxt_fr_v2 import importer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Numeros: TypeAlias = tuple[str, Any, Any] | None
"""D'une trame : le marché de son carnet, le numéro de celle d'avant (None : un carnet entier), et le sien."""


def _deribit(trame: Mapping[str, Any]) -> Numeros:
    dite = trame.get("params") or {}
    if not str(dite.get("channel")).startswith("book."):
        return None
    return dite["channel"], dite["data"].get("prev_change_id"), dite["data"]["change_id"]


def _bitvavo(trame: Mapping[str, Any]) -> Numeros:
    return (trame["market"], int(trame["nonce"]) - 1, trame["nonce"]) if trame.get("event") == "book" else None


def _bybit(trame: Mapping[str, Any]) -> Numeros:
    if not str(trame.get("topic")).startswith("orderbook."):
        return None
    numero = int(trame["data"]["u"])
    return trame["topic"], None if trame.get("type") == "snapshot" else numero - 1, numero


def _backpack(trame: Mapping[str, Any]) -> Numeros:
    if not str(trame.get("stream")).startswith("depth."):
        return None
    return trame["stream"], int(trame["data"]["U"]) - 1, trame["data"]["u"]


def _krakenfutures(trame: Mapping[str, Any]) -> Numeros:
    if trame.get("feed") not in {"book", "book_snapshot"} or "seq" not in trame:
        return None  # l'abonnement accepté porte le même nom
    numero = int(trame["seq"])
    return trame["product_id"], numero - 1 if trame["feed"] == "book" else None, numero


# Ajouter un exchange : une fonction et une ligne ici, et `carnet_numerote` à sa ligne dans `PARTICULARITES`.
NUMEROS: Mapping[str, Callable[[Mapping[str, Any]], Numeros]] = {
    "deribit": _deribit,
    "bitvavo": _bitvavo,
    "bybit": _bybit,
    "backpack": _backpack,
    "krakenfutures": _krakenfutures,
}


class SuitesDeCarnets:
    """Les numéros des trames de carnet d'une connexion."""

    def __init__(self, numeros: Callable[[Mapping[str, Any]], Numeros]) -> None:
        self._numeros = numeros
        self._vus: dict[str, int] = {}

    def verifier(self, trame: Any) -> None:
        """Lève l'erreur de ccxt, avant que le carnet ne soit touché, si la trame d'avant n'est pas venue."""
        # D'une forme imprévue, une trame ne se vérifie pas : la classe en fera ce qu'elle peut.
        with contextlib.suppress(AttributeError, LookupError, TypeError, ValueError):
            if dits := self._numeros(trame):
                self._comparer(*dits)

    def _comparer(self, sujet: str, avant: Any, numero: Any) -> None:
        numero, vu = int(numero), self._vus.get(sujet)
        if avant is not None and vu is not None:
            if int(avant) > vu:
                ccxt = importer("ccxt.base.errors", "Parler à un exchange")
                raise ccxt.ChecksumError(f"carnet {sujet} : trame {avant} perdue, après la {vu}")
            numero = max(vu, numero)
        self._vus[sujet] = numero


class Numerotee:
    """À mettre devant une classe ccxt : une connexion vérifie les numéros de ses trames avant de les lire.

    D'un exchange de la table, ou de celui dont il n'est qu'un autre nom.
    """

    def client(self, url: str) -> Any:
        """Le client WebSocket d'une adresse."""
        client: Any = super().client(url)  # type: ignore[misc]  # la classe ccxt est dessous
        if hasattr(client, "suites"):
            return client
        nom = next(parente.__name__ for parente in type(self).__mro__ if parente.__name__ in NUMEROS)
        client.suites, lire = SuitesDeCarnets(NUMEROS[nom]), client.on_message_callback

        def verifier_et_lire(client_: Any, trame: Any) -> None:
            client.suites.verifier(trame)
            lire(client_, trame)

        client.on_message_callback = verifier_et_lire
        return client
