"""`python -m bourse_locale` : ouvre la bourse embarquée à la main, affiche ses adresses, s'arrête sur Ctrl-C."""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import signal
import sys

from bourse_locale.kraken.rejeu import Rejeu
from bourse_locale.pannes import NATURES, Panne
from bourse_locale.serveur import PROTOCOLES, Bourse

REGLAGES_PANNE = ("chemin", "fois", "sauter", "probabilite")


FAUTES_D_ARGPARSE = (
    (r"^argument (\S+?)(?:/\S+)?: ", r"\1 : "),
    (r"invalid int value: '(.*)'", r"un entier est attendu, pas « \1 »"),
    (r"invalid float value: '(.*)'", r"un nombre est attendu, pas « \1 »"),
    (r"expected one argument", "une valeur est attendue"),
    (r"ignored explicit argument .*", "c'est un drapeau, il ne prend pas de valeur"),
    (r"^unrecognized arguments: ", "option inconnue : "),
)


class Analyseur(argparse.ArgumentParser):
    """Un argparse qui parle français."""

    def format_help(self) -> str:
        """Rend l'aide, en-tête compris, en français."""
        return super().format_help().replace("usage:", "usage :", 1)

    def error(self, message: str) -> None:  # type: ignore[override]
        """Affiche l'erreur et sort avec le code 2."""
        for anglais, francais in FAUTES_D_ARGPARSE:
            message = re.sub(anglais, francais, message)
        self.exit(2, f"Erreur : {message}\nVoir --aide.\n")


def lire_valeur(texte: str) -> str | int | float:
    """Lit un réglage de panne : entier, décimal, sinon texte."""
    if re.fullmatch(r"-?\d+", texte):
        return int(texte)
    return float(texte) if re.fullmatch(r"-?\d*\.\d+", texte) else texte


def lire_panne(texte: str) -> Panne:
    """Lit NATURE[:clé=valeur,…], par exemple « 429:chemin=klines,fois=2,retry_after=3 »."""
    nature, _, suite = texte.partition(":")
    reglages = dict(morceau.partition("=")[::2] for morceau in suite.split(",") if morceau)
    try:
        return Panne(
            nature,
            chemin=reglages.pop("chemin", ""),
            fois=int(reglages.pop("fois")) if "fois" in reglages else None,
            sauter=int(reglages.pop("sauter", "0")),
            probabilite=float(reglages.pop("probabilite", "1")),
            **{nom: lire_valeur(valeur) for nom, valeur in reglages.items()},
        )
    except ValueError as err:
        raise argparse.ArgumentTypeError(str(err)) from err


def lire_exchanges(texte: str) -> tuple[str, ...]:
    """Lit une liste de noms séparés par des virgules."""
    noms = tuple(nom.strip() for nom in texte.split(",") if nom.strip())
    inconnus = [nom for nom in noms if nom not in PROTOCOLES]
    if inconnus or not noms:
        raise argparse.ArgumentTypeError(f"exchange inconnu : « {texte} » (connus : {', '.join(PROTOCOLES)})")
    return noms


def analyseur() -> Analyseur:
    """Rend l'analyseur de la ligne de commande."""
    a = Analyseur(prog="python -m bourse_locale", description=__doc__, add_help=False)
    options = a.add_argument_group("options")
    options.add_argument("-h", "--aide", action="help", help="affiche cette aide")
    options.add_argument("--port", type=int, default=0, help="port d'écoute (0 : un port libre)")
    options.add_argument("--exchanges", type=lire_exchanges, default=tuple(PROTOCOLES), help="noms, avec des virgules")
    options.add_argument("--graine", type=int, default=1, help="graine du marché simulé")
    options.add_argument("--latence", type=float, default=0.0, help="attente ajoutée à chaque réponse, en secondes")
    options.add_argument("--acceleration", type=float, default=1.0, help="allure de l'horloge (60 : 1 min par seconde)")
    options.add_argument("--decalage", type=int, default=0, help="erreur de l'horloge de l'exchange, en ms")
    options.add_argument("--marches", type=int, default=None, help="complète jusqu'à ce nombre de marchés")
    options.add_argument("--sans-limites", action="store_true", help="n'applique pas les débits réels")
    options.add_argument(
        "--panne",
        type=lire_panne,
        action="append",
        default=[],
        help=f"NATURE[:clé=valeur,…] ; clés {', '.join(REGLAGES_PANNE)}… ; natures : {', '.join(sorted(NATURES))}",
    )
    options.add_argument("--rejeu", default=None, help="dossier de réponses enregistrées à servir à la place")
    return a


def ouvrir(options: argparse.Namespace) -> Bourse:
    """Rend la bourse demandée, port encore fermé."""
    if options.rejeu is not None:
        return Rejeu(options.rejeu).bourse(port=options.port, latence_s=options.latence, pannes=options.panne)
    return Bourse(
        options.exchanges,
        graine=options.graine,
        port=options.port,
        latence_s=options.latence,
        limites=not options.sans_limites,
        pannes=options.panne,
        acceleration=options.acceleration,
        decalage_ms=options.decalage,
        nombre_marches=options.marches,
    )


async def servir(options: argparse.Namespace) -> None:
    """Sert jusqu'à SIGINT ou SIGTERM (arrêt par un superviseur), qui ferment le port proprement ; le second tue."""
    boucle, arret = asyncio.get_running_loop(), asyncio.Event()

    def arreter(signal_recu: int, _: object) -> None:
        # Une exception levée ici tomberait n'importe où dans le service d'une requête, que la fermeture attendrait.
        signal.signal(signal_recu, signal.SIG_DFL)
        boucle.call_soon_threadsafe(arret.set)

    for recu in (signal.SIGINT, signal.SIGTERM):  # un shell fait ignorer SIGINT à ce qu'il lance en tâche de fond
        signal.signal(recu, arreter)
    async with ouvrir(options) as bourse:
        print(f"Bourse embarquée ouverte sur {bourse.url} (Ctrl-C pour arrêter).")
        for nom in bourse.protocoles:
            print(f"\n{nom} : {bourse.url}/{nom} ; configuration ccxt :")
            print(json.dumps(bourse.config_ccxt(nom)), flush=True)
        await arret.wait()
    print("\nBourse arrêtée.")


def main(arguments: list[str] | None = None) -> int:
    """Point d'entrée ; rend le code de sortie."""
    options = analyseur().parse_args(arguments)
    try:
        asyncio.run(servir(options))
    except OSError as err:
        print(f"Impossible d'ouvrir la bourse : {err}.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
