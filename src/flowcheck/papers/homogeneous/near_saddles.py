r"""Saddles of both homogeneous papers, Section 5.2: what the statements presuppose, and the KKT point that w_z turns to."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float

from flowcheck.correlation import clarke
from flowcheck.correlation.ncf import Correlation
from flowcheck.data.synthetic import unit_vectors
from flowcheck.losses import HALF_SUM
from flowcheck.measures.readings import largest_of, smallest_of
from flowcheck.measures.table import Table
from flowcheck.networks.hypotheses import require_degree, require_scale, require_signal
from flowcheck.papers.homogeneous.hypotheses import ROUNDING
from flowcheck.pipeline.evidence import Measurement
from flowcheck.saddles import departure
from flowcheck.saddles.departure import ResidualFlow, Start
from flowcheck.saddles.saddle import Saddle
from flowcheck.saddles.units import Units

UNIT_ROUNDOFF = 0.5 * float(np.finfo(np.float64).eps)
OPERATIONS = 12
"""Roundings behind one entry of a Jacobian: a product of up to five terms, a power of at most four, and three factors."""


def rounding_of_sums(units: Units) -> float:
    """Bound on the relative rounding of a sum over all inputs, relative to the sum of the sizes of its terms."""
    return (len(units.x) + OPERATIONS) * UNIT_ROUNDOFF


def rounding_at_rest(saddle: Saddle) -> float:
    r"""Bound on the rounding of $\|\mathcal J_n^\top\bar y\|/\|\bar y\|$, which is 0 but for Newton's last step."""
    return rounding_of_sums(saddle.fitted) * float(np.linalg.norm(saddle.fitted.jacobian(saddle.weights)))


def presupposed(saddles: Sequence[Saddle], scales: Sequence[float]) -> dict[str, Measurement]:
    """`degree_defect` and `stationarity` (largest), `signal` of the residual for w_z (smallest), `scale_min`.

    Raises HypothesisError where one of them is not met, and ValueError without a saddle or a scale.
    """
    scale = Measurement.exact(require_scale(scales))
    defects, stationarity, signals = [], [], []
    for saddle in saddles:
        x, residual = torch.from_numpy(saddle.idle.x), torch.from_numpy(saddle.residual)
        defects.append(require_degree(saddle.network, x))
        stationarity.append(saddle.stationarity())
        signals.append(require_signal(saddle.idle.network, x, residual))
    return {
        "scale_min": scale,
        "degree_defect": Measurement(max(defects), ROUNDING, n=len(defects)),
        "stationarity": Measurement(max(stationarity), max(map(rounding_at_rest, saddles)), n=len(defects)),
        "signal": Measurement(min(signals), ROUNDING, n=len(defects)),
    }


def kkt_point(saddle: Saddle, target: Float[np.ndarray, " kz"]) -> dict[str, Measurement]:
    """KKT residual and value of the residual's NCF at the limit direction of u, a unit vector.

    On a kink one gradient is not the subdifferential: there the residual is the distance of the nearest of its elements.
    """
    units, z = saddle.idle, saddle.residual
    ncf, u = Correlation(units.network, torch.from_numpy(units.x), torch.from_numpy(z)), torch.from_numpy(target)[None]
    terms = float(np.linalg.norm(units.jacobian(target)) * np.linalg.norm(z))
    gradient = float(np.linalg.norm(units.pull(target, z)))
    rounding = rounding_of_sums(units)
    residual, error = float(ncf.kkt_residual(u)), 2 * rounding * terms / gradient
    if residual > 2 * departure.KKT_TOLERANCE:
        nearest, known_to = clarke.residual_nearby(ncf, u[0])
        residual, error = (nearest, error + known_to) if nearest < residual else (residual, error)
    return {
        "kkt_residual": Measurement(residual, error),
        "kkt_value": Measurement(float(ncf.value(u)), rounding * terms),
    }


def limit_for_labels(saddle: Saddle, start: Start, tolerance: float) -> Float[np.ndarray, " kz"] | None:
    """Control: where the NCF of the labels, in the place of the residual, leads, up to a sine of `tolerance`."""
    return departure.limit_directions(saddle.idle, labels(saddle), start.z[None], tolerance)[0]


