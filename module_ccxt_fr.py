"""Version de référence : les bougies d'une série, d'un exchange vers un CSV, sans concurrence ni astuce.

Oracle de la v2, dont il n'emploie rien. Bornes strictes [début, fin[, bougies closes à l'heure de l'exchange, que l'on
suppose sain. Instants en ms UTC. Codes de sortie : 0 fini, 1 échec, 2 demande invalide, 3 servi en partie.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import re
import sys
import time
from collections.abc import Callable, Collection, Iterator  # noqa: TC003 - un import de plus ne coûte rien ici
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NoReturn

import ccxt

__version__ = "1.0.0"
COLONNES = ["exchange", "symbole", "timeframe", "prix", "timestamp", "open", "high", "low", "close", "volume"]
EPOQUE, UNE_MS = datetime(1970, 1, 1, tzinfo=UTC), timedelta(milliseconds=1)
DUREES_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "j": 86_400_000, "w": 604_800_000}
CAPACITES = {"last": "OHLCV", "mark": "MarkOHLCV", "index": "IndexOHLCV", "premiumIndex": "PremiumIndexOHLCV"}
ESSAIS, GRACE_MS, RELECTURE, LIMITE_PRUDENTE = 7, 2_000, 2, 100
FRANCAIS = {
    "argument ": "option ", "unrecognized arguments": "options inconnues", "expected one argument": "valeur attendue",
    "the following arguments are required": "il manque", "invalid choice": "inconnu", "choose from": "au choix :",
    "invalid int value": "pas un entier", "invalid lire_objet value": "pas un objet JSON, ou fichier absent",
    "invalid lire_instant value": "ni date ISO 8601, ni millisecondes, ni durée comme -7j, -12h, -30m",
}  # fmt: skip
journal = logging.getLogger("module_ccxt_fr")


class DemandeInvalideError(Exception):
    """La demande est à corriger ; rien n'a été écrit."""


def lire_instant(texte: str) -> int:
    """Lit une date ISO 8601 (UTC si elle ne dit rien), des ms depuis 1970, ou une durée avant maintenant (-7j)."""
    if relatif := re.fullmatch(r"-(\d+)([jhms])", texte):
        return int(time.time() * 1000) - int(relatif[1]) * DUREES_MS[relatif[2]]
    if re.fullmatch(r"\d{10,}", texte):
        return int(texte)
    date = datetime.fromisoformat(re.sub(r"[zZ]$", "+00:00", texte))  # Python 3.10 ne connaît pas « Z »
    return ((date if date.tzinfo else date.replace(tzinfo=UTC)) - EPOQUE) // UNE_MS


def lire_objet(texte: str) -> dict[str, Any]:
    """Lit un objet JSON, écrit sur place ou dans un @fichier."""
    fichier = Path(texte[1:])
    return dict(json.loads(fichier.read_text("utf-8") if texte[:1] == "@" and fichier.is_file() else texte))


