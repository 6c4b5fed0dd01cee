r"""Deep linear networks: end-to-end map, balancedness, layer gradients, and the flow of the full weights.

Weights are a list $[W_1,\dots,W_N]$ with $W_j$ of shape [..., k_j, k_{j-1}]; leading dimensions are a batch. The output is
scalar here, so $\mathbf w_e=(W_N\cdots W_1)^\top\in\mathbb R^d$. The functions work on numpy arrays and torch tensors alike.
"""

from __future__ import annotations

import itertools
import reprlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from flowcheck.arguments import TOLERANCE, finite_array, instance, number, wholes
from flowcheck.integration import initial_value

Array = np.ndarray
Weights = list[Any]


def partial_products(weights: Sequence[Any]) -> Weights:
    """W_1, W_2 W_1, ..., W_N ... W_1; the last one is w_e as a row."""
    return list(itertools.accumulate(weights, lambda below, layer: layer @ below))


def end_to_end(weights: Sequence[Any]) -> Any:
    """w_e = (W_N ... W_1)^T, shape [..., d]. Raises ValueError if the layers do not fit on each other.

    >>> end_to_end([np.array([[1.0, 2.0], [0.0, 1.0]]), np.array([[3.0, 4.0]])]).tolist()
    [3.0, 10.0]
    """
    return partial_products(check_layers(weights))[-1][..., 0, :]


def layer_gradients(weights: Sequence[Any], gradient: Any, products: Sequence[Any] | None = None) -> Weights:
    r"""$\partial L/\partial W_j=(W_N\cdots W_{j+1})^\top\,\nabla L(\mathbf w_e)^\top\,(W_{j-1}\cdots W_1)^\top$.

    `gradient` is ∇L(w_e), shape [..., d]; `products` are the partial products of the weights, where they are known.
    """
    below = partial_products(weights[:-1]) if products is None else products
    above, gradients = None, []
    for j in range(len(weights) - 1, -1, -1):
        row = gradient[..., None, :]
        row = row if j == 0 else row @ below[j - 1].mT
        gradients.append(row if above is None else above.mT @ row)
        if j > 0:
            above = weights[j] if above is None else above @ weights[j]
    return gradients[::-1]


def end_to_end_velocity(weights: Sequence[Any], gradient: Any) -> Any:
    """Velocity of w_e under the flow of the layers, by the product rule: nothing of Eq. (14) is presupposed.

    `gradient` is ∇L(w_e), shape [..., d].
    """
    velocities = [-g for g in layer_gradients(weights, gradient)]
    return sum(end_to_end([*weights[:j], velocities[j], *weights[j + 1 :]]) for j in range(len(weights)))


def balancedness_defect(weights: Sequence[Any]) -> Any:
    """Largest entry, over all j, of |W_{j+1}^T W_{j+1} - W_j W_j^T|: Eq. (13) as it must be read. Zero for one layer.

    >>> float(balancedness_defect([np.array([[1.0, 2.0]]), np.array([[3.0]])]))  # 3^2 - (1^2 + 2^2)
    4.0
    """
    defects = [abs(upper.mT @ upper - lower @ lower.mT).max() for lower, upper in itertools.pairwise(check_layers(weights))]
    return max(defects, default=0.0)


def balanced_weights(w_e: Float[Array, " d"], widths: Sequence[int], rng: np.random.Generator) -> Weights:
    """Rank-one balanced weights with end-to-end vector `w_e`; `widths` are the hidden widths k_1 ... k_{N-1}.

    Each layer has norm ‖w_e‖^{1/N}, which the paper's own recipe has only for ‖w_e‖ = 1. Raises ValueError if w_e = 0, or is no
    vector of finite numbers.
    """
    vector, hidden = finite_array("w_e", w_e), wholes("widths", widths, 1)
    instance("rng", rng, np.random.Generator)
    if vector.ndim != 1 or not vector.any():
        raise ValueError(f"a balanced start needs a nonzero end-to-end vector w_e [d], got {reprlib.repr(w_e)}")
    size = np.ldexp(1.0, np.frexp(abs(vector).max())[1] - 1)  # a power of two: no square leaves float64, and nothing is rounded
    norm, depth = np.linalg.norm(vector / size), len(hidden) + 1
    units = [vector / size / norm, *(_unit(rng, width) for width in hidden), np.ones(1)]
    scale = (size * norm) ** (1.0 / depth)
    return [scale * np.outer(units[j + 1], units[j]) for j in range(depth)]


