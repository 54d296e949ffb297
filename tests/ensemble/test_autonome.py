"""Le module copié seul dans un dossier vide : il se suffit, et dit ce qui lui manque."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from attente import PLAFOND_S
from ligne_de_commande import HEURE, HEURE_BOURSE, MODULE, commande, jusqua
from marche_simule import marche_commun
from vrais_processus import executer_seul

import module_ccxt_fr_v2 as m
from bourse_locale import Bourse

# Là où le projet est installé (pip install -e), ses autres pièces s'importent de partout : les cacher.
CACHER = "import runpy, sys\nfor voisin in ('bourse_locale', 'annexes_ccxt_fr'): sys.modules[voisin] = None\n"
SANS_INSTALLATION = """import runpy, sys
sys.meta_path[:] = [un for un in sys.meta_path if "editable" not in repr(un).lower()]
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")"""
SANS_VOISINS = CACHER + "sys.argv = sys.argv[1:]\nrunpy.run_path(sys.argv[0], run_name='__main__')"


@pytest.fixture
def seul(tmp_path: Path) -> Path:
    """Un dossier qui ne contient que le module."""
    return Path(shutil.copy(MODULE, tmp_path))


def lancer(seul: Path, *mots: str) -> subprocess.CompletedProcess[str]:
    """Python dans ce dossier, sans chemin vers le dépôt."""
    env = {nom: valeur for nom, valeur in os.environ.items() if nom not in ("PYTHONPATH", "PYTHONSAFEPATH")}
    return subprocess.run(
        [sys.executable, *mots],
        cwd=seul.parent, env=env, capture_output=True, text=True, timeout=PLAFOND_S, check=False,
    )  # fmt: skip


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
    fini = lancer(seul, "-c", SANS_VOISINS, seul.name, "--hors-ligne", "--symbole", "BTC/USDT", "--date-debut", "-1h")
    assert fini.returncode == 2
    assert "bourse_locale" in fini.stderr
    assert "--hors-ligne" in fini.stderr
    assert "Traceback" not in fini.stderr
    assert not (seul.parent / "donnees").exists()


# Les cinq tâches de la carte : fabrique, historique, flux, agrégation, écrivains


def seul_en_ligne(seul: Path, arguments: list[str]) -> str:
    """Une ligne de commande, sans voisin, qui réussit ; ce qu'elle dit."""
    fini = executer_seul(seul, arguments)
    assert fini.returncode == 0, fini.stderr
    return fini.stderr


def test_copie_seul_il_fait_ses_cinq_taches(seul: Path) -> None:
    """Il ouvre l'exchange, lit l'historique, suit un flux, agrège ses trades, écrit et relit, sans rien du dépôt."""
    bougies, trades, faites = (seul.with_name(nom) for nom in ("bougies.parquet", "trades.csv", "faites.csv"))
    with Bourse(marche=marche_commun(), limites=False, acceleration=60).en_fil() as bourse:
        fin = bourse.maintenant_ms() // HEURE * HEURE
        fini = lancer(seul, "-c", SANS_VOISINS, seul.name, *commande(bourse, bougies, (fin - HEURE, fin)))
        assert fini.returncode == 0, fini.stderr
        assert "Code 0 : 60 lignes nouvelles, " in fini.stderr
        seul_en_ligne(seul, commande(bourse, trades, None, "--stream", "trades", "--duree", "3"))
        seul_en_ligne(
            seul, commande(bourse, faites, None, "--stream", "trades", "--trades-vers-ohlcv", "--duree", "4")
        )
    code = CACHER + (
        "import module_ccxt_fr_v2 as m\n"
        "print(*(m.lire(nom).num_rows for nom in ('bougies.parquet', 'trades.csv', 'faites.csv')))"
    )
    fini = lancer(seul, "-c", code)
    assert (fini.returncode, fini.stderr) == (0, "")
    lues, suivis, agregees = map(int, fini.stdout.split())
    assert lues == 60
    assert suivis >= 1
    assert agregees >= 1


