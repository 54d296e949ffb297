"""Dire ce qu'est un fichier qui n'est pas tel que nous l'écrivons : un autre format, d'autres colonnes, ou abîmé.

Le module n'y vient que si la signature, le titre ou le schéma ne sont pas exactement les nôtres. Ce qu'un autre outil
récrit sans rien y perdre (pandas, polars, DuckDB) passe ; le reste est refusé, avec ce qu'il contient.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from module_ccxt_fr_v2 import (
    ECRIVAINS,
    Format,
    PasLeNotre,
    SortieIllisible,
    SortieSqlite,
    TypeDonnee,
    en_lisant,
    est_du_texte,
    type_des_colonnes,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pyarrow as pa

    from module_ccxt_fr_v2 import CodecCsv
else:
    from module_ccxt_fr_v2 import pa

TETE_REGARDEE = 1 << 16
TITRE_DIT = 200  # caractères
INDEX_DE_PANDAS = ("__index_level_0__", "", "Unnamed: 0")  # en Arrow (d'une table filtrée) ; en CSV, et relu


def pas_le_notre(decrit: Format, chemin: Path, donnee: TypeDonnee, contenu: str) -> PasLeNotre:
    """Le refus d'un fichier qui contient autre chose que les lignes de ce type, dans ce format."""
    return PasLeNotre(
        f"« {chemin} » n'est pas une sortie {donnee.nom} en {decrit.format} : il contient {contenu}",
        "Choisissez une autre sortie, ou déplacez ce fichier.",
    )


def dire_colonnes(noms: Sequence[str], detail: str = "") -> str:
    """Ce que tiennent des colonnes : un de nos types, par son nom, ou elles-mêmes."""
    donnee = type_des_colonnes(noms)
    sans_index = [nom for nom in noms if nom not in INDEX_DE_PANDAS]
    if len(sans_index) < len(noms) and type_des_colonnes(sans_index):
        return "ses lignes et l'index de pandas, une colonne de plus : récrivez-le sans (index=False)"
    return f"des lignes de type {donnee.nom}" if donnee else f"les colonnes « {detail or ', '.join(noms)} »"


def refuser(decrit: Format, chemin: Path, donnee: TypeDonnee) -> None:
    """D'un fichier non vide, sans la signature de son format : PasLeNotre s'il est lisible, SortieIllisible sinon."""
    with en_lisant(chemin), chemin.open("rb") as fichier:
        tete = fichier.read(TETE_REGARDEE)
    if contenu := _nature(tete, texte=bool(decrit.signature)):
        raise pas_le_notre(decrit, chemin, donnee, contenu)
    if decrit.signature:
        raise SortieIllisible(f"« {chemin} » est illisible : il ne commence pas comme un {decrit.format}")


def _nature(tete: bytes, *, texte: bool) -> str | None:
    """Ce qu'est un fichier sans notre signature : celui d'un autre de nos formats, ou un document (s'il est en texte).

    Un texte sans forme, là où un format binaire est attendu, est un fichier abîmé : il sera mis de côté.
    """
    for autre in ECRIVAINS.values():
        if autre.signature and tete.startswith(autre.signature):
            return f"un fichier {autre.format}"
    if tete.startswith(b"FEA1"):
        return "un fichier Feather V1, l'ancien format : récrivez-le en V2, ou prenez un autre nom"
    if not (texte and est_du_texte(tete)):
        return None
    titre = tete.partition(b"\n")[0]
    if titre.count(b",") > 1:
        return f"un tableau en texte, aux colonnes « {titre[:TITRE_DIT].decode(errors='replace').strip()} »"
    return "du JSON ou du HTML" if tete.lstrip()[:1] in (b"{", b"[", b"<") else None


