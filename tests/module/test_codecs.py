"""§ 6 : un codec suffit à ajouter un format de fichier ; ceux du registre n'ont pas d'état."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import module_ccxt_fr_v2 as m

ICI = Path(__file__).parent
SUITE = ("test_ecrivains.py", "test_ecrivains_types.py", "test_ecrivains_flux.py", "test_ecrivains_pannes.py")


@pytest.mark.lent
@pytest.mark.timeout(600)
def test_un_codec_suffit() -> None:
    """Un codec de JSON, de trois fonctions, tient toute la conformité : reprise, flux, kill -9, disque plein."""
    fin = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "jsonl", *SUITE],
        cwd=ICI, env={**os.environ, "CODEC_DE_PLUS": "codec_jsonl"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert fin.returncode == 0, fin.stdout
    passes = re.search(r"(\d+) passed", fin.stdout)
    assert passes, fin.stdout
    assert int(passes[1]) > 100
    assert "skipped" not in fin.stdout
    assert "failed" not in fin.stdout


@pytest.mark.parametrize("nom", m.ECRIVAINS)
def test_un_codec_n_a_pas_d_etat(nom: str) -> None:
    """Le même sert toutes les sorties, dans tous les fils : rien n'y est gardé d'un fichier à l'autre."""
    assert vars(m.ECRIVAINS[nom]) == {}


def test_deux_etages_d_heritage_sous_la_racine() -> None:
    """On compose : une sortie est un fichier ou une base ; un format est un codec, qui peut partager celui d'Arrow."""
    assert {classe.__base__ for classe in (m.SortieFichier, m.SortieSqlite)} == {m.Sortie}
    profondeurs = {nom: type(decrit).__mro__.index(object) for nom, decrit in m.ECRIVAINS.items()}
    assert max(profondeurs.values()) <= 4, profondeurs  # soi, le commun, la racine abstraite, ABC
