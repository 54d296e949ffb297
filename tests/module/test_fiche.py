"""CONTRAT § 9 : la fiche dit de quel marché viennent les lignes et d'où ; ce qui est inventé ne se mêle pas au réel."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ligne_de_commande import EXTENSIONS, HEURE, HEURE_BOURSE, MINUTE, commande, empreinte, lignes, telecharger
from sorties_modeles import BTC, ETH, VARIANTES, creer, fiche, lot, lot_de, plage

import module_ccxt_fr_v2 as m
from annexes_ccxt_fr import plan as annexe_plan
from bourse_locale import Bourse

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FIN = HEURE_BOURSE - HEURE_BOURSE % HEURE - 2 * HEURE
BORNES = (FIN - 60 * MINUTE, FIN)
DITES = {m.HORS_LIGNE: ".hors-ligne-", m.SANDBOX: ".sandbox-"}


@pytest.fixture(params=VARIANTES, ids=[suffixe for _, suffixe in VARIANTES])
def sortie(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Une sortie à écrire, dans chaque format."""
    return tmp_path / f"btc{request.param[1]}"


@pytest.fixture(scope="module")
def _figee() -> Iterator[Bourse]:
    with Bourse(maintenant_ms=HEURE_BOURSE, acceleration=0.0, limites=False).en_fil() as ouverte:
        yield ouverte


@pytest.fixture
def figee(_figee: Bourse) -> Bourse:
    """L'exchange qui tient lieu de vrai : joint par ses `urls`, sans `--hors-ligne`."""
    _figee.requetes.clear()
    return _figee


def etat(chemin: Path) -> dict[str, Any]:
    """De quoi dire qu'une sortie n'a pas été touchée : octets et dates, ou contenu pour SQLite."""
    if chemin.suffix == ".sqlite":
        with contextlib.closing(sqlite3.connect(chemin)) as base:
            return {"base": list(base.iterdump())}
    return {nom: octets for nom, octets in empreinte(chemin).items() if ".verrou" not in nom}


def de_cote(chemin: Path, motif: str) -> list[Path]:
    """Les fichiers mis de côté sous ce motif, annexes à part."""
    return sorted(chemin.parent.glob(f"{chemin.name}{motif}*"))


def ecrire(
    chemin: Path, *lots: m.Lot, origine: str = m.REEL, marche: str = "BTCUSDT",
    marches: dict[m.CleSerie, str] | None = None, **reglages: Any,
) -> bool:  # fmt: skip
    """Une exécution complète d'une origine, dont les séries sont du marché `marche`."""
    ecrivain = creer(chemin, origine=origine, **reglages)
    cles = sorted({unique.cle for unique in lots})
    marches = marches or dict.fromkeys(cles, marche)
    ecrivain.controler(cles, marches)
    with ecrivain:
        for unique in lots:
            neuve = fiche(unique.cle)
            neuve.marche_id, neuve.origine = marches[unique.cle], origine
            ecrivain.ecrire(unique, neuve)
        return ecrivain.finir()


def vieillir(chemin: Path, table: str = "ohlcv") -> None:
    """Rend la sortie telle qu'une version d'avant l'écrivait : sans `marche_id` ni `origine`."""

    def vieille(texte: bytes | str) -> str:
        entete = json.loads(texte)
        entete.pop("somme", None)
        for serie in entete["series"]:
            del serie["marche_id"], serie["origine"]
        return json.dumps(entete)

    if chemin.suffix == ".sqlite":
        with contextlib.closing(sqlite3.connect(chemin)) as base, base:
            for colonne in ("marche_id", "origine"):
                base.execute(f"ALTER TABLE {table}_series DROP COLUMN {colonne}")
    elif chemin.suffix == ".parquet":
        lue = pq.read_table(chemin)
        pq.write_table(lue.replace_schema_metadata({"fiche": vieille(lue.schema.metadata[b"fiche"])}), chemin)
    elif chemin.suffix == ".feather":
        lue = pa.ipc.open_file(chemin).read_all()
        schema = lue.schema.with_metadata({"fiche": vieille(lue.schema.metadata[b"fiche"])})
        with pa.ipc.new_file(str(chemin), schema) as graveur:
            graveur.write_table(lue.replace_schema_metadata(schema.metadata))
    else:
        voisine = chemin.with_name(f"{chemin.name}.fiche.json")
        voisine.write_text(vieille(voisine.read_text()))


