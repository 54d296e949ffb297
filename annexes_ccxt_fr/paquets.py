"""Importer la classe d'un exchange sans les cent autres : les trois paquets de ccxt coûtent une seconde de CPU.

Le module s'en passe quand il est copié seul : il importe alors le paquet entier.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import sys
import threading
from types import ModuleType
from typing import Any, ClassVar

from module_ccxt_fr_v2 import importer


class PaquetDiffere(ModuleType):
    """Un paquet de ccxt dont l'`__init__`, qui importe une centaine de classes, n'est pas encore exécuté.

    Tant que `importer_une_classe` en importe une, un nom demandé ici est celui d'une classe, cherchée dans son module.
    Au premier autre accès, d'où qu'il vienne, l'`__init__` est exécuté, et le paquet redevient celui que tout autre
    code attend.
    """

    # Ce que la machinerie d'import lit et pose d'un paquet, sans rien vouloir de son contenu.
    MACHINERIE: ClassVar = frozenset(
        {"__name__", "__spec__", "__path__", "__loader__", "__package__", "__file__", "__cached__", "__class__"}
    )
    verrou: ClassVar = threading.RLock()
    charges: ClassVar[list[str]] = []  # les classes que le fil qui tient le verrou importe
    executes: ClassVar[list[ModuleType]] = []  # les paquets dont il exécute l'`__init__`

    def __getattribute__(self, nom: str) -> Any:
        lire = functools.partial(ModuleType.__getattribute__, self)  # pas `super()` : la classe change en route
        if nom in PaquetDiffere.MACHINERIE:
            return lire(nom)
        with PaquetDiffere.verrou:
            if type(self) is PaquetDiffere and self not in PaquetDiffere.executes:
                trouve = _sans_l_executer(self, nom) if PaquetDiffere.charges else None
                if trouve is not None:
                    return trouve
                _executer_paquet(self)
            return lire(nom)

    def __setattr__(self, nom: str, valeur: Any) -> None:
        pose_par_l_import = isinstance(valeur, ModuleType) and valeur.__name__ == f"{self.__name__}.{nom}"
        if nom not in PaquetDiffere.MACHINERIE and not pose_par_l_import:
            vars(self)  # l'exécute : il écraserait ce qu'on pose ici
        ModuleType.__setattr__(self, nom, valeur)


def _sans_l_executer(paquet: ModuleType, nom: str) -> Any:
    """Ce qu'un paquet différé, exécuté, donnerait sous ce nom : sous-paquet, classe, erreur ; None : l'exécuter."""
    if nom.startswith("__"):
        return None
    chemin = f"{paquet.__name__}.{nom}"
    if importlib.util.find_spec(chemin) is None:
        module = f"{paquet.__name__}.base.exchange" if nom == "Exchange" else "ccxt.base.errors"
        return getattr(importlib.import_module(module), nom, None)
    sous_module = importlib.import_module(chemin)
    return sous_module if hasattr(sous_module, "__path__") else getattr(sous_module, nom, None)


def _executer_paquet(paquet: ModuleType) -> None:
    """Rend un paquet différé à lui-même."""
    PaquetDiffere.executes.append(paquet)
    try:
        paquet.__spec__.loader.exec_module(paquet)  # type: ignore[union-attr]  # `_differer` a vu qu'il en a un
        paquet.__class__ = ModuleType
    finally:
        PaquetDiffere.executes.remove(paquet)


def _differer(nom: str) -> None:
    """Met un paquet différé là où l'import chercherait celui-ci, s'il n'est pas importé ; absent, l'import le dira."""
    parent, _, dernier = nom.rpartition(".")
    if nom in sys.modules or (parent and sys.modules.get(parent) is None):
        return
    if (spec := importlib.util.find_spec(nom)) is None or spec.loader is None:
        return
    paquet = importlib.util.module_from_spec(spec)
    paquet.__class__ = PaquetDiffere
    sys.modules[nom] = paquet
    if parent:
        setattr(sys.modules[parent], dernier, paquet)


def importer_une_classe(paquet: str, exchange: str) -> Any:
    """Le module d'une classe dans un paquet de ccxt, importé avec ceux de ses parentes ; None s'il n'y en a pas."""
    with PaquetDiffere.verrou:
        for nom in ("ccxt", "ccxt.async_support", "ccxt.pro"):
            _differer(nom)
        importer(paquet, "Parler à un exchange")
        PaquetDiffere.charges.append(exchange)
        try:
            importer("ccxt.async_support.base.exchange", "Parler à un exchange")
            if not exchange.isidentifier() or importlib.util.find_spec(f"{paquet}.{exchange}") is None:
                return None
            return importer(f"{paquet}.{exchange}", "Parler à un exchange")
        finally:
            PaquetDiffere.charges.pop()
