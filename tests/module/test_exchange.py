"""§ 7 : les vraies classes ccxt, rendues bruyantes, ouvertes et fermées ; erreurs traduites, symboles résolus."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import gc
import json
import logging
import math
import socket
import ssl
import struct
import sys
import threading
import traceback
import types
from email.utils import formatdate
from typing import TYPE_CHECKING, Any, TypeVar

import aiohttp
import ccxt.async_support as ccxt
import pytest
from ccxt.base import errors as erreurs_ccxt
from marche_simule import classe_neuve
from temps_simule import temps_simule

import module_ccxt_fr_v2 as module
from annexes_ccxt_fr.types_de_marche import marches_utiles
from bourse_locale import Bourse, Panne, serveur

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from pathlib import Path

T = TypeVar("T")
HEURE = 1_767_225_600_000  # 2026-01-01
MINUTE, JOUR = 60_000, 86_400_000
CLE, SECRET = "CLE-TRES-PRIVEE-0123", "SECRET-TRES-PRIVE-4567"


def jouer(
    bourse: Bourse, exchange: str, scenario: Callable[[module.Connexion], Awaitable[T]], **reglages: Any
) -> T:
    """Ouvre une connexion à l'exchange embarqué le temps d'un scénario ; les attentes entre essais sont nulles."""

    async def derouler() -> T:
        config = module.fondre_dicts(bourse.config_ccxt(exchange), reglages.pop("config_ccxt", {}))
        config |= {"enableRateLimit": False, "timeout_on_exit": 0}
        async with module.Connexion(module.Reglages(exchange, config_ccxt=config, **reglages)) as connexion:
            connexion.essais.dormir = ne_pas_attendre
            connexion.essais.frein = module.Frein(ne_pas_attendre, iter(range(10**9)).__next__)
            return await scenario(connexion)

    return asyncio.run(derouler())


async def ne_pas_attendre(_secondes: float) -> None:
    """Rend la main sans attendre."""
    await asyncio.sleep(0)


# Traduction des erreurs : chaque classe de ccxt, sans exception

DEBIT, TEMPORAIRE = module.LimiteDeDebit, module.ErreurTemporaire
DEFINITIVE, DEMANDE = module.ErreurDefinitive, module.ErreurDemande
ATTENDUES: dict[str, type[module.ErreurCollecte]] = {
    "BaseError": DEFINITIVE,
    "UnsubscribeError": DEFINITIVE,
    # ce que ccxt n'a pas su classer : corps tronqué, code inconnu
    "ExchangeError": TEMPORAIRE,
    "InsufficientFunds": TEMPORAIRE,
    "InvalidAddress": TEMPORAIRE,
    "AddressPending": TEMPORAIRE,
    "InvalidOrder": TEMPORAIRE,
    "OrderNotFound": TEMPORAIRE,
    "OrderNotCached": TEMPORAIRE,
    "OrderImmediatelyFillable": TEMPORAIRE,
    "OrderNotFillable": TEMPORAIRE,
    "DuplicateOrderId": TEMPORAIRE,
    # refusé pour de bon
    "AuthenticationError": DEFINITIVE,
    "PermissionDenied": DEFINITIVE,
    "AccountNotEnabled": DEFINITIVE,
    "AccountSuspended": DEFINITIVE,
    "ArgumentsRequired": DEFINITIVE,
    "BadRequest": DEFINITIVE,
    "BadSymbol": DEFINITIVE,
    "OperationRejected": DEFINITIVE,
    "NoChange": DEFINITIVE,
    "MarginModeAlreadySet": DEFINITIVE,
    "MarketClosed": DEFINITIVE,
    "ManualInteractionNeeded": DEFINITIVE,
    "RestrictedLocation": DEFINITIVE,
    "ContractUnavailable": DEFINITIVE,
    "NotSupported": DEFINITIVE,
    "ExchangeClosedByUser": DEFINITIVE,
    "InvalidProxySettings": DEMANDE,
    # passager
    "OperationFailed": TEMPORAIRE,
    "NetworkError": TEMPORAIRE,
    "ExchangeNotAvailable": TEMPORAIRE,
    "OnMaintenance": TEMPORAIRE,
    "InvalidNonce": TEMPORAIRE,
    "ChecksumError": TEMPORAIRE,
    "RequestTimeout": TEMPORAIRE,
    "BadResponse": TEMPORAIRE,
    "NullResponse": TEMPORAIRE,
    "CancelPending": TEMPORAIRE,
    # attendre
    "DDoSProtection": DEBIT,
    "RateLimitExceeded": DEBIT,
}


def descendantes(classe: type[Exception]) -> Iterator[type[Exception]]:
    yield classe
    for fille in classe.__subclasses__():
        if fille.__module__ == erreurs_ccxt.__name__:
            yield from descendantes(fille)


def test_chaque_erreur_de_ccxt_est_dans_la_table() -> None:
    """Une classe nouvelle de ccxt se voit ici, avant de surprendre quelqu'un."""
    assert {classe.__name__ for classe in descendantes(erreurs_ccxt.BaseError)} == set(ATTENDUES)
    assert {nom for nom, *_ in module.TRADUCTIONS} <= set(ATTENDUES)


@pytest.mark.parametrize("nom", ATTENDUES)
def test_chaque_erreur_de_ccxt_a_sa_traduction(nom: str) -> None:
    """La classe exacte, ce sur quoi cela portait, et ce que l'exchange a dit."""
    traduite = module.traduire(getattr(erreurs_ccxt, nom)("binance dit non"), "Bougies de BTC/USDT", HEURE)
    assert type(traduite) is ATTENDUES[nom]
    assert str(traduite) == "Bougies de BTC/USDT : binance dit non"
    assert traduite.conseil or nom in ("BaseError", "UnsubscribeError", "ExchangeClosedByUser")


@pytest.mark.parametrize(
    "erreur",
    [
        TypeError("'NoneType' object is not subscriptable"),
        KeyError("symbol"),
        IndexError("list index out of range"),
        ValueError("could not convert string to float: '<html>'"),
        aiohttp.ClientPayloadError("Response payload is not completed"),
        ConnectionResetError(104, "Connection reset by peer"),
        TimeoutError(),
    ],
)
def test_ce_que_ccxt_ne_classe_pas_est_passager(erreur: Exception) -> None:
    """Une réponse d'une forme inattendue, un corps tronqué, une coupure : réessayer, et toujours une phrase."""
    traduite = module.traduire(erreur, "Bougies", HEURE)
    assert type(traduite) is TEMPORAIRE
    assert len(str(traduite)) > len("Bougies : ")


def test_nos_erreurs_passent_telles_quelles() -> None:
    erreur = module.ErreurTemporaire("Réponse illisible")
    assert module.traduire(erreur, "Bougies", HEURE) is erreur


