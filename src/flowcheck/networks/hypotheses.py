"""Hypotheses that a run must satisfy before its numbers mean anything, each measured: degree, scale, signal, stationarity.

A violated hypothesis raises `HypothesisError`, which says which one fails and its measured value. An experiment that meets one
still leaves evidence: the measured hypothesis, every other number NaN, so that its claims become `hypothesis-not-met`.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from flowcheck.arguments import instance, number
from flowcheck.errors import HypothesisError
from flowcheck.geometry import norm, unit
from flowcheck.networks.network import Network
from flowcheck.tensors import Numbers, tensors

DEGREE_TOLERANCE = 1e-10
"""Relative defect of H(x; cw) = c^L H(x; w) that rounding can explain: powers of c up to 4^7 in float64, with a factor 1e4."""

SIGNAL_TOLERANCE = 1e-12
"""Cosine of z and the outputs that rounding of n terms can leave where the NCF is identically zero, with a factor 1e4."""

STATIONARITY_TOLERANCE = 1e-9
"""Norm of the gradient at a claimed saddle, relative to the residual: Newton reaches 1e-13."""


DRAWS = 64
"""How often weights are drawn before all outputs of a network count as zero: deep ReLU networks are dead at most draws."""


def degree_defect(network: Network, x: Numbers, degree: float, samples: int = 8) -> float:
    r"""Largest $\|\mathcal H(X;cw)-c^L\mathcal H(X;w)\|/(c^L\|\mathcal H(X;w)\|)$ over random w and c in [1/4, 4].

    Zero outputs are passed over, and weights drawn again where all are zero; 0 if they stay so, as 0 has every degree. The draws
    are fixed.

    Raises ValueError if the outputs are not float64, or not finite: then nothing is known of the network.
    """
    instance("network", network, Network)
    (inputs,), expected = tensors(x=x), number("degree", degree)
    rng = np.random.Generator(np.random.PCG64(2024))
    c = torch.from_numpy(np.geomspace(0.25, 4.0, samples)).to(inputs)[:, None]
    for _ in range(DRAWS):
        w = torch.from_numpy(rng.standard_normal((samples, network.size))).to(inputs)
        plain, scaled = _outputs(network, w, inputs), _outputs(network, c * w, inputs)
        size = norm(c**expected * plain)
        alive = size > 0
        if bool(alive.any()):
            return float((norm(scaled - c**expected * plain)[alive] / size[alive]).max())
    return 0.0


def require_degree(network: Network, x: Numbers, degree: float | None = None) -> float:
    """The measured defect of the declared degree. Raises HypothesisError if the network does not have it."""
    instance("network", network, Network)
    declared = network.degree if degree is None else degree
    defect = degree_defect(network, x, declared)
    if not defect <= DEGREE_TOLERANCE:
        raise HypothesisError("degree_defect", defect, f"{network.name}: the network is not homogeneous of degree {declared:g}")
    return defect


def require_scale(deltas: Iterable[float]) -> float:
    """The smallest scale of initialisation. Raises HypothesisError if it is not positive, ValueError if one is not finite."""
    smallest = min(number("delta", delta) for delta in deltas)
    if not smallest > 0:
        raise HypothesisError("scale_min", smallest, "the scale delta of the initialisation must be positive")
    return smallest


def signal(network: Network, x: Numbers, z: Numbers, samples: int = 64) -> float:
    r"""Largest $|z^\top\mathcal H(X;u)|/(\|z\|\|\mathcal H(X;u)\|)$ over random weights u; 0 if z = 0, or if all outputs vanish.

    The draw is fixed. Raises ValueError if outputs are not float64, or not finite.
    """
    instance("network", network, Network)
    inputs, vector = tensors(x=x, z=z)
    if vector.ndim != 1 or not len(vector):
        raise ValueError(f"z is one vector [n c], got shape {tuple(vector.shape)}")
    if not bool((vector != 0).any()):
        return 0.0
    rng = np.random.Generator(np.random.PCG64(2025))
    for _ in range(DRAWS):
        w = torch.from_numpy(rng.standard_normal((samples, network.size))).to(inputs)
        outputs = _outputs(network, w, inputs)
        alive = (outputs != 0).any(dim=-1)
        if bool(alive.any()):
            return float((unit(outputs[alive]) @ unit(vector)).abs().max())
    return 0.0


def require_signal(network: Network, x: Numbers, z: Numbers) -> float:
    """The measured signal. Raises HypothesisError if the neural correlation function vanishes identically."""
    measured = signal(network, x, z)
    if not measured > SIGNAL_TOLERANCE:
        raise HypothesisError("signal", measured, f"{network.name}: the neural correlation function is identically zero")
    return measured


def _outputs(network: Network, w: Float[Tensor, "s k"], x: Float[Tensor, "n d"]) -> Float[Tensor, "s o"]:
    """Raises ValueError if they are such that they tell nothing of the network."""
    if x.ndim != 2 or x.shape[1] != network.inputs or not len(x):
        raise ValueError(f"{network.name} has {network.inputs} inputs, and x is rows of them; got x {tuple(x.shape)}")
    outputs = network.forward(w, x)
    if outputs.dtype != torch.float64:
        raise ValueError(f"{network.name} must give float64 outputs, got {str(outputs.dtype).removeprefix('torch.')}")
    if not bool(torch.isfinite(outputs).all()):
        largest = float(x.abs().max())
        raise ValueError(f"{network.name}: outputs leave float64 at random weights, with inputs up to {largest:.3g}")
    return outputs


def require_stationary(gradient: Float[Tensor, " k"], residual: Float[Tensor, " o"]) -> float:
    """Norm of the gradient over the norm of the residual. Raises HypothesisError if the point is not stationary.

    Raises ValueError if either is not finite.
    """
    gradient, residual = tensors(gradient=gradient, residual=residual)
    size = float(norm(residual))
    measured = float(norm(gradient)) / (size if size > 0 else 1.0)
    if not measured <= STATIONARITY_TOLERANCE:
        raise HypothesisError("stationarity", measured, "the saddle is not a stationary point of the loss")
    return measured
