"""Contrôler une sortie, sans réseau ni rien écrire ; la remettre en état, et relire ce qui y manque.

Un `Controle` lit une sortie lot par lot, telle qu'elle est ; un `Examen` par série y applique les REGLES, puis
confronte la fiche aux lignes. Ajouter une règle sur les lignes : une fonction pure, et une ligne dans REGLES. Rien
ailleurs : rapport, réparation, bilan et tests partent du registre.
"""

from __future__ import annotations

import bisect
import collections
import contextlib
import dataclasses
import functools
import itertools
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from annexes_ccxt_fr import remise_en_ordre
from annexes_ccxt_fr.fichiers_etrangers import est_niveaux, est_nombre, est_texte, pas_le_notre
from annexes_ccxt_fr.parc import Parc
from annexes_ccxt_fr.pauses import Pauses
from annexes_ccxt_fr.progression import montrer
from annexes_ccxt_fr.remise_en_ordre import AVANCE_ADMISE_MS, FICHE_ABIMEE, Brut, possibles
from module_ccxt_fr_v2 import (
    AVANT_COTATION,
    CODE_FAUTES,
    CODE_PARTIEL,
    CODE_SUCCES,
    ECHEC,
    ECRIVAINS,
    HISTOIRES,
    HORS_LIGNE,
    INSTANT_MAX_MS,
    NOMS_DITS,
    OHLCV,
    RAISONS,
    RAISONS_PARTIELLES,
    SANDBOX,
    SANS_TRANSACTION,
    TYPES,
    VALEURS_OHLCV,
    Bilan,
    BilanSerie,
    CleSerie,
    Contexte,
    Copie,
    ErreurDemande,
    Execution,
    Fiche,
    FormatSqlite,
    Historique,
    Intervalle,
    Lot,
    OptionsExecution,
    PasLeNotre,
    Serie,
    Sortie,
    SortieFichier,
    SortieIllisible,
    SortieSqlite,
    Suivi,
    Tache,
    Trou,
    TypeDonnee,
    absentes,
    constante,
    croiser,
    decimal_lisible,
    dementis,
    en_iso,
    en_tuples,
    en_un_bloc,
    executer_async,
    fiche_de_rien,
    format_du_fichier,
    grille,
    instants_de,
    intervalles_de,
    journal,
    lecteur_de,
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
    import os
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    import pyarrow as pa
    import pyarrow.compute as pc
else:
    from module_ccxt_fr_v2 import pa, pc

CONSTATS_DITS = 20  # par nature
TROUS_PROCHES = 300  # en bougies : la plus courte des pages (coinbase) ; les relire à part coûterait plus
ILLISIBLES = {"illisible", "colonnes"}  # la sortie ne se répare pas en place
SANS_PERTE = {"doublon", "desordre"}  # les réparer n'ôte rien que d'autres lignes ne disent


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
    fautives: Callable[[pa.Table, pa.Array, Fiche], pa.Array]  # (lignes d'une série, leurs instants, sa fiche)
    otees: bool = True


def _impossibles(lignes: pa.Table, instants: pa.Array, fiche: Fiche) -> pa.Array:  # noqa: ARG001
    donnee = type_des_colonnes(lignes.schema.names) or OHLCV
    return pc.invert(possibles(lignes, fiche.cle.prix, donnee))


def _hors_grille(lignes: pa.Table, instants: pa.Array, fiche: Fiche) -> pa.Array:
    if not fiche.cle.a_une_grille:
        return pa.repeat(constante(False), len(instants))
    bornes = pc.if_else(_du_futur(lignes, instants, fiche), 0, instants)  # aucun calendrier ne va partout
    return pc.invert(en_un_bloc(sur_grille(pa.chunked_array([bornes]), grille(fiche))))


def _du_futur(lignes: pa.Table, instants: pa.Array, fiche: Fiche) -> pa.Array:  # noqa: ARG001
    return pc.or_(pc.less(instants, 0), pc.greater(instants, maintenant_ms() + AVANCE_ADMISE_MS))


def _dans_un_trou(lignes: pa.Table, instants: pa.Array, fiche: Fiche, *, raisons: Sequence[str]) -> pa.Array:  # noqa: ARG001
    """Les bougies de ces trous ; d'événements, un trou dit qu'il en manque, pas qu'il n'y en a aucun."""
    trous = [(t.debut, t.fin) for t in fiche.trous if t.raison in raisons]
    proches = trous[voisins(trous, *(i.as_py() for i in pc.min_max(instants).values()))]
    if not (proches and fiche.cle.a_une_grille):
        return pa.repeat(constante(False), len(instants))
    rangs = (bisect.bisect_right(proches, (instant, INSTANT_MAX_MS)) - 1 for instant in instants.to_pylist())
    fins = [proches[rang][1] if rang >= 0 else -1 for rang in rangs]
    return pc.less(instants, pa.array(fins, pa.int64()))


REGLES: Mapping[str, Regle] = {
    "impossible": Regle("ligne impossible : un de ses nombres ne peut être vrai", _impossibles),
    "hors_grille": Regle("ouverture hors de la grille", _hors_grille),
    "futur": Regle("horodatage du futur", _du_futur),
    "dans_un_vide": Regle(
        "bougie là où la fiche dit qu'il n'y en a pas eu",
        functools.partial(_dans_un_trou, raisons=(SANS_TRANSACTION, AVANT_COTATION)),
    ),
    "dans_un_trou": Regle("bougie dans un trou", functools.partial(_dans_un_trou, raisons=RAISONS_PARTIELLES), False),
}


def contradictions(fiche: Fiche) -> list[tuple[Intervalle, str]]:
    """Ce qu'une fiche dit de deux façons."""
    trous = [(t.debut, t.fin) for t in fiche.trous]
    partiels = [(t.debut, t.fin) for t in fiche.trous if t.raison in RAISONS_PARTIELLES]
    fautes = [(i, "couvert et trou à la fois") for i in croiser(fiche.couverts, partiels)]
    fautes += [((t.debut, t.fin), f"raison « {t.raison} » inconnue") for t in fiche.trous if t.raison not in RAISONS]
    for suite, quoi in ((fiche.couverts, "intervalles"), (trous, "trous")):
        fautes += [(intervalle, f"{quoi} à l'envers") for intervalle in suite if intervalle[0] >= intervalle[1]]
        fautes += [(b, f"{quoi} qui se recouvrent") for a, b in itertools.pairwise(suite) if a[1] > b[0]]
    return fautes


def accordee(fiche: Fiche, presents: Sequence[Intervalle], perdus: Sequence[Intervalle]) -> Fiche:
    """La fiche qui dit vrai de ces lignes : une présente sans preuve est crue, ce qui manque est un échec, à relire."""
    trous = [t._replace(raison=t.raison if t.raison in RAISONS else ECHEC) for t in fiche.trous if t.debut < t.fin]
    connus = unir(fiche.couverts, presents)

    def hors(intervalles: Iterable[Intervalle], *, partiels: bool) -> list[Trou]:
        gardes = [t for t in trous if (t.raison in RAISONS_PARTIELLES) == partiels]
        retires = unir(intervalles)
        return [Trou(*reste, t.raison) for t in gardes for reste in oter([(t.debut, t.fin)], retires)]

    faits = hors(unir(presents, perdus), partiels=False)
    expliques = unir(presents, ((t.debut, t.fin) for t in faits))
    absents = [i for i in oter(connus, expliques) if not fiche.cle.a_une_grille or grille(fiche).compter(*i)]
    manquent = unir(absents, croiser(perdus, unir(connus, ((t.debut, t.fin) for t in trous))))
    neuve = dataclasses.replace(fiche, couverts=[], trous=[])
    restes = hors(unir(connus, manquent), partiels=True)
    neuve.noter(oter(connus, manquent), [*faits, *(Trou(*manque, ECHEC) for manque in manquent), *restes])
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
    return bool(pa.types.is_large_list(lu) and est_niveaux(voulu) and lu.value_type == voulu.value_type)


class Examen:
    """Une série, contrôlée lot par lot, dans l'ordre du fichier."""

    def __init__(self, etat: EtatSerie, donnee: TypeDonnee, fiche: Fiche, rapport: Rapport) -> None:
        self.etat, self.donnee, self.fiche, self.rapport = etat, donnee, fiche, rapport
        self.presents: list[Intervalle] = []
        self.perdus: list[Intervalle] = []
        self._fins: dict[str, pa.Table] = {}
        self.illisibles = 0  # lignes de la série sans repère
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
        self._situer(instants)
        masques = {nature: regle.fautives(lignes, instants, self.fiche) for nature, regle in REGLES.items()}
        for nature, masque in masques.items():
            self._noter_masque(nature, REGLES[nature].phrase, instants, masque)
        self._debordent += _debordements(lignes) if self.donnee is OHLCV else 0
        otees = [masque for nature, masque in masques.items() if REGLES[nature].otees]
        fautives = functools.reduce(pc.or_, otees, self._suivre(lignes, instants))
        gardees = pc.invert(fautives)
        # Hors grille ou du futur, elle ne tient la place d'aucune : ce qui manque se voit par ailleurs.
        perdus = instants.filter(pc.and_not(fautives, pc.or_(masques["hors_grille"], masques["futur"])))
        if self.donnee.a_une_grille:
            self.presents += plages(instants.filter(gardees), grille(self.fiche))
            self.perdus += plages(perdus, grille(self.fiche))
        else:
            self.perdus += [(instant, instant + 1) for instant in perdus.to_pylist()]
        return gardees

    def _situer(self, instants: pa.Array) -> None:
        bornes = [i.as_py() for i in pc.min_max(instants).values()]
        self.etat.lignes += len(instants)
        self.etat.premiere = min(bornes[0], self.etat.premiere if self.etat.premiere is not None else bornes[0])
        self.etat.derniere = max(bornes[1], self.etat.derniere or 0)

    def _suivre(self, lignes: pa.Table, instants: pa.Array) -> pa.Array:
        """L'ordre et l'unicité, lot après lot ; rend le masque des bougies qui se contredisent."""
        reperes = lignes.select(self.donnee.reperes)
        avant = self._fins.get(reperes["symbole"][0].as_py(), reperes[:0])
        if prolonger(self._fins, reperes, self.donnee):
            return pa.repeat(constante(False), len(instants))
        masques = _ruptures(pa.concat_tables([avant, reperes]), self.donnee)
        doublons, reculs = (masque[len(avant) :] for masque in masques)
        self._noter_masque("doublon", "ligne en double", instants, doublons)
        self._noter_masque("desordre", "ligne en désordre", instants, reculs)
        return self._contredites(lignes, instants, instants.filter(doublons))

    def _contredites(self, lignes: pa.Table, instants: pa.Array, doubles: pa.Array) -> pa.Array:
        """Masque des bougies données deux fois, différentes : aucune n'est crue, comme dans une page (`cribler`)."""
        valeurs: dict[int, set[tuple[Any, ...]]] = {}
        if self.donnee.a_une_grille:
            concernees = lignes.filter(pc.is_in(instants, value_set=doubles))
            for instant, valeur in zip(instants_de(concernees), en_tuples(concernees, VALEURS_OHLCV), strict=True):
                valeurs.setdefault(instant, set()).add(valeur)
        contredits = [instant for instant, lues in valeurs.items() if len(lues) > 1]
        return pc.is_in(instants, value_set=pa.array(contredits, pa.int64()))

    def conclure(self, *, en_attente: bool) -> None:
        """Confronte la fiche à toutes les lignes ; un journal en attente en sait plus qu'elle."""
        fiche, manquent = self.fiche, list[Intervalle]()
        self._noter_intervalles("fiche", contradictions(fiche))
        phrase = "« avant_cotation », alors que des lignes sont plus anciennes"
        self._noter_intervalles("cotation", [((t.debut, t.fin), phrase) for t in dementis(fiche, self.etat.premiere)])
        if self._debordent:
            bougies = nombre_de(self._debordent, "bougie")
            phrase = f"{fiche.cle} : {bougies} dont l'ouverture ou la clôture sort de [low, high], telles que servies"
            self.rapport.avertissements.append(phrase)
        if self.donnee.a_une_grille and not en_attente:
            manquent = absentes(fiche, unir(self.presents, self.perdus))
            for nature, intervalles, phrase in (
                ("absente", manquent, "de moins que la fiche n'en couvre"),
                ("hors_intervalles", self._dehors(), "hors des intervalles couverts"),
            ):
                nombres = [(i, nombre_de(grille(fiche).compter(*i), "bougie")) for i in intervalles]
                self._noter_intervalles(nature, [(i, f"{nombre} {phrase}") for i, nombre in nombres])
        if (oublies := self._oublies()) and not en_attente:
            phrase = f"{nombre_de(oublies, 'ligne')} de moins que la fiche n'en compte"
            self.noter([Constat("absente", fiche.cle, None, None, phrase)], oublies)
            self.perdus += fiche.couverts  # rien ne dit où
        self.etat.trous.update(trou.raison for trou in fiche.trous)
        mesurer: Callable[[int, int], int] = grille(fiche).compter if fiche.cle.a_une_grille else lambda d, f: f - d
        tout = unir(fiche.couverts, ((t.debut, t.fin) for t in fiche.trous))
        etendue = [(tout[0][0], tout[-1][1])] if tout else []
        self.etat.non_couverts = [i for i in oter(etendue, tout) if mesurer(*i)]
        if total := mesurer(*etendue[0]) if tout else 0:
            prouve = sum(mesurer(*i) for i in oter(fiche.couverts, manquent))
            self.etat.couverture = 1_000_000 * prouve // total / 10_000  # jamais 100 s'il manque une bougie

    def _oublies(self) -> int:
        """Les événements que la fiche compte, et qui ne sont plus là."""
        return max(0, (self.fiche.lignes or 0) - self.etat.lignes - self.illisibles)

    def _dehors(self) -> list[Intervalle]:
        """Les lignes que rien ne prouve ; sauf la bougie courante, gardée sur demande, juste après le prouvé."""
        fiche = self.fiche
        connus = unir(fiche.couverts, ((t.debut, t.fin) for t in fiche.trous))
        fin = max([fin for _, fin in fiche.couverts], default=0)
        dehors, courante = oter(self.presents, connus), (fin, grille(fiche).avancer(fin, 1))
        return dehors[:-1] if dehors[-1:] == [courante] else dehors

    def accordee(self, *, en_attente: bool) -> Fiche:
        """La fiche, d'accord avec les lignes qui restent ; un fait qu'elles démentent est à relire."""
        fiche = self._accordee(en_attente=en_attente)
        for trou in dementis(fiche, self.etat.premiere):
            fiche.noter([], [trou._replace(raison=ECHEC)])
        return fiche

    def sans_preuve(self) -> Fiche:
        """La fiche d'une série dont rien ne dit plus ce qu'elle couvrait : tout ce qui est écrit est à relire."""
        etendue = [(i, (self.etat.derniere or i) + 1) for i in (self.etat.premiere,) if i is not None]
        couverts = unir(self.presents, self.perdus) if self.donnee.a_une_grille else etendue
        return accordee(dataclasses.replace(self.fiche, couverts=couverts), [], couverts)

    def _accordee(self, *, en_attente: bool) -> Fiche:
        if en_attente or not self.donnee.a_une_grille:
            return accordee(self.fiche, self.fiche.couverts, self.perdus)
        courante = oter(oter(self.presents, self._dehors()), self.fiche.couverts)
        return accordee(self.fiche, oter(self.presents, courante), self.perdus)


class Controle:
    """Une sortie, contrôlée lot par lot, en mémoire constante."""

    def __init__(self, brut: Brut, donnee: TypeDonnee, rapport: Rapport, table: str | None = None) -> None:
        self.brut, self.donnee, self.rapport, self.table = brut, donnee, rapport, table
        self.examens: dict[CleSerie, Examen] = {}
        self._famille: CleSerie | None = None
        self._dernier = ""  # le symbole de la dernière ligne
        self.en_attente = False
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
        self._famille = self._famille or cle._replace(symbole="")
        return self.examens.setdefault(cle, Examen(etat, self.donnee, fiche, self.rapport))

    def lire(self, lot: pa.Table) -> pa.Array:
        """Contrôle les lignes suivantes de la sortie ; rend les rangs de celles qui peuvent rester."""
        lot = lot.select(self.donnee.noms).append_column("rang", pa.array(range(lot.num_rows), pa.int64()))
        nulles = functools.reduce(pc.or_, (en_un_bloc(pc.is_null(lot[nom])) for nom in self.donnee.obligatoires))
        if pc.any(nulles).as_py():
            self._relever_illisibles(lot, nulles)
            lot = lot.filter(pc.invert(nulles))
        self._suivre_symboles(lot)
        gardees = [pa.array([], pa.int64())]
        for cle, lignes in par_serie(lot, self.donnee):
            if (examen := self._accueillir(cle, lignes)) is not None:
                rangs = en_un_bloc(lignes["rang"])
                gardees.append(rangs.filter(examen.lire(lignes.select(self.donnee.noms))))
        tous = pa.concat_arrays(gardees)
        return tous.take(pc.sort_indices(tous))

    def _accueillir(self, cle: CleSerie, lignes: pa.Table) -> Examen | None:
        """L'examen de la série ; None si ses lignes n'ont rien à faire là."""
        if cle in self.examens:
            return self.examens[cle]
        instants = en_un_bloc(lignes["timestamp"].cast(pa.int64()))
        try:
            fiche, famille = fiche_de_rien(cle, instants), cle._replace(symbole="")
            # Une fiche qui connaît ses séries et pas celle-là : ni l'exécution ni une reprise ne l'ont écrite.
            inconnue = bool(self.brut.fiches) and not self.brut.en_attente()
            intruse = inconnue or (self.brut.famille_unique and famille != (self._famille or famille))
        except (ValueError, OverflowError):
            intruse = True
        if intruse:
            phrase = "ligne d'une série que la fiche ne connaît pas"
            constats = [Constat("autre_serie", cle, i, None, phrase) for i in instants.to_pylist()]
            self.rapport.noter(constats)
            return None
        self.rapport.avertissements.append(f"{cle} : fiche absente ; ce qu'elle devrait couvrir n'est pas connu")
        return self._examen(cle, fiche)

    def _suivre_symboles(self, lot: pa.Table) -> None:
        if self.brut.entrelace or not lot.num_rows:
            return
        symboles = pa.concat_arrays([pa.array([self._dernier]), en_un_bloc(lot["symbole"])])
        self._dernier = symboles[-1].as_py()
        recul = lot.filter(pc.less(symboles[1:], symboles[:-1]))
        for cle, lignes in par_serie(recul, self.donnee):
            constats = [Constat("desordre", cle, i, None, "symbole en désordre") for i in instants_de(lignes)]
            self.rapport.noter(constats)

    def _relever_illisibles(self, lot: pa.Table, nulles: pa.Array) -> None:
        """Les lignes sans repère : de la série, et d'entre les instants, de leurs voisines."""
        champs = [*self.donnee.serie, "timestamp"]
        colonnes = {nom: lot[nom] if nom != "timestamp" else lot[nom].cast(pa.int64()) for nom in champs}
        avant = pa.table({nom: pc.fill_null_forward(colonne) for nom, colonne in colonnes.items()})
        apres = pa.table({nom: pc.fill_null_backward(colonne) for nom, colonne in colonnes.items()})
        for gauche, droite in zip(avant.filter(nulles).to_pylist(), apres.filter(nulles).to_pylist(), strict=True):
            debut, fin = (ligne.pop("timestamp") for ligne in (gauche, droite))
            voisine = {nom: valeur or droite[nom] for nom, valeur in gauche.items()}
            cle = CleSerie(**voisine) if all(voisine.values()) else None
            debut = fin if debut is None else debut
            constats = [Constat("ligne_illisible", cle, debut, None, "ligne illisible, ou sans repère, à la suite")]
            if cle not in self.examens or debut is None:
                self.rapport.noter(constats)
                continue
            self.examens[cle].noter(constats)
            self.examens[cle].illisibles += 1
            if not self.donnee.a_une_grille:
                self.examens[cle].perdus.append((debut, max(debut, fin or 0) + 1))

    def conclure(self) -> None:
        """Confronte les fiches aux lignes."""
        en_attente = self.en_attente = self.brut.en_attente()
        if en_attente:
            phrase = "un journal de reprise attend : la couverture n'est pas contrôlée (relancez, ou --reparer)"
            self.rapport.avertissements.append(phrase)
        connues = {fiche.cle for fiche in self.brut.fiches}
        for cle, examen in self.examens.items():
            if cle not in connues:
                examen.fiche.couverts = unir(examen.presents, examen.perdus if self.donnee.a_une_grille else ())
            examen.conclure(en_attente=en_attente)

    def fiches(self) -> dict[CleSerie, Fiche]:
        """Les fiches, d'accord avec les lignes gardées ; d'événements, ce qui suivait une coupure est dit perdu."""
        if self.rapport.fautes[FICHE_ABIMEE]:
            return {cle: examen.sans_preuve() for cle, examen in self.examens.items()}
        coupee = {"ligne_coupee", "illisible"} & set(self.rapport.fautes)
        for examen in self.examens.values() if coupee and not self.donnee.a_une_grille else ():
            examen.perdus.append((examen.etat.derniere or 0, INSTANT_MAX_MS))
        return {cle: examen.accordee(en_attente=self.en_attente) for cle, examen in self.examens.items()}


def lecteurs(chemin: Path, table: str | None = None) -> list[Sortie]:
    """Un lecteur par table de données d'une base, un seul d'un fichier ; ErreurDemande s'il n'y a rien à lire."""
    if not chemin.is_file():
        quoi = "n'est pas un fichier" if chemin.exists() else "n'existe pas"
        raise ErreurDemande(f"« {chemin} » {quoi} : rien à vérifier", "Vérifiez le chemin de la sortie.")
    decrit = ECRIVAINS[format_du_fichier(chemin)]
    tables: list[str | None] = [table]
    if table is None and isinstance(decrit, FormatSqlite):
        tables = [OHLCV.nom]
        with contextlib.suppress(SortieIllisible):  # le contrôle le dira
            tables = list(decrit(chemin).tables(abimees=True))
        if not tables:
            raise pas_le_notre(decrit, chemin, OHLCV, "une base sans table de données")
    return [_lecteur(chemin, nom) for nom in tables]


def _lecteur(chemin: Path, table: str | None) -> Sortie:
    """Celui du type qui se reconnaît dans la sortie ; si elle est illisible, de celui que dit sa fiche."""
    lecteur = lecteur_de(chemin, table)
    if isinstance(lecteur, SortieFichier) and not lecteur.est_le_sien():
        with contextlib.suppress(SortieIllisible):
            dit = TYPES.get(str((lecteur.feuille.lire() or {}).get("type")))
            return lecteur.codec(chemin, type_donnee=dit) if dit else lecteur
    return lecteur


def controler_sortie(chemin: Path, table: str | None = None) -> Rapport:
    """Contrôle une sortie sans y écrire ni la verrouiller ; ErreurDemande si ce n'en est pas une."""
    a_lire = lecteurs(chemin, table)
    rapport = Rapport(chemin, a_lire[0].format)
    for lecteur in a_lire:
        _controler(lecteur, rapport)
    return rapport


def _controler(
    ecrivain: Sortie,
    rapport: Rapport,
    retenir: Callable[[pa.Table, pa.Array], object] = lambda *_: None,
    *,
    sauver: bool = False,
) -> Controle | None:
    """Le contrôle d'une sortie, au rapport ; `retenir` reçoit ses lots et les rangs à garder. None : rien à y lire.

    `sauver` : voir `remise_en_ordre.brut`.
    """
    controle = None
    try:
        with remise_en_ordre.brut(ecrivain, sauver=sauver) as brut:
            controle = Controle(brut, ecrivain.type_donnee, rapport, None if brut.famille_unique else ecrivain.table)
            for lot in brut.lots:
                retenir(lot, controle.lire(lot))
            controle.conclure()
    except (PasLeNotre, SortieIllisible) as refus:
        if isinstance(refus, PasLeNotre) and not remise_en_ordre.fiches_portees(ecrivain):
            raise
        nature = "colonnes" if isinstance(refus, PasLeNotre) else "illisible"
        rapport.noter([Constat(nature, None, None, None, str(refus))])
    return controle


def assainir_sortie(chemin: Path, table: str | None = None) -> bool:
    """Remet une sortie en état sans réseau ; ce qui manque devient un trou `echec`. Rend vrai si elle a changé.

    Illisible, elle est mise de côté, et refaite de ce qui s'en lit ; ErreurDemande si sa fiche ne se lit pas.
    """
    a_lire = lecteurs(chemin, table)
    rapport, en_attente = Rapport(chemin, a_lire[0].format), False
    with a_lire[0].tenue(), contextlib.ExitStack() as pile:
        for lecteur in a_lire:
            pile.callback(lecteur.fermer)
            controle = _controler(lecteur, sien := Rapport(chemin, lecteur.format))
            en_attente = en_attente or (controle is not None and controle.en_attente)
            rapport.fautes += sien.fautes
            if sien.fautes and not sien.fautes.keys() & ILLISIBLES:
                remise_en_ordre.remplacer(lecteur, *_retenir(lecteur))
                if isinstance(lecteur, SortieFichier) and sien.fautes.keys() - SANS_PERTE:
                    lecteur.ampute = True
                    lecteur.rejouer_journal()
        if rapport.fautes.keys() & ILLISIBLES:
            voisins = lecteurs(chemin) if isinstance(a_lire[0], SortieSqlite) else []  # elle est mise de côté entière
            tables = {lecteur.table.lower(): lecteur for lecteur in (*voisins, *a_lire)}
            for lecteur in voisins:
                pile.callback(lecteur.fermer)
            _refaire(list(tables.values()))
    if rapport.fautes:
        natures = ", ".join(f"{nombre} {nature}" for nature, nombre in rapport.fautes.items())
        journal.info("« %s » : réparé sans réseau (%s).", chemin, natures)
    if en_attente:
        with lecteur_de(chemin, table) as ecrivain:  # fond le journal
            ecrivain.finir()
        assainir_sortie(chemin, table)
    return en_attente or bool(rapport.fautes)


def _retenir(lecteur: Sortie) -> tuple[list[pa.Table], dict[CleSerie, Fiche]]:
    """Ce qui se lit encore d'une sortie, à garder, et les fiches d'accord avec cela ; ErreurDemande s'il n'y a rien."""
    retenus: list[pa.Table] = []
    fiches = {fiche.cle: accordee(fiche, [], fiche.couverts) for fiche in remise_en_ordre.fiches_portees(lecteur)}
    rapport = Rapport(lecteur.chemin, lecteur.format)
    controle = _controler(lecteur, rapport, lambda lot, gardees: retenus.append(lot.take(gardees)), sauver=True)
    if controle is None and not fiches:
        raise ErreurDemande(
            f"{rapport.constats[0].phrase} : rien ne dit ce que « {lecteur.chemin.name} » tenait",
            "Déplacez-le, puis relancez la commande qui l'a produit : elle redemandera tout.",
        )
    return retenus, controle.fiches() if controle is not None else fiches


def _refaire(a_lire: Sequence[Sortie]) -> None:
    """Met de côté une sortie illisible, et la refait de ce qui s'en lit encore : le reste est à relire."""
    sauves = [(lecteur, *_retenir(lecteur)) for lecteur in a_lire]
    if a_lire[0].chemin.exists():
        a_lire[0].ecarter()
    for lecteur, retenus, fiches in sauves:
        donnee = lecteur.type_donnee
        if isinstance(lecteur, SortieFichier):
            lecteur.rejouer_journal()  # sans le fichier : il ne prouve alors que les lignes qu'il porte
            for recue in lecteur.fiches.values():
                _completer(fiches.setdefault(recue.cle, recue), recue, donnee)
            for fiche in fiches.values():  # ce qui sera relu à l'API en viendra
                fiche.sources = [
                    provenance._replace(debut=debut, fin=fin)
                    for provenance in fiche.sources
                    for debut, fin in croiser([provenance[:2]], fiche.couverts)
                ]
            remise_en_ordre.remplacer(lecteur, [*retenus, *lecteur.tableau.lots()], fiches)
            continue
        lignes = pa.concat_tables([donnee.schema.empty_table(), *retenus])
        par_cle = dict(par_serie(lignes, donnee))
        for cle, fiche in fiches.items():
            for lot in _par_source(fiche, par_cle.get(cle, lignes[:0])):
                lecteur.ecrire(lot, fiche)
        lecteur.finir()


def _completer(fiche: Fiche, recue: Fiche, donnee: TypeDonnee) -> None:
    """Ajoute à une fiche ce qu'un journal prouve de plus ; ce qu'il n'a pas, les lignes gardées l'ont peut-être."""
    echecs = oter(intervalles_de(recue.trous, ECHEC), fiche.couverts)
    trous = [*(trou for trou in recue.trous if trou.raison != ECHEC), *(Trou(*echec, ECHEC) for echec in echecs)]
    for lot in _par_source(dataclasses.replace(recue, trous=trous), donnee.schema.empty_table()):
        fiche.noter(lot.couverts, lot.trous, lot.source)


def _par_source(fiche: Fiche, lignes: pa.Table) -> Iterator[Lot]:
    """Les lignes d'une série et ce qu'elles prouvent : un lot par provenance, celui de l'API en dernier."""
    instants = pa.array(instants_de(lignes), pa.int64())
    ailleurs = pa.array([False] * len(instants), pa.bool_())
    for debut, fin, source in fiche.sources:
        dedans = pc.and_(pc.greater_equal(instants, debut), pc.less(instants, fin))
        ailleurs = pc.or_(ailleurs, dedans)
        yield Lot(fiche.cle, lignes.filter(dedans), croiser(fiche.couverts, [(debut, fin)]), [], source)
    reste = oter(fiche.couverts, (provenance[:2] for provenance in fiche.sources))
    yield Lot(fiche.cle, lignes.filter(pc.invert(ailleurs)), reste, fiche.trous)


def dire_rapport(rapport: Rapport) -> list[str]:
    """Les fautes, celles d'une même nature à la suite ; puis ce qu'on sait de chaque série."""
    dites = collections.Counter(constat.nature for constat in rapport.constats)
    lignes = []
    for nature, nombre in rapport.fautes.items():
        lignes += [str(constat) for constat in rapport.constats if constat.nature == nature]
        if nombre > dites[nature]:
            lignes.append(f"… et {nombre - dites[nature]} de plus, de nature « {nature} »")
    return [*lignes, *(_dire_etat(etat) for etat in rapport.series)]


def _dire_etat(etat: EtatSerie) -> str:
    nom = f"{etat.cle}{f' [{etat.table}]' if etat.table else ''}"
    intervalle = " à ".join(filter(None, map(instant_lisible, (etat.premiere, etat.derniere))))
    trous = ", ".join(f"{nombre} {raison}" for raison, nombre in sorted(etat.trous.items()))
    morceaux = [nombre_de(etat.lignes, "ligne"), *([f"de {intervalle}"] if intervalle else [])]
    if etat.couverture is not None:
        morceaux.append(decimal_lisible(f"couverture {etat.couverture:g} %"))
    morceaux.append(f"trous : {trous}" if trous else "aucun trou")
    if etat.non_couverts:
        dits = [" à ".join(map(instant_lisible, intervalle)) for intervalle in etat.non_couverts[:NOMS_DITS]]
        reste = len(etat.non_couverts) - len(dits)
        morceaux.append(f"jamais lu : de {', de '.join(dits)}{f' et {reste} autres intervalles' if reste else ''}")
    morceaux.append(nombre_de(etat.fautes.total(), "faute") if etat.fautes else "aucune faute")
    return f"{nom} : {', '.join(morceaux)}"


class Reparation(Execution):
    """Ne demande que `a_relire` : des faits aussi, que rien d'autre ne redemande."""

    def __init__(self, *branchements: Any, a_relire: Mapping[CleSerie, Sequence[Intervalle]]) -> None:
        super().__init__(*branchements)
        self.a_relire = a_relire

    async def preparer(self, serie: Serie, bilan: BilanSerie) -> Copie:
        copie = await super().preparer(serie, bilan)
        permis = [copie.source.demande] if isinstance(copie.source, Historique) else copie.intervalles
        copie.intervalles = croiser(permis, self.a_relire.get(serie.cle, ()))
        return copie


async def reparer_async(chemin: Path, tache: Tache, bilan: Bilan, suivi: Suivi, contexte: Contexte) -> Rapport:
    """Remet une sortie en état, relit par le chemin de toujours ce qui y manque, et rend ce que le contrôle en dit."""
    bilan.modifie = assainir_sortie(chemin, tache.sqlite_table)
    for lecteur in lecteurs(chemin, tache.sqlite_table):
        for relecture, a_relire in _relectures(lecteur, tache):
            ce_qui_manque = contexte._replace(execution=functools.partial(Reparation, a_relire=a_relire))
            try:
                lu = await executer_async(relecture, suivi=suivi, contexte=ce_qui_manque)
            except ErreurDemande as refus:  # symbole retiré, exchange qui ne sert plus ce timeframe : le trou reste
                journal.error("%s", refus.complet())
                continue
            bilan.series += lu.series
            bilan.modifie, bilan.octets = bilan.modifie or lu.modifie, lu.octets
            bilan.requetes, bilan.essais = bilan.requetes + lu.requetes, bilan.essais + lu.essais
            lignes, requetes = nombre_de(lu.total("lignes_nouvelles"), "ligne"), nombre_de(lu.requetes, "requête")
            journal.info("« %s » : %s de plus, en %s.", chemin, lignes, requetes)
    return controler_sortie(chemin, tache.sqlite_table)


def a_redemander(fiche: Fiche) -> list[Intervalle]:
    """Ce qu'une réparation redemande : de bougies, tous les trous, car un fait peut se démentir ; sinon, les échecs.

    Des trous qu'une page sépare à peine se relisent ensemble, avec les lignes d'entre eux.
    """
    if not fiche.cle.prix:
        return [(t.debut, t.fin) for t in fiche.trous if t.raison == ECHEC]
    reunis: list[Intervalle] = []
    for trou in fiche.trous:
        proche = reunis and trou.debut - reunis[-1][1] <= TROUS_PROCHES * grille(fiche).pas_ms
        debut = reunis.pop()[0] if proche else trou.debut
        reunis.append((debut, trou.fin))
    return reunis


def _relectures(lecteur: Sortie, tache: Tache) -> Iterator[tuple[Tache, dict[CleSerie, list[Intervalle]]]]:
    """Les trous d'une sortie qu'un historique sait relire, en autant de tâches qu'elle a de familles."""
    par_famille: dict[tuple[str, ...], dict[CleSerie, list[Intervalle]]] = {}
    donnee = lecteur.type_donnee.nom
    for fiche in remise_en_ordre.fiches_portees(lecteur) if donnee in HISTOIRES else ():
        if trous := a_redemander(fiche):
            famille = (fiche.origine, fiche.cle.exchange, fiche.type_marche, fiche.cle.timeframe, fiche.cle.prix)
            par_famille.setdefault(famille, {})[fiche.cle] = trous
    for (origine, exchange, type_marche, timeframe, prix), a_relire in par_famille.items():
        tache = dataclasses.replace(
            tache, hors_ligne=tache.hors_ligne or origine == HORS_LIGNE, sandbox=tache.sandbox or origine == SANDBOX
        )
        bornes = [borne for intervalles in a_relire.values() for intervalle in intervalles for borne in intervalle]
        yield dataclasses.replace(
            tache, exchange=exchange, type_marche=type_marche, sous_type=None, symbole=None,
            symbols=tuple(cle.symbole for cle in a_relire), donnee=donnee, relecture=0,
            timeframe=timeframe or tache.timeframe, prix_ohlcv=prix or "last", stream=None, trades_vers_ohlcv=False,
            date_debut=min(bornes), date_fin=max(bornes),
            sortie=lecteur.chemin, format=lecteur.format, sqlite_table=lecteur.table,
        ), a_relire  # fmt: skip


def verifier(chemin: str | os.PathLike[str], *, table: str | None = None) -> Rapport:
    """Contrôle une sortie, sans réseau, sans écrire, sans verrou : `rapport.code` vaut 4 s'il y a des fautes.

    `table` : celle d'une base SQLite, d'office toutes. Lève ErreurDemande si ce n'est pas une de nos sorties.
    """
    return controler_sortie(Path(chemin), table)


async def commande_verifier(tache: Tache, execution: OptionsExecution, bilan: Bilan) -> list[str]:
    """Les lignes de `--verifier` ; le code va au bilan."""
    chemin = execution.verifier or Path()
    bilan.sortie = chemin
    if not execution.reparer:
        rapport = controler_sortie(chemin, tache.sqlite_table)
        bilan.code = rapport.code
    else:
        with montrer() as progression:
            async with Parc(Pauses(chemin.parent)) as parc:
                rapport = await reparer_async(chemin, tache, bilan, progression, Contexte(ouvrir=parc.ouvrir))
        partiels = any(etat.trous[raison] for etat in rapport.series for raison in RAISONS_PARTIELLES)
        bilan.code = rapport.code or (CODE_PARTIEL if partiels else CODE_SUCCES)
    bilan.format, bilan.verification = rapport.format, rapport
    bilan.exchange = rapport.series[0].cle.exchange if rapport.series else bilan.exchange
    for avertissement in rapport.avertissements:
        journal.warning("%s", avertissement)
    return dire_rapport(rapport)
