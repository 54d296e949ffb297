"""Le flux, promesse par promesse : les vraies classes ccxt.pro, l'exchange embarqué, l'oracle de son marché."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import dataclasses
import itertools
import logging
import random
from typing import TYPE_CHECKING, Any

import pytest
from attente import attendre_ici
from carnets_partiels import exiger_jusqu_ou_il_est_su, immobiliser_les_ordres
from flux_suivi import MINUTE, Recolte, chacun, egales, jouer, niveaux, options, ouvrir, recolter
from ligne_de_commande import HEURE_BOURSE

import module_ccxt_fr_v2 as m
from bourse_locale.binance.flux import FluxBinance
from bourse_locale.carnet import PAS_CARNET_MS, carnet
from bourse_locale.marche import INSTRUMENTS_PAR_DEFAUT, Marche
from bourse_locale.okx.flux import FluxOkx
from bourse_locale.pannes import Panne

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bourse_locale import Bourse
    from bourse_locale.session import Session

EXCHANGES = ("binance", "okx", "bybit", "kraken")
LES_QUATRE = [(exchange,) for exchange in EXCHANGES]
DEUX = "BTC/USDT,ETH/USDT"


@pytest.fixture(autouse=True)
def _rien_sur_stderr(capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Ni asyncio, ni ccxt, ni aiohttp n'écrivent quoi que ce soit."""
    caplog.set_level(logging.DEBUG, m.journal.name)
    yield
    assert capfd.readouterr().err == ""
    etrangers = [r.getMessage() for r in caplog.records if r.name != m.journal.name and r.levelno >= logging.WARNING]
    assert etrangers == []


@pytest.fixture
def fils(monkeypatch: pytest.MonkeyPatch) -> list[m.Fil]:
    """Les fils des flux ouverts pendant le test."""
    vus: list[m.Fil] = []
    demarrer = m.Flux.demarrer

    def noter(flux: m.Flux) -> None:
        vus.extend(flux.fils)
        demarrer(flux)

    monkeypatch.setattr(m.Flux, "demarrer", noter)
    return vus


# --- Ce que rend le flux est ce que sert le REST


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_tous_les_canaux_egalent_l_oracle(exchange: str) -> None:
    """Deux symboles au comptant : bougies, trades, trades en bougies (des minutes sont vides), tickers, carnets."""

    async def essai() -> None:
        async with ouvrir(exchange, marche=Marche(3, taux_vide=0.3), acceleration=300) as bourse:
            communes: dict[str, Any] = {"duree": 3, "grace": 30}
            bougies, trades, omises, reportees, tickers, carnets = await asyncio.gather(
                recolter(bourse, exchange, DEUX, stream="ohlcv", **communes),
                recolter(bourse, exchange, DEUX, stream="trades", **communes),
                recolter(bourse, exchange, DEUX, stream="trades", trades_vers_ohlcv=True, **communes),
                recolter(
                    bourse, exchange, DEUX, stream="trades", trades_vers_ohlcv=True, bougies_vides="reporter",
                    **communes,
                ),
                recolter(bourse, exchange, DEUX, stream="ticker", **communes),
                recolter(bourse, exchange, DEUX, stream="orderbook", profondeur=5, **communes),
            )
            for symbole in DEUX.split(","):
                bougies.exiger_bougies(symbole, au_moins=10)
                trades.exiger_trades(symbole, au_moins=20)
                omises.exiger_bougies(symbole, au_moins=6, plates=False)
                assert any(t.raison == m.SANS_TRANSACTION for t in omises.trous(symbole))
                exiger_suite(reportees, symbole)
                exiger_tickers(tickers, symbole)
                exiger_carnets(carnets, symbole, profondeur=5)

    jouer(essai())


def exiger_tickers(recolte: Recolte, symbole: str) -> None:
    """Des lignes croissantes, une par instant."""
    lignes = recolte.lignes(symbole)
    assert len(lignes) >= 3
    instants = [ligne["timestamp"] for ligne in lignes]
    assert instants == sorted(set(instants))
    assert all(ligne["last"] > 0 for ligne in lignes)
    if lignes[0]["exchange"] == "binance":  # d'office, ccxt suit un groupe par `miniTicker`, qui tait les deux côtés
        assert all(ligne["bid"] <= ligne["ask"] for ligne in lignes)


def exiger_carnets(recolte: Recolte, symbole: str, profondeur: int) -> None:
    """Ni croisé ni vide, à la profondeur demandée, dans l'ordre."""
    lignes = recolte.lignes(symbole)
    assert len(lignes) >= 3
    for ligne in lignes:
        achats, ventes = ([n["price"] for n in ligne[cote]] for cote in ("bids", "asks"))
        assert len(achats) == len(ventes) == profondeur
        assert achats == sorted(achats, reverse=True)
        assert ventes == sorted(ventes)
        assert achats[0] < ventes[0]
    cles = [(ligne["timestamp"], ligne["nonce"] or 0) for ligne in lignes[1:]]  # kraken ne date pas son premier carnet
    assert cles == sorted(set(cles))


def exiger_carnets_vrais(recolte: Recolte, symbole: str, profondeur: int) -> None:
    """Chaque ligne est l'état de l'exchange à son instant ; sans date, à moins d'une latence. Chacune une fois."""
    cles = collections.Counter((ligne["timestamp"], ligne["nonce"]) for ligne in recolte.lignes(symbole))
    assert len(cles) >= 3
    sans_date = recolte.exchange == "kraken"  # son premier état : il peut tomber sur l'instant d'un autre
    assert sans_date or max(cles.values()) == 1
    instrument = recolte.bourse.protocoles[recolte.exchange].par_symbole[symbole]
    fausses = []
    for ligne in recolte.lignes(symbole):
        lue = [[float(n["price"]) for n in ligne[cote]] for cote in ("bids", "asks")]
        vrais = []
        for retard in (0, PAS_CARNET_MS):
            etat = carnet(recolte.bourse.marche, instrument, ligne["timestamp"] - retard, profondeur)
            vrais.append([[float(instrument.texte_prix(n.prix)) for n in cote] for cote in (etat.bids, etat.asks)])
        if lue not in vrais[: 2 if sans_date or ligne["timestamp"] % PAS_CARNET_MS else 1]:
            fausses.append((ligne["timestamp"], lue, vrais))
    assert fausses == []


def exiger_suite(recolte: Recolte, symbole: str) -> None:
    """Une bougie par minute, sans trou : les minutes vides sont plates à la clôture d'avant."""
    lues = recolte.bougies(symbole)
    instants = sorted(lues)
    assert instants == list(range(instants[0], instants[-1] + 1, MINUTE))
    vraies = recolte.attendues(symbole, instants[0], instants[-1] + 1, plates=False)
    for avant, instant in itertools.pairwise(instants):
        cloture = lues[avant][3]
        assert egales(lues[instant], vraies.get(instant, (cloture, cloture, cloture, cloture, 0.0)))


CONTRATS = [
    ("binance", "BTC/USDT:USDT"),
    ("binance", "BTC/USD:BTC"),
    ("okx", "BTC/USDT:USDT"),
    ("okx", "BTC/USD:BTC"),
    ("bybit", "BTC/USDT:USDT"),
    ("bybit", "BTC/USD:BTC"),
]


