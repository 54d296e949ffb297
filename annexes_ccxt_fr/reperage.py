"""Aller droit à une place d'un fichier, au lieu de le lire du début : par ses octets, ses groupes ou ses lots.

Et démêler un CSV de flux en moins de passes qu'il n'a de symboles.

Ce n'est que de la vitesse. Copié seul, le module lit tout, et récrit un CSV entier au lieu d'en recopier le début.
"""

from __future__ import annotations

import bisect
import collections
import csv
import datetime as dt
import itertools
import sys
from typing import TYPE_CHECKING, Any, BinaryIO

from module_ccxt_fr_v2 import (
    EPOQUE,
    SortieIllisible,
    aux_normes,
    borne_de,
    ecrire_atomique,
    en_lisant,
    fusionner,
    lire_instant,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    import pyarrow as pa

    from module_ccxt_fr_v2 import Borne, CodecCsv, SortieFichier, TypeDonnee
else:
    from module_ccxt_fr_v2 import pa


def octet(chemin: Path, donnee: TypeDonnee, borne: Borne, fin: int) -> int:
    """Où commence, dans un CSV dont les lignes vont jusqu'à `fin`, la première qui n'est pas avant la borne.

    Une dichotomie sur les octets.
    """
    with chemin.open("rb") as fichier:
        bas, haut = len(fichier.readline()), fin
        while bas < haut:
            milieu = (bas + haut) // 2
            fichier.seek(milieu - 1)
            fichier.readline()  # jusqu'au premier début de ligne à `milieu` ou après
            debut = fichier.tell()
            while (ligne := fichier.readline()).isspace():
                debut = fichier.tell()
            if debut < haut and _borne(ligne, donnee) < borne:
                bas = debut + len(ligne)
            else:
                haut = milieu
        return bas


def _borne(ligne: bytes, donnee: TypeDonnee) -> Borne:
    champs = next(csv.reader([ligne[: 1 << 12].decode(errors="ignore")]))  # un carnet : parfois cent mille octets
    valeurs = dict(zip(donnee.noms, champs, strict=False))
    if not valeurs.get("timestamp"):
        raise ValueError(f"ligne sans timestamp : {ligne[:80]!r}")
    return valeurs["symbole"], lire_instant(valeurs["timestamp"], 0)


def groupes(parquet: Any, donnee: TypeDonnee, borne: Borne) -> list[int]:
    """Les groupes de lignes d'un Parquet qui peuvent tenir la borne, ou la suivre."""
    rangs = range(parquet.num_row_groups)
    return [rang for rang in rangs if _maximum(parquet.metadata.row_group(rang), donnee) >= borne]


def _maximum(groupe: Any, donnee: TypeDonnee) -> Borne:
    """Une borne que les clés d'un groupe de lignes ne dépassent pas, d'après ses statistiques."""
    # Les colonnes à plusieurs feuilles, les niveaux, sont après.
    symbole, instant = (groupe.column(donnee.noms.index(nom)).statistics for nom in ("symbole", "timestamp"))
    if not (symbole and symbole.has_min_max and instant and instant.has_min_max):
        return (chr(sys.maxunicode), 0)
    return symbole.max, (instant.max.replace(tzinfo=dt.UTC) - EPOQUE) // dt.timedelta(milliseconds=1)


def lot(source: pa.NativeFile, donnee: TypeDonnee, borne: Borne) -> int:
    """Le lot d'un Feather où la borne tombe, ou son groupe commence : une dichotomie sur leur première clé."""
    rangs = [donnee.noms.index(nom) for nom in ("symbole", "timestamp")]
    feather = pa.ipc.open_file(source, options=pa.ipc.IpcReadOptions(included_fields=rangs))

    def premiere(rang: int) -> Borne:
        return borne_de(aux_normes(pa.Table.from_batches([feather.get_batch(rang)]), donnee), 0)

    return max(0, bisect.bisect_left(range(feather.num_record_batches), borne, key=premiere) - 1)


def paquets(comptes: Mapping[str, int], place: int) -> Iterator[list[str]]:
    """Les symboles, triés, par paquets qui tiennent dans `place` lignes ; un symbole qui n'y tient pas est seul."""
    restent = sorted(comptes)
    while restent:
        cumul = list(itertools.accumulate(comptes[symbole] for symbole in restent))
        nombre = max(1, bisect.bisect_right(cumul, place))
        yield restent[:nombre]
        restent = restent[nombre:]


def fondre(sortie: SortieFichier, texte: CodecCsv) -> None:
    """Remplace un CSV par lui-même et son journal fusionnés : avant la première ligne nouvelle, ses octets recopiés."""
    chemin, donnee, tableau = sortie.chemin, sortie.type_donnee, sortie.tableau
    premiere = min((nom, entree.debut) for nom, recues in sortie.reprise.entrees.items() for entree in recues)
    avant: collections.Counter[str] = collections.Counter()

    def remplir(fichier: BinaryIO) -> None:
        with en_lisant(chemin):
            reste = octet(chemin, donnee, premiere, texte.fin_des_lignes(chemin))
        with chemin.open("rb") as ancien:
            while reste:
                if not (bloc := ancien.read(min(reste, 1 << 20))):
                    raise SortieIllisible(f"« {chemin} » a raccourci pendant qu'il était recopié")
                reste -= fichier.write(bloc)
        fusion = fusionner(tableau.compter(tableau.lots(premiere), avant), sortie.reprise.flot(), donnee)
        tableau.exiger(texte.verser(fichier, tableau.compter(fusion, tableau.ecrites), donnee))

    ecrire_atomique(chemin, remplir)
    for cle, fiche in sortie.fiches.items():  # une fois le fichier remplacé : refusée, la fonte recommencera
        if fiche.lignes is not None:
            fiche.lignes += tableau.ecrites[cle.symbole] - avant[cle.symbole]
