"""The gradient flow of a loss by stabilised explicit steps, for plateaus and between saddles."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from flowcheck.integration.chebyshev import Settled, integrate_stabilised
from flowcheck.losses import Loss
from flowcheck.networks.network import Network
from flowcheck.networks.problem import check_problem


def stabilised_flow(
    network: Network,
    x: Float[Tensor, "n d"],
    y: Float[Tensor, " o"],
    loss: Loss,
    start: Float[Tensor, "s k"],
    length: float | Float[Tensor, " s"],
    *,
    rtol: float = 1e-6,
    max_steps: int = 100_000,
) -> Settled:
    """Gradient flow of the loss in plain time from weights of order one. Arguments and errors as in `integrate_stabilised`.

    Raises ValueError if data and loss do not fit the network.
    """
    check_problem(network, x, y, loss)

    def rhs(w: Tensor, _: Tensor) -> Tensor:
        return network.forward_and_pull(w, x, lambda h: loss.residual(h, y))[1]

    return integrate_stabilised(rhs, start, length, rtol=rtol, max_steps=max_steps)
