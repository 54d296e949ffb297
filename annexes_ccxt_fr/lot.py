"""Exécuter un lot : d'un `Plan` à un `BilanLot`, les tâches finies une à une, puis les flux sans fin, ensemble."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from annexes_ccxt_fr.parc import Parc
from annexes_ccxt_fr.pauses import Pauses
from annexes_ccxt_fr.plan import MODES, Plan, TacheDeLot, lire_nom, ouvrir_plan
from annexes_ccxt_fr.simulation import Estimation, simuler_async
from module_ccxt_fr_v2 import (
    CODE_DEMANDE,
    CODE_ECHEC,
    CODE_OCCUPE,
    CODE_PARTIEL,
    CODE_SUCCES,
    GRAVITE,
    NIVEAU_COURANT,
    NIVEAUX,
    TACHE_COURANTE,
    Bilan,
    Contexte,
    ErreurCollecte,
    ErreurDemande,
    ErreurSortie,
    SortieOccupee,
    Suivi,
    Verrou,
    __version__,
    annexe,
    courir,
    decouper,
    dire_la_fin,
    drapeau,
    en_iso,
    executer_async,
    groupe_de_taches,
    journal,
    lire_booleen,
    lire_chemin,
    lire_chemin_a_ecrire,
    lire_chemin_html,
    lire_options,
    lire_plusieurs,
    lire_secondes,
    lire_texte,
    lire_valeurs,
    maintenant_ms,
    memes_fichiers,
    noms_options,
    option,
)

if TYPE_CHECKING:
    import os

DESCRIPTION_LOT = (
    "Exécute les tâches d'un fichier YAML, l'une après l'autre ; les flux sans durée viennent en dernier, ensemble."
)


def lire_dask(valeur: Any) -> str:
    """L'adresse d'un cluster Dask, ou `local:N`."""
    texte = lire_texte(valeur)
    if not re.fullmatch(r"local:[1-9]\d{0,2}|(tcp|tls|ws|wss|ucx|inproc)://\S+|(?!local:)[\w.-]+:\d+", texte):
        raise ValueError(f"« {texte} » n'est ni une adresse (tcp://hote:8786) ni local:N")
    return texte


@dataclass(frozen=True, kw_only=True)
class OptionsLot:
    """Ce que la ligne de commande d'un lot demande."""

    yaml: Path | None = option(lire=lire_chemin, groupe="lot", valeur="CHEMIN",
        aide="fichier des tâches ; ses chemins relatifs le sont à son dossier, où est aussi lu le .env")
    taches: tuple[str, ...] = option((), lire=lire_plusieurs(lire_nom, "nom de tâche"), groupe="lot", valeur="A,B",
        defaut_aide="toutes", aide="les tâches à exécuter, par leur nom")
    valider: bool = option(False, lire=lire_booleen, groupe="lot",
        aide="contrôle tout le fichier, dit le nombre de tâches et sort")
    simulation: bool = option(False, lire=lire_booleen, groupe="lot",
        aide="dit ce que chaque tâche ferait (bornes, requêtes, durée, taille) et sort")
    hors_ligne: bool = option(False, lire=lire_booleen, groupe="lot",
        aide="l'exchange embarqué répond à la place du vrai ; sans --duree-max, 10 s par flux")
    duree_max: float | None = option(lire=lire_secondes(), groupe="lot", valeur="S",
        aide="plafonne la durée de chaque flux, en secondes")
    dask: str | None = option(lire=lire_dask, groupe="lot", valeur="ADRESSE",
        aide="exécute sur un cluster Dask : son adresse, ou local:N pour N workers sur cette machine")
    bilan: Path | None = option(lire=lire_chemin_a_ecrire, groupe="compte rendu", valeur="CHEMIN",
        aide="bilan JSON de l'exécution, tâche par tâche")
    metriques: Path | None = option(lire=lire_chemin_a_ecrire, groupe="compte rendu", valeur="CHEMIN",
        aide="métriques au format texte de Prometheus, pour le textfile collector de node_exporter")
    rapport: Path | None = option(lire=lire_chemin_html, groupe="compte rendu", valeur="CHEMIN",
        aide="page .html autonome de tout le lot : bougies, couverture, trous, durées")
    journal: str = option("info", choix=NIVEAUX, groupe="compte rendu",
        aide="niveau du journal, sur stderr")

    def fautes(self) -> Iterator[tuple[tuple[str, ...], str]]:
        """Les fautes qui tiennent à plusieurs options ensemble."""
        if self.yaml is None:
            yield ("yaml",), "le fichier des tâches est demandé (exemple : ccxt_batch.yaml)"
        yield from memes_fichiers(self, "yaml", "bilan", "metriques", "rapport")


