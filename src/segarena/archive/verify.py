"""Checking an archive: what it says against what follows from what it says.

Each stage is made again, by the same functions that made it, from the stage before as it is in the
archive, and compared to the last digit: the tables from the scores, the ranking from the tables.
With the truth, the scores and the prompts are made again from the answers. What cannot be made
again is named, with the reason.
"""

import contextlib
import csv
import json
import math
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from segarena.archive import contents
from segarena.archive.bundle import software_versions
from segarena.archive.unpack import files_of, sum_problems, unpack
from segarena.case import UNREADABLE, npy_header, read_truth
from segarena.errors import ConfigError, SegArenaError
from segarena.extras import INSTALL, without
from segarena.files import read_json
from segarena.prompt import step as prompt_step
from segarena.protocol import (
    Protocol,
    needs_prompts,
    prompt_values,
    regions,
    repetitions,
    steps,
    wants_areas,
    wants_prompts,
)
from segarena.provenance import code_digest, file_digest
from segarena.rank import step as rank_step
from segarena.score import metrics_step
from segarena.score import step as score_step
from segarena.score.metrics import column
from segarena.score.noc import AREAS
from segarena.score.prompted import COUNTS
from segarena.score.table import INVENTED
from segarena.untrusted import json_value, printable

BROKEN: tuple[type[Exception], ...] = (*UNREADABLE, SegArenaError, csv.Error)
"""What reading a file that was tampered with may raise."""


@dataclass
class Findings:
    """What was checked (how many of it), what did not hold, and what could not be checked."""

    checked: dict[str, int] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    unchecked: list[str] = field(default_factory=list)

    def checks(self, what: str, problems: list[str], *, count: int = 1) -> None:
        """Note that `what` was checked, and what was found."""
        self.checked[what] = self.checked.get(what, 0) + count
        self.wrong += problems


@dataclass(frozen=True)
class Archived:
    """An unpacked archive."""

    folder: Path
    facts: contents.Facts
    protocols: dict[str, Protocol]

    @property
    def results(self) -> Path:
        return self.folder / "results"

    def sessions(self) -> Iterator[tuple[str, str, str]]:
        """Yield every (repetition, submission, case)."""
        yield from contents.sessions(self.facts, self.protocols)

    def protocol(self, repetition: str) -> Protocol:
        """Return the protocol of a repetition."""
        return contents.protocol_of(repetition, self.protocols)

    def file(self, stage: str, repetition: str, submission: str, case: str, name: str) -> Path:
        """Return a file of a session."""
        return self.results / stage / repetition / submission / case / name


def verify(archive: Path, *, truth: Path | None = None) -> Findings:
    """Check an archive; truth: a folder with CASE.truth.npz and, for boxes, CASE.image.npz.

    Raises ConfigError where the file cannot be opened as an archive at all.
    """
    found = Findings()
    with unpack(Path(archive)) as folder:
        found.checks("checksums", sum_problems(folder), count=len(list(folder.rglob("*.*"))))
        archived = _read(folder, found)
        if archived is None:
            found.unchecked.append("all but the checksums: see what is wrong above")
            return found
        if not _has_what_it_names(archived, found):
            return found
        for check in (
            *(_check_files, _check_crate, _check_described, _check_sessions, _check_scores),
            *(_check_tables, _check_ranks, _check_answers),
        ):
            with _report_broken(check.__name__.removeprefix("_check_"), found):
                check(archived, found)
        with _report_broken("truth", found):
            _check_truth(archived, truth, found)
        with _report_broken("code", found):
            _note_code(archived, found)
    return found


@contextlib.contextmanager
def _report_broken(what: str, found: Findings) -> Iterator[None]:
    """Turn whatever a file of the archive makes a reader raise into a line of what is wrong."""
    try:
        yield
    except BROKEN as error:
        reason = printable(error) or type(error).__name__
        found.wrong.append(reason if reason.startswith(what) else f"{what}: {reason}")


def _read(folder: Path, found: Findings) -> Archived | None:
    try:
        facts = contents.read_facts(folder)
        protocols = contents.read_protocols(folder, facts)
        contents.read_config(folder)
    except BROKEN as error:
        found.checks("schemas", str(error).splitlines())
        return None
    wrong = [
        f"{contents.protocol_file(name)}: {protocol['name']} version {protocol['version']}, but "
        f"{contents.FACTS} says {name} version {facts['protocols'][name]}"
        for name, protocol in protocols.items()
        if (protocol["name"], protocol["version"]) != (name, facts["protocols"][name])
    ]
    found.checks("schemas", wrong, count=2 + len(protocols))
    return Archived(folder, facts, protocols)


