"""Coûts de l'historique REST, en rapports mesurés dans la même exécution : `python bancs/banc_historique.py`.

Face à l'exchange embarqué, avec les vraies limites de débit de binance et 100 ms de latence :
1. un an de 1m vers Parquet, contre une boucle `fetch_ohlcv` nue qui ne garde rien (temps, débit, CPU) ;
2. la relance sans rien de neuf (requêtes) ;
3. huit ans de 1m : pic de mémoire vive ;
4. un jour ajouté à ces huit ans, contre une simple copie du fichier ;
5. `--help`.

Chaque mesure est prise dans un processus neuf (la mémoire se lit dans /proc : Linux) ; les résultats sont écrits dans
RESULTATS.md. Option : `--rapide` (trois mois au lieu d'un an, un an au lieu de huit).
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from outils_bancs import Mesure, publier, tableau

RACINE = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(RACINE))

SYMBOLE = "BTC/USDT"
LATENCE_S = 0.1
DEBIT_PERMIS = 50.0  # ccxt, binance : rateLimit de 50 ms, poids 0,4 par page de bougies au comptant

ENFANT_NU = """
import asyncio, json, sys, time
import ccxt.pro
async def boucle(config, debut, fin):
    exchange = ccxt.pro.binance(config)
    await exchange.load_markets()
    depart, cpu, pages, lignes = time.perf_counter(), time.process_time(), 0, 0
    while debut < fin:
        page = await exchange.fetch_ohlcv("BTC/USDT", "1m", debut, 1000)
        pages, lignes, debut = pages + 1, lignes + len(page), page[-1][0] + 60_000
    print(json.dumps({"s": time.perf_counter() - depart, "cpu": time.process_time() - cpu, "pages": pages}))
    await exchange.close()
