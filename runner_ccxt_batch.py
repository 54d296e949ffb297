"""Exécute les tâches d'un fichier YAML, l'une après l'autre ; fait pour cron.

    python runner_ccxt_batch.py --yaml ccxt_batch.yaml

Il lit, valide, exécute et rend compte ; ce qu'une tâche peut demander est l'affaire du module, ce qu'est un lot celle
d'`annexes_ccxt_fr.lot`. stdout ne porte que le tableau final ; le journal va sur stderr. Codes de sortie : ceux du
module, le plus grave des tâches l'emporte.
"""

from __future__ import annotations

import collections
import functools
import sys
import textwrap
from typing import TYPE_CHECKING

import module_ccxt_fr_v2 as collecte

try:
    from annexes_ccxt_fr import bilans, lot, metriques, place, progression
except ImportError as absente:
    if (absente.name or "").partition(".")[0] != "annexes_ccxt_fr":
        raise
    manque = "Un lot demande le dossier « annexes_ccxt_fr », livré à côté du module : copiez-le aussi, tout entier"
    sys.stderr.write(f"{manque} ({absente}).\n")
    raise SystemExit(collecte.CODE_DEMANDE) from None

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from annexes_ccxt_fr.plan import Plan

ETATS = {
    "complete": "complète",
    "partielle": "partielle",
    "echec": "échec",
    "refusee": "refusée",
    "occupee": "occupée",
    "interrompue": "interrompue",
    "non_executee": "non exécutée",
}
A_DROITE = {"lignes", "trous", "temps", "requêtes", "taille"}


def aligner(titres: Sequence[str], lignes: Iterable[tuple[Sequence[str], str]]) -> list[str]:
    """Des colonnes alignées, et sous chacune, en retrait, un détail d'une ligne ou plusieurs : 80 colonnes."""
    corps = list(lignes)
    largeurs = [max(map(len, colonne)) for colonne in zip(titres, *(cellules for cellules, _ in corps), strict=True)]

    def ranger(cellules: Sequence[str]) -> str:
        paires = zip(titres, cellules, largeurs, strict=True)
        return "  ".join(c.rjust(n) if t in A_DROITE else c.ljust(n) for t, c, n in paires).rstrip()

    rangees = [ranger(titres)]
    for cellules, detail in corps:
        rangees += [ranger(cellules), *(f"  {ligne}" for ligne in detail.splitlines())]
    return rangees


def tableau(bilan: lot.BilanLot) -> list[str]:
    """Le tableau final : par tâche, état, lignes nouvelles, trous, temps ; dessous, intervalle et fichier."""
    lignes = []
    for tache in bilan.taches:
        detail = tache.bilan
        demandes = [serie.demande for serie in detail.series if serie.demande]
        trous = sum(len(serie.trous) for serie in detail.series)
        chiffres = [str(detail.total("lignes_nouvelles")), str(trous), collecte.duree_lisible(detail.duree_s)]
        faite = tache.code is not None
        cellules = [tache.nom, ETATS[tache.etat], *(chiffres if faite else ["–"] * 3)]
        bornes = [min(d for d, _ in demandes), max(f for _, f in demandes)] if demandes else []
        intervalle = "/".join(collecte.en_iso(b - b % collecte.MINUTE_MS) for b in bornes)
        sorties = dict.fromkeys(str(un.sortie) for un in detail.detail if un.sortie)
        ou = "  ".join(filter(None, [intervalle, *sorties]))
        # La raison d'un refus ou d'un échec : celle de la tâche, sinon celle de chacun de ses symboles.
        manques = [serie.message for serie in detail.series if serie.etat in ("refusee", "echec")]
        dites = [dit.partition("\n")[0] for dit in ([detail.message] if detail.message else manques)]
        raisons = [morceau for dit in dict.fromkeys(dites) for morceau in textwrap.wrap(dit, 78)]
        lignes.append((cellules, "\n".join(filter(None, [ou, *raisons]))))
    etats = [ETATS[tache.etat] for tache in bilan.taches]
    comptes = ", ".join(f"{n} {etat}{'s' if n > 1 else ''}" for etat, n in collections.Counter(etats).items())
    pied = f"{comptes} ; {collecte.duree_lisible(bilan.duree_s)}, code {bilan.code}."
    return [*aligner(["tâche", "état", "lignes", "trous", "temps"], lignes), pied]


