"""The straight line of Proposition 4: weights put on it by hand, and flows of depth two and three."""

import math

import numpy as np
import pytest

from flowcheck.networks import linear
from flowcheck.papers.spherical_data import full_weights, proposition_4, reference_run
from flowcheck.papers.spherical_data.full_weights import Accuracy
from flowcheck.papers.spherical_data.population import law

V = np.array([0.0, 1.0])
TIMES = np.linspace(0.0, 10.0, 11)


def by_hand(slope):
    q = -1.0 + slope * TIMES
    states = [[np.array([[1 / math.cosh(each), math.tanh(each)]])] for each in q]
    return full_weights.FullFlow(law("circle"), V, TIMES, states, Accuracy(1e-9))


def test_weights_on_the_line_have_no_distance_and_others_that_of_their_slopes():
    assert proposition_4.distance(by_hand(1 / math.pi), -1.0, 1.0) < 1e-12
    assert proposition_4.distance(by_hand(0.5), -1.0, 1.0) == pytest.approx(2 * (0.5 - 1 / math.pi) * 10)


def test_clocks_at_which_the_cosine_is_rounded_are_left_out():
    # q reaches 6 at t = 7
    assert proposition_4.distance(by_hand(1.0), -1.0, 1.0) == pytest.approx(2 * (1 - 1 / math.pi) * 6)


@pytest.mark.parametrize(("depth", "holds"), [(2, True), (3, False)])
def test_it_holds_for_depth_two_alone(depth, holds):
    weights = linear.balanced_weights(reference_run.start(2), [3] * (depth - 1), np.random.default_rng(0))
    flow = full_weights.follow(law("circle"), V, weights, TIMES, Accuracy(1e-9))
    assert (proposition_4.distance(flow, reference_run.CLOCK, 1.0) < 1e-6) == holds
