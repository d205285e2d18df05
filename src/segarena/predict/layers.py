"""What a layer of an image is, and whether an engine can unpack it.

An engine unpacks each layer into a folder of its own. The right digest does not say that it can: a
hard link may name what is not there, a file be below another file. Such a layer is found here by
what is in it, since an engine that fails at it does not say whose fault that is.
"""

import hashlib
import posixpath
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from segarena.predict.tarball import Budget, Member, NoTar, members

_CHUNK = 1 << 20
_MOST_SERVING = 100
_NOT_UNPACKED = {"unknown": "of an unknown kind", "file with holes": "stored with holes (tar -S)"}


@dataclass(frozen=True)
class Layer:
    """A layer's digest and size, unpacked, and why an engine cannot use it, or nothing.

    serving_folders: where it has a serve.sh, the first few.
    """

    digest: str
    bytes: int
    problem: str
    serving_folders: tuple[str, ...] = ()


def read_layer(unpacked: Any, budget: Budget) -> Layer:
    """Read a member of an archive to its end, as the layer that it may be."""
    stream = _Counted(unpacked, budget)
    files, tree, problem = Budget(budget.bytes, budget.members, budget.why), _Tree(), ""
    serving: list[str] = []
    try:
        for member in members(stream, files):
            problem = problem or tree.add(member)
            if posixpath.basename(member.path) == "serve.sh" and len(serving) < _MOST_SERVING:
                serving.append(posixpath.dirname(member.path))
    except NoTar as error:
        problem = str(error)
    budget.members = files.members
    while stream.read(_CHUNK):
        pass
    return Layer(f"sha256:{stream.hashed.hexdigest()}", stream.size, problem, tuple(serving))


class _Tree:
    """What a layer holds so far; of a path only its hash is kept, as there may be a million."""

    def __init__(self) -> None:
        self.folders, self.files, self.links = {hash("")}, set[int](), dict[int, str]()

    def add(self, member: Member) -> str:
        """Take in a member; return why an engine cannot, or nothing."""
        path = member.path
        if member.kind in _NOT_UNPACKED:
            return f"it holds a file {_NOT_UNPACKED[member.kind]}"
        if posixpath.basename(path) in {".wh.", ".wh..", ".wh..."}:
            return "it takes away what has no name"
        problem = next(filter(None, map(self._below, _above(path))), "")
        if member.kind == "hard link" and not self._has_file(_inside(member.target)):
            problem = problem or "it holds a hard link to what is not there"
        self.folders.update(hash(folder) for folder in _above(path))
        if member.kind == "folder":
            self.folders.add(hash(path))
            self.files.discard(hash(path))
            self.links.pop(hash(path), None)
        elif member.kind == "link":
            self.links[hash(path)] = _inside(posixpath.join(posixpath.dirname(path), member.target))
        else:
            self.files.add(hash(path))
        return problem

    def _has_file(self, path: str) -> bool:
        return hash(path) in self.files or hash(path) in self.links

    def _below(self, folder: str) -> str:
        if hash(folder) in self.files:
            return "it holds a file below another file"
        target = self.links.get(hash(folder))
        known = target is None or hash(target) in self.folders or hash(target) in self.links
        if not known:
            return "it holds a file below a link that leads nowhere"
        return ""


def _above(path: str) -> Iterator[str]:
    while path := posixpath.dirname(path):
        yield path


def _inside(path: str) -> str:
    """Return where a path leads in the layer, whose root nothing leaves."""
    return posixpath.normpath(f"/{path}").lstrip("/")


class _Counted:
    """A layer's bytes: hashed, counted, and never more than the budget."""

    def __init__(self, stream: Any, budget: Budget) -> None:
        self.stream, self.budget = stream, budget
        self.hashed, self.size = hashlib.sha256(), 0

    def read(self, size: int) -> bytes:
        chunk = bytes(self.stream.read(size))
        self.budget.spend(len(chunk))
        self.hashed.update(chunk)
        self.size += len(chunk)
        return chunk
