"""A green run means fresh, whole, own evidence: failed re-runs and deleted results, by real Snakemake processes."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from flowcheck.pipeline.evidence import save_sealed
from flowcheck.pipeline.seal import SEAL, blank_seal

pytestmark = pytest.mark.pipeline

REST = {"ledger", "report"}


def follows(experiment):
    """Rules behind the evidence of an experiment that no other reads."""
    return {f"judge_toy_{experiment}", f"notebook_toy_{experiment}"} | REST


# what is deleted: the rules that run again
DELETED = {
    "parameters": ("toy/spread/parameters.yaml", {"parameters", "evidence"} | follows("spread")),
    "cell": (
        "toy/order/cells/all.npz",
        set(),
    ),  # a by-product of an experiment without a grid, which its job makes again when it runs
    "cell of a grid": ("toy/decay/cells/step_size-0.1.npz", {"cell", "evidence"} | follows("decay") | follows("order")),
    "metrics": ("toy/spread/metrics.json", {"evidence"} | follows("spread")),
    "arrays": ("toy/spread/arrays.npz", {"evidence"} | follows("spread")),
    "runs": ("toy/spread/runs.parquet", {"evidence"} | follows("spread")),
    "verdict": ("claims/toy/figure-1.json", follows("spread")),
    "notebook": ("toy/spread/notebook.ipynb", {"notebook_toy_spread", "report"}),
    "page of a notebook": ("toy/spread/notebook.html", {"notebook_toy_spread", "report"}),
    "figure": ("toy/spread/figures/histogram.svg", {"notebook_toy_spread", "report"}),
    "ledger": ("ledger.json", REST),
    "table of the ledger": ("ledger.csv", REST),
    "text of the ledger": ("ledger.md", REST),
    "page of a claim": ("report/claims/toy/theorem-1.html", {"report"}),
    "page of the report": ("report/index.html", {"report"}),
}


@pytest.mark.parametrize(("file", "rules"), DELETED.values(), ids=DELETED)
def test_what_somebody_deleted_is_planned_again(toy, file, rules):
    toy.path(f"results/smoke/{file}").unlink()
    assert set(toy.planned()) == rules


def test_all_kinds_of_deleted_files_come_back_by_one_run(toy):
    before = toy.files("results/smoke")
    for name, (file, _) in DELETED.items():
        if name != "cell":
            toy.path(f"results/smoke/{file}").unlink()
    toy.snakemake()
    assert toy.files("results/smoke") == before
    assert toy.planned() == {}


def flip(path):
    """One bit in the middle of the file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def cut(path):
    path.write_bytes(path.read_bytes()[:-20])


def empty(path):
    path.write_bytes(b"")


def edit(old, new):
    def change(path):
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1))

    return change


def replace_by(other):
    def change(path):
        path.write_bytes((path.parent / other).read_bytes())

    return change


# the file, what happens to it, and the rules that run again
SPOILED = {
    "parameters by hand": ("toy/spread/parameters.yaml", edit("400", "401"), {"parameters", "evidence"} | follows("spread")),
    "a cell under the name of another": (
        "toy/decay/cells/step_size-0.1.npz",
        replace_by("step_size-0.05.npz"),
        {"cell", "evidence"} | follows("decay") | follows("order"),
    ),
    "a bit of a cell": (
        "toy/decay/cells/step_size-0.1.npz",
        flip,
        {"cell", "evidence"} | follows("decay") | follows("order"),
    ),
    "metrics by hand": ("toy/spread/metrics.json", edit('"n": 400', '"n": 4000'), {"evidence"} | follows("spread")),
    "metrics of another experiment": (
        "toy/spread/metrics.json",
        replace_by("../order/metrics.json"),
        {"evidence"} | follows("spread"),
    ),
    "all evidence of another experiment": (
        "toy/spread/metrics.json",
        lambda path: shutil.copytree(path.parent.parent / "decay", path.parent, dirs_exist_ok=True),
        {"parameters", "evidence"} | follows("spread"),
    ),
    "cut metrics": ("toy/spread/metrics.json", cut, {"evidence"} | follows("spread")),
    "a bit of the arrays": ("toy/spread/arrays.npz", flip, {"evidence"} | follows("spread")),
    "a bit of the runs": ("toy/spread/runs.parquet", flip, {"evidence"} | follows("spread")),
    "a verdict by hand": ("claims/toy/theorem-1-printed.json", edit("contradicted", "supported"), follows("decay")),
    "a cut verdict": ("claims/toy/figure-1.json", cut, follows("spread")),
    "a verdict on another claim": ("claims/toy/theorem-1-printed.json", replace_by("theorem-1.json"), follows("decay")),
    "a cut figure": ("toy/spread/figures/histogram.svg", cut, {"notebook_toy_spread", "report"}),
    "an empty notebook": ("toy/spread/notebook.ipynb", empty, {"notebook_toy_spread", "report"}),
    "an empty page of a notebook": ("toy/spread/notebook.html", empty, {"notebook_toy_spread", "report"}),
    "the ledger by hand": ("ledger.json", edit('"contradicted"', '"supported"'), REST),
    "the table of the ledger by hand": ("ledger.csv", edit("contradicted", "supported"), REST),
    "a page of the report by hand": ("report/index.html", edit("contradicted", "supported"), {"report"}),
}


