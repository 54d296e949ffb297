"""Le protocole REST public de bybit (v5) : pages de la plus récente à la plus ancienne, 200 lignes, 1000 au plus.

Avec `start` et `end`, ce sont les DERNIÈRES bougies de la fenêtre ; avec `start` seul, les premières ; sans `start`,
les plus récentes. Un `start` au milieu d'une période rend la bougie qui le contient. Toute réponse porte l'heure.
"""

from __future__ import annotations

import uuid
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, ClassVar

from bourse_locale.financement import DECIMALES_TAUX, HEURE_MS, financements, interets
from bourse_locale.marche import (
    JOUR_MS,
    MINUTE_MS,
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
from bourse_locale.serveur import TIMEFRAMES, Appel, Protocole, Reponse, Verdict, encoder

if TYPE_CHECKING:
    from bourse_locale.serveur import Bourse, Route

CATEGORIES = ("spot", "linear", "inverse", "option")
INTERVALLES = {
    "1": "1m",
    "3": "3m",
    "5": "5m",
    "15": "15m",
    "30": "30m",
    "60": "1h",
    "120": "2h",
    "240": "4h",
    "360": "6h",
    "720": "12h",
    "D": "1d",
    "W": "1w",
    "M": "1M",
}
ROUTES_BOUGIES: dict[str, NaturePrix] = {
    "/v5/market/kline": "last",
    "/v5/market/mark-price-kline": "mark",
    "/v5/market/index-price-kline": "index",
    "/v5/market/premium-index-price-kline": "premiumIndex",
}
CATEGORIES_PAR_PRIX: dict[NaturePrix, tuple[str, ...]] = {
    "last": ("spot", "linear", "inverse"),
    "mark": ("linear", "inverse"),
    "index": ("linear", "inverse"),
    "premiumIndex": ("linear",),
}
COLONNES = {"ts": 0, "open": 1, "high": 2, "low": 3, "close": 4, "volume": 5}
COLONNES_INVERSE = {**COLONNES, "volume": 6}
"""ccxt lit le volume d'un contrat inverse en colonne 6 (monnaie de base), non en colonne 5 (dollars)."""

BOUGIES_PAR_DEFAUT, BOUGIES_MAX = 200, 1000
INSTRUMENTS_PAR_DEFAUT, INSTRUMENTS_MAX = 500, 1000
BANNISSEMENT_S = 600.0


class RefusBybit(Exception):  # noqa: N818 - les noms du projet sont français
    """Refus d'une requête, avec le retCode et le texte de bybit."""

    def __init__(self, code: int, message: str) -> None:
        """Retient le code et le texte."""
        super().__init__(message)
        self.code, self.message = code, message


class LimiteBybit(LimiteMuette):
    """600 requêtes par 5 s et par adresse ; au-delà, 403 et dix minutes de bannissement."""

    def __init__(self) -> None:
        """Ouvre la limite."""
        super().__init__(600, 5.0)

    def consommer(self, poids: int, instant: float, perception_s: float = 0.0) -> Verdict:
        """Compte une requête ; le premier dépassement bannit."""
        deja_fermee = instant < self.ferme_jusqua
        verdict = super().consommer(poids, instant, perception_s)
        if verdict.accepte:
            return verdict
        if not deja_fermee:
            self.bannir(instant, BANNISSEMENT_S)
        return verdict._replace(code=HTTPStatus.FORBIDDEN if self.banni else HTTPStatus.TOO_MANY_REQUESTS)


PAS_INTERET = {
    "5min": 5 * MINUTE_MS,
    "15min": 15 * MINUTE_MS,
    "30min": 30 * MINUTE_MS,
    "1h": HEURE_MS,
    "4h": 4 * HEURE_MS,
    "1d": JOUR_MS,
}


class Bybit(Protocole):
    """bybit : spot, contrats linear et inverse ; pas d'options."""

    nom: ClassVar[str] = "bybit"
    decroissante: ClassVar[bool] = True
    timeframes: ClassVar[dict[str, tuple[Pas, int]]] = {nom: TIMEFRAMES[nom] for nom in INTERVALLES.values()}

    def __init__(self, bourse: Bourse) -> None:
        """Ajoute la limite par adresse."""
        super().__init__(bourse)
        self.limite = LimiteBybit()

    def identifiant(self, instrument: Instrument) -> str:
        """Rend « catégorie:SYMBOLE » : BTCUSDT existe au comptant et en contrat."""
        return f"{categorie(instrument)}:{symbole_bybit(instrument)}"

    def config_ccxt(self, base_url: str) -> dict[str, object]:
        """Rend toutes les adresses de la classe bybit, WebSocket compris (les publiques seules sont servies)."""
        ws = base_url.replace("http", "ws", 1) + "/v5"
        publiques = {nom: f"{ws}/public/{nom}" for nom in CATEGORIES}
        privees: dict[str, object] = dict.fromkeys(("contract", "usdc", "trade"), f"{ws}/private")
        privees["spot"] = dict.fromkeys(("unified", "nonUnified"), f"{ws}/private")
        api: dict[str, object] = dict.fromkeys(("spot", "futures", "v2", "public", "private"), base_url)
        api["ws"] = {"public": publiques, "private": privees}
        return {"urls": {"api": api, "test": dict(api)}}

    def routes(self) -> dict[tuple[str, str], Route]:
        """Rend les routes publiques."""
        routes: dict[str, Route] = {
            "/v5/market/time": self._heure,
            "/v5/market/instruments-info": self._instruments,
            "/v5/market/recent-trade": self._trades,
            "/v5/market/funding/history": self._financement,
            "/v5/market/open-interest": self._interet_ouvert,
            "/v5/system/status": lambda appel: succes(appel, {"list": []}),
        }
        for chemin, prix in ROUTES_BOUGIES.items():
            routes[chemin] = partial(self._bougies, prix)
        return {("GET", chemin): route for chemin, route in routes.items()}

    def repondre(self, appel: Appel) -> Reponse:
        """Trouve la route ; un refus reste un HTTP 200 avec un retCode."""
        try:
            return super().repondre(appel)
        except RefusBybit as refus:
            return echec(appel, refus.code, refus.message)

    def erreur(self, code: int, appel: Appel, attente_s: float = 0.0) -> Reponse:
        """Rend l'erreur de bybit : 10006 pour un débit de route, un 403 en texte pour un bannissement d'adresse."""
        entetes = {"Retry-After": str(max(1, round(attente_s)))} if attente_s else {}
        if code in (HTTPStatus.FORBIDDEN, 418):
            return Reponse(b"403, access too frequent", 403, {"Content-Type": "text/plain", **entetes})
        if code == HTTPStatus.TOO_MANY_REQUESTS:
            return echec(appel, 10006, "Too many visits. Exceeded the API Rate Limit.", code, entetes)
        return page_html(code)

    # Marchés

    def _heure(self, appel: Appel) -> Reponse:
        ms = appel.maintenant_ms
        return succes(appel, {"timeSecond": str(ms // 1000), "timeNano": f"{ms}000000"})

    def _instruments(self, appel: Appel) -> Reponse:
        """Rend une page de marchés ; seuls les contrats sont paginés, par un curseur opaque."""
        genre = categorie_demandee(appel, CATEGORIES)
        statut = appel.params.get("status", "Trading")
        fiches = [
            self._fiche(instrument, appel.maintenant_ms)
            for instrument in self.instruments
            if categorie(instrument) == genre and self._statut(instrument, appel.maintenant_ms) == statut
        ]
        if genre == "spot":
            return succes(appel, {"category": genre, "list": fiches})
        nombre = min(appel.entier("limit") or INSTRUMENTS_PAR_DEFAUT, INSTRUMENTS_MAX)
        debut = lire_curseur(appel.params.get("cursor", ""))
        fin = debut + nombre
        curseur = f"first%3D{debut}%26last%3D{fin}" if fin < len(fiches) else ""
        return succes(appel, {"category": genre, "list": fiches[debut:fin], "nextPageCursor": curseur})

    @staticmethod
    def _statut(instrument: Instrument, maintenant_ms: int) -> str:
        if maintenant_ms < instrument.cotation_ms:
            return "PreLaunch"
        echu = instrument.fin_ms is not None and maintenant_ms >= instrument.fin_ms
        return "Closed" if echu or not instrument.actif else "Trading"

    def _fiche(self, instrument: Instrument, maintenant_ms: int) -> dict[str, object]:
        fiche: dict[str, object] = {
            "symbol": symbole_bybit(instrument),
            "baseCoin": instrument.base,
            "quoteCoin": instrument.quote,
            "status": self._statut(instrument, maintenant_ms),
            "priceFilter": {"tickSize": texte_decimal(1, instrument.decimales_prix)},
        }
        return fiche | (fiche_spot(instrument) if categorie(instrument) == "spot" else fiche_contrat(instrument))

    def _trouver(self, appel: Appel, admises: tuple[str, ...]) -> Instrument:
        genre = categorie_demandee(appel, admises)
        instrument = self.par_id.get(f"{genre}:{appel.params.get('symbol', '')}")
        if instrument is None:
            raise RefusBybit(10001, "Not supported symbols")
        return instrument

    # Bougies

    def _bougies(self, prix: NaturePrix, appel: Appel) -> Reponse:
        instrument = self._trouver(appel, CATEGORIES_PAR_PRIX[prix])
        intervalle = INTERVALLES.get(appel.params.get("interval", ""))
        if intervalle is None:
            raise RefusBybit(10001, "Invalid period!")
        periode = TIMEFRAMES[intervalle]
        nombre = min(appel.entier("limit") or BOUGIES_PAR_DEFAUT, BOUGIES_MAX)
        debut, fin = fenetre(instrument, periode, appel, nombre)
        cle = f"{appel.chemin} {self.identifiant(instrument)} {intervalle} {debut} {fin} {nombre}"
        # Une page dont la dernière bougie n'est pas close changera encore ; une page abîmée n'est pas à garder.
        gardee = appel.panne is None and fin <= ouverture(*periode, appel.maintenant_ms)
        faire = partial(self._page, (instrument, prix, periode), appel, debut, fin, nombre)
        return succes(appel, self.page(cle if gardee else None, faire))

    def _page(
        self,
        serie: tuple[Instrument, NaturePrix, tuple[Pas, int]],
        appel: Appel,
        debut_ms: int,
        fin_ms: int,
        nombre: int,
    ) -> dict[str, object]:
        instrument, prix, periode = serie

        def lire(debut: int, fin: int) -> list[Bougie]:
            return self.lire(instrument, periode, debut, fin, prix, appel.maintenant_ms)

        lignes = dernieres_bougies(lire, periode, debut_ms, fin_ms, nombre)[::-1]
        identifiant = self.identifiant(instrument)
        servies = self.abimer_page(appel, lignes, f"{identifiant} {periode}", lire, periode)
        colonnes = COLONNES_INVERSE if instrument.inverse else COLONNES
        redigees = self.rediger(servies, partial(ligne, instrument, prix), colonnes)
        return {"category": categorie(instrument), "symbol": symbole_bybit(instrument), "list": redigees}

    def volume_ccxt(self, instrument: Instrument, bougie: Bougie, prix: NaturePrix) -> float | None:
        """Rend le volume en monnaie de base, celui que lit ccxt ; les autres séries de prix n'en ont pas."""
        if prix != "last":
            return None
        return float(volumes(instrument, bougie)[1 if instrument.inverse else 0])

    def attendu(
        self, symbole: str, timeframe: str, debut_ms: int, fin_ms: int, prix: NaturePrix = "last"
    ) -> list[tuple[int, float, float, float, float, float | None]]:
        """Rend l'oracle ; sur un marché spot, ccxt ignore la nature du prix et rend les derniers échanges."""
        spot = self.par_symbole[symbole].type_marche == "spot"
        return super().attendu(symbole, timeframe, debut_ms, fin_ms, "last" if spot else prix)

    # Trades

    def _trades(self, appel: Appel) -> Reponse:
        """Rend les derniers trades, le plus récent d'abord : 60 au plus en spot, 1000 sur les contrats."""
        instrument = self._trouver(appel, ("spot", "linear", "inverse"))
        defaut, maximum = (60, 60) if categorie(instrument) == "spot" else (500, 1000)
        nombre = min(appel.entier("limit") or defaut, maximum)
        derniers = derniers_trades(self.marche, instrument, 0, appel.maintenant_ms + 1, nombre)
        lignes = [ligne_trade(instrument, trade) for trade in reversed(derniers)]
        return succes(appel, {"category": categorie(instrument), "list": lignes})


    # Relevés

    def _financement(self, appel: Appel) -> Reponse:
        """Rend les derniers règlements de la fenêtre, le plus récent d'abord ; `startTime` seul est refusé."""
        instrument = self._trouver(appel, ("linear", "inverse"))
        debut, fin = appel.entier("startTime"), appel.entier("endTime")
        if debut is not None and fin is None:
            raise RefusBybit(10001, "params error: endTime is required with startTime")
        nombre = min(appel.entier("limit") or 200, 200)
        jusqua = min(appel.maintenant_ms if fin is None else fin, appel.maintenant_ms) + 1
        depuis = max(debut or 0, jusqua - nombre * 8 * HEURE_MS)
        lus = financements(self.marche, instrument, depuis, jusqua, slice(-nombre, None))
        lignes = [
            {
                "symbol": symbole_bybit(instrument),
                "fundingRate": texte_decimal(lu.taux, DECIMALES_TAUX),
                "fundingRateTimestamp": str(lu.ts),
            }
            for lu in reversed(lus)
        ]
        return succes(appel, {"category": categorie(instrument), "list": lignes})

    def _interet_ouvert(self, appel: Appel) -> Reponse:
        """Rend les derniers relevés de la fenêtre, le plus récent d'abord : base, ou dollars d'un inverse."""
        instrument = self._trouver(appel, ("linear", "inverse"))
        pas = PAS_INTERET.get(appel.params.get("intervalTime", ""))
        if pas is None:
            raise RefusBybit(10001, "intervalTime is invalid")
        debut, fin = appel.entier("startTime"), appel.entier("endTime")
        nombre = min(appel.entier("limit") or 50, 200)
        jusqua = min(appel.maintenant_ms if fin is None else fin, appel.maintenant_ms) + 1
        depuis = max(debut or 0, jusqua - (nombre + 1) * pas)
        lus = interets(self.marche, instrument, pas, depuis, jusqua)[-nombre:]
        lignes = [{"openInterest": instrument.texte_quantite(lu.lots), "timestamp": str(lu.ts)} for lu in lus]
        corps = {"category": categorie(instrument), "symbol": symbole_bybit(instrument), "list": lignes[::-1]}
        return succes(appel, {**corps, "nextPageCursor": ""})


# --- Identité et fiches -----------------------------------------------------------------------------------------------


def categorie(instrument: Instrument) -> str:
    """Rend spot, linear ou inverse."""
    return instrument.sous_type or "spot"


def symbole_bybit(instrument: Instrument) -> str:
    """Rend BTCUSDT, BTCUSDT-25DEC26 ou BTCUSDZ26 (lettre du mois d'échéance) pour un contrat à terme inverse."""
    paire = instrument.base + instrument.quote
    if instrument.type_marche != "future":
        return paire
    annee, mois, jour = (instrument.echeance[i : i + 2] for i in (0, 2, 4))
    if instrument.inverse:
        return f"{paire}{'FGHJKMNQUVXZ'[int(mois) - 1]}{annee}"
    noms = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
    return f"{paire}-{jour}{noms[int(mois) - 1]}{annee}"


def fiche_spot(instrument: Instrument) -> dict[str, object]:
    """Rend ce qui est propre à la fiche d'un marché spot."""
    lot = texte_decimal(1, instrument.decimales_quantite)
    tailles = {"basePrecision": lot, "quotePrecision": "0.00000001", "minOrderQty": lot, "maxOrderQty": "100000000"}
    return {
        "innovation": "0",
        "marginTrading": "none",
        "lotSizeFilter": {**tailles, "minOrderAmt": "1", "maxOrderAmt": "4000000"},
    }


def fiche_contrat(instrument: Instrument) -> dict[str, object]:
    """Rend ce qui est propre à la fiche d'un contrat ; minOrderQty d'un inverse est aussi sa taille, pour ccxt."""
    genre = "Inverse" if instrument.inverse else "Linear"
    forme = "Futures" if instrument.type_marche == "future" else "Perpetual"
    lot = texte_decimal(1, instrument.decimales_quantite)
    plus_petit = format(instrument.taille_contrat, "g") if instrument.inverse else lot
    return {
        "contractType": genre + forme,
        "launchTime": str(instrument.cotation_ms),
        "deliveryTime": str(instrument.fin_ms or 0),
        "settleCoin": instrument.settle,
        "priceScale": str(instrument.decimales_prix),
        "leverageFilter": {"minLeverage": "1", "maxLeverage": "100.00", "leverageStep": "0.01"},
        "lotSizeFilter": {"minOrderQty": plus_petit, "qtyStep": plus_petit, "maxOrderQty": "100000000"},
        "unifiedMarginTrade": True,
        "fundingInterval": 480,
    }


def categorie_demandee(appel: Appel, admises: tuple[str, ...]) -> str:
    """Rend la catégorie demandée, ou la refuse."""
    genre = appel.params.get("category", "linear")
    if genre not in admises:
        raise RefusBybit(10001, "Category is invalid")
    return genre


def lire_curseur(curseur: str) -> int:
    """Rend le rang où reprendre ; le curseur revient décodé ou non selon le client."""
    if not curseur:
        return 0
    rang = curseur.replace("%3D", "=").replace("%26", "&").rpartition("last=")[2]
    if not rang.isdigit():
        raise RefusBybit(10001, "cursor is invalid")
    return int(rang)


# --- Fenêtre, lignes, enveloppe ---------------------------------------------------------------------------------------


def fenetre(instrument: Instrument, periode: tuple[Pas, int], appel: Appel, nombre: int) -> tuple[int, int]:
    """Rend [debut, fin[ ; `end` est inclus, `start` descend à l'ouverture de sa période."""
    debut, fin = appel.entier("start"), appel.entier("end")
    cotation = ouverture(*periode, instrument.cotation_ms)
    haut = appel.maintenant_ms + 1 if fin is None else min(fin, appel.maintenant_ms) + 1
    if debut is None:
        return cotation, haut
    debut = ouverture(*periode, debut)
    if fin is None:
        # Compté en périodes du calendrier : les premières bougies à partir de start.
        haut = min(haut, suivante(*periode, reculer(*periode, debut, 1 - nombre)))
    return max(debut, cotation), haut


def volumes(instrument: Instrument, bougie: Bougie) -> list[str]:
    """Rend volume et turnover : base et quote, ou dollars et base pour un contrat inverse."""
    quote = instrument.texte_volume_quote(bougie.volume_quote)
    if instrument.inverse:
        return [texte_contrats(instrument, bougie.volume, instrument.decimales_quantite), quote]
    return [instrument.texte_quantite(bougie.volume), quote]


def ligne(instrument: Instrument, prix: NaturePrix, bougie: Bougie) -> list[object]:
    """Rend une ligne de kline ; hors derniers échanges, elle s'arrête à la clôture."""
    cellules: list[object] = [str(bougie.ts), *(instrument.texte(p, prix) for p in bougie[1:5])]
    return [*cellules, *volumes(instrument, bougie)] if prix == "last" else cellules


def identifiant_trade(instrument: Instrument, trade: Trade) -> str:
    """Rend l'identifiant d'un trade, le même en REST et en flux : un nombre en spot, un uuid sur les contrats."""
    if categorie(instrument) == "spot":
        return str(2_290_000_000_000_000_000 + trade.id)
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"{instrument.symbole}:{trade.id}"))


def ligne_trade(instrument: Instrument, trade: Trade) -> dict[str, object]:
    """Rend un trade tel que REST le sert."""
    return {
        "execId": identifiant_trade(instrument, trade),
        "symbol": symbole_bybit(instrument),
        "price": instrument.texte_prix(trade.prix),
        "size": instrument.texte_quantite(trade.quantite),
        "side": trade.sens.capitalize(),
        "time": str(trade.ts),
        "isBlockTrade": False,
        "isRPITrade": False,
        "seq": str(trade.id),
    }


def succes(appel: Appel, resultat: dict[str, object] | bytes) -> Reponse:
    """Rend une réponse réussie ; un résultat déjà encodé est serti tel quel, avec l'heure du moment."""
    corps = resultat if isinstance(resultat, bytes) else encoder(resultat)
    queue = f',"retExtInfo":{{}},"time":{appel.maintenant_ms}}}'
    return Reponse(b'{"retCode":0,"retMsg":"OK","result":' + corps + queue.encode())


def echec(appel: Appel, code: int, message: str, http: int = 200, entetes: dict[str, str] | None = None) -> Reponse:
    """Rend un refus de bybit : un retCode, le plus souvent sous un HTTP 200."""
    corps = {"retCode": code, "retMsg": message, "result": {}, "retExtInfo": {}, "time": appel.maintenant_ms}
    return Reponse(corps, http, entetes or {})
