"""Un seul verdict : ce que `--verifier` dit fautif, la relance et `--reparer` le rendent tel qu'il était.

Une sortie saine de l'exchange embarqué, abîmée de plusieurs façons à la fois, est comparée à elle-même.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import re
import shutil
import sqlite3
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ligne_de_commande import EXTENSIONS, HEURE, HEURE_BOURSE, JOUR, MINUTE, commande, telecharger
from sorties_modeles import (
    BTC,
    ETH,
    contenu_de,
    couverts,
    creer,
    executer,
    fiche,
    instant,
    lot,
    lot_de,
    plage,
    recrire,
    remettre,
    restes,
)
from vrais_processus import mourir_a_chaque_geste

import module_ccxt_fr_v2 as m
from annexes_ccxt_fr import octets_douteux, remise_en_ordre
from bourse_locale import Bourse

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Rangee = dict[str, Any]
DEBUT = 1_704_067_200_000  # 2024-01-01
DEMANDES: dict[str, tuple[m.Intervalle, tuple[str, ...]]] = {
    "ohlcv": ((DEBUT, DEBUT + HEURE), ("--symbols", "BTC/USDT,ETH/USDT")),
    "trades": ((DEBUT, DEBUT + 5 * MINUTE), ("--symbols", "BTC/USDT,ETH/USDT", "--donnee", "trades")),
    "funding": (
        (DEBUT - 31 * JOUR, DEBUT),
        ("--symbols", "BTC/USDT:USDT,ETH/USDT:USDT", "--type-marche", "swap", "--donnee", "funding"),
    ),
}
VALEURS = {"ohlcv": "close", "trades": "price", "funding": "funding_rate"}
PAR = ("relance", "reparer")


@pytest.fixture(autouse=True)
def _lu_dans_ce_processus(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bien formé, un fichier récrit ne peut tuer personne : le lire à part n'apprendrait rien."""

    def lire(quoi: str, chemin: Path) -> str:
        octets_douteux.valider(quoi, chemin)
        return ""

    monkeypatch.setattr(octets_douteux, "lire_a_part", lire)


@pytest.fixture(scope="module")
def sains(tmp_path_factory: pytest.TempPathFactory, _bourse_ouverte: Bourse) -> Callable[[str, str], Path]:
    @functools.cache
    def produire(donnee: str, format_: str) -> Path:
        dossier = tmp_path_factory.mktemp("sain")
        bornes, mots = DEMANDES[donnee]
        assert telecharger(_bourse_ouverte, dossier / f"s{EXTENSIONS[format_]}", bornes, *mots) == 0
        return dossier

    return produire


@pytest.fixture
def sain(tmp_path: Path, bourse: Bourse, sains: Callable[[str, str], Path]) -> Callable[[str, str], Path]:
    """Une sortie saine, à deux séries."""

    def copier(donnee: str, format_: str) -> Path:
        shutil.copytree(sains(donnee, format_), tmp_path, dirs_exist_ok=True)
        bourse.requetes.clear()
        return tmp_path / f"s{EXTENSIONS[format_]}"

    return copier


def refaire(par: str, bourse: Bourse, chemin: Path, donnee: str) -> int:
    """La même commande, ou `--reparer` ; rend le code."""
    bornes, mots = DEMANDES[donnee]
    if par == "relance":
        return telecharger(bourse, chemin, bornes, *mots)
    return m.principal([*commande(bourse, None)[:4], "--verifier", str(chemin), "--reparer"])


def est_rendue(chemin: Path, originale: Any) -> None:
    lue = m.lire(chemin)
    sans_recu = [nom for nom in lue.column_names if nom != "recu"]
    assert lue.select(sans_recu).equals(originale.select(sans_recu))
    assert dict(m.verifier(chemin).fautes) == {}


# Chaque dégât en cache un autre : un compte égal, un voisin, une date


def oter_et_doubler(rangees: list[Rangee]) -> None:
    """Autant de lignes qu'avant."""
    del rangees[20]
    rangees.insert(30, dict(rangees[30]))


def oter_et_doubler_loin(rangees: list[Rangee]) -> None:
    del rangees[20]
    rangees.insert(2, dict(rangees[30]))


def mener_au_futur(rangees: list[Rangee]) -> None:
    rangees[20]["timestamp"] = 4_102_444_800_000


def effacer(*rangs: int) -> Callable[[list[Rangee]], None]:
    """Des lignes sans instant : rien ne dit où elles étaient, que leurs voisines."""

    def abimer(rangees: list[Rangee]) -> None:
        for rang in rangs:
            rangees[rang]["timestamp"] = None

    return abimer


def effacer_au_bord_d_un_symbole(rangees: list[Rangee]) -> None:
    bord = next(r for r, une in enumerate(rangees) if une["symbole"] != rangees[0]["symbole"])
    rangees[bord - 1]["timestamp"] = rangees[bord]["timestamp"] = None


def effacer_au_bord_et_oter(rangees: list[Rangee]) -> None:
    """La ligne illisible est de la première série ; de la seconde, il en manque une autre."""
    bord = next(r for r, une in enumerate(rangees) if une["symbole"] != rangees[0]["symbole"])
    rangees[bord - 1]["timestamp"] = None
    del rangees[bord + 10]


def changer_de_symbole_et_doubler(rangees: list[Rangee]) -> None:
    rangees[20]["symbole"] = "ZZZ/USDT"
    rangees.insert(30, dict(rangees[30]))


