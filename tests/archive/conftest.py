"""A finished run of the real workflow with its archive, and ways to tamper with archives."""

import hashlib
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from arena import PROTOCOL, Arena, new_arena

SUMS, CRATE = "sha256sums.txt", "ro-crate-metadata.json"


@pytest.fixture(scope="session")
def archived_run(tmp_path_factory: pytest.TempPathFactory) -> Arena:
    """A run of two cases and two submissions, archived with all answers and the truth; read it."""
    arena = new_arena(tmp_path_factory.mktemp("archived"))
    arena.add_protocol(ranking={**PROTOCOL["ranking"], "bootstraps": 20})
    for name in ("one", "two"):
        arena.add_case(name)
    for name in ("ada", "bob"):
        arena.add_submission(name)
    arena.config["archive"] = {"name": "tiny", "answers": "all", "truth": True}
    arena.config["viewer"] = True
    arena.run("archive")
    return arena


@pytest.fixture(scope="session")
def archive(archived_run: Arena) -> Path:
    """The archive; read it."""
    (path,) = archived_run.path("archive").glob("tiny-????-??-??.zip")
    return path


@pytest.fixture(scope="session")
def truth(archived_run: Arena) -> Path:
    """The folder of the prepared cases."""
    return archived_run.path("prepare")


def members(path: Path) -> dict[str, bytes]:
    """Return every file of an archive."""
    with zipfile.ZipFile(path) as packed:
        return {i.filename: packed.read(i) for i in packed.infolist() if not i.is_dir()}


def write_archive(path: Path, files: dict[str, bytes], *, signed: bool) -> Path:
    """Write an archive; signed: with digests that fit, as a careful forger would."""
    if signed:
        crate = json.loads(files[CRATE])
        for entity in crate["@graph"]:
            if entity["@id"] in files and "sha256" in entity:
                entity["sha256"] = hashlib.sha256(files[entity["@id"]]).hexdigest()
        files[CRATE] = json.dumps(crate).encode()
        lines = (f"{hashlib.sha256(c).hexdigest()}  {n}\n" for n, c in files.items() if n != SUMS)
        files[SUMS] = "".join(lines).encode()
    with zipfile.ZipFile(path, "w") as packed:
        for name, content in files.items():
            packed.writestr(name, content)
    return path


Tamper = Callable[..., Path]


@pytest.fixture
def tampered(archive: Path, tmp_path: Path) -> Tamper:
    """A factory: tampered(change, signed=True) gives a copy after change(files)."""

    def make(change: Callable[[dict[str, bytes]], None], *, signed: bool = True) -> Path:
        files = members(archive)
        change(files)
        return write_archive(tmp_path / "tampered.zip", files, signed=signed)

    return make
