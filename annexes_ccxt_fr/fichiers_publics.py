"""Ce que dit un fichier public : les lignes de son CSV, telles que l'API les rendrait, ou pourquoi il ne compte pas.

Ni réseau ni horloge. L'unité d'un instant se lit à sa grandeur, l'en-tête au premier octet : ni l'une ni l'autre ne se
déduisent d'une date. Confronter ces lignes à l'API est l'affaire d'`archives.py`.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import zipfile
import zlib
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from annexes_ccxt_fr.depot import Ecarte
from annexes_ccxt_fr.place import taille_lisible
from module_ccxt_fr_v2 import (
    HEURE_MS,
    JOUR_MS,
    MINUTE_MS,
    VALEURS_OHLCV,
    Intervalle,
    Timeframe,
    cribler_table,
    unir,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

CSV_MAX = 256 << 20  # ce qu'un fichier de bougies peut peser, décompressé
MICROSECONDES = 10**14  # un instant plus grand n'est pas en ms


# --- Bougies ---


@contextlib.contextmanager
def _csv_de(fichier: IO[bytes]) -> Iterator[tuple[IO[bytes], int]]:
    """Le CSV d'un zip, qui n'en tient qu'un, et ce qu'il pèse. Lève Ecarte, aussi de ce qui se lit dedans."""
    try:
        with zipfile.ZipFile(fichier) as archive:
            membres = [membre for membre in archive.infolist() if not membre.is_dir()]
            if len(membres) != 1:
                raise Ecarte(f"il tient {len(membres)} fichiers, pas un")
            with archive.open(membres[0]) as flux:
                yield flux, membres[0].file_size
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError, OSError) as erreur:
        raise Ecarte(f"son zip ne se lit pas ({erreur})") from erreur


def _texte_de(fichier: IO[bytes]) -> bytes:
    """Le CSV d'un zip, en entier, sans son en-tête. Lève Ecarte."""
    with _csv_de(fichier) as (flux, poids):
        if poids > CSV_MAX:
            raise Ecarte(f"il pèse {taille_lisible(poids)} décompressé")
        return _sans_entete(flux.read())


def lire_bougies(fichier: IO[bytes], timeframe: Timeframe, prix: str, colonne_volume: int) -> pa.Table:
    """Les bougies d'un zip, telles que ccxt les rendrait : timestamp (ms) puis VALEURS_OHLCV. Lève Ecarte."""
    texte = _texte_de(fichier)
    voulues = ["f0", *(f"f{rang}" for rang in (1, 2, 3, 4, colonne_volume))]
    natures = dict(zip(voulues, (pa.int64(), *[pa.float64()] * 5), strict=True))
    table = _lire_csv(texte, natures).rename_columns(["timestamp", *VALEURS_OHLCV])
    table = table.set_column(0, "timestamp", en_ms(table["timestamp"]))
    if prix != "last" and pc.any(pc.not_equal(table["volume"], 0.0)).as_py():
        raise Ecarte(f"un volume n'est pas nul, au prix {prix}")
    page = cribler_table(table, timeframe, prix)
    if page.lignes is not table:
        raise Ecarte("une ligne y est impossible, en double, en désordre ou hors de la grille")
    return table


def _sans_entete(texte: bytes) -> bytes:
    """Un CSV sans son en-tête, qui est là ou non selon les années : son premier octet le dit."""
    return texte if texte[:1].isdigit() else texte.partition(b"\n")[2]


def _lire_csv(texte: bytes, natures: Mapping[str, pa.DataType]) -> pa.Table:
    """Les colonnes f0, f1… d'un CSV sans en-tête. Lève Ecarte."""
    if not texte or texte.isspace():
        return pa.table({nom: pa.array([], nature) for nom, nature in natures.items()})
    lecture = pyarrow.csv.ReadOptions(autogenerate_column_names=True, use_threads=False, block_size=8 << 20)
    conversion = pyarrow.csv.ConvertOptions(column_types=natures, include_columns=list(natures))
    texte += b"" if texte.endswith(b"\n") else b"\n"  # d'une seule ligne qui ne finit pas, Arrow dit « vide »
    try:
        return pyarrow.csv.read_csv(pa.BufferReader(texte), read_options=lecture, convert_options=conversion)
    except (pa.ArrowInvalid, pa.ArrowKeyError) as erreur:
        raise Ecarte(f"son CSV ne se lit pas ({str(erreur).splitlines()[0]})") from erreur


