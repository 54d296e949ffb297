"""De quoi éprouver les écrivains : des lots, un modèle en dictionnaire, et un processus qu'on peut tuer."""

from __future__ import annotations

import os
import random
import threading
from typing import TYPE_CHECKING

import pyarrow as pa

import module_ccxt_fr_v2 as m

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

DEBUT = 1_704_067_200_000  # 2024-01-01
MINUTE = 60_000
BTC = m.CleSerie("binance", "BTC/USDT", "1m", "last")
ETH = BTC._replace(symbole="ETH/USDT")
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
    return prix, prix + 0.1, prix - 0.1, prix + 0.1 + 0.2, None if rang % 13 == 0 else rang * 1e-8


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


def ecrire(chemin: Path, *lots: m.Lot, table: str = "ohlcv", compression: str | None = None) -> bool:
    """Une exécution complète : contrôle, ouverture, écriture, fin ; rend ce que rend `finir`."""
    ecrivain = creer(chemin, table=table, compression=compression)
    ecrivain.controler(sorted({unique.cle for unique in lots}) or [BTC])
    with ecrivain:
        for unique in lots:
            ecrivain.ecrire(unique, fiche(unique.cle))
        return ecrivain.finir()


def creer(chemin: Path, *, table: str = "ohlcv", compression: str | None = None) -> m.Ecrivain:
    """L'écrivain de ce chemin, d'après son extension."""
    nom = next(nom for suffixe, nom in m.EXTENSIONS.items() if chemin.name.endswith(suffixe))
    return m.ECRIVAINS[nom](chemin, table=table, compression=compression)


def contenu(chemin: Path, table: str = "ohlcv") -> Modele:
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
    permis = {chemin.name, f"{chemin.name}.verrou", f"{chemin.name}.fiche.json"}
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
