"""Lemma J.1: the limit has the mean velocity, the functions approach it at the rate of their pieces, hulls are told apart."""

import numpy as np
import pytest
from scipy.integrate import quad

from flowcheck.papers.two_homogeneous import lemma_j_1


def test_the_limit_is_the_integral_of_the_mean_velocity():
    t = np.array([0.3, 0.9])
    exact = [
        [quad(lambda s, k=k: (lemma_j_1.share(np.array([s])) @ lemma_j_1.VELOCITIES)[0, k], 0, end)[0] for k in (0, 1)]
        for end in t
    ]
    assert lemma_j_1.limit(t) == pytest.approx(np.array(exact), abs=1e-12)
    assert lemma_j_1.share(t).sum(axis=1) == pytest.approx(np.ones(2))


def test_the_distance_falls_like_the_length_of_a_piece():
    coarse, fine = lemma_j_1.largest_gap(100), lemma_j_1.largest_gap(1000)
    assert coarse / fine == pytest.approx(10.0, rel=0.05)


def test_difference_quotients_lie_in_the_hull_and_in_nothing_smaller():
    found = lemma_j_1.lemma_j1()
    hull = found["j1_hull_distance"]
    assert hull.value <= hull.error < 1e-11
    assert found["j1_set_distance"].value > 0.1
    assert found["j1_hull_distance_of_two"].value > 0.1
    assert found["j1_lipschitz_ratio"].value < 1.0
    # a jump by 1 within a step of 0.999 / 399, over the largest speed
    assert found["j1_lipschitz_ratio_unbounded"].value == pytest.approx(399 / 0.999 / np.hypot(0.2, 1.1), rel=1e-6)
