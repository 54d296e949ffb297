"""bybit : une adresse par catégorie ; un contrat inverse y vaut un dollar quelle que soit la base."""

from bourse_locale.marche import contrats, jeu
from bourse_locale.serveur import enregistrer

enregistrer(__name__, "Bybit", "FluxBybit", [*jeu(("USDT", "USDC")), *contrats(1.0, 1.0)])
