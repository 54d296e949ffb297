"""Ce que gagnent les fichiers publics sur l'API : `python bancs/banc_archives.py`.

Face à l'exchange embarqué, avec les vraies limites de débit de binance et 100 ms de latence : un an de 1m d'un contrat
linéaire, et d'une paire au comptant, `--source api` contre `--source archives`, vers Parquet. Les deux fichiers doivent
tenir les mêmes lignes. Chaque mesure est prise dans un processus neuf ; les résultats vont dans RESULTATS.md.

Option : `--rapide` (trois mois, rien de publié).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from outils_bancs import Mesure, publier, tableau

RACINE = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(RACINE))

LATENCE_S = 0.1
JOUR_MS = 86_400_000
FIN_MS = 1_767_225_600_000  # 2026-01-01
SERIES = {"contrat linéaire": "BTC/USDT:USDT", "comptant": "BTC/USDT"}

ENFANT = """
import json, sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import module_ccxt_fr_v2 as collecte
import ccxt.pro, pyarrow.csv
def pic_mo():
    etat = Path("/proc/self/status").read_text()
    return int(etat.partition("VmHWM:")[2].split()[0]) / 1024
avant = pic_mo()
options = json.loads(sys.argv[2])
depart, cpu = time.perf_counter(), time.process_time()
bilan = collecte.executer(collecte.construire(options))
print(json.dumps({"s": time.perf_counter() - depart, "cpu": time.process_time() - cpu, "code": bilan.code,
    "lignes": bilan.total("lignes_nouvelles"), "requetes": bilan.requetes, "rss_mo": pic_mo() - avant,
    "essais": bilan.essais}))
"""


def lancer(bourse: Any, symbole: str, debut: int, source: str, sortie: Path, **config: bool) -> dict[str, Any]:
    """Une exécution, dans un processus neuf, et ce qu'elle a mesuré."""
    options = {
        "symbole": symbole, "timeframe": "1m", "date_debut": debut, "date_fin": FIN_MS, "source": source,
        "sortie": str(sortie), "config_ccxt": {**bourse.config_ccxt("binance"), **config},
    }  # fmt: skip
    commande = [sys.executable, "-c", ENFANT, str(RACINE), json.dumps(options)]
    dite = subprocess.run(commande, check=True, capture_output=True, text=True).stdout
    mesure: dict[str, Any] = json.loads(dite.splitlines()[-1])
    print(symbole, source, mesure)
    return mesure


def mesurer(bourse: Any, symbole: str, debut: int, dossier: Path) -> dict[str, Any]:
    """Les deux sources, et si leurs lignes sont les mêmes."""
    import module_ccxt_fr_v2 as collecte

    bourse.latence_s, bourse.limites = 0.0, False
    for source in ("api", "archives"):  # compose pages et zips : le calcul du marché simulé n'est le coût de personne
        lancer(bourse, symbole, debut, source, dossier / "chauffe.parquet", enableRateLimit=False)
        (dossier / "chauffe.parquet").unlink()
    bourse.latence_s, bourse.limites = LATENCE_S, True
    nom = symbole.replace("/", "").replace(":", "_")
    sorties = {source: dossier / f"{nom}_{source}.parquet" for source in ("api", "archives")}
    mesures: dict[str, Any] = {s: lancer(bourse, symbole, debut, s, sortie) for s, sortie in sorties.items()}
    mesures["relance"] = lancer(bourse, symbole, debut, "archives", sorties["archives"])
    mesures["egales"] = collecte.lire(sorties["api"]).equals(collecte.lire(sorties["archives"]))
    return mesures


def rediger(resultats: dict[str, dict[str, Any]], duree: str) -> str:
    """Sa section de RESULTATS.md."""
    mesures = []
    for nom, r in resultats.items():
        api, archives = r["api"], r["archives"]
        vise = "≤ 45 requêtes, ≤ 0,1 ×" if nom == "contrat linéaire" else "≤ 45 requêtes"
        mesures += [
            Mesure(
                f"{duree} de 1m, {nom} : archives contre API",
                f"{archives['requetes']} requêtes contre {api['requetes']}, {archives['s'] / api['s']:.3f} × son temps "
                f"({archives['s']:.1f} s contre {api['s']:.1f} s), mêmes {archives['lignes']} lignes",
                vise,
                perte=not r["egales"],
            ),
            Mesure(
                f"{nom} : CPU et mémoire, archives contre API",
                f"{archives['cpu']:.1f} s contre {api['cpu']:.1f} s ; {archives['rss_mo']:.0f} Mo "
                f"contre {api['rss_mo']:.0f} Mo",
                "moins de CPU que l'API",
            ),
            Mesure(
                f"{nom} : relance sans rien de neuf",
                f"{r['relance']['requetes']} requêtes, {r['relance']['lignes']} ligne nouvelle",
                "≤ 2 de données",
            ),
        ]
    entete = "Limites de débit de binance, 100 ms par réponse ; l'exchange embarqué tourne sur la même machine.\n\n"
    return entete + tableau(mesures)


def principal() -> None:
    """Mesure et écrit RESULTATS.md."""
    from bourse_locale import Bourse

    analyseur = argparse.ArgumentParser(description=__doc__)
    analyseur.add_argument("--rapide", action="store_true", help="trois mois")
    rapide = analyseur.parse_args().rapide
    debut = FIN_MS - (92 if rapide else 365) * JOUR_MS
    with tempfile.TemporaryDirectory() as dossier, Bourse(exchanges=("binance",)).en_fil() as bourse:
        resultats = {nom: mesurer(bourse, symbole, debut, Path(dossier)) for nom, symbole in SERIES.items()}
    texte = rediger(resultats, "trois mois" if rapide else "un an")
    print(texte)
    if not rapide:
        publier("banc_archives.py", texte)


if __name__ == "__main__":
    principal()
