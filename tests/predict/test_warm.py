"""A warm container answers the interactions of one case, and loses nothing when it dies."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from docker_archive import write_docker_archive

from segarena.case import write_image, write_truth
from segarena.check.cases import bundled_case
from segarena.files import write_json
from segarena.predict import runners, step
from segarena.predict.image import image_of_archive
from segarena.predict.runners.process import ProcessRunner
from segarena.predict.session_step import run_session
from segarena.protocol import load, prompt_values, steps

DOCS = Path(__file__).parents[2] / "docs" / "protocols.md"
RUNTIMES = ["process", "docker", "podman", "apptainer"]
ENGINES = RUNTIMES[1:]

# Answers with the number of questions that this process has had; SERVE says what else happens.
SERVE = """
import os, sys, time
import numpy as np
inputs, outputs = os.environ["INPUTS"], os.environ["OUTPUTS"]
print("loading", flush=True)
BEFORE
open(f"{outputs}/ready", "w").close()
done = set()
while not os.path.exists(f"{inputs}/end"):
    for k in sorted(set(os.listdir(inputs)) - done - {"end"}):
        for name in os.listdir(f"{inputs}/{k}"):
            shape = np.load(f"{inputs}/{k}/{name}", allow_pickle=True)["imgs"].shape[:3]
            done.add(k)
            EACH
            part = f"{outputs}/{k}/part.npz"
            np.savez(part, segs=np.full(shape, len(done), np.uint8))
            os.rename(part, f"{outputs}/{k}/{name}")
    time.sleep(0.002)
"""
FRESH = "exit 9\n"


@pytest.fixture
def team(tmp_path: Path) -> Callable[..., Path]:
    """A factory: team(each=..., before=...) is the folder of a submission that can stay."""

    def make(each: str = "pass", before: str = "pass") -> Path:
        folder = tmp_path / "team"
        folder.mkdir(exist_ok=True)
        (folder / "predict.sh").write_text(FRESH)
        (folder / "serve.sh").write_text('exec python3 "$(dirname "$0")/serve.py"\n')
        program = SERVE.replace("EACH", each).replace("BEFORE", before)
        (folder / "serve.py").write_text(program)
        return folder

    return make


@pytest.fixture
def session(tmp_path: Path) -> Callable[..., list[dict[str, Any]]]:
    """A factory: session(image, ...) plays a box and clicks on a small case, container: warm."""

    def run(image: dict[str, Any], *, clicks: int = 2, **changes: Any) -> list[dict[str, Any]]:
        folder = tmp_path / "session"
        folder.mkdir(exist_ok=True)
        case_image, truth = bundled_case(box=True)
        write_image(folder / "image.npz", case_image)
        write_truth(folder / "truth.npz", truth)
        write_json(folder / "submission.json", image)
        protocol = load("cvpr25")
        protocol["user"] = [protocol["user"][0], {**protocol["user"][1], "times": clicks}]
        protocol |= {"container": "warm", **changes}
        numbers = range(1, len(steps(protocol)) + 1)
        names = [n for k in numbers for n in (f"p{k}.json", f"{k}.npz", f"{k}.json")]
        inputs = {"submission": "submission.json", "image": "image.npz", "truth": "truth.npz"}
        return list(
            run_session(
                {key: str(folder / value) for key, value in inputs.items()},
                [str(folder / n) for n in names],
                case="CASE",
                steps=[prompt_values(protocol, k) for k in numbers],
                values={"rules": protocol},
            )
        )

    return run


def answers(tmp_path: Path, count: int = 3) -> list[int]:
    """The number that fills each answer in force."""
    found = [np.load(tmp_path / f"session/{k}.npz")["segs"] for k in range(1, count + 1)]
    return [int(segs.max()) for segs in found]


def statuses(records: list[dict[str, Any]]) -> list[str]:
    return [record["status"] for record in records]


@pytest.fixture
def loaded_image(
    runtime: str,
    base_image: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[[Path], Any]:
    """A factory: loaded_image(folder) has a folder on a base image with numpy, in the runtime."""
    monkeypatch.chdir(tmp_path)

    def load_image(folder: Path) -> Any:
        archive = tmp_path / "team.tar"
        write_docker_archive(archive, [base_image("numpy"), (folder, "/workspace")])
        return runners.ready(archive, runtime=runtime, base_image="")

    return load_image


def test_one_process_answers_all_interactions(
    team: Callable[..., Path], session: Callable[..., Any], tmp_path: Path
) -> None:
    """It is started once; its start is recorded apart from what it takes to answer."""
    records = session(ProcessRunner().ready(team(before="time.sleep(0.3)")))
    assert statuses(records) == ["ok"] * 3
    assert answers(tmp_path) == [1, 2, 3]
    assert [record["container"] for record in records] == ["warm"] * 3
    starts = [record["start_seconds"] for record in records]
    assert starts[0] > 0.3
    assert starts[1:] == [0, 0]


@pytest.mark.parametrize("runtime", ENGINES, indirect=True)
def test_one_container_answers_all_interactions_in_every_engine(
    team: Callable[..., Path],
    session: Callable[..., Any],
    loaded_image: Callable[[Path], Any],
    tmp_path: Path,
) -> None:
    """As a plain process does; what it prints is in each log, and its memory is measured."""
    image = loaded_image(team())
    records = session(image)
    assert statuses(records) == ["ok"] * 3
    assert answers(tmp_path) == [1, 2, 3]
    assert "loading" in (tmp_path / "session/2.log").read_text()


@pytest.mark.parametrize("runtime", ENGINES, indirect=True)
def test_a_container_that_dies_is_replaced_at_the_next_interaction(
    team: Callable[..., Path],
    session: Callable[..., Any],
    loaded_image: Callable[[Path], Any],
    tmp_path: Path,
) -> None:
    """The third question goes to a new one, which counts from one."""
    image = loaded_image(team("if k == '2': sys.exit(3)"))
    records = session(image)
    assert statuses(records) == ["ok", "crashed", "ok"]
    assert answers(tmp_path) == [1, 1, 1]
    assert records[2]["start_seconds"] > 0


@pytest.mark.parametrize("runtime", ENGINES, indirect=True)
def test_a_container_that_needs_too_much_memory_is_replaced_too(
    team: Callable[..., Path],
    session: Callable[..., Any],
    loaded_image: Callable[[Path], Any],
    tmp_path: Path,
) -> None:
    """It is killed at the protocol's limit, as a fresh one is; the next interaction is answered."""
    each = "more = b'x' * (2 << 30) if k == '2' else b''; time.sleep(len(more) and 5)"
    records = session(loaded_image(team(each)), limits={"memory_gb": 0.4})
    assert statuses(records) == ["ok", "out_of_memory", "ok"]
    assert answers(tmp_path) == [1, 1, 1]


