"""Un format de plus, pour prouver qu'un codec y suffit : du JSON par lignes ; `CODEC_DE_PLUS=codec_jsonl pytest`."""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING, Any

import pyarrow as pa

import module_ccxt_fr_v2 as m
from annexes_ccxt_fr.fichiers_etrangers import dire_colonnes, pas_le_notre

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path
    from typing import BinaryIO


class CodecJsonl(m.Codec):
    """La première ligne nomme les colonnes ; les suivantes sont des objets. La fiche est à part."""

    format = "jsonl"
    extensions = (".jsonl",)
    compressions = ("none",)
    signature = b'["exchange", '  # la première colonne de tous les types

    def reconnaitre(self, chemin: Path, donnee: m.TypeDonnee) -> None:
        """D'après sa première ligne."""
        m.exiger_signature(self, chemin, donnee)
        with chemin.open(encoding="utf-8") as fichier:
            noms = json.loads(fichier.readline())
        if noms != donnee.noms:
            raise pas_le_notre(self, chemin, donnee, dire_colonnes(noms))

    def lots(
        self,
        chemin: Path,
        donnee: m.TypeDonnee,
        depuis: m.Borne | None = None,
        colonnes: Sequence[str] | None = None,
    ) -> Iterator[pa.Table]:
        """Les objets, en table ; du début, quelle que soit la borne : c'est permis."""
        del depuis
        voulues = pa.schema([donnee.schema.field(nom) for nom in colonnes or donnee.noms])
        with chemin.open(encoding="utf-8") as fichier:
            fichier.readline()
            while textes := list(itertools.islice(fichier, m.LIGNES_PAR_LOT)):
                yield pa.Table.from_pylist([json.loads(texte) for texte in textes], schema=voulues)

    def composer(
        self, fichier: BinaryIO, lots: Iterable[pa.Table], donnee: m.TypeDonnee, compression: str, entete: m.Entete
    ) -> int:
        """Les noms, puis un objet par ligne ; les lignes sont recomptées."""
        del compression, entete
        fichier.write(json.dumps(donnee.noms).encode() + b"\n")
        for table in lots:
            fichier.writelines(json.dumps(self._simple(ligne)).encode() + b"\n" for ligne in table.to_pylist())
        fichier.seek(0)
        return sum(1 for _ in fichier) - 1

    @staticmethod
    def _simple(ligne: dict[str, Any]) -> dict[str, Any]:
        """Des instants, leurs ms."""
        return {nom: round(v.timestamp() * 1000) if hasattr(v, "timestamp") else v for nom, v in ligne.items()}


m.ECRIVAINS["jsonl"] = CodecJsonl()
m.EXTENSIONS[".jsonl"] = "jsonl"
