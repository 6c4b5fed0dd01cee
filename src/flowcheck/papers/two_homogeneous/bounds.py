r"""Explicit constants of two_homogeneous, Section 5.1, for flows from $w(0)=\delta w_0$. Exponentials are given as logarithms."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float

Number = float | np.ndarray


def beta_tilde(beta: Number, beta_hat: Number, slope_at_zero: Number) -> Number:
    r"""$\tilde\beta=\hat\beta\beta+\|\ell'(0,y)\|$ (Section 4); `slope_at_zero` is the norm."""
    return beta_hat * beta + slope_at_zero


def log_c(time: Number, beta: Number, beta_tilde: Number) -> Number:
    r"""$\ln C=4\beta\tilde\beta\,T$, from $T=\ln C/(4\beta\tilde\beta)$ of Theorem 5.1."""
    return 4.0 * beta * beta_tilde * time


def log_growth_bound(time: Number, beta: Number, beta_tilde: Number) -> Number:
    r"""$\ln(\|w(t)\|/\delta)\le2\beta\tilde\beta\,t$ while $\|w\|\le1$: Eq. (23); at T it is $\tfrac12\ln C$, Eq. (6)."""
    return 2.0 * beta * beta_tilde * time


def log_change_bound(time: Number, log_delta: Number, beta: Number, beta_hat: Number, beta_tilde: Number) -> Number:
    r"""$\ln\|\xi(t)\|\le\ln(\hat\beta\beta\delta^2)+4\beta\tilde\beta\,t$, the change of $\ell'$ from 0 (after Eq. (25))."""
    return np.log(beta_hat * beta) + 2.0 * log_delta + log_c(time, beta, beta_tilde)


def earliest_exit(log_delta: Number, beta: Number, beta_tilde: Number) -> Number:
    r"""$\hat T\ge\frac1{4\beta\tilde\beta}\ln\delta^{-2}$: no flow reaches norm 1 before (proof of Lemma 5.2)."""
    return -2.0 * log_delta / (4.0 * beta * beta_tilde)


def cosine_bound(eta: Number, epsilon: Number) -> Number:
    r"""$1-(1+\frac3{2\eta})\epsilon$ of Theorem 5.1; below 0 for $\epsilon>2\eta/(2\eta+3)$."""
    return 1.0 - (1.0 + 1.5 / eta) * epsilon


def dichotomy_margin(norm: Number, misalignment: Number, eta: Number, epsilon: Number) -> Number:
    r"""Not negative where Theorem 5.1 holds at T.

    $\|w\|/\delta\ge\eta$ and $\cos\ge1-(1+\frac3{2\eta})\epsilon$, or $\|w\|/\delta\le2\epsilon$.
    `norm` is $\|w(T)\|/\delta$, `misalignment` $1-\cos$.
    """
    aligned = np.minimum(norm - eta, 1.0 - misalignment - cosine_bound(eta, epsilon))
    return np.maximum(aligned, 2.0 * epsilon - norm)


def squared_relu_beta(x: Float[np.ndarray, "n 2"], points: int = 100_000) -> float:
    r"""Upper bound of $\beta$ for $\sum_k\max(0,x^\top u_k)^2$ in the plane: $\max_{\|u\|=1}\|(\sigma(x_i^\top u)^2)_i\|$.

    Outputs on the sphere are convex combinations of those of single units, so one unit attains the supremum. The angle is
    scanned; between grid points the norm moves by at most half the spacing times $(\sum_i\|x_i\|^4)^{1/2}$.
    """
    angle = np.arange(points) * (2.0 * math.pi / points)
    norms = [
        np.linalg.norm(np.maximum(np.stack([np.cos(a), np.sin(a)], axis=-1) @ x.T, 0.0) ** 2, axis=-1).max()
        for a in np.array_split(angle, 20)
    ]
    return float(max(norms) + math.pi / points * np.sqrt((np.linalg.norm(x, axis=1) ** 4).sum()))
