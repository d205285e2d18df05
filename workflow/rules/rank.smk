"""rank: from the teams' tables to a leaderboard.

Input: results/score/{protocol}/*_metrics.csv. Output: results/rank/{protocol}/leaderboard.csv.
"""


def tables_of(wildcards):
    return expand(rules.metrics.output.table, submission=ARENA.submissions, **wildcards)


def ranking_of(wildcards):
    return protocol_of(wildcards)["ranking"]


rule rank:
    input:
        tables=tables_of,
    output:
        "results/rank/{protocol}/leaderboard.csv",
    log:
        "results/logs/rank/{protocol}.log",
    params:
        names=ARENA.display_names,
        ranking=ranking_of,
        code=code("rank.py"),
    message:
        "{wildcards.protocol}: ranking the submissions"
    script:
        "../scripts/rank.py"
