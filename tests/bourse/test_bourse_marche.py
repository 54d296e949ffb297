"""Le marché simulé : agrégats exacts, accès direct, vie du marché, pannes, minutes vides, bougie en cours."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from itertools import pairwise, product
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from couverture import une_seule
from hypothesis import given, settings
from hypothesis import strategies as st

from bourse_locale import marche as marche_embarque
from bourse_locale.marche import (
    HEURE_MS,
    INSTRUMENTS_PAR_DEFAUT,
    JOUR_MS,
    MINUTE_MS,
    Instrument,
    Marche,
    agreger,
    fondre,
    fusionner,
    garnir,
    instant_ms,
    ouverture,
    reculer,
    suivante,
    texte_decimal,
    textes_decimaux,
)
from bourse_locale.serveur import Bourse

if TYPE_CHECKING:
    from bourse_locale.marche import NaturePrix, Pas


@pytest.fixture(autouse=True)
def _chacun_ses_totaux(monkeypatch: pytest.MonkeyPatch) -> None:
    """Deux marchés sont comparés : l'un ne lit pas ce que l'autre a résumé."""
    monkeypatch.setattr(marche_embarque, "totaux_de", lambda *_: {})


RACINE = Path(__file__).resolve().parents[2]
DEBUT = instant_ms("2024-03-04T00:00:00")


def btc(symbole: str = "BTC/USDT") -> Instrument:
    return Marche().instrument("binance", symbole)


@pytest.mark.parametrize("symbole", ["BTC/USDT", "DOGE/USDT", "BTC/USDT:USDT", "BTC/USD:BTC"])
@pytest.mark.parametrize("taux_vide", [0.0, 0.3])
def test_minute_est_l_agregat_exact_de_ses_trades(symbole: str, taux_vide: float) -> None:
    marche, instrument = Marche(taux_vide=taux_vide), btc(symbole)
    bougies = marche.bougies(instrument, MINUTE_MS, DEBUT - 2 * HEURE_MS, DEBUT + 10 * HEURE_MS)
    assert len(bougies) > 400
    for bougie in bougies:
        trades = marche.trades(instrument, bougie.ts, bougie.ts + MINUTE_MS)
        assert bougie == agreger(instrument, bougie.ts, trades)


@pytest.mark.couvrant(symbole=une_seule, pas=une_seule)
@pytest.mark.parametrize("symbole", ["BTC/USDT", "BTC/USD:BTC"])
@pytest.mark.parametrize(
    ("pas", "ancre"),
    [
        (3 * MINUTE_MS, 0),
        (HEURE_MS, 0),
        (12 * HEURE_MS, 0),
        (JOUR_MS, 0),
        (JOUR_MS, 16 * HEURE_MS),
        (3 * JOUR_MS, 0),
        ("semaine", 0),
        ("mois", 0),
    ],
)
def test_grande_bougie_est_l_agregat_exact_des_minutes(symbole: str, pas: Pas, ancre: int) -> None:
    marche, instrument = Marche(taux_vide=0.1), btc(symbole)
    fin = DEBUT + (70 * JOUR_MS if pas == "mois" else 15 * JOUR_MS)
    grandes = marche.bougies(instrument, pas, DEBUT, fin, ancre_ms=ancre)
    assert len(grandes) >= 2
    for grande in grandes:
        assert ouverture(pas, ancre, grande.ts) == grande.ts
        minutes = marche.bougies(instrument, MINUTE_MS, grande.ts, suivante(pas, ancre, grande.ts))
        assert grande == fondre(grande.ts, minutes)


def test_les_jours_resumes_ensemble_ne_se_melent_pas(monkeypatch: pytest.MonkeyPatch) -> None:
    """D'une panne ou d'une cotation à l'autre, un jour que ni l'une ni l'autre ne touche n'est résumé qu'une fois."""
    communs: dict[object, object] = {}
    monkeypatch.setattr(marche_embarque, "totaux_de", lambda *_: communs)
    fin = DEBUT + 14 * JOUR_MS
    for jour in (0, 4):
        for cotation in (DEBUT + jour * JOUR_MS, DEBUT + jour * JOUR_MS + 7 * MINUTE_MS):
            panne = (DEBUT + 6 * JOUR_MS - jour * MINUTE_MS, DEBUT + (8 + jour) * JOUR_MS)
            marche, instrument = Marche(pannes=[panne], taux_vide=0.3), replace(btc(), cotation_ms=cotation)
            for grande in marche.bougies(instrument, "semaine", DEBUT - 7 * JOUR_MS, fin):
                minutes = marche.bougies(instrument, MINUTE_MS, grande.ts, suivante("semaine", 0, grande.ts))
                assert grande == fondre(grande.ts, minutes)
    assert len(communs) == 11  # les jours 1 à 13, moins les deux de la plus courte panne


