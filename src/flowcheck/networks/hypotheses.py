"""Hypotheses that a run must satisfy before its numbers mean anything, each measured: degree, scale, signal, stationarity.

A violated hypothesis raises `HypothesisError`, which says which one fails and its measured value. An experiment that meets one
still leaves evidence: the measured hypothesis, every other number NaN, so that its claims become `hypothesis-not-met`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from flowcheck.errors import HypothesisError
from flowcheck.networks.network import Network

DEGREE_TOLERANCE = 1e-10
"""Relative defect of H(x; cw) = c^L H(x; w) that rounding can explain: powers of c up to 4^7 in float64, with a factor 1e4."""

SIGNAL_TOLERANCE = 1e-12
"""Cosine of z and the outputs that rounding of n terms can leave where the NCF is identically zero, with a factor 1e4."""

STATIONARITY_TOLERANCE = 1e-9
"""Norm of the gradient at a claimed saddle, relative to the residual: Newton reaches 1e-13."""


def degree_defect(network: Network, x: Float[Tensor, "n d"], degree: float, samples: int = 8) -> float:
    r"""Largest $\|\mathcal H(X;cw)-c^L\mathcal H(X;w)\|/(c^L\|\mathcal H(X;w)\|)$ over random w and c in [1/4, 4].

    Zero outputs are passed over; NaN if all are zero. The draw is fixed.
    """
    rng = np.random.Generator(np.random.PCG64(2024))
    w = torch.from_numpy(rng.standard_normal((samples, network.size))).to(x)
    c = torch.from_numpy(np.geomspace(0.25, 4.0, samples)).to(x)[:, None]
    plain, scaled = network.forward(w, x), network.forward(c * w, x)
    size = (c**degree * plain).norm(dim=-1)
    defect = (scaled - c**degree * plain).norm(dim=-1)[size > 0] / size[size > 0]
    return float(defect.max()) if len(defect) else math.nan


def require_degree(network: Network, x: Float[Tensor, "n d"], degree: float | None = None) -> float:
    """The measured defect of the declared degree. Raises HypothesisError if the network does not have it."""
    declared = network.degree if degree is None else degree
    defect = degree_defect(network, x, declared)
    if not defect <= DEGREE_TOLERANCE:
        raise HypothesisError("degree_defect", defect, f"{network.name}: the network is not homogeneous of degree {declared:g}")
    return defect


def require_scale(deltas: Iterable[float]) -> float:
    """The smallest scale of initialisation. Raises HypothesisError if it is not positive."""
    smallest = min(float(delta) for delta in deltas)
    if not smallest > 0:
        raise HypothesisError("scale_min", smallest, "the scale delta of the initialisation must be positive")
    return smallest


def signal(network: Network, x: Float[Tensor, "n d"], z: Float[Tensor, " o"], samples: int = 64) -> float:
    r"""Largest $|z^\top\mathcal H(X;u)|/(\|z\|\|\mathcal H(X;u)\|)$ over random weights u; 0 if z = 0. The draw is fixed."""
    size = float(z.norm())
    if size == 0:
        return 0.0
    rng = np.random.Generator(np.random.PCG64(2025))
    w = torch.from_numpy(rng.standard_normal((samples, network.size))).to(x)
    outputs = network.forward(w, x)
    return float(((outputs @ z).abs() / outputs.norm(dim=-1).clamp_min(1e-300)).max()) / size


def require_signal(network: Network, x: Float[Tensor, "n d"], z: Float[Tensor, " o"]) -> float:
    """The measured signal. Raises HypothesisError if the neural correlation function vanishes identically."""
    measured = signal(network, x, z)
    if not measured > SIGNAL_TOLERANCE:
        raise HypothesisError("signal", measured, f"{network.name}: the neural correlation function is identically zero")
    return measured


def require_stationary(gradient: Float[Tensor, " k"], residual: Float[Tensor, " o"]) -> float:
    """Norm of the gradient over the norm of the residual. Raises HypothesisError if the point is not stationary."""
    measured = float(gradient.norm() / residual.norm()) if float(residual.norm()) > 0 else float(gradient.norm())
    if not measured <= STATIONARITY_TOLERANCE:
        raise HypothesisError("stationarity", measured, "the saddle is not a stationary point of the loss")
    return measured
