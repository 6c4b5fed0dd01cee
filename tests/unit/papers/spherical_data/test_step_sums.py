"""Sums of step sizes."""

import math

import numpy as np
import pytest

from flowcheck.papers.spherical_data import bounds, step_sums


def test_step_sums_are_the_sums_they_abbreviate():
    eta, norm, c0 = np.array([0.5, 2.0, 0.1]), 1.5, 0.8
    a = (norm / c0) ** 2
    minus = sum(eta[k] / math.sqrt(a + sum(eta[: k + 1] ** 2)) for k in range(3))
    plus = sum(eta[k] / math.sqrt(a + sum(eta[: k + 1] ** 2 + 0.6 / c0**2 * eta[: k + 1])) for k in range(3))
    assert bounds.lemma4_sum(eta, norm, c0)[-1] == pytest.approx(minus)
    assert bounds.lemma5_sum(eta, norm, c0)[-1] == pytest.approx(plus)


def test_continued_step_sums_agree_with_plain_sums():
    n = 3_000_000
    k = np.arange(1.0, n + 1.0)
    plain = np.sum(k**-0.25 / np.sqrt(1.0 + np.cumsum(k**-0.5 + 0.6 * k**-0.25)))
    continued, _ = step_sums.power_slope(-0.25, 0.6, math.log(n))
    assert continued == pytest.approx(plain, rel=1e-4)


def test_sum_of_harmonic_steps_is_that_of_its_integral_in_closed_form():
    first = np.arange(1.0, step_sums.EXACT + 1.0)
    inner = 1.0 + np.cumsum(first**-2 + 0.6 / first)
    # beyond, the squares add less than 1/EXACT: dS/du = 1 / sqrt(a + 0.6 (u - u0))
    a, grown = inner[-1], 0.6 * (1e7 - math.log(step_sums.EXACT))
    expected = np.sum(1 / first / np.sqrt(inner)) + 2 / 0.6 * (math.sqrt(a + grown) - math.sqrt(a))
    total, rate = step_sums.power_slope(-1.0, 0.6, 1e7)
    assert total == pytest.approx(expected, rel=1e-5)
    assert rate == pytest.approx(1 / math.sqrt(a + grown), rel=1e-9)