def en_ms(instants: pa.ChunkedArray) -> pa.ChunkedArray:
    """Des instants en ms, chacun selon sa grandeur : le comptant est en µs depuis 2025."""
    return pc.if_else(pc.greater_equal(instants, MICROSECONDES), pc.divide(instants, 1000), instants)


# --- Trades ---

LIGNES_PAR_LOT = 50_000
BLOC_CSV = 1 << 20  # de texte, lu d'un coup
_COLONNES_TRADES = {"f0": "id", "f1": "price", "f2": "amount", "f5": "timestamp", "f6": "vendeur"}
# Des textes : le coût que rend ccxt est leur produit exact, arrondi une fois ; celui des flottants diffère.
_NATURES_TRADES = {"f0": pa.int64(), "f1": pa.string(), "f2": pa.string(), "f5": pa.int64(), "f6": pa.bool_()}
NATURES_EXAMEN = {"f0": pa.int64(), "f1": pa.float64(), "f2": pa.float64(), "f5": pa.int64()}


def lire_trades(fichier: IO[bytes], natures: Mapping[str, pa.DataType] = _NATURES_TRADES) -> Iterator[pa.Table]:
    """Les trades réunis d'un zip, par lots : id, prix et quantité en texte, instant en ms, sens. Lève Ecarte.

    Jamais en entier : un mois d'un grand marché est vingt millions de lignes.
    """
    noms = [_COLONNES_TRADES[colonne] for colonne in natures]
    with _csv_de(fichier) as (flux, _):
        blocs: list[pa.Table] = []  # petits, pour la mémoire ; réunis, pour ce que coûte chaque lot
        for texte in _par_lignes_entieres(flux):
            blocs.append(_lire_csv(texte, natures))
            if sum(bloc.num_rows for bloc in blocs) >= LIGNES_PAR_LOT:
                yield _trades_lus(blocs, noms)
                blocs = []
        if any(bloc.num_rows for bloc in blocs):
            yield _trades_lus(blocs, noms)


def _par_lignes_entieres(flux: IO[bytes]) -> Iterator[bytes]:
    """Le texte d'un CSV, sans son en-tête, par blocs qui ne coupent aucune ligne.

    Lu ici : laissé aux fils d'Arrow, chacun d'eux gardait sa part de mémoire.
    """
    reste = _sans_entete(flux.readline(BLOC_CSV))
    while octets := flux.read(BLOC_CSV):
        coupe = octets.rfind(b"\n") + 1
        if coupe:
            yield reste + octets[:coupe]
            reste = b""
        reste += octets[coupe:]
        if len(reste) > BLOC_CSV:
            raise Ecarte("une ligne n'y finit pas")
    yield reste


def _trades_lus(blocs: Sequence[pa.Table], noms: Sequence[str]) -> pa.Table:
    """Des blocs d'un CSV en une table, les instants en ms. Lève Ecarte."""
    table = pa.concat_tables(blocs).rename_columns(list(noms))
    if any(colonne.null_count for colonne in table.columns):
        raise Ecarte("il y manque une valeur")
    return table.set_column(3, "timestamp", en_ms(table["timestamp"]))


class Echanges(NamedTuple):
    """Ce qui s'est échangé dans un jour."""

    haut: float
    bas: float
    volume: float


def _jour(instant: int) -> int:
    return instant - instant % JOUR_MS


