r"""Explicit constants of deep_homogeneous, Section 5.1, in logarithms where they leave float64.

`radius` is $\tilde B_\epsilon=B_\epsilon+\epsilon$, `alpha` and `beta` are upper bounds of Eq. (46).
"""

from __future__ import annotations

import numpy as np

Number = float | np.ndarray
Boolean = bool | np.ndarray
SMALLEST = 1e-300
"""In place of the logarithm of a time that is 0."""


def log_change_bound(beta: Number, radius: Number, degree: float, label_norm: Number, *, logistic: Boolean) -> Number:
    r"""$\ln$ of what bounds $\|\tilde\xi(t)\|/\delta^L$ for one loss (before Eq. (52)).

    $\beta\tilde B_\epsilon^L$ for the square loss, $\|y\|^2e^{\|y\|\beta}\beta\tilde B_\epsilon^L$ for the logistic loss.
    """
    square = np.log(beta) + degree * np.log(radius)
    return np.where(logistic, square + 2.0 * np.log(label_norm) + label_norm * beta, square)


def log_change_constant(beta: Number, radius: Number, degree: float, label_norm: Number) -> Number:
    r"""$\ln C_\epsilon$ of Eq. (45) and (52): the larger of both losses. The text prints its exponent as $\|y\|^\beta$."""
    square, logistic = (log_change_bound(beta, radius, degree, label_norm, logistic=which) for which in (False, True))
    return np.maximum(square, logistic)


def log_delta_bar(
    epsilon: Number,
    time: Number,
    radius: Number,
    degree: float,
    alpha: Number,
    lipschitz: Number,
    label_norm: Number,
    log_change: Number,
) -> Number:
    r"""$\ln\bar\delta$ of Eq. (45).

    $\bar\delta^L=\min\{\tilde B_\epsilon^{-L},\
    \epsilon/(4\alpha\tilde B_\epsilon^{L-1}C_\epsilon T_\epsilon e^{2T_\epsilon K_\epsilon\|y\|})\}$.
    `lipschitz` is $K_\epsilon$ of Eq. (44), `log_change` $\ln C_\epsilon$.
    """
    second = (
        np.log(epsilon) - np.log(4.0 * alpha) - (degree - 1) * np.log(radius) - log_change - np.log(np.maximum(time, SMALLEST))
    )
    return np.minimum(-degree * np.log(radius), second - 2.0 * time * lipschitz * label_norm) / degree


def log_gronwall_bound(
    epsilon: Number,
    time: Number,
    radius: Number,
    degree: float,
    alpha: Number,
    lipschitz: Number,
    label_norm: Number,
    log_change: Number,
    log_delta: Number,
) -> Number:
    r"""$\ln$ of the bound on $\|s(t)-u(t)\|^2$ before the end of the proof of Theorem 5.1 (Appendix B.2).

    $2\alpha\epsilon\tilde B_\epsilon^{L-1}C_\epsilon\delta^L\,t\,e^{2tK_\epsilon\|y\|}$.
    """
    constant = np.log(2.0 * alpha * epsilon) + (degree - 1) * np.log(radius) + log_change
    return constant + degree * log_delta + np.log(np.maximum(time, SMALLEST)) + 2.0 * time * lipschitz * label_norm


def cosine_bound(eta: Number, epsilon: Number) -> Number:
    r"""$1-(1+\frac3\eta)\epsilon$ of Theorem 5.1; below 0 for $\epsilon>\eta/(\eta+3)$."""
    return 1.0 - (1.0 + 3.0 / eta) * epsilon


def dichotomy_margin(norm: Number, misalignment: Number, eta: Number, epsilon: Number) -> Number:
    r"""Not negative where Theorem 5.1 holds at the moment of epsilon.

    $\|w\|/\delta\ge\eta/2$ and $\cos\ge1-(1+\frac3\eta)\epsilon$, or $\|w\|/\delta\le2\epsilon$.
    `norm` is $\|w(\bar T_\epsilon)\|/\delta$, `misalignment` $1-\cos$.
    """
    aligned = np.minimum(norm - 0.5 * eta, 1.0 - misalignment - cosine_bound(eta, epsilon))
    return np.maximum(aligned, 2.0 * epsilon - norm)
