"""kraken : au comptant, 720 bougies et tous les trades ; le rejeu de ce qui en fut enregistré."""

from bourse_locale.marche import jeu
from bourse_locale.serveur import enregistrer

enregistrer(__name__, "Kraken", "FluxKraken", jeu(("USD", "USDT", "EUR")))
