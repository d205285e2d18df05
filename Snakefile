# SegArena: interactive medical image segmentation, from cases and submissions to a leaderboard.
# One rule file a stage, in the order in which files flow; README.md says how to run it.

from snakemake.utils import min_version

min_version("9.17")


include: "workflow/rules/common.smk"
include: "workflow/rules/prepare.smk"
include: "workflow/rules/prompt.smk"
include: "workflow/rules/predict.smk"
include: "workflow/rules/score.smk"
include: "workflow/rules/rank.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/archive.smk"


rule all:
    default_target: True
    input:
        finished_run,
    message:
        "All results are there"
