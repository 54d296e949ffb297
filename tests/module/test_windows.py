"""Ce que Windows exige des noms et du verrou, éprouvé sans Windows : ses règles de chemin, et ses refus, imités."""

from __future__ import annotations

import ast
import ntpath
import sqlite3
from pathlib import Path, PureWindowsPath
from types import SimpleNamespace
from typing import Any

import pytest
from sorties_modeles import BTC, ETH, creer, ecrire, lot

import module_ccxt_fr_v2 as m

RACINE = Path(m.__file__).parent
PRODUIT = [
    fichier
    for motif in ("module_ccxt_fr_v2.py", "runner_ccxt_batch.py", "annexes_ccxt_fr/*.py", "bourse_locale/*.py")
    for fichier in sorted(RACINE.glob(motif))
]
INTERDITS = set('<>:"/\\|?*') | set(map(chr, range(32)))
SYMBOLES = [
    "BTC/USDT", "BTC/USDT:USDT", "BTC/USD:BTC-261225", "BTC/USD:BTC-261225-70000-C", "CON/AUX", "NUL/USDT:NUL",
    "1000PEPE/USDT", "$WIF?/USDT", "A*B|C/USD<>", 'Q"/USD', "TRUMP./USD.", "币安人生/USDT", "A B/U\tD",
]  # fmt: skip


def nom_admis(nom: str) -> None:
    """Un seul morceau de chemin, aucun caractère interdit, ni nom réservé, ni point ou espace au bout."""
    chemin = PureWindowsPath(nom)
    assert chemin.parts == (nom,), nom
    assert not INTERDITS & set(nom), nom
    est_reserve = getattr(ntpath, "isreserved", None)  # Python 3.13 ; la méthode d'avant s'en va
    assert not (est_reserve(nom) if est_reserve else chemin.is_reserved()), nom
    assert nom.rstrip(". ") == nom
    assert len(nom) <= 255


@pytest.mark.parametrize("symbole", SYMBOLES)
@pytest.mark.parametrize("extension", list(m.EXTENSIONS))
def test_un_nom_d_office_est_un_nom_de_windows(symbole: str, extension: str) -> None:
    cle = BTC._replace(symbole=symbole)
    nom_admis(m.nom_de_sortie([cle], "swap", m.OHLCV, extension))
    nom_admis(m.nom_de_sortie([cle._replace(symbole=f"{symbole}{n}") for n in range(40)], "spot", m.OHLCV, extension))


def test_deux_symboles_ont_deux_noms_meme_sans_la_casse_des_signes() -> None:
    """Ce qui est remplacé ne se confond avec rien ; la casse, que Windows ignore, n'en sépare pas d'autres."""
    noms = [m.nom_de_sortie([BTC._replace(symbole=symbole)], "swap", m.OHLCV, ".csv") for symbole in SYMBOLES]
    assert len({PureWindowsPath(nom) for nom in noms}) == len(SYMBOLES)


