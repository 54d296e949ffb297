"""Ce qu'un processus peut s'épargner : pandas, le ramasse-miettes là où rien n'est à jeter, cent écritures pour une.

Et deux mille marchés rangés, là où un seul sert ; le calendrier, refait pour chaque trade.
"""

from __future__ import annotations

import atexit
import contextlib
import datetime as dt
import functools
import gc
import os
import sys
from typing import TYPE_CHECKING, Any

from module_ccxt_fr_v2 import (
    A_VENIR,
    EPOQUE,
    INSTANT_MAX_MS,
    MINUTE_MS,
    Fiche,
    Lot,
    Trou,
    intervalles_de,
    oter,
    sans_reglement,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from module_ccxt_fr_v2 import CleSerie

SEUILS = (20_000, 20, 20)  # du ramasse-miettes
# Tas figé, un passage ne voit que ce que le flux a fait : il ne coûte rien, et chaque écoute finie est à jeter.
SEUILS_TAS_FIGE = (5_000, 5, 2)
# Ce que lit Arrow à son chargement. Sa réserve d'office en garde une par fil d'exécution, et ne rend pas au système ce
# qu'une fonte y a pris : un flux grossirait du double de son plus gros groupe de lignes.
ARROW_D_UN_FLUX = {"ARROW_DEFAULT_MEMORY_POOL": "system", "OMP_NUM_THREADS": "1"}
_SEUILS_D_AVANT: list[tuple[int, int, int]] = []  # un par tas figé, le premier devant


class _SansPandas:
    """À sa première colonne, pyarrow importe pandas s'il est là : 0,2 s, pour reconnaître ce que nous n'avons pas."""

    @staticmethod
    def find_spec(nom: str, _chemin: object = None, _cible: object = None) -> None:
        """Refuse pandas, et lui seul ; pyarrow le redemandera si l'appelant, plus tard, en veut un."""
        if nom == "pandas":
            raise ModuleNotFoundError("pandas ne sert pas à cette commande", name=nom)


@contextlib.contextmanager
def commande(*, flux: bool = False) -> Iterator[None]:
    """Le temps d'une commande, `flux` si elle en suit un ; une bibliothèque n'en ferait pas autant d'un autre."""
    # Importer et ranger les marchés ne font que créer ce qui restera : le ramasse-miettes y passait 0,1 s pour rien.
    seuils = gc.get_threshold()
    gc.set_threshold(*SEUILS)
    atexit.register(gc.freeze)  # à la sortie, il reparcourrait plusieurs fois un tas qui disparaît
    sys.meta_path.insert(0, _SansPandas)
    reglages = {nom: valeur for nom, valeur in ARROW_D_UN_FLUX.items() if flux and nom not in os.environ}
    os.environ.update(reglages)
    try:
        yield
    finally:
        sys.meta_path.remove(_SansPandas)
        gc.set_threshold(*seuils)
        for nom in reglages:
            del os.environ[nom]


@contextlib.contextmanager
def tas_fige() -> Iterator[None]:
    """Le ramasse-miettes ne reparcourt plus ce qui est déjà là (tous les marchés de ccxt), et passe plus rarement.

    ccxt fait une dizaine de dictionnaires par trade : sept cents objets neufs, son seuil d'office, c'en est soixante.
    """
    _SEUILS_D_AVANT.append(gc.get_threshold())
    gc.collect()
    gc.freeze()
    gc.collect()  # un passage entier attend un quart de ce que le dernier a vu : qu'il n'ait rien vu
    gc.set_threshold(*SEUILS_TAS_FIGE)
    try:
        yield
    finally:
        seuils = _SEUILS_D_AVANT.pop(0)
        if _SEUILS_D_AVANT:  # deux flux d'un même processus : le dernier qui finit remet ce que le premier a trouvé
            _SEUILS_D_AVANT[0] = seuils
        else:
            gc.set_threshold(*seuils)
            gc.unfreeze()


def ne_ranger_que(api: Any, symboles: Iterable[str]) -> None:
    """Une instance ccxt ne rangera que ces marchés et leurs contrats, s'ils y sont tous.

    En ranger deux mille prend 0,15 s de CPU.
    """
    voulus, ranger = set(map(sans_reglement, symboles)), type(api).set_markets

    def ranger_les_voulus(marches: Any, monnaies: Any = None) -> Any:
        if isinstance(marches, list):
            utiles = [m for m in marches if sans_reglement(str(m.get("symbol"))) in voulus]
            if voulus == {sans_reglement(m["symbol"]) for m in utiles}:
                marches = utiles
        return ranger(api, marches, monnaies)

    api.set_markets = ranger_les_voulus


@functools.lru_cache(8)
def _date_a_la_minute(minute: int) -> str:
    """« 2026-01-31T12:34: » ; `minute` : depuis l'époque."""
    return (EPOQUE + dt.timedelta(minutes=minute)).strftime("%Y-%m-%dT%H:%M:")


class Datee:
    """À mettre devant une classe ccxt, qui refait le calendrier de chaque trade : le huitième de ce qu'il coûte."""

    def iso8601(self, timestamp: Any = None) -> Any:
        """Une date, écrite comme par ccxt."""
        if type(timestamp) is not int or not 0 <= timestamp < INSTANT_MAX_MS:
            return super().iso8601(timestamp)  # type: ignore[misc]  # la classe ccxt est dessous
        minute, ms = divmod(timestamp, MINUTE_MS)
        return f"{_date_a_la_minute(minute)}{ms // 1000:02d}.{ms % 1000:03d}Z"


def enchainer(lots: Iterable[Lot]) -> list[Lot]:
    """Les mêmes lots, ceux d'une série qui se suivent réunis : une écriture au lieu de cent."""
    suites: list[list[Lot]] = []
    derniers: dict[CleSerie, tuple[list[Lot], int]] = {}  # la suite en cours, et l'instant de sa dernière ligne
    for lot in lots:
        instants = lot.lignes["timestamp"]
        suite, fin = derniers.get(lot.cle, ([], -1))
        if not suite or (len(instants) and instants[0].value <= fin):
            suite = []
            suites.append(suite)
        suite.append(lot)
        derniers[lot.cle] = suite, instants[-1].value if len(instants) else fin
    return [suite[0] if len(suite) == 1 else _reunir(suite) for suite in suites]


def _reunir(lots: Sequence[Lot]) -> Lot:
    import pyarrow as pa  # déjà là : ces lots en sont faits

    su = Fiche(lots[0].cle)  # un lot peut démentir le précédent : un trou qu'il comble, ou qu'il découvre
    for lot in lots:
        su.noter(lot.couverts, lot.trous)
    # Ce qu'un signal laisse à relire n'est pas un trou ; la sortie, qui le tient peut-être pour prouvé, doit le savoir.
    a_venir = oter((i for lot in lots for i in intervalles_de(lot.trous, A_VENIR)), su.dits())
    trous = sorted([*su.trous, *su.provisoires, *(Trou(*i, A_VENIR) for i in a_venir)])
    return Lot(su.cle, pa.concat_tables([lot.lignes for lot in lots]), su.couverts, trous)
