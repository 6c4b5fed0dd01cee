"""Flows with a hypothesis broken, each beside the same flow with it whole."""

import math

import numpy as np
import pytest

from flowcheck.networks import linear
from flowcheck.papers.spherical_data import broken_flows, full_weights, reference_run
from flowcheck.papers.spherical_data.full_weights import Accuracy

ACCURACY = Accuracy(1e-7)
TIMES = np.linspace(0.0, 6.0, 25)


def weights(w, depth=1):
    return linear.balanced_weights(w, [3] * (depth - 1), np.random.default_rng(0))


def test_the_start_beside_the_tilted_direction():
    assert np.linalg.norm(broken_flows.BESIDE_TILTED) == pytest.approx(0.1)
    cosine = broken_flows.BESIDE_TILTED @ broken_flows.TILTED / 0.1
    assert cosine == pytest.approx(math.cos(0.01))


def test_stretched_points_turn_a_flow_away_that_whole_ones_turn_towards_v():
    start = weights(broken_flows.BESIDE_TILTED)
    assert broken_flows.ellipse(start, TIMES, ACCURACY)["ellipse_cosine_drop"] > 0.1
    whole = broken_flows.planar_flow(start, broken_flows.TILTED, TIMES, ACCURACY)
    assert np.all(np.diff(whole.cosine) > 0)


def test_on_stretched_points_the_norm_turns_twice_and_on_whole_ones_once():
    times = np.linspace(0.0, 40.0, 121)
    found = broken_flows.turns(weights(broken_flows.TURNING_START), times, ACCURACY)
    assert found["sign_changes"] == 2
    assert found["growth_slope"] < -0.1
    whole = broken_flows.planar_flow(weights(broken_flows.TURNING_START), broken_flows.TURNING, times, ACCURACY)
    assert np.count_nonzero(np.diff(np.diff(whole.norm) > 0)) == 1


def test_unbalanced_layers_have_the_same_product_and_another_flow():
    start = weights(reference_run.start(2), depth=3)
    flow = broken_flows.unbalanced(start, TIMES, ACCURACY)
    assert flow.w_e[0] == pytest.approx(linear.end_to_end(start))
    assert full_weights.angle_gap(flow, reference_run.CLOCK) > 1e-2
    whole = broken_flows.planar_flow(start, broken_flows.V, TIMES, ACCURACY)
    assert full_weights.angle_gap(whole, reference_run.CLOCK) < 1e-5


def test_with_flipped_labels_the_norm_shrinks_to_a_minimiser():
    flow = broken_flows.shrinking(ACCURACY)
    early, late = flow.norm[broken_flows.LATE]
    assert np.all(np.diff(flow.norm[: broken_flows.LATE[0] + 1]) < 0)
    assert 1e-3 < early - late < 1e-2
    assert abs(flow.norm[-2] - late) < 1e-9


def test_flipped_labels_turn_the_angle_at_eight_tenths_of_its_rate():
    start = reference_run.start(2)
    slow, whole = (
        broken_flows.planar_flow(weights(start), broken_flows.V, TIMES[:2], ACCURACY, flip_probability=p) for p in (0.1, 0)
    )
    # the norm moves little up to t = 0.25
    assert np.diff(slow.q)[0] / np.diff(whole.q)[0] == pytest.approx(0.8, rel=0.02)
    assert broken_flows.flipped(weights(start), TIMES[:2], ACCURACY).q == pytest.approx(slow.q)
