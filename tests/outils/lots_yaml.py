"""De quoi éprouver un lot : un YAML qui mène à la bourse embarquée, le runner dans ce processus ou dans un vrai."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import yaml
from attente import PLAFOND_S
from ligne_de_commande import lancer

import module_ccxt_fr_v2 as module
import runner_ccxt_batch as runner

if TYPE_CHECKING:

    import pytest

    from bourse_locale import Bourse

RUNNER = Path(runner.__file__)
MINUTE, HEURE = 60_000, 3_600_000
DEBUT = 1_709_632_800_000  # 2024-03-05T10:00Z
HEURE_LUE = {"date_debut": "2024-03-05T10:00", "date_fin": "2024-03-05T11:00"}
NOMS_DE_CLES = ("API_KEY", "API_SECRET", "API_PASSWORD", "API_UID")


class Fin(NamedTuple):
    """Ce qu'une exécution a rendu."""

    code: int
    out: str
    err: str


def sans_trace(fin: Fin) -> Fin:
    """Ce qui n'arrive jamais, quelle que soit la fin."""
    interdits = ("Traceback", "Unclosed", "requires to release", "Task exception", "never awaited", "Exception ignored")
    assert not [interdit for interdit in interdits if interdit in fin.err], fin.err
    return fin


class Lot:
    """Un dossier, son YAML, et le runner ; `vers` mène chaque exchange à la bourse."""

    def __init__(self, dossier: Path, bourse: Bourse, capsys: pytest.CaptureFixture[str]) -> None:
        self.dossier, self.bourse, self._capsys = dossier, bourse, capsys
        self.yaml = dossier / "lot.yaml"

    def ecrire(self, *taches: dict[str, Any], **defauts: Any) -> None:
        """Un lot de tâches d'une heure de binance, que chaque tâche corrige."""
        communs = {"timeframe": "1m", **HEURE_LUE, "format": "parquet", **defauts}
        lot = {"version": 1, "defaults": communs, "tasks": [self._vers(tache) for tache in taches]}
        self.yaml.write_text(yaml.safe_dump(lot, allow_unicode=True, sort_keys=False), encoding="utf-8")

    def _vers(self, tache: dict[str, Any]) -> dict[str, Any]:
        exchange = tache.get("exchange", "binance")
        config = {**self.bourse.config_ccxt(exchange), "enableRateLimit": False, "timeout_on_exit": 0}
        return {**tache, "config_ccxt": module.fondre_dicts(config, tache.get("config_ccxt", {}))}

    def lancer(self, *mots: str) -> Fin:
        """Le runner dans ce processus."""
        self._capsys.readouterr()
        code = runner.principal(["--yaml", str(self.yaml), *mots])
        return sans_trace(Fin(code, *self._capsys.readouterr()))

    def demarrer(self, *mots: str, groupe: bool = False) -> subprocess.Popen[str]:
        """Le runner dans un vrai processus (`groupe` : chef du sien), sans attendre sa fin."""
        mots = ("--yaml", str(self.yaml), *mots)
        if "--dask" not in mots:  # dont les workers naissent, eux aussi, d'un Python neuf
            return lancer(mots, RUNNER, start_new_session=groupe)
        return subprocess.Popen(
            [sys.executable, str(RUNNER), *mots],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=groupe,
        )  # fmt: skip

    def lignes(self, nom: str, table: str = "ohlcv") -> list[tuple[Any, ...]]:
        """(symbole, instant ms, o, h, l, c, v) de chaque ligne d'une sortie."""
        lue = module.lire(self.dossier / nom, table=table)
        instants = lue["timestamp"].cast("int64").to_pylist()
        valeurs = (lue[n].to_pylist() for n in module.VALEURS_OHLCV)
        return list(zip(lue["symbole"].to_pylist(), instants, *valeurs, strict=True))

    def attendues(self, symbole: str = "BTC/USDT", exchange: str = "binance", timeframe: str = "1m") -> list[Any]:
        """L'oracle de l'heure lue."""
        return [(symbole, *b) for b in self.bourse.attendu(exchange, symbole, timeframe, DEBUT, DEBUT + HEURE)]

    def bilan(self, nom: str = "b.json") -> dict[str, Any]:
        """Le bilan JSON écrit."""
        lu: dict[str, Any] = json.loads((self.dossier / nom).read_text(encoding="utf-8"))
        return lu

    def fichiers(self) -> list[str]:
        """Les fichiers produits, hors YAML."""
        tous = (c for c in self.dossier.rglob("*") if c.is_file() and c != self.yaml)
        return sorted(str(c.relative_to(self.dossier)) for c in tous)

    def empreinte(self) -> dict[str, tuple[bytes, int]]:
        """Les octets et la date de chaque fichier produit."""
        return {n: ((self.dossier / n).read_bytes(), (self.dossier / n).stat().st_mtime_ns) for n in self.fichiers()}


def etats(bilan: dict[str, Any]) -> dict[str, str]:
    """L'état de chaque tâche d'un bilan JSON."""
    return {tache["name"]: tache["etat"] for tache in bilan["taches"]}


def finir(processus: subprocess.Popen[str], delai_s: float = PLAFOND_S) -> Fin:
    """Attend la fin d'un processus."""
    out, err = processus.communicate(timeout=delai_s)
    return sans_trace(Fin(processus.returncode, out, err))


def metriques(chemin: Path) -> dict[tuple[str, str, str], float]:
    """(métrique, tâche, autre étiquette) -> valeur, relues comme le ferait node_exporter."""
    lues = {}
    for ligne in chemin.read_text(encoding="utf-8").splitlines():
        if not ligne.startswith("#"):
            trouve = re.fullmatch(r'(\w+)\{lot="[^"]+",tache="([^"]+)"(?:,\w+="(\w+)")?\} (\S+)', ligne)
            assert trouve, ligne
            cle = (trouve[1], trouve[2], trouve[3] or "")
            assert cle not in lues, "une série donnée deux fois fait refuser tout le fichier"
            lues[cle] = float(trouve[4])
    return lues
