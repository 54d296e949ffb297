"""Ce que coûte un mois de trades lu aux archives : `python bancs/banc_trades.py`.

Un fichier mensuel d'aggTrades au comptant, de vingt millions de lignes, dans un miroir (`file://`), vers Parquet : la
mémoire au plus, et le temps processeur de chaque ligne, celui de la décompression ôté (le fichier est décompressé deux
fois : pour le juger, pour le lire). L'API ne donne que l'heure, les marchés, et les bougies 1d de ce fichier, à qui il
est confronté. Les résultats vont dans RESULTATS.md.

Option : `--lignes N` (rien de publié).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

from outils_bancs import Mesure, publier, tableau

RACINE = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(RACINE))

HEURE_MS, DEBUT_MS, FIN_MS = 1_709_899_200_000, 1_704_067_200_000, 1_706_745_600_000  # le 8 mars ; janvier 2024
JOUR_MS = 86_400_000
LIGNES = 20_000_000
BLOC = 500_000

ENFANT = """
import json, sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import module_ccxt_fr_v2 as collecte
def pic_mo():
    return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) / 1024
options = json.loads(sys.argv[2])
depart, cpu = time.perf_counter(), time.process_time()
bilan = collecte.executer(collecte.construire(options))
print(json.dumps({"s": time.perf_counter() - depart, "cpu": time.process_time() - cpu, "code": bilan.code,
    "lignes": bilan.total("lignes_nouvelles"), "requetes": bilan.requetes, "pic_mo": pic_mo()}))
"""
DECOMPRESSION = """
import json, sys, time, zipfile
cpu = time.process_time()
for _ in range(2):
    with zipfile.ZipFile(sys.argv[1]) as archive, archive.open(archive.namelist()[0]) as flux:
        while flux.read(1 << 20):
            pass
print(json.dumps({"cpu": time.process_time() - cpu}))
"""


Jours = dict[int, tuple[int, int, int]]
"""Ce qui s'échange chaque jour : le plus haut et le plus bas, en centimes, et le volume, en cent-millièmes."""


def ecrire_le_mois(dossier: Path, lignes: int) -> tuple[Path, Jours]:
    """Le fichier d'un mois, et sa somme de contrôle, rangés comme sur l'hôte ; et ce qu'il échange chaque jour."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.csv

    zip_ = dossier / "data/spot/monthly/aggTrades/BTCUSDT/BTCUSDT-aggTrades-2024-01.zip"
    zip_.parent.mkdir(parents=True)
    alea, pas = random.Random(1), (FIN_MS - DEBUT_MS) / lignes
    # Mille prix et quantités tirés, combinés autrement à chaque bloc : le format est celui de l'exchange.
    centimes = [4_228_358 + alea.randrange(20_000) - 10_000 for _ in range(1009)]
    lots = [alea.randrange(1, 2_000_000) for _ in range(4001)]
    prix = [f"{centime // 100}.{centime % 100:02d}000000" for centime in centimes]
    quantites = [f"{lot // 10**5}.{lot % 10**5:05d}000" for lot in lots]
    jours: Jours = {}
    option = pyarrow.csv.WriteOptions(include_header=False, quoting_style="none")
    with (
        zipfile.ZipFile(zip_, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive,
        archive.open("BTCUSDT-aggTrades-2024-01.csv", "w", force_zip64=True) as flux,
    ):
        for premier in range(0, lignes, BLOC):
            rangs = pa.array(range(premier, min(premier + BLOC, lignes)), pa.int64())
            vendeur = pc.equal(pc.bit_wise_and(rangs, 1), 0)
            du_prix = pc.subtract(rangs, pc.multiply(pc.divide(rangs, 1009), 1009))
            de_la_quantite = pc.subtract(rangs, pc.multiply(pc.divide(rangs, 4001), 4001))
            instants = pc.add(pc.floor(pc.multiply(rangs.cast(pa.float64()), pas)).cast(pa.int64()), DEBUT_MS)
            parts = pa.table({
                "jour": pc.multiply(pc.divide(instants, JOUR_MS), JOUR_MS),
                "prix": pa.array(centimes).take(du_prix), "lots": pa.array(lots).take(de_la_quantite),
            }).group_by("jour").aggregate([("prix", "max"), ("prix", "min"), ("lots", "sum")])  # fmt: skip
            for part in parts.to_pylist():
                haut, bas, volume = jours.get(part["jour"], (0, 10**9, 0))
                vu = max(haut, part["prix_max"]), min(bas, part["prix_min"]), volume + part["lots_sum"]
                jours[part["jour"]] = vu
            table = pa.table({
                "id": pc.add(rangs, 10**9),
                "prix": pa.array(prix).take(du_prix), "quantite": pa.array(quantites).take(de_la_quantite),
                "debut": rangs, "fin": rangs, "instant": instants,
                "vendeur": pc.if_else(vendeur, "True", "False"), "meilleur": pc.if_else(vendeur, "True", "True"),
            })  # fmt: skip
            pyarrow.csv.write_csv(table, flux, option)
    somme = hashlib.sha256()
    with zip_.open("rb") as lu:
        while octets := lu.read(1 << 20):
            somme.update(octets)
    zip_.with_name(f"{zip_.name}.CHECKSUM").write_text(f"{somme.hexdigest()}  {zip_.name}\n")
    return zip_, jours


def annoncer(bourse: Any, jours: Jours) -> None:
    """Les bougies 1d que rend l'API sont celles du fichier."""
    protocole = bourse.protocoles["binance"]
    rendre = protocole.lire

    def lire(*demande: Any) -> list[Any]:
        bougies = [(bougie, jours.get(bougie.ts)) for bougie in rendre(*demande)]
        return [
            b if jour is None else b._replace(open=jour[1], high=jour[0], low=jour[1], close=jour[1], volume=jour[2])
            for b, jour in bougies
        ]

    protocole.lire = lire


