"""A file is whole or absent."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from segarena.files import read_json, remembered, whole, write_json


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


def test_what_is_remembered_is_made_again_only_for_another_file(tmp_path: Path):
    """A file is read once for as long as its size and time stay; a damaged cache is made anew."""
    file, cache = tmp_path / "a", tmp_path / "cache.json"
    file.write_text("1")
    assert remembered(file, cache, Path.read_text) == "1"
    assert remembered(file, cache, lambda _: "not asked for") == "1"
    file.write_text("22")
    assert remembered(file, cache, Path.read_text) == "22"
    cache.write_text("{cut sh")
    assert remembered(file, cache, lambda _: "anew") == "anew"


def test_several_threads_forget_nothing_of_each_other(tmp_path: Path):
    """What two threads find out at the same time is both remembered."""
    cache, together = tmp_path / "cache.json", threading.Barrier(2)
    files = [tmp_path / "a", tmp_path / "b"]
    for file in files:
        file.write_text(file.name)

    def read(path: Path) -> str:
        together.wait(10)
        return path.read_text()

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda file: remembered(file, cache, read), files))
    assert [remembered(file, cache, lambda _: "asked again") for file in files] == ["a", "b"]
