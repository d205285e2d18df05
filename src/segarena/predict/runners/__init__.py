"""What runs a submission: one file per engine, all behind the same calls.

A runner knows how to make a submission ready (`ready`), how to run `sh predict.sh` once, from a
clean state (`run`), and how a person would (`by_hand`). What the outcome means for the submission
is decided in `segarena.predict.session`; a runner raises EngineError only when the engine itself
fails, because then nobody's score may suffer.
"""

import contextlib
import hashlib
import re
import shlex
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from segarena.errors import ConfigError, EngineError, SubmissionError
from segarena.predict.runners.probe import probe
from segarena.provenance import file_digest, folder_digest

Image = dict[str, Any]

GIB = 2**30

LOCK = Path(".snakemake/segarena.lock")
"""What a run holds as long as it lasts (`segarena.run.lock`)."""

_probed: set[tuple[str, str]] = set()
_WAITS = (0.5, 2.0)  # seconds between three tries

WORKSPACE, SUBMISSION = "/workspace", "/submission"


@dataclass(frozen=True)
class Limits:
    """What one call may use.

    The defaults hold where a protocol says nothing. /tmp and shared memory count as memory too.
    `write_beside_code`: the image's own folders can be written, to a layer of at most `disk_bytes`
    that is thrown away after the call. `user`: the image's own, or the caller's uid. `keep_state`:
    what the call leaves in inputs and outputs is for the next one, folders included. `warm`: the
    program is serve.sh, which answers several interactions; it cannot write the inputs.
    """

    seconds: float
    memory_bytes: int
    cpus: float | None = None
    processes: int = 4096
    shared_memory_bytes: int = 2 * GIB
    tmp_bytes: int = 8 * GIB
    output_bytes: int = 2 * GIB
    output_files: int = 1000
    printed_bytes: int = GIB // 10
    disk_bytes: int = 4 * GIB
    write_beside_code: bool = True
    user: str = "image"
    keep_state: bool = False
    warm: bool = False

    @property
    def script(self) -> str:
        """What is run in the submission's working directory."""
        return "serve.sh" if self.warm else "predict.sh"

    @classmethod
    def of(
        cls,
        limits: dict[str, Any],
        *,
        seconds: float,
        machine_memory_bytes: int,
        keep_state: bool = False,
    ) -> "Limits":
        """Return a protocol's `limits`; memory is never more than the machine has."""
        values = dict(limits)
        sizes: dict[str, Any] = {
            f"{key.removesuffix('_gb')}_bytes": int(values.pop(key) * GIB)
            for key in limits
            if key.endswith("_gb")
        }
        sizes["memory_bytes"] = min(sizes["memory_bytes"], machine_memory_bytes)
        return cls(seconds=seconds, keep_state=keep_state, **sizes, **values)


@dataclass
class Serving:
    """What a runner and a session share while a warm container runs.

    stop: why it is to be killed, "" as long as it is not. started: when its start began, by
    time.monotonic. monitor: what watches it, once it runs.
    """

    stop: str = ""
    started: float = 0.0
    monitor: Any = None


@dataclass(frozen=True)
class Outcome:
    """How one call went. `seconds` is the whole call, `own_seconds` the program's own time.

    `too_much_output` is a sentence for the team, empty where all was well. `cannot_start`: what the
    engine says where it makes or starts no container; `run` finds out whose fault that is.
    `written`: paths in the container, beside /tmp and the outputs, that the call changed, where the
    image's `report_writes` asks for them (Docker takes a tenth of a second to say so).
    """

    exit_code: int | None
    seconds: float
    own_seconds: float
    timed_out: bool = False
    out_of_memory: bool = False
    too_much_output: str = ""
    cannot_start: str = ""
    peak_memory_bytes: int | None = None
    written: tuple[str, ...] = ()


class CannotCreateError(Exception):
    """An engine makes no container of an image; `ready` finds out whose fault that is."""


class Runner(Protocol):
    """The interface of every engine."""

    def base_id(self) -> str:
        """Return the ID of the image that the config's base_image names now."""

    def ready(self, source: Path, base_id: str = "") -> Image:
        """Make a submission ready to run on this machine; return what image.json says of it.

        base_id: the image that a folder runs in, whatever base_image names meanwhile. Raises
        SubmissionError where the submission holds no usable image, CannotCreateError where the
        engine makes no container of it, EngineError otherwise.
        """

    def run(
        self,
        image: Image,
        inputs: Path,
        outputs: Path,
        log: Path,
        limits: Limits,
        serving: Serving | None = None,
    ) -> Outcome:
        """Run one call: `inputs` and `outputs` can be written, what is printed goes to `log`.

        When it returns nothing of the call runs any more. serving: for a warm container, which
        runs until it ends or `serving.stop` is set. Raises EngineError where the engine
        fails, never for what the submission does.
        """

    def by_hand(self, image: Image, inputs: Path, outputs: Path, limits: Limits) -> str:
        """Return the command that makes such a call from a shell."""


