"""Le marché simulé : pur, déterministe, sans horloge, accessible à n'importe quel instant.

Rien n'est déroulé depuis l'origine. Un jour (UTC) d'un instrument se calcule seul : l'aléa vient d'une empreinte de
(graine, instrument, jour), le prix de départ et d'arrivée vient d'une courbe commune à tous les marchés d'une même
base, et chaque minute est un « motif » (une petite suite de trades) posé sur le niveau du moment. La bougie d'une
minute est alors l'agrégat exact de ses trades sans qu'il faille les écrire : ouverture, extrêmes, clôture et volumes du
motif, décalés et multipliés. Toutes les valeurs internes sont des entiers (ticks, lots) : ni arrondi, ni plateforme.
"""

from __future__ import annotations

import calendar
import hashlib
import random
from bisect import bisect_left
from collections import OrderedDict
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property, lru_cache
from itertools import accumulate, cycle, groupby, islice, repeat
from operator import add, itemgetter, mul
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

MINUTE_MS = 60_000
HEURE_MS = 3_600_000
JOUR_MS = 86_400_000
SEMAINE_MS = 7 * JOUR_MS
MINUTES_PAR_JOUR = 1440
ANCRE_LUNDI_MS = 4 * JOUR_MS
"""L'époque est un jeudi : le premier lundi est le 5 janvier 1970."""

Pas: TypeAlias = int | Literal["semaine", "mois"]
NaturePrix: TypeAlias = Literal["last", "mark", "index", "premiumIndex"]
NATURES_PRIX: tuple[NaturePrix, ...] = ("last", "mark", "index", "premiumIndex")
DECIMALES_PRIME = 8
"""Décimales de l'indice de prime, et du volume en monnaie de base des contrats inverses."""

# Nombre de trades par minute, au rang de la minute non vide dans son jour. Une suite fixe plutôt qu'un tirage : le
# total d'un jour est alors connu sans le calculer, et les identifiants se suivent sans trou d'un jour à l'autre.
COMPTES = (5, 3, 8, 1, 12, 4, 2, 7)
MOTIFS_PAR_COMPTE = 128
JOURS_EN_CACHE = 64
PERIODES_EN_CACHE = 20_000
_VERS_MOTIF = bytes(octet % MOTIFS_PAR_COMPTE for octet in range(256))
_VERS_FACTEUR = bytes(1 + octet % 16 for octet in range(256))
_COMPTES_DU_JOUR = tuple(islice(cycle(COMPTES), MINUTES_PAR_JOUR))
_PREMIERS_MOTIFS = tuple(islice(cycle(range(0, len(COMPTES) * MOTIFS_PAR_COMPTE, MOTIFS_PAR_COMPTE)), MINUTES_PAR_JOUR))
"""Le compte de chaque minute non vide, et le premier des motifs de ce compte, au rang de la minute."""


def instant_ms(texte: str) -> int:
    """Lit une date ISO 8601 (UTC) et rend des millisecondes."""
    return int(datetime.fromisoformat(texte).replace(tzinfo=UTC).timestamp()) * 1000


def empreinte(*morceaux: object) -> int:
    """Rend un entier de 64 bits, le même dans tous les processus (hash() change à chaque démarrage)."""
    texte = "|".join(str(morceau) for morceau in morceaux)
    return int.from_bytes(hashlib.blake2b(texte.encode(), digest_size=8).digest(), "big")


def texte_decimal(valeur: int, decimales: int) -> str:
    """Écrit valeur / 10**decimales, exactement, avec toutes ses décimales."""
    if decimales == 0:
        return str(valeur)
    if valeur < 0:
        return "-" + texte_decimal(-valeur, decimales)
    chiffres = str(valeur).rjust(decimales + 1, "0")
    return f"{chiffres[:-decimales]}.{chiffres[-decimales:]}"


def textes_decimaux(valeurs: Sequence[int], decimales: int) -> list[str]:
    """Écrit toute une colonne, comme texte_decimal mais trois fois plus vite : c'est l'essentiel du coût d'une page."""
    if decimales == 0 or min(valeurs, default=0) < 0:
        return [texte_decimal(valeur, decimales) for valeur in valeurs]
    modele = f"%0{decimales + 1}d"
    return [f"{chiffres[:-decimales]}.{chiffres[-decimales:]}" for chiffres in [modele % v for v in valeurs]]


class Bougie(NamedTuple):
    """Une bougie en entiers : prix en ticks, volume en lots, volume_quote selon Instrument.texte_volume_quote."""

    ts: int
    open: int
    high: int
    low: int
    close: int
    volume: int
    volume_quote: int
    nombre: int


class Trade(NamedTuple):
    """Un trade en entiers ; les identifiants d'un instrument se suivent de 1 en 1 depuis sa cotation."""

    ts: int
    id: int
    sens: Literal["buy", "sell"]
    prix: int
    quantite: int


