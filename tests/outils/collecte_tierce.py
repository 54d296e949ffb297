"""Ce que partagent les tests qui collectent chez un exchange tiers par la ligne de commande."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import module_ccxt_fr_v2 as module

if TYPE_CHECKING:
    from pathlib import Path

    from bourses_tierces import Attendue, Simulateur


@dataclass
class Releve:
    """Ce qu'une exécution a donné."""

    code: int
    serie: dict[str, Any]
    lignes: list[Attendue]
    octets: bytes
    pages: int

    @property
    def demande(self) -> tuple[int, int]:
        """L'intervalle tenu."""
        debut, fin = (module.lire_instant(texte, 0) for texte in self.serie["demande"])
        return debut, fin

    def trous(self, raison: str) -> list[tuple[int, int]]:
        """Les trous de cette raison."""
        concernes = [t for t in self.serie["trous"] if t["raison"] == raison]
        return [(module.lire_instant(t["debut"], 0), module.lire_instant(t["fin"], 0)) for t in concernes]


def lancer(simulateur: Simulateur, dossier: Path, *options: str, rapide: bool = True) -> Releve:
    """La ligne de commande, dans ce processus ; `rapide` lève la pause que la classe ccxt s'impose."""
    config = simulateur.config | ({"rateLimit": 1, "rateLimiterAlgorithm": "leakyBucket"} if rapide else {})
    sortie, bilan = dossier / "bougies.csv", dossier / "bilan.json"
    deja = len(simulateur.pages)
    code = module.principal([
        "--exchange", simulateur.nom, "--symbole", simulateur.symbole, "--config-ccxt", json.dumps(config),
        "--sortie", str(sortie), "--bilan", str(bilan), "--journal", "error", "--essais", "4", *options,
    ])  # fmt: skip
    serie = json.loads(bilan.read_text())["series"][0]
    octets = sortie.read_bytes() if sortie.exists() else b""
    return Releve(code, serie, lire_csv(octets), octets, len(simulateur.pages) - deja)


def lire_csv(octets: bytes) -> list[Attendue]:
    """Les bougies d'un CSV produit, en flottants."""
    titre, *lignes = csv.reader(octets.decode().splitlines()) if octets else [[]]
    rangs = [titre.index(nom) for nom in ("timestamp", *module.VALEURS_OHLCV) if titre]
    return [_attendue(*(ligne[rang] for rang in rangs)) for ligne in lignes]


def _attendue(instant: str, *valeurs: str) -> Attendue:
    """Une ligne du CSV, lue sans rien du produit."""
    ms = round(datetime.fromisoformat(instant).timestamp() * 1000)
    return (ms, *(float(valeur) if valeur else None for valeur in valeurs))  # type: ignore[return-value]


def dedans(instant: int, intervalles: list[tuple[int, int]]) -> bool:
    """Vrai si un intervalle contient l'instant."""
    return any(debut <= instant < fin for debut, fin in intervalles)
