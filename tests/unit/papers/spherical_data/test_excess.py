"""Exponents of runs over those of bounds."""

import numpy as np
import pytest

from flowcheck.papers.spherical_data import population
from flowcheck.papers.spherical_data.descent import STEP_ROUNDING, PopulationPath
from flowcheck.papers.spherical_data.excess import SUM_ROUNDING, excess


def path_with(gap):
    """Runs with given 1 - cos θ [s, n + 1] and norm one."""
    angle = 2.0 * np.arcsin(np.sqrt(0.5 * np.asarray(gap)))
    return PopulationPath(population.law("circle"), np.ones((len(gap), len(gap[0]) - 1)), np.cos(angle), np.sin(angle))


def test_excess_is_the_exponent_reached_over_the_one_guaranteed():
    exponent = np.array([0.5, 1.0, 3.0])
    found = excess(path_with([[0.5, *(0.5 * np.exp(-np.array([2.0, 1.5, 3.0]) * exponent))]]), [(0, exponent)])
    assert found.value == pytest.approx([0.5], abs=1e-14)
    assert found.steps == [3]


def test_excess_is_negative_where_the_bound_fails():
    exponent = np.array([0.5, 1.0, 3.0])
    found = excess(path_with([[0.5, *(0.5 * np.exp(-np.array([2.0, 0.9, 3.0]) * exponent))]]), [(0, exponent)])
    assert found.value == pytest.approx([-0.1], abs=1e-14)


def test_excess_counts_from_the_step_of_the_bound():
    found = excess(path_with([[1.0, 0.1, 0.1 * np.exp(-2.0)]]), [(1, np.array([1.0]))])
    assert found.value == pytest.approx([1.0], abs=1e-14)
    assert found.steps == [1]


def test_a_bound_that_is_silent_on_a_run_leaves_no_number():
    found = excess(path_with([[1.0, 0.5], [1.0, 0.5], [1.0, 1e-290]]), [None, (1, np.empty(0)), (0, np.ones(1))])
    assert np.isnan([found.value, found.error, found.steps]).all()


def test_rounding_gathers_to_the_worst_step():
    gap = 0.5 * np.exp(-np.array([0.0, 2.0, 4.0, 4.5]))
    path = path_with([gap])
    found = excess(path, [(0, np.array([1.0, 2.0, 3.0]))])  # 3.0: the excess falls to a half
    ratio = path.across[0, 1:] / path.across[0, :-1]
    gathered = STEP_ROUNDING * np.sum(1 + np.abs(1 - ratio) / ratio)
    assert found.error == pytest.approx([gathered / 3.0 + 3 * SUM_ROUNDING * 1.5], rel=1e-6)
