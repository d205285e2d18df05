"""What the rules of all stages share: the checked config, the digests that decide what is run again, and
the lock that keeps two runs out of one folder.

Input: the config (workflow/schemas/config.schema.yaml). Output: ARENA, the checked config.
"""

import os
import sys
from functools import cache, partial
from pathlib import Path

# The folder of our Snakefile, also where another workflow uses ours as a module. A checkout has the package
# in src and takes it from there, also where another is installed; an installed workflow has no src.
PROJECT = os.path.normpath(os.path.join(str(workflow.current_basedir), "../.."))
SOURCE = os.path.join(PROJECT, "src")
if os.path.isdir(os.path.join(SOURCE, "segarena")):
    sys.path.insert(0, SOURCE)

from segarena import damage, run, snakemake_adapter
from segarena.config import DIGESTS, read
from segarena.plan import same_images, write_plan
from segarena.predict.image import digest
from segarena.predict.runners.watch import machine_memory_bytes
from segarena.predict.store import ANSWER_CHECKS, INPUT_FORMAT, Store
from segarena.protocol import (
    DATA,
    expected_labels,
    ignored_labels,
    label_colours,
    prompt_values,
    regions,
    repetitions,
    steps,
    wants_areas,
    wants_probs,
    wants_prompts,
)
from segarena.provenance import (
    content_digest,
    json_digest,
    remember_contents,
    remembered_code_digest,
)

# --config changes keys of the file; with --configfile the file is another, and this one is not read.
if not workflow.overwrite_configfiles:
    if not config or os.path.exists("config/config.yaml"):

        configfile: "config/config.yaml"


snakemake_adapter.plan_quickly()
snakemake_adapter.give_no_wrong_advice()
snakemake_adapter.report_full_disk_in_one_line()
snakemake_adapter.stop_in_one_line(announce=workflow.is_main_process)
run.let_scripts_find(SOURCE)
with run.exit_on_error():
    ARENA = read(config)
    if workflow.is_main_process:
        run.check_protocols(ARENA.protocols.values())
        damage.report_damaged(run.LOCK)
        remember_contents(
            path
            for case in ARENA.cases.values()
            for path in (case.image, *case.label_files, case.scribbles)
            if path
        )
if workflow.is_main_process:
    run.print_notes(ARENA.notes)
STORE = Store(ARENA.store)


# On a cluster these run beside Snakemake: a second each, and hardly any work.
localrules:
    all,
    cases,
    drop,
    metrics,
    rank,
    raters_table,


wildcard_constraints:
    protocol=r"[a-z0-9][a-z0-9-]*(\.[1-9]\d*)?",
    submission=r"[A-Za-z0-9][A-Za-z0-9._-]*",
    case=r"[A-Za-z0-9][A-Za-z0-9._-]*",
    k=r"[1-9]\d*",


step_digest = cache(remembered_code_digest)


@cache
def code(step):
    """Return a param: the digest of a step, such as "prompt.step", and of the code behind it.

    It is a function, so that a job that runs reckons its own alone; a plan reckons each step once.
    """

    def digest_of_code(wildcards):
        return step_digest(step)

    return digest_of_code


def all_repetitions():
    """Return the repetitions of all protocols."""
    return [
        repetition
        for protocol in ARENA.protocols.values()
        for repetition in repetitions(protocol)
    ]


def protocol_and_number(repetition):
    """Return the protocol of a repetition, and its number, from 0."""
    name, _, number = repetition.partition(".")
    return ARENA.protocols[name], int(number or 1) - 1


def eligible_submissions(repetition):
    """Return the submissions that can use the prompts of a protocol."""
    protocol, _ = protocol_and_number(repetition)
    return [s for s in ARENA.submissions if s not in ARENA.left_out[protocol["name"]]]


def interactions(repetition):
    """Return the numbers of a protocol's interactions, from 1."""
    protocol, _ = protocol_and_number(repetition)
    return range(1, len(steps(protocol)) + 1)


def case_of(wildcards):
    """Return the case, as config and sheet describe it."""
    return ARENA.cases[wildcards.case]


