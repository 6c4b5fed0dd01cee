"""What violates statements of deep_homogeneous as they are printed: a function each, which gives the left and the right side.

Each is the smallest system that does, computed by other means than the experiment that judges the claim: scalar equations by
scipy, gradients by autograd. The inputs stand in the claims.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from jaxtyping import Float

from flowcheck.descent.gradient_descent import gradient_descent
from flowcheck.integration.initial_value import solve
from flowcheck.networks.problem import Objective
from flowcheck.papers.deep_homogeneous.figure_draws import PAIRS, draw
from flowcheck.papers.deep_homogeneous.figure_recipes import LOSSES

RTOL, ATOL = 1e-12, 1e-14
"""Tolerances of scipy's solver."""


def theorem_5_1_collapse(delta: float, epsilon: float, share: float) -> tuple[float, float]:
    r"""$\|w(t)\|$ against $2\epsilon\delta$ for H = w^4 on the input 1 with label -1, at this share of $T_\epsilon/\delta^2$.

    The NCF flow is $u=(1+8t)^{-1/2}$, so it goes to 0 and is $\epsilon$ at $T_\epsilon=(\epsilon^{-2}-1)/8$.
    """
    end = share * (epsilon**-2 - 1) / 8 / delta**2
    flow = solve(lambda _, w: 4 * w**3 * (-1 - w**4), end, np.array([delta]), "DOP853", rtol=RTOL, atol=ATOL * delta)
    return abs(float(flow.y[0, -1])), 2 * epsilon * delta


def theorem_5_3_collapse(delta: float, epsilon: float, share: float) -> tuple[float, float]:
    r"""$\|w_z(t)\|$ against $2\epsilon\delta$ for two orthonormal inputs, H_n = w_n^4 on the first and H_z = w_z^4 on the second.

    The labels are 1, which w_n = 1 fits, and -1, the residual; so w_z is that of `theorem_5_1_collapse`.
    """
    end = share * (epsilon**-2 - 1) / 8 / delta**2

    def rates(_: float, w: Float[np.ndarray, " 2"]) -> Float[np.ndarray, " 2"]:
        return 4 * w**3 * (np.array([1.0, -1.0]) - w**4)

    flow = solve(rates, end, np.array([1 + delta, delta]), "LSODA", rtol=1e-10, atol=1e-12 * delta)
    return abs(float(flow.y[1, -1])), 2 * epsilon * delta


def lemma_5_2_exponent(degree: int, time: float) -> tuple[float, float]:
    r"""$\|u\|^{L/2-1}$ against $1/(1-t\tilde\gamma L(L-2))$ for H = w^L, x = z = u_0 = 1, so that $\tilde\gamma=1$."""
    flow = solve(lambda _, u: degree * u ** (degree - 1), time, np.array([1.0]), "DOP853", rtol=RTOL, atol=ATOL)
    return float(flow.y[0, -1]) ** (degree / 2 - 1), 1 / (1 - time * degree * (degree - 2))


def lemma_5_2_limit(degree: int, time: float) -> tuple[float, float]:
    """N at the direction of u(t), for H = w^L, x = u_0 = 1 and z = -1; it is to be non-negative in the limit."""
    flow = solve(lambda _, u: -degree * u ** (degree - 1), time, np.array([1.0]), "DOP853", rtol=RTOL, atol=ATOL)
    end = float(flow.y[0, -1])
    return -((end / abs(end)) ** degree), 0.0


def lemma_a_3_limit(a: float, t: float) -> tuple[float, float]:
    r"""$u(t)=e^{t-a}$ against the bound with the lower limit 0, by quadrature, for $\alpha=\beta=1$ on [a, t]."""
    grid = np.linspace(0.0, t, 2001)
    return math.exp(t - a), 1.0 + float(np.trapezoid(np.exp(t - grid), grid))


def lemma_d_1_sum(start: float, time: float) -> tuple[float, float]:
    r"""$u(T)^2$ against $u_0^2+e^{4T\beta\|z\|}$ for H = w^2, x = z = 1, so that $\beta\|z\|=1$."""
    flow = solve(lambda _, u: 2 * u, time, np.array([start]), "DOP853", rtol=RTOL, atol=ATOL)
    return float(flow.y[0, -1]) ** 2, start**2 + math.exp(4 * time)


def equation_66_sign(w_n: float, w_z: float, label: float) -> tuple[float, float]:
    """The first component of the printed flow against minus the gradient of the loss by autograd; H_n = w_n^3, H_z = w_z^3."""
    w = torch.tensor([w_n, w_z], dtype=torch.float64, device="cpu", requires_grad=True)
    loss = 0.5 * (w[0] ** 3 + w[1] ** 3 - label) ** 2
    (gradient,) = torch.autograd.grad(loss, w)
    return 3 * w_n**2 * (label - w_n**3 + w_z**3), -float(gradient[0])


def equation_72_step(delta: float, epsilon: float, time: float) -> tuple[float, float]:
    r"""$|\mathcal H_n(s_n)-\mathcal H_n(\bar w_n)|$ at t = 0 against $K^2_\epsilon C_\epsilon\delta^2$, in the system of
    `theorem_5_3_collapse` with the label 1 on either input; $\bar w_n=p_n=p_z=1$.

    There $\alpha=4$, $\beta=1$, u = (1 - 8t)^(-1/2), and $K^2_\epsilon=4(1+\epsilon)^3$ is the Lipschitz constant of H_n.
    """
    bound = (1 - 8 * time) ** -0.5 + epsilon
    c = 1 + 2 * epsilon * 4 * (1 + epsilon) ** 3 * bound**4 * time
    return (1 + delta) ** 4 - 1, 4 * (1 + epsilon) ** 3 * c * delta**2


def figure_escape(network: str, seed: int, delta: float, step_size: float, iterations: int) -> tuple[float, float]:
    """The first iteration at which 1 % of the half sum is gone, and the printed number, at which it is to be there still.

    Descent on 100 points as drawn from PCG64(seed); `network` is ``squared_relu`` or ``relu``.
    """
    pair = PAIRS[network]
    drawn = draw(pair, [np.random.Generator(np.random.PCG64(seed))], 100)
    objective = Objective(pair.network, drawn.x, drawn.y, LOSSES["half_sum"])
    path = gradient_descent(
        objective, delta * drawn.w0, step_size=step_size, steps=iterations, loss_ratios=(0.99,), stop_when_crossed=True
    )
    return float(path.crossings[0].iteration[0]), float(iterations)
