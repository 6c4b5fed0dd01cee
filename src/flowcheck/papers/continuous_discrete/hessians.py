"""Section 4 and Appendices C, D and E at points: formulas, bounds and constructions over a table of networks and losses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from jaxtyping import Float

from flowcheck.curvature.dense import hessian_at, smallest_eigenvalue_at
from flowcheck.losses import HALF_SUM, LOGISTIC, Loss, cross_entropy, one_hot
from flowcheck.measures import readings
from flowcheck.networks.tied import TiedLayer, TiedNetwork
from flowcheck.papers.continuous_discrete import curvature_bounds, proposition_26, unbounded_below
from flowcheck.papers.continuous_discrete.training_loss import TrainingLoss
from flowcheck.pipeline.evidence import Found, Measurement

SLOPES = {"linear": (1.0, 1.0), "relu": (1.0, 0.0), "leaky": (1.0, 0.2), "steep": (0.5, -1.5)}
"""Of the activations: above and below zero. The last bends the other way and is steeper below."""
SAMPLES = 5
UNSEEN = 1e-6
"""Slopes of a loss are known to some 1e-16 whatever their size; terms below this share of the largest are compared with it."""
ROUNDING = 1e-9
"""Relative, of eigenvalues of matrices with up to some fifty rows, and of their quotients."""


def random_problem(rng: np.random.Generator, network: TiedNetwork, kind: str, samples: int = SAMPLES) -> TrainingLoss:
    """Gaussian inputs and random labels for one of the losses: square, logistic (one output), cross_entropy."""
    x, c = torch.as_tensor(rng.standard_normal((samples, network.inputs))), network.outputs_per_sample
    if kind == "square":
        loss = Loss("square", "half_sum", outputs_per_sample=c) if c > 1 else HALF_SUM
        return TrainingLoss(network, x, torch.as_tensor(rng.standard_normal(samples * c)), loss)
    if kind == "logistic":
        return TrainingLoss(network, x, torch.as_tensor(rng.choice([-1.0, 1.0], samples)), LOGISTIC)
    return TrainingLoss(network, x, one_hot(torch.as_tensor(rng.integers(0, c, samples)), c), cross_entropy(c))


def convolutional(depth: int, outputs: int, above: float, below: float) -> TiedNetwork:
    """A strided convolution of a 4 x 4 image, then dense layers: stride and no biases, as the adapted network of Figure 3."""
    first = TiedLayer.convolution((1, 2), (4, 4), 2, 2)
    if depth == 2:
        return TiedNetwork("convolutional", (first, TiedLayer.dense(outputs, 8)), above, below)
    second = TiedLayer.convolution((2, 2), (2, 2), 1)
    layers = [first, second, *[TiedLayer.dense(3, 8), TiedLayer.dense(outputs, 3)][-(depth - 2) :]]
    if depth == 3:
        layers[-1] = TiedLayer.dense(outputs, 8)
    return TiedNetwork("convolutional", tuple(layers), above, below)


def shared_rows(above: float, below: float) -> TiedNetwork:
    """Layers whose rows all have the same weights: their matrices have rank one, where Lemma 23 is sharp."""
    rows = torch.arange(3).expand(3, 3)
    return TiedNetwork("shared rows", (TiedLayer(rows), TiedLayer(rows), TiedLayer.dense(1, 3)), above, below)


def problems(
    rng: np.random.Generator, depths: Sequence[int], draws: int, conv: bool, activations: Sequence[str]
) -> Iterator[TrainingLoss]:
    """Random networks of these depths, each with every activation and every loss that fits."""
    for depth in depths:
        for name in activations:
            above, below = SLOPES[name]
            for kind in ("square", "logistic", "cross_entropy"):
                for _ in range(draws):
                    outputs = 1 if kind == "logistic" else int(rng.integers(2, 4))
                    if conv:
                        network = convolutional(depth, outputs, above, below)
                    else:
                        widths = [int(size) for size in rng.integers(1, 5, depth)]
                        network = TiedNetwork.fully_connected([*widths, outputs], above, below)
                    yield random_problem(rng, network, kind)


def formulas(rng: np.random.Generator, chosen: Sequence[TrainingLoss], name: str) -> Found:
    """Eq. (12), (16) or (30) against autograd: relative residuals of the Hessian's quadratic form, and of broken formulas."""
    right, single, moved = [], [], []
    for problem in chosen:
        w, along, other = (torch.as_tensor(rng.standard_normal(problem.network.size)) for _ in range(3))
        exact = hessian_at(problem.at, w)
        form, scale = along @ exact @ along, (along @ along) * torch.linalg.matrix_norm(exact, 2) + 1e-300
        right.append(float(abs(problem.second_derivative(w, along) - form) / scale))
        single.append(float(abs(problem.second_derivative(w, along, pairs=1.0) - form) / scale))
        moved.append(float(abs(problem.second_derivative(w, along, problem.pattern(other)) - form) / scale))
    return {
        f"{name}_residual_max": readings.largest(np.array(right), 1e-14),
        f"{name}_residual_single_pairs_median": readings.median(np.array(single), 1e-14),
        f"{name}_residual_other_pattern_median": readings.median(np.array(moved), 1e-14),
    }