asyncio.run(boucle(json.loads(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
"""

ENFANT_V2 = """
import json, sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[4])
import module_ccxt_fr_v2 as collecte
import ccxt.pro
def pic_mo():  # VmHWM repart de zéro à exec, ru_maxrss non : il garderait le pic du banc
    etat = Path("/proc/self/status").read_text()
    return int(etat.partition("VmHWM:")[2].split()[0]) / 1024
avant = pic_mo()
tache = collecte.construire({"symbole": "BTC/USDT", "config_ccxt": json.loads(sys.argv[1]),
    "date_debut": int(sys.argv[2]), "date_fin": int(sys.argv[3]), "sortie": sys.argv[5]})
depart, cpu = time.perf_counter(), time.process_time()
bilan = collecte.executer(tache)
print(json.dumps({"s": time.perf_counter() - depart, "cpu": time.process_time() - cpu, "code": bilan.code,
    "lignes": bilan.total("lignes_nouvelles"), "requetes": bilan.requetes,
    "rss_mo": pic_mo() - avant}))
"""


def lancer(code: str, *arguments: object) -> dict[str, Any]:
    """Exécute un enfant et rend ce qu'il a mesuré."""
    commande = [sys.executable, "-c", code, *map(str, arguments)]
    sortie = subprocess.run(commande, check=True, capture_output=True, text=True).stdout
    resultat: dict[str, Any] = json.loads(sortie.splitlines()[-1])
    return resultat


def mesurer_an(bourse: Any, dossier: Path, debut: int, fin: int) -> dict[str, Any]:
    """Un an vers Parquet, contre la boucle nue ; le marché simulé est calculé d'avance pour les deux."""
    config = json.dumps(bourse.config_ccxt("binance"))
    bourse.latence_s = 0.0
    lancer(ENFANT_NU, config, debut, fin)  # remplit le cache de l'exchange : ni l'un ni l'autre ne paie son calcul
    bourse.latence_s = LATENCE_S
    nu = lancer(ENFANT_NU, config, debut, fin)
    bourse.requetes.clear()
    v2 = lancer(ENFANT_V2, config, debut, fin, RACINE, dossier / "an.parquet")
    pages = [requete.instant for requete in bourse.requetes if "klines" in requete.chemin]
    v2["debit"] = (len(pages) - 1) / (pages[-1] - pages[0])
    relance = lancer(ENFANT_V2, config, debut, fin, RACINE, dossier / "an.parquet")
    return {"nu": nu, "v2": v2, "relance": relance}


def mesurer_huit_ans(bourse: Any, dossier: Path, debut: int, fin: int) -> dict[str, Any]:
    """Huit ans d'un coup (mémoire), puis un jour de plus, contre la copie du fichier."""
    config = json.dumps(bourse.config_ccxt("binance"))
    bourse.latence_s = 0.0
    chemin = dossier / "huit.parquet"
    jour = 86_400_000
    tout = lancer(ENFANT_V2, config, debut, fin - jour, RACINE, chemin)
    depart = time.perf_counter()
    with chemin.open("rb") as source, (dossier / "copie").open("wb") as copie:
        shutil.copyfileobj(source, copie)
        os.fsync(copie.fileno())
    copie_s = time.perf_counter() - depart
    ajout = lancer(ENFANT_V2, config, debut, fin, RACINE, chemin)
    seul = lancer(ENFANT_V2, config, fin - jour, fin, RACINE, dossier / "jour.parquet")
    return {"tout": tout, "copie_s": copie_s, "ajout": ajout, "jour_seul": seul, "octets": chemin.stat().st_size}


def mesurer_aide() -> float:
    """La meilleure de cinq exécutions de `--help`."""
    durees = []
    for _ in range(5):
        depart = time.perf_counter()
        subprocess.run([sys.executable, RACINE / "module_ccxt_fr_v2.py", "--help"], check=True, capture_output=True)
        durees.append(time.perf_counter() - depart)
    return min(durees)


def rediger(an: dict[str, Any], huit: dict[str, Any], aide_s: float, annees: str) -> str:
    """Sa section de RESULTATS.md."""
    nu, v2, relance = an["nu"], an["v2"], an["relance"]
    tout, ajout, seul = huit["tout"], huit["ajout"], huit["jour_seul"]
    mesures = [
        (
            f"{v2['lignes']} bougies 1m vers Parquet, 100 ms de latence : v2 contre boucle nue",
            f"{nu['s'] / v2['s']:.1f} × plus vite ({v2['s']:.1f} s contre {nu['s']:.1f} s)",
            "≥ 4 ×",
        ),
        (
            f"débit, sur les {DEBIT_PERMIS:.0f} requêtes par seconde que ccxt permet",
            f"{100 * v2['debit'] / DEBIT_PERMIS:.0f} %",
            "≥ 90 %",
        ),
        (
            "CPU, sur celui de la boucle nue qui ne garde rien",
            f"{v2['cpu'] / nu['cpu']:.2f} × ({v2['cpu']:.1f} s contre {nu['cpu']:.1f} s)",
            "≤ 1,5 ×",
        ),
        (
            "relance sans rien de neuf",
            f"{relance['requetes']} requêtes, marchés et heure compris ; {relance['lignes']} ligne nouvelle",
            "≤ 2 de données",
        ),
        (
            f"{annees} de 1m ({tout['lignes']} bougies) : pic de mémoire au-delà de `import ccxt`",
            f"{tout['rss_mo']:.0f} Mo",
            "≤ 150 Mo",
        ),
        (
            f"un jour ajouté à ce fichier ({huit['octets'] / 1e6:.0f} Mo)",
            f"{ajout['s']:.2f} s (dans un fichier neuf : {seul['s']:.2f} s ; copie seule : {huit['copie_s']:.2f} s)",
            "la copie en plus",
        ),
        ("`--help`", f"{aide_s:.2f} s", "< 0,3 s"),
    ]
    entete = "Des rapports, pris dans une même exécution ; l'exchange embarqué tourne sur la même machine.\n\n"
    return entete + tableau([Mesure(*mesure) for mesure in mesures])


def principal() -> None:
    """Mesure et écrit RESULTATS.md."""
    from bourse_locale import Bourse

    analyseur = argparse.ArgumentParser(description=__doc__)
    analyseur.add_argument("--rapide", action="store_true", help="trois mois et un an")
    rapide = analyseur.parse_args().rapide
    fin = 1_767_225_600_000  # 2026-01-01
    jour = 86_400_000
    an_ms, huit_ms = (90 * jour, 365 * jour) if rapide else (365 * jour, 2_922 * jour)
    exchange = Bourse(exchanges=("binance",), latence_s=LATENCE_S)
    with tempfile.TemporaryDirectory() as dossier, exchange.en_fil() as bourse:
        an = mesurer_an(bourse, Path(dossier), fin - an_ms, fin)
        print(json.dumps(an, indent=1))
        huit = mesurer_huit_ans(bourse, Path(dossier), fin - huit_ms, fin)
        print(json.dumps(huit, indent=1))
    texte = rediger(an, huit, mesurer_aide(), "un an" if rapide else "huit ans")
    print(texte)
    if not rapide:
        publier("banc_historique.py", texte)


if __name__ == "__main__":
    principal()
