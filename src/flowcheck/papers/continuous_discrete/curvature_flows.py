r"""Gradient flows of the training loss from near zero, at points on the way, and the smallest eigenvalue of the Hessian there.

Every flow is followed at two tolerances to the same values of its arc $\int\|\theta\|^{n-2}dt$, half of them over the whole flow,
half from where the loss begins to fall. A point whose Hessian cannot be told, as the flows lie on different sides of a kink or
one lies on it, is in no region of which the paper speaks; it is left out and counted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from flowcheck.curvature.dense import hessian
from flowcheck.flows.events import Event, loss_ratio_below
from flowcheck.flows.flow import Method, Save, gradient_flow
from flowcheck.flows.rescaled import FlowStates, RescaledFlow, renormalise
from flowcheck.integration.runge_kutta import RungeKutta
from flowcheck.losses import Loss
from flowcheck.measures.refinement import Refined
from flowcheck.networks.network import Network
from flowcheck.networks.problem import Objective
from flowcheck.networks.tied import TiedNetwork
from flowcheck.networks.zoo import deep_power
from flowcheck.papers.continuous_discrete.training_loss import TrainingLoss

TOLERANCES, KINKED_TOLERANCES = (1e-9, 1e-8), (1e-7, 1e-6)
"""Local errors of a flow; numbers are those of the first, their errors the change from the second."""
STEPS, APART = (0.04, 0.08), 0.01
"""Of the arc, where kinks are not located, and the relative distance of the two flows up to which they are one."""
KINK, STEPPED_KINK = 1e-6, 1e-3
"""Sine of the angle between a sample's units and a kink below which a point counts as on it: the flows are known to some 1e-7.
Where kinks are not located, steps of fixed length go to and fro along one, and leave it by about the second number."""
REST = 1e-6
"""Length of the rescaled gradient at which a flow rests: eigenvalues of order one are known to 1e-15, and the bounds to more."""
EPSILON = float(np.finfo(np.float64).eps)
MOST_STEPS, FEW_STEPS = 100_000, 400
"""Of the adaptive integrator; the second for networks with kinks, before steps of fixed length take over."""
CHUNK = 256
"""Points whose Hessians are held at once."""


@dataclass(frozen=True)
class Followed:
    """One flow at points on its way.

    Attributes:
        epsilon: norm of all weights at the start.
        fine, coarse: the points, at the two tolerances.
        loss_ratio: loss over that at the start.
        time, arc: of the flow itself, from 0.
        kink: sine of the angle to a kink below which a point counts as on it.
    """

    problem: TrainingLoss
    epsilon: float
    fine: Float[Tensor, "p k"]
    coarse: Float[Tensor, "p k"]
    loss_ratio: Float[np.ndarray, " p"]
    time: Float[np.ndarray, " p"]
    arc: Float[np.ndarray, " p"]
    kink: float = KINK

    @property
    def depth(self) -> int:
        """The number n of layers."""
        return len(self.problem.network.layers)


def flow_network(network: TiedNetwork, widths: Sequence[int] | None) -> Network:
    """The network whose flow is followed: layers of these widths with kinks that can be located, or the tied one as it is.

    Raises ValueError if the layers are not those of the network, or its slope above zero is not one.
    """
    if widths is None:
        return network
    if network.above != 1 or TiedNetwork.fully_connected(widths).size != network.size:
        raise ValueError(f"{network.name} of {network.size} weights and slope {network.above:g} is no network of layers {widths}")
    return deep_power(widths[1:-1], widths[0], slope=network.below, outputs=widths[-1])


def mean_loss(loss: Loss) -> Loss:
    """The loss of Eq. (9), a mean over samples, of which `loss` is that of one sample."""
    return Loss(loss.kind, "half_mean" if loss.kind == "square" else "mean", outputs_per_sample=loss.outputs_per_sample)


@dataclass(frozen=True)
class _Paths:
    """Flows at two tolerances: the arcs up to which both are known [S], and their states at values of the arc [S, P]."""

    ends: Float[Tensor, " s"]
    at: Callable[[Tensor], tuple[FlowStates, FlowStates]]


def follow(
    problem: TrainingLoss,
    widths: Sequence[int] | None,
    starts: Float[np.ndarray, "s k"],
    points: int,
    *,
    ratio: float,
    length: float,
) -> list[Followed]:
    """Flows from these weights until the loss has fallen to `ratio`, the flow rests, or its arc is `length`."""
    objective = Objective(flow_network(problem.network, widths), problem.x, problem.y, mean_loss(problem.loss))
    begin = torch.as_tensor(starts)
    smooth = problem.network.has_lipschitz_gradient
    try:
        paths, kink = _adaptive(objective, begin, ratio, length), KINK
    except RuntimeError:  # steps vanish where the solution slides along a kink that is not located, or passes too many of them
        if smooth:
            raise
        paths, kink = _stepped(objective, begin, ratio, length), STEPPED_KINK
    first, even = objective.value(begin), torch.linspace(0, 1, 8 * points, dtype=begin.dtype)
    ends = paths.ends * _reach(paths, even)
    rough = paths.at(ends[:, None] * even)[0].weights()
    falls = torch.stack([_falls(objective.value(rough[i]), first[i], even) for i in range(len(begin))])[:, None]
    early, late = (torch.linspace(0, 1, number, dtype=begin.dtype) for number in (points // 2, points - points // 2))
    shares = torch.cat([early.expand(len(begin), -1), falls + (1 - falls) * late], dim=1).sort(dim=1).values
    fine, coarse = paths.at(ends[:, None] * shares)
    weights, others, times = fine.weights(), coarse.weights(), fine.plain_time()
    return [
        Followed(
            problem,
            float(torch.linalg.norm(begin[i])),
            weights[i],
            others[i],
            (objective.value(weights[i]) / first[i]).numpy(),
            times[i].numpy(),
            fine.arc[i].numpy(),
            0.0 if smooth else kink,
        )
        for i in range(len(begin))
    ]


def _reach(paths: _Paths, shares: Float[Tensor, " p"]) -> Float[Tensor, " s"]:
    """The share of each arc up to which both flows have finite weights; a hair before the end, beyond which there are none."""
    known = [torch.isfinite(states.direction).all(dim=-1) for states in paths.at(paths.ends[:, None] * shares)]
    count = (known[0] & known[1]).to(torch.int64).cumprod(dim=1).sum(dim=1)
    return shares[(count - 1).clamp_min(0)] * (1 - 1e-9)


def _adaptive(objective: Objective, begin: Float[Tensor, "s k"], ratio: float, length: float) -> _Paths:
    """By the project's integrator, which finds kinks and slides along them."""
    count, both = len(begin), torch.cat([begin, begin])
    size = torch.linalg.norm(both, dim=1)
    smooth = objective.network.has_lipschitz_gradient
    tolerances, most = (TOLERANCES, MOST_STEPS) if smooth else (KINKED_TOLERANCES, FEW_STEPS)
    path = gradient_flow(
        objective,
        both / size[:, None],
        size,
        rtol=torch.tensor(tolerances, dtype=begin.dtype).repeat_interleave(count),
        length=length,
        until=[loss_ratio_below(ratio), Event("the flow rests", lambda now: REST - now.pull.norm(dim=-1))],
        save=Save(dense=True),
        method=Method(max_steps=most),
    )
    between, numbers = path.between, torch.arange(count)
    assert between is not None
    return _Paths(torch.minimum(path.arc[:count], path.arc[count:]), lambda s: (between(s, numbers), between(s, numbers + count)))


