"""The change of the residual over its bound, against a loop."""

import math

import numpy as np
import pytest

from flowcheck.measures.refinement import Refined
from flowcheck.papers.deep_homogeneous.equation_45 import Constants
from flowcheck.papers.deep_homogeneous.equation_52 import changes


def test_the_ratio_is_that_to_the_bound_of_the_loss_at_hand(made_up):
    rng, deltas, degree, beta, size = np.random.default_rng(2), np.array([0.5, 0.1]), 3.0, 1.3, 0.7
    radius = np.array([[1.2, 1.5]] * 2)
    constants = Constants(degree, radius, np.full((2, 1), size), beta, radius, radius, radius)
    change = Refined(rng.random((2, 2, 4)), 1e-3 * rng.random((2, 2, 4)))
    sweep = made_up(np.full((2, 2, 2), 0.01), loss=np.array([0, 1]), deltas=np.stack([deltas] * 2), path_change=change)
    found = changes([(constants, sweep)])

    def bound(case, delta):
        square = beta * 1.5**3 * delta**3
        return square if case == 0 else size**2 * math.exp(size * beta) * square

    ratios = [change.value[s, d] / bound(s, deltas[d]) for s in (0, 1) for d in (0, 1)]
    assert found["change_ratio_max"].value == pytest.approx(np.max(ratios))
    assert found["change_ratio_max"].n == 16
    above = [change.value[s, d] / bound(s, deltas[d]) / deltas[d] for s in (0, 1) for d in (0, 1)]
    assert found["change_ratio_degree_above"].value == pytest.approx(np.max(above))


def test_deltas_from_which_s_does_not_stay_near_u_are_left_out(made_up):
    ones = np.ones((1, 2))
    constants = Constants(3.0, ones, np.ones((1, 1)), 1.0, ones, ones, ones)
    deviation = np.array([[[0.01, 0.5], [0.01, 0.01]]])  # too far at the smaller epsilon of the first delta
    assert changes([(constants, made_up(deviation))])["change_ratio_max"].n == 2
