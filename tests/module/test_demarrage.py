"""Le démarrage : la seule classe demandée est importée, et personne d'autre dans le processus ne le voit."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from attente import PLAFOND_S

import module_ccxt_fr_v2 as m

RACINE = Path(__file__).resolve().parents[2]


def dans_un_processus(code: str) -> Any:
    """Exécute du code dans un processus neuf ; rend l'objet JSON de sa dernière ligne."""
    entete = f"import sys, json; sys.path.insert(0, {str(RACINE)!r})\n"
    fini = subprocess.run(
        [sys.executable, "-c", entete + code], capture_output=True, text=True, check=True, timeout=PLAFOND_S
    )
    return json.loads(fini.stdout.splitlines()[-1])


# Ce qu'un autre code voit de ccxt : les noms des trois paquets, et ce que chacun désigne.
DECRIRE = """
def decrire():
    import ccxt.pro, re
    return {
        paquet.__name__: {nom: re.sub(" at 0x[0-9a-f]+", "", repr(objet))
                          for nom, objet in vars(paquet).items() if nom != "__builtins__"}
        for paquet in (ccxt, ccxt.async_support, ccxt.pro)
    }
"""
CHARGER = "import module_ccxt_fr_v2 as m\nm._classe('gateeu')\n"


def test_une_seule_classe_est_importee() -> None:
    """Celle de gateeu et ses parentes, REST et flux ; ni les cent autres, ni les paquets eux-mêmes."""
    code = CHARGER + "print(json.dumps(sorted(n for n in sys.modules if n.count('.') < 3 and n.startswith('ccxt.'))))"
    charges = dans_un_processus(code)
    assert {"ccxt.pro.gateeu", "ccxt.pro.gate", "ccxt.async_support.gate"} <= set(charges)
    assert not {"ccxt.pro.okx", "ccxt.async_support.okx", "ccxt.okx", "ccxt.binance"} & set(charges)


def test_aucun_autre_code_ne_voit_la_difference() -> None:
    """Après nous, ccxt, ccxt.async_support et ccxt.pro ont les mêmes noms, les mêmes objets, les mêmes types."""
    seul = dans_un_processus(DECRIRE + "print(json.dumps(decrire()))")
    assert len(seul["ccxt"]) > 150
    assert dans_un_processus(CHARGER + DECRIRE + "print(json.dumps(decrire()))") == seul


@pytest.mark.parametrize(
    "acces",
    [
        "from ccxt import okx, exchanges; vu = (okx.__module__, len(exchanges) > 90)",
        "import ccxt.pro; vu = (ccxt.pro.okx.__module__, len(ccxt.pro.exchanges) > 70)",
        "import ccxt; vu = (ccxt.okx.__module__, 'kraken' in dir(ccxt))",
        "import ccxt; ccxt.neuf = 1; vu = (ccxt.okx.__module__, ccxt.neuf == 1)",
        "import ccxt, importlib; importlib.reload(ccxt); vu = (ccxt.okx.__module__, True)",
    ],
)
def test_chaque_acces_rend_le_paquet_ordinaire(acces: str) -> None:
    """Lu, parcouru, modifié ou relu : le paquet est celui que ccxt définit, et les classes n'y sont pas doublées."""
    code = CHARGER + acces + "\nimport ccxt.pro\n" + (
        "import ccxt.async_support as s\n"
        "print(json.dumps([vu, type(ccxt).__name__, s.gate in m._classe('gateeu').__mro__]))"
    )
    vu, genre, meme = dans_un_processus(code)
    assert vu[0] in ("ccxt.okx", "ccxt.pro.okx")
    assert (vu[1], genre, meme) == (True, "module", True)


def test_un_module_remis_a_plus_tard_ne_s_importe_qu_une_fois(monkeypatch: pytest.MonkeyPatch) -> None:
    """Une annexe qui en a pris le nom avant lui (`pc` de `controle.py`) ne le recherche pas à chaque emploi."""
    importes: list[str] = []

    def importer(nom: str, _usage: str) -> Any:
        importes.append(nom)
        return json

    monkeypatch.setattr(m, "importer", importer)
    plus_tard = m._ModuleParesseux("json")
    assert not importes
    assert plus_tard.loads(plus_tard.dumps([1])) == [1]
    assert importes == ["json"]


def test_ccxt_deja_importe_reste_tel_quel() -> None:
    """Un paquet que quelqu'un a importé avant nous n'est pas touché, et nos classes dérivent des siennes."""
    code = (
        "import ccxt.async_support as avant\ncopie = dict(vars(avant))\n" + CHARGER + "import ccxt\n"
        "print(json.dumps([vars(avant) == copie, avant.gate in m._classe('gateeu').__mro__, type(avant).__name__]))"
    )
    assert dans_un_processus(code) == [True, True, "module"]


def test_toutes_les_classes_se_chargent_sans_executer_les_paquets() -> None:
    """Celles de ccxt, et elles seules : les mêmes que les listes des paquets, trouvées une à une."""
    code = """
import pkgutil, importlib.util
import module_ccxt_fr_v2 as m
dossier = importlib.util.find_spec("ccxt").submodule_search_locations[0]
noms = [n for p in ("async_support", "pro") for _, n, _ in pkgutil.iter_modules([dossier + "/" + p])]
trouvees = {p: sorted({n for n in noms + ["base", "__init__", "a.b", ""] if m._classe_de_ccxt("ccxt." + p, n)})
            for p in ("async_support", "pro")}
genres = [type(sys.modules[n]).__name__ for n in ("ccxt", "ccxt.async_support", "ccxt.pro")]
import ccxt.pro
listes = {"async_support": sorted(ccxt.async_support.exchanges), "pro": sorted(ccxt.pro.exchanges)}
print(json.dumps({"genres": genres, "ecarts": [p for p in listes if listes[p] != trouvees[p]]}))
"""
    assert dans_un_processus(code) == {"genres": ["PaquetDiffere"] * 3, "ecarts": []}


COMMANDE = """
import module_ccxt_fr_v2 as m

vues = []
m._sous_signaux = lambda commande: commande.close() or vues.append(m.pa.default_memory_pool().backend_name) or []
m.principal(["--exchange", "binance", "--symbols", "BTC/USDT", *MOTS])
print(json.dumps(vues))
"""


@pytest.mark.parametrize(("mots", "attendue"), [(["--stream", "trades"], {"system"}), ([], {"mimalloc", "jemalloc"})])
def test_un_flux_seul_change_la_reserve_d_arrow(mots: list[str], attendue: set[str]) -> None:
    """Celle d'office garde ce que les fontes d'un flux ont pris ; pour un téléchargement, elle est la plus rapide."""
    (vue,) = dans_un_processus(f"MOTS = {mots}\n{COMMANDE}")
    assert vue in attendue
