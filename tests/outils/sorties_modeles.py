"""De quoi éprouver les écrivains : des lots, un modèle en dictionnaire, et un processus qu'on peut tuer."""

from __future__ import annotations

import contextlib
import importlib
import os
import random
import sqlite3
import threading
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
from attente import attendre

import module_ccxt_fr_v2 as m
from annexes_ccxt_fr import remise_en_ordre

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from multiprocessing.process import BaseProcess
    from pathlib import Path

DEBUT = 1_704_067_200_000  # 2024-01-01
MINUTE = 60_000
BTC = m.CleSerie("binance", "BTC/USDT", "1m", "last")
ETH = BTC._replace(symbole="ETH/USDT")
# Un codec de plus, s'il faut l'éprouver : `test_un_codec_suffit` en donne un, et les processus enfants le voient aussi.
if codec := os.environ.get("CODEC_DE_PLUS"):
    importlib.import_module(codec)
# Une variante par format du registre, plus le CSV compressé : la suite de conformité les parcourt toutes.
VARIANTES = [(nom, classe.extensions[0]) for nom, classe in m.ECRIVAINS.items()] + [("csv", ".csv.gz")]

Ligne = tuple[float, float, float, float, "float | None"]
Modele = dict[m.CleSerie, dict[int, Ligne]]


def instant(rang: int) -> int:
    """L'ouverture de la bougie de ce rang."""
    return DEBUT + rang * MINUTE


def plage(debut: int, fin: int) -> m.Intervalle:
    """L'intervalle des bougies de rang [debut, fin[."""
    return instant(debut), instant(fin)


def bougie(rang: int, version: int = 0) -> Ligne:
    """Une bougie reconnaissable à son rang et à sa version."""
    prix = 100 + rang / 7 + version / 1000
    return prix, prix + 0.5, prix - 0.1, prix + 0.1 + 0.2, 0.0 if rang % 13 == 0 else rang * 1e-8


def lot(
    lignes: dict[int, Ligne] | Iterable[int],
    cle: m.CleSerie = BTC,
    couverts: Sequence[m.Intervalle] | None = None,
    trous: Sequence[m.Trou] = (),
) -> m.Lot:
    """Un lot de ces bougies (rang -> valeurs, ou des rangs) ; couvre par défaut du premier au dernier rang."""
    valeurs = lignes if isinstance(lignes, dict) else {rang: bougie(rang) for rang in lignes}
    rangs = sorted(valeurs)
    colonnes = [pa.array([valeurs[r][c] for r in rangs], pa.float64()) for c in range(5)]
    page = pa.table([pa.array(map(instant, rangs), pa.int64()), *colonnes], names=["timestamp", *m.VALEURS_OHLCV])
    if couverts is None:
        couverts = [plage(rangs[0], rangs[-1] + 1)] if rangs else []
    return m.Lot(cle, m.habiller(cle, page), list(couverts), list(trous))


def fiche(cle: m.CleSerie = BTC) -> m.Fiche:
    """Ce que la source dit d'une série neuve."""
    return m.Fiche(cle, type_marche="spot", unite_volume="base", taille_contrat=None)


def ecrire(chemin: Path, *lots: m.Lot, table: str | None = None, compression: str | None = None) -> bool:
    """Une exécution complète : contrôle, ouverture, écriture, fin ; rend ce que rend `finir`."""
    ecrivain = creer(chemin, table=table, compression=compression)
    ecrivain.controler(sorted({unique.cle for unique in lots}) or [BTC])
    with ecrivain:
        for unique in lots:
            ecrivain.ecrire(unique, fiche(unique.cle))
        return ecrivain.finir()


def creer(
    chemin: Path,
    donnee: m.TypeDonnee = m.OHLCV,
    *,
    table: str | None = None,
    compression: str | None = None,
    flux: bool = False,
    origine: str | None = None,
) -> m.Sortie:
    """L'écrivain de ce chemin, d'après son extension."""
    nom = next(nom for suffixe, nom in m.EXTENSIONS.items() if chemin.name.endswith(suffixe))
    reglages = {"table": table, "compression": compression, "flux": flux, "origine": origine}
    return m.ECRIVAINS[nom](chemin, type_donnee=donnee, **reglages)


