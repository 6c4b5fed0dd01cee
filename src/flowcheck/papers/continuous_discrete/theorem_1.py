"""Theorem 1, quoted: solutions exist, are unique, and end only by leaving every bounded set; and a field where that fails.

The solutions of two integrators stand for "any other solution"; one that starts again on the way stands for maximality.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from flowcheck.integration import initial_value
from flowcheck.measures import readings
from flowcheck.papers.continuous_discrete.theorem_2 import System
from flowcheck.pipeline.evidence import Found, Measurement

RTOL, COARSE_RTOL = 1e-12, 1e-10
MOMENTS = 21
NEAR = 1e-10
"""How far apart two starts are that stand for one: twice the least that the tolerance tells apart."""
BLOW_UP_STARTS, FAR = (0.5, 1.0, 4.0), 1e8
"""Of x' = x^2, which reaches the norm R at the time 1 / x0 - 1 / R."""
BRANCHING_END = 2.0
"""Of x' = sqrt|x| from 0, which has the solutions 0 and t^2 / 4."""


def existence(systems: Sequence[System]) -> Found:
    """Distances between two integrators, between a solution and one that starts on it, and between starts that nearly agree."""
    other, restarted, apart, error = [], [], [], []
    for system in systems:
        times = np.linspace(0.0, system.end, MOMENTS)
        fine = system.integrated(times, RTOL)
        error.append(np.abs(fine - system.integrated(times, COARSE_RTOL)).max() + 1e-14)
        other.append(np.abs(system.integrated(times, RTOL, "LSODA") - fine).max())
        half = MOMENTS // 2
        again = system.integrated(times[half:] - times[half], RTOL, start=fine[half], begins=times[half])
        restarted.append(np.abs(again - fine[half:]).max())
        moved = system.integrated(times, RTOL, start=system.start + NEAR)
        apart.append(np.abs(moved - fine).max())
    gaps = [abs(_reaches(start, FAR, RTOL) - 1 / start) * start for start in BLOW_UP_STARTS]
    errors = [abs(_reaches(start, FAR, RTOL) - _reaches(start, FAR, COARSE_RTOL)) * start + 1e-15 for start in BLOW_UP_STARTS]
    return {
        "theorem1_integrators_gap_max": readings.largest(np.array(other), np.array(error)),
        "theorem1_restart_gap_max": readings.largest(np.array(restarted), np.array(error)),
        "theorem1_near_starts_gap_max": readings.largest(np.array(apart), np.array(error)),
        "theorem1_blow_up_gap_max": readings.largest(np.array(gaps), np.array(errors)),
        "theorem1_branching_gap": _branching(),
    }


def _reaches(start: float, norm: float, rtol: float) -> float:
    """When x' = x^2 reaches this norm, integrated in the time ds = |x| dt, in which it grows as e^s and never blows up."""

    def rates(_: float, state: Float[np.ndarray, " 2"]) -> np.ndarray:
        return np.array([state[0], 1 / state[0]])

    state = initial_value.solve(rates, float(np.log(norm / start)), np.array([start, 0.0]), "DOP853", rtol=rtol, atol=1e-14).y
    return float(state[1, -1])


def _branching() -> Measurement:
    """How far the solution of x' = sqrt|x| from NEAR is from the one from 0, which stays there."""

    def far(rtol: float) -> float:
        def rates(_: float, x: np.ndarray) -> np.ndarray:
            return np.sqrt(np.abs(x))

        ends = [
            initial_value.solve(rates, BRANCHING_END, np.array([start]), "DOP853", rtol=rtol, atol=1e-3 * rtol).y[0, -1]
            for start in (NEAR, 0.0)
        ]
        return float(ends[0] - ends[1])

    fine = far(RTOL)
    return Measurement(fine, abs(fine - far(COARSE_RTOL)) + 1e-12)
