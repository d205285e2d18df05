"""A Slurm of two nodes for a test or a benchmark: brought up, asked, and taken down again."""

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

ENGINES = Path(__file__).parent


@dataclass(frozen=True)
class Job:
    """What Slurm's records say of one job; start and end are whole seconds."""

    id: str
    comment: str
    node: str
    state: str
    gpus: bool
    start: datetime
    end: datetime


@dataclass(frozen=True)
class Slurm:
    """A running cluster; environment: what its commands need."""

    environment: dict[str, str]

    def ask(self, *command: str) -> str:
        """Run one of Slurm's commands and return what it printed."""
        done = subprocess.run(
            command, env=self.environment, capture_output=True, text=True, check=True, timeout=30
        )
        return done.stdout

    def jobs(self, folder: Path) -> list[Job]:
        """Return the jobs submitted from `folder`, ended ones too (for MinJobAge seconds)."""
        found = []
        for line in self.ask("scontrol", "--oneliner", "show", "job").splitlines():
            values = dict(part.split("=", 1) for part in line.split() if "=" in part)
            if values.get("WorkDir") != str(folder):
                continue
            ends = values["StartTime"], values["EndTime"]
            if "Unknown" in ends:
                continue
            start, end = map(datetime.fromisoformat, ends)
            found.append(
                Job(
                    values["JobId"],
                    values["Comment"],
                    values["NodeList"],
                    values["JobState"],
                    "gpu" in values.get("TresPerJob", ""),
                    start,
                    end,
                )
            )
        return found


@contextmanager
def brought_up() -> Iterator[Slurm]:
    """Yield a Slurm with two nodes and a fake GPU each, and stop it at the end."""
    folder = Path(tempfile.mkdtemp(prefix="slurm-"))  # a short path, for unix sockets
    try:
        # A file takes the output: the daemons would keep a pipe open.
        with (folder / "printed.txt").open("w") as printed:
            made = subprocess.run(
                [ENGINES / "start-slurm.sh", folder],
                env={**os.environ, "PORT": str(_free_port())},
                stdin=subprocess.DEVNULL,
                stdout=printed,
                stderr=subprocess.STDOUT,
                timeout=300,
                check=False,
            )
        assert made.returncode == 0, (folder / "printed.txt").read_text()
        path = f"{folder}/bin:{os.environ['PATH']}"
        yield Slurm({**os.environ, "SLURM_CONF": f"{folder}/slurm.conf", "PATH": path})
    finally:
        subprocess.run([ENGINES / "stop-slurm.sh", folder], timeout=120, check=False)
        shutil.rmtree(folder, ignore_errors=True)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1] % 20000 + 20000
