"""Une page à regarder : bougies, trous et leur raison, couverture, coût de l'exécution.

Un seul fichier HTML, qui ne demande rien au réseau. Les graphiques viennent de plotly, dont la page emporte le script ;
sans lui, elle n'a que ses tableaux, et le dit. Ce qui ne tient pas à l'écran est résumé, et c'est écrit à côté.
"""

from __future__ import annotations

import collections
import html
import itertools
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

import module_ccxt_fr_v2 as collecte
from annexes_ccxt_fr.controle import instant_lisible
from annexes_ccxt_fr.lecture_brute import lecteurs
from annexes_ccxt_fr.menage import publier
from annexes_ccxt_fr.place import taille_lisible

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from module_ccxt_fr_v2 import Bilan, CleSerie, Fiche, Intervalle, Sortie

# Un navigateur se fige au-delà de quelques dizaines de milliers de formes, et une page de dix Mo ne s'envoie plus.
POINTS_PAGE = 60_000
POINTS_SERIE = 3_000
POINTS_SERIE_MIN = 60
POINTS_FIN = 400  # les dernières lignes, telles quelles, à côté du résumé
CASES = 120  # de la frise de couverture
TROUS_TRACES = 300  # par série, les plus longs
FAUTES_DITES = 200

# D'une ligne à une bougie : (open, high, low, close, volume). Ajouter un type : une ligne ; sans elle, il n'a pas de
# tracé, seulement sa couverture (un carnet n'a pas un prix, mais deux cents).
COLONNES: Mapping[str, tuple[str, str, str, str, str | None]] = {
    "ohlcv": ("open", "high", "low", "close", "volume"),
    "trades": ("price", "price", "price", "price", "amount"),
    "ticker": ("last", "last", "last", "last", None),
    "funding": ("funding_rate", "funding_rate", "funding_rate", "funding_rate", None),
    "open_interest": ("amount", "amount", "amount", "amount", None),
}
EN_LIGNE = frozenset({"ticker", "funding", "open_interest"})  # une valeur à la fois : une courbe, non des bougies
RESUMES = (("open", "first"), ("high", "max"), ("low", "min"), ("close", "last"), ("volume", "sum"))
CHAMPS = [nom for nom, _ in RESUMES]

MINUTE, HEURE, JOUR = collecte.MINUTE_MS, 60 * collecte.MINUTE_MS, 1440 * collecte.MINUTE_MS
# Chaque pas est un multiple des précédents : résumer un résumé rend ce que rendrait le résumé des lignes.
PAS_RONDS = (1000, 5000, 15_000, MINUTE, 5 * MINUTE, 15 * MINUTE, HEURE, 4 * HEURE, 8 * HEURE, JOUR,
             7 * JOUR, 28 * JOUR, 364 * JOUR, 3640 * JOUR)  # fmt: skip

ECRIT, INCONNU = "ecrit", "inconnu"
ETATS_CASE = (ECRIT, *collecte.RAISONS, INCONNU)
COULEURS = {
    ECRIT: "#2b7a4b",
    collecte.SANS_TRANSACTION: "#9bb8d3",
    collecte.AVANT_COTATION: "#c9c9c9",
    collecte.HORS_FENETRE_API: "#e0a030",
    collecte.ECHEC: "#c0392b",
    INCONNU: "#eeeeee",
}
SENS = {
    ECRIT: "écrit",
    collecte.SANS_TRANSACTION: "aucune transaction, prouvé",
    collecte.AVANT_COTATION: "avant la cotation, prouvé",
    collecte.HORS_FENETRE_API: "hors de ce que l'exchange sert",
    collecte.ECHEC: "échec, sera redemandé",
    INCONNU: "rien n'en est su",
}


# Une exécution à montrer : le nom de sa tâche (vide hors d'un lot), et son bilan.
Execution: TypeAlias = "tuple[str, Bilan]"


# --- Résumer une série ---


