"""What ends a flow: the events that the papers' statements speak of."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from flowcheck.arguments import FINITE_NOT_NEGATIVE, POSITIVE, SHARE, number
from flowcheck.flows.rescaled import Moment
from flowcheck.geometry import angle
from flowcheck.tensors import Numbers, tensor


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
    reached = number("value", value)
    return Event(f"log norm above {reached:g}", lambda now: now.log_norm - reached)


def log_norm_below(value: float) -> Event:
    r"""$\ln\|w\|$ falls to `value`: collapse to the origin."""
    reached = number("value", value)
    return Event(f"log norm below {reached:g}", lambda now: reached - now.log_norm)


def norm_reaches(value: float) -> Event:
    r"""$\|w\|$ rises to `value`."""
    return log_norm_above(math.log(number("value", value, POSITIVE)))


def growth_reaches(value: float) -> Event:
    r"""$\|w\|/\delta$ rises to `value`."""
    reached = number("value", value, POSITIVE)
    return Event(f"growth {reached:g}", lambda now: now.log_growth - math.log(reached))


def loss_ratio_below(ratio: float) -> Event:
    """The loss falls to `ratio` times its value at the start."""
    reached = number("ratio", ratio, SHARE)
    return Event(f"loss ratio below {reached:g}", lambda now: reached - now.loss_ratio())


def angle_within(target: Numbers, radians: float) -> Event:
    """The angle between the direction and `target`, [k] or one row per trajectory, falls to `radians`.

    Raises ValueError if a target is no direction: zero, or not finite; when the flow begins, if it is none of its weights.
    """
    directions, largest = tensor("target", target).detach(), number("radians", radians, POSITIVE)
    if directions.ndim not in (1, 2) or not directions.numel():
        raise ValueError(f"the target of an angle is [k] or [S, k], got shape {tuple(directions.shape)}")
    if not bool((torch.isfinite(directions).all(dim=-1) & (directions != 0).any(dim=-1)).all()):
        raise ValueError("the target of an angle is no direction: it is zero, or not finite")

    def margin(now: Moment) -> Tensor:
        runs, size = now.flow.start.shape
        if directions.shape not in ((size,), (runs, size)):
            raise ValueError(f"the target of an angle is {(size,)} or {(runs, size)}, got shape {tuple(directions.shape)}")
        own = directions.to(now.direction)
        return largest - angle(now.direction, own if own.dim() == 1 else own[now.index])

    return Event(f"angle within {largest:g}", margin)


def tangential_below(tolerance: float) -> Event:
    r"""$\|(I-\theta\theta^\top)g\|$ falls to `tolerance` $\|g\|$: the direction is a KKT point up to this sine."""
    allowed = number("tolerance", tolerance, POSITIVE)

    def margin(now: Moment) -> Tensor:
        return allowed * now.pull.norm(dim=-1) - tangential(now).norm(dim=-1)

    return Event(f"tangential below {allowed:g}", margin)


def tangential(now: Moment) -> Float[Tensor, "a k"]:
    r"""$(I-\theta\theta^\top)g$: the velocity of the direction."""
    return now.pull - (now.pull * now.direction).sum(dim=-1, keepdim=True) * now.direction


def time_reaches(value: float) -> Event:
    r"""$\hat t$ rises to `value`, in clock "arc"."""
    reached = number("value", value, FINITE_NOT_NEGATIVE)
    return Event(f"time {reached:g}", lambda now: now.time - reached, follows_clock=True)