def avec_http(erreur: Exception, statut: int, **entetes: str) -> Exception:
    erreur.statut_http = statut  # type: ignore[attr-defined]
    erreur.entetes_http = {nom.replace("_", "-"): valeur for nom, valeur in entetes.items()}  # type: ignore[attr-defined]
    return erreur


def date_http(instant_ms: int) -> str:
    return formatdate(instant_ms / 1000, usegmt=True)


@pytest.mark.parametrize(
    ("erreur", "attente_s"),
    [
        (avec_http(erreurs_ccxt.RateLimitExceeded("lent"), 429, Retry_After="7"), 7.0),
        (avec_http(erreurs_ccxt.DDoSProtection("lent"), 418, retry_after=" 2.5 "), 2.5),
        (avec_http(erreurs_ccxt.DDoSProtection("lent"), 429, RETRY_AFTER=date_http(HEURE + 90_000)), 90.5),
        (avec_http(erreurs_ccxt.DDoSProtection("lent"), 429, Retry_After=date_http(HEURE - 90_000)), 0.0),
        (avec_http(erreurs_ccxt.DDoSProtection("lent"), 429, Retry_After="bientôt"), None),
        (avec_http(erreurs_ccxt.DDoSProtection("lent"), 429), None),
        (erreurs_ccxt.DDoSProtection(f'{{"msg":"IP banned until {HEURE + 61_500}. Use websocket"}}'), 62.0),
        (avec_http(erreurs_ccxt.DDoSProtection(f"banned until {HEURE + 5000}"), 418, Retry_After="1"), 5.5),
        (erreurs_ccxt.DDoSProtection(f"banned until {HEURE - 5000}"), 0.0),
    ],
)
def test_l_attente_demandee_est_lue(erreur: Exception, attente_s: float | None) -> None:
    """`Retry-After` en secondes ou en date, « banned until » en ms : cet instant, plus le doute de notre heure."""
    traduite = module.traduire(erreur, "Bougies", HEURE)
    assert isinstance(traduite, module.LimiteDeDebit)
    assert traduite.attente_s == attente_s


@pytest.mark.parametrize("ecart", [0, 1, 999, 59_999, MINUTE, JOUR - 1, JOUR, 59 * JOUR, 60 * JOUR, 366 * JOUR])
@pytest.mark.parametrize("depart", [0, HEURE, 1_709_164_799_999, 951_782_400_000])  # 29 février 2024 et 2000
def test_une_date_est_ecrite_comme_par_ccxt(depart: int, ecart: int) -> None:
    exchange = module._classe("binance")({})
    assert exchange.iso8601(depart + ecart) == ccxt.Exchange.iso8601(depart + ecart)


@pytest.mark.parametrize("instant", [None, -1, "1755432123456", "12abc", "", 1.5, True, math.nan, 10**15, 10**17])
def test_ce_qui_n_est_pas_un_instant_a_la_date_de_ccxt(instant: Any) -> None:
    assert module._classe("binance")({}).iso8601(instant) == ccxt.Exchange.iso8601(instant)


@pytest.mark.parametrize(
    ("statut", "texte", "attendue"),
    [
        (451, "Unavailable", DEFINITIVE),
        (403, "Service unavailable from a restricted location according to 'b. Eligibility'", DEFINITIVE),
        (403, "The Amazon CloudFront distribution is configured to block access from your country.", DEFINITIVE),
        (403, "Too many requests", DEBIT),
        (403, "Forbidden", TEMPORAIRE),
        (404, "Not Found", TEMPORAIRE),
        (418, "I'm a teapot", DEBIT),
        (429, "slow down", DEBIT),
        (502, "Bad Gateway", TEMPORAIRE),
    ],
)
def test_le_code_http_l_emporte_sur_la_classe(statut: int, texte: str, attendue: type) -> None:
    """Un pays refusé ne se réessaie pas, un débit refusé s'attend, le reste se réessaie."""
    traduite = module.traduire(avec_http(erreurs_ccxt.ExchangeNotAvailable(texte), statut), "Bougies", HEURE)
    assert type(traduite) is attendue
    assert ("--proxy" in traduite.conseil) == (attendue is not DEBIT)


def test_trop_ancien_dit_combien_de_points() -> None:
    """Le nombre, quand l'exchange le donne (gate) ; dans les deux cas, c'est hors de sa fenêtre."""
    for texte, points in (
        ("gate Candlestick too long ago. Maximum 10000 points ago are allowed", 10_000),
        ("start time too old", None),
    ):
        traduite = module.traduire(erreurs_ccxt.BadRequest(texte), "Bougies", HEURE)
        assert isinstance(traduite, module.HorsFenetre)
        assert traduite.admis == points


@pytest.mark.parametrize("texte", [
    "Rate limit exceeded for this time window", "Too many requests, exceeding the allowed period",
    "The number of requests per minute exceeds the time window",
])  # fmt: skip
def test_un_refus_de_debit_ne_raccourcit_pas_la_fenetre(texte: str) -> None:
    """Le débit aussi se compte par fenêtre de temps : prise pour trop longue, celle des bougies finirait à une."""
    traduite = module.traduire(avec_http(erreurs_ccxt.ExchangeError(texte), 400), "Bougies", HEURE)
    assert not isinstance(traduite, module.FenetreTropLongue)


@pytest.mark.parametrize(("texte", "jours"), [
    ('bitget {"code":"00001","msg":"startTime and endTime interval cannot be greater than 30 days"}', 30),
    ("the time interval between start time and end time is greater than 48 hours", None),
    ("Between startTime and endTime, the period must not be more than 200 days", 200),
    ('binancecoinm {"code":-4047,"msg":"Time interval must be within 0-90 days"}', 90),
    ("The difference between startTime and endTime can only be up to 200 days", 200),
    ("Start time is greater than end time", 0),
    ("endTime must be greater than 1700000000000", 0),
])  # fmt: skip
def test_une_fenetre_trop_longue_se_dit_aussi_par_plus_grand_que(texte: str, jours: int | None) -> None:
    """Ainsi bitget refuse un trimestre de 92 jours : le mois n'y témoignait plus. Des bornes inverses, non."""
    traduite = module.traduire(avec_http(erreurs_ccxt.BadRequest(texte), 400), "Bougies", HEURE)
    assert isinstance(traduite, module.FenetreTropLongue) is (jours != 0)
    assert getattr(traduite, "admis", 0) == jours


def test_un_long_corps_est_coupe_et_sans_balises() -> None:
    """Une page HTML de 100 Ko ne fait pas un message de 100 Ko."""
    page = "<html><body>" + "<p>Panne&nbsp;générale</p>\n" * 5000
    message = str(module.traduire(erreurs_ccxt.ExchangeError(page), "Bougies", HEURE))
    assert len(message) < 350
    assert "<" not in message
    assert "\n" not in message


# Secrets


