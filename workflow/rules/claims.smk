"""Station three: verdicts. One job judges all claims of an experiment; asking for one claim pulls its experiment and no other."""

from flowcheck.pipeline.stations import stamp_of_verdicts

for _paper, _experiment in PROJECT:
    _verdicts = [f"results/{{scale}}/claims/{_paper}/{claim}.json" for claim in PROJECT.claims_of(_paper, _experiment)]
    _stamp = stamp_of_verdicts(PROJECT, _paper, _experiment)

    rule:
        name:
            f"judge_{_paper}_{_experiment}"
        input:
            metrics=f"results/{{scale}}/{_paper}/{_experiment}/metrics.json",
            note=note_of_seal(f"{{scale}}/{_paper}/{_experiment}/judge", _verdicts, [], _stamp),
        output:
            verdicts=_verdicts,
        log:
            f"logs/{{scale}}/{_paper}/{_experiment}/judge.log",
        benchmark:
            f"logs/{{scale}}/{_paper}/{_experiment}/judge.tsv"
        priority: 1 + urgency_of_notebook(_paper, _experiment)
        conda:
            "../../environment.yml"
        threads: 1
        resources:
            mem_mb=500,
            runtime=2,
        params:
            paper=_paper,
            experiment=_experiment,
        message:
            f"{_paper}: verdicts on the claims of {_experiment}"
        shell:
            "python -m flowcheck --minutes {resources.runtime} judge --scale {wildcards.scale} --paper {params.paper} --experiment {params.experiment}"
            " --metrics {input.metrics} > {log} 2>&1"