def ratios(
    rng: np.random.Generator, chosen: Sequence[TrainingLoss], bounds: dict[str, curvature_bounds.Bound], starts: int
) -> Found:
    """The largest ratio of minus the smallest eigenvalue to each bound, over all problems and ascents."""
    found: dict[str, list[Float[np.ndarray, " s"]]] = {name: [] for name in bounds}
    for problem in chosen:
        points = curvature_bounds.drawn(rng, problem, starts, (0.3, 1.0))
        for name, bound in bounds.items():
            found[name].append(curvature_bounds.largest_ratios(problem, bound, points))
    return {f"{name}_ratio_max": readings.largest(np.concatenate(values), ROUNDING) for name, values in found.items()}


def proposition_6(rng: np.random.Generator, chosen: Sequence[TrainingLoss], sizes: Sequence[float]) -> Found:
    """Quotients at the construction over -c, and the smallest eigenvalues there over -c."""
    quotients, eigenvalues = [], []
    for problem in chosen:
        for c in sizes:
            point, along = unbounded_below.proposition_6(rng, problem, c)
            quotients.append(abs(unbounded_below.quotient(problem, point, along) / -c - 1))
            eigenvalues.append(float(smallest_eigenvalue_at(problem.at, point)) / -c)
    return {
        "proposition6_quotient_gap_max": readings.largest(np.array(quotients), 1e-12),
        "proposition6_eigenvalue_over_c_min": readings.smallest(np.array(eigenvalues), ROUNDING),
    }


def proposition_10(rng: np.random.Generator, chosen: Sequence[TrainingLoss], sizes: Float[np.ndarray, " a"], name: str) -> Found:
    """Eq. (56) or (86) against autograd, and the exponent of the quotient in a where a is large."""
    gaps: list[float] = []
    wrong: list[float] = []
    quotients = np.zeros((len(chosen), len(sizes)))
    for i, problem in enumerate(chosen):
        w = unbounded_below.with_negative_pull(problem, torch.as_tensor(rng.standard_normal(problem.network.size)))
        for j, a in enumerate(sizes):
            point, along = unbounded_below.proposition_10(problem, w, float(a))
            numerator = unbounded_below.quotient(problem, point, along) * float(along @ along)
            for scale, found in ((1.0, gaps), (1.1, wrong)):
                terms = unbounded_below.equation_56(problem, w, scale * float(a))
                # a saturated loss or a dead network has no terms to speak of
                unseen = UNSEEN * 2 * float(a) * float(problem.outputs(w).abs().max()) + UNSEEN
                found.append(abs(numerator - sum(terms)) / (sum(map(abs, terms)) + unseen))
            quotients[i, j] = -numerator
    late = sizes >= sizes[-1] / 100
    grown = quotients[:, late]
    kept = (grown > 0).all(axis=1)
    return {
        f"{name}_identity_gap_max": readings.largest(np.array(gaps), 1e-9),
        f"{name}_identity_gap_other_a_median": readings.median(np.array(wrong), 1e-9),
        f"{name}_exponent": readings.log_rate(sizes[late], grown[kept], 1e-9 * grown[kept]),
        f"{name}_turned": readings.count(np.asarray(kept)),
    }


