r"""Descent of a grown network (neuron_pursuit, Algorithm 1, lines 12-14 and 33-35), which never ends in NaN.

The loss, the mean of the squared error over samples and outputs, is looked at now and then. Where it rose, the weights of the
look before come back and the step is halved, as the paper does in Appendix C.2.2.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import get_args

from jaxtyping import Float
from torch import Tensor

from flowcheck.arguments import POSITIVE, number, one_of, whole
from flowcheck.descent.regression import RegressionDescent
from flowcheck.descent.vector_code import Precision
from flowcheck.pursuit.grown import Grown

ROUNDING = 1e-12
"""A loss has not risen where it changed by this share of that of the start."""


@dataclass(frozen=True)
class Descent:
    """How the loss is minimised after a neuron is added.

    Attributes:
        step_size: of the first step.
        steps: in an iteration of the pursuit, at most.
        looks: at the loss on the way, equally spaced; with 0 the step stays as it is, as in Appendix C.2.1, and only an end
            that overflows is dropped: a step at the edge of stability lowers the loss in the long run.
        halvings: of the step, at most, in one iteration.
        precision: in which weights are kept and gradients computed.
        compile: in C, where that is possible.
    """

    step_size: float = 0.005
    steps: int = 70_000
    looks: int = 10
    halvings: int = 4
    precision: Precision = "float64"
    compile: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "step_size", number("step_size", self.step_size, POSITIVE))
        for name, least in {"steps": 1, "looks": 0, "halvings": 0}.items():
            object.__setattr__(self, name, whole(name, getattr(self, name), least))
        one_of("precision", self.precision, get_args(Precision))


@dataclass(frozen=True)
class Descended:
    """Where a descent ended: `loss` is that of `grown`; `step_size` the last one, after so many `halvings`."""

    grown: Grown
    loss: float
    steps: int
    step_size: float
    halvings: int


def mean_square(grown: Grown, x: Float[Tensor, "n d"], y: Float[Tensor, "n c"]) -> float:
    """The mean of the squared error over samples and outputs; infinite where it is no number."""
    loss = float((grown.predict(x) - y).square().mean())
    return loss if math.isfinite(loss) else math.inf


def descend(grown: Grown, x: Float[Tensor, "n d"], y: Float[Tensor, "n c"], plan: Descent) -> Descended:
    """From `grown`, to the last look at which the loss had not risen."""
    run = RegressionDescent(grown.layers, grown.activation, x, y, precision=plan.precision, compile=plan.compile)
    loss, step_size, halvings, taken = mean_square(grown, x, y), plan.step_size, 0, 0
    interval, rounding = -(-plan.steps // max(plan.looks, 1)), ROUNDING * loss if plan.looks else math.inf
    while taken < plan.steps:
        count = min(interval, plan.steps - taken)
        trial = Grown(grown.activation, tuple(run.advance(count, step_size)))
        found, taken = mean_square(trial, x, y), taken + count
        if found == math.inf or found > loss + rounding:
            if halvings == plan.halvings:
                break
            step_size, halvings = 0.5 * step_size, halvings + 1
            run.restore(grown.layers)
            continue
        grown, loss = trial, found
    return Descended(grown, loss, taken, step_size, halvings)