def _stepped(objective: Objective, begin: Float[Tensor, "s k"], ratio: float, length: float) -> _Paths:
    """By steps of two fixed lengths, where kinks are not located: along a kink the steps go to and fro, as Filippov's do."""
    size = torch.linalg.norm(begin, dim=1)
    flow = RescaledFlow(objective, begin / size[:, None], torch.zeros_like(size), size.log(), locate_kinks=False)
    everything, states = torch.arange(len(begin)), []
    method, rates = RungeKutta(5, begin), partial(_swapped, flow.rhs("arc"), everything)
    for step in STEPS:
        now = [flow.start_state]
        slope = rates(now[0])
        for _ in range(round(length / step)):
            taken = method.advance(rates, now[-1], slope, torch.full_like(size, step))
            now.append(renormalise(taken.end))
            slope = taken.end_slope
        states.append(torch.stack(now, dim=1))
    fine, coarse = states
    arcs = torch.arange(coarse.shape[1], dtype=begin.dtype).expand(len(begin), -1) * STEPS[1]
    known, other = flow.states(coarse, arcs, "arc").weights(), flow.states(fine[:, ::2], arcs, "arc").weights()
    values = torch.stack([objective.value(points) for points in known])
    apart = torch.linalg.norm(known - other, dim=2) <= APART * torch.linalg.norm(other, dim=2)
    over = (values <= ratio * values[:, :1]) | ~apart
    last = torch.where(over.any(dim=1), (over.to(torch.int64).argmax(dim=1) - 1).clamp_min(0), coarse.shape[1] - 1)

    def at(s: Float[Tensor, "s p"]) -> tuple[FlowStates, FlowStates]:
        number = (s / STEPS[1]).round().long()
        arc, rows = STEPS[1] * number, everything[:, None]
        return flow.states(fine[rows, 2 * number], arc, "arc"), flow.states(coarse[rows, number], arc, "arc")

    return _Paths(last * STEPS[1], at)


