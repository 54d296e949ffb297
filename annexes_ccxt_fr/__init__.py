"""Ce qui sert autour du collecteur, une idée par fichier ; le module les charge au premier usage.

- `verification` : dire ce qui ne va pas d'une sortie, relire ce qui y manque ;
- `controle` : le verdict, ligne à ligne, puis de la fiche ;
- `agregation` : des tables de trades aux bougies ;
- `bougies_plates` : reporter une clôture sur les minutes sans trade ;
- `simulation` : dire ce qu'une tâche ferait ;
- `plan` : un fichier YAML de tâches, lu et contrôlé ;
- `lot` : son exécution ;
- `parc` : ce que partagent les connexions de plusieurs tâches ;
- `bilans` : la ligne finale d'une exécution, son bilan JSON ;
- `cluster` : un lot sur un cluster Dask ;
- `metriques` : le compte rendu d'un lot pour Prometheus ;
- `histoires` : trades, funding, intérêt ouvert, par REST ;
- `noms_d_avant` : continuer un fichier au nom qu'il avait d'office ;
- `parties` : une tâche de plusieurs timeframes ;
- `portees` : jusqu'où remontent les bougies d'un exchange, d'après ce qu'on en sait ;
- `par_les_trades` : proposer les trades là où les bougies ne remontent plus ;
- `rapport` : une page à regarder ;
- `progression` : dire où l'on en est ;
- `hors_ligne` : l'exchange embarqué à la place du vrai ;
- `menage` : ôter ce que des exécutions tuées ont laissé ;
- `place` : la taille d'un fichier, et s'il tiendra sur le disque ;
- `remarques` : dire d'une demande ce qui n'y change rien, ou pas ce qu'on en attend ;
- `causes` : dire en français quelle panne ccxt a vue, ce que le disque ou SQLite refuse ;
- `traces` : ce que le journal dit de chaque requête, en `debug` ;
- `pauses` : ce qu'une exécution laisse à la suivante des limites d'un exchange ;
- `fenetres` : d'un trait ce que la fenêtre d'un exchange admet, au lieu du goutte-à-goutte ;
- `listes` : ce que `--lister` montre ;
- `suggestions` : ce qu'un mot mal écrit voulait dire ;
- `initier` : écrire un premier lot commenté et un `.env` ;
- `depot` : les fichiers publics d'un exchange comme source ;
- `archives` : y lire ce que l'API confirme ;
- `fichiers_publics` : lire un de leurs CSV ;
- `voies` : paginer une histoire, famille d'exchanges par famille ;
- `carnets` : les trames de carnet perdues, là où leur classe ne les voit pas, ou les perd elle-même ;
- `corps` : ne pas lire sans fin le corps d'une réponse ;
- `corrections` : ce que quelques classes de ccxt lisent de travers ;
- `configuration` : contrôler `config_ccxt` et `params`, lire un `@fichier` ;
- `colonnes` : lire une page de bougies deux fois plus vite ;
- `types_de_marche` : ne demander que les listes de marchés utiles ;
- `paquets` : importer une classe de ccxt sans les cent autres ;
- `vitesse` : ni pandas, ni ramasse-miettes là où rien n'est à jeter ; une écriture, un marché rangé au lieu de cent ;
- `lecture_brute` : lire une sortie telle qu'elle est ;
- `remise_en_ordre` : en ôter ce qui ne peut être vrai, dire ce qui manque ;
- `mises_de_cote` : continuer sans une sortie illisible, ou ôtée ;
- `origines` : séparer le réel de ce qui ne l'est pas ;
- `fichiers_etrangers` : dire ce qu'est un fichier qui n'est pas le nôtre ;
- `octets_douteux` : lire à part un fichier sans sceau, un journal d'avant ; ce qui reste d'un fichier scellé ;
- `reperage` : aller droit à une place d'un fichier, au lieu de le lire du début ;
- `grappes` : redemander d'un trait des manques qui se suivent ;
- `queues` : lire en une passe les dernières lignes de beaucoup de séries ;
- `tenants` : nommer les programmes qui tiennent un fichier.

Une annexe importe `module_ccxt_fr_v2` ; lui n'en importe aucune, sauf par `annexe()`. Un nom privé (`_…`) ne sort pas
de son fichier.
"""
