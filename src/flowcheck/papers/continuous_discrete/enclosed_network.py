r"""Theorem 3 for a network of two tanh units, with $\beta$, $\gamma$ and $m$ enclosed by interval arithmetic.

Each interval of time has a box that holds the flow during it and the ball of radius epsilon around it; gradient and Hessian are
evaluated on the box. What is not enclosed is the flow at the ends of intervals, which an integrator gives to 1e-11.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from mpmath import iv

from flowcheck.curvature.dense import smallest_eigenvalue
from flowcheck.measures import readings
from flowcheck.papers.continuous_discrete.beside_the_flow import ADMITTED, Instance
from flowcheck.papers.continuous_discrete.theorem_2 import POINTS, VALUES, smooth_network
from flowcheck.papers.continuous_discrete.theorem_3 import integrated, pushed
from flowcheck.pipeline.evidence import Found

RTOL = 1e-12
FLOW_ERROR = 1e-10
"""Added to each box for the error of the integrator, which is below it by its tolerance."""
UNITS, INPUTS = 2, 2
WIDER, ROOMS = 1.1, 10
"""How much wider the next box is than the last one asks for, and how many are tried."""
LARGE_STEP = 1.0
"""Of the control."""


@dataclass(frozen=True)
class Box:
    """What holds for all weights of a box: upper bounds of |gradient|, of |Hessian| and of minus its smallest eigenvalue."""

    slope: float
    smoothness: float
    growth: float


def enclose(centre: Float[np.ndarray, " 6"], reach: float) -> Box:
    """For all weights whose coordinates differ from those of the centre by at most `reach`.

    A symmetric matrix differs from the middle of its enclosure by one whose norm is at most that of the radii.
    """
    w = [iv.mpf([float(c - reach), float(c + reach)]) for c in centre]
    rows, v = (w[:INPUTS], w[INPUTS : 2 * INPUTS]), w[2 * INPUTS :]
    size, zero = len(w), iv.mpf(0)
    gradient, second = [zero] * size, [[zero] * size for _ in range(size)]
    for x, y in zip(POINTS, VALUES, strict=True):
        value = [1 - 2 / (iv.exp(2 * sum(a * b for a, b in zip(row, x, strict=True))) + 1) for row in rows]
        first = [1 - t**2 for t in value]
        residual = sum(a * t for a, t in zip(v, value, strict=True)) - y
        pull: list[Any] = [v[j] * first[j] * x[k] for j in range(UNITS) for k in range(INPUTS)] + value
        for a in range(size):
            gradient[a] += residual * pull[a] / len(POINTS)
            for b in range(a + 1):
                second[a][b] += (pull[a] * pull[b] if a != b else pull[a] ** 2) / len(POINTS)
        for j in range(UNITS):
            bend = -2 * value[j] * first[j] * v[j]
            for k in range(INPUTS):
                for other in range(k + 1):
                    second[INPUTS * j + k][INPUTS * j + other] += residual * bend * (x[k] * x[other]) / len(POINTS)
                second[2 * INPUTS + j][INPUTS * j + k] += residual * first[j] * x[k] / len(POINTS)
    low, high = (np.array([[float(getattr(entry, end)) for entry in row] for row in second]) for end in ("a", "b"))
    middle, radii = (low + high) / 2, (high - low) / 2
    middle, radii = (m + np.tril(m, -1).T for m in (middle, radii))
    values = np.linalg.eigvalsh(middle)
    spread = float(np.linalg.norm(radii)) + 1e-12  # and the rounding of the eigenvalues
    steep = np.array([max(abs(float(entry.a)), abs(float(entry.b))) for entry in gradient])
    return Box(float(np.linalg.norm(steep)) * (1 + 1e-12), float(np.abs(values).max()) + spread, spread - float(values[0]))


def _box_around(here: Float[np.ndarray, " 6"], radius: float, duration: float) -> Box:
    """What holds within the radius of the flow for this long after it is here.

    It cannot get farther than `room` if the slope on the box of that room is at most `room` over the duration. Raises ValueError
    if no such room is found.
    """
    room = 0.0
    for _ in range(ROOMS):
        box = enclose(here, radius + room + FLOW_ERROR)
        if box.slope * duration <= room:
            return box
        room = WIDER * box.slope * duration
    raise ValueError(f"no box holds the flow for {duration:g}; intervals must be shorter")


def _gradient(w: Float[np.ndarray, "r 6"]) -> Float[np.ndarray, "r 6"]:
    x, y = np.array(POINTS), np.array(VALUES)
    value = np.tanh(np.einsum("rjk,sk->rsj", w[:, : 2 * INPUTS].reshape(-1, UNITS, INPUTS), x))
    v = w[:, 2 * INPUTS :]
    residual = (np.einsum("rsj,rj->rs", value, v) - y) / len(y)
    rows = np.einsum("rs,rsj,rj,sk->rjk", residual, 1 - value**2, v, x).reshape(len(w), -1)
    return np.concatenate([rows, np.einsum("rs,rsj->rj", residual, value)], axis=1)


def instance(start: Float[np.ndarray, " 6"], radius: float, until: float, intervals: int) -> tuple[Instance, list[Box]]:
    """The network from this start, with what is enclosed."""
    flow = integrated(_gradient, start, RTOL)
    times = np.linspace(0.0, until, intervals + 1)
    path = flow(times)
    boxes = [_box_around(here, radius, until / intervals) for here in path[:-1]]
    found = Instance(
        "smooth network, enclosed",
        _gradient,
        flow,
        times,
        np.array([box.growth for box in boxes]),
        max(box.smoothness for box in boxes),
        max(box.slope for box in boxes),
        radius,
        np.zeros(len(start)),
    )
    return found, boxes


def _sampled_excess(rng: np.random.Generator, one: Instance, growth: Float[np.ndarray, " i"], draws: int) -> float:
    """Minus the smallest eigenvalue at points on the sphere around the flow, over m there: the largest difference."""
    path = one.flow(one.times)[:-1]
    direction = rng.standard_normal((draws, len(path), path.shape[1]))
    points = path + one.radius * direction / np.linalg.norm(direction, axis=2, keepdims=True)
    values = smallest_eigenvalue(smooth_network, torch.as_tensor(points.reshape(-1, path.shape[1])))
    return float((-values.numpy().reshape(draws, -1) - growth).max())


def enclosed(rng: np.random.Generator, draws: int, radius: float, until: float, intervals: int) -> Found:
    """Distances over the radius at the admitted step and beyond, from random starts, with and without an offset."""
    ratios, beyond, inside, outside, loose = [], [], [], [], []
    for _ in range(draws):
        start = 0.7 * rng.standard_normal(6)
        one, _ = instance(start, radius, until, intervals)
        bare = np.array([enclose(point, 1e-9).growth for point in one.flow(one.times)[:-1]])
        inside.append(_sampled_excess(rng, one, one.growth, 20))
        outside.append(_sampled_excess(rng, one, bare, 20))
        for push in (0.0, 0.5):
            moved = pushed(one, push)
            far = moved.deviations(np.array([ADMITTED * moved.admitted, LARGE_STEP])) / radius
            ratios.append(far[0])
            beyond.append(far[1])
        loose.append(one.following(LARGE_STEP) / one.admitted)
    return {
        "theorem3_enclosed_ratio_max": readings.largest(np.array(ratios), 1e-7),
        "theorem3_enclosed_large_step_ratio_min": readings.smallest(np.array(beyond), 1e-6),
        "theorem3_enclosed_curvature_excess_max": readings.largest(np.array(inside), 1e-9),
        "theorem3_bare_curvature_excess_min": readings.smallest(np.array(outside), 1e-9),
        "theorem3_enclosed_looseness": np.array(loose),
    }
