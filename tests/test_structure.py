"""The package is built along the flow of files: a module knows only what comes before it."""

import ast
import re
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "src" / "segarena"
STAGES = ("prepare", "prompt", "predict", "score", "rank", "report", "archive")
LEAVES = {"errors", "files", "case", "protocol", "masks", "provenance", "plain_pickle"}
LEAVES |= {"untrusted", "sheets", "extras", "locks"}
# What stands in front of the stages: the config, the run as a whole, and the command line.
FRONT = {"__init__", "config", "submissions", "run", "cli", "check", "status", "slurm"}
FRONT |= {"damage", "plan", "clean", "workflow", "snakemake_adapter", "fingerprint"}
FRONT |= {"kit", "new", "feedback"}

# What is in templates/ is copied into submissions, never imported.
MODULES = sorted(
    path.relative_to(PACKAGE)
    for path in PACKAGE.rglob("*.py")
    if path.relative_to(PACKAGE).parts[0] != "templates"
)


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_a_module_imports_only_along_the_stage_order(module: Path):
    """Leaves know leaves; a stage knows itself, earlier stages and leaves."""
    place = module.parts[0].removesuffix(".py")
    if place in FRONT:
        return
    allowed = LEAVES | set(STAGES[: STAGES.index(place) + 1] if place in STAGES else ())
    if place == "archive":
        allowed |= {"config", "plan", "workflow"}  # it packs the run as a whole, sets it up again
    found = {name for name in _imports(PACKAGE / module) if name not in allowed}
    assert not found, f"{module} imports {sorted(found)}"


def test_every_module_has_its_place():
    """No module stands outside the stages, the leaves and the front."""
    places = {module.parts[0].removesuffix(".py") for module in MODULES}
    assert places <= {*STAGES, *LEAVES, *FRONT}


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_no_module_reaches_out_of_the_package(module: Path):
    """Modules are imported by name, and files come from segarena/data by way of protocol.DATA."""
    names, texts = _names(PACKAGE / module)
    loaders = {"runpy", "run_path", "spec_from_file_location", "SourceFileLoader", "__import__"}
    assert not names & loaders
    assert "sys.path" not in names
    # parents[1] may be a folder of results; what is above the package is not ours to know.
    assert not {name for name in names if re.fullmatch(r"parents\[([2-9]|\d\d+)\]", name)}
    of_archives = {Path("archive/contents.py"), Path("archive/crate.py")}  # members' names
    known = {Path("protocol.py"), Path("report/charts.py")}
    if module not in of_archives | known:
        assert not {text for text in texts if re.match(r"workflow(/|$)", text)}


def test_each_rules_script_only_hands_over():
    """A script has imports and one call of its step; no function of its own."""
    scripts = sorted((PACKAGE / "data" / "workflow" / "scripts").glob("*.py"))
    assert scripts
    for script in scripts:
        tree = ast.parse(script.read_text())
        kinds = {type(node) for node in tree.body[1:]}
        assert kinds <= {ast.Import, ast.ImportFrom, ast.With}, script
        assert isinstance(tree.body[-1], ast.With) and len(tree.body[-1].body) == 1


def test_the_package_links_to_the_live_workflow():
    """In a checkout segarena/data is nothing but relative links, so nothing is there twice."""
    root = PACKAGE.parents[1]
    for name in ("Snakefile", "workflow", "envs", "profiles", "config/protocols"):
        link = PACKAGE / "data" / name
        assert link.is_symlink() and not link.readlink().is_absolute()
        assert link.resolve() == root / name


def _names(path: Path) -> tuple[set[str], set[str]]:
    """Return the names and simple expressions of a module, and its texts but the docstrings."""
    tree = ast.parse(path.read_text())
    names, texts = set(), set()
    docs = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            names.add(node.id)
        elif isinstance(node, ast.Attribute):
            names |= {node.attr, ast.unparse(node)}
        elif isinstance(node, ast.alias):
            names |= set(node.name.split("."))
        elif isinstance(node, ast.Subscript) and isinstance(node.value, ast.Attribute):
            names.add(f"{node.value.attr}[{ast.unparse(node.slice)}]")
        elif (
            isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs
        ):
            texts.add(node.value)
    return names, texts


def _imports(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module == "segarena":
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("segarena."):
            names.add((node.module or "").split(".")[1])
        elif isinstance(node, ast.Import):
            names |= {a.name.split(".")[1] for a in node.names if a.name.startswith("segarena.")}
    return names
