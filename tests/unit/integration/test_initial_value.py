"""What scipy's solver is asked and answers: ends that are no numbers, and answers that are none, are errors."""

import math

import numpy as np
import pytest

from flowcheck.integration.initial_value import solve


def test_the_exponential_is_followed_to_its_end_and_to_the_times_asked_for():
    times = np.linspace(0.0, 2.0, 5)
    found = solve(lambda t, y: y, 2.0, np.ones(1), "DOP853", times, rtol=1e-11, atol=1e-13)
    assert found.y[0].tolist() == pytest.approx(np.exp(times).tolist(), rel=1e-9)


@pytest.mark.parametrize("end", [math.nan, math.inf])
def test_an_end_that_is_no_number_is_refused(end):
    with pytest.raises(ValueError, match=r"the descent of x: a flow to (nan|inf)"):
        solve(lambda t, y: y, end, np.ones(1), "DOP853", what="the descent of x")


def test_a_start_that_is_no_number_is_refused():
    with pytest.raises(ValueError, match="nan"):
        solve(lambda t, y: y, 1.0, np.array([1.0, math.nan]), "LSODA")


def test_a_solver_that_gives_up_is_an_error():
    with pytest.raises(RuntimeError, match="the flow: "):
        solve(lambda t, y: y**2, 2.0, np.ones(1), "DOP853", rtol=1e-8, atol=1e-8)  # 1 / (1 - t) blows up at 1


def test_rates_that_are_no_numbers_end_too():
    with pytest.raises(RuntimeError, match="the flow: "):
        solve(lambda t, y: y * (math.nan if t > 0.1 else 1.0), 1.0, np.ones(1), "DOP853", rtol=1e-8, atol=1e-8)


def test_rates_that_write_into_the_state_are_refused():
    with pytest.raises(ValueError, match="a flow: the right-hand side changes the state that it is given"):
        solve(lambda t, y: np.negative(y, out=y), 1.0, np.array([1.0]), "RK45", what="a flow")
