"""What happens near a critical point where a hypothesis of Theorem 5.3 fails: (15), or that the network is separable."""

import math
from collections.abc import Callable, Sequence

import numpy as np
import sympy
import torch
from scipy.integrate import solve_ivp
from scipy.optimize import minimize

from flowcheck.correlation.ncf import Correlation
from flowcheck.data.synthetic import sphere_inputs, unit_vectors
from flowcheck.flows.events import tangential_below
from flowcheck.flows.flow import gradient_flow
from flowcheck.networks.hypotheses import require_stationary
from flowcheck.networks.network import Network
from flowcheck.networks.zoo import squared_relu, two_layer
from flowcheck.papers.deep_homogeneous.power_saddles import strict_saddle
from flowcheck.saddles import departure
from flowcheck.saddles.constants import reach
from flowcheck.saddles.saddle import Saddle
from flowcheck.saddles.units import Units


def farther_than(distance: float) -> Callable[[np.ndarray, np.ndarray], float]:
    return lambda a, _: float(np.linalg.norm(a)) / distance - 1


def strict_saddle_ratios(
    degree: int, epsilon: float, scales: Sequence[float], largest_growth: float, rng: np.random.Generator
) -> np.ndarray:
    """Distance of w_n from a strict saddle over the bound of (16) before T, for each delta; stopped at ten times it."""
    saddle, ratios = strict_saddle(degree, rng), []
    saddle.stationarity()
    (start,), _ = departure.draw_starts(saddle, 1, np.array([epsilon]), largest_growth, rng)
    bound = math.sqrt(reach(saddle, epsilon, start.u.times[0], start.u.largest[0]).c)
    for delta in scales:
        _, a, _ = departure.depart_until(saddle, delta, start.n, start.z, farther_than(10 * bound), float(start.u.times[0]))
        ratios.append(float(np.linalg.norm(a)) / bound)
    return np.array(ratios)


def chain_ratios(epsilon: float, scales: Sequence[float], rng: np.random.Generator) -> np.ndarray:
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
    ratios = []
    for delta in scales:
        w = np.zeros(10)
        w[n], w[z] = w_n.numpy() + delta * unit_vectors(rng, 1, 5)[0].numpy(), delta * direction[0].numpy()

        def leaves(_: float, w: np.ndarray, delta: float = delta) -> float:
            return float(np.linalg.norm(w[z])) / (10 * bound * delta) - 1

        leaves.terminal = True  # type: ignore[attr-defined]
        span = (0.0, float(ncf.time[0]) / delta**2)
        path = solve_ivp(lambda _, w: descent(network, w), span, w, rtol=1e-8, atol=1e-8 * delta, events=leaves)
        ratios.append(float(np.linalg.norm(path.y[z, -1])) / (bound * delta))
    return np.array(ratios)


def valley_inward_rates() -> np.ndarray:
    """(ab - 1)^2 / 2 at (1, 1): inward rates where x + y = -3 x y / 2, between the factors of the symbolic identity, over r^2."""
    unit = Units.of(two_layer(1, 1), np.array([[1.0]]))
    saddle = Saddle(unit, unit, np.array([1.0, 1.0]), np.zeros(1))
    x = np.geomspace(1e-4, 0.3, 30)
    step = np.stack([x, -x / (1 + 1.5 * x)], axis=1)
    size = np.linalg.norm(step, axis=1)
    return np.array([saddle.inward(float(r), d[None] / r)[0] / r**2 for r, d in zip(size, step, strict=True)])


def symbolic_failures() -> dict[str, float]:
    """Identities behind (15) at a valley of minima, proved by computer algebra; and the same asked of a definite minimum."""
    x, y = sympy.symbols("x y", real=True)
    s, q = x + y, x * y
    on_curve = {y: -x / (1 + sympy.Rational(3, 2) * x)}

    def failures(loss: sympy.Expr) -> float:
        inward = x * sympy.diff(loss, x) + y * sympy.diff(loss, y)
        identities = (
            inward - (s + q) * (s + 2 * q),
            (inward + q**2 / 4).subs(on_curve),
            (s + sympy.Rational(3, 2) * q).subs(on_curve),
        )
        return float(sum(sympy.simplify(identity) != 0 for identity in identities))

    valley = ((1 + x) * (1 + y) - 1) ** 2 / 2
    return {"symbolic_failures": failures(valley), "symbolic_failures_definite": failures(valley + (x - y) ** 2 / 2)}
