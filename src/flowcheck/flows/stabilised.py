"""The gradient flow of a loss by stabilised explicit steps, for plateaus and between saddles."""

from __future__ import annotations

from flowcheck.arguments import instance
from flowcheck.integration.chebyshev import Settled, integrate_stabilised
from flowcheck.networks.problem import Objective, check_runs
from flowcheck.tensors import Numbers


def stabilised_flow(
    objective: Objective,
    start: Numbers,
    length: float | Numbers,
    *,
    rtol: float = 1e-6,
    max_steps: int = 100_000,
) -> Settled:
    """Gradient flow of the loss in plain time from weights of order one. Arguments and errors as in `integrate_stabilised`.

    For networks with a Lipschitz gradient, and for others as long as their flow crosses kinks. Where it slides along one, as that
    of one ReLU unit in each fifth random problem, this ends with a RuntimeError that says so, and `gradient_flow` goes on.

    Raises ValueError if the starts do not fit the objective, or it has data of their own for the runs.
    """
    instance("objective", objective, Objective)
    if objective.x.dim() == 3 or objective.y.dim() == 2:
        raise ValueError("all runs of a stabilised flow share one data set")
    starts = check_runs(objective.network, objective.x, objective.y, start)
    return integrate_stabilised(lambda w, _: objective.pull(w), starts, length, rtol=rtol, max_steps=max_steps)