class Resume:
    """Les lignes d'une série en au plus `maximum` bougies, sans jamais les tenir toutes."""

    def __init__(self, pas_ms: int, maximum: int) -> None:
        self.pas_ms, self._maximum = pas_ms, maximum
        self._parties: list[pa.Table] = []
        self.fin: pa.Table | None = None

    def ajouter(self, bougies: pa.Table) -> None:
        """La suite des lignes, aux colonnes `timestamp` (ms) et CHAMPS."""
        garde = min(POINTS_FIN, self._maximum)
        avant = self.fin.slice(max(0, self.fin.num_rows - garde)) if self.fin is not None else bougies.slice(0, 0)
        tout = pa.concat_tables([avant, bougies])
        self.fin = tout.slice(max(0, tout.num_rows - garde)).combine_chunks()
        self._parties.append(_grouper(bougies, self.pas_ms))
        if sum(partie.num_rows for partie in self._parties) > 2 * self._maximum:
            self._parties = [self.table()]

    def table(self) -> pa.Table:
        """Le résumé, au pas `pas_ms` ; ce pas grandit jusqu'à ce qu'il tienne."""
        resume = _grouper(pa.concat_tables(self._parties), self.pas_ms)
        while resume.num_rows > self._maximum:
            self.pas_ms = next((p for p in PAS_RONDS if p > self.pas_ms and not p % self.pas_ms), 2 * self.pas_ms)
            resume = _grouper(resume, self.pas_ms)
        return resume


def _grouper(bougies: pa.Table, pas_ms: int) -> pa.Table:
    """Une bougie par intervalle de `pas_ms` ; l'ordre des lignes dit la première et la dernière.

    pyarrow suit l'ordre des lignes à l'intérieur d'un groupe, mais rend les groupes dans le désordre.
    """
    seaux = pc.multiply(pc.divide(bougies.column("timestamp"), pas_ms), pas_ms)
    groupes = bougies.set_column(0, "timestamp", seaux).group_by("timestamp", use_threads=False)
    resume = groupes.aggregate(list(RESUMES))
    colonnes = ["timestamp", *(f"{nom}_{quoi}" for nom, quoi in RESUMES)]
    return resume.select(colonnes).rename_columns(["timestamp", *CHAMPS]).sort_by("timestamp")


def en_bougies(lignes: pa.Table, type_donnee: str) -> pa.Table:
    """Les lignes d'un type, aux colonnes `timestamp` (ms) et CHAMPS ; celles sans valeur sont ôtées."""
    vide = pa.nulls(lignes.num_rows, pa.float64())
    colonnes = [lignes.column(nom).cast(pa.float64()) if nom else vide for nom in COLONNES[type_donnee]]
    # D'un fichier qu'on contrôle parce qu'il est fautif : un nombre qui n'en est pas un ne se trace pas.
    colonnes = [pc.if_else(pc.is_finite(colonne), colonne, vide) for colonne in colonnes]
    instants = lignes.column("timestamp").cast(pa.int64())
    table = pa.table([instants, *colonnes], names=["timestamp", *CHAMPS])
    return table.filter(pc.is_valid(table.column("close")))


# --- Une série à montrer ---


@dataclass
class Vue:
    """Ce que la page montre d'une série."""

    fiche: Fiche
    type_donnee: str
    sortie: Path
    table: str | None
    resume: Resume | None
    lignes: int = 0
    premiere: int | None = None
    derniere: int | None = None
    message: str = ""
    constatee: float | None = None  # la couverture qu'un contrôle a trouvée
    precision: str = ""  # ce qui la distingue d'une autre de même nom
    cases: list[int | None] = field(default_factory=list)  # couverture, en ‰, sur l'axe commun ; None : rien n'est su

    def lire(self, lignes: pa.Table) -> None:
        """Des lignes de plus, dans l'ordre du fichier."""
        if not lignes.num_rows:
            return
        instants = lignes.column("timestamp").cast(pa.int64())
        bornes = pc.min_max(instants).as_py()
        self.lignes += lignes.num_rows
        self.premiere = bornes["min"] if self.premiere is None else min(self.premiere, bornes["min"])
        self.derniere = bornes["max"] if self.derniere is None else max(self.derniere, bornes["max"])
        if self.resume is not None:
            self.resume.ajouter(en_bougies(lignes, self.type_donnee))

    @property
    def nom(self) -> str:
        """La série, et sa table quand la base en a plusieurs."""
        nom = str(self.fiche.cle) if self.fiche.cle.timeframe else f"{self.fiche.cle}, {self.type_donnee}"
        return f"{nom} [{self.precision}]" if self.precision else nom

    @property
    def connu(self) -> list[Intervalle]:
        """Ce dont la fiche dit quelque chose."""
        return self.fiche.expliques()

    @property
    def couverture(self) -> float | None:
        """La part de ce que la fiche connaît qui est prouvée, en % ; None si elle ne connaît rien.

        Un contrôle en sait plus que la fiche : une ligne ôtée à la main y manque.
        """
        if self.constatee is not None:
            return self.constatee
        total = _duree(self.connu)
        return 100 * _duree(self.fiche.couverts) / total if total else None

    @property
    def trous(self) -> collections.Counter[str]:
        """Le nombre de trous de chaque raison."""
        return collections.Counter(trou.raison for trou in self.fiche.lacunes())

    def par_etat(self) -> dict[str, list[Intervalle]]:
        """Les intervalles de chaque état, disjoints."""
        trous = {raison: collecte.intervalles_de(self.fiche.lacunes(), raison) for raison in collecte.RAISONS}
        ecrit = collecte.oter(self.fiche.couverts, collecte.unir(*trous.values()))
        return {ECRIT: ecrit, **trous}


