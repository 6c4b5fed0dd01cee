r"""Early alignment: the flow from $w(0)=\delta w_0$ against the NCF flow u from w_0 (Theorem 5.1 of both papers).

`reference` follows u to the KKT point that it ends at and says when it is within $1-\epsilon$ of it; `shadow` integrates
$s(\hat t)=w(\hat t/\delta^{L-2})/\delta$ and u side by side; `escape` follows w until the loss has fallen by a hundredth.

`shadow` takes the same steps for s and u, so that truncation errors cancel in s - u. It integrates the gradient flow of the loss
as it stands (Eq. (3) of two_homogeneous, Eq. (7) of deep_homogeneous) in the units of s and does not use homogeneity, so networks
that lack it, and wrong exponents of the time scale, can be run as controls.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from flowcheck import clarke
from flowcheck.correlation import Correlation, angle, unit
from flowcheck.data import unit_vectors
from flowcheck.flow import (
    Event,
    FlowStates,
    Problem,
    blow_up_time,
    correlation_flow,
    loss_flow,
    loss_ratio_below,
)
from flowcheck.integrator import integrate
from flowcheck.losses import Loss
from flowcheck.networks import Network

DIRECTION, COLLAPSE, REST = 0, 1, 2
"""How an NCF flow ends: along a KKT point of positive value; at the origin; at a point other than it."""

SETTLED = 1e-6
"""Sine of the angle between direction and gradient below which the direction has converged."""

ON_KINK, PIECES_SAMPLED = 1e-6, 500
"""Preactivations at a limit direction that count as 0, and in how many random directions pieces beside them are looked for."""

REFERENCE_RTOL = 1e-7
"""Tolerance of the NCF flows that others are compared with."""

LARGEST_CONDITION = 1e8
r"""Of $\|u\|^{L-2}$: by so much a relative error of time grows until u is compared at equal time. Half the digits of float64."""

AT_REST = 1e-10
"""Length of the NCF gradient, relative to that of z, below which a flow that does not grow has come to rest."""


@dataclass(frozen=True)
class Reference:
    r"""NCF flows from unit vectors w_0, to their ends.

    Attributes:
        limit: $u_*$ [S, k], the final direction.
        value, residual: $\mathcal N(u_*)$ and its KKT residual [S]: the sine between gradient and direction, or, where the flow
            has come to rest ($\lambda_*=0$), the length of the gradient over that of z.
        branch: DIRECTION, COLLAPSE or REST [S].
        steps: every accepted step, [S, N], padded by NaN.
        blow_up, blow_up_error: T* for L > 2, and a bound on its error; inf for flows that do not blow up, and for L = 2.
        norm_floor: $\tilde\eta$ [S]: $\|u(t)\|\ge\tilde\eta$ from step `from_step` on, as Lemma C.7 (two_homogeneous) and
            Lemma B.6 (deep_homogeneous) choose it; 0 for COLLAPSE.
    """

    limit: Float[Tensor, "s k"]
    value: Float[Tensor, " s"]
    residual: Float[Tensor, " s"]
    branch: Int[Tensor, " s"]
    steps: FlowStates
    blow_up: Float[Tensor, " s"]
    blow_up_error: Float[Tensor, " s"]
    norm_floor: Float[Tensor, " s"]
    from_step: Int[Tensor, " s"]

    def moment(self, epsilon: float | Float[Tensor, " s"]) -> Int[Tensor, " s"]:
        r"""First step from which on $\cos(u,u_*)\ge1-\epsilon$ and $\|u\|\ge\tilde\eta$, or, for COLLAPSE, $\|u\|\le\epsilon$.

        Raises ValueError if a flow was not followed so far.
        """
        allowed = torch.as_tensor(epsilon, dtype=self.value.dtype, device=self.value.device).expand_as(self.value).unsqueeze(1)
        distant = misalignment(self.steps.direction, self.limit.unsqueeze(1)) > allowed
        large = self.steps.log_growth > allowed.log()
        missing = torch.where((self.branch == COLLAPSE).unsqueeze(1), large, distant)
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
    z: Float[Tensor, "s n"],
    starts: Float[Tensor, "s k"],
    *,
    smallest_epsilon: float,
    rtol: float = REFERENCE_RTOL,
) -> Reference:
    r"""NCF flows $\dot u=\mathcal J(X;u)^\top z$ from the rows of `starts`, each with its own z.

    A flow is followed until its direction has settled, and, where its NCF is negative, on to $\|u\|<$ `smallest_epsilon`; or
    until it has come to rest. Raises HypothesisError as `correlation_flow` does.
    """
    size = z.norm(dim=-1)

    def over(p: Problem, state: Tensor, index: Tensor) -> Tensor:
        """Settled and, if it shrinks, small enough; or at rest."""
        pull, direction = p.pull(state, index), unit(state[:, :-2])  # a step ends off the sphere before it is projected
        radial, length = (pull * direction).sum(dim=-1), pull.norm(dim=-1)
        margin = SETTLED * length - (pull - radial.unsqueeze(-1) * direction).norm(dim=-1)
        small = torch.where(radial < 0, math.log(smallest_epsilon) - 1 - state[:, -2], torch.inf)
        return torch.maximum(torch.minimum(margin, small), AT_REST * size[index] - length)

    path = correlation_flow(network, x, z, starts, rtol=rtol, until=[Event("over", over)], keep_steps=True)
    gradient = network.pull(path.direction, x, z)
    value = (network.forward(path.direction, x) * z).sum(dim=-1)
    radial = (gradient * path.direction).sum(dim=-1, keepdim=True)
    tangential = (gradient - radial * path.direction).norm(dim=-1)
    rest = gradient.norm(dim=-1) <= 2 * AT_REST * size
    residual = torch.where(rest, gradient.norm(dim=-1) / size, tangential / gradient.norm(dim=-1).clamp_min(1e-300))
    branch = torch.where(rest, REST, torch.where(value > 0, DIRECTION, COLLAPSE))
    for row in (residual > 2 * SETTLED).nonzero()[:, 0].tolist():  # on a kink one gradient is not the subdifferential
        residual[row] = min(float(residual[row]), _residual_on_kinks(network, x, z[row], path.direction[row]))
    steps = path.every_step
    assert steps is not None
    floor, from_step = _norm_floor(network, x, z, steps, branch)
    if network.degree > 2:
        blow_up, error = blow_up_time(path, network, x, z)
    else:
        blow_up = error = torch.full_like(value, torch.inf)
    return Reference(path.direction, value, residual, branch, steps, blow_up, error, floor, from_step)


def _residual_on_kinks(network: Network, x: Tensor, z: Tensor, direction: Tensor) -> float:
    """Distance of a direction from being a KKT point in Clarke's sense, from the pieces that meet within `ON_KINK`."""
    around = unit_vectors(np.random.Generator(np.random.PCG64(0)), PIECES_SAMPLED, len(direction)).to(direction)
    signs = clarke.nearby_signs(network, direction, x, around, tolerance=ON_KINK)
    return clarke.clarke_residual(Correlation(network, x, z), direction, signs)


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
    floor = torch.where(branch == DIRECTION, at_first, torch.where(branch == REST, last, 0.0))
    return floor, torch.where(branch == DIRECTION, first, 0)


