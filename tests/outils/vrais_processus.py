"""De vrais processus sans payer à chacun l'import de pyarrow et de ccxt : ceux que les tests tuent."""

from __future__ import annotations

import ctypes
import faulthandler
import itertools
import multiprocessing
import os
import runpy
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import types
from concurrent.futures import ThreadPoolExecutor, wait
from importlib.machinery import SourceFileLoader
from multiprocessing import forkserver
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from attente import PLAFOND_S
from ligne_de_commande import CONDAMNES, jusqua

import module_ccxt_fr_v2 as m
from annexes_ccxt_fr import octets_douteux

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from multiprocessing.connection import Connection
    from multiprocessing.process import BaseProcess

# pandas : pyarrow l'importe à la première table faite d'objets, s'il est installé, un tiers de seconde.
IMPORTS_FAITS = (
    "sorties_modeles", "pyarrow.parquet", "pyarrow.csv", "pyarrow.feather", "pandas", "filelock", "ccxt.pro",
)  # fmt: skip


def se_fait_naitre() -> bool:
    """Vrai où un serveur peut en faire naître : Linux, macOS."""
    return "forkserver" in multiprocessing.get_all_start_methods()


def processus_neufs() -> Any:
    """De quoi lancer de vrais processus, nés d'un serveur qui a fait leurs imports."""
    if not se_fait_naitre():
        pytest.skip("demande forkserver (Linux, macOS)")
    contexte = multiprocessing.get_context("forkserver")
    contexte.set_forkserver_preload([__name__, *IMPORTS_FAITS])
    # Avant Python 3.13.1, le serveur naît sans le sys.path de pytest et tait les imports qu'il manque : chaque enfant
    # les referait, une seconde à chacun.
    with pytest.MonkeyPatch.context() as milieu:
        milieu.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
        forkserver.ensure_running()
    return contexte


def condamner(arguments: list[str]) -> BaseProcess:
    """La ligne de commande dans un processus que le test tuera ; qui juge une fin normale lance le script."""
    processus: BaseProcess = processus_neufs().Process(target=_executer, args=(arguments,), daemon=True)
    processus.start()
    CONDAMNES.append(processus)
    return processus


def _executer(arguments: list[str]) -> None:
    sys.exit(m.principal(arguments))


PIECES = ("module_ccxt_fr_v2", "annexes_ccxt_fr", "bourse_locale")


