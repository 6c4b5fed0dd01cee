"""Station four: notebooks draw the figures and show the numbers and verdicts; they compute nothing."""

from flowcheck.pipeline.project import FIGURE_FORMATS
from flowcheck.pipeline.stations import stamp_of_notebook

for _paper, _experiment in PROJECT:
    _folder = f"results/{{scale}}/{_paper}/{_experiment}"
    _figures = [
        f"{_folder}/figures/{figure}.{suffix}"
        for figure in PROJECT.experiment(_paper, _experiment).figures
        for suffix in FIGURE_FORMATS
    ]
    _stamp = stamp_of_notebook(PROJECT.notebook(_paper, _experiment))

    rule:
        name:
            f"notebook_{_paper}_{_experiment}"
        input:
            source=str(PROJECT.notebook(_paper, _experiment)),
            note=note_of_seal(
                f"{{scale}}/{_paper}/{_experiment}/notebook",
                [f"{_folder}/notebook.ipynb"],
                [f"{_folder}/notebook.html", *_figures],
                _stamp,
            ),
            metrics=f"{_folder}/metrics.json",
            arrays=f"{_folder}/arrays.npz",
            runs=f"{_folder}/runs.parquet",
            verdicts=[f"results/{{scale}}/claims/{_paper}/{claim}.json" for claim in PROJECT.claims_of(_paper, _experiment)],
        output:
            executed=f"{_folder}/notebook.ipynb",
            html=report(
                f"{_folder}/notebook.html",
                category=_paper,
                subcategory=_experiment,
                caption="../report/notebook.rst",
            ),
            figures=report(
                _figures,
                category=_paper,
                subcategory=_experiment,
                caption="../report/figure.rst",
            ),
        log:
            f"logs/{{scale}}/{_paper}/{_experiment}/notebook.log",
        benchmark:
            f"logs/{{scale}}/{_paper}/{_experiment}/notebook.tsv"
        priority: urgency_of_notebook(_paper, _experiment)
        conda:
            "../../environment.yml"
        threads: 1
        resources:
            mem_mb=1500,
            runtime=5,
        params:
            folder=subpath(input.metrics, parent=True),
        message:
            f"{_paper}: notebook and figures of {_experiment}"
        shell:
            "python -m flowcheck --minutes {resources.runtime} notebook {input.source} --folder {params.folder} --log {log} > {log} 2>&1"
