"""Figure 5: pursuit of a small ReLU network on the cube, stage by stage."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float

from flowcheck.pursuit.candidates import Ascent
from flowcheck.pursuit.descent import Descent
from flowcheck.pursuit.grown import Grown
from flowcheck.pursuit.pursue import Plan, Pursuit, pursue

SIZE, SAMPLES, STARTS, RELEVANT = 20, 500, 5, 3
RECOVERED = 1e-3
"""Relative error on all vertices at which the target counts as recovered."""
CHUNK = 1 << 16


def target(x: Float[np.ndarray, "n d"]) -> Float[np.ndarray, " n"]:
    """The target of Figure 5, with relu for sigma: relu(relu(2 x1 + x3) - relu(x3 - x2)).

    >>> target(np.array([[1.0, 1.0, 1.0], [1.0, -1.0, 1.0], [-1.0, 1.0, 1.0]])).tolist()
    [3.0, 1.0, 0.0]
    """
    inner = np.maximum(2 * x[:, 0] + x[:, 2], 0.0) - np.maximum(x[:, 2] - x[:, 1], 0.0)
    return np.asarray(np.maximum(inner, 0.0))


def vertices(first: int, last: int, size: int = SIZE) -> Float[np.ndarray, "n d"]:
    """Vertices of the cube in lexicographic order, from (1, ..., 1).

    >>> vertices(0, 4, 2).tolist()
    [[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]]
    """
    bits = np.arange(first, last)[:, None] >> np.arange(size)[::-1] & 1
    return 1.0 - 2.0 * bits


def run(rng: np.random.Generator, seed: int, iterations: int, steps: int, step_size: float, shuffled: bool = False) -> Pursuit:
    """One pursuit on random vertices; with labels in random order, which have nothing to do with their inputs."""
    x = rng.choice([-1.0, 1.0], (SAMPLES, SIZE))
    y = rng.permutation(target(x)) if shuffled else target(x)
    plan = Plan(ascent=Ascent(starts=STARTS), inner=Descent(step_size=step_size, steps=steps))
    return pursue(x, y, depth=3, iterations=iterations, tolerance=1e-4, seed=seed, plan=plan)


def cube_error(grown: Grown) -> float:
    """Relative error on all vertices."""
    off = whole = 0.0
    for first in range(0, 1 << SIZE, CHUNK):
        x = vertices(first, first + CHUNK)
        y = target(x)
        off += float(((grown.predict(torch.from_numpy(x))[:, 0].numpy() - y) ** 2).sum())
        whole += float((y**2).sum())
    return float(np.sqrt(off / whole))


class Stage(NamedTuple):
    """First-layer weights on the other coordinates over those on the first three: largest over smallest, and as norms."""

    largest: float
    norm: float


def stage(rows: Float[np.ndarray, "k d"]) -> Stage:
    """Of neurons together: a coordinate counts by its largest weight."""
    size = np.abs(rows).max(axis=0)
    return Stage(
        float(size[RELEVANT:].max() / size[:RELEVANT].min()),
        float(np.linalg.norm(rows[:, RELEVANT:]) / np.linalg.norm(rows[:, :RELEVANT])),
    )
