"""Ce qu'une personne voit : la barre et le journal, l'allure d'un flux, l'accord des nombres, ce qui est demandé."""

from __future__ import annotations

import asyncio
import contextlib
import io
import logging
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from attente import PLAFOND_S
from sorties_modeles import BTC, ETH, MINUTE, instant, lot, plage

import module_ccxt_fr_v2 as m
from annexes_ccxt_fr import progression as annexe_progression
from annexes_ccxt_fr.bilans import dire_bilan
from annexes_ccxt_fr.progression import Allure
from annexes_ccxt_fr.traces import nombre_de_lignes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


class Terminal(io.StringIO):
    """Un stderr qui se dit terminal, et l'écran qu'il laisse : le retour chariot y revient au début de la ligne."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        """Vrai : tqdm et le module y mettent une barre."""
        return True

    def vues(self) -> list[str]:
        """Chaque ligne telle qu'elle est quand le curseur la quitte."""
        lignes, ligne = [], ""
        for morceau in self.getvalue().replace("\n", "\r\n").split("\r"):
            texte, fin, suite = morceau.partition("\n")
            if fin:
                lignes.append(ligne.rstrip())
                ligne = suite
            else:
                ligne = texte + ligne[len(texte) :]
        return [*lignes, ligne.rstrip()]


@contextlib.contextmanager
def sur_terminal(taches: Sequence[str] = ()) -> Iterator[tuple[Terminal, annexe_progression.Progression]]:
    """Le journal et une barre sur un terminal ; dans le test même, car pytest remplace stderr après ses fixtures."""
    ecran = Terminal()
    with pytest.MonkeyPatch.context() as milieu:
        milieu.setattr(sys, "stderr", ecran)
        milieu.setattr(annexe_progression, "PERIODE_BARRE_S", -1.0)
        for nom in ("handlers", "level", "propagate"):
            milieu.setattr(m.journal, nom, getattr(m.journal, nom))
        m.installer_journal("info")
        progression = annexe_progression.Progression(active=True, taches=taches)
        try:
            yield ecran, progression
        finally:
            progression.fermer()


def pas(rang: int, cle: m.CleSerie = BTC, series: int = 1) -> m.Avancement:
    """Une série de cent minutes, lue jusqu'à ce rang."""
    return m.Avancement(cle, instant(rang), plage(0, 100), 10, series)


def test_la_barre_ne_se_colle_pas_au_journal() -> None:
    with sur_terminal() as (terminal, progression):
        m.journal.info("avant")
        progression(pas(25))
        m.journal.info("pendant")
        progression(pas(50))
        assert terminal.vues()[-1].startswith(" 50 % |")
        assert "20 lignes, BTC/USDT à 2024-01-01T00:50Z" in terminal.vues()[-1]
        progression.fermer()
        m.journal.info("après")
        assert [ligne.partition("INFO    ")[2] for ligne in terminal.vues()] == ["avant", "pendant", "après", ""]


def test_la_part_compte_les_series_qui_n_ont_pas_commence() -> None:
    with sur_terminal() as (terminal, progression):
        progression(pas(100, series=4))
        progression(pas(100, ETH, series=4))
        assert terminal.vues()[-1].startswith(" 50 % |")


def test_sous_la_barre_une_tache_garde_son_niveau_de_journal() -> None:
    """Une version admise de tqdm, 4.66.0, met sa sortie à la place de la nôtre sans en garder les filtres."""
    with sur_terminal() as (terminal, _progression):
        avant = m.NIVEAU_COURANT.set("error")
        try:
            m.journal.info("à taire")
            m.journal.error("à dire")
        finally:
            m.NIVEAU_COURANT.reset(avant)
    assert [ligne for ligne in terminal.vues() if "à taire" in ligne] == []
    assert any("à dire" in ligne for ligne in terminal.vues())


def test_un_lot_a_une_barre_qui_nomme_sa_tache() -> None:
    with sur_terminal(["un", "deux"]) as (terminal, progression):
        for nom, rang, part in (("un", 50, " 25 %"), ("un", 100, " 50 %"), ("deux", 100, "100 %")):
            jeton = m.TACHE_COURANTE.set(nom)
            progression(pas(rang))
            m.TACHE_COURANTE.reset(jeton)
            assert terminal.vues()[-1].startswith(part)
            assert f"| {nom} : " in terminal.vues()[-1]