def labels(saddle: Saddle) -> Float[np.ndarray, " n"]:
    """y, from the residual and the outputs at the saddle."""
    return np.asarray(saddle.residual + saddle.fitted.outputs(saddle.weights))


def loss_gradient(saddle: Saddle, w: Float[np.ndarray, " k"]) -> Float[np.ndarray, " k"]:
    """Gradient of the square loss (13) at w = (w_n, w_z), by autograd through the whole network."""
    x, weights = torch.from_numpy(saddle.fitted.x), torch.from_numpy(w[None]).requires_grad_()
    outputs = saddle.network.forward(weights, x)
    HALF_SUM.value(outputs, torch.from_numpy(labels(saddle))).sum().backward()  # type: ignore[no-untyped-call] # torch has no types
    assert weights.grad is not None
    return weights.grad[0].numpy()


def gradient_rounding(saddle: Saddle, w: Float[np.ndarray, " k"]) -> Float[np.ndarray, " k"]:
    r"""Bound, entry by entry, on how far rounding takes two evaluations of the gradient of the loss apart.

    They are sums over inputs of products with $y-\mathcal H$; $L\mathcal H=\mathcal Jw$ bounds the terms of that.
    """
    split = saddle.fitted.size
    slopes = np.abs(np.hstack([saddle.fitted.jacobian(w[:split]), saddle.idle.jacobian(w[split:])]))
    terms = slopes.T @ (np.abs(labels(saddle)) + slopes @ np.abs(w) / saddle.degree)
    return 2 * rounding_of_sums(saddle.fitted) * terms


def velocity_gaps(saddle: Saddle, rng: np.random.Generator, delta: float = 0.5) -> dict[str, Measurement]:
    r"""The rates of the flow that is followed, at a random state, against minus the gradient of (13) by autograd; relative.

    In the variables a and q of `departure`, with m = 0 and m = L - 1: $\delta^{L-1}a'$, and $\delta^{L-1}b'$ with
    $b'=\mathcal J_z(u)^\top\bar y+\delta^mq'$. As a control against the gradient of half of the loss.
    """
    a, u, q = (unit_vectors(rng, 1, part.size)[0].numpy() for part in (saddle.fitted, saddle.idle, saddle.idle))
    found = {}
    for m in {0, saddle.degree - 1}:
        start = u if m else np.zeros_like(u)
        rates = saddle.velocity(np.array([delta]), m, start, a[None], q[None])
        w = np.concatenate([saddle.weights + delta * a, delta * (start + delta**m * q)])
        flow, size = -loss_gradient(saddle, w), delta ** (saddle.degree - 1)
        b_rate = saddle.idle.pull(start, saddle.residual) + delta**m * rates[1][0]
        own = size * np.concatenate([rates[0][0], b_rate])
        rounding = float(np.linalg.norm(gradient_rounding(saddle, w)) / np.linalg.norm(flow))
        for name, factor in (("velocity", 1.0), ("velocity_halved", 0.5)):
            gap = float(np.linalg.norm(own - factor * flow) / np.linalg.norm(factor * flow))
            found[f"{name}_m{min(m, 1)}"] = Measurement(gap, 4 * rounding)
    return found


def velocity_readings(saddles: Table) -> dict[str, Measurement]:
    """The largest gap of all saddles and variables, and of the control the smallest."""
    columns = [name for name in saddles.values.columns if name.startswith("velocity_m")]
    halved = [name.replace("velocity", "velocity_halved") for name in columns]
    return {
        "velocity_gap_max": largest_of(saddles.largest(name) for name in columns),
        "velocity_gap_halved": smallest_of(saddles.smallest(name) for name in halved),
    }


def coarser_flow(saddle: Saddle, start: Start, epsilons: Float[np.ndarray, " e"]) -> ResidualFlow:
    """U at a larger tolerance: the distance bounds the error of its times and norms.

    Raises RuntimeError if u is not aligned there.
    """
    u = departure.residual_flow(saddle, start.z, start.u.target, epsilons, departure.COARSER * departure.NCF_RTOL)
    if u is None:
        raise RuntimeError("the NCF flow of the residual is aligned at the finer of two tolerances only")
    return u
