"""Archives that were made to do harm: a line for each, whatever is in them, and nothing runs."""

import hashlib
import io
import json
import struct
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from arena import Arena

from segarena.archive import command
from segarena.archive.diff import compare, open_run
from segarena.archive.rerun import set_up
from segarena.archive.verify import verify
from segarena.case import npy_bytes
from segarena.errors import ConfigError, SegArenaError

PROMPT, RECORD = "results/prompt/short/ada/one/2.json", "results/predict/short/ada/one/2.json"
ANSWER, SCORES = "results/predict/short/ada/one/2.npz", "results/score/short/ada/one.csv"
IMAGE, CASE = "results/predict/ada/image.json", "results/prepare/one.json"
TABLE, BOARD = "results/score/short/ada_metrics.csv", "results/rank/short/leaderboard.csv"
CONFIG, PROTOCOL = "config/config.yaml", "config/protocols/short.yaml"
PARQUET = "results/rank/short/missing.parquet"

CRATE = "ro-crate-metadata.json"

Change = Callable[[dict[str, bytes]], None]
Tamper = Callable[..., Path]


def members(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as packed:
        return {i.filename: packed.read(i) for i in packed.infolist() if not i.is_dir()}


def put(name: str, content: bytes) -> Change:
    return lambda files: files.update({name: content})


def edited(name: str, **changes: Any) -> Change:
    def change(files: dict[str, bytes]) -> None:
        files[name] = json.dumps({**json.loads(files[name]), **changes}).encode()

    return change


def in_protocol(**changes: Any) -> Change:
    def change(files: dict[str, bytes]) -> None:
        files[PROTOCOL] = yaml.safe_dump({**yaml.safe_load(files[PROTOCOL]), **changes}).encode()

    return change


def npz(header: str, data: bytes = b"") -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        start = b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header.encode()
        archive.writestr("segs.npy", start + data)
    return buffer.getvalue()


def summed(change: Change) -> Change:
    """Return a change after which the checksums fit, also where the crate is broken."""

    def changed(files: dict[str, bytes]) -> None:
        change(files)
        files.pop("sha256sums.txt")
        lines = (f"{hashlib.sha256(content).hexdigest()}  {n}\n" for n, content in files.items())
        files["sha256sums.txt"] = "".join(lines).encode()

    return changed


LAUGHS = "\n".join(
    ["a0: &a0 [x,x,x,x,x,x,x,x,x,x]"]
    + [f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 10)]
    + ["protocols: *a9"]
).encode()
MANY_CASES = {
    f"c{i}": {"groups": {}, "image_sha256": "0" * 64, "truth_sha256": "0" * 64}
    for i in range(10_000)
}
MANY_TEAMS = {
    f"t{i}": {"name": "t", "sha256": None, "image_id": None, "runtime": None} for i in range(10_000)
}
USER = [{"prompt": "click", "times": 1000, "rule": "largest_error"}] * 1000
CHANGES: dict[str, Change] = {
    "config: aliases": put(CONFIG, LAUGHS),
    "config: nested lists": put(CONFIG, b"[" * 100_000),
    "config: a tag of Python": put(CONFIG, b'!!python/object/apply:os.system ["true"]'),
    "config: a date that is none": put(CONFIG, b"cases: 2000-99-99"),
    "config: no text": put(CONFIG, bytes(range(256))),
    "protocol: aliases": put(PROTOCOL, LAUGHS),
    "protocol: a million interactions": in_protocol(user=USER),
    "protocol: times without end": in_protocol(
        user=[{"prompt": "click", "times": 10**9, "rule": "largest_error"}]
    ),
    "protocol: repetitions without end": in_protocol(repeat=10**9),
    "protocol: samples without end": in_protocol(
        ranking={"metrics": ["DSC_Final"], "scheme": "rank_then_mean", "bootstraps": 10**12}
    ),
    "facts: nested": put("run.json", b"[" * 200_000),
    "facts: a list": put("run.json", b"[]"),
    "facts: no text": put("run.json", b'{"name":"\xff"}'),
    "facts: an endless number": put("run.json", b'{"format": ' + b"9" * 5000 + b"}"),
    "facts: a hundred million sessions": edited(
        "run.json", cases=MANY_CASES, submissions=MANY_TEAMS
    ),
    "facts: code of other names": edited("run.json", code={"../../x": "y"}),
    "crate: a list": put(CRATE, b"[]"),
    "crate: entities of other types": put(CRATE, b'{"@graph": ["a", 1, null]}'),
    "crate: files of the host": put(
        CRATE,
        json.dumps(
            {
                "@graph": [
                    {"@id": "../../../../../../etc/passwd", "sha256": "x"},
                    {"@id": "/dev/zero", "sha256": "y"},
                    {"@id": 5, "sha256": 1},
                ]
            }
        ).encode(),
    ),
    "prompt: a list": put(PROMPT, b"[]"),
    "prompt: text": put(PROMPT, b'"x"'),
    "prompt: null": put(PROMPT, b"null"),
    "prompt: nothing": put(PROMPT, b""),
    "prompt: nested": put(PROMPT, b"[" * 200_000),
    "prompt: clicks of other types": edited(PROMPT, clicks=[5, {"fg": 1, "bg": None}]),
    "prompt: points of other types": edited(PROMPT, clicks=[{"fg": [[1, 2, "x"]], "bg": []}]),
    "prompt: an order of another type": edited(PROMPT, clicks_order={"a": 1}),
    "prompt: labels of another type": edited(PROMPT, labels=[{}]),
    "record: a list": put(RECORD, b"[]"),
    "record: a number": put(RECORD, b"1"),
    "record: a status that is a map": edited(RECORD, status={}),
    "record: an unknown status": edited(RECORD, status="won"),
    "record: seconds that are text": edited(RECORD, seconds="0.1"),
    "record: negative seconds": edited(RECORD, seconds=-1),
    "record: a message of megabytes": edited(RECORD, message="x" * 2_000_000),
    "image: a list": put(IMAGE, b"[]"),
    "image: null": put(IMAGE, b"null"),
    "image: of another submission": edited(IMAGE, sha256="0" * 64),
    "case: a list": put(CASE, b"[]"),
    "case: a shape of another type": edited(CASE, shape="big"),
    "case: of another name": edited(CASE, case="two"),
    "scores: no text": put(SCORES, bytes(range(256)) * 10),
    "scores: an endless quote": put(SCORES, b'"' * 300_000),
    "scores: an endless cell": put(SCORES, b"a," * 10 + b"x" * 300_000),
    "scores: nothing": put(SCORES, b""),
    "scores: a formula": lambda files: files.update({SCORES: files[SCORES] + b"1,1,=cmd|x,0.5\n"}),
    "table: no text": put(TABLE, bytes(range(256)) * 10),
    "leaderboard: no text": put(BOARD, bytes(range(256))),
    "leaderboard: an endless cell": put(BOARD, b"submission,rank\n" + b"x" * 300_000 + b",1\n"),
    "parquet: no parquet": put(PARQUET, b"PAR1" + bytes(100) + b"PAR1"),
    "parquet: nothing": put(PARQUET, b""),
    "answer: a header that is cut": put(ANSWER, npz("{'descr':'|u1','shape':(4,\n")),
    "answer: a header of nested lists": put(ANSWER, npz("{'descr':" + "[" * 9000 + "\n")),
    "answer: a shape of terabytes": put(
        ANSWER, npz("{'descr':'|u1','fortran_order':False,'shape':(100000,100000,100)}\n")
    ),
    "answer: objects": put(
        ANSWER, npz("{'descr':'|O','fortran_order':False,'shape':(1,)}\n", b"cos\nsystem\n.")
    ),
    "answer: text": put(ANSWER, b"hello"),
    "answer: nothing": put(ANSWER, b""),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_hostile_file_is_wrong_and_nothing_breaks(
    name: str, tampered: Tamper, truth: Path, archive: Path
):
    """With checksums that fit: verify finds it in bounded lines; diff ends in one line or none."""
    path = tampered(summed(CHANGES[name]), signed=False)
    started = time.process_time()
    found = verify(path, truth=truth)
    assert found.wrong or name == "facts: code of other names"
    assert sum(map(len, found.wrong)) < 1_000_000
    try:
        with open_run(path) as one, open_run(archive) as other:
            compare(one, other)
    except SegArenaError as error:
        assert "\n" not in str(error) or name.startswith(("protocol", "facts"))
    assert time.process_time() - started < 60


def directory_edited(path: Path, offset: int, local: int, value: int) -> None:
    """Change a number of the first member, in the directory and before its content."""
    with zipfile.ZipFile(path) as packed:
        directory = packed.start_dir
    content = bytearray(path.read_bytes())
    struct.pack_into("<H", content, directory + offset, value)
    struct.pack_into("<H", content, local, value)
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("offset", "local", "value"),
    [(8, 6, 1), (8, 6, 0x41), (10, 8, 14), (10, 8, 12), (10, 8, 99), (8, 6, 0x800)],
    ids=["encrypted", "strongly encrypted", "lzma", "bzip2", "unknown packing", "UTF-8"],
)
def test_a_member_that_cannot_be_unpacked_is_one_line(
    offset: int, local: int, value: int, archive: Path, tmp_path: Path
):
    """Or it is read as it is, where the change does not matter."""
    path = tmp_path / "x.zip"
    path.write_bytes(archive.read_bytes())
    directory_edited(path, offset, local, value)
    if value == 0x800:
        assert verify(path).wrong == []
        return
    with pytest.raises(ConfigError) as caught:
        verify(path)
    assert "\n" not in str(caught.value)


