"""`segarena feedback`: what a team gets to know, and that nothing else is in it."""

import argparse
import base64
import csv
import io
import json
import re
import socket
import tempfile
import zipfile
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segarena import feedback
from segarena.case import Image, Truth, write_image, write_truth
from segarena.cli import main
from segarena.files import write_json
from segarena.plan import FILE
from segarena.predict.runners import ready
from segarena.predict.session_step import run_session
from segarena.prepare.boxes import boxes_of
from segarena.protocol import load, prompt_values, steps

CASES = ("Zoe_liver_0042", "aaron_kidney_7", "MR_spine_13__2")

LEAKY = r"""
import base64, os, sys
from pathlib import Path
import numpy as np
np.set_printoptions(threshold=sys.maxsize, linewidth=100)
path, = Path(os.environ["INPUTS"]).glob("*.npz")
case = np.load(path, allow_pickle=True)
imgs = case["imgs"]
packed = base64.b64encode(imgs.tobytes()).decode()
print("reading", path, "for", path.stem, "and", path.stem.upper() + "_seg in", os.getcwd())
print("host", os.uname().nodename)
for line in imgs[4]:
    print(line)
    print("pixels:", *line)
    print("".join(" .:-=+*#%@"[v // 26] for v in line))
for at in range(0, 4000, 38):
    print(packed[at:at + 38], packed[at + 38:at + 76])
    print(packed[at:at + 100])
for key in ("boxes", "clicks", "clicks_order", "prev_pred"):
    if key in case:
        print(key, case[key].tolist())
        for one in case[key].tolist() if key != "prev_pred" else ():
            print("the prompts of this label are", one)
            for word, value in one.items() if isinstance(one, dict) else ():
                print("here", word, "is at voxel", value)
raise ValueError(f"cannot segment {path.stem} with {len(case['boxes'])} labels, see {path}")
"""


def _case(seed: int) -> tuple[Image, Truth]:
    """Return a case of 9 x 30 x 34 voxels with two labels."""
    gts = np.zeros((9, 30, 34), np.uint8)
    gts[2:7, 5:14, 6 + seed : 15 + seed], gts[3:6, 17:27, 20:29] = 1, 2
    noise = np.random.default_rng(seed).integers(0, 90, gts.shape)
    imgs = (noise + 60 * gts).astype(np.uint8)
    boxes = boxes_of(gts, case=str(seed), seed=seed)
    return Image(imgs, (3.0, 1.0, 1.0), boxes, "xyz"), Truth(gts)


def _run(folder: Path, program: str, *, team: str = "alpha") -> dict[str, Any]:
    """Run a folder submission on all cases as the workflow's jobs do; return the protocol."""
    protocol = load("cvpr25")
    source = folder / "submissions" / team
    source.mkdir(parents=True)
    (source / "predict.sh").write_text("python3 predict.py\n")
    (source / "predict.py").write_text(program)
    results = folder / "results"
    write_json(
        results / "predict" / team / "image.json", ready(source, runtime="process", base_image="")
    )
    ks = range(1, len(steps(protocol)) + 1)
    for seed, case in enumerate(CASES):
        image, truth = _case(seed)
        write_image(results / "prepare" / f"{case}.image.npz", image)
        write_truth(results / "prepare" / f"{case}.truth.npz", truth)
        files = {
            "submission": str(results / "predict" / team / "image.json"),
            "image": str(results / "prepare" / f"{case}.image.npz"),
            "truth": str(results / "prepare" / f"{case}.truth.npz"),
        }
        played, asked = results / "predict" / "cvpr25" / team / case, results / "prompt" / case
        played.mkdir(parents=True)
        asked.mkdir(parents=True)
        outputs = [
            str(p)
            for k in ks
            for p in (asked / f"{k}.json", played / f"{k}.npz", played / f"{k}.json")
        ]
        values = [prompt_values(protocol, k) for k in ks]
        list(run_session(files, outputs, case=case, steps=values, values={"rules": protocol}))
    _plan(folder, team)
    return protocol


def _plan(folder: Path, *teams: str, cases: tuple[str, ...] = CASES) -> None:
    names = {"cases": list(cases), "submissions": list(teams), "repetitions": {"cvpr25": 6}}
    write_json(
        folder / FILE,
        {"files": {}, "changes": {}, "plan": names | {"left_out": {}, "notes": []}},
    )