def _has_what_it_names(archived: Archived, found: Findings) -> bool:
    """Return whether an archive has as many files as its facts name.

    Facts of kilobytes can name as many sessions as nobody can count.
    """
    facts, protocols = archived.facts, archived.protocols
    named = len(facts["cases"]) * sum(
        len(repetitions(protocol))
        * len(contents.eligible_submissions(facts, name))
        * len(steps(protocol))
        for name, protocol in protocols.items()
    )
    there = len(files_of(archived.folder))
    if named > there:
        found.checks("files", [f"{contents.FACTS}: names {named:,} prompts; {there:,} files"])
    return named <= there


def _check_files(archived: Archived, found: Findings) -> None:
    expected = contents.result_files(archived.facts, archived.protocols)
    expected += contents.drawn_files(archived.facts, archived.protocols)
    missing = [f"{name}: missing" for name in expected if not (archived.folder / name).is_file()]
    folders = [archived.results / kind for kind in ("prepare", "prompt", "predict", "score")]
    there = {
        path.relative_to(archived.folder).as_posix()
        for folder in (*folders, archived.folder / "scribbles")
        for path in folder.rglob("*")
        if path.is_file()
    }
    all_files = (path for path in archived.folder.rglob("*") if path.is_file())
    names = (path.relative_to(archived.folder).as_posix() for path in all_files)
    other = {name for name in names if not contents.has_place(name, archived.facts)}
    extra = [
        f"{name}: has no place in the archive" for name in sorted((there - set(expected)) | other)
    ]
    secret = [p for p in archived.folder.rglob("*.truth.*") if p.is_file()]
    extra += [f"{path.name}: the truth does not lie in the archive" for path in secret]
    found.checks("files", missing + extra, count=len(expected))


def _check_crate(archived: Archived, found: Findings) -> None:
    described = json_value((archived.folder / contents.CRATE).read_bytes())["@graph"]
    there = files_of(archived.folder)
    problems = []
    for entity in described:
        name, digest = str(entity["@id"]), entity.get("sha256")
        if digest is None or name.startswith("#"):
            continue
        if name not in there or file_digest(archived.folder / name) != digest:
            problems.append(f"{contents.CRATE}: {name} is not the file described")
    found.checks("RO-Crate descriptions", problems, count=len(described))


def _check_described(archived: Archived, found: Findings) -> None:
    """What is known of cases and submissions is of its form, and of the run."""
    for case in archived.facts["cases"]:
        name = f"results/prepare/{case}.json"
        _described(archived.folder / name, "prepared", name, {"case": case}, found)
    for submission, about in archived.facts["submissions"].items():
        name = f"results/predict/{submission}/image.json"
        known = {key: about[key] for key in ("sha256", "image_id", "runtime")}
        _described(archived.folder / name, "image", name, known, found)


def _described(
    path: Path, schema: str, name: str, expected: dict[str, Any], found: Findings
) -> dict[str, Any] | None:
    """Return what a JSON file of the archive holds, where it has its form; note what is wrong."""
    if not path.is_file():
        return None  # reported as missing
    try:
        value = contents.read_stranger_json(path, schema, name)
    except ConfigError as error:
        found.wrong += str(error).splitlines()
        return None
    found.checks("descriptions have their form", _differs(name, value, expected))
    return dict(value)


