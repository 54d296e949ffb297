"""Lire une sortie telle qu'elle est, et la remettre en ordre : ce qu'un autre y a touché, ce qu'un octet y a changé.

Le module n'y vient que quand une sortie n'est pas telle que sa fiche ou son sceau le disent (et d'une base, qui n'a ni
l'un ni l'autre, à chaque ouverture) ; `verification` lit et récrit par ici aussi. Ce qui peut être vrai d'une ligne
n'est dit qu'une fois, dans `possibles`.
"""

from __future__ import annotations

import bisect
import collections
import contextlib
import csv
import dataclasses
import functools
import io
import itertools
import shutil
import sqlite3
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from annexes_ccxt_fr.fichiers_etrangers import refuser_sans_table
from module_ccxt_fr_v2 import (
    FUNDING,
    INSTANT_MAX_MS,
    INSTANT_MIN_MS,
    JOUR_MS,
    OHLCV,
    OPEN_INTEREST,
    ORDERBOOK,
    ORIGINES,
    SECONDE_MS,
    SOMMES_MAX,
    TICKER,
    TRADES,
    CleSerie,
    CodecCsv,
    ErreurSortie,
    Fiche,
    Lot,
    Sortie,
    SortieFichier,
    SortieIllisible,
    SortieSqlite,
    TypeDonnee,
    cause_sqlite,
    confronter,
    constante,
    conversions,
    depuis_textes,
    en_lisant,
    en_un_bloc,
    entiers_du_texte,
    fiche_de_rien,
    fiches_sqlite,
    grille,
    instants_de,
    journal,
    maintenant_ms,
    mettre_de_cote,
    niveaux_du_texte,
    nom_de_cote,
    oter,
    par_serie,
    plages,
    prix_possibles,
    sur_grille,
    tables_sqlite,
    trier,
    unir,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.csv as pa_csv
else:
    from module_ccxt_fr_v2 import pa, pa_csv, pc

FICHE_ABIMEE = "fiche_abimee"  # la nature de ce défaut
AVANCE_ADMISE_MS = JOUR_MS  # une horloge locale en retard, un exchange embarqué qui va soixante fois plus vite

# --- Ce qui peut être vrai


def _finis(nombres: Any, comparer: Any = None) -> Any:
    """Masque des nombres finis et, si on le demande, plus grands (ou égaux : `comparer`) que zéro ; nul d'un nul."""
    finis = pc.is_finite(nombres)
    return finis if comparer is None else pc.and_(finis, comparer(nombres, constante(0.0)))


def _trades_possibles(lignes: pa.Table) -> Any:
    """Un prix, une quantité, et des textes sans caractère de contrôle : `trade_de` n'en laisse pas."""
    abimes = [pc.match_substring_regex(lignes[nom], "[[:cntrl:]]") for nom in ("id", "side")]
    nombres = pc.and_(_finis(lignes["price"], pc.greater), _finis(lignes["amount"], pc.greater_equal))
    return pc.and_not(nombres, pc.or_(*(pc.fill_null(abime, constante(False)) for abime in abimes)))


def _tickers_possibles(lignes: pa.Table) -> Any:
    finis = [_finis(lignes[nom]) for nom, nature in TICKER.colonnes if nature == "nombre"]
    presents = functools.reduce(pc.or_, map(pc.is_valid, finis))
    return functools.reduce(pc.and_, (pc.fill_null(fini, constante(True)) for fini in finis), presents)


def _financements_possibles(lignes: pa.Table) -> Any:
    return pc.and_(
        _finis(lignes["funding_rate"]), pc.fill_null(_finis(lignes["mark_price"], pc.greater), constante(True))
    )


def _interets_possibles(lignes: pa.Table) -> Any:
    """Une quantité ou une valeur, finies et non négatives : bybit, d'un contrat inverse, n'a que la valeur."""
    vraies = [_finis(lignes[nom], pc.greater_equal) for nom in ("amount", "value")]
    presente = functools.reduce(pc.or_, map(pc.is_valid, vraies))
    return functools.reduce(pc.and_, (pc.fill_null(vraie, constante(True)) for vraie in vraies), presente)


def _carnets_possibles(lignes: pa.Table) -> Any:
    """Ce que dit `defaut_de_carnet`, de tous les carnets à la fois : un à un, dix Mo en prendraient trois secondes."""
    fautifs, meilleurs = set[int](), list[dict[int, float]]()
    for nom, mieux in (("bids", pc.greater), ("asks", pc.less)):
        cote = en_un_bloc(lignes[nom])
        rangs, niveaux = pc.list_parent_indices(cote), pc.list_flatten(cote)
        prix, quantites = (pc.struct_field(niveaux, champ) for champ in ("price", "amount"))
        vrais = pc.and_(_finis(prix, pc.greater), _finis(quantites, pc.greater))
        suivants = pc.equal(rangs[1:], rangs[:-1])
        mal_tries = pc.and_not(suivants, pc.fill_null(mieux(prix[:-1], prix[1:]), constante(False)))
        fautifs |= {*rangs.filter(pc.invert(pc.fill_null(vrais, constante(False)))).to_pylist()}
        fautifs |= {*rangs[1:].filter(mal_tries).to_pylist()}
        tete = pa.array([True] * bool(len(rangs)), pa.bool_())
        premiers = pc.indices_nonzero(pa.concat_arrays([tete, pc.invert(suivants)]))
        meilleurs.append(dict(zip(rangs.take(premiers).to_pylist(), prix.take(premiers).to_pylist(), strict=True)))
    achats, ventes = meilleurs
    fautifs |= {rang for rang in range(lignes.num_rows) if rang not in achats and rang not in ventes}
    fautifs |= {rang for rang in (achats.keys() & ventes.keys()) - fautifs if achats[rang] >= ventes[rang]}
    return pc.invert(pc.is_in(pa.array(range(lignes.num_rows), pa.int64()), pa.array(sorted(fautifs), pa.int64())))


_POSSIBLES: Mapping[str, Callable[[pa.Table], Any]] = {
    TRADES.nom: _trades_possibles,
    TICKER.nom: _tickers_possibles,
    ORDERBOOK.nom: _carnets_possibles,
    FUNDING.nom: _financements_possibles,
    OPEN_INTEREST.nom: _interets_possibles,
}


def possibles(lignes: pa.Table, prix: str, donnee: TypeDonnee) -> pa.Array:
    """Masque des lignes d'une série (de ce prix) dont les nombres peuvent être vrais."""
    masque = prix_possibles(lignes, prix) if donnee is OHLCV else _POSSIBLES[donnee.nom](lignes)
    return en_un_bloc(pa.chunked_array(pc.fill_null(masque, constante(False))))


def _rangs_sains(lot: pa.Table, donnee: TypeDonnee, fiches: Mapping[CleSerie, Fiche]) -> pa.Array:
    """Les rangs des lignes qui peuvent être vraies, et d'une série que la fiche (s'il y en a une) connaît."""
    repere = pa.array(range(lot.num_rows), pa.int64())
    presents = functools.reduce(pc.and_, (en_un_bloc(pc.is_valid(lot[nom])) for nom in donnee.obligatoires))
    lot = lot.select(donnee.noms).append_column("rang", repere).filter(presents)
    gardes = [pa.array([], pa.int64())]
    for cle, lignes in par_serie(lot, donnee):
        if not fiches or cle in fiches:
            gardes.append(en_un_bloc(lignes["rang"].filter(_sont_possibles(lignes, cle, fiches.get(cle), donnee))))
    tous = pa.concat_arrays(gardes)
    return tous.take(pc.sort_indices(tous))


def _sont_possibles(lignes: pa.Table, cle: CleSerie, fiche: Fiche | None, donnee: TypeDonnee) -> pa.Array:
    instants = en_un_bloc(lignes["timestamp"].cast(pa.int64()))
    masque = pc.and_(pc.greater_equal(instants, 0), pc.less_equal(instants, maintenant_ms() + AVANCE_ADMISE_MS))
    masque = pc.and_(masque, possibles(lignes, cle.prix, donnee))
    if donnee.a_une_grille:
        try:
            pas = grille(fiche or fiche_de_rien(cle, instants.filter(masque)))
        except (ValueError, OverflowError, IndexError):  # un timeframe abîmé, ou rien de possible
            return pa.repeat(constante(False), len(instants))
        bornes = pc.if_else(masque, instants, 0)  # aucun calendrier ne va partout
        masque = pc.and_(masque, en_un_bloc(sur_grille(pa.chunked_array([bornes]), pas)))
        if fiche is not None and fiche.couverts:  # un octet de sa date l'a menée ailleurs ; ou c'est la courante
            masque = pc.and_(masque, _sont_connues(instants, fiche))
    return masque


def _sont_connues(instants: pa.Array, fiche: Fiche) -> pa.Array:
    """Masque des bougies de ce que la fiche connaît, et de celle, courante, qui suit."""
    courante = (fiche.couverts[-1][1], grille(fiche).avancer(fiche.couverts[-1][1], 1))
    connus = unir(fiche.couverts, ((t.debut, t.fin) for t in fiche.trous), [courante])
    rangs = (bisect.bisect_right(connus, (instant, INSTANT_MAX_MS)) - 1 for instant in instants.to_pylist())
    fins = [connus[rang][1] if rang >= 0 else INSTANT_MIN_MS for rang in rangs]
    return pc.less(instants, pa.array(fins, pa.int64()))


# --- Lire telle quelle


class Brut(NamedTuple):
    """Une sortie telle qu'elle est : ni triée, ni réparée, ni refusée."""

    lots: Iterator[pa.Table]  # une cellule illisible est nulle
    fiches: list[Fiche]
    defauts: list[tuple[str, str]]  # de sa forme : (nature, ce qui ne va pas)
    schema: pa.Schema | None = None  # celui que porte le fichier
    famille_unique: bool = True  # un fichier n'en tient qu'une
    entrelace: bool = False  # ses symboles ne se suivent pas, et c'est permis
    avertissements: Sequence[str] = ()
    en_attente: Callable[[], bool] = bool  # non ; d'un fichier, un journal de reprise complète ses lignes et sa fiche


def brut(sortie: Sortie, *, sauver: bool = False) -> contextlib.AbstractContextManager[Brut]:
    """La sortie telle qu'elle est, pour la contrôler ; PasLeNotre ou SortieIllisible si elle ne se lit pas.

    `sauver` : d'une base aux pages abîmées, toutes les lignes qui s'en lisent encore, en désordre peut-être.
    """
    if isinstance(sortie, SortieFichier):
        return _fichier_brut(sortie)
    return _base_brute(cast("SortieSqlite", sortie), sauver)


@contextlib.contextmanager
def _fichier_brut(sortie: SortieFichier) -> Iterator[Brut]:
    if not sortie.existe():
        raise SortieIllisible(f"« {sortie.chemin} » est vide")
    sortie.reconnaitre()
    entete, texte = sortie.feuille.lire(), sortie.codec.texte(sortie.chemin)
    deja, defauts = sortie.nom_journal.exists(), list[tuple[str, str]]()
    # Un flux écrit des symboles entrelacés avant que sa fiche le dise.
    entrelace = texte is not None and (deja or entete is None or bool(entete.get("entrelace")))
    # Un flux vivant est peut-être en train de l'écrire ; tué, la reprise la retire.
    if not deja and texte is not None and texte.est_coupe(sortie.chemin):
        defauts.append(("ligne_coupee", "la dernière ligne n'est pas entière"))
    if sortie.feuille.est_abimee():
        _exiger_une_origine(sortie)
        phrase = f"« {sortie.feuille.chemin.name} » est abîmée : rien de ce qu'elle dit n'est cru"
        defauts.append((FICHE_ABIMEE, phrase))

    def en_attente() -> bool:
        return deja or sortie.nom_journal.exists()  # né pendant la lecture, il compte aussi

    with en_lisant(sortie.chemin):
        schema = sortie.codec.schema(sortie.chemin)
    fiches = sortie.feuille.fiches(entete) or []
    avertissements = []
    if entete is not None and sortie.feuille.a_part and b'"somme"' not in sortie.feuille.chemin.read_bytes():
        dite = f"« {sortie.feuille.chemin.name} » n'a pas de somme de contrôle, comme les fiches d'avant"
        avertissements.append(f"{dite} : rien ne dit si un autre l'a touchée. La prochaine écriture y remédie.")
    yield Brut(_blocs(sortie), fiches, defauts, schema, True, entrelace, avertissements, en_attente)


def _blocs(sortie: SortieFichier) -> Iterator[pa.Table]:
    """Les lignes du fichier, dans son ordre ; d'un texte, une cellule illisible est nulle."""
    with en_lisant(sortie.chemin):
        if isinstance(sortie.codec, CodecCsv):
            yield from (_lignes_du_csv(lignes, sortie.type_donnee) for lignes in _textes(sortie.codec, sortie.chemin))
        else:
            yield from sortie.codec.lots(sortie.chemin, sortie.type_donnee)


def _textes(codec: CodecCsv, chemin: Path) -> Iterator[list[bytes]]:
    """Ses lignes entières, telles quelles, par paquets."""
    with codec.ouvrir(chemin) as fichier:
        fichier.readline()
        while lignes := fichier.readlines(1 << 20):
            entieres = lignes if lignes[-1].endswith(b"\n") else lignes[:-1]
            if pleines := [ligne for ligne in entieres if not ligne.isspace()]:
                yield pleines


def _lignes_du_csv(lignes: Sequence[bytes], donnee: TypeDonnee) -> pa.Table:
    """Des lignes de CSV en table ; une cellule qui ne se lit pas est nulle, et toutes celles d'une ligne mal coupée."""
    octets = b"".join(lignes)
    with contextlib.suppress(ValueError, pa.ArrowException):
        lecture = pa_csv.ReadOptions(column_names=donnee.noms, block_size=len(octets) + 1, use_threads=False)
        lue = pa_csv.read_csv(io.BytesIO(octets), lecture, pa_csv.ParseOptions(), conversions(donnee))
        return depuis_textes(lue, donnee)
    cellules = zip(*(_cellules(ligne, len(donnee.noms)) for ligne in lignes), strict=True)
    return _convertir_colonnes([pa.array(colonne, pa.string()) for colonne in cellules], donnee)


def _convertir_colonnes(brutes: Sequence[Sequence[Any] | pa.Array], donnee: TypeDonnee) -> pa.Table:
    """La table de ces colonnes ; une cellule qui ne se lit pas rend nulles les valeurs de sa ligne, repères à part.

    Nulle elle seule, elle passerait pour absente là où elle peut l'être : la ligne serait saine, le fichier illisible.
    """
    colonnes = [_convertir_ou_nul(brute, champ.type) for brute, champ in zip(brutes, donnee.schema, strict=True)]
    absents = (b.is_null() if isinstance(b, pa.Array) else pa.array([v is None for v in b]) for b in brutes)
    lues = functools.reduce(pc.and_, (pc.or_(c.is_valid(), vide) for c, vide in zip(colonnes, absents, strict=True)))
    rangs = pc.if_else(lues, pa.array(range(len(lues)), pa.int64()), pa.scalar(None, pa.int64()))
    gardees = [
        colonne if champ.name in donnee.obligatoires else colonne.take(rangs)
        for colonne, champ in zip(colonnes, donnee.schema, strict=True)
    ]
    return pa.table(gardees, donnee.schema)


def _cellules(ligne: bytes, nombre: int) -> list[str | None]:
    """Les cellules d'une ligne, vides ôtées ; toutes vides si elle n'en a pas ce nombre."""
    try:
        cellules = next(csv.reader([ligne.decode()], strict=True))
    except (UnicodeDecodeError, csv.Error, StopIteration):
        cellules = []
    return [cellule or None for cellule in cellules] if len(cellules) == nombre else [None] * nombre


def _convertir_ou_nul(valeurs: Sequence[Any] | pa.Array, voulu: pa.DataType) -> pa.Array:
    """Les valeurs converties, nulles celles qui ne peuvent l'être : elles sont rares, une dichotomie les trouve."""
    try:
        if pa.types.is_list(voulu):
            return niveaux_du_texte(pa.array(valeurs, pa.string())).cast(voulu)
        if isinstance(valeurs, pa.StringArray):
            if pa.types.is_integer(voulu):
                return entiers_du_texte(valeurs)
            if pa.types.is_timestamp(voulu):
                valeurs = valeurs.cast(pa.timestamp("us", "UTC"))  # polars récrit des dates à six décimales
        return valeurs.cast(voulu) if isinstance(valeurs, pa.Array) else pa.array(valeurs, voulu)
    except (ValueError, TypeError, OverflowError, pa.ArrowException):
        if len(valeurs) == 1:
            return pa.nulls(1, voulu)
        milieu = len(valeurs) // 2
        return pa.concat_arrays([_convertir_ou_nul(moitie, voulu) for moitie in (valeurs[:milieu], valeurs[milieu:])])


@contextlib.contextmanager
def _base_brute(sortie: SortieSqlite, sauver: bool) -> Iterator[Brut]:
    if not sortie.reconnaitre():
        refuser_sans_table(sortie)
    with sortie.lecteur() as base:
        base.execute("BEGIN")  # fiches et lignes d'un même instant, quoi qu'une exécution écrive
        try:
            fautes = [faute for (faute,) in base.execute("PRAGMA integrity_check(3)") if faute != "ok"]
        except sqlite3.DatabaseError as erreur:
            if not sauver:
                raise
            fautes = [cause_sqlite(erreur)]
        defauts = [("illisible", faute) for faute in fautes]
        fiches, perdues = _fiches_de(sortie, base)
        phrase = "la table « %s » est abîmée : rien de ce que dit la fiche n'est cru"
        defauts += [(FICHE_ABIMEE, phrase % nom) for nom in perdues]
        lots = _lots_sauves(sortie, base, fiches) if sauver and defauts else _lots_bruts(sortie, base)
        yield Brut(lots, fiches, defauts, famille_unique=False, entrelace=True)


def _fiches_de(sortie: SortieSqlite, base: sqlite3.Connection) -> tuple[list[Fiche], list[str]]:
    """Les fiches de la table, et celles de leurs tables qui ne se lisent plus, index à part.

    Sans celle des séries, plus rien ne dit d'où viennent les lignes : DatabaseError.
    """
    try:
        return fiches_sqlite(base, sortie.table), []
    except sqlite3.DatabaseError:
        perdues: list[str] = []
        with contextlib.closing(sqlite3.connect(":memory:")) as copie:
            for nom, definition in tables_sqlite(sortie.type_donnee, sortie.table).items():
                copie.execute(f'CREATE TABLE "{nom}" ({definition})')
                if nom == sortie.table:
                    continue
                try:
                    lues = base.execute(f'SELECT * FROM "{nom}" NOT INDEXED')
                    colonnes = [colonne for colonne, *_ in lues.description]
                    mettre = f'INSERT INTO "{nom}" ({", ".join(colonnes)}) VALUES ({", ".join("?" * len(colonnes))})'
                    copie.executemany(mettre, lues)
                except sqlite3.DatabaseError:
                    if nom == f"{sortie.table}_series":
                        raise
                    perdues.append(nom)
            return fiches_sqlite(copie, sortie.table), perdues


def _lots_bruts(sortie: SortieSqlite, base: sqlite3.Connection) -> Iterator[pa.Table]:
    """Les lignes ; nulle, une valeur qui n'est pas de sa colonne."""
    for lignes in sortie.lire_lignes(base, sortie.colonnes):
        yield _convertir_colonnes(list(zip(*lignes, strict=True)), sortie.type_donnee)


LECTURES_MAX = 5000  # d'une base dont des pages ne se lisent plus
ROWID_MAX = 1 << 40


class _Tranche(NamedTuple):
    """Des lignes d'une base, par leur rang de [debut, fin[ : leur instant dans leur série, ou leur rowid."""

    condition: str
    valeurs: tuple[object, ...]
    rang: str
    pas: int  # d'un rang au suivant, au moins
    debut: int
    fin: int


def _lots_sauves(sortie: SortieSqlite, base: sqlite3.Connection, fiches: Sequence[Fiche]) -> Iterator[pa.Table]:
    """Les lignes que tiennent les pages encore lisibles : une tranche qui ne se lit pas est coupée en deux."""
    attente = collections.deque(_tranches(sortie, base, fiches))
    for _ in range(LECTURES_MAX):
        if not attente:
            return
        tranche, lues = attente.popleft(), list[tuple[Any, ...]]()
        requete = (
            f'SELECT {tranche.rang}, {sortie.colonnes} FROM "{sortie.table}" '
            f"WHERE {tranche.condition} AND {tranche.rang} >= ? AND {tranche.rang} < ? ORDER BY {tranche.rang}"
        )
        try:
            for ligne in base.execute(requete, (*tranche.valeurs, tranche.debut, tranche.fin)):
                lues.append(ligne)
        except sqlite3.DatabaseError:
            reste = tranche._replace(debut=lues[-1][0] + 1 if lues else tranche.debut)
            milieu = (reste.debut + reste.fin) // 2
            if reste.fin - reste.debut > reste.pas:
                attente += [reste._replace(fin=milieu), reste._replace(debut=milieu)]
        if lues:
            yield _convertir_colonnes(list(zip(*lues, strict=True))[1:], sortie.type_donnee)


def _tranches(sortie: SortieSqlite, base: sqlite3.Connection, fiches: Sequence[Fiche]) -> Iterator[_Tranche]:
    try:
        base.execute(f'SELECT rowid FROM "{sortie.table}" LIMIT 0')
    except sqlite3.OperationalError:  # rangée par sa clé : ses lignes ne se trouvent que par elle
        for fiche in fiches:
            serie = tuple(getattr(fiche.cle, champ) for champ in sortie.type_donnee.serie)
            connus = unir(fiche.couverts, ((t.debut, t.fin) for t in fiche.trous))
            for debut, fin in connus or [(0, INSTANT_MAX_MS)]:
                pas = grille(fiche).pas_ms if sortie.type_donnee.a_une_grille else SECONDE_MS
                yield _Tranche(sortie.d_une_serie, serie, "timestamp", pas, debut, fin)
    else:
        yield _Tranche("TRUE", (), "rowid", 1, 0, ROWID_MAX)


def fiches_portees(sortie: Sortie) -> list[Fiche]:
    """Les fiches que la sortie porte encore, ses lignes fussent-elles illisibles."""
    with contextlib.suppress(ErreurSortie):
        if isinstance(sortie, SortieFichier):
            return sortie.feuille.fiches(sortie.feuille.lire()) or []
        with cast("SortieSqlite", sortie).lecteur() as base:
            return _fiches_de(cast("SortieSqlite", sortie), base)[0]
    return []


# --- Remettre en ordre


def remplacer(sortie: Sortie, retenus: Sequence[pa.Table], fiches: Mapping[CleSerie, Fiche]) -> None:
    """Sous verrou, d'un coup : la sortie n'a plus que les lignes gardées, triées, et ces fiches."""
    vide = sortie.type_donnee.schema.empty_table()
    if isinstance(sortie, SortieFichier):
        sortie.fiches = dict(fiches)
        sortie.recrire([trier(pa.concat_tables([vide, *retenus]), sortie.type_donnee)])
        sortie.ecrire_fiche()
        return
    tables = cast("SortieSqlite", sortie)
    with tables.transaction() as base:
        _ne_garder_que(tables, base, retenus)
        tables.fiches, tables.inscrites = dict(fiches), set()
        lignes = tables.compter(base)
        for cle, fiche in fiches.items():
            fiche.lignes = None if tables.type_donnee.a_une_grille else lignes[cle]
            tables.inscrire(base, fiche, Lot(cle, vide, fiche.couverts, fiche.trous))
    tables.finir()


def _ne_garder_que(sortie: SortieSqlite, base: sqlite3.Connection, lots: Sequence[pa.Table]) -> None:
    """Récrit la table, si elle a d'autres lignes."""
    (nombre,) = base.execute(f'SELECT COUNT(*) FROM "{sortie.table}"').fetchone()
    if nombre != sum(map(len, lots)):
        base.execute(f'DELETE FROM "{sortie.table}"')
        for lot in lots:
            sortie.mettre(base, lot)


def _copier_de_cote(chemin: Path, otees: int, copier: Callable[[Path], object]) -> None:
    """Garde l'original d'une sortie dont des lignes vont être ôtées, et le dit."""
    cible = nom_de_cote(chemin, "corrompu")
    with en_lisant(chemin):
        copier(cible)
    phrase = "« %s » : %d ligne(s) abîmée(s), ou d'une série inconnue, ôtée(s) ; original mis de côté : « %s »."
    journal.warning(phrase, chemin, otees, cible.name)


def origines_lisibles(sortie: SortieFichier) -> set[str]:
    """L'origine que dit encore une feuille abîmée ; aucune si rien ne dit que ses lignes ne sont pas inventées."""
    with en_lisant(sortie.feuille.chemin):
        texte = sortie.feuille.chemin.read_bytes().decode(errors="replace")
    return set(itertools.islice((origine for origine in reversed(ORIGINES) if f'"{origine}"' in texte), 1))


def _exiger_une_origine(sortie: SortieFichier) -> None:
    if not origines_lisibles(sortie):
        lignes = f"les lignes de « {sortie.chemin.name} »"
        raise SortieIllisible(f"« {sortie.feuille.chemin} » est abîmée, et ne dit plus d'où viennent {lignes}")


def assainir_fichier(sortie: SortieFichier, entete: Mapping[str, Any] | None) -> bool:
    """Ôte d'un fichier qu'un autre a touché ce qui ne peut être vrai ; faux si rien ne prouve plus ce qu'il couvre.

    Une feuille abîmée est mise de côté : les lignes restent, sans preuve. Des événements qu'un autre outil a récrits ne
    prouvent rien non plus.
    """
    prouve = True
    if sortie.feuille.est_abimee():
        _exiger_une_origine(sortie)
        constat = f"« {sortie.feuille.chemin} » est abîmée, tout ce qu'elle couvrait sera redemandé"
        mettre_de_cote(sortie.feuille.chemin, constat=constat)
        prouve = False
    elif entete and entete.get("scelle") and not sortie.type_donnee.a_une_grille:
        journal.warning("« %s » : récrit par un autre outil, rien n'est plus tenu pour couvert.", sortie.chemin)
        prouve = False
    _oter_les_impossibles(sortie)
    return prouve


def _oter_les_impossibles(sortie: SortieFichier) -> None:
    """`--verifier` y verrait des fautes."""
    if sortie.octets > SOMMES_MAX:
        return
    donnee, connues = sortie.type_donnee, dict(sortie.fiches)
    if connues and sortie.nom_journal.exists():  # tuée, une exécution laisse des lignes que son journal seul connaît
        connues = {cle: dataclasses.replace(fiche, couverts=[]) for cle, fiche in connues.items()}
        for note in sortie.notes():
            connues.setdefault(cle := CleSerie(*note["cle"]), Fiche(cle, **note["fiche"]))
    if all(len(_rangs_sains(bloc, donnee, connues)) == bloc.num_rows for bloc in _blocs(sortie)):
        return
    table = pa.concat_tables(bloc.select(donnee.noms) for bloc in _blocs(sortie))
    gardes = _rangs_sains(table, donnee, connues)
    _copier_de_cote(sortie.chemin, table.num_rows - len(gardes), lambda cible: shutil.copy2(sortie.chemin, cible))
    if not donnee.a_une_grille:
        _decouvrir(sortie.fiches, table, gardes.to_pylist())
        if table.num_rows < sum(fiche.lignes or 0 for fiche in sortie.fiches.values()):  # d'autres manquent aussi
            for fiche in sortie.fiches.values():
                fiche.couverts = []
    sortie.recrire([trier(table.take(gardes), donnee)])
    sortie.ampute = True


def _decouvrir(fiches: Mapping[CleSerie, Fiche], table: pa.Table, gardes: Sequence[int]) -> None:
    """Des événements ôtés seront redemandés : aucune grille ne dirait qu'ils manquent.

    Ce qui va d'une ligne gardée à la suivante n'est plus couvert, leurs deux instants compris.
    """

    def voisine(rang: int) -> tuple[CleSerie, int] | None:
        if not 0 <= rang < table.num_rows:
            return None
        ligne = table.slice(rang, 1)
        valeurs = ligne.to_pylist()[0]
        return CleSerie(*(valeurs.get(champ, "") for champ in CleSerie._fields)), instants_de(ligne)[0]

    for avant, apres in itertools.pairwise([-1, *gardes, table.num_rows]):
        if apres - avant == 1:
            continue
        gauche, droite = voisine(avant), voisine(apres)
        for cle, fiche in fiches.items():
            debut = gauche[1] if gauche and gauche[0] == cle else None
            fin = droite[1] if droite and droite[0] == cle else None
            if debut is not None or fin is not None or not (gauche or droite):
                # Un CSV de flux n'est trié que par symbole.
                bornes = sorted((0 if debut is None else debut, INSTANT_MAX_MS - 1 if fin is None else fin))
                fiche.couverts = oter(fiche.couverts, [(bornes[0], bornes[1] + 1)])


_GLOB_CONTROLE = "GLOB '*[' || char(1) || '-' || char(31) || char(127) || ']*'"
# Ce que `possibles` refuserait peut-être : SQLite ne rend que ces lignes-là ; un carnet, il ne saurait le lire.
_DOUTES_SQL = {
    TRADES.nom: f"(price > 0 AND amount >= 0) IS NOT TRUE OR id {_GLOB_CONTROLE} OR side {_GLOB_CONTROLE}",
    TICKER.nom: " AND ".join(f'"{nom}" IS NULL' for nom, nature in TICKER.colonnes if nature == "nombre"),
    ORDERBOOK.nom: "TRUE",
    FUNDING.nom: "funding_rate IS NULL OR mark_price <= 0",
    OPEN_INTEREST.nom: "coalesce(amount, value) IS NULL OR amount < 0 OR value < 0",
}


def assainir_base(sortie: SortieSqlite, base: sqlite3.Connection) -> None:
    """Ôte ce qui ne peut être vrai : une base n'a ni empreinte ni sceau, mais SQLite sait chercher vite."""
    donnee = sortie.type_donnee
    fiches = {fiche.cle: fiche for fiche in fiches_sqlite(base, sortie.table)}
    lues = base.execute(f'SELECT DISTINCT {sortie.series} FROM "{sortie.table}"')
    series = {CleSerie(*map(str, serie)) for serie in lues}
    douteuse = f'SELECT 1 FROM "{sortie.table}" WHERE {_doute(donnee, fiches.values())} LIMIT 1'
    if not (fiches and series - fiches.keys()) and base.execute(douteuse).fetchone() is None:
        return
    table = pa.concat_tables(_lots_bruts(sortie, base))
    gardes = _rangs_sains(table, donnee, fiches)
    otees = table.filter(pc.invert(pc.is_in(pa.array(range(table.num_rows), pa.int64()), value_set=gardes)))
    if otees.num_rows:
        _copier_de_cote(sortie.chemin, otees.num_rows, functools.partial(_sauver, base))
        decouvertes = {} if donnee.a_une_grille else fiches
        if decouvertes:
            _decouvrir(fiches, table, gardes.to_pylist())
            _decompter(fiches, otees, donnee)
        with sortie.transaction():
            _ne_garder_que(sortie, base, [table.take(gardes)])
            for cle, fiche in decouvertes.items():
                sortie.inscrire(base, fiche, Lot(cle, table[:0], [], []))
        sortie.a_change = True


def recenser_base(sortie: SortieSqlite, base: sqlite3.Connection, cle: CleSerie) -> None:
    """Remet la fiche d'une série de bougies d'accord avec ses lignes, qui ne sont pas celles qu'elle compte."""
    fiche, presents = sortie.fiches.get(cle), list[tuple[int, int]]()
    for lot in sortie.lire_lignes(base, "timestamp", f"WHERE {sortie.d_une_serie}", cle):
        instants = pa.array([instant for (instant,) in lot], pa.int64())
        fiche = fiche or fiche_de_rien(cle, instants)
        presents += plages(instants, grille(fiche))
    if cle in sortie.fiches:
        confronter(sortie.fiches[cle], presents)
    elif fiche is not None:
        sortie.fiches[cle] = dataclasses.replace(fiche, couverts=unir(presents))


def _decompter(fiches: Mapping[CleSerie, Fiche], otees: pa.Table, donnee: TypeDonnee) -> None:
    """Seule une ligne à sa place dit quels instants redemander ; des autres, le compte dira qu'elles manquent."""
    presents = functools.reduce(pc.and_, (pc.is_valid(otees[nom]) for nom in donnee.obligatoires))
    instants = otees["timestamp"].cast(pa.int64())
    datees = pc.and_(pc.greater_equal(instants, 0), pc.less_equal(instants, maintenant_ms() + AVANCE_ADMISE_MS))
    situees = 0
    for cle, lignes in par_serie(otees.filter(pc.and_(presents, datees)), donnee):
        fiche = fiches.get(cle)
        situees += lignes.num_rows if fiche else 0
        if fiche and fiche.lignes is not None:
            fiche.lignes -= lignes.num_rows
    for fiche in fiches.values() if situees < otees.num_rows else ():
        if fiche.lignes is None:  # une base d'avant ne compte pas
            fiche.couverts = []


def _sauver(base: sqlite3.Connection, cible: Path) -> None:
    with contextlib.closing(sqlite3.connect(cible)) as copie:
        base.backup(copie)


def _doute(donnee: TypeDonnee, fiches: Iterable[Fiche]) -> str:
    """La condition SQL d'une ligne à regarder de plus près."""
    natures = {"texte": "'text'", "instant": "'integer'", "nombre": "'real', 'integer'", "entier": "'integer'"}
    doutes = [
        f'typeof("{nom}") NOT IN ({natures.get(nature, natures["texte"])}'
        + (")" if nom in donnee.obligatoires else ", 'null')")
        for nom, nature in donnee.colonnes
    ]
    doutes.append(f"timestamp NOT BETWEEN 0 AND {maintenant_ms() + AVANCE_ADMISE_MS}")
    if donnee is OHLCV:
        signe = "prix != 'premiumIndex' AND NOT (open > 0 AND high > 0 AND low > 0 AND close > 0)"
        doutes += ["open + high + low + close IS NULL", "high < low", "volume < 0", signe]
        doutes.append("prix = 'last' AND volume IS NULL")
        pas = {g for f in fiches if not (g := grille(f)).mois}
        doutes += [
            f"timeframe = '{g.code}' AND (timestamp - {g.ancre_ms}) % {g.pas_ms} NOT BETWEEN 0 AND {g.jeu_ms}"
            for g in pas
        ]
        lus = [intervalle for f in fiches for intervalle in f.couverts]
        if lus:
            doutes.append(f"timestamp NOT BETWEEN {min(lus)[0]} AND {max(fin for _, fin in lus)}")
    else:
        nombres = [nom for nom, nature in donnee.colonnes if nature == "nombre"]
        doutes += [f'"{nom}" IN (9e999, -9e999)' for nom in nombres]
        doutes.append(_DOUTES_SQL[donnee.nom])
    return " OR ".join(f"({doute})" for doute in doutes)
