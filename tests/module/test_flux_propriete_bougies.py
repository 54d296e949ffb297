"""Quoi que fasse un flux de bougies, ce qui est écrit est ce que dit le REST, une fois relu ; le reste est en trou.

L'oracle est le marché. Le fil est le vrai, et l'histoire qu'il relit aussi ; seules la connexion et l'horloge sont
tenues ici : coupures, trames perdues, doublées, en retard, dépassées, instants faux, révisions d'après la clôture,
signaux et relances, REST en panne ou en retard.
"""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import module_ccxt_fr_v2 as m

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

MINUTE = 60_000
T0 = 1_704_459_600_000
CLE = m.CleSerie("ailleurs", "AAA/USDT", "1m")
UNE_MINUTE = m.Timeframe.lire("1m")


@dataclass
class Marche:
    """Dix trades par minute au plus ; son REST, qui peut tomber, et compter autrement (`facteur`) que son flux."""

    tailles: list[list[int]]  # par minute : les volumes de ses trades
    facteur: float = 1.0
    relisible: bool = True
    heure: int = T0 + 1
    pannes: int = 0
    revisee: bool = False  # une bougie au moins le fut
    retard: int = 0  # son REST répond comme il l'aurait fait il y a ce temps
    entame: bool = False  # son flux ne compte que ce qui a lieu depuis l'abonnement
    particularite: m.Particularite = field(default_factory=m.Particularite)
    requetes: int = 0
    avance_douteuse_ms: int = 0  # l'heure est connue

    def __post_init__(self) -> None:
        horloge = m.Horloge()  # celle du module ; la nôtre est juste (voir `maintenant_ms` plus bas)
        self.heure_ms, self.noter_instant = horloge.heure_ms, horloge.noter_instant

    @property
    def api(self) -> Any:
        """Ce que la classe ccxt sait."""
        return SimpleNamespace(has={"fetchOHLCV": self.relisible}, timeframes={"1m": "1m"})

    def bougie(self, minute: int, jusqua: int, facteur: float = 1.0, depuis: int = 0) -> tuple[float, ...] | None:
        """L'état de cette minute, après les trades de [depuis, jusqua] ; None avant le premier."""
        volumes = self.tailles[minute] if 0 <= minute < len(self.tailles) else []
        instants = itertools.count(T0 + minute * MINUTE + MINUTE // 10 - 1, MINUTE // 10)
        passes = [v for v, instant in zip(volumes, instants, strict=False) if depuis <= instant <= jusqua]
        if not passes:
            return None
        prix = [100.0 + minute + volume for volume in passes]
        return T0 + minute * MINUTE, prix[0], max(prix), min(prix), prix[-1], sum(passes) * facteur

    def toutes(self, heure: int | None = None) -> list[tuple[float, ...]]:
        """Les bougies closes, et celle en cours."""
        heure = heure or self.heure
        minutes = range(-30, (heure - T0) // MINUTE + 1)
        lues = (self._ancienne(n) if n < 0 else self.bougie(n, heure) for n in minutes)
        return [bougie for bougie in lues if bougie]

    def vraies(self) -> dict[int, tuple[float, ...]]:
        """Ouverture -> valeurs."""
        return {int(bougie[0]): bougie[1:] for bougie in self.toutes()}

    def tomber(self) -> None:
        """La prochaine requête échouera."""
        self.pannes += 1

    def reviser(self) -> None:
        """L'exchange corrige, aussitôt close, sa dernière bougie (kraken, le volume)."""
        minute = (self.heure - T0) // MINUTE - 1
        if 0 <= minute < len(self.tailles) and self.tailles[minute] and (self.heure - T0) % MINUTE < MINUTE // 3:
            self.revisee = True
            self.tailles[minute] = [*self.tailles[minute][:-1], self.tailles[minute][-1] + 10]

    @staticmethod
    def _ancienne(minute: int) -> tuple[float, ...]:
        return (T0 + minute * MINUTE, 100.0, 100.0, 100.0, 100.0, 1.0)

    def timeframes_offerts(self, _marche: Any) -> list[str]:
        """Aucun plus long : le témoin d'un vide est la page elle-même."""
        return ["1m"]

    def fenetre_ms(self, _timeframe: Any, _marche: Any) -> int:
        """Sans limite."""
        return 0

    async def lire_bougies(self, _serie: Any, _timeframe: Any, debut: int, fin: int, **_: Any) -> list[list[float]]:
        """Une page."""
        await asyncio.sleep(0)
        self.requetes += 1
        if self.pannes:
            self.pannes -= 1
            raise m.ErreurTemporaire("502")
        return [list(bougie) for bougie in self.toutes(self.heure - self.retard) if debut <= bougie[0] < fin]


class Jeu:
    """Un fil qu'on nourrit, coupe et relit ; ce qu'il a rendu."""

    def __init__(self, marche: Marche) -> None:
        self.marche, self.fiche = marche, m.Fiche(CLE)  # celle de la sortie : le fil n'en a qu'une copie
        self.lignes: dict[int, tuple[float, ...]] = {}
        self.branche = self.infidele = False  # des trames se sont perdues, ou sont venues trop tard
        self.tentee = False  # cette exécution a tenté d'écouter
        self.compte_depuis = 0
        self.justes: set[int] = set()  # les ouvertures rendues telles que le marché les dit
        self.retenues: list[tuple[float, ...]] = []  # trames en retard
        self.dits: dict[int, float] = {}  # ouverture -> le plus grand volume que l'écoute en ait dit
        self.fil = self.ouvrir()

    def ouvrir(self) -> m.FilBougies:
        """Le fil d'une exécution neuve."""
        serie = m.Serie(CLE, {"type": "spot", "symbol": "AAA/USDT"}, UNE_MINUTE, 100)
        connexion: Any = self.marche
        fil = m.FilBougies(connexion, serie, self.fiche.copie(), m.ReglagesFlux(m.Plage(grace_ms=2_000)))
        fil._horloge = lambda: self.marche.heure / 1000
        fil._prochain_essai = 0.0
        return fil

    def abonner(self) -> None:
        """Une écoute commence, par l'état de la bougie en cours."""
        self.fil.ecouter()
        self.branche, self.tentee, self.retenues = True, True, []
        self.compte_depuis = self.marche.heure * self.marche.entame
        self.dire(self.etats(self.marche.heure, self.marche.heure))

    def etats(self, depuis: int, instant: int) -> list[tuple[float, ...]]:
        """Le dernier état de chaque minute de cet intervalle : celle qui finit, puis celle qui commence."""
        minutes = sorted({(depuis - T0) // MINUTE, (instant - T0) // MINUTE})
        lues = (self.marche.bougie(minute, instant, self.marche.facteur, self.compte_depuis) for minute in minutes)
        return [bougie for bougie in lues if bougie]

    def dire(self, etats: list[tuple[float, ...]]) -> None:
        """Le flux parle."""
        if self.branche and etats:
            for instant, *_, volume in etats:
                if instant <= self.marche.heure:
                    self.dits[int(instant)] = max(self.dits.get(int(instant), 0.0), volume / self.marche.facteur)
            self.fil.recevoir(etats, self.marche.heure)

    async def avancer(self, pas: int, sort: str) -> None:
        """Le temps passe, par dixièmes de minute ; chaque trame arrive, se perd, se double ou tarde."""
        self.infidele |= sort in ("perdue", "tarde", "rien")
        if not self.tentee:  # une exécution écoute dès qu'elle commence : ici, l'exchange a refusé
            self.tentee = True
            self.fil.rompre()
        for _ in range(pas):
            self.marche.heure += MINUTE // 10
            etats = self.etats(self.marche.heure - MINUTE // 10, self.marche.heure)
            if sort == "tarde":
                self.retenues += etats
            elif sort not in ("perdue", "rien"):
                self.dire([etat for etat in etats for _ in range(1 + (sort == "double"))])
            self.collecter()
            for _ in range(20):
                await asyncio.sleep(0)  # une relecture court pendant que le flux parle
            self.collecter()

    async def jusqu_a(self, reste: int, sort: str) -> None:
        """Le temps passe, jusqu'à tant de dixièmes de la fin de la minute."""
        await self.avancer((10 - reste - (self.marche.heure - T0) // (MINUTE // 10)) % 10, sort)

    def attendre(self, ms: int) -> None:
        """La minute en est là, et le flux se tait."""
        self.infidele = True
        self.marche.heure = max(self.marche.heure, T0 + (self.marche.heure - T0) // MINUTE * MINUTE + ms)
        self.collecter()

    def lacher(self) -> None:
        """Les trames en retard arrivent."""
        self.dire(self.retenues)
        self.retenues = []

    def reviser(self, dite: bool) -> None:
        """La bougie qui vient de se clore est corrigée ; le flux le dit, ou non."""
        self.marche.reviser()
        self.infidele |= not dite  # sans REST, rien ne la trahirait
        if dite:
            self.dire(self.etats(self.marche.heure - MINUTE // 2, self.marche.heure)[:1])

    def mentir(self) -> None:
        """Une trame d'un instant futur."""
        self.dire([(T0 + (self.marche.heure - T0) // MINUTE * MINUTE + 3 * MINUTE, 9.0, 9.0, 9.0, 9.0, 9.0)])

    def couper(self) -> None:
        """L'écoute meurt."""
        self.branche, self.retenues = False, []
        self.fil.rompre()

    def collecter(self) -> None:
        """Ce qui est sûr est écrit."""
        for lot in self.fil.collecter(self.marche.heure):
            self.fiche.noter(lot.couverts, lot.trous)
            colonnes = zip(*(lot.lignes[nom].to_pylist() for nom in m.VALEURS_OHLCV), strict=True)
            rendues = dict(zip(m.instants_de(lot.lignes), colonnes, strict=True))
            assert self.marche.retard or all(ligne[-1] >= self.dits.get(i, 0.0) for i, ligne in rendues.items()), (
                "rendue dans un état que le flux a dépassé"
            )
            # À l'heure que deux témoins ont dite, fausse ou non.
            assert all(instant + MINUTE <= self.marche.heure_ms() for instant in rendues), "pas encore close"
            vraies = self.marche.vraies()
            fausses = {instant for instant, ligne in rendues.items() if ligne != vraies.get(instant)}
            assert self.marche.retard or self.marche.revisee or self.infidele or not fausses, "fausse"
            assert self.marche.retard or self.marche.revisee or not fausses & self.justes, "juste, puis fausse"
            self.justes |= {i for i in rendues.keys() - fausses if i + MINUTE <= self.marche.heure}
            self.lignes |= rendues

    async def relire(self) -> None:
        """Le REST est interrogé."""
        await self.fil.rattraper()
        self.collecter()

    async def signaler(self) -> None:
        """Un signal : ce qui est sûr est écrit, plus rien n'est relu."""
        self.collecter()
        if self.branche:
            self.couper()
        await self.fil.arreter()
        self.collecter()

    async def relancer(self) -> None:
        """Un signal, puis la même commande."""
        await self.signaler()
        self.fil, self.tentee = self.ouvrir(), False

    async def finir(self) -> None:
        """La durée est écoulée : après la grâce, ce qui manque est relu."""
        self.fil.conclut = True
        self.collecter()
        self.fil.rompre()
        self.marche.heure += 3_000
        await self.fil.rattraper_a_fond()
        self.fil.arrete = True
        await self.fil.arreter()
        self.collecter()


Geste = tuple[Any, ...]


def vise(*gestes: Geste) -> st.SearchStrategy[list[Geste]]:
    """Une suite de gestes où tout se joue à la clôture ; le hasard ne la trouverait pas."""
    return st.just([("jusqu_a", 2, "vient"), *gestes])


VISES = st.one_of(
    vise(("avancer", 3, "perdue"), ("avancer", 5, "vient")),  # la fin de la minute est perdue
    vise(("avancer", 3, "perdue"), ("avancer", 12, "rien")),  # et l'horloge la clôt
    vise(("avancer", 3, "perdue"), ("avancer", 2, "rien"), ("relancer",), ("abonner",)),  # puis un signal
    vise(("couper",), ("avancer", 3, "vient"), ("abonner",), ("avancer", 4, "vient")),  # une coupure à cheval
    vise(("avancer", 3, "vient"), ("couper",), ("avancer", 1, "vient"), ("abonner",)),  # peu après la clôture
    vise(("avancer", 3, "tarde"), ("avancer", 1, "vient"), ("lacher",), ("avancer", 5, "vient")),  # le désordre
    vise(("avancer", 3, "vient"), ("reviser", True), ("avancer", 5, "vient")),
    vise(("avancer", 3, "vient"), ("reviser", False), ("relire",), ("avancer", 5, "vient")),
    vise(("couper",), ("avancer", 3, "vient"), ("relire",), ("reviser", False), ("abonner",), ("avancer", 25, "vient"),
         ("avancer", 25, "vient")),  # relue trop tôt : le REST ne disait pas encore son dernier mot
    vise(("avancer", 1, "tarde"), ("avancer", 1, "vient"), ("lacher",), ("avancer", 12, "rien")),  # dépassée
    vise(("mentir",), ("avancer", 4, "vient")),
    vise(("mentir",), ("mentir",), ("avancer", 3, "perdue"), ("relancer",), ("abonner",), ("avancer", 12, "vient")),
    vise(("relire",), ("avancer", 3, "vient"), ("relire",), ("avancer", 8, "vient")),  # relue encore ouverte
)  # fmt: skip
SIMPLES = st.one_of(
    st.tuples(st.just("avancer"), st.integers(1, 25), st.sampled_from(("vient", "vient", "double", "perdue", "tarde"))),
    st.tuples(st.sampled_from(("abonner", "couper", "lacher", "relire", "panne", "mentir", "relancer"))),
).map(lambda geste: [geste])
GESTES = st.lists(st.one_of(VISES, VISES, SIMPLES), max_size=9).map(lambda suites: list(itertools.chain(*suites)))


CRUES: list[Geste] = [("avancer", 25, "vient"), ("relire",)]
"""De quoi voir le flux égal au REST : ses bougies sont désormais rendues sans l'attendre."""

SUITE: list[Geste] = [("avancer", 25, "vient"), ("avancer", 25, "vient")]
FIN_PERDUE: list[Geste] = [*CRUES, ("avancer", 16, "vient"), ("avancer", 9, "perdue")]
SCENARIOS: dict[str, list[Geste]] = {
    "une fin de minute perdue": [*FIN_PERDUE, *SUITE],
    "puis une relance": [*FIN_PERDUE, ("avancer", 40, "vient"), ("relancer",), ("abonner",), *SUITE],
    "des trames dépassées": [*CRUES, ("avancer", 18, "vient"), ("avancer", 12, "tarde"), ("lacher",), *SUITE],
    "une coupure": [*CRUES, ("avancer", 16, "perdue"), ("couper",), ("avancer", 8, "vient"), ("abonner",), *SUITE],
    "des trames que le REST a dépassées": [
        *CRUES, ("jusqu_a", 10, "vient"), ("avancer", 8, "tarde"), ("avancer", 4, "perdue"), ("relire",), ("lacher",),
        *SUITE,
    ],
    "une fin de minute muette": [*CRUES, ("jusqu_a", 1, "vient"), ("attendre", 59_000), *SUITE],
}  # fmt: skip
SANS_REST: dict[str, list[Geste]] = {
    "un volume qui recule": [
        ("avancer", 18, "vient"), ("avancer", 1, "tarde"), ("avancer", 1, "vient"), ("lacher",),
        ("avancer", 12, "rien"),
    ],
    "une bougie entamée": [("couper",), ("avancer", 5, "vient"), ("abonner",), *SUITE],
}  # fmt: skip


async def jouer(marche: Marche, gestes: list[Geste]) -> Jeu:
    """Joue ces gestes, puis conclut."""
    jeu = await jouer_sans_finir(marche, gestes)
    await jeu.finir()
    return jeu


async def jouer_sans_finir(marche: Marche, gestes: list[Geste]) -> Jeu:
    """Joue ces gestes."""
    jeu = Jeu(marche)
    jeu.abonner()
    attendus: dict[str, Callable[..., Awaitable[None]]] = {
        "avancer": jeu.avancer, "jusqu_a": jeu.jusqu_a, "relire": jeu.relire, "relancer": jeu.relancer,
    }  # fmt: skip
    directs: dict[str, Callable[..., None]] = {
        "attendre": jeu.attendre, "lacher": jeu.lacher, "mentir": jeu.mentir, "panne": marche.tomber,
        "reviser": jeu.reviser,
    }  # fmt: skip
    for nom, *valeurs in gestes:
        if nom in attendus:
            await attendus[nom](*valeurs)
        elif nom in directs:
            directs[nom](*valeurs)
        elif jeu.branche != (nom == "abonner"):
            jeu.abonner() if nom == "abonner" else jeu.couper()
    return jeu


def juger(jeu: Jeu) -> None:
    """Le REST ayant répondu, chaque bougie est la sienne ; sinon, ce qui n'est pas écrit est un trou, ou à la fin."""
    vraies = jeu.marche.vraies()
    close = UNE_MINUTE.plancher(jeu.marche.heure_ms() - 2_000)  # à l'heure que deux témoins ont dite, fausse ou non
    sure = UNE_MINUTE.plancher(jeu.marche.heure - 2_000 - jeu.marche.retard)  # le REST l'a dite close
    # Sans relecture, rien ne trahit une trame perdue ; mais de trames toutes venues, rien de faux ne peut sortir.
    juste = jeu.fil.echec is None if jeu.marche.relisible else not jeu.infidele
    assert set(jeu.lignes) <= {instant for instant in vraies if instant < close}, "inventée, ou pas encore close"
    if juste or not (jeu.infidele or jeu.marche.facteur != 1):
        # Une révision dite, que le REST en panne n'a pu relire, reste en trou.
        trous = [] if juste else jeu.fiche.trous
        sures = [i for i in jeu.lignes if i < sure and not any(trou.debut <= i < trou.fin for trou in trous)]
        fausses = {i: (jeu.lignes[i], vraies[i]) for i in sures if jeu.lignes[i] != vraies[i]}
        assert fausses == {}, "fausse après sa relecture"
    for instant in vraies:
        if instant < T0 or instant >= sure or instant in jeu.lignes:
            continue
        couverte = any(debut <= instant < fin for debut, fin in jeu.fiche.couverts)
        en_trou = any(trou.debut <= instant < trou.fin for trou in jeu.fiche.trous)
        assert not couverte, f"couverte, mais absente : {(instant - T0) // MINUTE}"
        assert en_trou, f"ni écrite, ni en trou : {(instant - T0) // MINUTE}"


@pytest.mark.parametrize(("facteur", "relisible"), [(1.0, True), (100.0, True), (1.0, False)])
def test_ce_qui_est_ecrit_est_le_marche_ou_un_trou(
    facteur: float, relisible: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Quelle que soit la suite de trames, de coupures, de retards et de pannes ; quelle que soit l'unité du flux."""

    async def aussitot(_secondes: float) -> None:
        await asyncio.sleep(0)

    monkeypatch.setattr(m, "pause", aussitot)

    @settings(max_examples=40, deadline=None)
    @given(
        st.lists(st.lists(st.integers(1, 9), max_size=10), min_size=25, max_size=40),
        GESTES,
        st.sampled_from((0, 0, 9)),
        st.sampled_from(([], CRUES, CRUES)),
        st.sampled_from((0, 0, 1_500, 20_000)),
    )
    def eprouver(
        tailles: list[list[int]], gestes: list[Geste], pannes: int, debut: list[Geste], retard: int
    ) -> None:
        marche = Marche(tailles, facteur, relisible, retard=retard)
        monkeypatch.setattr(m, "maintenant_ms", lambda: marche.heure)
        juger(asyncio.run(jouer(marche, [*debut, *gestes, *[("panne",)] * pannes])))

    eprouver()


@pytest.mark.parametrize("nom", SCENARIOS)
def test_une_bougie_rendue_fausse_est_corrigee(nom: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Le flux est cru, puis faillit sans que rien ne le trahisse : la relecture le dit."""

    async def aussitot(_secondes: float) -> None:
        await asyncio.sleep(0)

    monkeypatch.setattr(m, "pause", aussitot)
    marche = Marche([[1] * 10] * 40)
    monkeypatch.setattr(m, "maintenant_ms", lambda: marche.heure)
    jeu = asyncio.run(jouer(marche, SCENARIOS[nom]))
    assert jeu.fil.confrontation.crues
    assert jeu.fil.echec is None
    juger(jeu)


def test_une_execution_relancee_dans_sa_premiere_minute_la_doit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Un signal avant toute bougie close, puis une écoute refusée : la minute entamée est relue, ou un trou."""
    marche = Marche([[1]] + [[]] * 39)
    monkeypatch.setattr(m, "maintenant_ms", lambda: marche.heure)
    gestes: list[Geste] = [("relancer",), ("jusqu_a", 2, "vient"), ("avancer", 3, "perdue"), ("avancer", 5, "vient")]
    jeu = asyncio.run(jouer(marche, gestes))
    juger(jeu)
    assert T0 in jeu.lignes


@pytest.mark.parametrize("nom", SANS_REST)
def test_sans_rest_rien_de_faux_n_est_rendu(nom: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rien ne le corrigerait : ce que le flux n'a pas vu naître, ou dit en désordre, est un trou."""
    marche = Marche([[1] * 10] * 40, relisible=False, entame=True)
    monkeypatch.setattr(m, "maintenant_ms", lambda: marche.heure)
    jeu = asyncio.run(jouer(marche, SANS_REST[nom]))
    assert jeu.lignes.items() <= marche.vraies().items()
    juger(jeu)


def test_ce_que_l_horloge_a_clos_avant_une_coupure_n_est_pas_rendu_sans_temoin(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sa fin fut perdue, et le REST, en panne, n'a jamais pu la comparer : elle est un trou."""
    marche = Marche([[1] * 10] * 40, pannes=99)
    monkeypatch.setattr(m, "maintenant_ms", lambda: marche.heure)
    jeu = asyncio.run(jouer(marche, [("avancer", 28, "vient"), ("avancer", 3, "perdue"), ("couper",)]))
    assert set(jeu.lignes) == {T0 + MINUTE}
    juger(jeu)


def test_ce_que_l_horloge_a_clos_avant_un_signal_est_a_relire(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rendue sans sa fin, sans que rien ne la suive : la fiche ne la tient plus pour prouvée, la relance la corrige."""
    marche = Marche([[1] * 10] * 40)
    monkeypatch.setattr(m, "maintenant_ms", lambda: marche.heure)

    async def derouler() -> tuple[Jeu, m.Fiche]:
        jeu = await jouer_sans_finir(marche, [*CRUES, ("jusqu_a", 2, "vient"), ("avancer", 3, "perdue")])
        await jeu.signaler()
        laissee = jeu.fiche.copie()
        jeu.fil = jeu.ouvrir()
        jeu.abonner()
        await jeu.avancer(25, "vient")
        await jeu.finir()
        return jeu, laissee

    jeu, laissee = asyncio.run(derouler())
    assert (laissee.couverts[-1][1], laissee.trous) == (T0 + 2 * MINUTE, [])  # elle est là : --verifier n'y voit rien
    assert jeu.fiche.trous == []
    juger(jeu)


@pytest.mark.parametrize("minutes", [15, 40])
def test_une_bougie_que_rien_n_a_pu_confirmer_avant_un_kill_l_est_a_la_relance(
    minutes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Une fin de minute perdue, puis un REST mort plus de dix minutes, et le processus tué."""

    async def aussitot(_secondes: float) -> None:
        await asyncio.sleep(0)

    monkeypatch.setattr(m, "pause", aussitot)
    marche = Marche([[1] * 10] * 60)
    monkeypatch.setattr(m, "maintenant_ms", lambda: marche.heure)

    async def derouler() -> Jeu:
        jeu = await jouer_sans_finir(marche, [*FIN_PERDUE, ("avancer", 1, "vient")])
        marche.pannes = 10**6
        await jeu.avancer(10 * minutes, "vient")
        assert any(jeu.lignes[i] != vraie for i, vraie in marche.vraies().items() if i in jeu.lignes), "rien de faux"
        jeu.fil, jeu.tentee, marche.pannes = jeu.ouvrir(), False, 0  # kill -9, puis la même commande
        jeu.abonner()
        await jeu.avancer(25, "vient")
        await jeu.finir()
        return jeu

    jeu = asyncio.run(derouler())
    juger(jeu)
    assert jeu.fiche.trous == []


@pytest.mark.parametrize("retard", [5_000, 20_000])
def test_la_derniere_bougie_d_un_flux_n_est_pas_prise_d_un_rest_en_retard_sur_lui(
    retard: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Close pendant la grâce de la fin, elle est lue par REST, qui n'en dit pas encore tout : il est attendu."""
    marche = Marche([[1] * 10] * 40)
    monkeypatch.setattr(m, "maintenant_ms", lambda: marche.heure)

    async def aussitot(secondes: float) -> None:
        marche.heure += round(1000 * secondes)
        await asyncio.sleep(0)

    monkeypatch.setattr(m, "pause", aussitot)

    async def derouler() -> Jeu:
        jeu = await jouer_sans_finir(marche, [*CRUES, ("jusqu_a", 1, "vient")])
        await asyncio.sleep(0)
        marche.retard = retard
        marche.heure = T0 + (marche.heure - T0) // MINUTE * MINUTE + MINUTE - 1
        jeu.dire(jeu.etats(marche.heure, marche.heure))
        await jeu.finir()
        return jeu

    jeu = asyncio.run(derouler())
    fausses = {i: ligne for i, ligne in jeu.lignes.items() if ligne != marche.vraies()[i]}
    assert fausses == {}
    derniere = T0 + (marche.heure - T0) // MINUTE * MINUTE - MINUTE
    assert (derniere in jeu.lignes) == (retard < 8_000), "relue quand le REST l'a dite"
    assert not m.croiser(jeu.fiche.couverts, [(max(jeu.lignes) + MINUTE, marche.heure)])


def test_un_rest_en_retard_puis_en_panne_ne_laisse_pas_une_bougie_entamee(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lue trop tôt, elle devait l'être de nouveau : il n'a plus répondu. Vu par la propriété, une fois en 1 500."""

    async def aussitot(_secondes: float) -> None:
        await asyncio.sleep(0)

    monkeypatch.setattr(m, "pause", aussitot)
    tailles = [[1, 5], [2, 3, 6, 1, 6, 2, 8, 7, 3, 7], [3, 7, 3, 8, 1, 9, 8, 2, 9, 7], [8, 9, 6, 4, 2]]
    minute = [("jusqu_a", 2, "vient"), ("relire",), ("avancer", 3, "vient"), ("relire",), ("avancer", 8, "vient")]
    marche = Marche([*tailles, *[[]] * 36], retard=20_000)
    monkeypatch.setattr(m, "maintenant_ms", lambda: marche.heure)
    jeu = asyncio.run(jouer(marche, [*minute, *minute, *[("panne",)] * 9]))
    assert [(trou.debut, trou.fin) for trou in jeu.fiche.trous if trou.fin > T0] == [(T0 + 2 * MINUTE, T0 + 3 * MINUTE)]
    juger(jeu)
