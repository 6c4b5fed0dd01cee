"""What a smaller start changes."""

import numpy as np
import pytest
import torch

from flowcheck.networks.zoo import power_net, squared_relu
from flowcheck.papers.deep_homogeneous.figure_draws import Draws, Pair, draw
from flowcheck.papers.deep_homogeneous.plateau import Plateau
from flowcheck.papers.deep_homogeneous.scale_trend import Escapes, ScaleTrend, exponent, slopes

DELTAS = [0.3, 0.1, 0.03, 0.01]


def test_the_rescaled_escape_time_of_one_neuron_has_the_limit_of_its_closed_form():
    """One ReLU^3 neuron, x = 1, y = 1: w' = 3 w^2 (1 - w^3), so that δt → 1/3 with a correction of the order of δ."""
    plateau = Plateau(power_net(1, 1, 3.0), loss_ratio=0.99, rtol=1e-9)
    ones = torch.ones(2, 1, 1, dtype=torch.float64)
    draws = Draws(np.arange(2), ones, ones[..., 0], ones[..., 0])
    path = [plateau.flow(draws, delta).time.numpy() for delta in (1e-2, 1e-4)]
    assert path[1] == pytest.approx(1 / 3, rel=1e-3)
    assert path[0] != pytest.approx(1 / 3, rel=1e-3)


def test_smaller_starts_align_better_and_escape_on_the_clock_of_eq_8():
    network = squared_relu([4, 4], 3)
    plateau = Plateau(network, loss_ratio=0.99, rtol=1e-4)
    draws = draw(Pair(network, squared_relu([2, 3], 3)), [np.random.default_rng(seed) for seed in range(3)], points=10)
    trend = ScaleTrend.followed(plateau, draws, DELTAS[1:])
    found = trend.numbers()
    assert found["misalignment_falls_fraction"].value == 1
    assert found["misalignment_falls_fraction"].n == 3
    assert found["misalignment_falls_fraction_before"].value == 0
    assert found["escape_time_gap_delta_0.1"].value < 0.02
    # degree four: the limit is reached like the square of δ, and a clock with another exponent has no limit
    assert found["correction_exponent"].value == pytest.approx(2, abs=0.1)
    assert found["correction_exponent_other_clock"].value < -0.5
    for layer in (1, 2):
        slope = found[f"ratio_slope_W{layer}"]
        assert slope.value == pytest.approx(1, abs=0.1)
        assert slope.interval[0] <= slope.value <= slope.interval[1]
        assert abs(found[f"leading_slope_W{layer}"].value) < 0.1
    assert 0 < trend.time_error(0.1) < 1e-2
    assert trend.arrays()["trend_coarse_ratio"].shape == (3, 3, 2)


def test_numbers_are_those_of_the_finer_tolerance_and_errors_their_change():
    time = np.array([[1.2, 1.4], [1.1, 1.1], [1.0, 1.0]])
    misalignment = np.array([[0.4, 0.6], [0.1, 0.3], [0.01, 0.03]])
    ratio = np.array([0.3, 0.1, 0.03])[:, None, None] * np.array([[1.0], [2.0]])
    before, leading = np.full((3, 2), 0.7), np.full((3, 2, 1), 0.7)
    fine = Escapes(time, misalignment, before, ratio, leading)
    coarse = Escapes(time * np.array([[1.0], [1.0], [1.01]]), 1.1 * misalignment, before, ratio, leading)
    trend = ScaleTrend([0.3, 0.1, 0.03], fine, coarse)
    found = trend.numbers()
    assert found["misalignment_median_delta_0.1"].value == pytest.approx(0.2)
    assert found["misalignment_median_delta_0.1"].error == pytest.approx(0.02)
    assert found["misalignment_falls_fraction"].value == 1
    assert found["misalignment_falls_fraction_before"].value == 0
    assert found["escape_time_gap_delta_0.3"].value == pytest.approx(0.4)
    assert found["escape_time_gap_delta_0.3"].error == pytest.approx(1.4 - 1.4 / 1.01)
    assert found["ratio_slope_W1"].value == pytest.approx(1)
    assert trend.time_error(0.03) == pytest.approx(0.01)


@pytest.mark.parametrize("power", [1.0, 2.0])
def test_the_exponent_of_a_correction_is_found_for_all_seeds_together(power):
    deltas = 0.3 * 0.3 ** np.arange(4)
    time = np.stack([1.0 - 0.5 * deltas**power, 3.0 - 0.1 * deltas**power], axis=1)
    slope, interval, points = exponent(deltas.tolist(), time, 0.0)
    assert slope == pytest.approx(power)
    assert interval[0] <= slope <= interval[1]
    assert points == 6
    assert exponent(deltas.tolist(), time, 1.0)[0] < 0


def test_a_slope_is_the_power():
    deltas = np.array(DELTAS)
    assert slopes(DELTAS, np.stack([deltas**0.5, 3 * deltas**2], axis=1)) == pytest.approx([0.5, 2.0])
