"""A file is whole or absent."""

import os
from pathlib import Path

import pytest

from segarena.files import read_json, whole, write_json


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path: Path):
    """What goes wrong while writing does not reach the file's name."""
    path = tmp_path / "a.json"
    write_json(path, {"a": 1})
    with pytest.raises(RuntimeError), whole(path) as aside:
        aside.write_text("half")
        raise RuntimeError
    assert read_json(path) == {"a": 1}
    assert os.listdir(tmp_path) == ["a.json"]  # noqa: PTH208


def test_a_written_file_has_the_users_mode(tmp_path: Path):
    """Others may read results as the umask says, not as a temporary file's mode says."""
    before = os.umask(0o022)
    try:
        write_json(tmp_path / "a.json", [1])
    finally:
        os.umask(before)
    assert (tmp_path / "a.json").stat().st_mode & 0o777 == 0o644


def test_json_has_one_key_a_line(tmp_path: Path):
    """A change of one key is a change of one line."""
    write_json(tmp_path / "a.json", {"a": [1, 2], "b": "ö"})
    assert (tmp_path / "a.json").read_text(encoding="utf-8") == '{\n "a": [1, 2],\n "b": "ö"\n}\n'
