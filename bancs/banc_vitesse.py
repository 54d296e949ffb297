"""Vitesse, contre un commit d'avant, une boucle ccxt nue et freqtrade, en rapports d'une même exécution.

    python bancs/banc_vitesse.py [depart] [debit] [symboles] [--avant 32cd470] [--freqtrade DOSSIER] [--court]

Face à l'exchange embarqué, 100 ms de latence, 2 000 marchés et les vraies limites de binance :
1. départ : `--version`, `--help`, l'import du module, une relance sans rien de neuf ;
2. débit : deux mois puis un an de 1m vers Parquet, la boucle nue à 8 pages en vol qui ne garde rien, trois processus à
   la fois ; pour les deux mois, `freqtrade download-data`, installé dans son propre environnement (gardé, et repris
   la fois suivante, si `--freqtrade` dit où), qui ne lit que l'API et écrit aussi du Parquet ;
3. symboles : 200 symboles relancés, dans chaque format ; 1 000 symboles, leur coût et leur mémoire ; un jour de plus.

Chaque mesure est la meilleure de plusieurs processus neufs, alternés ; CPU : user + sys du processus. Une seule
machine pour l'exchange et ses clients : les temps de mur se lisent en rapports. Les résultats vont dans RESULTATS.md.
"""

from __future__ import annotations

import argparse
import contextlib
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
    from collections.abc import Callable, Iterator, Sequence

AVANT = "32cd470"  # avant la rafale, l'import d'une seule classe et la lecture par colonnes
FREQTRADE = "2026.9"
LATENCE_S = 0.1
PAGE = 1000
MEMOIRE_DE_PLUS_MO = 30
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

IMPORT = "import module_ccxt_fr_v2"
INSTALLE = "import sys; sys.argv[0] = 'ccxt-fr'; from module_ccxt_fr_v2 import principal; sys.exit(principal())"
COMPTER = "import sys, pyarrow.parquet as pq; print(pq.read_metadata(sys.argv[1]).num_rows)"


class Mesure(NamedTuple):
    """Un processus : temps de mur, CPU, ce qu'il a dit, et le plus qu'il a tenu en mémoire."""

    mur_s: float
    cpu_s: float
    sortie: str
    pic_mo: float


def lancer(*mots: object, dossier: Path = RACINE, programme: str | Path = sys.executable) -> Mesure:
    """Un processus neuf, de Python d'ordinaire, mené à son terme."""
    avant, depart = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    commande = [str(programme), *map(str, mots)]
    env = {**os.environ, "PYTHONPATH": str(dossier), "PYTHONDONTWRITEBYTECODE": ""}
    pic_mo = 0.0
    with tempfile.TemporaryFile("w+") as sortie, tempfile.TemporaryFile("w+") as erreurs:
        enfant = subprocess.Popen(commande, cwd=dossier, stdout=sortie, stderr=erreurs, env=env)
        while enfant.poll() is None:
            pic_mo = max(pic_mo, pic_de(enfant.pid))
            with contextlib.suppress(subprocess.TimeoutExpired):
                enfant.wait(0.02)
        mur_s, apres = time.perf_counter() - depart, resource.getrusage(resource.RUSAGE_CHILDREN)
        sortie.seek(0), erreurs.seek(0)
        if enfant.returncode:
            raise SystemExit(f"code {enfant.returncode} de {' '.join(commande)[:300]}\n{erreurs.read()}")
        cpu_s = apres.ru_utime + apres.ru_stime - avant.ru_utime - avant.ru_stime
        return Mesure(mur_s, cpu_s, sortie.read(), pic_mo)


def pic_de(pid: int) -> float:
    """Le plus que ce processus a tenu en mémoire, en Mo ; 0 s'il vient de finir."""
    try:
        return int(Path(f"/proc/{pid}/status").read_text(encoding="utf-8").partition("VmHWM:")[2].split()[0]) / 1024
    except (OSError, IndexError):
        return 0.0


