r"""Starts that are nearly balanced: Definition 30, Lemmas 31, 33 and 88, and Theorem 32 at step sizes that can be run."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from mpmath import mp

from flowcheck.measures import readings
from flowcheck.networks.linear import balancedness_defect, end_to_end, layer_gradients, partial_products
from flowcheck.papers.continuous_discrete import deep_linear_bounds as bounds
from flowcheck.papers.continuous_discrete.procedure_13 import balanced_start
from flowcheck.pipeline.evidence import Found

Layers = list[np.ndarray]
DIGITS = 90
"""Of Lemma 88: the unbalancedness of Theorem 32 is some 1e-36 to 1e-70, and what it changes is its root."""
WIDE = 1.0
"""The unbalancedness of the control, as large as the start itself."""
ROUNDING = 1e-12


def unbalancedness(weights: Sequence[np.ndarray]) -> float:
    """Definition 30: the largest nuclear norm of W_{j+1}^T W_{j+1} - W_j W_j^T.

    >>> unbalancedness([np.array([[1.0, 0.0]]), np.array([[3.0]])])
    8.0
    """
    gaps = [upper.T @ upper - lower @ lower.T for lower, upper in itertools.pairwise(weights)]
    return float(max(np.linalg.norm(gap, "nuc") for gap in gaps))


def balanced_near(weights: Sequence[np.ndarray]) -> Layers:
    """A balanced setting within (n - 1)^1.5 times the root of the unbalancedness: what Lemma 31 says exists.

    From the last layer down, each layer keeps its orthogonal polar factor and takes the root of the layer above as its length.
    All layers but the last must be square.
    """
    result = [weights[-1]]
    for layer in reversed(weights[:-1]):
        left, _, right = np.linalg.svd(layer)
        values, vectors = np.linalg.eigh(result[0].T @ result[0])
        root = (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T
        result.insert(0, root @ left @ right)
    return result


def near_balance(rng: np.random.Generator, depth: int, width: int, outputs: int, size: float) -> Layers:
    """Layers with a random balanced part of order one and Gaussian entries of this size added.

    Raises ConfigError if there are more outputs than the width.
    """
    start = balanced_start(rng.standard_normal((outputs, width)) / np.sqrt(width), [width] * (depth - 1))
    return [layer + size * rng.standard_normal(layer.shape) for layer in start]


def lemma_31(rng: np.random.Generator, draws: int) -> Found:
    """The construction at random: balance, and distance over the bound, for layers of sizes 0.01 to 1, near balance and not."""
    ratios, defects, linear = np.zeros(draws), np.zeros(draws), np.zeros(draws)
    for i in range(draws):
        depth, width, outputs = int(rng.integers(2, 6)), int(rng.integers(1, 6)), int(rng.integers(1, 4))
        scale = 10 ** rng.uniform(-2, 0)
        weights = [scale * layer for layer in near_balance(rng, depth, width, min(outputs, width), 10 ** rng.uniform(-4, 0.5))]
        balanced = balanced_near(weights)
        distance = np.sqrt(sum(((a - b) ** 2).sum() for a, b in zip(weights, balanced, strict=True)))
        epsilon = unbalancedness(weights)
        largest = max(np.linalg.norm(layer) for layer in weights) ** 2
        ratios[i], defects[i] = distance / (depth**1.5 * np.sqrt(epsilon)), balancedness_defect(balanced) / largest
        linear[i] = distance / (depth**1.5 * epsilon)
    return {
        "lemma31_ratio_max": readings.largest(ratios, ROUNDING),
        "lemma31_defect_max": readings.largest(defects, 1e-14),
        "lemma31_ratio_linear_max": readings.largest(linear, 1e-9),
    }


def lemma_33(rng: np.random.Generator, draws: int) -> Found:
    """The largest layer against the product: random tuples whose spectral gaps are at most 1 / 2n, Eq. (48) on the way."""
    ratios: list[float] = []
    middle, broken = [], []
    while len(ratios) < draws:
        depth, width = int(rng.integers(2, 6)), int(rng.integers(1, 5))
        weights = near_balance(rng, depth, width, width, 10 ** rng.uniform(-6, -1))
        gaps = [np.linalg.norm(b.T @ b - a @ a.T, 2) for a, b in itertools.pairwise(weights)]
        if max(gaps) > 1 / (2 * depth):
            continue
        norms = [float(np.linalg.norm(layer, 2)) for layer in weights]
        product = float(np.linalg.norm(partial_products(weights)[-1], 2))
        top = max(1.0, *norms)
        ratios.append(max(norms) ** depth / (product + 2 * depth * np.sqrt(max(gaps)) * top ** (2 * depth)))
        middle.append(norms[0] ** (2 * depth) / (product**2 + 2 * depth**2 * top ** (4 * depth) * max(gaps)))
        broken.append(max(norms) ** depth / product)
    return {
        "lemma33_ratio_max": readings.largest(np.array(ratios), ROUNDING),
        "equation48_ratio_max": readings.largest(np.array(middle), ROUNDING),
        "lemma33_ratio_without_gap_max": readings.largest(np.array(broken), ROUNDING),
    }


def theorem_32(
    rng: np.random.Generator,
    depths: Sequence[int],
    nus: Sequence[float],
    norm: float,
    sizes: Sequence[float],
    accuracy: float,
    eta: float,
) -> Found:
    """Descent of all weights from balanced starts with noise of these sizes: iterates against Eq. (36), distances."""
    slack, moved, inputs = [], [], 3
    for depth in depths:
        for nu in nus:
            target = np.zeros(inputs)
            target[0] = 1.0
            end = norm * np.array([[nu, np.sqrt(1 - nu**2), 0.0]])
            start = balanced_start(end, [inputs] * (depth - 1))
            noise = [rng.standard_normal(layer.shape) for layer in start]
            most = int(min(np.exp(_log_iterations(depth, nu, norm, accuracy, eta)), 20_000))
            clean, arrived = _descend(start, target, eta, accuracy, most)
            distances = []
            for size in sizes:
                noisy, k = _descend([a + size * b for a, b in zip(start, noise, strict=True)], target, eta, accuracy, most)
                slack.append(_log_iterations(depth, nu, norm, accuracy, eta) - np.log(max(k, 1)) if k >= 0 else np.nan)
                distances.append(np.sqrt(sum(((a - b) ** 2).sum() for a, b in zip(noisy, clean, strict=True))))
            moved.append(distances)
            slack.append(_log_iterations(depth, nu, norm, accuracy, eta) - np.log(max(arrived, 1)) if arrived >= 0 else np.nan)
    far = np.array(moved)
    return {
        "theorem32_slack_min": readings.smallest_of_all(np.array(slack), 1e-12),
        "theorem32_noise_exponent": readings.log_rate(np.array(sizes), far, np.full(far.shape, 1e-13)),
    }


def _log_iterations(depth: int, nu: float, norm: float, accuracy: float, eta: float) -> float:
    """Ln of Eq. (36)."""
    at = (np.array([float(value)]) for value in (depth, nu, norm, accuracy))
    return float(bounds.log_time_unbalanced(*at)[0] - np.log(eta))


def _descend(weights: Layers, target: np.ndarray, eta: float, accuracy: float, most: int) -> tuple[Layers, int]:
    """The weights after 60 steps, which is before any of these starts has arrived, and the first iterate within the accuracy."""
    early, layers = list(weights), [layer.copy() for layer in weights]
    for k in range(most + 1):
        gap = end_to_end(layers) - target
        if k == 60:
            early = [layer.copy() for layer in layers]
        if (gap @ gap) / 2 <= accuracy:
            return (early if k >= 60 else layers), k
        layers = [layer - eta * slope for layer, slope in zip(layers, layer_gradients(layers, gap), strict=True)]
    return early, -1


def lemma_88(rng: np.random.Generator, draws: int) -> Found:
    """Eq. (88)-(91) with the unbalancedness that Theorem 32 prints, for accuracy one, in extended precision."""
    slack: dict[str, list[float]] = {name: [] for name in ("equation88", "equation89", "equation90", "equation91")}
    wide = []
    with mp.workdps(DIGITS):
        for _ in range(draws):
            depth, size = int(rng.integers(2, 5)), 2
            nu, norm = float(rng.uniform(-0.9, 1.0)), float(rng.uniform(0.02, 0.1))
            at = (np.array([value]) for value in (float(depth), nu, norm, 1.0))
            allowed = mp.exp(mp.mpf(float(bounds.log_unbalancedness(*at)[0])))
            end = norm * np.array([[nu, np.sqrt(1 - nu**2)]])
            start = [mp.matrix(layer.tolist()) for layer in balanced_start(end, [size] * (depth - 1))]
            noise = [mp.matrix(rng.standard_normal((layer.rows, layer.cols)).tolist()) for layer in start]
            for wanted, kept in ((allowed, True), (mp.mpf(WIDE), False)):
                weights = _with_unbalancedness(start, noise, wanted)
                found = _equations(weights, _balanced_near(weights))
                if kept:
                    for name, value in zip(slack, found, strict=True):
                        slack[name].append(value)
                else:
                    wide.append(found[0])
    result = {f"lemma88_{name}_min": readings.smallest(np.array(values), 1e-15) for name, values in slack.items()}
    return result | {"lemma88_equation88_wide_min": readings.smallest(np.array(wide), 1e-12)}


def _equations(weights: list[mp.matrix], hat: list[mp.matrix]) -> tuple[float, float, float, float]:
    """Right minus left sides of Eq. (88)-(91), divided by the length of the start where they have its unit."""
    product, other = _mp_product(weights), _mp_product(hat)
    length, shorter = mp.norm(product), mp.norm(other)
    nu, nu_hat = product[0, 0] / length, other[0, 0] / shorter
    sign = 1 if nu >= 0 else -1
    y = max(mp.mpf(3), (3 - nu) / (1 + nu))
    return (
        float(mp.mpf(1) / 3 - mp.norm(product - other) / length),
        float(nu_hat - min(mp.mpf(-1) / 2, sign * (abs(nu) + 1) / 2)),
        float(mp.mpf(3) / 2 - length / shorter),
        float(y - max(mp.mpf(1), (1 - nu_hat) / (1 + nu_hat))),
    )


def _mp_product(weights: list[mp.matrix]) -> mp.matrix:
    product = weights[0]
    for layer in weights[1:]:
        product = layer * product
    return product


def _mp_unbalancedness(weights: list[mp.matrix]) -> mp.mpf:
    gaps = [upper.T * upper - lower * lower.T for lower, upper in itertools.pairwise(weights)]
    return max(sum(mp.svd_r(gap, compute_uv=False)) for gap in gaps)


def _with_unbalancedness(start: list[mp.matrix], noise: list[mp.matrix], wanted: mp.mpf) -> list[mp.matrix]:
    """The start with as much noise as gives this unbalancedness, to a thousandth; it is nearly proportional to the noise."""
    size = wanted
    for _ in range(6):
        weights = [layer + size * extra for layer, extra in zip(start, noise, strict=True)]
        size *= mp.mpf("0.999") * wanted / _mp_unbalancedness(weights)
    return [layer + size * extra for layer, extra in zip(start, noise, strict=True)]


def _balanced_near(weights: list[mp.matrix]) -> list[mp.matrix]:
    """`balanced_near` in extended precision."""
    result = [weights[-1]]
    for layer in reversed(weights[:-1]):
        left, _, right = mp.svd_r(layer)
        values, vectors = mp.eigsy(result[0].T * result[0])
        root = mp.diag([mp.sqrt(max(value, mp.mpf(0))) for value in values])
        result.insert(0, vectors * root * vectors.T * left * right)
    return result