# --- Ce que dit la fiche


def test_la_fiche_porte_le_marche_et_l_origine(figee: Bourse, tmp_path: Path) -> None:
    """Dans les quatre formats, et par la bibliothèque : le marché chez l'exchange, et « reel »."""
    for nom, suffixe in EXTENSIONS.items():
        assert telecharger(figee, tmp_path / f"s{suffixe}", BORNES) == 0
        (lue,) = m.lire_fiches(tmp_path / f"s{suffixe}")
        assert (lue.marche_id, lue.origine, lue.unite_volume) == ("BTCUSDT", "reel", "BTC"), nom
    ecrite = json.loads((tmp_path / "s.csv.fiche.json").read_text())["series"][0]
    assert {champ: ecrite[champ] for champ in ("marche_id", "origine", "unite_volume")} == {
        "marche_id": "BTCUSDT", "origine": "reel", "unite_volume": "BTC",
    }  # fmt: skip
    with contextlib.closing(sqlite3.connect(tmp_path / "s.sqlite")) as base:
        assert base.execute("SELECT marche_id, origine FROM ohlcv_series").fetchall() == [("BTCUSDT", "reel")]
    options = {"symbole": "BTC/USDT", "date_debut": BORNES[0], "date_fin": BORNES[1]}
    table = m.telecharger_ohlcv(**options, config_ccxt=figee.config_ccxt("binance"))
    (rendue,) = json.loads(table.schema.metadata[b"fiche"])["series"]
    assert (rendue["marche_id"], rendue["origine"]) == ("BTCUSDT", "reel")


def test_une_unite_sans_preuve_est_inconnue_puis_s_apprend(sortie: Path) -> None:
    """L'unité inconnue, ou fausse, d'une fiche se corrige sans refus, et une seule fois."""
    assert m.Fiche(BTC).unite_volume == "inconnue"
    assert m.Fiche.depuis_dict({**m.Fiche(BTC).en_dict(), "unite_volume": ""}).unite_volume == "inconnue"
    for unite in ("inconnue", "BTC", "contrats"):
        for change in (True, False):
            ecrivain = creer(sortie, origine=m.REEL)
            ecrivain.controler([BTC], {BTC: "BTCUSDT"})
            with ecrivain:
                ecrivain.ecrire(lot(range(5)), m.Fiche(BTC, unite_volume=unite, marche_id="BTCUSDT"))
                assert ecrivain.finir() == change
            assert [f.unite_volume for f in m.lire_fiches(sortie)] == [unite]


@pytest.mark.parametrize("flux", [False, True], ids=["historique", "flux"])
def test_le_marche_et_l_origine_survivent_a_une_interruption(sortie: Path, flux: bool) -> None:
    """Ils vont aussi au journal de reprise."""
    neuve = m.Fiche(BTC, marche_id="BTCUSDT", origine=m.SANDBOX)
    with creer(sortie, flux=flux, origine=m.SANDBOX) as ecrivain:
        ecrivain.ecrire(lot(range(5)), neuve)
        ecrivain.ecrire(lot(range(5, 9)), neuve)
    with creer(sortie, origine=m.SANDBOX) as ecrivain:
        assert (ecrivain.fiches[BTC].marche_id, ecrivain.fiches[BTC].origine) == ("BTCUSDT", "sandbox")
        ecrivain.finir()
    assert m.lire(sortie).num_rows == 9
    assert [f.origine for f in m.lire_fiches(sortie)] == ["sandbox"]


# --- Les fiches d'avant


