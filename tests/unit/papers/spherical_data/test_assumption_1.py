"""z-scores by hand, and samplers that keep and break the symmetry."""

import dataclasses
import math

import numpy as np
import pytest

from flowcheck.papers.spherical_data import assumption_1
from flowcheck.papers.spherical_data.population import law


def test_a_z_score_is_the_mean_over_its_standard_error():
    assert assumption_1.z_score(np.array([1.0, 2.0, 3.0, 4.0])) == pytest.approx(2.5 / math.sqrt(5 / 3 / 4))


def test_terms_without_spread_are_zero_or_far_from_it():
    assert assumption_1.z_score(np.full(100, 1e-16)) == 0.0
    assert assumption_1.z_score(np.full(100, 0.1)) == 1e9


@pytest.mark.parametrize("scale", [0.1, 3.0])
def test_rounding_of_a_z_score_is_within_what_is_said(scale):
    terms = scale * (np.random.default_rng(0).standard_normal(200_000) + 0.01)
    exact = math.fsum(terms) / len(terms)
    spread = math.sqrt(math.fsum((terms - exact) ** 2) / (len(terms) - 1))
    assert assumption_1.z_score(terms) == pytest.approx(exact / spread * math.sqrt(len(terms)), abs=assumption_1.ROUNDING)


def test_lemma_2_has_these_terms_as_its_left_side():
    # on a fixed grid of the circle the mean is the integral
    angle = 2 * math.pi * (np.arange(100_000) + 0.5) / 100_000
    x = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    v, w = np.array([0.0, 1.0]), 3.0 * np.array([0.6, -0.8])
    assert assumption_1.lemma_2_terms(x, w, v).mean() == pytest.approx(0.36 / math.pi, abs=1e-8)


@pytest.mark.parametrize("name", ["circle", "two_shells_4"])
def test_a_symmetric_sampler_passes(name):
    found = assumption_1.of_sampler(law(name), np.random.default_rng(1), 20_000)
    assert found["assumption1_z_max"].value < 5
    assert found["lemma2_z_max"].value < 5
    assert found["zero_margin_fraction_max"].value == 0.0


def test_a_stretched_sampler_and_one_of_zeros_fail():
    gaussian = law("gaussian_2")
    stretched = dataclasses.replace(gaussian, sample=lambda rng, n: rng.standard_normal((n, 2)) * [1.0, 1.2])
    assert assumption_1.of_sampler(stretched, np.random.default_rng(2), 20_000)["assumption1_z_max"].value > 5
    half = dataclasses.replace(gaussian, sample=lambda rng, n: gaussian.sample(rng, n) * (np.arange(n) % 2)[:, None])
    assert assumption_1.of_sampler(half, np.random.default_rng(2), 2000)["zero_margin_fraction_max"].value == 0.5


def test_the_square_is_isotropic_and_fails_lemma_2():
    found = assumption_1.of_square(np.random.default_rng(3), 200_000)
    assert found["square_covariance_z"].value < 5 < found["square_lemma2_z"].value
    assert found["ellipse_covariance_z"].value > 100