def _recorded(folder: Path, case: str, k: int, log: str = "", **record: Any) -> None:
    """Leave the record and the log of one call of team alpha."""
    usual = {"status": "ok", "message": "", "seconds": 2.0, "peak_memory_bytes": 300 << 20}
    limits = {"seconds": 90.0, "memory_bytes": 8 << 30}
    path = folder / "results" / "predict" / "cvpr25" / "alpha" / case / f"{k}.json"
    write_json(path, {**usual, "limits": limits, **record})
    path.with_suffix(".log").write_text(f"status: message\n{log}")


def _written(folder: Path, *arguments: str) -> dict[str, str]:
    """Return the files of the zip that the command writes for team alpha."""
    assert main(["feedback", "alpha", str(folder), *arguments]) == 0
    page = (folder / "feedback" / "alpha" / "index.html").read_text(encoding="utf-8")
    with zipfile.ZipFile(folder / "feedback" / "alpha.zip") as packed:
        files = {info.filename: packed.read(info).decode() for info in packed.infolist()}
    assert files["index.html"] == page
    return files


@pytest.fixture(scope="module")
def leaked(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A run of a program that prints all that it sees, and all that its feedback holds."""
    folder = tmp_path_factory.mktemp("my challenge")
    _run(folder, LEAKY)
    header = ["CaseName", "TotalRunningTime", "DSC_AUC", "DSC_Final", "DSC_1"]
    table = folder / "results" / "score" / "cvpr25" / "alpha_metrics.csv"
    table.parent.mkdir(parents=True)
    rows = [
        [f"{case}.npz", "1.5", f"0.{i}1", f"0.{i}2", f"0.{i}3"] for i, case in enumerate(CASES, 4)
    ]
    table.write_text("".join(",".join(row) + "\n" for row in [header, *rows]))
    files = _written(folder, "--scores", "case")
    return folder, "\n".join([*files, *files.values()])


def test_no_case_name_gets_out(leaked: tuple[Path, str]):
    """Neither in any letter case, nor as a part of a longer name, nor of the volume of a slice."""
    _, text = leaked
    for case in CASES:
        assert case.lower() not in text.lower()
        assert case.partition("__")[0].lower() not in text.lower()


def test_no_prompt_gets_out(leaked: tuple[Path, str]):
    """No two coordinates of a click or box stand beside each other, as digits, in what is shown."""
    folder, text = leaked
    shown = "\n".join(re.findall(r"<pre>(.*?)</pre>", text, re.DOTALL))
    assert shown.count("\n") > 3
    numbers = re.findall(r"\d+", re.sub(r"File &#34;[^\n]*?, line \d+|&#\d+;", "", shown))
    assert numbers == []
    for path in (folder / "results" / "prompt").glob("*/6.json"):
        prompts = json.loads(path.read_text())
        for box in prompts["boxes"]:
            for one, other in pairwise(box.values()):
                assert not re.search(rf"\b{one}\D{{1,20}}{other}\b", shown)


def test_no_image_gets_out(leaked: tuple[Path, str]):
    """Neither as numbers nor as base64 nor as a drawing in characters."""
    folder, text = leaked
    for path in (folder / "results" / "prepare").glob("*.image.npz"):
        with np.load(path, allow_pickle=True) as file:
            imgs = file["imgs"]
        packed = base64.b64encode(imgs.tobytes()).decode()
        assert not any(packed[at : at + 12] in text for at in range(0, 4000, 4))
        for row in imgs[4]:
            drawn = "".join(" .:-=+*#%@"[v // 26] for v in row)
            assert drawn.strip() not in text
            assert not re.search(r"\D{1,3}".join(map(str, row[:4])), text)


def test_no_path_or_host_gets_out(leaked: tuple[Path, str]):
    """No folder of the organiser's machine, not even with a space in it, and not its name."""
    folder, text = leaked
    for secret in (folder, folder.parent, tempfile.gettempdir(), folder.name, "challenge"):
        assert str(secret) not in text
    assert not re.search(rf"\b{re.escape(socket.gethostname())}\b", text)
    assert "/submissions" not in text and "/usr" not in text


def test_what_helps_gets_out(leaked: tuple[Path, str]):
    """The error, its place in the program, and how the calls ended are there."""
    _, text = leaked
    assert "ValueError: cannot segment CASE with # labels, see …/CASE.npz" in text
    assert re.search(r"File &#34;…/predict.py&#34;, line \d+, in &lt;module&gt;", text)
    assert "crashed, 3 calls" in text  # the first interaction of each case
    names = feedback.anonymous_names(leaked[0], CASES)
    assert all(name in text for name in names.values())


def test_the_order_is_that_of_the_anonymous_names(leaked: tuple[Path, str]):
    """In tables of calls and of scores; that of the cases would give them away."""
    folder, text = leaked
    names = feedback.anonymous_names(folder, CASES)
    found = re.findall(rf'row">({"|".join(names.values())})<', text)
    assert found == sorted(names.values()) * 2


def test_anonymous_names_stay_and_belong_to_a_run(tmp_path: Path):
    """The same whatever else is in the run; others with another secret; not readable by others."""
    one = feedback.anonymous_names(tmp_path / "a", ["x", "y"])
    assert feedback.anonymous_names(tmp_path / "a", ["z", "y", "x"])["x"] == one["x"]
    assert feedback.anonymous_names(tmp_path / "b", ["x"])["x"] != one["x"]
    assert len(set(one.values())) == 2
    assert (tmp_path / "a" / feedback.KEY).stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        (
            "RuntimeError: CUDA out of memory. Tried to allocate 20.00 MiB",
            "RuntimeError: CUDA out of memory. Tried to allocate #.# MiB",
        ),
        ('  File "/opt/x/net.py", line 42, in forward', 'File "…/net.py", line 42, in forward'),
        ("[[3, 16, 18], [4, 2, 2]]", None),
        ("{'fg': [[3, 16, 18]], 'bg': []}", None),
        ("click z=3 y=16 x=18", "click z=# y=# x=#"),
        ("the prompts are ['fg', 'bg'] here", "the prompts are … here"),
        ("now the user clicked {'fg': [[1, 2, 3]], 'bg': []}", "now the user clicked …"),
        ("no end of [1, [2, 3", "no end of [#, [#, #"),
        ("0011223344 aabb 99", None),
        ("@@@%%%###***+++===---:::...", None),
        ("Q" * 41, None),
        ("a" * 40 + " b", "a" * 40 + " b"),
        ("word " * 40, ("word " * 40)[:119] + "…"),
        ("\x1b[31mred\x1b[0m alert", "[#mred [#m alert"),
        ("Fehler: größer", "Fehler: gr??er"),
        ("", None),
    ],
)
def test_which_lines_are_shown(line: str, shown: str | None):
    """Messages are, without numbers; arrays, drawings, packed bytes and control characters not."""
    assert feedback.shown_lines(line, lambda text: feedback._PATH.sub(_last, text)) == (
        [] if shown is None else [shown]
    )


