"""Coûts et solidité des flux, en rapports mesurés dans la même exécution : `python bancs/banc_flux.py [MESURE…]`.

Face à l'exchange embarqué, qui tourne dans ce processus ; ce qui est mesuré tourne dans un autre (enfants_flux.py) :
- cpu : un symbole, rafale de trades à saturation de ccxt.pro : le pipeline vers Parquet contre une boucle nue ;
- charge : 200 symboles × bougies et 50 symboles × trades, à saturation : pertes, pente de la mémoire ;
- allure : 200 symboles × bougies, sans saturer : le CPU d'une trame ;
- latence : de la trame du trade qui clôt une bougie à sa ligne sur le disque (trades → bougies, flush=1) ;
- endurance : une semaine de 1m, 20 symboles, 100 pannes au hasard, en 100 s ; la sortie contre l'oracle ;
- ecriture : octets écrits pour un long flux Parquet, coût d'un petit lot dans les quatre formats.

Le CPU est celui du processus ; les résultats sont écrits dans RESULTATS.md quand tout est mesuré en entier. Code 1 si
une donnée a manqué ou fut doublée. Options : `--court` (deux minutes en tout), `--graine` (celle des pannes).
"""

from __future__ import annotations

import argparse
import collections
import itertools
import json
import random
import re
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from outils_bancs import Mesure, publier, tableau

RACINE = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(RACINE))

from bourse_locale import Bourse, Marche, Panne  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SYMBOLE = "BTC/USDT"
MINUTE, JOUR = 60_000, 86_400_000
ALLURE = 20.0
TRAMES_PAR_TRADE = 5
BAVARD = Panne("ws_double", canal="bougies", k=TRAMES_PAR_TRADE - 1)  # cinq trades par minute en paraissent trente
DEPART = 1_767_225_630_000  # 2026-01-01T00:00:30Z : loin d'une clôture
PREAMBULE = """Des rapports, pris dans une même exécution ; ce qui est mesuré tourne seul dans son processus.

- CPU d'une trame de bougie, sous charge : l'horloge y court 600 fois trop vite. Une bougie n'y a pas trois trames
  (trente chez binance, une toutes les deux secondes), et la preuve relit par REST, toutes les dix minutes de l'exchange
  (une seconde d'ici), ce que le flux a dit : ces requêtes sont comptées ci-dessous, une trame de binance n'en coûterait
  que le dixième. La grâce de deux secondes n'y dure que 3 ms : les trames d'un processus en retard démentent des
  bougies closes, qui sont relues aussi. La ligne « vingt fois trop vite » ressemble plus à ce qui se vit : trente
  trames par bougie (cinq trades, chacun dit cinq fois de suite), un processus à l'heure de l'exchange, une grâce de
  100 ms, rien qui sature.
- Rafale : treize jours de trades en quelques secondes ; l'heure du processus mesuré les suit.
- Mémoire : prise au repos, vingt fois en route ; médiane des pentes entre ces relevés. En plein travail, une fonte
  Parquet prend puis rend cent Mo : le pic la compte. Les seuils de 10 Mo et de 25 × les octets sont les nôtres.
- Endurance : les pages REST trouées en leur milieu, qui sont crues, n'en sont pas."""
PALIERS, RELEVES_AU_REPOS = 20, 4
ENTRE_BOUGIES_S = 0.12  # plus que le repos qui suit une écriture : entre deux clôtures, il est toujours passé
ATTENTE_MAX_S = 180
PAS_AU_REPOS = 4  # tics de 10 ms : il relève sa mémoire dix fois par seconde
ENFANTS = Path(__file__).with_name("enfants_flux.py")
MODULE = RACINE / "module_ccxt_fr_v2.py"


@dataclass(frozen=True)
class Reglages:
    """Ce que les mesures lisent de la ligne de commande."""

    court: bool
    graine: int
    dossier: Path

    def choisir(self, entier: int, court: int) -> int:
        """La taille de la mesure."""
        return court if self.court else entier