def recrire(chemin: Path, donnee: m.TypeDonnee, rangees: list[dict[str, Any]]) -> None:
    """Les mêmes métadonnées, d'autres lignes, dans cet ordre : ce que ferait un éditeur."""
    lignes = pa.Table.from_pylist(rangees, schema=donnee.schema)
    if chemin.suffix == ".csv":
        chemin.write_bytes(",".join(donnee.noms).encode() + b"\n" + m.CodecCsv().octets(lignes, donnee))
    elif chemin.suffix == ".parquet":
        metadonnees = pq.read_metadata(chemin).metadata
        with pq.ParquetWriter(chemin, donnee.schema, store_schema=False) as graveur:
            graveur.write_table(lignes)
            graveur.add_key_value_metadata({"fiche": metadonnees[b"fiche"].decode()})
    elif chemin.suffix == ".feather":
        with pa.OSFile(str(chemin)) as fichier:
            schema = pa.ipc.open_file(fichier).schema
        with pa.OSFile(str(chemin), "wb") as fichier, pa.ipc.new_file(fichier, schema) as graveur:
            graveur.write_table(lignes.cast(schema))
    else:
        recrire_base(chemin, donnee, lignes)


def recrire_base(chemin: Path, donnee: m.TypeDonnee, lignes: pa.Table) -> None:
    convertir = {"instant": lambda c: c.cast("int64"), "niveaux": m.niveaux_en_texte}
    colonnes = [
        convertir.get(nature, lambda c: c)(lignes[nom].combine_chunks()).to_pylist() for nom, nature in donnee.colonnes
    ]
    with contextlib.closing(sqlite3.connect(chemin)) as base, base:
        base.execute(f'DELETE FROM "{donnee.nom}"')  # noqa: S608  le nom d'un type
        places = ",".join("?" * len(colonnes))
        base.executemany(f'INSERT INTO "{donnee.nom}" VALUES ({places})', zip(*colonnes, strict=True))  # noqa: S608


# --- Tous les types : une ligne de chacun, d'un rang et d'une version, et ce que la sortie doit en tenir.

Ligne4 = dict[str, Any]
Modele4 = dict[tuple[Any, ...], Ligne4]


def cles(donnee: m.TypeDonnee) -> tuple[m.CleSerie, m.CleSerie]:
    """Deux séries d'un type, BTC et ETH."""
    vides = {champ: "" for champ in ("timeframe", "prix") if champ not in donnee.noms}
    return BTC._replace(**vides), ETH._replace(**vides)


def ligne(donnee: m.TypeDonnee, cle: m.CleSerie, rang: int, version: int = 0) -> Ligne4:
    """La ligne de ce rang ; trois trades, trois carnets par ms. Les ids d'ETH sont des lettres, à l'envers."""
    prix = bougie(rang, version)
    moment = {"ohlcv": instant(rang), "trades": DEBUT + rang // 3, "orderbook": DEBUT + rang // 3}.get(
        donnee.nom, DEBUT + rang
    )
    sans_asks = rang % 7 == 0
    bids = [{"price": prix[0] - n, "amount": (rang + n + 1) / 7} for n in range(rang % 4 or int(sans_asks))]
    asks = [{"price": prix[1] + n, "amount": (rang + n + 1) / 9} for n in range(rang % 3 + 1)]
    valeurs = {
        **cle._asdict(),
        **dict(zip(m.VALEURS_OHLCV, prix, strict=True)),
        **dict.fromkeys(("bid", "ask", "last", "vwap", "change"), None if rang % 5 == 0 else prix[0]),
        "timestamp": moment,
        "recu": moment + 40,
        "id": str(95 + rang) if cle.symbole == BTC.symbole else f"~{9999 - rang}",
        "side": (None, "buy", "sell")[rang % 3],
        **dict.fromkeys(("price", "amount", "cost", "value"), prix[0]),
        "funding_rate": -1e-5 * rang,
        "mark_price": None if rang % 5 == 0 else prix[1],
        "nonce": rang if rang % 3 < 2 else None,
        "bids": bids,
        "asks": None if sans_asks else asks,
    }
    return {nom: valeurs.get(nom) for nom in donnee.noms}


