"""Lemma J.1 of two_homogeneous, Filippov's: the velocity of a limit lies in the closed convex hull of the velocities.

Functions that switch ever faster between three velocities, in shares that vary with t; the limit is known in closed form.
"""

from __future__ import annotations

import math
import sys

import numpy as np
from jaxtyping import Float

from flowcheck.correlation.clarke import enclosed_hull_distance
from flowcheck.measures.readings import largest, smallest
from flowcheck.pipeline.evidence import Found, Measurement

VELOCITIES = np.array([[1.0, 0.0], [-0.6, 0.9], [-0.2, -1.1]])
SPEED = float(np.linalg.norm(VELOCITIES, axis=1).max())
PHASES = 2 * math.pi * np.arange(3) / 3
COUNTS = np.array([10, 100, 1000, 10000])
"""Switches for each velocity."""
STEP = 1e-3
QUOTIENT = 8 * sys.float_info.epsilon / STEP
"""Rounding of a difference quotient of the limit: two values of at most 1, each off by eight roundings of half an epsilon."""


def share(t: Float[np.ndarray, " p"]) -> Float[np.ndarray, "p 3"]:
    """Of the time around t spent with each velocity."""
    return (1 + 0.5 * np.cos(2 * math.pi * t[:, None] + PHASES)) / 3


def limit(t: Float[np.ndarray, " p"]) -> Float[np.ndarray, "p 2"]:
    """The integral of the mean velocity from 0 to t."""
    integral = (t[:, None] + (np.sin(2 * math.pi * t[:, None] + PHASES) - np.sin(PHASES)) / (4 * math.pi)) / 3
    return integral @ VELOCITIES


def largest_gap(count: int) -> float:
    """Distance of the function with `count` switches for each velocity from the limit, at the times at which it switches."""
    spent = (share(np.arange(count) / count) / count).ravel()
    knots = np.append(0.0, np.cumsum(spent))
    chattering = np.vstack([np.zeros(2), np.cumsum(spent[:, None] * np.tile(VELOCITIES, (count, 1)), axis=0)])
    return float(np.linalg.norm(chattering - limit(knots), axis=-1).max())


def lemma_j1() -> Found:
    """Convergence, and where difference quotients of the limit lie; controls: a smaller hull, the set itself, no bound at all."""
    gaps = np.array([largest_gap(int(count)) for count in COUNTS])
    t = np.linspace(0.0, 1.0 - STEP, 400)
    quotient = (limit(t + STEP) - limit(t)) / STEP
    (hull, slack), (two, two_slack) = (enclosed_hull_distance(quotient, points) for points in (VELOCITIES, VELOCITIES[:2]))
    among = np.linalg.norm(quotient[:, None] - VELOCITIES, axis=-1).min(axis=1)
    # velocities 0, and k on an interval of length 1/k: unbounded in k, and the limit jumps
    ends = np.append(t, 1.0)
    jump = np.diff(np.clip(1e12 * (ends - 0.5), 0.0, 1.0)) / np.diff(ends)
    return {
        "j1_counts": COUNTS,
        "j1_gaps": gaps,
        # two sums of 3 x 10000 numbers, up to 1
        "j1_convergence": Measurement(gaps[-1], 6 * COUNTS[-1] * sys.float_info.epsilon, n=len(COUNTS)),
        "j1_hull_distance": largest(hull, slack + QUOTIENT),
        "j1_set_distance": smallest(among, QUOTIENT),
        "j1_hull_distance_of_two": largest(two, two_slack + QUOTIENT),
        "j1_lipschitz_ratio": largest(np.linalg.norm(quotient, axis=-1) / SPEED, QUOTIENT),
        # the interval of one step is off by an epsilon
        "j1_lipschitz_ratio_unbounded": Measurement(jump.max() / SPEED, jump.max() ** 2 * sys.float_info.epsilon, n=1),
    }
