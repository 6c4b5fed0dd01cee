"""Stations one and two: cells, and the evidence gathered from them; before them, the data sets that they read.

The evidence job of an experiment without a grid runs its only cell too.
"""


rule parameters:
    input:
        note=note(
            "{scale}/{paper}/{experiment}/parameters",
            ["results/{scale}/{paper}/{experiment}/parameters.yaml"],
            check_parameters,
        ),
    output:
        "results/{scale}/{paper}/{experiment}/parameters.yaml",
    log:
        "logs/{scale}/{paper}/{experiment}/parameters.log",
    benchmark:
        "logs/{scale}/{paper}/{experiment}/parameters.tsv"
    priority: EVIDENCE_FIRST
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=200,
        runtime=1,
    params:
        settings=settings_text,
    message:
        "{wildcards.paper}: settings of {wildcards.experiment} at {wildcards.scale} scale"
    shell:
        "printf '%s' {params.settings:q} > {output} 2> {log}"


rule data:
    input:
        note=note(
            "{scale}/data/{data_set}",
            ["results/{scale}/data/{data_set}/origin.json"],
            check_data_set,
        ),
    output:
        origin="results/{scale}/data/{data_set}/origin.json",
    log:
        "logs/{scale}/data/{data_set}.log",
    benchmark:
        "logs/{scale}/data/{data_set}.tsv"
    priority: EVIDENCE_FIRST
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=500,
        runtime=10,
    params:
        folder=named_folder,
    message:
        "the data set {wildcards.data_set} at {wildcards.scale} scale"
    shell:
        "python -m flowcheck --minutes {resources.runtime} data {wildcards.data_set} --scale {wildcards.scale} {params.folder} > {log} 2>&1"


rule cell:
    input:
        upstream=upstream_of,
        data=data_of,
        note=note(
            "{scale}/{paper}/{experiment}/cells/{cell}",
            ["results/{scale}/{paper}/{experiment}/cells/{cell}.npz"],
            check_cell,
        ),
    output:
        arrays="results/{scale}/{paper}/{experiment}/cells/{cell}.npz",
    log:
        "logs/{scale}/{paper}/{experiment}/cells/{cell}.log",
    benchmark:
        "logs/{scale}/{paper}/{experiment}/cells/{cell}.tsv"
    priority: EVIDENCE_FIRST
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=cell_resource("mem_mb"),
        runtime=cell_resource("runtime"),
        gpu=gpus_of_cell,
        device=RUN.device,
    params:
        script=script_of,
        folder=subpath(output.arrays, ancestor=2),
        settings=settings_of_cell,
        upstream=upstream_options,
        data=data_options,
    message:
        "{wildcards.paper}: {wildcards.experiment}, cell {wildcards.cell}"
    shell:
        "printf '%s' {params.settings:q} | python {params.script} --parameters /dev/stdin --output {params.folder} --cell {wildcards.cell}"
        " --device {resources.device} --minutes {resources.runtime} {params.upstream} {params.data} > {log} 2>&1"


rule evidence:
    input:
        parameters="results/{scale}/{paper}/{experiment}/parameters.yaml",
        cells=cells_of,
        upstream=upstream_of,
        data=data_of,
        note=note_of_seal(
            "{scale}/{paper}/{experiment}/evidence",
            ["results/{scale}/{paper}/{experiment}/metrics.json"],
            [f"results/{{scale}}/{{paper}}/{{experiment}}/{name}" for name in ("arrays.npz", "runs.parquet")],
            evidence_stamp,
        ),
    output:
        metrics="results/{scale}/{paper}/{experiment}/metrics.json",
        arrays="results/{scale}/{paper}/{experiment}/arrays.npz",
        runs="results/{scale}/{paper}/{experiment}/runs.parquet",
    log:
        "logs/{scale}/{paper}/{experiment}/evidence.log",
    benchmark:
        "logs/{scale}/{paper}/{experiment}/evidence.tsv"
    priority: EVIDENCE_FIRST
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=cell_resource("mem_mb"),
        runtime=runtime_of_evidence,
        gpu=gpus_of_evidence,
        device=RUN.device,
    params:
        step=step_of_evidence,
        script=script_of,
        folder=subpath(input.parameters, parent=True),
        upstream=upstream_options,
        data=data_options,
    message:
        "{wildcards.paper}: evidence of {wildcards.experiment} at {wildcards.scale} scale"
    shell:
        "python {params.script} --parameters {input.parameters} --output {params.folder} {params.step}"
        " --device {resources.device} --minutes {resources.runtime} {params.upstream} {params.data} > {log} 2>&1"
