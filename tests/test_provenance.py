"""What counts as a change of code, and what does not."""

from pathlib import Path

import pytest

from segarena import provenance


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package of three modules: the script uses one, which uses another inside a function."""
    folder = tmp_path / "segarena"
    (folder / "score").mkdir(parents=True)
    (folder / "score" / "table.py").write_text("def f():\n    from segarena import deep\n")
    (folder / "deep.py").write_text("X = 1\n")
    (folder / "other.py").write_text("Y = 1\n")
    (tmp_path / "script.py").write_text("from segarena.score.table import f\n")
    monkeypatch.setattr(provenance, "PACKAGE", folder)
    return folder


def _digest(package: Path) -> str:
    provenance._read.cache_clear()
    return provenance.code_digest(str(package.parent / "script.py"))


def test_a_used_module_counts_however_deep(package: Path):
    """A change behind an import inside a function changes the digest."""
    before = _digest(package)
    (package / "deep.py").write_text("X = 2\n")
    assert _digest(package) != before


def test_an_unused_module_does_not_count(package: Path):
    """A module that the script never reaches may change."""
    before = _digest(package)
    (package / "other.py").write_text("Y = 2\n")
    assert _digest(package) == before


def test_comments_docstrings_and_layout_do_not_count(package: Path):
    """Only what the code does counts."""
    before = _digest(package)
    (package / "deep.py").write_text('"""What it is for."""\n# A remark.\n\nX = (\n    1\n)\n')
    assert _digest(package) == before


def test_a_folders_digest_is_its_content(tmp_path: Path):
    """Byte code beside the source is no part of a submission; a changed byte is."""
    (tmp_path / "predict.sh").write_text("true\n")
    before = provenance.folder_digest(tmp_path)
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "x.pyc").write_bytes(b"x")
    assert provenance.folder_digest(tmp_path) == before
    (tmp_path / "predict.sh").write_text("false\n")
    assert provenance.folder_digest(tmp_path) != before
