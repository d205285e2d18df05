"""`segarena check`: what a participant learns before submitting."""

import contextlib
import io
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from docker_archive import write_docker_archive

from segarena.check.cases import bundled, bundled_case
from segarena.cli import main

Check = Callable[..., dict[str, Any]]


def cures(report: dict[str, Any]) -> str:
    return "\n".join(f["cure"] for f in report["findings"] if f["level"] == "FAILED")


def test_a_good_submission_passes(folder: Path, report: Check) -> None:
    """The exit code is 0; all bundled cases were run, those without a box by their clicks."""
    checked = report(folder, only="")
    assert (checked["code"], checked["passed"]) == (0, True)
    assert [call["case"] for call in checked["calls"] if call["interaction"] == 1] == [*bundled()]
    not_asked = {c["case"] for c in checked["calls"] if c["status"] == "not_asked"}
    assert not_asked == {"bundled-nobox", "bundled-cube-nobox"}
    assert {call["status"] for call in checked["calls"]} == {"ok", "not_asked"}
    assert not [f for f in checked["findings"] if f["level"] in {"warning", "FAILED"}]


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
ALL_ONES = """
import os
import numpy as np
name = os.listdir(os.environ["INPUTS"])[0]
shape = np.load(os.path.join(os.environ["INPUTS"], name), allow_pickle=True)["imgs"].shape
np.savez_compressed(os.path.join(os.environ["OUTPUTS"], name), segs=np.ones(shape, np.uint8))
"""


@pytest.mark.parametrize(
    ("value", "level", "expected"),
    [("1", "passed", "the answers are the same"), ("len(done)", "warning", "answers differ")],
)
def test_a_submission_that_can_stay_is_run_both_ways(
    value: str, level: str, expected: str, folder: Path, report: Check, finding: Any
) -> None:
    """What a fresh and a warm container answer is compared; a difference is a warning."""
    (folder / "predict.py").write_text(ALL_ONES)
    (folder / "serve.sh").write_text('exec python3 "$(dirname "$0")/serve.py"\n')
    (folder / "serve.py").write_text(SERVING.replace("VALUE", value))
    checked = report(folder)
    found = finding(checked, "container: warm")
    assert checked["passed"]
    assert found["level"] == level and expected in found["detail"]


def test_a_serve_sh_that_fails_does_not_pass(folder: Path, report: Check, finding: Any) -> None:
    """Although every fresh call is answered."""
    (folder / "serve.sh").write_text("echo no weights; exit 4\n")
    checked = report(folder)
    found = finding(checked, "container: warm")
    assert not checked["passed"]
    assert "serve.sh ended with exit code 4" in found["detail"]
    assert found["log"] == ["no weights"]


def test_who_is_left_out_of_a_protocol_is_told_so(
    folder: Path, report: Check, protocol_of: Callable[..., str]
) -> None:
    """What segarena.yaml refuses is reported before any call, and the exit code is not 0."""
    (folder / "segarena.yaml").write_text("accepts: [boxes, clicks]\n")
    assert report(folder)["code"] == 0
    checked = report(folder, "--protocol", protocol_of("scribble"))
    assert (checked["code"], checked["passed"], checked["calls"]) == (1, False, [])
    (found,) = checked["findings"]
    assert found["what"] == "left out of this protocol"
    assert found["detail"] == "it does not accept scribbles (segarena.yaml)"
    assert "--protocol" in found["cure"]


def test_a_satisfied_user_asks_no_more(
    folder: Path, report: Check, protocol_of: Callable[..., str]
) -> None:
    """A submission that knows the truth is called once; the rest is recorded as not asked."""
    np.save(folder / "truth.npy", bundled_case(box=True)[1].gts)
    known = 'np.load(os.path.join(os.path.dirname(__file__), "truth.npy"))'
    program = (folder / "predict.py").read_text().replace("labels = segs", f"labels = {known}")
    (folder / "predict.py").write_text(program)
    user = [{"prompt": "click", "times": 3, "rule": "ritm"}]
    checked = report(folder, "--protocol", protocol_of("noc", user=user))
    assert [call["status"] for call in checked["calls"]] == ["ok", "not_asked", "not_asked"]
    assert checked["code"] == 0


def test_an_ignored_label_is_not_asked_for(
    folder: Path, report: Check, protocol_of: Callable[..., str]
) -> None:
    """Of the three labels of the bundled case the highest is ignored: time for two is allowed."""
    user = [{"prompt": "click", "times": 1, "rule": "ritm"}]
    checked = report(folder, "--protocol", protocol_of("noc", user=user, ignore_label=3))
    assert {call["labels"] for call in checked["calls"]} == {2}
    assert not [f for f in checked["findings"] if f["what"] == "ignored labels"]


