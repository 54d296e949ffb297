"""Toutes les classes ccxt qui ont des bougies : la demande qui part vraiment, par notre chemin, sur chaque marché.

La classe est la vraie, ses marchés sont donnés, la dernière couche est captée : l'URL finale, le corps, les en-têtes.
"""

from __future__ import annotations

import ast
import asyncio
import contextlib
import json
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit

import ccxt.async_support as ccxt
import ccxt.pro as ccxtpro
import pytest
from marche_simule import avec_bougies, classe_neuve, marche_de
from trames_de_carnets import EXCHANGES, nom_de

import module_ccxt_fr_v2 as module
from annexes_ccxt_fr import carnets, corrections
from annexes_ccxt_fr.listes import faits_de, genres_offerts
from annexes_ccxt_fr.portees import portee_de

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MAINTENANT = 1_767_225_600_000  # 2026-01-01
DEBUT = 1_704_067_200_000  # 2024-01-01
AVEC_BOUGIES = avec_bougies()

# Les bougies de ceux-là ne se demandent qu'avec des clés : la classe n'a pas d'autre chemin.
BOUGIES_PRIVEES = {"luno", "modetrade", "woofipro"}
# Ce qu'une classe annonce et refuse d'elle-même, ou servirait à un autre prix que celui qui est demandé.
REFUS: dict[str, set[tuple[str, str]]] = {
    "bigone": {("swap.linear", "last"), ("swap.inverse", "last")},
    "bingx": {("swap.inverse", "mark")},
    "htx": {
        ("swap.linear", "index"), ("swap.inverse", "index"), ("future.linear", "index"),
        ("future.inverse", "premiumIndex"),
    },
}  # fmt: skip
FUSEAUX_MS = {"bithumb": 9 * 3_600_000}  # ceux dont la fenêtre se dit à l'heure locale
PARAMS = {"cex": {"dataType": "bestAsk"}}  # sans lui, la classe refuse : l'utilisateur le donne par --params
CLES = {
    "apiKey": "CLE-PUBLIQUE",
    "secret": ccxt.Exchange.binary_to_base58(bytes(range(1, 33))),
    "password": "MOT-DE-PASSE",
    "uid": "12345678",
    "token": "JETON-PRIVE",
    "login": "UTILISATEUR",
    "accountId": "0x1",
    "walletAddress": "0x" + "1" * 40,
    "privateKey": "0x" + "2" * 64,
}
# Des en-têtes et des paramètres qui ne partent que signés, ou qui portent une clé.
SIGNE = re.compile(r"sign|api-?key|access-key|authorization|passphrase|jwt", re.IGNORECASE)


class Captee(BaseException):
    """La demande est partie : rien ne la rattrape, pas même les essais."""


