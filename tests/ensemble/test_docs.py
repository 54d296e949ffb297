"""README et docs/ : les liens mènent quelque part, les commandes se lisent, ce qui est imprimé est ce qu'on obtient."""

from __future__ import annotations

import ast
import re
import shlex
import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest
from tableau_options import table_options

import module_ccxt_fr_v2 as m
from annexes_ccxt_fr import lot as annexe_lot
from annexes_ccxt_fr import plan as annexe_plan

if TYPE_CHECKING:
    from collections.abc import Iterator

RACINE = Path(m.__file__).parent
PAGES = [RACINE / "README.md", *sorted((RACINE / "docs").glob("*.md"))]
A_LA_MAIN = [page for page in PAGES if page.name not in ("exchanges.md", "lecteurs.md")]  # les autres sont engendrées
ECRAN = 130  # lignes : au-delà, une page se coupe
MODULE, RUNNER = "module_ccxt_fr_v2.py", "runner_ccxt_batch.py"


class Bloc(NamedTuple):
    """Un bloc de code d'une page."""

    page: str
    langue: str
    texte: str


def blocs() -> list[Bloc]:
    """Tous ceux des pages écrites à la main, dans l'ordre."""
    return [
        Bloc(page.name, langue, texte)
        for page in A_LA_MAIN
        for langue, texte in re.findall(r"(?ms)^```(\w*)\n(.*?)^```$", page.read_text(encoding="utf-8"))
    ]


def commandes(texte: str) -> Iterator[list[str]]:
    """Les mots de chaque commande d'un bloc, après le nom du programme ; ce qui suit `#` est un commentaire."""
    for ligne in texte.replace("\\\n", " ").splitlines():
        for morceau in ligne.removeprefix("$ ").split("&&"):
            mots = shlex.split(morceau, comments=True) if re.search(rf"{MODULE}|{RUNNER}", morceau) else []
            rang = next((rang for rang, mot in enumerate(mots) if Path(mot).name in (MODULE, RUNNER)), None)
            if rang is not None:
                yield [Path(mots[rang]).name, *mots[rang + 1 :]]


TOUTES = [(b.page, c) for b in blocs() if b.langue in ("bash", "console", "cron") for c in commandes(b.texte)]


def ancre(titre: str) -> str:
    """Celle que GitHub donne à un titre."""
    gardes = (c for c in titre.strip().lower() if c in " -_" or unicodedata.category(c)[0] in "LN")
    return "".join(gardes).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_chaque_lien_mene_quelque_part(page: Path) -> None:
    texte = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for lien in re.findall(r"\]\(([^)\s]+)\)", texte):
        if lien.startswith("http"):
            continue
        chemin, _, titre = lien.partition("#")
        cible = (page.parent / chemin).resolve() if chemin else page
        assert cible.exists(), lien
        if titre:
            titres = re.findall(r"^#+ (.*)$", cible.read_text(encoding="utf-8"), re.MULTILINE)
            assert titre in map(ancre, titres), lien


def test_le_readme_se_lit_en_deux_minutes() -> None:
    """La promesse, une commande, une image, puis une page par besoin ; chaque page de docs/ y mène, ou une autre."""
    readme = PAGES[0].read_text(encoding="utf-8")
    assert len(readme.splitlines()) <= ECRAN
    assert readme.index("```bash") < readme.index("![") < readme.index("## Ensuite, selon le besoin")
    for page in PAGES[1:]:
        autres = "".join(autre.read_text(encoding="utf-8") for autre in PAGES[1:] if autre != page)
        assert f"(docs/{page.name}" in readme or f"({page.name}" in autres, page.name
        assert len(page.read_text(encoding="utf-8").splitlines()) <= ECRAN or page.name == "exchanges.md"


