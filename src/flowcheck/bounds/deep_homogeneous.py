r"""Explicit constants of deep_homogeneous, Section 5.1, in logarithms where they leave float64.

`radius` is $\tilde B_\epsilon=B_\epsilon+\epsilon$, `alpha` and `beta` are upper bounds of Eq. (46).
"""

from __future__ import annotations

import math

import numpy as np

Number = float | np.ndarray


def log_change_constant(beta: Number, radius: Number, degree: float, label_norm: Number, *, logistic: bool) -> Number:
    r"""$\ln C_\epsilon$, in $\|\tilde\xi(t)\|\le C_\epsilon\delta^L$, Eq. (52).

    $\beta\tilde B_\epsilon^L$ for the square loss, $\|y\|^2e^{\|y\|\beta}\beta\tilde B_\epsilon^L$ for the logistic loss; the
    paper takes the larger of both, and prints the exponent before Eq. (45) as $\|y\|^\beta$.
    """
    square = np.log(beta) + degree * np.log(radius)
    return square + 2.0 * np.log(label_norm) + label_norm * beta if logistic else square


def log_delta_bar(
    epsilon: float,
    time: Number,
    radius: Number,
    degree: float,
    alpha: float,
    lipschitz: Number,
    label_norm: Number,
    log_change: Number,
) -> Number:
    r"""$\ln\bar\delta$ of Eq. (45).

    $\bar\delta^L=\min\{\tilde B_\epsilon^{-L},\
    \epsilon/(4\alpha\tilde B_\epsilon^{L-1}C_\epsilon T_\epsilon e^{2T_\epsilon K_\epsilon\|y\|})\}$; `lipschitz` is $K_\epsilon$ of Eq. (44), `log_change` $\ln C_\epsilon$.
    """
    second = math.log(epsilon) - math.log(4.0 * alpha) - (degree - 1) * np.log(radius) - log_change - np.log(time)
    return np.minimum(-degree * np.log(radius), second - 2.0 * time * lipschitz * label_norm) / degree


def log_gronwall_bound(
    epsilon: float,
    time: Number,
    radius: Number,
    degree: float,
    alpha: float,
    lipschitz: Number,
    label_norm: Number,
    log_change: Number,
    log_delta: Number,
) -> Number:
    r"""$\ln$ of the bound on $\|s(t)-u(t)\|^2$ before the end of the proof of Theorem 5.1 (Appendix B.2).

    $2\alpha\epsilon\tilde B_\epsilon^{L-1}C_\epsilon\delta^L\,t\,e^{2tK_\epsilon\|y\|}$.
    """
    constant = math.log(2.0 * alpha * epsilon) + (degree - 1) * np.log(radius) + log_change
    return constant + degree * log_delta + np.log(time) + 2.0 * time * lipschitz * label_norm


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
