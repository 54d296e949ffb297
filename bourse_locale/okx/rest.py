"""Le protocole REST public d'okx (v5) : pages de la plus récente à la plus ancienne, bornes `before`/`after` exclues.

`candles` ne connaît que les 1440 dernières bougies, `history-candles` toutes. Sans suffixe « utc », les bougies de 6 h
et plus suivent l'heure de Hong Kong (16:00 UTC). ccxt ajoute le suffixe.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, ClassVar

from bourse_locale.financement import DECIMALES_TAUX, financements, interets
from bourse_locale.marche import (
    ANCRE_LUNDI_MS,
    JOUR_MS,
    MINUTE_MS,
    SEMAINE_MS,
    Bougie,
    Instrument,
    NaturePrix,
    Pas,
    Trade,
    ouverture,
    reculer,
    suivante,
    texte_decimal,
)
from bourse_locale.pages import LimiteMuette, dernieres_bougies, derniers_trades, page_html, texte_contrats
from bourse_locale.serveur import HEURE_MS, TIMEFRAMES, Appel, Limite, Protocole, Reponse

if TYPE_CHECKING:
    from bourse_locale.serveur import Bourse, Route

HONG_KONG_MS = 8 * HEURE_MS
BOUGIES_RECENTES = 1440
TRADES_JOURS = 90
"""history-trades ne remonte qu'à trois mois."""

_COURTES: dict[str, tuple[Pas, int]] = {
    "1m": (MINUTE_MS, 0),
    "3m": (3 * MINUTE_MS, 0),
    "5m": (5 * MINUTE_MS, 0),
    "15m": (15 * MINUTE_MS, 0),
    "30m": (30 * MINUTE_MS, 0),
    "1H": (HEURE_MS, 0),
    "2H": (2 * HEURE_MS, 0),
    "4H": (4 * HEURE_MS, 0),
}
_LONGUES = {"6H": 6 * HEURE_MS, "12H": 12 * HEURE_MS, "1D": JOUR_MS, "2D": 2 * JOUR_MS, "3D": 3 * JOUR_MS}
BARRES: dict[str, tuple[Pas, int]] = {
    **_COURTES,
    **{barre: (pas, -HONG_KONG_MS) for barre, pas in _LONGUES.items()},
    **{f"{barre}utc": (pas, 0) for barre, pas in _LONGUES.items()},
    "1W": (SEMAINE_MS, ANCRE_LUNDI_MS - HONG_KONG_MS),
    "1Wutc": ("semaine", 0),
    "1Mutc": ("mois", 0),
}

# Requêtes par fenêtre de 2 s et par adresse, chemin par chemin. Ajouter une route : une ligne ici et dans routes().
DEBITS = {
    "public/instruments": 20,
    "public/time": 10,
    "market/candles": 40,
    "market/history-candles": 20,
    "market/mark-price-candles": 20,
    "market/history-mark-price-candles": 20,
    "market/index-candles": 20,
    "market/history-index-candles": 10,
    "market/trades": 100,
    "market/history-trades": 20,
}
PREFIXE = "/api/v5/"


@dataclass(frozen=True)
class Serie:
    """Ce qui distingue les six routes de bougies."""

    prix: NaturePrix
    maximum: int
    recentes_seulement: bool


SERIES = {
    "market/candles": Serie("last", 300, recentes_seulement=True),
    "market/history-candles": Serie("last", 300, recentes_seulement=False),
    "market/mark-price-candles": Serie("mark", 100, recentes_seulement=True),
    "market/history-mark-price-candles": Serie("mark", 100, recentes_seulement=False),
    "market/index-candles": Serie("index", 100, recentes_seulement=True),
    "market/history-index-candles": Serie("index", 100, recentes_seulement=False),
}