def _check_sessions(archived: Archived, found: Findings) -> None:
    """Records and prompts are of their place; each prompt file repeats all earlier prompts."""
    sessions = 0
    problems = []
    for repetition, submission, case in archived.sessions():
        protocol = archived.protocol(repetition)
        before: dict[str, Any] = {}
        for k in contents.interactions(protocol):
            prompts_json = archived.file("prompt", repetition, submission, case, f"{k}.json")
            record_json = archived.file("predict", repetition, submission, case, f"{k}.json")
            place = f"{repetition}/{submission}/{case}/{k}"
            head = {
                "case": case,
                "protocol": protocol["name"],
                "version": protocol["version"],
                "interaction": k,
            }
            identity = {
                key: archived.facts["submissions"][submission][key]
                for key in ("sha256", "image_id")
            }
            expected_prompt = {
                **head,
                "prompt": steps(protocol)[k - 1]["prompt"],
                "seed": protocol["seed"],
            }
            name = f"results/prompt/{place}.json"
            prompts = _described(prompts_json, "prompt", name, expected_prompt, found)
            name = f"results/predict/{place}.json"
            record = _described(record_json, "record", name, head | identity, found)
            if prompts is None or record is None:
                continue  # reported as missing, or as broken
            problems += _not_points(f"prompt/{place}", prompts)
            if (record["status"] == "not_asked") == prompts["asked"]:
                problems.append(
                    f"predict/{place}: {record['status']}, but asked is {prompts['asked']}"
                )
            if not _continues(prompts, before):
                problems.append(f"prompt/{place}: contradicts the previous prompt")
            before = prompts
        sessions += 1
    found.checks("sessions (records and prompts agree)", problems, count=sessions)


def _not_points(place: str, prompts: dict[str, Any]) -> list[str]:
    """Return a line where a click or a voxel of a scribble is no three whole numbers."""
    plain = all(
        isinstance(point, list) and len(point) == 3 and all(type(n) is int for n in point)
        for kind in ("clicks", "scribbles")
        for points in prompts.get(kind, [])
        for point in (*points["fg"], *points["bg"])
    )
    return [] if plain else [f"{place}.json: clicks and scribbles are voxels (z, y, x)"]


def _differs(name: str, there: dict[str, Any], expected: dict[str, Any]) -> list[str]:
    return [
        f"{name}: {key} is {there.get(key)!r}, expected {value!r}"
        for key, value in expected.items()
        if there.get(key) != value
    ]


def _continues(prompts: dict[str, Any], before: dict[str, Any]) -> bool:
    """Return whether every list in `before` begins the same list in `prompts`."""
    if before.get("boxes") is not None and prompts["boxes"] != before["boxes"]:
        return False
    pairs = zip(before.get("clicks_order", []), prompts["clicks_order"], strict=False)
    if any(later[: len(earlier)] != earlier for earlier, later in pairs):
        return False
    return all(
        later[kind][: len(points)] == points
        for earlier, later in zip(before.get("clicks", []), prompts["clicks"], strict=False)
        for kind, points in earlier.items()
    )


def _check_scores(archived: Archived, found: Findings) -> None:
    """Each score table has the rows that protocol and case ask for, in their order."""
    problems = []
    count = 0
    for repetition, submission, case in archived.sessions():
        protocol = archived.protocol(repetition)
        name = f"score/{repetition}/{submission}/{case}.csv"
        path = archived.results / name
        if not path.is_file():
            continue  # reported as missing
        labels = read_json(archived.results / f"prompt/{name[6:-4]}/1.json")["labels"]
        ids = read_json(archived.results / f"prepare/{case}.json")["labels"]
        scored = [ids[str(label)] for label in labels]
        rows = list(csv.reader(path.read_text(encoding="utf-8").splitlines()))
        expected = [["interaction", "label", "metric"]] + [
            [str(k), label, column(metric)]
            for k in contents.interactions(protocol)
            for label in [*map(str, scored), *_regions_of(scored, protocol)]
            for metric in protocol["metrics"]
        ]
        names = {column(metric) for metric in protocol["metrics"]}
        extra = [row for row in rows[1:] if len(row) != 4 or row[2] not in names]
        known = {INVENTED, *(AREAS if wants_areas(protocol) else ())}
        known |= set(COUNTS if wants_prompts(protocol) else ())
        strange = [row for row in extra if len(row) != 4 or row[2] not in known]
        if strange:
            line = ",".join(strange[0])
            problems.append(f"results/{name}: {line} is of no metric of the protocol")
        if [row[:3] for row in rows if row not in extra] != expected:
            problems.append(f"results/{name}: rows missing, added or in another order")
        for row in rows[1:]:
            if len(row) != 4 or repr(float(row[3])) != row[3]:
                problems.append(f"results/{name}: {','.join(row)} is no score as we write one")
        count += 1
    found.checks("score tables (rows)", problems, count=count)


def _regions_of(labels: list[int], protocol: Protocol) -> list[str]:
    """Return the regions of which a case has labels."""
    return [name for name, members in regions(protocol).items() if set(members) & set(labels)]


