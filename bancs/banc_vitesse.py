"""Vitesse, contre un commit d'avant, une boucle ccxt nue et freqtrade, en rapports d'une même exécution.

    python bancs/banc_vitesse.py [depart] [debit] [symboles] [--avant 32cd470] [--freqtrade DOSSIER]

Face à l'exchange embarqué, 100 ms de latence, 2 000 marchés et les vraies limites de binance :
1. départ : `--version`, `--help`, l'import du module, une relance sans rien de neuf ;
2. débit : deux mois puis un an de 1m vers Parquet, la boucle nue à 8 pages en vol qui ne garde rien, trois processus à
   la fois ; pour les deux mois, `freqtrade download-data`, installé dans son propre environnement (gardé, et repris
   la fois suivante, si `--freqtrade` dit où), qui ne lit que l'API et écrit aussi du Parquet ;
3. symboles : 200 symboles relancés, dans chaque format.

Chaque mesure est la meilleure de plusieurs processus neufs, alternés ; CPU : user + sys du processus. Une seule
machine pour l'exchange et ses clients : les temps de mur se lisent en rapports. Les résultats vont dans RESULTATS.md.
"""

from __future__ import annotations

import argparse
import io
import json
import math
import os
import resource
import subprocess
import sys
import tarfile
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from outils_bancs import publier

RACINE = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(RACINE))

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

AVANT = "32cd470"  # avant la rafale, l'import d'une seule classe et la lecture par colonnes
FREQTRADE = "2026.9"
LATENCE_S = 0.1
EN_VOL_NU = 8
JOUR = 86_400_000
FIN = 1_767_225_600_000  # 2026-01-01

NU = """
import asyncio, json, sys, time
import ccxt.pro
async def boucle(config, symboles, timeframe, debut, fin, vol):
    exchange = ccxt.pro.binance({**config, "options": {"fetchMarkets": {"types": ["spot"]}, "fetchMargins": False}})
    exchange.has["fetchCurrencies"] = False
    await exchange.load_markets()
    depart, pas, places = time.perf_counter(), exchange.parse_timeframe(timeframe) * 1000, asyncio.Semaphore(vol)
    async def page(symbole, instant):
        async with places:
            await exchange.fetch_ohlcv(symbole, timeframe, instant, 1000, {"until": min(fin, instant + 1000 * pas) - 1})
    await asyncio.gather(*(page(s, t) for s in symboles for t in range(debut, fin, 1000 * pas)))
    print(json.dumps({"donnees": time.perf_counter() - depart}))
    await exchange.close()
asyncio.run(boucle(*map(json.loads, sys.argv[1:])))
"""


COMPTER = "import sys, pyarrow.parquet as pq; print(pq.read_metadata(sys.argv[1]).num_rows)"


class Mesure(NamedTuple):
    """Un processus : temps de mur, CPU, et ce qu'il a dit."""

    mur_s: float
    cpu_s: float
    sortie: str


def lancer(*mots: object, dossier: Path = RACINE, programme: str | Path = sys.executable) -> Mesure:
    """Un processus neuf, de Python d'ordinaire, mené à son terme."""
    avant, depart = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    fini = subprocess.run(
        [str(programme), *map(str, mots)], cwd=dossier, check=True, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(dossier), "PYTHONDONTWRITEBYTECODE": ""},
    )  # fmt: skip
    mur_s, apres = time.perf_counter() - depart, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = apres.ru_utime + apres.ru_stime - avant.ru_utime - avant.ru_stime
    return Mesure(mur_s, cpu_s, fini.stdout)


def meilleures(fois: int, *actions: Callable[[], Mesure]) -> list[Mesure]:
    """Les meilleurs temps de chaque action, alternées : une machine partagée n'en favorise aucune."""
    series = [[action() for action in actions] for _ in range(fois)]
    return [
        Mesure(min(m.mur_s for m in suite), min(m.cpu_s for m in suite), min(suite, key=lambda m: m.mur_s).sortie)
        for suite in zip(*series, strict=True)
    ]