NAMES = (
    *("../evil", "/etc/evil", "a/../../evil", "C:/x", "..\\evil", "a//b", ".", "./x", "a/."),
    *("run.json/x", "results", "x" * 300, "a/" * 300 + "b", "\x1b[31mred", "a\nb", "nul\0byte"),
)


@pytest.mark.parametrize("name", NAMES, ids=repr)
def test_a_strange_name_is_refused_or_has_no_place(name: str, archive: Path, tmp_path: Path):
    """Nothing is written outside the temporary folder, and what is printed is printable."""
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as packed:
        for member, content in members(archive).items():
            packed.writestr(member, content)
        packed.writestr(zipfile.ZipInfo(name), b"x")
    try:
        wrong = verify(path).wrong
        assert wrong
    except ConfigError as error:
        assert str(error).isprintable()
    assert [child.name for child in tmp_path.iterdir()] == ["x.zip"]


def test_a_text_of_gigabytes_is_not_unpacked(archive: Path, tmp_path: Path):
    """Tables are read whole, so they have a bound, whatever they are packed to."""
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as packed:
        for member, content in members(archive).items():
            if member != "results/prepare/cases.tsv":
                packed.writestr(member, content)
        with packed.open("results/prepare/cases.tsv", "w", force_zip64=True) as member:
            for _ in range(20):
                member.write(b" " * (16 << 20))
    with pytest.raises(ConfigError, match=r"cases\.tsv: unpacked it takes 335,544,320 bytes"):
        verify(path)


