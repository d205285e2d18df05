"""docs/isolation.md names tests that exist, and every hostile case that is tested."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "isolation.md").read_text(encoding="utf-8")


def functions(folder: Path) -> set[str]:
    trees = (ast.parse(path.read_text(encoding="utf-8")) for path in folder.rglob("test_*.py"))
    return {n.name for tree in trees for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)}


def test_every_named_test_exists() -> None:
    """A line of the table is worth what its test is worth."""
    named = set(re.findall(r"`(test_\w+)`", TEXT))
    assert named - functions(ROOT / "tests") == set()


def test_every_hostile_case_is_documented() -> None:
    """Each case of the two tables in test_hostile.py stands in the document."""
    tree = ast.parse((ROOT / "tests/predict/test_hostile.py").read_text(encoding="utf-8"))
    tables = [n for n in ast.walk(tree) if isinstance(n, ast.Assign | ast.AnnAssign)]
    cases = {
        key.value
        for table in tables
        if isinstance(table.value, ast.Dict)
        for key in table.value.keys
        if isinstance(key, ast.Constant)
    }
    assert len(cases) > 50
    assert {case for case in cases if f"`{case}`" not in TEXT} <= {"honest"}
