"""Les histoires : trades, funding, intérêt ouvert. Les vraies classes ccxt et l'exchange embarqué ; des menteurs."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import itertools
import json
import random
import signal
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from bourses_tierces import SIMULATEURS, CoinbaseExchange, Simulateur, maintenant_ms
from ligne_de_commande import EXTENSIONS, HEURE, HEURE_BOURSE, JOUR, MINUTE, commande, empreinte, restes, telecharger
from vrais_processus import condamner, tuer

import module_ccxt_fr_v2 as m
import runner_ccxt_batch as runner
from annexes_ccxt_fr import histoires as h
from annexes_ccxt_fr.lot import BilanLot
from annexes_ccxt_fr.plan import ouvrir_plan
from annexes_ccxt_fr.voies import TAILLE, VoieParId, VoieParInstant, VoieParNumero
from bourse_locale import Bourse, Panne
from bourse_locale import Marche as MarcheSimule
from bourse_locale.financement import financements, interets
from bourse_locale.kraken.rest import Kraken, ligne_trade, lire_ns, lire_since, succes
from bourse_locale.marche import INSTRUMENTS_PAR_DEFAUT, Instrument
from bourse_locale.okx.rest import TRADES_JOURS as OKX_JOURS
from bourse_locale.pages import premiers_trades

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from bourses_tierces import Params

    from bourse_locale.marche import Trade as TradeSimule
    from bourse_locale.serveur import Appel, Reponse

FIN = HEURE_BOURSE - HEURE_BOURSE % HEURE - 2 * HEURE
BORNES = (FIN - 4 * HEURE, FIN)
TRADES = ("--donnee", "trades")
BOUGIES = (*TRADES, "--trades-vers-ohlcv")
# Un exchange, un marché, et ce que coûte un tour : la page est de mille, celle d'okx de cent.
MARCHES = [("binance", "BTC/USDT"), ("binance", "BTC/USD:BTC"), ("kraken", "BTC/USD"), ("okx", "BTC/USDT")]


def marche_jeune() -> MarcheSimule:
    """Coté depuis quarante jours, une minute sur vingt sans trade : rien de long à calculer."""
    jeunes = {
        nom: [dataclasses.replace(i, cotation_ms=max(i.cotation_ms, FIN - 40 * JOUR)) for i in instruments]
        for nom, instruments in INSTRUMENTS_PAR_DEFAUT.items()
    }
    return MarcheSimule(1, jeunes, taux_vide=0.05)


@pytest.fixture(scope="module")
def _figee() -> Iterator[Bourse]:
    with Bourse(marche=marche_jeune(), maintenant_ms=HEURE_BOURSE, acceleration=0.0, limites=False).en_fil() as ouverte:
        yield ouverte


@pytest.fixture
def figee(_figee: Bourse) -> Iterator[Bourse]:
    """Les quatre exchanges, horloge arrêtée, sans limite de débit ; remis à neuf."""
    _figee.requetes.clear()
    yield _figee
    _figee.pannes.vider()


def simules(bourse: Bourse, exchange: str, symbole: str, bornes: m.Intervalle) -> list[TradeSimule]:
    """Les trades du marché simulé."""
    return bourse.marche.trades(bourse.protocoles[exchange].par_symbole[symbole], *bornes)


def ecrits(sortie: Path) -> list[tuple[int, int]]:
    """L'instant et l'id de chaque ligne, dans l'ordre du fichier."""
    lue = m.lire(sortie)
    return list(zip(m.instants_de(lue), map(int, lue["id"].to_pylist()), strict=True))


def fiche(sortie: Path) -> m.Fiche:
    return m.lire_fiches(sortie)[0]


# Trades


@pytest.mark.parametrize(("exchange", "symbole"), MARCHES)
def test_tous_les_trades_et_eux_seuls(figee: Bourse, tmp_path: Path, exchange: str, symbole: str) -> None:
    """Ceux du marché, dans l'ordre, valeurs comprises ; relancer n'ajoute rien, élargir ne demande que le reste."""
    sortie = tmp_path / "t.parquet"
    arguments = ("--symbole", symbole, *TRADES)
    assert telecharger(figee, sortie, BORNES, *arguments, exchange=exchange) == 0
    attendus = simules(figee, exchange, symbole, BORNES)
    assert ecrits(sortie) == [(trade.ts, trade.id) for trade in attendus]
    lue = m.lire(sortie)
    instrument = figee.protocoles[exchange].par_symbole[symbole]
    assert lue["price"].to_pylist() == [float(instrument.texte_prix(trade.prix)) for trade in attendus]
    assert lue["amount"].to_pylist() == [float(instrument.texte_quantite(trade.quantite)) for trade in attendus]
    assert lue["side"].to_pylist() == [trade.sens for trade in attendus]
    assert (fiche(sortie).couverts, fiche(sortie).trous) == ([BORNES], [])
    assert m.verifier(sortie).code == 0
    avant, demandes = empreinte(sortie), len(figee.requetes)
    assert telecharger(figee, sortie, BORNES, *arguments, exchange=exchange) == 0
    assert empreinte(sortie) == avant
    assert not [r for r in figee.requetes[demandes:] if "rades" in r.chemin]
    large = (BORNES[0] - 2 * HEURE, BORNES[1] + HEURE)
    assert telecharger(figee, sortie, large, *arguments, exchange=exchange) == 0
    assert ecrits(sortie) == [(t.ts, t.id) for t in simules(figee, exchange, symbole, large)]
    assert fiche(sortie).couverts == [large]
    assert restes(sortie) == set()


@pytest.mark.parametrize("format_", [nom for nom in EXTENSIONS if nom != "parquet"])
def test_dans_chaque_format(figee: Bourse, tmp_path: Path, format_: str) -> None:
    sortie = tmp_path / f"t{EXTENSIONS[format_]}"
    bornes = (FIN - HEURE, FIN)
    assert telecharger(figee, sortie, bornes, *TRADES) == 0
    assert ecrits(sortie) == [(t.ts, t.id) for t in simules(figee, "binance", "BTC/USDT", bornes)]
    assert m.verifier(sortie).code == 0


def test_les_ids_sont_ceux_de_la_reunion_et_ne_se_melent_pas_a_ceux_du_flux(figee: Bourse, tmp_path: Path) -> None:
    """L'histoire de binance est faite de trades réunis : la continuer par son flux dirait deux fois le même trade."""
    sortie = tmp_path / "t.sqlite"
    bornes = (FIN - HEURE, FIN)
    assert telecharger(figee, sortie, bornes, *TRADES) == 0
    assert fiche(sortie).identifiants == m.IDS_REUNIS
    avant = empreinte(sortie)
    assert telecharger(figee, sortie, None, "--stream", "trades", "--duree", "1") == 2
    assert empreinte(sortie) == avant


