"""Un fichier YAML de tâches, lu et contrôlé tout entier : du texte à un `Plan`, toutes ses fautes à la fois.

`ArbreYaml` en fait un arbre dont chaque nœud sait sa ligne ; `LecteurDePlan`, des tâches ; `Releve` garde les fautes.
"""

from __future__ import annotations

import collections
import dataclasses
import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path, PurePath
from types import MappingProxyType
from typing import Any, NamedTuple

from annexes_ccxt_fr.configuration import lire_texte_utf8
from annexes_ccxt_fr.hors_ligne import module_embarque
from annexes_ccxt_fr.parties import en_une_passe
from module_ccxt_fr_v2 import (
    DOSSIER_SORTIES,
    FLUX,
    NIVEAUX,
    Connexion,
    DependanceAbsente,
    ErreurDemande,
    Faute,
    Reglages,
    Tache,
    de,
    duree_lisible,
    fautes_ensemble,
    format_du_chemin,
    importer,
    journal,
    lire_chemin_html,
    lire_dossier,
    lire_env,
    lire_objet_ou_fichier,
    lire_texte,
    lire_valeurs,
    noms_options,
    option,
    proches,
    refus_de_demande,
    reglages_de,
)

MODES = ("rest", "stream")


def lire_nom(valeur: Any) -> str:
    """Le nom d'une tâche de lot : une ligne, sans virgule, puisque --taches les sépare ainsi."""
    nom = lire_texte(valeur)
    if "," in nom or "$" in nom or not nom.isprintable():
        raise ValueError("un nom de tâche tient sur une ligne, sans virgule ni « $ »")
    return nom


@dataclass(frozen=True, kw_only=True)
class OptionsTacheDeLot:
    """Ce qu'une tâche de lot dit de plus qu'une tâche."""

    name: str | None = option(lire=lire_nom, groupe="lot", valeur="NOM",
        aide="nom de la tâche, unique dans le fichier")
    mode: str | None = option(choix=MODES, groupe="lot", defaut_aide="stream si un flux est demandé, sinon rest",
        aide="historique ou flux")
    output_dir: Path = option(DOSSIER_SORTIES, lire=lire_dossier, groupe="lot", valeur="DOSSIER",
        aide="dossier des tâches sans sortie")
    rapport: Path | None = option(lire=lire_chemin_html, groupe="lot", valeur="CHEMIN",
        aide="page .html de la tâche ; la même pour plusieurs tâches les réunit")
    journal: str | None = option(choix=NIVEAUX, groupe="lot", defaut_aide="celui de la commande",
        aide="niveau du journal de la tâche")


VERSION_PLAN = 1
LIBRE = "x-"  # une clé qui commence ainsi est à qui écrit le fichier : des ancres, des notes
CLES_EN_FRANCAIS = {"taches": "tasks", "tâches": "tasks"}  # trop loin de la vraie pour que l'orthographe la trouve
PAS_DE_TACHE = "tasks : une liste d'au moins une tâche est attendue, chacune commençant par « - name: »"
VARIABLE_ABSENTE = "la variable d'environnement « {} » n'est ni définie, ni dans le .env à côté du lot"
NOEUDS_MAX = 500_000  # alias développés ; un fichier de mille tâches en a trente mille
_VARIABLE = re.compile(r"\$\{([^}]*)\}")


# Ce que PyYAML dit en anglais, au plus près de la cause ; le premier motif qui convient l'emporte.
_FAUTES_YAML = (
    (r"found character '\\t'", "une tabulation : YAML s'indente avec des espaces"),
    (r"found character '(.+)' that cannot start", r"« \1 » ne peut commencer une valeur : mettez-la entre guillemets"),
    (r"mapping values are not allowed", "un « : » inattendu : alignez la clé, ou mettez la valeur entre guillemets"),
    (r"could not find expected ':'", "il manque « : » après une clé"),
    (r"expected ',' or '\]'", "une liste « [ » n'est pas fermée"),
    (r"expected ',' or '\}'", "un dictionnaire « { » n'est pas fermé"),
    (r"unexpected end of stream", "un guillemet n'est pas fermé"),
    (r"undefined alias '(.+?)'", r"l'alias « *\1 » ne renvoie à aucune ancre"),
    (r"duplicate anchor '(.+?)'", r"l'ancre « &\1 » est posée deux fois"),
    (r"another document", "un second document (« --- ») : un lot n'en a qu'un"),
    (r"unacceptable character", "un caractère de contrôle"),
    (r"cannot represent", "une valeur Python qui n'a pas d'écriture en YAML"),
    (r"expected <block end>|expected the node content", "une indentation incohérente, ou un tiret mal placé"),
    (r"", "le YAML ne se lit pas ici"),
)


