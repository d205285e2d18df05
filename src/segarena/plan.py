"""What a run is to make, by its config: the names that status, clean and the run's end go by.

The run writes it when it starts, with the digests of the files of its config. It is read again
without opening a case or an archive; where a file of the config has changed since, the config is
read again, so nothing that was taken out of it is counted.
"""

import contextlib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segarena.errors import ConfigError, SegArenaError
from segarena.files import read_json, write_json

if TYPE_CHECKING:
    from segarena.config import Config

FILE = Path(".snakemake/segarena/plan.json")
CONFIG = Path("config/config.yaml")


@dataclass(frozen=True)
class Plan:
    """The names in a config.

    repetitions: of all protocols, with the number of their interactions. left_out: by protocol,
    which submissions are left out of it, and why.
    """

    cases: list[str]
    submissions: list[str]
    repetitions: dict[str, int]
    left_out: dict[str, dict[str, str]]
    notes: list[str]

    @property
    def protocols(self) -> list[str]:
        """The protocols: their repetitions are called PROTOCOL, PROTOCOL.2, ..."""
        return list(dict.fromkeys(repetition.partition(".")[0] for repetition in self.repetitions))

    def eligible_submissions(self, repetition: str) -> list[str]:
        """Return the submissions that are run with a protocol."""
        out = self.left_out.get(repetition.partition(".")[0], {})
        return [name for name in self.submissions if name not in out]


def plan_of(arena: "Config") -> Plan:
    """Return what a config names."""
    from segarena.protocol import repetitions, steps

    return Plan(
        cases=list(arena.cases),
        submissions=list(arena.submissions),
        repetitions={
            repetition: len(steps(protocol))
            for protocol in arena.protocols.values()
            for repetition in repetitions(protocol)
        },
        left_out=arena.left_out,
        notes=list(arena.notes),
    )


def write_plan(arena: "Config", files: Iterable[str | Path], changes: dict[str, Any]) -> None:
    """Write down what the run in this folder is to make.

    files: of the config, the later ones change the earlier. changes: those of `--config`.
    """
    from segarena.provenance import file_digest

    digests = {str(Path(file).absolute()): file_digest(file) for file in files}
    write_json(FILE, {"files": digests, "changes": changes, "plan": asdict(plan_of(arena))})


def read_plan(folder: Path, configfile: Path | None = None) -> Plan:
    """Return what the run in `folder` is to make, by the config as it is now.

    configfile: by default that of the last run, else config/config.yaml. Raises ConfigError where
    there is none.
    """
    if configfile is not None:
        return _planned(folder, [configfile.absolute()], {})
    if not (folder / FILE).is_file():
        if not (folder / CONFIG).is_file():
            raise ConfigError(
                f"{folder}: no run here; name the folder the run was started in, or --configfile"
            )
        return _planned(folder, [(folder / CONFIG).absolute()], {})
    written = read_json(folder / FILE)
    plan = last_plan(folder)
    if plan and _unchanged(written["files"]):
        return plan
    try:
        return _planned(folder, [Path(file) for file in written["files"]], written["changes"])
    except SegArenaError as error:
        if plan is None:
            raise
        changed = (
            f"the config was changed and cannot be read, so this is by the last run's: {error}"
        )
        return replace(plan, notes=[*plan.notes, *changed.splitlines()])


def last_plan(folder: Path) -> Plan | None:
    """Return what the last run in `folder` was to make; None where it left no plan that we know."""
    with contextlib.suppress(FileNotFoundError, TypeError):  # another version has other fields
        return Plan(**read_json(folder / FILE)["plan"])
    return None


def _unchanged(files: dict[str, str]) -> bool:
    from segarena.provenance import file_digest

    with contextlib.suppress(OSError):
        return all(file_digest(file) == digest for file, digest in files.items())
    return False


def _planned(folder: Path, files: Sequence[Path], changes: dict[str, Any]) -> Plan:
    """Read a config, whose paths start at the run's folder."""
    from snakemake.common.configfile import load_configfile
    from snakemake.utils import update_config

    from segarena.config import read

    config: dict[str, Any] = {}
    for file in files:
        if not file.is_file():
            raise ConfigError(f"{file}: no such file")
        update_config(config, load_configfile(file))
    update_config(config, changes)
    with contextlib.chdir(folder):
        return plan_of(read(config, str(files[-1]) if files else "config"))


def same_images(results: Path, submissions: Iterable[str]) -> list[str]:
    """Return which submissions are the same program under several names, one line per program."""
    known: dict[tuple[Any, ...], list[str]] = {}
    for name in submissions:
        path = results / "predict" / name / "image.json"
        if path.is_file():
            known.setdefault(_identity(read_json(path)), []).append(name)
    return [
        f"{', '.join(names)} are the same image under {len(names)} names"
        for identity, names in known.items()
        if len(names) > 1 and any(identity)
    ]


def _identity(image: dict[str, Any]) -> tuple[Any, ...]:
    """Return what makes a program the same: its image, and for a folder its content."""
    image_id = image.get("image_id")
    return image_id, image.get("sha256") if image.get("mounted") or image_id is None else None
