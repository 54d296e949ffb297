"""La bourse embarquée vue par les vraies classes ccxt : binance, pannes, débit, horloge, journal, rejeu."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import ccxt
import ccxt.async_support
import pytest
from attente import PLAFOND_S
from marche_simule import SANS_LIMITEUR, marche_commun
from temps_simule import derouler, temps_simule

from bourse_locale import Bourse, Marche, Panne
from bourse_locale.__main__ import lire_panne, main
from bourse_locale.kraken.rejeu import Rejeu
from bourse_locale.marche import HEURE_MS, JOUR_MS, MINUTE_MS, instant_ms
from bourse_locale.pannes import NATURES_PAGE, Pannes
from bourse_locale.serveur import Limite

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

    from bourse_locale.marche import NaturePrix

RACINE = Path(__file__).resolve().parents[2]
ENREGISTREMENT = (
    Path(os.environ.get("DONNEES_REELLES", RACINE.parent / "shared" / "donnees_reelles")) / "kraken_XBTUSDT"
)
DEBUT = instant_ms("2024-03-04T00:00:00")
MAINTENANT = instant_ms("2024-03-20T10:20:30")
SYMBOLES = ("BTC/USDT", "BTC/USDT:USDT", "BTC/USD:BTC")
KLINES = "/api/v3/klines"


def bourse(**reglages: Any) -> Bourse:
    """Rend une bourse binance dont l'horloge part d'un instant fixe, sans débit imposé."""
    communs = {"marche": marche_commun(), "maintenant_ms": MAINTENANT, "limites": False}
    return Bourse(("binance",), **{**communs, **reglages})


@asynccontextmanager
async def client(b: Bourse, nom: str = "binance", **config: Any) -> AsyncIterator[Any]:
    """Ouvre la vraie classe ccxt asynchrone sur la bourse, sans son propre limiteur."""
    classe = getattr(ccxt.async_support, nom)
    exchange = classe({**SANS_LIMITEUR, **b.config_ccxt(nom), **config})
    try:
        yield exchange
    finally:
        await exchange.close()


def jouer(essai: Callable[[Bourse, Any], Coroutine[Any, Any, None]], **reglages: Any) -> Bourse:
    """Ouvre une bourse et un client dont les marchés sont lus, joue l'essai, rend la bourse fermée."""

    async def dedans() -> Bourse:
        async with bourse(**reglages) as b, client(b) as exchange:
            await exchange.load_markets()
            b.requetes.clear()
            await essai(b, exchange)
            return b

    return derouler(dedans())


def en_lignes(rendues: list[list[Any]]) -> list[tuple[Any, ...]]:
    return [tuple(ligne) for ligne in rendues]


# --- Marchés ----------------------------------------------------------------------------------------------------------


def test_load_markets_rend_les_trois_familles() -> None:
    async def essai(_b: Bourse, x: Any) -> None:
        for symbole, genre in zip(SYMBOLES, ("spot", "swap", "swap"), strict=True):
            assert x.market(symbole)["type"] == genre
        assert x.market("BTC/USDT")["precision"] == {"amount": 1e-05, "price": 0.01, "base": 1e-08, "quote": 1e-08}
        assert x.market("BTC/USD:BTC")["contractSize"] == 100.0
        assert x.market("BTC/USDT:USDT-261225")["expiryDatetime"] == "2026-12-25T08:00:00.000Z"

    jouer(essai)


def test_exchange_info_de_3000_marches() -> None:
    async def essai(_b: Bourse, x: Any) -> None:
        assert len(x.markets) == 3000

    jouer(essai, nombre_marches=3000)


def test_avec_des_cles_le_chargement_reste_entier() -> None:
    """Avec des clés, la classe binance appelle aussi /sapi : la bourse doit y répondre."""

    async def essai() -> None:
        async with bourse() as b, client(b, apiKey="cle", secret="secret") as x:  # noqa: S106 - clé d'essai
            assert "BTC/USDT" in await x.load_markets()
            assert b.compter("/sapi/v1/capital/config/getall") == 1

    derouler(essai())


def test_config_se_fond_avec_celle_de_l_utilisateur() -> None:
    """Chaque url de la classe ccxt est redirigée : aucune ne peut sortir de la machine."""
    b = bourse()
    assert set(ccxt.binance().urls["api"]) <= set(ccxt.binance(b.config_ccxt("binance")).urls["api"])
    urls = ccxt.binance({**b.config_ccxt("binance"), "timeout": 1234}).urls["api"]
    assert [nom for nom, url in urls.items() if "127.0.0.1" not in str(url) and nom != "ws"] == []


