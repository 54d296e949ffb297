"""Un lot sur un cluster Dask : mêmes règles d'ordre, mêmes fichiers, même bilan, mêmes codes qu'ici."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import signal
from typing import TYPE_CHECKING, Any, NamedTuple

from annexes_ccxt_fr.lot import (
    INTERROMPUE,
    NON_EXECUTEE,
    BilanTache,
    Couples,
    executer_tache,
    finies_puis_sans_fin,
)
from annexes_ccxt_fr.parc import Parc
from annexes_ccxt_fr.pauses import Pauses
from module_ccxt_fr_v2 import (
    CODE_DEMANDE,
    CODE_ECHEC,
    CODE_PARTIEL,
    GRAVITE,
    TACHE_COURANTE,
    Bilan,
    BilanSerie,
    Contexte,
    ErreurDemande,
    ErreurTemporaire,
    en_une_ligne,
    importer,
    journal,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Sequence
    from pathlib import Path

    from annexes_ccxt_fr.plan import Plan, TacheDeLot

RESSOURCE_DASK = {"exchange": 1}  # chaque worker en offre une : jamais deux tâches à la fois, donc jamais deux du même
ECOUTE_ARRET_S = 0.3
ARRET_DASK_S = 8.0  # une tâche annulée écrit ce qu'elle a reçu en moins de 5 s
RONDE_DASK_S = 30.0  # un cluster sans worker pendant deux rondes n'en retrouvera pas de lui-même


class Part(NamedTuple):
    """Ce que porte une future : une tâche, ou l'un de ses symboles, et où l'exécuter."""

    planifiee: TacheDeLot
    resultat: BilanTache
    env: Path


async def executer_sur_dask(plan: Plan, couples: Couples, adresse: str) -> None:
    """Sur les workers d'un cluster ; mêmes règles d'ordre, même bilan, mêmes codes qu'ici."""
    async with _ouvrir_cluster(adresse) as client:
        cluster = _Cluster(client)
        for groupe in finies_puis_sans_fin(couples):
            parts = [(couple, parts_de(*couple, plan)) for couple in groupe]
            try:
                await cluster.executer([part for _, siennes in parts for part in siennes])
            finally:
                for (planifiee, resultat), siennes in parts:
                    _rassembler(planifiee, resultat, [part.resultat for part in siennes])


@contextlib.asynccontextmanager
async def _ouvrir_cluster(adresse: str) -> AsyncIterator[Any]:
    """Le client d'un cluster ; `local:N` en lance un, le temps du lot."""
    distributed = importer("distributed", "Exécuter sur un cluster Dask")
    async with contextlib.AsyncExitStack() as pile:
        cible: Any = adresse
        if adresse.startswith("local:"):
            reglages = {"threads_per_worker": 1, "resources": RESSOURCE_DASK, "dashboard_address": ":0"}
            nombre = int(adresse.removeprefix("local:"))
            try:
                cible = await pile.enter_async_context(
                    distributed.LocalCluster(nombre, asynchronous=True, silence_logs=logging.CRITICAL, **reglages)
                )
            except (OSError, ValueError, RuntimeError) as erreur:
                message = f"Le cluster Dask « {adresse} » ne démarre pas ({en_une_ligne(erreur.__cause__ or erreur)})"
                conseil = "Voyez la configuration de Dask et ce que permet cette machine, ou ôtez --dask."
                raise ErreurTemporaire(message, conseil) from erreur
        try:
            client = await pile.enter_async_context(distributed.Client(cible, asynchronous=True, timeout=10))
        except (OSError, ValueError) as erreur:
            message = f"Le cluster Dask « {adresse} » ne répond pas ({en_une_ligne(erreur)})"
            raise ErreurTemporaire(message, "Vérifiez son adresse, et qu'il est lancé.") from erreur
        await client.forward_logging(journal.name, journal.getEffectiveLevel())
        if cible is not adresse:
            await client.run(_laisser_les_signaux)
        yield client


def _laisser_les_signaux() -> None:
    """Sur un worker de cette machine : Ctrl-C et systemd préviennent tout le groupe, mais c'est le lot qui arrête."""
    for numero in (signal.SIGINT, signal.SIGTERM):
        signal.signal(numero, signal.SIG_IGN)


