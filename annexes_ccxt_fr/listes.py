"""Les listes : alignées pour un terminal de 80 colonnes, en JSON ou en CSV pour une machine, et la page des exchanges.

La page se refait par `python -m annexes_ccxt_fr.listes docs/exchanges.md` ; un test la tient vraie.
"""

from __future__ import annotations

import collections
import csv
import dataclasses
import fnmatch
import io
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from annexes_ccxt_fr.histoires import page_des_histoires
from annexes_ccxt_fr.lecture_brute import lecteurs
from annexes_ccxt_fr.place import taille_lisible
from annexes_ccxt_fr.portees import portee_de
from module_ccxt_fr_v2 import (
    CANAUX,
    DOSSIER_SORTIES,
    EXTENSIONS,
    PRIX,
    Connexion,
    ErreurCollecte,
    ErreurDemande,
    Fiche,
    Reglages,
    Tache,
    Timeframe,
    de,
    decimal_lisible,
    en_iso,
    genre_de,
    identifiants_exchanges,
    journal,
    nombre_de,
    ouvrir_connexion,
    pause,
    proches,
)

Enregistrement = Mapping[str, Any]

# Comment un exchange est éprouvé : c'est ici que c'est dit, et un test compare à ce que les tests rejouent vraiment.
EMBARQUES = frozenset({"binance", "bybit", "kraken", "okx"})
_REJOUES = {
    ("spot",): (
        "alpaca backpack bequant bigone bitbank bitfinex bithumb bitopro bitso bitstamp bitteam bittrade bitvavo "
        "btcmarkets btcturk btse bullish cex coinbase coinbaseexchange coinbaseinternational coinsph cryptocom "
        "deepcoin deribit fmfwio foxbit gemini hashkey hitbtc hollaex indodax lbank luno mercado ndax onetrading "
        "p2b revolutx tokocrypto toobit upbit whitebit woo"
    ),
    ("linear",): (
        "apex aster blofin bydfi delta derive dydx extended grvt hibachi hyperliquid krakenfutures lighter "
        "modetrade mudrex nado pacifica paradex polymarket woofipro"
    ),
    ("spot", "linear"): "bingx bitget bitrue digifinex gate htx kucoin mexc phemex poloniex weex xt zebpay",
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
    "hyperliquid": "garde les 5 000 dernières bougies de chaque timeframe ; 1w et 1M peuvent répondre une erreur ; "
    "de ses tickers, le dernier prix est le milieu du carnet, et bid et ask les prix d'un gros ordre (impactPxs)",
    "kraken": "ses 720 dernières bougies, quel que soit le début demandé ; ses semaines ouvrent le jeudi et sont "
    "gardées ainsi, l'ancre est dans la fiche",
    **dict.fromkeys(
        ("upbit", "bithumb"),
        "d'un ticker, l'ouverture et les extrêmes sont de la journée, les volumes de vingt-quatre heures",
    ),
    "pacifica": "de ses tickers, le dernier prix est le milieu du carnet",
    "okx": "pas de volume aux prix mark et index ; peut réunir plusieurs trades sous un seul identifiant",
    "luno": "des clés sont nécessaires",
    "modetrade": "des clés sont nécessaires",
    "woofipro": "des clés sont nécessaires",
    "cex": 'demande `--params \'{"dataType": "bestAsk"}\'` (ou `bestBid`)',
}


def exchanges() -> Iterator[dict[str, Any]]:
    """Tous les exchanges de ccxt et ce que l'on en sait, sans une requête."""
    return map(decrire, identifiants_exchanges())


def decrire(nom: str) -> dict[str, Any]:
    """Les faits d'un exchange, comment il est éprouvé, et ce qu'il faut en savoir de plus."""
    faits = faits_de(Connexion(Reglages(nom)))
    rejoues = list(REJOUES.get(nom, ()))
    return {"exchange": nom, "epreuve": epreuve(nom, faits), "rejoues": rejoues, **faits, "note": NOTES.get(nom, "")}


def faits_de(connexion: Connexion) -> dict[str, Any]:
    """Ce que l'on sait d'un exchange sans rien lui demander.

    `page` et `unite_volume` : par genre (« spot », « linear », « inverse ») ; `sourde` : les genres et les prix
    dont seules les dernières bougies sont servies ; `portee` : bougies servies en tout, None si rien n'en est dit.
    """
    if not connexion.api.has.get("fetchOHLCV"):
        return {"timeframes": [], "prix": [], "page": {}, "sourde": [], "portee": None,
                "flux": connexion.canaux_offerts(), "unite_volume": {}}  # fmt: skip
    marches, portee = {genre_de(marche): marche for marche in genres_offerts(connexion)}, portee_de(connexion)
    return {
        "timeframes": connexion.timeframes_offerts(),
        "prix": connexion.prix_offerts() if set(marches) - {"spot"} else ["last"],
        "page": {genre: connexion.limite_maximale(marche, "last") for genre, marche in marches.items()},
        "sourde": sorted(portee.sourde & {*marches, *PRIX}),
        "portee": portee.bougies or None,
        "flux": connexion.canaux_offerts(),
        "unite_volume": {genre: connexion.unite_volume(marche) for genre, marche in marches.items()},
    }