def test_secondes_sont_l_agregat_des_trades() -> None:
    marche, instrument = Marche(), btc()
    secondes = marche.bougies(instrument, 1000, DEBUT, DEBUT + 5 * MINUTE_MS)
    minutes = marche.bougies(instrument, MINUTE_MS, DEBUT, DEBUT + 5 * MINUTE_MS)
    assert sum(b.volume for b in secondes) == sum(b.volume for b in minutes)
    pleines = marche.bougies_pleines(instrument, 1000, DEBUT, DEBUT + 5 * MINUTE_MS)
    assert [b.ts for b in pleines] == list(range(DEBUT, DEBUT + 5 * MINUTE_MS, 1000))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 3 * 1440), st.integers(0, 2000), st.sampled_from([0.0, 0.4]))
def test_acces_direct_egale_lecture_suivie(depart: int, longueur: int, taux_vide: float) -> None:
    """Une fenêtre lue seule est un morceau exact de la série lue d'un trait."""
    toutes = Marche(taux_vide=taux_vide).bougies(btc(), MINUTE_MS, DEBUT, DEBUT + 5 * JOUR_MS)
    debut, fin = DEBUT + depart * MINUTE_MS, DEBUT + (depart + longueur) * MINUTE_MS
    seule = Marche(taux_vide=taux_vide).bougies(btc(), MINUTE_MS, debut, fin)
    assert seule == [b for b in toutes if debut <= b.ts < fin]