def _swapped(rates: Callable[..., Tensor], index: Tensor, state: Tensor) -> Tensor:
    """The rates of all trajectories, as a function of their states alone."""
    return rates(state, index)


def _falls(values: Float[Tensor, " p"], first: Tensor, shares: Float[Tensor, " p"]) -> Tensor:
    """The share of the arc after which the loss has fallen by a hundredth; none of it where it does not."""
    fallen = values < 0.99 * first
    return torch.where(fallen.any(), shares[fallen.to(torch.int64).argmax()], torch.zeros_like(first))


def spectrum_ends(problem: TrainingLoss, points: Float[Tensor, "p k"]) -> Float[np.ndarray, "2 p"]:
    """The smallest and the largest eigenvalue of the Hessian at each point."""
    parts = [torch.linalg.eigvalsh(hessian(problem.at, part))[:, [0, -1]] for part in torch.split(points, CHUNK)]
    return torch.cat(parts).T.numpy()


def ratios(
    flow: Followed, bound: Callable[[Tensor], Tensor], ends: tuple[Float[np.ndarray, "2 p"], Float[np.ndarray, "2 p"]]
) -> Refined:
    """Minus the smallest eigenvalue over the bound at each point, with the change between the tolerances and the rounding.

    `ends` are the ends of the spectrum at the fine and at the coarse points.
    """
    bounds: list[np.ndarray] = [torch.func.vmap(bound)(points).numpy() for points in (flow.fine, flow.coarse)]
    fine, coarse = (-eigenvalues[0] / size for eigenvalues, size in zip(ends, bounds, strict=True))
    rounding = EPSILON * flow.fine.shape[1] * np.abs(ends[0]).max(axis=0) / bounds[0]
    return Refined.of(fine, coarse).with_rounding(rounding)


def on_kinks(flow: Followed) -> Bool[np.ndarray, " p"]:
    """Points that lie on a kink as far as the flow is known, or on different sides of one at the two tolerances.

    A unit whose inputs are all zero is no kink: it stays zero around the point (Appendix D).
    """
    network, x = flow.problem.network, flow.problem.x
    if network.has_lipschitz_gradient:
        return np.zeros(len(flow.fine), dtype=bool)
    near = torch.zeros(len(flow.fine), dtype=torch.bool)
    sides = [network.layerwise(points, x) for points in (flow.fine, flow.coarse)]
    units = x.mT.expand(len(flow.fine), -1, -1)
    for matrix, fine, coarse in zip(network.matrices(flow.fine), *sides, strict=False):
        reach = torch.linalg.norm(matrix, dim=-1)[:, :, None] * torch.linalg.norm(units, dim=-2)[:, None, :]
        near |= ((reach > 0) & ((fine.abs() <= flow.kink * reach) | ((fine > 0) != (coarse > 0)))).flatten(start_dim=1).any(dim=1)
        units = network.activation(fine)
    return near.numpy()
