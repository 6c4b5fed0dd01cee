"""Theorem 15 and Corollary 18 at step sizes that can be run: how soon descent gets there, and how far it is from the flow."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from flowcheck.measures import readings
from flowcheck.papers.continuous_discrete import deep_linear_bounds as bounds
from flowcheck.papers.continuous_discrete.reduced_descent import ReducedDescent, deviation, first_within
from flowcheck.papers.continuous_discrete.reparameterised_flow import ReparameterisedFlow
from flowcheck.pipeline.evidence import Found, Measurement

SMOOTHNESS, LIPSCHITZ = 16.0, 6.0
"""beta = 16 n and gamma = 6 sqrt(n) of Proposition 14, without their powers of n."""
CLOCK_END = 60.0
SAMPLES = 40
FINE_PANEL = 0.01
"""Of upper sums, which are above the integral by a share of some per cent."""


def conclusion(
    depths: Sequence[int], nus: Sequence[float], norms: Sequence[float], step_sizes: Sequence[float], accuracy: float, most: int
) -> tuple[Found, dict[str, Float[np.ndarray, " r"]]]:
    """Descents from every combination: the iterate of Eq. (24) against the first one whose loss is within the accuracy."""
    n, nu, norm, eta = (a.ravel() for a in np.meshgrid(np.array(depths, float), nus, norms, step_sizes, indexing="ij"))
    iterates, _ = first_within(ReducedDescent.of(n, nu, norm, eta), accuracy, most)
    promised = bounds.log_time(n, nu, norm, np.full_like(n, accuracy / 2)) - np.log(eta)
    reached = iterates >= 0
    slack = promised - np.log(np.maximum(iterates, 1))
    stuck = ReducedDescent.of(*(np.array([value]) for value in (3.0, -1.0, 0.2, step_sizes[0])))
    for _ in range(most):
        stuck.step()
    found = {
        "theorem15_iterates_slack_min": readings.smallest(slack, 1e-12, reached),
        # who is not there yet must have more iterates to go, or the promise is broken
        "theorem15_broken_promises": readings.count(~reached & (promised < np.log(most))),
        "theorem15_reached_share": Measurement.exact(float(reached.mean()), len(n)),
        "theorem15_antiparallel_loss": Measurement(float(stuck.loss[0]), 1e-9),
    }
    table = {"depth": n, "nu": nu, "norm": norm, "step_size": eta, "iterates": iterates.astype(float), "log_promised": promised}
    return found, table


def instances(depths: Sequence[int], nus: Sequence[float], norm: float, accuracy: float, step_sizes: Sequence[float]) -> Found:
    """Theorem 3 for single networks: the step that Eq. (7) admits with the m of Eq. (71), and how far descent is from the flow.

    Neighbourhoods have the radius that the proof of Theorem 15 uses for the accuracy; the time is when the flow is halfway there.
    """
    n, nu = (axis.ravel() for axis in np.meshgrid(np.array(depths, float), nus, indexing="ij"))
    flow = ReparameterisedFlow(n, nu, np.full_like(n, norm), CLOCK_END, FINE_PANEL)
    epsilon = accuracy / 2 / (LIPSCHITZ * np.sqrt(n))
    hit = (flow.gradient**2 / 2 <= accuracy / 2).argmax(axis=1)
    until = np.take_along_axis(flow.clock, hit[:, None], axis=1)[:, 0]
    m, advance = flow.m_integral(epsilon), np.diff(flow.clock, axis=1)
    admitted = np.zeros_like(n)
    for i, last in enumerate(hit):
        # an upper sum: m is not negative, so that its integral grows
        total = 0.0
        for k in range(last):
            total = (total + advance[i, k]) * np.exp(m[i, k + 1] - m[i, k])
        admitted[i] = epsilon[i] / (SMOOTHNESS * n[i] * LIPSCHITZ * np.sqrt(n[i]) * total)
    far = np.array([[deviation(flow, i, eta, until[i], SAMPLES).max() for eta in step_sizes] for i in range(len(n))])
    sizes = np.broadcast_to(step_sizes, far.shape)
    following = epsilon / (far / sizes)[:, -1]
    error = np.full(far.shape, 1e-12)
    return {
        "instance_exponent": readings.log_rate(np.array(step_sizes), far, error),
        "instance_looseness_min": readings.smallest(following / admitted, 1e-6 * following / admitted),
        "instance_looseness_max": readings.largest(following / admitted, 1e-6 * following / admitted),
        "instance_deviation_over_radius_max": readings.largest(far[:, -1] / epsilon, 1e-9),
        "instance_deviation_over_radius_large_step_min": readings.smallest(far[:, 0] / epsilon, 1e-9),
        "instance_depths": n,
        "instance_cosines": nu,
        "instance_admitted": admitted,
        "instance_following": following,
        "instance_printed": np.exp(bounds.log_step(n, nu, np.full_like(n, norm), np.full_like(n, accuracy))),
        "instance_deviation": far,
        "instance_step_sizes": np.array(step_sizes),
    }


def corollary_18(
    rng: np.random.Generator,
    depths: Sequence[int],
    inputs: Sequence[int],
    draws: int,
    step_size: float,
    accuracy: float,
    most: int,
) -> Found:
    """Procedure 13 with a uniform direction and a uniform length up to 0.2: which draws meet the hypotheses, which get there."""
    columns: dict[str, list[Float[np.ndarray, " r"]]] = {"nu": [], "slack": [], "reached": [], "promise": []}
    for depth in depths:
        for size in inputs:
            direction = rng.standard_normal((draws, size))
            nu = direction[:, 0] / np.linalg.norm(direction, axis=1)
            norm = 0.2 * (1 - rng.random(draws))
            n = np.full(draws, float(depth))
            iterates, _ = first_within(ReducedDescent.of(n, nu, norm, np.full(draws, step_size)), accuracy, most)
            promised = bounds.log_time(n, nu, norm, np.full(draws, accuracy / 2)) - np.log(step_size)
            columns["nu"].append(nu)
            columns["reached"].append(iterates >= 0)
            columns["promise"].append(promised < np.log(most))
            columns["slack"].append(np.where(iterates >= 0, promised - np.log(np.maximum(iterates, 1)), np.nan))
    nu, slack, reached, promise = (np.concatenate(columns[name]) for name in ("nu", "slack", "reached", "promise"))
    # one input: the sign of a number, half of the time opposite to the target
    sign = np.where(rng.random(draws) < 0.5, -1.0, 1.0)
    one = ReducedDescent.of(np.full(draws, 3.0), sign, 0.2 * (1 - rng.random(draws)), np.full(draws, step_size))
    for _ in range(most):
        one.step()
    return {
        "corollary18_antiparallel_draws": readings.count(nu <= -1),
        "corollary18_reached_share": readings.fraction(reached.astype(bool)),
        "corollary18_broken_promises": readings.count(~reached.astype(bool) & promise.astype(bool)),
        "corollary18_slack_min": readings.smallest(slack, 1e-12),
        "corollary18_one_input_reached_share": readings.fraction(one.loss <= accuracy),
        "corollary18_smallest_margin": readings.smallest(1 + nu, 1e-15),
    }
