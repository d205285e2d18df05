"""A file is whole or absent."""

import functools
import json
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from segarena import files
from segarena.files import atomic_write, read_json, remembered, write_json

_loads = json.loads


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path: Path):
    """What goes wrong while writing does not reach the file's name."""
    path = tmp_path / "a.json"
    write_json(path, {"a": 1})
    with pytest.raises(RuntimeError), atomic_write(path) as tmp:
        tmp.write_text("half")
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
    """A file is read once for as long as its size and time stay; a damaged cache is made again."""
    file, cache = tmp_path / "a", tmp_path / "cache.json"
    file.write_text("1")
    assert remembered(file, cache, Path.read_text) == "1"
    assert remembered(file, cache, lambda _: "not asked for") == "1"
    file.write_text("22")
    assert remembered(file, cache, Path.read_text) == "22"
    cache.write_text("{cut sh")
    assert remembered(file, cache, lambda _: "again") == "again"
    assert remembered(file, cache, lambda _: "asked again") == "again"


def test_a_file_put_in_place_of_another_is_not_taken_for_it(tmp_path: Path):
    """Size and time may be the same (cp -p, rsync -a, a renamed folder); the inode is not."""
    file, other, cache = tmp_path / "a", tmp_path / "b", tmp_path / "cache"
    file.write_text("1")
    other.write_text("2")
    os.utime(other, ns=(0, file.stat().st_mtime_ns))
    assert remembered(file, cache, Path.read_text) == "1"
    other.replace(file)
    assert remembered(file, cache, Path.read_text) == "2"


def _another_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget what this process knows of cache files, as a new process would begin."""
    monkeypatch.setattr(files, "_memory", functools.cache(files._Memory))


def test_looking_up_costs_each_entry_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Another process reads each of 300 lines once, however often it asks."""
    cache = tmp_path / "cache"
    named = [tmp_path / f"case_{number}" for number in range(300)]
    for file in named:
        file.write_text(file.name)
        remembered(file, cache, Path.read_text)
    size = cache.stat().st_size
    _another_process(monkeypatch)
    read: list[object] = []
    monkeypatch.setattr(files.json, "loads", lambda text: read.append(1) or _loads(text))
    for file in [*named, *named]:
        assert remembered(file, cache, lambda _: "asked again") == file.name
    assert (len(read), cache.stat().st_size) == (300, size)


def test_what_other_processes_add_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Two processes that ask in turn each know what the other found out."""
    file, other, cache = tmp_path / "a", tmp_path / "b", tmp_path / "cache"
    for path in (file, other):
        path.write_text(path.name)
    assert remembered(file, cache, Path.read_text) == "a"
    ours = files._memory
    _another_process(monkeypatch)
    assert remembered(other, cache, Path.read_text) == "b"
    monkeypatch.setattr(files, "_memory", ours)
    assert remembered(other, cache, lambda _: "asked again") == "b"


@pytest.mark.parametrize("cut", [1, 5, 30])
def test_a_line_that_was_cut_short_spoils_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cut: int
):
    """After a kill in mid-write that entry alone is made again."""
    file, other, cache = tmp_path / "a", tmp_path / "b", tmp_path / "cache"
    for path in (file, other):
        path.write_text(path.name)
        remembered(path, cache, Path.read_text)
    cache.write_bytes(cache.read_bytes()[:-cut])
    _another_process(monkeypatch)
    assert remembered(file, cache, lambda _: "asked again") == "a"
    assert remembered(other, cache, lambda _: "again") == "again"
    _another_process(monkeypatch)
    assert remembered(other, cache, lambda _: "asked again") == "again"


def test_a_cache_does_not_grow_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Lines that count no more are thrown away, and nothing else is."""
    monkeypatch.setattr(files, "_FEW_LINES", 10)
    file, other, cache = tmp_path / "a", tmp_path / "b", tmp_path / "cache"
    for path in (file, other):
        path.write_text(path.name)
        remembered(path, cache, Path.read_text)
    for number in range(100):
        os.utime(file, ns=(0, number))
        remembered(file, cache, lambda _, number=number: number)
    assert cache.read_bytes().count(b"/a") < 20
    _another_process(monkeypatch)
    assert remembered(file, cache, lambda _: "asked again") == 99
    assert remembered(other, cache, lambda _: "asked again") == "b"


def test_several_threads_forget_nothing_of_each_other(tmp_path: Path):
    """What two threads find out at the same time is both remembered."""
    cache, together = tmp_path / "cache.json", threading.Barrier(2)
    named = [tmp_path / "a", tmp_path / "b"]
    for file in named:
        file.write_text(file.name)

    def read(path: Path) -> str:
        together.wait(10)
        return path.read_text()

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda file: remembered(file, cache, read), named))
    assert [remembered(file, cache, lambda _: "asked again") for file in named] == ["a", "b"]
