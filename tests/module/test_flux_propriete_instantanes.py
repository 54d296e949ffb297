"""Quoi que fasse un flux de carnets ou de tickers, ce qui fut dit est écrit, et ce qui n'a pu l'être est un trou.

L'oracle est le marché. Le fil est le vrai ; seules la connexion et l'horloge sont tenues ici : coupures, états manqués,
redits, dépassés, croisés, vides, d'un seul côté, non datés, d'un instant faux, signaux et relances.
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

T0 = 1_704_459_600_437
AVANCE_MS = 300_000
CLE = m.CleSerie("ailleurs", "AAA/USDT")


@dataclass(frozen=True)
class Style:
    """Ce que l'exchange dit : des carnets ou des tickers, datés ou non, redits ou non à l'abonnement."""

    fil: type[m.FilInstantanes]
    date: bool
    instantane: bool

    def __str__(self) -> str:
        return f"{self.fil.__name__}-{'daté' if self.date else 'non daté'}{'-instantané' * self.instantane}"


STYLES = [Style(fil, d, i) for fil in (m.FilCarnet, m.FilTicker) for d in (True, False) for i in (True, False)]


@dataclass
class Etat:
    """Un état du marché : ce qu'il vaut, et quand il l'a pris."""

    instant: int
    prix: int
    cotes: str = "deux"  # « deux », « achats », « croisé », « vide »

    def ecrire(self, style: Style, retard: int = 0) -> dict[str, Any]:
        """Comme ccxt ; `retard` : de combien l'exchange se trompe en le datant."""
        date = self.instant + retard if style.date else None
        if style.fil is m.FilTicker:
            return {"timestamp": date, "last": None if self.cotes == "vide" else float(self.prix)}
        achat, vente = [float(self.prix), 1.0], [float(self.prix + (1 if self.cotes != "croisé" else -1)), 2.0]
        cotes = {"deux": ([achat], [vente]), "achats": ([achat], []), "vide": ([], [])}
        achats, ventes = cotes.get(self.cotes, ([achat], [vente]))
        return {"timestamp": date, "bids": achats, "asks": ventes, "nonce": None}

    def vaut(self, style: Style) -> bool:
        """Vrai s'il est à écrire."""
        return self.cotes in (("deux", "achats") if style.fil is m.FilCarnet else ("deux", "achats", "croisé"))

    def valeurs(self, style: Style) -> tuple[Any, ...]:
        """Ce que la ligne en dit."""
        if style.fil is m.FilTicker:
            return (float(self.prix),)
        return (float(self.prix), self.cotes == "achats")


