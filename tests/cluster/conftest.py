"""Fixtures of the cluster tests: a real Slurm of two nodes, and a small part of the reference."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import throw_away_slurm
from arena import ROOT, Arena, new_arena

REFERENCE = ROOT / "tests" / "data" / "reference"
FASTPOLL = Path(__file__).with_name("fastpoll.py")
RUN_SECONDS = 240


class Cluster(throw_away_slurm.Slurm):
    """A throw-away cluster on which arenas are run."""

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
def slurm(missing: Callable[[str], None]) -> Iterator[Cluster]:
    """A Slurm with two nodes and a fake GPU each, stopped at the end."""
    hidden = os.environ.get("SEGARENA_TEST_ENGINES") == "none"
    installable = shutil.which("apt-get") and os.geteuid() == 0 and not hidden
    if not shutil.which("slurmctld") and not installable:
        missing("there is no Slurm, and only root on Debian can install it")
    with throw_away_slurm.brought_up() as cluster:
        yield Cluster(cluster.environment)


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
