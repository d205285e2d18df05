"""Whose fault it is that an image does not start: facts decide, never an engine's words."""

import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from segarena.errors import EngineError, SubmissionError
from segarena.predict import runners
from segarena.predict.runners import docker
from segarena.predict.runners.probe import probe, write_archive

ENGINES = ["docker", "podman", "apptainer"]


@pytest.mark.parametrize("user", ["", "65534:65534"])
@pytest.mark.parametrize("runtime", ENGINES, indirect=True)
def test_the_probe_runs_on_every_engine(
    runtime: str, user: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The image of our own is built, started, reads and writes, as root and as nobody."""
    monkeypatch.chdir(tmp_path)
    assert probe(runners.runner(runtime), user, "segarena-test-") == ""


def test_the_probe_image_is_always_the_same(tmp_path: Path) -> None:
    """So an engine gets it once."""
    for name in ("one", "other"):
        assert write_archive(tmp_path / name, "1:1")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()


def test_the_probe_image_says_who_may_enter_its_folders(tmp_path: Path) -> None:
    """The vfs driver of Docker lets nobody into a folder that has no entry of its own."""
    assert write_archive(tmp_path / "probe.tar", "")
    with tarfile.open(tmp_path / "probe.tar") as outer:
        (name,) = (name for name in outer.getnames() if name.endswith("layer.tar"))
        member = outer.extractfile(name)
        assert member is not None
        with tarfile.open(fileobj=member) as layer:
            modes = {entry.name: (entry.isdir(), entry.mode) for entry in layer}
    assert modes == {"bin": (True, 0o755), "bin/sh": (False, 0o755)}


@pytest.mark.parametrize("runtime", ["docker", "podman"], indirect=True)
def test_an_input_that_nobody_may_read_is_our_error(
    runtime: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the image's user cannot read what we wrote, the line says so and names TMPDIR."""
    chmod = Path.chmod
    monkeypatch.setattr(Path, "chmod", lambda path, mode: chmod(path, mode & 0o700))
    why = probe(runners.runner(runtime), "65534:65534", "segarena-test-")
    assert "cannot read its input as user 65534:65534" in why
    assert tempfile.gettempdir() in why


MASKS = (0o077, 0o027, 0o000)


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("runtime", ENGINES, indirect=True)
def test_the_callers_umask_costs_no_submission_anything(
    runtime: str,
    mask: int,
    base_image: Callable[..., Path],
    loaded: Callable[..., str],
    table: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Image of another user, and a folder unpacked under that umask: both read and write."""
    from docker_archive import write_docker_archive

    monkeypatch.chdir(tmp_path)
    before = os.umask(mask)
    try:
        folder = tmp_path / "team"
        (folder / "model").mkdir(parents=True)
        (folder / "model/weights").write_text("weights\n")
        (folder / "predict.sh").write_text("cat model/weights && cp inputs/CASE.npz outputs/x\n")
        archive = tmp_path / "team.tar"
        write_docker_archive(
            archive, [base_image("tiny"), (folder, "/workspace")], user="1000:1000"
        )
        base = loaded("tiny", runtime)
        for source in (archive, folder):
            image = runners.ready(source, runtime=runtime, base_image=base)
            result = table.call(image)
            assert "weights" in result.log
            assert "it holds 'x'" in result.message
    finally:
        os.umask(before)


def test_a_plain_caller_under_a_strict_umask(loaded: Any, docker_host: str) -> None:
    """A caller who is not root, umask 027: root in the container, without capabilities, reads."""
    if os.geteuid() != 0:
        pytest.skip("this test changes to another user, which needs root")
    group = Path(docker_host.removeprefix("unix://")).stat().st_gid
    place = Path(tempfile.mkdtemp())
    (place / "team").mkdir()
    (place / "team/predict.sh").write_text(
        "cat inputs/probe > /dev/null && cat more && echo read > outputs/probe; chmod 000 outputs\n"
    )
    (place / "team/more").write_text("more\n")
    script = (
        "import os; from pathlib import Path\n"
        "from segarena.predict import runners\n"
        "from segarena.predict.runners import docker\n"
        f"os.setgid({group}); os.setgroups([{group}]); os.setuid(65534); os.umask(0o027)\n"
        f"place = Path({str(place)!r}); os.chdir(place)\n"
        f"image = runners.ready(place / 'team', runtime='docker', base_image={loaded('tiny')!r})\n"
        "inputs, outputs = place / 'inputs', place / 'outputs'\n"
        "for path, mode in ((inputs, 0o755), (outputs, 0o777)): path.mkdir(); path.chmod(mode)\n"
        "(inputs / 'probe').write_text('x'); (inputs / 'probe').chmod(0o644)\n"
        "limits = runners.Limits(30, 2**29)\n"
        "print(runners.run(image, inputs, outputs, place / 'log', limits).exit_code)\n"
        "print((outputs / 'probe').read_text())\n"
    )
    for path in (place, *place.rglob("*")):
        shutil.chown(path, 65534)
        path.chmod(0o750 if path.is_dir() else 0o640)
    try:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        done = subprocess.run(
            [sys.executable, "-c", script],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.stdout.split() == ["1", "read"], done.stderr  # root may not chmod there
    finally:
        shutil.rmtree(place)


def layer(*members: tarfile.TarInfo | tuple[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                tar.addfile(member)
            else:
                entry = tarfile.TarInfo(member[0])
                entry.size, entry.mode = len(member[1]), 0o755
                tar.addfile(entry, io.BytesIO(member[1]))
    return stream.getvalue()


def entry(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", uid: int = 0) -> Any:
    made = tarfile.TarInfo(name)
    made.type, made.linkname, made.uid = kind, link, uid
    return made


def image(path: Path, layers: list[bytes], settings: dict[str, Any] | None = None) -> Path:
    """Write a docker archive of these layers, all digests right."""
    digests = [hashlib.sha256(content).hexdigest() for content in layers]
    about = {
        "architecture": "amd64",
        "os": "linux",
        "config": {"Env": ["PATH=/bin"], "WorkingDir": "/workspace", **(settings or {})},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}" for digest in digests]},
    }
    config = json.dumps(about).encode()
    name = f"{hashlib.sha256(config).hexdigest()}.json"
    names = [f"{digest}/layer.tar" for digest in digests]
    manifest = [{"Config": name, "RepoTags": ["Invalid:Reference"], "Layers": names}]
    members = dict(zip(names, layers, strict=True))
    members |= {name: config, "manifest.json": json.dumps(manifest).encode()}
    path.write_bytes(layer(*members.items()))
    return path


GOOD = layer(("a", b"1"), ("b", b"2"))
UNLOADABLE = {
    "text": b"no tar at all" * 100,
    "hard link to nothing": layer(entry("a", tarfile.LNKTYPE, "b")),
}


@pytest.mark.parametrize("name", UNLOADABLE)
def test_an_archive_that_cannot_be_loaded_is_a_bad_submission(
    name: str, tmp_path: Path, engine: str
) -> None:
    """A layer that no engine can unpack is found in the archive: a result, and no stop."""
    archive = image(tmp_path / "team.tar", [UNLOADABLE[name]])
    with pytest.raises(SubmissionError):
        runners.ready(archive, runtime="docker", base_image="")


def test_an_engine_that_loads_nothing_is_our_failure(
    tmp_path: Path, engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no fault is in the archive, what the engine says is not held against it."""
    archive = image(tmp_path / "team.tar", [GOOD, layer((tmp_path.name, b""))])
    monkeypatch.setattr(docker.DockerRunner, "_loaded", lambda *_: "not a directory: bad archive")
    monkeypatch.setattr(docker, "LOAD_WAITS", (0.0, 0.0))
    with pytest.raises(EngineError, match="cannot load it: not a directory"):
        docker.DockerRunner().ready(archive)


STARTLESS: dict[str, tuple[list[bytes], dict[str, Any]]] = {
    "user out of range": ([GOOD], {"User": "99999999999"}),
    "user -1": ([GOOD], {"User": "-1"}),
    "volume /proc": ([GOOD], {"Volumes": {"/proc": {}}}),
    "env with NUL": ([GOOD], {"Env": ["PATH=/bin", "A=b\0c"]}),
    "/workspace a file": ([layer(("workspace", b"x"))], {}),
    "/workspace a link to itself": ([layer(entry("workspace", tarfile.SYMTYPE, "/workspace"))], {}),
    "/workspace/inputs a link to /proc": (
        [layer(entry("workspace/inputs", tarfile.SYMTYPE, "/proc"))],
        {},
    ),
    "/tmp a link to /proc": ([layer(entry("tmp", tarfile.SYMTYPE, "/proc"))], {}),
    "/etc/passwd a fifo": ([layer(entry("etc/passwd", tarfile.FIFOTYPE))], {"User": "nobody"}),
    "/etc/passwd a link to a fifo": (
        [layer(entry("x", tarfile.FIFOTYPE), entry("etc/passwd", tarfile.SYMTYPE, "../x"))],
        {"User": "nobody"},
    ),
    "/etc/group a fifo": ([layer(entry("etc/group", tarfile.FIFOTYPE))], {"User": "root:wheel"}),
}


FEW = ("user out of range", "/workspace a file", "/etc/passwd a fifo")


@pytest.mark.parametrize(
    ("runtime", "name"),
    [("docker", name) for name in STARTLESS]
    + [(runtime, name) for runtime in ("podman", "apptainer") for name in FEW],
    indirect=["runtime"],
)
def test_what_fails_for_one_image_alone_is_its_own_fault(
    name: str,
    runtime: str,
    base_image: Callable[..., Path],
    table: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Odd settings and folders give bad_image or a failed call, never an error of ours."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(runners, "_WAITS", (0.0, 0.0))
    layers, settings = STARTLESS[name]
    archive = image(tmp_path / "team.tar", [base_image("tiny").read_bytes(), *layers], settings)
    try:
        ready = runners.ready(archive, runtime=runtime, base_image="")
    except SubmissionError:
        return
    time = {**table.rules["time"], "seconds_per_label": 5}
    result = type(table)(table.folder, {**table.rules, "time": time}).call(ready)
    assert result.status in {"crashed", "no_answer", "timed_out"}


def test_what_fails_for_the_known_good_image_too_is_ours(
    submission: Any, table: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An engine that starts nothing costs nobody points, whatever it says."""
    image = submission({"predict.sh": "true"})
    monkeypatch.setattr(runners, "_WAITS", (0.0, 0.0))

    def refuse(*_: Any) -> Any:
        raise docker.CreateRejectedError("exec format error: unable to find user nobody")

    monkeypatch.setattr(docker.DockerRunner, "_create", refuse)
    runners._probed.clear()
    with pytest.raises(EngineError, match="a known-good image does not run here"):
        table.call(image)
    monkeypatch.setattr(runners, "_check_once", lambda *_: None)
    with pytest.raises(EngineError, match="a known-good image does not run here either"):
        table.call(image)


def test_a_start_that_fails_once_is_tried_again(
    submission: Any, table: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two failures of the engine and a success are a success."""
    image = submission({"predict.sh": "echo hello"})
    monkeypatch.setattr(runners, "_WAITS", (0.0, 0.0))
    monkeypatch.setattr(runners, "_check_once", lambda *_: None)
    create, tries = docker.DockerRunner._create, []

    def reject_twice(*arguments: Any) -> str:
        tries.append(1)
        if len(tries) < 3:
            raise docker.CreateRejectedError("not now")
        return create(*arguments)

    monkeypatch.setattr(docker.DockerRunner, "_create", reject_twice)
    assert "hello" in table.call(image).log


@pytest.mark.parametrize("runtime", ["apptainer"], indirect=True)
@pytest.mark.parametrize(
    "deed", ["rm -f outputs/.started; exit 255", "mkdir outputs/.started; exit 255", "exit 255"]
)
def test_exit_code_255_of_a_program_is_its_own(deed: str, call: Any, runtime: str) -> None:
    """Nothing that a program does looks like Apptainer's own failure."""
    result = call(deed)
    assert (result.status, result.record["exit_code"]) == ("crashed", 255)


@pytest.mark.parametrize("runtime", ["apptainer"], indirect=True)
def test_an_apptainer_that_starts_nothing_is_our_failure(
    submission: Any, table: Any, runtime: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A session folder that is missing is told as "no such file or directory", and is ours."""
    image = submission({"predict.sh": "true"})
    fake = tmp_path / "bin/apptainer"
    fake.parent.mkdir()
    fake.write_text("#!/bin/sh\necho 'FATAL: no such file or directory' >&2; exit 255\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake.parent}:{os.environ['PATH']}")
    monkeypatch.setattr(runners, "_WAITS", (0.0, 0.0))
    monkeypatch.setattr(runners, "_check_once", lambda *_: None)
    with pytest.raises(EngineError, match="does not run here either"):
        table.call(image)


@pytest.mark.parametrize("deed", ["outputs", "outputs/CASE.npz", "outputs/CASE.npz outputs"])
@pytest.mark.parametrize("runtime", ["apptainer", "process"])
def test_a_caller_who_is_not_root_reads_what_a_program_closed(
    runtime: str, deed: str, loaded: Callable[..., str], missing: Callable[[str], None]
) -> None:
    """chmod 000 on the answer or its folder is no error of ours where the program is the caller."""
    if os.geteuid() != 0:
        pytest.skip("this test changes to another user, which needs root")
    if runtime != "process" and not shutil.which(runtime):
        missing(f"there is no {runtime}")
    place = Path(tempfile.mkdtemp())
    (place / "team").mkdir()
    script_sh = f"echo whole > $OUTPUTS/CASE.npz; cd $OUTPUTS/..; chmod 000 {deed}\n"
    (place / "team/predict.sh").write_text(script_sh)
    base = ""
    if runtime == "apptainer":
        base = str(place / "base.sif")
        shutil.copyfile(loaded("tiny", runtime), base)
    script = (
        "import os; from pathlib import Path\n"
        "from segarena.predict import runners\n"
        "from segarena.predict.runners import apptainer, process\n"
        "os.setgid(65534); os.setgroups([]); os.setuid(65534)\n"
        f"place = Path({str(place)!r}); os.chdir(place)\n"
        f"image = runners.ready(place / 'team', runtime={runtime!r}, base_image={base!r})\n"
        "inputs, outputs = place / 'inputs', place / 'outputs'\n"
        "for path, mode in ((inputs, 0o755), (outputs, 0o777)): path.mkdir(); path.chmod(mode)\n"
        "runners._check_once = lambda *_: None\n"
        "limits = runners.Limits(30, 2**29)\n"
        "print(runners.run(image, inputs, outputs, place / 'log', limits).exit_code)\n"
        "print((outputs / 'CASE.npz').read_text())\n"
    )
    for path in (place, *place.rglob("*")):
        shutil.chown(path, 65534)
    try:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "HOME": str(place)}
        done = subprocess.run(
            [sys.executable, "-c", script],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if "user namespace" in done.stderr:
            pytest.skip("no user namespaces for plain users here")
        assert done.stdout.split() == ["0", "whole"], done.stderr
    finally:
        shutil.rmtree(place)