@dataclass
class Jeu:
    """Un fil qu'on nourrit, coupe et relance ; ce qu'il a rendu, et ce qu'il a manqué."""

    style: Style
    heure: int = T0
    etats: list[Etat] = field(default_factory=list)  # du marché
    dits: list[Etat] = field(default_factory=list)
    manques: list[Etat] = field(default_factory=list)
    avant_d_entendre: list[Etat] = field(default_factory=list)  # l'exchange n'avait encore pris aucun abonnement
    lignes: list[tuple[Any, ...]] = field(default_factory=list)
    branche: bool = False
    debut: int | None = None
    ecoutes: set[int] = field(default_factory=set)  # quand elles ont commencé
    a_menti: bool = False
    entendu: bool = False  # l'écoute en cours a dit l'état présent, qu'elle trouve en premier

    api = SimpleNamespace(has={}, timeframes={})

    def __post_init__(self) -> None:
        horloge = m.Horloge()
        self.heure_ms, self.noter_instant = horloge.heure_ms, horloge.noter_instant
        self.fiche = m.Fiche(CLE)
        self.fil = self.ouvrir()

    def ouvrir(self) -> m.FilInstantanes:
        """Le fil d'une exécution neuve."""
        serie = m.Serie(CLE, {"type": "spot"}, m.Timeframe.lire("1m"), 0)
        connexion: Any = self
        fil = self.style.fil(connexion, serie, self.fiche, m.ReglagesFlux(m.Plage(grace_ms=0)))
        fil._horloge = lambda: self.heure / 1000
        return fil

    def recevoir(self, etat: Etat, erreur_ms: int = 0) -> None:
        """Le flux dit un état."""
        self.fil.recevoir([etat.ecrire(self.style, erreur_ms)], self.heure)
        if not erreur_ms and etat.vaut(self.style):
            self.entendu = True
            self.dits.append(etat if self.style.date else Etat(self.heure, etat.prix, etat.cotes))

    def abonner(self, *pendant: tuple[int, int]) -> None:
        """Une écoute commence ; l'exchange ne la prend qu'après ces états, et redit souvent le dernier."""
        self.fil.ecouter()
        self.branche, self.entendu, self.debut = True, False, self.debut or self.heure
        self.ecoutes.add(self.heure)
        for duree, prix in pendant:
            self.heure += duree
            self.etats.append(Etat(self.heure, prix))
            (self.manques if self.fil.recus else self.avant_d_entendre).append(self.etats[-1])
        if self.style.instantane and self.etats:
            self.recevoir(self.etats[-1])
            for ranges in (self.manques, self.avant_d_entendre):
                if ranges[-1:] == self.etats[-1:] and self.style.date:
                    ranges.pop()

    def couper(self) -> None:
        """L'écoute meurt."""
        self.branche = False
        self.fil.rompre()

    def vivre(self, duree: int, prix: int, cotes: str, *, tu: bool = False) -> None:
        """Le temps passe, le marché change d'état ; l'écoute, si elle vit, le dit, ou meurt avant."""
        self.heure += duree
        etat = Etat(self.heure, prix, cotes)
        self.etats.append(etat)
        if self.branche and not tu:
            self.recevoir(etat)
            return
        if etat.vaut(self.style):
            self.manques.append(etat)
        if self.branche:
            self.couper()

    def redire(self, rang: int) -> None:
        """Le flux redit un état, récent ou dépassé ; jamais d'abord."""
        if self.entendu and self.branche and self.style.date:
            self.fil.recevoir([self.dits[-1 - rang % len(self.dits)].ecrire(self.style)], self.heure)

    def mentir(self) -> None:
        """Un état d'un instant faux : cinq minutes trop tard ; une fois par jeu, deux témoins seraient crus."""
        if self.branche and self.style.date and not self.a_menti:
            self.a_menti = True
            self.recevoir(Etat(self.heure, 50), AVANCE_MS)

    def collecter(self) -> None:
        """Ce qui est sûr est écrit."""
        for lot in self.fil.collecter(self.heure):
            colonnes = [lot.lignes[nom].to_pylist() for nom in lot.lignes.schema.names]
            for instant, *valeurs in zip(m.instants_de(lot.lignes), *colonnes, strict=True):
                self.lignes.append((instant, dict(zip(lot.lignes.schema.names, valeurs, strict=True))))

    async def arreter(self, *, conclut: bool) -> None:
        """L'exécution finit : sa durée est écoulée, ou un signal l'arrête."""
        self.fil.conclut = conclut
        self.fil.arrete = not conclut
        if self.branche:
            self.couper()
        self.fil.arrete = True
        await self.fil.arreter()
        self.collecter()

    async def relancer(self) -> None:
        """Un signal, puis la même commande."""
        self.heure += 1
        await self.arreter(conclut=False)
        self.heure += 1_000
        self.fil = self.ouvrir()


GESTES = st.lists(
    st.one_of(
        st.tuples(st.just("vivre"), st.integers(1, 9_000), st.integers(10, 13),
                  st.sampled_from(("deux", "deux", "achats", "croisé", "vide"))),
        st.tuples(st.just("perdre"), st.integers(1, 9_000), st.integers(10, 13)),
        st.tuples(st.just("redire"), st.integers(0, 3)),
        st.tuples(st.sampled_from(("mentir", "collecter", "couper", "abonner", "relancer"))),
        st.tuples(st.sampled_from(("abonner", "relancer")), st.tuples(st.integers(1, 9_000), st.integers(10, 13))),
    ),
    max_size=25,
)  # fmt: skip


async def jouer(style: Style, gestes: list[tuple[Any, ...]], monkeypatch: pytest.MonkeyPatch) -> Jeu:
    """Joue ces gestes, puis conclut ; le premier peut être l'écoute qui commence."""
    monkeypatch.setattr(m, "maintenant_ms", lambda: T0)
    jeu = Jeu(style)
    monkeypatch.setattr(m, "maintenant_ms", lambda: jeu.heure)
    if not gestes or gestes[0][0] != "abonner":
        jeu.abonner()
    for nom, *valeurs in gestes:
        if nom == "vivre":
            jeu.vivre(*valeurs)
        elif nom == "perdre":
            jeu.vivre(valeurs[0], valeurs[1], "deux", tu=True)
        elif nom == "relancer":
            await jeu.relancer()
            jeu.abonner(*valeurs)
        elif nom in ("couper", "abonner"):
            if jeu.branche != (nom == "abonner"):
                getattr(jeu, nom)(*valeurs)
        else:
            getattr(jeu, nom)(*valeurs)
    await jeu.arreter(conclut=True)
    return jeu


def lue(style: Style, ligne: dict[str, Any]) -> tuple[Any, ...]:
    """Ce que la ligne dit du marché."""
    if style.fil is m.FilTicker:
        return (ligne["last"],)
    return (ligne["bids"][0]["price"], not ligne["asks"])


def juger(jeu: Jeu) -> None:
    """Rien d'inventé, ni croisé ni vide ; ce qui fut dit est écrit ; ce qui ne l'est pas n'est pas dit couvert."""
    style = jeu.style
    dits = {(etat.instant, etat.valeurs(style)) for etat in jeu.dits}
    ecrites = {(instant, lue(style, ligne)) for instant, ligne in jeu.lignes}
    assert ecrites <= dits, f"inventée : {ecrites - dits}"
    if style.date:
        # Deux états du même instant n'en font qu'un, le dernier dit.
        derniers = {etat.instant: etat.valeurs(style) for etat in jeu.dits}
        assert {instant for instant, _ in ecrites} == set(derniers), "un instant dit n'est pas écrit"
    couverts = jeu.fiche.couverts
    hors = [etat for etat in jeu.dits if not any(debut <= etat.instant < fin for debut, fin in couverts)]
    assert hors == [] or not style.date, "dit, et pas couvert"  # sans date, ce qui ne change pas ne prolonge rien
    for etat in jeu.manques:
        if etat.instant in jeu.ecoutes | {dit.instant for dit in jeu.dits}:
            continue  # de la milliseconde où l'écoute commence, ou d'un état dit
        couvert = any(debut <= etat.instant < fin for debut, fin in couverts)
        en_trou = any(trou.debut <= etat.instant < trou.fin for trou in jeu.fiche.trous)
        assert not couvert, f"manqué, mais couvert : {etat}"
        assert en_trou or etat.instant > max((e.instant for e in jeu.dits), default=0), f"manqué, sans trou : {etat}"
    for etat in jeu.avant_d_entendre:
        if etat.instant not in {dit.instant for dit in jeu.dits}:
            couvert = any(debut <= etat.instant < fin for debut, fin in couverts)
            assert not couvert, f"pas encore abonné, mais couvert : {etat}"
    assert all(debut >= T0 - 1 and fin <= jeu.heure + 1 for debut, fin in couverts), "couvert hors du temps"


VU_ROUGE: dict[str, list[tuple[Any, ...]]] = {
    "couvert avant que l'exchange n'ait pris l'abonnement": [("abonner", (1, 11)), ("vivre", 9, 10, "deux")],
    "de même d'une relance": [("vivre", 1, 10, "deux"), ("relancer", (1, 11)), ("vivre", 9, 10, "deux")],
    "un instant faux est cru": [("mentir",)],
    "une redite d'avant un trou l'efface": [
        ("vivre", 1, 10, "deux"), ("perdre", 1, 10), ("perdre", 1, 10), ("relancer",), ("redire", 0),
    ],
    "le trou commence avant ce qui fut dit": [("vivre", 1, 10, "deux"), ("perdre", 1, 10), ("abonner",)],
    "la suite recouvre le trou déjà dit": [
        ("vivre", 1, 11, "deux"), ("perdre", 1, 10), ("perdre", 1, 11), ("abonner",), ("collecter",),
        ("vivre", 1, 10, "deux"),
    ],
    "le trou d'un signal efface ce qui fut dit": [("vivre", 1, 10, "deux"), ("relancer",), ("perdre", 1, 10)],
}  # fmt: skip


@pytest.mark.parametrize("nom", VU_ROUGE)
@pytest.mark.parametrize("style", STYLES, ids=str)
def test_ce_qui_fut_vu_rouge_ne_l_est_plus(style: Style, nom: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trouvés par la propriété qui suit."""
    juger(asyncio.run(jouer(style, VU_ROUGE[nom], monkeypatch)))


@pytest.mark.parametrize("style", STYLES, ids=str)
def test_ce_qui_fut_dit_est_ecrit_et_le_reste_un_trou(style: Style, monkeypatch: pytest.MonkeyPatch) -> None:
    """Quelle que soit la suite d'états, de coupures, de redites, d'instants faux et de relances."""

    @settings(max_examples=60, deadline=None)
    @given(GESTES)
    def eprouver(gestes: list[tuple[Any, ...]]) -> None:
        juger(asyncio.run(jouer(style, gestes, monkeypatch)))

    eprouver()