def paper_weights(w_e: Float[Array, " d"], widths: Sequence[int], rng: np.random.Generator) -> Weights:
    """The start of Section 5 as printed: u_1 = w_e(0) of any norm, all other u_i unit. Balanced only if ‖w_e(0)‖ = 1."""
    units = [w_e, *(_unit(rng, width) for width in widths), np.ones(1)]
    return [np.outer(units[j + 1], units[j]) for j in range(len(widths) + 1)]


def check_layers(weights: Sequence[Any]) -> Sequence[Any]:
    """The layers. Raises ValueError unless each is a matrix, or a batch of them, whose columns are the rows of the one below."""
    if not isinstance(weights, Sequence) or not weights:
        raise ValueError(f"weights must be a list of layers, got {reprlib.repr(weights)}")
    for position, layer in enumerate(weights):
        if getattr(layer, "ndim", 0) < 2:
            raise ValueError(f"weights[{position}] must be a matrix of numpy or torch, got {reprlib.repr(layer)}")
        if position and layer.shape[-1] != weights[position - 1].shape[-2]:
            below = tuple(weights[position - 1].shape)
            raise ValueError(
                f"weights[{position}] of shape {tuple(layer.shape)} does not fit on the layer below of shape {below}"
            )
    return weights


def layer_flow(
    weights: Sequence[Array],
    gradient: Callable[[Array], Array],
    times: Float[Array, " p"],
    *,
    rtol: float = 1e-11,
) -> list[Weights]:
    """Gradient flow of the full weights, dW_j/dt = -∂L/∂W_j, at the given times (first one 0): brute force, no reduction.

    `gradient` maps w_e to ∇L(w_e). Raises RuntimeError if the integrator fails, and ValueError for times that do not increase
    from 0 and layers that are no matrices of finite numbers.
    """
    for position, layer in enumerate(check_layers(weights)):
        if finite_array(f"weights[{position}]", layer).ndim != 2:
            raise ValueError(f"weights[{position}] must be one matrix, got shape {tuple(layer.shape)}")
    weights = [finite_array("weights", layer) for layer in weights]
    grid = finite_array("times", times)
    if grid.ndim != 1 or not len(grid) or grid[0] != 0 or np.any(np.diff(grid) <= 0):
        raise ValueError(f"times must increase from 0, got {reprlib.repr(grid.tolist())}")
    rtol = number("rtol", rtol, TOLERANCE)
    if len(grid) == 1:
        return [weights]
    shapes = [layer.shape for layer in weights]
    ends = np.cumsum([0, *(layer.size for layer in weights)]).tolist()
    slots = [(slice(*ends[j : j + 2]), shape) for j, shape in enumerate(shapes)]

    def unpack(flat: Array) -> Weights:
        return [flat[slot].reshape(shape) for slot, shape in slots]

    def rates(_: float, flat: Array) -> Array:
        layers = unpack(flat)
        products = partial_products(layers)
        return -np.concatenate([g.ravel() for g in layer_gradients(layers, gradient(products[-1][0]), products)])

    start = np.concatenate([layer.ravel() for layer in weights])
    solution = initial_value.solve(rates, grid[-1], start, "DOP853", grid, rtol=rtol, atol=1e-3 * rtol)
    return [unpack(column) for column in solution.y.T]


def end_to_end_rate(w_e: Float[Array, " d"], gradient: Float[Array, " d"], depth: int) -> Float[Array, " d"]:
    """Right-hand side of Eq. (14): -‖w‖^{2-2/N} (∇L + (N-1) w̄ w̄^T ∇L); at the origin its limit."""
    norm = np.linalg.norm(w_e)
    if norm == 0:
        return -gradient if depth == 1 else np.zeros_like(gradient)
    unit = w_e / norm
    return -(norm ** (2.0 - 2.0 / depth)) * (gradient + (depth - 1) * (unit @ gradient) * unit)


def _unit(rng: np.random.Generator, size: int) -> Array:
    direction = rng.standard_normal(size)
    return direction / np.linalg.norm(direction)
