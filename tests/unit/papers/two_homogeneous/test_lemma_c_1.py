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
    found = lemma_c_1.smooth(ncf, torch.ones(3, dtype=torch.float64) / math.sqrt(3), noise, DELTAS)
    # u_i = exp(2 times the integral of the multiplier) / sqrt 3, compared at the ends of the pieces
    piece = lemma_c_1.NETWORK_LENGTH / 4
    plain = 2 * piece * np.cumsum(np.tile(z, (4, 1)), axis=0)
    shifts = 2 * piece * np.cumsum(noise, axis=0)
    exact = [np.linalg.norm(np.exp(plain + delta * shifts) - np.exp(plain), axis=1).max() / math.sqrt(3) for delta in DELTAS]
    assert found["c1_smooth"] == pytest.approx(exact, rel=1e-5, abs=1e-9)
    assert abs(found["c1_error_smallest"].value - exact[-1]) <= found["c1_error_smallest"].error
    low, high = found["c1_slope"].interval
    assert low < 1.0 < high or found["c1_slope"].value == pytest.approx(1.0, abs=0.02)
    assert found["c1_slope"].n == 5


def test_without_noise_nothing_moves():
    found = lemma_c_1.kinked(np.zeros(6), DELTAS)
    assert found["c1_kink"].tolist() == found["c1_nearest"].tolist() == [0.0] * 5
    # a solution that leaves at 1.4, or to the other side, is no perturbation of the one that leaves at once
    assert found["c1_branching_fixed_smallest"].value == pytest.approx(2 * math.sinh(2))


def test_a_faster_clock_is_a_later_time():
    found = lemma_c_1.kinked(np.ones(6), DELTAS)
    exact = [math.sinh(2 * (1 + delta)) - math.sinh(2) for delta in DELTAS]
    assert found["c1_nearest"] == pytest.approx(exact, abs=1e-12)
    nearest = found["c1_branching_nearest_smallest"]
    assert abs(nearest.value - exact[-1]) <= nearest.error
