"""A table of runs: readings take the error of the row they choose; slopes are those of power laws."""

import math

import numpy as np
import pytest

from flowcheck.measures.table import Table, at_two_tolerances
from flowcheck.pipeline.evidence import Measurement

RUNS = Table.of(
    [
        {"kind": "a", "size": Measurement(1.0, 0.1), "late": Measurement(4.0, 0.2)},
        {"kind": "b", "size": Measurement(3.0, 0.3), "only": Measurement.exact(7.0)},
        {"kind": "a", "size": Measurement(2.0, 0.2), "late": Measurement(math.nan, math.nan)},
    ]
)


def test_an_extreme_has_the_error_of_its_own_row():
    assert RUNS.largest("size") == Measurement(3.0, 0.3, n=3)
    assert RUNS.smallest("size") == Measurement(1.0, 0.1, n=3)


def test_rows_that_do_not_speak_of_the_matter_are_passed_over():
    assert RUNS.largest("late") == Measurement(4.0, 0.2, n=1)
    assert RUNS.where(RUNS["kind"] == "a").largest("only").n == 0


def test_columns_stand_in_the_order_in_which_they_are_named_and_keep_their_labels():
    assert list(RUNS.values.columns) == ["kind", "size", "late", "only"]
    assert RUNS.values.kind.tolist() == ["a", "b", "a"]
    assert len(RUNS.where(RUNS["kind"] == "a")) == 2


def test_the_slope_is_that_of_a_power_law_and_its_error_that_of_the_worst_point():
    x = np.array([1.0, 0.1, 0.01])
    rows = [{f"y_{k}": Measurement(c * v**2.5, 1e-3 * c * v**2.5) for k, v in enumerate(x)} for c in (1.0, 7.0)]
    slope = Table.of(rows).log_slope(["y_0", "y_1", "y_2"], x)
    assert slope.value == pytest.approx(2.5)
    assert slope.error == pytest.approx(2e-3 / math.log(100.0))
    assert slope.n == 6


def test_points_that_have_no_logarithm_leave_a_slope():
    rows = [{f"y_{k}": Measurement(10.0**-k if k else 0.0, 1e-12) for k in range(4)}]
    slope = Table.of(rows).log_slope(["y_0", "y_1", "y_2", "y_3"], np.array([1.0, 0.1, 0.01, 0.001]))
    assert (slope.value, slope.n) == (pytest.approx(1.0), 3)


def test_two_tolerances_give_both_numbers_with_their_distance_and_what_comes_on_top():
    found = at_two_tolerances({"a": 1.0, "b": 2.0}, {"a": 1.5, "b": 2.0}, {"a": 0.25})
    assert list(found) == ["a_coarse", "b_coarse", "a", "b"]
    assert found["a"] == Measurement(1.0, 0.75)
    assert found["a_coarse"] == Measurement(1.5, 0.75)
    assert 0 < found["b"].error < 1e-14


def test_extremes_of_exact_numbers_are_exact_and_of_measured_ones_are_not():
    table = Table.of([{"radius": Measurement.exact(0.5), "size": Measurement(2.0, 0.1)}, {"radius": Measurement.exact(0.25)}])
    assert table.smallest("radius") == Measurement.exact(0.25, n=2)
    assert table.largest("radius") == Measurement.exact(0.5, n=2)
    assert table.largest("size") == Measurement(2.0, 0.1, n=1)