def _check_tables(archived: Archived, found: Findings) -> None:
    cases = list(archived.facts["cases"])
    pairs = dict.fromkeys(
        (repetition, submission) for repetition, submission, _ in archived.sessions()
    )
    for repetition, submission in pairs:
        protocol = archived.protocol(repetition)
        scores = [str(archived.results / f"score/{repetition}/{submission}/{c}.csv") for c in cases]
        records = [
            str(archived.file("predict", repetition, submission, case, f"{k}.json"))
            for case in cases
            for k in contents.interactions(protocol)
        ]
        with tempfile.TemporaryDirectory() as tmp:
            made = {kind: Path(tmp, f"{kind}.csv") for kind in ("metrics", "labels")}
            metrics_step.main(
                scores,
                records,
                str(made["metrics"]),
                cases=cases,
                values=protocol,
                labels_output=str(made["labels"]),
            )
            problems = []
            for kind, output in made.items():
                table = f"score/{repetition}/{submission}_{kind}.csv"
                problems += _compared(archived.results / table, output, f"results/{table}")
        found.checks("team tables from scores and records", problems)


def _check_ranks(archived: Archived, found: Findings) -> None:
    facts = archived.facts
    for name, protocol in archived.protocols.items():
        tables = [
            str(archived.results / f"score/{repetition}/{submission}_metrics.csv")
            for repetition in repetitions(protocol)
            for submission in contents.eligible_submissions(facts, name)
        ]
        left_out = facts["left_out"].get(name)
        with tempfile.TemporaryDirectory() as tmp:
            rank_step.main(
                tables,
                Path(tmp, "results", "rank", name),
                groups={case: about["groups"] for case, about in facts["cases"].items()},
                protocol=protocol,
                **({"left_out": left_out} if left_out else {}),
            )
            made = contents.table_files(name, Path(tmp, "results"))
            there = contents.table_files(name, archived.results)
            if without("pyarrow"):
                there = [file for file in there if not file.endswith(".parquet")]
                found.unchecked.append(f"Parquet tables of {name}: they need: {INSTALL}")
            problems = [f"{file}: missing" for file in sorted(set(made) - set(there))]
            problems += [f"{file}: not of a ranking" for file in sorted(set(there) - set(made))]
            for file in sorted(set(made) & set(there)):
                same = _same_csv if file.endswith(".csv") else _same_parquet
                if not same(archived.folder / file, Path(tmp, file)):
                    problems.append(f"{file}: is not what the team tables give")
            named = {text for file in there for text in _software(archived.folder / file)}
            if len(named - {""}) > 1:
                problems.append(f"results/rank/{name}: the tables name different software")
        found.checks("rankings from team tables", problems)


def _same_csv(one: Path, other: Path) -> bool:
    """Return whether two tables are the same to the last digit, the versions of software aside."""
    return _rows(one) == _rows(other)


def _rows(path: Path) -> list[list[str]]:
    rows = list(csv.reader(path.read_text(encoding="utf-8").splitlines()))
    left_out = {i for i, key in enumerate(rows[0] if rows else []) if key == "software"}
    return [[cell for i, cell in enumerate(row) if i not in left_out] for row in rows]


def _software(path: Path) -> set[str]:
    """Return what a table says of the software that made it, each text once."""
    if path.suffix == ".parquet":
        import pyarrow.parquet as pq

        written = json.loads((pq.read_schema(path).metadata or {}).get(b"segarena", b"{}"))
        return {written.get("software", "")}
    with path.open(encoding="utf-8", newline="") as file:
        return {row.get("software", "") for row in csv.DictReader(file)}


def _same_parquet(one: Path, other: Path) -> bool:
    import pyarrow.parquet as pq

    size, expected = (pq.read_metadata(path).num_rows for path in (one, other))
    if size != expected:  # before anything is unpacked
        return False
    there, made = pq.read_table(one), pq.read_table(other)
    if _facts_of(there) != _facts_of(made) or there.column_names != made.column_names:
        return False
    return there.to_pandas().equals(made.to_pandas())


def _facts_of(table: Any) -> dict[str, str]:
    written = json.loads((table.schema.metadata or {}).get(b"segarena", b"{}"))
    return {key: value for key, value in written.items() if key != "software"}


