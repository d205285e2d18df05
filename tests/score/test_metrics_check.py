"""Tests of what a protocol may ask for, and of the table in the documentation."""

import math
from pathlib import Path

import numpy as np
import pytest

from segarena.errors import CaseError, ConfigError
from segarena.score import score as notebook_score
from segarena.score.metrics import METRICS, check, score

DOCS = Path(__file__).parents[2] / "docs" / "metrics.md"


@pytest.mark.parametrize(
    ("metrics", "message"),
    [
        ([{"name": "DICE"}], r"metrics\.0\.name: no metric 'DICE'; known: DSC, IoU"),
        ([{"name": "DSC"}, {"name": "NSD"}], r"metrics\.1: NSD needs tolerance_mm"),
        ([{"name": "DSC", "tolerance_mm": 2}], r"metrics\.0\.tolerance_mm: DSC has no such"),
        ([{"name": "NSD", "tolerance_mm": 0}], r"metrics\.0\.tolerance_mm: is 0; a number above 0"),
        ([{"name": "NSD", "tolerance_mm": {1: 2}}], r"tolerance_mm: needs a `default`"),
        ([{"name": "HD", "points": "edges"}], r"points: is 'edges'; one of elements, voxels"),
        ([{"name": "HD95", "interpolation": "linear"}], r"linear knows no areas"),
        ([{"name": "HD"}, {"name": "HD", "points": "voxels"}], r"metrics\.1: HD is listed twice"),
    ],
)
def test_check_names_the_key_and_what_to_write(metrics, message):
    """What does not fit the catalogue is told with its key and what is expected there."""
    with pytest.raises(ConfigError, match=message):
        check(metrics)


def test_a_metric_listed_twice_takes_another_name():
    """`as` names the column, so that a metric can be measured with two tolerances."""
    labels = np.ones((1, 1, 2), np.uint8)
    metrics = [
        {"name": "NSD", "tolerance_mm": 1},
        {"name": "NSD", "tolerance_mm": 2, "as": "NSD2", "zero_unless": {"metric": "DSC"}},
    ]
    assert [s.metric for s in score(labels, labels, (1, 1, 1), metrics)] == ["NSD", "NSD2"]


def test_maps_of_different_shapes_are_refused():
    """Two shapes cannot be compared voxel by voxel."""
    with pytest.raises(CaseError, match="shapes"):
        score(np.ones((1, 1, 2), np.uint8), np.ones((1, 2, 1), np.uint8), (1, 1, 1), [])


def test_maps_that_are_no_label_maps_are_refused():
    """Probabilities and negative labels are not taken for labels."""
    for wrong in (np.full((1, 1, 2), 0.5), np.full((1, 1, 2), -1)):
        with pytest.raises(CaseError, match="whole numbers"):
            score(np.ones((1, 1, 2), np.uint8), wrong, (1, 1, 1), [])


def test_score_in_a_notebook_gives_a_tidy_table():
    """Two arrays give a row per label and metric, with the unit."""
    truth = np.zeros((1, 4, 4), np.uint8)
    truth[0, :2], truth[0, 2:] = 1, 2
    table = notebook_score(truth, truth, (1, 1, 1), [{"name": "DSC"}, {"name": "HD"}])
    assert list(table.columns) == ["label", "metric", "value", "unit"]
    assert table.to_numpy().tolist() == [
        [1, "DSC", 1.0, "1"],
        [1, "HD", 0.0, "mm"],
        [2, "DSC", 1.0, "1"],
        [2, "HD", 0.0, "mm"],
    ]


def test_score_reads_nifti_with_its_spacing(tmp_path):
    """Two NIfTI files (x, y, z) are measured with the spacing of their header."""
    import nibabel

    truth, answer = np.zeros((2, 9, 3, 3), np.uint8)
    truth[1, 1, 1] = answer[6, 1, 1] = 1
    affine = np.diag([0.75, 0.5, 3, 1])
    paths = tmp_path / "truth.nii.gz", tmp_path / "answer.nii.gz"
    for path, labels in zip(paths, (truth, answer), strict=True):
        nibabel.save(nibabel.Nifti1Image(labels, affine), path)
    table = notebook_score(*paths, metrics=[{"name": "HD"}])
    assert table["value"].tolist() == [pytest.approx(5 * 0.75)]


def test_score_refuses_nifti_of_another_space(tmp_path):
    """An answer on another grid is not compared voxel by voxel."""
    import nibabel

    labels = np.ones((2, 2, 2), np.uint8)
    paths = tmp_path / "truth.nii.gz", tmp_path / "answer.nii.gz"
    for path, shift in zip(paths, (0, 5), strict=True):
        affine = np.eye(4)
        affine[0, 3] = shift
        nibabel.save(nibabel.Nifti1Image(labels, affine), path)
    with pytest.raises(CaseError, match=r"answer\.nii\.gz: not in the space of"):
        notebook_score(*paths)


def test_score_needs_the_spacing_of_arrays():
    """Arrays do not know their spacing."""
    with pytest.raises(CaseError, match="spacing_mm"):
        notebook_score(np.ones((1, 1, 1), np.uint8), np.ones((1, 1, 1), np.uint8))


def shown(value):
    if value is None:
        return "counted"
    if math.isnan(value):
        return "nan"
    return f"{value:g}"


def shown_parameters(parameters):
    one_of = [name for name, p in parameters.items() if p.one_of]
    single = [
        f"`{name}`" + ("" if p.default is None else f" = {p.default}")
        for name, p in parameters.items()
        if not p.one_of
    ]
    choice = [f"one of {', '.join(f'`{name}`' for name in one_of)}"] if one_of else []
    return "; ".join([*choice, ", ".join(single)] if single else choice)


def test_the_documented_table_is_the_catalogue():
    """docs/metrics.md has one row per metric, with the catalogue's facts."""
    lines = DOCS.read_text(encoding="utf-8").splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("| metric | unit"))
    rows = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    expected = [
        [
            m.name,
            m.unit,
            {True: "larger", False: "smaller", None: "near 0"}[m.larger_is_better],
            f"{shown(m.range[0])} to {shown(m.range[1])}",
            m.needs,
            shown(m.empty_answer),
            shown(m.empty_truth),
            shown(m.both_empty),
            shown_parameters(m.parameters) or "none",
        ]
        for m in METRICS.values()
    ]
    assert rows == expected