def test_a_crash_is_told_and_the_next_interaction_starts_a_new_one(
    team: Callable[..., Path], session: Callable[..., Any], tmp_path: Path
) -> None:
    """The answer before stays in force; the new process gets all that was prompted so far."""
    check = "assert ('clicks' in np.load(f'{inputs}/{k}/{name}', allow_pickle=True)) == (k > '1')"
    records = session(ProcessRunner().ready(team(f"{check}; k == '2' and sys.exit(3)")))
    assert statuses(records) == ["ok", "crashed", "ok"]
    assert records[1]["message"] == "serve.sh ended with exit code 3"
    assert answers(tmp_path) == [1, 1, 1]
    assert [record["start_seconds"] > 0 for record in records] == [True, False, True]


def test_an_answer_that_takes_too_long_ends_the_process(
    team: Callable[..., Path], session: Callable[..., Any], tmp_path: Path
) -> None:
    """It is killed at the limit of its answer alone, and the next interaction starts a new one."""
    time = {"seconds_per_label": 0.3, "per": "call", "on_overtime": "warn"}
    image = ProcessRunner().ready(team("k == '2' and time.sleep(60)", "time.sleep(1)"))
    records = session(image, time=time)
    assert statuses(records) == ["ok", "timed_out", "ok"]
    assert 0.9 <= records[1]["seconds"] < 30
    assert answers(tmp_path) == [1, 1, 1]


def test_a_start_that_takes_too_long_is_told_as_one(
    team: Callable[..., Path], session: Callable[..., Any]
) -> None:
    """start_seconds limits it, whatever an answer may take."""
    time = {**load("cvpr25")["time"], "start_seconds": 0.3}
    records = session(ProcessRunner().ready(team(before="time.sleep(60)")), clicks=1, time=time)
    assert statuses(records) == ["timed_out", "timed_out"]
    assert "serve.sh was not ready" in records[0]["message"]
    assert records[0]["seconds"] == 0
    assert records[0]["start_seconds"] >= 0.3


def test_a_program_that_ends_before_it_is_ready_has_not_answered(
    team: Callable[..., Path], session: Callable[..., Any]
) -> None:
    """An exit code of 0 is no readiness."""
    records = session(ProcessRunner().ready(team(before="sys.exit(0)")), clicks=1)
    assert statuses(records) == ["no_answer", "no_answer"]
    assert "serve.sh was not ready" in records[0]["message"]


