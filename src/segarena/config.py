"""The config of a run, with everything it names looked up and checked before any job starts.

This is the one place that turns the user's YAML and sheets into cases, submissions and protocols;
the rules only hand its values on. It runs whenever the workflow is parsed, so what it has to open
(label maps where `slices` asks for a case a label, archives for what they accept) is remembered in
`CACHE` and opened again only when it changed.
"""

import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from segarena.errors import CaseError, ConfigError
from segarena.files import remembered
from segarena.predict.accepts import refusal
from segarena.predict.image import digest
from segarena.prepare.labels import Labels, by_ids, check_labels, find_labels
from segarena.prepare.nifti import find_cases, find_rated_cases, labels_of
from segarena.prepare.raters import GIVEN, MAJORITY, STAPLE, WAYS
from segarena.prepare.slices import slice_name
from segarena.protocol import (
    SCHEMAS,
    Protocol,
    is_drawn,
    labels_named,
    load,
    read_yaml,
    steps,
    validate,
    wants_raters,
)
from segarena.sheets import notes_on, read_sheet
from segarena.submissions import look_through

_CASE_COLUMNS = ("case", "modality", "window", "box", "scribbles")
_KNOWN_COLUMNS = (*_CASE_COLUMNS, "submission", "name")
CACHE = Path(".snakemake/segarena")
_READ_ZYX = {"cvpr25", "cvpr25-script"}  # protocols that score as a published script does
ACCEPTS, DIGESTS = CACHE / "accepts.json", CACHE / "digests.json"


@dataclass(frozen=True)
class Case:
    """One case: its files and what the sheet says of it.

    scribbles: a file of what people drew. slice_of: the name of the volume of which this is the
    slice of one label, with `slice`, the arguments of `segarena.prepare.slices.slice_case`.
    raters: the label map of each rater by name; `label` is the consensus that is given, or one of
    them.
    """

    image: Path
    label: Path
    modality: str | None = None
    window: str | None = None
    box: bool = True
    groups: tuple[tuple[str, str], ...] = ()
    scribbles: Path | None = None
    slice_of: str | None = None
    slice: tuple[tuple[str, Any], ...] = ()
    raters: tuple[tuple[str, Path], ...] = ()

    @property
    def label_files(self) -> list[Path]:
        """The label maps that the case is made from: `label`, and those of the raters."""
        return list(dict.fromkeys([self.label, *(path for _, path in self.raters)]))

    @property
    def described(self) -> dict[str, str]:
        """What cases can be grouped by: the modality and the sheet's own columns."""
        modality = {"modality": self.modality} if self.modality else {}
        return modality | dict(self.groups)


@dataclass(frozen=True)
class Config:
    """A checked config; keys of the mappings are the names that stand in file paths.

    left_out: by protocol, why a submission is left out of it. notes: what the user should know, as
    an upload that is not finished; nothing that stops a run.
    """

    cases: dict[str, Case]
    submissions: dict[str, Path]
    display_names: dict[str, str]
    protocols: dict[str, Protocol]
    left_out: dict[str, dict[str, str]]
    runtime: str
    base_image: str
    sandbox: str
    seed: int
    jobs: str
    answers: str
    gpus: int
    store: Path
    archive: dict[str, Any]
    npz_spacing: str = "zyx"
    viewer: bool = False
    consensus: str = GIVEN
    has_raters: bool = False
    notes: tuple[str, ...] = ()
    report: str = "full"

    def runs_as_process(self, submission: str) -> bool:
        """Return whether a submission runs without a container: a folder without a base image."""
        bare = self.submissions[submission].is_dir() and not self.base_image
        return self.runtime == "process" or (self.runtime == "auto" and bare)


