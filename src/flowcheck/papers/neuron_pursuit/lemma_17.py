r"""Lemma 17: near a minimum with $\|\nabla g\|\ge\mu(g-g_*)^a$ also $\|\nabla g\|\le\mu_1(g-g_*)^{1-a}$, gradients Lipschitz.

The proof follows the descent of $f=(g-g_*)^{1-a}$ to a minimum. As $\|\nabla f\|\ge(1-a)\mu$, its path is no longer than
$f(w)/((1-a)\mu)$ and $\mu_1=K/((1-a)\mu)$; the factor 1 - a is missing in print. The path is that of the descent of g, too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from flowcheck.integration.initial_value import solve
from flowcheck.measures.readings import largest, smallest
from flowcheck.measures.refinement import change
from flowcheck.pipeline.evidence import Found, Measurement

ROUNDING = 1e-12
"""Relative, of values and gradients of some ten terms that are not small differences of large ones."""


@dataclass(frozen=True)
class Minimum:
    r"""A function g with a local minimum at `at`, where it is zero, and constants in closed form.

    Attributes:
        exponent, mu: a and $\mu$ of the inequality.
        radius: $\gamma$, up to which it holds.
        lipschitz: K of the gradient up to there.
    """

    name: str
    value: Callable[[np.ndarray], float]
    gradient: Callable[[np.ndarray], np.ndarray]
    at: Float[np.ndarray, " k"]
    exponent: float
    mu: float
    radius: float
    lipschitz: float

    def near(self) -> float:
        r"""$\gamma_1$ of the proof: at most $\gamma/4$, and so small that paths from there are no longer than that.

        As $g\le\frac K2\|w-w_*\|^2$, $f(w)\le(\frac K2\gamma_1^2)^{1-a}$.
        """
        longest = (1 - self.exponent) * self.mu * self.radius / 4
        return min(self.radius / 4, (2 / self.lipschitz * longest ** (1 / (1 - self.exponent))) ** 0.5)


def quadratic(*eigenvalues: float) -> Minimum:
    r"""$\frac12w^\top Aw$, in the basis of eigenvectors; directions with eigenvalue 0 are valleys."""
    a = np.array(eigenvalues)
    mu = float(np.sqrt(2 * a[a > 0].min()))
    name = f"quadratic, eigenvalues {', '.join(f'{e:g}' for e in eigenvalues)}"
    return Minimum(name, lambda w: 0.5 * float(a @ w**2), lambda w: a * w, np.zeros(len(a)), 0.5, mu, 1.0, float(a.max()))


def power(exponent: float, dimension: int = 2) -> Minimum:
    r"""$\|w\|^q$, q >= 2: a = (q - 1)/q, $\mu=q$, K = q(q - 1) up to radius one."""
    q = exponent

    def gradient(w: np.ndarray) -> np.ndarray:
        size = np.linalg.norm(w)
        return np.asarray(q * size ** (q - 2) * w) if size else np.zeros_like(w)

    at = np.zeros(dimension)
    return Minimum(f"norm to the {q:g}", lambda w: float(np.linalg.norm(w) ** q), gradient, at, (q - 1) / q, q, 1.0, q * (q - 1))


def product(radius: float = 0.5) -> Minimum:
    r"""$\frac12(uv-1)^2$ at (1, 1), a network of two weights on one point, whose minima are a curve.

    $\|\nabla g\|^2=2(u^2+v^2)g$ and $u^2+v^2\ge(\sqrt2-\gamma)^2$. The Hessian has the diagonal $v^2,u^2$ and beside it 2uv - 1.
    """
    largest_entry = 1 + radius
    return Minimum(
        "product of two weights",
        lambda w: 0.5 * float(w[0] * w[1] - 1) ** 2,
        lambda w: (w[0] * w[1] - 1) * w[::-1],
        np.ones(2),
        0.5,
        float(np.sqrt(2) * (np.sqrt(2) - radius)),
        radius,
        3 * largest_entry**2,
    )


MINIMA: Sequence[Minimum] = (
    quadratic(3.0, 3.0),
    quadratic(4.0, 1.0, 0.25),
    quadratic(2.0, 1.0, 0.0),
    power(3.0),
    power(4.0),
    product(),
)
WITHOUT_LIPSCHITZ = power(1.5)
"""a = 1/3 and mu = 3/2, but the gradient is not Lipschitz at the minimum."""


def points(minimum: Minimum, rng: np.random.Generator, count: int, within: float) -> Float[np.ndarray, "count k"]:
    """Around the minimum at distances of all magnitudes down to a thousandth of `within`."""
    directions = rng.standard_normal((count, len(minimum.at)))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    return np.asarray(minimum.at + within * 10 ** rng.uniform(-3, 0, (count, 1)) * directions)


def quotients(minimum: Minimum, some: Float[np.ndarray, "s k"], bound: float) -> Float[np.ndarray, " s"]:
    r"""$\|\nabla g\|$ over `bound` times $(g-g_*)^{1-a}$."""
    return np.array([np.linalg.norm(minimum.gradient(w)) / (bound * minimum.value(w) ** (1 - minimum.exponent)) for w in some])


def premise(minimum: Minimum, some: Float[np.ndarray, "s k"]) -> Float[np.ndarray, " s"]:
    r"""$\|\nabla g\|$ over $\mu(g-g_*)^a$, at least one if the constants are right."""
    return np.array([np.linalg.norm(minimum.gradient(w)) / (minimum.mu * minimum.value(w) ** minimum.exponent) for w in some])


def path_length(minimum: Minimum, start: Float[np.ndarray, " k"], rtol: float) -> float:
    """Length of the descent of g until g has fallen by 1e-16, in the time in which g falls at the rate one."""

    def rates(_: float, state: np.ndarray) -> np.ndarray:
        gradient = minimum.gradient(state[:-1])
        size = np.linalg.norm(gradient)
        pace = minimum.value(state[:-1]) / size**2
        return np.append(-pace * gradient, pace * size)

    end = solve(rates, 16 * np.log(10), np.append(start, 0.0), "DOP853", rtol=rtol, atol=1e-3 * rtol)
    return float(end.y[-1, -1])


def readings(rng: np.random.Generator, count: int, paths: int) -> Found:
    """Over all functions; the printed constant, and a gradient that is not Lipschitz."""
    kept, corrected, printed, lengths, length_errors, long = [], [], [], [], [], []
    for minimum in MINIMA:
        some = points(minimum, rng, count, minimum.near())
        kept.append(premise(minimum, points(minimum, rng, count, minimum.radius)))
        factor = 1 - minimum.exponent
        corrected.append(quotients(minimum, some, minimum.lipschitz / (factor * minimum.mu)))
        printed.append(corrected[-1] / factor)
        for start in some[:paths]:
            bound = minimum.value(start) ** factor / (factor * minimum.mu)
            fine, coarse = (path_length(minimum, start, rtol) / bound for rtol in (1e-10, 1e-9))
            lengths.append(fine)
            length_errors.append(float(change(np.array(fine), np.array(coarse))) + 1e-8)
            long.append(fine / factor)
    rough = WITHOUT_LIPSCHITZ
    nearer = [quotients(rough, points(rough, rng, count, size), 1.0).min() for size in (1.0, 1e-8)]
    return {
        "lemma17_premise_min": smallest(np.concatenate(kept) - 1, ROUNDING),
        "lemma17_excess_max": largest(np.concatenate(corrected) - 1, ROUNDING),
        "lemma17_excess_printed_max": largest(np.concatenate(printed) - 1, ROUNDING),
        "lemma17_path_excess_max": largest(np.array(lengths) - 1, np.array(length_errors)),
        "lemma17_path_excess_printed_max": largest(np.array(long) - 1, 2 * np.array(length_errors)),
        "lemma17_excess_not_lipschitz": Measurement(float(nearer[1]) - 1, ROUNDING * float(nearer[1]), n=count),
        "lemma17_radius_min": smallest(np.array([minimum.near() for minimum in MINIMA]), ROUNDING),
    }


def curves(rng: np.random.Generator, count: int) -> dict[str, np.ndarray]:
    """For a figure: the bound with the corrected constant and the norm of the gradient near each minimum [M, count]."""
    found = []
    for minimum in MINIMA:
        some, factor = points(minimum, rng, min(count, 60), minimum.near()), 1 - minimum.exponent
        sizes = np.array([np.linalg.norm(minimum.gradient(w)) for w in some])
        found.append((sizes / quotients(minimum, some, minimum.lipschitz / (factor * minimum.mu)), sizes))
    bounds, gradients = np.moveaxis(np.array(found), 1, 0)
    names = np.array([minimum.name for minimum in MINIMA])
    return {"lemma17_bound": bounds, "lemma17_gradient": gradients, "lemma17_names": names}
