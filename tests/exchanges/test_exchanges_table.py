"""Les exchanges de la table, un par ligne de `PROTOCOLES` : la vraie classe, son format brut, notre ligne de commande.

Ce qui est écrit est l'oracle, moins ce que l'exchange ne sert plus et qui est dit ; la relance n'ajoute rien.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from bourses_tierces import RefusError, pas_de
from bourses_tierces_table import PROTOCOLES, PROTOCOLES_DE_PRIX, Protocole, Tierce
from collecte_tierce import dedans, lancer
from temps_simule import HEURE_DES_ESSAIS as MAINTENANT

import module_ccxt_fr_v2 as module
from bourse_locale.marche import HEURE_MS, JOUR_MS, Bougie, Instrument, Marche, Pas

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from collecte_tierce import Releve

pytestmark = pytest.mark.usefixtures("a_l_heure_dite")


class Cas(NamedTuple):
    """Une demande, en bougies avant maintenant : ses bornes, et la cotation du marché."""

    debut: int
    fin: int | None
    cotation: int = 100_000


CAS = {
    "autour_de_la_cotation": Cas(500, 60, cotation=240),
    "jusqu_a_maintenant": Cas(200, None),
}
PANNE = (150, 90)  # en bougies avant maintenant : au milieu


def plus_d_une_page(nom: str) -> Cas:
    """D'avant la cotation à après la panne : il y faut plus d'une page de cet exchange."""
    debut = min(max(300, PROTOCOLES[nom].page * 13 // 10), 2600)
    # Qui ne prouve la cotation que d'un marché plus vieux qu'une page est vu autour d'elle, plus bas.
    return Cas(debut, 30, cotation=100_000 if PROTOCOLES[nom].cotation else debut * 9 // 10)


def conduite(nom: str) -> tuple[object, ...]:
    """Ce qui, d'un exchange à l'autre, fait passer par un autre code que celui de sa classe."""
    p = PROTOCOLES[nom]
    bords = [borne and borne.exclue for borne in (p.debut, p.fin)]
    limites = (bool(p.nombre), p.garde, bool(p.portee), bool(p.points_max or p.jours_max))
    return (*bords, *limites, p.vides, type(p.rien), bool(p.cotation))


# Relancer lit notre fichier, puis demande comme la première fois : ce que la classe y changerait s'y est déjà vu.
RELANCES = {conduite(nom): nom for nom in PROTOCOLES}.values()


@functools.cache
def marche(pas_ms: int, *, panne: bool = True, vide: float = 0.1) -> Marche:
    """Le marché simulé, un par pas : d'office, une minute sur dix sans trade, et une panne."""
    debut, fin = (MAINTENANT - n * pas_ms for n in PANNE)
    return Marche(graine=7, instruments={}, pannes=[(debut, fin)] if panne else [], taux_vide=vide)


@contextlib.contextmanager
def servir(
    nom: str, cotation: int = 100_000, *, panne: bool = True, vide: float = 0.1, **change: Any
) -> Iterator[Tierce]:
    """L'exchange, servi en boucle locale ; `change` : ce qui diffère de son protocole."""
    protocole = dataclasses.replace((PROTOCOLES | PROTOCOLES_DE_PRIX)[nom], **change)
    pas_ms = duree(protocole.timeframe)
    cotation_ms = (MAINTENANT - cotation * pas_ms) // pas_ms * pas_ms
    instrument = Instrument("AAA", "BBB", cotation_ms=cotation_ms, decimales_quantite=3)
    with Tierce(nom, protocole, marche(pas_ms, panne=panne, vide=vide), instrument).en_fil() as simulateur:
        assert isinstance(simulateur, Tierce)
        yield simulateur


@contextlib.contextmanager
def en_panne(simulateur: Tierce, garde: Callable[[bool, float], bool]) -> Iterator[None]:
    """L'exchange, tant qu'il tait des bougies ; `garde` : celle-là est de la série demandée, et a cet âge, en pas."""
    repondre, pas_ms = simulateur.bougies, duree(simulateur.protocole.timeframe)

    def bougies(pas: Pas | str, debut: int, fin: int) -> list[Bougie]:
        heure = simulateur.maintenant_ms()
        return [b for b in repondre(pas, debut, fin) if garde(pas == pas_ms, (heure - b.ts) / pas_ms)]

    with pytest.MonkeyPatch.context() as rustine:
        rustine.setattr(simulateur, "bougies", bougies)
        yield