def ready(
    source: Path, *, runtime: str, base_image: str, base_id: str = "", sandbox: str = ""
) -> Image:
    """Make a submission ready under the runtime of the config; return what image.json says of it.

    base_id: the ID of base_image when the run began, "" to look it up now. sandbox: the engine's
    runtime, "" for its default. runtime auto is Docker; only a folder where no `base_image` is set
    runs as a plain process, and a line on stderr says so. Raises SubmissionError, ConfigError or
    EngineError.
    """
    if runtime == "auto":
        runtime = "docker"
        if source.is_dir() and not base_image:
            runtime = "process"
            print(
                f"segarena: {source.name} runs as a plain process, which is not isolated and for "
                "trusted code only; set base_image to run it in a container",
                file=sys.stderr,
            )
    engine = runner(runtime, base_image, sandbox)
    with _readable(source):
        for wait in (*_WAITS, None):
            try:
                return engine.ready(source, base_id)
            except CannotCreateError as error:
                message = str(error)
            if wait is not None:
                time.sleep(wait)
        _blame(engine, "", f"{source.name}: no container can be made of the image: {message}")
    raise SubmissionError(f"{source.name}: no container can be made of the image: {message}")


def run(
    image: Image,
    inputs: Path,
    outputs: Path,
    log: Path,
    limits: Limits,
    serving: Serving | None = None,
) -> Outcome:
    """Run one call with the image's runner, as `Runner.run` says; decide whose fault a failure is.

    An image that does not start is tried three times. It is the submission's fault only where a
    known-good image starts, here and now, under the same settings; else EngineError is raised.
    """
    sandbox = image.get("sandbox", "")
    engine = runner(image["runtime"], sandbox=sandbox)
    if image["runtime"] == "process":
        if serving:
            serving.started = time.monotonic()
        return engine.run(image, inputs, outputs, log, limits, serving)
    user = "caller" if limits.user == "caller" else _numeric(image.get("user") or "")
    _check_once(engine, "-".join(filter(None, [image["runtime"], sandbox])), user)
    for wait in (*_WAITS, None):
        if serving:
            serving.started = time.monotonic()
        outcome = engine.run(image, inputs, outputs, log, limits, serving)
        if not outcome.cannot_start:
            return outcome
        if wait is not None:
            time.sleep(wait)
    _blame(engine, user, f"{image['source']}: cannot be started: {outcome.cannot_start}")
    return outcome


def calls_prefix(run_folder: Path) -> str:
    """Return how the temporary folders of a run's calls begin, so that the next run finds them."""
    return f"segarena-{hashlib.sha256(str(run_folder).encode()).hexdigest()[:12]}-"


def _blame(engine: Runner, user: str, message: str) -> None:
    """Raise EngineError where a known-good image fails as well."""
    why = probe(engine, user, calls_prefix(Path.cwd()))
    if why:
        raise EngineError(f"{message}; and a known-good image does not run here either: {why}")


def _check_once(engine: Runner, runtime: str, user: str) -> None:
    """Raise EngineError where a program in a container cannot read and write, once a node and run.

    Jobs are processes of their own, so a folder in TMPDIR remembers it, as long as the run does.
    """
    if LOCK.exists():
        mark = (
            f"{calls_prefix(Path.cwd())}probed-{runtime}-{user.replace(':', '-')}-"
            f"{LOCK.stat().st_mtime_ns}"
        )
        known = Path(tempfile.gettempdir(), mark)
    else:
        known = None
    if (runtime, user) in _probed or (known and known.is_dir()):
        return
    why = probe(engine, user, calls_prefix(Path.cwd()))
    if why:
        raise EngineError(f"{runtime}: a known-good image does not run here: {why}")
    _probed.add((runtime, user))
    if known:
        known.mkdir(exist_ok=True)


def _numeric(user: str) -> str:
    """Return a user as numbers; a name, which only the image knows, may be anybody's."""
    return user if re.fullmatch(r"\d{1,9}(:\d{1,9})?", user) or not user else "65534:65534"


@dataclass(frozen=True)
class Mount:
    """A folder of the host that a container sees at `target`."""

    source: Path
    target: str
    read_only: bool

    def __str__(self) -> str:
        """Return it as --mount of docker, podman and apptainer takes it, a line of CSV."""
        words = ["type=bind", f"src={self.source}", f"dst={self.target}"]
        return ",".join(map(_csv_field, words + ["readonly"] * self.read_only))


