"""Des serveurs qui mentent, et un oracle, le marché ; pour les tests et pour `bancs/banc_absences.py`."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field

from serveurs_de_bougies import (
    CLE,
    DE_JEUNES,
    ECHELLE,
    MAINTENANT,
    PERSONNALITES,
    RARES,
    Ligne,
    Monde,
    Serveur,
    monde,
    plage_de,
)

from module_ccxt_fr_v2 import (
    AVANT_COTATION,
    ECHEC,
    FAITS,
    SANS_TRANSACTION,
    ErreurDefinitive,
    ErreurTemporaire,
    Fiche,
    Lecteur,
    Morceau,
    Pages,
    Plage,
    Timeframe,
    borner,
)

# Ceux qui suivent `since` et rendent leur page entière : une fois honnêtes, ils doivent tout rendre.
HONNETES = ("premieres_jusqua", "premieres_sans_fin", "dernieres_de_la_fenetre", "since_exclusif", "decroissante")
RENDENT_TOUT = (
    *HONNETES, "avec_la_courante", "avec_la_veille", "since_sur_cloture", "deux_bouts_exclus", "page_alignee",
    "fenetre_fixe", "comptee_par_la_fin",
)  # fmt: skip
PAGE_ENTIERE = 24  # en deçà, une bougie du timeframe d'au-dessus ne tient plus dans une page de celui d'en dessous
TOUS_CARACTERES = 100_000  # dès cette graine, tous les caractères, des pages très courtes : celles d'avant sont gardées
CARACTERES_RARES = 300_000  # et dès celle-ci, les rares
AUTRES_PAS = 500_000  # et dès celle-ci, des heures, des jours, des semaines et des mois, chez les uns et les autres
JEUNES = 2_000_000  # et dès celle-ci, des marchés de quelques bougies, où chacune a plusieurs transactions
# Ils ne gardent qu'un peu d'histoire : d'un mois, que rien de plus long ne dément, c'est une cotation qu'on verrait ;
# d'un marché jeune aussi, tous coupés dans la même bougie.
GARDENT_PEU = ("dernieres_seules", "muette_hors_portee", "longues_courtes")
APPELS_PAR_POINT, APPELS_DE_BASE = 4, 260


@dataclass
class Scenario:
    """Un marché, un caractère, une plage demandée et des mensonges, tirés d'une graine."""

    graine: int
    code: str = "1m"
    caractere: str = "premieres_jusqua"
    limite: int = 40
    points: tuple[int, int] = (0, 200)
    cotation: int = 0
    pannes: list[tuple[int, int]] = field(default_factory=list)
    mensonges: dict[str, tuple[int, float]] = field(default_factory=dict)  # nom -> (combien de fois, probabilité)
    muet: str = ""  # le timeframe qui échoue toujours
    transactions: int = 1  # par bougie vivante


MENSONGES = (
    "vide", "sourd", "dernieres_seulement", "replique_en_retard", "vide_avec_voisine", "erreur", "autre_pas", "coupee",
)  # fmt: skip


def tirer(graine: int) -> Scenario:
    """Un scénario au hasard, le même pour une même graine."""
    hasard = random.Random(graine)
    cotation = hasard.randint(-700, 260)
    debut = hasard.randint(-60, 120)
    scenario = Scenario(
        graine,
        hasard.choice(("1m", "1m", "1h", "1d")),
        hasard.choice(HONNETES),
        hasard.choice((24, 40, 100)),
        (debut, debut + hasard.randint(1, 260)),
        cotation,
        [(hasard.randint(-300, 300), hasard.choice((1, 3, 20, 90, 400))) for _ in range(hasard.randint(0, 4))],
        muet=hasard.choice(("", "", "", *ECHELLE[1:])),
    )
    for nom in hasard.sample(MENSONGES, hasard.randint(0, 3)):
        scenario.mensonges[nom] = hasard.choice(((2, 1.0), (4, 1.0), (9, 1.0), (10_000, 0.3), (10_000, 1.0)))
    if graine >= TOUS_CARACTERES:
        caracteres = RARES if graine >= CARACTERES_RARES else PERSONNALITES
        scenario.caractere, scenario.limite = hasard.choice([*caracteres]), hasard.choice((5, 8, 12, 24, 40, 100))
    if graine >= JEUNES:
        _tout_jeune(scenario, hasard)
    elif graine >= AUTRES_PAS:
        _a_longs_pas(scenario, hasard)
    return scenario


