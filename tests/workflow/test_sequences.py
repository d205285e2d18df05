"""Whatever happens to a run, the next one gives what an empty folder gives."""

from pathlib import Path

import pytest
from sequences import Season, run


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Season:
    """A finished run of two cases, one submission and two protocols."""
    return Season(tmp_path_factory.mktemp("base"), 0)


@pytest.mark.workflow
@pytest.mark.parametrize("seed", [1, 2])
def test_one_run_after_any_change_gives_what_an_empty_folder_gives(
    seed: int, base: Season, tmp_path: Path
):
    """Nothing differs and nothing is asked twice; benchmarks/changes.py has many more."""
    season = Season(tmp_path, seed, base)
    happened = [season.step() for _ in range(3)]
    assert season.faults() == [], happened


@pytest.mark.workflow
def test_a_new_version_of_the_code_asks_nothing_again(base: Season, tmp_path: Path):
    """Unpacked again, with another message and kernel, and an archive that was renamed."""
    season = Season(tmp_path, 0, base)
    asked = len(season.calls(season.works))
    season.copy_project()
    source = season.arena.project / "src/segarena"
    _replace(source / "predict/store.py", "stopped at the time limit", "ended at the limit")
    _replace(
        source / "masks.py",
        "counts = np.zeros((2, 256), np.int64)\n",
        "counts = np.full((2, 256), 0)\n",
    )
    season.rename_submission()
    plan = season.arena.plan()
    assert plan["score"] == 4  # the kernel is a metric's
    assert "prompt" not in plan
    run(season.arena)
    assert len(season.calls(season.works)) == asked
    assert season.faults() == []


def _replace(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))
