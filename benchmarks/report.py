"""How the report holds at full size: 30 teams, 1,000 cases, 6 interactions.

Writes a results folder of synthetic score tables and of ranking tables in their full size (no
images, no answers; the ranking itself is benchmarks/rank.py's), writes its report, and measures how
long Chromium takes to show the first screen, which is to be under 2 s: `python
benchmarks/report.py`, with a folder to keep what was written.
"""

import resource
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from segarena.protocol import load
from segarena.rank.aggregate import SCHEMES
from segarena.report import step

TEAMS, CASES, INTERACTIONS = 30, 1000, 6
MODALITIES = ("CT", "MR", "PET", "US", "microscopy")
STRUCTURES = ("liver", "kidney", "tumour", "vessel", "bone", "brain", "heart", "cell")


def tables(folder: Path, *, teams: int, cases: int) -> list[str]:
    """Write a SUBMISSION_metrics.csv a team with plausible scores; return the paths."""
    rng = np.random.default_rng(0)
    difficulty = rng.beta(2, 5, cases)
    folder.mkdir(parents=True)
    paths = []
    for team in range(teams):
        skill = 0.95 - 0.012 * team
        series = np.arange(INTERACTIONS) / INTERACTIONS
        values = skill - difficulty[:, None] * (0.6 - 0.35 * series)
        values = np.clip(values + rng.normal(0, 0.05, values.shape), 0, 1)
        seconds = rng.gamma(4, 0.4 + 0.05 * team, values.shape)
        table = pd.DataFrame({"CaseName": [f"case_{i:04}.npz" for i in range(cases)]})
        table["TotalRunningTime"] = seconds.sum(axis=1)
        for k in range(INTERACTIONS):
            table[f"RunningTime_{k + 1}"] = seconds[:, k]
        for name, power in (("DSC", 1.0), ("NSD", 0.8)):
            measured = values**power
            table[f"{name}_AUC"] = np.trapezoid(measured[:, 1:], axis=1)
            table[f"{name}_Final"] = measured[:, -1]
            for k in range(INTERACTIONS):
                table[f"{name}_{k + 1}"] = measured[:, k]
        path = folder / f"team-{team + 1:02}_metrics.csv"
        table.to_csv(path, index=False)
        labels = pd.DataFrame({"label": STRUCTURES, "metric": "DSC", "cases": 125, "mean": skill})
        labels.to_csv(folder / f"team-{team + 1:02}_labels.csv", index=False)
        paths.append(str(path))
    return paths


def rank_tables(folder: Path, teams: list[str], metrics: list[str]) -> None:
    """Write tables of the ranking's form and size, as if the teams were ranked by their names."""
    groups = [
        "all",
        *(f"modality: {m}" for m in MODALITIES),
        *(f"structure: {s}" for s in STRUCTURES),
    ]
    tasks = [*metrics, "final"]
    places = pd.DataFrame({"submission": teams, "rank": range(1, len(teams) + 1)})
    keys = pd.MultiIndex.from_product(
        [groups, tasks, SCHEMES], names=["subgroup", "metric", "scheme"]
    ).to_frame(index=False)
    schemes = keys.merge(places, how="cross").assign(score=lambda t: t["rank"] + 0.123456)
    intervals = (
        schemes.drop(columns="score")
        .rename(columns={"submission": "algorithm", "metric": "task"})
        .assign(
            low=lambda t: (t["rank"] - 2).clip(1),
            median=lambda t: t["rank"],
            high=lambda t: (t["rank"] + 2).clip(upper=len(teams)),
            share_first=lambda t: (t["rank"] == 1) * 0.9,
        )
    )
    everything = keys[keys["subgroup"] == "all"].rename(columns={"metric": "task"})
    counted = everything.merge(places.rename(columns={"submission": "algorithm"}), how="cross")
    frequencies = counted.drop(columns="rank").merge(places[["rank"]], how="cross")
    distance = (frequencies["rank"] - frequencies["algorithm"].str[-2:].astype(int)).abs()
    frequencies["count"] = np.select([distance == 0, distance == 1], [600, 200], 0)
    frequencies["share"] = frequencies["count"] / 1000
    samples = pd.DataFrame({"sample": range(1000), "tau": np.linspace(0.8, 1, 1000).round(2)})
    pairs = pd.DataFrame({"task": metrics}).merge(pd.DataFrame({"algorithm": teams}), how="cross")
    pairs = pairs.merge(pd.DataFrame({"other": teams}), how="cross")
    pairs = pairs[pairs["algorithm"] != pairs["other"]].assign(
        subgroup="all", p_holm=0.01, rank_biserial=0.53, share_better=0.6, share_tied=0.1
    )
    found = {
        "schemes": schemes,
        "significance": pairs.assign(significant=pairs["algorithm"] < pairs["other"]),
        "missing": pd.DataFrame(columns=["submission", "case", "metric", "policy", "value"]),
        "labels": pd.DataFrame(columns=["subgroup", "label", "name"]),
        "spread": pd.DataFrame(columns=["submission", "metric", "mean", "standard_deviation"]),
        "left_out": pd.DataFrame(columns=["submission", "reason"]),
        "stability/intervals": intervals,
        "stability/frequencies": frequencies,
        "stability/taus": everything.merge(samples, how="cross"),
    }
    (folder / "stability").mkdir(parents=True)
    for name, table in found.items():
        table.to_parquet(folder / f"{name}.parquet")


def first_screen(page: Path, *, times: int = 5) -> list[float]:
    """Return the seconds until page and leaderboard are there, each time in a fresh browser."""
    from playwright.sync_api import sync_playwright

    found = []
    with sync_playwright() as playwright:
        chromium = shutil.which("chromium") or shutil.which("google-chrome")
        for _ in range(times):
            browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            tab = browser.new_page(viewport={"width": 1280, "height": 800})
            start = time.perf_counter()
            tab.goto(page.as_uri(), wait_until="load")
            tab.wait_for_selector("#board tbody tr a")
            tab.evaluate("new Promise((done) => requestAnimationFrame(() => setTimeout(done)))")
            found.append(time.perf_counter() - start)
            browser.close()
    return found


def main() -> None:
    """Make the folder, measure, and print a line a measurement."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(sys.argv[1] if len(sys.argv) > 1 else temporary) / "results"
        paths = tables(folder / "score" / "cvpr25", teams=TEAMS, cases=CASES)
        names = {f"team-{i + 1:02}": f"Team {i + 1:02}" for i in range(TEAMS)}
        groups = {
            f"case_{i:04}": {
                "modality": MODALITIES[i % len(MODALITIES)],
                "structure": STRUCTURES[i % len(STRUCTURES)],
            }
            for i in range(CASES)
        }
        protocol = load("cvpr25")
        values = {"names": names, "groups": groups, "protocol": protocol}
        rank_tables(folder / "rank" / "cvpr25", list(names), protocol["ranking"]["metrics"])
        start = time.perf_counter()
        step.main(paths, folder, **values)
        print(f"figures and page: {time.perf_counter() - start:.1f} s", flush=True)
        page = folder / "report" / "cvpr25" / "index.html"
        print(f"index.html: {page.stat().st_size / 1e6:.1f} MB")
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        print(f"peak memory: {peak:.2f} GB")
        seconds = first_screen(page)
        print(
            f"first screen: median {statistics.median(seconds):.2f} s, worst {max(seconds):.2f} s"
        )


if __name__ == "__main__":
    main()
