"""Ce qu'une tâche ferait : bornes, requêtes, durée, taille ; sans demander une bougie ni rien écrire.

Les requêtes sont comptées en déroulant, à blanc, la lecture même que ferait la tâche : ce qu'un recul limité ou la
preuve d'une cotation lui coûte y est. L'exchange est consulté pour ses marchés et son heure ; muet, la simulation se
passe de lui, et le dit.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from annexes_ccxt_fr.parties import absorber
from annexes_ccxt_fr.place import taille_lisible
from annexes_ccxt_fr.portees import portee_de
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
    ErreurTemporaire,
    Fiche,
    Historique,
    Intervalle,
    Serie,
    SortieIllisible,
    Tache,
    Timeframe,
    annexe,
    de,
    duree_lisible,
    en_iso,
    histoires,
    journal,
    nature_du_symbole,
    nombre_de,
    ouvrir_depot,
    ouvrir_ecrivain,
    ouvrir_tache,
    pause,
    plage_de,
    resoudre_series,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from annexes_ccxt_fr.archives import Devis
    from annexes_ccxt_fr.depot import Depot


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
    choix: str = API  # vide : l'exchange muet, rien ne se compare
    si_plus_jeune: int = 0  # requêtes de plus si le marché, dont la cotation est inconnue, est né après le début
    d_office: str = ""  # ce que prendrait `auto`, là où ce n'est pas le moins cher
    evenements: int = 0  # des trades dont les bougies seraient faites
    sortie: Path | None = None


OCTETS_PAR_BOUGIE = {
    "csv": 95,
    "parquet": 30,
    "feather": 34,
    "sqlite": 130,
}  # mesurés sur un an de 1m, codec par défaut
OCTETS_PAR_EVENEMENT = {"csv": 83, "parquet": 19, "feather": 28, "sqlite": 156}  # de trades


async def simuler_async(
    tache: Tache, contexte: Contexte | None = None, dites: set[str] | None = None
) -> tuple[Bilan, list[Estimation]]:
    """Ce que la tâche ferait, sans demander de bougie ni rien écrire ; lève comme `executer_async`.

    `dites` : ce que les simulations d'avant ont dit des exchanges muets ; il n'est pas redit.
    """
    bilan, contexte, dites = Bilan(tache.exchange), contexte or Contexte(), set() if dites is None else dites
    if tache.timeframes:
        estimations: list[Estimation] = []
        for partie in tache.parties:
            sien, siennes = await simuler_async(partie, contexte, dites)
            absorber(bilan, sien)
            estimations += siennes
        return bilan, estimations
    async with ouvrir_tache(_presser(tache), contexte) as connexion:
        muet = await _preparer(connexion, tache, dites)
        bilan.requetes = connexion.requetes  # ce que la tâche demandera aussi
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
            if muet:  # d'un marché supposé, le nom des fichiers n'est pas connu
                choisie = replace(estimee, choix="")
            else:
                choisie = await _comparer_les_sources(connexion, tache, serie, fiche, estimee)
            estimations.append(replace(choisie, sortie=bilan.sortie))
        return bilan, estimations


ESSAIS, TIMEOUT_MS = 1, 10_000  # un exchange muet ne retient pas une simulation qui peut se passer de lui


def _presser(tache: Tache) -> Tache:
    return replace(tache, essais=ESSAIS, timeout=min(tache.timeout, TIMEOUT_MS))


async def _preparer(connexion: Connexion, tache: Tache, dites: set[str]) -> bool:
    """Les marchés et l'heure de l'exchange ; à défaut, ce que disent les symboles, quand ils en disent assez : vrai."""
    try:
        await connexion.preparer(tache.demandes)
    except ErreurTemporaire as erreur:
        marches = [_marche_suppose(symbole, tache) for symbole in tache.demandes]
        if tache.donnee != OHLCV.nom or None in marches:
            raise
        connexion.api.markets = {marche["symbol"]: marche for marche in marches if marche}
        phrase = (
            f"{erreur}. La simulation s'en passe : d'après le disque et ce que ccxt sait {de(tache.exchange)}, à "
            "l'heure d'ici ; ni les symboles ni leur cotation ne sont vérifiés."
        )
        if tache.source != API:
            phrase += " Sans les marchés, les archives ne se chiffrent pas : ceci est ce que coûterait l'API."
        if phrase not in dites:
            dites.add(phrase)
            journal.warning("%s", phrase)
        return True
    return False


def _marche_suppose(symbole: str, tache: Tache) -> dict[str, Any] | None:
    """Le marché que désigne un symbole complet (BTC/USDT au comptant, BTC/USDT:USDT) ; None si ce n'en est pas un."""
    paire, _, reglement = symbole.partition(":")
    base, barre, cotation = paire.partition("/")
    genre, sous_type = nature_du_symbole(symbole, tache.type_marche, tache.sous_type)
    if not barre or (not reglement and genre not in ("spot", "margin")):
        return None
    return {
        "symbol": symbole, "id": "", "base": base, "quote": cotation, "settle": reglement.partition("-")[0] or None,
        "type": "spot" if genre == "margin" else genre, "subType": sous_type, "contract": bool(reglement),
        "linear": sous_type == "linear", "inverse": sous_type == "inverse",
    }  # fmt: skip


