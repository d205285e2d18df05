"""Remove the answers of one submission that `answers: final` does not keep."""

from pathlib import Path

from segarena.files import read_json, write_json
from segarena.predict.store import Store


def main(
    predicted: Path,
    output: str,
    *,
    submission: str,
    repetitions: list[str],
    cases: list[str],
    interactions: int,
    store: str,
) -> None:
    """Remove all but the last answers and write how many and how many bytes went.

    predicted: the folder results/predict. store: the folder of answers, which gives them up too
    where no other run uses it.
    """
    answers = Store(Path(store))
    alone = len(answers.runs()) <= 1
    freed = []
    for folder in (
        predicted / repetition / submission / case for repetition in repetitions for case in cases
    ):
        final = read_json(folder / f"{interactions}.json")["key"]
        for k in range(1, interactions):
            size = _remove(folder / f"{k}.npz")
            key = read_json(folder / f"{k}.json")["key"]
            if alone and key and key != final:
                size += answers.forget(key)
            freed.append(size)
    write_json(output, {"answers": sum(size > 0 for size in freed), "bytes": sum(freed)})


def _remove(path: Path) -> int:
    """Remove a file, if it is there, and return its bytes."""
    size = path.stat().st_size if path.exists() else 0
    path.unlink(missing_ok=True)
    return size
