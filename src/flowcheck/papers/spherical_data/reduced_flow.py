r"""The flow of a balanced depth-N linear network on spherical data, reduced exactly to two numbers.

With $q=\operatorname{artanh}\cos\theta$ and $s=\ln\|\mathbf w_e\|$, Eq. (14) and the closed-form gradient give, for every
depth and dimension,

$$\dot q=\frac{c_0}{\pi}e^{(1-2/N)s},\qquad \dot s=N e^{(1-2/N)s}\Bigl(\frac{c_0}{\pi}\tanh q-\kappa(e^s)\Bigr).$$

q grows strictly, so it can serve as the clock: $ds/dq=N(\tanh q-\frac{\pi}{c_0}\kappa(e^s))$ and
$dt/dq=\frac{\pi}{c_0}e^{-(1-2/N)s}$. On that clock a plateau of length 1e8 costs as much as one of length 1, and all starts of a
grid share their steps. $2q$ is the exponent $\ln\frac{1+\cos\theta}{1-\cos\theta}$ that the paper's bounds bound.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.special import expit

from flowcheck.integration.initial_value import solve
from flowcheck.papers.spherical_data.population import Array, Number, SphericalLaw

RTOL = 1e-12
COARSE_RTOL = 1e-10
"""The error of a path is its distance to the same path at this tolerance."""


@dataclass(frozen=True)
class ReducedPath:
    """A batch of S flows, recorded on a common grid of clock advances. All arrays are [S, P] unless noted.

    Attributes:
        q: artanh(cos θ).
        s: ln ‖w_e‖.
        t: time.
        transition: index-free transition data per flow, see `Transition`.
    """

    law: SphericalLaw
    depth: int
    q: Float[Array, "s p"]
    s: Float[Array, "s p"]
    t: Float[Array, "s p"]
    transition: Transition

    @property
    def growth(self) -> Float[Array, "s p"]:
        """g(w_e(t)) = -w_e · ∇L, whose sign is the sign of the norm's derivative."""
        return norm_growth(self.law, self.q, self.s)


@dataclass(frozen=True)
class Transition:
    """The first time at which the norm stops shrinking (T of Lemmas 1 and 6), per flow. All arrays are [S]."""

    t: Float[Array, " s"]
    q: Float[Array, " s"]
    s: Float[Array, " s"]


def clock(angle: Number) -> Number:
    """artanh(cos θ) = -ln tan(θ/2), accurate near θ = 0 and π. Raises ValueError outside (0, π)."""
    angle = np.asarray(angle, float)
    if np.any((angle <= 0) | (angle >= math.pi)):
        raise ValueError("the reduced flow needs an initial angle strictly between 0 and pi")
    return -np.log(np.tan(0.5 * angle))


def clock_of_gap(gap: Number) -> Number:
    """artanh(cos θ) at θ = π - gap; keeps full precision for small gaps. Raises ValueError outside (0, π)."""
    gap = np.asarray(gap, float)
    if np.any((gap <= 0) | (gap >= math.pi)):
        raise ValueError("the gap to pi must lie strictly between 0 and pi")
    return np.log(np.tan(0.5 * gap))


def one_minus_cos(q: Number) -> Number:
    """1 - cos θ = 2 / (e^{2q} + 1), without cancellation, at any q."""
    return 2.0 * expit(-2.0 * np.asarray(q, float))


def norm_growth(law: SphericalLaw, q: Array, s: Array) -> Array:
    """g(w_e) in the reduced variables, written with the gap of kappa so that nothing cancels at large norm."""
    r = np.exp(s)
    return r * (law.kappa_gap(r) - law.c0 / math.pi * one_minus_cos(q))


def clock_rates(law: SphericalLaw, depth: int, q: Array, s: Array) -> tuple[Array, Array]:
    """(ds/dq, dt/dq)."""
    scale = math.pi / law.c0
    ds = np.asarray(depth * (scale * law.kappa_gap(np.exp(s)) - one_minus_cos(q)))
    return ds, scale * np.exp(-(1.0 - 2.0 / depth) * s)


