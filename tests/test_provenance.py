"""What counts as a change of code, and what does not."""

from pathlib import Path

import pytest

from segarena import provenance


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package of three modules: the step uses one, which uses another inside a function."""
    folder = tmp_path / "segarena"
    (folder / "score").mkdir(parents=True)
    (folder / "score" / "table.py").write_text(
        "def f():\n    from segarena import deep\n    return deep.X\n"
    )
    (folder / "deep.py").write_text("X = 1\n")
    (folder / "other.py").write_text("Y = 1\n")
    (folder / "score" / "step.py").write_text("from segarena.score.table import f\n")
    monkeypatch.setattr(provenance, "PACKAGE", folder)
    return folder


def _digest(package: Path) -> str:
    provenance._module.cache_clear()
    return provenance.code_digest("score.step")


def test_a_used_module_counts_however_deep(package: Path):
    """A change behind an import inside a function changes the digest."""
    before = _digest(package)
    (package / "deep.py").write_text("X = 2\n")
    assert _digest(package) != before


def test_a_digest_is_remembered_until_a_file_changes(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Whichever file of the package it is, and not for longer."""
    monkeypatch.chdir(tmp_path)
    before = provenance.remembered_code_digest("score.step")
    assert before == _digest(package)
    monkeypatch.setattr(provenance, "code_digest", lambda step: "reckoned again")
    assert provenance.remembered_code_digest("score.step") == before
    (package / "deep.py").write_text("X = 2\n")
    assert provenance.remembered_code_digest("score.step") == "reckoned again"


def test_an_unused_module_does_not_count(package: Path):
    """A module that the step never reaches may change."""
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


def test_a_definition_that_the_step_cannot_reach_does_not_count(package: Path):
    """A new function beside a used one, in the same module, changes nothing."""
    table = package / "score" / "table.py"
    before = _digest(package)
    table.write_text(table.read_text() + "\ndef g():\n    return 1\n")
    assert _digest(package) == before


def test_what_a_used_function_calls_counts(package: Path):
    """Through the same module, another one, an alias of it, and a name passed on."""
    (package / "score" / "table.py").write_text(
        "from segarena import deep as d\nfrom segarena.other import Y\n"
        "def f():\n    return g() + d.X + Y\ndef g():\n    return 1\n"
    )
    (package / "deep.py").write_text("from segarena.far import Z as X\nUNUSED = 1\n")
    (package / "far.py").write_text("Z = 1\n")
    digests = [_digest(package)]
    for name, old, new in (
        ("score/table.py", "return 1", "return 2"),
        ("other.py", "Y = 1", "Y = 2"),
        ("far.py", "Z = 1", "Z = 2"),
    ):
        path = package / name
        path.write_text(path.read_text().replace(old, new))
        digests.append(_digest(package))
    assert len(set(digests)) == 4
    (package / "deep.py").write_text("from segarena.far import Z as X\nUNUSED = 2\n")
    assert _digest(package) == digests[-1]


def test_a_statement_that_defines_nothing_counts(package: Path):
    """It may register or change what is defined beside it."""
    table = package / "score" / "table.py"
    before = _digest(package)
    table.write_text(table.read_text() + "\nprint(f)\n")
    assert _digest(package) != before


def test_the_words_of_an_error_do_not_count(package: Path):
    """What is raised does, what it says does not."""
    table = package / "score" / "table.py"
    digests = []
    for raised in ("ValueError('a')", "ValueError('b')", "KeyError('b')"):
        table.write_text(f"def f():\n    raise {raised}\n")
        digests.append(_digest(package))
    assert digests[0] == digests[1] != digests[2]
