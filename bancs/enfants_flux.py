"""Les processus que banc_flux.py mesure : `python bancs/enfants_flux.py NOM '{réglages}'`, le résultat en JSON.

Chacun dit son CPU de processus (tous ses fils d'exécution), à partir du signal du banc (une ligne sur stdin).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from unittest import mock

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

if TYPE_CHECKING:
    from collections.abc import Callable

PATIENCE_S = 20.0  # sans rien recevoir : la suite est perdue
MINUTE = 60_000


def rss_mo() -> float:
    """La mémoire résidente de ce processus."""
    etat = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(etat.partition("VmRSS:")[2].split()[0]) / 1024


def octets_ecrits() -> int:
    """Les octets que ce processus a donnés à `write`."""
    return int(Path("/proc/self/io").read_text(encoding="utf-8").partition("wchar:")[2].split()[0])


class HorlogeSuivie:
    """L'heure d'un exchange qui saute, ou court : de la donnée la plus récente, puis du temps qui passe.

    Un processus dont l'heure resterait en retard redemanderait celle de l'exchange avant de croire ce qui vient, pour
    lui, du futur : ce que personne ne vit.
    """

    def __init__(self, depart: int, acceleration: float = 1.0) -> None:
        self._acceleration, self._decalage = acceleration, 0
        self._decalage = depart - self.heure_ms()

    def noter(self, instant: int) -> None:
        """L'exchange a dit cet instant."""
        self._decalage += max(0, instant - self.heure_ms())

    def heure_ms(self) -> int:
        """L'heure locale, comme `maintenant_ms`."""
        return self._decalage + int(self._acceleration * time.monotonic() * 1000)


async def signal_du_banc() -> None:
    """Attend la ligne que le banc envoie quand tout est prêt."""
    await asyncio.to_thread(sys.stdin.readline)


# --- Trades : la boucle nue, et le pipeline entier


async def nu(reglages: dict[str, Any]) -> dict[str, Any]:
    """`while True: await watch_trades()`, qui ne garde rien ; compte ce qui lui est rendu."""
    import ccxt.pro

    exchange = ccxt.pro.binance(reglages["config"])
    await exchange.load_markets()
    attente = asyncio.ensure_future(exchange.watch_trades(reglages["symbole"]))
    await signal_du_banc()
    cpu, rendus, lectures = time.process_time(), 0, 0
    while True:
        trades = await attente
        rendus, lectures = rendus + len(trades), lectures + 1
        if int(trades[-1]["id"]) >= reglages["dernier"]:
            break
        attente = exchange.watch_trades(reglages["symbole"])
    resultat = {"cpu": time.process_time() - cpu, "rendus": rendus, "lectures": lectures}
    await exchange.close()
    return resultat


async def nu_bougies(reglages: dict[str, Any]) -> dict[str, Any]:
    """`while True: await watch_ohlcv_for_symbols()`, une instance par cent symboles, qui ne garde rien."""
    import ccxt.pro

    async def boucler(exchange: Any, couples: list[list[str]]) -> None:
        while True:
            await exchange.watch_ohlcv_for_symbols(couples)

    symboles, exchanges, boucles = reglages["symboles"], [], []
    for debut in range(0, len(symboles), 100):
        exchanges.append(ccxt.pro.binance(reglages["config"]))
        await exchanges[-1].load_markets()
        couples = [[symbole, "1m"] for symbole in symboles[debut : debut + 100]]
        boucles.append(asyncio.ensure_future(boucler(exchanges[-1], couples)))
    await signal_du_banc()
    cpu = time.process_time()
    await signal_du_banc()
    resultat = {"cpu": time.process_time() - cpu}
    for boucle in boucles:
        boucle.cancel()
    await asyncio.gather(*boucles, return_exceptions=True)
    for exchange in exchanges:
        await exchange.close()
    return resultat


async def suivi(reglages: dict[str, Any]) -> dict[str, Any]:
    """Le pipeline entier, jusqu'à `attendus` données reçues, puis l'annulation, qui écrit tout.

    `depart` : l'heure d'un exchange qui saute, ou dont l'heure court (`acceleration`) ; à défaut, elle est demandée.
    """
    import module_ccxt_fr_v2 as collecte
    from annexes_ccxt_fr import vitesse

    ouverts: list[Any] = []

    class FluxVu(collecte.Flux):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            ouverts.append(self)

    def noter_puis_recevoir(fil: Any, donnees: Any, recu: int) -> None:
        horloge.noter(donnees[-1].timestamp)
        recevoir(fil, donnees, recu)

    releves: list[tuple[int, float]] = []
    horloge = HorlogeSuivie(reglages.get("depart", 0), reglages.get("acceleration", 1.0))
    recevoir = collecte.FilTrades.recevoir
    with contextlib.ExitStack() as essais:
        essais.enter_context(vitesse.commande(flux=True))
        essais.enter_context(mock.patch.object(collecte, "Flux", FluxVu))
        if "depart" in reglages:
            essais.enter_context(mock.patch.object(collecte, "maintenant_ms", horloge.heure_ms))
            essais.enter_context(mock.patch.object(collecte.FilTrades, "recevoir", noter_puis_recevoir))
        execution = asyncio.ensure_future(collecte.executer_async(collecte.construire(reglages["options"])))
        await signal_du_banc()
        cpu = time.process_time()
        await _recevoir(lambda: sum(fil.recus for fil in ouverts[0].fils), reglages["attendus"], execution, releves)
        execution.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await execution
    return {"cpu": time.process_time() - cpu, "recus": releves[-1][0], "releves": releves}


