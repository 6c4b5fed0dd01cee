"""Input functions and parameters that the rules share."""

import functools
import shlex

from flowcheck.errors import EvidenceError
from flowcheck.pipeline import stamp
from flowcheck.pipeline.data_sets import check_kept
from flowcheck.pipeline.digest import code_digest
from flowcheck.pipeline.origin import ORIGIN, folder_of
from flowcheck.pipeline.plan import write_note
from flowcheck.pipeline.seal import check_sealed, remembered_digest
from flowcheck.pipeline.stations import stamp_of_ledger

# priority above every notebook: a long job left for the end would run alone
EVIDENCE_FIRST = 100


wildcard_constraints:
    scale="smoke|laptop|paper",
    paper="[a-z0-9_]+",
    experiment="[a-z0-9_]+",
    cell="[A-Za-z0-9_.+-]+",
    data_set="[a-z0-9_]+",


@functools.cache
def settings(scale, paper, experiment):
    return PROJECT.settings(paper, experiment, scale)


@functools.cache
def text_of_settings(*names):
    return settings(*names).to_yaml()


def settings_text(wildcards, input=None):
    """The resolved config entry. Derived, as Snakemake sees it, and not compared: whether the file says the same is."""
    return text_of_settings(*wildcards_of(wildcards))


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


def data_of(wildcards):
    return [f"{folder}/{ORIGIN}" for folder in data_folders(wildcards).values()]


def data_folders(wildcards):
    names = PROJECT.experiment(wildcards.paper, wildcards.experiment).data
    return {name: folder_of(wildcards.scale, name) for name in names}


def data_options(wildcards, input):
    """``--data NAME=DIR`` for each data set that it reads."""
    return " ".join(f"--data {name}={folder}" for name, folder in data_folders(wildcards).items())


def named_folder(wildcards, input):
    """``--folder`` where the run names one. Derived, as Snakemake sees it, and not compared: what lies there is."""
    folder = RUN.folder_of(wildcards.data_set)
    return "" if folder is None else f"--folder {shlex.quote(str(folder))}"


def check_data_set(wildcards, path):
    """Raise EvidenceError if no whole data set is kept, or another one than the run asks for."""
    check_kept(PROJECT, wildcards.scale, wildcards.data_set, RUN.folder_of(wildcards.data_set))


def settings_of_cell(wildcards, input):
    """What a cell gets of the settings. Derived, as Snakemake sees it, and not compared: its stamp tells what matters of them."""
    return settings(*wildcards_of(wildcards)).at(wildcards.cell).to_yaml()


def evidence_stamp(wildcards):
    resolved = settings(*wildcards_of(wildcards))
    return stamp.of_evidence(resolved, experiment_code(wildcards), upstream_folders(wildcards), data_folders(wildcards))


def ledger_stamp(wildcards):
    return stamp_of_ledger(PROJECT, wildcards.scale, RUN.papers)


def check_cell(wildcards, path):
    """Raise EvidenceError if a finished cell is damaged, or was made with anything else than it would be made with now."""
    resolved = settings(*wildcards_of(wildcards))
    point, reads = resolved.cells()[wildcards.cell], (upstream_folders(wildcards), data_folders(wildcards))
    stamp.check_cell(path, resolved, point, experiment_code(wildcards), *reads)


def check_parameters(wildcards, path):
    """Raise EvidenceError if the file of settings says something else than the configuration."""
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


def note(job, files, check):
    """An input of the job whose log is ``logs/{job}.log``: newer than its outputs where they are not whole.

    `files` are its outputs, which `check` gets without wildcards.
    """

    def write(wildcards):
        paths = [Path(file.format(**wildcards)) for file in files]
        log = Path("logs", job.format(**wildcards))
        benchmark = log.with_name(f"{log.name}.tsv")  # Snakemake compares its time too
        # in a folder of its own: Snakemake lists a folder once, and takes what is written there later for missing
        own = log.parent / "notes" / log.name / f"{log.name}.note"
        return write_note(own, [*paths, benchmark], lambda: check(wildcards, *paths))

    return write


def note_of_seal(job, sealed, others, made_with):
    """The note of a job that writes sealed files, which vouch for all others that it writes.

    `made_with` is the stamp that they should carry, or a function of the wildcards that gives it.
    """

    def check(wildcards, *paths):
        expected = made_with(wildcards) if callable(made_with) else made_with
        for path in paths[: len(sealed)]:
            check_sealed(path, remembered_digest, path.relative_to("results").as_posix(), expected)

    return note(job, [*sealed, *others], check)


def selected_experiments():
    return [(paper, experiment) for paper, experiment in PROJECT if paper in RUN.papers]


def all_verdicts(wildcards):
    return [f"results/{wildcards.scale}/claims/{paper}/{claim}.json" for paper in RUN.papers for claim in PROJECT.claims[paper]]


def all_notebooks(wildcards):
    return [f"results/{wildcards.scale}/{paper}/{experiment}/notebook.html" for paper, experiment in selected_experiments()]