def test_les_tableaux_d_options_sont_ceux_des_declarations() -> None:
    """Engendrés, donc vrais."""
    page = (RACINE / "docs" / "options.md").read_text(encoding="utf-8")
    assert table_options(m.Tache, m.OptionsExecution) in page
    assert table_options(annexe_lot.OptionsLot) in page


def test_le_tableau_des_formats_est_celui_du_banc() -> None:
    """« Quel format pour quel usage » : les mesures de docs/lecteurs.md, avec ce qu'il faut en faire."""
    mesures = [ligne for ligne in (RACINE / "docs" / "lecteurs.md").read_text(encoding="utf-8").splitlines()
               if re.match(r"\| \w+ \| [\d,]+ Mo \|", ligne)]  # fmt: skip
    page = (RACINE / "docs" / "fichiers.md").read_text(encoding="utf-8")
    assert [ligne.split(" | ")[0].strip("| ") for ligne in mesures] == ["csv", "parquet", "feather", "sqlite"]
    for ligne in mesures:
        assert ligne.removesuffix(" |") in page


@pytest.mark.parametrize(("page", "mots"), TOUTES, ids=[f"{page}-{rang}" for rang, (page, _) in enumerate(TOUTES)])
def test_chaque_commande_se_lit(page: str, mots: list[str]) -> None:
    """Toutes ses options existent, et ne se contredisent pas."""
    programme, *reste = mots
    if programme == RUNNER:
        assert annexe_lot.lire_arguments_lot(reste, RUNNER).yaml, page
    elif reste[:1] != ["initier"]:
        m.lire_arguments(reste)


def test_il_y_a_des_commandes() -> None:
    assert len(TOUTES) >= 18