def test_avant_la_cotation(figee: Bourse, tmp_path: Path) -> None:
    """Le premier trade de tous prouve qu'il n'y en a pas avant : `avant_cotation`, code 0."""
    instrument = figee.protocoles["kraken"].par_symbole["BTC/USD"]
    cotation = instrument.cotation_ms
    for exchange, symbole in (("kraken", "BTC/USD"), ("binance", "BTC/USDT")):
        cotation = figee.protocoles[exchange].par_symbole[symbole].cotation_ms
        bornes = (cotation - 3 * JOUR, cotation + HEURE)
        sortie = tmp_path / f"{exchange}.csv"
        assert telecharger(figee, sortie, bornes, "--symbole", symbole, *TRADES, exchange=exchange) == 0
        premier = simules(figee, exchange, symbole, bornes)[0].ts
        assert fiche(sortie).trous == [m.Trou(bornes[0], premier, m.AVANT_COTATION)]
        assert fiche(sortie).couverts == [bornes]
        # Tout entier avant elle : rien à écrire, et c'est un fait.
        avant = tmp_path / f"{exchange}-avant.csv"
        bornes = (cotation - 3 * JOUR, cotation - 2 * JOUR)
        assert telecharger(figee, avant, bornes, "--symbole", symbole, *TRADES, exchange=exchange) == 0
        assert [t.raison for t in m.lire_fiches(avant)[0].trous] == [m.AVANT_COTATION]


def test_la_queue_n_est_jamais_un_fait(figee: Bourse, tmp_path: Path) -> None:
    """Jusqu'à maintenant : code 0, le dernier instant reste à redemander. Une fin passée que rien ne suit : code 3."""
    sortie = tmp_path / "t.csv"
    assert telecharger(figee, sortie, (FIN, HEURE_BOURSE + JOUR), *TRADES) == 0
    attendus = simules(figee, "binance", "BTC/USDT", (FIN, HEURE_BOURSE + 1))
    assert ecrits(sortie) == [(t.ts, t.id) for t in attendus]
    assert fiche(sortie).couverts == [(FIN, attendus[-1].ts)]
    tard = tmp_path / "tard.csv"
    calme = (attendus[-1].ts + 1, HEURE_BOURSE)
    assert telecharger(figee, tard, calme, *TRADES) == 3
    assert fiche(tard).trous == [m.Trou(*calme, m.ECHEC)]


def test_sans_date_de_debut_la_page_la_plus_recente(figee: Bourse, tmp_path: Path) -> None:
    sortie = tmp_path / "t.csv"
    assert telecharger(figee, sortie, None, *TRADES, "--symbole", "BTC/USD", exchange="kraken") == 0
    lus = ecrits(sortie)
    assert 900 < len(lus) <= 1000
    assert lus == [(t.ts, t.id) for t in simules(figee, "kraken", "BTC/USD", (lus[0][0], HEURE_BOURSE + 1))]