def protocol_of(wildcards):
    """Return the protocol of a job."""
    protocol, _ = protocol_and_number(wildcards.protocol)
    return protocol


def prepare_input(wildcards):
    """Return the files of a case; their content counts (`case_content`), not their time."""
    case = case_of(wildcards)
    files = {
        "image_file": ancient(str(case.image)),
        "label_file": ancient(str(case.label)),
    }
    if case.raters:
        files["rater_files"] = [ancient(str(path)) for _, path in case.raters]
    return files


def case_content(wildcards):
    """Return the digests of the image and of the label maps that a case is made from."""
    case = case_of(wildcards)
    return [content_digest(path) for path in (case.image, *case.label_files)]


def prepare_values(wildcards):
    case = case_of(wildcards)
    return {
        "modality": case.modality,
        "window": case.window,
        "box": case.box,
        "seed": ARENA.seed,
        "npz_spacing": ARENA.npz_spacing,
        "slice_of": case.slice_of,
        "slice": dict(case.slice),
        **empty_values(),
        **consensus_values(case),
    }


def consensus_values(case):
    """Return what prepare needs to know of raters, where there are any."""
    values = {"raters": [name for name, _ in case.raters]} if case.raters else {}
    return values | (
        {} if ARENA.consensus == "given" else {"consensus": ARENA.consensus}
    )


@cache
def empty_values():
    """Return what prepare needs to know of cases without foreground, where a protocol says anything."""
    protocols = ARENA.protocols.values()
    expected, ignored = expected_labels(protocols), ignored_labels(protocols)
    values = {} if expected is None else {"expected": expected}
    return values | ({"ignored": ignored} if ignored else {})


def answers_of(wildcards):
    return expand(
        rules.predict.output.answer, k=interactions(wildcards.protocol), **wildcards
    )


def last_answer_of(wildcards):
    return answers_of(wildcards)[-1]


def last_answers_of(wildcards):
    last = interactions(wildcards.protocol)[-1]
    return expand(rules.predict.output.answer, k=last, case=ARENA.cases, **wildcards)


def reliability_of(wildcards):
    """Return the tables of reliability diagrams, where a protocol measures probabilities."""
    if not wants_probs(protocol_of(wildcards)):
        return []
    return expand(
        rules.reliability.output,
        submission=eligible_submissions(wildcards.protocol),
        **wildcards,
    )


def raters_of(wildcards):
    """Return the table of the raters, where the cases have several."""
    if not ARENA.has_raters:
        return []
    return expand(rules.raters_table.output, **wildcards)


def human_scores_of(wildcards):
    return expand(rules.raters.output, case=ARENA.cases, **wildcards)


def scores_against_raters_of(wildcards):
    return expand(
        rules.against_raters.output,
        submission=eligible_submissions(wildcards.protocol),
        case=ARENA.cases,
        **wildcards,
    )


def measured_prompts(wildcards):
    if not wants_prompts(protocol_of(wildcards)):
        return []
    return expand(
        rules.prompt.output[0], k=interactions(wildcards.protocol), **wildcards
    )


def records_of(wildcards):
    return expand(
        rules.predict.output.record,
        k=interactions(wildcards.protocol),
        case=ARENA.cases,
        **wildcards,
    )


def case_scores_of(wildcards):
    return expand(rules.score.output, case=ARENA.cases, **wildcards)


def metrics_values(wildcards):
    protocol = protocol_of(wildcards)
    keys = (
        "name",
        "version",
        "on_failure",
        "metrics",
        "series",
        "time",
        "labels",
        "over",
    )
    return {key: protocol[key] for key in keys if key in protocol}


def regions_of(wildcards):
    return regions(protocol_of(wildcards))


def labels_of(wildcards):
    return protocol_of(wildcards).get("labels", {})


def colours_of(wildcards):
    return label_colours(labels_of(wildcards))


def metric_list(wildcards):
    return protocol_of(wildcards)["metrics"]


def repetitions_of(wildcards):
    return repetitions(protocol_of(wildcards))


