"""What runs a submission: one file per engine, all behind the same calls.

A runner knows how to make a submission ready (`ready`), how to run `sh predict.sh` once, from a
clean state (`run`), and how a person would (`by_hand`). What the outcome means for the submission
is decided in `segarena.predict.session`; a runner raises EngineError only when the engine itself
fails, because then nobody's score may suffer.
"""

import contextlib
import shlex
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from segarena.errors import ConfigError, EngineError
from segarena.provenance import file_digest, folder_digest

Image = dict[str, Any]

GIB = 2**30

WORKSPACE, SUBMISSION = "/workspace", "/submission"


@dataclass(frozen=True)
class Limits:
    """What one call may use.

    The defaults hold where a protocol says nothing. /tmp and shared memory count as memory too.
    `write_beside_code`: the image's own folders can be written, to a layer of at most `disk_bytes`
    that is thrown away after the call. `user`: the image's own, or the caller's uid.
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

    @classmethod
    def of(cls, limits: dict[str, Any], *, seconds: float, machine_memory_bytes: int) -> "Limits":
        """Return a protocol's `limits`; memory is never more than the machine has."""
        values = dict(limits)
        sizes: dict[str, Any] = {
            f"{key.removesuffix('_gb')}_bytes": int(values.pop(key) * GIB)
            for key in limits
            if key.endswith("_gb")
        }
        sizes["memory_bytes"] = min(sizes["memory_bytes"], machine_memory_bytes)
        return cls(seconds=seconds, **sizes, **values)


@dataclass(frozen=True)
class Outcome:
    """How one call went. `seconds` is the whole call, `own_seconds` the program's own time.

    `too_much_output` and `cannot_start` are sentences for the team, empty where all was well.
    `written`: paths in the container, beside /tmp and the outputs, that the call changed, where the
    image's `tells_written` asks for them (Docker takes a tenth of a second to say so).
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


class Runner(Protocol):
    """The interface of every engine."""

    def base_id(self) -> str:
        """Return the ID of the image that the config's base_image names now."""

    def ready(self, source: Path, base_id: str = "") -> Image:
        """Make a submission ready to run on this machine; return what image.json says of it.

        base_id: the image that a folder runs in, whatever base_image names meanwhile. Raises
        SubmissionError where the submission holds no usable image, EngineError otherwise.
        """

    def run(self, image: Image, inputs: Path, outputs: Path, log: Path, limits: Limits) -> Outcome:
        """Run one call: `inputs` can be read, `outputs` written, and what is printed goes to `log`.

        When it returns nothing of the call runs any more. Raises EngineError where the engine
        fails, never for what the submission does.
        """

    def by_hand(self, image: Image, inputs: Path, outputs: Path, limits: Limits) -> str:
        """Return the command that makes such a call from a shell."""


def ready(source: Path, *, runtime: str, base_image: str, base_id: str = "") -> Image:
    """Make a submission ready under the runtime of the config; return what image.json says of it.

    base_id: the ID of base_image when the run began, "" to look it up now. runtime auto is Docker;
    only a folder where no `base_image` is set runs as a plain process, and a line on stderr says
    so. Raises SubmissionError, ConfigError or EngineError.
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
    with _readable(source):
        return runner(runtime, base_image).ready(source, base_id)


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
        Mount(inputs, f"{WORKSPACE}/inputs", read_only=True),
        Mount(outputs, f"{WORKSPACE}/outputs", read_only=False),
    ]
    if not image.get("mounted"):
        return mounts
    submission, workspace = inputs.parent / "submission", inputs.parent / "workspace"
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


def runner(name: str, base_image: str = "") -> Runner:
    """Return the runner of this name; base_image: what a folder runs in."""
    if name == "docker":
        from segarena.predict.runners.docker import DockerRunner

        return DockerRunner(base_image)
    if name == "podman":
        from segarena.predict.runners.podman import PodmanRunner

        return PodmanRunner(base_image)
    if name == "apptainer":
        from segarena.predict.runners.apptainer import ApptainerRunner

        return ApptainerRunner(base_image)
    if name == "process":
        from segarena.predict.runners.process import ProcessRunner

        return ProcessRunner()
    raise ConfigError(f"runtime: no runner {name!r}; known: docker, podman, apptainer, process")
