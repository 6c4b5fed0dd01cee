r"""Levenberg-Marquardt on a grown network: a second-order solver in place of tens of thousands of steps of descent.

The loss of neuron_pursuit, Algorithm 1, is a sum of squares. With residual r and Jacobian J of the outputs, each step solves
$(J^\top J+\lambda I)d=J^\top r$. Damping begins at the largest entry of the diagonal, so that the path leaves the start close to
the one of descent, and follows the ratio of the actual to the predicted decrease (Nielsen 1999, Damping parameter in
Marquardt's method, IMM-REP-1999-05).

It is made for smooth activations, and for labels that a few neurons fit. With ReLU and leaky units it can stop where the kinks of
many samples meet: no step along one side of them lowers the loss. Descent, which jumps from side to side, goes on there, and the
pursuit then chooses other neurons.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from flowcheck.arguments import FINITE_NOT_NEGATIVE, number, whole
from flowcheck.pursuit.descent import Descended, mean_square
from flowcheck.pursuit.grown import Grown

MOST_DAMPING = 1e12
"""As a multiple of that at the start: no step is short enough there, as at a minimum on a kink."""
WINDOW = 10
"""Steps over which the loss must fall."""


@dataclass(frozen=True)
class LevenbergMarquardt:
    """How the loss is minimised after a neuron is added, in place of a `Descent`.

    Attributes:
        steps: that are tried, at most; each costs a Jacobian and a linear system.
        decrease: the solver ends where ten steps lowered the loss by less than this share of it.

    Raises ValueError for what is no such number.
    """

    steps: int = 500
    decrease: float = 1e-6

    def __post_init__(self) -> None:
        object.__setattr__(self, "steps", whole("steps", self.steps, 1))
        object.__setattr__(self, "decrease", number("decrease", self.decrease, FINITE_NOT_NEGATIVE))


def solve(grown: Grown, x: Float[Tensor, "n d"], y: Float[Tensor, "n c"], plan: LevenbergMarquardt) -> Descended:
    """From `grown`, with a loss that never rises. Steps are taken whole: the step size is 1, and none is halved."""
    share = 1.0 / math.sqrt(y.numel())
    loss, damping, growth, taken, limit = mean_square(grown, x, y), -1.0, 2.0, 0, math.inf
    passed = [loss]
    curvature = slope = grown.weights
    stale = True
    while taken < plan.steps and loss > 0 and damping <= limit:
        if stale:
            jacobian = share * grown.jacobian(x)
            curvature, slope = jacobian.mT @ jacobian, jacobian.mT @ (share * (y - grown.predict(x)).flatten())
            if damping < 0:
                damping = float(curvature.diagonal().max())
                limit = MOST_DAMPING * damping
        taken += 1
        damped = curvature.clone()
        damped.diagonal().add_(damping)
        factor, failed = torch.linalg.cholesky_ex(damped)
        if int(failed):
            damping, growth, stale = damping * growth, 2.0 * growth, False
            continue
        step = torch.cholesky_solve(slope[:, None], factor)[:, 0]
        predicted = float(step @ (damping * step + slope))
        trial = grown.moved(step)
        found = mean_square(trial, x, y)
        if stale := found < loss:
            gain = (loss - found) / predicted
            grown, loss = trial, found
            damping, growth = damping * max(1.0 / 3.0, 1.0 - (2.0 * gain - 1.0) ** 3), 2.0
            passed.append(loss)
            if len(passed) > WINDOW and passed[-1 - WINDOW] - loss < plan.decrease * loss:
                break
        else:
            damping, growth = damping * growth, 2.0 * growth
    return Descended(grown, loss, taken, 1.0, 0)
