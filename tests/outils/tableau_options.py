"""Le tableau Markdown des options, engendré de leurs déclarations : celui de docs/options.md."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from module_ccxt_fr_v2 import DRAPEAUX_COMMUNS, defaut_lisible, drapeau


def table_options(*modeles: type[Any]) -> str:
    """Le tableau Markdown des options, pour docs/options.md (un test vérifie qu'il y est)."""
    lignes = ["| option | valeur | défaut | sens |", "|---|---|---|---|"]
    for champ in (champ for modele in modeles for champ in fields(modele)):
        declaration = champ.metadata
        noms = ", ".join(f"`{drapeau(nom)}`" for nom in (champ.name, *declaration["synonymes"]))
        valeur = " ".join(f"`{c}`" for c in declaration["choix"]) or declaration["valeur"] or "drapeau"
        lignes.append(f"| {noms} | {valeur} | {defaut_lisible(champ)} | {declaration['aide']} |")
    for noms_de_drapeau, reglages in DRAPEAUX_COMMUNS.items():
        lignes.append(f"| {', '.join(f'`{nom}`' for nom in noms_de_drapeau)} | drapeau | non | {reglages['help']} |")
    return "\n".join(lignes)
