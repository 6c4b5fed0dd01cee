"""Growth over growth, before and after the turn: on flows made by hand, whose every number is known."""

import numpy as np
import pandas as pd
import pytest

from flowcheck.measures import readings
from flowcheck.papers.spherical_data import phases, reduced_flow
from flowcheck.papers.spherical_data.population import law
from flowcheck.pipeline.evidence import Measurement

# two flows on the clock -1, 0, 1, 2, 3 with t = 0, 1, 2, 3, 4: one turns at q = 0.5, the other at its start
Q = np.array([[-1.0, 0.0, 1.0, 2.0, 3.0]] * 2)
T = np.arange(5.0) + np.zeros((2, 1))
TURN = reduced_flow.Transition(np.array([1.5, 0.0]), np.array([0.5, -1.0]), np.log([2.0, 3.0]))
HAND = phases.Phases(reduced_flow.ReducedPath(law("circle"), 3, Q, np.zeros((2, 5)), T, TURN), np.ones((2, 1)), 1.0)


def test_points_count_from_an_advance_of_the_clock_on():
    assert HAND.anywhere.tolist() == [[False, True, True, True, True]] * 2
    assert HAND.early.tolist() == [[False, True, False, False, False], [False] * 5]
    assert HAND.late.tolist() == [[False, False, False, True, True], [False, True, True, True, True]]


def test_growth_is_that_of_the_exponent_and_time_starts_at_the_turn():
    assert HAND.gain[0].tolist() == [0.0, 2.0, 4.0, 6.0, 8.0]
    assert HAND.gain_late[0].tolist() == [-3.0, -1.0, 1.0, 3.0, 5.0]
    assert HAND.elapsed.tolist() == [[0.0, 0.0, 0.5, 1.5, 2.5], [0.0, 1.0, 2.0, 3.0, 4.0]]
    assert HAND.norm_turn[:, 0] == pytest.approx([2.0, 3.0])


def test_rounding_of_an_excess_is_that_of_its_exponents_over_the_smallest_growth():
    assert HAND.rounding == pytest.approx(8 * 2.0**-52 * np.array([2.0, 2.0]))
    finer = phases.Phases(HAND.path, HAND.norm0, 0.01)
    gain, exact = 2.0 * np.float64(-1.0 + 0.01) - 2.0 * np.float64(-1.0), 0.02
    assert abs(gain / exact - 1) < finer.rounding.min()


def test_the_excess_is_taken_only_where_it_is_asked_for_and_the_bound_has_grown():
    bound = np.array([[0.0, 1.0, 4.0, 2.0, 8.0], [0.0, -1.0, 0.0, -2.0, -3.0]])
    assert phases.lowest_excess(HAND.gain, bound, HAND.anywhere).tolist() == [0.0, np.inf]
    assert phases.highest_excess(HAND.gain, bound, HAND.anywhere).tolist() == [2.0, -np.inf]
    # the second point would be the largest and the third the smallest: neither is asked for
    assert phases.lowest_excess(HAND.gain, bound, HAND.late).tolist() == [0.0, np.inf]


def test_a_reading_passes_over_flows_that_do_not_speak_and_takes_its_own_error():
    runs = pd.DataFrame({"first": [0.3, np.inf, 0.1], "first_error": [1e-3, 9.0, 1e-5]})
    assert phases.over_runs(runs, "first") == Measurement(0.1, 1e-5, n=2)
    assert phases.over_runs(runs, "first", readings.largest) == Measurement(0.3, 1e-3, n=2)
    silent = phases.over_runs(runs[1:2], "first")
    assert silent.n == 0
    assert np.isnan(silent.value)


def test_the_last_excess_is_that_of_the_last_point_that_is_asked():
    growth = np.array([[1.0, 3.0, 8.0, 9.0], [1.0, 2.0, 3.0, 4.0]])
    bound = np.array([[1.0, 2.0, 2.0, 3.0], [0.0, 0.0, 0.0, 0.0]])
    asked = np.array([[True, True, True, False], [True, True, True, True]])
    assert phases.last_excess(growth, bound, asked).tolist() == [3.0, np.inf], "a bound that never grows says nothing"
    assert phases.last_excess(growth, bound, ~asked).tolist() == [2.0, np.inf]
