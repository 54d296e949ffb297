"""Des sorties abîmées au hasard : `--verifier`, puis la même commande ; ce qui en reste est confronté à l'oracle.

    python bancs/banc_mutations.py [--nombre 500] [--graine 1]

Chaque essai abîme un des fichiers d'une sortie saine, de bougies (`a`) ou de trades (`t`), qu'aucune grille ne dit
manquants (données, fiche, journal d'une exécution tuée, WAL) : bits retournés, octets ôtés, répétés, échangés,
mis à zéro, insérés, fin coupée. La graine de chaque essai suffit à le refaire ; aucun octet n'est gardé. Verdicts :

- intact : la relance n'a rien eu à dire, et les lignes sont celles de l'oracle ;
- repare : des lignes ou une fiche ont été refaites, et dites ;
- quarantaine : le fichier a été mis de côté, et refait ;
- refuse : code 2, une raison, et le fichier est intact ;
- plausible : une valeur d'un CSV ou d'une base, sans somme de contrôle, en est devenue une autre, possible : rien ne
  la distingue d'une correction à la main ;
- FAUX (d'autres lignes que l'oracle, code 0), TRACE, CRASH, BLOQUE, MUET (code autre, sans raison) : des défauts.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import io
import json
import random
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

RACINE = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(RACINE), str(RACINE / "tests" / "outils")]

import ligne_de_commande as outils  # noqa: E402

import module_ccxt_fr_v2 as m  # noqa: E402
from bourse_locale import Bourse  # noqa: E402

DEBUT = 1_704_067_200_000
BORNES = (DEBUT, DEBUT + 2 * outils.HEURE)
CIBLES = (
    "a.csv", "a.csv.fiche.json", "a.csv.journal", "a.csv.gz", "a.parquet", "a.parquet.journal", "a.feather",
    "a.feather.journal", "a.sqlite", "a.sqlite-wal",
    "t.csv", "t.csv.fiche.json", "t.csv.gz", "t.parquet", "t.feather", "t.sqlite",
)  # fmt: skip
DEFAUTS = ("FAUX", "TRACE", "CRASH", "BLOQUE", "MUET")
PAR_TRANCHE = 25
BITS_MAX = 6
ESSAI_MAX_S = 20.0


def retourner(alea: random.Random, octets: bytes) -> bytes:
    """Un à six bits."""
    abimes = bytearray(octets)
    for _ in range(alea.randint(1, BITS_MAX)):
        abimes[alea.randrange(len(abimes))] ^= 1 << alea.randrange(8)
    return bytes(abimes)


def _morceau(alea: random.Random, octets: bytes) -> slice:
    debut = alea.randrange(len(octets))
    return slice(debut, debut + alea.randint(1, min(400, len(octets))))


def oter(alea: random.Random, octets: bytes) -> bytes:
    """Un passage."""
    parti = _morceau(alea, octets)
    return octets[: parti.start] + octets[parti.stop :]


def repeter(alea: random.Random, octets: bytes) -> bytes:
    """Un passage deux fois."""
    redit = _morceau(alea, octets)
    return octets[: redit.stop] + octets[redit] + octets[redit.stop :]


def effacer(alea: random.Random, octets: bytes) -> bytes:
    """Un passage mis à zéro : un secteur perdu."""
    perdu = _morceau(alea, octets)
    return octets[: perdu.start] + bytes(len(octets[perdu])) + octets[perdu.stop :]


def inserer(alea: random.Random, octets: bytes) -> bytes:
    """Des octets quelconques."""
    place = alea.randrange(len(octets))
    return octets[:place] + alea.randbytes(alea.randint(1, 40)) + octets[place:]


def couper(alea: random.Random, octets: bytes) -> bytes:
    """La fin."""
    return octets[: alea.randrange(len(octets))]


def echanger(alea: random.Random, octets: bytes) -> bytes:
    """Deux passages de même taille."""
    un, taille = alea.randrange(len(octets)), alea.randint(1, 100)
    autre = alea.randrange(len(octets))
    abimes = bytearray(octets)
    abimes[un : un + taille], abimes[autre : autre + taille] = octets[autre : autre + taille], octets[un : un + taille]
    return bytes(abimes)


MUTATIONS: tuple[Any, ...] = (retourner, retourner, oter, repeter, effacer, inserer, couper, echanger)


def telecharger(bourse: Bourse, sortie: Path, niveau: str) -> int:
    """La commande dont c'est la sortie."""
    donnee = "trades" if sortie.name.startswith("t.") else "ohlcv"
    return outils.telecharger(bourse, sortie, BORNES, "--journal", niveau, "--donnee", donnee)


