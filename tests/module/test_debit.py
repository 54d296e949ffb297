"""Le débit : la fenêtre de l'exchange prise d'un trait, sans jamais la dépasser ; le goutte-à-goutte après un refus."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from typing import TYPE_CHECKING, Any

import ccxt.async_support as ccxt
import pytest
from horloge_simulee import Temps
from hypothesis import given, settings
from hypothesis import strategies as st
from temps_simule import temps_simule

import module_ccxt_fr_v2 as module
from annexes_ccxt_fr.fenetres import PART_DE_FENETRE, LimiteurAFenetre
from annexes_ccxt_fr.parc import Parc
from annexes_ccxt_fr.pauses import Debit, Pauses, debit_de
from bourse_locale import Bourse, Panne
from module_ccxt_fr_v2 import ALLURE_GOUTTE, RALENTI, Limiteur

if TYPE_CHECKING:
    from pathlib import Path

MINUTE = 60_000
FIN = 1_748_736_000_000  # 2025-06-01


def passer(temps: Temps, limiteur: Limiteur, demandes: list[tuple[float, float]]) -> list[float]:
    """Les instants où passent des demandes (délai avant elle, poids), dans l'ordre où elles sont faites."""
    instants: list[float] = []

    async def demander(quand: float, poids: float) -> None:
        await temps.dormir(quand)
        await limiteur(poids)
        instants.append(temps.horloge())

    async def toutes() -> None:
        quand, taches = 0.0, []
        for delai, poids in demandes:
            quand += delai
            taches.append(demander(quand, poids))
        await temps.derouler(*taches)

    asyncio.run(toutes())
    return instants


def limiteur_de(temps: Temps, par_s: float, fenetre_s: float) -> LimiteurAFenetre:
    """Un limiteur à cette heure-là."""
    return LimiteurAFenetre(par_s, fenetre_s, dormir=temps.dormir, horloge=temps.horloge)


def goutte_a_goutte(temps: Temps, par_s: float) -> Limiteur:
    """Celui du module seul."""
    return Limiteur(par_s, temps.dormir, temps.horloge)


# La fenêtre


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from([0.0, 0.0, 0.3, 2.0, 9.0]), st.sampled_from([0.4, 1.0, 4.0])), max_size=60),
    st.sampled_from([1.0, 5.0]),
)
def test_aucune_fenetre_n_est_depassee(demandes: list[tuple[float, float]], fenetre_s: float) -> None:
    """Où qu'on pose la fenêtre, ce qui y passe tient dans la part permise ; tout passe, dans l'ordre."""
    temps = Temps()
    instants = passer(temps, limiteur_de(temps, 10.0, fenetre_s), demandes)
    assert len(instants) == len(demandes)
    assert instants == sorted(instants)
    for debut in instants:
        dedans = [p for instant, (_, p) in zip(instants, demandes, strict=True) if debut <= instant < debut + fenetre_s]
        assert sum(dedans) <= PART_DE_FENETRE * 10.0 * fenetre_s + 1e-9


def test_la_place_se_prend_d_un_trait_et_l_inaction_ne_se_paie_pas() -> None:
    """Quarante d'un coup, puis rien avant cinq secondes ; après une heure sans rien, quarante encore."""
    temps = Temps()
    depart = temps.instant
    instants = passer(temps, limiteur_de(temps, 10.0, 5.0), [(0.0, 1.0)] * 50 + [(3600.0, 1.0)] + [(0.0, 1.0)] * 39)
    assert [i - depart for i in instants[:50]] == [0.0] * 40 + [5.0] * 10
    assert [i - depart for i in instants[50:]] == [3600.0] * 40


def test_une_demande_plus_lourde_que_la_place_passe_seule() -> None:
    """Elle attend une fenêtre vide, et ne bloque pas la suite."""
    temps = Temps()
    depart = temps.instant
    instants = passer(temps, limiteur_de(temps, 1.0, 5.0), [(0.0, 1.0), (0.0, 20.0), (0.0, 1.0)])
    assert [i - depart for i in instants] == [0.0, 5.0, 10.0]


