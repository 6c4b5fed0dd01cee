"""The real rules on a toy project: what is made, what a change re-makes, and what a failure leaves behind."""

import contextlib
import json
import re
import shutil
import subprocess
import time
from pathlib import Path

import nbformat
import numpy as np
import psutil
import pytest

pytestmark = pytest.mark.pipeline

ROOT = Path(__file__).resolve().parents[2]
DECAY, ORDER, SPREAD = ("results/smoke/toy/" + name for name in ("decay", "order", "spread"))
EXPERIMENTS = ("decay", "order", "spread")


def rejudged(*experiments):
    """Jobs that follow a new verdict."""
    stations = [f"{rule}_toy_{name}" for name in experiments for rule in ("judge", "notebook")]
    return dict.fromkeys([*stations, "ledger", "report"], 1)


# cells and evidence of `decay`, and evidence of `order` that reads it; an experiment without a grid has no cell job
DECAY_AGAIN = {"cell": 2, "evidence": 2} | rejudged("decay", "order")
# the finished cells of `decay` gathered again
GATHERED = {"evidence": 2} | rejudged("decay", "order")
SPREAD_AGAIN = {"evidence": 1} | rejudged("spread")
MEASURED = {"cell": 2, "evidence": 3} | rejudged(*EXPERIMENTS)
EVERYTHING = {"parameters": 3} | MEASURED


# ------------------------------------------------------------------------------------------------------------ a full run


def test_a_full_run_makes_every_station(finished):
    figures = {"decay": "error", "order": "slope", "spread": "histogram"}
    cells = {"decay": ("step_size-0.1", "step_size-0.05"), "order": ("all",), "spread": ("all",)}
    for name in EXPERIMENTS:
        expected = ["metrics.json", "arrays.npz", "runs.parquet", "parameters.yaml", "notebook.ipynb", "notebook.html"]
        expected += [f"figures/{figures[name]}.{suffix}" for suffix in ("png", "svg", "pdf")]
        expected += [f"cells/{cell}.npz" for cell in cells[name]]
        assert finished.files(f"results/smoke/toy/{name}") == sorted(expected)
    assert {"ledger.json", "ledger.csv", "ledger.md", "report/index.html"} <= set(finished.files("results/smoke"))


def test_a_full_run_gives_the_verdicts_that_the_toy_paper_deserves(finished):
    ledger = finished.json("results/smoke/ledger.json")
    assert {claim["id"]: claim["verdict"] for claim in ledger["claims"]} == {
        "toy/theorem-1": "supported",
        "toy/theorem-1-printed": "contradicted",
        "toy/remark-2": "vacuous",
        "toy/proposition-3": "supported",
        "toy/figure-1": "supported",
    }
    theorem = ledger["claims"][0]
    assert theorem["deviations"] == ["fourth-power"]
    assert theorem["provenance"]["seed"] == 1
    assert theorem["predicates"][0]["description"] == "largest error at the coarsest and finest step size"
    verdict = finished.json("results/smoke/claims/toy/theorem-1.json")
    assert verdict.pop("sealed")["files"].keys() == {"../../toy/decay/metrics.json"}
    assert theorem == verdict | {"expected": None, "changed": False, "freshness": "made", "freshness_why": ""}


def test_every_job_leaves_a_log_and_a_benchmark(finished):
    logs = finished.files("logs/smoke")
    for job in ("toy/decay/parameters", "toy/decay/cells/step_size-0.1", "toy/decay/evidence", "toy/decay/judge"):
        assert {f"{job}.log", f"{job}.tsv"} <= set(logs)
    assert {"toy/order/notebook.log", "ledger.log", "report.log"} <= set(logs)
    assert not [name for name in logs if name.endswith(".failed.ipynb")]


def test_a_second_run_has_nothing_to_do(finished):
    assert "Nothing to be done" in finished.snakemake()


