"""Lire une sortie telle qu'elle est, ce qu'un autre y a touché, ce qu'un octet y a changé : ni triée, ni refusée.

`controle` la juge, `remise_en_ordre` la récrit. Ce qui peut être vrai d'une ligne n'est dit qu'une fois, dans
`possibles`.
"""

from __future__ import annotations

import collections
import contextlib
import csv
import functools
import io
import itertools
import sqlite3
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from annexes_ccxt_fr.causes import cause_sqlite
from annexes_ccxt_fr.fichiers_etrangers import pas_le_notre, refuser_sans_table
from annexes_ccxt_fr.octets_douteux import par_blocs
from module_ccxt_fr_v2 import (
    ECRIVAINS,
    FUNDING,
    INSTANT_MAX_MS,
    OHLCV,
    OPEN_INTEREST,
    ORDERBOOK,
    ORIGINES,
    REEL,
    SECONDE_MS,
    TICKER,
    TRADES,
    TYPES,
    CleSerie,
    CodecCsv,
    ErreurDemande,
    ErreurSortie,
    Fiche,
    FormatSqlite,
    Sortie,
    SortieFichier,
    SortieIllisible,
    SortieSqlite,
    TypeDonnee,
    aux_normes,
    constante,
    conversions,
    en_lisant,
    en_un_bloc,
    entiers_du_texte,
    fiches_sqlite,
    format_du_fichier,
    grille,
    lecteur_de,
    niveaux_du_texte,
    par_serie,
    prix_possibles,
    tables_sqlite,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.csv as pa_csv
else:
    from module_ccxt_fr_v2 import pa, pa_csv, pc

FICHE_ABIMEE = "fiche_abimee"  # la nature de ce défaut

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


# --- Lire telle quelle


def lecteurs(chemin: Path, table: str | None = None) -> list[Sortie]:
    """Un lecteur par table de données d'une base, un seul d'un fichier ; ErreurDemande s'il n'y a rien à lire."""
    if not chemin.is_file():
        quoi = "n'est pas un fichier" if chemin.exists() else "n'existe pas"
        raise ErreurDemande(f"« {chemin} » {quoi} : rien à vérifier", "Vérifiez le chemin de la sortie.")
    decrit = ECRIVAINS[format_du_fichier(chemin)]
    tables: list[str | None] = [table]
    if table is None and isinstance(decrit, FormatSqlite):
        tables = [OHLCV.nom]
        with contextlib.suppress(SortieIllisible):  # le contrôle le dira
            tables = list(decrit(chemin).tables(abimees=True))
        if not tables:
            raise pas_le_notre(decrit, chemin, OHLCV, "une base sans table de données")
    return [_lecteur(chemin, nom) for nom in tables]


def _lecteur(chemin: Path, table: str | None) -> Sortie:
    """Celui du type qui se reconnaît dans la sortie ; si elle est illisible, de celui que dit sa fiche."""
    lecteur = lecteur_de(chemin, table)
    if isinstance(lecteur, SortieFichier) and not lecteur.est_le_sien():
        with contextlib.suppress(SortieIllisible):
            dit = TYPES.get(_type_dit(lecteur))
            return lecteur.codec(chemin, type_donnee=dit) if dit else lecteur
    return lecteur


def _type_dit(sortie: SortieFichier) -> str:
    """Le type de ses lignes, d'après sa fiche ; vide si elle n'en dit rien."""
    return str((sortie.feuille.lire() or {}).get("type", ""))


def _a_un_titre_abime(sortie: SortieFichier, codec: CodecCsv) -> bool:
    """Vrai d'un CSV que sa fiche dit nôtre, au titre abîmé en un endroit : ses colonnes sont à leur place.

    Deux noms qui manquent, ou qui ont changé d'ordre, et ce sont peut-être les colonnes qu'un autre a déplacées.
    """
    noms = sortie.type_donnee.noms
    with en_lisant(sortie.chemin), codec.ouvrir(sortie.chemin) as fichier:
        mots = [mot.strip(" \t\r\n\"'") for mot in fichier.readline(1 << 12).decode(errors="replace").split(",")]
    connus = [mot for mot in mots if mot in noms]
    en_ordre = connus == [nom for nom in noms if nom in connus]
    return _type_dit(sortie) == sortie.type_donnee.nom and en_ordre and len(mots) - len(connus) <= 1


def _famille(cle: CleSerie) -> CleSerie:
    return cle._replace(symbole="")


class Brut(NamedTuple):
    """Une sortie telle qu'elle est : ni triée, ni réparée, ni refusée."""

    lots: Iterator[pa.Table]  # une cellule illisible est nulle
    fiches: list[Fiche]
    defauts: list[tuple[str, str]]  # de sa forme : (nature, ce qui ne va pas)
    connait: Callable[[CleSerie], bool]  # cette série est de celles qu'elle dit tenir ; vrai si elle n'en dit rien
    schema: pa.Schema | None = None  # celui que porte le fichier
    entrelace: bool = False  # ses lignes ne sont pas là où elles furent écrites, et c'est permis
    avertissements: Sequence[str] = ()
    en_attente: Callable[[], bool] = bool  # non ; d'un fichier, un journal de reprise complète ses lignes et sa fiche
    origine: str = REEL  # des séries sans fiche


def brut(sortie: Sortie, *, sauver: bool = False) -> contextlib.AbstractContextManager[Brut]:
    """La sortie telle qu'elle est, pour la contrôler ; PasLeNotre ou SortieIllisible si elle ne se lit pas.

    `sauver` : d'une base aux pages abîmées, toutes les lignes qui s'en lisent encore, en désordre peut-être ; d'un CSV
    que sa fiche dit nôtre, les lignes, leur titre fût-il abîmé.
    """
    if isinstance(sortie, SortieFichier):
        return _fichier_brut(sortie, sauver)
    return _base_brute(cast("SortieSqlite", sortie), sauver)


@contextlib.contextmanager
def _fichier_brut(sortie: SortieFichier, sauver: bool) -> Iterator[Brut]:
    if not sortie.existe():
        raise SortieIllisible(f"« {sortie.chemin} » est vide")
    if not (sauver and isinstance(sortie.codec, CodecCsv) and _a_un_titre_abime(sortie, sortie.codec)):
        sortie.reconnaitre()
    entete, texte = sortie.feuille.lire(), sortie.codec.texte(sortie.chemin)
    deja, defauts = sortie.nom_journal.exists(), list[tuple[str, str]]()
    # Un flux écrit des symboles entrelacés avant que sa fiche le dise.
    entrelace = texte is not None and (deja or entete is None or bool(entete.get("entrelace")))
    # Un flux vivant est peut-être en train de l'écrire ; tué, la reprise la retire.
    if not deja and texte is not None and texte.est_coupe(sortie.chemin):
        defauts.append(("ligne_coupee", "la dernière ligne n'est pas entière"))
    origine = REEL
    if sortie.feuille.est_abimee():
        origine = exiger_une_origine(sortie)
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
    yield Brut(
        _blocs(sortie), fiches, defauts, _connait(sortie), schema, entrelace, avertissements, en_attente, origine
    )


def _connait(sortie: SortieFichier) -> Callable[[CleSerie], bool]:
    """De quoi savoir si une série est de celles du fichier."""

    def connait(cle: CleSerie) -> bool:
        """D'un flux vivant, le journal d'abord : vidé entre-temps, ce qu'il disait est dans la fiche.

        Sans elle, perdue ou abîmée, il ne dit que les séries du dernier jour : les autres sont à nous aussi.
        """
        recues = {CleSerie(*note["cle"]) for note in sortie.notes()}
        if ecrites := sortie.feuille.fiches(sortie.feuille.lire()):
            return cle in recues or cle in {fiche.cle for fiche in ecrites}
        return _famille(cle) in (set(map(_famille, recues)) or famille_du_grand_nombre())

    @functools.cache
    def famille_du_grand_nombre() -> set[CleSerie]:
        """Celle de la plupart des lignes : d'une seule, la première fût-elle, un nom abîmé n'en accuse pas mille."""
        comptes: collections.Counter[CleSerie] = collections.Counter()
        with contextlib.suppress(SortieIllisible):  # ce qui s'en lit suffit
            for lot in _blocs(sortie):
                for cle, lignes in par_serie(lot, sortie.type_donnee):
                    comptes[_famille(cle)] += lignes.num_rows
        premieres = comptes.most_common(2)
        departagees = len(premieres) < 2 or premieres[0][1] > premieres[1][1]
        return {premieres[0][0]} if premieres and departagees else set()

    return connait


def origines_lisibles(sortie: SortieFichier) -> set[str]:
    """L'origine que dit encore une feuille abîmée ; aucune si rien ne dit que ses lignes ne sont pas inventées."""
    with en_lisant(sortie.feuille.chemin):
        texte = sortie.feuille.chemin.read_bytes().decode(errors="replace")
    return set(itertools.islice((origine for origine in reversed(ORIGINES) if f'"{origine}"' in texte), 1))


def exiger_une_origine(sortie: SortieFichier) -> str:
    """D'où viennent les lignes d'une feuille abîmée ; SortieIllisible si elle ne le dit plus."""
    if not (lisibles := origines_lisibles(sortie)):
        lignes = f"les lignes de « {sortie.chemin.name} »"
        raise SortieIllisible(f"« {sortie.feuille.chemin} » est abîmée, et ne dit plus d'où viennent {lignes}")
    return lisibles.pop()


def _blocs(sortie: SortieFichier) -> Iterator[pa.Table]:
    """Les lignes du fichier, dans son ordre ; d'un texte, une cellule illisible est nulle."""
    with en_lisant(sortie.chemin):
        if isinstance(sortie.codec, CodecCsv):
            fuseau = sortie.codec.fuseau(sortie.chemin)
            for lignes in _textes(sortie.codec, sortie.chemin):
                yield _lignes_du_csv(lignes, sortie.type_donnee, fuseau)
        else:
            yield from par_blocs(sortie.codec).lots(sortie.chemin, sortie.type_donnee)


def _textes(codec: CodecCsv, chemin: Path) -> Iterator[list[bytes]]:
    """Ses lignes entières, telles quelles, par paquets."""
    with codec.ouvrir(chemin) as fichier:
        fichier.readline()
        while lignes := fichier.readlines(1 << 20):
            entieres = lignes if lignes[-1].endswith(b"\n") else lignes[:-1]
            if pleines := [ligne for ligne in entieres if not ligne.isspace()]:
                yield pleines


def _lignes_du_csv(lignes: Sequence[bytes], donnee: TypeDonnee, fuseau: str | None) -> pa.Table:
    """Des lignes de CSV en table ; une cellule qui ne se lit pas est nulle, et toutes celles d'une ligne mal coupée."""
    octets = b"".join(lignes)
    with contextlib.suppress(ValueError, pa.ArrowException):
        lecture = pa_csv.ReadOptions(column_names=donnee.noms, block_size=len(octets) + 1, use_threads=False)
        lue = pa_csv.read_csv(io.BytesIO(octets), lecture, pa_csv.ParseOptions(), conversions(donnee, fuseau))
        return aux_normes(lue, donnee)
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
    with sortie.lecteur() as base, contextlib.ExitStack() as pile:
        base.execute("BEGIN")  # fiches et lignes d'un même instant, quoi qu'une exécution écrive
        pile.callback(base.rollback)  # la connexion est peut-être celle d'une reprise
        try:
            fautes = [faute for (faute,) in base.execute("PRAGMA integrity_check(3)") if faute != "ok"]
        except sqlite3.DatabaseError as erreur:
            if not sauver:
                raise
            fautes = [cause_sqlite(erreur)[0]]
        defauts = [("illisible", faute) for faute in fautes]
        fiches, perdues = _fiches_de(sortie, base)
        phrase = "la table « %s » est abîmée : rien de ce que dit la fiche n'est cru"
        defauts += [(FICHE_ABIMEE, phrase % nom) for nom in perdues]
        lots = _lots_sauves(sortie, base, fiches) if sauver and defauts else _lots_bruts(sortie, base)
        connues = {fiche.cle for fiche in fiches}
        yield Brut(lots, fiches, defauts, lambda cle: not connues or cle in connues, None, True)


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
            for debut, fin in fiche.dits() or [(0, INSTANT_MAX_MS)]:
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
