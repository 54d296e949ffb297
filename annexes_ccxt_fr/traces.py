"""Ce que `--journal debug` dit de chaque requête : la demande, le code, le nombre de lignes, le temps."""

from __future__ import annotations

import contextvars
import logging
import re
import time
import urllib.parse
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from module_ccxt_fr_v2 import duree_lisible, extrait, journal, masquer, nombre_de, secrets_de

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterator


_STATUT: contextvars.ContextVar[int | None] = contextvars.ContextVar("statut_http", default=None)


class Tracee:
    """À mettre devant une classe ccxt : en `debug`, chaque requête est dite."""

    async def fetch(self, url: str, method: str = "GET", headers: Any = None, body: Any = None) -> Any:
        """Une requête."""
        reponse = super().fetch(url, method, headers, body)  # type: ignore[misc]  # la classe ccxt est dessous
        dite = journal.isEnabledFor(logging.DEBUG)
        return await (tracer(self, reponse, method, url, body) if dite else reponse)

    def handle_errors(self, code: int | None, *reste: Any) -> Any:
        """Retient le code d'une réponse."""
        _STATUT.set(code)
        return super().handle_errors(code, *reste)  # type: ignore[misc]


async def tracer(api: Any, reponse: Awaitable[Any], methode: str, url: str, corps: Any) -> Any:
    """La réponse, une fois dite."""
    depart_s = time.monotonic()
    _STATUT.set(None)
    issue = "interrompue"
    try:
        lue = await reponse
        issue = nombre_de(nombre_de_lignes(lue), "ligne")
    except Exception as erreur:
        issue = type(erreur).__name__
        raise
    else:
        return lue
    finally:
        statut, duree = _STATUT.get() or "sans réponse", duree_lisible(time.monotonic() - depart_s)
        journal.debug("%s %s : %s, %s, %s.", methode, _url_dite(api, url, corps), statut, issue, duree)


def _url_dite(api: Any, url: str, corps: Any) -> str:
    """L'URL et le corps d'une requête, lisibles, sans rien de ce qui l'autorise."""
    connus, params = secrets_de(api), api.params_tus
    suite = f" {extrait(corps)}" if isinstance(corps, str) and not connus and not params else ""
    dite = urllib.parse.unquote(url) + suite
    for nom in params:  # une valeur trop courte pour être cherchée partout se tait là où elle est nommée
        dite = re.sub(rf"([?&]{re.escape(nom)}=)[^&\s]*", r"\1***", dite)
    return masquer(dite, [*connus, *_feuilles(params)])


def _feuilles(valeur: Any) -> Iterator[str]:
    """Les valeurs simples d'une valeur composée, en texte."""
    if isinstance(valeur, Mapping):
        valeur = list(valeur.values())
    if isinstance(valeur, list | tuple):
        for element in valeur:
            yield from _feuilles(element)
    else:
        yield str(valeur)


def nombre_de_lignes(reponse: Any) -> int:
    """Combien de lignes porte une réponse : la plus longue de ses listes, jusqu'à deux étages sous la racine."""
    etage, plus_longue = [reponse], 0
    for _ in range(3):
        plus_longue = max([plus_longue, *(len(element) for element in etage if isinstance(element, list))])
        etage = [valeur for element in etage if isinstance(element, dict) for valeur in element.values()]
    return plus_longue
