"""Lemma 8: shares of Eq. (17) against the bounds on the norm themselves, and the slope of g where the norm turns."""

import numpy as np
import pytest

from flowcheck.papers.spherical_data import bounds, lemma_8, reduced_flow
from flowcheck.papers.spherical_data.flow_table import table
from flowcheck.papers.spherical_data.phases import Phases
from flowcheck.papers.spherical_data.population import law

ADVANCES = np.concatenate([[0.0], np.geomspace(1e-3, 12.0, 120)])
ANGLE, NORM = np.array([0.3, 1.6, 2.9]), np.array([5.0, 1.0, 0.2])


def follow(depth):
    return reduced_flow.reduced_flow(law("circle"), depth, reduced_flow.clock(ANGLE), np.log(NORM), ADVANCES)


@pytest.mark.parametrize("depth", [3, 6])
def test_shares_below_one_are_norms_between_the_bounds(depth):
    path = follow(depth)
    phases = Phases(path, NORM[:, None], 0.01)
    found = lemma_8.used_shares(phases)
    lower, upper = bounds.lemma8_log_norm_bounds(path.t, NORM[:, None], 1.0, depth)
    assert np.all(lower <= path.s + 1e-12)
    assert np.all(path.s <= upper + 1e-12)
    assert 0.2 < found["lemma8_lower"].max() < 1
    assert 0.2 < found["lemma8_upper"].max() < 1
    # with the constants at these shares the bounds touch the flow, and with less they are broken
    for share, broken in ((1.001, False), (0.98, True)):
        lower, _ = bounds.lemma8_log_norm_bounds(path.t, NORM[:, None], share * found["lemma8_lower"].max(), depth)
        assert np.any((lower > path.s)[phases.anywhere]) == broken


def test_powers_that_move_as_far_as_the_bounds_let_them_use_all_of_it():
    times, depth = np.array([[0.1, 2.0, 50.0]]), 5
    lower, upper = bounds.lemma8_log_norm_bounds(times, 0.7, 1.2, depth)
    for side, s in enumerate((lower, upper)):
        moved, allowed = lemma_8.moved_and_allowed(times, s, np.log(0.7), 1.2, depth)[side]
        assert moved == pytest.approx(allowed)
    # in the powers of Eq. (17), over their values at the start
    _, allowed = lemma_8.moved_and_allowed(times, lower, np.log(0.7), 1.2, depth)[0]
    assert allowed == pytest.approx((depth - 2) * 1.2 * times * 0.7 ** (1 - 2 / depth))


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_the_growth_turns_at_its_predicted_slope(depth):
    path = follow(depth)
    fine, coarse = lemma_8.growth_slope(path, 1e-4), lemma_8.growth_slope(path, 1e-2)
    assert fine == pytest.approx(1.0, abs=1e-6)
    assert fine[0] == 1.0  # grows at once
    # second order: a hundred times the step is ten thousand times the error
    assert np.all(np.abs(coarse[1:] - 1) > 100 * np.abs(fine[1:] - 1))


def test_flows_that_never_shrink_are_not_counted():
    runs = table(law("circle"), 3, ANGLE, NORM, ADVANCES, 0.01)
    found = lemma_8.slopes(runs)
    assert found["lemma8_growth_slope_min"].n == 2
    assert found["lemma8_growth_slope_min"].value == pytest.approx(1.0, abs=1e-6)
    shares = lemma_8.tightest(runs)
    assert shares["lemma8_lower_ratio_max"].value == runs["lemma8_lower"].max()
    assert shares["lemma8_upper_ratio_max"].n == 3
