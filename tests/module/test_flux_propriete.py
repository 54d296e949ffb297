"""Quoi que fasse un flux de trades, ce qui est écrit et ce qui est inscrit en trou font ensemble le marché, exactement.

L'oracle est le marché lui-même. Le fil est le vrai ; seules sa connexion (REST compris) et son horloge sont tenues ici,
pour jouer en quelques millisecondes des coupures, des instantanés, des redites et des pannes que nul exchange ne
ferait sur commande.
"""

from __future__ import annotations

import asyncio
import collections
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import module_ccxt_fr_v2 as m

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

T0 = 1_704_459_600_437
AVANCE_MS = 300_000
GRACE_MS = 2_000
CLE = m.CleSerie("ailleurs", "AAA/USDT")


@dataclass(frozen=True)
class Style:
    """Comment un exchange nomme et date ses trades, et ce que son REST en sert."""

    nom: str
    flux_nomme: bool = True
    rest_nomme: bool = True
    rest_ms: int = 1  # précision de ses instants
    # « depuis » une date, les « derniers » seulement, ceux « jusqu'à » une date, ceux d'« avant » un id, ou « aucun »
    rest: str = "depuis"
    confirme: int = 0  # trades reçus entre deux relectures
    instantane: int = 0  # trades redits à chaque abonnement
    page: int = 7

    def __str__(self) -> str:
        tus = "".join(f"-{voie}" for voie, nomme in (("flux", self.flux_nomme), ("rest", self.rest_nomme)) if not nomme)
        return f"{self.nom}{tus}-{self.rest}-{self.rest_ms}-{self.instantane}"

    def identifiant(self, rang: int) -> str:
        """Celui du rang-ième trade du marché."""
        if self.nom == "partage":
            return str(7 * rang + rang % 5)
        if self.nom == "uuid":
            return f"{rang * 0x9E3779B97F4A7C15 % 2**64:016x}-uuid"
        if self.nom == "hasard":  # uniques avec leur instant seulement
            return str((rang - 7 * (rang % 11 == 10)) * 0x9E3779B97F4A7C15 % 2**50)
        return str(rang)


STYLES = (
    Style("suite"),
    Style("suite", rest="derniers"),
    Style("suite", rest="avant"),
    Style("suite", rest="jusqu'à"),
    Style("suite", flux_nomme=False),
    Style("suite", rest_nomme=False),
    Style("suite", instantane=5),
    Style("suite", rest="aucun", instantane=5),
    Style("partage", rest_ms=1000),
    Style("partage", rest_ms=1000, rest="derniers", page=20),
    Style("uuid"),
    Style("uuid", rest="jusqu'à", confirme=4),
    Style("uuid", rest_nomme=False, rest="derniers", page=20),
    Style("uuid", flux_nomme=False, instantane=4),
    Style("uuid", flux_nomme=False),
    Style("aucun", flux_nomme=False, rest_nomme=False, rest="derniers", instantane=6, page=20),
    Style("aucun", flux_nomme=False, rest_nomme=False, instantane=3),
    Style("hasard", rest="aucun", instantane=5),
)


