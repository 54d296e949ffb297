"""Des exchanges en une déclaration chacun : leur demande de bougies, leur réponse brute, ce qu'ils taisent.

Ajouter un exchange : une ligne de `PROTOCOLES`, écrite d'après `fetch_ohlcv` et `parse_ohlcv` de sa classe ccxt (noms,
unités, plafonds, commentaires). Un seul simulateur les sert tous, en boucle locale, à la classe non modifiée ; ses
marchés lui sont donnés par la configuration : seules les bougies passent par le réseau.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import ccxt.async_support as ccxt
from bourses_tierces import INSTANT_MAX, Attendue, Params, RefusError, Simulateur, pas_de
from marche_simule import classe_neuve, marche_de

from bourse_locale.marche import HEURE_MS, JOUR_MS, SEMAINE_MS, Bougie, Instrument, Marche, Pas, ouverture, suivante

if TYPE_CHECKING:
    from collections.abc import Callable

Ligne: TypeAlias = "tuple[object, ...] | Mapping[str, object]"
"""Une bougie brute : des noms de champs (cf. `ecrire`), et des constantes."""


# --- Ce qu'une ligne de la table dit ---


@dataclass(frozen=True)
class Borne:
    """Un bord de la fenêtre dans la demande : son nom, son unité, et si la bougie qui ouvre là en est exclue."""

    nom: str
    unite: str = "ms"
    exclue: bool = False

    def lire(self, valeurs: Mapping[str, Any]) -> int | None:
        """L'instant demandé, en ms ; None s'il n'est pas dans la demande."""
        texte = str(valeurs.get(self.nom) or "")
        if not texte:
            return None
        if self.unite in ("iso", "séoul"):
            avance_ms = 9 * HEURE_MS if self.unite == "séoul" else 0
            return round(datetime.fromisoformat(texte).replace(tzinfo=UTC).timestamp() * 1000) - avance_ms
        if self.unite.endswith("fichier"):
            return _bornes_du_fichier(texte)[self.unite == "fin de fichier"]
        return int(texte) * {"ms": 1, "s": 1000}[self.unite] if self.unite != "ns" else int(texte) // 1_000_000


def _bornes_du_fichier(nom: str) -> tuple[int, int]:
    """Le début et la fin d'un fichier nommé d'un jour ou d'une année."""
    debut = datetime.strptime(nom, "%Y%m%d" if len(nom) == 8 else "%Y").replace(tzinfo=UTC)
    fin = debut + timedelta(days=1) if len(nom) == 8 else debut.replace(year=debut.year + 1)
    return round(debut.timestamp() * 1000), round(fin.timestamp() * 1000)


def ms(nom: str, *, exclue: bool = False) -> Borne:
    """Un instant en millisecondes."""
    return Borne(nom, "ms", exclue)


def s(nom: str) -> Borne:
    """Un instant en secondes."""
    return Borne(nom, "s")


def iso(nom: str, *, exclue: bool = False) -> Borne:
    """Une date ISO 8601."""
    return Borne(nom, "iso", exclue)


def nu(lignes: list[Any]) -> object:
    """Pas d'enveloppe."""
    return lignes


def dans(chemin: str, **autour: object) -> Callable[[list[Any]], object]:
    """Les lignes sous `a.b.c`, avec ce que l'exchange met autour."""

    def envelopper(lignes: list[Any]) -> object:
        corps: object = lignes
        for nom in reversed(chemin.split(".")):
            corps = {nom: corps}
        assert isinstance(corps, dict)
        return {**corps, **autour}

    return envelopper


def en_colonnes(chemin: str = "", **autour: object) -> Callable[[list[Any]], object]:
    """Une liste par champ au lieu d'une liste de bougies."""

    def envelopper(lignes: list[Any]) -> object:
        colonnes = {nom: [ligne[nom] for ligne in lignes] for nom in (lignes[0] if lignes else ())}
        return {**autour, chemin: colonnes} if chemin else {**autour, **colonnes}

    return envelopper


@dataclass(frozen=True)
class Protocole:
    """Comment un exchange se laisse demander ses bougies, et comment il les écrit."""

    route: str  # expression du chemin ; ses groupes nommés valent des paramètres
    ligne: Ligne
    enveloppe: Callable[[list[Any]], object] = nu
    # La demande : les noms de ses paramètres
    debut: Borne | None = None
    fin: Borne | None = None
    nombre: str = ""
    symbole: str = "symbol"
    marche_id: str = "12"
    pas: str = "interval"
    pas_ms: int = 0  # l'unité d'un pas écrit en nombre ; 0 : un nom, celui que la classe donne au timeframe
    noms: Mapping[str, str] = field(default_factory=dict)  # noms de pas que la classe ne range pas dans ses timeframes
    # La réponse
    page: int = 1000  # lignes au plus
    garde: Literal["premieres", "dernieres"] = "premieres"  # celles d'une fenêtre plus longue que la page
    desc: bool = False  # la plus récente d'abord
    portee: int = 0  # seules les N dernières existent ; 0 : toutes
    points_max: int = 0  # une fenêtre plus longue est refusée ; 0 : jamais
    jours_max: int = 0  # la même, en jours justes : trois mois en font jusqu'à 92
    trop_longue: RefusError = RefusError(400, {"message": "The requested range is too large"})  # noqa: RUF009  le refus
    futur_refuse: bool = False  # une fin à venir est refusée
    vides: Literal["absentes", "plates", "nulles"] = "absentes"  # les minutes sans transaction
    rien: object = None  # toute la réponse, là où il n'y a rien ; RefusError : une erreur
    cotation: str = ""  # pourquoi rien ne peut y prouver la cotation d'un marché jeune : c'est alors « hors de portée »
    # Le marché, et ce que l'utilisateur donne
    genre: str = "spot"
    timeframe: str = "1m"
    prix: str = "last"
    exige: Mapping[str, str] = field(default_factory=dict)  # sans quoi la demande est refusée
    marche: Mapping[str, Any] = field(default_factory=dict)
    cles: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, Any] = field(default_factory=dict)

    @property
    def sourde(self) -> bool:
        """Vrai si la demande ne dit rien de la fenêtre : les dernières bougies, toujours."""
        return self.debut is None and self.fin is None

    @property
    def dit_le_volume(self) -> bool:
        """Faux d'une bougie de prix mark ou d'indice, que personne n'échange."""
        champs = self.ligne.values() if isinstance(self.ligne, Mapping) else self.ligne
        return any(isinstance(champ, str) and champ.rpartition(":")[2] in {"v", "V"} for champ in champs)

    @property
    def servies(self) -> int:
        """Le nombre de bougies, comptées depuis la dernière, hors desquelles rien n'est servi ; 0 : tout l'est."""
        return self.portee or (self.page if self.sourde else 0)


