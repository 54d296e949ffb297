"""N'importe quel exchange ccxt : sept classes que l'exchange embarqué n'imite pas, face à leur vrai protocole.

La ligne de commande écrit exactement l'oracle, moins ce que l'exchange ne sert pas et qu'elle dit ; la relance ne coûte
presque rien. Et une table de tous les identifiants de ccxt.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
from typing import TYPE_CHECKING, Any, NamedTuple

import ccxt.async_support as ccxt
import pytest
from bourses_tierces import SIMULATEURS, Simulateur, maintenant_ms
from collecte_tierce import dedans, lancer
from marche_simule import avec_bougies, classe_neuve
from temps_simule import HEURE_DES_ESSAIS as MAINTENANT
from temps_simule import temps_simule

import module_ccxt_fr_v2 as module
from bourse_locale.marche import Instrument, Marche

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from collecte_tierce import Releve

HEURE, JOUR = 3_600_000, 86_400_000
pytestmark = pytest.mark.usefixtures("a_l_heure_dite")
PANNE = (MAINTENANT - 3 * JOUR, MAINTENANT - 3 * JOUR + 2 * HEURE)
POINTS_SERVIS = {"gate": 10_000, "gate_swap": 10_000, "hyperliquid": 5_000}  # les autres servent tout
SANS_SEMAINES = ("coinbaseexchange", "coinbase")
LIMITES = {"coinbaseexchange": 300, "coinbase": 300, "bitget": 200}  # les autres font au moins mille bougies par page


class Cas(NamedTuple):
    """Une demande : timeframe, bornes et cotation en jours avant maintenant, part des minutes sans trade."""

    timeframe: str
    debut_j: float
    fin_j: float | None
    cotation_j: float = 100
    vide: float = 0.1


GENRES = {
    **dict.fromkeys(("minutes_et_panne", "minutes_jusqu_ici"), "des minutes"),
    **dict.fromkeys(("heures", "jours_jusqu_ici"), "de grandes bougies"),
    **dict.fromkeys(("minutes_autour_de_la_cotation", "marche_plus_jeune_que_la_fenetre"), "une cotation"),
    **dict.fromkeys(("longtemps_avant_la_cotation", "tres_ancien"), "loin de maintenant"),
    **dict.fromkeys(("rare", "rare_et_ancien"), "un marché rare"),
}
CAS = {
    "minutes_et_panne": Cas("1m", 3.1, 2.6),
    "heures": Cas("1h", 40, 1),
    "jours_jusqu_ici": Cas("1d", 60, None),
    "minutes_jusqu_ici": Cas("5m", 0.3, None),
    "semaines_autour_de_la_cotation": Cas("1w", 200, 20),
    "minutes_autour_de_la_cotation": Cas("1m", 6, 4, cotation_j=5),
    "marche_plus_jeune_que_la_fenetre": Cas("1m", 4.5, 3, cotation_j=4),
    "longtemps_avant_la_cotation": Cas("1m", 100, 96, cotation_j=2),
    "tres_ancien": Cas("15m", 150, 95, cotation_j=160),
    "rare": Cas("1m", 3.3, 1, cotation_j=30, vide=0.995),
    "rare_et_ancien": Cas("1m", 9, 5, cotation_j=30, vide=0.995),
}


@functools.cache
def marche(vide: float) -> Marche:
    """Le marché simulé, une fois par rareté."""
    return Marche(graine=7, instruments={}, pannes=[PANNE], taux_vide=vide)


@contextlib.contextmanager
def servir(nom: str, cotation_j: float = 100, vide: float = 0.1) -> Iterator[Simulateur]:
    """L'exchange, servi en boucle locale."""
    cotation = int(MAINTENANT - cotation_j * JOUR) // 60_000 * 60_000
    instrument = Instrument("AAA", "USD", cotation_ms=cotation, decimales_quantite=3)
    with SIMULATEURS[nom](marche(vide), instrument).en_fil() as simulateur:
        yield simulateur


