"""A table of runs, one row each: numbers with their errors, and readings of its columns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from flowcheck.measures import readings
from flowcheck.measures.refinement import change
from flowcheck.pipeline.evidence import Measurement

Row = dict[str, Measurement | str | int]
"""What is known of one run: measured numbers, and labels."""


@dataclass(frozen=True)
class Table:
    """Runs, one row each.

    Attributes:
        values: measured numbers and labels; NaN in a row that does not speak of the matter.
        errors: of the measured numbers; NaN for labels.
        pooled: that readings have the largest error of their rows, where the change of a single row may vanish by accident.
    """

    values: pd.DataFrame
    errors: pd.DataFrame
    pooled: bool = False

    @classmethod
    def of(cls, rows: Iterable[Mapping[str, Measurement | str | int]]) -> Table:
        """Columns in the order in which rows name them first.

        >>> Table.of([{"net": "a", "loss": Measurement(2.0, 0.1)}, {"net": "b", "loss": Measurement(3.0, 0.2)}]).largest("loss")
        Measurement(value=3.0, error=0.2, interval=None, n=2)
        """
        rows = list(rows)
        values = pd.DataFrame([{name: _value(cell) for name, cell in row.items()} for row in rows])
        errors = [{name: cell.error for name, cell in row.items() if isinstance(cell, Measurement)} for row in rows]
        return cls(values, pd.DataFrame(errors, columns=values.columns, dtype=float))

    def __len__(self) -> int:
        return len(self.values)

    def where(self, rows: Bool[np.ndarray, " s"]) -> Table:
        """Fewer rows."""
        return Table(self.values[rows], self.errors[rows], self.pooled)

    def __getitem__(self, label: str) -> np.ndarray:
        """One column of `values`."""
        return self.values[label].to_numpy()

    def errors_of(self, column: str) -> np.ndarray:
        """The errors of one column, as readings have them."""
        errors = self.errors[column].to_numpy(dtype=float)
        return np.full(errors.shape, np.nanmax(errors)) if self.pooled else errors

    def largest(self, column: str) -> Measurement:
        """The largest number of a column, with its error; exact if all of them are."""
        return self._read(column, readings.largest)

    def smallest(self, column: str) -> Measurement:
        """The smallest number of a column, with its error; exact if all of them are."""
        return self._read(column, readings.smallest)

    def median(self, column: str) -> Measurement:
        """The median of a column, with its error; exact if all of them are."""
        return self._read(column, readings.median)

    def _read(self, column: str, read: Callable[[np.ndarray, np.ndarray], Measurement]) -> Measurement:
        values, errors = self[column], self.errors_of(column)
        if np.nan_to_num(errors).any():
            return read(values, errors)
        found = read(values, np.ones(errors.shape))
        return Measurement.exact(found.value, found.n)

    def fraction(self, column: str) -> Measurement:
        """The share of rows in which a column is above 0."""
        return readings.fraction(self[column] > 0)

    def count(self, column: str) -> Measurement:
        """In how many rows a column is above 0."""
        return readings.count(self[column] > 0)

    def log_slope(self, columns: list[str], x: Float[np.ndarray, " p"]) -> Measurement:
        """One slope of the logarithms of these columns on those of x, with an offset for each row."""
        y, error = self.values[columns].to_numpy(dtype=float), self.errors[columns].to_numpy()
        return readings.log_rate(x, y, error, np.isfinite(y) & (y > 0))


def _value(cell: Measurement | str | int) -> float | str | int:
    return cell.value if isinstance(cell, Measurement) else cell


def at_two_tolerances(
    fine: Mapping[str, float], coarse: Mapping[str, float], besides: Mapping[str, float] | None = None
) -> dict[str, Measurement]:
    """Numbers as the coarser tolerance has them, under names that end in ``_coarse``, and as the finer one has them.

    The error of either is their distance, and what `besides` adds to it.
    """
    error = {name: float(change(np.array(value), np.array(coarse[name]))) for name, value in fine.items()}
    error |= {name: error[name] + more for name, more in (besides or {}).items()}
    return {f"{name}_coarse": Measurement(value, error[name]) for name, value in coarse.items()} | {
        name: Measurement(value, error[name]) for name, value in fine.items()
    }