# --- Bougies ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("symbole", "timeframe"),
    [(SYMBOLES[n % 3], tf) for n, tf in enumerate(("1m", "15m", "4h", "12h", "1d", "3d", "1w", "1M"), start=1)],
)
def test_fetch_ohlcv_rend_l_oracle(symbole: str, timeframe: str) -> None:
    async def essai(b: Bourse, x: Any) -> None:
        depart = MAINTENANT - 40 * x.parse_timeframe(timeframe) * 1000
        nombre = 6 if timeframe == "1M" else 30  # d'un inverse, l'exchange refuse plus de 200 jours
        lues = await x.fetch_ohlcv(symbole, timeframe, depart, nombre)
        fin = lues[-1][0] + 1
        assert lues[0][0] >= depart
        assert fin < MAINTENANT
        # Sur l'inverse, ccxt borne la fenêtre à 6 x 30 jours : elle contient ici six débuts de mois.
        assert len(lues) == nombre
        assert en_lignes(lues) == b.attendu("binance", symbole, timeframe, depart, fin)

    jouer(essai)


@pytest.mark.parametrize("symbole", SYMBOLES[1:])
@pytest.mark.parametrize("prix", ["mark", "index", "premiumIndex"])
def test_fetch_ohlcv_mark_et_index(symbole: str, prix: NaturePrix) -> None:
    async def essai(b: Bourse, x: Any) -> None:
        lues = await x.fetch_ohlcv(symbole, "1m", DEBUT, 50, {"price": prix})
        assert len(lues) == 50
        assert en_lignes(lues) == b.attendu("binance", symbole, "1m", DEBUT, DEBUT + 50 * MINUTE_MS, prix)

    jouer(essai)


def test_indice_commun_au_perpetuel_et_a_l_echeance() -> None:
    async def essai(b: Bourse, x: Any) -> None:
        depart, symbole = instant_ms("2026-08-03T00:00:00"), "BTC/USDT:USDT-261225"
        lues = await x.fetch_ohlcv(symbole, "1m", depart, 5, {"price": "index"})
        assert en_lignes(lues) == b.attendu("binance", symbole, "1m", depart, depart + 5 * MINUTE_MS, "index")
        assert lues == await x.fetch_ohlcv("BTC/USDT:USDT", "1m", depart, 5, {"price": "index"})

    jouer(essai, maintenant_ms=instant_ms("2026-09-01T00:00:00"))


def test_minutes_vides_servies_plates() -> None:
    async def essai(b: Bourse, x: Any) -> None:
        lues = await x.fetch_ohlcv("BTC/USDT", "1m", DEBUT, 500)
        assert [ligne[0] for ligne in lues] == list(range(DEBUT, DEBUT + 500 * MINUTE_MS, MINUTE_MS))
        assert sum(ligne[5] == 0.0 for ligne in lues) > 100
        assert en_lignes(lues) == b.attendu("binance", "BTC/USDT", "1m", DEBUT, DEBUT + 500 * MINUTE_MS)

    jouer(essai, marche=Marche(taux_vide=0.4))


async def lire_brut(b: Bourse, chemin: str, **params: object) -> Any:
    """Interroge la bourse sans ccxt, et rend le JSON."""
    async with aiohttp.ClientSession() as session:
        textes = {nom: str(valeur) for nom, valeur in params.items()}
        async with session.get(f"{b.url}/binance{chemin}", params=textes) as reponse:
            return await reponse.json(content_type=None)


def pages_brutes(demandes: list[tuple[str, dict[str, object]]], **reglages: Any) -> list[Any]:
    """Rend les réponses brutes à plusieurs demandes."""

    async def dedans() -> list[Any]:
        async with bourse(**reglages) as b:
            return [await lire_brut(b, chemin, **params) for chemin, params in demandes]

    return derouler(dedans())


SPOT = {"symbol": "BTCUSDT", "interval": "1m"}
INVERSE = {"symbol": "BTCUSD_PERP", "interval": "1m"}


def test_spot_rend_les_premieres_bornes_incluses() -> None:
    fin = DEBUT + 3 * JOUR_MS
    large, exacte, decalee, defaut, trop = pages_brutes(
        [
            (KLINES, {**SPOT, "startTime": DEBUT, "endTime": fin, "limit": 7}),
            (KLINES, {**SPOT, "startTime": DEBUT, "endTime": DEBUT + 2 * MINUTE_MS}),
            (KLINES, {**SPOT, "startTime": DEBUT + 1, "limit": 1}),
            (KLINES, {**SPOT, "startTime": DEBUT}),
            (KLINES, {**SPOT, "startTime": DEBUT, "limit": 5000}),
        ],
    )
    assert [ligne[0] for ligne in large] == list(range(DEBUT, DEBUT + 7 * MINUTE_MS, MINUTE_MS))
    assert [ligne[0] for ligne in exacte] == [DEBUT, DEBUT + MINUTE_MS, DEBUT + 2 * MINUTE_MS]
    assert decalee[0][0] == DEBUT + MINUTE_MS
    assert (len(defaut), len(trop)) == (500, 1000)


