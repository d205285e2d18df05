"""Locks keep two holders apart, also where the storage knows none."""

import errno
import fcntl
from pathlib import Path

import pytest

from segarena import locks


@pytest.fixture(params=[None, *sorted(locks.UNKNOWN)])
def storage(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Storage with locks, and storage that answers that it has none."""
    if request.param is not None:

        def unknown(*_: object) -> None:
            raise OSError(request.param, "no locks here")

        monkeypatch.setattr(fcntl, "flock", unknown)


def test_a_lock_has_one_holder(storage: None, tmp_path: Path) -> None:
    """The second one gets nothing until the first has closed its lock; other paths are free."""
    path, other = tmp_path / "lock", tmp_path / "other"
    with path.open("w") as one, path.open("w") as two, other.open("w") as third:
        first = locks.held(path, one, wait=False)
        assert first is not None
        assert locks.held(path, two, wait=False) is None
        elsewhere = locks.held(other, third, wait=False)
        assert elsewhere is not None
        first.close()
        second = locks.held(path, two, wait=True)
        assert second is not None
        second.close()
        elsewhere.close()


def test_another_failure_of_the_storage_is_not_hidden(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only storage without locks is passed by."""

    def broken(*_: object) -> None:
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr(fcntl, "flock", broken)
    with (tmp_path / "lock").open("w") as file, pytest.raises(OSError, match="broken"):
        locks.held(tmp_path / "lock", file, wait=True)
