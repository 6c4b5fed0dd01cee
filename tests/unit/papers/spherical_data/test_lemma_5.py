"""Lemma 5 and its condition, Eq. (11)."""

import math

import numpy as np
import pytest

from flowcheck.papers.spherical_data import lemma_5, population
from flowcheck.papers.spherical_data.descent import population_descent

SPHERE = population.law("sphere_3")


def random_path(steps, runs=20):
    rng = np.random.default_rng(3)
    eta = 10 ** rng.uniform(-1, 2, (runs, steps))
    return population_descent(SPHERE, rng.uniform(0.2, 5.0, runs), rng.uniform(0.1, 1.5, runs), eta)


def test_condition_is_equation_11_with_equality():
    path = random_path(3)
    delta = lemma_5.condition(path)
    for run in range(20):
        for n in range(3):
            w, after = (np.array([path.along[run, m], path.across[run, m]]) for m in (n, n + 1))
            left = np.linalg.norm(after) + w @ after / np.linalg.norm(w)
            right = (1 + delta[run, n]) * SPHERE.c0 * path.step_sizes[run, n] * path.cosine[run, n] / math.pi
            assert left == pytest.approx(right, rel=1e-12)


def test_condition_holds_with_any_delta_in_the_wrong_half_space():
    assert lemma_5.condition(population_descent(SPHERE, np.ones(1), np.array([2.5]), np.ones((1, 1)))) == math.inf


def test_the_cosine_falls_exactly_where_the_condition_fails():
    falls, unmet = lemma_5.single_steps(random_path(1, runs=500))
    assert np.array_equal(falls, unmet)
    assert 0 < falls.sum() < len(falls)


def test_a_step_that_rounding_decides_is_left_out():
    path = population_descent(SPHERE, np.array([1.0, 1.0]), np.array([0.5, 1e-9]), np.full((2, 1), 0.1))
    assert [len(found) for found in lemma_5.single_steps(path)] == [1, 1]


def test_excess_is_positive_with_the_delta_of_the_run_and_negative_with_a_false_rate():
    path = population_descent(SPHERE, np.array([1.0, 3.0]), np.array([1.0, 0.3]), np.full((2, 50), 0.2))
    delta = lemma_5.condition(path).min(axis=1)
    found = lemma_5.against_bound(path, delta)
    cos0, eta, c0 = path.cosine[0, 0], 0.2, SPHERE.c0
    inner = (1.0 / c0) ** 2 + np.cumsum(np.full(50, eta**2 + 0.6 / c0**2 * eta))
    exponent = delta[0] * (1 + cos0) / (1 + delta[0]) / math.pi * np.cumsum(eta / np.sqrt(inner))
    reached = np.log((1 - cos0) / (1 - path.cosine[0, 1:]))
    assert found.value[0] == pytest.approx((reached / exponent - 1).min(), rel=1e-8)
    assert np.all(found.value > 0)


@pytest.mark.parametrize("delta", [-0.5, 0.0, math.inf])
def test_no_bound_without_a_positive_delta(delta):
    path = population_descent(SPHERE, np.ones(1), np.ones(1), np.ones((1, 4)))
    assert np.isnan(lemma_5.against_bound(path, np.array([delta])).value).all()
