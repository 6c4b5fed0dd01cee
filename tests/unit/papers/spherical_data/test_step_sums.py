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
