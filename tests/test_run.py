"""Two runs in one folder, and errors told at the end."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from segarena import run
from segarena.errors import CaseError, ConfigError, log_errors
from segarena.run import errors_since, lock

HOLD = "import sys, time; from segarena.run import lock; from pathlib import Path; "
HOLD += "lock(Path(sys.argv[1])); print('held', flush=True); time.sleep(60)"


def test_a_second_run_is_refused_and_a_killed_one_is_not_in_the_way(tmp_path: Path):
    """The lock names its holder, and is gone with it, however it ended."""
    path = tmp_path / "lock"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1] / "src")}
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, path], stdout=subprocess.PIPE, env=environment
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    with pytest.raises(ConfigError, match=f"process {holder.pid}"):
        lock(path)
    holder.kill()
    holder.wait()
    lock(path)
    holder.stdout.close()


def test_our_errors_are_one_line_in_the_log_and_others_have_their_trace(tmp_path: Path):
    """The exit code tells the kind; the end of a run collects the first lines of fresh logs."""
    with pytest.raises(SystemExit) as ended, log_errors(tmp_path / "a.log"):
        raise CaseError("a.nii.gz: empty; draw something")
    assert ended.value.code == CaseError.exit_code
    (tmp_path / "again.log").write_text((tmp_path / "a.log").read_text())
    with pytest.raises(ZeroDivisionError), log_errors(tmp_path / "b.log"):
        raise ZeroDivisionError("none")
    (tmp_path / "c.log").write_text("error: of an earlier run\n")
    os.utime(tmp_path / "c.log", (0, 0))
    lines = errors_since(tmp_path, time.time() - 60)
    assert lines == ["a.nii.gz: empty; draw something", "ZeroDivisionError: none"]


def test_a_job_that_left_no_message_is_named_all_the_same(tmp_path: Path, monkeypatch, capsys):
    """As one that was killed from outside; whoever reads the end alone knows what to do."""
    monkeypatch.chdir(tmp_path)
    run.print_errors()
    (head, line) = capsys.readouterr().out.strip().splitlines()
    assert head == "segarena: 1 error(s) stopped this run; fix them and run again:"
    assert "was it killed" in line