def test_sans_debut_rend_les_dernieres() -> None:
    recentes, avant = pages_brutes([(KLINES, {**SPOT, "limit": 3}), (KLINES, {**SPOT, "endTime": DEBUT, "limit": 3})])
    courante = MAINTENANT - MAINTENANT % MINUTE_MS
    assert [ligne[0] for ligne in recentes] == [courante - 2 * MINUTE_MS, courante - MINUTE_MS, courante]
    assert recentes[-1][6] == courante + MINUTE_MS - 1
    assert [ligne[0] for ligne in avant] == [DEBUT - 2 * MINUTE_MS, DEBUT - MINUTE_MS, DEBUT]


def test_inverse_rend_les_dernieres_de_la_fenetre() -> None:
    """COIN-M, fenêtre plus large que la limite : les dernières, et non les premières."""
    large, seule = pages_brutes(
        [
            ("/dapi/v1/klines", {**INVERSE, "startTime": DEBUT, "endTime": DEBUT + HEURE_MS, "limit": 5}),
            ("/dapi/v1/klines", {**INVERSE, "startTime": DEBUT, "endTime": DEBUT + HEURE_MS}),
        ],
    )
    assert [ligne[0] for ligne in large] == [DEBUT + m * MINUTE_MS for m in range(56, 61)]
    assert len(seule) == 61
    assert float(seule[0][7]) == pytest.approx(float(seule[0][5]) * 100 / float(seule[0][4]), rel=0.05)


def test_contrats_acceptent_1500_et_pas_plus() -> None:
    pleine, refus = pages_brutes(
        [("/fapi/v1/klines", {**SPOT, "startTime": DEBUT, "limit": limite}) for limite in (1500, 1501)],
    )
    assert len(pleine) == 1500
    assert refus["code"] == -1130


def test_depart_avant_la_cotation_et_panne_declaree() -> None:
    cotation = Marche().instrument("binance", "BTC/USDT").cotation_ms
    panne = (DEBUT + 10 * MINUTE_MS, DEBUT + 5 * HEURE_MS)
    avant, autour, fin = pages_brutes(
        [
            (KLINES, {**SPOT, "startTime": 0, "limit": 2}),
            (KLINES, {**SPOT, "startTime": DEBUT, "limit": 12}),
            (KLINES, {**SPOT, "endTime": panne[1] + MINUTE_MS, "limit": 4}),
        ],
        marche=Marche(pannes=[panne]),
    )
    assert [ligne[0] for ligne in avant] == [cotation, cotation + MINUTE_MS]
    assert [ligne[0] for ligne in autour[9:]] == [DEBUT + 9 * MINUTE_MS, panne[1], panne[1] + MINUTE_MS]
    instants = [panne[0] - 2 * MINUTE_MS, panne[0] - MINUTE_MS, panne[1], panne[1] + MINUTE_MS]
    assert [ligne[0] for ligne in fin] == instants


def test_erreurs_de_binance() -> None:
    inconnu, manquant, intervalle, bornes, perdu = pages_brutes(
        [
            (KLINES, {"symbol": "RIEN", "interval": "1m"}),
            (KLINES, {"interval": "1m"}),
            (KLINES, {"symbol": "BTCUSDT", "interval": "7m"}),
            ("/fapi/v1/klines", {**SPOT, "startTime": 2, "endTime": 1}),
            ("/api/v3/inconnu", {}),
        ],
    )
    assert [r["code"] for r in (inconnu, manquant, intervalle, bornes, perdu)] == [-1121, -1102, -1120, -1023, -5000]


def test_bougie_en_cours_est_la_derniere_et_bouge() -> None:
    async def essai(b: Bourse, x: Any) -> None:
        avant = (await x.fetch_ohlcv("BTC/USDT", "1h", limit=2))[-1]
        b.avancer(20 * MINUTE_MS)
        apres = (await x.fetch_ohlcv("BTC/USDT", "1h", limit=2))[-1]
        assert avant[0] == apres[0] == MAINTENANT - MAINTENANT % HEURE_MS
        assert apres[5] > avant[5]

    jouer(essai)


def test_page_en_cache_ne_fige_pas_la_bougie_en_cours() -> None:
    """La même requête, page pleine jusqu'à maintenant : la dernière ligne doit changer quand le temps passe."""

    async def essai(b: Bourse, x: Any) -> None:
        depart = MAINTENANT - MAINTENANT % HEURE_MS - HEURE_MS
        avant = await x.fetch_ohlcv("BTC/USDT", "1h", depart, 2)
        b.avancer(HEURE_MS)
        apres = await x.fetch_ohlcv("BTC/USDT", "1h", depart, 2)
        assert avant[0] == apres[0]
        assert avant[1] != apres[1]
        assert en_lignes(apres) == b.attendu("binance", "BTC/USDT", "1h", depart, depart + 2 * HEURE_MS)

    jouer(essai)


