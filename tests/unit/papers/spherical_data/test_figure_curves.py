"""What Figure 1 shows over runs of SGD."""

import numpy as np
import pytest

from flowcheck.papers.spherical_data import figure_curves, population, reduced_flow
from flowcheck.papers.spherical_data.figure_curves import RESTART, curves

TIMES = np.linspace(0.0, 30.0, 301)
CIRCLE = population.law("circle")


def on_the_flow(depth, bend=0.0):
    """w_e [1, p, 2] of the population flow itself, turned by `bend` t."""
    cosine, norm = figure_curves.population_flow(TIMES, depth, reduced_flow.RTOL)
    angle = np.arccos(cosine) + bend * TIMES
    return (norm * np.stack([np.sin(angle), np.cos(angle)])).T[None]


def test_the_flow_starts_where_the_runs_start():
    cosine, norm = figure_curves.population_flow(TIMES, 4, reduced_flow.RTOL)
    assert (cosine[0], norm[0]) == (pytest.approx(-0.8), pytest.approx(1.0))


@pytest.mark.parametrize("depth", [1, 4])
def test_runs_on_the_flow_have_its_curves(depth):
    c = curves(on_the_flow(depth), TIMES, depth)
    assert c.cosine[0] == pytest.approx(c.flow_cosine, abs=1e-12)
    assert c.loss[0] == pytest.approx(c.flow_loss, abs=1e-12)
    assert TIMES[c.norm[0].argmin()] == pytest.approx(c.transition[0], abs=0.1)
    w = on_the_flow(depth)[0, 77]
    direct = population.planar_loss(CIRCLE.radius_nodes, CIRCLE.radius_weights, w, np.array([0.0, 1.0]))
    assert c.loss[0, 77] == pytest.approx(direct, abs=1e-12)


@pytest.mark.parametrize("depth", [1, 4])
def test_bounds_start_on_the_curve_and_stay_on_their_side(depth):
    c = curves(on_the_flow(depth), TIMES, depth)
    claimed = c.transition[0] >= TIMES if depth == 1 else TIMES >= 0
    assert c.first_bound[0] == pytest.approx(c.flow_cosine[0])
    assert np.all(c.first_bound[claimed] <= c.flow_cosine[claimed] + 1e-12)
    late = RESTART[depth] < TIMES
    assert np.isnan(c.second_bound[0, ~late]).all()
    assert np.all(c.second_bound[0, late] <= c.flow_cosine[late] + 1e-12)
    assert c.second_bound[0, late][0] == pytest.approx(c.flow_cosine[late][0], abs=0.05)


def test_the_second_bound_starts_from_the_observed_angle_of_each_run():
    two = np.concatenate([on_the_flow(1), on_the_flow(1, bend=0.01)])
    first = int(np.argmax(RESTART[1] < TIMES))
    second = curves(two, TIMES, 1).second_bound[:, first]
    assert abs(second[0] - second[1]) > 1e-3


def test_only_the_deep_network_has_an_upper_bound_and_one_on_the_norm():
    assert "upper_bound" not in curves(on_the_flow(1), TIMES, 1).arrays()
    c = curves(on_the_flow(4), TIMES, 4)
    assert {"upper_bound", "lower_norm"} < c.arrays().keys()
    assert np.all(c.upper_bound >= c.flow_cosine - 1e-12)
    assert np.all(c.lower_norm <= c.flow_norm * (1 + 1e-12))
