"""Ce que partagent les protocoles qui servent leurs pages par la fin : lecture à rebours, limites muettes, textes."""

from __future__ import annotations

from decimal import Decimal
from http import HTTPStatus
from typing import TYPE_CHECKING

from bourse_locale.marche import MINUTE_MS, Bougie, Instrument, Marche, Pas, Trade, ouverture, reculer
from bourse_locale.serveur import Limite, Reponse, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable


def dernieres_bougies(
    lire: Callable[[int, int], list[Bougie]], periode: tuple[Pas, int], debut_ms: int, fin_ms: int, nombre: int
) -> list[Bougie]:
    """Rend les `nombre` dernières bougies de [debut_ms, fin_ms[, en ordre croissant, sans lire tout l'intervalle.

    Une panne déclarée ne laisse aucune bougie : on recule alors par bonds de plus en plus longs.
    """
    pas, ancre = periode
    lues: list[Bougie] = []
    bond = nombre
    while len(lues) < nombre and debut_ms < fin_ms:
        bas = max(debut_ms, reculer(pas, ancre, ouverture(pas, ancre, fin_ms - 1), bond - 1))
        lues = lire(bas, fin_ms) + lues
        fin_ms, bond = bas, bond * 2
    return lues[-nombre:] if nombre else []


def derniers_trades(marche: Marche, instrument: Instrument, debut_ms: int, fin_ms: int, nombre: int) -> list[Trade]:
    """Rend les `nombre` derniers trades de [debut_ms, fin_ms[, en ordre croissant."""
    debut_ms = max(debut_ms, instrument.cotation_ms)
    lus: list[Trade] = []
    bond = 16 * MINUTE_MS
    while len(lus) < nombre and debut_ms < fin_ms:
        bas = max(debut_ms, fin_ms - bond)
        lus = marche.trades(instrument, bas, fin_ms) + lus
        fin_ms, bond = bas, bond * 2
    return lus[-nombre:] if nombre else []


def premiers_trades(marche: Marche, instrument: Instrument, debut_ms: int, fin_ms: int, nombre: int) -> list[Trade]:
    """Rend au moins les `nombre` premiers trades de [debut_ms, fin_ms[ s'ils existent, en ordre croissant."""
    debut_ms = max(debut_ms, instrument.cotation_ms)
    lus: list[Trade] = []
    bond = 128 * MINUTE_MS
    while len(lus) < nombre and debut_ms < fin_ms:
        haut = min(fin_ms, debut_ms + bond)
        lus += marche.trades(instrument, debut_ms, haut)
        debut_ms, bond = haut, bond * 2
    return lus


def texte_contrats(instrument: Instrument, entier: int, decimales: int) -> str:
    """Écrit entier / 10**decimales multiplié par la taille du contrat, exactement."""
    return format(Decimal(entier).scaleb(-decimales) * Decimal(repr(instrument.taille_contrat)), "f")


def page_html(code: int) -> Reponse:
    """Rend la page HTML d'un intermédiaire : ce que sert un CDN pour un 502, un 451, un 403."""
    titre = HTTPStatus(code).phrase if code in {statut.value for statut in HTTPStatus} else "Error"
    html = f"<html><head><title>{code} {titre}</title></head><body><h1>{code} {titre}</h1></body></html>"
    return Reponse(html.encode(), code, {"Content-Type": "text/html"})


class LimiteMuette(Limite):
    """Une limite dont les refus ne disent pas combien attendre : okx, bybit et kraken n'envoient pas de Retry-After."""

    def __init__(self, jetons: int, fenetre_s: float) -> None:
        """Ouvre une limite qui ne bannit pas."""
        super().__init__(jetons, fenetre_s, insistances=0)

    def consommer(self, poids: int, instant: float, perception_s: float = 0.0) -> Verdict:
        """Compte une requête ; le refus tait son attente."""
        return super().consommer(poids, instant, perception_s)._replace(attente_s=0.0)
