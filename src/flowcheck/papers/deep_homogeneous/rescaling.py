"""The unscaled flow and descent of the loss, against which the rescaled flow is held (deep_homogeneous, Section 5.1)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from flowcheck.alignment.shadow import Cases, of_own_loss
from flowcheck.integration.adaptive import integrate
from flowcheck.losses import Loss
from flowcheck.networks.network import Network


def plain_flow(
    network: Network,
    x: Float[Tensor, "n d"],
    losses: Sequence[Loss],
    cases: Cases,
    deltas: Float[Tensor, " s"],
    times: Float[Tensor, " s"],
    *,
    rtol: float,
) -> Float[Tensor, "s k"]:
    r"""$w(t)/\delta$ at plain times t, from the gradient flow as it stands: nothing is rescaled."""

    def rates(w: Tensor, index: Tensor) -> Tensor:
        def response(outputs: Tensor) -> Tensor:
            return of_own_loss(losses, cases.loss[index], outputs, cases.y[index], Loss.residual)

        return network.forward_and_pull(w, x, response)[1]

    def error_norm(error: Tensor, w: Tensor, index: Tensor) -> Tensor:
        return error.norm(dim=-1) / (rtol * w.norm(dim=-1))

    start = deltas.unsqueeze(-1) * cases.starts
    return integrate(rates, start, times, error_norm=error_norm).state / deltas.unsqueeze(-1)


def descend(
    network: Network,
    x: Float[Tensor, "n d"],
    losses: Sequence[Loss],
    cases: Cases,
    deltas: Float[Tensor, " s"],
    steps: Float[Tensor, " s"],
    count: int,
    *,
    rescaled: bool,
) -> Float[Tensor, "s k"]:
    r"""$w/\delta$ after `count` steps of gradient descent of sizes `steps` on w, or, `rescaled`, on s by Eq. (8) and (50).

    The rescaled iteration uses $\mathcal H(X;w)=\delta^L\mathcal H(X;s)$ and a step that is $\delta^{L-2}$ times as long.
    """
    degree = network.degree
    w = cases.starts if rescaled else deltas.unsqueeze(-1) * cases.starts
    factor = (deltas**degree if rescaled else torch.ones_like(deltas)).unsqueeze(-1)
    size = (deltas ** (degree - 2) * steps if rescaled else steps).unsqueeze(-1)

    def response(outputs: Tensor) -> Tensor:
        return of_own_loss(losses, cases.loss, factor * outputs, cases.y, Loss.residual)

    for _ in range(count):
        w = w + size * network.forward_and_pull(w, x, response)[1]
    return w if rescaled else w / deltas.unsqueeze(-1)