@pytest.mark.parametrize("extension", [".csv", ".csv.gz", ".parquet", ".feather", ".db"])
def test_les_voisins_d_une_sortie_aussi(tmp_path: Path, extension: str) -> None:
    """Verrou, journal, fiche, mise de côté : tout ce qui naît à côté d'une sortie, tenue, tuée, abîmée, reprise."""
    chemin = tmp_path / f"binance_spot_BTC-USDT_1m{extension}"
    vus: set[str] = set()
    with creer(chemin) as ecrivain:
        ecrivain.ecrire(lot(range(5)), m.Fiche(BTC))
        vus |= {voisin.name for voisin in tmp_path.iterdir()}
    ecrire(chemin, lot(range(5)))
    chemin.write_bytes(chemin.read_bytes()[: chemin.stat().st_size // 2] + b"\0" * 40)
    creer(chemin).ouvrir().fermer()
    vus |= {voisin.name for voisin in tmp_path.iterdir()}
    assert any(".verrou" in nom for nom in vus)
    assert any("corrompu" in nom for nom in vus) or extension.startswith(".csv")
    for nom in vus:
        nom_admis(nom)


@pytest.mark.parametrize("ou", [r"C:\marche\a.csv", r"\\serveur\partage\donnees\a.b.csv.gz", r"D:a.db"])
def test_le_verrou_se_nomme_a_cote_de_sa_sortie(ou: str) -> None:
    sortie: Any = PureWindowsPath(ou)
    verrou: Any = m.Verrou(sortie)
    assert verrou._fichier == PureWindowsPath(f"{ou}.verrou")
    assert verrou._pid == PureWindowsPath(f"{ou}.verrou.pid")
    assert verrou._fichier.parent == sortie.parent


def test_le_format_se_deduit_d_un_chemin_de_windows() -> None:
    for ou, voulu in ((r"C:\marche\A.PARQUET", "parquet"), (r"\\s\p\a.csv.gz", "csv"), (r"D:base.SQLITE", "sqlite")):
        chemin: Any = PureWindowsPath(ou)
        assert m.format_du_chemin(chemin) == voulu


def test_un_fichier_ouvert_ne_s_ote_pas_et_le_verrou_se_rend_quand_meme(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Windows refuse d'ôter le fichier qu'on tient : il reste, rendu, et se reprend."""
    oter, refus = Path.unlink, []

    def refuser(chemin: Path, missing_ok: bool = False) -> None:
        if chemin.name.endswith(".verrou"):
            refus.append(chemin)
            raise PermissionError(13, "Le processus ne peut pas accéder au fichier", str(chemin))
        oter(chemin, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", refuser)
    for cle in (BTC, ETH):
        ecrire(tmp_path / "a.csv", lot(range(5), cle))
    assert len(refus) == 2
    assert (tmp_path / "a.csv.verrou").exists()
    premier = m.Verrou(tmp_path / "a.csv")
    premier.prendre()
    with pytest.raises(m.SortieOccupee):
        m.Verrou(tmp_path / "a.csv").prendre()
    premier.rendre()


@pytest.mark.parametrize("fichier", PRODUIT, ids=lambda fichier: fichier.name)
def test_rien_de_propre_a_unix_n_est_exige(fichier: Path) -> None:
    """Ni module, ni fonction que Windows n'a pas : les imports y échoueraient, ou l'arrêt par un signal."""
    modules = {"fcntl", "pwd", "grp", "resource", "termios", "pty", "posix", "syslog"}
    noms = {"fork", "geteuid", "getuid", "setsid", "killpg", "mkfifo", "add_signal_handler", "SIGKILL", "SIGHUP"}
    for noeud in ast.walk(ast.parse(fichier.read_text(encoding="utf-8"))):
        if isinstance(noeud, ast.Import):
            assert not modules & {alias.name for alias in noeud.names}
        elif isinstance(noeud, ast.ImportFrom):
            assert noeud.module not in modules
        elif isinstance(noeud, ast.Attribute):
            assert noeud.attr not in noms, (noeud.attr, noeud.lineno)


@pytest.mark.parametrize(
    ("ou", "adresse"),
    [
        (r"C:\marche\a b.db", "file:///C:/marche/a%20b.db?mode=rw"),
        (r"\\serveur\partage\a.db", "file:////serveur/partage/a.db?mode=rw"),
    ],
)
def test_une_base_d_un_partage_n_a_pas_d_hote(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ou: str, adresse: str
) -> None:
    """SQLite refuse « file://serveur/… » : l'hôte fait partie du chemin."""
    chemin = tmp_path / "a.db"
    ecrire(chemin, lot(range(5)))
    base: Any = creer(chemin)
    ouvrir, vues = sqlite3.connect, []

    def connecter(vers: str, **reste: Any) -> Any:
        vues.append(vers)
        return ouvrir(chemin.as_uri(), **reste)

    base.chemin = SimpleNamespace(absolute=lambda: PureWindowsPath(ou))
    monkeypatch.setattr(sqlite3, "connect", connecter)
    base._connecter("mode=rw").close()
    assert vues == [adresse]
    ouvrir(f"file:///{chemin}", uri=True).close()