def read(config: dict[str, Any], source: str = "config") -> Config:
    """Check a config dict and look up everything it names.

    Raises ConfigError, all problems of one kind at once, one per line: file, key, what to write.
    """
    validate(config, "config", source)
    defaults = _defaults()
    values = defaults | config
    if isinstance(values["cases"]["labels"], dict):  # YAML reads a rater called 1 as a number
        named = {str(name): folder for name, folder in values["cases"]["labels"].items()}
        values["cases"] = values["cases"] | {"labels": named}
    sheets = values.get("sheets", {})
    consensus = _consensus(values["cases"], source)
    cases = _cases(values["cases"], sheets.get("cases"), source)
    if "slices" in values and isinstance(values["cases"]["labels"], dict):
        raise ConfigError(
            f"{source}: slices: cannot be cut where cases.labels names raters; prepare .npz files "
            "with the key `raters` instead"
        )
    if "slices" in values:
        cases = _sliced(cases, values["slices"])
    submissions, notes = look_through(_folder(values["submissions"], f"{source}: submissions"))
    _check_base_image(values["base_image"], values["runtime"], submissions, source)
    _check_sandbox(values, submissions, source)
    archive = defaults["archive"] | values["archive"]
    if values["answers"] == "final" and archive["answers"] == "all":
        raise ConfigError(f"{source}: archive.answers: with answers: final, take final or none")
    images, *label_folders = _folders(values["cases"], source)
    labels = find_labels(sheets.get("labels"), images, label_folders[0])
    if "slices" in values:  # each slice holds a single label, so there are no regions
        labels = {key: about for key, about in labels.items() if "members" not in about}
    protocols = _protocols(values["protocols"], cases, labels, source)
    has_raters = _has_raters(cases)
    for name, protocol in protocols.items():
        if wants_raters(protocol) and not has_raters:
            raise ConfigError(
                f"{name}: metrics: one of them needs several raters, and the cases have one label "
                "map; name the raters in cases.labels, or remove the metric"
            )
    npz_spacing = values["cases"].get("npz_spacing", "zyx")
    _check_spacing(npz_spacing, cases, protocols, source)
    with ThreadPoolExecutor() as several:  # gigabytes each
        list(several.map(_look_into, submissions.values()))
    return Config(
        cases=cases,
        submissions=submissions,
        display_names=_display_names(submissions, sheets.get("submissions")),
        protocols=protocols,
        left_out={name: _left_out(protocol, submissions) for name, protocol in protocols.items()},
        runtime=values["runtime"],
        base_image=values["base_image"],
        sandbox=values["sandbox"],
        seed=values["seed"],
        jobs=values["jobs"],
        answers=values["answers"],
        gpus=values["gpus"],
        store=Path(values["store"]),
        archive=archive,
        npz_spacing=npz_spacing,
        report=values["report"],
        viewer=values["viewer"],
        consensus=consensus,
        has_raters=has_raters,
        notes=(*notes, *(note for sheet in sheets.values() for note in notes_on(sheet))),
    )


def _protocols(
    names: list[str], cases: dict[str, Case], labels: Labels, source: str
) -> dict[str, Protocol]:
    found: dict[str, Protocol] = {}
    files: dict[str, str] = {}
    for file in names:
        protocol = load(file)
        name = protocol["name"]
        if name in found:
            raise ConfigError(
                f"{source}: protocols: {files[name]} and {file} have the same name {name!r}; "
                "give one of them another name, or remove it"
            )
        _check_fit(protocol, cases, file)
        protocol = _with_labels(protocol, labels, file)
        _check_labels(protocol, cases, file)
        found[name], files[name] = protocol, file
    return found


def find_submissions(folder: Path) -> dict[str, Path]:
    """Return the submissions of a folder by name; see `segarena.submissions.look_through`."""
    return look_through(folder)[0]


def _defaults() -> dict[str, Any]:
    properties = read_yaml(SCHEMAS / "config.schema.yaml")["properties"]
    return {key: value["default"] for key, value in properties.items() if "default" in value}


def _folder(value: str, key: str) -> Path:
    folder = Path(value)
    if not folder.is_dir():
        raise ConfigError(f"{key}: no folder {value!r} (paths start at the working directory)")
    return folder


def _folders(given: dict[str, Any], source: str) -> list[Path]:
    """Return the folder of images, then that of labels, or those of all raters."""
    labels = given["labels"]
    named = labels if isinstance(labels, dict) else {"": labels}
    return [
        _folder(given["images"], f"{source}: cases.images"),
        *(
            _folder(folder, f"{source}: cases.labels{name and '.'}{name}")
            for name, folder in named.items()
        ),
    ]