def test_masquer_ote_cles_signatures_et_mots_de_passe() -> None:
    texte = f"GET https://h/x?apiKey={CLE}&signature=abc123&n=1 via http://moi:motdepasse@proxy:8080 {SECRET}"
    masque = module.masquer(texte, [CLE, SECRET])
    assert masque == "GET https://h/x?apiKey=***&signature=***&n=1 via http://moi:***@proxy:8080 ***"
    assert module.masquer("rien à taire", [CLE]) == "rien à taire"


@pytest.mark.parametrize("code", [400, 401, 500, 200])
def test_une_cle_reprise_par_l_exchange_est_masquee(bourse: Bourse, code: int) -> None:
    """Ni dans le message, ni dans le repr, ni dans la chaîne des causes, ni dans le journal des essais."""
    corps = f'{{"code":-2015,"msg":"Invalid API-key {CLE} / {SECRET}"}}' if code != 200 else f"<p>{CLE} {SECRET}</p>"
    bourse.pannes.ajouter(Panne("http", "exchangeInfo", code=code, corps=corps))
    paroles: list[str] = []

    async def scenario(connexion: module.Connexion) -> None:
        connexion.essais.noter = lambda _essai, _sur, erreur, _attente: paroles.append(str(erreur))
        await connexion.charger_marches()

    identifiants = {"apiKey": CLE, "secret": SECRET}
    with pytest.raises(module.ErreurCollecte) as refus:
        jouer(bourse, "binance", scenario, identifiants=identifiants, essais=2)
    erreur = refus.value
    dit = "".join(traceback.format_exception(erreur)) + repr(erreur) + erreur.complet() + "".join(paroles)
    assert "***" in dit
    assert CLE not in dit
    assert SECRET not in dit
    assert erreur.__cause__ is None


def test_le_repr_des_reglages_tait_tout_ce_qui_peut_porter_une_cle() -> None:
    reglages = module.Reglages(
        "okx", identifiants={"apiKey": CLE}, params={"k": CLE}, config_ccxt={"secret": SECRET}, proxy=f"http://a:{SECRET}@h"
    )
    assert "PRIV" not in repr(reglages)


# Tous les exchanges


def lisible(code: str) -> module.Timeframe | None:
    with contextlib.suppress(ValueError):
        return module.Timeframe.lire(code)
    return None


def test_tous_les_exchanges_se_construisent_et_disent_ce_qu_ils_savent() -> None:
    """Les ~100 identifiants de ccxt, hors ligne : construits, interrogés, fermés ; sans bougies, refusés clairement."""
    refuses: dict[str, str] = {}
    illisibles: list[str] = []

    async def interroger(nom: str) -> None:
        async with module.Connexion(module.Reglages(nom)) as connexion:
            offerts = connexion.api.timeframes or {"1m": "1m"}
            try:
                module.lever_le_premier(connexion.refus_des_bougies(next(iter(offerts)), "last"))
            except module.ErreurDemande as erreur:
                refuses[nom] = erreur.complet()
            else:
                illisibles.extend(code for code in offerts if lisible(code) is None)
            assert connexion.requetes == 0

    async def parcourir() -> None:
        # Ensemble : ccxt attend un quart de seconde à chaque fermeture.
        await asyncio.gather(*map(interroger, module.identifiants_exchanges()))

    asyncio.run(parcourir())
    # backpack et phemex ont des codes d'un autre genre (« 15 », « 1Y ») : refusés comme mal formés.
    assert len(illisibles) < 5
    sans_bougies = [nom for nom in ccxt.exchanges if not classe_neuve(nom).has.get("fetchOHLCV")]
    conseil = "Prenez un autre exchange : --lister exchanges."
    assert refuses == {nom: f"{nom} ne sert pas de bougies (fetchOHLCV). {conseil}" for nom in sans_bougies}
    assert len(module.identifiants_exchanges()) > 90


def test_la_classe_websocket_est_prise_quand_elle_existe() -> None:
    """REST et WebSocket partageront la session ; sinon, la classe REST asynchrone suffit."""
    assert hasattr(module._classe("binance"), "watch_trades")
    sans_pro = next(nom for nom in ccxt.exchanges if nom not in __import__("ccxt.pro").pro.exchanges)
    assert issubclass(module._classe(sans_pro), getattr(ccxt, sans_pro))


def test_un_exchange_inconnu_propose_le_plus_proche() -> None:
    with pytest.raises(module.ErreurDemande) as refus:
        module.Connexion(module.Reglages("binnance"))
    assert str(refus.value) == "Exchange inconnu : « binnance »"
    assert "« binance »" in refus.value.conseil
    with pytest.raises(module.ErreurDemande) as refus:
        module.Connexion(module.Reglages("zzzzzzz"))
    assert refus.value.conseil == "La liste : --lister exchanges."


@pytest.mark.parametrize("fin", ["normale", "erreur", "annulation"])
def test_la_session_est_toujours_fermee(bourse: Bourse, fin: str, caplog: pytest.LogCaptureFixture) -> None:
    """Fin normale, erreur ou annulation en pleine requête : jamais « Unclosed client session »."""
    if fin == "annulation":
        bourse.pannes.ajouter(Panne("muet", "klines", delai_s=20.0))
    plaintes: list[Any] = []
    apis: list[Any] = []

    async def scenario(connexion: module.Connexion) -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _boucle, contexte: plaintes.append(contexte))
        apis.append(connexion.api)
        await connexion.charger_marches(["BTC/USDT"])
        assert connexion.api.session is not None
        serie = connexion.ouvrir_serie("BTC/USDT", "1m", "last", None)
        if fin == "erreur":
            raise ZeroDivisionError
        if fin == "annulation":
            async with asyncio.timeout(0.3):
                await lire(connexion, serie, HEURE, HEURE + MINUTE)

    if fin == "normale":
        jouer(bourse, "binance", scenario)
    else:
        with pytest.raises(ZeroDivisionError if fin == "erreur" else TimeoutError):
            jouer(bourse, "binance", scenario)
    assert apis.pop().session is None
    gc.collect()
    assert plaintes == []
    assert "close()" not in caplog.text


# Configuration


def test_config_ccxt_l_emporte_en_profondeur() -> None:
    """`--options` puis `--config-ccxt` complètent ; ce qu'ils ne disent pas reste."""
    config = module._config(
        module.Reglages(
            "okx", type_marche="swap", sous_type="linear", mode_marge="cross", timeout=5,
            options={"a": {"x": 1}, "defaultType": "future"}, config_ccxt={"options": {"a": {"y": 2}}, "timeout": 7},
            identifiants={"apiKey": CLE},
        )
    )  # fmt: skip
    assert config == {
        "enableRateLimit": True,
        "timeout": 7,
        "options": {
            "defaultType": "future", "defaultSubType": "linear", "defaultMarginMode": "cross",
            "a": {"x": 1, "y": 2},
        },
        "apiKey": CLE,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("proxy", "config"),
    [
        (None, {}),
        ("http://h:1", {"httpsProxy": "http://h:1", "wssProxy": "http://h:1"}),
        ("https://h:1", {"httpsProxy": "https://h:1", "wssProxy": "https://h:1"}),
    ],
)
def test_le_proxy_vaut_pour_rest_et_websocket(proxy: str | None, config: dict[str, str]) -> None:
    assert module._config_proxy(proxy) == config