@dataclass
class Examen:
    """Une première lecture d'un fichier de trades : ce qui y manque, et ce qu'il échange chaque jour."""

    periode: Intervalle
    contrat: float | None = None  # ce que vaut un contrat inverse : il s'échange en monnaie de base à son prix
    jours: dict[int, Echanges] = field(default_factory=dict)
    rompus: set[int] = field(default_factory=set)  # jours où des ids ne se suivent pas
    _dernier: tuple[int, int] | None = None  # id, instant

    def voir(self, lot: pa.Table) -> None:
        """Les lignes suivantes. Lève Ecarte si elles sont hors de la période, ou en désordre."""
        if not lot.num_rows:
            return
        ids, instants = lot["id"].combine_chunks(), lot["timestamp"].combine_chunks()
        bornes = pc.min_max(instants).as_py()
        if bornes["min"] < self.periode[0] or bornes["max"] >= self.periode[1]:
            raise Ecarte("il tient des lignes d'une autre période")
        if self._dernier is not None:
            ids = pa.concat_arrays([pa.array([self._dernier[0]]), ids])
            instants = pa.concat_arrays([pa.array([self._dernier[1]]), instants])
        ecarts = pc.subtract(ids[1:], ids[:-1])
        if len(ids) > 1 and (
            pc.min(ecarts).as_py() < 1 or pc.min(pc.subtract(instants[1:], instants[:-1])).as_py() < 0
        ):
            raise Ecarte("une ligne y est en double ou en désordre")
        for rang in pc.indices_nonzero(pc.not_equal(ecarts, 1)).to_pylist():
            self.rompus |= {*(_jour(instants[r].as_py()) for r in (rang, rang + 1))}
        self._dernier = ids[-1].as_py(), instants[-1].as_py()
        jours = pc.multiply(pc.divide(lot["timestamp"], JOUR_MS), JOUR_MS)
        prix, quantites = lot["price"], lot["amount"]
        if not (pc.min(prix).as_py() > 0 and pc.min(quantites).as_py() > 0):
            raise Ecarte("un prix ou une quantité n'y est pas positif")
        if self.contrat is not None:
            quantites = pc.divide(pc.multiply(quantites, self.contrat), prix)
        echanges = pa.table({"jour": jours, "volume": quantites, "prix": prix})
        parts = echanges.group_by("jour", use_threads=False).aggregate(
            [("prix", "max"), ("prix", "min"), ("volume", "sum")]
        )
        for part in parts.to_pylist():
            haut, bas, volume = part["prix_max"], part["prix_min"], part["volume_sum"]
            vu = self.jours.get(part["jour"], Echanges(haut, bas, 0.0))
            self.jours[part["jour"]] = Echanges(max(vu.haut, haut), min(vu.bas, bas), vu.volume + volume)


def produits(prix: pa.Array, quantites: pa.Array) -> pa.Array:
    """Le produit exact de nombres en texte, arrondi une fois : deux entiers, divisés par une puissance de dix exacte.

    Là où ils n'ont pas tous autant de décimales, ou pèsent trop pour un flottant, par les décimaux, trois fois plus
    lents ; qu'Arrow ne convertit juste en flottants que par leur texte.
    """
    gauches, droites = _entiers(prix), _entiers(quantites)
    if gauches is not None and droites is not None:
        (gauche, a), (droite, b) = gauches, droites
        if pc.max(gauche).as_py() * pc.max(droite).as_py() <= 2**53 and a + b <= 22:
            return pc.divide(pc.multiply(gauche, droite).cast(pa.float64()), 10.0 ** (a + b))
    exacts = pc.multiply(prix.cast(pa.decimal128(19, 8)), quantites.cast(pa.decimal128(18, 8)))
    return exacts.cast(pa.string()).cast(pa.float64())


DECIMALES_D_UN_INVERSE = 18  # de l'inverse d'un prix, tronqué : ce que ccxt en garde