def suivante(ouverture: int, timeframe: str) -> int:
    """Rend l'ouverture qui suit, donc aussi la clôture de cette bougie ; les mois sont ceux du calendrier."""
    nombre, unite = int(timeframe[:-1]), timeframe[-1]
    if unite != "M":
        return ouverture + nombre * DUREES_MS[unite]
    date = EPOQUE + ouverture * UNE_MS
    debut = (date + timedelta(days=15)).replace(day=1, hour=0)  # un mois peut s'ouvrir quelques heures avant le 1er
    rang = debut.year * 12 + debut.month - 1 + nombre
    return (debut.replace(year=rang // 12, month=rang % 12 + 1) + (date - debut) - EPOQUE) // UNE_MS


def premiere_ouverture(debut: int, timeframe: str) -> int:
    """Rend la première ouverture à partir de début : le lundi pour les semaines, le 1er pour les mois."""
    pas, ancre = suivante(0, timeframe), 4 * DUREES_MS["d"] if timeframe[-1] == "w" else 0  # 5 janvier 1970 : un lundi
    ouverture = 0 if timeframe[-1] == "M" else ancre - (ancre - debut) // pas * pas
    while ouverture < debut:
        ouverture = suivante(ouverture, timeframe)
    return ouverture


def lire_csv(chemin: Path, serie: list[str]) -> dict[int, tuple[str, ...]]:
    """Relit la série déjà écrite (ouverture -> cinq nombres) ; un fichier d'autre chose est refusé, intact."""
    texte = chemin.read_text(encoding="utf-8") if chemin.exists() else ",".join(COLONNES)
    lignes = [ligne.split(",") for ligne in texte.splitlines()]  # aucun champ ne contient de virgule
    if lignes[:1] != [COLONNES] or any(ligne[:4] != serie or len(ligne) != len(COLONNES) for ligne in lignes[1:]):
        raise DemandeInvalideError(f"{chemin} n'est pas un CSV de la série {' '.join(serie)} : changer --sortie")
    return {lire_instant(ligne[4]): tuple(ligne[5:]) for ligne in lignes[1:]}


def ecrire_csv(chemin: Path, serie: list[str], bougies: dict[int, tuple[str, ...]]) -> None:
    """Remplace le fichier d'un coup : à tout instant, l'ancien ou le nouveau est entier."""
    chemin.parent.mkdir(parents=True, exist_ok=True)
    lignes = [[*serie, f"{EPOQUE + t * UNE_MS:%Y-%m-%dT%H:%M:%S}.{t % 1000:03}Z", *bougies[t]] for t in sorted(bougies)]
    provisoire = chemin.with_name(f".{chemin.name}.{os.getpid()}.tmp")
    try:
        with provisoire.open("w", encoding="utf-8", newline="\n") as fichier:
            fichier.writelines(",".join(champs) + "\n" for champs in [COLONNES, *lignes])
            fichier.flush()
            os.fsync(fichier.fileno())
        provisoire.replace(chemin)
    finally:
        provisoire.unlink(missing_ok=True)


def verifier(quoi: str, valeur: str, permises: Collection[str]) -> None:
    """Refuse une valeur qui n'est pas permise."""
    if valeur not in permises:
        proches = sorted(permises, key=lambda permise: permise[:3] != valeur[:3])[:20]
        raise DemandeInvalideError(f"{quoi} inconnu : « {valeur} » ; permis : {', '.join(proches)}…")


def ouvrir_exchange(options: argparse.Namespace) -> Any:
    """Construit la classe ccxt demandée ; la configuration de l'utilisateur l'emporte sur la nôtre."""
    verifier("exchange", options.exchange, ccxt.exchanges)
    defauts = {"defaultType": options.type_marche, "defaultSubType": options.sous_type, **options.options}
    config = {"enableRateLimit": True, "timeout": options.timeout, "enableLastJsonResponse": True, "options": defauts}
    exchange = getattr(ccxt, options.exchange)(ccxt.Exchange.deep_extend(config, options.config_ccxt))
    verifier("prix OHLCV", options.prix_ohlcv, [p for p, n in CAPACITES.items() if exchange.has.get(f"fetch{n}")])
    exchange.timeframes = {nom: code for nom, code in (exchange.timeframes or {}).items() if nom[-1] in "smhdwM"}
    verifier("timeframe", options.timeframe, exchange.timeframes)
    if options.sandbox:
        exchange.set_sandbox_mode(True)
    return exchange


def appeler(exchange: Any, methode: Callable[..., Any], *arguments: Any, essai: int = 1) -> Any:
    """Appelle l'exchange, en réessayant un nombre borné de fois ce qui peut passer."""
    try:
        if (resultat := methode(*arguments)) or exchange.last_json_response is not None:
            return resultat
        raise ccxt.ExchangeNotAvailable(exchange.id)  # page HTML ou JSON coupé : ccxt rend [] sans rien lever
    except ccxt.OperationFailed as erreur:
        if essai == ESSAIS:
            raise
        journal.warning("essai %d/%d : %s ; le suivant dans %d s", essai, ESSAIS, erreur, 2 ** (essai - 1))
        time.sleep(2 ** (essai - 1))
    return appeler(exchange, methode, *arguments, essai=essai + 1)


def verifier_symbole(exchange: Any, options: argparse.Namespace) -> None:
    """Exige un symbole complet pour un contrat : le court est le spot, où bybit et binance mentent sur le prix mark."""
    marches = appeler(exchange, exchange.load_markets)
    contrats = [nom for nom in marches if nom.split(":")[0] == options.symbole.split(":")[0] and ":" in nom]
    contrat_voulu = options.type_marche not in {"spot", "margin"} or options.prix_ohlcv != "last"
    verifier("symbole", options.symbole, contrats if contrat_voulu else marches)


def lire_pages(exchange: Any, demande: tuple[Any, ...], debut: int, fin: int) -> Iterator[list[Any]]:
    """Rend les lignes de [début, fin[ ; chaque page, même vide (avant la cotation), avance : la boucle finit."""
    symbole, timeframe, limite, params = demande
    pas = exchange.parse_timeframe(timeframe) * 1000  # celui de ccxt : un mois y vaut 30 jours
    marge = 2 * pas if timeframe[-1] in "wM" else 0  # bybit : ccxt y arrondit since au multiple suivant de ce pas
    while debut < fin:
        page = appeler(exchange, exchange.fetch_ohlcv, symbole, timeframe, debut - marge, limite, params)
        neuves = [ligne for ligne in page if ligne[0] >= debut]
        yield from (ligne for ligne in neuves if ligne[0] < fin)
        debut = suivante(max(ligne[0] for ligne in neuves), timeframe) if neuves else debut - marge + limite * pas


def est_tronque(exchange: Any, demande: tuple[Any, ...], debut: int, premiere: int, maintenant: int) -> bool:
    """Dit si le marché existait avant ce qui a été servi (kraken : 720 bougies), d'après un timeframe plus long."""
    symbole, _, limite, params = demande
    longs = sorted(exchange.timeframes.keys() - {"2w"}, key=exchange.parse_timeframe)  # kraken : 15 jours
    long = next((t for t in longs if exchange.parse_timeframe(t) * 1000 * limite >= maintenant - debut), longs[-1])
    longues = appeler(exchange, exchange.fetch_ohlcv, symbole, long, debut, limite, params)
    return any(suivante(ligne[0], long) <= premiere for ligne in longues)


def telecharger(options: argparse.Namespace) -> int:
    """Complète le CSV de la série demandée et rend le code de sortie."""
    exchange = ouvrir_exchange(options)
    verifier_symbole(exchange, options)
    symbole, prix, timeframe = options.symbole, options.prix_ohlcv, options.timeframe
    maximum = exchange.feature_value(symbole, "fetchOHLCV", "limit") or LIMITE_PRUDENTE
    maximum = maximum if prix == "last" else min(maximum, LIMITE_PRUDENTE)  # okx : 100 bougies mark par page
    limite = max(min(options.limite or maximum, maximum), 10 if timeframe[-1] in "wM" else 1)  # plus que la marge
    maintenant = appeler(exchange, exchange.fetch_time if exchange.has.get("fetchTime") else exchange.milliseconds)
    fin = min(maintenant + 1 if options.date_fin is None else options.date_fin, maintenant + 1)
    debut = fin - limite * suivante(0, timeframe) if options.date_debut is None else options.date_debut
    if debut >= fin:
        raise DemandeInvalideError("intervalle vide : --date-debut doit précéder --date-fin et l'instant présent")
    serie = [exchange.id, symbole, timeframe, prix]
    chemin = options.sortie or Path("donnees", re.sub("[/:]", "-", f"reference_{'_'.join(serie)}.csv"))
    anciennes = lire_csv(chemin, serie)
    bougies, curseur = dict(anciennes), premiere_ouverture(debut, timeframe)
    while curseur in bougies and curseur < fin:  # reprise : jusqu'à la première bougie qui manque
        curseur = suivante(curseur, timeframe)
    depart = max(debut, curseur - RELECTURE * suivante(0, timeframe))
    demande = (symbole, timeframe, limite, {**options.params, **({} if prix == "last" else {"price": prix})})
    try:
        for instant, *nombres in lire_pages(exchange, demande, depart, fin):
            if options.inclure_bougie_courante or suivante(instant, timeframe) <= maintenant - GRACE_MS:
                bougies[instant] = tuple("" if nombre is None else repr(float(nombre)) for nombre in nombres[:5])
    finally:  # ce qui est reçu avant un échec est d'un seul tenant : la relance en repart
        if bougies != anciennes:
            ecrire_csv(chemin, serie, bougies)
    journal.info("%s : %d bougies, dont %d nouvelles", chemin, len(bougies), len(bougies) - len(anciennes))
    premiere = min((instant for instant in bougies if debut <= instant < fin), default=fin)
    if premiere > premiere_ouverture(debut, timeframe) and est_tronque(exchange, demande, debut, premiere, maintenant):
        journal.warning("%s ne remonte pas jusqu'au début demandé : l'historique servi est partiel", exchange.id)
        return 3
    return 0


class Analyseur(argparse.ArgumentParser):
    """Un argparse dont les reproches sont en français."""

    def error(self, message: str) -> NoReturn:
        """Sort avec le code 2 et un message d'une ligne."""
        for anglais, francais in FRANCAIS.items():
            message = message.replace(anglais, francais)
        self.exit(2, f"{self.prog} : {message} (voir --help)\n")


def lire_options(arguments: list[str]) -> argparse.Namespace:
    """Lit la ligne de commande ; les noms sont ceux de la v2."""
    analyseur = Analyseur(prog="module_ccxt_fr.py", add_help=False, allow_abbrev=False)
    ajouter = analyseur.add_argument_group("options").add_argument
    ajouter("--exchange", default="binance", help="identifiant ccxt")
    ajouter("--type-marche", default="spot", choices=["spot", "swap", "future", "margin", "option"])
    ajouter("--sous-type", choices=["linear", "inverse"])
    ajouter("--symbole", required=True, help="symbole unifié ccxt")
    ajouter("--timeframe", default="1m")
    ajouter("--date-debut", type=lire_instant, help="ISO 8601, ms, ou -7j -12h -30m (incluse)")
    ajouter("--date-fin", type=lire_instant, help="idem (exclue)")
    ajouter("--limite", type=int, help="bougies par requête")
    ajouter("--prix-ohlcv", default="last", choices=list(CAPACITES))
    ajouter("--sortie", type=Path, help="fichier CSV")
    ajouter("--timeout", type=int, default=30_000, help="ms")
    ajouter("--sandbox", action="store_true", help="banc d'essai officiel de l'exchange")
    for nom in ("--options", "--params", "--config-ccxt"):
        ajouter(nom, type=lire_objet, default={}, help="objet JSON, ou @fichier.json")
    ajouter("--inclure-bougie-courante", action="store_true")
    ajouter("--journal", default="info", choices=["debug", "info", "warning", "error"])
    ajouter("--version", action="version", version=f"module_ccxt_fr {__version__} (ccxt {ccxt.__version__})")
    ajouter("-h", "--help", action="help", help="affiche cette aide et sort")
    return analyseur.parse_args(arguments)


def principal(arguments: list[str] | None = None) -> int:
    """Exécute la ligne de commande et rend son code de sortie."""
    mots = re.sub(r"(--date-\w+)\0-", r"\1=-", "\0".join(sys.argv[1:] if arguments is None else arguments))
    options = lire_options(mots.split("\0"))  # sans ce « = », argparse prendrait -7j pour une option
    logging.basicConfig(level=options.journal.upper(), format="%(levelname)s %(message)s")
    try:
        return telecharger(options)
    except (DemandeInvalideError, ccxt.BaseError, OSError, ValueError) as erreur:
        journal.error("%s : %s", options.symbole, erreur)
        return 2 if isinstance(erreur, (DemandeInvalideError, ccxt.NotSupported)) else 1


if __name__ == "__main__":
    sys.exit(principal())
