"""`initier` : de quoi commencer. Un lot commenté, une tâche de chaque sorte, un `.env` à remplir, la ligne de cron."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from module_ccxt_fr_v2 import COMMANDES, ErreurDemande, cause_disque, ecrire_atomique, nom_du_programme

if TYPE_CHECKING:
    from collections.abc import Sequence

LOT = """\
# Un lot : les tâches s'exécutent l'une après l'autre, chacune reprend où elle en était.
# Le contrôler : {runner} --yaml lot.yaml --valider
# L'essayer sans réseau : ajoutez --hors-ligne ; ce qu'il coûterait : --simulation.
version: 1

# Une clé qui commence par « x- » est à vous : des ancres, des notes.
x-marche: &marche
  exchange: binance
  symbole: BTC/USDT

defaults:                        # vaut pour toutes les tâches, chacune peut l'écraser
  format: parquet                # csv, parquet, feather ou sqlite
  output_dir: donnees            # dossier des tâches sans « sortie » ; relatif à ce fichier

tasks:
  # Un historique : relancé, il ne demande que ce qui manque.
  - name: historique
    <<: *marche
    timeframes: [1h, 1d]
    date_debut: -30j             # ou 2024-01-01 ; sans date_fin, jusqu'à la dernière bougie close

  # Plusieurs symboles, le prix mark d'un contrat, dans une base.
  - name: contrats
    exchange: okx
    type_marche: swap
    sous_type: linear
    symbols: [BTC/USDT:USDT, ETH/USDT:USDT]
    prix_ohlcv: mark
    timeframe: 5m
    date_debut: -2j
    sortie: donnees/contrats.sqlite

  # Un flux de bougies, dix minutes ; sans « duree », il ne s'arrête qu'à un signal, après les autres tâches.
  - name: en_direct
    <<: *marche
    mode: stream
    stream: ohlcv
    timeframe: 1m
    duree: 600
    sortie: donnees/en_direct.parquet

  # Les trades en direct, agrégés en bougies, dans un CSV qu'on peut suivre par « tail -f ».
  - name: trades_en_bougies
    <<: *marche
    mode: stream
    stream: trades
    trades_vers_ohlcv: true
    duree: 600
    sortie: donnees/trades_en_bougies.csv
"""
ENV = """\
# Les clés ne servent qu'aux marchés qui en demandent ; les bougies publiques s'en passent.
# Ne versionnez pas ce fichier. Préfixées par l'exchange, elles ne valent que pour lui.
# OKX_API_KEY=
# OKX_API_SECRET=
# OKX_API_PASSWORD=
"""


def commande(mots: Sequence[str]) -> list[str]:
    """Les lignes d'`initier [DOSSIER]` : ce qui est écrit, et ce qu'il reste à faire."""
    if len(mots) > 1 or any(mot.startswith("-") for mot in mots):
        raise ErreurDemande(f"initier ne prend pas « {' '.join(mots)} »", "initier [DOSSIER] : un dossier, c'est tout.")
    return initier(Path(*mots))


def initier(dossier: Path) -> list[str]:
    """Écrit `lot.yaml` et `.env` dans ce dossier, et rend ce qu'il reste à faire ; ErreurDemande s'ils y sont déjà."""
    lot, env = dossier / "lot.yaml", dossier / ".env"
    if presents := [str(chemin) for chemin in (lot, env) if chemin.exists()]:
        raise ErreurDemande(f"Déjà là : {', '.join(presents)}", "Donnez un autre dossier : rien n'a été écrit.")
    mots = _lanceur()
    lancer = shlex.join(mots)
    try:
        dossier.mkdir(parents=True, exist_ok=True)
    except OSError as erreur:
        phrase = f"« {dossier} » ne peut être créé : {cause_disque(erreur)}"
        raise ErreurDemande(phrase, "Donnez un autre dossier.") from erreur
    _ecrire(lot, LOT.format(runner=Path(mots[-1]).name))
    _ecrire(env, ENV)
    ici = shlex.quote(str(lot.absolute()))
    return [
        f"Écrits : {lot} (à adapter) et {env} (à remplir s'il faut des clés).",
        "L'essayer sans réseau ni clé :",
        f"  {lancer} --yaml {ici} --hors-ligne --duree-max 10",
        "Puis, toutes les heures, par « crontab -e » :",
        f"  7 * * * * {lancer} --yaml {ici} --journal warning",
    ]


def _lanceur() -> list[str]:
    """Ce qui lance un lot, de n'importe quel dossier : la commande installée à côté de Python, si c'est elle."""
    installee = shutil.which(COMMANDES[1], path=str(Path(sys.executable).parent)) if nom_du_programme("") else None
    return [installee] if installee else [sys.executable, str(Path(__file__).parent.parent / "runner_ccxt_batch.py")]


def _ecrire(chemin: Path, texte: str) -> None:
    ecrire_atomique(chemin, lambda fichier: fichier.write(texte.encode()))
