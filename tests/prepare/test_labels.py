"""What a sheet of labels, or nnU-Net's dataset.json, says."""

import json

import pytest

from segarena.errors import ConfigError
from segarena.prepare.labels import (
    by_ids,
    find_labels,
    label_of,
    labels_from_nnunet,
    labels_from_sheet,
)

SHEET = """label\tname\tcolour\tmembers
0\tbackground\t\t
1\tnecrosis\t#E69F00\t
2\t\t\t
WT\twhole tumour\t#56b4e9\t3 + 1+2
"""


def sheet(tmp_path, text):
    (tmp_path / "labels.tsv").write_text(text)
    return tmp_path / "labels.tsv"


def test_a_sheet_names_labels_and_makes_regions(tmp_path):
    """A row without members is a label, one with members a region; the background is left out."""
    assert labels_from_sheet(sheet(tmp_path, SHEET)) == {
        "1": {"name": "necrosis", "colour": "#e69f00"},
        "2": {"name": "2"},
        "WT": {"name": "whole tumour", "colour": "#56b4e9", "members": [1, 2, 3]},
    }


def test_columns_but_label_may_be_left_out(tmp_path):
    """A list of ids is a sheet."""
    assert labels_from_sheet(sheet(tmp_path, "label\n4\n")) == {"4": {"name": "4"}}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("liver\t\t\t", "label is 'liver'; write an id, or give the region's members"),
        ("-1\t\t\t", "label is '-1'; write an id"),
        ("1.0\t\t\t", "label is '1.0'; write an id"),
        ("01\t\t\t", "label is '01'; write an id"),
        ("0\t\t\t1+2", "label is '0'; a region needs a name"),
        ("7\t\t\t1+2", "label is '7'; a region needs a name that begins with a letter"),
        ("WT\t\t\t1,2", "members is '1,2'; write ids with + between them"),
        ("WT\t\t\t1+liver", "members is '1+liver'; write ids"),
        ("WT\t\t\t0+1", "members is '0+1'; write ids"),
        ("4\t\tred\t", "colour is 'red'; write it as #rrggbb"),
        ("3\tagain\t\t", "duplicate label '3'"),
        ("\tname\t\t", "label is ''; write an id"),
    ],
)
def test_each_wrong_row_is_one_line(tmp_path, row, message):
    """Every problem names the sheet and the line, all of them at once."""
    path = sheet(tmp_path, f"label\tname\tcolour\tmembers\n3\t\t\t\n{row}\n5\t\tblue\t\n")
    with pytest.raises(ConfigError) as raised:
        labels_from_sheet(path)
    first, second = str(raised.value).splitlines()
    assert first.startswith(f"{path}: line 3: {message}")
    assert second.startswith(f"{path}: line 4: colour is 'blue'")


def test_a_sheet_that_is_not_there_is_told(tmp_path):
    """The key of the config is named."""
    with pytest.raises(ConfigError, match=r"sheets.labels: no file 'none.tsv'"):
        labels_from_sheet("none.tsv")


@pytest.mark.parametrize(
    "labels",
    [
        {"background": 0, "necrosis": 1, "whole tumour": [1, 2, 3]},
        {"background": "0", "necrosis": "1", "whole tumour": ["3", "1", "2"]},
        {"background": 0, "necrosis": [1], "whole tumour": [1, 2, 3]},
    ],
)
def test_nnunets_names_and_regions_are_read(tmp_path, labels):
    """Version 2 maps names to ids, or to lists of them, which are regions."""
    (tmp_path / "dataset.json").write_text(json.dumps({"labels": labels}))
    assert labels_from_nnunet(tmp_path / "dataset.json") == {
        "1": {"name": "necrosis"},
        "whole tumour": {"name": "whole tumour", "members": [1, 2, 3]},
    }


def test_nnunets_version_1_is_read(tmp_path):
    """It maps ids to names."""
    (tmp_path / "dataset.json").write_text('{"labels": {"0": "background", "1": "liver"}}')
    assert labels_from_nnunet(tmp_path / "dataset.json") == {"1": {"name": "liver"}}


