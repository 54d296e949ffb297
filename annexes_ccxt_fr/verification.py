"""`--verifier` et `--reparer` : dire ce qui ne va pas d'une sortie ; relire à l'exchange ce qui y manque."""

from __future__ import annotations

import collections
import dataclasses
import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

from annexes_ccxt_fr.controle import EtatSerie, Rapport, controler, instant_lisible
from annexes_ccxt_fr.grappes import rapprocher
from annexes_ccxt_fr.lecture_brute import fiches_portees, lecteurs
from annexes_ccxt_fr.parc import Parc
from annexes_ccxt_fr.pauses import Pauses
from annexes_ccxt_fr.progression import montrer
from annexes_ccxt_fr.remise_en_ordre import assainir_sortie
from module_ccxt_fr_v2 import (
    CODE_ECHEC,
    CODE_PARTIEL,
    CODE_SUCCES,
    FAITS,
    HISTOIRES,
    HORS_LIGNE,
    NOMS_DITS,
    RAISONS_PARTIELLES,
    SANDBOX,
    Bilan,
    BilanSerie,
    CleSerie,
    Contexte,
    Copie,
    ErreurDemande,
    Execution,
    Fiche,
    Intervalle,
    Lot,
    OptionsExecution,
    Serie,
    Sortie,
    Suivi,
    Tache,
    Trou,
    croiser,
    decimal_lisible,
    executer_async,
    grille,
    intervalles_de,
    journal,
    maintenant_ms,
    nombre_de,
    oter,
    unir,
)

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Mapping, Sequence

TROUS_PROCHES = 300  # en bougies : la plus courte des pages (coinbase) ; les relire à part coûterait plus


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
        copie.intervalles = croiser([copie.source.demande], self.a_relire.get(serie.cle, ()))
        return copie

    def prendre(self, copie: Copie, lot: Lot) -> None:
        """D'une histoire, un fait que l'exchange ne sert plus d'assez loin pour redire n'est pas démenti."""
        if not lot.cle.a_une_grille:
            faits = intervalles_de(copie.fiche.trous, *FAITS)
            tus = [f for f in faits for t in lot.trous if t.debut <= f[0] and f[1] <= t.fin]
            trous = [
                Trou(*reste, t.raison)
                for t in lot.trous
                for reste in ([t[:2]] if t.raison in FAITS else oter([t[:2]], tus))
            ]
            lot = lot._replace(trous=trous)
        super().prendre(copie, lot)


async def reparer_async(chemin: Path, tache: Tache, bilan: Bilan, suivi: Suivi, contexte: Contexte) -> Rapport:
    """Remet une sortie en état, relit par le chemin de toujours ce qui y manque, et rend ce que le contrôle en dit."""
    bilan.modifie = assainir_sortie(chemin, tache.sqlite_table)
    for lecteur in lecteurs(chemin, tache.sqlite_table):
        for relecture, a_relire in _relectures(lecteur, tache):
            ce_qui_manque = contexte._replace(execution=functools.partial(Reparation, a_relire=a_relire))
            lu = Bilan(relecture.exchange)
            try:
                await executer_async(relecture, suivi=suivi, bilan=lu, contexte=ce_qui_manque)
            except ErreurDemande as refus:  # symbole retiré, exchange qui ne sert plus ce timeframe : le trou reste
                journal.error("%s", refus.complet())
                continue
            finally:  # interrompue, elle a écrit ce qu'elle a reçu : la ligne finale le dit
                bilan.series += lu.series
                bilan.modifie, bilan.octets = bilan.modifie or lu.modifie, lu.octets or bilan.octets
                bilan.requetes, bilan.essais = bilan.requetes + lu.requetes, bilan.essais + lu.essais
            lignes, requetes = nombre_de(lu.total("lignes_nouvelles"), "ligne"), nombre_de(lu.requetes, "requête")
            journal.info("« %s » : %s de plus, en %s.", chemin, lignes, requetes)
    return verifier(chemin, table=tache.sqlite_table)