def table_de(donnee: m.TypeDonnee, lignes: Iterable[Ligne4]) -> pa.Table:
    """Des lignes en table de leur type."""
    return pa.Table.from_pylist(list(lignes), schema=donnee.schema)


def lot_de(
    donnee: m.TypeDonnee, rangs: Iterable[int], cle: m.CleSerie | None = None, version: int = 0, **reste: Any
) -> m.Lot:
    """Un lot des lignes de ces rangs ; couvre par défaut du premier au dernier instant."""
    cle = cle or cles(donnee)[0]
    lignes = table_de(donnee, (ligne(donnee, cle, rang, version) for rang in rangs))
    instants = m.instants_de(lignes)
    pas = MINUTE if donnee.a_une_grille else 1
    couverts = [(min(instants), max(instants) + pas)] if instants else []
    return m.Lot(cle, lignes, reste.get("couverts", couverts), list(reste.get("trous", ())))


def modele_de(donnee: m.TypeDonnee, lots: Iterable[m.Lot]) -> Modele4:
    """Ce que doit tenir la sortie : à clé égale, la dernière ligne reçue, entière."""
    return {cle_de(donnee, recue): recue for unique in lots for recue in unique.lignes.to_pylist()}


def cle_de(donnee: m.TypeDonnee, une: Mapping[str, Any]) -> tuple[Any, ...]:
    """La clé d'une ligne."""
    return tuple(une[nom] for nom in donnee.cle)


def contenu_de(chemin: Path, donnee: m.TypeDonnee, table: str | None = None) -> Modele4:
    """Ce que tient la sortie ; vérifie le type reconnu, l'ordre et l'absence de doublon."""
    lue = m.lire_sortie(chemin, table=table)
    assert lue.schema.equals(donnee.schema)
    lignes = lue.to_pylist()
    trouve = {cle_de(donnee, une): une for une in lignes}
    assert len(trouve) == len(lignes)
    assert list(map(ordre_de, lignes)) == sorted(map(ordre_de, lignes))
    return trouve


def ordre_de(une: Mapping[str, Any]) -> tuple[Any, ...]:
    """L'ordre promis : symbole, instant, puis séquence de l'exchange (les ids en lettres à leur place d'arrivée)."""
    sequence = une.get("nonce") if "nonce" in une else une.get("id")
    nombre = int(sequence) if sequence is not None and str(sequence).isdigit() else float("inf")
    return une["symbole"], une["timestamp"], nombre


def executer(chemin: Path, donnee: m.TypeDonnee, *lots: m.Lot, flux: bool = False, table: str | None = None) -> bool:
    """Une exécution complète, pour un type quelconque."""
    ecrivain = creer(chemin, donnee, flux=flux, table=table)
    ecrivain.controler(sorted({unique.cle for unique in lots}) or list(cles(donnee)))
    with ecrivain:
        for unique in lots:
            ecrivain.ecrire(unique, m.Fiche(unique.cle))
        return ecrivain.finir()


def remettre(par: str, chemin: Path, nom: str, flux: bool = False) -> None:
    """Corps d'un processus : la remise en ordre de `--reparer`, ou celle de la relance."""
    if par == "reparer":
        remise_en_ordre.assainir_sortie(chemin)
    else:
        executer(chemin, m.TYPES[nom], flux=flux)


def contenu(chemin: Path, table: str | None = None) -> Modele:
    """Ce que tient la sortie ; vérifie au passage l'ordre, l'absence de doublon et le schéma."""
    lue = m.lire_sortie(chemin, table=table)
    assert lue.schema.equals(m.OHLCV.schema)
    bornes = list(zip(*(lue[champ].to_pylist() for champ in m.CleSerie._fields), m.instants_de(lue), strict=True))
    assert bornes == sorted(set(bornes))
    modele: Modele = {}
    for ligne in lue.to_pylist():
        cle = m.CleSerie(*(ligne[champ] for champ in m.CleSerie._fields))
        rang = (int(ligne["timestamp"].timestamp() * 1000) - DEBUT) // MINUTE
        modele.setdefault(cle, {})[rang] = tuple(ligne[nom] for nom in m.VALEURS_OHLCV)
    return modele


