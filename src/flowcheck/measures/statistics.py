"""Intervals: of a fraction of seeds, of a mean over seeds, and of a fitted slope."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Real
from scipy import special  # not scipy.stats: half a second for every script and notebook

from flowcheck.arguments import SHARE, finite_array, number, whole

CONFIDENCE = 0.95
Values = Real[np.ndarray, " n"] | Sequence[float]


def clopper_pearson(successes: int, n: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Exact two-sided interval of a binomial fraction. Raises ValueError if n = 0: an empty set has no fraction.

    And if successes and n are no counts.

    >>> clopper_pearson(0, 10)[1] - (1 - 0.025 ** (1 / 10)) < 1e-12  # no success: (1 - p)^n = 0.025
    True
    """
    successes, n = whole("successes", successes, 0), whole("n", n, 0)
    if n == 0:
        raise ValueError("a fraction needs at least one run, got n = 0")
    if successes > n:
        raise ValueError(f"{successes} successes of {n} are no fraction")
    tail = 0.5 * (1.0 - number("confidence", confidence, SHARE))
    low = 0.0 if successes == 0 else special.betaincinv(successes, n - successes + 1, tail)
    high = 1.0 if successes == n else special.betaincinv(successes + 1, n - successes, 1.0 - tail)
    return float(low), float(high)


def mean_interval(values: Values, confidence: float = CONFIDENCE) -> tuple[float, tuple[float, float]]:
    """Mean with its Student-t interval. Raises ValueError with fewer than two values, or if one is not finite."""
    values = _row("values", values)
    n = len(values)
    if n < 2:
        raise ValueError(f"a mean with an interval needs two values, got {n}")
    size = _size(values)
    mean, half = float(np.mean(values / size)), _student(n - 1, confidence) * float(np.std(values / size, ddof=1)) / math.sqrt(n)
    return size * mean, (size * (mean - half), size * (mean + half))


def slope_interval(x: Values, y: Values, confidence: float = CONFIDENCE) -> tuple[float, tuple[float, float]]:
    """Least-squares slope of y on x with its Student-t interval.

    Raises ValueError with fewer than three points, if one is not finite, or if all have the same x.

    >>> slope_interval(np.array([0.0, 1.0, 2.0]), np.array([1.0, 3.0, 5.0]))
    (2.0, (2.0, 2.0))
    """
    x, y = _row("x", x), _row("y", y)
    if len(x) != len(y):
        raise ValueError(f"a slope needs a y for each x, got {len(x)} of x and {len(y)} of y")
    if len(x) < 3:
        raise ValueError(f"a slope with an interval needs three points, got {len(x)}")
    run, rise = _size(x), _size(y)
    slope, (low, high), _ = common_slope(x[None] / run, y[None] / rise, np.ones((1, len(x)), bool), confidence)
    return slope * rise / run, (low * rise / run, high * rise / run)


def common_slope(
    x: Float[np.ndarray, "s p"], y: Float[np.ndarray, "s p"], use: Bool[np.ndarray, "s p"], confidence: float = CONFIDENCE
) -> tuple[float, tuple[float, float], int]:
    """One slope for all rows, an intercept for each: least squares within rows, Student-t interval, points used.

    Points outside `use` are dropped, and rows left with fewer than two. Raises ValueError if fewer than two points more than
    intercepts are left, or if x does not vary within any row.
    """
    use = use & (use.sum(axis=1, keepdims=True) > 1)
    rows = use.any(axis=1)
    n, freedom = int(use.sum()), int(use.sum()) - int(rows.sum()) - 1
    if freedom < 1:
        raise ValueError(f"a common slope with an interval needs more points: {n} in {int(rows.sum())} rows")

    def centred(values: Float[np.ndarray, "s p"]) -> Float[np.ndarray, "s p"]:
        kept = np.where(use, values, 0.0)
        return np.where(use, values - kept.sum(axis=1, keepdims=True) / use.sum(axis=1, keepdims=True).clip(1), 0.0)

    dx, dy = centred(x), centred(y)
    spread = float((dx**2).sum())
    if not spread > 0:
        raise ValueError("a slope needs points that differ in x")
    slope = float((dx * dy).sum() / spread)
    deviation = math.sqrt(float(((dy - slope * dx) ** 2).sum()) / freedom / spread)
    half = _student(freedom, confidence) * deviation
    return slope, (slope - half, slope + half), n


def _student(freedom: int, confidence: float) -> float:
    """The quantile of Student's t that a two-sided interval needs."""
    return float(special.stdtrit(freedom, 0.5 * (1.0 + number("confidence", confidence, SHARE))))


def _size(values: Float[np.ndarray, " n"]) -> float:
    """A power of two that is about the largest value: to divide by it rounds nothing, and squares then stay in float64."""
    return float(np.ldexp(1.0, np.frexp(np.abs(values).max())[1] - 1))


def _row(name: str, given: Values) -> Float[np.ndarray, " n"]:
    values = finite_array(name, given)
    if values.ndim != 1:
        raise ValueError(f"{name} must be a list of numbers, got shape {values.shape}")
    return values