@pytest.mark.parametrize("content", ["[1, 2]", "{}", '{"labels": ["a", "b"]}'])
def test_another_dataset_json_says_nothing(tmp_path, content):
    """Other tools use the name as well."""
    (tmp_path / "dataset.json").write_text(content)
    assert labels_from_nnunet(tmp_path / "dataset.json") == {}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not readable as JSON"),
        ('{"labels": {"liver": 1.5}}', "labels: 'liver' is 1.5; an id or a list of ids"),
        ('{"labels": {"liver": []}}', "labels: 'liver' is []; an id"),
        ('{"labels": {"liver": null}}', "labels: 'liver' is None; an id"),
        ("[" * 100_000, "not readable as JSON (nested too deeply)"),
        ('{"labels": {"liver": "%s"}}' % ("9" * 5000), "labels: 'liver' is '999"),
        ('{"labels": {"liver": ["²"]}}', "labels: 'liver' is ['²']; an id"),
    ],
)
def test_a_dataset_json_that_is_wrong_is_told(tmp_path, content, message):
    """The file and the entry are named."""
    (tmp_path / "dataset.json").write_text(content)
    with pytest.raises(ConfigError) as raised:
        labels_from_nnunet(tmp_path / "dataset.json")
    assert str(raised.value).startswith(f"{tmp_path}/dataset.json: {message}")


def test_the_sheet_comes_before_nnunets_file(tmp_path):
    """Beside both folders lies a dataset.json; a sheet is taken instead of it."""
    images, labels = tmp_path / "imagesTr", tmp_path / "labelsTr"
    images.mkdir()
    labels.mkdir()
    assert find_labels(None, images, labels) == {}
    (tmp_path / "dataset.json").write_text('{"labels": {"background": 0, "liver": 1}}')
    assert find_labels(None, images, labels) == {"1": {"name": "liver"}}
    own = str(sheet(tmp_path, "label\tname\n1\tmilt\n"))
    assert find_labels(own, images, labels) == {"1": {"name": "milt"}}


KNOWN = {
    "1": {"name": "core"},
    "2": {"name": "rim"},
    "3": {"name": "rim"},
    "7": {"name": "12"},
    "WT": {"name": "whole tumour", "members": [1, 2, 3]},
    "TC": {"name": "core of it", "members": [1]},
}


@pytest.mark.parametrize(
    ("name", "expected"),
    [("core", 1), (1, 1), ("1", 1), (99, 99), ("WT", "WT"), ("whole tumour", "WT"), ("12", 12)],
)
def test_a_label_is_called_by_id_or_name_and_a_region_by_key_or_name(name, expected):
    """What looks like an id is one, whether or not the sheet has it."""
    assert label_of(name, KNOWN, "ranking.by") == expected


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("rim", r"ranking\.by: 'rim' is the name of 2, 3; write one of these instead"),
        ("liver", r"ranking\.by: 'liver' is no label and no region; known: 1 \(core\), 2 \(rim\)"),
        (0, r"ranking\.by: '0' is no label"),
        ("wt", r"ranking\.by: 'wt' is no label"),
    ],
)
def test_a_name_that_is_none_or_several_is_rejected(name, line):
    """One line with the key and what there is."""
    with pytest.raises(ConfigError, match=line):
        label_of(name, KNOWN, "ranking.by")


def test_names_in_a_protocol_become_ids():
    """Keys of values per label, but not those of other mappings; default stays."""
    metrics = [
        {"name": "DSC", "empty": {"both": 1}},
        {"name": "NSD", "tolerance_mm": {"core": 5, "2": 3, "whole tumour": 4, "default": 1}},
    ]
    ranking = {"metrics": ["DSC_Final"], "by": ["core", "WT"]}
    found = by_ids({"metrics": metrics, "ranking": ranking}, KNOWN)
    assert found["metrics"][0] == metrics[0]
    assert found["metrics"][1]["tolerance_mm"] == {1: 5, 2: 3, "WT": 4, "default": 1}
    assert found["ranking"]["by"] == [1, "WT"]
    metrics[1]["tolerance_mm"] = {"core": 5, 1: 4, "default": 1}
    with pytest.raises(ConfigError, match=r"^metrics\.1\.tolerance_mm: 1 is listed twice"):
        by_ids({"metrics": metrics, "ranking": ranking}, KNOWN)