def test_what_people_would_draw_is_simulated(
    folder: Path, report: Check, protocol_of: Callable[..., str]
) -> None:
    """The bundled cases have no drawn scribbles; the submission reads scribbles all the same."""
    program = (folder / "predict.py").read_text()
    (folder / "predict.py").write_text(
        program.replace("labels = segs", "case['scribbles']\nlabels = segs")
    )
    user = [{"prompt": "drawn", "times": 1, "threshold": 0.5}]
    checked = report(folder, "--protocol", protocol_of("scribble", user=user), only="")
    assert checked["code"] == 0
    assert {call["prompt"] for call in checked["calls"]} == {"scribble"}
    assert {call["status"] for call in checked["calls"]} == {"ok"}


REMEMBERS = """
import os, shutil
import numpy as np
inputs, outputs = os.environ["INPUTS"], os.environ["OUTPUTS"]
(name,) = [n for n in os.listdir(inputs) if n.endswith(".npz")]
shape = np.load(os.path.join(inputs, name), allow_pickle=True)["imgs"].shape
count = os.path.join(outputs, "count")
times = int(open(count).read()) + 1 if os.path.exists(count) else 1
open(count, "w").write(str(times))
np.savez_compressed(os.path.join(outputs, name), segs=np.full(shape, times, np.uint8))
"""


@pytest.mark.parametrize("program", ["", REMEMBERS])
def test_every_call_can_be_made_again(program: str, folder: Path, report: Check) -> None:
    """The script leaves the same answer, also where it needs files of the call before."""
    if program:
        (folder / "predict.py").write_text(program)
    checked = report(folder)
    assert checked["by_hand"] == "sh segarena-check/bundled/2/again.sh"
    for call in checked["calls"]:
        there = Path(call["folder"])
        subprocess.run(["sh", there / "again.sh"], check=True)
        with (
            np.load(there / "outputs/bundled.npz") as again,
            np.load(there / "answer.npz") as first,
        ):
            assert (again["segs"] == first["segs"]).all()


def test_a_broken_archive_is_told_without_a_call(
    tmp_path: Path, report: Check, engine: str
) -> None:
    """There is a finding about the archive, and nothing was run."""
    broken = tmp_path / "team.tar.gz"
    broken.write_bytes(b"nothing")
    checked = report(broken, "--keep", str(tmp_path / "kept"), runtime="docker")
    assert (checked["code"], checked["calls"], checked["verdict"]) == (1, [], "FAIL")
    assert "not a readable docker archive" in checked["findings"][0]["detail"]


def test_an_archive_is_run_as_in_the_challenge(
    folder: Path,
    report: Check,
    finding: Any,
    engine: str,
    base_image: Callable[..., Path],
    tmp_path: Path,
) -> None:
    """What it writes beside its code is reported, and the docker command reproduces a call."""
    with (folder / "predict.sh").open("a") as file:
        file.write("date > /workspace/model_cache\n")
    archive = tmp_path / "team.tar.gz"
    write_docker_archive(archive, [base_image("numpy"), (folder, "/workspace")])
    checked = report(archive, runtime="docker")
    assert checked["code"] == 0
    found = finding(checked, "beside its code")
    assert "/workspace/model_cache" in found["detail"]
    assert "/tmp" in found["cure"]
    there = Path(checked["calls"][-1]["folder"])
    script = (there / "again.sh").read_text()
    assert script.split()[1:3] == ["docker", "run"] and "--network=none" in script
    if shutil.which("docker"):
        subprocess.run(["sh", "-c", checked["by_hand"]], check=True)
        assert (there / "outputs/bundled.npz").exists()


@pytest.mark.parametrize("runtime", ["podman", "apptainer"], indirect=True)
def test_every_runtimes_command_runs_again(
    runtime: str, folder: Path, report: Check, base_image: Callable[..., Path], tmp_path: Path
) -> None:
    """The script has the runtime's own command, runs as it stands and leaves the answer."""
    np.savez_compressed(folder / "ones.npz", segs=np.ones((20, 64, 72), np.uint8))
    (folder / "predict.sh").write_text("cp ones.npz outputs/$(ls inputs)\n")
    archive = tmp_path / "team.tar.gz"
    write_docker_archive(archive, [base_image("tiny"), (folder, "/workspace")])
    checked = report(archive, runtime=runtime)
    assert (checked["code"], checked["image"]["runtime"]) == (0, runtime)
    there = Path(checked["calls"][-1]["folder"])
    script = (there / "again.sh").read_text()
    assert f"{runtime} " in script.splitlines()[1] and "--network=none" in script
    subprocess.run(["sh", "-c", checked["by_hand"]], check=True)
    with np.load(there / "outputs/bundled.npz") as answer:
        assert answer["segs"].all()


