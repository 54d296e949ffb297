"""Le protocole REST public de kraken (spot).

OHLC ne sert que les 720 dernières bougies closes et celle en cours, quel que soit `since` (exclu) ; les semaines
s'ouvrent le jeudi et le pas « 2w » vaut quinze jours, comptés de l'époque. Trades va du plus ancien au plus récent,
1000 par page, par un curseur `since` en nanosecondes. Toute réponse est un HTTP 200, les refus aussi.
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from bourse_locale.marche import (
    JOUR_MS,
    MINUTE_MS,
    SEMAINE_MS,
    Bougie,
    Instrument,
    Marche,
    Pas,
    Trade,
    ouverture,
    plancher,
    reculer,
    texte_decimal,
)
from bourse_locale.pages import dernieres_bougies, derniers_trades, page_html, premiers_trades
from bourse_locale.serveur import HEURE_MS, Appel, Limite, Protocole, Reponse, Verdict

if TYPE_CHECKING:
    from bourse_locale.serveur import Bourse, Route

INTERVALLES: dict[str, Pas] = {
    "1": MINUTE_MS,
    "5": 5 * MINUTE_MS,
    "15": 15 * MINUTE_MS,
    "30": 30 * MINUTE_MS,
    "60": HEURE_MS,
    "240": 4 * HEURE_MS,
    "1440": JOUR_MS,
    "10080": SEMAINE_MS,
    "21600": 15 * JOUR_MS,
}
_MINUTES_COURTES = {"1m": "1", "5m": "5", "15m": "15", "30m": "30", "1h": "60", "4h": "240"}
MINUTES_CCXT = _MINUTES_COURTES | {"1d": "1440", "1w": "10080", "2w": "21600"}
NOMS_ACTIFS = {"BTC": "XBT", "DOGE": "XDG"}
ACTIFS_HISTORIQUES = frozenset({"XBT", "XDG", "ETH", "ETC", "LTC", "MLN", "REP", "XLM", "XMR", "XRP", "ZEC"})
MONNAIES = frozenset({"USD", "EUR", "GBP", "CAD", "JPY", "AUD"})
SANS_PREFIXE = frozenset({"XDG"})
"""Leur paire n'est jamais préfixée : XDGUSD, là où le bitcoin donne XXBTZUSD."""

BOUGIES_CLOSES = 720
TRADES_MAX = 1000
DECIMALES_QUANTITE = 8
DECIMALES_PRIX_TRADE = 5
NS_PAR_MS = 1_000_000
SECONDES_AU_PLUS = 10**12
"""Sous cette valeur, `since` est en secondes ; au-dessus, en nanosecondes."""

# ccxt relit l'instant d'un trade par int(flottant x 1000) : loin du bord de la milliseconde, l'arrondi n'y change rien.
MARGE_NS = 150_000
ECART_NS = 7_919
COLONNES = {"ts": 0, "open": 1, "high": 2, "low": 3, "close": 4, "volume": 6}


class RefusKraken(Exception):  # noqa: N818 - les noms du projet sont français
    """Refus d'une requête, avec le texte de kraken."""


class LimiteKraken(Limite):
    """Un compteur qui se vide d'une requête par seconde, et refuse au-delà de sa capacité."""

    def __init__(self, capacite: int = 15, par_seconde: float = 1.0) -> None:
        """Ouvre un compteur vide."""
        super().__init__(capacite, 1.0 / par_seconde, insistances=0)
        self._niveau, self._vu = 0.0, 0.0

    def consommer(self, poids: int, instant: float, perception_s: float = 0.0) -> Verdict:
        """Compte une requête ; un refus ne remplit pas le compteur et ne dit pas combien attendre."""
        if instant < self.ferme_jusqua:
            return super().consommer(poids, instant, perception_s)._replace(attente_s=0.0)
        self._niveau = max(0.0, self._niveau - (instant - self._vu) / self.fenetre_s)
        self._vu = instant
        if self._niveau + poids > self.jetons:
            return Verdict(accepte=False, code=200, violation=True)
        self._niveau += poids
        return Verdict(accepte=True, utilise=round(self._niveau))


