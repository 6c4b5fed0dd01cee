"""What users give, checked where it enters: a number of the allowed kind, or one sentence that says why not.

A function that is meant for users asks here, once; what lies behind it, compiled or not, trusts what it is given. Nothing is cut
to its real part or its whole part in silence. Every error is a ValueError with the name of the argument, what was found and what
is allowed. Without torch, which takes two seconds to import: `tensors` has what needs it.
"""

from __future__ import annotations

import decimal
import math
import numbers
import reprlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float


@dataclass(frozen=True)
class Domain:
    """The numbers that are allowed, in words and as a test of a number or a tensor, which NaN fails."""

    said: str
    holds: Callable[[Any], Any]


FINITE = Domain("finite", lambda value: abs(value) < math.inf)
POSITIVE = Domain("positive and finite", lambda value: (value > 0) & (value < math.inf))
NOT_NEGATIVE = Domain("at least 0", lambda value: value >= 0)
FINITE_NOT_NEGATIVE = Domain("at least 0 and finite", lambda value: (value >= 0) & (value < math.inf))
SHARE = Domain("between 0 and 1", lambda value: (value > 0) & (value < 1))
TOLERANCE = Domain(
    "at least 2.2e-16, the rounding of float64, and finite", lambda value: (value >= 2.0**-52) & (value < math.inf)
)


def number(name: str, given: object, allowed: Domain = FINITE) -> float:
    """One number, of Python, numpy or torch.

    >>> number("length", np.float32(3))
    3.0
    >>> number("step_size", -0.1, POSITIVE)
    Traceback (most recent call last):
    ValueError: step_size must be positive and finite, got -0.1
    """
    value = given.item() if getattr(given, "ndim", 1) == 0 and hasattr(given, "item") else given
    if _is_real(value) and not isinstance(value, bool):
        found = _float(value)
        if allowed.holds(found):
            return found
    raise ValueError(f"{name} must be {allowed.said}, got {reprlib.repr(value)}")


def whole(name: str, given: object, least: int) -> int:
    """One whole number, which may be written 3.0 or 1e4; a truth value is none.

    >>> whole("steps", 1e4, 1)
    10000
    >>> whole("steps", 2.5, 1)
    Traceback (most recent call last):
    ValueError: steps must be a whole number of at least 1, got 2.5
    """
    try:
        found = number(name, given)
    except ValueError:
        found = math.nan
    if not found >= least or found != math.floor(found):
        raise ValueError(f"{name} must be a whole number of at least {least}, got {reprlib.repr(given)}")
    return int(found)


def wholes(name: str, given: object, least: int, count: int | None = None) -> list[int]:
    """A list of whole numbers; of `count` of them, where it is given.

    >>> wholes("widths", (3, 0), 1)
    Traceback (most recent call last):
    ValueError: widths[1] must be a whole number of at least 1, got 0
    """
    entries = array(name, given)
    if entries.ndim != 1:
        raise ValueError(f"{name} must be a list of whole numbers, got {reprlib.repr(given)}")
    wrong = ~(FINITE.holds(entries) & (entries == np.floor(entries)) & (entries >= least))
    if wrong.any():
        position = int(wrong.argmax())
        raise ValueError(f"{name}[{position}] must be a whole number of at least {least}, got {entries[position]:g}")
    if count is not None and len(entries) != count:
        raise ValueError(f"{name} must be a list of {count} whole numbers, got {reprlib.repr(given)}")
    return [int(entry) for entry in entries]


def one_of(name: str, given: object, allowed: Iterable[object]) -> None:
    """Raises ValueError if `given` is none of the allowed values."""
    choices = list(allowed)
    if not any(type(given) is type(choice) and given == choice for choice in choices):
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, got {reprlib.repr(given)}")


def instance(name: str, given: object, *kinds: type) -> None:
    """Raises ValueError if `given` is of none of these classes."""
    if not isinstance(given, kinds):
        raise ValueError(f"{name} must be a {' or a '.join(kind.__name__ for kind in kinds)}, got {reprlib.repr(given)}")


def array(name: str, given: object) -> Float[np.ndarray, ...]:
    """A float64 array of its own with the entries of `given`, which may be nested lists, arrays, tables, or lists of tensors.

    >>> array("x", [[1, 2], [3, 4]]).dtype
    dtype('float64')
    >>> array("x", [1.0, 2.0j])
    Traceback (most recent call last):
    ValueError: x must hold real numbers, got complex128
    """
    try:
        found = np.asarray(_without_graphs(given))
    except ValueError:
        raise ValueError(f"{name} must be an array of numbers, got rows of different lengths") from None
    except (TypeError, RuntimeError) as error:  # a tensor that numpy does not read
        raise ValueError(f"{name} must be an array of numbers, got {reprlib.repr(given)}: {error}") from None
    if found.dtype == object and found.size and all(map(_is_real, found.flat)):
        found = np.array([_float(entry) for entry in found.flat]).reshape(found.shape)
    if found.dtype.kind not in "fiub":
        raise ValueError(
            f"{name} must hold real numbers, got {reprlib.repr(given) if found.dtype.kind in 'OUS' else found.dtype}"
        )
    return np.array(found, dtype=np.float64, order="C")


def finite_array(name: str, given: object) -> Float[np.ndarray, ...]:
    """The same, of finite numbers.

    >>> finite_array("values", [1.0, float("nan")])
    Traceback (most recent call last):
    ValueError: values holds numbers that are not finite: nan at [1]
    """
    found = array(name, given)
    if not np.isfinite(found).all():
        place = [int(axis[0]) for axis in np.nonzero(~np.isfinite(found))]
        raise ValueError(f"{name} holds numbers that are not finite: {found[tuple(place)]} at {place}")
    return found


def _is_real(value: object) -> bool:
    return isinstance(value, (numbers.Real, decimal.Decimal))


def _float(value: Any) -> float:
    try:
        return float(value)
    except OverflowError:  # a whole number above 1.8e308
        return math.copysign(math.inf, value)


def _without_graphs(given: Any) -> Any:
    """Tensors inside lists, which numpy reads only without their graph."""
    if isinstance(given, (list, tuple)):
        return [_without_graphs(part) for part in given]
    return given.detach().cpu() if hasattr(given, "detach") else given
