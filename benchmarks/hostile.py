"""Damaged files of strangers, thousands of each kind: no crash, no traceback, bounded memory.

    python benchmarks/hostile.py [TIMES] [FIRST_SEED]

Boxes, label maps, answers, manifests, image configurations and tar archives are changed at random
places, cut and doubled, and read by what reads them in a run, in a process of 3 GiB. Whatever is
raised but the reader's own error ends the program with the seed.
"""

import io
import json
import random
import resource
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from segarena.case import BOX_KEYS, npy_bytes, object_array, read_boxes, read_truth
from segarena.errors import CaseError, SubmissionError
from segarena.predict.answer import BadAnswer, take_answer
from segarena.predict.layers import read_layer
from segarena.predict.manifest import checked_configuration, image_of
from segarena.predict.tarball import Budget

SHAPE = (4, 6, 8)
LABELS = np.arange(192, dtype=np.uint8).reshape(SHAPE) % 3
BOX = dict.fromkeys(BOX_KEYS, 1)
DIGEST = f"sha256:{'0' * 64}"
Reader = Callable[[Path, bytes], object]


def _npz(key: str, content: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(f"{key}.npy", content)
    return buffer.getvalue()


def _tar() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name in ("a", "b/" + "x" * 150, "c"):
            entry = tarfile.TarInfo(name)
            entry.size = 600
            archive.addfile(entry, io.BytesIO(bytes(600)))
    return buffer.getvalue()


def _boxes(path: Path, content: bytes) -> object:
    path.write_bytes(_npz("boxes", content))  # packed again, so that no checksum helps
    return read_boxes(path)


def _truth(path: Path, content: bytes) -> object:
    path.write_bytes(_npz("gts", content))
    return read_truth(path)


def _answer(path: Path, content: bytes) -> object:
    path.write_bytes(content or b"x")
    return take_answer(path, SHAPE, 1 << 20)


def _layer(_: Path, content: bytes) -> object:
    layer = read_layer(io.BytesIO(content), Budget(1 << 30, 10_000, "too much"))
    if layer.problem:
        raise SubmissionError(layer.problem)
    return layer


CONFIGURATION = {
    "architecture": "amd64",
    "os": "linux",
    "config": {"User": "1000", "Env": ["A=1"], "Volumes": {"/data": {}}, "Cmd": ["sh"]},
    "rootfs": {"type": "layers", "diff_ids": [DIGEST]},
}
KINDS: dict[str, tuple[bytes, Reader]] = {
    "boxes": (npy_bytes(object_array([BOX, BOX])), _boxes),
    "label maps": (npy_bytes(LABELS), _truth),
    "answers": (_npz("segs", npy_bytes(LABELS)), _answer),
    "manifests": (
        json.dumps([{"Config": "a.json", "RepoTags": None, "Layers": ["b", "c"]}]).encode(),
        lambda _, content: image_of(content),
    ),
    "configurations": (
        json.dumps(CONFIGURATION).encode(),
        lambda _, content: checked_configuration(content),
    ),
    "tar archives": (_tar(), _layer),
}


def changed(content: bytes, rng: random.Random) -> bytes:
    """Return content with up to four bytes changed, or cut, or with a part of it doubled."""
    made = bytearray(content)
    for _ in range(rng.choice([1, 1, 2, 4])):
        made[rng.randrange(len(made))] = rng.choice([rng.randrange(256), *b"([{}])0-9'\"", 0, 255])
    if rng.random() < 0.1:
        del made[rng.randrange(len(made)) :]
    elif rng.random() < 0.1:
        start = rng.randrange(len(made))
        made[start:start] = made[start : start + rng.randrange(200)]
    return bytes(made)


def rejected(kind: str, times: int, first: int, folder: Path) -> int:
    """Return how many of so many changed files were rejected; raises any other error."""
    content, read = KINDS[kind]
    count = 0
    for seed in range(first, first + times):
        damaged = changed(content, random.Random(seed))
        try:
            read(folder / "file.npz", damaged)
        except (CaseError, SubmissionError, BadAnswer):
            count += 1
        except BaseException:
            print(f"{kind}: seed {seed}")
            raise
    return count


def main() -> int:
    """Change and read files of each kind."""
    times = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    first = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))
    with tempfile.TemporaryDirectory() as folder:
        for kind in KINDS:
            count = rejected(kind, times, first, Path(folder))
            print(f"{kind}: {times:,} read, {count:,} rejected", flush=True)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    print(f"no other error; at most {peak} MiB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