def test_the_profile_of_the_checkout_is_used(finished):
    assert "Using workflow specific profile profiles/default" in finished.first_run


def numbers(pipeline, experiment):
    """Everything that was measured, without where and when."""
    flat = pipeline.json(f"results/smoke/toy/{experiment}/metrics.json")
    assert flat.pop("provenance")["experiment"] == experiment
    with np.load(pipeline.path(f"results/smoke/toy/{experiment}/arrays.npz")) as archive:
        return flat, {name: archive[name].tolist() for name in archive.files}


def test_one_core_and_two_cores_from_scratch_give_identical_numbers(finished, fresh):
    fresh.snakemake(*(f"results/smoke/toy/{name}/metrics.json" for name in EXPERIMENTS), cores=1)
    for name in EXPERIMENTS:
        assert numbers(fresh, name) == numbers(finished, name)


# ------------------------------------------------------------------------------------------------- what a change re-makes

ENTRY, CLAIMS = "config/experiments/toy", "config/claims/toy"


def version_of(library):
    """A file that says another version of a library than the environment does."""
    return f"src/{library}-9.9.dist-info/METADATA"


CHANGES = {
    "a parameter": (f"{ENTRY}/spread.yaml", "samples: 400", "samples: 401", {"parameters": 1} | SPREAD_AGAIN),
    "a seed": (f"{ENTRY}/spread.yaml", "seed: 3", "seed: 4", {"parameters": 1} | SPREAD_AGAIN),
    "a parameter of an upstream experiment": (
        f"{ENTRY}/decay.yaml",
        "horizon: 1.0",
        "horizon: 1.5",
        {"parameters": 1} | DECAY_AGAIN,
    ),
    "the title of an experiment": (
        f"{ENTRY}/spread.yaml",
        "title: Mean of random signs",
        "title: Mean sign",
        rejudged("spread"),
    ),
    "the description of a metric": (f"{ENTRY}/spread.yaml", "mean: sample mean", "mean: the mean", rejudged("spread")),
    "the title of the paper": (
        f"{ENTRY}/paper.yaml",
        "title: Euler's method on a line",
        "title: Euler",
        {"ledger": 1, "report": 1},
    ),
    "a script": ("scripts/toy/spread.py", "probability=0.9", "probability=0.8", SPREAD_AGAIN),
    "a module of one script": ("src/flowcheck/toy_signs.py", "1, -1)", "1.0, -1.0)", SPREAD_AGAIN),
    "a module of the package": ("src/flowcheck/toy_euler.py", "1 - step_size", "1.0 - step_size", DECAY_AGAIN),
    "a module behind a module": ("src/flowcheck/toy_exact.py", "-rate * t", "-t * rate", DECAY_AGAIN),
    "the judge": ("src/flowcheck/pipeline/judge.py", "ERROR_FACTOR = 10.0", "ERROR_FACTOR = 20.0", rejudged(*EXPERIMENTS)),
    "a threshold": (f"{CLAIMS}/decay.yaml", "value: 0.025", "value: 0.026", rejudged("decay")),
    "the statement of a claim": (f"{CLAIMS}/order.yaml", "The slope is one.", "The order is one.", rejudged("order")),
    "the text of a deviation": ("config/deviations/toy.yaml", "the first power", "the power one", {"report": 1}),
    "a notebook": ("notebooks/toy/order.ipynb", "Draws what", "Shows what", {"notebook_toy_order": 1, "report": 1}),
    "a report template": ("src/flowcheck/pipeline/report/templates/report.css", None, "/* new */", {"report": 1}),
    "the commands": ("src/flowcheck/__main__.py", "return 0", "return int()", rejudged(*EXPERIMENTS)),
    "the verdicts that are recorded": (
        "config/expected/smoke.json",
        None,
        '{"toy/figure-1": "vacuous"}',
        {"ledger": 1, "report": 1},
    ),
    "a data file beside the scripts": ("scripts/toy/data/x.csv", None, "1", MEASURED),
    "the version of a numerical library": (
        version_of("numpy"),
        None,
        "Version: 9.9\n",
        {"cell": 2, "evidence": 3} | rejudged(*EXPERIMENTS),
    ),
    "the version of a library that draws": (
        version_of("seaborn"),
        None,
        "Version: 9.9\n",
        {f"notebook_toy_{name}": 1 for name in EXPERIMENTS} | {"report": 1},
    ),
    "the version of a library that writes the report": (version_of("jinja2"), None, "Version: 9.9\n", {"report": 1}),
    "measured numbers": (f"{DECAY}/metrics.json", '"error": 1e-15', '"error": 2e-15', GATHERED),
    "a new metric": (f"{ENTRY}/decay.yaml", "figures:", "  error_median: median\nfigures:", {"parameters": 1} | GATHERED),
    "a whole number written as such": (f"{ENTRY}/decay.yaml", "horizon: 1.0", "horizon: 1", {"parameters": 1} | GATHERED),
    "the order of a grid": (f"{ENTRY}/decay.yaml", "[0.1, 0.05]", "[0.05, 0.1]", {"parameters": 1} | GATHERED),
}


