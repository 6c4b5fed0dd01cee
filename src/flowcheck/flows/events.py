"""What ends a flow: the events that the papers' statements speak of."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from flowcheck.flows.rescaled import Problem
from flowcheck.geometry import angle


@dataclass(frozen=True)
class Event:
    """Ends a trajectory where `margin(problem, state [A, k+2], index [A])` rises through 0, or is not negative at the start."""

    name: str
    margin: Callable[[Problem, Tensor, Tensor], Tensor]
    follows_clock: bool = False


def log_norm_above(value: float) -> Event:
    r"""$\ln\|w\|$ rises to `value`."""
    return Event(f"log norm above {value:g}", lambda p, state, index: state[:, -2] + p.log_delta[index] - value)


def log_norm_below(value: float) -> Event:
    r"""$\ln\|w\|$ falls to `value`: collapse to the origin."""
    return Event(f"log norm below {value:g}", lambda p, state, index: value - state[:, -2] - p.log_delta[index])


def norm_reaches(value: float) -> Event:
    r"""$\|w\|$ rises to `value`."""
    return log_norm_above(math.log(value))


def growth_reaches(value: float) -> Event:
    r"""$\|w\|/\delta$ rises to `value`."""
    return Event(f"growth {value:g}", lambda p, state, index: state[:, -2] - math.log(value))


def loss_ratio_below(ratio: float) -> Event:
    """The loss falls to `ratio` times its value at the start."""
    return Event(f"loss ratio below {ratio:g}", lambda p, state, index: ratio - p.loss_value(state, index) / p.start_loss[index])


def angle_within(target: Float[Tensor, "*s k"], radians: float) -> Event:
    """The angle between the direction and `target`, [k] or one row per trajectory, falls to `radians`."""
    return Event(
        f"angle within {radians:g}",
        lambda p, state, index: radians - angle(state[:, :-2], target if target.dim() == 1 else target[index]),
    )


def tangential_below(tolerance: float) -> Event:
    r"""$\|(I-\theta\theta^\top)g\|$ falls to `tolerance` $\|g\|$: the direction is a KKT point up to this sine."""

    def margin(p: Problem, state: Tensor, index: Tensor) -> Tensor:
        pull, direction = p.pull(state, index), state[:, :-2]
        tangential = pull - (pull * direction).sum(dim=-1, keepdim=True) * direction
        return tolerance * pull.norm(dim=-1) - tangential.norm(dim=-1)

    return Event(f"tangential below {tolerance:g}", margin)


def time_reaches(value: float) -> Event:
    r"""$\hat t$ rises to `value`, in clock "arc"."""
    return Event(f"time {value:g}", lambda p, state, index: state[:, -1] - value, follows_clock=True)