def meilleures(fois: int, *actions: Callable[[], Mesure]) -> list[Mesure]:
    """Les meilleurs temps de chaque action, alternées : une machine partagée n'en favorise aucune."""
    series = [[action() for action in actions] for _ in range(fois)]
    return [
        Mesure(min(m.mur_s for m in suite), min(m.cpu_s for m in suite), min(suite, key=lambda m: m.mur_s).sortie,
               max(m.pic_mo for m in suite))
        for suite in zip(*series, strict=True)
    ]  # fmt: skip


class Terrain:
    """L'exchange ouvert, les deux états du module, où écrire, et l'environnement de freqtrade."""

    def __init__(self, bourse: Any, avant: Path, dossier: Path, freqtrade: Path, *, court: bool) -> None:
        self.bourse, self.avant, self.dossier, self._freqtrade = bourse, avant, dossier, freqtrade
        self._court = court
        self.config = dossier / "config.json"
        self.config.write_text(json.dumps(bourse.config_ccxt("binance")))

    def choisir(self, entier: int, court: int) -> int:
        """La taille de la mesure."""
        return court if self._court else entier

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
        """`freqtrade download-data`, sans les archives de binance, vers un Parquet neuf."""
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
        attendues = (fin - debut) // 60_000
        if not attendues <= int(lignes) <= attendues + 2 * PAGE:  # il va jusqu'au bout de sa dernière page
            raise SystemExit(f"freqtrade a écrit {lignes} bougies, non {attendues} : la comparaison ne vaudrait rien")
        return mesure


def dire(valeur: float, reference: float, vise: float | None = None, suite: str = "") -> str:
    """« 0.43 × (≤ 0.5 ×) », et si c'est manqué."""
    obtenu = valeur / reference
    manque = " : **manqué**" if vise is not None and round(obtenu, 2) > vise else ""
    return f"{obtenu:.2f} ×{suite}" + (f" (≤ {vise:g} ×){manque}" if vise is not None else "")


def ligne(mesure: str, rapport: str, **cases: str) -> list[str]:
    """Une ligne du tableau ; `cases` : avant, ici, nue, freqtrade, borne."""
    return [mesure, *(cases.get(nom, "—") for nom in ("avant", "ici", "nue", "freqtrade", "borne")), rapport]


def demander(ou: Path, mots: Sequence[str]) -> Mesure:
    """Python, dans le dossier d'un des deux modules."""
    return lancer(*mots, dossier=ou)


