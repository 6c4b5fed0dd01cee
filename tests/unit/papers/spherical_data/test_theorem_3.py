"""Theorem 3: excesses against the cosines that the theorem itself speaks of, and bounds that must fail."""

import math

import numpy as np
import pytest

from flowcheck.papers.spherical_data import reduced_flow, theorem_3
from flowcheck.papers.spherical_data.flow_table import table
from flowcheck.papers.spherical_data.phases import Phases
from flowcheck.papers.spherical_data.population import law

ADVANCES = np.concatenate([[0.0], np.geomspace(1e-3, 12.0, 120)])
ANGLE, NORM = np.array([0.3, 1.6, 2.5]), np.array([5.0, 1.0, 0.2])


def phases(depth):
    path = reduced_flow.reduced_flow(law("circle"), depth, reduced_flow.clock(ANGLE), np.log(NORM), ADVANCES)
    return Phases(path, NORM[:, None], 0.01)


@pytest.mark.parametrize("depth", [3, 5])
def test_lower_bounds_stay_below_and_the_upper_one_above(depth):
    found = theorem_3.excesses(phases(depth))
    assert np.all(found["first"] > 0)
    assert np.all(found["second"] > 0)
    assert np.all(found["upper"] < 0)


@pytest.mark.parametrize("depth", [3, 4])
def test_excesses_are_those_of_the_cosines(depth):
    p = phases(depth)
    path, t, c0 = p.path, p.path.t[1], 1.0
    seen = path.q[1] - path.q[1, 0] >= 0.01
    gain = 2 * (path.q[1] - path.q[1, 0])[seen]
    cosine0, r0 = math.cos(ANGLE[1]), NORM[1]
    c1, alpha = (1 + cosine0) / (1 - cosine0), 2 / ((depth - 2) * math.pi)
    lower = 1 - 2 / (c1 * ((depth - 2) * c0 * t[seen] / r0 ** (2 / depth - 1) + 1) ** alpha + 1)
    assert np.all(np.tanh(path.q[1][seen]) >= lower)
    start = math.log(c1)
    found = theorem_3.excesses(p)
    assert found["first"][1] == pytest.approx((gain / (2 * np.arctanh(lower) - start)).min() - 1, abs=1e-9)
    f, d = 4 * c0 / (0.6 * depth * math.pi), r0 ** (2 / depth)
    upper = f * ((0.6 * t[seen] + d) ** (depth / 2) - d ** (depth / 2))
    assert found["upper"][1] == pytest.approx((gain / upper).max() - 1, abs=1e-9)


def test_the_printed_start_of_the_upper_bound_lies_below_the_flow_for_small_angles_alone():
    # tan(θ) / 2 against tan(θ / 2): printed, the bound starts above 2 q(0) only beyond 1.91
    margin = theorem_3.printed_margin(phases(4))["printed_upper"]
    exact = [-2 * math.log(abs(math.tan(a) / 2)) + 2 * math.log(math.tan(a / 2)) for a in ANGLE]
    assert margin == pytest.approx(exact, abs=1e-9)
    assert (margin < 0).tolist() == [True, True, False]


def test_depth_two_has_no_such_bound():
    with pytest.raises(ValueError, match="depth > 2"):
        theorem_3.excesses(phases(2))


def test_the_tightest_flow_of_a_table():
    runs = table(law("circle"), 4, ANGLE, NORM, ADVANCES, 0.01)
    found = theorem_3.tightest(runs)
    assert {measurement.n for measurement in found.values()} == {3}
    assert all(measurement.error > 0 for measurement in found.values())
    assert found["theorem3_first_phase_excess_min"].value > 0 > found["theorem3_upper_excess_max"].value
    assert found["theorem3_printed_upper_margin_min"].value < 0