EVENEMENTS: dict[str, tuple[Callable[[list[Rangee]], None], tuple[str, ...]]] = {
    "ôté et doublé": (oter_et_doubler, ("csv", "parquet", "feather")),
    "ôté et doublé loin": (oter_et_doubler_loin, ("csv", "parquet", "feather")),
    "futur": (mener_au_futur, tuple(EXTENSIONS)),
    "première illisible": (effacer(0), ("csv", "feather")),
    "dernière illisible": (effacer(-1), ("csv", "parquet")),
    "bord d'un symbole": (effacer_au_bord_d_un_symbole, ("csv", "feather")),
    "bord d'un symbole, et ôté": (effacer_au_bord_et_oter, ("csv", "parquet")),
    "autre symbole et double": (changer_de_symbole_et_doubler, ("csv", "parquet")),
}


@pytest.mark.couvrant(abimer=id)
@pytest.mark.parametrize("par", PAR)
@pytest.mark.parametrize(
    ("abimer", "donnee", "format_"),
    [
        pytest.param(abimer, donnee, format_, id=f"{nom}-{donnee}-{format_}")
        for nom, (abimer, formats) in EVENEMENTS.items()
        for rang, format_ in enumerate(formats)
        for donnee in (("trades", "funding")[rang % 2],)
    ],
)
def test_aucun_evenement_n_est_perdu_en_silence(
    abimer: Callable[[list[Rangee]], None], donnee: str, format_: str, par: str,
    sain: Callable[[str, str], Path], bourse: Bourse,
) -> None:  # fmt: skip
    """Aucune grille ne dit qu'il manque : le compte, ou ses voisines."""
    chemin = sain(donnee, format_)
    originale = m.lire(chemin)
    rangees = originale.to_pylist()
    abimer(rangees)
    recrire(chemin, m.TYPES[donnee], rangees)
    assert m.verifier(chemin).code == 4
    assert refaire(par, bourse, chemin, donnee) == 0
    est_rendue(chemin, originale)


@pytest.mark.parametrize("par", PAR)
def test_un_instant_illisible_d_une_base(par: str, sain: Callable[[str, str], Path], bourse: Bourse) -> None:
    """Elle n'est plus rangée là où elle fut écrite : ses voisines ne sont plus les siennes."""
    chemin = sain("funding", "sqlite")
    originale = m.lire(chemin)
    with contextlib.closing(sqlite3.connect(chemin)) as base, base:
        base.execute("UPDATE funding SET timestamp = 'x' WHERE timestamp = ?", (DEBUT - 10 * JOUR,))
    assert refaire(par, bourse, chemin, "funding") == 0
    est_rendue(chemin, originale)


def mener_a(jours: int) -> Callable[[list[Rangee]], None]:
    """Une date abîmée : la ligne est ailleurs, sur la grille, vraisemblable."""

    def abimer(rangees: list[Rangee]) -> None:
        rangees[20]["timestamp"] = DEBUT + 20 * MINUTE + jours * JOUR

    return abimer


def contredire(rang: int) -> Callable[[list[Rangee]], None]:
    def abimer(rangees: list[Rangee]) -> None:
        rangees.insert(rang, rangees[20] | {"close": rangees[20]["close"] * 1.0001})

    return abimer


BOUGIES: dict[str, tuple[Callable[[list[Rangee]], None], tuple[str, ...]]] = {
    "menée plus loin": (mener_a(8), tuple(EXTENSIONS)),
    "menée avant la cotation": (mener_a(-9000), tuple(EXTENSIONS)),
    "contredite à côté": (contredire(21), ("csv", "parquet")),
    "contredite loin": (contredire(110), ("csv", "feather")),
}


@pytest.mark.couvrant(abimer=id)
@pytest.mark.parametrize("par", PAR)
@pytest.mark.parametrize(
    ("abimer", "format_"),
    [pytest.param(a, f, id=f"{nom}-{f}") for nom, (a, formats) in BOUGIES.items() for f in formats],
)
def test_une_bougie_fausse_n_est_pas_crue(
    abimer: Callable[[list[Rangee]], None], format_: str, par: str, sain: Callable[[str, str], Path], bourse: Bourse
) -> None:
    chemin = sain("ohlcv", format_)
    originale, fiches = m.lire(chemin), m.lire_fiches(chemin)
    rangees = originale.to_pylist()
    abimer(rangees)
    recrire(chemin, m.OHLCV, rangees)
    assert m.verifier(chemin).code == 4
    assert refaire(par, bourse, chemin, "ohlcv") == 0
    est_rendue(chemin, originale)
    assert m.lire_fiches(chemin) == fiches


def test_une_bougie_de_plus_est_redemandee(sain: Callable[[str, str], Path], bourse: Bourse) -> None:
    """Aucune place n'est vide : ce n'est pas une date abîmée, mais une ligne ajoutée ; l'exchange tranche."""
    chemin, voisin = sain("ohlcv", "csv"), (DEBUT + HEURE, DEBUT + HEURE + 10 * MINUTE)
    ajout = chemin.with_name("ajout.csv")
    assert telecharger(bourse, ajout, voisin, *DEMANDES["ohlcv"][1]) == 0
    rangees = m.lire(chemin).to_pylist() + m.lire(ajout).to_pylist()
    vraies = sorted(rangees, key=lambda une: (une["symbole"], une["timestamp"]))
    fausses = [une | ({"close": une["close"] * 1.0001} if rang == 65 else {}) for rang, une in enumerate(vraies)]
    recrire(chemin, m.OHLCV, fausses)
    assert set(m.verifier(chemin).fautes) == {"hors_intervalles"}
    assert refaire("reparer", bourse, chemin, "ohlcv") == 0
    assert m.lire(chemin).to_pylist() == vraies
    assert m.verifier(chemin).code == 0