def test_the_text_has_the_verdict_first(
    folder: Path, short: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """People get the verdict, then why with the log and a cure, then the table of calls."""
    (folder / "predict.sh").write_text("echo no weights here\nexit 7\n")
    code = main(["check", "team", "--protocol", str(short), "--runtime", "process"])
    printed = capsys.readouterr().out
    assert code == 1
    assert printed.startswith("FAIL  team would not run under short: crashed\n")
    assert "FAILED  answers: 0 of 1 are usable" in printed
    assert "ended with exit code 7" in printed
    assert "no weights here" in printed
    assert "cure: " in printed
    assert "Stopped at the first call that failed" in printed


def test_all_goes_on_after_a_failure(folder: Path, report: Check) -> None:
    """With --all every call of the case is made, also when the first one fails."""
    (folder / "predict.sh").write_text("exit 7\n")
    statuses = [call["status"] for call in report(folder, "--all")["calls"]]
    assert statuses == ["crashed", "crashed"]


def test_only_runs_one_case_up_to_an_interaction(folder: Path, report: Check) -> None:
    """CASE:K is all interactions of that case up to K."""
    checked = report(folder, only="bundled-nobox:2")
    calls = [(call["case"], call["interaction"]) for call in checked["calls"]]
    assert calls == [("bundled-nobox", 1), ("bundled-nobox", 2)]


@pytest.mark.parametrize("only", ["nothing", "bundled:0", "bundled:x"])
def test_a_wrong_only_is_one_line(
    only: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The exit code is that of a wrong argument, and no folder was made."""
    assert main(["check", str(folder), "--runtime", "process", "--only", only]) == 2
    assert capsys.readouterr().err.startswith("segarena: --only: ")
    assert not Path("segarena-check").exists()


def test_nothing_there_is_deleted_or_overwritten(folder: Path, report: Check) -> None:
    """A folder or a file called segarena-check stays as it is, and even can be the submission."""
    folder.rename("segarena-check")
    Path("segarena-check/notes.txt").write_text("precious")
    Path("segarena-check-2").write_text("a file")
    checked = report("segarena-check")
    assert checked["code"] == 0
    assert Path(checked["folder"]).name == "segarena-check-3"
    assert Path("segarena-check/notes.txt").read_text() == "precious"
    assert sorted(path.name for path in Path("segarena-check").iterdir()) == [
        "notes.txt",
        "predict.py",
        "predict.sh",
    ]
    assert Path("segarena-check-2").read_text() == "a file"


def test_keep_names_a_new_folder(folder: Path, report: Check, capsys: Any) -> None:
    """The folder of --keep is made; one that is there already is refused and left alone."""
    assert Path(report(folder, "--keep", "a/b")["folder"]) == Path("a/b").resolve()
    assert main(["check", str(folder), "--runtime", "process", "--keep", "team"]) == 2
    assert capsys.readouterr().err.endswith("--keep: team is there already; name a new folder\n")
    assert sorted(path.name for path in Path("team").iterdir()) == ["predict.py", "predict.sh"]


def test_a_missing_base_image_never_runs_on_the_host(
    folder: Path, capsys: pytest.CaptureFixture[str], engine: str
) -> None:
    """The check ends in one line, the program was not started, and no folder stays."""
    (folder / "predict.sh").write_text("touch /tmp/segarena-ran-on-the-host\n")
    assert main(["check", str(folder), "--base-image", "nothere"]) == 5
    assert "nothere" in capsys.readouterr().err
    assert not Path("/tmp/segarena-ran-on-the-host").exists()
    assert not Path("segarena-check").exists()


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_a_check_that_is_stopped_leaves_nothing(sent: int, folder: Path, short: Path) -> None:
    """After Ctrl-C its processes and folders are gone, and nothing else is."""
    (folder / "predict.sh").write_text("echo $$ > pid; sleep 600\n")
    command = [sys.executable, "-m", "segarena.cli", "check", "team", "--runtime", "process"]
    command += ["--protocol", str(short)]
    temporary = Path("temporary")
    temporary.mkdir()
    environment = {**os.environ, "TMPDIR": str(temporary.resolve())}
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # if not, it is inherited
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE)
    signal.signal(signal.SIGINT, before)
    deadline = time.monotonic() + 120
    while not (folder / "pid").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.2)
    pid = int((folder / "pid").read_text())
    process.send_signal(sent)
    _, printed = process.communicate(timeout=60)
    assert process.returncode == 128 + sent
    assert b"Traceback" not in printed
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert not Path("segarena-check").exists()
    assert list(temporary.iterdir()) == []


def test_a_stopped_check_leaves_no_container(
    engine: str, base_image: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After Ctrl-C during a call the engine has none of its containers."""
    import docker

    monkeypatch.chdir(tmp_path)
    (tmp_path / "team").mkdir()
    (tmp_path / "team/predict.sh").write_text("sleep 600\n")
    layers = [base_image("tiny"), (tmp_path / "team", "/workspace")]
    write_docker_archive(tmp_path / "team.tar", layers)
    command = [sys.executable, "-m", "segarena.cli", "check", "team.tar", "--runtime", "docker"]
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen(command, stderr=subprocess.PIPE)
    signal.signal(signal.SIGINT, before)
    with contextlib.closing(docker.from_env()) as client:

        def mine(**more: str) -> list[Any]:
            return client.containers.list(
                all=True, filters={"label": f"segarena={tmp_path}"} | more
            )

        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and not Path("segarena-check/bundled").exists():
            time.sleep(0.05)
        while time.monotonic() < deadline and not mine(status="running"):
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
        assert process.returncode == 130
        assert mine() == []
    assert not Path("segarena-check").exists()


def test_a_submission_that_is_not_there_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The exit code is that of a wrong argument, and nothing stays."""
    monkeypatch.chdir(tmp_path)
    assert main(["check", "./nowhere.tar.gz"]) == 2
    expected = "segarena: ./nowhere.tar.gz: no such archive or folder\n"
    assert capsys.readouterr().err.endswith(expected)
    assert list(tmp_path.iterdir()) == []


def test_a_submission_that_needs_a_click_for_each_label_is_told_so(
    folder: Path, report: Check
) -> None:
    """Where a label is perfect there is None in its place, on which public submissions crash."""
    needs = "[{'fg': 1, 'bg': 2}[o[-1]] for o in case.get('clicks_order', ())]"
    program = (
        (folder / "predict.py").read_text().replace("labels = segs", f"labels = segs\n{needs}")
    )
    (folder / "predict.py").write_text(program)
    checked = report(folder, only="bundled-large")
    failed = [(c["case"], c["interaction"]) for c in checked["calls"] if c["status"] == "crashed"]
    assert failed == [("bundled-large", 2)]
    assert "leave such a label as it is" in cures(checked)


def test_fewer_processors_than_the_challenge_has_are_said(
    folder: Path, report: Check, protocol_of: Callable[..., str], finding: Any
) -> None:
    """A protocol that gives 4096 processors is run with those of this machine."""
    limits = {"memory_gb": 32, "cpus": 4096}
    checked = report(folder, "--protocol", protocol_of("cvpr25", limits=limits), only="bundled:1")
    assert checked["code"] == 0
    assert "4096" in finding(checked, "processors")["detail"]


def test_an_image_of_the_engine_is_saved_and_run(
    folder: Path, report: Check, finding: Any, engine: str, submission_archive: Any, tmp_path: Path
) -> None:
    """Its tag is enough; the archive that is kept is one that can be submitted."""
    import docker

    archive = submission_archive(folder, tmp_path / "team.tar.gz")
    tag = f"segarena-check-{os.getpid()}:1"
    with contextlib.closing(docker.from_env()) as client:
        (loaded,) = client.images.load(archive.read_bytes())
        loaded.tag(tag)
        try:
            checked = report(tag, runtime="docker", only="bundled:1")
        finally:
            client.images.remove(tag)
    assert checked["code"] == 0
    saved = Path(checked["folder"], tag.replace(":", "_") + ".tar")
    assert str(saved) in finding(checked, "saved")["detail"]
    assert report(saved, runtime="docker", only="bundled:1")["code"] == 0


def test_what_is_printed_on_the_way_is_no_json(folder: Path, short: Path) -> None:
    """With --json stdout holds the report alone."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        main(["check", str(folder), "--protocol", str(short), "--json", "--only", "bundled:1"])
    assert printed.getvalue().startswith("{") and printed.getvalue().endswith("}\n")
