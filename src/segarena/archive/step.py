"""Bundle a finished run as one archive."""

from pathlib import Path
from typing import Any

from segarena.archive.bundle import write


def main(project: Path, results: Path, receipt: Path, values: dict[str, Any]) -> None:
    """Write the archive beside `receipt`, and its name and sha256 into it."""
    print(write(project, results, receipt, values))
