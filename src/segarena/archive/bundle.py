"""Writing the archive: the same run gives the same bytes.

Nothing in it is of the day on which it was made: its dates are those of the run's records, its
members are sorted and dated 1980. What is compressed already is stored as it is. The truth never
is in the archive; it gets an archive of its own, and only when it is asked for, with the pictures
that show it.
"""

import hashlib
import itertools
import json
import platform
import tempfile
import zipfile
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import yaml

import segarena
from segarena.archive import contents
from segarena.config import Config
from segarena.errors import ConfigError
from segarena.files import atomic_write, read_json
from segarena.provenance import PACKAGE, file_digest

Members = dict[str, Path | bytes]

SOFTWARE = (
    "nibabel",
    "numba",
    "numpy",
    "pandas",
    "pyarrow",
    "rocrate",
    "scikit-image",
    "scipy",
    "snakemake",
)
STORED = {".npz", ".png", ".webp", ".parquet", ".gz"}


def values_of(config: Mapping[str, Any], arena: Config, code: dict[str, str]) -> dict[str, Any]:
    """Return all that the archive says beyond the files under results/.

    code: the digest of each rule's step with the modules behind it.
    """
    return {
        **arena.archive,
        "config": dict(config),
        "protocols": arena.protocols,
        "cases": {name: {"groups": case.described} for name, case in arena.cases.items()},
        "submissions": {name: {"name": arena.display_names[name]} for name in arena.submissions},
        "left_out": arena.left_out,
        "drawn": {name: str(c.scribbles) for name, c in arena.cases.items() if c.scribbles},
        "code": code,
    }


def write(project: Path, results: Path, receipt: Path, values: dict[str, Any]) -> Path:
    """Write NAME-DATE.zip beside `receipt` and its sha256 into it; return the archive's path.

    An archive that is there already is never overwritten by another: the second of a day is called
    NAME-DATE-2.zip. project: the folder of the Snakefile. results: the folder of a finished run.
    values: see `values_of`. Raises ConfigError where a file of the run is missing.
    """
    facts = _facts(results, values)
    members = _project(project) | _described(values) | _results(results, facts, values["protocols"])
    members |= _drawn(values)
    members[contents.FACTS] = _json(facts)
    stem = f"{values['name']}-{facts['ended'][:10]}"
    archives = [_write_zip(receipt.with_name(f"{stem}.zip"), _with_crate(members, facts))]
    if values["truth"]:
        truth = _with_sums(_truth(results, values))
        archives.append(_write_zip(receipt.with_name(f"{stem}-truth.zip"), truth))
    with atomic_write(receipt) as tmp:
        tmp.write_text("".join(f"{file_digest(path)}  {path.name}\n" for path in archives))
    return archives[0]


def _facts(results: Path, values: dict[str, Any]) -> contents.Facts:
    protocols, answers = values["protocols"], values["answers"]
    listed = {key: values[key] for key in ("submissions", "cases", "left_out")}
    files = [
        results / "predict" / p / s / c / f"{k}.json"
        for p, s, c in contents.sessions(listed, protocols)
        for k in contents.interactions(contents.protocol_of(p, protocols))
    ]
    _all_there(files)
    records = [read_json(path) for path in files]
    times = [record["ended"] for record in records]
    return {
        "format": contents.FORMAT,
        "name": values["name"],
        "license": values["license"],
        "started": min(times),
        "ended": max(times),
        "answers": answers,
        "protocols": {name: protocol["version"] for name, protocol in protocols.items()},
        "cases": {
            case: about
            | {
                "image_sha256": file_digest(results / "prepare" / f"{case}.image.npz"),
                "truth_sha256": file_digest(results / "prepare" / f"{case}.truth.npz"),
            }
            for case, about in values["cases"].items()
        },
        "submissions": {
            name: about | _identity(read_json(results / "predict" / name / "image.json"))
            for name, about in values["submissions"].items()
        },
        "left_out": values["left_out"],
        "code": values["code"],
        "software": software_versions(),
        "hardware": _hardware(records),
    }


def _identity(image: dict[str, Any]) -> dict[str, Any]:
    return {key: image.get(key) for key in ("sha256", "image_id", "runtime")}