# --- Trades -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("symbole", SYMBOLES)
def test_trades_par_date_puis_par_identifiant(symbole: str) -> None:
    async def essai(b: Bourse, x: Any) -> None:
        premiers = await x.fetch_trades(symbole, DEBUT, 100)
        suite = await x.fetch_trades(symbole, None, 100, {"fromId": int(premiers[-1]["id"]) + 1})
        identifiants = [int(t["id"]) for t in [*premiers, *suite]]
        assert identifiants == list(range(identifiants[0], identifiants[0] + 200))
        attendus = b.marche.trades(b.marche.instrument("binance", symbole), DEBUT, DEBUT + JOUR_MS)[:200]
        assert [(t["timestamp"], t["side"]) for t in [*premiers, *suite]] == [(t.ts, t.sens) for t in attendus]
        derniers = await x.fetch_trades(symbole)
        assert len(derniers) == 500
        assert derniers[-1]["timestamp"] <= b.maintenant_ms()

    jouer(essai)


def test_trades_reconstruisent_la_bougie() -> None:
    async def essai(_b: Bourse, x: Any) -> None:
        bougie = (await x.fetch_ohlcv("BTC/USDT", "1m", DEBUT, 1))[0]
        lus = await x.fetch_trades("BTC/USDT", DEBUT, 100, {"until": DEBUT + MINUTE_MS - 1})
        prix = [t["price"] for t in lus]
        assert bougie[1:5] == [prix[0], max(prix), min(prix), prix[-1]]
        assert bougie[5] == pytest.approx(sum(t["amount"] for t in lus), abs=1e-9)

    jouer(essai)


# --- Pannes de transport ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("panne", "erreur"),
    [
        (Panne("429", KLINES), ccxt.DDoSProtection),
        (Panne("418", KLINES, retry_after=5), ccxt.DDoSProtection),
        (Panne("http", KLINES, code=502), ccxt.ExchangeNotAvailable),
        (Panne("http", KLINES, code=503), ccxt.OperationFailed),
        (Panne("http", KLINES, code=451), ccxt.ExchangeNotAvailable),
        (Panne("coupure", KLINES), ccxt.BaseError),
        (Panne("tronque", KLINES), ccxt.BaseError),
        (Panne("muet", KLINES), ccxt.RequestTimeout),
        (Panne("lent", KLINES, delai_s=30), ccxt.RequestTimeout),
    ],
    ids=lambda valeur: getattr(valeur, "nature", None),
)
def test_panne_de_transport_leve(panne: Panne, erreur: type[Exception]) -> None:
    async def essai(b: Bourse, x: Any) -> None:
        patience_ms = x.timeout  # écourtée pour les seules pannes qui l'épuisent : une machine chargée dépasse 500 ms
        x.timeout = 500 if erreur is ccxt.RequestTimeout else patience_ms
        b.pannes.ajouter(panne)
        with pytest.raises(erreur):
            await x.fetch_ohlcv("BTC/USDT", "1m", DEBUT, 100)
        assert b.requetes[-1].panne == panne.nature
        b.pannes.retirer(panne)
        x.timeout = patience_ms
        assert len(await x.fetch_ohlcv("BTC/USDT", "1m", DEBUT, 100)) == 100

    panne.touchees = 0
    jouer(essai)


@pytest.mark.parametrize("nature", ["json_coupe", "html", "vide", "null"])
def test_panne_que_ccxt_avale(nature: str) -> None:
    """Avec un code 200, ccxt rend [] sans rien dire : c'est ce que le collecteur doit savoir déjouer."""

    async def essai(b: Bourse, x: Any) -> None:
        b.pannes.ajouter(Panne(nature, KLINES, fois=1))
        assert await x.fetch_ohlcv("BTC/USDT", "1m", DEBUT, 100) == []
        assert len(await x.fetch_ohlcv("BTC/USDT", "1m", DEBUT, 100)) == 100

    jouer(essai)


def test_panne_choisit_ses_requetes() -> None:
    pannes = Pannes()
    visee = pannes.ajouter(Panne("vide", "klines", fois=2, sauter=1, symbole="BTCUSDT"))
    demandes = ["BTCUSDT", "ETHUSDT", "BTCUSDT", "BTCUSDT", "BTCUSDT"]
    touchees = [pannes.choisir("GET", KLINES, {"symbol": s}) is visee for s in demandes]
    assert touchees == [False, False, True, True, False]
    assert pannes.choisir("GET", "/api/v3/time", {}) is None
    au_hasard = Pannes([Panne("vide", probabilite=0.3)])
    assert 200 < sum(au_hasard.choisir("GET", "/", {}) is not None for _ in range(1000)) < 400