NON_EXECUTEE, INTERROMPUE = "non_executee", "interrompue"


# L'état d'une tâche, d'après son code.
ETATS_DE_TACHE = {
    CODE_SUCCES: "complete",
    CODE_PARTIEL: "partielle",
    CODE_ECHEC: "echec",
    CODE_DEMANDE: "refusee",
    CODE_OCCUPE: "occupee",
}


@dataclass
class BilanTache:
    """Ce qu'une tâche d'un lot a donné ; `code` est None tant qu'elle n'est pas finie."""

    nom: str
    mode: str
    bilan: Bilan
    etat: str = NON_EXECUTEE
    code: int | None = None
    debut_ms: int | None = None
    fin_ms: int | None = None

    def finir(self, code: int) -> None:
        """La tâche est finie, avec ce code."""
        self.fin_ms = maintenant_ms()
        self.code = self.bilan.code = code
        self.etat = ETATS_DE_TACHE.get(code, INTERROMPUE)

    @property
    def reconnexions(self) -> int:
        """Les abonnements repris, d'un flux."""
        return sum(serie.compteurs.get("reconnexions", 0) for serie in self.bilan.series)

    @property
    def derniere_ms(self) -> int | None:
        """L'horodatage de la dernière ligne lue ou écrite."""
        return max((s.derniere_ms for s in self.bilan.series if s.derniere_ms is not None), default=None)

    def en_dict(self) -> dict[str, Any]:
        """La tâche dans le bilan JSON : son nom, son état, puis ce que dit le bilan d'une exécution simple."""
        derniere = self.derniere_ms
        return {
            "name": self.nom,
            "mode": self.mode,
            "etat": self.etat,
            "debut": en_iso(self.debut_ms) if self.debut_ms is not None else None,
            "derniere_ligne": en_iso(derniere) if derniere is not None else None,
            "reconnexions": self.reconnexions,
            **self.bilan.en_dict(),
            "code": self.code,
        }


@dataclass
class BilanLot:
    """Ce qu'un lot a fait : une entrée par tâche, dans l'ordre du fichier ; `en_dict()` est le bilan JSON."""

    lot: str
    taches: list[BilanTache]
    noms: tuple[str, ...] = ()  # toutes les tâches du fichier, choisies ou non
    code: int = CODE_SUCCES
    message: str = ""
    debut_ms: int = field(default_factory=maintenant_ms)
    duree_s: float = 0.0

    @classmethod
    def vierge(cls, plan: Plan) -> Self:
        """Le bilan d'un lot dont rien n'est encore exécuté."""
        taches = [BilanTache(p.nom, MODES[p.tache.stream is not None], Bilan(p.tache.exchange)) for p in plan.taches]
        return cls(str(plan.fichier.absolute()) if plan.fichier else plan.nom, taches, plan.noms)

    def conclure(self) -> None:
        """Le code global : le plus grave des tâches."""
        codes = [tache.code for tache in self.taches if tache.code is not None]
        self.code = max(codes, key=GRAVITE.index, default=CODE_SUCCES)

    def refuser(self, erreur: ErreurCollecte) -> None:
        """Le lot n'a pu commencer."""
        self.code, self.message = erreur.code_sortie, erreur.complet()

    def interrompre(self, code: int, message: str) -> None:
        """Un signal a arrêté le lot : son code l'emporte."""
        self.code, self.message = code, message
        for tache in self.taches:
            if tache.etat == INTERROMPUE:
                tache.bilan.interrompre(code, message)
                tache.finir(code)

    def en_dict(self) -> dict[str, Any]:
        """Le bilan, en types JSON."""
        return {
            "outil": f"module_ccxt_fr_v2 {__version__}",
            "lot": self.lot,
            "code": self.code,
            "message": self.message,
            "debut": en_iso(self.debut_ms),
            "duree_s": round(self.duree_s, 3),
            "taches": [tache.en_dict() for tache in self.taches],
        }


