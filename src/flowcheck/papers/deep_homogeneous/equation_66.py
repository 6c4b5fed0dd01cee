r"""Eq. (66) of deep_homogeneous: the gradient flow of the square loss of a separable network, block by block."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float

from flowcheck.losses import HALF_SUM
from flowcheck.papers.homogeneous.near_saddles import labels, rounding_of_sums
from flowcheck.pipeline.evidence import Measurement
from flowcheck.saddles.saddle import Saddle


def distances(saddle: Saddle, w: Float[np.ndarray, " k"]) -> dict[str, Measurement]:
    r"""$\mathcal J_n^\top(y-\mathcal H_n\mp\mathcal H_z)$ and the same for w_z, against minus the gradient of (13) by autograd.

    Relative, at the weights w = (w_n, w_z). `eq66` has a minus before H_z, `eq66_printed` the plus of the text.
    """
    y, split = labels(saddle), saddle.fitted.size
    w_n, w_z = w[:split], w[split:]
    weights = torch.from_numpy(w[None]).requires_grad_()
    HALF_SUM.value(saddle.network.forward(weights, torch.from_numpy(saddle.fitted.x)), torch.from_numpy(y)).sum().backward()  # type: ignore[no-untyped-call] # torch gives it no types
    assert weights.grad is not None
    flow = -weights.grad[0].numpy()
    size, found = float(np.linalg.norm(flow)), {}
    # either gradient is a sum over inputs of products with a rest, which is a sum too; L H = J w bounds its terms
    slopes = np.abs(np.hstack([saddle.fitted.jacobian(w_n), saddle.idle.jacobian(w_z)]))
    terms = slopes.T @ (np.abs(y) + slopes @ np.abs(w) / saddle.degree)
    rounding = 2 * rounding_of_sums(saddle.fitted) * float(np.linalg.norm(terms)) / size
    for name, sign in (("eq66", -1.0), ("eq66_printed", 1.0)):
        rest = y - saddle.fitted.outputs(w_n) + sign * saddle.idle.outputs(w_z)
        field = np.concatenate([saddle.fitted.pull(w_n, rest), saddle.idle.pull(w_z, rest)])
        found[name] = Measurement(float(np.linalg.norm(field - flow)) / size, rounding)
    return found
