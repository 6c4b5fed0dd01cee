r"""Gradient flow of homogeneous networks from small initialisation, in rescaled time.

$\dot w=\mathcal J(X;w)^\top r$, where $r=-\ell'(\mathcal H(X;w),y)$ for an `Objective`, and r = z for a `Correlation`.
With $w=e^{\rho}\theta$, $\|\theta\|=1$, $g=\mathcal J(X;\theta)^\top r$, $ds=\|w\|^{L-2}dt$ and $\hat\rho=\rho-\ln\delta$:

$\theta'=(I-\theta\theta^\top)g$, $\hat\rho'=\theta^\top g$, $\hat t'=e^{-(L-2)\hat\rho}$, with $\hat t=\delta^{L-2}t$.

All of it stays of order one as $\delta\to0$; for L = 2, s = t. $\hat t$ is the time of $s(t)=w(t/\delta^{L-2})/\delta$ in Eq. (8)
of deep_homogeneous. In the arc s there is no finite-time blow-up for L > 2: $\hat\rho$ grows linearly while $\hat t$ converges
to T* (`blow_up_time`). In clock "time" the independent variable is $\hat t$ itself; integrating past T* is a RuntimeError.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from flowcheck.arguments import NOT_NEGATIVE, TOLERANCE, instance, one_of, whole
from flowcheck.correlation.ncf import Correlation
from flowcheck.flows.events import Event
from flowcheck.flows.rescaled import Clock, FlowPath, FlowStates, Moment, RescaledFlow, renormalise
from flowcheck.flows.sliding import SLIDING, has_patterns
from flowcheck.geometry import directed, norm, unit
from flowcheck.integration.adaptive import Trajectories, integrate
from flowcheck.integration.crossings import Margin
from flowcheck.networks.feed_forward import FeedForward
from flowcheck.networks.hypotheses import require_scale
from flowcheck.networks.network import Network
from flowcheck.networks.problem import Objective, check_runs
from flowcheck.networks.sums import Separable
from flowcheck.tensors import Numbers, for_each, points


@dataclass(frozen=True)
class Save:
    """What is kept of a flow besides its end.

    Attributes:
        at: values of the clock in any order, shared [P] or for each trajectory [S, P], padded by NaN; None for none.
        steps: keep every accepted step.
        dense: keep what tells the states between them.
    """

    at: Numbers | None = None
    steps: bool = False
    dense: bool = False


@dataclass(frozen=True)
class Method:
    """How a flow is integrated. Raises ValueError for other values than these.

    Attributes:
        order: 5 or 8; by default 8 where the flow is smooth enough to gain from it (polynomials, powers of at least 4).
        locate_kinks: cut steps where an activation of a piecewise-linear network changes sign, and slide along kinks where the
            inclusion does (`sliding`). By default wherever possible; without it a flow that slides ends with a RuntimeError.
        max_steps: of each trajectory.
    """

    order: Literal[5, 8] | None = None
    locate_kinks: bool | None = None
    max_steps: int = 100_000

    def __post_init__(self) -> None:
        one_of("order", self.order, (None, 5, 8))
        one_of("locate_kinks", self.locate_kinks, (None, True, False))
        object.__setattr__(self, "max_steps", whole("max_steps", self.max_steps, 1))


def gradient_flow(
    problem: Objective | Correlation,
    directions: Numbers,
    delta: float | Numbers = 1.0,
    *,
    rtol: float | Numbers = 1e-9,
    length: float | Numbers = math.inf,
    until: Sequence[Event] = (),
    save: Save = Save(),
    clock: Clock = "arc",
    method: Method = Method(),
) -> FlowPath:
    r"""Flow from $w(0)=\delta w_0$, w_0 the rows of `directions` (of any norm; the papers take 1).

    Of an `Objective` it is the gradient flow of the loss; of a `Correlation` the NCF flow $\dot u=\mathcal J(X;u)^\top z$, an
    ascent.

    Args:
        problem: shared by all trajectories, or with data for each.
        directions: [S, k].
        delta: one, or one for each trajectory.
        rtol: local error of direction (Euclidean) and log-norm (absolute, so relative in the norm), and of the other clock
            relative to its value plus 1/|g| at the start, the time in which the direction moves by one. One for all, or one for
            each trajectory: the same flow at two tolerances in one batch costs little more than one of them.
        length: in the chosen clock; infinite if events end the flow.
        until: events; the first one ends a trajectory.
        clock: independent variable, "arc" s or "time" t̂.

    Raises:
        HypothesisError: network not homogeneous of its degree, a delta that is not positive, or an NCF identically zero.
        ValueError: starts that do not fit the problem; no length and no event; an argument that is not what is asked for.
        RuntimeError: see `integrate`; in clock "time" also a blow-up before the end of the length.

    Example: fit y = 1 by ab from a = b. The output p = ab obeys p' = 2p(1 - p), and the loss has fallen by 99 % at p = 0.9.

    >>> from flowcheck.flows.events import loss_ratio_below
    >>> from flowcheck.losses import HALF_SUM
    >>> from flowcheck.networks.zoo import deep_linear
    >>> fit = Objective(deep_linear([1], 1), torch.tensor([[1.0]]), torch.tensor([1.0]), HALF_SUM)
    >>> start = torch.ones(1, 2, dtype=torch.float64) / math.sqrt(2)
    >>> path = gradient_flow(fit, start, 1e-3, until=[loss_ratio_below(0.01)])
    >>> f"{path.weights().prod().item():.6f} at t = {path.time.item():.6f}"
    '0.900000 at t = 8.352941'
    >>> p0 = 0.5e-3**2 * 2
    >>> f"{0.5 * math.log(0.9 / 0.1 / p0 * (1 - p0)):.6f}"
    '8.352941'
    """
    instance("problem", problem, Objective, Correlation)
    one_of("clock", clock, get_args(Clock))
    if not (isinstance(until, Sequence) and all(isinstance(event, Event) for event in until)):
        raise ValueError(f"until must be a list of events, got {until!r}")
    flow = _begin(problem, directions, delta, method)
    lengths, tolerances = (for_each("length", length, flow.start, NOT_NEGATIVE), for_each("rtol", rtol, flow.start, TOLERANCE))
    if not until and not bool(torch.isfinite(lengths).all()):
        raise ValueError("a flow needs a finite length or an event that ends it")
    if clock == "time" and any(event.follows_clock for event in until):
        raise ValueError('in clock "time" give the time as length')
    at = None if save.at is None else points("save.at", save.at, lengths)
    start = flow.start_state
    if flow.patterns is not None:
        flow.patterns.begin(start, flow.everything)
    run = integrate(
        flow.rhs(clock),
        start,
        lengths,
        error_norm=flow.error_norm(tolerances),
        order=method.order or default_order(flow.network),
        project=renormalise,
        events=[_margin(event, flow) for event in until],
        record_at=at,
        keep_steps=save.steps,
        keep_dense=save.dense,
        kinks=flow.patterns,
        max_steps=method.max_steps,
    )
    return _path(flow, run, clock, at)


def blow_up_time(path: FlowPath, correlation: Correlation) -> tuple[Float[Tensor, " s"], Float[Tensor, " s"]]:
    r"""T* of the NCF flow, L > 2, and a bound on the error of its tail.

    $T^*-t=\int e^{-(L-2)\rho}ds\le e^{-(L-2)\rho}/(L(L-2)\mathcal N(\theta))$, with equality along a KKT direction, as
    $\rho'=L\mathcal N(\theta)$ and $\mathcal N(\theta)$ does not decrease (deep_homogeneous, Lemma B.2). The error is at most the
    tail, and at most $1-\mathcal N(\theta)/(\beta\|z\|)$ of it where the network bounds beta. inf where $\mathcal N(\theta)\le0$:
    no blow-up has been decided there. Times in the path's $\hat t$.

    Raises ValueError if L <= 2.
    """
    instance("path", path, FlowPath)
    instance("correlation", correlation, Correlation)
    degree = correlation.network.degree
    if degree <= 2:
        raise ValueError(f"a flow of degree {degree:g} does not blow up in finite time")
    value = (correlation.network.forward(path.direction, correlation.x) * correlation.z).sum(dim=-1)
    tail = torch.where(value > 0, torch.exp(-(degree - 2) * path.log_growth) / (degree * (degree - 2) * value), torch.inf)
    bound = correlation.upper_bound
    slack = torch.ones_like(value) if bound is None else (1 - value / bound).clamp(0, 1)
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


def _begin(problem: Objective | Correlation, directions: Numbers, delta: float | Numbers, method: Method) -> RescaledFlow:
    """Every hypothesis of the flow is asked for, and the starts become directions and logarithms."""
    _ = problem.degree_defect
    if isinstance(problem, Correlation):
        _ = problem.signal
    labels = problem.z if isinstance(problem, Correlation) else problem.y
    starts = directed("start", check_runs(problem.network, problem.x, labels, directions))
    scales = for_each("delta", delta, starts)
    require_scale(scales.tolist())
    size = norm(starts)
    known = has_patterns(problem.network)
    if method.locate_kinks and not known:
        raise ValueError(f"locate_kinks: {problem.network.name} is not piecewise linear")
    located = known if method.locate_kinks is None else method.locate_kinks
    return RescaledFlow(problem, unit(starts), size.log(), scales.log(), located)


def _margin(event: Event, flow: RescaledFlow) -> Margin:
    return lambda state, index: event.margin(Moment(flow, state, index))


def _path(flow: RescaledFlow, run: Trajectories, clock: Clock, record_at: Tensor | None) -> FlowPath:
    recorded = None
    if record_at is not None and run.recorded is not None:
        missing = torch.isnan(run.recorded[..., -1])
        own = record_at.masked_fill(missing, torch.nan)
        recorded = flow.states(run.recorded, own, clock)
    every_step = None
    if run.step_s is not None and run.step_state is not None:
        every_step = flow.states(run.step_state, run.step_s, clock)
    dense = run.dense

    def between(at: Tensor, index: Tensor) -> FlowStates:
        assert dense is not None
        state = dense(at, index)
        return flow.states(state, at.masked_fill(torch.isnan(state[..., -1]), torch.nan), clock, index)

    return FlowPath(
        **vars(flow.states(run.state, run.s, clock)),
        ended_by=run.ended_by,
        evaluations=run.evaluations,
        steps=run.steps,
        kinks=run.kinks,
        slides=torch.zeros_like(run.kinks) if flow.patterns is None else (flow.patterns.modes == SLIDING).sum(dim=-1),
        recorded=recorded,
        every_step=every_step,
        between=None if dense is None else between,
    )
