"""Quoi que fasse un flux de bougies, ce qui est écrit est ce que dit le REST, une fois relu ; le reste est en trou.

L'oracle est le marché. Le fil est le vrai, et l'histoire qu'il relit aussi ; seules la connexion et l'horloge sont
tenues ici : coupures, trames perdues, doublées, en retard, dépassées, REST en panne.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import module_ccxt_fr_v2 as m

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
    particularite: m.Particularite = field(default_factory=m.Particularite)
    requetes: int = 0

    def __post_init__(self) -> None:
        horloge = m.Horloge()  # celle du module ; la nôtre est juste (voir `maintenant_ms` plus bas)
        self.heure_ms, self.noter_instant = horloge.heure_ms, horloge.noter_instant

    @property
    def api(self) -> Any:
        """Ce que la classe ccxt sait."""
        return SimpleNamespace(has={"fetchOHLCV": self.relisible}, timeframes={"1m": "1m"})

    def bougie(self, minute: int, jusqua: int, facteur: float = 1.0) -> tuple[float, ...] | None:
        """L'état de cette minute, après les trades passés à cet instant ; None avant le premier."""
        volumes = self.tailles[minute] if 0 <= minute < len(self.tailles) else []
        pas = MINUTE // 10
        passes = [v for rang, v in enumerate(volumes) if T0 + minute * MINUTE + (rang + 1) * pas - 1 <= jusqua]
        if not passes:
            return None
        prix = [100.0 + minute + volume for volume in passes]
        return T0 + minute * MINUTE, prix[0], max(prix), min(prix), prix[-1], sum(passes) * facteur

    def toutes(self, facteur: float = 1.0) -> list[tuple[float, ...]]:
        """Les bougies closes, et celle en cours."""
        minutes = range(-30, (self.heure - T0) // MINUTE + 1)
        lues = (self._ancienne(n) if n < 0 else self.bougie(n, self.heure, facteur) for n in minutes)
        return [bougie for bougie in lues if bougie]

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
        return [list(bougie) for bougie in self.toutes() if debut <= bougie[0] < fin]


class Jeu:
    """Un fil qu'on nourrit, coupe et relit ; ce qu'il a rendu."""

    def __init__(self, marche: Marche) -> None:
        self.marche, self.fiche = marche, m.Fiche(CLE)
        self.lignes: dict[int, tuple[float, ...]] = {}
        self.branche = self.infidele = False  # des trames se sont perdues, ou sont venues trop tard
        self.retenues: list[tuple[float, ...]] = []  # trames en retard
        serie = m.Serie(CLE, {"type": "spot", "symbol": "AAA/USDT"}, UNE_MINUTE, 100)
        connexion: Any = marche
        self.fil = m.FilBougies(connexion, serie, self.fiche, m.ReglagesFlux(m.Plage(grace_ms=2_000)))
        self.fil._horloge = lambda: self.marche.heure / 1000
        self.fil._prochain_essai = 0.0

    def abonner(self) -> None:
        """Une écoute commence, par l'état de la bougie en cours."""
        self.fil.ecouter()
        self.branche, self.retenues = True, []
        self.dire(self.etats(self.marche.heure, self.marche.heure))

    def etats(self, depuis: int, instant: int) -> list[tuple[float, ...]]:
        """Le dernier état de chaque minute de cet intervalle : celle qui finit, puis celle qui commence."""
        minutes = sorted({(depuis - T0) // MINUTE, (instant - T0) // MINUTE})
        return [b for minute in minutes if (b := self.marche.bougie(minute, instant, self.marche.facteur))]

    def dire(self, etats: list[tuple[float, ...]]) -> None:
        """Le flux parle."""
        if self.branche and etats:
            self.fil.recevoir_toutes(etats, self.marche.heure)

    async def avancer(self, pas: int, sort: str) -> None:
        """Le temps passe, par dixièmes de minute ; chaque trame arrive, se perd, se double ou tarde."""
        self.infidele |= sort in ("perdue", "tarde")
        for _ in range(pas):
            self.marche.heure += MINUTE // 10
            etats = self.etats(self.marche.heure - MINUTE // 10, self.marche.heure)
            if sort == "tarde":
                self.retenues += etats
            elif sort != "perdue":
                self.dire([etat for etat in etats for _ in range(1 + (sort == "double"))])
            self.collecter()
            for _ in range(20):
                await asyncio.sleep(0)  # une relecture court pendant que le flux parle
            self.collecter()

    def lacher(self) -> None:
        """Les trames en retard arrivent."""
        self.dire(self.retenues)
        self.retenues = []

    def couper(self) -> None:
        """L'écoute meurt."""
        self.branche, self.retenues = False, []
        self.fil.rompre()

    def collecter(self) -> None:
        """Ce qui est sûr est écrit."""
        for lot in self.fil.collecter(self.marche.heure):
            colonnes = zip(*(lot.lignes[nom].to_pylist() for nom in m.VALEURS_OHLCV), strict=True)
            self.lignes |= dict(zip(m.instants_de(lot.lignes), colonnes, strict=True))

    async def relire(self) -> None:
        """Le REST est interrogé."""
        await self.fil.rattraper()
        self.collecter()

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


GESTES = st.one_of(
    st.tuples(st.just("avancer"), st.integers(1, 25), st.sampled_from(("vient", "vient", "double", "perdue", "tarde"))),
    st.tuples(st.sampled_from(("abonner", "couper", "lacher", "relire", "panne"))),
)


CRUES = [("avancer", 25, "vient"), ("relire",)]
"""De quoi voir le flux égal au REST : ses bougies sont désormais rendues sans l'attendre."""

SUITE = [("avancer", 25, "vient"), ("avancer", 25, "vient")]
SCENARIOS: dict[str, list[tuple[Any, ...]]] = {
    "une fin de minute perdue": [*CRUES, ("avancer", 16, "vient"), ("avancer", 9, "perdue"), *SUITE],
    "des trames dépassées": [*CRUES, ("avancer", 18, "vient"), ("avancer", 12, "tarde"), ("lacher",), *SUITE],
    "une coupure": [*CRUES, ("avancer", 16, "perdue"), ("couper",), ("avancer", 8, "vient"), ("abonner",), *SUITE],
}


async def jouer(marche: Marche, gestes: list[tuple[Any, ...]]) -> Jeu:
    """Joue ces gestes, puis conclut."""
    jeu = Jeu(marche)
    jeu.abonner()
    for nom, *valeurs in gestes:
        if nom == "avancer":
            await jeu.avancer(*valeurs)
        elif nom == "abonner" and not jeu.branche:
            jeu.abonner()
        elif nom == "couper" and jeu.branche:
            jeu.couper()
        elif nom == "lacher":
            jeu.lacher()
        elif nom == "relire":
            await jeu.relire()
        elif nom == "panne":
            marche.pannes += 1
    await jeu.finir()
    return jeu


def juger(jeu: Jeu) -> None:
    """Le REST ayant répondu, chaque bougie est la sienne ; sinon, ce qui n'est pas écrit est un trou, ou à la fin."""
    vraies = {int(bougie[0]): bougie[1:] for bougie in jeu.marche.toutes()}
    close = UNE_MINUTE.plancher(jeu.marche.heure - 2_000)
    # Sans relecture, rien ne trahit une trame perdue ; mais de trames toutes venues, rien de faux ne peut sortir.
    juste = jeu.fil.echec is None if jeu.marche.relisible else not jeu.infidele
    assert set(jeu.lignes) <= {instant for instant in vraies if instant < close}, "inventée, ou pas encore close"
    if juste or not (jeu.infidele or jeu.marche.facteur != 1):
        fausses = {i: (ligne, vraies[i]) for i, ligne in jeu.lignes.items() if ligne != vraies[i]}
        assert fausses == {}, "fausse après sa relecture"
    for instant in vraies:
        if instant < T0 or instant >= close or instant in jeu.lignes:
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
        st.lists(GESTES, max_size=12),
        st.sampled_from((0, 0, 9)),
        st.sampled_from(([], CRUES)),
    )
    def eprouver(
        tailles: list[list[int]], gestes: list[tuple[Any, ...]], pannes: int, debut: list[tuple[Any, ...]]
    ) -> None:
        marche = Marche(tailles, facteur, relisible)
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