def software_versions() -> dict[str, str]:
    """Return the version of each program and library that a number may depend on."""
    found = {"python": platform.python_version(), "segarena": segarena.__version__}
    for name in SOFTWARE:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def _hardware(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return each machine that answered, as its records describe it."""
    keys = ("host", "gpu", "gpus", "cpu", "engine", "runtime")
    found = {json.dumps({key: record[key] for key in keys if key in record}) for record in records}
    return [json.loads(text) for text in sorted(found)]


def _project(project: Path) -> Members:
    """Return the workflow, and the package that runs: src/ in a checkout, or what is installed."""
    files: list[Path] = []
    for part in contents.PROJECT:
        path = project / part
        files += contents.files_under(path) if path.is_dir() else [path]
    found = {path.relative_to(project).as_posix(): path for path in files if path.is_file()}
    found = {name: path for name, path in found.items() if not name.startswith("src/")}
    for path in contents.files_under(PACKAGE):
        name = path.relative_to(PACKAGE)
        if name.parts[0] != "data":  # the workflow again
            found[f"src/segarena/{name.as_posix()}"] = path
    return {name: path for name, path in found.items() if contents.is_code(name)}


def _described(values: dict[str, Any]) -> Members:
    config = values["config"]
    members: Members = {contents.CONFIG: _yaml(config)}
    for name, protocol in values["protocols"].items():
        members[contents.protocol_file(name)] = _yaml(protocol)
    for kind, path in config.get("sheets", {}).items():
        members[f"sheets/{kind}.tsv"] = Path(path)
    return members


def _drawn(values: dict[str, Any]) -> Members:
    needed = set(contents.drawn_files(values, values["protocols"]))
    files = {contents.drawn_file(case): Path(path) for case, path in values["drawn"].items()}
    return {name: path for name, path in files.items() if name in needed}


def _results(results: Path, facts: contents.Facts, protocols: dict[str, Any]) -> Members:
    names = contents.result_files(facts, protocols)
    for protocol in protocols:
        names += contents.table_files(protocol, results)
        names += contents.report_files(facts, protocol, results)
    members: Members = {name: results / name.removeprefix("results/") for name in names}
    _all_there([path for path in members.values() if isinstance(path, Path)])
    return members


def _truth(results: Path, values: dict[str, Any]) -> Members:
    files = [results / "prepare" / f"{case}.truth.npz" for case in values["cases"]]
    for protocol in values["protocols"]:
        for kind in contents.SHOWS_TRUTH:
            pictures = contents.files_under(results / "report" / protocol / kind)
            files += [path for path in pictures if path.name.partition(".")[0] in values["cases"]]
        submissions = contents.eligible_submissions(values, protocol)
        drawn = results / "report" / protocol / contents.ERRORS
        answered = values["answers"] != "none"
        files += [
            path
            for submission in submissions * answered
            for path in contents.files_under(drawn / submission)
            if path.stem in values["cases"]
        ]
    return {f"results/{path.relative_to(results).as_posix()}": path for path in files}


def _all_there(paths: list[Path]) -> None:
    missing = [str(path) for path in paths if not path.is_file()]
    if missing:
        raise ConfigError(
            f"{missing[0]}: not there, nor are {len(missing) - 1} others: run `snakemake` to the "
            "end before it is archived"
        )


def _with_crate(members: Members, facts: contents.Facts) -> Members:
    from segarena.archive.crate import describe  # rocrate takes a second to load

    digests = {name: _digest(member) for name, member in sorted(members.items())}
    described = _json_text(describe(facts, digests, _sizes(members)))
    return _with_sums(members | {contents.CRATE: described}, digests)


def _with_sums(members: Members, digests: dict[str, str] | None = None) -> Members:
    digests = digests or {}
    lines = (f"{digests.get(n) or _digest(m)}  {n}\n" for n, m in sorted(members.items()))
    return members | {contents.SUMS: "".join(lines).encode()}


def _write_zip(path: Path, members: Members) -> Path:
    """Write an archive under the first free name of `path`, or that of the same one; return it."""
    folders = {f"{parent}/" for name in members for parent in Path(name).parents if parent.name}
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".segarena-", dir=path.parent) as folder:
        made = Path(folder, path.name)
        _zip(made, members, folders)
        free = _free(path, made)
        with atomic_write(free) as tmp:
            made.replace(tmp)
    return free


def _zip(path: Path, members: Members, folders: set[str]) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name, member in sorted([*members.items(), *((folder, b"") for folder in folders)]):
            info = zipfile.ZipInfo(name)  # dated 1980
            info.external_attr = (0o40755 << 16 | 0x10) if name.endswith("/") else 0o100644 << 16
            info.create_system = 3
            stored = name.endswith("/") or Path(name).suffix in STORED
            info.compress_type = zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED
            archive.writestr(info, _bytes(member), compresslevel=None if stored else 6)


def _free(path: Path, made: Path) -> Path:
    """Return the first of NAME.zip, NAME-2.zip, ... that is not there, or is the same file."""
    digest = file_digest(made)
    names = (path.with_stem(f"{path.stem}-{number}") for number in itertools.count(2))
    free = (p for p in itertools.chain([path], names) if not p.exists() or file_digest(p) == digest)
    return next(free)


def _bytes(member: Path | bytes) -> bytes:
    return member if isinstance(member, bytes) else member.read_bytes()


def _digest(member: Path | bytes) -> str:
    return hashlib.sha256(_bytes(member)).hexdigest()


def _sizes(members: Members) -> dict[str, int]:
    return {
        name: len(member) if isinstance(member, bytes) else member.stat().st_size
        for name, member in members.items()
    }


def _json(value: Any) -> bytes:
    return (json.dumps(value, ensure_ascii=False, indent=1) + "\n").encode()


def _json_text(value: Any) -> bytes:
    return (json.dumps(value, ensure_ascii=False, indent=1, sort_keys=True) + "\n").encode()


class _WithoutAliases(yaml.SafeDumper):
    """Writes what is there twice twice: an alias is rejected when the archive is read."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _yaml(value: Any) -> bytes:
    text = yaml.dump(value, Dumper=_WithoutAliases, sort_keys=False, allow_unicode=True)
    return text.encode()
