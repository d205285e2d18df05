"""The store: every answer under the digest of what the submission saw, so that none is asked twice.

An answer depends on what runs (the image, or the files of a folder), how it runs (runtime, limits,
whether it has a GPU), the case's name, and on all that it could read at this interaction and those
before. The names of teams, archives and protocols, our code and its messages are not part of it,
and neither is the time limit: a call that ended by itself counts under any limit that it kept.

    answers/AB/KEY.json, KEY.npz   how a call went, and the label map where it is usable
    answers/AB/KEY.state           what the call left for the next one (segarena.predict.state)
    sessions/AB/KEY.json           the keys of all answers of a session, known before it is planned
    runs/ID.json                   the run folders that use this store

Entries are read-only, written whole, and checked against their digest when they are read. Several
runs may share a store: whoever asks for an answer holds the key's lock while the call is made.
"""

import contextlib
import functools
import hashlib
import json
import os
import shutil
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy

from segarena.case import read_boxes, write_answer
from segarena.errors import CaseError, EngineError
from segarena.files import atomic_write, mark, read_json, write_json
from segarena.locks import Lock, held
from segarena.predict.runners import Image, Limits
from segarena.provenance import file_digest, json_digest

ANSWER_CHECKS = 2
"""Raise it when what counts as a usable answer changes: all answers are then asked for again."""

INPUT_FORMAT = 2
"""Raise it when the input of a submission is made otherwise: sessions are then looked at again."""

_CHUNK_BYTES = 1 << 20

Facts = dict[str, Any]
Members = dict[str, np.ndarray | list[Any] | None]
"""What an input has in place of the image file's members, or beside them; None: it lacks one."""


@dataclass(frozen=True)
class Store:
    """A folder of answers; it is made when the first one is kept."""

    folder: Path

    def find(self, key: str) -> Facts | None:
        """Return how a call went, or None where it is not known, damaged, or checked otherwise."""
        path = self._entry(key)
        try:
            facts = read_json(path)
            fits = facts["checks"] == ANSWER_CHECKS
            if fits and facts["status"] == "ok":
                fits = facts["segs_sha256"] == file_digest(path.with_suffix(".npz"))
        except (OSError, EngineError, KeyError, TypeError):
            return None
        return facts if fits else None

    def keep(
        self, key: str, segs: np.ndarray | None, facts: Facts, probs: Path | None = None
    ) -> Facts:
        """Add an answer and return its facts as they are stored. probs: see `write_answer`."""
        path = self._entry(key)
        answer = path.with_suffix(".npz")
        if segs is not None:
            write_answer(answer, segs, probs)
            answer.chmod(0o444)
            facts = {**facts, "segs_sha256": file_digest(answer)}
        facts = {**facts, "checks": ANSWER_CHECKS}
        write_json(path, facts)
        path.chmod(0o444)
        return facts

    def copy_answer(self, key: str, target: Path) -> None:
        """Write a copy of a usable answer: a file of its own, since a run reads its time."""
        with atomic_write(target) as tmp:
            copy(self._entry(key).with_suffix(".npz"), tmp)

    def forget(self, key: str) -> int:
        """Remove an answer and return the bytes that this frees."""
        freed = 0
        for path in (*map(self._entry(key).with_suffix, (".json", ".npz")), self.state_file(key)):
            with contextlib.suppress(FileNotFoundError):
                freed += path.stat().st_size
                path.unlink()
        return freed

    def state_file(self, key: str) -> Path:
        """Return where the files that a call has left are packed."""
        return self._entry(key).with_suffix(".state")

    def drop_state(self, left: Facts) -> None:
        """Remove the files that a call has left, once no interaction needs them any more.

        Where they are its answer alone they stay with it, so that a case can go on from there.
        """
        if not left["answer_only"]:
            self.state_file(left["key"]).unlink(missing_ok=True)

    def keys(self) -> Iterator[str]:
        """Yield the keys of all answers."""
        yield from (path.stem for path in self.folder.glob("answers/*/*.json"))

    @contextlib.contextmanager
    def asking(self, key: str) -> Iterator[None]:
        """Hold a key's lock, so that two jobs never make the same call at a time.

        Where the storage has no locks that holds on one machine (see segarena.locks). Raises
        EngineError where the store cannot be written.
        """
        path = self.folder / "locks" / key
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            lock = _locked(path)
        except OSError as error:
            raise EngineError(
                f"{self.folder}: the store cannot be written ({error}); make room or let this "
                "user write there, then run again"
            ) from error
        with lock:
            try:
                yield
            finally:
                path.unlink(missing_ok=True)

    def keep_session(self, session: str, keys: list[str]) -> None:
        """Remember the keys of all answers of a session."""
        write_json(self._session(session), {"keys": keys})

    def has_session(self, session: str) -> bool:
        """Return whether all answers of a session are here, by their names alone."""
        try:
            keys = read_json(self._session(session))["keys"]
            return all(self._entry(key).exists() for key in keys)
        except (OSError, EngineError, KeyError, TypeError):
            return False

    def forget_session(self, session: str) -> None:
        """Remove what is remembered of a session."""
        self._session(session).unlink(missing_ok=True)

    def register(self, run_folder: Path) -> None:
        """Note that a run folder uses this store."""
        name = hashlib.sha256(os.fsencode(run_folder)).hexdigest()[:16]
        write_json(self.folder / "runs" / f"{name}.json", {"folder": str(run_folder)})

    def runs(self) -> list[Path]:
        """Return the run folders that use this store."""
        return sorted(Path(read_json(path)["folder"]) for path in self.folder.glob("runs/*.json"))

    def _entry(self, key: str) -> Path:
        return self.folder / "answers" / key[:2] / f"{key}.json"

    def _session(self, session: str) -> Path:
        return self.folder / "sessions" / session[:2] / f"{session}.json"


