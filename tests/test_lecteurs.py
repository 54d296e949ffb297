"""Nos fichiers dans d'autres mains : chaque outil installé y lit toutes les lignes et la somme vraie."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from types import ModuleType

BANC = Path(__file__).parent.parent / "bancs" / "lecteurs.py"


def charger() -> ModuleType:
    """Le banc, qui n'est pas un paquet."""
    annonce = importlib.util.spec_from_file_location("banc_lecteurs", BANC)
    assert annonce is not None
    assert annonce.loader is not None
    module = importlib.util.module_from_spec(annonce)
    sys.modules["banc_lecteurs"] = module
    annonce.loader.exec_module(module)
    return module


banc = charger()
CAS = [
    (lecteur, format_)
    for lecteur, (paquet, _, formats) in banc.LECTEURS.items()
    for format_ in formats
    if not paquet or importlib.util.find_spec(paquet)
]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # fastparquet laisse son fichier ouvert
@pytest.mark.parametrize(("lecteur", "format_"), CAS)
def test_un_lecteur_rend_la_somme_vraie(
    tmp_path: Path, lecteur: str, format_: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pyarrow et sqlite3 toujours ; pandas, polars, DuckDB et fastparquet s'ils sont là (extra `lecteurs`)."""
    monkeypatch.setattr(banc, "LIGNES", 500)
    for nom in banc.TYPES:
        chemin, somme = banc.ecrire(tmp_path, nom, banc.EXTENSIONS[format_])
        assert banc.mesurer(lecteur, chemin, nom, somme).startswith("juste")
