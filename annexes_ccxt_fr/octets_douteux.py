"""Lire à part ce qui peut tuer qui le lit : un fichier Arrow sans notre sceau, un journal d'avant les sommes.

D'un fichier scellé dont un bloc est abîmé, lire ce qui précède.

Le processus à part lit tout, le valide, et dit ce qui ne va pas ; d'un journal d'avant, un flux Arrow IPC, il récrit
les lots dans la forme d'aujourd'hui, jusqu'au premier qui ne tient pas. D'un journal d'aujourd'hui, abîmé, les lots
dont la somme est juste sont gardés.
"""

from __future__ import annotations

import contextlib
import functools
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from annexes_ccxt_fr.mises_de_cote import mettre_de_cote
from module_ccxt_fr_v2 import (
    CODE_FAUTES,
    LIGNES_PAR_LOT,
    MARQUE_DE_LOT,
    TAILLE_DE_BLOC,
    TYPES,
    CleSerie,
    Codec,
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
    sceau_de,
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


# --- Un fichier scellé, dont un bloc est abîmé : les lignes d'avant se lisent


class FichierScelle(io.RawIOBase):
    """Un fichier dont chaque octet rendu a été vérifié ; un bloc abîmé se lit comme un secteur perdu, OSError."""

    def __init__(self, chemin: Path, sceau: tuple[int, bytes]) -> None:
        super().__init__()
        self._fichier = chemin.open("rb", buffering=0)
        self._scelles, self._sommes = sceau
        self._taille = self._fichier.seek(0, os.SEEK_END)
        self._place = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._place

    def seek(self, place: int, depuis: int = os.SEEK_SET) -> int:
        self._place = place + {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: self._taille}[depuis]
        return self._place

    def read(self, nombre: int = -1) -> bytes:
        """Les octets suivants : ceux que couvre le sceau par blocs entiers, le reste tel quel."""
        debut = self._place
        self._place = fin = self._taille if nombre < 0 else min(self._taille, debut + nombre)
        if debut >= fin:
            return b""
        blocs = range(debut // TAILLE_DE_BLOC, -(-min(fin, self._scelles) // TAILLE_DE_BLOC))
        depart = blocs[0] * TAILLE_DE_BLOC if blocs else debut
        arrivee = max(fin, min(self._scelles, blocs[-1] * TAILLE_DE_BLOC + TAILLE_DE_BLOC)) if blocs else fin
        self._fichier.seek(depart)
        octets = self._fichier.read(arrivee - depart)
        if fin < self._taille:  # Parquet lit son pied avec les 64 ko d'avant, dont il ne fait rien
            self._verifier(memoryview(octets), depart, blocs)
        return octets[debut - depart : fin - depart]

    def _verifier(self, octets: memoryview, depart: int, blocs: range) -> None:
        for rang in blocs:
            bloc = octets[rang * TAILLE_DE_BLOC - depart : min(self._scelles, (rang + 1) * TAILLE_DE_BLOC) - depart]
            if zlib.crc32(bloc) != int.from_bytes(self._sommes[4 * rang : 4 * rang + 4], "little"):
                raise OSError("sa somme de contrôle est fausse : un octet y a changé")

    def close(self) -> None:
        self._fichier.close()
        super().close()


class _ParBlocs(Codec):
    """D'un codec qui scelle ses fichiers : chaque bloc est vérifié quand on le lit, au lieu de tous d'abord."""

    @contextlib.contextmanager
    def source(self, chemin: Path, *, pied: bool = False) -> Iterator[pa.NativeFile]:
        """Le fichier : sans sceau, comme le codec le lit ; scellé, jusqu'à son premier bloc abîmé."""
        with chemin.open("rb") as fichier:
            sceau = sceau_de(fichier, self.signature)
        if sceau is None:
            with cast("Any", super()).source(chemin, pied=pied) as source:
                yield source
        else:
            with contextlib.closing(FichierScelle(chemin, sceau)) as scelle, pa.PythonFile(scelle, mode="r") as source:
                yield source


def par_blocs(codec: Codec) -> Codec:
    """Le même codec, qui rend d'un fichier abîmé toutes les lignes d'avant le premier bloc abîmé."""
    return cast("Codec", type("ParBlocs", (_ParBlocs, type(codec)), {})()) if hasattr(codec, "source") else codec


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
