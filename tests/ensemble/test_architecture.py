"""La forme du module, vérifiée sur son code : le plan dit vrai, chaque section n'emploie que les précédentes."""

from __future__ import annotations

import ast
import json
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import pytest
from attente import PLAFOND_S

import module_ccxt_fr_v2 as module
from annexes_ccxt_fr.lot import OptionsLot
from bourse_locale import PROTOCOLES

if TYPE_CHECKING:
    from collections.abc import Iterator

FICHIER = Path(module.__file__)
TEXTE = FICHIER.read_text(encoding="utf-8")
LIGNES = TEXTE.splitlines()
ARBRE = ast.parse(TEXTE)
TITRE = re.compile(r"§ (\d+)\s+(\S.*)")

Fonction: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef
PORTEES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


# Les sections


@cache
def bannieres() -> dict[int, tuple[int, str]]:
    """La ligne et le titre de chaque section, d'après les bannières de trois lignes."""
    trouvees = {}
    for rang, ligne in enumerate(LIGNES):
        titre = TITRE.fullmatch(ligne.removeprefix("# ")) if ligne.startswith("# §") else None
        if titre and set(LIGNES[rang - 1]) == set(LIGNES[rang + 1]) == set("# -"):
            trouvees[int(titre[1])] = (rang + 1, titre[2])
    return trouvees


def section(ligne: int) -> int:
    """La section où se trouve une ligne ; le docstring et les imports sont de la section 0."""
    return max((numero for numero, (debut, _) in bannieres().items() if debut <= ligne), default=0)


