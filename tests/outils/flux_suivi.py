"""De quoi éprouver le flux : `suivre` contre l'exchange embarqué à l'heure accélérée, comparé à son oracle."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from attente import attendre_ici
from au_pas import au_pas
from ligne_de_commande import HEURE_BOURSE
from marche_simule import marche_commun
from temps_simule import derouler

import module_ccxt_fr_v2 as m
from bourse_locale import Bourse
from bourse_locale.bybit.rest import identifiant_trade

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Sequence

    from bourse_locale import Instrument, Trade

MINUTE = 60_000
Ligne = tuple[Any, ...]


@dataclass
class Recolte:
    """Ce que `suivre` a rendu : les lots, dans l'ordre où ils sont venus."""

    bourse: Bourse
    exchange: str
    lots: list[m.Lot] = field(default_factory=list)

    def lignes(self, symbole: str) -> list[dict[str, Any]]:
        """Les lignes d'un symbole, telles qu'elles sont venues ; `timestamp` et `recu` en ms."""
        rendues = [ligne for lot in self.lots if lot.cle.symbole == symbole for ligne in lot.lignes.to_pylist()]
        for ligne in rendues:
            ligne |= {nom: round(ligne[nom].timestamp() * 1000) for nom in ("timestamp", "recu") if ligne.get(nom)}
        return rendues

    def bougies(self, symbole: str) -> dict[int, Ligne]:
        """Ouverture -> valeurs : la dernière ligne rendue remplace les précédentes."""
        return {ligne["timestamp"]: tuple(ligne[nom] for nom in m.VALEURS_OHLCV) for ligne in self.lignes(symbole)}

    def rendues(self, symbole: str) -> collections.Counter[int]:
        """Combien de fois chaque bougie fut rendue."""
        return collections.Counter(ligne["timestamp"] for ligne in self.lignes(symbole))

    def fiche(self, symbole: str) -> m.Fiche:
        """La fiche que tiendrait l'écrivain."""
        fiche = m.Fiche(m.CleSerie(self.exchange, symbole))
        for lot in self.lots:
            if lot.cle.symbole == symbole:
                fiche.noter(lot.couverts, lot.trous)
        return fiche

    def trous(self, symbole: str) -> list[m.Trou]:
        """Les trous inscrits."""
        return self.fiche(symbole).trous

    def attendues(self, symbole: str, debut: int, fin: int, *, plates: bool = True) -> dict[int, Ligne]:
        """L'oracle : les bougies 1m que le REST sert ; sans `plates`, celles qui ont un volume."""
        lues = self.bourse.attendu(self.exchange, symbole, "1m", debut, fin)
        return {ligne[0]: ligne[1:] for ligne in lues if plates or ligne[5]}

    def exiger_bougies(self, symbole: str, *, au_moins: int, plates: bool = True) -> None:
        """Toutes les bougies de la première à la dernière, égales à l'oracle ; rien de faux, même un instant."""
        lues = self.bougies(symbole)
        assert len(lues) >= au_moins, f"{symbole} : {len(lues)} bougies"
        attendues = self.attendues(symbole, min(lues), max(lues) + MINUTE, plates=plates)
        manquent, inventees = sorted(attendues.keys() - lues.keys()), sorted(lues.keys() - attendues.keys())
        assert (manquent, inventees) == ([], []), f"{symbole} : manquent {manquent}, inventées {inventees}"
        differentes = {i: (lues[i], attendues[i]) for i in lues if not egales(lues[i], attendues[i])}
        assert differentes == {}, f"{symbole} : {differentes}"
        for ligne in self.lignes(symbole):
            valeurs = tuple(ligne[nom] for nom in m.VALEURS_OHLCV)
            assert egales(valeurs, attendues[ligne["timestamp"]]), "une bougie fausse fut rendue"

    def exiger_trades(self, symbole: str, *, au_moins: int) -> None:
        """Tous les trades du premier au dernier, chacun une fois, aux valeurs de l'oracle."""
        rendus = self.lignes(symbole)
        assert len(rendus) >= au_moins, f"{symbole} : {len(rendus)} trades"
        vus = collections.Counter(ligne["id"] for ligne in rendus)
        doubles = [i for i, fois in vus.items() if fois > 1]
        assert doubles == [], f"{symbole} : en double {doubles[:5]}"
        attendus = oracle_trades(self, symbole, rendus)
        lus = {ligne["id"]: (ligne["timestamp"], ligne["price"], ligne["amount"], ligne["side"]) for ligne in rendus}
        # Un trade du même instant que le dernier a pu suivre l'arrêt : la fiche ne le dit pas prouvé.
        derniere, couverts = max(instant for instant, *_ in lus.values()), self.fiche(symbole).couverts
        prouves = m.unir(couverts, [(0, derniere)])
        attendus = {i: t for i, t in attendus.items() if i in lus or m.croiser([(t[0], t[0] + 1)], prouves)}
        manquent, inventes = set(attendus) - set(lus), set(lus) - set(attendus)
        assert (manquent, inventes) == (set(), set()), f"{symbole} : manquent {manquent}, inventés {inventes}"
        assert lus == attendus, f"{symbole} : un trade altéré"


