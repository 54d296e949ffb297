"""Lire une page de bougies par colonnes : la classe ccxt, ligne à ligne, y passe la moitié du temps d'une page.

Le module s'en passe quand il est copié seul : la classe lit tout.
"""

from __future__ import annotations

import collections
import operator
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from module_ccxt_fr_v2 import journal

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def lire_page(api: Any, lignes: list[Any], marche: Any) -> list[Any]:
    """Les bougies d'une page : ce que la classe de `api` lirait de chaque ligne."""
    if not lignes or type(lignes[0]) not in (list, dict):
        return [api.parse_ohlcv(ligne, marche) for ligne in lignes]
    # Une par marché : d'un marché à l'autre, une classe peut multiplier le volume par la taille du contrat.
    connues: dict[object, Disposition] = vars(api).setdefault("dispositions", collections.defaultdict(Disposition))
    symbole = marche.get("symbol") if isinstance(marche, Mapping) else None
    disposition = connues[symbole, type(lignes[0]), len(lignes[0])]
    return disposition.lire(lignes, lambda ligne: api.parse_ohlcv(ligne, marche))


class Disposition:
    """Où sont, dans les lignes d'un exchange, les six nombres d'une bougie ; de quoi les lire par colonnes.

    `parse_ohlcv` coûte 4,5 µs par ligne, la moitié d'une page. Une page entière, lue par elle, dit quelle colonne donne
    chaque nombre ; la disposition n'est suivie que si une seule le peut, et trois lignes de chaque page, relues par la
    classe, en restent témoins. Au moindre écart, elle lit tout le reste. La première page n'apprend rien : de beaucoup
    de marchés, il n'y en a qu'une.
    """

    PAGES_MAX: ClassVar = 8  # d'un marché figé, plusieurs colonnes se valent : la page suivante en dira plus, ou non
    LISIBLES: ClassVar = frozenset({int, float, str})
    # Un instant est une colonne d'entiers, de ms ou de s ; une valeur, une colonne de nombres.
    LECTURES: ClassVar[Mapping[str, Callable[[Any], Any]]] = {
        "ms": int, "s": lambda texte: int(texte) * 1000, "nombre": float
    }  # fmt: skip

    def __init__(self) -> None:
        self._possibles: list[set[tuple[Any, str]]] | None = None  # par nombre d'une bougie : (colonne, lecture)
        self._pages = 0
        self._suivie = False

    def lire(self, lignes: Sequence[Any], lire_une: Callable[[Any], list[Any]]) -> list[list[Any]]:
        """Les bougies de ces lignes : ce que `lire_une` rendrait de chacune."""
        if self._suivie and (lues := self._par_colonnes(lignes)) is not None:
            temoins = {0, len(lignes) // 2, len(lignes) - 1}
            if all(lire_une(lignes[rang]) == lues[rang] for rang in temoins):
                return lues
            self._suivie, self._pages = False, self.PAGES_MAX
            journal.info("Une page ne se lit pas comme les précédentes : la classe ccxt lit la suite, ligne à ligne.")
        lues = [lire_une(ligne) for ligne in lignes]
        if not self._suivie and 0 < self._pages < self.PAGES_MAX:
            self._apprendre(lignes, lues)
        self._pages += 1
        return lues

    def _par_colonnes(self, lignes: Sequence[Any]) -> list[list[Any]] | None:
        """None si une ligne n'a pas la forme des autres, ou si une valeur n'est pas un nombre."""
        if len(set(map(len, lignes))) != 1:
            return None
        colonnes = [self._colonne(lignes, *next(iter(possibles))) for possibles in self._possibles or ()]
        if any(colonne is None for colonne in colonnes):
            return None
        return list(map(list, zip(*colonnes, strict=True)))

    def _colonne(self, lignes: Sequence[Any], cle: Any, lecture: str) -> list[Any] | None:
        try:
            brute = list(map(operator.itemgetter(cle), lignes))
            natures = set(map(type, brute))
            if not natures <= self.LISIBLES or (lecture != "nombre" and float in natures):
                return None
            return list(map(self.LECTURES[lecture], brute))
        except (LookupError, ValueError, OverflowError):
            return None

    def _apprendre(self, lignes: Sequence[Any], lues: Sequence[Sequence[Any]]) -> None:
        """Ne garde que les colonnes qui donnent, sur toute cette page aussi, ce que la classe y a lu."""
        if len(set(map(len, lignes))) != 1 or {len(lue) for lue in lues} != {6}:
            return
        cles = lignes[0].keys() if isinstance(lignes[0], dict) else range(len(lignes[0]))
        for rang, attendue in enumerate(map(list, zip(*lues, strict=True))):
            candidats = {
                (cle, lecture)
                for cle in cles
                for lecture in (("nombre",) if rang else ("ms", "s"))
                if self._colonne(lignes, cle, lecture) == attendue
            }
            if self._possibles is None or len(self._possibles) <= rang:
                self._possibles = [*(self._possibles or []), candidats]
            else:
                self._possibles[rang] &= candidats
        self._suivie = [len(possibles) for possibles in self._possibles or ()] == [1] * 6
