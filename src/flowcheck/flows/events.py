"""What ends a flow: the events that the papers' statements speak of."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from flowcheck.flows.rescaled import Moment
from flowcheck.geometry import angle


@dataclass(frozen=True)
class Event:
    """Ends a trajectory where `margin(now) -> [A]` rises through 0, or is not negative at the start.

    A margin that rises and falls within one step is seen where values and rates at the ends of the step show it (`integrate`).

    >>> Event("the norm has doubled", lambda now: now.log_growth - math.log(2.0)).name
    'the norm has doubled'
    """

    name: str
    margin: Callable[[Moment], Tensor]
    follows_clock: bool = False


def log_norm_above(value: float) -> Event:
    r"""$\ln\|w\|$ rises to `value`."""
    return Event(f"log norm above {value:g}", lambda now: now.log_norm - value)


def log_norm_below(value: float) -> Event:
    r"""$\ln\|w\|$ falls to `value`: collapse to the origin."""
    return Event(f"log norm below {value:g}", lambda now: value - now.log_norm)


def norm_reaches(value: float) -> Event:
    r"""$\|w\|$ rises to `value`."""
    return log_norm_above(math.log(value))


def growth_reaches(value: float) -> Event:
    r"""$\|w\|/\delta$ rises to `value`."""
    return Event(f"growth {value:g}", lambda now: now.log_growth - math.log(value))


def loss_ratio_below(ratio: float) -> Event:
    """The loss falls to `ratio` times its value at the start."""
    return Event(f"loss ratio below {ratio:g}", lambda now: ratio - now.loss_ratio())


def angle_within(target: Float[Tensor, "*s k"], radians: float) -> Event:
    """The angle between the direction and `target`, [k] or one row per trajectory, falls to `radians`.

    Raises ValueError if a target is no direction: zero, or not finite.
    """
    if not bool((torch.isfinite(target).all(dim=-1) & (target != 0).any(dim=-1)).all()):
        raise ValueError("the target of an angle is no direction: it is zero, or not finite")
    return Event(
        f"angle within {radians:g}",
        lambda now: radians - angle(now.direction, target if target.dim() == 1 else target[now.index]),
    )


def tangential_below(tolerance: float) -> Event:
    r"""$\|(I-\theta\theta^\top)g\|$ falls to `tolerance` $\|g\|$: the direction is a KKT point up to this sine."""

    def margin(now: Moment) -> Tensor:
        return tolerance * now.pull.norm(dim=-1) - tangential(now).norm(dim=-1)

    return Event(f"tangential below {tolerance:g}", margin)


def tangential(now: Moment) -> Float[Tensor, "a k"]:
    r"""$(I-\theta\theta^\top)g$: the velocity of the direction."""
    return now.pull - (now.pull * now.direction).sum(dim=-1, keepdim=True) * now.direction


def time_reaches(value: float) -> Event:
    r"""$\hat t$ rises to `value`, in clock "arc"."""
    return Event(f"time {value:g}", lambda now: now.time - value, follows_clock=True)