async def simuler(plan: Plan, bilan: lot.BilanLot) -> list[str]:
    """Ce que chaque tâche ferait ; un refus compte dans le code."""
    lignes: list[tuple[Sequence[str], str]] = []
    tirets = ["–"] * 4
    resultats = zip(bilan.taches, [resultat async for resultat in lot.simuler_plan(plan)], strict=True)
    for tache, (planifiee, refus, estimations) in resultats:
        tache.bilan = refus
        tache.finir(refus.code)
        if not estimations:
            lignes.append(([planifiee.nom, *tirets], refus.message or f"{planifiee.resume}  {refus.sortie}"))
        for estimation in estimations:
            chiffres = [str(estimation.bougies), str(estimation.requetes)]
            chiffres += [collecte.duree_lisible(estimation.duree_s), place.taille_lisible(estimation.octets)]
            intervalle = "/".join(map(collecte.en_iso, estimation.demande))
            detail = f"{intervalle}  {estimation.cle.symbole}  {estimation.sortie}"
            lignes.append(([planifiee.nom, *chiffres], detail))
    bilan.conclure()
    titres = ["tâche", "lignes", "requêtes", "temps", "taille"]
    return [*aligner(titres, lignes), "Estimé au débit permis ; rien n'a été écrit."]


async def executer(plan: Plan, bilan: lot.BilanLot, cluster: str | None) -> list[str]:
    """Le travail ; le tableau s'imprime après, même interrompu."""
    noms = [planifiee.nom for planifiee in plan.taches]
    with progression.montrer(noms) as suivi:
        await lot.executer_plan(plan, bilan, suivi=suivi, dask=cluster)
    return []


def ecrire_rapport(page: Path, taches: Sequence[tuple[str, collecte.Bilan]]) -> int:
    """La page de ces tâches ; DependanceAbsente si son annexe, ou ce qu'elle demande, manque."""
    return int(collecte.annexe(*collecte.RAPPORT).ecrire_rapport(page, taches))


def conduire(demande: lot.OptionsLot, plan: Plan) -> int:
    """Fait ce qui est demandé d'un plan valide ; rend le code de sortie."""
    if demande.valider:
        collecte.imprimer([f"{plan.nom} : {collecte.nombre_de(len(plan.taches), 'tâche valide')}."])
        return collecte.CODE_SUCCES
    bilan = lot.BilanLot.vierge(plan)
    if demande.simulation:
        collecte.conduire(simuler(plan, bilan), bilan)
        return bilan.code if demande.bilan is None else bilans.ecrire_bilan(demande.bilan, bilan)
    flux = any(planifiee.tache.stream for planifiee in plan.taches)
    collecte.conduire(executer(plan, bilan, demande.dask), bilan, flux=flux)
    if any(tache.debut_ms is not None for tache in bilan.taches):
        echec = collecte.obtenir(lambda: collecte.imprimer(tableau(bilan)))
        bilan.code = bilan.code or echec or collecte.CODE_SUCCES
    for page, taches in lot.rapports(plan, bilan, demande.rapport).items():
        echec = collecte.obtenir(functools.partial(ecrire_rapport, page, taches))
        bilan.code = bilan.code or echec
    if demande.bilan is not None:
        bilan.code = bilans.ecrire_bilan(demande.bilan, bilan)
    if demande.metriques is not None:
        bilan.code = metriques.ecrire_metriques(demande.metriques, bilan)
    return bilan.code


def mener(mots: Sequence[str]) -> int:
    """Fait ce que disent ces mots, et rend le code de sortie ; ErreurDemande si le plan ou eux sont fautifs."""
    demande = lot.lire_arguments_lot(mots, collecte.nom_du_programme("runner_ccxt_batch.py"))
    collecte.installer_journal(demande.journal)
    collecte.dire_les_repetitions(mots)
    plan = lot.plan_demande(demande)
    collecte.installer_journal(demande.journal, [tache.journal for tache in plan.taches if tache.journal])
    return conduire(demande, plan)


def principal(arguments: Sequence[str] | None = None) -> int:
    """La ligne de commande du lot ; rend le code de sortie."""
    collecte.preparer_terminal()
    return collecte.obtenir(lambda: mener(sys.argv[1:] if arguments is None else arguments))


if __name__ == "__main__":
    sys.exit(principal())
