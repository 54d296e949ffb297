"""Les listes : alignées pour un terminal de 80 colonnes, en JSON ou en CSV pour une machine, et la page des exchanges.

La page se refait par `python -m annexes_ccxt_fr.listes docs/exchanges.md` ; un test la tient vraie.
"""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from annexes_ccxt_fr.histoires import page_des_histoires
from module_ccxt_fr_v2 import CANAUX, PRIX, Connexion, Reglages, Timeframe, identifiants_exchanges

Enregistrement = Mapping[str, Any]

# Comment un exchange est éprouvé : c'est ici que c'est dit, et un test compare à ce que les tests rejouent vraiment.
EMBARQUES = frozenset({"binance", "bybit", "kraken", "okx"})
_REJOUES = {
    ("spot",): (
        "alpaca backpack bequant bigone bingx bitbank bitfinex bitget bithumb bitopro bitrue bitso bitstamp bitteam "
        "bittrade bitvavo btcmarkets btcturk btse bullish cex coinbase coinbaseexchange coinbaseinternational coinsph "
        "cryptocom deepcoin deribit digifinex fmfwio foxbit gemini hashkey hitbtc hollaex indodax kucoin lbank luno "
        "mercado mexc ndax onetrading p2b poloniex revolutx tokocrypto toobit upbit weex whitebit woo xt zebpay"
    ),
    ("linear",): (
        "apex aster blofin bydfi delta derive dydx extended grvt hibachi hyperliquid krakenfutures lighter modetrade "
        "mudrex nado pacifica paradex phemex polymarket woofipro"
    ),
    ("spot", "linear"): "gate htx",
}
REJOUES = {nom: genres for genres, noms in _REJOUES.items() for nom in noms.split()}
EPREUVES = {
    "embarqué": "l'exchange entier est imité (`bourse_locale`), flux compris, et toute la suite de tests passe par lui",
    "rejoué": "sa vraie classe ccxt lit, par la boucle locale, des bougies dans son format brut, pour les genres de "
    "marché dits ; le fichier égale l'oracle",
    "requête": "la demande de sa vraie classe ccxt est captée et vérifiée ; sa réponse n'est pas rejouée",
    "non": "il ne sert pas de bougies (`fetchOHLCV`)",
}
NOTES = {
    "bitbank": "un fichier par jour, ou par an : rien n'y prouve la cotation d'un marché jeune",
    "bybit": "en direct, le REST ne rend que ses derniers trades (60 au comptant, 1000 sur les contrats) : une coupure "
    "plus longue est un trou de trades ; ses bougies se relisent. Au comptant, ses tickers n'ont ni bid ni ask",
    "binance": "volume 0 aux prix mark et index",
    "gate": "refuse au-delà de 10 000 bougies en arrière",
    "hyperliquid": "garde les 5 000 dernières bougies de chaque timeframe ; 1w et 1M peuvent répondre une erreur",
    "kraken": "ses 720 dernières bougies, quel que soit le début demandé ; ses semaines ouvrent le jeudi et sont "
    "gardées ainsi, l'ancre est dans la fiche",
    "okx": "pas de volume aux prix mark et index ; peut réunir plusieurs trades sous un seul identifiant",
    "luno": "des clés sont nécessaires",
    "modetrade": "des clés sont nécessaires",
    "woofipro": "des clés sont nécessaires",
    "cex": "demande `--params '{\"dataType\": \"bestAsk\"}'` (ou `bestBid`)",
}


def exchanges() -> list[dict[str, Any]]:
    """Tous les exchanges de ccxt et ce que l'on en sait, sans une requête."""
    return [decrire(nom) for nom in identifiants_exchanges()]


def decrire(nom: str) -> dict[str, Any]:
    """Les faits d'un exchange (`Connexion.faits`), comment il est éprouvé, et ce qu'il faut en savoir de plus."""
    faits = Connexion(Reglages(nom)).faits()
    rejoues = list(REJOUES.get(nom, ()))
    return {"exchange": nom, "epreuve": epreuve(nom, faits), "rejoues": rejoues, **faits, "note": NOTES.get(nom, "")}


