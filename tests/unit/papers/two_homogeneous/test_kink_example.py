"""u1|u2|: closed forms against events, finite differences and the numbers of the inventory's hand calculations."""

import math

import numpy as np
import pytest
import torch

from flowcheck.papers.two_homogeneous import kink_example

TIMES = np.linspace(0.0, 2.0, 41)
CASES = {
    "|z2| > |z1|": [[0.3, 0.7], [-0.3, -0.7], [-1.0, 1.2]],
    "|z2| <= |z1|, z1 > 0": [[1.0, 1e-3], [0.8, -0.8], [2.0, 0.5]],
    "|z2| < |z1|, z1 < 0": [[-1.0, 0.5], [-0.7, -0.1], [-1.0, 0.0]],
    "|z1| = |z2|, z1 <= 0": [[-1.0, 1.0], [-0.4, -0.4], [0.0, 0.0]],
}


@pytest.mark.parametrize("z", CASES.values(), ids=CASES)
def test_closed_form_agrees_with_event_driven_integration(z):
    start = np.array(z)
    states, hits = kink_example.event_driven(start, TIMES)
    assert kink_example.solution(start, TIMES) == pytest.approx(states, abs=1e-10)
    expected = np.where(kink_example.hit_time(start) <= TIMES[-1], kink_example.hit_time(start), np.inf)
    # the origin is reached at once and never left; the event starts at zero there
    assert hits == pytest.approx(expected, abs=1e-10)


def test_the_flow_from_minus_one_half_stops_where_the_inventory_says():
    states = kink_example.solution(np.array([[-1.0, 0.5]]), np.array([math.atanh(0.5), 5.0]))
    assert states[0] == pytest.approx(np.array([[-math.sqrt(3) / 2, 0.0]] * 2), abs=1e-15)


def test_velocities_of_all_solutions_lie_in_the_subdifferential():
    h, t = 1e-5, np.linspace(0.1, 3.0, 30)
    curves = [lambda s: kink_example.branch(1.0, s), lambda s: kink_example.branch(0.4, s, side=-1.0)]
    curves += [lambda s, z=z: kink_example.solution(np.array([z]), s)[0] for group in CASES.values() for z in group]
    for curve in curves:
        smooth = np.abs(t[:, None] - np.array([1.0, 0.4, math.atanh(0.5), math.atanh(1 / 7)])).min(axis=1) > 2 * h
        velocity = (curve(t + h) - curve(t - h)) / (2 * h)
        assert kink_example.distance_to_segment(velocity, kink_example.subdifferential(curve(t)))[smooth].max() < 1e-8


def test_the_subdifferential_is_a_segment_on_the_kink_and_the_gradient_elsewhere():
    ends = kink_example.subdifferential(np.array([[2.0, 0.0], [2.0, -3.0]]))
    assert ends[0].tolist() == [[0.0, -2.0], [0.0, 2.0]]
    assert ends[1].tolist() == [[3.0, -2.0], [3.0, -2.0]]
    assert kink_example.distance_to_segment(np.zeros((2, 2)), ends) == pytest.approx([0.0, math.hypot(3, 2)])


def test_a_branching_start_is_refused():
    with pytest.raises(ValueError, match="branching"):
        kink_example.solution(np.array([[1.0, 0.0]]), TIMES)
    with pytest.raises(ValueError, match="branching"):
        kink_example.event_driven(np.array([[1.0, 0.0]]), TIMES)


@pytest.mark.parametrize(("delta", "displacement"), [(1e-3, 0.1839), (1e-6, 0.18280), (1e-9, 0.18280)])
def test_descent_of_the_squared_error_leaves_the_critical_point_as_far_as_the_inventory_says(delta, displacement):
    # inventory of two_homogeneous, Lemma I.2; its three numbers are displacements at t = 0.1
    states, hits = kink_example.event_driven(np.array([[1 + delta, delta]]), np.array([0.1]), kink_example.descent_to(1.0))
    assert np.isinf(hits).all()
    assert np.hypot(states[0, 0, 0] - 1, states[0, 0, 1]) == pytest.approx(displacement, abs=5e-5)


def test_descent_to_a_negative_target_slides_onto_the_kink_and_rests():
    start = np.array([[1.02, 0.01], [0.98, -0.03]])
    states, hits = kink_example.event_driven(start, TIMES, kink_example.descent_to(-1.0))
    assert (hits < 0.05).all()
    assert (states[:, -1, 1] == 0).all()
    # u1^2 - u2^2 is conserved
    assert states[:, -1, 0] == pytest.approx(np.sqrt(start[:, 0] ** 2 - start[:, 1] ** 2), abs=1e-10)


def test_the_factor_of_descent_is_the_derivative_of_the_outer_square():
    state = torch.tensor([[1.5, -0.5]], dtype=torch.float64)
    assert float(kink_example.descent_to(1.0)(state)) == pytest.approx(-2 * (0.75 - 1.0))
