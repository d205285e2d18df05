"""report: one folder a protocol that opens from disk, with pictures, figures and the page.

Input: the rank stage's tables, the teams' tables, and what was asked and answered on every case.
Output: results/report/{protocol}/: index.html and data/ (what the page loads when it is looked at),
tables/*.csv, figures/*.svg, .png, .csv and .json, public/ with `report: public`, cases/{case}.webp with
{case}.truth.png and {case}.js (the case, drawn once), answers/{submission}/{case}.png (a layer over it,
a row an interaction), errors/ of the same form.
figures/*.svg and *.png, cases/{case}.webp with {case}.truth.png and {case}.js (the case, drawn
once), answers/{submission}/{case}.png (a layer over it, a row an interaction), errors/ of the same form;
viewer/ (NiiVue and its volumes), where the config asks for it.
"""


rule case_picture:
    input:
        image=rules.prepare.output.image,
        truth=rules.prepare.output.truth,
    output:
        image="results/report/{protocol}/cases/{case}.webp",
        truth="results/report/{protocol}/cases/{case}.truth.png",
        about="results/report/{protocol}/cases/{case}.js",
    log:
        "results/logs/report/{protocol}/cases/{case}.log",
    conda:
        "../../envs/segarena.yaml"
    params:
        colours=colours_of,
        code=code("report.case_picture_step"),
    message:
        "{wildcards.protocol}: drawing {wildcards.case}"
    script:
        "../scripts/case_picture.py"


# The table stands for the answers behind it, which are read by their place: naming each of them
# again would double the work of building the DAG.
rule answer_pictures:
    input:
        table=rules.metrics.output.table,
    output:
        answers=directory("results/report/{protocol}/answers/{submission}"),
        errors=directory("results/report/{protocol}/errors/{submission}"),
    log:
        "results/logs/report/{protocol}/answers/{submission}.log",
    benchmark:
        "results/benchmarks/report/{protocol}/answers/{submission}.tsv"
    conda:
        "../../envs/segarena.yaml"
    params:
        cases=list(ARENA.cases),
        interactions=interactions_of,
        colours=colours_of,
        ignore_label=ignored_label,
        code=code("report.answer_pictures_step"),
    message:
        "{wildcards.protocol}: drawing the answers of {wildcards.submission}"
    script:
        "../scripts/answer_pictures.py"


# Asked for where the config says `answers: final`: whatever reads the others has read them by now.
rule drop:
    input:
        tables=tables_of_submission,
        pictures=rules.answer_pictures.output,
        viewer=viewer_answers_of,
    output:
        "results/predict/{protocol}/{submission}/dropped.json",
    log:
        "results/logs/predict/{protocol}/{submission}/dropped.log",
    conda:
        "../../envs/segarena.yaml"
    params:
        repetitions=repetitions_of,
        cases=list(ARENA.cases),
        interactions=interactions_of,
        code=code("predict.drop_step"),
    message:
        "{wildcards.protocol}: dropping all but the final answers of {wildcards.submission}"
    script:
        "../scripts/drop.py"


# On demand, `snakemake sheets`: the page shows the same and draws nothing twice.
rule sheet:
    input:
        prepared=rules.prepare.output.truth,
        image=rules.case_picture.output.image,
        truth=rules.case_picture.output.truth,
        answers=answer_pictures_of,
    output:
        "results/report/{protocol}/sheets/{case}.png",
    log:
        "results/logs/report/{protocol}/sheets/{case}.log",
    conda:
        "../../envs/segarena.yaml"
    params:
        labels=labels_of,
        code=code("report.sheet_step"),
    message:
        "{wildcards.protocol}: the contact sheet of {wildcards.case}"
    script:
        "../scripts/sheet.py"


rule sheets:
    input:
        expand(rules.sheet.output, protocol=ARENA.protocols, case=ARENA.cases),


# With `viewer: true`.
rule viewer_case:
    input:
        image=rules.prepare.output.image,
        truth=rules.prepare.output.truth,
    output:
        image="results/report/{protocol}/viewer/cases/{case}/image.nii.gz",
        truth="results/report/{protocol}/viewer/cases/{case}/truth.nii.gz",
        about="results/report/{protocol}/viewer/cases/{case}/about.json",
    log:
        "results/logs/report/{protocol}/viewer/cases/{case}.log",
    conda:
        "../../envs/segarena.yaml"
    params:
        labels=labels_of,
        code=code("report.viewer_case_step"),
    message:
        "{wildcards.protocol}: writing {wildcards.case} for the viewer"
    script:
        "../scripts/viewer_case.py"


rule viewer_answers:
    input:
        table=rules.metrics.output.table,
    output:
        answers=directory("results/report/{protocol}/viewer/answers/{submission}"),
        prompts=directory("results/report/{protocol}/viewer/prompts/{submission}"),
    log:
        "results/logs/report/{protocol}/viewer/answers/{submission}.log",
    conda:
        "../../envs/segarena.yaml"
    params:
        cases=list(ARENA.cases),
        interactions=interactions_of,
        code=code("report.viewer_answers_step"),
    message:
        "{wildcards.protocol}: writing the answers of {wildcards.submission} for the viewer"
    script:
        "../scripts/viewer_answers.py"


rule viewer:
    output:
        page="results/report/{protocol}/viewer/index.html",
        niivue="results/report/{protocol}/viewer/niivue.js",
        licence="results/report/{protocol}/viewer/niivue-licence.txt",
    log:
        "results/logs/report/{protocol}/viewer.log",
    conda:
        "../../envs/segarena.yaml"
    params:
        names=names_of,
        cases=list(ARENA.cases),
        interactions=interactions_of,
        code=code("report.viewer_step"),
    message:
        "{wildcards.protocol}: writing the viewer"
    script:
        "../scripts/viewer.py"


rule report:
    input:
        tables=tables_of,
        leaderboard=rules.rank.output.leaderboard,
        stability=rules.rank.output.stability,
        cases=case_pictures_of,
        answers=answer_pictures_of,
        raters=raters_of,
        reliability=reliability_of,
    output:
        [
            report(
                f"results/report/{{protocol}}/figures/{name}.svg",
                caption=f"../report/{name}.rst",
                category="{protocol}",
                labels={"figure": name.replace("_", " ")},
            )
            for name in FIGURES
        ],
        expand(
            "results/report/{{protocol}}/figures/{name}.{kind}",
            name=FIGURES,
            kind=["png", "csv", "json"],
        ),
        **public_report(),
        page="results/report/{protocol}/index.html",
        data=directory("results/report/{protocol}/data"),
        tables=directory("results/report/{protocol}/tables"),
    log:
        "results/logs/report/{protocol}.log",
    benchmark:
        "results/benchmarks/report/{protocol}.tsv"
    conda:
        "../../envs/segarena.yaml"
    params:
        names=ARENA.display_names,
        groups=case_groups(),
        protocol=protocol_of,
        public=ARENA.report == "public",
        viewer=ARENA.viewer,
        code=code("report.step"),
    message:
        "{wildcards.protocol}: drawing the figures and writing the report"
    script:
        "../scripts/report.py"