class Terrain:
    """L'exchange ouvert, les deux états du module, où écrire, et l'environnement de freqtrade."""

    def __init__(self, bourse: Any, avant: Path, dossier: Path, freqtrade: Path) -> None:
        self.bourse, self.avant, self.dossier, self._freqtrade = bourse, avant, dossier, freqtrade
        self.config = dossier / "config.json"
        self.config.write_text(json.dumps(bourse.config_ccxt("binance")))

    def comparer(
        self, fois: int, faire: Callable[[Path], Mesure], nue: Callable[[], Mesure] | None = None
    ) -> list[Mesure]:
        """Le module d'avant, celui d'ici, et la boucle nue."""
        return meilleures(fois, partial(faire, self.avant), partial(faire, RACINE), *([nue] if nue else []))

    def module(self, ou: Path, sortie: str, options: Sequence[object], *, neuf: bool = False) -> Mesure:
        """La ligne de commande d'un des deux modules ; `sortie` est à lui seul."""
        chemin = self.dossier / f"{ou.name}-{sortie}"
        bilan = chemin.with_suffix(".bilan")
        if neuf:
            chemin.unlink(missing_ok=True)
        mots = ("--config-ccxt", f"@{self.config}", "--sortie", chemin, "--bilan", bilan, "--journal", "error")
        mesure = lancer(ou / "module_ccxt_fr_v2.py", *mots, *options, dossier=ou)
        return mesure._replace(sortie=bilan.read_text())

    def nue(self, symboles: Sequence[str], timeframe: str, debut: int, fin: int) -> Mesure:
        """La boucle nue, qui ne garde rien."""
        arguments = (symboles, timeframe, debut, fin, EN_VOL_NU)
        return lancer("-c", NU, self.config.read_text(), *map(json.dumps, arguments))

    def installer_freqtrade(self) -> None:
        """Dans son propre environnement, s'il n'y est pas déjà : ses dépendances ne sont pas les nôtres."""
        python = self._freqtrade / "bin" / "python"
        if not (self._freqtrade / "bin" / "freqtrade").exists():
            subprocess.run([sys.executable, "-m", "venv", str(self._freqtrade)], check=True)
            paquet = f"freqtrade=={FREQTRADE}"
            subprocess.run([str(python), "-m", "pip", "install", "--quiet", paquet], check=True, stdout=sys.stderr)

    def freqtrade(self, symbole: str, debut: int, fin: int) -> Mesure:
        """`freqtrade download-data`, sans les archives de binance, vers un Parquet neuf ; il va jusqu'à maintenant."""
        dossier = Path(tempfile.mkdtemp(dir=self.dossier))
        cote = {"price_side": "same", "use_order_book": False}
        reglages = {
            "dry_run": True, "trading_mode": "spot", "stake_currency": "USDT", "stake_amount": 100,
            "max_open_trades": 1,
            "exchange": {"name": "binance", "only_from_ccxt": True, "pair_whitelist": [symbole],
                         "ccxt_config": json.loads(self.config.read_text())},
            "pairlists": [{"method": "StaticPairList"}], "entry_pricing": cote, "exit_pricing": cote,
        }  # fmt: skip
        (dossier / "config.json").write_text(json.dumps(reglages))
        mesure = lancer(
            "download-data", "--config", "config.json", "--userdir", ".", "--datadir", ".", "--pairs", symbole,
            "-t", "1m", "--timerange", f"{debut // 1000}-{fin // 1000}", "--data-format-ohlcv", "parquet",
            dossier=dossier, programme=self._freqtrade / "bin" / "freqtrade",
        )  # fmt: skip
        lignes = lancer("-c", COMPTER, *dossier.glob("*.parquet"), programme=self._freqtrade / "bin" / "python").sortie
        if int(lignes) < (fin - debut) // 60_000:
            raise SystemExit(f"freqtrade n'a écrit que {lignes} bougies : la comparaison ne vaudrait rien")
        return mesure


def rapport(valeur: float, reference: float) -> str:
    """« 0.43 × »."""
    return f"{valeur / reference:.2f} ×"


def demander(ou: Path, mots: Sequence[str]) -> Mesure:
    """Python, dans le dossier d'un des deux modules."""
    return lancer(*mots, dossier=ou)