def misalignment(a: Float[Tensor, "*s k"], b: Float[Tensor, "*#s k"]) -> Float[Tensor, "*s"]:
    r"""$1-\cos$ of the angle between rows, accurate near 0."""
    return 2 * torch.sin(0.5 * angle(a, b)).square()


@dataclass(frozen=True)
class Cases:
    """What flows start from, one row each; deltas are added by `with_deltas`.

    Attributes:
        y: labels [S, n].
        z: the vector that drives u [S, n].
        starts: w_0 [S, k], unit vectors.
        loss: which of the losses drives w [S].
    """

    y: Float[Tensor, "s n"]
    z: Float[Tensor, "s n"]
    starts: Float[Tensor, "s k"]
    loss: Int[Tensor, " s"]

    @classmethod
    def of(cls, losses: Sequence[Loss], y: Float[Tensor, "l s n"], starts: Float[Tensor, "s k"]) -> Cases:
        r"""Every loss, with labels of its own, from every start; $z=-\ell'(0,y)$."""
        z = torch.stack([loss.correlation_vector(labels) for loss, labels in zip(losses, y, strict=True)])
        which = torch.arange(len(losses), device=y.device).repeat_interleave(len(starts))
        return cls(y.flatten(0, 1), z.flatten(0, 1), starts.repeat(len(losses), 1), which)

    def take(self, rows: Int[Tensor, " r"]) -> Cases:
        return Cases(self.y[rows], self.z[rows], self.starts[rows], self.loss[rows])


