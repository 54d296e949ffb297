"""Les pièces du flux qui se jugent seules : trades relus, suites d'ids, fils nourris à la main, santé, enchaînement."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import itertools
import logging
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from ccxt.async_support.base.ws.cache import ArrayCache, ArrayCacheByTimestamp
from flux_suivi import jouer, niveaux
from sorties_modeles import creer

import module_ccxt_fr_v2 as m
from annexes_ccxt_fr import bougies_plates
from annexes_ccxt_fr.vitesse import enchainer, tas_fige

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from pathlib import Path

MINUTE = 60_000
T0 = 1_704_459_600_000
CLE = m.CleSerie("binance", "BTC/USDT", "1m", "last")
UNE_MINUTE = m.Timeframe.lire("1m")


# --- Identifiants


@pytest.mark.parametrize(
    ("brut", "attendu"),
    [
        ({"id": 12}, "12"),
        ({"id": ""}, None),
        ({"id": "9", "info": {"a": 9, "f": 100, "l": 100}}, "100"),
        ({"id": "9", "info": {"a": 9, "f": 100, "l": 103}}, "100-103"),
        ({"id": "130", "info": {"tradeId": "130", "count": "3"}}, "128-130"),
        ({"id": "130", "info": {"tradeId": "130", "count": "1"}}, "130"),
    ],
)
def test_un_identifiant_dit_les_trades_qu_il_reunit(brut: dict[str, Any], attendu: str | None) -> None:
    """Binance réunit en REST, okx dans son flux : la même écriture des deux."""
    assert m._id_de(brut) == attendu


def test_les_rangs_d_un_identifiant() -> None:
    assert m.rangs_de("12") == (12, 12)
    assert m.rangs_de("12-15") == (12, 15)
    assert m.rangs_de("~1-buy-2-0") is None
    assert m.rangs_de("12345678-1234-5678-1234-567812345678") is None
    assert m.rangs_de(None) is None


# --- Trades relus


def brut(numero: int, instant: int, **autres: Any) -> dict[str, Any]:
    """Un trade de ccxt."""
    return {"id": str(numero), "timestamp": instant, "price": 10.0, "amount": 1.0, "side": "buy", **autres}


def trade(numero: int, instant: int, ident: str | None = None) -> m.Trade:
    """Le même, lu."""
    return m.Trade(instant, ident or str(numero), "buy", 10.0, 1.0)


def combler(
    lire: Callable[[int | None, Any], Awaitable[list[dict[str, Any]]]], dernier: m.Trade, jusqua: m.Trade | None,
    arriere: dict[str, Any] | None = None, heure: int = T0 + 60 * MINUTE, jusqua_obeit: bool = False,
) -> tuple[list[str | None], m.Relu]:  # fmt: skip
    """Les identifiants relus, et ce que la relecture a prouvé."""
    connexion: Any = SimpleNamespace(
        lire_trades=lambda _serie, depuis, params, **_: lire(depuis, params), heure_ms=lambda: heure,
        trades_jusqua=jusqua_obeit, particularite=m.Particularite(trades_arriere=arriere),
    )  # fmt: skip
    serie = m.Serie(m.CleSerie("ailleurs", "BTC/USDT"), {"type": "spot"}, UNE_MINUTE, 0)
    memoire = m.Dedoublonneur()
    memoire.nouveaux(filter(None, (dernier, jusqua)))

    async def tout() -> tuple[list[str | None], m.Relu]:
        relecture = m.RelectureTrades(connexion, serie, m.Lacune(dernier, jusqua), memoire)
        return [t.id async for page in relecture.pages() for t in page], relecture.resultat()

    return asyncio.run(tout())


def test_une_relecture_avance_de_page_en_page_jusqu_au_premier_d_apres() -> None:
    """Ni les trades des bords, ni ceux d'au-delà ne sont rendus deux fois."""
    marche = [brut(n, T0 + n * 1000) for n in range(100)]

    async def lire(depuis: int | None, _params: Any) -> list[dict[str, Any]]:
        return [t for t in marche if t["timestamp"] >= (depuis or 0)][:10]

    lus, relu = combler(lire, trade(20, T0 + 20_000), trade(55, T0 + 55_000))
    assert list(dict.fromkeys(lus)) == [str(n) for n in range(21, 55)]
    assert relu.trous == []


def test_ce_que_l_exchange_ne_sert_plus_est_un_trou() -> None:
    """Il ne remonte qu'au numéro 40, daté à la seconde : de 20 à cette seconde entière, c'est hors de sa fenêtre."""
    marche = [brut(n, T0 + n * 1000) for n in range(40, 60)]

    async def lire(depuis: int | None, _params: Any) -> list[dict[str, Any]]:
        return [t for t in marche if t["timestamp"] >= (depuis or 0)]

    lus, relu = combler(lire, trade(20, T0 + 20_000), trade(55, T0 + 55_000))
    assert lus == [str(n) for n in range(40, 55)]
    assert relu.trous == [m.Trou(T0 + 20_000, T0 + 41_000, m.HORS_FENETRE_API)]


def test_une_page_repetee_n_est_pas_redemandee_sans_fin() -> None:
    appels = 0

    async def lire(_depuis: int | None, _params: Any) -> list[dict[str, Any]]:
        nonlocal appels
        appels += 1
        return [brut(20, T0 + 20_000)]

    lus, relu = combler(lire, trade(20, T0 + 20_000), trade(55, T0 + 55_000))
    assert appels <= 2
    assert lus == []
    assert [t.raison for t in relu.trous] == [m.ECHEC]


@pytest.mark.parametrize("jusqua", [trade(55, T0 + 55_000), None])
def test_une_page_repetee_vers_le_passe_n_est_pas_redemandee_sans_fin(jusqua: m.Trade | None) -> None:
    """Un okx qui rend toujours ses derniers, quel que soit `after`, n'est pas demandé cinq cents fois."""
    appels = 0

    async def lire(_depuis: int | None, _params: Any) -> list[dict[str, Any]]:
        nonlocal appels
        appels += 1
        return [brut(n, T0 + n * 1000) for n in range(40, 60)]

    lus, relu = combler(lire, trade(20, T0 + 20_000), jusqua, arriere={"type": "1"})
    assert appels == 2
    assert lus == [str(n) for n in range(40, 55 if jusqua else 60)]
    assert m.Trou(T0 + 20_000, T0 + 41_000, m.HORS_FENETRE_API) in relu.trous


def test_des_trades_reunis_par_le_rest_ne_doublent_pas_ceux_du_flux() -> None:
    """Binance : le flux donnait 18, 19, 20 puis 30, 31 ; le REST les réunit par ordre preneur."""
    reunis = [(18, 20, 0), (21, 24, 1), (25, 29, 2), (30, 31, 3)]
    marche = [
        brut(a, T0 + ms, info={"a": a, "f": premier, "l": dernier}) for a, (premier, dernier, ms) in enumerate(reunis)
    ]

    async def lire(_depuis: int | None, params: Any) -> list[dict[str, Any]]:
        return [t for t in marche if t["info"]["a"] >= params.get("fromId", 0)]

    lus, relu = combler(lire, trade(20, T0), trade(30, T0 + 3))
    assert lus == ["21-24", "25-29"]
    assert relu.trous == []
    assert relu.rejoint


def test_une_relecture_recule_par_identifiant() -> None:
    """Okx : `since` y est ignoré ; les pages sont rendues dans l'ordre du temps."""
    marche = [brut(n, T0 + n * 1000) for n in range(100)]

    async def lire(_depuis: int | None, params: Any) -> list[dict[str, Any]]:
        apres = int(params.get("after", 100))
        return [t for t in marche if int(t["id"]) < apres][-10:]

    lus, relu = combler(lire, trade(20, T0 + 20_000), trade(55, T0 + 55_000), arriere={"type": "1"})
    assert lus == [str(n) for n in range(21, 55)]
    assert relu.trous == []


@pytest.mark.parametrize("reprise", ["55", "55-57"])
def test_une_relecture_a_reculons_va_jusqu_a_la_reprise(reprise: str) -> None:
    """Okx : son REST est en retard sur son flux, ou la réunit : ce qu'il ne sert pas encore n'est pas couvert."""
    servis = [brut(n, T0 + n * 1000) for n in range(60)]

    async def lire(_depuis: int | None, params: Any) -> list[dict[str, Any]]:
        return [t for t in servis if int(t["id"]) < int(params["after"])][-10:]

    bords = trade(20, T0 + 20_000), trade(55, T0 + 55_000, reprise)
    lus, relu = combler(lire, *bords, arriere={"type": "1"})
    assert lus == [str(n) for n in range(21, 55)]
    assert relu.complet
    del servis[50:]
    lus, relu = combler(lire, *bords, arriere={"type": "1"})
    assert lus == [str(n) for n in range(21, 50)]
    assert relu.trous == [m.Trou(T0 + 49_000, T0 + 55_001, m.ECHEC)]


def test_un_trade_impossible_du_rest_est_un_trou() -> None:
    """Son prix manque : rien n'en est écrit, et son instant n'est pas couvert."""
    marche = [brut(n, T0 + n * 1000 + 5, price=None if n == 25 else 10.0) for n in range(20, 31)]

    async def lire(depuis: int | None, _params: Any) -> list[dict[str, Any]]:
        return [t for t in marche if t["timestamp"] >= (depuis or 0)]

    lus, relu = combler(lire, trade(20, T0 + 20_005), trade(30, T0 + 30_005))
    assert lus == [str(n) for n in range(21, 30) if n != 25]
    assert relu.trous == [m.Trou(T0 + 25_005, T0 + 25_006, m.ECHEC)]


def test_un_trade_date_d_avant_celui_qu_il_suit_est_relu() -> None:
    """Le 21, manqué, est daté 3 ms avant le 20, et le 24 2 ms après le 25 : leurs numéros disent leur place."""
    instants = {19: 0, 20: 5, 21: 2, 22: 10, 24: 22, 25: 20, 26: 30}
    marche = sorted((brut(n, T0 + ms) for n, ms in instants.items()), key=lambda t: t["timestamp"])

    async def lire(depuis: int | None, _params: Any) -> list[dict[str, Any]]:
        return [t for t in marche if t["timestamp"] >= (depuis or 0)]

    lus, relu = combler(lire, trade(20, T0 + 5), trade(25, T0 + 20))
    assert lus == ["21", "22", "24"]
    assert relu.complet


def test_une_heure_sans_trade_n_est_pas_la_fin() -> None:
    """Binance borne sa réponse à une heure."""
    marche = [brut(1, T0), brut(2, T0 + 150 * MINUTE)]

    async def lire(depuis: int | None, _params: Any) -> list[dict[str, Any]]:
        return [t for t in marche if (depuis or 0) < t["timestamp"] < (depuis or 0) + m.HEURE_MS]

    lus, _ = combler(lire, trade(1, T0), trade(3, T0 + 151 * MINUTE), heure=T0 + 152 * MINUTE)
    assert lus == ["2"]


@pytest.mark.parametrize("nomme", [True, False])
def test_plus_d_une_page_entre_deux_demandes_est_un_trou(nomme: bool) -> None:
    """Phemex ne sert que ses 200 derniers, quel que soit `since` : deux pages de suite ne se touchent pas forcément."""
    marche = [brut(n, T0 + n * 1000, price=float(n), **({} if nomme else {"id": None})) for n in range(100)]
    vus = [25, 90]  # il y eut soixante-cinq trades entre deux demandes

    async def lire(depuis: int | None, _params: Any) -> list[dict[str, Any]]:
        fin = vus.pop(0) if len(vus) > 1 else vus[0]
        return [t for t in marche[:fin][-10:] if t["timestamp"] >= (depuis or 0)]

    dernier = trade(20, T0 + 20_000) if nomme else m.trade_de(marche[20], None)
    assert dernier is not None
    lus, relu = combler(lire, dernier.nomme(), None, heure=T0 + 95_000)
    instants = list(range(T0 + 20_000, T0 + 25_000, 1000)) + list(range(T0 + 80_000, T0 + 90_000, 1000))
    assert len(lus) >= len(instants) - 1
    assert relu.trous == [m.Trou(T0 + 24_000, T0 + 81_000, m.HORS_FENETRE_API)]


def test_un_since_exclu_ne_rompt_pas_la_suite_des_pages() -> None:
    """Là où `since` exclut son instant, la page suivante ne redit pas le dernier trade : elle le suit pourtant."""
    marche = [brut(7 * n, T0 + n * 1000) for n in range(100)]

    async def lire(depuis: int | None, _params: Any) -> list[dict[str, Any]]:
        return [t for t in marche if t["timestamp"] > (depuis or 0)][:10]

    lus, relu = combler(lire, trade(140, T0 + 20_000), trade(385, T0 + 55_000))
    assert list(dict.fromkeys(lus)) == [str(7 * n) for n in range(21, 55)]
    assert relu.trous == []
    assert relu.rejoint


def test_un_trou_va_jusqu_au_premier_trade_servi_meme_si_notre_heure_est_en_retard_sur_lui() -> None:
    marche = [brut(n, T0 + n * 1000) for n in range(80, 90)]

    async def lire(_depuis: int | None, _params: Any) -> list[dict[str, Any]]:
        return marche

    _, relu = combler(lire, trade(20, T0 + 20_000), None, heure=T0 + 30_000)
    assert relu.trous == [m.Trou(T0 + 20_000, T0 + 81_000, m.HORS_FENETRE_API)]


def test_un_since_ignore_n_est_pas_essaye_de_plus_en_plus_loin() -> None:
    """Kucoin, htx : demandée de plus loin, la page commence plus tard, le marché ayant couru ; le reste est vain."""
    demandes: list[int | None] = []

    async def lire(depuis: int | None, _params: Any) -> list[dict[str, Any]]:
        demandes.append(depuis)
        return [brut(n, T0 + n * 1000) for n in range(80 + len(demandes), 90 + len(demandes))]

    _, relu = combler(lire, m.Trade(T0 + 20_000, None, None, 0.0, 0.0), trade(85, T0 + 85_000))
    assert len(demandes) == 2
    assert relu.trous == [m.Trou(T0 + 20_000, T0 + 82_000, m.HORS_FENETRE_API)]


def test_ce_qui_a_lieu_pendant_qu_on_relie_une_page_n_y_est_pas_rattache() -> None:
    """Kucoin ignore `since` : demandée de plus loin, une page commence après celle qu'on veut relier au début."""
    servis = iter([range(8, 13), range(14, 21)])

    async def lire(_depuis: int | None, _params: Any) -> list[dict[str, Any]]:
        return [brut(n, T0 + n * 1000 + 1) for n in next(servis, ())]

    lus, relu = combler(lire, m.Trade(T0 + 1, None, None, 0.0, 0.0), None, heure=T0 + 10_000)
    assert lus == [str(n) for n in range(8, 13)]
    assert relu.dernier == trade(12, T0 + 12_001)


def test_le_debut_d_une_ecoute_se_prouve_aussi_en_remontant() -> None:
    """Une page est pleine des plus récents : remonter va jusqu'à un trade d'avant l'écoute, même d'un marché calme."""
    marche = [brut(n, T0 + n * 100_000) for n in range(100)]

    async def lire(depuis: int | None, params: Any) -> list[dict[str, Any]]:
        fin = params.get("until", T0 + m.JOUR_MS)
        return [t for t in marche if (depuis or 0) <= t["timestamp"] <= fin][-10:]

    debut = m.Trade(T0 + 2_050_000, None, None, 0.0, 0.0)
    lus, relu = combler(lire, debut, trade(95, T0 + 9_500_000), heure=T0 + m.JOUR_MS, jusqua_obeit=True)
    assert relu.complet
    assert sorted(lus, key=str) == [str(n) for n in range(21, 95)]


@pytest.mark.parametrize("nomme", [True, False])
def test_une_page_qui_part_du_bord_sans_mener_plus_loin_est_une_cassure(nomme: bool) -> None:
    """Sans `until`, `since` est ignoré ; avec lui, les plus anciens d'abord : entre les deux pages, rien n'est dit."""
    marche = [brut(n, T0 + n * 1000) for n in range(3_000)]

    async def lire(depuis: int | None, params: Any) -> list[dict[str, Any]]:
        fin = params.get("until")
        return marche[-100:] if fin is None else [t for t in marche if (depuis or 0) <= t["timestamp"] <= fin][:100]

    bord = trade(2_000, T0 + 2_000_000) if nomme else m.Trade(T0 + 2_000_500, None, None, 0.0, 0.0)
    lus, relu = combler(lire, bord, trade(2_990, T0 + 2_990_000), heure=T0 + 3_000_000, jusqua_obeit=True)
    assert not relu.complet
    rendus = {int(lu) for lu in lus if lu}
    absents = {T0 + n * 1000 for n in set(range(2_001, 2_990)) - rendus}
    assert absents
    assert all(any(trou.debut <= instant < trou.fin for trou in relu.trous) for instant in absents)


def test_relire_jusqu_a_maintenant_ne_poursuit_pas_un_marche_qui_court() -> None:
    """Un trade de plus entre deux demandes, sans fin : « maintenant » est l'heure à laquelle on a commencé."""
    vus = 0

    async def lire(depuis: int | None, _params: Any) -> list[dict[str, Any]]:
        nonlocal vus
        vus += 1
        marche = [brut(7 * n, T0 + n * 1000) for n in range(20 + vus)]
        return [t for t in marche if t["timestamp"] >= (depuis or 0)][-10:]

    _, relu = combler(lire, trade(7 * 15, T0 + 15_000), None, heure=T0 + 21_000)
    assert vus <= 3
    assert relu.trous == []
    assert relu.rejoint


# --- Suite d'identifiants


class SuiteALHeure(m.SuiteDIds):
    """Une suite d'identifiants à l'heure qu'on lui donne."""

    def __init__(self, grace_s: float = 0.0) -> None:
        super().__init__(lambda: self.heure, grace_s)
        self.heure = 0.0

    def a(self, heure: float) -> SuiteALHeure:
        """La même, à cette heure."""
        self.heure = heure
        return self


def test_un_saut_n_est_dit_qu_apres_la_grace_et_une_fois() -> None:
    suite_d_ids = SuiteALHeure(2.0)
    assert suite_d_ids.noter(trade(1, T0)) is None
    assert suite_d_ids.a(1.0).noter(trade(4, T0)) is None
    assert suite_d_ids.en_attente == trade(1, T0)
    assert suite_d_ids.a(2.9).noter(trade(5, T0)) is None
    assert suite_d_ids.a(3.0).noter(trade(6, T0)) == trade(1, T0)
    assert suite_d_ids.a(9.0).noter(trade(7, T0)) is None


def test_un_retardataire_comble_le_saut() -> None:
    suite_d_ids = SuiteALHeure(2.0)
    for numero in (1, 3, 2, 4):
        assert suite_d_ids.noter(trade(numero, T0)) is None
    assert suite_d_ids.a(99.0).echu() is None


def test_un_saut_comble_n_en_est_pas_un() -> None:
    """Bitget : le plus récent d'une trame y vient d'abord ; ses identifiants se suivent pourtant."""
    suite_d_ids = SuiteALHeure(2.0)
    for numero in (2, 1, 6, 5, 3, 4, 8, 7):
        suite_d_ids.noter(trade(numero, T0))
    assert (suite_d_ids.suites, suite_d_ids.sauts) == (6, 0)
    assert suite_d_ids.se_suivent
    suite_d_ids.noter(trade(10, T0))
    suite_d_ids.noter(trade(12, T0))
    suite_d_ids.noter(trade(11, T0))
    suite_d_ids.a(3.0).echu()
    suite_d_ids.noter(trade(9, T0))
    assert suite_d_ids.sauts == 2, "trop tard : le REST a été demandé"


def test_un_saut_se_declare_meme_si_plus_rien_ne_vient() -> None:
    suite_d_ids = SuiteALHeure(2.0)
    suite_d_ids.noter(trade(1, T0))
    suite_d_ids.noter(trade(3, T0))
    assert suite_d_ids.a(0.5).reste_s == 1.5
    assert suite_d_ids.a(2.0).echu() == trade(1, T0)