def test_au_goutte_a_goutte_l_inaction_ne_se_paie_pas() -> None:
    """Le poids d'une requête retient la suivante ; une heure plus tard, rien n'en reste."""
    temps = Temps()
    depart = temps.instant
    instants = passer(temps, goutte_a_goutte(temps, 2.0), [(0.0, 1.0), (0.0, 4.0), (3600.0, 1.0), (0.0, 1.0)])
    pas = 1 / (2.0 * ALLURE_GOUTTE)
    assert [i - depart for i in instants] == pytest.approx([0.0, pas, 3600.0, 3600.0 + pas])


@pytest.mark.parametrize("fenetre_s", [0.0, 5.0])
def test_une_demande_annulee_ne_coute_rien(fenetre_s: float) -> None:
    """Dix attendent leur tour et sont annulées : la suivante passe comme si elles n'avaient rien demandé."""
    temps = Temps()

    async def scenario() -> float:
        limiteur = limiteur_de(temps, 1.0, fenetre_s) if fenetre_s else goutte_a_goutte(temps, 1.0)
        for _ in range(4 if fenetre_s else 1):
            await limiteur(1.0)
        attentes = [asyncio.ensure_future(limiteur(1.0)) for _ in range(10)]
        await asyncio.sleep(0)
        for attente in attentes:
            attente.cancel()
        await asyncio.gather(*attentes, return_exceptions=True)
        depart = temps.instant
        await temps.derouler(limiteur(1.0))
        return temps.instant - depart

    assert asyncio.run(scenario()) == pytest.approx(fenetre_s or 1 / ALLURE_GOUTTE)


def test_chaque_refus_ralentit_et_ferme_la_fenetre() -> None:
    """Après un 429, plus de rafale : le goutte-à-goutte, plus lent de 20 %, puis encore."""
    for refus in (1, 2):
        temps = Temps()
        limiteur = limiteur_de(temps, 10.0, 5.0)
        for _ in range(refus):
            limiteur.ralentir()
        instants = passer(temps, limiteur, [(0.0, 1.0)] * 3)
        assert instants[2] - instants[0] == pytest.approx(2 / (10.0 * ALLURE_GOUTTE * RALENTI**refus))


def test_un_exchange_qui_se_dit_plein_est_sonde_puis_repris() -> None:
    """À 80 % dits par lui : une requête par douzième de fenêtre ; à 10 %, la rafale reprend."""
    temps = Temps()
    depart = temps.instant
    limiteur = limiteur_de(temps, 10.0, 12.0)
    limiteur.noter_usage(0.79)
    assert passer(temps, limiteur, [(0.0, 1.0)] * 5) == [depart] * 5
    limiteur.noter_usage(0.81)
    limiteur.noter_usage(0.78)  # une réponse en retard ne rouvre pas
    assert [i - depart for i in passer(temps, limiteur, [(0.0, 1.0)] * 3)] == [1.0, 2.0, 3.0]
    limiteur.noter_usage(0.1)
    assert [i - depart for i in passer(temps, limiteur, [(0.0, 1.0)] * 3)] == [3.0] * 3


def test_les_passages_d_avant_comptent() -> None:
    """Une exécution qui suit de près ne prend que ce qui reste, et retrouve tout quand la fenêtre a glissé."""
    temps = Temps()
    premier = limiteur_de(temps, 10.0, 5.0)
    passer(temps, premier, [(0.0, 10.0)] * 3)
    temps.instant += 2.0
    second = limiteur_de(temps, 10.0, 5.0)
    second.passages.extendleft(reversed(premier.passages))
    depart = temps.instant
    assert [i - depart for i in passer(temps, second, [(0.0, 10.0)] * 2)] == pytest.approx([0.0, 3.0])


# Ce que ccxt sait des fenêtres


