"""Damaged files of strangers end in the reader's own error, whatever was changed in them."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

from hostile import KINDS, rejected


@pytest.mark.parametrize("kind", KINDS)
def test_a_thousand_damaged_files_are_read_or_refused(kind: str, tmp_path: Path):
    """No other error, of a thousand seeds (100,000 in benchmarks/hostile.py)."""
    assert rejected(kind, 1000, 0, tmp_path) > 100