def test_des_trades_reunis_se_suivent() -> None:
    """Okx : « 128-130 » suit 127."""
    suite_d_ids = SuiteALHeure()
    for ident in ("127", "128-130", "131"):
        suite_d_ids.noter(trade(0, T0, ident))
    assert suite_d_ids.en_attente is None


def test_un_exchange_dont_les_identifiants_sautent_n_est_plus_surveille() -> None:
    suite_d_ids = SuiteALHeure()
    suite_d_ids.vains = m.SAUTS_VAINS_MAX
    suite_d_ids.recommencer()
    assert [suite_d_ids.a(9.0).noter(trade(n, T0)) for n in (1, 50, 99)] == [None] * 3


def test_des_sauts_sans_une_suite_restent_surveilles() -> None:
    """Un flux qui perd un trade sur deux dès le premier : seul le REST peut dire que ces sauts sont vains."""
    suite_d_ids = SuiteALHeure()
    dits = [suite_d_ids.a(float(n)).noter(trade(n, T0)) for n in range(1, 30, 2)]
    assert dits == [None, *(trade(n, T0) for n in range(1, 28, 2))]


def test_un_saut_immense_ne_prend_pas_la_memoire() -> None:
    suite_d_ids = SuiteALHeure(2.0)
    suite_d_ids.noter(trade(1, T0))
    assert suite_d_ids.noter(trade(10**15, T0)) == trade(1, T0), "il n'est pas attendu"
    for numero in range(1, 20):
        suite_d_ids.a(1.0).noter(trade(10**15 + numero * 1_000, T0))
    assert len(suite_d_ids._manquants) <= m.MANQUANTS_MAX
    assert suite_d_ids.a(3.0).echu() == trade(10**15, T0)


# --- Suite de trades, et ses lacunes


def suite_de_trades(dernier: m.Trade | None = None, a_confirmer: int = 0) -> m.SuiteDeTrades:
    """Une suite qui admet deux secondes de retard ; ses sauts d'identifiants se disent aussitôt."""
    return m.SuiteDeTrades(SuiteALHeure(), dernier, 2_000, a_confirmer)


def test_une_suite_couvre_de_son_premier_trade_a_son_dernier_exclu() -> None:
    """Le premier partage peut-être sa milliseconde avec un autre, d'avant l'écoute ; le dernier, avec un à venir."""
    suite = suite_de_trades(trade(1, T0))
    assert suite.enchainer(trade(5, T0 + 1_000)) == [m.Lacune(trade(1, T0), trade(5, T0 + 1_000))]
    for numero in (6, 7):
        assert suite.enchainer(trade(numero, T0 + numero * 1_000)) == []
    assert suite.prendre([]) == [(T0 + 1_001, T0 + 7_000)]
    assert suite.prendre([]) == [], "déjà pris"
    assert suite.enchainer(trade(8, T0 + 8_000)) == []
    assert suite.prendre([(T0 + 7_500, m.INSTANT_MAX_MS)]) == [(T0 + 7_000, T0 + 7_500)]
    assert suite.prendre([]) == [(T0 + 7_500, T0 + 8_000)], "ce qui était en suspens attendait"


def test_sans_ids_qui_se_suivent_une_suite_n_est_sure_que_la_grace_passee() -> None:
    """Un trade tarde peut-être : rien ne le dirait absent ; rompue là, elle se relit d'aussi loin."""
    suite = suite_de_trades()
    dits = [trade(0, T0 + n * 1_000, f"{n}-uuid") for n in range(6)]
    assert suite.enchainer(dits[0]) == [m.Lacune(dits[0]._replace(id=None), dits[0], saut=True)]
    pris = []
    for dit in dits[1:]:
        assert suite.enchainer(dit) == []
        pris += suite.prendre([])
    suite.rompre()
    assert m.unir(pris, suite.prendre([])) == [(T0 + 1, T0 + 3_000)]
    assert suite.bord == dits[2]
    assert suite.rompue


@pytest.mark.parametrize("prouve", [False, True])
def test_une_suite_se_renoue_au_trade_que_redit_l_instantane(prouve: bool) -> None:
    suite = suite_de_trades()
    for numero in (1, 2, 3):
        suite.enchainer(trade(numero, T0 + numero * 1_000))
    suite.rompre()
    assert suite.prendre([]) == [(T0 + 1_001, T0 + 3_000)]
    assert suite.renouer(trade(2, T0 + 2_000), lambda _: prouve) == []
    assert suite.rompue, "ce n'est pas le dernier"
    assert suite.renouer(trade(3, T0 + 3_000), lambda _: prouve) == []
    assert suite.enchainer(trade(4, T0 + 4_000)) == []
    assert suite.prendre([]) == [(T0 + 3_000 + (not prouve), T0 + 4_000)]


def test_un_trou_coupe_une_suite_deja_finie() -> None:
    suite = suite_de_trades()
    for numero in (1, 2, 3):
        suite.enchainer(trade(numero, T0 + numero * 1_000))
    assert suite.combler((T0, T0 + 1_001), []) == [(T0, T0 + 1_001)]
    assert suite.prouves([]) == [(T0 + 1_001, T0 + 3_000)]
    assert suite.combler((T0 + 1_500, T0 + 3_001), [(T0 + 2_000, T0 + 2_001)]) == [
        (T0 + 1_500, T0 + 2_000), (T0 + 2_001, T0 + 3_000),
    ]  # fmt: skip
    assert suite.prendre([]) == [(T0 + 1_001, T0 + 2_000), (T0 + 2_001, T0 + 3_000)]


def test_une_suite_sans_ids_se_fait_confirmer_tous_les_tant() -> None:
    suite = suite_de_trades(a_confirmer=2)
    dits = [trade(0, T0 + n * 1_000, f"{n}-uuid") for n in range(4)]
    for dit in dits:
        suite.enchainer(dit)
    assert suite.compter(dits[:1]) == []
    assert suite.en_suspens() == [dits[0]]
    assert suite.compter(dits[1:]) == [m.Lacune(dits[0], dits[3], saut=True)]
    assert suite.en_suspens() == [dits[3]]


def test_des_sauts_d_un_seul_tenant_ne_font_qu_une_lacune() -> None:
    """Du début de l'écoute, qui n'a pas d'id, non : ce qui le précède n'est pas dû."""
    un, deux, trois = (trade(n, T0 + n) for n in (1, 5, 9))
    lacunes = m.Lacunes([])
    lacunes.ajouter(m.Lacune(un._replace(id=None), un, saut=True))
    lacunes.ajouter(m.Lacune(un, deux, saut=True))
    lacunes.ajouter(m.Lacune(deux, trois, saut=True))
    assert list(lacunes.file) == [m.Lacune(un._replace(id=None), un, saut=True), m.Lacune(un, trois, saut=True)]


# --- Lots


def lot(*bougies: Sequence[float], trous: Sequence[m.Trou] = ()) -> m.Lot:
    """Un lot de bougies."""
    table = m.cribler(bougies, UNE_MINUTE, "last").lignes
    couverts = m.unir((int(b[0]), int(b[0]) + MINUTE) for b in bougies)
    return m.Lot(CLE, m.habiller(CLE, table), m.unir(couverts, ((t.debut, t.fin) for t in trous)), list(trous))


def plate(minute: int, prix: float = 10.0, volume: float = 1.0) -> list[float]:
    """Une bougie sans corps."""
    return [T0 + minute * MINUTE, prix, prix, prix, prix, volume]


DEUX_PLATES = lot(plate(0), plate(1, volume=0.0), plate(2, volume=0.0), plate(3))


def test_omettre_les_plates_en_fait_des_trous() -> None:
    """Couvertes quand même : une minute sans trade est un fait."""
    rendu = m.omettre_les_plates(DEUX_PLATES, UNE_MINUTE, m.Fiche(CLE))
    assert m.instants_de(rendu.lignes) == [T0, T0 + 3 * MINUTE]
    assert rendu.trous == [m.Trou(T0 + MINUTE, T0 + 3 * MINUTE, m.SANS_TRANSACTION)]
    assert rendu.couverts == [(T0, T0 + 4 * MINUTE)]


@pytest.mark.parametrize("trou", [None, m.Trou(T0, T0 + MINUTE, m.SANS_TRANSACTION)])
def test_omettre_garde_une_plate_deja_ecrite(trou: m.Trou | None) -> None:
    """Reportée par une autre exécution ; celle que la fiche dit déjà absente ne l'est pas pour autant."""
    deja = m.Fiche(CLE, couverts=[(T0 - MINUTE, T0 + 2 * MINUTE)], trous=[trou] if trou else [])
    rendu = m.omettre_les_plates(DEUX_PLATES, UNE_MINUTE, deja)
    assert m.instants_de(rendu.lignes) == [T0, T0 + MINUTE, T0 + 3 * MINUTE]
    assert rendu.trous == [m.Trou(T0 + 2 * MINUTE, T0 + 3 * MINUTE, m.SANS_TRANSACTION)]
    deja.trous = [m.Trou(T0 + MINUTE, T0 + 2 * MINUTE, m.SANS_TRANSACTION)]
    assert m.instants_de(m.omettre_les_plates(DEUX_PLATES, UNE_MINUTE, deja).lignes) == [T0, T0 + 3 * MINUTE]


def test_reporter_les_vides_a_la_cloture_d_avant() -> None:
    vide = m.Trou(T0 + MINUTE, T0 + 3 * MINUTE, m.SANS_TRANSACTION)
    rendu = bougies_plates.reporter_les_vides(lot(plate(0, 7.0), plate(3), trous=[vide]), UNE_MINUTE, {})
    assert rendu.lignes["close"].to_pylist() == [7.0, 7.0, 7.0, 10.0]
    assert rendu.lignes["volume"].to_pylist() == [1.0, 0.0, 0.0, 1.0]
    assert rendu.trous == []


def test_reporter_dit_les_vides_qu_il_ne_relit_pas(caplog: pytest.LogCaptureFixture) -> None:
    """D'un fichier fait en omettant, un flux ne reprend pas tout ce qui précède : zéro ligne, code 0, sans un mot."""
    with caplog.at_level("INFO", m.journal.name):
        bougies_plates.Report(m.Fiche(CLE, trous=[m.Trou(T0, T0 + MINUTE, m.ECHEC)]))
        assert not caplog.messages
        bougies_plates.Report(m.Fiche(CLE, trous=[m.Trou(T0, T0 + MINUTE, m.SANS_TRANSACTION)]))
    (dit,) = caplog.messages
    assert m.en_iso(T0 + MINUTE) in dit
    assert "--donnee trades --trades-vers-ohlcv --bougies-vides reporter" in dit


def test_un_vide_en_tete_prend_la_cloture_connue_sinon_reste_un_trou() -> None:
    vide = m.Trou(T0, T0 + MINUTE, m.SANS_TRANSACTION)
    assert bougies_plates.reporter_les_vides(lot(plate(1), trous=[vide]), UNE_MINUTE, {}).trous == [vide]
    rendu = bougies_plates.reporter_les_vides(lot(plate(1), trous=[vide]), UNE_MINUTE, {T0 - MINUTE: 5.0})
    assert rendu.lignes["close"].to_pylist() == [5.0, 10.0]
    echec = m.Trou(T0, T0 + MINUTE, m.ECHEC)
    rendu = bougies_plates.reporter_les_vides(lot(plate(1), trous=[echec]), UNE_MINUTE, {T0 - MINUTE: 5.0})
    assert rendu.trous == [echec]


def test_enchainer_reunit_les_lots_qui_se_suivent() -> None:
    """Par série, dans l'ordre ; une révision, qui revient en arrière, reste un lot à part."""
    autre = lot(plate(0))._replace(cle=CLE._replace(symbole="ETH/USDT"))
    reunis = enchainer([lot(plate(0)), autre, lot(plate(1)), lot(plate(0, 9.0)), lot(plate(2))])
    assert [(x.cle.symbole, m.instants_de(x.lignes)) for x in reunis] == [
        ("BTC/USDT", [T0, T0 + MINUTE]),
        ("ETH/USDT", [T0]),
        ("BTC/USDT", [T0, T0 + 2 * MINUTE]),
    ]
    assert reunis[0].couverts == [(T0, T0 + 2 * MINUTE)]


def test_deux_flux_qui_se_chevauchent_rendent_le_ramasse_miettes_tel_quel(monkeypatch: pytest.MonkeyPatch) -> None:
    """Le second remettait ce que le premier avait réglé : le processus d'un autre le gardait."""
    for nom in ("collect", "freeze", "unfreeze"):  # le tas de pytest reste figé
        monkeypatch.setattr(gc, nom, lambda: None)
    d_ici, avant, (premier, second) = gc.get_threshold(), (700, 10, 10), (tas_fige(), tas_fige())
    gc.set_threshold(*avant)  # une commande jouée avant dans ce processus a pu les changer
    try:
        premier.__enter__()
        second.__enter__()
        premier.__exit__(None, None, None)
        assert gc.get_threshold() != avant, "le second court encore"
        second.__exit__(None, None, None)
        assert gc.get_threshold() == avant
    finally:
        gc.set_threshold(*d_ici)


def test_un_grand_tampon_n_est_pas_recompte_a_chaque_trame() -> None:
    """`--flush 1000000`, mille trames par seconde : y additionner tout ce qui attend prendrait un cœur entier."""
    comptees: list[int] = []

    class Lignes:
        @property
        def num_rows(self) -> int:
            comptees.append(1)
            return 1

    execution: Any = object.__new__(m.ExecutionFlux)
    tache = m.construire({"symbole": "BTC/USDT", "stream": "trades", "flush": 10**6})
    vide = {"_depuis": 0.0, "_tampon": [], "_lignes": 0, "_bilans": {CLE: m.BilanSerie(CLE.symbole)}}
    vars(execution).update(vide, tache=tache, _boucle=SimpleNamespace(time=float))

    async def recevoir() -> None:
        for _ in range(200):
            execution._garder([m.Lot(CLE, Lignes(), [], [])])
            await execution._ecrire_si_du()

    asyncio.run(recevoir())
    assert len(execution._tampon) == 200
    assert len(comptees) <= 400


# --- Santé


def test_une_ligne_de_journal_par_changement_d_etat(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, m.journal.name)
    heures = iter([100.0, 225.0, 300.0, 301.0])
    sante = m._Sante("BTC/USDT", lambda: next(heures))
    sante.vit()
    for _ in range(5):
        sante.tombe(m.ErreurTemporaire("connexion fermée."), 0.3)
    sante.vit()
    sante.vit()
    assert niveaux(caplog.records) == [
        "BTC/USDT : flux coupé. connexion fermée. Reconnexion dans 0,3 s.",
        "BTC/USDT : flux rétabli après 5 erreurs en 2 min 05 s.",
    ]


def test_une_coupure_tenace_se_dit_une_fois_avec_que_faire(caplog: pytest.LogCaptureFixture) -> None:
    """Un flux sans fin, une adresse fausse : le seul message était celui de la première seconde."""
    caplog.set_level(logging.INFO, m.journal.name)
    heures = iter([100.0, 110.0])
    sante = m._Sante("BTC/USDT", lambda: next(heures))
    for _ in range(2 * m.COUPURE_TENACE):
        sante.tombe(m.ErreurTemporaire("nom introuvable : x.invalid", "Vérifiez le DNS."), 0.3)
    assert niveaux(caplog.records) == [
        "BTC/USDT : flux coupé. nom introuvable : x.invalid. Reconnexion dans 0,3 s.",
        "BTC/USDT : toujours coupé après 10 s. nom introuvable : x.invalid. Vérifiez le DNS.",
    ]


# --- Heure de l'exchange


def test_un_horodatage_du_futur_ne_fait_pas_l_heure_a_lui_seul(monkeypatch: pytest.MonkeyPatch) -> None:
    """En avance : il faut deux témoins, d'instants différents, et le moins avancé fait l'heure. D'un jour : refusé."""
    monkeypatch.setattr(m, "maintenant_ms", lambda: T0)
    horloge = m.Horloge()
    assert not horloge.noter_instant(T0 + 2 * m.JOUR_MS)
    assert horloge.noter_instant(T0 + m.HEURE_MS)
    assert horloge.noter_instant(T0 + m.HEURE_MS)  # le même, redit
    assert horloge.heure_ms() == T0
    assert horloge.noter_instant(T0 + 1_000)
    assert horloge.heure_ms() == T0 + 1_000, "à peine en avance : cru"
    assert horloge.noter_instant(T0 + 5_000)
    assert horloge.heure_ms() == T0 + 5_000
    assert horloge.noter_instant(T0 + m.HEURE_MS + 1_000)
    assert horloge.heure_ms() == T0 + m.HEURE_MS


