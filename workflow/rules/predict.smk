"""predict: a submission is loaded once, then answers one interaction a job.

Input: the archives or folders under `submissions`, the prepared image, what the user has said.
Output: results/predict/{submission}/image.json (what the submission is), and
results/predict/{protocol}/{submission}/{case}/{k}.npz (the answer in force after interaction k)
with {k}.json (how it went) and {k}.log (what the team may be told: the last lines it printed).
"""

CACHE = Path(".snakemake/segarena/archives.json")


def submission_digest(wildcards):
    return digest(ARENA.submissions[wildcards.submission], CACHE)


def submission_source(wildcards):
    return ARENA.submissions[wildcards.submission]


def previous_answer(wildcards):
    before = int(wildcards.k) - 1
    if before == 0:
        return []
    return rules.predict.output.answer.format(**{**wildcards, "k": before})


def previous_record(wildcards):
    answer = previous_answer(wildcards)
    return answer.removesuffix(".npz") + ".json" if answer else []


def predict_rules(wildcards):
    protocol = protocol_of(wildcards)
    return {
        key: protocol[key]
        for key in ("name", "version", "on_failure", "time", "limits")
    }


# The archive is `ancient`: what counts is its content, which `sha256` stands for.
rule image:
    input:
        source=ancient(submission_source),
    output:
        "results/predict/{submission}/image.json",
    log:
        "results/logs/predict/{submission}.log",
    params:
        sha256=submission_digest,
        runtime=ARENA.runtime,
        base_image=ARENA.base_image,
        code=code("image.py"),
    message:
        "Loading submission {wildcards.submission}"
    script:
        "../scripts/image.py"


rule predict:
    input:
        submission=rules.image.output[0],
        image=rules.prepare.output.image,
        said=rules.prompt.output[0],
        previous=previous_answer,
        previous_record=previous_record,
        gate=ancient(rules.cases.output[0]),
    output:
        answer="results/predict/{protocol}/{submission}/{case}/{k}.npz",
        record="results/predict/{protocol}/{submission}/{case}/{k}.json",
        printed="results/predict/{protocol}/{submission}/{case}/{k}.log",
    log:
        "results/logs/predict/{protocol}/{submission}/{case}/{k}.log",
    params:
        rules=predict_rules,
        code=code("predict.py"),
    message:
        "{wildcards.protocol}: {wildcards.submission} answers on {wildcards.case}, interaction {wildcards.k}"
    script:
        "../scripts/predict.py"
