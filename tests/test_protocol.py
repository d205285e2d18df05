"""Values of a protocol that cannot be meant are rejected with their key."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from segarena.errors import ConfigError
from segarena.protocol import load


def changed(keys: str, value: Any) -> dict[str, Any]:
    """Return the bundled protocol noc with the value at a dotted path put in place."""
    protocol: Any = load("noc")
    *parents, last = [int(key) if key.isdecimal() else key for key in keys.split(".")]
    place = protocol
    for key in parents:
        place = place[key]
    place[last] = value
    return {**protocol, "name": "mine"}


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        ("version", 2.0),
        ("seed", -1),
        ("seed", 2**32),
        ("user.0.times", 1.0),
        ("user.0.times", True),
        ("user.0.jitter_px", 100_000),
        ("stop_when.iou", 90),
        ("stop_when.iou", float("nan")),
        ("time.seconds_per_label", float("nan")),
        ("time.seconds_per_label", float("inf")),
        ("time.seconds_per_label", 90_000),
        ("time.seconds_per_label", "90 s"),
        ("time.kill_at", 0.5),
        ("time.kill_at", float("inf")),
        ("limits.memory_gb", float("nan")),
        ("limits.memory_gb", 32_000),
        ("limits.cpus", -1),
        ("limits.processes", 2.0),
        ("series.auc_from", 0),
        ("series.noc.at.0", 85),
        ("series.noc.at.0", float("nan")),
        ("series.noc.min_area_px", 1.5),
        ("ranking.metrics", ["NoC@90", "NoC@90"]),
        ("ranking.by", [0]),
        ("ranking.weights", {"NoC@90": float("nan")}),
        ("ranking.weights", {"NoC@90": 0}),
        ("ranking.bootstraps", 1000.0),
    ],
)
def test_a_number_that_cannot_be_meant_is_rejected_by_its_key(
    tmp_path: Path, keys: str, value: Any
):
    """Percentages for shares, NaN, infinity, negative numbers, 2.0 for a count: one line each."""
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(changed(keys, value)))
    with pytest.raises(ConfigError) as told:
        load(path)
    assert len(str(told.value).splitlines()) == 1
    assert str(told.value).startswith(f"{path}: {keys}")
