"""Les fichiers publics : mêmes lignes que l'API, au bit près, quels que soient leurs défauts."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import random
import re
import socket
import zipfile
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from couverture import une_seule
from temps_simule import temps_simule

import module_ccxt_fr_v2 as module
from annexes_ccxt_fr import archives, fichiers_publics, remise_en_ordre
from annexes_ccxt_fr.depot import Ecarte, ouvrir_depot
from bourse_locale import Bourse, Marche, Panne
from bourse_locale.financement import interets
from bourse_locale.pannes import NATURES_ARCHIVE
from bourse_locale.serveur import Appel
from module_ccxt_fr_v2 import JOUR_MS, MINUTE_MS, Timeframe, lire_instant

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MAINTENANT = lire_instant("2024-03-08T12:00Z", 0)  # février n'est pas paru : il le sera le 12
FEVRIER, MARS = "2024-02-01", "2024-03-01"


@pytest.fixture(autouse=True)
def _dossier_vide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def servir(marche: Marche, heure: int = MAINTENANT) -> Iterator[Bourse]:
    with Bourse(("binance",), marche, limites=False, maintenant_ms=heure).en_fil() as ouverte:
        yield ouverte


@pytest.fixture(scope="module")
def _depot_ouvert() -> Iterator[Bourse]:
    yield from servir(Marche())


@pytest.fixture
def depot(_depot_ouvert: Bourse) -> Iterator[Bourse]:
    """Un binance embarqué, le 8 mars 2024, sans panne."""
    _depot_ouvert.requetes.clear()
    yield _depot_ouvert
    _depot_ouvert.pannes.vider()


def options(bourse: Bourse, **autres: Any) -> dict[str, Any]:
    base = {"symbole": "BTC/USDT", "timeframe": "1h", "date_debut": "2024-01-03T05:00Z", "date_fin": "2024-02-01"}
    rapide = {"enableRateLimit": False, "timeout_on_exit": 0}
    return {**base, "config_ccxt": {**bourse.config_ccxt("binance"), **rapide}, **autres}


def lire(bourse: Bourse, source: str = "archives", **autres: Any) -> Any:
    bourse.requetes.clear()
    return module.telecharger_ohlcv(**options(bourse, source=source, **autres))


def fiche(table: Any) -> dict[str, Any]:
    dite: dict[str, Any] = json.loads(table.schema.metadata[b"fiche"])["series"][0]
    return dite


def servis(bourse: Bourse, cadence: str = "") -> list[str]:
    """Les zips servis, par leur nom."""
    motif = rf"/archives/data/.*{cadence}.*/([^/]+)\.zip"
    return [t[1] for r in bourse.requetes if r.code == 200 and (t := re.fullmatch(f"/binance{motif}", r.chemin))]


def bougies_demandees(bourse: Bourse) -> int:
    """Les pages de bougies demandées à l'API, celle des jours comprise."""
    return sum("lines" in r.chemin and "/archives" not in r.chemin for r in bourse.requetes)


# --- Mêmes lignes que l'API ---

SERIES = {
    "mois entier": {},
    "à cheval sur deux mois, minutes": {
        "timeframe": "1m", "date_debut": "2023-12-29T13:00Z", "date_fin": "2024-01-01T09:30Z",
    },
    "linéaire, l'en-tête paraît": {
        "symbole": "BTC/USDT:USDT", "date_debut": "2022-05-20", "date_fin": "2022-06-12T01:00Z",
    },
    "inverse : le volume est celui de la base": {"symbole": "BTC/USD:BTC"},
    "inverse, indice rangé par paire": {"symbole": "ETH/USD:ETH", "prix_ohlcv": "index"},
    "mark": {"symbole": "ETH/USDT:USDT", "prix_ohlcv": "mark"},
    "prime, négative aussi": {"symbole": "ETH/USDT:USDT", "prix_ohlcv": "premiumIndex"},
    "jours": {"timeframe": "1d", "date_debut": "2023-11-15", "date_fin": "2024-01-20"},
    "semaines, à cheval sur deux mois": {"timeframe": "1w", "date_debut": "2023-11-15", "date_fin": "2024-01-20"},
    "mois du calendrier, nommés 1mo": {"timeframe": "1M", "date_debut": "2023-10-01", "date_fin": "2024-02-01"},
    "la cotation": {"timeframe": "12h", "date_debut": "2017-08-05", "date_fin": "2017-09-20"},
}  # fmt: skip


@pytest.mark.parametrize("serie", SERIES.values(), ids=SERIES)
def test_les_lignes_sont_celles_de_l_api(depot: Bourse, serie: dict[str, Any]) -> None:
    attendues = lire(depot, "api", **serie)
    table = lire(depot, **serie)

    assert table.equals(attendues)
    assert servis(depot)
    assert fiche(table)["trous"] == fiche(attendues)["trous"]
    assert fiche(table)["intervalles"] == fiche(attendues)["intervalles"]


def test_les_microsecondes_du_comptant_depuis_2025() -> None:
    """L'unité se lit à la grandeur de l'instant : le fichier de 2025 est en µs, celui de 2024 en ms."""
    demande = {"date_debut": "2024-12-20", "date_fin": "2025-01-10"}
    for bourse in servir(Marche(), lire_instant("2025-03-01", 0)):
        attendues = lire(bourse, "api", **demande)
        assert lire(bourse, **demande).equals(attendues)
        assert servis(bourse) == ["BTCUSDT-1h-2024-12", "BTCUSDT-1h-2025-01"]


def test_la_fiche_dit_par_intervalle_ce_qui_vient_des_archives(depot: Bourse) -> None:
    table = lire(depot, date_fin="2024-02-03T07:00Z")

    sources = [{"debut": "2024-01-03T05:00Z", "fin": "2024-02-03T00:00Z", "source": "archives"}]
    assert fiche(table)["sources"] == sources
    assert "sources" not in fiche(lire(depot, "api"))


def test_un_mois_en_retard_est_lu_jour_par_jour_et_les_derniers_jours_a_l_api(depot: Bourse) -> None:
    """Le 8 mars, février n'est pas paru ; le 7 l'est à peine : il est laissé à l'API."""
    demande = {"date_debut": "2024-02-20", "date_fin": "2024-03-08T10:00Z"}
    attendues = lire(depot, "api", **demande)
    table = lire(depot, **demande)

    assert table.equals(attendues)
    assert not servis(depot, "monthly")
    assert servis(depot, "daily")[-1] == "BTCUSDT-1h-2024-03-06"
    assert fiche(table)["sources"][-1]["fin"] == "2024-03-07T00:00Z"


def test_aucun_jour_entier_aucune_archive(depot: Bourse) -> None:
    lire(depot, date_debut="2024-03-07T01:00Z", date_fin="2024-03-08T10:00Z")

    assert depot.compter("/archives") == 0


# --- Défauts des fichiers ---

REFUSES = {
    "absent": Panne("arch_absent", "monthly"),
    "sans somme": Panne("arch_sans_somme", "monthly"),
    "somme fausse": Panne("arch_somme", "monthly"),
    "pas un zip": Panne("arch_zip", "monthly"),
    "autre mois": Panne("arch_autre_mois", "monthly"),
    "doublons": Panne("arch_doublons", "monthly"),
    "désordre": Panne("arch_desordre", "monthly"),
    "hors de la grille": Panne("arch_hors_grille", "monthly"),
}
DIFFERENTS = {
    "valeurs fausses (spot, 2020-12-21)": Panne("arch_faux", "monthly", rang=300, k=2),
    "tronqué (spot, 2024-07)": Panne("arch_court", "monthly", n=648),
    "trou": Panne("arch_trou", "monthly", rang=300, k=30),
    "volumes nuls (um, 2025-01-29)": Panne("arch_zero", "monthly", rang=300, k=3),
}


def poser(bourse: Bourse, modele: Panne, chemin: str = "", **reglages: int) -> None:
    panne = Panne(modele.nature, chemin or modele.chemin)
    panne.reglages = {**modele.reglages, **reglages}
    bourse.pannes.ajouter(panne)