def _consensus(given: dict[str, Any], source: str) -> str:
    """Return how the label map comes about that the user goes by; see `prepare_case`."""
    labels = given["labels"]
    if not isinstance(labels, dict):
        return str(given.get("consensus", GIVEN))
    raters = [name for name in labels if name != GIVEN]
    wrong = [name for name in raters if name in WAYS]
    if wrong:
        raise ConfigError(
            f"{source}: cases.labels: {wrong[0]!r} cannot name a rater, since it is a way to a "
            "consensus; use another name"
        )
    if not raters:
        raise ConfigError(
            f"{source}: cases.labels: only {GIVEN!r} is named; add the folders of the raters, or "
            "write that folder alone"
        )
    chosen = str(given.get("consensus", GIVEN if GIVEN in labels else MAJORITY))
    known = [MAJORITY, STAPLE, *([GIVEN] if GIVEN in labels else []), *raters]
    if chosen not in known:
        raise ConfigError(
            f"{source}: cases.consensus: is {chosen!r}; one of {', '.join(known)} is expected"
        )
    return chosen


def _cases(given: dict[str, Any], sheet: str | None, source: str) -> dict[str, Case]:
    images, *folders = _folders(given, source)
    if isinstance(given["labels"], dict):
        rated = find_rated_cases(images, dict(zip(given["labels"], folders, strict=True)))
        chosen = _consensus(given, source)
        cases = {
            name: (image, _label_file(name, maps, chosen), _raters(name, maps))
            for name, (image, maps) in rated.items()
        }
    else:
        pairs = find_cases(images, folders[0])
        cases = {name: (image, label, ()) for name, (image, label) in pairs.items()}
    rows = _sheet(sheet, "case", set(cases)) if sheet else {}
    return {
        name: replace(_case(image, label, rows.get(name, {}), f"{sheet}: {name}"), raters=raters)
        for name, (image, label, raters) in cases.items()
    }


def _has_raters(cases: dict[str, Case]) -> bool:
    """Return whether the cases have label maps of several raters; of .npz the first one tells."""
    first = next(iter(cases.values()))
    if first.raters or first.label.suffix != ".npz":
        return bool(first.raters)
    try:
        with zipfile.ZipFile(first.label) as members:
            return "raters.npy" in members.namelist()
    except (OSError, ValueError, zipfile.BadZipFile):
        return False  # its own job reports it


def _label_file(case: str, maps: dict[str, Path], consensus: str) -> Path:
    """Return the label file of a case of several raters: the one that the user goes by, if any."""
    if consensus in {MAJORITY, STAPLE}:
        return next(iter(_raters(case, maps)))[1]
    if consensus not in maps:
        raise ConfigError(
            f"cases.consensus: {consensus} has no label map named {case}; add it, or take majority"
        )
    return maps[consensus]


def _raters(case: str, maps: dict[str, Path]) -> tuple[tuple[str, Path], ...]:
    found = tuple((name, path) for name, path in maps.items() if name != GIVEN)
    if not found:
        raise ConfigError(f"cases.labels: no rater has a label map named {case}")
    return found


def _case(image: Path, label: Path, row: dict[str, str], where: str) -> Case:
    box = row.get("box", "").lower() or "yes"
    if box not in {"yes", "no"}:
        raise ConfigError(f"{where}: box is {row['box']!r}; write yes or no")
    groups = tuple((key, value) for key, value in row.items() if key not in _CASE_COLUMNS and value)
    return Case(
        image=image,
        label=label,
        modality=row.get("modality") or None,
        window=row.get("window") or None,
        box=box == "yes",
        groups=groups,
        scribbles=_scribbles(row.get("scribbles"), where),
    )


def _scribbles(value: str | None, where: str) -> Path | None:
    if value and not Path(value).is_file():
        raise ConfigError(f"{where}: scribbles: no file {value!r} (from the working directory)")
    return Path(value) if value else None


