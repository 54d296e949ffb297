"""Ce qui sert autour du module, une idée par fichier ; il ne l'importe qu'au moment où une option le demande."""