@pytest.mark.parametrize("panne", REFUSES.values(), ids=REFUSES)
def test_un_mois_qui_ne_compte_pas_est_pris_a_ses_jours(depot: Bourse, panne: Panne) -> None:
    demande = {"date_debut": "2024-01-20", "date_fin": "2024-01-31"}
    attendues = lire(depot, "api", **demande)
    poser(depot, panne)
    table = lire(depot, **demande)

    assert table.equals(attendues)
    assert len(servis(depot, "daily")) == 11
    assert fiche(table)["sources"] == [{"debut": "2024-01-20T00:00Z", "fin": "2024-01-31T00:00Z", "source": "archives"}]


@pytest.mark.parametrize("panne", DIFFERENTS.values(), ids=DIFFERENTS)
def test_un_jour_qui_differe_est_relu_les_autres_non(depot: Bourse, panne: Panne) -> None:
    """La somme de contrôle est juste : seule la confrontation à l'API le voit. Le fichier du jour arbitre."""
    attendues = lire(depot, "api")
    poser(depot, panne)
    table = lire(depot)

    assert table.equals(attendues)
    assert servis(depot, "monthly") == ["BTCUSDT-1h-2024-01"]
    assert 0 < len(servis(depot, "daily")) <= 4


DITS = ("arch_somme", "arch_doublons", "arch_hors_grille", "arch_faux", "arch_court", "arch_zero")
PARTOUT = {nom: panne for nom, panne in (REFUSES | DIFFERENTS).items() if panne.nature in DITS}


@pytest.mark.parametrize("panne", PARTOUT.values(), ids=PARTOUT)
def test_un_jour_mauvais_partout_est_lu_a_l_api_et_lui_seul(depot: Bourse, panne: Panne) -> None:
    """Le mois et le 24 mentent : l'API n'est appelée que pour le 24, jamais pour les années qui suivent."""
    demande = {"date_debut": "2024-01-22", "date_fin": "2024-01-28"}
    attendues = lire(depot, "api", **demande)
    poser(depot, Panne("arch_absent", "monthly"))
    poser(depot, panne, "2024-01-24", rang=11, n=12)
    table = lire(depot, **demande)

    assert table.equals(attendues)
    manquent = module.oter(
        [(lire_instant("2024-01-22", 0), lire_instant("2024-01-28", 0))],
        [(lire_instant(s["debut"], 0), lire_instant(s["fin"], 0)) for s in fiche(table)["sources"]],
    )
    assert len(manquent) == 1
    assert lire_instant("2024-01-24", 0) <= manquent[0][0] < manquent[0][1] <= lire_instant("2024-01-25", 0)


@pytest.mark.parametrize("cadence", ["daily", "monthly"])
def test_un_prix_mark_fige_est_relu_a_l_api(depot: Bourse, cadence: str) -> None:
    """Aucun volume ne le prouve, et les bornes du jour restent les mêmes."""
    demande = {"symbole": "ETH/USDT:USDT", "prix_ohlcv": "mark", "date_debut": "2024-01-22", "date_fin": "2024-02-04"}
    attendues = lire(depot, "api", **demande)
    depot.pannes.ajouter(Panne("arch_zero", cadence))
    table = lire(depot, **demande)

    assert table.equals(attendues)
    assert servis(depot, cadence)
    assert fiche(table)["unite_volume"] == "inconnue"  # rien ne s'y échange : ses zéros ne sont d'aucune unité


@pytest.mark.parametrize("nature", ["arch_court", "arch_entete"])
def test_un_fichier_sans_ligne_ne_dit_rien(depot: Bourse, nature: str) -> None:
    """Un zip entier, à la somme juste, et vide ou réduit à son en-tête."""
    demande = {"symbole": "BTC/USDT:USDT", "date_debut": "2024-01-22", "date_fin": "2024-01-24"}
    attendues = lire(depot, "api", **demande)
    depot.pannes.ajouter(Panne("arch_court", "daily", n=0))
    depot.pannes.ajouter(Panne(nature, "daily", n=0))
    table = lire(depot, **demande)

    assert len(servis(depot)) == 2
    assert table.equals(attendues)
    assert "sources" not in fiche(table)


@pytest.mark.parametrize("nature", ["arch_entete", "arch_us"])
def test_la_forme_d_un_fichier_se_lit_dans_le_fichier(depot: Bourse, nature: str) -> None:
    """Ni l'en-tête ni l'unité ne se déduisent d'une date : ici, contre celle qu'on attendrait."""
    attendues = lire(depot, "api")
    depot.pannes.ajouter(Panne(nature, "monthly"))

    assert lire(depot).equals(attendues)
    assert not servis(depot, "daily")


def test_publie_de_nouveau_pendant_la_lecture_il_est_redemande(depot: Bourse) -> None:
    attendues = lire(depot, "api")
    depot.pannes.ajouter(Panne("arch_republie", "monthly", fois=1))

    assert lire(depot).equals(attendues)
    assert servis(depot) == ["BTCUSDT-1h-2024-01"] * 2


def test_des_lignes_de_trop_apres_le_retrait_ne_sont_pas_ecrites() -> None:
    """Un contrat retiré : le dépôt publie encore des bougies plates, que l'API ne rend pas."""
    # L'exchange est arrêté depuis le 20 : le fichier, lui, tient des bougies plates.
    arret = (lire_instant("2024-01-20T05:00Z", 0), lire_instant("2024-01-22T09:00Z", 0))
    demande = {"date_debut": "2024-01-15", "date_fin": "2024-01-28"}
    for bourse in servir(Marche(pannes=[arret])):
        attendues = lire(bourse, "api", **demande)
        remplir(bourse, "BTC/USDT", *arret)
        table = lire(bourse, **demande)

        assert servis(bourse, "monthly")
        assert table.equals(attendues)
        assert fiche(table)["trous"] == fiche(attendues)["trous"]
        assert [t["raison"] for t in fiche(table)["trous"]] == ["sans_transaction"]


def remplir(bourse: Bourse, symbole: str, debut: int, fin: int) -> None:
    """Le dépôt publie des bougies plates là où l'exchange n'en a pas."""
    protocole: Any = bourse.protocoles["binance"]
    vraies = protocole.archives._klines

    def remplies(fichier: Any, premier: int, dernier: int) -> list[list[object]]:
        assert fichier.instrument.symbole == symbole
        lignes = {ligne[0]: ligne for ligne in vraies(fichier, premier, dernier)}
        pas = protocole.timeframes[fichier.intervalle][0]
        for instant in range(debut - debut % pas + pas, fin - pas, pas):
            prix = lignes[max(i for i in lignes if i < instant)][4]
            if premier <= instant < dernier and instant not in lignes:
                lignes[instant] = [instant, prix, prix, prix, prix, "0", instant + pas - 1, "0", 0, "0", "0", "0"]
        return [lignes[instant] for instant in sorted(lignes)]

    protocole.archives._klines = remplies


def test_seule_l_api_declare_un_trou() -> None:
    """Un arrêt de l'exchange : le fichier n'en dit rien, l'API prouve qu'il n'y eut pas de transaction."""
    arret = (lire_instant("2024-01-10T05:00Z", 0), lire_instant("2024-01-10T09:00Z", 0))
    for bourse in servir(Marche(pannes=[arret], taux_vide=0.0)):
        attendues = lire(bourse, "api")
        table = lire(bourse)

        assert table.equals(attendues)
        assert fiche(table)["trous"] == fiche(attendues)["trous"] != []


def test_les_minutes_sans_echange_sont_relues_a_l_api() -> None:
    """Un marché rare : chaque suite de volume nul est demandée, par pages communes, et rien n'est dit deux fois."""
    demande = {"timeframe": "1m", "date_debut": "2024-01-03", "date_fin": "2024-01-08"}
    for bourse in servir(Marche(taux_vide=0.001)):
        attendues = lire(bourse, "api", **demande)
        assert attendues["volume"].to_pylist().count(0.0) >= 5
        assert lire(bourse, **demande).equals(attendues)


# --- L'hôte ---


def test_un_hote_injoignable_laisse_place_a_l_api_et_c_est_dit(depot: Bourse, caplog: pytest.LogCaptureFixture) -> None:
    with socket.socket() as prise:
        prise.bind(("127.0.0.1", 0))
        port = prise.getsockname()[1]
    ferme = options(depot)["config_ccxt"]
    ferme = {**ferme, "urls": {**ferme["urls"], "archives": f"http://127.0.0.1:{port}"}}
    attendues = lire(depot, "api")
    table = lire(depot, config_ccxt=ferme)

    assert table.equals(attendues)
    assert [r.message for r in caplog.records if "ne sont plus demandées" in r.message]
    assert "sources" not in fiche(table)


