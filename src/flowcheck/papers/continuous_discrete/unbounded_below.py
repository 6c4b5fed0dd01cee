"""Propositions 6, 10 and 22: constructions along which the smallest eigenvalue of the Hessian goes to minus infinity."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from flowcheck.networks.linear import partial_products
from flowcheck.papers.continuous_discrete.training_loss import TrainingLoss

Point = Float[Tensor, " k"]


def proposition_6(rng: np.random.Generator, problem: TrainingLoss, c: float) -> tuple[Point, Point]:
    """A point and a direction of a linear network of depth 3 or more in which the Hessian's quotient is -c.

    Raises ValueError if the gradient of phi at zero vanishes, or no drawn direction has a component along it.
    """
    network = problem.network
    drawn = [torch.as_tensor(rng.standard_normal(tuple(layer.index.shape))) for layer in network.layers]
    gradient, _ = problem.slopes(torch.zeros(problem.samples, network.outputs_per_sample, dtype=problem.x.dtype))
    at_zero = gradient.T @ problem.x / problem.samples
    component = float((at_zero * partial_products(drawn)[-1]).sum())
    if component == 0:
        raise ValueError("the gradient of phi at zero vanishes along the drawn direction")
    if component < 0:
        drawn[0], component = -drawn[0], -component
    moved = float((drawn[0] ** 2).sum() + (drawn[1] ** 2).sum())
    zero = [torch.zeros_like(drawn[0]), torch.zeros_like(drawn[1])]
    point = [*zero, -c * moved / (2 * component) * drawn[2], *drawn[3:]]
    along = [drawn[0], drawn[1], *(torch.zeros_like(matrix) for matrix in drawn[2:])]
    return _flat(point), _flat(along)


def quotient(problem: TrainingLoss, point: Point, along: Point) -> float:
    """The Hessian's quotient in a direction, by two differentiations of the loss."""
    slope = torch.func.jvp(torch.func.grad(problem.at), (point,), (along,))[1]
    return float(along @ slope / (along @ along))


def proposition_10(problem: TrainingLoss, w: Point, a: float) -> tuple[Point, Point]:
    """The rescaled point and the direction of Propositions 10 and 22, at which the network's outputs tend to zero."""
    parts = problem.network.parts(w)
    point = [parts[0] / a**2, parts[1] / a**2, a * parts[2], *parts[3:]]
    along = [parts[0], parts[1], *(torch.zeros_like(part) for part in parts[2:])]
    return torch.cat(point), torch.cat(along)


def pull_at_zero(problem: TrainingLoss, w: Point) -> float:
    """The sum of Proposition 10's second condition: the loss's slopes at zero, along the outputs."""
    outputs = problem.outputs(w)
    gradient, _ = problem.slopes(torch.zeros_like(outputs))
    return float((gradient * outputs).sum())


def with_negative_pull(problem: TrainingLoss, w: Point) -> Point:
    """The point, or the same with its last layer negated, whose pull at zero is negative."""
    if pull_at_zero(problem, w) < 0:
        return w
    *lower, last = problem.network.parts(w)
    return torch.cat([*lower, -last])


def equation_56(problem: TrainingLoss, w: Point, a: float) -> tuple[float, float]:
    """The two terms of Eq. (56) and (86): their sum is the quotient's numerator at the rescaled point."""
    outputs = problem.outputs(w)
    gradient, hessian = problem.slopes(outputs / a**3)
    curved = torch.einsum("nc,ncd,nd->", outputs, hessian, outputs) * 4 / a**2
    return float(curved) / problem.samples, 2 * a * float((gradient * outputs).sum()) / problem.samples


def _flat(matrices: list[Tensor]) -> Point:
    return torch.cat([matrix.flatten() for matrix in matrices])
