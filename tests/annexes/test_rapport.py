"""La page --rapport : ce qu'elle montre est ce qui est sur le disque, elle ne demande rien au réseau, rien n'y agit."""

from __future__ import annotations

import html
import json
import math
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from attente import PLAFOND_S
from pyarrow import feather
from sorties_modeles import BTC, DEBUT, ETH, MINUTE, cles, creer, ecrire, fiche, instant, ligne, lot, plage

import module_ccxt_fr_v2 as m
from annexes_ccxt_fr import rapport

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

TROUS = [m.Trou(*plage(100, 160), m.ECHEC), m.Trou(*plage(300, 310), m.SANS_TRANSACTION)]
PRESENTS = [rang for rang in range(1000) if not (100 <= rang < 160 or 300 <= rang < 310)]


def avec_trous(cle: m.CleSerie = BTC) -> m.Lot:
    """Mille minutes, un échec d'une heure, dix minutes sans transaction."""
    return lot(PRESENTS, cle, m.oter([plage(0, 1000)], [TROUS[0][:2]]), TROUS)


def bilan_de(chemin: Path, cles_: Sequence[m.CleSerie] = (BTC,)) -> m.Bilan:
    """Le bilan d'une exécution qui a écrit ces séries."""
    series = [m.BilanSerie(cle.symbole, cle=cle, lignes_nouvelles=9, compteurs={"reconnexions": 2}) for cle in cles_]
    return m.Bilan(BTC.exchange, sortie=chemin, series=series, requetes=12, essais=3, duree_s=61.0)


class _Page(HTMLParser):
    """Le texte d'une page, ses balises, et ses données ; les scripts ne sont pas du texte."""

    def __init__(self, texte: str) -> None:
        super().__init__()
        self.balises: list[tuple[str, dict[str, str | None]]] = []
        self.mots: list[str] = []
        self.donnees: Any = None
        self._dans = ""
        self.feed(texte)
        self.texte = " ".join(self.mots)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.balises.append((tag, dict(attrs)))
        if tag in ("script", "style"):
            self._dans = str(dict(attrs).get("id", tag))

    def handle_endtag(self, tag: str) -> None:
        if tag in ("script", "style"):
            self._dans = ""

    def handle_data(self, data: str) -> None:
        if self._dans == "donnees":
            self.donnees = json.loads(data)
        elif not self._dans and data.strip():
            self.mots.append(data.strip())


def rediger(*bilans: m.Bilan, table: str | None = None) -> _Page:
    """La page de ces bilans, lue."""
    return _Page(rapport.rediger([("", bilan) for bilan in bilans], titre="Essai", table=table))


@pytest.mark.parametrize("extension", [".csv", ".parquet", ".feather", ".db"])
def test_les_bougies_et_les_trous_sont_ceux_du_fichier(tmp_path: Path, extension: str) -> None:
    chemin = tmp_path / f"a{extension}"
    ecrire(chemin, avec_trous())
    page = rediger(bilan_de(chemin))
    (serie,) = page.donnees["series"]
    bougies = m.lire(chemin)
    assert serie["resume"]["t"] == bougies.column("timestamp").cast(pa.int64()).to_pylist()
    assert serie["resume"]["c"] == pytest.approx(bougies.column("close").to_pylist())
    assert serie["trous"] == [list(trou) for trou in TROUS]
    assert serie["pas"] == MINUTE
    assert "fin" not in serie  # rien n'est résumé : la vue de fin n'apprendrait rien
    assert "94,00 %" in page.texte
    assert "1 echec, 1 sans_transaction" in page.texte


def test_la_frise_rend_compte_de_chaque_instant(tmp_path: Path) -> None:
    ecrire(tmp_path / "a.parquet", avec_trous())
    frise = rediger(bilan_de(tmp_path / "a.parquet")).donnees["series"][0]["frise"]
    case = frise["pas"] / 100
    durees = {etat: sum(parts) * case / MINUTE for etat, parts in frise["parts"].items()}
    assert durees == pytest.approx({"ecrit": 930, m.ECHEC: 60, m.SANS_TRANSACTION: 10}, rel=1e-3)


