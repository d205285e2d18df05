"""archive: the finished run as one file that anyone can check (`snakemake archive`).

Input: all results. Output: results/archive/NAME-DATE.zip, dated by the run, and NAME.sha256, which
names it with its digest (docs/archive.md). No part of `all`.
"""

from segarena.archive.bundle import values_of
from segarena.archive.contents import STEPS


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
        project=workflow.basedir,
        values=values_of(
            config, ARENA, {rule: code(step) for rule, step in STEPS.items()}
        ),
        code=code("archive.step"),
    message:
        "Archiving the run"
    script:
        "../scripts/archive.py"
