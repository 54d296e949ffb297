"""Ce qui sert autour du collecteur, une idée par fichier ; le module les charge au premier usage.

- `verification` : contrôler une sortie, la réparer ;
- `agregation` : des tables de trades aux bougies ;
- `simulation` : dire ce qu'une tâche ferait ;
- `lot` : un fichier YAML de tâches, son plan, son exécution ;
- `cluster` : un lot sur un cluster Dask ;
- `metriques` : le compte rendu d'un lot pour Prometheus ;
- `histoires` : trades, funding, intérêt ouvert, par REST ;
- `rapport` : une page à regarder ;
- `remise_en_ordre` : lire une sortie telle qu'elle est, en ôter ce qui ne peut être vrai ;
- `octets_douteux` : lire à part un fichier sans sceau, un journal de reprise d'une version d'avant.

Une annexe importe `module_ccxt_fr_v2` ; lui n'en importe aucune, sauf par `annexe()`. Un nom privé (`_…`) ne sort pas
de son fichier.
"""
