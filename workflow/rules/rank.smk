"""rank: from the teams' tables to a leaderboard, and how far it can be trusted.

Input: results/score/{protocol}/*_metrics.csv. Output: results/rank/{protocol}/leaderboard.csv, with
every scheme, what was missing, significance and stability beside it, as CSV and Parquet
(docs/ranking.md); the spread over a protocol's repetitions; who was left out, and why.
"""


rule rank:
    input:
        tables=tables_of,
        cases=rules.cases.output[0],
    output:
        multiext(
            "results/rank/{protocol}/",
            "schemes.csv",
            "missing.csv",
            "significance.csv",
            "leaderboard.parquet",
            "schemes.parquet",
            "missing.parquet",
            "significance.parquet",
            "spread.csv",
            "left_out.csv",
            "labels.csv",
            "labels.parquet",
            "spread.parquet",
            "left_out.parquet",
        ),
        leaderboard="results/rank/{protocol}/leaderboard.csv",
        stability=directory("results/rank/{protocol}/stability"),
    log:
        "results/logs/rank/{protocol}.log",
    conda:
        "../../envs/segarena.yaml"
    params:
        groups=case_groups(),
        protocol=ranked_protocol,
        left_out=left_out_of,
        code=code("rank.step"),
    message:
        "{wildcards.protocol}: ranking the submissions"
    script:
        "../scripts/rank.py"
