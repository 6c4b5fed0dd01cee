r"""The exponent that runs of gradient descent reach over the exponent that a bound guarantees (spherical_data).

Lemmas 4 and 5 and Theorem 2 say $1-\cos\theta(n)\le(1-\cos\theta(m))e^{-E_n}$ from some step m on. Compared are exponents,

$$\frac1{E_n}\ln\frac{1-\cos\theta(m)}{1-\cos\theta(n)}-1,$$

which is not negative where the bound holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from flowcheck.papers.spherical_data.descent import PopulationPath

Array = np.ndarray

UNDERFLOW = 1e-280
"""Below, 1 - cos θ is about to underflow and says nothing."""
SUM_ROUNDING = float(np.finfo(np.float64).eps)
"""Relative rounding of E_n for each of its n terms: half a unit in the last place in each of two sums, one inside the other."""


@dataclass(frozen=True)
class Excess:
    """Smallest excess of each run over a bound, its rounding, the steps compared. NaN where the bound is silent on a run."""

    value: Float[Array, " s"]
    error: Float[Array, " s"]
    steps: Float[Array, " s"]


def excess(path: PopulationPath, guaranteed: Sequence[tuple[int, Float[Array, " _"]] | None]) -> Excess:
    """Compare each run of the path with its bound: the step m, and E_n for n = m + 1, m + 2, ..., or None.

    Steps at which 1 - cos θ(n) has underflown are left out.
    """
    return Excess(*np.array([_of_run(path, run, bound) for run, bound in enumerate(guaranteed)]).T)


def _of_run(path: PopulationPath, run: int, bound: tuple[int, Float[Array, " _"]] | None) -> tuple[float, float, float]:
    nothing = np.nan, np.nan, np.nan
    if bound is None:
        return nothing
    first, exponent = bound
    last = first + len(exponent)
    gap = path.one_minus_cos[run, first : last + 1]
    seen = gap[1:] > UNDERFLOW
    if not seen.any():
        return nothing
    ratio = np.log(gap[0] / gap[1:][seen]) / exponent[seen] - 1.0
    worst = int(np.argmin(ratio))
    n = int(np.flatnonzero(seen)[worst]) + 1
    rounding = path.rounding[run, first : first + n].sum() / exponent[n - 1] + SUM_ROUNDING * n * (ratio[worst] + 1.0)
    return float(ratio[worst]), float(rounding), float(seen.sum())