class _Cluster:
    """Soumet les parts d'un lot, une future chacune, et attend leurs bilans."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._arret = importer("distributed", "Arrêter un lot").Event(f"arret-{client.id}", client=client)
        self._voisins = False  # des workers derrière une même adresse : les tâches d'un exchange s'y suivent
        self._derniers: dict[object, asyncio.Task[None]] = {}

    async def executer(self, parts: Sequence[Part]) -> None:
        """Exécute ces parts ; annulé, laisse chacune écrire ce qu'elle a reçu."""
        await self._recenser()
        suivis = [self._lancer(part) for part in parts]
        try:
            await self._attendre(suivis)
        except asyncio.CancelledError:
            await self._arret.set()
            if suivis:
                await asyncio.wait(suivis, timeout=ARRET_DASK_S)
            raise
        finally:
            for suivi in suivis:
                suivi.cancel()

    async def _attendre(self, suivis: Iterable[asyncio.Task[None]]) -> None:
        restent, absences = set(suivis), 0
        while restent:
            _, restent = await asyncio.wait(restent, timeout=RONDE_DASK_S)
            absences = 0 if not restent or await self._recenser(exiger=absences > 0) else absences + 1

    async def _recenser(self, *, exiger: bool = True) -> bool:
        """Compte les workers qui offrent la ressource ; ErreurTemporaire s'il en faut et qu'il n'y en a pas."""
        etat = await self._client.scheduler.identity(n_workers=-1)
        utiles = [w for w in etat["workers"].values() if w.get("resources", {}).keys() & RESSOURCE_DASK.keys()]
        if exiger and not utiles:
            raise ErreurTemporaire(
                f"Aucun des {len(etat['workers'])} workers du cluster n'offre la ressource « exchange »",
                "Lancez-les ainsi, un par adresse IP : dask worker ADRESSE --nthreads 1 --resources exchange=1",
            )
        self._voisins = len({w["host"] for w in utiles}) < len(utiles)
        return bool(utiles)

    def _lancer(self, part: Part) -> asyncio.Task[None]:
        """Une part attend celles qui écrivent le même fichier, ou demandent au même exchange de la même adresse."""
        tache = part.planifiee.tache
        chaines: list[object] = [tache.sortie] if tache.sortie else []
        if self._voisins and not part.planifiee.sans_fin:
            chaines.append(tache.exchange)
        avant = {self._derniers[chaine] for chaine in chaines if chaine in self._derniers}
        suivi = asyncio.create_task(self._suivre(part, avant))
        self._derniers |= dict.fromkeys(chaines, suivi)
        return suivi

    async def _suivre(self, part: Part, avant: set[asyncio.Task[None]]) -> None:
        """De la soumission au bilan. Un worker mort ne se voit pas : Dask relance, et la reprise est bon marché."""
        if avant:
            await asyncio.wait(avant)
        if await self._arret.is_set():
            return
        resultat = part.resultat
        try:
            arguments = (part, self._arret.name, journal.getEffectiveLevel())
            recu = await self._client.submit(_executer_part, *arguments, pure=False, resources=RESSOURCE_DASK)
        except Exception as erreur:  # noqa: BLE001  KilledWorker, module absent du worker : la tâche échoue, pas le lot
            resultat.bilan.message = f"perdue par le cluster : {type(erreur).__name__} : {en_une_ligne(erreur)}"
            journal.error("%s : %s", resultat.nom, resultat.bilan.message)
            resultat.finir(CODE_ECHEC)
        else:
            vars(resultat).update(vars(recu))


def _executer_part(part: Part, arret: str, niveau: int) -> BilanTache:
    """Sur un worker, dans son fil : exécute la part jusqu'au bout, ou jusqu'à l'arrêt du lot."""
    journal.setLevel(niveau)
    journal.addFilter(_marquer_tache)
    return asyncio.run(_executer_sous_arret(part, importer("distributed", "Exécuter sur un worker").Event(arret)))