def noms_lies(noeud: ast.AST) -> set[str]:
    """Les noms qu'un nœud lie dans la portée qui le contient."""
    if isinstance(noeud, ast.Name) and isinstance(noeud.ctx, ast.Store):
        return {noeud.id}
    if isinstance(noeud, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        return {noeud.name}
    if isinstance(noeud, ast.Import | ast.ImportFrom):
        return {(alias.asname or alias.name).partition(".")[0] for alias in noeud.names}
    if isinstance(noeud, ast.arg):
        return {noeud.arg}
    return {noeud.name} if isinstance(noeud, ast.ExceptHandler) and noeud.name else set()


def parcourir_portee(racine: ast.AST) -> Iterator[ast.AST]:
    """Les nœuds d'une portée, sans entrer dans celles qu'elle contient."""
    for enfant in ast.iter_child_nodes(racine):
        yield enfant
        if not isinstance(enfant, (*PORTEES, ast.ClassDef)):
            yield from parcourir_portee(enfant)


@cache
def definitions() -> dict[str, int]:
    """La section de chaque nom de premier niveau : celle de sa première liaison."""
    lies: dict[str, int] = {}
    for noeud in parcourir_portee(ARBRE):
        for nom in noms_lies(noeud):
            lies.setdefault(nom, section(noeud.lineno))  # type: ignore[attr-defined]  # un nœud qui lie a une ligne
    return lies


def noms_employes(noeud: ast.AST, masques: frozenset[str] = frozenset()) -> Iterator[ast.Name]:
    """Les noms globaux lus sous un nœud, annotations comprises ; un nom local masque le global."""
    if isinstance(noeud, ast.Name):
        if isinstance(noeud.ctx, ast.Load) and noeud.id not in masques:
            yield noeud
        return
    if isinstance(noeud, PORTEES):
        masques |= {nom for interieur in parcourir_portee(noeud) for nom in noms_lies(interieur)}
    for enfant in ast.iter_child_nodes(noeud):
        yield from noms_employes(enfant, masques)


def test_le_plan_du_docstring_est_celui_des_bannieres() -> None:
    """Mêmes numéros, mêmes titres, même ordre ; `grep '^# § '` les donne tous."""
    plan = {int(n): titre for n, titre in re.findall(r"^    § (\d+)\s+(\S.*)$", module.__doc__ or "", re.MULTILINE)}
    assert plan == {numero: titre for numero, (_, titre) in bannieres().items()}
    assert list(plan) == sorted(plan)
    assert len(bannieres()) == sum(ligne.startswith("# § ") for ligne in LIGNES)


def test_un_nom_n_est_employe_qu_apres_sa_section() -> None:
    """De la feuille à la racine : aucune section ne nomme ce qu'une suivante définit."""
    fautes = [
        f"ligne {nom.lineno} (§ {section(nom.lineno)}) emploie {nom.id} (§ {definitions()[nom.id]})"
        for nom in noms_employes(ARBRE)
        if definitions().get(nom.id, 0) > section(nom.lineno)
    ]
    assert not fautes, "\n".join(fautes)


def test_un_nom_de_premier_niveau_n_est_defini_qu_une_fois() -> None:
    """Deux sections ne se disputent pas un nom de fonction, de classe ou de constante."""
    vus: dict[str, int] = {}
    doubles = []
    for noeud in parcourir_portee(ast.Module([n for n in ARBRE.body if not isinstance(n, ast.If)], [])):
        if isinstance(noeud, ast.Import | ast.ImportFrom):
            continue  # importlib et importlib.metadata lient le même nom
        for nom in noms_lies(noeud):
            ligne: int = noeud.lineno  # type: ignore[attr-defined]  # un nœud qui lie a une ligne
            doubles += [f"{nom} : lignes {vus[nom]} et {ligne}"] if nom in vus else []
            vus[nom] = ligne
    assert not doubles


# Les impuretés


@dataclass(frozen=True)
class Impurete:
    """Un motif d'appel, les sections qui y ont droit, et les fonctions qui l'ont ailleurs, chacune pour sa raison."""

    motif: str
    sections: frozenset[int]
    exceptions: frozenset[str] = frozenset()


METHODES_DISQUE = (
    "open|read_text|read_bytes|write_text|write_bytes|mkdir|rmdir|unlink|touch|rename|stat|exists|is_file|is_dir|glob|iterdir"
)
IMPURETES = {
    # La section 1 définit `importer`, qui reçoit le nom ; seule la 7 lui donne ccxt.
    "ccxt": Impurete(r"(importer|importlib\.import_module|__import__)\('ccxt.*", frozenset({7})),
    "disque": Impurete(
        # `self.api` est une instance ccxt, `super()` sa classe : leur `open` ouvre une session HTTP.
        rf"(?!self\.api\.|super\(\)\.open)(.*\.)?({METHODES_DISQUE})\(.*|os\.(replace|remove|fsync|makedirs|truncate|link|listdir|scandir|write)\(.*"
        r"|(shutil\.(?!get_terminal_size)|sqlite3\.|tempfile\.|gzip\.).*",
        frozenset({6}),
        frozenset(
            {
                "lire_env",  # § 11 : les clés du .env
                "imprimer",  # § 12 : stdout, dont le tube est fermé, est tourné vers le vide
            }
        ),
    ),
    "horloge": Impurete(
        r"(time\.(time|time_ns|monotonic|monotonic_ns|perf_counter)|maintenant_ms|.*\.(now|utcnow|today))\(.*",
        # 6 : date d'un « .corrompu », cadence des fsync ; 7 : heure de l'exchange ; 10 : dates relatives ;
        # 11 et 12 : durées.
        frozenset({2, 6, 7, 10, 11, 12}),
    ),
    "aléa": Impurete(r"random\..*", frozenset({5})),
    "attente": Impurete(r"(asyncio|time)\.sleep\(.*", frozenset({5})),
    "print": Impurete(r"print\(.*|sys\.(stdout|stderr)\..*", frozenset({12})),
    "environnement": Impurete(r"os\.(environ\.|getenv).*", frozenset({11})),
    "signaux": Impurete(
        r"(signal\.signal(?!\(signal\.SIGINT, signal\.SIG_DFL\))|sys\.exit|os\._exit|.*\.add_signal_handler)\(.*",
        frozenset({12}),
    ),
    "Ctrl-C pendant les imports": Impurete(r"signal\.signal\(signal\.SIGINT, signal\.SIG_DFL\)", frozenset({0})),
    "journal": Impurete(
        r".*\.(addHandler|setLevel|basicConfig)\(.*",
        frozenset({0, 12}),
    ),
    # 6 : des octets douteux peuvent tuer la bibliothèque qui les lit.
    "sous-processus": Impurete(r"(subprocess|multiprocessing)\..*", frozenset({6})),
}


def fonction_de(ligne: int) -> str:
    """Le nom de la fonction de premier niveau qui contient une ligne ; vide au niveau du module."""
    contenantes = [n for n in ARBRE.body if isinstance(n, Fonction) and n.lineno <= ligne <= (n.end_lineno or 0)]
    return contenantes[0].name if contenantes else ""


@cache
def appels() -> list[tuple[int, str]]:
    """Chaque appel du module, en texte normalisé, et sa ligne ; les décorateurs et `partial` sont des appels."""
    return [(n.lineno, ast.unparse(n)) for n in ast.walk(ARBRE) if isinstance(n, ast.Call)]


@pytest.mark.parametrize("nom", IMPURETES)
def test_chaque_impurete_reste_dans_sa_section(nom: str) -> None:
    """ccxt, disque, horloge, aléa, attente, print… seulement là où l'architecture y donne droit."""
    regle = IMPURETES[nom]
    touches = [(ligne, texte) for ligne, texte in appels() if re.fullmatch(regle.motif, texte, re.DOTALL)]
    fautes = [
        f"ligne {ligne} (§ {section(ligne)}, {fonction_de(ligne) or 'classe ou module'}) : {texte[:80]}"
        for ligne, texte in touches
        if section(ligne) not in regle.sections and fonction_de(ligne) not in regle.exceptions
    ]
    assert not fautes, "\n".join(fautes)
    employees = {fonction_de(ligne) for ligne, _ in touches if section(ligne) not in regle.sections}
    assert regle.exceptions <= employees, "une exception qui ne sert plus est à ôter d'ici"


def test_un_motif_d_impurete_reconnait_ce_qu_il_vise() -> None:
    """Chaque motif attrape la forme qu'il interdit : un test d'architecture aveugle ne prouverait rien."""
    formes = {
        "ccxt": "importer('ccxt.pro', 'x')",
        "disque": "chemin.write_bytes(b'')",
        "horloge": "time.monotonic()",
        "aléa": "random.random()",
        "attente": "asyncio.sleep(1)",
        "print": "print('x')",
        "environnement": "os.environ.get('X')",
        "signaux": "sys.exit(1)",
        "Ctrl-C pendant les imports": "signal.signal(signal.SIGINT, signal.SIG_DFL)",
        "journal": "logging.basicConfig()",
        "sous-processus": "subprocess.run([])",
    }
    assert formes.keys() == IMPURETES.keys()
    for nom, forme in formes.items():
        assert re.fullmatch(IMPURETES[nom].motif, forme), nom
    for forme in ("open(chemin)", "os.replace(a, b)", "shutil.move(a, b)", "sqlite3.connect(c)", "gzip.open(c)"):
        assert re.fullmatch(IMPURETES["disque"].motif, forme), forme


def test_pas_d_attente_asynchrone_dans_les_sections_pures() -> None:
    """Ni `await` ni coroutine en § 1 à 4, 6 et 10 : ce qui est pur se teste sans boucle."""
    asynchrones = (ast.Await, ast.AsyncFunctionDef, ast.AsyncFor, ast.AsyncWith)
    fautes = [
        f"ligne {n.lineno} (§ {section(n.lineno)})"
        for n in ast.walk(ARBRE)
        if isinstance(n, asynchrones) and section(n.lineno) in {1, 2, 3, 4, 6, 10}
    ]
    assert not fautes


def test_les_imports_lourds_n_ont_pas_lieu_au_chargement() -> None:
    """Au niveau du module, la bibliothèque standard seule ; ccxt, pyarrow et les autres passent par `importer`."""
    noms = {
        (noeud.module if isinstance(noeud, ast.ImportFrom) else alias.name).partition(".")[0]  # type: ignore[union-attr]
        for noeud in ast.walk(ARBRE)
        if isinstance(noeud, ast.Import | ast.ImportFrom)
        for alias in noeud.names
    }
    # Ces deux-là ne sont importés que pour mypy, sous TYPE_CHECKING : le test du processus neuf le vérifie.
    assert noms - set(sys.stdlib_module_names) == {"pyarrow", "annexes_ccxt_fr"}


# La documentation


def test_chaque_nom_public_est_documente() -> None:
    """Toute classe, fonction ou méthode publique a un docstring."""
    classes = [n for n in ARBRE.body if isinstance(n, ast.ClassDef)]
    muets = [
        f"{contenant.name}.{nom}"
        for contenant in classes
        for nom, noeud in documentables(contenant)
        # Une méthode qui redéfinit celle d'une classe de base est documentée là.
        if not getattr(getattr(module, contenant.name), nom).__doc__
        and ast.get_docstring(noeud) is None
        and not any(nom in vars(base) for base in getattr(module, contenant.name).__mro__[1:])
    ]
    muets += [nom for nom, noeud in documentables(ARBRE) if ast.get_docstring(noeud) is None]
    assert not muets


def documentables(racine: ast.Module | ast.ClassDef) -> list[tuple[str, Fonction | ast.ClassDef]]:
    """Les classes et fonctions publiques d'un corps."""
    noeuds = [n for n in racine.body if isinstance(n, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)]
    return [(n.name, n) for n in noeuds if not n.name.startswith("_")]


# La surface publique

SURFACE = {
    "construire": "bâtir une tâche depuis des options",
    "Tache": "une tâche",
    "executer": "l'exécuter",
    "executer_async": "l'exécuter dans une boucle",
    "executer_lot": "exécuter un fichier de tâches",
    "executer_lot_async": "idem, dans une boucle",
    "BilanLot": "ce que le lot a fait, tâche par tâche",
    "Bilan": "ce qu'elle a fait",
    "agreger_trades": "des bougies, depuis des trades",
    "suivre": "un flux, lot par lot",
    "telecharger": "une histoire, tout de suite : bougies, trades, funding, intérêt ouvert",
    "telecharger_async": "idem, dans une boucle",
    "telecharger_ohlcv": "des bougies, tout de suite",
    "telecharger_ohlcv_async": "idem, dans une boucle",
    "ouvrir_exchange": "l'instance ccxt, ouverte et fermée proprement",
    "lire": "relire une sortie",
    "verifier": "contrôler une sortie",
    "Rapport": "ce que le contrôle en dit",
    "ErreurCollecte": "la racine des erreurs",
    "ErreurDemande": "à corriger",
    "ErreurTemporaire": "à réessayer",
    "ErreurDefinitive": "à abandonner",
    "ErreurSortie": "fichier de sortie",
}


def test_all_est_la_surface_documentee() -> None:
    """`__all__` est trié, existe en entier, et ne dit rien de plus que la surface promise."""
    assert set(module.__all__) == set(SURFACE)
    assert module.__all__ == sorted(module.__all__)
    assert all(getattr(module, nom).__doc__ for nom in module.__all__)


def test_toute_erreur_descend_de_la_racine_et_a_son_code() -> None:
    """Un appelant attrape tout par `ErreurCollecte` ; chaque erreur porte un code de sortie du contrat."""
    erreurs = [v for v in vars(module).values() if isinstance(v, type) and issubclass(v, module.ErreurCollecte)]
    assert len(erreurs) >= 8
    assert {erreur.code_sortie for erreur in erreurs} <= {1, 2, 75}


# La maison : les flèches d'imports entre ses pièces

RACINE = FICHIER.parent
RUNNER = FICHIER.with_name("runner_ccxt_batch.py")
# De quoi chaque pièce a le droit de s'appuyer, hors de la bibliothèque standard et des paquets installés.
FLECHES = {
    "module_ccxt_fr_v2": set[str](),
    "bourse_locale": set[str](),
    "annexes_ccxt_fr": {"module_ccxt_fr_v2"},
    "runner_ccxt_batch": {"module_ccxt_fr_v2", "annexes_ccxt_fr"},
}


def fichiers_de(piece: str) -> dict[str, Path]:
    """Les fichiers d'une pièce, sous leur nom de module."""
    if (seul := RACINE / f"{piece}.py").is_file():
        return {piece: seul}
    trouves = sorted((RACINE / piece).rglob("*.py"))
    noms = (".".join(chemin.relative_to(RACINE).with_suffix("").parts) for chemin in trouves)
    return {nom.removesuffix(".__init__"): chemin for nom, chemin in zip(noms, trouves, strict=True)}


def est_pour_mypy(noeud: ast.AST) -> bool:
    """Vrai de `if TYPE_CHECKING:`, dont le corps n'est jamais exécuté."""
    return isinstance(noeud, ast.If) and ast.unparse(noeud.test) == "TYPE_CHECKING"


def executes(racine: ast.AST) -> Iterator[ast.AST]:
    """Les nœuds sous celui-ci qui s'exécutent un jour : tous, sauf ce qui n'est là que pour mypy."""
    for enfant in ast.iter_child_nodes(racine):
        yield enfant
        if isinstance(enfant, ast.If) and est_pour_mypy(enfant):
            for sinon in enfant.orelse:
                yield from (sinon, *executes(sinon))
        else:
            yield from executes(enfant)


def importes(texte: str) -> set[str]:
    """Les modules qu'un code importe, où que ce soit, noms compris (`from a import b` : `a` et `a.b`)."""
    noms: set[str] = set()
    for noeud in executes(ast.parse(texte)):
        if isinstance(noeud, ast.Import):
            noms |= {alias.name for alias in noeud.names}
        elif isinstance(noeud, ast.ImportFrom):
            assert noeud.level == 0, "un import relatif ne dit pas d'où il vient"
            noms |= {str(noeud.module), *(f"{noeud.module}.{alias.name}" for alias in noeud.names)}
    return noms


@pytest.mark.parametrize("piece", FLECHES)
def test_chaque_piece_ne_s_appuie_que_sur_celles_permises(piece: str) -> None:
    """Le module et l'exchange embarqué ne connaissent rien du dépôt ; les annexes, le module ; le runner, les deux."""
    depot = {*FLECHES, "module_ccxt_fr", *(chemin.stem for chemin in (RACINE / "tests").rglob("*.py"))}
    for nom, chemin in fichiers_de(piece).items():
        racines = {importe.partition(".")[0] for importe in importes(chemin.read_text(encoding="utf-8"))}
        assert (racines & depot) - {piece} <= FLECHES[piece], nom


@pytest.mark.parametrize("piece", ["annexes_ccxt_fr", "bourse_locale"])
def test_aucun_cercle_d_imports(piece: str) -> None:
    """Dans une pièce, on peut toujours lire un fichier après ceux qu'il importe."""
    fichiers = fichiers_de(piece)
    restent = {nom: importes(chemin.read_text(encoding="utf-8")) & set(fichiers) for nom, chemin in fichiers.items()}
    for nom in restent:
        restent[nom] -= {nom, piece}  # le paquet lui-même n'importe rien, ou seulement pour être montré
    while libres := {nom for nom, appuis in restent.items() if not appuis & restent.keys()}:
        restent = {nom: appuis for nom, appuis in restent.items() if nom not in libres}
    assert not restent


# L'exchange embarqué : ce qu'un exchange ignore des autres, ce que le noyau ignore de tous
NOYAU = ("carnet", "financement", "flux", "marche", "pages", "pannes", "serveur", "session")


def test_le_noyau_ne_nomme_aucun_exchange() -> None:
    """Ni import ni texte, docstrings exceptées : le nom d'un exchange ne vient que du dossier qui l'enregistre."""
    fichiers = fichiers_de("bourse_locale")
    for nom in NOYAU:
        arbre = ast.parse(fichiers[f"bourse_locale.{nom}"].read_text(encoding="utf-8"))
        isoles = {id(n.value) for n in ast.walk(arbre) if isinstance(n, ast.Expr)}
        textes = [n.value for n in ast.walk(arbre) if isinstance(n, ast.Constant) and id(n) not in isoles]
        noms = [n.id for n in ast.walk(arbre) if isinstance(n, ast.Name)] + sorted(importes(ast.unparse(arbre)))
        dits = " ".join(str(mot).lower() for mot in [*textes, *noms])
        assert [exchange for exchange in PROTOCOLES if exchange in dits] == [], nom


@pytest.mark.parametrize("exchange", PROTOCOLES)
def test_un_exchange_embarque_n_en_connait_pas_d_autre(exchange: str) -> None:
    """Son dossier ne s'appuie que sur le noyau, sur lui-même, et sur ce qui sert autour (les archives)."""
    for nom, chemin in fichiers_de("bourse_locale").items():
        if nom.startswith(f"bourse_locale.{exchange}."):
            importe = importes(chemin.read_text(encoding="utf-8"))
            appuis = {mot.split(".")[1] for mot in importe if mot.startswith("bourse_locale.")}
            assert appuis <= {*NOYAU, "archives", exchange}, nom


def test_un_dossier_suffit_a_embarquer_un_exchange(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Posé à côté des autres, il est trouvé au chargement, sert ses marchés, et rien d'autre n'a changé."""
    copie = tmp_path / "bourse_locale"
    shutil.copytree(RACINE / "bourse_locale", copie, ignore=shutil.ignore_patterns("__pycache__"))
    (copie / "jouet").mkdir()
    (copie / "jouet/__init__.py").write_text(
        "from bourse_locale.marche import jeu\nfrom bourse_locale.serveur import enregistrer\n"
        'enregistrer(__name__, "Jouet", "FluxKraken", jeu(("JPY",)))\n'
    )
    (copie / "jouet/rest.py").write_text(
        'from bourse_locale.kraken.rest import Kraken\nclass Jouet(Kraken):\n    nom = "jouet"\n'
    )
    (copie / "jouet/flux.py").write_text("from bourse_locale.kraken.flux import FluxKraken\n")
    dit = "from bourse_locale import *; b = Bourse(); print(*PROTOCOLES, b.protocoles['jouet'].instruments[0].quote)"
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    sortie = subprocess.run([sys.executable, "-c", dit], cwd=tmp_path, check=True, capture_output=True, text=True)
    assert sortie.stdout.split() == [*sorted([*PROTOCOLES, "jouet"]), "JPY"]


def test_le_module_n_atteint_une_annexe_que_par_une_fonction() -> None:
    """Le nom du dossier n'est qu'à un endroit où l'on importe ; ce qu'on y demande existe, et sert."""
    dits = [(n.lineno, ast.unparse(n)) for n in executes(ARBRE) if isinstance(n, ast.JoinedStr | ast.Constant)]
    dynamiques = {fonction_de(ligne) for ligne, texte in dits if re.search(r"annexes_ccxt_fr\.", texte)}
    assert dynamiques == {"annexe"}
    demandes = re.findall(r"\bannexe(?:_ou_rien)?\(\"(\w+)\"", TEXTE)
    demandes += [fichier for fichier, _ in module.DANS_LES_ANNEXES.values()]
    assert {f"annexes_ccxt_fr.{fichier}" for fichier in demandes} <= set(fichiers_de("annexes_ccxt_fr"))
    assert set(module.DANS_LES_ANNEXES) <= set(module.__all__)


def test_aucun_nom_prive_ne_sort_de_son_fichier() -> None:
    """Ni `from module import _x`, ni `module._x` : un fichier n'emploie d'un autre que ses noms publics."""
    fautes = []
    for piece in FLECHES:
        for nom, chemin in fichiers_de(piece).items():
            arbre = ast.parse(chemin.read_text(encoding="utf-8"))
            imports = [n for n in ast.walk(arbre) if isinstance(n, ast.Import | ast.ImportFrom)]
            modules = {alias.asname or alias.name for n in imports for alias in n.names}
            pris = [alias.name for n in imports for alias in n.names]
            pris += [
                n.attr
                for n in ast.walk(arbre)
                if isinstance(n, ast.Attribute) and isinstance(n.value, ast.Name) and n.value.id in modules
            ]
            des_namedtuples = {"_fields", "_replace", "_asdict", "_make"}  # publics, malgré leur nom
            fautes += [f"{nom} : {p}" for p in pris if re.match(r"_[a-zA-Z]", p) and p not in des_namedtuples]
    assert not fautes


def test_le_runner_reste_mince() -> None:
    """Deux cents lignes au plus ; il n'importe que la bibliothèque standard, le module et les annexes."""
    texte = RUNNER.read_text(encoding="utf-8")
    assert len(texte.splitlines()) <= 200
    racines = {nom.partition(".")[0] for nom in importes(texte)}
    assert racines - set(sys.stdlib_module_names) == {"module_ccxt_fr_v2", "annexes_ccxt_fr"}


def test_le_runner_ne_nomme_aucune_option_de_tache() -> None:
    """Ni option, ni format, ni exchange : tout vient des déclarations du module. Ses propres options y sont aussi."""
    arbre = ast.parse(RUNNER.read_text(encoding="utf-8"))
    docstrings = {
        id(n.body[0].value)
        for n in ast.walk(arbre)
        if isinstance(n, ast.Module | Fonction) and isinstance(n.body[0], ast.Expr)
    }
    mots = {
        mot
        for n in ast.walk(arbre)
        if isinstance(n, ast.Constant) and isinstance(n.value, str) and id(n) not in docstrings
        for mot in re.findall(r"[\w-]+", n.value)
    }
    options = set(module.noms_options(module.Tache))
    interdits = options | {module.drapeau(nom) for nom in options} | set(module.ECRIVAINS) | {"ccxt", "binance", "okx"}
    assert mots & interdits == set()
    demandees = {
        n.attr for n in ast.walk(arbre)
        if isinstance(n, ast.Attribute) and isinstance(n.value, ast.Name) and n.value.id == "demande"
    }  # fmt: skip
    assert demandees <= set(module.noms_options(OptionsLot))
    assert "add_argument" not in RUNNER.read_text(encoding="utf-8")


# Le chargement, dans un processus neuf

LOURDS = (
    "ccxt", "pyarrow", "aiohttp", "numpy", "pandas", "tqdm", "yaml", "bourse_locale", "dotenv", "filelock",
    "distributed",
)  # fmt: skip
# De la bibliothèque standard : ensemble, plus de la moitié de l'import, pour ce qu'un import n'emploie pas.
DIFFERES = ("argparse", "asyncio", "email", "importlib.metadata", "sqlite3", "ssl", "subprocess")


def dans_un_processus(code: str, dossier: Path) -> dict[str, object]:
    """Exécute du code dans un processus neuf, depuis un dossier vide ; rend l'objet JSON de sa dernière ligne."""
    entete = f"import sys; sys.path.insert(0, {str(FICHIER.parent)!r})\n"
    fini = subprocess.run(
        [sys.executable, "-I", "-c", entete + code],
        cwd=dossier, capture_output=True, text=True, check=True, timeout=PLAFOND_S,
    )  # fmt: skip
    rendu: dict[str, object] = json.loads(fini.stdout.splitlines()[-1])
    return rendu


CHARGER = f"""
import json, logging
import module_ccxt_fr_v2 as m
etat = {{
    "lourds": sorted(n for n in {LOURDS + DIFFERES!r} if n in sys.modules),
    "racine": len(logging.getLogger().handlers),
    "notre": [type(h).__name__ for h in m.journal.handlers],
}}
print(json.dumps(etat))
"""


def test_importer_le_module_ne_fait_rien_d_autre(tmp_path: Path) -> None:
    """Ni ccxt, ni pyarrow, ni asyncio importés, aucun gestionnaire de journal posé à la racine, aucun dossier créé."""
    assert dans_un_processus(CHARGER, tmp_path) == {"lourds": [], "racine": 0, "notre": ["NullHandler"]}
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("programme", ["module_ccxt_fr_v2", "runner_ccxt_batch"])
@pytest.mark.parametrize("option", ["--help", "--version"])
def test_l_aide_n_importe_rien_de_lourd(programme: str, option: str, tmp_path: Path) -> None:
    """`--help` est immédiat : ni ccxt ni pyarrow, et rien n'est créé."""
    code = f"""
import json
import {programme} as m
code = m.principal([{option!r}])
print(json.dumps({{"code": code, "lourds": sorted(n for n in {LOURDS!r} if n in sys.modules)}}))
"""
    assert dans_un_processus(code, tmp_path) == {"code": 0, "lourds": []}
    assert list(tmp_path.iterdir()) == []


def test_une_commande_n_importe_pas_pandas_et_n_en_prive_personne(tmp_path: Path) -> None:
    """À la première colonne, pyarrow l'importerait ; qui le veut ensuite, dans le même processus, l'a."""
    code = """
import json
import module_ccxt_fr_v2 as m
code = m.principal(["--hors-ligne", "--symbole", "BTC/USDT", "--date-debut", "2026-01-01", "--date-fin",
                    "2026-01-01T01:00", "--sortie", "une.parquet", "--journal", "error"])
importe = "pandas" in sys.modules
print(json.dumps({"code": code, "importe": importe, "lignes": len(m.lire("une.parquet").to_pandas())}))
"""
    assert dans_un_processus(code, tmp_path) == {"code": 0, "importe": False, "lignes": 60}


# Ce que le vérificateur lui-même sait voir


@pytest.mark.parametrize(
    ("code", "attendus"),
    [
        ("def f(x): return x + y", {"y"}),
        ("def f(): y = 1; return y", set()),
        ("def f(a: Type) -> Autre: pass", {"Type", "Autre"}),
        ("z = [i for i in suite]", {"suite"}),
        ("class C(Base):\n    champ: Type = defaut", {"Base", "Type", "defaut"}),
        ("def f():\n    def g(): return w\n    return g", {"w"}),
    ],
)
def test_les_noms_employes_sont_vus_dans_leur_portee(code: str, attendus: set[str]) -> None:
    """Un nom local n'est pas un nom du module ; une annotation en est un emploi."""
    assert {nom.id for nom in noms_employes(ast.parse(code))} == attendus
