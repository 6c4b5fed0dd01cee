"""Lower bounds of the smallest eigenvalue of the Hessian: Lemmas 7, 11 and 23, Claims 27 to 29, tried where they nearly fail.

A ratio is minus the smallest eigenvalue over the bound without its sign; above one the bound is violated. Points are drawn, and
then moved uphill on the ratio.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from flowcheck.curvature.dense import hessian_at
from flowcheck.papers.continuous_discrete.training_loss import TrainingLoss

Bound = Callable[[TrainingLoss, Tensor], Tensor]
"""(loss, point [k]) -> the bound without its sign."""
RESOLVED = 1e-8
"""Slopes of a loss are known to some 1e-16, eigenvalues to 1e-15 of the matrix's norm: smaller bounds than this share of them are
taken to be this share. A saturated cross-entropy has such bounds."""
ASCENT_STEPS, ASCENT_RATE = 40, 0.1
"""Of the search, its step relative to the length of the point."""


def _products(norms: list[Tensor], count: int) -> Tensor:
    """The largest product of `count` of them."""
    return torch.topk(torch.stack(norms), count).values.prod() if count else torch.ones((), dtype=norms[0].dtype)


def gradient_of_phi(problem: TrainingLoss, w: Float[Tensor, " k"]) -> Float[Tensor, "c d"]:
    """The gradient of phi, Eq. (11), at the end-to-end matrix of a linear network."""
    gradient, _ = problem.slopes(problem.outputs(w))
    return gradient.T @ problem.x / problem.samples


def lemma_7(problem: TrainingLoss, w: Float[Tensor, " k"], layers: float = 1.0) -> Tensor:
    """Eq. (13), for linear networks; the control has half of its factor n - 1."""
    matrices = problem.network.matrices(w)
    depth, ends = len(matrices), min(matrices[0].shape[1], matrices[-1].shape[0])
    norms = [torch.linalg.matrix_norm(matrix, 2) for matrix in matrices]
    length = torch.linalg.matrix_norm(gradient_of_phi(problem, w))
    return layers * (depth - 1) * ends**0.5 * length * _products(norms, depth - 2)


def slopes_factor(problem: TrainingLoss, w: Float[Tensor, " k"]) -> Tensor:
    r"""What Eq. (17), (18), (31) and (32) begin with.

    $\max\{|\alpha|,|\bar\alpha|\}^{n-1}\frac{n-1}{|S|}\sum_i\|\nabla\ell_i\|\|x_i\|$.
    """
    gradient, _ = problem.slopes(problem.outputs(w))
    mean = (torch.linalg.norm(gradient, dim=1) * torch.linalg.norm(problem.x, dim=1)).mean()
    below = len(problem.network.layers) - 1
    return problem.network.steepest**below * below * mean


def operator_norms_of(problem: TrainingLoss) -> float:
    """The product of those of the layers, of footnote 27."""
    return float(np.prod([layer.operator_norm for layer in problem.network.layers]))


def lemma_11(problem: TrainingLoss, w: Float[Tensor, " k"], spectral: bool = False) -> Tensor:
    """Eq. (17), with Frobenius norms as printed or with the spectral norms of its proof."""
    matrices = problem.network.matrices(w)
    depth = len(matrices)
    norms = [torch.linalg.matrix_norm(matrix, 2 if spectral else "fro") for matrix in matrices]
    return slopes_factor(problem, w) * _products(norms, depth - 2)


def lemma_23(problem: TrainingLoss, w: Float[Tensor, " k"], operator_norms: bool = True) -> Tensor:
    """Eq. (31), for tied weights; without the operator norms it is the control."""
    norms = [torch.linalg.norm(part) for part in problem.network.parts(w)]
    tied = operator_norms_of(problem) if operator_norms else 1.0
    return slopes_factor(problem, w) * tied * _products(norms, len(norms) - 2)


def claim_27(problem: TrainingLoss, w: Float[Tensor, " k"]) -> Tensor:
    """Claim 27: two linear layers and one output."""
    return torch.linalg.matrix_norm(gradient_of_phi(problem, w))


def claim_28(problem: TrainingLoss, w: Float[Tensor, " k"]) -> Tensor:
    """Claim 28: two layers of any homogeneous network, by the mean of |x| alone where the loss has slopes up to one."""
    return problem.network.steepest * torch.linalg.norm(problem.x, dim=1).mean()


def claim_29(problem: TrainingLoss, w: Float[Tensor, " k"]) -> Tensor:
    """Claim 29: two layers of tied weights."""
    return claim_28(problem, w) * operator_norms_of(problem)


def constant(c: float) -> Bound:
    """No bound but a number, to see how far below zero the eigenvalue goes."""
    return lambda problem, w: torch.as_tensor(c, dtype=w.dtype)


def largest_ratios(problem: TrainingLoss, bound: Bound, starts: Float[Tensor, "s k"]) -> Float[np.ndarray, " s"]:
    """The largest ratio that each start meets on its way uphill."""

    def ratio(w: Tensor) -> Tensor:
        matrix = hessian_at(problem.at, w)
        # a bound that is smaller than what rounding leaves of the eigenvalue cannot be seen to fail
        seen = torch.maximum(bound(problem, w), RESOLVED * (1.0 + torch.linalg.matrix_norm(matrix)))
        return -torch.linalg.eigvalsh(matrix)[0] / seen

    uphill: Callable[[Tensor], tuple[Tensor, Tensor]] = torch.func.vmap(torch.func.grad_and_value(ratio))
    best, w = torch.full((len(starts),), -torch.inf, dtype=starts.dtype), starts
    for _ in range(ASCENT_STEPS):
        slopes, values = uphill(w)
        best = torch.maximum(best, values.nan_to_num(-torch.inf))
        slopes = slopes.nan_to_num(0.0)
        length = torch.linalg.norm(slopes, dim=1, keepdim=True).clamp_min(1e-300)
        w = w + ASCENT_RATE * torch.linalg.norm(w, dim=1, keepdim=True) * slopes / length
    return best.numpy()


def drawn(rng: np.random.Generator, problem: TrainingLoss, count: int, sizes: Sequence[float]) -> Float[Tensor, "s k"]:
    """Gaussian points, as many of each size."""
    return torch.as_tensor(np.concatenate([size * rng.standard_normal((count, problem.network.size)) for size in sizes]))
