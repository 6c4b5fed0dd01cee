"""Readings of many runs: the extreme of a column, a rate with its interval."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from flowcheck.measures.statistics import common_slope
from flowcheck.pipeline.evidence import Evidence


@dataclass(frozen=True)
class Rate:
    """A fitted slope with its interval, a bound on its numerical error, the points behind it and those dropped."""

    slope: float
    interval: tuple[float, float]
    error: float
    n: int
    dropped: int


def rate(
    x: Float[np.ndarray, "s p"], y: Float[np.ndarray, "s p"], error: Float[np.ndarray, "s p"], use: Bool[np.ndarray, "s p"]
) -> Rate:
    """One slope of y on x for all rows, each with an intercept of its own; `error` bounds that of y.

    NaN and no points where no row keeps three of them: such a rule leaves nothing to judge.
    """
    if int(use.sum()) < 3 or int(use.sum(axis=1).max()) < 3:
        return Rate(math.nan, (math.nan, math.nan), 0.0, 0, int(use.size))
    slope, interval, n = common_slope(x, np.where(use, y, 0.0), use)
    span = float(min(np.ptp(row[used]) for row, used in zip(x, use, strict=True) if used.sum() > 1))
    return Rate(slope, interval, 2 * float(np.where(use, error, 0.0).max()) / span, n, int(use.size - n))


def smallest(
    values: Float[np.ndarray, "*s"], errors: Float[np.ndarray, "*s"], use: Bool[np.ndarray, "*s"]
) -> tuple[float, float, int]:
    """The smallest of the values in use, its error, and how many they are; NaN and 0 if there is none.

    >>> smallest(np.array([3.0, 1.0, 2.0]), np.array([0.1, 0.2, 0.3]), np.array([True, False, True]))
    (2.0, 0.3, 2)
    """
    if not use.any():
        return math.nan, 0.0, 0
    kept, kept_errors = values[use], errors[use]
    return float(kept.min()), float(kept_errors[kept.argmin()]), int(use.sum())


def measure_rate(evidence: Evidence, name: str, found: Rate) -> None:
    evidence.measure(name, found.slope, error=found.error, interval=found.interval, n=found.n)