# --- Le simulateur de toutes ---


def _date(instant: int, forme: str) -> str:
    date = datetime.fromtimestamp(instant / 1000, UTC)
    return date.strftime(forme).replace("{ms}", f"{instant % 1000:03d}")


_DATES = {
    "iso": "%Y-%m-%dT%H:%M:%S.{ms}Z",
    "iso_s": "%Y-%m-%dT%H:%M:%SZ",
    "iso_nu": "%Y-%m-%dT%H:%M:%S",
    "espace": "%Y-%m-%d %H:%M:%S",
}
_RANGS = {"o": 1, "h": 2, "l": 3, "c": 4, "v": 5}


class Tierce(Simulateur):
    """Un exchange de la table."""

    def __init__(self, nom: str, protocole: Protocole, marche: Marche, instrument: Instrument) -> None:
        super().__init__(marche, instrument)
        self.nom, self.protocole = nom.partition("_")[0], protocole
        self.marche_ccxt = marche_de(protocole.genre) | dict(protocole.marche)
        self.symbole = self.marche_ccxt["symbol"]
        self.nom_du_pas = ""

    # --- ce que la classe ccxt reçoit ---

    def urls(self, base: str) -> object:
        """Les adresses de la classe, ramenées ici : le chemin reste le sien."""
        return _ramener(classe_neuve(self.nom).urls["api"], base)

    @property
    def config(self) -> Params:
        """Le marché est donné, l'heure n'est pas demandée : seules les bougies passent par le réseau."""
        return super().config | {
            "markets": {self.marche_ccxt["symbol"]: self.marche_ccxt},
            "has": {"fetchTime": False},
            **self.protocole.cles,
        }

    # --- ce qu'elle en obtient ---

    def repondre(self, chemin: str, params: Params) -> object:
        """Une page de bougies."""
        propre = self.protocole
        trouve = re.fullmatch(propre.route, chemin)
        if trouve is None:
            raise RefusError(404, {"message": f"Not Found: {chemin}"})
        self.vues[-1].bougies = True
        valeurs = {**_aplatir("", params), **{nom: v for nom, v in trouve.groupdict().items() if v is not None}}
        if str(valeurs.get(propre.symbole)) != propre.marche_id:
            raise RefusError(400, {"message": "Unknown symbol"})
        if any(str(valeurs.get(nom)) != valeur for nom, valeur in propre.exige.items()):
            raise RefusError(400, {"message": "Bad parameters"})
        self.nom_du_pas = "/".join(str(valeurs[nom]) for nom in propre.pas.split("/"))
        pas = self.pas_de(self.nom_du_pas)
        page = self.servir(self._page(pas, valeurs))
        if not page and propre.rien is not None:
            if isinstance(propre.rien, RefusError):
                raise propre.rien
            return propre.rien
        ecrire = self.ecrire(propre.ligne, pas)
        return propre.enveloppe([ecrire(b) for b in (page[::-1] if propre.desc else page)])

    def pas_de(self, nom: str) -> Pas:
        """Le pas que l'exchange entend sous ce nom."""
        if self.protocole.pas_ms and nom.isdecimal():
            return int(nom) * self.protocole.pas_ms
        code = self.protocole.noms.get(nom) or self.codes().get(nom)
        if code is None or code[-1] == "y" or (code[-1] == "M" and code != "1M"):
            raise RefusError(400, {"message": f"Unsupported interval {nom}"})  # le marché simulé n'en a pas
        return int(code[:-1]) * SEMAINE_MS if code[-1] == "w" and code != "1w" else pas_de(code)

    def codes(self) -> dict[str, str]:
        """Le nom que la classe donne à un timeframe -> celui de ccxt."""
        return {str(valeur): code for code, valeur in (classe_neuve(self.nom).timeframes or {}).items()}

    def _page(self, pas: Pas, valeurs: Mapping[str, Any]) -> list[Bougie]:
        propre = self.protocole
        debut = propre.debut.lire(valeurs) if propre.debut else None
        fin = propre.fin.lire(valeurs) if propre.fin else None
        nombre = min(int(valeurs.get(propre.nombre) or propre.page), propre.page)
        if propre.futur_refuse and fin is not None and fin > self.maintenant_ms():
            raise RefusError(400, {"code": 30000, "msg": "Please double check input arguments"})
        debut = 0 if debut is None else debut + bool(propre.debut and propre.debut.exclue)
        fin = INSTANT_MAX if fin is None else fin + (not (propre.fin and propre.fin.exclue))
        trop_de_points = 0 < propre.points_max < (fin - debut) // duree_ms(pas)
        if trop_de_points or 0 < propre.jours_max * JOUR_MS < fin - debut - 1:
            raise propre.trop_longue
        if propre.portee:
            debut = max(debut, self.maintenant_ms() - propre.portee * duree_ms(pas))
        debut = max(debut, ouverture(pas, 0, self.instrument.cotation_ms))
        fin = min(fin, self.maintenant_ms() + 1)
        du_debut = propre.garde == "premieres" and not propre.sourde
        # De quoi remplir une page, trous compris, sans lire toute l'histoire : une heure a presque toujours une bougie.
        points = nombre + 2 if duree_ms(pas) >= HEURE_MS else 3 * nombre
        while True:
            longueur = points * duree_ms(pas)
            lue = (debut, min(fin, debut + longueur)) if du_debut else (max(debut, fin - longueur), fin)
            page = self.bougies(pas, *lue)
            if len(page) >= nombre or lue == (debut, fin):
                return page[:nombre] if du_debut else page[-nombre:]
            points *= 4

    def bougies(self, code: Pas | str, debut: int, fin: int) -> list[Bougie]:
        """Les bougies qui ouvrent dans [debut, fin[, jusqu'à celle en cours, telles que l'exchange les range."""
        pas: Pas = pas_de(code) if isinstance(code, str) and code[:-1].isdecimal() else code  # type: ignore[assignment]
        maintenant = self.maintenant_ms()
        fin = min(fin, maintenant + 1)
        lire = self.marche.bougies if self.protocole.vides == "absentes" else self.marche.bougies_pleines
        return lire(self.instrument, pas, debut, fin, maintenant_ms=maintenant) if debut < fin else []

    def attendu(self, code: str, debut: int, fin: int) -> list[Attendue]:
        """L'oracle ; une ligne de prix nuls n'est pas une bougie."""
        vivantes = {b.ts for b in self.bougies(code, debut, fin) if b.nombre or self.protocole.vides != "nulles"}
        attendues = [attendue for attendue in super().attendu(code, debut, fin) if attendue[0] in vivantes]
        return attendues if self.protocole.dit_le_volume else [(*a[:5], None) for a in attendues]

    def plus_ancienne(self, code: str) -> int:
        """L'ouverture de la plus ancienne bougie qui soit encore servie."""
        pas, nombre = pas_de(code), self.protocole.servies
        if not nombre:
            return 0
        if self.protocole.portee:
            return self.maintenant_ms() - nombre * duree_ms(pas)
        dernieres = self.bougies(pas, self.maintenant_ms() - 3 * nombre * duree_ms(pas), INSTANT_MAX)
        return dernieres[-nombre:][0].ts

    # --- l'écriture d'une bougie ---

    def ecrire(self, ligne: object, pas: Pas) -> Callable[[Bougie], object]:
        """De quoi écrire une bougie comme l'exchange ; un champ inconnu est une constante, ou se tire du nom du pas.

        `o h l c v` en texte, en majuscules en nombres, `x18:` devant, fois 10^18 ; `ms s` en nombres, `MS S ns` en
        texte ; `iso iso_s iso_nu espace` ; `fin:` devant : la fin de la bougie ; `der:` : sa dernière ms.
        """
        if callable(ligne):
            constante = ligne(self.nom_du_pas)
            return lambda _bougie: constante
        if isinstance(ligne, tuple):
            champs = [self.ecrire(champ, pas) for champ in ligne]
            return lambda bougie: [champ(bougie) for champ in champs]
        if isinstance(ligne, Mapping):
            nommes = [(nom, self.ecrire(champ, pas)) for nom, champ in ligne.items()]
            return lambda bougie: {nom: champ(bougie) for nom, champ in nommes}
        return self._champ(ligne, pas) if isinstance(ligne, str) else lambda _bougie: ligne

    def _champ(self, champ: str, pas: Pas) -> Callable[[Bougie], object]:
        nature, _, nom = champ.rpartition(":")
        if nom in _DATES or nom.lower() in {"ms", "s", "ns"}:
            forme = _dater(nom)
            if not nature:
                return lambda bougie: forme(bougie.ts)
            return lambda bougie: forme(suivante(pas, 0, ouverture(pas, 0, bougie.ts)) - (nature == "der"))
        if nom.lower() not in _RANGS:
            return lambda _bougie: champ
        texte = self._valeur(_RANGS[nom.lower()])
        if nature.startswith("x"):
            zeros = "0" * (int(nature[1:]) - 6)
            forme_de: Callable[[str], object] = lambda texte: str(round(float(texte) * 10**6)) + zeros  # noqa: E731
        else:
            forme_de = str if nom.islower() else float
        if self.protocole.vides == "nulles":
            return lambda bougie: forme_de(texte(bougie)) if bougie.nombre else None
        return lambda bougie: forme_de(texte(bougie))

    def _valeur(self, rang: int) -> Callable[[Bougie], str]:
        """Un prix ou le volume, en texte."""
        return self.volume if rang == _RANGS["v"] else lambda bougie: self.prix(bougie[rang])


