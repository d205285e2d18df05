"""What does not fit together is told before any job: protocols, cases and submissions."""

import os
from pathlib import Path

import numpy as np
import pytest
import yaml

from segarena.config import read
from segarena.errors import CaseError, ConfigError
from segarena.protocol import load


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict:
    """A config with a case of the labels 1 and 3 and one submission."""
    monkeypatch.chdir(tmp_path)
    for folder in ("images", "labels", "submissions/ada"):
        (tmp_path / folder).mkdir(parents=True)
    gts = np.zeros((2, 4, 4), np.uint8)
    gts[0, 0, 0], gts[1, 2, 2] = 1, 3
    np.savez(tmp_path / "labels" / "one.npz", gts=gts)
    (tmp_path / "images" / "one.npz").touch()
    (tmp_path / "submissions" / "ada" / "predict.sh").touch()
    folders = {"images": "images", "labels": "labels"}
    return {"cases": folders, "submissions": "submissions", "protocols": ["mine.yaml"]}


def mine(name: str = "noc", **changes) -> None:
    """Write a bundled protocol, changed, as mine.yaml."""
    Path("mine.yaml").write_text(yaml.safe_dump({**load(name), "name": "mine", **changes}))


LATE = {"seconds_per_label": 9, "on_overtime": "zero", "kill_at": 10}
DRAWN = [{"prompt": "drawn", "times": 1, "threshold": 0.5}]


@pytest.mark.parametrize(
    ("changes", "more", "message"),
    [
        ({"metrics": [{"name": "DSC"}]}, {}, "series.noc: counts clicks by IoU"),
        (
            {"series": {"auc_from": 1, "noc": {"metric": "F1", "at": [0.9]}}},
            {},
            "series.noc.metric: is 'F1'; one of IoU, DSC, Precision, Recall is expected",
        ),
        ({"ignore_label": 3}, {"slices": {"rule": "largest"}}, "ignore_label: a slice case"),
        ({"user": DRAWN}, {}, "drawn: no scribbles for one"),
        ({"repeat": 3}, {}, "`repeat` has no effect here"),
        ({"series": {"auc_from": 21}}, {}, "series.auc_from: is 21, but the protocol has 20"),
        ({"time": LATE}, {}, "time.kill_at: has no effect with on_overtime: zero"),
        ({"labels": {"liver": {"name": "x"}}}, {}, "labels: label is 'liver'; write an id"),
        ({"labels": {"1": {"name": "x", "members": [1, 3]}}}, {}, "labels: label is '1'; a region"),
    ],
)
def test_what_does_not_fit_is_told_by_its_key(
    config: dict, changes: dict, more: dict, message: str
):
    """One line that names the protocol and the key."""
    mine(**changes)
    with pytest.raises(ConfigError, match=f"^mine.yaml: {message}"):
        read({**config, **more})


def test_a_value_for_a_label_that_no_case_has_is_refused(config: dict):
    """The case has the labels 1 and 3: a tolerance for 3 is taken, one for 4 is a mistake."""
    for label, fits in ((3, True), (4, False)):
        nsd = {"name": "NSD", "tolerance_mm": {label: 5, "default": 1}}
        mine(metrics=[{"name": "IoU"}, nsd])
        if fits:
            assert read(config).protocols["mine"]["metrics"][1] == nsd
        else:
            line = r"^mine\.yaml: metrics\.1\.tolerance_mm: no case has a label 4; .* are 1, 3$"
            with pytest.raises(ConfigError, match=line):
                read(config)


def test_slices_make_a_case_a_label(config: dict):
    """Labels come from the label map, and the slice remembers its volume."""
    mine()
    cases = read({**config, "slices": {"rule": "middle", "axis": "y"}}).cases
    assert list(cases) == ["one__1", "one__3"]
    assert cases["one__3"].slice_of == "one"
    assert dict(cases["one__3"].slice) == {"rule": "middle", "axis": "y", "label": 3}


def test_labels_are_read_again_only_when_their_file_changes(config: dict):
    """A label map of the same size and time is not opened; another one is."""
    mine()
    sliced = {**config, "slices": {"rule": "largest"}}
    read(sliced)
    path = Path("labels/one.npz")
    stat = path.stat()
    path.write_bytes(path.read_bytes()[:8].ljust(stat.st_size, b"\0"))  # still looks like one
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert list(read(sliced).cases) == ["one__1", "one__3"]
    path.touch()
    with pytest.raises(CaseError, match=r"one\.npz"):
        read(sliced)


def test_a_missing_file_of_scribbles_is_told(config: dict):
    """The sheet, the case and the file stand in the message."""
    mine(user=DRAWN)
    Path("cases.tsv").write_text("case\tscribbles\none\tnowhere.npz\n")
    with pytest.raises(ConfigError, match=r"cases\.tsv: one: scribbles: no file 'nowhere\.npz'"):
        read({**config, "sheets": {"cases": "cases.tsv"}})
