"""Mistakes that participants make: the verdict is true, and the cure works when it is followed.

Each is a good submission with one change, run as a plain process; those that need a container are
in test_mistakes_in_containers.py.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

LABELS = "labels = segs"
LOAD = "case = np.load(os.path.join(inputs, name), allow_pickle=True)"
SAVE = "np.savez_compressed(os.path.join(outputs, name), segs=labels)"
PYTHON = 'python3 "$(dirname "$0")/predict.py"'


@dataclass(frozen=True)
class Mistake:
    """A change of predict.py or predict.sh, what the check says, and the change that cures it.

    what: the finding's title. level: FAILED or warning. cure: a part of the cure. old, new: the
    change of `file`. cured: what a person writes for `new` who follows the cure. only: the case.
    """

    new: str
    what: str
    cure: str
    cured: str
    old: str = LABELS
    level: str = "FAILED"
    file: str = "predict.py"
    detail: str = ""
    log: str = ""
    only: str = "bundled:1"
    others: dict[str, str] = field(default_factory=dict)


ONE = "for c in case.get('clicks', ()):\n    [segs[z, y, x] for z, y, x in c['fg']]\nlabels = segs"
# So many voxels around a click that a swapped one shows.
CLICKS = """        for z, y, x in clicks[kind]:
            segs[max(z - 4, 0):z + 5, max(y - 4, 0):y + 5, max(x - 4, 0):x + 5] = value
