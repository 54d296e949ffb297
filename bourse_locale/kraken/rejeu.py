"""Le rejeu de réponses enregistrées sur un vrai exchange, servies telles quelles à la vraie classe ccxt.

Le dossier contient `http_ohlc.json` et `http_trades.json`, réponses brutes de kraken (OHLC 1m et Trades). L'horloge est
arrêtée juste après la clôture de la dernière bougie close : la suivante, en cours à l'enregistrement, doit le rester.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from bourse_locale.marche import MINUTE_MS, Instrument, Marche, NaturePrix
from bourse_locale.serveur import BANNI, INTROUVABLE, TROP_DE_REQUETES, Appel, Bourse, Protocole, Reponse

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bourse_locale.pannes import Panne
    from bourse_locale.serveur import Route

APRES_CLOTURE_MS = 3_000


@dataclass(frozen=True)
class Enregistrement:
    """Les deux réponses enregistrées d'une paire, en lignes de kraken."""

    paire: str
    ohlc: list[list[object]]
    trades: list[list[object]]
    dernier_ohlc: int
    dernier_trade: str

    @property
    def closes(self) -> list[list[object]]:
        """Lignes OHLC closes à l'enregistrement : `last` est l'ouverture de la dernière d'entre elles."""
        return [ligne for ligne in self.ohlc if _entier(ligne[0]) <= self.dernier_ohlc]

    @property
    def instant_ms(self) -> int:
        """Instant où l'horloge est arrêtée."""
        return self.dernier_ohlc * 1000 + MINUTE_MS + APRES_CLOTURE_MS


def _entier(valeur: object) -> int:
    return int(str(valeur))


def _resultat(chemin: Path) -> dict[str, object]:
    """Lit une réponse kraken enregistrée et rend son résultat."""
    lu: dict[str, dict[str, object]] = json.loads(chemin.read_text(encoding="utf-8"))
    return lu["result"]


def lire_enregistrement(dossier: Path) -> Enregistrement:
    """Lit les deux réponses d'un dossier."""
    ohlc, trades = _resultat(dossier / "http_ohlc.json"), _resultat(dossier / "http_trades.json")
    paire = next(cle for cle in ohlc if cle != "last")
    lignes_ohlc, lignes_trades = ohlc[paire], trades[paire]
    if not isinstance(lignes_ohlc, list) or not isinstance(lignes_trades, list):
        raise TypeError(f"Enregistrement illisible : « {dossier} » ne contient pas de listes pour {paire}.")
    return Enregistrement(paire, lignes_ohlc, lignes_trades, _entier(ohlc["last"]), str(trades["last"]))


