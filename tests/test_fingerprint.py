"""Tests of the fingerprint: what it measures, asks, recommends and warns of."""

import nibabel
import numpy as np
import pytest
import yaml

from segarena import fingerprint
from segarena.cli import main
from segarena.errors import ConfigError
from segarena.fingerprint import QUESTIONS, about_cases, measured, questions, recommended, warned
from segarena.protocol import load

NO_ANSWERS = dict.fromkeys(QUESTIONS)


def write_run(folder, labels, spacing_mm=(1, 1, 1), sheet=None):
    """Write a config whose cases have these label maps (z, y, x), and go there."""
    for kind in ("images", "labels", "submissions"):
        (folder / kind).mkdir()
    (folder / "submissions" / "none").mkdir()
    (folder / "submissions" / "none" / "predict.sh").write_text("exit 0\n")
    affine = np.diag([*spacing_mm[::-1], 1])
    for number, one in enumerate(labels):
        for kind, array in (("images", one * 9), ("labels", one)):
            path = folder / kind / f"case{number}.nii.gz"
            nibabel.save(nibabel.Nifti1Image(array.T, affine), path)
    config = {
        "cases": {"images": "images", "labels": "labels"},
        "submissions": "submissions",
        "protocols": ["cvpr25"],
        "runtime": "process",
    }
    if sheet:
        (folder / "cases.tsv").write_text(sheet)
        config["sheets"] = {"cases": "cases.tsv"}
    (folder / "config").mkdir()
    (folder / "config" / "config.yaml").write_text(yaml.safe_dump(config))
    return config


def read_run(folder, monkeypatch, labels, **given):
    from segarena.config import read

    config = write_run(folder, labels, **given)
    monkeypatch.chdir(folder)
    return read(config)


@pytest.fixture
def organ():
    """A box of 10 x 12 x 14 voxels, far from the edge."""
    labels = np.zeros((20, 24, 26), np.uint8)
    labels[5:15, 6:18, 6:20] = 1
    return labels


@pytest.fixture
def dots():
    """Six single voxels, apart from each other."""
    labels = np.zeros((20, 24, 26), np.uint8)
    labels[2:18:6, 3:20:10, 4] = 1
    return labels


@pytest.fixture
def tube():
    """A straight tube of 3 x 3 x 48 voxels."""
    labels = np.zeros((9, 9, 52), np.uint8)
    labels[3:6, 3:6, 2:50] = 1
    return labels


def test_what_is_measured_of_a_box(tmp_path, monkeypatch, organ):
    """Voxels, thickness, inscribed ball and eroded Dice have closed forms for a box."""
    data = measured(read_run(tmp_path, monkeypatch, [organ], spacing_mm=(2, 1, 1)))
    (label,) = data.labels
    assert (data.cases, data.largest_mm, data.anisotropy) == (1, [2, 1, 1], 2)
    assert label.voxels == [1680] * 3
    assert label.thickness_mm == 2 * 6  # 5 voxels of 2 mm deep, 6 of 1 mm
    assert label.thickness_voxels[1] == 2 * 6 / 2
    assert label.over_inscribed_ball[1] == pytest.approx(1680 * 2 / (4 / 3 * np.pi * 6**3))
    assert label.dsc_of_one_voxel == pytest.approx(2 * 960 / (1680 + 960))
    assert (label.components[1], label.touching, label.at_the_edge) == (1, 0, 0)
    assert not (label.is_small or label.is_tube or label.has_many)


def test_kinds_of_labels(tmp_path, monkeypatch, dots, tube):
    """Many single voxels are small and many; a long thin structure is a tube."""
    data = measured(read_run(tmp_path, monkeypatch, [dots, dots]))
    assert data.labels[0].is_small and data.labels[0].has_many and not data.labels[0].is_tube
    (tmp_path / "tube").mkdir()
    (label,) = measured(read_run(tmp_path / "tube", monkeypatch, [tube])).labels
    assert label.is_tube and not label.has_many
    assert label.over_inscribed_ball[1] == pytest.approx(432 / (4 / 3 * np.pi * 2**3))


