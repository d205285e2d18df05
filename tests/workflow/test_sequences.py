"""Whatever happens to a run, the next one gives what an empty folder gives."""

from pathlib import Path

import pytest
from sequences import Season

pytestmark = pytest.mark.workflow
STEPS = 3


@pytest.mark.parametrize("seed", [1, 2])
def test_one_run_after_any_change_gives_what_an_empty_folder_gives(seed: int, tmp_path: Path):
    """And nothing is asked twice; benchmarks/sequences.py plays many more."""
    season = Season(tmp_path, seed)
    season.run(season.arena)
    for _ in range(STEPS):
        print(season.step())
