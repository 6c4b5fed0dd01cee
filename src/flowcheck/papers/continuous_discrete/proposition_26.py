"""Propositions 25 and 26: around almost every point the loss is that of a network with fixed slopes, Eq. (15) and (29)."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from flowcheck.papers.continuous_discrete.training_loss import TrainingLoss

LARGEST_SCALE = 3.0
"""Powers of ten by which layers are rescaled."""
BISECTIONS = 40


def radius(problem: TrainingLoss, w: Float[Tensor, " k"]) -> float:
    """Of a ball around a point in which no pre-activation changes its sign; found by bisection on what is surely such a ball.

    A unit all of whose inputs are zero has the pre-activation zero whatever its weights: that is no kink.
    """
    low, high = 0.0, float(torch.linalg.norm(w))
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if _keeps_signs(problem, w, middle) else (low, middle)
    return low


def _keeps_signs(problem: TrainingLoss, w: Float[Tensor, " k"], moved: float) -> bool:
    """Whether layers that move by at most this much can change no pre-activation by as much as its size."""
    network, units = problem.network, problem.x.mT
    change = torch.zeros(problem.samples, dtype=w.dtype)
    for layer, matrix in zip(network.layers[:-1], network.matrices(w)[:-1], strict=True):
        z = matrix @ units
        length = torch.linalg.norm(units, dim=0)
        change = torch.linalg.matrix_norm(matrix, 2) * change + layer.operator_norm * moved * (length + change)
        alive = (matrix.abs() @ units.abs()) > 0
        if bool((alive & (z.abs() <= change)).any()):
            return False
        units, change = network.activation(z), network.steepest * change
    return True


def rescaled(problem: TrainingLoss, w: Float[Tensor, " k"], factors: Float[np.ndarray, " n"]) -> Float[Tensor, " k"]:
    """The point with each layer multiplied by a positive factor."""
    return torch.cat([factor * part for factor, part in zip(factors.tolist(), problem.network.parts(w), strict=True)])


def gap(problem: TrainingLoss, at: Float[Tensor, " k"], pattern_of: Float[Tensor, " k"]) -> float:
    """Relative distance of the outputs at one point from those with the slopes of another."""
    outputs = problem.outputs(at)
    linear = problem.linearised(at, problem.pattern(pattern_of))
    scale = max(float(outputs.abs().max()), float(linear.abs().max()), 1e-300)
    return float((outputs - linear).abs().max()) / scale


def gaps(rng: np.random.Generator, problem: TrainingLoss, w: Float[Tensor, " k"]) -> dict[str, float]:
    """At the point, at a random positive rescaling of its layers, in its ball, and far away: the last must differ."""
    factors = 10 ** rng.uniform(-LARGEST_SCALE, LARGEST_SCALE, len(problem.network.layers))
    direction = torch.as_tensor(rng.standard_normal(len(w)))
    direction = direction / torch.linalg.norm(direction)
    inside = 0.99 * radius(problem, w)
    return {
        "here": gap(problem, w, w),
        "rescaled": gap(problem, rescaled(problem, w, factors), w),
        "inside": gap(problem, w + inside * direction, w),
        "elsewhere": gap(problem, torch.as_tensor(rng.standard_normal(len(w))), w),
    }


def on_a_kink(problem: TrainingLoss, w: Float[Tensor, " k"]) -> float:
    """The control: a weight of the first layer is moved so that one pre-activation is zero, and slopes change beside it.

    Returns the gap between the two sides: where a region exists it is zero.
    """
    first = problem.network.layers[0]
    row, sample = 0, 0
    column = int((first.index[row] >= 0).nonzero()[0, 0])
    weight = int(first.index[row, column])
    z = float((problem.network.matrices(w)[0][row] * problem.x[sample]).sum())
    at = w.clone()
    at[weight] -= z / problem.x[sample, column]
    size = 1e-3 * float(at.abs().max())
    beside, other = at.clone(), at.clone()
    beside[weight] += size / float(problem.x[sample, column])
    other[weight] -= size / float(problem.x[sample, column])
    return gap(problem, beside, other)
