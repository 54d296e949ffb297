"""Les fichiers publics de binance, rangés comme sur data.binance.vision : zips, sommes de contrôle, liste du dépôt.

Le contenu vient du même marché que le REST. Un jour paraît le lendemain à 08:40, un mois le 12 du suivant. Chaque
défaut connu des vrais fichiers est une panne « arch_… », choisie par un morceau de la clé (« monthly/klines/BTC ») ;
sauf mention, la somme de contrôle reste juste : le vrai dépôt a publié de tels fichiers.

    arch_absent          404, et hors de la liste            arch_trou       k lignes manquent au milieu (ou à `rang`)
    arch_sans_somme      pas de CHECKSUM                     arch_court      ne garde que les `n` premières lignes
    arch_somme           CHECKSUM d'un autre contenu         arch_doublons   k lignes deux fois
    arch_zip             ce n'est pas un zip                 arch_desordre   deux lignes échangées
    arch_republie        CHECKSUM du prochain contenu, une   arch_faux       k lignes aux prix et quantités faux
                         fois par zip servi                  arch_zero       k lignes plates de volume nul
    arch_autre_mois      le contenu de la période d'avant    arch_hors_grille  une ouverture décalée de 17 s
    arch_decale          metrics : l'instant écrit est cinq minutes avant l'état qu'il dit (um, depuis 2026)
    arch_entete, arch_sans_entete, arch_ms, arch_us : la forme du fichier, quelle que soit sa date
"""

from __future__ import annotations

import hashlib
import io
import re
import zipfile
from collections import OrderedDict
from datetime import UTC, datetime
from decimal import Decimal
from itertools import islice, pairwise
from typing import TYPE_CHECKING, NamedTuple
from xml.sax.saxutils import escape

from bourse_locale.financement import DECIMALES_TAUX, financements, interets
from bourse_locale.marche import HEURE_MS, JOUR_MS, Instrument, NaturePrix, ouverture, suivante, texte_decimal
from bourse_locale.serveur import INTROUVABLE, Appel, Reponse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bourse_locale.binance.rest import Binance
    from bourse_locale.marche import Bougie, Pas, Trade
    from bourse_locale.pannes import Panne

    Rediger = Callable[[Instrument, tuple[Pas, int], NaturePrix, list[Bougie]], list[list[object]]]

RACINE = "/archives"
MARCHES = {"spot": "spot", "futures/um": "linear", "futures/cm": "inverse"}
GENRES: dict[str, NaturePrix] = {
    "klines": "last",
    "markPriceKlines": "mark",
    "indexPriceKlines": "index",
    "premiumIndexKlines": "premiumIndex",
}
EVENEMENTS = ("aggTrades", "fundingRate", "metrics")
CADENCES = {"fundingRate": "monthly", "metrics": "daily"}  # la seule de ces genres
PAS_METRICS_MS = 5 * 60_000
MENSUELS_SEULEMENT = frozenset({"3d", "1w", "1mo"})
CLE = re.compile(
    r"data/(?P<marche>spot|futures/um|futures/cm)/(?P<cadence>daily|monthly)/(?P<genre>\w+)/(?P<symbole>\w+)/"
    r"(?:(?P<intervalle>\w+)/)?(?P<nom>\w+)-(?P<suite>\w+)-(?P<date>\d{4}-\d{2}(?:-\d{2})?)\.zip"
)
MICROSECONDES_DEPUIS = "2025"  # au comptant
ENTETES_DEPUIS = {"klines": "2022-06", "aggTrades": "2022-08-11"}  # des contrats ; les autres genres l'ont toujours
ENTETES = {
    "klines": "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,"
    "taker_buy_quote_volume,ignore",
    "aggTrades": "agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker",
    "fundingRate": "calc_time,funding_interval_hours,last_funding_rate",
    "metrics": "create_time,symbol,sum_open_interest,sum_open_interest_value,count_toptrader_long_short_ratio,"
    "sum_toptrader_long_short_ratio,count_long_short_ratio,sum_taker_long_short_vol_ratio",
}


class Colonnes(NamedTuple):
    """Le rang, dans une ligne, de ses instants, de ses prix et de ses quantités."""

    instants: tuple[int, ...]
    prix: tuple[int, ...] = ()
    quantites: tuple[int, ...] = ()


