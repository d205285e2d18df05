"""Preparing a container's input: rewritten, or a copy of the prepared archive with members added.

    python benchmarks/files.py

On a drawn 300 x 512 x 512 image: CPU seconds and size of the file, for numpy's savez_compressed and
for the copy with the previous answer appended at zlib level 1 and 6.
"""

import shutil
import tempfile
import time
import zipfile
from pathlib import Path

import numpy as np

from segarena.case import append_arrays, write_npz

SHAPE = (300, 512, 512)


def main() -> None:
    """Print a row a way."""
    rng = np.random.default_rng(0)
    image = np.add.outer(np.arange(SHAPE[0]) // 3, np.add.outer(*[np.arange(512) // 8] * 2))
    image = (image + rng.integers(0, 6, SHAPE, np.uint8)).astype(np.uint8)
    answer = np.zeros(SHAPE, np.uint8)
    for label in range(1, 16):
        answer[10 * label : 10 * label + 60, 20 * label : 20 * label + 90, 100:300] = label
    print("| way | CPU s | MB |\n|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        prepared, target = Path(folder, "prepared.npz"), Path(folder, "input.npz")
        write_npz(prepared, {"imgs": image, "spacing": np.ones(3)})

        def copied(level: int) -> None:
            shutil.copyfile(prepared, target)
            with zipfile.ZipFile(target, "a") as archive:
                append_arrays(archive, {"prev_pred": answer}, level=level)

        ways = {
            "numpy savez_compressed": lambda: np.savez_compressed(
                target, imgs=image, spacing=np.ones(3), prev_pred=answer
            ),
            "copy, append at level 6": lambda: copied(6),
            "copy, append at level 1": lambda: copied(1),
        }
        for name, way in ways.items():
            start = time.process_time()
            way()
            seconds = time.process_time() - start
            with np.load(target) as read:
                assert (read["prev_pred"] == answer).all()
            print(f"| {name} | {seconds:.2f} | {target.stat().st_size / 1e6:.1f} |", flush=True)


if __name__ == "__main__":
    main()