@dataclass(frozen=True)
class TacheDeLot:
    """Une tâche d'un lot : son nom, ce qu'elle fait, où vont ses fichiers sans `sortie`, et où elle est écrite."""

    nom: str
    tache: Tache
    dossier: Path
    ou: str  # dans le fichier : « tâche « x » »
    ligne: int | None
    groupe: str = ""  # le nom écrit dans le fichier, commun aux timeframes d'une tâche qui en a plusieurs
    rapport: Path | None = None
    journal: str | None = None

    @property
    def sans_fin(self) -> bool:
        """Vrai pour un flux sans durée."""
        return self.tache.stream is not None and self.tache.duree is None

    @property
    def resume(self) -> str:
        """Ce que suit un flux, et combien de temps ; pour une tâche que rien ne permet d'estimer."""
        duree = "sans fin" if self.tache.duree is None else duree_lisible(self.tache.duree)
        return f"flux {self.tache.stream} {de(', '.join(self.tache.demandes))}, {duree}"

    def reglee(self, *, hors_ligne: bool, duree_max: float | None) -> TacheDeLot:
        """La même tâche, hors ligne, ou son flux plafonné."""
        duree = self.tache.duree
        if self.tache.stream is not None and duree_max is not None:
            duree = duree_max if duree is None else min(duree, duree_max)
        hors_ligne = hors_ligne or self.tache.hors_ligne
        return dataclasses.replace(self, tache=dataclasses.replace(self.tache, duree=duree, hors_ligne=hors_ligne))


@dataclass(frozen=True)
class Plan:
    """Un lot lu et contrôlé : ses tâches, dans l'ordre du fichier ; ses chemins relatifs le sont à `dossier`."""

    nom: str
    dossier: Path
    taches: tuple[TacheDeLot, ...]
    fichier: Path | None = None
    noms: tuple[str, ...] = ()  # toutes ses tâches, même quand on n'en garde que quelques-unes

    def choisir(self, noms: Sequence[str]) -> Plan:
        """Les tâches de ces noms, dans l'ordre du fichier (toutes sans noms) ; ErreurDemande si l'un n'y est pas."""
        inconnus = [nom for nom in noms if nom not in self.noms]
        if inconnus:
            phrase = f"--taches : « {{}} » n'est pas dans {self.nom} (ses tâches : {', '.join(self.noms)}). {{}}"
            raise ErreurDemande("\n".join(phrase.format(n, self._proche(n)).strip() for n in inconnus))
        return dataclasses.replace(self, taches=tuple(p for p in self.taches if not noms or p.groupe in noms))

    def _proche(self, nom: str) -> str:
        """Le nom à donner à la place ; le tableau montre « b [1h] » là où la tâche s'appelle « b »."""
        ecrit = nom.rpartition(" [")[0]
        return f"Vouliez-vous dire « {ecrit} » ?" if ecrit in self.noms else proches(nom, self.noms, 1)

    def regler(self, *, hors_ligne: bool, duree_max: float | None) -> Plan:
        """Le même plan, hors ligne ou aux flux plafonnés."""
        reglees = (planifiee.reglee(hors_ligne=hors_ligne, duree_max=duree_max) for planifiee in self.taches)
        return dataclasses.replace(self, taches=tuple(reglees))

    def disputes(self) -> Iterator[tuple[TacheDeLot, str]]:
        """Les tâches qui disputent un fichier à une autre : séries différentes, ou flux sans fin en même temps."""
        par_chemin: dict[str, list[TacheDeLot]] = collections.defaultdict(list)
        for planifiee in self.taches:
            for partie in planifiee.tache.parties:
                if partie.sortie:
                    sienne = dataclasses.replace(planifiee, tache=partie)
                    par_chemin[os.path.normpath(partie.sortie.absolute())].append(sienne)
        for voisines in par_chemin.values():
            premieres: dict[object, TacheDeLot] = {}  # une par usage : mille tâches d'une base n'en ont qu'un
            for seconde in voisines:
                for premiere in premieres.values():
                    if dispute := _dispute(premiere, seconde):
                        sortie = f"sortie : « {seconde.tache.sortie} » est aussi celle de « {premiere.nom} »"
                        yield seconde, f"{sortie} : {dispute}"
                premieres.setdefault(_usage(seconde), seconde)


