"""The rank stage on tables and records of a run that was never played."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from segarena.errors import ConfigError
from segarena.protocol import load
from segarena.rank.step import main

CASES = ("a", "b", "c")


def write_team(results: Path, team: str, *, dsc: float, seconds: float, status: str = "ok") -> str:
    """Write a team's table and records; each of two interactions takes `seconds`."""
    rows = []
    for case in CASES:
        times = {f"RunningTime_{k}": seconds for k in (1, 2)}
        row = {"CaseName": f"{case}.npz", "TotalRunningTime": 2 * seconds, **times}
        rows.append({**row, "DSC_Final": dsc, "num_class": 1, "runtime_upperbound": 60})
        folder = results / "predict" / "p" / team / case
        folder.mkdir(parents=True)
        for k in (1, 2):
            record = {"status": status, "message": ""}
            (folder / f"{k}.json").write_text(json.dumps(record))
    path = results / "score" / "p" / f"{team}_metrics.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(rows).to_csv(path, index=False)
    return str(path)


def protocol(time: dict[str, Any], **ranking: Any) -> dict[str, Any]:
    """A protocol of two clicks that is ranked by DSC and time."""
    return {
        "name": "p",
        "version": 1,
        "seed": 1,
        "user": [{"prompt": "click", "times": 2, "rule": "ritm"}],
        "time": {"seconds_per_label": 60, "on_overtime": "zero", **time},
        "metrics": [{"name": "DSC"}],
        "ranking": {
            "metrics": ["DSC_Final", "TotalRunningTime"],
            "scheme": "mean_then_rank",
            "bootstraps": 20,
            **ranking,
        },
    }


def ranked(tables: list[str], out: Path, protocol: dict[str, Any]) -> pd.DataFrame:
    main(tables, out, groups={case: {"modality": "CT"} for case in CASES}, protocol=protocol)
    return pd.read_csv(out / "leaderboard.csv").set_index("submission")


@pytest.mark.parametrize(
    ("time", "mean", "rank"),
    [
        ({"per": "case"}, 60.0, 2),
        ({"per": "call"}, 120.0, 2),
        ({"failed": "worst"}, 120.0, 2),
        ({"failed": "as_measured"}, 1.0, 1),
    ],
)
def test_a_team_that_crashes_at_once_is_not_first_in_time(
    tmp_path: Path, time: dict[str, Any], mean: float, rank: int
) -> None:
    """It counts the limit of 60 s, per case or per call, unless times count as measured."""
    tables = [
        write_team(tmp_path, "crashy", dsc=0.0, seconds=0.5, status="crashed"),
        write_team(tmp_path, "honest", dsc=0.9, seconds=9.0),
    ]
    before = Path(tables[0]).read_bytes()
    board = ranked(tables, tmp_path / "rank", protocol(time))
    assert board.loc["crashy", "TotalRunningTime_mean"] == mean
    assert board.loc["crashy", "TotalRunningTime_mean_then_rank"] == rank
    assert board.loc["honest", "TotalRunningTime_mean"] == 18
    assert Path(tables[0]).read_bytes() == before
    missing = pd.read_csv(tmp_path / "rank" / "missing.csv")
    assert missing["value"].to_list() == ([mean] * 3 if rank == 2 else [])
    assert set(missing["policy"]) <= {"failed call"}


def test_ties_are_broken_by_what_the_protocol_names(tmp_path: Path) -> None:
    """First in one of two metrics each, two teams share the first place, or time decides."""
    tables = [
        write_team(tmp_path, "fast", dsc=0.8, seconds=1.0),
        write_team(tmp_path, "good", dsc=0.9, seconds=9.0),
    ]
    shared = ranked(tables, tmp_path / "shared", protocol({}))
    assert shared["rank"].to_dict() == {"fast": 1, "good": 1}
    by_time = protocol({}, ties=["TotalRunningTime"])
    assert ranked(tables, tmp_path / "time", by_time)["rank"].to_dict() == {"fast": 1, "good": 2}
    intervals = pd.read_csv(tmp_path / "time" / "stability" / "intervals.csv")
    final = intervals.query("task == 'final' and scheme == 'mean_then_rank' and subgroup == 'all'")
    assert final.set_index("algorithm")["share_first"].to_dict() == {"fast": 1, "good": 0}
    by_dsc = protocol({}, metrics=["TotalRunningTime"], ties=["RunningTime_1", "DSC_Final"])
    board = ranked(tables, tmp_path / "dsc", by_dsc)
    assert board["rank"].to_dict() == {"fast": 1, "good": 2}
    assert not any(name.startswith("RunningTime_1") for name in board)


def test_a_tie_breaker_may_be_no_metric_of_the_ranking(tmp_path: Path) -> None:
    """Equal in DSC, the faster is first; equal in all, the place is shared."""
    tables = [
        write_team(tmp_path, "one", dsc=0.9, seconds=9.0),
        write_team(tmp_path, "same", dsc=0.9, seconds=9.0),
        write_team(tmp_path, "fast", dsc=0.9, seconds=1.0),
    ]
    rule = protocol({}, metrics=["DSC_Final"], ties=["TotalRunningTime"])
    board = ranked(tables, tmp_path / "rank", rule)
    assert board["rank"].to_dict() == {"fast": 1, "one": 2, "same": 2}


def test_a_case_without_a_box_is_left_out_of_the_first_interactions_ranking(tmp_path: Path):
    """Its DSC of 0 at interaction 1 is no score: nobody was asked. In DSC_2 it counts."""
    tables = []
    for team, first in (("one", 0.5), ("two", 0.6)):
        path = Path(write_team(tmp_path, team, dsc=0.9, seconds=1.0))
        values = [first, first, 0.0]
        pd.read_csv(path).assign(DSC_1=values, DSC_2=[0.7, 0.8, 0.9]).to_csv(path, index=False)
        record = tmp_path / "predict" / "p" / team / "c" / "1.json"
        record.write_text(json.dumps({"status": "not_asked", "message": "no box"}))
        tables.append(str(path))
    board = ranked(tables, tmp_path / "rank", protocol({}, metrics=["DSC_1", "DSC_2"]))
    assert board["DSC_1_mean"].to_dict() == {"one": 0.5, "two": 0.6}
    assert board["DSC_1_cases"].to_dict() == {"one": 2, "two": 2}
    assert board["DSC_2_mean"].to_list() == [pytest.approx(0.8)] * 2
    assert board["DSC_2_cases"].to_list() == [3, 3]
    missing = pd.read_csv(tmp_path / "rank" / "missing.csv")
    columns = ["submission", "case", "metric", "policy"]
    assert missing[columns].to_numpy().tolist() == [
        ["one", "c", "DSC_1", "not counted"],
        ["two", "c", "DSC_1", "not counted"],
    ]
    draws = pd.read_csv(tmp_path / "rank" / "stability" / "intervals.csv")
    first = draws.query("task == 'DSC_1' and scheme == 'mean_then_rank' and algorithm == 'two'")
    assert set(first["median"]) == {1}


def test_a_metric_without_a_weight_weighs_1(tmp_path: Path) -> None:
    """DSC weighs 3, time 1: the better team is first, with a mean rank of (3 + 2) / 4."""
    tables = [
        write_team(tmp_path, "fast", dsc=0.8, seconds=1.0),
        write_team(tmp_path, "good", dsc=0.9, seconds=9.0),
    ]
    board = ranked(tables, tmp_path / "rank", protocol({}, weights={"DSC_Final": 3}))
    assert board["mean_rank"].to_dict() == {"good": 1.25, "fast": 1.75}


def test_an_unknown_tie_breaker_is_named(tmp_path: Path) -> None:
    """A column that no table has is one line with the key."""
    tables = [write_team(tmp_path, "one", dsc=0.9, seconds=9.0)]
    with pytest.raises(ConfigError, match=r"p: ranking\.ties: no column 'NSD_Final'"):
        ranked(tables, tmp_path / "rank", protocol({}, ties=["NSD_Final"]))


def test_what_the_bundled_protocols_say_of_time() -> None:
    """The challenge's limit is per case, ours per call; only its script takes times as measured."""
    time = {name: load(name)["time"] for name in ("cvpr25", "cvpr25-script", "noc", "scribble")}
    assert [part["per"] for part in time.values()] == ["case", "case", "call", "call"]
    assert [part.get("failed", "worst") for part in time.values()] == [
        "worst",
        "as_measured",
        "worst",
        "worst",
    ]
    assert [load(name)["version"] for name in time] == [3, 2, 2, 2]