def test_un_proxy_socks_sans_sa_bibliotheque_dit_comment_l_installer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "aiohttp_socks", None)
    with pytest.raises(module.DependanceAbsente) as refus:
        module._config_proxy("socks5://h:1")
    assert "pip install --upgrade aiohttp_socks" in refus.value.conseil
    assert refus.value.code_sortie == 2


def test_le_banc_d_essai_officiel_est_refuse_la_ou_il_n_existe_pas() -> None:
    with pytest.raises(module.ErreurDemande, match="kraken n'a pas de banc d'essai officiel"):
        module.Connexion(module.Reglages("kraken", sandbox=True))
    assert "testnet" in str(module.Connexion(module.Reglages("binance", sandbox=True)).api.urls["api"])


# Symboles


@pytest.mark.parametrize(
    ("symbole", "nature"),
    [
        ("BTC/USDT", ("swap", "linear")),  # court : la demande décide
        ("BTC/USDT:USDT", ("swap", "linear")),
        ("BTC/USD:BTC", ("swap", "inverse")),
        ("BTC/USDC:USDC-261225", ("future", "linear")),
        ("BTC/USD:BTC-261225", ("future", "inverse")),
        ("BTC/USD:BTC-261225-100000-C", ("option", "inverse")),
        ("1000SHIB/USDT:USDT", ("swap", "linear")),
        ("-", ("swap", "linear")),
        ("", ("swap", "linear")),
        ("BTC:USDT", ("swap", "linear")),
    ],
)
def test_un_symbole_complet_dit_son_marche(symbole: str, nature: tuple[str, str | None]) -> None:
    assert module.nature_du_symbole(symbole, "swap", "linear") == nature


NATURE = module.NatureMarche


@pytest.mark.parametrize(
    ("types", "natures", "gardes"),
    [
        (["spot", "linear", "inverse"], [NATURE("spot", None)], ["spot"]),
        (["spot", "linear", "inverse"], [NATURE("margin", None)], ["spot"]),
        (["spot", "linear", "inverse"], [NATURE("swap", "linear")], ["linear"]),
        (["spot", "linear", "inverse"], [NATURE("swap", "inverse")], ["inverse"]),
        (["spot", "linear", "inverse"], [NATURE("swap", None)], ["linear", "inverse"]),
        (["spot", "linear", "inverse"], [NATURE("spot", None), NATURE("swap", "linear")], ["spot", "linear"]),
        (["spot", "future", "swap", "option"], [NATURE("future", "linear")], ["future", "swap"]),
        (["spot", "future", "swap", "option"], [NATURE("option", None)], ["option"]),
        (["zone", "autre"], [NATURE("spot", None)], ["zone", "autre"]),  # mots inconnus : tout charger
        ({"spot": True}, [NATURE("spot", None)], {"spot": True}),
    ],
)
def test_seuls_les_marches_utiles_sont_charges(types: Any, natures: list[Any], gardes: Any) -> None:
    """La classe binance lit sinon trois listes ; un vocabulaire inconnu n'est jamais réduit à rien."""
    assert marches_utiles(types, natures) == gardes


def echeance(bourse: Bourse) -> str:
    """Celle des contrats à terme du moment."""
    return next(i.echeance for i in bourse.protocoles["okx"].instruments if i.echeance)


async def resolus(connexion: module.Connexion, *symboles: str) -> list[str]:
    await connexion.charger_marches(symboles)
    return [str(connexion.marches.resoudre(symbole)["symbol"]) for symbole in symboles]


@pytest.mark.parametrize(
    ("exchange", "reglages", "symbole", "attendu"),
    [
        ("binance", {}, "BTC/USDT", "BTC/USDT"),
        ("binance", {"type_marche": "margin"}, "BTC/USDT", "BTC/USDT"),
        ("binance", {"type_marche": "swap"}, "BTC/USDT", "BTC/USDT:USDT"),
        ("binance", {"type_marche": "swap", "sous_type": "inverse"}, "BTC/USD", "BTC/USD:BTC"),
        ("okx", {"type_marche": "swap", "sous_type": "linear"}, "BTC/USDT:USDT", "BTC/USDT:USDT"),
        ("okx", {"type_marche": "future"}, "BTC/USDT", "BTC/USDT:USDT-(échéance)"),
        ("bybit", {"type_marche": "future", "sous_type": "inverse"}, "BTC/USD:BTC", "BTC/USD:BTC"),
        ("kraken", {}, "BTC/EUR", "BTC/EUR"),
        ("okx", {}, "btc/usdt", "BTC/USDT"),
        ("okx", {}, "BTCUSDT", "BTC/USDT"),
        ("okx", {"type_marche": "swap"}, "btc-usdt-swap", "BTC/USDT:USDT"),
        ("binance", {"type_marche": "swap", "sous_type": "inverse"}, "ETHUSD", "ETH/USD:ETH"),
        ("bybit", {}, "btc/usdt:usdt", "BTC/USDT:USDT"),
    ],
)
def test_un_symbole_est_resolu(bourse: Bourse, exchange: str, reglages: Any, symbole: str, attendu: str) -> None:
    """Complet, il désigne son marché ; court, sans casse ou sans « / », s'il n'y a qu'un candidat."""
    attendu = attendu.replace("(échéance)", echeance(bourse))
    assert jouer(bourse, exchange, lambda c: resolus(c, symbole), **reglages) == [attendu]


@pytest.mark.parametrize(
    ("symbole", "reglages", "propose", "genre"),
    [
        ("BTC/USTD", {}, "« BTC/USDT »", "spot"),
        ("btcustd", {}, "« BTC/USDT »", "spot"),
        # « BTC-USDT-SWAP » est l'identifiant d'un contrat : un symbole bien formé ne s'y compare pas.
        ("BTC/USDTSWAP", {"type_marche": "swap"}, "« BTC/USDT:USDT »", "swap"),
        ("BTC/USDT:USTD", {}, "« BTC/USDT:USDT »", "swap inverse"),
        ("QQQQQQ", {}, "La liste : --lister marches.", "spot"),
    ],
)
def test_un_symbole_inconnu_propose_le_plus_proche(
    bourse: Bourse, symbole: str, reglages: dict[str, str], propose: str, genre: str
) -> None:
    """Après une seconde lecture de la liste des marchés ; une lettre de travers n'est pas devinée."""
    with pytest.raises(module.ErreurDemande) as refus:
        jouer(bourse, "okx", lambda c: resolus(c, symbole), **reglages)
    assert str(refus.value) == f"Symbole inconnu : « {symbole} » sur okx ({genre})"
    assert propose in refus.value.conseil