def test_labels_that_touch_and_the_edge(tmp_path, monkeypatch):
    """Two labels side by side touch; one that begins at the first voxel is at the edge."""
    labels = np.zeros((6, 6, 12), np.uint8)
    labels[:, 1:4, :5], labels[2:4, 2:4, 5:8], labels[2:4, 2:4, 9:11] = 1, 2, 3
    data = measured(read_run(tmp_path, monkeypatch, [labels]))
    assert [one.touching for one in data.labels] == [1, 1, 0]
    assert [one.at_the_edge for one in data.labels] == [1, 0, 0]


def test_recommendations_follow_the_data_and_the_answers(tmp_path, monkeypatch, dots):
    """Many small objects get metrics of objects; an exact outline that matters, BoundaryIoU."""
    data = measured(read_run(tmp_path, monkeypatch, [dots]))
    names = [metric for metric, _ in recommended(data, NO_ANSWERS)]
    assert "F1, LesionRecall, FPVolume, FNVolume" in names and "NSD or MASD alone" in names
    exact = NO_ANSWERS | {"boundary_matters": True, "annotation_imprecise": False}
    assert "BoundaryIoU" in [metric for metric, _ in recommended(data, exact)]
    noisy = [m for m, _ in recommended(data, NO_ANSWERS | {"annotation_imprecise": True})]
    assert "DSC" not in noisy
    worse = [m for m, _ in recommended(data, NO_ANSWERS | {"missed_is_worse": 3})]
    assert "FBeta, beta: 3" in worse


def changed(**values):
    return load("cvpr25") | values


@pytest.mark.parametrize(
    ("metrics", "ranked", "message"),
    [
        ([{"name": "DSC"}, {"name": "IoU"}], ["DSC_Final", "IoU_AUC"], "DSC and IoU rank nearly"),
        ([{"name": "HD95"}], ["HD95_Final"], "HD95: is infinite for an empty answer"),
        (
            [{"name": "NSD", "tolerance_mm": 0.4}],
            ["NSD_AUC"],
            "0.4 mm is below half of the largest",
        ),
        ([{"name": "NSD", "tolerance_mm": 3}], ["NSD_AUC"], "3 mm is above half of the median"),
        ([{"name": "DSC"}], ["DSC_AUC"], "no metric of objects: label 1"),
        ([{"name": "DSC"}], ["DSC_AUC"], "DSC alone: label 1: one voxel of the rim is up to 1.00"),
        ([{"name": "Components"}], ["Components_AUC"], "Components: label 1: fewer is not better"),
    ],
)
def test_warnings(tmp_path, monkeypatch, dots, metrics, ranked, message):
    """Each choice that does not suit many small objects is warned about, with the reason."""
    data = measured(read_run(tmp_path, monkeypatch, [dots]))
    protocol = changed(metrics=metrics, ranking={"metrics": ranked, "scheme": "rank_then_mean"})
    assert any(message in text for text in warned(protocol, data, NO_ANSWERS))


def test_a_protocol_that_suits_has_no_warning(tmp_path, monkeypatch, organ):
    """DSC and NSD of 2 mm suit an organ of many voxels."""
    data = measured(read_run(tmp_path, monkeypatch, [organ]))
    assert list(warned(load("cvpr25"), data, NO_ANSWERS)) == []


def test_a_tube_needs_its_centre_line(tmp_path, monkeypatch, tube):
    """DSC without clDice is warned about for a tube."""
    data = measured(read_run(tmp_path, monkeypatch, [tube]))
    assert any("no clDice: label 1" in text for text in warned(load("cvpr25"), data, NO_ANSWERS))


