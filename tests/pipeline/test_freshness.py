"""No option of Snakemake, no clock and no file system makes results of another run pass for those of this one."""

import os
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.pipeline

SPREAD = "results/smoke/toy/spread"
VERDICT = "results/smoke/claims/toy/figure-1.json"
REST = {"ledger", "report"}
FOLLOWS = {"judge_toy_spread", "notebook_toy_spread"} | REST
AGAIN = {"evidence"} | FOLLOWS
ALL = {"ledger", "report", "evidence", "cell"} | {
    f"{rule}_toy_{e}" for rule in ("judge", "notebook") for e in ("decay", "order", "spread")
}

# the file, what is changed in it (None: something is added), and the rules that run again
CHANGES = {
    "nothing": ("config/config.yaml", None, "\n", set()),
    "a parameter": ("config/experiments/toy/spread.yaml", "samples: 400", "samples: 401", {"parameters"} | AGAIN),
    "a script": ("scripts/toy/spread.py", "probability=0.9", "probability=0.8", AGAIN),
    "a library": ("src/numpy-9.9.dist-info/METADATA", None, "Version: 9.9\n", ALL),
    "a threshold": ("config/claims/toy/spread.yaml", "value: 0.25", "value: 0.26", FOLLOWS),
    "a notebook": ("notebooks/toy/spread.ipynb", None, " ", {"notebook_toy_spread", "report"}),
    "the title of the paper": ("config/experiments/toy/paper.yaml", "title: Euler's", "title: Leonhard Euler's", REST),
    "recorded verdicts": ("config/expected/smoke.json", None, '{"toy/figure-1": "vacuous"}', REST),
    "a template": ("src/flowcheck/pipeline/report/templates/report.css", None, "/* new */", {"report"}),
    "measured numbers": (f"{SPREAD}/metrics.json", '"n": 400', '"n": 4000', AGAIN),
}


def change(pipeline, file, old, new):
    """Change a file, as if long ago: no time tells."""
    path = pipeline.path(file)
    path.parent.mkdir(parents=True, exist_ok=True)
    text = path.read_text() if path.exists() else ""
    assert old is None or old in text
    path.write_text(text + new if old is None else text.replace(old, new, 1))
    os.utime(path, (10**9, 10**9))


@pytest.mark.parametrize(("file", "old", "new", "rules"), CHANGES.values(), ids=CHANGES)
def test_a_change_is_seen_by_what_files_say_where_snakemake_has_no_records_and_looks_at_times_only(toy, file, old, new, rules):
    shutil.rmtree(toy.path(".snakemake"))
    shutil.rmtree(toy.path("logs"))
    change(toy, file, old, new)
    assert set(toy.planned("--rerun-triggers", "mtime")) == rules
    assert set(toy.planned()) == rules


def test_results_alone_are_whole_in_another_checkout_and_are_made_again_where_that_differs(finished, fresh):
    shutil.copytree(finished.path("results"), fresh.path("results"))
    assert fresh.planned() == {}
    change(fresh, *CHANGES["a parameter"][:3])
    assert set(fresh.planned()) == CHANGES["a parameter"][3]


# options, and the rules that a plain run has still to run after them
PRETENCES = {
    "--touch": (("--touch",), {"parameters"} | AGAIN),
    "--touch of one target": (("--touch", VERDICT), {"parameters"} | AGAIN),
    "--cleanup-metadata": (("--cleanup-metadata", VERDICT, f"{SPREAD}/metrics.json"), {"parameters"} | AGAIN),
    "--until the settings": (("--until", "parameters"), AGAIN),
    "--until the evidence": (("--until", "evidence"), FOLLOWS),
    "--omit-from the verdicts": (("--omit-from", "judge_toy_spread"), FOLLOWS),
    "--drop-metadata": (("--drop-metadata", f"{SPREAD}/metrics.json"), FOLLOWS),
    "--batch": (("--batch", "report=1/3"), {"notebook_toy_spread", "report"}),
}