def _compared(there: Path, made: Path, name: str) -> list[str]:
    if there.read_bytes() == made.read_bytes():
        return []
    lines = zip(there.read_text().splitlines(), made.read_text().splitlines(), strict=False)
    number = next((i for i, (a, b) in enumerate(lines, start=1) if a != b), "at the end")
    return [f"{name}: line {number} is not what its sources give"]


def _check_answers(archived: Archived, found: Findings) -> None:
    """Each answer is the one that its record speaks of, and fits its case."""
    kind = archived.facts["answers"]
    if kind != "all":
        which = {"none": "no answers are", "final": "only the final answers are"}[kind]
        found.unchecked.append(f"answers: {which} in the archive")
    for repetition, submission, case in archived.sessions():
        protocol = archived.protocol(repetition)
        for k in contents.answered(protocol, kind):
            path = archived.file("predict", repetition, submission, case, f"{k}.npz")
            name = f"results/predict/{repetition}/{submission}/{case}/{k}.npz"
            problems = []
            try:
                about = read_json(archived.results / f"prepare/{case}.json")
                record = read_json(path.with_suffix(".json"))
                if file_digest(path) != record["answer_sha256"]:
                    problems.append(f"{name}: not the answer of its record")
                _check_shape(path, tuple(about["shape"][:3]))
            except BROKEN as error:
                problems.append(f"{name}: {printable(error) or type(error).__name__}")
            found.checks("answers are those of their records", problems)


def _check_shape(path: Path, shape: tuple[int, ...]) -> None:
    """Raise ValueError unless `segs` declares this shape and plain numbers; it is not unpacked."""
    with zipfile.ZipFile(path) as archive, archive.open("segs.npy") as member:
        found, dtype = npy_header(member)
        size = member.tell() + math.prod(found) * dtype.itemsize
        complete = archive.getinfo("segs.npy").file_size == size
    if found != shape or dtype.kind != "u" or not complete:
        raise ValueError(f"segs is {dtype} {found}, expected labels {shape}")


def _check_truth(archived: Archived, truth: Path | None, found: Findings) -> None:
    if truth is None:
        found.unchecked.append("scores and prompts: no truth was given (--truth DIR)")
        return
    for case, about in archived.facts["cases"].items():
        truth_npz, image_npz = truth / f"{case}.truth.npz", truth / f"{case}.image.npz"
        if not truth_npz.is_file():
            found.unchecked.append(f"scores and prompts of {case}: no {truth_npz}")
            continue
        same = file_digest(truth_npz) == about["truth_sha256"]
        problem = f"{truth_npz}: not the truth that the run was scored with"
        found.checks("truths are those of the run", [] if same else [problem])
        if not same:
            continue
        known = image_npz.is_file() and file_digest(image_npz) == about["image_sha256"]
        if not known:
            found.unchecked.append(f"boxes of {case}: not the run's {image_npz.name} in {truth}")
        with tempfile.TemporaryDirectory() as tmp:
            not_as = _not_as(archived, case, truth_npz)
            found.checks("cases are as their truths say", not_as)
            if not_as:
                continue  # an answer may be as large as it says
            files = {"truth": str(truth_npz)}
            if known:
                files["image"] = str(image_npz)
            _check_case(archived, case, files, Path(tmp), found)


def _not_as(archived: Archived, case: str, truth_npz: Path) -> list[str]:
    """Return where a case's JSON says otherwise than its truth."""
    truth = read_truth(truth_npz)
    spacing_mm = truth.spacing_mm and list(truth.spacing_mm)
    labels = {str(number): label for number, label in truth.ids.items()}
    prepared = read_json(archived.results / f"prepare/{case}.json")
    shape = [*truth.gts.shape, *prepared["shape"][3:]]  # and colours, which a truth has not
    expected = {"spacing_mm": spacing_mm, "labels": labels, "shape": shape}
    return _differs(f"results/prepare/{case}.json", prepared, expected)


def _check_case(
    archived: Archived, case: str, files: dict[str, str], tmp: Path, found: Findings
) -> None:
    for repetition, submission, other in archived.sessions():
        if other != case:
            continue
        place = f"{repetition}/{submission}/{case}"
        try:
            _check_values(archived, repetition, submission, case, files, tmp, found)
            _check_prompts(archived, repetition, submission, case, files, tmp, found)
        except BROKEN as error:
            reason = printable(error) or type(error).__name__
            found.wrong.append(f"{place}: cannot be computed again: {reason}")


