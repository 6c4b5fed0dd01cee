r"""Explicit constants of Section 5 and Appendices F, G and I.12, as logarithms where they are astronomical.

n is the depth, nu the cosine between the end-to-end vector and the target at the start, `norm0` the length of that vector.
X stands for $(1-\nu)/(1+\nu)$. All functions take arrays of shapes that broadcast.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

Numbers = Float[np.ndarray, "..."]


def x_of(nu: Numbers) -> Numbers:
    """X = (1 - nu) / (1 + nu)."""
    return (1 - nu) / (1 + nu)


def log_inflation(n: Numbers, nu: Numbers) -> Numbers:
    """Ln of (max{1, 3X/2})^n, which all of Section 5 carries."""
    return n * np.maximum(0.0, np.log(1.5 * x_of(nu).clip(1e-300)))


def log_target(n: Numbers, nu: Numbers, norm0: Numbers, accuracy: Numbers) -> Numbers:
    """The logarithm ln(15 n max{1, X} / (norm0 min{1, accuracy})) of Eq. (21), (23) and (24)."""
    return np.log(15 * n * np.maximum(1.0, x_of(nu)) / (norm0 * np.minimum(1.0, accuracy)))


def log_time(n: Numbers, nu: Numbers, norm0: Numbers, accuracy: Numbers) -> Numbers:
    """Ln of t-bar, Eq. (21): when the flow's loss is within `accuracy` (epsilon-bar) of its minimum."""
    return np.log(2 * n / norm0) + log_inflation(n, nu) + np.log(log_target(n, nu, norm0, 2 * accuracy))


def m_integral_bound(n: Numbers, nu: Numbers, norm0: Numbers, time: Numbers, epsilon: Numbers) -> Numbers:
    """Right side of Eq. (22): of the integral of m up to `time`, with neighbourhoods of radius epsilon."""
    growth = 15 * n**3 * np.exp(log_inflation(n, nu)) * time * epsilon / norm0
    return growth + np.log(n**2 / norm0**2) + 2.5 * (n - 1) * (2 + np.log(np.maximum(1.0, x_of(nu))))


def log_smallest_norm(n: Numbers, nu: Numbers, norm0: Numbers) -> Numbers:
    """Ln of the lower bound of Lemma 48 on the smallest length of u."""
    return np.log(norm0) - log_inflation(n, nu)


def alignment_time(nu: Numbers) -> Numbers:
    """t_a, Definition 49."""
    return 0.5 * np.log(np.maximum(5 * x_of(nu), 1.0))


def growth_time(n: Numbers, smallest: Numbers) -> Numbers:
    """t_c, Definition 52, from the smallest length of u."""
    return 1.5 / n * np.log(2 * n / (3 * smallest))


def accuracy_time(n: Numbers, accuracy: Numbers) -> Numbers:
    """T with index epsilon-bar, Definition 55."""
    return 1.5 * (n + 1) / n * np.log(6 / (5 * np.sqrt(2 * accuracy)))


def escape_bound(n: Numbers, smallest: Numbers, later: Numbers) -> Numbers:
    """Lower bound of Lemma 51 on |u| a time `later` than t_a."""
    decayed = (2 / (3 * smallest) - 1) * np.exp(-2 * n * later / 3)
    return 2 / 3 / (1 + decayed)


def near_bound(n: Numbers, later: Numbers) -> Numbers:
    """Upper bound of Lemma 54 on |u - target| a time `later` than t_a + t_c."""
    return 1.2 * np.exp(-2 * n * later / (3 * (n + 1)))


def log_step(n: Numbers, nu: Numbers, norm0: Numbers, accuracy: Numbers) -> Numbers:
    """Ln of the step size of Eq. (23): Theorem 15."""
    small = np.minimum(1.0, accuracy)
    largest = np.log(np.maximum(1.0, x_of(nu)))
    fraction = 5 * np.log(norm0) + np.log(small) - 8.5 * np.log(n) - (7 * n + 6) - (11 * n - 5) / 2 * largest
    return fraction - 2 * np.log(log_target(n, nu, norm0, accuracy))


def y_of(nu: Numbers) -> Numbers:
    """max{3, (3 - nu) / (1 + nu)}, which Theorem 32 has in place of max{1, X}."""
    return np.maximum(3.0, (3 - nu) / (1 + nu))


def log_target_unbalanced(n: Numbers, nu: Numbers, norm0: Numbers, accuracy: Numbers) -> Numbers:
    """The logarithm ln(23 n Y / (norm0 min{1, accuracy})) of Eq. (34)-(36)."""
    return np.log(23 * n * y_of(nu) / (norm0 * np.minimum(1.0, accuracy)))


def log_unbalancedness(n: Numbers, nu: Numbers, norm0: Numbers, accuracy: Numbers) -> Numbers:
    """Ln of the unbalancedness magnitude of Eq. (34), with the logarithm outside the denominator, as its derivation has it."""
    fraction = 8 * np.log(norm0) + 2 * np.log(np.minimum(1.0, accuracy)) - 15 * np.log(n) - (12 * n + 6)
    return fraction - (9 * n - 5) * np.log(y_of(nu)) - 2 * np.log(log_target_unbalanced(n, nu, norm0, accuracy))


def log_step_unbalanced(n: Numbers, nu: Numbers, norm0: Numbers, accuracy: Numbers) -> Numbers:
    """Ln of the step size of Eq. (35): Theorem 32."""
    fraction = 5 * np.log(norm0) + np.log(np.minimum(1.0, accuracy)) - 8.5 * np.log(n) - (7 * n + 10)
    return fraction - (11 * n - 5) / 2 * np.log(y_of(nu)) - 2 * np.log(log_target_unbalanced(n, nu, norm0, accuracy))


def log_time_unbalanced(n: Numbers, nu: Numbers, norm0: Numbers, accuracy: Numbers) -> Numbers:
    """Ln of the number of iterations of Eq. (36) times the step size, without its last 1."""
    return np.log(3 * n / norm0) + n * np.log(1.5 * y_of(nu)) + np.log(log_target_unbalanced(n, nu, norm0, accuracy))