def test_un_resume_dit_son_pas_et_ne_perd_ni_extreme_ni_volume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rapport, "POINTS_SERIE", 60)
    monkeypatch.setattr(rapport, "POINTS_FIN", 25)
    ecrire(tmp_path / "a.parquet", avec_trous())
    serie = rediger(bilan_de(tmp_path / "a.parquet")).donnees["series"][0]
    lignes = m.lire(tmp_path / "a.parquet").to_pylist()
    attendu: dict[int, dict[str, Any]] = {}
    for une in lignes:
        quand = int(une["timestamp"].timestamp() * 1000)
        seau = attendu.setdefault(quand - quand % (60 * MINUTE), {**une, "volume": 0.0})
        seau["high"], seau["low"] = max(seau["high"], une["high"]), min(seau["low"], une["low"])
        seau["close"], seau["volume"] = une["close"], seau["volume"] + (une["volume"] or 0)
    assert serie["pas"] == 60 * MINUTE
    assert serie["resume"]["t"] == list(attendu)
    for nom in rapport.CHAMPS:
        assert serie["resume"][nom[0]] == pytest.approx([seau[nom] for seau in attendu.values()])
    assert serie["dit"] == "930 bougies résumées en 17, une par 1 h"
    assert serie["fin"]["t"] == [int(une["timestamp"].timestamp() * 1000) for une in lignes[-25:]]


def test_les_trous_trop_nombreux_sont_comptes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rapport, "TROUS_TRACES", 1)
    ecrire(tmp_path / "a.parquet", avec_trous())
    serie = rediger(bilan_de(tmp_path / "a.parquet")).donnees["series"][0]
    assert (serie["trous"], serie["tus"]) == ([list(TROUS[0])], 1)


def test_une_carte_quand_il_y_a_plusieurs_series(tmp_path: Path) -> None:
    ecrire(tmp_path / "a.parquet", avec_trous(), lot(range(500, 1000), ETH))
    page = rediger(bilan_de(tmp_path / "a.parquet", [BTC, ETH]))
    btc, eth = (serie["cases"] for serie in page.donnees["series"])
    assert any(attributs.get("id") == "carte" for _, attributs in page.balises)
    assert eth[:55] == [None] * 55  # avant sa première bougie, rien n'est su d'ETH
    assert set(eth[65:]) == {1000}
    assert min(btc) == 0
    assert btc[-1] == 1000


def test_une_execution_ne_montre_que_ses_series_et_un_controle_toutes(tmp_path: Path) -> None:
    chemin = tmp_path / "a.db"
    ecrire(chemin, avec_trous(), lot(range(9), ETH))
    assert [serie["nom"] for serie in rediger(bilan_de(chemin, [ETH])).donnees["series"]] == [str(ETH)]
    controle = m.Bilan(BTC.exchange, sortie=chemin, verification=m.verifier(chemin))
    assert len(rediger(controle).donnees["series"]) == 2


def test_ce_que_l_execution_a_coute(tmp_path: Path) -> None:
    ecrire(tmp_path / "a.parquet", avec_trous())
    texte = rediger(bilan_de(tmp_path / "a.parquet")).texte
    assert "1 min 01 s 12 3 2 9 0" in texte  # durée, requêtes, essais, reconnexions, lignes nouvelles et révisées


@pytest.mark.parametrize("nom", ["ohlcv", "trades", "ticker", "orderbook"])
def test_chaque_type_a_sa_page(tmp_path: Path, nom: str) -> None:
    donnee = m.TYPES[nom]
    cle, _ = cles(donnee)
    table = pa.Table.from_pylist([ligne(donnee, cle, rang) for rang in range(1, 30)], donnee.schema)
    ecrivain = creer(tmp_path / "a.parquet", donnee)
    ecrivain.controler([cle])
    with ecrivain:
        ecrivain.ecrire(m.Lot(cle, m.trier(table, donnee), [(DEBUT, DEBUT + 30 * MINUTE)], []), fiche(cle))
        ecrivain.finir()
    page = rediger(bilan_de(tmp_path / "a.parquet", [cle]))
    (serie,) = page.donnees["series"]
    assert ("resume" in serie) == (nom != "orderbook")
    assert "29 lignes" in page.texte


