"""What runs a submission: one file per engine, all behind the same calls.

A runner knows how to make a submission ready (`ready`), how to run `sh predict.sh` once, from a
clean state (`run`), and how a person would (`by_hand`). What the outcome means for the submission
is decided in `segarena.predict.session`; a runner raises EngineError only when the engine itself
fails, because then nobody's score may suffer.
"""

import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from segarena.errors import ConfigError, EngineError
from segarena.provenance import file_digest, folder_digest

Image = dict[str, Any]

GIB = 2**30


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

    def ready(self, source: Path) -> Image:
        """Make a submission ready to run on this machine; return what image.json says of it.

        Raises SubmissionError where the submission holds no usable image, EngineError otherwise.
        """

    def run(self, image: Image, inputs: Path, outputs: Path, log: Path, limits: Limits) -> Outcome:
        """Run one call: `inputs` can be read, `outputs` written, and what is printed goes to `log`.

        When it returns nothing of the call runs any more. Raises EngineError where the engine
        fails, never for what the submission does.
        """

    def by_hand(self, image: Image, inputs: Path, outputs: Path, limits: Limits) -> str:
        """Return the command that makes such a call from a shell."""


def ready(source: Path, *, runtime: str, base_image: str) -> Image:
    """Make a submission ready under the runtime of the config; return what image.json says of it.

    runtime auto takes Docker wherever it can; a folder falls back to a plain process, and a line on
    stderr says so. Raises SubmissionError, ConfigError or EngineError.
    """
    if runtime != "auto":
        return runner(runtime, base_image).ready(source)
    try:
        return runner("docker", base_image).ready(source)
    except (ConfigError, EngineError) as error:  # no base_image, or no engine
        if source.is_file():
            raise
        line = f"segarena: {source.name} runs as a plain process, for trusted code only: {error}"
        print(line, file=sys.stderr)
        return runner("process").ready(source)


def mounted_files(image: Image) -> list[Path]:
    """Return the files and folders that a folder's container sees of it; none for an archive."""
    if not image.get("mounted"):
        return []
    return [
        path
        for path in sorted(Path(image["source"]).iterdir())
        if path.name not in {"inputs", "outputs"}
    ]


def command_line(words: list[str]) -> str:
    """Return a command as people can read and run it, an option a line."""
    return shlex.join(words).replace(" --", " \\\n    --")


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
