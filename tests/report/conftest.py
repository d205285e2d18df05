"""A small finished run, made without a workflow, and a real browser to look at its report."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from segarena.case import Image, Truth, write_answer, write_image, write_truth
from segarena.files import write_json
from segarena.protocol import load
from segarena.rank.outputs import rank_scores
from segarena.rank.tables import write_table
from segarena.report import answer_pictures_step, case_picture_step
from segarena.report import step as report_step

HOSTILE = "<img src=x onerror=alert(1)>"
HOSTILE_MESSAGE = "</script><script>alert(2)</script>"
HOSTILE_LABEL = "<b>liver</b>"
TEAMS = {"alpha": 0.9, "beta": 0.7, "gamma": 0.5}
NAMES = {"alpha": "alpha", "beta": HOSTILE, "gamma": "Gamma ${alert(3)} {{ 7 * 7 }}"}
MODALITIES = {"a": "CT", "b": "CT", "c": "MR", "d": "MR", "e": "MR"}
SHAPE = (6, 20, 16)
LEFT_OUT = {"delta": "it does not accept clicks <segarena.yaml>"}


def write_run(folder: Path) -> Path:
    """Write results/ of a run of three teams on five cases, with one failed answer."""
    results = folder / "results"
    protocol = load("cvpr25")
    gts = np.zeros(SHAPE, np.uint8)
    gts[1:5, 4:14, 4:12] = 1
    box = {"z_min": 1, "z_max": 4, "z_mid": 3, "z_mid_x_min": 4, "z_mid_x_max": 11}
    box |= {"z_mid_y_min": 4, "z_mid_y_max": 13}
    image = Image(np.full(SHAPE, 90, np.uint8), (2.0, 1.0, 1.0), [box])
    for case in MODALITIES:
        write_image(results / "prepare" / f"{case}.image.npz", image)
        truth = Truth(gts, label_ids={1: 4}, spacing_mm=image.spacing_mm)
        write_truth(results / "prepare" / f"{case}.truth.npz", truth)
    scores = results / "score" / "cvpr25" / "beta" / "b.csv"
    scores.parent.mkdir(parents=True)
    rows = ["5,4,DSC,0.7", "6,4,DSC,0.7", "6,2,invented_voxels,9.0", "6,3,invented_voxels,1.0"]
    scores.write_text("\n".join(["interaction,label,metric,value", *rows, ""]))
    parts = []
    for team, quality in TEAMS.items():
        table = pd.DataFrame([_row(case, i, quality) for i, case in enumerate(MODALITIES)])
        place = results / "score" / "cvpr25" / f"{team}_metrics.csv"
        place.parent.mkdir(parents=True, exist_ok=True)
        table.to_csv(place, index=False)
        parts.append(table.assign(submission=team, case=list(MODALITIES)))
        labels = [["4", "DSC", 5, quality], ["4", "NSD", 5, 0.5], ["WT", "DSC", 3, quality]]
        labels = pd.DataFrame(labels, columns=["label", "metric", "cases", "mean"])
        labels.to_csv(place.with_name(f"{team}_labels.csv"), index=False)
        for case in MODALITIES:
            _write_session(results, team, case, gts)
    groups = pd.DataFrame(
        {"case": list(MODALITIES), "subgroup": [f"modality: {m}" for m in MODALITIES.values()]}
    )
    rank_scores(
        pd.concat(parts, ignore_index=True),
        results / "rank" / "cvpr25",
        metrics=protocol["ranking"]["metrics"],
        deciding_scheme=protocol["ranking"]["scheme"],
        protocol="cvpr25",
        protocol_version=1,
        seed=42,
        subgroups=groups,
        bootstraps=50,
    )
    reasons = pd.DataFrame(LEFT_OUT.items(), columns=["submission", "reason"])
    write_table(reasons, results / "rank" / "cvpr25" / "left_out", {})
    columns = ["submission", "metric", "mean", "standard_deviation"]
    write_table(pd.DataFrame(columns=columns), results / "rank" / "cvpr25" / "spread", {})
    return results


def _row(case: str, i: int, quality: float) -> dict[str, float | str]:
    # The better a team, the longer it takes, so that sorting by time turns the order round.
    series = {k: quality + 0.01 * k - 0.02 * i for k in range(1, 7)}
    row: dict[str, float | str] = {"CaseName": f"{case}.npz", "TotalRunningTime": 60 * quality + i}
    row |= {f"RunningTime_{k}": 10 * quality if (case, k) != ("d", 6) else 0 for k in series}
    for metric in ("DSC", "NSD"):
        row |= {f"{metric}_{k}": value for k, value in series.items()}
        row |= {f"{metric}_AUC": 4 * quality - 0.08 * i, f"{metric}_Final": series[6]}
    return row


def _write_session(results: Path, team: str, case: str, gts: np.ndarray) -> None:
    prompts = {"labels": [1], "boxes": None, "clicks": [{"fg": [[3, 9, 8]], "bg": []}]}
    for k in range(1, 7):
        failed = (team, case, k) == ("beta", "c", 2)
        write_json(results / "prompt" / "cvpr25" / team / case / f"{k}.json", prompts)
        folder = results / "predict" / "cvpr25" / team / case
        write_answer(folder / f"{k}.npz", np.roll(gts, 6 - k, axis=2))
        record = {"status": "failed" if failed else "ok", "case": case, "interaction": k}
        write_json(folder / f"{k}.json", {**record, "message": HOSTILE_MESSAGE if failed else ""})


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run with its report."""
    folder = tmp_path_factory.mktemp("run")
    results = write_run(folder)
    report = results / "report" / "cvpr25"
    for case in MODALITIES:
        prepared = results / "prepare" / case
        case_picture_step.main(
            {"image": f"{prepared}.image.npz", "truth": f"{prepared}.truth.npz"},
            {
                "image": report / "cases" / f"{case}.webp",
                "truth": report / "cases" / f"{case}.truth.png",
                "about": report / "cases" / f"{case}.js",
            },
            case=case,
            colours={},
        )
    for team in TEAMS:
        answer_pictures_step.main(
            results,
            {kind: report / kind / team for kind in ("answers", "errors")},
            protocol="cvpr25",
            submission=team,
            cases=list(MODALITIES),
            interactions=6,
            keep_answers="all",
            colours={},
        )
    labels = {"4": {"name": HOSTILE_LABEL}, "WT": {"name": "whole", "members": [4]}}
    report_step.main(
        sorted(map(str, (results / "score" / "cvpr25").glob("*_metrics.csv"))),
        results,
        protocol={**load("cvpr25"), "labels": labels},
        names=NAMES,
        groups={case: {"modality": value} for case, value in MODALITIES.items()},
        viewer=True,
    )
    return folder


@pytest.fixture(scope="session")
def page_file(run_folder: Path) -> Path:
    return run_folder / "results" / "report" / "cvpr25" / "index.html"
