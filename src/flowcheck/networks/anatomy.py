r"""What the figures look at in the matrices of a feed-forward network: alignment of rows, singular values, shares of the norm,
and the invariants of the flow that measure its discretisation.
"""

from __future__ import annotations

import itertools

import torch
from jaxtyping import Float
from torch import Tensor

from flowcheck.geometry import directed
from flowcheck.networks.feed_forward import FeedForward


def weighted_row_cosine(matrix: Float[Tensor, "s r c"]) -> Float[Tensor, " s"]:
    r"""Mean of $|\cos(r_i,r_j)|$ over pairs of rows, weighted with $\|r_i\|\|r_j\|$: 1 if and only if the rank is one.

    Rows that never grew have small weights, so that they do not hide the alignment of those that did. 1 where one row at most is
    not zero: there is no pair that could differ.
    """
    products = (matrix @ matrix.mT).abs()
    norms = matrix.norm(dim=-1)
    pairs = norms.sum(dim=-1) ** 2 - (norms**2).sum(dim=-1)
    aligned = products.sum(dim=(-2, -1)) - products.diagonal(dim1=-2, dim2=-1).sum(dim=-1)
    return torch.where((norms > 0).sum(dim=-1) <= 1, 1.0, aligned / pairs)


def shares(network: FeedForward, w: Float[Tensor, "s k"]) -> Float[Tensor, "s l"]:
    r"""$\|W_l\|_F^2/\|w\|^2$ of each trained layer; they sum to 1. Raises ValueError if a w is zero."""
    directed("w", w)
    squares = torch.stack([matrix.square().sum(dim=(-2, -1)) for matrix in network.unpack(w)], dim=-1)
    return squares / squares.sum(dim=-1, keepdim=True)


def invariants(network: FeedForward, w: Float[Tensor, "s k"]) -> Float[Tensor, "s m"]:
    r"""Constants of the loss flow and of the NCF flow; gradient descent moves them by one order of the step size more than w.

    Between two trained layers l and l + 1: the matrix $W_lW_l^\top-W_{l+1}^\top W_{l+1}$ if nothing non-linear lies between them,
    and $\|W_l[j,:]\|^2-p\,\|W_{l+1}[:,j]\|^2$ for each unit j of an activation $\max(x,ax)^p$.

    Raises ValueError if a layer is fixed: then layers that are not neighbours would be compared.
    """
    if any(layer.fixed is not None for layer in network.layers):
        raise ValueError(f"{network.name}: invariants of neighbouring layers need every layer trained")
    parts = []
    for (below, above), layer in zip(itertools.pairwise(network.unpack(w)), network.layers, strict=False):
        gram_below, gram_above = below @ below.mT, above.mT @ above
        if layer.activation.is_identity:
            parts.append((gram_below - gram_above).flatten(start_dim=-2))
        else:
            difference = gram_below - layer.activation.power * gram_above
            parts.append(difference.diagonal(dim1=-2, dim2=-1))
    return torch.cat(parts, dim=-1)