@dataclass(frozen=True)
class Shadow:
    r"""$s(\hat t)=w(\hat t/\delta^{L-2})/\delta$ and u at the same points of u's arc, for every case and delta.

    Attributes:
        s, u: [S, D, P, k].
        time: $\hat t$ [S, D, P].
        change: $\|\ell'(\mathcal H(X;w),y)-\ell'(0,y)\|$ [S, D, P]: what Theorem 5.1 of both papers calls $\xi$.
    """

    s: Float[Tensor, "s d p k"]
    u: Float[Tensor, "s d p k"]
    time: Float[Tensor, "s d p"]
    change: Float[Tensor, "s d p"]

    def deviation(self) -> Float[Tensor, "s d p"]:
        r"""$\sup\|s-u\|$ up to each point."""
        return (self.s - self.u).norm(dim=-1).cummax(dim=-1).values

    def misalignment(self, limit: Float[Tensor, "s k"]) -> Float[Tensor, "s d p"]:
        r"""$1-\cos(s,u_*)$."""
        return misalignment(self.s, limit[:, None, None])


def shadow(
    network: Network,
    x: Float[Tensor, "n d"],
    losses: Sequence[Loss],
    cases: Cases,
    deltas: Float[Tensor, "s deltas"],
    arcs: Float[Tensor, "s p"],
    *,
    rtol: float,
    degree: float | None = None,
    coarser: float = 10.0,
) -> tuple[Shadow, Shadow]:
    r"""Side by side: s and u with the same steps, recorded at increasing `arcs` of u; at `rtol`, and at `coarser` times that.

    With $c=\|u\|^{-(L-2)}$ the derivatives with respect to the arc are $c\,\mathcal J(X;u)^\top z$ for u and
    $-c\,\delta^{-(L-1)}\mathcal J(X;\delta s)^\top\ell'(\mathcal H(X;\delta s),y)$ for s; L is `degree`, by default the
    network's. The error of a step is measured block by block of a separable network, relative to the block, so that blocks
    which stay small are as accurate as the others.
    """
    exponent = (network.degree if degree is None else degree) - 2
    size, blocks, rows = network.size, len(network.blocks), deltas.numel()
    case = torch.arange(len(deltas), device=deltas.device).repeat_interleave(deltas.shape[1]).repeat(2)
    runs, scales, grid = cases.take(case), deltas.flatten().repeat(2), arcs[case]
    tolerance = torch.cat([torch.full_like(scales[:rows], rtol), torch.full_like(scales[:rows], coarser * rtol)])

    def rates(state: Tensor, index: Tensor) -> Tensor:
        u, delta = state[:, size : 2 * size], scales[index].unsqueeze(-1)

        def response(outputs: Tensor) -> Tensor:
            of_w = _of_own_loss(losses, runs.loss[index], outputs[: len(index)], runs.y[index], Loss.residual)
            return torch.cat([of_w, runs.z[index]])

        pulls = network.forward_and_pull(torch.cat([delta * state[:, :size], u]), x, response)[1]  # one pass for w and u
        clock = u.norm(dim=-1, keepdim=True) ** -exponent
        pull_s = delta ** -(exponent + 1) * pulls[: len(index)]
        return clock * torch.cat([pull_s, pulls[len(index) :], torch.ones_like(clock)], dim=-1)

    def error_norm(error: Tensor, state: Tensor, index: Tensor) -> Tensor:
        parts = (len(index), 2 * blocks, -1)
        each = error[:, :-1].reshape(parts).norm(dim=-1) / state[:, :-1].reshape(parts).norm(dim=-1).clamp_min(1e-300)
        return torch.maximum(each.amax(dim=-1), error[:, -1].abs() / state[:, -1].clamp_min(1e-3)) / tolerance[index]

    start = torch.cat([runs.starts, runs.starts, torch.zeros_like(scales).unsqueeze(-1)], dim=-1)
    run = integrate(rates, start, grid[:, -1], error_norm=error_norm, order=5, record_at=grid)
    assert run.recorded is not None
    s, u, time = run.recorded[..., :size], run.recorded[..., size:-1], run.recorded[..., -1]
    flat = scales[:, None, None] * s
    outputs = network.forward(flat.reshape(-1, size), x).view(*s.shape[:2], -1)
    change = _of_own_loss(losses, runs.loss[:, None], outputs, runs.y.unsqueeze(1), Loss.derivative_change)
    shape = (*deltas.shape, arcs.shape[1])

    def part(of: slice) -> Shadow:
        return Shadow(s[of].view(*shape, -1), u[of].view(*shape, -1), time[of].view(shape), change[of].norm(dim=-1).view(shape))

    return part(slice(0, rows)), part(slice(rows, None))