async def executer_plan(plan: Plan, bilan: BilanLot, *, suivi: Suivi | None = None, dask: str | None = None) -> None:
    """Exécute un plan et remplit son bilan ; l'échec d'une tâche n'arrête pas les autres.

    Les tâches finies d'abord, une à une, dans leur ordre ; puis les flux sans fin, ensemble, jusqu'à l'annulation.
    Lève SortieOccupee si une autre exécution tient ce lot.
    """
    depart = time.monotonic()
    couples = list(zip(plan.taches, bilan.taches, strict=True))
    with _tenir(plan):
        try:
            if dask is None:
                await _executer_ici(plan, couples, suivi)
            else:
                await annexe("cluster", "--dask").executer_sur_dask(plan, couples, dask)
        finally:
            bilan.duree_s = time.monotonic() - depart
            bilan.conclure()


# Son verrou, et les pauses que demandent les exchanges, sont à côté de lui.
CONSEIL_VERROU = "Copiez le fichier de tâches dans un dossier où l'on peut écrire : son verrou se pose à côté de lui."

Couples = Sequence[tuple[TacheDeLot, BilanTache]]


@contextlib.contextmanager
def _tenir(plan: Plan) -> Iterator[None]:
    """Une seule exécution à la fois d'un même fichier de tâches."""
    if plan.fichier is None:
        yield
        return
    verrou = Verrou(plan.fichier, "en cours d'exécution", "Attendez qu'il finisse : relancer n'ajouterait rien.")
    try:
        verrou.prendre()
    except SortieOccupee:
        raise
    except ErreurSortie as erreur:  # monté en lecture seule, ce n'est pas la sortie qu'il faut changer
        raise ErreurSortie(str(erreur), CONSEIL_VERROU) from erreur
    try:
        yield
    finally:
        verrou.rendre()


def finies_puis_sans_fin(couples: Couples) -> tuple[Couples, Couples]:
    """Les tâches finies, puis les flux sans fin ; dit ce que cela change à l'ordre du fichier."""
    finies = [couple for couple in couples if not couple[0].sans_fin]
    sans_fin = [couple for couple in couples if couple[0].sans_fin]
    if sans_fin:
        noms = ", ".join(planifiee.nom for planifiee, _ in sans_fin)
        journal.info("Sans fin, après les autres et jusqu'à un signal : %s. --duree-max les bornerait.", noms)
    return finies, sans_fin


async def _executer_ici(plan: Plan, couples: Couples, suivi: Suivi | None) -> None:
    """Dans ce processus, en partageant les exchanges ouverts."""
    finies, sans_fin = finies_puis_sans_fin(couples)
    async with Parc(Pauses(plan.dossier)) as parc:
        for planifiee, resultat in finies:
            await executer_tache(planifiee, resultat, _contexte(plan, planifiee, parc), suivi)
        async with groupe_de_taches() as groupe:
            for planifiee, resultat in sans_fin:
                groupe.create_task(executer_tache(planifiee, resultat, _contexte(plan, planifiee, parc), suivi))


def _contexte(plan: Plan, planifiee: TacheDeLot, parc: Parc) -> Contexte:
    return Contexte(planifiee.dossier, plan.dossier / ".env", ouvrir=parc.ouvrir)


async def executer_tache(
    planifiee: TacheDeLot, resultat: BilanTache, contexte: Contexte, suivi: Suivi | None = None
) -> None:
    """Exécute une tâche et remplit son résultat ; annulée, elle y reste « interrompue »."""
    jeton = TACHE_COURANTE.set(planifiee.nom)
    niveau = NIVEAU_COURANT.set(planifiee.journal)
    resultat.etat, resultat.debut_ms = INTERROMPUE, maintenant_ms()
    bilan = resultat.bilan
    try:
        await executer_async(planifiee.tache, suivi=suivi, bilan=bilan, contexte=contexte)
    except ErreurCollecte as erreur:
        bilan.refuser(erreur)
        journal.error("%s", erreur.complet())
    except Exception as erreur:  # noqa: BLE001  une faute du programme n'arrête pas les tâches suivantes
        bilan.code, bilan.message = CODE_ECHEC, f"erreur imprévue : {type(erreur).__name__} : {erreur}"
        journal.error("%s", bilan.message)
        journal.debug("", exc_info=True)
    else:
        dire_la_fin(bilan)
    finally:
        TACHE_COURANTE.reset(jeton)
        NIVEAU_COURANT.reset(niveau)
    resultat.finir(bilan.code)