def test_le_volume_d_un_contrat_est_dans_l_unite_du_rest() -> None:
    """Bougies du WebSocket (sauf binance inverse, qui y compte en contrats) et bougies faites de trades."""

    async def essai(exchange: str, symbole: str) -> None:
        # Douze flux, sur une machine chargée : la grâce vaut une demi-seconde réelle.
        async with ouvrir(exchange, acceleration=120) as bourse:
            communes: dict[str, Any] = {"duree": 4.4, "grace": 60, "type_marche": "swap"}
            suites = [recolter(bourse, exchange, symbole, stream="trades", trades_vers_ohlcv=True, **communes)]
            if (exchange, symbole) != ("binance", "BTC/USD:BTC"):
                suites.append(recolter(bourse, exchange, symbole, stream="ohlcv", **communes))
            for recolte in await asyncio.gather(*suites):
                recolte.exiger_bougies(symbole, au_moins=4)

    jouer(chacun(essai, CONTRATS))


def test_un_appel_groupe_sert_tous_les_symboles_par_une_connexion() -> None:
    """Ccxt n'y rend qu'un symbole par appel : aucune bougie n'est perdue pour autant."""
    symboles = "BTC/USDT,ETH/USDT,SOL/USDT,XRP/USDT,DOGE/USDT,ADA/USDT,LTC/USDT,LINK/USDT,BTC/USDC,ETH/USDC,SOL/USDC"

    async def essai(exchange: str) -> None:
        async with ouvrir(exchange, acceleration=240) as bourse:
            recolte = await recolter(bourse, exchange, symboles, stream="ohlcv", duree=2.8, grace=50)
            for symbole in symboles.split(","):
                recolte.exiger_bougies(symbole, au_moins=4)
            assert len(bourse.connexions) == 1

    jouer(chacun(essai, [("binance",), ("okx",), ("bybit",)]))


def test_un_groupe_refuse_est_suivi_un_par_un(caplog: pytest.LogCaptureFixture) -> None:
    """Mêmes données, dit une fois."""

    async def essai(stream: str) -> None:
        async with ouvrir("binance", acceleration=120) as bourse:
            bourse.pannes.ajouter(Panne("ws_groupe_refuse", n=1))
            recolte = await recolter(bourse, "binance", DEUX, stream=stream, duree=3, grace=10)
            for symbole in DEUX.split(","):
                if stream == "ohlcv":
                    recolte.exiger_bougies(symbole, au_moins=3)
                else:
                    recolte.exiger_trades(symbole, au_moins=8)

    jouer(chacun(essai, [("ohlcv",), ("trades",)]))
    dits = [ligne for ligne in niveaux(caplog.records) if "abonnement groupé refusé" in ligne]
    assert sorted(ligne.partition(" ")[0] for ligne in dits) == ["ohlcv", "trades"]


# --- Coupures


COUPURES = [
    ("binance", "ohlcv", "reset"),
    ("kraken", "ohlcv", "propre"),
    ("okx", "trades", "propre"),
    ("bybit", "trades", "reset"),
    ("kraken", "trades", "reset"),
    ("binance", "agreges", "propre"),
    ("okx", "agreges", "reset"),
]


def test_sept_minutes_de_coupure_sont_comblees_une_fois() -> None:
    """La connexion tombe, l'exchange vit sept minutes sans nous : le REST les donne, chacune une fois, sans trou."""

    async def essai(exchange: str, forme: str, maniere: str) -> None:
        async with ouvrir(exchange, acceleration=120) as bourse:

            minutes = 2 if exchange == "bybit" else 7  # bybit ne sert que les soixante derniers trades

            async def scenario() -> None:
                await asyncio.sleep(1.3)
                bourse.couper(exchange, maniere)
                bourse.avancer(minutes * MINUTE)

            recolte = await recolter(
                bourse, exchange, DEUX, scenario, stream="ohlcv" if forme == "ohlcv" else "trades", duree=3, grace=15,
                trades_vers_ohlcv=forme == "agreges",
            )  # fmt: skip
            for symbole in DEUX.split(","):
                if forme == "trades":
                    recolte.exiger_trades(symbole, au_moins=25)
                else:
                    recolte.exiger_bougies(symbole, au_moins=9)
                assert [t for t in recolte.trous(symbole) if t.raison != m.SANS_TRANSACTION] == []

    jouer(chacun(essai, COUPURES))


def test_deux_ruptures_rapprochees_sont_comblees_toutes_les_deux() -> None:
    """La deuxième coupure vient pendant que la première se relit."""

    async def essai() -> None:
        async with ouvrir("binance", acceleration=120) as bourse:

            async def scenario() -> None:
                await asyncio.sleep(1.0)
                for attente in (0.45, 0.4, 0.0):
                    bourse.couper("binance")
                    bourse.avancer(3 * MINUTE)
                    await asyncio.sleep(attente)

            trades, bougies = await asyncio.gather(
                recolter(bourse, "binance", DEUX, scenario, stream="trades", duree=3.5, grace=15),
                recolter(bourse, "binance", DEUX, stream="ohlcv", duree=3.5, grace=15),
            )
            for symbole in DEUX.split(","):
                trades.exiger_trades(symbole, au_moins=60)
                bougies.exiger_bougies(symbole, au_moins=10)

    jouer(essai())


def test_une_trame_abimee_ne_tue_pas_le_flux(caplog: pytest.LogCaptureFixture) -> None:
    """Chez ccxt, la boucle de réception meurt sans un mot : ici, on se reconnecte, et rien ne manque."""

    async def essai(exchange: str) -> None:
        async with ouvrir(exchange, acceleration=120) as bourse:
            bourse.pannes.ajouter(Panne("ws_trame_abimee", fois=1, sauter=8))
            recolte = await recolter(bourse, exchange, DEUX, stream="ohlcv", duree=2.5, grace=15)
            for symbole in DEUX.split(","):
                recolte.exiger_bougies(symbole, au_moins=3)
            assert len(bourse.connexions) >= 2

    jouer(chacun(essai, LES_QUATRE))
    assert sum("flux coupé" in ligne for ligne in niveaux(caplog.records)) >= 4


def test_un_symbole_refuse_est_nomme_et_les_autres_servis(caplog: pytest.LogCaptureFixture) -> None:
    """Okx coupe tout le monde, kraken ne répond jamais, binance rejette un numéro que nul n'attend."""

    async def essai(exchange: str) -> None:
        async with ouvrir(exchange, acceleration=120) as bourse:
            bourse.pannes.ajouter(Panne("ws_abonnement_refuse", symbole="ETH/USDT"))
            recolte = await recolter(bourse, exchange, "BTC/USDT,ETH/USDT,SOL/USDT", stream="ohlcv", duree=6, grace=15)
            for symbole in ("BTC/USDT", "SOL/USDT"):
                recolte.exiger_bougies(symbole, au_moins=4)
            assert recolte.lignes("ETH/USDT") == []

    jouer(chacun(essai, LES_QUATRE))
    refus = [ligne for ligne in niveaux(caplog.records) if "abonnement refusé" in ligne]
    assert len(refus) == 4
    assert all(ligne.startswith("ETH/USDT") for ligne in refus)