def _of_own_loss(
    losses: Sequence[Loss], which: Tensor, outputs: Tensor, y: Tensor, part: Callable[[Loss, Tensor, Tensor], Tensor]
) -> Tensor:
    """`part` of the loss that each row has."""
    chosen = part(losses[0], outputs, y)
    for position, loss in enumerate(losses[1:], 1):
        chosen = torch.where((which == position).unsqueeze(-1), part(loss, outputs, y), chosen)
    return chosen


def plain_flow(
    network: Network,
    x: Float[Tensor, "n d"],
    losses: Sequence[Loss],
    cases: Cases,
    deltas: Float[Tensor, " s"],
    times: Float[Tensor, " s"],
    *,
    rtol: float,
) -> Float[Tensor, "s k"]:
    r"""$w(t)/\delta$ at plain times t, from the gradient flow as it stands: nothing is rescaled."""

    def rates(w: Tensor, index: Tensor) -> Tensor:
        def response(outputs: Tensor) -> Tensor:
            return _of_own_loss(losses, cases.loss[index], outputs, cases.y[index], Loss.residual)

        return network.forward_and_pull(w, x, response)[1]

    def error_norm(error: Tensor, w: Tensor, index: Tensor) -> Tensor:
        return error.norm(dim=-1) / (rtol * w.norm(dim=-1))

    start = deltas.unsqueeze(-1) * cases.starts
    return integrate(rates, start, times, error_norm=error_norm).state / deltas.unsqueeze(-1)


def perturbed(
    network: Network,
    x: Float[Tensor, "n d"],
    z: Float[Tensor, "s n"],
    starts: Float[Tensor, "s k"],
    shapes: Float[Tensor, "s m n"],
    sizes: Float[Tensor, " sizes"],
    lengths: Float[Tensor, " s"],
    *,
    rtol: float,
) -> Float[Tensor, "s sizes"]:
    r"""Largest distance, at the ends of m pieces, of $\dot u=\mathcal J(X;u)^\top(z+f(t))$ from the flow with f = 0.

    f is `sizes` times `shapes`, constant on each of m pieces of [0, `lengths`]. Both flows take the same steps.
    """
    size, pieces = network.size, shapes.shape[1]
    case = torch.arange(len(z), device=z.device).repeat_interleave(len(sizes))
    scale = sizes.repeat(len(z)).unsqueeze(-1)
    state, largest = torch.cat([starts, starts], dim=-1)[case], torch.zeros_like(scale[:, 0])
    for piece in range(pieces):
        vector = z[case] + scale * shapes[case, piece]

        def rates(y: Tensor, index: Tensor, vector: Tensor = vector) -> Tensor:
            both = torch.cat([y[:, :size], y[:, size:]])
            pulls = network.pull(both, x, torch.cat([vector[index], z[case[index]]]))
            return torch.cat([pulls[: len(index)], pulls[len(index) :]], dim=-1)

        def error_norm(error: Tensor, y: Tensor, index: Tensor) -> Tensor:
            return error.norm(dim=-1) / (rtol * y.norm(dim=-1))

        state = integrate(rates, state, lengths[case] / pieces, error_norm=error_norm).state
        largest = torch.maximum(largest, (state[:, :size] - state[:, size:]).norm(dim=-1))
    return largest.view(len(z), -1)


