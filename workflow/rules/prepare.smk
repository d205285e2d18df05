"""prepare: a NIfTI pair or a ready-made .npz pair becomes a case, image and truth apart.

Input: cases.images, cases.labels. Output: results/prepare/{case}.image.npz (what a submission may
see), {case}.truth.npz, {case}.json (where it came from, warnings); cases.tsv, the list of all cases.
Cases are prepared before anything else that could start, so that bad ones are reported first; a bad
case stops its own sessions and the ranking.
"""


rule prepare:
    input:
        unpack(prepare_input),
    output:
        image="results/prepare/{case}.image.npz",
        truth="results/prepare/{case}.truth.npz",
        about="results/prepare/{case}.json",
    log:
        "results/logs/prepare/{case}.log",
    priority: 2
    conda:
        "../../envs/segarena.yaml"
    params:
        values=prepare_values,
        content=case_content,
        code=code("prepare.step"),
    message:
        "Preparing case {wildcards.case}"
    script:
        "../scripts/prepare.py"


rule cases:
    input:
        about=expand(rules.prepare.output.about, case=ARENA.cases),
    output:
        "results/prepare/cases.tsv",
    log:
        "results/logs/prepare.log",
    priority: 1
    conda:
        "../../envs/segarena.yaml"
    params:
        code=code("prepare.cases_step"),
    message:
        "Listing all cases"
    script:
        "../scripts/cases.py"