@pytest.mark.parametrize(("file", "spoil", "rules"), SPOILED.values(), ids=SPOILED)
def test_what_was_damaged_or_edited_is_planned_again_though_its_time_is_kept(toy, file, spoil, rules):
    path = toy.path(f"results/smoke/{file}")
    status = path.stat()
    spoil(path)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert set(toy.planned()) == rules


def test_what_was_damaged_heals_by_one_run(toy):
    verdicts = toy.path("results/smoke/ledger.csv").read_text()
    for file, spoil, _ in SPOILED.values():
        spoil(toy.path(f"results/smoke/{file}"))
    toy.snakemake()
    assert toy.planned() == {}
    assert toy.path("results/smoke/ledger.csv").read_text() == verdicts


# experiment, the function that fails, a claim that rests on it, and what the failed run leaves of the evidence
BROKEN = {
    "a gather": ("decay", "gather", "theorem-1", False),
    "a cell": ("decay", "cell", "proposition-3", True),
    "the only cell": ("spread", "cell", "figure-1", False),
}


@pytest.mark.parametrize(("experiment", "function", "claim", "left"), BROKEN.values(), ids=BROKEN)
def test_a_failed_re_run_fails_until_the_evidence_is_there_again(toy, experiment, function, claim, left):
    toy.run("python", "-m", "flowcheck", "expected", "--scale", "smoke", "--record")
    script = toy.path(f"scripts/toy/{experiment}.py")
    whole, failing = script.read_text(), f"def {function}(*given):\n    raise ZeroDivisionError\n\n\ndef {function}_before("
    script.write_text(whole.replace(f"def {function}(", failing))
    for target in (f"results/smoke/claims/toy/{claim}.json", "all"):
        toy.snakemake(target, ok=False)
        toy.snakemake(target, ok=False)
    compared = toy.run("python", "-m", "flowcheck", "expected", "--scale", "smoke")
    gone = f"results/smoke/toy/{experiment}/metrics.json: gone, and the ledger rests on it"
    assert (compared.returncode, gone in compared.stdout) == ((0, False) if left else (1, True))
    script.write_text(whole)
    toy.snakemake()
    assert toy.planned() == {}


def test_code_of_another_checkout_is_refused_before_any_job(toy, finished):
    toy.environment |= {"PYTHONPATH": str(finished.root / "src")}
    metrics = ("--parameters", "results/smoke/toy/spread/parameters.yaml", "--output", "results/smoke/toy/spread")
    for command in (
        ("snakemake", "--cores=1", "results/smoke/claims/toy/figure-1.json"),
        ("python", "-m", "flowcheck", "expected", "--scale", "smoke"),
        ("python", "scripts/toy/spread.py", *metrics),
    ):
        done = toy.run(*command)
        assert done.returncode != 0
        assert f"runs the code of another checkout, {finished.root / 'src' / 'flowcheck'}" in done.stdout
        assert "Traceback" not in done.stdout


# ------------------------------------------------------------------------------------------------------------ flowcheck verify