def mounts_of(image: Image, inputs: Path, outputs: Path, limits: Limits) -> list[Mount]:
    """Return what a container sees beside its image, making what is missing beside `inputs`.

    A folder submission is at /submission as a whole. /workspace is a folder of ours with a link
    for each of its entries, so no name that a stranger chose gets into an engine's arguments.
    """
    mounts = [
        Mount(inputs, f"{WORKSPACE}/inputs", read_only=limits.warm),
        Mount(outputs, f"{WORKSPACE}/outputs", read_only=False),
    ]
    if not image.get("mounted"):
        return mounts
    submission, workspace = inputs.parent / "submission", inputs.parent / "workspace"
    for path in (submission, workspace):  # of a try before
        if path.is_symlink():
            path.unlink()
        elif path.exists():
            shutil.rmtree(path)
    source = Path(image["source"]).resolve()
    with _readable(source):
        if _readable_by_all(source):
            submission.symlink_to(source)
        else:
            _copy_readable(source, submission)
        _fill_workspace(workspace, source)
    # Whoever the program runs as may write beside the code, if anybody may.
    workspace.chmod(0o777 if limits.write_beside_code else 0o755)
    return [
        Mount(workspace, WORKSPACE, read_only=not limits.write_beside_code),
        Mount(submission, SUBMISSION, read_only=True),
        *mounts,
    ]


@contextlib.contextmanager
def _readable(source: Path) -> Iterator[None]:
    """Turn what reading or copying a submission's files may raise into EngineError."""
    try:
        yield
    except (OSError, shutil.Error) as error:
        raise EngineError(
            f"{source}: cannot be read or copied ({error}); the user who runs SegArena must be "
            "able to read all of it, and the disk must have room"
        ) from error


def _fill_workspace(workspace: Path, source: Path) -> None:
    """Make the folder that a folder submission has at /workspace."""
    workspace.mkdir()
    for name in ("inputs", "outputs"):
        (workspace / name).mkdir()
        (workspace / name).chmod(0o755)
    for path in source.iterdir():
        if path.name in {"inputs", "outputs"}:
            continue
        # A link may name its target by its place on the host, which the container does not have.
        inside = path.is_symlink() and path.resolve().is_relative_to(source)
        target = path.resolve().relative_to(source) if inside else path.name
        (workspace / path.name).symlink_to(f"{SUBMISSION}/{target}")


def _readable_by_all(source: Path) -> bool:
    """Return whether every user can read all of a folder, as the user of any image must."""
    return all(
        path.stat().st_mode & needed == needed
        for path in (source, *source.rglob("*"))
        if (needed := 0o005 if path.is_dir() else 0o004) and _is_content(path)
    )


def _copy_readable(source: Path, copy: Path) -> None:
    """Copy a folder that was unpacked under a strict umask, readable by all."""

    def others(folder: str, names: list[str]) -> list[str]:
        return [
            name
            for name in names
            if not (path := Path(folder, name)).is_symlink() and not _is_content(path)
        ]

    shutil.copytree(source, copy, symlinks=True, ignore=others)
    for path in (copy, *copy.rglob("*")):
        if _is_content(path):
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)


def _is_content(path: Path) -> bool:
    """Return whether a path is a file or folder itself: no link, no fifo, no device."""
    return not path.is_symlink() and (path.is_file() or path.is_dir())


def _csv_field(text: str) -> str:
    special = any(character in text for character in '",\r\n') or text.startswith(" ")
    return '"{}"'.format(text.replace('"', '""')) if special else text


def command_line(words: list[str]) -> str:
    """Return a command as people can read and run it, one option per line."""
    return "".join(
        f" \\\n    {shlex.quote(word)}" if word.startswith("--") else f" {shlex.quote(word)}"
        for word in words
    ).lstrip()


def bad_image(source: Path, message: str) -> Image:
    """Return what image.json says of a submission that cannot be run at all."""
    return {
        "status": "bad_image",
        "message": message,
        "runtime": None,
        "source": str(source),
        "sha256": folder_digest(source) if source.is_dir() else file_digest(source),
        "image_id": None,
    }


def runner(name: str, base_image: str = "", sandbox: str = "") -> Runner:
    """Return the runner of this name.

    base_image: what a folder runs in. sandbox: the engine's runtime, of Docker and Podman.
    """
    if name == "docker":
        from segarena.predict.runners.docker import DockerRunner

        return DockerRunner(base_image, sandbox)
    if name == "podman":
        from segarena.predict.runners.podman import PodmanRunner

        return PodmanRunner(base_image, sandbox)
    if name == "apptainer":
        from segarena.predict.runners.apptainer import ApptainerRunner

        return ApptainerRunner(base_image)
    if name == "process":
        from segarena.predict.runners.process import ProcessRunner

        return ProcessRunner()
    raise ConfigError(f"runtime: no runner {name!r}; known: docker, podman, apptainer, process")
