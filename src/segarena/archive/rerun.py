"""Running an archived run again, with the same config, and reporting what differs.

The run is that of this SegArena, not of the code in the archive, which nobody has checked; where
the two differ, the difference says so.
"""

import csv
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from segarena.archive import contents
from segarena.archive.diff import Difference, compare, first_differences, open_run
from segarena.archive.unpack import unpack
from segarena.config import find_submissions
from segarena.errors import ConfigError, EngineError
from segarena.predict.image import digest
from segarena.sheets import read_sheet
from segarena.workflow import command


def set_up(
    archive: Path, *, submissions: Path, cases: Path, out: Path, runtime: str | None = None
) -> list[str]:
    """Make the folder `out` ready for a run as archived; return what is not as it was, one a line.

    submissions: the folder of archives and folders. cases: a folder with images/ and labels/.
    runtime: what runs submissions; the archived one if None, unless that isolates nothing: whoever
    made the archive must not choose that. Raises ConfigError where a submission or a folder is
    missing, and where only plain processes would do and nobody asked for them.
    """
    for folder in (submissions, cases / "images", cases / "labels"):
        if not folder.is_dir():
            raise ConfigError(f"{folder}: no such folder")
    out.mkdir(parents=True, exist_ok=True)
    with unpack(archive) as folder:
        facts = contents.read_facts(folder)
        protocols = contents.read_protocols(folder, facts)
        config = contents.read_config(folder)
        notes = _chosen(facts, submissions, out)
        config["runtime"] = runtime or _isolating(config, out / "submissions")
        if config["runtime"] in {"apptainer", "process"}:
            config.pop("sandbox", None)
        config["submissions"] = "submissions"
        config["cases"] = _cases(config.get("cases", {}), cases)
        config["protocols"] = []
        for name, protocol in protocols.items():
            path = out / "protocols" / f"{name}.yaml"
            path.parent.mkdir(exist_ok=True)
            path.write_text(yaml.safe_dump(protocol, sort_keys=False), encoding="utf-8")
            config["protocols"].append(str(path.relative_to(out)))
        config["sheets"] = _sheets(folder, out)
        (out / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
    return notes


def _cases(archived: dict[str, Any], cases: Path) -> dict[str, Any]:
    """Return the config's cases with the folders of this machine; those of raters are in labels/.

    How their spacing is read, and what the consensus of raters is, stay as archived.
    """
    labels: Any = str((cases / "labels").resolve())
    if isinstance(archived.get("labels"), dict):
        labels = {str(name): f"{labels}/{name}" for name in archived["labels"]}
    return {**archived, "images": str((cases / "images").resolve()), "labels": labels}


def run_again(out: Path, *, cores: int) -> None:
    """Run the workflow in a folder that `set_up` made; raises EngineError where it fails."""
    options = ["--directory", str(out), "--cores", str(cores), "--rerun-incomplete"]
    words = command(out / "config.yaml", *options, "--quiet", "all")
    print(f"running in {out}; `segarena status {out}` says how far it is", file=sys.stderr)
    if _exit_code(words):
        raise EngineError(f"{out}: the run failed; see above, fix it, and start again")


def _exit_code(command: list[str]) -> int:
    """Run a command to its end; a Ctrl-C, which it hears as well, waits until it has cleaned up."""
    stopped = False
    with subprocess.Popen(command, stdout=2) as run:
        while True:
            try:
                code = run.wait()
                break
            except KeyboardInterrupt:
                stopped = True
    if stopped:
        raise KeyboardInterrupt
    return code


def differences(archive: Path, out: Path) -> tuple[Difference, list[str]]:
    """Return what differs between the archived run and the one in `out`.

    The second part is where sessions part first. Times are never the same and are not compared.
    """
    with open_run(archive) as before, open_run(out) as after:
        return compare(before, after), first_differences(before, after)


def _isolating(config: dict[str, Any], submissions: Path) -> str:
    """Return the archived runtime; raises ConfigError where it would run a plain process."""
    runtime = config.get("runtime", "auto")
    bare = not config.get("base_image") and any(path.is_dir() for path in submissions.iterdir())
    if runtime == "process" or (runtime == "auto" and bare):
        raise ConfigError(
            "the archived run used plain processes, which are not isolated; add --runtime process "
            "if you trust these submissions, or --runtime docker to run them in containers"
        )
    return str(runtime)


def _chosen(facts: contents.Facts, submissions: Path, out: Path) -> list[str]:
    """Link the archived submissions into `out`; return which are not the archived ones."""
    found = find_submissions(submissions)
    missing = [name for name in facts["submissions"] if name not in found]
    if missing:
        raise ConfigError(f"{submissions}: no submission {', '.join(missing)}")
    place = out / "submissions"
    place.mkdir(exist_ok=True)
    notes = []
    for name, about in facts["submissions"].items():
        link = place / found[name].name
        link.unlink(missing_ok=True)
        link.symlink_to(found[name].resolve())
        if digest(found[name], out / "digests.json") != about["sha256"]:
            notes.append(f"submission {name}: its sha256 is not the archived one")
    return notes


def _sheets(folder: Path, out: Path) -> dict[str, str]:
    sheets = {}
    for path in sorted((folder / "sheets").glob("*.tsv")):
        (out / path.name).write_bytes(path.read_bytes())
        sheets[path.stem] = path.name
    if (folder / "scribbles").is_dir():
        shutil.copytree(folder / "scribbles", out / "scribbles", dirs_exist_ok=True)
    if "cases" in sheets:
        _name_scribbles(out / sheets["cases"], out)
    return sheets


def _name_scribbles(sheet: Path, out: Path) -> None:
    """Write into the sheet of cases where the archived scribbles are now, and no other file."""
    read = read_sheet(sheet, "case")
    rows, columns = [row for _, row in read.rows], read.columns
    there = {path.stem: path for path in (out / "scribbles").glob("*.npz")}
    for row in rows:
        if "scribbles" in row:
            known = row["case"] in there
            row["scribbles"] = contents.drawn_file(row["case"]) if known else ""
    with sheet.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, delimiter="\t", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
