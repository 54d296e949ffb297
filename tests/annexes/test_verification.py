"""--verifier et --reparer : chaque faute est trouvée à son instant ; un fichier sain n'en a aucune, réparé il l'est."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import functools
import json
import math
import shutil
import signal
import sqlite3
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from attente import PLAFOND_S
from couverture import une_seule
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ligne_de_commande import EXTENSIONS, HEURE, HEURE_BOURSE, JOUR, MINUTE, commande, famille, lancer, telecharger
from marche_simule import marche_commun
from sorties_modeles import creer, recrire
from vrais_processus import condamner, tuer

import module_ccxt_fr_v2 as m
from annexes_ccxt_fr import controle, lecture_brute, octets_douteux, remise_en_ordre, verification
from bourse_locale import Bourse, Panne, pannes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

Rangee = dict[str, Any]
DEBUT = 1_704_067_200_000  # 2024-01-01
NOMBRE = 40
FORMATS = tuple(EXTENSIONS)
FICHIERS = tuple(nom for nom in FORMATS if nom != "sqlite")
EVENEMENTS = m.CleSerie("binance", "BTC/USDT")
SERIES = {
    donnee.nom: EVENEMENTS._replace(
        timeframe="1m" if "timeframe" in donnee.noms else "", prix="last" if "prix" in donnee.noms else ""
    )
    for donnee in m.TYPES.values()
}


def instant(rang: int) -> int:
    return DEBUT + rang * MINUTE


def rangee(donnee: m.TypeDonnee, rang: int, symbole: str = "BTC/USDT") -> Rangee:
    """Une ligne saine de ce rang."""
    prix = 100 + rang / 7
    carnet = [[{"price": prix + signe * (n + 1) / 8, "amount": 1.5} for n in range(3)] for signe in (-1, 1)]
    valeurs = {
        **SERIES[donnee.nom]._asdict(), "symbole": symbole, "timestamp": instant(rang), "recu": instant(rang) + 40,
        "open": prix, "high": prix + 1, "low": prix - 1, "close": prix, "volume": rang / 3,
        "id": str(95 + rang), "side": "buy", "price": prix, "amount": 0.5, "cost": prix / 2,
        "funding_rate": -rang / 1e6, "mark_price": prix, "value": prix * 2,
        "bid": prix, "ask": prix + 1, "last": prix, "nonce": 1000 + rang, "bids": carnet[0], "asks": carnet[1],
    }  # fmt: skip
    return {nom: valeurs.get(nom) for nom in donnee.noms}


def table(donnee: m.TypeDonnee, rangees: list[Rangee]) -> pa.Table:
    return pa.Table.from_pylist(rangees, schema=donnee.schema)


def ecrire(
    chemin: Path, donnee: m.TypeDonnee, rangees: list[Rangee] | None = None, trous: tuple[m.Trou, ...] = (),
    cle: m.CleSerie | None = None, couverts: list[m.Intervalle] | None = None,
) -> Path:  # fmt: skip
    """Une sortie saine : par défaut quarante lignes d'une série, couvertes."""
    rangees = [rangee(donnee, rang) for rang in range(NOMBRE)] if rangees is None else rangees
    cle = cle or SERIES[donnee.nom]
    couverts = [(instant(0), instant(NOMBRE))] if couverts is None else couverts
    with creer(chemin, donnee) as ecrivain:
        for symbole in sorted({une["symbole"] for une in rangees} | {cle.symbole}):
            siennes = table(donnee, [une for une in rangees if une["symbole"] == symbole])
            serie = cle._replace(symbole=symbole)
            ecrivain.ecrire(m.Lot(serie, siennes, couverts, list(trous)), m.Fiche(serie))
        ecrivain.finir()
    return chemin


@pytest.fixture
def _lu_dans_ce_processus(monkeypatch: pytest.MonkeyPatch) -> None:
    """Un fichier récrit, mais bien formé, ne peut tuer personne : le lire à part, 0,4 s chaque fois, n'apprend rien."""

    def lire(quoi: str, chemin: Path) -> str:
        octets_douteux.valider(quoi, chemin)
        return ""

    monkeypatch.setattr(octets_douteux, "lire_a_part", lire)


# Les fautes, à la ligne 20


def doubler(rangees: list[Rangee]) -> None:
    rangees.insert(21, dict(rangees[20]))


def permuter(rangees: list[Rangee]) -> None:
    rangees[19], rangees[20] = rangees[20], rangees[19]


def oter(rangees: list[Rangee]) -> None:
    del rangees[20]


def changer(**valeurs: Any) -> Callable[[list[Rangee]], None]:
    return lambda rangees: rangees[20].update(valeurs)


def niveaux(*prix: float | None, amount: float = 1.0) -> list[dict[str, float | None]]:
    return [{"price": p, "amount": amount} for p in prix]


LIGNES: list[tuple[str, str, Callable[[list[Rangee]], None], tuple[str, ...], int]] = [
    *((nom, "doublon", doubler, FICHIERS, instant(20)) for nom in m.TYPES),
    *((nom, "desordre", permuter, FICHIERS, instant(19)) for nom in m.TYPES),
    *((nom, "futur", changer(timestamp=4_102_444_800_000), FORMATS, 4_102_444_800_000) for nom in m.TYPES),
    ("ohlcv", "absente", oter, FORMATS, instant(20)),
    ("ohlcv", "hors_grille", changer(timestamp=instant(20) + 1), FORMATS, instant(20) + 1),
    *(
        ("ohlcv", "impossible", changer(**valeurs), FORMATS, instant(20))
        for valeurs in (
            {"open": None}, {"high": math.nan}, {"low": -1.0}, {"close": 0.0}, {"close": math.inf},
            {"high": 1.0}, {"volume": -1.0}, {"volume": None},
        )
    ),
    *(
        ("trades", "impossible", changer(**valeurs), FORMATS, instant(20))
        for valeurs in ({"price": 0.0}, {"price": math.nan}, {"price": None}, {"amount": -1.0}, {"amount": math.inf})
    ),
    *(
        ("orderbook", "impossible", changer(**valeurs), FORMATS, instant(20))
        for valeurs in (
            {"bids": niveaux(), "asks": None}, {"bids": niveaux(200)}, {"asks": niveaux(103, 102)},
            {"bids": niveaux(90, 90)}, {"bids": niveaux(-1)}, {"asks": niveaux(200, amount=0)}, {"asks": niveaux(None)},
        )
    ),
    ("ticker", "impossible", changer(bid=math.inf), FORMATS, instant(20)),
    ("ticker", "impossible", changer(**dict.fromkeys(("bid", "ask", "last", *m.VALEURS_OHLCV[:4]))), FORMATS,
     instant(20)),
    *(
        ("funding", "impossible", changer(**valeurs), FORMATS, instant(20))
        for valeurs in ({"funding_rate": None}, {"funding_rate": math.inf}, {"mark_price": 0.0})
    ),
    *(
        ("open_interest", "impossible", changer(**valeurs), FORMATS, instant(20))
        for valeurs in ({"amount": -1.0}, {"amount": None, "value": None}, {"value": math.inf})
    ),
    *((nom, "autre_serie", changer(exchange="okx"), FICHIERS, instant(20)) for nom in m.TYPES),
    ("ohlcv", "autre_serie", changer(timeframe="1x"), FORMATS, instant(20)),
]  # fmt: skip


@pytest.fixture(scope="module")
def intacts(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Path]:
    """Le dossier d'un fichier sain d'un type et d'un format, écrit et vérifié une fois."""

    @functools.cache
    def produire(nom: str, format_: str) -> Path:
        chemin = ecrire(tmp_path_factory.mktemp("intact") / f"s{EXTENSIONS[format_]}", m.TYPES[nom])
        assert m.verifier(chemin).fautes == {}, m.verifier(chemin).constats
        return chemin.parent

    return produire


@pytest.mark.usefixtures("_lu_dans_ce_processus")
@pytest.mark.parametrize(
    ("nature", "faute", "format_"), [(ligne[1], ligne, f) for ligne in LIGNES for f in ligne[3]]
)
def test_une_ligne_fautive_est_trouvee_a_son_instant(
    nature: str, faute: Any, format_: str, tmp_path: Path, intacts: Callable[[str, str], Path]
) -> None:
    """Le fichier sain n'a aucune faute ; abîmé à la ligne 20, la faute est là, et rien n'est dit des voisines."""
    nom, _, abimer, _, moment = faute
    donnee = m.TYPES[nom]
    shutil.copytree(intacts(nom, format_), tmp_path, dirs_exist_ok=True)
    chemin = tmp_path / f"s{EXTENSIONS[format_]}"
    rangees = [rangee(donnee, rang) for rang in range(NOMBRE)]
    abimer(rangees)
    recrire(chemin, donnee, rangees)
    rapport = m.verifier(chemin)
    assert [c.debut for c in rapport.constats if c.nature == nature] == [moment], rapport.constats
    # La ligne déplacée ou ôtée laisse sa place vide : c'est une faute aussi, et la seule autre.
    assert set(rapport.fautes) <= {nature, "absente", "hors_intervalles", "desordre"}
    sans_grille = set() if donnee.a_une_grille else {None}  # d'événements, la fiche ne sait que combien il en manque
    assert {c.debut for c in rapport.constats} <= {moment, instant(20), instant(21), *sans_grille}
    assert rapport.code == 4


