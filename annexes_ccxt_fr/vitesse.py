"""Ce qu'un processus peut s'épargner : pandas, et le ramasse-miettes là où rien n'est à jeter."""

from __future__ import annotations

import atexit
import contextlib
import gc
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class _SansPandas:
    """À sa première colonne, pyarrow importe pandas s'il est là : 0,2 s, pour reconnaître ce que nous n'avons pas."""

    @staticmethod
    def find_spec(nom: str, _chemin: object = None, _cible: object = None) -> None:
        """Refuse pandas, et lui seul ; pyarrow le redemandera si l'appelant, plus tard, en veut un."""
        if nom == "pandas":
            raise ModuleNotFoundError("pandas ne sert pas à cette commande", name=nom)


@contextlib.contextmanager
def commande() -> Iterator[None]:
    """Le temps d'une commande ; une bibliothèque n'en ferait pas autant du processus d'un autre."""
    # Importer et ranger les marchés ne font que créer ce qui restera : le ramasse-miettes y passait 0,1 s pour rien.
    gc.set_threshold(20_000, 20, 20)
    atexit.register(gc.freeze)  # à la sortie, il reparcourrait plusieurs fois un tas qui disparaît
    sys.meta_path.insert(0, _SansPandas)
    try:
        yield
    finally:
        sys.meta_path.remove(_SansPandas)


@contextlib.contextmanager
def tas_fige() -> Iterator[None]:
    """Le ramasse-miettes ne reparcourt plus ce qui est déjà là (tous les marchés de ccxt) à chaque rafale de trades."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
