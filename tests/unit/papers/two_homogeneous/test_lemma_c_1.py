"""Lemma C.1: perturbed multipliers of a quadratic NCF and of u1|u2|, both in closed form."""

import math

import numpy as np
import pytest
import torch

from flowcheck.correlation.ncf import Correlation
from flowcheck.networks import zoo
from flowcheck.papers.two_homogeneous import lemma_c_1

DELTAS = np.geomspace(1e-1, 1e-4, 5)


def test_distances_of_a_quadratic_ncf_are_those_of_its_exponentials():
    rng = np.random.default_rng(0)
    z, noise = np.array([1.0, -0.5, 0.3]), rng.uniform(-1.0, 1.0, (4, 3))
    ncf = Correlation(zoo.power_net(1, 3, 2.0, slope=1.0), torch.eye(3, dtype=torch.float64), torch.from_numpy(z))
    start = torch.ones(3, dtype=torch.float64) / math.sqrt(3)
    found = lemma_c_1.smooth([lemma_c_1.Perturbed(ncf, start, noise), lemma_c_1.Perturbed(ncf, start, 0.1 * noise)], DELTAS)
    # u_i = exp(2 times the integral of the multiplier) / sqrt 3, compared at the ends of the pieces
    piece = lemma_c_1.NETWORK_LENGTH / 4
    plain = 2 * piece * np.cumsum(np.tile(z, (4, 1)), axis=0)
    shifts = 2 * piece * np.cumsum(noise, axis=0)
    exact = [np.linalg.norm(np.exp(plain + delta * shifts) - np.exp(plain), axis=1).max() / math.sqrt(3) for delta in DELTAS]
    assert found["c1_smooth"][0] == pytest.approx(exact, rel=1e-5, abs=1e-9)
    largest = found["c1_error_largest"]
    assert abs(largest.value - exact[-1]) <= largest.error
    assert largest.n == 2
    assert found["c1_slope"].value == pytest.approx(1.0, abs=0.02)
    assert found["c1_slope"].n == 10
    assert (found["c1_missing_epsilons"].value, found["c1_missing_epsilons"].n) == (0, 6)
    assert found["c1_missing_epsilons_kept_part"].value > 0


def test_with_next_to_no_noise_nothing_moves():
    found = lemma_c_1.kinked(np.full((2, 6), 1e-9), DELTAS)
    assert found["c1_kink"].max() < 1e-8
    assert found["c1_nearest"].max() < 1e-8
    # a solution that leaves at 1.4, or to the other side, is no perturbation of the one that leaves at once
    assert found["c1_branching_fixed_smallest"].value == pytest.approx(2 * math.sinh(2))
    assert found["c1_branching_fixed_missing_epsilons"].value == 6


def test_a_faster_clock_is_a_later_time():
    found = lemma_c_1.kinked(np.ones((1, 6)), DELTAS)
    exact = [math.sinh(2 * (1 + delta)) - math.sinh(2) for delta in DELTAS]
    assert found["c1_nearest"][0] == pytest.approx(exact, abs=1e-12)
    nearest = found["c1_branching_nearest_largest"]
    assert abs(nearest.value - exact[-1]) <= nearest.error
    assert found["c1_branching_nearest_slope"].value == pytest.approx(1.0, abs=0.05)
    assert found["c1_branching_fixed_slope"].value == pytest.approx(0.0, abs=0.05)
    assert found["c1_branching_missing_epsilons"].value == 0
    assert found["c1_kink_missing_epsilons_kept_part"].value > 0
    assert found["c1_kink_kept_part_slope"].value < 0.5


def test_an_epsilon_that_no_delta_reaches_is_missing():
    assert lemma_c_1.missing(np.array([[0.5, 0.02], [0.01, 0.0005]])).value == 2
