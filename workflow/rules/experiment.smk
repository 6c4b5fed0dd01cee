"""Stations one and two: cells, and the evidence gathered from them."""


rule parameters:
    message:
        "{wildcards.paper}: settings of {wildcards.experiment} at {wildcards.scale} scale"
    output:
        "results/{scale}/{paper}/{experiment}/parameters.yaml",
    params:
        settings=settings_text,
    log:
        "logs/{scale}/{paper}/{experiment}/parameters.log",
    benchmark:
        "logs/{scale}/{paper}/{experiment}/parameters.tsv"
    threads: 1
    resources:
        mem_mb=200,
        runtime=1,
    shell:
        "printf '%s' {params.settings:q} > {output} 2> {log}"


rule cell:
    message:
        "{wildcards.paper}: {wildcards.experiment}, cell {wildcards.cell}"
    input:
        parameters="results/{scale}/{paper}/{experiment}/parameters.yaml",
        upstream=upstream_of,
    output:
        arrays="results/{scale}/{paper}/{experiment}/cells/{cell}.npz",
    params:
        code=experiment_code,
        script=script_of,
        folder="results/{scale}/{paper}/{experiment}",
        upstream=upstream_options,
    log:
        "logs/{scale}/{paper}/{experiment}/cells/{cell}.log",
    benchmark:
        "logs/{scale}/{paper}/{experiment}/cells/{cell}.tsv"
    threads: 1
    resources:
        mem_mb=cell_resource("mem_mb"),
        runtime=cell_resource("runtime"),
        gpu=cell_resource("gpu"),
        device=RUN.device,
    shell:
        "python {params.script} --parameters {input.parameters} --output {params.folder} --cell {wildcards.cell}"
        " --device {resources.device} {params.upstream} > {log} 2>&1"


rule evidence:
    message:
        "{wildcards.paper}: evidence of {wildcards.experiment} at {wildcards.scale} scale"
    input:
        parameters="results/{scale}/{paper}/{experiment}/parameters.yaml",
        cells=cells_of,
        upstream=upstream_of,
    output:
        metrics="results/{scale}/{paper}/{experiment}/metrics.json",
        arrays="results/{scale}/{paper}/{experiment}/arrays.npz",
        runs="results/{scale}/{paper}/{experiment}/runs.parquet",
    params:
        code=experiment_code,
        script=script_of,
        folder="results/{scale}/{paper}/{experiment}",
        upstream=upstream_options,
    log:
        "logs/{scale}/{paper}/{experiment}/evidence.log",
    benchmark:
        "logs/{scale}/{paper}/{experiment}/evidence.tsv"
    threads: 1
    resources:
        mem_mb=cell_resource("mem_mb"),
        runtime=5,
    shell:
        "python {params.script} --parameters {input.parameters} --output {params.folder} --gather"
        " {params.upstream} > {log} 2>&1"
