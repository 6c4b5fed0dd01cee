"""Full weights against the reduction: it agrees from a balanced start, and the comparison sees when it must not."""

import numpy as np
import pytest

from flowcheck.networks import linear
from flowcheck.papers.spherical_data import full_weights, reference_run
from flowcheck.papers.spherical_data.full_weights import Accuracy
from flowcheck.papers.spherical_data.population import law

TIMES = np.linspace(0.0, 4.0, 9)
ACCURACY = Accuracy(1e-9)


def follow(depth, name="circle", accuracy=ACCURACY, scale=1.0):
    which = law(name)
    weights = linear.balanced_weights(reference_run.start(which.dimension), [3] * (depth - 1), np.random.default_rng(0))
    if depth > 1:
        weights = [scale * weights[0], weights[1] / scale, *weights[2:]]
    return full_weights.follow(which, reference_run.direction(which.dimension), weights, TIMES, accuracy)


@pytest.mark.parametrize(("depth", "name"), [(1, "sphere_3"), (3, "circle"), (2, "sphere_10")])
def test_a_balanced_start_follows_the_reduction_and_stays_balanced(depth, name):
    flow = follow(depth, name)
    assert flow.depth == depth
    assert full_weights.gap(flow, reference_run.CLOCK) < 1e-7
    assert full_weights.angle_gap(flow, reference_run.CLOCK) <= full_weights.gap(flow, reference_run.CLOCK) + 1e-12
    assert full_weights.balancedness(flow) < 1e-8


def test_an_unbalanced_start_or_another_clock_is_seen():
    unbalanced = follow(3, scale=3.0)
    assert unbalanced.w_e[0] == pytest.approx(reference_run.start(2))
    assert full_weights.angle_gap(unbalanced, reference_run.CLOCK) > 1e-2
    assert full_weights.balancedness(unbalanced) > 1.0
    assert full_weights.gap(follow(3), reference_run.CLOCK + 0.1) > 1e-2


def test_q_is_the_clock_and_a_saturated_cosine_leaves_it_finite():
    flow = follow(2)
    assert flow.q[0] == pytest.approx(reference_run.CLOCK)
    assert np.tanh(flow.q) == pytest.approx(flow.cosine)
    aligned = full_weights.FullFlow(law("circle"), np.array([0.0, 1.0]), TIMES[:1], [[np.array([[0.0, 2.0]])]], ACCURACY)
    assert 17 < aligned.q[0] < 19


def test_the_coarser_accuracy_is_coarser_in_every_part_and_moves_the_flow():
    coarser = ACCURACY.coarser
    assert coarser.rtol > 9 * ACCURACY.rtol
    assert coarser.panels < ACCURACY.panels
    assert coarser.reduced_rtol > 9 * ACCURACY.reduced_rtol
    moved = np.abs(follow(3, accuracy=coarser).w_e - follow(3).w_e).max()
    assert 0 < moved < 1e-6


def test_a_gradient_of_ones_own_takes_the_place_of_the_laws():
    # dw/dt = -w
    start = np.array([[2.0, 0.0]])
    flow = full_weights.follow(law("circle"), np.array([0.0, 1.0]), [start], TIMES, ACCURACY, lambda w: w)
    assert flow.norm == pytest.approx(2 * np.exp(-TIMES), rel=1e-7)
