"""Input functions and parameters that the rules share."""

import functools
import hashlib
import os

from flowcheck.errors import EvidenceError
from flowcheck.pipeline import stamp
from flowcheck.pipeline.digest import PACKAGE_FOLDER, code_digest, own_digest
from flowcheck.pipeline.ledger import not_as_a_run_would_make_them
from flowcheck.pipeline.seal import check_sealed, remembered_digest

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


def settings_text(wildcards, input=None):
    """The resolved config entry. Derived, as Snakemake sees it, and not compared: whether the file says the same is."""
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
    """Digest of the command line and of some flowcheck modules with what they import, for the stations behind the experiments."""
    return own_digest(PACKAGE_FOLDER / "__main__.py") + digest_of_files(*(PACKAGE_FOLDER / f"{name}.py" for name in names))


def notebook_code(paper, experiment):
    """Digest of the modules that a notebook imports, and of those that execute and draw."""
    drawing = module_code("pipeline/figures/plotting", "pipeline/figures/notebook", "pipeline/figures/display")
    return drawing + digest_of_files(PROJECT.notebook(paper, experiment))


def cells_of(wildcards):
    """Cells that are jobs of their own. Without a grid there are none: importing torch twice costs more than a job gains."""
    folder = "results/{}/{}/{}/cells".format(*wildcards_of(wildcards))
    resolved = settings(*wildcards_of(wildcards))
    return [f"{folder}/{name}.npz" for name in resolved.cells()] if resolved.grid else []


def step_of_evidence(wildcards):
    """What the evidence job does: gather finished cells, or run the only cell and gather it."""
    return "--gather" if cells_of(wildcards) else ""


def upstream_of(wildcards):
    return [f"{folder}/metrics.json" for folder in upstream_folders(wildcards).values()]


def upstream_folders(wildcards):
    names = PROJECT.experiment(wildcards.paper, wildcards.experiment).upstream
    return {name: Path("results", wildcards.scale, wildcards.paper, name) for name in names}


def settings_of_cell(wildcards, input):
    """What a cell gets of the settings. Derived, as Snakemake sees it, and not compared: its stamp tells what matters of them."""
    return settings(*wildcards_of(wildcards)).at(wildcards.cell).to_yaml()


def check_cell(wildcards):
    """Raise EvidenceError if a finished cell is damaged, or was made with anything else than it would be made with now."""
    path = Path("results", *wildcards_of(wildcards), "cells", f"{wildcards.cell}.npz")
    resolved = settings(*wildcards_of(wildcards))
    stamp.check_cell(path, resolved, resolved.cells()[wildcards.cell], experiment_code(wildcards), upstream_folders(wildcards))


def check_parameters(wildcards):
    """Raise EvidenceError if the file of settings says something else than the configuration."""
    path = Path("results", *wildcards_of(wildcards), "parameters.yaml")
    if path.read_text(encoding="utf-8") != settings_text(wildcards):
        raise EvidenceError(f"{path}: not the settings that the configuration resolves to")


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
    """What makes a job run again whose outputs are not whole, and with it all jobs that follow from it.

    Snakemake makes a missing file again only where a job that has to run asks for it: evidence whose job failed in a later run would
    stay deleted, and the verdicts on it would count as current. A file that is damaged, edited or of another run it does not see at
    all. So every rule has a parameter that says whether its outputs are whole, and a changed parameter is what Snakemake never
    overlooks.
    """

    made = True  # until the first job starts; from then on every output is made by the plan

    def sealed(self, *outputs):
        """A parameter for a job that writes sealed files, which vouch for all others that it writes."""

        def check(wildcards):
            for output in outputs:
                path = Path(output.format(**wildcards))
                check_sealed(path, remembered_digest, path.relative_to("results").as_posix())

        return self._state(check)

    def cell(self, wildcards):
        """A parameter for the job of a cell."""
        return self._state(check_cell)(wildcards)

    def parameters(self, wildcards):
        """A parameter for the job that writes the settings."""
        return self._state(check_parameters)(wildcards)

    def starts(self, workflow):
        """Jobs start: they leave whole outputs or none, so that is what Snakemake must remember of them."""
        self.made = False
        workflow.persistence._params.cache_clear()  # it would record the parameters that it planned with

    def _state(self, check):
        def state(wildcards):
            try:
                if self.made:
                    check(wildcards)
            except (EvidenceError, OSError, UnicodeDecodeError):
                return "broken"
            return "whole"

        return state


PLAN = Plan()


def selected_experiments():
    return [(paper, experiment) for paper, experiment in PROJECT if paper in RUN.papers]


def all_verdicts(wildcards):
    return [f"results/{wildcards.scale}/claims/{paper}/{claim}.json" for paper in RUN.papers for claim in PROJECT.claims[paper]]


def all_notebooks(wildcards):
    return [f"results/{wildcards.scale}/{paper}/{experiment}/notebook.html" for paper, experiment in selected_experiments()]


def other_verdicts(wildcards):
    """What the ledger says of verdicts on other papers than the selected ones, where they are not as a run would make them."""
    said = [] if set(RUN.papers) == set(PROJECT.papers) else not_as_a_run_would_make_them(PROJECT, wildcards.scale, RUN.papers)
    return hashlib.sha256("".join(said).encode()).hexdigest()[:16]  # the text itself may hold braces, which Snakemake would expand


def deviations_text(wildcards):
    return "".join(entry.model_dump_json() for entries in PROJECT.deviations.values() for entry in entries)


def papers_text(wildcards):
    """What the ledger repeats about the papers."""
    return "".join(paper.model_dump_json() for paper in PROJECT.papers.values())


def report_templates():
    """Relative to the checkout, so that a moved or copied checkout is still up to date."""
    return sorted(os.path.relpath(path) for path in (PACKAGE_FOLDER / "pipeline" / "report" / "templates").iterdir())
