"""Shared by B4 and B5: W_3 W_2 W_1 of three 10 x 10 matrices, loss 1/2 ||W_3 W_2 W_1 - M||^2, singular values of M 3, 2, 1.

As a network of the flow integrators (batched, float64), and for peers as right-hand side and Jacobian in numpy.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from flowcheck.flows.events import norm_reaches
from flowcheck.flows.flow import Method, gradient_flow
from flowcheck.flows.rescaled import FlowPath
from flowcheck.losses import HALF_SUM
from flowcheck.networks.network import Network, Response
from flowcheck.networks.problem import Objective

WIDTH, SINGULAR_VALUES, RUNS = 10, (3.0, 2.0, 1.0), 32
SIZE = 3 * WIDTH**2


class Factorisation(Network):
    """Outputs [S, 100], the entries of the product; the inputs x are not used. Products by numpy, on the tensors' memory."""

    name, inputs, size, degree, has_lipschitz_gradient, blocks = "factorisation", WIDTH, SIZE, 3, True, (slice(0, SIZE),)

    def forward(self, w: Tensor, x: Tensor) -> Tensor:
        w1, w2, w3 = w.view(-1, 3, WIDTH, WIDTH).unbind(1)
        return (w3 @ (w2 @ w1)).flatten(1)

    def forward_and_pull(self, w: Tensor, x: Tensor, response: Response) -> tuple[Tensor, Tensor]:
        layers = w.numpy().reshape(-1, 3, WIDTH, WIDTH)
        w1, w2, w3 = layers[:, 0], layers[:, 1], layers[:, 2]
        below = w2 @ w1
        outputs = torch.from_numpy((w3 @ below).reshape(-1, WIDTH**2))
        z = response(outputs).numpy().reshape(-1, WIDTH, WIDTH)
        pulled, through = np.empty_like(layers), w3.transpose(0, 2, 1) @ z
        np.matmul(w2.transpose(0, 2, 1), through, out=pulled[:, 0])
        np.matmul(through, w1.transpose(0, 2, 1), out=pulled[:, 1])
        np.matmul(z, below.transpose(0, 2, 1), out=pulled[:, 2])
        return outputs, torch.from_numpy(pulled.reshape(-1, SIZE))


@dataclass(frozen=True)
class Problem:
    """The matrix M [10, 10] and unit starting directions [S, 300]."""

    target: np.ndarray
    directions: np.ndarray

    def objective(self) -> Objective:
        """The loss, for our solvers."""
        x, target = torch.eye(WIDTH, dtype=torch.float64), torch.tensor(self.target).flatten()
        return Objective(Factorisation(), x, target, HALF_SUM)

    def escape(self, delta: float, rtol: float, runs: int = RUNS) -> FlowPath:
        """The first flows from delta times the directions, until their weights have norm 1."""
        until, method = [norm_reaches(1.0)], Method(order=8)
        return gradient_flow(self.objective(), self.directions[:runs], delta, rtol=rtol, until=until, method=method)

    def slope(self, _: float, w: np.ndarray) -> np.ndarray:
        """Negative gradient."""
        w1, w2, w3 = w.reshape(3, WIDTH, WIDTH)
        below = w2 @ w1
        residual = self.target - w3 @ below
        through, out = w3.T @ residual, np.empty((3, WIDTH, WIDTH))
        np.matmul(w2.T, through, out=out[0])
        np.matmul(through, w1.T, out=out[1])
        np.matmul(residual, below.T, out=out[2])
        return out.ravel()

    def jacobian(self, _: float, w: np.ndarray) -> np.ndarray:
        """Of `slope`: minus the Hessian, J^T J plus the curvature of the product times the residual, by blocks."""
        w1, w2, w3 = w.reshape(3, WIDTH, WIDTH)
        below, identity = w2 @ w1, np.eye(WIDTH)
        residual = w3 @ below - self.target
        factor = np.concatenate([np.kron(w3 @ w2, identity), np.kron(w3, w1.T), np.kron(identity, below.T)], axis=1)
        hessian = factor.T @ factor
        blocks = hessian.reshape(3, WIDTH, WIDTH, 3, WIDTH, WIDTH)
        lower, upper = w3.T @ residual, residual @ w1.T
        for j in range(WIDTH):
            blocks[1, :, j, 0, j, :] += lower
            blocks[0, j, :, 1, :, j] += lower.T
            blocks[2, :, j, 1, j, :] += upper
            blocks[1, j, :, 2, :, j] += upper.T
        outer = np.einsum("ik,jl->ijlk", residual, w2)
        blocks[2, :, :, 0] += outer
        blocks[0, :, :, 2] += outer.transpose(2, 3, 0, 1)
        return -hessian


def problem() -> Problem:
    rng = np.random.default_rng(0)
    left, right = (np.linalg.qr(rng.standard_normal((WIDTH, WIDTH)))[0] for _ in range(2))
    count = len(SINGULAR_VALUES)
    directions = rng.standard_normal((RUNS, SIZE))
    target = (left[:, :count] * SINGULAR_VALUES) @ right[:, :count].T
    return Problem(target, directions / np.linalg.norm(directions, axis=1, keepdims=True))


def worst(found: np.ndarray, reference: np.ndarray) -> float:
    """Largest relative error of the weights over the runs; inf where a solver gave none."""
    error = np.linalg.norm(found - reference, axis=1) / np.linalg.norm(reference, axis=1)
    return float(np.max(np.where(np.isfinite(error), error, np.inf)))