def _duree(intervalles: Iterable[Intervalle]) -> int:
    return sum(fin - debut for debut, fin in intervalles)


def repartir(intervalles: Iterable[Intervalle], debut: int, pas: float, nombre: int) -> list[float]:
    """La part de chaque case de `pas` ms, depuis `debut`, que ces intervalles disjoints occupent (0 à 1)."""
    parts = [0.0] * nombre
    for ouverture, fermeture in intervalles:
        gauche, droite = (ouverture - debut) / pas, (fermeture - debut) / pas
        for rang in range(max(0, int(gauche)), min(nombre, int(droite) + 1)):
            parts[rang] += max(0.0, min(droite, rang + 1) - max(gauche, rang))
    return parts


def recueillir(executions: Sequence[Execution], table: str | None) -> tuple[list[Vue], list[str]]:
    """Les séries de ces exécutions, lues sur le disque ; et ce qui n'a pu l'être."""
    vues: list[Vue] = []
    refus: list[str] = []
    voulues: dict[Path, set[CleSerie] | None] = {}
    for _, bilan in executions:
        if bilan.sortie is None or not bilan.sortie.is_file():
            continue
        siennes = {serie.cle for serie in bilan.series if serie.cle is not None}
        deja = voulues.get(bilan.sortie, set())
        # Un contrôle porte sur toute la sortie ; une exécution, sur ses séries.
        voulues[bilan.sortie] = None if bilan.verification is not None or deja is None else deja | siennes
    for sortie, cles in voulues.items():
        try:
            lues = lecteurs(sortie, table)
            choisies = [[f for f in lecteur.lire_fiches() if cles is None or f.cle in cles] for lecteur in lues]
            points = POINTS_PAGE // max(1, sum(map(len, choisies)) * len(voulues))
            points = max(POINTS_SERIE_MIN, min(POINTS_SERIE, points))
            for lecteur, fiches in zip(lues, choisies, strict=True):
                vues += _lire(lecteur, fiches, lecteur.table if len(lues) > 1 else None, points)
        except collecte.ErreurCollecte as erreur:
            refus.append(f"{sortie} : {erreur.complet()}")
    _joindre(vues, executions)
    _distinguer(vues)
    return vues, refus


def _lire(lecteur: Sortie, fiches: Iterable[Fiche], table: str | None, points: int) -> Iterable[Vue]:
    """Les vues d'une sortie, lue une fois, lot par lot ; `points` : les bougies que la page peut montrer de chacune."""
    donnee = lecteur.type_donnee
    vues = {}
    for fiche in fiches:
        resume = Resume(_pas_de(fiche), points) if donnee.nom in COLONNES else None
        vues[fiche.cle] = Vue(fiche, donnee.nom, lecteur.chemin, table, resume)
    for lot in lecteur.lire_tout() if vues else ():
        for cle, lignes in collecte.par_serie(lot, donnee):
            if cle in vues:
                vues[cle].lire(lignes)
    return vues.values()