class Okx(Protocole):
    """okx : spot, perpétuels et contrats à terme ; pas d'options."""

    nom: ClassVar[str] = "okx"
    decroissante: ClassVar[bool] = True
    timeframes: ClassVar[dict[str, tuple[Pas, int]]] = {
        nom: periode for nom, periode in TIMEFRAMES.items() if nom not in ("8h", "3d")
    }

    def __init__(self, bourse: Bourse) -> None:
        """Ajoute les indices et une limite par route."""
        super().__init__(bourse)
        self.par_famille: dict[str, Instrument] = {}
        for instrument in self.instruments:
            if instrument.type_marche != "spot":
                self.par_famille.setdefault(famille(instrument), instrument)
        self._limites: dict[str, Limite] = {}

    def identifiant(self, instrument: Instrument) -> str:
        """Rend BTC-USDT, BTC-USDT-SWAP ou BTC-USD-261225."""
        return inst_id(instrument)

    def config_ccxt(self, base_url: str) -> dict[str, object]:
        """Rend les deux adresses dont la classe okx se sert."""
        adresses = {"rest": base_url, "ws": base_url.replace("http", "ws", 1) + "/ws/v5"}
        return {"urls": {"api": adresses, "test": dict(adresses)}}

    def routes(self) -> dict[tuple[str, str], Route]:
        """Rend les routes publiques."""
        routes: dict[tuple[str, str], Route] = {
            ("GET", f"{PREFIXE}public/instruments"): self.lister,
            ("GET", f"{PREFIXE}public/time"): self.heure,
            ("GET", f"{PREFIXE}system/status"): lambda _appel: reussite([]),
            ("GET", f"{PREFIXE}market/trades"): self.trades_recents,
            ("GET", f"{PREFIXE}market/history-trades"): self.trades_anciens,
            ("GET", f"{PREFIXE}public/funding-rate-history"): self.financement,
            ("GET", f"{PREFIXE}rubik/stat/contracts/open-interest-history"): self.interet_ouvert,
        }
        for chemin, serie in SERIES.items():
            routes["GET", PREFIXE + chemin] = partial(self.chandelles, serie)
        return routes

    def limite_de(self, appel: Appel) -> Limite | None:
        """Rend la limite de la route ; celle des instruments est comptée par genre de marché."""
        chemin = appel.chemin.removeprefix(PREFIXE)
        if chemin not in DEBITS:
            return None
        cle = f"{chemin} {appel.params.get('instType', '')}"
        return self._limites.setdefault(cle, LimiteMuette(DEBITS[chemin], 2.0))

    def erreur(self, code: int, appel: Appel, attente_s: float = 0.0) -> Reponse:
        """Rend l'erreur d'okx : 50011 pour un débit dépassé, 50001 pour un service indisponible."""
        del appel
        entetes = {"Retry-After": str(max(1, round(attente_s)))} if attente_s else {}
        if code in (429, 418):
            return echec("50011", "Too Many Requests", code, entetes)
        if code == HTTPStatus.NOT_FOUND:
            return echec("404", "Not Found", code)
        if code == HTTPStatus.SERVICE_UNAVAILABLE:
            return echec("50001", "Service temporarily unavailable. Please try again later.", code)
        return page_html(code)

    # Marchés

    def heure(self, appel: Appel) -> Reponse:
        """Rend l'heure de l'exchange."""
        return reussite([{"ts": str(appel.maintenant_ms)}])

    def lister(self, appel: Appel) -> Reponse:
        """Rend les instruments d'un genre ; un contrat échu n'y est plus."""
        genre, sous_jacent = appel.params.get("instType", ""), appel.params.get("uly")
        if genre not in ("SPOT", "MARGIN", "SWAP", "FUTURES", "OPTION"):
            return echec("51000", "Parameter instType error", 400)
        fiches = [
            self._fiche(instrument)
            for instrument in self.instruments
            if genre_okx(instrument) == genre
            and sous_jacent in (None, famille(instrument))
            and (instrument.fin_ms is None or appel.maintenant_ms < instrument.fin_ms)
        ]
        return reussite(fiches)

    def _fiche(self, instrument: Instrument) -> dict[str, str]:
        spot = instrument.type_marche == "spot"
        lot = texte_decimal(1, instrument.decimales_quantite)
        echeance = "" if instrument.fin_ms is None else str(instrument.fin_ms)
        return {
            "alias": "quarter" if instrument.type_marche == "future" else "",
            "baseCcy": instrument.base if spot else "",
            "ctMult": "" if spot else "1",
            "ctType": instrument.sous_type or "",
            "ctVal": "" if spot else format(instrument.taille_contrat, "g"),
            "ctValCcy": "" if spot else instrument.quote if instrument.inverse else instrument.base,
            "expTime": echeance,
            "instFamily": "" if spot else famille(instrument),
            "instId": self.identifiant(instrument),
            "instType": genre_okx(instrument),
            "lever": "10" if spot else "100",
            "listTime": str(instrument.cotation_ms),
            "lotSz": lot,
            "minSz": lot,
            "quoteCcy": instrument.quote if spot else "",
            "settleCcy": instrument.settle or "",
            "state": "live" if instrument.actif else "suspend",
            "tickSz": texte_decimal(1, instrument.decimales_prix),
            "uly": "" if spot else famille(instrument),
        }

    # Bougies

    def _instrument_de(self, serie: Serie, identifiant: str) -> Instrument | None:
        """Rend le marché d'une série : l'indice se demande par famille, et un marché spot n'a pas de prix de marque."""
        if serie.prix == "index":
            return self.par_famille.get(identifiant)
        instrument = self.par_id.get(identifiant)
        sans_marque = serie.prix == "mark" and instrument is not None and instrument.type_marche == "spot"
        return None if sans_marque else instrument

    def chandelles(self, serie: Serie, appel: Appel) -> Reponse:
        """Rend les bougies les plus récentes de ]before, after[, la plus récente d'abord."""
        barre = appel.params.get("bar", "1m")
        instrument = self._instrument_de(serie, appel.params.get("instId", ""))
        if instrument is None:
            return echec("51001", "Instrument ID, Instrument ID code, or Spread ID doesn't exist.")
        if barre not in BARRES:
            return echec("51000", "Parameter bar error", 400)
        nombre = min(appel.entier("limit") or 100, serie.maximum)
        debut, fin = self._fenetre(serie, instrument, BARRES[barre], appel)
        cle = f"{appel.chemin} {appel.params['instId']} {barre} {debut} {fin} {nombre}"
        # Une page dont la dernière bougie n'est pas close changera encore ; une page abîmée n'est pas à garder.
        gardee = appel.panne is None and fin <= ouverture(*BARRES[barre], appel.maintenant_ms)
        faire = partial(self._page, serie, instrument, appel, debut, fin, nombre)
        return Reponse(self.page(cle if gardee else None, faire))

    def _fenetre(self, serie: Serie, instrument: Instrument, periode: tuple[Pas, int], appel: Appel) -> tuple[int, int]:
        """Rend [debut, fin[ : bornes exclues, cotation, et pour `candles` les 1440 dernières bougies."""
        pas, ancre = periode
        avant, apres = appel.entier("before"), appel.entier("after")
        debut = ouverture(pas, ancre, instrument.cotation_ms)
        if serie.recentes_seulement:
            courante = ouverture(pas, ancre, appel.maintenant_ms)
            debut = max(debut, reculer(pas, ancre, courante, BOUGIES_RECENTES - 1))
        fin = appel.maintenant_ms + 1 if apres is None else min(apres, appel.maintenant_ms + 1)
        return debut if avant is None else max(debut, avant + 1), fin

    def _page(
        self, serie: Serie, instrument: Instrument, appel: Appel, debut_ms: int, fin_ms: int, nombre: int
    ) -> dict[str, object]:
        barre = appel.params.get("bar", "1m")
        periode = BARRES[barre]

        def lire(debut: int, fin: int) -> list[Bougie]:
            return self.lire(instrument, periode, debut, fin, serie.prix, appel.maintenant_ms)

        lignes = dernieres_bougies(lire, periode, debut_ms, fin_ms, nombre)[::-1]
        servies = self.abimer_page(appel, lignes, f"{appel.params['instId']} {barre}", lire, periode)
        rediger = partial(ligne, instrument, serie.prix, periode, appel.maintenant_ms)
        colonnes = COLONNES if instrument.type_marche == "spot" else COLONNES_CONTRATS
        return enveloppe(self.rediger(servies, rediger, colonnes))

    def volume_ccxt(self, instrument: Instrument, bougie: Bougie, prix: NaturePrix) -> float | None:
        """Rend le volume en monnaie de base, celui que lit ccxt ; les séries mark et index n'en ont pas."""
        if prix != "last":
            return None
        return float(volumes(instrument, bougie)[0 if instrument.type_marche == "spot" else 1])

    def attendu(
        self, symbole: str, timeframe: str, debut_ms: int, fin_ms: int, prix: NaturePrix = "last"
    ) -> list[tuple[int, float, float, float, float, float | None]]:
        """Rend l'oracle ; l'indice est celui de la famille, commun au perpétuel et aux contrats à terme."""
        if prix == "index":
            symbole = self.par_famille[famille(self.par_symbole[symbole])].symbole
        return super().attendu(symbole, timeframe, debut_ms, fin_ms, prix)

    # Trades

    def trades_recents(self, appel: Appel) -> Reponse:
        """Rend les derniers trades, le plus récent d'abord (500 au plus)."""
        instrument = self.par_id.get(appel.params.get("instId", ""))
        if instrument is None:
            return echec("51001", "Instrument ID, Instrument ID code, or Spread ID doesn't exist.")
        nombre = min(appel.entier("limit") or 100, 500)
        derniers = derniers_trades(self.marche, instrument, 0, appel.maintenant_ms + 1, nombre)
        return reussite([ligne_trade(instrument, trade) for trade in reversed(derniers)])

    def trades_anciens(self, appel: Appel) -> Reponse:
        """Rend les derniers trades de ]before, after[, par identifiant (type 1) ou par instant (type 2)."""
        instrument = self.par_id.get(appel.params.get("instId", ""))
        if instrument is None:
            return echec("51001", "Instrument ID, Instrument ID code, or Spread ID doesn't exist.")
        nombre = min(appel.entier("limit") or 100, 100)
        par_instant = appel.params.get("type", "1") == "2"
        bornes = self._bornes_instants if par_instant else self._bornes_identifiants
        debut, fin = bornes(instrument, appel)
        debut = max(debut, appel.maintenant_ms - TRADES_JOURS * JOUR_MS)
        # Un identifiant ne dit que la minute : le reste de celle-ci se trie après lecture.
        lus = derniers_trades(self.marche, instrument, debut, min(fin, appel.maintenant_ms + 1), nombre + 64)
        avant, apres = appel.entier("before"), appel.entier("after")
        gardes = [
            trade
            for trade in lus
            if (avant is None or avant < (trade.ts if par_instant else trade.id))
            and (apres is None or apres > (trade.ts if par_instant else trade.id))
        ]
        return reussite([ligne_trade(instrument, trade) for trade in reversed(gardes[-nombre:])])

    # Relevés

    def financement(self, appel: Appel) -> Reponse:
        """Rend les derniers règlements de ]before, after[, le plus récent d'abord ; trois mois sont gardés."""
        instrument = self.par_id.get(appel.params.get("instId", ""))
        if instrument is None or instrument.type_marche != "swap":
            return echec("51001", "Instrument ID, Instrument ID code, or Spread ID doesn't exist.")
        avant, apres = appel.entier("before"), appel.entier("after")
        debut = max(0 if avant is None else avant + 1, appel.maintenant_ms - TRADES_JOURS * JOUR_MS)
        fin = min(appel.maintenant_ms + 1 if apres is None else apres, appel.maintenant_ms + 1)
        nombre = min(appel.entier("limit") or 100, 400)
        lus = financements(self.marche, instrument, debut, fin, slice(-nombre, None))
        return reussite([
            {
                "instType": "SWAP",
                "instId": inst_id(instrument),
                "fundingRate": texte_decimal(lu.taux + 1, DECIMALES_TAUX),  # le taux annoncé, qui n'est pas le réglé
                "realizedRate": texte_decimal(lu.taux, DECIMALES_TAUX),
                "fundingTime": str(lu.ts),
                "method": "next_period",
            }
            for lu in reversed(lus)
        ])  # fmt: skip

    def interet_ouvert(self, appel: Appel) -> Reponse:
        """Rend les derniers relevés de ]begin, end[, le plus récent d'abord : contrats, monnaie, dollars."""
        instrument = self.par_id.get(appel.params.get("instId", ""))
        pas = {"5m": 5 * MINUTE_MS, "1H": 60 * MINUTE_MS, "1D": JOUR_MS}.get(appel.params.get("period", "5m"))
        if instrument is None or pas is None:
            return echec("51000", "Parameter error")
        debut, fin = appel.entier("begin"), appel.entier("end")
        nombre = min(appel.entier("limit") or 100, 100)
        jusqua = min(appel.maintenant_ms + 1 if fin is None else fin, appel.maintenant_ms + 1)
        depuis = max(0 if debut is None else debut + 1, jusqua - (nombre + 1) * pas)
        lus = interets(self.marche, instrument, pas, depuis, jusqua)[-nombre:]
        quantite, valeur = instrument.texte_quantite, instrument.texte_volume_quote
        lignes = [
            [str(lu.ts), quantite(lu.lots), texte_contrats(instrument, lu.lots, 0), valeur(lu.lots * lu.prix)]
            for lu in lus
        ]
        return reussite(lignes[::-1])

    def _bornes_instants(self, _instrument: Instrument, appel: Appel) -> tuple[int, int]:
        apres = appel.entier("after")
        return (appel.entier("before") or 0), appel.maintenant_ms + 1 if apres is None else apres

    def _bornes_identifiants(self, instrument: Instrument, appel: Appel) -> tuple[int, int]:
        avant, apres, fin = appel.entier("before"), appel.entier("after"), appel.maintenant_ms + 1
        minute = partial(self.marche.minute_du_trade, instrument, maintenant_ms=appel.maintenant_ms)
        return (0 if avant is None else minute(avant)), (fin if apres is None else minute(apres) + MINUTE_MS)


