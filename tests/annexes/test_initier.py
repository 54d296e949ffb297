"""`ccxt-fr initier` : ce qu'il écrit se lit, se valide et s'exécute tel quel."""

from __future__ import annotations

import shlex
import sys
from typing import TYPE_CHECKING

import pytest

import module_ccxt_fr_v2 as m
import runner_ccxt_batch as runner
from annexes_ccxt_fr import plan as annexe_plan

if TYPE_CHECKING:
    from pathlib import Path


def test_initier_ecrit_un_lot_qui_s_execute(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Une tâche de chaque sorte ; la commande d'essai affichée réussit, ses historiques au moins."""
    dossier = tmp_path / "mon dossier"
    assert m.principal(["initier", str(dossier)]) == 0
    dit = capsys.readouterr().out.splitlines()
    plan = annexe_plan.ouvrir_plan(dossier / "lot.yaml")
    assert [tache.nom for tache in plan.taches] == [
        "historique [1h]", "historique [1d]", "contrats", "en_direct", "trades_en_bougies"]  # fmt: skip
    assert all(ligne.startswith("#") for ligne in (dossier / ".env").read_text(encoding="utf-8").splitlines())
    essai = shlex.split(next(ligne for ligne in dit if "--hors-ligne" in ligne))[2:]
    assert runner.principal([*essai, "--taches", "historique,contrats"]) == 0
    assert m.lire(dossier / "donnees" / "contrats.sqlite").num_rows > 1000
    assert dit[-1].strip().startswith("7 * * * * ")
    assert shlex.split(dit[-1])[7:9] == ["--yaml", str(dossier / "lot.yaml")]


@pytest.mark.posix
def test_installe_la_ligne_de_cron_est_la_commande_installee(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lancé par `ccxt-fr` : `ccxt-fr-lot`, à côté de Python, et non un fichier au fond de site-packages."""
    (tmp_path / "bin").mkdir()
    installee = tmp_path / "bin" / "ccxt-fr-lot"
    installee.write_text("#!/bin/sh\n", encoding="utf-8")
    installee.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "bin" / "python"))
    monkeypatch.setattr(sys, "argv", [str(tmp_path / "bin" / "ccxt-fr"), "initier"])
    assert m.principal(["initier", str(tmp_path / "lot")]) == 0
    dit = capsys.readouterr().out.splitlines()
    assert shlex.split(dit[-1])[5:7] == [str(installee), "--yaml"]
    assert shlex.split(dit[-3])[:2] == [str(installee), "--yaml"]


def test_initier_n_ecrase_rien(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / ".env").write_text("OKX_API_KEY=secret\n", encoding="utf-8")
    assert m.principal(["initier", str(tmp_path)]) == m.CODE_DEMANDE
    assert "Déjà là" in capsys.readouterr().err
    assert [chemin.name for chemin in tmp_path.iterdir()] == [".env"]


def test_initier_dans_un_fichier_est_refuse(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "fichier").write_text("", encoding="utf-8")
    assert m.principal(["initier", str(tmp_path / "fichier")]) == m.CODE_DEMANDE
    assert "ne peut être créé" in capsys.readouterr().err


@pytest.mark.parametrize("mots", [["initier", "a", "b"], ["initier", "--sortie", "x"]])
def test_initier_ne_prend_qu_un_dossier(mots: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert m.principal(mots) == m.CODE_DEMANDE
    assert "initier [DOSSIER]" in capsys.readouterr().err
