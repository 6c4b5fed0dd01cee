r"""Eq. (66) of deep_homogeneous: the gradient flow of the square loss of a separable network, block by block."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from flowcheck.measures.table import Table
from flowcheck.papers.homogeneous.near_saddles import gradient_rounding, labels, loss_gradient
from flowcheck.pipeline.evidence import Found, Measurement
from flowcheck.saddles.saddle import Saddle


def distances(saddle: Saddle, w: Float[np.ndarray, " k"]) -> dict[str, Measurement]:
    r"""$\mathcal J_n^\top(y-\mathcal H_n\mp\mathcal H_z)$ and the same for w_z, against minus the gradient of (13) by autograd.

    Relative, at the weights w = (w_n, w_z). `eq66` has a minus before H_z, `eq66_printed` the plus of the text.
    """
    y, split, flow = labels(saddle), saddle.fitted.size, -loss_gradient(saddle, w)
    w_n, w_z, size, found = w[:split], w[split:], float(np.linalg.norm(flow)), {}
    rounding = float(np.linalg.norm(gradient_rounding(saddle, w))) / size
    for name, sign in (("eq66", -1.0), ("eq66_printed", 1.0)):
        rest = y - saddle.fitted.outputs(w_n) + sign * saddle.idle.outputs(w_z)
        field = np.concatenate([saddle.fitted.pull(w_n, rest), saddle.idle.pull(w_z, rest)])
        found[name] = Measurement(float(np.linalg.norm(field - flow)) / size, rounding)
    return found


def readings_of(saddles: Table) -> Found:
    """What the claims ask of all saddles."""
    return {
        "field_error_max": saddles.largest("eq66"),
        "field_error_printed_min": saddles.smallest("eq66_printed"),
    }
