r"""A saddle of two_homogeneous with a ReLU unit of $\mathcal H_n$ on a kink that attracts: the second case of Lemma D.1.

The unit (u, v) meets the first input at $u^\top x_1=0$. The others that it sees push it towards $x_1$ with
$\sum_i\bar y_ix_i=\lambda|\bar y_1|x_1$, $0<\lambda<1$; once it sees $x_1$, whose residual is negative, it is pushed back harder.
So 0 lies inside the segment $\partial_uL(\bar w_n,0)$, and no gradient near $\bar w_n$ is small. A flow from
$\bar w_n+\delta\zeta_n$ falls onto the kink in a time of order $\delta$ and slides along it. With $p=u^\top x_1$,
$\langle w_n-\bar w_n,s\rangle\ge-\kappa\|w_n-\bar w_n\|^2$, Eq. (15), holds for $\|w_n-\bar w_n\|\le\gamma\le v/2$: the first
order is $(1-\lambda)|\bar y_1|(2v-\bar v)p$ or $\lambda|\bar y_1|(2v-\bar v)|p|$, and the rest is at least
$-\frac14\|X\|^2(v-\bar v)^2\|u-\bar u\|^2$.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float

from flowcheck.correlation import clarke
from flowcheck.correlation.ncf import Correlation
from flowcheck.data.synthetic import sphere_inputs, unit_vectors
from flowcheck.integration.initial_value import solve
from flowcheck.measures.readings import largest, smallest
from flowcheck.networks.hypotheses import require_stationary
from flowcheck.networks.zoo import power_net, two_layer
from flowcheck.papers.homogeneous.near_saddles import rounding_of_sums
from flowcheck.pipeline.evidence import Found
from flowcheck.saddles.constants import Growth, jacobian_lipschitz_bound, largest_rate, output_bound
from flowcheck.saddles.departure import KINKED_RTOL, NEAR, Curve, Departure
from flowcheck.saddles.saddle import Saddle
from flowcheck.saddles.units import Increment, Units

SHARE = 0.5
"""Lambda: where in the segment of the subdifferential 0 lies."""
INPUTS, MARGIN = 12, 0.3
"""How many; how far the others are from the kink, at least, for a unit of norm one."""


@dataclass(frozen=True)
class KinkedSaddle(Saddle):
    """A saddle whose fitted unit, one of a two-layer ReLU net, is on the kink of the first input, as above."""

    def generators(self, w: Float[np.ndarray, " kn"]) -> Float[np.ndarray, "p kn"]:
        r"""Of $\partial_{w_n}L(w,0)$: on the kink the gradients of both pieces, by autograd."""
        rest = torch.from_numpy(self.residual + self.fitted.outputs(self.weights) - self.fitted.outputs(w))
        ncf = Correlation(self.fitted.network, torch.from_numpy(self.fitted.x), -rest)
        signs = clarke.all_signs(ncf.network, torch.from_numpy(w), ncf.x)
        return clarke.generators(ncf, torch.from_numpy(w), signs).numpy()

    def stationarity(self) -> float:
        """Norm of the shortest element of Clarke's set over that of the residual. HypothesisError if it is no saddle."""
        nearest = clarke.min_norm_point(self.generators(self.weights))
        idle = self.idle.pull(np.zeros(self.idle.size), self.residual)
        return require_stationary(torch.from_numpy(np.concatenate([nearest, idle])), torch.from_numpy(self.residual))

    @property
    def sees(self) -> Float[np.ndarray, " n"]:
        """1 for inputs that the unit sees, the first left out; 0 for the others."""
        seen = (self.fitted.preactivations(self.weights)[0] > 0).astype(float)
        seen[0] = 0.0
        return seen

    @functools.cached_property
    def gamma(self) -> float:
        """Half of the way to the next kink, and at most half of v, and 1."""
        off = np.abs(self.fitted.preactivations(self.weights)[0, 1:])
        reach = off / np.linalg.norm(self.fitted.x[1:], axis=1)
        return float(min(1.0, 0.5 * reach.min(), 0.5 * self.weights[-1]))

    @functools.cached_property
    def kappa(self) -> float:
        r"""Of Eq. (15) in the ball of radius gamma: $(v-\bar v)^2\|u-\bar u\|^2\le\frac14\|w_n-\bar w_n\|^4$."""
        return float(np.linalg.norm(self.fitted.x * self.sees[:, None], 2) ** 2) * self.gamma**2 / 16

    @functools.cached_property
    def growth(self) -> Growth:
        r"""Constants of Lemma D.1, second case: $M_2=\max(\kappa,\beta(2M_1+\mu_3\sqrt n))$."""
        bent = self.fitted.jacobian(self.weights)
        bent[0] = np.append(self.weights[-1] * self.fitted.x[0], 0.0)  # of the side that sees it, the longer one
        slope = float(np.linalg.norm(bent, 2)) + jacobian_lipschitz_bound(self.fitted, self.gamma) * self.gamma
        reach, residual = slope * math.sqrt(len(self.residual)), float(np.linalg.norm(self.residual))
        return Growth(
            self.gamma, slope, self.kappa, slope, largest_rate(self.kappa, slope, reach, output_bound(self.idle), residual)
        )

    def velocity(
        self, delta: Float[np.ndarray, " s"], m: int, u: Float[np.ndarray, " kz"], a: np.ndarray, q: np.ndarray
    ) -> tuple[Float[np.ndarray, "s kn"], Float[np.ndarray, "s kz"]]:
        """Off the kink, with the slope of the side that a is on."""
        base, scaled = (u, q) if m else (np.zeros_like(u), q / delta[:, None])
        rows = [np.concatenate(pair) for pair in zip(a, scaled, strict=True)]
        rates = np.stack(
            [
                self._rates(row, a.shape[1], float(d), base, float(row[: a.shape[1] - 1] @ self.fitted.x[0] > 0))
                for row, d in zip(rows, delta, strict=True)
            ]
        )
        a_rates, q_rates = rates[:, : a.shape[1]], rates[:, a.shape[1] :]
        return a_rates, q_rates if m else delta[:, None] * q_rates

    def depart(
        self,
        delta: Float[np.ndarray, " s"],
        start_n: Float[np.ndarray, " kn"],
        start_z: Float[np.ndarray, " kz"],
        tau: Float[np.ndarray, " p"],
        u: Curve,
        *,
        coarser: float = 1.0,
    ) -> Departure:
        """As `departure.depart`: to the kink, and along it. RuntimeError where the unit would leave it, or meets another."""
        paths = [self._path(float(d), start_n, tau, u, coarser * KINKED_RTOL) for d in delta]
        a, q = (np.stack([path[part] for path in paths]) for part in (0, 1))
        return Departure(delta, tau, a, q, np.stack([u(t) for t in tau]), 1)

    def _path(
        self, delta: float, start_n: np.ndarray, tau: np.ndarray, u: Curve, rtol: float
    ) -> tuple[Float[np.ndarray, "p kn"], Float[np.ndarray, "p kz"]]:
        first, split = self.fitted.x[0], len(start_n)
        start = np.concatenate([start_n, np.zeros(self.idle.size)])

        def onto(_: float, state: np.ndarray) -> float:
            return float(state[: split - 1] @ first)

        onto.terminal = True  # type: ignore[attr-defined]
        states = np.empty((len(tau), len(start)))
        begin, slope = 0.0, 1.0 if onto(0.0, start) > 0 else 0.0
        if abs(onto(0.0, start)) > rtol:  # in units of delta: the way to the kink takes a time of order one

            def fast(time: float, state: np.ndarray) -> np.ndarray:
                return delta * self._rates(state, split, delta, u(delta * time), slope)

            longest = 10 * abs(onto(0.0, start)) / (min(SHARE, 1 - SHARE) * abs(self.residual[0]) * float(first @ first))
            way = solve(fast, longest, start, "DOP853", what=NEAR, rtol=rtol, atol=rtol, events=onto, dense_output=True)
            if not len(way.t_events[0]):
                raise RuntimeError(f"{NEAR}: the unit does not fall onto its kink from delta = {delta:g}")
            begin, start = delta * float(way.t[-1]), way.y[:, -1].copy()
            early = tau < begin
            states[early] = way.sol(tau[early] / delta).T
            start[: split - 1] -= onto(0.0, start) / float(first @ first) * first
        late = tau >= begin

        def along(time: float, state: np.ndarray) -> np.ndarray:
            return self._rates(state, split, delta, u(begin + time), None)

        if late.any():
            slide = solve(along, float(tau[-1]) - begin, start, "DOP853", tau[late] - begin, what=NEAR, rtol=rtol, atol=rtol)
            states[late] = slide.y.T
        self._check(states, split, delta, u, tau, late)
        return states[:, :split], states[:, split:]

    def _rates(self, state: np.ndarray, split: int, delta: float, u: np.ndarray, slope: float | None) -> np.ndarray:
        """A' and q' where the unit sees the first input with this slope; None while it slides."""
        x, first, seen = self.fitted.x, self.fitted.x[0], self.sees
        a_u, a_v, height = state[: split - 1], state[split - 1], self.weights[-1] + delta * state[split - 1]
        moved, idle = self._moved(a_u, a_v, delta, slope or 0.0), self._idle(state[split:], delta, u)
        change = moved + delta * idle.end_outputs[0]
        pulled = -(change * seen) @ x
        push = SHARE * abs(self.residual[0]) * float(first @ a_u) - (change * seen) @ (x @ (self.weights[:-1] + delta * a_u))
        if slope is None:
            pulled = pulled - (pulled @ first) / float(first @ first) * first
        else:
            pulled = pulled + ((SHARE - slope) * abs(self.residual[0]) / delta - slope * change[0]) * first
            push += slope * (self.residual[0] - delta * change[0]) * float(first @ a_u)
        q_rate = idle.pulled[0] - idle.end_pull(change[None])[0]
        return np.concatenate([height * pulled, [push], q_rate])

    def _moved(self, a_u: np.ndarray, a_v: float, delta: float, slope: float) -> Float[np.ndarray, " n"]:
        """The quotient of the outputs of H_n."""
        x, w = self.fitted.x, self.weights
        found = self.sees * ((x @ w[:-1]) * a_v + (w[-1] + delta * a_v) * (x @ a_u))
        found[0] = slope * (w[-1] + delta * a_v) * float(x[0] @ a_u)
        return found

    def _idle(self, q: np.ndarray, delta: float, u: np.ndarray) -> Increment:
        return self.idle.increment(u, q[None], np.array([delta]), self.residual)

    def _check(self, states: np.ndarray, split: int, delta: float, u: Curve, tau: np.ndarray, late: np.ndarray) -> None:
        """The slope with which a sliding unit sees the first input is between 0 and 1, and no other kink has been met."""
        x, first, seen = self.fitted.x, self.fitted.x[0], self.sees
        before = self.fitted.preactivations(self.weights)[0, 1:]
        for state, time, slides in zip(states, tau, late, strict=True):
            now = before + delta * (x[1:] @ state[: split - 1])
            if (np.sign(now) != np.sign(before)).any():
                raise RuntimeError(f"{NEAR}: the unit meets another kink from delta = {delta:g}")
            if slides:
                change = (
                    self._moved(state[: split - 1], state[split - 1], delta, 0.0)
                    + delta * self._idle(state[split:], delta, u(time)).end_outputs[0]
                )
                others = float((change * seen) @ (x @ first)) / float(first @ first)
                slope = (SHARE * abs(self.residual[0]) - delta * others) / (abs(self.residual[0]) + delta * change[0])
                if not 0 <= slope <= 1:
                    raise RuntimeError(f"{NEAR}: the unit leaves its kink from delta = {delta:g}")