def test_un_hote_muet_ne_fait_pas_attendre(depot: Bourse, caplog: pytest.LogCaptureFixture) -> None:
    attendues = lire(depot, "api", timeout=300)
    depot.pannes.ajouter(Panne("muet", "/archives"))
    table = lire(depot, timeout=300)

    assert table.equals(attendues)
    assert depot.compter("/archives") <= 3
    assert any("ne sont plus demandées" in r.message for r in caplog.records)


@pytest.mark.parametrize("nature", ["tronque", "coupure", "http"])
def test_une_panne_passagere_se_retente(depot: Bourse, nature: str) -> None:
    attendues = lire(depot, "api")
    depot.pannes.ajouter(Panne(nature, "BTCUSDT-1h-2024-01.zip", fois=1))
    table = lire(depot)

    assert table.equals(attendues)
    assert servis(depot, "monthly")[-1:] == ["BTCUSDT-1h-2024-01"]
    assert not servis(depot, "daily")


def test_une_somme_sans_fin_n_est_pas_lue(depot: Bourse) -> None:
    attendues = lire(depot, "api")
    depot.pannes.ajouter(Panne("http", "2024-01.zip.CHECKSUM", code=200, corps="0" * 100_000))
    table = lire(depot)

    assert table.equals(attendues)
    assert servis(depot, "daily")


def test_un_seul_fichier_qui_ne_vient_pas_n_accuse_que_lui(depot: Bourse) -> None:
    demande = {"date_debut": "2024-01-22", "date_fin": "2024-01-28"}
    attendues = lire(depot, "api", **demande)
    poser(depot, Panne("arch_absent", "monthly"))
    depot.pannes.ajouter(Panne("http", "2024-01-24.zip", code=500))
    table = lire(depot, **demande)

    assert table.equals(attendues)
    assert [s["fin"] for s in fiche(table)["sources"]] == ["2024-01-24T00:00Z", "2024-01-28T00:00Z"]


def test_trop_de_requetes_fait_attendre_toutes_les_autres() -> None:
    with temps_simule():
        for depot in servir(Marche()):
            depot.pannes.ajouter(Panne("http", "2024-01-2", fois=1, code=429))
            poser(depot, Panne("arch_absent", "monthly"))
            demande = {"date_debut": "2024-01-22", "date_fin": "2024-01-28"}
            table = lire(depot, **demande)

            refus = next(i for i, r in enumerate(depot.requetes) if r.code == 429)
            ecarts = [r.instant - depot.requetes[refus].instant for r in depot.requetes if "/archives" in r.chemin]
            assert not [e for e in ecarts if 0.3 < e < 1.0]  # Retry-After : 1 ; ce qui était parti arrive aussitôt
            assert max(ecarts) >= 1.0
            assert fiche(table)["sources"]


def test_sans_liste_les_fichiers_sont_demandes_quand_meme(depot: Bourse) -> None:
    depot.pannes.ajouter(Panne("http", "/archives", fois=1, code=404))

    assert fiche(lire(depot))["sources"]
    assert servis(depot) == ["BTCUSDT-1h-2024-01"]


def test_la_liste_se_lit_page_par_page(depot: Bourse) -> None:
    """Mille clés par page, et la moitié sont des sommes de contrôle : six ans et demi de jours font cinq pages."""
    prefixe = "data/spot/daily/klines/BTCUSDT/1m/"

    async def lister() -> Any:
        reglages = module.Reglages("binance", config_ccxt=options(depot)["config_ccxt"])
        async with module.Connexion(reglages) as connexion:
            depot_lu = ouvrir_depot(connexion, exige=True)
            assert depot_lu is not None
            return await depot_lu.lister(prefixe)

    cles = asyncio.run(lister())
    jours = (MAINTENANT - lire_instant("2017-08-17", 0)) // JOUR_MS
    assert len(cles) == 2 * jours
    assert cles[f"{prefixe}BTCUSDT-1m-2020-02-29.zip"] > 0


def test_un_miroir_remplace_l_hote(depot: Bourse, tmp_path: Path) -> None:
    cle = "data/spot/monthly/klines/BTCUSDT/1h/BTCUSDT-1h-2024-01.zip"
    for url in (cle, f"{cle}.CHECKSUM"):
        chemin = tmp_path / "miroir" / url
        chemin.parent.mkdir(parents=True, exist_ok=True)
        chemin.write_bytes(demander(depot, url))
    attendues = lire(depot, "api")
    ici = options(depot)["config_ccxt"]
    ici = {**ici, "urls": {**ici["urls"], "archives": (tmp_path / "miroir").as_uri()}}
    table = lire(depot, config_ccxt=ici)

    assert table.equals(attendues)
    assert fiche(table)["sources"]
    assert depot.compter("/archives") == 0


def demander(bourse: Bourse, cle: str) -> bytes:
    appel = Appel("GET", f"/archives/{cle}", {}, MAINTENANT)
    corps: bytes = bourse.protocoles["binance"].repondre(appel).corps()
    return corps


# --- La demande ---


def test_un_exchange_sans_archives_est_refuse_et_auto_prend_l_api(bourse: Bourse) -> None:
    kraken: dict[str, Any] = {
        "exchange": "kraken", "symbole": "BTC/USD", "timeframe": "1h", "config_ccxt": bourse.config_ccxt("kraken"),
    }  # fmt: skip
    with pytest.raises(module.ErreurDemande, match="n'a pas de fichiers publics"):
        module.telecharger_ohlcv(**kraken, source="archives")
    assert module.telecharger_ohlcv(**kraken, source="auto").num_rows


@pytest.mark.parametrize(
    ("autres", "phrase"),
    [
        ({"source": "archive"}, "source : « archive » n'est pas permis"),
        ({"source": "auto", "stream": "ohlcv"}, "un flux se lit chez l'exchange"),
    ],
)
def test_une_source_qui_ne_va_pas_est_refusee(autres: dict[str, Any], phrase: str) -> None:
    with pytest.raises(module.ErreurDemande, match=phrase):
        module.construire({"symbole": "BTC/USDT", **autres})


@pytest.mark.parametrize("adresse", ["file:///nulle/part", 7])
def test_une_adresse_d_archives_fautive_est_refusee(depot: Bourse, adresse: Any) -> None:
    config = options(depot)["config_ccxt"]
    config = {**config, "urls": {**config["urls"], "archives": adresse}}
    with pytest.raises(module.ErreurDemande, match=r"urls\.archives"):
        lire(depot, config_ccxt=config)


def test_le_banc_d_essai_n_a_pas_d_archives() -> None:
    with pytest.raises(module.ErreurDemande, match="Le banc d'essai n'a pas de fichiers publics"):
        module.telecharger_ohlcv(symbole="BTC/USDT", source="archives", sandbox=True)


def test_un_lot_hors_ligne_lit_les_archives_de_l_exchange_embarque(tmp_path: Path) -> None:
    """Le plan est contrôlé avant que l'exchange embarqué soit ouvert : rien ne dit encore où est son dépôt."""
    (tmp_path / "l.yaml").write_text(
        "version: 1\ntasks:\n  - {name: t, symbole: BTC/USDT, timeframe: 1h, source: archives, hors_ligne: true,"
        " date_debut: 2024-01-01, date_fin: 2024-01-10, sortie: y.sqlite}\n"
    )
    assert module.executer_lot(tmp_path / "l.yaml").code == 0
    (sue,) = module.lire_fiches(tmp_path / "y.sqlite")
    assert [p.source for p in sue.sources] == ["archives"]
    assert sue.origine == "hors_ligne"


def test_auto_prend_le_moins_cher(depot: Bourse) -> None:
    """Un mois d'heures est une page de l'API ; un an de minutes d'un contrat, deux minutes d'attente."""
    assert "sources" not in fiche(lire(depot, "auto"))

    async def estimer() -> Any:
        tache = module.construire(
            options(depot, symbole="BTC/USDT:USDT", timeframe="1m", date_debut="2023-01-01", date_fin="2024-01-01")
        )
        async with module.ouvrir_tache(tache) as connexion:
            await connexion.charger_marches(tache.demandes)
            serie = connexion.ouvrir_serie("BTC/USDT:USDT", "1m", "last", None)
            lecture = module.Historique(
                connexion, serie, module.plage_de(tache), module.Fiche(serie.cle), asyncio.Semaphore(8), 8
            )
            ici = ouvrir_depot(connexion, exige=True)
            assert ici is not None
            fichiers = archives.fichiers_de(ici, connexion, serie, "ohlcv")
            assert fichiers is not None
            source = archives.SourceArchives(lecture, fichiers, "auto")
            return await source.devis(await source.preparer())

    api, fichiers = asyncio.run(estimer())
    assert api.requetes == 526
    assert api.duree_s > 60  # 526 pages de poids 5 : plus que n'en admet une minute
    assert fichiers.requetes <= 45
    assert fichiers.duree_s < 0.15 * api.duree_s  # dont six secondes que suppose un débit de 4 Mo/s