def couverts(chemin: Path, cle: m.CleSerie = BTC) -> list[m.Intervalle]:
    """Les intervalles couverts d'une série, d'après la sortie."""
    return next((f.couverts for f in m.lire_fiches(chemin) if f.cle == cle), [])


def restes(chemin: Path) -> set[str]:
    """Ce qui traîne à côté de la sortie et n'a pas à y rester."""
    permis = {chemin.name, f"{chemin.name}.fiche.json"}
    return {voisin.name for voisin in chemin.parent.iterdir()} - permis


def lots_a_tuer(graine: int) -> list[m.Lot]:
    """Une suite de lots de deux symboles, en désordre et se recouvrant, la même pour l'enfant et pour l'oracle."""
    alea = random.Random(graine)
    lots = []
    for numero in range(30):
        debut, taille = alea.randrange(0, 400), alea.randrange(1, 60)
        lignes = {rang: bougie(rang, numero) for rang in range(debut, debut + taille)}
        lots.append(lot(lignes, alea.choice([BTC, ETH])))
    return lots


def flux_a_tuer(donnee: m.TypeDonnee, graine: int) -> list[m.Lot]:
    """Les lots d'un flux de deux symboles : presque toujours à la suite, parfois en retard ou révisés."""
    alea = random.Random(graine)
    atteint = dict.fromkeys(cles(donnee), 0)
    lots = []
    for numero in range(40):
        cle = alea.choice(list(atteint))
        debut = atteint[cle] if alea.random() < 0.85 else alea.randrange(0, atteint[cle] + 1)
        fin = debut + alea.randrange(1, 60)
        lots.append(lot_de(donnee, range(debut, fin), cle, numero))
        atteint[cle] = max(atteint[cle], fin)
    return lots


def suivre_sans_fin(chemin: Path, nom: str, graine: int, temoin: Path) -> None:
    """Corps d'un flux à tuer : un octet au témoin après chaque `ecrire` revenu ; fontes fréquentes."""
    m.LIGNES_A_FONDRE, m.JOURNAL_MAX, m.CADENCE_FICHE_S = 100, 20_000, 0.002
    avancement = os.open(temoin, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    donnee = m.TYPES[nom]
    ecrivain = creer(chemin, donnee, flux=True).ouvrir()
    for unique in flux_a_tuer(donnee, graine):
        ecrivain.ecrire(unique, m.Fiche(unique.cle))
        os.write(avancement, b".")
    threading.Event().wait()


def ecrire_sans_fin(chemin: Path, graine: int, temoin: Path) -> None:
    """Corps du processus à tuer : inscrit un octet au témoin après chaque `ecrire` revenu, et fond tous les 5 lots."""
    avancement = os.open(temoin, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    ecrivain = creer(chemin).ouvrir()
    for numero, unique in enumerate(lots_a_tuer(graine), start=1):
        ecrivain.ecrire(unique, fiche(unique.cle))
        os.write(avancement, b".")
        if numero % 5 == 0:
            ecrivain.finir()


def tenir(chemin: Path, pret: Path) -> None:
    """Corps d'un processus qui tient une sortie jusqu'à ce qu'on le tue."""
    with creer(chemin):
        pret.write_text(str(os.getpid()), encoding="ascii")
        threading.Event().wait()


def pese(chemin: Path, octets: int) -> bool:
    """Vrai quand le fichier pèse autant."""
    return chemin.stat().st_size >= octets


def attendre_de(processus: BaseProcess, condition: Callable[[], object]) -> None:
    """Attend une condition, tant que vit le processus dont elle dépend."""

    def vue() -> object:
        vivant = processus.is_alive()
        if not (vrai := condition()):
            assert vivant, f"le processus est mort : {processus.exitcode}"
        return vrai

    attendre(vue)
