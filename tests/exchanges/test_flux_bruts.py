"""Trades, bougies et tickers : ce que chaque vraie classe ccxt.pro tire de ses trames, contre un oracle.

Un trade est le même au flux et en REST, ou une relecture le doublerait ; une bougie est datée de son ouverture ; d'un
ticker, chaque colonne dite est celle de l'état.
"""

from __future__ import annotations

import asyncio
import functools
import json
import operator
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from ecoute_rejouee import Rejoue, connexion_a, ecouter, lire_trades
from trames_de_flux import BOUGIES, FORMES, FORMES_DE_BOUGIES, FORMES_DE_TICKERS, INSTANT, TICKER, TRADES, Forme, K, T

import module_ccxt_fr_v2 as m

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

SYMBOLE = "AAA/BBB"


@pytest.fixture(autouse=True)
def _avec_cles(monkeypatch: pytest.MonkeyPatch) -> None:
    for nom in ("COINBASEEXCHANGE",):
        monkeypatch.setenv(f"{nom}_API_KEY", "cle")


def attendus(grain_ms: int) -> list[tuple[Any, ...]]:
    """Les trades de l'oracle, à ce grain."""
    return [(t.ms // grain_ms * grain_ms, t.sens, float(t.prix), float(t.quantite), float(t.cout)) for t in TRADES]


def lus(trades: Iterable[m.Trade], grain_ms: int = 1) -> list[tuple[Any, ...]]:
    """De même, de ceux qui furent reçus."""
    return [(t.timestamp // grain_ms * grain_ms, t.side, t.price, t.amount, pytest.approx(t.cost)) for t in trades]


@pytest.mark.parametrize("forme", FORMES, ids=lambda forme: forme.exchange.titre)
def test_un_trade_est_le_meme_au_flux_et_en_rest(forme: Forme) -> None:
    """Instant, sens, prix, quantité, montant ; et une relecture n'en double aucun, ni n'en tait un jumeau."""
    (recus,) = _recus(forme.exchange, list(map(forme.flux, TRADES))).values()
    assert lus(recus) == attendus(forme.grain_ms)
    memoire = m.Dedoublonneur()
    assert len(memoire.nouveaux(recus)) == len(TRADES)
    if forme.rest is not None:
        relus = asyncio.run(lire_trades(forme.exchange, forme.rest(TRADES)))
        assert lus(relus) == attendus(max(forme.grain_ms, forme.grain_rest_ms))
        assert memoire.nouveaux(relus, relecture=True) == []


def ids(trades: Iterable[m.Trade]) -> list[str]:
    """Leurs identifiants."""
    return [trade.id or "" for trade in trades]


@pytest.mark.parametrize(("exchange", "trame"), FORMES_DE_BOUGIES, ids=lambda v: getattr(v, "titre", ""))
def test_une_bougie_est_datee_de_son_ouverture(exchange: Rejoue, trame: Callable[[Any], Any]) -> None:
    """Et ses valeurs sont dans leurs colonnes."""
    ecoutee = asyncio.run(ecouter(exchange, list(map(trame, BOUGIES)), "ohlcv"))
    assert ecoutee.erreur is None
    (recues,) = ecoutee.recues.values()
    assert recues == [b.attendue for b in BOUGIES]


@pytest.mark.parametrize(("exchange", "trames", "dits"), FORMES_DE_TICKERS, ids=lambda v: getattr(v, "titre", ""))
def test_un_ticker_ne_dit_que_son_etat(exchange: Rejoue, trames: list[Any], dits: str) -> None:
    """Aucune colonne fausse ; celles que l'exchange dit y sont, et son instant s'il le dit."""
    ecoutee = asyncio.run(ecouter(exchange, trames, "ticker"))
    assert ecoutee.erreur is None
    (recus,) = ecoutee.recues.values()
    sans_date = str(K) not in json.dumps(trames[-1], default=str)
    assert recus[-1]["timestamp"] in ((None, K) if sans_date else (K,))
    lues = m.FilTicker._lire(m.FilTicker, recus[-1])  # type: ignore[arg-type]
    assert lues is not None
    colonnes = {champ: v for champ, v in zip(m.FilTicker._CHAMPS, lues, strict=True) if v is not None}
    assert colonnes == pytest.approx({champ: TICKER[champ] for champ in colonnes})
    assert set(dits.split()) <= colonnes.keys()


# --- Ce qu'une trame porte de plus qu'un trade


def _forme(nom: str) -> Forme:
    return next(forme for forme in FORMES if forme.exchange.nom == nom)


def _recus(exchange: Rejoue, trames: list[Any]) -> dict[str, list[m.Trade]]:
    ecoutee = asyncio.run(ecouter(exchange, trames, "trades"))
    assert ecoutee.erreur is None
    return ecoutee.recues


def test_un_marche_sans_trade_n_est_ni_entendu_ni_range_autrement(caplog: pytest.LogCaptureFixture) -> None:
    """Phemex commence par les derniers trades : de qui n'en a pas, sa classe rend une liste vide."""
    phemex = Rejoue("phemex", "AAABBB", "swap.inverse", marche={"priceScale": 4, "valueScale": 8, "ratioScale": 8})
    vide = {"sequence": 1, "symbol": "AAABBB", "trades": [], "type": "snapshot"}
    assert _recus(phemex, [vide]) == {}
    assert "façon inconnue" not in caplog.text


def test_tous_les_trades_d_une_trame_sont_recus() -> None:
    """Deepcoin en met plusieurs, dont sa classe ne lit que le premier."""
    forme = _forme("deepcoin")
    trame = forme.flux(TRADES[0])
    trame["r"] = [ligne for trade in TRADES for ligne in forme.flux(trade)["r"]]
    assert lus(_recus(forme.exchange, [trame])[SYMBOLE]) == attendus(1000)


def test_un_trade_dit_par_ses_deux_cotes_est_celui_du_preneur() -> None:
    """Derive a deux lignes par trade ; le REST n'en garde que celle du preneur."""
    forme = _forme("derive")
    trames = []
    for trade in TRADES:
        trame, teneur = forme.flux(trade), forme.flux(trade)["params"]["data"][0]
        (preneur,) = trame["params"]["data"]
        preneur["liquidity_role"] = "taker"
        trame["params"]["data"] = [{**teneur, "direction": "sell", "liquidity_role": "maker"}, preneur]
        trames.append(trame)
    (recus,) = _recus(forme.exchange, trames).values()
    assert lus(recus) == attendus(1)


def _phemex(trades: Iterable[T]) -> Any:
    return {"sequence": 1, "symbol": "sAAABBB", "type": "incremental", "trades": [
        [t.ms * 10**6 + 500_000, t.sens.title(), int(float(t.prix) * 10**8), int(float(t.quantite) * 10**8)]
        for t in trades]}  # fmt: skip


def _phemex_rest(trades: Iterable[T]) -> Any:
    return {"error": None, "id": 0, "result": _phemex(trades)}


def _reunies(nom: str, *chemin: str) -> Callable[[Iterable[T]], Any]:
    """La trame de cet exchange, avec toutes les lignes de ces trades."""

    def rediger(trades: Iterable[T]) -> Any:
        trames = list(map(_forme(nom).flux, trades))
        parentes = [functools.reduce(operator.getitem, chemin[:-1], trame) for trame in trames]
        parentes[0][chemin[-1]] = [ligne for parente in parentes for ligne in parente[chemin[-1]]]
        return trames[0]

    return rediger


RAFALE = [T(INSTANT + (0 if rang < 2 else 7_123 if rang < 11 else 9_000), rang, True, str(100 + rang), "0.25")
          for rang in range(13)]  # fmt: skip
PHEMEX = Rejoue("phemex", "sAAABBB", marche={"priceScale": 8, "valueScale": 8})


@pytest.mark.parametrize(("exchange", "rediger", "a_rebours"), [
    (PHEMEX, _phemex, True), (_forme("hollaex").exchange, _reunies("hollaex", "data"), True),
    (_forme("hollaex").exchange, _reunies("hollaex", "data"), False),
], ids=["phemex", "hollaex", "hollaex à l'endroit"])  # fmt: skip
def test_les_trades_d_un_meme_instant_gardent_leur_ordre(
    exchange: Rejoue, rediger: Callable[[Iterable[T]], Any], a_rebours: bool
) -> None:
    """Un ordre balaie dix prix dans la même ms, et ccxt les laissait à rebours, comme les dit l'exchange.

    L'ouverture et la clôture d'une bougie faite d'eux en dépendent ; la seconde trame n'a qu'un instant.
    """
    sens = -1 if a_rebours else 1
    suite = [t._replace(ms=INSTANT + 12_000, prix=str(200 + rang)) for rang, t in enumerate(RAFALE[:3])]
    (recus,) = _recus(exchange, [rediger(RAFALE[::sens]), rediger(suite[::sens])]).values()
    assert [t.price for t in recus] == [float(t.prix) for t in [*RAFALE, *suite]]
    bougies = m.Agregateur(m.Timeframe.lire("1s")).ajouter(recus)
    assert [(b.open, b.close) for b in bougies if b.timestamp == INSTANT + 7_000] == [(102.0, 110.0)]


@pytest.mark.parametrize("nom", ["bitvavo", "derive", "phemex", "hollaex"])
@pytest.mark.parametrize("a_rebours", [True, False])
def test_de_meme_par_le_rest(nom: str, a_rebours: bool) -> None:
    """Ccxt y rangeait des uuid par leur texte."""
    melees = [t._replace(id=(7 * t.id) % 13) for t in RAFALE]
    exchange, rest = (PHEMEX, _phemex_rest) if nom == "phemex" else (_forme(nom).exchange, _forme(nom).rest)
    assert rest is not None
    lus_ici = asyncio.run(lire_trades(exchange, rest(melees[:: -1 if a_rebours else 1])))
    assert [t.price for t in lus_ici] == [float(t.prix) for t in RAFALE]


def _coinbase(marches: Iterable[str]) -> Any:
    return {"channel": "market_trades", "client_id": "", "timestamp": "2023-11-14T22:13:20Z", "sequence_num": 0,
            "events": [{"type": "update", "trades": [
                {"trade_id": str(rang), "product_id": marche, "price": "100.5", "size": "0.25", "side": "BUY",
                 "time": "2023-11-14T22:13:20.123Z"} for rang, marche in enumerate(marches)]}]}  # fmt: skip


def _coincheck(marches: Iterable[str]) -> Any:
    return [[str(INSTANT // 1000), str(rang), marche, "100.5", "0.25", "buy", "1", "2"]
            for rang, marche in enumerate(marches)]  # fmt: skip


@pytest.mark.parametrize(("nom", "trame", "marches"), [
    ("coinbase", _coinbase, ("AAA-BBB", "CCC-BBB", "AAA-BBB")),
    ("coincheck", _coincheck, ("aaa_bbb", "ccc_bbb", "aaa_bbb")),
])  # fmt: skip
def test_d_une_trame_a_deux_marches_chacun_a_ses_trades(
    nom: str, trame: Callable[[Iterable[str]], Any], marches: tuple[str, ...]
) -> None:
    """La classe range tout sous le premier."""
    recus = _recus(Rejoue(nom, marches[0], deux_marches=True, groupe=nom == "coinbase"), [trame(marches)])
    numeros = {symbole: sorted(ids(trades)) for symbole, trades in recus.items()}
    assert numeros == {"AAA/BBB": ["0", "2"], "CCC/BBB": ["1"]}


class _CoinbaseAlias(Rejoue):
    """AAA-USDC y est un autre nom d'AAA-USD ; BBB-USDC, un autre marché que BBB-USD."""

    def marches(self) -> list[dict[str, Any]]:
        """Les quatre."""
        modele = super().marches()[0]
        return [
            modele | {"id": f"{base}-{cote}", "symbol": f"{base}/{cote}", "quote": cote, "quoteId": cote,
                      "info": {"alias_to": ["AAA-USDC"] if (base, cote) == ("AAA", "USD") else []}}
            for base in ("AAA", "BBB") for cote in ("USD", "USDC")
        ]  # fmt: skip


def _tickers_de_coinbase(marches: Iterable[str]) -> Any:
    return {"channel": "ticker_batch", "client_id": "", "timestamp": "2023-11-14T22:13:20Z", "sequence_num": 0,
            "events": [{"type": "update", "tickers": [
                {"type": "ticker", "product_id": marche, "price": str(100 + rang)}
                for rang, marche in enumerate(marches)]}]}  # fmt: skip


@pytest.mark.parametrize(("suivis", "dits", "rangs"), [
    (("AAA/USDC",), ("AAA-USD",) * 3, ([0, 1, 2],)),
    (("AAA/USD", "AAA/USDC"), ("AAA-USD",) * 3, ([0, 1, 2], [0, 1, 2])),
    (("BBB/USD", "BBB/USDC"), ("BBB-USDC", "BBB-USD", "BBB-USD"), ([1, 2], [0])),
])  # fmt: skip
@pytest.mark.parametrize(("canal", "trame"), [("trades", _coinbase), ("ticker", _tickers_de_coinbase)])
def test_un_marche_a_les_lignes_de_son_alias_et_d_aucun_autre(
    canal: Any, trame: Callable[[Iterable[str]], Any], suivis: tuple[str, ...], dits: tuple[str, ...], rangs: Any
) -> None:
    """Coinbase nomme AAA-USD ce qu'on lui demande par AAA-USDC ; de BBB, chacun le sien."""
    exchange = _CoinbaseAlias("coinbase", "AAA-USD", groupe=True)
    ecoutee = asyncio.run(ecouter(exchange, [trame(dits)], canal, suivis))
    assert ecoutee.erreur is None
    for symbole, attendus_ici in zip(suivis, rangs, strict=True):
        recues = ecoutee.recues[symbole]
        if canal == "trades":
            assert sorted(int(trade.id) for trade in recues) == attendus_ici
        else:
            assert {ticker["symbol"] for ticker in recues} == {symbole}
            assert recues[-1]["last"] == 100 + attendus_ici[-1]


def _bitopro(trades: Iterable[T]) -> Any:
    return {"event": "TRADE", "timestamp": INSTANT, "datetime": "", "pair": "AAA_BBB", "data": [
        {"timestamp": t.s, "price": t.prix, "amount": t.quantite, "isBuyer": t.achat} for t in trades]}  # fmt: skip


def test_des_trades_redits_a_chaque_trame_ne_sont_pas_d_autres_trades() -> None:
    """Bitopro renvoie tous ses derniers trades, sans identifiant : chacun compte une fois, ses jumeaux aussi."""
    exchange = Rejoue("bitopro", "aaa_bbb", envoie_d_abord=True)
    plus_tard = TRADES[2]._replace(ms=INSTANT + 9_000, prix="99")
    suite = [*TRADES, TRADES[2], plus_tard]  # un jumeau de plus
    trames = [_bitopro(reversed(suite[max(0, fin - 4) : fin])) for fin in (1, 1, 3, 4, 4, 5)]
    (recus,) = _recus(exchange, trames).values()
    assert [(t.timestamp, t.price) for t in recus] == [(t.s * 1000, float(t.prix)) for t in suite]


def test_une_trame_qui_ne_redit_rien_de_la_precedente_coupe() -> None:
    """Bitopro : entre les deux, des trades ont pu passer."""
    exchange = Rejoue("bitopro", "aaa_bbb", envoie_d_abord=True)
    trames = [_bitopro(TRADES[:2]), _bitopro(TRADES[2:])]
    ecoutee = asyncio.run(ecouter(exchange, trames, "trades"))
    assert ecoutee.erreur is not None
    assert len(ecoutee.recues[SYMBOLE]) == 2


# --- Ce que le REST en redit


@pytest.mark.parametrize(("identifiant", "rangs"), [
    ("12", (12, 12)), ("12-15", (12, 15)), ("73808524-19", None), ("1728630559823-0", None), ("15-12", None),
    ("12-90000", None), ("a-b", None),
])  # fmt: skip
def test_un_identifiant_a_deux_nombres_n_est_un_groupe_que_s_ils_se_suivent(identifiant: str, rangs: Any) -> None:
    """Grvt et cex y mettent autre chose : un trade y passait pour antérieur au bord d'une coupure, et se perdait."""
    assert m.rangs_de(identifiant) == rangs


def test_un_groupe_de_plus_de_mille_trades_n_est_pas_redit() -> None:
    """Binance en REST : un ordre en balaie parfois davantage au même prix, que le flux a déjà dits un par un."""
    groupe = m.Trade(INSTANT, "1001-3000", "buy", 100.0, 2000.0, 200_000.0)
    dits = {numero: groupe._replace(id=str(numero), amount=1.0, cost=100.0) for numero in range(1001, 3000)}
    assert m.separer(groupe, dits.get) == groupe._replace(id="3000", amount=1.0, cost=100.0)


def test_un_groupe_nul_n_est_pas_un_identifiant() -> None:
    """Mexc, au comptant, en REST : tous ses trades s'appelaient « None »."""
    brut = {"timestamp": 1, "price": 2.0, "amount": 3.0, "id": None, "info": {"a": None, "f": None, "l": None}}
    trade = m.trade_de(brut, None)
    assert trade is not None
    assert trade.id is None


def test_des_trades_reunis_se_relisent_par_date_la_ou_la_classe_tait_leur_identifiant() -> None:
    """Aster : sans `since`, sa classe demande les derniers, et l'entre-deux passait pour relu."""
    tous = [T(INSTANT + 250 * rang, 1000 + rang, rang % 3 > 0, "100.5", "0.25") for rang in range(2600)]

    def reuni(t: T) -> dict[str, Any]:
        return {"a": t.id - 7, "p": t.prix, "q": t.quantite, "f": t.id, "l": t.id, "T": t.ms, "m": not t.achat}

    async def repondre(requete: web.Request) -> web.Response:
        demande = requete.query
        if requete.path.endswith("aggTrades"):
            page = [t for t in tous if t.ms >= int(demande.get("startTime", 0))][:1000]
            return web.json_response([reuni(t) for t in page])
        return web.json_response([
            {"id": t.id, "price": t.prix, "qty": t.quantite, "time": t.ms, "isBuyerMaker": not t.achat}
            for t in tous[-1000:]
        ])

    async def relire() -> tuple[list[str], m.Relu]:
        async with connexion_a(Rejoue("aster", "AAABBB", "swap.linear"), repondre) as (connexion, series, _):
            bords = [m.Trade(t.ms, str(t.id), t.sens, 100.5, 0.25) for t in (tous[0], tous[2500])]
            memoire = m.Dedoublonneur()
            memoire.nouveaux(bords)
            relecture = m.RelectureTrades(connexion, series[0], m.Lacune(bords[0], bords[1]), memoire)
            return [trade.id or "" async for page in relecture.pages() for trade in page], relecture.resultat()

    relus, resultat = asyncio.run(relire())
    assert relus == [str(t.id) for t in tous[1:2500]]
    assert resultat.complet


@pytest.mark.parametrize(("nom", "ancien"), [
    ("bittrade", lambda t: str(10**22 + t.id)), ("mexc", lambda t: f"{t.ms}-{t.sens}-{t.quantite}-{t.prix}-taker"),
])  # fmt: skip
def test_un_fichier_d_avant_se_continue_sous_d_autres_noms(nom: str, ancien: Callable[[T], str]) -> None:
    """Ses trades y ont les identifiants d'une version d'avant : une relecture ne les redit pas sous les nouveaux."""
    forme = _forme(nom)
    ecrits = [m.Trade(t.ms, ancien(t), t.sens, float(t.prix), float(t.quantite), float(t.cout)) for t in TRADES]
    suite = [TRADES[2]._replace(ms=INSTANT + 9_000 + rang, id=70_004 + rang) for rang in range(2)]

    async def repondre(_requete: web.Request) -> web.Response:
        assert forme.rest is not None
        return web.json_response(forme.rest([*TRADES, *suite]))

    async def reprendre() -> list[int]:
        async with connexion_a(forme.exchange, repondre) as (connexion, series, _):
            memoire = m.Dedoublonneur()
            memoire.montrer(ecrits)
            relecture = m.RelectureTrades(connexion, series[0], m.Lacune(ecrits[-1], None), memoire)
            return [trade.timestamp async for page in relecture.pages() for trade in page]

    assert asyncio.run(reprendre()) == [t.ms for t in suite]