def _a_longs_pas(scenario: Scenario, hasard: random.Random) -> None:
    code = scenario.code = hasard.choice(("4h", "1d", "1w", "1w", "1M", "1M"))
    caracteres = sorted((PERSONNALITES | RARES).keys() - (GARDENT_PEU if code == "1M" else ()))
    debut = hasard.randint(-30, 40)
    scenario.caractere, scenario.points = hasard.choice(caracteres), (debut, debut + hasard.randint(1, 80))
    scenario.cotation = hasard.randint(-40 if code == "1M" else -120, 60)
    durees = (1, 2, 3, 5) if code == "1M" else (1, 2, 3, 8, 20)  # deux ans muets se lisent comme une cotation
    scenario.pannes = [(hasard.randint(-60, 60), hasard.choice(durees)) for _ in range(hasard.randint(0, 4))]


def _tout_jeune(scenario: Scenario, hasard: random.Random) -> None:
    caracteres = sorted((PERSONNALITES | RARES | DE_JEUNES).keys() - set(GARDENT_PEU))
    caracteres.remove("page_alignee")  # bitbank : une annexe réunit ses pages
    scenario.caractere, scenario.limite = hasard.choice(caracteres), hasard.choice((24, 40, 100, 500))
    longs = ("1d", "1d", "1w", "1M")  # en deçà, courtes_oublieuses garde peu
    codes = longs if scenario.caractere == "courtes_oublieuses" else ("5m", "1h", "4h", *longs)
    code = scenario.code = hasard.choice(codes)
    timeframe, origine, _ = plage_de(code)
    maintenant = timeframe.compter(origine, MAINTENANT) - 1
    scenario.cotation = maintenant - hasard.choice((0, 1, 2, 3, 4, 6, 10, 20, 40))
    scenario.points = (scenario.cotation - hasard.randint(1, 60), maintenant - hasard.choice((0, 0, 0, 1, 2, 5)) + 1)
    scenario.pannes = [(hasard.randint(scenario.cotation, maintenant), 1) for _ in range(hasard.choice((0, 0, 1, 3)))]
    scenario.transactions = hasard.choice((1, 4, 30, 200))
    scenario.muet = hasard.choice(("", "", "", *ECHELLE))