def _last(found: re.Match[str]) -> str:
    return "…/" + found[0].rpartition("/")[2]


def test_no_more_lines_than_the_last_ten():
    """What was printed before, and what was left out, makes no room for more."""
    printed = "\n".join([f"step {chr(97 + i)}" for i in range(20)] + ["1 2 3"] * 5)
    shown = feedback.shown_lines(printed, str)
    assert shown == [f"step {chr(97 + i)}" for i in range(10, 20)]


@pytest.mark.parametrize(
    ("level", "there", "missing"),
    [
        ("none", [], ["DSC_Final", "0.5200", "0.4200"]),
        ("mean", ["DSC_Final", "0.5200"], ["0.4200", "DSC_1"]),
        ("case", ["DSC_Final", "0.5200", "0.4200"], ["DSC_1"]),
    ],
)
def test_scores_as_far_as_the_organiser_allows(
    leaked: tuple[Path, str], level: str, there: list[str], missing: list[str]
):
    """None of them, their mean (here (0.42 + 0.52 + 0.62) / 3), or each case's."""
    text = "\n".join(_written(leaked[0], "--scores", level).values())
    assert [word for word in there if word not in text] == []
    assert [word for word in missing if word in text] == []


def test_time_and_memory_against_the_limits(tmp_path: Path):
    """The slowest call and the largest memory of a case, and every call in the table."""
    _plan(tmp_path, "alpha", cases=("one",))
    _recorded(tmp_path, "one", 1, seconds=12.345)
    _recorded(tmp_path, "one", 2, seconds=3.0, peak_memory_bytes=(1 << 30) + 12345678)
    _recorded(tmp_path, "one", 3, status="not_asked", seconds=0.0, peak_memory_bytes=None)
    files = _written(tmp_path)
    for text in (
        "3 of 6 interactions are done; none failed",
        "12.3 s",
        "90.0 s",
        "15.3 s",
        "8 GiB",
    ):
        assert text in files["index.html"]
    calls = list(csv.DictReader(io.StringIO(files["calls.csv"])))
    assert [row["seconds"] for row in calls] == ["12.3", "3.0", "0.0"]
    # Two digits of 1036 MiB: to the byte, memory would be a way to write.
    assert [row["memory_mib"] for row in calls] == ["300", "1000", ""]
    assert {row["memory_allowed_mib"] for row in calls} == {"8192"}


