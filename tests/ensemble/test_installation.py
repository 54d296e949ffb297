"""Ce qui s'installe : le wheel a tout ce que le programme ouvre, et le Dockerfile tout ce que le wheel demande."""

from __future__ import annotations

import importlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from typing import Any

import pytest
from mypy.modulefinder import FindModuleCache, SearchPaths
from mypy.options import Options

import module_ccxt_fr_v2 as m

RACINE = Path(m.__file__).parent
PROJET: dict[str, Any] = tomllib.loads((RACINE / "pyproject.toml").read_text(encoding="utf-8"))
SETUPTOOLS, SCRIPTS = PROJET["tool"]["setuptools"], PROJET["project"]["scripts"]
LIGNES = re.sub(r"\\\n", " ", (RACINE / "Dockerfile").read_text(encoding="utf-8")).splitlines()
PAQUETS = [motif for motif in SETUPTOOLS["packages"]["find"]["include"] if "." not in motif]
INSTRUCTIONS = [ligne.partition(" ") for ligne in LIGNES if ligne and not ligne.startswith("#")]


def instructions(nom: str) -> list[str]:
    """Ce que disent les lignes de cette instruction."""
    return [reste for mot, _, reste in INSTRUCTIONS if mot == nom]


@pytest.mark.parametrize("nom", ["module_ccxt_fr_v2", "annexes_ccxt_fr", "bourse_locale"])
def test_mypy_lit_les_types_de_ce_qui_est_installe(nom: str, tmp_path: Path) -> None:
    """« Typing :: Typed » : du wheel, un programme typé ne reçoit pas « missing library stubs or py.typed marker »."""
    for module in SETUPTOOLS["py-modules"]:
        shutil.copy(RACINE / f"{module}.py", tmp_path)
    for paquet in PAQUETS:
        (tmp_path / paquet).mkdir()
        for motif in ["*.py", *SETUPTOOLS["package-data"].get(paquet, [])]:
            for fichier in (RACINE / paquet).glob(motif):
                shutil.copy(fichier, tmp_path / paquet)
    cache = FindModuleCache(SearchPaths((), (), (str(tmp_path),), ()), None, Options())
    trouve = cache.find_module(nom)
    assert isinstance(trouve, str), trouve
    assert Path(trouve).suffix == ".py"


def test_le_wheel_a_chaque_fichier_du_programme() -> None:
    """Modules, paquets, et ce qui n'est pas du Python : un wheel sans `rapport.js` ferait une page morte."""
    for module in SETUPTOOLS["py-modules"]:
        assert (RACINE / f"{module}.py").is_file()
    for paquet in PAQUETS:
        motifs = ["*.py", *SETUPTOOLS["package-data"].get(paquet, [])]
        dossiers = {RACINE / paquet, *(init.parent for init in (RACINE / paquet).rglob("__init__.py"))}
        emportes = {fichier for dossier in dossiers for motif in motifs for fichier in dossier.glob(motif)}
        assert len(dossiers) == 1 or f"{paquet}.*" in SETUPTOOLS["packages"]["find"]["include"]
        presents = {f for f in (RACINE / paquet).rglob("*") if f.is_file() and "__pycache__" not in f.parts}
        assert presents == emportes, paquet


def test_les_commandes_installees_existent() -> None:
    assert set(SCRIPTS) == set(m.COMMANDES)
    for cible in SCRIPTS.values():
        module, _, fonction = cible.partition(":")
        assert callable(getattr(importlib.import_module(module), fonction))


def test_le_dockerfile_copie_tout_ce_que_le_wheel_demande() -> None:
    copies = {mot for reste in instructions("COPY") for mot in reste.split()[:-1]}
    assert all((RACINE / copie).exists() for copie in copies)
    exiges = {"pyproject.toml", PROJET["project"]["readme"], *SETUPTOOLS["dynamic"]["dependencies"]["file"]}
    exiges |= {f"{module}.py" for module in SETUPTOOLS["py-modules"]} | set(PAQUETS)
    assert exiges == copies
    ignores = (RACINE / ".dockerignore").read_text(encoding="utf-8").split()
    assert not copies & set(ignores)


def test_le_conteneur_est_sans_droits_et_lance_un_lot() -> None:
    """L'utilisateur vient après l'installation, avant le travail ; le volume lui appartient."""
    mots = [mot for mot, _, _ in INSTRUCTIONS]
    assert mots.index("RUN") < mots.index("USER") < mots.index("ENTRYPOINT")
    (utilisateur,) = instructions("USER")
    (installer,) = instructions("RUN")
    (volume,) = instructions("VOLUME")
    assert utilisateur != "root"
    assert re.search(rf"useradd .* {utilisateur}\b", installer)
    assert f"chown {utilisateur} {volume}" in installer
    (entree,) = instructions("ENTRYPOINT")
    assert json.loads(entree)[0] in SCRIPTS
    base = instructions("FROM")[0]
    assert tuple(map(int, re.findall(r"\d+", base)[:2])) >= (3, 11)


def test_le_controle_de_sante_dit_vrai(tmp_path: Path) -> None:
    """Des métriques de moins de deux heures : sain. Absentes ou vieilles : non."""
    (sante,) = instructions("HEALTHCHECK")
    python, *mots = json.loads(sante.partition("CMD ")[2])
    assert python == "python"

    def controler() -> int:
        return subprocess.run([sys.executable, *mots], cwd=tmp_path, check=False, stderr=subprocess.DEVNULL).returncode

    assert controler() != 0
    (tmp_path / "ccxt_fr.prom").write_text("", encoding="utf-8")
    assert controler() == 0
    vieux = time.time() - 7300
    os.utime(tmp_path / "ccxt_fr.prom", (vieux, vieux))
    assert controler() == 1


def test_les_fichiers_du_contrat_sont_a_la_racine() -> None:
    """CONTRAT § 1 ; la licence est MIT, une clé ou une donnée ne va jamais au dépôt."""
    for nom in (
        "module_ccxt_fr_v2.py", "module_ccxt_fr.py", "runner_ccxt_batch.py", "ccxt_batch.yaml", "requirements.txt",
        "pyproject.toml", "README.md", "CHANGELOG.md", "LICENSE", ".gitignore", ".ci/run", "bourse_locale/__main__.py",
    ):  # fmt: skip
        assert (RACINE / nom).is_file(), nom
    assert os.access(RACINE / ".ci" / "run", os.X_OK)
    assert (RACINE / "LICENSE").read_text(encoding="utf-8").startswith("MIT License")
    ignores = (RACINE / ".gitignore").read_text(encoding="utf-8").split()
    assert {".env", "donnees/", "*.csv", "*.parquet", "*.feather", "*.sqlite"} <= set(ignores)
