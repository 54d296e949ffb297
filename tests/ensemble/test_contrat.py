"""Le contrat, phrase par phrase, vu du dehors : la ligne de commande chez des exchanges que rien ici n'imite ailleurs.

Le nom d'un test dit la section du contrat. Les promesses qui ont leur test ailleurs ne sont pas redites ici.
"""

from __future__ import annotations

import contextlib
import itertools
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from bourses_tierces import RefusError
from bourses_tierces_table import PROTOCOLES, Tierce
from collecte_tierce import lancer
from ligne_de_commande import commande
from temps_simule import HEURE_DES_ESSAIS, temps_simule

import module_ccxt_fr_v2 as module
from bourse_locale import Bourse
from bourse_locale.marche import Instrument, Marche, instant_ms

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bourse_locale.marche import Bougie, Pas

MINUTE, JOUR = 60_000, 86_400_000
MAINTENANT = HEURE_DES_ESSAIS // MINUTE * MINUTE
pytestmark = pytest.mark.usefixtures("a_l_heure_dite")


@contextlib.contextmanager
def servir(nom: str, *, cote_depuis: int = 30 * JOUR, vide: float = 0.0, **reglages: object) -> Iterator[Tierce]:
    """Un exchange de la table, son marché coté depuis tant de ms."""
    instrument = Instrument("AAA", "BBB", cotation_ms=MAINTENANT - cote_depuis, decimales_quantite=3)
    marche = Marche(graine=11, instruments={}, taux_vide=vide, **reglages)  # type: ignore[arg-type]
    with Tierce(nom, PROTOCOLES[nom], marche, instrument).en_fil() as simulateur:
        assert isinstance(simulateur, Tierce)
        yield simulateur


def bornes(debut: int, fin: int) -> tuple[str, ...]:
    """Les options d'un intervalle, dit en ms avant maintenant."""
    return ("--date-debut", str(MAINTENANT - debut), "--date-fin", str(MAINTENANT - fin))


@pytest.fixture
def sans_attente(monkeypatch: pytest.MonkeyPatch) -> None:
    """Les essais s'enchaînent : c'est leur nombre qui est en cause, pas leur délai."""
    monkeypatch.setattr(module, "delais_backoff", lambda **_: itertools.repeat(0.01))


# --- §1 Le premier essai ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("exchange", ["binance", "okx", "bybit"])
def test_1_hors_ligne_un_contrat_a_terme_est_cote_quelle_que_soit_la_date(exchange: str, tmp_path: Path) -> None:
    """L'exchange embarqué n'avait que celui de décembre 2026 : échu, plus aucun n'y était."""
    with temps_simule(instant_ms("2027-03-01T10:00:30")):
        mots = ["--hors-ligne", "--exchange", exchange, "--type-marche", "future", "--sous-type", "linear"]
        assert module.principal([*mots, "--symbole", "BTC/USDT", "--date-debut", "-2h", "--sortie",
                                 str(tmp_path / "a.csv")]) == 0  # fmt: skip
    lue = module.lire(tmp_path / "a.csv")
    assert (lue.num_rows, set(lue["symbole"].to_pylist())) == (119, {"BTC/USDT:USDT-270625"})


# --- §2 Les symboles --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "mots",
    [
        ("--sandbox",),
        ("--proxy", "http://127.0.0.1:9"),
        ("--config-ccxt", '{"urls": {"api": {"public": "http://127.0.0.1:9/x"}}}'),
        ("--config-ccxt", '{"httpsProxy": "http://127.0.0.1:9", "hostname": "ailleurs.invalid"}'),
    ],
)
def test_2_hors_ligne_rien_ne_mene_ailleurs(mots: tuple[str, ...], tmp_path: Path) -> None:
    """Le banc d'essai, un proxy, une adresse sont ceux du vrai exchange : sans réseau, l'embarqué répond à sa place."""
    sortie = tmp_path / "bougies.csv"
    demande = ("--hors-ligne", "--symbole", "BTC/USDT", "--date-debut", "2024-01-01", "--date-fin", "2024-01-01T01:00")
    assert module.principal([*demande, "--sortie", str(sortie), "--essais", "1", *mots]) == 0
    assert [fiche.origine for fiche in module.lire_fiches(sortie)] == ["hors_ligne"]
    assert module.lire(sortie).num_rows == 60


def test_2_hors_ligne_un_dossier_d_archives_reste_celui_qu_on_donne() -> None:
    """Un miroir `file://` est d'ici ; un autre hôte ne l'est pas."""
    embarque = {"urls": {"archives": "http://127.0.0.1:1/archives", "api": {"public": "http://127.0.0.1:1"}}}
    for donnee, attendue in (("file:///miroir", "file:///miroir"), ("https://ailleurs.invalid", "http://127.0.0.1:1/archives")):
        demande = {"hors_ligne": True, "symbole": "BTC/USDT", "config_ccxt": {"urls": {"archives": donnee, "api": "x"}}}
        urls = module.reglages_de(module.construire(demande), embarque).config_ccxt["urls"]
        assert urls == {**embarque["urls"], "archives": attendue}


