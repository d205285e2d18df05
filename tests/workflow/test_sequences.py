"""Whatever happens to a run, the next one gives what an empty folder gives."""

from pathlib import Path

import pytest
from sequences import Season


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Season:
    """A finished run of two cases, one submission and two protocols."""
    return Season(tmp_path_factory.mktemp("base"), 0)


@pytest.mark.workflow
@pytest.mark.parametrize("seed", [1, 2])
def test_one_run_after_any_change_gives_what_an_empty_folder_gives(
    seed: int, base: Season, tmp_path: Path
):
    """Nothing differs and nothing is asked twice; benchmarks/sequences.py has many more."""
    season = Season(tmp_path, seed, base)
    happened = [season.step() for _ in range(3)]
    assert season.faults() == [], happened