def verified(pipeline):
    done = pipeline.run("python", "-m", "flowcheck", "verify", "--scale", "smoke")
    assert "Traceback" not in done.stdout
    return done


def forge(change):
    """Edit a sealed file and seal it again."""

    def spoil(path):
        content = json.loads(path.read_text())
        change(content)
        vouched = [path.parent / name for name in content.pop("sealed")["files"]]
        place = str(path).partition("results/")[2]
        save_sealed(path, content | {SEAL: blank_seal(path, vouched, place)})

    return spoil


def forge_page(path):
    """Edit a page of the report and seal the report again."""
    edit("contradicted", "supported")(path)
    forge(lambda content: None)(path.parent / "digests.json")


# the file, what happens to it, and what is said of it
NOT_VERIFIED = {
    "an edited verdict": ("claims/toy/theorem-1-printed.json", edit("contradicted", "supported"), "changed after it was written"),
    "a forged verdict": (
        "claims/toy/theorem-1-printed.json",
        forge(lambda content: content.update(verdict="supported")),
        "says supported, and the evidence says contradicted",
    ),
    "a forged number in a verdict": (
        "claims/toy/figure-1.json",
        forge(lambda content: content.update(n=4000)),
        "judged again it differs in n",
    ),
    "a forged ledger": (
        "ledger.json",
        forge(lambda content: content["claims"][1].update(verdict="supported")),
        "not the ledger of the verdicts that are there",
    ),
    "edited metrics": ("toy/spread/metrics.json", edit('"n": 400', '"n": 4000'), "changed after it was written"),
    "a bit of a cell": ("toy/decay/cells/step_size-0.1.npz", flip, "damaged"),
    "a cut figure": ("toy/spread/figures/histogram.svg", cut, "damaged, changed, or of another run than"),
    "a notebook without figures": ("toy/spread/notebook.ipynb", empty, "damaged, or not written by flowcheck"),
    "a forged page": ("report/index.html", forge_page, "differs from what follows from the evidence"),
    "a page too many": ("report/more.html", lambda path: path.write_text("more"), "no part of the report"),
    "a page too few": ("report/claims/toy/theorem-1.html", Path.unlink, "not there"),
}


@pytest.mark.parametrize(("file", "spoil", "said"), NOT_VERIFIED.values(), ids=NOT_VERIFIED)
def test_verify_names_what_is_not_what_was_written_or_does_not_follow(toy, file, spoil, said):
    spoil(toy.path(f"results/smoke/{file}"))
    done = verified(toy)
    assert done.returncode == 1
    assert any(f"results/smoke/{file}: " in line and said in line for line in done.stdout.splitlines()), done.stdout


def test_verify_passes_what_a_run_made_wherever_it_lies_and_without_cells(toy):
    shutil.rmtree(toy.path("results/smoke/toy/decay/cells"))
    done = verified(toy)
    assert (done.returncode, done.stdout) == (0, "smoke: every file is what was written, and follows from the evidence\n")


def test_verify_says_that_evidence_is_of_other_code_or_settings(toy):
    toy.replace("config/experiments/toy/spread.yaml", "samples: 400", "samples: 401")
    toy.replace("src/flowcheck/toy_exact.py", "-rate * t", "-t * rate")
    done = verified(toy)
    assert done.returncode == 1
    assert "spread/metrics.json: measured with parameters {'samples': 400}, and the configuration says" in done.stdout
    assert "decay/metrics.json: measured by other code than that of this checkout" in done.stdout
    assert "order/metrics.json" not in done.stdout


FAULTY = """\
from flowcheck.pipeline.figures import plotting
from flowcheck.pipeline.figures.display import show_figure

figure, (axis,) = plotting.figure()
axis.semilogx([1e-80, 1e-40, 1.0], [0.0, 0.5, 1.0])
show_figure(figure, folder, "histogram", "A rising line")
"""


