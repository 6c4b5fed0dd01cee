"""Intervals: of a fraction of seeds, of a mean over seeds, and of a fitted slope."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy import stats

CONFIDENCE = 0.95


def clopper_pearson(successes: int, n: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Exact two-sided interval of a binomial fraction. Raises ValueError if n = 0: an empty set has no fraction."""
    if n <= 0:
        raise ValueError("a fraction needs at least one run")
    interval = stats.binomtest(int(successes), int(n)).proportion_ci(confidence, method="exact")
    return float(interval.low), float(interval.high)


def mean_interval(values: Float[np.ndarray, " n"], confidence: float = CONFIDENCE) -> tuple[float, tuple[float, float]]:
    """Mean with its Student-t interval. Raises ValueError with fewer than two values."""
    if len(values) < 2:
        raise ValueError(f"a mean with an interval needs two values, got {len(values)}")
    mean, half = float(np.mean(values)), float(stats.t.ppf(0.5 * (1.0 + confidence), len(values) - 1) * stats.sem(values))
    return mean, (mean - half, mean + half)


def slope_interval(
    x: Float[np.ndarray, " n"], y: Float[np.ndarray, " n"], confidence: float = CONFIDENCE
) -> tuple[float, tuple[float, float]]:
    """Least-squares slope of y on x with its Student-t interval. Raises ValueError with fewer than three points."""
    if len(x) < 3:
        raise ValueError(f"a slope with an interval needs three points, got {len(x)}")
    fit = stats.linregress(x, y)
    half = float(stats.t.ppf(0.5 * (1.0 + confidence), len(x) - 2) * fit.stderr)
    return float(fit.slope), (float(fit.slope) - half, float(fit.slope) + half)
