"""Slopes of the deviation: the rule for the points, and the first variation in closed form."""

import math

import numpy as np
import pytest
import torch

from flowcheck.measures.refinement import Refined
from flowcheck.papers.homogeneous import deviation_rate
from flowcheck.papers.homogeneous.early_alignment import compare, for_all_cases


def test_a_slope_drops_points_by_its_rule_and_counts_the_others():
    deltas = np.logspace(0, -5, 6)[None]
    deviation = 3.0 * deltas**2
    found = deviation_rate.slope(deltas, Refined(deviation, np.full_like(deviation, 1e-10)), np.array([1.0]))
    assert found.value == pytest.approx(2.0, abs=1e-12)
    # 3 and 3e-2 are above a hundredth; 3e-8 and 3e-10 are within a hundred times 1e-10 or close: 3e-8 stays, 3e-10 goes
    assert found.n == 3


def test_a_rule_that_keeps_no_point_leaves_no_slope():
    deltas = np.logspace(-1, -3, 5)[None]
    found = deviation_rate.slope(deltas, Refined(np.full_like(deltas, 0.5), np.zeros_like(deltas)), np.array([1.0]))
    assert math.isnan(found.value)
    assert found.n == 0


def test_the_slope_of_all_points_has_the_largest_of_their_errors():
    deltas = [1e-1, 1e-2, 1e-3]
    deviation = np.array([[2.0, 2.0, 2.0], [0.3, 0.03, 0.003]])
    found = deviation_rate.of_all(Refined(deviation, 1e-3 * deviation), deltas)
    assert found.value == pytest.approx(0.5)
    assert found.error == pytest.approx(2e-3 / math.log(100))
    assert found.n == 6


def test_the_deviation_of_a_quadratic_is_of_order_two_with_the_prefactor_of_the_first_variation(quadratic):
    study = quadratic.study(rtol=1e-10)
    deltas = torch.logspace(-1.5, -3.5, 5, dtype=torch.float64).tolist()
    some = for_all_cases(deltas, study)
    slopes = compare(study, slopes=some, sweep=some, large=some, own=for_all_cases([0.1, 0.1], study)).slopes
    found = deviation_rate.of_cases("slope", slopes, np.array([True]))
    assert found["slope"].value == pytest.approx(2.0, abs=0.01)
    np.testing.assert_array_equal(found["slope_deltas"], deltas)
    # s_i = u_i (1 - delta^2 (u_i^2 - u_i(0)^2) / 2 y_i) up to the next order
    u, labels, start = quadratic.u(slopes.time[0, 0]), np.array([1.0, 0.5]), quadratic.u(0.0)
    exact = np.linalg.norm(u * (u**2 - start**2) / (2 * labels)) * deltas[-1] ** 2 / np.linalg.norm(u)
    assert found["slope_deviation"][0, -1] == pytest.approx(exact, rel=1e-3)
    twice = deviation_rate.pooled([(slopes, np.array([True])), (slopes, np.array([True]))])
    assert twice.value == pytest.approx(found["slope"].value)
    assert twice.n == 2 * found["slope"].n
