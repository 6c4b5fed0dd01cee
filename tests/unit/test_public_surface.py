"""What users give to the functions of docs/library.md is taken for what it is, or refused in one sentence: `public_surface`."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CONSTANTS = {
    "losses.HALF_SUM",
    "losses.HALF_MEAN",
    "losses.MEAN",
    "losses.LOGISTIC",
    "losses.LOGISTIC_DOUBLED",
    "networks.activation.RELU",
}
BY_SUBCLASS = {"networks.network.Network"}
"""A contract: what is checked of it is checked by `Objective` and `Correlation`."""
BY_ITS_LIBRARY = {"pursuit.estimator.NeuronPursuitRegressor"}
"""scikit-learn's `check_estimator` gives it what users give, in its own test."""


@pytest.fixture(scope="module")
def walk():
    """The table, walked through in a process of its own, in which no types are checked."""
    program = [sys.executable, str(ROOT / "tests" / "public_surface.py")]
    return json.loads(subprocess.run(program, capture_output=True, text=True, check=True).stdout)


def test_what_users_give_is_taken_for_what_it_is_or_refused_in_one_sentence(walk):
    count, failures = walk["cases"]
    assert count > 2000
    assert not failures, "\n".join(f"{case}: {why}" for case, why in failures.items())


def test_a_function_that_checks_nothing_is_found(walk):
    _, failures = walk["control"]
    assert {"careless, x: complex", "careless, x: NaN", "careless, x: sparse", "careless, x: nothing"} <= set(failures)


def test_every_function_of_the_library_is_in_the_table(walk):
    rows = re.findall(r"^\| `([\w.]+)` \| (`.*?) \|", (ROOT / "docs" / "library.md").read_text(), re.MULTILINE)
    offered = {f"{module}.{name}" for module, names in rows for name in re.findall(r"`(\w+)`", names)}
    assert len(offered) > 30
    assert offered - CONSTANTS - BY_SUBCLASS - BY_ITS_LIBRARY <= set(walk["names"])