def test_un_flux_n_a_pas_de_barre_figee() -> None:
    with sur_terminal() as (terminal, progression):
        assert terminal.vues()[-1].startswith("connexion [")  # tant qu'on ne sait rien, ni part ni barre
        assert "%" not in terminal.vues()[-1]
        progression(m.Avancement(BTC, instant(3), None, 9, 1, "9 lignes, 3,0/s, retard 0,4 s"))
        assert terminal.vues()[-1].startswith("9 lignes, 3,0/s, retard 0,4 s [")
        assert "%" not in terminal.vues()[-1]


# L'allure d'un flux


def test_l_allure_dit_lignes_debit_retard_et_dernier_prix() -> None:
    allure = Allure(100.0)
    assert allure.dire(100.5, instant(10)) == "0 ligne, 0,0/s"
    allure.noter(lot(range(1, 11)))
    dernier = m.decimal_lisible(f"{lot([10]).lignes.column('close')[0].as_py():.10g}")
    # La bougie de rang 10 se ferme au rang 11 : une demi-minute de retard.
    assert allure.dire(104.0, instant(11) + MINUTE // 2) == f"10 lignes, 2,5/s, retard 30 s, BTC/USDT à {dernier}"


def test_le_debit_est_celui_des_dernieres_secondes() -> None:
    allure = Allure(0.0)
    allure.noter(lot(range(1000)))
    for seconde in range(1, 30):
        dite = allure.dire(float(seconde), instant(1000))
    assert "1000 lignes, 0,0/s" in dite


@pytest.mark.parametrize(
    ("nombre", "nom", "dit"),
    [(0, "ligne nouvelle", "0 ligne nouvelle"), (1, "trou", "1 trou"), (2, "ligne nouvelle", "2 lignes nouvelles")],
)
def test_une_seule_regle_du_pluriel(nombre: int, nom: str, dit: str) -> None:
    assert m.nombre_de(nombre, nom) == dit


@pytest.mark.parametrize(
    ("nom", "dit"),
    [("binance", "de binance"), ("okx", "d'okx"), ("htx", "de htx"), ("ETH/USDT", "d'ETH/USDT"), ("", "de ")],
)
def test_un_nom_s_elide(nom: str, dit: str) -> None:
    assert m.de(nom) == dit


def test_aucun_message_ne_dit_de_okx() -> None:
    """Un exchange, un symbole, une série passent par `de`."""
    racine = Path(m.__file__).parent
    for fichier in (Path(m.__file__), *racine.glob("annexes_ccxt_fr/*.py"), racine / "runner_ccxt_batch.py"):
        texte = fichier.read_text(encoding="utf-8")
        assert re.findall(r"\b(?:de|que) \{[\w.]*(?:exchange|symbole|cle|stream)\}", texte) == [], fichier.name


def test_la_ligne_finale_d_une_interruption_est_celle_d_une_fin(tmp_path: Path) -> None:
    series = [m.BilanSerie("BTC/USDT", cle=BTC, demande=plage(0, 60), lignes_nouvelles=1, lignes_revisees=2)]
    bilan = m.Bilan("binance", tmp_path / "a.csv", "csv", series, requetes=1, octets=1500, modifie=True, duree_s=2.0)
    suite = "1 ligne nouvelle, 2 révisées, de 2024-01-01T00:00Z à 2024-01-01T01:00Z, 0 trou, 1 requête, 2,0 s, "
    assert dire_bilan(bilan) == f"Terminé : {suite}{tmp_path / 'a.csv'} (1,5 Ko)"
    bilan.interrompre(m.CODE_SIGINT, "interrompu par SIGINT")
    assert dire_bilan(bilan) == f"Interrompu, code 130 : {suite}{tmp_path / 'a.csv'} (1,5 Ko)"
    bilan.octets, bilan.modifie = 0, False
    assert dire_bilan(bilan).endswith("(rien d'écrit)")  # et non « 0 o, inchangé » d'un fichier qui n'existe pas


@pytest.mark.parametrize(
    ("lance", "nom"),
    [("/usr/bin/ccxt-fr", "ccxt-fr"), ("/x/pytest", "module_ccxt_fr_v2.py"), ("", "module_ccxt_fr_v2.py")],
)
def test_version_se_nomme(
    lance: str, nom: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", [lance])
    assert m.principal(["--version"]) == 0
    assert capsys.readouterr().out == f"{nom} {m.__version__}\n"


@pytest.mark.parametrize(
    ("tape", "propose"),
    [
        ("ccxt-fr --format ", ["csv", "feather", "parquet", "sqlite"]),
        ("ccxt-fr --symb", ["--symbole", "--symboles", "--symbols"]),
    ],
)
def test_la_tabulation_complete(tape: str, propose: list[str], tmp_path: Path) -> None:
    """Les options, et les valeurs de celles qui en ont une liste ; le vrai argcomplete, comme bash le lance."""
    pytest.importorskip("argcomplete")
    sortie = tmp_path / "propositions"
    demande = {"_ARGCOMPLETE": "1", "_ARGCOMPLETE_IFS": "\n", "_ARGCOMPLETE_STDOUT_FILENAME": str(sortie)}
    milieu = {**os.environ, **demande, "COMP_LINE": tape, "COMP_POINT": str(len(tape))}
    subprocess.run([sys.executable, m.__file__], env=milieu, capture_output=True, check=True, timeout=PLAFOND_S)
    assert sorted(mot.strip() for mot in sortie.read_text(encoding="utf-8").split("\n")) == propose


# Ce qui est demandé, en `debug`


def test_debug_dit_chaque_requete(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # Une heure fixe : « -1h », au passage d'une minute, rend une ligne de moins.
    heure = ["--date-debut", "2026-01-01", "--date-fin", "2026-01-01T01:00"]
    commande = ["--hors-ligne", "--symbole", "BTC/USDT", *heure, "--sortie", str(tmp_path / "a.csv")]
    assert m.principal([*commande, "--journal", "debug"]) == 0
    (klines,) = [ligne for ligne in capsys.readouterr().err.splitlines() if "/klines" in ligne]
    assert "DEBUG   GET http://" in klines
    assert "symbol=BTCUSDT&startTime=" in klines
    assert ": 200, 61 lignes, " in klines
    assert m.principal([*commande]) == 0
    assert "klines" not in capsys.readouterr().err


def test_debug_ne_dit_aucun_secret(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ni clé ni signature, ni dans l'URL ni dans le corps, même quand la requête échoue."""
    cle, secret = "CLE-PUBLIQUE", "SECRET-PROFOND"
    monkeypatch.setattr(m.journal, "propagate", True)
    caplog.set_level(logging.DEBUG, m.journal.name)

    async def demander() -> None:
        api = m._classe("binance")({"apiKey": cle, "secret": secret, "timeout": 500})
        api.particularite, api.frein, api.params_tus = m.Particularite(), m.Frein(), {}
        url = f"http://127.0.0.1:1/a/{cle}?symbol=BTCUSDT&signature=abc123&timestamp=1"
        try:
            await api.fetch(url, "POST", {"X-MBX-APIKEY": cle}, f"secret={secret}")
        except Exception:  # noqa: BLE001, S110  rien n'écoute là : seule la ligne de journal compte
            pass
        finally:
            await api.close()

    asyncio.run(demander())
    (ligne,) = [ligne for ligne in caplog.messages if "127.0.0.1:1" in ligne]
    assert "POST http://127.0.0.1:1/a/***?symbol=BTCUSDT&signature=***" in ligne
    assert "sans réponse" in ligne
    assert not any(mot in ligne for mot in (cle, secret, "abc123"))


@pytest.mark.parametrize(
    ("reponse", "nombre"),
    [([[1], [2]], 2), ({"data": [1, 2, 3], "code": "0"}, 3), ({"result": {"list": [1], "x": []}}, 1), ("a", 0)],
)
def test_les_lignes_d_une_reponse(reponse: Any, nombre: int) -> None:
    assert nombre_de_lignes(reponse) == nombre


def test_le_journal_d_un_lot_dit_la_part_de_sa_tache(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """La barre va d'un bout à l'autre du lot ; une ligne qui nomme une série dit où elle en est, elle."""
    monkeypatch.setattr(m.journal, "propagate", True)
    monkeypatch.setattr(annexe_progression, "PERIODE_PROGRESSION_S", -1.0)
    caplog.set_level(logging.INFO, m.journal.name)
    jeton = m.TACHE_COURANTE.set("seconde")
    try:
        annexe_progression.Progression(active=False, taches=["premiere", "seconde"])(
            m.Avancement(BTC, plage(0, 15)[1], plage(0, 60), 15)
        )
    finally:
        m.TACHE_COURANTE.reset(jeton)
    assert caplog.messages[-1].endswith("(25 %).")
