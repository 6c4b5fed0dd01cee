"""Lemma D.1: the counterexample in closed form for delta to 0, and the constants of its M_2 by sampling."""

import math

import numpy as np
import pytest

from flowcheck.networks.zoo import power_net
from flowcheck.papers.two_homogeneous import lemma_d_1
from flowcheck.saddles.units import Units

LABEL = 10.0


def test_z_is_that_of_the_linear_flow_as_delta_goes_to_zero():
    times = np.array([0.01, 0.05, 0.2])
    # w_n on the first input: a_1' = -4 a_1, a_2 stays; w_z on the second: b_1' = 2 K b_1
    exact = (0.6 * np.exp(-4 * times)) ** 2 + 0.8**2 + np.exp(4 * LABEL * times)
    assert lemma_d_1.growth(LABEL, 1e-9, times, 1.0) == pytest.approx(np.append(2.0, exact), rel=1e-6)


def test_the_constants_of_the_rate_bound_hold_in_the_unit_ball():
    rng = np.random.default_rng(0)
    unit, start = Units.of(power_net(1, 2, 2), np.array([[1.0, 0.0], [-1.0, 0.0]])), np.array([1.0, 0.0])
    near = start + (w := rng.standard_normal((500, 2))) / np.linalg.norm(w, axis=1, keepdims=True) * rng.random((500, 1))
    distance = np.linalg.norm(near - start, axis=1)
    rise = np.linalg.norm(unit.outputs(near) - unit.outputs(start), axis=1)
    assert (rise <= 3 * distance + 1e-12).all()
    assert max(np.linalg.norm(unit.jacobian(v), 2) for v in near) <= 4
    assert lemma_d_1.rate_bound(LABEL) == 2 * LABEL + 12
    assert lemma_d_1.rate_bound(-100.0) == 12.0


def test_the_printed_rate_is_passed_and_twice_that_is_not():
    found = lemma_d_1.counterexample(100.0, 1e-8, np.array([1.5, 100.0, 1e4]))
    assert found["counterexample_rate_ratio"].value < 1 < found["counterexample_rate_ratio_printed"].value
    m2, c = 212.0, 1e4
    # by hand, and with the upper bounds of all saddles: beta <= |X| = sqrt(2), in a ball of radius 0.1
    mu1 = 2 + 0.1 * 2 * math.sqrt(2)
    bound = math.sqrt(2) * (2 * (100 + mu1 + math.sqrt(2)) + mu1)
    printed, judged = (found[f"counterexample_rate_ratio{name}"].value for name in ("_printed", ""))
    assert printed * m2 == pytest.approx(judged * 2 * bound, rel=0.02)
    assert 0.6 < judged < 0.7
    assert found["printed_56_ratio_max"].value == pytest.approx(math.exp(400 * math.log(c) / m2) / (2 * c), rel=1e-3)
    assert found["printed_18_ratio_max"].value == pytest.approx(2 * found["printed_56_ratio_max"].value)
    assert found["printed_18_ratio_start"].value == pytest.approx(2 / 1.5)
    assert all(found[name].error < 1e-6 * found[name].value for name in ("printed_56_ratio_max", "counterexample_rate_ratio"))
