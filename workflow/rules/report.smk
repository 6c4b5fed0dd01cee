"""Station five: the ledger of all verdicts, and the report around it."""


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
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=500,
        runtime=2,
    params:
        code=module_code("pipeline/ledger"),
        papers=",".join(RUN.papers),
        about=papers_text,
        others=other_verdicts,
        intact=PLAN.sealed("results/{scale}/ledger.json"),
    message:
        "ledger of all verdicts at {wildcards.scale} scale"
    shell:
        "python -m flowcheck --minutes {resources.runtime} ledger --scale {wildcards.scale} --papers {params.papers} > {log} 2>&1"


rule report:
    input:
        ledger="results/{scale}/ledger.json",
        notebooks=all_notebooks,
        templates=report_templates(),
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
    params:
        code=module_code("pipeline/report/write"),
        libraries=stamp.libraries(stamp.WRITING),
        deviations=deviations_text,
        intact=PLAN.sealed("results/{scale}/report/digests.json"),
    message:
        "report at {wildcards.scale} scale: results/{wildcards.scale}/report/index.html"
    shell:
        "python -m flowcheck --minutes {resources.runtime} report --scale {wildcards.scale} > {log} 2>&1"
