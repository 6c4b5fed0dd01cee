"""The start opposite to v: its decay against the solution of the equation without κ, its angle, its growth."""

import numpy as np
import pytest
from scipy.integrate import quad

from flowcheck.networks import linear
from flowcheck.papers.spherical_data import opposite_start
from flowcheck.papers.spherical_data.broken_flows import V, planar_flow
from flowcheck.papers.spherical_data.full_weights import Accuracy
from flowcheck.papers.spherical_data.population import law

FINE = opposite_start.TOLERANCES[0]


@pytest.mark.parametrize("depth", [3, 4, 6])
def test_the_norm_decays_with_the_exponent_of_its_depth_and_no_other(depth):
    found = opposite_start.decay(depth, FINE)
    assert found["opposite_slope_gap"] < 1e-4
    assert opposite_start.slope_gap(np.array([1.0, 3.0]), np.array([0.0, -2 * (depth + 1) / (depth - 1)]), depth) > 0.05
    assert opposite_start.slope_gap(*opposite_start.beside_decay(depth, 1e-10), depth) > 1


def test_the_share_of_equation_17_is_that_of_time_by_quadrature():
    # t(s) is an integral over the log norm; the share of the fall r^{2/N-1} - 1 of (N-2) c0 t grows towards 1/π far out
    depth, circle = 4, law("circle")
    power, share = 1 - 2 / depth, []
    for s in (-1e-3, -0.1, -2.0, -8.0):
        time, _ = quad(lambda x: np.exp(-power * x) / (depth * (1 / np.pi + circle.kappa(np.exp(x)))), s, 0.0)
        share.append((np.exp(-power * s) - 1) / ((depth - 2) * time))
    found = opposite_start.decay(depth, FINE)["opposite_lower_ratio_max"]
    # largest at the start, where κ is largest; the first recorded time is 0.05
    assert share == sorted(share, reverse=True)
    assert share[1] < found < share[0]


def test_the_angle_is_kept_by_full_weights_and_a_turned_start_is_seen():
    rng, times = np.random.default_rng(0), np.linspace(0.0, 10.0, 21)
    opposite, beside = (
        opposite_start.sine(planar_flow(linear.balanced_weights(w, [3, 3], rng), V, times, Accuracy(1e-8)))
        for w in opposite_start.STARTS
    )
    assert opposite < 1e-12
    assert beside > 1e-3


def test_each_number_has_an_error_and_stands_for_one_depth():
    weights = [linear.balanced_weights(w, [2, 2], np.random.default_rng(0)) for w in opposite_start.STARTS]
    found = opposite_start.measure(3, *weights, Accuracy(1e-8))
    for measurement in found.values():
        assert measurement.n == 1
        assert 0 < measurement.error < 1e-5
    assert found["opposite_lower_ratio_max"].value < 1 < found["opposite_lower_ratio_unbalanced"].value


def test_the_norm_grows_at_no_size():
    found = opposite_start.growth()
    assert found.value == pytest.approx(-1.0, abs=1e-11)  # at small norms; κ only adds to it
    assert found.value < -1.0
