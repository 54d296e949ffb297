"""Une heure de marché, trois exchanges, cinq cents symboles, des pannes au hasard : `python bancs/banc_echelle.py`.

L'heure est jouée six fois trop vite : dix minutes, une ou deux de plus pour juger ; une exécution qui n'aurait pas fini
trois minutes après son heure est tuée, et c'est une perte.

Face à l'exchange embarqué, dans ce processus ; trois exécutions de la ligne de commande (binance, okx, kraken) suivent
les trades de leurs symboles. À la fin, chaque sortie est comparée à l'oracle : ce que la fiche dit couvert est écrit,
une fois et juste. Code 1 si une donnée couverte a manqué, fut doublée ou fausse.

`--heures` : de marché ; `--symboles` : en tout ; `--acceleration` : minutes de marché par minute réelle (60, plus que
deux cœurs n'en supportent à cette échelle) ; `--pannes` : par minute réelle et par exchange.
"""

from __future__ import annotations

import argparse
import collections
import json
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from outils_bancs import Mesure, tableau

RACINE = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(RACINE))

from bourse_locale import Bourse, Marche, Panne  # noqa: E402

EXCHANGES = ("binance", "okx", "kraken")
DEPART = 1_767_225_630_000  # 2026-01-01T00:00:30Z
TIC_S = 0.01
RETARD_MAX_S = 180.0  # qu'une exécution peut prendre à finir, durée écoulée


