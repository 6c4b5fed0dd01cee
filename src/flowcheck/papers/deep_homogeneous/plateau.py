r"""The plateau of the loss, and its end (deep_homogeneous, Sections 5.1.2 and 5.1.3).

Escape is the first iteration at which the loss is below a share of its initial value. The flow predicts it: where the flow of the
half sum escapes at time t, descent with step size $\eta$ under a loss c times the half sum does after about $t/(c\eta)$
iterations.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from flowcheck.correlation.ncf import Correlation
from flowcheck.descent.gradient_descent import DescentPath, gradient_descent
from flowcheck.flows.events import loss_ratio_below
from flowcheck.flows.flow import Method, gradient_flow
from flowcheck.flows.rescaled import FlowPath
from flowcheck.losses import HALF_SUM, Loss
from flowcheck.networks.feed_forward import FeedForward
from flowcheck.networks.problem import Objective
from flowcheck.papers.deep_homogeneous.figure_anatomy import Anatomy
from flowcheck.papers.deep_homogeneous.figure_draws import Draws
from flowcheck.papers.deep_homogeneous.figure_recipes import rate

ROWS = 64
"""Flows in one batch: its arrays then stay in the cache."""


@dataclass(frozen=True)
class Plateau:
    """How a network is followed along its plateau, and read.

    Attributes:
        loss_ratio: share of the initial loss at which the plateau is left.
        rtol: of flows.
    """

    network: FeedForward
    loss_ratio: float
    rtol: float

    def flow(self, draws: Draws, delta: float | Float[Tensor, " s"], rtol: float | None = None) -> FlowPath:
        """The flow of the printed loss until it escapes.

        Kinks of the ReLU network are stepped over, not located: it has thousands on the way, descent does the same, and the
        effect is in the difference between two tolerances.
        """
        return gradient_flow(
            Objective(self.network, draws.x, draws.y, HALF_SUM),
            draws.w0,
            delta,
            rtol=self.rtol if rtol is None else rtol,
            until=[loss_ratio_below(self.loss_ratio)],
            method=Method(locate_kinks=False),
        )

    def anatomy(self, draws: Draws, w: Float[Tensor, "s k"]) -> Anatomy:
        """What the figures show of weights."""
        return Anatomy.of(self.network, draws, w)

    def escape_times(
        self, draws: Draws, delta: float, progress: Callable[[Iterable[Any]], Iterable[Any]] = iter
    ) -> Float[Tensor, " s"]:
        """T under the half sum, predicted by the flow."""
        blocks = [slice(first, first + ROWS) for first in range(0, len(draws), ROWS)]
        return torch.cat([self.flow(draws.take(block), delta).plain_time() for block in progress(blocks)])

    def descent(
        self, draws: Draws, delta: float, times: Float[Tensor, " s"], steps: int, *, loss: Loss = HALF_SUM, curves: bool = False
    ) -> DescentPath:
        """Descent until all runs escape, at most a tenth longer than `steps`, at which the flow predicts it for each of them.

        A fixed step size would show most draws long before their escape, or after it. With `curves` the path has the iterations
        of `recorded_iterations` and measures the cosine of the weights to the gradient of the NCF.
        """
        correlation, last = Correlation(self.network, draws.x, draws.y), steps + steps // 10
        return gradient_descent(
            Objective(self.network, draws.x, draws.y, loss),
            delta * draws.w0,
            step_size=times / (steps * rate(loss, draws.x.shape[-2])),
            steps=last,
            record=recorded_iterations(steps, last - steps) if curves else [0, last],
            keep_weights=False,
            measure=(lambda w: {"cosine": correlation.cosine(w)}) if curves else None,
            loss_ratios=[self.loss_ratio],
            stop_when_crossed=True,
            compile=loss == HALF_SUM,
        )

    def stop(
        self, draws: Draws, delta: float, times: Float[Tensor, " s"], steps: int, loss: Loss = HALF_SUM
    ) -> Float[Tensor, "s k"]:
        """The last weights of such a descent before the escape."""
        return self.descent(draws, delta, times, steps, loss=loss).crossings[0].weights_before


def recorded_iterations(steps: int, beyond: int) -> Int[np.ndarray, " p"]:
    """Most of them in the last twentieth, where everything happens, and some after the end."""
    early, late, after = (
        np.linspace(0, 0.95 * steps, 60),
        np.linspace(0.95 * steps, steps, 80),
        np.linspace(steps, steps + beyond, 20),
    )
    return np.unique(np.concatenate([early, late, after]).round().astype(np.int64))