@dataclass(frozen=True)
class Instrument:
    """Un marché : ses monnaies, son genre, ses décimales et sa durée de vie."""

    base: str
    quote: str
    settle: str | None = None
    type_marche: Literal["spot", "swap", "future"] = "spot"
    sous_type: Literal["linear", "inverse"] | None = None
    decimales_prix: int = 2
    decimales_quantite: int = 5
    taille_contrat: float = 1.0
    cotation_ms: int = 1_502_942_400_000
    fin_ms: int | None = None
    actif: bool = True
    prix_reference: float = 100.0

    @cached_property
    def symbole(self) -> str:
        """Symbole unifié de ccxt : BTC/USDT, BTC/USDT:USDT, BTC/USD:BTC-261225."""
        if self.type_marche == "spot":
            return f"{self.base}/{self.quote}"
        suffixe = f"-{self.echeance}" if self.type_marche == "future" else ""
        return f"{self.base}/{self.quote}:{self.settle}{suffixe}"

    @cached_property
    def cle(self) -> str:
        """Clé de cache : deux exchanges peuvent donner au même symbole des décimales ou des contrats différents."""
        return repr(self)

    @cached_property
    def cle_sans_cotation(self) -> str:
        """Clé de ce qui ne dépend pas du jour de sa cotation."""
        return repr(replace(self, cotation_ms=0))

    @property
    def echeance(self) -> str:
        """Échéance AAMMJJ d'un contrat à terme, texte vide sinon."""
        if self.fin_ms is None or self.type_marche != "future":
            return ""
        return datetime.fromtimestamp(self.fin_ms / 1000, UTC).strftime("%y%m%d")

    @property
    def inverse(self) -> bool:
        """Vrai pour un contrat réglé dans sa monnaie de base."""
        return self.sous_type == "inverse"

    @cached_property
    def reference_ticks(self) -> int:
        """Prix de référence en ticks ; assez de ticks pour que la marche ne touche jamais zéro."""
        return max(2000, round(self.prix_reference * 10.0**self.decimales_prix))

    @property
    def decimales_volume_quote(self) -> int:
        """Décimales du volume_quote : produit prix x quantité, ou monnaie de base d'un contrat inverse."""
        return DECIMALES_PRIME if self.inverse else self.decimales_prix + self.decimales_quantite

    def texte_prix(self, prix: int) -> str:
        """Écrit un prix en décimal exact, avec les décimales du marché."""
        return texte_decimal(prix, self.decimales_prix)

    def texte_quantite(self, quantite: int) -> str:
        """Écrit une quantité (ou un volume) en décimal exact."""
        return texte_decimal(quantite, self.decimales_quantite)

    def texte_volume_quote(self, volume: int) -> str:
        """Écrit un volume_quote : Σ prix x quantité (hors taille de contrat), ou monnaie de base si inverse."""
        return texte_decimal(volume, self.decimales_volume_quote)

    def texte(self, prix: int, nature: NaturePrix) -> str:
        """Écrit un prix selon sa nature : l'indice de prime est un taux à huit décimales."""
        return texte_decimal(prix, self.decimales_de(nature))

    def decimales_de(self, nature: NaturePrix) -> int:
        """Décimales d'un prix de cette nature."""
        return DECIMALES_PRIME if nature == "premiumIndex" else self.decimales_prix

    @cached_property
    def notionnel_contrat(self) -> int:
        """Valeur d'un contrat inverse en ticks et en 1e-8 de monnaie de base."""
        # Un contrat inverse se compte en entiers : une quantité est un nombre de contrats, sans décimales.
        return round(self.taille_contrat * 10.0 ** (DECIMALES_PRIME + self.decimales_prix))

    def base_du_contrat(self, prix: int, quantite: int) -> int:
        """Rend la monnaie de base (1e-8) que valent `quantite` contrats inverses à ce prix, arrondie vers le bas."""
        return self.notionnel_contrat * quantite // prix


# --- Motifs : les trades d'une minute, relativement à son niveau ------------------------------------------------------


class Motif(NamedTuple):
    """Trades d'une minute : instants, sens, écarts de prix au niveau, quantités avant multiplication."""

    instants: tuple[int, ...]
    achats: tuple[bool, ...]
    ecarts: tuple[int, ...]
    quantites: tuple[int, ...]