@pytest.mark.parametrize(
    ("source", "demande", "pris"),
    [
        ("auto", ("2023-01-01", "2024-01-01", "1m"), "les archives"),
        ("archives", ("2024-01-01", "2024-02-01", "1h"), "l'API"),
    ],
)
def test_la_simulation_dit_les_deux_plans(
    depot: Bourse, capsys: pytest.CaptureFixture[str], source: str, demande: tuple[str, str, str], pris: str
) -> None:
    debut, fin, timeframe = demande
    mots = [
        "--symbole", "BTC/USDT:USDT", "--timeframe", timeframe, "--date-debut", debut, "--date-fin", fin,
        "--source", source, "--simulation", "--config-ccxt", json.dumps(options(depot)["config_ccxt"]),
    ]  # fmt: skip
    assert module.principal(mots) == 0

    dites = capsys.readouterr().out
    assert "par l'API : " in dites
    assert "par les archives, l'API pour le reste : " in dites
    assert f"--source auto prendrait {pris}." in dites
    assert not servis(depot)
    assert bougies_demandees(depot) == 0


# --- Les sorties ---


@pytest.mark.parametrize("extension", ["csv", "parquet", "feather", "sqlite"])
def test_la_sortie_est_la_meme_et_la_relance_n_y_change_rien(depot: Bourse, extension: str, tmp_path: Path) -> None:
    sorties = {source: tmp_path / f"{source}.{extension}" for source in ("api", "archives")}
    for source, sortie in sorties.items():
        lire(depot, source, sortie=sortie)
    if extension == "csv":
        assert sorties["api"].read_bytes() == sorties["archives"].read_bytes()
    assert module.lire(sorties["api"]).equals(module.lire(sorties["archives"]))
    (sue,) = module.lire_fiches(sorties["archives"])
    assert [p.source for p in sue.sources] == ["archives"]
    assert not module.verifier(sorties["archives"]).fautes
    avant = sorties["archives"].read_bytes()
    for source in ("archives", "api"):  # relire à l'API ce qui vient des archives n'en change pas la provenance
        lire(depot, source, sortie=sorties["archives"])
        assert servis(depot) == []
        assert extension == "sqlite" or sorties["archives"].read_bytes() == avant
        assert module.lire_fiches(sorties["archives"])[0].sources == sue.sources


