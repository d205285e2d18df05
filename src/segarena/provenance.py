"""What a result was made by: the digest of the code behind a script, and of what goes in.

Snakemake notices a changed script but not a changed module that the script imports. Every rule
therefore passes `code_digest(script)` as a param: it changes when any package module that the
script really uses changes. Comments, docstrings and formatting do not count: nobody wants to spend
a thousand GPU-hours on a comment.
"""

import ast
import functools
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).resolve().parent


def code_digest(script: str | Path) -> str:
    """Return a short digest of a script and of every segarena module behind it, however deep.

    Imports inside functions count: they are how modules put off what is slow to load.
    """
    seen: dict[Path, str] = {}
    waiting = [Path(script)]
    while waiting:
        path = waiting.pop()
        if path in seen:
            continue
        seen[path], imported = _read(path)
        waiting += imported
    digest = hashlib.sha256()
    for name, text in sorted((path.name, text) for path, text in seen.items()):
        digest.update(f"{name}\0{text}\0".encode())
    return digest.hexdigest()[:16]


def file_digest(path: str | Path) -> str:
    """Return the sha256 of a file's content."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def json_digest(value: Any) -> str:
    """Return the sha256 of a JSON value, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def folder_digest(folder: str | Path) -> str:
    """Return the sha256 of a folder's file names, modes and contents; byte code does not count."""
    folder = Path(folder)
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            executable = bool(path.stat().st_mode & 0o100)
            digest.update(f"{path.relative_to(folder)}\0{executable}\0".encode())
            digest.update(file_digest(path).encode())
    return digest.hexdigest()


@functools.cache
def _read(path: Path) -> tuple[str, list[Path]]:
    """Return a module's code without what does not count, and the modules that it imports."""
    tree = ast.parse(path.read_bytes())
    imported = _imported(tree)
    return _normalised(tree), imported


def _normalised(tree: ast.Module) -> str:
    for node in _statements(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(tree)


def _statements(tree: ast.Module) -> Iterator[Any]:
    """Yield a module and its statements, however deep; not what they are made of."""
    waiting: list[Any] = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        for block in ("body", "orelse", "finalbody", "handlers", "cases"):
            waiting += getattr(node, block, ())


def _imported(tree: ast.Module) -> list[Path]:
    names: set[str] = set()
    for node in _statements(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return [path for name in names if (path := _module_file(name))]


def _module_file(name: str) -> Path | None:
    first, *rest = name.split(".")
    if first != PACKAGE.name:
        return None
    place = PACKAGE.joinpath(*rest)
    for candidate in (place.with_suffix(".py"), place / "__init__.py"):
        if candidate.is_file() and candidate != PACKAGE / "__init__.py":
            return candidate
    return None
