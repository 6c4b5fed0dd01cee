r"""Flow near a saddle $(\bar w_n,0)$ of a separable network $\mathcal H=\mathcal H_n+\mathcal H_z$ under the square loss.

Section 5.2 of both papers. With $w_n=\bar w_n+\delta a$, $w_z=\delta b$, $\bar y=y-\mathcal H_n(X;\bar w_n)$ and
$t=\delta^{-(L-2)}\tau$ the flow is

$a'=\delta^{-(L-2)}[\Delta\mathcal J_n^\top\bar y-\mathcal J_n^\top(\Delta\mathcal H_n+\delta^{L-1}\mathcal H_z(b))]$,
$b'=\mathcal J_z(b)^\top(\bar y-\delta\Delta\mathcal H_n-\delta^L\mathcal H_z(b))$,

where $\Delta F=(F(\bar w_n+\delta a)-F(\bar w_n))/\delta$. As $\delta\to0$, b follows the NCF flow u of the residual. The
deviation is a variable of its own, $b=u+\delta^mq$ with m = L - 1, so it has its digits at every delta; m = 0 and u = 0 give b.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float

from flowcheck.correlation.ncf import Correlation
from flowcheck.data.synthetic import unit_vectors
from flowcheck.flows.ending import Ends
from flowcheck.flows.flow import Method, gradient_flow
from flowcheck.integration.initial_value import solve
from flowcheck.saddles.saddle import Saddle
from flowcheck.saddles.units import Units

RTOL, KINKED_RTOL, STIFF_RTOL, COARSER = 1e-8, 1e-10, 1e-7, 100.0
"""Relative tolerances: L = 2, L = 2 with ReLU, L > 2. The distance to the flow at one COARSER times larger bounds its error."""

NEAR = "the flow near the saddle"
NCF_RTOL = 1e-12
"""Relative tolerance of the NCF flow u, which all of these are measured from."""

RESOLVED_GROWTH, RESOLVED_STEPS = 1e100, 1000
"""Up to which growth of u, and for how many steps of the integrator, its limit direction is waited for."""

LONGEST, LONGEST_COLLAPSE = 1e3, 1e7
"""How long u may take to be aligned, or to collapse, in units of the time in which it moves by one at the start."""

KKT_TOLERANCE = 1e-7
"""Sine of the angle between a direction and the gradient, at which an NCF flow counts as converged."""

Curve = Callable[[float], np.ndarray]


@dataclass(frozen=True)
class Departure:
    r"""Flows near a saddle, one row per delta, on a common grid of rescaled times.

    Attributes:
        a: $(w_n-\bar w_n)/\delta$.
        q: $(w_z/\delta-u)/\delta^m$.
        u: the NCF flow that q is measured from.
    """

    delta: Float[np.ndarray, " s"]
    tau: Float[np.ndarray, " p"]
    a: Float[np.ndarray, "s p kn"]
    q: Float[np.ndarray, "s p kz"]
    u: Float[np.ndarray, "p kz"]
    m: int

    @property
    def b(self) -> Float[np.ndarray, "s p kz"]:
        r"""$w_z/\delta$."""
        return self.u + self.delta[:, None, None] ** self.m * self.q

    @property
    def a_norm(self) -> Float[np.ndarray, "s p"]:
        r"""$\|w_n-\bar w_n\|/\delta$."""
        return np.linalg.norm(self.a, axis=-1)

    @property
    def b_norm(self) -> Float[np.ndarray, "s p"]:
        r"""$\|w_z\|/\delta$."""
        return np.linalg.norm(self.b, axis=-1)

    @property
    def deviation(self) -> Float[np.ndarray, "s p"]:
        r"""$\|w_z/\delta-u\|$."""
        return self.delta[:, None] ** self.m * np.linalg.norm(self.q, axis=-1)

    def cosine(self, target: Float[np.ndarray, " kz"]) -> Float[np.ndarray, "s p"]:
        """Cosine of the angle between w_z and a unit vector."""
        return np.asarray(self.b @ target / self.b_norm)


@dataclass(frozen=True)
class ResidualFlow:
    r"""The NCF flow u of the residual, $\dot u=\mathcal J_z(X;u)^\top\bar y$, with the times that the theorems ask for.

    Attributes:
        curve: u as a function of time, up to the last of `times`.
        target: the KKT point that its direction converges to; None where u converges to 0.
        times: for each epsilon the last time at which the cosine to `target` rises to 1 - epsilon, or $\|u\|$ falls to epsilon.
        largest: for each epsilon $\max\|u\|$ up to that time.
        smallest: $\min\|u\|$ on the way.
    """

    curve: Curve
    target: Float[np.ndarray, " kz"] | None
    times: Float[np.ndarray, " e"]
    largest: Float[np.ndarray, " e"]
    smallest: float


def limit_directions(
    units: Units, z: Float[np.ndarray, " n"], starts: Float[np.ndarray, "s k"], tolerance: float = KKT_TOLERANCE
) -> list[Float[np.ndarray, " k"] | None]:
    """Where the directions of the NCF flows for z converge to, up to the sine `tolerance`.

    None where u grows by `RESOLVED_GROWTH` first, or where it takes more than `RESOLVED_STEPS` steps: the approach is algebraic,
    or the flow slides along a kink.
    """
    ends = Ends(tolerance, 0.0, math.inf, grown=math.log(RESOLVED_GROWTH), sine=True)
    x, vector, directions = (torch.from_numpy(array) for array in (units.x, z, starts))
    try:
        path = gradient_flow(
            Correlation(units.network, x, vector),
            directions,
            until=ends.events(torch.ones_like(directions[:, 0])),
            rtol=1e-8,
            method=Method(max_steps=RESOLVED_STEPS),
        )
    except RuntimeError:
        return [limit_directions(units, z, start[None], tolerance)[0] for start in starts] if len(starts) > 1 else [None]
    return [d if e == 0 else None for d, e in zip(path.direction.numpy(), path.ended_by.tolist(), strict=True)]


def residual_flow(
    saddle: Saddle,
    start: Float[np.ndarray, " kz"],
    target: Float[np.ndarray, " kz"] | None,
    epsilons: Float[np.ndarray, " e"],
    rtol: float = NCF_RTOL,
) -> ResidualFlow | None:
    """Integrate u until the smallest of the decreasing `epsilons` is met; None if that takes longer than `LONGEST`."""
    longest = (LONGEST if target is not None else LONGEST_COLLAPSE) / float(
        np.linalg.norm(saddle.idle.pull(start, saddle.residual))
    )

    def margin(u: np.ndarray, epsilon: float) -> float:
        size = float(np.linalg.norm(u))
        return 1 - size / epsilon if target is None else float(u @ target) / size - 1 + epsilon

    def event(epsilon: float) -> Callable[[float, np.ndarray], float]:
        def crossing(_: float, u: np.ndarray) -> float:
            return margin(u, epsilon)

        crossing.direction = 1  # type: ignore[attr-defined]
        crossing.terminal = epsilon == epsilons[-1]  # type: ignore[attr-defined]
        return crossing

    try:
        solution = solve(
            lambda _, u: saddle.idle.pull(u, saddle.residual),
            longest,
            start,
            "DOP853",
            what=NEAR,
            dense_output=True,
            rtol=rtol,
            atol=rtol,
            events=[event(float(epsilon)) for epsilon in epsilons],
        )
    except RuntimeError:  # for L > 2 flows blow up in finite time
        return None
    if solution.status != 1:
        return None
    times = np.array([found[-1] if len(found) else 0.0 for found in solution.t_events])
    sizes = np.linalg.norm(solution.y, axis=0)
    largest = [sizes[solution.t <= time].max(initial=float(np.linalg.norm(solution.sol(time)))) for time in times]
    return ResidualFlow(solution.sol, target, times, np.array(largest), float(sizes.min()))


@dataclass(frozen=True)
class Start:
    """Unit directions in which a flow leaves the saddle, and the NCF flow of the second one."""

    n: Float[np.ndarray, " kn"]
    z: Float[np.ndarray, " kz"]
    u: ResidualFlow


class Drawn(NamedTuple):
    """Starts that are followed, and how many were drawn besides: at rest, where nothing moves, and left out."""

    starts: list[Start]
    at_rest: int
    left_out: int


def draw_starts(
    saddle: Saddle,
    count: int,
    epsilons: Float[np.ndarray, " e"],
    largest_growth: float,
    rng: np.random.Generator,
    *,
    positive: bool = False,
) -> Drawn:
    """Random starts. `positive`: trained readouts v_j start positive.

    At rest are starts without gradient: all idle units are dead, u stays where it is, and so does w_z. Left out are those whose u
    is not aligned by `LONGEST`, or grows by more than `largest_growth` before it meets the last epsilon: it needs a delta that is
    smaller still. Where the limit direction has a negative NCF, u goes to zero. Raises RuntimeError if fifty draws give none.
    """
    accepted: list[Start] = []
    drawn = at_rest = 0
    while len(accepted) < count:
        if drawn >= 50 * count:
            raise RuntimeError(f"{len(accepted)} of {drawn} starts are aligned before they have grown by {largest_growth:g}")
        missing = count - len(accepted)
        drawn += missing
        start_n, start_z = (unit_vectors(rng, missing, part.size).numpy() for part in (saddle.fitted, saddle.idle))
        if positive:
            start_z = saddle.idle.with_positive_readouts(start_z)
        pulls = saddle.idle.pull(start_z, np.broadcast_to(saddle.residual, (missing, len(saddle.residual))))
        moves = np.abs(pulls).max(axis=1) > 0
        at_rest += int((~moves).sum())
        none: list[np.ndarray | None] = [None] * missing
        limits = none if saddle.collapses else limit_directions(saddle.idle, saddle.residual, start_z)
        for n, z, target, moving in zip(start_n, start_z, limits, moves, strict=True):
            if not moving or (target is None and not saddle.collapses):
                continue
            vanishes = target is None or float(saddle.residual @ saddle.idle.outputs(target)) < 0
            u = residual_flow(saddle, z, None if vanishes else target, epsilons)
            if u is not None and u.largest[-1] <= largest_growth:
                accepted.append(Start(n, z, u))
    return Drawn(accepted, at_rest, drawn - at_rest - len(accepted))


def depart(
    saddle: Saddle,
    delta: Float[np.ndarray, " s"],
    start_n: Float[np.ndarray, " kn"],
    start_z: Float[np.ndarray, " kz"],
    tau: Float[np.ndarray, " p"],
    u: Curve,
    *,
    coarser: float = 1.0,
) -> Departure:
    r"""Flows from $(\bar w_n+\delta\,$`start_n`$,\delta\,$`start_z`$)$ to the increasing times `tau`, from 0 on.

    Args:
        u: the NCF flow from start_z. For ReLU it is integrated anew, as a row with delta = 0 (and m = 0): w_z and u turn at
            kinks at times that differ by delta, where the quotient q has spikes.
        coarser: factor on the tolerance.

    For L = 2 all rows are one explicit system (DOP853). For L > 2 each is stiff, with ratio $\delta^{-(L-2)}$, and goes to LSODA
    with the analytic Jacobian. Tolerances scale with what $\delta\to0$ makes of each variable.

    Raises RuntimeError if the solver gives up.
    """
    if not saddle.idle.network.has_lipschitz_gradient:
        a, b = _depart_together(saddle, np.append(delta, 0.0), start_n, start_z, tau, 0, _nothing(saddle), coarser * KINKED_RTOL)
        return Departure(delta, tau, a[:-1], b[:-1] - b[-1], b[-1], 0)
    m, still = saddle.degree - 1, np.zeros(saddle.idle.size)
    if saddle.degree == 2:
        a, q = _depart_together(saddle, delta, start_n, still, tau, m, u, coarser * RTOL)
    else:
        paths = [_depart_stiff(saddle, float(d), start_n, still, tau, m, u, coarser * STIFF_RTOL) for d in delta]
        a, q = np.stack([path[0] for path in paths]), np.stack([path[1] for path in paths])
    return Departure(delta, tau, a, q, np.stack([u(t) for t in tau]), m)


def _nothing(saddle: Saddle) -> Curve:
    zero = np.zeros(saddle.idle.size)
    return lambda _: zero


def _depart_together(
    saddle: Saddle,
    delta: np.ndarray,
    start_n: np.ndarray,
    first: np.ndarray,
    tau: np.ndarray,
    m: int,
    curve: Curve,
    rtol: float,
) -> tuple[np.ndarray, np.ndarray]:
    split = len(start_n)

    def rates(t: float, state: np.ndarray) -> np.ndarray:
        rows = state.reshape(len(delta), -1)
        return np.concatenate(saddle.velocity(delta, m, curve(t), rows[:, :split], rows[:, split:]), axis=1).ravel()

    start = np.tile(np.concatenate([start_n, first]), len(delta))
    path = solve(rates, tau[-1], start, "DOP853", tau, what=NEAR, rtol=rtol, atol=rtol)
    states = np.asarray(path.y).reshape(len(delta), -1, len(tau)).swapaxes(1, 2)
    return states[..., :split], states[..., split:]


def _depart_stiff(
    saddle: Saddle,
    delta: float,
    start_n: np.ndarray,
    first: np.ndarray,
    tau: np.ndarray,
    m: int,
    curve: Curve,
    rtol: float,
) -> tuple[np.ndarray, np.ndarray]:
    split = len(start_n)
    states = np.asarray(_stiff_solution(saddle, delta, start_n, first, float(tau[-1]), m, curve, rtol, times=tau).y).T
    return states[:, :split], states[:, split:]


def _stiff_solution(
    saddle: Saddle,
    delta: float,
    start_n: np.ndarray,
    first: np.ndarray,
    end: float,
    m: int,
    curve: Curve,
    rtol: float,
    **options: Any,
) -> Any:
    """What scipy says of one flow for L > 2, from a = `start_n` and q = `first`; `options` are those of `solve`."""
    split, row = len(start_n), np.array([delta])

    def rates(t: float, state: np.ndarray) -> np.ndarray:
        a, q = saddle.velocity(row, m, curve(t), state[None, :split], state[None, split:])
        return np.concatenate([a[0], q[0]])

    def jacobian(t: float, state: np.ndarray) -> np.ndarray:
        return saddle.jacobian(delta, m, curve(t), state[:split], state[split:])

    # a falls from 1 to about delta^(L-1), which it is slaved to; q is of order delta where start_n = 0
    floors = np.concatenate([np.full(split, delta ** (saddle.degree - 1)), np.full(len(first), delta if m else 1.0)])
    start = np.concatenate([start_n, first])
    tolerances: dict[str, Any] = {"rtol": rtol, "atol": rtol * floors, "jac": jacobian}
    try:
        return solve(rates, end, start, "LSODA", what=NEAR, **tolerances, **options)
    except RuntimeError:  # at loose tolerances its test of the error may fail for ever; the other is slower, and of one step
        return solve(rates, end, start, "Radau", what=NEAR, **tolerances, **options)


def depart_until(
    saddle: Saddle,
    delta: float,
    start_n: Float[np.ndarray, " kn"],
    start_z: Float[np.ndarray, " kz"],
    margin: Callable[[np.ndarray, np.ndarray], float],
    longest: float,
    *,
    coarser: float = 1.0,
) -> tuple[float, np.ndarray, np.ndarray]:
    """Rescaled time, a and b where `margin` (a, b) rises through 0, or at `longest` if it does not. For L > 2.

    Raises RuntimeError if the solver gives up.
    """
    split, rtol = len(start_n), coarser * STIFF_RTOL

    def reached(_: float, state: np.ndarray) -> float:
        return margin(state[:split], state[split:])

    reached.terminal, reached.direction = True, 1  # type: ignore[attr-defined]
    solution = _stiff_solution(saddle, delta, start_n, start_z, longest, 0, _nothing(saddle), rtol, events=reached)
    last = np.asarray(solution.y)[:, -1]
    return float(solution.t[-1]), last[:split], last[split:]


def largest_fall(saddle: Saddle, target: Float[np.ndarray, " kz"]) -> float:
    r"""The share of the loss that idle weights along `target` can take: squared cosine of the residual and $\mathcal H_z$."""
    outputs = saddle.idle.outputs(target)
    return float((saddle.residual @ outputs) ** 2 / (outputs @ outputs) / (saddle.residual @ saddle.residual))


def loss_below(saddle: Saddle, delta: float, ratio: float) -> Callable[[np.ndarray, np.ndarray], float]:
    """Margin for `depart_until`: the loss falls to `ratio` times that of the saddle."""
    row, level = np.array([delta]), float(saddle.residual @ saddle.residual)

    def margin(a: np.ndarray, b: np.ndarray) -> float:
        step = saddle.fitted.increment(saddle.weights, a[None], row, saddle.residual).outputs[0]
        rest = saddle.residual - delta * step - delta**saddle.degree * saddle.idle.outputs(b)
        return ratio - float(rest @ rest) / level

    return margin