def tables_of(wildcards):
    return expand(
        rules.metrics.output.table,
        protocol=repetitions_of(wildcards),
        submission=eligible_submissions(wildcards.protocol),
    )


def repetition_files(repetition):
    """Return the prompts, answers and scores of a repetition that stay."""
    passing = passing_answers(repetition) if ARENA.answers == "final" else []
    return [
        path.format(protocol=repetition, submission=submission, case=case)
        for path in [*session_files(repetition), rules.score.output[0]]
        if path not in passing
        for submission in eligible_submissions(repetition)
        for case in ARENA.cases
    ]


def finished_run(wildcards):
    """Return the files of every stage.

    Snakemake does not notice that an intermediate file is missing, as after a run in which every
    scoring failed, and would keep the old tables. A function, because it is long: a
    job on a cluster, which reads the rules as well, does not ask for it.
    """
    files = [*expand(rules.prepare.output, case=ARENA.cases), rules.cases.output[0]]
    for repetition in all_repetitions():
        files += expand(rules.image.output, submission=eligible_submissions(repetition))
        files += repetition_files(repetition)
        files += expand(
            rules.metrics.output,
            protocol=repetition,
            submission=eligible_submissions(repetition),
        )
    for name in ARENA.protocols:
        files += expand(rules.rank.output.leaderboard, protocol=name)
        files += expand(
            rules.case_picture.output.about, protocol=name, case=ARENA.cases
        )
        files += expand(
            rules.answer_pictures.output,
            protocol=name,
            submission=eligible_submissions(name),
        )
        files += expand(rules.report.output.page, protocol=name)
        files += viewer_files(name) if ARENA.viewer else []
        if ARENA.answers == "final":
            files += expand(
                rules.drop.output, protocol=name, submission=eligible_submissions(name)
            )
    return files


def ranked_protocol(wildcards):
    protocol = protocol_of(wildcards)
    keys = ["name", "version", "seed", "user", "time", "metrics", "ranking"]
    if "by" in protocol["ranking"]:
        keys += [key for key in ("on_failure", "series", "labels") if key in protocol]
    return {key: protocol[key] for key in keys}


def left_out_of(wildcards):
    return ARENA.left_out[wildcards.protocol]


def ignored_label(wildcards):
    return protocol_of(wildcards).get("ignore_label")


def areas_wanted(wildcards):
    return wants_areas(protocol_of(wildcards))


def case_groups():
    """Return what the sheet says of each case beyond what prepare needs, by case."""
    return {name: case.described for name, case in ARENA.cases.items()}


def interactions_of(wildcards):
    return len(interactions(wildcards.protocol))


# Every figure of the report has a caption, so the captions name the figures.
FIGURES = sorted(path.stem for path in (DATA / "workflow/report").glob("*.rst"))


def public_report():
    """Return the further output of the report where the config asks for what a web site may show."""
    if ARENA.report != "public":
        return {}
    return {"public": directory("results/report/{protocol}/public")}


def case_pictures_of(wildcards):
    return expand(rules.case_picture.output.about, case=ARENA.cases, **wildcards)


def answer_pictures_of(wildcards):
    return expand(
        rules.answer_pictures.output.answers,
        submission=eligible_submissions(wildcards.protocol),
        **wildcards,
    )


def names_of(wildcards):
    """Return the names to show of the submissions of a protocol."""
    return {
        name: ARENA.display_names[name]
        for name in eligible_submissions(wildcards.protocol)
    }


def viewer_answers_of(wildcards):
    """Return what the viewer needs of a submission, nothing where there is no viewer."""
    return expand(rules.viewer_answers.output, **wildcards) if ARENA.viewer else []


def viewer_files(protocol):
    """Return all files of a protocol's viewer."""
    return [
        *expand(rules.viewer.output, protocol=protocol),
        *expand(rules.viewer_case.output, protocol=protocol, case=ARENA.cases),
        *expand(
            rules.viewer_answers.output,
            protocol=protocol,
            submission=eligible_submissions(protocol),
        ),
    ]


