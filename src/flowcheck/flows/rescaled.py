r"""The gradient flow of a homogeneous network in rescaled form: states, paths, and the right-hand side. See `flow`."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from flowcheck.correlation.ncf import Correlation
from flowcheck.flows.sliding import Patterns
from flowcheck.geometry import norm
from flowcheck.networks.network import Network, Response
from flowcheck.networks.problem import Objective

Clock = Literal["arc", "time"]
LARGEST_EXPONENT = 700.0
"""exp overflows in float64 above 709."""


@dataclass(frozen=True)
class FlowStates:
    r"""States of a flow; all have the same leading dimensions: [S], or [S, P] where several states are kept.

    Attributes:
        direction: $\theta=w/\|w\|$.
        log_growth: $\hat\rho=\ln(\|w\|/\delta)$.
        time: $\hat t=\delta^{L-2}t$.
        arc: $s=\int\|w\|^{L-2}dt$.
        log_delta: $\ln\delta$, 0 for the NCF flow.
        degree: L.
    """

    direction: Float[Tensor, "*b k"]
    log_growth: Float[Tensor, "*b"]
    time: Float[Tensor, "*b"]
    arc: Float[Tensor, "*b"]
    log_delta: Float[Tensor, "*b"]
    degree: float

    def of_trajectories(self, rows: Int[Tensor, " a"]) -> FlowStates:
        """Those of some trajectories, in this order."""
        return FlowStates(
            self.direction[rows], self.log_growth[rows], self.time[rows], self.arc[rows], self.log_delta[rows], self.degree
        )

    def log_norm(self) -> Float[Tensor, "*b"]:
        r"""$\ln\|w\|$."""
        return self.log_growth + self.log_delta

    def weights_over_delta(self) -> Float[Tensor, "*b k"]:
        r"""$w/\delta$. Raises OverflowError where it leaves float64: use `direction` and `log_growth` there."""
        return _exponential(self.log_growth).unsqueeze(-1) * self.direction

    def weights(self) -> Float[Tensor, "*b k"]:
        """The weights w. Raises OverflowError where they leave float64."""
        return _exponential(self.log_norm()).unsqueeze(-1) * self.direction

    def plain_time(self) -> Float[Tensor, "*b"]:
        r"""$t=\hat t\,\delta^{-(L-2)}$. Raises OverflowError where it leaves float64."""
        return _exponential(-(self.degree - 2) * self.log_delta) * self.time


@dataclass(frozen=True)
class FlowPath(FlowStates):
    """Final states [S], how they came about, and the states on the way.

    Attributes:
        ended_by: position in `until` of the event that ended each trajectory, -1 for the end of its length.
        evaluations, steps, kinks: right-hand sides, accepted steps and located kinks of each trajectory.
        slides: on how many kinks the final state slides.
        recorded: states at `record_at` [S, P], NaN beyond the end; None if not asked for.
        every_step: all accepted steps [S, N] from the start on, padded by NaN; None if not asked for.
        between: values of the clock [A, P] and numbers of trajectories [A] -> states, NaN beyond the end; None if not asked for,
            or if all trajectories ended where they began.
    """

    ended_by: Int[Tensor, " s"]
    evaluations: Int[Tensor, " s"]
    steps: Int[Tensor, " s"]
    kinks: Int[Tensor, " s"]
    slides: Int[Tensor, " s"]
    recorded: FlowStates | None
    every_step: FlowStates | None
    between: Callable[[Tensor, Tensor], FlowStates] | None = None


@dataclass(frozen=True)
class RescaledFlow:
    """A problem and the starts of its trajectories: unit directions, ln(|w|/delta) and ln(delta)."""

    problem: Objective | Correlation
    start: Float[Tensor, "s k"]
    log_growth: Float[Tensor, " s"]
    log_delta: Float[Tensor, " s"]
    locate_kinks: bool

    @property
    def network(self) -> Network:
        return self.problem.network

    def pull(self, state: Tensor, index: Tensor) -> Float[Tensor, "a k"]:
        r"""$g=\mathcal J(X;\theta)^\top r$; on a kink along which the trajectory slides, the element that stays on it."""
        if self.patterns is not None:
            return self.patterns.pull(state, self.patterns.modes[index], index)
        return self.network.forward_and_pull(state[:, :-2], self.inputs(index), self.response(state, index))[1]

    def response(self, state: Tensor, index: Tensor) -> Response:
        r"""$\mathcal H(X;\theta)\mapsto r$."""
        if isinstance(self.problem, Correlation):
            z = self.problem.z
            own = z if z.dim() == 1 else z[index]
            return lambda _: own
        factor, loss, y = self._output_factor(state, index), self.problem.loss, self._labels(self.problem, index)
        return lambda outputs: loss.residual(factor * outputs, y)

    def inputs(self, index: Tensor) -> Float[Tensor, "*a n d"]:
        x = self.problem.x
        return x if x.dim() == 2 else x[index]

    @functools.cached_property
    def patterns(self) -> Patterns | None:
        """The pieces of a piecewise-linear network; None where kinks are not to be located."""
        return Patterns(self.network, self.inputs, self.response) if self.locate_kinks else None

    def loss_value(self, state: Tensor, index: Tensor) -> Float[Tensor, " a"]:
        """The loss of each state. Raises ValueError for the NCF flow, which has none."""
        if isinstance(self.problem, Correlation):
            raise ValueError("the NCF flow has no loss")
        outputs = self._output_factor(state, index) * self.network.forward(state[:, :-2], self.inputs(index))
        return self.problem.loss.value(outputs, self._labels(self.problem, index))

    @functools.cached_property
    def start_state(self) -> Float[Tensor, "s m"]:
        """Direction, log-growth and the other clock."""
        return torch.cat([self.start, self.log_growth[:, None], torch.zeros_like(self.log_growth)[:, None]], dim=-1)

    @functools.cached_property
    def start_loss(self) -> Float[Tensor, " s"]:
        return self.loss_value(self.start_state, self.everything)

    @functools.cached_property
    def everything(self) -> Int[Tensor, " s"]:
        """The numbers of all trajectories."""
        return torch.arange(len(self.start), device=self.start.device)

    def rhs(self, clock: Clock) -> Callable[..., Tensor]:
        """Derivatives of direction, log-growth and the other clock with respect to `clock`."""
        exponent = self.network.degree - 2

        def rates(state: Tensor, *mode_and_index: Tensor) -> Tensor:
            pull = self.pull(state, *mode_and_index) if self.patterns is None else self.patterns.pull(state, *mode_and_index)
            direction, log_growth = state[:, :-2], state[:, -2:-1]
            radial = torch.linalg.vecdot(direction, pull).unsqueeze(-1)
            tangential = torch.addcmul(pull, direction, radial, value=-1)
            if clock == "arc":
                return torch.cat([tangential, radial, torch.exp(-exponent * log_growth)], dim=-1)
            speed = torch.exp(exponent * log_growth)
            return torch.cat([speed * tangential, speed * radial, speed], dim=-1)

        return rates

    def error_norm(self, rtol: Float[Tensor, " s"]) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
        """The local error of a step in units of `rtol`: of the direction, of the log-growth, and of the other clock.

        The last is relative to its value plus 1/|g| at the start, the time in which the direction moves by one.
        """
        clock_scale = 1 / norm(self.pull(self.start_state, self.everything)).clamp_min(1e-300)

        def size(error: Tensor, state: Tensor, index: Tensor) -> Tensor:
            other = error[:, -1].abs() / (state[:, -1].abs() + clock_scale[index])
            return torch.maximum(torch.maximum(error[:, :-2].norm(dim=-1), error[:, -2].abs()), other) / rtol[index]

        return size

    def states(
        self, state: Float[Tensor, "a *p m"], own: Float[Tensor, " a *p"], clock: Clock, index: Int[Tensor, " a"] | None = None
    ) -> FlowStates:
        """States at values `own` of `clock`, of all trajectories or of those with the numbers `index`."""
        other = state[..., -1]
        arc, time = (own, other) if clock == "arc" else (other, own)
        log_delta = self.log_delta if index is None else self.log_delta[index]
        log_delta = log_delta.view(-1, *[1] * (other.dim() - 1)).expand_as(other)
        return FlowStates(state[..., :-2], state[..., -2], time, arc, log_delta, float(self.network.degree))

    @staticmethod
    def _labels(problem: Objective, index: Tensor) -> Tensor:
        return problem.y if problem.y.dim() == 1 else problem.y[index]

    def _output_factor(self, state: Tensor, index: Tensor) -> Tensor:
        r"""$e^{L\rho}$ [A, 1]; rounds to 0 below 1e-324, where the residual no longer feels the outputs."""
        return torch.exp(self.network.degree * (state[:, -2] + self.log_delta.index_select(0, index))).unsqueeze(-1)


@dataclass(frozen=True)
class Moment:
    """Trajectories at one moment, as an event sees them: those that still run, one row each.

    Attributes:
        flow: what drives them.
        index: their numbers in the batch [A], for what differs between trajectories.
    """

    flow: RescaledFlow
    state: Float[Tensor, "a m"]
    index: Int[Tensor, " a"]

    @functools.cached_property
    def direction(self) -> Float[Tensor, "a k"]:
        r"""$\theta$; inside a step it leaves the sphere by the local error, and is put back here."""
        return _on_sphere(self.state)

    @property
    def log_growth(self) -> Float[Tensor, " a"]:
        r"""$\hat\rho=\ln(\|w\|/\delta)$."""
        return self.state[:, -2]

    @property
    def log_norm(self) -> Float[Tensor, " a"]:
        r"""$\ln\|w\|$."""
        return self.state[:, -2] + self.flow.log_delta[self.index]

    @property
    def time(self) -> Float[Tensor, " a"]:
        r"""$\hat t$, in clock "arc"."""
        return self.state[:, -1]

    @functools.cached_property
    def pull(self) -> Float[Tensor, "a k"]:
        r"""$g=\mathcal J(X;\theta)^\top r$."""
        return self.flow.pull(self.state, self.index)

    def loss_ratio(self) -> Float[Tensor, " a"]:
        """The loss over that at the start, 0 where both are 0. Raises ValueError for the NCF flow, which has none."""
        now, first = self.flow.loss_value(self.state, self.index), self.flow.start_loss[self.index]
        return torch.where((now == 0) & (first == 0), 0.0, now / first)


def renormalise(state: Float[Tensor, "s m"]) -> Float[Tensor, "s m"]:
    """States whose directions are on the sphere again."""
    return torch.cat([_on_sphere(state), state[:, -2:]], dim=-1)


def _on_sphere(state: Float[Tensor, "s m"]) -> Float[Tensor, "s k"]:
    """Directions that are off the sphere by the local error only: no square leaves float64, unlike in `geometry.unit`."""
    direction = state[:, :-2]
    return direction / direction.norm(dim=-1, keepdim=True)


def _exponential(exponent: Tensor) -> Tensor:
    if bool((exponent > LARGEST_EXPONENT).any()):
        raise OverflowError(f"e^{float(exponent.max()):.0f} leaves float64")
    return torch.exp(exponent)