def test_a_broken_list_of_checksums_is_found(tampered: Tamper):
    """It is not even text."""
    change = put("sha256sums.txt", b"\xff\xfe\0garbage")
    assert verify(tampered(change, signed=False)).wrong


def test_what_is_printed_steers_no_terminal(tampered: Tamper, capsys: pytest.CaptureFixture[str]):
    """Values of a record come from whoever made it."""
    path = tampered(edited(RECORD, case="\x1b[2J\x1b]0;all is well\x07"))
    assert command._show("WRONG", verify(path).wrong) is None
    printed = capsys.readouterr().out
    assert printed.replace("\n", "").isprintable()
    assert "WRONG: " in printed


def folders(run: Arena) -> dict[str, Path]:
    return {"submissions": run.work / "submissions", "cases": run.work}


@pytest.mark.parametrize("runtime", ["process", "auto", None])
def test_an_archive_does_not_choose_that_nothing_is_isolated(
    runtime: str | None, tampered: Tamper, archived_run: Arena, tmp_path: Path
):
    """`process`, and `auto` for folders without a base image, are asked for by the caller alone."""

    def change(files: dict[str, bytes]) -> None:
        config = yaml.safe_load(files[CONFIG])
        config.pop("runtime", None)
        files[CONFIG] = yaml.safe_dump(config | ({"runtime": runtime} if runtime else {})).encode()

    path = tampered(change)
    with pytest.raises(ConfigError, match="--runtime process"):
        set_up(path, out=tmp_path / "a", **folders(archived_run))
    set_up(path, out=tmp_path / "b", runtime="process", **folders(archived_run))
    assert yaml.safe_load((tmp_path / "b/config.yaml").read_text())["runtime"] == "process"


def test_an_archived_container_runtime_is_kept(
    tampered: Tamper, archived_run: Arena, tmp_path: Path
):
    """What isolates needs no question."""

    def change(files: dict[str, bytes]) -> None:
        config = yaml.safe_load(files[CONFIG]) | {"runtime": "podman", "base_image": "x:y"}
        files[CONFIG] = yaml.safe_dump(config).encode()

    set_up(tampered(change), out=tmp_path / "a", **folders(archived_run))
    assert yaml.safe_load((tmp_path / "a/config.yaml").read_text())["runtime"] == "podman"


def test_a_sheet_of_an_archive_names_no_file_of_the_host(
    tampered: Tamper, archived_run: Arena, tmp_path: Path
):
    """Scribbles are read from where the sheet says: from the archive, or from nowhere."""

    def change(files: dict[str, bytes]) -> None:
        files["sheets/cases.tsv"] = b"case\tscribbles\none\t/etc/passwd\ntwo\t../../x\n"

    set_up(tampered(change), out=tmp_path, runtime="process", **folders(archived_run))
    assert (tmp_path / "cases.tsv").read_text() == "case\tscribbles\none\t\ntwo\t\n"


def test_an_answer_of_another_shape_than_the_truth_is_not_unpacked(tampered: Tamper, truth: Path):
    """The case's facts and the answer agree on terabytes; the truth does not."""
    answer = npz("{'descr':'|u1','fortran_order':False,'shape':(8,24,20)}\n", bytes(8 * 24 * 20))
    assert npy_bytes(np.zeros((8, 24, 20), np.uint8))[-3840:] == bytes(3840)

    def change(files: dict[str, bytes]) -> None:
        edited(CASE, shape=[100_000, 100_000, 100])(files)
        files[ANSWER] = answer

    wrong = verify(tampered(change), truth=truth).wrong
    assert any(f"{CASE}: shape is [100000, 100000, 100]" in line for line in wrong)
