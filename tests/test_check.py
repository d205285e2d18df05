"""`segarena check`: what a participant is told before submitting."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from docker_archive import write_docker_archive

from segarena.check import bundled_case, cure_of
from segarena.cli import main
from segarena.protocol import DATA

ANSWERS_ALL = """
import os, sys
import numpy as np
name = os.listdir(os.environ["INPUTS"])[0]
with np.load(os.path.join(os.environ["INPUTS"], name), allow_pickle=True) as case:
    shape = case["imgs"].shape
np.savez_compressed(os.path.join(os.environ["OUTPUTS"], name), segs=np.ones(shape, np.uint8))
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A submission's folder that answers well, in a working directory of its own."""
    monkeypatch.chdir(tmp_path)
    made = tmp_path / "team"
    made.mkdir()
    (made / "predict.sh").write_text('python3 "$(dirname "$0")/predict.py"\n')
    (made / "predict.py").write_text(ANSWERS_ALL)
    return made


@pytest.fixture
def short(tmp_path: Path) -> Path:
    """A protocol of a box and a click, with the limits of cvpr25."""
    protocol = yaml.safe_load((DATA / "config" / "protocols" / "cvpr25.yaml").read_text())
    protocol["name"] = "short"
    protocol["user"][1]["times"] = 1
    path = tmp_path / "short.yaml"
    path.write_text(yaml.safe_dump(protocol))
    return path


@pytest.fixture
def report(short: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., dict[str, Any]]:
    """A factory: the exit code and the JSON report of a check."""

    def check(submission: Path, *more: str, runtime: str = "process") -> dict[str, Any]:
        words = [str(submission), "--protocol", str(short), "--runtime", runtime, "--json", *more]
        code = main(["check", *words])
        return {"code": code, **json.loads(capsys.readouterr().out)}

    return check


def cures(report: dict[str, Any]) -> str:
    return "\n".join(f["cure"] for f in report["findings"] if not f["passed"])


def test_a_good_submission_passes(folder: Path, report: Any) -> None:
    """The exit code is 0; all bundled cases were run, the one without a box by its click."""
    checked = report(folder)
    assert (checked["code"], checked["passed"]) == (0, True)
    statuses = [(call["case"], call["status"]) for call in checked["calls"]]
    assert statuses == [
        ("bundled-large", "ok"),
        ("bundled-large", "ok"),
        ("bundled", "ok"),
        ("bundled", "ok"),
        ("bundled-nobox", "not_asked"),
        ("bundled-nobox", "ok"),
    ]


SERVING = """
import os, time
import numpy as np
inputs, outputs = os.environ["INPUTS"], os.environ["OUTPUTS"]
done = set()
open(f"{outputs}/ready", "w").close()
while not os.path.exists(f"{inputs}/end"):
    for k in set(os.listdir(inputs)) - done - {"end"}:
        for name in os.listdir(f"{inputs}/{k}"):
            done.add(k)
            shape = np.load(f"{inputs}/{k}/{name}", allow_pickle=True)["imgs"].shape
            np.savez_compressed(f"{outputs}/{k}/part.npz", segs=np.full(shape, VALUE, np.uint8))
            os.rename(f"{outputs}/{k}/part.npz", f"{outputs}/{k}/{name}")
    time.sleep(0.01)
"""


@pytest.mark.parametrize(
    ("value", "expected"), [("1", "the answers are the same"), ("len(done)", "answers differ")]
)
def test_a_submission_that_can_stay_is_run_both_ways(
    value: str, expected: str, folder: Path, report: Any
) -> None:
    """What a fresh and a warm container answer is compared; a difference is a warning."""
    (folder / "serve.sh").write_text('exec python3 "$(dirname "$0")/serve.py"\n')
    (folder / "serve.py").write_text(SERVING.replace("VALUE", value))
    checked = report(folder)
    (found,) = [f for f in checked["findings"] if f["what"] == "container: warm"]
    assert checked["passed"]
    assert expected in found["detail"]


def test_a_serve_sh_that_fails_does_not_pass(folder: Path, report: Any) -> None:
    """Although every fresh call is answered."""
    (folder / "serve.sh").write_text("echo no weights; exit 4\n")
    checked = report(folder)
    (found,) = [f for f in checked["findings"] if f["what"] == "container: warm"]
    assert not checked["passed"]
    assert "serve.sh ended with exit code 4" in found["detail"]