def kinked_relu(rng: np.random.Generator) -> KinkedSaddle:
    """One ReLU unit in three dimensions that sees six of eleven inputs, on the kink of a twelfth; two idle squared ReLU units."""
    u = unit_vectors(rng, 1, 3)[0].numpy()
    x = sphere_inputs(rng, INPUTS, 3).numpy()
    x[0] -= (x[0] @ u) * u
    side = np.where(np.arange(INPUTS) < INPUTS // 2 + 1, 1.0, -1.0)
    along = x @ u
    x[1:] += np.outer(side * (MARGIN + np.abs(along)) - along, u)[1:]
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    residual = np.where(side > 0, rng.standard_normal(INPUTS), rng.uniform(0.5, 1.5, INPUTS))
    residual[0] = -rng.uniform(0.5, 1.5)
    seen = np.flatnonzero(side > 0)[1:]
    missing = SHARE * abs(residual[0]) * x[0] - residual[seen] @ x[seen]
    residual[seen] += x[seen] @ np.linalg.solve(x[seen].T @ x[seen], missing)
    return KinkedSaddle(Units.of(two_layer(1, 3), x), Units.of(power_net(2, 3, 2), x), np.append(u, 1.0), residual)


def readings_of(saddles: list[KinkedSaddle], directions: Float[np.ndarray, "s 4"], radii: Float[np.ndarray, " r"]) -> Found:
    r"""Lemma 5.6 as a statement on Clarke's set, and Eq. (15) at sampled points of the ball of radius gamma.

    `clarke_gradient_max`: distance of 0 from $\partial_{w_n}L(\bar w_n,0)$; `one_gradient_min`: the shortest of the gradients of
    which it is the hull; `clarke_beside_min`: the same distance for a residual at the kink that pushes away. Over the residual.
    `kinked_kappa_excess_max`: what Eq. (15) needs beyond its kappa, on both sides of the kink; of the broken saddle as well.
    """
    nearest, single, beside, excess, broken, rounding = [], [], [], [], [], []
    for saddle in saddles:
        size = float(np.linalg.norm(saddle.residual))
        generators = saddle.generators(saddle.weights)
        nearest.append(np.linalg.norm(clarke.min_norm_point(generators)) / size)
        single.append(np.linalg.norm(generators, axis=1).min() / size)
        flipped = pushed_away(saddle)
        beside.append(np.linalg.norm(clarke.min_norm_point(flipped.generators(flipped.weights))) / size)
        excess.append(max(required_kappa(saddle, directions, float(r)) for r in saddle.gamma * radii) - saddle.kappa)
        broken.append(max(required_kappa(flipped, directions, float(r)) for r in saddle.gamma * radii) - saddle.kappa)
        rounding.append(rounding_of_sums(saddle.fitted) * float(np.linalg.norm(saddle.fitted.jacobian(saddle.weights))))
    per_radius = np.array(rounding) * 4 / (min(saddle.gamma for saddle in saddles) * radii.min())
    return {
        "clarke_gradient_max": largest(np.array(nearest), np.array(rounding)),
        "one_gradient_min": smallest(np.array(single), np.array(rounding)),
        "clarke_beside_min": smallest(np.array(beside), np.array(rounding)),
        "kinked_kappa_excess_max": largest(np.array(excess), per_radius),
        "kinked_kappa_excess_flipped": smallest(np.array(broken), per_radius),
    }


def pushed_away(saddle: KinkedSaddle) -> KinkedSaddle:
    """The same with the sign of the residual at the kink turned: a point that is no saddle, and that repels."""
    residual = saddle.residual.copy()
    residual[0] = -residual[0]
    return KinkedSaddle(saddle.fitted, saddle.idle, saddle.weights, residual)


def required_kappa(saddle: KinkedSaddle, directions: Float[np.ndarray, "s kn"], radius: float) -> float:
    r"""Largest $-\langle w_n-\bar w_n,s\rangle/\|w_n-\bar w_n\|^2$ over $s\in\partial_{w_n}L(w_n,0)$, at this radius."""
    w = saddle.weights + radius * directions
    y = saddle.residual + saddle.fitted.outputs(saddle.weights)
    gradient = -saddle.fitted.pull(w, y - saddle.fitted.outputs(w))  # off the kink, where it is all of the set
    return float(-((directions * gradient).sum(axis=1) / radius).min())
