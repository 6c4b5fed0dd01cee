"""What users give as tensors: dense, float64, on one device; or one sentence that says why not. Nothing is broadcast unsaid."""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from flowcheck.arguments import FINITE, Domain, array

Numbers = Shaped[Tensor, "..."] | np.ndarray | Sequence[float] | Sequence[Sequence[float]]
"""What is taken for a tensor."""

Result = TypeVar("Result")
ROUNDINGS = 4
"""Units in the last place by which a point may lie beyond an end and still mean it: `arange(4) * 0.1` ends beyond 0.3."""


def tensor(name: str, given: object, device: torch.device | str = "cpu") -> Float[Tensor, ...]:
    """A float64 tensor with the entries of `given`: a tensor where it is and with its graph, anything else on `device`."""
    if not isinstance(given, Tensor):
        return torch.from_numpy(array(name, given)).to(device)
    if given.is_complex() or given.is_quantized:
        raise ValueError(f"{name} must hold real numbers, got {str(given.dtype).removeprefix('torch.')}")
    return dense(name, given).to(torch.float64)


def dense(name: str, given: Tensor) -> Tensor:
    """The tensor. Raises ValueError if it is sparse, or has no data."""
    if given.layout != torch.strided or given.is_meta:
        kind = "without data" if given.is_meta else "sparse"
        raise ValueError(f"{name} must be a dense tensor with data, got one that is {kind}")
    return given


def unwritten(what: str, call: Callable[..., Result], *given: Tensor) -> Result:
    """What a function that a user gave makes of these tensors, or of copies. Raises ValueError if it writes into one of them.

    >>> unwritten("rhs", torch.neg, torch.ones(1)).item()
    -1.0
    >>> unwritten("rhs", torch.neg_, torch.ones(1))
    Traceback (most recent call last):
    ValueError: rhs changes what it is given; it must give new tensors
    """
    with torch.inference_mode(False), torch.no_grad():
        copies = [part.detach().clone() for part in given]
        before = [copy._version for copy in copies]
        result = call(*copies)
        if any(
            copy._version != count or not torch.equal(copy, part) for copy, count, part in zip(copies, before, given, strict=True)
        ):
            raise ValueError(f"{what} changes what it is given; it must give new tensors")
    return result


def floating(name: str, given: object) -> Float[Tensor, ...]:
    """A tensor of some floating precision as it is, anything else in float64: for functions of any precision."""
    return dense(name, given) if isinstance(given, Tensor) and given.is_floating_point() else tensor(name, given)


def tensors(**given: object) -> list[Float[Tensor, ...]]:
    """Finite float64 tensors without a graph, all on the device of those that are given as tensors."""
    devices = {name: value.device for name, value in given.items() if isinstance(value, Tensor)}
    if len(set(devices.values())) > 1:
        raise ValueError(", ".join(f"{name} is on {device}" for name, device in devices.items()) + ": not one device")
    home = next(iter(devices.values()), torch.device("cpu"))
    return [finite(name, tensor(name, value, home).detach()) for name, value in given.items()]


def finite(name: str, values: Float[Tensor, ...]) -> Float[Tensor, ...]:
    """The values. Raises ValueError if one is not finite, with the first of them and its place."""
    wrong = ~torch.isfinite(values)
    if bool(wrong.any()):
        place = tuple(wrong.nonzero()[0].tolist())
        raise ValueError(f"{name} holds numbers that are not finite: {float(values[place])} at {list(place)}")
    return values


def for_each(name: str, given: object, runs: Float[Tensor, "s ..."], allowed: Domain = FINITE) -> Float[Tensor, " s"]:
    """One number for all runs, or one for each, as [S] on their device.

    >>> for_each("delta", [0.1, 0.2], torch.zeros(2, 3)).tolist()
    [0.1, 0.2]
    >>> for_each("delta", [0.1, float("nan")], torch.zeros(2, 3))
    Traceback (most recent call last):
    ValueError: delta of run 1 is nan; it must be finite
    """
    if isinstance(given, (bool, str, bytes)) or given is None:
        raise ValueError(f"{name} must be {allowed.said}, got {reprlib.repr(given)}")
    values = tensor(name, given, runs.device).detach().to(runs.device)
    if values.ndim > 1 or (values.ndim == 1 and len(values) not in (1, len(runs))):
        raise ValueError(f"{name} is one number or one for each of {len(runs)} runs, got shape {tuple(values.shape)}")
    wrong = ~allowed.holds(values)
    if bool(wrong.any()):
        if values.ndim == 0:
            raise ValueError(f"{name} must be {allowed.said}, got {float(values):g}")
        row = int(wrong.nonzero()[0])
        raise ValueError(f"{name} of run {row} is {float(values[row]):g}; it must be {allowed.said}")
    return values.expand(len(runs))


def points(name: str, given: object, ends: Float[Tensor, " s"]) -> Float[Tensor, "s p"]:
    """Values of a clock that runs from 0, [P] for all runs or [S, P], in any order, as [S, P] on the device of the ends.

    A point that lies beyond the end of its run, or before 0, by no more than rounding is that end. Those farther beyond stay: the
    run does not get there. NaN pads the rows of runs with fewer points.

    >>> points("at", torch.arange(4, dtype=torch.float64) * 0.1, torch.tensor([0.3], dtype=torch.float64)).tolist()
    [[0.0, 0.1, 0.2, 0.3]]
    """
    values = tensor(name, given, ends.device).detach().to(ends.device)
    if values.ndim not in (1, 2) or (values.ndim == 2 and len(values) != len(ends)):
        raise ValueError(f"{name} is [P], or [S, P] with S = {len(ends)} runs, got shape {tuple(values.shape)}")
    finite(name, values if values.ndim == 1 else values.masked_fill(torch.isnan(values), 0.0))
    precision = _last_place(given)
    values = snapped(values.expand(len(ends), -1), ends[:, None], precision)
    slack = ROUNDINGS * precision * values.nan_to_num().abs().amax() if values.numel() else 0.0
    values = torch.where((values < 0) & (values >= -slack), 0.0, values)
    if bool((values < 0).any()):
        raise ValueError(f"{name} must hold numbers of at least 0, got {float(values.nan_to_num().min()):g}")
    return values


def snapped(values: Float[Tensor, "*s"], ends: Float[Tensor, "*#s"], precision: float = 2.0**-52) -> Float[Tensor, "*s"]:
    """The values, and the ends in place of those that lie beyond them by no more than rounding."""
    return torch.where((values > ends) & (values <= ends * (1 + ROUNDINGS * precision)), ends, values)


def _last_place(given: object) -> float:
    """The relative size of the last place of what is given: integers and lists count as double precision."""
    if isinstance(given, Tensor):
        return torch.finfo(given.dtype).eps if given.is_floating_point() else 2.0**-52
    return float(np.finfo(given.dtype).eps) if isinstance(given, np.ndarray) and given.dtype.kind == "f" else 2.0**-52