def _dater(nom: str) -> Callable[[int], object]:
    """Comment s'écrit un instant."""
    if nom in _DATES:
        return lambda instant: _date(instant, _DATES[nom])
    ecrire: dict[str, Callable[[int], int]] = {
        "ms": lambda instant: instant,
        "s": lambda instant: instant // 1000,
        "ns": lambda instant: instant * 1_000_000,
    }
    en = ecrire[nom.lower()]
    return en if nom.islower() and nom != "ns" else lambda instant: str(en(instant))


def duree_ms(pas: Pas) -> int:
    """La durée d'un pas ; celle d'un mois, au plus."""
    return pas if isinstance(pas, int) else {"semaine": SEMAINE_MS, "mois": 31 * JOUR_MS}[pas]


def _ramener(adresses: object, base: str) -> object:
    if isinstance(adresses, dict):
        return {nom: _ramener(adresse, base) for nom, adresse in adresses.items()}
    return re.sub(r"^\w+://[^/]+", base, str(adresses))


def _aplatir(prefixe: str, valeur: object) -> dict[str, Any]:
    """Les valeurs d'un corps JSON, sous `a.b.c`."""
    if not isinstance(valeur, dict):
        return {prefixe: valeur}
    return {k: v for nom, sous in valeur.items() for k, v in _aplatir(f"{prefixe}.{nom}".lstrip("."), sous).items()}


# --- La table ---

