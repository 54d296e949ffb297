"""Le protocole REST public de binance : spot (/api/v3), linear (/fapi/v1), inverse (/dapi/v1) ; flux : binance_flux.py.

Pagination réelle : bornes incluses, 500 lignes par défaut, 1000 au plus (1500 sur les contrats) ; spot et linear
rendent les PREMIÈRES bougies de la fenêtre, COIN-M les DERNIÈRES. Une minute sans trade y est une bougie plate.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from math import ceil
from typing import TYPE_CHECKING, ClassVar

from bourse_locale.archives import RACINE, Archives
from bourse_locale.financement import DECIMALES_TAUX, financements, interets
from bourse_locale.flux import resume
from bourse_locale.marche import (
    DECIMALES_PRIME,
    JOUR_MS,
    MINUTE_MS,
    Bougie,
    Instrument,
    NaturePrix,
    Pas,
    ouverture,
    reculer,
    suivante,
    texte_decimal,
    textes_decimaux,
)
from bourse_locale.serveur import (
    BANNI,
    INTROUVABLE,
    TIMEFRAMES,
    TROP_DE_REQUETES,
    Appel,
    Limite,
    Protocole,
    Reponse,
    cle_de_page,
    encoder,
)

if TYPE_CHECKING:
    from bourse_locale.carnet import Niveau
    from bourse_locale.flux import Resume
    from bourse_locale.marche import Trade
    from bourse_locale.serveur import Bourse, Route

INTERET_JOURS = 30
HEURE_MS = 60 * MINUTE_MS
SANS_ECHEANCE_MS = 4_133_404_800_000
COLONNES = {"ts": 0, "open": 1, "high": 2, "low": 3, "close": 4, "volume": 5, "volume_quote": 7, "nombre": 8}
COLONNES_INVERSE = {**COLONNES, "volume": 7}
"""ccxt lit le volume d'un contrat inverse en colonne 7 (monnaie de base), non en colonne 5 (contrats)."""


@dataclass(frozen=True)
class Famille:
    """Une des trois API : son préfixe, sa page la plus longue, son poids permis par minute.

    `dernieres` : d'une fenêtre de bougies, celles de la fin ; elle ne couvre pas plus de `jours_max` jours.
    """

    nom: str
    prefixe: str
    page_max: int
    jetons: int
    dernieres: bool = False
    jours_max: int = 0


FAMILLES = {
    "spot": Famille("spot", "/api/v3", 1000, 6000),
    "linear": Famille("linear", "/fapi/v1", 1500, 2400),
    "inverse": Famille("inverse", "/dapi/v1", 1500, 2400, dernieres=True, jours_max=200),
}
POIDS_SPOT = {
    "klines": 2,
    "uiKlines": 2,
    "exchangeInfo": 20,
    "aggTrades": 2,
    "trades": 10,
    "historicalTrades": 10,
    "depth": 5,
}
POIDS_CONTRATS = {"aggTrades": 20, "trades": 5, "historicalTrades": 200, "depth": 10}
PALIERS_KLINES = ((99, 1), (499, 2), (1000, 5), (1500, 10))
TIMEFRAMES_BINANCE: dict[str, tuple[Pas, int]] = {"1s": (1000, 0), **TIMEFRAMES}
CHAMPS_TICKER = {
    "p": "priceChange",
    "P": "priceChangePercent",
    "w": "weightedAvgPrice",
    "c": "lastPrice",
    "Q": "lastQty",
    "o": "openPrice",
    "h": "highPrice",
    "l": "lowPrice",
    "v": "volume",
    "q": "quoteVolume",
    "O": "openTime",
    "C": "closeTime",
    "F": "firstId",
    "L": "lastId",
    "n": "count",
}
ROUTES_DES_CLES = ("capital/config/getall", "margin/allPairs", "margin/isolated/allPairs")
PRIX_DES_ROUTES: dict[str, NaturePrix] = {
    "klines": "last",
    "markPriceKlines": "mark",
    "indexPriceKlines": "index",
    "premiumIndexKlines": "premiumIndex",
}


ERREURS_JSON = {
    451: (0, "Service unavailable from a restricted location according to 'b. Eligibility'."),
    503: (-1000, "Unknown error, please check your request or try again later."),
}


class ErreurBinance(Exception):  # noqa: N818 - nom français
    """Refus d'une requête, avec le code et le texte de binance."""

    def __init__(self, code: int, message: str) -> None:
        """Retient le code et le texte."""
        super().__init__(message)
        self.code, self.message = code, message


