"""Our own accidents: each is told, none costs a team points, and the same command mends it.

Every test ends with the same question: are the tables, running times aside, byte for byte those of
a run that nothing disturbed?
"""

import contextlib
import csv
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import docker
import pytest
from arena import PREDICT, ROOT, Arena, new_arena
from docker_archive import write_docker_archive

from segarena.files import read_json

SLOW = "import time; time.sleep(0.3)\n" + PREDICT


Tables = dict[str, list[list[str]]]

OF_TIMES = {"resources.csv", "quality_over_time.csv"}
"""Tables of the report that hold little but measured times."""


def tables(arena: Arena) -> Tables:
    """Return every CSV of scores and ranks, without what was measured of time."""
    found = {}
    made = (path for path in arena.path().rglob("*.csv") if ".kept" not in path.parts)
    for path in sorted(path for path in made if path.name not in OF_TIMES):
        with path.open(newline="") as file:
            rows = list(csv.reader(file))
        compared = [i for i, name in enumerate(rows[0]) if "RunningTime" not in name]
        found[str(path.relative_to(arena.work))] = [[row[i] for i in compared] for row in rows]
    return found


def filled(arena: Arena, source: str = PREDICT) -> Arena:
    """Return an arena with a case and a submission."""
    arena.add_case("one")
    arena.add_submission("ada", source)
    return arena