def executer_seul(script: Path, arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Ce script, lancé de son dossier, dans un processus où rien d'autre du dépôt ne s'importe."""
    dits = [script.with_name(f"{script.stem}.{flux}") for flux in ("stdout", "stderr")]
    processus = processus_neufs().Process(target=_executer_seul, args=(script, arguments, dits), daemon=True)
    processus.start()
    CONDAMNES.append(processus)
    processus.join(PLAFOND_S)
    assert processus.exitcode is not None, "n'a pas fini"
    lus = [dit.read_text(encoding="utf-8") for dit in dits]
    for dit in dits:
        dit.unlink()
    return subprocess.CompletedProcess([str(script), *arguments], processus.exitcode, *lus)


def _executer_seul(script: Path, arguments: Sequence[str], dits: Sequence[Path]) -> None:
    for descripteur, dit in enumerate(dits, start=1):
        os.dup2(os.open(dit, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), descripteur)
    os.chdir(script.parent)
    _oublier_le_depot(script)
    sys.modules |= dict.fromkeys(PIECES[1:])  # type: ignore[arg-type]  # installé, le projet s'importe de partout
    sys.argv = [script.name, *arguments]
    runpy.run_path(script.name, run_name="__main__")


class Programme(subprocess.Popen[str]):
    """Un script lancé pour de vrai, comme le fait `Popen`, mais né du serveur : ses imports tiers sont déjà faits.

    Le code compilé du script est exécuté comme « __main__ », d'un `sys.modules` sans rien du dépôt, et Python finit
    comme d'ordinaire (`Py_Exit` : fils, atexit, tampons, destructions). Qui éprouve les imports, l'environnement de
    l'interpréteur ou ses descripteurs en lance un neuf.
    """

    _child_created = False  # pour `Popen.__del__` : ce n'est pas lui qui l'a lancé

    def __init__(
        self, script: Path, arguments: Sequence[str], *, cwd: Path | None = None,
        preexec_fn: Callable[[], object] | None = None, start_new_session: bool = False,
    ) -> None:  # fmt: skip
        self.args, self.returncode, self.stdin = [str(script), *arguments], None, None
        (out, dit), (err, redit) = (multiprocessing.Pipe(duplex=False) for _ in range(2))
        d_abord = [*([os.setsid] if start_new_session else []), *([preexec_fn] if preexec_fn else [])]
        milieu = (Path.cwd() if cwd is None else cwd, dict(os.environ), d_abord)
        self._processus = processus_neufs().Process(target=_etre, args=(script, self.args, dit, redit, milieu))
        self._processus.start()
        self.pid: int = self._processus.pid
        dit.close()
        redit.close()
        self.stdout, self.stderr = (os.fdopen(os.dup(recu.fileno()), encoding="utf-8") for recu in (out, err))
        out.close()
        err.close()

    def poll(self) -> int | None:
        """Le code de sortie, s'il a fini."""
        code: int | None = self._processus.exitcode
        self.returncode = code
        return code

    def wait(self, timeout: float | None = None) -> int:
        """Le code de sortie, une fois fini."""
        self._processus.join(timeout)
        if (code := self.poll()) is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0)
        return code

    def send_signal(self, sig: int) -> None:
        """Un signal, s'il vit encore."""
        if self.poll() is None:
            os.kill(self.pid, sig)

    def communicate(self, input: str | None = None, timeout: float | None = None) -> tuple[str, str]:  # noqa: A002
        """Ce qu'il a dit, une fois fini."""
        assert input is None
        with ThreadPoolExecutor(2) as fils:
            lectures = [fils.submit(flux.read) for flux in (self.stdout, self.stderr) if flux and not flux.closed]
            if wait(lectures, timeout).not_done:
                self.kill()
                raise subprocess.TimeoutExpired(self.args, timeout or 0)
        for flux in (self.stdout, self.stderr):
            flux and flux.close()
        self.wait(timeout)
        dits = [lecture.result() for lecture in lectures]
        return dits[0], dits[-1]


def _etre(script: Path, mots: list[str], dit: Connection, redit: Connection, milieu: tuple[Any, ...]) -> None:
    dossier, environnement, d_abord = milieu
    for descripteur, flux in enumerate((dit, redit), start=1):
        os.dup2(flux.fileno(), descripteur)
        flux.close()
    sys.stdout = sys.__stdout__ = open(1, "w", encoding="utf-8", closefd=False)  # type: ignore[misc]  # noqa: SIM115
    sys.stderr = sys.__stderr__ = open(  # type: ignore[misc]  # noqa: SIM115
        2, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False
    )
    faulthandler.enable(2)
    for geste in d_abord:
        geste()
    os.environ.clear()
    os.environ.update(environnement)
    sys.dont_write_bytecode = bool(os.environ.get("PYTHONDONTWRITEBYTECODE"))
    os.chdir(dossier)
    _oublier_le_depot(script)
    sys.argv = mots
    compile_ = SourceFileLoader(script.stem, str(script)).get_code(script.stem)
    principal = sys.modules["__main__"] = types.ModuleType("__main__")
    principal.__file__ = str(script)
    code: object = 0
    try:
        exec(compile_, vars(principal))  # type: ignore[arg-type]  # noqa: S102
    except SystemExit as fin:
        code = fin.code
    except BaseException:  # noqa: BLE001  ce que l'interpréteur en ferait
        sys.excepthook(*sys.exc_info())
        code = 1
    if not isinstance(code, int | None):
        sys.stderr.write(f"{code}\n")
        code = 1
    ctypes.pythonapi.Py_Exit(ctypes.c_int(code or 0))