def _pas_de(fiche: Fiche) -> int:
    """Le pas des lignes d'une série ; d'événements, une seconde ; de mois, un jour : aucun n'en a deux le même."""
    if not fiche.cle.timeframe:
        return 1000
    grille = collecte.timeframe_de(fiche.cle.exchange, fiche.cle.timeframe)
    return JOUR if grille.mois else grille.pas_ms


def _joindre(vues: Iterable[Vue], executions: Sequence[Execution]) -> None:
    """Ce que l'exécution a dit de chaque série."""
    dites = {
        (bilan.sortie, serie.cle): serie for _, bilan in executions for serie in bilan.series if serie.cle is not None
    }
    constatees = {
        (bilan.sortie, etat.cle, etat.table): etat.couverture
        for _, bilan in executions for etat in (bilan.verification.series if bilan.verification else ())
    }  # fmt: skip
    for vue in vues:
        vue.constatee = constatees.get((vue.sortie, vue.fiche.cle, vue.table))
        if serie := dites.get((vue.sortie, vue.fiche.cle)):
            vue.message = serie.message


def _distinguer(vues: Iterable[Vue]) -> None:
    """Deux séries de même nom, de deux fichiers ou de deux tables, en portent le nom."""
    noms = collections.Counter(vue.nom for vue in vues)
    for vue in [vue for vue in vues if noms[vue.nom] > 1]:
        vue.precision = vue.table or vue.sortie.name


# --- Les données de la page ---


def axe_commun(vues: Sequence[Vue]) -> tuple[int, float]:
    """Le début de l'axe de la carte, et la durée d'une case ; (0, 1) si rien n'est su d'aucune série."""
    bornes = [borne for vue in vues for intervalle in vue.connu for borne in intervalle]
    if not bornes:
        return 0, 1.0
    return min(bornes), max(1.0, (max(bornes) - min(bornes)) / CASES)


def remplir_cases(vues: Sequence[Vue]) -> tuple[int, float]:
    """La couverture de chaque série, case par case, sur l'axe commun ; rend cet axe."""
    debut, pas = axe_commun(vues)
    for vue in vues:
        connues = repartir(vue.connu, debut, pas, CASES)
        prouvees = repartir(vue.fiche.couverts, debut, pas, CASES)
        vue.cases = [
            round(1000 * min(1.0, prouvee / connue)) if connue > 1e-9 else None
            for prouvee, connue in zip(prouvees, connues, strict=True)
        ]
    return debut, pas


def _en_listes(table: pa.Table) -> dict[str, list[Any]]:
    """Les colonnes d'un résumé, courtes : la page en porte des dizaines de milliers de valeurs."""
    colonnes = {"t": table.column("timestamp").to_pylist()}
    for nom in CHAMPS:
        valeurs = table.column(nom).to_pylist()
        if any(valeur is not None for valeur in valeurs):
            colonnes[nom[0]] = [None if valeur is None else float(f"{valeur:.10g}") for valeur in valeurs]
    return colonnes


def en_donnees(vue: Vue) -> dict[str, Any]:
    """Ce que le script de la page reçoit d'une série ; instants en ms UTC."""
    donnees: dict[str, Any] = {
        # plotly lit du balisage dans ses textes : un nom venu d'un exchange n'en est pas.
        "nom": html.escape(vue.nom),
        "type": "ligne" if vue.type_donnee in EN_LIGNE else "bougies",
        "unite": html.escape(vue.fiche.unite_volume),
        "cases": vue.cases,
        **_frise(vue),
        **_trous_traces(vue),
    }
    if vue.resume is not None and vue.lignes:
        resume = vue.resume.table()
        donnees["resume"] = _en_listes(resume)
        donnees["pas"] = vue.resume.pas_ms
        fin = vue.resume.fin
        if vue.resume.pas_ms != _pas_de(vue.fiche) and fin is not None:
            donnees["fin"] = _en_listes(fin)
            donnees["dit"] = _dire_resume(vue, resume.num_rows, vue.resume.pas_ms)
    return donnees