def test_a_figure_with_a_fault_is_drawn_and_the_fault_is_said_wherever_it_is_shown(toy):
    """A run of a day is not lost for an axis that goes too far; verify, and so make smoke and CI, does not pass it."""
    source = toy.path("notebooks/toy/spread.ipynb")
    notebook = json.loads(source.read_text())
    notebook["cells"][2]["source"] = FAULTY
    source.write_text(json.dumps(notebook))
    toy.snakemake()
    fault = "panel 1, range: its x axis reaches 10^-84"
    shown = toy.path("results/smoke/toy/spread/notebook.html").read_text(encoding="utf-8")
    assert f"Drawn with a fault: figure 'histogram', {fault}" in shown.replace("&#39;", "'")
    pages = [path.read_text(encoding="utf-8") for path in toy.path("results/smoke/report/claims").rglob("*.html")]
    assert any(f"Drawn with a fault:</strong> {fault}." in page for page in pages)
    done = verified(toy)
    assert done.returncode == 1
    assert f"results/smoke/toy/spread/notebook.ipynb: figure 'histogram', {fault}" in done.stdout


# ------------------------------------------------------------------------------------- kills over finished results


DYING = Path(__file__).parent / "dying"


def die_at(pipeline, moment, name, victim, target):
    """A run in which `victim` is killed before or after a file gets its name; its status, which is that of a failure."""
    environment = pipeline.environment | {
        "DIES_AT": f"{moment}:{name}:{victim}",
        "PYTHONPATH": f"{DYING}{os.pathsep}{pipeline.environment['PYTHONPATH']}",
    }
    command = ["snakemake", "--cores=2", target]
    with subprocess.Popen(
        command, cwd=pipeline.root, env=environment, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as running:
        status = running.wait()
    orphans = [process for process in psutil.process_iter() if process.pid != running.pid and session_of(process) == running.pid]
    psutil.wait_procs(orphans, timeout=60)
    if victim != "the script":
        pipeline.snakemake("--unlock")  # a killed snakemake cannot give back its lock
    return status


def session_of(process):
    with contextlib.suppress(OSError):
        return os.getsid(process.pid)
    return None


# before or after which file gets its name, and who is killed; the whole table is fifty of them
MOMENTS = [
    ("before", "metrics.json", "the script"),
    ("after", "metrics.json", "snakemake alone"),
    ("after", "figure-1.json", "everything"),
    ("before", "notebook.ipynb", "the script"),
    ("after", "ledger.json", "the script"),
    ("before", "index.html", "everything"),
]


def test_a_kill_over_finished_results_with_a_changed_parameter_never_leaves_a_stale_success(toy):
    for samples, (moment, name, victim) in enumerate(MOMENTS, start=401):
        toy.replace("config/experiments/toy/spread.yaml", f"samples: {samples - 1}", f"samples: {samples}")
        assert die_at(toy, moment, name, victim, "all") != 0
        toy.snakemake("results/smoke/claims/toy/figure-1.json")
        assert toy.json("results/smoke/claims/toy/figure-1.json")["n"] == samples
    toy.snakemake()
    (claim,) = (claim for claim in toy.json("results/smoke/ledger.json")["claims"] if claim["id"] == "toy/figure-1")
    assert claim["n"] == toy.json("results/smoke/toy/spread/metrics.json")["mean"]["n"] == samples
    assert toy.planned() == {}
    assert verified(toy).returncode == 0


def test_ctrl_c_twice_leaves_nothing_that_counts(toy):
    toy.replace("config/experiments/toy/decay.yaml", "horizon: 1.0", "horizon: 1.5")
    hold, log = toy.path("hold/0.05"), toy.path("logs/smoke/toy/decay/cells/step_size-0.05.log")
    hold.parent.mkdir()
    hold.touch()
    log.unlink()  # of the first run
    with subprocess.Popen(
        ["snakemake", "--cores=2"],
        cwd=toy.root,
        env=toy.environment,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background jobs ignore it
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as running:
        while running.poll() is None and not (log.is_file() and "cell step_size-0.05" in log.read_text()):
            time.sleep(0.05)
        for _ in range(2):
            os.killpg(running.pid, signal.SIGINT)
            time.sleep(0.1)
        assert running.wait() != 0
    hold.unlink()
    toy.run("snakemake", "--unlock")
    assert not toy.path("results/smoke/toy/decay/cells/step_size-0.05.npz").exists()
    toy.snakemake()
    assert toy.json("results/smoke/toy/decay/metrics.json")["provenance"]["parameters"] == {"horizon": 1.5}
    assert verified(toy).returncode == 0