def options_de(cas: Cas) -> list[str]:
    """Les options d'un cas."""
    fin = [] if cas.fin_j is None else ["--date-fin", str(int(MAINTENANT - cas.fin_j * JOUR))]
    return ["--timeframe", cas.timeframe, "--date-debut", str(int(MAINTENANT - cas.debut_j * JOUR)), *fin]


@pytest.mark.couvrant(cas=lambda cas: GENRES.get(cas, cas))
@pytest.mark.parametrize("cas", CAS)
@pytest.mark.parametrize("nom", SIMULATEURS)
def test_le_fichier_est_l_oracle_moins_ce_que_l_exchange_ne_sert_pas(nom: str, cas: str, tmp_path: Path) -> None:
    """Lignes, code de sortie, raisons des trous, nombre de requêtes ; puis la relance, qui ne change rien."""
    choix = CAS[cas]
    if nom in SANS_SEMAINES and choix.timeframe == "1w":
        pytest.skip("coinbase ne sert pas de semaines")
    with servir(nom, choix.cotation_j, choix.vide) as simulateur:
        releve = lancer(simulateur, tmp_path, *options_de(choix))
        verifier(releve, simulateur, nom, choix)
        points = sum(1 for _ in range(*releve.demande, module.Timeframe.lire(choix.timeframe).pas_ms))
        assert releve.pages <= 60 + 4 * points / LIMITES.get(nom, 1000)
        assert len(simulateur.vues) - releve.pages <= 8
        relance = lancer(simulateur, tmp_path, *options_de(choix))
        assert relance.code == releve.code
        if choix.fin_j is not None:
            assert relance.octets == releve.octets
        # Une queue sans transaction, relue, demande à être prouvée à nouveau.
        # Le bord de ce que l'exchange ne servait pas est redemandé, une page : il était peut-être en panne.
        assert relance.pages <= (12 if choix.vide > 0.9 else 3) + bool(releve.trous("hors_fenetre_api"))


def verifier(releve: Releve, simulateur: Simulateur, nom: str, cas: Cas) -> None:
    """Ce qui est écrit et ce qui est dit sont vrais."""
    pas = module.Timeframe.lire(cas.timeframe).pas_ms
    attendues = simulateur.attendu(cas.timeframe, *releve.demande)
    hors, avant = releve.trous("hors_fenetre_api"), releve.trous("avant_cotation")
    assert releve.serie["message"] == "" or hors
    assert releve.lignes == [b for b in attendues if not dedans(b[0], hors)]
    assert releve.trous("echec") == []
    assert releve.code == (3 if hors else 0)
    # Rien de ce qui est servi ne manque ; rien n'est dit hors fenêtre tout entier avant la cotation.
    servi = maintenant_ms() - (POINTS_SERVIS[nom] - 3) * pas if nom in POINTS_SERVIS else 0
    assert not [b for b in attendues if b[0] >= servi and dedans(b[0], hors)]
    assert hors == [] or nom in POINTS_SERVIS
    assert all(fin > simulateur.instrument.cotation_ms for _, fin in hors)
    assert all(debut < simulateur.instrument.cotation_ms for debut, _ in avant)
    assert all(fin > simulateur.instrument.cotation_ms for _, fin in releve.trous("sans_transaction"))


