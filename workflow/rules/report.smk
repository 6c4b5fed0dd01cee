"""Station five: the ledger of all verdicts, and the report around it."""

from flowcheck.pipeline.stations import stamp_of_report


rule ledger:
    input:
        verdicts=all_verdicts,
        note=note_of_seal(
            "{scale}/ledger",
            ["results/{scale}/ledger.json"],
            ["results/{scale}/ledger.csv", "results/{scale}/ledger.md"],
            ledger_stamp,
        ),
    output:
        json="results/{scale}/ledger.json",
        csv=report("results/{scale}/ledger.csv", category="ledger", caption="../report/ledger.rst"),
        md="results/{scale}/ledger.md",
    log:
        "logs/{scale}/ledger.log",
    benchmark:
        "logs/{scale}/ledger.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=500,
        runtime=2,
    params:
        papers=",".join(RUN.papers),
    message:
        "ledger of all verdicts at {wildcards.scale} scale"
    shell:
        "python -m flowcheck --minutes {resources.runtime} ledger --scale {wildcards.scale} --papers {params.papers} > {log} 2>&1"


rule report:
    input:
        ledger="results/{scale}/ledger.json",
        notebooks=all_notebooks,
        note=note_of_seal(
            "{scale}/report",
            ["results/{scale}/report/digests.json"],
            ["results/{scale}/report/index.html"],
            stamp_of_report(PROJECT),
        ),
    output:
        index="results/{scale}/report/index.html",
        digests="results/{scale}/report/digests.json",
    log:
        "logs/{scale}/report.log",
    benchmark:
        "logs/{scale}/report.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=500,
        runtime=2,
    message:
        "report at {wildcards.scale} scale: results/{wildcards.scale}/report/index.html"
    shell:
        "python -m flowcheck --minutes {resources.runtime} report --scale {wildcards.scale} > {log} 2>&1"