def _dispute(une: TacheDeLot, autre: TacheDeLot) -> str:
    """Pourquoi deux tâches ne peuvent partager un fichier ; vide si elles le peuvent."""
    a, b = une.tache, autre.tache
    if a.origine != b.origine:
        return "des données réelles et d'autres qui ne le sont pas (hors_ligne, sandbox) ne se mêlent pas"
    if a.format_choisi != b.format_choisi:
        return f"formats différents ({a.format_choisi}, {b.format_choisi})"
    if une.sans_fin and autre.sans_fin:
        return "deux flux sans fin ne peuvent la tenir en même temps"
    if a.format_choisi == "sqlite" and a.table_choisie != b.table_choisie:
        return ""  # une base tient plusieurs tables, et plusieurs séries par table
    if a.type_donnee != b.type_donnee:
        return f"contenus différents ({a.type_donnee.nom}, {b.type_donnee.nom})"
    return "" if a.format_choisi == "sqlite" or _contenu(a) == _contenu(b) else "les séries diffèrent"


def _usage(planifiee: TacheDeLot) -> object:
    """Ce qui, d'une tâche, décide de `_dispute`."""
    tache = planifiee.tache
    contenu = tache.table_choisie if tache.format_choisi == "sqlite" else _contenu(tache)
    return tache.format_choisi, tache.type_donnee.nom, planifiee.sans_fin, tache.origine, contenu


def _contenu(tache: Tache) -> object:
    """La famille d'une tâche : deux tâches d'une même famille continuent le même fichier, l'une après l'autre."""
    bougies = (tache.timeframe, tache.prix_ohlcv) if "timeframe" in tache.type_donnee.noms else ()
    return tache.exchange, bougies


class Releve:
    """Les fautes d'un fichier, chacune avec sa ligne et son lieu, une fois chacune."""

    def __init__(self, nom: str) -> None:
        self.nom = nom
        self._fautes: dict[str, int] = {}

    def noter(self, ligne: int | None, ou: str, phrase: str) -> None:
        """Ajoute une faute : « fichier, ligne 3, tâche « x » : phrase »."""
        repere = ", ".join(filter(None, (self.nom, f"ligne {ligne}" if ligne else "", ou)))
        self._fautes.setdefault(f"{repere} : {phrase}", ligne or 0)

    def conclure(self) -> None:
        """Lève ErreurDemande, fautes dans l'ordre du fichier, s'il y en a."""
        if self._fautes:
            raise ErreurDemande("\n".join(sorted(self._fautes, key=lambda phrase: self._fautes[phrase])))


class _Valeur(NamedTuple):
    """Une valeur du YAML : sa ligne, les variables d'environnement qui y sont, et si elle est déjà fautive."""

    ligne: int | None
    valeur: Any
    variables: Mapping[str, str] = MappingProxyType({})
    fautive: bool = False


