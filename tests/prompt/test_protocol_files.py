"""The protocols that come with the project, the example in their README, and what is refused."""

import copy
import re
from pathlib import Path

import numpy as np
import pytest
import yaml

from segarena import protocol
from segarena.errors import ConfigError
from segarena.prompt.scribbles import draw

FOLDER = Path(__file__).parents[2] / "config" / "protocols"
README = (FOLDER / "README.md").read_text(encoding="utf-8")
EXAMPLE, EXCERPT = (yaml.safe_load(text) for text in re.findall(r"```yaml\n(.*?)```", README, re.S))


def changed(step):
    """The example with one user step instead of its own."""
    value = copy.deepcopy(EXAMPLE)
    value["user"] = [step]
    return value


NAMES = ["cvpr25", "noc", "scribble", "autopet-interactive", "brats-lesionwise"]


@pytest.mark.parametrize("name", NAMES)
def test_a_protocol_of_the_project_is_valid_and_in_the_table(name):
    """Each file passes the strict schema and is described in the README."""
    assert protocol.load(name)["name"] == name
    assert f"| {name} |" in README


def test_no_protocol_is_missing_in_the_table():
    """Whatever lies in the folder is described."""
    assert all(f"| {path.stem} |" in README for path in FOLDER.glob("*.yaml"))


def test_noc_is_up_to_twenty_clicks_of_the_published_rule():
    """Nothing comes before the first click; the user is satisfied at 0.9."""
    noc = protocol.load("noc")
    assert protocol.steps(noc) == [{"prompt": "click", "times": 20, "rule": "ritm"}] * 20
    assert noc["stop_when"] == {"iou": 0.9}
    assert noc["series"]["noc"]["at"] == [0.8, 0.85, 0.9]


def test_scribble_has_five_steps_of_kinds_that_can_be_drawn():
    """The kinds of the mix are those of the simulated user."""
    steps = protocol.steps(protocol.load("scribble"))
    assert len(steps) == 5
    mask = np.ones((9, 9), bool)
    drawn = [draw(mask, np.random.default_rng(n), steps[0]["mix"]).kind for n in range(30)]
    assert set(drawn) == {"line", "centerline", "contour"}


def test_the_worked_example_is_valid_and_plays_what_the_readme_says():
    """Interaction 1 is the box, 2 and 3 are scribbles, 4 to 6 are clicks."""
    protocol.validate(EXAMPLE, "protocol", "hasty.yaml")
    kinds = [step["prompt"] for step in protocol.steps(EXAMPLE)]
    assert kinds == ["box", "scribble", "scribble", "click", "click", "click"]


def test_the_excerpt_on_drawn_scribbles_is_valid():
    """With the rest of the example it is a protocol."""
    protocol.validate({**EXAMPLE, **EXCERPT}, "protocol", "drawn.yaml")


@pytest.mark.parametrize(
    ("step", "named"),
    [
        ({"prompt": "box", "times": 1, "rule": "ritm"}, "rule"),
        ({"prompt": "click", "times": 1}, "rule"),
        ({"prompt": "click", "times": 1, "rule": "ritm", "count": 2}, "count"),
        ({"prompt": "click", "times": 1, "rule": "random", "jitter_px": 2}, "jitter_px"),
        ({"prompt": "scribble", "times": 1}, "mix"),
        ({"prompt": "scribble", "times": 1, "mix": {}}, "mix"),
        ({"prompt": "scribble", "times": 1, "mix": {"spiral": 1}}, "spiral"),
        ({"prompt": "scribble", "times": 1, "mix": {"line": 0}}, "mix.line"),
        ({"prompt": "drawn", "times": 1}, "threshold"),
        ({"prompt": "drawn", "times": 1, "threshold": 1}, "threshold"),
        ({"prompt": "drawn", "times": 2, "threshold": 0.5}, "times"),
        ({"prompt": "wish", "times": 1}, "wish"),
        ({"prompt": "click", "times": 0, "rule": "ritm"}, "times"),
    ],
)
def test_a_step_that_makes_no_sense_is_refused_by_name(step, named):
    """The message holds the file and the key or value that is wrong."""
    with pytest.raises(ConfigError, match=re.escape(named)) as caught:
        protocol.validate(changed(step), "protocol", "p.yaml")
    assert all(line.startswith("p.yaml: ") for line in str(caught.value).splitlines())


@pytest.mark.parametrize(
    ("key", "value"),
    [("stop_when", {"iou": 0}), ("stop_when", {"dice": 0.9}), ("repeat", 0), ("ignore_label", 0)],
)
def test_a_wrong_value_of_a_key_is_refused(key, value):
    """The message names the key."""
    with pytest.raises(ConfigError, match=key):
        protocol.validate({**EXAMPLE, key: value}, "protocol", "p.yaml")