def prompt_steps(repetition):
    """Return what the prompt stage needs to know at each interaction."""
    protocol, number = protocol_and_number(repetition)
    return [prompt_values(protocol, k, number) for k in interactions(repetition)]


def predict_part(protocol):
    """Return all but the files that an answer depends on."""
    keys = (
        "name",
        "version",
        "on_failure",
        "time",
        "limits",
        "reuse",
        "state",
        "container",
    )
    call_rules = {key: protocol[key] for key in keys if key in protocol}
    # What a failed call counts as is for the ranking; no answer depends on it.
    call_rules["time"] = {
        key: value for key, value in protocol["time"].items() if key != "failed"
    }
    if wants_probs(protocol):
        call_rules["probs"] = True
    return {
        "rules": call_rules,
        "gpu": ARENA.gpus > 0,
        "checks": [INPUT_FORMAT, ANSWER_CHECKS],
    }


@cache
def session_rules(repetition):
    """Return what is alike in all sessions of a repetition, and what their answers follow from."""
    protocol, _ = protocol_and_number(repetition)
    unseen = ("protocol", "version", "name")
    prompts = [without(step, unseen) for step in prompt_steps(repetition)]
    predicts = predict_part(protocol)
    predicts["rules"] = without(predicts["rules"], unseen)
    return json_digest(
        [prompts, predicts, ARENA.runtime, ARENA.base_image, ARENA.sandbox]
    )


SESSION_KEYS = {}


def session_key(repetition, wildcards):
    """Return what a session's answers follow from, as far as it is known before anything runs."""
    place = (repetition, wildcards.submission, wildcards.case)
    # A plan asks for it three times: as a param, for the GPU and for the memory.
    if place not in SESSION_KEYS:
        protocol, _ = protocol_and_number(repetition)
        alone = protocol.get("reuse") == "never"
        SESSION_KEYS[place] = json_digest(
            [
                [
                    session_rules(repetition),
                    submission_digest(wildcards),
                    wildcards.case,
                ],
                [case_content(wildcards), prepare_values(wildcards)],
                drawn_content(repetition, wildcards),
                [code("prepare.step")(wildcards), code("prompt.step")(wildcards)],
                [os.getcwd(), repetition, wildcards.submission] if alone else [],
            ]
        )
    return SESSION_KEYS[place]


def without(values, keys):
    """Return a dict without some of its keys."""
    return {key: value for key, value in values.items() if key not in keys}


def is_answered(repetition, wildcards):
    """Return whether the store has all answers of a session, so that it calls nothing.

    Not known before the run where base_image is to be looked up again: it may be another image.
    """
    if snakemake_adapter.is_forced(workflow, "base_image"):
        return False
    return STORE.has_session(session_key(repetition, wildcards))


def session_gpu(repetition, wildcards):
    return int(ARENA.gpus > 0 and not is_answered(repetition, wildcards))


MACHINE_MB = machine_memory_bytes() >> 20
OURS_MB = 4096  # what we need ourselves beside a container


def memory_mb(protocol, submission):
    """Return the memory that a call is allotted; here never more than there is, as its limit says.

    A plain process has no limit, so there is none to allot.
    """
    if ARENA.runs_as_process(submission):
        return OURS_MB
    wanted = round(protocol["limits"]["memory_gb"] * 1024) + OURS_MB
    return min(wanted, MACHINE_MB) if workflow.local_exec else wanted


def call_memory(wildcards):
    return memory_mb(protocol_of(wildcards), wildcards.submission)


def session_memory(repetition, wildcards):
    if is_answered(repetition, wildcards):
        return OURS_MB
    return memory_mb(protocol_and_number(repetition)[0], wildcards.submission)


def drawn_input(repetition, wildcards):
    """Return the file of scribbles that people drew on a case, where the protocol's user has it."""
    protocol, _ = protocol_and_number(repetition)
    if all(step["prompt"] != "drawn" for step in protocol["user"]):
        return {}
    return {"drawn": ancient(str(case_of(wildcards).scribbles))}


def drawn_content(repetition, wildcards):
    """Return the digest of that file, or none."""
    return [
        content_digest(path) for path in drawn_input(repetition, wildcards).values()
    ]


