"""The commands of docs/add_a_paper.md, taken from the document and run: a new paper through real `snakemake` processes."""

import re
import shlex
from pathlib import Path

import pytest

pytestmark = pytest.mark.pipeline

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "add_a_paper.md").read_text()
COMMANDS = [
    [shlex.split(line, comments=True) for line in block.splitlines()]
    for block in re.findall(r"^```sh\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
]
NEW, WITHOUT_SNAKEMAKE, RECORD = COMMANDS
CLAIM = "results/laptop/claims/example/contraction-order.json"


def run(pipeline, command: list[str]) -> str:
    """What a command of the document says; `--cores` may stand as it does there."""
    done = pipeline.run(*command)
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture
def example(fresh):
    """The toy project with the skeleton of the document beside it."""
    run(fresh, NEW[0])
    return fresh


def test_the_commands_of_the_document_run_and_the_claim_of_the_skeleton_is_supported(example):
    assert [command[0] for command in NEW] == ["python", "snakemake", "snakemake"]
    arguments = ("--config", "scale=smoke", "papers=example")
    assert example.planned(*arguments) == {
        "parameters": 1,
        "evidence": 1,
        "judge_example_contraction": 1,
        "notebook_example_contraction": 1,
        "ledger": 1,
        "report": 1,
    }
    for command in NEW[1:]:
        run(example, command)
    (claim,) = (claim for claim in example.json("results/smoke/ledger.json")["claims"] if claim["freshness"] == "made")
    assert (claim["id"], claim["verdict"]) == ("example/contraction-order", "supported")
    assert {"error.png", "error.svg", "error.pdf"} == set(example.files("results/smoke/example/contraction/figures"))


def test_the_verdict_of_the_example_is_recorded_as_the_document_says(example):
    example.snakemake("results/smoke/ledger.json", "--config", "scale=smoke", "papers=example")
    compare = ("python", "-m", "flowcheck", "expected", "--scale", "smoke")
    assert example.run(*compare).returncode == 1
    run(example, [*RECORD[0], "--because", "the toy paper was not run"])
    assert example.json("config/expected/smoke.json") == {"example/contraction-order": "supported"}
    assert example.run(*compare).returncode == 0


def test_a_changed_threshold_runs_the_judge_alone_and_the_control_guards_it(example):
    example.snakemake(CLAIM)
    assert example.json(CLAIM)["verdict"] == "supported"
    example.replace("config/claims/example/contraction.yaml", "value: 1.9,", "value: 2.09,")
    assert example.planned(CLAIM) == {"judge_example_contraction": 1}
    example.snakemake(CLAIM)
    assert example.json(CLAIM)["verdict"] == "contradicted"
    example.replace("config/claims/example/contraction.yaml", "value: 2.09,", "value: 1.0,")
    assert "threshold on the wrong side" in example.snakemake(CLAIM, ok=False)


def test_a_script_runs_without_snakemake_as_the_document_says(example):
    for command in WITHOUT_SNAKEMAKE:
        run(example, command)
    assert {"metrics.json", "arrays.npz", "runs.parquet"} <= set(example.files("try"))