@dataclass
class Marche:
    """Le marché, son horloge, et le REST qui le sert."""

    style: Style
    trades: list[m.Trade]
    heure: int = T0
    pannes: int = 0  # requêtes REST à venir qui échouent
    lenteur: int = 0  # temps que prend chaque page du REST : le marché y court
    servi: int = 0  # l'instant du dernier trade que son REST ait rendu
    retard: int = 0  # son REST répond comme il l'aurait fait il y a ce temps
    impossibles: set[int] = field(default_factory=set)  # rangs de ceux dont l'exchange ne dit jamais le prix

    api = SimpleNamespace(has={"fetchTrades": True}, timeframes={})

    def tomber(self) -> None:
        """La prochaine requête échouera."""
        self.pannes += 1

    def passes(self) -> list[m.Trade]:
        """Les trades conclus à cette heure."""
        return [trade for trade in self.trades if trade.timestamp <= self.heure]

    def dire(self, trade: m.Trade) -> dict[str, Any]:
        """Comme le flux."""
        return self.ecrire(trade, nomme=self.style.flux_nomme)

    def __post_init__(self) -> None:
        # L'horloge est celle du module ; la nôtre est juste (voir `maintenant_ms` plus bas).
        horloge = m.Horloge()
        self.heure_ms, self.noter_instant = horloge.heure_ms, horloge.noter_instant
        self.noter_instants = horloge.noter_instants
        arriere = {"type": "1"} if self.style.rest == "avant" else None
        self.particularite = m.Particularite(trades_arriere=arriere, trades_a_confirmer=self.style.confirme)
        self.trades_jusqua = self.style.rest == "jusqu'à"

    async def lire_trades(self, _serie: Any, depuis: int | None, params: Any, essais: int | None = None) -> list[Any]:  # noqa: ARG002
        """Une page."""
        await asyncio.sleep(0)
        self.heure += self.lenteur
        if self.style.rest == "aucun":
            raise m.ErreurDefinitive("pas de trades par REST")
        if self.pannes:
            self.pannes -= 1
            raise m.ErreurTemporaire("502")
        style = self.style
        servis = [trade._replace(timestamp=trade.timestamp // style.rest_ms * style.rest_ms)
                  for trade in self.trades if trade.timestamp <= self.heure - self.retard]  # fmt: skip
        if style.rest == "avant":
            servis = [trade for trade in servis if int(trade.id or 0) < int(params.get("after", 10**9))][-style.page :]
        elif style.rest == "derniers":
            servis = servis[-style.page :]
        servis = [t for t in servis if (depuis or 0) <= t.timestamp <= params.get("until", self.heure)]
        if style.rest == "depuis":
            servis = servis[: style.page]
        elif style.rest == "jusqu'à":
            servis = servis[-style.page :]
        self.servi = max([self.servi, *(trade.timestamp for trade in servis)])
        return [self.ecrire(trade, nomme=style.rest_nomme) for trade in servis]

    def ecrire(self, trade: m.Trade, *, nomme: bool) -> dict[str, Any]:
        """Un trade de ccxt ; sans prix, s'il est de ceux-là."""
        prix = None if any(trade.id == self.trades[rang].id for rang in self.impossibles) else trade.price
        return {**trade._asdict(), "id": trade.id if nomme else None, "price": prix}


def un_marche(style: Style, pas: list[tuple[int, int]]) -> list[m.Trade]:
    """Des trades à ces intervalles ; le contenu se répète souvent, l'instant parfois."""
    instant, trades = T0 - 20_000, []
    for rang, (ecart, contenu) in enumerate(pas):
        instant += ecart
        prix, quantite = float(10 + contenu % 2), float(1 + contenu // 2)
        if style.nom == "hasard":  # deux trades de même id ne disent pas non plus la même chose
            quantite += rang
        trades.append(m.Trade(instant, style.identifiant(1000 + rang), "buy", prix, quantite))
    return trades


class Jeu:
    """Un fil qu'on nourrit, coupe et relance ; ce qu'il a rendu."""

    def __init__(self, marche: Marche) -> None:
        self.marche = marche
        self.fiche = m.Fiche(CLE)
        self.rendus: list[m.Trade] = []
        self.debut: int | None = None
        self.fin = 0  # la durée est écoulée : ce qui a lieu ensuite, pendant qu'on relit, n'est plus dû
        self.fil = self.ouvrir([])
        self.entendu = 0  # combien de trades du marché le flux a dits, ou tus pour toujours
        self.branche = False
        self.faux: bool | None = None  # le prochain trade du flux sera daté cinq minutes trop tard ; une fois

    def ouvrir(self, connus: list[m.Trade]) -> m.FilTrades:
        """Le fil d'une exécution neuve."""
        serie = m.Serie(CLE, {"type": "spot"}, m.Timeframe.lire("1m"), 0)
        connexion: Any = self.marche
        fil = m.FilTrades(connexion, serie, self.fiche, m.ReglagesFlux(m.Plage(grace_ms=GRACE_MS)), connus)
        fil._horloge = fil._suite.ids._horloge = lambda: self.marche.heure / 1000
        fil._prochain_essai = fil._retenir_jusqua = 0.0
        return fil

    def abonner(self) -> None:
        """Une écoute commence ; son instantané redit les derniers trades, le plus récent d'abord."""
        self.fil.ecouter()
        self.debut = self.debut or self.marche.heure
        self.branche, passes = True, self.marche.passes()
        self.entendu = len(passes)
        if self.marche.style.instantane and passes:
            derniers = passes[-self.marche.style.instantane :]
            self.recevoir(derniers[::-1])

    def recevoir(self, trades: list[m.Trade]) -> None:
        """Le flux parle."""
        if trades and self.faux:
            self.faux, trades = False, [trades[0]._replace(timestamp=trades[0].timestamp + AVANCE_MS), *trades[1:]]
        if trades:
            bruts = [self.marche.dire(trade) for trade in trades]
            self.fil.recevoir([m.trade_de(brut, 0) or brut for brut in bruts], self.marche.heure)

    def avancer(self, duree: int, redits: int, tus: int = 0) -> None:
        """Le temps passe, et le flux dit ce qui a lieu, en redisant parfois ; il meurt avant d'avoir dit les `tus`."""
        self.marche.heure += duree
        passes = self.marche.passes()
        neufs, self.entendu = passes[self.entendu :], len(passes)
        if self.branche:
            neufs = neufs[: len(neufs) - tus] if tus else neufs
            nommes = self.marche.style.flux_nomme  # sans id, une redite en direct est un autre trade
            self.recevoir([*(neufs[:redits] if nommes else []), *neufs])
            if tus:
                self.couper()

    def tarder(self, duree: int, silence: int) -> None:
        """L'écoute meurt avant d'avoir dit le premier de ce qui a lieu : la suivante le dit d'abord."""
        if not (self.branche and self.marche.style.flux_nomme) or self.entendu in self.marche.impossibles:
            return  # sans id, ou sans prix, le tardif ne dirait rien de lui
        self.marche.heure += duree
        passes = self.marche.passes()
        neufs, self.entendu = passes[self.entendu :], len(passes)
        self.recevoir(neufs[1:])
        self.couper()
        self.marche.heure += silence
        self.fil.ecouter()
        self.recevoir(neufs[:1])
        self.abonner()

    def perdre_en_retard(self, duree: int) -> None:
        """Le premier de ce qui a lieu tarde, moins que la grâce, et l'écoute meurt avant de l'avoir dit."""
        self.marche.heure += duree
        passes = self.marche.passes()
        neufs, self.entendu = passes[self.entendu :], len(passes)
        if self.branche and neufs:
            self.recevoir([trade for trade in neufs[1:] if trade.timestamp <= neufs[0].timestamp + GRACE_MS])
            self.couper()

    def mentir(self) -> None:
        """Le prochain trade du flux sera d'un instant faux ; une fois par jeu."""
        self.faux = True if self.faux is None else self.faux

    def taire_un_prix(self) -> None:
        """De celui que le flux dira ensuite, nul ne dira jamais le prix."""
        if self.entendu < len(self.marche.trades) and self.marche.style.nom != "hasard":
            self.marche.impossibles.add(self.entendu)

    def couper(self) -> None:
        """L'écoute meurt."""
        self.branche = False
        self.fil.rompre()

    def collecter(self) -> None:
        """Ce qui est sûr est écrit."""
        for lot in self.fil.collecter(self.marche.heure):
            self.rendus += [m.Trade(instant, *autres) for instant, *autres in zip(
                m.instants_de(lot.lignes), *(lot.lignes[c].to_pylist() for c in ("id", "side", "price", "amount")),
                strict=True)]  # fmt: skip

    async def relire(self) -> None:
        """Le REST est interrogé."""
        await self.fil.rattraper()
        self.collecter()

    async def finir(self) -> None:
        """La durée est écoulée."""
        self.fil.conclut, self.fin = True, self.marche.heure
        self.collecter()
        self.fil.rompre()
        await self.fil.rattraper_a_fond()
        await self.arreter()

    async def arreter(self) -> None:
        """L'exécution s'arrête."""
        self.fil.arrete = True
        await self.fil.arreter()
        self.collecter()

    async def relancer(self) -> None:
        """Un signal, puis la même commande : elle ne connaît que ce qui est écrit."""
        self.collecter()
        await self.arreter()
        self.branche = False
        self.fil = self.ouvrir(sorted(self.rendus, key=lambda trade: trade.timestamp))


GESTES = st.one_of(
    st.tuples(st.just("avancer"), st.integers(0, 9_000), st.integers(0, 2)),
    st.tuples(st.just("avancer"), st.integers(0, 9_000), st.just(0), st.integers(0, 3)),
    st.tuples(st.just("tarder"), st.integers(0, 9_000), st.integers(0, 9_000)),
    st.tuples(st.just("perdre en retard"), st.integers(0, 9_000)),
    st.tuples(st.sampled_from(("faux", "abonner", "couper", "relire", "collecter", "panne", "relancer", "impossible"))),
)


FIN = st.tuples(st.just("avancer"), st.integers(0, 9_000), st.just(0), st.integers(0, 3))
"""Le dernier geste : l'écoute peut y mourir entre deux trades du même instant, et rien ne la suivre."""


async def jouer(marche: Marche, gestes: list[tuple[Any, ...]]) -> Jeu:
    """Joue ces gestes, puis conclut."""
    jeu = Jeu(marche)
    jeu.abonner()
    directs: dict[str, Callable[..., None]] = {
        "avancer": jeu.avancer, "tarder": jeu.tarder, "perdre en retard": jeu.perdre_en_retard,
        "impossible": jeu.taire_un_prix, "faux": jeu.mentir, "panne": marche.tomber, "collecter": jeu.collecter,
    }  # fmt: skip
    for nom, *valeurs in gestes:
        if nom in directs:
            directs[nom](*valeurs)
        elif nom == "relire":
            await jeu.relire()
        elif nom == "relancer":
            await jeu.relancer()
            jeu.abonner()
        elif jeu.branche != (nom == "abonner"):
            jeu.abonner() if nom == "abonner" else jeu.couper()
    await jeu.finir()
    return jeu


def vu(trade: m.Trade, grain: int) -> tuple[Any, ...]:
    """Ce qu'on compare d'un trade : les noms diffèrent d'une voie à l'autre."""
    return trade.timestamp // grain, *trade[2:5]


def juger(jeu: Jeu) -> None:
    """Rien d'inventé, rien en double ; ce qui est couvert est écrit ; le reste de ce qui est dû est en trou."""
    grain = jeu.marche.style.rest_ms
    ecrits = collections.Counter(vu(trade, grain) for trade in jeu.rendus)
    marche = collections.Counter(vu(trade, grain) for trade in jeu.marche.passes())
    assert ecrits - marche == {}, "inventé, ou en double"
    assert len({trade.id for trade in jeu.rendus}) == len(jeu.rendus), "deux lignes de même clé"
    dernier = max((trade.timestamp for trade in jeu.rendus), default=0)
    dus = [trade for trade in jeu.marche.passes() if trade.timestamp > (jeu.debut or 0)]
    avant = [trade for trade in jeu.marche.passes() if trade.timestamp <= (jeu.debut or 0)]
    manquent = collections.Counter(vu(trade, grain) for trade in (dus if grain > 1 else avant + dus)) - ecrits
    for trade in avant + dus:
        if not manquent[vu(trade, grain)]:
            continue
        instants = list(touches(trade.timestamp // grain * grain, grain))
        dans = [any(debut <= instant < fin for debut, fin in jeu.fiche.couverts) for instant in instants]
        en_trou = [any(trou.debut <= instant < trou.fin for trou in jeu.fiche.trous) for instant in instants]
        assert not all(dans), f"couvert, mais absent : {trade}"
        # Ni avant l'écoute, ni à la fin, exclue, ni après le dernier que le REST ait servi : rien ne prouve la suite.
        du = (jeu.debut or 0) < trade.timestamp < min(jeu.fin, max(jeu.marche.servi, dernier))
        assert any(en_trou) or not du, f"ni écrit, ni en trou : {trade}"


def touches(instant: int, grain: int) -> Iterator[int]:
    """Les instants que cet instant arrondi peut dire : lui, ou les bords de sa seconde."""
    yield instant
    if grain > 1:
        yield instant + grain // 2
        yield instant + grain - 1


@pytest.mark.parametrize("style", STYLES, ids=str)
def test_ce_qui_est_ecrit_et_les_trous_font_le_marche(style: Style, monkeypatch: pytest.MonkeyPatch) -> None:
    """Quelle que soit la suite de trames, d'instants faux, de coupures, d'instantanés, de redites et de relances."""

    async def aussitot(_secondes: float) -> None:
        await asyncio.sleep(0)

    monkeypatch.setattr(m, "pause", aussitot)
    monkeypatch.setattr(m, "PAGE_PLEINE", min(style.page, m.PAGE_PLEINE))
    monkeypatch.setattr(m, "RECENTS_AU_MOINS", 1)  # quarante trades ne feraient rien oublier
    monkeypatch.setattr(m, "RECENTS_MS", 1_000)

    @settings(max_examples=40, deadline=None)
    @given(
        st.lists(st.tuples(st.sampled_from((0, 0, 1, 700, 1500, 4000)), st.integers(0, 3)), min_size=20, max_size=40),
        st.lists(GESTES, max_size=14),
        FIN,
        st.sampled_from((0, 0, 9)),
        st.sampled_from((0, 0, 900, 7_000)),
        st.sampled_from((0, 0, 2_500, 30_000)),
    )
    def eprouver(
        pas: list[tuple[int, int]], gestes: list[tuple[Any, ...]], fin: tuple[Any, ...], pannes: int, lenteur: int,
        retard: int,
    ) -> None:  # fmt: skip
        marche = Marche(style, un_marche(style, pas), lenteur=lenteur, retard=retard)
        monkeypatch.setattr(m, "maintenant_ms", lambda: marche.heure)
        juger(asyncio.run(jouer(marche, [*gestes, *[("panne",)] * pannes, fin])))

    eprouver()
