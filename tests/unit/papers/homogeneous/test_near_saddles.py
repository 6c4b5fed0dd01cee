"""Saddles as both papers presuppose them, and the KKT point of the residual's NCF, where both are known in closed form."""

import dataclasses
import math

import mpmath
import numpy as np
import pytest

from flowcheck.errors import HypothesisError
from flowcheck.networks.zoo import power_net, two_layer
from flowcheck.papers.homogeneous import near_saddles
from flowcheck.saddles import departure
from flowcheck.saddles.departure import Start
from flowcheck.saddles.saddle import Saddle, by_newton
from flowcheck.saddles.units import Units

EPSILONS = np.array([0.1, 0.03])


def cubes(inputs):
    return Units.of(power_net(1, 2, 3), np.array(inputs))


def corner(label=2.0):
    """The fitted unit has the first input, the idle one meets the label of the second; on the third there is nothing to gain."""
    inputs = [[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]]
    return Saddle(cubes(inputs), cubes(inputs), np.array([1.0, 0.0]), np.array([0.0, label, 0.0]))


def newton_saddle():
    def draw(rng):
        x = rng.standard_normal((30, 3))
        y = Units.of(power_net(3, 3, 3, signs=(1, 1, -1)), x).outputs(rng.standard_normal(9))
        return Units.of(power_net(1, 3, 3), x), Units.of(power_net(3, 3, 3), x), y

    return by_newton(draw, np.random.default_rng(0))


def test_a_saddle_meets_what_is_presupposed_and_a_point_beside_it_does_not():
    saddle = corner()
    found = near_saddles.presupposed([saddle, corner(3.0)], [1e-2, 1e-5])
    assert found["scale_min"].value == 1e-5
    assert found["stationarity"].value == 0.0
    assert found["degree_defect"].value < found["degree_defect"].error * 10
    assert {found[name].n for name in ("degree_defect", "stationarity", "signal")} == {2}
    with pytest.raises(HypothesisError, match="not a stationary point"):
        near_saddles.presupposed([dataclasses.replace(newton_saddle(), weights=np.ones(3))], [1e-2])
    with pytest.raises(HypothesisError, match="delta"):
        near_saddles.presupposed([saddle], [0.0])


def test_the_gradient_at_rest_differs_from_the_exact_one_by_no_more_than_its_rounding():
    saddle = newton_saddle()
    with mpmath.workdps(50):
        exact = [mpmath.mpf(0)] * 3
        for x, r in zip(saddle.fitted.x, saddle.residual, strict=True):
            inner = sum(mpmath.mpf(float(a)) * mpmath.mpf(float(b)) for a, b in zip(x, saddle.weights, strict=True))
            if inner > 0:
                exact = [g + mpmath.mpf(float(r)) * 3 * inner**2 * mpmath.mpf(float(a)) for g, a in zip(exact, x, strict=True)]
        true = float(mpmath.sqrt(sum(g**2 for g in exact)) / mpmath.norm([mpmath.mpf(float(r)) for r in saddle.residual]))
    assert abs(saddle.stationarity() - true) <= near_saddles.rounding_at_rest(saddle) < 1e-11


def test_at_a_kkt_point_residual_and_value_are_known():
    found = near_saddles.kkt_point(corner(), np.array([0.0, 1.0]))
    assert found["kkt_residual"].value <= found["kkt_residual"].error < 1e-13
    assert found["kkt_value"].value == pytest.approx(2.0, abs=found["kkt_value"].error)
    # beside it the gradient 3 . 2 cos^2 still points along the second axis: the sine is that of the angle
    beside = near_saddles.kkt_point(corner(), np.array([np.sin(0.1), np.cos(0.1)]))
    assert beside["kkt_residual"].value == pytest.approx(np.sin(0.1))


def test_labels_lead_elsewhere_than_the_residual():
    saddle = corner(0.5)  # the label of the first input is 1, more than that of the second
    z = np.array([np.cos(0.7), np.sin(0.7)])
    start = Start(np.array([0.0, 1.0]), z, departure.residual_flow(saddle, z, np.array([0.0, 1.0]), EPSILONS))
    assert near_saddles.labels(saddle) == pytest.approx(np.array([1.0, 0.5, 0.0]))
    assert near_saddles.limit_for_labels(saddle, start, 1e-6) == pytest.approx(np.array([1.0, 0.0]), abs=1e-5)


def test_a_coarser_flow_is_near_and_not_the_same():
    saddle, z = corner(), np.array([0.6, 0.8])
    fine = departure.residual_flow(saddle, z, np.array([0.0, 1.0]), EPSILONS)
    coarse = near_saddles.coarser_flow(saddle, Start(z, z, fine), EPSILONS)
    assert coarse.times == pytest.approx(fine.times, rel=1e-7)
    assert (coarse.times != fine.times).any()
    # u_1 has no gradient and u_2' = 6 u_2^2: the cosine is 1 - epsilon where u_1 = 0.6 is the sine's share of the norm
    second = 0.6 * (1 - EPSILONS) / np.sqrt(1 - (1 - EPSILONS) ** 2)
    assert fine.times == pytest.approx((1 / 0.8 - 1 / second) / 6, rel=1e-9)


def one_neuron_on_two_inputs():
    """N = v (max(0, u_1) - max(0, u_1 + sqrt(3) u_2) / 2): the kink u_1 + sqrt(3) u_2 = 0 attracts where v > 0."""
    inputs = np.array([[1.0, 0.0], [0.5, math.sqrt(3.0) / 2]])
    trained = Units.of(two_layer(1, 2), inputs)
    return Saddle(trained, trained, np.zeros(3), np.array([1.0, -1.0]))


def test_a_limit_on_a_kink_is_judged_by_the_subdifferential_and_not_by_one_gradient():
    saddle, half = one_neuron_on_two_inputs(), math.sqrt(0.5)
    limit = half * np.array([math.sqrt(3.0) / 2, -0.5, 1.0])
    found = near_saddles.kkt_point(saddle, limit)
    assert found["kkt_residual"].value <= found["kkt_residual"].error < 1e-12
    assert found["kkt_value"].value == pytest.approx(math.sqrt(3.0) / 4)
    # beside the kink and on no other one gradient is all there is
    beside = half * np.array([math.cos(-0.4), math.sin(-0.4), 1.0])
    assert near_saddles.kkt_point(saddle, beside)["kkt_residual"].value > 0.1