def duree(timeframe: str) -> int:
    """Le pas d'un timeframe court, en ms."""
    pas = pas_de(timeframe)
    assert isinstance(pas, int)
    return pas


def options_de(protocole: Protocole, cas: Cas) -> list[str]:
    """Les options d'un cas chez cet exchange."""
    pas = duree(protocole.timeframe)
    fin = [] if cas.fin is None else ["--date-fin", str(MAINTENANT - cas.fin * pas)]
    return [
        "--timeframe", protocole.timeframe, "--prix-ohlcv", protocole.prix,
        "--date-debut", str(MAINTENANT - cas.debut * pas), *fin,
        *(["--params", json.dumps(protocole.params)] if protocole.params else []),
    ]  # fmt: skip


@pytest.mark.parametrize("nom", PROTOCOLES)
def test_le_fichier_est_l_oracle_moins_ce_que_l_exchange_ne_sert_plus(nom: str, tmp_path: Path) -> None:
    """Lignes, code de sortie, raisons des trous, nombre de requêtes ; puis, chez un de chaque conduite, la relance."""
    collecter_puis_relancer(nom, plus_d_une_page(nom), tmp_path, relancer=nom in RELANCES)


AUTRES = [
    *((nom, "jusqu_a_maintenant") for nom in PROTOCOLES),
    *((nom, "autour_de_la_cotation") for nom, protocole in PROTOCOLES.items() if protocole.cotation),
]


@pytest.mark.couvrant(nom=conduite, cas=str, un_par_famille=("nom",))
@pytest.mark.parametrize(("nom", "cas"), AUTRES)
def test_d_autres_bornes_aussi(nom: str, cas: str, tmp_path: Path) -> None:
    """Jusqu'à maintenant ; bien avant la cotation, là où la page entière ne la montrait pas."""
    collecter_puis_relancer(nom, CAS[cas], tmp_path)


@pytest.mark.parametrize("nom", ["deribit", "bullish", "backpack"])
def test_un_limite_court_n_ote_pas_la_preuve_d_une_cotation(nom: str, tmp_path: Path) -> None:
    """Leur plus long timeframe est court : des pages de dix bougies n'allaient pas assez loin, et c'était code 3."""
    choix = CAS["autour_de_la_cotation"]
    with servir(nom, choix.cotation) as simulateur:
        verifier(lancer(simulateur, tmp_path, *options_de(simulateur.protocole, choix), "--limite", "10"), simulateur)


def collecter_puis_relancer(nom: str, choix: Cas, tmp_path: Path, *, relancer: bool = True) -> None:
    """La même commande, deux fois ; sinon, une."""
    with servir(nom, choix.cotation) as simulateur:
        releve = lancer(simulateur, tmp_path, *options_de(simulateur.protocole, choix))
        verifier(releve, simulateur)
        if not relancer:
            return
        relance = lancer(simulateur, tmp_path, *options_de(simulateur.protocole, choix))
        assert relance.code == releve.code
        if choix.fin is not None:
            assert relance.octets == releve.octets
        # Jusqu'à maintenant, les dernières minutes peuvent être sans transaction : la queue est redemandée autrement.
        assert relance.pages <= (3 if choix.fin is not None else 8) + bool(releve.trous("hors_fenetre_api"))


