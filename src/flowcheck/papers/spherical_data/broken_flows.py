"""Flows of full weights with one hypothesis broken: stretched points, unbalanced layers, flipped labels. All on the circle."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float

from flowcheck.measures.refinement import Refined
from flowcheck.networks import linear
from flowcheck.papers.spherical_data.full_weights import Accuracy, FullFlow, follow
from flowcheck.papers.spherical_data.population import TILTED, Array, law, planar_gradient
from flowcheck.pipeline.evidence import Found, Measurement

V = np.array([0.0, 1.0])
BESIDE_TILTED = 0.1 * np.array([[math.cos(0.01), -math.sin(0.01)], [math.sin(0.01), math.cos(0.01)]]) @ TILTED
"""A start nearly in that direction: on symmetric points the angle would only fall."""
TURNING, TURNING_START = (np.array([math.cos(angle), math.sin(angle)]) for angle in (0.47, 2.83))
"""Label-giving vector and start, found by search, of a norm that shrinks, grows and shrinks again on points stretched by ten."""


def planar_flow(
    weights: linear.Weights,
    v: Float[Array, " 2"],
    times: Float[Array, " p"],
    accuracy: Accuracy,
    stretch: float = 1.0,
    flip_probability: float = 0.0,
) -> FullFlow:
    """The flow on points of the circle stretched by diag(1, `stretch`), with a share of the labels flipped."""
    circle = law("circle")
    matrix = None if stretch == 1.0 else np.diag([1.0, stretch])

    def gradient(w: Array) -> Array:
        radii, shares = circle.radius_nodes, circle.radius_weights
        return planar_gradient(radii, shares, w, v, stretch=matrix, flip_probability=flip_probability, panels=accuracy.panels)

    return follow(circle, v, weights, times, accuracy, gradient)


def ellipse(weights: linear.Weights, times: Float[Array, " p"], accuracy: Accuracy) -> dict[str, Array | float]:
    """The cosine to `TILTED` on points stretched by three, and its largest fall below a value that it had before."""
    cosine = planar_flow(weights, TILTED, times, accuracy, stretch=3.0).cosine
    return {"ellipse_cosine": cosine, "ellipse_cosine_drop": (np.maximum.accumulate(cosine) - cosine).max()}


def turns(weights: linear.Weights, times: Float[Array, " p"], accuracy: Accuracy) -> int:
    """How often the norm turns between recorded points, with labels from `TURNING` on points stretched by ten."""
    norm = planar_flow(weights, TURNING, times, accuracy, stretch=10.0).norm
    return int(np.count_nonzero(np.diff(np.diff(norm) > 0)))


def unbalanced(weights: linear.Weights, times: Float[Array, " p"], accuracy: Accuracy) -> FullFlow:
    """From the first layer three times as large and the second a third: w_e is the same, and Eq. (13) is broken."""
    first, second, *rest = weights
    return planar_flow([3.0 * first, second / 3.0, *rest], V, times, accuracy)


def flipped_labels(accuracy: Accuracy) -> Found:
    """The late slope of the norm with a tenth of the labels flipped and with none, and whether it still shrinks."""
    found: dict[str, Measurement] = {}
    for key, share in (("flipped", 0.1), ("clean", 0.0)):
        slope = Refined.of(late_norm_slope(share, accuracy), late_norm_slope(share, accuracy.coarser)).number()
        found |= {f"norm_slope_{key}": slope, f"runs_not_growing_{key}": Measurement.count(slope.value < 0)}
    return found


def late_norm_slope(flip_probability: float, accuracy: Accuracy) -> float:
    """Slope of ln ‖w‖ against ln t from t = 200 to 1000, N = 1, from w(0) = 6 v.

    A tenth of the labels flipped pulls with 0.8 c0: from a large norm the flow then only shrinks, to a finite minimiser.
    """
    times = np.geomspace(1.0, 1e3, 40)
    times[0] = 0.0
    norm = planar_flow([6.0 * V[None]], V, times, accuracy, flip_probability=flip_probability).norm
    return math.log(norm[-1] / norm[-10]) / math.log(times[-1] / times[-10])
