"""Remettre en ordre une sortie : n'en garder que ce qui peut être vrai, et dire ce qui en manque, à relire.

Le module n'y vient que quand une sortie n'est pas telle que sa fiche ou son sceau le disent (et d'une base, qui n'a ni
l'un ni l'autre, à chaque ouverture) ; `--reparer`, de toute sortie fautive. Le verdict est celui de `controle`.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from annexes_ccxt_fr.controle import AVANCE_ADMISE_MS, EN_DOUBLE, Rapport, accordee, contradictions, controler, courante
from annexes_ccxt_fr.lecture_brute import FICHE_ABIMEE, exiger_une_origine, fiches_portees, lecteurs
from annexes_ccxt_fr.menage import oter_les_temporaires
from annexes_ccxt_fr.mises_de_cote import desarmer_le_sien, nom_de_cote
from module_ccxt_fr_v2 import (
    FUNDING,
    INSTANT_MAX_MS,
    LIGNES_PAR_LOT,
    OHLCV,
    OPEN_INTEREST,
    ORDERBOOK,
    SOMMES_MAX,
    TICKER,
    TRADES,
    CleSerie,
    CodecCsv,
    ErreurDemande,
    Fiche,
    Lot,
    Sortie,
    SortieFichier,
    SortieIllisible,
    SortieSqlite,
    Timeframe,
    TypeDonnee,
    en_lisant,
    fiches_sqlite,
    grille,
    journal,
    lecteur_de,
    maintenant_ms,
    nombre_de,
    oter,
    trier,
    unir,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    import pyarrow as pa
else:
    from module_ccxt_fr_v2 import pa

ILLISIBLES = {"illisible", "colonnes"}  # la sortie ne se répare pas en place
# Ce dont l'ouverture d'une sortie s'occupe elle-même, ou qui n'ôte aucune ligne.
SANS_LIGNE_FAUTIVE = {"absente", "dans_un_trou", "cotation", "fiche", "types", "ligne_coupee", FICHE_ABIMEE}


# --- Ce qui en reste


def retenir(sortie: Sortie) -> tuple[pa.Table, dict[CleSerie, Fiche], int]:
    """Ce qui se lit d'une sortie et qui peut être vrai, les fiches d'accord avec cela, et combien de lignes en partent.

    ErreurDemande s'il n'y a ni lignes ni fiche.
    """
    lots = [sortie.type_donnee.schema.empty_table()]
    fiches = {fiche.cle: accordee(fiche, [], fiche.couverts) for fiche in fiches_portees(sortie)}
    rapport = Rapport(sortie.chemin, sortie.format)
    controle = controler(sortie, rapport, lambda lot, gardees: lots.append(lot.take(gardees)), sauver=True)
    if controle is not None and (controle.examens or not controle.lues):
        lignes = controle.departager(pa.concat_tables(lots))
        return lignes, controle.fiches(), controle.lues - lignes.num_rows
    if not fiches:
        raise ErreurDemande(
            f"{rapport.constats[0].phrase} : rien ne dit ce que « {sortie.chemin.name} » tenait",
            "Déplacez-le, puis relancez la commande qui l'a produit : elle redemandera tout.",
        )
    return lots[0], fiches, 0


def remplacer(sortie: Sortie, lignes: pa.Table, fiches: Mapping[CleSerie, Fiche]) -> None:
    """Sous verrou, d'un coup : la sortie n'a plus que ces lignes, triées, et ces fiches."""
    if isinstance(sortie, SortieFichier):
        sortie.fiches = dict(fiches)
        sortie.recrire([trier(lignes, sortie.type_donnee)])
        sortie.ecrire_fiche()
        return
    tables = cast("SortieSqlite", sortie)
    with tables.transaction() as base:
        (nombre,) = base.execute(f'SELECT COUNT(*) FROM "{tables.table}"').fetchone()
        if nombre != lignes.num_rows:
            base.execute(f'DELETE FROM "{tables.table}"')
            for debut in range(0, lignes.num_rows, LIGNES_PAR_LOT):
                tables.mettre(base, lignes[debut : debut + LIGNES_PAR_LOT])
        tables.fiches, tables.inscrites = dict(fiches), set()
        comptes = tables.compter(base)
        for cle, fiche in fiches.items():
            fiche.lignes = None if tables.type_donnee.a_une_grille else comptes[cle]
            tables.inscrire(base, fiche, Lot(cle, lignes[:0], fiche.couverts, fiche.trous))
    tables.finir()
    tables.a_change = True


def _remettre(sortie: Sortie, rapport: Rapport, *, prouve: bool = True) -> None:
    """Récrit une sortie de ce qui peut être vrai ; l'original de ce qui en part reste à côté.

    `prouve` : faux si rien n'y est plus tenu pour couvert.
    """
    if EN_DOUBLE & rapport.fautes.keys():
        journal.warning("« %s » : lignes en désordre, triées.", sortie.chemin)
    lignes, fiches, otees = retenir(sortie)
    for fiche in () if prouve else fiches.values():
        fiche.couverts = []
    if otees:
        cible = _garder_un_fichier(sortie.chemin) if isinstance(sortie, SortieFichier) else _garder_une_base(sortie)
        phrase = "« %s » : %s, ou d'une série inconnue, en moins ; original mis de côté : « %s »."
        journal.warning(phrase, sortie.chemin, nombre_de(otees, "ligne abîmée"), cible.name)
    if isinstance(sortie, SortieFichier) and (otees or rapport.fautes.keys() - EN_DOUBLE):
        desarmer_le_sien(sortie)
    remplacer(sortie, lignes, fiches)


def _garder_un_fichier(chemin: Path) -> Path:
    """Le met de côté sans l'ôter de sa place, où un autre le remplacera d'un coup."""
    cible = nom_de_cote(chemin, "corrompu")
    with en_lisant(chemin):
        try:
            cible.hardlink_to(chemin)
        except OSError:  # exFAT, certains partages
            shutil.copy2(chemin, _provisoire(chemin))
            _provisoire(chemin).replace(cible)
    return cible


def _garder_une_base(sortie: Sortie) -> Path:
    cible, copie = nom_de_cote(sortie.chemin, "corrompu"), _provisoire(sortie.chemin)
    with cast("SortieSqlite", sortie).lecteur() as base, contextlib.closing(sqlite3.connect(copie)) as neuve:
        base.backup(neuve)
    copie.replace(cible)
    return cible


def _provisoire(chemin: Path) -> Path:
    """Le nom d'un fichier à moitié fait : tuée, l'ouverture suivante l'efface."""
    return chemin.with_name(f"{chemin.name}.{os.getpid()}.tmp")