def test_failures_that_are_alike_are_one(tmp_path: Path):
    """Ten groups at most, so that a thousand failures are no thousand logs."""
    _plan(tmp_path, "alpha", cases=("one", "two", "three"))
    for case in ("one", "two"):
        for k in range(1, 7):
            line = f"{'bcdfgh'[k - 1]} {'apple' if case == 'one' else 'pear'} is too much"
            _recorded(tmp_path, case, k, line, status="crashed", message="exit code 139")
    for k in range(1, 7):
        _recorded(tmp_path, "three", k, "the same", status="timed_out", message="after 3.2 s")
    page = _written(tmp_path)["index.html"]
    assert page.count('class="failure"') == 10
    assert "timed_out, 6 calls" in page and "after 3.2 s" in page and "exit code 139" in page
    assert "3 further failed calls" in page


def test_nothing_printed_with_no_lines(tmp_path: Path):
    """The switch for organisers who do not want to read logs."""
    _plan(tmp_path, "alpha", cases=("one",))
    _recorded(tmp_path, "one", 1, "all is lost", status="crashed", message="exit code 1")
    assert "all is lost" in _written(tmp_path)["index.html"]
    assert "all is lost" not in _written(tmp_path, "--no-lines")["index.html"]


def test_a_message_quotes_no_numbers_and_no_names(tmp_path: Path):
    """Names of files that the program chose lose their numbers; other numbers stay."""
    _plan(tmp_path, "alpha", cases=("secret-1",))
    quoted = "no 'secret-1.npz' in the outputs folder (it holds '3_16_18.npz'); exit code 7"
    _recorded(tmp_path, "secret-1", 1, status="no_answer", message=quoted)
    page = _written(tmp_path)["index.html"]
    assert "secret" not in page and "3_16_18" not in page
    assert "exit code 7" in page


def test_what_a_program_printed_is_text(tmp_path: Path):
    """Markup in a log does nothing in the page."""
    _plan(tmp_path, "alpha", cases=("one",))
    _recorded(tmp_path, "one", 1, "<script>alert(document)</script> failed", status="crashed")
    assert "<script>" not in _written(tmp_path)["index.html"]


@pytest.mark.parametrize(
    "problem", ["no such team", "no calls", "no run", "no jinja2", "a short key"]
)
def test_what_cannot_be_done_is_one_line(
    problem: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
):
    """Each with exit code 2."""
    if problem != "no run":
        _plan(tmp_path, "beta" if problem == "no such team" else "alpha", cases=("one",))
    if problem not in {"no run", "no calls"}:
        _recorded(tmp_path, "one", 1)
    if problem == "no jinja2":
        monkeypatch.setattr(feedback, "without", lambda module: module == "jinja2")
    if problem == "a short key":
        (tmp_path / feedback.KEY).write_bytes(b"short")
    assert main(["feedback", "alpha", str(tmp_path)]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_help_says_what_each_level_is(capsys: pytest.CaptureFixture[str]):
    """The levels of --scores are explained where they are chosen."""
    parser = argparse.ArgumentParser()
    feedback.add_parser(parser.add_subparsers())
    with pytest.raises(SystemExit):
        parser.parse_args(["feedback", "--help"])
    printed = " ".join(capsys.readouterr().out.split())
    assert all(what in printed for what in feedback.LEVELS.values())