def epreuve(nom: str, faits: Enregistrement) -> str:
    """« embarqué », « rejoué », « requête » ou « non » (cf. EPREUVES)."""
    if not faits["prix"]:
        return "non"
    return "embarqué" if nom in EMBARQUES else "rejoué" if nom in REJOUES else "requête"


# --- Les formes ---


def rediger(enregistrements: Sequence[Enregistrement], forme: str) -> list[str]:
    """Une liste pour une machine, en lignes : un tableau JSON, un élément par ligne ; ou un CSV, plat.

    Dans le CSV : `a b c` pour une liste, `nom=valeur` pour un dictionnaire, rien pour une valeur inconnue.
    """
    if forme == "json":
        lignes = [json.dumps(enregistrement, ensure_ascii=False) for enregistrement in enregistrements]
        return ["[", *(f"{ligne}," for ligne in lignes[:-1]), *lignes[-1:], "]"]
    tampon = io.StringIO()
    colonnes = list(enregistrements[0]) if enregistrements else []
    ecrivain = csv.writer(tampon, lineterminator="\n")
    ecrivain.writerow(colonnes)
    ecrivain.writerows([[_cellule(e[nom]) for nom in colonnes] for e in enregistrements])
    return tampon.getvalue().splitlines()


def _cellule(valeur: object) -> str:
    if isinstance(valeur, Mapping):
        return " ".join(f"{nom}={v}" for nom, v in valeur.items())
    return " ".join(map(str, valeur)) if isinstance(valeur, list) else "" if valeur is None else str(valeur)


def aligner(lignes: Iterable[Sequence[str]]) -> list[str]:
    """Des colonnes alignées, séparées d'une espace ; la première ligne est leur nom."""
    toutes = list(lignes)
    largeurs = [max(map(len, colonne)) for colonne in zip(*toutes, strict=True)]
    return [" ".join(map(str.ljust, ligne, largeurs)).rstrip() for ligne in toutes]


# --- Les exchanges ---


def table_des_exchanges(tous: Sequence[Enregistrement]) -> list[str]:
    """Une ligne par exchange, 80 colonnes au plus, puis ce que veulent dire les lettres."""
    lignes = [[lire(exchange) for lire in _COLONNES.values()] for exchange in tous]
    return [*aligner([list(_COLONNES), *lignes]), "", *_LEGENDE]


def _timeframes(exchange: Enregistrement) -> str:
    codes = sorted(exchange["timeframes"], key=lambda code: Timeframe.lire(code).pas_ms)
    return f"{codes[0]}-{codes[-1]}" if len(codes) > 1 else "".join(codes) or "-"


def _page(exchange: Enregistrement) -> str:
    pages = sorted(set(exchange["page"].values()))
    return "-".join(map(str, [*pages[:1], *pages[1:][-1:]])) or "-"


def _sourds(exchange: Enregistrement) -> list[str]:
    """Les genres et les prix dont il ne sert que les dernières bougies, parmi ceux qu'il a."""
    return [nom for nom in exchange["sourde"] if nom in {*exchange["page"], *exchange["prix"]}]


def _recul(exchange: Enregistrement) -> str:
    if exchange["portee"]:
        return str(exchange["portee"])
    sourds = set(_sourds(exchange))
    return "" if not sourds else "page" if sourds >= set(exchange["page"]) else "en partie"


def _lettres(noms: Mapping[str, str], presents: Iterable[str]) -> str:
    return "".join(lettre if nom in presents else "-" for nom, lettre in noms.items())


def _volume(exchange: Enregistrement) -> str:
    """L'unité du volume d'un contrat ; au comptant, c'est toujours la monnaie de base."""
    unites = set(_unites_des_contrats(exchange).values())
    return "selon" if len(unites) > 1 else "".join(unites)


def _unites_des_contrats(exchange: Enregistrement) -> dict[str, str]:
    return {genre: unite for genre, unite in exchange["unite_volume"].items() if genre != "spot"}