@pytest.mark.parametrize("retard_de_la_date_ms", [0, 900])
def test_l_en_tete_date_est_le_temoin_d_un_horodatage_du_futur(
    retard_de_la_date_ms: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Notre horloge retarde de douze minutes (cryptocom, phemex) : d'une bougie de 5m, un seul instant est dit."""
    locale = T0
    monkeypatch.setattr(m, "maintenant_ms", lambda: locale)
    horloge = m.Horloge()
    horloge.recaler(0, avance_ms=720_000 - retard_de_la_date_ms)
    assert horloge.heure_ms() == T0, "la date d'une réponse ne fait pas l'heure à elle seule"
    for ecoule in (0, 300_000):
        locale = T0 + ecoule
        ouverte = locale + 720_000
        assert horloge.noter_instant(ouverte)
        assert horloge.heure_ms() == ouverte
        assert horloge.noter_instant(ouverte + 600_000)
        assert horloge.heure_ms() < ouverte + 600_000, "plus tard que la date elle-même"
    horloge.recaler(0)
    assert horloge.noter_instant(locale + 720_000)
    assert horloge.heure_ms() == locale


# --- Fils nourris à la main


class FausseConnexion(SimpleNamespace):
    """Ce qu'un fil demande à sa connexion, à l'heure qu'on lui donne ; le REST ne rend que `pages`."""

    heure: int

    def __init__(self, *, relisible: bool = True) -> None:
        super().__init__(
            heure=T0, api=SimpleNamespace(has={"fetchOHLCV": relisible}, timeframes={}, frein=m.Frein()),
            particularite=m.Particularite(), pages=[], essais=0, trades_jusqua=False, reponses=0,
        )  # fmt: skip

    def heure_ms(self) -> int:
        """L'heure de l'exchange."""
        return int(self.heure)

    def noter_instant(self, instant: int) -> bool:
        """Refuse ce qui est d'un jour en avance ; croit ce qui l'est à peine."""
        if instant <= self.heure + m.AVANCE_CRUE_MS:
            self.heure = max(self.heure, instant)
        return bool(instant <= self.heure + m.JOUR_MS)

    def noter_instants(self, instants: Sequence[int]) -> bool:
        """Les mêmes, tous."""
        return all(map(self.noter_instant, instants)) and bool(instants[-1] <= self.heure)

    def unite_volume(self, _marche: Any) -> str:
        """La base."""
        return "BTC"

    def mesure_des_trades(self, _marche: Any) -> Any:
        """La quantité dite."""
        return m.mesure_en_base(None, inverse=False)

    async def estimer_heure(self) -> None:
        """Elle est celle qu'on lui donne."""

    async def lire_trades(self, *_: Any) -> list[dict[str, Any]]:
        """La page suivante ; une exception est levée."""
        self.essais += 1
        page = self.pages.pop(0) if self.pages else []
        if isinstance(page, Exception):
            raise page
        return list(page)


def ouvrir_fil(classe: Any, connexion: Any, *autres: Any, grace_ms: int = 2_000) -> Any:
    """Un fil, abonné."""
    cle = CLE if issubclass(classe, m.FilBougies) else CLE._replace(timeframe="", prix="")
    serie = m.Serie(cle, {"type": "spot", "symbol": "BTC/USDT"}, UNE_MINUTE, 100)
    fil = classe(connexion, serie, m.Fiche(cle), m.ReglagesFlux(m.Plage(grace_ms=grace_ms)), *autres)
    if isinstance(fil, m.FilBougies):
        fil.confrontation.crues = True  # une bougie du REST aurait confirmé celles du flux
    fil.rompre()
    return fil


def ouvrir_agregat(vides: str, grace_ms: int = 0, *, relisible: bool = True) -> Any:
    """Un fil de bougies faites d'un flux de trades, abonné."""
    fil = ouvrir_fil(m.FilBougies, FausseConnexion(relisible=relisible), grace_ms=grace_ms)
    fil.faire_des_trades(vides)
    fil.rompre()
    return fil


def ouvrir_bougies_dites(connexion: FausseConnexion, minutes: int, volume: float) -> Any:
    """Un fil de bougies, sans grâce ni rattrapage : le flux vient de dire la naissance de chaque minute."""
    fil = ouvrir_fil(m.FilBougies, connexion, grace_ms=0)
    sans_rattrapage(fil)
    for minute in range(minutes):
        connexion.heure = T0 + minute * MINUTE + 1
        fil.recevoir([[T0 + minute * MINUTE, 1.0, 1.0, 1.0, 1.0, volume]], connexion.heure)
    return fil


def ids(lots: Sequence[m.Lot]) -> list[str]:
    """Les identifiants des trades rendus."""
    return [identifiant for x in lots for identifiant in x.lignes["id"].to_pylist()]


async def finir(fil: Any) -> None:
    """Arrête un fil, et note dans sa fiche ce qu'il rend encore."""
    fil.arrete = True
    await fil.arreter()
    fil.collecter(fil.connexion.heure)


def instants(lots: Sequence[m.Lot]) -> list[int]:
    """Les minutes rendues, comptées depuis T0."""
    return [(i - T0) // MINUTE for x in lots for i in m.instants_de(x.lignes)]


def bougie(minute: int, volume: float = 1.0) -> list[float]:
    """Une bougie de ccxt."""
    return plate(minute, volume=volume)


def a_la_main(essai: Callable[[], Awaitable[None]]) -> None:
    """Exécute un essai dans une boucle."""

    async def tout() -> None:
        await essai()

    jouer(tout())


def sans_rattrapage(fil: m.Fil) -> list[int]:
    """Compte les rattrapages au lieu de les faire."""
    lances: list[int] = []
    fil.rattraper = lambda: lances.append(1)  # type: ignore[assignment, method-assign, return-value]
    return lances


def test_la_premiere_bougie_n_est_jamais_rendue_telle_quelle() -> None:
    """Entamée avant nous, elle est relue ; les suivantes sont crues dès que la suivante arrive."""

    async def essai() -> None:
        connexion = FausseConnexion()
        fil = ouvrir_fil(m.FilBougies, connexion)
        lances = sans_rattrapage(fil)
        for minute in range(4):
            connexion.heure = T0 + minute * MINUTE + 10_000
            fil.recevoir([bougie(minute)], 0)
            assert instants(fil.collecter(connexion.heure)) == [m_ for m_ in [minute - 1] if m_ >= 1]
        assert fil.fiche.couverts == [(T0 + MINUTE, T0 + 3 * MINUTE)]
        assert lances  # la minute 0

    a_la_main(essai)


def test_une_bougie_close_par_l_horloge_puis_une_coupure_n_est_plus_crue() -> None:
    """Le socket était peut-être mort depuis longtemps : elle est rendue à l'heure, puis relue."""

    async def essai() -> None:
        connexion = FausseConnexion()
        fil = ouvrir_fil(m.FilBougies, connexion)
        sans_rattrapage(fil)
        for minute in (0, 1, 2):
            connexion.heure = T0 + minute * MINUTE + 10_000
            fil.recevoir([bougie(minute)], 0)
            fil.collecter(connexion.heure)
        connexion.heure = T0 + 3 * MINUTE + 2_000
        assert fil.echeance() == connexion.heure
        assert instants(fil.collecter(connexion.heure)) == [2]
        fil.rompre()
        assert fil.fiche.couverts == [(T0 + MINUTE, T0 + 2 * MINUTE)]

    a_la_main(essai)


def test_une_bougie_n_est_close_par_l_horloge_qu_apres_la_grace() -> None:
    async def essai() -> None:
        connexion = FausseConnexion()
        fil = ouvrir_fil(m.FilBougies, connexion)
        sans_rattrapage(fil)
        fil.recevoir([bougie(0)], 0)
        connexion.heure = T0 + MINUTE + 10
        fil.recevoir([bougie(1)], 0)
        fil.collecter(connexion.heure)
        assert instants(fil.collecter(T0 + 2 * MINUTE + 1_999)) == []
        assert instants(fil.collecter(T0 + 2 * MINUTE + 2_000)) == [1]

    a_la_main(essai)


def test_une_revision_apres_la_cloture_fait_relire_la_bougie() -> None:
    """Révision de l'exchange ou message dépassé : le flux ne sait pas, le REST si. Un double, lui, n'est rien."""

    async def essai() -> None:
        connexion = FausseConnexion()
        fil = ouvrir_fil(m.FilBougies, connexion)
        sans_rattrapage(fil)
        for minute in (0, 1, 2, 3):
            connexion.heure = T0 + minute * MINUTE + 10_000
            fil.recevoir([bougie(minute, 5.0)], 0)
            fil.collecter(connexion.heure)
        fil.recevoir([bougie(2, 5.0)], 0)
        assert fil.fiche.couverts == [(T0 + MINUTE, T0 + 3 * MINUTE)]
        fil.recevoir([bougie(1, 6.0)], 0)
        assert fil.fiche.couverts == [(T0 + 2 * MINUTE, T0 + 3 * MINUTE)]
        assert instants(fil.collecter(connexion.heure)) == []
        assert fil.compteurs.retards == 1

    a_la_main(essai)


def test_un_volume_qui_recule_rend_la_bougie_douteuse() -> None:
    """Des messages en désordre : l'état gardé n'est peut-être pas le dernier."""

    async def essai() -> None:
        connexion = FausseConnexion()
        fil = ouvrir_fil(m.FilBougies, connexion)
        sans_rattrapage(fil)
        fil.recevoir([bougie(0)], 0)
        for minute, volume in ((1, 2.0), (1, 5.0), (1, 3.0), (2, 1.0), (3, 1.0)):
            connexion.heure = T0 + minute * MINUTE + 10_000
            fil.recevoir([bougie(minute, volume)], 0)
        assert instants(fil.collecter(connexion.heure)) == [2]

    a_la_main(essai)


def test_une_bougie_du_futur_ne_clot_pas_celle_en_cours() -> None:
    async def essai() -> None:
        connexion = FausseConnexion()
        fil = ouvrir_fil(m.FilBougies, connexion)
        sans_rattrapage(fil)
        connexion.heure = T0 + MINUTE + 10_000
        for minute in (0, 1, 30):
            fil.recevoir([bougie(minute)], 0)
        assert fil.collecter(connexion.heure) == []

    a_la_main(essai)


def test_sans_rest_ce_qui_manque_est_un_trou() -> None:
    """La première bougie, entamée, est laissée de côté, et c'est dit."""

    async def essai() -> None:
        connexion = FausseConnexion(relisible=False)
        fil = ouvrir_fil(m.FilBougies, connexion)
        for minute in (0, 1, 2):
            connexion.heure = T0 + minute * MINUTE + 10_000
            fil.recevoir([bougie(minute)], 0)
            fil.collecter(connexion.heure)
        fil.collecter(connexion.heure)
        assert fil.fiche.trous == [m.Trou(T0, T0 + MINUTE, m.HORS_FENETRE_API)]
        assert fil.fiche.couverts == [(T0 + MINUTE, T0 + 2 * MINUTE)]

    a_la_main(essai)


def nourrir(fil: Any, *numeros_instants: tuple[int, int]) -> None:
    """Donne des trades à un fil, à leur heure."""
    for numero, instant in numeros_instants:
        fil.connexion.heure = max(fil.connexion.heure, T0 + instant)
        fil.recevoir([brut(numero, T0 + instant)], T0 + instant)


def test_un_agregat_ne_rend_pas_la_bougie_d_un_saut_en_suspens() -> None:
    """Elle se clôt pendant que des identifiants manquent encore : elle attend, et les compte s'ils viennent à temps."""

    async def essai() -> None:
        fil = ouvrir_agregat("omettre", grace_ms=2_000)
        sans_rattrapage(fil)
        fil.source.suite_d_ids.grace_s = 60.0
        nourrir(fil, (1, 1_000), (2, 61_000), (4, 80_000), (5, 121_000))
        assert instants(fil.collecter(fil.connexion.heure)) == []
        nourrir(fil, (3, 79_000))
        rendus = fil.collecter(fil.connexion.heure)
        assert instants(rendus) == [1]
        assert rendus[0].lignes["volume"].to_pylist() == [3 * brut(3, T0)["amount"]]

    a_la_main(essai)


def test_ce_que_le_rest_a_lu_n_est_pas_redit_par_un_flux_en_retard() -> None:
    """À peine née quand le flux se tait, une bougie est lue close par REST, puis par l'horloge : le REST gagne."""

    async def essai() -> None:
        connexion = FausseConnexion()
        fil = ouvrir_bougies_dites(connexion, minutes=3, volume=0.0)
        rendus = fil.collecter(connexion.heure)
        connexion.heure = T0 + 60 * MINUTE
        fil._rendre(fil.confrontation.apprendre(fil.source.adopter(lot(bougie(1), bougie(2))), connexion.heure))
        rendus += fil.collecter(connexion.heure)
        dites: dict[int, float] = {}
        for un in rendus:
            dites |= zip(instants([un]), un.lignes["volume"].to_pylist(), strict=True)
        assert dites == {rang: bougie(rang)[5] for rang in (1, 2)}

    a_la_main(essai)


def test_une_trame_en_retard_sur_le_rest_le_fait_relire() -> None:
    """D'une bougie que le REST a dite, et le flux pas encore : il n'en redit rien, elle est relue."""

    async def essai() -> None:
        connexion = FausseConnexion()
        fil = ouvrir_bougies_dites(connexion, minutes=2, volume=0.0)
        connexion.heure = T0 + 3 * MINUTE
        fil._rendre(fil.confrontation.apprendre(fil.source.adopter(lot(bougie(1), bougie(2))), connexion.heure))
        assert instants(fil.collecter(connexion.heure)) == [1, 2]
        fil.recevoir([[T0 + 2 * MINUTE, 1.0, 1.0, 1.0, 1.0, 0.0]], connexion.heure)
        assert instants(fil.collecter(connexion.heure)) == []
        assert m.croiser(fil.couverture.manques(connexion.heure), [(T0 + 2 * MINUTE, T0 + 3 * MINUTE)])

    a_la_main(essai)


def test_sans_rest_un_message_en_retard_ne_remplace_pas_une_bougie_rendue() -> None:
    """Un volume moindre n'est pas une révision ; un plus grand, si."""

    async def essai() -> None:
        connexion = FausseConnexion(relisible=False)
        fil = ouvrir_bougies_dites(connexion, minutes=3, volume=5.0)
        assert instants(fil.collecter(connexion.heure)) == [1]
        rendus: list[list[float]] = []
        for volume in (4.0, 6.0):
            fil.recevoir([[T0 + MINUTE, 1.0, 1.0, 1.0, 1.0, volume]], connexion.heure)
            rendus.append([v for un in fil.collecter(connexion.heure) for v in un.lignes["volume"].to_pylist()])
        assert rendus == [[], [6.0]]

    a_la_main(essai)


def test_un_retardataire_ne_cache_pas_la_minute_d_un_saut() -> None:
    """3 et 4 manquent entre deux minutes ; 3 revient, daté de la première : la seconde reste douteuse."""

    async def essai() -> None:
        fil = ouvrir_agregat("omettre")
        sans_rattrapage(fil)
        fil.source.suite_d_ids.grace_s = 60.0
        nourrir(fil, (1, 1_000), (2, 61_000), (5, 121_000), (3, 119_000))
        fil.source.suite_d_ids.grace_s = 0.0
        fil.collecter(fil.connexion.heure)
        nourrir(fil, (6, 181_000))
        assert instants(fil.collecter(fil.connexion.heure)) == []

    a_la_main(essai)


@pytest.mark.parametrize("vides", ["omettre", "reporter"])
@pytest.mark.parametrize("a_temps", [True, False], ids=["en partie", "toute"])
@pytest.mark.parametrize("relisible", [True, False], ids=["REST", "sans REST"])
def test_la_minute_d_un_retardataire_perdu_n_est_ni_vide_ni_rendue(
    vides: str, a_temps: bool, relisible: bool
) -> None:
    """Venus après la grâce, ses trades n'y entrent plus : sans eux elle serait fausse, ou passerait pour sans trade."""

    async def essai() -> None:
        fil = ouvrir_agregat(vides, relisible=relisible)
        sans_rattrapage(fil)
        fil.source.suite_d_ids.grace_s = 60.0
        premiers = [(2, 70_000), (4, 130_000), (3, 119_000)] if a_temps else [(4, 130_000), (2, 70_000), (3, 119_000)]
        nourrir(fil, (1, 1_000), *premiers, (5, 181_000), (6, 182_000))
        rendus = fil.collecter(fil.connexion.heure)
        assert instants(rendus) == [2]
        trous = [trou for lot in rendus for trou in lot.trous if trou.debut <= T0 + MINUTE < trou.fin]
        assert [trou.raison for trou in trous] == [m.HORS_FENETRE_API] * (not relisible)
        assert fil.fiche.couverts == [(T0 + 2 * MINUTE, T0 + 3 * MINUTE)]

    a_la_main(essai)


@pytest.mark.parametrize("relisible", [True, False], ids=["REST", "sans REST"])
@pytest.mark.parametrize("se_suivent", [True, False], ids=["se suivent", "uuid"])
def test_la_bougie_d_un_trade_qui_tardait_quand_l_ecoute_est_morte_n_est_plus_crue(
    se_suivent: bool, relisible: bool
) -> None:
    """Close par le premier trade de la minute 2, un dernier de la 1 tardait ; la mort ne se voit que bien après."""

    async def essai() -> None:
        fil = ouvrir_agregat("omettre", grace_ms=2_000, relisible=relisible)
        sans_rattrapage(fil)
        for numero, instant in enumerate((1_000, 50_000, 61_000, 80_000, 119_500, 120_500)):
            fil.connexion.heure = T0 + instant
            fil.recevoir([brut(numero, T0 + instant) | ({} if se_suivent else {"id": f"{numero}-uuid"})], T0 + instant)
        fil.connexion.heure = T0 + 3 * MINUTE + 30_000
        assert instants(fil.collecter(fil.connexion.heure)) == [1, 2], "close par l'horloge, personne ne l'a démentie"
        fil.rompre()
        assert fil.fiche.couverts == ([(T0 + MINUTE, T0 + 2 * MINUTE)] if se_suivent else [])

    a_la_main(essai)


def test_une_bougie_lue_a_peine_close_est_confirmee_meme_d_une_suite_qui_se_prouve() -> None:
    """Un REST en retard l'avait dite incomplète ; celles des trades, sans saut, n'ont rien à confirmer."""

    async def essai() -> None:
        fil = ouvrir_agregat("omettre")
        sans_rattrapage(fil)
        nourrir(fil, (1, 1_000), (2, 61_000), (3, 62_000), (4, 121_000))
        fil._rendre(fil.confrontation.apprendre(fil.source.adopter(lot(bougie(0))), T0))
        assert instants(fil.collecter(fil.connexion.heure)) == [0, 1]
        fil.connexion.heure = T0 + 20 * MINUTE
        assert fil.source.se_prouvent
        assert fil._a_confirmer(m.CONFIRMATION_MS) == [(T0, T0 + MINUTE)]
        fil.confrontation.apprendre(fil.source.adopter(lot(bougie(0))), T0 + MINUTE)
        assert fil._a_confirmer(m.CONFIRMATION_MS) == []

    a_la_main(essai)


def test_un_agregat_apprend_que_les_identifiants_ne_se_suivent_pas() -> None:
    """Trois bougies douteuses que le REST dit justes : plus rien n'est surveillé."""

    async def essai() -> None:
        fil = ouvrir_agregat("omettre")
        sans_rattrapage(fil)
        nourrir(fil, (1, 1_000))
        for minute in range(1, 5):
            nourrir(fil, (minute * 10, minute * MINUTE + 1_000))
            for relue in fil.collecter(fil.connexion.heure):
                assert instants([relue]) == []
            fil.source.adopter(lot(bougie(minute - 1)))
        assert fil.source.suite_d_ids.vains >= m.SAUTS_VAINS_MAX

    a_la_main(essai)


@pytest.mark.parametrize(("marche", "facteur", "rendues"), [
    ({"contract": True}, 1.0, [2, 3]), ({"contract": True}, 1000.0, []), ({"contract": False}, 1000.0, [1, 2, 3]),
])  # fmt: skip
def test_une_unite_inconnue_se_compare_au_rest(
    marche: dict[str, Any], facteur: float, rendues: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    """Un contrat dont rien ne la prouve : rien n'est cru avant que le REST le dise ; trois démentis, et c'est dit."""

    async def essai() -> None:
        connexion = FausseConnexion()
        connexion.__dict__["unite_volume"] = lambda lu: m.UNITE_INCONNUE if lu["contract"] else "BTC"
        serie = m.Serie(CLE, {"type": "swap", "symbol": "BTC/USDT", **marche}, UNE_MINUTE, 100)
        fil = m.FilBougies(connexion, serie, m.Fiche(CLE), m.ReglagesFlux(m.Plage(grace_ms=0)))  # type: ignore[arg-type]
        fil.faire_des_trades("omettre")
        fil.rompre()
        sans_rattrapage(fil)
        rendus: list[m.Lot] = []
        for minute in range(5):
            nourrir(fil, (minute + 1, minute * MINUTE + 1_000))
            rendus += fil.collecter(connexion.heure)
            fil.confrontation.apprendre(fil.source.adopter(lot(bougie(minute - 1, facteur))), 0)
        assert instants(rendus) == rendues
        assert ("rapport de 0,001" in caplog.text) == (not rendues)

    a_la_main(essai)


def test_un_trade_du_futur_ne_rompt_pas_l_agregat() -> None:
    """Rien ne le confirme : il ne clôt pas la bougie en cours ; celle où son identifiant manque est relue."""

    async def essai() -> None:
        fil = ouvrir_agregat("omettre")
        sans_rattrapage(fil)
        nourrir(fil, (1, 1_000), (2, 61_000))
        fil.recevoir([brut(3, T0 + 60 * MINUTE)], 0)
        nourrir(fil, (4, 62_000), (5, 121_000), (6, 181_000), (7, 241_000))
        assert instants(fil.collecter(fil.connexion.heure)) == [2, 3]
        assert fil.fiche.couverts == [(T0 + 2 * MINUTE, T0 + 4 * MINUTE)]

    a_la_main(essai)


def test_confirmer_ne_rend_que_ce_que_le_rest_change() -> None:
    """Trois bougies dites par le flux ; le REST en confirme une, en change une, et la troisième est encore jeune."""
    confirmation = m.Confrontation(CLE)
    dites = [bougie(0), bougie(1, 5.0), bougie(2)]
    assert confirmation.inedites(dites) == dites
    assert confirmation.inedites(dites) == [], "déjà dites"
    confirmation.retenir(lot(*dites).couverts)
    assert confirmation.a_relire(T0) == []
    assert confirmation.a_relire(T0 + 2 * MINUTE) == [(T0, T0 + 2 * MINUTE)]
    relu = confirmation.apprendre(lot(bougie(0), bougie(1, 6.0), bougie(2)), T0 + 2 * MINUTE)
    assert instants([relu]) == [1]
    assert relu.couverts == [(T0, T0 + 3 * MINUTE)]
    assert confirmation.a_relire(T0 + 9 * MINUTE) == [(T0 + 2 * MINUTE, T0 + 3 * MINUTE)]
    assert instants([confirmation.apprendre(lot(bougie(1, 6.0), bougie(2, 7.0)), T0 + 9 * MINUTE)]) == [2]
    assert confirmation.a_relire(T0 + 9 * MINUTE) == []


def test_la_memoire_des_bougies_dites_est_bornee() -> None:
    """Un REST muet des jours durant : des valeurs sont oubliées, jamais ce qui reste à relire."""
    confirmation = m.Confrontation(CLE)
    for minute in range(3 * m.DITES_GARDEES):
        confirmation.inedites([bougie(minute)])
        confirmation.retenir(lot(bougie(minute)).couverts)
    assert len(confirmation._dites) <= 2 * m.DITES_GARDEES
    fin = T0 + 3 * m.DITES_GARDEES * MINUTE
    assert confirmation.a_relire(fin) == [(T0, fin)]


def test_deux_trades_sans_identifiant_et_identiques_sont_gardes_tous_les_deux() -> None:
    async def essai() -> None:
        fil = ouvrir_fil(m.FilTrades, FausseConnexion())
        sans_rattrapage(fil)
        for _ in range(2):
            fil.recevoir([{**brut(0, T0), "id": None}], T0)
        (rendu,) = fil.collecter(T0)
        assert rendu.lignes["id"].to_pylist() == [f"~{T0}-buy-10.0-1.0-0", f"~{T0}-buy-10.0-1.0-1"]

    a_la_main(essai)


def test_un_identique_de_la_meme_seconde_n_est_pas_celui_que_le_rest_a_dit() -> None:
    """Sans id ; l'écoute a commencé avant que le REST montre qu'il dit, lui aussi, plus que la seconde."""
    memoire = m.Dedoublonneur()
    instants = {nom: trade(0, T0 + ms)._replace(id=None) for nom, ms in (("avant", 1), ("relu", 2), ("apres", 300))}
    assert len(memoire.nouveaux([instants["avant"]])) == 1
    assert len(memoire.nouveaux([instants["avant"], instants["relu"]], relecture=True)) == 1
    assert len(memoire.nouveaux([instants["apres"]])) == 1


async def naitre(fil: Any, *numeros: int) -> None:
    """Les premiers trades d'un fil, un par seconde, et la relecture de la milliseconde du tout premier."""
    fil.connexion.pages = [[brut(n, T0 + n * 1_000) for n in (0, *numeros)]]
    nourrir(fil, *((n, n * 1_000) for n in numeros))
    await fil.rattraper()
    fil.collecter(fil.connexion.heure)


def test_la_milliseconde_du_tout_premier_trade_est_relue() -> None:
    """Le trade 4 en est, passé avant l'abonnement ; le 3, d'avant, n'est pas demandé."""

    async def essai() -> None:
        connexion = FausseConnexion()
        fil = ouvrir_fil(m.FilTrades, connexion)
        connexion.pages = [[brut(3, T0 + 4_999), brut(4, T0 + 5_000), brut(5, T0 + 5_000), brut(6, T0 + 6_000)]]
        nourrir(fil, (5, 5_000), (6, 6_000))
        await fil.rattraper()
        lots = fil.collecter(connexion.heure)
        assert ids(lots) == ["4", "5", "6"]
        assert fil.fiche.couverts == [(T0 + 5_000, T0 + 6_000)]
        assert fil.fiche.trous == []

    a_la_main(essai)


def test_une_coupure_est_comblee_avant_de_rendre_la_suite() -> None:
    """Les trades d'après attendent ceux de la coupure ; un double du REST ne passe pas."""

    async def essai() -> None:
        connexion = FausseConnexion()
        fil = ouvrir_fil(m.FilTrades, connexion)
        await naitre(fil, 1, 2)
        fil.rompre()
        connexion.pages = [[brut(n, T0 + n * 1_000) for n in range(2, 8)]]
        nourrir(fil, (6, 6_000), (7, 7_000))
        assert fil.collecter(connexion.heure) == []
        await fil.rattraper()
        lots = fil.collecter(connexion.heure)
        assert ids(lots) == ["3", "4", "5", "6", "7"]
        assert fil.fiche.couverts == [(T0 + 1_000, T0 + 7_000)]
        assert fil.fiche.trous == []

    a_la_main(essai)


def ouvrir_fil_coupe(connexion: FausseConnexion, *coupures: tuple[int, int]) -> Any:
    """Un fil qui attend que soient relues ces coupures, d'un numéro à un autre, un trade par seconde."""
    fil = ouvrir_fil(m.FilTrades, connexion)
    fil._suite.ids.suites = 99  # on sait déjà que ses numéros se suivent
    sans_rattrapage(fil)
    for avant, apres in coupures:
        nourrir(fil, (avant, avant * 1_000))
        fil.rompre()
        nourrir(fil, (apres, apres * 1_000))
    fil._lacunes.file.popleft()  # la milliseconde du tout premier
    del fil.rattraper
    return fil


def test_arrete_un_flux_rend_les_trades_qu_il_retenait() -> None:
    """Ils attendaient que leur coupure soit relue, quatre secondes au plus : une échéance que l'arrêt devance."""

    async def essai() -> None:
        connexion = FausseConnexion()
        fil = ouvrir_fil_coupe(connexion, (1, 9))
        flux = m.Flux(connexion, None, [fil])  # type: ignore[arg-type]
        flux.collecter()
        assert fil._recus, "retenus"
        sans_rattrapage(fil)
        await flux.arreter()
        assert ids(flux.collecter()) == ["1", "9"]

    a_la_main(essai)


def test_un_flux_ne_demande_leur_echeance_qu_aux_fils_qui_ont_parle() -> None:
    """À deux cents, celles de tous coûteraient plus que la trame ; passée l'heure de la plus proche, tous la disent."""

    async def essai() -> None:
        connexion = FausseConnexion()
        fils = [ouvrir_fil(m.FilBougies, connexion, grace_ms=0) for _ in range(3)]
        demandes: list[int] = []

        def dire(rang: int, dite: Callable[[], int | None]) -> int | None:
            demandes.append(rang)
            return dite()

        for rang, fil in enumerate(fils):
            sans_rattrapage(fil)
            fil.echeance = functools.partial(dire, rang, fil.echeance)
        flux = m.Flux(connexion, None, fils)  # type: ignore[arg-type]
        for minute in range(2):
            connexion.heure = T0 + minute * MINUTE
            for fil in fils:
                fil.recevoir([bougie(minute)], connexion.heure)
        flux.collecter()
        demandes.clear()
        fils[1].a_collecter = True
        flux.collecter()
        assert set(demandes) == {1}
        connexion.heure = T0 + 3 * MINUTE
        assert instants(flux.collecter()) == [1, 1, 1], "closes par l'heure, sans que rien ne vienne"

    a_la_main(essai)


def test_la_mise_a_jour_d_une_bougie_en_cours_n_eveille_rien() -> None:
    """Rien n'en sort ; la suivante, elle, la clôt, et ce qui manque se cherche encore à chaque trame."""

    async def essai() -> None:
        connexion = FausseConnexion()
        fil = ouvrir_bougies_dites(connexion, minutes=2, volume=1.0)
        fil.fiche.couverts = [(T0 - MINUTE, T0 + MINUTE)]
        fil.collecter(connexion.heure)
        assert not fil.a_collecter
        fil.recevoir([bougie(1, 2.0)], connexion.heure)
        assert (fil.recus, fil.a_collecter) == (3, False)
        connexion.heure = T0 + 2 * MINUTE
        fil.recevoir([bougie(2)], connexion.heure)
        assert fil.a_collecter
        fil.collecter(connexion.heure)
        fil.couverture.desavouer(T0)
        fil.signaler()
        fil.collecter(connexion.heure)
        fil.recevoir([bougie(2, 2.0)], connexion.heure)
        assert fil.a_collecter, "une bougie manque"

    a_la_main(essai)


@pytest.mark.parametrize("crues", [None, False])
def test_une_bougie_que_le_rest_seul_dira_est_demandee_sa_grace_passee(crues: bool | None) -> None:
    """Elle ne l'était plus que dix secondes après ; une fois dite, rien n'est plus à chercher avant la suivante."""

    async def essai() -> None:
        connexion = FausseConnexion()
        fil = ouvrir_fil(m.FilBougies, connexion)
        fil.confrontation.crues, fil.couverture.debut = crues, T0
        fil.fiche.couverts = [(T0, T0 + MINUTE)]
        for minute in range(3):
            connexion.heure = T0 + minute * MINUTE
            fil.recevoir([bougie(minute)], connexion.heure)
        assert fil.collecter(connexion.heure) == []
        demandes: list[int] = []
        fil.rattraper = lambda: demandes.append(connexion.heure)
        connexion.heure += fil.reglages.plage.grace_ms
        fil.recevoir([bougie(2, 2.0)], connexion.heure)
        assert fil.a_collecter
        fil.collecter(connexion.heure)
        assert demandes == [connexion.heure]
        fil.fiche.couverts = [(T0, T0 + 2 * MINUTE)]
        fil.collecter(connexion.heure)
        fil.recevoir([bougie(2, 3.0)], connexion.heure)
        assert not fil.a_collecter

    a_la_main(essai)


def test_au_repos_un_fil_ne_garde_que_les_dernieres_secondes() -> None:
    """Tous nommés, rien à relire : leurs numéros suffisent ; tant qu'une coupure est à relire, tout est gardé."""

    async def essai() -> None:
        fil = ouvrir_fil(m.FilTrades, FausseConnexion())
        await naitre(fil, 1, 2)
        nourrir(fil, *((n, n * 1_000) for n in range(3, 500)))
        assert len(fil._memoire.recents) <= m.RECENTS_AU_MOINS + 1
        assert fil._memoire.recents["499"].timestamp == T0 + 499_000
        sans_rattrapage(fil)
        fil.rompre()
        nourrir(fil, *((n, n * 1_000) for n in range(600, 1_100)))
        assert all(str(numero) in fil._memoire.recents for numero in range(600, 1_100))
        fil._lacunes.file.clear()
        nourrir(fil, *((n, n * 1_000) for n in range(1_100, 2_000)))
        assert len(fil._memoire.recents) <= m.RECENTS_AU_MOINS + 1
        assert fil.compteurs.doublons == 0
        nourrir(fil, (3, 3_000), (1_200, 1_200_000))
        assert fil.compteurs.doublons == 2, "oubliés, ils restent connus"

    a_la_main(essai)


@pytest.mark.parametrize("de_suite", [False, True])
def test_des_ids_qui_repartent_de_un_ne_sont_pas_des_redites(de_suite: bool) -> None:
    """Datés après tous, ils sont d'autres trades, quand bien même les premiers du nom sont oubliés."""

    async def essai() -> None:
        fil = ouvrir_fil(m.FilTrades, FausseConnexion())
        await naitre(fil, 1, 2)
        for numero in range(3, 300):
            fil.connexion.heure = T0 + numero * 1_000
            fil.recevoir([(trade if de_suite else brut)(numero, fil.connexion.heure)], 0)
        fil.collecter(fil.connexion.heure)
        assert "3" not in fil._memoire.recents
        lendemain = [(numero, m.JOUR_MS + numero * 1_000) for numero in range(1, 5)]
        nourrir(fil, *lendemain)
        assert ids(fil.collecter(fil.connexion.heure)) == [f"{n}@{T0 + instant}" for n, instant in lendemain]
        sans_rattrapage(fil)
        fil.rompre()
        nourrir(fil, (3, 3_000), (9, 9_000), *lendemain)
        assert ids(fil.collecter(fil.connexion.heure)) == []
        assert fil.compteurs.doublons == 6

    a_la_main(essai)


def test_toutes_les_coupures_sont_relues_avant_d_insister_sur_aucune(monkeypatch: pytest.MonkeyPatch) -> None:
    """Le REST ne sert pas encore la première : il est redemandé quand il a dit les autres."""
    monkeypatch.setattr(m, "RETARDS_REST_S", (0.001, 0.002))

    async def essai() -> None:
        connexion = FausseConnexion()
        fil = ouvrir_fil_coupe(connexion, (1, 9), (20, 29), (40, 49))
        demandes: list[int] = []

        async def lire(_serie: Any, depuis: int, _params: Any) -> list[dict[str, Any]]:
            debut = (depuis - T0) // 1_000 + 1
            demandes.extend({debut} & {1, 20, 40})
            return [brut(n, T0 + n * 1_000) for n in range(debut - 1, 5 if demandes == [1] else 60)]

        connexion.__dict__["lire_trades"] = lire
        await fil.rattraper()
        assert ids(fil.collecter(connexion.heure))
        assert demandes == [1, 20, 40, 1]
        assert fil.fiche.trous == []

    a_la_main(essai)


def lire_sauf(connexion: FausseConnexion, refusee: int) -> list[int]:
    """Un REST qui sert dix trades par page, un par seconde, sauf de ce numéro ; rend les numéros demandés."""
    demandes: list[int] = []

    async def lire(_serie: Any, depuis: int, _params: Any) -> list[dict[str, Any]]:
        debut = (depuis - T0) // 1_000
        demandes.append(debut)
        await asyncio.sleep(0)
        if debut == refusee:
            raise m.ErreurTemporaire("500")
        connexion.reponses += 1
        return [brut(n, T0 + n * 1_000) for n in range(debut, debut + 10)]

    connexion.lire_trades = lire  # type: ignore[method-assign]
    return demandes


def test_une_coupure_en_erreur_n_empeche_pas_de_relire_les_suivantes() -> None:
    """Une page que l'exchange ne sait pas rendre : elle seule reste à relire."""

    async def essai() -> None:
        connexion = FausseConnexion()
        fil = ouvrir_fil_coupe(connexion, (1, 9), (20, 29), (40, 49))
        lire_sauf(connexion, refusee=0)
        await fil.rattraper()
        assert isinstance(fil.echec, m.ErreurTemporaire)
        assert [lacune.dernier.id for lacune in fil._lacunes.file] == ["1"]
        assert {"21", "28", "30", "39", "41", "48"} <= set(ids(fil.collecter(connexion.heure)))
        lire_sauf(connexion, refusee=-1)
        await fil.rattraper()
        await finir(fil)
        assert fil.fiche.trous == []

    a_la_main(essai)


def test_une_coupure_en_erreur_n_empeche_pas_d_insister_sur_les_autres(monkeypatch: pytest.MonkeyPatch) -> None:
    """Le REST est en retard sur la seconde : elle est redemandée ; la première attend le rattrapage suivant."""
    monkeypatch.setattr(m, "RETARDS_REST_S", (0.001, 0.002))

    async def essai() -> None:
        connexion = FausseConnexion()
        fil = ouvrir_fil_coupe(connexion, (1, 9), (20, 29))
        fil._lacunes = m.Lacunes(lacune for lacune in fil._lacunes.file if lacune.dernier.id in ("1", "20"))
        demandes: list[int] = []

        async def lire(_serie: Any, depuis: int, _params: Any) -> list[dict[str, Any]]:
            debut = (depuis - T0) // 1_000 + 1
            demandes.append(debut)
            if debut == 1:
                raise m.ErreurTemporaire("500")
            return [brut(n, T0 + n * 1_000) for n in range(debut, 25 if demandes.count(20) == 1 else 30)]

        connexion.__dict__["lire_trades"] = lire
        await fil.rattraper()
        assert demandes.count(1) == 1
        assert [lacune.dernier.id for lacune in fil._lacunes.file] == ["1"]
        assert {"21", "24", "25", "28"} <= set(ids(fil.collecter(connexion.heure)))

    a_la_main(essai)


def flux_sans_ecoute(connexion: Any, *fils: Any) -> Any:
    """Un flux dont les écoutes viennent de finir : il conclut dès qu'il est suivi."""
    flux: Any = m.Flux(connexion, None, fils)
    flux.demarrer = lambda: None
    return flux


def test_ce_qui_est_sur_est_rendu_pendant_la_conclusion() -> None:
    """Elle dure parfois des minutes : chaque coupure relue est aussitôt à écrire, la dernière n'est pas attendue."""

    async def essai() -> None:
        connexion = FausseConnexion()
        fil = ouvrir_fil_coupe(connexion, (1, 9), (20, 29), (40, 49))
        lire_sauf(connexion, refusee=-1)
        servir_la_suite, reprise = connexion.lire_trades, asyncio.Event()

        async def lire(serie: Any, depuis: int, params: Any) -> list[dict[str, Any]]:
            if depuis > T0 + 30_000:
                await reprise.wait()
            return await servir_la_suite(serie, depuis, params)

        connexion.__dict__["lire_trades"] = lire
        rendus: list[str] = []
        async for lots in m.suivre_flux(flux_sans_ecoute(connexion, fil), 0.0, lambda: 0.001):
            rendus += ids(lots)
            if {"2", "8", "21", "28"} <= set(rendus):
                reprise.set()
        assert reprise.is_set()
        assert set(map(str, range(1, 50))) <= set(rendus)
        assert fil.fiche.trous == []

    jouer(asyncio.wait_for(essai(), 20))


def test_un_abonnement_lance_pendant_l_arret_ne_lui_survit_pas() -> None:
    """La ronde met un symbole muet à part, sur une connexion de plus, au tour même où le flux s'arrête."""

    async def essai() -> None:
        connexion = FausseConnexion()
        flux = flux_sans_ecoute(connexion, ouvrir_fil(m.FilTrades, connexion))

        async def suivre() -> None:
            try:
                await asyncio.sleep(600)
            finally:
                flux._lancer(m.pause(600))

        flux._lancer(suivre())
        await asyncio.sleep(0)
        await flux.arreter()
        assert not flux.vivant

    a_la_main(essai)


def test_un_signal_pendant_la_conclusion_rend_ce_qui_est_relu_et_inscrit_le_reste() -> None:
    """Rien n'est attendu de plus, et ce qui fut prouvé n'est pas recalculé pour chacune des coupures qui restent."""

    async def essai() -> None:
        connexion = FausseConnexion()
        fil = ouvrir_fil_coupe(connexion, *((n, n + 9) for n in range(1, 2_000, 20)))
        bloque, calculs = asyncio.Event(), list[int]()
        lire_sauf(connexion, refusee=-1)
        servir_la_suite = connexion.lire_trades

        async def lire(serie: Any, depuis: int, params: Any) -> list[dict[str, Any]]:
            if depuis > T0 + 30_000:
                bloque.set()
                await asyncio.sleep(600)
            return await servir_la_suite(serie, depuis, params)

        connexion.__dict__["lire_trades"] = lire
        flux = flux_sans_ecoute(connexion, fil)
        rendus: list[str] = []

        async def suivre() -> None:
            async with contextlib.aclosing(m.suivre_flux(flux, 0.0)) as recus:
                async for lots in recus:
                    rendus.extend(ids(lots))

        suivi = asyncio.ensure_future(suivre())
        await bloque.wait()
        fil._est_prouve = calculs.append
        suivi.cancel()
        await asyncio.wait([suivi], timeout=5)
        assert suivi.cancelled()
        rendus += ids(flux.collecter())
        assert {"2", "8", "21", "28"} <= set(rendus)
        assert calculs == []
        assert m.intervalles_de(fil.fiche.trous)[-1][1] == T0 + 1_990_001
        assert fil.fiche.couverts[-1][1] <= fil.fiche.trous[0].debut

    jouer(asyncio.wait_for(essai(), 20))


@pytest.mark.parametrize(("pause_s", "attendue"), [(60.0, True), (600.0, False)])
def test_une_pause_que_l_exchange_impose_n_est_pas_un_silence(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, pause_s: float, attendue: bool
) -> None:
    """Plus longue que ce qu'on attend d'un muet, elle est attendue ; que la fin de la conclusion, aussitôt renoncée."""
    monkeypatch.setattr(m, "ANNONCE_DE_FIN_S", 0.0)

    async def essai() -> None:
        connexion = FausseConnexion()
        fil = ouvrir_fil_coupe(connexion, (1, 9))
        connexion.api.frein = frein = m.Frein(horloge=lambda: 0.0)  # la pause dure tant que l'essai ne l'a pas finie
        lire_sauf(connexion, refusee=-1)
        servir_la_suite = connexion.lire_trades

        async def lire(serie: Any, depuis: int, params: Any) -> list[dict[str, Any]]:
            frein.serrer(pause_s)
            await asyncio.sleep(0.3 if attendue else 600)  # six fois le plafond
            return await servir_la_suite(serie, depuis, params)

        connexion.__dict__["lire_trades"] = lire
        lots = await flux_sans_ecoute(connexion, fil).conclure(plafond_s=0.05)
        assert ("5" in ids(lots)) is attendue
        assert len([x for x in caplog.messages if x.startswith("Durée écoulée")]) == 1

    caplog.set_level(logging.INFO)
    jouer(asyncio.wait_for(essai(), 60))


def test_la_limite_de_la_conclusion_en_est_une(monkeypatch: pytest.MonkeyPatch) -> None:
    """L'exchange répond toujours, mais il reste trop à relire : le plafond d'une réponse ne s'ajoute pas au total."""
    monkeypatch.setattr(m, "FIN_TOTALE_MAX_S", 0.2)

    async def essai() -> None:
        connexion: Any = FausseConnexion()
        fil = ouvrir_fil_coupe(connexion, (1, 9))

        async def lire(*_: Any) -> list[dict[str, Any]]:
            while True:
                await asyncio.sleep(0.01)
                connexion.reponses += 1

        connexion.__dict__["lire_trades"] = lire
        await asyncio.wait_for(m.Flux(connexion, None, [fil]).conclure(plafond_s=60.0), 30)
        assert [trou.raison for trou in fil.fiche.trous] == [m.ECHEC]

    a_la_main(essai)


def test_une_conclusion_abandonnee_avant_de_rien_relire_laisse_un_trou() -> None:
    """La dernière bougie, close par l'horloge et rendue, n'est plus sûre : l'exchange muet n'a pas pu la confirmer."""

    async def essai() -> None:
        connexion: Any = FausseConnexion()
        fil = ouvrir_bougies_dites(connexion, 4, 1.0)
        del fil.rattraper
        sortie = m.Fiche(CLE)
        connexion.heure, fil.couverture.debut, fil.arrete = T0 + 4 * MINUTE + 1, T0 + MINUTE, True
        rendus = fil.collecter(connexion.heure)
        assert instants(rendus) == [1, 2, 3]
        connexion.__dict__["estimer_heure"] = lambda: asyncio.sleep(60)
        fil.arrete, fil.conclut = False, True
        fil.rompre()
        rendus += await m.Flux(connexion, None, [fil]).conclure(0.05)
        for lot in rendus:
            sortie.noter(lot.couverts, lot.trous)
        assert sortie.couverts == [(T0 + MINUTE, T0 + 3 * MINUTE)]
        assert sortie.trous == [], "elle est écrite"
        assert sortie.provisoires == [m.Trou(T0 + 3 * MINUTE, T0 + 4 * MINUTE, m.ECHEC)]

    a_la_main(essai)


@pytest.mark.parametrize("repond", [True, False])
def test_la_conclusion_dure_tant_que_l_exchange_repond(repond: bool) -> None:
    """Dix coupures, dont chacune prend un tiers du plafond : toutes relues ; muet, il n'est pas attendu."""

    async def essai() -> None:
        connexion: Any = FausseConnexion()
        fil = ouvrir_fil_coupe(connexion, *((n, n + 5) for n in range(1, 100, 10)))

        async def lire(_serie: Any, depuis: int, _params: Any) -> list[dict[str, Any]]:
            await asyncio.sleep(0.05 if repond else 60)
            connexion.reponses += 1
            debut = (depuis - T0) // 1_000
            return [brut(n, T0 + n * 1_000) for n in range(debut, debut + 10)]

        connexion.__dict__["lire_trades"] = lire
        flux = m.Flux(connexion, None, [fil])
        lots = await asyncio.wait_for(flux.conclure(plafond_s=0.15), 5)
        attendus = {str(n) for n in range(1, 97) if n % 10 in range(1, 7)}
        assert (set(ids(lots)) >= attendus) is repond
        assert [t for t in fil.fiche.trous if t.debut < T0 + 96_000] == [] if repond else fil.fiche.trous

    a_la_main(essai)


def test_ce_que_rend_une_ecoute_en_se_fermant_est_d_avant_la_coupure(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sinon, ses dernières trames sembleraient suivre un silence, que le REST devrait encore prouver."""

    class EcouteQuiFinit(SimpleNamespace):
        def __init__(self, _connexion: Any, _canal: str, _series: Any, recevoir: Any, _decaler: Any) -> None:
            super().__init__(recevoir=recevoir)

        async def suivre(self, *, groupe: bool) -> None:
            self.recevoir(CLE.symbole, [brut(1, T0 + 1_000, id="a-uuid")], 0)
            raise m.ErreurTemporaire(f"coupée {groupe}")

        def fermer(self) -> None:
            self.recevoir(CLE.symbole, [brut(2, T0 + 2_000, id="b-uuid")], 0)

    async def essai() -> None:
        connexion: Any = FausseConnexion()
        fil = ouvrir_fil(m.FilTrades, connexion)
        sans_rattrapage(fil)
        monkeypatch.setattr(m, "Ecoute", EcouteQuiFinit)
        flux: Any = m.Flux(connexion, None, [fil])
        await m.Abonnement(flux, "trades", [fil], groupe=False)._une_ecoute()
        assert [lacune.jusqua.timestamp for lacune in fil._lacunes.file] == [T0 + 1_000]  # le début de l'écoute, seul
        assert [t.id for t in fil._recus] == ["a-uuid", "b-uuid"]

    a_la_main(essai)


def test_apres_ce_que_le_rest_ne_sert_plus_ce_qu_il_sert_est_couvert() -> None:
    """L'écoute finit sur une coupure ; le REST ne garde que la fin : un trou, puis ce qu'il a rendu."""

    async def essai() -> None:
        connexion = FausseConnexion()
        fil = ouvrir_fil(m.FilTrades, connexion)
        await naitre(fil, 1, 2)
        fil.rompre()
        connexion.heure = T0 + 90_000
        connexion.pages = [[brut(n, T0 + n * 1_000) for n in range(80, 90)]] * 3
        await fil.rattraper()
        fil.collecter(connexion.heure)
        assert fil.fiche.trous == [m.Trou(T0 + 2_000, T0 + 81_000, m.HORS_FENETRE_API)]
        assert fil.fiche.couverts[-1] == (T0 + 81_000, T0 + 89_000)

    a_la_main(essai)


def test_un_retardataire_de_l_ecoute_d_avant_n_est_pas_la_reprise() -> None:
    """3 revient après la coupure, pendant laquelle 5 et 6 ont eu lieu : ils sont relus, du 4 au 7."""

    async def essai() -> None:
        connexion = FausseConnexion()
        fil = ouvrir_fil(m.FilTrades, connexion)
        nommes = [{**brut(n, T0 + n * 1_000), "id": f"{n}-uuid"} for n in range(8)]

        async def lire(_serie: Any, depuis: int | None, _params: Any) -> list[dict[str, Any]]:
            return [t for t in nommes if (depuis or 0) <= t["timestamp"] <= connexion.heure]

        connexion.__dict__["lire_trades"] = lire
        rendus: list[str] = []
        for numero in (1, 2, 4, 3, 7):
            if numero == 3:
                fil.rompre()
            connexion.heure = max(connexion.heure, T0 + numero * 1_000)
            fil.recevoir([nommes[numero]], 0)
            await fil.rattraper()
            rendus += ids(fil.collecter(connexion.heure))
        assert sorted(rendus) == [f"{n}-uuid" for n in range(1, 8)]
        assert fil.fiche.trous == []

    a_la_main(essai)


@pytest.mark.parametrize("rest", [True, False], ids=["REST", "sans REST"])
@pytest.mark.parametrize("se_suivent", [True, False], ids=["se suivent", "uuid"])
def test_un_trade_qui_tardait_quand_le_flux_fut_coupe_est_relu_ou_en_trou(se_suivent: bool, rest: bool) -> None:
    """Deribit : le 6 tardait derrière le 7, il est mort avec la connexion, et aucun numéro ne le dit."""

    async def essai() -> None:
        connexion = FausseConnexion()
        fil = ouvrir_fil(m.FilTrades, connexion)
        marche = [{**brut(n, T0 + n * 1_000), "id": str(n) if se_suivent else f"{n}-uuid"} for n in range(12)]
        demandes: list[int] = []

        async def lire(_serie: Any, depuis: int | None, _params: Any) -> list[dict[str, Any]]:
            demandes.append(((depuis or T0) - T0) // 1_000 + 1)
            if not rest:
                raise m.ErreurDefinitive("pas de trades par REST")
            return [t for t in marche if (depuis or 0) <= t["timestamp"] <= connexion.heure]

        connexion.__dict__["lire_trades"] = lire
        rendus: list[str] = []
        for numero in (1, 2, 3, 4, 5, 7, 10, 11):
            if numero == 10:
                assert fil.fiche.couverts[-1][1] <= T0 + 6_000, "le retard admis est de deux secondes"
                demandes.clear()
                fil.rompre()
            connexion.heure = T0 + numero * 1_000
            fil.recevoir([marche[numero]], connexion.heure)
            await fil.rattraper()
            rendus += ids(fil.collecter(connexion.heure))
        assert max(demandes) == (7 if se_suivent else 5), "plus loin, là seulement où un numéro n'aurait rien dit"
        lus = {int(ident.partition("-")[0]) for ident in rendus}
        if rest:
            assert lus == set(range(1, 12))
            assert fil.fiche.trous == []
        else:
            assert any(trou.debut <= T0 + 6_000 < trou.fin for trou in fil.fiche.trous)
        assert not any(debut <= T0 + n * 1_000 < fin for debut, fin in fil.fiche.couverts for n in {*range(10)} - lus)
        demandes.clear()
        await fil.rattraper()
        assert demandes == [], "relu une fois"

    a_la_main(essai)


@pytest.mark.parametrize("a_confirmer", [0, 500])
def test_un_trade_qui_tardait_et_que_le_rest_ne_sert_plus_est_en_trou(a_confirmer: int) -> None:
    """Upbit : le réseau tombe avec la connexion ; à son retour, les derniers trades du REST sont d'après la coupure."""

    async def essai() -> None:
        connexion = FausseConnexion()
        connexion.particularite = m.Particularite(trades_a_confirmer=a_confirmer)
        fil = ouvrir_fil(m.FilTrades, connexion)
        marche = [{**brut(n, T0 + n * 1_000), "id": f"{n}-uuid"} for n in range(200)]

        async def lire(_serie: Any, depuis: int | None, _params: Any) -> list[dict[str, Any]]:
            servis = [t for t in marche if t["timestamp"] <= connexion.heure][-20:]
            return [t for t in servis if t["timestamp"] >= (depuis or 0)]

        connexion.__dict__["lire_trades"] = lire
        for numero in (1, 2, 3, 4, 5, 7, 100):
            if numero == 100:
                connexion.heure = T0 + 100_000
                fil.rompre()
            connexion.heure = T0 + numero * 1_000
            fil.recevoir([marche[numero]], connexion.heure)
            if numero in {1, 100}:
                await fil.rattraper()
            fil.collecter(connexion.heure)
        (trou,) = fil.fiche.trous
        assert trou == m.Trou(T0 + 5_000, T0 + 82_000, m.HORS_FENETRE_API)
        assert fil.fiche.couverts[-1][0] == T0 + 82_000

    a_la_main(essai)


@pytest.mark.parametrize("a_confirmer", [0, 100])
def test_un_trade_que_le_rest_sert_apres_un_plus_recent_pendant_une_coupure_est_relu(a_confirmer: int) -> None:
    """Bybit, abonnement refusé : la queue est relue quand le 5 est servi et pas encore le 4 ; le 8 rouvre l'écoute."""

    async def essai() -> None:
        connexion = FausseConnexion()
        connexion.particularite = m.Particularite(trades_a_confirmer=a_confirmer)
        fil = ouvrir_fil(m.FilTrades, connexion)
        marche = [{**brut(n, T0 + n * 1_000), "id": f"{n}-uuid"} for n in range(12)]
        tard = [marche[4]]

        async def lire(_serie: Any, depuis: int | None, _params: Any) -> list[dict[str, Any]]:
            return [t for t in marche if (depuis or 0) <= t["timestamp"] <= connexion.heure and t not in tard]

        connexion.__dict__["lire_trades"] = lire
        rendus: list[m.Lot] = []
        for numero in (1, 2, 3):
            connexion.heure = T0 + numero * 1_000
            fil.recevoir([marche[numero]], connexion.heure)
            await fil.rattraper()
            rendus += fil.collecter(connexion.heure)
        fil.rompre()
        connexion.heure = T0 + 5_200
        await fil.rattraper()
        tard.clear()
        for numero in (8, 9, 10):
            connexion.heure = T0 + numero * 1_000
            fil.recevoir([marche[numero]], connexion.heure)
            await fil.rattraper()
            rendus += fil.collecter(connexion.heure)
        await finir(fil)
        assert sorted(ids(rendus), key=lambda i: int(i.split("-")[0])) == [f"{n}-uuid" for n in range(1, 11)]
        assert not fil.fiche.trous

    a_la_main(essai)


@pytest.mark.parametrize("en_retard", [True, False])
def test_un_trade_qui_tardait_a_la_derniere_coupure_est_relu_ou_en_trou(en_retard: bool) -> None:
    """Rien ne la suit ; le REST sert tout, ou s'arrête au 5 quand le flux a dit le 7, sans le 6."""

    async def essai() -> None:
        connexion = FausseConnexion()
        fil = ouvrir_fil(m.FilTrades, connexion)
        marche = [{**brut(n, T0 + n * 1_000), "id": f"{n}-uuid"} for n in range(8)]

        async def lire(_serie: Any, depuis: int | None, _params: Any) -> list[dict[str, Any]]:
            servis = marche[:6] if en_retard else marche
            return [t for t in servis if (depuis or 0) <= t["timestamp"] <= connexion.heure]

        connexion.__dict__["lire_trades"] = lire
        for numero in (1, 2, 3, 4, 5, 7):
            connexion.heure = T0 + numero * 1_000
            fil.recevoir([marche[numero]], connexion.heure)
            await fil.rattraper()
            fil.collecter(connexion.heure)
        fil.rompre()
        fil.conclut, connexion.heure = True, T0 + 20_000
        await fil.rattraper_a_fond()
        await finir(fil)
        trous = [m.Trou(T0 + 5_000, T0 + 7_001, m.ECHEC)]
        assert fil.fiche.trous == (trous if en_retard else [])
        assert fil.fiche.couverts[-1][1] == T0 + (5_000 if en_retard else 7_000)

    a_la_main(essai)


def test_un_instantane_qui_remonte_jusqu_ou_rien_ne_tardait_se_passe_du_rest() -> None:
    """Coinbase : l'écoute neuve redit le 3, dit le 6 qui tardait derrière le 7, et rien n'est demandé."""

    async def essai() -> None:
        connexion = FausseConnexion()
        fil = ouvrir_fil(m.FilTrades, connexion)
        marche = [{**brut(n, T0 + n * 1_000), "id": f"{n}-uuid"} for n in range(12)]
        lances = sans_rattrapage(fil)
        rendus: list[str] = []
        for redits in ([1], [2], [3], [4], [5], [7], range(3, 11)):
            if len(redits) > 1:
                fil.rompre()
                lances.clear()
            connexion.heure = T0 + redits[-1] * 1_000
            fil.recevoir([marche[numero] for numero in redits], connexion.heure)
            rendus += ids(fil.collecter(connexion.heure))
        assert rendus == [f"{n}-uuid" for n in (1, 2, 3, 4, 5, 7, 6, 8, 9, 10)]
        assert lances == []
        assert fil.fiche.couverts[-1] == (T0 + 1_001, T0 + 8_000)

    a_la_main(essai)


def test_un_saut_qu_une_ligne_impossible_a_suivi_est_relu() -> None:
    """Le 3 manque depuis plus que la grâce quand le 6 arrive, et une ligne illisible a rompu la suite entre-temps."""

    async def essai() -> None:
        fil = ouvrir_fil(m.FilTrades, FausseConnexion())
        servir(fil.connexion, *range(1, 7))
        rendus = await suivre_en_perdant(fil, (1, 2, 4))
        fil.recevoir([brut(5, T0 + 5_000, price=None)], 0)
        fil._suite.ids.grace_s = 0.0
        rendus += await suivre_en_perdant(fil, (6,))
        assert sorted(rendus) == ["1", "2", "3", "4", "5", "6"]

    a_la_main(essai)


def test_une_reprise_pendant_qu_on_lit_la_fin_ne_laisse_pas_de_faux_trou() -> None:
    """Le REST ne servait encore rien ; les trades venus pendant ce temps, eux, ne sont pas à mettre en trou."""

    async def essai() -> None:
        connexion, reprise = FausseConnexion(), asyncio.Event()
        fil = ouvrir_fil(m.FilTrades, connexion)
        await naitre(fil, 1, 2)
        fil.rompre()

        async def rien_encore(*_: Any) -> list[dict[str, Any]]:
            await reprise.wait()
            servir(connexion, *range(1, 10))
            return []

        connexion.__dict__["lire_trades"] = rien_encore
        relecture = fil.rattraper()
        await asyncio.sleep(0)
        nourrir(fil, (8, 8_000), (9, 9_000))
        reprise.set()
        await relecture
        rendus = ids(fil.collecter(connexion.heure))
        assert sorted(rendus) == ["3", "4", "5", "6", "7", "8", "9"]
        assert fil.fiche.trous == []

    a_la_main(essai)


def test_une_ecoute_muette_qu_un_signal_arrete_est_un_trou() -> None:
    """Le REST a dit, au début, que rien n'avait eu lieu ; de ce qui a suivi, nul ne sait rien, relance comprise."""

    async def essai() -> None:
        connexion = FausseConnexion()
        fil = ouvrir_fil(m.FilTrades, connexion)
        fil.ecouter()
        connexion.pages = [[], [brut(0, T0 - 1_000)]]
        await fil.rattraper()
        connexion.heure = T0 + 60_000
        fil.rompre()
        await finir(fil)
        assert fil.fiche.trous == [m.Trou(T0, T0 + 60_000, m.ECHEC)]

    a_la_main(essai)


def test_un_rest_en_panne_garde_la_coupure_a_relire_et_l_arret_l_inscrit() -> None:
    async def essai() -> None:
        connexion = FausseConnexion()
        fil = ouvrir_fil(m.FilTrades, connexion)
        await naitre(fil, 1)
        fil.rompre()
        connexion.pages = [m.ErreurTemporaire("502"), m.ErreurTemporaire("502")]
        nourrir(fil, (6, 6_000))
        await fil.rattraper()
        assert isinstance(fil.echec, m.ErreurTemporaire)
        fil.collecter(connexion.heure)
        assert fil.fiche.trous == []  # pas encore un trou : ce sera redemandé
        await finir(fil)
        assert fil.fiche.trous == [m.Trou(T0 + 1_000, T0 + 6_001, m.ECHEC)]

    a_la_main(essai)


def test_des_trades_a_confirmer_pendant_que_le_rest_est_muet_ne_s_entassent_pas() -> None:
    """Identifiants tirés au hasard : relus tous les deux trades ici ; en panne, une seule relecture reste à faire."""

    async def essai() -> None:
        connexion = FausseConnexion()
        connexion.particularite = m.Particularite(trades_a_confirmer=2)
        fil = ouvrir_fil(m.FilTrades, connexion)
        for numero in range(1, 41):
            connexion.heure = T0 + numero * 1_000
            connexion.pages = [m.ErreurTemporaire("502")] * 3  # une par relecture
            fil.recevoir([{**brut(numero, connexion.heure), "id": f"{numero:x}-uuid"}], 0)
            fil.collecter(connexion.heure)
            await fil.rattraper()
        assert len(fil._lacunes.file) <= 3
        perdu = {**brut(0, T0 + 20_500), "id": "perdu"}
        dits = [{**brut(n, T0 + n * 1_000), "id": f"{n:x}-uuid"} for n in range(41)]
        connexion.pages = [sorted([*dits, perdu], key=lambda t: t["timestamp"])] * 9
        await fil.rattraper()
        lots = fil.collecter(connexion.heure)
        assert ids(lots) == ["perdu"]
        assert fil.fiche.trous == []

    a_la_main(essai)


def servir(connexion: FausseConnexion, *numeros: int) -> list[int]:
    """Un REST qui sert ces trades-là, un par seconde, et un d'avant ; rend ce qu'on lui demande."""
    demandes: list[int] = []

    async def lire(_serie: Any, depuis: int | None, _params: Any) -> list[dict[str, Any]]:
        demandes.append(depuis or 0)
        return [brut(n, T0 + n * 1_000) for n in (0, *numeros) if T0 + n * 1_000 >= (depuis or 0)]

    connexion.lire_trades = lire  # type: ignore[method-assign]
    return demandes


async def suivre_en_perdant(fil: Any, recus: Sequence[int]) -> list[str]:
    """Donne ces trades au fil, un par seconde, chacun relu s'il le faut avant le suivant ; rend les ids rendus."""
    rendus: list[str] = []
    for numero in recus:
        nourrir(fil, (numero, numero * 1_000))
        await fil.rattraper()
        rendus += ids(fil.collecter(fil.connexion.heure))
    return rendus


def test_un_trade_sur_deux_perdu_des_le_premier_est_relu() -> None:
    """Aucune suite, que des sauts : le REST, lui, a tous les identifiants, et chacun est relu."""

    async def essai() -> None:
        fil = ouvrir_fil(m.FilTrades, FausseConnexion(), grace_ms=0)
        servir(fil.connexion, *range(1, 40))
        rendus = await suivre_en_perdant(fil, range(1, 40, 2))
        assert sorted(map(int, rendus)) == list(range(1, 40))
        assert fil.fiche.couverts == [(T0 + 1_000, T0 + 39_000)]

    a_la_main(essai)


def test_des_identifiants_partages_ne_sont_relus_que_trois_fois() -> None:
    """Bitfinex : le REST saute aux mêmes endroits ; trois fois de suite, et plus rien n'est surveillé."""

    async def essai() -> None:
        fil = ouvrir_fil(m.FilTrades, FausseConnexion(), grace_ms=0)
        numeros = [1, 4, 9, 11, 17, 21, 22, 30, 41, 52, 57]
        demandes = servir(fil.connexion, *numeros)
        assert await suivre_en_perdant(fil, numeros) == list(map(str, numeros))
        assert len(demandes) == 1 + m.SAUTS_VAINS_MAX, "celle du premier trade, puis celles des sauts"
        assert not fil._suite.ids.surveille
        assert fil.fiche.trous == []

    a_la_main(essai)


def test_des_retardataires_n_apprennent_pas_que_les_identifiants_sautent() -> None:
    """Trois sauts comblés par le flux, mais après la grâce : le REST n'apporte rien, et le saut d'après est relu."""

    async def essai() -> None:
        fil = ouvrir_fil(m.FilTrades, FausseConnexion())
        servir(fil.connexion, *range(1, 60))
        rendus: list[str] = []
        for retardataire in range(10, 40, 10):
            fil._suite.ids.grace_s = 60.0
            rendus += await suivre_en_perdant(fil, (retardataire - 1, retardataire + 1))
            fil._suite.ids.grace_s = 0.0
            fil.collecter(fil.connexion.heure)  # le saut est échu
            rendus += await suivre_en_perdant(fil, (retardataire,))
        assert fil._suite.ids.surveille
        rendus += await suivre_en_perdant(fil, (45, 47))
        assert "46" in rendus
        assert len(rendus) == len(set(rendus))

    a_la_main(essai)


def test_un_saut_que_le_rest_ne_sert_plus_est_un_trou() -> None:
    """Les identifiants se suivent, donc des trades manquent ; l'exchange n'en garde que les derniers."""

    async def essai() -> None:
        fil = ouvrir_fil(m.FilTrades, FausseConnexion(), grace_ms=0)
        servir(fil.connexion, 1, 8, 9, 10)
        await suivre_en_perdant(fil, (1, 2, 3, 4, 10))
        assert fil.fiche.trous == [m.Trou(T0 + 4_000, T0 + 9_000, m.HORS_FENETRE_API)]
        assert fil.fiche.couverts == [(T0 + 1_000, T0 + 4_000), (T0 + 9_000, T0 + 10_000)]

    a_la_main(essai)


def test_un_saut_qu_aucun_rest_ne_comble_est_un_trou() -> None:
    """Pas de trades par REST : la suite est coupée là, et ce qui vient ensuite ne recouvre pas le trou."""

    async def essai() -> None:
        fil = ouvrir_fil(m.FilTrades, FausseConnexion(), grace_ms=0)

        async def refuser(*_: Any) -> list[dict[str, Any]]:
            raise m.ErreurDefinitive("pas de trades par REST")

        fil.connexion.lire_trades = refuser
        await suivre_en_perdant(fil, (1, 2, 3, 6, 7))
        assert fil.fiche.trous == [m.Trou(T0 + 3_000, T0 + 6_000, m.HORS_FENETRE_API)]
        assert fil.fiche.couverts == [(T0 + 1_001, T0 + 3_000), (T0 + 6_000, T0 + 7_000)]

    a_la_main(essai)


def test_un_saut_que_l_arret_laisse_a_relire_est_un_trou() -> None:
    """Plus de sauts que de suites, un REST en panne : rien ne dit encore que ces sauts soient vains."""

    async def essai() -> None:
        fil = ouvrir_fil(m.FilTrades, FausseConnexion(), grace_ms=0)
        await naitre(fil, 1)
        fil.connexion.pages = [m.ErreurTemporaire("502")] * 9
        await suivre_en_perdant(fil, (3, 6, 9))
        await finir(fil)
        assert fil.fiche.trous == [m.Trou(T0 + 1_000, T0 + 9_001, m.ECHEC)]

    a_la_main(essai)


def test_des_trades_recus_par_paquets_sont_des_suites() -> None:
    """Enchaînés d'un coup, ils comptent autant : le saut qui vient après eux est une perte, et se dit."""

    async def essai() -> None:
        fil = ouvrir_fil(m.FilTrades, FausseConnexion(), grace_ms=0)
        servir(fil.connexion, 1, 8, 9, 10)
        await suivre_en_perdant(fil, (1,))
        for numeros in ((2, 3), (4,), (10,)):
            fil.connexion.heure = T0 + numeros[-1] * 1_000
            fil.recevoir([trade(n, T0 + n * 1_000) for n in numeros], T0)
        await suivre_en_perdant(fil, (11,))
        assert fil.fiche.trous == [m.Trou(T0 + 4_000, T0 + 9_000, m.HORS_FENETRE_API)]

    a_la_main(essai)


def test_le_trou_d_un_saut_n_est_pas_recouvert_par_sa_suite_finie() -> None:
    """Une coupure survient pendant qu'on attend, et la suite d'avant n'est rendue qu'après le trou."""

    async def essai() -> None:
        fil = ouvrir_fil(m.FilTrades, FausseConnexion())
        servir(fil.connexion, 1, 5, 6, 7, 8, 9)
        await suivre_en_perdant(fil, (1, 2, 3, 6))
        fil.rompre()
        nourrir(fil, (9, 9_000))
        assert fil.collecter(fil.connexion.heure) == [], "retenus tant que la coupure n'est pas comblée"
        await suivre_en_perdant(fil, (10,))
        assert fil.fiche.trous == [m.Trou(T0 + 3_000, T0 + 6_000, m.HORS_FENETRE_API)]
        assert fil.fiche.couverts == [(T0 + 1_000, T0 + 3_000), (T0 + 6_001, T0 + 10_000)]

    a_la_main(essai)


def test_le_dernier_trade_redit_par_l_instantane_tient_la_suite() -> None:
    """L'écoute neuve redit le 2, puis donne le 4 : le 3, manqué entre les deux, est relu."""

    async def essai() -> None:
        fil = ouvrir_fil(m.FilTrades, FausseConnexion(), grace_ms=0)
        servir(fil.connexion, *range(1, 6))
        rendus = await suivre_en_perdant(fil, (1, 2))
        fil.rompre()
        rendus += await suivre_en_perdant(fil, (2, 4, 5))
        assert sorted(rendus) == ["1", "2", "3", "4", "5"]

    a_la_main(essai)


def test_un_saut_dans_une_milliseconde_est_relu_meme_si_le_rest_tarde() -> None:
    """4 et 6 sont de la même ms, 5 s'est perdu : un REST qui n'a pas encore 6 est redemandé."""

    async def essai() -> None:
        fil = ouvrir_fil(m.FilTrades, FausseConnexion(), grace_ms=0)
        servir(fil.connexion, 1)
        await suivre_en_perdant(fil, (1,))
        demandes: list[int] = []

        async def lire(_serie: Any, depuis: int | None, _params: Any) -> list[dict[str, Any]]:
            demandes.append(depuis or 0)
            return [brut(n, T0 + 5_000) for n in ((2, 3, 4) if len(demandes) <= 2 else (2, 3, 4, 5, 6))]

        fil.connexion.lire_trades = lire
        nourrir(fil, (2, 5_000), (3, 5_000), (4, 5_000), (6, 5_000))
        await fil.rattraper()
        lots = fil.collecter(fil.connexion.heure)
        assert sorted(ids(lots)) == ["2", "3", "4", "5", "6"]
        assert fil.fiche.couverts == [(T0 + 1_000, T0 + 5_000)]

    a_la_main(essai)


def test_un_saut_que_le_rest_tarde_a_servir_n_est_vain_qu_une_fois(monkeypatch: pytest.MonkeyPatch) -> None:
    """Redemandé quatre fois, il saute aux mêmes endroits : c'est un saut, et non quatre ; le suivant sera relu."""
    monkeypatch.setattr(m, "RETARDS_REST_S", (0.001, 0.002, 0.003, 0.004))

    async def essai() -> None:
        fil = ouvrir_fil(m.FilTrades, FausseConnexion(), grace_ms=0)
        await naitre(fil, *range(1, 11))
        servir(fil.connexion, 10, 11, *range(13, 18))  # 12 n'existe pas ; 18 à 20 ne sont pas encore servis
        nourrir(fil, (20, 20_000))
        fil.collecter(fil.connexion.heure)
        await fil.rattraper()
        assert fil._suite.ids.vains <= 1
        assert fil._suite.ids.surveille

    a_la_main(essai)


def tarder(connexion: FausseConnexion, tardif: int, fois: int, dernier: int) -> None:
    """Un REST qui sert un trade par seconde jusqu'à celui-là, mais en tait un les premières fois."""
    restent = [tardif] * fois

    async def lire(_serie: Any, depuis: int | None, _params: Any) -> list[dict[str, Any]]:
        tu = restent.pop() if restent else 0
        return [brut(n, T0 + n * 1_000) for n in range(1, dernier + 1) if n != tu and T0 + n * 1_000 >= (depuis or 0)]

    connexion.lire_trades = lire  # type: ignore[method-assign]


@pytest.mark.parametrize(("tardif", "reprise"), [(13, False), (13, True), (11, True), (16, True)])
def test_un_numero_que_le_rest_tarde_a_dire_d_une_coupure_est_redemande(
    tardif: int, reprise: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Gate : fait pendant la coupure, dit après les suivants, au REST aussi. Ses numéros se suivent : il manque."""
    monkeypatch.setattr(m, "RETARDS_REST_S", (0.001, 0.002))

    async def essai() -> None:
        fil = ouvrir_fil(m.FilTrades, FausseConnexion(), grace_ms=0)
        await naitre(fil, *range(1, 11))
        fil.rompre()
        fil.connexion.heure = T0 + 16_000
        tarder(fil.connexion, tardif, 2, 16)
        if reprise:
            nourrir(fil, (17, 17_000))
            tarder(fil.connexion, tardif, 2, 17)
        await fil.rattraper()
        assert {"11", "12", "13", "14", "15", "16"} <= set(ids(fil.collecter(fil.connexion.heure)))
        assert fil.fiche.trous == []

    a_la_main(essai)


def test_des_identifiants_qui_sautent_au_rest_ne_sont_pas_redemandes_un_a_un(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bitfinex les partage entre ses marchés ; trois qui se suivent par chance n'en font pas une suite."""
    monkeypatch.setattr(m, "RETARDS_REST_S", (0.001, 0.002))

    async def essai() -> None:
        fil = ouvrir_fil(m.FilTrades, FausseConnexion(), grace_ms=0)
        await naitre(fil, 1, 2, 3)
        assert fil._suite.ids.se_suivent
        fil.rompre()
        fil.connexion.heure = T0 + 900_000
        demandes = servir(fil.connexion, 3, *range(5, 900, 2))
        await fil.rattraper()
        assert len(ids(fil.collecter(fil.connexion.heure))) == 448
        assert len(demandes) <= 3

    a_la_main(essai)


@pytest.mark.parametrize("fois", [2, 5])
def test_un_saut_que_la_coupure_a_trouve_en_attente_est_redemande(fois: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Le retardataire vient pendant la coupure, et le REST le tait encore ; au pire, il est relu en concluant."""
    monkeypatch.setattr(m, "RETARDS_REST_S", (0.001, 0.002, 0.003))

    async def essai() -> None:
        fil = ouvrir_fil(m.FilTrades, FausseConnexion())
        await naitre(fil, *range(1, 11))
        nourrir(fil, (12, 12_000), (13, 13_000))
        tarder(fil.connexion, 11, fois, 13)
        fil.rompre()
        await fil.rattraper()
        fil.conclut = True
        await fil.rattraper_a_fond()
        assert "11" in ids(fil.collecter(fil.connexion.heure))
        assert fil.fiche.trous == []

    a_la_main(essai)


async def fil_qui_saute_puis_se_coupe(heure_ms: int, fois: int) -> Any:
    """Le flux a dit 10, puis 12, puis s'est coupé après 13 ; le REST taira le 11 tant de fois."""
    fil = ouvrir_fil(m.FilTrades, FausseConnexion())
    await naitre(fil, *range(1, 11))
    nourrir(fil, (12, 12_000), (13, 13_000))
    fil.rompre()
    fil.connexion.heure = T0 + heure_ms
    tarder(fil.connexion, 11, fois, 16)
    return fil


@pytest.mark.parametrize("repris", [False, True])
def test_la_milliseconde_ou_un_saut_rejoint_une_coupure_est_couverte(
    repris: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Gate : la coupure, relue d'abord, n'en prouve pas le début ; le saut qui la précède, relu ensuite, si."""
    monkeypatch.setattr(m, "RETARDS_REST_S", (0.001, 0.002, 0.003))

    async def essai() -> None:
        fil = await fil_qui_saute_puis_se_coupe(15_000, 2)
        if repris:
            nourrir(fil, (16, 16_000))
        await fil.rattraper()
        assert "11" in ids(fil.collecter(fil.connexion.heure))
        assert fil.fiche.trous == []
        assert len(fil.fiche.couverts) == 1

    a_la_main(essai)


@pytest.mark.parametrize("raison", [m.ECHEC, m.HORS_FENETRE_API])
def test_la_milliseconde_d_un_saut_jamais_relu_reste_dans_son_trou(
    raison: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """La coupure qui suit fut relue : elle ne couvre pas ce qu'un trade du saut a pu partager."""
    monkeypatch.setattr(m, "RETARDS_REST_S", (0.001, 0.002, 0.003))

    async def essai() -> None:
        fil = await fil_qui_saute_puis_se_coupe(16_000, 99)
        lire, lectures = fil.connexion.lire_trades, itertools.count()

        async def refuser_le_saut(serie: Any, depuis: int | None, params: Any) -> list[dict[str, Any]]:
            if next(lectures) != 1:
                erreur = m.ErreurTemporaire if raison == m.ECHEC else m.ErreurDefinitive
                raise erreur("502")
            page: list[dict[str, Any]] = await lire(serie, depuis, params)
            return page

        fil.connexion.lire_trades = refuser_le_saut
        await fil.rattraper()
        await finir(fil)
        ((debut, fin, dite),) = fil.fiche.trous
        assert (debut, fin, dite) == (T0 + 10_000, T0 + 13_001, raison)
        assert m.croiser(fil.fiche.couverts, [(debut, fin)]) == []

    a_la_main(essai)


def test_un_saut_apres_le_premier_trade_n_en_devient_pas_le_debut_de_l_ecoute() -> None:
    """Le REST, en panne, n'a relu ni l'un ni l'autre ; il se refuse : du saut, un trou ; du début, rien n'est dû."""

    async def essai() -> None:
        fil = ouvrir_fil(m.FilTrades, FausseConnexion(), grace_ms=0)
        fil.ecoute_depuis = T0
        fil.connexion.pages = [m.ErreurTemporaire("502") for _ in range(20)]
        nourrir(fil, (1, 1_000))
        await fil.rattraper()
        nourrir(fil, (20, 20_000), (21, 21_000), (22, 22_000))
        fil.collecter(fil.connexion.heure)
        await fil.rattraper()
        fil.connexion.pages = [m.ErreurDefinitive("403") for _ in range(20)]
        await fil.rattraper()
        await finir(fil)
        assert fil.fiche.trous == [m.Trou(T0 + 1_000, T0 + 20_001, m.HORS_FENETRE_API)]
        assert fil.fiche.couverts == [(T0 + 20_001, T0 + 22_000)]

    a_la_main(essai)


def test_un_saut_dans_une_milliseconde_que_l_arret_laisse_est_un_trou() -> None:
    """Cette milliseconde n'est pas prouvée : la relance la relira."""

    async def essai() -> None:
        fil = ouvrir_fil(m.FilTrades, FausseConnexion(), grace_ms=0)
        servir(fil.connexion, 1, 2)
        await suivre_en_perdant(fil, (1, 2))
        sans_rattrapage(fil)
        nourrir(fil, (3, 5_000), (5, 5_000))
        await finir(fil)
        assert fil.fiche.trous == [m.Trou(T0 + 5_000, T0 + 5_001, m.ECHEC)]

    a_la_main(essai)


def test_une_rupture_sans_fin_qu_un_trade_a_suivie_ne_retient_plus_rien() -> None:
    """REST en panne pendant le silence, puis le flux reprend : seul le vide de la coupure reste à prouver."""

    async def essai() -> None:
        fil = ouvrir_fil(m.FilTrades, FausseConnexion())
        await naitre(fil, 1, 2)
        fil.rompre()
        fil.connexion.pages = [m.ErreurTemporaire("502")] * 9
        await fil.rattraper()
        nourrir(fil, (8, 8_000))
        await fil.rattraper()
        fil._retenir_jusqua = 0.0
        nourrir(fil, (9, 9_000), (10, 10_000))
        fil.collecter(fil.connexion.heure)
        assert fil.fiche.couverts == [(T0 + 1_000, T0 + 2_000), (T0 + 8_001, T0 + 10_000)]
        await finir(fil)
        assert fil.fiche.trous == [m.Trou(T0 + 2_000, T0 + 8_001, m.ECHEC)]

    a_la_main(essai)


def test_des_trades_que_le_flux_reunit_ne_sont_pas_redits_un_par_un() -> None:
    """Okx : « 6-8 » en direct, puis 4 à 9 en REST pour combler 4 et 5."""

    async def essai() -> None:
        fil = ouvrir_fil(m.FilTrades, FausseConnexion())
        fil._suite.ids.grace_s = 60.0
        await naitre(fil, 1)
        for ident, instant in (("2-3", 2_000), ("6-8", 8_000), ("9", 9_000)):
            fil.connexion.heure = T0 + instant
            fil.recevoir([{**brut(0, T0 + instant), "id": ident}], 0)
        fil._suite.ids.grace_s = 0.0
        servir(fil.connexion, *range(1, 10))
        fil.collecter(fil.connexion.heure)
        await fil.rattraper()
        lots = fil.collecter(fil.connexion.heure)
        assert ids(lots) == ["4", "5"]

    a_la_main(essai)


def test_un_detail_deja_rendu_n_est_pas_redit_par_son_groupe() -> None:
    """Binance : la page fut détaillée, la suivante en panne ; relue trop tard pour le détail, elle est réunie."""

    async def essai() -> None:
        fil = ouvrir_fil(m.FilTrades, FausseConnexion())
        await naitre(fil, 1)
        fil.rompre()
        seuls = [brut(n, T0 + 2_000) for n in (2, 3, 4)]
        reunis = [brut(0, T0 + 2_000, id="2-4", amount=3.0), brut(5, T0 + 5_000), brut(6, T0 + 6_000)]
        fil.connexion.pages = [[brut(1, T0 + 1_000), *seuls], m.ErreurTemporaire("502"), [brut(1, T0 + 1_000), *reunis]]
        nourrir(fil, (6, 6_000))
        await fil.rattraper()
        await fil.rattraper()
        lots = fil.collecter(fil.connexion.heure)
        assert sorted(ids(lots)) == ["2", "3", "4", "5", "6"]
        assert fil.fiche.trous == []

    a_la_main(essai)


def test_sans_rest_le_nombre_des_sauts_decide() -> None:
    """Des identifiants qui ne font que sauter ne sont plus surveillés ; ceux qui sautent parfois le sont."""
    partages, suivis = SuiteALHeure(), SuiteALHeure()
    partages.sans_juge = suivis.sans_juge = True
    for rang in range(20):
        partages.a(float(rang)).noter(trade(rang * 7, T0))
        suivis.a(float(rang)).noter(trade(rang + rang // 5, T0))
    assert not partages.surveille
    assert suivis.surveille
    assert suivis.se_suivent


def test_des_lots_reunis_valent_les_memes_l_un_apres_l_autre() -> None:
    """Un trou, puis ce qui le comble, dans la même écriture : il n'en reste rien."""
    vide = m.TRADES.schema.empty_table()
    lots = [
        m.Lot(CLE, vide, [(T0, T0 + 5)], [m.Trou(T0 + 5, T0 + 9, m.ECHEC)]),
        m.Lot(CLE, vide, [(T0 + 4, T0 + 12)], []),
        m.Lot(CLE, vide, [], [m.Trou(T0 + 1, T0 + 2, m.ECHEC)]),
    ]
    (reuni,) = enchainer(lots)
    assert reuni.couverts == [(T0, T0 + 1), (T0 + 2, T0 + 12)]
    assert reuni.trous == [m.Trou(T0 + 1, T0 + 2, m.ECHEC)]


def test_un_retardataire_d_avant_la_suite_ne_l_etend_pas() -> None:
    """Les trades qui l'en séparent ont peut-être passé avant l'abonnement : rien ne les prouve."""

    async def essai() -> None:
        fil = ouvrir_fil(m.FilTrades, FausseConnexion())
        sans_rattrapage(fil)
        nourrir(fil, (5, 5_000), (6, 6_000), (2, 2_000))
        (rendu,) = fil.collecter(fil.connexion.heure)
        assert rendu.lignes["id"].to_pylist() == ["2", "5", "6"]
        assert fil.fiche.couverts == [(T0 + 5_001, T0 + 6_000)]

    a_la_main(essai)


def test_un_saut_en_suspens_n_est_pas_couvert() -> None:
    """Tué pendant qu'on attend un trade, le flux relancé doit savoir qu'il manque."""

    async def essai() -> None:
        connexion = FausseConnexion()
        fil = ouvrir_fil(m.FilTrades, connexion)
        sans_rattrapage(fil)
        nourrir(fil, (1, 1_000), (3, 3_000))
        fil.collecter(connexion.heure)
        assert fil.fiche.couverts == []
        nourrir(fil, (2, 2_000))
        fil.collecter(connexion.heure)
        assert fil.fiche.couverts == [(T0 + 1_001, T0 + 3_000)]

    a_la_main(essai)


def test_des_trades_a_confirmer_ne_sont_couverts_qu_une_fois_confirmes() -> None:
    async def essai() -> None:
        connexion = FausseConnexion()
        connexion.particularite = m.Particularite(trades_a_confirmer=3)
        fil = ouvrir_fil(m.FilTrades, connexion)
        servis = [{**brut(n, T0 + n * 1_000), "id": f"{n}-uuid"} for n in range(4)]
        connexion.heure, connexion.pages = T0 + 1_000, [servis[:2]]
        fil.recevoir([servis[1]], 0)
        await fil.rattraper()
        for numero in (1, 2, 3):
            connexion.heure = T0 + numero * 1_000
            connexion.pages = [m.ErreurTemporaire("502")]
            fil.recevoir([{**brut(numero, connexion.heure), "id": f"{numero}-uuid"}], 0)
            fil.collecter(connexion.heure)
            # Au troisième, le REST est demandé, et muet.
            assert fil.fiche.couverts == [(T0 + 1_000, T0 + 1_001)] * (numero > 1)
        await fil.rattraper()
        connexion.pages = [servis] * 2
        await fil.rattraper()
        fil.collecter(connexion.heure)
        assert fil.fiche.couverts == [(T0 + 1_000, T0 + 3_000)]

    a_la_main(essai)


def test_la_reprise_part_de_ce_qui_est_prouve() -> None:
    """Tué entre la ligne et sa fiche : le trade est connu, mais ce qui le sépare du prouvé est relu avec la coupure."""

    async def essai() -> None:
        connexion, fiche = FausseConnexion(), m.Fiche(CLE, couverts=[(T0, T0 + 1_000)])
        serie = m.Serie(CLE, {"type": "spot", "symbol": "BTC/USDT"}, UNE_MINUTE, 100)
        connus = [trade(1, T0 + 1_000), trade(3, T0 + 3_000)]
        fil = m.FilTrades(connexion, serie, fiche, m.ReglagesFlux(m.Plage()), connus)  # type: ignore[arg-type]
        fil.rompre()
        connexion.pages = [[brut(n, T0 + n * 1_000) for n in range(1, 7)]]
        nourrir(fil, (6, 6_000))
        await fil.rattraper()
        lots = fil.collecter(connexion.heure)
        assert ids(lots) == ["2", "4", "5", "6"]
        assert fil.fiche.couverts == [(T0, T0 + 6_000)]

    a_la_main(essai)


def test_une_relecture_abandonnee_inscrit_le_trou() -> None:
    """Annulée en pleine page : ni silence, ni erreur au lieu de l'annulation."""

    async def essai() -> None:
        connexion = FausseConnexion()
        fil = ouvrir_fil(m.FilTrades, connexion)
        await naitre(fil, 1)
        fil.rompre()

        async def jamais(*_: Any) -> list[dict[str, Any]]:
            await asyncio.sleep(60)
            return []

        connexion.__dict__["lire_trades"] = jamais
        nourrir(fil, (6, 6_000))
        await asyncio.sleep(0)
        await finir(fil)
        assert fil.fiche.trous == [m.Trou(T0 + 1_000, T0 + 6_001, m.ECHEC)]

    a_la_main(essai)


def test_un_saut_en_suspens_a_la_coupure_est_relu() -> None:
    """Le trade qu'on attendait ne viendra plus : il n'est pas oublié avec l'écoute."""

    async def essai() -> None:
        connexion = FausseConnexion()
        fil = ouvrir_fil(m.FilTrades, connexion)
        await naitre(fil, 1, 3)
        fil.rompre()
        tous = [brut(n, T0 + n * 1_000) for n in range(1, 6)]
        connexion.pages = [tous, tous]
        nourrir(fil, (5, 5_000))
        await fil.rattraper()
        lots = fil.collecter(connexion.heure)
        assert sorted(ids(lots)) == ["2", "4", "5"]

    a_la_main(essai)


def test_un_trade_du_futur_attend_puis_est_laisse_au_rest() -> None:
    """Ni l'heure ni un autre trade ne le confirme : il n'est pas écrit à cet instant, et la suite est relue."""

    async def essai() -> None:
        fil = ouvrir_fil(m.FilTrades, FausseConnexion())
        await naitre(fil, 1, 2)
        fil.recevoir([brut(3, T0 + m.HEURE_MS)], T0)
        assert ids(fil.collecter(fil.connexion.heure)) == []
        assert fil.doute
        fil._horloge = lambda: 10.0**9
        servir(fil.connexion, 1, 2, 3)
        fil.collecter(fil.connexion.heure)
        await fil.rattraper()
        lots = fil.collecter(fil.connexion.heure)
        assert [m.instants_de(x.lignes) for x in lots if x.lignes.num_rows] == [[T0 + 3_000]]
        assert fil.compteurs.impossibles == 1

    a_la_main(essai)


@pytest.mark.parametrize("impossible", [{"price": None}, {"amount": -1}, {"price": float("nan")}, {"timestamp": None}])
def test_un_trade_impossible_est_compte_et_ecarte(impossible: dict[str, Any]) -> None:
    async def essai() -> None:
        fil = ouvrir_fil(m.FilTrades, FausseConnexion())
        fil.recevoir([{**brut(1, T0), **impossible}], T0)
        assert fil.collecter(T0) == []
        assert fil.compteurs.impossibles == 1

    a_la_main(essai)


def ticker(prix: float, instant: int | None) -> dict[str, Any]:
    """Un ticker de ccxt."""
    return {"symbol": "BTC/USDT", "timestamp": instant, "last": prix}


def test_un_ticker_sans_horodatage_prend_l_instant_de_reception() -> None:
    """À l'heure de l'exchange ; la fiche le dit, et l'horloge locale n'y touche pas."""

    async def essai() -> None:
        connexion = FausseConnexion()
        fil = ouvrir_fil(m.FilTicker, connexion)
        fil.recevoir([ticker(10.0, None)], T0 + 900 * m.JOUR_MS)
        (rendu,) = fil.collecter(T0)
        assert m.instants_de(rendu.lignes) == [T0]
        assert fil.fiche.horodatage == "reception"

    a_la_main(essai)


@pytest.mark.parametrize(("date", "attendus"), [(True, [10.0, 10.0, 11.0]), (False, [10.0, 11.0])])
def test_un_ticker_qui_ne_change_pas_est_une_ligne_si_l_exchange_le_date(date: bool, attendus: list[float]) -> None:
    """Un instant de plus est un état de plus ; sans horodatage, rien ne le distingue d'une relecture."""

    async def essai() -> None:
        fil = ouvrir_fil(m.FilTicker, FausseConnexion())
        for instant, prix in ((1, 10.0), (2, 10.0), (2, 10.0), (3, 11.0), (4, float("nan"))):
            fil.connexion.heure = T0 + instant
            fil.recevoir([ticker(prix, T0 + instant if date else None)], T0)
        (rendu,) = fil.collecter(T0)
        assert rendu.lignes["last"].to_pylist() == attendus
        assert fil.recus == len(attendus)
        fil.recevoir([ticker(11.0, T0 + 3 if date else None)], T0)
        assert fil.collecter(T0) == []

    a_la_main(essai)


@pytest.mark.parametrize(
    ("vwap", "ecrit"), [(6.03e-05, None), (9.0, 9.0), (12.0, 12.0), (12.000000000000002,) * 2, (13.0, None)]
)
def test_un_prix_moyen_hors_des_extremes_n_en_est_pas_un(vwap: float, ecrit: float | None) -> None:
    """Celui que ccxt donne à un inverse de bybit : des bitcoins divisés par des dollars."""

    async def essai() -> None:
        fil = ouvrir_fil(m.FilTicker, FausseConnexion())
        fil.recevoir([{**ticker(10.0, T0 + 1), "low": 9.0, "high": 12.0, "vwap": vwap}], T0)
        (rendu,) = fil.collecter(T0)
        assert rendu.lignes["vwap"].to_pylist() == [ecrit]

    a_la_main(essai)


@pytest.mark.parametrize("suffixe", [".csv", ".parquet", ".sqlite"])
def test_des_tickers_rendus_en_desordre_sont_ranges_a_leur_place(suffixe: str, tmp_path: Path) -> None:
    """Une machine chargée rend un état, puis un autre du même instant, ou d'avant : la sortie reste juste."""

    async def essai() -> None:
        fil = ouvrir_fil(m.FilTicker, FausseConnexion())
        with creer(tmp_path / f"t{suffixe}", m.TICKER, flux=True) as ecrivain:
            for instant, prix in ((5, 1.0), (5, 2.0), (9, 3.0), (7, 4.0), (9, 5.0)):
                fil.recevoir([ticker(prix, T0 + instant)], T0)
                for rendu in fil.collecter(T0):
                    ecrivain.ecrire(rendu, fil.fiche)
            ecrivain.finir()

    a_la_main(essai)
    lue = m.lire(tmp_path / f"t{suffixe}")
    assert [(i - T0, prix) for i, prix in zip(m.instants_de(lue), lue["last"].to_pylist(), strict=True)] == [
        (5, 2.0), (7, 4.0), (9, 5.0),
    ]  # fmt: skip


def test_deux_etats_du_meme_instant_n_en_font_qu_un() -> None:
    async def essai() -> None:
        fil = ouvrir_fil(m.FilTicker, FausseConnexion())
        for instant, prix in ((0, 1.0), (1, 2.0), (1, 1.0)):
            fil.recevoir([ticker(prix, T0 + instant)], T0)
        (rendu,) = fil.collecter(T0)
        assert rendu.lignes["last"].to_pylist() == [1.0, 1.0]

    a_la_main(essai)


def test_deux_coupures_d_un_ticker_sont_deux_trous() -> None:
    """Même si rien n'a été collecté entre les deux."""

    async def essai() -> None:
        fil = ouvrir_fil(m.FilTicker, FausseConnexion())
        fil.connexion.heure = T0 + 10_000
        fil.recevoir([ticker(1.0, T0)], T0)
        fil.collecter(T0)
        for rang in (1, 2):
            fil.rompre()
            fil.recevoir([ticker(1.0 + rang, T0 + rang * 1_000)], T0)
        fil.collecter(T0)
        assert [t.raison for t in fil.fiche.trous] == [m.HORS_FENETRE_API] * len(fil.fiche.trous)
        assert [(t.debut - T0, t.fin - T0) for t in fil.fiche.trous] in ([(1, 1_000), (1_001, 2_000)], [(1, 2_000)])

    a_la_main(essai)


def carnet(bid: float, ask: float, instant: int | None = T0) -> dict[str, Any]:
    """Un carnet de ccxt."""
    return {"timestamp": instant, "nonce": 1, "bids": [[bid, 1.0]], "asks": [[ask, 1.0]]}


@pytest.mark.parametrize(("bid", "ask"), [(10.0, 10.0), (11.0, 10.0), (0.0, 1.0), (float("nan"), 1.0)])
def test_un_carnet_croise_ou_impossible_est_ecarte_et_compte(bid: float, ask: float) -> None:
    async def essai() -> None:
        fil = ouvrir_fil(m.FilCarnet, FausseConnexion())
        fil.recevoir([carnet(bid, ask)], T0)
        assert fil.collecter(T0) == []
        assert (fil.compteurs.carnets_ecartes, fil.croises, fil.recus) == (1, 1, 0)
        fil.recevoir([carnet(9.0, 10.0)], T0)
        assert fil.croises == 0

    a_la_main(essai)


def test_un_carnet_sans_horodatage_prend_l_instant_de_reception() -> None:
    """Kraken ne date pas son premier carnet : l'heure de l'exchange quand il arrive, et la fiche le dit."""

    async def essai() -> None:
        fil = ouvrir_fil(m.FilCarnet, FausseConnexion())
        fil.recevoir([{"timestamp": None, "nonce": 1, "bids": [[9.0, 1.0]], "asks": [[10.0, 1.0]]}], T0 + m.JOUR_MS)
        (rendu,) = fil.collecter(T0)
        assert m.instants_de(rendu.lignes) == [T0]
        assert fil.fiche.horodatage == "reception"

    a_la_main(essai)


@pytest.mark.parametrize(("bids", "asks"), [([], [[10.0, 1.0]]), ([[9.0, 1.0]], [])])
def test_un_carnet_a_un_seul_cote_est_un_etat(bids: list[Any], asks: list[Any]) -> None:
    """Une option, un marché suspendu : l'autre côté est écrit vide ; tout vide, il n'est pas encore arrivé."""

    async def essai() -> None:
        fil = ouvrir_fil(m.FilCarnet, FausseConnexion())
        fil.recevoir([{"timestamp": T0, "nonce": 1, "bids": [], "asks": []}], T0)
        fil.recevoir([{"timestamp": T0, "nonce": 2, "bids": bids, "asks": asks}], T0)
        (rendu,) = fil.collecter(T0)
        assert [len(rendu.lignes[cote].to_pylist()[0]) for cote in ("bids", "asks")] == [len(bids), len(asks)]
        servi = {"timestamp": None, "nonce": None, "bids": bids, "asks": asks}

        async def servir_le_carnet(*_: Any) -> dict[str, Any]:
            return servi

        fil.connexion.appeler = servir_le_carnet
        assert not await fil.a_bouge()
        servi["bids"], servi["asks"] = [[9.0, 1.0]], [[10.0, 1.0]]
        assert await fil.a_bouge()

    a_la_main(essai)


@pytest.mark.parametrize(("longueurs", "dit"), [
    (lambda _rang: (15, 15), 1),  # upbit, paradex
    (lambda _rang: (30, 30), 0),  # coupés par nous
    (lambda rang: (15, 14 + rang % 2), 0), (lambda rang: (3 + rang % 9, 15), 0), (lambda _rang: (15, 9), 0),
    (lambda _rang: (1, 1), 0),
], ids=["coupé", "assez", "peu garni", "variable", "inégal", "à peine coté"])  # fmt: skip
def test_un_carnet_plus_court_que_demande_est_dit_une_fois(
    longueurs: Callable[[int], tuple[int, int]], dit: int, caplog: pytest.LogCaptureFixture
) -> None:
    """De n'importe quelle classe, d'après ce qui arrive ; jamais d'un marché peu garni, ni d'un marché calme."""

    async def essai() -> None:
        async with m.Connexion(m.Reglages("upbit")) as connexion:
            fils = [ouvrir_fil(m.FilCarnet, connexion) for _ in range(2)]
            for rang, fil in itertools.product(range(60), fils):
                achats, ventes = longueurs(rang)
                fil.recevoir([{
                    "timestamp": T0 + rang, "nonce": rang,
                    "bids": [[100.0 + rang - n, 1.0] for n in range(achats)],
                    "asks": [[102.0 + rang + n, 1.0] for n in range(ventes)],
                }], T0)  # fmt: skip
            calme = ouvrir_fil(m.FilCarnet, m.Connexion(m.Reglages("upbit")))
            for rang in range(60):  # les quantités seules changent
                cotes = {nom: [[prix + n, 1.0 + rang]] for n, nom, prix in ((0, "bids", 9.0), (1, "asks", 9.0))}
                calme.recevoir([{"timestamp": T0 + rang, "nonce": rang, **cotes}], T0)
            await calme.connexion.fermer()

    a_la_main(essai)
    assert [ligne for ligne in caplog.messages if "--profondeur" in ligne] == [
        "upbit n'envoie que 15 niveaux de carnet par côté, moins que --profondeur."
    ] * dit


def test_un_ticker_calme_se_compare_sur_ce_que_les_deux_voies_disent() -> None:
    """Le REST tait le plus haut et dit un volume de vingt-quatre heures qui a glissé : rien n'a bougé."""

    async def essai() -> None:
        fil = ouvrir_fil(m.FilTicker, FausseConnexion())
        fil.recevoir([{**ticker(10.0, T0), "bid": 9.0, "ask": 11.0, "high": 12.0, "baseVolume": 5.0}], T0)
        servi = {**ticker(10.0, T0 + 60_000), "bid": 9.5, "ask": 11.0, "baseVolume": 4.0}

        async def servir_le_ticker(*_: Any) -> dict[str, Any]:
            return servi

        fil.connexion.appeler = servir_le_ticker
        assert not await fil.a_bouge(), "ce flux ne dit un prix d'achat qu'à chaque trade"
        servi["last"] = 10.5
        assert await fil.a_bouge()
        servi["last"] = 10.0
        fil.recevoir([{**ticker(10.0, T0 + 1), "bid": 9.1, "ask": 11.0, "high": 12.0, "baseVolume": 5.0}], T0)
        assert await fil.a_bouge(), "celui-ci le dit seul : il l'aurait dit"

    a_la_main(essai)


@pytest.mark.parametrize("date", [True, False])
def test_la_coupure_d_un_ticker_qui_n_a_rien_dit_de_neuf_ensuite_est_un_trou(date: bool) -> None:
    """Deux états du même instant, dont le second est celui d'avant la coupure : aucune ligne sans date, un trou."""

    async def essai() -> None:
        fil = ouvrir_fil(m.FilTicker, FausseConnexion())
        fil.ecouter()
        fil.recevoir([ticker(1.0, T0 if date else None)], T0)
        fil.collecter(T0)
        fil.rompre()
        fil.connexion.heure = T0 + 5_000
        instant = T0 + 5_000 if date else None
        fil.recevoir([ticker(2.0, instant), ticker(1.0, instant)], T0 + 5_000)
        assert sum(lot.lignes.num_rows for lot in fil.collecter(T0 + 5_000)) == date
        await finir(fil)
        assert fil.fiche.trous == [m.Trou(T0 + 1, T0 + 5_000, m.HORS_FENETRE_API)]

    a_la_main(essai)


@pytest.mark.parametrize("classe", [m.FilTicker, m.FilCarnet])
def test_un_instantane_jamais_entendu_est_un_trou(classe: Any) -> None:
    """Ce qui est dû commence avec la première écoute : une reconnexion, ou rien du tout, laisse un trou."""

    async def essai() -> None:
        connexion = FausseConnexion()
        fil = ouvrir_fil(classe, connexion)
        fil.ecouter()
        connexion.heure = T0 + 60_000
        fil.conclut = True
        fil.rompre()
        await finir(fil)
        assert fil.fiche.trous == [m.Trou(T0, T0 + 60_000, m.HORS_FENETRE_API)]
        await finir(fil)
        assert fil.fiche.trous == [m.Trou(T0, T0 + 60_000, m.HORS_FENETRE_API)]

    a_la_main(essai)


@pytest.mark.parametrize("date", [T0 + 4_000, T0 - 60_000])
def test_un_ticker_est_couvert_depuis_la_date_du_premier_etat_entendu(date: int) -> None:
    """Le temps d'ouvrir la connexion, et que vienne son tour de s'abonner, un état a pu passer que rien n'a dit."""

    async def essai() -> None:
        connexion = FausseConnexion()
        fil = ouvrir_fil(m.FilTicker, connexion)
        fil.ecouter()
        connexion.heure = T0 + 5_000
        fil.recevoir([ticker(10.0, date)], 0)
        fil.collecter(connexion.heure)
        fil.conclut = True
        fil.rompre()
        await finir(fil)
        assert (fil.fiche.couverts, fil.fiche.trous) == ([(date, date + 1)], [])

    a_la_main(essai)


@pytest.mark.parametrize(("heure", "clotures", "autre_prix", "a_bouge"), [
    (30_000, (1.0,), 0.0, True), (30_000, (), 0.0, True),  # la minute entamée ne prouve pas le calme
    (65_000, (1.0,), 0.0, False), (125_000, (1.0, 0.0), 0.0, False),
    (65_000, (1.0,), 0.5, True), (125_000, (1.0, 2.0), 0.0, True), (65_000, (), 0.0, True),
])  # fmt: skip
def test_sans_trades_en_rest_le_calme_se_prouve_par_les_minutes(
    heure: int, clotures: tuple[float, ...], autre_prix: float, a_bouge: bool
) -> None:
    """hyperliquid, muet dix secondes : sa minute entamée le faisait tenir pour calme, et couvrir ce qu'il avait tu."""

    async def essai() -> None:
        connexion = FausseConnexion()
        fil = ouvrir_fil(m.FilTrades, connexion)
        fil.ecouter()
        nourrir(fil, (1, 10_000))
        prix = brut(1, 0)["price"]
        connexion.heure = T0 + heure

        async def refuser(*_: Any) -> list[dict[str, Any]]:
            raise m.ErreurDefinitive("NotSupported")

        connexion.lire_trades = refuser  # type: ignore[method-assign]

        async def lire_les_bougies(_serie: Any, _timeframe: Any, debut: int, *_: Any, limite: int) -> list[list[float]]:
            volumes = enumerate(clotures)
            lues = [[T0 + rang * MINUTE, prix, prix, prix, prix + autre_prix, volume] for rang, volume in volumes]
            return [bougie for bougie in lues if bougie[0] >= debut][:limite]

        connexion.lire_bougies = lire_les_bougies
        assert await fil.a_bouge() == a_bouge

    a_la_main(essai)


def test_un_marche_calme_se_juge_depuis_l_abonnement() -> None:
    """Le volume d'avant l'abonnement ne prouve rien ; celui d'une bougie d'après, si."""
    assert not m.depassee([bougie(0, 5.0)], (), T0)
    assert m.depassee([bougie(0, 5.0), bougie(1, 0.1)], (), T0)
    assert not m.depassee([bougie(1, 0.0)], (), T0)
    assert m.depassee([bougie(0, 5.0)], bougie(0, 4.0), T0)
    assert not m.depassee([bougie(0, 4.0)], bougie(0, 4.0), T0)
    assert not m.depassee([[None] * 6], (), T0)


# Ce que la classe refuse d'elle-même


@pytest.mark.parametrize(("exchange", "timeframe"), [("p2b", "1m"), ("woo", "4h"), ("upbit", "3m")])
def test_un_timeframe_que_la_classe_ne_suit_pas_est_un_canal_inconnu(exchange: str, timeframe: str) -> None:
    """Elle l'annonce par BadRequest, ExchangeError ou NotSupported : le repli est le même, et aussitôt."""

    async def essai() -> None:
        reglages = m.Reglages(exchange=exchange)
        async with m.Connexion(reglages) as connexion:
            marche = {"id": "BTC_USDT", "symbol": "BTC/USDT", "base": "BTC", "quote": "USDT", "spot": True}
            connexion.api.set_markets([connexion.api.safe_market_structure(marche)])
            cle = m.CleSerie(exchange, "BTC/USDT", timeframe)
            serie = m.Serie(cle, {"type": "spot"}, m.Timeframe.lire(timeframe), 0)
            ecoute = m.Ecoute(connexion, "ohlcv", [serie], lambda *_: None)
            with pytest.raises(m.CanalInconnu):
                await ecoute.suivre(groupe=False)
            ecoute.fermer()

    a_la_main(essai)


# Ce que ccxt retient


def test_ccxt_ne_garde_que_peu_des_bougies_d_un_symbole() -> None:
    """Mille, d'office : cinquante Mo pour deux cents symboles, que les prises ont déjà lus."""

    async def essai() -> None:
        recues: list[Any] = []
        async with m.Connexion(m.Reglages(exchange="binance")) as connexion:
            marche = {
                "id": "BTCUSDT",
                "symbol": "BTC/USDT",
                "base": "BTC",
                "quote": "USDT",
                "type": "spot",
                "spot": True,
            }
            connexion.api.set_markets([connexion.api.safe_market_structure(marche)])
            serie = m.Serie(m.CleSerie("binance", "BTC/USDT", "1m", "last"), marche, m.Timeframe.lire("1m"), 0)
            ecoute = m.Ecoute(connexion, "ohlcv", [serie], lambda _symbole, lignes, _recu: recues.extend(lignes))
            ecoute._poser_les_prises()
            client = ecoute.api.client("ws://127.0.0.1:9/ws")
            for rang in range(3 * m.LIGNES_EN_CACHE):
                bougie = {"t": T0 + rang * 60_000, "s": "BTCUSDT", "i": "1m", **dict.fromkeys("ohlcv", "1")}
                ecoute.api.handle_ohlcv(client, {"e": "kline", "E": T0, "s": "BTCUSDT", "k": bougie})
            ecoute._livraison.livrer()
            assert len(recues) == 3 * m.LIGNES_EN_CACHE
            assert len(ecoute.api.ohlcvs["BTC/USDT"]["1m"]) == m.LIGNES_EN_CACHE
            ecoute.fermer()
        assert not ecoute.api.ohlcvs  # et rien, une fois fermée : elle attend longtemps le ramasse-miettes

    a_la_main(essai)


def test_une_ecoute_ne_relit_pas_les_certificats() -> None:
    """Trente millisecondes à chaque reconnexion, et un Mo que garde l'instance finie jusqu'au ramasse-miettes."""

    async def essai() -> None:
        async with m.Connexion(m.Reglages(exchange="binance")) as connexion:
            connexion.api.set_markets([])
            connexion.api.open()
            ecoute = m.Ecoute(connexion, "trades", [], lambda *_: None)
            ecoute.api.open()
            assert ecoute.api.session.connector._ssl is connexion.api.ssl_context
            ecoute.fermer()

    a_la_main(essai)


def test_ccxt_choisit_les_tickers_parmi_ceux_que_nous_ecoutons() -> None:
    """Il n'y voyait pas un `dict`, y cherchait le rang zéro, et le flux était coupé à chaque ticker (backpack)."""

    async def essai() -> None:
        async with m.Connexion(m.Reglages(exchange="backpack")) as connexion:
            connexion.api.tickers = m._Rayon(lambda _symbole, rangee: rangee)
            for symbole in ("BTC/USDC", "ETH/USDC"):
                connexion.api.tickers[symbole] = {"symbol": symbole, "last": 10.0}
            choisis = connexion.api.filter_by_array(connexion.api.tickers, "symbol", ["ETH/USDC"])
            assert choisis == {"ETH/USDC": {"symbol": "ETH/USDC", "last": 10.0}}

    a_la_main(essai)


def test_une_liste_de_bougies_recrite_en_place_est_relue() -> None:
    """Ndax additionne dans sa dernière bougie, puis range de nouveau la même liste."""

    async def essai() -> None:
        recues: list[Any] = []
        livraison = m._Livraison(lambda _symbole, lignes, _recu: recues.extend(lignes), recues.append)
        rayon = m._Rayon(lambda symbole, liste: livraison.brancher(liste, symbole))
        bougies = [plate(0), plate(1)]
        rayon["BTC/USDT"] = bougies
        await asyncio.sleep(0)
        bougies[-1] = plate(1, volume=4.0)
        rayon["BTC/USDT"] = bougies
        bougies.append(plate(2))
        rayon["BTC/USDT"] = bougies
        await asyncio.sleep(0)
        assert recues == [tuple(b) for b in (plate(0), plate(1), plate(1, volume=4.0), plate(2))]

    a_la_main(essai)


def test_un_cache_que_la_classe_remplace_ou_garde_ailleurs_est_ecoute() -> None:
    """Deribit en change à chaque trame ; d'autres tiennent le leur sous un autre nom, rempli avant d'être rangé."""

    async def essai() -> None:
        recues: list[Any] = []
        livraison = m._Livraison(lambda _symbole, lignes, _recu: recues.extend(lignes), recues.append)
        rayon = m._Rayon(lambda symbole, cache: livraison.brancher(cache, symbole))
        for numero in (1, 3):
            cache = ArrayCache(10)
            cache.append(brut(numero, T0 + numero))
            rayon["BTC/USDT"] = cache
            cache.append(brut(numero + 1, T0 + numero + 1))
        await asyncio.sleep(0)
        assert [trade.id for trade in recues] == ["1", "2", "3", "4"]

    a_la_main(essai)


@pytest.mark.parametrize("rang", [0, 1])
def test_les_caches_de_ccxt_ne_grandissent_pas_avec_le_flux(rang: int) -> None:
    """Groupées, ses bougies ne sont jamais lues par nous dans son cache, qui retiendrait chaque ouverture."""

    async def essai() -> None:
        recues: list[Any] = []
        livraison = m._Livraison(lambda _symbole, lignes, _recu: recues.extend(lignes), recues.append)
        cache = livraison.brancher((ArrayCache, ArrayCacheByTimestamp)[rang](m.LIGNES_EN_CACHE), "BTC/USDT")
        for numero in range(3_000):
            cache.append([T0 + numero * 60_000, 1.0] if rang else brut(numero, T0 + numero))
            await asyncio.sleep(0)
        livraison.finir()
        assert len(recues) == 3_000
        tailles = {nom: len(valeur) for nom, valeur in vars(cache).items() if hasattr(valeur, "__len__")}
        assert max(tailles.values()) <= m.LIGNES_EN_CACHE, tailles

    a_la_main(essai)


# --- Ce qu'une exécution laisse à la suivante


def relancer_le_fil(fil: Any, connexion: Any, connus: Sequence[m.Trade]) -> Any:
    """Le fil de l'exécution suivante : la fiche de celui-ci, et les trades qu'il a écrits."""
    serie, reglages = fil.serie, fil.reglages
    return m.FilTrades(connexion, serie, fil.fiche.copie(), reglages, connus)


def test_le_debut_d_une_ecoute_qu_un_signal_laisse_a_prouver_l_est_a_la_relance() -> None:
    """Le REST n'a pas eu le temps de le dire : c'est un trou, que rien ne couvre avant lui, et qui est redemandé."""

    async def essai() -> None:
        connexion = FausseConnexion()
        fil = ouvrir_fil(m.FilTrades, connexion)
        fil.ecouter()
        connexion.pages = [m.ErreurTemporaire("502")] * 9
        nourrir(fil, (3, 3_000), (4, 4_000))
        fil.collecter(connexion.heure)
        await finir(fil)
        assert fil.fiche.trous == [m.Trou(T0, T0 + 3_001, m.ECHEC)]
        assert fil.fiche.couverts == [(T0 + 3_001, T0 + 4_000)]

        connexion.heure = T0 + 9_000
        servir(connexion, *range(-2, 10))
        suivant = relancer_le_fil(fil, connexion, [trade(3, T0 + 3_000), trade(4, T0 + 4_000)])
        suivant.ecouter()
        assert suivant.du_depuis == T0
        await suivant.rattraper()
        assert ids(suivant.collecter(connexion.heure)) == ["0", "1", "2", "5", "6", "7", "8", "9"]
        assert suivant.fiche.trous == []
        assert suivant.fiche.couverts[0][0] == T0

    a_la_main(essai)


def test_une_execution_qui_n_a_rien_entendu_laisse_ce_qu_elle_devait_a_la_suivante() -> None:
    """Arrêtée avant tout trade, le REST muet : un trou, que rien ne suit ; la suivante part de son début."""

    async def essai() -> None:
        connexion = FausseConnexion()
        fil = ouvrir_fil(m.FilTrades, connexion)
        fil.ecouter()
        connexion.heure = T0 + 2_000
        await finir(fil)
        assert (fil.fiche.couverts, fil.fiche.trous) == ([], [m.Trou(T0, T0 + 2_000, m.ECHEC)])

        connexion.heure = T0 + 5_000
        suivant = relancer_le_fil(fil, connexion, [])
        suivant.ecouter()
        suivant.renegocier()
        suivant.ecouter()
        assert suivant.du_depuis == T0
        servir(connexion, *range(-2, 8))
        nourrir(suivant, (6, 6_000), (7, 7_000))
        await suivant.rattraper()
        assert ids(suivant.collecter(connexion.heure)) == ["0", "1", "2", "3", "4", "5", "6", "7"]
        assert (suivant.fiche.couverts, suivant.fiche.trous) == ([(T0, T0 + 7_000)], [])

    a_la_main(essai)


@pytest.mark.parametrize("genre", [m.FilTrades, m.FilBougies])
def test_ce_qui_suit_un_trou_que_rien_ne_couvre_est_du_par_la_suivante(genre: Any) -> None:
    """Un marché sans un trade, dont le REST ne prouve rien : l'entre-deux de deux exécutions n'est pas tu."""

    async def essai() -> None:
        connexion = FausseConnexion()
        fil = ouvrir_fil(genre, connexion)
        fiche = fil.fiche.copie()
        fiche.noter([], [m.Trou(T0, T0 + 120_000, m.HORS_FENETRE_API)])
        suivant = genre(connexion, fil.serie, fiche, fil.reglages)
        connexion.heure = T0 + 600_000
        suivant.ecouter()
        assert suivant.du_depuis == T0 + 120_000

    a_la_main(essai)


@pytest.mark.parametrize("genre", [m.FilTicker, m.FilCarnet])
def test_un_abonnement_refuse_puis_arrete_avant_d_ecouter_ne_doit_rien(genre: Any) -> None:
    """Le groupe refusé, le signal vient avant l'abonnement suivant : aucun trou, et surtout pas depuis 1970."""

    async def essai() -> None:
        connexion = FausseConnexion()
        fil = ouvrir_fil(genre, connexion)
        fil.ecouter()
        fil.rompre()
        fil.renegocier()
        connexion.heure = T0 + 2_000
        await finir(fil)
        assert (fil.fiche.couverts, fil.fiche.trous) == ([], [])

    a_la_main(essai)


def test_la_milliseconde_du_premier_trade_entendu_n_est_pas_un_trou() -> None:
    """Le signal vient avant que le REST n'ait dit qui l'a partagée : rien n'y est connu pour manquer."""

    async def essai() -> None:
        connexion = FausseConnexion()
        fil = ouvrir_fil(m.FilTrades, connexion)
        connexion.pages = [m.ErreurTemporaire("502")] * 9
        nourrir(fil, (3, 3_000), (4, 4_000))
        fil.collecter(connexion.heure)
        await finir(fil)
        assert fil.fiche.trous == []
        assert fil.fiche.couverts == [(T0 + 3_001, T0 + 4_000)]

    a_la_main(essai)


def test_une_coupure_que_le_rest_ne_servait_pas_a_temps_est_relue_en_concluant() -> None:
    """Il n'a rien rendu pendant plus de temps que notre patience, puis il a tout."""

    async def essai() -> None:
        connexion = FausseConnexion()
        fil = ouvrir_fil(m.FilTrades, connexion)
        await naitre(fil, 1, 2)
        fil.rompre()
        connexion.pages = []
        nourrir(fil, (6, 6_000), (7, 7_000))
        await fil.rattraper()
        fil.collecter(connexion.heure)
        assert [trou.raison for trou in fil.fiche.trous] == [m.ECHEC]
        servir(connexion, *range(1, 8))
        fil.conclut = True
        await fil.rattraper_a_fond()
        assert ids(fil.collecter(connexion.heure)) == ["3", "4", "5"]
        assert fil.fiche.trous == []

    a_la_main(essai)


def test_l_entre_deux_de_deux_executions_est_du_par_la_seconde() -> None:
    """Ce que le REST ne sert plus en est un trou : moins que ce qui lui était demandé."""

    async def essai() -> None:
        connexion = FausseConnexion()
        fil = ouvrir_fil(m.FilTrades, connexion)
        await naitre(fil, 1, 2)
        await finir(fil)
        connexion.heure = T0 + 90_000
        suivant = relancer_le_fil(fil, connexion, [trade(1, T0 + 1_000), trade(2, T0 + 2_000)])
        assert suivant.du_depuis == fil.fiche.couverts[-1][1] <= T0 + 2_000

    a_la_main(essai)
