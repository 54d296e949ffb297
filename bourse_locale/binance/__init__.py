"""binance : au comptant, contrats en USDT, contrats inverses ; ses fichiers publics."""

from bourse_locale.marche import contrats, jeu
from bourse_locale.serveur import enregistrer

enregistrer(__name__, "Binance", "FluxBinance", [*jeu(("USDT", "USDC")), *contrats(1.0, 100.0)])
