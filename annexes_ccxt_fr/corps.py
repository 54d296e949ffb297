"""Ne pas lire sans fin le corps d'une réponse : une qui ne finit pas prendrait toute la mémoire.

Le module s'en passe quand il est copié seul.
"""

from __future__ import annotations

from typing import Any

from module_ccxt_fr_v2 import ReponseIllisible, importer

CORPS_MAX = 64 << 20  # la plus grosse liste de marchés en fait vingt Mo


class _CorpsBorne:
    """Le corps d'une réponse d'aiohttp, dont la lecture s'arrête au-delà de CORPS_MAX, décompressé."""

    def __init__(self, corps: Any) -> None:
        self._corps = corps

    def __getattr__(self, nom: str) -> Any:
        return getattr(self._corps, nom)

    async def read(self, _nombre: int = -1) -> bytes:
        """Tout le corps."""
        morceaux, taille = [], 0
        while morceau := await self._corps.readany():
            morceaux.append(morceau)
            taille += len(morceau)
            if taille > CORPS_MAX:
                raise ReponseIllisible(f"Réponse de plus de {CORPS_MAX >> 20} Mio, laissée là")
        return b"".join(morceaux)


class Bornee:
    """À mettre devant une classe ccxt : les réponses de ses sessions sont bornées."""

    session: Any = None

    def open(self, lazy: bool = False) -> None:
        """Ouvre la session HTTP."""
        avant = self.session
        super().open(lazy)  # type: ignore[misc]  # la classe ccxt est dessous
        if self.session is not avant:
            borner(self.session)

    def get_socks_proxy_session(self, proxy: str) -> Any:
        """La session d'un proxy SOCKS."""
        connue = proxy in (self.socks_proxy_sessions or {})  # type: ignore[attr-defined]
        session = super().get_socks_proxy_session(proxy)  # type: ignore[misc]
        if not connue:
            borner(session)
        return session


def borner(session: Any) -> None:
    """Fait passer par `_CorpsBorne` les réponses d'une session aiohttp que ccxt vient d'ouvrir."""

    async def borner_une(_session: Any, _contexte: Any, fin: Any) -> None:
        if fin.response.status != 101:  # un WebSocket, dont ccxt borne déjà les trames
            fin.response.content = _CorpsBorne(fin.response.content)

    suivi = importer("aiohttp", "Parler à un exchange").TraceConfig()
    suivi.on_request_end.append(borner_une)
    suivi.freeze()
    session.trace_configs.append(suivi)