async def _comparer_les_sources(
    connexion: Connexion, tache: Tache, serie: Serie, fiche: Fiche, estimee: Estimation
) -> Estimation:
    """L'estimation, et ce que coûterait chaque source ; celle qui serait lue la donne. Une requête : leur liste."""
    depot = ouvrir_depot(connexion, tache) if tache.donnee in (OHLCV.nom, TRADES.nom) and not tache.stream else None
    if depot is None:
        return estimee
    if tache.donnee == TRADES.nom:
        return await _comparer_pour_des_trades(connexion, tache, serie, estimee, depot)
    archives = annexe("archives", "--source")
    fichiers = archives.fichiers_de(depot, connexion, serie, tache.donnee)
    if fichiers is None:
        return estimee
    historique = Historique(connexion, serie, plage_de(tache), fiche, asyncio.Semaphore(tache.concurrence), 1)
    source = archives.SourceArchives(historique, fichiers, tache.source)
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
    fichiers = archives.fichiers_de(depot, connexion, serie, tache.donnee)
    if fichiers is None:
        return estimee
    plans: dict[str, Devis] = {}
    trades, places = replace(tache, trades_vers_ohlcv=False), asyncio.Semaphore(tache.concurrence)
    ouvrir = histoires(TRADES.nom).ouvrir_source
    histoire = ouvrir(connexion, serie, trades, plage_de(tache), Fiche(serie.cle), places)
    for source in (ARCHIVES, AUTO):
        lecture = archives.TradesDesArchives(histoire, fichiers, source)
        plans[API], plans[source] = await lecture.devis(estimee.intervalles, estimee.evenements)
    du_choix = plans.pop(AUTO)
    d_office = ARCHIVES if du_choix != plans[API] else API
    choix = ARCHIVES if tache.source == ARCHIVES else d_office
    pris = du_choix if tache.source == AUTO else plans[choix]
    return replace(estimee, plans=plans, choix=choix, requetes=pris.requetes, duree_s=pris.duree_s, d_office=d_office)


async def _estimer(connexion: Connexion, tache: Tache, serie: Serie, fiche: Fiche) -> Estimation:
    if tache.stream:
        return _estimer_flux(connexion, tache, serie)
    if tache.donnee != OHLCV.nom:
        return await _estimer_histoire(connexion, tache, serie, fiche)
    a_blanc = LectureABlanc(connexion, serie, tache, fiche)
    intervalles = await a_blanc.preparer()
    points = [a_blanc.timeframe.compter(*intervalle) for intervalle in intervalles]
    requetes = await a_blanc.compter(intervalles)
    plus_jeune = 0
    if a_blanc.cotation_inconnue and intervalles:
        autre = LectureABlanc(connexion, serie, tache, fiche, ne_au_milieu=True)
        plus_jeune = max(0, await autre.compter(await autre.preparer()) - requetes)
    return Estimation(
        serie.cle,
        a_blanc.demande,
        intervalles,
        sum(points),
        requetes,
        connexion.api.throttler.duree_s(requetes),
        sum(points) * OCTETS_PAR_BOUGIE[tache.format_choisi],
        si_plus_jeune=plus_jeune,
    )


