"""Saddles near which Theorem 5.5 of two_homogeneous is tried: made by construction, and by Newton where units are too few.

Each draws its data from the generator that it is given.
"""

from __future__ import annotations

import math

import numpy as np

from flowcheck.data.synthetic import sphere_inputs
from flowcheck.networks.zoo import power_net, two_layer
from flowcheck.papers.two_homogeneous.kinked_saddle import kinked_relu
from flowcheck.saddles.saddle import Saddle, by_newton
from flowcheck.saddles.units import Units


def figure_4(rng: np.random.Generator) -> Saddle:
    """Ten units fit 5 max(0, x_1)^2; the residual 4 max(0, -x_1)^2 is left to ten units at zero."""
    x = sphere_inputs(rng, 50, 2).numpy()
    fitted, idle = (Units.of(power_net(10, 2, 2), x) for _ in range(2))
    return Saddle(fitted, idle, np.tile([math.sqrt(0.5), 0.0], 10), 4 * np.minimum(x[:, 0], 0) ** 2)


def partly_fitted(rng: np.random.Generator) -> Saddle:
    """Squared ReLU: two units fit a teacher of four, with signs of both kinds, as well as they can; two idle ones."""

    def draw(rng: np.random.Generator) -> tuple[Units, Units, np.ndarray]:
        x = sphere_inputs(rng, 30, 3).numpy()
        y = Units.of(power_net(4, 3, 2, signs=(1, 1, -1, 1)), x).outputs(rng.standard_normal(12))
        unit = Units.of(power_net(2, 3, 2, signs=(1, -1)), x)
        return unit, unit, y

    return by_newton(draw, rng)


def orthogonal_relu(rng: np.random.Generator) -> Saddle:
    """Two-layer ReLU on orthonormal inputs: one unit fits the first three labels and is inactive on the other two."""
    x = np.linalg.qr(rng.standard_normal((5, 5)))[0]
    labels, fits = np.array([1.0, 1.5, 0.5, 2.0, -1.0]), np.arange(5) < 3
    weights = np.append(np.where(fits, labels, -0.5) @ x, 1.0)
    return Saddle(Units.of(two_layer(1, 5), x), Units.of(two_layer(3, 5), x), weights, np.where(fits, 0.0, labels))


def smooth_relu(rng: np.random.Generator) -> Saddle:
    """Two-layer ReLU on two opposite cones of inputs: one unit fits the first, two idle ones meet positive labels on the second.

    With idle readouts that start positive no unit dies, and none slides along a kink.
    """
    side = np.repeat([1.0, -1.0], 6)[:, None]
    x = sphere_inputs(rng, 12, 3).numpy() + 2.5 * side * np.eye(3)[0]
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    weights = np.array([*(np.eye(3)[0] + 0.3 * rng.standard_normal(3)), 1.0])
    residual = np.where(side[:, 0] > 0, 0.0, rng.uniform(0.5, 1.5, 12))
    return Saddle(Units.of(two_layer(1, 3), x), Units.of(two_layer(2, 3), x), weights, residual)


def collapsing(rng: np.random.Generator) -> Saddle:
    """That of Figure 4 with one idle unit -(u.x)^2: its NCF is negative definite, so u goes to zero."""
    saddle = figure_4(rng)
    idle = Units.of(power_net(1, 2, 2, signs=(-1,), slope=1), saddle.idle.x)
    return Saddle(saddle.fitted, idle, saddle.weights, saddle.residual)


SYSTEMS = (figure_4, partly_fitted, orthogonal_relu, smooth_relu, collapsing, kinked_relu)