def test_copie_seul_il_reprend_son_flux_tue(seul: Path) -> None:
    """Tué, le CSV a des lignes que sa fiche ne connaît pas, et une coupée : relues strictement, la suite s'y ajoute."""
    trades = seul.with_name("trades.csv")
    with Bourse(marche=marche_commun(), limites=False, acceleration=60).en_fil() as bourse:
        suivre = commande(bourse, trades, None, "--stream", "trades", "--duree", "30", "--flush", "1")
        env = {nom: valeur for nom, valeur in os.environ.items() if nom not in ("PYTHONPATH", "PYTHONSAFEPATH")}
        with subprocess.Popen(
            [sys.executable, "-c", SANS_VOISINS, seul.name, *suivre], cwd=seul.parent, env=env, stderr=subprocess.PIPE
        ) as tue:
            jusqua(lambda: trades.exists() and trades.read_bytes().count(b"\n") > 20)
            tue.kill()
        trades.write_bytes(trades.read_bytes() + b"binance,BTC/U")
        avant = trades.read_bytes().splitlines()[1:-1]
        assert trades.with_name("trades.csv.journal").exists()
        suite = commande(bourse, trades, None, "--stream", "trades", "--duree", "2")
        fini = executer_seul(seul, suite)
    assert fini.returncode == 0, fini.stderr
    assert "dernière ligne incomplète, retirée" in fini.stderr
    apres = trades.read_bytes().splitlines()[1:]
    assert len(apres) > len(avant) > 15
    assert set(avant) <= set(apres)
    assert len({ligne.split(b",")[3] for ligne in apres}) == len(apres), "un trade y est deux fois"


@pytest.mark.parametrize("suffixe", [".parquet", ".sqlite"])
def test_copie_seul_il_reprend_un_fichier_qui_a_sa_bougie_courante(seul: Path, suffixe: str) -> None:
    """Gardée sur demande, elle n'est pas comptée par la fiche : personne d'autre n'y a touché pour autant."""
    sortie = seul.with_name(f"b{suffixe}")
    arretee = HEURE_BOURSE + 60_000  # 13:01:30, hors de tout délai de grâce
    with Bourse(marche=marche_commun(), limites=False, maintenant_ms=arretee, acceleration=0.0).en_fil() as bourse:
        demande = [*commande(bourse, sortie, None), "--date-debut", str(HEURE_BOURSE - HEURE)]
        seul_en_ligne(seul, [*demande, "--inclure-bougie-courante"])
        avant = m.lire(sortie)
        seul_en_ligne(seul, [*demande, "--inclure-bougie-courante"])
    assert avant.num_rows == 61
    assert m.lire(sortie).equals(avant)


@pytest.mark.parametrize("comment", ["lignes", "fiche"])
def test_copie_seul_un_fichier_touche_par_un_autre_est_laisse(seul: Path, comment: str) -> None:
    """Le remettre en ordre est l'affaire d'une annexe : il la nomme, code 2, et n'écrit rien par-dessus le doute."""
    sortie = seul.with_name("b.csv")
    with Bourse(marche=marche_commun(), limites=False, maintenant_ms=HEURE_BOURSE).en_fil() as bourse:
        demande = commande(bourse, sortie, (HEURE_BOURSE - 2 * HEURE, HEURE_BOURSE - HEURE))
        seul_en_ligne(seul, demande)
        seul_en_ligne(seul, demande)
        if comment == "lignes":
            sortie.write_bytes(sortie.read_bytes().replace(b"BTC/USDT", b"BTC/USDU", 3))
        else:
            sortie.with_name("b.csv.fiche.json").unlink()
        avant = sortie.read_bytes()
        fini = executer_seul(seul, demande)
    assert fini.returncode == 2
    assert "« annexes_ccxt_fr »" in fini.stderr
    assert "Traceback" not in fini.stderr
    assert sortie.read_bytes() == avant


