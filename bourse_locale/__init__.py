"""Une bourse embarquée : de vrais protocoles d'exchange sur la boucle locale, servis aux vraies classes ccxt.

`async with Bourse(("binance",)) as bourse:` puis `ccxt.async_support.binance(bourse.config_ccxt("binance"))`, ou
`ccxt.pro.binance` de la même façon : le WebSocket dit ce que le REST dira.
À la main : `python -m bourse_locale --port 8000`.
"""

from importlib import import_module
from pkgutil import iter_modules

from bourse_locale.marche import Bougie, Instrument, Marche, Trade
from bourse_locale.pannes import Panne
from bourse_locale.serveur import PROTOCOLES, Bourse

__all__ = ["PROTOCOLES", "Bougie", "Bourse", "Instrument", "Marche", "Panne", "Trade"]

# Ajouter un exchange : un dossier ici, son `rest.py`, son `flux.py`, et un `__init__.py` qui l'enregistre.
for _module in iter_modules(__path__):
    if _module.ispkg:
        import_module(f"{__name__}.{_module.name}")
