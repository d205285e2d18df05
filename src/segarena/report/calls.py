"""What the calls of a run say of it: whether it can be trusted, where it was made, what it cost.

All of it is of the first repetition, whose answers the page shows.
"""

from collections import Counter
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import pandas as pd

from segarena.rank.calls import FINE
from segarena.report.results import Results

WORDS = {
    "timed_out": "out of time",
    "out_of_memory": "out of memory",
    "crashed": "crashed",
    "no_answer": "no answer",
    "bad_answer": "bad answer",
    "bad_image": "bad image",
    "not_ready": "not ready",
}


def first_calls(results: Results) -> pd.DataFrame:
    """Return the calls of the first repetition."""
    return results.calls[results.calls["repetition"] == results.protocol["name"]]


def worded(status: str) -> str:
    """Return a status in words."""
    return WORDS.get(status, status.replace("_", " "))


def provenance(results: Results) -> list[str]:
    """Return when, by which version and where a run was made, a few words each."""
    calls = results.calls
    days = sorted({str(moment)[:10] for moment in calls["ended"].dropna()})
    facts = []
    if days:
        facts.append(days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}")
    facts.append(f"SegArena {segarena_version()}")
    hosts = sorted(calls["host"].dropna().unique())
    if hosts:
        facts.append(f"host {hosts[0]}" if len(hosts) == 1 else f"{len(hosts)} hosts")
    asked = calls[calls["status"] != "not_asked"]
    models = sorted(asked["gpu"].dropna().unique())
    if len(asked):
        facts.append(", ".join(models) if models else "no GPU")
    runtimes = sorted(asked["runtime"].dropna().unique())
    facts += [f"runtime {' and '.join(runtimes)}"] if runtimes else []
    labels = {label for label in results.labels["label"] if str(label).isdecimal()}
    facts.append(f"{len(labels)} label{'' if len(labels) == 1 else 's'}")
    return facts


def trust(results: Results) -> list[str]:
    """Return how complete a run is and what limits what its numbers say, a sentence each."""
    calls = first_calls(results)
    asked = calls[calls["status"] != "not_asked"]
    usable = int(asked["status"].isin(FINE).sum())
    sentences = []
    if len(asked):
        sentences.append(
            f"All {usable:,} answers are usable."
            if usable == len(asked)
            else f"{usable:,} of {len(asked):,} answers are usable "
            f"({_percent(usable / len(asked))})."
        )
    policy = results.protocol["ranking"].get("missing", "worst")
    missing = int((results.missing["policy"] == policy).sum())
    if missing:
        sentences.append(f"{missing:,} scores are missing and count as the worst value.")
    models, hosts = asked["gpu"].nunique(), asked["host"].nunique()
    if models > 1 or (models and asked["gpu"].isna().any()):
        sentences.append("Calls ran on different GPUs: their times are not comparable.")
    elif hosts > 1:
        sentences.append(f"Times come from {hosts} hosts.")
    if "process" in set(asked["runtime"].dropna()):
        sentences.append("Submissions ran as plain processes, without isolation.")
    if results.left_out:
        sentences.append(f"{len(results.left_out)} left out.")
    return sentences


def failed_cases(results: Results, failed: pd.DataFrame) -> pd.DataFrame:
    """Return one row per submission and case with a failed call, the best submission's first.

    failed: what `results.failures` returns. Columns: submission, case, first, last, calls (how
    many failed), status, message and log of the first one.
    """
    rows = []
    for (submission, case), part in failed.groupby(["submission", "case"], sort=False):
        first = part.iloc[0]
        number = int(first["interaction"])
        folder = f"results/predict/{results.protocol['name']}/{submission}/{case}"
        rows.append(
            {
                "submission": submission,
                "case": case,
                "first": number,
                "last": int(part["interaction"].iloc[-1]),
                "calls": len(part),
                "status": first["status"],
                "message": first["message"],
                "log": f"{folder}/{number}.log",
            }
        )
    columns = ["submission", "case", "first", "last", "calls", "status", "message", "log"]
    return pd.DataFrame(rows, columns=columns)


def where_it_fails(results: Results, failing: pd.DataFrame) -> str:
    """Return how calls failed, on how many cases and of whom, in a sentence."""
    if failing.empty:
        return "No call failed."
    parts = []
    for status, _ in Counter(failing["status"]).most_common():
        part = failing[failing["status"] == status]
        whose = part["submission"].unique()
        of = results.names[whose[0]] if len(whose) == 1 else f"{len(whose)} submissions"
        parts.append(f"{worded(status)} on {_cases(len(part))} of {of}")
    text = "; ".join(parts)
    return f"{text[0].upper()}{text[1:]}."


def resources(results: Results, groups: dict[str, set[str]]) -> list[dict[str, Any]]:
    """Return time and memory of each submission on each group of cases.

    Times are in seconds, memory in GB (1e9 bytes); None where nothing was recorded.
    """
    calls = first_calls(results)
    calls = calls[calls["status"] != "not_asked"]
    rows = []
    for group, members in groups.items():
        for submission, part in calls[calls["case"].isin(members)].groupby("submission"):
            seconds = part["seconds"].astype(float)
            by_case = seconds.groupby(part["case"]).sum()
            memory = part["peak_memory_bytes"].astype(float).max() / 1e9
            limit = part["memory_limit_bytes"].astype(float).max() / 1e9
            rows.append(
                {
                    "group": group,
                    "submission": submission,
                    "calls": len(part),
                    "call_median_s": seconds.median(),
                    "call_p95_s": seconds.quantile(0.95),
                    "case_median_s": by_case.median(),
                    "case_p95_s": by_case.quantile(0.95),
                    "case_max_s": by_case.max(),
                    "peak_memory_gb": memory,
                    "memory_limit_gb": limit,
                    "gpu": _listed(part["gpu"].dropna().unique()),
                }
            )
    return rows


def _listed(values: Iterable[str]) -> str:
    return ", ".join(sorted(map(str, values)))


def _cases(count: int) -> str:
    return f"{count:,} case{'' if count == 1 else 's'}"


def _percent(share: float) -> str:
    return "over 99 %" if 0.99 < share < 1 else f"{100 * share:.0f} %"


def segarena_version() -> str:
    """Return the version of the package that made the page."""
    try:
        return version("segarena")
    except PackageNotFoundError:
        return "(not installed)"