_LETTRES_DES_PRIX = dict(zip(PRIX, "lmip", strict=True))
_LETTRES_DES_FLUX = dict(zip(CANAUX, "btkc", strict=True))
_COLONNES: Mapping[str, Callable[[Enregistrement], str]] = {
    "exchange": lambda e: str(e["exchange"]),
    "éprouvé": lambda e: str(e["epreuve"]),
    "timeframes": _timeframes,
    "page": _page,
    "recul": _recul,
    "prix": lambda e: _lettres(_LETTRES_DES_PRIX, e["prix"]),
    "flux": lambda e: _lettres(_LETTRES_DES_FLUX, e["flux"]),
    "contrats": _volume,
}
_LEGENDE = (
    "éprouvé : embarqué (imité en entier), rejoué (ses réponses brutes, par sa vraie",
    "  classe), requête (sa demande seule), non (il n'a pas de bougies)",
    "page : bougies par requête ; recul : bougies servies en tout depuis maintenant,",
    "  « page » la dernière page seulement, « en partie » selon le marché ou le prix",
    "prix : l last, m mark, i index, p premiumIndex ; flux : b bougies, t trades,",
    "  k ticker, c carnet ; contrats : unité de leur volume (au comptant, la base)",
    "Tout est dans --format json et --format csv, et dans docs/exchanges.md.",
)


# --- La page ---

_ENTETE = """# Les exchanges

Page faite par `python -m annexes_ccxt_fr.listes docs/exchanges.md`, des mêmes déclarations que `--lister exchanges` ;
un test la tient vraie. Rien n'y est demandé à un exchange : c'est ce que disent sa classe ccxt et ce projet.

## Comment un exchange est éprouvé

{epreuves}

## La table

- **page** : bougies par requête, par genre de marché ;
- **recul** : ce qu'il sert en tout, compté depuis maintenant ; vide, rien n'en est connu. « la dernière page » : sa
  demande ne dit pas quelle fenêtre elle veut. Ce qui est plus ancien est `hors_fenetre_api`, code 3 ;
- **flux** : ce que `--stream` sait suivre ;
- **volume** : l'unité de la colonne `volume` d'un contrat ; au comptant, la monnaie de base.

| exchange | éprouvé | timeframes | prix | page | recul | flux | volume |
|---|---|---|---|---|---|---|---|
{table}

{histoires}
## À savoir

{notes}
"""


def page_des_exchanges() -> str:
    """La page `docs/exchanges.md`."""
    tous = exchanges()
    nombres = {nom: sum(e["epreuve"] == nom for e in tous) for nom in EPREUVES}
    return _ENTETE.format(
        epreuves="\n".join(f"- **{nom}** ({nombres[nom]}) : {sens}." for nom, sens in EPREUVES.items()),
        table="\n".join(map(_en_markdown, tous)),
        notes="\n".join(f"- **{nom}** : {note}." for nom, note in sorted(NOTES.items())),
        histoires=page_des_histoires(),
    )


def _en_markdown(exchange: Enregistrement) -> str:
    cellules = [
        exchange["exchange"], _epreuve_en_mots(exchange), " ".join(exchange["timeframes"]), " ".join(exchange["prix"]),
        _par_genre(exchange["page"]), _recul_en_mots(exchange), " ".join(exchange["flux"]),
        _par_genre(_unites_des_contrats(exchange)),
    ]  # fmt: skip
    return f"| {' | '.join(cellules)} |"


def _epreuve_en_mots(exchange: Enregistrement) -> str:
    rejoues = ", ".join(exchange["rejoues"])
    return f"{exchange['epreuve']} ({rejoues})" if rejoues else str(exchange["epreuve"])


def _par_genre(valeurs: Mapping[str, int | str]) -> str:
    """« 1000 » si tous les genres ont la même, sinon chacun la sienne."""
    if len(set(valeurs.values())) == 1:
        return str(next(iter(valeurs.values())))
    return ", ".join(f"{genre} {valeur}" for genre, valeur in valeurs.items())


def _recul_en_mots(exchange: Enregistrement) -> str:
    if exchange["portee"]:
        return f"{exchange['portee']} bougies"
    sourds = _sourds(exchange)
    lesquels = "" if set(sourds) >= set(exchange["page"]) else f" ({', '.join(sourds)})"
    return f"la dernière page{lesquels}" if sourds else ""


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page_des_exchanges(), encoding="utf-8")