def test_rien_d_un_nom_n_agit_dans_la_page(tmp_path: Path) -> None:
    """Ni balise dans la page, ni fin de script dans les données, ni balisage dans les textes de plotly."""
    ruse = BTC._replace(symbole="</script><img src=http://x onerror=alert(1)>/USDT")
    ecrire(tmp_path / "a.parquet", lot(range(9), ruse))
    bilan = bilan_de(tmp_path / "a.parquet", [ruse])
    bilan.message = "<b>échec</b>"
    page = rediger(bilan)
    assert {balise for balise, _ in page.balises}.isdisjoint({"img", "b", "iframe", "link"})
    assert page.donnees["series"][0]["nom"] == html.escape(str(ruse))
    assert "<b>échec</b>" in page.texte


def test_la_page_n_appelle_rien(tmp_path: Path) -> None:
    ecrire(tmp_path / "a.parquet", avec_trous())
    page = rediger(bilan_de(tmp_path / "a.parquet"))
    assert not any({"src", "href", "action"} & set(attributs) for _, attributs in page.balises)
    politique = next(a["content"] for b, a in page.balises if b == "meta" and "content" in a and "default" in str(a))
    assert str(politique).startswith("default-src 'none'")


def test_sans_plotly_les_tableaux_restent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "plotly.offline", None)
    monkeypatch.setattr(m.journal, "propagate", True)
    ecrire(tmp_path / "a.parquet", avec_trous())
    page = rediger(bilan_de(tmp_path / "a.parquet"))
    assert page.donnees is None
    assert "plotly n'est pas installé" in page.texte
    assert "94,00 %" in page.texte
    assert any(balise == "svg" for balise, _ in page.balises)
    assert "sans graphiques" in caplog.text
    assert f"{sys.executable} -m pip install --upgrade plotly" in caplog.text


