"""Opening an archive that anyone may have made.

Nothing in it is trusted: a member is a plain file with a plain relative name, there is room for all
of them, and they go into a temporary folder. Nothing is ever unpickled.
"""

import contextlib
import hashlib
import shutil
import stat
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from segarena.archive import contents
from segarena.errors import ConfigError


@contextlib.contextmanager
def unpacked(archive: Path) -> Iterator[Path]:
    """Yield a temporary folder with all that is in an archive.

    Raises ConfigError where it is no archive of ours, or a member has no place in one.
    """
    with tempfile.TemporaryDirectory(prefix="segarena-archive-") as name:
        folder = Path(name)
        try:
            with zipfile.ZipFile(archive) as packed:
                members = [info for info in packed.infolist() if not info.is_dir()]
                _check(members, archive, room=shutil.disk_usage(folder).free)
                for info in members:
                    _unpack(packed, info, folder)
        except (OSError, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
            raise ConfigError(f"{archive}: cannot be unpacked: {error}") from error
        for needed in (contents.FACTS, contents.SUMS):
            if not (folder / needed).is_file():
                raise ConfigError(f"{archive}: no {needed} in it; `snakemake archive` makes one")
        yield folder


def sum_problems(folder: Path) -> list[str]:
    """Return what sha256sums.txt and the folder disagree on, one line each."""
    listed: dict[str, str] = {}
    problems = []
    for line in (folder / contents.SUMS).read_text(encoding="utf-8").splitlines():
        digest, _, name = line.partition("  ")
        if name in listed:
            problems.append(f"{contents.SUMS}: {name} stands twice")
        listed[name] = digest
    there = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    there.discard(contents.SUMS)
    problems += [f"{name}: missing" for name in sorted(set(listed) - there)]
    problems += [f"{name}: not in {contents.SUMS}" for name in sorted(there - set(listed))]
    problems += [
        f"{name}: its sha256 is not the one in {contents.SUMS}"
        for name in sorted(there & set(listed))
        if hashlib.sha256((folder / name).read_bytes()).hexdigest() != listed[name]
    ]
    return problems


def _check(members: list[zipfile.ZipInfo], archive: Path, *, room: int) -> None:
    seen = set()
    for info in members:
        parts = PurePosixPath(info.filename).parts
        mode = info.external_attr >> 16
        plain = parts and not info.filename.startswith("/") and "\\" not in info.filename
        if not plain or ".." in parts or ":" in parts[0] or "\0" in info.orig_filename:
            raise ConfigError(
                f"{archive}: {info.filename!r} is no name for a member; trust nothing"
            )
        if mode and stat.S_IFMT(mode) not in (0, stat.S_IFREG):
            raise ConfigError(f"{archive}: {info.filename} is no regular file; trust nothing")
        if info.filename in seen:
            raise ConfigError(f"{archive}: {info.filename} stands twice; trust nothing")
        seen.add(info.filename)
    needed = sum(info.file_size for info in members)
    if needed > room:
        raise ConfigError(f"{archive}: unpacked it takes {needed} bytes, {room} are free")


def _unpack(packed: zipfile.ZipFile, info: zipfile.ZipInfo, folder: Path) -> None:
    path = folder / info.filename
    path.parent.mkdir(parents=True, exist_ok=True)
    with packed.open(info) as source, path.open("xb") as target:
        shutil.copyfileobj(source, target)