_CLES = {
    "apiKey": "CLE", "secret": ccxt.Exchange.binary_to_base58(bytes(range(1, 33))), "accountId": "0x1",
    "uid": "1", "password": "MOT",
}  # fmt: skip
_BINANCE = ("ms", "o", "h", "l", "c", "v", "der:ms", "1", 5, "1", "1", "0")
_LETTRES = {"t": "ms", "o": "o", "h": "h", "l": "l", "c": "c", "v": "v"}
_MOTS = {"open": "o", "high": "h", "low": "l", "close": "c", "volume": "v"}
_NOMBRES = {"open": "O", "high": "H", "low": "L", "close": "C", "volume": "V"}
_COREE = {
    "market": "BBB-AAA", "candle_date_time_utc": "iso_nu", "opening_price": "O", "high_price": "H", "low_price": "L",
    "trade_price": "C", "candle_acc_trade_volume": "V", "unit": 1,
}  # fmt: skip
_HITBTC = Protocole(
    r"/api/3/public/candles/(?P<symbol>\w+)",
    {"timestamp": "iso", "open": "o", "close": "c", "min": "l", "max": "h", "volume": "v", "volume_quote": "1"},
    debut=iso("from"), fin=iso("till"), nombre="limit", pas="period", garde="dernieres", desc=True,
)  # fmt: skip
_DERIBIT = Protocole(
    r"/api/v2/public/get_tradingview_chart_data",
    {"ticks": "ms", "open": "O", "high": "H", "low": "L", "close": "C", "volume": "V", "cost": 1},
    en_colonnes("result", jsonrpc="2.0"), debut=ms("start_timestamp"), fin=ms("end_timestamp"),
    symbole="instrument_name", pas="resolution", page=5000, garde="dernieres", vides="plates",
    rien={"result": {"status": "no_data", **{n: [] for n in ("ticks", "open", "high", "low", "close", "volume")}}},
)  # fmt: skip
_ORDERLY = Protocole(
    r"/v1/kline", {**_NOMBRES, "start_timestamp": "ms", "end_timestamp": "fin:ms"},
    dans("data.rows", success=True), nombre="limit", pas="type", cles=_CLES, vides="plates", genre="swap.linear",
)  # fmt: skip

