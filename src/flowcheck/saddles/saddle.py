"""Critical points of a separable network that are saddles of the loss: residual, Hessian, Newton's method."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float

from flowcheck.networks.hypotheses import require_stationary
from flowcheck.networks.sums import Separable
from flowcheck.saddles.units import Units


@dataclass(frozen=True)
class Saddle:
    r"""A critical point $(\bar w_n,0)$ of $\tfrac12\|\mathcal H_n+\mathcal H_z-y\|^2$; `residual` is $\bar y$.

    `fitted` is H_n and `idle` is H_z. The flow takes $\mathcal J_n(X;\bar w_n)^\top\bar y$ to be 0: call `stationarity` first.
    """

    fitted: Units
    idle: Units
    weights: Float[np.ndarray, " kn"]
    residual: Float[np.ndarray, " n"]

    def __post_init__(self) -> None:
        if self.fitted.degree != self.idle.degree:
            raise ValueError(f"the parts differ in degree: {self.fitted.degree} and {self.idle.degree}")

    @property
    def degree(self) -> int:
        return self.fitted.degree

    @functools.cached_property
    def network(self) -> Separable:
        return Separable("near a saddle", (self.fitted.network, self.idle.network))

    def stationarity(self) -> float:
        """Norm of the gradient of the loss at the saddle over that of the residual. HypothesisError if it is not a saddle."""
        network, x, residual = self.network, torch.from_numpy(self.fitted.x), torch.from_numpy(self.residual)
        w = torch.from_numpy(np.concatenate([self.weights, np.zeros(self.idle.size)]))
        return require_stationary(network.pull(w[None], x, residual)[0], residual)

    @property
    def collapses(self) -> bool:
        """Whether the NCF of the residual is negative definite: even powers, of signs opposite to it, of inputs that span."""
        signs, x = self.idle.signs, self.idle.x
        if signs is None or not self.idle.polynomial or self.idle.power % 2:
            return False
        opposed = bool((np.outer(signs, self.residual) <= 0).all())
        return opposed and int(np.linalg.matrix_rank(x[self.residual != 0])) == x.shape[1]

    @functools.cached_property
    def hessian(self) -> Float[np.ndarray, "kn kn"]:
        r"""$\nabla^2_{w_n}\mathcal L(\bar w_n,0)$."""
        return restricted_hessian(self.fitted, self.weights, self.residual)

    def inward(self, radius: float, directions: Float[np.ndarray, "s kn"]) -> Float[np.ndarray, " s"]:
        r"""$\langle w_n-\bar w_n,\nabla_{w_n}\mathcal L(w_n,0)\rangle/r^2$ at $w_n=\bar w_n+r\cdot$ direction: Eq. (15)."""
        size = np.full(len(directions), radius)
        step = self.fitted.increment(self.weights, directions, size, self.residual)
        return np.asarray((directions * (step.end_pull(step.outputs) - step.pulled)).sum(-1))

    def velocity(
        self, delta: Float[np.ndarray, " s"], m: int, u: Float[np.ndarray, " kz"], a: np.ndarray, q: np.ndarray
    ) -> tuple[Float[np.ndarray, "s kn"], Float[np.ndarray, "s kz"]]:
        """The rates a' and q' in rescaled time, for rows of different delta."""
        degree, size = self.degree, delta[:, None]
        fitted = self.fitted.increment(self.weights, a, delta, self.residual)
        idle = self.idle.increment(u, q, delta**m, self.residual)
        a_rate = fitted.pulled - fitted.end_pull(fitted.outputs + size ** (degree - 1) * idle.end_outputs)
        feedback = idle.end_pull(size ** (1 - m) * fitted.outputs + size ** (degree - m) * idle.end_outputs)
        return size ** (2 - degree) * a_rate, idle.pulled - feedback

    def jacobian(self, delta: float, m: int, u: np.ndarray, a: np.ndarray, q: np.ndarray) -> Float[np.ndarray, "k k"]:
        """Derivative of `velocity` for one row."""
        degree, w, b = self.degree, self.weights + delta * a, u + delta**m * q
        step = self.fitted.increment(self.weights, a[None], np.array([delta]), self.residual).outputs[0]
        rest = self.residual - delta * step - delta**degree * self.idle.outputs(b)
        fitted, idle = self.fitted.jacobian(w), self.idle.jacobian(b)
        mixed = fitted.T @ idle
        return np.block(
            [
                [delta ** (2 - degree) * (self.fitted.curvature(w, rest) - fitted.T @ fitted), -(delta ** (1 + m)) * mixed],
                [-(delta ** (1 - m)) * mixed.T, self.idle.curvature(b, rest) - delta**degree * idle.T @ idle],
            ]
        )


def restricted_hessian(units: Units, w: Float[np.ndarray, " k"], residual: Float[np.ndarray, " n"]) -> Float[np.ndarray, "k k"]:
    r"""Hessian of $\tfrac12\|\mathcal H_n(X;w)-y\|^2$, residual y - H_n(X;w)."""
    jacobian = units.jacobian(w)
    return np.asarray(jacobian.T @ jacobian - units.curvature(w, residual))


def newton(
    units: Units, y: Float[np.ndarray, " n"], start: Float[np.ndarray, " k"], iterations: int = 200
) -> Float[np.ndarray, " k"]:
    """A critical point of the restricted loss near `start`: Levenberg steps while they help, then Newton to rounding.

    Along a manifold of minimisers the step is the shortest one.
    """
    w, damping = start.copy(), 1.0
    loss = 0.5 * np.sum((y - units.outputs(w)) ** 2)
    for _ in range(iterations):
        jacobian, residual = units.jacobian(w), y - units.outputs(w)
        normal = jacobian.T @ jacobian
        trial = w + np.linalg.solve(normal + damping * np.eye(len(w)), jacobian.T @ residual)
        trial_loss = 0.5 * np.sum((y - units.outputs(trial)) ** 2)
        if trial_loss < loss:
            w, loss, damping = trial, trial_loss, 0.3 * damping
        else:
            damping *= 4.0
    for _ in range(20):
        residual = y - units.outputs(w)
        w = w + np.linalg.lstsq(restricted_hessian(units, w, residual), units.pull(w, residual), rcond=1e-9)[0]
    return w


def by_newton(
    draw: Callable[[np.random.Generator], tuple[Units, Units, np.ndarray]], rng: np.random.Generator, attempts: int = 200
) -> Saddle:
    r"""A saddle whose $\bar w_n$ is a critical point of the restricted loss; `draw` gives H_n, H_z and labels y.

    Taken is the first draw and random start with gradient below 1e-12 of the labels, residual between 0.2 and 0.9 of the labels
    (something is fitted and something is left), for ReLU no input within 0.02 of a kink. Raises RuntimeError if there is none.
    """
    for _ in range(attempts):
        fitted, idle, y = draw(rng)
        w, size = newton(fitted, y, rng.standard_normal(fitted.size)), float(np.linalg.norm(y))
        residual = y - fitted.outputs(w)
        smooth = fitted.network.has_lipschitz_gradient or float(np.abs(fitted.preactivations(w)).min()) >= 0.02
        fits = 0.2 <= float(np.linalg.norm(residual)) / size <= 0.9
        if smooth and fits and float(np.linalg.norm(fitted.pull(w, residual))) <= 1e-12 * size:
            return Saddle(fitted, idle, w, residual)
    raise RuntimeError(f"none of {attempts} draws leads to a saddle that fits some of the labels and leaves some")
