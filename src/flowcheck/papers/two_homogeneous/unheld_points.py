r"""Controls of Theorem 5.5 of two_homogeneous: points that meet no hypothesis do not hold flows that start within delta of them.

The distance after a fixed time does not shrink with delta there.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from flowcheck.integration.initial_value import solve
from flowcheck.measures.readings import rate
from flowcheck.measures.refinement import Refined
from flowcheck.papers.homogeneous.near_saddles import labels
from flowcheck.pipeline.evidence import Found, Measurement
from flowcheck.saddles import departure
from flowcheck.saddles.saddle import Saddle

Field = Callable[[float, np.ndarray], np.ndarray]
KINK_TIME, BESIDE_TIME = 0.1, 0.03
ASIDE = 0.3
"""How far beside the saddle, along the first weight."""


def distance_after(
    time: float, field: Field, start: Float[np.ndarray, " k"], point: Float[np.ndarray, " k"], rtol: float
) -> float:
    """Of the flow from `start`, to `point`. Raises RuntimeError if the solver gives up."""
    what = "the flow from a point that meets no hypothesis"
    solution = solve(field, time, start, "DOP853", what=what, rtol=rtol, atol=rtol)
    return float(np.linalg.norm(solution.y[:, -1] - point))


def from_the_kink(deltas: Float[np.ndarray, " d"], rtol: float) -> Float[np.ndarray, " d"]:
    """Flows from (1, 0) + delta (1, 1) that lower (u1|u2| - 1)^2: (1, 0) is critical in Clarke's sense, and (15) fails there."""

    def field(_: float, u: np.ndarray) -> np.ndarray:
        return -2 * (u[0] * abs(u[1]) - 1) * np.array([abs(u[1]), u[0] * np.sign(u[1])])

    point = np.array([1.0, 0.0])
    return np.array([distance_after(KINK_TIME, field, point + delta * np.ones(2), point, rtol) for delta in deltas])


def from_beside(
    saddle: Saddle, direction: Float[np.ndarray, " k"], deltas: Float[np.ndarray, " d"], rtol: float
) -> Float[np.ndarray, " d"]:
    """Flows of the loss that leave a point beside the saddle, which is not critical, along `direction`."""
    y, split = labels(saddle), saddle.fitted.size
    beside = np.concatenate([saddle.weights, np.zeros(saddle.idle.size)])
    beside[0] += ASIDE

    def field(_: float, w: np.ndarray) -> np.ndarray:
        rest = y - saddle.fitted.outputs(w[:split]) - saddle.idle.outputs(w[split:])
        return np.concatenate([saddle.fitted.pull(w[:split], rest), saddle.idle.pull(w[split:], rest)])

    return np.array([distance_after(BESIDE_TIME, field, beside + delta * direction, beside, rtol) for delta in deltas])


def slopes(saddle: Saddle, direction: Float[np.ndarray, " k"], deltas: Float[np.ndarray, " d"]) -> Found:
    """Slopes of the distances against delta; 0 where nothing holds the flow, 1 at a saddle."""
    tolerances = (departure.RTOL, departure.COARSER * departure.RTOL)
    distances = {
        "kink": [from_the_kink(deltas, rtol) for rtol in tolerances],
        "beside": [from_beside(saddle, direction, deltas, rtol) for rtol in tolerances],
    }
    found: dict[str, np.ndarray | Measurement] = {}
    for name, (fine, coarse) in distances.items():
        logarithm = Refined.of(np.log(fine)[None], np.log(coarse)[None])
        slope = rate(np.log(deltas)[None], logarithm.value, logarithm.error, np.ones_like(logarithm.value, dtype=bool))
        found |= {f"stay_slope_{name}": slope, f"departure_{name}": fine, f"departure_{name}_coarse": coarse}
    return found