def seen_digest(before: str, image_npz: Path, members: Members, state: str = "") -> str:
    """Return the digest of all that a submission could read up to this interaction.

    before: the digest up to the interaction before, empty for none. state: the digest of what that
    interaction left, empty for nothing.
    """
    digests = dict(_members(image_npz, tuple(mark(image_npz))))
    for name, value in members.items():
        if value is None:
            digests.pop(name, None)
        elif isinstance(value, np.ndarray):
            digests[name] = _array_digest(value)
        else:
            digests[name] = json_digest(value)
    return json_digest([before, digests, state])


def answer_key(
    image: Image,
    case: str,
    limits: Limits,
    *,
    gpu: bool,
    seen: str,
    origin: list[str],
    probs: bool = False,
) -> str:
    """Return the key of an answer.

    image: what image.json says; of a folder its files count, of an archive its image. limits: all
    but the time. seen: see `seen_digest`. origin: empty, or where the answer belongs where none
    that was found elsewhere may be used. probs: whether probabilities are kept, which others lack.
    """
    files = image["sha256"] if image.get("mounted") or image["image_id"] is None else None
    bounds = {key: value for key, value in vars(limits).items() if key != "seconds"}
    runs = [image["image_id"], files, image["runtime"], image.get("sandbox")]
    parts = [runs, "warm" if limits.warm else "fresh", gpu, bounds, case, seen, origin]
    return json_digest([*parts, "probs"] if probs else parts)


def within(facts: Facts, seconds: float) -> Facts | None:
    """Return how a stored call counts under a time limit in seconds; None where it says too little.

    A call that was killed at this limit or a later one would have been killed again.
    """
    if facts["timed_out"] and facts["limits"]["seconds"] < seconds:
        return None
    if not facts["timed_out"] and facts["seconds"] <= seconds:
        return facts
    message = f"stopped at the time limit of {seconds:.1f} s"
    return {**facts, "status": "timed_out", "message": message, "seconds": seconds}


def copy(source: Path, target: Path) -> None:
    """Copy a file, without its bytes where the disk can share them."""
    try:
        with source.open("rb") as read, target.open("wb") as written:
            while os.copy_file_range(read.fileno(), written.fileno(), 1 << 30):
                pass
    except OSError:
        shutil.copyfile(source, target)


def _locked(path: Path) -> Lock:
    """Return what holds the lock of a key, once it is ours; whoever had it has removed its file."""
    while True:
        file = path.open("w")
        lock = held(path, file, wait=True)
        if lock is not file and lock is not None:
            file.close()
            return lock
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_ino == os.fstat(file.fileno()).st_ino:
                return file
        file.close()


@functools.lru_cache(maxsize=4)
def _members(image_npz: Path, known_by: tuple[int, ...]) -> dict[str, str]:
    """Return the digest of each member of an image file; read once per session."""
    del known_by  # part of the cache's key: another file of the same name is read again
    found = {}
    try:
        with zipfile.ZipFile(image_npz) as archive:
            for name in archive.namelist():
                key = name.removesuffix(".npy")
                with archive.open(name) as member:
                    found[key] = "" if key == "boxes" else _stream_digest(member)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise CaseError(f"{image_npz}: not a readable .npz file ({error})") from error
    if "boxes" in found:  # equal ones may be pickled in different ways
        found["boxes"] = json_digest(read_boxes(image_npz))
    return found


def _stream_digest(member: Any) -> str:
    """Return the digest of an array in a .npy stream, a piece at a time."""
    version = npy.read_magic(member)
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, fortran, dtype = read(member)
    digest = hashlib.sha256(_form(dtype, shape, fortran))
    while piece := member.read(_CHUNK_BYTES):
        digest.update(piece)
    return digest.hexdigest()


def _array_digest(array: np.ndarray) -> str:
    array = np.ascontiguousarray(array)
    digest = hashlib.sha256(_form(array.dtype, array.shape, False))
    digest.update(array.data if array.size else b"")
    return digest.hexdigest()


def _form(dtype: np.dtype, shape: tuple[int, ...], fortran: bool) -> bytes:
    return json.dumps([dtype.str, list(shape), fortran]).encode()
