"""Ce qu'une exécution laisse à la suivante des limites d'un exchange : ses pauses, ce qui compte dans sa fenêtre.

Le module s'en passe quand il est copié seul : un exchange qui l'a banni le lui redira à la première requête.
"""

from __future__ import annotations

import contextlib
import functools
import json
import math
from typing import TYPE_CHECKING, Any, ClassVar

from annexes_ccxt_fr.fenetres import PART_DE_FENETRE, LimiteurAFenetre
from annexes_ccxt_fr.menage import publier
from module_ccxt_fr_v2 import (
    ATTENTE_MAX_S,
    HEURE_MS,
    MINUTE_MS,
    PAUSE_MAX_S,
    SECONDE_MS,
    ErreurSortie,
    Frein,
    LimiteDeDebit,
    Verrou,
    de,
    duree_lisible,
    en_iso,
    journal,
    maintenant_ms,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from module_ccxt_fr_v2 import Limiteur, Reglages

PAUSE_NOTEE_S = 1.0  # ce qui passe plus vite (la fenêtre d'hitbtc) est passé avant l'exécution suivante


class Pauses:
    """Un petit fichier JSON à côté des sorties, pour tous les exchanges.

    Les pauses qu'il a demandées, et ce qui compte encore dans sa fenêtre. Absent, illisible ou passé : il ne compte
    pas. Ne pas pouvoir l'écrire n'arrête rien.
    """

    PASSAGES: ClassVar = "passages"
    ATTENTE_S: ClassVar = 5.0  # qui le tient n'y écrit que quelques lignes

    def __init__(self, dossier: Path) -> None:
        self.chemin = dossier / ".pauses-ccxt.json"

    def lire(self) -> dict[str, int]:
        """Les pauses qui courent encore : exchange -> instant de fin."""
        try:
            pauses = {str(nom): int(fin) for nom, fin in self._lus().items() if nom != self.PASSAGES}
        except (ValueError, TypeError, OverflowError):
            return {}
        plafond = maintenant_ms() + math.ceil(PAUSE_MAX_S) * SECONDE_MS + MINUTE_MS  # au-delà, elle n'est pas de nous
        return {nom: fin for nom, fin in pauses.items() if maintenant_ms() < fin <= plafond}

    def passages(self) -> dict[str, list[tuple[int, float]]]:
        """Les requêtes qui ont pu compter : exchange -> (instant, poids) ; d'une heure au plus, et jamais du futur."""
        try:
            lus = self._lus().get(self.PASSAGES, {})
            tous = {str(nom): [(int(instant), float(poids)) for instant, poids in dits] for nom, dits in lus.items()}
        except (ValueError, TypeError, AttributeError, OverflowError):
            return {}
        maintenant = maintenant_ms()
        recents = {
            nom: [p for p in dits if maintenant - HEURE_MS < p[0] <= maintenant and 0 < p[1] < math.inf]
            for nom, dits in tous.items()
        }
        return {nom: dits for nom, dits in recents.items() if dits}

    def noter(self, exchange: str, fin_ms: int) -> None:
        """Garde une pause ; une plus longue déjà notée reste."""

        def ajouter(pauses: dict[str, int], _: dict[str, Any]) -> None:
            pauses[exchange] = max(fin_ms, pauses.get(exchange, 0))

        self._changer(exchange, ajouter)

    def noter_passages(self, exchange: str, passages: Sequence[tuple[int, float]]) -> None:
        """Garde ce qui compte encore dans la fenêtre d'un exchange, à la place de ce qui en était noté."""

        def remplacer(_: dict[str, int], tous: dict[str, Any]) -> None:
            tous[exchange] = list(passages)

        self._changer(exchange, remplacer)

    def _lus(self) -> dict[str, Any]:
        try:
            lus = json.loads(self.chemin.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            return {}
        return lus if isinstance(lus, dict) else {}

    def _changer(self, exchange: str, changer: Callable[[dict[str, int], dict[str, Any]], None]) -> None:
        """Lit, change et récrit, seul : deux exécutions d'un dossier s'ôteraient ce qu'elles y notent."""
        verrou = Verrou(self.chemin)
        try:
            verrou.prendre(self.ATTENTE_S)
            pauses, passages = self.lire(), self.passages()
            changer(pauses, passages)
            texte = json.dumps({**pauses, **({self.PASSAGES: passages} if passages else {})}, indent=1)
            publier(self.chemin, texte.encode())
        except ErreurSortie as refus:
            qui = exchange.replace("@sandbox", " (banc d'essai)").partition("@")[0]
            journal.warning("Les limites %s ne passeront pas aux exécutions suivantes : %s", de(qui), refus)
        finally:
            verrou.rendre()

    def nettoyer(self) -> None:
        """Ôte le fichier quand plus rien n'y compte, sauf si une autre exécution y note."""
        if not self.chemin.is_file():
            return
        verrou = Verrou(self.chemin)
        with contextlib.suppress(OSError, ErreurSortie):
            verrou.prendre()
            if not self.lire() and not self.passages():
                self.chemin.unlink(missing_ok=True)
        verrou.rendre()

    @contextlib.contextmanager
    def debit(self, reglages: Reglages) -> Iterator[Debit]:
        """Le débit d'une tâche seule ; LimiteDeDebit si l'exchange a demandé une longue pause."""
        debit = debit_de(reglages, self)
        debit.respecter_la_pause(reglages.exchange)
        try:
            yield debit
        finally:
            debit.laisser()
            self.nettoyer()


class Debit:
    """Le droit d'envoyer vers un exchange, commun aux instances d'une exécution : la pause et le limiteur.

    Il part de ce que l'exécution d'avant a laissé dans `pauses`, et laisse le sien à la suivante.
    """

    def __init__(self, nom: str, pauses: Pauses | None) -> None:
        self.frein = Frein()
        self.limiteur: Limiteur | None = None
        self._nom, self._pauses = nom, pauses
        if pauses is not None:
            fin = pauses.lire().get(nom)
            if fin is not None:
                self.frein.serrer((fin - maintenant_ms()) / 1000)
            self.frein.prevenir = functools.partial(self._noter_pause, pauses)

    def brancher(self, api: Any) -> None:
        """Fait passer une instance par ce débit ; le limiteur est celui de la première."""
        premiere = self.limiteur is None
        self.limiteur = self.limiteur or api.throttler
        api.throttler, api.frein = self.limiteur, self.frein
        if premiere and isinstance(self.limiteur, LimiteurAFenetre) and self._pauses is not None:
            ici, la_bas = self.limiteur.horloge(), maintenant_ms()
            passages = sorted(self._pauses.passages().get(self._nom, ()), reverse=True)
            self.limiteur.passages.extendleft((ici - (la_bas - instant) / 1000, poids) for instant, poids in passages)

    def respecter_la_pause(self, exchange: str) -> None:
        """Une pause courte s'attend, et se dit ; une longue fait échouer la tâche sans une requête."""
        reste_s = self.frein.reste_s
        if reste_s > ATTENTE_MAX_S:
            fin = en_iso(math.ceil((maintenant_ms() + 1000 * reste_s) / MINUTE_MS) * MINUTE_MS)
            message = f"{exchange} a demandé une pause qui dure encore {duree_lisible(reste_s)}"
            gardee = self._pauses.chemin if self._pauses is not None else None
            sinon = f" Elle est gardée dans « {gardee} » : ôtez ce fichier pour passer outre." if gardee else ""
            raise LimiteDeDebit(message, f"Relancez après {fin}.{sinon}", reste_s)
        if reste_s > 0:
            journal.info("%s a demandé une pause : encore %s à attendre.", exchange, duree_lisible(reste_s))

    def _noter_pause(self, pauses: Pauses, reste_s: float) -> None:
        if reste_s >= PAUSE_NOTEE_S:
            pauses.noter(self._nom, maintenant_ms() + math.ceil(reste_s * 1000))
        if reste_s > ATTENTE_MAX_S:
            phrase = "Pause de %s demandée (%s au plus), gardée dans « %s » : ôter ce fichier la lève."
            journal.warning(phrase, duree_lisible(reste_s), duree_lisible(PAUSE_MAX_S), pauses.chemin)

    def laisser(self) -> None:
        """Laisse à l'exécution suivante ce qui pèse ; oublié, avec sa part à elle, le reste tient dans la fenêtre."""
        if self._pauses is None:
            return
        recents: list[tuple[int, float]] = []
        if isinstance(limiteur := self.limiteur, LimiteurAFenetre):
            ages = [(limiteur.horloge() - instant, poids) for instant, poids in limiteur.passages]
            comptes = [(age_s, poids) for age_s, poids in ages if age_s < limiteur.fenetre_s - PAUSE_NOTEE_S]
            if sum(poids for _, poids in comptes) > limiteur.place * (1 / PART_DE_FENETRE - 1):
                recents = [(maintenant_ms() - math.floor(1000 * age_s), poids) for age_s, poids in comptes]
        if recents or self._nom in self._pauses.passages():
            self._pauses.noter_passages(self._nom, recents)


def debit_de(reglages: Reglages, pauses: Pauses | None) -> Debit:
    """Le débit d'un exchange, vu d'une adresse : un proxy a le sien, sous un nom qui tait son URL et son mot de passe.

    Le banc d'essai compte à part. Hors ligne, rien n'est laissé à l'exécution suivante.
    """
    nom = reglages.exchange + ("@sandbox" if reglages.sandbox else "")
    if reglages.proxy is not None:
        import hashlib  # 1 ms

        nom += f"@{hashlib.sha256(reglages.proxy.encode()).hexdigest()[:10]}"
    return Debit(nom, None if reglages.hors_ligne else pauses)