def verifier(releve: Releve, simulateur: Tierce) -> None:
    """Ce qui est écrit et ce qui est dit sont vrais."""
    timeframe, cotation = simulateur.protocole.timeframe, simulateur.instrument.cotation_ms
    attendues = simulateur.attendu(timeframe, *releve.demande)
    en_tete = releve.demande[0] < cotation
    hors, avant = releve.trous("hors_fenetre_api"), releve.trous("avant_cotation")
    assert releve.lignes == [b for b in attendues if not dedans(b[0], hors)]
    assert len(releve.lignes) >= min(100, simulateur.protocole.page // 4)
    assert releve.trous("echec") == []
    assert releve.code == (3 if hors else 0)
    # Ce qui est dit hors de portée l'est vraiment, et la cotation n'est jamais dite trop tard.
    encore_servie = simulateur.plus_ancienne(timeframe) + 3 * duree(timeframe)
    assert not [b for b in attendues if b[0] >= encore_servie and dedans(b[0], hors)]
    if not simulateur.protocole.servies:
        assert hors == ([(releve.demande[0], cotation)] if simulateur.protocole.cotation and en_tete else [])
    assert all(fin <= cotation for _, fin in avant)
    assert all(fin > cotation for _, fin in releve.trous("sans_transaction"))
    if not hors and en_tete:
        assert avant == [(releve.demande[0], cotation)]


def verifier_les_lignes(releve: Releve, simulateur: Tierce) -> None:
    """Tout ce que le marché a est écrit ; d'avant sa cotation, des pages courtes ne prouvent pas toujours assez."""
    assert releve.lignes == simulateur.attendu(simulateur.protocole.timeframe, *releve.demande)
    hors, avant = releve.trous("hors_fenetre_api"), releve.trous("avant_cotation")
    assert hors + avant == [(releve.demande[0], simulateur.instrument.cotation_ms)]
    assert (releve.code, releve.trous("echec")) == (3 if hors else 0, [])


@pytest.mark.parametrize("nom", ["btcmarkets", "cex", "foxbit", "lbank", "whitebit"])
def test_une_cotation_recente_qu_une_panne_cachait_se_prouve_a_la_relance(nom: str, tmp_path: Path) -> None:
    """D'un exchange sans date de fin, toute page qui commence avant la cotation irait jusqu'à maintenant."""
    with servir(nom, 90, panne=False) as simulateur:
        options = options_de(simulateur.protocole, Cas(500, 10))
        with en_panne(simulateur, lambda sienne, _age: sienne):
            cachee = lancer(simulateur, tmp_path, *options)
        assert (cachee.code, len(cachee.trous("hors_fenetre_api")), cachee.trous("avant_cotation")) == (3, 1, [])
        vue = lancer(simulateur, tmp_path, *options)
        verifier_les_lignes(vue, simulateur)
        assert (vue.code, vue.lignes, len(vue.trous("avant_cotation"))) == (0, cachee.lignes, 1)
        relance = lancer(simulateur, tmp_path, *options)
        assert (relance.code, relance.octets, relance.pages <= 3) == (0, vue.octets, True)


@pytest.mark.parametrize("nom", ["bitbank", "bitstamp"])
def test_des_bougies_plates_qu_une_panne_taisait_reviennent_a_la_relance(nom: str, tmp_path: Path) -> None:
    """Les minutes muettes, un quart d'heure sans transaction ne dit rien des siennes : elles sont plates."""
    with servir(nom, 200, panne=False, vide=0.9) as simulateur:
        options = options_de(simulateur.protocole, Cas(300, 10))
        with en_panne(simulateur, lambda sienne, _age: not sienne):
            muette = lancer(simulateur, tmp_path, *options)
        assert (muette.code, muette.lignes, muette.trous("sans_transaction")) == (3, [], [])
        vue = lancer(simulateur, tmp_path, *options)
        verifier_les_lignes(vue, simulateur)
        assert (vue.code, vue.trous("sans_transaction"), len(vue.lignes)) == (0, [], 191)


@pytest.mark.parametrize("nom", PROTOCOLES_DE_PRIX)
def test_les_bougies_d_un_autre_prix_sont_les_siennes(nom: str, tmp_path: Path) -> None:
    """Une autre route, d'autres noms, parfois pas de volume : l'oracle, et l'unité du volume n'est pas supposée."""
    choix = CAS["autour_de_la_cotation"]
    with servir(nom, choix.cotation) as simulateur:
        releve = lancer(simulateur, tmp_path, *options_de(simulateur.protocole, choix))
        verifier(releve, simulateur)
    assert {ligne[5] is None for ligne in releve.lignes} == {not simulateur.protocole.dit_le_volume}


@pytest.mark.parametrize("timeframe", ["6h", "12h", "1d", "3d"])
def test_bitget_ne_refuse_aucune_fenetre(timeframe: str, tmp_path: Path) -> None:
    """D'un contrat, 90 jours au plus entre le début et la fin : la page en tient compte, aucune n'est refusée."""
    choix = CAS["autour_de_la_cotation"]
    with servir("bitget_swap", choix.cotation, timeframe=timeframe, panne=False) as simulateur:
        releve = lancer(simulateur, tmp_path, *options_de(simulateur.protocole, choix))
        verifier_les_lignes(releve, simulateur)
        assert not [vue.params for vue in simulateur.pages if vue.refusee]


@pytest.mark.parametrize(("nom", "timeframe", "change"), [
    ("bitget_swap", "3d", {}),
    ("cryptocom", "1d", {"jours_max": 60, "trop_longue": RefusError(400, {"message": "Candlestick range too broad"})}),
])  # fmt: skip
def test_ce_qui_precede_une_panne_plus_longue_qu_une_page_est_ecrit(
    nom: str, timeframe: str, change: dict[str, Any], tmp_path: Path
) -> None:
    """Ce qu'un timeframe plus long a vu vivre avant elle est demandé, et écrit ; la relance n'y change rien."""
    choix = CAS["autour_de_la_cotation"]
    with servir(nom, choix.cotation, timeframe=timeframe, **change) as simulateur:
        releve = lancer(simulateur, tmp_path, *options_de(simulateur.protocole, choix))
        assert releve.lignes == simulateur.attendu(timeframe, *releve.demande)
        assert all(fin <= simulateur.instrument.cotation_ms for _, fin in releve.trous("hors_fenetre_api"))
        assert len(simulateur.pages) <= 200
        relance = lancer(simulateur, tmp_path, *options_de(simulateur.protocole, choix))
        assert relance.octets == releve.octets


@pytest.mark.parametrize(("debut", "fin"), [("-500j", "-40j"), ("-300j", "-0m"), ("-1500j", "-1000j")])
def test_les_mois_d_un_contrat_de_bitget(debut: str, fin: str, tmp_path: Path) -> None:
    """Trois mois en font parfois quatre-vingt-douze, deux de plus que l'exchange n'en couvre : jamais demandés."""
    with servir("bitget_swap", cotation=2000 * 1440) as simulateur:
        releve = lancer(simulateur, tmp_path, "--timeframe", "1M", "--date-debut", debut, "--date-fin", fin)
        assert (releve.code, releve.serie["trous"]) == (0, [])
        assert releve.lignes == simulateur.attendu("1M", *releve.demande)
        assert not [vue.params for vue in simulateur.pages if vue.refusee]


LONGUES = {
    "toobit": (365, {"code": -1129, "msg": "The time range cannot exceed one year."}),
    "bitvavo": (30, {"message": "The start and end time cannot exceed 30 days"}),
    "hashkey": (30, {"code": -2027, "msg": "Exceed maximum time range of 30 days"}),
    "cryptocom": (60, {"message": "Candlestick range too broad. Maximum 60 data points are allowed per request"}),
}


@pytest.mark.parametrize("timeframe", ["1h", "1d"])
@pytest.mark.parametrize("nom", LONGUES)
def test_une_fenetre_refusee_trop_longue_est_raccourcie(nom: str, timeframe: str, tmp_path: Path) -> None:
    """Aucune table ne le dit : le refus l'apprend, la série est entière, et rien n'est prouvé de ce qui fut refusé."""
    jours, corps = LONGUES[nom]
    choix = CAS["autour_de_la_cotation"]
    refus = RefusError(400, corps)
    with servir(
        nom, choix.cotation, panne=False, timeframe=timeframe, jours_max=jours, trop_longue=refus
    ) as simulateur:
        releve = lancer(simulateur, tmp_path, *options_de(simulateur.protocole, choix))
        verifier_les_lignes(releve, simulateur)
        assert 0 < sum(vue.refusee for vue in simulateur.pages) <= 20
        assert len(simulateur.pages) <= 80


@pytest.mark.parametrize("nom", ["phemex", "backpack", "xt", "toobit", "dydx"])
def test_une_fin_a_venir_n_est_pas_demandee(nom: str, tmp_path: Path) -> None:
    """D'une fin dans le futur, phemex fait une faute (ccxt#8050) : la queue de toute série y échouait."""
    with servir(nom, futur_refuse=True) as simulateur:
        releve = lancer(simulateur, tmp_path, *options_de(simulateur.protocole, CAS["jusqu_a_maintenant"]))
        verifier(releve, simulateur)


@pytest.mark.parametrize(("nom", "code"), [("bitvavo", 404), ("coinsph", 400), ("hashkey", 404)])
def test_un_refus_qui_dit_rien_ici_n_est_pas_un_echec(nom: str, code: int, tmp_path: Path) -> None:
    """D'un corps que la classe ne lit pas, ccxt fait une panne passagère : la série entière échouait."""
    choix, refus = CAS["autour_de_la_cotation"], RefusError(code, {"error": "no data for this period"})
    with servir(nom, choix.cotation, rien=refus) as simulateur:
        releve = lancer(simulateur, tmp_path, *options_de(simulateur.protocole, choix))
        verifier(releve, simulateur)


@pytest.mark.parametrize("nom", ["delta", "extended", "phemex"])
def test_un_mois_de_trente_jours_n_est_pas_ecrit(nom: str, tmp_path: Path) -> None:
    """Ce que la classe nomme 1M est un pas de trente jours : aucune ligne, code 3, et un trou que rien ne prouve."""
    with servir(nom, cotation=200 * 1440) as simulateur:
        bornes = ("--date-debut", "-150j", "--date-fin", "-40j")
        releve = lancer(simulateur, tmp_path, "--timeframe", "1M", *bornes)
    assert (releve.code, releve.lignes) == (3, [])
    assert releve.trous("echec") == [releve.demande]


class AMinuitLocal(Tierce):
    """Alpaca : jours, semaines et mois ouvrent à minuit de Chicago, 06:00 puis 05:00 UTC l'été, puis à 00:00 UTC."""

    bascules: tuple[int, int] = (0, 0)

    def decalage(self, instant: int) -> int:
        """De combien la bougie qui ouvre autour de là suit la grille UTC."""
        ete, utc = self.bascules
        return 0 if instant >= utc else 5 * HEURE_MS if instant >= ete else 6 * HEURE_MS

    def bougies(self, code: Pas | str, debut: int, fin: int) -> list[Bougie]:
        """Les bougies longues, faites des heures ; les autres, du marché."""
        nom = code if isinstance(code, str) else {JOUR_MS: "1d"}.get(code, "1m")
        nom = {"semaine": "1w", "mois": "1M"}.get(nom, nom)
        if nom not in {"1d", "1w", "1M"}:
            return super().bougies(code, debut, fin)
        pas, servies = module.Timeframe.lire(nom), []
        point = pas.avancer(max(debut, self.instrument.cotation_ms), -1)
        while point < min(fin, self.maintenant_ms() + 1):
            suivante = pas.avancer(point, 1)
            ouvre, clot = point + self.decalage(point), suivante + self.decalage(suivante)
            if debut <= ouvre < fin and (heures := super().bougies("1h", ouvre, clot)):
                servies.append(heures[0]._replace(
                    ts=ouvre, high=max(b.high for b in heures), low=min(b.low for b in heures), close=heures[-1].close,
                    volume=sum(b.volume for b in heures),
                ))  # fmt: skip
            point = suivante
        return servies


@pytest.mark.parametrize(("timeframe", "jours"), [("1d", 45), ("1w", 80), ("1M", 130)])
def test_une_grille_a_minuit_local_est_suivie(
    timeframe: str, jours: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Deux décalages, puis un changement de grille : ni faux trou, ni ligne hors des bornes, ni ligne ôtée."""
    instrument = Instrument("AAA", "BBB", cotation_ms=MAINTENANT - 200 * JOUR_MS, decimales_quantite=3)
    marche_court = Marche(graine=7, instruments={}, taux_vide=0.1)
    with AMinuitLocal("alpaca", PROTOCOLES["alpaca"], marche_court, instrument).en_fil() as simulateur:
        assert isinstance(simulateur, AMinuitLocal)
        pas = module.Timeframe.lire(timeframe)
        simulateur.bascules = (MAINTENANT - jours * JOUR_MS * 6 // 10, MAINTENANT - jours * JOUR_MS * 4 // 10)
        # À minuit UTC, la dernière n'est pas close chez qui ouvrait à 06:00.
        debut, fin = (pas.plancher(MAINTENANT - recul) for recul in (jours * JOUR_MS, 6 * HEURE_MS))
        options = ("--timeframe", timeframe, "--date-debut", str(debut), "--date-fin", str(fin))
        releve = lancer(simulateur, tmp_path, *options, "--journal", "info")
        oracle = simulateur.attendu(timeframe, debut, fin)
        assert (releve.code, releve.serie["trous"]) == (0, [])
        assert releve.lignes == oracle
        assert len(decalages := {ligne[0] % JOUR_MS for ligne in oracle}) >= 2
        dits = capsys.readouterr().err
        assert all(f"bougies ouvertes à {heures // HEURE_MS:02}:00 UTC" in dits for heures in decalages if heures)
        relance = lancer(simulateur, tmp_path, *options)
        assert (relance.octets, relance.code) == (releve.octets, 0)
        reparation = ["--verifier", str(tmp_path / "bougies.csv"), "--reparer", "--journal", "error"]
        assert module.principal(reparation) == 0
        assert (tmp_path / "bougies.csv").read_bytes() == releve.octets
        # Des bornes au milieu d'un jour : rien ne dépasse.
        bornes = (debut + 3 * HEURE_MS, fin - pas.pas_ms + 2 * HEURE_MS)
        (tmp_path / "b").mkdir()
        autre = lancer(simulateur, tmp_path / "b", *options[:2], *(
            mot for nom, borne in zip(("debut", "fin"), bornes, strict=True) for mot in (f"--date-{nom}", str(borne))
        ))  # fmt: skip
        assert autre.code == 0
        assert all(bornes[0] <= ligne[0] < bornes[1] for ligne in autre.lignes)
        assert autre.lignes == [ligne for ligne in oracle if autre.demande[0] <= ligne[0] < autre.demande[1]]


def test_une_grille_inconnue_qui_change_n_est_ni_melee_ni_otee(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ce qui ouvre sur la grille d'aujourd'hui est écrit, le reste est un échec dit ; réparer n'ôte rien."""
    instrument = Instrument("AAA", "BBB", cotation_ms=MAINTENANT - 90 * JOUR_MS, decimales_quantite=3)
    sans_panne = Marche(graine=7, instruments={}, taux_vide=0.1)
    with AMinuitLocal("bitvavo", PROTOCOLES["bitvavo"], sans_panne, instrument).en_fil() as simulateur:
        assert isinstance(simulateur, AMinuitLocal)
        change = MAINTENANT // JOUR_MS * JOUR_MS - 12 * JOUR_MS
        simulateur.bascules = (change, change)
        debut, fin = change - 12 * JOUR_MS, change + 10 * JOUR_MS
        bornes = ("--timeframe", "1d", "--date-debut", str(debut), "--date-fin", str(fin))
        releve = lancer(simulateur, tmp_path, *bornes, "--limite", "15", "--journal", "warning")
        assert (releve.code, releve.lignes) == (3, simulateur.attendu("1d", change, fin))
        assert releve.trous("echec") == [(debut, change)]
        assert "ouverture hors de la grille" in capsys.readouterr().err
        assert module.principal(["--verifier", str(tmp_path / "bougies.csv")]) == 0


def test_un_jour_a_minuit_local_n_est_clos_que_chez_lui() -> None:
    """Celui de Chicago finit à 06:00 UTC : à 03:00 il n'est pas écrit, et le suivant non plus."""
    grille = module.timeframe_de("alpaca", "1d")
    minuit = grille.plancher(MAINTENANT)
    for heure, attendue in ((3, minuit - JOUR_MS), (7, minuit)):
        plage = module.Plage(debut=minuit - 5 * JOUR_MS)
        fiche = module.Fiche(module.CleSerie("alpaca", "A/B", "1d", "last"))
        assert module.borner(plage, grille, 100, minuit + heure * HEURE_MS, fiche)[1] == attendue


class Combinaison(Tierce):
    """Un écart entre deux échéances (deribit) : son prix peut être nul ou négatif."""

    def _champ(self, champ: str, pas: Pas) -> Callable[[Bougie], object]:
        ordinaire = super()._champ(champ, pas)
        if (nom := {"O": "O", "H": "L", "L": "H", "C": "C"}.get(champ)) is None:
            return ordinaire
        oppose = super()._champ(nom, pas)
        return lambda b: ordinaire(b) if b.ts % (10 * 60_000) else -float(str(oppose(b)))


def test_un_prix_negatif_est_refuse_et_la_regle_est_dite(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """CONTRAT § 7 : non écrit, trou `echec`, code 3 ; les autres bougies le sont, et le message nomme la règle."""
    instrument = Instrument("AAA", "BBB", cotation_ms=MAINTENANT - 9 * JOUR_MS, decimales_quantite=3)
    with Combinaison("deribit", PROTOCOLES["deribit"], marche(60_000), instrument).en_fil() as simulateur:
        debut, fin = ((MAINTENANT - minutes * 60_000) // 600_000 * 600_000 for minutes in (600, 300))
        bornes = ("--date-debut", str(debut), "--date-fin", str(fin))
        releve = lancer(simulateur, tmp_path, *bornes, "--journal", "warning")
        refusees = list(range(debut, fin, 600_000))
        assert releve.code == 3
        assert releve.lignes == [b for b in simulateur.attendu("1m", debut, fin) if b[0] not in refusees]
        assert [t for t, _ in releve.trous("echec")] == refusees
        dits = [ligne for ligne in capsys.readouterr().err.splitlines() if "refusée" in ligne]
        assert len(dits) == 1
        assert " : un prix nul ou négatif (" in dits[0]


class QuatreHeuresAilleurs(Tierce):
    """Une grille de quatre heures qui ouvre ailleurs que sur celle d'UTC."""

    decalage_ms = HEURE_MS

    def bougies(self, code: Pas | str, debut: int, fin: int) -> list[Bougie]:
        """Celles du marché, plus tard."""
        decalage = self.decalage_ms
        return [b._replace(ts=b.ts + decalage) for b in super().bougies(code, debut - decalage, fin - decalage)]


def test_une_grille_de_quatre_heures_hors_utc_est_refusee_et_dite(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Aucune ligne, un trou que rien ne prouve, et ce qui a été vu."""
    instrument = Instrument("AAA", "BBB", cotation_ms=MAINTENANT - 60 * JOUR_MS, decimales_quantite=3)
    with QuatreHeuresAilleurs("zebpay", PROTOCOLES["zebpay"], marche(60_000), instrument).en_fil() as simulateur:
        bornes = ("--timeframe", "1h", "--date-debut", "-20j", "--date-fin", "-2j", "--journal", "warning")
        releve = lancer(simulateur, tmp_path, *bornes)
        assert releve.code == 0  # une heure de plus reste sur la grille des heures
        releve = lancer(simulateur, tmp_path, "--timeframe", "4h", *bornes[2:], "--sortie", str(tmp_path / "q.csv"))
    assert (releve.code, releve.serie["lignes_nouvelles"]) == (3, 0)
    assert [t["raison"] for t in releve.serie["trous"]] == ["echec"]
    assert "qui ouvrent hors de la grille UTC (par exemple à " in capsys.readouterr().err


def test_les_quatre_heures_de_seoul_sont_gardees(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Bithumb ouvre ses bougies de 4h à 15:00, 19:00, 23:00, 03:00 UTC : gardées telles quelles, et c'est dit."""
    instrument = Instrument("AAA", "BBB", cotation_ms=MAINTENANT - 60 * JOUR_MS, decimales_quantite=3)
    with QuatreHeuresAilleurs("bithumb", PROTOCOLES["bithumb"], marche(60_000), instrument).en_fil() as simulateur:
        assert isinstance(simulateur, QuatreHeuresAilleurs)
        simulateur.decalage_ms = 3 * HEURE_MS
        bornes = ("--timeframe", "4h", "--date-debut", "-50j", "--date-fin", "-2j")
        releve = lancer(simulateur, tmp_path, *bornes, "--journal", "info")
        assert (releve.code, releve.serie["trous"]) == (0, [])
        assert releve.lignes == simulateur.attendu("4h", *releve.demande)
        assert {ligne[0] % (4 * HEURE_MS) for ligne in releve.lignes} == {3 * HEURE_MS}
        assert "hors de la grille UTC" in capsys.readouterr().err
        assert lancer(simulateur, tmp_path, *bornes).octets == releve.octets
    assert module.principal(["--verifier", str(tmp_path / "bougies.csv")]) == 0