def test_un_symbole_court_ambigu_dit_les_candidats(bourse: Bourse) -> None:
    proche, lointain = (f"BTC/USD:BTC-{date}" for date in (echeance(bourse), "991231"))

    async def scenario(connexion: module.Connexion) -> None:
        await connexion.charger_marches(["BTC/USD"])
        connexion.api.markets[lointain] = {**connexion.api.markets[proche], "symbol": lointain}
        connexion.marches.resoudre("BTC/USD")

    with pytest.raises(module.ErreurDemande) as refus:
        jouer(bourse, "okx", scenario, type_marche="future")
    assert str(refus.value) == "Symbole ambigu : « BTC/USD » désigne 2 marchés sur okx"
    assert refus.value.conseil == f"Précisez : {proche}, {lointain}."


@pytest.mark.parametrize(
    ("symbole", "reglages", "averti"),
    [
        ("BTC/USD:BTC", {"type_marche": "future", "sous_type": "inverse"}, "marché swap inverse, pas future inverse"),
        ("BTC/USDT:USDT", {}, "« BTC/USDT:USDT » est un marché swap linear, pas spot"),
        ("BTC/USDT:USDT", {"type_marche": "swap", "sous_type": "inverse"}, "marché swap linear, pas swap inverse"),
        ("BTC/USDT", {}, None),
        ("BTC/USDT:USDT", {"type_marche": "swap"}, None),
        ("BTC/USDT", {"type_marche": "margin"}, None),
    ],
)
def test_une_contradiction_avertit_sans_refuser(
    bourse: Bourse, caplog: pytest.LogCaptureFixture, symbole: str, reglages: dict[str, str], averti: str | None
) -> None:
    """L'exemple bybit du document de départ en dépend : le symbole l'emporte sur le type de marché."""
    assert jouer(bourse, "bybit", lambda c: resolus(c, symbole), **reglages) == [symbole]
    assert (averti in caplog.text) if averti else (caplog.text == "")


