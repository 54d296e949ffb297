"""Le contrat, phrase par phrase, vu du dehors : la ligne de commande chez des exchanges que rien ici n'imite ailleurs.

Le nom d'un test dit la section du contrat. Les promesses qui ont leur test ailleurs ne sont pas redites ici.
"""

from __future__ import annotations

import contextlib
import itertools
from typing import TYPE_CHECKING

import pytest
from bourses_tierces import RefusError, maintenant_ms
from bourses_tierces_table import PROTOCOLES, Tierce
from outils_bout_en_bout import commande
from outils_tierces import lancer

import module_ccxt_fr_v2 as module
from bourse_locale import Bourse
from bourse_locale.marche import Instrument, Marche

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bourse_locale.marche import Pas

MINUTE, JOUR = 60_000, 86_400_000
MAINTENANT = maintenant_ms() // MINUTE * MINUTE


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


# --- §2 Les symboles --------------------------------------------------------------------------------------------------


def test_2_un_symbole_d_un_autre_type_de_marche_est_dit_tel(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Au comptant, demandé en swap : le conseil nomme son type, et non le même symbole."""
    with Bourse(limites=False).en_fil() as bourse:
        mots = ("--symbole", "BTC/USD", "--type-marche", "swap", "--date-debut", "-1h")
        assert module.principal(commande(bourse, tmp_path / "s.csv", None, *mots, exchange="kraken")) == 2
    assert "C'est un marché spot : --type-marche spot." in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


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