def test_it_never_outlives_its_case(
    team: Callable[..., Path], session: Callable[..., Any], tmp_path: Path
) -> None:
    """A program that does not leave by itself is killed; nothing of it runs afterwards."""
    mark = tmp_path / "pid"
    each = f"open({str(mark)!r}, 'w').write(str(os.getpid()))"
    folder = team(each)
    serve = (folder / "serve.py").read_text()
    (folder / "serve.py").write_text(
        serve.replace('while not os.path.exists(f"{inputs}/end")', "while 1")
    )
    session(ProcessRunner().ready(folder), clicks=1)
    assert not Path(f"/proc/{mark.read_text()}").exists()


def test_a_submission_without_serve_sh_is_called_fresh(
    team: Callable[..., Path], session: Callable[..., Any]
) -> None:
    """As under a protocol with `container: fresh`, where serve.sh means nothing."""
    folder = team()
    assert session(ProcessRunner().ready(folder), container="fresh")[0]["exit_code"] == 9
    (folder / "serve.sh").unlink()
    record = session(ProcessRunner().ready(folder))[0]
    assert (record["container"], record["exit_code"]) == ("fresh", 9)


@pytest.mark.parametrize("what", ["link", "folder of links", "fifo"])
def test_nothing_in_the_outputs_is_followed(
    what: str, team: Callable[..., Path], session: Callable[..., Any], tmp_path: Path
) -> None:
    """A link to a file of the host, at either level, is no answer; a fifo is not waited for."""
    (tmp_path / "host").mkdir()
    secret = tmp_path / "host" / "CASE.npz"
    np.savez(secret, segs=np.full((20, 64, 72), 9, np.uint8))
    misdeeds = {
        "link": f"os.symlink({str(secret)!r}, f'{{outputs}}/{{k}}/{{name}}')",
        "folder of links": f"os.rmdir(f'{{outputs}}/{{k}}'), os.symlink({str(secret.parent)!r}, "
        "f'{outputs}/{k}')",
        "fifo": "os.mkfifo(f'{outputs}/{k}/{name}')",
    }
    each = f"{misdeeds[what]}; continue"
    assert statuses(session(ProcessRunner().ready(team(each)), clicks=1))[0] == "no_answer"
    assert answers(tmp_path, 1) == [0]


def test_an_image_says_whether_it_can_stay(
    team: Callable[..., Path], base_image: Callable[..., Path], tmp_path: Path
) -> None:
    """serve.sh counts in the image's working directory and nowhere else."""
    found = {}
    for workdir in ("/workspace", "/elsewhere"):
        archive = tmp_path / "team.tar"
        layers = [base_image("tiny"), (team(), "/workspace")]
        write_docker_archive(archive, layers, workdir=workdir)
        found[workdir] = image_of_archive(archive)["serves"]
    assert found == {"/workspace": True, "/elsewhere": False}


def test_the_documented_template_answers(
    team: Callable[..., Path], session: Callable[..., Any], tmp_path: Path
) -> None:
    """The template in the documentation, of at most 25 lines, with a model of our own."""
    code = re.search(r"```python\n(.*?os\.rename.*?)```", DOCS.read_text(), re.DOTALL)
    assert code is not None
    assert len(code[1].splitlines()) <= 25
    folder = team()
    (folder / "serve.py").write_text(code[1])
    (folder / "mine.py").write_text(
        "import numpy as np\nload_model = lambda: 7\n"
        "segment = lambda model, case: np.full(case['imgs'].shape[:3], model, np.uint8)\n"
    )
    assert statuses(session(ProcessRunner().ready(folder))) == ["ok"] * 3
    assert answers(tmp_path) == [7, 7, 7]


def test_a_job_of_one_interaction_starts_it_for_itself(
    team: Callable[..., Path], session: Callable[..., Any], tmp_path: Path
) -> None:
    """With `jobs: interaction` the second interaction's job has a process of its own."""
    session(ProcessRunner().ready(team()), clicks=1)
    folder = tmp_path / "session"
    files = {"submission": "submission.json", "image": "image.npz", "prompts": "p2.json"}
    record = step.main(
        {key: str(folder / name) for key, name in {**files, "previous": "1.npz"}.items()},
        str(tmp_path / "2.npz"),
        str(tmp_path / "2.json"),
        case="CASE",
        values={"rules": {**load("cvpr25"), "container": "warm"}},
    )
    assert (record["status"], record["container"]) == ("ok", "warm")
    assert record["start_seconds"] > 0
    assert np.load(tmp_path / "2.npz")["segs"].max() == 1
