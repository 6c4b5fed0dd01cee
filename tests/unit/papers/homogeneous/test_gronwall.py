"""Gronwall's inequality: where it is sharp, and where it fails."""

import math

import numpy as np
import pytest

from flowcheck.papers.homogeneous import gronwall


def constant(value):
    return lambda t: np.full(1, value)


def test_gronwall_is_an_equality_without_slack():
    found = gronwall.excess(constant(1.0), constant(1.0), constant(0.0), 0.0, 1.0, 400)
    assert abs(found.general[0]) < 1e-10
    assert abs(found.monotone[0]) < 1e-10


def test_second_part_of_gronwall_fails_for_a_decreasing_alpha():
    found = gronwall.excess(lambda t: np.full(1, 1.0 - t), constant(1.0), constant(0.0), 0.0, 1.0, 400)
    # u = e^t - 1 + ... : u(1) = int_0^1 r e^r dr = 1, and the largest |bound| is that of the first part, e - 1 - ... = 1
    assert found.monotone[0] == pytest.approx(1.0, abs=1e-8)
    assert abs(found.general[0]) < 1e-10


def test_first_part_of_gronwall_fails_with_the_printed_lower_limit():
    found = gronwall.excess(constant(1.0), constant(1.0), constant(0.0), -1.0, 1.0, 400)
    assert found.from_zero[0] == pytest.approx((math.e**2 - math.e) / math.e**2, abs=1e-8)


@pytest.mark.parametrize("increasing", [False, True])
def test_gronwall_holds_on_random_functions(increasing):
    found = gronwall.random_excess(np.random.default_rng(0), 50, 200, increasing=increasing)
    assert found.general.max() < 0
    assert not increasing or found.monotone.max() < 0


def test_its_numbers_are_refined_by_halving_the_steps():
    found = gronwall.inequality(lambda increasing: np.random.default_rng(int(increasing)), 20, 100)
    assert found["gronwall_general_max"].value < 0
    assert found["gronwall_monotone_max"].value < 0
    for name, exact in (("gronwall_falling_alpha", 1.0), ("gronwall_from_zero", 1 - 1 / math.e)):
        assert 0 < abs(found[name].value - exact) < found[name].error < 1e-6
    assert (found["gronwall_general_max"].n, found["gronwall_from_zero"].n) == (40, None)