def test_nature_inconnue_refusee() -> None:
    with pytest.raises(ValueError, match="Nature de panne inconnue"):
        Panne("inexistante")


# --- Pannes de page ---------------------------------------------------------------------------------------------------


def page_avec(panne: Panne, chemin: str = KLINES, **params: object) -> tuple[list[Any], list[Any]]:
    """Rend une page saine et la même abîmée."""

    async def dedans() -> tuple[list[Any], list[Any]]:
        async with bourse() as b:
            demande = {**SPOT, "startTime": DEBUT, "limit": 20, **params}
            saine = await lire_brut(b, chemin, **demande)
            b.pannes.ajouter(panne)
            return saine, await lire_brut(b, chemin, **demande)

    return derouler(dedans())


def test_pages_en_double_en_desordre_ou_qui_debordent() -> None:
    saine, doublee = page_avec(Panne("doublons", k=2))
    assert len(doublee) == 22
    assert sorted({ligne[0] for ligne in doublee}) == [ligne[0] for ligne in saine]
    saine, melangee = page_avec(Panne("desordre"))
    assert melangee != saine
    assert sorted(melangee) == saine
    saine, large = page_avec(Panne("chevauchement", k=3))
    assert [ligne[0] for ligne in large] == list(range(DEBUT - 3 * MINUTE_MS, DEBUT + 23 * MINUTE_MS, MINUTE_MS))
    assert large[3:-3] == saine


def test_pages_ecourtees() -> None:
    saine, plafonnee = page_avec(Panne("plafond", n=8))
    assert plafonnee == saine[:8]
    saine, trouee = page_avec(Panne("trou", k=4, rang=5))
    assert trouee == saine[:5] + saine[9:]
    saine, sans_tete = page_avec(Panne("tete", k=3))
    assert sans_tete == saine[3:]
    saine, sans_queue = page_avec(Panne("queue", k=3))
    assert sans_queue == saine[:-3]
    assert page_avec(Panne("page_vide"))[1] == []


COIN_M: dict[str, Any] = {"chemin": "/dapi/v1/klines", "symbol": "BTCUSD_PERP", "endTime": DEBUT + 19 * MINUTE_MS}