def oracle_trades(recolte: Recolte, symbole: str, rendus: list[dict[str, Any]]) -> dict[str, Ligne]:
    """Les trades du marché entre le premier et le dernier rendus : id -> (instant, prix, quantité, sens)."""
    protocole = recolte.bourse.protocoles[recolte.exchange]
    instrument = protocole.par_symbole[symbole]
    instants = [ligne["timestamp"] for ligne in rendus]
    trades = recolte.bourse.marche.trades(instrument, min(instants), max(instants) + 1)
    return {
        identifiant_de(recolte.exchange, instrument, t): (
            t.ts, float(instrument.texte_prix(t.prix)), float(instrument.texte_quantite(t.quantite)), t.sens
        )
        for t in trades
    }  # fmt: skip


def identifiant_de(exchange: str, instrument: Instrument, trade: Trade) -> str:
    """L'identifiant que l'exchange donne à un trade."""
    return identifiant_trade(instrument, trade) if exchange == "bybit" else str(trade.id)


def egales(lue: Ligne, attendue: Ligne) -> bool:
    """À l'arrondi près des volumes que l'exchange écrit à huit décimales."""
    return all(
        x == y or (x is not None and y is not None and math.isclose(x, y, rel_tol=1e-6, abs_tol=1e-7))
        for x, y in zip(lue, attendue, strict=True)
    )


@contextlib.asynccontextmanager
async def ouvrir(*exchanges: str, acceleration: float = 600.0, **options: Any) -> AsyncIterator[Bourse]:
    """Une bourse à l'heure accélérée, au pas de la machine, sans limite de débit, dans la boucle du test."""
    depart = options.pop("maintenant_ms", HEURE_BOURSE)
    limites = options.pop("limites", False)
    options.setdefault("marche", marche_commun())
    async with Bourse(exchanges, limites=limites, acceleration=acceleration, maintenant_ms=depart, **options) as bourse:
        with au_pas(bourse) as horloge:
            horloge.lancer()
            yield bourse
            await horloge.arreter()


def options(bourse: Bourse, exchange: str, **autres: Any) -> dict[str, Any]:
    """Les options de `suivre` qui mènent à cette bourse."""
    config = {**bourse.config_ccxt(exchange), "timeout_on_exit": 0, "rateLimit": 1}
    return {"exchange": exchange, **autres, "config_ccxt": m.fondre_dicts(config, autres.get("config_ccxt", {}))}


async def recolter(
    bourse: Bourse, exchange: str, symboles: str, scenario: Callable[[], Awaitable[object]] | None = None, **autres: Any
) -> Recolte:
    """Suit jusqu'au bout de `duree`, le scénario joué dès que l'exchange a pris les abonnements.

    `quitter_s` : s'en va après ce temps, sans conclure. `assez` : de même, dès que c'est vrai après un lot.
    """
    quitter_s, assez = autres.pop("quitter_s", None), autres.pop("assez", None)
    recolte = Recolte(bourse, exchange)

    async def jouer_des_que_possible(scenario: Callable[[], Awaitable[object]]) -> None:
        await attendre_ici(lambda: any(connexion.abonnements for connexion in bourse.connexions))
        await scenario()

    joue = asyncio.ensure_future(jouer_des_que_possible(scenario)) if scenario else None
    try:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(quitter_s), contextlib.aclosing(
                m.suivre(**options(bourse, exchange, symbols=symboles, **autres))
            ) as lots:
                async for lot in lots:
                    recolte.lots.append(lot)
                    if assez is not None and assez(recolte):
                        break
    finally:
        if joue is not None:
            joue.cancel()
            await asyncio.gather(joue, return_exceptions=True)
    assert joue is None or not joue.cancelled(), "le scénario n'est pas allé au bout"
    if joue is not None and joue.exception() is not None:
        raise joue.exception() or AssertionError
    return recolte


async def chacun(essai: Callable[..., Awaitable[None]], cas: Sequence[tuple[Any, ...]]) -> None:
    """Joue un essai pour chaque cas, tous ensemble : le temps y passe à attendre. Nomme les cas en faute."""
    rendus = await asyncio.gather(*(essai(*un) for un in cas), return_exceptions=True)
    fautes = {str(un): rendu for un, rendu in zip(cas, rendus, strict=True) if rendu is not None}
    for erreur in fautes.values():
        if isinstance(erreur, BaseException) and not isinstance(erreur, AssertionError):
            raise erreur
    if fautes:
        raise AssertionError("\n".join(f"{un} : {erreur}" for un, erreur in fautes.items()))


def jouer(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Exécute un test asynchrone, au temps simulé : ni tâche laissée, ni plainte de la boucle."""
    plaintes: list[str] = []

    async def surveille() -> Any:
        boucle = asyncio.get_running_loop()
        boucle.set_exception_handler(lambda _boucle, contexte: plaintes.append(str(contexte)))
        rendu = await coroutine
        await asyncio.sleep(0.02)  # les tâches de service d'aiohttp finissent
        restes = [t for t in asyncio.all_tasks() if t is not asyncio.current_task()]
        assert [str(t) for t in restes] == [], "des tâches sont restées"
        return rendu

    rendu = derouler(surveille())
    assert plaintes == []
    return rendu


def niveaux(messages: Iterable[Any]) -> list[str]:
    """Les lignes du journal du module, sans celles de débogage ni celles de l'horloge."""
    return [
        r.getMessage() for r in messages
        if r.name == "module_ccxt_fr_v2" and r.levelno > 10 and "horloge locale" not in r.getMessage()
    ]  # fmt: skip
