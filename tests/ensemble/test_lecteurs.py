"""Nos fichiers dans d'autres mains : chaque outil y lit chaque cellule, et ce qu'il récrit se continue."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest
from sorties_modeles import creer, fiche

import module_ccxt_fr_v2 as m

if TYPE_CHECKING:
    from types import ModuleType

BANC = Path(__file__).parents[2] / "bancs" / "lecteurs.py"
LIGNES = 120


def charger() -> ModuleType:
    """Le banc, qui n'est pas un paquet."""
    annonce = importlib.util.spec_from_file_location("banc_lecteurs", BANC)
    assert annonce is not None
    assert annonce.loader is not None
    module = importlib.util.module_from_spec(annonce)
    sys.modules["banc_lecteurs"] = module
    annonce.loader.exec_module(module)
    return module


banc = charger()
PRESENTS = {nom: lu for nom, lu in banc.LECTEURS.items() if not lu.paquet or importlib.util.find_spec(lu.paquet)}
LECTURES = [(nom, format_, type_) for nom, lu in PRESENTS.items() for format_ in lu.formats for type_ in banc.TYPES]
# Une colonne d'entiers à vides (les nonces) et des niveaux : le carnet éprouve le plus ; en CSV, tous les types.
RECRITURES = [
    (outil, format_, nom)
    for outil, format_, nom in LECTURES
    if PRESENTS[outil].recrire and (format_ == "csv" or (format_ != "sqlite" and nom == "orderbook"))
]

# Ce qui n'est pas rendu tel quel, et que docs/lecteurs.md dit.
RESERVES = {
    ("pandas", "csv", "trades"): {"id": "en int"},
    ("polars", "csv", "trades"): {"id": "en int"},
    ("DuckDB", "csv", "trades"): {"id": "en int"},
    ("pyarrow.dataset", "csv", "trades"): {"id": "en int", "side": "texte vide au lieu d'absent"},
    ("fastparquet", "parquet", "orderbook"): {"bids": "vide", "asks": "vide"},
}


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # fastparquet laisse son fichier ouvert
@pytest.mark.parametrize(("lecteur", "format_", "nom"), LECTURES)
def test_un_lecteur_rend_chaque_cellule(tmp_path: Path, lecteur: str, format_: str, nom: str) -> None:
    """Pyarrow et sqlite3 toujours ; pandas, polars, DuckDB et fastparquet s'ils sont là (extra `lecteurs`)."""
    chemin, table = banc.ecrire(tmp_path, nom, banc.EXTENSIONS[format_], LIGNES)
    lues = banc.LECTEURS[lecteur].lire(chemin, nom)
    assert len(lues["timestamp"]) == LIGNES
    assert banc.ecarts(lues, table) == RESERVES.get((lecteur, format_, nom), {})


@pytest.mark.parametrize(("outil", "format_", "nom"), RECRITURES)
def test_un_fichier_recrit_se_verifie_et_se_continue(tmp_path: Path, outil: str, format_: str, nom: str) -> None:
    """Lu et récrit par l'outil, fiche perdue : aucune faute ; la suite s'y ajoute, et tout est là."""
    chemin, table = banc.ecrire(tmp_path, nom, banc.EXTENSIONS[format_], LIGNES)
    banc.LECTEURS[outil].recrire(chemin)
    chemin.with_name(f"{chemin.name}.fiche.json").unlink(missing_ok=True)
    rapport = m.verifier(chemin)
    assert rapport.code == 0, rapport.constats
    donnee, cle = m.TYPES[nom], banc._cle_de(table)
    toutes = banc.vraies(nom, 2 * LIGNES)
    suite = toutes.slice(LIGNES)
    ecrivain = creer(chemin, donnee)
    ecrivain.controler([cle])
    with ecrivain:
        instants = m.instants_de(suite)
        ecrivain.ecrire(m.Lot(cle, suite, [(instants[0], instants[-1] + 1)], []), fiche(cle))
        ecrivain.finir()
    assert m.lire(chemin).replace_schema_metadata({}).equals(toutes.replace_schema_metadata({}))
    assert m.verifier(chemin).code == 0


def test_un_ecart_se_voit() -> None:
    """Le comparateur n'est pas aveugle : une valeur, une colonne ou un instant changés sont dits."""
    table = banc.vraies("ohlcv", 10)
    justes = table.to_pydict()
    assert banc.ecarts(justes, table) == {}
    *debut, dernier = justes["close"]
    autres = {**justes, "close": [*debut, dernier + 1e-9], "timestamp": justes["timestamp"][::-1]}
    del autres["volume"]
    assert banc.ecarts(autres, table) == {"timestamp": "fausse", "close": "fausse", "volume": "absente"}
    carnets = banc.vraies("orderbook", 10)
    vides = {**carnets.to_pydict(), "bids": [None] * 10}
    assert banc.ecarts(vides, carnets) == {"bids": "vide"}
    assert isinstance(carnets["bids"].type, pa.ListType)