def _sliced(cases: dict[str, Case], slices: dict[str, Any]) -> dict[str, Case]:
    """Return a case a label in place of each case; raises CaseError for unreadable label maps."""
    found: dict[str, Case] = {}
    problems = []
    for name, case in cases.items():
        try:
            labels = remembered(case.label, CACHE / "label_ids.json", labels_of)
        except CaseError as error:
            problems.append(str(error))
            continue
        if not labels:
            problems.append(f"{case.label}: the label map is empty, so it has no slices")
        for label in labels:
            arguments = tuple(sorted({**slices, "label": label}.items()))
            found[slice_name(name, label)] = replace(case, slice_of=name, slice=arguments)
    if problems:
        raise CaseError("\n".join(problems))
    return found


def _with_labels(protocol: Protocol, labels: Labels, file: str) -> Protocol:
    """Return a protocol with what is known of the labels; what it says of them itself comes first.

    Wherever it calls a label or a region by its name, the id or the region's key is put instead.
    """
    own = {str(key): value for key, value in protocol.get("labels", {}).items()}
    check_labels(own, f"{file}: labels")
    known = labels | own
    if protocol.get("over") == "regions" and not any("members" in v for v in known.values()):
        raise ConfigError(
            f"{file}: over: there are no regions; give them in a sheet of labels (sheets.labels), "
            "and leave out `slices`"
        )
    try:
        protocol = by_ids(protocol, known)
    except ConfigError as error:
        raise ConfigError(f"{file}: {error}") from error
    return protocol | {"labels": known} if known else protocol


def _check_spacing(
    order: str, cases: dict[str, Case], protocols: dict[str, Protocol], source: str
) -> None:
    """Raise ConfigError where ready-made cases would be read otherwise than a reference does."""
    fixed = sorted(_READ_ZYX & protocols.keys())
    if order != "zyx" and fixed and any(case.image.suffix == ".npz" for case in cases.values()):
        raise ConfigError(
            f"{source}: cases.npz_spacing: the reference of {', '.join(fixed)} reads (z, y, x); "
            "write zyx, or use another protocol"
        )


def _check_fit(protocol: Protocol, cases: dict[str, Case], name: str) -> None:
    """Raise ConfigError where parts of a protocol do not fit each other or the cases."""
    measured = {metric["name"] for metric in protocol["metrics"]}
    interactions = len(steps(protocol))
    if protocol["series"]["auc_from"] > interactions:
        raise ConfigError(
            f"{name}: series.auc_from: is {protocol['series']['auc_from']}, but the protocol has "
            f"{interactions} interactions"
        )
    if protocol["time"]["on_overtime"] == "zero" and protocol["time"].get("kill_at", 1) > 1:
        raise ConfigError(
            f"{name}: time.kill_at: has no effect with on_overtime: zero, where a late answer is "
            "worth nothing; remove it, or write on_overtime: warn"
        )
    noc = protocol["series"].get("noc", {})
    columns = [str(metric.get("as", metric["name"])) for metric in protocol["metrics"]]
    if noc and "metric" not in noc and "IoU" not in measured:
        raise ConfigError(f"{name}: series.noc: counts clicks by IoU; add {{name: IoU}} to metrics")
    if noc.get("metric", columns[0]) not in columns:
        raise ConfigError(
            f"{name}: series.noc.metric: is {noc['metric']!r}; one of {', '.join(columns)} is "
            "expected"
        )
    if protocol.get("repeat", 1) > 1 and not any(map(is_drawn, protocol["user"])):
        raise ConfigError(f"{name}: `repeat` has no effect here (no random step); remove it")
    if "ignore_label" in protocol and any(case.slice_of for case in cases.values()):
        raise ConfigError(f"{name}: ignore_label: a slice case holds one label; leave out `slices`")
    if any(step["prompt"] == "drawn" for step in protocol["user"]):
        without = [case for case, about in cases.items() if about.scribbles is None]
        if without:
            raise ConfigError(
                f"{name}: drawn: no scribbles for {', '.join(without[:5])}; give their files in "
                "the column `scribbles` of the sheet of cases"
            )


