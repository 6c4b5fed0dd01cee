"""Directions that turn in a fixed time: of degree two in closed form, of degree three by its first order."""

import numpy as np
import pytest
import torch

from flowcheck.measures.refinement import Refined
from flowcheck.networks.zoo import power_net
from flowcheck.papers.two_homogeneous import section_5_3

X, LABELS, START = np.eye(2), np.array([[1.0, 0.5]]), np.array([[0.8, 0.6]])


def turned(degree, deltas, time=0.3):
    data = (torch.from_numpy(part) for part in (X, LABELS, START))
    return section_5_3.turned(power_net(1, 2, degree), *data, time=time, deltas=deltas, rtol=1e-7)


def test_degree_two_turns_by_the_same_angle_whatever_delta_is(quadratic):
    found = turned(2, [1e-2, 1e-4])
    u = quadratic.u(0.3)
    np.testing.assert_allclose(found.value, 1 - u @ START[0] / np.linalg.norm(u), rtol=1e-3)
    assert found.value[0, 1] == pytest.approx(found.value[0, 0], rel=1e-3)


def test_degree_three_turns_by_an_angle_of_order_delta():
    deltas = [1e-2, 3e-3, 1e-3]
    found = turned(3, deltas)
    # w moves by delta t 3 y_i w_i^2 relative to delta: the part across w_0 is the angle
    velocity = 3 * LABELS[0] * START[0] ** 2
    across = velocity - (velocity @ START[0]) * START[0]
    np.testing.assert_allclose(found.value[0], 0.5 * (np.array(deltas) * 0.3 * np.linalg.norm(across)) ** 2, rtol=0.02)
    numbers = section_5_3.slopes({"L3": found}, deltas)
    assert numbers["turning_slope_L3"].value == pytest.approx(2, abs=0.01)
    assert numbers["turned_L3"].value == found.value[0, -1]


def test_an_angle_of_a_few_roundings_has_their_error():
    found = turned(4, [1e-4, 1e-7])
    # of order delta^2: at 1e-7 the direction moves by less than its last digit
    assert found.error[0, 1] > 0.1 * found.value[0, 1]
    assert found.error[0, 0] < 1e-5 * found.value[0, 0]


def test_large_deltas_and_angles_within_their_error_leave_the_fit():
    deltas = [1e-1, 1e-2, 1e-3, 1e-4, 1e-5]
    value = np.array(deltas)[None] ** 2
    value[0, 0] = 7.0
    error = np.where(np.arange(5) == 4, value, 1e-3 * value)
    found = section_5_3.slopes({"L3": Refined(value, error)}, deltas)
    assert found["turning_slope_L3"].value == pytest.approx(2)
    assert found["turning_slope_L3"].n == 3
