r"""Eq. (15) of two_homogeneous: the one-sided condition at three critical points of (u1 abs(u2) - target)^2, in either sign.

$\langle w-\bar w,s\rangle\ge-\kappa\|w-\bar w\|^2$ for all s in $+\partial\mathcal L$, as the proofs use it, or in
$-\partial\mathcal L$, as printed. It is there to keep flows near: $\|w(t)-\bar w\|\le\|w(0)-\bar w\|e^{\kappa t}$.
"""

from __future__ import annotations

import math
import sys
from dataclasses import replace

import numpy as np
from jaxtyping import Bool, Float

from flowcheck.measures.readings import largest
from flowcheck.measures.refinement import Refined
from flowcheck.papers.two_homogeneous import kink_example
from flowcheck.papers.two_homogeneous.kink_example import BRANCHING, CORNER
from flowcheck.pipeline.evidence import Found, Measurement

EXAMPLES = {"leaving": (BRANCHING, 1.0), "smooth": (CORNER, 1.0), "attracting": (BRANCHING, -1.0)}
"""Critical point and target: the paper's two, and a kink that attracts because the residual there is negative."""
KAPPA = 7.0
"""Bound on the Hessian within 0.1 of [1, 1]."""
DISTANCE = 1e-6
"""Of the starts of flows, and the smallest at which the condition is asked for."""
RADII = np.geomspace(DISTANCE, 0.1, 11)
TIMES = np.linspace(0.0, 1.0, 21)
ROUNDING = 16 * sys.float_info.epsilon
"""Of a gradient: eight roundings of numbers up to 2.4, at most. In kappa, and in the logarithm of a distance, it is this over the
distance."""


def equation_15(points: int, chosen: Bool[np.ndarray, "3 points"]) -> Found:
    """The condition in `points` directions around each example, and flows from those of them that are chosen.

    Flows start off the kink: directions with a second entry below 0.3 are left out.
    """
    circle = directions(points)
    found: dict[str, np.ndarray | Measurement] = {"kappa_radii": RADII, "growth_times": TIMES[1:]}
    for (name, (centre, target)), rows in zip(EXAMPLES.items(), chosen, strict=True):
        required, printed = required_kappa(centre, target, circle)
        starts = centre + DISTANCE * circle[(np.abs(circle[:, 1]) > 0.3) & rows]
        ((fine, coarse),) = kink_example.at_two_tolerances([starts], TIMES, kink_example.descent_to(target))
        rise = Refined.of(growth(fine.states, centre), growth(coarse.states, centre)).worst(axis=0)
        excess = largest(rise.value - KAPPA * TIMES[1:], rise.error + ROUNDING / DISTANCE)
        found |= {
            f"kappa_curve_{name}": required,
            f"kappa_printed_curve_{name}": printed,
            f"growth_{name}": rise.value,
            f"kappa_{name}": replace(largest(required, ROUNDING / RADII), n=points),
            f"kappa_printed_{name}": replace(largest(printed, ROUNDING / RADII), n=points),
            f"stay_excess_{name}": replace(excess, n=len(starts)),
        }
    return found


def directions(count: int) -> Float[np.ndarray, "count 2"]:
    """Unit vectors at equal angles, those along the kink exactly so. Raises ValueError for an odd number, which has only one."""
    if count % 2:
        raise ValueError(f"{count} directions at equal angles do not hold both along the kink")
    angle = 2 * math.pi * np.arange(count) / count
    circle = np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    circle[[0, count // 2], 1] = 0.0
    return circle


def required_kappa(
    centre: Float[np.ndarray, " 2"], target: float, circle: Float[np.ndarray, "c 2"]
) -> tuple[Float[np.ndarray, " r"], Float[np.ndarray, " r"]]:
    r"""The smallest kappa on each circle of `RADII` around a critical point, for s in $+\partial$ and for s in $-\partial$."""
    shift = RADII[:, None, None] * circle
    gradient = kink_example.loss_subdifferential(centre + shift, target)
    products = (gradient * shift[..., None, :]).sum(axis=-1) / (RADII**2)[:, None, None]
    return -products.min(axis=(1, 2)), products.max(axis=(1, 2))


def growth(states: Float[np.ndarray, "s p 2"], centre: Float[np.ndarray, " 2"]) -> Float[np.ndarray, "s q"]:
    """Logarithm of the distance over that at the start, at all `TIMES` but the first."""
    return np.log(np.linalg.norm(states - centre, axis=-1) / DISTANCE)[:, 1:]