def test_a_label_that_nobody_asked_for_is_warned_about(folder: Path, report: Any) -> None:
    """Label 9 in a corner of every answer: the check passes with a warning that counts voxels."""
    program = (folder / "predict.py").read_text()
    answer = "segs = np.ones(shape, np.uint8); segs[0, 0, :5] = 9\nnp.savez_compressed"
    program = program.replace("np.savez_compressed", answer)
    (folder / "predict.py").write_text(
        program.replace("segs=np.ones(shape, np.uint8)", "segs=segs")
    )
    checked = report(folder)
    (finding,) = [finding for finding in checked["findings"] if finding["what"] == "labels"]
    assert checked["passed"]
    assert "5 voxels have label 9, which was not asked for" in finding["detail"]


def test_a_submission_that_needs_boxes_is_told_so(folder: Path, report: Any) -> None:
    """Not every case has a box, which many a program takes for granted."""
    program = (folder / "predict.py").read_text()
    (folder / "predict.py").write_text(program.replace('["imgs"].shape', '["boxes"] is shape'))
    checked = report(folder)
    assert (checked["code"], checked["passed"]) == (1, False)
    assert "ask for each with `in`" in cures(checked)


@pytest.fixture
def protocol_of(tmp_path: Path) -> Callable[..., str]:
    """A factory: the path of a bundled protocol, changed."""

    def write(name: str, **changes: Any) -> str:
        path = tmp_path / "changed.yaml"
        protocol = yaml.safe_load((DATA / "config" / "protocols" / f"{name}.yaml").read_text())
        path.write_text(yaml.safe_dump({**protocol, "name": "changed", **changes}))
        return str(path)

    return write


def test_who_is_left_out_of_a_protocol_is_told_so(
    folder: Path, report: Any, protocol_of: Callable[..., str]
) -> None:
    """What segarena.yaml refuses is told before any call, and the exit code is not 0."""
    (folder / "segarena.yaml").write_text("accepts: [boxes, clicks]\n")
    assert report(folder)["code"] == 0
    checked = report(folder, "--protocol", protocol_of("scribble"))
    assert (checked["code"], checked["passed"], checked["calls"]) == (1, False, [])
    (finding,) = checked["findings"]
    assert finding["what"] == "left out of this protocol"
    assert finding["detail"] == "it does not accept scribbles (segarena.yaml)"
    assert "--protocol" in finding["cure"]


def test_a_satisfied_user_asks_no_more(
    folder: Path, report: Any, protocol_of: Callable[..., str]
) -> None:
    """A submission that knows the truth is called once; the rest is recorded as not asked."""
    for zoom in (1, 4):
        gts = bundled_case(box=True, zoom=zoom)[1].gts
        np.save(folder / f"truth-{gts.shape[1]}.npy", gts)
    known = 'np.load(os.path.join(os.path.dirname(sys.argv[0]), f"truth-{shape[1]}.npy"))'
    program = (folder / "predict.py").read_text()
    (folder / "predict.py").write_text(program.replace("np.ones(shape, np.uint8)", known))
    user = [{"prompt": "click", "times": 3, "rule": "ritm"}]
    checked = report(folder, "--protocol", protocol_of("noc", user=user))
    statuses = [call["status"] for call in checked["calls"] if call["case"] == "bundled"]
    assert statuses == ["ok", "not_asked", "not_asked"]
    assert checked["code"] == 0


def test_an_ignored_label_is_not_asked_for(
    folder: Path, report: Any, protocol_of: Callable[..., str]
) -> None:
    """Of the three labels of the bundled cases the highest is ignored: time for two is allowed."""
    user = [{"prompt": "click", "times": 1, "rule": "ritm"}]
    checked = report(folder, "--protocol", protocol_of("noc", user=user, ignore_label=3))
    assert {call["labels"] for call in checked["calls"]} == {2}


