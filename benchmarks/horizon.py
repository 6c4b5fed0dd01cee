"""GF (no target): one horizon of the squared-ReLU network, T = 500, as a flow and as 100,000 steps of gradient descent.

What integrating the flow saves where a claim is about the flow, and how far apart the two end.
"""

from __future__ import annotations

import functools

import numpy as np
import torch

from benchmarks.descent import RUNS, SQUARED, data
from benchmarks.harness import Row, Variant, compare, interleave
from flowcheck import losses
from flowcheck.descent.gradient_descent import gradient_descent
from flowcheck.flows.flow import gradient_flow
from flowcheck.networks.problem import Objective

HORIZON, STEP_SIZE, RTOL = 500.0, 5e-3, 1e-6
TIMED_STEPS = 2000


def rows(rounds: int) -> list[Row]:
    given = data(SQUARED)
    x, y, start = (torch.tensor(part) for part in (given.x, given.y, given.start))

    def flow(rtol: float) -> torch.Tensor:
        return gradient_flow(
            Objective(SQUARED.network, x, y, losses.HALF_MEAN), start, 1.0, rtol=rtol, length=HORIZON, clock="time"
        ).weights()

    def descend(steps: int) -> torch.Tensor:
        path = gradient_descent(
            Objective(SQUARED.network, x, y, losses.HALF_MEAN),
            start,
            step_size=STEP_SIZE,
            steps=steps,
            compile=True,
            keep_weights=False,
        )
        return path.last

    def apart(a: torch.Tensor, b: torch.Tensor) -> float:
        return float(np.max(((a - b).norm(dim=-1) / b.norm(dim=-1)).numpy()))

    steps = round(HORIZON / STEP_SIZE)
    fine, end = flow(RTOL), descend(steps)
    variants = [
        Variant("flow", functools.partial(flow, RTOL), RUNS, apart(fine, flow(1e-8))),
        Variant("descent, compiled", functools.partial(descend, TIMED_STEPS), RUNS * TIMED_STEPS / steps, apart(end, fine)),
    ]
    seconds = interleave(variants, rounds)
    flow_error, descent_error = (f"{variant.error:.0e}" for variant in variants)
    note = (
        f"flow at rtol {RTOL:g}, {flow_error} from rtol 1e-8; descent with step {STEP_SIZE:g} ends {descent_error} away from it"
    )
    note += f", timed on {TIMED_STEPS} of {steps} steps"
    title = f"squared ReLU 10-20-20 to T = {HORIZON:g}, {RUNS} runs"
    return [compare("GF", title, "run", variants, seconds, "flow", "descent, compiled", None, note=note)]
