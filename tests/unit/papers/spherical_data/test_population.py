"""The population loss: closed forms against direct quadrature, samples and finite differences, over one table of laws."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowcheck.papers.spherical_data import population

# Two quadratures of a smooth integrand in float64, in units of c0/pi, norms up to 30.
QUADRATURE = 1e-12


@pytest.fixture(params=list(population.LAWS))
def law(request):
    return population.law(request.param)


def test_marginals_of_one_and_two_coordinates_agree_on_c0(law):
    # E|x_1| = (2/pi) E|(x_1, x_2)| for any rotation-invariant law
    assert math.pi / 2 * law.coordinate_weights @ law.coordinate_nodes == pytest.approx(law.c0, rel=1e-13)
    assert law.radius_weights @ law.radius_nodes == pytest.approx(law.c0, rel=1e-13)


def test_c0_of_known_laws():
    # circle: 1; sphere in d = 3: pi/4; Gaussian: sqrt(pi/2) for every d (the full mean norm depends on d)
    assert population.law("circle").c0 == 1.0
    assert population.law("sphere_3").c0 == pytest.approx(math.pi / 4, rel=1e-14)
    assert population.gaussian(2).c0 == population.gaussian(7).c0 == pytest.approx(math.sqrt(math.pi / 2))
    assert population.gaussian(7).mean_norm > 2.0 * population.gaussian(7).c0


@pytest.mark.parametrize("norm", [0.05, 1.0, 30.0])
def test_closed_gradient_is_the_gradient_of_equation_2(law, norm):
    rng = np.random.default_rng(1)
    w, v = (x / np.linalg.norm(x) for x in rng.standard_normal((2, law.dimension)))
    difference = population.law_gradient(law, norm * w, v) - law.gradient(norm * w, v)
    assert np.abs(difference).max() < QUADRATURE * law.c0


def test_gradient_is_the_derivative_of_the_loss(law):
    rng = np.random.default_rng(2)
    w, v = rng.standard_normal((2, law.dimension))
    v /= np.linalg.norm(v)

    def loss(x):
        return float(law.loss(np.linalg.norm(x), x @ v / np.linalg.norm(x)))

    step = 1e-5
    numeric = [(loss(w + step * e) - loss(w - step * e)) / (2 * step) for e in np.eye(law.dimension)]
    assert law.gradient(w, v) == pytest.approx(np.array(numeric), abs=1e-8)


def test_loss_is_equation_1():
    circle = population.law("circle")
    w, v = np.array([0.6, -0.8]), np.array([0.0, 1.0])
    assert population.planar_loss(np.ones(1), np.ones(1), w, v) == pytest.approx(float(circle.loss(1.0, -0.8)), abs=1e-13)


def test_samples_have_the_moments_of_the_law(law):
    x = law.sample(np.random.default_rng(3), 200_000)
    assert np.linalg.norm(x[:, :2], axis=1).mean() == pytest.approx(law.c0, rel=0.01)
    assert np.linalg.norm(x, axis=1).mean() == pytest.approx(law.mean_norm, rel=0.01)
    assert (x[:, 0] ** 2).mean() == pytest.approx(law.coordinate_second_moment, rel=0.02)


@given(st.floats(1e-3, 1e4))
@settings(max_examples=50, deadline=None)
def test_kappa_is_increasing_concave_and_capped(r):
    for law in (population.law("circle"), population.law("gaussian_5")):
        assert 0 < law.kappa(r) < law.c0 / math.pi
        assert law.kappa(r) + law.kappa_gap(r) == pytest.approx(law.c0 / math.pi, rel=1e-12)
        assert law.kappa(1.01 * r) >= law.kappa(r)
        assert law.kappa(r) <= 0.25 * law.coordinate_second_moment * r * (1 + 1e-12)


def test_kappa_gap_of_the_circle_decays_like_pi_over_six_r_squared():
    r = 1e4
    assert population.law("circle").kappa_gap(r) * 6 * r**2 / math.pi == pytest.approx(1.0, abs=1e-6)


def test_stretched_data_break_the_closed_form():
    circle = population.law("circle")
    w, v = np.array([3.0, 0.0]), np.array([math.cos(0.7), math.sin(0.7)])
    broken = population.planar_gradient(np.ones(1), np.ones(1), w, v, stretch=np.diag([1.0, 3.0]))
    assert np.abs(broken - circle.gradient(w, v)).max() > 0.05


def test_flipping_all_labels_flips_the_teacher():
    w, v = np.array([0.3, 1.1]), np.array([0.0, 1.0])
    flipped = population.planar_gradient(np.ones(1), np.ones(1), w, v, flip_probability=1.0)
    assert flipped == pytest.approx(population.planar_gradient(np.ones(1), np.ones(1), w, -v), abs=1e-13)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: population.sphere(1), "dimension >= 2"),
        (lambda: population.gaussian(1), "dimension >= 2"),
        (lambda: population.shells("x", 3, [(0.5, 1.0)]), "sum to one"),
        (lambda: population.law("cube"), "circle"),
    ],
)
def test_bad_laws_are_refused_with_a_reason(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_a_shared_quadrature_rule_cannot_be_changed_by_one_of_its_users():
    nodes, weights = population.gauss_legendre(16)
    assert weights @ nodes**30 == pytest.approx(2 / 31, rel=1e-14)
    for array in (nodes, weights):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0.0


def test_graded_nodes_of_several_lengths_are_those_of_each():
    lengths = np.array([0.3, 1.0, 2.5])
    nodes, weights = population.graded_nodes(lengths, panels=7)
    for length, *row in zip(lengths, nodes, weights, strict=True):
        assert np.array_equal(population.graded_nodes(length, panels=7), row)
    # the integral of exp over [0, length]
    assert (weights * np.exp(nodes)).sum(axis=1) == pytest.approx(np.expm1(lengths), rel=1e-14)


def test_the_gradient_at_weights_whose_exponentials_overflow_is_that_of_infinite_weights():
    gradient = population.planar_gradient(np.ones(1), np.ones(1), np.array([3e4, 0.0]), np.array([0.0, 1.0]))
    # only the half of the circle with negative margin pulls, each point by itself: the mean of |x_2| / 2 along v
    assert gradient[1] == pytest.approx(-1 / math.pi, rel=1e-8)
    with np.errstate(over="raise"):
        population.planar_gradient(np.ones(1), np.ones(1), np.array([3e4, 0.0]), np.array([0.0, 1.0]))
