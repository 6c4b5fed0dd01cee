"""The real pipeline at smoke scale, in a copy of the checkout: every verdict, the promised reference numbers, a second run."""

import json
import math
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("Snakefile", "environment.yml", "workflow", "profiles", "config", "scripts", "notebooks")

# The circle with w(0) = (0.6, -0.8), from Radau and LSODA in Cartesian coordinates with a trapezoid rule for kappa; the two agree
# to 1e-11. tests/unit/test_reduced_flow.py makes them again.
REFERENCE = {
    "transition_time_N1": 2.44866553563,
    "transition_time_N2": 3.75248760174,
    "transition_time_N4": 8.66328908954,
    "norm_at_transition_N1": 0.452470772730,
    "norm_at_transition_N2": 0.244220003002,
    "norm_at_transition_N4": 0.0829384614886,
    "one_minus_cos_N1_t10": 0.00621683748593,
    "one_minus_cos_N4_t20": 0.0383089861546,
}

# paper: its numbered results, quoted tools included, and how many figures it has
NUMBERED = {
    "spherical_data": (
        "theorem-1 theorem-2 theorem-3 proposition-1 proposition-2 proposition-3 proposition-4 proposition-5 lemma-1 lemma-2 "
        "lemma-3 lemma-4 lemma-5 lemma-6 lemma-7 lemma-8 lemma-9 lemma-10 lemma-11 lemma-12",
        2,
    ),
    "two_homogeneous": (
        "theorem-5-1 lemma-5-2 lemma-5-3 lemma-5-4 corollary-5-4-1 theorem-5-5 lemma-5-6 lemma-a-1 lemma-a-2 lemma-a-3 lemma-a-4 "
        "lemma-b-1 corollary-b-1-1 lemma-c-1 lemma-c-2 lemma-c-3 lemma-c-4 lemma-c-5 lemma-c-6 lemma-c-7 lemma-d-1 "
        "lemma-d-1-printed lemma-e-1 lemma-e-2 example-g-1 example-g-1-printed example-g-2 lemma-h-1 "
        "lemma-i-1 lemma-i-2 lemma-j-1",
        4,
    ),
    "deep_homogeneous": (
        "theorem-5-1 lemma-5-2 theorem-5-3 lemma-5-4 lemma-a-1 lemma-a-2 lemma-a-3 lemma-b-1 lemma-b-2 lemma-b-3 lemma-b-4 "
        "lemma-b-5 lemma-b-6 lemma-d-1 lemma-d-1-printed equation-8 equation-50",
        5,
    ),
}
PROMISED = [
    ("two_homogeneous", "alignment_flow", "shadowing_slope"),
    *(
        ("deep_homogeneous", "alignment_flow", f"{kind}_slope_L{degree}")
        for kind in ("deviation", "escape_time")
        for degree in (3, 4)
    ),
]


DATA = [f"mnist_dir={Path(os.environ['MNIST_DIR']).resolve()}"] if os.environ.get("MNIST_DIR") else []
"""Without it the digits are fetched; `.ci/run` names the folder where there is one."""


def snakemake(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "snakemake", "--cores", "2", "--config", "scale=smoke", *DATA, *arguments]
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=1500)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkout")
    for part in PARTS:
        source = ROOT / part
        (shutil.copytree if source.is_dir() else shutil.copy)(source, folder / part)
    run = snakemake(folder)
    assert run.returncode == 0, run.stderr[-4000:]
    return folder


@pytest.fixture(scope="module")
def ledger(finished):
    return json.loads((finished / "results/smoke/ledger.json").read_text())


@pytest.mark.pipeline
@pytest.mark.slow
class TestSmoke:
    def test_no_verdict_differs_from_the_recorded_ones(self, ledger):
        recorded = json.loads((ROOT / "config/expected/smoke.json").read_text())
        assert {c["id"]: c["verdict"] for c in ledger["claims"]} == recorded

    def test_every_claim_was_run_and_every_check_has_teeth(self, ledger):
        for claim in ledger["claims"]:
            # that a bound of a paper says nothing on real digits is an answer to a question of ours
            resolved = ("supported", "contradicted", *(["vacuous"] if claim["origin"] == "flowcheck" else []))
            assert claim["verdict"] in resolved, (claim["id"], claim["reason"])
            assert claim["controls"] or claim["no_control"]

    def test_only_printed_statements_are_contradicted(self, ledger):
        assert {c["variant"] for c in ledger["claims"] if c["verdict"] == "contradicted"} == {"printed", "extracted"}

    @pytest.mark.parametrize("paper", NUMBERED)
    def test_every_numbered_result_and_figure_has_an_entry(self, ledger, paper):
        ids = {c["id"].removeprefix(f"{paper}/") for c in ledger["claims"] if c["paper"] == paper}
        wanted, figures = NUMBERED[paper]
        assert set(wanted.split()) <= ids
        # a figure may be judged panel by panel
        assert all(any(re.fullmatch(rf"figure-{number}[a-z]?", name) for name in ids) for number in range(1, figures + 1))

    @pytest.mark.parametrize(("paper", "experiment", "name"), PROMISED)
    def test_a_promised_slope_has_its_interval(self, finished, paper, experiment, name):
        metric = json.loads((finished / f"results/smoke/{paper}/{experiment}/metrics.json").read_text())[name]
        low, high = metric["interval"]
        assert low <= metric["value"] <= high
        assert metric["n"] >= 3

    @pytest.mark.parametrize("name", REFERENCE)
    def test_reference_numbers_have_eight_digits(self, finished, name):
        metric = json.loads((finished / "results/smoke/spherical_data/flow_rates/metrics.json").read_text())[name]
        assert math.isclose(metric["value"], REFERENCE[name], rel_tol=1e-9)
        assert metric["error"] <= 1e-8 * metric["value"]

    def test_the_report_stands(self, finished, ledger):
        report = finished / "results/smoke/report"
        assert "spherical_data" in (report / "index.html").read_text()
        for claim in ledger["claims"]:
            assert (report / "claims" / f"{claim['id']}.html").is_file()

    def test_every_file_is_what_was_written_and_follows_from_the_evidence(self, finished):
        command = [sys.executable, "-m", "flowcheck", "verify", "--scale", "smoke"]
        done = subprocess.run(command, cwd=finished, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr

    def test_a_second_run_does_nothing(self, finished):
        run = snakemake(finished)
        assert run.returncode == 0
        assert "Nothing to be done" in run.stderr + run.stdout