def test_une_fiche_d_avant_est_completee_sans_bruit(sortie: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Rien de neuf : mêmes octets, même date. Une ligne de plus : la fiche dit aussi le marché et l'origine."""
    ecrire(sortie, lot(range(10)))
    vieillir(sortie)
    if sortie.name.endswith((".csv", ".csv.gz")):  # elle décrit le fichier, qui n'a pas changé
        assert not ecrire(sortie, lot(range(10)))
    (lue,) = m.lire_fiches(sortie)
    assert (lue.marche_id, lue.origine) == ("", "reel")
    avant = etat(sortie)
    caplog.clear()
    assert not ecrire(sortie, lot(range(8, 10)))
    assert etat(sortie) == avant
    assert ecrire(sortie, lot(range(8, 12)))
    (lue,) = m.lire_fiches(sortie)
    assert (lue.marche_id, lue.origine, m.lire(sortie).num_rows) == ("BTCUSDT", "reel", 12)
    assert caplog.records == []


def test_un_flux_ne_redemande_que_ce_qui_touche_ce_qu_il_a_suivi() -> None:
    """Le début d'une première écoute, à prouver, ce qui manque entre deux suites ; non l'échec d'un autre âge."""
    ancien, tete, milieu = (m.Trou(*bornes, m.ECHEC) for bornes in ((0, 10), (500, 600), (700, 720)))
    suivie = m.Fiche(BTC, couverts=[(600, 700), (730, 900)], trous=[ancien, tete, milieu])
    assert suivie.a_relire() == [(500, 600), (700, 730)]
    assert m.Fiche(BTC, couverts=[(600, 700)], trous=[ancien]).a_relire() == []
    assert m.Fiche(BTC, trous=[ancien]).a_relire() == []


def test_une_origine_qui_ne_se_comprend_pas_est_reelle() -> None:
    """Elle ne deviendra pas un nom de fichier."""
    donnees = m.Fiche(BTC).en_dict()
    folles: tuple[Any, ...] = ("../x", None, 3, [], "")
    for folle in folles:
        assert m.Fiche.depuis_dict({**donnees, "origine": folle}).origine == "reel"


# --- Un autre marché sous le même symbole


@pytest.mark.parametrize("flux", [False, True], ids=["historique", "flux"])
def test_un_autre_marche_est_refuse_fichier_intact(sortie: Path, flux: bool) -> None:
    """Code 2, et le message dit les deux ; le même marché continue."""
    ecrire(sortie, lot(range(10)), flux=flux)
    avant = etat(sortie)
    with pytest.raises(m.ErreurDemande, match="« BTCUSDT »") as refus:
        ecrire(sortie, lot(range(10, 12)), marche="BTCUSDT2", flux=flux)
    assert "« BTCUSDT2 »" in str(refus.value)
    assert refus.value.code_sortie == 2
    assert etat(sortie) == avant
    assert ecrire(sortie, lot(range(10, 12)), flux=flux)


def test_un_autre_marche_se_voit_aussi_au_journal_d_une_execution_tuee(sortie: Path) -> None:
    """Rien n'est encore fondu : c'est le journal qui dit de quel marché étaient les lignes."""
    with creer(sortie, origine=m.REEL) as ecrivain:
        ecrivain.ecrire(lot(range(5), ETH), m.Fiche(ETH, marche_id="ETHUSDT"))
        ecrivain.ecrire(lot(range(5)), m.Fiche(BTC, marche_id="BTCUSDT"))
    with pytest.raises(m.ErreurDemande, match="BTCUSDT"):
        ecrire(sortie, lot(range(5, 7)), lot(range(5, 7), ETH), marches={BTC: "AUTRE", ETH: "ETHUSDT"})
    with creer(sortie) as ecrivain:
        ecrivain.finir()
    assert m.lire(sortie).num_rows == 10


def test_un_autre_marche_de_bout_en_bout(figee: Bourse, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """La ligne de commande : code 2, les deux marchés, aucune requête de bougies."""
    chemin = tmp_path / "s.parquet"
    assert telecharger(figee, chemin, BORNES) == 0
    lue = pq.read_table(chemin)
    autre = lue.schema.metadata[b"fiche"].replace(b'"BTCUSDT"', b'"BTCOLD"')
    pq.write_table(lue.replace_schema_metadata({"fiche": autre}), chemin)
    avant = empreinte(chemin)
    figee.requetes.clear()
    assert telecharger(figee, chemin, BORNES) == 2
    dit = capsys.readouterr().err
    assert "« BTCOLD »" in dit
    assert "« BTCUSDT »" in dit
    assert empreinte(chemin) == avant
    assert not [r for r in figee.requetes if "klines" in r.chemin]


# --- Réel, hors ligne, banc d'essai


@pytest.mark.parametrize("flux", [False, True], ids=["historique", "flux"])
@pytest.mark.parametrize("origine", [m.HORS_LIGNE, m.SANDBOX])
def test_ce_qui_est_invente_est_mis_de_cote_pour_de_vrai(
    sortie: Path, origine: str, flux: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """Mis de côté, dit, recommencé ; ce qui est de côté est intact."""
    ecrire(sortie, lot({0: (1.0, 1.0, 1.0, 1.0, 1.0)}), origine=origine, flux=flux)
    octets = sortie.read_bytes()
    caplog.clear()
    ecrire(sortie, lot(range(5)), flux=flux)
    (garde,) = de_cote(sortie, DITES[origine])
    assert garde.read_bytes() == octets
    assert [r.levelname for r in caplog.records] == ["WARNING"]
    assert garde.name in caplog.text
    assert m.lire(sortie).num_rows == 5
    assert {f.origine for f in m.lire_fiches(sortie)} == {"reel"}


@pytest.mark.couvrant
@pytest.mark.parametrize("flux", [False, True], ids=["historique", "flux"])
@pytest.mark.parametrize("origine", [m.HORS_LIGNE, m.SANDBOX])
@pytest.mark.parametrize("vieux", [False, True], ids=["", "d_avant"])
def test_un_fichier_reel_est_refuse_a_ce_qui_ne_l_est_pas(
    sortie: Path, origine: str, flux: bool, vieux: bool
) -> None:
    """Code 2, intact ; un fichier d'avant, sans origine, est tenu pour réel."""
    ecrire(sortie, lot(range(5)), flux=flux)
    if vieux:
        vieillir(sortie)
    avant, voisins = etat(sortie), {f.name for f in sortie.parent.iterdir()}
    with pytest.raises(m.ErreurDemande, match="réelles") as refus:
        ecrire(sortie, lot(range(5, 9)), origine=origine, flux=flux)
    assert refus.value.code_sortie == 2
    assert "autre sortie" in refus.value.conseil
    assert etat(sortie) == avant
    assert {f.name for f in sortie.parent.iterdir()} == voisins


@pytest.mark.parametrize("nom", EXTENSIONS)
def test_un_fichier_illisible_n_est_pas_reel(tmp_path: Path, nom: str) -> None:
    """D'un CSV sans fiche, qui ne se lit pas : « tient des données réelles », code 2 ; il est mis de côté, dit."""
    chemin = tmp_path / f"s{EXTENSIONS[nom]}"
    chemin.write_bytes(bytes(range(255, 0, -1)) * 3)
    ecrire(chemin, lot(range(3)), origine=m.HORS_LIGNE)
    assert m.lire(chemin).num_rows == 3
    assert [fiche.origine for fiche in m.lire_fiches(chemin)] == [m.HORS_LIGNE]
    assert len(de_cote(chemin, ".corrompu-")) == 1


def test_le_journal_d_une_execution_inventee_n_est_pas_repris(sortie: Path) -> None:
    """Tuée avant sa première fonte : ses lots sont mis de côté comme le serait le fichier ; l'inverse est refusé."""
    neuve = m.Fiche(BTC, marche_id="BTCUSDT", origine=m.HORS_LIGNE)
    with creer(sortie, origine=m.HORS_LIGNE) as ecrivain:
        ecrivain.ecrire(lot({0: (1.0, 1.0, 1.0, 1.0, 1.0)}), neuve)
    ecrire(sortie, lot(range(2, 5)))
    assert m.lire(sortie).num_rows == 3
    assert list(sortie.parent.glob(f"{sortie.name}*.hors-ligne-*"))
    with creer(sortie, origine=m.REEL) as ecrivain:
        ecrivain.ecrire(lot(range(5, 8)), m.Fiche(BTC, marche_id="BTCUSDT"))
    with pytest.raises(m.ErreurDemande, match="réelles"):
        ecrire(sortie, lot(range(9, 12)), origine=m.SANDBOX)


def test_une_meme_origine_continue(sortie: Path) -> None:
    """Ce qui est inventé se continue comme le reste : rien n'est mis de côté, rien n'est récrit."""
    ecrire(sortie, lot(range(5)), origine=m.HORS_LIGNE)
    avant = etat(sortie)
    assert not ecrire(sortie, lot(range(5)), origine=m.HORS_LIGNE)
    assert etat(sortie) == avant
    assert ecrire(sortie, lot(range(5, 9)), origine=m.HORS_LIGNE)
    assert m.lire(sortie).num_rows == 9
    ecrire(sortie, lot(range(3)), origine=m.SANDBOX)  # ni l'un ni l'autre n'est réel : ils ne se mêlent pas non plus
    assert len(de_cote(sortie, ".hors-ligne-")) == 1
    assert m.lire(sortie).num_rows == 3


def test_une_base_n_a_qu_une_origine(tmp_path: Path) -> None:
    """Toutes ses tables comptent ; celle d'un autre empêche de la déplacer."""
    chemin = tmp_path / "base.sqlite"
    ecrire(chemin, lot(range(5)), origine=m.HORS_LIGNE)
    ecrire(chemin, lot(range(5), ETH), origine=m.HORS_LIGNE, table="autre")
    with contextlib.closing(sqlite3.connect(chemin)) as base, base:
        base.execute("CREATE TABLE notes (texte)")
    with pytest.raises(m.ErreurDemande, match="notes"):
        ecrire(chemin, lot(range(3)), table="autre")
    with contextlib.closing(sqlite3.connect(chemin)) as base, base:
        base.execute("DROP TABLE notes")
    ecrire(chemin, lot(range(3), ETH), table="trois")
    (garde,) = de_cote(chemin, ".hors-ligne-")
    assert [m.lire(garde, table=nom).num_rows for nom in ("ohlcv", "autre")] == [5, 5]
    with pytest.raises(m.ErreurDemande, match="réelles"):
        ecrire(chemin, lot(range(3)), origine=m.HORS_LIGNE)


def test_une_base_melee_a_la_main_est_refusee(tmp_path: Path) -> None:
    """La mettre de côté emporterait ce qui est réel."""
    chemin = tmp_path / "base.sqlite"
    ecrire(chemin, lot(range(5)), lot(range(5), ETH))
    with contextlib.closing(sqlite3.connect(chemin)) as base, base:
        base.execute("UPDATE ohlcv_series SET origine = 'hors_ligne' WHERE symbole = 'ETH/USDT'")
    for origine in m.ORIGINES:
        with pytest.raises(m.ErreurDemande, match="réelles"):
            ecrire(chemin, lot(range(5, 7)), origine=origine)


@pytest.mark.parametrize("nom", EXTENSIONS)
def test_hors_ligne_puis_pour_de_vrai_de_bout_en_bout(
    figee: Bourse, tmp_path: Path, nom: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Les premiers pas du README : sans question, et aucune bougie inventée ne reste ; le retour est refusé."""
    chemin = tmp_path / f"s{EXTENSIONS[nom]}"
    bornes = ["--date-debut", str(BORNES[0]), "--date-fin", str(BORNES[1])]
    demo = ["--hors-ligne", "--symbole", "BTC/USDT", *bornes, "--sortie", str(chemin)]
    assert m.principal(demo) == 0
    assert m.principal(demo) == 0
    inventees = lignes(chemin)
    assert [f.origine for f in m.lire_fiches(chemin)] == ["hors_ligne"]
    capsys.readouterr()
    assert m.principal([*commande(figee, chemin, BORNES), "--simulation"]) == 0
    assert "60" in capsys.readouterr().out
    assert telecharger(figee, chemin, BORNES) == 0
    assert "inventées" in capsys.readouterr().err
    assert lignes(chemin) == list(figee.attendu("binance", "BTC/USDT", "1m", *BORNES))
    (garde,) = de_cote(chemin, ".hors-ligne-")
    assert lignes(garde) == inventees
    assert m.verifier(chemin).code == 0
    avant = etat(chemin)
    assert m.principal(demo) == 2
    assert "réelles" in capsys.readouterr().err
    assert etat(chemin) == avant
    assert telecharger(figee, chemin, BORNES) == 0
    assert etat(chemin) == avant


def test_le_banc_d_essai_de_bout_en_bout(figee: Bourse, tmp_path: Path) -> None:
    """`--sandbox` inscrit son origine, et un fichier réel lui est refusé."""
    chemin = tmp_path / "s.csv"
    config: Any = figee.config_ccxt("binance")
    essai = {"urls": {"test": config["urls"]["api"]}}
    assert telecharger(figee, chemin, BORNES, "--sandbox", config=essai) == 0
    assert [f.origine for f in m.lire_fiches(chemin)] == ["sandbox"]
    assert telecharger(figee, chemin, BORNES) == 0
    assert len(de_cote(chemin, ".sandbox-")) == 1
    assert [f.origine for f in m.lire_fiches(chemin)] == ["reel"]
    assert telecharger(figee, chemin, BORNES, "--sandbox", config=essai) == 2


def test_reparer_garde_l_origine(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Ce qui fut pris hors ligne est relu hors ligne, sans qu'on le redise."""
    chemin = tmp_path / "s.csv"
    bornes = ["--date-debut", str(BORNES[0]), "--date-fin", str(BORNES[1])]
    assert m.principal(["--hors-ligne", "--symbole", "BTC/USDT", *bornes, "--sortie", str(chemin)]) == 0
    sain = chemin.read_bytes()
    chemin.write_bytes(b"".join(sain.splitlines(keepends=True)[:30] + sain.splitlines(keepends=True)[33:]))
    assert m.principal(["--verifier", str(chemin), "--reparer"]) == 0, capsys.readouterr()
    assert chemin.read_bytes() == sain
    assert [f.origine for f in m.lire_fiches(chemin)] == ["hors_ligne"]
    assert not de_cote(chemin, ".hors-ligne-")


@pytest.mark.parametrize("donnee", [m.TRADES, m.TICKER, m.ORDERBOOK], ids=lambda donnee: donnee.nom)
def test_les_flux_d_evenements_aussi(sortie: Path, donnee: m.TypeDonnee) -> None:
    """Trades, tickers et carnets : même fiche, même règle."""
    unique = lot_de(donnee, range(9))
    ecrire(sortie, unique, origine=m.SANDBOX, donnee=donnee, flux=True)
    (lue,) = m.lire_fiches(sortie, table=donnee.nom)
    assert (lue.marche_id, lue.origine) == ("BTCUSDT", "sandbox")
    ecrire(sortie, lot_de(donnee, range(4)), donnee=donnee, flux=True)
    assert len(de_cote(sortie, ".sandbox-")) == 1
    assert m.lire(sortie, table=donnee.nom).num_rows == 4
    with pytest.raises(m.ErreurDemande, match="AUTRE"):
        ecrire(sortie, unique, marche="AUTRE", donnee=donnee, flux=True)


def test_deux_taches_d_un_lot_ne_melent_pas_leurs_origines() -> None:
    """Dit avant le premier appel réseau."""
    tache = {"exchange": "binance", "symbole": "BTC/USDT", "mode": "rest", "sortie": "a.csv"}
    taches = [{"name": "a", **tache}, {"name": "b", **tache, "sandbox": True}]
    with pytest.raises(m.ErreurDemande, match="ne se mêlent pas"):
        annexe_plan.ouvrir_plan({"version": 1, "tasks": taches})


def test_fiche_d_un_trou() -> None:
    """La fiche aller et retour."""
    pleine = m.Fiche(BTC, "swap", "contrats", 0.01, 0, [plage(0, 3)], [m.Trou(*plage(3, 4), m.ECHEC)],
                     marche_id="BTC-USDT-SWAP", origine=m.SANDBOX)  # fmt: skip
    assert m.Fiche.depuis_dict(json.loads(json.dumps(pleine.en_dict()))) == pleine


# --- CSV : les nombres, le BOM, les lignes vides


ENTIERES = {rang: (8450.0, 8451.0, 8449.0, 8450.0, float(rang)) for rang in range(6)}


def sans_points(chemin: Path) -> None:
    """Rend un CSV tel qu'une version d'avant l'écrivait : `8450`, pas `8450.0`, et une fiche qui n'en dit rien."""
    avant = chemin.stat().st_mtime_ns
    chemin.write_bytes(chemin.read_bytes().replace(b".0,", b",").replace(b".0\n", b"\n"))
    voisine = chemin.with_name(f"{chemin.name}.fiche.json")
    entete = json.loads(voisine.read_text())
    del entete["nombres_a_point"], entete["somme"]
    entete |= {"octets": chemin.stat().st_size, "modifie_ns": chemin.stat().st_mtime_ns}
    assert entete["modifie_ns"] != avant
    voisine.write_text(json.dumps(entete))


def nombres(chemin: Path, donnee: m.TypeDonnee = m.OHLCV) -> list[str]:
    """Les cellules des colonnes de nombres d'un CSV, telles qu'écrites."""
    rangs = [rang for rang, (_, nature) in enumerate(donnee.colonnes) if nature == "nombre"]
    lignes_ = [ligne.split(",") for ligne in chemin.read_text().splitlines()[1:]]
    return [ligne[rang] for ligne in lignes_ for rang in rangs if ligne[rang]]


@pytest.mark.parametrize("flux", [False, True], ids=["historique", "flux"])
@pytest.mark.parametrize(
    "donnee", [donnee for donnee in m.TYPES.values() if not donnee.est_lourd], ids=lambda donnee: donnee.nom
)
def test_csv_un_nombre_a_toujours_un_point(tmp_path: Path, donnee: m.TypeDonnee, flux: bool) -> None:
    """`8450.0`, jamais `8450` : DuckDB en ferait une colonne d'entiers, et arrondirait la suite sans le dire."""
    chemin = tmp_path / "s.csv"
    unique = lot_de(donnee, range(9))
    valeurs = [8450.0, 1e22, 1e-7, -0.0, 0.1, 5e-324, 1e15, 123456789.125, 1e300]
    for rang, (nom, nature) in enumerate(donnee.colonnes):
        if nature == "nombre":
            unique = unique._replace(lignes=unique.lignes.set_column(rang, nom, pa.array(valeurs)))
    ecrire(chemin, unique, donnee=donnee, flux=flux)
    ecrits = nombres(chemin, donnee)
    assert len(ecrits) == 9 * sum(nature == "nombre" for _, nature in donnee.colonnes)
    assert [cellule for cellule in ecrits if "." not in cellule] == []
    assert {float(cellule) for cellule in ecrits} == set(valeurs)
    assert m.lire(chemin).equals(unique.lignes.cast(donnee.schema))


def test_csv_d_avant_les_points(tmp_path: Path) -> None:
    """Il se lit et se continue ; il n'est pas récrit pour cela seul, et l'est en entier quand il doit l'être."""
    chemin = tmp_path / "s.csv"
    ecrire(chemin, lot(ENTIERES))
    sans_points(chemin)
    assert "8450" in nombres(chemin)
    avant = etat(chemin)
    assert m.lire(chemin)["open"].to_pylist() == [8450.0] * 6
    assert m.verifier(chemin).code == 0
    assert not ecrire(chemin, lot(ENTIERES))
    assert etat(chemin) == avant
    ecrire(chemin, lot({7: ENTIERES[0]}))
    assert [cellule for cellule in nombres(chemin) if "." not in cellule] == []
    debut = chemin.read_bytes()
    ecrire(chemin, lot({8: ENTIERES[0]}))  # et désormais le début est recopié, octet pour octet
    assert chemin.read_bytes().startswith(debut)
    assert m.lire(chemin).num_rows == 8


AJOUTS_D_EDITEUR = {
    "vide": b"\n", "vides": b"\n\n\r\n", "blancs": b"  \n\t\n", "sans saut": b"\n  ", "longs": b"\n" * 70_000,
}  # fmt: skip


@pytest.mark.parametrize("flux", [False, True], ids=["historique", "flux"])
@pytest.mark.parametrize("ajout", AJOUTS_D_EDITEUR)
def test_csv_bom_et_lignes_vides_sont_admis(
    tmp_path: Path, ajout: str, flux: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """Lus, contrôlés et continués, avant comme après, sans mise de côté ; et rien n'est récrit pour cela."""
    chemin = tmp_path / "s.csv"
    ecrire(chemin, lot(ENTIERES))
    chemin.write_bytes(b"\xef\xbb\xbf" + chemin.read_bytes() + AJOUTS_D_EDITEUR[ajout])
    caplog.clear()
    assert m.lire(chemin).num_rows == 6
    assert m.verifier(chemin).code == 0
    edite = chemin.read_bytes()
    ecrire(chemin, lot(ENTIERES), flux=flux)
    assert chemin.read_bytes() == edite
    creer(chemin).controler([BTC])
    suite = dict.fromkeys(range(6, 15), ENTIERES[0])
    ecrire(chemin, lot(suite), flux=flux)
    avant = lot({-3: ENTIERES[0], -2: ENTIERES[0], -1: ENTIERES[0]})
    ecrire(chemin, avant, flux=flux)
    assert [ligne[0] for ligne in lignes(chemin)] == [plage(rang, 0)[0] for rang in range(-3, 15)]
    assert m.verifier(chemin).code == 0
    assert not [f for f in tmp_path.iterdir() if "corrompu" in f.name]
    assert [r.message for r in caplog.records] == []


def test_csv_lignes_vides_au_milieu(tmp_path: Path) -> None:
    """Elles ne comptent pas, et la dichotomie les passe."""
    chemin = tmp_path / "s.csv"
    ecrire(chemin, lot(dict.fromkeys(range(40), ENTIERES[0])))
    textes = chemin.read_bytes().splitlines(keepends=True)
    chemin.write_bytes(b"\n".join([b"".join(textes[:2]), *textes[2:20], b"\n" * 500, *textes[20:]]))
    assert m.verifier(chemin).code == 0
    for rang in (40, -1):
        ecrire(chemin, lot({rang: ENTIERES[0]}))
    assert [ligne[0] for ligne in lignes(chemin)] == [plage(rang, 0)[0] for rang in range(-1, 41)]


def test_une_mise_de_cote_tardive_ne_perd_rien(figee: Bourse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Le fichier se révèle abîmé à la fonte : les bougies que le journal y croyait écrites sont redemandées."""
    chemin = tmp_path / "s.csv"
    dedans, large = (BORNES[0], BORNES[0] + 10 * MINUTE), (BORNES[0], BORNES[0] + 15 * MINUTE)
    assert telecharger(figee, chemin, dedans) == 0
    textes = chemin.read_bytes().splitlines(keepends=True)
    cellules = textes[5].split(b",")
    chemin.write_bytes(b"".join([*textes[:5], b",".join([*cellules[:5], b"abc", *cellules[6:]]), *textes[6:]]))
    voisine = chemin.with_name("s.csv.fiche.json")
    touche = {"octets": chemin.stat().st_size, "modifie_ns": chemin.stat().st_mtime_ns}
    entete = json.loads(voisine.read_text()) | touche
    del entete["nombres_a_point"], entete["somme"]  # un fichier d'avant : sa fonte le relit tout
    voisine.write_text(json.dumps(entete))
    monkeypatch.setattr(m, "RELECTURE_MAX", 0)  # un gros fichier : l'ouverture ne le relit pas
    assert [telecharger(figee, chemin, large) for _ in range(2)] == [1, 0]
    assert lignes(chemin) == list(figee.attendu("binance", "BTC/USDT", "1m", *large))
    assert [f.name for f in tmp_path.glob("s.csv.corrompu-*")]


@pytest.mark.parametrize("donnee", m.TYPES.values(), ids=lambda donnee: donnee.nom)
def test_ce_que_le_fichier_perdu_tenait_n_est_plus_prouve(tmp_path: Path, donnee: m.TypeDonnee) -> None:
    """Relire sans rien apprendre va au journal sans lignes : le fichier ôté, rien n'en est tenu pour écrit."""
    chemin = tmp_path / "s.parquet"
    with creer(chemin, donnee) as ecrivain:
        ecrivain.ecrire(lot_de(donnee, range(10)), m.Fiche(lot_de(donnee, [0]).cle))
        ecrivain.finir()
    relu = lot_de(donnee, range(5, 10))
    debut, fin = relu.couverts[0]
    with creer(chemin, donnee) as ecrivain:
        ecrivain.ecrire(relu._replace(couverts=[(debut, fin + MINUTE)]), m.Fiche(relu.cle))
    chemin.unlink()
    with creer(chemin, donnee) as ecrivain:
        fiche_ = ecrivain.fiches.get(relu.cle)
        assert fiche_ is None or fiche_.couverts == []
