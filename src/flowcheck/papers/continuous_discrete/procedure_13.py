"""Procedure 13: random balanced initialization of a deep linear network with a given end-to-end matrix."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from flowcheck.errors import ConfigError


def balanced_start(end_to_end: Float[np.ndarray, "o d"], widths: Sequence[int]) -> list[Float[np.ndarray, "h k"]]:
    """W_1, ..., W_n with product `end_to_end` and W_{j+1}^T W_{j+1} = W_j W_j^T; `widths` are those of the hidden layers.

    The singular values' n-th roots stand in the top left corners, the singular vectors in the first and the last layer. Raises
    ConfigError if the rank of the matrix is larger than a width.

    >>> [layer.tolist() for layer in balanced_start(np.array([[0.0, -4.0]]), [1])]
    [[[0.0, -2.0]], [[2.0]]]
    """
    outputs, inputs = end_to_end.shape
    left, values, right = np.linalg.svd(end_to_end, full_matrices=False)
    rank = int((values > values.max(initial=0.0) * max(end_to_end.shape) * np.finfo(float).eps).sum())
    narrowest = min(widths, default=rank)
    if rank > narrowest:
        raise ConfigError(f"a matrix of rank {rank} is no product through a layer of width {narrowest}")
    depth, sizes = len(widths) + 1, [inputs, *widths, outputs]
    root = np.diag(values[:rank] ** (1 / depth))
    # the sign of a singular pair is free; with one output the sign of the matrix is carried by the first layer
    sign = np.sign(left[np.abs(left).argmax(axis=0), np.arange(left.shape[1])])[:rank]
    first, last = root @ (right[:rank] * sign[:, None]), (left[:, :rank] * sign) @ root
    if depth == 1:
        return [end_to_end.copy()]
    blocks = [first, *[root] * (depth - 2), last]
    layers = []
    for block, rows, columns in zip(blocks, sizes[1:], sizes[:-1], strict=True):
        layer = np.zeros((rows, columns))
        layer[: block.shape[0], : block.shape[1]] = block
        layers.append(layer)
    return layers