def test_tue_net_la_relance_part_du_dernier_trade_prouve(figee: Bourse, tmp_path: Path) -> None:
    """`kill -9` en route : rien de perdu, rien de redemandé de ce qui était prouvé, et le fichier est le même."""
    bornes = (FIN - 20 * HEURE, FIN)
    sortie, entier = tmp_path / "t.parquet", tmp_path / "entier.parquet"
    arguments = ("--symbole", "BTC/USD", *TRADES)
    figee.latence_s = 0.1
    processus = condamner(commande(figee, sortie, bornes, *arguments, exchange="kraken"))
    tuer(processus, lambda: sum("Trades" in r.chemin for r in figee.requetes) >= 4)
    figee.latence_s = 0.0
    figee.requetes.clear()
    assert telecharger(figee, sortie, bornes, *arguments, exchange="kraken") == 0
    depuis = [int(r.params["since"]) // 1_000_000 for r in figee.requetes if "Trades" in r.chemin]
    assert min(depuis) > bornes[0] + HEURE
    assert telecharger(figee, entier, bornes, *arguments, exchange="kraken") == 0
    assert m.lire(sortie).equals(m.lire(entier))
    assert ecrits(sortie) == [(t.ts, t.id) for t in simules(figee, "kraken", "BTC/USD", bornes)]
    assert m.verifier(sortie).code == 0


@pytest.mark.parametrize("exchange", ["bybit", "hyperliquid", "kucoin", "mexc", "upbit", "dydx"])
def test_qui_ne_remonte_pas_le_dit(tmp_path: Path, exchange: str) -> None:
    """Code 2, sans requête : ce qu'il sert, et que faire."""
    sortie = tmp_path / "t.csv"
    with pytest.raises(m.ErreurDemande) as refus:
        m.telecharger(exchange=exchange, symbole="BTC/USDT", donnee="trades", date_debut="-2j", sortie=str(sortie))
    assert exchange in str(refus.value)
    assert "--stream trades" in refus.value.conseil
    assert not sortie.exists()


def test_okx_au_dela_de_trois_mois(tmp_path: Path) -> None:
    """Ce qu'il ne sert plus est `hors_fenetre_api`, code 3 ; le reste est écrit, et rien n'est redemandé."""
    sortie = tmp_path / "t.csv"
    bornes = (HEURE_BOURSE - OKX_JOURS * JOUR - 2 * HEURE, HEURE_BOURSE - OKX_JOURS * JOUR + HEURE)
    with Bourse(("okx",), maintenant_ms=HEURE_BOURSE, acceleration=0.0, limites=False).en_fil() as bourse:
        assert telecharger(bourse, sortie, bornes, *TRADES, exchange="okx") == 3
        servis = simules(bourse, "okx", "BTC/USDT", (HEURE_BOURSE - OKX_JOURS * JOUR, bornes[1]))
        assert ecrits(sortie) == [(t.ts, t.id) for t in servis]
        assert fiche(sortie).trous == [m.Trou(bornes[0], servis[0].ts, m.HORS_FENETRE_API)]
        avant, demandes = empreinte(sortie), len(bourse.requetes)
        assert telecharger(bourse, sortie, bornes, *TRADES, exchange="okx") == 3
        assert empreinte(sortie) == avant
        assert not [r for r in bourse.requetes[demandes:] if "rades" in r.chemin]


class CoinbaseALaPage(CoinbaseExchange):
    """Les mille trades d'avant un id, le plus récent d'abord ; `since` n'existe pas."""

    def __init__(self, marche: MarcheSimule, instrument: Instrument) -> None:
        super().__init__(marche, instrument)
        self.tous: list[TradeSimule] = []

    def repondre(self, chemin: str, params: Params) -> object:
        """Les trades ; le reste, comme d'habitude."""
        if chemin != "/products/AAA-USD/trades":
            return super().repondre(chemin, params)
        avant, nombre = int(params.get("after", 10**9)), min(1000, int(params["limit"]))
        if not self.tous:
            self.tous += premiers_trades(self.marche, self.instrument, 0, self.maintenant_ms() + 1, 10**9)
        return [self.rediger_trade(t) for t in [t for t in self.tous if t.id < avant][-nombre:][::-1]]

    def rediger_trade(self, t: TradeSimule) -> Params:
        """`side` est celui du teneur de marché."""
        date = datetime.fromtimestamp(t.ts / 1000, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        return {"time": date, "trade_id": t.id, "price": self.prix(t.prix), "size": self.quantite(t),
                "side": "buy" if t.sens == "sell" else "sell"}  # fmt: skip


TIERS: dict[str, type[Simulateur]] = {
    "coinbaseexchange": CoinbaseALaPage, **{nom: SIMULATEURS[nom] for nom in ("bitfinex", "bitget", "gate_swap")}
}  # fmt: skip


@pytest.mark.usefixtures("a_l_heure_dite")
@pytest.mark.parametrize("nom", TIERS)
def test_chez_un_tiers(tmp_path: Path, nom: str) -> None:
    """Sa vraie classe ccxt, son propre curseur : tous les trades, dans l'ordre, et rien de plus en relançant."""
    fin = maintenant_ms() // MINUTE * MINUTE - HEURE
    bornes, sortie = (fin - 8 * HEURE, fin), tmp_path / "t.parquet"
    instrument = Instrument("AAA", TIERS[nom].symbole[4:8], cotation_ms=fin - 3 * JOUR)
    if nom == "gate_swap":
        instrument = dataclasses.replace(instrument, type_marche="swap", sous_type="linear", settle="USDT")
    with TIERS[nom](MarcheSimule(1), instrument).en_fil() as tiers:
        config = json.dumps(tiers.config | {"rateLimit": 1, "rateLimiterAlgorithm": "leakyBucket"})
        arguments = ["--exchange", tiers.nom, "--symbole", tiers.symbole, "--config-ccxt", config, *TRADES,
                     "--essais", "2", "--sortie", str(sortie), "--date-debut", str(bornes[0]),
                     "--date-fin", str(bornes[1])]  # fmt: skip
        assert m.principal(arguments) == 0
        attendus = tiers.marche.trades(instrument, *bornes)
        lue = m.lire(sortie)
        assert m.instants_de(lue) == [t.ts for t in attendus]
        assert lue["side"].to_pylist() == [t.sens for t in attendus]
        assert (fiche(sortie).couverts, fiche(sortie).trous) == ([bornes], [])
        avant = empreinte(sortie)
        assert m.principal(arguments) == 0
        assert empreinte(sortie) == avant


class BitgetALaPage(Simulateur):
    """Des pages numérotées, la plus récente d'abord ; ni début ni fin."""

    nom, symbole = "bitget", "AAA/USDT:USDT"

    def urls(self, base: str) -> object:
        """Où la classe ccxt appelle."""
        return dict.fromkeys(("spot", "mix", "margin", "common", "uta"), base)

    def repondre(self, chemin: str, params: Params) -> object:
        """Heure, marchés, financements."""
        if chemin == "/api/v2/public/time":
            return {"code": "00000", "data": {"serverTime": str(self.maintenant_ms())}}
        if chemin == "/api/v2/mix/market/contracts":
            marche = {"symbol": "AAAUSDT", "baseCoin": "AAA", "quoteCoin": "USDT", "symbolStatus": "normal"}
            genre = {"symbolType": "perpetual", "supportMarginCoins": ["USDT"], "minTradeNum": "0.001",
                     "pricePlace": "2", "priceEndStep": "1", "volumePlace": "3", "sizeMultiplier": "0.001",
                     "launchTime": str(self.instrument.cotation_ms)}  # fmt: skip
            return {"code": "00000", "data": [{**marche, **genre}] if params["productType"] == "USDT-FUTURES" else []}
        if chemin == "/api/v2/mix/market/history-fund-rate":
            taille, numero = min(100, int(params["pageSize"])), int(params["pageNo"])
            tous = financements(self.marche, self.instrument, 0, self.maintenant_ms() + 1)[::-1]
            lignes = [
                {"symbol": "AAAUSDT", "fundingRate": str(un.taux / 10**8), "fundingTime": str(un.ts)}
                for un in tous[taille * (numero - 1) : taille * numero]
            ]
            return {"code": "00000", "data": lignes}
        return {"code": "00000", "data": []}


@pytest.mark.usefixtures("a_l_heure_dite")
def test_des_pages_numerotees(tmp_path: Path) -> None:
    """Bitget ne lit ni début ni fin : ses pages se remontent, une plus courte enjambe chaque bord."""
    fin = maintenant_ms() // HEURE * HEURE - 10 * JOUR
    instrument = Instrument("AAA", "USDT", "USDT", "swap", "linear", cotation_ms=fin - 90 * JOUR)
    for debut, dernier in ((fin - 70 * JOUR, fin - 30 * JOUR), (fin - 100 * JOUR, fin)):
        sortie = tmp_path / f"{debut}.csv"
        with BitgetALaPage(MarcheSimule(1), instrument).en_fil() as tiers:
            config = json.dumps(tiers.config | {"rateLimit": 1, "rateLimiterAlgorithm": "leakyBucket"})
            assert m.principal([
                "--exchange", "bitget", "--symbole", tiers.symbole, "--config-ccxt", config, "--donnee", "funding",
                "--sortie", str(sortie), "--date-debut", str(debut), "--date-fin", str(dernier),
            ]) == 0  # fmt: skip
            attendus = [un.ts for un in financements(tiers.marche, instrument, debut, dernier)]
        assert len(attendus) > 150
        assert m.instants_de(m.lire(sortie)) == attendus
        assert fiche(sortie).couverts == [(debut, dernier)]
        assert [t.raison for t in fiche(sortie).trous] == ([m.AVANT_COTATION] if debut < instrument.cotation_ms else [])


# Les bougies faites des trades


@pytest.mark.parametrize(("exchange", "symbole"), MARCHES)
@pytest.mark.parametrize("timeframe", ["1m", "1h"])
def test_les_bougies_des_trades_sont_celles_de_l_exchange(
    figee: Bourse, tmp_path: Path, exchange: str, symbole: str, timeframe: str
) -> None:
    """Là où les deux existent, les mêmes bougies ; le volume d'un inverse, à l'arrondi de l'exchange près."""
    siennes, faites = tmp_path / "a.parquet", tmp_path / "b.parquet"
    arguments = ("--symbole", symbole, "--timeframe", timeframe)
    assert telecharger(figee, siennes, BORNES, *arguments, exchange=exchange) == 0
    assert telecharger(figee, faites, BORNES, *arguments, *BOUGIES, exchange=exchange) == 0
    lots, pas = [m.Lot(fiche(s).cle, m.lire(s), [], []) for s in (siennes, faites)], m.Timeframe.lire(timeframe)
    attendue, trouvee = (m.omettre_les_plates(lot, pas, m.Fiche(lot.cle)) for lot in lots)
    sans_volume = [nom for nom in m.OHLCV.noms if nom != "volume"]
    assert trouvee.lignes.select(sans_volume).equals(attendue.lignes.select(sans_volume))
    assert trouvee.lignes["volume"].to_pylist() == pytest.approx(attendue.lignes["volume"].to_pylist(), rel=1e-6)
    assert fiche(faites).couverts == [BORNES]
    assert {t.raison for t in fiche(faites).trous} <= {m.SANS_TRANSACTION}
    assert m.verifier(faites).code == 0


def test_kraken_au_dela_de_ses_720_bougies(figee: Bourse, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Le message donne la commande ; elle remplit le même fichier, sans retoucher ce que l'exchange a servi."""
    sortie, bornes = tmp_path / "b.csv", (FIN - 13 * HEURE, FIN)
    assert telecharger(figee, sortie, bornes, "--symbole", "BTC/USD", exchange="kraken") == 3
    dit = capsys.readouterr().err
    assert "--donnee trades --trades-vers-ohlcv" in dit
    assert str(sortie) in dit
    siennes = m.lire(sortie)
    assert telecharger(figee, sortie, bornes, "--symbole", "BTC/USD", *BOUGIES, exchange="kraken") == 0
    assert fiche(sortie).couverts == [bornes]
    lue = m.lire(sortie)
    assert lue.slice(lue.num_rows - siennes.num_rows).equals(siennes)
    instants = m.instants_de(lue)
    vides = {i for t in fiche(sortie).trous for i in range(t.debut, t.fin, MINUTE)}
    assert sorted({*instants, *vides}) == list(range(*bornes, MINUTE))
    assert m.verifier(sortie).code == 0


def test_les_bougies_des_trades_de_kraken_remontent_a_sa_cotation(figee: Bourse, tmp_path: Path) -> None:
    """Avant le premier trade : un fait, code 0 ; dès lui, les bougies que l'exchange ne sert plus depuis longtemps."""
    instrument = figee.protocoles["kraken"].par_symbole["BTC/USD"]
    cotation = instrument.cotation_ms
    sortie, bornes = tmp_path / "b.csv", (cotation - 2 * HEURE, cotation + 3 * HEURE)
    assert telecharger(figee, sortie, bornes, "--symbole", "BTC/USD", *BOUGIES, exchange="kraken") == 0
    premier = simules(figee, "kraken", "BTC/USD", bornes)[0].ts
    attendues = [b.ts for b in figee.marche.bougies(instrument, MINUTE, *bornes)]
    assert m.instants_de(m.lire(sortie)) == attendues
    assert fiche(sortie).couverts == [bornes]
    assert fiche(sortie).trous[0] == m.Trou(bornes[0], premier - premier % MINUTE, m.AVANT_COTATION)


def test_les_minutes_vides_sont_plates_sur_demande(figee: Bourse) -> None:
    options = {"exchange": "kraken", "symbole": "BTC/USD", "donnee": "trades", "trades_vers_ohlcv": True,
               "date_debut": BORNES[0], "date_fin": BORNES[1],
               "config_ccxt": figee.config_ccxt("kraken") | {"rateLimit": 1, "timeout_on_exit": 0}}  # fmt: skip
    pleine = m.telecharger(**options, bougies_vides="reporter")
    assert m.instants_de(pleine) == list(range(*BORNES, MINUTE))
    assert json.loads(pleine.schema.metadata[b"fiche"])["series"][0]["trous"] == []


@pytest.mark.parametrize("nom", ["b.csv", "b.sqlite"])
def test_reporter_remplit_un_fichier_fait_en_omettant(figee: Bourse, tmp_path: Path, nom: str) -> None:
    """Les minutes sans trade, prouvées, n'étaient plus jamais demandées : ni bougies plates, ni un mot, code 0."""
    omise, neuve = tmp_path / nom, tmp_path / f"neuve_{nom}"
    arguments, plates = ("--symbole", "BTC/USD", *BOUGIES), ("--bougies-vides", "reporter")
    assert telecharger(figee, omise, BORNES, *arguments, exchange="kraken") == 0
    assert fiche(omise).trous
    for sortie in (neuve, omise):
        assert telecharger(figee, sortie, BORNES, *arguments, *plates, exchange="kraken") == 0
        assert m.lire(sortie).equals(m.lire(neuve))
        assert (fiche(sortie).couverts, fiche(sortie).trous) == ([BORNES], [])
    avant, demandes = empreinte(omise), len(figee.requetes)
    assert telecharger(figee, omise, BORNES, *arguments, *plates, exchange="kraken") == 0
    assert nom.endswith("sqlite") or empreinte(omise) == avant
    assert not [r for r in figee.requetes[demandes:] if "rades" in r.chemin]
    # Les bougies de l'exchange, qui n'en rend pas pour ces minutes, n'y changent rien.
    assert telecharger(figee, omise, BORNES, "--symbole", "BTC/USD", "--relecture", "300", exchange="kraken") == 0
    assert m.lire(omise).equals(m.lire(neuve))
    assert m.verifier(omise).code == 0


@pytest.mark.parametrize("sortie", ["b_{timeframe}.csv", "b.sqlite"])
def test_plusieurs_timeframes_en_une_passe(figee: Bourse, tmp_path: Path, sortie: str) -> None:
    """Les trades ne sont lus qu'une fois ; chaque timeframe est ce qu'il serait seul, et reprend pour lui-même."""
    codes, bornes = ("1m", "15m", "1h"), (BORNES[0] + 7 * MINUTE, BORNES[1] - 4 * MINUTE)
    arguments = ("--symbole", "BTC/USD", *BOUGIES)

    seules = {}
    for code in codes:
        figee.requetes.clear()
        chemin = tmp_path / f"seule_{code}.csv"
        assert telecharger(figee, chemin, bornes, *arguments, "--timeframe", code, exchange="kraken") == 0
        seules[code] = (m.lire(chemin), m.lire_fiches(chemin)[0], nombre_de_pages(figee))
    figee.requetes.clear()
    ensemble = ("--timeframes", ",".join(codes))
    assert telecharger(figee, tmp_path / sortie, bornes, *arguments, *ensemble, exchange="kraken") == 0
    assert nombre_de_pages(figee) <= max(nombre for *_, nombre in seules.values()) + 1
    fiches: dict[str, m.Fiche] = {}
    tables = {}
    for code in codes:
        chemin = tmp_path / sortie.replace("{timeframe}", code)
        fiches |= {f.cle.timeframe: f for f in m.lire_fiches(chemin)}
        lue = m.lire(chemin)
        tables[code] = lue.filter([une == code for une in lue["timeframe"].to_pylist()])
    for code, (table, sienne, _) in seules.items():
        assert tables[code].equals(table)
        assert fiches[code] == sienne
    figee.requetes.clear()
    assert telecharger(figee, tmp_path / sortie, bornes, *arguments, *ensemble, exchange="kraken") == 0
    assert not nombre_de_pages(figee)


def test_une_passe_interrompue_le_dit(
    figee: Bourse, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Chaque timeframe finit « Interrompu », du code du signal ; une base commune n'est comptée qu'une fois."""
    sortie, bilan = tmp_path / "b.sqlite", tmp_path / "b.json"
    mots = ("--symbole", "BTC/USD", *BOUGIES, "--timeframes", "1m,1h", "--bilan", str(bilan))
    prendre = m.Execution.prendre

    def prendre_et_interrompre(execution: m.Execution, copie: m.Copie, lot: m.Lot) -> None:
        prendre(execution, copie, lot)
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(m.Execution, "prendre", prendre_et_interrompre)
    assert telecharger(figee, sortie, (FIN - 20 * HEURE, FIN), *mots, exchange="kraken") == 130
    assert capsys.readouterr().err.count("Interrompu, code 130 : ") == 2
    assert json.loads(bilan.read_text())["octets"] == sortie.stat().st_size


def nombre_de_pages(bourse: Bourse) -> int:
    return sum("Trades" in r.chemin for r in bourse.requetes)


def test_tuee_net_une_passe_de_plusieurs_timeframes_reprend(figee: Bourse, tmp_path: Path) -> None:
    """Chaque fichier reprend à ce qu'il prouve ; le plus long relit, pour lui, ce que sa bougie coupée demande."""
    bornes, codes = (FIN - 20 * HEURE, FIN), ("1m", "1h")
    arguments = ("--symbole", "BTC/USD", *BOUGIES, "--timeframes", ",".join(codes))
    figee.latence_s = 0.1
    processus = condamner(commande(figee, tmp_path / "b_{timeframe}.csv", bornes, *arguments, exchange="kraken"))
    tuer(processus, lambda: sum("Trades" in r.chemin for r in figee.requetes) >= 4)
    figee.latence_s = 0.0
    figee.requetes.clear()
    assert telecharger(figee, tmp_path / "b_{timeframe}.csv", bornes, *arguments, exchange="kraken") == 0
    depuis = [int(r.params["since"]) // 1_000_000 for r in figee.requetes if "Trades" in r.chemin]
    assert min(depuis) > bornes[0]
    for code in codes:
        seule = tmp_path / f"seule_{code}.csv"
        mots = ("--symbole", "BTC/USD", *BOUGIES, "--timeframe", code)
        assert telecharger(figee, seule, bornes, *mots, exchange="kraken") == 0
        assert m.lire(tmp_path / f"b_{code}.csv").equals(m.lire(seule))
        assert m.lire_fiches(tmp_path / f"b_{code}.csv") == m.lire_fiches(seule)
        assert m.verifier(tmp_path / f"b_{code}.csv").code == 0


def test_plusieurs_timeframes_d_un_lot_en_une_passe(figee: Bourse, tmp_path: Path) -> None:
    tache = {"name": "b", "exchange": "kraken", "symbole": "BTC/USD", "donnee": "trades", "trades_vers_ohlcv": True,
             "timeframes": ["1m", "1h"], "date_debut": BORNES[0], "date_fin": BORNES[1], "output_dir": str(tmp_path),
             "config_ccxt": figee.config_ccxt("kraken") | {"rateLimit": 1}}  # fmt: skip
    bilan = m.executer_lot({"version": 1, "tasks": [tache]})
    assert bilan.code == 0
    assert {f.name for f in tmp_path.glob("*.csv")} == {f"kraken_spot_BTC-USD_{code}.csv" for code in ("1m", "1h")}
    pages = [r.params["since"] for r in figee.requetes if "Trades" in r.chemin]
    assert len(pages) == len(set(pages))
    plan = ouvrir_plan({"version": 1, "tasks": [tache]})
    dites = " ".join(asyncio.run(runner.simuler(plan, BilanLot.vierge(plan))))
    assert [dites.count(f"_{code}.csv") for code in ("1m", "1h")] == [1, 1], "chaque timeframe, son fichier"


class KrakenSerre(Kraken):
    """Deux mille cinq cents trades dans une seconde, dont quatre par nanoseconde : en secondes, rien n'avance plus."""

    debut_ns = (BORNES[0] + 1_800_000) * 1_000_000

    def _trades(self, appel: Appel) -> Reponse:
        instrument = self._instrument(appel)
        modele = self.marche.trades(instrument, BORNES[0], BORNES[1])[0]
        depuis = lire_ns(lire_since(appel, "since")) if "since" in appel.params else 0
        tous = [(self.debut_ns - 10**12, 1)]
        tous += [(self.debut_ns + rang // 4 * 1_000 + 7, rang + 2) for rang in range(2500)]
        tous += [(self.debut_ns + 10**12, 2502)]
        gardes = [(ns, numero) for ns, numero in tous if ns > depuis][:1000]
        lignes = [
            ligne_trade(instrument, modele._replace(id=numero, ts=ns // 1_000_000), ns) for ns, numero in gardes
        ]
        dernier = str(gardes[-1][0] if gardes else depuis)
        return succes({self.identifiant(instrument): lignes, "last": dernier})


def test_kraken_plus_de_mille_trades_dans_une_seconde(tmp_path: Path) -> None:
    """Le curseur est un texte en nanosecondes ; une page coupée au milieu d'une nanoseconde ne perd rien."""
    sortie = tmp_path / "t.csv"
    bornes = ((KrakenSerre.debut_ns // 1_000_000), KrakenSerre.debut_ns // 1_000_000 + 1000)
    with Bourse((KrakenSerre,), marche_jeune(), maintenant_ms=HEURE_BOURSE, limites=False).en_fil() as bourse:
        assert telecharger(bourse, sortie, bornes, "--symbole", "BTC/USD", *TRADES, exchange="kraken") == 0
    assert [numero for _, numero in ecrits(sortie)] == list(range(2, 2502))
    assert (fiche(sortie).couverts, fiche(sortie).trous) == ([bornes], [])


# Funding et intérêt ouvert

PERPETUELS = [
    ("binance", "BTC/USDT:USDT"), ("binance", "BTC/USD:BTC"), ("okx", "BTC/USDT:USDT"), ("bybit", "BTC/USDT:USDT"),
    ("bybit", "BTC/USD:BTC"),
]  # fmt: skip


@pytest.mark.parametrize(("exchange", "symbole"), PERPETUELS)
def test_tous_les_financements(figee: Bourse, tmp_path: Path, exchange: str, symbole: str) -> None:
    """Chaque règlement, à son instant, quel que soit l'intervalle du jour ; relancer n'ajoute rien."""
    sortie, bornes = tmp_path / "f.parquet", (FIN - 30 * JOUR, FIN)
    arguments = ("--symbole", symbole, "--donnee", "funding")
    assert telecharger(figee, sortie, bornes, *arguments, exchange=exchange) == 0
    instrument = figee.protocoles[exchange].par_symbole[symbole]
    attendus = financements(figee.marche, instrument, *bornes)
    lue = m.lire(sortie)
    assert lue.schema.equals(m.FUNDING.schema)
    assert list(zip(m.instants_de(lue), lue["funding_rate"].to_pylist(), strict=True)) == [
        (un.ts, un.taux / 10**8) for un in attendus
    ]
    assert len({b.ts - a.ts for a, b in itertools.pairwise(attendus)}) > 1
    marques = [float(instrument.texte_prix(un.marque)) for un in attendus] if exchange == "binance" else [None]
    assert set(lue["mark_price"].to_pylist()) == set(marques)
    assert (fiche(sortie).couverts, fiche(sortie).trous) == ([bornes], [])
    avant, demandes = empreinte(sortie), len(figee.requetes)
    assert telecharger(figee, sortie, bornes, *arguments, exchange=exchange) == 0
    assert empreinte(sortie) == avant
    assert not [r for r in figee.requetes[demandes:] if "unding" in r.chemin]
    assert m.verifier(sortie).code == 0


@pytest.mark.parametrize(("exchange", "symbole"), PERPETUELS)
def test_tout_l_interet_ouvert(figee: Bourse, tmp_path: Path, exchange: str, symbole: str) -> None:
    """Chaque relevé ; un inverse de bybit n'a que sa valeur. Deux timeframes sont deux séries."""
    sortie, bornes = tmp_path / "i.sqlite", (FIN - 6 * JOUR, FIN)
    arguments = ("--symbole", symbole, "--donnee", "open_interest")
    instrument = figee.protocoles[exchange].par_symbole[symbole]
    for timeframe, pas in (("5m", 5 * MINUTE), ("1h", HEURE)):
        assert telecharger(figee, sortie, bornes, *arguments, "--timeframe", timeframe, exchange=exchange) == 0
        attendus = interets(figee.marche, instrument, pas, *bornes)
        lue = m.lire(sortie)
        lue = lue.filter([une == timeframe for une in lue["timeframe"].to_pylist()])
        seule_valeur = exchange == "bybit" and instrument.inverse
        quantites = lue["value" if seule_valeur else "amount"].to_pylist()
        assert list(zip(m.instants_de(lue), quantites, strict=True)) == [
            (un.ts, float(instrument.texte_quantite(un.lots))) for un in attendus
        ]
        assert set(lue["amount"].to_pylist()) == {None} or not seule_valeur
    fiches = {f.cle.timeframe: f for f in m.lire_fiches(sortie)}
    assert {code: f.couverts for code, f in fiches.items()} == {"5m": [bornes], "1h": [bornes]}
    assert m.verifier(sortie).code == 0


@pytest.mark.parametrize("donnee", ["funding", "open_interest"])
def test_un_releve_plus_vieux_que_ce_que_l_exchange_garde(figee: Bourse, tmp_path: Path, donnee: str) -> None:
    """Le funding va jusqu'à l'ouverture du contrat, que l'exchange date lui-même ; l'intérêt ouvert, un mois."""
    sortie, bornes = tmp_path / "r.csv", (FIN - 60 * JOUR, FIN - 20 * JOUR)
    arguments = ("--symbole", "BTC/USDT:USDT", "--donnee", donnee, "--timeframe", "1h")
    attendu = {"funding": (0, m.AVANT_COTATION), "open_interest": (3, m.HORS_FENETRE_API)}[donnee]
    assert telecharger(figee, sortie, bornes, *arguments) == attendu[0]
    trou = fiche(sortie).trous[0]
    assert (trou.debut, trou.raison) == (bornes[0], attendu[1])
    assert trou.fin == m.instants_de(m.lire(sortie))[0]
    instrument = figee.protocoles["binance"].par_symbole["BTC/USDT:USDT"]
    if donnee == "funding":
        lus = [un.ts for un in financements(figee.marche, instrument, *bornes)]
    else:
        lus = [un.ts for un in interets(figee.marche, instrument, HEURE, HEURE_BOURSE - 30 * JOUR, bornes[1])]
    assert m.instants_de(m.lire(sortie)) == lus
    avant = empreinte(sortie)
    assert telecharger(figee, sortie, bornes, *arguments) == attendu[0]
    assert empreinte(sortie) == avant


def test_le_funding_d_okx_ne_remonte_qu_a_trois_mois(tmp_path: Path) -> None:
    """`until` n'y est pas envoyé, `since` rend la page la plus récente : ses pages se demandent par leur fin."""
    sortie, gardes = tmp_path / "f.csv", HEURE_BOURSE - OKX_JOURS * JOUR
    bornes = (gardes - 20 * JOUR, gardes + 60 * JOUR)
    mots = ("--symbole", "BTC/USDT:USDT", "--donnee", "funding")
    with Bourse(("okx",), maintenant_ms=HEURE_BOURSE, acceleration=0.0, limites=False).en_fil() as bourse:
        assert telecharger(bourse, sortie, bornes, *mots, exchange="okx") == 3
        instrument = bourse.protocoles["okx"].par_symbole["BTC/USDT:USDT"]
        servis = [un.ts for un in financements(bourse.marche, instrument, gardes, bornes[1])]
    assert len(servis) > 150
    assert m.instants_de(m.lire(sortie)) == servis
    assert fiche(sortie).trous == [m.Trou(bornes[0], servis[0], m.HORS_FENETRE_API)]
    assert fiche(sortie).couverts == [(servis[0], bornes[1])]


@pytest.mark.parametrize("apres", [5 * MINUTE, 7 * MINUTE, 20 * HEURE])
def test_un_releve_juste_apres_le_plus_ancien_que_l_exchange_garde(figee: Bourse, tmp_path: Path, apres: int) -> None:
    """Une fenêtre qui finit là commence trop tôt, et est refusée : rien ne manque pourtant."""
    plus_ancien = -(-(HEURE_BOURSE - 30 * JOUR) // (5 * MINUTE)) * 5 * MINUTE
    sortie, bornes = tmp_path / "r.csv", (plus_ancien + apres, plus_ancien + 30 * HEURE)
    arguments = ("--symbole", "BTC/USDT:USDT", "--donnee", "open_interest", "--timeframe", "5m")

    assert telecharger(figee, sortie, bornes, *arguments) == 0
    instrument = figee.protocoles["binance"].par_symbole["BTC/USDT:USDT"]
    assert m.instants_de(m.lire(sortie)) == [un.ts for un in interets(figee.marche, instrument, 5 * MINUTE, *bornes)]
    assert fiche(sortie).couverts == [bornes]


@pytest.mark.parametrize(
    ("options", "dit"),
    [
        ({"exchange": "kraken", "symbole": "BTC/USD", "donnee": "funding"}, "binance"),
        ({"exchange": "mexc", "symbole": "BTC/USDT:USDT", "donnee": "open_interest"}, "binance"),
        ({"exchange": "bybit", "symbole": "BTC/USDT:USDT", "donnee": "open_interest", "timeframe": "1m"}, "5m"),
    ],
)
def test_un_releve_qui_n_existe_pas(options: dict[str, Any], dit: str) -> None:
    with pytest.raises(m.ErreurDemande) as refus:
        m.telecharger(**options, date_debut="-2j")
    assert dit in refus.value.conseil


def test_un_trade_date_d_avant_sa_page_dement_sa_bougie() -> None:
    """Ses ids suivent, son instant recule d'une minute : la bougie déjà faite est un trou, pas une bougie fausse."""
    minute = m.Timeframe.lire("1m")
    cle = m.CleSerie("essai", "A/B", "1m", "last")
    connexion = m.Connexion(m.Reglages("kraken"))
    serie = m.Serie(cle, {"type": "spot"}, minute, 100)
    historique = m.Historique(connexion, serie, m.Plage(), m.Fiche(cle), asyncio.Semaphore(1), 1)
    depart = INSTANT // MINUTE * MINUTE
    atelier = h.Atelier(historique, depart, depart + 10 * MINUTE, reporter=False)
    trades = [m.Trade(depart + rang * 30_000, str(rang), "buy", 10.0, 1.0) for rang in range(10)]
    fait = atelier.prendre(h.Pas(trades[:7], [(depart, trades[6].timestamp)], []))
    assert fait is not None
    assert m.instants_de(fait.lignes) == [depart, depart + MINUTE, depart + 2 * MINUTE]
    tardif = m.Trade(depart + MINUTE + 1, "7", "buy", 99.0, 1.0)
    suite = atelier.prendre(h.Pas([tardif, *trades[8:]], [(trades[6].timestamp, trades[9].timestamp)], []))
    assert suite is not None
    assert m.Trou(depart + MINUTE, depart + 2 * MINUTE, m.ECHEC) in suite.trous


# Des serveurs de page : l'honnête, et ceux qui mentent


INSTANT = 1_700_000_000_000


class Marche:
    """Des trades simulés, et un serveur par forme de pagination ; `lire` est la page de ccxt qu'une voie demande."""

    def __init__(self, graine: int, *, saute: bool = False) -> None:
        self.hasard = random.Random(graine)
        instant, numero, self.trades = INSTANT, self.hasard.choice([0, 1]), list[tuple[int, int]]()
        for _ in range(self.hasard.choice([1, 3, 40, 300])):
            instant += self.hasard.choice([0, 0, 1, 7, 900, 60_000, 9_000_000])
            self.trades.append((instant, numero))
            numero += self.hasard.choice([1, 1, 1, 5]) if saute else 1
        self.page = self.hasard.choice([3, 10, 50])
        self.demandes = 0

    def brut(self, trade: tuple[int, int]) -> dict[str, Any]:
        """Le trade, tel que ccxt le rend."""
        instant, numero = trade
        return {"timestamp": instant, "id": str(numero), "side": "buy", "price": 10.0 + numero % 7, "amount": 1.0,
                "cost": 10.0, "info": {}}  # fmt: skip

    async def lire(self, depuis: int | None, params: Mapping[str, Any]) -> list[dict[str, Any]]:
        """La page, comme binance (`fromId`, une heure), ou comme un exchange par instant."""
        self.demandes += 1
        assert self.demandes < 3000, "sans fin"
        if "fromId" in params:
            page = [t for t in self.trades if t[1] >= params["fromId"]][: self.page]
        elif depuis is not None and params.get("heure"):
            page = [t for t in self.trades if depuis <= t[0] <= depuis + HEURE][-self.page :]
        elif depuis is not None:
            page = [t for t in self.trades if t[0] >= depuis][: self.page]
        else:
            page = self.trades[-self.page :]
        return [self.brut(t) for t in page]


PAR_ID = functools.partial(
    VoieParId, taille=10, depuis=lambda n: {"fromId": n}, pres_de=lambda i: (i, {"heure": True})
)
COMPTANT = m.Serie(m.CleSerie("essai", "A/B"), {"type": "spot"}, m.Timeframe.lire("1m"), 100)


def parcours(marche: Marche, *, par_id: bool, lire: Any = None, cote: bool = True, suivis: bool = False) -> h.Parcours:
    voie = PAR_ID if par_id else VoieParInstant
    service = h.Service(
        voie, "", depuis_cotation=frozenset({"spot"} if cote else ()), suivis=frozenset({"spot"} if suivis else ())
    )
    communs = (lire or marche.lire, lambda: INSTANT + 400 * JOUR, h._lire_ordinaire)
    return h.Parcours(voie(*communs), service, COMPTANT)


async def suivre(un: h.Parcours, bornes: m.Intervalle, *, exigee: bool = True) -> tuple[list[tuple[int, int]], m.Fiche]:
    su, trades = m.Fiche(COMPTANT.cle), []
    async for pas in un.parcourir(*bornes, exigee=exigee):
        trades += [(t.timestamp, int(t.id or 0)) for t in pas.lignes]
        su.noter(h._moins_les_trous(pas.couverts, pas.trous), pas.trous)
    return trades, su


@pytest.mark.parametrize("par_id", [True, False])
@pytest.mark.parametrize("graine", range(40))
def test_un_serveur_honnete_rend_tout(graine: int, par_id: bool) -> None:
    """Où que commence la demande ; une milliseconde de plus d'une page, seul un id la traverse."""
    marche = Marche(graine)
    instants = [t[0] for t in marche.trades]
    debut = marche.hasard.choice([INSTANT - JOUR, *instants, instants[-1] + HEURE])
    fin = marche.hasard.choice([i for i in (*instants, instants[-1] + JOUR) if i > debut] or [debut + JOUR])
    if not par_id:
        marche.page = max(marche.page, 1 + max(map(instants.count, instants)))
    trades, su = asyncio.run(suivre(parcours(marche, par_id=par_id), (debut, fin)))
    assert trades == [t for t in marche.trades if debut <= t[0] < fin]
    if fin <= instants[-1]:
        assert (su.couverts, {t.raison for t in su.trous} - {m.AVANT_COTATION}) == ([(debut, fin)], set())
    else:
        assert [t.raison for t in su.trous if t.raison != m.AVANT_COTATION] == [m.ECHEC]


@pytest.mark.parametrize("mensonge", ["sourd", "vide", "coupe", "en_retard", "trou"])
@pytest.mark.parametrize("par_id", [True, False])
@pytest.mark.parametrize("graine", range(12))
def test_un_menteur_ne_fait_rien_prouver_de_faux(graine: int, par_id: bool, mensonge: str) -> None:
    """Ce qui est dit couvert est exactement ce qui eut lieu ; ce qui fut tu est un trou, ou reste à redemander."""
    marche, alea = Marche(graine), random.Random(graine + 1000)

    async def mentir(depuis: int | None, params: Mapping[str, Any]) -> list[dict[str, Any]]:
        page = await marche.lire(depuis, params)
        if mensonge == "sourd":
            return [marche.brut(t) for t in marche.trades[-marche.page :]]
        if alea.random() < 0.4:
            return page
        if mensonge == "trou":  # la page oublie son deuxième trade
            return [*page[:1], *page[2:]]
        if page and page[0]["id"] == str(marche.trades[0][1]):
            return page  # le premier de tous : rien ne le dirait manquant
        return {"vide": [], "coupe": page[1:], "en_retard": page[: len(page) // 2]}[mensonge]

    debut, fin = INSTANT - HEURE, marche.trades[len(marche.trades) // 2][0] + 1
    trades, su = asyncio.run(
        suivre(parcours(marche, par_id=par_id, lire=mentir, suivis=par_id), (debut, fin), exigee=False)
    )
    vrais = [t for t in marche.trades if debut <= t[0] < fin]
    assert set(trades) <= set(vrais)
    if mensonge == "trou" and not par_id:
        return  # sans ids qui se suivent, rien ne dit qu'une page oublie une ligne
    tus = [t for t in vrais if t not in set(trades)]
    assert not [t for t in tus if any(d <= t[0] < f for d, f in su.couverts)], (tus[:5], su.couverts)


def test_une_milliseconde_de_plus_d_une_page_ne_passe_pas_pour_la_fin() -> None:
    """Qui ne pagine que par instant n'avance plus : c'est un trou, même sans fin demandée."""
    marche = Marche(1)
    marche.page, marche.trades = 60, [(INSTANT, 1), *((INSTANT + 5, n) for n in range(2, 100)), (INSTANT + 9, 100)]
    _, su = asyncio.run(suivre(parcours(marche, par_id=False), (INSTANT, INSTANT + 100), exigee=False))
    assert su.trous == [m.Trou(INSTANT + 5, INSTANT + 100, m.ECHEC)]
    trades, su = asyncio.run(suivre(parcours(marche, par_id=True), (INSTANT, INSTANT + 100), exigee=False))
    assert (trades, su.trous) == (marche.trades, [])


@pytest.mark.parametrize("perdues", [0, 3, 120])
def test_des_pages_qui_ne_se_touchent_pas_ne_prouvent_rien(perdues: int) -> None:
    """Une réplique qui oublie des lignes au bord de deux pages numérotées : le pont les rend, ou rien n'est cru."""
    instants = [INSTANT + HEURE * rang for rang in range(250)]

    async def lire(_depuis: int | None, params: Mapping[str, Any]) -> list[dict[str, Any]]:
        numero, taille = params["page"], params[TAILLE]
        decalage = perdues if (numero, taille) == (2, 100) else 0
        gardes = instants[::-1][taille * (numero - 1) + decalage : taille * numero + decalage]
        return [{"timestamp": instant, "fundingRate": 0.0001, "info": {}} for instant in gardes]

    voie = VoieParNumero(lire, lambda: INSTANT + 400 * JOUR, h._lire_funding, numero="page", taille=100)
    perpetuel = dataclasses.replace(COMPTANT, marche={"type": "swap", "contract": True, "created": INSTANT - HEURE})
    un = h.Parcours(voie, h.Service(VoieParInstant, ""), perpetuel)

    async def suivre_releves() -> tuple[list[int], m.Fiche]:
        lus, su = list[int](), m.Fiche(COMPTANT.cle)
        async for pas in un.parcourir(INSTANT - JOUR, instants[-1], exigee=True):
            lus += [ligne.timestamp for ligne in pas.lignes]
            su.noter(h._moins_les_trous(pas.couverts, pas.trous), pas.trous)
        return lus, su

    lus, su = asyncio.run(suivre_releves())
    if perdues < 100:
        assert (lus, su.trous) == (instants[:-1], [m.Trou(INSTANT - JOUR, INSTANT, m.AVANT_COTATION)])
    else:
        assert lus == instants[150:-1]
        assert su.trous == [m.Trou(INSTANT - JOUR, instants[150], m.HORS_FENETRE_API)]


@pytest.mark.parametrize("refuse", [True, False])
def test_ce_qui_n_est_plus_garde_est_hors_fenetre(refuse: bool) -> None:
    """Un contrat dont les vieux ids sont refusés, ou vides : la première ligne servie n'est pas la cotation."""
    marche = Marche(11)
    marche.trades = [(INSTANT + HEURE * rang, 5000 + rang) for rang in range(300)]
    gardes = 5120

    async def lire(depuis: int | None, params: Mapping[str, Any]) -> list[dict[str, Any]]:
        if refuse and params.get("fromId", gardes) < gardes:
            raise m.ErreurDefinitive("parameter 'fromId' is too old")
        if params.get("fromId", gardes) < gardes:
            return []
        return [brut for brut in await marche.lire(depuis, params) if int(brut["id"]) >= gardes]

    bornes = (INSTANT + 3 * HEURE, INSTANT + 200 * HEURE)
    trades, su = asyncio.run(suivre(parcours(marche, par_id=True, lire=lire, cote=False), bornes))
    assert trades == [t for t in marche.trades if t[1] >= gardes and t[0] < bornes[1]]
    assert su.trous == [m.Trou(bornes[0], trades[0][0], m.HORS_FENETRE_API)]
    assert su.couverts == [(trades[0][0], bornes[1])]


def test_un_sourd_ne_prouve_pas_de_cotation() -> None:
    """Qui rend toujours ses derniers trades n'a rien dit de ce qui les précède."""
    marche = Marche(3)
    for par_id in (True, False):
        sourd = [marche.brut((t, n + 500)) for t, n in marche.trades[-10:]]

        async def lire(_depuis: int | None, _params: Mapping[str, Any], page: Any = sourd) -> list[dict[str, Any]]:
            return list(page)

        _, su = asyncio.run(suivre(parcours(marche, par_id=par_id, lire=lire), (INSTANT, marche.trades[-1][0])))
        assert m.AVANT_COTATION not in {t.raison for t in su.trous}


def test_des_ids_sautes_ne_sont_une_perte_que_s_ils_se_suivent() -> None:
    """Binance au comptant : redemandés, puis un trou ; ses contrats en sautent, et rien n'y manque."""
    marche = Marche(5, saute=True)
    bornes = (marche.trades[0][0], marche.trades[-1][0])
    libres = asyncio.run(suivre(parcours(marche, par_id=True), bornes))[1]
    assert libres.trous == []
    suivies = asyncio.run(suivre(parcours(marche, par_id=True, suivis=True), bornes))[1]
    assert {t.raison for t in suivies.trous} == {m.ECHEC}


def test_la_simulation_compte_sans_rien_lire(figee: Bourse, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Par les ids des deux bords ; des relevés, par leur densité."""
    sortie = tmp_path / "t.csv"
    for exchange, symbole, donnee in (
        ("kraken", "BTC/USD", TRADES), ("okx", "BTC/USDT", TRADES),
        ("binance", "BTC/USDT:USDT", ("--donnee", "funding")),
    ):  # fmt: skip
        figee.requetes.clear()
        mots = ("--symbole", symbole, *donnee, "--simulation")
        assert telecharger(figee, sortie, (FIN - 12 * HEURE, FIN), *mots, exchange=exchange) == 0
        assert len(figee.requetes) < 12
        dit = capsys.readouterr().out
        if donnee is TRADES:
            assert f"{len(simules(figee, exchange, symbole, (FIN - 12 * HEURE, FIN)))} lignes à demander" in dit
    assert not sortie.exists()


def test_reparer_redemande_ce_qui_manque(figee: Bourse, tmp_path: Path) -> None:
    """Un trou `echec` d'une histoire est relu par elle."""
    sortie, bornes = tmp_path / "t.csv", (FIN - HEURE, FIN)
    assert telecharger(figee, sortie, bornes, *TRADES, "--symbole", "BTC/USD", exchange="kraken") == 0
    entier = m.lire(sortie)
    lignes = sortie.read_text().splitlines(keepends=True)
    lignes[20] = ",".join([*lignes[20].split(",")[:5], "-1.0", *lignes[20].split(",")[6:]])
    sortie.write_text("".join(lignes))
    assert m.verifier(sortie).code == 4
    connexion = commande(figee, None, None, "--symbole", "BTC/USD", exchange="kraken")[2:4]
    assert m.principal(["--verifier", str(sortie), "--reparer", *connexion]) == 0
    assert m.lire(sortie).equals(entier)


def test_dans_un_lot(figee: Bourse, tmp_path: Path) -> None:
    """La clé `donnee` : trois histoires d'un même exchange, et la simulation de l'ensemble."""
    communes = {"exchange": "binance", "date_debut": BORNES[0], "date_fin": BORNES[1], "output_dir": str(tmp_path),
                "config_ccxt": figee.config_ccxt("binance")}  # fmt: skip
    taches = [
        {"name": "trades", "symbole": "BTC/USDT", "donnee": "trades"},
        {"name": "funding", "symbole": "BTC/USDT:USDT", "donnee": "funding"},
        {"name": "interet", "symbole": "BTC/USDT:USDT", "donnee": "open_interest", "timeframe": "15m"},
        {"name": "bougies", "symbole": "BTC/USDT", "donnee": "trades", "trades_vers_ohlcv": True, "timeframe": "5m"},
    ]
    bilan = m.executer_lot({"version": 1, "defaults": communes, "tasks": taches})
    assert (bilan.code, [t.code for t in bilan.taches]) == (0, [0] * 4)
    assert {f.name for f in tmp_path.glob("*.csv")} == {
        "binance_spot_BTC-USDT_trades.csv", "binance_swap_BTC-USDT_USDT_funding.csv",
        "binance_swap_BTC-USDT_USDT_open_interest-15m.csv", "binance_spot_BTC-USDT_5m.csv",
    }  # fmt: skip


def test_plusieurs_symboles_un_inconnu(figee: Bourse, tmp_path: Path) -> None:
    """Les autres sont servis, dans un même fichier trié par symbole ; code 3."""
    sortie, bornes = tmp_path / "t.feather", (FIN - HEURE, FIN)
    assert telecharger(figee, sortie, bornes, "--symbols", "ETH/USDT,BTC/USDT,ZZZ/USDT", *TRADES) == 3
    lue = m.lire(sortie)
    for symbole in ("BTC/USDT", "ETH/USDT"):
        sienne = lue.filter([un == symbole for un in lue["symbole"].to_pylist()])
        assert m.instants_de(sienne) == [t.ts for t in simules(figee, "binance", symbole, bornes)]
    assert [f.cle.symbole for f in m.lire_fiches(sortie)] == ["BTC/USDT", "ETH/USDT"]


@pytest.mark.parametrize("nature", ["429", "html", "coupure", "json_coupe", "vide", "null"])
def test_une_panne_passagere_ne_perd_rien(figee: Bourse, tmp_path: Path, nature: str) -> None:
    """Une réponse abîmée est redemandée ; aucune ne passe pour la fin."""
    sortie, bornes = tmp_path / "t.csv", (FIN - 4 * HEURE, FIN)
    panne = figee.pannes.ajouter(Panne(nature, "aggTrades", fois=1, sauter=2, retry_after=0))
    assert telecharger(figee, sortie, bornes, *TRADES) == 0
    assert ecrits(sortie) == [(t.ts, t.id) for t in simules(figee, "binance", "BTC/USDT", bornes)]
    assert panne.touchees == 1