def failed(arena: Arena, environment: dict[str, str] | None = None) -> str:
    """Run the workflow, which must fail, and return what it printed."""
    done = subprocess.run(
        arena.command(),
        env=environment or arena.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0, done.stdout
    return done.stdout + done.stderr


@contextlib.contextmanager
def started(arena: Arena, environment: dict[str, str] | None = None) -> Iterator[subprocess.Popen]:
    """Start a run in a process group of its own; end it, if it still runs, with the block."""
    with (arena.folder / "printed.txt").open("ab") as printed:
        process = subprocess.Popen(
            arena.command(),
            env=environment or arena.environment(),
            stdout=printed,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def until(condition: Callable[[], Any], seconds: float = 60) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Arena:
    """A finished run that nothing disturbed; copy it, do not change it."""
    arena = filled(new_arena(tmp_path_factory.mktemp("undisturbed")))
    arena.run()
    return arena


@pytest.fixture(scope="module")
def undisturbed(small: Arena) -> Tables:
    """The tables of a run that nothing disturbed."""
    return tables(small)


@pytest.fixture(scope="module")
def base(docker_host: str, base_image: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive of a base image with numpy."""
    archive = tmp_path_factory.mktemp("base") / "segarena-test-numpy.tar"
    write_docker_archive(archive, [base_image("numpy")])
    return archive


def load(host: str, archive: Path) -> str:
    """Load an archive into an engine and return the image's ID."""
    from segarena.predict.image import image_of_archive

    client = docker.APIClient(base_url=host, timeout=300)
    with contextlib.closing(client), archive.open("rb") as file:
        list(client.load_image(file, quiet=True))
    return image_of_archive(archive)["image_id"]


@pytest.fixture
def in_docker(
    docker_host: str, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Arena:
    """An arena whose submissions run in containers of the shared engine."""
    monkeypatch.setenv("DOCKER_HOST", docker_host)
    arena = filled(new_arena(tmp_path), SLOW)
    arena.config |= {"runtime": "docker", "base_image": load(docker_host, base)}
    return arena


def containers(arena: Arena) -> list[str]:
    """Return the containers that belong to an arena's runs."""
    with contextlib.closing(docker.APIClient(base_url=os.environ["DOCKER_HOST"])) as client:
        found = client.containers(all=True, filters={"label": f"segarena={arena.work}"})
    return [container["Id"] for container in found]


def test_a_second_run_in_one_folder_is_refused(tmp_path: Path, undisturbed: Tables) -> None:
    """The second run ends in one line; the first one is not disturbed."""
    arena = filled(new_arena(tmp_path), SLOW)
    with started(arena) as first:
        until(lambda: list(arena.work.glob("results/predict/short/*/*/1.npz")))
        assert "another run is at work here" in failed(arena)
        assert first.wait() == 0
    assert tables(arena) == undisturbed


def test_a_run_that_is_killed_again_and_again_finishes(
    in_docker: Arena, undisturbed: Tables
) -> None:
    """Killed during a call by each signal in turn, and its main process alone, it still finishes.

    Jobs that outlive their run do no harm to the next one, and no container stays.
    """
    ended = []
    for how in (signal.SIGTERM, signal.SIGKILL, signal.SIGINT):
        with started(in_docker) as run:
            # Asked to end, a run may first finish what is left; then the next has nothing to do.
            until(lambda run=run: containers(in_docker) or run.poll() is not None)
            if run.poll() is None:
                os.killpg(run.pid, how)
            ended.append(run.wait())
    assert ended[0] != 0
    for folder in (in_docker.path(), in_docker.work / "store"):
        shutil.rmtree(folder)  # whether or not the last run could finish, calls are left to make
    with started(in_docker) as run:
        until(lambda: containers(in_docker))
        os.kill(run.pid, signal.SIGKILL)
        run.wait()
        in_docker.run()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(run.pid, signal.SIGKILL)
    assert tables(in_docker) == undisturbed
    assert containers(in_docker) == []


def test_an_unusable_submission_does_not_stop_the_run(
    in_docker: Arena, undisturbed: Tables
) -> None:
    """A broken archive is told in each of its records, and scores 0; the others are played."""
    (in_docker.folder_of("submissions") / "broken.tar.gz").write_bytes(b"not an archive")
    in_docker.run()
    for record in in_docker.work.glob("results/predict/short/broken/one/*.json"):
        assert '"status": "bad_image"' in record.read_text()
    found = tables(in_docker)
    zeros = found["results/score/short/broken/one.csv"]
    assert {row[-1] for row in zeros[1:]} == {"0.0"}
    name = "results/score/short/ada_metrics.csv"
    assert found[name] == undisturbed[name]


def test_an_engine_that_is_gone_is_told_and_costs_nothing(
    in_docker: Arena, undisturbed: Tables, tmp_path: Path
) -> None:
    """Without an engine no record is written; with it the same command finishes."""
    gone = {**in_docker.environment(), "DOCKER_HOST": f"unix://{tmp_path}/none.sock"}
    assert "no Docker engine answers" in failed(in_docker, gone)
    assert not list(in_docker.work.glob("results/predict/**/*.json"))
    in_docker.run()
    assert tables(in_docker) == undisturbed


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_an_engine_that_stops_during_a_call_costs_nothing(
    how: int, base: Path, undisturbed: Tables, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The calls that were running fail as ours; with the engine back the same command finishes."""
    if os.geteuid() != 0:
        pytest.skip("an engine of one's own needs root")
    state = Path(f"/tmp/segarena-dk-{os.getpid()}-{int(how)}")
    start = [str(ROOT / "tests/engines/start-docker.sh")]
    environment = {
        **os.environ,
        "SEGARENA_DOCKER_DIR": str(state),
        "SEGARENA_DOCKER_PRIVATE": "1",
    }
    try:
        subprocess.run(start, env=environment, check=True, capture_output=True)
        host = f"unix://{state}/docker.sock"
        monkeypatch.setenv("DOCKER_HOST", host)
        arena = filled(new_arena(tmp_path), SLOW)
        arena.config |= {"runtime": "docker", "base_image": load(host, base)}
        with started(arena) as run:
            until(lambda: containers(arena))
            os.kill(int((state / "dockerd.pid").read_text()), how)
            assert run.wait() != 0
        printed = (tmp_path / "printed.txt").read_text()
        assert "run again" in printed or "engine does not answer" in printed
        records = list(arena.work.glob("results/predict/short/*/*/*.json"))
        assert all('"status": "ok"' in record.read_text() for record in records)
        subprocess.run(start, env=environment, check=True, capture_output=True)
        load(host, base)  # a killed engine may come back with another storage driver, and empty
        arena.run()
        assert tables(arena) == undisturbed
    finally:
        _stop_engine(state)


def _stop_engine(state: Path) -> None:
    pid_file = state / "dockerd.pid"
    if pid_file.exists():
        pid = int(pid_file.read_text())
        os.kill(pid, signal.SIGTERM)
        until(lambda: not Path(f"/proc/{pid}").exists())
    mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    for mount in sorted((m for m in mounts if m.startswith(f"{state}/")), reverse=True):
        subprocess.run(["umount", "-l", mount], check=False)
    shutil.rmtree(state, ignore_errors=True)


FULL = {
    "prepare": ("results", []),
    "predict": ("results", ["--until", "cases"]),
    "score": ("results", ["--until", "predict"]),
    "the store": ("store", ["--until", "cases"]),
    "TMPDIR": ("tmp", ["--until", "cases"]),
    "the run's folder": (".", ["--until", "cases"]),
}


@pytest.mark.parametrize("at", FULL)
def test_a_full_disk_is_told_and_costs_nothing(
    at: str, tmp_path: Path, undisturbed: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever the disk fills up, a line says what to do; with room the same command finishes."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root")
    where, before = FULL[at]
    arena = new_arena(tmp_path)
    disk = arena.folder_of(where)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=100m", "none", disk], check=True)
    try:
        filled(arena)
        if before:
            arena.run(*before)
        if where == "tmp":
            monkeypatch.setenv("TMPDIR", str(disk))
        _fill(disk)
        if where == "tmp":  # without a byte of room Python takes another folder
            os.truncate(disk / "ballast", (disk / "ballast").stat().st_size - (1 << 20))
        printed = failed(arena)
        assert "Traceback" not in printed
        assert "segarena: " in printed
        assert "make room" in printed
        (disk / "ballast").unlink()
        arena.run()
        assert tables(arena) == undisturbed
    finally:
        subprocess.run(["umount", "--lazy", disk], check=True)


def _fill(folder: Path) -> None:
    with (folder / "ballast").open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))


@pytest.mark.parametrize(
    "name",
    [
        "prepare/one.image.npz",
        "predict/ada/image.json",
        "prompt/short/ada/one/1.json",
        "predict/short/ada/one/1.npz",
        "predict/short/ada/one/2.json",
        "score/short/ada/one.csv",
        "score/short/ada_metrics.csv",
    ],
)
def test_a_truncated_file_is_never_taken_for_whole(
    name: str, small: Arena, tmp_path: Path, undisturbed: Tables
) -> None:
    """A results file cut by hand is told by its name, or made again; never a wrong table."""
    arena = small.copy(tmp_path)
    path = arena.path(name)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    done = subprocess.run(
        arena.command(), env=arena.environment(), capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        assert path.name in done.stdout + done.stderr
        path.unlink()
        arena.run()
    assert tables(arena) == undisturbed


ALONE = """
import os, time
os.mkdir(FOLDER)
time.sleep(0.5)
os.rmdir(FOLDER)
"""


def test_calls_never_take_more_memory_than_is_allotted(empty_arena: Arena) -> None:
    """Two calls, of at least our 4 GB each, do not fit into 6: a call that meets another fails."""
    arena = empty_arena
    for case in ("one", "two", "three"):
        arena.add_case(case)
    folder = str(arena.folder / "alone")
    arena.add_submission("ada", ALONE.replace("FOLDER", repr(folder)) + PREDICT)
    arena.run("--resources", "mem_mb=6000")
    records = sorted(arena.path("predict/short/ada").rglob("[12].json"))
    assert [read_json(path)["status"] for path in records] == ["ok"] * len(records)
    assert len(records) == 6  # three cases, two interactions


def test_a_case_that_vanishes_is_told_and_costs_nothing(
    small: Arena, tmp_path: Path, undisturbed: Tables
) -> None:
    """Without its image a case is named before anything runs; with it all is as before."""
    arena = small.copy(tmp_path)
    image, other = (arena.work / "images" / f"{name}.npz" for name in ("one", "two"))
    away = arena.folder / "away.npz"
    shutil.copy(image, other)
    shutil.copy(arena.work / "labels" / "one.npz", arena.work / "labels" / "two.npz")
    image.rename(away)
    assert "no image named one" in failed(arena)
    away.rename(image)
    other.unlink()
    (arena.work / "labels" / "two.npz").unlink()
    arena.run()
    assert tables(arena) == undisturbed
