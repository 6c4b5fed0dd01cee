"""Lemmas I.1 and I.2 of two_homogeneous: next to [1, 0], critical for g = (u1 abs(u2) - 1)^2, gradients are large, flows leave.

The control is [1, 1], where g is smooth.
"""

from __future__ import annotations

import sys

import numpy as np
from jaxtyping import Float

from flowcheck.measures.readings import largest, smallest
from flowcheck.measures.refinement import Refined
from flowcheck.papers.two_homogeneous import kink_example
from flowcheck.papers.two_homogeneous.kink_example import BRANCHING, CORNER
from flowcheck.pipeline.evidence import Found, Measurement

DELTAS = np.append(np.geomspace(1e-12, 0.05, 24), [0.08, 0.0999])
SMOOTH_DELTAS = DELTAS[DELTAS <= 0.01]
SMALLEST_MOVING = 1e-9
"""Below it a flow over time 0.3 starts within a thousand tolerances of the kink."""
TIMES = np.linspace(0.0, 0.3, 301)
AT = int(np.argmin(np.abs(TIMES - 0.1)))
GRADIENT = 16 * sys.float_info.epsilon
"""Rounding of a gradient of g, or of a quotient of its entries and delta: eight roundings of numbers up to 2.4, at most."""


def lemma_i1() -> Found:
    """0 is in the subdifferential of g at [1, 0]; gradients at [1 + delta, delta] have norm 1 or more."""
    around, smooth = BRANCHING + DELTAS[:, None], CORNER + SMOOTH_DELTAS[:, None]
    ends = kink_example.loss_subdifferential(np.stack([BRANCHING, around[-1]]), 1.0)
    critical, off_kink = kink_example.distance_to_segment(np.zeros((2, 2)), ends)
    norms, smooth_norms = (np.linalg.norm(kink_example.loss_subdifferential(u, 1.0)[:, 0], axis=-1) for u in (around, smooth))
    return {
        # the set is {0} x [-2, 2], whole numbers
        "i1_zero_distance": Measurement.exact(critical, 1),
        "i1_zero_distance_off_kink": Measurement(off_kink, GRADIENT, n=1),
        "i1_norm_min": smallest(norms, GRADIENT),
        "i1_norm_min_smooth_saddle": smallest(smooth_norms, GRADIENT),
    }


def lemma_i2() -> Found:
    """The flow of g from [1 + delta, delta] is 0.09 away at time 0.1, and leaves the box S of the proof no earlier."""
    deltas = DELTAS[DELTAS >= SMALLEST_MOVING]
    starts = [BRANCHING + deltas[:, None], CORNER + SMOOTH_DELTAS[:, None]]
    around, smooth = kink_example.at_two_tolerances(starts, TIMES, kink_example.descent_to(1.0))
    moved = Refined.of(*(np.linalg.norm(run.states[:, AT] - BRANCHING, axis=-1) for run in around))
    stayed = Refined.of(*(np.linalg.norm(run.states[:, AT] - CORNER, axis=-1) for run in smooth))
    return {
        "i_deltas": deltas,
        "i_moved": moved.value,
        "i_smooth_deltas": SMOOTH_DELTAS,
        "i_moved_smooth": stayed.value,
        "i2_displacement_min": moved.smallest(),
        "i2_displacement_max_smooth_saddle": stayed.largest(),
        # the exit lies in the step of the grid before it is seen
        "i2_exit_time_min": smallest(exit_times(around[0].states, deltas), TIMES[1]),
        **velocities(deltas),
    }


def exit_times(states: Float[np.ndarray, "s p 2"], deltas: Float[np.ndarray, " s"]) -> Float[np.ndarray, " s"]:
    """The first of `TIMES` at which a flow is outside of S = [0.8, 1.2] x [delta / 2, 0.35]; inf if there is none."""
    first, second = states[..., 0], states[..., 1]
    inside = (np.abs(first - 1) <= 0.2) & (second <= 0.35) & (second >= 0.5 * deltas[:, None])
    return np.where(inside.all(axis=1), np.inf, TIMES[np.argmin(inside, axis=1)])


def velocities(deltas: Float[np.ndarray, " s"]) -> Found:
    """Extremes of the velocities on S, Eqs. (93) and (94), the first over delta / 2."""
    box = np.stack(np.meshgrid(np.linspace(0.8, 1.2, 41), np.linspace(0.0, 1.0, 41)), axis=-1).reshape(1, -1, 2)
    low = 0.5 * deltas[:, None]
    u1, u2 = box[..., 0], low + box[..., 1] * (0.35 - low)
    first, second = -2 * u2 * (u1 * u2 - 1), -2 * u1 * (u1 * u2 - 1)
    return {
        "i2_first_velocity_ratio_min": smallest((first / low).min(axis=1), GRADIENT),
        "i2_first_velocity_max": largest(first.max(axis=1), GRADIENT),
        "i2_second_velocity_min": smallest(second.min(axis=1), GRADIENT),
        "i2_second_velocity_max": largest(second.max(axis=1), GRADIENT),
    }