# Les fautes de la fiche


def refaire_fiche(chemin: Path, **champs: Any) -> None:
    """Remplace des champs de la fiche, lignes intactes."""
    lecteur = m.lecteur_de(chemin, None)
    fiches = [dataclasses.replace(fiche, **champs) for fiche in m.lire_fiches(chemin)]
    with lecteur.tenue(), lecture_brute.brut(lecteur) as brut:
        retenus = list(brut.lots)
    with lecteur.tenue():
        remise_en_ordre.remplacer(lecteur, pa.concat_tables(retenus), {fiche.cle: fiche for fiche in fiches})


TOUT = (instant(0), instant(NOMBRE))
FICHES: list[tuple[str, dict[str, Any], int, int]] = [
    ("dans_un_vide", {"trous": [m.Trou(instant(20), instant(21), m.SANS_TRANSACTION)]}, instant(20), 0),
    ("dans_un_vide", {"trous": [m.Trou(instant(20), instant(21), m.AVANT_COTATION)]}, instant(20), 0),
    ("dans_un_trou", {"trous": [m.Trou(instant(20), instant(21), m.ECHEC)],
                      "couverts": [(instant(0), instant(20)), (instant(21), instant(NOMBRE))]}, instant(20), 0),
    ("hors_intervalles", {"couverts": [(instant(0), instant(20)), (instant(22), instant(NOMBRE))]}, instant(20),
     instant(22)),
    ("absente", {"couverts": [(instant(0), instant(NOMBRE + 3))]}, instant(NOMBRE), instant(NOMBRE + 3)),
    ("fiche", {"trous": [m.Trou(instant(50), instant(51), m.ECHEC)], "couverts": [(instant(0), instant(60))]},
     instant(50), instant(51)),
    ("fiche", {"trous": [m.Trou(instant(50), instant(51), "lune")]}, instant(50), instant(51)),
    ("fiche", {"couverts": [TOUT, (instant(50), instant(49))]}, instant(50), instant(49)),
    ("fiche", {"couverts": [(instant(0), instant(30)), (instant(20), instant(NOMBRE))]}, instant(20), instant(NOMBRE)),
]  # fmt: skip


@pytest.mark.couvrant(format_=famille)
@pytest.mark.parametrize("format_", FORMATS)
@pytest.mark.parametrize(("nature", "champs", "debut", "fin"), FICHES)
def test_une_fiche_qui_contredit_les_lignes_est_une_faute(
    nature: str, champs: dict[str, Any], debut: int, fin: int, format_: str, tmp_path: Path
) -> None:
    chemin = ecrire(tmp_path / f"s{EXTENSIONS[format_]}", m.OHLCV)
    refaire_fiche(chemin, **champs)
    rapport = m.verifier(chemin)
    assert [(c.debut, c.fin or 0) for c in rapport.constats if c.nature == nature] == [(debut, fin)], rapport.constats


# Les fautes de forme