@pytest.mark.parametrize(("file", "old", "new", "expected"), CHANGES.values(), ids=CHANGES)
def test_a_change_makes_again_what_depends_on_it_and_nothing_else(toy, file, old, new, expected):
    path = toy.path(file)
    path.parent.mkdir(exist_ok=True)
    text = path.read_text() if path.is_file() else ""
    path.write_text(text + new if old is None else text.replace(old, new, 1))
    assert path.read_text() != text
    assert toy.planned() == expected


def test_a_deviation_that_names_another_claim_is_judged_again(toy):
    toy.replace("config/deviations/toy.yaml", "[theorem-1, theorem-1-printed]", "[theorem-1-printed]")
    assert toy.planned() == rejudged(*EXPERIMENTS)


def test_what_somebody_deleted_is_made_again(toy):
    toy.path("results/smoke/toy/spread/notebook.html").unlink()
    assert toy.planned() == {"notebook_toy_spread": 1, "report": 1}
    shutil.rmtree(toy.path("results/smoke/toy/spread"))
    assert toy.planned() == {"parameters": 1} | SPREAD_AGAIN


def test_a_new_grid_point_makes_its_cell(toy):
    toy.replace(
        "config/experiments/toy/decay.yaml", "step_size: [0.1, 0.05]\nparameters", "step_size: [0.1, 0.05, 0.02]\nparameters"
    )
    assert toy.planned() == {"parameters": 1, "cell": 1, "evidence": 2} | rejudged("decay", "order")


HARMLESS = {
    "a parameter of another scale": ("config/experiments/toy/decay.yaml", "horizon: 2.0", "horizon: 3.0"),
    "a comment in the configuration": ("config/claims/toy/spread.yaml", "- id: figure-1", "# a note\n- id: figure-1"),
    "a comment in the code": ("src/flowcheck/toy_exact.py", "# the comment", "# another comment"),
    "a docstring of the judge": ("src/flowcheck/pipeline/judge.py", '"""The judge:', '"""A judge:'),
    "a docstring of a script": ("scripts/toy/decay.py", '"""One step size."""', '"""A step size."""'),
    "the layout of a script": ("scripts/toy/spread.py", "    fair = signs(", "\n    fair  =  signs("),
}


def test_comments_docstrings_layout_other_scales_touched_files_and_another_device_make_nothing_again(toy):
    for change in HARMLESS.values():
        toy.replace(*change)
    for folder in ("config", "scripts", "src"):
        for path in toy.path(folder).rglob("*.*"):
            path.touch()
    assert toy.planned("--config", "device=auto") == {}


