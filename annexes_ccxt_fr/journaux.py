"""Reprendre le journal d'une version d'avant les sommes de contrôle : un flux Arrow IPC, à côté de la sortie.

Ses octets sont douteux, et peuvent tuer le processus qui les lit : un autre récrit ses lots dans la forme
d'aujourd'hui, jusqu'au premier qui ne tient pas.
"""

from __future__ import annotations

import contextlib
import json
import os
from typing import TYPE_CHECKING, Any

from module_ccxt_fr_v2 import (
    CleSerie,
    JournalDeReprise,
    TypeDonnee,
    est_triee,
    journal,
    lire_a_part,
    mettre_de_cote,
    par_serie,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pyarrow as pa
else:
    from module_ccxt_fr_v2 import pa


def convertir(chemin: Path, donnee: TypeDonnee) -> None:
    """Met un journal dans la forme d'aujourd'hui ; l'original est mis de côté s'il n'est pas repris entier."""
    with _recopie(chemin, donnee) as (copie, entiere):
        if not entiere:
            mettre_de_cote(chemin)
        copie.replace(chemin)


def notes(chemin: Path, donnee: TypeDonnee) -> Iterator[dict[str, Any]]:
    """Les notes de ses lots, sans y toucher."""
    with _recopie(chemin, donnee) as (copie, _):
        yield from JournalDeReprise(copie, donnee).notes()


@contextlib.contextmanager
def _recopie(chemin: Path, donnee: TypeDonnee) -> Iterator[tuple[Path, bool]]:
    """Ses lots, dans la forme d'aujourd'hui, jusqu'au premier qui ne tient pas ; vrai s'ils y sont tous."""
    copie = chemin.with_name(f"{chemin.name}.{os.getpid()}.tmp")
    copie.touch()
    try:
        if plainte := lire_a_part("journal", chemin, donnee.nom, copie):
            journal.warning("« %s » : écarté à partir d'un lot qui ne se lit pas (%s).", chemin, plainte)
        yield copie, not plainte
    finally:
        copie.unlink(missing_ok=True)


def recopier(ancien: Path, copie: Path, donnee: TypeDonnee) -> None:
    """Dans le processus à part : ajoute à la copie les lots de l'ancien, jusqu'au premier qui ne tient pas."""
    neuf = JournalDeReprise(copie, donnee)
    with pa.OSFile(str(ancien)) as fichier:
        lecteur = pa.ipc.open_stream(fichier)
        if not lecteur.schema.equals(donnee.schema):
            raise pa.ArrowInvalid("il a d'autres colonnes")
        while fichier.tell() < fichier.size():
            lot, note = lecteur.read_next_batch_with_custom_metadata()
            lot.validate(full=True)
            table, dite = pa.Table.from_batches([lot]), json.loads(note["lot"])
            intruses = {cle for cle, _ in par_serie(table, donnee)} - {CleSerie(*dite["cle"])}
            if intruses or not est_triee(table, donnee):
                raise pa.ArrowInvalid("un lot est en désordre, ou d'une autre série")
            neuf.ajouter(table, dite)
