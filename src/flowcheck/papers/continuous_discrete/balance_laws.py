r"""What gradient flow conserves (Du, Hu and Lee 2018), on which Propositions 8, 12 and 24 rest, and what breaks it.

Of linear networks $W_{j+1}^\top W_{j+1}-W_jW_j^\top$; of all homogeneous ones the differences of the layers' squared norms.
Layers that are linear in their weights but add biases keep neither; max pooling between layers keeps the second.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from flowcheck.integration.runge_kutta import RungeKutta
from flowcheck.measures import readings
from flowcheck.networks.tied import TiedNetwork
from flowcheck.papers.continuous_discrete.curvature_flows import Followed
from flowcheck.pipeline.evidence import Found

Layers = list[Tensor]
Drift = Callable[[TiedNetwork, Tensor], Tensor]
SHAPES = {"plain": ((4, 6), (4, 4), (1, 4)), "biases": ((4, 6), (4, 4), (1, 4)), "pooling": ((2, 3), (4, 4), (1, 4))}
"""Of the weights of three layers; with pooling the first row of each is one filter."""
TIME, STEPS, FLOWS = 2.0, (0.01, 0.02), 3


def balance(network: TiedNetwork, w: Float[Tensor, "p k"]) -> Float[Tensor, "p m"]:
    """All entries of W_{j+1}^T W_{j+1} - W_j W_j^T."""
    gaps = [upper.mT @ upper - lower @ lower.mT for lower, upper in itertools.pairwise(network.matrices(w))]
    return torch.cat([gap.flatten(start_dim=1) for gap in gaps], dim=1)


def norm_gaps(network: TiedNetwork, w: Float[Tensor, "p k"]) -> Float[Tensor, "p m"]:
    """The squared norm of each layer's weights minus that of the first."""
    squares = torch.stack([(part**2).sum(dim=1) for part in network.parts(w)], dim=1)
    return squares[:, 1:] - squares[:, :1]


def drift(flow: Followed, law: Drift) -> tuple[float, float]:
    """How far a conserved quantity moves along a flow, over the largest squared norm of the weights, and its error.

    The error is the change of that drift between the two tolerances.
    """
    found = [_drift(law(flow.problem.network, points), points) for points in (flow.fine, flow.coarse)]
    return found[0], max(abs(found[0] - found[1]), 1e-16)


def _drift(values: Float[Tensor, "p m"], points: Float[Tensor, "p k"]) -> float:
    return float((values - values[0]).abs().max() / (points**2).sum(dim=1).max())


def with_biases_and_pooling(rng: np.random.Generator, draws: int) -> Found:
    """Linear networks with biases and without along their flows; ReLU networks with either and with pooling at random points.

    The rate of a difference of squared norms is that of the flow, over the sum of the layers' own rates without their signs.
    """
    x, y, found = torch.as_tensor(rng.standard_normal((6, 6))), torch.as_tensor(rng.standard_normal(6)), {}
    for kind, shapes in SHAPES.items():
        starts = torch.as_tensor(0.5 * rng.standard_normal((draws, _size(shapes, kind == "biases"))))
        pick, end = (readings.median, "median") if kind == "biases" else (readings.largest, "max")
        found[f"rate_{kind}_{end}"] = pick(_rates(kind, starts, x, y), 1e-14)
        if kind != "pooling":
            fine, coarse = (_drifts(kind, starts[:FLOWS], x, y, step) for step in STEPS)
            found[f"drift_{kind}_{end}"] = pick(fine, np.maximum(np.abs(fine - coarse), 1e-16))
    return found


def _size(shapes: tuple[tuple[int, int], ...], biases: bool) -> int:
    return sum(rows * columns + biases * rows for rows, columns in shapes)


def _layers(w: Tensor, shapes: tuple[tuple[int, int], ...]) -> tuple[Layers, Tensor]:
    """The matrices, and what is left: the biases, if there are any."""
    sizes = [rows * columns for rows, columns in shapes]
    *parts, rest = torch.split(w, [*sizes, len(w) - sum(sizes)])
    return [part.view(shape) for part, shape in zip(parts, shapes, strict=True)], rest


def _outputs(kind: str, w: Tensor, x: Float[Tensor, "n d"], below: float) -> Float[Tensor, " n"]:
    """Of three layers; with pooling the first is a convolution of width 3, of whose 4 positions pairs are pooled."""
    (first, second, last), rest = _layers(w, SHAPES[kind])
    if kind == "pooling":
        windows = torch.nn.functional.conv1d(x[:, None, :], first[:, None, :])  # [n, 2, 4]
        units = torch.nn.functional.max_pool1d(torch.nn.functional.leaky_relu(windows, below), 2).flatten(start_dim=1)
    else:
        units = torch.nn.functional.leaky_relu(x @ first.T + (rest[: len(first)] if kind == "biases" else 0.0), below)
    middle, end = (rest[len(first) : -1], rest[-1]) if kind == "biases" else (0.0, 0.0)
    return (torch.nn.functional.leaky_relu(units @ second.T + middle, below) @ last.T).squeeze(-1) + end


def _pull(kind: str, x: Tensor, y: Tensor, below: float) -> Callable[[Tensor], Tensor]:
    """The velocity of the flow of the mean square loss, for many weights."""

    def gain(w: Tensor) -> Tensor:
        return -((_outputs(kind, w, x, below) - y) ** 2).mean() / 2

    pull: Callable[[Tensor], Tensor] = torch.func.vmap(torch.func.grad(gain))
    return pull


def _rates(kind: str, points: Float[Tensor, "s k"], x: Tensor, y: Tensor) -> Float[np.ndarray, " s"]:
    """Largest rate of a difference of squared norms, relative, of ReLU networks."""
    velocity = _pull(kind, x, y, 0.0)(points)
    rates = []
    for w, v in zip(points, velocity, strict=True):
        of_layers = torch.stack([2 * (a * b).sum() for a, b in zip(*(_layers(z, SHAPES[kind])[0] for z in (w, v)), strict=True)])
        rates.append(float((of_layers[1:] - of_layers[:1]).abs().max() / of_layers.abs().sum().clamp_min(1e-300)))
    return np.array(rates)


def _drifts(kind: str, starts: Float[Tensor, "s k"], x: Tensor, y: Tensor, step: float) -> Float[np.ndarray, " s"]:
    """Drift along the flow of linear networks to TIME, over the largest squared norm, by steps of fixed length."""
    pull = _pull(kind, x, y, 1.0)
    method, w, path = RungeKutta(5, starts), starts, [starts]
    for _ in range(round(TIME / step)):
        w = method.advance(pull, w, pull(w), starts.new_full((len(starts),), step)).end
        path.append(w)
    points = torch.stack(path, dim=1)
    squares = torch.func.vmap(lambda one: torch.stack([(layer**2).sum() for layer in _layers(one, SHAPES[kind])[0]]))
    found = [_drift(values[:, 1:] - values[:, :1], run) for values, run in ((squares(run), run) for run in points)]
    return np.array(found)
