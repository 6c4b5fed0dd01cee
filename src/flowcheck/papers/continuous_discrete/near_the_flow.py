r"""Lemmas 60 to 64: the loss of a deep linear network near the flow from a balanced start.

Points of the flow are balanced layers of rank one with its end-to-end vector. Points near them are drawn, and then moved uphill
so that each inequality comes as close to failing as it can within the neighbourhood.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from flowcheck.curvature.dense import hessian_at, smallest_eigenvalue_at
from flowcheck.measures import readings
from flowcheck.networks.linear import balanced_weights, partial_products
from flowcheck.papers.continuous_discrete.end_to_end_flow import start_at
from flowcheck.papers.continuous_discrete.reparameterised_flow import ReparameterisedFlow
from flowcheck.pipeline.evidence import Found

CLOCK_END, MOMENTS = 8.0, 9
ASCENT_STEPS, ASCENT_RATE = 40, 0.3
"""Of the search for points where an inequality is tight, and its step in units of the radius."""
ROUNDING = 1e-12
"""Of eigenvalues of matrices with some twenty rows, relative to their norms, which are of order one."""


@dataclass(frozen=True)
class DeepLinear:
    """Half the squared distance of the end-to-end vector of layers of one width from a target of length one, Eq. (20)."""

    depth: int
    inputs: int
    width: int
    target: Float[Tensor, " d"]

    @property
    def shapes(self) -> list[tuple[int, int]]:
        """Of W_1, ..., W_n."""
        return [(self.width, self.inputs), *[(self.width, self.width)] * (self.depth - 2), (1, self.width)]

    def layers(self, w: Float[Tensor, " k"]) -> list[Tensor]:
        """One flat point as layers."""
        parts = torch.split(w, [rows * columns for rows, columns in self.shapes])
        return [part.reshape(shape) for part, shape in zip(parts, self.shapes, strict=True)]

    def end_to_end(self, w: Float[Tensor, " k"]) -> Float[Tensor, " d"]:
        """W_n ... W_1."""
        product: Tensor = partial_products(self.layers(w))[-1]
        return product[0]

    def loss(self, w: Float[Tensor, " k"]) -> Tensor:
        """Above its minimum."""
        return ((self.end_to_end(w) - self.target) ** 2).sum() / 2


Ratio = Callable[[DeepLinear, Tensor, Tensor, float], Tensor]
"""(network, point [k], nearest point of the flow [k], radius) -> what is bounded over its bound, at most 1."""


def _products(network: DeepLinear, w: Tensor, count: int) -> Tensor:
    """The largest product of the Frobenius norms of `count` layers."""
    norms = torch.stack([torch.linalg.norm(layer) for layer in network.layers(w)])
    return torch.topk(norms, count).values.prod() if count else torch.ones((), dtype=w.dtype)


def _gradient(network: DeepLinear, w: Tensor) -> Tensor:
    return torch.linalg.norm(network.end_to_end(w) - network.target)


def lemma_61_product(network: DeepLinear, w: Tensor, flow: Tensor, radius: float) -> Tensor:
    """Lemma 61 (i): the change of the end-to-end vector."""
    here, there = network.end_to_end(w), network.end_to_end(flow)
    length = torch.linalg.norm(there)
    return torch.linalg.norm(here - there) / ((length ** (1 / network.depth) + radius) ** network.depth - length)


def lemma_61_gradient(network: DeepLinear, w: Tensor, flow: Tensor, radius: float) -> Tensor:
    """Lemma 61 (ii): the gradient of phi."""
    return _gradient(network, w) / (_gradient(network, flow) + 2 * network.depth * radius)


def lemma_61_layers(network: DeepLinear, w: Tensor, flow: Tensor, radius: float) -> Tensor:
    """Lemma 61 (iii), for all layers but one: products of their norms."""
    bound = torch.linalg.norm(network.end_to_end(flow)) + 2 * network.depth * radius
    return _products(network, w, network.depth - 1) / bound ** ((network.depth - 1) / network.depth)


def lemma_62_hessian(network: DeepLinear, w: Tensor, flow: Tensor, radius: float) -> Tensor:
    """Lemma 62 (i): the spectral norm of the Hessian at any point."""
    n = network.depth
    bound = n * _products(network, w, n - 1) ** 2 + 2 * n * _gradient(network, w) * _products(network, w, n - 2)
    return torch.linalg.matrix_norm(hessian_at(network.loss, w), 2) / bound


def lemma_62_gradient(network: DeepLinear, w: Tensor, flow: Tensor, radius: float) -> Tensor:
    """Lemma 62 (ii): the length of the gradient at any point."""
    n = network.depth
    slope = torch.linalg.norm(torch.func.grad(network.loss)(w))
    return slope / (n**0.5 * _gradient(network, w) * _products(network, w, n - 1))


def lemma_63_hessian(network: DeepLinear, w: Tensor, flow: Tensor, radius: float) -> Tensor:
    """Lemma 63: the Hessian in the neighbourhood of the flow, against 16 n."""
    return torch.linalg.matrix_norm(hessian_at(network.loss, w), 2) / (16 * network.depth)


def lemma_63_gradient(network: DeepLinear, w: Tensor, flow: Tensor, radius: float) -> Tensor:
    """Lemma 63: the gradient there, against 6 sqrt(n)."""
    return torch.linalg.norm(torch.func.grad(network.loss)(w)) / (6 * network.depth**0.5)


def lemma_64(network: DeepLinear, w: Tensor, flow: Tensor, radius: float) -> Tensor:
    """Lemma 64: minus the smallest eigenvalue of the Hessian, against Eq. (71)."""
    n = network.depth
    length = torch.linalg.norm(network.end_to_end(flow)) + 2 * n * radius
    bound = (n - 1) * (_gradient(network, flow) + 2 * n * radius) * length ** (1 - 2 / n)
    return -smallest_eigenvalue_at(network.loss, w) / bound


def _with_radius(ratio: Ratio, share: float) -> Ratio:
    """A control: the same bound for a neighbourhood of this share of the radius, asked for in the whole of it."""
    return lambda network, w, flow, radius: ratio(network, w, flow, share * radius)


def _times(ratio: Ratio, factor: float) -> Ratio:
    """A control: the same with the bound divided by this factor."""
    return lambda network, w, flow, radius: factor * ratio(network, w, flow, radius)


RATIOS: dict[str, Ratio] = {
    "lemma61_product": lemma_61_product,
    "lemma61_gradient": lemma_61_gradient,
    "lemma61_layers": lemma_61_layers,
    "lemma62_hessian": lemma_62_hessian,
    "lemma62_gradient": lemma_62_gradient,
    "lemma63_hessian": lemma_63_hessian,
    "lemma63_gradient": lemma_63_gradient,
    "lemma64": lemma_64,
    "lemma61_product_quarter_radius": _with_radius(lemma_61_product, 0.25),
    "lemma61_layers_without_radius": _with_radius(lemma_61_layers, 0.0),
    "lemma62_hessian_half": _times(lemma_62_hessian, 2.0),
    "lemma62_gradient_half": _times(lemma_62_gradient, 2.0),
    "lemma63_hessian_n": _times(lemma_63_hessian, 16.0),
    "lemma63_gradient_half_root": _times(lemma_63_gradient, 12.0),
    "lemma64_without_radius": _with_radius(lemma_64, 0.0),
}


def near_the_flow(
    rng: np.random.Generator, depths: Sequence[int], nus: Sequence[float], norm: float, inputs: int, width: int
) -> Found:
    """The largest ratio of each inequality over points within 1 / 2n of flows from this length and these cosines."""
    worst: dict[str, list[Float[np.ndarray, " p"]]] = {name: [] for name in RATIOS}
    for depth in depths:
        for nu in nus:
            target = rng.standard_normal(inputs)
            target /= np.linalg.norm(target)
            network = DeepLinear(depth, inputs, width, torch.as_tensor(target))
            flow = torch.as_tensor(np.stack(_points(rng, depth, nu, norm, target, width)))
            radius = 1 / (2 * depth)
            direction = torch.as_tensor(rng.standard_normal(flow.shape))
            drawn = flow + radius * direction / torch.linalg.norm(direction, dim=1, keepdim=True)
            for name, ratio in RATIOS.items():
                worst[name].append(_uphill(network, ratio, drawn, flow, radius))
    return {f"{name}_max": readings.largest(np.concatenate(values), ROUNDING) for name, values in worst.items()}


def _points(
    rng: np.random.Generator, depth: int, nu: float, norm: float, target: Float[np.ndarray, " d"], width: int
) -> list[Float[np.ndarray, " k"]]:
    """Points of one flow, flat: its directions between layers do not move, and its end-to-end vector is known exactly."""
    exact = ReparameterisedFlow(np.array([float(depth)]), np.array([nu]), np.array([norm]), CLOCK_END)
    begin = start_at(rng, target, nu, 1.0)
    across = begin - nu * target
    across /= max(float(np.linalg.norm(across)), 1e-300)
    layers_seed = int(rng.integers(2**31))
    found = []
    for k in np.unique(np.linspace(0, len(exact.times) - 1, MOMENTS).astype(int)):
        away = float(exact.one_minus_nu(exact.times[k : k + 1])[0, 0])
        cosine = 1 - away
        u = float(exact.norm[0, k]) * (cosine * target + np.sqrt(away * (1 + cosine)) * across)
        layers = balanced_weights(u, [width] * (depth - 1), np.random.default_rng(layers_seed))
        found.append(np.concatenate([layer.ravel() for layer in layers]))
    return found


def _uphill(network: DeepLinear, ratio: Ratio, drawn: Tensor, flow: Tensor, radius: float) -> Float[np.ndarray, " p"]:
    """The largest ratio met on an ascent that stays within the radius of the flow's point."""

    def value(w: Tensor, nearest: Tensor) -> Tensor:
        return ratio(network, w, nearest, radius)

    best = torch.full((len(drawn),), -torch.inf, dtype=drawn.dtype)
    w = drawn
    for _ in range(ASCENT_STEPS):
        slopes, values = torch.func.vmap(torch.func.grad_and_value(value))(w, flow)
        best = torch.maximum(best, values.nan_to_num(-torch.inf))
        length = torch.linalg.norm(slopes, dim=1, keepdim=True).clamp_min(1e-300)
        moved = w + ASCENT_RATE * radius * (slopes / length).nan_to_num(0.0) - flow
        w = flow + moved * (radius / torch.linalg.norm(moved, dim=1, keepdim=True)).clamp(max=1.0)
    return best.numpy()


def lemma_60(points: int) -> Found:
    """(r^(1/n) + epsilon)^n <= r + 2 n epsilon for r <= 1 and epsilon <= 1 / 2n; for r = 5 it fails."""
    worst, long = [], []
    for n in range(2, 13):
        r = np.linspace(0.0, 1.0, points)[:, None]
        epsilon = np.geomspace(1e-6, 1.0, points)[None] / (2 * n)
        worst.append(((r ** (1 / n) + epsilon) ** n / (r + 2 * n * epsilon)).max())
        long.append(((5 ** (1 / n) + epsilon) ** n / (5 + 2 * n * epsilon)).max())
    return {
        "lemma60_ratio_max": readings.largest(np.array(worst), 1e-14),
        "lemma60_ratio_long_max": readings.largest(np.array(long), 1e-14),
    }