def test_les_fenetres_sont_celles_que_les_classes_declarent() -> None:
    """60 s est le réglage d'office de ccxt, que rien ne prouve : seules comptent les classes qui en donnent une."""
    connues = {nom for nom in ccxt.exchanges if isinstance(module._classe(nom)().throttler, LimiteurAFenetre)}
    assert connues == {
        "bequant", "binance", "binancecoinm", "binanceus", "binanceusdm", "bingx", "bitget", "bitvavo", "bybit",
        "bybiteu", "bybitid", "fmfwio", "gate", "gateeu", "hitbtc", "htx", "kraken", "kucoin", "kucoinfutures", "luno",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("exchange", "url", "entetes", "part"),
    [
        ("binance", "https://api.binance.com/api/v3/klines", {"X-MBX-USED-WEIGHT-1M": "4800"}, 0.8),
        ("binance", "https://fapi.binance.com/fapi/v1/klines", {"x-mbx-used-weight-1m": "1200"}, 0.5),
        ("binanceus", "https://api.binance.us/api/v3/klines", {"X-Mbx-Used-Weight-1m": "1200"}, 1.0),
        ("binance", "https://api.binance.com/api/v3/klines", {}, None),
        ("bybit", "https://api.bybit.com/v5", {"X-Bapi-Limit-Status": "30", "X-Bapi-Limit": "120"}, 0.75),
        ("bybit", "https://api.bybit.com/v5", {"X-Bapi-Limit": "120"}, None),
        ("bybit", "https://api.bybit.com/v5", {"X-Bapi-Limit-Status": "0", "X-Bapi-Limit": "0"}, None),
    ],
)
def test_ce_que_l_exchange_dit_de_sa_fenetre(
    exchange: str, url: str, entetes: dict[str, str], part: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    notees: list[float] = []
    limiteur = module._classe(exchange)().throttler
    monkeypatch.setattr(limiteur, "noter_usage", notees.append)
    limiteur.noter_reponse(url, entetes)
    assert notees == ([] if part is None else [pytest.approx(part)])


# Face à l'exchange embarqué, limites appliquées


def telecharger(bourse: Bourse, chemin: Path, pages: int, **config: Any) -> Any:
    """La tâche qui demande ce nombre de pages de dix bougies."""
    return module.construire({
        "symbole": "BTC/USDT", "date_debut": FIN - 10 * pages * MINUTE, "date_fin": FIN, "limite": 10, "sortie": chemin,
        "config_ccxt": {**bourse.config_ccxt("binance"), **config},
    })  # fmt: skip


def test_trois_executions_et_un_voisin_tiennent_dans_la_fenetre(tmp_path: Path) -> None:
    """Derrière la même adresse : elles voient dans les réponses ce que les autres emploient, et attendent."""
    with temps_simule() as temps, Bourse(("binance",), latence_s=0.01).en_fil() as bourse:
        limite = bourse.protocoles["binance"].limites["spot"]  # type: ignore[attr-defined]
        limite.fenetre_s = 2.5
        temps.durer(2.5 - time.monotonic() % 2.5)  # le voisin remplit la fenêtre qui s'ouvre, pas celle qui finit
        limite.consommer(5600, time.monotonic())

        async def toutes() -> list[Any]:
            return await asyncio.gather(
                *(
                    module.executer_async(telecharger(bourse, tmp_path / f"{n}.csv", 90, rollingWindowSize=2500))
                    for n in range(3)
                )
            )

        depart = time.monotonic()
        bilans = asyncio.run(toutes())
        assert [bilan.code for bilan in bilans] == [0, 0, 0]
        assert bourse.violations == 0
        avant = [r for r in bourse.requetes if r.instant < (int(depart / 2.5) + 1) * 2.5]
        assert 6 <= len(avant) < 200  # 270 pages auraient dépassé
        assert len([r for r in bourse.requetes if "klines" in r.chemin]) >= 270


def test_un_refus_ralentit_jusqu_a_la_fin(tmp_path: Path) -> None:
    """Un 429 sans attente dite : la suite part au goutte-à-goutte, et rien ne manque."""
    with temps_simule(), Bourse(("binance",), latence_s=0.01).en_fil() as bourse:
        bourse.pannes.ajouter(Panne("429", "klines", fois=1, sauter=10))
        bilan = asyncio.run(module.executer_async(telecharger(bourse, tmp_path / "x.csv", 60)))
        assert (bilan.code, bilan.total("lignes_nouvelles")) == (0, 600)
        refus = next(r.instant for r in bourse.requetes if r.code == 429)
        apres = [r.instant for r in bourse.requetes if r.instant > refus + 0.5]
        pas_s = 0.4 / (20 * ALLURE_GOUTTE * RALENTI)  # le poids d'une page, à l'allure de ccxt ralentie
        assert len(apres) >= 10
        assert (apres[-1] - apres[0]) / (len(apres) - 1) >= 0.9 * pas_s


def test_l_execution_suivante_sait_ce_qui_pese_encore(tmp_path: Path) -> None:
    """Kraken admet peu : ce qui vient d'être demandé est laissé à côté de la sortie, et compté par qui suit."""
    with temps_simule(), Bourse(("kraken",)).en_fil() as bourse:
        mots = ["--exchange", "kraken", "--symbole", "BTC/USD", "--sortie", str(tmp_path / "x.csv"),
                "--journal", "error", "--config-ccxt", json.dumps(bourse.config_ccxt("kraken"))]  # fmt: skip
        assert module.principal(mots) == 0
        laisses = Pauses(tmp_path).passages()["kraken"]
        assert sum(poids for _, poids in laisses) >= 3

        async def suivante() -> float:
            reglages = module.Reglages("kraken")
            parc = Parc(Pauses(tmp_path))
            async with parc, parc.connecter(reglages) as connexion:
                return float(sum(poids for _, poids in connexion.api.throttler.passages))

        assert asyncio.run(suivante()) == pytest.approx(sum(poids for _, poids in laisses))


def test_deux_executions_d_un_dossier_gardent_chacune_ses_pauses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """La seconde note la sienne entre la lecture et l'écriture de la première : aucune n'est perdue."""
    fin_ms, lues = module.maintenant_ms() + 60_000, Pauses.lire
    seconde = threading.Thread(target=lambda: Pauses(tmp_path).noter("okx", fin_ms))

    def lire_puis_ceder(pauses: Pauses) -> dict[str, int]:
        deja = lues(pauses)
        if seconde.ident is None:
            seconde.start()
            seconde.join(0.2)  # elle attend son tour ; sans verrou, elle aurait écrit
        return deja

    monkeypatch.setattr(Pauses, "lire", lire_puis_ceder)
    Pauses(tmp_path).noter("binance", fin_ms)
    seconde.join()
    assert Pauses(tmp_path).lire() == {"binance": fin_ms, "okx": fin_ms}
    assert [f.name for f in tmp_path.iterdir()] == [".pauses-ccxt.json"]


def test_un_fichier_de_pauses_sans_fond_ne_compte_pas(tmp_path: Path) -> None:
    (tmp_path / ".pauses-ccxt.json").write_text("[" * 100_000)
    assert Pauses(tmp_path).lire() == {}


def test_le_banc_d_essai_a_ses_pauses(tmp_path: Path) -> None:
    """L'exchange réel et son banc d'essai ne comptent pas ensemble, d'une exécution à l'autre non plus."""
    pauses, (reel, essai) = Pauses(tmp_path), (module.Reglages("binance", sandbox=un) for un in (False, True))
    pauses.noter("binance", module.maintenant_ms() + 60_000)
    assert debit_de(reel, pauses).frein.reste_s > 50
    assert debit_de(essai, pauses).frein.reste_s == 0


def test_ce_qui_ne_pese_pas_ne_laisse_rien(tmp_path: Path) -> None:
    """Trois requêtes sur les neuf cents que binance admet : aucun fichier de plus."""
    with Bourse(("binance",)).en_fil() as bourse:
        mots = ["--symbole", "BTC/USDT", "--sortie", str(tmp_path / "x.csv"), "--journal", "error",
                "--config-ccxt", json.dumps(bourse.config_ccxt("binance"))]  # fmt: skip
        assert module.principal(mots) == 0
    assert not (tmp_path / ".pauses-ccxt.json").exists()


@pytest.mark.parametrize(("fenetre_s", "laisse"), [(1.0, False), (10.0, True)])
def test_une_fenetre_passee_avant_l_execution_suivante_ne_laisse_rien(
    tmp_path: Path, fenetre_s: float, laisse: bool
) -> None:
    """hitbtc, bequant, bitget comptent sur une seconde : six pages laissaient un fichier que personne n'aurait lu."""
    debit = Debit("bequant", Pauses(tmp_path))
    debit.limiteur = LimiteurAFenetre(300, fenetre_s)
    for _ in range(15 * int(fenetre_s)):
        debit.limiteur.passer(10)
    debit.laisser()
    assert (tmp_path / ".pauses-ccxt.json").exists() is laisse