def test_cases_of_one_person_are_not_independent(tmp_path, monkeypatch, organ):
    """Several cases of a subject, and fewer than ten cases, are named."""
    sheet = "case\tsubject\ncase0\tanna\ncase1\tanna\ncase2\tben\n"
    config = read_run(tmp_path, monkeypatch, [organ] * 3, sheet=sheet)
    few, several = about_cases(config)
    assert "fewer than 10 cases" in few
    assert "subjects with more than one case: 1, such as anna" in several


def test_the_command_writes_what_it_measured_and_what_it_asks(tmp_path, monkeypatch, capsys, organ):
    """The questions are written once and kept; --strict fails on a warning."""
    write_run(tmp_path, [organ])
    monkeypatch.chdir(tmp_path)
    assert main(["fingerprint"]) == 0
    printed = capsys.readouterr().out
    assert "DSC: the default" in printed and "fewer than 10 cases" in printed
    assert "not answered in config/fingerprint.yaml: boundary_matters" in printed
    asked = tmp_path / "config" / "fingerprint.yaml"
    assert questions(asked) == NO_ANSWERS
    asked.write_text("volume_matters: true\n")
    assert main(["fingerprint", "--strict"]) == 1
    assert "RVD, VD_ml" in capsys.readouterr().out
    written = yaml.safe_load((tmp_path / fingerprint.MEASURED).read_text())
    assert written["asked"]["volume_matters"] is True
    assert written["measured"]["labels"][0]["voxels"] == [1680] * 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- true\n", "one line per question is expected"),
        ("colour: true\n", "colour: no such question; known: boundary_matters"),
        ("volume_matters: 3\n", "volume_matters: is 3; true, false or null is expected"),
        ("missed_is_worse: 0.5\n", "missed_is_worse: is 0.5; a number above 1"),
        ("missed_is_worse: true\n", "missed_is_worse: is True; a number above 1"),
        ("a: [", "not readable as YAML"),
    ],
)
def test_answers_that_are_none(tmp_path, text, message):
    """A file of answers that cannot be used is one line with the question and what is expected."""
    path = tmp_path / "fingerprint.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        questions(path)


def test_raters_propose_the_tolerance_and_warn_of_one_below_it(organ):
    """Boxes of which one is 2 voxels longer: most surfaces agree, the far side is 2 mm off."""
    longer = organ.copy()
    longer[:, :, 20:22] = organ[:, :, 18:20]
    shifted = np.roll(organ, 2, axis=2)
    found = fingerprint._agreement([organ, shifted], 1, (1.0, 1.0, 1.0))
    assert found["dsc_of_raters"] == pytest.approx(12 / 14)
    assert found["p95_mm"] == pytest.approx(2)
    nearer = fingerprint._agreement([organ, organ, longer], 1, (1.0, 1.0, 1.0))
    assert nearer["raters"] == 3 and nearer["median_mm"] == 0
    assert nearer["dsc_of_raters"] == pytest.approx((1 + 2 * 28 / 30) / 3)
    assert fingerprint._agreement([organ], 1, (1.0, 1.0, 1.0)) == {}


def test_cases_of_several_raters_are_measured_from_their_files(tmp_path, monkeypatch, organ):
    """Unprepared cases take the config's consensus; the median distance becomes the tolerance."""
    from segarena.config import read

    config = write_run(tmp_path, [organ])
    monkeypatch.chdir(tmp_path)
    for rater, shift in (("anna", 0), ("ben", 0), ("chris", 3)):
        (tmp_path / rater).mkdir()
        one = nibabel.Nifti1Image(np.roll(organ, shift, axis=2).T, np.eye(4))
        nibabel.save(one, tmp_path / rater / "case0.nii.gz")
    config["cases"]["labels"] = {name: name for name in ("anna", "ben", "chris")}
    found = measured(read(config))
    (label,) = found.labels
    assert (label.raters, label.voxels[1]) == (3, organ.sum())
    middle, most = label.surface_mm_of_raters
    assert middle == 0 < most  # most faces are the same, and a tolerance of 0 would measure nothing
    assert f"NSD, tolerance_mm: {most:.2g}" in dict(recommended(found, NO_ANSWERS))