def _check_values(
    archived: Archived,
    repetition: str,
    submission: str,
    case: str,
    files: dict[str, str],
    tmp: Path,
    found: Findings,
) -> None:
    protocol = archived.protocol(repetition)
    name = f"results/score/{repetition}/{submission}/{case}.csv"
    lines = (archived.folder / name).read_text(encoding="utf-8").splitlines()[1:]
    problems = []
    numbers = contents.answered(protocol, archived.facts["answers"])
    if not numbers:
        return
    answers = [archived.file("predict", repetition, submission, case, f"{k}.npz") for k in numbers]
    read: dict[str, Any] = {"truth": files["truth"], "answers": answers}
    metrics = protocol["metrics"]
    if wants_prompts(protocol) and len(numbers) == len(steps(protocol)):
        read["prompts"] = [
            archived.file("prompt", repetition, submission, case, f"{k}.json") for k in numbers
        ]
    elif wants_prompts(protocol):  # without the answers before, changes cannot be computed again
        unknown = {*COUNTS, *(column(metric) for metric in metrics if needs_prompts(metric))}
        metrics = [metric for metric in metrics if not needs_prompts(metric)]
        lines = [line for line in lines if line.split(",")[2] not in unknown]
    output = tmp / "scores.csv"
    score_step.main(read, str(output), metrics, **_score_options(protocol))
    made = output.read_text(encoding="utf-8").splitlines()[1:]
    for position, k in enumerate(numbers, start=1):
        here = [line.split(",", 1)[1] for line in lines if line.startswith(f"{k},")]
        remade = [line.split(",", 1)[1] for line in made if line.startswith(f"{position},")]
        if here != remade:
            problems.append(f"{name}: interaction {k} is not what the answer scores")
    found.checks("scores from answers and truth", problems, count=len(made))


def _score_options(protocol: Protocol) -> dict[str, Any]:
    """Return what the score step is given beyond the metrics, where the protocol asks for it."""
    ignored = {"ignore_label": protocol["ignore_label"]} if "ignore_label" in protocol else {}
    unions = {"regions": regions(protocol)} if regions(protocol) else {}
    return ignored | unions | ({"areas": True} if wants_areas(protocol) else {})


def _check_prompts(
    archived: Archived,
    repetition: str,
    submission: str,
    case: str,
    files: dict[str, str],
    tmp: Path,
    found: Findings,
) -> None:
    protocol = archived.protocol(repetition)
    numbers = contents.answered(protocol, archived.facts["answers"])
    for k, step in enumerate(steps(protocol), start=1):
        given: dict[str, str] = {key: files[key] for key in ("truth", "image") if key in files}
        if step["prompt"] == "box" and "image" not in given:
            continue  # reported for the case
        if step["prompt"] == "drawn":
            given["drawn"] = str(archived.folder / contents.drawn_file(case))
        if k > 1:
            given["prompts"] = str(
                archived.file("prompt", repetition, submission, case, f"{k - 1}.json")
            )
            answer = archived.file("predict", repetition, submission, case, f"{k - 1}.npz")
            if k - 1 not in numbers:
                found.unchecked.append(
                    f"prompt/{repetition}/{submission}/{case}/{k}.json: the answer before it "
                    "is not in the archive"
                )
                continue
            given["answer"] = str(answer)
        there = archived.file("prompt", repetition, submission, case, f"{k}.json")
        made = tmp / "prompts.json"
        values = prompt_values(protocol, k, repetitions(protocol).index(repetition))
        prompt_step.main(given, str(made), case, k, values)
        same = there.read_bytes() == made.read_bytes()
        name = f"results/{there.relative_to(archived.results)}"
        problem = f"{name}: is not what the user says to the answer before"
        found.checks("prompts from answers and truth", [] if same else [problem])


def _note_code(archived: Archived, found: Findings) -> None:
    """Say where code and software are not the run's, so that a difference can be understood."""
    for name, digest in archived.facts["code"].items():
        if name not in contents.STEPS or code_digest(contents.STEPS[name]) != digest:
            found.unchecked.append(f"{name}: this SegArena's code for it is not the run's")
    here = software_versions()
    for name, version in archived.facts["software"].items():
        if here.get(name, version) != version:
            found.unchecked.append(f"{name}: {version} in the run, {here[name]} here")