COLONNES = {"ts": 0, "open": 1, "high": 2, "low": 3, "close": 4, "volume": 5}
COLONNES_CONTRATS = {**COLONNES, "volume": 6}
"""ccxt lit le volume d'un contrat en colonne 6 (monnaie de base), non en colonne 5 (contrats)."""


def famille(instrument: Instrument) -> str:
    """Rend la famille d'un marché, qui est aussi son indice : BTC-USDT."""
    return f"{instrument.base}-{instrument.quote}"


def inst_id(instrument: Instrument) -> str:
    """Rend l'identifiant d'un marché : BTC-USDT, BTC-USDT-SWAP, BTC-USD-261225."""
    suffixe = {"spot": "", "swap": "-SWAP", "future": f"-{instrument.echeance}"}[instrument.type_marche]
    return famille(instrument) + suffixe


def genre_okx(instrument: Instrument) -> str:
    """Rend SPOT, SWAP ou FUTURES."""
    return {"spot": "SPOT", "swap": "SWAP", "future": "FUTURES"}[instrument.type_marche]


def volumes(instrument: Instrument, bougie: Bougie) -> list[str]:
    """Rend vol (contrats ou base), volCcy (base d'un contrat, quote d'un spot) et volCcyQuote."""
    vol, quote = instrument.texte_quantite(bougie.volume), instrument.texte_volume_quote(bougie.volume_quote)
    if instrument.type_marche == "spot":
        return [vol, quote, quote]
    en_contrats = texte_contrats(instrument, bougie.volume, instrument.decimales_quantite)
    if instrument.inverse:
        return [vol, quote, en_contrats]
    return [vol, en_contrats, texte_contrats(instrument, bougie.volume_quote, instrument.decimales_volume_quote)]


