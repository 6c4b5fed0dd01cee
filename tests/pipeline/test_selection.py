"""A run of some papers, some files or some stations: it computes less, destroys nothing, and says what it has not judged."""

import json
import re

import pytest

pytestmark = pytest.mark.pipeline

EXAMPLE = ("--config", "papers=example")
TOY = ["toy/theorem-1", "toy/theorem-1-printed", "toy/remark-2", "toy/proposition-3", "toy/figure-1"]
OF_DECAY = TOY[:4]
"""Claims on the evidence of `decay`, or on evidence that rests on it."""


@pytest.fixture(scope="module")
def two_papers(sources, tmp_path_factory):
    """The toy project with a second paper beside it, not yet run."""
    pipeline = sources.copy(tmp_path_factory.mktemp("two"))
    done = flowcheck(pipeline, "new", "example", "contraction")
    assert done.returncode == 0, done.stdout
    return pipeline


@pytest.fixture(scope="module")
def all_run(two_papers, tmp_path_factory):
    """Both papers after a full run, with their verdicts recorded."""
    pipeline = two_papers.copy(tmp_path_factory.mktemp("run"))
    pipeline.snakemake()
    assert flowcheck(pipeline, "expected", "--scale", "smoke", "--record").returncode == 0
    pipeline.snakemake()  # the ledger says what was recorded
    return pipeline


def flowcheck(pipeline, *arguments):
    done = pipeline.run("python", "-m", "flowcheck", *arguments)
    assert "Traceback" not in done.stdout
    return done


def expected(pipeline, *arguments):
    """Status and lines of a comparison with the record, without those that count."""
    done = flowcheck(pipeline, "expected", "--scale", "smoke", *arguments)
    said = (line for line in done.stdout.splitlines()[1:] if not line.startswith("recorded of a run"))
    return done.returncode, [line for line in said if not re.match(r"[a-z ]+: \d+ \(", line)]


def verified(pipeline):
    done = flowcheck(pipeline, "verify", "--scale", "smoke")
    return done.returncode, done.stdout.splitlines()


def freshness(pipeline):
    """Freshness -> claims of the toy paper, from the ledger."""
    found = {}
    for claim in pipeline.json("results/smoke/ledger.json")["claims"]:
        if claim["paper"] == "toy":
            found.setdefault(claim["freshness"], []).append(claim["id"])
    return found


WHOLE = (0, ["smoke: every file is what was written, and follows from the evidence"])
UNCHANGED = (0, ["no verdict changed"])


def test_a_selection_in_a_fresh_clone_runs_one_paper_and_shows_the_claims_of_the_others_as_not_judged(two_papers, tmp_path):
    pipeline = two_papers.copy(tmp_path)
    pipeline.path("config/expected").mkdir()
    pipeline.path("config/expected/smoke.json").write_text(json.dumps({"toy/theorem-1": "supported"}))
    pipeline.snakemake(*EXAMPLE)
    assert not pipeline.path("results/smoke/toy").exists()
    assert freshness(pipeline) == {"missing": TOY}
    assert verified(pipeline) == WHOLE
    gone = "toy/theorem-1: recorded and not judged"
    status, said = expected(pipeline)
    assert status == 1
    assert gone in said
    flowcheck(pipeline, "expected", "--scale", "smoke", "--record")
    assert set(pipeline.json("config/expected/smoke.json")) == {"toy/theorem-1", "example/contraction-order"}
    assert expected(pipeline) == (1, [gone])
    assert expected(pipeline, "--papers", "example") == UNCHANGED
    page = pipeline.path("results/smoke/report/claims/toy/theorem-1.html").read_text()
    assert "Not judged." in page
    assert "The last run was of example" in pipeline.path("results/smoke/report/index.html").read_text()


def test_a_selection_after_a_full_run_keeps_the_others_and_says_so(all_run, tmp_path):
    pipeline = all_run.copy(tmp_path)
    before = pipeline.files("results/smoke")
    verdicts = {claim["id"]: claim["verdict"] for claim in pipeline.json("results/smoke/ledger.json")["claims"]}
    assert pipeline.planned(*EXAMPLE) == {"ledger": 1, "report": 1}
    pipeline.snakemake(*EXAMPLE)
    assert pipeline.files("results/smoke") == before
    assert freshness(pipeline) == {"kept": TOY}
    assert {claim["id"]: claim["verdict"] for claim in pipeline.json("results/smoke/ledger.json")["claims"]} == verdicts
    assert (expected(pipeline), verified(pipeline)) == (UNCHANGED, WHOLE)
    assert "not made again" in pipeline.path("results/smoke/report/claims/toy/theorem-1.html").read_text()
    assert pipeline.planned(*EXAMPLE) == {}
    assert pipeline.planned() == {"ledger": 1, "report": 1}


