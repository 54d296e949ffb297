"""Ce qu'une tâche ferait : bornes, requêtes, durée, taille ; sans demander une bougie ni rien écrire."""

from __future__ import annotations

import asyncio
import contextlib
import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from module_ccxt_fr_v2 import (
    API,
    ARCHIVES,
    AUTO,
    OHLCV,
    SECONDE_MS,
    TRADES,
    Bilan,
    CleSerie,
    Connexion,
    Contexte,
    Fiche,
    Historique,
    Intervalle,
    Serie,
    SortieIllisible,
    Tache,
    annexe,
    borner,
    duree_lisible,
    en_iso,
    histoires,
    nombre_de,
    ouvrir_depot,
    ouvrir_ecrivain,
    ouvrir_tache,
    plage_de,
    planifier,
    resoudre_series,
    taille_lisible,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from annexes_ccxt_fr.archives import Depot, Devis


@dataclass(frozen=True)
class Estimation:
    """Ce qu'une tâche ferait pour une série."""

    cle: CleSerie
    demande: Intervalle
    intervalles: list[Intervalle]
    bougies: int
    requetes: int
    duree_s: float
    octets: int
    plans: Mapping[str, Devis] = field(default_factory=dict)  # par source, quand il y a le choix
    choix: str = API
    d_office: str = ""  # ce que prendrait `auto`, là où ce n'est pas le moins cher
    evenements: int = 0  # des trades dont les bougies seraient faites


OCTETS_PAR_BOUGIE = {
    "csv": 95,
    "parquet": 30,
    "feather": 34,
    "sqlite": 130,
}  # mesurés sur un an de 1m, codec par défaut
OCTETS_PAR_EVENEMENT = {"csv": 83, "parquet": 19, "feather": 28, "sqlite": 156}  # de trades


async def simuler_async(tache: Tache, contexte: Contexte | None = None) -> tuple[Bilan, list[Estimation]]:
    """Ce que la tâche ferait, sans demander de bougie ni rien écrire ; lève comme `executer_async`."""
    bilan, contexte = Bilan(tache.exchange), contexte or Contexte()
    if tache.timeframes:
        estimations: list[Estimation] = []
        for partie in tache.parties:
            sien, siennes = await simuler_async(partie, contexte)
            bilan.absorber(sien)
            estimations += siennes
        return bilan, estimations
    async with ouvrir_tache(tache, contexte) as connexion:
        await connexion.preparer(tache.demandes)
        series = resoudre_series(connexion, tache, bilan)
        ecrivain = ouvrir_ecrivain(tache, series, bilan, contexte.sorties)
        fiches: dict[CleSerie, Fiche] = {}
        with contextlib.suppress(SortieIllisible):  # sera mise de côté : tout est à demander
            if ecrivain.origine_a_ecarter() is None:
                fiches = {fiche.cle: fiche for fiche in ecrivain.lire_fiches()}
        estimations = []
        for serie in series:
            fiche = fiches.get(serie.cle) or Fiche(serie.cle)
            estimee = await _estimer(connexion, tache, serie, fiche)
            estimations.append(await _comparer_les_sources(connexion, tache, serie, fiche, estimee))
        return bilan, estimations


async def _comparer_les_sources(
    connexion: Connexion, tache: Tache, serie: Serie, fiche: Fiche, estimee: Estimation
) -> Estimation:
    """L'estimation, et ce que coûterait chaque source ; celle qui serait lue la donne. Une requête : leur liste."""
    depot = ouvrir_depot(connexion, tache) if tache.donnee in (OHLCV.nom, TRADES.nom) and not tache.stream else None
    if depot is None:
        return estimee
    if tache.donnee == TRADES.nom:
        return await _comparer_pour_des_trades(connexion, tache, serie, estimee, depot)
    historique = Historique(connexion, serie, plage_de(tache), fiche, asyncio.Semaphore(tache.concurrence), 1)
    source = annexe("archives", "--source").SourceArchives(historique, depot, tache.source)
    par_api, par_archives = await source.devis(estimee.intervalles)
    moins_cher = ARCHIVES if par_archives.duree_s < par_api.duree_s else API
    choix = moins_cher if tache.source == AUTO else tache.source
    plans: dict[str, Devis] = {API: par_api, ARCHIVES: par_archives}
    pris = plans[choix]
    return replace(estimee, plans=plans, choix=choix, requetes=pris.requetes, duree_s=pris.duree_s)


async def _comparer_pour_des_trades(
    connexion: Connexion, tache: Tache, serie: Serie, estimee: Estimation, depot: Depot
) -> Estimation:
    """`auto` prend les fichiers dont il veut assez : leur plan est le sien s'il en lit, l'API sinon."""
    archives = annexe("archives", "--source")
    plans: dict[str, Devis] = {}
    trades, places = replace(tache, trades_vers_ohlcv=False), asyncio.Semaphore(tache.concurrence)
    ouvrir = histoires(TRADES.nom).ouvrir_source
    histoire = ouvrir(connexion, serie, trades, plage_de(tache), Fiche(serie.cle), places)
    for source in (ARCHIVES, AUTO):
        lecture = archives.TradesDesArchives(histoire, depot, source)
        plans[API], plans[source] = await lecture.devis(estimee.intervalles, estimee.evenements)
    du_choix = plans.pop(AUTO)
    choix = ARCHIVES if tache.source == ARCHIVES or du_choix != plans[API] else API
    pris = du_choix if tache.source == AUTO else plans[choix]
    moins_cher = ARCHIVES if du_choix != plans[API] else API
    return replace(
        estimee, plans=plans, choix=choix, requetes=pris.requetes, duree_s=pris.duree_s, d_office=moins_cher
    )


async def _estimer(connexion: Connexion, tache: Tache, serie: Serie, fiche: Fiche) -> Estimation:
    if tache.stream:
        return _estimer_flux(connexion, tache, serie)
    if tache.donnee != OHLCV.nom:
        return await _estimer_histoire(connexion, tache, serie, fiche)
    timeframe = serie.timeframe.ancrer(fiche.ancre_ms)
    demande = borner(plage_de(tache), timeframe, serie.limite, connexion.heure_ms(), fiche)
    intervalles = planifier(demande, fiche, timeframe, tache.relecture)
    points = [timeframe.compter(*intervalle) for intervalle in intervalles]
    requetes = sum(math.ceil(nombre / serie.limite) for nombre in points)
    duree_s = connexion.api.throttler.duree_s(requetes)
    return Estimation(
        serie.cle,
        demande,
        intervalles,
        sum(points),
        requetes,
        duree_s,
        sum(points) * OCTETS_PAR_BOUGIE[tache.format_choisi],
    )


async def _estimer_histoire(connexion: Connexion, tache: Tache, serie: Serie, fiche: Fiche) -> Estimation:
    """Des événements ne se comptent pas sans rien demander : quelques pages disent combien il y en a."""
    devis = await histoires(tache.donnee).estimer(connexion, serie, tache, plage_de(tache), fiche)
    octets = (OCTETS_PAR_BOUGIE if tache.type_donnee is OHLCV else OCTETS_PAR_EVENEMENT)[tache.format_choisi]
    duree_s = connexion.api.throttler.duree_s(devis.requetes)
    return Estimation(
        serie.cle, devis.demande, devis.intervalles, devis.lignes, devis.requetes, duree_s, devis.lignes * octets,
        evenements=devis.evenements,
    )  # fmt: skip


def _estimer_flux(connexion: Connexion, tache: Tache, serie: Serie) -> Estimation:
    """Un flux ne demande presque rien ; ce qu'il rendra ne s'estime que pour des bougies d'une durée connue."""
    heure, duree_s = connexion.heure_ms(), tache.duree or 0.0
    demande = (heure, heure + round(duree_s * SECONDE_MS))
    bougies = serie.timeframe.compter(*demande) if tache.type_donnee is OHLCV else 0
    return Estimation(serie.cle, demande, [], bougies, 0, duree_s, bougies * OCTETS_PAR_BOUGIE[tache.format_choisi])


async def commande_simuler(tache: Tache) -> list[str]:
    """Les lignes de `--simulation`."""
    bilan, estimations = await simuler_async(tache)
    lignes, quoi = [], "bougie" if tache.type_donnee is OHLCV else "ligne"
    for estimation in estimations:
        debut, fin = estimation.demande
        if tache.stream:
            lignes.append(
                f"{estimation.cle} : flux {tache.stream} à partir de {en_iso(debut)}, "
                f"{duree_lisible(tache.duree) if tache.duree is not None else 'sans fin'}"
            )
            continue
        lignes.append(
            f"{estimation.cle} : de {en_iso(debut)} à {en_iso(fin)}, "
            f"{nombre_de(estimation.bougies, quoi)} à demander, "
            f"{nombre_de(estimation.requetes, 'requête')}, au moins {duree_lisible(estimation.duree_s)}, "
            f"environ {taille_lisible(estimation.octets)}"
        )
        lignes += _dire_les_plans(estimation, tache)
    sorties = dict.fromkeys(f"{partie.sortie} ({partie.format})" for partie in bilan.parties or [bilan])
    return [*lignes, f"Sortie : {', '.join(sorties)}. Rien n'a été écrit."]


def _dire_les_plans(estimation: Estimation, tache: Tache) -> list[str]:
    """Ce que coûterait chaque source, et celle que prendrait `auto`."""
    if tache.source != API and tache.donnee not in (OHLCV.nom, TRADES.nom):
        return [f"  « {tache.donnee} » n'est pas chiffré par les archives : ceci est ce que coûterait l'API."]
    if not estimation.plans:
        return [] if tache.source == API else [f"  {tache.exchange} n'a pas de fichiers publics pour elle : l'API."]
    noms = {API: "l'API", ARCHIVES: "les archives, l'API pour le reste"}
    lignes = [
        f"  par {noms[source]} : {nombre_de(devis.requetes, 'requête')}, environ "
        f"{taille_lisible(devis.octets)} à recevoir, au moins {duree_lisible(devis.duree_s)}"
        for source, devis in estimation.plans.items()
    ]
    moins_cher = estimation.d_office or min(estimation.plans, key=lambda source: estimation.plans[source].duree_s)
    return [*lignes, f"  --source auto prendrait {noms[moins_cher].partition(',')[0]}."]