@pytest.mark.parametrize(
    "requete",
    [
        "UPDATE ohlcv SET high = 9e999 WHERE symbole = 'BTC/USDT' AND timestamp = {t}",
        "UPDATE ohlcv SET timestamp = timestamp + 7200000 WHERE symbole = 'BTC/USDT' AND timestamp = {t}",
    ],
    ids=["infini", "là où l'autre série est couverte"],
)
def test_une_relance_ne_dit_pas_zero_sur_une_base_abimee(
    requete: str, sain: Callable[[str, str], Path], bourse: Bourse
) -> None:
    chemin = sain("ohlcv", "sqlite")
    suite = (DEBUT + HEURE, DEBUT + 4 * HEURE)
    assert telecharger(bourse, chemin, suite, "--symbole", "ETH/USDT") == 0
    originale = m.lire(chemin)
    with contextlib.closing(sqlite3.connect(chemin)) as base, base:
        assert base.execute(requete.format(t=DEBUT + 20 * MINUTE)).rowcount == 1
    assert m.verifier(chemin).code == 4
    assert refaire("relance", bourse, chemin, "ohlcv") == 0
    est_rendue(chemin, originale)


@pytest.mark.parametrize(
    ("requete", "reste"),
    [
        ("UPDATE ohlcv SET timestamp = {32} WHERE timestamp = {10}", {"dans_un_trou": 1}),
        ("UPDATE ohlcv_trous SET raison = 'sans_transactioo' WHERE debut = {50}", {}),
        ("UPDATE ohlcv_intervalles SET fin = {33} WHERE debut = {0}", {}),
        ("UPDATE ohlcv_trous SET debut = {25} WHERE debut = {30}", {}),
    ],
    ids=["menée dans un trou", "raison", "couvert et trou", "trou sur des lignes"],
)
def test_une_base_qui_se_contredit_est_redemandee(requete: str, reste: dict[str, int], tmp_path: Path) -> None:
    """Le compte de ses lignes tombe juste : c'est là où elles sont, et ce que dit sa fiche, qui ne vont pas."""
    chemin = tmp_path / "a.sqlite"
    trous = [m.Trou(*plage(30, 35), m.ECHEC), m.Trou(*plage(50, 52), m.SANS_TRANSACTION)]
    pleines = sorted({*range(60)} - {*range(30, 35), 50, 51})
    executer(chemin, m.OHLCV, lot(pleines, couverts=[plage(0, 30), plage(35, 60)], trous=trous))
    assert m.verifier(chemin).code == 0
    with contextlib.closing(sqlite3.connect(chemin)) as base, base:
        assert base.execute(re.sub(r"{(\d+)}", lambda lu: str(instant(int(lu[1]))), requete)).rowcount == 1
    assert m.verifier(chemin).code == 4
    executer(chemin, m.OHLCV)
    assert dict(m.verifier(chemin).fautes) == reste


@pytest.mark.parametrize(("timeframe", "ecart"), [("1M", 1), ("1M", JOUR), ("3M", 31 * JOUR)])
def test_un_mois_qui_n_ouvre_plus_le_premier_se_voit_a_la_relance(timeframe: str, ecart: int, tmp_path: Path) -> None:
    """Aucun pas fixe ne le dirait, et le compte tombe juste."""
    chemin, cle = tmp_path / "a.sqlite", BTC._replace(timeframe=timeframe)
    pas = m.timeframe_de("binance", timeframe)
    ouvertures = [pas.avancer(DEBUT, rang) for rang in range(12)]
    lignes = lot(range(12), cle).lignes.set_column(4, "timestamp", pa.array(ouvertures, pa.timestamp("ms", "UTC")))
    executer(chemin, m.OHLCV, m.Lot(cle, lignes, [(ouvertures[0], pas.avancer(DEBUT, 12))], []))
    with contextlib.closing(sqlite3.connect(chemin)) as base, base:
        assert not remise_en_ordre._est_douteuse(creer(chemin), base)  # type: ignore[arg-type]
        base.execute("UPDATE ohlcv SET timestamp = timestamp + ? WHERE timestamp = ?", (ecart, ouvertures[5]))
    assert "hors_grille" in m.verifier(chemin).fautes
    with creer(chemin) as ecrivain:
        assert ecrivain.fiches[cle].couverts != [(ouvertures[0], pas.avancer(DEBUT, 12))]
    assert m.lire(chemin).num_rows == 11


@pytest.mark.parametrize("par", PAR)
@pytest.mark.parametrize("format_", EXTENSIONS)
def test_ce_qui_est_ote_est_garde_a_cote(
    format_: str, par: str, sain: Callable[[str, str], Path], bourse: Bourse
) -> None:
    """Une série qu'un autre y a mise n'est pas à nous ; elle n'est pas à jeter non plus."""
    chemin = sain("ohlcv", format_)
    originale = m.lire(chemin)
    autres = [une | {"symbole": "ZZZ/USDT"} for une in originale.to_pylist()[:60]]
    recrire(chemin, m.OHLCV, originale.to_pylist() + autres)
    assert refaire(par, bourse, chemin, "ohlcv") == 0
    est_rendue(chemin, originale)
    (cote,) = chemin.parent.glob(f"{chemin.name}.corrompu-*")
    cote = cote.rename(cote.with_name(f"cote{chemin.suffix}"))
    assert sum(une["symbole"] == "ZZZ/USDT" for une in m.lire(cote).to_pylist()) == 60