def test_une_sortie_qui_ne_se_lit_pas_est_dite(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(b"PAR1 rien de bon PAR1")
    assert "a.parquet" in rediger(bilan_de(tmp_path / "a.parquet")).texte


# La ligne de commande


def test_rapport_en_ligne_de_commande(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page, sortie = tmp_path / "p" / "r.html", tmp_path / "a.parquet"
    commande = ["--hors-ligne", "--symbole", "BTC/USDT", "--date-debut", "-2h", "--sortie", str(sortie)]
    assert m.principal([*commande, "--rapport", str(page)]) == m.CODE_SUCCES
    lue = _Page(page.read_text(encoding="utf-8"))
    assert lue.donnees["series"][0]["resume"]["t"] == m.lire(sortie).column("timestamp").cast(pa.int64()).to_pylist()
    assert f"Rapport : {page}" in capsys.readouterr().err


def test_verifier_avec_rapport_dit_les_fautes(tmp_path: Path) -> None:
    sortie, page = tmp_path / "a.csv", tmp_path / "r.html"
    ecrire(sortie, lot(range(20)))
    lignes = sortie.read_text(encoding="utf-8").splitlines()
    sortie.write_text("\n".join([*lignes[:5], *lignes[6:]]) + "\n", encoding="utf-8")
    assert m.principal(["--verifier", str(sortie), "--rapport", str(page)]) == m.CODE_FAUTES
    texte = _Page(page.read_text(encoding="utf-8")).texte
    assert "Contrôle : 1 faute" in texte
    assert "95,00 %" in texte
    assert m.en_iso(instant(4)) in texte


def test_la_page_d_un_fichier_fautif_se_fait(tmp_path: Path) -> None:
    """Des nombres et des instants qui n'en sont pas : comptés, dits, jamais tracés."""
    sortie, page = tmp_path / "a.feather", tmp_path / "r.html"
    ecrire(sortie, lot(range(20)))
    table = feather.read_table(sortie)
    clotures, instants = table["close"].to_pylist(), m.instants_de(table)
    clotures[5:8], instants[0], instants[-1] = [math.nan, math.inf, None], 0, 10**15
    for nom, valeurs in (("close", clotures), ("timestamp", instants)):
        champ = table.schema.field(nom)
        table = table.set_column(table.schema.get_field_index(nom), champ, pa.array(valeurs, champ.type))
    feather.write_feather(table, sortie)
    assert m.principal(["--verifier", str(sortie), "--rapport", str(page)]) == m.CODE_FAUTES
    lue = _Page(page.read_text(encoding="utf-8"))
    assert {"1970-01-01T00:00Z", f"{10**15} ms"} <= set(lue.mots)
    assert len(lue.donnees["series"][0]["resume"]["c"]) == 17


def test_un_echec_a_aussi_sa_page(tmp_path: Path) -> None:
    page = tmp_path / "r.html"
    commande = ["--hors-ligne", "--symbole", "RIEN/USDT", "--sortie", str(tmp_path / "a.csv"), "--rapport", str(page)]
    assert m.principal(commande) == m.CODE_DEMANDE
    assert "RIEN/USDT" in _Page(page.read_text(encoding="utf-8")).texte


def test_sans_les_annexes_rien_n_est_telecharge(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "annexes_ccxt_fr.rapport", None)
    sortie = tmp_path / "a.csv"
    commande = ["--hors-ligne", "--symbole", "BTC/USDT", "--date-debut", "-2h", "--sortie", str(sortie)]
    assert m.principal([*commande, "--rapport", str(tmp_path / "r.html")]) == m.CODE_DEMANDE
    assert "« annexes_ccxt_fr »" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "dit"),
    [
        (["--symbole", "BTC/USDT", "--rapport", "a.csv"], "une page .html est attendue"),
        (["--lister", "exchanges", "--rapport", "a.html"], "rien à montrer"),
        (["--symbole", "BTC/USDT", "--rapport", "a.html", "--bilan", "a.html"], "écraserait"),
    ],
)
def test_un_rapport_impossible_est_refuse(arguments: list[str], dit: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert m.principal(arguments) == m.CODE_DEMANDE
    assert dit in capsys.readouterr().err


# Un vrai navigateur, s'il y en a un : la page s'y dessine, la console reste vide.

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@pytest.mark.skipif(CHROMIUM is None, reason="demande chromium")
def test_la_page_se_dessine_dans_un_navigateur(tmp_path: Path) -> None:
    ecrire(tmp_path / "a.parquet", avec_trous(), lot(range(500, 1000), ETH))
    page = tmp_path / "r.html"
    bilans = [("", bilan_de(tmp_path / "a.parquet", [BTC, ETH]))]
    page.write_text(rapport.rediger(bilans, titre="Essai"), encoding="utf-8")
    reglages = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profil'}"]
    reglages += ["--virtual-time-budget=20000", "--enable-logging=stderr"]
    rendu = subprocess.run(
        [str(CHROMIUM), *reglages, "--dump-dom", page.as_uri()],
        capture_output=True, text=True, timeout=PLAFOND_S, check=True,
    )  # fmt: skip
    assert not [ligne for ligne in rendu.stderr.splitlines() if ":CONSOLE" in ligne]
    assert 'data-etat="pret"' in rendu.stdout
    bougies = re.findall(r'<path class="box"', rendu.stdout)
    assert len(bougies) == len(PRESENTS)
    assert len(re.findall(r'<path data-index="\d+" fill-rule', rendu.stdout)) == len(TROUS)
    boutons = set(re.findall(r'data-title="([^"]*)"', rendu.stdout))
    assert boutons == {"Enregistrer l'image", "Zoom", "Déplacer", "Agrandir", "Réduire", "Vue d'ensemble"}