def _oublier_le_depot(script: Path) -> None:
    """Ne s'importe plus du dépôt que ce qui est à côté du script."""
    depot = Path(m.__file__).parent
    lieux = {chemin: Path(chemin).resolve() for chemin in sys.path}
    # La commande du README met son environnement dans le dépôt : ce qui y est installé reste.
    dehors = [c for c, lieu in lieux.items() if "site-packages" in lieu.parts or not lieu.is_relative_to(depot)]
    sys.path[:] = [str(script.parent), *dehors]
    for nom in [nom for nom in sys.modules if nom.partition(".")[0] in PIECES]:
        del sys.modules[nom]


def tuer(processus: BaseProcess, quand: Callable[[], bool], apres_s: float = 0.0) -> None:
    """`kill -9`, un instant après que la condition est vraie, ou que le processus a fini de lui-même."""
    jusqua(lambda: quand() or not processus.is_alive())
    processus.join(apres_s)
    processus.kill()
    processus.join()


# Ce qui change le disque, d'après Python ; ouvrir un fichier n'en est que pour y écrire.
GESTES = {"os.rename", "os.remove", "os.link", "os.truncate", "shutil.copyfile"}
REQUETES = ("BEGIN IMMEDIATE", "COMMIT", "PRAGMA journal_mode", "PRAGMA wal_checkpoint")
GESTES_MAX = 90


def mourir_a_chaque_geste(sain: Path, lieu: Path, agir: Callable[..., object], *arguments: Any) -> list[Path]:
    """Agit sur une copie de la sortie par geste que cela fait, tuée (`kill -9`) juste avant lui.

    Rend les copies ; la dernière est allée au bout.
    """
    corps = (sain, lieu, agir, arguments)
    processus = processus_neufs().Process(target=_mourir_a_chaque_geste, args=corps, daemon=True)
    processus.start()
    CONDAMNES.append(processus)
    processus.join(PLAFOND_S)
    assert processus.exitcode == 0
    return [lieu / str(rang) / sain.name for rang in range(1, len(list(lieu.iterdir())) + 1)]


def _mourir_a_chaque_geste(sain: Path, lieu: Path, agir: Callable[..., object], arguments: Sequence[Any]) -> None:
    octets_douteux.lire_a_part = lambda *_: ""  # bien formés, ils ne tueraient personne
    with tempfile.TemporaryDirectory() as chaud:  # ce qui s'importe au premier usage ne l'est qu'une fois
        agir(Path(shutil.copytree(sain.parent, Path(chaud) / "d")) / sain.name, *arguments)
    for rang in range(1, GESTES_MAX):
        copie = Path(shutil.copytree(sain.parent, lieu / str(rang))) / sain.name
        if not (pid := os.fork()):
            _agir_puis_mourir(rang, agir, copie, *arguments)
        fin = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if fin != -signal.SIGKILL:
            sys.exit(fin)
    sys.exit(GESTES_MAX)


def _agir_puis_mourir(rang: int, agir: Callable[..., object], *arguments: Any) -> None:
    gestes = itertools.count(1)

    def compter() -> None:
        if next(gestes) == rang:
            os.kill(os.getpid(), signal.SIGKILL)

    def guetter(evenement: str, dit: tuple[Any, ...]) -> None:
        ecrit = evenement == "open" and isinstance(dit[2], int) and dit[2] & (os.O_WRONLY | os.O_RDWR)
        if ecrit or evenement in GESTES:
            compter()

    def connecter(*bornes: Any, **reglages: Any) -> sqlite3.Connection:
        base: sqlite3.Connection = ouvrir(*bornes, **reglages)
        base.set_trace_callback(lambda requete: compter() if requete.startswith(REQUETES) else None)
        return base

    ouvrir: Any = sqlite3.connect
    sqlite3.connect = connecter  # type: ignore[assignment]

    fin = 1
    try:
        sys.addaudithook(guetter)
        agir(*arguments)
        fin = 0
    finally:
        os._exit(fin)