async def _executer_sous_arret(part: Part, arret: Any) -> BilanTache:
    resultat = BilanTache(part.resultat.nom, part.resultat.mode, Bilan(part.planifiee.tache.exchange))
    if await asyncio.to_thread(arret.is_set):
        return resultat
    async with Parc(Pauses(part.env.parent)) as parc:
        contexte = Contexte(part.planifiee.dossier, part.env, ouvrir=parc.ouvrir)
        tache = asyncio.ensure_future(executer_tache(part.planifiee, resultat, contexte))
        while not tache.done():
            await asyncio.wait({tache}, timeout=ECOUTE_ARRET_S)
            if not tache.done() and await asyncio.to_thread(arret.is_set):
                tache.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await tache
    return resultat


def _marquer_tache(ligne: logging.LogRecord) -> bool:
    """Le nom de la tâche part avec la ligne de journal, qui sera écrite dans un autre processus."""
    ligne.nom_tache = TACHE_COURANTE.get()
    return True


def parts_de(planifiee: TacheDeLot, resultat: BilanTache, plan: Plan) -> list[Part]:
    """Une part par symbole quand la sortie le permet, une par tâche sinon ; chemins absolus, pour un autre processus.

    Un fichier ne s'ouvre que pour toutes ses séries ; un flux suit tous ses symboles ensemble.
    """
    tache, env = planifiee.tache, plan.dossier.absolute() / ".env"
    sortie = tache.sortie and tache.sortie.absolute()
    lointaine = dataclasses.replace(
        planifiee, tache=dataclasses.replace(tache, sortie=sortie), dossier=planifiee.dossier.absolute()
    )
    if tache.stream or not sortie or tache.format_choisi != "sqlite" or len(tache.demandes) == 1:
        return [Part(lointaine, resultat, env)]
    seules = (dataclasses.replace(lointaine.tache, symbols=(symbole,)) for symbole in tache.symbols)
    return [
        Part(
            dataclasses.replace(lointaine, tache=seule),
            BilanTache(planifiee.nom, resultat.mode, Bilan(tache.exchange)),
            env,
        )
        for seule in seules
    ]


def _rassembler(planifiee: TacheDeLot, resultat: BilanTache, parts: Sequence[BilanTache]) -> None:
    """Le bilan de la tâche, d'après ceux de ses parts ; la sortie y est telle que demandée."""
    if parts[0] is not resultat:
        _additionner(resultat, parts, planifiee.tache.demandes)
    bilan = resultat.bilan
    if bilan.sortie is not None:
        bilan.sortie = planifiee.tache.sortie or planifiee.dossier / bilan.sortie.name


def _additionner(resultat: BilanTache, parts: Sequence[BilanTache], symboles: Sequence[str]) -> None:
    """Somme les bilans de parts d'un symbole chacune ; un symbole refusé parmi d'autres est une série refusée."""
    total, refus = resultat.bilan, []
    for symbole, part in zip(symboles, parts, strict=True):
        bilan = part.bilan
        if part.code == CODE_DEMANDE:
            refus.append(BilanSerie(symbole, "refusee", ErreurDemande(bilan.message, bilan.conseil).complet()))
        else:
            total.series += bilan.series
            total.message = "\n".join(filter(None, (total.message, bilan.message)))
        total.sortie, total.format = total.sortie or bilan.sortie, total.format or bilan.format
        total.requetes, total.essais = total.requetes + bilan.requetes, total.essais + bilan.essais
        total.octets, total.modifie = max(total.octets, bilan.octets), total.modifie or bilan.modifie
        total.duree_s += bilan.duree_s
    total.series[:0] = refus
    resultat.debut_ms = min((p.debut_ms for p in parts if p.debut_ms is not None), default=None)
    codes = [part.code for part in parts if part.code is not None]
    if len(codes) < len(parts):
        resultat.etat = NON_EXECUTEE if resultat.debut_ms is None else INTERROMPUE
    elif len(refus) == len(parts):
        total.message = "\n".join(serie.message for serie in refus)
        resultat.finir(CODE_DEMANDE)
    else:
        resultat.finir(max((CODE_PARTIEL if c == CODE_DEMANDE else c for c in codes), key=GRAVITE.index))
