"""report: pictures of what was asked and answered.

Input: images, truths, prompts and answers. Output: results/report/{protocol}/cases/{case}.png, a
contact sheet a case.
"""


def last_k(wildcards):
    return max(interactions(wildcards.protocol))


def sheet_answers(wildcards):
    return expand(
        rules.predict.output.answer,
        submission=ARENA.submissions,
        k=interactions(wildcards.protocol),
        **wildcards,
    )


def sheet_said(wildcards):
    return expand(
        rules.prompt.output,
        submission=ARENA.submissions,
        k=last_k(wildcards),
        **wildcards,
    )


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
        submissions=list(ARENA.submissions),
        code=code("sheet.py"),
    message:
        "{wildcards.protocol}: drawing {wildcards.case}"
    script:
        "../scripts/sheet.py"
