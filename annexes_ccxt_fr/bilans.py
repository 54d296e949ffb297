"""Le bilan d'une exécution, ou d'un lot : sa ligne finale, son JSON."""

from __future__ import annotations

import collections
import json
import re
from typing import TYPE_CHECKING, Any

from annexes_ccxt_fr.menage import publier
from annexes_ccxt_fr.place import taille_lisible
from module_ccxt_fr_v2 import (
    CODE_ECHEC,
    CODE_SIGINT,
    CODE_SUCCES,
    ErreurSortie,
    __version__,
    duree_lisible,
    en_iso,
    en_lisant,
    journal,
    nombre_de,
)

if TYPE_CHECKING:
    from pathlib import Path

    from module_ccxt_fr_v2 import Bilan, BilanSerie, CompteRendu

COMPTES = ("lignes_recues", "lignes_nouvelles", "lignes_revisees")  # d'une série, et leur total


def dire_bilan(bilan: Bilan) -> str:
    """La ligne finale : lignes, intervalle, trous, requêtes, temps, fichier."""
    trous = collections.Counter(trou.raison for serie in bilan.series for trou in serie.trous)
    detail = f" ({', '.join(f'{n} {raison}' for raison, n in sorted(trous.items()))})" if trous else ""
    demandes = [serie.demande for serie in bilan.series if serie.demande]
    intervalle = (
        f"de {en_iso(min(d for d, _ in demandes))} à {en_iso(max(f for _, f in demandes))}"
        if demandes
        else "rien de demandé"
    )
    revisees = f", {nombre_de(bilan.total('lignes_revisees'), 'révisée')}" if bilan.total("lignes_revisees") else ""
    debut = "Interrompu" if bilan.code >= CODE_SIGINT else "Terminé"
    code = "" if bilan.code == CODE_SUCCES else f", code {bilan.code}"
    ecrit = f"{taille_lisible(bilan.octets)}{'' if bilan.modifie else ', inchangé'}" if bilan.octets else "rien d'écrit"
    return (
        f"{debut}{code} : {nombre_de(bilan.total('lignes_nouvelles'), 'ligne nouvelle')}{revisees}, {intervalle}, "
        f"{nombre_de(sum(trous.values()), 'trou')}{detail}, {nombre_de(bilan.requetes, 'requête')}, "
        f"{duree_lisible(bilan.duree_s)}, {bilan.sortie} ({ecrit})"
    )


def en_dict(bilan: Bilan) -> dict[str, Any]:
    """Le bilan d'une exécution, en types JSON."""
    return {
        "outil": f"module_ccxt_fr_v2 {__version__}",
        "exchange": bilan.exchange,
        "code": bilan.code,
        "message": bilan.message,
        "conseil": bilan.conseil,
        "sortie": str(bilan.sortie) if bilan.sortie else None,
        "format": bilan.format,
        **{compte: bilan.total(compte) for compte in COMPTES},
        "requetes": bilan.requetes,
        "essais": bilan.essais,
        "octets": bilan.octets,
        "modifie": bilan.modifie,
        "duree_s": round(bilan.duree_s, 3),
        "series": [_de_la_serie(serie) for serie in bilan.series],
        **({"verification": bilan.verification.en_dict()} if bilan.verification else {}),
        **({"parties": [en_dict(partie) for partie in bilan.parties]} if bilan.parties else {}),
    }


def _de_la_serie(serie: BilanSerie) -> dict[str, Any]:
    return {
        "symbole": serie.symbole,
        "timeframe": serie.cle.timeframe if serie.cle else None,
        "etat": serie.etat,
        "message": serie.message,
        "demande": [en_iso(instant) for instant in serie.demande] if serie.demande else None,
        **{compte: getattr(serie, compte) for compte in COMPTES},
        "trous": [{"debut": en_iso(t.debut), "fin": en_iso(t.fin), "raison": t.raison} for t in serie.trous],
        "retard": serie.retard_s,
        "compteurs": serie.compteurs,
    }


def ecrire_bilan(chemin: Path, bilan: CompteRendu) -> int:
    """Écrit le bilan JSON, même après un échec ; rend le code de sortie."""
    return ecrire_compte_rendu(chemin, json.dumps(bilan.en_dict(), ensure_ascii=False, indent=2) + "\n", bilan)


# Ce par quoi commencent un bilan, des métriques.
MARQUE = re.compile(rb'\s*({\s*"outil": ?"module_ccxt_fr_v2 [^"]*",\s*"(exchange|lot)"|# (HELP|TYPE) ccxt_fr_)')


def _controler(chemin: Path) -> None:
    """ErreurSortie si ce qui est là n'en est pas un : ce peut être une fiche, ou la sortie, sous son nom d'office."""
    if not chemin.is_file():
        return
    with en_lisant(chemin), chemin.open("rb") as fichier:
        debut = fichier.read(200)
    if debut.strip() and not MARQUE.match(debut):
        raise ErreurSortie(f"« {chemin} » n'est pas un compte rendu : il n'est pas remplacé", "Donnez un autre nom.")


def ecrire_compte_rendu(chemin: Path, texte: str, bilan: CompteRendu) -> int:
    """Écrit, d'un coup, le texte qui rend compte d'un bilan ; rend le code de sortie."""
    try:
        _controler(chemin)
        # Un argument qui n'était pas de l'UTF-8 porte des demi-codets : écrits \\udcXX, ils restent du JSON.
        publier(chemin, texte.encode(errors="backslashreplace"))
    except ErreurSortie as refus:
        journal.error("%s", refus.complet())
        return bilan.code or CODE_ECHEC
    return bilan.code
