"""Readings of many runs, one number each: an extreme, a quantile, a fraction, a count, a rate. Each is a `Measurement`.
`largest_of`, `smallest_of` and `total` put together what cells have read.

Entries that are NaN say that a run does not speak of the matter; they are passed over, and `n` counts the others. A reading of
nothing is NaN with n = 0, which no claim passes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np
from jaxtyping import Bool, Float, Shaped

from flowcheck.measures.statistics import clopper_pearson, common_slope
from flowcheck.pipeline.evidence import Measurement

NOTHING = Measurement.exact(math.nan, n=0)


def largest(
    values: Shaped[np.ndarray, "*s"],
    errors: Float[np.ndarray, "*#s"] | float,
    where: Bool[np.ndarray, "*#s"] | None = None,
) -> Measurement:
    """The largest value, with the error of that one.

    >>> largest(np.array([1.0, 3.0, np.nan]), np.array([0.1, 0.2, 0.3]))
    Measurement(value=3.0, error=0.2, interval=None, n=2)
    """
    return _chosen(values, errors, where, lambda kept: int(kept.argmax()))


def smallest(
    values: Shaped[np.ndarray, "*s"],
    errors: Float[np.ndarray, "*#s"] | float,
    where: Bool[np.ndarray, "*#s"] | None = None,
) -> Measurement:
    """The smallest value, with the error of that one."""
    return _chosen(values, errors, where, lambda kept: int(kept.argmin()))


def smallest_setting(values: Float[np.ndarray, " s"]) -> Measurement:
    """The smallest of those that are finite, as it is: settings, chosen from a grid, have no error.

    >>> smallest_setting(np.array([np.nan, -np.inf, -2.0, 3.0]))
    Measurement(value=-2.0, error=0.0, interval=None, n=2)
    """
    found = values[np.isfinite(values)]
    return Measurement.exact(float(found.min()), n=found.size) if found.size else NOTHING


def largest_of_all(values: Shaped[np.ndarray, "*s"], errors: Float[np.ndarray, "*#s"] | float) -> Measurement:
    """The largest of runs that all must speak of the matter: NaN where one of them is NaN, which no claim passes.

    >>> largest_of_all(np.array([1.0, np.nan, 3.0]), 0.1)
    Measurement(value=nan, error=0.1, interval=None, n=3)
    """
    return _first(values, errors, lambda found: int(found.argmax()))


def smallest_of_all(values: Shaped[np.ndarray, "*s"], errors: Float[np.ndarray, "*#s"] | float) -> Measurement:
    """The smallest, likewise."""
    return _first(values, errors, lambda found: int(found.argmin()))


def _first(
    values: Shaped[np.ndarray, "*s"],
    errors: Float[np.ndarray, "*#s"] | float,
    position: Callable[[Float[np.ndarray, " n"]], int],
) -> Measurement:
    found = np.asarray(values, dtype=float)
    bounds = np.broadcast_to(np.asarray(errors, dtype=float), found.shape)
    return _at(found.ravel(), bounds.ravel(), position)  # of a NaN where there is one


def _chosen(
    values: Shaped[np.ndarray, "*s"],
    errors: Float[np.ndarray, "*#s"] | float,
    where: Bool[np.ndarray, "*#s"] | None,
    position: Callable[[Float[np.ndarray, " n"]], int],
) -> Measurement:
    return _at(*_spoken(values, errors, where), position)


def _at(
    kept: Float[np.ndarray, " n"], bounds: Float[np.ndarray, " n"], position: Callable[[Float[np.ndarray, " n"]], int]
) -> Measurement:
    if not kept.size:
        return NOTHING
    chosen = position(kept)
    return Measurement(kept[chosen], bounds[chosen], n=kept.size)


def median(
    values: Shaped[np.ndarray, "*s"],
    errors: Float[np.ndarray, "*#s"] | float,
    where: Bool[np.ndarray, "*#s"] | None = None,
) -> Measurement:
    """The median, with the error of a quantile.

    >>> median(np.array([1.0, 2.0, 9.0]), 0.5)
    Measurement(value=2.0, error=0.5, interval=None, n=3)
    """
    return quantile(values, errors, 0.5, where)


def quantile(
    values: Shaped[np.ndarray, "*s"],
    errors: Float[np.ndarray, "*#s"] | float,
    share: float,
    where: Bool[np.ndarray, "*#s"] | None = None,
) -> Measurement:
    """The number below which this share of the values lies.

    Where each value is known to its own error, it lies between that number of the smallest possible values and that of the
    largest: one value that is hardly known moves it to its neighbours only.

    >>> quantile(np.arange(11.0), 0.125, 0.9)
    Measurement(value=9.0, error=0.125, interval=None, n=11)
    >>> quantile(np.arange(3.0), np.array([0.25, 0.25, 100.0]), 0.5).error
    1.25
    """
    kept, bounds = _spoken(values, errors, where)
    if not kept.size:
        return NOTHING
    found, low, high = (_at_share(np.sort(moved), share) for moved in (kept, kept - bounds, kept + bounds))
    return Measurement(found, max(found - low, high - found), n=kept.size)


def _at_share(ordered: Float[np.ndarray, " n"], share: float) -> float:
    """Between two neighbours by linear interpolation; not by numpy, which has no number beside an infinite one."""
    position = share * (len(ordered) - 1)
    below, above = float(ordered[math.floor(position)]), float(ordered[math.ceil(position)])
    return below if below == above or position % 1 == 0 else below + position % 1 * (above - below)


def _spoken(
    values: Shaped[np.ndarray, "*s"], errors: Float[np.ndarray, "*#s"] | float, where: Bool[np.ndarray, "*#s"] | None
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    values = np.asarray(values, dtype=float)
    use = ~np.isnan(values) & (True if where is None else where)
    return values[use], np.broadcast_to(np.asarray(errors, dtype=float), values.shape)[use]


def count(hits: Bool[np.ndarray, "*s"]) -> Measurement:
    """How many there are, out of how many.

    >>> count(np.array([True, False, True]))
    Measurement(value=2.0, error=0.0, interval=None, n=3)
    """
    return Measurement.count(int(np.sum(hits)), int(np.size(hits)))


def fraction(hits: Bool[np.ndarray, "*s"]) -> Measurement:
    """The share of hits with its Clopper-Pearson interval of 95 %; NaN of nothing.

    >>> fraction(np.array([True] * 3 + [False])).value
    0.75
    """
    number, n = int(np.sum(hits)), int(np.size(hits))
    return Measurement.exact(number / n, n, clopper_pearson(number, n)) if n else NOTHING


def rate(
    x: Float[np.ndarray, "s p"], y: Float[np.ndarray, "s p"], error: Float[np.ndarray, "s p"], use: Bool[np.ndarray, "s p"]
) -> Measurement:
    """One slope of y on x for all rows, each with an intercept of its own, and its interval of 95 %; `error` bounds that of y.

    `use` is a rule written down before; n counts the points that it keeps. NaN where no row keeps three of them: such a rule
    leaves nothing to judge.
    """
    if int(use.sum()) < 3 or int(use.sum(axis=1).max()) < 3:
        return Measurement.exact(math.nan, 0, (math.nan, math.nan))
    slope, interval, n = common_slope(x, np.where(use, y, 0.0), use)
    span = float(min(np.ptp(row[used]) for row, used in zip(x, use, strict=True) if used.sum() > 1))
    return Measurement(slope, 2 * float(np.where(use, error, 0.0).max()) / span, interval, n)


def log_rate(
    x: Float[np.ndarray, "*#s p"],
    y: Float[np.ndarray, "s p"],
    error: Float[np.ndarray, "s p"],
    use: Bool[np.ndarray, "s p"] | None = None,
) -> Measurement:
    """`rate` of ln y on ln x: the exponent of a power law. All points by default, which then are positive.

    >>> log_rate(np.array([1.0, 2.0, 4.0]), np.array([[3.0, 12.0, 48.0]]), np.full((1, 3), 1e-9)).value
    2.0
    """
    used = np.ones(y.shape, dtype=bool) if use is None else use
    known = np.where(used, y, 1.0)
    return rate(np.broadcast_to(np.log(x), y.shape), np.log(known), error / known, used)


def largest_of(parts: Iterable[Measurement]) -> Measurement:
    """The largest number of several cells, with its error; behind it stand the runs of all. NaN if one of them is NaN.

    >>> largest_of([Measurement(1.0, 0.1, n=2), Measurement(3.0, 0.2, n=5)])
    Measurement(value=3.0, error=0.2, interval=None, n=7)
    """
    return _extreme_of(list(parts), max)


def smallest_of(parts: Iterable[Measurement]) -> Measurement:
    """The smallest number of several cells, with its error; behind it stand the runs of all. NaN if one of them is NaN."""
    return _extreme_of(list(parts), min)


def total(parts: Iterable[Measurement]) -> Measurement:
    """Counts of several cells, added up. Raises ValueError if one of them is no count.

    >>> total([Measurement.count(1, 5), Measurement.count(2, 5)])
    Measurement(value=3.0, error=0.0, interval=None, n=10)
    """
    parts = list(parts)
    if any(part.error for part in parts):
        raise ValueError("only counts are added up, and one of these numbers has an error")
    return Measurement.count(int(sum(part.value for part in parts)), _runs_behind(parts))


def _extreme_of(parts: list[Measurement], pick: Callable[..., Measurement]) -> Measurement:
    silent = [part for part in parts if math.isnan(part.value)]
    return replace(silent[0] if silent else pick(parts, key=lambda part: part.value), n=_runs_behind(parts))


def _runs_behind(parts: list[Measurement]) -> int | None:
    counted = [part.n for part in parts if part.n is not None]
    return sum(counted) if counted else None
