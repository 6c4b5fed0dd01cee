r"""Lemma 5.4 of deep_homogeneous: what Eq. (15) means, $\langle w_n-\bar w_n,\nabla\mathcal L(w_n,0)\rangle\ge0$ near a saddle.

At definite minima, at a unit that is split in two, and in a valley of minima. Inward rates are the left side over r^2.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import sympy
from jaxtyping import Float

from flowcheck.measures.readings import largest
from flowcheck.measures.refinement import change
from flowcheck.measures.table import Table
from flowcheck.networks.zoo import two_layer
from flowcheck.papers.deep_homogeneous.power_saddles import RADII, inward_radius, with_lowest
from flowcheck.papers.homogeneous.near_saddles import rounding_at_rest, rounding_of_sums
from flowcheck.pipeline.evidence import Found, Measurement
from flowcheck.saddles.constants import jacobian_bound, jacobian_lipschitz_bound
from flowcheck.saddles.saddle import Saddle
from flowcheck.saddles.units import Units

Rates = Callable[[Float[np.ndarray, "s k"]], Float[np.ndarray, " s"]]
STARTS, NEIGHBOURS, FIRST_STEP, ROUNDS = 8, 64, 0.3, 20
"""Of the search for a lower value: where no neighbour of a start has one, its step is halved."""


def lowest(values: Rates, directions: Float[np.ndarray, "s k"]) -> float:
    """The smallest value that a search finds around the lowest of the sampled directions, for the error of a sampled minimum.

    Neighbours lie along the first of these directions.
    """
    sampled = values(directions)
    order = np.argsort(sampled)[:STARTS]
    best, least, step = directions[order], sampled[order], np.full(len(order), FIRST_STEP)
    rows = np.arange(len(order))
    for _ in range(ROUNDS):
        around = best[:, None] + step[:, None, None] * directions[:NEIGHBOURS]
        around /= np.linalg.norm(around, axis=-1, keepdims=True)
        found = values(around.reshape(-1, directions.shape[1])).reshape(len(order), -1)
        chosen = found.argmin(axis=1)
        falls = found[rows, chosen] < least
        best = np.where(falls[:, None], around[rows, chosen], best)
        least, step = np.where(falls, found[rows, chosen], least), np.where(falls, step, 0.5 * step)
    return float(least.min())


def smallest_rate(
    saddle: Saddle, radius: float, sampled: float, directions: Float[np.ndarray, "s kn"], n: int | None = None
) -> Measurement:
    """A sampled inward rate at this radius, with its distance from the smallest one found by a search."""
    found = lowest(lambda directions: saddle.inward(radius, directions), with_lowest(saddle, directions))
    return Measurement(sampled, rounding_of_rates(saddle, radius) + abs(sampled - found), n=n)


def rounding_of_rates(saddle: Saddle, radius: float) -> float:
    r"""Bound on the rounding of inward rates: sums whose terms are at most $\alpha^2\tilde W^{2L-2}$ and $K\|\bar y\|$."""
    norm = float(np.linalg.norm(saddle.weights)) + radius
    slope = jacobian_bound(saddle.fitted) * norm ** (saddle.degree - 1)
    bend = jacobian_lipschitz_bound(saddle.fitted, norm) * float(np.linalg.norm(saddle.residual))
    return 2 * rounding_of_sums(saddle.fitted) * (slope**2 + bend)


def ball(
    saddle: Saddle, gamma: float, rates: Float[np.ndarray, " r"], directions: Float[np.ndarray, "s kn"]
) -> dict[str, Measurement]:
    """(i) critical for the restricted loss; (ii) lowest loss in the ball of (15); (iii) inward rate there, and at r = 1e-6.

    `rates` are the smallest at each of `RADII`.
    """
    fitted, residual = saddle.fitted, saddle.residual

    def excess_at(radius: float) -> Rates:
        def excess(directions: Float[np.ndarray, "s kn"]) -> Float[np.ndarray, " s"]:
            rise = fitted.increment(saddle.weights, directions, np.full(len(directions), radius), residual).outputs
            return -(rise @ residual) / radius + 0.5 * (rise**2).sum(-1)

        return excess

    radii = gamma * np.geomspace(1e-3, 1.0, 13)
    excesses = np.array([excess_at(float(radius))(directions).min() for radius in radii])
    radius = radii[excesses.argmin()]
    # (rise . residual) / r is a difference of nearly equal numbers for small r
    rounding = rounding_of_rates(saddle, radius) + rounding_at_rest(saddle) * float(np.linalg.norm(residual)) / radius
    sampling = excesses.min() - lowest(excess_at(float(radius)), directions)

    inside, rate_error = rates[: np.searchsorted(RADII, gamma) + 1], rounding_of_rates(saddle, 0.0)
    eigenvalue = float(np.linalg.eigvalsh(saddle.hessian)[0])
    gradient = float(np.linalg.norm(fitted.pull(saddle.weights, residual)) / np.linalg.norm(residual))
    quotient = float(rates[0]) / eigenvalue
    return {
        "gamma": Measurement.exact(gamma),  # a radius of the grid, chosen
        "restricted_gradient": Measurement(gradient, rounding_at_rest(saddle)),
        "excess": Measurement(excesses.min(), rounding + sampling),
        "inward": smallest_rate(saddle, float(RADII[inside.argmin()]), float(inside.min()), directions),
        "inward_over_eigenvalue": Measurement(quotient, 2 * rate_error / abs(eigenvalue)),
        "eigenvalue": Measurement(eigenvalue, rate_error),
    }


def readings_of(runs: Table) -> Found:
    """What the claim asks of all minima."""
    quotient, error = runs["inward_over_eigenvalue"], runs.errors["inward_over_eigenvalue"].to_numpy()
    return {
        "gamma_min": runs.smallest("gamma"),
        "restricted_gradient_max": runs.largest("restricted_gradient"),
        "loss_excess_min": runs.smallest("excess"),
        "inward_min": runs.smallest("inward"),
        "inward_eigenvalue_gap_max": largest(np.abs(quotient - 1), error),
        "hessian_eigenvalue_min": runs.smallest("eigenvalue"),
    }


def split(saddle: Saddle, directions: Float[np.ndarray, "s kn"]) -> Found:
    """Control: the smallest inward rate on spheres around a split unit, the largest over radii up to 0.1."""
    rates = inward_radius(saddle, directions)[1]
    near = rates[RADII <= 0.1]
    worst = smallest_rate(saddle, float(RADII[near.argmax()]), float(near.max()), directions, len(near))
    return {"inward_split_max": worst, "split_inward": rates}


def valley() -> Found:
    r"""Control: $\frac12(ab-1)^2$ at (1, 1), where x + y = -3 x y / 2, between the factors of the symbolic identity.

    Inward rates over r^2; there they are $-\frac14(xy)^2/r^4$.
    """
    unit = Units.of(two_layer(1, 1), np.array([[1.0]]))
    saddle = Saddle(unit, unit, np.array([1.0, 1.0]), np.zeros(1))
    x = np.geomspace(1e-4, 0.3, 30)
    step = np.stack([x, -x / (1 + 1.5 * x)], axis=1)
    size = np.linalg.norm(step, axis=1)
    rates = np.array([saddle.inward(float(r), d[None] / r)[0] / r**2 for r, d in zip(size, step, strict=True)])
    exact = -0.25 * (step.prod(axis=1) / size**2) ** 2
    return {"inward_valley_max": largest(rates, change(rates, exact)), "valley_inward": rates}


def symbolic_failures() -> Found:
    """Identities behind (15) at a valley of minima, proved by computer algebra; and the same asked of a definite minimum."""
    x, y = sympy.symbols("x y", real=True)
    s, q = x + y, x * y
    on_curve = {y: -x / (1 + sympy.Rational(3, 2) * x)}

    def failures(loss: sympy.Expr) -> Measurement:
        inward = x * sympy.diff(loss, x) + y * sympy.diff(loss, y)
        identities = (
            inward - (s + q) * (s + 2 * q),
            (inward + q**2 / 4).subs(on_curve),
            (s + sympy.Rational(3, 2) * q).subs(on_curve),
        )
        return Measurement.count(sum(sympy.simplify(identity) != 0 for identity in identities), len(identities))

    whole = ((1 + x) * (1 + y) - 1) ** 2 / 2
    return {"symbolic_failures": failures(whole), "symbolic_failures_definite": failures(whole + (x - y) ** 2 / 2)}
