"""score: every answer measured against the truth.

Input: the answers, the truth, and the prompts where a protocol measures them. Output: results/score/{protocol}/{submission}/{case}.csv, one row
per interaction, label and metric; results/score/{protocol}/{submission}_metrics.csv, one row a case
in the reference evaluation's columns; {submission}_labels.csv, one row per label or region and metric.
"""


rule score:
    input:
        truth=rules.prepare.output.truth,
        answers=answers_of,
        prompts=measured_prompts,
    output:
        "results/score/{protocol}/{submission}/{case}.csv",
    log:
        "results/logs/score/{protocol}/{submission}/{case}.log",
    conda:
        "../../envs/segarena.yaml"
    params:
        metrics=metric_list,
        ignore_label=ignored_label,
        areas=areas_wanted,
        regions=regions_of,
        code=code("score.step"),
    message:
        "{wildcards.protocol}: scoring {wildcards.submission} on {wildcards.case}"
    script:
        "../scripts/score.py"


rule metrics:
    input:
        scores=case_scores_of,
        records=records_of,
    output:
        table="results/score/{protocol}/{submission}_metrics.csv",
        labels="results/score/{protocol}/{submission}_labels.csv",
    log:
        "results/logs/score/{protocol}/{submission}_metrics.log",
    conda:
        "../../envs/segarena.yaml"
    params:
        cases=list(ARENA.cases),
        values=metrics_values,
        code=code("score.metrics_step"),
    message:
        "{wildcards.protocol}: the table of {wildcards.submission}"
    script:
        "../scripts/metrics.py"