def _garder_la_fiche(sortie: SortieFichier) -> None:
    """Une fiche abîmée, avant qu'une neuve ne la remplace : absente entre-temps, l'inventé passerait pour réel."""
    abimee = sortie.feuille.chemin
    phrase = "« %s » est abîmée, tout ce qu'elle couvrait sera redemandé : original mis de côté sous « %s »."
    journal.warning(phrase, abimee, _garder_un_fichier(abimee).name)


# --- À la demande : `--reparer`


def assainir_sortie(chemin: Path, table: str | None = None) -> bool:
    """Remet une sortie en état sans réseau ; ce qui manque devient un trou `echec`. Rend vrai si elle a changé.

    Illisible, elle est mise de côté, et refaite de ce qui s'en lit ; ErreurDemande si sa fiche ne se lit pas.
    """
    a_lire = lecteurs(chemin, table)
    rapport = Rapport(chemin, a_lire[0].format)
    with a_lire[0].tenue(), contextlib.ExitStack() as pile:
        for lecteur in a_lire:
            pile.callback(lecteur.fermer)
            controler(lecteur, sien := Rapport(chemin, lecteur.format))
            del sien.fautes["dans_un_trou"]  # rien à y remettre : la relecture dira ce qu'il en est
            rapport.fautes += sien.fautes
            if sien.fautes and not sien.fautes.keys() & ILLISIBLES:
                if isinstance(lecteur, SortieFichier) and FICHE_ABIMEE in sien.fautes:
                    _garder_la_fiche(lecteur)
                _remettre(lecteur, sien)
        if rapport.fautes.keys() & ILLISIBLES:
            voisins = lecteurs(chemin) if isinstance(a_lire[0], SortieSqlite) else []  # elle est refaite entière
            tables = {lecteur.table.lower(): lecteur for lecteur in (*a_lire, *voisins)}
            for lecteur in voisins:
                pile.callback(lecteur.fermer)
            _refaire(list(tables.values()))
    if rapport.fautes:
        natures = ", ".join(f"{nombre} {nature}" for nature, nombre in rapport.fautes.items())
        journal.info("« %s » : réparé sans réseau (%s).", chemin, natures)
    en_attente = isinstance(a_lire[0], SortieFichier) and a_lire[0].nom_journal.exists()
    if en_attente:
        with lecteur_de(chemin, table) as ecrivain:  # fond le journal
            ecrivain.finir()
        assainir_sortie(chemin, table)
    return en_attente or bool(rapport.fautes)