"""
SH = {"file": "predict.sh", "old": PYTHON}
ARGMAX = "channels = np.stack([segs == i for i in range(4)]).astype(float)\n"

MISTAKES = {
    "Windows line ends": Mistake(
        f"set -e\r\n{PYTHON}\r", "line ends", "sed -i", f"set -e\n{PYTHON}", level="warning", **SH
    ),
    "pipefail": Mistake(
        f"set -euo pipefail\n{PYTHON}",
        "crashed",
        "exec bash main.sh",
        'exec bash "$(dirname "$0")/main.sh"',
        others={"main.sh": f"set -euo pipefail\n{PYTHON}\n"},
        **SH,
    ),
    "source": Mistake(
        f"source ./env.sh\n{PYTHON}",
        "shell error",
        ". ./FILE",
        f". ./env.sh\n{PYTHON}",
        level="warning",
        detail="source: not found",
        others={"env.sh": "A=1\n"},
        **SH,
    ),
    "double brackets": Mistake(
        f"if [[ -f x ]]; then echo; fi\n{PYTHON}",
        "shell error",
        "[ ... ]",
        f"if [ -f x ]; then echo; fi\n{PYTHON}",
        level="warning",
        **SH,
    ),
    "conda activate": Mistake(
        f"conda activate team\n{PYTHON}",
        "shell error",
        "in place of `conda activate`",
        PYTHON,
        level="warning",
        **SH,
    ),
    "pip install at run time": Mistake(
        f"pip-x install scipy\n{PYTHON}",
        "shell error",
        "install it when the image is built",
        PYTHON,
        level="warning",
        **SH,
    ),
    "not executable": Mistake(
        "./run.sh", "crashed", "sh ./run.sh", "sh ./run.sh", others={"run.sh": PYTHON}, **SH
    ),
    "another name": Mistake(
        'name = "answer.npz"\nlabels = segs',
        "no_answer",
        "under the input file's own name",
        "labels = segs",
        detail="it holds 'answer.npz'",
        old=LABELS,
    ),
    "probabilities": Mistake(
        "probability = (segs == 1) * 0.73 + 0.01\nlabels = probability",
        "bad_answer",
        "(probability > 0.5).astype(np.uint8)",
        "probability = (segs == 1) * 0.73 + 0.01\nlabels = (probability > 0.5).astype(np.uint8)",
        only="bundled-cube:1",
    ),
    "an axis too many": Mistake(
        "labels = segs[None]",
        "bad_answer",
        "segs=labels[0]",
        "labels = segs[None]\nlabels=labels[0]",
    ),
    "one channel per label": Mistake(
        f"{ARGMAX}labels = channels",
        "bad_answer",
        "channels.argmax(0).astype(np.uint8)",
        f"{ARGMAX}labels = channels.argmax(0).astype(np.uint8)",
    ),
    "reversed axes": Mistake(
        "labels = segs.transpose(2, 1, 0)",
        "bad_answer",
        "segs=labels.transpose(2, 1, 0)",
        "labels = segs.transpose(2, 1, 0)\nlabels=labels.transpose(2, 1, 0)",
    ),
    "no key": Mistake(
        SAVE.replace("segs=labels", "labels"), "bad_answer", "segs=labels", SAVE, old=SAVE
    ),
    "the network": Mistake(
        "raise OSError('[Errno -3] Temporary failure in name resolution')",
        "crashed",
        "put weights and other files into the image",
        LABELS,
    ),
    "the network, caught": Mistake(
        "print('wandb: Network is unreachable, offline')\nlabels = segs",
        "network",
        "leave it out",
        LABELS,
        level="warning",
    ),
    "allow_pickle": Mistake(
        LOAD.replace(", allow_pickle=True", ""),
        "crashed",
        "np.load(path, allow_pickle=True)",
        LOAD,
        old=LOAD,
        log="Object arrays cannot be loaded when allow_pickle=False",
    ),
    "always boxes": Mistake(
        "case['boxes']\nlabels = segs",
        "crashed",
        "ask for each with `in`",
        "if 'boxes' in case: case['boxes']\nlabels = segs",
        only="bundled-nobox:2",
    ),
    "no driver": Mistake(
        "raise RuntimeError('Found no NVIDIA driver on your system.')",
        "crashed",
        "use the CPU where torch.cuda.is_available() is False",
        LABELS,
    ),
    "segmentation fault": Mistake(
        "import ctypes; ctypes.string_at(0)",
        "crashed",
        "faulthandler",
        LABELS,
        detail="segmentation fault",
    ),
    "segmentation fault, hidden": Mistake(
        f"sh -c 'kill -SEGV $$'\necho Segmentation fault\n: {PYTHON}",
        "no_answer",
        "faulthandler",
        PYTHON,
        log="Segmentation fault",
        **SH,
    ),
    "an exception, hidden": Mistake(
        f"python3 -c \"raise RuntimeError('no weights')\" || true\n: {PYTHON}",
        "no_answer",
        "leave out `|| true`",
        PYTHON,
        log="RuntimeError: no weights",
        **SH,
    ),
    "exit code 1 after an answer": Mistake(
        f"{PYTHON}\nfalse", "crashed", "that of its last command", PYTHON, **SH
    ),
    "clicks beyond the image": Mistake(
        ONE.replace("segs[z, y, x]", "segs[x, y, z]"),
        "crashed",
        "clicks are (z, y, x)",
        ONE,
        only="bundled-nobox:2",
        log="IndexError",
    ),
    "nothing but zeros": Mistake(
        "labels = segs * 0", "empty", "wrong threshold", LABELS, level="warning"
    ),
    "one value everywhere": Mistake(
        "labels = segs * 0 + 1", "constant", "write 0", LABELS, level="warning"
    ),
    "the first label alone": Mistake(
        "labels = (segs == 1) * 1",
        "ignored labels",
        "answer all labels",
        LABELS,
        level="warning",
        detail="label 2, 3",
    ),
    "clicks unused": Mistake(
        "labels = np.ones(shape, np.uint8)\nlabels[:, :9] = 0",
        "ignored clicks",
        "use clicks",
        LABELS,
        level="warning",
        only="bundled",
    ),
    "random answers": Mistake(
        "labels = np.random.randint(0, 4, shape)",
        "deterministic",
        "set all seeds",
        LABELS,
        level="warning",
    ),
    "random answers, seeded": Mistake(
        "labels = np.random.default_rng(0).integers(0, 4, shape)",
        "worse than the box",
        "random, misplaced or untrained",
        LABELS,
        level="warning",
    ),
    "a file that is kept for later": Mistake(
        "labels = segs * (not os.path.exists('seen')); open('seen', 'w').close()",
        "order of the cases",
        "keep nothing between cases",
        LABELS,
        level="warning",
    ),
    "a name that matters": Mistake(
        "labels = segs * ('bundled' in name)",
        "name of the case",
        "names differ",
        LABELS,
        level="warning",
    ),
    "axes swapped": Mistake(
        "labels = segs.transpose(2, 1, 0)",
        "swapped axes",
        "only spacing is (x, y, z)",
        LABELS,
        level="warning",
        only="bundled-cube",
        detail="axes (x, y, z)",
    ),
    "clicks read as (x, y, z)": Mistake(
        CLICKS.replace("z, y, x", "x, y, z"),
        "swapped axes",
        "image, clicks, boxes and answer are all (z, y, x)",
        CLICKS,
        level="warning",
        only="bundled-cube-nobox",
        old="        for z, y, x in clicks[kind]:\n",
    ),
    "upside down": Mistake(
        "labels = segs[::-1]",
        "swapped axes",
        "all (z, y, x)",
        LABELS,
        level="warning",
        only="bundled-cube",
        detail="z reversed",
    ),
    "a label too many": Mistake(
        "labels = segs.copy(); labels[0, 0, :5] = 9",
        "labels",
        "no others",
        LABELS,
        level="warning",
        detail="5 voxels have label 9, which was not asked for",
    ),
    "negative background": Mistake(
        "labels = segs.astype(int) - 1", "bad_answer", "write 0 for background", LABELS
    ),
}


def write(folder: Path, mistake: Mistake, change: str) -> None:
    for name, text in mistake.others.items():
        (folder / name).write_text(text)
    path = folder / mistake.file
    text = path.read_bytes().decode()
    assert mistake.old in text
    path.write_bytes(text.replace(mistake.old, change).encode())


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_found_and_its_cure_works(
    name: str, folder: Path, report: Callable[..., dict[str, Any]]
) -> None:
    """The finding is there with its level, detail, log and cure; after the cure it is gone."""
    mistake = MISTAKES[name]
    program, script = ((folder / file).read_bytes() for file in ("predict.py", "predict.sh"))
    write(folder, mistake, mistake.new)
    checked = report(folder, only=mistake.only)
    found = [one for one in checked["findings"] if one["what"] == mistake.what]
    assert found, checked["findings"]
    assert found[0]["level"] == mistake.level
    assert mistake.cure in found[0]["cure"]
    assert mistake.detail in found[0]["detail"]
    assert mistake.log in "\n".join(found[0]["log"])
    assert checked["verdict"] != "PASS"
    (folder / "predict.py").write_bytes(program)
    (folder / "predict.sh").write_bytes(script)
    write(folder, mistake, mistake.cured)
    cured = report(folder, only=mistake.only)
    assert cured["passed"]
    assert mistake.what not in {
        one["what"] for one in cured["findings"] if one["level"] != "passed"
    }


GOOD_CHANGES = {
    "int64": "labels = segs.astype(np.int64)",
    "whole floats": "labels = segs.astype(float)",
    "a booleans' map": "labels = segs == 1",
    "prints 20 MB": "print('x' * 20_000_000)\nlabels = segs",
    "a process in the background": "os.system('sleep 60 &')\nlabels = segs",
}


@pytest.mark.parametrize("name", GOOD_CHANGES)
def test_what_is_allowed_passes(
    name: str, folder: Path, report: Callable[..., dict[str, Any]]
) -> None:
    """None of these costs anything in the challenge, so the check lets them pass."""
    path = folder / "predict.py"
    path.write_text(path.read_text().replace(LABELS, GOOD_CHANGES[name]))
    assert report(folder, only="bundled-cube:1")["passed"]


def test_a_slow_submission_is_stopped_early(
    folder: Path, report: Callable[..., dict[str, Any]], protocol_of: Callable[..., str]
) -> None:
    """The first call above the limit ends the check; the message has the limit of the case."""
    path = folder / "predict.py"
    path.write_text(path.read_text().replace(LABELS, "import time; time.sleep(60)"))
    time = {"seconds_per_label": 1, "per": "case", "on_overtime": "zero"}
    checked = report(folder, "--protocol", protocol_of("cvpr25", time=time), only="bundled")
    assert [call["status"] for call in checked["calls"]] == ["timed_out"]
    (found,) = [one for one in checked["findings"] if one["what"] == "timed_out"]
    assert "the limit is 3 s for the case" in found["detail"]
    assert "speed it up" in found["cure"]


@pytest.mark.parametrize(
    ("make", "cure"),
    [
        (lambda path: path.write_bytes(b"<html>no</html>"), "a web page"),
        (lambda path: path.write_bytes(b"PK\x03\x04" + bytes(100)), "a zip archive"),
        (lambda path: path.write_bytes(b"version https://git-lfs.github.com/spec/v1"), "git-lfs"),
        (lambda path: path.write_bytes(b""), "an empty file"),
        (lambda path: path.write_bytes(bytes([31, 139]) + bytes(100)), "docker save IMAGE"),
    ],
)
def test_what_is_no_archive_is_told_apart(
    make: Any, cure: str, tmp_path: Path, monkeypatch: Any, report: Any, engine: str
) -> None:
    """A web page, a zip, an LFS pointer, an empty and a broken file."""
    monkeypatch.chdir(tmp_path)
    make(tmp_path / "team.tar.gz")
    checked = report(tmp_path / "team.tar.gz", runtime="docker")
    assert (checked["code"], checked["calls"]) == (1, [])
    assert cure in checked["findings"][-1]["cure"]


def test_an_empty_folder_has_its_cure(folder: Path, report: Callable[..., dict[str, Any]]) -> None:
    """It says what to put where."""
    (folder / "predict.sh").unlink()
    checked = report(folder)
    assert (checked["code"], checked["calls"]) == (1, [])
    assert "put a predict.sh into the folder" in checked["findings"][-1]["cure"]
