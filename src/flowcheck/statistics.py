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


def pooled_slope(
    x: Float[np.ndarray, " n"], y: Float[np.ndarray, "runs n"], confidence: float = CONFIDENCE
) -> tuple[float, tuple[float, float]]:
    """Common slope of several runs on x, each with an offset of its own; NaN in y marks a missing point.

    Student-t interval with one degree of freedom less per run and one for the slope. Raises ValueError if none is left.
    """
    there = np.isfinite(y)
    runs = there[there.sum(axis=1) >= 2]
    freedom = int(runs.sum()) - len(runs) - 1
    if freedom < 1:
        raise ValueError(f"{int(runs.sum())} points in {len(runs)} runs leave no degree of freedom for an interval")
    dx, dy = (
        np.where(runs, v - np.nanmean(np.where(runs, v, np.nan), axis=1, keepdims=True), 0.0)
        for v in (np.broadcast_to(x, y.shape)[there.sum(axis=1) >= 2], y[there.sum(axis=1) >= 2])
    )
    slope = float((dx * dy).sum() / (dx**2).sum())
    spread = float(((dy - slope * dx)[runs] ** 2).sum()) / freedom
    half = float(stats.t.ppf(0.5 * (1.0 + confidence), freedom)) * float(np.sqrt(spread / (dx**2).sum()))
    return slope, (slope - half, slope + half)