def a_redemander(fiche: Fiche) -> list[Intervalle]:
    """Ce qu'une réparation redemande : tous les trous, car un fait peut se démentir.

    De bougies, des trous qu'une page sépare à peine se relisent ensemble, avec les lignes d'entre eux ; et celles qui
    sont closes depuis qu'elles furent écrites.
    """
    trous = unir(intervalles_de(fiche.trous), [(t.debut, t.fin) for t in fiche.provisoires if t.fin <= maintenant_ms()])
    return rapprocher(trous, grille(fiche).compter, TROUS_PROCHES, nombreux=1) if fiche.cle.a_une_grille else trous


def _relectures(lecteur: Sortie, tache: Tache) -> Iterator[tuple[Tache, dict[CleSerie, list[Intervalle]]]]:
    """Les trous d'une sortie qu'un historique sait relire, en autant de tâches qu'elle a de familles."""
    par_famille: dict[tuple[str, ...], dict[CleSerie, list[Intervalle]]] = {}
    donnee = lecteur.type_donnee.nom
    for fiche in fiches_portees(lecteur) if donnee in HISTOIRES else ():
        if trous := a_redemander(fiche):
            famille = (fiche.origine, fiche.cle.exchange, fiche.type_marche, fiche.cle.timeframe, fiche.cle.prix)
            par_famille.setdefault(famille, {})[fiche.cle] = trous
    for (origine, exchange, type_marche, timeframe, prix), a_relire in par_famille.items():
        bornes = [borne for intervalles in a_relire.values() for intervalle in intervalles for borne in intervalle]
        yield dataclasses.replace(
            tache, exchange=exchange, type_marche=type_marche, sous_type=None, symbole=None,
            symbols=tuple(cle.symbole for cle in a_relire), donnee=donnee, relecture=0,
            timeframe=timeframe or tache.timeframe, prix_ohlcv=prix or "last", stream=None, trades_vers_ohlcv=False,
            hors_ligne=tache.hors_ligne or origine == HORS_LIGNE, sandbox=tache.sandbox or origine == SANDBOX,
            date_debut=min(bornes), date_fin=max(bornes),
            sortie=lecteur.chemin, format=lecteur.format, sqlite_table=lecteur.table,
        ), a_relire  # fmt: skip


def verifier(chemin: str | os.PathLike[str], *, table: str | None = None) -> Rapport:
    """Contrôle une sortie, sans réseau, sans écrire, sans verrou : `rapport.code` vaut 4 s'il y a des fautes.

    `table` : celle d'une base SQLite, d'office toutes. Lève ErreurDemande si ce n'est pas une de nos sorties.
    """
    a_lire = lecteurs(Path(chemin), table)
    rapport = Rapport(Path(chemin), a_lire[0].format)
    for lecteur in a_lire:
        controler(lecteur, rapport)
    return rapport


async def commande_verifier(tache: Tache, execution: OptionsExecution, bilan: Bilan) -> list[str]:
    """Les lignes de `--verifier` ; le code va au bilan."""
    chemin = execution.verifier or Path()
    bilan.sortie = chemin
    if not execution.reparer:
        rapport = verifier(chemin, table=tache.sqlite_table)
        bilan.code = rapport.code
    else:
        with montrer() as progression:
            async with Parc(Pauses(chemin.parent)) as parc:
                rapport = await reparer_async(chemin, tache, bilan, progression, Contexte(ouvrir=parc.ouvrir))
        partiels = any(etat.trous[raison] for etat in rapport.series for raison in RAISONS_PARTIELLES)
        echecs = any(serie.etat == "echec" for serie in bilan.series)  # d'un fait, rien n'a été redemandé
        bilan.code = rapport.code or (CODE_ECHEC if echecs else CODE_PARTIEL if partiels else CODE_SUCCES)
    bilan.format, bilan.verification = rapport.format, rapport
    bilan.exchange = rapport.series[0].cle.exchange if rapport.series else bilan.exchange
    for avertissement in rapport.avertissements:
        journal.warning("%s", avertissement)
    return dire_rapport(rapport)
