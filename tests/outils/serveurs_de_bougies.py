"""Un marché d'essai et des serveurs de tous caractères : ce que chacun rend d'une demande de bougies."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from module_ccxt_fr_v2 import JOUR_MS, MINUTE_MS, CleSerie, Timeframe, avance_de

Ligne = list[Any]
CODES = ("1m", "1h", "1d", "1w", "1M")
ECHELLE = ("1m", "5m", "1h", "4h", "1d", "1w", "1M")
MAINTENANT = 1_718_446_651_000  # 2024-06-15T10:17:31Z : au milieu d'une bougie de chaque timeframe
CLE = CleSerie("faux", "BTC/USDT", "1m", "last")
APPELS_MAX = 4_000  # au-delà, on dira que la lecture ne finit pas

# --- Le monde : des transactions, dont toute bougie découle ---


class Monde:
    """Ce qui s'est vraiment échangé jusqu'à maintenant : une transaction par bougie vivante du timeframe de base."""

    def __init__(self, transactions: Sequence[int]) -> None:
        self.transactions = [t for t in transactions if t <= MAINTENANT]
        self._faites: dict[tuple[str, int], list[Ligne]] = {}

    def bougies(self, timeframe: Timeframe) -> list[Ligne]:
        """Toutes les bougies du timeframe, la bougie en cours comprise."""
        cle = (timeframe.code, timeframe.ancre_ms)
        if cle not in self._faites:
            self._faites[cle] = _agreger(self.transactions, timeframe)
        return self._faites[cle]


def _agreger(transactions: Sequence[int], timeframe: Timeframe) -> list[Ligne]:
    bougies: list[Ligne] = []
    for instant in transactions:
        prix, ouverture = 100.0 + instant // MINUTE_MS % 7, timeframe.plancher(instant)
        if bougies and bougies[-1][0] == ouverture:
            bougie = bougies[-1]
            bougie[2:] = [max(bougie[2], prix), min(bougie[3], prix), prix, bougie[5] + 1.0]
        else:
            bougies.append([ouverture, prix, prix, prix, prix, 1.0])
    return bougies


# --- Les serveurs ---

Choix = Callable[[list[Ligne], Timeframe, int, int, int], list[Ligne]]
"""(toutes les bougies, timeframe, début, fin, bougies par page) -> la page, avant toute panne."""


def premieres_jusqua(bougies: list[Ligne], _tf: Timeframe, debut: int, fin: int, limite: int) -> list[Ligne]:
    """Binance : les premières de [début, fin[."""
    return [b for b in bougies if debut <= b[0] < fin][:limite]


def premieres_sans_fin(bougies: list[Ligne], _tf: Timeframe, debut: int, _fin: int, limite: int) -> list[Ligne]:
    """Un exchange qui ne connaît pas `until`."""
    return [b for b in bougies if debut <= b[0]][:limite]


def dernieres_de_la_fenetre(bougies: list[Ligne], _tf: Timeframe, debut: int, fin: int, limite: int) -> list[Ligne]:
    """Bybit, okx, COIN-M : les dernières de [début, fin[."""
    return [b for b in bougies if debut <= b[0] < fin][-limite:]


def since_exclusif(bougies: list[Ligne], _tf: Timeframe, debut: int, fin: int, limite: int) -> list[Ligne]:
    """La bougie qui ouvre à `since` manque."""
    return [b for b in bougies if debut < b[0] < fin][:limite]


def since_exclusif_dernieres(bougies: list[Ligne], _tf: Timeframe, debut: int, fin: int, limite: int) -> list[Ligne]:
    """La bougie qui ouvre à `since` manque, et la page garde sa fin."""
    return [b for b in bougies if debut < b[0] < fin][-limite:]


def fin_sur_cloture(bougies: list[Ligne], tf: Timeframe, debut: int, fin: int, limite: int) -> list[Ligne]:
    """La fin est comptée sur la clôture, exclue : la dernière bougie de la fenêtre manque."""
    return [b for b in bougies if debut <= b[0] and tf.avancer(b[0], 1) < fin][:limite]


def fin_exclue(bougies: list[Ligne], tf: Timeframe, debut: int, fin: int, limite: int) -> list[Ligne]:
    """La bougie qui contient `until` manque."""
    return [b for b in bougies if debut <= b[0] < tf.plancher(fin - 1)][:limite]


def dernieres_avant_la_fin(bougies: list[Ligne], _tf: Timeframe, _debut: int, fin: int, limite: int) -> list[Ligne]:
    """`since` est ignoré : les dernières avant `until`."""
    return [b for b in bougies if b[0] < fin][-limite:]


def plafonnee_en_tete(bougies: list[Ligne], _tf: Timeframe, debut: int, fin: int, limite: int) -> list[Ligne]:
    """Rend moins que demandé : garde le début."""
    return [b for b in bougies if debut <= b[0] < fin][: max(1, limite // 3)]


def plafonnee_en_queue(bougies: list[Ligne], _tf: Timeframe, debut: int, fin: int, limite: int) -> list[Ligne]:
    """Bitget : rend moins que demandé, garde la fin."""
    return [b for b in bougies if debut <= b[0] < fin][-max(1, limite // 3) :]


def une_en_tete(bougies: list[Ligne], _tf: Timeframe, debut: int, fin: int, _limite: int) -> list[Ligne]:
    """Une seule bougie par page : la première."""
    return [b for b in bougies if debut <= b[0] < fin][:1]


def decroissante(bougies: list[Ligne], tf: Timeframe, debut: int, fin: int, limite: int) -> list[Ligne]:
    """La plus récente d'abord."""
    return premieres_jusqua(bougies, tf, debut, fin, limite)[::-1]


PERSONNALITES: dict[str, Choix] = {
    f.__name__: f
    for f in (
        premieres_jusqua,
        premieres_sans_fin,
        dernieres_de_la_fenetre,
        since_exclusif,
        since_exclusif_dernieres,
        fin_sur_cloture,
        fin_exclue,
        dernieres_avant_la_fin,
        plafonnee_en_tete,
        plafonnee_en_queue,
        une_en_tete,
        decroissante,
    )
}

# --- Plus rares : des bords et des fenêtres comptés autrement, une histoire courte


def avec_la_courante(bougies: list[Ligne], _tf: Timeframe, debut: int, fin: int, limite: int) -> list[Ligne]:
    """La bougie en cours s'ajoute à toute page, même pleine, même ancienne."""
    page = [b for b in bougies if debut <= b[0] < fin][:limite]
    return [*page, *(b for b in bougies[-1:] if b not in page)]


def avec_la_veille(bougies: list[Ligne], _tf: Timeframe, debut: int, fin: int, limite: int) -> list[Ligne]:
    """La dernière d'avant `since`, si loin qu'elle soit, précède toute page."""
    veille = [b for b in bougies if b[0] < debut][-1:]
    return [*veille, *(b for b in bougies if debut <= b[0] < fin)][:limite]


def since_sur_cloture(bougies: list[Ligne], tf: Timeframe, debut: int, fin: int, limite: int) -> list[Ligne]:
    """Les bords sont comptés sur les clôtures : celle d'avant `since` est rendue, la dernière de la fenêtre manque."""
    return [b for b in bougies if debut <= tf.avancer(b[0], 1) < fin][:limite]


def deux_bouts_exclus(bougies: list[Ligne], tf: Timeframe, debut: int, fin: int, limite: int) -> list[Ligne]:
    """Ni la première ni la dernière de la fenêtre."""
    return [b for b in bougies if debut < b[0] < tf.plancher(fin - 1)][:limite]


def page_alignee(bougies: list[Ligne], tf: Timeframe, debut: int, fin: int, limite: int) -> list[Ligne]:
    """Bitbank, par jour ou par an : la page de calendrier qui contient `since`, ni plus ni moins."""
    if tf.mois:
        return premieres_jusqua(bougies, tf, debut, fin, limite)
    origine = tf.plancher(0)
    ouverture = tf.avancer(origine, tf.compter(origine, debut) // limite * limite)
    return [b for b in bougies if ouverture <= b[0] < tf.avancer(ouverture, limite)]


def fenetre_fixe(bougies: list[Ligne], tf: Timeframe, debut: int, _fin: int, limite: int) -> list[Ligne]:
    """Toute page couvre `limite` bougies, avec ou sans transactions."""
    return [b for b in bougies if debut <= b[0] < tf.avancer(debut, limite)]


def comptee_par_la_fin(bougies: list[Ligne], tf: Timeframe, debut: int, fin: int, limite: int) -> list[Ligne]:
    """Cryptocom : autant de bougies que la fenêtre en a, les dernières avant sa fin, d'où qu'elles viennent."""
    return [b for b in bougies if b[0] < fin][-min(limite, tf.compter(debut, fin)) :]


def dernieres_seules(bougies: list[Ligne], _tf: Timeframe, debut: int, fin: int, limite: int) -> list[Ligne]:
    """Rien n'est gardé au-delà des 150 dernières de chaque timeframe."""
    return [b for b in bougies[-150:] if debut <= b[0] < fin][:limite]


def muette_hors_portee(bougies: list[Ligne], _tf: Timeframe, debut: int, fin: int, limite: int) -> list[Ligne]:
    """Rien n'est gardé au-delà des 150 dernières : une demande qui commence avant elles ne rend rien."""
    gardees = bougies[-150:]
    if gardees != bougies and debut < gardees[0][0]:
        return []
    return [b for b in gardees if debut <= b[0] < fin][:limite]


def longues_courtes(bougies: list[Ligne], tf: Timeframe, debut: int, fin: int, limite: int) -> list[Ligne]:
    """Les timeframes longs n'ont que leurs vingt dernières."""
    return [b for b in bougies[-20 if tf.pas_ms > MINUTE_MS else 0 :] if debut <= b[0] < fin][:limite]


RARES: dict[str, Choix] = {
    f.__name__: f
    for f in (
        avec_la_courante,
        avec_la_veille,
        since_sur_cloture,
        deux_bouts_exclus,
        page_alignee,
        fenetre_fixe,
        comptee_par_la_fin,
        dernieres_seules,
        muette_hors_portee,
        longues_courtes,
    )
}

# --- D'un marché de quelques bougies, ce que gardent les timeframes plus courts


def courtes_oublieuses(bougies: list[Ligne], tf: Timeframe, debut: int, fin: int, limite: int) -> list[Ligne]:
    """En deçà du jour, rien n'est gardé au-delà des trente dernières."""
    return [b for b in bougies[-30 if tf.pas_ms < JOUR_MS else 0 :] if debut <= b[0] < fin][:limite]


def courtes_aux_dernieres(bougies: list[Ligne], tf: Timeframe, debut: int, fin: int, limite: int) -> list[Ligne]:
    """En deçà du jour, `since` est ignoré : toujours les dernières."""
    return bougies[-limite:] if tf.pas_ms < JOUR_MS else [b for b in bougies if debut <= b[0] < fin][:limite]


def longues_aux_dernieres(bougies: list[Ligne], tf: Timeframe, debut: int, fin: int, limite: int) -> list[Ligne]:
    """À partir du jour, `since` est ignoré, et cinq bougies sont tout ce qu'une page rend."""
    return bougies[-5:] if tf.pas_ms >= JOUR_MS else [b for b in bougies if debut <= b[0] < fin][:limite]


DE_JEUNES: dict[str, Choix] = {
    f.__name__: f for f in (courtes_oublieuses, courtes_aux_dernieres, longues_aux_dernieres)
}

Panne = Callable[[int, list[Ligne], "Serveur"], list[Ligne]]
"""(numéro d'appel à partir de 1, page saine, serveur) -> la page rendue."""


@dataclass
class Serveur:
    """Un exchange : un monde, un caractère, une page maximale, et peut-être une panne."""

    monde: Monde
    choisir: Choix = premieres_jusqua
    limite: int = 50
    panne: Panne = lambda _numero, page, _serveur: page
    ancres: dict[str, int] = field(default_factory=dict)
    appels: list[tuple[str, int, int, bool]] = field(default_factory=list)
    pages: list[list[Ligne]] = field(default_factory=list)

    async def demander(self, timeframe: Timeframe, debut: int, fin: int, relecture: bool) -> list[Ligne]:
        """Une page ; échoue si la lecture ne finit pas."""
        self.appels.append((timeframe.code, debut, fin, relecture))
        assert len(self.appels) < APPELS_MAX, "la lecture ne finit pas"
        numero = len(self.appels)
        await asyncio.sleep(0)
        timeframe = timeframe.ancrer(self.ancres.get(timeframe.code, 0))
        debut = timeframe.avancer(debut, -avance_de(timeframe))  # comme l'historique le demande à l'exchange
        saine = self.choisir(self.monde.bougies(timeframe), timeframe, debut, fin, self.limite)
        page = self.panne(numero, [list(ligne) for ligne in saine], self)
        self.pages.append(page)
        return page


POINTS = {"1m": 400, "5m": 400, "1h": 400, "4h": 400, "1d": 400, "1w": 160, "1M": 60}
# Les bougies d'un marché plein, avant la plage.
AVANT = {"1m": 900, "5m": 900, "1h": 900, "4h": 900, "1d": 900, "1w": 120, "1M": 40}


def plage_de(code: str, recul: int = 30) -> tuple[Timeframe, int, int]:
    """Une plage qui finit `recul` bougies avant maintenant."""
    timeframe = Timeframe.lire(code)
    fin = timeframe.avancer(MAINTENANT, -recul)
    return timeframe, timeframe.avancer(fin, -POINTS[code]), fin


def monde(code: str, vivante: Callable[[int], bool], depuis: int | None = None, ancre: int = 0) -> Monde:
    """Les bougies vivantes, numérotées depuis le début de la plage."""
    timeframe, debut, _ = plage_de(code)
    premier = -AVANT[code] if depuis is None else depuis
    dernier = timeframe.compter(debut, MAINTENANT)
    rangs = filter(vivante, range(premier, dernier))
    return Monde([timeframe.avancer(debut, rang) + ancre for rang in rangs])
