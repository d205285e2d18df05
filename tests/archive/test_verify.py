"""An archive that was changed anywhere is found out, and one that was not holds."""

import io
import json
import stat
import zipfile
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest

from segarena.archive import command
from segarena.archive.verify import Findings, verify
from segarena.case import npy_bytes
from segarena.errors import ConfigError

SCORES = "results/score/short/ada/one.csv"
TABLE = "results/score/short/ada_metrics.csv"
BOARD = "results/rank/short/leaderboard.csv"
RECORD = "results/predict/short/ada/one/2.json"
PROMPT = "results/prompt/short/ada/one/2.json"
ANSWER = "results/predict/short/ada/one/2.npz"


def edited_json(files, name, **changes):
    files[name] = json.dumps({**json.loads(files[name]), **changes}).encode()


def one_digit(files, name, *, column=-1):
    """Change the last digit of a cell in the first row."""
    head, row, *rest = (line.split(",") for line in files[name].decode().splitlines())
    place = column if isinstance(column, int) else head.index(column)
    last = max(i for i, letter in enumerate(row[place]) if letter.isdigit())
    digit = "1" if row[place][last] != "1" else "2"
    row[place] = row[place][:last] + digit + row[place][last + 1 :]
    files[name] = "".join(",".join(line) + "\n" for line in (head, row, *rest)).encode()


def swapped_rows(files, name):
    head, first, second, *rest = files[name].decode().splitlines()
    files[name] = ("\n".join([head, second, first, *rest]) + "\n").encode()


def npz(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as packed:
        packed.writestr("segs.npy", npy_bytes(array))
    return buffer.getvalue()


def test_an_untouched_archive_holds_with_nothing_left_unchecked(archive: Path, truth: Path):
    """With all answers, the truth and the images, every score and every prompt is made anew."""
    found = verify(archive, truth=truth)
    assert (found.wrong, found.unchecked) == ([], [])
    assert found.checked["scores from answers and truth"] == 4 * 2 * 2 * 2
    assert found.checked["prompts from answers and truth"] == 4 * 2


def test_what_cannot_be_checked_is_told(archive: Path, truth: Path, tmp_path: Path):
    """Without a truth, and with the truth of one case only, the reason is given."""
    assert verify(archive).unchecked == ["scores and prompts: no truth was given (--truth DIR)"]
    (tmp_path / "one.truth.npz").write_bytes((truth / "one.truth.npz").read_bytes())
    unchecked = verify(archive, truth=tmp_path).unchecked
    assert unchecked[0].startswith("boxes of one: not the run's")
    assert unchecked[1].startswith("scores and prompts of two: no ")


CHANGES = {
    "a digit of a score": lambda files: one_digit(files, SCORES),
    "a digit of a team's table": lambda files: one_digit(files, TABLE),
    "a digit of the leaderboard": lambda files: one_digit(files, BOARD, column="DSC_Final_mean"),
    "a digit of a software's version": lambda files: one_digit(files, BOARD, column="software"),
    "a digit of a stability table": lambda files: one_digit(
        files, "results/rank/short/stability/frequencies.csv", column="seed"
    ),
    "a running time": lambda files: edited_json(files, RECORD, seconds=0.25),
    "an image": lambda files: edited_json(files, RECORD, sha256="0" * 64),
    "a reordered row of scores": lambda files: swapped_rows(files, SCORES),
    "a reordered row of a team's table": lambda files: swapped_rows(files, TABLE),
    "a reordered row of a ranking": lambda files: swapped_rows(
        files, "results/rank/short/schemes.csv"
    ),
    "a missing prompt": lambda files: files.pop(PROMPT),
    "a missing record": lambda files: files.pop(RECORD),
    "a missing answer": lambda files: files.pop(ANSWER),
    "a missing table": lambda files: files.pop(TABLE),
    "a missing leaderboard": lambda files: files.pop(BOARD),
    "a missing Parquet table": lambda files: files.pop("results/rank/short/missing.parquet"),
    "a missing protocol": lambda files: files.pop("config/protocols/short.yaml"),
    "a file too many": lambda files: files.update({"results/score/short/eve/one.csv": b"x"}),
    "the truth": lambda files: files.update({"results/prepare/one.truth.npz": b"x"}),
    "an answer": lambda files: files.update({ANSWER: npz(np.zeros((8, 24, 20), np.uint8))}),
    "a config key": lambda files: files.update(
        {"config/config.yaml": files["config/config.yaml"] + b"nosuchkey: 1\n"}
    ),
    "a version": lambda files: files.update(
        {
            "config/protocols/short.yaml": files["config/protocols/short.yaml"].replace(
                b"version: 1", b"version: 2"
            )
        }
    ),
    "words taken back": lambda files: edited_json(files, PROMPT, boxes=None),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_found_though_all_digests_were_made_anew(tampered, change: str):
    """Without the truth: the archive no longer agrees with itself."""
    assert verify(tampered(CHANGES[change])).wrong


@pytest.mark.parametrize("name", [SCORES, TABLE, BOARD, PROMPT, RECORD, "src/segarena/errors.py"])
def test_a_single_changed_byte_is_found_by_its_digest(tampered, name: str):
    """Any file, whatever it means."""

    def change(files):
        files[name] = files[name][:-2] + b"~\n"

    wrong = verify(tampered(change, signed=False)).wrong
    assert f"{name}: its sha256 is not the one in sha256sums.txt" in wrong


def test_a_missing_file_is_found_by_the_list(tampered):
    """A file that the list has and the archive has not."""
    wrong = verify(tampered(lambda files: files.pop("Snakefile"), signed=False)).wrong
    assert "Snakefile: missing" in wrong


def test_a_moved_click_is_found_with_the_truth(tampered, truth: Path):
    """The click is what the simulated user says to the archived answer, nothing else."""

    def change(files):
        clicks = json.loads(files[PROMPT])["clicks"]
        for label in clicks:
            for points in label.values():
                for point in points:
                    point[2] += 1
        edited_json(files, PROMPT, clicks=clicks)

    wrong = verify(tampered(change), truth=truth).wrong
    assert wrong == [f"{PROMPT}: is not what the user says to the answer before"]


def test_a_better_answer_with_its_digest_made_anew_is_found_with_the_truth(tampered, truth: Path):
    """The score is that of another answer."""
    import hashlib

    def change(files):
        files[ANSWER] = npz(np.ones((8, 24, 20), np.uint8))
        edited_json(files, RECORD, answer_sha256=hashlib.sha256(files[ANSWER]).hexdigest())

    wrong = verify(tampered(change), truth=truth).wrong
    assert wrong == [f"{SCORES}: interaction 2 is not what the answer scores"]


def test_another_truth_is_refused(archive: Path, truth: Path, tmp_path: Path):
    """The archive knows the digest of the truth that it was scored with."""
    for case in ("one", "two"):
        (tmp_path / f"{case}.truth.npz").write_bytes(npz(np.zeros((8, 24, 20), np.uint8)))
    wrong = verify(archive, truth=tmp_path).wrong
    assert [line.endswith("not the truth that the run was scored with") for line in wrong] == [
        True,
        True,
    ]


def test_a_pickle_in_an_answer_is_not_run(tampered, truth: Path, tmp_path: Path):
    """An object array is no answer, and what it would run does not run."""

    class Payload:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "ran",))

    array = np.empty(1, object)
    array[0] = Payload()
    found = verify(tampered(lambda files: files.update({ANSWER: npz(array)})), truth=truth)
    assert any(line.startswith(ANSWER) for line in found.wrong)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("name", ["../evil", "/tmp/evil", "a/../../evil", "..\\evil", "C:/evil"])