def test_copie_seul_un_fichier_illisible_est_laisse(seul: Path) -> None:
    """Le mettre de côté est l'affaire d'une annexe, comme reporter une clôture : nommées, code 2, rien d'écrit."""
    sortie, plates = seul.with_name("b.parquet"), seul.with_name("plates.csv")
    with Bourse(marche=marche_commun(), limites=False, maintenant_ms=HEURE_BOURSE).en_fil() as bourse:
        demande = commande(bourse, sortie, (HEURE_BOURSE - 2 * HEURE, HEURE_BOURSE - HEURE))
        seul_en_ligne(seul, demande)
        octets = sortie.read_bytes()
        abime = octets[: len(octets) // 2] + bytes(20) + octets[len(octets) // 2 + 20 :]
        sortie.write_bytes(abime)
        reporter = ("--stream", "trades", "--trades-vers-ohlcv", "--bougies-vides", "reporter", "--duree", "3")
        for suite in (demande, commande(bourse, plates, None, *reporter)):
            fini = executer_seul(seul, suite)
            assert fini.returncode == 2
            assert "« annexes_ccxt_fr »" in fini.stderr
            assert "Traceback" not in fini.stderr
    assert sortie.read_bytes() == abime
    assert not plates.exists()


@pytest.mark.parametrize(
    ("arguments", "quoi"),
    [
        (["--verifier", "x.csv"], "--verifier"),
        (["--simulation", "--symbole", "BTC/USDT"], "--simulation"),
        (["--symbole", "BTC/USDT", "--timeframes", "1h,1d"], "--timeframes"),
        (["--symbole", "BTC/USDT", "--params", '{"a": 1}'], "--params"),
        (["--symbole", "BTC/USDT", "--bilan", "b.json"], "--bilan"),
    ],
)
def test_copie_seul_une_option_d_annexe_dit_ce_qui_manque(seul: Path, arguments: list[str], quoi: str) -> None:
    """Le dossier, l'option, que faire ; code 2, rien d'écrit."""
    fini = lancer(seul, "-c", SANS_VOISINS, seul.name, *arguments)
    assert (fini.returncode, fini.stdout) == (2, "")
    assert f"{quoi} demande le dossier « annexes_ccxt_fr », livré à côté du module" in fini.stderr
    assert f"Copiez-le aussi, ou ôtez {quoi}." in fini.stderr
    assert "Traceback" not in fini.stderr
    assert {f.name for f in seul.parent.iterdir()} <= {seul.name, "__pycache__"}


@pytest.mark.parametrize(
    "nom", ["verifier", "Rapport", "agreger_trades", "executer_lot", "executer_lot_async", "BilanLot"]
)
def test_copie_seul_un_nom_d_annexe_est_une_demande_refusee(seul: Path, nom: str) -> None:
    """En bibliothèque aussi : une ErreurDemande (code 2), pas un ImportError nu ; un nom inventé reste inconnu."""
    code = CACHER + (
        "import module_ccxt_fr_v2 as m\n"
        "assert not hasattr(m, 'nimporte')\n"
        "try:\n"
        f"    m.{nom}\n"
        "except m.ErreurDemande as refus:\n"
        "    print(refus.code_sortie, refus.complet())"
    )
    fini = lancer(seul, "-c", code)
    assert (fini.returncode, fini.stderr) == (0, "")
    assert fini.stdout.startswith("2 ")
    assert "« annexes_ccxt_fr »" in fini.stdout
    assert "Copiez-le aussi." in fini.stdout


# Une seule copie du module par processus

GARDE = """
import runpy, sys
class Garde:
    def find_spec(self, nom, chemin=None, cible=None):
        assert nom != "module_ccxt_fr_v2", "le module est chargé une seconde fois"
sys.meta_path.insert(0, Garde())
sys.argv = sys.argv[1:]
sys.path.insert(0, str(__import__("pathlib").Path(sys.argv[0]).parent))
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def test_lance_en_script_une_annexe_emploie_cette_copie_ci(seul: Path, bourse: Bourse) -> None:
    """Deux copies du module auraient chacune ses classes : une erreur de l'une n'est pas attrapée par l'autre."""
    sortie = seul.with_name("b.csv")
    seul_en_ligne(seul, commande(bourse, sortie, (HEURE_BOURSE - 2 * HEURE, HEURE_BOURSE - HEURE)))
    fini = lancer(seul, "-c", GARDE, str(MODULE), "--verifier", str(sortie))
    assert (fini.returncode, fini.stderr) == (0, "")
    assert "60 lignes" in fini.stdout
    refus = lancer(seul, "-c", GARDE, str(MODULE), "--verifier", "absente.csv")
    assert refus.returncode == 2
    assert "Traceback" not in refus.stderr, "l'ErreurDemande levée par l'annexe est celle qu'attrape le module"


def test_le_runner_aux_annexes_incompletes_dit_laquelle_manque(seul: Path) -> None:
    """Un dossier copié à moitié : une phrase aussi."""
    runner = shutil.copy(MODULE.with_name("runner_ccxt_batch.py"), seul.parent)
    annexes = MODULE.with_name("annexes_ccxt_fr")
    for manquante in ("metriques.py", "plan.py"):
        shutil.copytree(annexes, seul.with_name(annexes.name), ignore=shutil.ignore_patterns(manquante, "__pycache__"))
        fini = lancer(seul, "-c", SANS_INSTALLATION, str(runner), "--help")
        assert fini.returncode == 2
        assert "« annexes_ccxt_fr »" in fini.stderr
        assert manquante.removesuffix(".py") in fini.stderr
        assert "Traceback" not in fini.stderr
        shutil.rmtree(seul.with_name(annexes.name))


def test_ce_qui_manque_a_une_annexe_est_nomme(monkeypatch: pytest.MonkeyPatch) -> None:
    """L'annexe est là ; la bibliothèque qu'elle demande, non : c'est elle qu'il faut installer."""
    monkeypatch.delitem(sys.modules, "annexes_ccxt_fr.plan", raising=False)
    monkeypatch.setitem(sys.modules, "annexes_ccxt_fr.configuration", None)
    with pytest.raises(m.DependanceAbsente, match="« annexes_ccxt_fr »"):
        m.annexe("plan", "Lire un lot")
    monkeypatch.delitem(sys.modules, "annexes_ccxt_fr.rapport", raising=False)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(m.DependanceAbsente) as refus:
        m.annexe(*m.RAPPORT)
    assert str(refus.value).startswith("Une page --rapport demande « pyarrow »")
    assert refus.value.conseil.endswith("install --upgrade pyarrow")


def test_copie_seul_un_exchange_dont_la_classe_lit_de_travers_est_refuse(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sans l'annexe qui la corrige, ses lignes seraient fausses : le dossier qui manque, et rien de lu."""
    monkeypatch.setitem(sys.modules, "annexes_ccxt_fr.corrections", None)
    with pytest.raises(m.DependanceAbsente, match="Lire ndax juste demande le dossier « annexes_ccxt_fr »"):
        m._classe.__wrapped__("ndax")


def test_copie_seul_il_lit_d_un_exchange_ce_que_sa_classe_lit_juste(monkeypatch: pytest.MonkeyPatch) -> None:
    """La classe de coinbase ne lit de travers que ses flux : eux seuls sont refusés, ses bougies se lisent."""
    monkeypatch.setitem(sys.modules, "annexes_ccxt_fr.corrections", None)
    monkeypatch.setattr(m, "_classe", m._classe.__wrapped__)  # gardée, elle serait celle des autres essais du processus
    connexion = m.Connexion(m.Reglages("coinbase"))
    demande = {"exchange": "coinbase", "symbole": "BTC/USD"}
    m.controler_demande(connexion, m.construire({**demande, "timeframe": "1h"}))
    for flux in ("trades", "ticker", "orderbook", "ohlcv"):
        with pytest.raises(m.DependanceAbsente, match="Lire coinbase juste demande le dossier « annexes_ccxt_fr »"):
            m.controler_demande(connexion, m.construire({**demande, "stream": flux}))


def test_copie_seul_un_trade_de_kucoin_garde_sa_milliseconde(monkeypatch: pytest.MonkeyPatch) -> None:
    """Daté en ns, que ccxt lit par un flottant : ce qui le lit juste est dans le module."""
    monkeypatch.setitem(sys.modules, "annexes_ccxt_fr.corrections", None)
    api = m._classe.__wrapped__("kucoin")()
    brut = {"tradeId": "7", "price": "10", "size": "2", "side": "buy"}
    marche = api.safe_market("BTC-USDT", None, "-") | {"spot": True}
    instants = range(HEURE_BOURSE, HEURE_BOURSE + 64)
    lus = [api.parse_trade({**brut, "time": f"{ms}000000"}, marche) for ms in instants]
    assert [lu["timestamp"] for lu in lus] == [*instants]


def test_copie_seul_il_suit_les_carnets_et_dit_ce_qui_ne_s_y_verifie_pas(seul: Path) -> None:
    """Les numéros des trames de bybit se lisent dans une annexe : sans elle, ses carnets sont suivis, et c'est dit."""
    carnets, trades = seul.with_name("carnets.csv"), seul.with_name("trades.csv")
    with Bourse(marche=marche_commun(), limites=False, acceleration=60).en_fil() as bourse:
        dits = seul_en_ligne(
            seul, commande(bourse, carnets, None, "--stream", "orderbook", "--duree", "3", exchange="bybit")
        )
        autres = seul_en_ligne(
            seul, commande(bourse, trades, None, "--stream", "trades", "--duree", "3", exchange="bybit")
        )
    assert dits.count("une trame de carnet perdue par bybit ne se verrait pas") == 1
    assert "annexes_ccxt_fr" in dits
    assert "carnet" not in autres.replace(carnets.name, "")
    assert len(carnets.read_text("utf-8").splitlines()) > 1


def test_copie_seul_un_carnet_que_la_classe_raccorde_mal_est_refuse(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mexc perdrait la trame qui chevauche l'instantané ; les autres flux du même exchange se suivent."""
    monkeypatch.setitem(sys.modules, "annexes_ccxt_fr.carnets", None)
    monkeypatch.setattr(m, "_classe", m._classe.__wrapped__)  # gardée, elle serait celle des autres essais du processus
    connexion = m.Connexion(m.Reglages("mexc"))
    m.controler_flux(connexion, m.construire({"exchange": "mexc", "symbole": "BTC/USDT", "stream": "trades"}))
    with pytest.raises(m.DependanceAbsente, match="Suivre les carnets de mexc demande le dossier"):
        m.controler_flux(connexion, m.construire({"exchange": "mexc", "symbole": "BTC/USDT", "stream": "orderbook"}))


def test_le_runner_copie_sans_les_annexes_dit_ce_qui_manque(seul: Path) -> None:
    """Le dossier à copier, code 2, sans trace."""
    runner = shutil.copy(MODULE.with_name("runner_ccxt_batch.py"), seul.parent)
    fini = lancer(seul, "-c", SANS_VOISINS, str(runner), "--help")
    assert fini.returncode == 2
    assert "« annexes_ccxt_fr »" in fini.stderr
    assert "Traceback" not in fini.stderr