def drawn_content_of(wildcards):
    return drawn_content(wildcards.protocol, wildcards)


def prompt_input(wildcards):
    before = int(wildcards.k) - 1
    drawn = drawn_input(wildcards.protocol, wildcards)
    if before == 0:
        return drawn
    values = {**wildcards, "k": before}
    return drawn | {
        "prompts": str(rules.prompt.output).format(**values),
        "answer": rules.predict.output.answer.format(**values),
    }


def values_of_prompt(wildcards):
    protocol, number = protocol_and_number(wildcards.protocol)
    return prompt_values(protocol, int(wildcards.k), number)


def archive_values(wildcards):
    """Return what an archive says of the run; only its own job loads what it takes."""
    from segarena.archive.bundle import values_of
    from segarena.archive.contents import STEPS

    digests = {rule: code(step)(wildcards) for rule, step in STEPS.items()}
    return values_of(config, ARENA, digests)


def submission_digest(wildcards):
    return digest(ARENA.submissions[wildcards.submission], DIGESTS)


def submission_source(wildcards):
    return ARENA.submissions[wildcards.submission]


def base_of(wildcards):
    """Return the file that says which image a folder runs in; none for archives and processes."""
    folder = ARENA.submissions[wildcards.submission].is_dir()
    if not folder or ARENA.runs_as_process(wildcards.submission):
        return {}
    return {"base": rules.base_image.output[0]}


def previous_answer(wildcards):
    before = int(wildcards.k) - 1
    if before == 0:
        return []
    return rules.predict.output.answer.format(**{**wildcards, "k": before})


def predict_values(wildcards):
    return predict_part(protocol_of(wildcards))


def session_drawn(repetition):
    """Return the input function of a repetition's session, whose rule has no wildcard `protocol`."""
    return partial(drawn_input, repetition)


def session_files(repetition):
    """Return all files of a session, interaction by interaction: prompts, answer, record."""
    kinds = (
        rules.prompt.output[0],
        rules.predict.output.answer,
        rules.predict.output.record,
    )
    return [
        path.replace("{protocol}", repetition).replace("{k}", str(k))
        for k in interactions(repetition)
        for path in kinds
    ]


def passing_answers(repetition):
    """Return all answers of a session but the last."""
    answer = rules.predict.output.answer.replace("{protocol}", repetition)
    return [answer.replace("{k}", str(k)) for k in interactions(repetition)[:-1]]


def tables_of_submission(wildcards):
    return expand(
        rules.metrics.output.table,
        protocol=repetitions_of(wildcards),
        submission=wildcards.submission,
    )


def name_session(repetition):
    """Return the name of a repetition's session rule."""
    return f"session_{repetition.replace('.', '_')}"


# Profiles set the resources of `session`, whatever the protocols of a run.
snakemake_adapter.share_resources(
    workflow, "session", [name_session(repetition) for repetition in all_repetitions()]
)


def all_notes():
    """Return what the user should know at the end of a run."""
    return [*ARENA.notes, *same_images(Path("results"), ARENA.submissions)]


onstart:
    run.start_run(gpus=ARENA.gpus, cluster=not workflow.local_exec)
    with run.exit_on_error():
        write_plan(ARENA, workflow.configfiles, workflow.config_settings.config)
        STORE.register(os.getcwd())
    if ARENA.gpus and workflow.local_exec:
        # As many calls at a time as slots; which device each gets, predict/gpu.py decides.
        workflow.register_resource("gpu", ARENA.gpus)
    if workflow.local_exec and "mem_mb" not in workflow.global_resources:
        # Calls side by side must not starve each other: the machine's fault would be theirs.
        workflow.register_resource("mem_mb", MACHINE_MB)


onsuccess:
    with run.exit_on_error():
        damage.note_sizes()
    run.print_notes(all_notes())


onerror:
    run.print_notes(all_notes())
    if not snakemake_adapter.was_stopped():
        run.print_errors()
    with run.exit_on_error():
        damage.note_sizes()
