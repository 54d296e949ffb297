"""Les exchanges de la table, un par ligne de `PROTOCOLES` : la vraie classe, son format brut, notre ligne de commande.

Ce qui est écrit est l'oracle, moins ce que l'exchange ne sert plus et qui est dit ; la relance n'ajoute rien.
"""

from __future__ import annotations

import contextlib
import functools
import json
from typing import TYPE_CHECKING, NamedTuple

import pytest
from bourses_tierces import maintenant_ms, pas_de
from bourses_tierces_table import PROTOCOLES, Tierce
from outils_tierces import dedans, lancer

from bourse_locale.marche import Instrument, Marche

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from outils_tierces import Releve

MAINTENANT = maintenant_ms()


class Cas(NamedTuple):
    """Une demande, en bougies avant maintenant : ses bornes, et la cotation du marché."""

    debut: int
    fin: int | None
    cotation: int = 100_000


CAS = {
    "trous_et_panne": Cas(0, 30),  # son début dépend de la page : il en faut plus d'une
    "autour_de_la_cotation": Cas(500, 60, cotation=240),
    "jusqu_a_maintenant": Cas(200, None),
}
PANNE = (150, 90)  # en bougies avant maintenant : au milieu des trois


@functools.cache
def marche(pas_ms: int) -> Marche:
    """Le marché simulé, un par pas : une minute sur dix sans trade, et une panne."""
    debut, fin = (MAINTENANT - n * pas_ms for n in PANNE)
    return Marche(graine=7, instruments={}, pannes=[(debut, fin)], taux_vide=0.1)


@contextlib.contextmanager
def servir(nom: str, cotation: int = 100_000) -> Iterator[Tierce]:
    """L'exchange, servi en boucle locale."""
    protocole = PROTOCOLES[nom]
    pas_ms = duree(protocole.timeframe)
    cotation_ms = (MAINTENANT - cotation * pas_ms) // pas_ms * pas_ms
    instrument = Instrument("AAA", "BBB", cotation_ms=cotation_ms, decimales_quantite=3)
    with Tierce(nom, protocole, marche(pas_ms), instrument).en_fil() as simulateur:
        assert isinstance(simulateur, Tierce)
        yield simulateur


def duree(timeframe: str) -> int:
    """Le pas d'un timeframe court, en ms."""
    pas = pas_de(timeframe)
    assert isinstance(pas, int)
    return pas


def options_de(nom: str, cas: Cas) -> list[str]:
    """Les options d'un cas chez cet exchange."""
    protocole = PROTOCOLES[nom]
    pas = duree(protocole.timeframe)
    debut = cas.debut or min(max(300, protocole.page * 13 // 10), 2600)
    fin = [] if cas.fin is None else ["--date-fin", str(MAINTENANT - cas.fin * pas)]
    return [
        "--timeframe", protocole.timeframe, "--date-debut", str(MAINTENANT - debut * pas), *fin,
        *(["--params", json.dumps(protocole.params)] if protocole.params else []),
    ]  # fmt: skip


@pytest.mark.parametrize("cas", CAS)
@pytest.mark.parametrize("nom", PROTOCOLES)
def test_le_fichier_est_l_oracle_moins_ce_que_l_exchange_ne_sert_plus(nom: str, cas: str, tmp_path: Path) -> None:
    """Lignes, code de sortie, raisons des trous, nombre de requêtes ; puis la relance, qui n'ajoute rien."""
    choix = CAS[cas]
    with servir(nom, choix.cotation) as simulateur:
        releve = lancer(simulateur, tmp_path, *options_de(nom, choix))
        verifier(releve, simulateur)
        relance = lancer(simulateur, tmp_path, *options_de(nom, choix))
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


@pytest.mark.parametrize("nom", ["delta", "extended", "phemex"])
def test_un_mois_de_trente_jours_n_est_pas_ecrit(nom: str, tmp_path: Path) -> None:
    """Ce que la classe nomme 1M est un pas de trente jours : aucune ligne, code 3, et un trou que rien ne prouve."""
    with servir(nom, cotation=200 * 1440) as simulateur:
        bornes = ("--date-debut", "-150j", "--date-fin", "-40j")
        releve = lancer(simulateur, tmp_path, "--timeframe", "1M", *bornes)
    assert (releve.code, releve.lignes) == (3, [])
    assert releve.trous("echec") == [releve.demande]
