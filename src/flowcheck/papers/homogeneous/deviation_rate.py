r"""How the largest distance of $w/\delta$ from the NCF flow shrinks with delta: its slope, by a rule for the points."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float

from flowcheck.measures.readings import log_rate
from flowcheck.measures.refinement import Refined
from flowcheck.papers.homogeneous.early_alignment import Compared
from flowcheck.pipeline.evidence import Found, Measurement

LARGEST_SHARE = 1e-2
"""Of the size of u: below it the expansion of the deviation in powers of delta starts to hold."""


def slope(
    deltas: Float[np.ndarray, "s p"], deviation: Refined, size: Float[np.ndarray, " s"], resolution: float = 100.0
) -> Measurement:
    r"""Slope of $\ln\|s-u\|$ on $\ln\delta$.

    Points are kept by a rule: the deviation is below `LARGEST_SHARE` of the `size` of u, and at least `resolution` times its own
    error.
    """
    value, error = deviation.value, deviation.error
    use = (value <= LARGEST_SHARE * size[:, None]) & (value >= resolution * error) & (value > 0)
    return log_rate(deltas, value, error, use)


def of_all(deviation: Refined, deltas: Sequence[float]) -> Measurement:
    """A control, whose deviation does not vanish: the slope of all points [S, D]."""
    return log_rate(np.array(deltas), deviation.value, deviation.error)


def of_cases(name: str, compared: Compared, rows: Bool[np.ndarray, " s"], resolution: float = 100.0) -> Found:
    """The slope of some cases up to the first moment, as `name`; for a figure the curves, as fractions of the norm of u."""
    deltas, deviation, size = compared.deltas[rows], compared.deviation[rows, :, 0], compared.largest_norm[rows, 0]
    return {
        name: slope(deltas, deviation, size, resolution),
        f"{name}_deltas": deltas[0],
        f"{name}_deviation": deviation.value / size[:, None],
    }


def pooled(parts: Sequence[tuple[Compared, Bool[np.ndarray, " s"]]], resolution: float = 100.0) -> Measurement:
    """One slope of some cases of several networks."""
    deltas = np.concatenate([compared.deltas[rows] for compared, rows in parts])
    size = np.concatenate([compared.largest_norm[rows, 0] for compared, rows in parts])
    return slope(deltas, Refined.joined([compared.deviation[rows, :, 0] for compared, rows in parts]), size, resolution)