def descend(
    network: Network,
    x: Float[Tensor, "n d"],
    losses: Sequence[Loss],
    cases: Cases,
    deltas: Float[Tensor, " s"],
    steps: Float[Tensor, " s"],
    count: int,
    *,
    rescaled: bool,
) -> Float[Tensor, "s k"]:
    r"""$w/\delta$ after `count` steps of gradient descent of sizes `steps` on w, or, `rescaled`, on s by Eq. (8) and (50).

    The rescaled iteration uses $\mathcal H(X;w)=\delta^L\mathcal H(X;s)$ and a step that is $\delta^{L-2}$ times as long.
    """
    degree = network.degree
    w = cases.starts if rescaled else deltas.unsqueeze(-1) * cases.starts
    factor = (deltas**degree if rescaled else torch.ones_like(deltas)).unsqueeze(-1)
    size = (deltas ** (degree - 2) * steps if rescaled else steps).unsqueeze(-1)

    def response(outputs: Tensor) -> Tensor:
        return _of_own_loss(losses, cases.loss, factor * outputs, cases.y, Loss.residual)

    for _ in range(count):
        w = w + size * network.forward_and_pull(w, x, response)[1]
    return w if rescaled else w / deltas.unsqueeze(-1)


@dataclass(frozen=True)
class Study:
    """One network with its inputs, its cases, the ends of their NCF flows, and the epsilons, decreasing, that matter."""

    network: Network
    x: Float[Tensor, "n d"]
    losses: tuple[Loss, ...]
    cases: Cases
    ends: Reference
    epsilons: tuple[float, ...]
    rtol: float

    @classmethod
    def begin(
        cls,
        network: Network,
        x: Float[Tensor, "n d"],
        losses: Sequence[Loss],
        cases: Cases,
        epsilons: Sequence[float],
        rtol: float,
    ) -> Study:
        """Follow the NCF flow of every case to its end."""
        ends = reference(network, x, cases.z, cases.starts, smallest_epsilon=min(epsilons))
        return cls(network, x, tuple(losses), cases, ends, tuple(sorted(epsilons, reverse=True)), rtol)

    def growing(self, loss: int = 0) -> Int[Tensor, " r"]:
        """The cases of one loss whose NCF flow grows along a direction."""
        return ((self.cases.loss == loss) & (self.ends.branch == DIRECTION)).nonzero()[:, 0]

    def ending(self) -> dict[str, np.ndarray]:
        """What became of the NCF flows, [S]; `time` and `largest_norm` at the moments, [S, E]."""
        ends, moments = self.ends, [self.ends.moment(epsilon) for epsilon in self.epsilons]
        arrays = {key: getattr(ends, key).numpy() for key in ("branch", "value", "residual", "norm_floor", "blow_up")}
        time = torch.stack([ends.at(moment)[1] for moment in moments], dim=1)
        largest = torch.stack([ends.largest_norm(moment) for moment in moments], dim=1)
        return arrays | {"time": time.numpy(), "largest_norm": largest.numpy(), "loss": self.cases.loss.numpy()}

    def compare(
        self, deltas: Float[Tensor, "s d"], *, points: int = 8, wrong_limit: Float[Tensor, "s k"] | None = None
    ) -> dict[str, np.ndarray]:
        r"""`shadow` up to the moment of each epsilon, as arrays; beside every name one with `_error`, what a coarser run moves.

        [S, D, E]: `deviation`, the largest $\|s-u\|$ up to the moment; `excess`, the largest $\|s\|$ less the largest $\|u\|$;
        at the moment `norm` and `misalignment` of s (with a `wrong_limit` also `misalignment_wrong`). [S, D, P], at P = E
        `points`: `path_norm`, `path_time`, `path_change`. [S, E]: `resolved`, whether u is small enough to be compared at equal
        time; where it is not, all else is void.
        """
        moments = [self.ends.moment(epsilon) for epsilon in self.epsilons]
        condition = torch.stack([self.ends.largest_norm(moment) ** (self.network.degree - 2) for moment in moments], dim=1)
        resolved = condition <= LARGEST_CONDITION
        marks = [self.ends.at(moment)[0] for moment in moments]
        for position, ready in enumerate(resolved.unbind(dim=1)):
            fallback = marks[position - 1] if position else self.ends.steps.arc[:, 1]
            marks[position] = torch.where(ready, marks[position], fallback)
        begins = [torch.zeros_like(marks[0]), *marks[:-1]]
        share = torch.linspace(0, 1, points + 1, dtype=deltas.dtype, device=deltas.device)[1:]
        arcs = torch.cat([a[:, None] + share * (b - a)[:, None] for a, b in zip(begins, marks, strict=True)], dim=1)
        at = [(position + 1) * points - 1 for position in range(len(moments))]

        def quantities(run: Shadow) -> dict[str, Tensor]:
            norm = run.s.norm(dim=-1)
            largest = [part.clamp_min(1.0).cummax(dim=-1).values for part in (norm, run.u.norm(dim=-1))]
            found = {
                "deviation": run.deviation()[..., at],
                "excess": (largest[0] - largest[1])[..., at],
                "norm": norm[..., at],
                "misalignment": run.misalignment(self.ends.limit)[..., at],
                "path_norm": norm,
                "path_time": run.time,
                "path_change": run.change,
            }
            return found if wrong_limit is None else found | {"misalignment_wrong": run.misalignment(wrong_limit)[..., at]}

        both = shadow(self.network, self.x, self.losses, self.cases, deltas, arcs, rtol=self.rtol)
        fine, coarse = (quantities(run) for run in both)
        arrays = {name: value.numpy() for name, value in fine.items()} | {"resolved": resolved.numpy(), "deltas": deltas.numpy()}
        return arrays | {f"{name}_error": (value - coarse[name]).abs().numpy() for name, value in fine.items()}

    def escapes(self, deltas: Sequence[float], *, ratio: float = 0.99) -> dict[str, np.ndarray]:
        r"""Where the loss has fallen to `ratio` of its start, for growing cases of the first loss, [R, D].

        `time` is $\hat t=\delta^{L-2}t$, NaN where the loss does not fall in the arc of the NCF flow and ten times what growth at
        the rate $L\mathcal N(u_*)$ takes from delta to norm 1; `time_error` how far it moves with the tolerance; `misalignment`
        and right-hand sides, `evaluations`, up to there. `value` and `blow_up` of the NCF flows, [R].
        """
        rows = self.growing()
        row, scales = rows.repeat_interleave(len(deltas)), torch.tensor(deltas, dtype=self.x.dtype).repeat(len(rows))
        length = self.ends.steps.arc.nan_to_num(0.0).amax(dim=1)[row]
        length = length + 10 * (1 - scales.log()) / (self.network.degree * self.ends.value[row])
        until = [loss_ratio_below(ratio)]

        both = torch.cat([row, row])
        path = loss_flow(
            self.network,
            self.x,
            self.cases.y[both],
            self.losses[0],
            self.cases.starts[both],
            scales.repeat(2),
            rtol=torch.tensor([self.rtol, 10 * self.rtol], dtype=scales.dtype).repeat_interleave(len(row)),
            until=until,
            length=length.repeat(2),
        )
        (left, _), (time, coarse) = (path.ended_by == 0).chunk(2), path.time.chunk(2)
        time = torch.where(left, time, torch.nan)
        distance = torch.where(left, misalignment(path.direction[: len(row)], self.ends.limit[row]), torch.nan)
        found = {
            "time": time,
            "time_error": (time - coarse).abs(),
            "misalignment": distance,
            "evaluations": path.evaluations[: len(row)],
        }
        arrays = {name: value.view(len(rows), -1).numpy() for name, value in found.items()}
        return arrays | {"value": self.ends.value[rows].numpy(), "blow_up": self.ends.blow_up[rows].numpy()}

    def curves(self, deltas: Sequence[float]) -> dict[str, np.ndarray]:
        r"""The first growing case of the first loss until its loss has fallen by a hundredth: $\hat t$ and $1-\cos$, [D, N].

        The NCF flow beside it, `ncf_time` and `ncf_misalignment`.
        """
        case, scales = int(self.growing()[0]), torch.tensor(deltas, dtype=self.x.dtype)
        starts, until = self.cases.starts[case].expand(len(deltas), -1), [loss_ratio_below(0.99)]
        path = loss_flow(
            self.network, self.x, self.cases.y[case], self.losses[0], starts, scales, until=until, keep_steps=True, rtol=1e-7
        )
        limit, steps = self.ends.limit[case], self.ends.steps
        assert path.every_step is not None
        return {
            "time": path.every_step.time.numpy(),
            "misalignment": misalignment(path.every_step.direction, limit).numpy(),
            "ncf_time": steps.time[case].numpy(),
            "ncf_misalignment": misalignment(steps.direction[case], limit).numpy(),
            "deltas": scales.numpy(),
            "blow_up": self.ends.blow_up[case].numpy(),
        }