def genres_offerts(connexion: Connexion) -> list[Mapping[str, Any]]:
    """Un marché type par genre que l'exchange annonce, sans requête : sa base s'y appelle « base »."""
    traits, capacites = connexion.api.features or {}, connexion.api.has
    au_comptant = capacites.get("spot") or traits.get("spot")
    genres: list[tuple[str, str | None]] = [("spot", None)] if au_comptant else []
    for type_marche in ("swap", "future"):
        sous_types = [s for s in ("linear", "inverse") if (traits.get(type_marche) or {}).get(s)]
        if capacites.get(type_marche):
            genres += [(type_marche, sous_type) for sous_type in sous_types or ["linear"]]
    return [
        {
            "type": type_marche, "subType": sous_type, "contract": sous_type is not None,
            "inverse": sous_type == "inverse", "base": "base", "quote": "cotation",
        }
        for type_marche, sous_type in genres
    ]  # fmt: skip


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


# --- Les commandes ---


async def lister(tache: Tache, quoi: str) -> list[str]:
    """Les lignes de `--lister` ; `tache.format` : celle d'une machine, s'il est dit."""
    nom, _, dossier = quoi.partition(" ")
    liste: Sequence[Enregistrement]
    dire: Callable[[Sequence[Enregistrement]], list[str]]
    if nom == "exchanges":
        tous = []
        for exchange in exchanges():
            tous.append(exchange)
            await pause(0)  # importer leurs cent classes prend deux secondes : un signal n'attend pas la dernière
        liste, dire = tous, table_des_exchanges
    elif nom == "donnees":
        liste, dire = donnees(Path(dossier) if dossier else DOSSIER_SORTIES), dire_donnees
    else:
        async with ouvrir_connexion(dataclasses.replace(tache, type_marche=tache.type_marche or "spot")) as connexion:
            if nom == "marches":
                liste, dire = await marches(connexion, tache), dire_marches
            else:
                liste, dire = [{"timeframe": code} for code in connexion.api.timeframes or {}], dire_timeframes
    return rediger(liste, tache.format) if tache.format else dire(liste)


def dire_timeframes(liste: Sequence[Enregistrement]) -> list[str]:
    """Un par ligne."""
    return [str(element["timeframe"]) for element in liste]


# --- Les marchés ---


async def marches(connexion: Connexion, tache: Tache) -> list[dict[str, Any]]:
    """Les marchés de l'exchange que la demande ne filtre pas ; ErreurDemande si aucun ne reste.

    `type_marche` vide : tous. `symbole` ou `symbols` : des motifs (`BTC*`, `*/USDT`), sans égard à la casse, comparés
    au symbole, à sa forme courte et à l'identifiant de l'exchange ; aucun : tous.
    """
    await connexion.charger_marches()
    motifs = [motif.upper() for motif in tache.demandes]
    tous = [marche for _, marche in sorted(connexion.api.markets.items())]
    gardes = [marche for marche in tous if _est_du_type(marche, tache) and _convient(marche, motifs)]
    if not gardes:
        genre = " ".join(filter(None, (tache.type_marche, tache.sous_type))) or "tous types"
        quoi = f" pour {', '.join(motifs)}" if motifs else ""
        conseil = proches(motifs[0].strip("*?"), connexion.api.markets) if motifs else ""
        raise ErreurDemande(f"Aucun marché {de(tache.exchange)} ({genre}){quoi}", conseil or "Élargissez la demande.")
    return [_decrire_marche(connexion, marche) for marche in gardes]


def _est_du_type(marche: Enregistrement, tache: Tache) -> bool:
    if tache.sous_type and marche.get("subType") != tache.sous_type:
        return False
    if tache.type_marche == "margin":
        return bool(marche.get("margin"))
    return not tache.type_marche or marche.get("type") == tache.type_marche


def _convient(marche: Enregistrement, motifs: Sequence[str]) -> bool:
    symbole = str(marche["symbol"])
    noms = [nom.upper() for nom in (symbole, symbole.partition(":")[0], str(marche.get("id")))]
    return not motifs or any(fnmatch.fnmatchcase(nom, motif) for nom in noms for motif in motifs)


def _decrire_marche(connexion: Connexion, marche: Enregistrement) -> dict[str, Any]:
    cotation = marche.get("created")
    return {
        "symbole": marche["symbol"],
        "genre": " ".join(filter(None, (marche.get("type"), marche.get("subType")))),
        "etat": "retiré" if marche.get("active") is False else "actif",
        "id": str(marche.get("id") or ""),
        "taille_contrat": marche.get("contractSize"),
        "unite_volume": connexion.unite_volume(marche),
        "cotation": en_iso(int(cotation)) if cotation else None,
    }


