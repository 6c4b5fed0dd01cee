"""Eq. (72): the bound at every recorded time, and the step before it, against plain differences."""

import math

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from flowcheck.papers.deep_homogeneous import equation_72
from flowcheck.papers.deep_homogeneous.power_saddles import fewer_units
from flowcheck.saddles.constants import reach
from flowcheck.saddles.departure import Departure, ResidualFlow, Start

U = ResidualFlow(lambda t: np.zeros(9), None, np.array([0.2]), np.array([1.5]), 0.1)
TAU, DELTA = np.array([0.0, 0.1, 0.2, 0.3]), np.array([0.1, 0.01])


@pytest.fixture(scope="module")
def saddle():
    return fewer_units(3, np.random.default_rng(0), 1)


def test_the_largest_ratio_is_that_of_a_loop_over_deltas_and_times(saddle):
    rng, c = np.random.default_rng(1), reach(saddle, 0.1, 0.2, 1.5)
    path = Departure(DELTA, TAU, np.zeros((2, 4, 3)), rng.standard_normal((2, 4, 9)), rng.standard_normal((4, 9)), 2)

    def ratio(k, i):
        return 2 * math.log(path.deviation[k, i]) - c.log_deviation(math.log(DELTA[k]), TAU[i], printed=False)

    everything, first = np.array([True, True]), np.array([True, False])
    assert equation_72.log_ratio(path, everything, 3, c) == max(ratio(k, i) for k in (0, 1) for i in (1, 2, 3))
    assert equation_72.log_ratio(path, first, 2, c) == max(ratio(0, i) for i in (1, 2))


def test_no_deviation_at_all_is_infinitely_far_below_the_bound(saddle):
    still = Departure(DELTA, TAU, np.zeros((2, 4, 3)), np.zeros((2, 4, 9)), np.ones((4, 9)), 2)
    assert equation_72.log_ratio(still, np.array([True, True]), 3, reach(saddle, 0.1, 0.2, 1.5)) == -math.inf


def test_the_increment_is_the_difference_of_outputs_over_either_bound(saddle):
    n, c, moved = np.array([0.6, 0.0, 0.8]), reach(saddle, 0.1, 0.2, 1.5), reach(saddle, 0.1, 0.2 + 1e-6, 1.5)
    found = equation_72.increments(saddle, Start(n, np.zeros(9), U), 1e-3, c, moved)
    plain = np.linalg.norm(saddle.fitted.outputs(saddle.weights + 1e-3 * n) - saddle.fitted.outputs(saddle.weights))
    assert found["eq72_step"].value == pytest.approx(plain / (c.k2 * math.sqrt(c.c) * 1e-3), rel=1e-9)
    assert found["eq72_step_printed"].value == pytest.approx(plain / (c.k2 * c.c * 1e-6), rel=1e-9)
    # C - 1 is proportional to T
    relative = 0.5 * (c.c - 1) / c.c * 1e-6 / 0.2
    assert found["eq72_step"].error == pytest.approx(found["eq72_step"].value * relative, rel=1e-3)


def nearly_sharp(start):
    """The largest deviation over epsilon, and logarithms of its square over (72), in plain coordinates and by hand."""
    epsilon, r = 0.01, 1e-3
    delta, w = 0.99 * epsilon, math.sqrt(0.75 * epsilon)
    last = 1.5 * epsilon / (3 * w**2) ** 2

    def rates(_, state):
        a, v1, v2 = state
        first, second = w**3 - a**3 - v1**3, r - v2**3
        return [3 * a**2 * first, 3 * v1**2 * first, 3 * v2**2 * second]

    times = np.concatenate([[0.0], np.geomspace(1e-4 * last, last, 60)]) / delta
    flow = solve_ivp(rates, (0.0, times[-1]), [w + start * delta, delta, 0.0], "DOP853", times, rtol=1e-11, atol=1e-16).y[1]
    deviation = np.abs(flow / delta - 1)
    # alpha = 3, beta = 1: both parts are cubes of single weights; K1 is the Lipschitz constant of 3 v^2 up to 1 + epsilon
    norm_z, norm_n = 1 + epsilon, w + epsilon
    k1, k2 = 6 * norm_z, 3 * norm_n**2
    c = 1 + 2 * epsilon * 3 * norm_n**2 * norm_z**3 * last
    bound = 2 * 3 * epsilon * norm_z**2 * (k2 * math.sqrt(c) * delta + norm_z**3 * delta**3) * times * delta
    bound *= np.exp(2 * times * delta * k1 * r)
    return deviation.max() / epsilon, np.log(deviation[1:] ** 2 / bound[1:]).max()


@pytest.mark.parametrize(("name", "start"), [("sharp", 1), ("far", 10)])
def test_where_the_bound_is_nearly_sharp_flow_and_bound_are_those_of_plain_coordinates_and_of_a_formula_by_hand(name, start):
    found, (deviation, by_hand) = equation_72.nearly_sharp(), nearly_sharp(start)
    assert found[f"equation_72_{name}_deviation"].value == pytest.approx(deviation, rel=1e-5)
    assert found[f"equation_72_{name}_log_ratio"].value == pytest.approx(by_hand, abs=0.05)


def test_the_nearly_sharp_bound_is_within_a_factor_of_ten_and_fails_from_a_start_too_far_away():
    found = equation_72.nearly_sharp()
    assert -math.log(10) < found["equation_72_sharp_log_ratio"].value < 0
    assert found["equation_72_far_log_ratio"].value > 0.5
