"""Rigorous enclosure of the maximum of a function on an interval, by bisection with interval arithmetic."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mpmath import iv, mp

Box = tuple[float, float, float]


def enclose_maximum(
    function: Callable[[Any, Callable[[Any], Any]], Any], low: float, high: float, width: float
) -> tuple[tuple[float, float], list[Box]]:
    """Interval [lower, upper] that contains max f over [low, high], and the boxes (left, right, upper bound) that prove it.

    `function(x, exp)` is evaluated on intervals and on points. A box is cut until its own enclosure is narrower than `width` or
    its upper bound lies below a value already attained. Raises ValueError if the width is not positive.
    """
    if width <= 0:
        raise ValueError(f"the enclosure needs a positive width, got {width}")
    attained, boxes = -float("inf"), []
    waiting = [(low, high)]
    while waiting:
        left, right = waiting.pop()
        middle = 0.5 * (left + right)
        attained = max(attained, float(iv.mpf(function(iv.mpf(middle), iv.exp)).a))
        upper = float(mp.mpf(function(iv.mpf([left, right]), iv.exp).b))
        if upper <= attained or upper - attained <= width or right - left < 1e-12:
            boxes.append((left, right, upper))
        else:
            waiting += [(left, middle), (middle, right)]
    return (attained, max(upper for _, _, upper in boxes)), sorted(boxes)
