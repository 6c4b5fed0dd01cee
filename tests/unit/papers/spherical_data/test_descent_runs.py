"""The table of runs of descent, and what is read from it."""

import numpy as np
import pytest

from flowcheck.papers.spherical_data import descent_runs, lemma_4, lemma_5, population, theorem_2
from flowcheck.papers.spherical_data.descent import population_descent

PATH = population_descent(
    population.law("circle"), np.array([1.0, 3.0, 50.0]), np.array([2.4981, 0.3, 3.1]), np.tile([2.0, 0.5], (3, 30))
)
TABLE = descent_runs.table(PATH)


def test_a_row_does_not_depend_on_the_other_runs():
    alone = population_descent(PATH.law, PATH.norm[:1, 0], np.array([2.4981]), PATH.step_sizes[:1])
    for name, column in descent_runs.table(alone).items():
        assert column == pytest.approx(TABLE[name][:1], rel=1e-12, nan_ok=True), name


def test_the_table_holds_landmarks_and_excesses():
    assert np.array_equal(TABLE["n1"], theorem_2.radius_entry(PATH))
    assert np.array_equal(TABLE["lemma4_excess"], lemma_4.against_bound(PATH).value, equal_nan=True)
    assert np.array_equal(TABLE["delta"], lemma_5.condition(PATH).min(axis=1))
    assert np.array_equal(TABLE["final_gap"], PATH.one_minus_cos[:, -1])


def test_readings_are_extremes_over_the_runs_that_a_statement_speaks_of():
    found = descent_runs.readings_of(PATH, TABLE)
    worst = int(np.nanargmin(TABLE["theorem2_excess"]))
    excess = found["theorem2_excess_min"]
    assert (excess.value, excess.error, excess.n) == (TABLE["theorem2_excess"][worst], TABLE["theorem2_error"][worst], 2)
    assert found["theorem2_runs_without_n0"].value == 1  # two start in the wrong half-space, one stays
    assert found["theorem2_runs_without_n0"].n == 2
    assert (found["theorem2_runs_without_n1"].value, found["theorem2_runs_without_n1"].n) == (1, 3)
    assert found["theorem2_final_gap_max"].value == PATH.one_minus_cos[2, -1]


def test_late_growth_is_asked_of_runs_that_come_far():
    assert np.isnan(TABLE["late_gap"]).all()
    far = population_descent(PATH.law, np.ones(2), np.array([0.3, 3.0]), np.full((2, 150), 1e3))
    runs = descent_runs.table(far)
    assert np.all(runs["late_gap"] < 0.05)
    found = descent_runs.readings_of(far, runs)["descent_late_gap_max"]
    assert (found.value, found.n) == (runs["late_gap"].max(), 2)


def test_order_of_step_sizes_is_that_of_the_steps_needed():
    size, needed = np.array([5.0, 0.1, 1.0, 20.0, 9.0]), np.array([10.0, 70.0, 30.0, np.nan, 12.0])
    found = descent_runs.half_space_order(size, needed, np.array([True] * 5))
    violations, reversed_ = (found[f"halfspace_steps_order_violations{key}"] for key in ("", "_reversed"))
    assert (violations.value, reversed_.value, violations.n) == (1, 2, 3)  # 70, 30, 10, 12, and one that never gets there
    assert descent_runs.half_space_order(size, needed, size < 5)["halfspace_steps_order_violations_reversed"].n == 1
