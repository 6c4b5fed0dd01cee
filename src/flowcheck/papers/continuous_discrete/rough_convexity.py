r"""Section 4 in words: along flows from near zero the smallest eigenvalue is far greater than at arbitrary points.

The arbitrary points are of two kinds. Rescaled ones, $W_1\to sW_1$ and $W_2\to W_2/s$, have the end-to-end matrix and the loss of
the point on the flow, and their bound by Eq. (13) goes to minus infinity with s. Random ones have only its norm.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from flowcheck.measures import readings
from flowcheck.papers.continuous_discrete import flow_bounds
from flowcheck.papers.continuous_discrete.along_flows import Seen
from flowcheck.papers.continuous_discrete.curvature_flows import EPSILON, spectrum_ends
from flowcheck.papers.continuous_discrete.training_loss import TrainingLoss
from flowcheck.pipeline.evidence import Found, Measurement

FACTORS = (10.0, 100.0, 1000.0)
"""s."""
GROWTH = (1e2, 1e3, 1e4)
"""s where the growth is read off."""
POINTS = 12
"""Of each flow, evenly among those that were kept."""
RANDOM = 20
"""Random points of each norm."""
CONVERGED = 1e-6
"""Of the loss over that at the start; the gradient has then fallen by a thousand."""


def rescaled(problem: TrainingLoss, points: Float[Tensor, "p k"], factor: float) -> Float[Tensor, "p k"]:
    """The same points with the first layer times a factor and the second divided by it: outputs and loss are the same."""
    first, second, *rest = problem.network.parts(points)
    return torch.cat([factor * first, second / factor, *rest], dim=1)


def of_the_same_norm(rng: np.random.Generator, points: Float[Tensor, "p k"]) -> Float[Tensor, "p r k"]:
    """Random points on the spheres on which these lie."""
    drawn = torch.as_tensor(rng.standard_normal((len(points), RANDOM, points.shape[1])))
    return torch.linalg.norm(points, dim=1)[:, None, None] * drawn / torch.linalg.norm(drawn, dim=2, keepdim=True)


def contrast(rng: np.random.Generator, flows: Sequence[Seen]) -> Found:
    """How much deeper the eigenvalue is at rescaled and at random points than on flows."""
    deep = [one for one in flows if one.flow.depth > 2]
    error = max(_relative(one) for one in flows) + 1e-9
    start, later = [], []
    for one in deep:
        points = _some(one)
        away, along = _at_random(rng, one, points), np.maximum(-spectrum_ends(one.flow.problem, points)[0], EPSILON)
        start.append(away[0] / along[0])
        later.append(away[1:] / along[1:])
    every = np.concatenate(later)
    return {
        "rescaled_exponent_deep": _growth(deep),
        "rescaled_exponent_two_layers": _growth([one for one in flows if one.flow.depth == 2]),
        "random_over_flow_median": readings.median(every, error * every),
        "random_over_start_median": readings.median(np.array(start), error * np.array(start)),
    }


def at_the_end(rng: np.random.Generator, flows: Sequence[Seen]) -> Found:
    """Where the eigenvalue is when flows have converged, over the most negative one on the way; at random points too."""
    ended = [one for one in flows if one.flow.loss_ratio[-1] <= CONVERGED]
    error = max(_relative(one) for one in flows) + 1e-9
    lowest = [max(float(-one.ends[0][0].min()), EPSILON) for one in ended]
    shares = [max(float(-one.ends[0][0][-1]), EPSILON) / deepest for one, deepest in zip(ended, lowest, strict=True)]
    randoms = [_at_random(rng, one, one.flow.fine[-1:])[0] / deepest for one, deepest in zip(ended, lowest, strict=True)]
    return {
        "end_over_lowest_max": readings.largest(np.array(shares), error),
        "end_random_over_lowest_median": readings.median(np.array(randoms), error),
        "converged_flows": Measurement.count(len(ended), len(flows)),
    }


def _at_random(rng: np.random.Generator, one: Seen, points: Float[Tensor, "p k"]) -> Float[np.ndarray, " p"]:
    """Minus the smallest eigenvalue at random points of the norms of these, median over them."""
    drawn = of_the_same_norm(rng, points).flatten(end_dim=1)
    median: Float[np.ndarray, " p"] = np.median(-spectrum_ends(one.flow.problem, drawn)[0].reshape(len(points), RANDOM), axis=1)
    return median


def _growth(flows: Sequence[Seen]) -> Measurement:
    """The exponent in s of minus the smallest eigenvalue at rescaled points, where the loss has fallen by less than a thousand.

    Points whose eigenvalue rounding hides are passed over: a hundredth of it is more than a thousand times the spacing of
    numbers of the size of the largest.
    """
    values, errors = [], []
    for one in flows:
        early = one.flow.fine[torch.as_tensor(one.flow.loss_ratio > 1e-3)]
        points = early[torch.linspace(0, len(early) - 1, POINTS).round().long()]
        ends = [spectrum_ends(one.flow.problem, rescaled(one.flow.problem, points, s)) for s in GROWTH]
        values.append(np.stack([-found[0] for found in ends], axis=1))
        errors.append(np.stack([1e3 * EPSILON * np.abs(found).max(axis=0) for found in ends], axis=1))
    size, rounding = np.concatenate(values), np.concatenate(errors)
    clear = np.repeat((size > 100 * rounding).all(axis=1, keepdims=True), len(GROWTH), axis=1)
    return readings.log_rate(np.array(GROWTH), np.where(clear, size, 1.0), np.where(clear, rounding, 1.0), clear)


def _some(one: Seen) -> Float[Tensor, "p k"]:
    """Some points of a flow."""
    number = np.linspace(0, len(one.flow.fine) - 1, POINTS).round().astype(int)
    return one.flow.fine[torch.as_tensor(number)]


def _relative(one: Seen) -> float:
    """Change of the most negative eigenvalue between the two tolerances, relative to it."""
    fine, coarse = (float(ends[0].min()) for ends in one.ends)
    return abs(fine - coarse) / max(abs(fine), EPSILON)


def displayed(rng: np.random.Generator, one: Seen) -> Found:
    """One flow for the figures: eigenvalue and bound along it, at rescaled points, and quartiles at random ones."""
    flow, problem = one.flow, one.flow.problem
    away = spectrum_ends(problem, of_the_same_norm(rng, flow.fine).flatten(end_dim=1))[0].reshape(-1, RANDOM)
    moved = np.array([spectrum_ends(problem, rescaled(problem, flow.fine, s))[0] for s in FACTORS])
    bound = torch.func.vmap(lambda w: flow_bounds.proposition_8(problem, w, flow.epsilon))(flow.fine).numpy()
    return {
        "contrast_arc": flow.arc,
        "contrast_loss": flow.loss_ratio,
        "contrast_flow": one.ends[0][0],
        "contrast_bound": -bound,
        "contrast_factors": np.array(FACTORS),
        "contrast_rescaled": moved,
        "contrast_random": np.quantile(away, (0.25, 0.5, 0.75), axis=1),
        "contrast_epsilon": np.array([flow.epsilon]),
    }
