import json

import pandas as pd
import pytest

from segarena.rank.calls import COLUMNS, count_failed, read_calls, unasked

PER_CALL = {"seconds_per_label": 30, "per": "call", "on_overtime": "warn"}
PER_CASE = {**PER_CALL, "per": "case"}


def calls(statuses):
    """The calls of {submission: the statuses of its interactions on case c}."""
    rows = [
        ("p", submission, "c", k, status, "")
        for submission, series in statuses.items()
        for k, status in enumerate(series, start=1)
    ]
    columns = ["repetition", "submission", "case", "interaction", "status", "message"]
    return pd.DataFrame(rows, columns=columns)


def per_repetition(seconds, *, limit=30.0):
    """The tables of {submission: the seconds of its interactions on case c}."""
    return pd.DataFrame(
        [
            {
                "repetition": "p",
                "submission": submission,
                "case": "c",
                **{f"RunningTime_{k}": value for k, value in enumerate(series, start=1)},
                "TotalRunningTime": sum(series),
                "SecondsPerClick": sum(series) / len(series),
                "runtime_upperbound": limit,
            }
            for submission, series in seconds.items()
        ]
    )


CRASHED = calls(
    {"honest": ["ok", "ok"], "crashy": ["crashed", "crashed"], "half": ["ok", "crashed"]}
)
SECONDS = per_repetition({"honest": [8.0, 10.0], "crashy": [0.5, 0.5], "half": [4.0, 0.5]})


def test_a_crash_in_the_first_second_is_not_fast():
    """Per call, each failed call counts the limit of 30 s, and the others what they took."""
    found, touched = count_failed(SECONDS, CRASHED, ["TotalRunningTime"], time=PER_CALL)
    assert found["TotalRunningTime"].to_list() == [18, 60, 34]
    assert touched.to_numpy().tolist() == [
        ["crashy", "c", "TotalRunningTime", 60.0],
        ["half", "c", "TotalRunningTime", 34.0],
    ]


def test_where_the_limit_is_for_the_case_the_case_counts():
    """Per case, a case with a failed call counts the limit of the case."""
    found, _ = count_failed(SECONDS, CRASHED, ["TotalRunningTime"], time=PER_CASE)
    assert found["TotalRunningTime"].to_list() == [18, 30, 30]


@pytest.mark.parametrize(("time", "expected"), [(PER_CALL, [90, 90, 54]), (PER_CASE, [90, 90, 90])])
def test_nobody_who_failed_is_faster_than_the_slowest(time, expected):
    """Where a limit is only noted, a failed call counts as the longest that anyone took for it."""
    slow = per_repetition({"honest": [40.0, 50.0], "crashy": [0.5, 0.5], "half": [4.0, 0.5]})
    slow = slow.assign(runtime_upperbound=10.0)
    found, _ = count_failed(slow, CRASHED, ["TotalRunningTime"], time=time)
    assert found["TotalRunningTime"].to_list() == expected


def test_every_column_of_time_counts_it():
    """The time of one interaction and the seconds per click follow the same rule."""
    columns = ["RunningTime_2", "SecondsPerClick"]
    found, _ = count_failed(SECONDS, CRASHED, columns, time=PER_CALL)
    assert found["RunningTime_2"].to_list() == [10, 30, 30]
    assert found["SecondsPerClick"].to_list() == [9, 30, 17]
    assert found["TotalRunningTime"].to_list() == SECONDS["TotalRunningTime"].to_list()


def test_what_was_not_asked_is_no_failure():
    """An interaction that was not asked for changes nothing, and the table is not written to."""
    before = SECONDS.copy()
    found, touched = count_failed(
        SECONDS,
        calls({"honest": ["not_asked", "ok"], "crashy": ["ok", "not_asked"], "half": ["ok", "ok"]}),
        ["TotalRunningTime"],
        time=PER_CASE,
    )
    pd.testing.assert_frame_equal(found, before)
    assert touched.empty


def test_a_repetition_fails_alone():
    """A failure counts in its repetition; the listed value is the mean over both."""
    twice = pd.concat([SECONDS, SECONDS.assign(repetition="p.2")], ignore_index=True)
    found, touched = count_failed(twice, CRASHED, ["TotalRunningTime"], time=PER_CALL)
    assert found["TotalRunningTime"].to_list() == [18, 60, 34, 18, 1, 4.5]
    assert touched["value"].to_list() == [60, 34]


def test_nothing_is_scored_before_something_was_asked():
    """A case without a box has no value at interaction 1; a user who is satisfied later has."""
    found = unasked(
        calls({"a": ["not_asked", "ok", "not_asked"], "b": ["ok", "not_asked", "not_asked"]})
    )
    assert found[["submission", "interaction"]].to_numpy().tolist() == [["a", 1]]
    never = unasked(calls({"a": ["not_asked", "not_asked"]}))
    assert never["interaction"].to_list() == [1, 2]


def test_calls_are_read_beside_the_tables(tmp_path):
    """Records are found by their place; one that is not there has no row."""
    table = tmp_path / "results" / "score" / "p.2" / "team_metrics.csv"
    record = tmp_path / "results" / "predict" / "p.2" / "team" / "c" / "2.json"
    record.parent.mkdir(parents=True)
    facts = {"seconds": 3.5, "limits": {"seconds": 9.0}, "gpu": {"model": "T4"}}
    record.write_text(json.dumps({"status": "crashed", "message": "why", **facts}))
    found = read_calls([table], ["c", "d"], interactions=2)
    known = ["p.2", "team", "c", 2, "crashed", "why"]
    assert found[COLUMNS].to_numpy().tolist() == [known]
    assert found.loc[0, ["seconds", "limit_seconds", "gpu"]].tolist() == [3.5, 9.0, "T4"]
    assert read_calls([], [], interactions=2).empty
