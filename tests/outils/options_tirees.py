"""Des options valides tirées au hasard, et leur écriture en drapeaux : pour comparer les trois façons de les donner."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

from hypothesis import strategies as st

import module_ccxt_fr_v2 as module

# PyYAML écrit U+0085 dans une clé sans l'échapper, et y relit une espace.
CLES = st.text(st.characters(exclude_characters="\x85", exclude_categories=["Cs"]), max_size=4)
VALEURS: dict[str, st.SearchStrategy[Any]] = {
    "exchange": st.sampled_from(["binance", "okx", "kraken"]),
    "type_marche": st.sampled_from(module.TYPES_MARCHE),
    "sous_type": st.sampled_from(module.SOUS_TYPES),
    "mode_marge": st.sampled_from(module.MODES_MARGE),
    "timeframe": st.sampled_from(["1m", "4h", "1d", "1w", "1M"]),
    "prix_ohlcv": st.sampled_from(module.PRIX),
    "date_debut": st.integers(1_500_000_000_000, 1_600_000_000_000),
    "date_fin": st.dates(dt.date(2021, 1, 1), dt.date(2030, 1, 1)),
    "inclure_bougie_courante": st.booleans(),
    "source": st.sampled_from(module.SOURCES),
    "relecture": st.integers(0, 10_000),
    "grace": st.floats(0, 86_400),
    "duree": st.floats(0, 1e6),
    "flush": st.integers(1, 5000),
    "profondeur": st.integers(1, 5000),
    "bougies_vides": st.sampled_from(module.BOUGIES_VIDES),
    "silence": st.floats(0, 1e6),
    "limite": st.integers(1, 5000),
    "concurrence": st.integers(1, 64),
    "essais": st.integers(1, 100),
    "timeout": st.integers(1, 100_000),
    "proxy": st.just("https://h:1"),
    "format": st.sampled_from(sorted(module.ECRIVAINS)),
    "sortie": st.sampled_from(["a", "d/é è", "-x"]),
    "sqlite_table": st.from_regex(r"\A[A-Za-z_][A-Za-z0-9_]{0,20}\Z"),
    "sandbox": st.booleans(),
    "hors_ligne": st.booleans(),
    "options": st.dictionaries(CLES, st.integers() | st.text(max_size=4) | st.none(), max_size=3),
    "params": st.dictionaries(CLES, st.lists(st.booleans(), max_size=2), max_size=3),
    "config_ccxt": st.dictionaries(CLES, st.dictionaries(CLES, st.floats(0, 1)), max_size=2),
}
SYMBOLES = st.lists(st.sampled_from(["BTC/USDT", "ETH/USDT:USDT", "1000SHIB/USDT"]), min_size=1, unique=True)


def en_drapeaux(options: dict[str, Any]) -> list[str]:
    """Les mêmes options, écrites comme on les tape."""
    mots: list[str] = []
    for nom, valeur in options.items():
        if isinstance(valeur, bool):
            mots += [module.drapeau(nom)] if valeur else []
        elif isinstance(valeur, dict):
            mots += [module.drapeau(nom), json.dumps(valeur)]
        elif isinstance(valeur, list):
            mots += [module.drapeau(nom), ",".join(valeur)]
        else:
            mots.append(f"{module.drapeau(nom)}={valeur}")
    return mots