class ArbreYaml:
    """Un arbre de nœuds YAML, lu sans rien taire : clés doublées, alias sans fin, variables absentes."""

    def __init__(self, releve: Releve, environnement: Mapping[str, str]) -> None:
        self.releve, self.environnement = releve, environnement
        self._yaml = importer("yaml", "Lire un fichier de tâches")
        self._constructeur = self._yaml.constructor.SafeConstructor()

    def composer(self, source: str | Mapping[str, Any]) -> Any:
        """La racine d'un texte YAML, ou d'un dictionnaire ; None si elle est vide ou fautive (c'est noté)."""
        try:
            if not isinstance(source, str):
                return self._representer(source)
            racine = self._yaml.compose(source, Loader=self._yaml.SafeLoader)
        except self._yaml.YAMLError as erreur:
            self._noter_syntaxe(erreur, source)
            return None
        if racine is None:
            self.releve.noter(1, "", "le fichier est vide : il y faut « version: 1 » et « tasks: »")
        return racine

    def _representer(self, source: Mapping[str, Any]) -> Any:
        """Un dictionnaire Python en nœuds, sans lignes ; un chemin y est un texte."""
        representant = self._yaml.representer.SafeRepresenter()
        representant.ignore_aliases = lambda _objet: True
        representant.yaml_multi_representers = {PurePath: lambda r, chemin: r.represent_str(str(chemin))}
        return representant.represent_data(source)

    def _noter_syntaxe(self, erreur: Any, source: Any) -> None:
        marque = getattr(erreur, "problem_mark", None) or getattr(erreur, "context_mark", None)
        ligne = marque.line + 1 if marque else None
        if hasattr(erreur, "position"):  # ReaderError compte en caractères
            ligne = source.count("\n", 0, erreur.position) + 1
        trouvees = ((re.search(motif, str(erreur)), dite) for motif, dite in _FAUTES_YAML)
        self.releve.noter(ligne, "", next(trouve.expand(dite) for trouve, dite in trouvees if trouve))

    def demesure(self, racine: Any) -> str:
        """Pourquoi l'arbre ne peut être développé : des alias qui se contiennent, ou se multiplient ; vide sinon."""
        tailles: dict[int, int] = {}
        ouverts: set[int] = set()
        pile = [(racine, False)]
        while pile:
            noeud, fini = pile.pop()
            if fini:
                ouverts.discard(id(noeud))
                tailles[id(noeud)] = 1 + sum(tailles[id(enfant)] for enfant in _enfants(noeud))
            elif id(noeud) in ouverts:
                return "un alias se contient lui-même"
            elif id(noeud) not in tailles:
                ouverts.add(id(noeud))
                pile += [(noeud, True), *((enfant, False) for enfant in _enfants(noeud))]
        trop = tailles[id(racine)] > NOEUDS_MAX
        return f"des alias qui, développés, feraient plus de {NOEUDS_MAX} valeurs" if trop else ""

    def est_dict(self, noeud: Any, ou: str, phrase: str) -> bool:
        """Vrai pour un dictionnaire ; sinon, `phrase` est notée."""
        if isinstance(noeud, self._yaml.MappingNode):
            return True
        self.releve.noter(ligne_de(noeud), ou, phrase)
        return False

    def elements(self, noeud: Any) -> list[Any]:
        """Les nœuds d'une liste ; vide si ce n'en est pas une."""
        return list(noeud.value) if isinstance(noeud, self._yaml.SequenceNode) else []

    def paires(self, noeud: Any, ou: str) -> dict[str, tuple[Any, Any]]:
        """Les clés d'un dictionnaire et leurs nœuds (clé, valeur) ; `<<` complète sans remplacer."""
        paires: dict[str, tuple[Any, Any]] = {}
        fondues: dict[str, tuple[Any, Any]] = {}
        for cle, valeur in noeud.value:
            if cle.tag == "tag:yaml.org,2002:merge":
                for source in self.elements(valeur) or [valeur]:
                    if self.est_dict(source, ou, "« << » demande un dictionnaire"):
                        fondues = {**self.paires(source, ou), **fondues}
            elif not isinstance(cle, self._yaml.ScalarNode):
                self.releve.noter(ligne_de(cle), ou, "une clé est un mot, pas une liste ni un dictionnaire")
            elif cle.value in paires:
                avant = ligne_de(paires[cle.value][0])
                self.releve.noter(ligne_de(cle), ou, f"{cle.value} : donnée deux fois (déjà ligne {avant})")
            else:
                paires[cle.value] = (cle, valeur)
        return {**fondues, **paires}

    def valeurs(self, noeud: Any, ou: str) -> dict[str, _Valeur]:
        """Les clés d'un dictionnaire et leurs valeurs Python, variables d'environnement mises."""
        return {nom: self._valeur(nom, *paire, ou) for nom, paire in self.paires(noeud, ou).items()}

    def _valeur(self, nom: str, cle: Any, noeud: Any, ou: str) -> _Valeur:
        self._relever_doubles(noeud, ou)
        ligne = ligne_de(cle)
        try:
            valeur = self._constructeur.construct_object(noeud, deep=True)
        except self._yaml.YAMLError:
            self.releve.noter(ligne, ou, f"{nom} : « {noeud.tag} » n'est pas un type qu'un lot admet")
            return _Valeur(ligne, None, fautive=True)
        except (ValueError, OverflowError):
            valeur = noeud.value  # une date impossible : le lecteur de l'option le dira
        absentes: list[str] = []
        variables: dict[str, str] = {}
        mise = self._mettre_variables(valeur, variables, absentes)
        for absente in absentes:
            self.releve.noter(ligne, ou, f"{nom} : {VARIABLE_ABSENTE.format(absente)}")
        return _Valeur(ligne, None if absentes else mise, variables, fautive=bool(absentes))

    def _relever_doubles(self, noeud: Any, ou: str) -> None:
        """Relève les clés données deux fois à l'intérieur d'une valeur."""
        if isinstance(noeud, self._yaml.MappingNode):
            self.paires(noeud, ou)
        for enfant in _enfants(noeud):
            self._relever_doubles(enfant, ou)

    def _mettre_variables(self, valeur: Any, variables: dict[str, str], absentes: list[str]) -> Any:
        """La valeur, `${NOM}` remplacés ; note les variables employées, et celles qui manquent."""
        if isinstance(valeur, list):
            return [self._mettre_variables(element, variables, absentes) for element in valeur]
        if isinstance(valeur, dict):
            return {cle: self._mettre_variables(element, variables, absentes) for cle, element in valeur.items()}
        if not isinstance(valeur, str):
            return valeur
        for nom in _VARIABLE.findall(valeur):
            if nom in self.environnement:
                variables[nom] = self.environnement[nom]
            else:
                absentes.append(nom)
        return _VARIABLE.sub(lambda trouve: variables.get(trouve[1], ""), valeur)