JOBS = {
    "data": "data set",
    "parameters": "settings",
    "cell": "cells",
    "evidence": "evidence",
    "judge": "verdicts",
    "notebook": "notebooks",
    "ledger": "ledger",
    "report": "report",
}
ALSO = {  # tests of their own
    "a grid point more": ["parameters", "cell", "evidence", "judge", "notebook", "ledger", "report"],
    "the claims that a deviation names": ["judge", "notebook", "ledger", "report"],
    "a data set": ["data", "cell", "evidence", "judge", "notebook", "ledger", "report"],
    "the time of a file": [],
    "the device": [],
}


def test_the_document_on_what_runs_again_says_what_these_tests_find():
    document, *_ = (ROOT / "docs" / "reruns.md").read_text(encoding="utf-8").split("\n## ")
    table = dict(re.findall(r"^\| (.+?) \| (.+?) \|$", document, re.MULTILINE)[1:])
    found = {name: {job.partition("_")[0] for job in jobs} for name, (_, _, _, jobs) in CHANGES.items()}
    found |= {name: set() for name in HARMLESS} | {name: set(jobs) for name, jobs in ALSO.items()}
    said = {name: ", ".join(word for job, word in JOBS.items() if job in jobs) for name, jobs in found.items()}
    assert table == {name: jobs or "nothing" for name, jobs in said.items()}


def test_another_scale_is_another_run(toy):
    assert toy.planned("--config", "scale=laptop") == EVERYTHING | {"cell": 3}
    assert toy.planned("--config", "scale=paper") == EVERYTHING | {"cell": 4}


def test_a_changed_threshold_changes_the_verdict_and_touches_no_evidence(toy):
    before = {
        path: path.stat().st_mtime_ns for path in toy.path("results/smoke/toy").rglob("*") if path.suffix in (".npz", ".json")
    }
    toy.replace("config/claims/toy/decay.yaml", "value: 0.025", "value: 0.005")
    toy.snakemake("results/smoke/ledger.json")
    assert toy.json("results/smoke/claims/toy/theorem-1.json")["verdict"] == "contradicted"
    verdicts = {claim["id"]: claim["verdict"] for claim in toy.json("results/smoke/ledger.json")["claims"]}
    assert verdicts["toy/theorem-1"] == "contradicted"
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert toy.planned("results/smoke/ledger.json") == {}


# ------------------------------------------------------------------------------------------------------------ one claim


def test_one_claim_pulls_its_own_experiment_and_no_other(fresh):
    claims = "results/smoke/claims/toy"
    assert fresh.planned(f"{claims}/figure-1.json") == {"parameters": 1, "evidence": 1, "judge_toy_spread": 1}
    assert fresh.planned(f"{claims}/theorem-1.json") == {"parameters": 1, "cell": 2, "evidence": 1, "judge_toy_decay": 1}
    assert fresh.planned(f"{claims}/proposition-3.json") == {"parameters": 2, "cell": 2, "evidence": 2, "judge_toy_order": 1}


def test_a_claim_is_asked_for_by_its_name_and_a_file_wherever_its_path_begins(fresh):
    file = "results/smoke/claims/toy/figure-1.json"
    plan = fresh.planned(file)
    for word in ("figure-1", "toy/figure-1", f"./{file}", str(fresh.path(file))):
        assert fresh.planned(word) == plan
    fresh.snakemake("figure-1")
    assert fresh.json(file)["verdict"] == "supported"
    assert fresh.planned("figure-1") == {}


def test_the_command_that_a_verdict_names_makes_that_verdict(fresh):
    command = "snakemake --cores 2 results/smoke/claims/toy/figure-1.json"
    done = fresh.run(*command.split())
    assert done.returncode == 0, done.stdout
    assert fresh.json("results/smoke/claims/toy/figure-1.json")["command"] == command
    assert fresh.files("results/smoke/claims/toy") == ["figure-1.json"]
    assert not fresh.path(DECAY).exists()


# ---------------------------------------------------------------------------------------------------------- bad input

