"""Remove the answers of one submission that `answers: final` does not keep."""

from pathlib import Path

from segarena.files import write_json
from segarena.predict.kept import drop


def main(
    predicted: Path,
    output: str,
    *,
    submission: str,
    plays: list[str],
    cases: list[str],
    interactions: int,
) -> None:
    """Remove all but the last answers and write how many and how many bytes went.

    predicted: the folder results/predict.
    """
    freed = [
        drop(predicted / play / submission / case / f"{k}.npz")
        for play in plays
        for case in cases
        for k in range(1, interactions)
    ]
    write_json(output, {"answers": sum(size > 0 for size in freed), "bytes": sum(freed)})
