"""Le module copié seul dans un dossier vide : il se suffit, et dit ce qui lui manque."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from outils_bout_en_bout import MODULE

# Là où le projet est installé (pip install -e), l'exchange embarqué s'importe de partout : le cacher.
SANS_BOURSE = (
    "import runpy, sys\n"
    "sys.modules['bourse_locale'] = None\n"
    "sys.argv = sys.argv[1:]\n"
    "runpy.run_path(sys.argv[0], run_name='__main__')"
)


@pytest.fixture
def seul(tmp_path: Path) -> Path:
    """Un dossier qui ne contient que le module."""
    return Path(shutil.copy(MODULE, tmp_path))


def lancer(seul: Path, *mots: str) -> subprocess.CompletedProcess[str]:
    """Python dans ce dossier, sans chemin vers le dépôt."""
    env = {nom: valeur for nom, valeur in os.environ.items() if nom not in ("PYTHONPATH", "PYTHONSAFEPATH")}
    return subprocess.run(
        [sys.executable, *mots], cwd=seul.parent, env=env, capture_output=True, text=True, timeout=60, check=False
    )


def test_copie_seul_il_s_importe_et_construit_une_tache(seul: Path) -> None:
    """L'import ne demande ni ccxt, ni pyarrow, ni le reste du dépôt ; il ne crée rien."""
    code = (
        "import sys, module_ccxt_fr_v2 as m\n"
        "tache = m.construire({'symbole': 'BTC/USDT', 'timeframe': '1h'})\n"
        "assert not {'ccxt', 'pyarrow', 'bourse_locale'} & set(sys.modules)\n"
        "print(m.__file__, tache.timeframe)"
    )
    fini = lancer(seul, "-c", code)
    assert (fini.returncode, fini.stderr) == (0, "")
    assert fini.stdout.split() == [str(seul.resolve()), "1h"]
    assert {f.name for f in seul.parent.iterdir()} <= {seul.name, "__pycache__"}


def test_copie_seul_il_affiche_son_aide(seul: Path) -> None:
    """L'aide est en français et complète."""
    fini = lancer(seul, seul.name, "--help")
    assert (fini.returncode, fini.stderr) == (0, "")
    assert "--hors-ligne" in fini.stdout
    assert "Codes de sortie" in fini.stdout


def test_copie_seul_il_liste_les_timeframes(seul: Path) -> None:
    """`--lister timeframes` n'a besoin que de ccxt, et du réseau en rien."""
    fini = lancer(seul, seul.name, "--exchange", "okx", "--lister", "timeframes")
    assert fini.returncode == 0, fini.stderr
    assert {"1m", "1h", "1d", "1w", "1M"} <= set(fini.stdout.split())


def test_copie_seul_hors_ligne_dit_ce_qui_manque(seul: Path) -> None:
    """Sans l'exchange embarqué : son nom, que faire, code 2, et rien d'écrit."""
    fini = lancer(seul, "-c", SANS_BOURSE, seul.name, "--hors-ligne", "--symbole", "BTC/USDT", "--date-debut", "-1h")
    assert fini.returncode == 2
    assert "bourse_locale" in fini.stderr
    assert "--hors-ligne" in fini.stderr
    assert "Traceback" not in fini.stderr
    assert not (seul.parent / "donnees").exists()