@dataclass
class Demande:
    """Une requête HTTP telle qu'elle partirait."""

    methode: str
    url: str
    entetes: dict[str, Any]
    corps: str
    valeurs: list[tuple[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        morceaux = urlsplit(self.url)
        chemin = [(f"/{rang}", unquote(bout)) for rang, bout in enumerate(morceaux.path.split("/"))]
        self.valeurs = [("hôte", morceaux.netloc), *chemin, *parse_qsl(morceaux.query, keep_blank_values=True)]
        if self.corps:
            self.valeurs += feuilles("", json.loads(self.corps))

    @property
    def instants(self) -> dict[str, tuple[str, int]]:
        """Par nom de paramètre, l'unité et les ms de ce qui est un instant."""
        return {nom: lu for nom, valeur in self.valeurs if (lu := lire_instant(valeur))}

    @property
    def reste(self) -> list[tuple[str, str]]:
        """Ce qui n'est pas un instant."""
        return [(nom, valeur) for nom, valeur in self.valeurs if lire_instant(valeur) is None]


def feuilles(nom: str, valeur: Any) -> list[tuple[str, str]]:
    """Les valeurs simples d'un corps JSON, sous leur nom."""
    if isinstance(valeur, dict):
        return [feuille for cle, v in valeur.items() for feuille in feuilles(str(cle), v)]
    if isinstance(valeur, list):
        return [feuille for v in valeur for feuille in feuilles(nom, v)]
    return [(nom, str(valeur))]


_UNITES = {10: ("s", 1000), 13: ("ms", 1), 16: ("µs", 1e-3), 19: ("ns", 1e-6)}


def lire_instant(texte: str) -> tuple[str, int] | None:
    """L'unité et les ms d'un instant entre 2020 et 2030, sous toutes les formes qu'un exchange lui donne."""
    if texte.isdecimal() and len(texte) in _UNITES and texte[0] in "12":
        unite, facteur = _UNITES[len(texte)]
        return unite, round(int(texte) * facteur)
    if re.fullmatch(r"20[23]\d[01]\d[0-3]\d", texte):
        return "jour", round(datetime.strptime(texte, "%Y%m%d").replace(tzinfo=UTC).timestamp() * 1000)
    if re.fullmatch(r"20[23]\d", texte):
        return "an", round(datetime(int(texte), 1, 1, tzinfo=UTC).timestamp() * 1000)
    if re.fullmatch(r"20[23]\d-\d\d-\d\d[ T].*", texte):
        return "iso", round(datetime.fromisoformat(texte).replace(tzinfo=UTC).timestamp() * 1000)
    return None


def genres_de(nom: str) -> list[str]:
    """Les genres de marché d'une classe, tels que « spot » ou « swap.linear »."""
    genres = genres_offerts(module.Connexion(module.Reglages(nom)))
    return [".".join(filter(None, (genre["type"], genre["subType"]))) for genre in genres]


class Banc:
    """Une connexion dont rien ne part : ses requêtes sont gardées."""

    def __init__(self, nom: str, genre: str, **identifiants: str) -> None:
        self.nom, self.genre, self.marche = nom, genre, marche_de(genre)
        reglages = module.Reglages(
            nom, type_marche=genre.partition(".")[0], identifiants=identifiants, params=PARAMS.get(nom, {}), essais=1,
            config_ccxt={"enableRateLimit": False, "timeout_on_exit": 0},
        )  # fmt: skip
        self.connexion = module.Connexion(reglages)
        self.api = self.connexion.api
        self.api.set_markets([self.marche], {})
        self.api.fetch = self._capter
        self.api.milliseconds = lambda: MAINTENANT
        self.api.seconds = lambda: MAINTENANT // 1000
        self.api.microseconds = lambda: MAINTENANT * 1000
        self.parties: list[Demande] = []
        self.reponses: list[Any] = []

    async def _capter(self, url: str, methode: str = "GET", entetes: Any = None, corps: Any = None) -> Any:
        self.parties.append(Demande(methode, url, dict(entetes or {}), corps or ""))
        if not self.reponses:
            raise Captee
        reponse = self.reponses.pop(0)
        if isinstance(reponse, Exception):
            raise reponse
        return reponse

    def serie(self, timeframe: str, prix: str = "last") -> module.Serie:
        """La série de ce marché."""
        return self.connexion.ouvrir_serie(self.marche["symbol"], timeframe, prix, None)

    def demander(self, serie: module.Serie, debut: int, nombre: int | None = None) -> Demande:
        """La requête d'une page d'une fenêtre pleine, ou de `nombre` bougies dans cette même fenêtre."""
        fin = serie.timeframe.avancer(debut, serie.limite)
        demande = self.connexion.lire_bougies(serie, serie.timeframe, debut, fin, limite=nombre or serie.limite)
        self.parties.clear()
        with pytest.raises(Captee):
            asyncio.run(demande)
        assert len(self.parties) == 1
        return self.parties[0]

    def lire(self, timeframe: str, debut: int, fin: int, *reponses: Any) -> list[list[Any]]:
        """Ce que rend notre chemin de ces réponses brutes à la demande de [debut, fin[."""
        self.reponses = list(reponses)
        serie = self.serie(timeframe)
        return asyncio.run(self.connexion.lire_bougies(serie, serie.timeframe, debut, fin, limite=serie.limite))

    @property
    def timeframes(self) -> list[str]:
        """Les timeframes que sert ce marché."""
        return self.connexion.timeframes_offerts(self.marche)

    @property
    def prix(self) -> list[str]:
        """Les prix que sert ce marché."""
        return ["last"] if self.genre == "spot" else self.connexion.prix_offerts()


@cache
def bancs(nom: str) -> list[Banc]:
    """Un banc par genre de marché de la classe, clés posées."""
    return [Banc(nom, genre, **CLES) for genre in genres_de(nom)]


@cache
def series_de(nom: str) -> tuple[list[tuple[Banc, module.Serie, Demande]], set[tuple[str, str]]]:
    """La demande de chaque marché, à chaque prix que la classe annonce ; et ceux qu'elle refuse, sans rien envoyer."""
    servies, refus = [], set()
    for banc in bancs(nom):
        timeframe = "1h" if "1h" in banc.timeframes else banc.timeframes[0]
        for prix in banc.prix:
            try:
                serie = banc.serie(timeframe, prix)
                servies.append((banc, serie, banc.demander(serie, DEBUT)))
            except module.ErreurCollecte:
                assert banc.parties == []
                refus.add((banc.genre, prix))
    return servies, refus


# Ce que la demande dit


@pytest.mark.parametrize("nom", AVEC_BOUGIES)
def test_la_fenetre_demandee_est_dans_la_demande(nom: str) -> None:
    """Le début, la fin, ou les deux, au bon endroit et dans une seule unité ; sinon la table dit la classe sourde."""
    servies, refus = series_de(nom)
    assert refus == REFUS.get(nom, set())
    for banc, serie, demande in servies:
        pas = serie.timeframe.pas_ms
        fin = min(serie.timeframe.avancer(DEBUT, serie.limite), banc.connexion.heure_ms())  # l'avenir ne se demande pas
        autre = banc.demander(serie, DEBUT + 1000 * pas)
        sourde = portee_de(banc.connexion).est_sourde(banc.marche, serie.cle.prix)
        assert (demande.valeurs == autre.valeurs) is sourde, (serie.cle, demande.url)
        instants = {
            nom: (unite, ms - FUSEAUX_MS.get(banc.nom, 0))
            for nom, (unite, ms) in demande.instants.items()
            if nom != "timestamp"  # bingx : l'heure de l'envoi
        }
        debuts = {nom for nom, (_, ms) in instants.items() if DEBUT - pas - 1 <= ms <= DEBUT}
        fins = {nom for nom, (_, ms) in instants.items() if fin - pas - 1000 <= ms <= fin + pas}
        assert debuts | fins == set(instants), (serie.cle, demande.url)
        assert len({unite for unite, _ in instants.values()}) <= 1, (serie.cle, demande.url)
        assert bool(instants) is not sourde


@pytest.mark.parametrize("nom", AVEC_BOUGIES)
def test_la_fin_ne_part_que_sous_son_vrai_nom(nom: str) -> None:
    """`until` est un nom de ccxt : il ne part que chez ceux qui l'ont pris pour le leur."""
    for banc, serie, demande in series_de(nom)[0]:
        noms = {nom for nom, _ in demande.valeurs}
        assert "until" not in noms or banc.connexion.particularite.until, (serie.cle, demande.url)
        assert not noms & {"price", "since_ms", "paginate"}


@pytest.mark.parametrize("nom", AVEC_BOUGIES)
def test_une_bougie_publique_se_demande_sans_les_cles(nom: str) -> None:
    """Des clés posées, une page est une seule requête, ni signée ni porteuse d'une clé."""
    secrets = {str(valeur) for valeur in CLES.values()} - {CLES["accountId"]}
    for _, serie, demande in series_de(nom)[0]:
        texte = f"{demande.url} {demande.corps} {demande.entetes}"
        en_tetes = [cle for cle in [*demande.entetes, *(nom for nom, _ in demande.valeurs)] if SIGNE.search(cle)]
        assert bool(en_tetes) is (nom in BOUGIES_PRIVEES), (serie.cle, en_tetes)
        assert nom in BOUGIES_PRIVEES or not any(secret in texte for secret in secrets), serie.cle


@pytest.mark.parametrize("nom", ["alpaca", "coinbase", "gate", "gateeu", "kucoin", "kucoinfutures"])
def test_les_marches_se_lisent_sans_les_cles(nom: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Une clé périmée arrêtait kucoin, qui joint à ses marchés des listes de marge ; alpaca n'a rien sans clé."""
    parties: list[str] = []

    async def repondre(url: str, _methode: str = "GET", entetes: Any = None, corps: Any = None) -> Any:
        parties.append(f"{url} {entetes} {corps}")
        return {}

    async def lire() -> None:
        identifiants = {"apiKey": "CLEDESESSAIS", "secret": "c2VjcmV0c2VjcmV0", "password": "PASSEDESESSAIS"}
        api = module.instancier(module.Reglages(nom, identifiants=identifiants))
        monkeypatch.setattr(api, "fetch", repondre)
        with contextlib.suppress(ccxt.BaseError, LookupError, TypeError, AttributeError):  # des réponses vides
            await api.fetch_markets()
        assert api.check_required_credentials(False)
        await api.close()

    asyncio.run(lire())
    assert parties
    assert any("DESESSAIS" in partie for partie in parties) == (nom == "alpaca")


@pytest.mark.parametrize("nom", AVEC_BOUGIES)
def test_la_page_est_une_page_que_la_classe_sait_demander(nom: str) -> None:
    """Une ligne de moins change la demande, ou le nombre n'y est pas du tout : la classe ne rogne pas la page."""
    for banc, serie, demande in series_de(nom)[0]:
        assert 2 <= serie.limite <= 50_000
        moindre, seule = banc.demander(serie, DEBUT, serie.limite - 1), banc.demander(serie, DEBUT, 1)
        assert moindre.valeurs != demande.valeurs or seule.valeurs == demande.valeurs, (serie.cle, serie.limite)


@pytest.mark.parametrize("nom", AVEC_BOUGIES)
def test_un_prix_se_demande_autrement_que_le_dernier(nom: str) -> None:
    """Sinon, les bougies d'un prix seraient celles d'un autre, sans un mot."""
    derniers = {banc.genre: demande.reste for banc, serie, demande in series_de(nom)[0] if serie.cle.prix == "last"}
    for banc, serie, demande in series_de(nom)[0]:
        sans_page = [(cle, v) for cle, v in demande.reste if v != str(serie.limite)]
        assert serie.cle.prix == "last" or any(paire not in derniers[banc.genre] for paire in sans_page), serie.cle


@pytest.mark.parametrize("nom", AVEC_BOUGIES)
def test_deux_timeframes_ne_se_demandent_pas_pareil(nom: str) -> None:
    """Chaque timeframe est lisible, et deux de pas différents ont deux noms : bitrue rendait des minutes pour 4h."""
    for banc, serie, _ in series_de(nom)[0]:
        if serie.cle.prix != "last":
            continue
        vus: dict[str, module.Timeframe] = {}
        for code in banc.timeframes:
            autre = banc.serie(code)
            nombres = {str(autre.limite + ecart) for ecart in (-1, 0, 1)}
            demande = str([paire for paire in banc.demander(autre, DEBUT).reste if paire[1] not in nombres])
            jumeau = vus.setdefault(demande, autre.timeframe)
            assert jumeau.pas_ms == autre.timeframe.pas_ms, (autre.cle, jumeau.code)


def en_nombres(api: Any) -> bool:
    """Vrai de qui ne nomme ses pas qu'en minutes ou en secondes : lu, un nom doit être celui du timeframe."""
    return all(str(valeur).isdecimal() for valeur in (api.timeframes or {"": ""}).values())


EN_NOMBRES = [nom for nom in AVEC_BOUGIES if en_nombres(classe_neuve(nom))]


def test_nos_classes_ne_nomment_pas_leurs_pas_autrement() -> None:
    """Récolter n'en construit pas une de chaque : celle de ccxt dit déjà lesquelles sont en nombres."""
    assert [nom for nom in AVEC_BOUGIES if en_nombres(module._classe(nom)())] == EN_NOMBRES


@pytest.mark.parametrize("nom", EN_NOMBRES)
def test_un_pas_ecrit_en_nombre_est_le_bon(nom: str) -> None:
    """Trois jours pour une semaine (bitstamp), huit heures pour quatre (zebpay), 28 jours pour un mois (ndax)."""
    fautes = {}
    for code, valeur in module._classe(nom)().timeframes.items():
        timeframe = module.timeframe_de(nom, code)
        if int(valeur) not in {timeframe.pas_ms // 1000, timeframe.pas_ms // 60_000} and not timeframe.mois:
            fautes[code] = valeur
    assert fautes == {}


def test_les_timeframes_mal_ecrits_ont_leur_nom() -> None:
    """Listés et demandés sous le nom de tous ; l'ancien est refusé, et le message dit pourquoi."""
    for nom, ancien, vrai, envoye in (
        ("backpack", "15", "15m", "15m"),
        ("backpack", "30", "30m", "30m"),
        ("phemex", "1Y", "1y", "31104000"),
        ("bitstamp", "1w", "3d", "259200"),
    ):
        banc = Banc(nom, "spot")
        assert vrai in banc.timeframes
        assert ancien not in banc.timeframes
        assert envoye in {valeur for _, valeur in banc.demander(banc.serie(vrai), DEBUT).valeurs}
        with pytest.raises(module.ErreurDemande, match=r"n'a pas sur .* le pas de son nom") as refus:
            module.lever_le_premier(banc.connexion.refus_des_bougies(ancien, "last"))
        assert vrai in refus.value.conseil
    assert Banc("backpack", "spot").timeframes[:6] == ["1m", "3m", "5m", "15m", "30m", "1h"]
    assert not {"1M", "4M"} & set(Banc("ndax", "spot").timeframes)


def test_un_contrat_de_bitrue_n_a_ni_2h_ni_4h() -> None:
    """La classe y demande des minutes ; le comptant, lui, les sert."""
    assert {"2h", "4h"} <= set(Banc("bitrue", "spot").timeframes)
    for genre in ("swap.linear", "swap.inverse"):
        banc = Banc("bitrue", genre)
        assert not {"2h", "4h"} & set(banc.timeframes)
        with pytest.raises(module.ErreurDemande, match=r"n'a pas sur .* le pas de son nom"):
            banc.serie("4h")


@pytest.mark.parametrize(("nom", "genre", "autre", "timeframe"), [
    ("mexc", "spot", "swap.linear", "8h"), ("bitget", "spot", "swap.linear", "2h"),
    ("kucoin", "swap.linear", "spot", "1M"), ("kucoin", "swap.linear", "spot", "3m"),
    ("weex", "swap.linear", "spot", "2h"),
])  # fmt: skip
def test_un_timeframe_que_la_classe_ne_sait_pas_demander_est_refuse(
    nom: str, genre: str, autre: str, timeframe: str
) -> None:
    """Annoncé pour tous, il n'a de nom que pour les autres : il partirait sans, ou sous le nôtre."""
    assert timeframe in Banc(nom, autre).timeframes
    banc = Banc(nom, genre)
    with pytest.raises(module.ErreurDemande, match="ne s'y demande pas sous ce nom"):
        banc.serie(timeframe)
    assert timeframe not in banc.timeframes


def test_une_bougie_de_ndax_est_datee_de_son_ouverture() -> None:
    """La ligne porte la fin, puis le début : [fin, haut, bas, ouverture, clôture, volume, bid, ask, marché, début]."""
    lignes = [[DEBUT + 60_000, 12.0, 9.0, 10.0, 11.0, 3.5, 10.9, 11.1, 1, DEBUT]]
    assert Banc("ndax", "spot").lire("1m", DEBUT, DEBUT + 60_000, lignes) == [[DEBUT, 10.0, 12.0, 9.0, 11.0, 3.5]]


TRADES_EN_NS: dict[str, Callable[[int], Any]] = {
    "kucoin": lambda ns: {"tradeId": "7", "price": "10", "size": "2", "side": "buy", "time": str(ns)},
    "phemex": lambda ns: [ns, "7", "Buy", "10", "2"],
    "grvt": lambda ns: {"event_time": str(ns), "is_taker_buyer": True, "price": "10", "size": "2", "trade_id": "7"},
}


@pytest.mark.parametrize("nom", TRADES_EN_NS)
def test_un_trade_date_en_nanosecondes_garde_sa_milliseconde(nom: str) -> None:
    """Par un flottant, ccxt ôtait une ms à un trade sur huit de kucoin, sur trois de phemex."""
    banc = Banc(nom, "spot" if nom != "grvt" else "swap.linear")
    instants = list(range(MAINTENANT, MAINTENANT + 64))
    lus = [banc.api.parse_trade(TRADES_EN_NS[nom](ms * 10**6), banc.marche)["timestamp"] for ms in instants]
    assert lus == instants


def test_un_trade_du_flux_de_backpack_a_l_instant_de_la_transaction() -> None:
    """Daté de son envoi, un trade de la dernière milliseconde d'une minute passait dans la suivante."""
    trame = {"T": f"{DEBUT + 59_999}000", "E": f"{DEBUT + 60_002}345", "t": 7, "p": "10", "q": "2", "m": False}
    banc = Banc("backpack", "spot")
    lu = banc.api.parse_ws_trade({**trame, "s": banc.marche["id"]})
    assert (lu["timestamp"], lu["id"], lu["side"], lu["price"], lu["amount"]) == (DEBUT + 59_999, "7", "buy", 10.0, 2.0)


def test_un_trade_de_poloniex_a_le_meme_instant_en_rest_et_en_flux() -> None:
    """En REST, ccxt lit `ts`, l'instant où le trade fut rangé, quelques ms après `createTime`, que lit le flux."""
    brut: dict[str, Any] = {"id": "60014521", "price": "10", "quantity": "2", "amount": "20", "takerSide": "SELL"}
    brut |= {"ts": DEBUT + 60_005, "createTime": DEBUT + 59_999}
    banc = Banc("poloniex", "spot")
    du_rest, du_flux = banc.api.parse_trade(brut, banc.marche), banc.api.parse_ws_trade(brut, banc.marche)
    assert du_rest["timestamp"] == du_flux["timestamp"] == DEBUT + 59_999
    contrat = {"id": "1", "side": "buy", "px": "10", "qty": "1", "amt": "10", "cT": str(DEBUT)}
    assert Banc("poloniex", "swap.linear").api.parse_trade(contrat)["timestamp"] == DEBUT


def test_un_trade_du_flux_d_upbit_a_l_instant_de_la_transaction() -> None:
    """La classe lit une trame comme une ligne du REST : `timestamp` y est l'instant de son envoi."""
    commun = {"trade_price": 10, "trade_volume": 2, "ask_bid": "ASK", "sequential_id": 1584508285000002}
    banc = Banc("upbit", "spot")
    du_rest = {**commun, "market": banc.marche["id"], "timestamp": DEBUT + 59_999}
    trame = {**commun, "code": banc.marche["id"], "timestamp": DEBUT + 60_812, "trade_timestamp": DEBUT + 59_999}
    lus = [banc.api.parse_trade(brut, banc.marche) for brut in (du_rest, trame)]
    assert [(lu["timestamp"], lu["id"]) for lu in lus] == [(DEBUT + 59_999, "1584508285000002")] * 2


# Leurs identifiants sont des UUID : ils ne disent rien de l'ordre des trades.
TRADES_AU_HASARD: dict[str, Callable[[str, int, str], dict[str, Any]]] = {
    "bitvavo": lambda uuid, ms, prix: {"id": uuid, "timestamp": ms, "price": prix, "amount": "2", "side": "buy"},
    "krakenfutures": lambda uuid, ms, prix: {
        "uid": uuid, "timestamp": str(ms), "price": prix, "quantity": "2", "takerOrder": {"direction": "Sell"},
    },
    "bybit": lambda uuid, ms, prix: {"execId": uuid, "time": str(ms), "price": prix, "size": "2", "side": "Buy"},
}  # fmt: skip


@pytest.mark.parametrize("recents_d_abord", [False, True])
@pytest.mark.parametrize("nom", TRADES_AU_HASARD)
def test_dans_une_milliseconde_des_uuid_ne_rangent_pas_les_trades(nom: str, recents_d_abord: bool) -> None:
    """Triés par leur texte par ccxt, ils fermaient leur bougie à un prix d'avant le dernier."""
    banc = Banc(nom, "spot" if nom == "bitvavo" else "swap.linear")
    suite = [("c", DEBUT, "9"), ("f", DEBUT + 1, "10"), ("0", DEBUT + 1, "11"), ("a", DEBUT + 1, "12")]
    bruts = [
        TRADES_AU_HASARD[nom](f"{tete}66042b4-50c6-58f3-bd9c-89b2088663ff", ms, prix) | {"symbol": banc.marche["id"]}
        for tete, ms, prix in suite
    ]
    lus = banc.api.parse_trades(bruts[::-1] if recents_d_abord else bruts, banc.marche)
    assert [lu["price"] for lu in lus] == [9.0, 10.0, 11.0, 12.0]
    agregateur = module.Agregateur(module.Timeframe.lire("1m"))
    agregateur.ajouter([trade for lu in lus if (trade := module.trade_de(lu, None))])
    assert agregateur.en_cours is not None
    assert (agregateur.en_cours.open, agregateur.en_cours.close) == (9.0, 12.0)


def test_un_refus_du_flux_de_bitvavo_est_dit_tel_quel() -> None:
    """La classe contrôle cette trame sans code HTTP : le refus se lisait « '<' not supported between instances… »."""
    rejets: list[Exception] = []
    client = SimpleNamespace(url="wss://ws.bitvavo.com/v2/", reject=lambda erreur, _cle: rejets.append(erreur))
    refus = {"action": "subscribe", "errorCode": 205, "error": "market parameter is invalid."}
    Banc("bitvavo", "spot").api.handle_message(client, refus)
    (erreur,) = rejets
    assert isinstance(erreur, ccxt.ExchangeError)
    assert "market parameter is invalid" in str(erreur)


def test_un_trade_de_bitvavo_a_le_meme_uuid_dans_le_flux_et_en_rest() -> None:
    """Rien n'y dit qu'une trame fut perdue : le REST le confirme, et le même trade n'y est pas un autre."""
    banc, rendus = Banc("bitvavo", "spot"), []
    uuid = "5bbd41f1-4e5b-4a39-b0ec-0f8d5b4fe0a7"
    commun = {"id": uuid, "timestamp": DEBUT, "amount": "2", "price": "10", "side": "buy"}
    client = SimpleNamespace(resolve=lambda cache, _cle: rendus.extend(cache))
    banc.api.handle_trade(client, {"event": "trade", "market": banc.marche["id"], **commun})
    dits = [module.trade_de(brut, None) for brut in (*rendus, banc.api.parse_trade(commun, banc.marche))]
    assert dits[0] == dits[1] == module.Trade(DEBUT, uuid, "buy", 10.0, 2.0, 20.0)
    assert module.rangs_de(uuid) is None
    assert module.PARTICULARITES["bitvavo"].trades_a_confirmer > 0


def test_un_trade_de_deribit_a_le_meme_identifiant_dans_le_flux_et_en_rest() -> None:
    """Il ne se suit pas, et `trade_seq` n'est pas lu : le REST dit ce que le flux a tu."""
    banc, rendus = Banc("deribit", "swap.linear"), []
    dit = {
        "trade_id": "USDC-2436803", "trade_seq": 501899, "timestamp": DEBUT, "price": 10.0, "amount": 2.0,
        "direction": "buy", "instrument_name": banc.marche["id"],
    }  # fmt: skip
    client = SimpleNamespace(resolve=lambda cache, _cle: rendus.extend(cache))
    banc.api.handle_trades(client, {"params": {"channel": f"trades.{banc.marche['id']}.100ms", "data": [dit]}})
    dits = [module.trade_de(brut, None) for brut in (*rendus, banc.api.parse_trade(dit, banc.marche))]
    assert dits[0] == dits[1]
    assert dits[0] is not None
    assert (dits[0].id, module.rangs_de(dits[0].id)) == ("USDC-2436803", None)


def _trame_mexc(numero: int, **_: Any) -> dict[str, Any]:
    """Au comptant, lue d'un protobuf."""
    dits = {"fromVersion": str(10 * numero - 9), "toVersion": str(10 * numero), "bids": [], "asks": []}
    return {"channel": "spot@public.aggre.depth.v3.api.pb@100ms@AAABBB", "symbol": "AAABBB", "publicAggreDepths": dits}


def _trame_kucoin_uta(numero: int, *, entier: bool = False) -> dict[str, Any]:
    """Celle d'un compte unifié."""
    return {"T": "obu.SPOT", "dp": "increment", "t": "snapshot" if entier else "delta",
            "d": {"s": "AAA-BBB", "O": 10 * numero - 9, "C": 10 * numero, "a": [], "b": []}}  # fmt: skip


TRAMES_DE_CARNET: dict[str, tuple[str, Callable[..., dict[str, Any]], bool]] = {
    **{nom_de(exchange): (exchange.nom, exchange.trame, exchange.entier) for exchange in EXCHANGES},
    "mexc_spot": ("mexc", _trame_mexc, False),
    "kucoin_uta": ("kucoin", _trame_kucoin_uta, True),
}


def test_le_module_sait_de_qui_l_annexe_lit_les_carnets() -> None:
    """Copié seul, il avertit de ceux qui ne se vérifient pas, refuse ceux qui seraient faux, et ceux-là seulement."""
    assert carnets.NUMEROS.keys() | carnets.SOMMES.keys() == module.CARNETS_NUMEROTES
    assert module.CARNETS_MAL_LUS <= carnets.CORRIGES.keys() <= module.CARNETS_MAL_LUS | module.CARNETS_NUMEROTES
    assert {nom for nom, *_ in TRAMES_DE_CARNET.values()} == carnets.NUMEROS.keys()


@pytest.mark.parametrize("cas", TRAMES_DE_CARNET)
def test_une_trame_de_carnet_perdue_se_voit_a_son_numero(cas: str) -> None:
    """La classe garderait un carnet faux, sans fin : rien n'en dit la perte que ces numéros."""
    nom, trame, par_un_entier = TRAMES_DE_CARNET[cas]
    suites = carnets.SuitesDeCarnets(carnets.NUMEROS[nom])
    for numero in (7, 8, 9, 9, 8, 10):  # une redite n'est pas une perte
        suites.verifier(trame(numero, entier=par_un_entier and numero == 7))
    autres: tuple[Any, ...] = ({}, {"event": "subscribed", "feed": "book"}, [], None, "pong", b"octets")
    for autre in autres:
        suites.verifier(autre)
    with pytest.raises(ccxt.ChecksumError, match=r"trame 1\d+ perdue, après la 10"):
        suites.verifier(trame(12))
    if par_un_entier and cas not in {"blockchaincom_spot", "gemini_spot"}:  # un carnet entier repart d'où il veut
        suites.verifier(trame(3, entier=True))
        suites.verifier(trame(4))


@pytest.mark.parametrize("cas", TRAMES_DE_CARNET)
def test_une_trame_de_carnet_d_une_forme_imprevue_n_est_pas_une_perte(cas: str) -> None:
    """Couper à chacune perdrait le carnet entier, sans fin ; celles qui ont un numéro restent vérifiées."""
    nom, trame, par_un_entier = TRAMES_DE_CARNET[cas]
    suites = carnets.SuitesDeCarnets(carnets.NUMEROS[nom])
    suites.verifier(trame(7, entier=par_un_entier))
    for etrange in _abimees(trame(8)):
        suites.verifier(etrange)
    suites.verifier(trame(8))
    with pytest.raises(ccxt.ChecksumError, match=r"trame \d+ perdue, après la 8"):
        suites.verifier(trame(10))


def test_une_trame_de_mexc_en_protobuf_est_verifiee_une_fois_lue() -> None:
    """De l'adresse ne viennent que des octets."""

    async def essai() -> None:
        api = Banc("mexc", "spot").api
        client = api.client("wss://localhost/ws")
        api.handle_protobuf_message(client, _trame_mexc(7))
        api.handle_protobuf_message(client, _trame_mexc(8))
        with pytest.raises(ccxt.ChecksumError, match="perdue"):
            api.handle_protobuf_message(client, _trame_mexc(10))
        await api.close()

    asyncio.run(essai())


def test_ce_qu_une_correction_reprend_est_dit_a_la_ligne_de_l_exchange() -> None:
    """De là vient ce qu'un module copié seul refuse : le taire, il l'écrirait faux."""
    touches = {"ohlcv": "ohlcv", "trade": "trades", "ticker": "ticker", "order_book": "orderbook"}
    du_rest = {"parse_ohlcv", "insert_missing_candles", "bougies_ou_rien"}
    assert corrections.CORRECTIONS.keys() == {nom for nom, propre in module.PARTICULARITES.items() if propre.corrigee}
    for nom, correction in corrections.CORRECTIONS.items():
        dits = set(module.PARTICULARITES[nom].corrigee)
        methodes = {methode for methode in vars(correction) if not methode.startswith("_")}
        assert (module.BOUGIES in dits) == bool(methodes & du_rest), nom
        repris = {flux for methode in methodes - du_rest for motif, flux in touches.items() if motif in methode}
        if "handle_message" in methodes:
            repris |= {"trades", "ticker", "orderbook"}
        assert module.BOUGIES in dits or repris <= dits, nom


def test_un_exchange_n_a_qu_une_ligne_de_particularites() -> None:
    """La seconde remplacerait la première, sans un mot."""
    arbre = ast.parse(Path(module.__file__).read_text("utf-8"))
    (table,) = [
        n.value for n in ast.walk(arbre) if isinstance(n, ast.AnnAssign) and ast.unparse(n.target) == "PARTICULARITES"
    ]
    assert isinstance(table, ast.Dict)
    noms: list[str] = []
    for cle, valeur in zip(table.keys, table.values, strict=True):
        assert isinstance(valeur, ast.Call)
        noms += [ast.literal_eval(cle)] if cle else ast.literal_eval(valeur.args[0])
    assert len(noms) == len(set(noms)) == len(module.PARTICULARITES)


@pytest.mark.parametrize("nom", ["coincheck", "nado"])
def test_un_flux_que_la_classe_lit_de_travers_est_refuse(nom: str) -> None:
    """Coincheck n'envoie que des écarts, que la classe rendrait pour des carnets ; de nado, elle en manque au début."""
    connexion = Banc(nom, "spot").connexion
    assert connexion.api.has["watchOrderBook"]
    assert "orderbook" not in connexion.canaux_offerts()
    with pytest.raises(module.ErreurDemande, match="n'offre pas le flux « orderbook »"):
        module.controler_flux(
            connexion, module.construire({"exchange": nom, "symbole": "AAA/BBB", "stream": "orderbook"})
        )


def _abimees(trame: dict[str, Any]) -> Iterator[Any]:
    """Cette trame, à chaque champ d'elle ôté, nul, ou d'une autre nature."""
    mauvaises: tuple[Any, ...] = (None, [], {}, "?")
    for champ, valeur in trame.items():
        yield {nom: autre for nom, autre in trame.items() if nom != champ}
        yield from ({**trame, champ: mauvaise} for mauvaise in mauvaises)
        if isinstance(valeur, dict):
            yield from ({**trame, champ: abimee} for abimee in _abimees(valeur))


def test_un_carnet_de_cryptocom_avance_avec_ses_mises_a_jour() -> None:
    """La classe lui laissait l'instant de son premier état, si longtemps qu'on l'écoute."""
    api, commun = Banc("cryptocom", "spot").api, {"subscription": "book", "depth": 50}
    client = SimpleNamespace(resolve=lambda *_: None)
    marche = next(marche for marche in api.markets.values() if marche["spot"])
    commun["instrument_name"] = marche["id"]
    entier = {"bids": [["9", "1", "1"]], "asks": [["11", "1", "1"]], "t": DEBUT, "u": 5}
    api.handle_order_book(client, {**commun, "channel": "book", "data": [entier]})
    mise_a_jour = {"update": {"bids": [["10", "1", "1"]], "asks": []}, "t": DEBUT + 700, "u": 6, "pu": 5}
    api.handle_order_book(client, {**commun, "channel": "book.update", "data": [mise_a_jour]})
    carnet = api.orderbooks[marche["symbol"]]
    assert (carnet["timestamp"], carnet["nonce"], carnet["bids"][0][:2]) == (DEBUT + 700, 6, [10.0, 1.0])
    with pytest.raises(ccxt.ChecksumError):  # une mise à jour qu'une autre précédait ne la date pas
        api.handle_order_book(
            client, {**commun, "channel": "book.update", "data": [{**mise_a_jour, "t": DEBUT + 900, "u": 9, "pu": 8}]}
        )
    assert carnet["timestamp"] == DEBUT + 700
    vides: tuple[Any, ...] = (None, [], [None], {}, [{"update": {}, "u": 7, "pu": 6}])
    for vide in vides:  # ni une mise à jour sans instant n'en prive le carnet
        with contextlib.suppress(ccxt.ChecksumError):
            api.handle_order_book(client, {**commun, "channel": "book.update", "data": vide})
        assert carnet["timestamp"] == DEBUT + 700


def test_bitopro_ne_rend_que_ce_qui_est_envoye() -> None:
    """Ni bougie plate inventée entre deux, ni avant la première, et dans l'ordre reçu."""
    lignes = [
        {"timestamp": DEBUT + rang * 60_000, "open": "1", "high": "2", "low": "1", "close": "2", "volume": "3"}
        for rang in (7, 5)
    ]
    rendues = Banc("bitopro", "spot").lire("1m", DEBUT, DEBUT + 600_000, {"data": lignes})
    assert rendues == [[DEBUT + rang * 60_000, 1.0, 2.0, 1.0, 2.0, 3.0] for rang in (7, 5)]


@pytest.mark.parametrize(
    ("timeframe", "unite", "periode", "ouverture", "derniere_ms"),
    [
        ("1h", "HOURS", 1, "2024-01-01T05:00Z", "2024-01-01T05:59:59.999Z"),
        ("1w", "WEEKS", 1, "2024-01-08T00:00Z", "2024-01-14T23:59:59.999Z"),
        ("1M", "MONTHS", 1, "2024-02-01T00:00Z", "2024-02-29T23:59:59.999Z"),
    ],
)
def test_une_bougie_de_onetrading_ouvre_sur_le_calendrier(
    timeframe: str, unite: str, periode: int, ouverture: str, derniere_ms: str
) -> None:
    """La classe rabote les semaines et les mois sur des blocs de 7 et 30 jours comptés depuis 1970."""
    bougie = {
        "granularity": {"unit": unite, "period": periode}, "open": "1", "high": "2", "low": "1", "close": "2",
        "total_amount": "5", "volume": "9", "time": derniere_ms,
    }  # fmt: skip
    banc = Banc("onetrading", "spot")
    instant = module.lire_instant(ouverture, 0)
    rendues = banc.lire(timeframe, DEBUT, DEBUT + 100 * 86_400_000, {"candlesticks": [bougie]})
    assert rendues == [[instant, 1.0, 2.0, 1.0, 2.0, 5.0]]


def test_les_reponses_rest_sont_lues_par_la_classe_rest() -> None:
    """Chez luno et coinbaseexchange, la classe pro remplace l'analyse REST par celle de ses trames."""
    brut = {"sequence": 3, "timestamp": DEBUT, "price": "20.5", "volume": "0.1", "is_buy": True}
    trade = Banc("luno", "spot").api.parse_trade(brut)
    assert (trade["id"], trade["timestamp"], trade["price"], trade["side"]) == ("3", DEBUT, 20.5, "buy")
    ticker = {"price": "20.5", "volume": "7", "bid": "20", "ask": "21", "time": "2024-01-01T00:00:00.000Z"}
    lu = Banc("coinbaseexchange", "spot").api.parse_ticker(ticker)
    assert (lu["last"], lu["bid"], lu["ask"], lu["timestamp"]) == (20.5, 20.0, 21.0, DEBUT)


def test_seuls_deux_classes_pro_remplacent_une_analyse_du_rest() -> None:
    """Une autre lirait ses réponses comme des trames : elle aurait sa classe dans `CORRECTIONS`."""
    remplacees = {
        (nom, methode)
        for nom in ccxtpro.exchanges
        for methode in vars(getattr(ccxtpro, nom))
        if methode in vars(getattr(ccxt, nom)) and re.match(r"parse_(?!transfer)", methode)
    }
    assert remplacees == {("luno", "parse_trade"), ("coinbaseexchange", "parse_ticker")}


def test_une_instance_qui_ecoute_garde_l_analyse_de_ses_trames() -> None:
    """La classe pro, dès que quelqu'un attend ses trames."""
    api = Banc("luno", "spot").api
    api.signaler = lambda _erreur: None
    trame = {"sequence": "1", "base": "0.1", "counter": "5232.0", "maker_order_id": "a", "taker_order_id": "b"}
    assert api.parse_trade(trame, api.markets["AAA/BBB"])["amount"] == 0.1


def test_bitbank_demande_un_fichier_par_jour_ou_par_an() -> None:
    """Un jour par fichier en dessous de 4h, un an au-delà ; une fenêtre à cheval en demande deux, jamais trois."""
    vide = {"success": 1, "data": {"candlestick": [{"ohlcv": []}]}}
    banc = Banc("bitbank", "spot")

    def fichiers(timeframe: str, debut: str, fin: str) -> list[str]:
        banc.parties.clear()
        bornes = (module.lire_instant(debut, 0), module.lire_instant(fin, 0))
        assert banc.lire(timeframe, *bornes, vide, vide, vide) == []
        return [partie.url.rpartition("/")[2] for partie in banc.parties]

    assert fichiers("1h", "2024-03-01", "2024-03-02") == ["20240301"]
    assert fichiers("1h", "2024-03-01T12:00Z", "2024-03-02T12:00Z") == ["20240301", "20240302"]
    assert fichiers("1h", "2024-03-01T12:00Z", "2024-05-02T12:00Z") == ["20240301", "20240302"]
    assert fichiers("4h", "2024-03-01", "2024-05-01") == ["2024"]
    assert fichiers("1d", "2024-12-01", "2025-02-01") == ["2024", "2025"]
    durees = {code: banc.connexion.fenetre_ms(module.Timeframe.lire(code), banc.marche) for code in ("1h", "1w")}
    assert durees == {"1h": 86_400_000, "1w": 365 * 86_400_000}
    assert banc.serie("1h").limite == 24


@pytest.mark.parametrize(
    ("nom", "message"),
    [
        ("bitbank", 'bitbank {"success":0,"data":{"code":10000}}'),
        ("binance", 'bitmart {"message":"no data","code":70000}'),
        ("delta", 'delta {"success":false,"error":{"code":"no_data_found"}}'),
    ],
)
def test_une_erreur_qui_dit_rien_ici_est_une_page_vide(nom: str, message: str) -> None:
    """Sans essai de plus, et sans rien prouver ; les autres erreurs restent des erreurs."""
    banc = Banc(nom, "spot")
    assert banc.lire("1h", DEBUT, DEBUT + 3_600_000, ccxt.ExchangeError(message)) == []
    assert len(banc.parties) == 1
    with pytest.raises(module.ErreurCollecte):
        banc.lire("1h", DEBUT, DEBUT + 3_600_000, ccxt.ExchangeError(f"{nom} service unavailable"))


@pytest.mark.parametrize("genre", ["spot", "swap.inverse"])
def test_phemex_n_admet_que_quelques_nombres(genre: str) -> None:
    """Un témoin de sept bougies y était refusé (code 30000, ccxt#26619), et la série échouait avec lui."""
    banc = Banc("phemex", genre)
    serie = banc.serie("1m")
    nombres = {dict(banc.demander(serie, DEBUT, nombre).valeurs)["limit"] for nombre in (1, 7, 400, 1000)}
    assert nombres <= {"5", "10", "50", "100", "500", "1000"}


def test_binance_ne_couvre_pas_plus_de_200_jours_d_un_inverse() -> None:
    """Au-delà, sa page est refusée : de 8h à 1M, rien n'était lu. Un linéaire et le comptant n'ont pas de borne."""
    inverse = Banc("binance", "swap.inverse")
    assert {code: inverse.serie(code).limite for code in ("4h", "8h", "1d", "1w", "1M")} == {
        "4h": 1000, "8h": 600, "1d": 200, "1w": 28, "1M": 6,
    }  # fmt: skip
    for code in ("8h", "1d", "1w", "1M"):
        bornes = [ms for _, ms in inverse.demander(inverse.serie(code), DEBUT).instants.values()]
        assert max(bornes) - min(bornes) <= 200 * 86_400_000
    assert {Banc("binance", genre).serie("1d").limite for genre in ("spot", "swap.linear")} == {1000}


def test_bitget_ne_couvre_pas_plus_de_90_jours_d_un_contrat() -> None:
    """La classe déplace sinon la fenêtre : elle part de sa fin moins `limit` bougies, puis la coupe à 90 jours."""
    contrat, comptant = Banc("bitget", "swap.linear"), Banc("bitget", "spot")
    assert {code: contrat.serie(code).limite for code in ("1h", "12h", "1d", "1w")} == {
        "1h": 200, "12h": 180, "1d": 90, "1w": 12,
    }  # fmt: skip
    assert comptant.serie("1w").limite == 200
    for code in ("12h", "1d", "3d", "1w"):
        serie = contrat.serie(code)
        bornes = [ms for _, ms in contrat.demander(serie, DEBUT).instants.values()]
        assert max(bornes) - min(bornes) <= 90 * 86_400_000
        assert min(bornes) <= DEBUT
    # Le témoin d'une série courte est un timeframe long, demandé avec la page de la courte.
    courte, jour = contrat.serie("1h"), module.Timeframe.lire("1d")
    contrat.parties.clear()
    with pytest.raises(Captee):
        asyncio.run(contrat.connexion.lire_bougies(courte, jour, DEBUT, jour.avancer(DEBUT, 90), limite=200))
    assert min(ms for _, ms in contrat.parties[0].instants.values()) <= DEBUT


@pytest.mark.parametrize(
    ("nom", "genre", "unite"),
    [
        ("binance", "spot", "AAA"), ("binance", "swap.linear", "AAA"), ("binance", "swap.inverse", "AAA"),
        ("okx", "swap.inverse", "AAA"), ("bybit", "swap.inverse", "AAA"), ("gate", "swap.linear", "contrats"),
        ("gate", "spot", "AAA"), ("poloniex", "swap.linear", "contrats"), ("deepcoin", "swap.inverse", "contrats"),
        ("mexc", "swap.linear", "contrats"), ("krakenfutures", "swap.inverse", "USD"),
        ("krakenfutures", "swap.linear", "inconnue"), ("btse", "swap.linear", "BBB"),
        ("btse", "spot", "BBB"), ("hibachi", "swap.linear", "BBB"),
        ("kucoin", "swap.linear", "inconnue"), ("kucoin", "spot", "AAA"),
        ("deribit", "swap.linear", "AAA"),
        ("bitget", "swap.linear", "inconnue"), ("whitebit", "swap.linear", "inconnue"),
    ],
)  # fmt: skip
def test_l_unite_du_volume_est_prouvee_ou_inconnue(nom: str, genre: str, unite: str) -> None:
    """La monnaie de base au comptant ; un contrat n'a d'unité que si un fait la prouve."""
    banc = Banc(nom, genre)
    assert banc.connexion.unite_volume(banc.marche) == unite


@pytest.mark.parametrize(
    ("nom", "marche", "unite_trades", "volume"),
    [
        ("binance", {"contractSize": 1.0}, "contrats", 0.24),
        ("okx", {"contractSize": 0.01}, "contrats", 0.0024),
        ("okx", {"contractSize": 100.0, "inverse": True}, "contrats", 0.48),  # 24 dollars à 50
        ("gate", {"contractSize": 0.0001}, "contrats", 0.24),  # le REST compte en contrats lui aussi
        ("deribit", {"contractSize": 0.0001}, "AAA", 0.24),
        ("deribit", {"contractSize": 10.0, "inverse": True}, "BBB", 0.0048),  # 0,24 dollar à 50
        ("deribit", {"contractSize": 1.0, "inverse": True, "option": True}, "AAA", 0.24),
        ("xt", {"contractSize": 0.0001}, "AAA", 0.24),  # déjà multiplié par la classe
        ("xt", {"contractSize": 10.0, "inverse": True}, "BBB", 0.0048),
        ("btse", {"contractSize": 0.001}, "contrats", 0.012),  # 0,00024 de base, à 50
        ("kucoin", {"contractSize": 0.001}, "contrats", 0.00024),  # inconnue : supposée de base, à comparer au REST
    ],
)  # fmt: skip
def test_le_volume_d_un_trade_est_dans_l_unite_du_rest(
    nom: str, marche: dict[str, Any], unite_trades: str, volume: float
) -> None:
    """Une seule table dit l'unité des trades et celle des bougies : l'une se convertit en l'autre, ou pas du tout."""
    connexion = module.Connexion(module.Reglages(nom))
    entier = {"contract": True, "base": "AAA", "quote": "BBB", "inverse": False, **marche}
    assert connexion.unite_des_trades(entier) == unite_trades
    mesurer = connexion.mesure_des_trades(entier)
    assert float(mesurer(module.Trade(0, "1", "buy", 50.0, 0.24))) == pytest.approx(volume)
    assert connexion.unite_des_trades({"base": "AAA", "quote": "BBB"}) == "AAA"


def test_xt_rend_les_trades_d_un_contrat_en_monnaie() -> None:
    """Le fait pour lequel ils ne sont pas dits « contrats » : trois contrats de 0,0001."""
    marche = {"id": "a_b", "symbol": "A/B:B", "type": "swap", "spot": False, "contract": True, "contractSize": 0.0001}
    assert ccxt.xt().parse_trade({"t": 1, "p": "50", "a": "3", "m": "BID"}, marche)["amount"] == 0.0003


@pytest.mark.parametrize("nom", AVEC_BOUGIES)
def test_les_faits_d_un_exchange_se_disent_sans_requete(nom: str) -> None:
    """Timeframes, prix, page, portée, flux et unité, par genre de marché."""
    connexion = module.Connexion(module.Reglages(nom))
    faits = faits_de(connexion)
    assert list(faits) == ["timeframes", "prix", "page", "sourde", "portee", "flux", "unite_volume"]
    assert all(module.Timeframe.lire(code) for code in faits["timeframes"])
    assert set(faits["page"]) == set(faits["unite_volume"]) <= {"spot", "linear", "inverse"}
    assert set(faits["unite_volume"].values()) <= {"base", "cotation", "contrats", "USD", "inconnue"}
    assert faits["unite_volume"].get("spot", "base") == ("cotation" if nom == "btse" else "base")
    assert connexion.requetes == 0
    json.dumps(faits)


def test_les_faits_de_deux_exchanges() -> None:
    """Ce qu'un lecteur de la liste y lit."""
    kraken = faits_de(module.Connexion(module.Reglages("kraken")))
    assert (kraken["portee"], kraken["page"], kraken["prix"]) == (720, {"spot": 720}, ["last"])
    phemex = faits_de(module.Connexion(module.Reglages("phemex")))
    assert phemex["sourde"] == ["inverse", "spot"]
    assert phemex["page"] == {"spot": 1000, "linear": 2000, "inverse": 1000}
    assert faits_de(module.Connexion(module.Reglages("coinone")))["timeframes"] == []
