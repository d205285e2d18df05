"""rank: from the teams' tables to a leaderboard, and how far it can be trusted.

Input: results/score/{protocol}/*_metrics.csv. Output: results/rank/{protocol}/: leaderboard,
schemes, missing, significance and stability/*, each as CSV and Parquet (docs/ranking.md).
"""


def tables_of(wildcards):
    return expand(rules.metrics.output.table, submission=ARENA.submissions, **wildcards)


def rank_values(wildcards):
    protocol = protocol_of(wildcards)
    return {key: protocol[key] for key in ("name", "version", "seed", "ranking")}


def case_groups():
    """Return (case, "column: value") for each group that the cases sheet puts a case in."""
    return [
        (name, f"{column}: {value}")
        for name, case in ARENA.cases.items()
        for column, value in (("modality", case.modality), *case.groups)
        if value
    ]


rule rank:
    input:
        tables=tables_of,
    output:
        leaderboard="results/rank/{protocol}/leaderboard.csv",
        schemes="results/rank/{protocol}/schemes.csv",
        missing="results/rank/{protocol}/missing.csv",
        significance="results/rank/{protocol}/significance.csv",
        stability=expand(
            "results/rank/{{protocol}}/stability/{table}.csv",
            table=["frequencies", "intervals", "taus", "leave_one_out", "agreement"],
        ),
    log:
        "results/logs/rank/{protocol}.log",
    params:
        names=ARENA.display_names,
        groups=case_groups(),
        protocol=rank_values,
        code=code("rank.py"),
    message:
        "{wildcards.protocol}: ranking the submissions"
    script:
        "../scripts/rank.py"