def lancer(code: str, *arguments: str) -> dict[str, Any]:
    """Un processus neuf, et ce qu'il a mesuré."""
    commande = [sys.executable, "-c", code, *arguments]
    dite: dict[str, Any] = json.loads(
        subprocess.run(commande, check=True, capture_output=True, text=True).stdout.splitlines()[-1]
    )
    print(dite)
    return dite


def principal() -> None:
    """Mesure et écrit RESULTATS.md."""
    from bourse_locale import Bourse

    analyseur = argparse.ArgumentParser(description=__doc__)
    analyseur.add_argument("--lignes", type=int, default=LIGNES)
    lignes = analyseur.parse_args().lignes
    with tempfile.TemporaryDirectory() as nom, Bourse(("binance",), maintenant_ms=HEURE_MS).en_fil() as bourse:
        dossier = Path(nom)
        zip_, jours = ecrire_le_mois(dossier, lignes)
        annoncer(bourse, jours)
        config: dict[str, Any] = bourse.config_ccxt("binance")
        urls = {**config["urls"], "archives": dossier.as_uri()}
        options = {
            "symbole": "BTC/USDT", "donnee": "trades", "source": "archives", "date_debut": DEBUT_MS + 1000,
            "date_fin": FIN_MS - 60_000, "sortie": str(dossier / "t.parquet"),
            "config_ccxt": {**config, "urls": urls},
        }  # fmt: skip
        vide = lancer(DECOMPRESSION, str(zip_))
        lue = lancer(ENFANT, str(RACINE), json.dumps(options))
        poids_mo = zip_.stat().st_size / 2**20
    par_ligne = (lue["cpu"] - vide["cpu"]) / lue["lignes"] * 1e6
    preambule = "Un miroir, décompressé deux fois ; l'exchange embarqué ne donne que l'heure et les jours.\n\n"
    texte = preambule + tableau([
        Mesure(
            f"Un mois d'aggTrades au comptant ({lue['lignes'] / 1e6:.1f} millions de lignes, {poids_mo:.0f} Mo)",
            f"{lue['pic_mo']:.0f} Mo au plus, {lue['s']:.0f} s",
            "≤ 400 Mo",
            perte=lue["code"] != 0 or lue["lignes"] < lignes * 0.99,
        ),
        Mesure(
            "CPU par ligne, la décompression ôtée",
            f"{par_ligne:.2f} µs ({lue['cpu']:.1f} s, dont {vide['cpu']:.1f} s de décompression)",
            "≤ 2 µs",
        ),
    ])  # fmt: skip
    print(texte)
    if lignes >= LIGNES:
        publier("banc_trades.py", texte)


if __name__ == "__main__":
    principal()
