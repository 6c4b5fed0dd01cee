"""Refinement: the error of a number is its change between two tolerances, step sizes or resolutions.

The change bounds the error of the finer number if the coarser one is at least twice as far from the limit: a tolerance that is
ten times as large, or a step twice as large, with any method of order one or more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Shaped

from flowcheck.measures import readings
from flowcheck.pipeline.evidence import Measurement

ROUNDING = 4 * float(np.finfo(np.float64).eps)
"""Relative: no number is taken to be known better than this, even where two tolerances agree to the last digit."""
Numbers = Shaped[np.ndarray, "*s"] | float


def change(fine: Numbers, coarse: Numbers) -> Float[np.ndarray, "*s"]:
    """How far the numbers move on refinement, entry by entry, and never less than their rounding.

    NaN where both say nothing, infinite where one of them does.

    >>> change(np.array([1.0, np.nan, 2.0]), np.array([1.5, np.nan, np.nan]))
    array([0.5, nan, inf])
    """
    fine, coarse = np.asarray(fine, dtype=float), np.asarray(coarse, dtype=float)
    silent = np.isnan(fine), np.isnan(coarse)
    with np.errstate(invalid="ignore"):
        moved = np.where(fine == coarse, 0.0, np.abs(fine - coarse))  # an infinity that stays has not moved
    size = np.where(np.isfinite(fine), np.abs(fine), 0.0)
    found = np.maximum(moved, np.maximum(ROUNDING * size, np.finfo(np.float64).tiny))
    return np.where(silent[0] & silent[1], np.nan, np.where(silent[0] | silent[1], np.inf, found))


@dataclass(frozen=True)
class Refined:
    """Numbers and how far each of them moved on refinement."""

    value: Float[np.ndarray, "*s"]
    error: Float[np.ndarray, "*s"]

    @classmethod
    def of(cls, fine: Numbers, coarse: Numbers) -> Refined:
        """The finer numbers, with their changes."""
        return cls(np.asarray(fine, dtype=float), change(fine, coarse))

    @classmethod
    def joined(cls, parts: Sequence[Refined], axis: int = 0) -> Refined:
        """The numbers of several parts, one after the other along an axis."""
        return cls(*(np.concatenate([getattr(part, name) for part in parts], axis=axis) for name in ("value", "error")))

    def __getitem__(self, key: Any) -> Refined:
        """Some of the numbers, as an array would be indexed.

        >>> Refined.of(np.array([1.0, 2.0]), np.array([1.5, 2.0]))[:1].error
        array([0.5])
        """
        return Refined(np.asarray(self.value[key]), np.asarray(self.error[key]))

    def flat(self) -> Refined:
        """All numbers in one row."""
        return Refined(self.value.ravel(), self.error.ravel())

    def worst(self, axis: int) -> Refined:
        """The largest along an axis, with the largest change along it; NaN where one of the entries is.

        An extreme moves by no more than the entry that moves most.
        """
        return Refined(self.value.max(axis=axis), self.error.max(axis=axis))

    def lowest(self, axis: int) -> Refined:
        """The smallest along an axis, likewise."""
        return Refined(self.value.min(axis=axis), self.error.max(axis=axis))

    def with_rounding(self, rounding: Float[np.ndarray, "*#s"] | float) -> Refined:
        """Small differences of larger numbers are rounded by more than their own size says: so much is added to their errors."""
        return Refined(self.value, np.asarray(self.error + rounding))

    def largest(self, where: Bool[np.ndarray, "*#s"] | None = None) -> Measurement:
        """The largest, with its own change."""
        return readings.largest(self.value, self.error, where)

    def smallest(self, where: Bool[np.ndarray, "*#s"] | None = None) -> Measurement:
        """The smallest, with its own change."""
        return readings.smallest(self.value, self.error, where)

    def largest_of_all(self) -> Measurement:
        """The largest, with its own change; NaN where one of them is."""
        return readings.largest_of_all(self.value, self.error)

    def smallest_of_all(self) -> Measurement:
        """The smallest, likewise."""
        return readings.smallest_of_all(self.value, self.error)

    def median(self, where: Bool[np.ndarray, "*#s"] | None = None) -> Measurement:
        """The median, with what their changes can move it by."""
        return readings.median(self.value, self.error, where)

    def quantile(self, share: float, where: Bool[np.ndarray, "*#s"] | None = None) -> Measurement:
        """The number below which this share of the values lies, likewise."""
        return readings.quantile(self.value, self.error, share, where)

    def number(self) -> Measurement:
        """The one number that there is. Raises ValueError if there are several."""
        if self.value.size != 1:
            raise ValueError(f"one number was asked for, and there are {self.value.size}")
        return Measurement(self.value.item(), self.error.item())


def refined(measure: Callable[[Any], Mapping[str, Numbers]], fine: Any, coarse: Any) -> dict[str, Refined]:
    """What `measure` finds with the setting `fine`, with the change from the setting `coarse`, by name.

    Raises ValueError if the two runs do not find the same names.
    """
    first, second = measure(fine), measure(coarse)
    if first.keys() != second.keys():
        raise ValueError(f"refinement finds different numbers: {sorted(first.keys() ^ second.keys())}")
    return {name: Refined.of(value, second[name]) for name, value in first.items()}
