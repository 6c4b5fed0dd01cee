r"""Flow near a saddle $(\bar w_n,0)$ of a separable network $\mathcal H=\mathcal H_n+\mathcal H_z$ under the square loss.

Section 5.2 of both papers. With $w_n=\bar w_n+\delta a$, $w_z=\delta b$, $\bar y=y-\mathcal H_n(X;\bar w_n)$ and
$t=\delta^{-(L-2)}\tau$ the flow is

$a'=\delta^{-(L-2)}[\Delta\mathcal J_n^\top\bar y-\mathcal J_n^\top(\Delta\mathcal H_n+\delta^{L-1}\mathcal H_z(b))]$,
$b'=\mathcal J_z(b)^\top(\bar y-\delta\Delta\mathcal H_n-\delta^L\mathcal H_z(b))$,

where $\Delta F=(F(\bar w_n+\delta a)-F(\bar w_n))/\delta$. As $\delta\to0$, b follows the NCF flow u of the residual. The
deviation is a variable of its own, $b=u+\delta^mq$ with m = L - 1, so it has its digits at every delta; m = 0 and u = 0 give b.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from scipy.integrate import solve_ivp

from flowcheck.data import unit_vectors
from flowcheck.flow import correlation_flow, growth_reaches, tangential_below
from flowcheck.hypotheses import require_stationary
from flowcheck.networks import Separable
from flowcheck.units import Units

RTOL, KINKED_RTOL, STIFF_RTOL, COARSER = 1e-8, 1e-10, 1e-7, 100.0
"""Relative tolerances: L = 2, L = 2 with ReLU, L > 2. The distance to the flow at one COARSER times larger bounds its error."""

RESOLVED_GROWTH, RESOLVED_STEPS = 1e100, 1000
"""Up to which growth of u, and for how many steps of the integrator, its limit direction is waited for."""

LONGEST, LONGEST_COLLAPSE = 1e3, 1e7
"""How long u may take to be aligned, or to collapse, in units of the time in which it moves by one at the start."""

KKT_TOLERANCE = 1e-7
"""Sine of the angle between a direction and the gradient, at which an NCF flow counts as converged."""

Curve = Callable[[float], np.ndarray]


@dataclass(frozen=True)
class Saddle:
    r"""A critical point $(\bar w_n,0)$ of $\tfrac12\|\mathcal H_n+\mathcal H_z-y\|^2$; `residual` is $\bar y$.

    `fitted` is H_n and `idle` is H_z. The flow takes $\mathcal J_n(X;\bar w_n)^\top\bar y$ to be 0: call `stationarity` first.
    """

    fitted: Units
    idle: Units
    weights: Float[np.ndarray, " kn"]
    residual: Float[np.ndarray, " n"]

    def __post_init__(self) -> None:
        if self.fitted.degree != self.idle.degree:
            raise ValueError(f"the parts differ in degree: {self.fitted.degree} and {self.idle.degree}")

    @property
    def degree(self) -> int:
        return self.fitted.degree

    @functools.cached_property
    def network(self) -> Separable:
        return Separable("near a saddle", (self.fitted.network, self.idle.network))

    def stationarity(self) -> float:
        """Norm of the gradient of the loss at the saddle over that of the residual. HypothesisError if it is not a saddle."""
        network, x, residual = self.network, torch.from_numpy(self.fitted.x), torch.from_numpy(self.residual)
        w = torch.from_numpy(np.concatenate([self.weights, np.zeros(self.idle.size)]))
        return require_stationary(network.pull(w[None], x, residual)[0], residual)

    @property
    def collapses(self) -> bool:
        """Whether the NCF of the residual is negative definite: even powers, of signs opposite to it, of inputs that span."""
        signs, x = self.idle.signs, self.idle.x
        if signs is None or not self.idle.polynomial or self.idle.power % 2:
            return False
        opposed = bool((np.outer(signs, self.residual) <= 0).all())
        return opposed and int(np.linalg.matrix_rank(x[self.residual != 0])) == x.shape[1]

    @functools.cached_property
    def hessian(self) -> Float[np.ndarray, "kn kn"]:
        r"""$\nabla^2_{w_n}\mathcal L(\bar w_n,0)$."""
        return restricted_hessian(self.fitted, self.weights, self.residual)

    def inward(self, radius: float, directions: Float[np.ndarray, "s kn"]) -> Float[np.ndarray, " s"]:
        r"""$\langle w_n-\bar w_n,\nabla_{w_n}\mathcal L(w_n,0)\rangle/r^2$ at $w_n=\bar w_n+r\cdot$ direction: Eq. (15)."""
        size = np.full(len(directions), radius)
        step = self.fitted.increment(self.weights, directions, size, self.residual)
        return np.asarray((directions * (step.end_pull(step.outputs) - step.pulled)).sum(-1))

    def velocity(
        self, delta: Float[np.ndarray, " s"], m: int, u: Float[np.ndarray, " kz"], a: np.ndarray, q: np.ndarray
    ) -> tuple[Float[np.ndarray, "s kn"], Float[np.ndarray, "s kz"]]:
        """The rates a' and q' in rescaled time, for rows of different delta."""
        degree, size = self.degree, delta[:, None]
        fitted = self.fitted.increment(self.weights, a, delta, self.residual)
        idle = self.idle.increment(u, q, delta**m, self.residual)
        a_rate = fitted.pulled - fitted.end_pull(fitted.outputs + size ** (degree - 1) * idle.end_outputs)
        feedback = idle.end_pull(size ** (1 - m) * fitted.outputs + size ** (degree - m) * idle.end_outputs)
        return size ** (2 - degree) * a_rate, idle.pulled - feedback

    def jacobian(self, delta: float, m: int, u: np.ndarray, a: np.ndarray, q: np.ndarray) -> Float[np.ndarray, "k k"]:
        """Derivative of `velocity` for one row."""
        degree, w, b = self.degree, self.weights + delta * a, u + delta**m * q
        step = self.fitted.increment(self.weights, a[None], np.array([delta]), self.residual).outputs[0]
        rest = self.residual - delta * step - delta**degree * self.idle.outputs(b)
        fitted, idle = self.fitted.jacobian(w), self.idle.jacobian(b)
        mixed = fitted.T @ idle
        return np.block(
            [
                [delta ** (2 - degree) * (self.fitted.curvature(w, rest) - fitted.T @ fitted), -(delta ** (1 + m)) * mixed],
                [-(delta ** (1 - m)) * mixed.T, self.idle.curvature(b, rest) - delta**degree * idle.T @ idle],
            ]
        )


def restricted_hessian(units: Units, w: Float[np.ndarray, " k"], residual: Float[np.ndarray, " n"]) -> Float[np.ndarray, "k k"]:
    r"""Hessian of $\tfrac12\|\mathcal H_n(X;w)-y\|^2$, residual y - H_n(X;w)."""
    jacobian = units.jacobian(w)
    return np.asarray(jacobian.T @ jacobian - units.curvature(w, residual))


def newton(
    units: Units, y: Float[np.ndarray, " n"], start: Float[np.ndarray, " k"], iterations: int = 200
) -> Float[np.ndarray, " k"]:
    """A critical point of the restricted loss near `start`: Levenberg steps while they help, then Newton to rounding.

    Along a manifold of minimisers the step is the shortest one.
    """
    w, damping = start.copy(), 1.0
    loss = 0.5 * np.sum((y - units.outputs(w)) ** 2)
    for _ in range(iterations):
        jacobian, residual = units.jacobian(w), y - units.outputs(w)
        normal = jacobian.T @ jacobian
        trial = w + np.linalg.solve(normal + damping * np.eye(len(w)), jacobian.T @ residual)
        trial_loss = 0.5 * np.sum((y - units.outputs(trial)) ** 2)
        if trial_loss < loss:
            w, loss, damping = trial, trial_loss, 0.3 * damping
        else:
            damping *= 4.0
    for _ in range(20):
        residual = y - units.outputs(w)
        w = w + np.linalg.lstsq(restricted_hessian(units, w, residual), units.pull(w, residual), rcond=1e-9)[0]
    return w


def by_newton(
    draw: Callable[[np.random.Generator], tuple[Units, Units, np.ndarray]], rng: np.random.Generator, attempts: int = 200
) -> Saddle:
    r"""A saddle whose $\bar w_n$ is a critical point of the restricted loss; `draw` gives H_n, H_z and labels y.

    Taken is the first draw and random start with gradient below 1e-12 of the labels, residual between 0.2 and 0.9 of the labels
    (something is fitted and something is left), for ReLU no input within 0.02 of a kink. Raises RuntimeError if there is none.
    """
    for _ in range(attempts):
        fitted, idle, y = draw(rng)
        w, size = newton(fitted, y, rng.standard_normal(fitted.size)), float(np.linalg.norm(y))
        residual = y - fitted.outputs(w)
        smooth = fitted.network.has_lipschitz_gradient or float(np.abs(fitted.preactivations(w)).min()) >= 0.02
        fits = 0.2 <= float(np.linalg.norm(residual)) / size <= 0.9
        if smooth and fits and float(np.linalg.norm(fitted.pull(w, residual))) <= 1e-12 * size:
            return Saddle(fitted, idle, w, residual)
    raise RuntimeError(f"none of {attempts} draws leads to a saddle that fits some of the labels and leaves some")


@dataclass(frozen=True)
class Deviation:
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
    until = [tangential_below(tolerance), growth_reaches(RESOLVED_GROWTH)]
    x, vector, directions = (torch.from_numpy(array) for array in (units.x, z, starts))
    try:
        path = correlation_flow(units.network, x, vector, directions, until=until, rtol=1e-8, max_steps=RESOLVED_STEPS)
    except RuntimeError:
        return [limit_directions(units, z, start[None], tolerance)[0] for start in starts] if len(starts) > 1 else [None]
    return [d if e == 0 else None for d, e in zip(path.direction.numpy(), path.ended_by.tolist(), strict=True)]


def residual_flow(
    saddle: Saddle,
    start: Float[np.ndarray, " kz"],
    target: Float[np.ndarray, " kz"] | None,
    epsilons: Float[np.ndarray, " e"],
    rtol: float = 1e-12,
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

    solution = solve_ivp(
        lambda _, u: saddle.idle.pull(u, saddle.residual),
        (0.0, longest),
        start,
        "DOP853",
        dense_output=True,
        rtol=rtol,
        atol=rtol,
        events=[event(float(epsilon)) for epsilon in epsilons],
    )
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


def draw_starts(
    saddle: Saddle,
    count: int,
    epsilons: Float[np.ndarray, " e"],
    largest_growth: float,
    rng: np.random.Generator,
    *,
    positive: bool = False,
) -> tuple[list[Start], int]:
    """Random starts, and how many draws were rejected. `positive`: trained readouts v_j start positive.

    Rejected are starts at which the NCF has no gradient (all idle units are dead: u stays where it is), those whose u is not
    aligned by `LONGEST`, and those whose u grows by more than `largest_growth` before it meets the last epsilon: they need a
    delta that is smaller still. Raises RuntimeError if fifty draws give none.
    """
    accepted: list[Start] = []
    drawn = 0
    while len(accepted) < count:
        if drawn >= 50 * count:
            raise RuntimeError(f"{len(accepted)} of {drawn} starts are aligned before they have grown by {largest_growth:g}")
        drawn += count
        start_n, start_z = (unit_vectors(rng, count, part.size).numpy() for part in (saddle.fitted, saddle.idle))
        if positive:
            start_z = saddle.idle.with_positive_readouts(start_z)
        none: list[np.ndarray | None] = [None] * count
        limits = none if saddle.collapses else limit_directions(saddle.idle, saddle.residual, start_z)
        for n, z, target in zip(start_n, start_z, limits, strict=True):
            if (saddle.collapses or target is not None) and bool(saddle.idle.pull(z, saddle.residual).any()):
                u = residual_flow(saddle, z, target, epsilons)
                if u is not None and u.largest[-1] <= largest_growth:
                    accepted.append(Start(n, z, u))
    return accepted[:count], drawn - len(accepted)


def follow(
    saddle: Saddle,
    delta: Float[np.ndarray, " s"],
    start_n: Float[np.ndarray, " kn"],
    start_z: Float[np.ndarray, " kz"],
    tau: Float[np.ndarray, " p"],
    u: Curve,
    *,
    coarser: float = 1.0,
) -> Deviation:
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
        a, b = _follow_together(saddle, np.append(delta, 0.0), start_n, start_z, tau, 0, _nothing(saddle), coarser * KINKED_RTOL)
        return Deviation(delta, tau, a[:-1], b[:-1] - b[-1], b[-1], 0)
    m, still = saddle.degree - 1, np.zeros(saddle.idle.size)
    if saddle.degree == 2:
        a, q = _follow_together(saddle, delta, start_n, still, tau, m, u, coarser * RTOL)
    else:
        paths = [_follow_stiff(saddle, float(d), start_n, still, tau, m, u, coarser * STIFF_RTOL) for d in delta]
        a, q = np.stack([path[0] for path in paths]), np.stack([path[1] for path in paths])
    return Deviation(delta, tau, a, q, np.stack([u(t) for t in tau]), m)


def _nothing(saddle: Saddle) -> Curve:
    zero = np.zeros(saddle.idle.size)
    return lambda _: zero


def _follow_together(
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
    path = _solved(solve_ivp(rates, (0.0, tau[-1]), start, "DOP853", t_eval=tau, rtol=rtol, atol=rtol))
    states = path.reshape(len(delta), -1, len(tau)).swapaxes(1, 2)
    return states[..., :split], states[..., split:]


def _follow_stiff(
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
    states = _solved(_stiff_solution(saddle, delta, start_n, first, float(tau[-1]), m, curve, rtol, t_eval=tau)).T
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
    """What `solve_ivp` says of one flow for L > 2, from a = `start_n` and q = `first`; `options` are its own."""
    split, row = len(start_n), np.array([delta])

    def rates(t: float, state: np.ndarray) -> np.ndarray:
        a, q = saddle.velocity(row, m, curve(t), state[None, :split], state[None, split:])
        return np.concatenate([a[0], q[0]])

    def jacobian(t: float, state: np.ndarray) -> np.ndarray:
        return saddle.jacobian(delta, m, curve(t), state[:split], state[split:])

    # a falls from 1 to about delta^(L-1), which it is slaved to; q is of order delta where start_n = 0
    floors = np.concatenate([np.full(split, delta ** (saddle.degree - 1)), np.full(len(first), delta if m else 1.0)])
    start = np.concatenate([start_n, first])
    return solve_ivp(rates, (0.0, end), start, "LSODA", rtol=rtol, atol=rtol * floors, jac=jacobian, **options)


def follow_until(
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
    last = _solved(solution)[:, -1]
    return float(solution.t[-1]), last[:split], last[split:]


def largest_fall(saddle: Saddle, target: Float[np.ndarray, " kz"]) -> float:
    r"""The share of the loss that idle weights along `target` can take: squared cosine of the residual and $\mathcal H_z$."""
    outputs = saddle.idle.outputs(target)
    return float((saddle.residual @ outputs) ** 2 / (outputs @ outputs) / (saddle.residual @ saddle.residual))


def loss_below(saddle: Saddle, delta: float, ratio: float) -> Callable[[np.ndarray, np.ndarray], float]:
    """Margin for `follow_until`: the loss falls to `ratio` times that of the saddle."""
    row, level = np.array([delta]), float(saddle.residual @ saddle.residual)

    def margin(a: np.ndarray, b: np.ndarray) -> float:
        step = saddle.fitted.increment(saddle.weights, a[None], row, saddle.residual).outputs[0]
        rest = saddle.residual - delta * step - delta**saddle.degree * saddle.idle.outputs(b)
        return ratio - float(rest @ rest) / level

    return margin


def _solved(solution: object) -> np.ndarray:
    if not solution.success:  # type: ignore[attr-defined]
        raise RuntimeError(f"the flow near the saddle: {solution.message}")  # type: ignore[attr-defined]
    return np.asarray(solution.y)  # type: ignore[attr-defined]