def listing(chosen: Sequence[TrainingLoss]) -> dict[str, np.ndarray]:
    """A row for each of them."""
    return {
        "network": np.array([problem.network.name for problem in chosen]),
        "depth": np.array([len(problem.network.layers) for problem in chosen]),
        "weights": np.array([problem.network.size for problem in chosen]),
        "above": np.array([problem.network.above for problem in chosen]),
        "below": np.array([problem.network.below for problem in chosen]),
        "loss": np.array([problem.loss.kind for problem in chosen]),
    }


def without_inputs(rng: np.random.Generator, depths: Sequence[int]) -> Measurement:
    """Claims 27 to 29 with x = 0: the loss is constant; how many entries of its Hessian are not zero."""
    nonzero = []
    for depth in depths:
        network = TiedNetwork.fully_connected([2] * depth + [1], 1.0, 0.2)
        problem = random_problem(rng, network, "logistic")
        blind = TrainingLoss(network, torch.zeros_like(problem.x), problem.y, problem.loss)
        entries = hessian_at(blind.at, 100.0 * torch.as_tensor(rng.standard_normal(network.size)))
        nonzero.append((entries != 0).numpy().ravel())
    return readings.count(np.concatenate(nonzero))


def regions(rng: np.random.Generator, chosen: Sequence[TrainingLoss], draws: int, name: str) -> Found:
    """Propositions 25 and 26: the largest gap at, around and along the rescalings of random points; the gap across a kink."""
    rows, kinks = [], []
    for problem in chosen:
        for _ in range(draws):
            w = torch.as_tensor(rng.standard_normal(problem.network.size))
            rows.append(proposition_26.gaps(rng, problem, w))
        kinks.append(proposition_26.on_a_kink(problem, torch.as_tensor(rng.standard_normal(problem.network.size))))
    columns = {key: np.array([row[key] for row in rows]) for key in rows[0]}
    return {
        f"{name}_gap_here_max": readings.largest(columns["here"], 1e-14),
        f"{name}_gap_rescaled_max": readings.largest(columns["rescaled"], 1e-12),
        f"{name}_gap_inside_max": readings.largest(columns["inside"], 1e-12),
        f"{name}_gap_elsewhere_median": readings.median(columns["elsewhere"], 1e-12),
        f"{name}_gap_across_kink_median": readings.median(np.array(kinks), 1e-12),
    }


def convolution_gap(rng: np.random.Generator, draws: int) -> Found:
    """Tying matrices against torch's convolution, and the operator norm by counting against a singular value."""
    outputs, norms = [], []
    for _ in range(draws):
        channels = (int(rng.integers(1, 4)), int(rng.integers(1, 4)))
        kernel, stride = int(rng.integers(1, 4)), int(rng.integers(1, 3))
        image = (int(rng.integers(kernel, 7)), int(rng.integers(kernel, 7)))
        layer = TiedLayer.convolution(channels, image, kernel, stride)
        w = torch.as_tensor(rng.standard_normal(layer.size))
        images = torch.as_tensor(rng.standard_normal((2, channels[0], *image)))
        convolved = torch.nn.functional.conv2d(images, w.reshape(channels[1], channels[0], kernel, kernel), stride=stride)
        outputs.append(float((images.flatten(1) @ layer.matrix(w).T - convolved.flatten(1)).abs().max()))
        units = layer.matrix(torch.eye(layer.size, dtype=w.dtype)).flatten(start_dim=1)
        norms.append(abs(float(torch.linalg.matrix_norm(units, 2)) - layer.operator_norm))
    return {
        "tied_convolution_gap_max": readings.largest(np.array(outputs), 1e-13),
        "operator_norm_gap_max": readings.largest(np.array(norms), 1e-12),
    }


def origin(depths: Sequence[int]) -> dict[int, float]:
    """Footnote 18: the smallest eigenvalue of the Hessian of a linear network at the origin, by depth."""
    found = {}
    for depth in depths:
        network = TiedNetwork.fully_connected([2] * depth + [1], 1.0, 1.0)
        x, y = torch.eye(2, dtype=torch.float64), torch.tensor([1.0, -1.0], dtype=torch.float64)
        problem = TrainingLoss(network, x, y, HALF_SUM)
        found[depth] = float(smallest_eigenvalue_at(problem.at, torch.zeros(network.size, dtype=x.dtype)))
    return found
