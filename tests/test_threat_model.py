"""docs/threat-model.md is worth what its tests are worth."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "threat-model.md").read_text(encoding="utf-8")


def test_every_test_that_the_threat_model_names_exists():
    """Each row of the attacks names a test, and the test is there."""
    trees = (ast.parse(path.read_text("utf-8")) for path in (ROOT / "tests").rglob("test_*.py"))
    there = {n.name for tree in trees for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)}
    named = set(re.findall(r"`(test_\w+)`", TEXT))
    assert len(named) > 30
    assert named - there == set()


def test_every_attack_has_a_test():
    """No row of the two tables of attacks is without one."""
    tables = TEXT.split("| shown by |")[1:]
    rows = [row for table in tables for row in table.split("\n\n")[0].splitlines()[2:]]
    assert len(rows) > 20
    assert [row for row in rows if "`test_" not in row] == []
