"""`segarena rank`: rank any table of task, algorithm, case, value, without a workflow."""

import argparse
from pathlib import Path
from typing import Any

import pandas as pd

from segarena.extras import INSTALL, without
from segarena.rank.aggregate import consensus, ranks
from segarena.rank.outputs import folder_names, write_figure, write_stability
from segarena.rank.significance import mean_ranks, pairwise
from segarena.rank.stability import BOOTSTRAPS, Stability, stability
from segarena.rank.tables import about, read_table, write_table

SEED = 42


def add_parser(subparsers: Any) -> None:
    """Add `rank` to the sub-commands of `segarena`."""
    parser = subparsers.add_parser(
        "rank",
        description="Rank the algorithms of a CSV with the columns task, algorithm, case, value: "
        "score and rank by every scheme, stability, significance and figures.",
    )
    parser.add_argument("table", type=Path, metavar="TABLE.csv")
    direction = parser.add_mutually_exclusive_group(required=True)
    direction.add_argument("--larger-is-better", dest="larger_is_better", action="store_true")
    direction.add_argument("--smaller-is-better", dest="larger_is_better", action="store_false")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="a folder to write")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run `segarena rank` and return its exit code; raises ConfigError where the table is bad."""
    rank_table(arguments.table, larger_is_better=arguments.larger_is_better, out=arguments.out)
    if without("altair"):
        print(f"ranks and stability: {arguments.out}")
        print(f"no figures and no Parquet tables; they need: {INSTALL}")
    else:
        print(f"ranks, stability and figures: {arguments.out}")
    return 0


def rank_table(path: str | Path, *, larger_is_better: bool, out: str | Path) -> pd.DataFrame:
    """Write DIR/ranks.csv, the stability tables and, with Altair, the figures; return the ranks.

    ranks.csv has the columns scheme, task, algorithm, score, rank and nothing else; consensus.csv
    ranks the mean rank over the tasks. Raises ConfigError naming the file, the column and the row.
    """
    out = Path(out)
    table = read_table(path)
    found = ranks(table, larger_is_better=larger_is_better)
    assessed = stability(table, larger_is_better=larger_is_better, seed=SEED)
    tests = pairwise(table, larger_is_better=larger_is_better)
    facts = about(seed=SEED, bootstraps=BOOTSTRAPS, larger_is_better=larger_is_better)
    write_table(found, out / "ranks", facts, plain_csv=True)
    write_table(consensus(found, over="task"), out / "consensus", facts)
    write_table(tests, out / "significance", facts)
    write_stability(assessed, out / "stability", facts)
    if not without("altair"):
        _write_figures(
            table, found, assessed, tests, larger_is_better=larger_is_better, out=out / "figures"
        )
    return found


def _write_figures(
    table: pd.DataFrame,
    found: pd.DataFrame,
    assessed: Stability,
    tests: pd.DataFrame,
    *,
    larger_is_better: bool,
    out: Path,
) -> None:
    for task, folder in folder_names(list(found["task"].unique())).items():
        charts = task_figures(
            *(_only(each, task) for each in (table, found, tests)),
            frequencies=_only(assessed.frequencies, task),
            intervals=_only(assessed.intervals, task),
            taus=_only(assessed.taus, task),
            larger_is_better=larger_is_better,
        )
        for name, chart in charts.items():
            write_figure(chart, out / folder / name)


def task_figures(
    table: pd.DataFrame,
    found: pd.DataFrame,
    tests: pd.DataFrame,
    *,
    frequencies: pd.DataFrame,
    intervals: pd.DataFrame,
    taus: pd.DataFrame,
    larger_is_better: bool,
) -> dict[str, Any]:
    """Return the figures of one task by name; those of pairs only where there is a pair."""
    # Altair takes a second to import, and only figures need it.
    from segarena.rank import figures

    best_first = found[found["scheme"] == "mean_then_rank"].sort_values(["rank", "algorithm"])
    order = best_first["algorithm"].to_list()
    charts: dict[str, Any] = {
        "rank_frequencies": figures.rank_frequencies(frequencies),
        "blobs": figures.blobs(frequencies, intervals),
        "tau_violins": figures.tau_violins(taus),
        "ranks_across_schemes": figures.ranks_across_schemes(found),
        "podium": figures.podium(table, larger_is_better=larger_is_better),
        "ranking_heatmap": figures.ranking_heatmap(table, order, larger_is_better=larger_is_better),
        "dot_and_box": figures.dot_and_box(table, order),
    }
    if len(order) > 1:
        charts["significance_map"] = figures.significance_map(tests, order)
        charts["critical_difference"] = figures.critical_difference(
            mean_ranks(table, larger_is_better=larger_is_better), tests
        )
    return charts


def _only(table: pd.DataFrame, task: str) -> pd.DataFrame:
    return table[table["task"] == task]
