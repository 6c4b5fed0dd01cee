"""The paper's own start: published reference values of an independent integration, and curves that are what they are called."""

import math

import numpy as np
import pytest

from flowcheck.papers.spherical_data import reduced_flow, reference_run

ADVANCES = np.concatenate([[0.0], np.geomspace(1e-3, 15.0, 100)])
# T, norm and cosine there; by LSODA in Cartesian coordinates (tests of the reduced flow), to the digits given
TURNS = {1: (2.44867, 0.452471, 0.175449), 4: (8.66329, 0.0829385, 0.0325559)}


def run(depth):
    return reference_run.on_the_clock(depth, ADVANCES, reduced_flow.RTOL)


def test_the_start_has_the_angle_of_its_clock_in_every_dimension():
    for dimension in (2, 3, 10):
        w, v = reference_run.start(dimension), reference_run.direction(dimension)
        assert np.linalg.norm(w) == pytest.approx(1.0)
        assert w @ v == pytest.approx(math.tanh(reference_run.CLOCK))


@pytest.mark.parametrize("depth", list(TURNS))
def test_the_turn(depth):
    time, norm, cosine = TURNS[depth]
    found = reference_run.turn(run(depth))
    assert found["transition_time"] == pytest.approx(time, abs=6e-6)
    assert found["norm_at_transition"] == pytest.approx(norm, rel=2e-6)
    _, log_norm, q = reference_run.curves(run(depth))["transition"]
    assert math.exp(log_norm) == pytest.approx(found["norm_at_transition"], rel=1e-15)  # numpy's exp differs in the last digit
    assert math.tanh(q) == pytest.approx(cosine, rel=2e-5)


@pytest.mark.parametrize(("depth", "time", "cosine"), [(1, 10.0, 0.993783), (4, 20.0, 0.961691)])
def test_the_angle_at_a_time(depth, time, cosine):
    assert 1 - reference_run.one_minus_cos(depth, time, 1e-11) == pytest.approx(cosine, abs=6e-7)


@pytest.mark.parametrize(
    ("depth", "names"),
    [
        (1, {"first_bound", "second_bound"}),
        (2, {"proposition4"}),
        (4, {"first_bound", "second_bound", "upper_bound", "lower_norm", "upper_norm"}),
    ],
)
def test_curves_of_each_depth_are_bounds_of_the_flow(depth, names):
    found = reference_run.curves(run(depth))
    assert set(found) == names | {"q", "s", "t", "times", "q_in_time", "s_in_time", "transition"}
    exponent, times, at = 2 * found["q_in_time"], found["times"], found["transition"][0]
    claimed = times <= at if depth == 1 else times >= 0
    slack = 1e-9
    if depth == 2:
        assert found["proposition4"] == pytest.approx(exponent, abs=slack)
        return
    assert np.all(found["first_bound"][claimed] <= exponent[claimed] + slack)
    assert np.isnan(found["second_bound"]).tolist() == (times < at).tolist()
    assert np.all(found["second_bound"][times >= at] <= exponent[times >= at] + slack)
    if depth > 2:
        assert np.all(found["upper_bound"] >= exponent - slack)
        assert np.all(found["lower_norm"] <= np.exp(found["s_in_time"]) + slack)
        assert np.all(found["upper_norm"] >= np.exp(found["s_in_time"]) - slack)
