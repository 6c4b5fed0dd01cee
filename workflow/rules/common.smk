"""Input functions and parameters that the rules share."""

import functools
import os

from flowcheck.pipeline.digest import PACKAGE_FOLDER, code_digest

# priority above every notebook: a long job left for the end would run alone
EVIDENCE_FIRST = 100


wildcard_constraints:
    scale="smoke|laptop|paper",
    paper="[a-z0-9_]+",
    experiment="[a-z0-9_]+",
    cell="[A-Za-z0-9_.+-]+",


@functools.cache
def settings(scale, paper, experiment):
    return PROJECT.settings(paper, experiment, scale)


def settings_text(wildcards):
    """The resolved config entry: a change of it re-runs the experiment."""
    return settings(*wildcards_of(wildcards)).to_yaml()


def wildcards_of(wildcards):
    return wildcards.scale, wildcards.paper, wildcards.experiment


def script_of(wildcards):
    return str(PROJECT.script(wildcards.paper, wildcards.experiment))


def urgency_of_notebook(paper, experiment):
    """Priority: the longest first, each after its verdicts."""
    return 2 * len(PROJECT.experiment(paper, experiment).figures)


@functools.cache
def digest_of_files(*paths):
    return code_digest(*paths)


def experiment_code(wildcards):
    """Digest of the script and of the flowcheck modules it imports, transitively."""
    return digest_of_files(PROJECT.script(wildcards.paper, wildcards.experiment))


def module_code(*names):
    """Digest of some flowcheck modules and what they import, for the stations behind the experiments."""
    return digest_of_files(*(PACKAGE_FOLDER / f"{name}.py" for name in names))


def cells_of(wildcards):
    """Cells that are jobs of their own. Without a grid there are none: importing torch twice costs more than a job gains."""
    folder = "results/{}/{}/{}/cells".format(*wildcards_of(wildcards))
    resolved = settings(*wildcards_of(wildcards))
    return [f"{folder}/{name}.npz" for name in resolved.cells()] if resolved.grid else []


def step_of_evidence(wildcards):
    """What the evidence job does: gather finished cells, or run the only cell and gather it."""
    return "--gather" if cells_of(wildcards) else ""


def upstream_of(wildcards):
    entry = PROJECT.experiment(wildcards.paper, wildcards.experiment)
    return [f"results/{wildcards.scale}/{wildcards.paper}/{name}/metrics.json" for name in entry.upstream]


def upstream_options(wildcards, input):
    """``--upstream NAME=DIR`` for each experiment whose evidence this one reads."""
    return " ".join(f"--upstream {Path(path).parent.name}={Path(path).parent}" for path in input.upstream)


def cell_resource(key):
    def resource(wildcards):
        return getattr(PROJECT.experiment(wildcards.paper, wildcards.experiment).resources, key)

    return resource


def runtime_of_evidence(wildcards):
    return 5 if cells_of(wildcards) else cell_resource("runtime")(wildcards)


def gpus_of_evidence(wildcards):
    return 0 if cells_of(wildcards) else gpus_of_cell(wildcards)


def gpus_of_cell(wildcards):
    """GPUs to reserve: what the experiment asks for, where the run is meant for a GPU."""
    return cell_resource("gpu")(wildcards) if RUN.device == "cuda" else 0


class Plan:
    """What makes a job run again whose outputs are not all there, and with it all jobs that follow from it.

    Snakemake makes a missing file again only where a job that has to run asks for it: evidence whose job failed in a later run would
    stay deleted, and the verdicts on it would count as current. So every rule has a parameter that says whether its outputs are
    whole, and a changed parameter is what Snakemake never overlooks.
    """

    made = True  # until the first job starts; from then on every output is made by the plan

    def intact(self, *outputs):
        """A parameter that is "whole" if all these outputs are there, or else "broken"."""

        def state(wildcards):
            there = all(os.path.isfile(output.format(**wildcards)) for output in outputs)
            return "whole" if there or not self.made else "broken"

        return state

    def starts(self, workflow):
        """Jobs start: they leave whole outputs or none, so that is what Snakemake must remember of them."""
        self.made = False
        workflow.persistence._params.cache_clear()  # it would record the parameters that it planned with


PLAN = Plan()


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
    return "".join(PROJECT.papers[paper].model_dump_json() for paper in RUN.papers)


def report_pages():
    names = [
        "index",
        "claims",
        "deviations",
        *(f"claims/{paper}/{claim}" for paper in RUN.papers for claim in PROJECT.claims[paper]),
    ]
    return [f"results/{{scale}}/report/{name}.html" for name in names]


def report_templates():
    """Relative to the checkout, so that a moved or copied checkout is still up to date."""
    return sorted(os.path.relpath(path) for path in (PACKAGE_FOLDER / "pipeline" / "report" / "templates").iterdir())