def test_tous_les_symboles_refuses_finissent_le_flux() -> None:
    """Rien ne court plus : `suivre` s'arrête bien avant sa durée."""

    async def essai() -> None:
        async with ouvrir("okx", acceleration=120) as bourse:
            bourse.pannes.ajouter(Panne("ws_abonnement_refuse"))
            debut = asyncio.get_running_loop().time()
            recolte = await recolter(bourse, "okx", DEUX, stream="trades", duree=60)
            assert asyncio.get_running_loop().time() - debut < 20
            assert recolte.lots == []

    jouer(essai())


@pytest.mark.parametrize("symboles", ["BTC/USDT", DEUX])
def test_un_symbole_deja_servi_n_est_jamais_abandonne(symboles: str, caplog: pytest.LogCaptureFixture) -> None:
    """Un exchange qui redémarre refuse un moment tout abonnement (bybit : « handler not found ») : on y revient."""

    async def essai(exchange: str) -> None:
        async with ouvrir(exchange, acceleration=60) as bourse:

            async def scenario() -> None:
                await asyncio.sleep(2.0)
                bourse.pannes.ajouter(Panne("ws_abonnement_refuse", symbole="BTC/USDT", fois=12))
                bourse.couper(exchange)

            recolte = await recolter(bourse, exchange, symboles, scenario, stream="trades", duree=25, grace=0.3)
            for symbole in symboles.split(","):
                recolte.exiger_trades(symbole, au_moins=10)
                dernier = max(ligne["timestamp"] for ligne in recolte.lignes(symbole))
                assert dernier > bourse.maintenant_ms() - 5 * MINUTE, f"{exchange} : {symbole} n'est plus suivi"

    jouer(chacun(essai, LES_QUATRE))
    assert [ligne for ligne in niveaux(caplog.records) if "abonnement refusé." in ligne] == []


