"""What violates statements of two_homogeneous as they are printed: a function each, which gives the left and the right side.

Each is the smallest system that does, computed by other means than the experiment that judges the claim where there are any. The
inputs stand in the claims.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from jaxtyping import Float

from flowcheck.data.synthetic import gaussian, sphere_inputs
from flowcheck.descent.gradient_descent import gradient_descent
from flowcheck.integration.initial_value import solve
from flowcheck.losses import HALF_SUM
from flowcheck.networks.problem import Objective
from flowcheck.papers.two_homogeneous.toy_problem import NETWORK, SADDLE, labelled


def lemma_d_1_growth(label: float, delta: float, constant: float) -> tuple[float, float]:
    r"""$Z$ at $t=\ln(C)/M_2$ against $2C\delta^2$, from $\bar w_n=(1,0)$, $\zeta_n=(0.6,0.8)$, $\zeta_z=(-1,0)$.

    H_n and H_z are max(0, x.w)^2, the inputs (1, 0) and (-1, 0), the labels 1 and K. In the unit ball mu1 = 3, mu2 = 0, mu3 = 4,
    beta = 1 and M_1 = K + 4.
    """
    m2 = max(3.0 * 4.0, 2 * (label + 4) + 4)

    def rates(_: float, w: Float[np.ndarray, " 4"]) -> Float[np.ndarray, " 4"]:
        n, z = w[:2], w[2:]
        right = max(0.0, n[0]) ** 2 + max(0.0, z[0]) ** 2 - 1.0
        left = max(0.0, -n[0]) ** 2 + max(0.0, -z[0]) ** 2 - label
        slope = [-right * 2 * max(0.0, u[0]) + left * 2 * max(0.0, -u[0]) for u in (n, z)]
        return np.array([slope[0], 0.0, slope[1], 0.0])

    start = np.array([1 + 0.6 * delta, 0.8 * delta, -delta, 0.0])
    end = solve(rates, math.log(constant) / m2, start, "DOP853", rtol=1e-12, atol=1e-14 * delta).y[:, -1]
    return float(np.sum((end - [1.0, 0.0, 0.0, 0.0]) ** 2)), 2 * constant * delta**2


def lemma_e_1_distance(time: float) -> tuple[float, float]:
    r"""The largest distance, over T, of the direction of $u_T(t)$ from $[1,1]/\sqrt2$, against the allowed epsilon = 1."""
    since = np.linspace(0.0, time, 2001)  # t - T where T <= t; for T >= t the solution has not left
    u = np.stack([np.cosh(since), np.sinh(since)], axis=-1)
    distance = np.linalg.norm(u / np.linalg.norm(u, axis=-1, keepdims=True) - 1 / math.sqrt(2), axis=-1)
    return float(distance.max()), 1.0


def kappa_of_printed_sign(distance: float, target: float) -> tuple[float, float]:
    r"""The smallest $\kappa\ge0$ of the printed Eq. (15) at this distance from [1, 0], for $(u_1|u_2|-\text{target})^2$.

    Against half of 2 over the distance, which a condition that tells the points apart asks for where flows leave.
    """
    angle = np.linspace(0.0, 2 * math.pi, 2000, endpoint=False) + 1e-3  # no direction along the kink
    shift = distance * np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    u = np.array([1.0, 0.0]) + shift
    residual = 2 * (u[:, 0] * np.abs(u[:, 1]) - target)
    gradient = residual[:, None] * np.stack([np.abs(u[:, 1]), u[:, 0] * np.sign(u[:, 1])], axis=-1)
    needed = -(shift * -gradient).sum(axis=-1) / distance**2
    return max(0.0, float(needed.max())), 1 / distance


def equation_15_distance(distance: float, kappa: float, time: float) -> tuple[float, float]:
    r"""$\|w(t)-[1,0]\|$ against $\|w(0)-[1,0]\|e^{\kappa t}$ along $-\nabla(u_1u_2-1)^2$, from that distance along (1, 1)."""

    def rates(_: float, u: Float[np.ndarray, " 2"]) -> Float[np.ndarray, " 2"]:
        return -2 * (u[0] * u[1] - 1) * u[::-1]

    start = np.array([1.0, 0.0]) + distance / math.sqrt(2)
    end = solve(rates, time, start, "DOP853", rtol=1e-12, atol=1e-14).y[:, -1]
    return float(np.linalg.norm(end - [1.0, 0.0])), distance * math.exp(kappa * time)


def lemma_b_1_zero(weight: float) -> tuple[float, float]:
    r"""The smallest elements of $\partial F(0\cdot w)=[-1,1]$ and of $0^{L-1}\partial F(w)$ for F(w) = |w|, L = 1, with $0^0=1$.

    The first is a limit of gradients: F is differentiable off 0.
    """
    at_zero = min(math.copysign(1.0, w) for w in (-1e-300, 1e-300))
    return at_zero, 0.0**0 * math.copysign(1.0, weight)


def lemma_c_6_term(first: float, second: float) -> tuple[float, float]:
    r"""$\|s/\|u\|^2-2Nu/\|u\|^4\|^2$ against its printed expansion, for N(u) = u_1^2 and so s = (2 u_1, 0)."""
    u, value, s = np.array([first, second]), first**2, np.array([2 * first, 0.0])
    size = float(u @ u)
    left = s / size - 2 * value * u / size**2
    return float(left @ left), float(s @ s) / size**2 - 4 * value**2 / size**3 + 4 * value**2 / size**4


def example_g_1_identity(x: float, alpha: float) -> tuple[float, float]:
    r"""$\sigma(x)-\sigma(-x)$ against $(1+\alpha^2)x^2$ for $\sigma(x)=\max(x,\alpha x)^2$."""
    return max(x, alpha * x) ** 2 - max(-x, -alpha * x) ** 2, (1 + alpha**2) * x**2


def example_g_2_square(size: float, steps: int) -> tuple[float, float]:
    r"""$v_*^2$ at the end of an ascent of $v\,q^\top u$ on the sphere, q = (size, 0), against the printed $1/\sqrt2$."""
    w = np.array([0.8, 0.36, 0.48])  # v, u
    for _ in range(steps):
        gradient = size * np.array([w[1], w[0], 0.0])
        w = w + gradient / np.linalg.norm(gradient)
        w /= np.linalg.norm(w)
    return float(w[0] ** 2), 1 / math.sqrt(2)


def figure_escape(near: str, seed: int, step_size: float, iterations: int) -> tuple[float, float]:
    """The first iteration at which 2 % of the half sum is gone, and the printed number, at which it is to be there still.

    Descent from noise of 1e-5 near the ``origin`` or the ``saddle``, on 50 inputs as drawn from PCG64(seed).
    """
    rng = np.random.Generator(np.random.PCG64(seed))
    data = labelled(sphere_inputs(rng, 50, 2))
    centre = {"origin": torch.zeros_like(SADDLE), "saddle": SADDLE}[near]
    start = centre + 1e-5 * gaussian(rng, 1, NETWORK.size)
    objective = Objective(NETWORK, data.x, data.y, HALF_SUM)
    path = gradient_descent(objective, start, step_size=step_size, steps=iterations, loss_ratios=(0.98,), stop_when_crossed=True)
    return float(path.crossings[0].iteration[0]), float(iterations)