def refuser_titre(decrit: CodecCsv, chemin: Path, donnee: TypeDonnee, titre: bytes) -> None:
    """D'un tableau en texte, dont la première ligne n'est pas la nôtre ; coupée, c'est la nôtre abîmée."""
    refuser(decrit, chemin, donnee)
    if vide := not titre.strip():  # une ligne vide ne dit rien : la suivante dit ce qu'est le fichier
        with en_lisant(chemin), decrit.ouvrir(chemin) as fichier:
            titre = fichier.read(TETE_REGARDEE).lstrip().partition(b"\n")[0]
    if not titre or not est_du_texte(titre):
        raise SortieIllisible(f"« {chemin} » est illisible : ce n'est pas du texte")
    texte = titre.decode("utf-8-sig", errors="replace").strip()
    if not vide and not titre.endswith(b"\n") and ",".join(donnee.noms).startswith(texte):
        raise SortieIllisible(f"« {chemin} » est illisible : sa fin manque")
    contenu = dire_colonnes(texte.split(","), texte[:TITRE_DIT])
    raise pas_le_notre(decrit, chemin, donnee, f"une ligne vide, puis {contenu}" if vide else contenu)


def admettre_schema(decrit: Format, chemin: Path, donnee: TypeDonnee, schema: pa.Schema) -> None:
    """Admet les colonnes de pandas, polars et DuckDB, qui tiennent les mêmes valeurs ; PasLeNotre des autres."""
    natures = {
        "texte": est_texte,
        "instant": pa.types.is_timestamp,
        "nombre": est_nombre,
        "entier": est_nombre,
        "niveaux": est_niveaux,
    }
    if schema.names != donnee.noms or not all(
        natures[nature](schema.field(nom).type) for nom, nature in donnee.colonnes
    ):
        contenu = dire_colonnes(schema.names, ", ".join(f"{c.name} {c.type}" for c in schema))
        raise pas_le_notre(decrit, chemin, donnee, contenu)


def refuser_table(sortie: SortieSqlite, table: str, lues: Sequence[tuple[str, str]]) -> NoReturn:
    """D'une base, une table d'un de nos noms qui a d'autres colonnes : (nom, type)."""
    contenu = dire_colonnes([nom for nom, _ in lues], ", ".join(f"{nom} {nature}" for nom, nature in lues))
    raise _de_la_base(sortie, f"une table « {table} » avec {contenu}")


def refuser_sans_cle(sortie: SortieSqlite) -> NoReturn:
    """D'une base dont la table a nos colonnes, et peut tenir deux fois la même ligne."""
    raise _de_la_base(sortie, f"une table « {sortie.table} » sans clé unique ({', '.join(sortie.type_donnee.cle)})")


def refuser_sans_table(sortie: SortieSqlite) -> NoReturn:
    """D'une base qui n'a pas notre table."""
    raise _de_la_base(sortie, f"une base sans table « {sortie.table} »")


def _de_la_base(sortie: SortieSqlite, contenu: str) -> PasLeNotre:
    return pas_le_notre(sortie.decrit, sortie.chemin, sortie.type_donnee, contenu)


def est_texte(nature: pa.DataType) -> bool:
    """Vrai d'un type dont les valeurs sont des textes, comme en écrivent pandas, polars et DuckDB."""
    simple = nature.value_type if pa.types.is_dictionary(nature) else nature
    return bool(pa.types.is_string(simple) or pa.types.is_large_string(simple) or pa.types.is_string_view(simple))


def est_nombre(nature: pa.DataType) -> bool:
    """Vrai d'un type de nombres, entiers ou non."""
    return bool(pa.types.is_floating(nature) or pa.types.is_integer(nature))


def est_niveaux(nature: pa.DataType) -> bool:
    """Vrai d'un type dont les valeurs sont des listes de paires (prix, quantité)."""
    if not (pa.types.is_list(nature) or pa.types.is_large_list(nature)) or not pa.types.is_struct(nature.value_type):
        return False
    champs = list(nature.value_type)
    # pandas les range par leur nom, avec une pyarrow d'avant la 24.
    return {champ.name for champ in champs} == {"price", "amount"} and all(est_nombre(champ.type) for champ in champs)
