"""Contrôler une sortie telle qu'elle est, lot par lot, sans rien écrire : un seul verdict, pour tous.

Un `Controle` lit une sortie ; un `Examen` par série y applique les REGLES, puis confronte la fiche aux lignes. Ajouter
une règle sur les lignes : une fonction pure, et une ligne dans REGLES. Rien ailleurs : `--verifier`, `--reparer`, la
reprise d'une sortie qu'un autre a touchée, le bilan et les tests partent du registre.
"""

from __future__ import annotations

import bisect
import collections
import dataclasses
import functools
import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from annexes_ccxt_fr.fichiers_etrangers import est_niveaux, est_nombre, est_texte
from annexes_ccxt_fr.lecture_brute import FICHE_ABIMEE, Brut, brut, fiches_portees, possibles
from module_ccxt_fr_v2 import (
    CODE_FAUTES,
    CODE_SUCCES,
    ECHEC,
    FAITS,
    HISTOIRES,
    INSTANT_MAX_MS,
    INSTANT_MIN_MS,
    JOUR_MS,
    OHLCV,
    RAISONS,
    RAISONS_PARTIELLES,
    CleSerie,
    Fiche,
    Intervalle,
    PasLeNotre,
    Sortie,
    SortieFichier,
    SortieIllisible,
    Trou,
    TypeDonnee,
    absentes,
    constante,
    croiser,
    dementis,
    en_iso,
    en_tuples,
    en_un_bloc,
    fiche_de_rien,
    grille,
    instants_de,
    intervalles_de,
    maintenant_ms,
    nombre_de,
    oter,
    par_serie,
    pas_a_pas,
    plages,
    prolonger,
    sur_grille,
    type_des_colonnes,
    unir,
    voisins,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    import pyarrow as pa
    import pyarrow.compute as pc
else:
    from module_ccxt_fr_v2 import pa, pc

CONSTATS_DITS = 20  # par nature
AVANCE_ADMISE_MS = JOUR_MS  # une horloge locale en retard, un exchange embarqué qui va soixante fois plus vite
EN_DOUBLE = {"doublon", "desordre"}  # d'une même ligne, ou de deux qui se contredisent


class Constat(NamedTuple):
    """Une faute d'une sortie : sa nature, la série, un instant (`fin` None) ou un intervalle, ce qui ne va pas."""

    nature: str
    cle: CleSerie | None
    debut: int | None
    fin: int | None
    phrase: str

    def __str__(self) -> str:
        debut, fin = instant_lisible(self.debut), instant_lisible(self.fin)
        quand = f"de {debut} à {fin}" if fin else debut
        return f"{' '.join(filter(None, (str(self.cle or ''), quand)))} : {self.phrase}".removeprefix(" : ")


def instant_lisible(instant: int | None) -> str:
    """Un instant en ISO 8601, ou son nombre là où aucun calendrier ne va."""
    if instant is None:
        return ""
    return en_iso(instant) if 0 <= instant <= INSTANT_MAX_MS else f"{instant} ms"


@dataclass
class EtatSerie:
    """Ce que le contrôle dit d'une série ; `couverture` : la part prouvée de ce que la fiche connaît, en %."""

    cle: CleSerie
    table: str | None = None
    lignes: int = 0
    premiere: int | None = None
    derniere: int | None = None
    couverture: float | None = None
    non_couverts: list[Intervalle] = field(default_factory=list)  # entre ce que la fiche connaît : jamais lus
    trous: collections.Counter[str] = field(default_factory=collections.Counter)
    fautes: collections.Counter[str] = field(default_factory=collections.Counter)

    def en_dict(self) -> dict[str, Any]:
        """La série, en types JSON."""
        dits: dict[str, Any] = {nom: instant_lisible(getattr(self, nom)) or None for nom in ("premiere", "derniere")}
        dits["non_couverts"] = [list(map(instant_lisible, intervalle)) for intervalle in self.non_couverts]
        return {**self.cle._asdict(), **{nom: valeur for nom, valeur in vars(self).items() if nom != "cle"}, **dits}


@dataclass
class Rapport:
    """Ce que le contrôle d'une sortie a trouvé ; de chaque nature, les premières fautes, et leur nombre."""

    sortie: Path
    format: str
    series: list[EtatSerie] = field(default_factory=list)
    constats: list[Constat] = field(default_factory=list)
    fautes: collections.Counter[str] = field(default_factory=collections.Counter)
    avertissements: list[str] = field(default_factory=list)

    @property
    def code(self) -> int:
        """Le code de sortie de `--verifier`."""
        return CODE_FAUTES if self.fautes else CODE_SUCCES

    def noter(self, constats: Sequence[Constat], nombre: int | None = None) -> None:
        """Compte des fautes d'une nature (`nombre`, s'il y en a plus que dites) et retient les premières."""
        if constats:
            nature = constats[0].nature
            self.constats += constats[: max(0, CONSTATS_DITS - self.fautes[nature])]
            self.fautes[nature] += len(constats) if nombre is None else nombre

    def en_dict(self) -> dict[str, Any]:
        """Le rapport, en types JSON."""
        return {
            "sortie": str(self.sortie),
            "format": self.format,
            "fautes": dict(self.fautes),
            "constats": [{"nature": constat.nature, "constat": str(constat)} for constat in self.constats],
            "avertissements": self.avertissements,
            "series": [serie.en_dict() for serie in self.series],
        }


def _debordements(lignes: pa.Table) -> int:
    """Le nombre de bougies dont l'ouverture ou la clôture sort de [low, high] ; il en est servi de vraies."""
    sorties = [
        comparer(lignes[nom], lignes[bord])
        for nom in ("open", "close")
        for comparer, bord in ((pc.less, "low"), (pc.greater, "high"))
    ]
    return int(pc.sum(functools.reduce(pc.or_, sorties)).as_py() or 0)


class Regle(NamedTuple):
    """Une règle sur les lignes : ce que dit la faute, le masque de celles qui l'enfreignent, et si on les ôte."""

    phrase: str
    fautives: Callable[[pa.Table, pa.Array, Examen], pa.Array]  # (lignes d'une série, leurs instants, son examen)
    otees: bool = True


def _impossibles(lignes: pa.Table, instants: pa.Array, examen: Examen) -> pa.Array:  # noqa: ARG001
    donnee = type_des_colonnes(lignes.schema.names) or OHLCV
    return pc.invert(possibles(lignes, examen.fiche.cle.prix, donnee))


def _hors_grille(lignes: pa.Table, instants: pa.Array, examen: Examen) -> pa.Array:
    if not examen.fiche.cle.a_une_grille:
        return pa.repeat(constante(False), len(instants))
    bornes = pc.if_else(_du_futur(lignes, instants, examen), 0, instants)  # aucun calendrier ne va partout
    return pc.invert(en_un_bloc(sur_grille(pa.chunked_array([bornes]), grille(examen.fiche))))


def _du_futur(lignes: pa.Table, instants: pa.Array, examen: Examen) -> pa.Array:  # noqa: ARG001
    return pc.or_(pc.less(instants, 0), pc.greater(instants, maintenant_ms() + AVANCE_ADMISE_MS))


def _dans_un_vide(lignes: pa.Table, instants: pa.Array, examen: Examen) -> pa.Array:  # noqa: ARG001
    return parmi(instants, examen.vides)


def _dans_un_trou(lignes: pa.Table, instants: pa.Array, examen: Examen) -> pa.Array:  # noqa: ARG001
    return parmi(instants, examen.partiels)


def parmi(instants: pa.Array, intervalles: Sequence[Intervalle]) -> pa.Array:
    """Masque des instants qui sont dans l'un de ces intervalles, triés et disjoints."""
    premier, dernier = (borne.as_py() for borne in pc.min_max(instants).values())
    proches = intervalles[voisins(intervalles, premier, dernier)]
    if not proches:
        return pa.repeat(constante(False), len(instants))
    rangs = (bisect.bisect_right(proches, (instant, INSTANT_MAX_MS)) - 1 for instant in instants.to_pylist())
    fins = [proches[rang][1] if rang >= 0 else INSTANT_MIN_MS for rang in rangs]
    return pc.less(instants, pa.array(fins, pa.int64()))


REGLES: Mapping[str, Regle] = {
    "impossible": Regle("ligne impossible : un de ses nombres ne peut être vrai", _impossibles),
    "hors_grille": Regle("ouverture hors de la grille", _hors_grille),
    "futur": Regle("horodatage du futur", _du_futur),
    "dans_un_vide": Regle("bougie là où la fiche dit qu'il n'y en a pas eu", _dans_un_vide),
    "dans_un_trou": Regle("bougie dans un trou", _dans_un_trou, False),
}


def contradictions(fiche: Fiche) -> list[tuple[Intervalle, str]]:
    """Ce qu'une fiche dit de deux façons."""
    trous = intervalles_de(fiche.trous)
    partiels = intervalles_de(fiche.trous, *RAISONS_PARTIELLES)
    fautes = [(i, "couvert et trou à la fois") for i in croiser(fiche.couverts, partiels)]
    fautes += [((t.debut, t.fin), f"raison « {t.raison} » inconnue") for t in fiche.trous if t.raison not in RAISONS]
    provisoires = intervalles_de(fiche.provisoires)
    dits = unir(fiche.couverts, trous)
    fautes += [(i, "bougie provisoire, et prouvée ou manquante") for i in croiser(provisoires, dits)]
    for suite, quoi in ((fiche.couverts, "intervalles"), (trous, "trous"), (provisoires, "bougies provisoires")):
        fautes += [(intervalle, f"{quoi} à l'envers") for intervalle in suite if intervalle[0] >= intervalle[1]]
        fautes += [(b, f"{quoi} qui se recouvrent") for a, b in itertools.pairwise(suite) if a[1] > b[0]]
    return fautes


def accordee(fiche: Fiche, presents: Sequence[Intervalle] | None, perdus: Sequence[Intervalle]) -> Fiche:
    """La fiche qui dit vrai de ces lignes : de ce qu'elle couvrait, ce qui manque est un échec, à relire.

    `presents` None : il n'y manque que ce qui est perdu.
    """
    trous = [t._replace(raison=t.raison if t.raison in RAISONS else ECHEC) for t in fiche.trous if t.debut < t.fin]

    def hors(intervalles: Iterable[Intervalle], *raisons: str) -> list[Trou]:
        gardes, retires = [t for t in trous if t.raison in raisons], unir(intervalles)
        return [Trou(*reste, t.raison) for t in gardes for reste in oter([(t.debut, t.fin)], retires)]

    faits = hors(unir(presents or (), perdus), *FAITS)
    absents = [] if presents is None else oter(fiche.couverts, unir(presents, intervalles_de(faits)))
    absents = [i for i in absents if not fiche.cle.a_une_grille or grille(fiche).compter(*i)]
    provisoires = [
        Trou(*reste, t.raison)
        for t in fiche.provisoires
        for reste in oter([(t.debut, t.fin)] if presents is None else croiser([(t.debut, t.fin)], presents), perdus)
    ]
    manquent = unir(absents, croiser(perdus, unir(fiche.couverts, intervalles_de(trous))))
    restes = hors(unir(fiche.couverts, manquent), *RAISONS_PARTIELLES)
    neuve = dataclasses.replace(fiche, couverts=[], trous=[], provisoires=provisoires)
    neuve.noter(oter(fiche.couverts, manquent), [*faits, *(Trou(*manque, ECHEC) for manque in manquent), *restes])
    neuve.sources = [  # ce qui sera relu à l'API en viendra
        provenance._replace(debut=debut, fin=fin)
        for provenance in fiche.sources
        for debut, fin in croiser([provenance[:2]], neuve.couverts)
    ]
    return neuve


def _ruptures(table: pa.Table, donnee: TypeDonnee) -> tuple[pa.Array, pa.Array]:
    """Masques des lignes dont la clé est déjà plus haut, et des autres qui reculent."""
    rangs = pa.array(range(table.num_rows), pa.int64())
    cle = ["symbole", *donnee.rang]
    premiers = table.select(cle).append_column("rang", rangs).group_by(cle, use_threads=False)
    doublons = pc.invert(pc.is_in(rangs, value_set=en_un_bloc(premiers.aggregate([("rang", "min")])["rang_min"])))
    suivent = pc.or_(*pas_a_pas(table, donnee))
    return doublons, pc.and_not(pc.invert(pa.concat_arrays([pa.array([True]), suivent])), doublons)


def _sont_equivalents(lu: pa.DataType, voulu: pa.DataType) -> bool:
    """Vrai si le type lu tient toutes les valeurs de l'autre, comme ceux de pandas, polars et DuckDB."""
    if pa.types.is_timestamp(voulu):
        return bool(pa.types.is_timestamp(lu) and lu.unit != "s" and lu.tz in (None, "UTC", "Etc/UTC", "+00:00"))
    if pa.types.is_string(voulu):
        return est_texte(lu)
    if pa.types.is_integer(voulu):  # pandas, d'une colonne qui a des vides
        return est_nombre(lu)
    return est_niveaux(voulu) and est_niveaux(lu) and set(lu.value_type) == set(voulu.value_type)


class Examen:
    """Une série, contrôlée lot par lot, dans l'ordre du fichier."""

    def __init__(
        self, etat: EtatSerie, donnee: TypeDonnee, fiche: Fiche, rapport: Rapport, *, en_attente: bool
    ) -> None:
        self.etat, self.donnee, self.fiche, self.rapport = etat, donnee, fiche, rapport
        # D'événements, un trou dit seulement qu'il en manque ; un journal en attente a pu le combler.
        trous = fiche.trous if donnee.a_une_grille and not en_attente else []
        self.vides = unir(intervalles_de(trous, *FAITS))
        self.partiels = unir(intervalles_de(trous, *RAISONS_PARTIELLES))
        self.presents: list[Intervalle] = []
        self.perdus: list[Intervalle] = []
        self.deplacees: list[Intervalle] = []  # des bougies qu'une date abîmée a menées là : leur place est vide
        self._ajoutees: list[Intervalle] = []  # d'autres, dont la fiche ne dit rien
        self._premiere: int | None = None  # l'instant de la première ligne gardée
        self.gardees = 0  # lignes qui restent, chacune une fois
        self.situees = 0  # événements perdus, dont on sait entre quels instants
        self.insituables = False  # d'autres, dont on n'en sait rien
        self._fins: dict[str, pa.Table] = {}
        self._debordent = 0  # bougies dont l'ouverture ou la clôture sort de [low, high]

    def noter(self, constats: Sequence[Constat], nombre: int | None = None) -> None:
        """Note des fautes d'une nature ; voir `Rapport.noter`."""
        self.rapport.noter(constats, nombre)
        if constats:
            self.etat.fautes[constats[0].nature] += len(constats) if nombre is None else nombre

    def _noter_masque(self, nature: str, phrase: str, instants: pa.Array, masque: pa.Array) -> None:
        if nombre := pc.sum(masque).as_py():
            premiers = instants.filter(masque)[:CONSTATS_DITS].to_pylist()
            self.noter([Constat(nature, self.fiche.cle, i, None, phrase) for i in premiers], nombre)

    def _noter_intervalles(self, nature: str, fautes: Iterable[tuple[Intervalle, str]]) -> None:
        self.noter([Constat(nature, self.fiche.cle, *intervalle, phrase) for intervalle, phrase in fautes])

    def lire(self, lignes: pa.Table) -> pa.Array:
        """Contrôle les lignes suivantes ; rend le masque de celles qui peuvent rester (le tri ôte les doublons)."""
        instants = en_un_bloc(lignes["timestamp"].cast(pa.int64()))
        masques = {nature: regle.fautives(lignes, instants, self) for nature, regle in REGLES.items()}
        for nature, masque in masques.items():
            self._noter_masque(nature, REGLES[nature].phrase, instants, masque)
        self._debordent += _debordements(lignes) if self.donnee is OHLCV else 0
        doublons, reculs = self._suivre(lignes, instants)
        # Hors grille, du futur ou revenue d'ailleurs, elle ne tient la place d'aucune : le manque se voit autrement.
        egarees = functools.reduce(pc.or_, [masques["hors_grille"], masques["futur"], self._revenues(instants, reculs)])
        otees = [masque for nature, masque in masques.items() if REGLES[nature].otees]
        fautives = functools.reduce(pc.or_, otees, egarees)
        gardees = pc.invert(fautives)
        self.gardees += pc.sum(pc.and_not(gardees, doublons)).as_py() or 0
        self._situer(instants, instants.filter(gardees))
        perdus = instants.filter(pc.and_not(fautives, egarees))
        if self.donnee.a_une_grille:
            self.presents += plages(instants.filter(gardees), grille(self.fiche))
            self.perdus += plages(perdus, grille(self.fiche))
        else:
            self.perdus += [(instant, instant + 1) for instant in perdus.to_pylist()]
            self.situees += len(perdus)
            self.insituables = self.insituables or bool(pc.any(egarees).as_py())
        return gardees

    def _situer(self, instants: pa.Array, gardes: pa.Array) -> None:
        bornes = [i.as_py() for i in pc.min_max(instants).values()]
        self.etat.lignes += len(instants)
        self.etat.premiere = min(bornes[0], self.etat.premiere if self.etat.premiere is not None else bornes[0])
        self.etat.derniere = max(bornes[1], self.etat.derniere or 0)
        if len(gardes):
            premiere = pc.min(gardes).as_py()
            self._premiere = min(premiere, self._premiere if self._premiere is not None else premiere)

    def _revenues(self, instants: pa.Array, reculs: pa.Array) -> pa.Array:
        """Masque des événements qu'une date abîmée a menés dans un passé dont la fiche ne dit rien."""
        if self.donnee.a_une_grille or not (self.fiche.couverts and pc.any(reculs).as_py()):
            return pa.repeat(constante(False), len(instants))
        return pc.and_not(reculs, parmi(instants, self.fiche.dits()))

    def _suivre(self, lignes: pa.Table, instants: pa.Array) -> tuple[pa.Array, pa.Array]:
        """L'ordre et l'unicité, lot après lot : masques des lignes déjà vues, et de celles qui reculent."""
        reperes = lignes.select(self.donnee.reperes)
        avant = self._fins.get(reperes["symbole"][0].as_py(), reperes[:0])
        if prolonger(self._fins, reperes, self.donnee):
            aucune = pa.repeat(constante(False), len(instants))
            return aucune, aucune
        masques = _ruptures(pa.concat_tables([avant, reperes]), self.donnee)
        doublons, reculs = (masque[len(avant) :] for masque in masques)
        self._noter_masque("doublon", "ligne en double", instants, doublons)
        self._noter_masque("desordre", "ligne en désordre", instants, reculs)
        return doublons, reculs

    def conclure(self, *, en_attente: bool) -> None:
        """Confronte la fiche à toutes les lignes ; un journal en attente en sait plus qu'elle."""
        fiche, manquent = self.fiche, list[Intervalle]()
        self._noter_intervalles("fiche", contradictions(fiche))
        if self._debordent:
            bougies = nombre_de(self._debordent, "bougie")
            phrase = f"{fiche.cle} : {bougies} dont l'ouverture ou la clôture sort de [low, high], telles que servies"
            self.rapport.avertissements.append(phrase)
        if self.donnee.a_une_grille and not en_attente:
            manquent = absentes(fiche, unir(self.presents, self.perdus))
            dehors = oter(self.presents, fiche.dits())
            dehors = dehors[:-1] if dehors[-1:] == courante(fiche, dehors) else dehors
            self.deplacees, self._ajoutees = (dehors, []) if manquent else ([], dehors)
            for nature, intervalles, phrase in (
                ("absente", manquent, "de moins que la fiche n'en couvre"),
                ("hors_intervalles", dehors, "hors des intervalles couverts"),
            ):
                nombres = [(i, nombre_de(grille(fiche).compter(*i), "bougie")) for i in intervalles]
                self._noter_intervalles(nature, [(i, f"{nombre} {phrase}") for i, nombre in nombres])
        phrase = "« avant_cotation », alors que des lignes sont plus anciennes"
        self._noter_intervalles("cotation", [((t.debut, t.fin), phrase) for t in dementis(fiche, self.premiere)])
        if (oublies := self._oublies()) and not en_attente:
            phrase = f"{nombre_de(oublies, 'ligne')} de moins que la fiche n'en compte"
            self.noter([Constat("absente", fiche.cle, None, None, phrase)], oublies)
        self.etat.trous.update(trou.raison for trou in fiche.lacunes())
        mesurer: Callable[[int, int], int] = grille(fiche).compter if fiche.cle.a_une_grille else lambda d, f: f - d
        tout = fiche.expliques()
        etendue = [(tout[0][0], tout[-1][1])] if tout else []
        self.etat.non_couverts = [i for i in oter(etendue, tout) if mesurer(*i)]
        if total := mesurer(*etendue[0]) if tout else 0:
            prouve = sum(mesurer(*i) for i in oter(fiche.couverts, manquent))
            self.etat.couverture = 1_000_000 * prouve // total / 10_000  # jamais 100 s'il manque une bougie

    def _oublies(self) -> int:
        """Les événements que la fiche compte, et dont rien ne dit où ils étaient ; d'avant les comptes, au moins un."""
        if self.donnee.a_une_grille:
            return 0
        if self.fiche.lignes is None:
            return int(self.insituables)
        return max(0, self.fiche.lignes - self.gardees - self.situees)

    @property
    def premiere(self) -> int | None:
        """L'instant de la première ligne qui restera."""
        if not self.deplacees:
            return self._premiere
        return next((debut for debut, _ in oter(self.presents, self.deplacees)), None)

    def departager(self, lignes: pa.Table) -> pa.Array:
        """Masque, de toutes les lignes gardées, de celles à qui croire ; compte celles d'événements.

        Ni une bougie menée ailleurs par sa date, ni deux lignes d'une même clé, différentes : aucune des deux n'est
        crue, comme dans une page (`cribler`).
        """
        instants = en_un_bloc(lignes["timestamp"].cast(pa.int64()))
        fautives = parmi(instants, self.deplacees)
        if EN_DOUBLE & self.etat.fautes.keys():
            cle = list(self.donnee.rang)
            relisible = self.donnee.nom in HISTOIRES  # d'un instantané, la dernière version vaut mieux que rien
            valeurs = [nom for nom in self.donnee.noms if nom != "recu"] if relisible else cle
            uniques = lignes.select(valeurs).group_by(valeurs, use_threads=False).aggregate([])
            versions = uniques.group_by(cle, use_threads=False).aggregate([([], "count_all")])
            contestees = set(en_tuples(versions.filter(pc.greater(versions["count_all"], constante(1))), cle))
            if contestees:
                contestes = pa.array([une in contestees for une in en_tuples(lignes, cle)])
                fautives = pc.or_(fautives, contestes)
                self.perdus += [(i, self._apres(i)) for i in instants.filter(contestes).to_pylist()]
            self.gardees, self.situees = versions.num_rows - len(contestees), self.situees + len(contestees)
        return pc.invert(fautives)

    def _apres(self, instant: int) -> int:
        return grille(self.fiche).avancer(instant, 1) if self.donnee.a_une_grille else instant + 1

    def accordee(self, *, en_attente: bool) -> Fiche:
        """La fiche, d'accord avec les lignes qui restent ; un fait qu'elles démentent est à relire."""
        fiche = dataclasses.replace(self.fiche, couverts=unir(self.fiche.couverts, self._ajoutees))
        tout_est_la = en_attente or not self.donnee.a_une_grille
        # Rien ne dit où ; un journal n'en sait rien non plus : ce compte est celui des lignes du fichier.
        oublies = fiche.couverts if self._oublies() else []
        presents = None if tout_est_la else self.presents
        fiche = accordee(fiche, presents, unir(self.perdus, self._ajoutees, oublies))
        for trou in dementis(fiche, self.premiere):
            fiche.noter([], [trou._replace(raison=ECHEC)])
        return fiche

    def sans_preuve(self) -> Fiche:
        """La fiche d'une série dont rien ne dit plus ce qu'elle couvrait : tout ce qui est écrit est à relire."""
        etendue = [(i, (self.etat.derniere or i) + 1) for i in (self.etat.premiere,) if i is not None]
        etendue = croiser(etendue, [(0, maintenant_ms() + AVANCE_ADMISE_MS)])  # sans la ligne d'un futur abîmé
        couverts = unir(self.presents, self.perdus) if self.donnee.a_une_grille else etendue
        return accordee(dataclasses.replace(self.fiche, couverts=couverts), [], couverts)


def courante(fiche: Fiche, ailleurs: Sequence[Intervalle] = ()) -> list[Intervalle]:
    """D'une fiche d'avant, qui ne la disait pas, la bougie gardée sur demande : après ce qu'elle dit, ou la seule."""
    if fiche.provisoires:
        return []
    debut = max((fin for _, fin in fiche.dits()), default=ailleurs[0][0] if ailleurs else 0)
    return [(debut, grille(fiche).avancer(debut, 1))]


class Controle:
    """Une sortie, contrôlée lot par lot, en mémoire constante."""

    def __init__(self, brut: Brut, donnee: TypeDonnee, rapport: Rapport, table: str | None = None) -> None:
        self.brut, self.donnee, self.rapport, self.table = brut, donnee, rapport, table
        self.examens: dict[CleSerie, Examen] = {}
        self.lues = 0
        self._dernier = ""  # le symbole de la dernière ligne
        self._saine: Place | None = None  # la dernière ligne qui a un repère
        self._suspendues = 0  # celles qui la suivent, illisibles
        self.en_attente = self._finie = False
        for fiche in brut.fiches:
            self._examen(fiche.cle, fiche)
        types = [(brut.schema.field(champ.name).type, champ) for champ in donnee.schema] if brut.schema else []
        for lu, champ in types:
            phrase = f"{champ.name} en {lu}, pas en {champ.type}"
            if lu != champ.type and _sont_equivalents(lu, champ.type):
                rapport.avertissements.append(f"récrit par un autre outil, sans perte : {phrase}")
            elif lu != champ.type:
                rapport.noter([Constat("types", None, None, None, phrase)])
        rapport.avertissements += brut.avertissements
        for nature, phrase in brut.defauts:
            rapport.noter([Constat(nature, None, None, None, phrase)])

    def _examen(self, cle: CleSerie, fiche: Fiche) -> Examen:
        etat = EtatSerie(cle, self.table)
        self.rapport.series.append(etat)
        examen = Examen(etat, self.donnee, fiche, self.rapport, en_attente=self.brut.en_attente())
        return self.examens.setdefault(cle, examen)

    def lire(self, lot: pa.Table) -> pa.Array:
        """Contrôle les lignes suivantes de la sortie ; rend les rangs de celles qui peuvent rester."""
        self.lues += lot.num_rows
        brutes = lot.select(self.donnee.noms).append_column("rang", pa.array(range(lot.num_rows), pa.int64()))
        nulles = functools.reduce(pc.or_, (en_un_bloc(pc.is_null(brutes[nom])) for nom in self.donnee.obligatoires))
        abime = pc.any(nulles).as_py()
        lot = brutes.filter(pc.invert(nulles)) if abime else brutes
        self._suivre_symboles(lot)
        gardees = [pa.array([], pa.int64())]
        for cle, lignes in par_serie(lot, self.donnee):
            if (examen := self._accueillir(cle, lignes)) is not None:
                rangs = en_un_bloc(lignes["rang"])
                gardees.append(rangs.filter(examen.lire(lignes.select(self.donnee.noms))))
        if abime or self._suspendues:
            self._relever_illisibles(lot, brutes.num_rows)
        self._saine = _place(lot, -1, self.donnee) if lot.num_rows else self._saine
        tous = pa.concat_arrays(gardees)
        return tous.take(pc.sort_indices(tous))

    def _accueillir(self, cle: CleSerie, lignes: pa.Table) -> Examen | None:
        """L'examen de la série ; None si ses lignes n'ont rien à faire là."""
        if cle in self.examens:
            return self.examens[cle]
        instants = en_un_bloc(lignes["timestamp"].cast(pa.int64()))
        try:
            fiche = dataclasses.replace(fiche_de_rien(cle, instants), origine=self.brut.origine)
            intruse = not self.brut.connait(cle)  # ni l'exécution ni une reprise ne l'ont écrite
        except (ValueError, OverflowError):
            intruse = True
        if intruse:
            phrase = "ligne d'une série que la fiche ne connaît pas"
            constats = [Constat("autre_serie", cle, i, None, phrase) for i in instants[:CONSTATS_DITS].to_pylist()]
            self.rapport.noter(constats, len(instants))
            self._egarer()
            return None
        self.rapport.avertissements.append(f"{cle} : fiche absente ; ce qu'elle devrait couvrir n'est pas connu")
        return self._examen(cle, fiche)

    def _egarer(self) -> None:
        """Des lignes ne disent plus de quelle série elles sont, ou de quel instant : leur compte dira lesquelles."""
        for examen in self.examens.values():
            examen.insituables = True

    def _suivre_symboles(self, lot: pa.Table) -> None:
        if self.brut.entrelace or not lot.num_rows:
            return
        symboles = pa.concat_arrays([pa.array([self._dernier]), en_un_bloc(lot["symbole"])])
        self._dernier = symboles[-1].as_py()
        recul = lot.filter(pc.less(symboles[1:], symboles[:-1]))
        for cle, lignes in par_serie(recul, self.donnee):
            constats = [Constat("desordre", cle, i, None, "symbole en désordre") for i in instants_de(lignes)]
            self.rapport.noter(constats)

    def _relever_illisibles(self, saines: pa.Table, nombre: int) -> None:
        """Les lignes sans repère d'un lot de tant de lignes, et de la fin du précédent, entre leurs voisines saines."""
        rangs = [-1, *saines["rang"].to_pylist()]
        for rang, (avant, apres) in enumerate(itertools.pairwise(rangs)):
            manquent = apres - avant - 1 + (self._suspendues if avant < 0 else 0)
            if manquent:
                gauche = _place(saines, rang - 1, self.donnee) if rang else self._saine
                self._relever(manquent, gauche, _place(saines, rang, self.donnee))
        self._suspendues = nombre - 1 - rangs[-1] + (self._suspendues if rangs[-1] < 0 else 0)

    def _relever(self, nombre: int, gauche: Place | None, droite: Place | None) -> None:
        """Des lignes illisibles à la suite : d'événements, de l'une de leurs voisines à l'autre, rien n'est prouvé."""
        voisines = [place for place in (gauche, droite) if place is not None]
        (cle, instant) = voisines[0] if voisines else (None, None)
        constat = Constat("ligne_illisible", cle, instant, None, "ligne illisible, ou sans repère, à la suite")
        noter = self.examens[cle].noter if cle in self.examens else self.rapport.noter
        noter([constat], nombre)
        if self.donnee.a_une_grille:
            return
        if self.brut.entrelace or not voisines:
            self._egarer()
            return
        siennes = {place.cle for place in voisines}
        for sienne in siennes & self.examens.keys():
            debut = gauche.instant if gauche is not None and gauche.cle == sienne else 0
            fin = droite.instant if droite is not None and droite.cle == sienne else INSTANT_MAX_MS - 1
            self.examens[sienne].perdus.append((min(debut, fin), max(debut, fin) + 1))
            self.examens[sienne].situees += nombre if len(siennes) == 1 else 0  # au bord de deux, de laquelle ?

    def conclure(self) -> None:
        """Confronte les fiches aux lignes."""
        if self._suspendues:
            self._relever(self._suspendues, self._saine, None)
        en_attente = self.en_attente = self.brut.en_attente()
        if en_attente:
            phrase = "un journal de reprise attend : la couverture n'est pas contrôlée (relancez, ou --reparer)"
            self.rapport.avertissements.append(phrase)
        self._finie = True
        portees = {fiche.cle for fiche in self.brut.fiches}
        for cle, examen in self.examens.items():
            if cle not in portees:
                examen.fiche.couverts = unir(examen.presents, examen.perdus if self.donnee.a_une_grille else ())
            examen.conclure(en_attente=en_attente)

    def departager(self, lignes: pa.Table) -> pa.Table:
        """De toutes les lignes gardées, celles à qui croire : voir `Examen.departager`."""
        numerotees = lignes.append_column("rang", pa.array(range(lignes.num_rows), pa.int64()))
        rangs = [pa.array([], pa.int64())]
        for cle, siennes in par_serie(numerotees, self.donnee):
            rangs.append(en_un_bloc(siennes["rang"]).filter(self.examens[cle].departager(siennes)))
        tous = pa.concat_arrays(rangs)
        return lignes.take(tous.take(pc.sort_indices(tous)))

    def fiches(self) -> dict[CleSerie, Fiche]:
        """Les fiches, d'accord avec les lignes gardées ; d'événements, ce qui suivait une coupure est dit perdu."""
        if self.rapport.fautes[FICHE_ABIMEE]:
            return {cle: examen.sans_preuve() for cle, examen in self.examens.items()}
        coupee = {"ligne_coupee", "illisible"} & set(self.rapport.fautes)
        for examen in self.examens.values() if coupee and not self.donnee.a_une_grille else ():
            examen.perdus.append((examen.etat.derniere or 0, INSTANT_MAX_MS))
            if not self._finie:  # ce qui n'a pas été lu manque après ce qui l'a été
                examen.situees = examen.fiche.lignes or 0
        return {cle: examen.accordee(en_attente=self.en_attente) for cle, examen in self.examens.items()}


class Place(NamedTuple):
    """Où est une ligne : sa série, son instant."""

    cle: CleSerie
    instant: int


def _place(lignes: pa.Table, rang: int, donnee: TypeDonnee) -> Place:
    valeurs = {nom: lignes[nom][rang].as_py() for nom in donnee.serie}
    return Place(CleSerie(**valeurs), lignes["timestamp"][rang].value)


def controler(
    sortie: Sortie,
    rapport: Rapport,
    retenir: Callable[[pa.Table, pa.Array], object] = lambda *_: None,
    *,
    sauver: bool = False,
) -> Controle | None:
    """Le contrôle d'une sortie, au rapport ; `retenir` reçoit ses lots et les rangs à garder. None : rien à y lire.

    Ne la verrouille ni n'y écrit. `sauver` : voir `lecture_brute.brut`. PasLeNotre si ce n'en est pas une.
    """
    controle = None
    try:
        with brut(sortie, sauver=sauver) as telle_quelle:
            table = None if isinstance(sortie, SortieFichier) else sortie.table
            controle = Controle(telle_quelle, sortie.type_donnee, rapport, table)
            for lot in telle_quelle.lots:
                retenir(lot, controle.lire(lot))
            controle.conclure()
    except (PasLeNotre, SortieIllisible) as refus:
        if isinstance(refus, PasLeNotre) and not fiches_portees(sortie):
            raise
        nature = "colonnes" if isinstance(refus, PasLeNotre) else "illisible"
        rapport.noter([Constat(nature, None, None, None, str(refus))])
    return controle