def test_des_mensonges_bien_formes() -> None:
    """Sourde à la fenêtre, réduite aux dernières, en retard, oublieuse, vide près d'une ligne, plus courte en jours."""
    dernieres = [MAINTENANT // MINUTE_MS * MINUTE_MS - k * MINUTE_MS for k in range(4, -1, -1)]
    for debut in (DEBUT, DEBUT - 3 * JOUR_MS):
        assert [ligne[0] for ligne in page_avec(Panne("sourde", n=5), startTime=debut)[1]] == dernieres
    recent = dernieres[-1] - 9 * MINUTE_MS
    assert [ligne[0] for ligne in page_avec(Panne("portee", n=5), startTime=recent)[1]] == dernieres
    assert page_avec(Panne("portee", n=5))[1] == []
    saine, retard = page_avec(Panne("replique", retard_s=300), startTime=recent)
    assert retard == saine[:-5]
    assert page_avec(Panne("oubli", age_s=120), startTime=recent)[1] == saine[-2:]
    saine, seule = page_avec(Panne("voisine_seule"))
    assert seule == saine[:1]
    saine, courte = page_avec(Panne("fenetre_en_jours", jours=3), interval="1d")
    assert courte == saine[:3]
    saine, courte = page_avec(Panne("fenetre_en_jours", jours=3), **COIN_M, interval="1d")
    assert courte == saine[-3:]


def test_un_autre_pas_que_demande() -> None:
    """Plus long, ce sont les vraies bougies d'un autre timeframe ; plus court, des minutes serrées."""
    saine, longues = page_avec(Panne("autre_pas", facteur=60))
    heures, _ = page_avec(Panne("trou"), interval="1h")
    assert [ligne[:6] for ligne in longues[:5]] == [ligne[:6] for ligne in heures[:5]]
    _, courtes = page_avec(Panne("autre_pas", facteur=0.2))
    assert [ligne[0] for ligne in courtes] == [DEBUT + k * 12_000 for k in range(len(saine))]


def test_une_erreur_au_lieu_d_une_page_vide() -> None:
    """Seulement là où il n'y a rien ; et un timeframe qui échoue, les autres non."""

    async def essai() -> None:
        pannes = [Panne("erreur_si_vide", KLINES), Panne("http", KLINES, code=422, timeframe="1d")]
        async with bourse(pannes=pannes) as b:
            assert len(await lire_brut(b, KLINES, **SPOT, startTime=DEBUT, limit=10)) == 10
            assert "no data" in str(await lire_brut(b, KLINES, **SPOT, startTime=MAINTENANT + JOUR_MS))
            b.pannes.retirer(next(iter(b.pannes)))
            assert len(await lire_brut(b, KLINES, **SPOT, startTime=DEBUT, limit=10)) == 10
            async with client(b) as exchange:
                await exchange.load_markets()
                with pytest.raises(ccxt.BaseError, match="422"):
                    await exchange.fetch_ohlcv("BTC/USDT", "1d", DEBUT, 10)

    derouler(essai())


def test_plafond_de_l_inverse_garde_les_dernieres() -> None:
    saine, plafonnee = page_avec(
        Panne("plafond", n=8), "/dapi/v1/klines", symbol="BTCUSD_PERP", endTime=DEBUT + 19 * MINUTE_MS
    )
    assert plafonnee == saine[-8:]


def test_page_repetee_rend_toujours_la_premiere() -> None:
    async def essai() -> None:
        async with bourse(pannes=[Panne("repetee", KLINES)]) as b:
            pages = [await lire_brut(b, KLINES, **SPOT, startTime=DEBUT + k * HEURE_MS, limit=10) for k in range(3)]
            assert pages[0] == pages[1] == pages[2]

    derouler(essai())


@pytest.mark.parametrize(
    ("cas", "controle"),
    [
        ("nan", lambda ligne: ligne[4] == "NaN"),
        ("null", lambda ligne: ligne[4] is None),
        ("texte", lambda ligne: ligne[4] == "abc"),
        ("negatif", lambda ligne: float(ligne[5]) < 0),
        ("zero", lambda ligne: float(ligne[1]) == 0),
        ("high_low", lambda ligne: float(ligne[2]) < float(ligne[3])),
        ("hors_grille", lambda ligne: ligne[0] % MINUTE_MS != 0),
    ],
)
def test_valeurs_impossibles(cas: str, controle: Callable[[list[Any]], bool]) -> None:
    saine, abimee = page_avec(Panne("valeurs", cas=cas, rang=6))
    assert controle(abimee[6])
    assert not controle(saine[6])
    assert abimee[:6] + abimee[7:] == saine[:6] + saine[7:]


def test_chaque_panne_de_page_survit_a_une_page_vide() -> None:
    for nature in sorted(NATURES_PAGE - {"sourde", "erreur_si_vide"}):  # celles-là rendent autre chose que rien
        assert page_avec(Panne(nature), startTime=MAINTENANT + JOUR_MS)[1] == []


# --- Débit ------------------------------------------------------------------------------------------------------------


def test_poids_reel_de_binance_annonce() -> None:
    async def essai() -> None:
        async with bourse(limites=True) as b, aiohttp.ClientSession() as session:
            utilise = 0
            for chemin, poids in ((KLINES, 2), ("/api/v3/exchangeInfo", 20), ("/api/v3/time", 1)):
                async with session.get(f"{b.url}/binance{chemin}", params=SPOT) as reponse:
                    utilise += poids
                    assert reponse.headers["X-MBX-USED-WEIGHT-1M"] == str(utilise)
            async with session.get(f"{b.url}/binance/fapi/v1/klines", params={**SPOT, "limit": "1000"}) as reponse:
                assert reponse.headers["X-MBX-USED-WEIGHT-1M"] == "5"

    derouler(essai())


def test_debit_depasse_429_puis_banni_418() -> None:
    async def essai() -> None:
        async with bourse(limites=True) as b, aiohttp.ClientSession() as session:
            b.protocoles["binance"].limites["spot"] = Limite(10, 60.0, insistances=2)  # type: ignore[attr-defined]
            reponses = []
            for rang in range(12):
                async with session.get(f"{b.url}/binance{KLINES}", params={**SPOT, "limit": "1"}) as reponse:
                    reponses.append((reponse.status, dict(reponse.headers), await reponse.text()))
                if rang == 6:
                    await asyncio.sleep(0.3)  # le temps laissé au client pour apprendre le refus
            codes = [code for code, _, _ in reponses]
            assert codes[:6] == [200] * 5 + [429]
            assert codes[-1] == 418
            assert b.violations >= 4
            assert 1 <= int(reponses[5][1]["Retry-After"]) <= 60
            jusqua = re.search(r"Way too much request weight used; IP banned until (\d+)", reponses[-1][2])
            assert jusqua is not None
            assert 100_000 < int(jusqua[1]) - b.maintenant_ms() <= 120_000
            assert json.loads(reponses[5][2])["code"] == -1003

    derouler(essai())


def test_limite_rouvre_a_la_fenetre_suivante() -> None:
    limite = Limite(10, 60.0)
    assert limite.consommer(10, 5.0).accepte
    refus = limite.consommer(1, 6.0)
    assert (refus.accepte, refus.code, refus.violation) == (False, 429, True)
    assert refus.attente_s == pytest.approx(54.0)
    assert not limite.consommer(1, 6.1, perception_s=0.5).violation
    assert limite.consommer(1, 59.0, perception_s=0.5).violation
    assert limite.consommer(1, 60.1).accepte


def test_panne_429_avec_attente_ferme_vraiment_la_porte() -> None:
    """Pendant l'attente annoncée, toute requête est refusée et comptée ; ensuite tout revient."""

    async def essai(b: Bourse, x: Any) -> None:
        b.pannes.ajouter(Panne("429", KLINES, fois=1, retry_after=1))
        with pytest.raises(ccxt.DDoSProtection):
            await x.fetch_ohlcv("BTC/USDT", "1m", DEBUT, 10)
        await asyncio.sleep(0.4)
        with pytest.raises(ccxt.DDoSProtection):
            await x.fetch_time()
        assert b.violations == 1
        await asyncio.sleep(0.8)
        assert len(await x.fetch_ohlcv("BTC/USDT", "1m", DEBUT, 10)) == 10
        assert b.violations == 1

    jouer(essai, limites=True)


def test_ccxt_a_son_debit_ne_viole_rien() -> None:
    async def essai() -> None:
        async with bourse(limites=True) as b, client(b, enableRateLimit=True) as x:
            await x.load_markets()
            await asyncio.gather(*(x.fetch_ohlcv("BTC/USDT", "1m", DEBUT + k * JOUR_MS, 100) for k in range(12)))
            assert b.violations == 0
            assert b.compter(KLINES, 200) == 12

    derouler(essai())


# --- Horloge, latence, journal ----------------------------------------------------------------------------------------


def test_horloge_fixee_decalee_acceleree() -> None:
    async def essai(b: Bourse, x: Any) -> None:
        assert abs(await x.fetch_time() - MAINTENANT) < 5000
        b.decalage_ms = 600_000
        assert abs(await x.fetch_time() - MAINTENANT - 600_000) < 5000

    jouer(essai)
    with temps_simule() as temps:
        rapide = bourse(acceleration=1000.0)
        depart = rapide.maintenant_ms()
        temps.durer(0.05)
        assert rapide.maintenant_ms() - depart >= 50_000


def test_journal_et_latence() -> None:
    async def essai(b: Bourse, x: Any) -> None:
        debut = asyncio.get_running_loop().time()
        await asyncio.gather(*(x.fetch_ohlcv("BTC/USDT", "1m", DEBUT, 10 + k) for k in range(3)))
        assert b.compter(KLINES) == b.compter(KLINES, 200) == 3
        assert b.compter("/fapi") == 0
        assert b.compter_par_chemin() == {"/binance" + KLINES: 3}
        assert max(r.en_vol for r in b.requetes) == 2
        assert {r.params["symbol"] for r in b.requetes} == {"BTCUSDT"}
        assert b.requetes[0].instant <= b.requetes[-1].instant

        assert asyncio.get_running_loop().time() - debut == pytest.approx(0.1, abs=0.01)  # les trois ensemble

    jouer(essai, latence_s=0.1)


def test_meme_page_servie_identique_apres_cache() -> None:
    une, autre = pages_brutes([(KLINES, {**SPOT, "startTime": DEBUT, "limit": 50})] * 2)
    assert une == autre


def test_en_fil_sert_la_classe_synchrone() -> None:
    with bourse().en_fil() as b:
        x = ccxt.binance({**b.config_ccxt("binance"), "enableRateLimit": False})
        lues = x.fetch_ohlcv("BTC/USDT", "1m", DEBUT, 10)
        assert en_lignes(lues) == b.attendu("binance", "BTC/USDT", "1m", DEBUT, DEBUT + 10 * MINUTE_MS)
        x.close()
    with pytest.raises(ConnectionRefusedError), socket.create_connection(("127.0.0.1", b.port), timeout=1):
        pass


def test_marche_retire_porte_son_etat() -> None:
    instruments = [replace(i, actif=False) for i in Marche().instruments["binance"]]

    async def essai(_b: Bourse, x: Any) -> None:
        assert not any(x.market(s)["active"] for s in SYMBOLES)

    jouer(essai, marche=Marche(instruments={"binance": instruments}))


# --- Ligne de commande ------------------------------------------------------------------------------------------------


@pytest.mark.posix
@pytest.mark.parametrize("arret", [signal.SIGINT, signal.SIGTERM])
def test_ligne_de_commande_sert_et_s_arrete(arret: signal.Signals) -> None:
    commande = [sys.executable, "-m", "bourse_locale", "--exchanges", "binance", "--panne", "vide:chemin=klines,fois=1"]
    processus = subprocess.Popen(commande, cwd=RACINE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert processus.stdout is not None
        adresse = re.search(r"http://127\.0\.0\.1:\d+", processus.stdout.readline())
        assert adresse is not None
        configuration = next(ligne for ligne in processus.stdout if ligne.startswith("{"))
        x = ccxt.binance({**json.loads(configuration), "enableRateLimit": False})
        assert x.fetch_ohlcv("BTC/USDT", "1m", limit=5) == []
        assert len(x.fetch_ohlcv("BTC/USDT", "1m", limit=5)) == 5
        x.close()
    finally:
        processus.send_signal(arret)
        sortie, erreurs = processus.communicate(timeout=PLAFOND_S)
    assert (processus.returncode, erreurs) == (0, "")
    assert "Bourse arrêtée." in sortie


def test_ligne_de_commande_en_francais(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as sortie:
        main(["--aide"])
    assert sortie.value.code == 0
    aide = capsys.readouterr().out
    assert aide.startswith("usage :")
    assert not re.search(r"\b(show|exit|help message)\b", aide)
    for mauvais, phrase in (
        (["--panne", "rien"], "--panne : Nature de panne inconnue : « rien »."),
        (["--exchanges", "inconnu"], "--exchanges : exchange inconnu : « inconnu »"),
        (["--port", "abc"], "--port : un entier est attendu, pas « abc »"),
        (["--latence", "x"], "--latence : un nombre est attendu, pas « x »"),
        (["--port"], "--port : une valeur est attendue"),
        (["--sans-limites=1"], "--sans-limites : c'est un drapeau, il ne prend pas de valeur"),
        (["bonjour"], "option inconnue : bonjour"),
    ):
        with pytest.raises(SystemExit) as refus:
            main(mauvais)
        assert refus.value.code == 2
        assert capsys.readouterr().err.startswith(f"Erreur : {phrase}")


def test_lire_panne() -> None:
    panne = lire_panne("429:chemin=klines,fois=2,sauter=1,probabilite=0.5,retry_after=1.5,symbole=BTCUSDT")
    assert (panne.nature, panne.chemin, panne.fois, panne.sauter, panne.probabilite) == ("429", "klines", 2, 1, 0.5)
    assert panne.reglages == {"retry_after": 1.5, "symbole": "BTCUSDT"}


# --- Rejeu ------------------------------------------------------------------------------------------------------------

enregistre = pytest.mark.skipif(
    not ENREGISTREMENT.is_dir(),
    reason="données réelles absentes : donner leur dossier par la variable DONNEES_REELLES",
)


@enregistre
def test_rejeu_kraken_rend_les_bougies_enregistrees() -> None:
    rejeu = Rejeu(ENREGISTREMENT)
    debut, fin = rejeu.bornes_ms

    async def essai() -> None:
        async with rejeu.bourse() as b, client(b, "kraken") as x:
            lues = await x.fetch_ohlcv("BTC/USDT", "1m", debut, 1000)
            heure = await x.fetch_time()
            assert lues[-1][0] == fin <= heure < fin + MINUTE_MS
            assert en_lignes(lues[:-1]) == b.attendu("kraken", "BTC/USDT", "1m", debut, fin)
            suite = await x.fetch_ohlcv("BTC/USDT", "1m", debut + 100 * MINUTE_MS)
            assert suite[0][0] == debut + 100 * MINUTE_MS
            assert len(lues) == 721

    derouler(essai())


@enregistre
def test_rejeu_kraken_egale_le_csv_enregistre_a_cote() -> None:
    """Le témoin est l'autre fichier du dossier, écrit par d'autres : pas notre propre lecture."""
    rejeu = Rejeu(ENREGISTREMENT)
    lignes = (ENREGISTREMENT / "candles_1m.csv").read_text(encoding="utf-8").splitlines()[1:]
    temoin = [tuple(float(c) for c in ligne.split(",")) for ligne in lignes]
    b = rejeu.bourse()
    debut, fin = rejeu.bornes_ms
    assert b.attendu("kraken", "BTC/USDT", "1m", debut, fin) == [t for t in temoin if t[0] < fin]


@enregistre
def test_rejeu_kraken_trades() -> None:
    async def essai() -> None:
        async with Rejeu(ENREGISTREMENT).bourse() as b, client(b, "kraken") as x:
            trades = await x.fetch_trades("BTC/USDT", 1)
            assert len(trades) == 1000
            assert [int(t["id"]) for t in trades] == list(range(10218208, 10219208))
            curseur = trades[-1]["info"][-1]
            assert await x.fetch_trades("BTC/USDT", params={"since": curseur}) == []

    derouler(essai())
