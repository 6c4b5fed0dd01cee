"""Escape times of degree two: of a quadratic, and of some that are made up."""

import numpy as np
import pytest
import torch

from flowcheck.alignment.study import Escapes
from flowcheck.papers.two_homogeneous import escape_time
from flowcheck.papers.two_homogeneous.escape_time import Escaped

DELTAS = [1e-2, 1e-6, 1e-8, 1e-16]


def made_up(time, apart):
    time, apart = (torch.tensor(each, dtype=torch.float64) for each in (time, apart))
    found = Escapes(torch.arange(len(time)), time, time + 1e-5, apart, torch.full(time.shape, 5))
    return Escaped(np.full(len(time), 0.5), found)  # 2 N = 1


def test_the_time_of_a_quadratic_grows_with_the_logarithm(quadratic):
    escaped = Escaped.of(quadratic.study(), DELTAS)
    assert escaped.value[0] == pytest.approx(quadratic.value)
    found = escape_time.readings({"SQ": escaped}, DELTAS, 0.01)
    assert found["escape_time_slope_L2"].value == pytest.approx(1, abs=0.01)
    assert found["escapes_missing"].value == 0


def test_points_that_are_not_aligned_leave_the_fit_and_the_control_has_half_of_the_slope():
    x = np.log(1 / np.array(DELTAS))
    time = [(x + 3 + np.array([5.0, 0, 0, 0])).tolist(), x.tolist()]
    found = escape_time.readings({"SQ": made_up(time, [[0.5, 0, 0, 0], [0.0] * 4])}, DELTAS, 0.01)
    assert found["escape_time_slope_L2"].value == pytest.approx(1)
    assert found["escape_time_slope_L2"].n == 7
    assert found["escape_time_slope_any_alignment"].value < 0.95
    assert found["escape_time_slope_degree_one"].value == pytest.approx(0.5)
    assert found["escape_time_slope_degree_one"].error == pytest.approx(0.5 * found["escape_time_slope_L2"].error)
    assert found["euler_growth_median"].value == pytest.approx(np.median([(x[1] + 3) / (x[0] + 8), x[1] / x[0]]))
    relative = 1e-5 * np.array([1 / (x[1] + 3) + 1 / (x[0] + 8), 1 / x[1] + 1 / x[0]])
    assert found["euler_growth_median"].error == pytest.approx(max(relative * [(x[1] + 3) / (x[0] + 8), x[1] / x[0]]), rel=1e-4)
    np.testing.assert_allclose(found["SQ_escape_time"], time)


def test_an_escape_that_is_missing_is_counted_and_leaves_the_fit():
    x = np.log(1 / np.array(DELTAS))
    found = escape_time.readings({"SQ": made_up([(x * [1, 1, np.nan, 1]).tolist(), x.tolist()], [[0.0] * 4] * 2)}, DELTAS, 0.01)
    assert (found["escapes_missing"].value, found["escape_time_slope_L2"].n) == (1, 7)
