"""A label keeps the id of its file for everybody but the submission."""

import csv
import json
import re

import nibabel
import numpy as np
import pytest
from arena import Arena, new_arena

# Answers with what the image shows: 100 for the first label that it is asked for, 200 the second.
READS = """
import glob, os
import numpy as np
for path in glob.glob(os.path.join(os.environ["INPUTS"], "*.npz")):
    case = np.load(path, allow_pickle=True)
    segs = ((case["imgs"].astype(int) + 50) // 80).astype(np.uint8)
    np.savez_compressed(os.path.join(os.environ["OUTPUTS"], os.path.basename(path)), segs=segs)
"""
CASES = {"gap": (1, 4), "whole": (1, 2, 4)}
MOVED_MM = 3


def organs(ids: tuple[int, ...]) -> np.ndarray:
    """Return a label map (X, Y, Z) of 1 mm voxels with one cuboid per id."""
    labels = np.zeros((40, 40, 12), np.uint8)
    for i, label in enumerate(ids):
        labels[5:15, 3 + 12 * i : 11 + 12 * i, 2:10] = label
    return labels


@pytest.fixture(scope="module")
def finished_run(tmp_path_factory: pytest.TempPathFactory) -> Arena:
    """Two NIfTI cases of which one lacks an organ; every organ is answered 3 mm beside itself."""
    arena = new_arena(tmp_path_factory.mktemp("labels"))
    for name, ids in CASES.items():
        labels = organs(ids)
        numbers = np.searchsorted([0, *ids], np.roll(labels, MOVED_MM, axis=0))
        for kind, data in (("images", (numbers * 80).astype(np.uint8)), ("labels", labels)):
            image = nibabel.Nifti1Image(data, np.eye(4))
            nibabel.save(image, arena.folder_of(kind) / f"{name}.nii.gz")
    sheet = "case\twindow\n" + "".join(f"{name}\t127.5/255\n" for name in CASES)
    (arena.work / "cases.tsv").write_text(sheet)
    regions = "label\tname\tmembers\n4\tspleen\t\nBOTH\tfirst and last\t1+4\nMID\t\t2+77\n"
    (arena.work / "labels.tsv").write_text(regions)
    arena.config["sheets"] = {"cases": "cases.tsv", "labels": "labels.tsv"}
    arena.add_submission("reader", READS)
    arena.add_protocol(
        metrics=[{"name": "DSC"}, {"name": "NSD", "tolerance_mm": {4: 5, "default": 1}}]
    )
    arena.run("results/score/short/reader_metrics.csv")
    return arena


def values(arena: Arena, case: str, metric: str) -> dict[int, float]:
    """Return a metric's value by label, as the last interaction's rows have it."""
    path = arena.path("score", "short", "reader", f"{case}.csv")
    with path.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["metric"] == metric]
    return {row["label"]: float(row["value"]) for row in rows}


@pytest.mark.parametrize(("case", "ids"), CASES.items())
def test_a_tolerance_for_an_organ_is_that_organs_in_every_case(finished_run, case, ids):
    """Organ 4, 3 mm away with 5 mm allowed, has NSD 1 whether or not others are there."""
    nsd = values(finished_run, case, "NSD")
    regions = ["BOTH", "MID"] if 2 in ids else ["BOTH"]
    assert list(nsd) == [*map(str, ids), *regions]
    assert nsd.pop("4") == 1.0
    assert all(0 < value < 0.9 for value in nsd.values())
    assert list(values(finished_run, case, "DSC").values()) == pytest.approx(
        [0.7] * len(nsd) + [0.7]
    )