@pytest.mark.parametrize(("options", "rules"), PRETENCES.values(), ids=PRETENCES)
def test_after_a_part_of_a_run_or_none_the_rest_is_planned_and_nothing_old_is_current(toy, options, rules):
    toy.run("python", "-m", "flowcheck", "expected", "--scale", "smoke", "--record")
    toy.snakemake("results/smoke/ledger.json")  # has nothing to do but to read what was recorded
    change(toy, *CHANGES["a parameter"][:3])
    toy.snakemake(*options)
    assert set(toy.planned()) == rules
    if "ledger" in rules and "evidence" not in rules:
        compared = toy.run("python", "-m", "flowcheck", "expected", "--scale", "smoke")
        assert compared.returncode == 1, compared.stdout
        assert "make the ledger again" in compared.stdout


def test_forced_kept_and_deleted_jobs_are_those_of_a_plain_run(toy):
    assert set(toy.planned("--forceall")) == {"parameters"} | ALL
    assert toy.planned("--notemp", "--keep-going", "--keep-incomplete") == {}
    toy.snakemake("--delete-all-output")
    assert set(toy.planned()) == {"parameters"} | ALL


def test_evidence_of_a_clock_that_was_set_back_is_followed_by_all_that_rests_on_it(toy):
    change(toy, *CHANGES["a parameter"][:3])
    toy.snakemake(f"{SPREAD}/metrics.json")
    for path in (toy.root / SPREAD).glob("*.*"):
        if path.suffix != ".html" and "notebook" not in path.name:
            os.utime(path, (10**9, 10**9))
    assert set(toy.planned()) == FOLLOWS


@pytest.mark.parametrize("moment", [0, 2 * 10**9], ids=["from the beginning of time", "from the future"])
def test_results_of_any_time_are_whole_until_one_is_not(toy, moment):
    files = [path for path in (*toy.path("results").rglob("*"), *toy.path("logs").rglob("*")) if path.suffix != ".note"]
    for path in files:
        os.utime(path, (moment, moment))
    assert toy.planned() == {}
    change(toy, *CHANGES["measured numbers"][:3])
    os.utime(toy.path(f"{SPREAD}/metrics.json"), (moment, moment))
    assert set(toy.planned()) == AGAIN


def test_a_dry_run_leaves_nothing_that_changes_a_later_run(toy):
    kept = toy.path(f"{SPREAD}/metrics.json").read_bytes()
    status = toy.path(f"{SPREAD}/metrics.json").stat()
    change(toy, *CHANGES["measured numbers"][:3])
    assert set(toy.planned()) == AGAIN
    toy.path(f"{SPREAD}/metrics.json").write_bytes(kept)
    os.utime(toy.path(f"{SPREAD}/metrics.json"), ns=(status.st_atime_ns, status.st_mtime_ns))
    assert toy.planned() == {}
    toy.path("config/claims/toy/spread.yaml").write_text(toy.path("config/claims/toy/spread.yaml").read_text())
    assert toy.planned() == {}


# ---------------------------------------------------------------------------------------------------------------- file systems


def test_a_ledger_of_another_scale_is_none_of_this_one(toy):
    shutil.copytree(toy.path("results/smoke"), toy.path("results/laptop"))
    for command in ("expected", "verify", "report"):
        done = toy.run("python", "-m", "flowcheck", command, "--scale", "laptop")
        assert (done.returncode, "results/laptop/ledger.json: a ledger of scale 'smoke'" in done.stdout) == (2, True), done.stdout
    assert {"ledger", "report", "evidence"} <= set(toy.planned("--config", "scale=laptop"))


def test_results_on_another_device_behind_a_link_are_whole_and_are_made_again(toy, tmp_path_factory):
    away = Path("/dev/shm") if os.access("/dev/shm", os.W_OK) else tmp_path_factory.mktemp("away")
    away = away / f"flowcheck-{os.getpid()}"
    try:
        shutil.move(toy.path("results"), away)
        toy.path("results").symlink_to(away)
        assert toy.planned() == {}
        change(toy, *CHANGES["a threshold"][:3])
        toy.snakemake(VERDICT)
        assert toy.path("results").is_symlink()
        assert set(toy.planned()) == FOLLOWS - {"judge_toy_spread"}
        assert (away / "smoke/claims/toy/figure-1.json").is_file()
    finally:
        shutil.rmtree(away, ignore_errors=True)


