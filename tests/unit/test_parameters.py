"""Parameters of the experiments' scripts: numbers that no run could take are one sentence before any job."""

import copy
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import Field, TypeAdapter, ValidationError

from flowcheck.pipeline.experiment import LARGEST_PARAMETER, MOST_COUNTED, MOST_ITEMS, ParametersModel
from flowcheck.pipeline.parameters import load_script
from flowcheck.pipeline.project import Project

ROOT = Path(__file__).resolve().parents[2]
PROJECT = Project(ROOT)
SIGNED = {"vanished": "a logarithm", "std": "a start of no size is a hypothesis that is not met, and measured as such"}
"""Parameters that may be below zero, each with the reason."""
EMPTY = {"drawn": "a figure may show no family"}
"""Lists that may be empty."""


def leaves(value, path=()) -> Iterator[tuple[tuple, object]]:
    """Numbers and lists of a nested structure, each with its path."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from leaves(item, (*path, key))
    elif isinstance(value, list):
        yield path, value
        for index, item in enumerate(value):
            yield from leaves(item, (*path, index))
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield path, value


def put(parameters, path, value):
    """A copy with another value at a path."""
    changed = copy.deepcopy(parameters)
    place = changed
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return changed


def absurd(path, value) -> list[object]:
    """What no run could take in place of a value."""
    names = [part for part in path if isinstance(part, str)]
    if isinstance(value, list):
        return [] if names[-1] in EMPTY else [[]]
    if isinstance(value, int):
        return [-1, 10**18]
    return [1e308] if names[-1] in SIGNED else [1e308, -1e308, -1.5]


@pytest.mark.parametrize(("paper", "experiment"), list(PROJECT), ids=[f"{paper}-{experiment}" for paper, experiment in PROJECT])
def test_every_number_and_list_of_an_experiment_has_bounds(paper, experiment):
    model = TypeAdapter(load_script(PROJECT.script(paper, experiment)).Parameters)
    settings = PROJECT.settings(paper, experiment, "smoke")
    parameters = settings.parameters | next(iter(settings.cells().values()))
    model.validate_json(json.dumps(parameters), strict=True)
    taken = []
    for path, value in leaves(parameters):
        for other in absurd(path, value):
            try:
                model.validate_json(json.dumps(put(parameters, path, other)), strict=True)
            except ValidationError:
                continue
            taken.append((path, other))
    assert not taken


class Inner(ParametersModel):
    """A part of parameters."""

    scales: dict[str, list[float]] = Field(default={})


class Parameters(ParametersModel):
    """Numbers without bounds of their own."""

    steps: int = 1
    size: float = 1.0
    many: list[int] = Field(default=[])
    inner: Inner = Inner()


BEYOND = {
    "steps": ({"steps": MOST_COUNTED + 1}, f"steps: a whole number of at most {MOST_COUNTED} expected, found {MOST_COUNTED + 1}"),
    "negative steps": ({"steps": -(10**12)}, "steps: a whole number of at most"),
    "size": ({"size": 2 * LARGEST_PARAMETER}, "size: a number of at most 1e+30 expected, found 2e+30"),
    "no number": ({"size": float("nan")}, "size: a number of at most 1e+30 expected, found nan"),
    "items": ({"many": [1] * (MOST_ITEMS + 1)}, f"many: at most {MOST_ITEMS} items expected, found {MOST_ITEMS + 1}"),
    "within": ({"inner": {"scales": {"a": [1.0, 1e31]}}}, "scales.a.1: a number of at most 1e+30 expected, found 1e+31"),
}


@pytest.mark.parametrize(("given", "said"), BEYOND.values(), ids=BEYOND)
def test_what_no_run_could_take_is_refused_whatever_a_script_says(given, said):
    with pytest.raises(ValidationError) as refused:
        Parameters.model_validate(given)
    assert said in str(refused.value)


def test_what_a_run_can_take_is_taken():
    given = {"steps": MOST_COUNTED, "size": -LARGEST_PARAMETER, "many": [1] * MOST_ITEMS}
    assert Parameters.model_validate(given).steps == MOST_COUNTED