def test_un_fichier_abime_est_dit_illisible(tmp_path: Path) -> None:
    for format_ in ("parquet", "feather", "sqlite"):
        chemin = ecrire(tmp_path / f"s{EXTENSIONS[format_]}", m.OHLCV)
        octets = bytearray(chemin.read_bytes())
        if format_ == "sqlite":
            octets[4096:8192] = bytes(4096)
        else:
            del octets[len(octets) // 2 :]
        chemin.write_bytes(octets)
        rapport = m.verifier(chemin)
        assert set(rapport.fautes) == {"illisible"}, rapport.constats
    compresse = ecrire(tmp_path / "s.csv.gz", m.OHLCV)
    compresse.write_bytes(compresse.read_bytes()[:-30])
    assert "illisible" in m.verifier(compresse).fautes


def test_une_page_de_parquet_abimee_est_vue_par_sa_somme(tmp_path: Path) -> None:
    chemin = ecrire(tmp_path / "s.parquet", m.OHLCV)
    octets = bytearray(chemin.read_bytes())
    octets[len(octets) // 4] ^= 0xFF
    chemin.write_bytes(octets)
    assert m.verifier(chemin).code == 4


def test_une_ligne_coupee_ou_illisible_se_situe(tmp_path: Path) -> None:
    chemin = ecrire(tmp_path / "s.csv", m.OHLCV)
    sain = chemin.read_bytes()
    chemin.write_bytes(sain[:-7])
    assert {"ligne_coupee", "absente"} == set(m.verifier(chemin).fautes)
    for poubelle in (b"n'importe quoi", b'"', b"\xff\xfe,\x00", b"binance,BTC/USDT,1m,last,hier,1,1,1,1,1"):
        lignes = sain.split(b"\n")
        lignes[21] = poubelle
        chemin.write_bytes(b"\n".join(lignes))
        rapport = m.verifier(chemin)
        assert [(c.nature, c.debut) for c in rapport.constats] == [
            ("ligne_illisible", instant(19)), ("absente", instant(20))
        ]  # fmt: skip


def test_des_types_ou_des_colonnes_changes_sont_des_fautes(tmp_path: Path) -> None:
    chemin = ecrire(tmp_path / "s.parquet", m.OHLCV)
    lue = pq.read_table(chemin)
    pq.write_table(lue.set_column(5, "open", lue["open"].cast("float32")), chemin)
    assert set(m.verifier(chemin).fautes) == {"types"}
    pq.write_table(lue.drop_columns(["volume"]), chemin)
    assert set(m.verifier(chemin).fautes) == {"colonnes"}
    csv = ecrire(tmp_path / "s.csv", m.OHLCV)
    csv.write_text(csv.read_text().replace("close", "cloture"))
    assert set(m.verifier(csv).fautes) == {"colonnes"}


def test_une_valeur_de_texte_dans_une_base_est_une_ligne_impossible(tmp_path: Path) -> None:
    chemin = ecrire(tmp_path / "s.sqlite", m.OHLCV)
    with contextlib.closing(sqlite3.connect(chemin)) as base, base:
        base.execute("UPDATE ohlcv SET close = 'abc' WHERE timestamp = ?", (instant(20),))
    assert [(c.nature, c.debut) for c in m.verifier(chemin).constats] == [("impossible", instant(20))]


@pytest.mark.parametrize("format_", FORMATS)
def test_une_fiche_perdue_est_un_avertissement(format_: str, tmp_path: Path) -> None:
    chemin = ecrire(tmp_path / f"s{EXTENSIONS[format_]}", m.OHLCV)
    if format_ == "csv":
        (tmp_path / "s.csv.fiche.json").unlink()
    elif format_ == "parquet":
        pq.write_table(pq.read_table(chemin).replace_schema_metadata({}), chemin)
    elif format_ == "feather":
        lue = m.lire(chemin)
        with pa.OSFile(str(chemin), "wb") as fichier, pa.ipc.new_file(fichier, m.OHLCV.schema) as graveur:
            graveur.write_table(lue)
    else:
        with contextlib.closing(sqlite3.connect(chemin)) as base, base:
            base.execute("DROP TABLE ohlcv_series")
    rapport = m.verifier(chemin)
    assert (rapport.code, len(rapport.avertissements)) == (0, 1), rapport.constats


def test_les_fautes_d_une_nature_sont_plafonnees_et_comptees(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rangees = [rangee(m.OHLCV, rang) | {"close": -1.0} for rang in range(NOMBRE)]
    chemin = ecrire(tmp_path / "s.csv", m.OHLCV)
    recrire(chemin, m.OHLCV, rangees)
    assert m.principal(["--verifier", str(chemin), "--bilan", str(tmp_path / "b.json")]) == 4
    dites = capsys.readouterr().out.splitlines()
    assert len(dites) == controle.CONSTATS_DITS + 2
    assert dites[-2] == "… et 20 de plus, de nature « impossible »"
    assert dites[-1] == (
        "BTC/USDT 1m (binance, prix last) : 40 lignes, de 2024-01-01T00:00Z à 2024-01-01T00:39Z, couverture 100 %, "
        "aucun trou, 40 fautes"
    )
    bilan = json.loads((tmp_path / "b.json").read_text())
    assert bilan["code"] == 4
    assert bilan["verification"]["fautes"] == {"impossible": 40}
    assert bilan["verification"]["series"][0]["fautes"] == {"impossible": 40}


# Sans faute : ce que le module produit


def test_des_trous_inscrits_ne_sont_pas_des_fautes(tmp_path: Path) -> None:
    trous = (m.Trou(instant(5), instant(7), m.ECHEC), m.Trou(instant(9), instant(10), m.SANS_TRANSACTION))
    presentes = [rangee(m.OHLCV, rang) for rang in range(NOMBRE) if rang not in (5, 6, 9)]
    couverts = [(instant(0), instant(5)), (instant(7), instant(NOMBRE))]
    rapport = m.verifier(ecrire(tmp_path / "s.csv", m.OHLCV, presentes, trous, couverts=couverts))
    assert rapport.code == 0
    assert rapport.series[0].trous == {m.ECHEC: 1, m.SANS_TRANSACTION: 1}
    assert rapport.series[0].couverture == 95.0


@pytest.mark.couvrant(format_=famille)
@pytest.mark.parametrize("format_", FORMATS)
@pytest.mark.parametrize("donnee", m.TYPES.values(), ids=lambda donnee: donnee.nom)
def test_plusieurs_symboles_plusieurs_lignes_par_ms_sans_nonce(
    format_: str, donnee: m.TypeDonnee, tmp_path: Path
) -> None:
    rangees = [rangee(donnee, rang, symbole) for symbole in ("BTC/USDT", "ETH/USDT") for rang in range(NOMBRE)]
    for une in rangees if donnee is m.TRADES else ():
        une |= {"timestamp": une["timestamp"] - une["timestamp"] % (5 * MINUTE), "id": f"~{une['id']}"}
    for une in rangees if donnee is m.ORDERBOOK else ():
        une["nonce"] = None
    chemin = ecrire(tmp_path / f"s{EXTENSIONS[format_]}", donnee, rangees)
    assert m.verifier(chemin).constats == []
    assert [serie.lignes for serie in m.verifier(chemin).series] == [NOMBRE, NOMBRE]


@pytest.mark.couvrant(format_=une_seule)
@pytest.mark.parametrize("format_", FORMATS)
@pytest.mark.parametrize(
    ("exchange", "mots"),
    [
        ("binance", ("--timeframe", "1m")),
        ("binance", ("--symbols", "BTC/USDT,ETH/USDT", "--timeframe", "1h")),
        ("binance", ("--timeframe", "1w", "--date-debut", "2023-01-01")),
        ("binance", ("--timeframe", "1M", "--date-debut", "2023-01-01")),
        ("okx", ("--timeframe", "1d", "--date-debut", "2023-12-01")),
        ("okx", ("--type-marche", "swap", "--symbole", "BTC/USDT:USDT", "--prix-ohlcv", "mark", "--timeframe", "1h")),
        ("kraken", ("--timeframe", "1w", "--date-debut", "2023-06-01")),
        ("binance", ("--timeframe", "1h", "--inclure-bougie-courante", "--date-fin", "2030-01-01")),
    ],
)
def test_ce_que_le_rest_produit_est_sain(
    exchange: str, mots: tuple[str, ...], format_: str, tmp_path: Path, fixe: Bourse
) -> None:
    """Ancre, calendrier, prix sans volume, bougie courante : aucun faux positif."""
    sortie = tmp_path / f"s{EXTENSIONS[format_]}"
    bornes = (HEURE_BOURSE - JOUR, HEURE_BOURSE)
    assert telecharger(fixe, sortie, bornes, *mots, exchange=exchange) in (0, 3)
    avant = {f.name: f.read_bytes() for f in tmp_path.iterdir()}
    rapport = m.verifier(sortie)
    assert rapport.constats == []
    assert rapport.avertissements == []
    assert sum(serie.lignes for serie in rapport.series) == m.lire(sortie).num_rows > 0
    assert {f.name: f.read_bytes() for f in tmp_path.iterdir()} == avant


@pytest.mark.parametrize("format_", EXTENSIONS)
def test_une_bougie_courante_prise_dans_le_delai_de_grace_est_saine(format_: str, tmp_path: Path) -> None:
    """Une seconde après l'heure pile, ni la bougie qui vient de finir ni la neuve n'étaient prouvées : deux fautes."""
    sortie, pile = tmp_path / f"s{EXTENSIONS[format_]}", HEURE_BOURSE - HEURE_BOURSE % 3_600_000
    mots = ("--timeframe", "1h", "--inclure-bougie-courante", "--date-fin", "2030-01-01")
    bourse = Bourse(marche=marche_commun(), limites=False, maintenant_ms=pile + 1_000, acceleration=0.0)
    with bourse.en_fil() as ouverte:
        assert telecharger(ouverte, sortie, (pile - JOUR, pile), *mots) == 0
        assert m.verifier(sortie).constats == []
    assert m.lire(sortie)["timestamp"][-1].as_py().timestamp() * 1000 == pile - 3_600_000


@pytest.mark.parametrize("format_", EXTENSIONS)
def test_une_bougie_courante_laissee_derriere_est_relue(format_: str, tmp_path: Path) -> None:
    """Cron, « -3h » et la courante, puis une nuit d'arrêt : la bougie d'hier restait écrite à moitié, pour toujours."""
    sortie, mots = tmp_path / f"s{EXTENSIONS[format_]}", ("--timeframe", "1h", "--inclure-bougie-courante")
    pile = HEURE_BOURSE - HEURE_BOURSE % 3_600_000
    for heure in (pile + 60_000, pile + 20 * 3_600_000 + 60_000):
        bourse = Bourse(marche=marche_commun(), limites=False, maintenant_ms=heure, acceleration=0.0)
        with bourse.en_fil() as ouverte:
            assert telecharger(ouverte, sortie, (heure - 3 * 3_600_000, heure + JOUR), *mots) == 0
            assert m.verifier(sortie).constats == []
    entiere = tmp_path / f"t{EXTENSIONS[format_]}"
    with Bourse(marche=marche_commun(), limites=False, maintenant_ms=heure, acceleration=0.0).en_fil() as ouverte:
        assert telecharger(ouverte, entiere, (pile - JOUR, heure + JOUR), *mots) == 0
    toutes = {ligne["timestamp"]: ligne for ligne in m.lire(entiere).to_pylist()}
    assert [toutes[ligne["timestamp"]] for ligne in m.lire(sortie).to_pylist()] == m.lire(sortie).to_pylist()


@pytest.mark.parametrize("format_", EXTENSIONS)
def test_des_bougies_courantes_que_rien_de_prouve_ne_precede_sont_relues(format_: str, tmp_path: Path) -> None:
    """Cron, « -1h » en 1h : la courante est seule à chaque fois, et la fiche ne dit rien de ce qui la précède."""
    sortie, mots = tmp_path / f"s{EXTENSIONS[format_]}", ("--timeframe", "1h", "--inclure-bougie-courante")
    pile = HEURE_BOURSE - HEURE_BOURSE % 3_600_000
    for heure in (pile + 60_000, pile + 9 * 3_600_000 + 60_000, pile + 20 * 3_600_000 + 60_000):
        with Bourse(marche=marche_commun(), limites=False, maintenant_ms=heure, acceleration=0.0).en_fil() as ouverte:
            assert telecharger(ouverte, sortie, (heure - 3_600_000, heure + JOUR), *mots) == 0
    entiere = tmp_path / f"t{EXTENSIONS[format_]}"
    with Bourse(marche=marche_commun(), limites=False, maintenant_ms=heure, acceleration=0.0).en_fil() as ouverte:
        assert telecharger(ouverte, entiere, (pile - JOUR, heure + JOUR), *mots) == 0
    toutes = {ligne["timestamp"]: ligne for ligne in m.lire(entiere).to_pylist()}
    assert m.lire(sortie).num_rows == 3
    assert [toutes[ligne["timestamp"]] for ligne in m.lire(sortie).to_pylist()] == m.lire(sortie).to_pylist()


def a_l_heure(heure: int) -> Bourse:
    """L'exchange embarqué, figé."""
    return Bourse(marche=marche_commun(), limites=False, maintenant_ms=heure, acceleration=0.0)


def provisoires(sortie: Path) -> list[m.Trou]:
    """Ce qu'une sortie saine dit écrit sans être prouvé ; rien n'y est manquant."""
    assert m.verifier(sortie).constats == []
    (fiche,) = m.lire_fiches(sortie)
    assert fiche.trous == []
    return fiche.provisoires


@pytest.mark.parametrize("exchange", ["binance", "okx", "bybit"])
@pytest.mark.parametrize("format_", EXTENSIONS)
def test_une_bougie_courante_est_dite_provisoire_tant_qu_elle_n_est_pas_prouvee(
    format_: str, exchange: str, tmp_path: Path
) -> None:
    """Seule du fichier, `--verifier` l'accusait, et une relance dans la même bougie en faisait un trou, code 3."""
    sortie, mots = tmp_path / f"s{EXTENSIONS[format_]}", ("--timeframe", "1h")
    gardee, pile = (*mots, "--inclure-bougie-courante"), HEURE_BOURSE - HEURE_BOURSE % HEURE

    def vivre(heure: int, *mots: str) -> list[m.Trou]:
        with a_l_heure(heure).en_fil() as ouverte:
            assert telecharger(ouverte, sortie, (heure - HEURE, heure + JOUR), *mots, exchange=exchange) == 0
        return provisoires(sortie)

    courante = [m.Trou(pile, pile + HEURE, m.A_VENIR)]
    assert vivre(pile + MINUTE, *gardee) == courante
    avant, tel_quel = m.lire(sortie).to_pylist(), empreintes(tmp_path)
    assert vivre(pile + MINUTE, *gardee) == courante
    assert empreintes(tmp_path) == tel_quel or format_ == "sqlite", "relancer ne réécrit rien"
    assert vivre(pile + 30 * MINUTE, *gardee) == courante
    assert len(avant) == m.lire(sortie).num_rows == 1
    assert m.lire(sortie).to_pylist() != avant, "la même bougie, plus longue"
    assert vivre(pile + 5 * HEURE + MINUTE, *gardee) == [m.Trou(pile + 5 * HEURE, pile + 6 * HEURE, m.A_VENIR)]
    assert m.lire(sortie).num_rows == 2, "celle d'avant, relue entière"
    assert vivre(pile + 6 * HEURE + MINUTE, *mots) == []
    with a_l_heure(pile + 9 * HEURE).en_fil() as ouverte:
        assert telecharger(ouverte, sortie, (pile - HEURE, pile + 7 * HEURE), *mots, exchange=exchange) == 0
        entiere = tmp_path / "entiere.csv"
        assert telecharger(ouverte, entiere, (pile - HEURE, pile + 7 * HEURE), *mots, exchange=exchange) == 0
    assert provisoires(sortie) == []
    assert m.lire(sortie).equals(m.lire(entiere))


@pytest.mark.parametrize("format_", EXTENSIONS)
def test_une_bougie_provisoire_que_l_exchange_ne_rend_plus_reste_a_confirmer(format_: str, tmp_path: Path) -> None:
    """Ni trou, puisqu'elle est écrite, ni prouvée : code 3, c'est dit, et redemandé jusqu'à ce qu'elle le soit."""
    sortie, mots = tmp_path / f"s{EXTENSIONS[format_]}", ("--timeframe", "1h")
    pile = HEURE_BOURSE - HEURE_BOURSE % HEURE
    with a_l_heure(pile + MINUTE).en_fil() as ouverte:
        bornes = (pile - 2 * HEURE, pile + JOUR)
        assert telecharger(ouverte, sortie, bornes, *mots, "--inclure-bougie-courante") == 0
    entamee = m.lire(sortie).to_pylist()[-1]
    with a_l_heure(pile + 3 * HEURE).en_fil() as ouverte:
        bornes = (pile - 2 * HEURE, pile + HEURE)
        panne = ouverte.pannes.ajouter(Panne("valeurs", chemin="klines", cas="high_low", rang=-2))
        assert telecharger(ouverte, sortie, bornes, *mots) == 3
        assert provisoires(sortie) == [m.Trou(pile, pile + HEURE, m.ECHEC)]
        assert m.lire(sortie).to_pylist()[-1] == entamee
        ouverte.pannes.retirer(panne)
        assert reparer(sortie, ouverte) == 0
        assert provisoires(sortie) == []
        assert m.lire(sortie).to_pylist()[-1] != entamee
        assert telecharger(ouverte, sortie, bornes, *mots) == 0


@pytest.mark.parametrize("format_", EXTENSIONS)
def test_une_bougie_provisoire_d_une_execution_tuee_est_au_journal(format_: str, tmp_path: Path) -> None:
    """Elle en revient provisoire, et d'une fiche d'avant, qui ne la disait pas, aussi ; rien n'en est récrit."""
    sortie, cle = tmp_path / f"s{EXTENSIONS[format_]}", SERIES["ohlcv"]
    lignes = table(m.OHLCV, [rangee(m.OHLCV, rang) for rang in range(3)])
    tue = creer(sortie, m.OHLCV).ouvrir()
    tue.ecrire(m.Lot(cle, lignes, [(instant(0), instant(2))], []), m.Fiche(cle))
    tue.fermer()
    with creer(sortie, m.OHLCV) as repris:
        assert repris.fiches[cle].provisoires == [m.Trou(instant(2), instant(3), m.A_VENIR)]
    assert provisoires(sortie) == [m.Trou(instant(2), instant(3), m.A_VENIR)]


@pytest.mark.parametrize("nombre", [1, 3])
@pytest.mark.parametrize("format_", EXTENSIONS)
def test_une_fiche_d_avant_ne_disait_pas_la_bougie_courante(format_: str, nombre: int, tmp_path: Path) -> None:
    """Elle se lit sans bruit, rien n'en est récrit, et la bougie laissée derrière est relue."""
    sortie, pile = tmp_path / f"s{EXTENSIONS[format_]}", HEURE_BOURSE - HEURE_BOURSE % HEURE
    mots = ("--timeframe", "1h", "--inclure-bougie-courante")

    def vivre(heure: int) -> None:
        with a_l_heure(heure).en_fil() as ouverte:
            assert telecharger(ouverte, sortie, (heure - nombre * HEURE, heure + JOUR), *mots) == 0

    with pytest.MonkeyPatch.context() as avant:
        avant.setattr(m, "sans_preuve", lambda *_: [])
        vivre(pile + MINUTE)
    assert m.verifier(sortie).constats == []
    tel_quel, lignes = empreintes(tmp_path), m.lire(sortie)
    vivre(pile + MINUTE)
    # D'une base, le contenu fait foi ; d'un CSV dont rien n'était prouvé, la fiche apprend la bougie.
    assert empreintes(tmp_path) == tel_quel or format_ == "sqlite" or (format_, nombre) == ("csv", 1)
    assert m.lire(sortie).equals(lignes)
    assert m.verifier(sortie).constats == []
    vivre(pile + 9 * HEURE + MINUTE)
    assert provisoires(sortie) == [m.Trou(pile + 9 * HEURE, pile + 10 * HEURE, m.A_VENIR)]
    with a_l_heure(pile + 9 * HEURE + MINUTE).en_fil() as ouverte:
        bornes = (pile - JOUR, pile + JOUR)
        assert telecharger(ouverte, tmp_path / "entiere.csv", bornes, *mots) == 0
    toutes = {ligne["timestamp"]: ligne for ligne in m.lire(tmp_path / "entiere.csv").to_pylist()}
    assert [toutes[ligne["timestamp"]] for ligne in m.lire(sortie).to_pylist()] == m.lire(sortie).to_pylist()


@pytest.mark.parametrize("format_", EXTENSIONS)
def test_une_bougie_tue_par_une_fiche_d_avant_et_que_l_exchange_ne_rend_plus_n_est_pas_un_trou(
    format_: str, tmp_path: Path
) -> None:
    """Laissée derrière à moitié faite, relue impossible : écrite dans un trou, `--verifier` l'accusait."""
    sortie, pile = tmp_path / f"s{EXTENSIONS[format_]}", HEURE_BOURSE - HEURE_BOURSE % HEURE
    mots = ("--timeframe", "1h", "--inclure-bougie-courante", "--relecture", "0")
    with pytest.MonkeyPatch.context() as avant, a_l_heure(pile + MINUTE).en_fil() as ouverte:
        avant.setattr(m, "sans_preuve", lambda *_: [])
        assert telecharger(ouverte, sortie, (pile - 3 * HEURE, pile + JOUR), *mots) == 0
    entamee = m.lire(sortie).to_pylist()[-1]
    with a_l_heure(pile + 9 * HEURE + MINUTE).en_fil() as ouverte, pytest.MonkeyPatch.context() as abimee:
        panne = ouverte.pannes.ajouter(Panne("valeurs", chemin="klines"))
        abimee.setattr(
            pannes, "abimer", lambda _, page: [b._replace(high=b.low - 1) if b.ts == pile else b for b in page]
        )
        assert telecharger(ouverte, sortie, (pile + 6 * HEURE, pile + JOUR), *mots) == 0, "ce qui est demandé est là"
        courante = m.Trou(pile + 9 * HEURE, pile + 10 * HEURE, m.A_VENIR)
        assert provisoires(sortie) == [m.Trou(pile, pile + HEURE, m.ECHEC), courante]
        assert entamee in m.lire(sortie).to_pylist()
        ouverte.pannes.retirer(panne)
        assert telecharger(ouverte, sortie, (pile + 6 * HEURE, pile + JOUR), *mots) == 0
        assert provisoires(sortie) == [courante]


def test_ce_qu_une_fiche_abimee_ne_dit_plus_est_provisoire(tmp_path: Path) -> None:
    """Ce qui suivait les bornes de la relance n'était plus dit, et `--verifier` l'accusait."""
    sortie, bornes = tmp_path / "s.csv", (HEURE_BOURSE - HEURE, HEURE_BOURSE + HEURE)
    with a_l_heure(HEURE_BOURSE).en_fil() as ouverte:
        assert telecharger(ouverte, sortie, bornes, "--inclure-bougie-courante") == 0
        lignes, fiche = m.lire(sortie), sortie.with_name("s.csv.fiche.json")
        fiche.write_text(fiche.read_text()[:-30])
        assert telecharger(ouverte, sortie, (bornes[0], HEURE_BOURSE - 20 * MINUTE)) == 0
        pile = HEURE_BOURSE - HEURE_BOURSE % MINUTE
        assert provisoires(sortie) == [m.Trou(pile - 19 * MINUTE, pile + MINUTE, m.A_VENIR)]
        assert m.lire(sortie).equals(lignes)
        assert telecharger(ouverte, sortie, bornes) == 0
        assert provisoires(sortie) == [m.Trou(pile, pile + MINUTE, m.A_VENIR)]


@pytest.fixture
def fixe() -> Iterator[Bourse]:
    """L'exchange embarqué, à une heure connue."""
    with Bourse(marche=marche_commun(), limites=False, maintenant_ms=HEURE_BOURSE).en_fil() as ouverte:
        yield ouverte


def test_un_flux_vivant_se_verifie_sans_faute_ni_verrou(tmp_path: Path) -> None:
    """Un CSV qui s'écrit, entrelacé, son journal à côté : lu sans l'attendre, et c'est dit."""
    for donnee in m.TYPES.values():
        chemin = tmp_path / f"{donnee.nom}.csv"
        with creer(chemin, donnee, flux=True) as ecrivain:
            for rang in range(NOMBRE):
                for symbole in ("ETH/USDT", "BTC/USDT"):
                    cle = SERIES[donnee.nom]._replace(symbole=symbole)
                    couvert = (instant(rang), instant(rang + 1))
                    lot = m.Lot(cle, table(donnee, [rangee(donnee, rang, symbole)]), [couvert], [])
                    ecrivain.ecrire(lot, m.Fiche(cle))
            octets = chemin.read_bytes()
            rapport = m.verifier(chemin)
            assert rapport.constats == []
            assert any("journal de reprise" in avertissement for avertissement in rapport.avertissements)
            with chemin.open("ab") as fichier:
                fichier.write(octets[-60:-20])  # la moitié d'un ajout
            assert m.verifier(chemin).constats == []
            with pytest.raises(m.SortieOccupee):
                remise_en_ordre.assainir_sortie(chemin)
            chemin.write_bytes(octets)
            ecrivain.finir()
        assert m.verifier(chemin).constats == []
        assert m.verifier(chemin).avertissements == []


# Réparer


SANS_RESEAU = (
    "--essais", "1", "--config-ccxt", json.dumps({"urls": {"api": {"public": "http://127.0.0.1:9"}}, "timeout": 300}),
)  # fmt: skip


def reparer(chemin: Path, bourse: Bourse | None = None, *mots: str, exchange: str = "binance") -> int:
    """`--verifier --reparer`, exchange embarqué ou sans réseau du tout."""
    connexion = SANS_RESEAU if bourse is None else commande(bourse, None, exchange=exchange)
    return m.principal([*connexion, "--verifier", str(chemin), "--reparer", "--journal", "warning", *mots])


def empreintes(dossier: Path) -> dict[str, tuple[bytes, int]]:
    fichiers = [f for f in dossier.iterdir() if f.suffix != ".verrou" and "corrompu" not in f.name]
    return {f.name: (f.read_bytes(), f.stat().st_mtime_ns) for f in fichiers}


@pytest.mark.parametrize("format_", FORMATS)
@pytest.mark.parametrize("donnee", m.TYPES.values(), ids=lambda donnee: donnee.nom)
def test_reparer_un_fichier_sain_n_ecrit_rien(format_: str, donnee: m.TypeDonnee, tmp_path: Path) -> None:
    chemin = ecrire(tmp_path / f"s{EXTENSIONS[format_]}", donnee)
    avant = empreintes(tmp_path)
    assert reparer(chemin) == 0
    assert empreintes(tmp_path) == avant


@pytest.mark.usefixtures("_lu_dans_ce_processus")
@pytest.mark.parametrize(
    ("nom", "abimer", "format_"),
    [
        (nom, abimer, f)
        for nom, nature, abimer, formats, _ in LIGNES
        for f in formats
        if nature in ("doublon", "desordre")
    ],
)
def test_doublons_et_desordre_se_reparent_sans_reseau(
    nom: str, abimer: Callable[[list[Rangee]], None], format_: str, tmp_path: Path
) -> None:
    donnee = m.TYPES[nom]
    chemin = ecrire(tmp_path / f"s{EXTENSIONS[format_]}", donnee)
    original, fiches, octets = m.lire(chemin), m.lire_fiches(chemin), chemin.read_bytes()
    rangees = [rangee(donnee, rang) for rang in range(NOMBRE)]
    abimer(rangees)
    recrire(chemin, donnee, rangees)
    assert reparer(chemin) == 0
    assert m.lire(chemin).equals(original)
    assert m.lire_fiches(chemin) == fiches
    assert format_ != "csv" or chemin.read_bytes() == octets


def evenements_a_reparer() -> Iterator[tuple[str, str, Callable[[list[Rangee]], None], str]]:
    """Chaque faute de chaque type, et chaque type dans chaque format : la réparation ne les mêle pas.

    Que la faute se trouve dans chaque format, `test_une_ligne_fautive_est_trouvee_a_son_instant` le prouve.
    """
    for nom in (nom for nom in m.TYPES if nom != "ohlcv"):
        siennes = [ligne for ligne in LIGNES if ligne[0] == nom]
        for rang, (_, nature, abimer, formats, _) in enumerate(siennes):
            yield nom, nature, abimer, formats[rang % len(formats)]


@pytest.mark.usefixtures("_lu_dans_ce_processus")
@pytest.mark.parametrize(
    ("nom", "nature", "abimer", "format_"),
    list(evenements_a_reparer()),
)
def test_un_evenement_ote_devient_un_trou_dit(
    nom: str, nature: str, abimer: Callable[[list[Rangee]], None], format_: str, tmp_path: Path
) -> None:
    """Rien ne le rendra : les autres lignes sont intactes, le trou est à son instant, code 3 (1 : le REST est muet)."""
    donnee = m.TYPES[nom]
    chemin = ecrire(tmp_path / f"s{EXTENSIONS[format_]}", donnee)
    rangees = [rangee(donnee, rang) for rang in range(NOMBRE)]
    abimer(rangees)
    recrire(chemin, donnee, rangees)
    code = reparer(chemin)
    saines = [rangee(donnee, rang) for rang in range(NOMBRE)]
    if nature == "impossible":
        assert code == (1 if nom in ("trades", "funding") else 3)  # open_interest : binance ne sert pas de 1m
        assert m.lire_fiches(chemin)[0].trous == [m.Trou(instant(20), instant(20) + 1, m.ECHEC)]
    if nature in ("impossible", "futur", "autre_serie"):
        del saines[20]
    assert m.lire(chemin).equals(table(donnee, saines))
    avant = empreintes(tmp_path)
    assert reparer(chemin) == code
    assert empreintes(tmp_path) == avant


MOTS = {"1m": ("--timeframe", "1m"), "deux": ("--symbols", "BTC/USDT,ETH/USDT", "--timeframe", "1h")}


@pytest.fixture(scope="module")
def sains(tmp_path_factory: pytest.TempPathFactory, _bourse_ouverte: Bourse) -> Callable[[str], Path]:
    """Le dossier d'une sortie saine d'un format, téléchargée une fois."""

    @functools.cache
    def produire(format_: str) -> Path:
        dossier = tmp_path_factory.mktemp("sain")
        sortie = dossier / f"s{EXTENSIONS[format_]}"
        assert telecharger(_bourse_ouverte, sortie, (DEBUT, DEBUT + 7 * JOUR), *MOTS["deux"]) == 0
        return dossier

    return produire


@pytest.fixture
def sain(tmp_path: Path, bourse: Bourse, sains: Callable[[str], Path]) -> Callable[[str], Path]:
    """Une sortie de l'exchange embarqué : deux symboles, une semaine."""

    def copier(format_: str) -> Path:
        shutil.copytree(sains(format_), tmp_path, dirs_exist_ok=True)
        bourse.requetes.clear()
        return tmp_path / f"s{EXTENSIONS[format_]}"

    return copier


def bougies_a_reparer() -> Iterator[tuple[Callable[[list[Rangee]], None], str]]:
    """Chaque nature de faute dans chaque format ; les autres valeurs d'une même nature, chacune dans l'un d'eux.

    Que chaque valeur se trouve dans chaque format, `test_une_ligne_fautive_est_trouvee_a_son_instant` le prouve.
    """
    vues: collections.Counter[str] = collections.Counter()
    for _, nature, abimer, formats, _ in (ligne for ligne in LIGNES if ligne[0] == "ohlcv"):
        rang = vues[nature]
        vues[nature] += 1
        for format_ in formats if rang == 0 else formats[rang % len(formats) :][:1]:
            yield abimer, format_


@pytest.mark.usefixtures("_lu_dans_ce_processus")
@pytest.mark.parametrize(("abimer", "format_"), list(bougies_a_reparer()))
def test_une_sortie_de_bougies_reparee_est_l_originale(
    abimer: Callable[[list[Rangee]], None], format_: str, sain: Callable[[str], Path], bourse: Bourse
) -> None:
    """Ligne pour ligne, fiche comprise ; en CSV, octet pour octet. Ce qui n'était pas abîmé n'est pas redemandé."""
    chemin = sain(format_)
    original, fiches, octets = m.lire(chemin), m.lire_fiches(chemin), chemin.read_bytes()
    rangees = m.lire(chemin).to_pylist()
    abimer(rangees)
    recrire(chemin, m.OHLCV, rangees)
    assert m.verifier(chemin).code == 4
    assert reparer(chemin, bourse) == 0
    assert m.lire(chemin).equals(original)
    assert m.lire_fiches(chemin) == fiches
    assert format_ != "csv" or chemin.read_bytes() == octets
    assert sum("klines" in requete.chemin for requete in bourse.requetes) <= 2
    avant = empreintes(chemin.parent)
    assert reparer(chemin) == 0
    assert empreintes(chemin.parent) == avant


@pytest.mark.parametrize("format_", ["csv", "parquet", "sqlite"])
def test_sans_reseau_ce_qui_manque_est_un_trou_inscrit(
    format_: str, sain: Callable[[str], Path], bourse: Bourse
) -> None:
    """L'exchange en panne : la sortie est saine, le trou dit, code 1 ; réparée ensuite, elle redevient l'originale."""
    chemin = sain(format_)
    original = m.lire(chemin)
    rangees = original.to_pylist()
    del rangees[30:40]
    recrire(chemin, m.OHLCV, rangees)
    assert reparer(chemin) == 1
    assert m.verifier(chemin).code == 0
    assert m.verifier(chemin).series[0].trous == {m.ECHEC: 1}
    assert reparer(chemin, bourse) == 0
    assert m.lire(chemin).equals(original)


@pytest.mark.parametrize("format_", ["csv.gz", "parquet", "sqlite"])
def test_un_fichier_illisible_est_mis_de_cote_puis_refait(
    format_: str, sain: Callable[[str], Path], bourse: Bourse
) -> None:
    chemin = sain("csv") if format_ == "csv.gz" else sain(format_)
    if format_ == "csv.gz":
        chemin = chemin.with_name("s.csv.gz")
        assert telecharger(bourse, chemin, (DEBUT, DEBUT + 7 * JOUR), *MOTS["deux"]) == 0
    original, fiches = m.lire(chemin), m.lire_fiches(chemin)
    octets = bytearray(chemin.read_bytes())
    if format_ == "sqlite":
        octets[len(octets) // 2 : len(octets) // 2 + 4096] = bytes(4096)
    elif format_ == "csv.gz":
        del octets[-200:]
    else:
        octets[len(octets) // 3 : len(octets) // 3 + 50] = bytes(50)
    chemin.write_bytes(octets)
    assert set(m.verifier(chemin).fautes) & {"illisible"}
    assert reparer(chemin, bourse) == 0
    assert m.lire(chemin).equals(original)
    assert m.lire_fiches(chemin) == fiches
    mis_de_cote = [f for f in chemin.parent.glob(f"{chemin.name}.corrompu-*") if "fiche" not in f.name]
    assert [f.read_bytes() for f in mis_de_cote] == [octets]


def test_une_base_a_plusieurs_tables_se_repare_toute(tmp_path: Path) -> None:
    """Une page nulle : chaque table garde ce qui s'en lit ; rien ne passe de l'une à l'autre."""
    chemin = tmp_path / "s.sqlite"
    for donnee in m.TYPES.values():
        ecrire(chemin, donnee)
    assert [serie.table for serie in m.verifier(chemin).series] == sorted(m.TYPES, key=list(m.TYPES).index)
    with contextlib.closing(sqlite3.connect(chemin)) as base, base:
        base.execute("UPDATE trades SET price = -1 WHERE timestamp = ?", (instant(20),))
        base.execute("UPDATE orderbook SET bids = '[]', asks = '[]' WHERE timestamp = ?", (instant(3),))
    assert m.verifier(chemin).fautes == {"impossible": 2}
    assert m.verifier(chemin, table="ticker").code == 0
    assert reparer(chemin) == 1  # le REST, muet, n'a pu redire le trade
    assert m.verifier(chemin).code == 0
    assert [m.lire(chemin, table=nom).num_rows for nom in m.TYPES] == [40, 39, 40, 39, 40, 40]


@pytest.mark.parametrize("ou", ["", "_intervalles_serie", "_trous_serie"])
@pytest.mark.parametrize("donnee", ["ohlcv", "trades"])
def test_une_base_aux_pages_nulles_garde_les_autres(donnee: str, ou: str, bourse: Bourse, tmp_path: Path) -> None:
    """Rangée par sa clé ou par son rowid : seules les lignes des pages perdues manquent ; d'un index, aucune."""
    chemin = tmp_path / "s.sqlite"
    assert telecharger(bourse, chemin, (DEBUT, DEBUT + 2 * 60 * MINUTE), "--donnee", donnee) == 0
    original, octets = m.lire(chemin), bytearray(chemin.read_bytes())
    with contextlib.closing(sqlite3.connect(chemin)) as base:
        try:
            lues = base.execute("SELECT pageno, pagetype, name FROM dbstat").fetchall()
        except sqlite3.OperationalError:
            pytest.skip("ce SQLite ne dit pas où sont ses pages")
    feuilles = [page for page, nature, nom in lues if nature == "leaf" and nom == f"{donnee}{ou}"]
    assert ou or len(feuilles) > 2
    perdue = feuilles[len(feuilles) // 2] - 1
    octets[perdue * 4096 : perdue * 4096 + 4096] = bytes(4096)
    chemin.write_bytes(octets)
    assert m.verifier(chemin).fautes.keys() == {"illisible"}
    # D'événements, une coupure a pu en ôter à la fin : elle est redemandée.
    assert reparer(chemin) == (0 if ou and donnee == "ohlcv" else 1)
    assert ou or original.num_rows // 2 < m.lire(chemin).num_rows < original.num_rows
    assert not ou or m.lire(chemin).num_rows == original.num_rows
    assert reparer(chemin, bourse) == 0
    assert m.lire(chemin).equals(original)
    assert m.verifier(chemin).code == 0


def effacer_la_page_de(chemin: Path, table: str) -> None:
    """Met à zéro la première page d'une table."""
    with contextlib.closing(sqlite3.connect(chemin)) as base:
        (page,) = base.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (table,)).fetchone()
    octets = bytearray(chemin.read_bytes())
    octets[(page - 1) * 4096 : page * 4096] = bytes(4096)
    chemin.write_bytes(octets)


@pytest.mark.parametrize("donnee", ["ohlcv", "trades"])
def test_une_base_sans_ses_intervalles_garde_ses_lignes(donnee: str, bourse: Bourse, tmp_path: Path) -> None:
    """La table des séries dit encore d'où elles viennent ; rien n'est plus tenu pour couvert : tout est redemandé."""
    chemin = tmp_path / "s.sqlite"
    assert telecharger(bourse, chemin, (DEBUT, DEBUT + 60 * MINUTE), "--donnee", donnee) == 0
    original, (avant,) = m.lire(chemin), m.lire_fiches(chemin)
    effacer_la_page_de(chemin, f"{donnee}_intervalles")
    assert m.verifier(chemin).fautes.keys() == {"illisible"}
    assert reparer(chemin) == 1
    assert m.lire(chemin).equals(original)
    assert m.lire_fiches(chemin)[0].couverts == []
    assert reparer(chemin, bourse) == 0
    (apres,) = m.lire_fiches(chemin)
    assert m.lire(chemin).equals(original)
    assert apres.marche_id == avant.marche_id
    assert m.oter(apres.couverts, avant.couverts) == []
    assert m.verifier(chemin).code == 0


def test_sans_son_origine_la_fiche_d_un_csv_est_accusee(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """C'est elle que nomment `--verifier` et `--reparer`, non les lignes, qui se lisent."""
    chemin = ecrire(tmp_path / "s.csv", m.OHLCV)
    voisine = chemin.with_name("s.csv.fiche.json")
    voisine.write_text(voisine.read_text().replace('"reel"', '"reeI"'))
    (constat,) = m.verifier(chemin).constats
    assert "s.csv.fiche.json » est abîmée, et ne dit plus d'où viennent les lignes de « s.csv »" in constat.phrase
    assert reparer(chemin) == 2
    dit = capsys.readouterr().err
    assert "s.csv.fiche.json » est abîmée" in dit
    assert "relancez la commande" in dit


def test_une_base_sans_ses_series_se_redemande(
    bourse: Bourse, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Rien ne dit plus d'où viennent ses lignes. Faire ce qui est dit marche, et l'autre table n'est pas perdue."""
    chemin, intervalle = tmp_path / "s.sqlite", (DEBUT, DEBUT + 60 * MINUTE)
    commandes = [("--donnee", "ohlcv"), ("--donnee", "trades")]
    for mots in commandes:
        assert telecharger(bourse, chemin, intervalle, *mots) == 0
    originaux = [m.lire_sortie(chemin, table=table) for table in ("ohlcv", "trades")]
    effacer_la_page_de(chemin, "ohlcv_series")
    avant = empreintes(tmp_path)
    assert reparer(chemin, bourse) == 2
    assert empreintes(tmp_path) == avant, "réparer une table sans l'autre l'aurait perdue"
    assert "Déplacez-le, puis relancez la commande" in capsys.readouterr().err
    for mots in commandes:
        assert telecharger(bourse, chemin, intervalle, *mots) == 0
    assert [m.lire_sortie(chemin, table=table) for table in ("ohlcv", "trades")] == originaux
    assert m.verifier(chemin).code == 0
    (cote,) = tmp_path.glob("s.sqlite.corrompu-*")
    assert cote.stat().st_size > 0


@pytest.mark.parametrize("format_", ["parquet", "feather", "sqlite"])
def test_illisible_et_sans_fiche_on_dit_quoi_faire(
    format_: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chemin = ecrire(tmp_path / f"s{EXTENSIONS[format_]}", m.OHLCV)
    octets = chemin.read_bytes()
    chemin.write_bytes(bytes(4096) + octets[4096:] if format_ == "sqlite" else octets[:-200])
    assert m.verifier(chemin).fautes == {"illisible": 1}
    avant = empreintes(tmp_path)
    assert reparer(chemin) == 2
    assert "relancez la commande" in capsys.readouterr().err
    assert empreintes(tmp_path) == avant


def test_un_disque_plein_laisse_l_ancien_contenu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for format_ in FICHIERS:
        chemin = ecrire(tmp_path / f"s{EXTENSIONS[format_]}", m.OHLCV)
        rangees = [rangee(m.OHLCV, rang) for rang in range(NOMBRE)]
        doubler(rangees)
        recrire(chemin, m.OHLCV, rangees)
        avant = chemin.read_bytes()
        with monkeypatch.context() as panne:
            panne.setattr("os.fsync", lambda _: (_ for _ in ()).throw(OSError(28, "plein")))
            assert reparer(chemin) == 1
        assert chemin.read_bytes() == avant
        assert reparer(chemin) == 0


def test_un_fichier_tenu_rend_75(tmp_path: Path) -> None:
    chemin = ecrire(tmp_path / "s.csv", m.OHLCV)
    verrou = m.Verrou(chemin)
    verrou.prendre()
    try:
        assert m.principal(["--verifier", str(chemin)]) == 0
        assert reparer(chemin) == 75
    finally:
        verrou.rendre()


@pytest.mark.couvrant(format_=une_seule, attente_s=une_seule)
@pytest.mark.parametrize("attente_s", [0.0, 0.15, 0.5])
@pytest.mark.parametrize("format_", ["csv", "parquet", "sqlite"])
def test_tue_pendant_la_reparation_puis_relance(
    format_: str, attente_s: float, sain: Callable[[str], Path], bourse: Bourse
) -> None:
    """`kill -9` n'importe quand : le fichier se lit, rien de sain n'est perdu, et la relance finit le travail."""
    chemin = sain(format_)
    original = m.lire(chemin)
    rangees = original.to_pylist()
    for rang in range(300, 10, -7):
        del rangees[rang]
    rangees[5]["close"] = -1.0
    recrire(chemin, m.OHLCV, rangees)
    bourse.latence_s = 0.05
    processus = condamner([*commande(bourse, None), "--verifier", str(chemin), "--reparer"])
    tuer(processus, lambda: bool(bourse.requetes), attente_s)
    assert m.lire(chemin).num_rows >= len(rangees) - 1, "une ligne saine est perdue"
    bourse.latence_s = 0.0
    assert reparer(chemin, bourse) == 0
    assert m.lire(chemin).equals(original)


def test_une_reparation_interrompue_dit_ce_qu_elle_a_ecrit(
    sain: Callable[[str], Path], bourse: Bourse, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """SIGTERM après le premier lot : la ligne finale compte ses lignes, au lieu de « rien d'écrit »."""
    chemin, prendre = sain("csv"), m.Execution.prendre
    rangees = m.lire(chemin).to_pylist()
    del rangees[200:210], rangees[100:110]
    recrire(chemin, m.OHLCV, rangees)

    def puis_le_signal(execution: m.Execution, copie: m.Copie, lot: m.Lot) -> None:
        prendre(execution, copie, lot)
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(m.Execution, "prendre", puis_le_signal)
    assert m.principal([*commande(bourse, None), "--verifier", str(chemin), "--reparer"]) == 143
    fin = capsys.readouterr().err.splitlines()[-1]
    assert "Interrompu, code 143 : " in fin
    assert int(fin.split("code 143 : ")[1].split()[0]) == m.lire(chemin).num_rows - len(rangees) > 0
    assert "rien d'écrit" not in fin


# La ligne de commande


def test_ce_qui_n_est_pas_a_nous_est_refuse(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    etranger = tmp_path / "autre.csv"
    etranger.write_text("a,b,c\n1,2,3\n")
    vide = tmp_path / "vide.sqlite"
    with contextlib.closing(sqlite3.connect(vide)) as base, base:
        base.execute("CREATE TABLE t (x)")
    for chemin, dit in ((tmp_path / "absent.csv", "n'existe pas"), (tmp_path, "n'est pas un fichier"),
                        (etranger, "n'est pas une sortie"), (vide, "sans table de données")):  # fmt: skip
        assert m.principal(["--verifier", str(chemin)]) == 2
        sortie = capsys.readouterr()
        assert dit in sortie.err
        assert sortie.out == ""


@pytest.mark.parametrize(
    ("mots", "dit"),
    [
        (("--symbole", "A/B", "--reparer"), "--reparer : ne va qu'avec --verifier"),
        (("--verifier", "x", "--simulation"), "--verifier : ne va pas avec --simulation"),
        (("--verifier", "x", "--lister", "exchanges"), "--verifier : ne va pas avec --lister"),
        (("--verifier", "x", "--bilan", "x"), "--bilan : c'est aussi --verifier"),
    ],
)
def test_les_options_qui_ne_vont_pas_ensemble(
    mots: tuple[str, ...], dit: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert m.principal(list(mots)) == 2
    assert dit in capsys.readouterr().err


def test_un_tube_ferme_n_est_pas_une_trace(tmp_path: Path) -> None:
    chemin = ecrire(tmp_path / "s.csv", m.OHLCV)
    recrire(chemin, m.OHLCV, [rangee(m.OHLCV, rang) | {"close": -1.0} for rang in range(NOMBRE)])
    processus = lancer(["--verifier", str(chemin)])
    assert processus.stdout is not None
    processus.stdout.close()
    assert processus.stderr is not None
    assert "Traceback" not in processus.stderr.read()
    processus.stderr.close()
    assert processus.wait(PLAFOND_S) == 4


def test_des_instants_fous_ne_font_pas_de_trace(tmp_path: Path) -> None:
    chemin = ecrire(tmp_path / "s.sqlite", m.OHLCV)
    with contextlib.closing(sqlite3.connect(chemin)) as base, base:
        base.execute("UPDATE ohlcv SET timestamp = 9000000000000000000 WHERE timestamp = ?", (instant(20),))
        base.execute("UPDATE ohlcv SET timestamp = -5 WHERE timestamp = ?", (instant(21),))
    rapport = m.verifier(chemin)
    assert rapport.fautes["futur"] == 2
    assert json.dumps(rapport.en_dict())
    assert verification.dire_rapport(rapport)


# N'importe quelle altération d'un CSV sain


@pytest.fixture(scope="module")
def bourse_longue() -> Iterator[Bourse]:
    with Bourse(limites=False).en_fil() as ouverte:
        yield ouverte


@pytest.fixture(scope="module")
def modele(tmp_path_factory: pytest.TempPathFactory, bourse_longue: Bourse) -> Path:
    """Un CSV sain de l'exchange embarqué, une journée de 1h pour deux symboles."""
    sortie = tmp_path_factory.mktemp("modele") / "s.csv"
    assert telecharger(bourse_longue, sortie, (DEBUT, DEBUT + 2 * JOUR), *MOTS["deux"]) == 0
    return sortie


IMPOSSIBLES = ("", "-1", "0", "nan", "inf", "abc", "1e999", '"')
alterations = st.one_of(
    st.tuples(st.just("doubler"), st.integers(0, 95), st.integers(0, 95)),
    st.tuples(st.just("oter"), st.integers(0, 95), st.integers(1, 60)),
    st.tuples(st.just("permuter"), st.integers(0, 95), st.integers(0, 95)),
    st.tuples(st.just("nombre"), st.integers(0, 95), st.tuples(st.integers(5, 8), st.sampled_from(IMPOSSIBLES))),
    st.tuples(
        st.just("repere"),
        st.integers(0, 95),
        st.tuples(st.integers(0, 4), st.sampled_from(["", "zz", "\\", "2024-01-01T00:00:01.000Z", "2024-13-01"])),
    ),
    st.tuples(st.just("couper"), st.integers(1, 90), st.just(0)),
    st.tuples(st.just("octets"), st.integers(0, 95), st.sampled_from([b"\xff", b"x,y", b"", b'"a', b"\x00"])),
)


def alterer(texte: bytes, quoi: str, rang: int, precision: Any) -> bytes:
    """Le CSV, altéré ; le même si l'altération n'en est pas une."""
    titre, *lignes = texte.splitlines(keepends=True)
    if quoi == "doubler":
        lignes.insert(precision, lignes[rang])
    elif quoi == "oter":
        del lignes[rang : rang + precision]
    elif quoi == "permuter":
        lignes[rang], lignes[precision] = lignes[precision], lignes[rang]
    elif quoi in ("nombre", "repere"):
        cellules = lignes[rang].rstrip(b"\n").split(b",")
        cellules[precision[0]] = precision[1].encode()
        lignes[rang] = b",".join(cellules) + b"\n"
    elif quoi == "octets":
        lignes[rang] = precision + b"\n"
    return b"".join([titre, *lignes])[: -rang if quoi == "couper" else None]


@given(alteration=alterations)
@settings(max_examples=36, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_toute_alteration_est_trouvee_et_reparee(
    alteration: tuple[str, int, Any], modele: Path, bourse_longue: Bourse, tmp_path: Path
) -> None:
    original = modele.read_bytes()
    chemin = tmp_path / "s.csv"
    for nom in ("s.csv", "s.csv.fiche.json"):
        shutil.copy2(modele.with_name(nom), tmp_path / nom)
    altere = alterer(original, *alteration)
    chemin.write_bytes(altere)
    attendu = 0 if altere == original else 4
    assert m.verifier(chemin).code == attendu
    assert reparer(chemin, bourse_longue) == 0
    symboles = set(m.lire(chemin)["symbole"].to_pylist())
    if symboles == {"BTC/USDT", "ETH/USDT"}:  # un symbole inventé, dans la bonne famille, reste : il est peut-être vrai
        assert chemin.read_bytes() == original
    assert m.verifier(chemin).code == 0


def test_deux_bougies_qui_se_contredisent_sont_relues(sain: Callable[[str], Path], bourse: Bourse) -> None:
    """Ni l'une ni l'autre n'est crue : c'est l'exchange qui tranche."""
    chemin = sain("csv")
    octets = chemin.read_bytes()
    rangees = m.lire(chemin).to_pylist()
    rangees.insert(21, rangees[20] | {"close": rangees[20]["close"] * 1.001})
    recrire(chemin, m.OHLCV, rangees)
    assert set(m.verifier(chemin).fautes) == {"doublon"}
    assert reparer(chemin, bourse) == 0
    assert chemin.read_bytes() == octets


@pytest.mark.parametrize("donnee", m.TYPES.values(), ids=lambda donnee: donnee.nom)
@pytest.mark.parametrize("format_", ["csv", "parquet"])
def test_le_journal_d_un_flux_tue_est_repris_par_la_reparation(
    format_: str, donnee: m.TypeDonnee, tmp_path: Path
) -> None:
    """Ni faute ni perte : le journal est fondu, la dernière ligne coupée ôtée."""
    chemin = tmp_path / f"s{EXTENSIONS[format_]}"
    ecrivain = creer(chemin, donnee, flux=True).ouvrir()
    for rang in range(NOMBRE):
        lot = m.Lot(SERIES[donnee.nom], table(donnee, [rangee(donnee, rang)]), [(instant(rang), instant(rang + 1))], [])
        ecrivain.ecrire(lot, m.Fiche(lot.cle))
    ecrivain.fermer()  # tué : sans `finir`
    if format_ == "csv":
        with chemin.open("ab") as fichier:
            fichier.write(b"binance,BTC/US")
    rapport = m.verifier(chemin)
    assert rapport.code == 0
    assert "journal de reprise" in str(rapport.avertissements)
    assert reparer(chemin) == 0
    assert m.lire(chemin).equals(table(donnee, [rangee(donnee, rang) for rang in range(NOMBRE)]))
    assert m.lire_fiches(chemin)[0].couverts == [(instant(0), instant(NOMBRE))]
    assert not chemin.with_name(f"{chemin.name}.journal").exists()
    assert m.verifier(chemin).avertissements == []


def abimer_le_debut(chemin: Path) -> None:
    octets = bytearray(chemin.read_bytes())
    octets[:3] = b"\xff\xfe\0"
    chemin.write_bytes(octets)


@pytest.mark.parametrize("donnee", ["ohlcv", "trades"])
@pytest.mark.parametrize("format_", FICHIERS)
def test_un_fichier_abime_garde_le_journal_d_une_execution_tuee(format_: str, donnee: str, tmp_path: Path) -> None:
    """Ses lignes restent ; le lot qui en taisait, déjà au fichier perdu, ne prouve plus rien de celles-là."""
    chemin, cle = tmp_path / f"s{EXTENSIONS[format_]}", SERIES[donnee]
    genre = m.TYPES[donnee]
    ecrire(chemin, genre)
    with creer(chemin, genre) as tue:
        for rangs in (range(20, 60), range(60, 80)):
            lignes = table(genre, [rangee(genre, rang) for rang in rangs])
            tue.ecrire(m.Lot(cle, lignes, [(instant(rangs[0]), instant(rangs[-1] + 1))], []), m.Fiche(cle))
    abimer_le_debut(chemin)
    remise_en_ordre.assainir_sortie(chemin)
    relue, (fiche,) = m.lire_sortie(chemin), m.lire_fiches(chemin)
    presents = {(i - DEBUT) // MINUTE for i in m.instants_de(relue)}
    assert relue.schema.equals(genre.schema)
    assert presents >= set(range(40, 80))
    assert presents >= {rang for rang in range(80) if m.croiser(fiche.couverts, [(instant(rang), instant(rang) + 1)])}
    assert m.croiser(fiche.couverts, [(instant(60), instant(80))]) == [(instant(60), instant(80))]
    assert m.verifier(chemin).code == 0
    assert not chemin.with_name(f"{chemin.name}.journal").exists()


def test_un_csv_abime_est_du_type_que_dit_sa_fiche(tmp_path: Path) -> None:
    chemin = ecrire(tmp_path / "s.csv", m.TRADES)
    abimer_le_debut(chemin)
    assert reparer(chemin) == 0  # ses lignes se lisent encore
    assert m.lire(chemin).schema.equals(m.TRADES.schema)
    assert m.lire_fiches(chemin)[0].cle == SERIES["trades"]


def test_reparer_une_table_d_une_base_abimee_garde_les_autres(tmp_path: Path) -> None:
    chemin = tmp_path / "s.sqlite"
    for nom in ("a", "b"):
        with creer(chemin, table=nom) as ecrivain:
            lignes = table(m.OHLCV, [rangee(m.OHLCV, rang) for rang in range(NOMBRE)])
            lot = m.Lot(SERIES["ohlcv"], lignes, [(instant(0), instant(NOMBRE))], [])
            ecrivain.ecrire(lot, m.Fiche(lot.cle))
            ecrivain.finir()
    avant = m.lire_sortie(chemin, table="b")
    effacer_la_page_de(chemin, "a")
    remise_en_ordre.assainir_sortie(chemin, "a")
    assert m.lire_sortie(chemin, table="b").equals(avant)
    assert m.lire_fiches(chemin, table="b")[0].couverts == [(instant(0), instant(NOMBRE))]
    assert m.verifier(chemin).code == 0


def test_une_ligne_otee_reste_un_echec_malgre_le_journal(tmp_path: Path) -> None:
    """Tuée, une exécution avait relu cet instant-là : son lot taisait la ligne, déjà écrite, qu'un autre a abîmée."""
    chemin = ecrire(tmp_path / "s.csv", m.TRADES)
    with creer(chemin, m.TRADES) as tue:
        lignes = table(m.TRADES, [rangee(m.TRADES, rang) for rang in range(20, 60)])
        tue.ecrire(m.Lot(EVENEMENTS, lignes, [(instant(20), instant(60))], []), m.Fiche(EVENEMENTS))
    rangees = [rangee(m.TRADES, rang) for rang in range(NOMBRE)]
    rangees[25]["price"] = -1.0
    recrire(chemin, m.TRADES, rangees)
    remise_en_ordre.assainir_sortie(chemin)
    assert m.lire_sortie(chemin).num_rows == 59
    (fiche,) = m.lire_fiches(chemin)
    assert m.croiser(fiche.couverts, [(instant(25), instant(25) + 1)]) == []
    assert m.verifier(chemin).code == 0


@pytest.mark.parametrize("format_", FICHIERS)
def test_tue_entre_la_reparation_et_le_journal(format_: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """La ligne abîmée est ôtée, le journal attend encore : il ne la fait pas croire à l'exécution suivante."""
    chemin = ecrire(tmp_path / f"s{EXTENSIONS[format_]}", m.TRADES)
    with creer(chemin, m.TRADES) as tue:
        lignes = table(m.TRADES, [rangee(m.TRADES, rang) for rang in range(20, 60)])
        tue.ecrire(m.Lot(EVENEMENTS, lignes, [(instant(20), instant(60))], []), m.Fiche(EVENEMENTS))
    rangees = [rangee(m.TRADES, rang) for rang in range(NOMBRE)]
    rangees[25]["price"] = -1.0
    recrire(chemin, m.TRADES, rangees)
    with monkeypatch.context() as mort:
        mort.setattr(m.SortieFichier, "rejouer_journal", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            remise_en_ordre.assainir_sortie(chemin)
    assert chemin.with_name(f"{chemin.name}.journal").exists()
    with creer(chemin, m.TRADES) as relance:
        relance.finir()
    assert m.lire_sortie(chemin).num_rows == 59
    (fiche,) = m.lire_fiches(chemin)
    assert m.croiser(fiche.couverts, [(instant(25), instant(25) + 1)]) == []
    assert m.verifier(chemin).code == 0