@dataclass(frozen=True)
class Fenetre:
    """Une demande de klines, comprise : série, bornes incluses en ms (ou None) et nombre de lignes."""

    instrument: Instrument
    periode: tuple[Pas, int]
    prix: NaturePrix
    debut_ms: int | None
    fin_ms: int | None
    limite: int
    dernieres: bool
    maintenant_ms: int


class Binance(Protocole):
    """Binance, REST public."""

    nom: ClassVar[str] = "binance"
    timeframes: ClassVar[dict[str, tuple[Pas, int]]] = TIMEFRAMES_BINANCE

    def __init__(self, bourse: Bourse) -> None:
        """Ouvre une limite par famille : le poids de l'une ne compte pas pour l'autre."""
        super().__init__(bourse)
        self.limites = {nom: Limite(famille.jetons, 60.0) for nom, famille in FAMILLES.items()}
        self._symboles = {nom: encoder(self._fiches(nom)) for nom in FAMILLES}
        self.archives = Archives(self, lignes_klines)
        self._par_pair = {
            f"{self.famille(i)}:{i.base}{i.quote}": i for i in reversed(self.instruments) if i.type_marche == "swap"
        }

    # Identité

    @staticmethod
    def famille(instrument: Instrument) -> str:
        """Rend spot, linear ou inverse."""
        return instrument.sous_type or "spot"

    @staticmethod
    def symbole(instrument: Instrument) -> str:
        """Rend le symbole binance : BTCUSDT, BTCUSDT_261225, BTCUSD_PERP."""
        paire = instrument.base + instrument.quote
        if instrument.type_marche == "future":
            return f"{paire}_{instrument.echeance}"
        return f"{paire}_PERP" if instrument.inverse else paire

    def identifiant(self, instrument: Instrument) -> str:
        """Rend « famille:SYMBOLE » : BTCUSDT existe au comptant et en contrat."""
        return f"{self.famille(instrument)}:{self.symbole(instrument)}"

    def config_ccxt(self, base_url: str) -> dict[str, object]:
        """Rend les urls de toutes les API de la classe ccxt, même celles que ce protocole ne sert pas (404)."""
        suffixes = {"": "v1", "V2": "v2", "V3": "v3", "V4": "v4"}
        api = {f"sapi{s}": f"{base_url}/sapi/{v}" for s, v in suffixes.items()}
        for racine in ("fapi", "dapi"):
            api[f"{racine}Data"] = f"{base_url}/{racine}/futures/data"
            for acces in ("Public", "Private"):
                api.update({f"{racine}{acces}{s}": f"{base_url}/{racine}/{v}" for s, v in suffixes.items()})
        api.update({f"eapi{acces}": f"{base_url}/eapi/v1" for acces in ("Public", "Private")})
        api.update({"public": f"{base_url}/api/v3", "private": f"{base_url}/api/v3", "v1": f"{base_url}/api/v1"})
        api.update({"papi": f"{base_url}/papi/v1", "papiV2": f"{base_url}/papi/v2"})
        return {"urls": {"api": {**api, "ws": urls_ws(base_url)}, "archives": base_url + RACINE}}

    def routes(self) -> dict[tuple[str, str], Route]:
        """Rend les routes des trois familles, et celles que la classe ccxt appelle quand elle a des clés."""
        table: dict[tuple[str, str], Route] = {("GET", f"/sapi/v1/{nom}"): _liste_vide for nom in ROUTES_DES_CLES}
        table["GET", "/sapi/v1/system/status"] = _etat
        for famille in FAMILLES.values():
            communes: dict[str, Route] = {
                "ping": _ping,
                "time": _heure,
                "exchangeInfo": partial(self._exchange_info, famille),
                "aggTrades": partial(self._agg_trades, famille),
                "trades": partial(self._trades, famille),
                "historicalTrades": partial(self._trades, famille),
                "depth": partial(self._carnet, famille),
                "ticker/24hr": partial(self._ticker, famille),
            }
            table.update({("GET", f"{famille.prefixe}/{nom}"): route for nom, route in communes.items()})
            for nom, prix in PRIX_DES_ROUTES.items():
                if famille.nom != "spot" or prix == "last":
                    table["GET", f"{famille.prefixe}/{nom}"] = partial(self._klines, famille, prix)
        for famille in (FAMILLES["linear"], FAMILLES["inverse"]):
            racine = famille.prefixe.removesuffix("/v1")
            table["GET", f"{famille.prefixe}/fundingRate"] = partial(self._financement, famille)
            table["GET", f"{racine}/futures/data/openInterestHist"] = partial(self._interet_ouvert, famille)
        table["GET", "/api/v3/uiKlines"] = table["GET", "/api/v3/klines"]
        return table

    # Débit et erreurs

    def _famille_de(self, appel: Appel) -> Famille | None:
        return next((f for f in FAMILLES.values() if appel.chemin.startswith(f.prefixe)), None)

    def limite_de(self, appel: Appel) -> Limite | None:
        """Rend la limite de la famille."""
        famille = self._famille_de(appel)
        return None if famille is None else self.limites[famille.nom]

    def poids(self, appel: Appel) -> int:
        """Rend le poids réel de la requête ; sur les contrats, celui des klines dépend de la limite demandée."""
        route = appel.chemin.rpartition("/")[2]
        famille = self._famille_de(appel)
        if famille is None or famille.nom == "spot":
            return POIDS_SPOT.get(route, 1)
        if route in PRIX_DES_ROUTES:
            limite = appel.entier("limit") or 500
            return next((poids for palier, poids in PALIERS_KLINES if limite <= palier), 10)
        return POIDS_CONTRATS.get(route, 1)

    def erreur(self, code: int, appel: Appel, attente_s: float = 0.0) -> Reponse:
        """Rend le texte même de binance pour chaque refus."""
        if code in (BANNI, TROP_DE_REQUETES):
            entetes = {"Retry-After": str(max(1, ceil(attente_s)))}
            return Reponse({"code": -1003, "msg": self._texte_debit(code, appel, attente_s)}, code, entetes)
        if code == INTROUVABLE:
            return Reponse({"code": -5000, "msg": f"Path {appel.chemin}, Method {appel.methode} is invalid"}, code)
        if code in ERREURS_JSON:
            return Reponse(dict(zip(("code", "msg"), ERREURS_JSON[code], strict=True)), code)
        corps = f"<html><head><title>{code} ERROR</title></head><body><h1>{code} ERROR</h1></body></html>"
        return Reponse(corps.encode(), code, {"Content-Type": "text/html"})

    def _texte_debit(self, code: int, appel: Appel, attente_s: float) -> str:
        if code == BANNI:
            jusqua = appel.maintenant_ms + int(attente_s * 1000 * self.bourse.horloge.acceleration)
            return (
                f"Way too much request weight used; IP banned until {jusqua}. "
                "Please use WebSocket Streams for live updates to avoid bans."
            )
        famille = self._famille_de(appel) or FAMILLES["spot"]
        return (
            f"Too much request weight used; current limit is {famille.jetons} request weight per 1 MINUTE. "
            "Please use WebSocket Streams for live updates to avoid polling the API."
        )

    def repondre(self, appel: Appel) -> Reponse:
        """Répond, ou rend l'erreur 400 de binance ; le poids consommé figure dans les en-têtes."""
        if appel.chemin.startswith(RACINE):
            return self.archives.repondre(appel)
        try:
            reponse = super().repondre(appel)
        except ErreurBinance as err:
            reponse = Reponse({"code": err.code, "msg": err.message}, 400)
        limite = self.limite_de(appel)
        if limite is not None:
            reponse.entetes["X-MBX-USED-WEIGHT-1M"] = str(limite.utilise)
        return reponse

    # Marchés

    def _fiches(self, famille: str) -> list[dict[str, object]]:
        fiche = self._fiche_spot if famille == "spot" else self._fiche_contrat
        return [fiche(i) for i in self.instruments if self.famille(i) == famille]

    def _fiche_spot(self, instrument: Instrument) -> dict[str, object]:
        return {
            "symbol": self.symbole(instrument),
            "status": "TRADING" if instrument.actif else "BREAK",
            "baseAsset": instrument.base,
            "baseAssetPrecision": 8,
            "quoteAsset": instrument.quote,
            "quotePrecision": 8,
            "quoteAssetPrecision": 8,
            "orderTypes": ["LIMIT", "LIMIT_MAKER", "MARKET"],
            "icebergAllowed": True,
            "isSpotTradingAllowed": True,
            "isMarginTradingAllowed": False,
            "filters": _filtres(instrument, "NOTIONAL"),
            "permissions": [],
            "permissionSets": [["SPOT"]],
        }

    def _fiche_contrat(self, instrument: Instrument) -> dict[str, object]:
        perpetuel = instrument.type_marche == "swap"
        statut = "contractStatus" if instrument.inverse else "status"
        taille: dict[str, object] = {"contractSize": int(instrument.taille_contrat)} if instrument.inverse else {}
        return {
            "symbol": self.symbole(instrument),
            "pair": instrument.base + instrument.quote,
            "contractType": "PERPETUAL" if perpetuel else "CURRENT_QUARTER",
            "deliveryDate": SANS_ECHEANCE_MS if perpetuel else instrument.fin_ms,
            "onboardDate": instrument.cotation_ms,
            statut: "TRADING" if instrument.actif else "SETTLING",
            "baseAsset": instrument.base,
            "quoteAsset": instrument.quote,
            "marginAsset": instrument.settle,
            "pricePrecision": instrument.decimales_prix,
            "quantityPrecision": instrument.decimales_quantite,
            "baseAssetPrecision": 8,
            "quotePrecision": 8,
            "filters": _filtres(instrument, "MIN_NOTIONAL"),
            "orderTypes": ["LIMIT", "MARKET", "STOP"],
            "timeInForce": ["GTC", "IOC", "FOK", "GTX"],
            **taille,
        }

    def _exchange_info(self, famille: Famille, appel: Appel) -> Reponse:
        limites = [
            {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": famille.jetons},
        ]
        entete = {"timezone": "UTC", "serverTime": appel.maintenant_ms, "rateLimits": limites, "exchangeFilters": []}
        return Reponse(encoder(entete)[:-1] + b',"symbols":' + self._symboles[famille.nom] + b"}")

    def trouver(self, famille: str, valeur: str, *, par_paire: bool = False) -> Instrument | None:
        """Rend l'instrument d'une famille par son symbole binance, ou par sa paire (perpétuel)."""
        return (self._par_pair if par_paire else self.par_id).get(f"{famille}:{valeur}")

    def _trouver(self, famille: Famille, appel: Appel) -> Instrument:
        nom = "pair" if appel.chemin.endswith("indexPriceKlines") else "symbol"
        valeur = appel.params.get(nom, "")
        if not valeur:
            raise ErreurBinance(-1102, f"Mandatory parameter '{nom}' was not sent, was empty/null, or malformed.")
        instrument = self.trouver(famille.nom, valeur, par_paire=nom == "pair")
        if instrument is None:
            raise ErreurBinance(-1121, "Invalid symbol.")
        return instrument

    # Bougies

    def _klines(self, famille: Famille, prix: NaturePrix, appel: Appel) -> Reponse:
        cle = cle_de_page(appel) if appel.panne is None else None
        connue = self.page_connue(cle)
        if connue is not None:
            return Reponse(connue)
        fenetre = self._comprendre(famille, prix, appel)
        bougies = self._choisir(fenetre)
        lignes = self.abimer_page(
            appel,
            bougies,
            f"{appel.chemin}|{fenetre.instrument.symbole}|{fenetre.periode}",
            partial(self._lire_fenetre, fenetre),
            fenetre.periode,
            par_la_fin=famille.dernieres,
        )
        colonnes = COLONNES_INVERSE if fenetre.instrument.inverse else COLONNES
        rediger = partial(lignes_klines, fenetre.instrument, fenetre.periode, fenetre.prix)
        garder = cle if _est_figee(fenetre, bougies) else None
        return Reponse(self.page(garder, lambda: self.rediger_page(lignes, rediger, colonnes)))

    def _comprendre(self, famille: Famille, prix: NaturePrix, appel: Appel) -> Fenetre:
        instrument = self._trouver(famille, appel)
        intervalle = appel.params.get("interval", "")
        if intervalle not in self.timeframes or (intervalle == "1s" and famille.nom != "spot"):
            raise ErreurBinance(-1120, "Invalid interval.")
        debut, fin = appel.entier("startTime"), appel.entier("endTime")
        if debut is not None and fin is not None and debut > fin and famille.nom != "spot":
            raise ErreurBinance(-1023, "Start time is greater than end time.")
        if famille.jours_max and debut is not None:
            portee = famille.jours_max * JOUR_MS
            fin = debut + portee if fin is None else fin
            if fin - debut > portee:
                heures = famille.jours_max * 24
                raise ErreurBinance(-1127, f"More than {heures} hours between startTime and endTime.")
        return Fenetre(
            instrument,
            self.timeframes[intervalle],
            prix,
            debut,
            fin,
            _limite(famille, appel),
            famille.dernieres,
            appel.maintenant_ms,
        )

    def _lire_fenetre(self, fenetre: Fenetre, debut_ms: int, fin_ms: int) -> list[Bougie]:
        return self.lire(fenetre.instrument, fenetre.periode, debut_ms, fin_ms, fenetre.prix, fenetre.maintenant_ms)

    def _choisir(self, fenetre: Fenetre) -> list[Bougie]:
        """Rend les lignes de la page, en ordre croissant, selon les bornes données et la famille."""
        if fenetre.debut_ms is None or fenetre.dernieres:
            return self._dernieres(fenetre)
        return self._premieres(fenetre, fenetre.debut_ms)

    def _premieres(self, fenetre: Fenetre, debut_ms: int) -> list[Bougie]:
        pas, ancre = fenetre.periode
        fin = fenetre.maintenant_ms + 1 if fenetre.fin_ms is None else min(fenetre.fin_ms, fenetre.maintenant_ms) + 1
        curseur = max(debut_ms, ouverture(pas, ancre, fenetre.instrument.cotation_ms))
        bougies: list[Bougie] = []
        # Plusieurs lectures seulement si une panne déclarée a mangé une partie de la première.
        while curseur < fin and len(bougies) < fenetre.limite:
            manque = fenetre.limite - len(bougies)
            jusqua = min(fin, reculer(pas, ancre, suivante(pas, ancre, ouverture(pas, ancre, curseur)), -manque))
            bougies += self._lire_fenetre(fenetre, curseur, jusqua)
            curseur = jusqua
        return bougies[: fenetre.limite]

    def _dernieres(self, fenetre: Fenetre) -> list[Bougie]:
        pas, ancre = fenetre.periode
        plus_tot = max(fenetre.debut_ms or 0, ouverture(pas, ancre, fenetre.instrument.cotation_ms))
        borne = fenetre.maintenant_ms if fenetre.fin_ms is None else min(fenetre.fin_ms, fenetre.maintenant_ms)
        fin = suivante(pas, ancre, ouverture(pas, ancre, borne))
        bougies: list[Bougie] = []
        while fin > plus_tot and len(bougies) < fenetre.limite:
            debut = max(plus_tot, reculer(pas, ancre, ouverture(pas, ancre, fin), fenetre.limite - len(bougies)))
            bougies = self._lire_fenetre(fenetre, debut, fin) + bougies
            fin = debut
        return bougies[-fenetre.limite :]

    def lire(
        self,
        instrument: Instrument,
        periode: tuple[Pas, int],
        debut_ms: int,
        fin_ms: int,
        prix: NaturePrix = "last",
        maintenant_ms: int | None = None,
    ) -> list[Bougie]:
        """Rend la série ; l'indice est celui de la paire, commun au perpétuel et à ses échéances."""
        if prix == "index":
            instrument = self._par_pair[f"{self.famille(instrument)}:{instrument.base}{instrument.quote}"]
        return super().lire(instrument, periode, debut_ms, fin_ms, prix, maintenant_ms)

    def volume_ccxt(self, instrument: Instrument, bougie: Bougie, prix: NaturePrix) -> float | None:
        """Rend le volume lu par ccxt : nul en mark et index, en monnaie de base pour un contrat inverse."""
        if prix != "last":
            return 0.0
        if instrument.inverse:
            return float(instrument.texte_volume_quote(bougie.volume_quote))
        return super().volume_ccxt(instrument, bougie, prix)

    # Trades

    def _agg_trades(self, famille: Famille, appel: Appel) -> Reponse:
        instrument = self._trouver(famille, appel)
        trades = self._choisir_trades(instrument, appel, _limite(famille, appel, 1000))
        spot = famille.nom == "spot"
        return Reponse([_agg_trade(instrument, trade, spot=spot) for trade in trades])

    def _trades(self, famille: Famille, appel: Appel) -> Reponse:
        instrument = self._trouver(famille, appel)
        trades = self._choisir_trades(instrument, appel, _limite(famille, appel, 1000))
        return Reponse([_trade(instrument, trade) for trade in trades])

    def _choisir_trades(self, instrument: Instrument, appel: Appel, limite: int) -> list[Trade]:
        maintenant = appel.maintenant_ms
        premier = appel.entier("fromId")
        if premier is not None:
            depuis = self.marche.minute_du_trade(instrument, premier, maintenant)
            suite = self._trades_depuis(instrument, depuis, maintenant, limite + 64)
            return [trade for trade in suite if trade.id >= premier][:limite]
        debut, fin = appel.entier("startTime"), appel.entier("endTime")
        fin = maintenant if fin is None else min(fin, maintenant)
        if debut is not None:
            return self._trades_depuis(instrument, debut, fin, limite)[:limite]
        return self._trades_avant(instrument, fin, limite)

    def _trades_depuis(self, instrument: Instrument, debut_ms: int, fin_ms: int, limite: int) -> list[Trade]:
        curseur = max(debut_ms, instrument.cotation_ms)
        rendus: list[Trade] = []
        while curseur <= fin_ms and len(rendus) < limite:
            jusqua = min(fin_ms + 1, curseur + limite * MINUTE_MS // 4)
            rendus += self.marche.trades(instrument, curseur, jusqua)
            curseur = jusqua
        return rendus

    def _trades_avant(self, instrument: Instrument, fin_ms: int, limite: int) -> list[Trade]:
        curseur = fin_ms + 1
        rendus: list[Trade] = []
        while curseur > instrument.cotation_ms and len(rendus) < limite:
            depuis = max(instrument.cotation_ms, curseur - limite * MINUTE_MS // 4)
            rendus = self.marche.trades(instrument, depuis, curseur) + rendus
            curseur = depuis
        return rendus[-limite:]

    # Relevés

    def _financement(self, famille: Famille, appel: Appel) -> Reponse:
        """Rend les premiers règlements de la fenêtre, bords inclus, ou les derniers de tous sans `startTime`."""
        instrument = self._trouver(famille, appel)
        debut, fin = appel.entier("startTime"), appel.entier("endTime")
        limite = min(appel.entier("limit") or 100, 1000)
        jusqua = min(appel.maintenant_ms if fin is None else fin, appel.maintenant_ms) + 1
        if debut is None:
            lus = financements(self.marche, instrument, jusqua - limite * 8 * HEURE_MS, jusqua, slice(-limite, None))
        else:
            lus = financements(self.marche, instrument, debut, jusqua, slice(limite))
        return Reponse([
            {
                "symbol": self.symbole(instrument),
                "fundingTime": lu.ts,
                "fundingRate": texte_decimal(lu.taux, DECIMALES_TAUX),
                "markPrice": instrument.texte_prix(lu.marque),
            }
            for lu in lus
        ])  # fmt: skip

    def _interet_ouvert(self, famille: Famille, appel: Appel) -> Reponse:
        """Rend les derniers relevés de la fenêtre, croissants ; un mois seulement est gardé, plus tôt est une faute."""
        inverse = famille.nom == "inverse"
        instrument = self.trouver(famille.nom, appel.params.get("pair" if inverse else "symbol", ""), par_paire=inverse)
        periode = TIMEFRAMES.get(appel.params.get("period", ""))
        if instrument is None or periode is None or not isinstance(periode[0], int):
            raise ErreurBinance(-1121, "Invalid symbol.")
        debut, fin = appel.entier("startTime"), appel.entier("endTime")
        plus_tot = appel.maintenant_ms - INTERET_JOURS * JOUR_MS
        if debut is not None and debut < plus_tot:
            raise ErreurBinance(-1130, "parameter 'startTime' is invalid.")
        limite = min(appel.entier("limit") or 30, 500)
        jusqua = min(appel.maintenant_ms if fin is None else fin, appel.maintenant_ms) + 1
        depuis = max(debut or plus_tot, jusqua - (limite + 1) * periode[0])
        lus = interets(self.marche, instrument, periode[0], depuis, jusqua)[-limite:]
        return Reponse([
            {
                **({"pair": appel.params["pair"], "contractType": "PERPETUAL"} if inverse
                   else {"symbol": self.symbole(instrument)}),
                "sumOpenInterest": instrument.texte_quantite(lu.lots),
                "sumOpenInterestValue": instrument.texte_volume_quote(lu.lots * lu.prix),
                "timestamp": lu.ts,
            }
            for lu in lus
        ])  # fmt: skip

    # Carnet et ticker

    def _carnet(self, famille: Famille, appel: Appel) -> Reponse:
        """Rend le carnet de maintenant ; le flux s'arrêtera à sa séquence avant de la dépasser."""
        instrument, flux = self._trouver(famille, appel), self.bourse.flux[self.nom]
        limite = appel.entier("limit") or 100
        if flux is None or limite < 1:
            raise ErreurBinance(-1130, "Data sent for parameter 'limit' is not valid.")
        servi = flux.instantane_rest(instrument, appel.maintenant_ms)
        entete: dict[str, object] = {"lastUpdateId": servi.sequence}
        if famille.nom != "spot":
            entete |= {"E": appel.maintenant_ms, "T": servi.ts}
        if instrument.inverse:
            entete |= {"symbol": self.symbole(instrument), "pair": instrument.base + instrument.quote}
        cotes = {"bids": servi.bids[:limite], "asks": servi.asks[:limite]}
        return Reponse({**entete, **{cote: textes_niveaux(instrument, niveaux) for cote, niveaux in cotes.items()}})

    def _ticker(self, famille: Famille, appel: Appel) -> Reponse:
        instrument = self._trouver(famille, appel)
        lu = resume(self.marche, instrument, appel.maintenant_ms)
        fiche: dict[str, object] = {"symbol": self.symbole(instrument)}
        if lu is not None:
            textes = textes_ticker(instrument, lu)
            fiche.update({nom: textes[champ] for champ, nom in CHAMPS_TICKER.items()})
            if instrument.inverse:
                fiche["baseVolume"] = fiche.pop("quoteVolume")
        # COIN-M rend une liste, même pour un seul symbole.
        return Reponse([fiche] if famille.dernieres else fiche)


# --- Formes ----------------------------------------------------------------------------------------------------------


def urls_ws(base_url: str) -> dict[str, object]:
    """Rend les adresses des flux ; ccxt reconnaît le comptant à « /stream » et scinde fstream en /public et /market."""
    base = base_url.replace("http", "ws", 1)
    hotes = {"spot": "stream", "margin": "stream", "linear": "fstream", "inverse": "dstream"}
    urls: dict[str, object] = {genre: f"{base}/{hote}/ws" for genre, hote in hotes.items()}
    absents = ("stock", "option", "optionMarket", "optionPrivate", "papi")
    urls.update({genre: f"{base}/sans/{genre}" for genre in absents})
    return {**urls, "ws-api": {genre: f"{base}/sans/ws-api/{genre}" for genre in ("spot", "linear", "inverse")}}


def _liste_vide(_appel: Appel) -> Reponse:
    return Reponse([])


def _etat(_appel: Appel) -> Reponse:
    return Reponse({"status": 0, "msg": "normal"})


def _ping(_appel: Appel) -> Reponse:
    return Reponse({})


def _heure(appel: Appel) -> Reponse:
    return Reponse({"serverTime": appel.maintenant_ms})


def _filtres(instrument: Instrument, notionnel: str) -> list[dict[str, str]]:
    tick = texte_decimal(1, instrument.decimales_prix)
    lot = texte_decimal(1, instrument.decimales_quantite)
    cle = "minNotional" if notionnel == "NOTIONAL" else "notional"
    return [
        {"filterType": "PRICE_FILTER", "minPrice": tick, "maxPrice": "1000000", "tickSize": tick},
        {"filterType": "LOT_SIZE", "minQty": lot, "maxQty": "9000000", "stepSize": lot},
        {"filterType": notionnel, cle: "5"},
    ]


def _limite(famille: Famille, appel: Appel, page_max: int | None = None) -> int:
    """Rend le nombre de lignes : spot ramène une limite trop haute à son maximum, les contrats la refusent."""
    maximum = famille.page_max if page_max is None else page_max
    demandee = appel.entier("limit")
    if demandee is None:
        return 500
    if demandee < 1 or (demandee > maximum and famille.nom != "spot"):
        raise ErreurBinance(-1130, "Data sent for parameter 'limit' is not valid.")
    return min(demandee, maximum)


def _est_figee(fenetre: Fenetre, bougies: list[Bougie]) -> bool:
    """Dit si la page ne changera plus : bornée dans le passé, ou pleine de bougies closes depuis son début."""
    pas, ancre = fenetre.periode
    if fenetre.fin_ms is not None:
        return suivante(pas, ancre, ouverture(pas, ancre, fenetre.fin_ms)) <= fenetre.maintenant_ms
    if fenetre.debut_ms is None or fenetre.dernieres or len(bougies) < fenetre.limite:
        return False
    return suivante(pas, ancre, bougies[-1].ts) <= fenetre.maintenant_ms


def lignes_klines(
    instrument: Instrument, periode: tuple[Pas, int], nature: NaturePrix, bougies: list[Bougie]
) -> list[list[object]]:
    """Rend les lignes d'une page de klines ; le flux y prend ses textes, pour dire la même chose."""
    pas, ancre = periode
    decimales = DECIMALES_PRIME if nature == "premiumIndex" else instrument.decimales_prix
    instants = [b.ts for b in bougies]
    clotures = [suivante(pas, ancre, ts) - 1 for ts in instants]
    prix = [textes_decimaux([b[rang] for b in bougies], decimales) for rang in range(1, 5)]
    nombres = [b.nombre for b in bougies]
    zeros = ["0"] * len(bougies)
    volumes = quotes = achetes = achetes_quote = zeros
    if nature == "last":
        lots, en_quote = instrument.decimales_quantite, instrument.decimales_volume_quote
        volumes = textes_decimaux([b.volume for b in bougies], lots)
        quotes = textes_decimaux([b.volume_quote for b in bougies], en_quote)
        # La part des acheteurs n'est lue par personne ici : la moitié du volume, exacte et déterministe.
        achetes = textes_decimaux([b.volume // 2 for b in bougies], lots)
        achetes_quote = textes_decimaux([b.volume_quote // 2 for b in bougies], en_quote)
    colonnes = (instants, *prix, volumes, clotures, quotes, nombres, achetes, achetes_quote, zeros)
    return [list(ligne) for ligne in zip(*colonnes, strict=True)]


def _agg_trade(instrument: Instrument, trade: Trade, *, spot: bool) -> dict[str, object]:
    ligne: dict[str, object] = {
        "a": trade.id,
        "p": instrument.texte_prix(trade.prix),
        "q": instrument.texte_quantite(trade.quantite),
        "f": trade.id,
        "l": trade.id,
        "T": trade.ts,
        "m": trade.sens == "sell",
    }
    if spot:
        # ccxt reconnaît un trade au comptant à la présence de « M ».
        ligne["M"] = True
    return ligne


def _trade(instrument: Instrument, trade: Trade) -> dict[str, object]:
    if instrument.inverse:
        base = instrument.base_du_contrat(trade.prix, trade.quantite)
        montant = {"baseQty": instrument.texte_volume_quote(base)}
    else:
        montant = {"quoteQty": instrument.texte_volume_quote(trade.prix * trade.quantite)}
    return {
        "id": trade.id,
        "price": instrument.texte_prix(trade.prix),
        "qty": instrument.texte_quantite(trade.quantite),
        **montant,
        "time": trade.ts,
        "isBuyerMaker": trade.sens == "sell",
    }


def textes_niveaux(instrument: Instrument, niveaux: tuple[Niveau, ...]) -> list[list[str]]:
    """Rend des niveaux de carnet en textes, REST et WebSocket."""
    return [[instrument.texte_prix(n.prix), instrument.texte_quantite(n.quantite)] for n in niveaux]


def textes_ticker(instrument: Instrument, lu: Resume) -> dict[str, object]:
    """Rend les champs d'un ticker de 24 h, nommés comme dans le flux."""
    jour, prix = lu.jour, instrument.texte_prix
    variation = jour.close - jour.open
    return {
        "p": prix(variation),
        "P": texte_decimal(variation * 100_000 // jour.open, 3),
        "w": moyenne(instrument, lu),
        "c": prix(jour.close),
        "Q": instrument.texte_quantite(lu.dernier.quantite),
        "o": prix(jour.open),
        "h": prix(jour.high),
        "l": prix(jour.low),
        "v": instrument.texte_quantite(jour.volume),
        "q": instrument.texte_volume_quote(jour.volume_quote),
        "O": jour.ts,
        "C": lu.ts,
        "F": lu.dernier.id - jour.nombre + 1,
        "L": lu.dernier.id,
        "n": jour.nombre,
    }


def moyenne(instrument: Instrument, lu: Resume) -> str:
    """Rend le prix moyen pondéré des 24 h, à quatre décimales de plus que le prix."""
    jour = lu.jour
    if instrument.inverse:
        valeur = instrument.notionnel_contrat * jour.volume * 10_000 // jour.volume_quote
    else:
        valeur = jour.volume_quote * 10_000 // jour.volume
    return texte_decimal(valeur, instrument.decimales_prix + 4)
