"""Fixtures of the workflow tests."""

from pathlib import Path

import pytest
from arena import Arena, new_arena


@pytest.fixture
def empty_arena(tmp_path: Path) -> Arena:
    """A project copy and a config, without cases and submissions."""
    return new_arena(tmp_path)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Arena:
    """A finished run of two cases and two submissions, job by job; copy it, do not change it."""
    arena = new_arena(tmp_path_factory.mktemp("finished"))
    for name in ("one", "two"):
        arena.add_case(name)
    for name in ("ada", "bob"):
        arena.add_submission(name)
    arena.config["jobs"] = "interaction"
    arena.run()
    return arena


@pytest.fixture
def arena(finished: Arena, tmp_path: Path) -> Arena:
    """A finished run of one's own."""
    return finished.copy(tmp_path)