async def _recevoir(
    compter: Callable[[], int], attendus: int, execution: asyncio.Future[Any], releves: list[tuple[int, float]]
) -> None:
    """Attend ce nombre de données ; relève la mémoire dix fois par seconde."""
    progres = time.monotonic()
    while not execution.done() and time.monotonic() - progres < PATIENCE_S:
        recus = compter()
        if not releves or recus > releves[-1][0]:
            progres = time.monotonic()
        releves.append((recus, rss_mo()))
        if recus >= attendus:
            return
        await asyncio.sleep(0.1)


# --- Latence


async def latence(reglages: dict[str, Any]) -> dict[str, Any]:
    """Pour chaque bougie : de la trame de son trade de clôture, sortie du socket, au retour de l'écriture."""
    from ccxt.async_support.base.ws.client import Client

    import module_ccxt_fr_v2 as collecte

    arrivees: dict[int, float] = {}  # minute -> quand la première trame de cette minute nous est parvenue
    ecrites: dict[int, float] = {}  # bougie -> quand `ecrire` a rendu la main : la ligne est dans le fichier
    horloge = HorlogeSuivie(reglages["depart"])
    traiter = Client.handle_message
    classe = collecte.SortieSqlite if reglages["format"] == "sqlite" else collecte.SortieFichier
    ecrire = classe.ecrire

    def noter_la_trame(client: Any, message: Any) -> Any:
        instant = time.perf_counter()
        lu = json.loads(message.data) if isinstance(message.data, str) else {}
        if "T" in lu:
            horloge.noter(lu["T"])
            arrivees.setdefault(lu["T"] // MINUTE * MINUTE, instant)
        return traiter(client, message)

    def noter_l_ecriture(ecrivain: Any, lot: Any, fiche: Any) -> tuple[int, int]:
        comptees = ecrire(ecrivain, lot, fiche)
        instant = time.perf_counter()
        for bougie in collecte.instants_de(lot.lignes):
            ecrites.setdefault(bougie, instant)
        return comptees

    with (
        mock.patch.object(Client, "handle_message", noter_la_trame),
        mock.patch.object(classe, "ecrire", noter_l_ecriture),
        mock.patch.object(collecte, "maintenant_ms", horloge.heure_ms),
    ):
        execution = asyncio.ensure_future(collecte.executer_async(collecte.construire(reglages["options"])))
        await signal_du_banc()
        await signal_du_banc()
        execution.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await execution
    durees = [ecrites[b] - arrivees[b + MINUTE] for b in sorted(ecrites) if b + MINUTE in arrivees]
    return {"durees": durees}


# --- Écriture


def amplification(reglages: dict[str, Any]) -> dict[str, Any]:
    """Un long flux Parquet : un lot toutes les 5 s de flux, l'horloge de l'écrivain avancée d'autant."""
    import module_ccxt_fr_v2 as collecte

    ecoule = 0.0
    horloge = SimpleNamespace(**{**vars(time), "monotonic": lambda: time.monotonic() + ecoule})
    cle = collecte.CleSerie("binance", "BTC/USDT")
    depart, cpu = octets_ecrits(), time.process_time()
    with mock.patch.object(collecte, "time", horloge):
        ecrivain = collecte.ECRIVAINS["parquet"](Path(reglages["sortie"]), type_donnee=collecte.TRADES, flux=True)
        with ecrivain:
            for rang in range(reglages["lots"]):
                ecrivain.ecrire(lot_de_trades(cle, rang, reglages["lignes"]), collecte.Fiche(cle))
                ecoule += 5.0
            ecrivain.finir()
    return {
        "ecrits": octets_ecrits() - depart,
        "cpu": time.process_time() - cpu,
        "lignes": sum(table.num_rows for table in ecrivain.lire_tout()),
    }


def petits_lots(reglages: dict[str, Any]) -> dict[str, Any]:
    """Le CPU d'`ecrire`, par lot, pendant un flux."""
    import module_ccxt_fr_v2 as collecte

    cle = collecte.CleSerie("binance", "BTC/USDT")
    lots = [lot_de_trades(cle, rang, reglages["lignes"]) for rang in range(reglages["lots"])]
    chemin = Path(reglages["sortie"])
    ecrivain = collecte.ECRIVAINS[reglages["format"]](chemin, type_donnee=collecte.TRADES, flux=True)
    with ecrivain:
        cpu = time.process_time()
        for lot in lots:
            ecrivain.ecrire(lot, collecte.Fiche(cle))
        cpu = time.process_time() - cpu
        ecrivain.finir()
    return {"cpu": cpu, "lignes": sum(table.num_rows for table in ecrivain.lire_tout())}


def lot_de_trades(cle: Any, rang: int, lignes: int) -> Any:
    """Le rang-ième lot d'une suite de trades."""
    import module_ccxt_fr_v2 as collecte

    debut, alea = 1_767_225_600_000 + rang * 5_000, random.Random(rang)
    trades = [
        collecte.Trade(
            debut + numero * 5_000 // lignes,
            str(3_000_000_000 + rang * lignes + numero),
            alea.choice(("buy", "sell")),
            65_000 + round(alea.gauss(0, 50), 2),
            round(alea.expovariate(100), 5),
            round(alea.expovariate(0.01), 4),
            debut + 5_000,
        )
        for numero in range(lignes)
    ]  # fmt: skip
    return collecte.Lot(cle, collecte.tabler(cle, trades, collecte.TRADES), [(debut, debut + 5_000)], [])


EN_BOUCLE = {f.__name__: f for f in (nu, nu_bougies, suivi, latence)}
SIMPLES = {f.__name__: f for f in (amplification, petits_lots)}


if __name__ == "__main__":
    nom, lus = sys.argv[1], json.loads(sys.argv[2])
    print(json.dumps(SIMPLES[nom](lus) if nom in SIMPLES else asyncio.run(EN_BOUCLE[nom](lus))))
