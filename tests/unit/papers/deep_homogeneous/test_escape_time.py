"""Escape times: of a cubed unit against its blow-up time, and slopes of powers that are made up."""

import numpy as np
import pytest
import torch

from flowcheck.alignment.study import Escapes
from flowcheck.measures.refinement import Refined
from flowcheck.papers.deep_homogeneous import escape_time
from flowcheck.papers.deep_homogeneous.escape_time import Escaped

DELTAS = [1e-2, 1e-4, 1e-6]


def made_up(degree, time):
    some = torch.tensor(time, dtype=torch.float64)
    found = Escapes(torch.arange(len(some)), some, some * (1 + 1e-5), torch.zeros_like(some), torch.full(some.shape, 7))
    return Escaped(degree, Refined(np.ones(len(some)), np.full(len(some), 1e-6)), found)


def test_a_cubed_unit_escapes_shortly_before_its_blow_up(cubic):
    escaped = Escaped.of(cubic.study(), [1e-2, 1e-5])
    assert escaped.degree == 3
    # the closed form is met within the error, which is that of the tolerance and no more
    assert abs(escaped.blow_up.value[0] - cubic.blow_up) <= escaped.blow_up.error[0] < 1e-5 * cubic.blow_up
    gap = escape_time.gap(Refined(escaped.found.time.numpy(), np.zeros((1, 2))), escaped.blow_up[:, None])
    # of relative order delta: the time that is left is 1 / (3 y u) for a u of order 1 / delta
    assert (gap.value[0] < [0.05, 5e-5]).all()
    assert gap.value[0, 0] > 100 * gap.value[0, 1]


def test_slopes_in_plain_time_are_those_of_the_degree():
    constant = [[1.0, 1.0, 1.0], [2.0, 2.0, 2.0]]
    found = escape_time.readings({"L3": made_up(3, constant), "L5": made_up(5, constant)}, DELTAS)
    assert found["escape_time_slope_L3"].value == pytest.approx(-1)
    assert found["escape_time_slope_L5"].value == pytest.approx(-3)
    assert found["escape_time_slope_L5"].n == 6
    np.testing.assert_allclose(found["L3_escape_log_time"][0], np.log(1 / np.array(DELTAS)))
    assert found["escape_time_gap_max"].value == 1.0  # twice the blow-up time
    assert found["escape_time_gap_max"].error == pytest.approx(2e-5 + 1e-6)
    assert found["evaluations_growth"].value == 1
    assert found["escapes_missing"].value == 0


def test_an_escape_that_is_missing_leaves_no_gap():
    found = escape_time.readings({"L3": made_up(3, [[1.0, 1.0, np.nan], [1.0, 1.0, 1.0]])}, DELTAS)
    assert found["escapes_missing"].value == 1
    assert np.isnan(found["escape_time_gap_max"].value)


def test_the_steps_of_euler_grow_as_the_time_in_plain_units():
    found = escape_time.euler_growth(made_up(4, [[1.0, 1.0, 1.0], [1.0, 1.0, 2.0]]), DELTAS)
    assert found.value == pytest.approx(1e8)  # delta^-2 over four decades
    assert found.error == pytest.approx(2e-5 * 1e8)  # both times are off by 1e-5