def _refaire(a_lire: Sequence[Sortie]) -> None:
    """Refait d'un coup une sortie illisible de ce qui s'en lit encore : le reste est à relire. L'original reste à côté.

    Le journal d'un fichier, qui ne prouve plus que les lignes qu'il porte, sera fondu dans le neuf.
    """
    sauves = [(lecteur, *retenir(lecteur)[:2]) for lecteur in a_lire]
    if isinstance(premier := a_lire[0], SortieFichier):
        desarmer_le_sien(premier)
        cible = _garder_un_fichier(premier.chemin)
        if premier.feuille.a_part and premier.feuille.chemin.exists():
            _garder_un_fichier(premier.feuille.chemin)
        remplacer(*sauves[0])
    else:
        cible = _remplacer_la_base(sauves)
    phrase = "« %s » est illisible : refait de ce qui s'en lit, original mis de côté : « %s »."
    journal.warning(phrase, premier.chemin, cible.name)


def _remplacer_la_base(sauves: Sequence[tuple[Sortie, pa.Table, dict[CleSerie, Fiche]]]) -> Path:
    """Faite à part, la neuve prend d'un coup la place de l'ancienne, dont le nom de côté est rendu."""
    chemin, voisins = sauves[0][0].chemin, sauves[0][0].voisins()
    oter_les_temporaires(chemin)  # d'une autre, tuée
    neuve = _provisoire(chemin)
    for ancienne, lignes, fiches in sauves:
        cast("SortieSqlite", ancienne).deconnecter()
        table = ancienne.decrit(neuve, type_donnee=ancienne.type_donnee, table=ancienne.table)
        remplacer(table, lignes, fiches)
        table.fermer()
    shutil.copymode(chemin, neuve)
    cible = _garder_un_fichier(chemin)
    for voisin in filter(Path.exists, voisins):  # ce qui attendait dans l'ancienne serait rejoué dans la neuve
        voisin.rename(voisin.with_name(voisin.name + cible.name.removeprefix(chemin.name)))
    neuve.replace(chemin)
    return cible


# --- À l'ouverture


def assainir_fichier(sortie: SortieFichier, entete: Mapping[str, Any] | None) -> bool:
    """Ôte d'un fichier qu'un autre a touché ce qui ne peut être vrai ; faux si rien ne prouve plus ce qu'il couvre.

    D'une feuille abîmée, les lignes restent, sans preuve. Des événements qu'un autre outil a récrits ne
    prouvent rien non plus.
    """
    prouve = True
    if sortie.feuille.est_abimee():
        exiger_une_origine(sortie)
        _garder_la_fiche(sortie)
        prouve = False
    elif entete and entete.get("scelle") and not sortie.type_donnee.a_une_grille:
        journal.warning("« %s » : récrit par un autre outil, rien n'est plus tenu pour couvert.", sortie.chemin)
        prouve = False
    if sortie.octets <= SOMMES_MAX:
        _oter_les_fautives(sortie, SANS_LIGNE_FAUTIVE, prouve=prouve)
    if isinstance(sortie.codec, CodecCsv) and sortie.codec.fuseau(sortie.chemin) is None:
        journal.info("« %s » : instants récrits sans fuseau, tenus pour UTC.", sortie.chemin)
        sortie.recrire(sortie.tableau.lots())  # rien de ce qui s'y ajoutera ne serait lu avec eux
    return prouve


def assainir_base(sortie: SortieSqlite, base: sqlite3.Connection) -> None:
    """La même chose d'une base : elle n'a ni empreinte ni sceau, mais SQLite sait chercher vite."""
    if _est_douteuse(sortie, base):
        _oter_les_fautives(sortie, SANS_LIGNE_FAUTIVE - {"absente", "fiche"})  # son compte peut tomber juste


def _oter_les_fautives(sortie: Sortie, admises: Collection[str], *, prouve: bool = True) -> None:
    """`--verifier` y verrait des fautes ; celles que l'ouverture admet, elle y remédiera."""
    controler(sortie, rapport := Rapport(sortie.chemin, sortie.format))
    if rapport.fautes.keys() & ILLISIBLES:
        raise SortieIllisible(next(c.phrase for c in rapport.constats if c.nature in ILLISIBLES))
    if rapport.fautes.keys() - admises:
        _remettre(sortie, rapport, prouve=prouve)


def _est_douteuse(sortie: SortieSqlite, base: sqlite3.Connection) -> bool:
    """Vrai d'une base dont une ligne au moins est à regarder de plus près."""
    fiches = {fiche.cle: fiche for fiche in fiches_sqlite(base, sortie.table)}
    series = {CleSerie(*map(str, s)) for s in base.execute(f'SELECT DISTINCT {sortie.series} FROM "{sortie.table}"')}
    condition = _doute(sortie.type_donnee, fiches.values())
    if (fiches and series - fiches.keys()) or base.execute(
        f'SELECT 1 FROM "{sortie.table}" WHERE {condition} LIMIT 1'
    ).fetchone():
        return True
    if any(map(contradictions, fiches.values())):
        return True
    return sortie.type_donnee.a_une_grille and _a_une_bougie_ailleurs(sortie, base, fiches)


