"""Ce qui sert autour du module : une idée par fichier, importée seulement quand une option la demande."""