def ligne_de(noeud: Any) -> int | None:
    """La ligne d'un nœud YAML ; None s'il vient d'un dictionnaire Python."""
    return noeud.start_mark.line + 1 if noeud.start_mark is not None else None


def _enfants(noeud: Any) -> list[Any]:
    """Les nœuds que contient un nœud YAML, clés et valeurs."""
    if isinstance(noeud.value, str):
        return []
    return [n for element in noeud.value for n in (element if isinstance(element, tuple) else (element,))]


def _taire(phrase: str, variables: Mapping[str, str]) -> str:
    """Une phrase de faute qui ne cite pas la valeur d'une variable d'environnement : ce peut être un secret."""
    if not variables:
        return phrase
    vide = next((nom for nom, valeur in variables.items() if not valeur), None)
    if vide is not None:
        return f"la variable d'environnement « {vide} » est vide : donnez-lui une valeur, ou ôtez cette clé"
    noms = ", ".join(f"${{{nom}}}" for nom in variables)
    return f"la valeur de {noms} ne convient pas ; elle n'est pas répétée ici"


class _Bloc(NamedTuple):
    """Les options d'un dictionnaire du YAML, sous leur nom premier ; leurs lignes ; les fautes déjà notées."""

    lues: Mapping[str, Any] = MappingProxyType({})
    lignes: Mapping[str, int | None] = MappingProxyType({})
    fautes: Sequence[Faute] = ()


class Refus:
    """Ce qui se refuse sans requête d'un lot bien écrit : ce que l'exchange ne sert pas, un fichier disputé."""

    def __init__(self, env: Path, *, hors_ligne: bool, duree_max: float | None) -> None:
        self._env, self._hors_ligne, self._duree_max = env, hors_ligne, duree_max
        self._ouvertes: list[tuple[Reglages, Connexion]] = []

    def disputes(self, plan: Plan) -> Iterator[tuple[TacheDeLot, str]]:
        """Les tâches qui se disputent un fichier, une fois le lot réglé comme il sera exécuté."""
        return plan.regler(hors_ligne=self._hors_ligne, duree_max=self._duree_max).disputes()

    def de(self, tache: Tache, douteuses: Collection[str]) -> Iterator[tuple[str, str]]:
        """Les refus d'une tâche ; une option déjà fautive n'est pas accusée encore, et n'en accuse pas une autre."""
        if not {"exchange", "options", "proxy", "config_ccxt"}.isdisjoint(douteuses):
            return
        try:
            connexion = self._connexion(dataclasses.replace(tache, hors_ligne=tache.hors_ligne or self._hors_ligne))
        except DependanceAbsente:
            raise
        except ErreurDemande as refus:
            yield "exchange", refus.complet()
            return
        # Qui ne sait si des bougies sont demandées ne dit rien de leur timeframe ni de leur prix.
        sues = {"stream", "donnee", "trades_vers_ohlcv"}.isdisjoint(douteuses)
        for faute in (faute for partie in tache.parties for faute in refus_de_demande(connexion, partie)):
            option = "timeframes" if faute.option == "timeframe" and tache.timeframes else faute.option or "exchange"
            if option not in douteuses and (sues or option in ("source", "stream", "donnee")):
                yield option, faute.complet()

    def _connexion(self, tache: Tache) -> Connexion:
        reglages = reglages_de(tache, {}, self._env)
        if tache.hors_ligne:
            module_embarque(tache.exchange)
        connexion = next((c for r, c in self._ouvertes if r == reglages), None)
        if connexion is None:
            connexion = Connexion(reglages)
            self._ouvertes.append((reglages, connexion))
        return connexion


