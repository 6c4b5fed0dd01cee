"""Readings of many runs, and errors by refinement."""

import math

import numpy as np
import pytest

from flowcheck.measures import readings
from flowcheck.measures.refinement import ROUNDING, Refined, change, refined
from flowcheck.measures.statistics import clopper_pearson
from flowcheck.pipeline.evidence import Measurement

VALUES, ERRORS = np.array([2.0, np.nan, -1.0, 5.0]), np.array([0.1, 0.2, 0.3, 0.4])


def test_an_extreme_has_the_error_of_its_own_run():
    assert readings.largest(VALUES, ERRORS) == Measurement(5.0, 0.4, n=3)
    assert readings.smallest(VALUES, ERRORS) == Measurement(-1.0, 0.3, n=3)
    assert readings.largest(VALUES, 0.5) == Measurement(5.0, 0.5, n=3)


def test_a_reading_is_of_the_runs_that_are_asked():
    asked = np.array([True, True, True, False])
    assert readings.largest(VALUES, ERRORS, asked) == Measurement(2.0, 0.1, n=2)
    found = readings.median(VALUES, ERRORS, asked)
    assert (found.value, found.error, found.n) == (0.5, pytest.approx(0.2), 2)


@pytest.mark.parametrize("reading", [readings.largest, readings.smallest, readings.median])
@pytest.mark.parametrize(
    ("values", "asked"), [(VALUES, np.zeros(4, dtype=bool)), (np.full(4, np.nan), None), (np.zeros(0), None)]
)
def test_a_reading_of_nothing_is_no_number(reading, values, asked):
    found = reading(values, 0.1, asked)
    assert math.isnan(found.value)
    assert found.n == 0


def test_of_runs_that_all_must_speak_one_that_does_not_silences_the_rest():
    spoken, errors = VALUES[[0, 2, 3]], ERRORS[[0, 2, 3]]
    assert readings.largest_of_all(spoken, errors) == Refined(spoken, errors).largest_of_all() == Measurement(5.0, 0.4, n=3)
    assert readings.smallest_of_all(spoken, errors) == Refined(spoken, errors).smallest_of_all() == Measurement(-1.0, 0.3, n=3)
    for reading in (readings.largest_of_all, readings.smallest_of_all):
        found = reading(VALUES, ERRORS)
        assert math.isnan(found.value)
        assert found.n == 4
        assert reading(np.zeros(0), 0.1).n == 0


def test_some_of_the_refined_numbers_keep_their_errors():
    table = Refined(np.arange(6.0).reshape(2, 3), 0.1 * np.arange(6.0).reshape(2, 3))
    np.testing.assert_array_equal(table[:, 1].error, 0.1 * np.array([1.0, 4.0]))
    np.testing.assert_array_equal(table[table.value > 3].value, [4.0, 5.0])
    np.testing.assert_array_equal(table.flat().value, np.arange(6.0))


def test_a_median_moves_by_no_more_than_the_entry_that_moves_most():
    rng = np.random.default_rng(1)
    for _ in range(100):
        values, moves = rng.normal(size=9), 0.3 * rng.normal(size=9)
        found = readings.median(values, np.abs(moves))
        assert abs(float(np.median(values + moves)) - found.value) <= found.error
        found = readings.quantile(values, np.abs(moves), 0.8)
        assert abs(float(np.quantile(values + moves, 0.8)) - found.value) <= found.error


def test_one_run_that_is_hardly_known_moves_a_quantile_to_its_neighbours_only():
    errors = np.full(11, 0.125)
    errors[10] = 1e3
    assert readings.quantile(np.arange(11.0), errors, 0.8).error == pytest.approx(1.125)  # that run may be the lowest of all
    errors[10] = math.inf
    assert readings.median(np.arange(11.0), errors).error == pytest.approx(1.125)
    assert readings.median(np.arange(3.0), math.inf).error == math.inf


def test_a_quantile_lies_above_its_share_of_those_that_speak():
    assert readings.quantile(VALUES, ERRORS, 0.0).value == readings.smallest(VALUES, ERRORS).value
    assert readings.quantile(VALUES, ERRORS, 1.0).value == readings.largest(VALUES, ERRORS).value
    assert readings.quantile(np.append(np.arange(101.0), np.nan), 0.5, 0.37) == Measurement(37.0, 0.5, n=101)
    assert readings.median(np.array([1.0, 2.0, np.inf]), 0.5) == Measurement(2.0, 0.5, n=3)


def test_a_fraction_has_the_interval_of_clopper_and_pearson():
    hits = np.array([True, True, False])
    assert readings.fraction(hits) == Measurement.exact(2 / 3, 3, clopper_pearson(2, 3))
    assert readings.fraction(np.zeros(0, dtype=bool)).n == 0
    assert readings.count(hits) == Measurement.exact(2, n=3)


def test_a_rate_is_the_slope_of_what_the_rule_keeps():
    x = np.tile(np.arange(6.0), (2, 1))
    y = 3 * x + np.array([[1.0], [-7.0]])
    y[:, -1] = 100.0  # left out by the rule
    found = readings.rate(x, y, np.full(x.shape, 0.1), x < 5)
    assert found.value == pytest.approx(3.0)
    assert found.n == 10
    assert found.error == pytest.approx(2 * 0.1 / 4)
    assert readings.rate(x, y, np.zeros_like(x), x < 2).n == 0


