"""Builders shared by all tests: a real engine, base images, and submissions as docker archives.

What costs seconds (base images, archives) is kept in one folder on disk and made once:
$SEGARENA_TEST_CACHE, by default segarena-test-cache in the temporary folder. A test that needs
what this machine lacks is skipped with the reason. With SEGARENA_NO_SKIP=1 it fails.

SEGARENA_TEST_ENGINES=none hides every engine, cluster and browser of this machine from the suite,
as if there was none. SEGARENA_NO_SKIP=1 then lets the tests that need them be skipped, and no
others.
"""

import atexit
import contextlib
import fcntl
import functools
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import pytest

# The same examples everywhere, and a busy machine is no reason to fail.
hypothesis.settings.register_profile(
    "segarena",
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("segarena")

ENGINES = Path(__file__).parent / "engines"
sys.path.insert(0, str(ENGINES))  # so that any test can import docker_archive


# A test is marked with what it needs, by the fixtures it asks for.
MARKERS = {
    "engine": {"docker_host", "runtime", "base_image", "submission_archive", "loaded"},
    "workflow": {"archived_run", "slurm"},
    "cluster": {"slurm"},
    "browser": {"chromium"},
}

# The tests of these folders share a finished run, so one worker has them all; elsewhere a file's
# tests stay together.
SHARING = {Path(__file__).parent / name for name in ("archive", "report")}

# What not every machine has.
OUTSIDE = ("engine", "cluster", "browser")
PROGRAMS = (
    *("docker", "dockerd", "podman", "apptainer", "singularity"),
    *("sbatch", "squeue", "slurmctld", "slurmd"),
    *("chromium", "chromium-browser", "google-chrome"),
)
HIDDEN = os.environ.get("SEGARENA_TEST_ENGINES") == "none"
NO_SKIP = os.environ.get("SEGARENA_NO_SKIP") == "1"
USERS_HOST = os.environ.get("DOCKER_HOST")
NO_HOST = "unix:///nonexistent/docker.sock"


def pytest_configure(config: pytest.Config) -> None:
    """Take the engines' programs off the PATH where they are to be hidden."""
    if HIDDEN and not hasattr(config, "workerinput"):  # a worker inherits the PATH
        folders = os.environ["PATH"].split(os.pathsep)
        os.environ["PATH"] = os.pathsep.join(_without_programs(folder) for folder in folders)


def _without_programs(folder: str) -> str:
    """Return the folder, or a folder of links to all of it but the programs to be hidden."""
    if not any(Path(folder, name).exists() for name in PROGRAMS):
        return folder
    links = Path(tempfile.mkdtemp(prefix="segarena-path-"))
    links.chmod(0o755)  # some tests run programs as another user
    atexit.register(shutil.rmtree, links, ignore_errors=True)
    for program in Path(folder).iterdir():
        if program.name not in PROGRAMS:
            (links / program.name).symlink_to(program)
    return str(links)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test with what it needs and with its group, and put the longest groups first."""
    for item in items:
        assert isinstance(item, pytest.Function)
        for marker, fixtures in MARKERS.items():
            if not fixtures.isdisjoint(item.fixturenames):
                item.add_marker(marker)
        if hasattr(item.module, "Arena"):  # every run of the workflow is one
            item.add_marker("workflow")
        group = item.path.parent if item.path.parent in SHARING else item.path
        item.add_marker(pytest.mark.xdist_group(str(group.relative_to(item.config.rootpath))))
    items.sort(key=lambda item: item.get_closest_marker("workflow") is None)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Let only tests that are marked with `engine` find one, so that no other comes to need it."""
    marked = item.get_closest_marker("engine")
    os.environ["DOCKER_HOST"] = (marked and _answering_host()) or NO_HOST


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Let the run fail where nothing may be skipped and something was."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if NO_SKIP and reporter:
        skipped = reporter.stats.get("skipped", [])
        wrong = [report.nodeid for report in skipped if not _may_be_skipped(report)]
        if wrong:
            reporter.write_line(f"these may not be skipped here: {', '.join(wrong)}", red=True)
            session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _may_be_skipped(report: pytest.TestReport | pytest.CollectReport) -> bool:
    return HIDDEN and not set(OUTSIDE).isdisjoint(getattr(report, "keywords", ()))


def missing(reason: str) -> None:
    """Skip the test, or fail it where nothing may be skipped."""
    if NO_SKIP and not HIDDEN:
        pytest.fail(f"nothing may be skipped here, but {reason}")
    pytest.skip(reason)


@pytest.fixture(scope="session", name="missing")
def _missing() -> Callable[[str], None]:
    """Return `missing`, as a fixture because test modules do not import each other."""
    return missing


@functools.cache
def _answering_host() -> str | None:
    """Return the address of an engine: the user's, the usual one, or start-docker.sh's."""
    import docker

    private = os.environ.get("SEGARENA_DOCKER_DIR", f"{tempfile.gettempdir()}/segarena-docker")
    usual = ("unix:///var/run/docker.sock", f"unix://{private}/docker.sock")
    for host in filter(None, () if HIDDEN else (USERS_HOST, *usual)):
        with contextlib.suppress(docker.errors.DockerException):
            client = docker.DockerClient(base_url=host, timeout=10)
            with contextlib.closing(client):
                client.ping()
            return host
    return None


@pytest.fixture(scope="session")
def docker_host() -> str:
    """DOCKER_HOST of an engine that answers; a test with this fixture has it in its environment."""
    host = _answering_host()
    if host is None:
        missing("no Docker engine answers (tests/engines/start-docker.sh starts one)")
        raise AssertionError
    return host


@pytest.fixture(scope="session")
def engine(docker_host: str) -> str:
    """The engine, as the package finds it."""
    return docker_host


@pytest.fixture
def runtime(request: pytest.FixtureRequest) -> str:
    """The runtime of a test: docker, or what an indirect parameter of this name says."""
    name = getattr(request, "param", "docker")
    if name == "docker":
        request.getfixturevalue("engine")
    elif not shutil.which(name):
        missing(f"there is no {name} (tests/engines/install-{name}.sh installs it)")
    return name


@pytest.fixture(scope="session")
def chromium(missing: Callable[[str], None]) -> str:
    """The path of a Chromium; skips where there is none."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if found := shutil.which(name):
            return found
    missing("no chromium; Debian: apt-get install chromium")
    raise AssertionError


@pytest.fixture(scope="session")
def test_cache() -> Path:
    """The folder of what is made once per machine."""
    usual = Path(tempfile.gettempdir(), "segarena-test-cache")
    folder = Path(os.environ.get("SEGARENA_TEST_CACHE", usual))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def base_image(test_cache: Path) -> Callable[..., Path]:
    """A factory: base_image(kind, numpy_spec) gives the layer (.tar) of a base image.

    kind: tiny (busybox), numpy or scipy (python 3.11 with them); numpy_spec: "numpy==1.26.4".
    """

    def make(kind: str = "numpy", numpy_spec: str = "numpy>=2") -> Path:
        if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
            missing("base images are made from Debian packages, and this is not Debian")
        made = subprocess.run(
            [ENGINES / "make-base-image.sh", test_cache, kind],
            env={**os.environ, "NUMPY_SPEC": numpy_spec},
            capture_output=True,
            text=True,
            check=False,
        )
        assert made.returncode == 0, made.stderr
        return Path(made.stdout.strip())

    return make


@pytest.fixture(scope="session")
def submission_archive(
    base_image: Callable[..., Path], test_cache: Path
) -> Callable[[Path, Path], Path]:
    """A factory: submission_archive(folder, out) packs a submission's folder as a docker archive.

    The image is a base image (kind and numpy_spec as in base_image) with `folder` at /workspace
    and `sh predict.sh` as its command. `out` is NAME.tar.gz or NAME.tar, and is returned. The same
    folder gives the same image ID at every call.
    """
    from docker_archive import write_docker_archive

    def make(folder: Path, out: Path, *, kind: str = "numpy", numpy_spec: str = "numpy>=2") -> Path:
        layer = base_image(kind, numpy_spec)
        key = hashlib.sha256(f"{layer.name}\0{out.name}\0".encode())
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            key.update(f"{path.relative_to(folder)}\0{path.stat().st_mode}\0".encode())
            key.update(path.read_bytes())
        cached = test_cache / "archives" / key.hexdigest()[:16] / out.name
        with _locked(test_cache / "archives.lock"):
            if not cached.exists():
                cached.parent.mkdir(parents=True, exist_ok=True)
                write_docker_archive(cached, [layer, (folder, "/workspace")])
        out.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(cached, out)
        return out

    return make


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield
