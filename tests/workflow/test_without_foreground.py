"""A case without any label, such as a tumour-free one, from its files to the archive."""

import csv
import json
import math
from pathlib import Path

import nibabel
import numpy as np
import pytest
from arena import Arena, new_arena

from segarena.archive.verify import verify

# Answers 1 and 2 where the image is bright; "eager" adds a cube of label 1 in the corner until a
# background click tells it not to, whether or not it is asked for anything.
READS = """
import glob, os
import numpy as np
for path in glob.glob(os.path.join(os.environ["INPUTS"], "*.npz")):
    case = np.load(path, allow_pickle=True)
    segs = ((case["imgs"].astype(int) + 50) // 80).astype(np.uint8)
    clicks = case["clicks"] if "clicks" in case.files else ()
    if EAGER and not any(one["bg"] for one in clicks):
        segs[:3, :3, :3] = 1
    np.savez_compressed(os.path.join(os.environ["OUTPUTS"], os.path.basename(path)), segs=segs)
"""
SHAPE = (20, 16, 12)  # x, y, z, in mm
DIAGONAL = math.sqrt(20**2 + 16**2 + 12**2)
USER = [
    {"prompt": "box", "times": 1},
    {"prompt": "click", "times": 2, "rule": "largest_error"},
]
RULED = [
    {"name": "DSC", "empty": "brats2023"},
    {"name": "HD95", "empty": {"both": 0, "truth": "image_diagonal"}},
    {"name": "IoU"},
]


def lesions(*, any_there: bool) -> np.ndarray:
    """Return a label map (x, y, z) of the ids 1 and 4, or an empty one."""
    labels = np.zeros(SHAPE, np.uint8)
    if any_there:
        labels[6:12, 5:11, 5:10], labels[13:18, 5:11, 5:10] = 1, 4
    return labels


def arena_with_cases(folder: Path) -> Arena:
    """Return an arena with a case of two labels and one of none, and two submissions."""
    arena = new_arena(folder)
    for name, any_there in (("ill", True), ("well", False)):
        labels = lesions(any_there=any_there)
        numbers = np.searchsorted([0, 1, 4], labels)
        for kind, data in (("images", (numbers * 80).astype(np.uint8)), ("labels", labels)):
            image = nibabel.Nifti1Image(data, np.eye(4))
            nibabel.save(image, arena.folder_of(kind) / f"{name}.nii.gz")
    (arena.work / "cases.tsv").write_text("case\twindow\nill\t127.5/255\nwell\t127.5/255\n")
    sheet = "label\tname\tmembers\n1\tcore\t\n4\trim\t\nWT\twhole tumour\t1+4\n"
    (arena.work / "labels.tsv").write_text(sheet)
    arena.config["sheets"] = {"cases": "cases.tsv", "labels": "labels.tsv"}
    arena.add_submission("careful", f"EAGER = False\n{READS}")
    arena.add_submission("eager", f"EAGER = True\n{READS}")
    return arena


@pytest.fixture(scope="module")
def finished_run(tmp_path_factory: pytest.TempPathFactory) -> Arena:
    """A run with two protocols: `ruled` says what the empty case counts, `plain` does not."""
    arena = arena_with_cases(tmp_path_factory.mktemp("empty"))
    columns = ["DSC_Final", "DSC_2", "IoU_Final", "HD95_2"]
    ranking = {"metrics": columns, "scheme": "mean_then_rank", "bootstraps": 20}
    ranking["by"] = ["core", "WT"]
    arena.add_protocol(name="ruled", user=USER, metrics=RULED, ranking=ranking)
    (ruled,) = arena.config["protocols"]
    arena.config["archive"] = {"answers": "all"}
    arena.run("all", "archive")
    arena.add_protocol(name="plain", user=USER)
    arena.config["protocols"].append(ruled)
    arena.run("results/rank/plain/leaderboard.csv")
    return arena


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_labels_that_the_case_could_have_are_asked_for(finished_run: Arena):
    """The case has no box; its JSON has the numbers and ids of the sheet, and a warning."""
    about = json.loads(finished_run.path("prepare", "well.json").read_text())
    assert about["labels"] == {"1": 1, "2": 4}
    assert about["box"] is False
    line = "well.nii.gz: the label map is empty: it is asked for the labels of the sheet (1, 4)"
    assert any(line in warning for warning in about["warnings"])


def test_a_submission_is_asked_without_prompts_and_then_corrected(finished_run: Arena):
    """There is nothing to box or click on; what is invented gets a background click."""
    folder = finished_run.path("prompt", "ruled", "eager", "well")
    first, second, third = (json.loads((folder / f"{k}.json").read_text()) for k in (1, 2, 3))
    assert [one["asked"] for one in (first, second, third)] == [False, True, True]
    assert second["labels"] == [1, 2]
    assert second["clicks"] == [{"fg": [], "bg": []}] * 2
    (voxel,) = third["clicks"][0]["bg"]
    assert max(voxel) < 3
    assert third["clicks"][1] == {"fg": [], "bg": []}
    careful = finished_run.path("prompt", "ruled", "careful", "well", "3.json")
    assert json.loads(careful.read_text())["clicks"] == [{"fg": [], "bg": []}] * 2


@pytest.mark.parametrize(
    ("submission", "dsc", "hd95"),
    [("careful", 1.0, 0.0), ("eager", 0.5, DIAGONAL / 2)],
)
def test_scores_are_what_the_rule_says(
    finished_run: Arena, submission: str, dsc: float, hd95: float
):
    """One of two labels invented: half of the labels count 0, and the diagonal."""
    _, well = table(finished_run.path("score", "ruled", f"{submission}_metrics.csv"))
    assert well["CaseName"] == "well.npz"
    assert float(well["DSC_2"]) == dsc
    assert float(well["HD95_2"]) == pytest.approx(hd95, abs=1e-12)
    assert float(well["DSC_3"]) == 1.0  # the background click was heeded
    assert math.isnan(float(well["IoU_Final"]))
    assert well["num_class"] == "2"
    rows = table(finished_run.path("score", "ruled", submission, "well.csv"))
    assert "invented_voxels" not in {row["metric"] for row in rows}
    whole = {row["interaction"]: row["value"] for row in rows if row["label"] == "WT"
             and row["metric"] == "DSC"}  # fmt: skip
    assert float(whole["2"]) == (1.0 if submission == "careful" else 0.0)


@pytest.mark.parametrize(
    ("protocol", "column", "cases"),
    [("ruled", "DSC_Final", 2), ("ruled", "IoU_Final", 1), ("plain", "DSC_Final", 1)],
)
def test_a_metric_without_a_rule_leaves_the_case_out(
    finished_run: Arena, protocol: str, column: str, cases: int
):
    """The table says over how many cases each mean is; missing.csv says which were left out."""
    for row in table(finished_run.path("rank", protocol, "leaderboard.csv")):
        assert int(row[f"{column}_cases"]) == cases
    out = [row for row in table(finished_run.path("rank", protocol, "missing.csv"))
           if row["metric"] == column]  # fmt: skip
    expected = [] if cases == 2 else [("careful", "well"), ("eager", "well")]
    assert [(row["submission"], row["case"]) for row in out] == expected
    assert {(row["policy"], row["value"]) for row in out} <= {("not counted", "")}


def test_who_invents_nothing_is_first(finished_run: Arena):
    """By DSC after the second interaction, over all labels, by the core and by the whole tumour."""
    rows = table(finished_run.path("rank", "ruled", "schemes.csv"))
    chosen = {"metric": "DSC_2", "scheme": "mean_then_rank"}
    ranks = {
        (row["subgroup"], row["submission"]): int(row["rank"])
        for row in rows
        if chosen.items() <= row.items()
    }
    for subgroup in ("all", "label: 1 (core)", "region: WT (whole tumour)"):
        assert (ranks[subgroup, "careful"], ranks[subgroup, "eager"]) == (1, 2)


def test_the_run_ends_in_a_report_and_an_archive_that_verifies(finished_run: Arena):
    """The page shows both cases; every score, prompt and rank can be computed again."""
    assert "well" in finished_run.path("report", "ruled", "index.html").read_text()
    (archive,) = finished_run.path("archive").glob("segarena-????-??-??.zip")
    assert verify(archive, truth=finished_run.path("prepare")).wrong == []


def test_without_a_rule_the_case_is_rejected_in_one_line(tmp_path: Path):
    """No protocol says what it counts, so it cannot be used; the line says what to do."""
    arena = arena_with_cases(tmp_path)
    printed = arena.run("results/prepare/cases.tsv", expect=1)
    lines = [line for line in printed.splitlines() if "well.nii.gz: the label map is empty" in line]
    assert lines
    assert "(`empty`, docs/protocols.md)" in lines[-1]
