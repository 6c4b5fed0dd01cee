"""The explicit delta against plain arithmetic, and Gronwall's bound on deviations that are made up."""

import dataclasses
import math

import numpy as np
import pytest

from flowcheck.measures.refinement import Refined
from flowcheck.networks.zoo import deep_linear
from flowcheck.papers.deep_homogeneous import bounds
from flowcheck.papers.deep_homogeneous.equation_45 import Constants, gronwall_log_excess, nearly_sharp


def test_the_explicit_scale_is_the_minimum_of_both_terms():
    # Eq. (45) in plain arithmetic, at a setting where nothing leaves float64
    epsilon, time, radius, degree, alpha, lipschitz, size = 0.1, 0.2, 1.6, 3.0, 2.0, 1.5, 0.7
    change = 5.0
    second = epsilon / (4 * alpha * radius**2 * change * time * math.exp(2 * time * lipschitz * size))
    expected = min(radius**-3, second) ** (1 / 3)
    found = bounds.log_delta_bar(epsilon, time, radius, degree, alpha, lipschitz, size, math.log(change))
    assert math.exp(float(found)) == pytest.approx(expected, rel=1e-12)


def test_the_constants_of_a_cubed_unit_are_those_of_the_closed_form(cubic):
    study = cubic.study()
    found, size = Constants.of(study), math.sqrt(1.25)
    np.testing.assert_allclose(found.label_norm, size)
    for e, epsilon in enumerate(study.epsilons):
        time = float(study.times[0, e])
        radius = np.linalg.norm(cubic.u(time)) + epsilon
        assert found.radius[0, e] == pytest.approx(radius, rel=1e-5)
        # outputs w_i^3 and their derivatives on the inputs e_1, e_2: beta = 1, alpha = 3, Lipschitz constant 6 of each, with the
        # norm of both inputs as the network bounds it
        alpha, beta, lipschitz = 3 * math.sqrt(2), math.sqrt(2), 6 * math.sqrt(2) * radius
        change = max(beta * radius**3, size**2 * math.exp(size * beta) * beta * radius**3)
        second = epsilon / (4 * alpha * radius**2 * change * time * math.exp(2 * time * lipschitz * size))
        assert math.exp(found.log_delta_bar[0, e]) == pytest.approx(min(radius**-3, second) ** (1 / 3), rel=1e-3)
        at = [bounds.log_gronwall_bound(epsilon, t, radius, 3, alpha, lipschitz, size, 0.0, 0.0) for t in (time, time + 1e-5)]
        assert found.log_gronwall_rate[0, e] == pytest.approx((at[1] - at[0]) / 1e-5, rel=1e-3)
    assert found.usable.all()
    np.testing.assert_allclose(found.delta_bar(0.5), np.exp(found.log_delta_bar))


def test_a_network_without_closed_bounds_has_no_explicit_scale(cubic):
    study = cubic.study()
    layered = Constants.of(dataclasses.replace(study, network=deep_linear((1,), 2)))
    assert not layered.usable.any()
    assert (layered.delta_bar(0.5) == 0.5).all()


def test_the_excess_is_that_of_resolved_deviations_over_the_bound(made_up):
    constants = Constants(
        3.0, np.ones((1, 2)), np.ones((1, 1)), 1.0, np.zeros((1, 2)), np.log(np.full((1, 2), 4.0)), np.full((1, 2), 7.0)
    )
    deltas = np.array([[1.0, 0.1]])
    deviation = np.array([[[0.02, 0.02], [1e-3, 1e-9]]])
    error = np.array([[[0.0, 0.0], [1e-8, 1e-8]]])
    sweep = dataclasses.replace(made_up(deviation, deltas=deltas), deviation=Refined(deviation, error))
    found = gronwall_log_excess([(constants, sweep)])
    # |s - u|^2 over 4 delta^3: 1e-6 / 4e-3 at the second delta; the last deviation is not resolved
    assert found.value == pytest.approx(math.log(1e-6 / 4e-3))
    assert found.n == 3
    assert found.error == pytest.approx(2e-5)
    later = dataclasses.replace(sweep, moment=Refined(np.full((1, 2, 2), 1.01), np.full((1, 2, 2), 1e-3)))
    assert gronwall_log_excess([(constants, later)]).error == pytest.approx(2e-5 + 7 * 0.011)


def test_one_unit_on_one_input_comes_near_what_the_explicit_scale_allows():
    ((constants, compared),) = nearly_sharp([3], [0.01], 1e-9)
    # alpha = 3, beta = 1 and K = 6 B are those of (w . x)^3, and y is so small that C is B^3
    radius, time, delta = constants.radius[0, 0], compared.time[0, 0], compared.deltas[0, 0]
    assert delta**3 == pytest.approx(0.01 / (12 * radius**5 * time * math.exp(2 * time * 6 * radius * 0.5)), rel=1e-9)
    assert 0.1 < compared.deviation.value[0, 0, 0] / 0.01 < 0.25  # a half of a half at most
    # the flow hardly turns, so that |s - u| is the growth of a deviation along one axis
    assert -4.6 < gronwall_log_excess([(constants, compared)]).value < 0