def test_un_marche_retire_est_dit(bourse: Bourse, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(connexion: module.Connexion) -> None:
        await connexion.charger_marches(["BTC/USDT"])
        connexion.api.markets["BTC/USDT"]["active"] = False
        connexion.marches.resoudre("BTC/USDT")

    jouer(bourse, "binance", scenario)
    assert "« BTC/USDT » n'est plus coté sur binance : seul son passé peut être lu." in caplog.text


# La liste des marchés


@pytest.mark.parametrize("nature", ["html", "vide", "null", "json_coupe", "tronque", "coupure"])
def test_une_liste_de_marches_illisible_est_relue(bourse: Bourse, nature: str) -> None:
    """Sans contrôle, ccxt rendrait une liste vide, et le symbole paraîtrait inconnu."""
    bourse.pannes.ajouter(Panne(nature, "exchangeInfo", fois=1))
    assert jouer(bourse, "binance", lambda c: resolus(c, "BTC/USDT")) == ["BTC/USDT"]
    assert bourse.compter("exchangeInfo") == 2


def test_une_liste_de_marches_incomplete_est_relue(bourse: Bourse) -> None:
    """Du JSON valide mais sans le symbole : relu une fois avant de le dire inconnu."""
    bourse.pannes.ajouter(Panne("http", "exchangeInfo", fois=1, code=200, corps='{"symbols": []}'))
    assert jouer(bourse, "binance", lambda c: resolus(c, "BTC/USDT")) == ["BTC/USDT"]
    assert bourse.compter("exchangeInfo") == 2


def test_une_liste_sans_aucun_marche_n_accuse_pas_le_symbole(bourse: Bourse) -> None:
    """bitso, foxbit, bitvavo : du JSON valide et vide deux fois de suite rendait « Symbole inconnu », code 2."""
    bourse.pannes.ajouter(Panne("http", "AssetPairs", fois=3, code=200, corps='{"error": [], "result": {}}'))
    assert jouer(bourse, "kraken", lambda c: resolus(c, "BTC/USD")) == ["BTC/USD"]
    assert bourse.compter("AssetPairs") == 4


def test_une_liste_toujours_sans_marche_est_un_echec_de_l_exchange(bourse: Bourse) -> None:
    bourse.pannes.ajouter(Panne("http", "AssetPairs", code=200, corps='{"error": [], "result": {}}'))
    with pytest.raises(module.ErreurTemporaire, match="Liste des marchés de kraken : aucun n'y est"):
        jouer(bourse, "kraken", lambda c: resolus(c, "BTC/USD"))


def test_seule_la_liste_utile_est_demandee(bourse: Bourse) -> None:
    """Au comptant, ni /fapi ni /dapi ; un contrat linéaire, /fapi seul ; jamais les devises, qui demandent une clé."""
    jouer(bourse, "binance", lambda c: resolus(c, "BTC/USDT"), identifiants={"apiKey": CLE, "secret": SECRET})
    assert [requete.chemin for requete in bourse.requetes] == ["/binance/api/v3/exchangeInfo"]
    bourse.requetes.clear()
    jouer(bourse, "binance", lambda c: resolus(c, "BTC/USDT:USDT"))
    assert [requete.chemin for requete in bourse.requetes] == ["/binance/fapi/v1/exchangeInfo"]


# Bougies


async def lire(connexion: module.Connexion, serie: module.Serie, debut: int, fin: int) -> list[list[Any]]:
    return await connexion.lire_bougies(serie, serie.timeframe, debut, fin, limite=serie.limite)


async def page(connexion: module.Connexion, symbole: str, prix: str = "last") -> list[list[Any]]:
    await connexion.charger_marches([symbole])
    serie = connexion.ouvrir_serie(symbole, "1m", prix, None)
    return await lire(connexion, serie, HEURE - 60 * MINUTE, HEURE)


def dans_l_heure(lignes: list[list[Any]]) -> list[list[Any]]:
    """Ce que `cribler` garderait : okx et bybit rendent leurs pages par la fin, un peu larges."""
    return sorted(ligne for ligne in lignes if HEURE - 60 * MINUTE <= ligne[0] < HEURE)


def oracle(bourse: Bourse, exchange: str, symbole: str, prix: Any = "last") -> list[list[Any]]:
    return [list(ligne) for ligne in bourse.attendu(exchange, symbole, "1m", HEURE - 60 * MINUTE, HEURE, prix)]


@pytest.mark.parametrize(
    ("exchange", "symbole", "prix"),
    [
        ("binance", "BTC/USDT", "last"),
        ("binance", "BTC/USDT:USDT", "mark"),
        ("binance", "BTC/USD:BTC", "index"),
        ("okx", "BTC/USDT", "last"),
        ("okx", "BTC/USDT:USDT", "mark"),
        ("bybit", "BTC/USDT:USDT", "last"),
        ("bybit", "BTC/USD:BTC", "index"),
    ],
)
def test_une_page_tient_l_heure_demandee(bourse: Bourse, exchange: str, symbole: str, prix: str) -> None:
    """La page brute contient l'oracle, et c'est le bon prix."""
    lues = jouer(bourse, exchange, lambda c: page(c, symbole, prix))
    assert dans_l_heure(lues) == oracle(bourse, exchange, symbole, prix)


@pytest.mark.parametrize("nature", ["html", "vide", "null", "json_coupe", "tronque", "coupure"])
@pytest.mark.parametrize("exchange", ["binance", "okx"])
def test_une_page_illisible_est_redemandee(bourse: Bourse, exchange: str, nature: str) -> None:
    """Avec un code 200, ccxt rendrait `[]` : un trou silencieux. Ici, deux essais de plus et la bonne page."""
    chemin = "klines" if exchange == "binance" else "candles"
    bourse.pannes.ajouter(Panne(nature, chemin, fois=2))
    assert dans_l_heure(jouer(bourse, exchange, lambda c: page(c, "BTC/USDT"))) == oracle(bourse, exchange, "BTC/USDT")
    assert bourse.compter(chemin) >= 3


@pytest.mark.parametrize("nature", ["html", "vide", "null", "json_coupe"])
def test_une_page_toujours_illisible_finit_en_erreur(bourse: Bourse, nature: str) -> None:
    """Autant d'essais que demandé, ni plus ni moins, puis une erreur qui nomme la série."""
    bourse.pannes.ajouter(Panne(nature, "klines"))
    with pytest.raises(module.ErreurTemporaire, match="Réponse illisible"):
        jouer(bourse, "binance", lambda c: page(c, "BTC/USDT"), essais=3)
    assert bourse.compter("klines") == 3


@pytest.mark.parametrize("nombre", ["NaN", "-Infinity", "1e999"])
def test_un_nombre_non_fini_ne_rend_pas_la_page_illisible(bourse: Bourse, nombre: str) -> None:
    """orjson, par qui ccxt lit, refuserait la page entière : seule cette ligne est impossible."""
    lignes = [f'[{HEURE - k * MINUTE}, "2", {"3" if k != 5 else nombre}, "1", "2", "5"{", 0" * 6}]' for k in (9, 5, 1)]
    bourse.pannes.ajouter(Panne("http", "klines", code=200, corps=f"[{', '.join(lignes)}]"))
    lues = jouer(bourse, "binance", lambda c: page(c, "BTC/USDT"))
    assert [(ligne[0], math.isfinite(ligne[2])) for ligne in lues] == [
        (HEURE - k * MINUTE, k != 5) for k in (9, 5, 1)
    ]  # fmt: skip


def test_une_reponse_vide_mais_valide_reste_une_page_vide(bourse: Bourse) -> None:
    """`[]` en JSON est une réponse : c'est l'historique qui en cherche la preuve."""
    bourse.pannes.ajouter(Panne("page_vide", "klines"))
    assert jouer(bourse, "binance", lambda c: page(c, "BTC/USDT")) == []
    assert bourse.compter("klines") == 1


def test_les_lignes_impossibles_ne_sont_pas_otees_en_silence(bourse: Bourse) -> None:
    """D'ordinaire ccxt trie et jette les lignes sans horodatage : ici elles arrivent, pour être comptées."""
    instants = (HEURE, None, HEURE, HEURE - MINUTE)
    corps = json.dumps([[instant, "2", "3", "1", "2", "5", *[0] * 6] for instant in instants])
    bourse.pannes.ajouter(Panne("http", "klines", code=200, corps=corps))
    lues = jouer(bourse, "binance", lambda c: page(c, "BTC/USDT"))
    assert [ligne[0] for ligne in lues] == [*instants]


def test_une_erreur_definitive_n_est_pas_reessayee(bourse: Bourse) -> None:
    """451 : un seul appel, et le conseil qui va avec."""
    bourse.pannes.ajouter(Panne("http", "klines", code=451, corps='{"code":0,"msg":"restricted location"}'))
    with pytest.raises(module.ErreurDefinitive) as refus:
        jouer(bourse, "binance", lambda c: page(c, "BTC/USDT"))
    assert bourse.compter("klines") == 1
    assert "--proxy" in refus.value.conseil


def test_les_essais_sont_comptes_et_dits(bourse: Bourse, caplog: pytest.LogCaptureFixture) -> None:
    bourse.pannes.ajouter(Panne("http", "klines", fois=2, code=503))

    async def scenario(connexion: module.Connexion) -> None:
        await page(connexion, "BTC/USDT")
        assert connexion.nombre_essais == 2
        assert connexion.requetes == 4

    jouer(bourse, "binance", scenario)
    assert "Nouvel essai 2/8 dans" in caplog.text
    assert "Bougies 1m de BTC/USDT (binance) depuis 2025-12-31T23:00Z" in caplog.text


@pytest.mark.parametrize(
    ("exchange", "symbole", "prix", "demandee", "limite"),
    [
        ("binance", "BTC/USDT", "last", None, 1000),
        ("binance", "BTC/USDT:USDT", "last", None, 1000),
        ("binance", "BTC/USDT", "last", 7, 7),
        ("binance", "BTC/USDT", "last", 99_999, 1000),
        ("okx", "BTC/USDT", "last", None, 300),
        ("okx", "BTC/USDT:USDT", "mark", None, 100),
        ("bybit", "BTC/USDT", "last", None, 1000),
        ("kraken", "BTC/USD", "last", None, 720),
    ],
)
def test_la_page_est_ramenee_au_maximum_de_l_exchange(
    bourse: Bourse, exchange: str, symbole: str, prix: str, demandee: int | None, limite: int
) -> None:
    async def scenario(connexion: module.Connexion) -> module.Serie:
        await connexion.charger_marches([symbole])
        return connexion.ouvrir_serie(symbole, "1m", prix, demandee)

    assert jouer(bourse, exchange, scenario).limite == limite


@pytest.mark.parametrize(
    ("exchange", "timeframe", "prix", "message", "conseil"),
    [
        ("binance", "7m", "last", "Timeframe inconnu de binance : « 7m »", "Il sert : 1s, 1m, 3m, 5m,"),
        ("kraken", "1m", "mark", "kraken ne sert pas de bougies au prix « mark »", "Il sert : last."),
        ("okx", "1m", "premiumIndex", "okx ne sert pas de bougies au prix « premiumIndex »", "last, mark, index."),
    ],
)
def test_ce_que_l_exchange_ne_sert_pas_est_refuse_sans_requete(
    exchange: str, timeframe: str, prix: str, message: str, conseil: str
) -> None:
    with pytest.raises(module.ErreurDemande) as refus:
        module.lever_le_premier(module.Connexion(module.Reglages(exchange)).refus_des_bougies(timeframe, prix))
    assert str(refus.value) == message
    assert conseil in refus.value.conseil


def test_un_prix_de_contrat_au_comptant_est_refuse(bourse: Bourse) -> None:
    """Sans cela, binance rendrait en silence les prix du contrat, bybit les prix « last »."""
    with pytest.raises(module.ErreurDemande, match="« BTC/USDT » est au comptant : il n'a pas de prix « mark »"):
        jouer(bourse, "binance", lambda c: page(c, "BTC/USDT", "mark"))


# Heure


def test_les_seuls_marches_utiles_sont_ranges(bourse: Bourse) -> None:
    """Celui qui est demandé et ses contrats ; tous, sans requête de plus, s'il en manque un : les proches se disent."""

    async def scenario(connexion: module.Connexion) -> tuple[set[str], int, str]:
        await connexion.preparer(["BTC/USDT"], seuls=True)
        ranges, requetes = set(connexion.api.markets), connexion.requetes
        return ranges, requetes, str(connexion.marches.resoudre("BTC/USDT")["id"])

    assert jouer(bourse, "binance", scenario) == ({"BTC/USDT"}, 2, "BTCUSDT")

    async def inconnu(connexion: module.Connexion) -> None:
        await connexion.preparer(["BTC/USDT", "BTC/USDX"], seuls=True)
        assert len(connexion.api.markets) > 3
        connexion.marches.resoudre("BTC/USDX")

    with pytest.raises(module.ErreurDemande) as refus:
        jouer(bourse, "binance", inconnu)
    assert "BTC/USDT" in refus.value.conseil


def test_l_heure_est_demandee_avant_les_marches() -> None:
    """Ensemble, mais l'heure d'abord : sa réponse n'attend pas que deux mille marchés soient rangés."""

    async def scenario(connexion: module.Connexion) -> None:
        await connexion.preparer(["BTC/USDT"])

    with temps_simule(), Bourse(("binance",), limites=False, latence_s=0.2).en_fil() as bourse:
        jouer(bourse, "binance", scenario)
    heure, marches = sorted(bourse.requetes, key=lambda r: r.instant)
    assert (heure.chemin.rpartition("/")[2], marches.chemin.rpartition("/")[2]) == ("time", "exchangeInfo")
    assert marches.en_vol == 1


@pytest.mark.parametrize("decalage_ms", [0, 600_000, -600_000])
def test_l_heure_est_celle_de_l_exchange(caplog: pytest.LogCaptureFixture, decalage_ms: int) -> None:
    """Dix minutes d'écart sont suivies, et dites."""

    async def scenario(connexion: module.Connexion) -> int:
        await connexion.estimer_heure()
        return connexion.heure_ms() - module.maintenant_ms()

    with temps_simule(), Bourse(("binance",), limites=False, decalage_ms=decalage_ms).en_fil() as bourse:
        assert jouer(bourse, "binance", scenario) == pytest.approx(decalage_ms, abs=1500)
    assert ("10 min 00 s" in caplog.text) == bool(decalage_ms)


@pytest.mark.parametrize(
    ("corps", "requetes"), [({"msg": "no such thing, request {rang}"}, 3), ({"msg": "wait", "code": -1007}, 8)]
)
def test_un_refus_que_la_classe_ne_reconnait_pas_n_est_pas_redit_huit_fois(
    bourse: Bourse, corps: dict[str, Any], requetes: int
) -> None:
    """Un code 400, la même réponse aux nombres près : trois fois suffisent. Ce que la classe sait passager, huit."""
    bourse.pannes.ajouter(Panne("http", "klines", code=400, corps=json.dumps(corps)))

    async def scenario(connexion: module.Connexion) -> str:
        with pytest.raises(module.ErreurTemporaire) as levee:
            await connexion.appeler("Bougies", "fetch_ohlcv", "BTC/USDT", "1m", HEURE, 10)
        return levee.value.conseil

    conseil = jouer(bourse, "binance", scenario)
    assert bourse.compter("klines") == requetes
    assert ("refuse cette demande" in conseil) is (requetes == 3)


@pytest.mark.parametrize("refus", [0, 2], ids=["réponse lente", "refus avant elle"])
def test_une_heure_venue_tard_n_avance_pas_la_notre(refus: int) -> None:
    """Vu sur gate : l'heure, venue au second essai, 16 s après la demande ; la bougie ouverte passait pour close."""
    pannes = [Panne("http", "time", code=503, fois=refus)] if refus else []

    async def scenario(connexion: module.Connexion) -> int:
        await connexion.estimer_heure()
        return connexion.heure_ms() - module.maintenant_ms()

    with temps_simule(), Bourse(("binance",), limites=False, latence_s=16, pannes=pannes).en_fil() as bourse:
        assert -20_000 < jouer(bourse, "binance", scenario) <= 0
        assert bourse.compter("time") == 1 + refus


def dater(monkeypatch: pytest.MonkeyPatch, instant_ms: Callable[[], int]) -> None:
    """L'exchange embarqué date ses réponses de cet instant-là."""
    envoyer = serveur.envoyer

    def envoyer_date(reponse: serveur.Reponse, requete: Any) -> Any:
        entetes = {**reponse.entetes, "Date": date_http(instant_ms())}
        return envoyer(dataclasses.replace(reponse, entetes=entetes), requete)

    monkeypatch.setattr(serveur, "envoyer", envoyer_date)


@pytest.mark.parametrize("datees", [False, True], ids=["en-tête juste", "en-tête en 2099 aussi"])
def test_une_heure_d_exchange_absurde_n_est_pas_crue(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, datees: bool
) -> None:
    """Un serveur qui se dit en 2099 rendrait closes toutes ses bougies : l'horloge d'ici en décide, et c'est dit."""
    en_2099 = 4_070_908_800_000
    if datees:
        dater(monkeypatch, lambda: en_2099)
    panne = Panne("http", "time", code=200, corps=json.dumps({"serverTime": en_2099}))

    async def scenario(connexion: module.Connexion) -> int:
        await connexion.estimer_heure()
        return connexion.heure_ms() - module.maintenant_ms()

    with temps_simule(), Bourse(("binance",), limites=False, pannes=[panne]).en_fil() as bourse:
        assert jouer(bourse, "binance", scenario) == pytest.approx(0, abs=1500)
    assert caplog.text.count("binance se dit") == 1 + datees


@pytest.mark.parametrize("panne", [None, Panne("http", "time", code=503)])
def test_sans_heure_d_exchange_l_en_tete_date_suffit(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, panne: Panne | None
) -> None:
    """Quand fetchTime est absent ou en panne : l'en-tête Date de la dernière réponse ; rien du tout est dit."""
    caplog.set_level(logging.WARNING)
    dater(monkeypatch, lambda: module.maintenant_ms() - 8 * MINUTE)

    async def scenario(connexion: module.Connexion) -> int:
        connexion.api.has["fetchTime"] = bool(panne)
        if panne is None:
            await connexion.estimer_heure()
            assert "ne donne pas son heure" in caplog.text
            assert connexion.heure_ms() == pytest.approx(module.maintenant_ms(), abs=100)
            await connexion.charger_marches(["BTC/USDT"])
        await connexion.estimer_heure()
        return connexion.heure_ms() - module.maintenant_ms()

    with temps_simule(), Bourse(("binance",), limites=False, pannes=[panne] if panne else []).en_fil() as bourse:
        assert jouer(bourse, "binance", scenario) == pytest.approx(-8 * MINUTE, abs=2500)


@pytest.mark.parametrize(
    ("entete_ms", "locale_ms", "retard"),
    [(0, 0, 1), (480 * MINUTE, 0, 1), (0, -10 * MINUTE, 3), (-60 * MINUTE, 0, 61)],
    ids=["justes", "en-tête à l'heure locale", "horloge d'ici en retard", "en-tête en retard"],
)
def test_sans_heure_d_exchange_la_bougie_en_cours_n_est_pas_close(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, entete_ms: int, locale_ms: int, retard: int
) -> None:
    """Des deux horloges, la plus en retard clôt ; les bougies servies lèvent le doute, aux dernières près.

    Un serveur date parfois ses réponses à l'heure de sa ville : la bougie en cours était écrite.
    """
    vraie = module.maintenant_ms
    dater(monkeypatch, lambda: vraie() + entete_ms)
    monkeypatch.setattr(module, "maintenant_ms", lambda: vraie() + locale_ms)
    with Bourse(("binance",)).en_fil() as bourse:
        config = module.fondre_dicts(bourse.config_ccxt("binance"), {"has": {"fetchTime": False}})
        options = {"symbole": "BTC/USDT", "date_debut": vraie() - 120 * MINUTE, "config_ccxt": config}
        tache = module.construire({**options, "sortie": tmp_path / "b.csv"})
        avant = bourse.maintenant_ms()
        bilan = module.executer(tache)
        apres = bourse.maintenant_ms()
    assert bilan.code == 0
    close = module.instants_de(module.lire(tmp_path / "b.csv"))[-1] + MINUTE
    assert avant // MINUTE * MINUTE - (retard - 1) * MINUTE <= close + MINUTE
    assert close <= apres


# --- Ce qu'une erreur de réseau dit ---


@contextlib.contextmanager
def port_qui(agir: Callable[[socket.socket], None] | None) -> Iterator[int]:
    """Un port de la boucle locale : libre (None), ou dont chaque connexion est traitée ainsi."""
    with socket.socket() as ecoute:
        ecoute.bind(("127.0.0.1", 0))
        if agir is None:
            port = ecoute.getsockname()[1]
            ecoute.close()
            yield port
            return
        ecoute.listen()
        ecoute.settimeout(0.05)
        prises: list[socket.socket] = []
        fini = threading.Event()

        def servir() -> None:  # aiohttp redemande de lui-même un GET dont la connexion est rompue
            while not fini.is_set():
                with contextlib.suppress(OSError):
                    prises.append(ecoute.accept()[0])
                    agir(prises[-1])

        fil = threading.Thread(target=servir)
        fil.start()
        yield ecoute.getsockname()[1]
        fini.set()
        fil.join()
        for prise in prises:
            prise.close()


def repondre_en_clair(prise: socket.socket) -> None:
    """Pas de TLS ici."""
    prise.recv(100)
    prise.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")


def rompre(prise: socket.socket) -> None:
    """Ferme par un RST : `SO_LINGER` à zéro."""
    prise.recv(100)
    prise.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    prise.close()


@pytest.mark.parametrize(
    ("base", "agir", "proxy", "dit"),
    [
        ("http://api.exchange.invalid/api", None, False, "nom introuvable : api.exchange.invalid"),
        ("http://127.0.0.1:{port}/api", None, False, "connexion refusée : 127.0.0.1:{port}"),
        ("http://127.0.0.1:{port}/api", lambda _prise: None, False, "pas de réponse en 0,5 s : 127.0.0.1:{port}"),
        ("http://127.0.0.1:{port}/api", rompre, False, "connexion coupée par l'autre bout : 127.0.0.1:{port}"),
        ("https://127.0.0.1:{port}/api", repondre_en_clair, False, "échec du TLS : 127.0.0.1:{port}"),
        ("http://api.exchange.invalid/api", None, True, "proxy injoignable ou qui refuse : 127.0.0.1:{port}"),
    ],
)  # fmt: skip
def test_une_erreur_de_reseau_dit_sa_cause_et_l_hote(
    base: str, agir: Callable[[socket.socket], None] | None, proxy: bool, dit: str
) -> None:
    """Nom, refus, silence, coupure, TLS, proxy : ccxt n'en dit que « binance GET https://… »."""
    with port_qui(agir) as port:
        delai_ms = 500 if agir is not None and "0,5 s" in dit else 60_000
        config = {"urls": {"api": {"public": base.format(port=port)}}, "timeout": delai_ms}
        relais = f"http://127.0.0.1:{port}" if proxy else None
        with pytest.raises(module.ErreurTemporaire) as levee:
            asyncio.run(demander_l_heure(module.Reglages("binance", proxy=relais, config_ccxt=config, essais=1)))
    assert str(levee.value) == f"Heure : {dit.format(port=port)}"
    assert levee.value.conseil


async def demander_l_heure(reglages: module.Reglages) -> None:
    """Une requête, une seule."""
    async with module.Connexion(reglages) as connexion:
        await connexion.appeler("Heure", "fetch_time")


def test_un_certificat_refuse_dit_de_quoi_le_reparer() -> None:
    """Ce qu'aiohttp lève, sous ce que ccxt en fait : au REST (`from`), au WebSocket (`NetworkError(erreur)`)."""
    cle: Any = types.SimpleNamespace(host="api.binance.com", port=443, is_ssl=True)
    refus = aiohttp.ClientConnectorCertificateError(cle, ssl.SSLCertVerificationError("self-signed certificate"))
    rest = erreurs_ccxt.ExchangeNotAvailable("binance GET https://api.binance.com/api/v3/time")
    rest.__cause__ = refus
    for erreur in (rest, erreurs_ccxt.NetworkError(refus)):
        traduite = module.traduire(erreur, "Heure", HEURE)
        assert str(traduite) == "Heure : certificat TLS refusé : api.binance.com"
        assert "SSL_CERT_FILE" in traduite.conseil
