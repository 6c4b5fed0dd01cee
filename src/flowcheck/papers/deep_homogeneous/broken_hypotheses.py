"""What happens near a critical point where a hypothesis of Theorem 5.3 fails: Eq. (15), or that the network is separable.

Ratios to the bounds of (16); flows are stopped where the ratio is `STOPPED`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from scipy.optimize import minimize

from flowcheck.correlation.ncf import Correlation
from flowcheck.data.synthetic import sphere_inputs, unit_vectors
from flowcheck.flows.events import tangential_below
from flowcheck.flows.flow import gradient_flow
from flowcheck.integration.initial_value import solve
from flowcheck.measures.refinement import Refined
from flowcheck.networks.hypotheses import require_stationary
from flowcheck.networks.network import Network
from flowcheck.networks.zoo import squared_relu
from flowcheck.papers.deep_homogeneous.power_saddles import strict_saddle
from flowcheck.saddles import departure
from flowcheck.saddles.constants import reach

STOPPED = 10.0
RTOL = 1e-8
"""Of the network that is not separable; the second tolerance is `departure.COARSER` times larger."""


def farther_than(distance: float) -> Callable[[np.ndarray, np.ndarray], float]:
    """Margin for `departure.depart_until`: w_n is at this distance from the saddle."""
    return lambda a, _: float(np.linalg.norm(a)) / distance - 1


def strict_saddle_ratios(
    degree: int, epsilon: float, scales: Sequence[float], largest_growth: float, rng: np.random.Generator
) -> Refined:
    """Distance of w_n from a strict saddle over the bound of (16) before T, for each delta."""
    saddle = strict_saddle(degree, rng)
    saddle.stationarity()
    (start,) = departure.draw_starts(saddle, 1, np.array([epsilon]), largest_growth, rng).starts
    bound = math.sqrt(reach(saddle, epsilon, start.u.times[0], start.u.largest[0]).c)
    away, longest = farther_than(STOPPED * bound), float(start.u.times[0])

    def ratio(delta: float, coarser: float) -> float:
        _, a, _ = departure.depart_until(saddle, delta, start.n, start.z, away, longest, coarser=coarser)
        return float(np.linalg.norm(a)) / bound

    return Refined.of(*(np.array([ratio(delta, coarser) for delta in scales]) for coarser in (1.0, departure.COARSER)))


def chain_ratios(epsilon: float, scales: Sequence[float], rng: np.random.Generator) -> Refined:
    """A network that is not separable, max(W2 W1 x, 0)^2 summed: |w_z| over the bound of (16) before T / delta^2, likewise.

    w_n is the first row of W1 with the first column of W2, of two signs; w_z the second ones. They meet in products, so w_z grows
    at a rate of order one.
    """
    network, part = squared_relu([2, 2], 3), squared_relu([1, 2], 3)
    x = sphere_inputs(rng, 30, 3)
    y = 3 * x[:, 0] ** 2 + torch.from_numpy(rng.standard_normal(30))
    n, z = np.array([0, 1, 2, 6, 8]), np.array([3, 4, 5, 7, 9])

    def rest(net: Network, w: torch.Tensor) -> torch.Tensor:
        return y - net.forward(w[None], x)[0]

    def descent(net: Network, w: np.ndarray) -> np.ndarray:
        weights = torch.from_numpy(w)
        return net.pull(weights[None], x, rest(net, weights))[0].numpy()

    def loss(w: np.ndarray) -> tuple[float, np.ndarray]:
        return 0.5 * float((rest(part, torch.from_numpy(w)) ** 2).sum()), -descent(part, w)

    start = np.array([1.0, 0.1, 0.1, 1.0, -1.0])
    w_n = torch.from_numpy(minimize(loss, start, jac=True, method="BFGS", options={"gtol": 1e-6, "maxiter": 2000}).x)
    for _ in range(3):
        hessian = torch.autograd.functional.hessian(lambda v: 0.5 * (rest(part, v) ** 2).sum(), w_n)  # type: ignore[no-untyped-call] # torch gives it no types
        step = torch.from_numpy(descent(part, w_n.numpy()))
        w_n = w_n + torch.linalg.lstsq(hessian, step, rcond=1e-9, driver="gelsd").solution
    residual = rest(part, w_n)
    require_stationary(part.pull(w_n[None], x, residual)[0], residual)
    candidates = unit_vectors(rng, 100, 5)
    direction = candidates[[int((part.forward(candidates, x) @ residual).argmax())]]
    ncf = gradient_flow(Correlation(part, x, residual), direction, until=[tangential_below(0.1)])
    bound = math.exp(float(ncf.log_growth[0])) + epsilon
    starts = [unit_vectors(rng, 1, 5)[0].numpy() for _ in scales]

    def ratio(delta: float, start: np.ndarray, rtol: float) -> float:
        w = np.zeros(10)
        w[n], w[z] = w_n.numpy() + delta * start, delta * direction[0].numpy()

        def leaves(_: float, w: np.ndarray) -> float:
            return float(np.linalg.norm(w[z])) / (STOPPED * bound * delta) - 1

        leaves.terminal = True  # type: ignore[attr-defined]
        end = float(ncf.time[0]) / delta**2
        path = solve(lambda _, w: descent(network, w), end, w, "RK45", rtol=rtol, atol=rtol * delta, events=leaves)
        return float(np.linalg.norm(path.y[z, -1])) / (bound * delta)

    tolerances = (RTOL, departure.COARSER * RTOL)
    pairs = list(zip(scales, starts, strict=True))
    return Refined.of(*(np.array([ratio(delta, start, rtol) for delta, start in pairs]) for rtol in tolerances))