@dataclass
class Suivi:
    """Une exécution, et ce qu'elle a coûté."""

    exchange: str
    symboles: list[str]
    sortie: Path
    processus: subprocess.Popen[str]
    journal: Path
    memoire_mo: list[float] = field(default_factory=list)
    cpu_s: float = 0.0

    def relever(self) -> None:
        """Sa mémoire et son CPU, lus dans /proc."""
        try:
            champs = Path(f"/proc/{self.processus.pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        except OSError:
            return  # fini
        self.cpu_s = (int(champs[11]) + int(champs[12])) * TIC_S
        self.memoire_mo.append(int(champs[21]) * 4096 / 2**20)


def lancer(bourse: Bourse, exchange: str, nombre: int, duree_s: float, dossier: Path) -> Suivi:
    """La ligne de commande, sur les premiers symboles au comptant de cet exchange."""
    symboles = [s for s in bourse.protocoles[exchange].par_symbole if ":" not in s][:nombre]
    config = {**bourse.config_ccxt(exchange), "rateLimit": 1, "timeout_on_exit": 0}
    sortie, journal = dossier / f"{exchange}.parquet", dossier / f"{exchange}.log"
    commande = [sys.executable, str(RACINE / "module_ccxt_fr_v2.py"), "--exchange", exchange, "--stream", "trades",
                "--symbols", ",".join(symboles), "--duree", f"{duree_s:.0f}", "--silence", "20", "--flush", "2000",
                "--sortie", str(sortie), "--config-ccxt", json.dumps(config)]  # fmt: skip
    with journal.open("w", encoding="utf-8") as fichier:
        processus = subprocess.Popen(commande, stdout=subprocess.DEVNULL, stderr=fichier, text=True)
    return Suivi(exchange, symboles, sortie, processus, journal)


def frapper(bourse: Bourse, suivi: Suivi, alea: random.Random) -> str:
    """Une panne au hasard, sur cet exchange."""
    nature = alea.choice(("reset", "propre", "silence", "ws_perdu", "ws_double", "ws_symbole", "rest"))
    if nature in ("reset", "propre", "silence"):
        bourse.couper(suivi.exchange, nature)
    elif nature == "rest":
        bourse.pannes.ajouter(Panne("http", code=502, fois=alea.randint(1, 5)))
    elif nature == "ws_symbole":
        bourse.pannes.ajouter(Panne("ws_silence_symbole", fois=1, symbole=alea.choice(suivi.symboles)))
    else:
        bourse.pannes.ajouter(Panne(nature, fois=50, probabilite=0.5))
    return nature


def suivre(
    bourse: Bourse, suivis: list[Suivi], duree_s: float, pannes_par_min: float, alea: random.Random
) -> collections.Counter[str]:
    """Jusqu'à ce que tous aient fini, ou soient tués : relève chaque seconde, frappe au hasard ; rend les pannes."""
    frappees: collections.Counter[str] = collections.Counter()
    fin = time.monotonic() + duree_s + RETARD_MAX_S
    while vivants := [suivi for suivi in suivis if suivi.processus.poll() is None]:
        for suivi in vivants:
            suivi.relever()
            if alea.random() < pannes_par_min / 60:
                frappees[frapper(bourse, suivi, alea)] += 1
        if time.monotonic() > fin:
            for suivi in vivants:
                suivi.processus.kill()
        time.sleep(1.0)
    return frappees


def juger(bourse: Bourse, suivi: Suivi) -> tuple[collections.Counter[str], int]:
    """Les trades manquants parmi les couverts, doublés, faux ; et ceux qui sont écrits."""
    import module_ccxt_fr_v2 as collecte

    table, comptes = collecte.lire(suivi.sortie), collections.Counter[str]()
    fiches = {fiche.cle.symbole: fiche for fiche in collecte.lire_fiches(suivi.sortie)}
    lus: dict[str, list[tuple[Any, ...]]] = collections.defaultdict(list)
    colonnes = (table[nom].to_pylist() for nom in ("symbole", "id", "price", "amount"))
    for symbole, *valeurs in zip(*colonnes, collecte.instants_de(table), strict=True):
        lus[symbole].append(tuple(valeurs))
    for symbole in suivi.symboles:
        instrument, ecrits = bourse.protocoles[suivi.exchange].par_symbole[symbole], lus[symbole]
        ids = collections.Counter(str(ligne[0]) for ligne in ecrits)
        comptes["doublés"] += sum(fois - 1 for fois in ids.values())
        comptes["trous"] += len(fiches[symbole].trous) if symbole in fiches else 1
        vrais = {
            str(t.id): (float(instrument.texte_prix(t.prix)), float(instrument.texte_quantite(t.quantite)), t.ts)
            for t in bourse.marche.trades(instrument, min((e[3] for e in ecrits), default=0), bourse.maintenant_ms())
        } if ecrits else {}  # fmt: skip
        seuls = [ligne for ligne in ecrits if "-" not in str(ligne[0])]  # okx et binance en réunissent
        comptes["faux"] += sum(vrais.get(str(ident), tuple(dit)) != tuple(dit) for ident, *dit in seuls)
        numeros = {n for i in ids if (r := collecte.rangs_de(i)) for n in range(r[0], r[1] + 1)}
        couverts = fiches[symbole].couverts if symbole in fiches else []
        comptes["manquants"] += sum(
            int(ident) not in numeros for ident, (_, _, instant) in vrais.items()
            if any(debut <= instant < fin for debut, fin in couverts)
        )  # fmt: skip
    return comptes, table.num_rows


def mesurer(bourse: Bourse, suivi: Suivi, duree_s: float) -> list[Mesure]:
    """Ce que dit une exécution finie ; passé sa durée, elle conclut : le pic de mémoire le compte, non les médianes."""
    comptes, lignes = juger(bourse, suivi)
    fautes = {nom: comptes[nom] for nom in ("manquants", "doublés", "faux")}
    journal = suivi.journal.read_text(encoding="utf-8")
    resumes = len(re.findall(r"Flux : \d", journal))
    trames = sum(session.donnees for session in bourse.connexions)
    ecoute = suivi.memoire_mo[: round(duree_s)]
    tiers = max(1, len(ecoute) // 3)
    milieu, fin = (statistics.median(part or [0.0]) for part in (ecoute[tiers : 2 * tiers], ecoute[2 * tiers :]))
    return [
        Mesure(
            f"{suivi.exchange}, {len(suivi.symboles)} symboles, {lignes} trades, code {suivi.processus.returncode} : "
            "manquants parmi les couverts, doublés, faux ; trous",
            ", ".join(map(str, fautes.values())) + f" ; {comptes['trous']}",
            "0, 0, 0",
            perte=any(fautes.values()) or suivi.processus.returncode not in (0, 3),
        ),
        Mesure(
            f"… mémoire, médiane du deuxième tiers, puis du dernier, pic ; CPU par ligne ; {len(suivi.memoire_mo)} s",
            f"{milieu:.0f} puis {fin:.0f} Mo, {max(suivi.memoire_mo, default=0.0):.0f} ; "
            f"{1e6 * suivi.cpu_s / max(1, lignes):.0f} µs ({trames} trames en tout)",
            "mémoire plate",
        ),
        Mesure("… lignes de résumé du terminal", f"{resumes}", "une par minute, pour tous les symboles"),
    ]


def principal() -> int:
    """Lance, suit, juge."""
    analyseur = argparse.ArgumentParser(description=__doc__)
    analyseur.add_argument("--heures", type=float, default=1.0, help="de marché")
    analyseur.add_argument("--symboles", type=int, default=500)
    analyseur.add_argument("--acceleration", type=float, default=6.0)
    analyseur.add_argument("--pannes", type=float, default=4.0, help="par minute et par exchange")
    analyseur.add_argument("--graine", type=int, default=1)
    choix = analyseur.parse_args()
    alea, mesures = random.Random(choix.graine), []
    duree_s = 3600 * choix.heures / choix.acceleration
    par_exchange = -(-choix.symboles // len(EXCHANGES))
    bourse = Bourse(EXCHANGES, Marche(choix.graine), limites=False, maintenant_ms=DEPART,
                    acceleration=choix.acceleration, nombre_marches=2 * par_exchange)  # fmt: skip
    with tempfile.TemporaryDirectory() as dossier, bourse.en_fil():
        suivis = [lancer(bourse, nom, par_exchange, duree_s, Path(dossier)) for nom in EXCHANGES]
        frappees = suivre(bourse, suivis, duree_s, choix.pannes, alea)
        for suivi in suivis:
            mesures += mesurer(bourse, suivi, duree_s)
            if suivi.processus.returncode not in (0, 3):
                print(suivi.journal.read_text(encoding="utf-8")[-3000:], file=sys.stderr)
    print(tableau(mesures))
    print("Pannes : " + ", ".join(f"{nom} {nombre}" for nom, nombre in frappees.items()))
    return int(any(mesure.perte for mesure in mesures))


if __name__ == "__main__":
    sys.exit(principal())
