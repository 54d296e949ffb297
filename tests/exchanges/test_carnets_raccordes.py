"""Un carnet qui part d'un instantané des premiers niveaux : à chaque version, celui du marché, jusqu'où il est su."""

from __future__ import annotations

import asyncio
import dataclasses
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from carnets_raccordes import COTES, RACCORDS, SERVIS, Raccord, vrai
from marche_simule import marche_de
from trames_de_carnets import INSTANT, Exchange, ecouter, nom_de

import module_ccxt_fr_v2 as m

if TYPE_CHECKING:
    from collections.abc import Callable

DECALAGES = (-1, 0, 10)  # au milieu d'une trame gardée, à sa fin, en avance sur le flux


@pytest.mark.parametrize(
    ("raccord", "decalage"),
    [(raccord, decalage) for raccord in RACCORDS for decalage in ((0,) if raccord.par_le_flux else DECALAGES)],
    ids=lambda cas: nom_de(cas) if isinstance(cas, Raccord) else str(cas),
)
def test_un_carnet_raccorde_a_son_instantane_est_vrai(
    raccord: Raccord, decalage: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Le prix sort deux fois de l'instantané, dont les ordres plus lointains ne sont jamais dits."""
    monkeypatch.setattr(m, "INSTANTANE_S", 0.05)
    monkeypatch.setattr(m, "INSTANTANE_TARDIF_S", 60.0)
    exchange = dataclasses.replace(raccord.exchange(decalage), pas_s=0.003 * raccord.par_trame)
    ecoutee = asyncio.run(ecouter(exchange, raccord.trames(), profondeur=2, carnet_partiel=SERVIS, **raccord.propre))
    assert ecoutee.erreur is None
    assert ecoutee.serveur.connexions == 1
    versions = []
    for carnet in ecoutee.carnets:
        if not carnet["bids"] and not carnet["asks"]:
            continue  # il attend son instantané
        version = raccord.version(carnet["nonce"])
        versions.append(version)
        for cote in COTES:
            assert carnet[cote]
            assert carnet[cote] == vrai(version)[cote][: len(carnet[cote])]
        assert carnet["timestamp"] in {None, INSTANT + version}
    assert versions == sorted(versions)
    assert len(versions) >= 30
    assert max(versions) > 0.8 * raccord.fin(raccord.trames()[-1][0]), "plus rien n'est su"


def test_un_instantane_trop_ancien_se_voit() -> None:
    """Entre lui et la première trame que bitvavo a envoyée, il en manque : l'écoute finit, et une autre suit."""
    (raccord,) = [raccord for raccord in RACCORDS if raccord.par_le_flux]
    ecoutee = asyncio.run(ecouter(raccord.exchange(-60), raccord.trames()[58:80], profondeur=2, carnet_partiel=SERVIS))
    assert "perdue" in str(ecoutee.erreur)
    assert not any(carnet["bids"] for carnet in ecoutee.carnets)


def test_un_instantane_refuse_finit_l_ecoute() -> None:
    """Bitvavo ne le redit pas : un carnet qui l'attendrait n'aurait plus rien à dire."""
    (raccord,) = [raccord for raccord in RACCORDS if raccord.par_le_flux]
    refus = {"action": "getBook", "market": "AAA-BBB", "errorCode": 103, "error": "You have been rate limited."}

    def repondre(message: Any) -> list[Any]:
        return [refus] if message["action"] == "getBook" else raccord.repondre(message)

    exchange = dataclasses.replace(raccord.exchange(0), repondre=repondre)
    ecoutee = asyncio.run(ecouter(exchange, raccord.trames()[58:80], profondeur=2, carnet_partiel=SERVIS))
    assert isinstance(ecoutee.erreur, m.LimiteDeDebit)
    assert "You have been rate limited" in str(ecoutee.erreur)


def _instance(nom: str, genre: str, identifiant: str) -> tuple[Any, str]:
    """La classe de cet exchange, telle que le module l'emploie, et le symbole de son marché."""
    api, marche = m.instancier(m.Reglages(nom)), marche_de(genre) | {"id": identifiant, "stock": False}
    api.set_markets([marche], {})
    return api, str(marche["symbol"])


def _coinbaseinternational(achats: list[int], vente: int, entier: bool) -> dict[str, Any]:
    dits = [["new" if entier else "delete", float(prix), 0.0 if not entier else 1.0] for prix in achats]
    return {"params": {"channel": "book.AAA-BBB.100ms", "data": {
        "type": "snapshot" if entier else "change", "instrument_name": "AAA-BBB", "timestamp": INSTANT,
        "change_id": 5 if entier else 6, "prev_change_id": None if entier else 5, "bids": dits,
        "asks": [["new", float(vente), 1.0]]}}}  # fmt: skip


def _extended(achats: list[int], vente: int, entier: bool) -> dict[str, Any]:
    dits = [{"p": str(prix), "q": "1", "c": "1" if entier else "0"} for prix in achats]
    return {"ts": INSTANT, "type": "SNAPSHOT" if entier else "DELTA", "seq": 5 if entier else 6, "data": {
        "m": "AAA-BBB", "b": dits, "a": [{"p": str(vente), "q": "1", "c": "1"}]}}  # fmt: skip


@pytest.mark.parametrize(("nom", "rediger"), [
    ("coinbaseinternational", _coinbaseinternational), ("extended", _extended),
])  # fmt: skip
def test_un_carnet_entier_n_est_pas_rogne(nom: str, rediger: Callable[..., dict[str, Any]]) -> None:
    """Mille acheteurs s'en vont ; ceux qui suivaient, dits une fois, sont les meilleurs."""
    api, symbole = _instance(nom, "swap.linear", "AAA-BBB")
    client = SimpleNamespace(subscriptions={}, resolve=lambda *_: None)
    api.handle_order_book(client, rediger([*range(2000, 800, -1)], 3000, entier=True))
    api.orderbooks[symbole].limit()  # comme à chaque lecture
    api.handle_order_book(client, rediger([*range(2000, 1000, -1)], 3001, entier=False))
    assert [prix for prix, *_ in api.orderbooks[symbole]["bids"][:3]] == [1000.0, 999.0, 998.0]


def test_deux_trames_de_deepcoin_de_la_meme_ms_comptent_toutes_deux() -> None:
    """La classe n'en appliquait que la première ; de celles d'avant l'instantané, il contient celle de sa ms."""
    api, symbole = _instance("deepcoin", "spot", "AAA/BBB")
    client = SimpleNamespace(resolve=lambda *_: None)

    def trame(sorte: str, instant: int, *niveaux: tuple[str, int, int]) -> None:
        dits = [{"d": {"I": "AAA/BBB", "D": cote, "P": prix, "V": nombre}} for cote, prix, nombre in niveaux]
        api.handle_order_book(client, {"a": "PMO", "t": sorte, "r": dits, "tt": instant, "mt": instant})

    trame("i", INSTANT, ("0", 90, 1))
    trame("f", INSTANT, ("0", 90, 2), ("1", 110, 1))
    trame("i", INSTANT + 5, ("0", 91, 1))
    trame("i", INSTANT + 5, ("0", 92, 1))
    trame("i", INSTANT + 4, ("0", 99, 1))  # plus ancienne
    carnet = api.orderbooks[symbole]
    assert (carnet["timestamp"], list(carnet["bids"])) == (INSTANT + 5, [[92.0, 1.0], [91.0, 1.0], [90.0, 2.0]])
    trame("f", INSTANT + 9, ("0", 91, 3), ("1", 111, 1))  # redit en cours de route : 92 et 90 n'y sont plus
    assert (list(carnet["bids"]), list(carnet["asks"])) == ([[91.0, 3.0]], [[111.0, 1.0]])
    trame("i", INSTANT + 10, *(("1", prix, 1) for prix in range(51, 111)))  # soixante de plus : 111 n'est plus tenu
    assert [prix for prix, _ in carnet["asks"]] == [*map(float, range(51, 111))]


@pytest.mark.parametrize(("nom", "identifiant", "profondeur", "attendue"), [
    ("derive", "BTC-PERP", 20, {"method": "subscribe", "params": {"channels": ["orderbook.BTC-PERP.1.20"]}}),
    ("p2b", "AAA_BBB", 20, {"method": "depth.subscribe", "params": ["AAA_BBB", 100, "0"]}),
    ("whitebit", "AAA_BBB", 20, {"method": "depth_subscribe", "params": ["AAA_BBB", 20, "0", True]}),
    ("kraken", "AAABBB", 2000, {"method": "subscribe", "params": {"channel": "book", "depth": 1000}}),
    ("apex", "AAA-BBB", 100, {"op": "subscribe", "args": ["orderBook200.H.AAABBB"]}),
    ("bybit", "AAABBB", 500, {"op": "subscribe", "args": ["orderbook.1000.AAABBB"]}),
])  # fmt: skip
def test_les_prix_d_un_carnet_et_sa_profondeur_sont_ceux_demandes(
    nom: str, identifiant: str, profondeur: int, attendue: dict[str, Any]
) -> None:
    """Les classes de derive et p2b réunissent des prix ; au-delà de ce qu'un exchange sert, c'est le plus qu'il ait."""
    recues: list[Any] = []

    def retenir(message: Any) -> list[Any]:
        recues.append(message)
        return []

    genre = "swap.linear" if nom in {"apex", "derive"} else "spot"
    exchange = Exchange(nom, lambda _numero: {}, identifiant, genre, repondre=retenir, marche={"id2": "AAABBB"})
    asyncio.run(ecouter(exchange, [], profondeur=profondeur))
    (demande,) = recues
    partie = {cle: demande[cle] for cle in attendue}
    if isinstance(partie.get("params"), dict):
        partie["params"] = {cle: partie["params"][cle] for cle in attendue["params"]}
    assert partie == attendue


def test_les_options_de_bybit_ont_leur_profondeur() -> None:
    """La classe en refuse les cinquante niveaux."""
    propre = m.PARTICULARITES["bybit"]
    assert propre.niveaux_a_demander(20, {"option": False}) == 50
    assert propre.niveaux_a_demander(20, {"option": True}) is None


@pytest.mark.parametrize("groupe", [False, True])
def test_un_carnet_que_l_exchange_donne_sous_un_autre_nom_est_lu(groupe: bool) -> None:
    """De BTC-USDC, coinbase envoie BTC-USD, dont c'est le carnet."""
    niveaux = (("bid", 90), ("offer", 110))
    trames = [
        (numero, {"channel": "l2_data", "client_id": "", "timestamp": m.en_iso(INSTANT + numero),
                  "sequence_num": numero, "events": [{
                      "type": "snapshot" if numero == 0 else "update", "product_id": "AAA-USD", "updates": [
                          {"side": cote, "event_time": "", "price_level": str(prix), "new_quantity": str(1 + numero)}
                          for cote, prix in niveaux]}]})
        for numero in range(4)
    ]  # fmt: skip
    exchange = Exchange("coinbase", lambda _numero: {}, "AAA-USDC", groupe=groupe,
                        marche={"symbol": "AAA/USDC", "quote": "USDC", "info": {"alias": "AAA-USD", "alias_to": []}},
                        voisin={"id": "AAA-USD", "symbol": "AAA/USD", "quote": "USD",
                                "info": {"alias": "", "alias_to": ["AAA-USDC"]}})  # fmt: skip
    ecoutee = asyncio.run(ecouter(exchange, trames))
    assert ecoutee.erreur is None
    assert [(carnet["bids"], carnet["asks"]) for carnet in ecoutee.carnets][-1] == ([(90.0, 4.0)], [(110.0, 4.0)])
