"""predict: a submission is loaded once, then answers all interactions on a case in one job, or one a job.

Input: the archives or folders under `submissions`, the prepared image, the prompts so far.
Output: results/predict/{submission}/image.json (what the submission is), and
results/predict/{protocol}/{submission}/{case}/{k}.npz (the answer in force after interaction k)
with {k}.json (how it went). Beside them is {k}.log, for the team: the last lines that its program
printed; it is not declared, so that it outlives a job that is run again and asks for nothing. A
session, unless the config says `jobs: interaction`, runs all interactions of a submission on a case
in turn; it takes the place of prompt and predict and writes the same files.
"""


# No digest of the code: a changed line must not make a moved tag count (only --forcerun base_image does).
rule base_image:
    output:
        "results/base_image.json",
    log:
        "results/logs/base_image.log",
    conda:
        "../../envs/segarena.yaml"
    params:
        runtime=ARENA.runtime,
        base_image=ARENA.base_image,
    message:
        "Looking up which image base_image is"
    script:
        "../scripts/base_image.py"


# The archive is `ancient`: what counts is its content, which `sha256` stands for.
rule image:
    input:
        unpack(base_of),
        source=ancient(submission_source),
    output:
        "results/predict/{submission}/image.json",
    log:
        "results/logs/predict/{submission}.log",
    conda:
        "../../envs/segarena.yaml"
    params:
        sha256=submission_digest,
        runtime=ARENA.runtime,
        base_image=ARENA.base_image,
        sandbox=ARENA.sandbox,
        code=code("predict.image_step"),
    message:
        "Loading submission {wildcards.submission}"
    script:
        "../scripts/image.py"


rule predict:
    input:
        submission=rules.image.output[0],
        image=rules.prepare.output.image,
        prompts=rules.prompt.output[0],
        previous=previous_answer,
    output:
        answer="results/predict/{protocol}/{submission}/{case}/{k}.npz",
        record="results/predict/{protocol}/{submission}/{case}/{k}.json",
    log:
        "results/logs/predict/{protocol}/{submission}/{case}/{k}.log",
    conda:
        "../../envs/segarena.yaml"
    resources:
        gpu=int(ARENA.gpus > 0),
        mem_mb=call_memory,
    params:
        values=predict_values,
    message:
        "{wildcards.protocol}: {wildcards.submission} answers on {wildcards.case}, interaction {wildcards.k}"
    script:
        "../scripts/predict.py"


# One rule per repetition, since each protocol has its own number of interactions.
for _repetition in all_repetitions() if ARENA.jobs == "session" else []:

    rule:
        name:
            name_session(_repetition)
        input:
            unpack(session_drawn(_repetition)),
            submission=rules.image.output[0],
            image=rules.prepare.output.image,
            truth=rules.prepare.output.truth,
        output:
            session_files(_repetition),
        log:
            f"results/logs/predict/{_repetition}/{{submission}}/{{case}}/session.log",
        conda:
            "../../envs/segarena.yaml"
        resources:
            gpu=partial(session_gpu, _repetition),
            mem_mb=partial(session_memory, _repetition),
        params:
            steps=prompt_steps(_repetition),
            values=predict_part(protocol_and_number(_repetition)[0]),
            drawn=partial(drawn_content, _repetition),
            session=partial(session_key, _repetition),
            code=code("prompt.step"),
        message:
            f"{_repetition}: {{wildcards.submission}} runs all interactions on {{wildcards.case}}"
        script:
            "../scripts/session.py"

    workflow.ruleorder(name_session(_repetition), "predict", "prompt")
