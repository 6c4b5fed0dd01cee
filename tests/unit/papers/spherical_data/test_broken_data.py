"""Broken data: the same measures on whole data do not fail, and closed forms where there are any."""

import math

import numpy as np
import pytest
from scipy.special import ellipe

from flowcheck.papers.spherical_data import broken_data
from flowcheck.papers.spherical_data.population import law


def test_the_mean_norm_of_the_ellipse_is_an_elliptic_integral():
    # (2/π) · 3 · E(1 - 1/9)
    assert broken_data.ellipse_c0() == pytest.approx(6 / math.pi * ellipe(8 / 9), rel=1e-12)


def test_the_ellipse_breaks_lemmas_2_and_3_and_keeps_the_pull():
    found = broken_data.ellipse((8, 1e-4))
    assert found["ellipse_lemma2"] > 0.1
    assert found["ellipse_obtuse"] > 0
    assert found["ellipse_slope"] > 0
    assert found["ellipse_pull_min"] > 0


def test_the_same_measures_on_the_circle_itself(monkeypatch):
    monkeypatch.setattr(broken_data, "ELLIPSE", np.eye(2))
    monkeypatch.setattr(broken_data, "ellipse_c0", lambda: 1.0)
    found = broken_data.ellipse((12, 1e-4))
    assert found["ellipse_lemma2"] < 1e-12
    assert found["ellipse_obtuse"] < 0
    assert found["ellipse_slope"] == pytest.approx(-math.sin(0.1), abs=1e-6)  # the angle next to zero at which it is taken


def test_flipped_labels_add_the_loss_of_the_opposite_teacher():
    # 0.9 ∇L(w; v) + 0.1 ∇L(w; -v) by the closed form, along v
    kappa = law("circle").kappa(10.0)
    expected = 0.8 / math.pi - kappa
    assert broken_data.flipped_pull(20) == pytest.approx(math.pi * expected, abs=1e-12)
    assert broken_data.flipped_pull(20) < 0


def test_finite_sets_pull_towards_v_and_the_smallest_of_more_is_no_larger():
    few, many = (broken_data.finite_pull(np.random.default_rng(0), sets) for sets in (10, 40))
    assert 0 < many.value <= few.value < 0.5
    assert many.error == broken_data.FINITE_SUM * many.value


def test_a_sphere_that_is_stretched_along_v_breaks_the_constants_of_propositions_1_and_3():
    found = broken_data.longer_points(20)
    # E|3 x_1| = 3/2 over π/4, and nine times the curvature along v
    assert found["gradient_size_over_c0_stretched"] == pytest.approx(1.5 / (math.pi / 4), abs=1e-3)
    assert found["smoothness_ratio_stretched"] == pytest.approx(9.0, rel=1e-2)


def test_the_hinge_loss_breaks_the_cap():
    assert broken_data.hinge_growth().value == pytest.approx(0.99 * 2 / math.pi / 0.3, abs=1e-9)


def test_every_number_stands_for_one_law_and_has_an_error():
    found = broken_data.measure(np.random.default_rng(0), 5)
    assert {number.n for number in found.values()} == {1}
    assert all(0 < number.error < 1e-6 for number in found.values())
