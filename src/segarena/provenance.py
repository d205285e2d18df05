"""Provenance: digests of the code and of the files behind a result.

Snakemake notices a changed script but not a changed function that the script calls. Every rule
therefore passes `code_digest(step)` as a param. It covers the step and, of each segarena module
behind it, the top-level definitions that the step can reach, however deep: a changed metric is no
reason to make prompts again because both use a module. Comments, docstrings, formatting and the
words of raised errors do not count: nobody wants to spend a thousand GPU-hours on a comment.
"""

import ast
import functools
import hashlib
import json
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segarena.files import mark, remembered, remembered_as

PACKAGE = Path(__file__).resolve().parent
CONTENTS = Path(".snakemake/segarena/contents.json")
CODE = Path(".snakemake/segarena/code.json")
_SILENT_SECONDS = 10

Definition = tuple[Path, str]
"""A module's file and the name of a definition in it; an empty name is the whole module."""


def code_digest(step: str) -> str:
    """Return a short digest of a module and of all segarena definitions that it can reach.

    step: the module's name inside the package, such as "prompt.step". Imports inside functions
    count: they put off what is slow to load.
    """
    used: dict[Path, set[int]] = defaultdict(set)
    seen: set[Definition] = set()
    waiting: list[Definition] = [(PACKAGE.joinpath(*step.split(".")).with_suffix(".py"), "")]
    while waiting:
        path, name = waiting.pop()
        if (path, name) in seen:
            continue
        seen.add((path, name))
        module = _module(path)
        for number in module.statements_of(name) - used[path]:
            used[path].add(number)
            waiting += module.statements[number].uses
    digest = hashlib.sha256()
    for name, path in sorted((path.name, path) for path in used):
        texts = (_module(path).statements[number].text for number in sorted(used[path]))
        digest.update("\0".join([name, *texts, ""]).encode())
    return digest.hexdigest()[:16]


def remembered_code_digest(step: str) -> str:
    """Return `code_digest(step)`, reckoned again only where a file of the package is another."""
    files = {str(path.relative_to(PACKAGE)): mark(path) for path in PACKAGE.rglob("*.py")}
    name = f"{PACKAGE}:{step}"
    return str(remembered_as(name, json_digest(files), CODE, lambda: code_digest(step)))


def file_digest(path: str | Path) -> str:
    """Return the sha256 of a file's content."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def content_digest(path: str | Path) -> str:
    """Return the sha256 of a file's content, read again only where the file is another."""
    return remembered(path, CONTENTS, file_digest)


def remember_contents(paths: Iterable[Path]) -> None:
    """Read files whose content is not known yet, several at a time, and say so where it lasts."""
    waiting = set(paths)
    started = last = time.monotonic()
    with ThreadPoolExecutor() as several:
        for done, _ in enumerate(several.map(content_digest, waiting), start=1):
            now = time.monotonic()
            if now - started > _SILENT_SECONDS and now - last > _SILENT_SECONDS:
                print(f"segarena: {done} of {len(waiting)} files read", file=sys.stderr)
                last = now


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
            head = f"{path.relative_to(folder)}\0{executable}\0"
            digest.update(head.encode(errors="surrogateescape"))  # any bytes can be a name
            digest.update(file_digest(path).encode())
    return digest.hexdigest()


class _Statement:
    """A top-level statement, and what it refers to."""

    def __init__(self, node: ast.stmt | None, uses: Iterable[Definition]) -> None:
        self._node, self.uses = node, tuple(uses)

    @functools.cached_property
    def text(self) -> str:
        """Its code without what does not count."""
        return "" if self._node is None else ast.unparse(self._node)


@dataclass(frozen=True)
class _Module:
    """A module cut into its top-level statements.

    defined: the numbers of the statements that define a name. always: those that define none, such
    as a call; they belong to every name, since they may register or change it.
    """

    statements: list[_Statement]
    defined: dict[str, set[int]]
    always: frozenset[int]

    def statements_of(self, name: str) -> set[int]:
        """Return the numbers of the statements behind a name; of all where it is not known."""
        known = self.defined.get(name)
        return set(range(len(self.statements))) if known is None else known | self.always


@functools.cache
def _module(path: Path) -> _Module:
    tree = ast.parse(path.read_bytes())
    _leave_out(tree)
    imported = _imported(ast.walk(tree))
    bodies = [node for node in tree.body if not isinstance(node, ast.Import | ast.ImportFrom)]
    defined: dict[str, set[int]] = defaultdict(set)
    always = set()
    for number, node in enumerate(bodies):
        names = set(_defined(node))
        for name in names:
            defined[name].add(number)
        if not names:
            always.add(number)
    statements = [_Statement(node, _uses(node, path, set(defined), imported)) for node in bodies]
    for name in imported.keys() - defined.keys():  # for a module that takes the name from here
        defined[name].add(len(statements))
        statements.append(_Statement(None, sorted(imported[name])))
    return _Module(statements, dict(defined), frozenset(always))


def _leave_out(tree: ast.Module) -> None:
    """Take docstrings and the words of raised errors out of a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                node.body = node.body[1:] or [ast.Pass()]
        elif isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            node.exc = node.exc.func


def _defined(node: ast.stmt) -> Iterator[str]:
    """Yield the names that a top-level statement binds, also inside an `if`, `try` or `with`."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield node.name
        return
    for inner in ast.walk(node):
        if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store):
            yield inner.id
        elif isinstance(inner, ast.FunctionDef | ast.ClassDef):
            yield inner.name


def _uses(
    node: ast.stmt, path: Path, own: set[str], imported: dict[str, set[Definition]]
) -> set[Definition]:
    """Return the definitions that a statement may refer to, of its own module and of others."""
    nodes = list(ast.walk(node))
    attributes = {
        inner.value: inner.attr
        for inner in nodes
        if isinstance(inner, ast.Attribute) and isinstance(inner.value, ast.Name)
    }
    found: set[Definition] = set()
    for inner in nodes:
        if isinstance(inner, ast.Name):
            if inner.id in own:
                found.add((path, inner.id))
            for target, name in imported.get(inner.id, ()):
                found.add((target, name or attributes.get(inner, "")))
    return found


def _imported(nodes: Iterable[ast.AST]) -> dict[str, set[Definition]]:
    """Return what of the package each imported name stands for, wherever it is imported."""
    found: dict[str, set[Definition]] = defaultdict(set)
    for node in nodes:
        if isinstance(node, ast.Import):
            for alias in node.names:
                if target := _module_file(alias.name):
                    found[alias.asname or alias.name.partition(".")[0]].add((target, ""))
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                name = alias.asname or alias.name
                if target := _module_file(f"{node.module}.{alias.name}"):
                    found[name].add((target, ""))
                elif target := _module_file(node.module):
                    found[name].add((target, alias.name))
    return dict(found)


def _module_file(name: str) -> Path | None:
    first, *rest = name.split(".")
    if first != PACKAGE.name:
        return None
    place = PACKAGE.joinpath(*rest)
    for candidate in (place.with_suffix(".py"), place / "__init__.py"):
        if candidate.is_file() and candidate != PACKAGE / "__init__.py":
            return candidate
    return None