def tirer_motif(alea: random.Random, compte: int, unite: int, lots: int) -> Motif:
    """Tire un motif de `compte` trades ; certains touchent les bords de la minute ou partagent une milliseconde."""
    instants = sorted(alea.randrange(MINUTE_MS) for _ in range(compte))
    bord = alea.choice(("debut", "fin", "ensemble", "ensemble", "", "", "", ""))
    if bord == "debut":
        instants[0] = 0
    elif bord == "fin":
        instants[-1] = MINUTE_MS - 1
    elif bord == "ensemble":
        instants[0] = instants[compte // 2]
        instants.sort()
    ecarts = tuple(accumulate(alea.randint(-unite, unite) for _ in range(compte)))
    achats = tuple(alea.choice((True, False)) for _ in range(compte))
    return Motif(tuple(instants), achats, ecarts, tuple(alea.randint(1, lots) for _ in range(compte)))


class Palette:
    """Les motifs d'un instrument, et leurs agrégats en colonnes indexées par le numéro du motif."""

    def __init__(self, graine: int, symbole: str, unite: int, lots: int) -> None:
        """Tire tous les motifs d'un instrument à partir de l'empreinte de son symbole."""
        alea = random.Random(empreinte(graine, symbole, "motifs"))
        self.motifs = [tirer_motif(alea, n, unite, lots) for n in COMPTES for _ in range(MOTIFS_PAR_COMPTE)]
        self.ouvertures = [m.ecarts[0] for m in self.motifs]
        self.hauts = [max(m.ecarts) for m in self.motifs]
        self.bas = [min(m.ecarts) for m in self.motifs]
        self.clotures = [m.ecarts[-1] for m in self.motifs]
        self.volumes = [sum(m.quantites) for m in self.motifs]
        self.produits = [sum(map(mul, m.ecarts, m.quantites)) for m in self.motifs]
        self.paires = [tuple(zip(m.ecarts, m.quantites, strict=True)) for m in self.motifs]
        self.comptes = [len(m.ecarts) for m in self.motifs]


@lru_cache(maxsize=64)
def palette_de(graine: int, symbole: str, unite: int, lots: int) -> Palette:
    """Rend une palette, la même pour tous les marchés de cette graine : la tirer coûte soixante millisecondes."""
    return Palette(graine, symbole, unite, lots)


@lru_cache(maxsize=64)
def totaux_de(_graine: int, _taux_vide: float) -> dict[tuple[str, int], Bougie | None]:
    """Rend les jours pleins déjà résumés, les mêmes pour tous les marchés faits ainsi : un mois les demande tous."""
    return {}


# --- Un jour ----------------------------------------------------------------------------------------------------------

PERIODES = ((1, 12_000), (7, 35_000), (30, 80_000), (180, 150_000), (720, 220_000))
"""Octaves de la courbe des niveaux : période en jours, amplitude en millionièmes (la somme reste sous la moitié)."""


@lru_cache(maxsize=1 << 14)
def _noeud(graine: int, base: str, rang: int, numero: int) -> int:
    """Rend un nœud d'une octave ; les jours d'entre deux le partagent."""
    periode, amplitude = PERIODES[rang]
    return empreinte(graine, base, periode, numero) % (2 * amplitude + 1) - amplitude


def niveau_du_jour(graine: int, base: str, reference: int, jour: int) -> int:
    """Rend le prix à 00:00 UTC, en ticks : somme d'octaves interpolées, en entiers, commune aux marchés d'une base."""
    total = 1_000_000
    for rang, (periode, _) in enumerate(PERIODES):
        numero, reste = divmod(jour, periode)
        gauche, droite = _noeud(graine, base, rang, numero), _noeud(graine, base, rang, numero + 1)
        total += (gauche * (periode - reste) + droite * reste) // periode
    return reference * total // 1_000_000


def _eparpiller(valeurs: Sequence[int], minutes: Sequence[int]) -> list[int]:
    """Rend un jour de zéros, sauf ces minutes, qui reçoivent ces valeurs."""
    rendues = [0] * MINUTES_PAR_JOUR
    for minute, valeur in zip(minutes, valeurs, strict=False):
        rendues[minute] = valeur
    return rendues


@dataclass
class Jour:
    """Un jour d'un instrument : niveaux de chaque minute, motifs, facteurs et comptes, sans les trades."""

    debut_ms: int
    niveaux: list[int]
    motifs: list[int]
    facteurs: bytes
    non_vides: Sequence[int]
    cumul: list[int]
    bruits: bytes
    bougies: list[Bougie] = field(default_factory=list)
    derivees: dict[NaturePrix, list[Bougie]] = field(default_factory=dict)


class Marche:
    """Tous les trades et toutes les bougies d'une graine, pour les instruments de chaque exchange.

    Paramètres :
        graine: change toute l'histoire.
        instruments: exchange -> instruments ; INSTRUMENTS_PAR_DEFAUT sinon.
        pannes: intervalles [debut_ms, fin_ms[ sans trade ni bougie, élargis à la minute.
        taux_vide: part des minutes sans trade, réparties au hasard dans chaque jour.
    """

    def __init__(
        self,
        graine: int = 1,
        instruments: dict[str, list[Instrument]] | None = None,
        pannes: Sequence[tuple[int, int]] = (),
        taux_vide: float = 0.0,
    ) -> None:
        """Prépare les caches ; rien n'est calculé d'avance."""
        self.graine = graine
        self.instruments = INSTRUMENTS_PAR_DEFAUT if instruments is None else instruments
        self.pannes = fusionner([(plancher(d, MINUTE_MS), -plancher(-f, MINUTE_MS)) for d, f in pannes])
        self.taux_vide = taux_vide
        self._vides_par_jour = min(MINUTES_PAR_JOUR, round(taux_vide * MINUTES_PAR_JOUR))
        self._palettes: dict[str, Palette] = {}
        self._jours: OrderedDict[tuple[str, int], Jour] = OrderedDict()
        self._jours_gardes = JOURS_EN_CACHE
        self._totaux: dict[tuple[str, int, NaturePrix], Bougie | None] = {}
        self._totaux_communs = totaux_de(graine, taux_vide)
        self._closes: dict[tuple[str, Pas, NaturePrix, int], dict[int, Bougie | None]] = {}
        self._glissantes: dict[str, tuple[int, Bougie | None]] = {}
        self._origines: dict[str, int] = {}

    # Jours

    def palette(self, instrument: Instrument) -> Palette:
        """Rend les motifs d'un instrument."""
        palette = self._palettes.get(instrument.cle)
        if palette is None:
            unite = max(1, instrument.reference_ticks * 4 // 10_000)
            lots = max(3, round(150 / instrument.prix_reference * 10**instrument.decimales_quantite))
            lots = 40 if instrument.inverse else lots
            palette = self._palettes[instrument.cle] = palette_de(self.graine, instrument.symbole, unite, lots)
        return palette

    def reserver(self, jours: int) -> None:
        """Garde au moins ce nombre de jours de plus : un flux relit sans fin le jour courant de chacun des siens."""
        self._jours_gardes = max(self._jours_gardes, JOURS_EN_CACHE + jours)

    def jour(self, instrument: Instrument, numero: int) -> Jour:
        """Rend un jour, depuis le cache si possible (les plus anciens en sortent)."""
        cle = (instrument.cle, numero)
        jour = self._jours.get(cle)
        if jour is None:
            jour = self._jours[cle] = self._tirer_jour(instrument, numero)
            if len(self._jours) > self._jours_gardes:
                self._jours.popitem(last=False)
        else:
            self._jours.move_to_end(cle)
        return jour

    def _niveau(self, instrument: Instrument, numero: int) -> int:
        return niveau_du_jour(self.graine, instrument.base, instrument.reference_ticks, numero)

    def _tirer_jour(self, instrument: Instrument, numero: int) -> Jour:
        alea = random.Random(empreinte(self.graine, instrument.symbole, numero))
        octets = alea.randbytes(MINUTES_PAR_JOUR * 2)
        bruits = alea.randbytes(MINUTES_PAR_JOUR * 2)
        non_vides = self._minutes_non_vides(alea, instrument, numero)
        comptes: Sequence[int] = _COMPTES_DU_JOUR
        premiers: Sequence[int] = _PREMIERS_MOTIFS
        if len(non_vides) < MINUTES_PAR_JOUR:
            comptes, premiers = _eparpiller(comptes, non_vides), _eparpiller(premiers, non_vides)
        motifs = list(map(add, premiers, octets[:MINUTES_PAR_JOUR].translate(_VERS_MOTIF)))
        return Jour(
            numero * JOUR_MS,
            self._niveaux(instrument, numero, motifs),
            motifs,
            octets[MINUTES_PAR_JOUR:].translate(_VERS_FACTEUR),
            non_vides,
            list(accumulate(comptes, initial=0)),
            bruits,
        )

    def _niveaux(self, instrument: Instrument, numero: int, motifs: list[int]) -> list[int]:
        """Rend le niveau de chaque minute et celui de la fin du jour."""
        depart, arrivee = self._niveau(instrument, numero), self._niveau(instrument, numero + 1)
        marche = list(accumulate(map(self.palette(instrument).clotures.__getitem__, motifs), initial=depart))
        # Un pont : la marche tirée au hasard est inclinée pour finir où le jour suivant commence.
        ecart = arrivee - marche[-1]
        return [prix + ecart * i // MINUTES_PAR_JOUR for i, prix in enumerate(marche)]

    def _minutes_non_vides(self, alea: random.Random, instrument: Instrument, numero: int) -> Sequence[int]:
        if not self._vides_par_jour:
            return range(MINUTES_PAR_JOUR)
        vides = set(alea.sample(range(MINUTES_PAR_JOUR), self._vides_par_jour))
        premiere = instrument.cotation_ms // MINUTE_MS - numero * MINUTES_PAR_JOUR
        if premiere in vides and len(vides) < MINUTES_PAR_JOUR:
            # La cotation ouvre toujours par un trade ; une autre minute est vidée pour que le total du jour reste fixe.
            vides.remove(premiere)
            vides.add(next(m for m in range(MINUTES_PAR_JOUR) if m not in vides and m != premiere))
        return [minute for minute in range(MINUTES_PAR_JOUR) if minute not in vides]

    def _minutes_du_jour(self, instrument: Instrument, numero: int) -> list[Bougie]:
        """Rend les bougies 1m d'un jour, sans les minutes hors de la vie du marché ni celles d'une panne."""
        jour = self.jour(instrument, numero)
        if not jour.bougies:
            bougies = list(self._bougies_brutes(instrument, jour))
            entier = self._vit_tout_le_jour(instrument, jour.debut_ms)
            jour.bougies = bougies if entier else [b for b in bougies if self._vit(instrument, b.ts)]
        return jour.bougies

    def _bougies_brutes(self, instrument: Instrument, jour: Jour) -> Iterator[Bougie]:
        instants = [jour.debut_ms + m * MINUTE_MS for m in jour.non_vides]
        valeurs = zip(instants, *self._colonnes(instrument, jour), strict=True)
        return map(tuple.__new__, repeat(Bougie), valeurs)  # Bougie._make, sans un appel de Python par minute

    def _colonnes(self, instrument: Instrument, jour: Jour) -> tuple[Iterable[int], ...]:
        """Rend open, high, low, close, volume, volume_quote et nombre des minutes non vides, en colonnes."""
        palette = self.palette(instrument)
        minutes = jour.non_vides
        motifs, niveaux, facteurs = jour.motifs, jour.niveaux[:MINUTES_PAR_JOUR], list(jour.facteurs)
        if len(minutes) < MINUTES_PAR_JOUR:
            prendre = itemgetter(*minutes) if len(minutes) > 1 else lambda suite: [suite[m] for m in minutes]
            motifs, niveaux, facteurs = prendre(motifs), prendre(niveaux), prendre(facteurs)
        volumes = list(map(mul, facteurs, map(palette.volumes.__getitem__, motifs)))
        if instrument.inverse:
            quotes: Iterable[int] = self._volumes_base(instrument, zip(motifs, niveaux, facteurs, strict=True))
        else:
            quotes = map(add, map(mul, niveaux, volumes), map(mul, facteurs, map(palette.produits.__getitem__, motifs)))
        return (
            map(add, niveaux, map(palette.ouvertures.__getitem__, motifs)),
            map(add, niveaux, map(palette.hauts.__getitem__, motifs)),
            map(add, niveaux, map(palette.bas.__getitem__, motifs)),
            map(add, niveaux, map(palette.clotures.__getitem__, motifs)),
            volumes,
            quotes,
            map(palette.comptes.__getitem__, motifs),
        )

    def _volumes_base(self, instrument: Instrument, minutes: Iterable[tuple[int, int, int]]) -> list[int]:
        """Rend la monnaie de base de chaque minute d'un contrat inverse : la somme, arrondie trade par trade."""
        paires, unite = self.palette(instrument).paires, instrument.notionnel_contrat
        return [
            sum([unite * (facteur * quantite) // (niveau + ecart) for ecart, quantite in paires[motif]])
            for motif, niveau, facteur in minutes
        ]

    def _vit_tout_le_jour(self, instrument: Instrument, debut_ms: int) -> bool:
        fin_ms = debut_ms + JOUR_MS
        if debut_ms < instrument.cotation_ms or (instrument.fin_ms is not None and fin_ms > instrument.fin_ms):
            return False
        return not any(debut < fin_ms and fin > debut_ms for debut, fin in self.pannes)

    def _vit(self, instrument: Instrument, ts: int) -> bool:
        if ts < instrument.cotation_ms or (instrument.fin_ms is not None and ts >= instrument.fin_ms):
            return False
        return not self.en_panne(ts)

    def en_panne(self, ts: int) -> bool:
        """Dit si un instant tombe dans une panne déclarée."""
        return any(debut <= ts < fin for debut, fin in self.pannes)

    # Bougies

    def bougies(  # noqa: PLR0913, PLR0917 - la demande d'une série a autant de faces
        self,
        instrument: Instrument,
        pas: Pas,
        debut_ms: int,
        fin_ms: int,
        prix: NaturePrix = "last",
        ancre_ms: int = 0,
        maintenant_ms: int | None = None,
    ) -> list[Bougie]:
        """Rend les bougies ouvertes dans [debut_ms, fin_ms[, en ordre croissant, sans les périodes sans trade.

        Avec `maintenant_ms`, seuls comptent les trades d'horodatage <= maintenant : la bougie en cours est partielle.
        """
        demande = Demande(instrument, pas, prix, ancre_ms, maintenant_ms)
        return self._lire(demande, debut_ms, fin_ms)

    def bougies_pleines(  # noqa: PLR0913, PLR0917 - mêmes faces que bougies()
        self,
        instrument: Instrument,
        pas: Pas,
        debut_ms: int,
        fin_ms: int,
        prix: NaturePrix = "last",
        ancre_ms: int = 0,
        maintenant_ms: int | None = None,
    ) -> list[Bougie]:
        """Rend la même suite, les périodes sans trade portées plates à la clôture d'avant (rien pendant une panne)."""
        demande = Demande(instrument, pas, prix, ancre_ms, maintenant_ms)
        reelles = self._lire(demande, debut_ms, fin_ms)
        if prix != "last":
            return reelles
        return self._remplir(demande, reelles, debut_ms, fin_ms)

    def _lire(self, demande: Demande, debut_ms: int, fin_ms: int) -> list[Bougie]:
        debut_ms, fin_ms = self._borner(demande, debut_ms, fin_ms)
        if debut_ms >= fin_ms:
            return []
        if demande.pas == MINUTE_MS:
            return self._minutes(demande, debut_ms, fin_ms)
        if isinstance(demande.pas, int) and demande.pas < MINUTE_MS:
            return self._secondes(demande, debut_ms, fin_ms)
        return self._periodes(demande, debut_ms, fin_ms)

    def _periodes(self, demande: Demande, debut_ms: int, fin_ms: int) -> list[Bougie]:
        """Rend des périodes de plus d'une minute ; close, une période ne change plus : elle est fondue une fois."""
        pas, ancre, maintenant = demande.pas, demande.ancre_ms, demande.maintenant_ms
        closes = self._closes.setdefault((demande.instrument.cle, pas, demande.prix, ancre), {})
        voulues = list(ouvertures(pas, ancre, debut_ms, fin_ms))
        # L'heure peut reculer : ce qui fut clos plus tard est peut-être encore en cours.
        en_cours = [ts for ts in voulues[-1:] if maintenant is not None and suivante(pas, ancre, ts) > maintenant + 1]
        inconnues = [ts for ts in voulues if ts not in closes or ts in en_cours]
        fondues: dict[int, Bougie] = {}
        if inconnues:
            fondues = {b.ts: b for b in self._fondre(demande, inconnues[0], suivante(pas, ancre, inconnues[-1]))}
            closes.update((ts, fondues.get(ts)) for ts in inconnues if ts not in en_cours)
        rendues = [closes[ts] for ts in voulues if ts not in en_cours]
        if len(closes) > PERIODES_EN_CACHE:
            closes.clear()
        return [b for b in (*rendues, *map(fondues.get, en_cours)) if b is not None]

    def _fondre(self, demande: Demande, debut_ms: int, fin_ms: int) -> list[Bougie]:
        if demande.maintenant_ms is not None:
            fin_ms = min(fin_ms, demande.maintenant_ms + 1)
        pas, ancre = demande.pas, demande.ancre_ms
        grains = self._grains(demande, debut_ms, fin_ms)
        fondues, rang = [], 0
        while rang < len(grains):
            ts = ouverture(pas, ancre, grains[rang].ts)
            plafond = len(grains) if isinstance(pas, str) else min(len(grains), rang + pas // MINUTE_MS)
            fin = bisect_left(grains, suivante(pas, ancre, ts), rang, plafond, key=_ts)
            fondues.append(fondre(ts, grains[rang:fin]))
            rang = fin
        return fondues

    def _borner(self, demande: Demande, debut_ms: int, fin_ms: int) -> tuple[int, int]:
        """Resserre [debut, fin[ sur les ouvertures possibles : vie du marché, et rien après maintenant."""
        pas, ancre = demande.pas, demande.ancre_ms
        debut_ms = max(debut_ms, ouverture(pas, ancre, demande.instrument.cotation_ms))
        if demande.instrument.fin_ms is not None:
            fin_ms = min(fin_ms, demande.instrument.fin_ms)
        if demande.maintenant_ms is not None:
            fin_ms = min(fin_ms, demande.maintenant_ms + 1)
        premiere = ouverture(pas, ancre, debut_ms)
        return (premiere if premiere == debut_ms else suivante(pas, ancre, premiere)), fin_ms

    def _grains(self, demande: Demande, debut_ms: int, fin_ms: int) -> list[Bougie]:
        """Rend de quoi fondre une période : des jours entiers si elle en est faite, des minutes sinon."""
        if not demande.en_jours:
            return self._minutes(demande, debut_ms, fin_ms)
        numeros = range(debut_ms // JOUR_MS, -(-fin_ms // JOUR_MS))
        return [total for numero in numeros if (total := self._total_du_jour(demande, numero)) is not None]

    def _total_du_jour(self, demande: Demande, numero: int) -> Bougie | None:
        debut, fin = numero * JOUR_MS, (numero + 1) * JOUR_MS
        if demande.maintenant_ms is not None and fin > demande.maintenant_ms:
            return resumer(debut, self._minutes(demande, debut, fin))
        instrument = demande.instrument
        # Un jour où le marché vit tout entier, déjà coté la veille, ne dépend ni des pannes ni de la cotation.
        if demande.prix == "last" and instrument.cotation_ms < debut and self._vit_tout_le_jour(instrument, debut):
            commune = (instrument.cle_sans_cotation, numero)
            if commune not in self._totaux_communs:
                self._totaux_communs[commune] = self._resumer_jour(instrument, numero)
            return self._totaux_communs[commune]
        cle = (instrument.cle, numero, demande.prix)
        if cle not in self._totaux:
            self._totaux[cle] = resumer(debut, self._minutes(demande, debut, fin))
        return self._totaux[cle]

    def _resumer_jour(self, instrument: Instrument, numero: int) -> Bougie | None:
        """Résume un jour où le marché vit tout entier, par colonnes, sans écrire ses 1440 bougies."""
        jour = self.jour(instrument, numero)
        if not jour.non_vides:
            return None
        _, hauts, bas, _, volumes, quotes, _ = self._colonnes(instrument, jour)
        palette, premiere, derniere = self.palette(instrument), jour.non_vides[0], jour.non_vides[-1]
        ouvre = jour.niveaux[premiere] + palette.ouvertures[jour.motifs[premiere]]
        cloture = jour.niveaux[derniere] + palette.clotures[jour.motifs[derniere]]
        return Bougie(
            jour.debut_ms, ouvre, max(hauts), min(bas), cloture, sum(volumes), sum(quotes), jour.cumul[-1]
        )

    def _minutes(self, demande: Demande, debut_ms: int, fin_ms: int) -> list[Bougie]:
        rendues: list[Bougie] = []
        for numero in range(debut_ms // JOUR_MS, -(-fin_ms // JOUR_MS)):
            du_jour = self._minutes_de_nature(demande, numero)
            jour_ms = numero * JOUR_MS
            if debut_ms > jour_ms or fin_ms < jour_ms + JOUR_MS:
                premiere, derniere = (bisect_left(du_jour, borne, key=_ts) for borne in (debut_ms, fin_ms))
                du_jour = du_jour[premiere:derniere]
            rendues.extend(du_jour)
        return self._couper_a_maintenant(demande, rendues)

    def _minutes_de_nature(self, demande: Demande, numero: int) -> list[Bougie]:
        if demande.prix == "last":
            return self._minutes_du_jour(demande.instrument, numero)
        return self._minutes_derivees(demande.instrument, numero, demande.prix)

    def _couper_a_maintenant(self, demande: Demande, bougies: list[Bougie]) -> list[Bougie]:
        maintenant = demande.maintenant_ms
        if maintenant is None or not bougies or bougies[-1].ts + MINUTE_MS - 1 <= maintenant:
            return bougies
        closes = [b for b in bougies if b.ts + MINUTE_MS - 1 <= maintenant]
        courante = plancher(maintenant, MINUTE_MS)
        if demande.prix != "last":
            return closes + [partielle(b, maintenant) for b in bougies if b.ts == courante]
        trades = self.trades(demande.instrument, courante, maintenant + 1)
        dans_page = any(b.ts == courante for b in bougies)
        return [*closes, agreger(demande.instrument, courante, trades)] if trades and dans_page else closes

    def _minutes_derivees(self, instrument: Instrument, numero: int, prix: NaturePrix) -> list[Bougie]:
        """Rend les minutes mark, index ou premiumIndex d'un jour : continues, jamais vides, même pendant une panne."""
        jour = self.jour(instrument, numero)
        if prix in jour.derivees:
            return jour.derivees[prix]
        points = self._points(instrument, jour, prix)
        marge = max(1, instrument.reference_ticks // 20_000) if prix != "premiumIndex" else 40
        bougies = []
        for minute in range(MINUTES_PAR_JOUR):
            ouvre, ferme = points[minute], points[minute + 1]
            haut = max(ouvre, ferme) + jour.bruits[minute] * marge // 256
            bas = min(ouvre, ferme) - jour.bruits[MINUTES_PAR_JOUR + minute] * marge // 256
            bougies.append(Bougie(jour.debut_ms + minute * MINUTE_MS, ouvre, haut, bas, ferme, 0, 0, 60))
        fin = instrument.fin_ms
        jour.derivees[prix] = [b for b in bougies if b.ts >= instrument.cotation_ms and (fin is None or b.ts < fin)]
        return jour.derivees[prix]

    def _points(self, instrument: Instrument, jour: Jour, prix: NaturePrix) -> list[int]:
        decalage = 0 if prix == "index" else MINUTES_PAR_JOUR
        bruits = [octet - 128 for octet in jour.bruits[decalage : decalage + MINUTES_PAR_JOUR]]
        # Bruit nul à minuit, de part et d'autre : la série reste continue d'un jour à l'autre.
        bruits = [0, *bruits[1:], 0]
        if prix == "premiumIndex":
            return [bruit * 400 for bruit in bruits]
        unite = max(1, instrument.reference_ticks // 10_000)
        return [niveau + bruit * unite // 128 for niveau, bruit in zip(jour.niveaux, bruits, strict=True)]

    def _secondes(self, demande: Demande, debut_ms: int, fin_ms: int) -> list[Bougie]:
        pas = demande.pas
        assert isinstance(pas, int)  # noqa: S101 - garanti par _lire
        if demande.prix != "last":
            return []
        fin = fin_ms + pas if demande.maintenant_ms is None else min(fin_ms + pas, demande.maintenant_ms + 1)
        trades = self.trades(demande.instrument, debut_ms, fin)
        groupes = groupby(trades, key=lambda trade: plancher(trade.ts, pas))
        return [agreger(demande.instrument, ts, list(groupe)) for ts, groupe in groupes if ts < fin_ms]

    def _remplir(self, demande: Demande, reelles: list[Bougie], debut_ms: int, fin_ms: int) -> list[Bougie]:
        premiere, fin = self._borner(demande, debut_ms, fin_ms)
        attendues = list(ouvertures(demande.pas, demande.ancre_ms, premiere, fin))
        if len(attendues) == len(reelles):
            return reelles
        par_instant = {bougie.ts: bougie for bougie in reelles}
        precedente = None if attendues[0] in par_instant else self._cloture_avant(demande.instrument, attendues[0])
        pleines = []
        for ts in attendues:
            bougie = par_instant.get(ts)
            if bougie is not None:
                precedente = bougie.close
            elif precedente is not None and not self._panne_couvre(demande, ts):
                bougie = Bougie(ts, precedente, precedente, precedente, precedente, 0, 0, 0)
            if bougie is not None:
                pleines.append(bougie)
        return pleines

    def _panne_couvre(self, demande: Demande, ts: int) -> bool:
        fin = suivante(demande.pas, demande.ancre_ms, ts)
        if isinstance(demande.pas, int) and demande.pas <= MINUTE_MS:
            return self.en_panne(ts)
        return any(debut <= ts and fin <= fin_panne for debut, fin_panne in self.pannes)

    def _cloture_avant(self, instrument: Instrument, ts: int) -> int | None:
        """Rend la clôture du dernier trade avant ts, en reculant jour par jour."""
        if self._vides_par_jour >= MINUTES_PAR_JOUR:
            return None
        while ts > instrument.cotation_ms:
            panne = next((debut for debut, fin in self.pannes if debut < ts <= fin), None)
            if panne is not None:
                ts = panne
                continue
            numero = (ts - 1) // JOUR_MS
            trades = self.trades(instrument, plancher(ts - 1, MINUTE_MS), ts)
            if trades:
                return trades[-1].prix
            avant = [b for b in self._minutes_du_jour(instrument, numero) if b.ts + MINUTE_MS <= ts]
            if avant:
                return avant[-1].close
            ts = numero * JOUR_MS
        return None

    def glissante(self, instrument: Instrument, instant_ms: int) -> Bougie | None:
        """Rend la bougie des dernières 24 h, ouverte à la minute ; None si rien ne s'y est échangé."""
        courante = plancher(instant_ms, MINUTE_MS)
        debut_ms = courante + MINUTE_MS - JOUR_MS
        retenue = self._glissantes.get(instrument.cle)
        if retenue is None or retenue[0] != courante:
            # Les minutes closes ne changent plus : relues une fois par minute, non à chaque trade.
            closes = resumer(debut_ms, self.bougies(instrument, MINUTE_MS, debut_ms, courante))
            retenue = self._glissantes[instrument.cle] = (courante, closes)
        en_cours = self.bougies(instrument, MINUTE_MS, courante, courante + 1, maintenant_ms=instant_ms)
        return resumer(debut_ms, [*([] if retenue[1] is None else [retenue[1]]), *en_cours])

    # Trades

    def trades(self, instrument: Instrument, debut_ms: int, fin_ms: int) -> list[Trade]:
        """Rend les trades de [debut_ms, fin_ms[ dans l'ordre ; les identifiants se suivent de 1 en 1."""
        rendus: list[Trade] = []
        debut_ms = max(debut_ms, instrument.cotation_ms)
        for minute in range(debut_ms // MINUTE_MS, -(-fin_ms // MINUTE_MS)):
            if self._vit(instrument, minute * MINUTE_MS):
                rendus.extend(self._trades_de_minute(instrument, minute))
        return [trade for trade in rendus if debut_ms <= trade.ts < fin_ms]

    def _trades_de_minute(self, instrument: Instrument, minute: int) -> list[Trade]:
        numero, rang = divmod(minute, MINUTES_PAR_JOUR)
        jour = self.jour(instrument, numero)
        if jour.cumul[rang + 1] == jour.cumul[rang]:
            return []
        motif = self.palette(instrument).motifs[jour.motifs[rang]]
        niveau, facteur = jour.niveaux[rang], jour.facteurs[rang]
        premier = self.rang_du_premier_trade(instrument, minute * MINUTE_MS)
        return [
            Trade(minute * MINUTE_MS + instant, premier + i, "buy" if achat else "sell", niveau + ecart, facteur * q)
            for i, (instant, achat, ecart, q) in enumerate(zip(*motif, strict=True))
        ]

    def rang_du_premier_trade(self, instrument: Instrument, ts: int) -> int:
        """Rend l'identifiant du premier trade de ts ou d'après (le premier de la cotation porte le 1)."""
        ts = max(ts, instrument.cotation_ms)
        perdus = sum(
            self._brut(instrument, min(fin, ts)) - self._brut(instrument, max(debut, instrument.cotation_ms))
            for debut, fin in self.pannes
            if debut < ts and fin > instrument.cotation_ms
        )
        return 1 + self._brut(instrument, ts) - self._origine(instrument) - perdus

    def _origine(self, instrument: Instrument) -> int:
        """Rend le compte brut à la cotation, retenu : chaque identifiant en part, et son jour n'est relu pour rien."""
        if instrument.cle not in self._origines:
            self._origines[instrument.cle] = self._brut(instrument, instrument.cotation_ms)
        return self._origines[instrument.cle]

    def _brut(self, instrument: Instrument, ts: int) -> int:
        """Compte les trades de l'époque à la minute de ts comme s'il n'y avait ni cotation ni panne."""
        numero, reste = divmod(ts, JOUR_MS)
        non_vides = MINUTES_PAR_JOUR - self._vides_par_jour
        tours, restants = divmod(non_vides, len(COMPTES))
        par_jour = tours * sum(COMPTES) + sum(COMPTES[:restants])
        dans_jour = self.jour(instrument, numero).cumul[reste // MINUTE_MS] if reste >= MINUTE_MS else 0
        return numero * par_jour + dans_jour

    def minute_du_trade(self, instrument: Instrument, identifiant: int, maintenant_ms: int) -> int:
        """Rend la minute (ms) du trade `identifiant`, par dichotomie ; la cotation s'il est trop petit."""
        bas, haut = instrument.cotation_ms // MINUTE_MS, maintenant_ms // MINUTE_MS + 1
        while haut - bas > 1:
            milieu = (bas + haut) // 2
            if self.rang_du_premier_trade(instrument, milieu * MINUTE_MS) <= identifiant:
                bas = milieu
            else:
                haut = milieu
        return bas * MINUTE_MS

    def instrument(self, exchange: str, symbole: str) -> Instrument:
        """Rend l'instrument d'un exchange par son symbole unifié."""
        trouve = next((i for i in self.instruments.get(exchange, ()) if i.symbole == symbole), None)
        if trouve is None:
            message = f"Symbole inconnu : « {symbole} » sur {exchange} dans le marché simulé."
            raise KeyError(message)
        return trouve


@dataclass(frozen=True)
class Demande:
    """Une série demandée : marché, pas, nature du prix, ancre et instant présent."""

    instrument: Instrument
    pas: Pas
    prix: NaturePrix = "last"
    ancre_ms: int = 0
    maintenant_ms: int | None = None

    @property
    def en_jours(self) -> bool:
        """Vrai quand chaque période est faite de jours UTC entiers."""
        return self.ancre_ms % JOUR_MS == 0 and (not isinstance(self.pas, int) or self.pas % JOUR_MS == 0)


_ts = itemgetter(0)
"""Horodatage d'une bougie : la clé des recherches par dichotomie."""


# --- Calendrier -------------------------------------------------------------------------------------------------------


def plancher(ts: int, pas_ms: int) -> int:
    """Rend le multiple de pas_ms juste au-dessous."""
    return ts - ts % pas_ms


def ouverture(pas: Pas, ancre_ms: int, ts: int) -> int:
    """Rend l'ouverture de la période qui contient ts."""
    if pas == "mois":
        date = datetime.fromtimestamp((ts - ancre_ms) / 1000, UTC)
        return calendar.timegm((date.year, date.month, 1, 0, 0, 0)) * 1000 + ancre_ms
    if pas == "semaine":
        return ouverture(SEMAINE_MS, ANCRE_LUNDI_MS + ancre_ms, ts)
    return ts - (ts - ancre_ms) % pas


def suivante(pas: Pas, ancre_ms: int, ouverture_ms: int) -> int:
    """Rend l'ouverture de la période d'après."""
    if pas == "mois":
        return ouverture("mois", ancre_ms, ouverture_ms + 31 * JOUR_MS)
    return ouverture_ms + (SEMAINE_MS if pas == "semaine" else pas)


def ouvertures(pas: Pas, ancre_ms: int, premiere_ms: int, fin_ms: int) -> Iterator[int]:
    """Rend les ouvertures successives de [premiere_ms, fin_ms[, premiere_ms en étant une."""
    if isinstance(pas, int):
        yield from range(premiere_ms, fin_ms, pas)
        return
    while premiere_ms < fin_ms:
        yield premiere_ms
        premiere_ms = suivante(pas, ancre_ms, premiere_ms)


def reculer(pas: Pas, ancre_ms: int, ouverture_ms: int, periodes: int) -> int:
    """Rend l'ouverture située `periodes` périodes plus tôt (ou plus tard si négatif)."""
    if isinstance(pas, int):
        return ouverture_ms - periodes * pas
    if pas == "semaine":
        return ouverture_ms - periodes * SEMAINE_MS
    date = datetime.fromtimestamp((ouverture_ms - ancre_ms) / 1000, UTC)
    annee, mois = divmod(date.year * 12 + date.month - 1 - periodes, 12)
    return calendar.timegm((annee, mois + 1, 1, 0, 0, 0)) * 1000 + ancre_ms


# --- Agrégats ---------------------------------------------------------------------------------------------------------


def agreger(instrument: Instrument, ts: int, trades: Sequence[Trade]) -> Bougie:
    """Rend la bougie exacte d'une suite non vide de trades."""
    prix = [trade.prix for trade in trades]
    if instrument.inverse:
        quote = sum(instrument.base_du_contrat(t.prix, t.quantite) for t in trades)
    else:
        quote = sum(t.prix * t.quantite for t in trades)
    return Bougie(ts, prix[0], max(prix), min(prix), prix[-1], sum(t.quantite for t in trades), quote, len(trades))


def fondre(ts: int, groupe: list[Bougie]) -> Bougie:
    """Rend la bougie qui couvre exactement un groupe non vide de bougies plus petites."""
    _, _, hauts, bas, _, volumes, quotes, nombres = zip(*groupe, strict=True)
    return Bougie(
        ts, groupe[0].open, max(hauts), min(bas), groupe[-1].close, sum(volumes), sum(quotes), sum(nombres)
    )


def resumer(ts: int, bougies: list[Bougie]) -> Bougie | None:
    """Fond une liste de bougies, ou rend None si elle est vide."""
    return fondre(ts, bougies) if bougies else None


def partielle(bougie: Bougie, maintenant_ms: int) -> Bougie:
    """Rend une minute mark ou index entamée : la clôture avance de l'ouverture vers celle de la minute entière."""
    ecoule = maintenant_ms - bougie.ts
    close = bougie.open + (bougie.close - bougie.open) * ecoule // MINUTE_MS
    haut, bas = max(bougie.open, close), min(bougie.open, close)
    return bougie._replace(high=haut, low=bas, close=close, nombre=ecoule // 1000 + 1)


def fusionner(intervalles: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Réunit des intervalles qui se touchent, en ordre croissant."""
    reunis: list[tuple[int, int]] = []
    for debut, fin in sorted(intervalles):
        if reunis and debut <= reunis[-1][1]:
            reunis[-1] = (reunis[-1][0], max(fin, reunis[-1][1]))
        elif debut < fin:
            reunis.append((debut, fin))
    return reunis


# --- Instruments par défaut -------------------------------------------------------------------------------------------
# Ajouter un marché : une ligne dans _BASES, et il existe partout où ses cotations le permettent.


@dataclass(frozen=True)
class _Base:
    prix: float
    decimales_prix: int
    decimales_quantite: int
    cotation: str


_BASES = {
    "BTC": _Base(65_000.0, 2, 5, "2017-08-17T04:00:00"),
    "ETH": _Base(3_200.0, 2, 4, "2017-08-17T04:00:00"),
    "SOL": _Base(150.0, 2, 3, "2020-08-11T06:00:00"),
    "XRP": _Base(0.62, 4, 1, "2018-05-04T08:11:00"),
    "DOGE": _Base(0.14, 5, 0, "2019-07-05T12:00:00"),
    "ADA": _Base(0.45, 4, 1, "2018-04-17T04:00:00"),
    "LTC": _Base(85.0, 2, 3, "2017-12-13T03:32:00"),
    "LINK": _Base(14.0, 2, 2, "2019-01-16T10:00:00"),
}
_DEBUT_SWAP = instant_ms("2019-09-08T17:57:00")
_DEBUT_INVERSE = instant_ms("2020-08-10T07:00:00")
_DEBUT_FUTURE = instant_ms("2026-06-26T08:00:00")
_ECHEANCE = instant_ms("2026-12-25T08:00:00")


def _spot(nom: str, quote: str) -> Instrument:
    b = _BASES[nom]
    return Instrument(
        nom,
        quote,
        decimales_prix=b.decimales_prix,
        decimales_quantite=b.decimales_quantite,
        cotation_ms=instant_ms(b.cotation),
        prix_reference=b.prix,
    )


def _swap(nom: str, quote: str = "USDT", taille_contrat: float = 1.0) -> Instrument:
    spot = _spot(nom, quote)
    return replace(
        spot,
        settle=quote,
        type_marche="swap",
        sous_type="linear",
        taille_contrat=taille_contrat,
        decimales_quantite=max(0, spot.decimales_quantite - 2),
        cotation_ms=max(spot.cotation_ms, _DEBUT_SWAP),
    )


def _inverse(nom: str, taille_contrat: float) -> Instrument:
    spot = _spot(nom, "USD")
    return replace(
        spot,
        settle=nom,
        type_marche="swap",
        sous_type="inverse",
        taille_contrat=taille_contrat,
        decimales_quantite=0,
        cotation_ms=max(spot.cotation_ms, _DEBUT_INVERSE),
    )


def _future(instrument: Instrument) -> Instrument:
    return replace(instrument, type_marche="future", cotation_ms=_DEBUT_FUTURE, fin_ms=_ECHEANCE)


def jeu(quotes: Sequence[str], *, bases: Sequence[str] = tuple(_BASES)) -> list[Instrument]:
    """Rend ces bases, au comptant, contre chacune de ces monnaies."""
    return [_spot(base, quote) for quote in quotes for base in bases]


def contrats(taille_linear: float, taille_inverse: float) -> list[Instrument]:
    """Rend des perpétuels et des échéances de ces tailles ; un inverse d'ether vaut dix fois moins, et un au moins."""
    linear = [_swap(base, taille_contrat=taille_linear) for base in ("BTC", "ETH", "SOL", "XRP", "DOGE", "ADA")]
    autres = max(1.0, taille_inverse / 10)
    inverse = [_inverse(base, taille_inverse if base == "BTC" else autres) for base in ("BTC", "ETH")]
    return [*linear, *inverse, _future(linear[0]), _future(inverse[0])]


INSTRUMENTS_PAR_DEFAUT: dict[str, list[Instrument]] = {}
"""Ce que chaque exchange cote, tel qu'il s'est enregistré."""


def renouveler(instrument: Instrument, maintenant_ms: int) -> Instrument:
    """Rend le contrat à terme qui suit, à l'échéance du semestre d'après, tant que celui-ci est échu à cet instant.

    Un exchange en cote toujours un : sans cela, l'exchange embarqué n'en aurait plus, passée l'échéance écrite ici.
    """
    while instrument.type_marche == "future" and instrument.fin_ms is not None and instrument.fin_ms <= maintenant_ms:
        echu = datetime.fromtimestamp(instrument.fin_ms / 1000, UTC)
        annee, rang = divmod(12 * echu.year + echu.month - 1 + 6, 12)
        vendredi = max(semaine[calendar.FRIDAY] for semaine in calendar.monthcalendar(annee, rang + 1))
        suivante_ms = int(echu.replace(year=annee, month=rang + 1, day=vendredi).timestamp()) * 1000
        instrument = replace(instrument, cotation_ms=instrument.fin_ms, fin_ms=suivante_ms)
    return instrument


def garnir(instruments: list[Instrument], nombre: int) -> list[Instrument]:
    """Complète une liste jusqu'à `nombre` marchés fictifs (pour peser autant que le vrai exchangeInfo)."""
    modele = next(i for i in instruments if i.type_marche == "spot")
    fictifs = [
        replace(modele, base=f"FIC{rang:04d}", prix_reference=1.0 + rang % 97, decimales_prix=4)
        for rang in range(max(0, nombre - len(instruments)))
    ]
    return [*instruments, *fictifs]