def depart(terrain: Terrain) -> Iterator[list[str]]:
    """Ce que coûte un processus avant sa première bougie, et sans bougie neuve."""
    fois = terrain.choisir(5, 1)
    script = ["module_ccxt_fr_v2.py"]
    departs = (
        ("`python module_ccxt_fr_v2.py --version`", [*script, "--version"], [*script, "--version"]),
        ("`python module_ccxt_fr_v2.py --help`", [*script, "--help"], [*script, "--help"]),
        ("`ccxt-fr --version`, avant : le script", [*script, "--version"], ["-c", INSTALLE, "--version"]),
        ("`ccxt-fr --help`, avant : le script", [*script, "--help"], ["-c", INSTALLE, "--help"]),
        ("import du module, octets compilés en cache", ["-c", IMPORT], ["-c", IMPORT]),
    )
    terrain.comparer(1, partial(demander, mots=["-c", IMPORT]))  # les octets compilés sont en cache
    for nom, mots_avant, mots in departs:
        avant, ici = meilleures(fois, partial(demander, terrain.avant, mots_avant), partial(demander, RACINE, mots))
        yield ligne(f"{nom}, CPU", dire(ici.cpu_s, avant.cpu_s, 0.5), avant=f"{avant.cpu_s:.2f} s",
                    ici=f"{ici.cpu_s:.2f} s")  # fmt: skip
    neuf_jours = ("--symbole", "BTC/USDT", "--date-debut", FIN - 9 * JOUR, "--date-fin", FIN)
    relancer = partial(terrain.module, sortie="relance.parquet", options=neuf_jours)
    terrain.comparer(1, relancer)
    nue = partial(terrain.nue, ["BTC/USDT"], "1m", FIN - JOUR // 720, FIN)
    mesures = terrain.comparer(fois, relancer, nue)
    for nom, cle, borne in (("CPU", "cpu_s", "—"), ("mur", "mur_s", f"{2 * LATENCE_S:.1f} s")):
        a, i, n = (getattr(mesure, cle) for mesure in mesures)
        yield ligne(f"relance sans rien de neuf, {nom}", dire(i, a, 0.5), avant=f"{a:.2f} s", ici=f"{i:.2f} s",
                    nue=f"{n:.2f} s", borne=borne)  # fmt: skip


def debit(terrain: Terrain) -> Iterator[list[str]]:
    """Deux mois, un an, puis trois processus d'un an à la fois."""
    deux_mois, un_an = terrain.choisir(61, 3), terrain.choisir(365, 6)
    for nom, jours, fois in (("deux mois", deux_mois, terrain.choisir(3, 1)), ("un an", un_an, terrain.choisir(2, 1))):
        debut = FIN - jours * JOUR
        terrain.bourse.latence_s = 0.0
        terrain.nue(["BTC/USDT"], "1m", debut, FIN)  # l'exchange calcule son marché : personne n'a à le payer
        terrain.bourse.latence_s = LATENCE_S
        mots = ("--symbole", "BTC/USDT", "--date-debut", debut, "--date-fin", FIN)
        ecrire = partial(terrain.module, sortie="debit.parquet", options=mots, neuf=True)
        actions = [partial(ecrire, terrain.avant), partial(ecrire, RACINE),
                   partial(terrain.nue, ["BTC/USDT"], "1m", debut, FIN)]  # fmt: skip
        if nom == "deux mois":
            terrain.installer_freqtrade()
            actions.append(partial(terrain.freqtrade, "BTC/USDT", debut, FIN))
        avant, ici, nue, *rivaux = meilleures(fois, *actions)
        borne = f"{LATENCE_S * math.ceil(jours * 1440 / 1000) / 32:.1f} s"
        donnees = [json.loads(m.sortie)["duree_s"] for m in (avant, ici)]
        nue_s = json.loads(nue.sortie)["donnees"]
        yield ligne(f"{nom} de 1m, après l'import", dire(donnees[1], donnees[0], 0.5), avant=f"{donnees[0]:.1f} s",
                    ici=f"{donnees[1]:.1f} s", nue=f"{nue_s:.1f} s", borne=borne)  # fmt: skip
        yield ligne(f"{nom}, processus entier", dire(ici.mur_s, avant.mur_s), avant=f"{avant.mur_s:.1f} s",
                    ici=f"{ici.mur_s:.1f} s", nue=f"{nue.mur_s:.1f} s", borne=borne)  # fmt: skip
        yield ligne(f"{nom}, CPU, Parquet écrit", dire(ici.cpu_s, nue.cpu_s, 1.0, " la boucle nue"),
                    avant=f"{avant.cpu_s:.1f} s", ici=f"{ici.cpu_s:.1f} s", nue=f"{nue.cpu_s:.1f} s")  # fmt: skip
        for autre in rivaux:
            yield ligne(f"{nom}, processus entier, contre freqtrade {FREQTRADE}",
                        dire(ici.mur_s, autre.mur_s, 0.35, " freqtrade"), ici=f"{ici.mur_s:.1f} s",
                        freqtrade=f"{autre.mur_s:.1f} s", borne=borne)  # fmt: skip
            yield ligne(f"{nom}, CPU, contre freqtrade {FREQTRADE}", dire(ici.cpu_s, autre.cpu_s, None, " freqtrade"),
                        ici=f"{ici.cpu_s:.1f} s", freqtrade=f"{autre.cpu_s:.1f} s")  # fmt: skip
    yield _trois_a_la_fois(terrain, FIN - un_an * JOUR)


def _trois_a_la_fois(terrain: Terrain, debut: int) -> list[str]:
    """Trois processus derrière la même adresse : l'exchange compte ce qui passe ses limites."""
    terrain.bourse.violations = 0
    mots = ("--symbole", "BTC/USDT", "--date-debut", debut, "--date-fin", FIN)
    communs = "--config-ccxt", f"@{terrain.config}", "--journal", "error"
    depart_s = time.perf_counter()
    enfants = [
        subprocess.Popen([sys.executable, RACINE / "module_ccxt_fr_v2.py", *map(str, (*mots, *communs)),
                          "--sortie", terrain.dossier / f"trois-{n}.parquet"]) for n in range(3)
    ]  # fmt: skip
    codes = [enfant.wait() for enfant in enfants]
    if any(codes):
        raise SystemExit(f"un des trois processus a fini par le code {max(codes)}")
    violations, duree_s = terrain.bourse.violations, time.perf_counter() - depart_s
    return ligne("un an, trois processus à la fois : violations comptées par l'exchange",
                 "0" + " : **manqué**" * bool(violations), ici=f"{violations} ({duree_s:.0f} s)")  # fmt: skip


def symboles(terrain: Terrain) -> Iterator[list[str]]:
    """Des centaines de symboles, cinq jours de 1h : relancés sans rien de neuf, dans chaque format ; puis mille."""
    protocole = terrain.bourse.protocoles["binance"]
    tous = [i.symbole for i in protocole.instruments if i.actif and i.type_marche == "spot"]
    peu, beaucoup = terrain.choisir(200, 20), terrain.choisir(1000, 60)
    noms = tous[:peu]
    mots = ("--symbols", ",".join(noms), "--timeframe", "1h", "--date-debut", FIN - 5 * JOUR, "--date-fin", FIN)
    formats = ("parquet", "csv", "feather", "sqlite")
    terrain.bourse.latence_s = 0.0
    for nom in formats:
        terrain.comparer(1, partial(terrain.module, sortie=f"symboles.{nom}", options=mots))
    terrain.nue(noms, "1h", FIN - JOUR // 12, FIN)
    terrain.bourse.latence_s = LATENCE_S
    for nom in formats:
        avant, ici, nue = terrain.comparer(
            terrain.choisir(2, 1), partial(terrain.module, sortie=f"symboles.{nom}", options=mots),
            partial(terrain.nue, noms, "1h", FIN - JOUR // 12, FIN),
        )  # fmt: skip
        yield ligne(f"{peu} symboles relancés, {nom}, CPU", dire(ici.cpu_s, nue.cpu_s, 1.3, " la boucle nue"),
                    avant=f"{avant.cpu_s:.1f} s", ici=f"{ici.cpu_s:.1f} s", nue=f"{nue.cpu_s:.1f} s")  # fmt: skip
        borne = f"{LATENCE_S * peu / 16:.1f} s"
        yield ligne("… mur", dire(ici.mur_s, nue.mur_s, 1.1, " la boucle nue"), avant=f"{avant.mur_s:.1f} s",
                    ici=f"{ici.mur_s:.1f} s", nue=f"{nue.mur_s:.1f} s", borne=borne)  # fmt: skip
    yield from _d_un_nombre_a_l_autre(terrain, tous[:peu], tous[:beaucoup])
    yield _un_jour_de_plus(terrain, tous[:beaucoup])


def _d_un_nombre_a_l_autre(terrain: Terrain, peu: Sequence[str], beaucoup: Sequence[str]) -> Iterator[list[str]]:
    """Ce qu'un symbole coûte à la relance, et le pic de mémoire, quand ils sont plus nombreux."""
    par_symbole_ms, pics = [], []
    terrain.bourse.latence_s = 0.0
    for noms in (peu, beaucoup):
        mots = ("--symbols", ",".join(noms), "--timeframe", "1h", "--date-debut", FIN - 5 * JOUR, "--date-fin", FIN)
        relancer = partial(terrain.module, RACINE, f"n{len(noms)}.parquet", mots)
        relancer()
        (mesure,) = meilleures(terrain.choisir(3, 1), relancer)
        par_symbole_ms.append(1000 * mesure.cpu_s / len(noms))
        pics.append(mesure.pic_mo)
    trop = " : **manqué**" * (par_symbole_ms[1] > par_symbole_ms[0])
    yield ligne(f"{len(beaucoup)} symboles relancés, parquet : CPU par symbole", f"pas plus qu'à {len(peu)}{trop}",
                ici=f"{par_symbole_ms[1]:.1f} ms ({par_symbole_ms[0]:.1f} ms à {len(peu)})")  # fmt: skip
    trop = " : **manqué**" * (round(pics[1] - pics[0]) > MEMOIRE_DE_PLUS_MO)
    yield ligne(f"… pic de mémoire, de {len(peu)} à {len(beaucoup)} symboles",
                f"{pics[1] - pics[0]:+.0f} Mo (≤ +{MEMOIRE_DE_PLUS_MO}){trop}",
                ici=f"de {pics[0]:.0f} à {pics[1]:.0f} Mo")  # fmt: skip


def _un_jour_de_plus(terrain: Terrain, noms: Sequence[str]) -> list[str]:
    """Le jour suivant, ajouté à l'unique Parquet de toutes ces séries."""
    mots = ("--symbols", ",".join(noms), "--timeframe", "1h", "--date-debut", FIN - 6 * JOUR)
    sortie = f"{RACINE.name}-jour.parquet"
    terrain.bourse.latence_s = 0.0
    terrain.module(RACINE, "jour.parquet", (*mots, "--date-fin", FIN - JOUR))
    relance = terrain.module(RACINE, "jour.parquet", (*mots, "--date-fin", FIN - JOUR))
    avant = (terrain.dossier / sortie).stat().st_size
    mesure = terrain.module(RACINE, "jour.parquet", (*mots, "--date-fin", FIN))
    apres = (terrain.dossier / sortie).stat().st_size
    obtenu = (
        f"{mesure.cpu_s:.1f} s ({relance.cpu_s:.1f} s sans rien de neuf), {(apres - avant) / 1e3:.0f} Ko de plus dans "
        f"{apres / 1e6:.1f} Mo"
    )
    return ligne(f"un jour ajouté à un Parquet de {len(noms)} symboles, CPU", "—", ici=obtenu)


PARTIES = {"depart": depart, "debit": debit, "symboles": symboles}
COLONNES = ("mesure", "avant", "ici", "boucle nue × 8", "freqtrade", "limite physique", "rapport (visé)")
NOTES = """
La limite physique est la latence × les pages / 32 en vol ; la fenêtre de binance (2 400 pages par minute, les quatre
cinquièmes des 3 000 qu'il admet) ne borne rien de ce qui précède. La boucle nue ne garde rien et ne prouve rien.
freqtrade : `download-data`, `only_from_ccxt`, mêmes adresses, vers Parquet ; il finit sa dernière page.

1. Un script lancé est compilé en entier avant sa première ligne, et Python ne garde rien de cette compilation : elle
   seule coûte 0,62 × la commande d'avant (0,21 s sur 0,34, 12 200 lignes), et rien d'écrit dans le fichier ne peut
   l'éviter puisque rien n'en est encore exécuté. Python garde les octets compilés de `python -m module_ccxt_fr_v2` et
   de la commande installée `ccxt-fr`. La forme de script ne gagnera plus que ce que le module perdra en longueur :
   0,5 × vers 8 000 lignes.
2. L'import du module : 298 millions d'instructions (callgrind), contre 534 avant ; Python lui-même en prend 91, les
   modules de la bibliothèque standard 89, nos classes et le Mo d'octets à relire le reste, qui suivra la longueur.
3. De la relance, il reste surtout l'import d'aiohttp et de ccxt : les certificats y sont lus trois fois (aiohttp,
   requests, l'instance ccxt), et `requests` importé, dont l'asynchrone ne se sert pas ; les ôter changerait ces paquets
   pour tout autre code du processus.
4. Mémoire : le plus haut de VmHWM, lu dans /proc pendant que le processus court. `ru_maxrss` compterait celle du banc,
   dont l'enfant est une copie au moment où il naît.
   Le surplus de mille symboles est ce que la réserve d'Arrow garde de la lecture des fins de séries : Arrow n'en tient
   que 20 Mo à la fois.

Huit ans de 1m, un jour ajouté au Parquet : voir banc_historique.py. La limite est l'outil, non le format : recopier les
groupes de lignes, en ajouter un et récrire le pied coûte 1,1 × la copie (essayé : 0,08 s pour 46 Mo), mais les adresses
du nouveau groupe partent de zéro, car pyarrow 26 refuse d'écrire à la suite d'autres octets (« Appending to file not
implemented »), et ne sait ni décaler ni ôter un groupe d'un pied. Il faudrait coder nous-mêmes le pied, du Thrift
compact : pas pour trois secondes par an de 1m et par jour. Sinon, un jeu de plusieurs fichiers, dont le dernier seul
serait récrit.
"""


def principal() -> None:
    """Mesure et écrit RESULTATS.md."""
    from bourse_locale import Bourse

    analyseur = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    analyseur.add_argument("parties", nargs="*", metavar="PARTIE", help=f"parmi {', '.join(PARTIES)} (toutes)")
    analyseur.add_argument("--avant", default=AVANT, help="le commit auquel se comparer")
    analyseur.add_argument("--freqtrade", type=Path, help="l'environnement de freqtrade, gardé ; créé s'il n'y est pas")
    analyseur.add_argument("--court", action="store_true", help="tout, en bien plus petit : rien n'en est publié")
    options = analyseur.parse_args()
    if inconnues := set(options.parties) - set(PARTIES):
        analyseur.error(f"partie inconnue : {', '.join(sorted(inconnues))} (choix : {', '.join(PARTIES)})")
    depart_s = time.perf_counter()
    exchange = Bourse(exchanges=("binance",), latence_s=LATENCE_S, nombre_marches=200 if options.court else 2000)
    with tempfile.TemporaryDirectory() as dossier, exchange.en_fil() as bourse:
        avant = Path(dossier) / "avant"
        avant.mkdir()
        archive = ["git", "archive", "--format=tar", options.avant]
        octets = subprocess.run(archive, cwd=RACINE, check=True, capture_output=True).stdout
        with tarfile.open(fileobj=io.BytesIO(octets)) as contenu:
            contenu.extractall(avant, filter="data")
        freqtrade = (options.freqtrade or Path(dossier) / "freqtrade").absolute()
        terrain = Terrain(bourse, avant, Path(dossier), freqtrade, court=options.court)
        lignes = []
        for nom in options.parties or PARTIES:
            for mesuree in PARTIES[nom](terrain):
                print(" | ".join(mesuree), flush=True)
                lignes.append(mesuree)
    texte = "\n".join(f"| {' | '.join(cases)} |" for cases in [COLONNES, ["---"] * len(COLONNES), *lignes])
    entete = "Forme courte : les tailles sont bien plus petites que ne le disent les lignes.\n" * options.court + (
        f"« Avant » : le commit {options.avant}. Chaque mesure : le meilleur de plusieurs processus neufs, alternés.\n"
        f"Charge à la fin : {os.getloadavg()[2]:.1f} en moyenne de quinze minutes ; le banc a duré "
        f"{(time.perf_counter() - depart_s) / 60:.0f} minutes.\n\n"
    )
    if not (options.parties or options.court):
        publier("banc_vitesse.py", entete + texte + "\n" + NOTES)
    print(f"\n{entete}{texte}\n{NOTES}")


if __name__ == "__main__":
    principal()
