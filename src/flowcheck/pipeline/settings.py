"""Settings: one experiment resolved for one scale. The file a script is run on, and the names of its cells."""

from __future__ import annotations

import itertools
import json
import math
import re
import reprlib
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from flowcheck.pipeline.strict_yaml import write_yaml

SCALES = ("smoke", "laptop", "paper")
Scalar = int | float | str | bool
MOST_CELLS = 10_000
LONGEST_CELL = 200
"""Characters of the name of a cell: a file system takes 255, and its log and temporary files add some."""


class Settings(BaseModel):
    """What a script gets: root seed, grid of cells, parameters, the metrics it has promised to write, and what may be NaN.

    `silent` are names of arrays and columns, with ``*`` for any letters; None, in a file somebody wrote, asks for nothing.
    """

    model_config = ConfigDict(extra="forbid")

    paper: str
    experiment: str
    scale: str
    seed: int = Field(ge=0)
    grid: dict[str, list[Scalar]]
    parameters: dict[str, Any]
    metrics: list[str] | None = None
    silent: list[str] | None = None

    @field_validator("grid", "parameters")
    @classmethod
    def _can_be_written(cls, values: dict[str, Any]) -> dict[str, Any]:
        """What YAML and JSON have no number for would arrive as null: a cap that is infinite as no cap at all."""
        for key, value in _leaves(values):
            if isinstance(value, float) and not math.isfinite(value):
                raise ValueError(f"{key} is {value}; a number of the settings is finite")
        return values

    def cells(self) -> dict[str, dict[str, Scalar]]:
        """Cell name -> grid point. An experiment without a grid has one cell, ``all``.

        Raises ValueError if two points of the grid would share a name, and so a file, or if there are too many or too long ones.
        """
        if not self.grid:
            return {"all": {}}
        if (points := math.prod(map(len, self.grid.values()))) > MOST_CELLS:
            raise ValueError(f"{points} points, each a job and a file; at most {MOST_CELLS}")
        cells: dict[str, dict[str, Scalar]] = {}
        for values in itertools.product(*self.grid.values()):
            point = dict(zip(self.grid, values, strict=True))
            name = "_".join(f"{key}-{_slug(value)}" for key, value in point.items())
            if len(name) > LONGEST_CELL:
                raise ValueError(f"the point {reprlib.repr(point)} has a name of {len(name)} characters; at most {LONGEST_CELL}")
            if name in cells:
                raise ValueError(f"two points of the grid, {cells[name]} and {point}, have the same name {name!r}")
            cells[name] = point
        return cells

    def at(self, cell: str) -> Settings:
        """What one cell gets of these settings: its point of the grid, no promise of metrics. Raises KeyError on another name."""
        point = self.cells()[cell]
        return self.model_copy(update={"grid": {key: [value] for key, value in point.items()}, "metrics": None})

    def to_yaml(self) -> str:
        """The text that ``--parameters`` takes."""
        return write_yaml(json.loads(self.model_dump_json()))


def _leaves(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """What is neither list nor mapping, with its key in the file."""
    items = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, (list, tuple)) else None
    if items is None:
        yield key, value
    else:
        for name, item in items:
            yield from _leaves(item, f"{key}.{name}" if key else str(name))


def _slug(value: Scalar) -> str:
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        value = int(value)  # 1.0 is 1, and its cell need not be made again
    return re.sub(r"[^A-Za-z0-9._+]", "-", str(value))