BAD = {
    "unknown claim": (("results/smoke/claims/toy/theorem-2.json",), "unknown claim of toy: 'theorem-2'; closest: 'theorem-1'"),
    "unknown cell": ((f"{DECAY}/cells/nothing.npz",), "unknown file of decay: 'cells/nothing.npz'; closest: "),
    "unknown scale of a ledger": (("results/huge/ledger.json",), "unknown scale: 'huge'; closest: "),
    "ledger of no scale": (("results/ledger.json",), "each scale has its own; allowed: 'results/smoke/ledger.json'"),
    "unknown experiment": (("results/smoke/toy/decai/metrics.json",), "unknown experiment of toy: 'decai'; closest: 'decay'"),
    "unknown scale": (("--config", "scale=huge"), "key 'scale': input should be 'smoke', 'laptop' or 'paper', found 'huge'"),
    "unknown paper": (("--config", "papers=toi"), "key 'papers': unknown paper 'toi'; allowed: 'all', 'toy'"),
    "no claim": (("theorm-1",), "theorm-1: neither a rule, nor a claim, nor a file that a rule makes; closest: 'theorem-1', "),
    "no rule to end at": (("--omit-from", "evidense"), "evidense: neither a rule, nor a claim, nor a file that a rule makes"),
    "a claim to end at": (("--until", "figure-1"), "takes a rule, or a file as in results/smoke/claims/toy/figure-1.json"),
    "a rule for many files": (
        ("evidence",),
        "evidence: a rule for many files; ask for one of them, or end a run there ",
    ),
    "unit tests outside": (("--generate-unit-tests", "/somewhere"), "/somewhere: outside of this checkout"),
    "unit tests of nothing": (
        ("--generate-unit-tests", "unit", "--config", "scale=laptop"),
        "unit: made of finished results, and results/laptop/report/index.html is not there",
    ),
    "unknown key": (("--config", "sclae=smoke"), "key 'sclae': unknown key; allowed: 'scale', 'papers', 'device'"),
}


@pytest.mark.parametrize(("arguments", "expected"), BAD.values(), ids=BAD)
def test_a_mistake_on_the_command_line_is_one_sentence(finished, arguments, expected):
    said = finished.snakemake(*arguments, ok=False)
    assert one_sentence(said).startswith("flowcheck: ")
    assert expected in one_sentence(said)


def test_what_an_option_is_given_is_no_target(finished):
    path = "results/reports/2026/smoke/report.html"
    assert "unknown scale" not in finished.run("snakemake", "--cores=1", "--report", path, "-n").stdout
    assert "unknown scale" in finished.snakemake("--report", path, "--", path, ok=False)


def test_the_report_of_snakemake_goes_into_a_folder_that_is_not_there_yet(toy):
    path = "results/reports/2026/smoke/report.zip"
    toy.snakemake("--report", path)
    assert toy.path(path).is_file()
    said = toy.snakemake("--report", "Snakefile/report.zip", ok=False)
    assert one_sentence(said) == "flowcheck: --report Snakefile/report.zip: File exists: Snakefile"


def one_sentence(said):
    """The only line that is not Snakemake's own announcement of a profile."""
    lines = [
        line for line in said.splitlines() if line and not line.startswith(("Using profile", "Using workflow specific profile"))
    ]
    assert len(lines) == 1, said
    return lines[0]