@pytest.mark.parametrize("format_", EXTENSIONS)
def test_la_bougie_courante_qui_suit_un_manque_n_en_est_pas_un(format_: str, tmp_path: Path) -> None:
    """Gardée sur demande, elle suit le prouvé, ou le trou qui le finit : réparer la disait dans un trou, code 4."""
    chemin, debut = tmp_path / f"s{EXTENSIONS[format_]}", HEURE_BOURSE - HEURE
    with Bourse(maintenant_ms=HEURE_BOURSE, acceleration=0.0, limites=False).en_fil() as figee:
        mots = ("--date-debut", str(debut), "--inclure-bougie-courante")
        assert m.principal(commande(figee, chemin, None, *mots)) == 0
        originale = m.lire(chemin)
        rangees = originale.to_pylist()
        del rangees[-2]
        recrire(chemin, m.OHLCV, rangees)
        assert m.principal([*commande(figee, None)[:4], "--verifier", str(chemin), "--reparer"]) == 0
    est_rendue(chemin, originale)
    assert m.lire_fiches(chemin)[0].trous == []


def test_un_titre_abime_n_emporte_pas_les_lignes(sain: Callable[[str, str], Path], bourse: Bourse) -> None:
    """Aucune n'est redemandée : la fiche dit qu'elles sont à nous."""
    chemin = sain("ohlcv", "csv")
    originale, fiches = m.lire(chemin), m.lire_fiches(chemin)
    chemin.write_bytes(chemin.read_bytes().replace(b"exchange", b"exchangf", 1))
    assert m.verifier(chemin).code == 4
    assert refaire("reparer", bourse, chemin, "ohlcv") == 0
    assert bourse.compter("klines") == 0
    est_rendue(chemin, originale)
    assert m.lire_fiches(chemin) == fiches


def test_une_base_sans_sa_table_est_du_type_de_sa_fiche(sain: Callable[[str, str], Path], bourse: Bourse) -> None:
    chemin = sain("trades", "sqlite")
    originale = m.lire(chemin)
    with contextlib.closing(sqlite3.connect(chemin)) as base, base:
        base.execute("DROP TABLE trades")
    assert m.verifier(chemin).code == 4
    assert refaire("reparer", bourse, chemin, "trades") == 0
    est_rendue(chemin, originale)


def test_reparer_redemande_les_faits_d_une_histoire_aussi(bourse: Bourse, tmp_path: Path) -> None:
    """Des règlements, qu'un fait disait, à tort, d'avant la cotation."""
    chemin, (debut, fin) = tmp_path / "f.csv", DEMANDES["funding"][0]
    assert telecharger(bourse, chemin, (debut, fin), *DEMANDES["funding"][1]) == 0
    originale, (fiche, _) = m.lire(chemin), m.lire_fiches(chemin)
    dire_avant_la_cotation(chemin, originale, fiche, debut + 3 * JOUR)
    assert m.verifier(chemin).code == 0
    assert refaire("reparer", bourse, chemin, "funding") == 0
    assert m.lire(chemin).equals(originale)
    assert m.lire_fiches(chemin)[0].trous == []


def test_un_fait_que_l_exchange_ne_sert_plus_en_reste_un(tmp_path: Path) -> None:
    """Okx ne remonte qu'à trois mois : il ne redit pas une cotation d'avant eux, et ne la dément pas."""
    chemin, servi = tmp_path / "t.csv", HEURE_BOURSE - 90 * JOUR
    with Bourse(("okx",), maintenant_ms=HEURE_BOURSE, acceleration=0.0, limites=False).en_fil() as bourse:
        mots = ("--donnee", "trades")
        assert telecharger(bourse, chemin, (servi - HEURE, servi + HEURE), *mots, exchange="okx") == 3
        (fiche,) = m.lire_fiches(chemin)
        (trou,) = fiche.trous
        fiche = dataclasses.replace(fiche, couverts=[(trou.debut, fiche.couverts[-1][1])], trous=[])
        dire_avant_la_cotation(chemin, m.lire(chemin), fiche, trou.fin)
        (avant,) = m.lire_fiches(chemin)
        assert [t.raison for t in avant.trous] == [m.AVANT_COTATION]
        reparation = [*commande(bourse, None, exchange="okx")[:4], "--verifier", str(chemin), "--reparer"]
        assert m.principal(reparation) == 0
        assert m.lire_fiches(chemin) == [avant]


def dire_avant_la_cotation(chemin: Path, lignes: pa.Table, fiche: m.Fiche, jusqua: int) -> None:
    """Récrit la série de cette fiche sans ses lignes d'avant, que la fiche dit d'avant la cotation."""
    gardees = [
        instant >= jusqua or symbole != fiche.cle.symbole
        for instant, symbole in zip(m.instants_de(lignes), lignes["symbole"].to_pylist(), strict=True)
    ]
    trou = m.Trou(fiche.couverts[0][0], jusqua, m.AVANT_COTATION)
    fiches = {une.cle: une for une in m.lire_fiches(chemin)}
    fiches[fiche.cle] = dataclasses.replace(fiche, trous=[trou])
    with m.lecteur_de(chemin, None).tenue() as sortie:
        remise_en_ordre.remplacer(sortie, lignes.filter(pa.array(gardees)), fiches)