class LectureABlanc(Historique):
    """La lecture d'une série, telle qu'elle se fera, dont chaque page est répondue par ce qu'on sait de l'exchange.

    Il sert tout depuis la cotation du marché, si elle est connue, et jusqu'où il remonte (`portee`). Rien ne manque
    ensuite : au-delà de quelques pages, les autres se comptent sans être déroulées.
    """

    PAGES_DEROULEES = 40

    def __init__(
        self, connexion: Connexion, serie: Serie, tache: Tache, fiche: Fiche, *, ne_au_milieu: bool = False
    ) -> None:
        # Une copie : la lecture fixe l'ancre de sa fiche, et celle d'ici peut servir encore.
        super().__init__(
            connexion, serie, plage_de(tache), replace(fiche), asyncio.Semaphore(tache.concurrence), tache.concurrence
        )
        self.requetes, self._portee = 0, portee_de(connexion)
        self._cotation = int(serie.marche.get("created") or 0)
        self._ne_au_milieu = ne_au_milieu

    @property
    def cotation_inconnue(self) -> bool:
        """Vrai si rien ne dit que le marché existait déjà au début de ce qui est demandé."""
        debut, fin = self.demande
        connu = any(su[0] <= debut for su in self.fiche.connus())
        return not (self._cotation or connu or self.plage.debut is None) and self._premiere(self.timeframe) < fin

    async def compter(self, intervalles: list[Intervalle]) -> int:
        """Les requêtes que coûtent ces intervalles, ancre comprise."""
        capacite = self.pages.capacite(self.timeframe)
        if self._ne_au_milieu and intervalles:
            debut, fin = intervalles[0]
            self._cotation = self.timeframe.avancer(debut, self.timeframe.compter(debut, fin) // 2)
        deroules: list[Intervalle] = []
        for debut, fin in intervalles:
            servi = min(fin, max(debut, self._premiere(self.timeframe)))
            coupe = min(fin, self.timeframe.avancer(servi, self.PAGES_DEROULEES * capacite))
            self.requetes += math.ceil(self.timeframe.compter(coupe, fin) / capacite)
            deroules.append((debut, coupe))
        async for _ in self.lots(deroules):
            pass
        return self.requetes

    def _premiere(self, timeframe: Timeframe) -> int:
        """La première ouverture servie de ce timeframe."""
        bougies = self._portee.bougies
        recul = timeframe.avancer(self.connexion.heure_ms(), 1 - bougies) if bougies else 0
        return max(recul, timeframe.plancher(self._cotation) if self._cotation else 0)  # née en cours de bougie

    async def _demander(
        self, timeframe: Timeframe, debut: int, fin: int, relecture: bool  # noqa: ARG002  sa réponse est la même
    ) -> list[list[Any]]:
        """Une page de l'exchange supposé ; la place est rendue à la boucle, comme par une vraie réponse."""
        propre = self._portee
        self.requetes += 1 + bool(propre.fichier and propre.fichier(debut, timeframe) < fin)
        async with self._places:
            await pause(0)
        premiere, maintenant = self._premiere(timeframe), self.connexion.heure_ms()
        if propre.est_sourde(self.serie.marche, self.serie.cle.prix):
            premiere = max(premiere, timeframe.avancer(maintenant, 1 - self.serie.limite))
            debut, fin = premiere, maintenant
        elif 0 < propre.bougies <= self.serie.limite:  # kraken : ses dernières, sans égard à la fin demandée
            fin = maintenant
        ouverture = timeframe.plafond(max(debut, premiere))
        nombre = min(self.serie.limite, timeframe.compter(ouverture, min(fin, maintenant)))
        instants = [timeframe.avancer(ouverture, rang) for rang in range(max(0, nombre))]
        return [[instant, 1.0, 1.0, 1.0, 1.0, 1.0] for instant in instants if instant < min(fin, maintenant)]


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
        if estimation.si_plus_jeune:
            lignes.append(
                f"  Sa cotation n'est pas connue : si elle est plus récente que {en_iso(debut)}, la prouver coûterait "
                f"environ {nombre_de(estimation.si_plus_jeune, 'requête')} de plus."
            )
    sorties = dict.fromkeys(f"{partie.sortie} ({partie.format})" for partie in bilan.detail)
    preparation = nombre_de(bilan.requetes, "requête") if bilan.requetes else "aucune requête"
    return [
        *lignes,
        f"Marchés et heure {de(tache.exchange)} : {preparation}, que la tâche refera.",
        f"Sortie : {', '.join(sorties)}. Rien n'a été écrit.",
    ]


def _dire_les_plans(estimation: Estimation, tache: Tache) -> list[str]:
    """Ce que coûterait chaque source, et celle que prendrait `auto`."""
    if not estimation.choix:
        return []
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
