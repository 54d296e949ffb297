"""N'importe quel exchange ccxt.pro : huit classes que l'exchange embarqué n'imite pas, face à leur vrai WebSocket.

Ce que rend le flux est ce que le REST du même exchange dit ensuite, quoi qu'il arrive ; ce qu'il ne peut retrouver est
inscrit en trou. Chacun court seul, au temps simulé, sur une bourse où passe une minute par seconde.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import functools
import importlib.util
import itertools
import json
import operator
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow.compute as pc
import pytest
from aiohttp import web
from bourses_tierces_flux import BASES, DEPART_MS, FLUX, FluxTiers, Tiers, TradeLu, ouvrir, tiers_de
from carnets_partiels import exiger_jusqu_ou_il_est_su, immobiliser_les_ordres, niveaux_lus, niveaux_vrais
from couverture import une_seule
from temps_simule import derouler, temps_simule

import module_ccxt_fr_v2 as m
from bourse_locale.pannes import Panne

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator
    from pathlib import Path

    from bourse_locale import Bourse

MINUTE, HEURE = 60_000, 3_600_000
ACCELERATION = 60
A_PART = {"bithumb", "ndax", "alpaca", "luno", "mexc", "mexc_swap", "bitopro",
          "coinbaseexchange"}  # une façon à eux, un test à eux
TOUS = sorted(set(FLUX) - A_PART)
MODES: dict[str, dict[str, Any]] = {
    "bougies": {"stream": "ohlcv"},
    "trades": {"stream": "trades"},
    "agregat": {"stream": "trades", "trades_vers_ohlcv": True},
    "carnet": {"stream": "orderbook", "profondeur": 5},
    "ticker": {"stream": "ticker"},
}
SANS_RELECTURE = ("hyperliquid",)  # pas de trades par REST
DERNIERS_SEULEMENT = {"kucoin": 100, "htx": 2000, "htx_swap": 2000, "hyperliquid": 10,
                      "phemex": 200, "bitstamp": 200, "upbit": 200}  # ce que le REST en garde
GRAINS = {"bitstamp": 1000}  # le REST n'y dit que la seconde
# Dans un même instant : ni identifiant qui se suive, ni ordre connu.
SANS_ORDRE = ("phemex", "lbank", "mexc_swap", "bitstamp", "deribit", "hyperliquid", "kucoin")
CONTRATS = {"htx_swap": 100.0}  # contrats par unité de base, dans les trades


class Cas(NamedTuple):
    """Un flux : un exchange, ce qu'on y suit."""

    nom: str
    mode: str