def test_what_a_change_of_code_made_stale_is_never_shown_as_current(all_run, tmp_path):
    pipeline = all_run.copy(tmp_path)
    pipeline.snakemake(*EXAMPLE)
    pipeline.replace("src/flowcheck/toy_exact.py", "-rate * t", "-t * rate")
    assert pipeline.planned(*EXAMPLE) == {"ledger": 1, "report": 1}
    pipeline.snakemake(*EXAMPLE)
    assert freshness(pipeline) == {"stale": OF_DECAY, "kept": ["toy/figure-1"]}
    why = "results/smoke/toy/decay/metrics.json: measured by other code than that of this checkout"
    status, said = expected(pipeline)
    assert (status, said[0]) == (1, f"toy/theorem-1: stale, supported it was: {why}")
    assert [line.split(":")[0] for line in said] == OF_DECAY
    assert expected(pipeline, "--papers", "example") == UNCHANGED
    assert verified(pipeline) == (1, [why])
    assert "⌛" in pipeline.path("results/smoke/report/claims/toy/theorem-1.html").read_text()
    recorded = pipeline.json("config/expected/smoke.json")
    flowcheck(pipeline, "expected", "--scale", "smoke", "--record")
    assert pipeline.json("config/expected/smoke.json") == recorded

    pipeline.snakemake()
    assert freshness(pipeline) == {"made": TOY}
    assert (expected(pipeline), verified(pipeline), pipeline.planned()) == (UNCHANGED, WHOLE, {})


def test_a_changed_threshold_or_a_lost_file_of_another_paper_is_said(all_run, tmp_path):
    pipeline = all_run.copy(tmp_path)
    pipeline.replace("config/claims/toy/decay.yaml", "value: 0.025", "value: 0.005")
    pipeline.path("results/smoke/toy/spread/metrics.json").unlink()
    pipeline.snakemake(*EXAMPLE)
    assert freshness(pipeline) == {"stale": ["toy/theorem-1", "toy/figure-1"], "kept": OF_DECAY[1:]}
    assert [line.split(":")[0] for line in expected(pipeline)[1]] == ["toy/theorem-1", "toy/figure-1"]
    status, said = verified(pipeline)
    assert status == 1
    assert any("theorem-1.json: says supported, and the evidence says contradicted" in line for line in said)
    assert any("spread/metrics.json: No such file" in line for line in said)
    pipeline.path("results/smoke/claims/toy/theorem-1-printed.json").unlink()
    pipeline.snakemake(*EXAMPLE)
    assert freshness(pipeline)["missing"] == ["toy/theorem-1-printed"]
    assert "toy/theorem-1-printed: recorded and not judged" in expected(pipeline)[1]


def test_one_claim_or_one_station_leaves_the_ledger_and_the_comparison_says_that_it_is_old(all_run, tmp_path):
    pipeline = all_run.copy(tmp_path)
    files = pipeline.files("results/smoke")
    claim = "results/smoke/claims/toy/theorem-1.json"
    assert pipeline.planned(claim) == {}
    pipeline.replace("config/claims/toy/decay.yaml", "value: 0.025", "value: 0.005")
    pipeline.snakemake(claim)
    assert pipeline.files("results/smoke") == files
    status, said = expected(pipeline)
    assert status == 1
    old = f"{claim}: damaged, changed, or of another run than results/smoke/ledger.json; make the ledger again: snakemake"
    assert any(line.startswith(old) for line in said)
    assert verified(pipeline)[0] == 1
    pipeline.snakemake("results/smoke/ledger.json")
    assert expected(pipeline) == (1, ["toy/theorem-1: contradicted, recorded was supported"])

    pipeline = all_run.copy(tmp_path / "until")
    pipeline.replace("config/experiments/toy/spread.yaml", "samples: 400", "samples: 401")
    pipeline.snakemake("--until", "evidence")
    assert pipeline.files("results/smoke") == files
    status, said = expected(pipeline)
    assert status == 1
    assert any("spread/metrics.json: damaged, changed, or of another run than results/smoke/claims" in line for line in said)
    assert verified(pipeline)[0] == 1
    pipeline.snakemake()
    assert (expected(pipeline), verified(pipeline)) == (UNCHANGED, WHOLE)