def ligne(
    instrument: Instrument, prix: NaturePrix, periode: tuple[Pas, int], maintenant_ms: int, bougie: Bougie
) -> list[object]:
    """Rend une ligne de bougie ; la dernière cellule dit si elle est close."""
    close = suivante(*periode, bougie.ts) <= maintenant_ms
    cellules: list[object] = [str(bougie.ts), *map(instrument.texte_prix, bougie[1:5])]
    if prix == "last":
        cellules += volumes(instrument, bougie)
    return [*cellules, "1" if close else "0"]


def ligne_trade(instrument: Instrument, trade: Trade) -> dict[str, str]:
    """Rend un trade tel que REST le sert ; le WebSocket le reprend mot pour mot."""
    return {
        "instId": inst_id(instrument),
        "side": trade.sens,
        "sz": instrument.texte_quantite(trade.quantite),
        "source": "0",
        "px": instrument.texte_prix(trade.prix),
        "tradeId": str(trade.id),
        "ts": str(trade.ts),
    }


def enveloppe(donnees: object) -> dict[str, object]:
    """Rend le corps d'une réponse réussie."""
    return {"code": "0", "msg": "", "data": donnees}


def reussite(donnees: object) -> Reponse:
    """Rend une réponse réussie."""
    return Reponse(enveloppe(donnees))


def echec(code: str, message: str, http: int = 200, entetes: dict[str, str] | None = None) -> Reponse:
    """Rend un refus d'okx : un code à lui, souvent sous un HTTP 200."""
    return Reponse({"code": code, "msg": message, "data": []}, http, entetes or {})