def test_deterministe_d_un_processus_a_l_autre() -> None:
    programme = (
        "from bourse_locale import Marche\n"
        "m = Marche(7, taux_vide=0.2); i = m.instrument('binance', 'ETH/USDT:USDT')\n"
        f"print(m.bougies(i, 60000, {DEBUT}, {DEBUT + JOUR_MS}), m.trades(i, {DEBUT}, {DEBUT + HEURE_MS}))"
    )
    rendus = {
        subprocess.run(
            [sys.executable, "-c", programme],
            cwd=RACINE,
            env={**os.environ, "PYTHONHASHSEED": graine},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for graine in ("1", "2")
    }
    assert len(rendus) == 1
    assert "Bougie(" in rendus.pop()


def test_graine_change_l_histoire() -> None:
    series = [Marche(graine).bougies(btc(), MINUTE_MS, DEBUT, DEBUT + HEURE_MS) for graine in (1, 2)]
    assert series[0] != series[1]


@pytest.mark.parametrize("taux_vide", [0.0, 0.25])
def test_identifiants_se_suivent_sans_trou(taux_vide: float) -> None:
    """De la cotation, par-dessus une panne et minuit, chaque identifiant vaut le précédent plus un."""
    cotation = DEBUT + 7 * HEURE_MS + 13 * MINUTE_MS
    instrument = replace(btc(), cotation_ms=cotation)
    panne = (cotation + 2 * HEURE_MS, cotation + 30 * HEURE_MS)
    marche = Marche(pannes=[panne], taux_vide=taux_vide)
    trades = marche.trades(instrument, 0, cotation + 3 * JOUR_MS)
    assert [t.id for t in trades] == list(range(1, len(trades) + 1))
    assert [t.ts for t in trades] == sorted(t.ts for t in trades)
    assert not [t for t in trades if panne[0] <= t.ts < panne[1]]
    cible = trades[len(trades) // 2]
    minute = marche.minute_du_trade(instrument, cible.id, cotation + 3 * JOUR_MS)
    assert minute <= cible.ts < minute + MINUTE_MS


def test_des_trades_partagent_la_meme_milliseconde() -> None:
    trades = Marche().trades(btc(), DEBUT, DEBUT + HEURE_MS)
    assert len({t.ts for t in trades}) < len(trades)
    assert {t.sens for t in trades} == {"buy", "sell"}


def test_rien_avant_la_cotation_ni_apres_la_fin() -> None:
    debut, fin = DEBUT + 90 * MINUTE_MS, DEBUT + 4 * HEURE_MS
    instrument = replace(btc(), cotation_ms=debut, fin_ms=fin)
    marche = Marche()
    bougies = marche.bougies(instrument, MINUTE_MS, 0, DEBUT + JOUR_MS)
    assert (bougies[0].ts, bougies[-1].ts) == (debut, fin - MINUTE_MS)
    heures = marche.bougies(instrument, HEURE_MS, 0, DEBUT + JOUR_MS)
    assert heures[0].ts == DEBUT + HEURE_MS
    assert heures[0].open == bougies[0].open
    assert marche.trades(instrument, fin, DEBUT + JOUR_MS) == []
    for nature in ("mark", "index"):
        derivees = marche.bougies(instrument, MINUTE_MS, 0, DEBUT + JOUR_MS, nature)
        assert [b.ts for b in derivees] == list(range(debut, fin, MINUTE_MS))


def test_cotation_ouvre_toujours_par_un_trade() -> None:
    for minute in range(0, 200, 7):
        instrument = replace(btc(), cotation_ms=DEBUT + minute * MINUTE_MS)
        premiere = Marche(taux_vide=0.9).bougies(instrument, MINUTE_MS, 0, DEBUT + JOUR_MS)[0]
        assert premiere.ts == instrument.cotation_ms


def test_minutes_vides_portees_a_la_cloture_precedente() -> None:
    marche, fin = Marche(taux_vide=0.5), DEBUT + JOUR_MS
    reelles = marche.bougies(btc(), MINUTE_MS, DEBUT, fin)
    pleines = marche.bougies_pleines(btc(), MINUTE_MS, DEBUT, fin)
    assert len(reelles) == 720
    assert [b.ts for b in pleines] == list(range(DEBUT, fin, MINUTE_MS))
    vraies = {b.ts for b in reelles}
    for avant, bougie in pairwise(pleines):
        if bougie.ts not in vraies:
            assert bougie[1:] == (avant.close,) * 4 + (0, 0, 0)


def test_panne_declaree_ne_rend_rien() -> None:
    panne = (DEBUT + HEURE_MS, DEBUT + 2 * HEURE_MS)
    marche = Marche(pannes=[panne], taux_vide=0.2)
    instants = [b.ts for b in marche.bougies_pleines(btc(), MINUTE_MS, DEBUT, DEBUT + 3 * HEURE_MS)]
    assert instants == [*range(DEBUT, panne[0], MINUTE_MS), *range(panne[1], DEBUT + 3 * HEURE_MS, MINUTE_MS)]
    heures = [b.ts for b in marche.bougies_pleines(btc(), HEURE_MS, DEBUT, DEBUT + 3 * HEURE_MS)]
    assert heures == [DEBUT, DEBUT + 2 * HEURE_MS]


def test_minute_vide_au_sortir_d_une_longue_panne() -> None:
    panne = (DEBUT - 3 * JOUR_MS, DEBUT)
    marche = Marche(pannes=[panne], taux_vide=0.9)
    premiere = marche.bougies_pleines(btc(), MINUTE_MS, DEBUT, DEBUT + MINUTE_MS)[0]
    if premiere.nombre == 0:
        avant = marche.trades(btc(), panne[0] - JOUR_MS, panne[0])[-1]
        assert premiere.close == avant.prix
    assert premiere.ts == DEBUT


@pytest.mark.parametrize("pas", [MINUTE_MS, HEURE_MS, JOUR_MS, "semaine", "mois"])
def test_bougie_en_cours_ne_compte_que_les_trades_passes(pas: Pas) -> None:
    marche, maintenant = Marche(), DEBUT + 9 * JOUR_MS + 5 * HEURE_MS + 31_234
    courante = marche.bougies(btc(), pas, DEBUT - 9 * JOUR_MS, maintenant + 1, maintenant_ms=maintenant)[-1]
    assert courante.ts == ouverture(pas, 0, maintenant)
    trades = marche.trades(btc(), courante.ts, maintenant + 1)
    assert courante == agreger(btc(), courante.ts, trades)
    fin = suivante(pas, 0, courante.ts)
    assert courante != marche.bougies(btc(), pas, courante.ts, fin)[0]
    close = marche.bougies(btc(), pas, courante.ts, fin)
    assert marche.bougies(btc(), pas, courante.ts, fin, maintenant_ms=fin) == close


@pytest.mark.parametrize("nature", ["mark", "index", "premiumIndex"])
def test_mark_et_index_continus_et_jamais_vides(nature: NaturePrix) -> None:
    marche = Marche(taux_vide=0.5, pannes=[(DEBUT, DEBUT + HEURE_MS)])
    bougies = marche.bougies(btc("BTC/USDT:USDT"), MINUTE_MS, DEBUT - HEURE_MS, DEBUT + JOUR_MS, nature)
    assert [b.ts for b in bougies] == list(range(DEBUT - HEURE_MS, DEBUT + JOUR_MS, MINUTE_MS))
    for avant, bougie in pairwise(bougies):
        assert bougie.open == avant.close
        assert bougie.low <= min(bougie.open, bougie.close) <= max(bougie.open, bougie.close) <= bougie.high


def test_bougies_bien_formees_pendant_des_annees() -> None:
    for instrument, annee in product(INSTRUMENTS_PAR_DEFAUT["binance"][:8], range(2021, 2025)):
        debut = instant_ms(f"{annee}-02-20T00:00:00")
        jours = Marche().bougies(instrument, JOUR_MS, debut, debut + 15 * JOUR_MS)
        assert len(jours) == 15
        for jour in jours:
            assert 0 < jour.low <= min(jour.open, jour.close) <= max(jour.open, jour.close) <= jour.high
            assert jour.volume > 0


def test_meme_symbole_deux_exchanges_sans_melange() -> None:
    marche = Marche()
    binance, bybit = marche.instrument("binance", "BTC/USD:BTC"), marche.instrument("bybit", "BTC/USD:BTC")
    une = marche.bougies(binance, MINUTE_MS, DEBUT, DEBUT + MINUTE_MS)[0]
    autre = marche.bougies(bybit, MINUTE_MS, DEBUT, DEBUT + MINUTE_MS)[0]
    assert une.volume_quote > 50 * autre.volume_quote


@given(st.integers(-(10**15), 10**15), st.integers(0, 12))
def test_texte_decimal_est_exact(valeur: int, decimales: int) -> None:
    texte = texte_decimal(valeur, decimales)
    assert Decimal(texte) == Decimal(valeur).scaleb(-decimales)
    assert textes_decimaux([valeur, 0], decimales) == [texte, texte_decimal(0, decimales)]


def test_semaines_du_lundi_et_mois_du_calendrier() -> None:
    for jours in range(0, 900, 17):
        ts = DEBUT + jours * JOUR_MS + 12_345
        lundi = datetime.fromtimestamp(ouverture("semaine", 0, ts) / 1000, UTC)
        assert (lundi.weekday(), lundi.hour) == (0, 0)
        mois = ouverture("mois", 0, ts)
        date = datetime.fromtimestamp(mois / 1000, UTC)
        assert (date.day, date.hour) == (1, 0)
        assert reculer("mois", 0, suivante("mois", 0, mois), 1) == mois
        assert reculer("mois", 0, mois, -25) == suivante("mois", 0, reculer("mois", 0, mois, -24))
    assert ouverture("mois", -8 * HEURE_MS, DEBUT) == instant_ms("2024-02-29T16:00:00")


def test_fusionner_reunit_les_intervalles() -> None:
    assert fusionner([(5, 7), (1, 3), (3, 4), (6, 9), (9, 9)]) == [(1, 4), (5, 9)]


def test_garnir_complete_sans_doublon() -> None:
    garnis = garnir(INSTRUMENTS_PAR_DEFAUT["binance"], 3000)
    assert len(garnis) == len({i.symbole for i in garnis}) == 3000


def test_symboles_unifies() -> None:
    symboles = {i.symbole for i in INSTRUMENTS_PAR_DEFAUT["binance"]}
    assert {"BTC/USDT", "BTC/USDT:USDT", "BTC/USD:BTC", "BTC/USDT:USDT-261225"} <= symboles
    with pytest.raises(KeyError, match="Symbole inconnu"):
        Marche().instrument("binance", "RIEN/USDT")


@pytest.mark.parametrize(
    ("maintenant", "echeance"),
    [("2026-12-25T07:59:59", "261225"), ("2026-12-25T08:00:00", "270625"), ("2031-01-15", "310627")],
)
def test_un_contrat_a_terme_suit_celui_qui_est_echu(maintenant: str, echeance: str) -> None:
    """Le dernier vendredi de juin ou de décembre : l'exchange embarqué en cote toujours un de chaque sous-type."""
    heure = instant_ms(maintenant)
    for nom in ("binance", "okx", "bybit"):
        cotes = Bourse((nom,), maintenant_ms=heure).protocoles[nom].instruments
        a_terme = [i for i in cotes if i.type_marche == "future"]
        assert [i.symbole for i in a_terme] == [f"BTC/USDT:USDT-{echeance}", f"BTC/USD:BTC-{echeance}"]
        assert all(i.cotation_ms <= heure < (i.fin_ms or 0) for i in a_terme)
