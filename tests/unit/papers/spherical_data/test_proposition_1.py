"""Lipschitz, smooth, convex: against finite differences of the loss, and where a constant is too small."""

import math

import numpy as np
import pytest

from flowcheck.papers.spherical_data import proposition_1
from flowcheck.papers.spherical_data.population import law


def test_pairs_have_norms_between_a_third_and_ten():
    pairs = proposition_1.random_pairs(np.random.default_rng(0), 3, 50)
    norms = np.linalg.norm(np.array(pairs), axis=2)
    assert 10**-0.5 <= norms.min() < 1 < 5 < norms.max() <= 10
    assert len(np.unique(norms)) == 100


@pytest.mark.parametrize("name", ["circle", "gaussian_5"])
def test_all_hold_with_their_constants_and_smoothness_is_sharp(name):
    which = law(name)
    found = proposition_1.on_pairs(which, proposition_1.random_pairs(np.random.default_rng(1), which.dimension, 40))
    assert 0 < found["lipschitz_ratio_max"].value < 1
    assert 0.5 < found["smoothness_ratio_max"].value < 1
    assert found["jensen_gap_min"].value > 0
    assert all(0 < number.error < 1e-9 for number in found.values())


def test_close_pairs_have_the_curvature_of_the_loss():
    circle = law("circle")
    a, b = np.array([0.01, 0.0]), np.array([-0.0099, 0.0])
    found = proposition_1.on_pairs(circle, [(a, b)])
    # at the origin the Hessian is E x_1²/4 = 1/8: the smooth bound is touched, and the gap is half of that over 4
    assert found["smoothness_ratio_max"].value == pytest.approx(1.0, abs=1e-4)
    assert found["jensen_gap_min"].value == pytest.approx(1 / 8 / 8, rel=1e-3)
    # along a line across v the loss is even
    assert found["lipschitz_ratio_max"].value < 1e-5


def test_rounding_of_a_convexity_gap_grows_as_pairs_draw_together():
    circle = law("circle")
    far, near = (
        proposition_1.on_pairs(circle, [(np.array([1.0, 1.0]), np.array([1.0 + d, 1.0]))])["jensen_gap_min"].error
        for d in (1.0, 1e-3)
    )
    assert near == pytest.approx(1e6 * far, rel=0.2)


def test_the_hessian_fades_like_one_over_the_norm_and_not_with_mass_across_v():
    found = proposition_1.fading(law("sphere_3"))
    assert found["hessian_slope_max"].value == pytest.approx(-1.0, abs=1e-3)
    assert -0.1 < found["hessian_slope_with_atom_min"].value < 0
    # κ(k)/k is c0/(π k) far out
    assert law("sphere_3").kappa(1e4) == pytest.approx(law("sphere_3").c0 / math.pi, rel=1e-6)