def lignes(sortie: Path) -> list[tuple[Any, ...]]:
    """Ses lignes, chacune après ce qui la désigne ; l'instant de réception, d'un trade, n'est pas une donnée."""
    lue = m.lire(sortie)
    donnee = m.type_des_colonnes(lue.schema.names) or m.OHLCV
    valeurs = [nom for nom in donnee.noms if nom not in (*donnee.rang, "recu")]
    return list(zip(m.en_tuples(lue, donnee.rang), m.en_tuples(lue, valeurs), strict=True))


def preparer(bourse: Bourse, dossier: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Les sorties saines, chacune dans son dossier ; celles à journal sont d'une exécution tuée avant sa fin.

    Rend les lignes de l'oracle, de chacune.
    """
    justes: dict[str, list[tuple[Any, ...]]] = {}
    for cible in CIBLES:
        lieu = dossier / cible
        lieu.mkdir()
        nom = sortie_de(cible)
        if not cible.endswith((".journal", "-wal")):
            code = telecharger(bourse, lieu / nom, "error")
            justes[cible] = lignes(lieu / nom)
            modele = justes[f"{cible[0]}.csv"]
            if code or justes[cible] != modele or len(modele) < (BORNES[1] - BORNES[0]) // outils.MINUTE:
                raise SystemExit("la sortie saine n'a pu être faite")
            continue
        justes[cible] = justes["a.csv"]
        table = m.lire(dossier / "a.csv" / "a.csv")
        fiche = m.lire_fiches(dossier / "a.csv" / "a.csv")[0]
        ecrivain = m.ECRIVAINS[m.format_du_chemin(Path(nom)) or "csv"](lieu / nom).ouvrir()
        for rang in range(0, table.num_rows, 10):
            couvert = (DEBUT + rang * outils.MINUTE, DEBUT + (rang + 10) * outils.MINUTE)
            ecrivain.ecrire(m.Lot(fiche.cle, table[rang : rang + 10], [couvert], []), fiche)
        copie = dossier / f"{cible}.copie"
        shutil.copytree(lieu, copie)  # tuée ici
        ecrivain.fermer()
        shutil.rmtree(lieu)
        copie.rename(lieu)
    return justes


def sortie_de(cible: str) -> str:
    """Le fichier de données dont la cible fait partie."""
    for suite in (".fiche.json", ".journal", "-wal"):
        cible = cible.removesuffix(suite)
    return cible


def essayer(bourse: Bourse, sain: Path, cible: str, graine: int, juste: list[tuple[Any, ...]]) -> str:
    """Abîme une copie, la vérifie, relance ; rend le verdict."""
    alea = random.Random(graine)
    with tempfile.TemporaryDirectory() as lieu:
        dossier = Path(shutil.copytree(sain, Path(lieu) / "d"))
        fichier, sortie = dossier / cible, dossier / sortie_de(cible)
        avant = fichier.read_bytes()
        fichier.write_bytes(alea.choice(MUTATIONS)(alea, avant))
        abime = fichier.read_bytes()
        err = io.StringIO()
        try:
            with contextlib.redirect_stderr(err), contextlib.redirect_stdout(io.StringIO()):
                m.principal(["--verifier", str(sortie)])
                err.truncate(0)
                code = telecharger(bourse, sortie, "warning")
                intact = fichier.exists() and fichier.read_bytes() == abime
                return juger(code, err.getvalue(), sortie, juste, intact=intact)
        except Exception as erreur:  # noqa: BLE001  c'est ce que le banc cherche
            return f"TRACE {type(erreur).__name__} : {str(erreur)[:100]}"


def juger(code: int, dit: str, sortie: Path, juste: list[tuple[Any, ...]], *, intact: bool) -> str:
    """Ce qui est arrivé, d'après le code, ce qui est dit, et ce qui reste."""
    if "Traceback" in dit:
        return "TRACE sur stderr"
    if code == m.CODE_DEMANDE:
        return "refuse" if dit.strip() and intact else "MUET"
    if code:
        return "refuse" if dit.strip() else f"MUET code {code}"
    lues = lignes(sortie)
    if lues != juste:
        # D'un trade, l'id est sa clé : changé, possible, il fait une ligne de plus là où le vrai est redemandé.
        memes_cles = [ligne[0] for ligne in lues] == [ligne[0] for ligne in juste] or (
            sortie.name.startswith("t.") and len(juste) <= len(lues) <= len(juste) + BITS_MAX
        )
        sans_somme = sortie.suffix in (".csv", ".sqlite", ".gz")
        return "plausible" if memes_cles and sans_somme and m.verifier(sortie).code == 0 else "FAUX"
    if "mis de côté" in dit and "ôtée(s)" not in dit:
        return "quarantaine"
    return "repare" if dit.strip() else "intact"


def tranche(debut: int, fin: int, graine: int) -> None:
    """Les essais [debut, fin[, un verdict par ligne, dans ce processus qu'ils peuvent tuer."""
    with Bourse(limites=False).en_fil() as bourse, tempfile.TemporaryDirectory() as lieu:
        justes = preparer(bourse, Path(lieu))
        print("pret", flush=True)
        for rang in range(debut, fin):
            cible = CIBLES[rang % len(CIBLES)]
            verdict = essayer(bourse, Path(lieu) / cible, cible, graine * 1_000_003 + rang, justes[cible])
            print(json.dumps([cible, verdict]), flush=True)


def lancer_tranche(debut: int, fin: int, graine: int) -> list[tuple[str, str]]:
    """Les verdicts d'une tranche ; le processus mort ou bloqué en laisse un, et la suite reprend après."""
    commande = [sys.executable, __file__, "--graine", str(graine), "--tranche", str(debut), str(fin)]
    bloque = False
    try:
        fini = subprocess.run(
            commande, capture_output=True, text=True, check=False, timeout=60 + ESSAI_MAX_S * (fin - debut)
        )
        sortie, mort = fini.stdout, fini.returncode != 0
        if mort and not sortie.startswith("pret"):
            raise SystemExit(fini.stderr)
    except subprocess.TimeoutExpired as trop:
        sortie, mort, bloque = (trop.stdout or b"").decode(), True, True
    verdicts = [tuple(json.loads(ligne)) for ligne in sortie.splitlines()[1:]]
    if mort and len(verdicts) < fin - debut:
        rang = debut + len(verdicts)
        verdicts.append((CIBLES[rang % len(CIBLES)], "BLOQUE" if bloque else "CRASH"))
        if rang + 1 < fin:
            verdicts += lancer_tranche(rang + 1, fin, graine)
    return verdicts


def principal() -> int:
    """Rend 1 si un essai a trouvé un défaut."""
    analyseur = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    analyseur.add_argument("--nombre", type=int, default=500)
    analyseur.add_argument("--graine", type=int, default=1)
    analyseur.add_argument("--tranche", type=int, nargs=2)
    options = analyseur.parse_args()
    if options.tranche:
        debut, fin = options.tranche
        tranche(debut, fin, options.graine)
        return 0
    comptes: dict[str, collections.Counter[str]] = {cible: collections.Counter() for cible in CIBLES}
    defauts = []
    for debut in range(0, options.nombre, PAR_TRANCHE):
        fin = min(debut + PAR_TRANCHE, options.nombre)
        for rang, (cible, verdict) in enumerate(lancer_tranche(debut, fin, options.graine), debut):
            nature = verdict.split()[0]
            comptes[cible][nature] += 1
            if nature in DEFAUTS:
                defauts.append((rang, cible, verdict))
    print(f"{options.nombre} essais, graine {options.graine} (l'essai N : graine {options.graine} * 1000003 + N)")
    for cible, compte in comptes.items():
        print(f"{cible:20}", ", ".join(f"{nombre} {nature}" for nature, nombre in sorted(compte.items())))
    print("en tout :", dict(sum(comptes.values(), collections.Counter())))
    for rang, cible, verdict in defauts:
        print(f"DÉFAUT : essai {rang}, {cible} : {verdict}")
    return 1 if defauts else 0


if __name__ == "__main__":
    sys.exit(principal())
