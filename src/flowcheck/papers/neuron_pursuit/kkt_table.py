r"""Networks of Eq. (3) over depth, power and leak, and the KKT points that ascents find on them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from flowcheck.correlation.ascent import ascend
from flowcheck.correlation.ncf import Correlation
from flowcheck.data.synthetic import gaussian, sphere_inputs, unit_vectors
from flowcheck.networks.network import Network

DEPTHS = (2, 3, 4)
POWERS = (1, 2, 3)
SLOPES = (0.0, 0.5, 1.0, -0.5)
INPUTS, SAMPLES = 3, 8
TOLERANCE = 1e-11
ROUNDING = 1e-13
"""Of squared norms of unit vectors and of KKT residuals: 400 operations of float64 in a row, 1.1e-16 each."""


class Kind(NamedTuple):
    """Depth L, power p and leak a."""

    depth: int
    power: int
    slope: float

    @property
    def is_smooth(self) -> bool:
        """Whether KKT points cannot lie on kinks of the gradient."""
        return self.power > 1 or self.slope == 1


def kinds() -> Iterator[Kind]:
    """All of the table."""
    return itertools.starmap(Kind, itertools.product(DEPTHS, POWERS, SLOPES))


class Points(NamedTuple):
    """Positive KKT points, with a bound on |in² - p out²| from their KKT residuals; how many positive ends there are in all."""

    correlation: Correlation
    points: Float[Tensor, "s k"]
    error: Float[Tensor, " s"]
    positive: int


def problem(network: Network, rng: np.random.Generator, kind: Kind) -> Correlation:
    """Inputs on the unit sphere, Gaussian z; positive z where maxima would otherwise lie on kinks."""
    z = gaussian(rng, SAMPLES * network.outputs_per_sample)
    return Correlation(network, sphere_inputs(rng, SAMPLES, network.inputs), z if kind.is_smooth else z.abs())


def positive_points(correlation: Correlation, rng: np.random.Generator, kind: Kind, starts: int, iterations: int) -> Points:
    r"""Ends of ascents from random starts that are certified KKT points with a positive value.

    At one with $\nabla\mathcal N=\lambda u+e$ Euler's identity, neuron by neuron, gives
    $\lambda|\,\|in\|^2-p\|out\|^2|\le(\|in\|+p\|out\|)\|e\|$. The residual is a sine, and $\|e\|/\lambda$ its tangent.
    """
    ends = ascend(correlation, unit_vectors(rng, starts, correlation.network.size), tolerance=TOLERANCE, iterations=iterations)
    positive = ends.value > 0
    found = positive & ends.converged
    return Points(correlation, ends.points[found], error_bound(ends.residual[found], kind.power), int(positive.sum()))


def error_bound(residual: Float[Tensor, " s"], power: int) -> Float[Tensor, " s"]:
    """Bound on |in² - p out²| at points with these KKT residuals."""
    return (power + 1) * torch.tan(torch.asin((residual + ROUNDING).clamp_max(1.0)))


def norm_gap(into: Float[Tensor, "s j"], out: Float[Tensor, "s j"], power: float) -> Float[Tensor, " s"]:
    """Largest |in² - p out²| over neurons, from their norms."""
    return (into.square() - power * out.square()).abs().amax(dim=-1)
