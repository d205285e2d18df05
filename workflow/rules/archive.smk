"""archive: the finished run as one file that anyone can check (`snakemake archive`).

Input: all results. Output: results/archive/NAME-DATE.zip, dated by the run, and NAME.sha256, which
names it with its digest (docs/archive.md). No part of `all`.
"""


rule archive:
    input:
        finished_run,
    output:
        f"results/archive/{ARENA.archive['name']}.sha256",
    log:
        "results/logs/archive.log",
    conda:
        "../../envs/segarena.yaml"
    params:
        project=PROJECT,
        values=archive_values,
        code=code("archive.step"),
    message:
        "Archiving the run"
    script:
        "../scripts/archive.py"
