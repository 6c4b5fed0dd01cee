"""Lower bounds of the smallest eigenvalue along gradient flows from near zero: Propositions 8, 12 and 24, without their signs.

Each is a lemma of `curvature_bounds` in which the products of layers are replaced by what the conserved differences of the flow
leave of them; epsilon bounds the norm of all weights at the start.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from flowcheck.networks.linear import partial_products
from flowcheck.papers.continuous_discrete.curvature_bounds import gradient_of_phi, operator_norms_of, slopes_factor
from flowcheck.papers.continuous_discrete.training_loss import TrainingLoss


def proposition_8(problem: TrainingLoss, w: Float[Tensor, " k"], epsilon: float, rest: float = 1.0) -> Tensor:
    r"""Eq. (14), for linear networks and $\epsilon\le1/2n$; `rest` multiplies its second term, $c\epsilon^{1-2/n}$."""
    matrices = problem.network.matrices(w)
    depth, ends = len(matrices), min(matrices[0].shape[1], matrices[-1].shape[0])
    power = 1 - 2 / depth
    product = torch.linalg.matrix_norm(partial_products(matrices)[-1], 2)
    largest = torch.stack([torch.linalg.matrix_norm(matrix, 2) for matrix in matrices]).amax().clamp_min(1.0)
    first, second = product**power, (4 * depth * epsilon) ** power * largest ** (2 * (depth - 2))
    return (depth - 1) * ends**0.5 * torch.linalg.matrix_norm(gradient_of_phi(problem, w)) * (first + rest * second)


def proposition_12(problem: TrainingLoss, w: Float[Tensor, " k"], epsilon: float) -> Tensor:
    """Eq. (18), for activations that are linear in pieces."""
    norms = torch.stack([torch.linalg.norm(part) for part in problem.network.parts(w)])
    return slopes_factor(problem, w) * (norms.amin() + epsilon) ** (len(norms) - 2)


def proposition_24(problem: TrainingLoss, w: Float[Tensor, " k"], epsilon: float, operator_norms: bool = True) -> Tensor:
    """Eq. (32), for tied weights: Eq. (18) with the operator norms of the layers, without which it is the control."""
    return (operator_norms_of(problem) if operator_norms else 1.0) * proposition_12(problem, w, epsilon)
