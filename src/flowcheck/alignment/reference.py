"""References of early alignment: flows of the NCF to their ends, the moments of epsilon, the floor of the norm."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from flowcheck.correlation import clarke
from flowcheck.correlation.ncf import Correlation
from flowcheck.flows.ending import Ending, Ends
from flowcheck.flows.flow import Save, blow_up_time, gradient_flow
from flowcheck.flows.rescaled import FlowStates
from flowcheck.geometry import angle, misalignment
from flowcheck.networks.network import Network

SETTLED = 1e-6
"""Sine of the angle between direction and gradient below which the direction has converged."""


REFERENCE_RTOL = 1e-7
"""Tolerance of the NCF flows that others are compared with."""

COARSER = 10.0
"""How many times as large a sine or a tolerance is, from which the error of a limit or of a blow-up time is told."""

AT_REST = 1e-10
"""Length of the NCF gradient, relative to that of z, below which a flow that does not grow has come to rest."""


@dataclass(frozen=True)
class Reference:
    r"""NCF flows from unit vectors w_0, to their ends.

    Attributes:
        limit, limit_error: $u_*$ [S, k], the final direction, and the angle by which it may miss the true one [S]: what u turned
            while it slowed down to the last `COARSER`-th of its speed. Where it converges exponentially, a ninth of that is left.
        value, residual: $\mathcal N(u_*)$ and its KKT residual [S]: the sine between gradient and direction, or, where the flow
            has come to rest ($\lambda_*=0$), the length of the gradient over that of z.
        kink_error: by how much a residual can be wrong where several smooth pieces meet, and a program finds the nearest element
            of the subdifferential [S]; 0 where there is one gradient.
        branch: the `Ending` of each flow [S].
        steps: every accepted step, [S, N], padded by NaN.
        blow_up, blow_up_error: T* for L > 2, and a bound on its error; inf for flows that do not blow up, and for L = 2.
        norm_floor: $\tilde\eta$ [S]: $\|u(t)\|\ge\tilde\eta$ from step `from_step` on, as Lemma C.7 (two_homogeneous) and
            Lemma B.6 (deep_homogeneous) choose it; 0 for those that vanish.
    """

    limit: Float[Tensor, "s k"]
    limit_error: Float[Tensor, " s"]
    value: Float[Tensor, " s"]
    residual: Float[Tensor, " s"]
    kink_error: Float[Tensor, " s"]
    branch: Int[Tensor, " s"]
    steps: FlowStates
    blow_up: Float[Tensor, " s"]
    blow_up_error: Float[Tensor, " s"]
    norm_floor: Float[Tensor, " s"]
    from_step: Int[Tensor, " s"]

    def moment(self, epsilon: float | Float[Tensor, " s"]) -> Int[Tensor, " s"]:
        r"""First step from which $\cos(u,u_*)\ge1-\epsilon$ and $\|u\|\ge\tilde\eta$, or, where u vanishes, $\|u\|\le\epsilon$.

        Raises ValueError if a flow was not followed so far.
        """
        allowed = torch.as_tensor(epsilon, dtype=self.value.dtype, device=self.value.device).expand_as(self.value).unsqueeze(1)
        distant = misalignment(self.steps.direction, self.limit.unsqueeze(1)) > allowed
        large = self.steps.log_growth > allowed.log()
        missing = torch.where((self.branch == Ending.VANISHES).unsqueeze(1), large, distant)
        position = torch.arange(missing.shape[1], device=missing.device)
        first = torch.maximum((missing * (position + 1)).amax(dim=1), self.from_step)
        if bool((first >= (~torch.isnan(self.steps.arc)).sum(dim=1)).any()):
            raise ValueError(f"a flow was not followed to epsilon = {float(allowed.min()):g}")
        return first

    def at(self, step: Int[Tensor, " s"]) -> tuple[Float[Tensor, " s"], Float[Tensor, " s"]]:
        r"""Arc and $\hat t$ of one step of each flow."""
        column = step.unsqueeze(1)
        return self.steps.arc.gather(1, column)[:, 0], self.steps.time.gather(1, column)[:, 0]

    def before(self, time: Float[Tensor, " s"]) -> Float[Tensor, " s"]:
        r"""Arc of the last step that is not later than $\hat t$ = `time`."""
        last = (self.steps.time <= time.unsqueeze(1)).sum(dim=1) - 1
        return self.at(last)[0]

    def below(self, log_growth: float) -> Int[Tensor, " s"]:
        r"""Last step before $\ln\|u\|$ first exceeds `log_growth`; the last of all where it never does."""
        return (self.steps.log_growth <= log_growth).cumprod(dim=1).sum(dim=1) - 1

    def largest_norm(self, step: Int[Tensor, " s"]) -> Float[Tensor, " s"]:
        r"""$B_\epsilon$: the largest norm up to that step."""
        beyond = torch.arange(self.steps.arc.shape[1], device=step.device) > step.unsqueeze(1)
        return self.steps.log_growth.masked_fill(beyond, -torch.inf).amax(dim=1).exp()


def reference(
    network: Network,
    x: Float[Tensor, "n d"],
    z: Float[Tensor, "s o"],
    starts: Float[Tensor, "s k"],
    *,
    smallest_epsilon: float,
    rtol: float = REFERENCE_RTOL,
) -> Reference:
    r"""NCF flows $\dot u=\mathcal J(X;u)^\top z$ from the rows of `starts`, each with its own z.

    A flow is followed until its direction has settled, and, where its NCF is negative, on to $\|u\|<$ `smallest_epsilon`; or
    until it has come to rest. Raises HypothesisError as `gradient_flow` does.
    """
    size = z.norm(dim=-1)

    # none is open: how well a direction has settled is measured, as its residual
    ends = Ends(SETTLED, AT_REST, math.log(smallest_epsilon) - 1, grown=math.inf, zero=0.0, decided=math.inf, sine=True)
    correlation = Correlation(network, x, z)
    path = gradient_flow(correlation, starts, rtol=rtol, until=ends.events(size), save=Save(steps=True))
    value, gradient = correlation.value_and_gradient(path.direction)
    along = (gradient * path.direction).sum(dim=-1, keepdim=True)
    tangential, length = (gradient - along * path.direction).norm(dim=-1), gradient.norm(dim=-1)
    branch = ends.tell(value, length, tangential, path.log_norm(), size)
    residual = torch.where(branch == Ending.RESTS, length / size, tangential / length.clamp_min(1e-300))
    kink_error = torch.zeros_like(residual)
    for row in (residual > 2 * SETTLED).nonzero()[:, 0].tolist():  # on a kink one gradient is not the subdifferential
        nearest, known_to = clarke.residual_nearby(Correlation(network, x, z[row]), path.direction[row])
        if nearest < float(residual[row]):
            residual[row], kink_error[row] = nearest, known_to
    steps = path.every_step
    assert steps is not None
    floor, from_step = _norm_floor(network, x, z, steps, branch)
    if network.degree > 2:
        blow_up, error = blow_up_time(path, correlation)
    else:
        blow_up = error = torch.full_like(value, torch.inf)
    limit_error = _limit_error(steps, path.direction, network.degree * value.abs())
    return Reference(path.direction, limit_error, value, residual, kink_error, branch, steps, blow_up, error, floor, from_step)


def _limit_error(steps: FlowStates, limit: Float[Tensor, "s k"], radial: Float[Tensor, " s"]) -> Float[Tensor, " s"]:
    """From where the direction last moved at `COARSER` times the speed at which it has settled; `radial` is L |N|."""
    speed = steps.direction.diff(dim=1).norm(dim=-1) / steps.arc.diff(dim=1)
    fast = torch.nn.functional.pad(speed >= COARSER * SETTLED * radial.unsqueeze(1), (0, 1))  # none leads on from the last step
    last = (fast * torch.arange(fast.shape[1], device=fast.device)).amax(dim=1)
    return angle(steps.direction[torch.arange(len(last), device=last.device), last], limit)


def _norm_floor(
    network: Network, x: Tensor, z: Tensor, steps: FlowStates, branch: Tensor
) -> tuple[Float[Tensor, " s"], Int[Tensor, " s"]]:
    """The norm where the NCF has become positive, which is where it starts to grow; at rest, the final norm from the start on."""
    count, length, size = steps.direction.shape
    outputs = network.forward(steps.direction.reshape(-1, size), x).view(count, length, -1)
    positive = torch.einsum("spn,sn->sp", outputs, z) > 0
    first = positive.to(torch.int64).argmax(dim=1)
    at_first = steps.log_growth.gather(1, first.unsqueeze(1))[:, 0].exp()
    last = torch.where(torch.isnan(steps.log_growth), torch.inf, steps.log_growth).amin(dim=1).exp()
    floor = torch.where(branch == Ending.GROWS, at_first, torch.where(branch == Ending.RESTS, last, 0.0))
    return floor, torch.where(branch == Ending.GROWS, first, 0)