# Ce qu'une remise en ordre pourrait elle-même abîmer


def abimer_la_fiche(chemin: Path) -> None:
    voisine = chemin.with_name(f"{chemin.name}.fiche.json")
    voisine.write_text(voisine.read_text().replace("somme", "sonne"))


@pytest.mark.parametrize("comment", ["abîmée", "perdue"])
@pytest.mark.parametrize("par", PAR)
def test_sans_fiche_le_journal_n_accuse_pas_les_series_qu_il_tait(tmp_path: Path, par: str, comment: str) -> None:
    """D'une exécution tuée, il ne dit que la série qu'elle prolongeait ; l'autre est à nous aussi."""
    chemin = tmp_path / "a.csv"
    executer(chemin, m.OHLCV, lot(range(10)), lot(range(10), ETH))
    with creer(chemin) as tue:
        tue.ecrire(lot(range(10, 20)), fiche())
    if comment == "abîmée":
        abimer_la_fiche(chemin)
    else:
        chemin.with_name("a.csv.fiche.json").unlink()
    assert "autre_serie" not in m.verifier(chemin).fautes
    if par == "reparer":
        remise_en_ordre.assainir_sortie(chemin)
    executer(chemin, m.OHLCV)
    assert m.lire(chemin)["symbole"].to_pylist() == ["BTC/USDT"] * 20 + ["ETH/USDT"] * 10
    assert not list(tmp_path.glob("a.csv.corrompu-*"))


@pytest.mark.parametrize("titre", ["échangées", "échangées, renommées", "entre guillemets"])
def test_des_colonnes_deplacees_ne_sont_pas_lues_a_l_ancienne_place(tmp_path: Path, titre: str) -> None:
    """Un prix lu pour une quantité passerait pour vrai : tout est redemandé, l'original reste à côté."""
    chemin = tmp_path / "a.csv"
    executer(chemin, m.TRADES, lot_de(m.TRADES, range(10)))
    rangs = [m.TRADES.noms.index(nom) for nom in ("price", "amount")]
    lignes = [ligne.split(",") for ligne in chemin.read_text().splitlines()]
    for ligne in lignes:
        ligne[rangs[0]], ligne[rangs[1]] = ligne[rangs[1]], ligne[rangs[0]]
    if titre == "échangées, renommées":
        lignes[0][rangs[0]], lignes[0][rangs[1]] = "quantite", "prix"
    elif titre == "entre guillemets":
        lignes[0] = [f'"{mot}"' for mot in lignes[0]]
    chemin.write_text("\n".join(map(",".join, lignes)) + "\n")
    avant = chemin.read_bytes()
    assert set(m.verifier(chemin).fautes) == {"colonnes"}
    remise_en_ordre.assainir_sortie(chemin)
    assert m.lire(chemin).num_rows == 0
    assert [une.couverts for une in m.lire_fiches(chemin)] == [[]]
    (cote,) = tmp_path.glob("a.csv.corrompu-*")
    assert cote.read_bytes() == avant


def test_une_fiche_abimee_ne_rend_pas_reel_ce_qui_est_invente(tmp_path: Path) -> None:
    """Elle dit encore que ses lignes le sont ; refaite, elle le dit de toutes les séries."""
    inventee = dataclasses.replace(fiche(), origine=m.HORS_LIGNE)
    for par in PAR:
        chemin = tmp_path / f"{par}.csv"
        with creer(chemin, origine=m.HORS_LIGNE) as ecrivain:
            for cle in (BTC, ETH):
                ecrivain.ecrire(lot(range(10), cle), dataclasses.replace(inventee, cle=cle))
            ecrivain.finir()
        abimer_la_fiche(chemin)
        if par == "reparer":
            remise_en_ordre.assainir_sortie(chemin)
        else:
            with creer(chemin, origine=m.HORS_LIGNE) as ecrivain:
                ecrivain.ecrire(lot(range(10)), inventee)
                ecrivain.finir()
        assert [une.origine for une in m.lire_fiches(chemin)] == [m.HORS_LIGNE] * 2


def test_une_base_refaite_l_est_de_toutes_ses_tables(tmp_path: Path) -> None:
    """Deux tables viennent d'être remises en ordre : leur connexion tient encore la base mise de côté."""
    chemin = tmp_path / "a.sqlite"
    for table in "abc":
        executer(chemin, m.OHLCV, lot(range(10)), table=table)
    with contextlib.closing(sqlite3.connect(chemin)) as base, base:
        base.execute("ALTER TABLE a ADD COLUMN note TEXT")
        for table in "bc":
            base.execute(f"UPDATE {table} SET high = -1 WHERE timestamp = ?", (instant(3),))  # noqa: S608
    remise_en_ordre.assainir_sortie(chemin)
    for table, nombre in {"a": 0, "b": 9, "c": 9}.items():
        (une,) = m.lire_fiches(chemin, table=table)
        assert m.lire_sortie(chemin, table=table).num_rows == nombre
        assert m.croiser(une.couverts, [plage(3, 4)]) == []
        assert une.couverts == ([] if table == "a" else [plage(0, 3), plage(4, 10)])