class Enfant:
    """Un processus mesuré."""

    def __init__(self, nom: str, **reglages: Any) -> None:
        commande = [sys.executable, str(ENFANTS), nom, json.dumps(reglages)]
        self._processus = subprocess.Popen(commande, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def partir(self) -> None:
        """Lui envoie le signal qu'il attend."""
        if self._processus.stdin is not None:
            self._processus.stdin.write("\n")
            self._processus.stdin.flush()
        time.sleep(0.2)

    @property
    def vit(self) -> bool:
        """Vrai tant qu'il n'a pas fini."""
        return self._processus.poll() is None

    def attendre_le_repos(self) -> None:
        """Attend qu'il n'ait plus rien à faire : une demi-seconde presque sans CPU (lu dans /proc)."""
        chemin, avant = Path(f"/proc/{self._processus.pid}/stat"), -PAS_AU_REPOS
        while self.vit:
            tics = sum(map(int, chemin.read_text(encoding="utf-8").rpartition(")")[2].split()[11:13]))
            if tics - avant < PAS_AU_REPOS:
                return
            avant = tics
            time.sleep(0.5)

    def finir(self) -> dict[str, Any]:
        """Attend sa fin ; rend son résultat."""
        sortie = self._processus.communicate()[0]
        if self._processus.returncode:
            raise SystemExit(f"un enfant a fini par le code {self._processus.returncode}")
        resultat: dict[str, Any] = json.loads(sortie.splitlines()[-1])
        return resultat


def arretee(exchange: str = "binance", nombre_marches: int | None = None, acceleration: float = 0.0) -> Bourse:
    """Un exchange dont l'horloge est arrêtée (ou accélérée) : ce qu'il émet se connaît d'avance."""
    return Bourse(
        (exchange,), limites=False, maintenant_ms=DEPART, acceleration=acceleration, nombre_marches=nombre_marches
    )


def config_de(bourse: Bourse) -> dict[str, object]:
    """La configuration ccxt qui mène à cet exchange."""
    return {**bourse.config_ccxt("binance"), "rateLimit": 1, "timeout_on_exit": 0}


def attendre_abonnes(bourse: Bourse, nombre: int) -> None:
    """Attend que ce nombre d'abonnements soit ouvert."""
    limite = time.monotonic() + 60
    while sum(len(session.actifs) for session in bourse.sessions_ouvertes) < nombre:
        if time.monotonic() > limite:
            raise SystemExit("le flux ne s'est jamais abonné")
        time.sleep(0.02)
    time.sleep(0.3)  # l'état présent est parti


def comptants(bourse: Bourse, nombre: int) -> list[str]:
    """Les premiers symboles au comptant."""
    return [s for s in bourse.protocoles["binance"].par_symbole if ":" not in s][:nombre]


def ids_emis(bourse: Bourse, symbole: str, debut: int, fin: int) -> list[str]:
    """Les ids des trades de ce symbole dans ]debut, fin]."""
    instrument = bourse.protocoles["binance"].par_symbole[symbole]
    return [str(trade.id) for trade in bourse.marche.trades(instrument, debut + 1, fin + 1)]


def lire_par_symbole(sortie: Path, colonne: str) -> dict[str, list[Any]]:
    """Cette colonne de la sortie, par symbole, dans l'ordre du fichier."""
    import module_ccxt_fr_v2 as collecte

    table = collecte.lire(sortie)
    par_symbole: dict[str, list[Any]] = collections.defaultdict(list)
    valeurs = collecte.instants_de(table) if colonne == "timestamp" else table[colonne].to_pylist()
    for symbole, valeur in zip(table["symbole"].to_pylist(), valeurs, strict=True):
        par_symbole[symbole].append(valeur)
    return par_symbole


def ecart(lus: list[Any], attendus: list[Any]) -> tuple[int, int]:
    """(manquants, en trop ou doublés)."""
    reste = collections.Counter(attendus)
    reste.subtract(lus)
    return sum(n for n in reste.values() if n > 0), -sum(n for n in reste.values() if n < 0)


# --- CPU


def mesurer_cpu(reglages: Reglages) -> Iterator[Mesure]:
    """Une rafale vers la boucle nue, puis vers le pipeline entier, en alternance."""
    nombre = reglages.choisir(100_000, 30_000)
    rapports, nus, suivis, perdus_nus, ecarts = [], [], [], [], [0, 0]
    for tour in range(reglages.choisir(5, 2)):
        nu, emis = _une_rafale(nombre, "nu", {})
        sortie = reglages.dossier / f"rafale{tour}.parquet"
        suivi, attendus = _une_rafale(nombre, "suivi", {"stream": "trades", "sortie": str(sortie)})
        ecarts = [a + b for a, b in zip(ecarts, ecart(lire_par_symbole(sortie, "id")[SYMBOLE], attendus), strict=True)]
        nus.append(1e6 * nu["cpu"] / len(emis))
        suivis.append(1e6 * suivi["cpu"] / len(attendus))
        rapports.append(suivis[-1] / nus[-1])
        perdus_nus.append(100 - 100 * nu["rendus"] / len(emis))
    yield Mesure(
        f"rafale de {nombre} trades, CPU du pipeline vers Parquet sur celui d'une boucle `watch_trades` nue",
        f"{statistics.median(rapports):.2f} × (de {min(rapports):.2f} à {max(rapports):.2f} ; "
        f"{statistics.median(suivis):.0f} contre {statistics.median(nus):.0f} µs par trade)",
        "≤ 1,15 ×",
    )
    yield Mesure("… trades perdus, doublés par le pipeline", "{}, {}".format(*ecarts), "0, 0", perte=any(ecarts))
    yield Mesure(
        "… trades que la boucle nue ne voit jamais (ccxt n'en garde que 1000 entre deux lectures)",
        f"{statistics.median(perdus_nus):.0f} %",
        "—",
    )


def _une_rafale(nombre: int, enfant: str, options: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Le résultat de l'enfant, et les ids émis."""
    with arretee().en_fil() as bourse:
        instrument = bourse.protocoles["binance"].par_symbole[SYMBOLE]
        rang = bourse.marche.rang_du_premier_trade(instrument, DEPART + MINUTE) + nombre
        fin = bourse.marche.minute_du_trade(instrument, rang, DEPART + nombre * MINUTE) + MINUTE
        emis = ids_emis(bourse, SYMBOLE, DEPART, fin)
        config = config_de(bourse)
        lance = Enfant(
            enfant, config=config, depart=DEPART, symbole=SYMBOLE, dernier=int(emis[-1]), attendus=len(emis),
            options={"symbole": SYMBOLE, "config_ccxt": config, **options},
        )  # fmt: skip
        attendre_abonnes(bourse, 1)
        lance.partir()
        bourse.avancer(fin - DEPART)
        return lance.finir(), emis


# --- Charge


def mesurer_charge(reglages: Reglages) -> Iterator[Mesure]:
    """Beaucoup de symboles à la fois, plus vite que ccxt ne peut les lire."""
    messages = reglages.choisir(500_000, 60_000)
    yield from _mesurer_bougies(reglages, messages, reglages.choisir(200, 200))
    yield from _mesurer_trades(reglages, messages, 50)


def _bougies_nues(messages: int, nombre: int, acceleration: float = 600.0, manieres: tuple[Panne, ...] = ()) -> float:
    """Les µs de CPU par trame d'une boucle nue : ce que ccxt et aiohttp prennent, quoi qu'on en fasse."""
    with arretee(nombre_marches=260, acceleration=acceleration).en_fil() as bourse:
        for maniere in manieres:
            bourse.pannes.ajouter(maniere)
        symboles = comptants(bourse, nombre)
        enfant = Enfant("nu_bougies", config=config_de(bourse), symboles=symboles)
        attendre_abonnes(bourse, len(symboles))
        enfant.partir()
        avant = sum(session.donnees for session in bourse.sessions_ouvertes)
        bourse.horloge.regler(acceleration)
        limite = time.monotonic() + ATTENTE_MAX_S
        while enfant.vit and sum(session.donnees for session in bourse.sessions_ouvertes) < avant + messages:
            if time.monotonic() > limite:
                raise SystemExit(f"moins de {messages} trames en {ATTENTE_MAX_S} s")
            time.sleep(0.01)
        bourse.horloge.regler(0.0)
        enfant.attendre_le_repos()
        trames = sum(session.donnees for session in bourse.sessions_ouvertes) - avant
        enfant.partir()
        return 1e6 * float(enfant.finir()["cpu"]) / trames


def _mesurer_bougies(reglages: Reglages, messages: int, nombre: int) -> Iterator[Mesure]:
    nu_us = _bougies_nues(messages // 10, nombre)
    sortie = reglages.dossier / "bougies.parquet"
    with arretee(nombre_marches=260, acceleration=600.0).en_fil() as bourse:
        symboles = comptants(bourse, nombre)
        options = {"symbols": symboles, "stream": "ohlcv", "sortie": str(sortie), "config_ccxt": config_de(bourse)}
        enfant = Enfant("suivi", attendus=messages, options=options)
        attendre_abonnes(bourse, len(symboles))
        connexions = len(bourse.sessions_ouvertes)
        enfant.partir()
        for palier in range(1, PALIERS):
            bourse.horloge.regler(600.0)
            while enfant.vit and sum(s.donnees for s in bourse.sessions_ouvertes) < messages * palier // PALIERS:
                time.sleep(0.01)
            bourse.horloge.regler(0.0)
            enfant.attendre_le_repos()
        bourse.horloge.regler(600.0)
        resultat = enfant.finir()
        relectures = sum("klines" in requete.chemin for requete in bourse.requetes)
        lus = lire_par_symbole(sortie, "timestamp")
        manquants = doubles = 0
        for symbole in symboles:
            instants = lus[symbole] or [0]
            attendues = bourse.attendu("binance", symbole, "1m", instants[0], instants[-1] + MINUTE)
            manque, trop = ecart(lus[symbole], [ligne[0] for ligne in attendues])
            manquants, doubles = manquants + manque + (not lus[symbole]), doubles + trop
    lignes = sum(map(len, lus.values()))
    yield from _dire_charge(
        f"{len(symboles)} symboles × bougies, {connexions} connexions, {lignes} bougies closes", resultat,
        (manquants, doubles), messages,
    )  # fmt: skip
    recus = resultat["recus"]
    yield Mesure("… CPU par trame", f"{1e6 * resultat['cpu'] / recus:.0f} µs", "≤ 120 µs")
    yield Mesure("… trames par requête REST, les premières lectures comprises", f"{recus / relectures:.0f}", "—")
    yield Mesure("… CPU par trame d'une boucle `watch_ohlcv_for_symbols` nue", f"{nu_us:.0f} µs", "—")


def mesurer_allure(reglages: Reglages) -> Iterator[Mesure]:
    """Des bougies de trente trames, comme celles de binance, et un processus à l'heure de l'exchange."""
    messages, nombre = reglages.choisir(80_000, 20_000), 200
    nu_us = _bougies_nues(messages // 2, nombre, ALLURE, (BAVARD,))
    with arretee(nombre_marches=260, acceleration=ALLURE).en_fil() as bourse:
        bourse.pannes.ajouter(BAVARD)
        options = {
            "symbols": comptants(bourse, nombre), "stream": "ohlcv", "sortie": str(reglages.dossier / "allure.parquet"),
            "config_ccxt": config_de(bourse),
        }  # fmt: skip
        depart = bourse.horloge.maintenant_ms()
        # Une trame redite n'apprend rien : il ne compte que les premières.
        attendus = messages // TRAMES_PAR_TRADE
        enfant = Enfant("suivi", attendus=attendus, depart=depart, acceleration=ALLURE, options=options)
        attendre_abonnes(bourse, nombre)
        avant = sum(session.donnees for session in bourse.connexions)
        enfant.partir()
        resultat = enfant.finir()
        trames = sum(session.donnees for session in bourse.connexions) - avant
        relectures = sum("klines" in requete.chemin for requete in bourse.requetes)
    yield Mesure(
        f"{nombre} symboles × bougies de trente trames, l'horloge vingt fois trop vite : CPU par trame ({trames})",
        f"{1e6 * resultat['cpu'] / trames:.0f} µs ({nu_us:.0f} µs pour la boucle nue ; "
        f"{trames / relectures:.0f} trames par requête REST)",
        "≤ 120 µs",
        perte=resultat["recus"] < attendus,
    )


def _mesurer_trades(reglages: Reglages, messages: int, nombre: int) -> Iterator[Mesure]:
    sortie = reglages.dossier / "trades.parquet"
    with arretee(nombre_marches=80).en_fil() as bourse:
        symboles = comptants(bourse, nombre)
        fin = DEPART + messages // nombre * MINUTE * 8 // 42  # 42 trades toutes les 8 minutes
        emis = {symbole: ids_emis(bourse, symbole, DEPART, fin) for symbole in symboles}
        attendus = sum(map(len, emis.values()))
        options = {"symbols": symboles, "stream": "trades", "sortie": str(sortie), "config_ccxt": config_de(bourse)}
        enfant = Enfant("suivi", attendus=attendus, depart=DEPART, options=options)
        attendre_abonnes(bourse, nombre)
        connexions = len(bourse.sessions_ouvertes)
        enfant.partir()
        for palier in range(PALIERS):
            bourse.avancer((fin - DEPART) * (palier + 1) // PALIERS - (fin - DEPART) * palier // PALIERS)
            enfant.attendre_le_repos()
        resultat = enfant.finir()
    lus = lire_par_symbole(sortie, "id")
    manques, trop = zip(*(ecart(lus[symbole], emis[symbole]) for symbole in symboles), strict=True)
    yield from _dire_charge(
        f"{nombre} symboles × trades, {connexions} connexion", resultat, (sum(manques), sum(trop)), attendus
    )


def _dire_charge(quoi: str, resultat: dict[str, Any], ecarts: tuple[int, int], messages: int) -> Iterator[Mesure]:
    # En plein travail, une fonte du fichier prend puis rend cent Mo : seul le repos, entre deux paliers, dit ce qui
    # reste.
    paliers = [list(palier) for _, palier in itertools.groupby(resultat["releves"], key=lambda releve: releve[0])]
    repos = [palier[-1] for palier in paliers if len(palier) >= RELEVES_AU_REPOS]
    bas = repos[2 * len(repos) // 5 :]
    pentes = [(mo - avant) / (n - deja) for (deja, avant), (n, mo) in itertools.combinations(bas, 2)]
    # D'une machine trop chargée, le repos ne vient pas : la pente n'est pas connue, le reste l'est.
    pente = f"{statistics.median(pentes) * 1e6:+.1f} Mo par million" if pentes else "pas assez de relevés pour la dire"
    pic = max(mo for _, mo in resultat["releves"])
    cpu = 1e6 * resultat["cpu"] / resultat["recus"]
    perte = any(ecarts) or resultat["recus"] < messages
    yield Mesure(f"{quoi} : perdus, doublés", "{}, {}".format(*ecarts), "0, 0", perte)
    yield Mesure(
        f"… pente de la mémoire au repos, {len(bas)} relevés passé 40 % de {resultat['recus']} trames",
        f"{pente} ({' à '.join(f'{mo:.0f}' for _, mo in (bas[:1] + bas[-1:]))} Mo, pic {pic:.0f} ; "
        f"{cpu:.0f} µs de CPU par trame)",
        "plate : ≤ 10 Mo",
    )


# --- Latence


def mesurer_latence(reglages: Reglages) -> Iterator[Mesure]:
    """Une minute de trades à la fois ; la première trame de chaque minute clôt la bougie d'avant."""
    for format_, extension in (("csv", ".csv"), ("sqlite", ".sqlite")):
        sortie = reglages.dossier / f"latence{extension}"
        with arretee().en_fil() as bourse:
            options = {
                "symbole": SYMBOLE, "stream": "trades", "trades_vers_ohlcv": True, "flush": 1, "sortie": str(sortie),
                "config_ccxt": config_de(bourse),
            }  # fmt: skip
            enfant = Enfant("latence", format=format_, depart=DEPART, options=options)
            attendre_abonnes(bourse, 1)
            enfant.partir()
            bourse.avancer(-bourse.horloge.maintenant_ms() % MINUTE)  # puis chaque avance clôt une bougie
            vues = [_avancer_et_voir(bourse, sortie, enfant) for _ in range(reglages.choisir(150, 40))]
            enfant.partir()
            durees = sorted(1000 * duree for duree in enfant.finir()["durees"])
        dehors = sorted(1000 * vue for vue in vues if vue is not None)
        yield Mesure(
            f"de la trame du trade de clôture à la ligne dans le fichier, {format_} ({len(durees)} bougies)",
            f"médiane {statistics.median(durees):.1f} ms, 95 % sous {durees[len(durees) * 95 // 100]:.1f} ms",
            "médiane < 5 ms",
            perte=len(durees) < len(vues) - 5,
        )
        yield Mesure(
            "… vue d'un autre processus, émission par l'exchange comprise",
            f"médiane {statistics.median(dehors):.1f} ms",
            "—",
        )


def _avancer_et_voir(bourse: Bourse, sortie: Path, enfant: Enfant) -> float | None:
    """Avance d'une minute ; rend le temps qu'il faut pour que le fichier change, vu d'ici."""
    if not enfant.vit:
        enfant.finir()  # dit de quoi il est mort, et arrête tout
    time.sleep(ENTRE_BOUGIES_S)
    avant, depart = _etat(sortie), time.perf_counter()
    bourse.avancer(MINUTE)
    while time.perf_counter() - depart < 1.0:
        if _etat(sortie) != avant:
            return time.perf_counter() - depart
        time.sleep(0.0002)
    return None


def _etat(sortie: Path) -> int:
    """La taille d'un CSV, la dernière bougie d'une base."""
    if not sortie.exists():
        return 0
    if sortie.suffix == ".csv":
        return sortie.stat().st_size
    try:
        with sqlite3.connect(f"file:{sortie}?mode=ro", uri=True) as base:
            return int(base.execute("SELECT max(timestamp) FROM ohlcv").fetchone()[0] or 0)
    except sqlite3.Error:
        return 0


# --- Endurance

EN_REST: dict[str, dict[str, Any]] = {
    "REST 429": {"nature": "429", "retry_after": 1},
    "REST 502": {"nature": "http", "code": 502},
    "REST coupé": {"nature": "coupure"},
    "REST tronqué": {"nature": "tronque"},
    "REST page plafonnée": {"nature": "plafond", "n": 5},
}


def _couper(maniere: str) -> Callable[[Bourse, random.Random], object]:
    return lambda bourse, _alea: bourse.couper("binance", maniere)


def _panne(nature: str, **reglages: Any) -> Callable[[Bourse, random.Random], object]:
    """Une panne de message ou de connexion, un petit nombre de fois."""

    def agir(bourse: Bourse, alea: random.Random) -> None:
        bourse.pannes.ajouter(Panne(nature, **{"fois": alea.randint(1, 3), **reglages}))

    return agir


def _puis_couper(nature: str, **reglages: Any) -> Callable[[Bourse, random.Random], object]:
    """Une panne qui ne se voit qu'à la reconnexion."""

    def agir(bourse: Bourse, alea: random.Random) -> None:
        _panne(nature, **reglages)(bourse, alea)
        bourse.couper("binance", alea.choice(("reset", "propre")))

    return agir


def _symbole_muet(bourse: Bourse, alea: random.Random) -> None:
    bourse.pannes.ajouter(Panne("ws_silence_symbole", fois=1, symbole=alea.choice(comptants(bourse, 16))))


# « ws_somme » et « ws_croise » ne touchent que les carnets. Une page REST trouée en son milieu n'est pas là :
# l'exchange affirme qu'il n'y eut rien, il est cru.
INCIDENTS: dict[str, Callable[[Bourse, random.Random], object]] = {
    "ws_reset": _couper("reset"),
    "ws_fermeture (adieu)": _couper("propre"),
    "ws_fermeture 1006": _panne("ws_fermeture", fois=1, code=1006),
    "ws_silence": _couper("silence"),
    "ws_silence_symbole": _symbole_muet,
    "ws_lent": _panne("ws_lent", fois=1, delai_s=0.002),
    "ws_rafale": _panne("ws_rafale", fois=1, symbole=SYMBOLE, nombre=500),
    "ws_refus": _puis_couper("ws_refus", code=503),
    "ws_refus (RST)": _puis_couper("ws_refus", code=0),
    "ws_abonnement_refuse": _puis_couper("ws_abonnement_refuse", fois=1),
    "ws_groupe_refuse": _puis_couper("ws_groupe_refuse", fois=1),
    "ws_trame_abimee": _panne("ws_trame_abimee", fois=1),
    "ws_perdu": _panne("ws_perdu", fois=200, probabilite=0.5),
    "ws_double": _panne("ws_double", fois=200),
    "ws_retard": _panne("ws_retard", fois=50, delai_ms=90_000),
    "ws_desordre": _panne("ws_desordre", fois=50, k=3),
    **{nom: _puis_couper(chemin="klines", **reglages) for nom, reglages in EN_REST.items()},
}


def mesurer_endurance(reglages: Reglages) -> Iterator[Mesure]:
    """Des pannes au hasard pendant que l'horloge court ; puis tout est comparé à l'oracle."""
    acceleration, jours, nombre = 6000.0, reglages.choisir(7, 1), reglages.choisir(100, 16)
    alea, sortie = random.Random(reglages.graine), reglages.dossier / "endurance.parquet"
    duree = jours * JOUR / 1000 / acceleration
    tours = [alea.sample(list(INCIDENTS), len(INCIDENTS)) for _ in range(nombre // len(INCIDENTS) + 1)]
    tirage = [nom for tour in tours for nom in tour][:nombre]
    marche = Marche(reglages.graine, taux_vide=0.02)
    bourse = Bourse(("binance",), marche, limites=False, maintenant_ms=DEPART, acceleration=acceleration,
                    nombre_marches=40)  # fmt: skip
    with bourse.en_fil():
        symboles = comptants(bourse, 20)
        processus = subprocess.Popen(
            [sys.executable, str(MODULE), "--exchange", "binance", "--config-ccxt", json.dumps(config_de(bourse)),
             "--symbols", ",".join(symboles), "--stream", "ohlcv", "--silence", "1", "--duree", f"{duree + 8:.1f}",
             "--sortie", str(sortie), "--bilan", str(sortie.with_suffix(".json"))],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        attendre_abonnes(bourse, len(symboles))
        depart = time.monotonic()
        for rang, nom in enumerate(tirage):
            attendre_la_vie(bourse, processus)
            INCIDENTS[nom](bourse, alea)
            prochain = depart + (rang + 0.5 + alea.random()) * duree / nombre
            time.sleep(max(0.05, prochain - time.monotonic()))
        journal = processus.communicate()[1]
        etats = {nom: sum(p.touchees for p in bourse.pannes if p.nature == nom) for nom in
                 sorted({p.nature for p in bourse.pannes})}  # fmt: skip
        yield from _juger_endurance(bourse, sortie, symboles, jours)
    erreurs = [ligne for ligne in journal.splitlines() if re.search("Traceback|Error|ERREUR", ligne)]
    coupures = sum(session.fin is not None for session in bourse.connexions)
    yield Mesure(
        f"… {nombre} pannes au hasard (graine {reglages.graine}), code {processus.returncode}",
        f"{coupures} connexions perdues ; frappes : " + ", ".join(f"{nom} {n}" for nom, n in etats.items()),
        "code 0",
        perte=processus.returncode != 0,
    )
    if processus.returncode or erreurs:
        print(journal, file=sys.stderr)


def attendre_la_vie(bourse: Bourse, processus: subprocess.Popen[str]) -> None:
    """Attend que des données coulent : une panne pendant une panne n'en ferait qu'une."""
    coulait = sum(session.donnees for session in bourse.sessions_ouvertes)
    while processus.poll() is None and sum(session.donnees for session in bourse.sessions_ouvertes) <= coulait:
        time.sleep(0.02)


def _juger_endurance(bourse: Bourse, sortie: Path, symboles: list[str], jours: int) -> Iterator[Mesure]:
    import module_ccxt_fr_v2 as collecte

    table = collecte.lire(sortie).to_pylist()
    par_symbole: dict[str, list[tuple[Any, ...]]] = collections.defaultdict(list)
    for ligne in table:
        instant = round(ligne["timestamp"].timestamp() * 1000)
        par_symbole[ligne["symbole"]].append((instant, *(ligne[nom] for nom in collecte.VALEURS_OHLCV)))
    trous = [t for f in collecte.lire_fiches(sortie) for t in f.trous if t.raison != collecte.SANS_TRANSACTION]
    manquants = doubles = faux = 0
    for symbole in symboles:
        lues = par_symbole[symbole]
        debut, fin = lues[0][0], lues[-1][0] + MINUTE
        attendues = bourse.attendu("binance", symbole, "1m", debut, max(fin, DEPART + jours * JOUR))
        manque, trop = ecart([ligne[0] for ligne in lues], [ligne[0] for ligne in attendues])
        oracle = {ligne[0]: ligne for ligne in attendues}
        faux += sum(oracle.get(ligne[0], ligne) != ligne for ligne in lues)
        manquants, doubles = manquants + manque, doubles + trop
    yield Mesure(
        f"{jours} jours de 1m, {len(symboles)} symboles, {len(table)} bougies : manquantes, doublées, fausses, trous",
        f"{manquants}, {doubles}, {faux}, {len(trous)}",
        "0, 0, 0, 0",
        perte=bool(manquants or doubles or faux or trous),
    )


# --- Écriture


def mesurer_ecriture(reglages: Reglages) -> Iterator[Mesure]:
    """Ce qu'un flux coûte au disque, et un petit lot au processeur."""
    lignes, rapports = 50, []
    for lots in reglages.choisir(4_320, 750), reglages.choisir(17_280, 3_000):
        sortie = reglages.dossier / f"long{lots}.parquet"
        long = Enfant("amplification", sortie=str(sortie), lots=lots, lignes=lignes).finir()
        taille = sortie.stat().st_size
        rapports.append(long["ecrits"] / taille)
        yield Mesure(
            f"flux Parquet de {lots * 5 / 3600:.0f} h, un lot de {lignes} trades toutes les 5 s : octets écrits sur "
            "taille finale",
            f"{rapports[-1]:.1f} × ({long['ecrits'] / 1e6:.0f} Mo pour {taille / 1e6:.1f} Mo ; "
            f"{1e6 * long['cpu'] / lots / lignes:.1f} µs de CPU par ligne)",
            "≤ 25 ×, quelle que soit la durée",
            perte=long["lignes"] != lots * lignes,
        )
    for format_ in ("csv", "parquet", "feather", "sqlite"):
        couts = []
        for taille_lot in (1, 20):
            chemin = reglages.dossier / f"petits{taille_lot}.{format_}"
            nombre = reglages.choisir(1_000, 200)
            lu = Enfant("petits_lots", sortie=str(chemin), format=format_, lots=nombre, lignes=taille_lot).finir()
            couts.append((1000 * lu["cpu"] / nombre, lu["lignes"] != nombre * taille_lot))
        yield Mesure(
            f"`ecrire` d'un lot de 1 ligne, de 20 lignes, {format_}",
            ", ".join(f"{cout:.2f} ms" for cout, _ in couts),
            "—",
            perte=any(perte for _, perte in couts),
        )


MESURES: dict[str, Callable[[Reglages], Iterator[Mesure]]] = {
    "cpu": mesurer_cpu,
    "charge": mesurer_charge,
    "allure": mesurer_allure,
    "latence": mesurer_latence,
    "endurance": mesurer_endurance,
    "ecriture": mesurer_ecriture,
}


def principal() -> int:
    """Mesure, affiche, et publie si tout est mesuré en entier ; 1 si une donnée a manqué."""
    analyseur = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    analyseur.add_argument("mesures", nargs="*", metavar="MESURE", help=f"parmi {', '.join(MESURES)} (toutes)")
    analyseur.add_argument("--court", action="store_true", help="des mesures plus courtes, non publiées")
    analyseur.add_argument("--graine", type=int, default=1, help="celle des pannes")
    lus = analyseur.parse_args()
    if inconnues := set(lus.mesures) - set(MESURES):
        analyseur.error(f"mesure inconnue : {', '.join(sorted(inconnues))} (choix : {', '.join(MESURES)})")
    resultats: list[Mesure] = []
    with tempfile.TemporaryDirectory() as dossier:
        for nom in lus.mesures or MESURES:
            for mesure in MESURES[nom](Reglages(lus.court, lus.graine, Path(dossier))):
                print(f"{nom} : {mesure.quoi} : {mesure.obtenu} (visé : {mesure.vise})", flush=True)
                resultats.append(mesure)
    print(f"\n{tableau(resultats)}")
    if not lus.court and not lus.mesures:
        publier(Path(__file__).name, f"{PREAMBULE}\n\n{tableau(resultats)}")
    return int(any(mesure.perte for mesure in resultats))


if __name__ == "__main__":
    sys.exit(principal())