def depart(terrain: Terrain) -> list[list[str]]:
    """Ce que coûte un processus avant sa première bougie, et sans bougie neuve."""
    lignes = []
    departs = (
        ("`--version`", ["module_ccxt_fr_v2.py", "--version"]),
        ("`--help`", ["module_ccxt_fr_v2.py", "--help"]),
        ("import du module", ["-c", "import module_ccxt_fr_v2"]),
    )
    for nom, mots in departs:
        avant, ici = terrain.comparer(5, partial(demander, mots=mots))
        lignes.append([f"{nom}, CPU", f"{avant.cpu_s:.2f} s", f"{ici.cpu_s:.2f} s", "—", "—",
                       f"{rapport(ici.cpu_s, avant.cpu_s)} (≤ 0.5 ×)"])  # fmt: skip
    neuf_jours = ("--symbole", "BTC/USDT", "--date-debut", FIN - 9 * JOUR, "--date-fin", FIN)
    relancer = partial(terrain.module, sortie="relance.parquet", options=neuf_jours)
    terrain.comparer(1, relancer)
    nue = partial(terrain.nue, ["BTC/USDT"], "1m", FIN - JOUR // 720, FIN)
    mesures = terrain.comparer(5, relancer, nue)
    for nom, cle, borne in (("CPU", "cpu_s", ""), ("mur", "mur_s", f"{2 * LATENCE_S:.1f} s")):
        a, i, n = (getattr(mesure, cle) for mesure in mesures)
        lignes.append([f"relance sans rien de neuf, {nom}", f"{a:.2f} s", f"{i:.2f} s", f"{n:.2f} s", borne or "—",
                       f"{rapport(i, a)} (≤ 0.5 ×)"])  # fmt: skip
    return lignes


def debit(terrain: Terrain) -> list[list[str]]:
    """Deux mois, un an, puis trois processus d'un an à la fois."""
    lignes = []
    for nom, jours, fois in (("deux mois", 61, 3), ("un an", 365, 1)):
        debut = FIN - jours * JOUR
        terrain.bourse.latence_s = 0.0
        terrain.nue(["BTC/USDT"], "1m", debut, FIN)  # l'exchange calcule son marché : personne n'a à le payer
        terrain.bourse.latence_s = LATENCE_S
        mots = ("--symbole", "BTC/USDT", "--date-debut", debut, "--date-fin", FIN)
        ecrire = partial(terrain.module, sortie="debit.parquet", options=mots, neuf=True)
        nue_seule = partial(terrain.nue, ["BTC/USDT"], "1m", debut, FIN)
        if nom == "deux mois":
            terrain.installer_freqtrade()
            rival = partial(terrain.freqtrade, "BTC/USDT", debut, FIN)
            avant, ici, nue, autre = meilleures(
                fois, partial(ecrire, terrain.avant), partial(ecrire, RACINE), nue_seule, rival
            )
            for quoi, cle, vise in (("processus entier", "mur_s", " (≤ 0.35 ×)"), ("CPU", "cpu_s", "")):
                sien, notre = getattr(autre, cle), getattr(ici, cle)
                lignes.append([f"{nom}, {quoi}, freqtrade {FREQTRADE} dans « avant »", f"{sien:.1f} s",
                               f"{notre:.1f} s", "—", "—", rapport(notre, sien) + vise])  # fmt: skip
        else:
            avant, ici, nue = terrain.comparer(fois, ecrire, nue_seule)
        pages = math.ceil(jours * 1440 / 1000)
        donnees = [json.loads(m.sortie)["duree_s"] for m in (avant, ici)]
        borne = f"{LATENCE_S * pages / 32:.1f} s"
        lignes += [
            [f"{nom} de 1m, après l'import", f"{donnees[0]:.1f} s", f"{donnees[1]:.1f} s",
             f"{json.loads(nue.sortie)['donnees']:.1f} s", borne, f"{rapport(donnees[1], donnees[0])} (≤ 0.5 ×)"],
            [f"{nom}, processus entier", f"{avant.mur_s:.1f} s", f"{ici.mur_s:.1f} s", f"{nue.mur_s:.1f} s", borne,
             rapport(ici.mur_s, avant.mur_s)],
            [f"{nom}, CPU", f"{avant.cpu_s:.1f} s", f"{ici.cpu_s:.1f} s", f"{nue.cpu_s:.1f} s", "—",
             f"{rapport(ici.cpu_s, nue.cpu_s)} la boucle nue (≤ 1 ×)"],
        ]  # fmt: skip
    terrain.bourse.violations = 0
    mots = ("--symbole", "BTC/USDT", "--date-debut", FIN - 365 * JOUR, "--date-fin", FIN)
    communs = "--config-ccxt", f"@{terrain.config}", "--journal", "error"
    depart_s = time.perf_counter()
    enfants = [
        subprocess.Popen([sys.executable, RACINE / "module_ccxt_fr_v2.py", *map(str, (*mots, *communs)),
                          "--sortie", terrain.dossier / f"trois-{n}.parquet"]) for n in range(3)
    ]  # fmt: skip
    codes = [enfant.wait() for enfant in enfants]
    lignes.append(["un an, trois processus à la fois : violations comptées par l'exchange", "—",
                   f"{terrain.bourse.violations} (codes {codes}, {time.perf_counter() - depart_s:.0f} s)", "—", "—",
                   "0"])  # fmt: skip
    return lignes


def symboles(terrain: Terrain) -> list[list[str]]:
    """Deux cents symboles, cinq jours de 1h : relancés sans rien de neuf, dans chaque format."""
    protocole = terrain.bourse.protocoles["binance"]
    noms = [i.symbole for i in protocole.instruments if i.actif and i.type_marche == "spot"][:200]
    mots = ("--symbols", ",".join(noms), "--timeframe", "1h", "--date-debut", FIN - 5 * JOUR, "--date-fin", FIN)
    terrain.bourse.latence_s = 0.0
    lignes = []
    for nom in ("parquet", "csv", "feather", "sqlite"):
        terrain.comparer(1, partial(terrain.module, sortie=f"symboles.{nom}", options=mots))
    terrain.nue(noms, "1h", FIN - JOUR // 12, FIN)
    terrain.bourse.latence_s = LATENCE_S
    for nom in ("parquet", "csv", "feather", "sqlite"):
        avant, ici, nue = terrain.comparer(
            2, partial(terrain.module, sortie=f"symboles.{nom}", options=mots),
            partial(terrain.nue, noms, "1h", FIN - JOUR // 12, FIN),
        )  # fmt: skip
        lignes += [
            [f"200 symboles relancés, {nom}, CPU", f"{avant.cpu_s:.1f} s", f"{ici.cpu_s:.1f} s", f"{nue.cpu_s:.1f} s",
             "—", f"{rapport(ici.cpu_s, nue.cpu_s)} la boucle nue (≤ 1.3 ×)"],
            [f"200 symboles relancés, {nom}, mur", f"{avant.mur_s:.1f} s", f"{ici.mur_s:.1f} s", f"{nue.mur_s:.1f} s",
             f"{LATENCE_S * 200 / 16:.1f} s", f"{rapport(ici.mur_s, nue.mur_s)} la boucle nue (≤ 1.1 ×)"],
        ]  # fmt: skip
    return lignes


PARTIES = {"depart": depart, "debit": debit, "symboles": symboles}
COLONNES = ("mesure", "avant", "ici", "boucle nue × 8", "limite physique", "rapport (visé)")


def principal() -> None:
    """Mesure et écrit RESULTATS.md."""
    from bourse_locale import Bourse

    analyseur = argparse.ArgumentParser(description=__doc__)
    analyseur.add_argument("parties", nargs="*", default=list(PARTIES), help=", ".join(PARTIES))
    analyseur.add_argument("--avant", default=AVANT, help="le commit auquel se comparer")
    analyseur.add_argument("--freqtrade", type=Path, help="l'environnement de freqtrade, gardé ; créé s'il n'y est pas")
    options = analyseur.parse_args()
    exchange = Bourse(exchanges=("binance",), latence_s=LATENCE_S, nombre_marches=2000)
    with tempfile.TemporaryDirectory() as dossier, exchange.en_fil() as bourse:
        avant = Path(dossier) / "avant"
        avant.mkdir()
        archive = ["git", "archive", "--format=tar", options.avant]
        octets = subprocess.run(archive, cwd=RACINE, check=True, capture_output=True).stdout
        with tarfile.open(fileobj=io.BytesIO(octets)) as contenu:
            contenu.extractall(avant, filter="data")
        terrain = Terrain(bourse, avant, Path(dossier), (options.freqtrade or Path(dossier) / "freqtrade").absolute())
        lignes = []
        for nom in options.parties:
            for ligne in PARTIES[nom](terrain):
                print(" | ".join(ligne), flush=True)
                lignes.append(ligne)
    texte = "\n".join(f"| {' | '.join(ligne)} |" for ligne in [COLONNES, ["---"] * len(COLONNES), *lignes])
    entete = f"« Avant » : le commit {options.avant}. Chaque mesure : le meilleur de plusieurs processus, alternés.\n\n"
    if options.parties == list(PARTIES):
        publier("banc_vitesse.py", entete + texte + "\n")
    print(texte)


if __name__ == "__main__":
    principal()
