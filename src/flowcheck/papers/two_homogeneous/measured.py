"""Metrics on their way from a cell to the evidence, for the scripts beside this file whose cells do all the measuring."""

import math
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np

from flowcheck.pipeline.evidence import Evidence

METRIC = "metric:"


class Number(NamedTuple):
    """Value, bound on its numerical error, runs behind it, and the ends of its confidence interval, NaN where it has none."""

    value: float
    error: float = 0.0
    n: int = 1
    low: float = math.nan
    high: float = math.nan


Part = dict[str, np.ndarray | Number]
"""What one part of a cell found: numbers for the evidence, arrays for the figures."""


def pack(parts: Iterable[Part]) -> dict[str, np.ndarray]:
    """All parts as arrays; numbers are marked in their names."""
    return {METRIC * isinstance(item, Number) + name: np.array(item) for part in parts for name, item in part.items()}


def unpack(arrays: Mapping[str, np.ndarray]) -> Evidence:
    """The inverse of `pack`: numbers become metrics, the rest stays arrays."""
    evidence = Evidence()
    for name, item in arrays.items():
        if not name.startswith(METRIC):
            evidence.arrays[name] = item
            continue
        number = Number(*item.tolist())
        interval = None if math.isnan(number.low) else (number.low, number.high)
        evidence.measure(name.removeprefix(METRIC), number.value, error=number.error, n=int(number.n), interval=interval)
    return evidence
