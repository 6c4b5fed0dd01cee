"""Flows of full weights with one hypothesis broken: stretched points, unbalanced layers, flipped labels. All on the circle."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float

from flowcheck.networks import linear
from flowcheck.papers.spherical_data.full_weights import Accuracy, FullFlow, follow
from flowcheck.papers.spherical_data.population import TILTED, Array, law, planar_gradient

V = np.array([0.0, 1.0])
BESIDE_TILTED = 0.1 * np.array([[math.cos(0.01), -math.sin(0.01)], [math.sin(0.01), math.cos(0.01)]]) @ TILTED
"""A start nearly in that direction: on symmetric points the angle would only fall."""
TURNING, TURNING_START = (np.array([math.cos(angle), math.sin(angle)]) for angle in (0.47, 2.83))
"""Label-giving vector and start, found by search, of a norm that shrinks, grows and shrinks again on points stretched by ten."""
FLIPPED = 0.1
"""Share of the labels that are wrong."""


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


def turns(weights: linear.Weights, times: Float[Array, " p"], accuracy: Accuracy) -> dict[str, float]:
    r"""How often the norm turns between recorded points, with labels from `TURNING` on points stretched by ten, and the smallest
    slope of g at a turn over $\|\mathbf w_e\|^{2-2/N}\sin^2\theta/\pi^2$: negative where the norm turns back.

    2 g is the derivative of $\|\mathbf w_e\|^{2/N}$, taken between recorded points.
    """
    flow = planar_flow(weights, TURNING, times, accuracy, stretch=10.0)
    growth = 0.5 * np.diff(flow.norm ** (2 / flow.depth)) / np.diff(times)
    at = 1 + np.flatnonzero(np.diff(growth > 0))
    slope = np.diff(growth)[at - 1] / (times[at + 1] - times[at - 1]) * 2
    unit = flow.norm[at] ** (2 - 2 / flow.depth) * (1 - flow.cosine[at] ** 2) / math.pi**2
    return {"sign_changes": len(at), "growth_slope": (slope / unit).min()}


def unbalanced(weights: linear.Weights, times: Float[Array, " p"], accuracy: Accuracy) -> FullFlow:
    """From the first layer three times as large and the second a third: w_e is the same, and Eq. (13) is broken."""
    first, second, *rest = weights
    return planar_flow([3.0 * first, second / 3.0, *rest], V, times, accuracy)


def flipped(weights: linear.Weights, times: Float[Array, " p"], accuracy: Accuracy) -> FullFlow:
    """With a tenth of the labels flipped: of the pull towards v 0.8 are left."""
    return planar_flow(weights, V, times, accuracy, flip_probability=FLIPPED)


LATE = [-10, -1]
"""Records of `shrinking` between which late growth is read, t = 203 and 1000: at the last ones the norm moves by rounding."""


def shrinking(accuracy: Accuracy) -> FullFlow:
    """The flow for N = 1 from w = 6 v with a tenth of the labels flipped, to t = 1000.

    They pull with 0.8 c0: from a large norm the flow then only shrinks, to a finite minimiser.
    """
    return flipped([6.0 * V[None]], np.concatenate([[0.0], np.geomspace(1.0, 1e3, 40)]), accuracy)
