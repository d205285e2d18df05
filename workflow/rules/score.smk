"""score: every answer measured against the truth.

Input: the answers, the truth, and the prompts where a protocol measures them. Output: results/score/{protocol}/{submission}/{case}.csv, one row
per interaction, label and metric; results/score/{protocol}/{submission}_metrics.csv, one row a case
in the reference evaluation's columns; {submission}_labels.csv, one row per label or region and metric.
Where there are several raters: {protocol}/_raters/{case}.csv, each rater against the others,
_raters/{submission}/{case}.csv, the last answer against each rater, and _raters.csv, their means.
Where a protocol measures probabilities: {protocol}/_probs/{submission}.csv, for the reliability diagram.
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


rule raters:
    input:
        truth=rules.prepare.output.truth,
    output:
        "results/score/{protocol}/_raters/{case}.csv",
    log:
        "results/logs/score/{protocol}/_raters/{case}.log",
    conda:
        "../../envs/segarena.yaml"
    params:
        metrics=metric_list,
        ignore_label=ignored_label,
        consensus=ARENA.consensus,
        code=code("score.raters_step"),
    message:
        "{wildcards.protocol}: scoring the raters of {wildcards.case} against each other"
    script:
        "../scripts/raters.py"


use rule raters as against_raters with:
    input:
        truth=rules.prepare.output.truth,
        answer=last_answer_of,
    output:
        "results/score/{protocol}/_raters/{submission}/{case}.csv",
    log:
        "results/logs/score/{protocol}/_raters/{submission}/{case}.log",
    message:
        "{wildcards.protocol}: scoring {wildcards.submission} against the raters of {wildcards.case}"


rule raters_table:
    input:
        humans=human_scores_of,
        submissions=scores_against_raters_of,
    output:
        "results/score/{protocol}/_raters.csv",
    log:
        "results/logs/score/{protocol}/_raters.log",
    conda:
        "../../envs/segarena.yaml"
    params:
        code=code("score.raters_table_step"),
    message:
        "{wildcards.protocol}: the table of the raters"
    script:
        "../scripts/raters_table.py"


rule reliability:
    input:
        truths=expand(rules.prepare.output.truth, case=ARENA.cases),
        answers=last_answers_of,
    output:
        "results/score/{protocol}/_probs/{submission}.csv",
    log:
        "results/logs/score/{protocol}/_probs/{submission}.log",
    conda:
        "../../envs/segarena.yaml"
    params:
        ignore_label=ignored_label,
        code=code("score.reliability_step"),
    message:
        "{wildcards.protocol}: the reliability of {wildcards.submission}"
    script:
        "../scripts/reliability.py"