def reduced_flow(
    law: SphericalLaw,
    depth: int,
    q0: Float[Array, " s"],
    s0: Float[Array, " s"],
    advances: Float[Array, " p"],
    *,
    rtol: float = RTOL,
) -> ReducedPath:
    """Flows from (q0, s0), recorded where the clock has advanced by each of `advances` (increasing, first one 0).

    Eighth-order Dormand-Prince on the clock; global error of the order of `rtol` times the length of the path. Raises ValueError
    on depth < 1 and RuntimeError if the transition lies beyond the last advance or the integrator fails.
    """
    if depth < 1:
        raise ValueError(f"depth must be at least 1, got {depth}")
    q0, s0 = np.atleast_1d(np.asarray(q0, float)), np.atleast_1d(np.asarray(s0, float))
    size = len(q0)

    def rates(elapsed: float, state: Array) -> Array:
        ds, dt = clock_rates(law, depth, q0 + elapsed, state[:size])
        return np.concatenate([ds, dt])

    start = np.concatenate([s0, np.zeros(size)])
    solution = solve(rates, advances[-1], start, "DOP853", advances, rtol=rtol, atol=1e-3 * rtol)
    q = q0[:, None] + advances[None, :]
    s, t = solution.y[:size], solution.y[size:]
    return ReducedPath(law, depth, q, s, t, find_transition(law, depth, q, s, t))


def find_transition(law: SphericalLaw, depth: int, q: Array, s: Array, t: Array) -> Transition:
    """T of each flow: the last recorded point before g changes sign, then Newton steps along the flow itself.

    At the root ds/dq = 0, so the derivative of tanh q - (π/c0) κ is sech² q. Raises RuntimeError if some flow has no sign
    change on the recorded path.
    """
    falling = norm_growth(law, q, s) < 0
    if np.any(falling[:, -1]):
        raise RuntimeError("the norm is still shrinking at the end of the recorded path; record further")
    last = np.where(falling[:, 0], falling.sum(axis=1) - 1, 0)
    rows = np.arange(len(q))
    q_at, s_at, t_at = (array[rows, last].copy() for array in (q, s, t))
    moving = falling[:, 0]
    for _ in range(6):
        growth = norm_growth(law, q_at, s_at) * np.exp(-s_at) * math.pi / law.c0
        step = np.where(moving, -growth * np.cosh(np.minimum(q_at, 300.0)) ** 2, 0.0)
        step = np.clip(step, -0.5, 0.5)
        q_at, s_at, t_at = advance(law, depth, q_at, s_at, t_at, step)
    return Transition(t_at, q_at, s_at)


def advance(law: SphericalLaw, depth: int, q: Array, s: Array, t: Array, step: Array) -> tuple[Array, Array, Array]:
    """Follow each flow (q, s, t) over its own small advance `step` of the clock. All arrays [S]."""
    size = len(q)

    def rates(fraction: float, state: Array) -> Array:
        ds, dt = clock_rates(law, depth, q + fraction * step, state[:size])
        return np.concatenate([step * ds, step * dt])

    solution = solve(rates, 1.0, np.concatenate([s, t]), "DOP853", np.ones(1), rtol=3e-14, atol=1e-15)
    return q + step, solution.y[:size, -1], solution.y[size:, -1]


def in_time(
    law: SphericalLaw,
    depth: int,
    q0: Float[Array, " s"],
    s0: Float[Array, " s"],
    times: Float[Array, " p"],
    *,
    rtol: float = RTOL,
) -> tuple[Float[Array, "s p"], Float[Array, "s p"]]:
    """(q, s) of flows at given times (increasing, first one 0), integrated in plain time: the second implementation."""
    size = len(q0)

    def rates(_: float, state: Array) -> Array:
        ds, dt = clock_rates(law, depth, state[:size], state[size:])
        return np.concatenate([1.0 / dt, ds / dt])

    solution = solve(rates, times[-1], np.concatenate([q0, s0]), "DOP853", times, rtol=rtol, atol=1e-3 * rtol)
    return solution.y[:size], solution.y[size:]
