"""`segarena kit`: what an organiser hands out, so that a check says what the run will say.

A challenge file is a zip of challenge.yaml (protocols with limits and label names, whether calls
have a GPU) and, per sample case, the prepared image and truth. Only cases that the organiser names
are in it: without one no image and no truth leaves the house.
"""

import argparse
import contextlib
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from segarena.case import read_image, read_truth
from segarena.check.cases import CheckCase
from segarena.config import Case, Config, read
from segarena.errors import CaseError, ConfigError
from segarena.files import atomic_write
from segarena.prepare.nifti import CASE_NAME
from segarena.prepare.step import main as prepare
from segarena.protocol import Protocol, expected_labels, ignored_labels, read_yaml, validate
from segarena.untrusted import printable, yaml_value

FORMAT = 1
ABOUT = "challenge.yaml"
PARTS = ("image", "truth", "scribbles")

_DATE = (1980, 1, 1, 0, 0, 0)  # so that the same challenge gives the same bytes
_LARGEST_ABOUT = 4 << 20
_LARGEST_PART = 8 << 30
_MOST_CASES, _MOST_VALUES = 1000, 100_000


@dataclass(frozen=True)
class Challenge:
    """What a challenge file says. protocols: by name, the first one first."""

    protocols: dict[str, Protocol]
    has_gpu: bool
    cases: dict[str, CheckCase]