def test_what_people_would_draw_is_simulated(
    folder: Path, report: Any, protocol_of: Callable[..., str]
) -> None:
    """The bundled cases have no drawn scribbles; the submission reads scribbles all the same."""
    program = (folder / "predict.py").read_text()
    reads = program.replace('["imgs"].shape', '["imgs"].shape; case["scribbles"]')
    (folder / "predict.py").write_text(reads)
    user = [{"prompt": "drawn", "times": 1, "threshold": 0.5}]
    checked = report(folder, "--protocol", protocol_of("scribble", user=user))
    assert checked["code"] == 0
    assert [call["prompt"] for call in checked["calls"]] == ["scribble"] * 3


def test_a_call_can_be_made_again_by_hand(folder: Path, report: Any) -> None:
    """The printed command runs as it stands and leaves the answer."""
    checked = report(folder)
    subprocess.run(["sh", "-c", checked["by_hand"]], check=True)
    with np.load("segarena-check/outputs/bundled-nobox.npz") as answer:
        assert answer["segs"].shape == (20, 64, 72)


def test_a_broken_archive_is_told_without_a_call(tmp_path: Path, report: Any, engine: str) -> None:
    """There is a line about the archive, and nothing was played."""
    broken = tmp_path / "team.tar.gz"
    broken.write_bytes(b"nothing")
    checked = report(broken, runtime="docker")
    assert (checked["code"], checked["calls"]) == (1, [])
    assert "not a readable docker archive" in checked["findings"][0]["detail"]


def test_an_archive_is_played_as_in_the_challenge(
    folder: Path, report: Any, engine: str, base_image: Callable[..., Path], tmp_path: Path
) -> None:
    """What it writes beside its code is told, and the docker command reproduces a call."""
    with (folder / "predict.sh").open("a") as file:
        file.write("date > /workspace/model_cache\n")
    archive = tmp_path / "team.tar.gz"
    write_docker_archive(archive, [base_image("numpy"), (folder, "/workspace")])
    checked = report(archive, runtime="docker")
    assert checked["code"] == 0
    finding = next(f for f in checked["findings"] if f["what"] == "beside its code")
    assert "/workspace/model_cache" in finding["detail"]
    assert "/tmp" in finding["cure"]
    assert checked["by_hand"].split()[:2] == ["docker", "run"]
    assert "--network=none" in checked["by_hand"]
    if shutil.which("docker"):
        subprocess.run(["sh", "-c", checked["by_hand"]], check=True)
        assert Path("segarena-check/outputs/bundled-nobox.npz").exists()


@pytest.mark.parametrize("runtime", ["podman", "apptainer"], indirect=True)
def test_every_runtimes_command_by_hand_runs(
    runtime: str, folder: Path, report: Any, base_image: Callable[..., Path], tmp_path: Path
) -> None:
    """The printed command is the runtime's own, runs as it stands and leaves the answer."""
    for name, shape in (("small", (20, 64, 72)), ("large", (20, 256, 288))):
        np.savez_compressed(folder / f"{name}.npz", segs=np.ones(shape, np.uint8))
    (folder / "predict.sh").write_text(
        "name=$(ls inputs); case $name in *large*) size=large;; *) size=small;; esac\n"
        "cp $size.npz outputs/$name\n"
    )
    archive = tmp_path / "team.tar.gz"
    write_docker_archive(archive, [base_image("tiny"), (folder, "/workspace")])
    checked = report(archive, runtime=runtime)
    assert (checked["code"], checked["image"]["runtime"]) == (0, runtime)
    assert f"{runtime} " in checked["by_hand"].splitlines()[0]
    assert "--network=none" in checked["by_hand"]
    subprocess.run(["sh", "-c", checked["by_hand"]], check=True)
    with np.load("segarena-check/outputs/bundled-nobox.npz") as answer:
        assert answer["segs"].all()


def test_ones_own_cases_are_played_too(folder: Path, report: Any, tmp_path: Path) -> None:
    """--case takes images and labels as the benchmark does."""
    image, truth = bundled_case(box=True)
    for kind, arrays in (
        ("images", {"imgs": image.imgs, "spacing": np.array([3.0, 1, 1])}),
        ("labels", {"gts": truth.gts}),
    ):
        (tmp_path / "own" / kind).mkdir(parents=True)
        np.savez(tmp_path / "own" / kind / "mine.npz", **arrays)
    checked = report(folder, "--case", str(tmp_path / "own"))
    assert "mine" in {call["case"] for call in checked["calls"]}
    assert checked["code"] == 0


