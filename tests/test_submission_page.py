"""docs/submission.md against what is really handed to submissions, and its programs run."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from segarena.case import BOX_KEYS, read_boxes, write_answer, write_image, write_truth
from segarena.cli import main
from segarena.files import read_json
from segarena.predict.session import make_input
from segarena.prepare.nifti import prepare_case
from segarena.prompt.step import main as prompt
from segarena.protocol import load, prompt_values, steps

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "submission.md").read_text(encoding="utf-8")


def _table(first: str) -> list[list[str]]:
    """Return the rows of the table whose header begins with `first`."""
    (text,) = re.findall(
        rf"^\| {re.escape(first)} \|.*\n\|[-|]+\n((?:\|.*\n)+)", PAGE, re.MULTILINE
    )
    return [[cell.strip() for cell in row.strip("|").split(" | ")] for row in text.splitlines()]


def _input_table() -> dict[str, dict[str, str]]:
    """Return dtype, shape and presence of each key of the input, as the page has them."""
    tables = re.findall(r"^\| key \|.*\n\|[-|]+\n((?:\|.*\n)+)", PAGE, re.MULTILINE)
    found = {}
    for row in tables[0].splitlines():
        key, dtype, shape, there, *_ = (
            cell.strip().strip("`") for cell in row.strip("|").split("|")
        )
        found[key] = {"dtype": dtype, "shape": shape, "there": there}
    return found


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """The inputs of a real case: with a box, after two clicks (label 2 perfect), with scribbles."""
    folder = tmp_path_factory.mktemp("case")
    demo, name = ROOT / "demo", "MR_hippocampus_003"
    image, truth, _ = prepare_case(
        demo / "images" / f"{name}.nii.gz",
        demo / "labels" / f"{name}.nii.gz",
        case=name,
        modality=None,
        window=None,
        box=True,
        seed=1,
    )
    write_image(folder / "image.npz", image)
    write_truth(folder / "truth.npz", truth)
    imperfect = np.where(truth.gts == 2, 2, 0).astype(np.uint8)  # label 1 is missing, 2 perfect
    write_answer(folder / "answer.npz", imperfect)
    found = {}
    for kind, protocol, last in (
        ("box", "cvpr25", 1),
        ("clicks", "cvpr25", 3),
        ("scribbles", "scribble", 2),
    ):
        files = {"image": str(folder / "image.npz"), "truth": str(folder / "truth.npz")}
        for k in range(1, last + 1):
            values = prompt_values(load(protocol), k)
            if steps(load(protocol))[k - 1]["prompt"] == "box" and kind == "scribbles":
                continue
            prompt(files, str(folder / f"{kind}{k}.json"), name, k, values)
            files |= {
                "prompts": str(folder / f"{kind}{k}.json"),
                "answer": str(folder / "answer.npz"),
            }
        prompts = read_json(folder / f"{kind}{last}.json")
        make_input(folder / f"{kind}.npz", folder / "image.npz", prompts, imperfect)
        with np.load(folder / f"{kind}.npz", allow_pickle=True) as file:
            found[kind] = {key: file[key] for key in file.files}
    assert read_boxes(folder / "image.npz")
    return found


def test_the_table_has_every_key_and_no_other(inputs: dict[str, dict[str, Any]]):
    """Over a box, clicks and scribbles together."""
    assert set(_input_table()) == {key for case in inputs.values() for key in case}


@pytest.mark.parametrize("kind", ["box", "clicks", "scribbles"])
def test_dtypes_and_shapes_are_those_of_the_table(kind: str, inputs: dict[str, dict[str, Any]]):
    """For a real case; a perfect label makes clicks_order an object array, as the page says."""
    case = inputs[kind]
    depth, height, width = case["imgs"].shape
    sizes = {"D": depth, "H": height, "W": width, "L": 2, "K": 2, "3": 3}
    for key, array in case.items():
        row = _input_table()[key]
        wanted = tuple(sizes[one] for one in re.findall(r"[A-Z]|\d", row["shape"]))
        assert array.shape == wanted, key
        if key != "clicks_order":
            assert array.dtype == np.dtype(row["dtype"]), key
    there = {"box": {"boxes"}, "clicks": {"boxes", "clicks", "clicks_order", "prev_pred"}}
    there["scribbles"] = {"scribbles", "scribbles_order", "prev_pred"}
    assert set(case) == {"imgs", "spacing"} | there[kind]


def test_a_perfect_label_has_none_in_its_order(inputs: dict[str, dict[str, Any]]):
    """Label 1 was clicked twice, label 2 never."""
    case = inputs["clicks"]
    assert case["clicks_order"].tolist() == [["fg", "fg"], [None, None]]
    assert case["clicks_order"].dtype == object
    assert len(case["clicks"][0]["fg"]) == 2
    assert case["clicks"][1] == {"fg": [], "bg": []}


def test_a_box_has_the_keys_of_the_page(inputs: dict[str, dict[str, Any]]):
    """And no other, in this order."""
    keys = [row[0].strip("`| ") for row in _table("key of a box")]
    assert keys == list(BOX_KEYS) == list(inputs["box"]["boxes"][0])


def test_objects_are_plain(inputs: dict[str, dict[str, Any]]):
    """Lists, dicts, ints, strings and None, as the page says."""

    def kinds(value: Any) -> set[type]:
        inner = value.values() if isinstance(value, dict) else value
        if isinstance(value, list | dict):
            return {type(value)}.union(*map(kinds, inner))
        return {type(value)}

    objects = [a.tolist() for case in inputs.values() for a in case.values() if a.dtype == object]
    assert kinds(objects) <= {list, dict, int, str, type(None)}


def test_limits_and_their_defaults_are_those_of_the_schema():
    """Every limit is on the page with its default."""
    schema = yaml.safe_load((ROOT / "workflow/schemas/protocol.schema.yaml").read_text("utf-8"))
    limits = schema["properties"]["limits"]["properties"]
    rows = {
        row[1].strip("`"): row[2].strip(" |") for row in _table("what") if row[1].count("`") == 2
    }
    assert set(limits) - set(rows) == {"write_beside_code", "user"}  # in words below the table
    for key, default in rows.items():
        if "default" in limits[key]:
            assert float(default) == limits[key]["default"], key


def test_the_numbers_of_cvpr25_are_its_own():
    """90 s per label for all calls of a case, and 32 GiB."""
    protocol = load("cvpr25")
    assert (protocol["time"]["seconds_per_label"], protocol["time"]["per"]) == (90, "case")
    assert protocol["limits"]["memory_gb"] == 32
    assert "cvpr25: 90 s per label for all calls of a case" in PAGE and "cvpr25: 32" in PAGE


def test_the_keys_of_segarena_yaml_are_those_of_its_schema():
    """With all values of `accepts`."""
    schema = yaml.safe_load((ROOT / "workflow/schemas/submission.schema.yaml").read_text("utf-8"))
    rows = re.findall(r"^\| `(\w+)` \| a list of (.*?) \|", PAGE, re.MULTILINE)
    assert [key for key, _ in rows] == list(schema["properties"])
    values = re.findall(r"`(\w+)`", rows[0][1])
    assert values == schema["properties"]["accepts"]["items"]["enum"]


def test_the_programs_of_the_page_pass_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """predict.py and serve.py as they stand there, fresh and warm, with the same answers."""
    team = tmp_path / "team"
    team.mkdir()
    for program in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
        name, script, line = re.match(
            r"# (\S+), started by a (\S+) of one line: (.*)", program
        ).groups()
        (team / name).write_text(program)
        (team / script).write_text(f"{line}\n")
    (team / "segarena.yaml").write_text(re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)[0])
    assert {path.name for path in team.iterdir()} >= {"predict.sh", "serve.sh"}
    monkeypatch.chdir(tmp_path)
    words = ["--protocol", str(ROOT / ".ci" / "one-click.yaml"), "--only", "bundled"]
    assert main(["check", "team", "--runtime", "process", *words]) == 0
    assert "the answers are the same" in capsys.readouterr().out