@dataclasses.dataclass
class Releve:
    """Ce qu'un flux a rendu pour un marché."""

    tiers: Tiers
    base: str
    lots: list[m.Lot] = dataclasses.field(default_factory=list)

    @property
    def trous(self) -> list[m.Trou]:
        """Ce qui manque, et se dit : ce qu'en garderait la fiche."""
        fiche = m.Fiche(m.CleSerie(self.tiers.ccxt, self.base))
        for lot in self.lots:
            fiche.noter(lot.couverts, lot.trous)
        return [trou for trou in fiche.trous if trou.raison != m.SANS_TRANSACTION]

    def manque(self, instant: int) -> bool:
        """Vrai si un trou le dit."""
        grain = GRAINS.get(self.tiers.nom, 1)
        return any(trou.debut // grain * grain <= instant < trou.fin for trou in self._trous_finals)

    @functools.cached_property
    def _trous_finals(self) -> list[m.Trou]:
        return self.trous

    def bougies(self) -> list[tuple[float, ...]]:
        """Les dernières lignes rendues de chaque minute."""
        lignes: dict[int, tuple[float, ...]] = {}
        for lot in self.lots:
            colonnes = zip(*(lot.lignes[nom].to_pylist() for nom in m.VALEURS_OHLCV), strict=True)
            lignes |= dict(zip(m.instants_de(lot.lignes), colonnes, strict=True))
        return [(instant, *valeurs) for instant, valeurs in sorted(lignes.items())]

    def trades(self) -> list[TradeLu]:
        """Les trades, dans l'ordre où une sortie les range : l'instant, puis la séquence de l'identifiant."""
        contrats, grain = CONTRATS.get(self.tiers.nom, 1.0), GRAINS.get(self.tiers.nom, 1)
        tous: list[tuple[m.Intervalle, TradeLu]] = []
        for lot in self.lots:
            colonnes = (lot.lignes[nom].to_pylist() for nom in ("id", "side", "price", "amount"))
            for ts, ident, sens, prix, quantite in zip(m.instants_de(lot.lignes), *colonnes, strict=True):
                lu = TradeLu(ts // grain * grain, sens, prix, round(quantite / contrats, 6))
                # Une écoute peut commencer au milieu d'une milliseconde : ce qui l'y précède arrive après, par le REST.
                tous.append(((lu.instant, (m.rangs_de(ident) or (0, 0))[0]), lu))
        return [lu for _, lu in sorted(tous, key=operator.itemgetter(0))]

    def ids(self) -> list[str]:
        """Les identifiants."""
        return [identifiant for lot in self.lots for identifiant in lot.lignes["id"].to_pylist()]


Scenario = dict[tuple[str, str, str], Releve]
"""(exchange, mode, marché) -> ce qui fut rendu."""


def jouer(
    duree_s: float,
    agir: Callable[[Bourse], Awaitable[None]],
    flux: Iterable[Cas],
    bases: tuple[str, ...] = BASES,
    vide: float = 0.1,
    acceleration: float = ACCELERATION,
    **options: Any,
) -> Scenario:
    """Ces flux, ensemble, pendant cette durée, et ce qui leur arrive."""
    flux = list(flux)
    noms = dict.fromkeys(cas.nom for cas in flux)
    with temps_simule(), ouvrir(*noms, acceleration=acceleration, vide=vide).en_fil() as bourse:
        releves: Scenario = {}

        async def suivre(cas: Cas) -> None:
            tiers = tiers_de(bourse, cas.nom)
            siens = {tiers.symbole(base): Releve(tiers, base) for base in bases}
            releves.update({(*cas, releve.base): releve for releve in siens.values()})
            reglages = reglages_de(bourse, cas.nom) | MODES[cas.mode] | options
            async for lot in m.suivre(**reglages, symbols=list(siens), duree=duree_s):
                siens[lot.cle.symbole].lots.append(lot)

        async def tous() -> None:
            action = asyncio.ensure_future(agir(bourse))
            await asyncio.gather(*(suivre(cas) for cas in flux))
            await action

        asyncio.run(tous())
        bourse.horloge.regler(0.0)  # ce qui est attendu se demande après, à l'heure vraie
    return releves


def reglages_de(bourse: Bourse, nom: str) -> dict[str, Any]:
    """De quoi ouvrir un exchange de la bourse."""
    tiers = tiers_de(bourse, nom)
    config = {**bourse.config_ccxt(nom), "rateLimit": 1, "timeout_on_exit": 0}
    return {"exchange": tiers.ccxt, "config_ccxt": config, "type_marche": "swap" if ":" in tiers.symbole() else "spot"}


async def rien(_bourse: Bourse) -> None:
    """Il n'arrive rien."""


async def couper(bourse: Bourse, *, apres_s: float, duree_s: float, saut_ms: int = 0) -> None:
    """Toutes les connexions meurent, et sont refusées un moment."""
    await asyncio.sleep(apres_s)
    refus = [bourse.refuser_connexions(nom) for nom in bourse.protocoles]
    for nom in bourse.protocoles:
        bourse.couper(nom)
    if saut_ms:
        bourse.avancer(saut_ms)
    await asyncio.sleep(duree_s)
    for panne in refus:
        bourse.pannes.retirer(panne)


async def retarder_puis_couper(bourse: Bourse, saut_ms: int = 0) -> None:
    """Un trade de chaque marché tarde ; d'autres le dépassent, puis toutes les connexions meurent, et lui avec."""
    await asyncio.sleep(2.4)
    for base in BASES:
        bourse.pannes.ajouter(Panne("ws_retard", canal="trades", symbole=base, fois=1, delai_ms=HEURE))
    await asyncio.sleep(0.8)
    for nom in bourse.protocoles:
        bourse.couper(nom)
    bourse.avancer(saut_ms)


async def avaler(bourse: Bourse) -> None:
    """Un trade de chaque marché n'est jamais envoyé, et la connexion n'en sait rien."""
    await asyncio.sleep(2.4)
    for base in BASES:
        bourse.pannes.ajouter(Panne("ws_perdu", canal="trades", symbole=base, fois=1))


async def taire(bourse: Bourse) -> None:
    """Toutes les connexions se taisent sans se fermer."""
    await asyncio.sleep(2.5)
    for nom in bourse.protocoles:
        bourse.couper(nom, "silence")


async def refuser(bourse: Bourse) -> None:
    """Le second marché est refusé."""
    bourse.pannes.ajouter(Panne("ws_abonnement_refuse", symbole="BBB"))


async def ne_rien_ouvrir(bourse: Bourse) -> None:
    """Aucune connexion n'aboutira."""
    for nom in bourse.protocoles:
        bourse.refuser_connexions(nom)


async def taire_un_marche(bourse: Bourse) -> None:
    """L'abonnement du second marché est pris, et il n'en viendra jamais rien."""
    bourse.pannes.ajouter(Panne("ws_silence_symbole", symbole="BBB"))


SCENARIOS: dict[str, functools.partial[Scenario]] = {
    "coupure": functools.partial(jouer, 8.0, functools.partial(couper, apres_s=3.0, duree_s=2.0), silence=30.0),
    "longue": functools.partial(
        jouer, 8.0, functools.partial(couper, apres_s=3.0, duree_s=0.5, saut_ms=12 * HEURE), bases=BASES[:1]
    ),
    "retard": functools.partial(jouer, 6.0, retarder_puis_couper, vide=0.0, silence=30.0, grace=60.0),
    "retard perdu": functools.partial(
        jouer, 6.0, functools.partial(retarder_puis_couper, saut_ms=12 * HEURE), vide=0.0, silence=30.0, grace=60.0
    ),
    "avalee": functools.partial(jouer, 6.0, avaler, vide=0.0, silence=30.0),
    "silence": functools.partial(jouer, 7.0, taire, silence=1.0),
    "fermes": functools.partial(jouer, 3.0, ne_rien_ouvrir),
    "muet": functools.partial(jouer, 4.0, taire_un_marche, silence=60.0),
    "refus": functools.partial(jouer, 4.0, refuser),
}


@pytest.fixture
def scenario(request: pytest.FixtureRequest) -> Scenario:
    """Le scénario du test, joué de son seul flux : à plusieurs processus, aucun n'en rejoue pour un autre."""
    params = request.node.callspec.params
    flux = Cas(params["nom"], params.get("mode", "trades"))
    return SCENARIOS[request.node.get_closest_marker("scenario").args[0]](flux=[flux])


def suite_de_trades(nom: str) -> tuple[bool, ...]:
    """Ce qui change, d'un exchange à l'autre, la suite des trades dont on fait ses bougies."""
    return nom in SANS_RELECTURE, nom in DERNIERS_SEULEMENT, nom in GRAINS, nom in SANS_ORDRE, nom in CONTRATS


# --- Ce qui est rendu est vrai ---


def bougies_exactes(releve: Releve, au_moins: int, *, sans_vides: bool = False, code: str = "1m") -> None:
    """Mêmes ouvertures, mêmes prix, même unité de volume que le REST ; rien ne manque."""
    lues = releve.bougies()
    assert len(lues) >= au_moins
    fin = m.Timeframe.lire(code).avancer(int(lues[-1][0]), 1)
    attendues = releve.tiers.simulateurs[releve.base].attendu(code, int(lues[0][0]), fin)
    attendues = [ligne for ligne in attendues if ligne[5] or not sans_vides]
    assert [ligne[0] for ligne in lues] == [ligne[0] for ligne in attendues]
    assert lues == [pytest.approx(ligne, rel=1e-9) for ligne in attendues]
    assert releve.trous == []


def trades_exacts(releve: Releve, au_moins: int) -> None:
    """Chacun une fois, dans l'ordre ; ce qui manque est dans un trou."""
    lus = releve.trades()
    assert len(lus) >= au_moins
    assert len(set(releve.ids())) == len(releve.ids())
    premier, grain = lus[0].instant, GRAINS.get(releve.tiers.nom, 1)
    attendus = [
        trade._replace(instant=trade.instant // grain * grain)
        for trade in releve.tiers.trades_attendus(releve.base, premier, lus[-1].instant + grain)
    ]
    if releve.tiers.nom in SANS_ORDRE:
        lus, attendus = sorted(lus), sorted(attendus)
    # L'instantané aussi peut commencer au milieu d'une milliseconde, et les ids n'être pas une séquence.
    lus[:] = sorted(t for t in lus if t.instant == premier) + [t for t in lus if t.instant > premier]
    debut = sorted(t for t in attendus if t.instant == premier and (t in lus or releve.tiers.nom not in SANS_RELECTURE))
    attendus = debut + [t for t in attendus if t.instant > premier]
    if grain > 1:  # sa dernière seconde court encore quand la dernière page est lue : la suite n'en est pas due
        attendus = [t for t in attendus if t.instant < lus[-1].instant or t in lus]
    dits = [trade for trade in attendus if not releve.manque(trade.instant)]
    assert [trade for trade in lus if not releve.manque(trade.instant)] == dits


@pytest.mark.scenario("coupure")
@pytest.mark.parametrize("mode", ["bougies"])
@pytest.mark.parametrize("nom", TOUS)
def test_une_coupure_ne_change_aucune_bougie(scenario: Scenario, nom: str, mode: str) -> None:
    """Deux minutes de connexion refusée : les bougies sont celles du REST."""
    for base in BASES:
        bougies_exactes(scenario[nom, mode, base], au_moins=5)


@pytest.mark.scenario("coupure")
@pytest.mark.couvrant(nom=suite_de_trades, un_par_famille=("nom",))
@pytest.mark.parametrize("mode", ["agregat"])
@pytest.mark.parametrize("nom", TOUS)
def test_une_coupure_ne_change_aucune_bougie_faite_de_trades(scenario: Scenario, nom: str, mode: str) -> None:
    """Les mêmes, sans les minutes vides, que les trades ne disent pas."""
    for base in BASES:
        bougies_exactes(scenario[nom, mode, base], au_moins=5, sans_vides=True)


def rien_n_est_perdu(scenario: Scenario, nom: str) -> None:
    """Tous les trades, chacun une fois, et sans trou là où le REST les relit."""
    for base in BASES:
        releve = scenario[nom, "trades", base]
        trades_exacts(releve, au_moins=15)
        assert releve.trous == [] or nom in SANS_RELECTURE


@pytest.mark.scenario("coupure")
@pytest.mark.parametrize("nom", TOUS)
def test_une_coupure_ne_perd_ni_ne_double_un_trade(scenario: Scenario, nom: str) -> None:
    """Comblée par le REST, ou par l'instantané du nouvel abonnement ; chez hyperliquid, à défaut, un trou."""
    rien_n_est_perdu(scenario, nom)


@pytest.mark.scenario("retard")
@pytest.mark.parametrize("nom", TOUS)
def test_un_trade_qui_tardait_quand_le_flux_fut_coupe_n_est_pas_perdu(scenario: Scenario, nom: str) -> None:
    """Rien ne dit son absence là où les identifiants ne se suivent pas (deribit, kucoin, lbank, upbit)."""
    rien_n_est_perdu(scenario, nom)


@pytest.mark.scenario("retard perdu")
@pytest.mark.parametrize("nom", sorted(DERNIERS_SEULEMENT))
def test_un_trade_qui_tardait_et_que_le_rest_ne_sert_plus_est_en_trou(scenario: Scenario, nom: str) -> None:
    """Douze heures de coupure : là où rien ne disait son absence, le trou commence avant lui."""
    for base in BASES:
        trades_exacts(scenario[nom, "trades", base], au_moins=15)


@pytest.mark.scenario("avalee")
@pytest.mark.parametrize("nom", ["deribit", "upbit", "gate"])
def test_une_trame_avalee_sans_coupure_se_voit(scenario: Scenario, nom: str) -> None:
    """À la suite des identifiants (gate), ou au REST, qu'on relit de minute en minute là où ils ne se suivent pas."""
    for base in BASES:
        releve = scenario[nom, "trades", base]
        trades_exacts(releve, au_moins=15)
        assert releve.trous == []


@pytest.mark.scenario("longue")
@pytest.mark.parametrize("nom", TOUS)
def test_une_longue_coupure_est_comblee_ou_inscrite(scenario: Scenario, nom: str) -> None:
    """Douze heures, trois mille trades : page à page chez qui remonte, un trou exact chez qui ne garde que la fin."""
    releve = scenario[nom, "trades", BASES[0]]
    trades_exacts(releve, au_moins=min(DERNIERS_SEULEMENT.get(nom, 3000), 1500))
    longs = [trou for trou in releve.trous if trou.fin - trou.debut > HEURE]
    assert len(longs) == (nom in DERNIERS_SEULEMENT)
    courts = [trou for trou in releve.trous if trou not in longs]
    assert courts == [] or nom in SANS_RELECTURE


# Un silence, un refus se voient à l'exchange ou au canal, non à leur rencontre : chacun l'un ou l'autre.
exchange_ou_canal = pytest.mark.couvrant(nom=une_seule, mode=une_seule)


@pytest.mark.scenario("silence")
@exchange_ou_canal
@pytest.mark.parametrize("mode", ["bougies", "trades"])
@pytest.mark.parametrize("nom", TOUS)
def test_une_connexion_muette_est_reconnue_et_comblee(scenario: Scenario, nom: str, mode: str) -> None:
    """Ouverte, sans un mot : le REST dit que le marché vit, l'écoute est refaite."""
    for base in BASES:
        releve = scenario[nom, mode, base]
        if mode == "bougies":
            bougies_exactes(releve, au_moins=4)
        else:
            trades_exacts(releve, au_moins=10)
            assert releve.trous == [] or nom in SANS_RELECTURE


@pytest.mark.scenario("refus")
@exchange_ou_canal
@pytest.mark.parametrize("mode", ["bougies", "trades"])
@pytest.mark.parametrize("nom", TOUS)
def test_un_marche_refuse_n_arrete_pas_l_autre(scenario: Scenario, nom: str, mode: str) -> None:
    """Que la classe ccxt rejette le refus, le lève, ou n'en fasse rien."""
    sain = scenario[nom, mode, "AAA"]
    if mode == "bougies":
        bougies_exactes(sain, au_moins=2)
    else:
        trades_exacts(sain, au_moins=5)
        refuse = scenario[nom, mode, "BBB"]
        if refuse.trades():  # pas encore abandonné : le REST, lui, sert ce marché
            trades_exacts(refuse, au_moins=1)


JAMAIS_ENTENDUS = ["bitstamp", "gate", "hyperliquid", "phemex"]
SANS_HEURE = ("bitstamp", "phemex")  # la nôtre, qui ne court pas soixante fois trop vite, dit ce qui est clos


@pytest.mark.scenario("fermes")
@pytest.mark.parametrize("mode", ["bougies", "trades"])
@pytest.mark.parametrize("nom", JAMAIS_ENTENDUS)
def test_une_poignee_de_main_refusee_sans_fin_est_lue_par_rest(scenario: Scenario, nom: str, mode: str) -> None:
    """Pas une trame : le REST dit tout depuis le début de l'écoute ; là où il n'y en a pas, un trou."""
    for base in BASES:
        if mode == "trades":
            exige_du_rest(scenario[nom, mode, base])
        elif nom not in SANS_HEURE:
            bougies_exactes(scenario[nom, mode, base], au_moins=1)


@pytest.mark.scenario("muet")
@pytest.mark.parametrize("nom", JAMAIS_ENTENDUS)
def test_un_marche_dont_rien_ne_vient_n_est_pas_complet(scenario: Scenario, nom: str) -> None:
    """Son abonnement est pris, l'autre parle : il est lu par REST, ou c'est un trou."""
    trades_exacts(scenario[nom, "trades", "AAA"], au_moins=3)
    exige_du_rest(scenario[nom, "trades", "BBB"])


def exige_du_rest(releve: Releve) -> None:
    """Ce que le REST sert depuis le début de l'écoute, ou un trou qui va jusqu'à la fin."""
    if releve.tiers.nom in SANS_RELECTURE:
        assert releve.trades() == []
        assert len(releve.trous) == 1
        return
    trades_exacts(releve, au_moins=3)
    assert releve.trous == []


def test_un_abonnement_qui_remplace_le_precedent_laisse_chacun_a_sa_connexion(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Bithumb ne garde que le dernier marché demandé : deux fois muet à côté de l'autre, il part de son côté."""
    caplog.set_level("INFO", m.journal.name)
    releves = jouer(6.0, rien, [Cas("bithumb", "trades")], silence=0.7)
    for base in BASES:
        trades_exacts(releves["bithumb", "trades", base], au_moins=15)
        assert releves["bithumb", "trades", base].trous == []
    assert sum("suivi par une autre connexion" in ligne for ligne in caplog.messages) == 1


def impossibles(monkeypatch: pytest.MonkeyPatch, *classes: type[FluxTiers]) -> None:
    """Toutes les trames du second marché portent des lignes impossibles : prix nuls, haut sous le bas."""

    def abimer(redigee: Any) -> Any:
        champs = {"price": "0", "px": "0", "h": "1", "l": "2"}
        if isinstance(redigee, list):
            return [abimer(element) for element in redigee]
        if isinstance(redigee, dict):
            return {nom: champs[nom] if nom in champs else abimer(valeur) for nom, valeur in redigee.items()}
        return redigee

    for classe, methode in itertools.product(classes, ("trades", "une_bougie")):
        if methode in vars(classe):
            vraie = getattr(classe, methode)

            def rediger(soi: Any, abonnement: Any, *reste: Any, vraie: Any = vraie) -> Any:
                redigee = vraie(soi, abonnement, *reste)
                return abimer(redigee) if abonnement.instrument.base == "BBB" else redigee

            monkeypatch.setattr(classe, methode, rediger)


def test_un_marche_dont_toutes_les_lignes_sont_refusees_est_lu_par_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Il parle, mais rien n'en est écrit : le REST dit tout, ou c'est un trou ; l'autre n'en souffre pas."""
    impossibles(monkeypatch, FLUX["gate"], FLUX["hyperliquid"])
    flux = itertools.starmap(Cas, itertools.product(("gate", "hyperliquid"), ("trades", "bougies")))
    releves = jouer(5.0, rien, flux, silence=60.0)
    for nom in ("gate", "hyperliquid"):
        trades_exacts(releves[nom, "trades", "AAA"], au_moins=3)
        exige_du_rest(releves[nom, "trades", "BBB"])
        for base in BASES:
            bougies_exactes(releves[nom, "bougies", base], au_moins=1)


@functools.cache
def a_sa_facon(nom: str, mode: str) -> Scenario:
    """Quelques minutes sans panne d'un exchange à part ; sans minute vide, que leur REST ne prouve pas tous."""
    return jouer(5.0, rien, [Cas(nom, mode)], vide=0.0, silence=0.7 if nom == "mexc_swap" else 30.0)


@pytest.fixture
def _avec_cles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trois classes en exigent, même pour ce qui est public (coinbaseexchange, pour ses carnets)."""
    for nom in ("ALPACA", "LUNO", "COINBASEEXCHANGE"):
        monkeypatch.setenv(f"{nom}_API_KEY", "cle")
        monkeypatch.setenv(f"{nom}_API_SECRET", "c2VjcmV0")
        monkeypatch.setenv(f"{nom}_API_PASSWORD", "passe")


@pytest.mark.usefixtures("_avec_cles")
@pytest.mark.parametrize("nom", ["ndax", "alpaca"])
def test_des_bougies_rangees_autrement_sont_exactes(nom: str, caplog: pytest.LogCaptureFixture) -> None:
    """Ndax récrit sa liste et somme les volumes ; alpaca range un cache sans timeframe."""
    for base in BASES:
        releve = a_sa_facon(nom, "bougies")[nom, "bougies", base]
        bougies_exactes(releve, au_moins=2)
        vraies = {ligne[0]: ligne for ligne in releve.tiers.simulateurs[base].attendu("1m", 0, 2**53)}
        assert releve.bougies(), "pas même celles du flux"
        assert releve.bougies() == [pytest.approx(vraies[int(ligne[0])], rel=1e-9) for ligne in releve.bougies()]
    assert not [ligne for ligne in caplog.messages if "flux coupé" in ligne], "le REST les dirait seul"


def test_un_sujet_de_trop_passe_sous_silence_a_sa_connexion() -> None:
    """Mexc n'en suit que tant par connexion, et ne refuse pas les autres : le muet part de son côté."""
    for base in BASES:
        releve = a_sa_facon("mexc_swap", "trades")["mexc_swap", "trades", base]
        trades_exacts(releve, au_moins=5)
        assert releve.trous == []


@pytest.mark.usefixtures("_avec_cles")
def test_des_trades_sans_heure_ni_prix_sont_lus_par_rest() -> None:
    """Luno : sa trame dit qu'il y eut un trade, le REST dit lequel."""
    for base in BASES:
        releve = a_sa_facon("luno", "trades")["luno", "trades", base]
        trades_exacts(releve, au_moins=5)
        assert releve.trous == []


def carnets_exacts(releve: Releve, au_moins: int) -> list[int]:
    """Chaque ligne est le carnet du marché à son instant, une fois, dans l'ordre ; rend ces instants."""
    lignes = [ligne for lot in releve.lots for ligne in lot.lignes.to_pylist()]
    instants = [round(ligne["timestamp"].timestamp() * 1000) for ligne in lignes]
    assert len(instants) >= au_moins
    assert instants == sorted(set(instants))
    instrument = releve.tiers.simulateurs[releve.base].instrument
    for ligne, instant in zip(lignes, instants, strict=True):
        assert niveaux_lus(ligne) == niveaux_vrais(releve.tiers.marche, instrument, instant, 5)
    return instants


def test_un_carnet_que_la_classe_ne_range_pas_est_celui_qu_elle_rend() -> None:
    """Bitopro ne remplit jamais `orderbooks`."""
    for base in BASES:
        releve = a_sa_facon("bitopro", "carnet")["bitopro", "carnet", base]
        carnets_exacts(releve, au_moins=5)
        assert releve.trous == []


@pytest.mark.parametrize("perdues", [0, 1])
def test_une_trame_de_carnet_perdue_que_la_classe_ne_voit_pas(perdues: int, caplog: pytest.LogCaptureFixture) -> None:
    """Gate au comptant : la connexion commune est refaite, un trou pour chacun, rien de faux ; sans perte, rien."""

    async def perdre(bourse: Bourse) -> None:
        if perdues:
            bourse.pannes.ajouter(Panne("ws_perdu", canal="carnet", symbole="AAA", sauter=20, fois=perdues))

    releves = jouer(8.0, perdre, [Cas("gate", "carnet")], vide=0.0, acceleration=1, silence=60.0)
    for base in BASES:
        releve = releves["gate", "carnet", base]
        instants = carnets_exacts(releve, au_moins=30)
        assert len(releve.trous) == perdues
        for trou in releve.trous:
            assert not [i for i in instants if trou.debut <= i < trou.fin]
            assert min(instants) < trou.debut < trou.fin <= max(instants)
    assert sum("flux coupé" in ligne for ligne in caplog.messages) == perdues


def test_un_carnet_fait_d_un_instantane_n_est_rendu_que_jusqu_ou_il_est_su(monkeypatch: pytest.MonkeyPatch) -> None:
    """Le prix va jusqu'à des ordres posés plus loin que l'instantané de kucoin, dont aucune trame n'a rien dit."""
    immobiliser_les_ordres(monkeypatch, FLUX["kucoin"])
    monkeypatch.setattr(FLUX["kucoin"], "niveaux_rest", 20)  # cent ; le marché n'irait pas si loin en dix minutes
    monkeypatch.setattr(m._classe("kucoin"), "particularite", m.PARTICULARITES["kucoin"]._replace(carnet_partiel=20))
    releves = jouer(8.0, rien, [Cas("kucoin", "carnet")], vide=0.0, acceleration=120.0)
    for base in BASES:
        releve = releves["kucoin", "carnet", base]
        lignes = [ligne for lot in releve.lots for ligne in lot.lignes.to_pylist()]
        instrument = releve.tiers.simulateurs[base].instrument
        exiger_jusqu_ou_il_est_su(releve.tiers.marche, instrument, lignes, profondeur=5)
        assert releve.trous == []


@pytest.mark.parametrize(("code", "acceleration", "dit"), [
    ("1s", 15.0, "ccxt garde le flux « ohlcv » d'une façon inconnue ; seules les valeurs qu'il rend sont suivies"),
    ("3m", 60.0, "watchOHLCV does not support3m candle"),
])  # fmt: skip
def test_un_seul_timeframe_a_un_canal(
    code: str, acceleration: float, dit: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Upbit suit des bougies d'une seconde, que sa classe ne range nulle part ; les autres sont faites des trades."""
    releves = jouer(
        7.0, rien, [Cas("upbit", "bougies")], vide=0.0, acceleration=acceleration, timeframe=code, silence=30.0
    )
    for base in BASES:
        bougies_exactes(releves["upbit", "bougies", base], au_moins=1, code=code)
    assert sum(dit in ligne for ligne in caplog.messages) == 1


def test_un_ticker_calme_n_est_pas_un_flux_mort(caplog: pytest.LogCaptureFixture) -> None:
    """Coinbaseexchange n'en dit qu'à chaque trade ; entre deux, le REST a d'autres prix d'achat et de vente."""
    releves = jouer(6.0, rien, [Cas("coinbaseexchange", "ticker")], vide=0.9, silence=0.6)
    for base in BASES:
        releve = releves["coinbaseexchange", "ticker", base]
        assert sum(lot.lignes.num_rows for lot in releve.lots) >= 1
        assert releve.trous == []
    assert not [ligne for ligne in caplog.messages if "flux coupé" in ligne]


@pytest.mark.usefixtures("_avec_cles")
def test_un_carnet_a_un_seul_cote_est_un_etat(caplog: pytest.LogCaptureFixture) -> None:
    """Un marché suspendu n'a plus de vendeurs : son carnet est écrit, ce côté vide ; l'autre marché a les deux."""
    releves = jouer(3.0, rien, [Cas("coinbaseexchange", "carnet")], silence=60.0)
    for base in BASES:
        releve = releves["coinbaseexchange", "carnet", base]
        lignes = [ligne for lot in releve.lots for ligne in lot.lignes.to_pylist()]
        assert len(lignes) >= 5
        assert all(ligne["bids"] for ligne in lignes)
        assert {bool(ligne["asks"]) for ligne in lignes} == {base == "AAA"}
        assert releve.trous == []
    assert not [ligne for ligne in caplog.messages if "flux coupé" in ligne]


def test_le_dernier_etat_d_un_carnet_est_lu_meme_s_il_arrive_entre_deux_appels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Une mise à jour pendant la pause, puis plus rien : l'avant-dernier état restait le dernier écrit."""
    canaux = {**m.CANAUX, "orderbook": m.CANAUX["orderbook"]._replace(pause_s=0.3)}
    monkeypatch.setattr(m, "CANAUX", canaux)
    marche = {"symbol": "PI_XBTUSD", "type": "futures_inverse", "contractSize": 1, "tickSize": 0.5, "tradeable": True}
    mise_a_jour = {"feed": "book", "product_id": "PI_XBTUSD", "side": "buy", "price": 101, "qty": 7, "timestamp": 2000}

    async def repondre(requete: web.Request) -> web.StreamResponse:
        if not requete.path.endswith("/ws"):
            return web.json_response({"result": "success", "instruments": [marche]})
        session = web.WebSocketResponse()
        await session.prepare(requete)
        async for _ in session:
            cotes = {"bids": [{"price": 100, "qty": 1}], "asks": [{"price": 102, "qty": 1}]}
            await session.send_json({**mise_a_jour, **cotes, "feed": "book_snapshot", "timestamp": 1000})
            await asyncio.sleep(0.1)
            await session.send_json(mise_a_jour)
        return session

    async def meilleurs() -> list[float]:
        application = web.Application()
        application.router.add_route("*", "/{chemin:.*}", repondre)
        serveur = web.AppRunner(application, shutdown_timeout=0)
        await serveur.setup()
        await web.TCPSite(serveur, "127.0.0.1", 0).start()
        hote = f"127.0.0.1:{serveur.addresses[0][1]}"
        api = {"public": f"http://{hote}/", "ws": f"ws://{hote}/ws"}
        lus: list[float] = []
        demande = {"exchange": "krakenfutures", "type_marche": "swap", "symbole": "BTC/USD:BTC", "stream": "orderbook"}
        async for lot in m.suivre(**demande, duree=20, config_ccxt={"urls": {"api": api}}):
            lus += [niveaux[0]["price"] for niveaux in lot.lignes["bids"].to_pylist()]
            if len(lus) == 2:
                break
        await serveur.cleanup()
        return lus

    assert derouler(meilleurs()) == [100, 101]


# --- Par la ligne de commande ---


@contextlib.contextmanager
def vive(nom: str) -> Iterator[Bourse]:
    """Un exchange tiers, à une minute par seconde."""
    with temps_simule(), ouvrir(nom, acceleration=ACCELERATION).en_fil() as bourse:
        yield bourse


def lancer(bourse: Bourse, nom: str, sortie: Path, *mots: str) -> tuple[int, list[dict[str, Any]]]:
    """La ligne de commande, dans ce processus : son code, et ce que le bilan dit de chaque marché."""
    reglages, bilan = reglages_de(bourse, nom), sortie.with_suffix(".json")
    symboles = ",".join(tiers_de(bourse, nom).symbole(base) for base in BASES)
    code = m.principal([
        "--exchange", reglages["exchange"], "--config-ccxt", json.dumps(reglages["config_ccxt"]),
        "--type-marche", reglages["type_marche"], "--symbols", symboles, "--sortie", str(sortie),
        "--bilan", str(bilan), *mots,
    ])  # fmt: skip
    return code, json.loads(bilan.read_text(encoding="utf-8"))["series"]


def test_des_lignes_toutes_refusees_sans_rest_rendent_trois(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hyperliquid ne sert pas ses trades par REST : de ce marché-là, tout est un trou."""
    impossibles(monkeypatch, FLUX["hyperliquid"])
    with vive("hyperliquid") as bourse:
        code, series = lancer(bourse, "hyperliquid", tmp_path / "flux.csv", "--stream", "trades", "--duree", "3")
    assert code == 3
    assert [bool(serie["trous"]) for serie in series] == [False, True]
    assert [serie["lignes_recues"] > 0 for serie in series] == [True, False]


@pytest.mark.parametrize("nom", ["gate", "kucoin", "phemex", "hyperliquid"])
def test_une_seance_sans_un_trade_n_est_pas_un_trou(nom: str, tmp_path: Path) -> None:
    """Rien n'eut lieu : le dernier trade du REST est d'avant l'écoute, ou l'instantané du flux le redit."""
    with temps_simule(), ouvrir(nom, depart_ms=instant_calme(nom), acceleration=1.0).en_fil() as bourse:
        code, series = lancer(bourse, nom, tmp_path / "flux.csv", "--stream", "trades", "--duree", "2")
    assert [serie["trous"] for serie in series] == [[], []]
    assert [serie["lignes_recues"] for serie in series] == [FLUX[nom].instantane_trades] * 2
    assert code == 0


def instant_calme(nom: str, duree_ms: int = 60_000) -> int:
    """D'où partir pour qu'aucun des deux marchés n'ait un trade de sitôt."""
    tiers = tiers_de(ouvrir(nom), nom)
    for depart in range(DEPART_MS, DEPART_MS + 12 * HEURE, 5_000):
        if not any(tiers.trades_attendus(base, depart - 1000, depart + duree_ms) for base in BASES):
            return depart
    raise AssertionError("aucun moment calme")


@pytest.mark.parametrize(("nom", "format_"), [("gate", "csv"), ("hyperliquid", "parquet")])
def test_un_flux_sans_histoire_finit_en_zero(nom: str, format_: str, tmp_path: Path) -> None:
    """Rien n'est arrivé : rien ne manque, même là où le REST n'aurait pu le prouver."""
    with vive(nom) as bourse:
        code, series = lancer(bourse, nom, tmp_path / f"flux.{format_}", "--stream", "trades", "--duree", "3")
    assert code == 0
    assert [serie["trous"] for serie in series] == [[], []]
    assert all(serie["lignes_recues"] > 5 for serie in series)


def test_ce_qui_n_a_pu_etre_comble_rend_trois(tmp_path: Path) -> None:
    """Kucoin ne garde que cent trades : douze heures de coupure laissent un trou, dans la fiche et dans le code."""
    with vive("kucoin") as bourse:

        def douze_heures_plus_tard() -> None:
            bourse.couper("kucoin")
            bourse.avancer(12 * HEURE)

        bourse.plus_tard(1.5, douze_heures_plus_tard)
        code, series = lancer(bourse, "kucoin", tmp_path / "flux.sqlite", "--stream", "trades", "--duree", "4")
    assert code == 3
    assert {trou["raison"] for serie in series for trou in serie["trous"]} == {"hors_fenetre_api"}


@pytest.mark.parametrize("nom", ["bitfinex", "coinbase"])
def test_un_marche_refuse_est_dit_et_rend_trois(
    nom: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Un refus que la classe ccxt tait, ou lève : le fautif est nommé, l'autre est écrit."""
    with vive(nom) as bourse:
        bourse.pannes.ajouter(Panne("ws_abonnement_refuse", symbole="BBB"))
        code, series = lancer(bourse, nom, tmp_path / "flux.csv", "--stream", "trades", "--duree", "4")
        refuse = tiers_de(bourse, nom).symbole("BBB")
    assert code == 3
    assert f"{refuse} " in capsys.readouterr().err
    assert [serie["etat"] for serie in series] == ["complete", "refusee"]


@pytest.mark.skipif(importlib.util.find_spec("google") is not None, reason="protobuf est peut-être installé")
def test_des_trames_que_la_classe_ne_sait_pas_lire_sont_un_refus_dit(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Mexc, au comptant, parle protobuf : la bibliothèque qui manque est nommée, et la tâche échoue."""
    with vive("mexc") as bourse:
        code, series = lancer(bourse, "mexc", tmp_path / "flux.csv", "--stream", "trades", "--duree", "4")
    assert code == 1
    assert "protobuf" in capsys.readouterr().err
    assert {serie["etat"] for serie in series} == {"refusee"}


def test_le_volume_du_flux_est_celui_du_rest(tmp_path: Path) -> None:
    """Gate compte au comptant le volume de ses bougies en monnaie de cotation : le REST l'emporte, et c'est dit."""
    with vive("gate") as bourse:
        code, _ = lancer(bourse, "gate", tmp_path / "flux.csv", "--stream", "ohlcv", "--duree", "5")
        assert code == 0
        lue, tiers = m.lire(tmp_path / "flux.csv"), tiers_de(bourse, "gate")
        for base in BASES:
            siennes = lue.filter(pc.equal(lue["symbole"], tiers.symbole(base)))
            instants = m.instants_de(siennes)
            attendues = tiers.simulateurs[base].attendu("1m", instants[0], instants[-1] + MINUTE)
            assert siennes["volume"].to_pylist() == pytest.approx([ligne[5] for ligne in attendues])
