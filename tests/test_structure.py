"""The package is built along the flow of files: a module knows only what comes before it."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "src" / "segarena"
STAGES = ("prepare", "prompt", "predict", "score", "rank", "report", "archive")
LEAVES = {"errors", "files", "case", "protocol", "masks", "provenance", "plain_pickle", "untrusted"}
LEAVES |= {"sheets"}
# What stands in front of the stages: the config, the run as a whole, and the command line.
FRONT = {"__init__", "config", "submissions", "run", "cli", "check", "status", "slurm"}

MODULES = sorted(path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_a_module_imports_only_along_the_stage_order(module: Path):
    """Leaves know leaves; a stage knows itself, earlier stages and leaves."""
    place = module.parts[0].removesuffix(".py")
    if place in FRONT:
        return
    allowed = LEAVES | set(STAGES[: STAGES.index(place) + 1] if place in STAGES else ())
    if place == "archive":
        allowed |= {"config"}  # it packs the run as a whole, and sets it up again
    found = {name for name in _imports(PACKAGE / module) if name not in allowed}
    assert not found, f"{module} imports {sorted(found)}"


def test_every_module_has_its_place():
    """No module stands outside the stages, the leaves and the front."""
    places = {module.parts[0].removesuffix(".py") for module in MODULES}
    assert places <= {*STAGES, *LEAVES, *FRONT}


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