def dire_marches(liste: Sequence[Enregistrement]) -> list[str]:
    """Un marché par ligne, colonnes séparées d'une tabulation : symbole, genre, état, contrat, unité, cotation."""
    lignes = []
    for marche in liste:
        taille = marche["taille_contrat"]
        suite = [
            f"contrat de {decimal_lisible(f'{taille:.15g}')}" if taille else "",
            f"volume : {marche['unite_volume']}",
            f"coté depuis {marche['cotation']}" if marche["cotation"] else "",
        ]
        lignes.append("\t".join([marche["symbole"], marche["genre"], marche["etat"], *filter(None, suite)]))
    return lignes


# --- Les données ---


def donnees(dossier: Path) -> list[dict[str, Any]]:
    """Les séries des sorties d'un dossier et de ses sous-dossiers, d'après leurs fiches ; ErreurDemande s'il n'est pas.

    Un fichier qui n'est pas l'une de nos sorties n'y est pas ; celui qui ne se lit pas est dit au journal.
    """
    if not dossier.is_dir():
        quoi = "n'est pas un dossier" if dossier.exists() else "n'existe pas"
        raise ErreurDemande(f"« {dossier} » {quoi} : rien à lister", "Donnez le dossier des sorties.")
    return [serie for chemin in sorted(dossier.rglob("*")) if _a_lire(chemin) for serie in _series_de(chemin)]


def _a_lire(chemin: Path) -> bool:
    return chemin.is_file() and chemin.name.lower().endswith(tuple(EXTENSIONS))


def _series_de(chemin: Path) -> Iterator[dict[str, Any]]:
    """Les séries d'un fichier, une par fiche."""
    try:
        lus = lecteurs(chemin)
        etat = chemin.stat()
        for lecteur in lus:
            for fiche in sorted(lecteur.lire_fiches(), key=lambda fiche: fiche.cle):
                nom = lecteur.table if len(lus) > 1 else None
                yield {
                    "fichier": str(chemin),
                    "table": nom,
                    "donnee": lecteur.type_donnee.nom,
                    **_decrire_serie(fiche),
                    "octets": etat.st_size,
                    "modifie": en_iso(int(etat.st_mtime) * 1000),
                }
    except ErreurDemande as refus:
        journal.debug("« %s » n'est pas listé : %s", chemin, refus)
    except (ErreurCollecte, OSError) as erreur:
        journal.warning("« %s » ne se lit pas : %s", chemin, erreur)


def _decrire_serie(fiche: Fiche) -> dict[str, Any]:
    connu = fiche.expliques()
    total = sum(fin - debut for debut, fin in connu)
    prouve = sum(fin - debut for debut, fin in fiche.couverts)
    trous = collections.Counter(trou.raison for trou in fiche.lacunes())
    return {
        **fiche.cle._asdict(),
        "origine": fiche.origine,
        "debut": en_iso(fiche.couverts[0][0]) if fiche.couverts else None,
        "fin": en_iso(fiche.couverts[-1][1]) if fiche.couverts else None,
        "couverture": round(100 * prouve / total, 4) if total else None,
        "trous": dict(sorted(trous.items())),
    }


def dire_donnees(liste: Sequence[Enregistrement]) -> list[str]:
    """Un fichier par ligne (taille, dernière écriture), puis ses séries en retrait (étendue, couverture, trous)."""
    lignes, dernier = [], None
    for serie in liste:
        if serie["fichier"] != dernier:
            dernier = serie["fichier"]
            lignes.append(f"{dernier}  {taille_lisible(serie['octets'])}, écrit le {serie['modifie']}")
        quoi = " ".join(filter(None, (serie["symbole"], serie["timeframe"] or serie["donnee"])))
        ou = ", ".join(filter(None, (serie["exchange"], _sauf(serie["prix"], "last"), serie["table"],
                                     _sauf(serie["origine"], "reel"))))  # fmt: skip
        trous = ", ".join(f"{nombre} {raison}" for raison, nombre in serie["trous"].items())
        etendue = f"de {serie['debut']} à {serie['fin']}" if serie["debut"] else "rien de prouvé"
        couverture = f", {serie['couverture']:g} %" if serie["couverture"] not in (None, 100) else ""
        suite = f" ; trous : {trous}" if trous else ""
        lignes.append(f"  {quoi} ({ou}) : {etendue}{decimal_lisible(couverture)}{suite}")
    fichiers = len({serie["fichier"] for serie in liste})
    return [*lignes, f"{nombre_de(len(liste), 'série')}, {nombre_de(fichiers, 'fichier')}."]


def _sauf(texte: str, usuel: str) -> str:
    """Ce qui n'est pas l'usage se dit."""
    return "" if texte == usuel else texte


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
    tous = list(exchanges())
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