CLOTURE = 6
COLONNES = {
    "klines": Colonnes((0, CLOTURE), (1, 2, 3, 4), (5, 7)),
    "aggTrades": Colonnes((5,), (1,), (2,)),
    "fundingRate": Colonnes((0,), (2,)),
    "metrics": Colonnes((0,), (), (2, 3)),
}
CLES_PAR_PAGE = 1000
OCTETS_GARDES = 64 * 2**20
OCTETS_PAR_LIGNE = 40  # d'un zip, en moyenne : ce que dit la liste d'un fichier pas encore composé

Lignes = list[list[object]]


class Fichier(NamedTuple):
    """Un fichier du dépôt : sa clé, sa série et sa période [debut_ms, fin_ms[."""

    cle: str
    famille: str
    cadence: str
    genre: str
    intervalle: str
    instrument: Instrument
    date: str
    debut_ms: int
    fin_ms: int


def _jour_ms(date: str) -> int:
    return int(datetime.strptime(date, "%Y-%m-%d").replace(tzinfo=UTC).timestamp()) * 1000


# --- Défauts ---


def _trou(panne: Panne, lignes: Lignes, _colonnes: Colonnes) -> Lignes:
    k = panne.entier("k", 3)
    rang = panne.entier("rang", max(0, (len(lignes) - k) // 2))
    return lignes[:rang] + lignes[rang + k :]


def _court(panne: Panne, lignes: Lignes, _colonnes: Colonnes) -> Lignes:
    return lignes[: panne.entier("n", len(lignes) // 2)]


def _doublons(panne: Panne, lignes: Lignes, _colonnes: Colonnes) -> Lignes:
    rang, k = panne.entier("rang", len(lignes) // 2), panne.entier("k", 3)
    return [*lignes[:rang], *lignes[rang : rang + k], *lignes[rang:]]


def _desordre(panne: Panne, lignes: Lignes, _colonnes: Colonnes) -> Lignes:
    rang = panne.entier("rang", len(lignes) // 2)
    return [*lignes[:rang], *lignes[rang : rang + 2][::-1], *lignes[rang + 2 :]]


def _visees(panne: Panne, lignes: Lignes, k: int = 3) -> Lignes:
    """Les lignes que change la panne : `k`, à partir de `rang`, celle du milieu d'office."""
    rang = panne.entier("rang", len(lignes) // 2)
    return lignes[rang : rang + panne.entier("k", k)]


def _faux(panne: Panne, lignes: Lignes, colonnes: Colonnes) -> Lignes:
    for ligne in _visees(panne, lignes):
        for rang in (*colonnes.prix, *colonnes.quantites):
            ligne[rang] = _double(ligne[rang])
    return lignes


def _double(texte: object) -> str:
    """Un nombre deux fois trop grand, écrit avec autant de décimales."""
    valeur = Decimal(str(texte))
    return f"{2 * valeur + valeur.radix() ** Decimal(valeur.as_tuple().exponent):f}"


def _zero(panne: Panne, lignes: Lignes, colonnes: Colonnes) -> Lignes:
    bougie = len(colonnes.prix) > 1
    visees = _visees(panne, lignes)
    cloture = lignes[max(0, panne.entier("rang", len(lignes) // 2) - 1)][colonnes.prix[-1]] if bougie else ""
    for ligne in visees:
        for rang in colonnes.prix if bougie else ():
            ligne[rang] = cloture
        for rang in colonnes.quantites:
            ligne[rang] = "0"
    return lignes


def _hors_grille(panne: Panne, lignes: Lignes, colonnes: Colonnes) -> Lignes:
    for ligne in _visees(panne, lignes, 1):
        ligne[colonnes.instants[0]] = int(str(ligne[colonnes.instants[0]])) + 17_000
    return lignes


# Ajouter un défaut des lignes : une fonction au-dessus, une ligne ici, et son nom dans `NATURES_ARCHIVE` (pannes.py).
DEFAUTS: dict[str, Callable[[Panne, Lignes, Colonnes], Lignes]] = {
    "arch_trou": _trou,
    "arch_court": _court,
    "arch_doublons": _doublons,
    "arch_desordre": _desordre,
    "arch_faux": _faux,
    "arch_zero": _zero,
    "arch_hors_grille": _hors_grille,
}


class Archives:
    """Le dépôt d'un exchange binance : ce qui est publié, à l'heure qu'il est."""

    def __init__(self, protocole: Binance, rediger: Rediger) -> None:
        """Rien n'est composé d'avance ; les derniers zips servis sont gardés. `rediger` : les lignes, comme en REST."""
        self.protocole, self._rediger = protocole, rediger
        self.publication_jour_ms = 8 * HEURE_MS + 40 * 60_000
        self.publication_mois_ms = 11 * JOUR_MS
        self._zips: OrderedDict[str, bytes] = OrderedDict()
        self._octets = 0

    # Une requête

    def repondre(self, appel: Appel) -> Reponse:
        """Rend la liste, un zip ou sa somme de contrôle ; 404 pour le reste."""
        chemin = appel.chemin.removeprefix(RACINE).lstrip("/")
        if not chemin:
            return self._lister(appel)
        zip_demande = chemin.removesuffix(".CHECKSUM")
        fichier = self._trouver(zip_demande)
        if fichier is None or not self._publie(fichier, appel.maintenant_ms) or self._panne("arch_absent", fichier):
            return _absent(chemin)
        if chemin == zip_demande:
            return Reponse(self._servir(fichier), entetes={"Content-Type": "binary/octet-stream"})
        if self._panne("arch_sans_somme", fichier):
            return _absent(chemin)
        nom = fichier.cle.rpartition("/")[2]
        return Reponse(f"{self._somme(fichier)}  {nom}\n".encode(), entetes={"Content-Type": "binary/octet-stream"})

    def _servir(self, fichier: Fichier) -> bytes:
        panne = self._panne("arch_republie", fichier)
        contenu = self.zip(fichier, variante=panne is not None)
        for touchee in self.protocole.bourse.pannes:
            if touchee.nature.startswith("arch_") and touchee.chemin in fichier.cle and not touchee.epuisee():
                touchee.touchees += 1
        return contenu

    def _somme(self, fichier: Fichier) -> str:
        contenu = self.zip(fichier)
        return hashlib.sha256(contenu + b"?" if self._panne("arch_somme", fichier) else contenu).hexdigest()

    def _panne(self, nature: str, fichier: Fichier) -> Panne | None:
        pannes = self.protocole.bourse.pannes
        return next((p for p in pannes if p.nature == nature and p.chemin in fichier.cle and not p.epuisee()), None)

    def _publie(self, fichier: Fichier, maintenant_ms: int) -> bool:
        delai = self.publication_jour_ms if fichier.cadence == "daily" else self.publication_mois_ms
        return fichier.fin_ms + delai <= maintenant_ms and fichier.fin_ms > fichier.instrument.cotation_ms

    # Les clés

    def _trouver(self, cle: str) -> Fichier | None:
        trouve = CLE.fullmatch(cle)
        if trouve is None or trouve["nom"] != trouve["symbole"]:
            return None
        famille, genre, intervalle = MARCHES[trouve["marche"]], trouve["genre"], trouve["intervalle"] or ""
        if not self._genre_connu(famille, genre, trouve["cadence"]) or trouve["suite"] != (intervalle or genre):
            return None
        if (genre in GENRES) != (intervalle in self._intervalles(famille, trouve["cadence"])):
            return None
        instrument = self.protocole.trouver(famille, trouve["symbole"], par_paire=self._par_paire(famille, genre))
        if instrument is None:
            return None
        periode = _periode(trouve["date"], trouve["cadence"])
        if periode is None:
            return None
        return Fichier(cle, famille, trouve["cadence"], genre, intervalle, instrument, trouve["date"], *periode)

    @staticmethod
    def _genre_connu(famille: str, genre: str, cadence: str) -> bool:
        if genre in CADENCES:
            servies = ("linear",) if genre == "metrics" else ("linear", "inverse")
            return cadence == CADENCES[genre] and famille in servies
        return genre in ("klines", "aggTrades") or (famille != "spot" and genre in GENRES)

    @staticmethod
    def _par_paire(famille: str, genre: str) -> bool:
        return famille == "inverse" and genre == "indexPriceKlines"

    def _intervalles(self, famille: str, cadence: str) -> list[str]:
        codes = ["1mo" if code == "1M" else code for code in self.protocole.timeframes]
        return [
            code
            for code in codes
            if not (code == "1s" and famille != "spot") and not (cadence == "daily" and code in MENSUELS_SEULEMENT)
        ]

    def _dossiers(self) -> Iterator[tuple[str, Instrument]]:
        """Chaque dossier de fichiers, et l'instrument qu'il tient."""
        for marche, famille in MARCHES.items():
            for cadence in ("daily", "monthly"):
                for genre in (*GENRES, *EVENEMENTS):
                    if not self._genre_connu(famille, genre, cadence):
                        continue
                    for instrument in self.protocole.instruments:
                        if self.protocole.famille(instrument) != famille:
                            continue
                        paire = self._par_paire(famille, genre)
                        if paire and instrument.type_marche != "swap":
                            continue
                        nom = instrument.base + instrument.quote if paire else self.protocole.symbole(instrument)
                        dossier = f"data/{marche}/{cadence}/{genre}/{nom}/"
                        codes = self._intervalles(famille, cadence) if genre in GENRES else [""]
                        yield from ((f"{dossier}{code}/" if code else dossier, instrument) for code in codes)

    def _cles(self, prefixe: str, maintenant_ms: int) -> Iterator[tuple[str, int]]:
        """Les clés publiées d'un préfixe, dans l'ordre, et leur taille ; la moitié sont des sommes de contrôle."""
        dossiers = [d for d in self._dossiers() if d[0].startswith(prefixe) or prefixe.startswith(d[0])]
        for dossier, instrument in sorted(dossiers, key=lambda d: d[0]):
            cadence = "monthly" if "/monthly/" in dossier else "daily"
            genre = next(g for g in (*GENRES, *EVENEMENTS) if f"/{g}/" in dossier)
            symbole = dossier.rstrip("/").split("/")[-2 if genre in GENRES else -1]
            suite = dossier.rstrip("/").split("/")[-1] if genre in GENRES else genre
            for date in _dates(cadence, instrument.cotation_ms, instrument.fin_ms or maintenant_ms):
                cle = f"{dossier}{symbole}-{suite}-{date}.zip"
                fichier = self._trouver(cle) if cle.startswith(prefixe) else None
                if fichier is None or not self._publie(fichier, maintenant_ms) or self._panne("arch_absent", fichier):
                    continue
                yield cle, self._taille(fichier)
                if not self._panne("arch_sans_somme", fichier):
                    yield f"{cle}.CHECKSUM", 66 + len(cle.rpartition("/")[2])

    def _taille(self, fichier: Fichier) -> int:
        """Les octets du zip ; d'un zip pas encore composé, une estimation : lister ne compose pas des années."""
        connu = self._zips.get(fichier.cle)
        if connu is not None:
            return len(connu)
        pas = self.protocole.timeframes["1M" if fichier.intervalle == "1mo" else fichier.intervalle or "1m"][0]
        duree_ms = fichier.fin_ms - fichier.debut_ms
        return OCTETS_PAR_LIGNE * max(1, duree_ms // pas if isinstance(pas, int) else 1) + 150

    def _lister(self, appel: Appel) -> Reponse:
        """La liste d'un dépôt S3 : 1000 clés par page, `marker` pour la suite, dossiers avec un délimiteur."""
        prefixe, marque = appel.params.get("prefix", ""), appel.params.get("marker", "")
        separateur = appel.params.get("delimiter", "")
        entrees = (e for e in self._entrees(prefixe, separateur, appel.maintenant_ms) if e[0] > marque)
        page = list(islice(entrees, CLES_PAR_PAGE + 1))
        coupee, page = len(page) > CLES_PAR_PAGE, page[:CLES_PAR_PAGE]
        suite = f"<NextMarker>{escape(page[-1][0])}</NextMarker>" if coupee and separateur else ""
        corps = "".join(
            f"<CommonPrefixes><Prefix>{escape(cle)}</Prefix></CommonPrefixes>" if taille < 0 else
            f"<Contents><Key>{escape(cle)}</Key><Size>{taille}</Size></Contents>"
            for cle, taille in page
        )  # fmt: skip
        xml = (
            '<?xml version="1.0" encoding="UTF-8"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
            f"<Name>data.binance.vision</Name><Prefix>{escape(prefixe)}</Prefix><Marker>{escape(marque)}</Marker>{suite}"
            f"<MaxKeys>{CLES_PAR_PAGE}</MaxKeys><IsTruncated>{str(coupee).lower()}</IsTruncated>{corps}"
            "</ListBucketResult>"
        )
        return Reponse(xml.encode(), entetes={"Content-Type": "application/xml"})

    def _entrees(self, prefixe: str, separateur: str, maintenant_ms: int) -> Iterator[tuple[str, int]]:
        if not separateur:
            yield from self._cles(prefixe, maintenant_ms)
            return
        vus: set[str] = set()
        for dossier in sorted(d for d, _ in self._dossiers() if d.startswith(prefixe) and d != prefixe):
            commun = prefixe + dossier[len(prefixe) :].partition(separateur)[0] + separateur
            if commun not in vus:
                vus.add(commun)
                yield commun, -1
        if not vus:
            yield from self._cles(prefixe, maintenant_ms)

    # Le contenu

    def zip(self, fichier: Fichier, *, variante: bool = False) -> bytes:
        """Les octets d'un zip ; `variante` : un autre contenu, d'avant sa nouvelle publication."""
        if self._panne("arch_zip", fichier):
            return b"<html>pas un zip</html>"
        defauts = [p for p in self.protocole.bourse.pannes if p.nature.startswith("arch_") and p.chemin in fichier.cle]
        memoire = f"{fichier.cle}|{variante}|{[(p.nature, p.epuisee(), sorted(p.reglages.items())) for p in defauts]}"
        memoire = fichier.cle if not defauts and not variante else memoire
        if memoire not in self._zips:
            self._garder(memoire, self._composer(fichier, variante=variante))
        return self._zips[memoire]

    def _garder(self, cle: str, octets: bytes) -> None:
        self._zips[cle] = octets
        self._octets += len(octets)
        while self._octets > OCTETS_GARDES and len(self._zips) > 1:
            self._octets -= len(self._zips.popitem(last=False)[1])

    def _composer(self, fichier: Fichier, *, variante: bool) -> bytes:
        texte = self.texte(fichier) + ("\n" if variante else "")
        tampon = io.BytesIO()
        nom = fichier.cle.rpartition("/")[2].removesuffix(".zip")
        with zipfile.ZipFile(tampon, "w", zipfile.ZIP_DEFLATED) as archive:
            entree = zipfile.ZipInfo(f"{nom}.csv", (2020, 1, 1, 0, 0, 0))  # une date fixe : mêmes octets à chaque fois
            archive.writestr(entree, texte, zipfile.ZIP_DEFLATED, compresslevel=1)
        return tampon.getvalue()

    def texte(self, fichier: Fichier) -> str:
        """Le CSV d'un fichier, défauts compris."""
        debut, fin = fichier.debut_ms, fichier.fin_ms
        if self._panne("arch_autre_mois", fichier):
            debut, fin = _periode_d_avant(fichier)
        colonnes = COLONNES.get(fichier.genre, COLONNES["klines"])
        lignes = self._lignes(fichier, debut, fin)
        for panne in self.protocole.bourse.pannes:
            if panne.nature in DEFAUTS and panne.chemin in fichier.cle and lignes and not panne.epuisee():
                lignes = DEFAUTS[panne.nature](panne, lignes, colonnes)
        micros = self._en_microsecondes(fichier)
        textes = [",".join(map(str, _ecrire(fichier, colonnes, ligne, micros=micros))) for ligne in lignes]
        if self._a_un_entete(fichier):
            textes.insert(0, ENTETES.get(fichier.genre, ENTETES["klines"]))
        return "\n".join(textes) + "\n" if textes else ""

    def _lignes(self, fichier: Fichier, debut_ms: int, fin_ms: int) -> Lignes:
        autres = {"aggTrades": self._agg_trades, "fundingRate": self._financements, "metrics": self._metrics}
        return autres.get(fichier.genre, self._klines)(fichier, debut_ms, fin_ms)

    def _en_microsecondes(self, fichier: Fichier) -> bool:
        if self._panne("arch_us", fichier):
            return True
        datees = fichier.famille == "spot" and fichier.date >= MICROSECONDES_DEPUIS
        return datees and not self._panne("arch_ms", fichier)

    def _a_un_entete(self, fichier: Fichier) -> bool:
        if self._panne("arch_entete", fichier):
            return True
        depuis = ENTETES_DEPUIS.get(fichier.genre, "")
        return fichier.famille != "spot" and fichier.date >= depuis and not self._panne("arch_sans_entete", fichier)

    def _klines(self, fichier: Fichier, debut_ms: int, fin_ms: int) -> Lignes:
        periode = self.protocole.timeframes["1M" if fichier.intervalle == "1mo" else fichier.intervalle]
        prix = GENRES[fichier.genre]
        bougies = self.protocole.lire(fichier.instrument, periode, debut_ms, fin_ms, prix)
        return self._rediger(fichier.instrument, periode, prix, bougies)

    def _agg_trades(self, fichier: Fichier, debut_ms: int, fin_ms: int) -> Lignes:
        instrument = fichier.instrument
        spot = fichier.famille == "spot"
        return [
            [*_agrege(instrument, trade, majuscule=spot), *(["True"] if spot else [])]
            for trade in self.protocole.marche.trades(instrument, debut_ms, fin_ms)
        ]

    def _financements(self, fichier: Fichier, debut_ms: int, fin_ms: int) -> Lignes:
        """Les règlements, chacun avec l'intervalle qui le sépare du suivant ; sans prix de marque."""
        suite = financements(self.protocole.marche, fichier.instrument, debut_ms, fin_ms + JOUR_MS)
        return [
            [lu.ts, (suivant.ts - lu.ts) // HEURE_MS, texte_decimal(lu.taux, DECIMALES_TAUX)]
            for lu, suivant in pairwise(suite)
            if lu.ts < fin_ms
        ]

    def _metrics(self, fichier: Fichier, debut_ms: int, fin_ms: int) -> Lignes:
        """L'intérêt ouvert de cinq en cinq minutes, l'instant en texte ; puis quatre rapports, qui restent vides."""
        instrument, nom = fichier.instrument, self.protocole.symbole(fichier.instrument)
        decalage = PAS_METRICS_MS if self._panne("arch_decale", fichier) else 0
        lus = interets(self.protocole.marche, instrument, PAS_METRICS_MS, debut_ms + decalage, fin_ms + decalage)
        return [
            [
                lu.ts - decalage, nom,
                instrument.texte_quantite(lu.lots), instrument.texte_volume_quote(lu.lots * lu.prix), "", "", "", "",
            ]
            for lu in lus
        ]  # fmt: skip


def _ecrire(fichier: Fichier, colonnes: Colonnes, ligne: list[object], *, micros: bool) -> list[object]:
    """Une ligne, ses instants tels que ce fichier les écrit."""
    ecrite = list(ligne)
    for rang in colonnes.instants:
        instant = int(str(ligne[rang]))
        if fichier.genre == "metrics":
            ecrite[rang] = datetime.fromtimestamp(instant / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
        elif micros:  # la clôture d'une bougie finit par 999999
            ecrite[rang] = instant * 1000 + 999 * (rang == CLOTURE and fichier.genre in GENRES)
    return ecrite


def _agrege(instrument: Instrument, trade: Trade, *, majuscule: bool) -> list[object]:
    vendeur = trade.sens == "sell"
    texte = str(vendeur) if majuscule else str(vendeur).lower()
    prix, quantite = instrument.texte_prix(trade.prix), instrument.texte_quantite(trade.quantite)
    return [trade.id, prix, quantite, trade.id, trade.id, trade.ts, texte]


def _absent(chemin: str) -> Reponse:
    corps = f"<Error><Code>NoSuchKey</Code><Key>{escape(chemin)}</Key></Error>"
    return Reponse(corps.encode(), INTROUVABLE, {"Content-Type": "application/xml"})


def _periode(date: str, cadence: str) -> tuple[int, int] | None:
    """Les bornes d'un fichier daté, None si la date n'existe pas ou n'est pas de cette cadence."""
    mensuel = cadence == "monthly"
    try:
        debut = _jour_ms(f"{date}-01" if mensuel else date)  # refuse « 2024-01-05-01 » comme « 2024-01 »
    except ValueError:
        return None
    return debut, suivante("mois", 0, debut) if mensuel else debut + JOUR_MS


def _periode_d_avant(fichier: Fichier) -> tuple[int, int]:
    pas: Pas = "mois" if fichier.cadence == "monthly" else JOUR_MS
    return ouverture(pas, 0, fichier.debut_ms - 1), fichier.debut_ms


def _dates(cadence: str, debut_ms: int, fin_ms: int) -> Iterator[str]:
    pas: Pas = "mois" if cadence == "monthly" else JOUR_MS
    courante = ouverture(pas, 0, debut_ms)
    while courante < fin_ms:
        yield datetime.fromtimestamp(courante / 1000, UTC).strftime("%Y-%m" if pas == "mois" else "%Y-%m-%d")
        courante = suivante(pas, 0, courante)