class KrakenEnregistre(Protocole):
    """Kraken, réduit à la paire enregistrée et à ce qui en a été enregistré."""

    nom: ClassVar[str] = "kraken"

    def __init__(self, bourse: Bourse, enregistrement: Enregistrement) -> None:
        """Retient les réponses enregistrées."""
        self.enregistrement = enregistrement
        super().__init__(bourse)

    def identifiant(self, instrument: Instrument) -> str:
        """Rend la paire enregistrée."""
        del instrument
        return self.enregistrement.paire

    def config_ccxt(self, base_url: str) -> dict[str, object]:
        """Rend les urls de la classe kraken ; elle ajoute elle-même /0/public."""
        return {"urls": {"api": dict.fromkeys(("public", "private"), base_url)}}

    def erreur(self, code: int, appel: Appel, attente_s: float = 0.0) -> Reponse:
        """Rend une erreur à la façon de kraken : un texte dans `error`, le plus souvent en 200."""
        del attente_s
        if code in (BANNI, TROP_DE_REQUETES):
            return Reponse({"error": ["EAPI:Rate limit exceeded"]})
        if code == INTROUVABLE:
            return Reponse({"error": [f"EGeneral:Unknown method {appel.chemin}"]}, code)
        return Reponse({"error": ["EService:Unavailable"]}, code)

    def routes(self) -> dict[tuple[str, str], Route]:
        """Rend les routes publiques dont la classe ccxt a besoin."""
        table: dict[str, Route] = {
            "AssetPairs": self._paires,
            "Assets": self._monnaies,
            "OHLC": self._ohlc,
            "Trades": self._trades,
            "Time": self._heure,
            "SystemStatus": self._etat,
        }
        return {("GET", f"/0/public/{nom}"): route for nom, route in table.items()}

    def attendu(
        self,
        symbole: str,
        timeframe: str,
        debut_ms: int,
        fin_ms: int,
        prix: NaturePrix = "last",
    ) -> list[tuple[int, float, float, float, float, float | None]]:
        """Rend les bougies closes enregistrées de [debut_ms, fin_ms[ (1m, prix last, une seule paire)."""
        if (symbole, timeframe, prix) != ("BTC/USDT", "1m", "last"):
            raise KeyError(f"Rien d'enregistré pour {symbole} {timeframe} {prix}.")
        rendues: list[tuple[int, float, float, float, float, float | None]] = []
        for ligne in self.enregistrement.closes:
            ts = _entier(ligne[0]) * 1000
            o, h, b, c, _, volume = (float(str(valeur)) for valeur in ligne[1:7])
            if debut_ms <= ts < fin_ms:
                rendues.append((ts, o, h, b, c, volume))
        return rendues

    def _paires(self, _appel: Appel) -> Reponse:
        fiche = {
            "altname": "XBTUSDT",
            "wsname": "XBT/USDT",
            "aclass_base": "currency",
            "base": "XXBT",
            "aclass_quote": "currency",
            "quote": "USDT",
            "lot": "unit",
            "cost_decimals": 5,
            "pair_decimals": 1,
            "lot_decimals": 8,
            "lot_multiplier": 1,
            "leverage_buy": [],
            "leverage_sell": [],
            "fees": [[0, 0.4]],
            "fees_maker": [[0, 0.25]],
            "fee_volume_currency": "ZUSD",
            "ordermin": "0.00005",
            "costmin": "0.5",
            "tick_size": "0.1",
            "status": "online",
        }
        return Reponse({"error": [], "result": {self.enregistrement.paire: fiche}})

    def _monnaies(self, _appel: Appel) -> Reponse:
        def fiche(nom: str) -> dict[str, object]:
            return {"aclass": "currency", "altname": nom, "decimals": 10, "display_decimals": 5, "status": "enabled"}

        return Reponse({"error": [], "result": {"XXBT": fiche("XBT"), "USDT": fiche("USDT")}})

    def _ohlc(self, appel: Appel) -> Reponse:
        """Rend les lignes enregistrées d'après `since` (exclu, en secondes) ; seul 1m l'a été."""
        if appel.params.get("interval", "1") != "1" or appel.params.get("pair") != self.enregistrement.paire:
            return Reponse({"error": ["EGeneral:Invalid arguments"]})
        since = appel.entier("since") or 0
        lignes = [ligne for ligne in self.enregistrement.ohlc if _entier(ligne[0]) > since]
        resultat = {self.enregistrement.paire: lignes, "last": self.enregistrement.dernier_ohlc}
        return Reponse({"error": [], "result": resultat})

    def _trades(self, appel: Appel) -> Reponse:
        """Rend les trades enregistrés d'après `since` (exclu ; en ns chez kraken, qui accepte aussi des secondes)."""
        if appel.params.get("pair") != self.enregistrement.paire:
            return Reponse({"error": ["EQuery:Unknown asset pair"]})
        since = Decimal(appel.params.get("since", "0"))
        # En flottants, comme le JSON enregistré : le curseur en ns du dernier trade doit égaler son horodatage arrondi.
        since_s = float(since / 10**9 if since > 10**12 else since)
        trades = [t for t in self.enregistrement.trades if float(str(t[2])) > since_s]
        resultat = {self.enregistrement.paire: trades, "last": self.enregistrement.dernier_trade}
        return Reponse({"error": [], "result": resultat})

    def _heure(self, appel: Appel) -> Reponse:
        return Reponse({"error": [], "result": {"unixtime": appel.maintenant_ms // 1000, "rfc1123": ""}})

    def _etat(self, _appel: Appel) -> Reponse:
        return Reponse({"error": [], "result": {"status": "online", "timestamp": ""}})


class Rejeu:
    """Un dossier de réponses enregistrées, prêt à être servi.

    `Rejeu(dossier).bourse()` rend une Bourse dont l'horloge est arrêtée à la fin de l'enregistrement ;
    `bourse.attendu("kraken", "BTC/USDT", "1m", …)` rend alors les bougies closes enregistrées.
    """

    def __init__(self, dossier: str | Path) -> None:
        """Lit le dossier ; lève FileNotFoundError s'il manque une des deux réponses."""
        self.enregistrement = lire_enregistrement(Path(dossier))

    @property
    def bornes_ms(self) -> tuple[int, int]:
        """Début inclus et fin exclue des bougies closes enregistrées."""
        return _entier(self.enregistrement.ohlc[0][0]) * 1000, self.enregistrement.dernier_ohlc * 1000 + MINUTE_MS

    def protocole(self, bourse: Bourse) -> KrakenEnregistre:
        """Fabrique le protocole enregistré pour une bourse."""
        return KrakenEnregistre(bourse, self.enregistrement)

    def bourse(self, *, port: int = 0, latence_s: float = 0.0, pannes: Iterable[Panne] = ()) -> Bourse:
        """Rend une bourse qui sert l'enregistrement, horloge arrêtée."""
        instrument = Instrument("BTC", "USDT", decimales_prix=1, decimales_quantite=8)
        return Bourse(
            (self.protocole,),
            Marche(instruments={"kraken": [instrument]}),
            port=port,
            latence_s=latence_s,
            pannes=pannes,
            maintenant_ms=self.enregistrement.instant_ms,
            acceleration=0.0,
        )
