"""How long archiving and verifying take: 100 cases, 10 teams, final answers, with the truth.

The run is made up: real prompts, answers, scores and tables of the CVPR 2025 protocol, made by the
workflow's own steps, on small volumes (32 x 96 x 96, two labels); no container runs.
"""

import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "src"))

from segarena.archive import bundle  # noqa: E402
from segarena.archive.verify import prompt_values, verify  # noqa: E402
from segarena.case import Image, Truth, write_answer, write_image, write_truth  # noqa: E402
from segarena.files import write_json  # noqa: E402
from segarena.prepare.boxes import boxes_of  # noqa: E402
from segarena.prompt import step as prompt_step  # noqa: E402
from segarena.protocol import load, steps  # noqa: E402
from segarena.provenance import file_digest  # noqa: E402
from segarena.rank import step as rank_step  # noqa: E402
from segarena.score import metrics_step  # noqa: E402
from segarena.score import step as score_step  # noqa: E402

CASES, TEAMS, SHAPE = 100, 10, (32, 96, 96)
SPACING_MM = (2.0, 1.0, 1.0)


def make_run(results: Path) -> dict:
    """Write a finished run and return what the archive is to say of it."""
    protocol = load("cvpr25")
    cases = [f"case{i:03}" for i in range(CASES)]
    teams = [f"team{i}" for i in range(TEAMS)]
    for number, case in enumerate(cases):
        make_case(results / "prepare", case, np.random.default_rng(number))
    (results / "prepare/cases.tsv").write_text("case\n")
    for team in teams:
        about = {"runtime": "process", "source": team, "sha256": "0" * 64, "image_id": None}
        write_json(results / f"predict/{team}/image.json", about)
        for number, case in enumerate(cases):
            write_session(
                results, protocol, team, case, np.random.default_rng([number, int(team[4:])])
            )
        folder = results / "score/cvpr25"
        numbers = range(1, len(steps(protocol)) + 1)
        metrics_step.main(
            [str(folder / team / f"{case}.csv") for case in cases],
            [str(results / f"predict/cvpr25/{team}/{c}/{k}.json") for c in cases for k in numbers],
            str(folder / f"{team}_metrics.csv"),
            cases=cases,
            values=protocol,
            labels_output=str(folder / f"{team}_labels.csv"),
        )
    rank_step.main(
        [str(results / f"score/cvpr25/{team}_metrics.csv") for team in teams],
        results / "rank/cvpr25",
        names={team: team for team in teams},
        groups={case: {} for case in cases},
        protocol=protocol,
    )
    return {
        "name": "bench",
        "answers": "final",
        "truth": False,
        "license": "",
        "config": {"cases": {"images": "i", "labels": "l"}, "submissions": "s"},
        "protocols": {"cvpr25": protocol},
        "cases": {case: {"groups": {}} for case in cases},
        "submissions": {team: {"name": team} for team in teams},
        "left_out": {},
        "code": {},
    }


def make_case(folder: Path, case: str, random: np.random.Generator) -> None:
    """Write a case of two ellipsoids."""
    gts = np.zeros(SHAPE, np.uint8)
    for label, x in ((1, 30), (2, 66)):
        gts[ellipsoid((16, 48, x), 6 + 8 * random.random(3))] = label
    image = Image(gts * 100, SPACING_MM, boxes_of(gts, case=case, seed=1))
    write_image(folder / f"{case}.image.npz", image)
    write_truth(folder / f"{case}.truth.npz", Truth(gts, spacing_mm=SPACING_MM))
    about = {
        "case": case,
        "shape": list(SHAPE),
        "spacing_mm": list(SPACING_MM),
        "labels": {"1": 1, "2": 2},
    }
    write_json(folder / f"{case}.json", about)


def ellipsoid(centre: tuple[int, int, int], radii: np.ndarray) -> np.ndarray:
    """Return a mask."""
    grid = np.indices(SHAPE).reshape(3, -1).T
    return ((((grid - centre) / radii) ** 2).sum(axis=1) < 1).reshape(SHAPE)


def write_session(
    results: Path, protocol: dict, team: str, case: str, random: np.random.Generator
) -> None:
    """Write the prompts, answers, records and scores of a session; the answers get nearer."""
    place = f"cvpr25/{team}/{case}"
    files = {kind: str(results / f"prepare/{case}.{kind}.npz") for kind in ("image", "truth")}
    answers = []
    for k, step in enumerate(steps(protocol), start=1):
        prompts_json = results / f"prompt/{place}/{k}.json"
        prompt_step.main(files, str(prompts_json), case, k, prompt_values(protocol, step, "cvpr25"))
        answer = results / f"predict/{place}/{k}.npz"
        segs = np.zeros(SHAPE, np.uint8)
        segs[ellipsoid((16, 48, 30), 6 + k + random.random(3))] = 1
        segs[ellipsoid((16, 48, 66), 6 + k + random.random(3))] = 2
        write_answer(answer, segs)
        record = {
            "case": case, "protocol": "cvpr25", "version": protocol["version"], "interaction": k,
            "status": "ok", "seconds": float(random.random()), "sha256": "0" * 64,
            "image_id": None, "answer_sha256": file_digest(answer),
            "ended": "2026-01-01T00:00:00+00:00",
        }  # fmt: skip
        write_json(answer.with_suffix(".json"), record)
        files |= {"prompts": str(prompts_json), "answer": str(answer)}
        answers.append(answer)
    score_step.main(
        {"image": files["image"], "truth": files["truth"], "answers": answers},
        str(results / f"score/{place}.csv"),
        protocol["metrics"],
    )


def main() -> None:
    """Make the run, then time both."""
    with tempfile.TemporaryDirectory() as name:
        results = Path(name, "results")
        values = make_run(results)
        started = time.perf_counter()
        archive = bundle.write(ROOT, results, Path(name, "bench.sha256"), values)
        archived = time.perf_counter()
        found = verify(archive, truth=results / "prepare")
        verified = time.perf_counter()
        assert not found.wrong, found.wrong[:5]
        size = archive.stat().st_size / 2**20
        print(f"archive: {archived - started:.1f} s, {size:.0f} MiB; goal: 60 s")
        print(f"verify with the truth: {verified - archived:.1f} s; goal: 120 s")


if __name__ == "__main__":
    main()
