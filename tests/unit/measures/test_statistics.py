"""Intervals that cover what they say."""

import numpy as np
import pytest

from flowcheck.measures.statistics import clopper_pearson, mean_interval, slope_interval


def test_clopper_pearson_of_known_counts():
    # 16 of 16: lower end 0.025^(1/16)
    assert clopper_pearson(16, 16) == pytest.approx((0.025 ** (1 / 16), 1.0))
    with pytest.raises(ValueError, match="at least one"):
        clopper_pearson(0, 0)


def test_mean_interval_covers_the_mean_as_often_as_it_says():
    rng = np.random.default_rng(11)
    draws = rng.normal(2.0, 0.5, size=(2000, 6))
    covered = [low <= 2.0 <= high for _, (low, high) in map(mean_interval, draws)]
    assert 0.93 < np.mean(covered) < 0.97
    with pytest.raises(ValueError, match="two values"):
        mean_interval(draws[0, :1])


def test_slope_interval_covers_the_slope_as_often_as_it_says():
    rng, x = np.random.default_rng(6), np.linspace(0, 1, 12)
    hits = 0
    for _ in range(400):
        _, (low, high) = slope_interval(x, 2 * x + 0.1 * rng.standard_normal(12))
        hits += low <= 2 <= high
    assert clopper_pearson(hits, 400, 0.999)[0] <= 0.95 <= clopper_pearson(hits, 400, 0.999)[1]
    with pytest.raises(ValueError, match="three points"):
        slope_interval(x[:2], x[:2])