def _dire_resume(vue: Vue, nombre: int, pas_ms: int) -> str:
    quoi = "bougies" if vue.fiche.cle.timeframe else "lignes"
    return f"{_entier(vue.lignes)} {quoi} résumées en {_entier(nombre)}, une par {_pas_lisible(pas_ms)}"


def _pas_lisible(pas_ms: int) -> str:
    """« 5 min », « 4 h », « 7 j »."""
    unites = ((JOUR, "j"), (HEURE, "h"), (MINUTE, "min"), (1000, "s"))
    return next((f"{pas_ms // duree} {nom}" for duree, nom in unites if not pas_ms % duree), f"{pas_ms} ms")


def _frise(vue: Vue) -> dict[str, Any]:
    """La frise de couverture d'une série, sur sa propre étendue : par état présent, la part de chaque case, en %."""
    connu = vue.connu
    if not connu:
        return {}
    debut, fin = connu[0][0], connu[-1][1]
    pas = max(1.0, (fin - debut) / CASES)
    parts = {etat: repartir(i, debut, pas, CASES) for etat, i in vue.par_etat().items() if i}
    reste = [max(0.0, 1 - sum(colonne)) for colonne in zip(*parts.values(), strict=True)]
    parts[INCONNU] = [part if part > 1e-6 else 0.0 for part in reste]
    lisibles = {etat: [round(100 * part, 2) for part in valeurs] for etat, valeurs in parts.items() if any(valeurs)}
    return {"frise": {"debut": debut, "pas": pas, "parts": lisibles}}


def _trous_traces(vue: Vue) -> dict[str, Any]:
    """Les trous les plus longs, et combien ne sont pas tracés."""
    traces = sorted(vue.fiche.trous, key=lambda trou: trou.debut - trou.fin)[:TROUS_TRACES]
    return {"trous": [list(trou) for trou in sorted(traces)], "tus": len(vue.fiche.trous) - len(traces)}


# --- La page ---


def ecrire_rapport(chemin: Path, bilans: Sequence[tuple[str, Bilan]], table: str | None = None) -> int:
    """Écrit la page de ces exécutions, chacune sous le nom de sa tâche ; rend CODE_ECHEC si cela n'a pu se faire."""
    try:
        octets = rediger(bilans, table=table).encode(errors="backslashreplace")
        publier(chemin, octets)
    except collecte.ErreurCollecte as refus:
        collecte.journal.error("%s", refus.complet())
        return collecte.CODE_ECHEC
    collecte.journal.info("Rapport : %s (%s).", chemin, taille_lisible(len(octets)))
    return collecte.CODE_SUCCES