BROKEN_FILES = {
    "claim": (
        "config/claims/toy/decay.yaml",
        'metric: error_fine, is: "<=", value: 0.025',
        'metric: eror, is: "<=", value: 0.025',
        "'eror'",
    ),
    "parameter": (
        "config/experiments/toy/decay.yaml",
        "[0.1, 0.05]\nparameters",
        "[0.1, -0.05]\nparameters",
        "key 'step_size'",
    ),
    "yaml": ("config/experiments/toy/spread.yaml", "seed: 3", "seed: [3", "malformed YAML"),
    "script": ("scripts/toy/spread.py", "def cell(", "def cell((", "scripts/toy/spread.py: cannot be read: SyntaxError"),
    "script that exits with success": (
        "scripts/toy/spread.py",
        "import numpy as np\n",
        "raise SystemExit(0)\n",
        "scripts/toy/spread.py: cannot be imported: it exits with 0",
    ),
    "script that ends the process with success": (
        "scripts/toy/spread.py",
        "import numpy as np\n",
        "import os\n\nos._exit(0)\n",
        "scripts/toy/spread.py: cannot be imported: it ends the process with status 0",
    ),
    "figure": (
        "config/experiments/toy/spread.yaml",
        "histogram: counts",
        "../../../../../escaped: counts",
        "config/experiments/toy/spread.yaml: key 'figures.../../../../../escaped': string should match pattern",
    ),
    "formula": (
        "config/claims/toy/order.yaml",
        "The slope is one.",
        "The slope $\\foo{x}$ is one.",
        "claim 'proposition-3', key 'statement': the report cannot show \\foo{x}: unknown command \\foo",
    ),
    "number": ("config/experiments/toy/spread.yaml", "samples: 400", "samples: 0x10", "'0x10' can be read in two ways"),
    "module": (
        "src/flowcheck/toy_euler.py",
        "import exact",
        "import inexact",
        "scripts/toy/decay.py: cannot be imported: ImportError",
    ),
}


@pytest.mark.parametrize(("file", "old", "new", "expected"), BROKEN_FILES.values(), ids=BROKEN_FILES)
def test_bad_input_stops_before_any_job_starts(fresh, file, old, new, expected):
    fresh.replace(file, old, new)
    assert expected in one_sentence(fresh.snakemake(ok=False))
    assert not fresh.path("results").exists()
    assert not fresh.path("logs").exists()


def test_a_paper_that_would_share_its_folder_with_the_report_stops_before_any_job_starts(fresh):
    for folder in ("config/experiments", "config/claims", "scripts", "notebooks"):
        fresh.path(f"{folder}/toy").rename(fresh.path(f"{folder}/report"))
    fresh.path("config/deviations/toy.yaml").unlink()
    said = one_sentence(fresh.snakemake(ok=False))
    assert said.startswith("flowcheck: config/experiments/report: paper 'report': the name of a folder of every scale's results")
    assert not fresh.path("results").exists()


# ----------------------------------------------------------------------------------------------------------- failures


def test_a_failing_notebook_leaves_its_traceback_under_logs_and_nothing_that_looks_finished(toy):
    source = toy.path("notebooks/toy/spread.ipynb")
    whole = source.read_text()
    notebook = nbformat.reads(whole, as_version=4)
    notebook.cells.append(nbformat.v4.new_code_cell("raise ZeroDivisionError('no such bin')", id="broken"))
    nbformat.write(notebook, source)
    said = toy.snakemake(f"{SPREAD}/notebook.html", ok=False)
    assert "notebook_toy_spread" in said
    left = toy.files(SPREAD)
    assert not [name for name in left if name.startswith(("notebook.", "figures/"))]
    assert "metrics.json" in left
    log = toy.path("logs/smoke/toy/spread/notebook.log").read_text()
    assert "ZeroDivisionError: no such bin" in log
    assert "logs/smoke/toy/spread/notebook.failed.ipynb" in log
    failed = nbformat.read(toy.path("logs/smoke/toy/spread/notebook.failed.ipynb"), as_version=4)
    assert failed.cells[-1].outputs[0].ename == "ZeroDivisionError"

    source.write_text(whole)
    toy.snakemake(f"{SPREAD}/notebook.html")
    assert {"notebook.html", "notebook.ipynb", "figures/histogram.svg"} <= set(toy.files(SPREAD))
    assert not toy.path("logs/smoke/toy/spread/notebook.failed.ipynb").exists()