def test_2_un_symbole_d_un_autre_type_de_marche_est_dit_tel(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Au comptant, demandé en swap : le conseil nomme son type, et non le même symbole."""
    with Bourse(limites=False).en_fil() as bourse:
        mots = ("--symbole", "BTC/USD", "--type-marche", "swap", "--date-debut", "-1h")
        assert module.principal(commande(bourse, tmp_path / "s.csv", None, *mots, exchange="kraken")) == 2
    assert "C'est un marché spot : --type-marche spot." in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


# --- §8.1 Des minutes sans trade, servies quand même -----------------------------------------------------------------


def test_8_1_d_un_exchange_aux_bougies_plates_une_longue_plate_ne_prouve_pas_l_absence(tmp_path: Path) -> None:
    """Il sert la minute sans trade, plate : un quart d'heure de volume nul ne dit pas qu'il n'en a pas de ligne."""
    with servir("bittrade", vide=0.95) as simulateur:
        assert simulateur.protocole.vides == "plates"
        plage = bornes(120 * MINUTE, 3 * MINUTE)
        court = lancer(simulateur, tmp_path, *plage, "--limite", "20")  # ses pages n'y remontent pas
        assert (court.code, court.trous("sans_transaction")) == (3, [])
        entier = lancer(simulateur, tmp_path, *plage)
        assert (entier.code, entier.lignes) == (0, simulateur.attendu("1m", *entier.demande))


# --- §10 Un marché rare finit en code 0 -------------------------------------------------------------------------------


@pytest.mark.parametrize("nom", ["bigone", "bullish", "upbit", "whitebit"])
def test_10_un_marche_d_un_trade_par_jour_finit_en_code_0(nom: str, tmp_path: Path) -> None:
    """Les voisines qui prouvent ses bords sont loin de l'intervalle, d'avant lui ou d'après : elles se cherchent."""
    plage = bornes(12 * JOUR, 4 * JOUR)
    with servir(nom, vide=0.9993) as simulateur:
        releve = lancer(simulateur, tmp_path, *plage)
        assert (releve.code, releve.lignes) == (0, simulateur.attendu("1m", *releve.demande))
        assert len(releve.lignes) == 8
        assert {trou["raison"] for trou in releve.serie["trous"]} == {"sans_transaction"}
        relance = lancer(simulateur, tmp_path, *plage)
        assert (relance.code, relance.octets, relance.pages <= 5) == (0, releve.octets, True)


# --- §8 Ce qu'un mauvais jour a inscrit ne reste pas ------------------------------------------------------------------


def taire_avant(simulateur: Tierce, monkeypatch: pytest.MonkeyPatch, instant: int) -> None:
    """L'exchange ne sert plus rien d'avant cet instant."""
    servir_vraiment = simulateur.bougies
    monkeypatch.setattr(
        simulateur, "bougies", lambda *demande: [b for b in servir_vraiment(*demande) if b.ts >= instant]
    )


@pytest.mark.parametrize("nom", ["bydfi", "cryptocom", "poloniex"])
def test_8_une_panne_du_marche_dite_hors_de_portee_se_prouve_quand_plus_ancien_est_servi(
    nom: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rien d'avant une demi-heure sans trade ; revenu, l'exchange sert ce qui la précède : elle n'est pas loin."""
    reprise = MAINTENANT - 300 * MINUTE
    plage = bornes(330 * MINUTE, 200 * MINUTE)
    with servir(nom, pannes=[(reprise - 40 * MINUTE, reprise)]) as simulateur:
        taire_avant(simulateur, monkeypatch, reprise)
        muette = lancer(simulateur, tmp_path, *plage)
        assert (muette.code, muette.trous("hors_fenetre_api")) == (3, [(reprise - 30 * MINUTE, reprise)])
        monkeypatch.undo()
        vue = lancer(simulateur, tmp_path, *plage)
        assert (vue.code, vue.trous("sans_transaction")) == (0, [(reprise - 30 * MINUTE, reprise)])
        relance = lancer(simulateur, tmp_path, *plage)
        assert (relance.code, relance.octets, relance.pages <= 1) == (0, vue.octets, True)


@pytest.mark.parametrize("nom", ["lbank", "cryptocom"])
def test_8_ce_qui_precede_une_cotation_prouvee_se_prouve_a_la_relance(
    nom: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Puis un jour de panne inscrit hors de portée ce qui la précède : une plage plus large le reprend."""
    with servir(nom, cote_depuis=42 * MINUTE) as simulateur:
        cotation = simulateur.instrument.cotation_ms
        assert lancer(simulateur, tmp_path, *bornes(100 * MINUTE, 0)).trous("avant_cotation")
        monkeypatch.setattr(simulateur, "bougies", lambda _code, _debut, _fin: [])
        muette = lancer(simulateur, tmp_path, *bornes(110 * MINUTE, 60 * MINUTE))
        assert (muette.code, len(muette.trous("hors_fenetre_api"))) == (3, 1)
        monkeypatch.undo()
        assert lancer(simulateur, tmp_path, *bornes(150 * MINUTE, 110 * MINUTE)).code == 0
        vue = lancer(simulateur, tmp_path, *bornes(150 * MINUTE, 10 * MINUTE))
        assert (vue.code, vue.trous("avant_cotation")) == (0, [(MAINTENANT - 150 * MINUTE, cotation)])


# --- §6.4 Une queue prouvée n'est pas un retard -----------------------------------------------------------------------


def test_6_4_une_derniere_minute_prouvee_sans_trade_n_est_pas_dite_a_redemander(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """La voisine, hors de l'intervalle, a prouvé le vide : rien n'est redemandé, rien ne le dit."""
    vide = MAINTENANT - JOUR - MINUTE
    with servir("cryptocom", pannes=[(vide, vide + MINUTE)]) as simulateur:
        releve = lancer(simulateur, tmp_path, *bornes(JOUR + 60 * MINUTE, JOUR), "--journal", "info")
    assert (releve.code, releve.trous("sans_transaction")) == (0, [(vide, vide + MINUTE)])
    assert "redemandée" not in capsys.readouterr().err


# --- §6.12 Messages utiles --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("mots", "phrase"), [(("--lister", "rien"), "« rien »"), (("--verifier", "."), "un dossier")])
def test_6_12_une_faute_n_en_invente_pas_une_autre(
    mots: tuple[str, ...], phrase: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Une liste, ou un contrôle, se passe de symbole, même mal écrit : aucun n'est réclamé."""
    assert module.principal([*mots]) == 2
    dit = capsys.readouterr().err
    assert phrase in dit
    assert "symbole" not in dit


# --- §6.5 Idempotence -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("nom", ["bitvavo", "cryptocom", "poloniex"])
def test_6_5_relire_une_minute_sans_trade_n_efface_pas_ce_qu_on_en_sait(nom: str, tmp_path: Path) -> None:
    """La minute qui précède la dernière ligne est vide, et relue à chaque reprise : elle reste un fait."""
    vide = MAINTENANT - JOUR - 2 * MINUTE
    with servir(nom, pannes=[(vide, vide + MINUTE)]) as simulateur:
        premier = lancer(simulateur, tmp_path, *bornes(JOUR + 120 * MINUTE, JOUR))
        assert premier.trous("sans_transaction") == [(vide, vide + MINUTE)]
        for _ in range(2):
            relance = lancer(simulateur, tmp_path, *bornes(JOUR + 120 * MINUTE, JOUR))
            assert (relance.code, relance.trous("sans_transaction")) == (0, [(vide, vide + MINUTE)])
            assert relance.octets == premier.octets
            fiche = (tmp_path / "bougies.csv.fiche.json").read_text()
            assert "sans_transaction" in fiche
        dedans = lancer(simulateur, tmp_path, *bornes(JOUR + 90 * MINUTE, JOUR + 60 * MINUTE))
        assert dedans.code == 0
        assert (tmp_path / "bougies.csv.fiche.json").read_text() == fiche


# --- §7, §8.2 Avant la cotation ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("nom", ["bitvavo", "mexc", "whitebit"])
def test_8_2_savoir_qu_il_n_etait_pas_cote_n_empeche_pas_de_prouver_sa_premiere_bougie(
    nom: str, tmp_path: Path
) -> None:
    """D'abord des jours d'avant la cotation, puis un intervalle qui l'enjambe, dans le même fichier : code 0."""
    cotation = 3 * JOUR + 17 * MINUTE
    with servir(nom, cote_depuis=cotation) as simulateur:
        avant = lancer(simulateur, tmp_path, *bornes(10 * JOUR, 8 * JOUR))
        assert (avant.code, avant.lignes) == (0, [])
        releve = lancer(simulateur, tmp_path, *bornes(5 * JOUR, 2 * JOUR))
        assert releve.code == 0
        assert releve.lignes == simulateur.attendu("1m", *releve.demande)
        assert releve.trous("avant_cotation") == [(MAINTENANT - 5 * JOUR, MAINTENANT - cotation)]


# --- §8.5 Un timeframe long qui échoue --------------------------------------------------------------------------------


class SansLongs(Tierce):
    """Un exchange dont les semaines et les mois répondent 500, toujours."""

    def pas_de(self, nom: str) -> Pas:
        """Le pas, ou la panne."""
        if nom in {"1W", "1M", "1w"}:
            raise RefusError(500, {"error": "internal"})
        return super().pas_de(nom)


@pytest.mark.usefixtures("sans_attente")
def test_8_5_un_timeframe_long_en_panne_ne_coute_que_quelques_essais(tmp_path: Path) -> None:
    """Il n'est pas un témoin : on s'en passe vite, et la série n'en souffre pas."""
    cotation = 3 * JOUR + 17 * MINUTE
    instrument = Instrument("AAA", "BBB", cotation_ms=MAINTENANT - cotation, decimales_quantite=3)
    marche = Marche(graine=11, instruments={}, taux_vide=0.0)
    with SansLongs("mexc", PROTOCOLES["mexc"], marche, instrument).en_fil() as simulateur:
        releve = lancer(simulateur, tmp_path, *bornes(5 * JOUR, 2 * JOUR), "--essais", "8")
        assert releve.lignes == simulateur.attendu("1m", *releve.demande)
        assert releve.code == 0
        en_panne = [vue.params["interval"] for vue in simulateur.vues if vue.params.get("interval") in {"1W", "1M"}]
    assert en_panne
    assert all(en_panne.count(nom) <= module.ESSAIS_TEMOIN for nom in set(en_panne))


class SansLePremierTemoin(Tierce):
    """Un exchange qui refuse un timeframe que sa classe annonce : les mois, et le premier demandé d'autre que 1h."""

    refuse = ""

    def pas_de(self, nom: str) -> Pas:
        """Le pas, ou le refus."""
        if nom != "1h":
            self.refuse = self.refuse or nom
        if nom in (self.refuse, "1M"):
            raise RefusError(400, {"error": "bad interval"})
        return super().pas_de(nom)


@pytest.mark.usefixtures("sans_attente")
def test_8_5_un_timeframe_long_refuse_un_autre_prouve_la_cotation(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Du mois, la recherche sautait au 4h, qui ne remonte pas assez : ni la semaine ni le jour n'étaient entendus.

    Personne n'a demandé ce timeframe : un avertissement à son sujet dit pourquoi il est lu.
    """
    cotation = 71 * JOUR
    instrument = Instrument("AAA", "BBB", cotation_ms=MAINTENANT - cotation, decimales_quantite=3)
    marche = Marche(11, instruments={}, taux_vide=0.1)
    sans = SansLePremierTemoin("xt", PROTOCOLES["xt"], marche, instrument)
    with sans.en_fil() as simulateur:
        bornees = bornes(72 * JOUR, 2 * JOUR)
        releve = lancer(simulateur, tmp_path, *bornees, "--timeframe", "1h", "--journal", "warning")
        assert releve.lignes == simulateur.attendu("1h", *releve.demande)
        assert (releve.code, len(releve.trous("avant_cotation"))) == (0, 1)
        assert sans.refuse not in ("", "1h")
        assert f"Bougies {sans.refuse}, pour prouver une absence, d'AAA" in capsys.readouterr().err


# --- Ce que d'autres outils font mal (reference/PAIRS.md) -------------------------------------------------------------


class PagesCourtes(Tierce):
    """Un exchange dont les pages sont bien plus courtes que ce qui est demandé (ccxt#30095)."""

    def servir(self, bougies: list[Bougie]) -> list[Bougie]:
        """Une page d'au plus 47 bougies, les premières."""
        return super().servir(bougies[:47])


class ToujoursLaPremiere(Tierce):
    """Un marché illiquide dont toute page de 1m est la première bougie de son histoire (ccxt#26736)."""

    def servir(self, bougies: list[Bougie]) -> list[Bougie]:
        """La première de toutes, quoi qu'on demande."""
        if self.nom_du_pas != "1m":
            return super().servir(bougies)
        premiere = self.instrument.cotation_ms
        return super().servir(self.bougies("1m", premiere, premiere + 10 * MINUTE)[:1])


@contextlib.contextmanager
def servir_un(classe: type[Tierce], nom: str) -> Iterator[Tierce]:
    """Un exchange de cette classe, sur le protocole d'un autre."""
    instrument = Instrument("AAA", "BBB", cotation_ms=MAINTENANT - 30 * JOUR, decimales_quantite=3)
    with classe(nom, PROTOCOLES[nom], Marche(graine=11, instruments={}, taux_vide=0.1), instrument).en_fil() as ouvert:
        assert isinstance(ouvert, Tierce)
        yield ouvert


def test_pairs_5_une_page_plus_courte_que_demande_n_est_pas_la_fin(tmp_path: Path) -> None:
    """Ailleurs, 169 lignes au lieu de 720 ; ici toutes, en guère plus de pages qu'il n'en faut."""
    with servir_un(PagesCourtes, "mexc") as simulateur:
        releve = lancer(simulateur, tmp_path, *bornes(JOUR + 720 * MINUTE, JOUR))
        assert releve.code == 0
        assert releve.lignes == simulateur.attendu("1m", *releve.demande)
    assert releve.pages <= 2 * (720 // 47 + 1)


def test_pairs_5_une_minute_vide_au_bord_est_prouvee_malgre_les_pages_courtes(tmp_path: Path) -> None:
    """La page d'avant le bord, coupée, n'irait pas jusqu'à lui : sa voisine se cherche de tout près."""
    with servir_un(PagesCourtes, "mexc") as simulateur:
        minutes = range(MAINTENANT - JOUR - 900 * MINUTE, MAINTENANT - JOUR - 720 * MINUTE, MINUTE)
        vide = next(instant for instant in minutes if not simulateur.attendu("1m", instant, instant + MINUTE))
        releve = lancer(simulateur, tmp_path, *bornes(MAINTENANT - vide, MAINTENANT - vide - 720 * MINUTE))
        assert releve.lignes == simulateur.attendu("1m", *releve.demande)
    assert releve.code == 0, releve.serie
    assert releve.pages <= 2 * (720 // 47 + 1)


@pytest.mark.usefixtures("sans_attente")
def test_pairs_14_toujours_la_premiere_bougie_n_est_ni_ecrite_ni_sans_fin(tmp_path: Path) -> None:
    """Hors des bornes : refusée ; ce qui était demandé est un échec dit, en un nombre borné de requêtes."""
    with servir_un(ToujoursLaPremiere, "mexc") as simulateur:
        releve = lancer(simulateur, tmp_path, *bornes(JOUR + 300 * MINUTE, JOUR))
    assert (releve.code, releve.lignes) == (3, [])
    assert not releve.trous("sans_transaction")
    assert not releve.trous("avant_cotation")
    assert releve.pages <= 80


def test_pairs_26_une_bougie_revisee_apres_sa_cloture_est_relue(tmp_path: Path) -> None:
    """Ses volumes changent encore : les deux dernières sont relues à la reprise, les plus anciennes non."""
    etendue = bornes(JOUR + 60 * MINUTE, JOUR)
    with servir("bitvavo") as simulateur:
        premier = lancer(simulateur, tmp_path, *etendue)
        volume = simulateur.volume
        simulateur.volume = lambda bougie: f"{float(volume(bougie)) + 1:.3f}"  # type: ignore[method-assign]
        releve = lancer(simulateur, tmp_path, *etendue)
    assert (releve.code, releve.serie["lignes_nouvelles"]) == (0, 0)
    assert releve.lignes[:-2] == premier.lignes[:-2]
    assert [b[5] for b in releve.lignes[-2:]] == [pytest.approx((b[5] or 0) + 1) for b in premier.lignes[-2:]]


# --- Chaque promesse a son test ---------------------------------------------------------------------------------------

PROMESSES: dict[str, tuple[str, ...]] = {
    "1 la version simple sert d'oracle": ("test_elle_reste_courte_et_independante_de_la_v2",),
    "1 les fichiers, le runner, l'exchange embarqué": (
        "test_les_fichiers_du_contrat_sont_a_la_racine",
        "test_le_runner_reste_mince",
        "test_ligne_de_commande_sert_et_s_arrete",
        "test_1_hors_ligne_un_contrat_a_terme_est_cote_quelle_que_soit_la_date",
    ),
    "2 les options et leurs défauts": ("test_les_noms_sont_ceux_du_contrat", "test_les_defauts_sont_ceux_du_contrat"),
    "2 les trois commandes du propriétaire": (
        "test_la_premiere_commande_du_proprietaire_marche_telle_quelle",
        "test_le_deuxieme_exemple_du_proprietaire",
        "test_le_troisieme_exemple_du_proprietaire",
    ),
    "2 concurrence, limite, relecture, délai": (
        "test_la_concurrence_et_la_limite_sont_celles_demandees",
        "test_la_page_est_ramenee_au_maximum_de_l_exchange",
        "test_5_la_relecture_est_celle_demandee",
        "test_11_un_exchange_muet_de_bout_en_bout_finit",
    ),
    "2 la bougie courante, sur demande": ("test_la_bougie_courante_n_est_gardee_que_si_on_la_demande",),
    "2 hors ligne, sans réseau": ("test_2_hors_ligne_rien_ne_mene_ailleurs",),
    "2 une option donnée deux fois": ("test_une_option_donnee_deux_fois_se_dit",),
    "2 flush, profondeur, durée d'un flux": (
        "test_le_tampon_d_un_flux_s_ecrit_plein_ou_vieux_de_cinq_secondes",
        "test_les_carnets_ecrits_sont_entiers_et_jamais_croises",
        "test_une_option_sans_objet_se_dit",
    ),
    "2 bougies vides, grâce, silence": (
        "test_une_minute_sans_trade_est_plate_a_la_cloture_precedente",
        "test_la_minuterie_clot_a_ouverture_plus_pas_plus_grace",
        "test_un_socket_demi_ouvert_est_trouve_a_temps",
    ),
    "2 format, compression, nom stable": (
        "test_le_format_se_deduit_de_l_extension",
        "test_compressions",
        "test_le_nom_par_defaut_est_stable_et_propre_a_la_demande",
    ),
    "2 params, options, config-ccxt, sandbox": (
        "test_les_params_vont_aux_abonnements",
        "test_le_journal_debug_tait_la_valeur_des_params",
        "test_config_ccxt_l_emporte_en_profondeur",
        "test_config_ccxt_se_lit_dans_un_fichier",
        "test_le_banc_d_essai_de_bout_en_bout",
    ),
    "2 lister, simulation, version, aide": (
        "test_lister_ecrit_sur_stdout",
        "test_la_simulation_n_ecrit_rien",
        "test_version_et_aide_vont_sur_stdout",
    ),
    "2 les clés ne sortent nulle part": (
        "test_les_cles_ne_sortent_nulle_part",
        "test_une_cle_reprise_par_l_exchange_est_masquee",
    ),
    "2 les clés de l'environnement et du .env": ("test_les_cles_propres_a_l_exchange_l_emportent",),
    "2 un symbole complet, ou court": (
        "test_une_contradiction_avertit_sans_refuser",
        "test_un_symbole_court_ambigu_dit_les_candidats",
        "test_2_un_symbole_d_un_autre_type_de_marche_est_dit_tel",
    ),
    "3 toutes les fautes d'un coup": ("test_un_lot_fautif_est_refuse_phrase_pour_phrase",),
    "3 types naturels, variables": (
        "test_les_types_naturels_du_yaml",
        "test_la_valeur_d_une_variable_n_est_jamais_repetee",
    ),
    "3 l'échec d'une tâche n'arrête rien": ("test_l_echec_d_une_tache_n_arrete_pas_les_suivantes",),
    "3 les quatre tâches du propriétaire": ("test_les_quatre_taches_du_proprietaire_telles_quelles",),
    "3 output_dir, chemins et .env voisins du YAML": (
        "test_output_dir_ne_vaut_que_pour_les_taches_sans_sortie",
        "test_un_lot_rend_l_oracle_et_le_dit",
        "test_les_cles_viennent_du_env_voisin_du_yaml",
    ),
    "3 taches, valider, simulation, durée, métriques, dask": (
        "test_les_taches_choisies_seules_s_executent",
        "test_valider_ne_fait_que_cela",
        "test_la_simulation_n_ecrit_ni_ne_demande_de_bougie",
        "test_un_plafond_rend_l_ordre_du_fichier",
        "test_les_metriques_se_relisent",
        "test_meme_lot_memes_fichiers_meme_bilan",
    ),
    "4 une seule forme, quatre formats": ("test_chaque_format_rend_l_oracle", "test_aller_retour_exact"),
    "4 les types de chaque colonne": ("test_types_des_fichiers", "test_types_des_colonnes"),
    "4 un trade sans id": (
        "test_l_id_synthetique_a_la_forme_documentee",
        "test_en_relecture_le_kieme_identique_est_le_kieme_deja_vu",
    ),
    "4 la fiche": ("test_fiche_complete", "test_ou_vit_la_fiche"),
    "5 codes 0, 1, 2, 3": (
        "test_un_symbole_en_echec_rend_1_et_les_autres_sont_ecrits",
        "test_tous_les_symboles_inconnus_rendent_2",
        "test_ce_que_l_exchange_ne_sert_plus_est_dit",
    ),
    "5 codes 4, 75": (
        "test_une_ligne_fautive_est_trouvee_a_son_instant",
        "test_une_sortie_tenue_par_un_autre_rend_75",
    ),
    "5 codes 130, 143": ("test_un_signal_arrete_proprement", "test_6_un_signal_sous_charge"),
    "5 un signal l'emporte": ("test_un_signal_l_emporte_sur_un_symbole_refuse",),
    "6.1 bornes strictes": ("test_1_bornes_strictes", "test_1_bornes_sur_la_grille_debut_inclus_fin_exclue"),
    "6.2 une bougie écrite est close": ("test_2_la_bougie_ouverte_se_decide_a_l_heure_de_l_exchange",),
    "6.3 ni doublon ni désordre": ("test_3_apres_n_importe_quelle_suite_de_reprises",),
    "6.4 aucun trou silencieux": (
        "test_4_un_trou_confirme_porte_sa_raison",
        "test_6_4_une_derniere_minute_prouvee_sans_trade_n_est_pas_dite_a_redemander",
    ),
    "6.5 idempotence": (
        "test_5_relancer_ne_reecrit_rien",
        "test_5_elargir_ne_demande_que_ce_qui_manque",
        "test_6_5_relire_une_minute_sans_trade_n_efface_pas_ce_qu_on_en_sait",
    ),
    "6.6 rien n'est perdu": ("test_6_tue_a_n_importe_quel_instant_puis_relance", "test_tuer_un_flux"),
    "6.7 rien n'est abîmé": ("test_7_disque_plein", "test_7_un_fichier_corrompu_est_mis_de_cote"),
    "6.8 le flux se répare": ("test_sept_minutes_de_coupure_sont_comblees_une_fois",),
    "6.9 un flux muet n'est pas vivant": ("test_le_silence_d_un_seul_symbole_est_trouve",),
    "6.10 politesse": (
        "test_10_une_pause_demandee_arrete_toutes_les_requetes",
        "test_10_les_limites_de_debit_ne_sont_jamais_violees",
    ),
    "6.11 fin garantie": ("test_11_un_exchange_muet_de_bout_en_bout_finit",),
    "6.11 un exchange qui ment a une fin": ("test_8_un_mensonge_n_est_jamais_un_fait_et_ne_dure_pas",),
    "6.12 messages utiles": ("test_12_une_demande_invalide_est_expliquee",),
    "7 plusieurs symboles": ("test_un_symbole_inconnu_n_arrete_pas_les_autres",),
    "7 lignes impossibles": ("test_4_une_ligne_impossible_qui_dure_est_un_trou_dit",),
    "7 réponse illisible": ("test_4_une_reponse_illisible_qui_dure_est_un_echec",),
    "7 liste des marchés relue": ("test_une_liste_de_marches_incomplete_est_relue",),
    "7 avant la cotation": ("test_avant_la_cotation_il_n_y_a_rien_a_ecrire", "test_a_cheval_sur_la_cotation"),
    "7 hors de ce qui est servi, début futur": (
        "test_hors_de_ce_que_l_exchange_sert",
        "test_un_debut_dans_le_futur_est_refuse",
    ),
    "7 fichier étranger": ("test_un_fichier_etranger_est_refuse_et_reste_intact",),
    "7 fichier illisible, plusieurs séries d'une base": (
        "test_un_fichier_corrompu_est_mis_de_cote",
        "test_7_une_base_tient_plusieurs_series",
    ),
    "7 fiche perdue, lignes ôtées": (
        "test_7_la_fiche_csv_perdue",
        "test_7_des_lignes_otees_a_la_main_sont_redemandees",
    ),
    "7 silence, tube fermé": (
        "test_le_journal_d_erreur_se_tait_quand_tout_va_bien",
        "test_un_tube_ferme_n_est_pas_une_trace",
    ),
    "7 compression gzip": ("test_gzip_sans_extension_garde_sa_compression",),
    "7 symbole et symbols": ("test_symbole_et_symbols_ensemble_sont_une_faute",),
    "7 une dépendance absente ou trop vieille": (
        "test_une_bibliotheque_absente_est_dite",
        "test_un_sqlite_trop_vieux_est_dit",
    ),
    "7 les imports lourds": ("test_importer_le_module_ne_fait_rien_d_autre", "test_l_aide_n_importe_rien_de_lourd"),
    "7 date en deux mots": ("test_un_debut_relatif_s_ecrit_en_deux_mots",),
    "7 le bilan existe toujours": ("test_le_bilan_existe_aussi_apres_un_echec",),
    "7 ni journal ni temporaire": ("test_un_vrai_processus_ne_laisse_rien_trainer",),
    "7 bibliothèque": ("test_sans_sortie_rien_n_est_ecrit", "test_les_fautes_sont_des_exceptions_du_module"),
    "7 flux : tri du CSV": ("test_le_csv_d_un_flux_grandit_ligne_a_ligne_dans_le_meme_fichier",),
    "7 flux : tous refusés, un refusé": (
        "test_tous_refuses_est_un_echec",
        "test_un_abonnement_refuse_est_dit_et_les_autres_vivent",
    ),
    "7 flux : un trou que le REST n'a pu combler": ("test_ce_qui_n_a_pu_etre_comble_rend_trois",),
    "7 flux : l'heure réestimée, la preuve par la suivante": (
        "test_l_heure_de_l_exchange_est_reestimee_a_chaque_reconnexion",
        "test_une_bougie_close_par_l_horloge_puis_une_coupure_n_est_plus_crue",
    ),
    "7 flux : une seule unité de volume": (
        "test_le_volume_d_un_contrat_est_dans_l_unite_du_rest",
        "test_le_volume_du_flux_est_celui_du_rest",
    ),
    "7 flux : sans horodatage": (
        "test_un_ticker_sans_horodatage_prend_l_instant_de_reception",
        "test_un_carnet_sans_horodatage_prend_l_instant_de_reception",
    ),
    "7 jamais de trace": ("test_une_trame_abimee_ne_tue_pas_le_flux",),
    "8.1 une absence encadrée": ("test_8_1_une_reponse_qui_encadre_prouve_l_absence",),
    "8.1 le vide seul, et qui tait une voisine": (
        "test_8_1_une_reponse_vide_ne_prouve_rien_si_souvent_qu_elle_revienne",
        "test_8_1_une_reponse_qui_tait_une_voisine_ecrite_accuse_l_exchange",
        "test_8_1_un_timeframe_plus_court_que_le_vide_et_ses_bords",
    ),
    "8.2 la cotation prouvée": (
        "test_8_2_une_cotation_se_prouve_par_sa_premiere_bougie",
        "test_8_2_savoir_qu_il_n_etait_pas_cote_n_empeche_pas_de_prouver_sa_premiere_bougie",
    ),
    "8.2 rien de moins": (
        "test_8_2_rien_de_moins_ne_la_prouve",
        "test_8_2_deux_demandes_deux_reponses_disent_si_un_bord_est_suivi",
    ),
    "8.3 une queue n'est jamais un fait": ("test_8_3_une_queue_n_est_jamais_un_fait",),
    "8.3 une réplique en retard": ("test_8_3_une_replique_en_retard_s_arrete_plus_tot_et_le_dit",),
    "8.4 un fait se dément": ("test_un_avant_cotation_dementi_est_une_faute_redemandee",),
    "8.4 réparer redemande les faits": (
        "test_8_4_reparer_redemande_les_faits_une_fois",
        "test_8_4_reparer_garde_les_faits_que_rien_ne_dement",
    ),
    "8.5 le pas est celui demandé": (
        "test_le_pas_rendu_est_celui_demande",
        "test_8_5_un_timeframe_long_en_panne_ne_coute_que_quelques_essais",
        "test_8_5_un_timeframe_long_refuse_un_autre_prouve_la_cotation",
    ),
    "8.6 une ligne sans transaction": ("test_8_6_une_ligne_sans_prix_ni_volume_vaut_une_absence",),
    "9 identité": (
        "test_la_fiche_porte_le_marche_et_l_origine",
        "test_un_autre_marche_est_refuse_fichier_intact",
        "test_un_autre_marche_de_bout_en_bout",
    ),
    "9 une fiche d'avant": (
        "test_une_fiche_d_avant_est_completee_sans_bruit",
        "test_une_unite_sans_preuve_est_inconnue_puis_s_apprend",
    ),
    "9 origine": (
        "test_hors_ligne_puis_pour_de_vrai_de_bout_en_bout",
        "test_un_fichier_reel_est_refuse_a_ce_qui_ne_l_est_pas",
        "test_ce_qui_est_invente_est_mis_de_cote_pour_de_vrai",
        "test_tuee_une_fiche_abimee_ne_rend_pas_reel_ce_qui_est_invente",
    ),
    "9 CSV": ("test_csv_un_nombre_a_toujours_un_point", "test_csv_bom_et_lignes_vides_sont_admis"),
    "9 réécrit par un autre outil": (
        "test_un_fichier_recrit_par_un_autre_outil_est_admis",
        "test_un_csv_recrit_par_un_autre_outil_est_admis",
    ),
    "9 base au repos": ("test_sqlite_au_repos_un_seul_fichier",),
    "9 sommes de contrôle": (
        "test_un_lot_abime_du_journal_se_saute",
        "test_un_octet_change_d_un_fichier_scelle_est_vu",
    ),
    "9 un fichier abîmé ne tue personne": (
        "test_un_fichier_sans_sceau_est_eprouve_a_part",
        "test_un_fichier_qui_tue_son_lecteur_ne_tue_que_lui",
        "test_un_journal_d_avant_qui_tue_son_lecteur_ne_tue_que_lui",
        "test_ce_qui_arrete_la_lecture_a_part_est_dit",
    ),
    "10 archives": ("test_les_lignes_sont_celles_de_l_api", "test_auto_prend_le_moins_cher"),
    "10 archives : l'hôte, le miroir, la provenance": (
        "test_un_miroir_remplace_l_hote",
        "test_un_hote_muet_ne_fait_pas_attendre",
        "test_un_exchange_sans_archives_est_refuse_et_auto_prend_l_api",
        "test_la_fiche_dit_par_intervalle_ce_qui_vient_des_archives",
    ),
    "10 archives : funding sans prix, jour absent": (
        "test_le_funding_est_celui_de_l_api_sans_prix_de_marque",
        "test_un_jour_absent_au_dela_du_mois_de_l_api_est_un_trou",
    ),
    "10 trades, funding, intérêt ouvert": (
        "test_tous_les_trades_et_eux_seuls",
        "test_tous_les_financements",
        "test_tout_l_interet_ouvert",
    ),
    "10 bougies des trades": ("test_kraken_au_dela_de_ses_720_bougies",),
    "10 rapport": ("test_rapport_en_ligne_de_commande",),
    "10 listes": ("test_le_json_et_le_csv_disent_tout", "test_lister_donnees_dit_chaque_serie"),
    "10 flux : écouté, rien reçu": ("test_un_marche_dont_rien_ne_vient_n_est_pas_complet",),
    "10 carnet à un seul côté": ("test_un_carnet_a_un_seul_cote_est_un_etat",),
    "pairs 5, 14, 26": (
        "test_pairs_5_une_page_plus_courte_que_demande_n_est_pas_la_fin",
        "test_pairs_14_toujours_la_premiere_bougie_n_est_ni_ecrite_ni_sans_fin",
        "test_pairs_26_une_bougie_revisee_apres_sa_cloture_est_relue",
    ),
    "pairs 6, 11, 12 : le bord d'une page": ("test_tout_caractere_est_lu_en_entier",),
    "pairs 8, 9, 10 : la fenêtre servie": (
        "test_ce_que_l_exchange_ne_sert_plus_est_dit_hors_fenetre",
        "test_un_fichier_plus_vieux_que_la_fenetre_se_relance",
    ),
    "pairs 17 : des trades sans suite": ("test_la_queue_n_est_jamais_un_fait",),
    "pairs 20 : rien d'inventé": ("test_bitopro_ne_rend_que_ce_qui_est_envoye",),
    "pairs 21 : les archives ont tort": ("test_un_jour_qui_differe_est_relu_les_autres_non",),
    "pairs 22 : une milliseconde pleine": ("test_une_milliseconde_de_plus_d_une_page_ne_passe_pas_pour_la_fin",),
    "pairs 29, 30 : semaines, mois, ancres": ("test_les_semaines_ouvrent_le_lundi", "test_une_ancre_se_retrouve"),
    "pairs 31 : l'unité du volume": ("test_l_unite_du_volume_est_prouvee_ou_inconnue",),
    "pairs 36, 37 : une coupure, des trades avalés": ("test_une_coupure_ne_perd_ni_ne_double_un_trade",),
    "pairs 39 : jamais un carnet croisé": ("test_un_carnet_faux_n_est_jamais_rendu",),
    "pairs 44, 45 : bannissement, débit partagé": (
        "test_pendant_un_bannissement_long_plus_aucune_requete",
        "test_trois_executions_et_un_voisin_tiennent_dans_la_fenetre",
    ),
    "pairs 47 : un proxy pour tout": ("test_le_proxy_vaut_pour_rest_et_websocket",),
    "pairs 49 : un marché retiré": ("test_un_marche_retire_est_dit", "test_retire_depuis_des_annees"),
    "pairs 50 : des noms qui ne se confondent pas": ("test_le_nom_par_defaut_est_stable_et_propre_a_la_demande",),
    "pairs 51, 58 : tué, disque plein": ("test_tuer_a_n_importe_quel_instant", "test_disque_plein_a_la_fonte"),
    "pairs 53, 55 : doublon, base tenue": ("test_doublons_entre_lots", "test_sqlite_tenue_par_un_autre_programme"),
    "pairs 60 : deux cron qui se croisent": ("test_deux_executions_du_meme_lot_ne_se_chevauchent_pas",),
}  # fmt: skip


def test_chaque_promesse_a_son_test() -> None:
    """Un test renommé ou ôté laisse sa promesse sans preuve : la table le dit."""
    racine = next(dossier for dossier in Path(__file__).parents if dossier.name == "tests")
    tests = (chemin.read_text() for chemin in racine.rglob("test_*.py"))
    connus = {nom for texte in tests for nom in re.findall(r"^def (test_\w+)", texte, re.MULTILINE)}
    absents = {promesse: sorted({*noms} - connus) for promesse, noms in PROMESSES.items() if {*noms} - connus}
    assert not absents