class LecteurDePlan:
    """De l'arbre YAML d'un lot à ses tâches ; toutes les fautes sont relevées avant d'en refuser une."""

    CLES = ("version", "defaults", "tasks")

    def __init__(self, arbre: ArbreYaml, dossier: Path, refuser: Refus | None = None) -> None:
        self.arbre, self.dossier, self.releve, self.refuser = arbre, dossier, arbre.releve, refuser
        self.options = noms_options(OptionsTacheDeLot, Tache)
        self.defauts = _Bloc()
        self.lignes_des_noms: dict[str, int | None] = {}

    def lire(self, racine: Any) -> tuple[TacheDeLot, ...]:
        """Les tâches du lot ; celles qui sont fautives n'y sont pas."""
        if not self.arbre.est_dict(racine, "", "un dictionnaire est attendu (version, defaults, tasks)"):
            return ()
        paires = self.arbre.paires(racine, "")
        for nom in [nom for nom in paires if nom not in self.CLES and not nom.startswith(LIBRE)]:
            voulu = CLES_EN_FRANCAIS.get(nom, nom)
            phrase = f"{nom} : clé inconnue. {proches(voulu, self.CLES, 1)}".strip()
            self.releve.noter(ligne_de(paires[nom][0]), "", phrase)
        self._controler_version(*paires.get("version", (racine, None)))
        if "defaults" in paires:
            self._lire_defauts(paires["defaults"][1])
        cle, tasks = paires.get("tasks", (racine, None))
        noeuds = self.arbre.elements(tasks)
        if not noeuds:
            self.releve.noter(ligne_de(cle), "", PAS_DE_TACHE)
        return tuple(tache for rang, noeud in enumerate(noeuds, 1) for tache in self._lire_tache(rang, noeud))

    def _controler_version(self, cle: Any, noeud: Any) -> None:
        if noeud is None:
            phrase = f"absente ; écrivez « version: {VERSION_PLAN} »"
        elif noeud.value == str(VERSION_PLAN):
            return
        else:
            donnee = noeud.value if isinstance(noeud.value, str) else "…"
            phrase = f"{VERSION_PLAN} est attendu, pas « {donnee} »"
        self.releve.noter(ligne_de(cle), "", f"version : {phrase}")

    def _lire_defauts(self, noeud: Any) -> None:
        if noeud.value in ("", "~", "null"):  # « defaults: » sans rien dessous
            return
        if self.arbre.est_dict(noeud, "defaults", "un dictionnaire est attendu"):
            self.defauts = self._lire_bloc(noeud, "defaults")
            if "name" in self.defauts.lues:
                self.releve.noter(self.defauts.lignes["name"], "defaults", "name : chaque tâche a le sien")

    def _lire_bloc(self, noeud: Any, ou: str) -> _Bloc:
        """Les options d'un dictionnaire ; chaque faute est notée à sa ligne."""
        valeurs = {n: v for n, v in self.arbre.valeurs(noeud, ou).items() if not n.startswith(LIBRE)}
        lues, fautes = lire_valeurs(self.options, {nom: self._situer(nom, v.valeur) for nom, v in valeurs.items()})
        for (nom, *_), phrase in fautes:
            self.releve.noter(valeurs[nom].ligne, ou, f"{nom} : {_taire(phrase, valeurs[nom].variables)}")
        fautes += [Faute((nom,), "") for nom, valeur in valeurs.items() if valeur.fautive]
        if "name" in valeurs and valeurs["name"].variables:
            self.releve.noter(valeurs["name"].ligne, ou, "name : un nom s'écrit en clair : il est dit partout")
        lignes = {self.options[nom].name: v.ligne for nom, v in valeurs.items() if nom in self.options}
        dans_dossier = {nom: self.dossier / v if isinstance(v, Path) else v for nom, v in lues.items()}
        return _Bloc(dans_dossier, lignes, fautes)

    def _situer(self, nom: str, valeur: Any) -> Any:
        """Un `@fichier` relatif l'est au dossier du lot, sauf s'il part du sien (`@~/…`)."""
        lit_un_fichier = nom in self.options and self.options[nom].metadata["lire"] is lire_objet_ou_fichier
        if lit_un_fichier and isinstance(valeur, str) and valeur.startswith("@"):
            return f"@{self.dossier / Path(valeur[1:]).expanduser()}"
        return valeur

    def _lire_tache(self, rang: int, noeud: Any) -> list[TacheDeLot]:
        """Une tâche, ou autant qu'elle a de timeframes."""
        ou, ligne = f"tâche n° {rang}", ligne_de(noeud)
        if not self.arbre.est_dict(noeud, ou, "un dictionnaire est attendu (name, mode, …)"):
            return []
        noms = [valeur.value for cle, valeur in noeud.value if cle.value == "name" and isinstance(valeur.value, str)]
        ou = f"tâche « {noms[0]} »" if noms and noms[0].strip() else ou
        bloc = self._lire_bloc(noeud, ou)
        illisibles = [*self.defauts.fautes, *bloc.fautes]
        self._controler_nom(bloc, ligne, ou)
        lues = {**self.defauts.lues, **bloc.lues}
        propres = self._accorder(lues, bloc, ou)
        tache, fautes = self._batir(lues, propres, illisibles)
        for faute in fautes:
            self._noter_ensemble(faute, bloc, ligne, ou)
        lignes = {**self.defauts.lignes, **bloc.lignes}
        fautives = {nom for faute in (*illisibles, *fautes) for nom in faute.noms}
        douteuses = {nom for faute in illisibles for nom in faute.noms} | {faute.noms[0] for faute in fautes}
        for cle, phrase in self.refuser.de(tache, douteuses) if self.refuser else ():
            self.releve.noter(lignes.get(cle, ligne), ou, f"{cle} : {phrase}")
            fautives.add(cle)
        if fautives:  # ses valeurs ne sont pas celles qu'elle demande : elle n'accuse pas les autres
            return []
        nom, dossier = str(lues.get("name")), lues.get("output_dir", self.dossier / DOSSIER_SORTIES)
        tache = tache if tache.timeframes else tache.parties[0]
        modele = TacheDeLot(nom, tache, dossier, ou, ligne, nom, lues.get("rapport"), lues.get("journal"))
        if not tache.timeframes or en_une_passe(tache):
            return [modele]
        return [dataclasses.replace(modele, nom=f"{nom} [{p.timeframe}]", tache=p) for p in tache.parties]

    def _controler_nom(self, bloc: _Bloc, ligne: int | None, ou: str) -> None:
        nom = bloc.lues.get("name")
        if nom is None and not any("name" in faute.noms for faute in bloc.fautes):
            self.releve.noter(ligne, ou, "name : absent ; chaque tâche a un nom")
        elif nom in self.lignes_des_noms:
            avant = f" (ligne {autre})" if (autre := self.lignes_des_noms[nom]) else ""
            self.releve.noter(bloc.lignes["name"], ou, f"name : ce nom est déjà pris{avant}")
        elif nom is not None:
            self.lignes_des_noms[nom] = bloc.lignes["name"]

    def _accorder(self, lues: dict[str, Any], bloc: _Bloc, ou: str) -> set[str]:
        """Accorde mode, flux et format ; rend les options que la tâche fixe elle-même, fût-ce sans les nommer."""
        propres = set(bloc.lues)
        mode, flux = lues.get("mode"), lues.get("stream")
        illisible = any("stream" in faute.noms for faute in (*self.defauts.fautes, *bloc.fautes))
        if mode == "stream" and not flux and not illisible:
            phrase = f"mode : « stream » demande un flux : stream, parmi {', '.join(FLUX)}"
            self.releve.noter(bloc.lignes.get("mode", self.defauts.lignes.get("mode")), ou, phrase)
        if mode == "rest" and flux and {"mode", "stream"} <= propres:
            self.releve.noter(bloc.lignes["mode"], ou, f"mode : « rest » ne va pas avec stream ({flux})")
        elif mode == "rest" and "stream" not in propres:
            lues.pop("stream", None)
        if "mode" in propres or not lues.get("stream"):
            propres.add("stream")
        if "format" not in propres and format_du_chemin(bloc.lues.get("sortie")):
            lues.pop("format", None)  # l'extension que donne la tâche en dit plus que le format par défaut
        return propres

    def _batir(self, lues: dict[str, Any], propres: set[str], illisibles: Sequence[Faute]) -> tuple[Tache, list[Faute]]:
        """La tâche et ses fautes ; un défaut qui contredit ce qu'elle fixe est sans objet pour elle : ôté."""
        while True:
            tache = Tache(**{champ.name: lues[champ.name] for champ in fields(Tache) if champ.name in lues})
            fautes = fautes_ensemble(tache, lues, illisibles)
            contredits = (f.noms for f in fautes if propres.intersection(f.noms))
            defauts = [nom for noms in contredits for nom in noms if nom in lues and nom not in propres]
            if not defauts:
                return tache, fautes
            del lues[defauts[0]]

    def _noter_ensemble(self, faute: Faute, bloc: _Bloc, ligne: int | None, ou: str) -> None:
        """Note une faute de plusieurs options à la ligne de la première que la tâche donne, ou chez les défauts."""
        siennes = [nom for nom in faute.noms if nom in bloc.lues]
        communes = [nom for nom in faute.noms if nom in self.defauts.lues]
        if communes and not siennes:
            ligne, ou = self.defauts.lignes[communes[0]], "defaults"
        elif siennes:
            ligne = bloc.lignes[siennes[0]]
        self.releve.noter(ligne, ou, f"{faute.noms[0]} : {faute.phrase}")


