"""Fixtures of the cluster tests: a real Slurm of two nodes, and a small part of the reference."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pytest
from arena import ROOT, Arena, new_arena

ENGINES = ROOT / "tests" / "engines"
REFERENCE = ROOT / "tests" / "data" / "reference"
FASTPOLL = Path(__file__).with_name("fastpoll.py")
RUN_SECONDS = 240


@dataclass(frozen=True)
class Job:
    """What Slurm's records say of one job."""

    id: str
    comment: str
    node: str
    state: str
    gpus: bool
    start: datetime
    end: datetime


@dataclass(frozen=True)
class Slurm:
    """A running throw-away cluster."""

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
            if values.get("WorkDir") == str(folder):
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

    def start(self, arena: Arena, *arguments: str) -> subprocess.Popen:
        """Start `snakemake --profile slurm` in the project copy."""
        folder = arena.folder
        command = arena.command(*arguments)
        at = command.index("--snakefile")
        with (folder / "printed.txt").open("a") as printed:
            return subprocess.Popen(
                [sys.executable, str(FASTPOLL), "--profile", "slurm", *command[at:]],
                cwd=arena.project,
                env={**arena.environment(), **self.environment},
                stdin=subprocess.DEVNULL,
                stdout=printed,
                stderr=subprocess.STDOUT,
            )

    def run(self, arena: Arena, *arguments: str, expect: int | None = 0) -> None:
        """Run `snakemake --profile slurm` to its end."""
        self.wait(arena, self.start(arena, *arguments), expect=expect)

    def wait(self, arena: Arena, head: subprocess.Popen, *, expect: int | None = 0) -> None:
        """Wait for a started run; kills it when it hangs."""
        try:
            head.wait(timeout=RUN_SECONDS)
        finally:
            head.kill()
        if expect is not None:
            assert head.returncode == expect, (arena.folder / "printed.txt").read_text()[-6000:]


@pytest.fixture(scope="session")
def slurm() -> Iterator[Slurm]:
    """A Slurm with two nodes and a fake GPU each, stopped at the end."""
    debian = shutil.which("apt-get") and os.geteuid() == 0
    if not shutil.which("slurmctld") and not debian:
        reason = "there is no Slurm, and only root on Debian can install it"
        if os.environ.get("SEGARENA_NO_SKIP") == "1":
            pytest.fail(f"nothing may be skipped here, but {reason}")
        pytest.skip(reason)
    folder = Path(tempfile.mkdtemp(prefix="slurm-"))  # a short path, for unix sockets
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
    try:
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


@pytest.fixture(scope="session")
def reference_arena() -> Callable[..., Arena]:
    """A factory of arenas that play a part of the reference workload."""

    def make(folder: Path, cases: list[str], submissions: list[str]) -> Arena:
        arena = new_arena(folder)
        # Other than shutil.copytree, it leaves the link a link.
        (arena.project / "slurm").symlink_to("profiles/slurm")
        for kind, place in (("images", "images"), ("truth", "labels")):
            for case in cases:
                source = REFERENCE / "cases" / kind / f"{case}.npz"
                shutil.copyfile(source, arena.folder_of(place) / source.name)
        for name in submissions:
            target = arena.folder_of("submissions") / name
            shutil.copytree(REFERENCE / "submissions" / name, target)
        arena.config |= {"protocols": ["cvpr25"], "gpus": 1}
        return arena

    return make


def until(condition: Callable[[], object], *, seconds: float = RUN_SECONDS) -> None:
    """Wait until a condition holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.2)


@pytest.fixture(scope="session")
def wait_until() -> Callable[..., None]:
    """Return `until`, as a fixture because test modules do not import each other."""
    return until