def table(arena: Arena, kind: str) -> list[dict[str, str]]:
    with arena.path("score", "short", f"reader_{kind}.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_cases_mean_is_over_its_labels_alone(finished_run):
    """Regions have rows of their own, and are no part of the case's mean or number of labels."""
    for case, row in zip(CASES, table(finished_run, "metrics"), strict=True):
        nsd = values(finished_run, case, "NSD")
        expected = [nsd[str(label)] for label in CASES[case]]
        assert float(row["NSD_Final"]) == pytest.approx(sum(expected) / len(expected))
        assert row["num_class"] == str(len(CASES[case]))


def test_each_label_and_region_has_its_row_over_all_cases(finished_run):
    """Organ 2 and the region of it are in one case, the others in two."""
    found = {(row["label"], row["name"]): row for row in table(finished_run, "labels")}
    cases = {("1", ""): 2, ("2", ""): 1, ("4", "spleen"): 2, ("BOTH", "first and last"): 2}
    cases["MID", "MID"] = 1
    assert {key: int(row["cases"]) for key, row in found.items()} == cases
    assert all(float(row["mean"]) > 0 for row in found.values())


def test_a_protocol_may_take_a_cases_mean_over_its_regions(finished_run, tmp_path):
    """over: regions scores nothing again; the region's value is then the case's."""
    arena = finished_run.copy(tmp_path)
    arena.add_protocol(
        metrics=[{"name": "DSC"}, {"name": "NSD", "tolerance_mm": {4: 5, "default": 1}}],
        over="regions",
    )
    assert arena.plan().get("session_short", 0) == 0
    arena.run("results/score/short/reader_metrics.csv")
    (gap, _) = table(arena, "metrics")
    assert float(gap["NSD_Final"]) == values(arena, "gap", "NSD")["BOTH"]
    assert gap["num_class"] == "2"


@pytest.mark.parametrize(("case", "ids"), CASES.items())
def test_the_map_from_numbers_to_ids_stands_beside_the_case(finished_run, case, ids):
    """Submissions are asked for 1..n; the case's JSON says which id each is."""
    about = json.loads(finished_run.path("prepare", f"{case}.json").read_text())
    assert about["labels"] == {str(number): label for number, label in enumerate(ids, start=1)}
    prompts = json.loads(finished_run.path("prompt", "short", "reader", case, "1.json").read_text())
    assert prompts["labels"] == list(range(1, len(ids) + 1))


def test_slices_are_named_and_scored_by_the_labels_id(finished_run, tmp_path):
    """The slice of organ 4 is CASE__4 with or without an organ 2, and so is its row."""
    arena = finished_run.copy(tmp_path)
    (arena.work / "cases.tsv").unlink()
    del arena.config["sheets"]
    arena.config["slices"] = {"rule": "largest"}
    arena.run("results/prepare/cases.tsv", "results/score/short/reader/gap__4.csv")
    made = {path.stem for path in arena.path("prepare").glob("*__*.json")}
    assert made == {"gap__1", "gap__4", "whole__1", "whole__2", "whole__4"}
    assert list(values(arena, "gap__4", "NSD")) == ["4"]


def test_labels_and_regions_have_names_in_a_protocol(finished_run, tmp_path):
    """The spleen is organ 4, MID a region: as keys of tolerances, and each ranked on its own."""
    arena = finished_run.copy(tmp_path)
    tolerance = {"spleen": 5, "first and last": 2, "MID": 9, "default": 1}
    arena.add_protocol(
        metrics=[{"name": "DSC"}, {"name": "NSD", "tolerance_mm": tolerance}],
        ranking={"metrics": ["NSD_Final"], "scheme": "mean_then_rank", "by": ["spleen", "MID", 2]},
    )
    arena.run("results/rank/short/leaderboard.csv")
    nsd = values(arena, "whole", "NSD")
    assert nsd["4"] == nsd["MID"] == 1.0
    assert values(finished_run, "whole", "NSD")["BOTH"] < nsd["BOTH"] < 1.0
    with arena.path("rank", "short", "labels.csv").open(newline="") as file:
        boards = {row["label"]: row for row in csv.DictReader(file)}
    assert {key: int(row["NSD_Final_cases"]) for key, row in boards.items()} == {
        "4": 2, "MID": 1, "2": 1
    }  # fmt: skip
    assert boards["4"]["subgroup"] == "label: 4 (spleen)"
    assert float(boards["4"]["NSD_Final_mean"]) == 1.0
    assert float(boards["2"]["NSD_Final_mean"]) == nsd["2"]


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"by": ["liver"]}, r"ranking\.by: 'liver' is no label and no region; known: 4 \(spleen\)"),
        ({"by": [4, "spleen"]}, r"ranking\.by: 4 is listed twice"),
        ({"by": [3]}, r"ranking\.by\.0: no case has a label 3; the labels are 1, 2, 4"),
        ({"metrics": ["VD_ml_Final"]}, r"ranking\.metrics: VD_ml_Final is best near 0"),
        ({"metrics": ["DSC_3"]}, r"ranking\.metrics: no column 'DSC_3'"),
    ],
)
def test_a_ranking_that_cannot_be_is_one_line_at_the_start(finished_run, tmp_path, changes, line):
    """Nothing is planned; the line has the key and what to write instead."""
    arena = finished_run.copy(tmp_path)
    ranking = {"metrics": ["DSC_Final"], "scheme": "mean_then_rank", **changes}
    arena.add_protocol(metrics=[{"name": "DSC"}, {"name": "VD_ml"}], ranking=ranking)
    printed = arena.run("--dry-run", expect=1)
    (told,) = [one for one in printed.splitlines() if one.startswith("segarena: ")]
    assert re.search(line, told)