def lire_plan(
    source: str | Mapping[str, Any],
    nom: str,
    dossier: Path,
    environnement: Mapping[str, str],
    refuser: Refus | None = None,
) -> Plan:
    """Le plan que décrit un texte YAML ou un dictionnaire ; ErreurDemande avec toutes ses fautes d'un coup."""
    releve = Releve(nom)
    arbre = ArbreYaml(releve, environnement)
    taches: tuple[TacheDeLot, ...] = ()
    try:
        racine = arbre.composer(source)
        if racine is not None and (objection := arbre.demesure(racine)):
            releve.noter(ligne_de(racine), "", objection)
        elif racine is not None:
            taches = LecteurDePlan(arbre, dossier, refuser).lire(racine)
    except RecursionError:
        releve.noter(1, "", "une imbrication trop profonde")
    plan = Plan(nom, dossier, taches, noms=tuple(dict.fromkeys(planifiee.groupe for planifiee in taches)))
    for fautive, dispute in refuser.disputes(plan) if refuser else ():
        releve.noter(fautive.ligne, fautive.ou, dispute)
    releve.conclure()
    return plan


DUREE_HORS_LIGNE_S = 10.0  # un essai hors ligne tient en moins d'une minute : dix minutes d'un exchange accéléré


def ouvrir_plan(
    lot: str | os.PathLike[str] | Mapping[str, Any],
    *,
    taches: Sequence[str] = (),
    hors_ligne: bool = False,
    duree_max: float | None = None,
) -> Plan:
    """Lit et contrôle un lot tout entier, sans réseau ni écriture ; ErreurDemande avec toutes ses fautes.

    `lot` : le chemin d'un fichier YAML, ou son contenu en dictionnaire (chemins relatifs au dossier courant).
    """
    fichier = None if isinstance(lot, Mapping) else Path(lot)
    dossier = fichier.parent if fichier else Path()
    source = lot if isinstance(lot, Mapping) else lire_texte_utf8(Path(lot))
    environnement = {**lire_env(dossier / ".env"), **os.environ}
    plafond = DUREE_HORS_LIGNE_S if hors_ligne and duree_max is None else duree_max
    refuser = Refus(dossier / ".env", hors_ligne=hors_ligne, duree_max=plafond)
    plan = lire_plan(source, str(fichier or "lot"), dossier, environnement, refuser)
    choisi = plan.choisir(taches)
    regle = choisi.regler(hors_ligne=hors_ligne, duree_max=plafond)
    if plafond != duree_max and [p.tache.duree for p in regle.taches] != [p.tache.duree for p in choisi.taches]:
        journal.info("Hors ligne, chaque flux est plafonné à %s ; --duree-max en décide.", duree_lisible(plafond or 0))
    return dataclasses.replace(regle, fichier=fichier)
