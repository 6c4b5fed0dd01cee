"""One of several pursuits that differ in their step size: as the paper selects, and without a look at the test data."""

from __future__ import annotations

from collections.abc import Sequence

from flowcheck.arguments import array
from flowcheck.pursuit.pursue import Pursuit
from flowcheck.tensors import Numbers

SMALL_TEST_ERROR, SMALL_TRAINING_ERROR = 0.005, 1e-3
"""Appendix C.1.1."""


def on_test_error(pursuits: Sequence[Pursuit], test_errors: Numbers) -> int:
    """The paper's rule (Appendix C.1.1), which looks at the test data: the position of the pursuit that it reports.

    Of those with a test error below 0.005 the one with the fewest iterations; else of those with a training error below 0.001
    the one with the lowest test error; else the one with the lowest training error. The paper asks for several that meet a
    condition; one alone is taken as well.
    """
    errors, training = _checked(pursuits, test_errors), _training(pursuits)
    everyone = range(len(pursuits))
    if generalises := [k for k in everyone if errors[k] < SMALL_TEST_ERROR]:
        return min(generalises, key=lambda k: (len(pursuits[k].history), errors[k]))
    if fits := [k for k in everyone if training[k] < SMALL_TRAINING_ERROR]:
        return min(fits, key=lambda k: errors[k])
    return min(everyone, key=lambda k: training[k])


def on_training_error(pursuits: Sequence[Pursuit]) -> int:
    """Without test data: the fewest iterations among those with a training error below 0.001, else the lowest training error."""
    training = _training(pursuits)
    if fits := [k for k in range(len(pursuits)) if training[k] < SMALL_TRAINING_ERROR]:
        return min(fits, key=lambda k: (len(pursuits[k].history), training[k]))
    return min(range(len(pursuits)), key=lambda k: training[k])


def _training(pursuits: Sequence[Pursuit]) -> list[float]:
    """Training errors; that of a network of zeros is 1. Raises ValueError if there is none to select from."""
    if not pursuits:
        raise ValueError("there are no pursuits to select from")
    return [pursuit.history[-1].error if pursuit.history else 1.0 for pursuit in pursuits]


def _checked(pursuits: Sequence[Pursuit], test_errors: Numbers) -> list[float]:
    errors: list[float] = array("test_errors", test_errors).reshape(-1).tolist()
    if len(errors) != len(pursuits):
        raise ValueError(f"{len(pursuits)} pursuits, but {len(errors)} test errors")
    return errors