@pytest.mark.parametrize("nom", ["bitfinex", "kucoin"])
def test_la_fiche_perdue_d_un_marche_rare_se_relit_par_pages(
    nom: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ses centaines de minutes sans transaction ne se redemandent pas une à une, et redeviennent des faits."""
    cas = Cas("1m", 2.5, 2, vide=0.6)
    with servir(nom, vide=cas.vide) as simulateur:
        releve = lancer(simulateur, tmp_path, *options_de(cas))
        assert len(releve.trous("sans_transaction")) > 100
        (tmp_path / "bougies.csv.fiche.json").unlink()
        relance = lancer(simulateur, tmp_path, *options_de(cas))
        assert (relance.code, relance.octets) == (0, releve.octets)
        assert relance.trous("sans_transaction") == releve.trous("sans_transaction")
        assert relance.pages <= releve.pages + 6
        # Muet à ce moment-là : ce qui suit une ligne écrite n'est pas hors de ce qu'il sert, et se redemande.
        (tmp_path / "bougies.csv.fiche.json").unlink()
        with monkeypatch.context() as muet:
            muet.setattr(simulateur, "bougies", lambda *_: [])
            muette = lancer(simulateur, tmp_path, *options_de(cas))
        assert (muette.code, muette.octets) == (3, releve.octets)
        assert not [t for t in muette.trous("hors_fenetre_api") if t[0] > releve.lignes[0][0]]
        guerie = lancer(simulateur, tmp_path, *options_de(cas))
    assert (guerie.code, guerie.octets) == (0, releve.octets)
    assert guerie.trous("sans_transaction") == releve.trous("sans_transaction")


@pytest.mark.parametrize("nom", ["bitfinex", "coinbaseexchange", "kucoin"])
def test_une_cotation_qu_une_panne_cachait_se_prouve_a_la_relance(
    nom: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Les timeframes longs muets un jour, la tête est `hors_fenetre_api` ; revenus, elle est `avant_cotation`."""
    cas = CAS["minutes_autour_de_la_cotation"]
    options = options_de(cas)
    with servir(nom, cas.cotation_j) as simulateur:
        repondre = simulateur.bougies
        monkeypatch.setattr(
            simulateur, "bougies", lambda code, debut, fin: repondre(code, debut, fin) if code == "1m" else []
        )
        cachee = lancer(simulateur, tmp_path, *options)
        assert (cachee.code, len(cachee.trous("hors_fenetre_api")), cachee.trous("avant_cotation")) == (3, 1, [])
        monkeypatch.undo()
        vue = lancer(simulateur, tmp_path, *options)
        verifier(vue, simulateur, nom, cas)
        assert (vue.code, vue.lignes, len(vue.trous("avant_cotation"))) == (0, cachee.lignes, 1)
        relance = lancer(simulateur, tmp_path, *options)
        assert (relance.code, relance.octets, relance.pages <= 3) == (0, vue.octets, True)


@pytest.mark.parametrize("nom", ["bitfinex", "bitget", "htx", "kucoin"])
def test_une_plage_d_avant_la_cotation_inscrite_un_jour_de_panne_se_prouve_a_la_relance(
    nom: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tout muet, rien ne dit que le marché n'existait pas ; revenu, il le dit, et plus rien n'est demandé ensuite."""
    cas = CAS["minutes_autour_de_la_cotation"]
    with servir(nom, cas.cotation_j) as simulateur:
        cotation = simulateur.instrument.cotation_ms
        debut, fin = (module.en_iso(cotation - heures * 3_600_000) for heures in (50, 40))
        options = ["--timeframe", "1m", "--date-debut", debut, "--date-fin", fin]
        monkeypatch.setattr(simulateur, "bougies", lambda _code, _debut, _fin: [])
        muette = lancer(simulateur, tmp_path, *options)
        assert (muette.code, len(muette.trous("hors_fenetre_api"))) == (3, 1)
        monkeypatch.undo()
        vue = lancer(simulateur, tmp_path, *options)
        assert (vue.code, vue.lignes, len(vue.trous("avant_cotation"))) == (0, [], 1)
        relance = lancer(simulateur, tmp_path, *options)
        assert (relance.code, relance.octets, relance.pages <= 1) == (0, vue.octets, True)


@pytest.mark.parametrize("nom", ["gate", "gate_swap"])
def test_un_fichier_plus_vieux_que_la_fenetre_se_relance(nom: str, tmp_path: Path) -> None:
    """Vingt jours après : ce que gate sert encore est écrit, le reste est `hors_fenetre_api`, code 3 ; et pareil après.

    D'une demande finie, les dernières bougies, relues, ne sont plus servies : ce qui est écrit reste prouvé, code 0.
    """
    autrefois = MAINTENANT - 20 * JOUR
    options, finie = options_de(Cas("1m", 20.1, None)), ["--date-debut", str(autrefois - 2 * HEURE)]
    finie += ["--date-fin", str(autrefois - HEURE), "--timeframe", "1m"]
    (tmp_path / "finie").mkdir()
    with temps_simule(autrefois), servir(nom) as simulateur:
        vieux, vieux_fini = lancer(simulateur, tmp_path, *options), lancer(simulateur, tmp_path / "finie", *finie)
    assert (vieux.code, vieux_fini.code, len(vieux.lignes) > 100, len(vieux_fini.lignes) > 50) == (0, 0, True, True)
    with temps_simule(MAINTENANT), servir(nom) as simulateur:
        releve = lancer(simulateur, tmp_path, *options)
        [(debut, fin)] = hors = releve.trous("hors_fenetre_api")
        assert abs(fin - (maintenant_ms() - POINTS_SERVIS[nom] * 60_000)) <= 3 * 60_000
        assert vieux.demande[1] - 3 * 60_000 <= debut <= vieux.demande[1]
        attendues = simulateur.attendu("1m", *releve.demande)
        assert releve.lignes == [b for b in attendues if not dedans(b[0], hors)]
        assert releve.lignes[: len(vieux.lignes)] == vieux.lignes
        assert (releve.code, releve.trous("echec")) == (3, [])
        encore = lancer(simulateur, tmp_path, *options)
        assert (encore.code, encore.trous("hors_fenetre_api"), encore.pages <= 10) == (3, hors, True)
        fini = lancer(simulateur, tmp_path / "finie", *finie)
        assert (fini.code, fini.octets, fini.pages <= 10) == (0, vieux_fini.octets, True)


@pytest.mark.parametrize("nom", SIMULATEURS)
def test_la_bougie_courante_n_est_gardee_que_si_on_la_demande(nom: str, tmp_path: Path) -> None:
    """Deux heures de minutes jusqu'à maintenant : les closes égalent l'oracle, la courante n'est jamais dépassée."""
    debut = str((MAINTENANT - 2 * HEURE) // 60_000 * 60_000)
    with servir(nom) as simulateur:
        sans = lancer(simulateur, tmp_path, "--date-debut", debut)
        close = maintenant_ms() // 60_000 * 60_000
        assert sans.lignes == simulateur.attendu("1m", int(debut), sans.demande[1])
        assert sans.demande[1] <= close
        avec = lancer(simulateur, tmp_path, "--date-debut", debut, "--inclure-bougie-courante")
        assert avec.demande[1] > sans.demande[1]
        closes = [b for b in avec.lignes if b[0] < sans.demande[1]]
        assert closes == sans.lignes
        encore = lancer(simulateur, tmp_path, "--date-debut", debut)
        encore_closes = [b for b in encore.lignes if b[0] < encore.demande[1]]
        assert encore_closes == simulateur.attendu("1m", int(debut), encore.demande[1])


@pytest.mark.parametrize(
    ("nom", "pannes"),
    [
        ("gate", ["429", "page_vide"]),
        ("gate_swap", ["html"]),
        ("kucoin", ["coupe", "page_vide"]),
        ("bitget", ["tronque"]),
        ("coinbaseexchange", ["html", "coupe"]),
        ("hyperliquid", ["429", "tronque"]),
        ("htx", ["page_vide", "html"]),
        ("htx_swap", ["coupe"]),
        ("bitfinex", ["tronque", "html"]),
    ],
)
def test_une_panne_passagere_ne_coute_que_du_temps(nom: str, pannes: list[str], tmp_path: Path) -> None:
    """Refus de débit, page HTML, JSON coupé, corps tronqué, page vide : l'oracle, code 0."""
    cas = Cas("1m", 2.0, 1.9)
    with servir(nom) as simulateur:
        simulateur.pannes.extend(pannes)
        releve = lancer(simulateur, tmp_path, *options_de(cas))
        assert len(simulateur.pannes) == 0
        verifier(releve, simulateur, nom, cas)
        if pannes[0] == "429":
            premiere, deuxieme = simulateur.pages[:2]
            assert deuxieme.instant_s - premiere.instant_s >= 1.0


@pytest.mark.parametrize("nom", ["coinbaseexchange", "hyperliquid"])
def test_la_pause_de_la_classe_ccxt_est_tenue(nom: str, tmp_path: Path) -> None:
    """Huit pages de front ne partent pas plus vite que `rateLimit` : 100 ms chez l'un, 50 ms chez l'autre."""
    pause_s = classe_neuve(SIMULATEURS[nom].nom).rateLimit / 1000
    with servir(nom) as simulateur:
        releve = lancer(simulateur, tmp_path, *options_de(Cas("1m", 2.0, 1.6)), "--limite", "60", rapide=False)
        instants = [vue.instant_s for vue in simulateur.pages]
        assert releve.code == 0
        assert len(instants) >= 9
        assert instants[-1] - instants[0] >= 0.9 * pause_s * (len(instants) - 2)


def test_un_contrat_d_un_type_a_part_est_trouve() -> None:
    """Hyperliquid range les contrats de ses tiers sous « hip3 », que la liste utile aux swaps n'a pas."""

    async def resoudre(config: dict[str, Any]) -> str:
        reglages = module.Reglages("hyperliquid", type_marche="swap", config_ccxt={**config, "rateLimit": 1})
        async with module.Connexion(reglages) as connexion:
            await connexion.charger_marches(["XYZ-BBB/USDC:USDC"])
            return str(connexion.marches.resoudre("XYZ-BBB/USDC:USDC")["baseName"])

    with servir("hyperliquid") as simulateur:
        assert asyncio.run(resoudre(simulateur.config)) == "xyz:BBB"


def test_une_classe_derivee_a_les_particularites_de_sa_mere() -> None:
    """Un exchange qui n'est que l'autre nom d'un autre (okxus, gateeu) en a les mêmes traits."""
    for derivee, mere in (("okxus", "okx"), ("myokx", "okx"), ("gateeu", "gate"), ("binanceusdm", "binance")):
        assert module.Connexion(module.Reglages(derivee)).particularite == module.PARTICULARITES[mere]
    assert module.Connexion(module.Reglages("gemini")).particularite == module.Particularite()


# --- Tous les identifiants de ccxt ---

AVEC_BOUGIES = avec_bougies()
MARCHES: tuple[dict[str, Any], ...] = (
    {"type": "spot", "spot": True},
    {"type": "swap", "contract": True, "subType": "linear"},
    {"type": "swap", "contract": True, "subType": "inverse"},
    {"type": "future", "contract": True, "subType": "linear"},
)


@pytest.mark.parametrize("nom", AVEC_BOUGIES)
def test_tout_exchange_qui_a_des_bougies_est_utilisable(nom: str) -> None:
    """Construit, timeframe et prix contrôlés, page connue pour chaque genre de marché, `until` su, sans une requête."""
    connexion = module.Connexion(module.Reglages(nom))
    offerts = list(connexion.api.timeframes or {"1m": "1m"})
    module.lever_le_premier(connexion.refus_des_bougies("1m" if "1m" in offerts else offerts[0], "last"))
    for genre in MARCHES:
        assert 2 <= connexion.limite_maximale(genre, "last") <= 50_000  # revolutx
    assert issubclass(module._classe(nom), ccxt.Exchange)
    assert connexion.requetes == 0
