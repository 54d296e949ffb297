"""Les trades : chacun une fois, puis en bougies, sur leur seule heure ; contre un modèle naïf, écrit à part."""

from __future__ import annotations

import itertools
import math
from collections import Counter, defaultdict
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import module_ccxt_fr_v2 as m
from annexes_ccxt_fr import agregation
from module_ccxt_fr_v2 import (
    HEURE_MS,
    JOUR_MS,
    MINUTE_MS,
    SECONDE_MS,
    Agregateur,
    BougieTrades,
    CleSerie,
    Dedoublonneur,
    ErreurDemande,
    Timeframe,
    Trade,
    agreger_trades,
    habiller,
    lire_instant,
    mesure_en_base,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

DEBUT = 1_704_067_200_000  # 2024-01-01T00:00Z, un lundi
MINUTE = Timeframe.lire("1m")
GRACE = 2_000

Valeurs = tuple[float, ...]


def trade(ms: int, prix: float = 100.0, quantite: float = 1.0, ident: str | None = None) -> Trade:
    """Un trade, daté depuis DEBUT."""
    return Trade(DEBUT + ms, ident, "buy", prix, quantite)


def plate(minute: int, prix: float, revision: bool = False) -> BougieTrades:
    return BougieTrades(DEBUT + minute * MINUTE_MS, prix, prix, prix, prix, 0.0, revision)


def bougie(minute: int, valeurs: Sequence[float], revision: bool = False) -> BougieTrades:
    ouvert, haut, bas, clos, volume = valeurs
    return BougieTrades(DEBUT + minute * MINUTE_MS, ouvert, haut, bas, clos, volume, revision)


# --- Le modèle : un groupby sur la liste entière, sans état ---


def naif(trades: Iterable[Trade], pas_ms: int = MINUTE_MS) -> dict[int, Valeurs]:
    """Les bougies de trades aux ids uniques et numériques."""
    groupes: dict[int, list[Trade]] = defaultdict(list)
    for un in sorted(set(trades), key=lambda t: (t.timestamp, int(t.id or ""))):
        groupes[un.timestamp // pas_ms * pas_ms].append(un)
    bougies: dict[int, Valeurs] = {}
    for ouverture, groupe in sorted(groupes.items()):
        prix = [t.price for t in groupe]
        volume = float(sum(Fraction(str(t.amount)) for t in groupe))
        bougies[ouverture] = (prix[0], max(prix), min(prix), prix[-1], volume)
    return bougies


def avec_plates(bougies: dict[int, Valeurs], fin_ms: int) -> dict[int, Valeurs]:
    """Les mêmes, et une plate à la clôture précédente pour chaque minute vide d'avant la fin."""
    resultat = dict(bougies)
    for ouverture in range(min(bougies, default=fin_ms), fin_ms, MINUTE_MS):
        if ouverture not in resultat:
            cloture = resultat[ouverture - MINUTE_MS][3]
            resultat[ouverture] = (cloture, cloture, cloture, cloture, 0.0)
    return dict(sorted(resultat.items()))


# --- Le trade, et son ordre ---


@pytest.mark.parametrize(
    ("arrive", "present", "attendu"),
    [
        (trade(5, ident="9"), trade(6, ident="1"), True),
        (trade(6, ident="1"), trade(5, ident="9"), False),
        (trade(5, ident="9"), trade(5, ident="10"), True),  # des nombres, pas des textes
        (trade(5, ident="10"), trade(5, ident="9"), False),
        (trade(5, ident="9"), trade(5, ident="9"), False),
        (trade(5, ident="a"), trade(5, ident="b"), False),  # pas une séquence : l'ordre d'arrivée
        (trade(5, ident="9"), trade(5, ident="1a"), False),
        (trade(5), trade(5, ident="9"), False),
        (trade(5), trade(5), False),
    ],
)
def test_l_ordre_est_l_instant_puis_la_sequence_puis_l_arrivee(arrive: Trade, present: Trade, attendu: bool) -> None:
    assert arrive.precede(present) is attendu


# --- Le dédoublonneur ---


def test_un_id_ne_passe_qu_une_fois() -> None:
    memoire = Dedoublonneur()
    a, b = trade(0, ident="a"), trade(0, ident="b")
    assert memoire.nouveaux([a, b, a]) == [a, b]
    assert memoire.nouveaux([b, a]) == []
    assert memoire.nouveaux([b, a], relecture=True) == []


def test_la_memoire_est_bornee_et_oublie_les_plus_anciens() -> None:
    memoire = Dedoublonneur(capacite=3)
    a, b, c, d = (trade(0, ident=i) for i in "abcd")
    assert memoire.nouveaux([a, b, c, d]) == [a, b, c, d]
    assert memoire.nouveaux([b, c, d]) == []
    assert memoire.nouveaux([a]) == [a], "le plus ancien est sorti"
    assert memoire.nouveaux([b]) == [b], "puis le suivant"
    for rang in range(100):
        memoire.nouveaux([trade(rang)])
    assert len(memoire._connus) == 3
    assert Dedoublonneur()._capacite == 200_000


@pytest.mark.parametrize("de_suite", [False, True])
def test_des_ids_qui_repartent_de_un_font_les_memes_trades_et_d_autres(de_suite: bool) -> None:
    """Le lendemain, mêmes ids, mêmes prix, mêmes quantités : la longue suite de la veille n'en fait pas des redites."""
    memoire = Dedoublonneur()
    veille = [trade(n * 1000 + 1, ident=str(n)) for n in range(1, 6)]
    assert memoire.prolonger(veille, 6) if de_suite else memoire.nouveaux(veille) == veille
    lendemain = [trade(86_400_000 + n * 1000 + 1, ident=str(n)) for n in range(1, 4)]
    rendus = [rendu.id for un in lendemain for rendu in memoire.nouveaux([un])]
    assert rendus == [f"{un.id}@{un.timestamp}" for un in lendemain]
    assert memoire.nouveaux(lendemain) == []


def test_un_recul_d_id_dans_l_instant_du_dernier_se_voit() -> None:
    """Des instants à la seconde : le premier du lendemain partage celle du dernier de la veille."""
    memoire = Dedoublonneur(recents=3)
    memoire.nouveaux([trade(n * 1000, ident=str(n)) for n in range(1, 100)])
    premier = trade(99_000, ident="1")
    assert memoire.nouveaux([premier]) == [premier._replace(id=f"1@{premier.timestamp}")]


def test_l_id_synthetique_a_la_forme_documentee() -> None:
    """Déterministe : c'est la clé que le contrat donne à un trade sans id."""
    memes = Dedoublonneur().nouveaux([trade(7, 1e-05, 0.1), trade(7, 1e-05, 0.1)])
    assert [t.id for t in memes] == ["~1704067200007-buy-1e-05-0.1-0", "~1704067200007-buy-1e-05-0.1-1"]


def test_en_direct_un_trade_identique_sans_id_est_un_nouveau_trade() -> None:
    memoire = Dedoublonneur()
    suite = memoire.nouveaux([trade(0)] * 2) + memoire.nouveaux([trade(0)] * 2)
    assert len({t.id for t in suite}) == 4
    assert [t._replace(id=None) for t in suite] == [trade(0)] * 4


def test_en_relecture_le_kieme_identique_est_le_kieme_deja_vu() -> None:
    memoire = Dedoublonneur()
    memoire.nouveaux([trade(0)] * 2)
    assert memoire.nouveaux([trade(0)] * 2, relecture=True) == []
    (troisieme,) = memoire.nouveaux([trade(0)] * 3, relecture=True)
    assert (troisieme.id or "").endswith("-2")
    assert memoire.nouveaux([trade(0)] * 3, relecture=True) == [], "chaque page recompte"
    assert memoire.nouveaux([trade(0)]) == [], "le direct dit à son tour le troisième"
    (quatrieme,) = memoire.nouveaux([trade(0)])
    assert (quatrieme.id or "").endswith("-3"), "puis continue la suite"


def test_une_sortie_deja_ecrite_montree_d_abord_n_est_pas_repetee() -> None:
    """Reprise : les ids synthétiques relus d'un fichier valent les trades d'où ils viennent."""
    ecrits = Dedoublonneur().nouveaux([trade(0), trade(0), trade(1, ident="x")])
    memoire = Dedoublonneur()
    assert memoire.nouveaux(ecrits) == ecrits
    assert memoire.nouveaux(ecrits) == []
    page = [trade(0), trade(0), trade(0), trade(1, ident="x")]
    assert [t.id for t in memoire.nouveaux(page, relecture=True)] == ["~1704067200000-buy-100.0-1.0-2"]


def test_un_id_de_l_exchange_qui_commence_par_un_tilde_reste_un_id() -> None:
    memoire, drole = Dedoublonneur(), trade(0, ident="~drôle-x")
    assert memoire.nouveaux([drole, drole]) == [drole]


IDENTIQUES = st.builds(
    lambda ms, prix, ident: trade(ms, prix, 1.0, ident),
    *map(st.sampled_from, ((0, 1), (1.0, 2.0))),
    st.sampled_from((None, None, "a", "b", "c")),
)


@given(st.lists(IDENTIQUES, max_size=12), st.data())
def test_une_page_relue_complete_exactement_ce_qui_manque(page: list[Trade], tire: st.DataObject) -> None:
    """Direct troué, puis relecture de tout : chaque trade une fois, jamais deux."""
    uniques = [t for rang, t in enumerate(page) if t.id is None or t.id not in [u.id for u in page[:rang]]]
    recus = [t for t in uniques if tire.draw(st.booleans())]
    memoire = Dedoublonneur()
    sortis = memoire.nouveaux(recus) + memoire.nouveaux(uniques, relecture=True)
    assert Counter(t._replace(id=None) if (t.id or "")[0] == "~" else t for t in sortis) == Counter(uniques)
    assert len({t.id for t in sortis}) == len(sortis)


# --- Le volume ---


def volume_en_base(amount: float, price: float, taille_contrat: float | None = None, inverse: bool = False) -> Decimal:
    """Celui d'un seul trade."""
    return mesure_en_base(taille_contrat, inverse)(Trade(DEBUT, None, "buy", price, amount))


def test_le_volume_a_l_unite_du_rest() -> None:
    assert volume_en_base(0.1, 50_000.0) == Decimal("0.1")
    assert volume_en_base(3, 50_000.0, 0.001) == Decimal("0.003")
    assert volume_en_base(30.0, 60_000.0, 100.0, inverse=True) == Decimal("0.05")
    assert volume_en_base(1.0, 3.0, inverse=True) == Decimal("0." + "3" * 18)


def test_la_mesure_en_base_est_le_volume_d_un_agregateur() -> None:
    for reglages in ((None, False), (0.001, False), (100.0, True), (None, True)):
        agregateur = Agregateur(MINUTE, volume=mesure_en_base(*reglages))
        agregateur.ajouter([trade(0, 3.0, 7.0), trade(1, 7.0, 2.0)])
        attendu = volume_en_base(7.0, 3.0, *reglages) + volume_en_base(2.0, 7.0, *reglages)
        assert agregateur.en_cours is not None
        assert agregateur.en_cours.volume == float(attendu)


def test_le_volume_est_une_somme_exacte() -> None:
    """0,1 + 0,2 = 0,3 ; une poussière n'est pas perdue à côté d'un géant, dans aucun ordre."""
    assert naif([trade(0, 1.0, 0.1, "1"), trade(0, 1.0, 0.2, "2")])[DEBUT][4] == 0.3
    for quantites in ((0.1, 0.2), (1e300, 5e-324, 1e300), (1e16, 1.0, 1.0)):
        for ordre in itertools.permutations(quantites):
            agregateur = Agregateur(MINUTE)
            agregateur.ajouter(trade(0, 1.0, q) for q in ordre)
            assert agregateur._vives[DEBUT].volume == sum(Fraction(str(q)) for q in quantites)
            assert agregateur.en_cours is not None
            assert agregateur.en_cours.volume == float(sum(Fraction(str(q)) for q in quantites))


# --- La clôture ---


def test_une_bougie_se_clot_au_premier_trade_d_une_suivante() -> None:
    agregateur = Agregateur(MINUTE)
    assert agregateur.ajouter([trade(0, 10.0), trade(20_000, 12.0), trade(30_000, 9.0), trade(59_999, 11.0)]) == []
    assert agregateur.ajouter([trade(60_000, 50.0)]) == [bougie(0, (10.0, 12.0, 9.0, 11.0, 4.0))]
    assert agregateur.ajouter([trade(60_001, 50.0)]) == [], "rendue une fois"


def test_la_minuterie_clot_a_ouverture_plus_pas_plus_grace() -> None:
    agregateur = Agregateur(MINUTE, grace_ms=GRACE)
    agregateur.ajouter([trade(0, 10.0)])
    assert agregateur.clore(DEBUT + MINUTE_MS + GRACE - 1) == []
    assert agregateur.clore(DEBUT + MINUTE_MS + GRACE) == [bougie(0, (10.0, 10.0, 10.0, 10.0, 1.0))]
    assert agregateur.clore(DEBUT + MINUTE_MS + GRACE) == []
    assert agregateur.clore(DEBUT) == [], "une horloge qui recule ne rouvre rien"
    assert agregateur.ajouter([trade(60_000)]) == [], "déjà rendue par la minuterie"


def test_la_bougie_en_cours_se_lit_sans_se_clore() -> None:
    assert Agregateur(MINUTE).en_cours is None
    agregateur = Agregateur(MINUTE)
    agregateur.ajouter([trade(0, 10.0), trade(1, 11.0)])
    assert agregateur.en_cours == bougie(0, (10.0, 11.0, 10.0, 11.0, 2.0))
    agregateur.ajouter([trade(60_000, 12.0)])
    assert agregateur.en_cours == bougie(1, (12.0, 12.0, 12.0, 12.0, 1.0))
    agregateur.clore(DEBUT + 2 * MINUTE_MS + GRACE)
    assert agregateur.en_cours is None


def test_ce_qui_est_clos_et_ce_qui_est_definitif_sont_dits() -> None:
    agregateur = Agregateur(MINUTE, grace_ms=GRACE, depuis_ms=DEBUT)
    assert (agregateur.close_jusqu_a, agregateur.fin_prouvee) == (DEBUT, DEBUT)
    agregateur.ajouter([trade(0), trade(60_000 + GRACE)])
    assert (agregateur.close_jusqu_a, agregateur.fin_prouvee) == (DEBUT + MINUTE_MS, DEBUT)
    agregateur.ajouter([trade(60_001 + GRACE)])
    assert (agregateur.close_jusqu_a, agregateur.fin_prouvee) == (DEBUT + MINUTE_MS, DEBUT + MINUTE_MS)
    agregateur.clore(DEBUT + 5 * MINUTE_MS + GRACE)
    assert (agregateur.close_jusqu_a, agregateur.fin_prouvee) == (DEBUT + 5 * MINUTE_MS, DEBUT + MINUTE_MS)


def test_dans_une_meme_ms_l_ordre_est_celui_des_ids_numeriques() -> None:
    agregateur = Agregateur(MINUTE)
    agregateur.ajouter([trade(0, p, 1.0, i) for p, i in ((2.0, "10"), (3.0, "100"), (1.0, "9"))])
    assert agregateur.en_cours == bougie(0, (1.0, 3.0, 1.0, 3.0, 3.0))


def test_dans_une_meme_ms_sans_id_l_ordre_est_celui_d_arrivee() -> None:
    agregateur = Agregateur(MINUTE)
    agregateur.ajouter([trade(0, p) for p in (2.0, 3.0, 1.0)])
    assert agregateur.en_cours == bougie(0, (2.0, 3.0, 1.0, 1.0, 3.0))


# --- Les retards ---


def test_un_retard_dans_la_grace_revise_la_bougie() -> None:
    agregateur = Agregateur(MINUTE, grace_ms=GRACE)
    agregateur.ajouter([trade(1_000, 10.0), trade(59_000, 11.0), trade(60_000 + GRACE, 50.0)])
    assert agregateur.ajouter([trade(59_500, 15.0)]) == [bougie(0, (10.0, 15.0, 10.0, 15.0, 3.0), revision=True)]
    assert agregateur.ajouter([trade(0, 5.0)]) == [bougie(0, (5.0, 15.0, 5.0, 15.0, 4.0), revision=True)]
    assert (agregateur.retards, agregateur.perdus) == (2, 0)


def test_un_retard_au_dela_de_la_grace_est_compte_et_ne_touche_rien() -> None:
    agregateur = Agregateur(MINUTE, grace_ms=GRACE)
    agregateur.ajouter([trade(0, 10.0), trade(60_001 + GRACE, 50.0)])
    tardifs = [trade(ms, 15.0) for ms in range(12)]
    assert agregateur.ajouter(tardifs) == []
    assert (agregateur.retards, agregateur.perdus) == (0, 12)
    assert list(agregateur.derniers_perdus) == tardifs[-10:]


def test_un_retard_ne_fait_pas_reculer_le_plus_grand_instant_vu() -> None:
    """Après un retard admis, ce qui dépassait la grâce la dépasse encore."""
    agregateur = Agregateur(MINUTE, grace_ms=GRACE)
    agregateur.ajouter([trade(0), trade(2 * MINUTE_MS + GRACE), trade(MINUTE_MS), trade(1)])
    assert (agregateur.retards, agregateur.perdus, list(agregateur.derniers_perdus)) == (1, 1, [trade(1)])


def test_la_minuterie_ne_perd_aucun_trade() -> None:
    """Le silence n'est pas une preuve : ce qui arrive après une longue coupure corrige encore."""
    agregateur = Agregateur(MINUTE, grace_ms=GRACE)
    agregateur.ajouter([trade(0, 10.0)])
    agregateur.clore(DEBUT + HEURE_MS)
    assert agregateur.ajouter([trade(1, 11.0), trade(5 * MINUTE_MS, 12.0)]) == [
        bougie(0, (10.0, 11.0, 10.0, 11.0, 2.0), revision=True),
        bougie(5, (12.0, 12.0, 12.0, 12.0, 1.0), revision=True),
    ]
    assert (agregateur.retards, agregateur.perdus) == (2, 0)


def test_un_retard_fait_naitre_la_bougie_d_une_minute_restee_vide() -> None:
    agregateur = Agregateur(MINUTE, grace_ms=2 * MINUTE_MS)
    agregateur.ajouter([trade(0, 10.0), trade(2 * MINUTE_MS, 12.0)])
    assert agregateur.ajouter([trade(MINUTE_MS, 11.0)]) == [bougie(1, (11.0, 11.0, 11.0, 11.0, 1.0), revision=True)]
    assert agregateur.ajouter([trade(-1, 9.0)]) == [bougie(-1, (9.0, 9.0, 9.0, 9.0, 1.0), revision=True)]


def test_un_doublon_est_compte_une_fois_et_ne_change_rien() -> None:
    agregateur = Agregateur(MINUTE, grace_ms=GRACE)
    agregateur.ajouter([trade(0, 10.0, 1.0, "a"), trade(0, 10.0, 1.0, "a"), trade(60_000, 11.0, 1.0, "b")])
    assert agregateur.ajouter([trade(0, 10.0, 1.0, "a")]) == []
    assert (agregateur.doublons, agregateur.retards) == (2, 0)


def test_des_ids_qui_repartent_de_un_ne_sont_pas_des_doublons() -> None:
    """Un agrégat qui dure plus d'un jour : les ids du lendemain sont connus, leurs trades non."""
    agregateur = Agregateur(MINUTE)
    agregateur.ajouter(trade(n * 1000, ident=str(n)) for n in range(1, 2_000))
    lendemain = [trade(86_400_000 + n * 1000, ident=str(n)) for n in range(1, 60)]
    agregateur.ajouter(lendemain)
    agregateur.ajouter(lendemain)
    assert agregateur.doublons == 59
    assert agregateur.en_cours is not None
    assert agregateur.en_cours.volume == 59.0


def test_des_trades_sans_id_identiques_comptent_tous() -> None:
    agregateur = Agregateur(MINUTE)
    agregateur.ajouter([trade(0), trade(0)])
    assert agregateur.en_cours == bougie(0, (100.0, 100.0, 100.0, 100.0, 2.0))


@pytest.mark.parametrize("prix", [0.0, -1.0, math.nan, math.inf])
def test_un_trade_impossible_n_entre_pas(prix: float) -> None:
    agregateur = Agregateur(MINUTE)
    agregateur.ajouter([trade(0, prix), trade(0, 1.0, -1.0), trade(0, 1.0, math.nan), trade(0, 1.0, math.inf)])
    assert (agregateur.en_cours, agregateur.impossibles) == (None, 4)


def test_un_trade_impossible_puis_redonne_bon_n_est_pas_un_doublon() -> None:
    agregateur = Agregateur(MINUTE)
    agregateur.ajouter([trade(0, math.nan, 1.0, "7"), trade(0, 5.0, 1.0, "7")])
    assert agregateur.en_cours == bougie(0, (5.0, 5.0, 5.0, 5.0, 1.0))
    assert (agregateur.impossibles, agregateur.doublons) == (1, 0)


def test_une_bougie_entamee_avant_l_abonnement_n_est_jamais_rendue() -> None:
    agregateur = Agregateur(MINUTE, depuis_ms=DEBUT + 30_000, grace_ms=GRACE)
    assert agregateur.ajouter([trade(10, 1.0), trade(59_999, 2.0)]) == []
    assert agregateur.en_cours is None
    assert agregateur.ajouter([trade(60_000, 3.0), trade(59_999, 9.0), trade(120_000, 4.0)]) == [
        bougie(1, (3.0, 3.0, 3.0, 3.0, 1.0))
    ]
    assert (agregateur.retards, agregateur.perdus) == (0, 0)


def test_une_bougie_qui_s_ouvre_a_l_abonnement_est_entiere() -> None:
    agregateur = Agregateur(MINUTE, depuis_ms=DEBUT)
    assert agregateur.ajouter([trade(0, 1.0), trade(60_000)]) == [bougie(0, (1.0, 1.0, 1.0, 1.0, 1.0))]


def test_la_memoire_ne_garde_que_les_bougies_vivantes() -> None:
    agregateur = Agregateur(MINUTE, grace_ms=GRACE, bougies_vides="reporter")
    for minute in range(0, 3_000, 3):
        agregateur.ajouter([trade(minute * MINUTE_MS)])
        assert len(agregateur._vives) <= 2


# --- Les minutes sans trade ---


def test_une_minute_sans_trade_est_plate_a_la_cloture_precedente() -> None:
    agregateur = Agregateur(MINUTE, bougies_vides="reporter")
    assert agregateur.clore(DEBUT - MINUTE_MS) == [], "jamais avant la première vraie"
    agregateur.ajouter([trade(0, 10.0), trade(1, 11.0)])
    assert agregateur.ajouter([trade(3 * MINUTE_MS, 20.0)]) == [
        bougie(0, (10.0, 11.0, 10.0, 11.0, 2.0)),
        plate(1, 11.0),
        plate(2, 11.0),
    ]


def test_omettre_laisse_la_minute_absente() -> None:
    agregateur = Agregateur(MINUTE)
    rendues = agregateur.ajouter([trade(0), trade(3 * MINUTE_MS)]) + agregateur.clore(DEBUT + HEURE_MS)
    assert [b.timestamp for b in rendues] == [DEBUT, DEBUT + 3 * MINUTE_MS]


def test_la_minuterie_rend_les_plates_dues() -> None:
    agregateur = Agregateur(MINUTE, grace_ms=GRACE, bougies_vides="reporter")
    agregateur.ajouter([trade(0, 10.0)])
    assert agregateur.clore(DEBUT + 2 * MINUTE_MS + GRACE) == [bougie(0, (10.0,) * 4 + (1.0,)), plate(1, 10.0)]
    assert agregateur.clore(DEBUT + 3 * MINUTE_MS + GRACE) == [plate(2, 10.0)]
    assert agregateur.clore(DEBUT + 4 * MINUTE_MS + GRACE - 1) == []


def test_une_plate_contredite_dans_la_grace_est_revisee_et_les_suivantes_aussi() -> None:
    agregateur = Agregateur(MINUTE, grace_ms=5 * MINUTE_MS, bougies_vides="reporter")
    agregateur.ajouter([trade(0, 10.0), trade(4 * MINUTE_MS, 20.0)])
    assert agregateur.ajouter([trade(2 * MINUTE_MS, 15.0)]) == [
        bougie(2, (15.0, 15.0, 15.0, 15.0, 1.0), revision=True),
        plate(3, 15.0, revision=True),
    ]
    assert agregateur.ajouter([trade(MINUTE_MS - 1, 11.0)]) == [
        bougie(0, (10.0, 11.0, 10.0, 11.0, 2.0), revision=True),
        plate(1, 11.0, revision=True),
    ]


def test_les_plates_ne_sont_pas_rendues_de_nouveau_si_la_cloture_ne_change_pas() -> None:
    agregateur = Agregateur(MINUTE, grace_ms=5 * MINUTE_MS, bougies_vides="reporter")
    agregateur.ajouter([trade(500, 10.0), trade(4 * MINUTE_MS, 20.0)])
    assert agregateur.ajouter([trade(0, 9.0)]) == [bougie(0, (9.0, 10.0, 9.0, 10.0, 2.0), revision=True)]


def test_un_mot_inconnu_pour_les_bougies_vides_est_une_faute() -> None:
    with pytest.raises(ErreurDemande, match="omettre"):
        Agregateur(MINUTE, bougies_vides="remplir")


# --- Le calendrier ---


def _ouvertures(timeframe: Timeframe, *instants: str) -> list[int]:
    agregateur = Agregateur(timeframe, bougies_vides="reporter")
    trades = [Trade(lire_instant(i, 0), None, None, 1.0, 1.0) for i in instants]
    return [b.timestamp for b in agregateur.ajouter(trades)]


def test_les_mois_et_les_semaines_sont_ceux_du_calendrier() -> None:
    mois = _ouvertures(Timeframe.lire("1M"), "2024-01-31T23:59:59.999Z", "2024-04-01")
    assert mois == [lire_instant(f"2024-0{n}-01", 0) for n in (1, 2, 3)]
    semaines = _ouvertures(Timeframe.lire("1w"), "2024-01-07T23:59:59.999Z", "2024-01-15")
    assert semaines == [DEBUT, DEBUT + 7 * JOUR_MS]


def test_une_grille_ancree_est_suivie() -> None:
    """Les jours d'okx ouvrent à 16:00 UTC."""
    jours = _ouvertures(Timeframe.lire("1d").ancrer(16 * HEURE_MS), "2024-01-01T15:59", "2024-01-01T16:00")
    assert jours == [lire_instant("2023-12-31T16:00", 0)]


# --- Les propriétés ---


class Scenario(NamedTuple):
    """Les trades d'un marché, et une façon de les recevoir : dans le désordre, répétés, en lots, avec la minuterie."""

    trades: list[Trade]
    lots: list[list[Trade] | int]  # un entier : l'instant d'un appel à `clore`


SPAN_MS = 8 * MINUTE_MS
FIN = DEBUT + 2 * SPAN_MS


@st.composite
def marches(draw: st.DrawFn) -> list[Trade]:
    """Des trades rangés, à l'id croissant, souvent dans la même ms, avec des minutes vides."""
    instants = sorted(draw(st.lists(st.integers(0, 15).map(lambda n: n * SPAN_MS // 15 + n % 2), max_size=25)))
    prix = st.sampled_from((1.0, 1.5, 2.0, 2.5, 3.0))
    quantites = st.one_of(st.sampled_from((0.1, 0.2, 0.3)), st.floats(0, 1e9, allow_subnormal=False))
    return [trade(ms, draw(prix), draw(quantites), str(n)) for n, ms in enumerate(instants, 95)]


@st.composite
def scenarios(draw: st.DrawFn, retard_ms: int) -> Scenario:
    """Chaque trade arrive avec un retard d'au plus `retard_ms`, parfois deux fois."""
    trades = draw(marches())
    copies = [t for t in trades for _ in range(draw(st.integers(1, 2)))]
    arrivees = sorted(copies, key=lambda t: t.timestamp + draw(st.integers(0, retard_ms)))
    lots: list[list[Trade] | int] = []
    while arrivees:
        taille = draw(st.integers(1, 6))
        lots.append(arrivees[:taille])
        arrivees = arrivees[taille:]
        if draw(st.booleans()):
            lots.append(DEBUT + draw(st.integers(0, SPAN_MS)))
    return Scenario(trades, lots)


def jouer(agregateur: Agregateur, lots: Iterable[list[Trade] | int]) -> list[list[BougieTrades]]:
    return [agregateur.clore(lot) if isinstance(lot, int) else agregateur.ajouter(lot) for lot in [*lots, FIN + GRACE]]


def finales(rendues: Iterable[Iterable[BougieTrades]]) -> dict[int, Valeurs]:
    """La dernière version de chaque bougie."""
    return dict(sorted((b.timestamp, b[1:6]) for b in {b.timestamp: b for lot in rendues for b in lot}.values()))


@settings(max_examples=300)
@given(scenarios(retard_ms=GRACE), st.sampled_from(("omettre", "reporter")))
def test_desordre_doublons_lots_et_minuterie_ne_changent_rien(scenario: Scenario, vides: str) -> None:
    """Dans la grâce, les bougies finales sont celles du modèle naïf sur les trades rangés."""
    agregateur = Agregateur(MINUTE, grace_ms=GRACE, bougies_vides=vides)
    rendues = jouer(agregateur, scenario.lots)
    attendues = naif(scenario.trades)
    assert finales(rendues) == (avec_plates(attendues, FIN) if vides == "reporter" else attendues)
    assert agregateur.perdus == 0
    assert agregateur.doublons == sum(len(lot) for lot in scenario.lots if isinstance(lot, list)) - len(scenario.trades)


@settings(max_examples=200)
@given(scenarios(retard_ms=SPAN_MS), st.sampled_from(("omettre", "reporter")))
def test_toute_permutation_dans_une_grande_grace(scenario: Scenario, vides: str) -> None:
    """Idem quand le désordre enjambe plusieurs minutes : plates contredites, bougies nées tard."""
    rendues = jouer(Agregateur(MINUTE, grace_ms=SPAN_MS, bougies_vides=vides), scenario.lots[:-1] or scenario.lots)
    recus = [t for lot in (scenario.lots[:-1] or scenario.lots) if isinstance(lot, list) for t in lot]
    fin = DEBUT + (FIN + GRACE - SPAN_MS - DEBUT) // MINUTE_MS * MINUTE_MS
    attendues = {o: v for o, v in naif(recus).items() if o < fin}
    assert finales(rendues) == (avec_plates(attendues, fin) if vides == "reporter" else attendues)


@settings(max_examples=200)
@given(scenarios(retard_ms=SPAN_MS), st.sampled_from(("omettre", "reporter")), st.sampled_from((0, GRACE, MINUTE_MS)))
def test_seul_ce_qui_depasse_la_grace_est_perdu(scenario: Scenario, vides: str, grace_ms: int) -> None:
    """Le modèle écarte un trade dont la bougie a fini de plus que la grâce avant le plus grand instant vu."""
    agregateur = Agregateur(MINUTE, grace_ms=grace_ms, bougies_vides=vides)
    rendues = jouer(agregateur, scenario.lots)
    gardes: list[Trade] = []
    perdus: list[Trade] = []
    vu, connus = 0, set()
    for un in (t for lot in scenario.lots if isinstance(lot, list) for t in lot):
        fin = un.timestamp // MINUTE_MS * MINUTE_MS + MINUTE_MS
        (perdus if fin + grace_ms < vu else gardes).extend([un] if un.id not in connus else [])
        connus.add(un.id)
        vu = max(vu, un.timestamp)
    assert (agregateur.perdus, list(agregateur.derniers_perdus)) == (len(perdus), perdus[-10:])
    reelles = {o: v for o, v in finales(rendues).items() if v[4] or o in naif(gardes)}
    assert reelles == naif(gardes)


@given(scenarios(retard_ms=SPAN_MS), st.sampled_from(("omettre", "reporter")), st.sampled_from((0, GRACE, SPAN_MS)))
def test_chaque_lot_est_range_ses_revisions_dites_et_le_definitif_ne_change_plus(
    scenario: Scenario, vides: str, grace_ms: int
) -> None:
    """Hors révisions, les bougies vont croissant d'un appel à l'autre : on peut les ajouter à la fin."""
    agregateur = Agregateur(MINUTE, grace_ms=grace_ms, bougies_vides=vides)
    prouvee = close = 0
    for lot in scenario.lots:
        rendues = agregateur.clore(lot) if isinstance(lot, int) else agregateur.ajouter(lot)
        instants = [b.timestamp for b in rendues]
        assert instants == sorted(set(instants))
        assert [b.revision for b in rendues] == [i < close for i in instants]
        assert all(prouvee <= i < agregateur.close_jusqu_a for i in instants)
        assert prouvee <= agregateur.fin_prouvee <= agregateur.close_jusqu_a
        prouvee, close = agregateur.fin_prouvee, agregateur.close_jusqu_a


@given(scenarios(retard_ms=GRACE))
def test_les_volumes_se_conservent_et_les_prix_s_encadrent(scenario: Scenario) -> None:
    agregateur = Agregateur(MINUTE, grace_ms=GRACE, volume=mesure_en_base(0.001))
    bougies = finales(jouer(agregateur, scenario.lots))
    total = sum((Fraction(str(t.amount)) for t in scenario.trades), Fraction())
    assert math.isclose(sum(v[4] for v in bougies.values()), total / 1000, rel_tol=1e-12, abs_tol=1e-300)
    for ouvert, haut, bas, clos, _ in bougies.values():
        assert bas <= ouvert <= haut
        assert bas <= clos <= haut


# --- Plusieurs timeframes en une passe, depuis une table ---

SERIE = {"exchange": "faux", "symbole": "BTC/USDT"}


def en_table(trades: Sequence[Trade], nature: pa.DataType | None = None, **serie: str) -> pa.Table:
    """Les trades dans les colonnes du contrat."""
    instants = pa.array([t.timestamp for t in trades], pa.int64()).cast(pa.timestamp("ms", tz="UTC"))
    constantes = {nom: pa.array([valeur] * len(trades), pa.string()) for nom, valeur in (SERIE | serie).items()}
    natures = {"id": pa.string(), "side": pa.string(), "price": pa.float64(), "amount": pa.float64()}
    autres = {nom: pa.array([getattr(t, nom) for t in trades], nature) for nom, nature in natures.items()}
    return pa.table({**constantes, "timestamp": instants.cast(nature or instants.type), **autres})


def en_dict(table: pa.Table) -> dict[int, Valeurs]:
    assert table.schema.names == ["timestamp", "open", "high", "low", "close", "volume"]
    assert [str(t) for t in table.schema.types] == ["int64", *["double"] * 5]
    assert table["timestamp"].to_pylist() == sorted(set(table["timestamp"].to_pylist())), "rangée, sans doublon"
    return {ligne[0]: ligne[1:] for ligne in zip(*(c.to_pylist() for c in table.columns), strict=True)}


def marche_fixe(nombre: int = 2_000) -> list[Trade]:
    """Environ trois heures, irrégulières, dix trades par ms parfois."""
    return [
        trade(
            n * n % 37 + n // 10 * 53_000 if n % 7 else n // 10 * 53_000,
            100 + n * 7919 % 1000 / 10,
            n % 13 / 10,
            str(n),
        )
        for n in range(nombre)
    ]


def test_plusieurs_timeframes_en_une_passe() -> None:
    """Chacun est le modèle naïf, sans la première bougie, peut-être entamée, ni la dernière, peut-être en cours."""
    trades = marche_fixe()
    pas = {"1s": SECONDE_MS, "1m": MINUTE_MS, "5m": 5 * MINUTE_MS, "1h": HEURE_MS}
    tables = agreger_trades(en_table(trades), pas)
    assert tables.keys() == pas.keys()
    for code, pas_ms in pas.items():
        attendues = list(naif(trades, pas_ms).items())
        assert list(en_dict(tables[code]).items()) == attendues[1:-1]
        assert len(attendues) > 2


FORMES: dict[str, Callable[[list[Trade]], Any]] = {
    "morceaux": lambda trades: [en_table(trades[:700]), en_table(trades[700:])],
    "lots d'Arrow": lambda trades: iter(en_table(trades).to_batches(max_chunksize=300)),
    "un lot d'Arrow": lambda trades: en_table(trades).to_batches()[0],
    "trades nus": iter,
    "mélange": lambda trades: [*trades[:100], en_table(trades[100:])],
    "instants entiers": lambda trades: en_table(trades, pa.int64()),
    "instants en µs": lambda trades: en_table(trades, pa.timestamp("us")),
    "à l'envers": lambda trades: en_table(trades[::-1]),  # les ids sont une séquence : l'ordre en vient
    "ids entiers": lambda trades: en_table(trades).set_column(3, "id", pa.array([int(t.id or "") for t in trades])),
}


@pytest.mark.parametrize("forme", FORMES)
@pytest.mark.parametrize("taille", [64, 100_000])
def test_toute_forme_de_trades_donne_les_memes_bougies(
    forme: str, taille: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Et des lots petits ou grands : les bougies passent alors en Arrow en plusieurs fois."""
    monkeypatch.setattr(agregation, "TRADES_PAR_LOT", taille)
    trades = marche_fixe()
    rendues = agreger_trades(FORMES[forme](trades), ["1m"], bougies_vides="reporter", entieres=False)["1m"]
    assert en_dict(rendues) == avec_plates(naif(trades), trades[-1].timestamp)
    assert rendues["timestamp"].num_chunks > 1 or taille > 64


@pytest.mark.parametrize("seul", ["5m", Timeframe.lire("5m")], ids=str)
def test_un_seul_timeframe_se_donne_sans_liste(seul: str | Timeframe) -> None:
    """Une chaîne se lit aussi lettre à lettre : « 5 » n'est pas un timeframe."""
    trades = marche_fixe(200)
    assert agreger_trades(trades, seul)["5m"].equals(agreger_trades(trades, ["5m"])["5m"])


def test_entieres_faux_garde_la_premiere_et_la_derniere() -> None:
    trades = marche_fixe(200)
    assert en_dict(agreger_trades(trades, ["5m"], entieres=False)["5m"]) == naif(trades, 5 * MINUTE_MS)


@pytest.mark.parametrize("trades", [[], [trade(0)], [trade(0), trade(60_000)]])
def test_trop_peu_de_trades_pour_une_bougie_entiere(trades: list[Trade]) -> None:
    """Une table vide, du bon schéma."""
    assert en_dict(agreger_trades(en_table(trades), ["1m"])["1m"]) == {}
    assert en_dict(agreger_trades(trades, ["1m"])["1m"]) == {}


def test_le_volume_d_un_contrat_inverse_est_en_base() -> None:
    trades = [trade(0, 100.0, 50.0), trade(1, 200.0, 50.0)]
    (valeurs,) = en_dict(
        agreger_trades(trades, ["1m"], taille_contrat=10.0, inverse=True, entieres=False)["1m"]
    ).values()
    assert valeurs[4] == 50 * 10 / 100 + 50 * 10 / 200


def test_un_trade_repete_dans_la_table_ne_compte_qu_une_fois() -> None:
    trades = marche_fixe(300)
    assert en_dict(agreger_trades([en_table(trades), en_table(trades)], ["1m"])["1m"]) == en_dict(
        agreger_trades(en_table(trades), ["1m"])["1m"]
    )


def test_deux_series_melees_sont_refusees_avec_le_filtre_a_poser() -> None:
    """Le conseil s'exécute tel quel, et son résultat s'agrège."""
    une, autre = en_table([trade(0)]), en_table([trade(0)], symbole="ETH/USDT")
    melees = pa.concat_tables([une, autre])
    for trades in (melees, [une, autre], [une, autre.drop_columns(["symbole"])]):
        with pytest.raises(ErreurDemande, match="colonne « symbole » tient") as refus:
            agreger_trades(trades, ["1m"])
    with pytest.raises(ErreurDemande, match="BTC/USDT, ETH/USDT") as refus:
        agreger_trades(melees, ["1m"])
    expression = refus.value.conseil.partition(" : ")[2]
    assert expression == 'trades.filter(pyarrow.compute.field("symbole") == "ETH/USDT")'
    assert melees.filter(pc.field("symbole") == "ETH/USDT").equals(autre)
    exchanges = [une, une.set_column(0, "exchange", pa.array(["autre"]))]
    with pytest.raises(ErreurDemande, match="colonne « exchange » tient autre, "):
        agreger_trades(exchanges, ["1m"])


def test_une_table_qui_n_est_pas_de_trades_est_refusee() -> None:
    with pytest.raises(ErreurDemande, match="price"):
        agreger_trades(en_table([trade(0)]).drop_columns(["price"]), ["1m"])
    with pytest.raises(ErreurDemande, match="1z"):
        agreger_trades([], ["1z"])
    sans_instant = en_table([trade(0)]).set_column(2, "timestamp", pa.array([None], pa.timestamp("ms", tz="UTC")))
    with pytest.raises(ErreurDemande, match="sans instant"):
        agreger_trades(sans_instant, ["1m"])


def test_un_trade_sans_prix_est_ecarte_et_dit(caplog: pytest.LogCaptureFixture) -> None:
    table = en_table([trade(0), trade(1), trade(2)])
    trouee = table.set_column(table.schema.names.index("price"), "price", pa.array([1.0, None, 2.0]))
    with caplog.at_level("WARNING", "module_ccxt_fr_v2"):
        rendue = en_dict(agreger_trades(trouee, ["1m"], entieres=False)["1m"])
    assert rendue == {DEBUT: (1.0, 2.0, 1.0, 2.0, 2.0)}
    assert "1 trade impossible" in caplog.text


def test_un_desordre_de_plus_d_une_heure_entre_morceaux_n_est_pas_tu() -> None:
    """Dans une table, aucun désordre ne compte ; d'un morceau à l'autre, une heure."""
    tot, tard = en_table([trade(0)]), en_table([trade(2 * HEURE_MS)])
    with pytest.raises(ErreurDemande, match="désordre"):
        agreger_trades([tard, tot], ["1m"])
    ensemble = agreger_trades(pa.concat_tables([tard, tot]), ["1m"], entieres=False)["1m"]
    assert ensemble["timestamp"].to_pylist() == [DEBUT, DEBUT + 2 * HEURE_MS]


def test_un_timeframe_ancre_se_donne_tel_quel_et_les_bougies_s_habillent() -> None:
    jours = Timeframe.lire("1d").ancrer(16 * HEURE_MS)
    trades = [trade(h * HEURE_MS, 1.0 + h) for h in range(72)]
    table = agreger_trades(trades, [jours])["1d"]
    assert table["timestamp"].to_pylist() == [DEBUT + 16 * HEURE_MS, DEBUT + 40 * HEURE_MS]
    habillee = habiller(CleSerie("faux", "BTC/USDT", "1d", "last"), table)
    assert habillee.schema.equals(m.OHLCV.schema)


def test_un_desordre_de_moins_d_une_heure_entre_morceaux_est_range(monkeypatch: pytest.MonkeyPatch) -> None:
    """Même quand les bougies passent en Arrow à mesure : seules les définitives y passent."""
    monkeypatch.setattr(agregation, "TRADES_PAR_LOT", 8)
    trades = [trade(n * 10_000, 100.0 + n * 31 % 17, 1.0, str(n)) for n in range(2_000)]
    desordre = sorted(trades, key=lambda t: t.timestamp + int(t.id or "") * 7919 % HEURE_MS)
    assert desordre != trades
    for forme in (desordre, [en_table(desordre[n : n + 5]) for n in range(0, 2_000, 5)]):
        assert en_dict(agreger_trades(forme, ["1m"], entieres=False)["1m"]) == naif(trades)


def test_des_trades_nus_sont_ranges_dans_leur_lot() -> None:
    trades = [trade(2 * HEURE_MS), trade(0)]
    assert agreger_trades(trades, ["1m"], entieres=False)["1m"]["timestamp"].to_pylist() == [
        DEBUT,
        DEBUT + 2 * HEURE_MS,
    ]


def test_un_instant_plus_fin_que_la_ms_est_tronque() -> None:
    fins = pa.array([DEBUT * 1_000 + 59_999_999, DEBUT * 1_000 + 60_000_001]).cast(pa.timestamp("us", tz="UTC"))
    table = en_table([trade(0), trade(0)]).set_column(2, "timestamp", fins)
    assert list(en_dict(agreger_trades(table, ["1m"], entieres=False)["1m"])) == [DEBUT, DEBUT + MINUTE_MS]


def test_dans_une_ms_sans_sequence_la_table_garde_son_ordre() -> None:
    """Le tri d'une table en désordre est stable : sans ids numériques, l'ordre est celui d'arrivée."""
    meme_ms = [trade(60_000, 1.0 + n % 97, 1.0, f"x{n}") for n in range(5_000)]
    table = en_table([trade(60_001, 1.0, 1.0, "tard"), *meme_ms, trade(0, 1.0, 1.0, "tot")])
    ouvert = en_dict(agreger_trades(table, ["1s"], bougies_vides="omettre", entieres=False)["1s"])[DEBUT + 60_000]
    assert (ouvert[0], ouvert[3]) == (1.0, 1.0)
    sans_le_dernier = en_dict(agreger_trades(table.slice(1), ["1s"], entieres=False)["1s"])[DEBUT + 60_000]
    assert (sans_le_dernier[0], sans_le_dernier[3]) == (meme_ms[0].price, meme_ms[-1].price)