def test_an_output_that_is_a_link_is_what_it_leads_to_and_is_replaced_not_followed(toy, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside") / "metrics.json"
    metrics = toy.path(f"{SPREAD}/metrics.json")
    shutil.move(metrics, outside)
    metrics.symlink_to(outside)
    assert toy.planned(VERDICT) == {}
    whole = outside.read_text()
    outside.write_text(whole.replace('"n": 400', '"n": 4000'))
    assert set(toy.planned(VERDICT)) == {"evidence", "judge_toy_spread"}
    toy.snakemake(VERDICT)
    assert not metrics.is_symlink()
    assert '"n": 4000' in outside.read_text()
    metrics.unlink()
    metrics.symlink_to(outside.with_name("gone"))
    assert f"{SPREAD}/metrics.json" in toy.snakemake("-n", VERDICT, ok=False)


def test_a_copy_of_hard_links_is_made_again_without_the_original(toy, tmp_path_factory):
    copy = tmp_path_factory.mktemp("links") / "copy"
    subprocess.run(["cp", "-al", str(toy.root), str(copy)], check=True)
    other = type(toy)(copy)
    path = copy / "config/experiments/toy/spread.yaml"
    text = path.read_text()
    path.unlink()
    path.write_text(text.replace("samples: 400", "samples: 401"))
    other.snakemake()
    verified = toy.run("python", "-m", "flowcheck", "verify", "--scale", "smoke")
    assert verified.returncode == 0, verified.stdout


@pytest.mark.parametrize("name", ["metrics.json", "arrays.npz", "parameters.yaml", "notebook.html", "figures/histogram.svg"])
def test_a_folder_in_the_place_of_an_output_is_no_success(toy, name):
    path = toy.path(f"{SPREAD}/{name}")
    path.unlink()
    (path / "inside").mkdir(parents=True)
    assert toy.planned()
    for _ in range(2):
        done = toy.run("snakemake", "--cores=2")
        assert done.returncode != 0 or (path.is_file() and toy.planned() == {}), done.stdout


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads what nobody may")
def test_evidence_that_cannot_be_read_is_planned_again(toy):
    toy.path(f"{SPREAD}/metrics.json").chmod(0)
    assert set(toy.planned()) == AGAIN


def test_two_runs_at_once_of_two_scales_are_both_right_and_of_one_scale_the_second_is_refused(fresh):
    hold = fresh.path("hold/0.05")
    hold.parent.mkdir()
    hold.touch()
    wait = ["snakemake", "--cores=1", "results/smoke/toy/decay/cells/step_size-0.05.npz"]
    first = subprocess.Popen(wait, cwd=fresh.root, env=fresh.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        log = fresh.path("logs/smoke/toy/decay/cells/step_size-0.05.log")
        end = time.monotonic() + 120
        while not log.is_file():
            assert time.monotonic() < end
            time.sleep(0.05)
        said = fresh.snakemake(*wait[2:], ok=False)
        assert "LockException" in said
        fresh.snakemake("results/laptop/toy/spread/metrics.json")
    finally:
        hold.unlink()
        assert first.wait() == 0
    assert fresh.planned(*wait[2:]) == {}
    assert fresh.planned("results/laptop/toy/spread/metrics.json") == {}


def test_a_link_in_the_report_is_removed_and_not_what_it_leads_to(toy, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside")
    (outside / "kept").write_text("kept")
    toy.path("results/smoke/report/link").symlink_to(outside)
    change(toy, *CHANGES["a template"][:3])
    toy.snakemake()
    assert (outside / "kept").is_file()
    assert not toy.path("results/smoke/report/link").is_symlink()


def test_the_workflow_uses_nothing_that_is_private_to_snakemake(sources):
    for path in [sources.path("Snakefile"), *sources.path("workflow").rglob("*.smk")]:
        assert not re.findall(r"\._\w+", path.read_text()), path
