"""okx : les quantités en contrats, des bougies à l'heure de Hong Kong."""

from bourse_locale.marche import contrats, jeu
from bourse_locale.serveur import enregistrer

enregistrer(__name__, "Okx", "FluxOkx", [*jeu(("USDT", "USDC")), *contrats(0.01, 100.0)])