# Un second genre de marché, qui a une autre demande ou une autre écriture : `nom_genre`.
PROTOCOLES: dict[str, Protocole] = {
    "alpaca": Protocole(
        r"/v1beta3/crypto/us/bars", {"t": "iso_s", "o": "O", "h": "H", "l": "L", "c": "C", "v": "V", "n": 1},
        dans("bars.12", next_page_token=None), debut=iso("start"), fin=iso("end"), nombre="limit", symbole="symbols",
        pas="timeframe", page=10_000, rien={"bars": {}, "next_page_token": None},
    ),
    "apex": Protocole(
        r"/api/v3/klines", {"s": "AAABBB", **_LETTRES}, dans("data.AAABBB"), debut=s("start"), fin=s("end"),
        nombre="limit", marche_id="AAABBB", page=200, genre="swap.linear", marche={"id2": "AAABBB"}, rien={"data": {}},
    ),
    "aster": Protocole(
        r"/fapi/v3/klines", _BINANCE, debut=ms("startTime"), fin=ms("endTime"), nombre="limit", page=1500,
        genre="swap.linear",
    ),
    # Une minute sans transaction est une ligne de prix nuls.
    "backpack": Protocole(
        r"/api/v1/klines", {**_MOTS, "start": "iso_nu", "end": "fin:iso_nu", "trades": "1"}, debut=s("startTime"),
        fin=s("endTime"), vides="nulles",
    ),
    "bequant": _HITBTC,
    "bigone": Protocole(
        r"/api/v3/asset_pairs/(?P<symbol>\w+)/candles", {**_MOTS, "time": "iso_s"}, dans("data", code=0),
        fin=iso("time", exclue=True), nombre="limit", pas="period", page=500, desc=True, garde="dernieres",
    ),
    "bingx": Protocole(
        r"/openApi/spot/v1/market/kline", ("ms", "O", "H", "L", "C", "V", "der:ms", 1.0), dans("data", code=0, msg=""),
        debut=ms("startTime", exclue=True), fin=ms("endTime"), nombre="limit", page=1440, garde="dernieres", desc=True,
    ),
    "bingx_swap": Protocole(
        r"/openApi/swap/v3/quote/klines", {**_MOTS, "time": "ms"}, dans("data", code=0, msg=""),
        debut=ms("startTime", exclue=True), fin=ms("endTime"), nombre="limit", page=1440, garde="dernieres", desc=True,
        genre="swap.linear",
    ),
    # Un fichier par jour ou par an ; une erreur là où il n'y a rien.
    "bitbank": Protocole(
        r"/(?P<symbol>\w+)/candlestick/(?P<interval>\w+)/(?P<fichier>\d+)", ("o", "h", "l", "c", "v", "ms"),
        lambda lignes: {"success": 1, "data": {"candlestick": [{"ohlcv": lignes}]}}, debut=Borne("fichier", "fichier"),
        fin=Borne("fichier", "fin de fichier", exclue=True), page=3000, vides="plates",
        rien=RefusError(404, {"success": 0, "data": {"code": 10000}}),
    ),
    "bitget_swap": Protocole(
        r"/api/v2/mix/market/(history-)?candles", ("MS", "o", "h", "l", "c", "v", "1"), dans("data", code="00000"),
        debut=ms("startTime"), fin=ms("endTime"), nombre="limit", pas="granularity", page=200, garde="dernieres",
        jours_max=90, genre="swap.linear",
        trop_longue=RefusError(400, {"code": "40705", "msg": "The start and end time cannot exceed 90 days"}),
        noms={
            **{code: code for code in ("1m", "3m", "5m", "15m", "30m")}, "1H": "1h", "2H": "2h", "4H": "4h",
            "6Hutc": "6h", "12Hutc": "12h", "1Dutc": "1d", "3Dutc": "3d", "1Wutc": "1w", "1Mutc": "1M",
        },
    ),
    "bithumb": Protocole(
        r"/v1/candles/minutes/(?P<interval>\d+)", _COREE, fin=Borne("to", "séoul", exclue=True), nombre="count",
        symbole="market", marche_id="BBB-AAA", page=200, garde="dernieres", desc=True, pas_ms=60_000,
    ),
    "bitopro": Protocole(
        r"/v3/trading-history/(?P<symbol>\w+)", {**_MOTS, "timestamp": "ms"}, dans("data"), debut=s("from"),
        fin=s("to"), pas="resolution", page=75_000, desc=True, rien={"data": None},
    ),
    "bitrue": Protocole(
        r"/api/v1/market/kline", {"i": "S", "a": "1", "v": "v", "c": "c", "h": "h", "l": "l", "o": "o"},
        dans("data", symbol="12"), fin=ms("fromIdx"), nombre="limit", pas="scale", page=1440, garde="dernieres",
        desc=True,
    ),
    "bitrue_swap": Protocole(
        r"/fapi/v1/klines", {"high": "h", "vol": "v", "low": "l", "idx": "ms", "close": "c", "open": "o"},
        nombre="limit", symbole="contractName", page=300, genre="swap.linear",
        noms={"1min": "1m", "5min": "5m", "15min": "15m", "30min": "30m", "1h": "1h", "1day": "1d", "1week": "1w"},
    ),
    "bitso": Protocole(
        r"/api/v3/ohlc",
        {"bucket_start_time": "ms", "first_rate": "o", "max_rate": "h", "min_rate": "l", "last_rate": "c",
         "volume": "v", "trade_count": 1},
        dans("payload", success=True), debut=ms("start"), fin=ms("end"), symbole="book", pas="time_bucket",
        pas_ms=1000,
    ),
    "bitstamp": Protocole(
        r"/api/v2/ohlc/(?P<symbol>\w+)/", {**_MOTS, "timestamp": "S"},
        lambda lignes: {"data": {"pair": "AAA/BBB", "ohlc": lignes}}, debut=s("start"), fin=s("end"), nombre="limit",
        pas="step", pas_ms=1000, vides="plates",
    ),
    "bitteam": Protocole(
        r"/api/tw/history/(?P<symbol>\w+)/(?P<interval>\w+)", {"t": "s", "o": "O", "h": "H", "l": "L", "c": "C",
        "v": "V"}, dans("result.data", ok=True), page=364, vides="plates",
    ),
    "bittrade": Protocole(
        r"/market/history/kline",
        {"id": "s", "open": "O", "high": "H", "low": "L", "close": "C", "amount": "V", "vol": 1, "count": 1},
        dans("data", status="ok"), nombre="size", pas="period", page=2000, desc=True, vides="plates",
    ),
    "bitvavo": Protocole(
        r"/v2/(?P<symbol>\w+)/candles", ("ms", "o", "h", "l", "c", "v"), debut=ms("start"), fin=ms("end"),
        nombre="limit", page=1440, garde="dernieres", desc=True,
    ),
    "blofin": Protocole(
        r"/api/v1/market/candles", ("MS", "o", "h", "l", "c", "7", "v", "1", "1"), dans("data", code="0"),
        debut=ms("before", exclue=True), fin=ms("after", exclue=True), nombre="limit", symbole="instId", pas="bar",
        page=1440, garde="dernieres", desc=True, genre="swap.linear",
    ),
    "btcmarkets": Protocole(
        r"/v3/markets/(?P<symbol>\w+)/candles", ("iso", "o", "h", "l", "c", "v"), debut=iso("from"), nombre="limit",
        pas="timeWindow", page=200, desc=True,
    ),
    "btcturk": Protocole(
        r"/v1/klines/history", {"t": "s", "h": "H", "o": "O", "l": "L", "c": "C", "v": "V"}, en_colonnes(s="ok"),
        debut=s("from"), fin=s("to"), pas="resolution", page=11_000,
        rien={"s": "no_data", **{n: [] for n in "thoclv"}},
    ),
    "btse": Protocole(
        r"/public-api/market/v1/klines", ("S", "o", "h", "l", "c", "v"), dans("data", code=1, success=True),
        debut=s("start"), fin=s("end"), nombre="limit", pas="resolution", page=300, desc=True,
    ),
    "bullish": Protocole(
        r"/trading-api/v1/markets/(?P<symbol>\w+)/candle", {**_MOTS, "createdAtTimestamp": "MS"},
        debut=iso("createdAtDatetime[gte]"), fin=iso("createdAtDatetime[lte]"), nombre="_pageSize", pas="timeBucket",
        page=100, desc=True,
    ),
    "bydfi": Protocole(
        r"/api/v1/fapi/market/klines", {"s": "12", **_LETTRES, "t": "MS"}, dans("data", code=200, success=True),
        debut=ms("startTime"), fin=ms("endTime"), nombre="limit", page=500, genre="swap.linear",
    ),
    "cex": Protocole(
        r"/api/spot/rest-public/get_candles", {**_MOTS, "timestamp": "MS", "resolution": "1m", "isClosed": True},
        dans("data", ok="ok"), debut=iso("fromISO"), nombre="limit", symbole="pair", pas="resolution",
        params={"dataType": "bestAsk"},
    ),
    "coinbaseinternational": _DERIBIT,
    "coinsph": Protocole(
        r"/openapi/quote/v1/klines", _BINANCE[:-1], debut=ms("startTime"), fin=ms("endTime"), nombre="limit",
        garde="dernieres",
    ),
    "cryptocom": Protocole(
        r"/exchange/v1/public/get-candlestick", _LETTRES, dans("result.data", id=-1, code=0), debut=ms("start_ts"),
        fin=ms("end_ts", exclue=True), nombre="count", symbole="instrument_name", pas="timeframe", page=300,
        garde="dernieres",
    ),
    "deepcoin": Protocole(
        r"/deepcoin/market/candles", ("MS", "o", "h", "l", "c", "v", "1"), dans("data", code="0", msg=""),
        fin=ms("after", exclue=True), nombre="limit", symbole="instId", pas="bar", page=300, garde="dernieres",
        desc=True,
    ),
    "delta": Protocole(
        r"/v2/history/candles", {**_NOMBRES, "time": "s"}, dans("result", success=True), debut=s("start"), fin=s("end"),
        pas="resolution", page=2000, garde="dernieres", desc=True, genre="swap.linear", noms={"30d": "30d"},
    ),
    "deribit": _DERIBIT,
    "derive": Protocole(
        r"/v3/public/get_tradingview_chart_data",
        {"open_price": "o", "high_price": "h", "low_price": "l", "close_price": "c", "volume_usd": "1",
         "volume_contracts": "v", "timestamp": "s", "timestamp_bucket": "s"},
        dans("result", id="1"), debut=s("start_timestamp"), fin=s("end_timestamp"), symbole="instrument_name",
        pas="period", pas_ms=1000, page=5000, garde="dernieres", genre="swap.linear",
    ),
    "digifinex": Protocole(
        r"/v3/kline", ("s", "V", "C", "H", "L", "O"), dans("data", code=0), debut=s("start_time"), fin=s("end_time"),
        pas="period", page=500,
    ),
    "digifinex_swap": Protocole(
        r"/swap/v2/public/candles", ("ms", "o", "h", "l", "c", "v", "0"), dans("data.candles", code=0), nombre="limit",
        symbole="instrument_id", pas="granularity", page=100, genre="swap.linear", vides="plates",
        noms={code: code for code in ("1m", "5m", "15m", "30m", "1h", "4h", "12h", "1d", "1w")},
    ),
    # `fromISO` et `toISO` : la classe écrit `fromIso` et `toIso`, que l'exchange ne lit pas.
    "dydx": Protocole(
        r"/v4/candles/perpetualMarkets/(?P<symbol>\w+)", {**_MOTS, "startedAt": "iso", "baseTokenVolume": "v"},
        dans("candles"), debut=iso("fromISO"), fin=iso("toISO", exclue=True), nombre="limit", pas="resolution",
        garde="dernieres", desc=True, genre="swap.linear",
    ),
    "extended": Protocole(
        r"/api/v1/info/candles/(?P<symbol>\w+)/trades", {"o": "o", "l": "l", "h": "h", "c": "c", "v": "v", "T": "ms"},
        dans("data", status="OK"), fin=ms("endTime"), nombre="limit", page=10_000, garde="dernieres", desc=True,
        genre="swap.linear", noms={"P30D": "30d"},
    ),
    "fmfwio": _HITBTC,
    "foxbit": Protocole(
        r"/rest/v3/markets/(?P<symbol>\w+)/candlesticks", ("MS", "o", "h", "l", "c", "fin:MS", "v", "1", 5),
        debut=iso("start_time"), nombre="limit", page=500,
    ),
    "gemini": Protocole(
        r"/v2/candles/(?P<symbol>\w+)/(?P<interval>\w+)", ("ms", "O", "H", "L", "C", "V"), page=1440, desc=True,
        vides="plates",
    ),
    "grvt": Protocole(
        r"/full/v1/kline", {**_MOTS, "open_time": "ns", "close_time": "fin:ns", "volume_b": "v", "instrument": "12"},
        dans("result", next="x"), debut=Borne("start_time", "ns"), fin=Borne("end_time", "ns"), nombre="limit",
        symbole="instrument", garde="dernieres", desc=True, genre="swap.linear",
    ),
    "hashkey": Protocole(
        r"/quote/v1/klines", ("ms", "o", "h", "l", "c", "v", 0, "1", 5, "1", "1"), debut=ms("startTime"),
        fin=ms("endTime"), nombre="limit", garde="dernieres",
    ),
    "hibachi": Protocole(
        r"/market/data/klines",
        {"open": "o", "high": "h", "low": "l", "close": "c", "volumeNotional": "v", "timestamp": "s", "interval": "x"},
        dans("klines"), debut=ms("fromMs"), fin=ms("toMs"), genre="swap.linear",
    ),
    "hitbtc": _HITBTC,
    "hollaex": Protocole(
        r"/v2/chart", {**_NOMBRES, "time": "iso", "symbol": "12"}, debut=s("from"), fin=s("to"), pas="resolution",
        page=100_000,
    ),
    "indodax": Protocole(
        r"/tradingview/history_v2",
        {"Time": "s", "Open": "O", "High": "H", "Low": "L", "Close": "C", "Volume": "v"}, debut=s("from"), fin=s("to"),
        pas="tf", page=100_000, vides="plates",
    ),
    "krakenfutures": Protocole(
        r"/api/charts/v1/trade/(?P<symbol>\w+)/(?P<interval>\w+)", {**_MOTS, "time": "ms", "volume": "V"},
        dans("candles", more_candles=False), debut=s("from"), fin=s("to"), page=2000, genre="swap.linear",
        vides="plates",
    ),
    "kucoin_swap": Protocole(
        r"/api/v1/kline/query", ("ms", "O", "H", "L", "C", "V", 1.0), dans("data", code="200000"), debut=ms("from"),
        fin=ms("to"), pas="granularity", pas_ms=60_000, page=500, genre="swap.linear",
    ),
    "lbank": Protocole(
        r"/v2/kline.do", ("s", "O", "H", "L", "C", "V"), dans("data", result="true", error_code=0), debut=s("time"),
        nombre="size", pas="type", page=2000,
    ),
    "lighter": Protocole(
        r"/api/v1/candles", {"t": "ms", "o": "O", "h": "H", "l": "L", "c": "C", "v": "V", "V": 1.5, "i": 3},
        dans("c", code=200, r="1m"), debut=ms("start_timestamp"), fin=ms("end_timestamp"), symbole="market_id",
        pas="resolution", page=500, genre="swap.linear",
    ),
    "luno": Protocole(
        r"/api/exchange/1/candles", {**_MOTS, "timestamp": "ms"}, dans("candles", duration=60), debut=ms("since"),
        symbole="pair", pas="duration", pas_ms=1000, vides="plates", cles=_CLES,
        cotation="ni fin ni nombre : toute réponse va jusqu'à maintenant",
    ),
    "mercado": Protocole(
        r"/api/v4/candles", {"t": "s", "o": "o", "h": "h", "l": "l", "c": "c", "v": "v"}, en_colonnes(),
        debut=s("from"), fin=s("to"), marche_id="AAA-BBB", pas="resolution", timeframe="15m",
        rien={n: [] for n in "tohlcv"},
    ),
    "mexc": Protocole(
        r"/api/v3/klines", _BINANCE[:8], debut=ms("startTime"), fin=ms("endTime", exclue=True), nombre="limit",
        page=500, noms={"60m": "1h", "1W": "1w"},
    ),
    "mexc_swap": Protocole(
        r"/api/v1/contract/kline/(?P<symbol>\w+)",
        {"time": "s", "open": "O", "close": "C", "high": "H", "low": "L", "vol": "V", "amount": 1.0},
        en_colonnes("data", success=True, code=0), debut=s("start"), fin=s("end"), page=2000, garde="dernieres",
        genre="swap.linear",
        noms={"Min1": "1m", "Min5": "5m", "Min15": "15m", "Min30": "30m", "Min60": "1h", "Hour4": "4h", "Hour8": "8h",
              "Day1": "1d", "Week1": "1w", "Month1": "1M"},
    ),
    "modetrade": _ORDERLY,
    "mudrex": Protocole(
        r"/fapi/v1/price/kline", ("s", "O", "H", "L", "C", "V"),
        lambda lignes: {"success": True, "data": {"asset_ticks": {"aaa/bbb": lignes}}}, debut=s("start_time"),
        fin=s("end_time"), symbole="assets", marche_id="AAA/BBB", pas="aggregation", genre="swap.linear",
    ),
    "nado": Protocole(
        r"/v1",
        {"product_id": 12, "timestamp": "S", "open_x18": "x18:o", "high_x18": "x18:h", "low_x18": "x18:l",
         "close_x18": "x18:c", "volume": "x18:v"},
        dans("candlesticks"), fin=s("candlesticks.max_time"), nombre="candlesticks.limit",
        symbole="candlesticks.product_id", pas="candlesticks.granularity", pas_ms=1000, page=500, garde="dernieres",
        desc=True, genre="swap.linear",
    ),
    # La ligne porte sa fin, puis son début.
    "ndax": Protocole(
        r"/AP/GetTickerHistory", ("fin:ms", "H", "L", "O", "C", "V", 1.0, 2.0, 12, "ms"), debut=iso("FromDate"),
        fin=iso("ToDate"), symbole="InstrumentId", pas="Interval", pas_ms=1000, page=5000, vides="plates",
    ),
    "onetrading": Protocole(
        r"/fast/v1/candlesticks/(?P<symbol>\w+)",
        {"open": "o", "high": "h", "low": "l", "close": "c", "total_amount": "v", "volume": "1", "time": "der:iso",
         "granularity": lambda pas: {"unit": pas.partition("/")[2], "period": pas.partition("/")[0]}},
        dans("candlesticks"), debut=iso("from"), fin=iso("to"), pas="period/unit", page=5000,
    ),
    "p2b": Protocole(
        r"/api/v2/public/market/kline", ("s", "o", "c", "h", "l", "v", "1", "AAA_BBB"), dans("result", success=True),
        nombre="limit", symbole="market", page=500, vides="plates",
    ),
    "pacifica": Protocole(
        r"/api/v1/kline", {**_LETTRES, "T": "fin:ms", "s": "12", "i": "1m", "n": 2}, dans("data", success=True),
        debut=ms("start_time"), fin=ms("end_time"), points_max=3960, page=4000, genre="swap.linear",
    ),
    "paradex": Protocole(
        r"/v1/markets/klines", ("ms", "O", "H", "L", "C", "V"), dans("results"), debut=ms("start_at"),
        fin=ms("end_at"), pas="resolution", genre="swap.linear",
    ),
    "phemex": Protocole(
        r"/exchange/public/md/v2/kline/list", ("s", 60, "c", "o", "h", "l", "c", "v", "1"),
        dans("data.rows", code=0, msg="OK"), debut=s("from"), fin=s("to"), nombre="limit", pas="resolution",
        pas_ms=1000, page=2000, genre="swap.linear", marche={"priceScale": 0},
    ),
    "phemex_spot": Protocole(
        r"/exchange/public/md/v2/kline", ("s", 60, 1, "x8:o", "x8:h", "x8:l", "x8:c", "x8:v", 1),
        dans("data.rows", code=0, msg="OK"), nombre="limit", pas="resolution", pas_ms=1000,
        marche={"priceScale": 8, "valueScale": 8},
    ),
    # Une page vide est une seule ligne de zéros.
    "poloniex": Protocole(
        r"/markets/(?P<symbol>\w+)/candles",
        ("l", "h", "o", "c", "1", "v", "1", "1", 3, 0, "1", "MINUTE_1", "ms", "der:ms"), debut=ms("startTime"),
        fin=ms("endTime"), nombre="limit", page=500,
        rien=[["0", "0", "0", "0", "0", "0", "0", "0", 0, 0, "0", "MINUTE_1", 0, 0]],
    ),
    "poloniex_swap": Protocole(
        r"/v3/market/candles", ("l", "h", "o", "c", "1", "v", "14", "MS", "der:MS"), dans("data", code="200"),
        debut=ms("sTime"), fin=ms("eTime"), nombre="limit", page=500, genre="swap.linear",
    ),
    "polymarket": Protocole(
        r"/v1/info/klines", ("ms", "o", "h", "l", "c", "v", 3), dans("data", more=False), debut=ms("start_timestamp"),
        fin=ms("end_timestamp"), symbole="instrument_id", genre="swap.linear",
    ),
    "revolutx": Protocole(
        r"/api/1.0/public/candles/(?P<symbol>\w+)", {**_MOTS, "start": "ms"}, dans("data", metadata={"region": "EEA"}),
        debut=ms("since"), fin=ms("until"), pas_ms=60_000, points_max=50_000, page=50_000,
    ),
    "tokocrypto": Protocole(
        r"/api/v3/klines", _BINANCE, debut=ms("startTime"), fin=ms("endTime"), nombre="limit", marche_id="AAABBB",
    ),
    "toobit": Protocole(
        r"/quote/v1/klines", ("ms", "o", "h", "l", "c", "v", 0, "1", 5, "1", "1"), debut=ms("startTime"),
        fin=ms("endTime"), nombre="limit", garde="dernieres",
    ),
    "upbit": Protocole(
        r"/v1/candles/(?P<interval>minutes/\d+|\w+)", _COREE, fin=iso("to", exclue=True), nombre="count",
        symbole="market", page=200, desc=True, garde="dernieres",
        noms={"minutes/1": "1m", "minutes/3": "3m", "minutes/5": "5m", "minutes/10": "10m", "minutes/15": "15m",
              "minutes/30": "30m", "minutes/60": "1h", "minutes/240": "4h"},
    ),
    "weex": Protocole(r"/api/v3/market/klines", _BINANCE[:8], page=300),
    "weex_swap": Protocole(r"/capi/v3/market/klines", _BINANCE[:8], nombre="limit", genre="swap.linear"),
    "whitebit": Protocole(
        r"/api/v1/public/kline", ("s", "o", "c", "h", "l", "v", "1"), dans("result", success=True, message=""),
        debut=s("start"), nombre="limit", symbole="market", page=1440,
    ),
    "woo": Protocole(
        r"/v3/public/klineHistory", {**_MOTS, "startTimestamp": "ms", "endTimestamp": "fin:ms", "type": "1m"},
        dans("data.rows", success=True), debut=ms("after", exclue=True), fin=ms("before", exclue=True), nombre="limit",
        pas="type", desc=True, garde="dernieres",
    ),
    "woofipro": _ORDERLY,
    "xt": Protocole(
        r"/v4/public/kline", {"t": "ms", "o": "o", "c": "c", "h": "h", "l": "l", "q": "v", "v": "1"},
        dans("result", rc=0, mc="SUCCESS", ma=[]), debut=ms("startTime"), fin=ms("endTime"), nombre="limit",
        garde="dernieres", desc=True,
    ),
    "xt_swap": Protocole(
        r"/future/market/v1/public/q/kline", {**_LETTRES, "s": "12", "a": "v", "v": "1"},
        dans("result", returnCode=0, error=None), debut=ms("startTime"), fin=ms("endTime"), nombre="limit",
        garde="dernieres", desc=True, genre="swap.linear",
    ),
    "zebpay": Protocole(
        r"/api/v2/market/klines", ("MS", "o", "h", "l", "c", "v", "1"),
        dans("data", statusCode=200, statusDescription="Success"), debut=ms("startTime"), fin=ms("endTime"),
        pas_ms=60_000,
    ),
    "zebpay_swap": Protocole(
        r"/api/v1/market/klines", ("MS", "o", "h", "l", "c", "v", "1"),
        dans("data", statusCode=200, statusDescription="Success"), debut=ms("since"), fin=ms("until"), nombre="limit",
        pas="timeframe", genre="swap.linear",
        noms={code: code for code in ("1m", "5m", "15m", "30m", "1h", "2h", "4h", "12h", "1d", "1w")},
    ),
}  # fmt: skip


