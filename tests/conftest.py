"""Builders shared by all tests: a real engine, base images, and submissions as docker archives.

What costs seconds (base images, archives) is kept in one folder on disk and made once:
$SEGARENA_TEST_CACHE, by default segarena-test-cache in the temporary folder. A test that needs
what this machine lacks is skipped with the reason; with SEGARENA_NO_SKIP=1, as .ci/run sets it, it
fails.
"""

import contextlib
import fcntl
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


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Let the run fail where nothing may be skipped and something was."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("SEGARENA_NO_SKIP") == "1" and reporter and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def missing(reason: str) -> None:
    """Skip the test, or fail it where nothing may be skipped."""
    if os.environ.get("SEGARENA_NO_SKIP") == "1":
        pytest.fail(f"nothing may be skipped here, but {reason}")
    pytest.skip(reason)


@pytest.fixture(scope="session")
def docker_host() -> str:
    """DOCKER_HOST of an engine that answers: the user's, the usual one, or start-docker.sh's."""
    import docker

    private = os.environ.get("SEGARENA_DOCKER_DIR", f"{tempfile.gettempdir()}/segarena-docker")
    usual = ("unix:///var/run/docker.sock", f"unix://{private}/docker.sock")
    for host in filter(None, (os.environ.get("DOCKER_HOST"), *usual)):
        with contextlib.suppress(docker.errors.DockerException):
            client = docker.DockerClient(base_url=host, timeout=10)
            with contextlib.closing(client):
                client.ping()
            return host
    missing("no Docker engine answers (tests/engines/start-docker.sh starts one)")
    raise AssertionError


@pytest.fixture(scope="session")
def engine(docker_host: str) -> Iterator[str]:
    """The engine, as the package finds it."""
    before = os.environ.get("DOCKER_HOST")
    os.environ["DOCKER_HOST"] = docker_host
    yield docker_host
    if before is None:
        del os.environ["DOCKER_HOST"]
    else:
        os.environ["DOCKER_HOST"] = before


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
        kept = test_cache / "archives" / key.hexdigest()[:16] / out.name
        with _locked(test_cache / "archives.lock"):
            if not kept.exists():
                kept.parent.mkdir(parents=True, exist_ok=True)
                write_docker_archive(kept, [layer, (folder, "/workspace")])
        out.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(kept, out)
        return out

    return make


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield
