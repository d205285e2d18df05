"""What a protocol's `ranking` can name, checked before anything runs."""

from collections.abc import Mapping, Sequence
from typing import Any

from segarena.errors import ConfigError
from segarena.protocol import steps
from segarena.rank.columns import base_of
from segarena.score.metrics import METRICS, column


def check_ranking(protocol: Mapping[str, Any]) -> None:
    """Raise ConfigError where a protocol ranks by what its tables do not have or cannot order."""
    ranking = protocol["ranking"]
    interactions = len(steps(dict(protocol)))
    listed = {column(metric): METRICS[metric["name"]] for metric in protocol["metrics"]}
    known = rankable(protocol)
    for key in ("metrics", "ties"):
        for name in ranking.get(key, ()):
            where = f"ranking.{key}: {name}"
            signed = listed.get(base_of(name))
            if signed is not None and signed.larger_is_better is None:
                raise ConfigError(
                    f"{where} is best near 0, so neither larger nor smaller wins; take another "
                    "metric, such as RVE"
                )
            if name not in known:
                raise ConfigError(
                    f"ranking.{key}: no column {name!r}; choose among {_in_short(known)}"
                )
            if name.endswith("_AUC") and protocol["series"]["auc_from"] == interactions:
                raise ConfigError(
                    f"{where} is 0 for everybody: series.auc_from {interactions} leaves a single "
                    "interaction, which has no area; lower auc_from, or rank by _Final"
                )
    for name in ranking.get("weights", ()):
        if name not in ranking["metrics"]:
            raise ConfigError(
                f"ranking.weights: {name!r} is not in ranking.metrics "
                f"({', '.join(ranking['metrics'])})"
            )


def rankable(protocol: Mapping[str, Any]) -> list[str]:
    """Return the columns of a team's table that a ranking can be made of, in the table's order."""
    numbers = range(1, len(steps(dict(protocol))) + 1)
    names = [column(metric) for metric in protocol["metrics"]]
    found = ["TotalRunningTime", *(f"RunningTime_{k}" for k in numbers)]
    found += [f"{name}_{suffix}" for suffix in ("AUC", "Final") for name in names]
    found += [f"{name}_{k}" for name in names for k in numbers]
    noc = protocol["series"].get("noc")
    if noc is not None:
        found += [f"{kind}@{100 * q:g}" for kind in ("NoC", "NoF") for q in noc["at"]]
        found.append("SecondsPerClick")
        if "min_area_px" in noc:
            found += [f"{name}_Final_min{noc['min_area_px']}" for name in names]
    regretted = protocol["series"].get("regret", ())
    found += [f"{name}_{what}" for name in regretted for what in ("Regret", "Harmful")]
    effort = protocol["series"].get("effort")
    if effort is not None:
        found += ["Boxes", "Clicks", "ScribbledVoxels", "EffortSeconds"]
        found += [f"EffortSeconds_{k}" for k in numbers]
        found += [f"{name}@{most:g}s" for most in effort.get("at", ()) for name in names]
    return found


def _in_short(columns: Sequence[str]) -> str:
    """Return columns in a line; of those numbered by interaction the first and the last."""
    first = [name for name in columns if name.endswith("_1")]
    middle = {name for name in columns if name.rpartition("_")[2].isdecimal()} - set(first)
    last = {name[:-1]: name for name in first}
    for name in columns:
        if name in middle:
            last[f"{name.rpartition('_')[0]}_"] = name
    return ", ".join(
        f"{name} to {last[name[:-1]]}" if name in first and last[name[:-1]] != name else name
        for name in columns
        if name not in middle
    )
