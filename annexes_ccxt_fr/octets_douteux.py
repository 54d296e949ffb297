"""Lire à part ce qui peut tuer qui le lit : un fichier Arrow sans notre sceau, un journal d'avant les sommes.

Le processus à part lit tout, le valide, et dit ce qui ne va pas ; d'un journal d'avant, un flux Arrow IPC, il récrit
les lots dans la forme d'aujourd'hui, jusqu'au premier qui ne tient pas. D'un journal d'aujourd'hui, abîmé, les lots
dont la somme est juste sont gardés.
"""

from __future__ import annotations

import functools
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from annexes_ccxt_fr.mises_de_cote import mettre_de_cote
from module_ccxt_fr_v2 import (
    CODE_FAUTES,
    LIGNES_PAR_LOT,
    MARQUE_DE_LOT,
    TYPES,
    CleSerie,
    DependanceAbsente,
    ErreurSortie,
    JournalDeReprise,
    SortieIllisible,
    TypeDonnee,
    en_une_ligne,
    est_triee,
    journal,
    nombre_de,
    par_serie,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import pyarrow as pa
    import pyarrow.parquet as pq
else:
    from module_ccxt_fr_v2 import pa, pq

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
    except subprocess.TimeoutExpired:  # une machine chargée, plus souvent qu'un fichier abîmé
        raise ErreurSortie(
            f"La lecture de « {chemin} » n'a pas fini en {delai:.0f} s",
            "Relancez quand la machine sera moins chargée ; si cela se répète, déplacez ce fichier.",
        ) from None
    if fin.returncode in (0, CODE_FAUTES):
        return fin.stdout.decode(errors="replace")
    tue_par = signal.Signals(-fin.returncode).name if fin.returncode < 0 else ""
    if tue_par in SIGNAUX_DE_CRASH or fin.returncode > (1 << 30):  # sous Windows, un code d'exception
        return f"la bibliothèque qui le lit s'y est arrêtée net ({tue_par or hex(fin.returncode)})"
    derniere_ligne = fin.stderr.decode(errors="replace").rstrip().split("\n")[-1]
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
            valider(quoi, Path(chemin))
    except (ImportError, DependanceAbsente, MemoryError):
        raise  # le fichier n'y est pour rien
    except Exception as erreur:
        os.write(1, en_une_ligne(erreur).encode())
        raise SystemExit(CODE_FAUTES) from erreur


def valider(quoi: str, chemin: Path) -> None:
    """Lit et valide tout un fichier de ce format ; ce qui y est abîmé peut tuer le processus."""
    with pa.OSFile(str(chemin)) as source:
        for lot in LOTS_DE[quoi](source):
            lot.validate(full=True)


def _lots_d_un_parquet(source: pa.NativeFile) -> Iterator[pa.RecordBatch]:
    """Toutes ses lignes, et tout ce que son pied en dit."""
    parquet = pq.ParquetFile(source, page_checksum_verification=True)
    parquet.metadata.to_dict()
    yield from parquet.iter_batches(LIGNES_PAR_LOT)


def _lots_d_un_feather(source: pa.NativeFile) -> Iterator[pa.RecordBatch]:
    feather = pa.ipc.open_file(source)
    return map(feather.get_batch, range(feather.num_record_batches))


LOTS_DE: Mapping[str, Callable[[pa.NativeFile], Iterator[pa.RecordBatch]]] = {
    "parquet": _lots_d_un_parquet,
    "feather": _lots_d_un_feather,
}


# --- Un journal de reprise abîmé, ou d'avant les sommes

DEBUT_DE_FLUX_ARROW = b"\xff\xff\xff\xff"  # d'un journal d'avant les sommes
BLOC_CHERCHE = 1 << 20


def lots_apres(ancien: JournalDeReprise, position: int, *, reprise: bool) -> Iterator[tuple[int, bytes, bytes]]:
    """Les lots entiers d'un journal, à partir du passage abîmé qui est là ; `reprise` : le journal n'a plus qu'eux."""
    copie = ancien.chemin.with_name(f"{ancien.chemin.name}.{os.getpid()}.tmp")
    copie.touch()
    try:
        if _est_d_avant(ancien.chemin):
            entiere = _convertir(ancien, copie)
            if reprise and not entiere:
                mettre_de_cote(ancien.chemin)
        else:
            _sauter(ancien, position, copie, dire=reprise)
        if reprise:
            copie.replace(ancien.chemin)
            yield from ancien.lots(position, reprise=True)
        else:
            yield from JournalDeReprise(copie, ancien.donnee).lots(position)
    finally:
        copie.unlink(missing_ok=True)


def _est_d_avant(chemin: Path) -> bool:
    with chemin.open("rb") as fichier:
        return fichier.read(len(DEBUT_DE_FLUX_ARROW)) == DEBUT_DE_FLUX_ARROW


def _convertir(ancien: JournalDeReprise, copie: Path) -> bool:
    """Ses lots, dans la forme d'aujourd'hui, jusqu'au premier qui ne tient pas ; vrai s'ils y sont tous."""
    if plainte := lire_a_part("journal", ancien.chemin, ancien.donnee.nom, copie):
        journal.warning("« %s » : écarté à partir d'un lot qui ne se lit pas (%s).", ancien.chemin, plainte)
    return not plainte


def _sauter(ancien: JournalDeReprise, position: int, copie: Path, *, dire: bool) -> None:
    """Recopie tout, sauf les passages abîmés ; SortieIllisible si aucun lot n'est entier."""
    perdus, lots = 0, position
    shutil.copyfile(ancien.chemin, copie)
    with ancien.chemin.open("rb") as fichier, copie.open("r+b") as neuf:
        neuf.truncate(position)
        neuf.seek(position)
        taille = os.fstat(fichier.fileno()).st_size
        while position < taille:
            if ancien.lu(fichier, position) is not None:
                fin = fichier.tell()
                lots += 1
            elif ancien.est_coupe(fichier, position):
                fin = taille  # la reprise le dira
            else:
                perdus, position = perdus + 1, _suivante(fichier, position + 1)
                continue
            fichier.seek(position)
            neuf.write(fichier.read(fin - position))
            position = fin
    if not lots:
        raise SortieIllisible(f"« {ancien.chemin} » est illisible : aucun lot entier")
    if dire:
        phrase = "« %s » : octets abîmés à %s, écartés ; ce qui y était reçu sera redemandé."
        journal.warning(phrase, ancien.chemin, nombre_de(perdus, "endroit"))


def _suivante(fichier: BinaryIO, position: int) -> int:
    """Où commence le lot suivant, d'après sa marque ; à défaut, la fin du fichier."""
    while True:
        fichier.seek(position)
        octets = fichier.read(BLOC_CHERCHE)
        if (rang := octets.find(MARQUE_DE_LOT)) >= 0:
            return position + rang
        if len(octets) < len(MARQUE_DE_LOT):
            return position + len(octets)
        position += len(octets) - len(MARQUE_DE_LOT) + 1


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