class Menteur(Serveur):
    """Le serveur d'un scénario ; `honnete` fait taire ses mensonges."""

    def preparer(self, scenario: Scenario) -> Menteur:
        """Branche les mensonges."""
        self.scenario, self.hasard, self.honnete = scenario, random.Random(scenario.graine), False
        self.restent = {nom: fois for nom, (fois, _) in scenario.mensonges.items()}
        return self

    async def demander(self, timeframe: Timeframe, debut: int, fin: int, relecture: bool) -> list[Ligne]:
        """Une page, peut-être mensongère."""
        if self.honnete:
            return await super().demander(timeframe, debut, fin, relecture)
        if timeframe.code == self.scenario.muet and timeframe.code != self.scenario.code:
            raise ErreurTemporaire("422")
        page = await super().demander(timeframe, debut, fin, relecture)
        # `autre_pas` en dernier : une page qu'un autre mensonge réduirait à une ligne ne dirait plus son pas.
        for nom, (_, probabilite) in sorted(self.scenario.mensonges.items(), key=lambda m: m[0] == "autre_pas"):
            if self.restent[nom] > 0 and self.hasard.random() < probabilite:
                self.restent[nom] -= 1
                page = self.mentir(nom, page, timeframe, debut)
        return page

    def mentir(self, nom: str, page: list[Ligne], timeframe: Timeframe, debut: int) -> list[Ligne]:
        """La page, telle que ce mensonge la rend."""
        toutes = self.monde.bougies(timeframe)
        if nom == "vide":
            return []
        if nom in ("sourd", "dernieres_seulement"):
            return [list(ligne) for ligne in toutes[-self.limite * (3 if nom == "sourd" else 1) :]]
        if nom == "replique_en_retard":
            return [ligne for ligne in page if ligne[0] < MAINTENANT - 50 * Timeframe.lire(self.scenario.code).pas_ms]
        if nom == "vide_avec_voisine":
            return page[:1]
        if nom == "erreur":
            raise ErreurDefinitive("no data")
        if nom == "autre_pas":
            autre = Timeframe.lire("15m" if timeframe.code == "1h" else "1h" if timeframe.code != "1d" else "4h")
            autres = [list(ligne) for ligne in self.monde.bougies(autre)]
            rang = next((r for r, ligne in enumerate(autres) if ligne[0] >= debut), len(autres))
            rendues = autres[max(0, rang - self.limite // 2) :][: self.limite]
            return rendues if len(rendues) >= 6 else page  # trop peu de lignes ne diraient pas leur pas
        return page[: max(1, len(page) // 2)]


@dataclass
class Lecture:
    """Ce qu'une lecture a rendu, et ce que le marché en dit."""

    morceaux: list[Morceau]
    debut: int
    fin: int
    appels: int
    echouee: bool = False


def lire(serveur: Menteur, scenario: Scenario) -> Lecture:
    """Lit la plage du scénario."""
    timeframe, origine, _ = plage_de(scenario.code)
    plage = Plage(timeframe.avancer(origine, scenario.points[0]), timeframe.avancer(origine, scenario.points[1]))
    debut, fin = borner(plage, timeframe, scenario.limite, MAINTENANT, Fiche(CLE))
    lecture = Lecture([], debut, fin, 0)
    avant = len(serveur.appels)

    async def tout() -> None:
        longues = [t for t in map(Timeframe.lire, ECHELLE) if t.pas_ms > timeframe.pas_ms]
        courtes = [t for t in map(Timeframe.lire, ECHELLE) if t.pas_ms < timeframe.pas_ms]
        pages = Pages(
            serveur.demander, timeframe, scenario.limite, longues=longues, courtes=courtes, horizon_ms=MAINTENANT
        )
        async for morceau in Lecteur(pages).lire(debut, fin):
            lecture.morceaux.append(morceau)

    try:
        asyncio.run(tout())
    except (ErreurDefinitive, ErreurTemporaire):
        lecture.echouee = True  # une série en échec ne prétend rien
    lecture.appels = len(serveur.appels) - avant
    return lecture


def serveur_de(scenario: Scenario) -> Menteur:
    """Le marché et le serveur d'un scénario."""
    absents = {rang for debut, duree in scenario.pannes for rang in range(debut, debut + duree)}
    marche = monde(scenario.code, lambda rang: rang not in absents, scenario.cotation)
    if scenario.transactions > 1:
        hasard, pas_ms = random.Random(scenario.graine), Timeframe.lire(scenario.code).pas_ms
        rangs = range(scenario.transactions)
        instants = (t + hasard.choice(rangs) * pas_ms // len(rangs) for t in marche.transactions for _ in rangs)
        marche = Monde(sorted(instants))
    return Menteur(marche, (PERSONNALITES | RARES | DE_JEUNES)[scenario.caractere], scenario.limite).preparer(scenario)


def fautes(scenario: Scenario) -> list[str]:
    """Ce qui, dans ce scénario, contredit le marché ; rien si tout est vrai."""
    serveur = serveur_de(scenario)
    lecture = lire(serveur, scenario)
    timeframe = Timeframe.lire(scenario.code)
    vraies = {ligne[0]: tuple(ligne) for ligne in serveur.monde.bougies(timeframe)}
    trouvees = _contredire(lecture, vraies)
    permis = APPELS_DE_BASE + APPELS_PAR_POINT * (scenario.points[1] - scenario.points[0])
    if lecture.appels > permis:
        trouvees.append(f"{lecture.appels} appels")
    serveur.honnete = True
    relue = lire(serveur, scenario)
    trouvees += [f"honnête : {faute}" for faute in _contredire(relue, vraies)]
    rendues = {i for m in relue.morceaux for i in m.lignes["timestamp"].to_pylist()}
    manquent = [i for i in vraies if relue.debut <= i < relue.fin and i not in rendues]
    tout_est_du = scenario.caractere in RENDENT_TOUT and scenario.limite >= PAGE_ENTIERE
    if manquent and tout_est_du and not relue.echouee:
        trouvees.append(f"honnête : {len(manquent)} lignes manquent")
    return trouvees


def _contredire(lecture: Lecture, vraies: dict[int, tuple[object, ...]]) -> list[str]:
    premiere = min(vraies, default=MAINTENANT)
    trouvees = []
    for morceau in lecture.morceaux:
        lignes = [tuple(ligne.values()) for ligne in morceau.lignes.to_pylist()]
        trouvees += [f"ligne fausse {ligne}" for ligne in lignes if vraies.get(ligne[0]) != ligne]
        for trou in morceau.trous:
            dedans = any(trou.debut <= instant < trou.fin for instant in vraies)
            if trou.raison in FAITS and dedans:
                trouvees.append(f"{trou.raison} sur des bougies qui existent")
            elif trou.raison == AVANT_COTATION and trou.fin > premiere:
                trouvees.append("avant_cotation après la première")
            elif trou.raison == SANS_TRANSACTION and trou.debut < premiere:
                trouvees.append("sans_transaction avant la première")
            elif trou.raison not in (*FAITS, ECHEC, "hors_fenetre_api", "a_venir"):
                trouvees.append(f"raison inconnue : {trou.raison}")
    return trouvees
