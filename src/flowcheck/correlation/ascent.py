r"""Maximising an NCF on the unit sphere: all starts in one batch, with the scale-free step $u+g/\|g\|$; KKT residuals certify."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from flowcheck.arguments import FINITE_NOT_NEGATIVE, instance, number, whole
from flowcheck.correlation.ncf import STALLED, Correlation
from flowcheck.geometry import directed, unit
from flowcheck.networks.network import Network
from flowcheck.networks.problem import check_runs
from flowcheck.tensors import Numbers


@dataclass(frozen=True)
class KktPoints:
    """Where an ascent ended: one row per start. `residual` certifies; `converged` says which rows reached the tolerance."""

    points: Float[Tensor, "s k"]
    value: Float[Tensor, " s"]
    residual: Float[Tensor, " s"]
    converged: Bool[Tensor, " s"]
    iterations: int

    def distinct(self, tolerance: float = 1e-4) -> Int[Tensor, " p"]:
        """Rows of the converged points, one of each set that lies within `tolerance`, highest value first."""
        tolerance, kept = number("tolerance", tolerance, FINITE_NOT_NEGATIVE), list[int]()
        for row in torch.argsort(self.value, descending=True).tolist():
            if self.converged[row] and all(float((self.points[row] - self.points[k]).norm()) > tolerance for k in kept):
                kept.append(row)
        return torch.tensor(kept, dtype=torch.int64, device=self.points.device)


def ascend(
    correlation: Correlation,
    starts: Numbers,
    *,
    tolerance: float = 1e-10,
    iterations: int = 5000,
) -> KktPoints:
    r"""Maximise N on the unit sphere from all starts at once: $u\leftarrow(u+\eta\,g/\|g\|)/\|\cdot\|$.

    $\eta$ is 1 and is halved, for one start, where a step does not increase N: with z of both signs the full step can cycle.
    Where N changes by no more than rounding, a step must lower the KKT residual instead. A row is done when this residual is
    below `tolerance`, or where the gradient vanishes. Raises ValueError if the starts are no directions for these data.

    $\mathcal N(u)=u_1^2+2u_2^2$ where both are positive: every ascent from there ends at e_2; one from e_1 stays, at a saddle.

    >>> from flowcheck.networks.zoo import power_net
    >>> x, z = torch.eye(2, dtype=torch.float64), torch.tensor([1.0, 2.0], dtype=torch.float64)
    >>> starts = torch.tensor([[1.0, 1.0], [1.0, 0.0]], dtype=torch.float64)
    >>> ends = ascend(Correlation(power_net(units=1, inputs=2, power=2), x, z), starts)
    >>> ends.points.abs().round(decimals=6).tolist(), ends.converged.tolist()
    ([[0.0, 1.0], [1.0, 0.0]], [True, True])
    """
    instance("correlation", correlation, Correlation)
    begin = directed("start", check_runs(correlation.network, correlation.x, correlation.z, starts))
    tolerance, iterations = number("tolerance", tolerance, FINITE_NOT_NEGATIVE), whole("iterations", iterations, 0)
    ends, rows, running, count = unit(begin), torch.arange(len(begin), device=begin.device), correlation, 0
    with torch.inference_mode():  # as in `integrate`
        u, eta = ends.clone(), torch.ones_like(begin[:, :1])
        value, gradient = running.value_and_gradient(u)
        sine, size = _sine(gradient, u)
        while count < iterations:
            going = (sine > tolerance) & (size > STALLED)
            if not bool(going.all()):  # rows that are done leave the batch
                ends[rows[~going]] = u[~going]
                rows, running = rows[going], running.rows(going)
                u, eta, value, gradient, sine, size = (part[going] for part in (u, eta, value, gradient, sine, size))
            if not len(rows):
                break
            trial = unit(u + eta * gradient / size[:, None])
            trial_value, trial_gradient = running.value_and_gradient(trial)
            trial_sine, trial_size = _sine(trial_gradient, trial)
            rounding = 1e-14 * value.abs()  # of a sum of n terms
            better = (trial_value > value + rounding) | ((trial_value >= value - rounding) & (trial_sine < sine))
            u, gradient = torch.where(better[:, None], trial, u), torch.where(better[:, None], trial_gradient, gradient)
            value, sine = torch.where(better, trial_value, value), torch.where(better, trial_sine, sine)
            size = torch.where(better, trial_size, size)
            eta = torch.where(better[:, None], (1.5 * eta).clamp_max(1.0), 0.5 * eta)
            count += 1
        ends[rows] = u
    residual = correlation.kkt_residual(ends)
    return KktPoints(ends, correlation.value(ends), residual, residual <= 10.0 * tolerance, count)


def _sine(gradient: Float[Tensor, "s k"], u: Float[Tensor, "s k"]) -> tuple[Float[Tensor, " s"], Float[Tensor, " s"]]:
    """Sine of the angle between gradients and unit vectors, and the gradients' norms."""
    size = gradient.norm(dim=-1)
    across = gradient - (gradient * u).sum(dim=-1, keepdim=True) * u
    return across.norm(dim=-1) / size.clamp_min(STALLED), size


def largest_output(network: Network, x: Float[Tensor, "n d"], starts: Float[Tensor, "s k"], iterations: int = 300) -> float:
    r"""Lower bound of $\beta=\sup_{\|w\|=1}\|\mathcal H(X;w)\|$: the best of several ascents of $\tfrac12\|\mathcal H\|^2$."""
    u, best = unit(starts), 0.0
    for _ in range(iterations):
        outputs, gradient = network.forward_and_pull(u, x, lambda h: h)
        best = max(best, float(outputs.norm(dim=-1).max()))
        u = unit(u + gradient / gradient.norm(dim=-1, keepdim=True).clamp_min(STALLED))
    return max(best, float(network.forward(u, x).norm(dim=-1).max()))


def largest_jacobian(network: Network, x: Float[Tensor, "n d"], starts: Float[Tensor, "s k"]) -> float:
    r"""Lower bound of $\alpha=\sup_{\|w\|=1}\|\mathcal J(X;w)\|_2$: the best spectral norm along ascents of $\|\mathcal H\|$.

    Where outputs are large, so is the Jacobian: $L\|\mathcal H\|\le\|\mathcal J\|_2$ on the sphere.
    """
    u, best = unit(starts), 0.0
    for _ in range(30):
        rows = torch.stack(
            [network.pull(u, x, row) for row in torch.eye(len(x) * network.outputs_per_sample, dtype=x.dtype, device=x.device)],
            dim=1,
        )
        best = max(best, float(torch.linalg.matrix_norm(rows, ord=2).max()))
        _, gradient = network.forward_and_pull(u, x, lambda h: h)
        u = unit(u + gradient / gradient.norm(dim=-1, keepdim=True).clamp_min(STALLED))
    return best
