r"""Gradient flow of homogeneous networks from small initialisation, in rescaled time.

$\dot w=\mathcal J(X;w)^\top r$, where $r=-\ell'(\mathcal H(X;w),y)$ (`loss_flow`) or r = z (`correlation_flow`, the NCF flow).
With $w=e^{\rho}\theta$, $\|\theta\|=1$, $g=\mathcal J(X;\theta)^\top r$, $ds=\|w\|^{L-2}dt$ and $\hat\rho=\rho-\ln\delta$:

$\theta'=(I-\theta\theta^\top)g$, $\hat\rho'=\theta^\top g$, $\hat t'=e^{-(L-2)\hat\rho}$, with $\hat t=\delta^{L-2}t$.

All of it stays of order one as $\delta\to0$; for L = 2, s = t. $\hat t$ is the time of $s(t)=w(t/\delta^{L-2})/\delta$ in Eq. (8)
of deep_homogeneous. In the arc s there is no finite-time blow-up for L > 2: $\hat\rho$ grows linearly while $\hat t$ converges
to T* (`blow_up_time`). In clock "time" the independent variable is $\hat t$ itself; integrating past T* is a RuntimeError.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from flowcheck.flows.events import Event
from flowcheck.flows.rescaled import Clock, FlowPath, Moment, Problem, renormalise
from flowcheck.flows.sliding import SLIDING, has_patterns
from flowcheck.integration.adaptive import Trajectories, integrate
from flowcheck.integration.crossings import Margin
from flowcheck.losses import Loss
from flowcheck.networks.feed_forward import FeedForward
from flowcheck.networks.hypotheses import require_degree, require_scale, require_signal
from flowcheck.networks.network import Network
from flowcheck.networks.problem import check_problem
from flowcheck.networks.sums import Separable


def loss_flow(
    network: Network,
    x: Float[Tensor, "*b n d"],
    y: Float[Tensor, "*s o"],
    loss: Loss,
    directions: Float[Tensor, "s k"],
    deltas: float | Float[Tensor, " s"],
    *,
    rtol: float | Float[Tensor, " s"] = 1e-9,
    order: Literal[5, 8] | None = None,
    length: float | Float[Tensor, " s"] = math.inf,
    until: Sequence[Event] = (),
    record_at: Float[Tensor, "*s p"] | None = None,
    keep_steps: bool = False,
    clock: Clock = "arc",
    locate_kinks: bool | None = None,
    max_steps: int = 100_000,
) -> FlowPath:
    r"""Flow of the loss from $w(0)=\delta w_0$, w_0 the rows of `directions` (of any norm; the papers take 1).

    Args:
        x, y: shared by all trajectories, or one data set for each: x [n, d] or [S, n, d], y [n] or [S, n].
        rtol: local error of direction (Euclidean) and log-norm (absolute, so relative in the norm), and of the other clock
            relative to its value plus 1/|g| at the start, the time in which the direction moves by one. One for all, or one for
            each trajectory: the same flow at two tolerances in one batch costs little more than one of them.
        order: 5 or 8; by default 8 where the flow is smooth enough to gain from it (polynomials, powers of at least 4).
        length: in the chosen clock; infinite if events end the flow.
        until: events; the first one ends a trajectory.
        record_at: increasing values of the chosen clock.
        clock: independent variable, "arc" s or "time" t̂.
        locate_kinks: cut steps where an activation of a piecewise-linear network changes sign, and slide along kinks where the
            inclusion does (`patterns`). By default wherever possible.

    Raises:
        HypothesisError: network not homogeneous of its degree, or a delta that is not positive.
        ValueError: no length and no event.
        RuntimeError: see `integrate`; in clock "time" also a blow-up before the end of the length.

    Example: fit y = 1 by ab from a = b. The output p = ab obeys p' = 2p(1 - p), and the loss has fallen by 99 % at p = 0.9.

    >>> from flowcheck.flows.events import loss_ratio_below
    >>> from flowcheck.losses import HALF_SUM
    >>> from flowcheck.networks.zoo import deep_linear
    >>> one = torch.ones(1, 1, dtype=torch.float64)
    >>> start = one.expand(1, 2) / math.sqrt(2)
    >>> path = loss_flow(deep_linear([1], 1), one, one[0], HALF_SUM, start, 1e-3, until=[loss_ratio_below(0.01)])
    >>> f"{path.weights().prod().item():.6f} at t = {path.time.item():.6f}"
    '0.900000 at t = 8.352941'
    >>> p0 = 0.5e-3**2 * 2
    >>> f"{0.5 * math.log(0.9 / 0.1 / p0 * (1 - p0)):.6f}"
    '8.352941'
    """
    scales = torch.as_tensor(deltas, dtype=directions.dtype, device=directions.device).expand(directions.shape[0])
    require_scale(scales.tolist())
    problem = _problem(network, x, loss, y, directions, scales.log(), locate_kinks)
    return _run(problem, rtol, order, length, until, record_at, keep_steps, clock, max_steps)


def correlation_flow(
    network: Network,
    x: Float[Tensor, "*b n d"],
    z: Float[Tensor, "*s o"],
    directions: Float[Tensor, "s k"],
    *,
    rtol: float | Float[Tensor, " s"] = 1e-9,
    order: Literal[5, 8] | None = None,
    length: float | Float[Tensor, " s"] = math.inf,
    until: Sequence[Event] = (),
    record_at: Float[Tensor, "*s p"] | None = None,
    keep_steps: bool = False,
    clock: Clock = "arc",
    locate_kinks: bool | None = None,
    max_steps: int = 100_000,
) -> FlowPath:
    r"""NCF flow $\dot u=\mathcal J(X;u)^\top z$ (ascent) from the rows of `directions`, of any norm. Arguments as in `loss_flow`.

    Raises:
        HypothesisError: network not homogeneous of its degree, or NCF identically zero.
    """
    for row in range(max(x.shape[0] if x.dim() == 3 else 1, z.shape[0] if z.dim() == 2 else 1)):
        require_signal(network, x[row] if x.dim() == 3 else x, z[row] if z.dim() == 2 else z)
    problem = _problem(network, x, None, z, directions, torch.zeros_like(directions[:, 0]), locate_kinks)
    return _run(problem, rtol, order, length, until, record_at, keep_steps, clock, max_steps)


def blow_up_time(
    path: FlowPath, network: Network, x: Float[Tensor, "*b n d"], z: Float[Tensor, "*s o"]
) -> tuple[Float[Tensor, " s"], Float[Tensor, " s"]]:
    r"""T* of the NCF flow, L > 2, and a bound on the error of its tail.

    $T^*-t=\int e^{-(L-2)\rho}ds\le e^{-(L-2)\rho}/(L(L-2)\mathcal N(\theta))$, with equality along a KKT direction, as
    $\rho'=L\mathcal N(\theta)$ and $\mathcal N(\theta)$ does not decrease (deep_homogeneous, Lemma B.2). The error is at most the
    tail, and at most $1-\mathcal N(\theta)/(\beta\|z\|)$ of it where the network bounds beta. inf where $\mathcal N(\theta)\le0$:
    no blow-up has been decided there. Times in the path's $\hat t$.

    Raises ValueError if L <= 2.
    """
    if network.degree <= 2:
        raise ValueError(f"a flow of degree {network.degree:g} does not blow up in finite time")
    gap = network.degree - 2
    value = (network.forward(path.direction, x) * z).sum(dim=-1)
    tail = torch.where(value > 0, torch.exp(-gap * path.log_growth) / (network.degree * gap * value), torch.inf)
    try:
        beta = value.new_tensor([network.output_bound(own) for own in x.view(-1, *x.shape[-2:])])
        slack = (1 - value / (beta * z.norm(dim=-1))).clamp(0, 1)
    except ValueError:
        slack = torch.ones_like(value)
    return path.time + tail, torch.where(torch.isfinite(tail), slack * tail, torch.inf)


def default_order(network: Network) -> Literal[5, 8]:
    """8 if the gradient has at least three derivatives: polynomials and powers of at least 4; 5 for all others.

    At a kink of a lower power both pairs lose their order, and the cheaper one wins.
    """
    parts = network.parts if isinstance(network, Separable) else (network,)
    smooth = all(
        isinstance(part, FeedForward) and all(layer.activation.slope == 1 or layer.activation.power >= 4 for layer in part.layers)
        for part in parts
    )
    return 8 if smooth else 5


def _problem(
    network: Network,
    x: Tensor,
    loss: Loss | None,
    targets: Tensor,
    directions: Tensor,
    log_delta: Tensor,
    locate_kinks: bool | None,
) -> Problem:
    check_problem(network, x, targets, loss)
    require_degree(network, x if x.dim() == 2 else x[0])
    norm = directions.norm(dim=-1)
    located = has_patterns(network) if locate_kinks is None else locate_kinks
    return Problem(network, x, loss, targets, directions / norm.unsqueeze(-1), norm.log(), log_delta, located)


def _run(
    problem: Problem,
    rtol: float | Tensor,
    order: Literal[5, 8] | None,
    length: float | Tensor,
    until: Sequence[Event],
    record_at: Tensor | None,
    keep_steps: bool,
    clock: Clock,
    max_steps: int,
) -> FlowPath:
    lengths = torch.as_tensor(length, dtype=problem.start.dtype, device=problem.start.device)
    if not until and not bool(torch.isfinite(lengths).all()):
        raise ValueError("a flow needs a finite length or an event that ends it")
    if clock == "time" and any(event.follows_clock for event in until):
        raise ValueError('in clock "time" give the time as length')
    start = problem.start_state
    if problem.patterns is not None:
        problem.patterns.begin(start, problem.everything)
    run = integrate(
        problem.rhs(clock),
        start,
        length,
        error_norm=problem.error_norm(rtol),
        order=order or default_order(problem.network),
        project=renormalise,
        events=[_margin(event, problem) for event in until],
        record_at=record_at,
        keep_steps=keep_steps,
        kinks=problem.patterns,
        max_steps=max_steps,
    )
    return _path(problem, run, clock, record_at)


def _margin(event: Event, problem: Problem) -> Margin:
    return lambda state, index: event.margin(Moment(problem, state, index))


def _path(problem: Problem, run: Trajectories, clock: Clock, record_at: Tensor | None) -> FlowPath:
    recorded = None
    if record_at is not None and run.recorded is not None:
        missing = torch.isnan(run.recorded[..., -1])
        own = record_at.to(run.recorded).expand_as(missing).masked_fill(missing, torch.nan)
        recorded = problem.states(run.recorded, own, clock)
    every_step = None
    if run.step_s is not None and run.step_state is not None:
        every_step = problem.states(run.step_state, run.step_s, clock)
    return FlowPath(
        **vars(problem.states(run.state, run.s, clock)),
        ended_by=run.ended_by,
        evaluations=run.evaluations,
        steps=run.steps,
        kinks=run.kinks,
        slides=torch.zeros_like(run.kinks) if problem.patterns is None else (problem.patterns.modes == SLIDING).sum(dim=-1),
        recorded=recorded,
        every_step=every_step,
    )
