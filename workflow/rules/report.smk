"""Station five: the ledger of all verdicts, and the report around it."""

import os


def selected_experiments():
    return [(paper, experiment) for paper, experiment in PROJECT if paper in RUN.papers]


def all_verdicts(wildcards):
    return [f"results/{wildcards.scale}/claims/{paper}/{claim}.json" for paper in RUN.papers for claim in PROJECT.claims[paper]]


def all_notebooks(wildcards):
    return [f"results/{wildcards.scale}/{paper}/{experiment}/notebook.html" for paper, experiment in selected_experiments()]


def deviations_text(wildcards):
    return "".join(entry.model_dump_json() for paper in RUN.papers for entry in PROJECT.deviations[paper])


def papers_text(wildcards):
    """What the ledger repeats about the papers."""
    return "".join(PROJECT.papers[paper].model_dump_json(exclude={"experiments"}) for paper in RUN.papers)


def report_templates():
    """Relative to the checkout, so that a moved or copied checkout is still up to date."""
    return sorted(os.path.relpath(path) for path in (PACKAGE_FOLDER / "report" / "templates").iterdir())


rule ledger:
    input:
        verdicts=all_verdicts,
        expected=lambda wildcards: [p for p in [f"config/expected/{wildcards.scale}.json"] if Path(p).is_file()],
    output:
        json="results/{scale}/ledger.json",
        csv=report("results/{scale}/ledger.csv", category="ledger", caption="../report/ledger.rst"),
        md="results/{scale}/ledger.md",
    log:
        "logs/{scale}/ledger.log",
    benchmark:
        "logs/{scale}/ledger.tsv"
    threads: 1
    resources:
        mem_mb=500,
        runtime=2,
    params:
        code=module_code("ledger"),
        papers=",".join(RUN.papers),
        about=papers_text,
    message:
        "ledger of all verdicts at {wildcards.scale} scale"
    shell:
        "python -m flowcheck ledger --scale {wildcards.scale} --papers {params.papers} > {log} 2>&1"


rule report:
    input:
        ledger="results/{scale}/ledger.json",
        notebooks=all_notebooks,
        templates=report_templates(),
    output:
        "results/{scale}/report/index.html",
    log:
        "logs/{scale}/report.log",
    benchmark:
        "logs/{scale}/report.tsv"
    threads: 1
    resources:
        mem_mb=500,
        runtime=2,
    params:
        code=module_code("report/__init__"),
        papers=",".join(RUN.papers),
        deviations=deviations_text,
    message:
        "report at {wildcards.scale} scale: results/{wildcards.scale}/report/index.html"
    shell:
        "python -m flowcheck report --scale {wildcards.scale} --papers {params.papers} > {log} 2>&1"