def rediger(bilans: Iterable[tuple[str, Bilan]], *, titre: str = "", table: str | None = None) -> str:
    """La page de ces exécutions (nom de la tâche, bilan), en HTML.

    `titre` : d'office, les séries s'il y en a peu ; `table` : celle d'une base, d'office toutes.
    """
    executions = [(nom, partie) for nom, bilan in bilans for partie in bilan.detail]
    titre = titre or intituler(executions)
    vues, refus = recueillir(executions, table)
    debut, pas = remplir_cases(vues)
    dossier = Path(__file__).parent
    script = _script_plotly()
    donnees = {
        "carte": {"debut": debut, "pas": pas, "cases": CASES},
        "couleurs": COULEURS,
        "sens": SENS,
        "series": [en_donnees(vue) for vue in vues] if script else [],
    }
    corps = [
        f"<h1>{html.escape(titre)}</h1>",
        f'<p class="discret">{html.escape(_dire_etendue(vues))}</p>',
        *(f'<p class="alerte">{html.escape(texte)}</p>' for texte in refus),
        *([] if script else [f'<p class="alerte">{SANS_PLOTLY}</p>']),
        _fautes(executions),
        _legende(),
        *(_graphiques(vues) if script and vues else []),
        _table_series(vues),
        _table_executions(executions),
    ]
    texte = json.dumps(donnees, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    scripts = [
        # Un « < » dans un nom fermerait la balise : en \\u003c, il reste le même pour JSON.
        f'<script type="application/json" id="donnees">{texte.replace("<", chr(92) + "u003c")}</script>',
        f"<script>{script}</script>",
        f"<script>{(dossier / 'rapport.js').read_text(encoding='utf-8')}</script>",
    ]
    return (dossier / "rapport.html").read_text(encoding="utf-8").format(
        titre=html.escape(titre),
        style=(dossier / "rapport.css").read_text(encoding="utf-8"),
        corps="\n".join(filter(None, corps)),
        scripts="\n".join(scripts if script else []),
    )


def intituler(executions: Sequence[Execution]) -> str:
    """Les séries d'une exécution s'il y en a peu ; sinon combien de tâches et de séries."""
    series = [str(serie.cle or serie.symbole) for _, bilan in executions for serie in bilan.series]
    series += [str(etat.cle) for _, bilan in executions if bilan.verification for etat in bilan.verification.series]
    if len(dict.fromkeys(series)) in (1, 2, 3):
        return ", ".join(dict.fromkeys(series))
    taches = f"{collecte.nombre_de(len(executions), 'tâche')}, " if len(executions) > 1 else ""
    return f"{taches}{collecte.nombre_de(len(series), 'série')}"


SANS_PLOTLY = "Sans graphiques : plotly n'est pas installé (pip install plotly). Les tableaux disent tout le reste."


def _script_plotly() -> str:
    """Le script de plotly, que la page emporte ; vide s'il n'est pas installé."""
    try:
        hors_ligne = collecte.importer("plotly.offline", "Les graphiques du rapport")
    except collecte.DependanceAbsente as absence:
        collecte.journal.warning("Rapport sans graphiques : plotly n'est pas installé. %s", absence.conseil)
        return ""
    return str(hors_ligne.get_plotlyjs())


def _dire_etendue(vues: Sequence[Vue]) -> str:
    lignes = sum(vue.lignes for vue in vues)
    lu = f"{collecte.nombre_de(len(vues), 'série')}, {_entier(lignes)} ligne{'s' if lignes > 1 else ''}"
    maintenant = collecte.en_iso(collecte.maintenant_ms() // 1000 * 1000)
    return f"{lu if vues else 'Aucune série lue'}. Écrit le {maintenant} par module_ccxt_fr_v2 {collecte.__version__}."


def _legende() -> str:
    pastilles = (f'<span><i style="background:{COULEURS[etat]}"></i>{html.escape(SENS[etat])}</span>'
                 for etat in ETATS_CASE)  # fmt: skip
    return f'<p class="legende">{"".join(pastilles)}</p>'


def _graphiques(vues: Sequence[Vue]) -> list[str]:
    """Les emplacements des graphiques : la carte s'il y a plusieurs séries, et celui de la série choisie."""
    choix = "".join(f'<option value="{rang}">{html.escape(vue.nom)}</option>' for rang, vue in enumerate(vues))
    carte = '<h2>Couverture</h2><div id="carte"></div><p class="discret">Un clic choisit la série.</p>'
    return [
        carte if len(vues) > 1 else "",
        f"""<h2>Série</h2>
<p class="commandes"><select id="serie" aria-label="Série">{choix}</select>
<span id="vues"><button type="button" data-vue="resume">Tout</button>
<button type="button" data-vue="fin">La fin, ligne par ligne</button></span></p>
<div id="graphique"></div>
<p class="discret" id="dit"></p>""",
    ]


def _fautes(executions: Sequence[Execution]) -> str:
    """Ce que le contrôle a trouvé."""
    rapports = [bilan.verification for _, bilan in executions if bilan.verification is not None]
    if not rapports:
        return ""
    nombre = sum(rapport.fautes.total() for rapport in rapports)
    if not nombre:
        return '<p class="bien">Contrôle : aucune faute.</p>'
    dites = [str(constat) for rapport in rapports for constat in rapport.constats]
    lignes = "".join(f"<li>{html.escape(phrase)}</li>" for phrase in dites[:FAUTES_DITES])
    suite = nombre - min(len(dites), FAUTES_DITES)
    reste = f"<li>… et {_entier(suite)} de plus</li>" if suite else ""
    return f'<h2>Contrôle : {collecte.nombre_de(nombre, "faute")}</h2><ul class="fautes">{lignes}{reste}</ul>'


def _table_series(vues: Sequence[Vue]) -> str:
    if not vues:
        return ""
    titres = ["série", "lignes", "de", "à", "couverture", "trous", "dans le temps", "fichier"]
    rangees = []
    for vue in sorted(vues, key=lambda vue: (100.0 if vue.couverture is None else vue.couverture, vue.nom)):
        trous = ", ".join(f"{nombre} {raison}" for raison, nombre in sorted(vue.trous.items())) or "aucun"
        couverture = "–" if vue.couverture is None else f"{vue.couverture:.2f} %".replace(".", ",")
        bornes = [instant_lisible(borne) or "–" for borne in (vue.premiere, vue.derniere)]
        textes = [vue.nom, _entier(vue.lignes), *bornes, couverture, trous]
        cellules = "".join(f"<td>{html.escape(texte)}</td>" for texte in textes)
        message = f"<br><small>{html.escape(vue.message)}</small>" if vue.message else ""
        rangees.append(f"<tr>{cellules}<td>{_frise_svg(vue)}</td><td>{html.escape(str(vue.sortie))}{message}</td></tr>")
    return f"<h2>Séries, de la moins couverte à la plus couverte</h2>{_tableau(titres, rangees)}"


def _frise_svg(vue: Vue) -> str:
    """La couverture sur l'axe commun, en dessin : elle se voit aussi sans script, et s'imprime."""
    formes, rang = [], 0
    for case, pareilles in itertools.groupby(vue.cases):
        largeur = len(list(pareilles))
        formes.append(f'<rect x="{rang}" width="{largeur}" height="10" fill="{_couleur(case)}"/>')
        rang += largeur
    return f'<svg viewBox="0 0 {CASES} 10" preserveAspectRatio="none" class="frise">{"".join(formes)}</svg>'


def _couleur(case: int | None) -> str:
    """De l'échec (0) à l'écrit (1000)."""
    if case is None:
        return COULEURS[INCONNU]
    if case >= 1000:
        return COULEURS[ECRIT]
    return COULEURS[collecte.ECHEC] if case < 500 else COULEURS[collecte.HORS_FENETRE_API]


def _table_executions(executions: Iterable[tuple[str, Bilan]]) -> str:
    """Ce que chaque tâche a coûté ; un contrôle qui n'a rien demandé n'a rien coûté."""
    titres = ["tâche", "exchange", "code", "durée", "", "requêtes", "nouveaux essais", "reconnexions",
              "lignes nouvelles", "révisées", "retard", "message"]  # fmt: skip
    executions = [(nom, bilan) for nom, bilan in executions if bilan.verification is None or bilan.requetes]
    if not executions:
        return ""
    plus_longue = max((bilan.duree_s for _, bilan in executions), default=0.0) or 1.0
    rangees = []
    for nom, bilan in executions:
        reconnexions = sum(serie.compteurs.get("reconnexions", 0) for serie in bilan.series)
        retard = max((serie.retard_s for serie in bilan.series if serie.retard_s is not None), default=None)
        barre = f'<div class="barre" style="width:{100 * bilan.duree_s / plus_longue:.1f}%"></div>'
        lignes = map(bilan.total, ("lignes_nouvelles", "lignes_revisees"))
        chiffres = [bilan.requetes, bilan.essais, reconnexions, *lignes]
        avant = [nom or "–", bilan.exchange, str(bilan.code), collecte.duree_lisible(bilan.duree_s)]
        apres = [*map(_entier, chiffres), "–" if retard is None else collecte.duree_lisible(retard), bilan.message]
        cellules = [*map(html.escape, avant), barre, *map(html.escape, apres)]
        rangees.append(f"<tr>{''.join(f'<td>{cellule}</td>' for cellule in cellules)}</tr>")
    return f"<h2>Exécution</h2>{_tableau(titres, rangees)}"


def _tableau(titres: Sequence[str], rangees: Iterable[str]) -> str:
    entetes = "".join(f"<th>{html.escape(titre)}</th>" for titre in titres)
    corps = f"<thead><tr>{entetes}</tr></thead><tbody>{''.join(rangees)}</tbody>"
    return f'<div class="defile"><table>{corps}</table></div>'


def _entier(nombre: int) -> str:
    """« 4 000 000 », aux espaces insécables."""
    return f"{nombre:,}".replace(",", "\u202f")