def test_a_hypothesis_that_is_not_met_is_a_verdict_and_the_run_goes_on(toy):
    toy.replace("scripts/toy/spread.py", "import Evidence", "import Evidence, HypothesisError")
    toy.replace(
        "scripts/toy/spread.py",
        "    fair = signs(",
        "    raise HypothesisError('mean', 0.75, 'the signs are not fair')\n    fair = signs(",
    )
    toy.replace(
        "config/claims/toy/spread.yaml",
        "claims:\n",
        'hypotheses:\n  - {metric: mean, is: "<=", value: 0.5, why: signs must be fair}\nclaims:\n',
    )
    toy.snakemake()
    verdict = toy.json("results/smoke/claims/toy/figure-1.json")
    assert verdict["verdict"] == "hypothesis-not-met"
    assert "measured 0.75" in verdict["reason"]
    metrics = toy.json(f"{SPREAD}/metrics.json")
    assert (metrics["mean"]["value"], metrics["mean_biased"]["value"]) == (0.75, None)
    assert "the signs are not fair (mean = 0.75)" in metrics["provenance"]["hypothesis_not_met"]
    assert "the signs are not fair" in toy.path(f"{SPREAD}/figures/histogram.svg").read_text()


def test_a_failing_cell_leaves_nothing_and_its_traceback_is_in_its_log(fresh):
    fresh.replace(
        "scripts/toy/decay.py",
        "    t, error = errors",
        '    assert parameters.step_size > 0.07, "too small"\n    t, error = errors',
    )
    fresh.snakemake("--keep-going", f"{DECAY}/metrics.json", ok=False)
    assert fresh.files(DECAY) == ["cells/step_size-0.1.npz", "parameters.yaml"]
    assert "AssertionError: too small" in fresh.path("logs/smoke/toy/decay/cells/step_size-0.05.log").read_text()


def test_evidence_that_breaks_its_promise_is_not_written(fresh):
    fresh.replace("config/experiments/toy/spread.yaml", "  mean: sample mean\n", "  mean: sample mean\n  median: sample median\n")
    fresh.snakemake(f"{SPREAD}/metrics.json", ok=False)
    assert fresh.files(SPREAD) == ["cells/all.npz", "parameters.yaml"]
    assert "not written: ['median']" in fresh.path("logs/smoke/toy/spread/evidence.log").read_text()


def test_a_killed_run_finishes_with_only_the_cells_that_were_not(fresh):
    hold = fresh.path("hold/0.05")
    hold.parent.mkdir()
    hold.touch()
    target = f"{DECAY}/metrics.json"
    log = fresh.path("snakemake.out")
    with log.open("w") as stream:
        process = subprocess.Popen(
            ["snakemake", "--cores=2", target], cwd=fresh.root, env=fresh.environment, stdout=stream, stderr=subprocess.STDOUT
        )
        started = fresh.path("logs/smoke/toy/decay/cells/step_size-0.05.log")

        def one_cell_done_and_one_running():
            return "(Rule: cell)" in log.read_text() and started.is_file() and "cell step_size-0.05" in started.read_text()

        try:
            wait_until(one_cell_done_and_one_running, lambda: log.read_text())
        finally:
            family = [*psutil.Process(process.pid).children(recursive=True), process]
            for member in family:
                with contextlib.suppress(psutil.NoSuchProcess):  # it may have ended by itself since it was listed
                    member.kill()
            process.wait()
    assert fresh.files(f"{DECAY}/cells") == ["step_size-0.1.npz"]
    finished_before = fresh.path(f"{DECAY}/cells/step_size-0.1.npz").stat().st_mtime_ns

    hold.unlink()
    fresh.snakemake("--unlock")  # a killed snakemake cannot give back its lock
    left = {rule: jobs for rule, jobs in fresh.planned(target).items() if rule != "parameters"}  # which may come after cells
    assert left == {"cell": 1, "evidence": 1}
    fresh.snakemake(target)
    assert fresh.path(f"{DECAY}/cells/step_size-0.1.npz").stat().st_mtime_ns == finished_before
    assert fresh.json(target)["error_fine"]["value"] > 0


