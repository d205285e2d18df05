"""The bound on the processes of a call that Apptainer runs, with real processes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from segarena.predict.runners import flood
from segarena.predict.runners.flood import bounded

# Starts up to 300 children that wait, and prints how many could be started.
CHILDREN = """
import subprocess
children = []
try:
    for _ in range(300):
        children.append(subprocess.Popen(["sleep", "60"]))
except OSError:
    pass
print(len(children))
for child in children:
    child.kill()
"""


def groups() -> list[Path]:
    return list(Path("/sys/fs/cgroup").glob("**/segarena-*"))


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root for a control group")
def test_roots_processes_are_bounded_by_the_kernel():
    """Of 300 processes no more than the bound and the runtime's own are started."""
    with bounded(16) as words:
        if not words:
            pytest.skip("needs a control group for processes, which this machine does not give")
        command = [*words, sys.executable, "-c", CHILDREN]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert 16 <= int(done.stdout) < 16 + 64
    assert groups() == []


def test_without_a_control_group_the_command_is_unchanged(monkeypatch, tmp_path):
    """Where no group can be made, nothing is put before the command."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(flood, "_GROUPS", tmp_path / "no" / "such")
    with bounded(16) as words:
        assert words == []


def test_a_plain_users_processes_are_bounded_beyond_what_runs_now(monkeypatch):
    """The limit counts all processes of a user, so it is what the user has and as many more."""
    monkeypatch.setattr(os, "geteuid", lambda: 12345)  # who has none
    with bounded(16) as words:
        command = [*words, sys.executable, "-c", "import resource as r; print(r.getrlimit(6)[0])"]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(done.stdout) == 16 + 64