def test_refinement_is_the_change_between_two_tolerances():
    assert change(np.array([1.0]), np.array([1.25]))[0] == 0.25
    assert change(np.array([np.inf]), np.array([np.inf]))[0] == np.finfo(float).tiny
    assert change(np.array([1.0]), np.array([np.nan]))[0] == np.inf
    assert change(np.array([np.nan]), np.array([1.0]))[0] == np.inf
    assert np.isnan(change(np.array([np.nan]), np.array([np.nan]))[0])


def test_two_tolerances_that_agree_to_the_last_digit_leave_rounding():
    assert change(np.array([3.0]), np.array([3.0]))[0] == 3 * ROUNDING
    assert change(np.zeros(1), np.zeros(1))[0] > 0


def test_the_change_bounds_the_error_of_the_finer_number():
    """Trapezoidal rule: halving the step divides the error by four, so the change is three times the error that is left."""

    def integral(n):
        x = np.linspace(0.0, 1.0, n + 1)
        return {"sine": np.array(np.trapezoid(np.sin(x), x)), "root": np.array(np.trapezoid(np.sqrt(x), x))}

    found = refined(integral, 64, 32)
    for name, exact in (("sine", 1 - math.cos(1.0)), ("root", 2 / 3)):
        number = found[name].number()
        assert abs(number.value - exact) <= number.error <= 4 * abs(number.value - exact)


def test_refinement_refuses_runs_that_find_different_numbers():
    with pytest.raises(ValueError, match=r"refinement finds different numbers: \['b'\]"):
        refined(lambda fine: {"a": np.zeros(1)} | ({"b": np.zeros(1)} if fine else {}), True, False)


def test_a_maximum_along_an_axis_moves_by_no_more_than_the_entry_that_moves_most():
    found = Refined.of(np.array([[1.0, 2.0], [3.0, np.nan]]), np.array([[1.5, 2.1], [3.0, 0.0]])).worst(axis=1)
    assert (found.value[0], found.error[0]) == (2.0, 0.5)
    assert np.isnan(found.value[1])


def test_rounding_that_a_number_does_not_show_is_added_to_its_change():
    found = Refined.of(np.array([1e-9, 2e-9]), np.array([1e-9, 3e-9])).with_rounding(np.array([1e-12, 1e-13]))
    assert found.error == pytest.approx([1e-12, 1e-9 + 1e-13])
    assert Refined.of(1.0, 1.5).with_rounding(0.25).number() == Measurement(1.0, 0.75)


def test_refined_numbers_are_read_with_their_own_changes():
    found = Refined.of(np.array([1.0, 4.0]), np.array([1.5, 4.1]))
    assert found.largest().error == pytest.approx(0.1)
    assert found.smallest().error == 0.5
    assert found.median() == found.quantile(0.5)
    assert (found.median().value, found.median().error) == (2.5, pytest.approx(0.3))
    assert Refined.joined([found, found]).largest().n == 4
    with pytest.raises(ValueError, match="one number was asked for, and there are 2"):
        found.number()


PARTS = [Measurement(2.0, 0.1, n=3), Measurement(-1.0, 0.2, n=4)]


def test_cells_together_have_the_extreme_of_their_extremes_and_all_their_runs():
    assert readings.largest_of(PARTS) == Measurement(2.0, 0.1, n=7)
    assert readings.smallest_of(iter(PARTS)) == Measurement(-1.0, 0.2, n=7)
    assert readings.largest_of([Measurement(1.0, 0.1), Measurement(0.0, 0.1)]).n is None


@pytest.mark.parametrize("together", [readings.largest_of, readings.smallest_of])
def test_a_cell_without_a_number_leaves_none_for_all(together):
    assert math.isnan(together([*PARTS, Measurement.exact(math.nan, n=1)]).value)


def test_counts_of_cells_add_up_and_nothing_else_does():
    assert readings.total([Measurement.count(2, 5), Measurement.count(0, 5)]) == Measurement.exact(2, n=10)
    with pytest.raises(ValueError, match="only counts"):
        readings.total(PARTS)


def test_the_exponent_of_a_power_law_is_that_of_the_rate_of_logarithms():
    x, rows = np.array([1.0, 0.1, 0.01, 0.001]), np.array([[2.0], [5.0]])
    y, error = rows * x**1.5, 1e-6 * rows * x**1.5
    found = readings.log_rate(x, y, error)
    assert found == readings.rate(np.broadcast_to(np.log(x), y.shape), np.log(y), error / y, np.ones(y.shape, dtype=bool))
    assert found.value == pytest.approx(1.5, abs=1e-12)


def test_points_that_are_left_out_need_no_logarithm():
    x, y = np.array([1.0, 0.1, 0.01, 0.001, 1e-4]), np.array([[2.0, 0.2, 0.02, 0.0, -1.0]])
    found = readings.log_rate(x, y, np.full(y.shape, 1e-9), y > 0)
    assert (found.value, found.n) == (pytest.approx(1.0), 3)
