"""What a step leaves in its log and says when it fails."""

import errno
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from segarena.errors import CaseError, EngineError, full_disk, log_errors
from segarena.files import write_json


@pytest.fixture
def full(tmp_path: Path) -> Iterator[Path]:
    """A folder on a disk without a byte left; a file `ballast` in it can be removed."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root")
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", disk], check=True)
    try:
        (disk / "empty.log").touch()
        with (disk / "ballast").open("wb", buffering=0) as file, pytest.raises(OSError):
            while True:
                file.write(bytes(4096))
        yield disk
    finally:
        subprocess.run(["umount", disk], check=True)


def test_an_error_of_ours_is_one_line_on_stderr_and_in_the_log(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And the exit code is the error's."""
    with pytest.raises(SystemExit) as left, log_errors(tmp_path / "logs/step.log"):
        raise CaseError("one.nii.gz: broken")
    assert left.value.code == CaseError.exit_code
    assert capsys.readouterr().err == "segarena: one.nii.gz: broken\n"
    assert (tmp_path / "logs/step.log").read_text() == "error: one.nii.gz: broken\n"


def test_any_other_error_keeps_its_trace(tmp_path: Path) -> None:
    """What we did not expect is for developers, in full."""
    with pytest.raises(KeyError), log_errors(tmp_path / "step.log"):
        raise KeyError("x")
    assert "Traceback" in (tmp_path / "step.log").read_text()


def test_a_full_disk_is_one_line_with_the_file_and_what_to_do(
    full: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The result is not there, and nothing is left beside it."""
    with pytest.raises(SystemExit) as left, log_errors(tmp_path / "step.log"):
        write_json(full / "result.json", {"key": "x" * 5000})
    assert left.value.code == EngineError.exit_code
    line = capsys.readouterr().err
    assert line.startswith(f"segarena: {full}")
    assert "No space left on device" in line
    assert "make room and run the same command again" in line
    assert line.count("\n") == 1
    assert (tmp_path / "step.log").read_text().startswith("error: ")
    assert sorted(path.name for path in full.iterdir()) == ["ballast", "empty.log"]


def test_a_log_on_a_full_disk_costs_no_trace(
    full: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The line is on stderr all the same."""
    with pytest.raises(SystemExit) as left, log_errors(full / "empty.log"):
        raise CaseError("one.nii.gz: broken")
    assert left.value.code == CaseError.exit_code
    assert capsys.readouterr().err == "segarena: one.nii.gz: broken\n"


def test_a_log_that_cannot_be_made_ends_the_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is begun whose end could not be reported."""

    def mkdir(*_: object, **__: object) -> None:
        raise OSError(errno.EDQUOT, "Disk quota exceeded")

    monkeypatch.setattr(Path, "mkdir", mkdir)
    begun = False
    with pytest.raises(SystemExit) as left, log_errors(tmp_path / "logs/step.log"):
        begun = True
    assert not begun
    assert left.value.code == EngineError.exit_code
    assert "make room and run the same command again" in capsys.readouterr().err


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_found_behind_other_errors(code: int) -> None:
    """zipfile and others raise their own error while they clean up."""
    error = ValueError("Can't close the ZIP file")
    error.__context__ = OSError(code, os.strerror(code))
    found = full_disk(error)
    assert found is not None
    assert os.strerror(code) in str(found)


def test_another_failure_of_a_disk_is_not_taken_for_a_full_one() -> None:
    """It keeps its trace."""
    assert full_disk(OSError(errno.EIO, "Input/output error")) is None
    assert full_disk(ValueError("x")) is None
