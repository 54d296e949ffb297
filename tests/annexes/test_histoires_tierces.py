"""Les histoires d'exchanges tiers, un par ligne de `bourses_tierces_histoires` : la vraie classe, son curseur."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import ccxt
import pytest
from bourses_tierces import maintenant_ms
from bourses_tierces_histoires import FUNDINGS, INTERETS, TRADES, Histoire, TierceHistoires
from ligne_de_commande import HEURE, JOUR, MINUTE, empreinte
from temps_simule import HEURE_DES_ESSAIS

import module_ccxt_fr_v2 as m
from annexes_ccxt_fr import histoires as h
from bourse_locale.financement import financements, interets
from bourse_locale.marche import Instrument, Marche

if TYPE_CHECKING:
    from pathlib import Path

FIN = HEURE_DES_ESSAIS // HEURE * HEURE - 2 * HEURE
pytestmark = pytest.mark.usefixtures("a_l_heure_dite")


def tierce(nom: str, protocole: Histoire, cotation: int, quantites: int = 3) -> TierceHistoires:
    """L'exchange, à servir."""
    instrument = Instrument("AAA", "BBB", cotation_ms=cotation, decimales_quantite=quantites)
    return TierceHistoires(nom, protocole, Marche(3, instruments={}, taux_vide=0.1), instrument)


def lire(tiers: TierceHistoires, sortie: Path, bornes: m.Intervalle, *options: str) -> tuple[int, m.Fiche]:
    """La ligne de commande ; le code, et la fiche."""
    config = json.dumps(tiers.config | {"rateLimit": 1, "rateLimiterAlgorithm": "leakyBucket"})
    code = m.principal([
        "--exchange", tiers.nom, "--symbole", tiers.symbole, "--config-ccxt", config, "--essais", "2",
        "--sortie", str(sortie), "--date-debut", str(bornes[0]), "--date-fin", str(bornes[1]), *options,
    ])  # fmt: skip
    return code, m.lire_fiches(sortie)[0]


@pytest.mark.parametrize("nom", TRADES)
def test_tous_les_trades_d_un_tiers(tmp_path: Path, nom: str) -> None:
    """Tous, dans l'ordre, valeurs comprises ; relancer n'ajoute rien, et continuer reprend au dernier prouvé."""
    sortie, bornes = tmp_path / "t.parquet", (FIN - 6 * HEURE, FIN)
    tiers = tierce(nom, TRADES[nom], FIN - 2 * JOUR)
    with tiers.en_fil():
        code, fiche = lire(tiers, sortie, bornes, "--donnee", "trades")
        attendus = tiers.marche.trades(tiers.instrument, *bornes)
        assert len(attendus) > 1500
        lue = m.lire(sortie)
        assert (code, fiche.couverts, fiche.trous) == (0, [bornes], [])
        valeurs = zip(m.instants_de(lue), *(lue[c].to_pylist() for c in ("price", "amount", "side")), strict=True)
        vrais = [(t.ts, float(tiers.prix(t.prix)), float(tiers.quantite(t)), t.sens) for t in attendus]
        assert list(valeurs) == vrais  # dans une milliseconde aussi : l'ordre des ids, sinon celui de la réponse
        assert len(set(lue["id"].to_pylist())) == len(attendus)
        assert fiche.unite_volume == ("contrats" if "krakenfutures" in nom else "AAA")  # deribit compte en monnaie
        avant = empreinte(sortie)
        assert lire(tiers, sortie, bornes, "--donnee", "trades")[0] == 0
        assert empreinte(sortie) == avant
        large = (bornes[0] - HEURE, bornes[1] + 30 * MINUTE)
        code, fiche = lire(tiers, sortie, large, "--donnee", "trades")
        assert (code, fiche.couverts) == (0, [large])
        assert m.instants_de(m.lire(sortie)) == [t.ts for t in tiers.marche.trades(tiers.instrument, *large)]
    assert m.verifier(sortie).code == 0


def test_la_quantite_que_la_classe_tait_est_lue_pour_un_flux_aussi() -> None:
    """krakenfutures, contrat inverse : None de ccxt en REST, et chaque coupure du flux restait un trou."""
    nom = "krakenfutures_inverse"
    tiers = tierce(nom, TRADES[nom], FIN - 2 * JOUR)

    async def lire_une_page() -> list[dict[str, object]]:
        config = tiers.config | {"rateLimit": 1}
        async with m.ouvrir_exchange(exchange=tiers.nom, type_marche="swap", config_ccxt=config) as connexion:
            await connexion.charger_marches([tiers.symbole])
            return await connexion.lire_trades(connexion.ouvrir_evenements(tiers.symbole), FIN - HEURE, {})

    with tiers.en_fil():
        lus = [m.trade_de(brut, None) for brut in asyncio.run(lire_une_page())]
        vrais = tiers.marche.trades(tiers.instrument, FIN - HEURE, maintenant_ms())
    assert len(lus) > 100
    assert {t and (t.timestamp, t.amount) for t in lus} <= {(t.ts, float(tiers.quantite(t))) for t in vrais}


