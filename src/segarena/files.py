"""Files that are whole or absent.

Every file between stages is written beside its place and then renamed, so a killed job or a full
disk never leaves half a file that a later run takes for a whole one.
"""

import contextlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Lock
from typing import Any

from segarena.errors import EngineError

_remembering = Lock()


@contextlib.contextmanager
def whole(path: str | Path) -> Iterator[Path]:
    """Yield a path beside `path` to write to; rename it to `path` when the block ends well."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    os.close(handle)
    aside = Path(name)
    try:
        yield aside
        aside.chmod(0o666 & ~_umask())
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def write_json(path: str | Path, value: Any) -> None:
    """Write `value` as JSON with stable key order, one top-level key a line (small diffs)."""
    with whole(path) as aside:
        aside.write_text(_json_text(value), encoding="utf-8")


def read_json(path: str | Path) -> Any:
    """Return what a JSON file holds; EngineError where it was cut short or changed by hand."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise _not_whole(path) from error


def read_lines(path: str | Path) -> list[str]:
    """Return the lines of a text file; EngineError where the last one has no end."""
    text = Path(path).read_text(encoding="utf-8")
    if not text.endswith("\n"):
        raise _not_whole(path)
    return text.splitlines(keepends=True)


def _not_whole(path: str | Path) -> EngineError:
    return EngineError(f"{path}: not a whole file; delete it and run again")


def remembered(path: str | Path, cache: str | Path, make: Callable[[Path], Any]) -> Any:
    """Return `make(path)`, a JSON value; made again only when the file's size or time changed.

    cache: a JSON file; one that cannot be read is made anew. Several threads may ask at a time.
    """
    path, cache = Path(path), Path(cache)
    stat = path.stat()
    mark = [stat.st_size, stat.st_mtime_ns]
    entry = _known(cache).get(str(path.resolve()))
    if entry is None or entry["mark"] != mark:
        entry = {"mark": mark, "value": make(path)}
        with _remembering:
            write_json(cache, {**_known(cache), str(path.resolve()): entry})
    return entry["value"]


def _known(cache: Path) -> dict[str, Any]:
    try:
        return read_json(cache)
    except (OSError, EngineError):
        return {}


def _json_text(value: Any) -> str:
    if not isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False) + "\n"
    lines = (f" {json.dumps(k)}: {json.dumps(v, ensure_ascii=False)}" for k, v in value.items())
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