def test_chaque_yaml_se_valide(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PROXY", "http://127.0.0.1:8080")
    vus = [bloc for bloc in blocs() if bloc.langue == "yaml"]
    assert vus
    for bloc in vus:
        (tmp_path / "lot.yaml").write_text(bloc.texte, encoding="utf-8")
        assert annexe_plan.ouvrir_plan(tmp_path / "lot.yaml").taches


def test_chaque_python_s_execute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Le premier bloc tel quel, hors ligne ; les autres se lisent, et ce qu'ils nomment existe."""
    monkeypatch.chdir(tmp_path)
    premier, *autres = [bloc.texte for bloc in blocs() if bloc.langue == "python"]
    espace: dict[str, object] = {}
    exec(  # noqa: S102  le texte de la page
        premier.replace("telecharger_ohlcv(", "telecharger_ohlcv(hors_ligne=True, ").replace(
            "construire({", 'construire({"hors_ligne": True, "timeframe": "1h", '
        ),
        espace,
    )
    assert getattr(espace["table"], "num_rows", 0) > 160
    for texte in (premier, *autres):
        arbre = compile(texte, "page", "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        for noeud in ast.walk(arbre):
            if isinstance(noeud, ast.Attribute) and isinstance(noeud.value, ast.Name) and noeud.value.id == "collecte":
                assert hasattr(m, noeud.attr), noeud.attr


# --- Ce qui est imprimé est ce qu'on obtient


def normaliser(texte: str) -> list[str]:
    """Sans ce qui change d'une exécution à l'autre : l'avancement, l'instant du journal, durées et tailles."""
    lignes = []
    for ligne in texte.splitlines():
        if ligne.endswith(" %)."):
            continue
        nette = re.sub(r"^(?:…|\d{4}-\d\d-\d\dT[\d:]+Z) +(?=INFO|WARNING|ERROR|[A-Z])(?:INFO +)?", "", ligne)
        nette = re.sub(r" *(\d+ min )?\d+(,\d+)? (s|ms)\b", " D", nette)
        lignes.append(re.sub(r"\(\d+(,\d+)? [KM]?o\b", "(T", nette))
    return lignes


def obtenir(mots: list[str], capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Ce qu'une commande imprime, stdout puis stderr."""
    capsys.readouterr()
    m.principal(mots[1:])
    sortie, erreurs = capsys.readouterr()
    return normaliser(sortie + erreurs)


def texte_suivant(page: str, debut: str) -> tuple[list[str], list[str]]:
    """La commande d'un bloc bash qui commence ainsi, et le bloc de texte qui la suit."""
    tous = blocs()
    rang = next(rang for rang, bloc in enumerate(tous) if bloc.page == page and debut in bloc.texte)
    return next(commandes(tous[rang].texte)), normaliser(tous[rang + 1].texte)


def test_le_premier_essai_et_sa_relance(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """La commande du README, puis la même : les deux lignes finales imprimées."""
    monkeypatch.chdir(tmp_path)
    mots, imprime = texte_suivant("README.md", "--date-fin 2024-02-01 --format parquet")
    assert obtenir(mots, capsys) == imprime
    relance = normaliser(next(b.texte for b in blocs() if b.page == "README.md" and " 0 ligne nouvelle" in b.texte))
    assert obtenir(mots, capsys)[-1] == relance[-1]


def appels(texte: str) -> Iterator[tuple[str, list[str]]]:
    """Chaque « $ commande » d'un bloc console, et ce qui y est imprimé sous elle."""
    for morceau in re.split(r"^\$ ", texte, flags=re.MULTILINE)[1:]:
        commande, _, imprime = morceau.replace("\\\n", " ").partition("\n")
        yield commande, normaliser(imprime)


APPELS = [appel for bloc in blocs() if bloc.langue == "console" for appel in appels(bloc.texte)]


@pytest.mark.parametrize(("commande", "imprime"), APPELS, ids=range(len(APPELS)))
def test_une_console_imprime_ce_qui_est_ecrit(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    commande: str,
    imprime: list[str],
) -> None:
    """Aux instants près, quand la demande est relative."""
    monkeypatch.chdir(tmp_path)
    lignes = obtenir(next(commandes(commande)), capsys)
    if "&& cat" in commande:
        lignes += [ligne for f in sorted(tmp_path.glob("donnees/*.csv")) for ligne in f.read_text().splitlines()]
    if re.search(r"--date-\w+ -\d", commande):
        lignes, imprime = (list(map(sans_valeurs, texte)) for texte in (lignes, imprime))
    for attendue in imprime:
        assert attendue in lignes


def sans_valeurs(ligne: str) -> str:
    """Sans instant ni nombre à virgule : le marché de maintenant n'est pas celui de la page."""
    return re.sub(r"\d+\.\d+", "N", re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z", "I", ligne))


def test_verifier_et_reparer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Le fichier abîmé de la page : une ligne impossible, une en double, une heure qui manque."""
    monkeypatch.chdir(tmp_path)
    verifier, fautes = texte_suivant("reparer.md", "--verifier donnees/btc.csv\n")
    reparer, repare = texte_suivant("reparer.md", "--reparer\n")
    demande = "--hors-ligne --symbole BTC/USDT --date-debut 2024-01-01 --date-fin 2024-02-01 --sortie donnees/btc.csv"
    assert m.principal(demande.split()) == 0
    fichier = tmp_path / "donnees" / "btc.csv"
    lignes = fichier.read_text().splitlines(keepends=True)
    rang = {ligne.split(",")[4]: rang for rang, ligne in enumerate(lignes)}
    perdues = slice(rang["2024-01-04T11:19:00.000Z"], rang["2024-01-04T12:19:00.000Z"])
    double, fausse = rang["2024-01-01T03:18:00.000Z"], rang["2024-01-01T01:38:00.000Z"]
    cellules = lignes[fausse].split(",")
    cellules[9] = "-1.0\n"
    lignes[fausse] = ",".join(cellules)
    del lignes[perdues]
    lignes.insert(double, lignes[double])
    fichier.write_text("".join(lignes))
    assert obtenir(verifier, capsys) == fautes
    rendues = obtenir(reparer, capsys)
    for attendue in repare:
        assert attendue in rendues