def test_un_symbole_deja_servi_puis_refuse_sans_fin_est_abandonne(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Son marché est retiré en plein flux : sans `--duree`, le flux doit finir de lui-même."""
    monkeypatch.setattr(m, "REFUS_MAX_S", 2.0)

    async def essai(exchange: str) -> None:
        async with ouvrir(exchange, acceleration=60) as bourse:

            async def scenario() -> None:
                await asyncio.sleep(2.0)
                bourse.pannes.ajouter(Panne("ws_abonnement_refuse", symbole="BTC/USDT"))
                bourse.couper(exchange)

            with contextlib.suppress(m.ErreurCollecte):
                async with asyncio.timeout(60):
                    await recolter(bourse, exchange, "BTC/USDT", scenario, stream="trades", grace=0.3)

    jouer(chacun(essai, [("bybit",)]))
    assert [ligne for ligne in niveaux(caplog.records) if "abonnement refusé." in ligne]


def test_un_groupe_deja_servi_ne_se_coupe_pas_d_un_refus_passager(caplog: pytest.LogCaptureFixture) -> None:
    """Deux cents symboles y laisseraient deux cents connexions, jusqu'à la fin de l'exécution."""

    async def essai(exchange: str) -> None:
        async with ouvrir(exchange, acceleration=60) as bourse:

            async def scenario() -> None:
                await asyncio.sleep(2.0)
                bourse.pannes.ajouter(Panne("ws_abonnement_refuse", fois=4))
                bourse.couper(exchange)

            recolte = await recolter(bourse, exchange, DEUX, scenario, stream="trades", duree=15, grace=0.3)
            for symbole in DEUX.split(","):
                recolte.exiger_trades(symbole, au_moins=10)
            ouvertes = [session for session in bourse.sessions if not session.finie]
            assert len(ouvertes) <= 1, exchange

    jouer(chacun(essai, LES_QUATRE))
    assert [ligne for ligne in niveaux(caplog.records) if "un abonnement par symbole" in ligne] == []


def test_un_refus_apres_une_ecoute_n_efface_pas_ce_qu_elle_devait() -> None:
    """Un symbole muet, que le REST ne lit pas : de la première écoute à la fin, tout est un trou, refus compris."""

    async def essai(exchange: str) -> None:
        async with ouvrir(exchange, acceleration=60) as bourse:
            bourse.pannes.ajouter(Panne("ws_perdu", canal="trades", symbole="ETH/USDT"))
            bourse.pannes.ajouter(Panne("html", chemin="rade"))

            async def scenario() -> None:
                await asyncio.sleep(2.0)
                bourse.pannes.ajouter(Panne("ws_abonnement_refuse", fois=8))
                bourse.couper(exchange)

            depart = bourse.maintenant_ms()
            recolte = await recolter(bourse, exchange, DEUX, scenario, stream="trades", duree=20, silence=1)
            fiche = recolte.fiche("ETH/USDT")
            ((debut, _),) = m.unir(fiche.couverts, m.intervalles_de(fiche.trous))
            assert debut < depart + MINUTE, exchange

    jouer(chacun(essai, LES_QUATRE))


def test_des_trades_perdus_en_route_sont_relus() -> None:
    """Les identifiants se suivent : un saut qui dure est relu par REST, sans coupure."""

    async def essai(exchange: str) -> None:
        async with ouvrir(exchange, acceleration=60) as bourse:
            bourse.pannes.ajouter(Panne("ws_perdu", canal="trades", symbole="BTC/USDT", fois=4, sauter=5))
            trades, agreges = await asyncio.gather(
                recolter(bourse, exchange, "BTC/USDT", stream="trades", duree=3.2, grace=0.3),
                recolter(bourse, exchange, "ETH/USDT", stream="trades", trades_vers_ohlcv=True, duree=3.2, grace=10),
            )
            trades.exiger_trades("BTC/USDT", au_moins=10)
            agreges.exiger_bougies("ETH/USDT", au_moins=2)
            assert len(bourse.connexions) == 2

    jouer(chacun(essai, [("binance",), ("okx",), ("kraken",)]))


def test_une_trame_sur_deux_perdue_des_l_abonnement_est_relue() -> None:
    """Des sauts et presque aucune suite : c'est la perte, non les identifiants, qui les fait sauter."""

    async def essai(exchange: str) -> None:
        async with ouvrir(exchange, acceleration=60) as bourse:
            perdues = [Panne("ws_perdu", canal="trades", fois=1, sauter=rang) for rang in range(1, 7)]
            for panne in perdues:
                bourse.pannes.ajouter(panne)
            recolte = await recolter(bourse, exchange, "BTC/USDT", stream="trades", duree=4, grace=0.3)
            assert [panne.touchees for panne in perdues] == [1] * len(perdues)
            recolte.exiger_trades("BTC/USDT", au_moins=10)

    jouer(chacun(essai, [("binance",), ("okx",), ("kraken",)]))


def test_des_trades_perdus_dont_les_identifiants_ne_se_suivent_pas() -> None:
    """Contrats de bybit : rien dans le flux ne dit la perte ; le REST, relu, la dit."""
    symbole = "BTC/USDT:USDT"

    async def essai(agreges: bool, attendre: Any) -> None:
        async with ouvrir("bybit", acceleration=60) as bourse:

            perdus = Panne("ws_perdu", canal="trades", fois=6, sauter=3)

            async def perdre() -> None:
                await asyncio.sleep(1.2)
                bourse.pannes.ajouter(perdus)

            recolte = await recolter(
                bourse, "bybit", symbole, perdre, stream="trades", trades_vers_ohlcv=agreges, duree=6, grace=5
            )
            assert perdus.touchees == 6
            attendre(recolte)

    def justes(recolte: Recolte) -> None:
        lues = recolte.bougies(symbole)
        attendues = recolte.attendues(symbole, min(lues), max(lues) + MINUTE, plates=False)
        assert sorted(lues) == sorted(attendues)
        assert [i for i in lues if not egales(lues[i], attendues[i])] == []

    jouer(chacun(essai, [(False, lambda recolte: recolte.exiger_trades(symbole, au_moins=10)), (True, justes)]))


def test_des_trades_perdus_faussent_la_bougie_qui_est_relue() -> None:
    """Trades en bougies : la bougie du saut n'est pas rendue d'après les trades, mais lue."""

    async def essai() -> None:
        async with ouvrir("binance", acceleration=60) as bourse:
            bourse.pannes.ajouter(Panne("ws_perdu", canal="trades", fois=5, sauter=12))
            recolte = await recolter(
                bourse, "binance", "BTC/USDT", stream="trades", trades_vers_ohlcv=True, duree=4.2, grace=0.3
            )
            recolte.exiger_bougies("BTC/USDT", au_moins=2)

    jouer(essai())


def test_une_minute_de_bougies_perdue_est_relue() -> None:
    """Tous les messages d'une bougie manquent : elle n'est pas couverte, donc lue."""

    async def essai() -> None:
        async with ouvrir("binance", acceleration=120) as bourse:

            async def scenario() -> None:
                await asyncio.sleep(1.2)
                panne = bourse.pannes.ajouter(Panne("ws_perdu", canal="bougies"))
                await asyncio.sleep(1.1)
                bourse.pannes.retirer(panne)

            recolte = await recolter(bourse, "binance", "BTC/USDT", scenario, stream="ohlcv", duree=3.5, grace=15)
            assert len(bourse.connexions) == 1
            lues = recolte.bougies("BTC/USDT")
            attendues = recolte.attendues("BTC/USDT", min(lues), max(lues) + 1)
            assert sorted(lues) == sorted(attendues)
            assert [i for i in lues if not egales(lues[i], attendues[i])] == []

    jouer(essai())


AVANT_D_AVALER = 4  # bougies : plus tôt, trois fausses de suite feraient croire que ce flux n'est pas celui du REST


def avaler(bourse: Bourse) -> None:
    """Une trame de bougie sur deux n'est jamais envoyée ; la connexion vit."""
    bourse.pannes.ajouter(Panne("ws_perdu", canal="bougies", probabilite=0.5))


def test_une_trame_de_bougie_avalee_sans_coupure_est_corrigee() -> None:
    """Rien ne trahit une bougie rendue sans sa dernière trame : le REST la confirme ou la remplace."""
    corrigees: dict[str, int] = {}

    async def essai(exchange: str) -> None:
        async with ouvrir(exchange, acceleration=120) as bourse:
            avaler(bourse)
            recolte = await recolter(bourse, exchange, "BTC/USDT", stream="ohlcv", duree=8, grace=5)
            lues = recolte.bougies("BTC/USDT")
            attendues = recolte.attendues("BTC/USDT", min(lues), max(lues) + 1)
            assert sorted(lues) == sorted(attendues)
            assert [i for i in lues if not egales(lues[i], attendues[i])] == []
            corrigees[exchange] = sum(fois > 1 for fois in recolte.rendues("BTC/USDT").values())

    jouer(chacun(essai, LES_QUATRE))
    assert sum(corrigees.values()) > 0, "aucune bougie n'était fausse : le test ne prouve rien"


def test_la_correction_vient_pendant_le_flux() -> None:
    """Dix minutes de l'exchange après la clôture, sans attendre la fin : un flux sans fin est juste, lui aussi."""

    async def essai() -> None:
        async with ouvrir("binance", acceleration=600) as bourse:
            recolte = Recolte(bourse, "binance")
            async with asyncio.timeout(30), contextlib.aclosing(
                m.suivre(**options(bourse, "binance", symbols="BTC/USDT", stream="ohlcv"))
            ) as lots:
                async for lot in lots:
                    recolte.lots.append(lot)
                    if len(recolte.bougies("BTC/USDT")) >= AVANT_D_AVALER and not list(bourse.pannes):
                        avaler(bourse)
                    doubles = [i for i, fois in recolte.rendues("BTC/USDT").items() if fois > 1]
                    if doubles:
                        break
            lues, attendues = recolte.bougies("BTC/USDT"), recolte.attendues("BTC/USDT", doubles[0], doubles[-1] + 1)
            assert [i for i in doubles if not egales(lues[i], attendues[i])] == []

    jouer(essai())


def test_une_bougie_confirmee_telle_quelle_n_est_pas_rendue_deux_fois() -> None:
    """La relecture ne dit que ce qu'elle change."""

    async def essai() -> None:
        async with ouvrir("binance", acceleration=600) as bourse:
            recolte = await recolter(bourse, "binance", "BTC/USDT", stream="ohlcv", duree=4)
            recolte.exiger_bougies("BTC/USDT", au_moins=20)
            assert set(recolte.rendues("BTC/USDT").values()) == {1}
            relues = [r for r in bourse.requetes if "klines" in r.chemin]
            assert len(relues) > 2, "rien ne fut relu"

    jouer(essai())


def test_doubles_retards_et_desordres_de_trades() -> None:
    """Chaque trade une fois, et les bougies justes."""

    async def essai(nature: str) -> None:
        async with ouvrir("okx", acceleration=60) as bourse:
            bourse.pannes.ajouter(Panne(nature, canal="trades", probabilite=0.3, delai_ms=20_000, k=2))
            trades, agreges = await asyncio.gather(
                recolter(bourse, "okx", "BTC/USDT", stream="trades", duree=3, grace=60),
                recolter(bourse, "okx", "ETH/USDT", stream="trades", trades_vers_ohlcv=True, duree=3, grace=40),
            )
            lignes = trades.lignes("BTC/USDT")
            assert len(lignes) == len({ligne["id"] for ligne in lignes}) >= 5
            lues = agreges.bougies("ETH/USDT")
            attendues = agreges.attendues("ETH/USDT", min(lues), max(lues) + 1)
            assert all(egales(lues[i], attendues[i]) for i in lues)

    jouer(chacun(essai, [("ws_double",), ("ws_retard",), ("ws_desordre",)]))


def test_un_message_de_bougie_depasse_par_la_cloture_n_ecrase_rien() -> None:
    """Un état périmé, arrivé après l'état final : le REST tranche."""

    async def essai(nature: str) -> None:
        async with ouvrir("binance", acceleration=60) as bourse:
            bourse.pannes.ajouter(Panne(nature, canal="bougies", probabilite=0.4, delai_ms=25_000, k=1))
            recolte = await recolter(bourse, "binance", "BTC/USDT", stream="ohlcv", duree=3.5, grace=0)
            lues = recolte.bougies("BTC/USDT")
            attendues = recolte.attendues("BTC/USDT", min(lues), max(lues) + 1)
            assert sorted(lues) == sorted(attendues)
            assert {i: (lues[i], attendues[i]) for i in lues if not egales(lues[i], attendues[i])} == {}

    jouer(chacun(essai, [("ws_double",), ("ws_retard",), ("ws_desordre",)]))


FAUX = [("binance", "ws_somme"), ("okx", "ws_croise"), ("kraken", "ws_croise"), ("bybit", "ws_croise")]


def test_un_carnet_faux_n_est_jamais_rendu(fils: list[m.Fil]) -> None:
    """Somme, séquence ou prix croisés : écarté, compté, et le flux repart d'un instantané."""

    async def essai(exchange: str, nature: str) -> None:
        async with ouvrir(exchange, acceleration=60) as bourse:
            bourse.pannes.ajouter(Panne(nature, sauter=10, fois=40))
            recolte = await recolter(bourse, exchange, "BTC/USDT", stream="orderbook", profondeur=5, duree=3)
            exiger_carnets(recolte, "BTC/USDT", profondeur=5)
            (fil,) = [fil for fil in fils if fil.cle.exchange == exchange]
            assert fil.compteurs.carnets_ecartes >= 1

    jouer(chacun(essai, FAUX))


@pytest.mark.parametrize("symboles", ["BTC/USDT", DEUX, "ETH/USDT,BTC/USDT"])
def test_une_trame_de_carnet_perdue_est_un_trou(symboles: str) -> None:
    """Les états qui ont manqué jusqu'à la reprise sont dits ; aucun qui soit rendu n'est faux, ni d'un autre marché."""

    async def essai(exchange: str) -> None:
        async with ouvrir(exchange, acceleration=1) as bourse:
            panne = bourse.pannes.ajouter(Panne("ws_perdu", canal="carnet", symbole="BTC/USDT", sauter=30, fois=1))
            recolte = await recolter(bourse, exchange, symboles, stream="orderbook", profondeur=5, duree=8)
            assert panne.touchees == 1
            for symbole in symboles.split(","):
                exiger_carnets_vrais(recolte, symbole, profondeur=5)
            (trou,) = recolte.trous("BTC/USDT")
            instants = [ligne["timestamp"] for ligne in recolte.lignes("BTC/USDT")]
            assert not [i for i in instants if trou.debut <= i < trou.fin]
            assert min(instants) < trou.debut < trou.fin <= max(instants)

    jouer(chacun(essai, [("binance",), ("okx",), ("kraken",), ("bybit",)]))


def test_deux_carnets_decales_a_la_fois_ont_chacun_leur_trou() -> None:
    """La classe n'en annonce qu'un à qui attend les deux ; okx, sans dire lequel."""

    async def essai(exchange: str) -> None:
        async with ouvrir(exchange, acceleration=1) as bourse:
            for symbole in DEUX.split(","):
                bourse.pannes.ajouter(Panne("ws_perdu", canal="carnet", symbole=symbole, sauter=30, fois=1))
            recolte = await recolter(bourse, exchange, DEUX, stream="orderbook", profondeur=5, duree=8)
            for symbole in DEUX.split(","):
                exiger_carnets_vrais(recolte, symbole, profondeur=5)
                (trou,) = recolte.trous(symbole)
                instants = [ligne["timestamp"] for ligne in recolte.lignes(symbole)]
                assert not [i for i in instants if trou.debut <= i < trou.fin]

    jouer(chacun(essai, [("binance",), ("okx",), ("bybit",)]))


def test_un_carnet_decale_que_l_exchange_ne_reprend_pas_est_reabonne(
    fils: list[m.Fil], monkeypatch: pytest.MonkeyPatch
) -> None:
    """La classe attendrait sans fin l'acquittement de sa désinscription (okx) : un carnet muet jusqu'à --silence."""
    recevoir = FluxOkx.recevoir

    def sans_acquitter(flux: FluxOkx, session: Session, texte: str) -> None:
        if "unsubscribe" not in texte:
            recevoir(flux, session, texte)

    async def essai() -> None:
        monkeypatch.setattr(FluxOkx, "recevoir", sans_acquitter)
        async with ouvrir("okx", acceleration=60) as bourse:
            bourse.pannes.ajouter(Panne("ws_somme", sauter=10, fois=1))
            recolte = await recolter(bourse, "okx", "BTC/USDT", stream="orderbook", profondeur=5, duree=20, silence=60)
            exiger_carnets(recolte, "BTC/USDT", profondeur=5)
            (fil,) = fils
            assert (fil.compteurs.carnets_ecartes, fil.compteurs.reconnexions) == (1, 1)
            (trou,) = recolte.trous("BTC/USDT")
            assert 60 * 1000 * m.REPRISE_DE_CARNET_S <= trou.fin - trou.debut < 60 * 1000 * (m.REPRISE_DE_CARNET_S + 3)

    jouer(essai())


@pytest.mark.parametrize("symbole", ["BTC/USDT", "BTC/USDT:USDT"])
def test_un_carnet_ne_rend_que_ce_que_son_instantane_et_le_flux_ont_dit(
    symbole: str, fils: list[m.Fil], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Des ordres qui ne bougent pas, plus loin que l'instantané de binance : le prix y va, et aucun état n'est faux."""
    immobiliser_les_ordres(monkeypatch, FluxBinance)

    async def essai() -> None:
        genre = "swap" if ":" in symbole else "spot"
        async with ouvrir("binance", acceleration=120) as bourse:
            recolte = await recolter(
                bourse, "binance", symbole, type_marche=genre, stream="orderbook", profondeur=5, duree=6
            )
            instrument = bourse.protocoles["binance"].par_symbole[symbole]
            exiger_jusqu_ou_il_est_su(bourse.marche, instrument, recolte.lignes(symbole), profondeur=5)
            instantanes = [r for r in bourse.requetes if r.chemin.endswith("/depth")]
            assert len(instantanes) >= 2
            assert recolte.trous(symbole) == []
            (fil,) = fils
            assert (fil.compteurs.carnets_ecartes, fil.compteurs.reconnexions) == (0, 0)

    jouer(essai())


def test_un_instantane_qui_tarde_est_un_trou(fils: list[m.Fil], monkeypatch: pytest.MonkeyPatch) -> None:
    """Les états d'avant sa venue se fondent en un : au-delà d'une seconde, il en a manqué."""
    immobiliser_les_ordres(monkeypatch, FluxBinance, m.INSTANTANE_TARDIF_S)

    async def essai() -> None:
        async with ouvrir("binance", acceleration=120) as bourse:
            bourse.pannes.ajouter(Panne("lent", "/depth", sauter=1, fois=1, delai_s=1.5))
            recolte = await recolter(bourse, "binance", "BTC/USDT", stream="orderbook", profondeur=5, duree=8)
            (fil,) = fils
            trous = recolte.trous("BTC/USDT")
            assert (len(trous), 0) == (fil.compteurs.carnets_ecartes, fil.compteurs.reconnexions)
            assert max(trou.fin - trou.debut for trou in trous) > 120 * 1000
            instants = [ligne["timestamp"] for ligne in recolte.lignes("BTC/USDT")]
            assert not [instant for instant in instants for trou in trous if trou.debut <= instant < trou.fin]

    jouer(essai())


def test_un_lien_lent_ne_perd_rien() -> None:
    async def essai() -> None:
        async with ouvrir("bybit", acceleration=60) as bourse:
            bourse.pannes.ajouter(Panne("ws_lent", delai_s=0.02))
            recolte = await recolter(bourse, "bybit", DEUX, stream="trades", duree=3)
            for symbole in DEUX.split(","):
                recolte.exiger_trades(symbole, au_moins=10)

    jouer(essai())


def test_une_rafale_de_vingt_mille_trades_arrive_entiere() -> None:
    """Vingt fois ce qu'en garde le cache de ccxt : chacun est lu au moment où il y entre."""

    async def essai() -> None:
        async with ouvrir("binance", acceleration=1) as bourse:

            async def scenario() -> None:
                await asyncio.sleep(0.5)
                bourse.rafale("binance", "BTC/USDT", 20_000)

            recolte = await recolter(
                bourse, "binance", "BTC/USDT", scenario, stream="trades", duree=60,
                assez=lambda recolte: sum(lot.lignes.num_rows for lot in recolte.lots) >= 20_000,
            )
            recolte.exiger_trades("BTC/USDT", au_moins=20_000)
            assert sum("rades" in r.chemin for r in bourse.requetes) <= 2, "la rafale a été relue"

    jouer(essai())


def test_des_marches_de_types_differents_se_suivent_ensemble() -> None:
    """Binance et bybit refusent de les mêler dans un appel : chacun a sa connexion."""

    async def essai(exchange: str) -> None:
        async with ouvrir(exchange, acceleration=120) as bourse:
            symboles = "BTC/USDT,BTC/USDT:USDT,ETH/USDT"
            recolte = await recolter(bourse, exchange, symboles, stream="ohlcv", duree=3, grace=15)
            for symbole in symboles.split(","):
                recolte.exiger_bougies(symbole, au_moins=4)

    jouer(chacun(essai, [("binance",), ("okx",), ("bybit",)]))


def test_les_identifiants_uuid_de_bybit_ne_se_suivent_pas_et_se_comblent() -> None:
    """Contrats de bybit : la coupure se relit quand même, chaque trade une fois."""

    async def essai() -> None:
        async with ouvrir("bybit", acceleration=60) as bourse:

            async def scenario() -> None:
                await asyncio.sleep(1)
                bourse.couper("bybit")
                bourse.avancer(7 * MINUTE)

            recolte = await recolter(
                bourse, "bybit", "BTC/USDT:USDT", scenario, stream="trades", duree=2.5, type_marche="swap"
            )
            recolte.exiger_trades("BTC/USDT:USDT", au_moins=30)
            assert recolte.trous("BTC/USDT:USDT") == []

    jouer(essai())


def test_ce_que_l_exchange_ne_sert_plus_est_un_trou_dit() -> None:
    """Bybit au comptant ne sert que ses soixante derniers trades : une heure de coupure est un trou, hors fenêtre."""

    async def essai() -> None:
        async with ouvrir("bybit", acceleration=30) as bourse:

            async def scenario() -> None:
                await asyncio.sleep(1)
                bourse.couper("bybit")
                bourse.avancer(60 * MINUTE)

            recolte = await recolter(bourse, "bybit", "BTC/USDT", scenario, stream="trades", duree=2.5)
            (trou,) = recolte.trous("BTC/USDT")
            assert trou.raison == m.HORS_FENETRE_API
            instants = [ligne["timestamp"] for ligne in recolte.lignes("BTC/USDT")]
            # Sa première milliseconde est celle du dernier trade reçu, sa dernière celle où commence la page : d'autres
            # ont pu les partager.
            assert not any(trou.debut < instant < trou.fin - 1 for instant in instants)
            assert trou.debut in instants
            assert sum(instant >= trou.fin - 1 for instant in instants) >= 50

    jouer(essai())


def test_le_debit_d_abonnement_de_l_exchange_est_respecte() -> None:
    """Binance ferme au-delà de cinq demandes par seconde : huit symboles suivis un par un y tiennent."""
    symboles = "BTC/USDT,ETH/USDT,SOL/USDT,XRP/USDT,DOGE/USDT,ADA/USDT,LTC/USDT,LINK/USDT"

    async def essai() -> None:
        async with ouvrir("binance", acceleration=120, limites=True) as bourse:
            bourse.pannes.ajouter(Panne("ws_groupe_refuse", n=1))
            recolte = await recolter(bourse, "binance", symboles, stream="ohlcv", duree=4, grace=15)
            for symbole in symboles.split(","):
                recolte.exiger_bougies(symbole, au_moins=3)
            assert [c.fin for c in bourse.connexions if c.fin == "limite"] == []

    jouer(essai())


# --- Surveillance


def test_un_socket_demi_ouvert_est_trouve_a_temps() -> None:
    """Plus rien n'arrive, pas même un adieu : reconnecté en `silence` + 1,5 s, rien ne manque."""

    async def essai(exchange: str) -> None:
        async with ouvrir(exchange, acceleration=120) as bourse:
            delai: list[float] = []

            async def scenario() -> None:
                await asyncio.sleep(1.0)
                debut = asyncio.get_running_loop().time()
                bourse.couper(exchange, "silence")
                await attendre_ici(lambda: len(bourse.connexions) > 1)
                delai.append(asyncio.get_running_loop().time() - debut)

            # Une grâce d'une seconde réelle : le silence est reconnu avant que l'horloge ne close une bougie inachevée.
            durees = {"duree": 5.5, "grace": 120, "silence": 0.6}
            recolte = await recolter(bourse, exchange, DEUX, scenario, stream="ohlcv", **durees)
            assert delai[0] <= 0.6 + 1.5
            for symbole in DEUX.split(","):
                recolte.exiger_bougies(symbole, au_moins=5)

    jouer(chacun(essai, LES_QUATRE))


def test_le_silence_d_un_seul_symbole_est_trouve() -> None:
    """Les autres parlent : la surveillance porte sur chacun."""

    async def essai() -> None:
        async with ouvrir("binance", acceleration=120) as bourse:
            panne = Panne("ws_silence_symbole", symbole="ETH/USDT", apres_s=1.0, fois=1)
            bourse.pannes.ajouter(panne)
            recolte = await recolter(bourse, "binance", DEUX, stream="trades", duree=3.2, grace=15, silence=0.7)
            assert len(bourse.connexions) >= 2
            for symbole in DEUX.split(","):
                recolte.exiger_trades(symbole, au_moins=20)

    jouer(essai())


def marche_calme(depuis: int) -> Marche:
    """Des symboles cotés depuis deux jours, sans un trade pendant dix heures."""
    deux = [i for i in INSTRUMENTS_PAR_DEFAUT["bybit"] if i.symbole in DEUX.split(",")]
    recents = [dataclasses.replace(i, cotation_ms=HEURE_BOURSE - 2 * 86_400_000) for i in deux]
    return Marche(1, {"bybit": recents}, pannes=[(depuis, depuis + 10 * 3_600_000)])


def test_un_marche_calme_n_est_pas_reconnecte_en_boucle() -> None:
    """Aucun trade pendant des heures : le REST le confirme, de moins en moins souvent, et rien d'autre ne se passe."""

    async def essai(stream: str) -> None:
        calme = marche_calme(HEURE_BOURSE - 30_000)
        async with ouvrir("bybit", acceleration=10, marche=calme) as bourse:
            await recolter(bourse, "bybit", DEUX, stream=stream, quitter_s=3, silence=0.4)
            if stream in ("ohlcv", "trades"):
                assert len(bourse.connexions) == 1
                verifications = [r for r in bourse.requetes if "kline" in r.chemin or "recent-trade" in r.chemin]
                assert 2 <= len(verifications) <= 14
            assert len(bourse.connexions) <= 4

    jouer(chacun(essai, [(stream,) for stream in m.CANAUX]))


def test_au_repos_le_flux_dort(monkeypatch: pytest.MonkeyPatch) -> None:
    """Une échéance passée, rien à rendre : pas de boucle occupée."""
    reveils = 0
    suivants = m.Flux.suivants

    async def compter(flux: m.Flux, plafond_s: float) -> list[m.Lot]:
        nonlocal reveils
        reveils += 1
        return await suivants(flux, plafond_s)

    monkeypatch.setattr(m.Flux, "suivants", compter)

    async def essai(options_: dict[str, Any]) -> None:
        calme = marche_calme(HEURE_BOURSE)
        depart = HEURE_BOURSE - 32_000  # la dernière bougie d'avant le calme se clôt à l'horloge
        async with ouvrir("bybit", acceleration=30, marche=calme, maintenant_ms=depart) as bourse:
            await recolter(bourse, "bybit", DEUX, quitter_s=3, grace=1, **options_)

    cas = [{"stream": "ohlcv"}, {"stream": "trades"}, {"stream": "trades", "trades_vers_ohlcv": True}]
    jouer(chacun(essai, [(c,) for c in cas]))
    assert reveils < 150


# --- Reconnexion


def test_les_delais_de_reconnexion_doublent_et_repartent_apres_des_donnees(caplog: pytest.LogCaptureFixture) -> None:
    """Refusée deux fois : environ 0,3 s, 0,6, 1,2 ; une fois des données reçues, la coupure d'après attend 0,3 s."""

    async def essai() -> None:
        async with ouvrir("okx", acceleration=60) as bourse:

            async def scenario() -> None:
                await asyncio.sleep(0.5)
                bourse.refuser_connexions("okx", 2)
                bourse.couper("okx")
                await attendre_ici(lambda: len(bourse.connexions) == 4)
                await attendre_ici(lambda: any("flux rétabli après" in ligne for ligne in niveaux(caplog.records)))
                await asyncio.sleep(0.5)  # des données coulent
                bourse.couper("okx")
                await attendre_ici(lambda: len(bourse.connexions) == 5)

            def retabli(recolte: Recolte) -> bool:
                rendus = sum(lot.lignes.num_rows for lot in recolte.lots)
                return rendus >= 10 and sum("flux rétabli après" in ligne for ligne in niveaux(caplog.records)) == 2

            recolte = await recolter(bourse, "okx", "BTC/USDT", scenario, stream="trades", duree=30, assez=retabli)
            instants = [c.instant for c in bourse.connexions]
            ecarts = [apres - avant for avant, apres in itertools.pairwise(instants)]
            assert (0.3 <= ecarts[1] <= 2.0, 0.6 <= ecarts[2] <= 3.0) == (True, True)
            recolte.exiger_trades("BTC/USDT", au_moins=10)

    jouer(essai())
    dites = niveaux(caplog.records)
    assert sum("flux coupé" in ligne for ligne in dites) == 2
    retablis = [ligne for ligne in dites if "flux rétabli après" in ligne]
    assert len(retablis) == 2
    assert "3 erreurs en " in retablis[0]


def test_l_heure_de_l_exchange_est_reestimee_a_chaque_reconnexion() -> None:
    """Son horloge saute de cinq minutes pendant une coupure : les bougies closes restent justes."""

    async def essai() -> None:
        async with ouvrir("binance", acceleration=60) as bourse:

            async def scenario() -> None:
                for decalage in (-3 * MINUTE, 5 * MINUTE):
                    await asyncio.sleep(1.2)
                    bourse.couper("binance")
                    bourse.decalage_ms = decalage

            recolte = await recolter(bourse, "binance", DEUX, scenario, stream="ohlcv", duree=4, grace=15)
            assert bourse.compter("/time") >= len(bourse.connexions) >= 2
            for symbole in DEUX.split(","):
                lues = recolte.bougies(symbole)
                attendues = recolte.attendues(symbole, min(lues), max(lues) + 1)
                assert sorted(lues) == sorted(attendues)
                assert all(egales(lues[i], attendues[i]) for i in lues)

    jouer(essai())


def test_le_rest_en_panne_pendant_la_coupure_est_redemande() -> None:
    """Le WebSocket revient avant le REST : les trades de la coupure attendent, puis sont lus."""

    async def essai() -> None:
        async with ouvrir("kraken", acceleration=60) as bourse:

            async def scenario() -> None:
                await asyncio.sleep(1.0)
                panne = bourse.pannes.ajouter(Panne("http", chemin="Trades", code=502))
                bourse.couper("kraken")
                bourse.avancer(5 * MINUTE)
                await asyncio.sleep(1.5)
                bourse.pannes.retirer(panne)

            recolte = await recolter(bourse, "kraken", "BTC/USDT", scenario, stream="trades", duree=3.8, essais=1)
            recolte.exiger_trades("BTC/USDT", au_moins=30)
            assert recolte.trous("BTC/USDT") == []

    jouer(essai())


def test_ce_que_le_rest_ne_rend_jamais_est_un_trou_inscrit() -> None:
    """Pas de trou silencieux : ni pour les trades d'une coupure, ni pour ses bougies."""

    async def essai(stream: str, chemin: str) -> None:
        async with ouvrir("kraken", acceleration=60) as bourse:

            async def scenario() -> None:
                await asyncio.sleep(1.2)
                bourse.pannes.ajouter(Panne("http", chemin=chemin, code=502))
                bourse.couper("kraken")
                bourse.avancer(5 * MINUTE)

            recolte = await recolter(bourse, "kraken", "BTC/USDT", scenario, stream=stream, duree=3.5, essais=1)
            (trou,) = recolte.trous("BTC/USDT")[:1]
            assert trou.raison == m.ECHEC
            assert trou.fin - trou.debut > 3 * MINUTE

    jouer(chacun(essai, [("trades", "Trades"), ("ohlcv", "OHLC")]))


# --- Substitutions et refus


def test_sans_flux_de_bougies_les_trades_les_font(caplog: pytest.LogCaptureFixture) -> None:
    """Dit une fois ; les minutes sans trade sont celles du REST, plates ici."""

    async def essai() -> None:
        async with ouvrir("binance", acceleration=120, marche=Marche(3, taux_vide=0.2)) as bourse:
            recolte = await recolter(
                bourse, "binance", DEUX, stream="ohlcv", duree=3, grace=15, config_ccxt={"has": {"watchOHLCV": False}}
            )
            for symbole in DEUX.split(","):
                recolte.exiger_bougies(symbole, au_moins=3)

    jouer(essai())
    assert sum("elles sont faites de ses trades" in ligne for ligne in niveaux(caplog.records)) == 1


DEUX_SECONDES_AVANT = HEURE_BOURSE + 27_500  # 13:00:57,5
LECTURES = [
    ("binance", "BTC/USDT", {"config_ccxt": {"has": {"watchOHLCV": False, "watchTrades": False}}}, "last"),
    ("binance", "BTC/USD:BTC", {"type_marche": "swap"}, "last"),
    ("binance", "BTC/USDT:USDT", {"type_marche": "swap", "prix_ohlcv": "mark"}, "mark"),
    ("okx", "BTC/USDT:USDT", {"type_marche": "swap", "prix_ohlcv": "index"}, "index"),
]


def test_sans_canal_les_bougies_sont_lues_juste_apres_leur_cloture(caplog: pytest.LogCaptureFixture) -> None:
    """Prix mark et index, unité différente, ni bougies ni trades : le REST, à l'heure, et c'est dit une fois."""

    async def essai(exchange: str, symbole: str, change: dict[str, Any], prix: Any) -> None:
        async with ouvrir(exchange, acceleration=1, maintenant_ms=DEUX_SECONDES_AVANT) as bourse:
            recolte = await recolter(bourse, exchange, symbole, stream="ohlcv", duree=3.4, grace=0.3, **change)
            (ouverture,) = recolte.bougies(symbole)
            (attendue,) = bourse.attendu(exchange, symbole, "1m", ouverture, ouverture + 1, prix)
            assert egales(recolte.bougies(symbole)[ouverture], attendue[1:])
            assert bourse.connexions == []

    jouer(chacun(essai, LECTURES))
    assert sum("Bougies lues par REST juste après" in ligne for ligne in niveaux(caplog.records)) == len(LECTURES)


def test_un_timeframe_qui_peut_etre_ancre_ailleurs_est_lu_par_rest(caplog: pytest.LogCaptureFixture) -> None:
    """Okx ouvre ses bougies de 6 h à 16:00 UTC en WebSocket, à 00:00 en REST."""

    async def essai() -> None:
        async with ouvrir("okx", acceleration=1) as bourse:
            await recolter(bourse, "okx", "BTC/USDT", stream="ohlcv", timeframe="6h", duree=0.5)
            assert bourse.connexions == []

    jouer(essai())
    assert sum("juste après chaque clôture" in ligne for ligne in niveaux(caplog.records)) == 1


def test_un_canal_impossible_est_refuse_avant_toute_connexion() -> None:
    """Avec ce que l'exchange offre."""

    async def essai() -> None:
        async with ouvrir("binance") as bourse:
            sans = {"has": {"watchTicker": False, "watchOrderBook": False}}
            with pytest.raises(m.ErreurDemande) as refus:
                await recolter(bourse, "binance", "BTC/USDT", stream="ticker", duree=1, config_ccxt=sans)
            assert "Il offre : ohlcv, trades" in refus.value.complet()
            assert bourse.requetes == []
            assert bourse.connexions == []

    jouer(essai())


# --- Fin et annulation


def test_un_flux_abandonne_ne_laisse_rien_derriere_lui() -> None:
    """Annulé en pleine attente ou quitté en pleine boucle, socket demi-ouvert : fini en moins de deux secondes."""

    async def essai(stream: str, maniere: str) -> None:
        async with ouvrir("okx", acceleration=60) as bourse:
            suivi = m.suivre(**options(bourse, "okx", symbols=DEUX, stream=stream))
            await anext(suivi)
            bourse.couper("okx", "silence")
            debut = asyncio.get_running_loop().time()
            if maniere == "annuler":
                attente = asyncio.ensure_future(consommer(suivi))
                await asyncio.sleep(0.2)
                attente.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await attente
            await suivi.aclose()
            assert asyncio.get_running_loop().time() - debut < 2.2

    async def consommer(suivi: Any) -> None:
        async for _ in suivi:
            pass

    jouer(chacun(essai, list(itertools.product(m.CANAUX, ("annuler", "quitter")))))


def test_une_longue_grace_n_empeche_pas_de_finir_par_relire() -> None:
    """Quarante secondes de grâce, plus que ce qu'une fin attend : la première bougie est quand même relue."""

    async def essai() -> None:
        async with ouvrir("bybit", acceleration=1, maintenant_ms=HEURE_BOURSE + 28_500) as bourse:

            async def scenario() -> None:
                await asyncio.sleep(0.3)
                bourse.avancer(3 * MINUTE)

            debut = asyncio.get_running_loop().time()
            recolte = await recolter(bourse, "bybit", "BTC/USDT", scenario, stream="ohlcv", duree=1, grace=40)
            assert asyncio.get_running_loop().time() - debut < 15
            lues = recolte.bougies("BTC/USDT")
            premiere = HEURE_BOURSE - HEURE_BOURSE % MINUTE
            assert min(lues) == premiere
            assert sorted(lues) == sorted(recolte.attendues("BTC/USDT", premiere, max(lues) + 1))

    jouer(essai())


def test_une_erreur_imprevue_n_est_ni_muette_ni_une_trace(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Dans une relecture, dans une vérification : dite par le journal, puis réessayée."""

    async def casser(*_: Any) -> Any:
        raise TypeError("page d'une forme imprévue")

    monkeypatch.setattr(m.FilBougies, "_rattraper", casser)
    monkeypatch.setattr(m.FilBougies, "a_bouge", casser)

    async def essai() -> None:
        async with ouvrir("binance", acceleration=60) as bourse:

            async def scenario() -> None:
                await asyncio.sleep(1.5)
                bourse.couper("binance", "silence")

            recolte = await recolter(bourse, "binance", "BTC/USDT", scenario, stream="ohlcv", duree=3.5, silence=0.5)
            assert len(bourse.connexions) >= 2
            assert [t.raison for t in recolte.trous("BTC/USDT")][:1] == [m.ECHEC]

    jouer(essai())
    assert any("page d'une forme imprévue" in ligne for ligne in niveaux(caplog.records))


@pytest.mark.lent
def test_une_semaine_et_cinquante_coupures() -> None:
    """Trois symboles, cinquante pannes au hasard : exactement ce que dit le REST, aucun manquant, aucun trou."""

    async def essai() -> None:
        async with ouvrir("binance", acceleration=10_000) as bourse:
            alea = random.Random(7)

            async def scenario() -> None:
                for _ in range(50):
                    await asyncio.sleep(alea.uniform(0.2, 0.6))
                    maniere = alea.choice(["reset", "propre", "silence", "trame"])
                    if maniere == "trame":
                        bourse.pannes.ajouter(Panne("ws_trame_abimee", fois=1))
                    else:
                        bourse.couper("binance", maniere)
                    bourse.avancer(alea.randrange(150) * MINUTE)

            symboles = "BTC/USDT,ETH/USDT,SOL/USDT"
            recolte = await recolter(
                bourse, "binance", symboles, scenario, stream="ohlcv", duree=28, grace=600, silence=0.6
            )
            for symbole in symboles.split(","):
                lues = recolte.bougies(symbole)
                assert max(lues) - min(lues) > 6 * 86_400_000
                attendues = recolte.attendues(symbole, min(lues), max(lues) + 1)
                assert sorted(lues) == sorted(attendues)
                assert {i: lues[i] for i in lues if not egales(lues[i], attendues[i])} == {}
                assert recolte.trous(symbole) == []

    jouer(essai())