def test_the_text_says_what_passed_and_what_did_not(
    folder: Path, short: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """People get a table, the findings with their cures, and the verdict."""
    (folder / "predict.sh").write_text("exit 7\n")
    code = main(["check", str(folder), "--protocol", str(short), "--runtime", "process"])
    printed = capsys.readouterr().out
    assert code == 1
    assert "FAILED  answers: 0 of 5 are usable" in printed
    assert "ended with exit code 7" in printed
    assert "cure: " in printed
    assert printed.rstrip().endswith("would NOT run under short.")


def test_a_submission_that_is_not_there_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """The exit code is that of a wrong argument."""
    assert main(["check", "nowhere.tar.gz"]) == 2
    assert capsys.readouterr().err == "segarena: nowhere.tar.gz: no such archive or folder\n"


PRINTED = {
    # what programs print in a container as ours: what the cure must say
    "OSError: [Errno 30] Read-only file system: '/workspace/cache'": "/workspace/cache",
    "sh: can't create /workspace/x: Read-only file system": "read-only",
    "PermissionError: [Errno 13] Permission denied: '/data/x'": "may not use /data/x",
    "socket.gaierror: [Errno -3] Temporary failure in name resolution": "put weights",
    "wget: bad address 'example.org'": "put weights",
    "RuntimeError: unable to open shared memory object </torch_1>": "num_workers=0",
    "OSError: [Errno 28] No space left on device": "write less",
    "ModuleNotFoundError: No module named 'numpy._core'": "versions of numpy",
    "A module that was compiled using NumPy 1.x cannot be run in NumPy 2": "versions of numpy",
    "ModuleNotFoundError: No module named 'torch'": "lacks the Python module torch",
    "RuntimeError: Found no NVIDIA driver on your system.": "needs a GPU",
    "exec python3: Exec format error": "--platform",
    "sh: 0: cannot open predict.sh: No such file": "copy it there",
    "predict.sh: line 1: python4: not found": "python4",
    "KeyError: 'boxes is not a file in the archive'": "ask for each",
}


@pytest.mark.parametrize("printed", PRINTED)
def test_every_usual_failure_has_its_cure(printed: str) -> None:
    """What a program prints leads to what its author can do."""
    call = {"status": "crashed", "message": "predict.sh ended with exit code 1", "printed": printed}
    assert PRINTED[printed] in cure_of(call)


def test_a_submission_that_needs_a_click_for_each_label_is_told_so(
    folder: Path, report: Any
) -> None:
    """Where a label is perfect there is None in its place, on which public submissions crash."""
    program = (folder / "predict.py").read_text()
    needs = (
        "for o in case['clicks_order'] if 'clicks_order' in case else (): {'fg': 1, 'bg': 2}[o[-1]]"
    )
    program = program.replace("    shape =", f"    {needs}\n    shape =")
    (folder / "predict.py").write_text(program)
    checked = report(folder)
    failed = [(c["case"], c["interaction"]) for c in checked["calls"] if c["status"] == "crashed"]
    assert failed == [("bundled-large", 2)]
    assert "leave such a label as it is" in cures(checked)


@pytest.mark.parametrize("status", ["no_answer", "bad_answer", "timed_out", "out_of_memory"])
def test_a_failure_without_words_has_a_cure_too(status: str) -> None:
    """Where nothing was printed the status alone says what to do."""
    assert cure_of({"status": status, "message": "", "printed": ""})


def test_the_bundled_cases_are_the_same_everywhere() -> None:
    """Three labels, uint8, a box for each, or none; drawn from a fixed seed."""
    image, truth = bundled_case(box=True)
    assert (image.imgs.dtype, truth.labels) == (np.uint8, [1, 2, 3])
    assert image.boxes is not None and len(image.boxes) == 3
    assert (bundled_case(box=True)[0].imgs == image.imgs).all()
    assert bundled_case(box=False)[0].boxes is None
    large, same = bundled_case(box=True, zoom=4)
    assert large.imgs.size > 1_000_000
    assert (same.gts[:, ::4, ::4] == truth.gts).all()
