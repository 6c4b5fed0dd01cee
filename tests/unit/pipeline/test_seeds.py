"""Verdicts under other root seeds: each run apart from the results, kept, judged, and what flips told."""

import re

import pytest

from flowcheck.__main__ import main
from flowcheck.pipeline import digest
from flowcheck.pipeline.project import Project
from flowcheck.pipeline.seeds import CRASHED, FIRST_SEED, is_stable, table_of, verdicts_under

SCRIPT = """
from flowcheck.pipeline.evidence import Evidence
from flowcheck.pipeline.experiment import ParametersModel, main


class Parameters(ParametersModel):
    samples: int


def cell(parameters, context):
    if context.seed == 1003:
        raise ValueError("nothing can be drawn")
    evidence = Evidence()
    evidence.measure("mean", {1001: 0.02, 1002: 0.5}[context.seed], error=1e-9)
    evidence.measure("mean_biased", 0.9, error=1e-9)
    return evidence


if __name__ == "__main__":
    main(Parameters, cell)
"""
RECORDED = {"toy/figure-1": "supported"}


@pytest.fixture
def project(checkout):
    (checkout.root / "scripts/toy/spread.py").write_text(SCRIPT)
    return Project(checkout.root)


def verdicts(project, *seeds):
    said = []
    return verdicts_under(project, "smoke", seeds, [("toy", "spread")], said.append), said


def test_a_verdict_is_given_for_each_seed_and_a_crash_is_no_verdict(project):
    found, said = verdicts(project, 1001, 1002, 1003)
    assert found == {"toy/figure-1": {1001: "supported", 1002: "contradicted", 1003: CRASHED}}
    assert said[:2] == ["seed 1001, toy/spread: measured", "seed 1002, toy/spread: measured"]
    assert re.fullmatch(r"seed 1003, toy/spread: crashed with status \d, and said: .*nothing can be drawn", said[2])
    assert not (project.root / "results").exists()
    assert not is_stable(found, RECORDED)


def test_what_was_measured_is_measured_again_only_where_code_or_settings_are_others(project, checkout):
    verdicts(project, 1001)
    path = project.root / ".cache/seeds/smoke/1001/toy/spread/metrics.json"
    first = path.stat().st_mtime_ns
    verdicts(project, 1001)
    assert path.stat().st_mtime_ns == first
    script = checkout.root / "scripts/toy/spread.py"
    script.write_text(script.read_text().replace("0.02", "0.03"))
    digest._read.cache_clear()  # a command reads each file once
    verdicts(Project(checkout.root), 1001)
    assert path.stat().st_mtime_ns > first
    path.write_text(path.read_text().replace("0.03", "0.01"))
    second = path.stat().st_mtime_ns
    assert verdicts(project, 1001)[0] == {"toy/figure-1": {1001: "supported"}}, "what was edited is made again"
    assert path.stat().st_mtime_ns > second


def test_the_table_names_what_flips_and_where():
    found = {
        "toy/figure-1": {1001: "supported", 1002: "contradicted", 1003: "inconclusive"},
        "toy/theorem-1": {1001: "supported", 1002: "supported", 1003: "supported"},
    }
    table = table_of(found, RECORDED | {"toy/theorem-1": "supported"})
    assert table.startswith("2 claims under 3 root seeds: 6 verdicts, 2 not as recorded\n- 1 supported to contradicted (16.7%)\n")
    assert "| toy/figure-1 | supported | 1 supported, 1 contradicted, 1 inconclusive | 1002, 1003 |" in table
    assert "toy/theorem-1" not in table
    assert table_of({"toy/theorem-1": {1: "supported"}}, {"toy/theorem-1": "supported"}).endswith("No verdict flips.")


@pytest.mark.parametrize(
    ("seen", "stable"),
    [
        (["supported", "inconclusive"], True),
        (["supported", "contradicted"], False),
        (["contradicted"], False),  # recorded is supported
        (["supported", CRASHED], False),
    ],
)
def test_only_a_crash_and_a_flip_between_the_poles_are_unstable(seen, stable):
    assert is_stable({"toy/figure-1": dict(enumerate(seen))}, RECORDED) == stable


def test_the_command_refuses_what_is_not_there(checkout, monkeypatch, capsys):
    monkeypatch.chdir(checkout.root)
    assert main(["seeds", "--scale", "smoke", "--count", "0"]) == 2
    assert "--count: at least one root seed is needed, found 0" in capsys.readouterr().err
    assert main(["seeds", "--scale", "smoke", "--experiments", "toy/nothing"]) == 2
    assert "--experiments: unknown experiment: 'toy/nothing'" in capsys.readouterr().err


def test_no_experiment_has_one_of_the_other_seeds_as_its_own():
    own = {entry.seed for experiments in Project().experiments.values() for entry in experiments.values()}
    assert min(own) > FIRST_SEED + 1000
