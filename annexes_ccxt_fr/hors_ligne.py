"""L'exchange embarqué à la place du vrai : sans réseau ni clé, ses prix sont inventés."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from module_ccxt_fr_v2 import ErreurDemande, Tache, fondre_dicts, importer, journal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ACCELERATION = 60.0  # d'un flux, une minute d'exchange par seconde : des bougies closes en quelques secondes


@contextlib.asynccontextmanager
async def ouvrir(tache: Tache) -> AsyncIterator[Mapping[str, Any]]:
    """La configuration ccxt qui mène à lui, tant qu'il sert cette tâche."""
    embarque = module_embarque(tache.exchange)
    acceleration = ACCELERATION if tache.stream else 1.0
    async with embarque.Bourse(exchanges=(tache.exchange,), acceleration=acceleration) as bourse:
        allure = "" if acceleration == 1 else f", et l'heure, partie d'ici, y va {acceleration:.0f} fois plus vite"
        journal.info("Hors ligne : l'exchange embarqué imite %s ; ses prix sont inventés%s.", tache.exchange, allure)
        yield bourse.config_ccxt(tache.exchange)


def reglages(tache: Tache, config: Mapping[str, Any]) -> dict[str, Any]:
    """Les réglages de connexion à lui ; ce qui mènerait ailleurs est laissé : d'un lot, c'est pour le vrai exchange."""
    locale = {nom: v for nom, v in tache.config_ccxt.items() if nom != "hostname" and "prox" not in nom.lower()}
    urls = tache.config_ccxt.get("urls")
    archives = urls.get("archives") if isinstance(urls, Mapping) else None
    miroir = {"urls": {"archives": archives}} if str(archives).startswith("file:") else {}  # un dossier est d'ici
    config = fondre_dicts(fondre_dicts(locale, config), miroir)
    return {"config_ccxt": config, "sandbox": False, "proxy": None}


def module_embarque(exchange: str) -> Any:
    """Le module de l'exchange embarqué, s'il est là et sait imiter celui-ci."""
    embarque = importer("bourse_locale", "--hors-ligne")
    if exchange not in embarque.PROTOCOLES:
        offerts = ", ".join(embarque.PROTOCOLES)
        raise ErreurDemande(f"--hors-ligne ne sait pas imiter « {exchange} »", f"Il imite : {offerts}.")
    return embarque