def wait_until(condition, explain, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, explain()
        time.sleep(0.05)


# -------------------------------------------------------------------------------------------------- the commands themselves


def flowcheck(pipeline, *arguments):
    return pipeline.run("python", "-m", "flowcheck", *arguments)


def test_a_claim_without_evidence_is_not_run(fresh):
    judge = ("judge", "--scale", "smoke", "--paper", "toy", "--experiment", "decay", "--metrics", f"{DECAY}/metrics.json")
    done = flowcheck(fresh, *judge)
    assert done.returncode == 0
    assert "toy/theorem-1: not-run (there is no evidence" in done.stdout
    record = fresh.json("results/smoke/claims/toy/theorem-1.json")
    assert record["verdict"] == "not-run"
    assert record["slack"] is None


def test_a_malformed_record_stops_before_any_job_starts(fresh):
    fresh.path("config/expected").mkdir()
    fresh.path("config/expected/smoke.json").write_text("{")
    assert "config/expected/smoke.json: malformed JSON" in one_sentence(fresh.snakemake(ok=False))
    assert not fresh.path("results").exists()


def test_judging_a_misspelt_file_leaves_the_verdicts_as_they_are(toy):
    before = toy.path("results/smoke/claims/toy/theorem-1.json").read_bytes()
    own = ("judge", "--scale", "smoke", "--paper", "toy", "--experiment", "decay")
    done = flowcheck(toy, *own, "--metrics", "results/typo/metrics.json")
    said = f"flowcheck: results/typo/metrics.json: no such file; the evidence of this experiment is {DECAY}/metrics.json"
    assert (done.returncode, done.stdout.strip()) == (2, said)
    assert toy.path("results/smoke/claims/toy/theorem-1.json").read_bytes() == before


def test_judging_what_does_not_exist_is_one_sentence(finished):
    done = flowcheck(finished, "judge", "--scale", "smoke", "--paper", "toy", "--experiment", "decai", "--metrics", "x")
    assert (done.returncode, done.stdout.strip()) == (
        2,
        "flowcheck: unknown experiment 'decai' of toy; allowed: 'decay', 'order', 'spread'",
    )


def test_a_changed_verdict_fails_the_comparison_and_a_contradicted_one_does_not(toy):
    fresh_ledger = flowcheck(toy, "expected", "--scale", "smoke")
    assert fresh_ledger.returncode == 1
    assert "toy/theorem-1: supported, and no verdict was recorded" in fresh_ledger.stdout
    assert flowcheck(toy, "expected", "--scale", "smoke", "--record").returncode == 0
    same = flowcheck(toy, "expected", "--scale", "smoke")
    assert (same.returncode, same.stdout.splitlines()[-1]) == (0, "no verdict changed")
    assert "1 contradicted" in same.stdout

    recorded = toy.json("config/expected/smoke.json")
    recorded["toy/theorem-1"] = "inconclusive"
    recorded["toy/lemma-9"] = "supported"
    toy.path("config/expected/smoke.json").write_text(json.dumps(recorded))
    changed = flowcheck(toy, "expected", "--scale", "smoke")
    assert changed.returncode == 1
    assert changed.stdout.splitlines()[-2:] == [
        "toy/theorem-1: supported, recorded was inconclusive",
        "toy/lemma-9: recorded and not judged",
    ]
    assert toy.planned("results/smoke/ledger.json") == {"ledger": 1}


def test_expected_without_a_ledger_says_how_to_make_one(fresh):
    done = flowcheck(fresh, "expected", "--scale", "smoke")
    assert done.returncode == 2
    assert "ledger.json: not there; make it with: snakemake --cores all --config scale=smoke" in done.stdout
