r"""Lemma 5.6 of two_homogeneous: at a saddle $\bar w_n$ is critical for its own loss, as $\mathcal H_z(X;0)=0$."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float

from flowcheck.measures.table import Table
from flowcheck.papers.homogeneous.near_saddles import (
    gradient_rounding,
    labels,
    loss_gradient,
    rounding_at_rest,
    rounding_of_sums,
)
from flowcheck.papers.two_homogeneous.kinked_saddle import KinkedSaddle
from flowcheck.pipeline.evidence import Found, Measurement
from flowcheck.saddles.saddle import Saddle


def blocks(saddle: Saddle, w_n: Float[np.ndarray, " kn"], w_z: Float[np.ndarray, " kz"]) -> dict[str, Measurement]:
    """The w_n block of the gradient of (13), by autograd, against the gradient of the restricted loss L(., 0) at w_n; relative.

    `block_identity`: at (w_n, 0); `block_away`: at (w_n, w_z). `restricted_gradient`: of L(., 0) at the saddle over the norm of
    the residual; `random_gradient`: at w_n, over the norm of y.
    """
    y, fitted = labels(saddle), saddle.fitted
    restricted = -fitted.pull(w_n, y - fitted.outputs(w_n))
    size, found = float(np.linalg.norm(restricted)), {}
    for name, other in (("block_identity", np.zeros_like(w_z)), ("block_away", w_z)):
        w = np.concatenate([w_n, other])
        rounding = float(np.linalg.norm(gradient_rounding(saddle, w)[: fitted.size])) / size
        distance = float(np.linalg.norm(loss_gradient(saddle, w)[: fitted.size] - restricted)) / size
        found[name] = Measurement(distance, rounding)
    kinked = isinstance(saddle, KinkedSaddle)  # there no gradient is small, and Clarke's set is asked: `kinked_saddle`
    at_rest = float(np.linalg.norm(fitted.pull(saddle.weights, saddle.residual)) / np.linalg.norm(saddle.residual))
    norm = float(torch.from_numpy(y).norm())
    return found | {
        **({} if kinked else {"restricted_gradient": Measurement(at_rest, rounding_at_rest(saddle))}),
        "random_gradient": Measurement(size / norm, found["block_identity"].error * size / norm + rounding_of_sums(fitted)),
    }


def readings_of(saddles: Table) -> Found:
    """What the claim asks of all saddles."""
    return {
        "block_identity_max": saddles.largest("block_identity"),
        "block_away_median": saddles.median("block_away"),
        "restricted_gradient_max": saddles.largest("restricted_gradient"),
        "random_gradient_min": Measurement(saddles["random_gradient"].min(), saddles.errors["random_gradient"].max()),
    }
