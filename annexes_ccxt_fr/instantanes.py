"""Les carnets qu'une classe ccxt fait d'un instantané partiel : rien n'en est rendu au-delà de ce qu'on sait.

Copié seul, le module ne suit pas les carnets de ces exchanges (`Particularite.carnet_partiel`) : il y manquerait des
niveaux, sans un mot.
"""

from __future__ import annotations

import bisect
import math
import time
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from module_ccxt_fr_v2 import journal

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from module_ccxt_fr_v2 import Connexion

INSTANTANE_S = 5.0  # entre deux instantanés d'un même carnet, au moins
INSTANTANE_TARDIF_S = 1.0


class Instantanes:
    """Jusqu'où vont les carnets que la classe fait d'un instantané du REST, puis de ce que le flux dit changé.

    L'instantané n'a que les premiers niveaux. D'un ordre posé plus loin avant lui, et qui ne bouge pas, aucune trame ne
    dit rien : le prix venu jusque-là, il manquerait, sans erreur, aux meilleurs niveaux. Rien n'est donc rendu au-delà
    du dernier niveau de l'instantané ; quand il en reste trop peu, le carnet repart d'un autre. Le temps qu'il vienne,
    ses états se fondent en un ; s'il tarde, il en a manqué (`decaler`). ccxt#6546, cryptofeed#604.
    """

    def __init__(self, connexion: Connexion, api: Any, decaler: Callable[[str], None]) -> None:
        self._connexion, self._api, self._decaler = connexion, api, decaler
        propre = connexion.particularite
        self._pleins: dict[str, dict[str, tuple[int, float]]] = {}  # côté -> ses niveaux, et le prix du dernier
        self._attendus: dict[str, float] = {}  # depuis quand, de ceux qui ne sont pas encore venus
        self._prochains: dict[str, float] = {}  # pas d'autre instantané avant cet instant
        lire, ouvrir, appliquer = api.fetch_rest_order_book_safe, api.order_book, api.handle_book_delta

        async def lire_et_retenir(symbole: str, limite: int | None = None, params: Any = None) -> Any:
            try:
                servi = await lire(symbole, limite or propre.niveaux_de_l_instantane, params or {})
            finally:
                self._arriver(symbole)
            self._retenir(symbole, servi, limite or propre.carnet_partiel)
            return servi

        def appliquer_et_borner(carnet: Any, ecart: Any) -> None:
            appliquer(carnet, ecart)
            self._borner(carnet)

        # La classe rognerait le carnet à chaque lecture : le niveau qu'elle ôte n'y reviendrait pas avec le prix.
        api.order_book = lambda instantane=MappingProxyType({}), _profondeur=None: ouvrir(instantane)
        api.fetch_rest_order_book_safe = lire_et_retenir
        if propre.carnet_borne:
            api.handle_book_delta = appliquer_et_borner
        if servir := getattr(api, "handle_order_book_snapshot", None):  # bitvavo, par le flux

            def servir_et_retenir(client: Any, trame: Any) -> None:
                if servi := trame.get("response"):  # sinon, un refus
                    self._arriver(symbole := api.safe_symbol(servi["market"]))
                    self._retenir(symbole, api.parse_order_book(servi, symbole), propre.carnet_partiel)
                servir(client, trame)

            api.handle_order_book_snapshot = servir_et_retenir

    def _arriver(self, symbole: str) -> None:
        """L'instantané est venu, ou a échoué."""
        self._prochains[symbole] = time.monotonic() + INSTANTANE_S
        if self._attendus.pop(symbole, math.inf) + INSTANTANE_TARDIF_S < time.monotonic():
            self._decaler(symbole)

    def _retenir(self, symbole: str, servi: Any, plein: int) -> None:
        cotes = {cote: servi[cote] for cote in ("bids", "asks") if len(servi[cote]) >= plein}
        self._pleins[symbole] = {cote: (len(niveaux), niveaux[-1][0]) for cote, niveaux in cotes.items()}

    def _borner(self, carnet: Any) -> None:
        """Du niveau que de plus proches ont poussé hors de ceux dont le flux parle, rien n'est plus su."""
        pleins = self._pleins.get(carnet["symbol"], {})
        for cote, (nombre, dernier) in pleins.items():
            if len(carnet[cote]) >= nombre:
                pleins[cote] = nombre, (max if cote == "bids" else min)(dernier, carnet[cote][nombre - 1][0])

    def connu(self, symbole: str, carnet: Any, profondeur: int) -> Any:
        """Ce qu'on sait du carnet ; vide tant qu'un côté est tout entier au-delà."""
        pleins = self._pleins.get(symbole, {}) if carnet.get("nonce") is not None else {}  # sinon, il l'attend
        sus: dict[str, Sequence[Any]] = {}
        if len(pleins) == 2 and len(nombres := {nombre for nombre, _ in pleins.values()}) == 1:
            self._connexion.dire_les_niveaux(nombres.pop(), profondeur)
        for cote, (nombre, dernier) in pleins.items():
            niveaux = carnet[cote]
            sens = -1 if cote == "bids" else 1
            sus[cote] = niveaux[: bisect.bisect_right(niveaux, sens * dernier, key=lambda niveau: sens * niveau[0])]
            if len(sus[cote]) < min(2 * profondeur, nombre // 2):
                self._repartir(symbole)
        return {**carnet, **(sus if all(sus.values()) else {"bids": [], "asks": []})} if sus else carnet

    def _repartir(self, symbole: str) -> None:
        """Un carnet vide, où les trames attendent l'instantané, comme au premier abonnement."""
        if symbole in self._attendus or time.monotonic() < self._prochains.get(symbole, 0.0):
            return
        self._attendus[symbole] = time.monotonic()
        self._api.orderbooks[symbole] = self._api.order_book()
        journal.debug("%s : le prix sort de l'instantané du carnet, qui repart d'un autre.", symbole)
        cle, demande = f"orderbook::{symbole}", f"watchingOrderBookSnapshot@{self._api.market_id(symbole)}"
        for client in self._api.clients.values():
            for nom, abonnement in client.subscriptions.items():
                if not isinstance(abonnement, dict):
                    continue
                if demande in abonnement:  # bitvavo : la classe le redemande à la trame suivante
                    del abonnement[demande]
                elif nom == cle:
                    de_lui = {**abonnement, "symbol": symbole}
                    self._api.spawn(self._api.fetch_order_book_snapshot, client, None, de_lui)