def _au_prix(nom: str, prix: str, **change: Any) -> Protocole:
    """Le protocole d'un exchange à un autre prix que le dernier."""
    return replace(PROTOCOLES[nom], prix=prix, **change)


_SANS_VOLUME = {nom: champ for nom, champ in _MOTS.items() if nom != "volume"}

# Les bougies d'un contrat à un autre prix : leur route, leur demande et leur écriture sont souvent à part.
PROTOCOLES_DE_PRIX: dict[str, Protocole] = {
    "backpack_mark": _au_prix("backpack", "mark", genre="swap.linear", exige={"priceType": "Mark"}),
    "bingx_mark": _au_prix(
        "bingx_swap", "mark", route=r"/openApi/swap/v1/market/markPriceKlines",
        ligne={**_MOTS, "openTime": "ms", "closeTime": "ms"},
    ),
    "bitget_mark": _au_prix("bitget_swap", "mark", exige={"kLineType": "mark"}),
    "deepcoin_mark": _au_prix("deepcoin", "mark", genre="swap.linear", route=r"/deepcoin/market/mark-price-candles"),
    "deepcoin_index": _au_prix("deepcoin", "index", genre="swap.linear", route=r"/deepcoin/market/index-candles"),
    "delta_mark": _au_prix("delta", "mark", marche_id="MARK:12"),
    "delta_index": _au_prix("delta", "index", marche_id=".DEAAABBB"),
    "derive_index": _au_prix(
        "derive", "index", route=r"/v3/public/get_index_chart_data", symbole="currency", marche_id="AAA",
        ligne={"price": "c", "open_price": "o", "high_price": "h", "low_price": "l", "close_price": "c",
               "timestamp": "s", "timestamp_bucket": "s"},
    ),
    "extended_mark": _au_prix("extended", "mark", route=r"/api/v1/info/candles/(?P<symbol>\w+)/mark-prices"),
    "gate_mark": Protocole(
        r"/api/v4/futures/bbb/candlesticks", {"t": "s", "o": "o", "h": "h", "l": "l", "c": "c"}, debut=s("from"),
        fin=s("to"), symbole="contract", marche_id="mark_12", page=2000, points_max=2000, genre="swap.linear",
        marche={"settleId": "bbb"}, prix="mark", portee=10_000,
    ),
    # La demande n'a que `size` : les dernières, toujours.
    "htx_mark": Protocole(
        r"/index/market/history/linear_swap_mark_price_kline",
        {"id": "s", "open": "o", "close": "c", "high": "h", "low": "l", "vol": "0", "amount": "v", "count": "0"},
        dans("data", status="ok", ch="market.12.mark_price.1min"), nombre="size", symbole="contract_code", pas="period",
        page=2000, vides="plates", genre="swap.linear", prix="mark",
    ),
    "krakenfutures_mark": _au_prix(
        "krakenfutures", "mark", route=r"/api/charts/v1/mark/(?P<symbol>\w+)/(?P<interval>\w+)",
        ligne={**_SANS_VOLUME, "time": "ms"},
    ),
    "krakenfutures_index": _au_prix(
        "krakenfutures", "index", route=r"/api/charts/v1/spot/(?P<symbol>\w+)/(?P<interval>\w+)",
        ligne={**_SANS_VOLUME, "time": "ms"},
    ),
    "kucoin_mark": Protocole(
        r"/api/ua/v1/market/kline", ("S", "o", "c", "h", "l", "v", "1"),
        dans("data.list", code="200000"), debut=s("startAt"), fin=s("endAt"), marche_id="12-mark-price", page=1500,
        desc=True, garde="dernieres", genre="swap.linear", prix="mark", exige={"tradeType": "FUTURES"},
    ),
    "mexc_mark": _au_prix("mexc_swap", "mark", route=r"/api/v1/contract/kline/fair_price/(?P<symbol>\w+)"),
    "mudrex_mark": _au_prix("mudrex", "mark", route=r"/fapi/v1/price/mark-kline"),
    "paradex_mark": _au_prix("paradex", "mark", exige={"price_kind": "mark"}),
    "toobit_mark": Protocole(
        r"/quote/v1/markPrice/klines", {"symbol": "12", **_MOTS, "time": "ms", "curId": "ms"}, dans("data", code=200),
        debut=ms("from"), fin=ms("to"), nombre="limit", garde="dernieres", desc=True, genre="swap.linear", prix="mark",
    ),
    "weex_mark": _au_prix("weex_swap", "mark", route=r"/capi/v3/market/markPriceKlines"),
}  # fmt: skip