@pytest.mark.parametrize("nom", ["deribit", "krakenfutures", "bitflyer", "gate"])
def test_ce_qu_un_tiers_ne_garde_plus_est_hors_fenetre(tmp_path: Path, nom: str) -> None:
    """Une voie de chaque sorte : le plus ancien servi n'est pas dit le premier de tous ; code 3, le reste écrit."""
    gardes = FIN - HEURE  # de là à maintenant, plus d'une page de chacun
    sortie, bornes = tmp_path / "t.csv", (gardes - 2 * JOUR, gardes + HEURE)
    tiers = tierce(nom, TRADES[nom], gardes)
    with tiers.en_fil():
        code, fiche = lire(tiers, sortie, bornes, "--donnee", "trades")
        servis = [t.ts for t in tiers.marche.trades(tiers.instrument, *bornes)]
    assert code == 3
    assert m.instants_de(m.lire(sortie)) == servis
    assert fiche.trous == [m.Trou(bornes[0], servis[0], m.HORS_FENETRE_API)]
    assert fiche.couverts == [(servis[0], bornes[1])]


@pytest.mark.parametrize("nom", FUNDINGS)
def test_tous_les_financements_d_un_tiers(tmp_path: Path, nom: str) -> None:
    """Chaque règlement, à son instant, quel que soit l'intervalle du jour."""
    sortie, bornes = tmp_path / "f.csv", (FIN - 60 * JOUR, FIN - 5 * JOUR)
    tiers = tierce(nom, FUNDINGS[nom], FIN - 70 * JOUR)
    with tiers.en_fil():
        code, fiche = lire(tiers, sortie, bornes, "--donnee", "funding")
        attendus = financements(tiers.marche, tiers.instrument, *bornes)
        assert len(attendus) > 200
        lue = m.lire(sortie)
        assert (code, fiche.couverts, fiche.trous) == (0, [bornes], [])
        assert list(zip(m.instants_de(lue), lue["funding_rate"].to_pylist(), strict=True)) == [
            (f.ts, f.taux / 10**8) for f in attendus
        ]
        avant = empreinte(sortie)
        assert lire(tiers, sortie, bornes, "--donnee", "funding")[0] == 0
        assert empreinte(sortie) == avant


@pytest.mark.parametrize("nom", INTERETS)
def test_tout_l_interet_ouvert_d_un_tiers(tmp_path: Path, nom: str) -> None:
    """Chaque relevé, et son unité là où elle est sûre ; htx n'en garde que deux cents, le reste est dit perdu."""
    sortie, bornes = tmp_path / "i.csv", (FIN - 15 * JOUR, FIN)
    tiers = tierce(nom, INTERETS[nom], FIN - 70 * JOUR)
    with tiers.en_fil():
        code, fiche = lire(tiers, sortie, bornes, "--donnee", "open_interest", "--timeframe", "1h")
        servi = maintenant_ms() // HEURE * HEURE - 199 * HEURE if nom == "htx" else bornes[0]
        attendus = interets(tiers.marche, tiers.instrument, HEURE, servi, bornes[1])
        lue = m.lire(sortie)
        lus = list(zip(m.instants_de(lue), lue["amount"].to_pylist(), strict=True))
        assert lus == [(i.ts, i.lots) for i in attendus]
        assert fiche.couverts == [(servi, bornes[1])]
        assert fiche.unite_volume == {"gate": "contrats", "htx": "AAA", "kucoin": m.UNITE_INCONNUE}[nom]
        if nom == "htx":
            assert (code, fiche.trous) == (3, [m.Trou(bornes[0], servi, m.HORS_FENETRE_API)])
        else:
            assert (code, fiche.trous) == (0, [])


def test_chaque_exchange_des_tables_est_eprouve() -> None:
    """Ajouter une ligne sans l'éprouver contre sa vraie classe : non."""
    embarques = {"binance", "binanceusdm", "binancecoinm", "bybit", "kraken", "okx"}
    ailleurs = {"coinbaseexchange", "bitfinex", "bitget"}  # test_histoires
    for table, faits in ((h.SERVICES, TRADES), (h.FUNDINGS, FUNDINGS), (h.INTERETS, INTERETS)):
        assert set(table) - embarques - ailleurs == {nom.partition("_")[0] for nom in faits}
    for nature in h.NATURES.values():
        assert not set(nature.tus) & set(nature.servis)
    assert not set(h.PORTEES) & set(h.SERVICES)


@pytest.mark.parametrize(("nom", "autre"), [("kucoin", "kucoinfutures"), ("okx", "okxus"), ("gate", "gateeu")])
def test_un_autre_nom_d_un_exchange_sert_les_memes_histoires(nom: str, autre: str) -> None:
    """Kucoinfutures est kucoin : ses fundings étaient refusés, code 2, le message nommant kucoin."""
    tache, (un, deux) = m.Tache(donnee="funding"), (m.Connexion(m.Reglages(n)) for n in (nom, autre))
    assert h.releves_servis(deux, tache) is h.releves_servis(un, tache)
    assert h._de_la_lignee(h.SERVICES, deux) is h.SERVICES.get(nom)


@pytest.mark.parametrize(("donnee", "tus"), [("funding", h.FUNDINGS_TUS), ("open_interest", h.INTERETS_TUS)])
def test_un_releve_qu_on_ne_lit_pas_dit_pourquoi(donnee: str, tus: dict[str, str]) -> None:
    for exchange, pourquoi in tus.items():
        with pytest.raises(m.ErreurDemande, match=pourquoi):
            m.telecharger(exchange=exchange, symbole="BTC/USDT:USDT", donnee=donnee, timeframe="1h")


def test_bitstamp_date_ses_reglements_de_1970() -> None:
    """Le fait pour lequel il est refusé : si sa classe est corrigée, il pourra être lu."""
    lu = ccxt.bitstamp().parse_funding_rate_history({"timestamp": "1726246800", "funding_rate": "0.0001"})
    assert lu["timestamp"] == 1_726_246
