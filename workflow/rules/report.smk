"""report: pictures of what was asked and answered.

Input: images, truths, prompts and answers. Output: results/report/{protocol}/cases/{case}.png, a
contact sheet a case.
"""


def sheet_answers(wildcards):
    return expand(
        rules.predict.output.answer,
        submission=players(wildcards.protocol),
        k=interactions(wildcards.protocol),
        **wildcards,
    )


def sheet_said(wildcards):
    return expand(
        rules.prompt.output,
        submission=players(wildcards.protocol),
        k=interactions(wildcards.protocol),
        **wildcards,
    )


def sheet_submissions(wildcards):
    return players(wildcards.protocol)


rule sheet:
    input:
        image=rules.prepare.output.image,
        truth=rules.prepare.output.truth,
        said=sheet_said,
        answers=sheet_answers,
    output:
        "results/report/{protocol}/cases/{case}.png",
    log:
        "results/logs/report/{protocol}/{case}.log",
    params:
        submissions=sheet_submissions,
        code=code("sheet.py"),
    message:
        "{wildcards.protocol}: drawing {wildcards.case}"
    script:
        "../scripts/sheet.py"