def _a_une_bougie_ailleurs(sortie: SortieSqlite, base: sqlite3.Connection, fiches: Mapping[CleSerie, Fiche]) -> bool:
    """Vrai si une bougie est là où la fiche de sa série n'en dit rien, ou dit qu'il n'y en a pas."""
    de_la_serie = " AND ".join(f"ligne.{champ} = trou.{champ}" for champ in CleSerie._fields)
    # D'une requête : un marché rare a cent mille trous.
    dans_un_trou = f"""SELECT 1 FROM "{sortie.table}_trous" AS trou CROSS JOIN "{sortie.table}" AS ligne
        ON {de_la_serie} AND ligne.timestamp >= trou.debut AND ligne.timestamp < trou.fin LIMIT 1"""
    if fiches and base.execute(dans_un_trou).fetchone():
        return True
    dedans = f'SELECT 1 FROM "{sortie.table}" WHERE {sortie.d_une_serie} AND timestamp >= ? AND timestamp < ? LIMIT 1'
    return any(
        base.execute(dedans, (*cle, *inconnu)).fetchone()
        for cle, fiche in fiches.items()
        for inconnu in oter([(0, INSTANT_MAX_MS)], unir(fiche.dits(), courante(fiche)))
    )


# Le caractère nul finit un texte pour GLOB : il se cherche parmi les octets.
_A_UN_CONTROLE = (
    "{0} GLOB '*[' || char(1) || '-' || char(31) || char(127) || ']*' OR instr(CAST({0} AS BLOB), x'00') > 0"
)
# Ce que `possibles` refuserait peut-être : SQLite ne rend que ces lignes-là ; un carnet, il ne saurait le lire.
_DOUTES_SQL = {
    TRADES.nom: "(price > 0 AND amount >= 0) IS NOT TRUE OR "
    + " OR ".join(_A_UN_CONTROLE.format(nom) for nom in ("id", "side")),
    TICKER.nom: " AND ".join(f'"{nom}" IS NULL' for nom, nature in TICKER.colonnes if nature == "nombre"),
    ORDERBOOK.nom: "TRUE",
    FUNDING.nom: "funding_rate IS NULL OR mark_price <= 0",
    OPEN_INTEREST.nom: "coalesce(amount, value) IS NULL OR amount < 0 OR value < 0",
}


def _hors_grille(pas: Timeframe) -> str:
    if not pas.mois:
        return f"(timestamp - {pas.plancher(0)}) % {pas.pas_ms} NOT BETWEEN 0 AND {pas.jeu_ms}"
    date = f"(timestamp - {pas.ancre_ms}) / 1000, 'unixepoch'"
    premier = f"strftime('%s', {date}, 'start of month') * 1000 + {pas.ancre_ms}"
    rang = f"(strftime('%Y', {date}) - 1970) * 12 + strftime('%m', {date}) - 1"
    return f"(timestamp != {premier} OR ({rang}) % {pas.mois} != 0)"


def _doute(donnee: TypeDonnee, fiches: Iterable[Fiche]) -> str:
    """La condition SQL d'une ligne à regarder de plus près."""
    natures = {"texte": "'text'", "instant": "'integer'", "nombre": "'real', 'integer'", "entier": "'integer'"}
    doutes = [
        f'typeof("{nom}") NOT IN ({natures.get(nature, natures["texte"])}'
        + (")" if nom in donnee.obligatoires else ", 'null')")
        for nom, nature in donnee.colonnes
    ]
    doutes.append(f"timestamp NOT BETWEEN 0 AND {maintenant_ms() + AVANCE_ADMISE_MS}")
    nombres = [nom for nom, nature in donnee.colonnes if nature == "nombre"]
    doutes += [f'"{nom}" IN (9e999, -9e999)' for nom in nombres]
    if donnee is OHLCV:
        signe = "prix != 'premiumIndex' AND NOT (open > 0 AND high > 0 AND low > 0 AND close > 0)"
        doutes += ["open + high + low + close IS NULL", "high < low", "volume < 0", signe]
        doutes.append("prix = 'last' AND volume IS NULL")
        doutes += [f"timeframe = '{pas.code}' AND {_hors_grille(pas)}" for pas in set(map(grille, fiches))]
    else:
        doutes.append(_DOUTES_SQL[donnee.nom])
    return " OR ".join(f"({doute})" for doute in doutes)
