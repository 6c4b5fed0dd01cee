"""Station three: verdicts. One job judges all claims of an experiment; asking for one claim pulls its experiment and no other."""

import hashlib


def claims_digest(paper, experiment):
    """Digest of all that the verdict files repeat from the configuration: a change of it re-judges, and re-runs nothing."""
    claims = PROJECT.claims_of(paper, experiment).values()
    entry = PROJECT.experiment(paper, experiment)
    related = [(deviation.id, deviation.claims, deviation.hits) for deviation in PROJECT.deviations[paper]]
    text = "".join(claim.model_dump_json() for claim in claims) + f"{entry.title}{entry.promised_metrics}{related}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]  # the text itself holds braces, which Snakemake would expand


for _paper, _experiment in PROJECT:
    _verdicts = [f"results/{{scale}}/claims/{_paper}/{claim}.json" for claim in PROJECT.claims_of(_paper, _experiment)]

    rule:
        name:
            f"judge_{_paper}_{_experiment}"
        input:
            metrics=f"results/{{scale}}/{_paper}/{_experiment}/metrics.json",
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
            claims=claims_digest(_paper, _experiment),
            code=module_code("pipeline/ledger"),
            paper=_paper,
            experiment=_experiment,
            intact=PLAN.sealed(*_verdicts),
        message:
            f"{_paper}: verdicts on the claims of {_experiment}"
        shell:
            "python -m flowcheck --minutes {resources.runtime} judge --scale {wildcards.scale} --paper {params.paper} --experiment {params.experiment}"
            " --metrics {input.metrics} > {log} 2>&1"
