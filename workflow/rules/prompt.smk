"""prompt: what the simulated user says next.

Input: the truth and the answer before. Output: results/prompt/{protocol}/{submission}/{case}/{k}.json,
all prompts up to interaction k.
"""


rule prompt:
    input:
        unpack(prompt_input),
        image=rules.prepare.output.image,
        truth=rules.prepare.output.truth,
    output:
        "results/prompt/{protocol}/{submission}/{case}/{k}.json",
    log:
        "results/logs/prompt/{protocol}/{submission}/{case}/{k}.log",
    conda:
        "../../envs/segarena.yaml"
    params:
        values=values_of_prompt,
        drawn=drawn_content_of,
        code=code("prompt.step"),
    message:
        "{wildcards.protocol}: what the user says to {wildcards.submission} on {wildcards.case} at interaction {wildcards.k}"
    script:
        "../scripts/prompt.py"