async def simuler_plan(plan: Plan) -> AsyncIterator[tuple[TacheDeLot, Bilan, list[Estimation]]]:
    """Ce que chaque tâche ferait, sans demander de données ni rien écrire ; un refus est dans le bilan rendu."""
    dites: set[str] = set()  # de chaque exchange muet, une fois
    async with Parc(Pauses(plan.dossier)) as parc:
        for planifiee in plan.taches:
            bilan, estimations = Bilan(planifiee.tache.exchange), list[Estimation]()
            try:
                bilan, estimations = await simuler_async(planifiee.tache, _contexte(plan, planifiee, parc), dites)
            except ErreurCollecte as erreur:
                bilan.refuser(erreur)
                journal.error("%s : %s", planifiee.nom, erreur.complet())
            yield planifiee, bilan, [] if planifiee.tache.stream else estimations  # un flux ne s'estime pas


async def executer_lot_async(
    lot: str | os.PathLike[str] | Mapping[str, Any],
    *,
    taches: Sequence[str] = (),
    hors_ligne: bool = False,
    duree_max: float | None = None,
    dask: str | None = None,
    suivi: Suivi | None = None,
) -> BilanLot:
    """Exécute un lot : le chemin d'un YAML, ou son contenu en dictionnaire ; les options sont celles du runner.

    Rend le bilan, où l'échec d'une tâche est inscrit ; lève ErreurDemande (rien n'a été écrit), ou SortieOccupee.
    """
    demandees = {"taches": taches or None, "hors_ligne": hors_ligne, "duree_max": duree_max, "dask": dask}
    lues, fautes = lire_valeurs(noms_options(OptionsLot), demandees)
    if fautes:
        raise ErreurDemande("\n".join(f"{faute.noms[0]} : {faute.phrase}" for faute in fautes))
    dask = lues.pop("dask", None)
    plan = ouvrir_plan(lot, **lues)
    bilan = BilanLot.vierge(plan)
    await executer_plan(plan, bilan, suivi=suivi, dask=dask)
    return bilan


def executer_lot(lot: str | os.PathLike[str] | Mapping[str, Any], **options: Any) -> BilanLot:
    """`executer_lot_async`, pour du code ordinaire ; marche aussi dans un notebook, dont la boucle tourne déjà."""
    return courir(lambda: executer_lot_async(lot, **options))


def rapports(plan: Plan, bilan: BilanLot, tout: Path | None) -> dict[Path, list[tuple[str, Bilan]]]:
    """Les pages demandées, par le lot (`tout`) ou par ses tâches, et ce que chacune montre : (tâche, bilan)."""
    pages: dict[Path, list[tuple[str, Bilan]]] = {}
    for planifiee, tache in zip(plan.taches, bilan.taches, strict=True):
        for page in dict.fromkeys((tout, planifiee.rapport)):
            if page is not None and tache.debut_ms is not None:
                pages.setdefault(page, []).append((tache.nom, tache.bilan))
    return pages


def lire_arguments_lot(arguments: Sequence[str], programme: str) -> OptionsLot:
    """Les options d'un lot ; ErreurDemande avec toutes les fautes."""
    valeurs, inconnues = decouper(arguments, programme, DESCRIPTION_LOT, OptionsLot)
    options, fautes = lire_options(OptionsLot, valeurs, drapeau)
    if inconnues or options is None:
        raise ErreurDemande("\n".join([*inconnues, *fautes]), "L'aide : --help.")
    return options


def plan_demande(options: OptionsLot) -> Plan:
    """Le plan que ces options désignent, contrôlé ; ErreurDemande avec toutes ses fautes."""
    plan = ouvrir_plan(
        options.yaml or Path(), taches=options.taches, hors_ligne=options.hors_ligne, duree_max=options.duree_max
    )
    for nom in ("bilan", "metriques", "rapport"):
        for planifiee in plan.taches:
            if planifiee.tache.ecrit(getattr(options, nom)):
                raise ErreurDemande(f"{drapeau(nom)} : c'est aussi la sortie de « {planifiee.nom} », qu'il écraserait")
    return plan
