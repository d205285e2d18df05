# SegArena: interactive medical image segmentation, from cases and submissions to a leaderboard.
# One rule file a stage, in the order in which files flow; README.md says how to run it.

from snakemake.utils import min_version

min_version("9.5")


include: "workflow/rules/common.smk"
include: "workflow/rules/prepare.smk"
include: "workflow/rules/prompt.smk"
include: "workflow/rules/predict.smk"
include: "workflow/rules/score.smk"
include: "workflow/rules/rank.smk"
include: "workflow/rules/report.smk"


# All files of all stages are named: Snakemake does not miss what only stands between two others,
# as after a run in which every scoring failed, and would leave the old tables standing.
rule all:
    default_target: True
    input:
        all_played(),
        all_tables(),
        expand(rules.rank.output.leaderboard, protocol=ARENA.protocols),
        expand(rules.report.output.page, protocol=ARENA.protocols),


include: "workflow/rules/archive.smk"  # after `all`, which says what a finished run is