def add_parser(subparsers: Any) -> None:
    """Add `kit` to the sub-commands of `segarena`."""
    parser = subparsers.add_parser("kit", description="What an organiser hands to participants.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    export = commands.add_parser(
        "export",
        description="Write the challenge file that `segarena check --challenge FILE.zip` reads: "
        "protocols, limits, label names and the sample cases that you name, with their truth.",
    )
    export.add_argument("configfile", type=Path, metavar="CONFIG", help="the challenge's config")
    export.add_argument("--out", type=Path, required=True, metavar="FILE.zip")
    export.add_argument(
        "--case",
        action="append",
        default=[],
        metavar="NAME",
        help="a sample case whose image and truth participants may see; may be given several times",
    )
    export.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run `segarena kit export` and return its exit code."""
    settings = read_yaml(arguments.configfile)
    if not isinstance(settings, dict):
        raise ConfigError(f"{arguments.configfile}: no config: a mapping of keys is expected")
    config = read(settings, str(arguments.configfile))
    export(config, arguments.case, arguments.out)
    cases = f"{len(arguments.case)} sample cases with truth: {', '.join(arguments.case)}"
    if not arguments.case:
        cases = "no sample cases (--case NAME adds one whose image and truth all may see)"
    print(f"{arguments.out}: protocols {', '.join(config.protocols)}; {cases}")
    return 0


def export(config: Config, cases: list[str], out: Path) -> None:
    """Write a challenge file; raises ConfigError for an unknown case, CaseError for a bad one."""
    unknown = [name for name in cases if name not in config.cases]
    if unknown:
        raise ConfigError(f"--case: no case {', '.join(unknown)} in the config")
    chosen = sorted(set(cases))
    about = {
        "format": FORMAT,
        "gpu": config.gpus > 0,
        "protocols": list(config.protocols.values()),
        "cases": chosen,
    }
    with atomic_write(out) as tmp, zipfile.ZipFile(tmp, "w") as archive:
        text = yaml.safe_dump(about, sort_keys=False, allow_unicode=True)
        _add(archive, ABOUT, text.encode(), zipfile.ZIP_DEFLATED)
        for name in chosen:
            for part, content in _prepared(config, name, config.cases[name]):
                _add(archive, f"cases/{name}.{part}.npz", content, zipfile.ZIP_STORED)


def _add(archive: zipfile.ZipFile, name: str, content: bytes, packing: int) -> None:
    member = zipfile.ZipInfo(name, _DATE)
    member.compress_type = packing
    archive.writestr(member, content)


def _prepared(config: Config, name: str, case: Case) -> Iterator[tuple[str, bytes]]:
    """Yield the files of a case as the workflow prepares them."""
    protocols = config.protocols.values()
    expected, ignored = expected_labels(protocols), ignored_labels(protocols)
    values = {
        "modality": case.modality,
        "window": case.window,
        "box": case.box,
        "seed": config.seed,
        "npz_spacing": config.npz_spacing,
        "slice_of": case.slice_of,
        "slice": dict(case.slice),
        **({} if expected is None else {"expected": expected}),
        **({"ignored": ignored} if ignored else {}),
    }
    with tempfile.TemporaryDirectory(prefix="segarena-kit-") as folder:
        outputs = {key: str(Path(folder, key)) for key in ("image", "truth", "about")}
        prepare({"image": case.image, "label": case.label}, outputs, name, values)
        for part in ("image", "truth"):
            yield part, Path(outputs[part]).read_bytes()
    if case.scribbles:
        yield "scribbles", case.scribbles.read_bytes()


def read_challenge(path: Path) -> Challenge:
    """Read a challenge file; raises ConfigError with the reason where it is none."""
    with _members(path) as archive:
        about = _about(archive, path)
        for protocol in about["protocols"]:
            validate(protocol, "protocol", f"{path}: {ABOUT}")
        cases = {name: _case(archive, path, name) for name in about["cases"]}
    return Challenge({one["name"]: one for one in about["protocols"]}, about["gpu"], cases)


@contextlib.contextmanager
def _members(path: Path) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except (OSError, zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        raise ConfigError(
            f"{path}: no challenge file, which `segarena kit export` writes ({printable(error)})"
        ) from error


def _about(archive: zipfile.ZipFile, path: Path) -> dict[str, Any]:
    if ABOUT not in archive.namelist() or archive.getinfo(ABOUT).file_size > _LARGEST_ABOUT:
        raise ConfigError(f"{path}: no challenge file: it holds no {ABOUT}")
    text = archive.read(ABOUT).decode("utf-8", errors="replace")
    about = yaml_value(text, f"{path}: {ABOUT}", most_nodes=_MOST_VALUES)
    is_whole = (
        isinstance(about, dict)
        and about.get("format") == FORMAT
        and isinstance(about.get("gpu"), bool)
        and isinstance(about.get("protocols"), list)
        and about["protocols"]
        and isinstance(about.get("cases"), list)
        and len(about["cases"]) <= _MOST_CASES
        and all(isinstance(n, str) and CASE_NAME.fullmatch(n) for n in about["cases"])
    )
    if not is_whole:
        raise ConfigError(
            f"{path}: {ABOUT} is of another format than {FORMAT}; update segarena, or ask the "
            "organisers for a new file"
        )
    return about


def _case(archive: zipfile.ZipFile, path: Path, name: str) -> CheckCase:
    """Return a sample case; its files are read when they are written out."""
    found = {part: f"cases/{name}.{part}.npz" for part in PARTS}
    found = {part: member for part, member in found.items() if member in archive.namelist()}
    if not {"image", "truth"} <= found.keys():
        raise ConfigError(f"{path}: the files of case {name} are missing")
    large = [m for m in found.values() if archive.getinfo(m).file_size > _LARGEST_PART]
    if large:
        raise ConfigError(f"{path}: {large[0]} is larger than {_LARGEST_PART >> 30} GiB")

    def write(folder: Path) -> None:
        with _members(path) as opened:
            for part, member in found.items():
                with opened.open(member) as source, (folder / f"{part}.npz").open("wb") as file:
                    while chunk := source.read(1 << 20):
                        file.write(chunk)
        if (
            read_image(folder / "image.npz").imgs.shape[:3]
            != read_truth(folder / "truth.npz").gts.shape
        ):
            raise CaseError(f"{path}: image and truth of case {name} differ in shape")

    return CheckCase(write, is_given=True)
