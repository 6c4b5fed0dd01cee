"""Lemmas I.1 and I.2: gradients and velocities by hand, exits of paths that are made up."""

import math

import numpy as np
import pytest

from flowcheck.papers.two_homogeneous import kink_example, lemma_i


def test_gradients_beside_the_two_critical_points_are_those_by_hand():
    found = lemma_i.lemma_i1()
    assert found["i1_zero_distance"].value == 0
    # at (1 + d, d) the gradient is 2 ((1 + d) d - 1) (d, 1 + d): of norm 2 at d = 0, and smaller at first
    d = lemma_i.DELTAS
    by_hand = 2 * (1 - d * (1 + d)) * np.hypot(d, 1 + d)
    assert found["i1_norm_min"].value == pytest.approx(by_hand.min(), abs=1e-14)
    assert found["i1_zero_distance_off_kink"].value == pytest.approx(by_hand[-1], abs=1e-14)
    # at (1 + d, 1 + d): 2 ((1 + d)^2 - 1)(1 + d) sqrt 2
    assert found["i1_norm_min_smooth_saddle"].value == pytest.approx(2 * 2e-12 * math.sqrt(2), abs=1e-15)


def test_flows_leave_the_kink_and_stay_at_the_smooth_point():
    found = lemma_i.lemma_i2()
    moved = found["i2_displacement_min"]
    assert moved.value == pytest.approx(0.18280, abs=5e-5)  # inventory of two_homogeneous, Lemma I.2
    assert moved.error < 1e-9
    # the Hessian at [1, 1] has the eigenvalue 4 along [1, 1]: the distance shrinks by e^{-0.4}, for small delta
    assert found["i_moved_smooth"][0] == pytest.approx(math.sqrt(2) * 1e-12 * math.exp(-0.4), abs=1e-15)
    assert (found["i_moved"] > 0.09).all()


def test_an_exit_is_seen_on_each_side_of_the_box():
    inside = np.tile([1.0, 0.1], (len(lemma_i.TIMES), 1))
    paths = np.stack([inside] * 4)
    paths[1, 7:, 0], paths[2, 5:, 1], paths[3, 3, 1] = 1.21, 0.36, 0.004
    exits = lemma_i.exit_times(paths, np.full(4, 0.01))
    assert exits.tolist() == pytest.approx([np.inf, 0.007, 0.005, 0.003])


def test_velocities_have_their_extremes_at_corners_of_the_box():
    found = lemma_i.velocities(np.array([0.01]))
    first = {(a, b): -2 * b * (a * b - 1) for a in (0.8, 1.2) for b in (0.005, 0.35)}
    second = {(a, b): -2 * a * (a * b - 1) for a in (0.8, 1.2) for b in (0.005, 0.35)}
    assert found["i2_first_velocity_ratio_min"].value == pytest.approx(min(first.values()) / 0.005)
    assert found["i2_first_velocity_max"].value == pytest.approx(max(first.values()))
    assert found["i2_second_velocity_max"].value == pytest.approx(max(second.values()))
    assert found["i2_second_velocity_min"].value == pytest.approx(min(second.values()), abs=0.2)


def test_the_subdifferential_of_the_squared_error_follows_the_chain_rule():
    u, h = np.array([[0.7, -0.4]]), 1e-6
    ahead, behind = ((kink_example.value(u + step * np.eye(2)) - 2.0) ** 2 for step in (h, -h))
    (ends,) = kink_example.loss_subdifferential(u, 2.0)
    assert ends[0] == pytest.approx((ahead - behind) / (2 * h), abs=1e-8)
    assert ends[0].tolist() == ends[1].tolist()