class Kraken(Protocole):
    """kraken, spot."""

    nom: ClassVar[str] = "kraken"
    timeframes: ClassVar[dict[str, tuple[Pas, int]]] = {
        nom: (INTERVALLES[minutes], 0) for nom, minutes in MINUTES_CCXT.items()
    }

    def __init__(self, bourse: Bourse) -> None:
        """Ajoute la limite et les autres noms des paires."""
        super().__init__(bourse)
        self.limite = LimiteKraken()
        self.par_nom = {**self.par_id}
        for instrument in self.instruments:
            self.par_nom |= {nom_court(instrument): instrument, nom_ws(instrument): instrument}

    def identifiant(self, instrument: Instrument) -> str:
        """Rend XXBTZUSD quand les deux actifs sont historiques, XBTUSDT sinon."""
        base, quote = nom_actif(instrument.base), nom_actif(instrument.quote)
        prefixes = base in ACTIFS_HISTORIQUES - SANS_PREFIXE and quote in ACTIFS_HISTORIQUES | MONNAIES
        return actif(instrument.base) + actif(instrument.quote) if prefixes else nom_court(instrument)

    def config_ccxt(self, base_url: str) -> dict[str, object]:
        """Rend toutes les adresses de la classe kraken, WebSocket compris (seul publicV2 est servi)."""
        ws = base_url.replace("http", "ws", 1)
        flux = {"public": ws, "private": ws, "beta": ws, "beta-private": ws, "publicV2": f"{ws}/v2"}
        rest = {"public": base_url, "private": base_url, "zendesk": base_url}
        return {"urls": {"api": {**rest, "ws": {**flux, "privateV2": f"{ws}/prive/v2"}}}}

    def routes(self) -> dict[tuple[str, str], Route]:
        """Rend les routes publiques."""
        routes: dict[str, Route] = {
            "Time": self._heure,
            "SystemStatus": self._statut,
            "Assets": self._actifs,
            "AssetPairs": self._paires,
            "OHLC": self._ohlc,
            "Trades": self._trades,
        }
        return {("GET", f"/0/public/{nom}"): route for nom, route in routes.items()}

    def repondre(self, appel: Appel) -> Reponse:
        """Trouve la route ; un refus reste un HTTP 200 avec un texte dans `error`."""
        try:
            return super().repondre(appel)
        except RefusKraken as refus:
            return echec(str(refus))

    def erreur(self, code: int, appel: Appel, attente_s: float = 0.0) -> Reponse:
        """Rend l'erreur de kraken ; code 200 : le débit dépassé, qu'il signale ainsi."""
        del appel
        entetes = {"Retry-After": str(max(1, round(attente_s)))} if attente_s else {}
        if code in (200, 429, 418):
            return echec("EAPI:Rate limit exceeded", code, entetes)
        return echec("EGeneral:Unknown method") if code == 404 else page_html(code)  # noqa: PLR2004 - code HTTP

    def _instrument(self, appel: Appel) -> Instrument:
        instrument = self.par_nom.get(appel.params.get("pair", ""))
        if instrument is None:
            raise RefusKraken("EQuery:Unknown asset pair")
        return instrument

    # État et marchés

    def _heure(self, appel: Appel) -> Reponse:
        date = datetime.fromtimestamp(appel.maintenant_ms // 1000, UTC)
        rfc1123 = date.strftime("%a, %d %b %y %H:%M:%S +0000")
        return succes({"unixtime": appel.maintenant_ms // 1000, "rfc1123": rfc1123})

    def _statut(self, appel: Appel) -> Reponse:
        date = datetime.fromtimestamp(appel.maintenant_ms // 1000, UTC)
        return succes({"status": "online", "timestamp": date.strftime("%Y-%m-%dT%H:%M:%SZ")})

    def _actifs(self, _appel: Appel) -> Reponse:
        codes = sorted({code for i in self.instruments for code in (i.base, i.quote)})
        return succes({actif(code): fiche_actif(code) for code in codes})

    def _paires(self, appel: Appel) -> Reponse:
        demandees = appel.params.get("pair")
        if demandees is None:
            instruments = self.instruments
        elif all(nom in self.par_nom for nom in demandees.split(",")):
            instruments = [self.par_nom[nom] for nom in demandees.split(",")]
        else:
            raise RefusKraken("EQuery:Unknown asset pair")
        return succes({self.identifiant(i): fiche_paire(i) for i in instruments})

    # Bougies

    def _ohlc(self, appel: Appel) -> Reponse:
        """Rend les 720 dernières bougies closes et celle en cours ; `since`, exclu, ne fait que raccourcir."""
        instrument, pas = self._instrument(appel), INTERVALLES.get(appel.params.get("interval", "1"))
        if pas is None:
            raise RefusKraken("EGeneral:Invalid arguments")
        periode = (pas, 0)
        debut = int(lire_since(appel, "since"))

        def lire(de: int, a: int) -> list[Bougie]:
            return self.lire(instrument, periode, de, a, maintenant_ms=appel.maintenant_ms)

        cotation = ouverture(*periode, instrument.cotation_ms)
        connues = dernieres_bougies(lire, periode, cotation, appel.maintenant_ms + 1, BOUGIES_CLOSES + 1)
        lignes = [bougie for bougie in connues if bougie.ts // 1000 > debut]
        servies = self.abimer_page(appel, lignes, f"{self.identifiant(instrument)} {pas}", lire, periode)
        redigees = self.rediger(servies, partial(ligne, instrument), COLONNES)
        return succes({self.identifiant(instrument): redigees, "last": derniere_close(periode, connues, appel)})

    # Trades

    def _trades(self, appel: Appel) -> Reponse:
        """Rend les premiers trades après `since` (exclu), ou les derniers sans `since`."""
        instrument = self._instrument(appel)
        nombre = min(appel.entier("count") or TRADES_MAX, TRADES_MAX)
        fin_ms, depuis_ns = appel.maintenant_ms + 1, 0
        if "since" in appel.params:
            depuis_ns = lire_ns(lire_since(appel, "since"))
            lus = premiers_trades(self.marche, instrument, depuis_ns // NS_PAR_MS, fin_ms, nombre + TRADES_MAX // 10)
            gardes = [(t, ns) for t in lus if (ns := instant_ns(self.marche, instrument, t)) > depuis_ns][:nombre]
        else:
            derniers = derniers_trades(self.marche, instrument, 0, fin_ms, nombre)
            gardes = [(trade, instant_ns(self.marche, instrument, trade)) for trade in derniers]
        lignes = [ligne_trade(instrument, trade, ns) for trade, ns in gardes]
        curseur = gardes[-1][1] if gardes else depuis_ns
        return succes({self.identifiant(instrument): lignes, "last": str(curseur)})


# --- Noms -------------------------------------------------------------------------------------------------------------


def nom_actif(code: str) -> str:
    """Rend le nom court d'un actif : XBT, XDG, ETH."""
    return NOMS_ACTIFS.get(code, code)


def actif(code: str) -> str:
    """Rend l'identifiant d'un actif : XXBT, ZUSD, USDT."""
    nom = nom_actif(code)
    return f"X{nom}" if nom in ACTIFS_HISTORIQUES else f"Z{nom}" if nom in MONNAIES else nom


def nom_court(instrument: Instrument) -> str:
    """Rend l'altname d'une paire : XBTUSD."""
    return nom_actif(instrument.base) + nom_actif(instrument.quote)


def nom_ws(instrument: Instrument) -> str:
    """Rend le nom d'une paire sur le WebSocket : XBT/USD."""
    return f"{nom_actif(instrument.base)}/{nom_actif(instrument.quote)}"


def fiche_actif(code: str) -> dict[str, object]:
    """Rend la fiche d'un actif."""
    monnaie = code in MONNAIES
    return {
        "aclass": "currency",
        "altname": nom_actif(code),
        "decimals": 4 if monnaie else 10,
        "display_decimals": 2 if monnaie else 5,
        "status": "enabled",
    }


def fiche_paire(instrument: Instrument) -> dict[str, object]:
    """Rend la fiche d'une paire."""
    return {
        "altname": nom_court(instrument),
        "wsname": nom_ws(instrument),
        "aclass_base": "currency",
        "base": actif(instrument.base),
        "aclass_quote": "currency",
        "quote": actif(instrument.quote),
        "lot": "unit",
        "cost_decimals": 5,
        "pair_decimals": instrument.decimales_prix,
        "lot_decimals": DECIMALES_QUANTITE,
        "lot_multiplier": 1,
        "leverage_buy": [],
        "leverage_sell": [],
        "fees": [[0, 0.4], [10_000, 0.35]],
        "fees_maker": [[0, 0.25], [10_000, 0.2]],
        "fee_volume_currency": "ZUSD",
        "margin_call": 80,
        "margin_stop": 40,
        "ordermin": texte_decimal(1, instrument.decimales_quantite),
        "costmin": "0.5",
        "tick_size": texte_decimal(1, instrument.decimales_prix),
        "status": "online" if instrument.actif else "cancel_only",
    }


# --- Lignes, bornes, enveloppe ----------------------------------------------------------------------------------------


def lire_since(appel: Appel, nom: str) -> Decimal:
    """Rend un instant positif, fractions comprises ; zéro s'il manque."""
    try:
        valeur = Decimal(appel.params.get(nom) or "0")
    except InvalidOperation:
        raise RefusKraken("EGeneral:Invalid arguments") from None
    if not valeur.is_finite():
        raise RefusKraken("EGeneral:Invalid arguments")
    return max(valeur, Decimal(0))


def lire_ns(valeur: Decimal) -> int:
    """Rend des nanosecondes, d'un `since` de Trades en secondes ou en nanosecondes."""
    return int(valeur * 10**9) if valeur < SECONDES_AU_PLUS else int(valeur)


def derniere_close(periode: tuple[Pas, int], connues: list[Bougie], appel: Appel) -> int:
    """Rend l'ouverture (s) de la dernière bougie close : le `since` à reprendre pour n'avoir que du neuf."""
    courante = ouverture(*periode, appel.maintenant_ms)
    closes = [bougie.ts for bougie in connues if bougie.ts < courante]
    return (closes[-1] if closes else reculer(*periode, courante, 1)) // 1000


def texte_volume(instrument: Instrument, quantite: int) -> str:
    """Écrit une quantité avec les huit décimales que kraken met partout."""
    return texte_decimal(quantite * 10 ** (DECIMALES_QUANTITE - instrument.decimales_quantite), DECIMALES_QUANTITE)


def ligne(instrument: Instrument, bougie: Bougie) -> list[object]:
    """Rend une ligne OHLC : instant en secondes, prix, moyenne pondérée, volume, nombre de trades."""
    moyenne = (2 * bougie.volume_quote + bougie.volume) // (2 * bougie.volume) if bougie.volume else 0
    textes = [instrument.texte_prix(prix) for prix in (*bougie[1:5], moyenne)]
    # Un horodatage hors grille est une panne demandée : elle garde alors ses millisecondes.
    instant = bougie.ts // 1000 if bougie.ts % 1000 == 0 else bougie.ts / 1000
    return [instant, *textes, texte_volume(instrument, bougie.volume), bougie.nombre]


def instant_ns(marche: Marche, instrument: Instrument, trade: Trade) -> int:
    """Rend l'instant d'un trade en ns : deux trades d'une même milliseconde y restent distincts et ordonnés."""
    premier = marche.rang_du_premier_trade(instrument, plancher(trade.ts, MINUTE_MS))
    return trade.ts * NS_PAR_MS + MARGE_NS + (trade.id - premier) * ECART_NS


def ligne_trade(instrument: Instrument, trade: Trade, ns: int) -> list[object]:
    """Rend une ligne de Trades ; l'instant est un flottant en secondes à sept décimales."""
    decimales = max(DECIMALES_PRIX_TRADE, instrument.decimales_prix)
    prix = texte_decimal(trade.prix * 10 ** (decimales - instrument.decimales_prix), decimales)
    quantite = texte_volume(instrument, trade.quantite)
    genre = "m" if trade.id % 3 else "l"
    return [prix, quantite, round(ns / 10**9, 7), trade.sens[0], genre, "", trade.id]


def succes(resultat: dict[str, object]) -> Reponse:
    """Rend une réponse réussie."""
    return Reponse({"error": [], "result": resultat})


def echec(texte: str, code: int = 200, entetes: dict[str, str] | None = None) -> Reponse:
    """Rend un refus de kraken."""
    return Reponse({"error": [texte]}, code, entetes or {})
