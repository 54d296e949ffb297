"""Lire à part ce qui peut tuer qui le lit : un fichier Arrow sans notre sceau, un journal d'avant les sommes.

Le processus à part lit tout, le valide, et dit ce qui ne va pas ; d'un journal d'avant, un flux Arrow IPC, il récrit
les lots dans la forme d'aujourd'hui, jusqu'au premier qui ne tient pas.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from module_ccxt_fr_v2 import (
    CODE_FAUTES,
    ECRIVAINS,
    TYPES,
    CleSerie,
    DependanceAbsente,
    ErreurSortie,
    JournalDeReprise,
    TypeDonnee,
    en_une_ligne,
    est_triee,
    journal,
    mettre_de_cote,
    par_serie,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa
else:
    from module_ccxt_fr_v2 import pa

DELAI_A_PART_S = 60.0  # et une seconde par Mo : dix fois ce que prend un disque lent
SIGNAUX_DE_CRASH = {"SIGSEGV", "SIGBUS", "SIGABRT", "SIGFPE", "SIGILL", "SIGTRAP"}


def lire_a_part(quoi: str, chemin: Path, *suite: object) -> str:
    """Fait lire des octets douteux par un processus à part ; rend ce qui ne va pas, en peu de mots."""
    code = f"import sys; sys.path.insert(0, sys.argv[1]); import {__name__} as a; a.repondre_a_part(*sys.argv[2:])"
    maison = str(Path(__file__).resolve().parent.parent)
    arguments = [sys.executable, "-P", "-c", code, maison, quoi, str(chemin), *map(str, suite)]
    delai = DELAI_A_PART_S + chemin.stat().st_size / 1e6
    try:
        # Sa propre session : un Ctrl-C le tuerait, et le fichier passerait pour abîmé.
        fin = subprocess.run(  # noqa: S603  nos arguments, sans shell
            arguments, stdin=subprocess.DEVNULL, capture_output=True, timeout=delai, start_new_session=True, check=False
        )
    except subprocess.TimeoutExpired:
        return f"sa lecture n'a pas fini en {delai:.0f} s"
    if fin.returncode in (0, CODE_FAUTES):
        return fin.stdout.decode(errors="replace")
    tue_par = signal.Signals(-fin.returncode).name if fin.returncode < 0 else ""
    if tue_par in SIGNAUX_DE_CRASH or fin.returncode > (1 << 30):  # sous Windows, un code d'exception
        return f"la bibliothèque qui le lit s'y est arrêtée net ({tue_par or hex(fin.returncode)})"
    derniere_ligne = fin.stderr.decode(errors="replace").split("\n")[-1]
    raise ErreurSortie(
        f"Lire « {chemin} » dans un processus à part a échoué : {tue_par or derniere_ligne}",
        "Relancez ; si cela se répète, vérifiez la mémoire libre et l'installation de Python.",
    )


@functools.lru_cache(64)
def eprouver(quoi: str, chemin: Path, _etat: tuple[int, ...]) -> str:
    """Ce qui ne va pas d'un fichier dans cet état (inode, taille, date) : une exécution ne l'éprouve qu'une fois."""
    return lire_a_part(quoi, chemin)


def repondre_a_part(quoi: str, chemin: str, *suite: str) -> None:
    """Dans le processus à part : lit tout, le valide, et dit sur stdout ce qui ne va pas."""
    try:
        if quoi == "journal":
            nom, copie = suite
            recopier(Path(chemin), Path(copie), TYPES[nom])
        else:
            codec: Any = ECRIVAINS[quoi]
            codec.eprouver(Path(chemin))
    except (ImportError, DependanceAbsente, MemoryError):
        raise  # le fichier n'y est pour rien
    except Exception as erreur:
        os.write(1, en_une_ligne(erreur).encode())
        raise SystemExit(CODE_FAUTES) from erreur


# --- Le journal d'avant les sommes


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
