"""De quoi éprouver le produit entier : la ligne de commande, les vraies classes ccxt, l'exchange embarqué."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attente import PLAFOND_S, attendre

import module_ccxt_fr_v2 as m

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from multiprocessing.process import BaseProcess

    from bourse_locale import Bourse
    from bourse_locale.serveur import Requete

MODULE = Path(m.__file__).resolve()
MINUTE, HEURE, JOUR = 60_000, 3_600_000, 86_400_000
HEURE_BOURSE = 1_704_459_630_000  # 2024-01-05T13:00:30Z : l'heure des bourses de ces tests, loin de toute clôture
CHEMINS = {"binance": "klines", "okx": "candles", "bybit": "kline", "kraken": "OHLC"}
EXCHANGES = tuple(CHEMINS)
EXTENSIONS = {nom: classe.extensions[0] for nom, classe in m.ECRIVAINS.items()}
FAMILLES = {"parquet": "arrow", "feather": "arrow", ".parquet": "arrow", ".feather": "arrow", ".csv.gz": ".csv"}


def famille(format_: str) -> str:
    """Celle d'un format, ou d'un suffixe : ce qui le lit et l'écrit, journal, verrou et fiche compris, est le même."""
    return FAMILLES.get(format_, format_)


LANCES: list[subprocess.Popen[str]] = []
CONDAMNES: list[BaseProcess] = []
Ligne = tuple[Any, ...]


def commande(
    bourse: Bourse, sortie: Path | None, bornes: m.Intervalle | None = None, *mots: str, exchange: str = "binance",
    config: dict[str, Any] | None = None,
) -> list[str]:  # fmt: skip
    """Les arguments d'un téléchargement ; 1m de BTC/USDT par défaut, que `mots` corrige (le dernier l'emporte)."""
    reglages = {**bourse.config_ccxt(exchange), "timeout_on_exit": 0, **({} if bourse.limites else {"rateLimit": 1})}
    arguments = ["--exchange", exchange, "--config-ccxt", json.dumps(m.fondre_dicts(reglages, config or {}))]
    if bornes is not None:
        arguments += ["--date-debut", str(bornes[0]), "--date-fin", str(bornes[1])]
    if sortie is not None:
        arguments += ["--sortie", str(sortie)]
    if not {"--symbole", "--symbols"} & set(mots):
        arguments += ["--symbole", "BTC/USDT"]
    return [*arguments, *mots]


def telecharger(
    bourse: Bourse, sortie: Path, bornes: m.Intervalle | None = None, *mots: str, exchange: str = "binance",
    config: dict[str, Any] | None = None,
) -> int:  # fmt: skip
    """Le même, exécuté dans ce processus ; rend le code de sortie."""
    return m.principal(commande(bourse, sortie, bornes, *mots, exchange=exchange, config=config))


def lancer(arguments: Sequence[str], script: Path = MODULE, **reglages: Any) -> subprocess.Popen[str]:
    """La ligne de commande dans un vrai processus, sans attendre sa fin ; ses imports tiers sont faits d'avance."""
    from vrais_processus import Programme, se_fait_naitre

    if se_fait_naitre():
        LANCES.append(Programme(script, arguments, **reglages))
    else:
        LANCES.append(subprocess.Popen(
            [sys.executable, "-X", "faulthandler", str(script), *arguments],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **reglages,
        ))  # fmt: skip
    return LANCES[-1]


def tuer_les_lances() -> None:
    """Un test qui échoue ne laisse pas derrière lui un flux sans fin."""
    while LANCES:
        processus = LANCES.pop()
        if processus.poll() is None:
            processus.kill()
            processus.communicate()
    while CONDAMNES:
        condamne = CONDAMNES.pop()
        condamne.kill()
        condamne.join()


def finir(processus: subprocess.Popen[str]) -> tuple[int, str]:
    """Attend la fin d'un processus ; rend son code et ce qu'il a écrit sur stderr."""
    _, erreurs = processus.communicate(timeout=PLAFOND_S)
    return processus.returncode, erreurs


def autopsie() -> str:
    """Ce que font les processus lancés qui vivent encore (SIGABRT y imprime la pile de chaque fil), et leur stderr."""
    dits = []
    for processus in LANCES:
        vivant = processus.poll() is None
        if vivant:
            processus.send_signal(signal.SIGABRT)
        if not processus.stderr or processus.stderr.closed:
            continue
        erreurs = processus.communicate()[1]
        dits.append(f"--- {'vivant' if vivant else f'fini, code {processus.returncode}'}\n{erreurs}")
    return "\n".join(dits)


def jusqua(vrai: Callable[[], object]) -> None:
    """Attend qu'une condition devienne vraie ; sinon, dit ce que font les processus lancés."""
    attendre(vrai, sinon=autopsie)


def octets(sortie: Path) -> int:
    """Le poids d'une sortie et de ses voisins ; l'un d'eux peut disparaître pendant qu'on le pèse."""
    total = 0
    for fichier in sortie.parent.glob(f"{sortie.name}*"):
        with contextlib.suppress(FileNotFoundError):
            total += fichier.stat().st_size
    return total


def lignes(sortie: Path, symbole: str | None = None) -> list[Ligne]:
    """Les lignes (instant, o, h, l, c, v) d'une sortie, dans l'ordre du fichier ; vérifie ordre, unicité et schéma."""
    lue = m.lire(sortie)
    assert lue.schema.equals(m.OHLCV.schema)
    cles = list(zip(*(lue[champ].to_pylist() for champ in m.CleSerie._fields), m.instants_de(lue), strict=True))
    assert cles == sorted(set(cles)), "doublon ou désordre"
    valeurs = zip(*(lue[nom].to_pylist() for nom in m.VALEURS_OHLCV), strict=True)
    return [(cle[-1], *v) for cle, v in zip(cles, valeurs, strict=True) if symbole in (None, cle[1])]


def fiche(sortie: Path, symbole: str = "BTC/USDT") -> m.Fiche:
    """La fiche d'une série."""
    return next(f for f in m.lire_fiches(sortie) if f.cle.symbole == symbole)


def raisons(sortie: Path, symbole: str = "BTC/USDT") -> set[str]:
    """Les raisons de ses trous."""
    return {trou.raison for trou in fiche(sortie, symbole).trous}


def donnees(bourse: Bourse, exchange: str = "binance", depuis: int = 0) -> list[Requete]:
    """Les requêtes de bougies reçues, à partir de la `depuis`-ième requête."""
    return [r for r in bourse.requetes[depuis:] if r.exchange == exchange and CHEMINS[exchange] in r.chemin]


def fenetres(requetes: Iterable[Requete]) -> list[m.Intervalle]:
    """Ce que des requêtes à binance ont demandé."""
    return [(int(r.params["startTime"]), int(r.params["endTime"]) + 1) for r in requetes]


def empreinte(sortie: Path) -> dict[str, tuple[bytes, int]]:
    """Les octets et la date de chaque fichier de la sortie, verrou excepté."""
    voisins = [f for f in sortie.parent.iterdir() if f.name.startswith(sortie.name) and f.suffix != ".verrou"]
    return {f.name: (f.read_bytes(), f.stat().st_mtime_ns) for f in voisins}


def restes(sortie: Path) -> set[str]:
    """Ce qui traîne à côté d'une sortie et n'a pas à y rester."""
    permis = {sortie.name, f"{sortie.name}.fiche.json"}
    return {voisin.name for voisin in sortie.parent.iterdir()} - permis
