"""Recomputing the counterexample of a claim: the function that the claim names, on the input that stands there."""

from __future__ import annotations

import math
from collections.abc import Mapping
from importlib import import_module
from typing import Any, NamedTuple

from flowcheck.errors import ConfigError
from flowcheck.pipeline.claims import Claim, Counterexample
from flowcheck.pipeline.strict_yaml import closest, listing

CLOSE = 1e-3
"""Relative: what is recorded has six digits, and processors differ in the last ones of a long run."""


class Recomputed(NamedTuple):
    """Both sides as they came out, whether they violate what is asked, and whether they are the recorded ones."""

    left: float
    right: float
    violates: bool
    as_recorded: bool


def recompute(claim: Claim, changes: Mapping[str, Any] | None = None) -> Recomputed:
    """Both sides of the claim's counterexample, with some of its input changed.

    Raises ConfigError if the claim has none, if its function is not there or fails, or if the input has no such key or value.
    """
    example = claim.counterexample
    if example is None:
        raise ConfigError(f"claim '{claim.id}' has no 'counterexample': only claims on printed statements have one")
    changes = changes or {}
    for key, value in changes.items():
        if key not in example.input:
            raise ConfigError(
                f"claim '{claim.id}', key 'counterexample.input': no {key!r}; closest: {listing(closest(key, example.input))}"
            )
        word = isinstance(example.input[key], str)
        if word != isinstance(value, str) or not (word or math.isfinite(value)):
            expected = "a word" if word else "a finite number"
            raise ConfigError(f"claim '{claim.id}', key 'counterexample.input.{key}': {expected} is expected, found {value!r}")
    left, right = _sides(claim.id, example, {**example.input, **changes})
    recorded = math.isclose(left, example.left.value, rel_tol=CLOSE, abs_tol=0.0 if example.left.value else CLOSE)
    recorded &= math.isclose(right, example.right.value, rel_tol=CLOSE, abs_tol=0.0 if example.right.value else CLOSE)
    return Recomputed(left, right, not example.holds(left, right), recorded)


def _sides(name: str, example: Counterexample, given: Mapping[str, Any]) -> tuple[float, float]:
    """What the function makes of its input. Raises ConfigError if that is not two numbers."""
    function = function_of(name, example)
    try:
        left, right = function(**given)
        return float(left), float(right)
    except (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError) as error:
        used = ", ".join(f"{key} = {value}" for key, value in given.items())
        why = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise ConfigError(
            f"claim '{name}', key 'counterexample.by': {example.by} gives no two numbers at {used}: {why}"
        ) from error


def function_of(name: str, example: Counterexample) -> Any:
    """The function behind a counterexample of the claim of this name. Raises ConfigError if it is not there."""
    module, _, function = example.by.rpartition(".")
    try:
        return getattr(import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(
            f"claim '{name}', key 'counterexample.by': {example.by!r} is no function of a module: {error}"
        ) from None


def text_of(claim: Claim, found: Recomputed, changes: Mapping[str, Any]) -> str:
    """What the command prints."""
    example = claim.counterexample
    assert example is not None
    used = ", ".join(f"{key} = {value}" for key, value in {**example.input, **changes}.items())
    lines = [
        f"{claim.label}: {claim.title}",
        f"input: {used}",
        f"{example.left.says}: {found.left:.6g}",
        f"{example.right.says}: {found.right:.6g}",
        f"asked: the first {example.asks} the second; {'violated' if found.violates else 'it holds'}",
    ]
    if not changes:
        lines.append("as recorded" if found.as_recorded else f"recorded: {example.left.value:g} and {example.right.value:g}")
    return "\n".join(lines)