def test_a_member_that_would_leave_the_folder_is_refused(tampered, tmp_path: Path, name: str):
    """Nothing is unpacked then."""
    path = tampered(lambda files: files.update({name: b"x"}))
    with pytest.raises(ConfigError, match="unsafe member name"):
        verify(path)


def test_a_link_is_refused(archive: Path, tmp_path: Path):
    """A member that is a link could point anywhere."""
    path = tmp_path / "link.zip"
    path.write_bytes(archive.read_bytes())
    info = zipfile.ZipInfo("results/link")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    info.create_system = 3
    with zipfile.ZipFile(path, "a") as packed:
        packed.writestr(info, "/etc/passwd")
    with pytest.raises(ConfigError, match="no regular file"):
        verify(path)


def test_a_name_that_stands_twice_is_refused(archive: Path, tmp_path: Path):
    """Which of the two another program reads nobody knows."""
    path = tmp_path / "twice.zip"
    path.write_bytes(archive.read_bytes())
    with zipfile.ZipFile(path, "a") as packed, pytest.warns(UserWarning, match="Duplicate"):
        packed.writestr("Snakefile", "x")
    with pytest.raises(ConfigError, match="duplicate member"):
        verify(path)


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x05\x06" + bytes(18)])
def test_what_is_no_archive_is_told(tmp_path: Path, content: bytes):
    """An empty file, a text, and a zip with nothing in it."""
    path = tmp_path / "no.zip"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"no\.zip"):
        verify(path)


def test_the_command_ends_with_0_only_if_all_holds(archive: Path, tampered, capsys):
    """And says on one line each what was checked, what not, and what is wrong."""
    assert command.run_verify(Namespace(archive=archive, truth=None, json=False)) == 0
    printed = capsys.readouterr().out
    assert "all that was checked holds" in printed
    assert "not checked: scores and prompts: no truth was given" in printed
    bad = tampered(CHANGES["a digit of the leaderboard"])
    assert command.run_verify(Namespace(archive=bad, truth=None, json=False)) == 1
    assert "WRONG: results/rank/short/leaderboard.csv: is not what" in capsys.readouterr().out


def test_findings_come_as_json(archive: Path, tampered, capsys):
    """Whether the archive is valid, and what is wrong, for a program to read."""
    assert command.run_verify(Namespace(archive=archive, truth=None, json=True)) == 0
    assert json.loads(capsys.readouterr().out)["valid"] is True
    bad = tampered(CHANGES["a digit of the leaderboard"])
    assert command.run_verify(Namespace(archive=bad, truth=None, json=True)) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["valid"] is False
    assert any("leaderboard.csv: is not what" in line for line in found["wrong"])


def test_findings_count_what_was_checked():
    """The same check adds up."""
    found = Findings()
    found.checks("digits", [], count=2)
    found.checks("digits", ["one is wrong"])
    assert (found.checked, found.wrong) == ({"digits": 3}, ["one is wrong"])


@pytest.mark.parametrize(
    "name",
    [
        "results/report/short/answers/late/one.png",
        "results/report/short/answers/ada/old.png",
        "results/report/short/cases/one.webp",
        "results/report/short/sheets/one.png",
        "results/report/noc/index.html",
        "results/rank/noc/leaderboard.csv",
        "results/archive/other.zip",
        "src/segarena/__pycache__/masks.nbi",
        "config/protocols/noc.yaml",
        "readme.exe",
    ],
)
def test_a_file_that_follows_from_nothing_is_found(tampered, name: str):
    """A withdrawn team, a dropped protocol, a cache: named, though its digest is right."""
    found = verify(tampered(lambda files: files.update({name: b"x"})))
    assert f"{name}: has no place in the archive" in found.wrong