def test_un_fichier_illisible_refait_garde_la_provenance_de_ce_qui_s_en_lit(depot: Bourse, tmp_path: Path) -> None:
    """Seul ce qui est relu à l'API en vient."""
    sortie = tmp_path / "a.csv.gz"
    lire(depot, "api", sortie=sortie, date_debut="2024-01-10", date_fin="2024-01-12", timeframe="1m")
    lire(depot, sortie=sortie, date_debut="2024-01-08", date_fin="2024-01-31", timeframe="1m")
    (avant,) = module.lire_fiches(sortie)
    octets = sortie.read_bytes()
    sortie.write_bytes(octets[: len(octets) * 3 // 4])
    assert set(module.verifier(sortie).fautes) & {"illisible"}

    assert remise_en_ordre.assainir_sortie(sortie)
    (apres,) = module.lire_fiches(sortie)
    assert apres.couverts != avant.couverts
    gardees = [(p.source, dedans) for p in avant.sources for dedans in module.croiser([p[:2]], apres.couverts)]
    assert [(p.source, p[:2]) for p in apres.sources] == gardees
    assert gardees


def test_elargir_ne_lit_que_ce_qui_manque(depot: Bourse, tmp_path: Path) -> None:
    sortie = tmp_path / "a.csv"
    lire(depot, "api", sortie=sortie, date_debut="2024-01-10", date_fin="2024-01-20")
    lire(depot, sortie=sortie, date_debut="2023-12-20", date_fin="2024-02-01")

    (sue,) = module.lire_fiches(sortie)
    dits = [(module.en_iso(p.debut), module.en_iso(p.fin)) for p in sue.sources]
    assert dits[0] == ("2023-12-20T00:00Z", "2024-01-10T00:00Z")
    assert dits[-1][1] == "2024-02-01T00:00Z"
    lire(depot, "api", sortie=tmp_path / "b.csv", date_debut="2023-12-20", date_fin="2024-02-01")
    assert sortie.read_bytes() == (tmp_path / "b.csv").read_bytes()


def test_interrompue_elle_reprend_au_fichier_suivant(depot: Bourse, tmp_path: Path) -> None:
    """Les mois déjà reçus sont au journal : leurs fichiers ne sont pas redemandés, et leur provenance est gardée."""
    demande = {"date_debut": "2023-10-01", "date_fin": "2024-02-01", "sortie": tmp_path / "a.csv"}

    def couper(_avancement: Any) -> None:
        raise OSError("coupé")

    tache = module.construire(options(depot, source="archives", **demande))
    with pytest.raises(OSError, match="coupé"):
        module.executer(tache, suivi=couper)
    depot.requetes.clear()
    assert module.executer(tache).code == 0
    assert servis(depot) == ["BTCUSDT-1h-2023-11", "BTCUSDT-1h-2023-12", "BTCUSDT-1h-2024-01"]
    (sue,) = module.lire_fiches(tmp_path / "a.csv")
    assert [(module.en_iso(p.debut), module.en_iso(p.fin)) for p in sue.sources] == [
        ("2023-10-01T00:00Z", "2024-02-01T00:00Z")
    ]


@pytest.mark.parametrize("extension", ["csv", "parquet", "sqlite"])
def test_tuee_la_provenance_est_dans_ce_qui_est_repris(depot: Bourse, extension: str, tmp_path: Path) -> None:
    """Un processus tué ne finit rien : la reprise rend les lignes, et d'où elles viennent."""
    table = lire(depot)
    cle = module.CleSerie("binance", "BTC/USDT", "1h", "last")
    debut, fin = lire_instant("2024-01-03T05:00Z", 0), lire_instant("2024-02-01", 0)
    lot = module.Lot(cle, table.replace_schema_metadata(None), [(debut, fin)], [], "archives")
    sortie = tmp_path / f"a.{extension}"
    classe = module.ECRIVAINS[module.format_du_chemin(sortie) or ""]
    tue = classe(sortie, type_donnee=module.OHLCV, table="ohlcv").ouvrir()
    tue.ecrire(lot, module.Fiche(cle))
    tue.fermer()
    assert module.executer(module.construire(options(depot, source="api", sortie=sortie))).code == 0

    (sue,) = module.lire_fiches(sortie)
    assert [tuple(p) for p in sue.sources] == [(debut, fin, "archives")]
    assert module.lire(sortie).equals(table.replace_schema_metadata(None))


# --- Pièces ---


@pytest.mark.parametrize(
    ("instant", "ms"),
    [(1735689600000, 1735689600000), (1735689600000000, 1735689600000), (1735689599999999, 1735689599999)],
)
def test_un_instant_se_lit_a_sa_grandeur(instant: int, ms: int) -> None:
    assert fichiers_publics.en_ms(pa.chunked_array([[instant, 1735689600000]])).to_pylist() == [ms, 1735689600000]


def test_les_derniers_jours_ne_sont_pas_demandes() -> None:
    minuit = lire_instant("2024-03-08", 0)
    jours = archives.jours_entiers(minuit - 5 * JOUR_MS + 1, minuit + JOUR_MS, MAINTENANT)

    assert jours == [(minuit - n * JOUR_MS, minuit - (n - 1) * JOUR_MS) for n in (4, 3, 2)]


def test_des_suites_voisines_partagent_une_page() -> None:
    minutes = [(n * MINUTE_MS, (n + 1) * MINUTE_MS) for n in (0, 3, 999, 1001)]

    assert archives.grouper(minutes, Timeframe.lire("1m"), 1000) == [
        (0, 1000 * MINUTE_MS), (1001 * MINUTE_MS, 1002 * MINUTE_MS),
    ]  # fmt: skip


# --- Les trades ---

UN_JOUR = {"date_debut": "2024-01-10", "date_fin": "2024-01-11"}


def lire_les_trades(bourse: Bourse, source: str = "archives", **autres: Any) -> Any:
    bourse.requetes.clear()
    demande = options(bourse, source=source, donnee="trades", **{**UN_JOUR, **autres})
    del demande["timeframe"]
    return module.telecharger(**demande)


@pytest.mark.parametrize("symbole", ["BTC/USDT", "BTC/USDT:USDT", "BTC/USD:BTC"])
def test_les_trades_sont_ceux_de_l_api(depot: Bourse, symbole: str) -> None:
    """Au bit près, le coût d'un contrat inverse, un quotient, compris."""
    attendus = lire_les_trades(depot, "api", symbole=symbole)
    pages = depot.compter("aggTrades") - depot.compter("/archives")
    table = lire_les_trades(depot, symbole=symbole)

    assert table.num_rows > 1000
    assert table.equals(attendus)
    assert fiche(table)["intervalles"] == fiche(attendus)["intervalles"]
    assert fiche(table)["trous"] == fiche(attendus)["trous"] == []
    assert [nom.partition("-")[2] for nom in servis(depot)] == ["aggTrades-2024-01-10"]
    assert depot.compter("aggTrades") - depot.compter("/archives") < pages
    # Le volume prouve tout le jour d'un contrat ; au comptant, ce qui suit le dernier trade est à l'API.
    fin = module.lire_instant("2024-01-11", 0) if ":" in symbole else module.instants_de(table)[-1]
    assert fiche(table)["sources"][-1]["fin"] == module.en_iso(fin)


@pytest.fixture(scope="module")
def _depot_rare() -> Iterator[Bourse]:
    yield from servir(Marche(taux_vide=0.98))


@pytest.fixture
def rare(_depot_rare: Bourse) -> Iterator[Bourse]:
    """Le même, où une minute sur cinquante a des trades : un mois en tient quatre mille."""
    yield _depot_rare
    _depot_rare.pannes.vider()


def test_auto_ne_prend_pas_un_jour_de_trades_pour_une_heure(rare: Bourse) -> None:
    heure = {"date_debut": "2024-01-10T01:00Z", "date_fin": "2024-01-10T03:00Z"}
    attendus = lire_les_trades(rare, "api", **heure)

    assert lire_les_trades(rare, "auto", **heure).equals(attendus)
    assert servis(rare) == []
    assert lire_les_trades(rare, "archives", **heure).equals(attendus)
    assert servis(rare) == ["BTCUSDT-aggTrades-2024-01-10"]


@pytest.mark.parametrize("nature", ["arch_somme", "arch_trou", "arch_court", "arch_faux"])
def test_un_jour_de_trades_mauvais_est_relu_lui_seul(depot: Bourse, nature: str) -> None:
    demande = {"date_debut": "2024-01-09T23:00Z", "date_fin": "2024-01-11T01:00Z"}
    attendus = lire_les_trades(depot, "api", **demande)
    depot.pannes.ajouter(Panne(nature, "aggTrades-2024-01-10", n=3000))
    table = lire_les_trades(depot, **demande)

    assert table.equals(attendus)
    assert fiche(table)["trous"] == []
    assert {"BTCUSDT-aggTrades-2024-01-09", "BTCUSDT-aggTrades-2024-01-11"} <= set(servis(depot))


@pytest.mark.parametrize(
    ("symbole", "nature", "jours"),
    [
        ("BTC/USDT", None, 0),
        ("BTC/USDT", "arch_trou", 1),
        ("BTC/USDT", "arch_faux", 1),
        ("BTC/USDT:USDT", "arch_trou", 1),
        ("BTC/USD:BTC", "arch_faux", 1),
        ("BTC/USD:BTC", "arch_trou", 1),
    ],
)
def test_un_mois_de_trades_et_ses_jours_pour_arbitres(
    rare: Bourse, symbole: str, nature: str | None, jours: int
) -> None:
    demande = {"symbole": symbole, "date_debut": "2024-01-03T04:00Z", "date_fin": "2024-02-02"}
    attendus = lire_les_trades(rare, "api", **demande)
    if nature is not None:
        rare.pannes.ajouter(Panne(nature, "monthly"))
    table = lire_les_trades(rare, **demande)

    assert table.equals(attendus)
    assert fiche(table)["intervalles"] == fiche(attendus)["intervalles"]
    assert [nom.partition("-")[2] for nom in servis(rare, "monthly")] == ["aggTrades-2024-01"]
    assert len(servis(rare, "daily")) == jours + 1  # le 1er février : son mois n'est pas paru


@pytest.mark.couvrant(source=une_seule, bougies=une_seule)
@pytest.mark.parametrize(
    ("source", "demande", "pris"),
    [
        ("archives", {"date_debut": "2024-01-10T01:00Z", "date_fin": "2024-01-10T03:00Z"}, "l'API"),
        ("auto", {"date_debut": "2024-01-01", "date_fin": "2024-02-01"}, "les archives"),
    ],
)
@pytest.mark.parametrize("bougies", [False, True])
def test_la_simulation_des_trades_dit_les_deux_plans(
    rare: Bourse, capsys: pytest.CaptureFixture[str], source: str, demande: dict[str, str], pris: str, bougies: bool
) -> None:
    """Et ce que prendrait `auto` est ce qu'il prend."""
    tous = options(rare, source=source, donnee="trades", trades_vers_ohlcv=bougies, timeframe="1h", **demande)
    rare.requetes.clear()
    mots = ["--simulation", *(["--trades-vers-ohlcv"] if bougies else []), "--config-ccxt",
            json.dumps(tous["config_ccxt"]), "--symbole", "BTC/USDT", "--donnee", "trades", "--source", source,
            "--date-debut", demande["date_debut"], "--date-fin", demande["date_fin"]]  # fmt: skip
    assert module.principal(mots) == 0
    dites = capsys.readouterr().out
    assert "par l'API : " in dites
    assert "par les archives, l'API pour le reste : " in dites
    assert f"--source auto prendrait {pris}." in dites
    assert not servis(rare)
    module.telecharger(**{**tous, "source": "auto"})
    assert bool(servis(rare)) == (pris == "les archives")


@pytest.mark.parametrize(("nature", "vides"), [(None, "omettre"), ("arch_trou", "reporter")])
def test_les_bougies_faites_des_trades_des_archives(rare: Bourse, nature: str | None, vides: str) -> None:
    """Celles que font les trades de l'API, un jour mauvais du mois compris ; leur provenance est dite."""
    demande = {"date_debut": "2024-01-03T04:00Z", "date_fin": "2024-02-02T03:00Z", "timeframe": "1h",
               "donnee": "trades", "trades_vers_ohlcv": True, "bougies_vides": vides}  # fmt: skip
    attendues = module.telecharger(**options(rare, source="api", **demande))
    if nature is not None:
        rare.pannes.ajouter(Panne(nature, "monthly"))
    rare.requetes.clear()
    table = module.telecharger(**options(rare, source="archives", **demande))

    assert table.num_rows > 500
    assert table.equals(attendues)
    assert fiche(table)["trous"] == fiche(attendues)["trous"]
    assert fiche(table)["intervalles"] == fiche(attendues)["intervalles"]
    assert servis(rare, "monthly") == ["BTCUSDT-aggTrades-2024-01"]
    assert fiche(table)["sources"]


def test_ce_que_l_api_ne_sert_plus_se_lit_aux_archives(rare: Bourse, tmp_path: Path) -> None:
    """Une histoire lue à l'API, trop courte, est complétée par les fichiers : la reprise est la même, la source non."""
    sortie = tmp_path / "t.csv"
    demande = {"symbole": "BTC/USD:BTC", "date_debut": "2024-01-09", "date_fin": "2024-01-12"}
    attendus = lire_les_trades(rare, "api", **demande)
    coupe = module.lire_instant("2024-01-10T18:00Z", 0)
    cle = module.CleSerie("binance", "BTC/USD:BTC", "", "")
    with module.ECRIVAINS["csv"](sortie, type_donnee=module.TRADES) as ecrivain:
        instants = pa.array(module.instants_de(attendus))
        gardees = attendus.replace_schema_metadata(None).filter(pa.compute.greater_equal(instants, coupe))
        trou = module.Trou(module.lire_instant("2024-01-09", 0), coupe, module.HORS_FENETRE_API)
        neuve = module.Fiche(cle, type_marche="swap", identifiants=module.IDS_REUNIS)
        ecrivain.ecrire(module.Lot(cle, gardees, [(coupe, module.lire_instant("2024-01-12", 0))], [trou]), neuve)
        ecrivain.finir()
    with pytest.warns(UserWarning, match="hors_fenetre_api"):
        lire_les_trades(rare, "api", sortie=sortie, **demande)
    assert module.lire_fiches(sortie)[0].trous == [trou]  # l'API ne le sert plus : elle n'est pas redemandée
    lire_les_trades(rare, sortie=sortie, **demande)
    assert module.lire_fiches(sortie)[0].trous == []
    assert module.lire(sortie).equals(attendus.replace_schema_metadata(None))


def test_la_sortie_des_trades_est_la_meme_et_la_relance_n_y_change_rien(rare: Bourse, tmp_path: Path) -> None:
    demande = {"date_debut": "2024-01-28", "date_fin": "2024-02-03"}
    lire_les_trades(rare, "api", sortie=tmp_path / "api.csv", **demande)
    rare.requetes.clear()
    sortie = {"sortie": tmp_path / "archives.csv", "donnee": "trades", "source": "archives"}
    tache = module.construire({**options(rare, **sortie, **demande), "timeframe": "1m"})
    # Le trade d'un bord, que le fichier et l'API rendent, ne se compte qu'une fois.
    assert module.executer(tache).total("lignes_nouvelles") == module.lire(tmp_path / "api.csv").num_rows
    # Six fichiers d'un jour, reliés par leurs ids : l'API ne dit que les deux bords.
    assert len(servis(rare)) == 6
    assert rare.compter("aggTrades") - rare.compter("/archives") <= 6
    assert len(module.lire_fiches(tmp_path / "archives.csv")[0].sources) == 1
    ecrits = (tmp_path / "archives.csv").read_bytes()
    assert ecrits == (tmp_path / "api.csv").read_bytes()
    lire_les_trades(rare, sortie=tmp_path / "archives.csv", **demande)
    assert servis(rare) == []
    assert (tmp_path / "archives.csv").read_bytes() == ecrits


@pytest.mark.parametrize("decimales", [(2, 5), (8, 8), (1, 0)])
def test_un_cout_est_le_produit_exact_arrondi_une_fois(decimales: tuple[int, int]) -> None:
    """Comme ccxt, qui multiplie les textes : le produit des flottants diffère une fois sur trois."""
    alea = random.Random(7)
    textes = [[f"{alea.uniform(0.001, 90_000):.{d}f}" for _ in range(2000)] for d in decimales]
    melanges = [[*colonne, "12.5"] for colonne in textes]  # des décimales inégales
    for prix, quantites in (textes, melanges):
        attendus = [float(Decimal(p) * Decimal(q)) for p, q in zip(prix, quantites, strict=True)]
        assert fichiers_publics.produits(pa.array(prix), pa.array(quantites)).to_pylist() == attendus


# --- Les relevés ---

INTERET = {"symbole": "BTC/USDT:USDT", "donnee": "open_interest", "timeframe": "5m"}
FENETRE = MAINTENANT - 30 * JOUR_MS  # d'avant, l'API ne sert pas d'intérêt ouvert : le 7 février, à midi


def lire_les_releves(bourse: Bourse, source: str = "archives", **autres: Any) -> Any:
    bourse.requetes.clear()
    return module.telecharger(**options(bourse, source=source, **autres))


@pytest.mark.parametrize("symbole", ["BTC/USDT:USDT", "ETH/USD:ETH"])
def test_le_funding_est_celui_de_l_api_sans_prix_de_marque(depot: Bourse, symbole: str) -> None:
    """Des mois entiers, et des bords qu'ils n'ont pas : de février, que rien n'a encore publié, l'API a le prix."""
    demande = {
        "symbole": symbole, "donnee": "funding", "date_debut": "2023-12-28T03:00Z", "date_fin": "2024-02-03",
    }  # fmt: skip
    attendus = lire_les_releves(depot, "api", **demande)
    par_api = depot.compter("fundingRate")
    table = lire_les_releves(depot, **demande)

    assert depot.compter("fundingRate") - depot.compter("/archives") <= par_api  # lue une fois, et non à chaque manque
    assert len(servis(depot, "monthly/fundingRate")) == 2
    assert table.drop_columns("mark_price").equals(attendus.drop_columns("mark_price"))
    des_fichiers = [t < lire_instant("2024-02-01", 0) for t in module.instants_de(table)]
    assert 0 < sum(des_fichiers) < table.num_rows
    assert [prix is None for prix in table["mark_price"].to_pylist()] == des_fichiers
    assert None not in attendus["mark_price"].to_pylist()
    assert fiche(table)["intervalles"] == fiche(attendus)["intervalles"]
    assert fiche(table)["trous"] == fiche(attendus)["trous"] == []
    assert [s["source"] for s in fiche(table)["sources"]] == ["archives"] * len(fiche(table)["sources"]) != []


@pytest.mark.parametrize("nature", ["arch_trou", "arch_court", "arch_desordre", "arch_doublons", "arch_faux"])
def test_un_funding_mauvais_est_relu_a_l_api(depot: Bourse, nature: str) -> None:
    demande = {"symbole": "BTC/USDT:USDT", "donnee": "funding", "date_debut": "2024-01-12", "date_fin": "2024-01-22"}
    attendus = lire_les_releves(depot, "api", **demande)
    depot.pannes.ajouter(Panne(nature, "fundingRate-2024-01"))
    table = lire_les_releves(depot, **demande)

    assert table.drop_columns("mark_price").equals(attendus.drop_columns("mark_price"))
    assert fiche(table)["trous"] == []
    entier = all(prix is None for prix in table["mark_price"].to_pylist())
    assert entier == (nature == "arch_doublons")  # des lignes deux fois, mais les mêmes


def test_auto_lit_le_funding_a_l_api(depot: Bourse) -> None:
    demande = {"symbole": "BTC/USDT:USDT", "donnee": "funding", "date_debut": "2024-01-12", "date_fin": "2024-01-22"}

    assert lire_les_releves(depot, "auto", **demande).equals(lire_les_releves(depot, "api", **demande))
    assert depot.compter("/archives") == 0


@pytest.mark.parametrize("timeframe", ["5m", "4h", "1d"])
def test_l_interet_ouvert_est_celui_de_l_api(depot: Bourse, timeframe: str) -> None:
    """Là où l'un et l'autre le servent ; `auto` n'ouvre alors aucun fichier."""
    demande = {**INTERET, "timeframe": timeframe, "date_debut": "2024-02-20T00:30Z", "date_fin": "2024-02-24T07:00Z"}
    attendus = lire_les_releves(depot, "api", **demande)
    par_api = depot.compter("openInterestHist")
    table = lire_les_releves(depot, **demande)

    assert table.equals(attendus)
    assert depot.compter("openInterestHist") <= par_api  # confrontés en une lecture, et non jour par jour
    assert table.num_rows >= 4
    assert servis(depot, "daily/metrics")
    assert fiche(table)["intervalles"] == fiche(attendus)["intervalles"]
    assert fiche(table)["sources"]
    assert lire_les_releves(depot, "auto", **demande).equals(attendus)
    assert servis(depot) == []


def vrais(bourse: Bourse, pas_ms: int, debut: str, fin: str) -> list[tuple[int, float]]:
    """Ce que l'exchange a tenu, que son API le serve encore ou non."""
    instrument = bourse.protocoles["binance"].par_symbole["BTC/USDT:USDT"]
    lus = interets(bourse.marche, instrument, pas_ms, lire_instant(debut, 0), lire_instant(fin, 0))
    return [(lu.ts, float(instrument.texte_quantite(lu.lots))) for lu in lus]


def lignes_de(table: Any) -> list[tuple[int, float]]:
    return list(zip(module.instants_de(table), table["amount"].to_pylist(), strict=True))


@pytest.mark.couvrant(source=une_seule, timeframe=une_seule)
@pytest.mark.parametrize("source", ["archives", "auto"])
@pytest.mark.parametrize(("timeframe", "pas"), [("5m", 5 * MINUTE_MS), ("1h", 60 * MINUTE_MS), ("1d", JOUR_MS)])
def test_au_dela_du_mois_de_l_api_les_fichiers_continuent(
    depot: Bourse, source: str, timeframe: str, pas: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    bornes = {"date_debut": "2024-02-03T05:00Z", "date_fin": "2024-02-09"}
    table = lire_les_releves(depot, source, **{**INTERET, "timeframe": timeframe}, **bornes)

    assert lignes_de(table) == vrais(depot, pas, *bornes.values())
    assert fiche(table)["trous"] == []
    assert len([r for r in caplog.records if "gardés tels qu'écrits" in r.message]) == 1


def test_un_jour_absent_au_dela_du_mois_de_l_api_est_un_trou(depot: Bourse, tmp_path: Path) -> None:
    """Code 3 ; dans le mois que sert l'API, un jour absent se lit chez elle. Le jour paru, la relance le comble."""
    bornes = {"date_debut": "2024-02-03", "date_fin": "2024-02-12"}
    demande = options(depot, source="archives", **INTERET, **bornes, sortie=tmp_path / "i.csv")
    depot.pannes.ajouter(Panne("arch_absent", "metrics-2024-02-05"))
    depot.pannes.ajouter(Panne("arch_absent", "metrics-2024-02-10"))
    absent = (lire_instant("2024-02-05", 0), lire_instant("2024-02-06", 0))
    tous = vrais(depot, 5 * MINUTE_MS, *bornes.values())

    assert module.executer(module.construire(demande)).code == 3
    (sue,) = module.lire_fiches(tmp_path / "i.csv")
    assert [tuple(trou) for trou in sue.trous] == [(*absent, module.HORS_FENETRE_API)]
    presents = [(t, v) for t, v in tous if not absent[0] <= t < absent[1]]
    assert lignes_de(module.lire(tmp_path / "i.csv")) == presents
    ecrits = (tmp_path / "i.csv").read_bytes()
    assert module.executer(module.construire(demande)).code == 3
    assert (tmp_path / "i.csv").read_bytes() == ecrits
    depot.pannes.vider()
    assert module.executer(module.construire(demande)).code == 0
    assert lignes_de(module.lire(tmp_path / "i.csv")) == tous


@pytest.mark.parametrize("defaut", ["coupee", "sans suite", "redite"])
def test_une_liste_inachevee_n_est_pas_crue(depot: Bourse, defaut: str) -> None:
    """Coupée au milieu, ou dont la suite ne vient pas : ce qu'elle ne nomme pas est demandé quand même."""
    bornes = {"date_debut": "2024-01-10", "date_fin": "2024-01-14"}
    prefixe = "data/futures/um/daily/metrics/BTCUSDT/BTCUSDT-metrics-"
    noms = [f"{prefixe}2024-01-10.zip{suite}" for suite in ("", ".CHECKSUM")]
    cles = "".join(f"<Contents><Key>{nom}</Key><Size>900</Size></Contents>" for nom in noms)
    coupee = f"<ListBucketResult><IsTruncated>false</IsTruncated>{cles}<Contents><Key>{prefixe}"
    suivie = f"<ListBucketResult><IsTruncated>true</IsTruncated>{cles}</ListBucketResult>"
    vide = "<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>"
    for page in {"coupee": [coupee], "sans suite": [suivie, vide], "redite": [suivie, suivie]}[defaut]:
        depot.pannes.ajouter(Panne("http", "/archives", fois=1, code=200, corps=page))
    table = lire_les_releves(depot, **INTERET, **bornes)

    assert lignes_de(table) == vrais(depot, 5 * MINUTE_MS, *bornes.values())
    assert fiche(table)["trous"] == []


@pytest.mark.parametrize("jour", ["2024-02-05", "2024-02-20"])
def test_un_interet_nul_n_est_jamais_une_valeur(depot: Bourse, jour: str) -> None:
    """Un trou, là où rien d'autre ne le dit ; ailleurs, l'API."""
    depot.pannes.ajouter(Panne("arch_zero", f"metrics-{jour}", rang=100, k=2))
    depot.pannes.ajouter(Panne("arch_doublons", f"metrics-{jour}", rang=0, k=288))
    debut = lire_instant(jour, 0)
    nuls = (debut + 100 * 5 * MINUTE_MS, debut + 102 * 5 * MINUTE_MS)
    fin = module.en_iso(debut + JOUR_MS)
    ancien = debut < FENETRE
    with pytest.warns(UserWarning, match="echec") if ancien else contextlib.nullcontext():
        table = lire_les_releves(depot, **INTERET, date_debut=jour, date_fin=fin)

    tous = vrais(depot, 5 * MINUTE_MS, jour, fin)
    assert lignes_de(table) == [(t, v) for t, v in tous if not (ancien and nuls[0] <= t < nuls[1])]
    assert [t["raison"] for t in fiche(table)["trous"]] == (["echec"] if ancien else [])
    assert fiche(table)["sources"]


@pytest.mark.parametrize("jour", ["2024-02-07", "2024-02-20"])
def test_un_fichier_qui_dit_l_etat_de_cinq_minutes_apres_est_remis_a_l_heure(depot: Bourse, jour: str) -> None:
    """Un jour que l'API sert encore, ou dont elle ne sert que la fin : le fichier entier suit ce qu'elle en montre."""
    depot.pannes.ajouter(Panne("arch_decale", f"metrics-{jour}"))
    fin = module.en_iso(lire_instant(jour, 0) + JOUR_MS)
    table = lire_les_releves(depot, **INTERET, date_debut=f"{jour}T05:00Z", date_fin=fin)

    assert lignes_de(table) == vrais(depot, 5 * MINUTE_MS, f"{jour}T05:00Z", fin)
    assert fiche(table)["trous"] == []
    assert fiche(table)["sources"]


def test_un_fichier_que_l_api_dement_n_est_pas_ecrit(depot: Bourse, monkeypatch: pytest.MonkeyPatch) -> None:
    protocole: Any = depot.protocoles["binance"]
    justes = protocole.archives._metrics

    def faussees(*arguments: Any) -> list[list[object]]:
        return [[*ligne[:2], f"1{ligne[2]}", *ligne[3:]] for ligne in justes(*arguments)]

    monkeypatch.setattr(protocole.archives, "_metrics", faussees)
    demande = {**INTERET, "date_debut": "2024-02-14", "date_fin": "2024-02-15"}
    table = lire_les_releves(depot, **demande)

    assert servis(depot)
    assert table.equals(lire_les_releves(depot, "api", **demande))
    assert "sources" not in fiche(table)


def test_un_interet_inverse_se_lit_a_l_api(depot: Bourse) -> None:
    demande = {**INTERET, "symbole": "BTC/USD:BTC", "date_debut": "2024-02-14", "date_fin": "2024-02-15"}

    assert lire_les_releves(depot, **demande).equals(lire_les_releves(depot, "api", **demande))
    assert depot.compter("/archives") == 0


def test_un_hote_injoignable_ne_fait_pas_dire_qu_un_jour_n_existe_pas(depot: Bourse) -> None:
    """Ce qu'il aurait dit est un échec, à redemander ; l'API donne ce qu'elle sert encore."""
    with socket.socket() as prise:
        prise.bind(("127.0.0.1", 0))
        port = prise.getsockname()[1]
    ferme = options(depot)["config_ccxt"]
    ferme = {**ferme, "urls": {**ferme["urls"], "archives": f"http://127.0.0.1:{port}"}}
    bornes = {"date_debut": "2024-02-05", "date_fin": "2024-02-09"}
    with pytest.warns(UserWarning, match="echec"):
        table = lire_les_releves(depot, **{**INTERET, "timeframe": "1h"}, **bornes, config_ccxt=ferme)

    assert lignes_de(table) == vrais(depot, 60 * MINUTE_MS, "2024-02-07T13:00Z", "2024-02-09")
    trous = [tuple(trou.values()) for trou in fiche(table)["trous"]]
    assert trous == [("2024-02-05T00:00Z", "2024-02-07T13:00Z", "echec")]


def test_la_simulation_ne_chiffre_que_l_api_pour_un_releve(depot: Bourse, capsys: pytest.CaptureFixture[str]) -> None:
    mots = [
        "--symbole", "BTC/USDT:USDT", "--donnee", "open_interest", "--timeframe", "1h", "--date-debut", "2024-02-20",
        "--date-fin", "2024-02-22", "--source", "archives", "--simulation",
        "--config-ccxt", json.dumps(options(depot)["config_ccxt"]),
    ]  # fmt: skip
    assert module.principal(mots) == 0
    assert "« open_interest » n'est pas chiffré par les archives" in capsys.readouterr().out


def test_les_releves_d_un_miroir(depot: Bourse, tmp_path: Path) -> None:
    """Un jour qui va de 00:05 à minuit, comme ceux d'avant 2026 : minuit est dans le fichier de la veille."""
    for jour in ("2024-01-09", "2024-01-10"):
        lus = vrais(depot, 5 * MINUTE_MS, jour, module.en_iso(lire_instant(jour, 0) + JOUR_MS + 5 * MINUTE_MS))[1:]
        lignes = [
            f"{datetime.fromtimestamp(t / 1000, UTC):%Y-%m-%d %H:%M:%S},BTCUSDT,{v},{2 * v},,,,\n" for t, v in lus
        ]
        chemin = tmp_path / f"miroir/data/futures/um/daily/metrics/BTCUSDT/BTCUSDT-metrics-{jour}.zip"
        chemin.parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(chemin, "w") as archive:
            entete = "create_time,symbol,sum_open_interest,sum_open_interest_value,a,b,c,d\n"
            archive.writestr("a.csv", entete + "".join(ligne * 2 for ligne in lignes))
        somme = hashlib.sha256(chemin.read_bytes()).hexdigest()
        chemin.with_name(f"{chemin.name}.CHECKSUM").write_text(f"{somme}  {chemin.name}\n")
    ici = options(depot)["config_ccxt"]
    ici = {**ici, "urls": {**ici["urls"], "archives": (tmp_path / "miroir").as_uri()}}
    bornes = {"date_debut": "2024-01-10", "date_fin": "2024-01-11"}
    table = lire_les_releves(depot, **INTERET, **bornes, config_ccxt=ici)

    assert lignes_de(table) == vrais(depot, 5 * MINUTE_MS, *bornes.values())
    assert fiche(table)["trous"] == []
    assert depot.compter("/archives") == 0


ENTETE_DE_TRADES = "agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker\n"


def zip_de_trades(chemin: Path, *lignes: str, entete: str = "") -> Path:
    with zipfile.ZipFile(chemin, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("t.csv", entete + "".join(lignes))
    return chemin


@pytest.mark.parametrize("entete", ["", ENTETE_DE_TRADES])
@pytest.mark.parametrize("bloc", [7, 64, 200, 1 << 20])
def test_les_blocs_d_un_fichier_de_trades_n_en_coupent_aucun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, entete: str, bloc: int
) -> None:
    monkeypatch.setattr(fichiers_publics, "BLOC_CSV", bloc + len(ENTETE_DE_TRADES))  # une ligne y tient toujours
    lignes = [f"{n},{'9' * (n % 7 + 1)}.5,0.{n + 1},1,1,{1_704_067_200_000 + n},true\n" for n in range(60)]
    with zip_de_trades(tmp_path / "t.zip", *lignes[:-1], lignes[-1].rstrip("\n"), entete=entete).open("rb") as fichier:
        lus = pa.concat_tables(fichiers_publics.lire_trades(fichier)).to_pydict()
    assert lus["id"] == list(range(60))
    assert lus["price"] == [f"{'9' * (n % 7 + 1)}.5" for n in range(60)]
    assert lus["timestamp"] == [1_704_067_200_000 + n for n in range(60)]


@pytest.mark.parametrize("rang", [0, 1, 20, 39])
def test_un_en_tete_n_est_qu_en_tete(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rang: int) -> None:
    """Ailleurs, une ligne qui n'est pas un trade écarte le fichier, fût-elle la première de son bloc."""
    monkeypatch.setattr(fichiers_publics, "BLOC_CSV", 100)
    lignes = [f"{n},1.5,0.1,1,1,{1_704_067_200_000 + n},true\n" for n in range(40)]
    lignes.insert(rang, "x,1.5,0.1,1,1,1704067200000,true\n")
    with zip_de_trades(tmp_path / "t.zip", *lignes).open("rb") as fichier:
        if not rang:
            assert sum(lot.num_rows for lot in fichiers_publics.lire_trades(fichier)) == 40
            return
        with pytest.raises(Ecarte):
            list(fichiers_publics.lire_trades(fichier))


def test_une_ligne_sans_fin_n_emplit_pas_la_memoire(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fichiers_publics, "BLOC_CSV", 1000)
    with (
        zip_de_trades(tmp_path / "t.zip", "1" * 10_000_000).open("rb") as fichier,
        pytest.raises(Ecarte, match="une ligne n'y finit pas"),
    ):
        list(fichiers_publics.lire_trades(fichier))


def test_une_seule_bougie_sans_fin_de_ligne_se_lit(tmp_path: Path) -> None:
    """Le fichier d'un jour en 1d n'a qu'une ligne."""
    ligne = "1704844800000,1,2,0.5,1.5,10,1704931199999,15,3,1,2,0"
    with zip_de_trades(tmp_path / "t.zip", ligne).open("rb") as fichier:
        assert fichiers_publics.lire_bougies(fichier, Timeframe.lire("1d"), "last", 5)["close"].to_pylist() == [1.5]


def test_auto_compare_des_couts_de_trades(depot: Bourse) -> None:
    """D'un jour chargé, un vingtième suffit pour que son fichier coûte moins que les pages de l'API ; moins, non."""
    fichier = ["BTCUSDT-aggTrades-2024-01-10"]
    for fin, attendus in (("2024-01-10T12:02Z", []), ("2024-01-10T18:00Z", fichier)):
        depot.requetes.clear()
        lire_les_trades(depot, "auto", date_debut="2024-01-10T12:00Z", date_fin=fin)
        assert servis(depot) == attendus


@pytest.mark.parametrize(
    "cle",
    [
        "spot/daily/klines/BTCUSDT/1h/BTCUSDT-1h-2024-01-10",
        "spot/daily/aggTrades/BTCUSDT/BTCUSDT-aggTrades-2024-01-10",
        "futures/cm/monthly/fundingRate/BTCUSD_PERP/BTCUSD_PERP-fundingRate-2024-01",
        "futures/um/daily/metrics/BTCUSDT/BTCUSDT-metrics-2024-01-10",
    ],
)
def test_chaque_defaut_en_est_un_pour_chaque_genre(cle: str) -> None:
    """L'exchange embarqué sert un fichier abîmé, jamais une erreur à lui : elle ne vaudrait pas le défaut."""
    bourse = Bourse(("binance",), Marche(taux_vide=0.9), maintenant_ms=MAINTENANT)
    protocole: Any = bourse.protocoles["binance"]
    fichier = protocole.archives._trouver(f"data/{cle}.zip")
    intact = protocole.archives.texte(fichier)
    changes = set()
    for nature in NATURES_ARCHIVE:
        bourse.pannes.vider()
        bourse.pannes.ajouter(Panne(nature))
        changes |= {nature} if protocole.archives.texte(fichier) != intact else set()

    assert changes >= {"arch_trou", "arch_court", "arch_doublons", "arch_desordre", "arch_faux", "arch_hors_grille"}


@pytest.mark.parametrize("source", ["api", "archives"])
@pytest.mark.parametrize("timeframe", ["8h", "1d", "1w", "1M"])
def test_des_annees_d_un_inverse_se_lisent(depot: Bourse, source: str, timeframe: str) -> None:
    """L'API y refuse plus de 200 jours à la fois, que la page entière d'un timeframe long dépasse."""
    bornes = {"date_debut": "2022-01-01", "date_fin": "2024-02-01"}
    table = lire(depot, source, symbole="BTC/USD:BTC", timeframe=timeframe, **bornes)

    grille = Timeframe.lire(timeframe)
    premiere, fin = grille.plafond(lire_instant("2022-01-01", 0)), lire_instant("2024-02-01", 0)
    assert table.num_rows == grille.compter(premiere, grille.plafond(fin))
    assert fiche(table)["trous"] == []
    assert [r for r in depot.requetes if r.code >= 400 and "lines" in r.chemin and "/archives" not in r.chemin] == []