def test_un_fait_dementi_par_le_journal_n_ote_pas_sa_ligne(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tuée entre le fichier et sa fiche, qui dit encore le fait : le journal, qui attend, en sait plus qu'elle."""
    chemin, vide = tmp_path / "a.csv", [m.Trou(*plage(10, 12), m.SANS_TRANSACTION)]
    executer(chemin, m.OHLCV, lot(range(10), couverts=[plage(0, 12)], trous=vide))
    with creer(chemin) as tue, monkeypatch.context() as mort:
        tue.ecrire(lot([10, 11]), fiche())
        mort.setattr(m.SortieFichier, "ecrire_fiche", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            tue.finir()
    assert dict(m.verifier(chemin).fautes) == {}
    executer(chemin, m.OHLCV)
    assert restes(chemin) == set()
    assert m.lire(chemin).num_rows == 12
    assert [(une.couverts, une.trous) for une in m.lire_fiches(chemin)] == [([plage(0, 12)], [])]


def test_une_ligne_otee_n_emporte_pas_les_faits_d_une_histoire(tmp_path: Path) -> None:
    chemin, cle = tmp_path / "f.csv", m.CleSerie("binance", "BTC/USDT:USDT")
    cotation = m.Trou(DEBUT - JOUR, DEBUT, m.AVANT_COTATION)
    reglements = lot_de(m.FUNDING, range(10), cle, couverts=[(DEBUT - JOUR, DEBUT + 10)], trous=[cotation])
    executer(chemin, m.FUNDING, reglements)
    rangees = m.lire(chemin).to_pylist()
    rangees[5]["funding_rate"] = None
    recrire(chemin, m.FUNDING, rangees)
    remise_en_ordre.assainir_sortie(chemin)
    (une,) = m.lire_fiches(chemin)
    assert une.trous == [cotation, m.Trou(DEBUT + 5, DEBUT + 6, m.ECHEC)]


def test_une_fiche_abimee_n_est_pas_a_relire_jusqu_au_bout_du_calendrier(tmp_path: Path) -> None:
    """Une date abîmée ne dit pas jusqu'où la série allait."""
    chemin = tmp_path / "t.csv"
    executer(chemin, m.TRADES, lot_de(m.TRADES, range(10)))
    rangees = m.lire(chemin).to_pylist()
    rangees[5]["timestamp"] = 4_102_444_800_000
    recrire(chemin, m.TRADES, rangees)
    abimer_la_fiche(chemin)
    remise_en_ordre.assainir_sortie(chemin)
    (une,) = m.lire_fiches(chemin)
    assert une.trous[-1].fin < m.maintenant_ms() + 2 * JOUR


def test_une_ligne_dans_un_trou_ne_se_repare_pas_sans_reseau(tmp_path: Path) -> None:
    """Ajoutée à la main, elle est à relire : d'ici là, le fichier n'a pas à changer chaque fois."""
    chemin = tmp_path / "a.csv"
    executer(chemin, m.OHLCV, lot(range(10)))
    recrire(chemin, m.OHLCV, lot(range(12)).lignes.to_pylist())
    assert remise_en_ordre.assainir_sortie(chemin)
    assert m.lire_fiches(chemin)[0].trous == [m.Trou(*plage(10, 12), m.ECHEC)]
    avant = chemin.stat().st_mtime_ns
    assert not remise_en_ordre.assainir_sortie(chemin)
    assert chemin.stat().st_mtime_ns == avant
    assert dict(m.verifier(chemin).fautes) == {"dans_un_trou": 2}


# Tuée à n'importe quel instant


@pytest.mark.parametrize(
    ("format_", "flux", "degat", "par"),
    [
        ("csv", False, "ôtée", "relance"),
        ("csv", True, "ôtée", "reparer"),
        ("csv", False, "abîmée", "reparer"),
        ("parquet", False, "abîmée", "relance"),
    ],
)
def test_tuee_une_remise_en_ordre_ne_fait_rien_croire(
    tmp_path: Path, format_: str, flux: bool, degat: str, par: str
) -> None:
    """Le journal d'une exécution tuée disait couverte la ligne ôtée : fondu ou non, il ne le fait plus croire."""
    chemin, donnee = tmp_path / "sain" / f"a{EXTENSIONS[format_]}", m.TRADES
    executer(chemin, donnee, lot_de(donnee, range(30)))
    with creer(chemin, donnee, flux=flux) as tue:
        for rangs in (range(15, 60), range(70, 90), range(60, 70)):
            tue.ecrire(unique := lot_de(donnee, rangs), m.Fiche(unique.cle))
    rangees = lues_telles_quelles(chemin)
    rangees[21]["price"] = -1.0
    recrire(chemin, donnee, rangees if degat == "abîmée" else rangees[:21] + rangees[22:])
    absent = m.instants_de(lot_de(donnee, [21]).lignes)[0]
    copies = mourir_a_chaque_geste(chemin, tmp_path / "tuees", functools.partial(remettre, par), "trades", flux)
    assert len(copies) > 5
    for copie in copies:
        executer(copie, donnee, flux=flux)
        assert m.lire_sortie(copie).num_rows == 89
        assert m.croiser(couverts(copie, unique.cle), [(absent, absent + 1)]) == []
        assert {nom for nom in restes(copie) if "corrompu" not in nom} == set()


def lues_telles_quelles(chemin: Path) -> list[Rangee]:
    """Les lignes du fichier, dans son ordre."""
    return [rangee for lues in creer(chemin, m.TRADES).tableau.tables() for rangee in lues.to_pylist()]  # type: ignore[attr-defined]


@pytest.mark.parametrize("format_", ["csv", "parquet"])
@pytest.mark.parametrize("par", PAR)
def test_un_journal_en_attente_n_excuse_pas_un_trade_ote_du_fichier(par: str, format_: str, tmp_path: Path) -> None:
    """Une autre ligne abîmée fait récrire le fichier, et son compte : après, rien ne dirait plus qu'il en manque."""
    chemin, donnee = tmp_path / f"a{EXTENSIONS[format_]}", m.TRADES
    executer(chemin, donnee, lot_de(donnee, range(30)))
    with creer(chemin, donnee) as tue:
        tue.ecrire(unique := lot_de(donnee, range(40, 60)), m.Fiche(unique.cle))
    rangees = lues_telles_quelles(chemin)
    rangees[5]["price"] = -1.0
    recrire(chemin, donnee, rangees[:21] + rangees[22:])
    absent = m.instants_de(lot_de(donnee, [21]).lignes)[0]
    remettre(par, chemin, "trades")
    assert m.lire(chemin).num_rows == 48
    assert m.croiser(couverts(chemin, unique.cle), [(absent, absent + 1)]) == []


def test_tuee_une_relance_ne_croit_pas_couvert_ce_qu_un_autre_a_recrit(tmp_path: Path) -> None:
    """La ligne abîmée ôtée, le fichier est scellé de nouveau : plus rien ne dirait qu'un autre l'a récrit."""
    chemin, donnee = tmp_path / "sain" / "a.parquet", m.TRADES
    executer(chemin, donnee, unique := lot_de(donnee, range(30)))
    rangees = lues_telles_quelles(chemin)
    rangees[5]["price"] = -1.0
    recrire(chemin, donnee, rangees)
    for copie in mourir_a_chaque_geste(chemin, tmp_path / "tuees", functools.partial(remettre, "relance"), "trades"):
        executer(copie, donnee)
        assert couverts(copie, unique.cle) == []


@pytest.mark.parametrize("par", PAR)
def test_tuee_une_remise_en_ordre_n_attend_rien_d_un_journal_vide(par: str, tmp_path: Path) -> None:
    """Un flux tué le laisse : les bougies ôtées du fichier n'y sont pas."""
    chemin = tmp_path / "sain" / "a.csv"
    executer(chemin, m.OHLCV, lot(range(30)))
    chemin.with_name("a.csv.journal").touch()
    rangees = m.lire(chemin).to_pylist()
    rangees[5]["open"] = -1.0
    recrire(chemin, m.OHLCV, rangees[:21] + rangees[22:])
    for copie in mourir_a_chaque_geste(chemin, tmp_path / "tuees", functools.partial(remettre, par), "ohlcv"):
        executer(copie, m.OHLCV)
        assert m.croiser(couverts(copie), [plage(5, 6), plage(21, 22)]) == []


@pytest.mark.parametrize("par", PAR)
def test_tuee_une_fiche_abimee_ne_rend_pas_reel_ce_qui_est_invente(tmp_path: Path, par: str) -> None:
    """Absente un instant, elle ne dirait plus que ses lignes sont inventées. L'abîmée reste à côté."""
    chemin = tmp_path / "sain" / "a.csv"
    with creer(chemin, origine=m.HORS_LIGNE) as ecrivain:
        ecrivain.ecrire(lot(range(10)), dataclasses.replace(fiche(), origine=m.HORS_LIGNE))
        ecrivain.finir()
    abimer_la_fiche(chemin)
    abimee = chemin.with_name("a.csv.fiche.json").read_bytes()
    copies = mourir_a_chaque_geste(chemin, tmp_path / "tuees", functools.partial(remettre, par), "ohlcv")
    for copie in copies:
        assert creer(copie, origine=m.REEL).origine_a_ecarter() == m.HORS_LIGNE
    (cote,) = copie.parent.glob("a.csv.fiche.json.corrompu-*")
    assert cote.read_bytes() == abimee
    assert [une.origine for une in m.lire_fiches(copie)] == [m.HORS_LIGNE]


def test_tuee_la_reprise_d_un_flux_invente_ne_le_rend_pas_reel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tué avant sa première fiche, son journal seul dit que ses lignes sont inventées ; la suivante le dit aussi."""
    monkeypatch.setattr(m.SortieFichier, "_entretenir", lambda _: None)
    chemin = tmp_path / "sain" / "a.csv"
    inventee = dataclasses.replace(fiche(), origine=m.HORS_LIGNE)
    with creer(chemin, flux=True, origine=m.HORS_LIGNE) as tue:
        tue.ecrire(lot(range(10)), inventee)
    copies = mourir_a_chaque_geste(chemin, tmp_path / "tuees", functools.partial(remettre, "relance"), "ohlcv", True)
    for copie in copies:
        assert creer(copie, origine=m.REEL).origine_a_ecarter() == m.HORS_LIGNE
    assert [une.origine for une in m.lire_fiches(copie)] == [m.HORS_LIGNE]


def test_tuee_la_refonte_d_une_base_ne_perd_ni_ne_double_rien(tmp_path: Path) -> None:
    """D'une base illisible, ce qui s'en lit est à sa place ou dans la neuve, jamais entre les deux."""
    chemin = tmp_path / "sain" / "a.sqlite"
    for table, donnee in (("a", m.OHLCV), ("b", m.TICKER)):
        executer(chemin, donnee, lot_de(donnee, range(40)), table=table)
    with contextlib.closing(sqlite3.connect(chemin)) as base, base:
        base.execute("ALTER TABLE a ADD COLUMN note TEXT")
    with creer(chemin, m.TICKER, table="b") as tue:
        tue.ecrire(lot_de(m.TICKER, range(40, 60)), m.Fiche(m.CleSerie("binance", "BTC/USDT")))
        copies = mourir_a_chaque_geste(chemin, tmp_path / "tuees", functools.partial(remettre, "reparer"), "ticker")
    assert len(copies) > 5
    attendues = lot_de(m.TICKER, range(60)).lignes.to_pylist()
    for rang, copie in enumerate(copies):
        if rang % 2:
            executer(copie, m.TICKER, table="b")
            assert list(contenu_de(copie, m.TICKER, table="b").values()) == attendues
        remise_en_ordre.assainir_sortie(copie)
        assert list(contenu_de(copie, m.TICKER, table="b").values()) == attendues
        assert m.verifier(copie).code == 0
        assert any("corrompu" in nom for nom in restes(copie))
        assert {nom for nom in restes(copie) if "corrompu" not in nom} == set()


def test_tuee_la_refonte_d_un_fichier_ne_perd_ni_ne_double_rien(tmp_path: Path) -> None:
    """Titre abîmé, et un journal qui attend : les lignes de l'un et de l'autre finissent dans le neuf."""
    chemin = tmp_path / "sain" / "a.csv"
    executer(chemin, m.TICKER, lot_de(m.TICKER, range(40)))
    with creer(chemin, m.TICKER) as tue:
        tue.ecrire(lot_de(m.TICKER, range(40, 60)), m.Fiche(m.CleSerie("binance", "BTC/USDT")))
    chemin.write_bytes(chemin.read_bytes().replace(b"exchange", b"exchangf", 1))
    for copie in mourir_a_chaque_geste(chemin, tmp_path / "tuees", functools.partial(remettre, "reparer"), "ticker"):
        remise_en_ordre.assainir_sortie(copie)
        assert m.lire(copie).to_pylist() == lot_de(m.TICKER, range(60)).lignes.to_pylist()
        assert m.verifier(copie).code == 0
        assert {nom for nom in restes(copie) if "corrompu" not in nom} == set()


@pytest.mark.parametrize("format_", ["csv", "parquet"])
@pytest.mark.parametrize(("colonne", "abime"), [("exchange", "ainance"), ("timeframe", "1h"), ("prix", "kast")])
def test_sans_fiche_la_premiere_ligne_ne_dit_pas_seule_ce_qu_est_le_fichier(
    colonne: str, abime: str, format_: str, sain: Callable[[str, str], Path], bourse: Bourse
) -> None:
    """Son nom est abîmé, et la fiche perdue : c'est le grand nombre qui est cru ; la relance refuse, sans y toucher."""
    chemin = sain("ohlcv", format_)
    originale = m.lire(chemin)
    rangees = originale.to_pylist()
    rangees[0][colonne] = abime
    perdre_la_fiche(chemin, rangees)
    assert m.verifier(chemin).fautes == {"autre_serie": 1}
    avant = chemin.read_bytes()
    assert refaire("relance", bourse, chemin, "ohlcv") == 2
    assert chemin.read_bytes() == avant
    remise_en_ordre.assainir_sortie(chemin)
    assert m.lire(chemin).equals(originale[1:])
    assert refaire("relance", bourse, chemin, "ohlcv") == 0
    est_rendue(chemin, originale)


def test_sans_fiche_ni_grand_nombre_rien_n_est_ote(tmp_path: Path) -> None:
    chemin = tmp_path / "a.csv"
    executer(chemin, m.OHLCV, lot(range(2)))
    rangees = m.lire(chemin).to_pylist()
    rangees[0]["exchange"] = "bjnance"
    perdre_la_fiche(chemin, rangees)
    avant = chemin.read_bytes()
    assert m.verifier(chemin).code == 4
    with pytest.raises(m.ErreurDemande, match="rien ne dit"):
        remise_en_ordre.assainir_sortie(chemin)
    assert (chemin.read_bytes(), restes(chemin)) == (avant, set())


def perdre_la_fiche(chemin: Path, rangees: list[Rangee]) -> None:
    """Récrit ces lignes par un outil qui ne la garde pas."""
    lignes = pa.Table.from_pylist(rangees, schema=m.OHLCV.schema)
    if chemin.suffix == ".parquet":
        pq.write_table(lignes, chemin)
    else:
        recrire(chemin, m.OHLCV, rangees)
        chemin.with_name(f"{chemin.name}.fiche.json").unlink()


def test_cent_mille_faits_ne_font_pas_cent_mille_requetes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """L'ouverture d'une base d'un marché rare, et d'un qui ne l'est pas, en font autant."""
    requetes = dict[int, int]()
    for faits in (1, 400):
        chemin = tmp_path / f"{faits}.sqlite"
        vides = [m.Trou(*plage(2 * rang, 2 * rang + 1), m.SANS_TRANSACTION) for rang in range(faits)]
        pleines = sorted({*range(800)} - {2 * rang for rang in range(faits)})
        executer(chemin, m.OHLCV, lot(pleines, couverts=[plage(0, 800)], trous=vides))
        dites = list[str]()
        connecter = m.SortieSqlite._connecter

        def temoin(sortie: Any, requete: str, dites: list[str] = dites, connecter: Any = connecter) -> Any:
            base = connecter(sortie, requete)
            base.set_trace_callback(dites.append)
            return base

        with monkeypatch.context() as guet:
            guet.setattr(m.SortieSqlite, "_connecter", temoin)
            creer(chemin).ouvrir().fermer()
        requetes[faits] = len(dites)
    assert requetes[1] == requetes[400] > 5