def quotients(prix: pa.Array, quantites: pa.Array, contrat: float) -> pa.Array:
    """Le coût de contrats inverses, tel que ccxt le calcule : l'inverse du prix tronqué, le reste exact, arrondi."""
    taille, decimales = _en_entier(repr(contrat))
    inverses: dict[str, int] = {}
    for texte in prix.unique().to_pylist():
        entier, rang = _en_entier(texte)
        inverses[texte] = taille * (10 ** (DECIMALES_D_UN_INVERSE + rang) // entier)
    couts = []
    for texte, quantite in zip(prix.to_pylist(), quantites.to_pylist(), strict=True):
        nombre, rang = _en_entier(quantite)
        couts.append(inverses[texte] * nombre / 10 ** (DECIMALES_D_UN_INVERSE + decimales + rang))
    return pa.array(couts, pa.float64())


def _en_entier(texte: str) -> tuple[int, int]:
    """Un nombre en texte : ses chiffres, et combien sont des décimales."""
    entier, _, decimales = texte.partition(".")
    return int(entier + decimales), len(decimales)


def _entiers(textes: pa.Array) -> tuple[pa.Array, int] | None:
    """Des nombres en texte, en entiers, et leurs décimales, sans les zéros de fin communs ; None s'ils diffèrent."""
    if not len(textes):
        return None
    points = pc.find_substring(textes, ".")
    decimales = pc.min_max(pc.subtract(pc.subtract(pc.binary_length(textes), points), 1)).as_py()
    if pc.min(points).as_py() < 0 or decimales["min"] != decimales["max"]:
        return None
    try:
        entiers, reste = pc.replace_substring(textes, ".", "").cast(pa.int64()), decimales["max"]
    except pa.ArrowInvalid:
        return None  # trop long, ou en notation scientifique
    for zeros in (8, 4, 2, 1):
        if zeros <= reste:
            courts = pc.divide(entiers, 10**zeros)
            if pc.all(pc.equal(pc.multiply(courts, 10**zeros), entiers)).as_py():
                entiers, reste = courts, reste - zeros
    return entiers, reste


# --- Relevés : funding, intérêt ouvert ---

JEU_MS = MINUTE_MS  # un règlement est daté de quelques millisecondes après son heure
METRICS_MS = 5 * MINUTE_MS
Valeurs = tuple[float | None, ...]


class Feuille(NamedTuple):
    """Ce que tient un fichier de relevés : ses lignes, ce qu'elles prouvent, les instants d'une valeur fausse."""

    lignes: dict[int, Valeurs]
    prouves: list[Intervalle]
    faux: list[int]


VIDE = Feuille({}, [], [])


def _sans_doublons(lignes: Iterable[tuple[int, Valeurs]]) -> tuple[dict[int, Valeurs], list[int]]:
    """Les lignes, une fois chacune, et les instants qui en ont deux différentes ; Ecarte si elles sont en désordre.

    De 2020-09 à 2021-05, les metrics ont chaque ligne deux fois.
    """
    vues: dict[int, Valeurs] = {}
    doubles: set[int] = set()
    dernier = -1
    for instant, valeurs in lignes:
        if instant in vues:
            doubles |= {instant} if vues[instant] != valeurs else set()
            continue
        if instant < dernier:
            raise Ecarte("une ligne y est en désordre")
        vues[instant], dernier = valeurs, instant
    return {instant: valeurs for instant, valeurs in vues.items() if instant not in doubles}, sorted(doubles)


def lire_funding(fichier: IO[bytes], periode: Intervalle) -> Feuille:
    """Les règlements d'un mois, sans prix de marque. Lève Ecarte.

    Entre deux règlements, rien ne manque si leur écart est l'intervalle que l'un et l'autre disent ; là où l'intervalle
    change, le fichier ne dit pas duquel des deux il est.
    """
    natures = {"f0": pa.int64(), "f1": pa.float64(), "f2": pa.float64()}
    table = _lire_csv(_texte_de(fichier), natures)
    if any(colonne.null_count for colonne in table.columns):
        raise Ecarte("il y manque une valeur")
    instants, heures, taux = (colonne.to_pylist() for colonne in table.columns)
    lues, doubles = _sans_doublons(zip(instants, zip(heures, taux, strict=True), strict=True))
    if doubles:
        raise Ecarte("deux taux y ont le même instant")
    debut, fin = periode
    if lues and not debut <= min(lues) <= max(lues) < fin:
        raise Ecarte("il tient des lignes d'une autre période")
    pas = {instant: round((valeurs[0] or 0.0) * HEURE_MS) for instant, valeurs in lues.items()}
    prouves = [(instant, instant + 1) for instant in lues]
    for avant, apres in itertools.pairwise(lues):
        if pas[avant] == pas[apres] and abs(apres - avant - pas[avant]) <= JEU_MS:
            prouves.append((avant, apres))
    if lues and min(lues) - debut <= JEU_MS:
        prouves.append((debut, min(lues)))
    if lues and abs(max(lues) + pas[max(lues)] - fin) <= JEU_MS:
        prouves.append((max(lues), fin))
    return Feuille({instant: (valeurs[1], None) for instant, valeurs in lues.items()}, unir(prouves), [])


def lire_metrics(fichier: IO[bytes], periode: Intervalle, symbole: str) -> Feuille:
    """L'intérêt ouvert d'un jour, de cinq en cinq minutes : quantité, valeur. Lève Ecarte.

    Selon l'année, un fichier va de 00:00 à 23:55 ou de 00:05 à 00:00 le lendemain. Un intérêt nul, ou absent, n'est pas
    une valeur.
    """
    natures = {"f0": pa.timestamp("ms"), "f1": pa.string(), "f2": pa.float64(), "f3": pa.float64()}
    table = _lire_csv(_texte_de(fichier), natures)
    if table["f0"].null_count or set(table["f1"].to_pylist()) - {symbole}:
        raise Ecarte("une ligne y est sans instant, ou d'un autre symbole")
    instants, quantites, sommes = (
        colonne.to_pylist() for colonne in (table["f0"].cast(pa.int64()), table["f2"], table["f3"])
    )
    lues, doubles = _sans_doublons(zip(instants, zip(quantites, sommes, strict=True), strict=True))
    if any(not periode[0] <= instant <= periode[1] for instant in lues):
        raise Ecarte("il tient des lignes d'une autre période")
    bonnes = {instant: v for instant, v in lues.items() if all(x is not None and 0 < x < math.inf for x in v)}
    return Feuille(bonnes, [], sorted({*doubles, *lues} - set(bonnes)))
