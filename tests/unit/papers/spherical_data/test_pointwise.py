"""Identities at points: at the gradient that satisfies them exactly, and at gradients with a known fault."""

import math

import numpy as np
import pytest

from flowcheck.papers.spherical_data import pointwise
from flowcheck.papers.spherical_data.population import law, law_gradient

SPHERE = law("sphere_3")
UNIT = SPHERE.c0 / math.pi
POINT = pointwise.Point(2.0, 1.1, np.array([0.0, 0.0, 1.0]), np.array([0.6, 0.8, 0.0]))


def test_a_point_has_its_norm_and_angle_and_turns():
    for by in (0.0, 0.3, -0.2):
        w = POINT.w(by)
        assert np.linalg.norm(w) == pytest.approx(2.0)
        assert math.acos(w @ POINT.v / 2.0) == pytest.approx(1.1 + by)


def test_the_grid_has_every_norm_at_every_angle_and_planes_of_its_own():
    points = pointwise.grid(np.random.default_rng(0), 3, [0.1, 5.0], 7)
    assert len(points) == 2 * 10
    assert sorted({point.r for point in points}) == [0.1, 5.0]
    assert {round(point.angle, 12) for point in points} >= {0.01, round(math.pi - 0.05, 12), round(0.5 * math.pi + 0.01, 12)}
    for point in points:
        assert [point.v @ point.v, point.z @ point.z] == pytest.approx([1.0, 1.0])
        assert point.v @ point.z == pytest.approx(0.0, abs=1e-15)
    assert len({point.v[0] for point in points}) == len(points)


def test_the_closed_form_leaves_no_residual():
    found = pointwise.lemma_2(SPHERE, POINT, SPHERE.gradient(POINT.w(), POINT.v))
    assert max(found["eq5"], found["eq6"], found["closed"]) < 1e-14
    # c0 / E|x| = π/4 in place of one: what is missing is that share of the component of v across w
    across = POINT.v - math.cos(1.1) * POINT.w() / 2.0
    assert found["eq6_mean_norm"] == pytest.approx((1 - math.pi / 4) * np.abs(across).max())


def test_a_fault_of_the_gradient_is_found_in_units_of_c0_over_pi():
    # across w and in the plane: Eq. (5) sees its component along v, which is sin θ of it
    across = (POINT.v - math.cos(1.1) * POINT.w() / 2.0) / math.sin(1.1)
    broken = SPHERE.gradient(POINT.w(), POINT.v) + 1e-3 * UNIT * across
    found = pointwise.lemma_2(SPHERE, POINT, broken)
    assert found["eq5"] == pytest.approx(1e-3 * math.sin(1.1))
    assert found["eq6"] == pytest.approx(1e-3 * np.abs(across).max())
    assert found["closed"] == pytest.approx(1e-3 * np.abs(across).max())
    # along w: Lemma 2 says nothing of it
    broken = SPHERE.gradient(POINT.w(), POINT.v) + 1e-3 * UNIT * POINT.w()
    assert pointwise.lemma_2(SPHERE, POINT, broken)["eq6"] < 1e-14


def test_sizes_are_those_of_the_gradient():
    gradient = np.array([3.0, 0.0, -4.0])
    found = pointwise.sizes(SPHERE, POINT, gradient)
    assert found["size"] == pytest.approx(5.0 / SPHERE.c0)
    assert found["pull"] == pytest.approx(4.0 / UNIT)
    assert found["growth"] == pytest.approx(-POINT.w() @ gradient)


def test_the_slope_of_the_growth_is_one_downwards_in_its_own_unit():
    assert pointwise.growth_slope(SPHERE, POINT, 1e-4, 12) == pytest.approx(-1.0, abs=1e-7)
    # the error of a central difference is step²/6
    assert pointwise.growth_slope(SPHERE, POINT, 0.1, 12) + 1.0 == pytest.approx(0.1**2 / 6, rel=1e-2)


@pytest.mark.parametrize("name", ["circle", "two_shells_4"])
def test_extremes_over_a_grid_are_those_of_its_rows(name):
    which = law(name)
    runs, found = pointwise.measure(which, pointwise.grid(np.random.default_rng(1), which.dimension, [0.3, 3.0], 5))
    assert list(runs) == [
        *("r", "angle", "eq5", "eq6", "eq6_mean_norm", "closed", "quadrature_error", "size", "pull", "growth", "slope")
    ]
    assert found["lemma2_residual_eq5_max"].value == runs.eq5.max() < 1e-12
    assert found["pull_towards_v_min"].value == runs.pull.min() > 0
    obtuse = runs[runs.angle > 0.5 * math.pi]
    assert found["growth_obtuse_max"].value == (obtuse.growth / obtuse.r).max() < 0
    assert found["growth_obtuse_max"].n + found["growth_slope_acute_max"].n == len(runs)
    assert found["growth_over_cap_max"].value == pytest.approx(runs.growth.max() / 0.3)
    assert found["growth_slope_acute_min"].value == pytest.approx(-1.0, abs=1e-6)
    assert found["gradient_size_over_c0_max"].value < 2 / math.pi
    # the mean norm of x is c0 in the plane: there is nothing to tell apart
    assert ("lemma2_residual_full_norm_min" in found) == (which.dimension > 2)
    if which.dimension > 2:
        assert found["lemma2_residual_full_norm_min"].value > 0.1
        assert found["lemma2_residual_full_norm_min"].n == 1
    assert all(0 < number.error < 1e-7 for number in found.values())


def test_small_norms_grow_below_the_limit_of_the_lemma_and_shrink_somewhere_at_four_times_it():
    found = pointwise.small_norms(SPHERE, np.random.default_rng(2), 20)
    assert found["small_norm_growth_min"].value > 0
    assert found["small_norm_growth_at_four_times"].value < 0


def test_a_small_point_keeps_to_its_limit():
    rng = np.random.default_rng(3)
    for reach in (1.0, 4.0):
        cosine, w, bar, v = pointwise.small_point(SPHERE, rng, reach)
        limit = SPHERE.c0 * abs(cosine) / (2 * math.pi * SPHERE.coordinate_second_moment / 4)
        assert bar @ v == pytest.approx(cosine)
        assert w == pytest.approx(np.linalg.norm(w) * bar)
        assert np.linalg.norm(w) <= reach * limit * (1 + 1e-12)
        if reach > 1:
            assert np.linalg.norm(w) == pytest.approx(4 * limit)
        else:
            growth = -bar @ law_gradient(SPHERE, w, v) / (UNIT * cosine)
            assert growth == pytest.approx(1 - np.linalg.norm(w) / limit / 2, rel=0.05)  # κ is r E x_1²/4 at small r