def _check_labels(protocol: Protocol, cases: dict[str, Case], name: str) -> None:
    """Raise ConfigError where a metric or the ranking names a label that no case has.

    Where a label map cannot be read nothing is known; its own job reports it.
    """
    named = labels_named(protocol["metrics"])
    for position, label in enumerate(protocol["ranking"].get("by", ())):
        if isinstance(label, int):
            named.setdefault(label, f"ranking.by.{position}")
    if not named:
        return
    known: set[int] = set()
    for label_map in {path for case in cases.values() for path in case.label_files}:
        try:
            known.update(remembered(label_map, CACHE / "label_ids.json", labels_of))
        except CaseError:
            return
    for label, key in named.items():
        if label not in known:
            labels = ", ".join(map(str, sorted(known)[:20]))
            raise ConfigError(
                f"{name}: {key}: no case has a label {label}; the labels are {labels}"
            )


def _look_into(source: Path) -> None:
    """Read a submission once, so that what it accepts and its digest are remembered."""
    try:
        refusal(source, (), ACCEPTS)
        if source.is_file():
            digest(source, DIGESTS)
    except OSError as error:
        raise ConfigError(f"{source}: cannot be read: {error.strerror}") from error


def _left_out(protocol: Protocol, submissions: dict[str, Path]) -> dict[str, str]:
    """Return why a submission is left out of a protocol, by submission; not all of them may."""
    kinds = {step["prompt"] for step in protocol["user"]}
    reasons = {
        name: reason
        for name, source in submissions.items()
        if (reason := refusal(source, kinds, ACCEPTS))
    }
    if len(reasons) == len(submissions):
        lines = "; ".join(f"{name}: {reason}" for name, reason in reasons.items())
        raise ConfigError(f"protocols: {protocol['name']}: no submission can use it ({lines})")
    return reasons


def _check_base_image(
    base_image: str, runtime: str, submissions: dict[str, Path], source: str
) -> None:
    """Raise ConfigError where folders should run in containers without an image to run in."""
    folders = [name for name, path in submissions.items() if path.is_dir()]
    if not folders or runtime in {"auto", "process"}:
        return
    if not base_image:
        raise ConfigError(
            f"{source}: base_image: the folders {', '.join(folders[:5])} run in a container only "
            "with one; name it, or give docker archives, or write runtime: process"
        )
    if runtime == "apptainer" and not Path(base_image).is_file():
        raise ConfigError(
            f"{source}: base_image: no file {base_image!r}; with runtime apptainer write the path "
            "of a SIF file or of a docker archive"
        )


def _check_sandbox(values: dict[str, Any], submissions: dict[str, Path], source: str) -> None:
    """Raise ConfigError where a submission would run in no container of Docker or Podman."""
    runtime = values["runtime"]
    if runtime == "auto" and not values["base_image"]:
        runtime = "process" if any(path.is_dir() for path in submissions.values()) else "docker"
    if values["sandbox"] and runtime in {"apptainer", "process"}:
        raise ConfigError(
            f"{source}: sandbox: {values['sandbox']!r} is for containers of docker and podman, and "
            f"submissions run with {runtime}; leave it out, or choose another runtime"
            + (", or set base_image" if values["runtime"] == "auto" else "")
        )


def _display_names(submissions: dict[str, Path], sheet: str | None) -> dict[str, str]:
    rows = _sheet(sheet, "submission", set(submissions)) if sheet else {}
    return {name: rows.get(name, {}).get("name") or name for name in submissions}


def _sheet(path: str, key: str, known: set[str]) -> dict[str, dict[str, str]]:
    """Return the rows of a sheet by name; each name is one of those in the folder."""
    if not Path(path).is_file():
        raise ConfigError(f"sheets: no file {path!r} (paths start at the working directory)")
    rows: dict[str, dict[str, str]] = {}
    problems = []
    for line, row in read_sheet(path, key, _KNOWN_COLUMNS).rows:
        name = row[key]
        if name in rows:
            problems.append(f"{path}: line {line}: duplicate {key} {name!r}; remove one")
        elif name not in known:
            problems.append(f"{path}: line {line}: no {key} {name!r} in the folder")
        rows[name] = row
    if problems:
        raise ConfigError("\n".join(problems))
    return rows
