"""Eq. (14) at weights that satisfy the right condition, none, and the printed one."""

import numpy as np
import pytest

from flowcheck.networks import linear
from flowcheck.papers.spherical_data import equation_14
from flowcheck.papers.spherical_data.population import law

SPHERE = law("sphere_3")
V = np.eye(3)[-1]


@pytest.fixture(params=[2, 3, 5])
def drawn(request):
    return equation_14.draw(np.random.default_rng(request.param), 3, request.param)


def test_drawn_weights_satisfy_what_they_are_named_after(drawn):
    assert linear.balancedness_defect(drawn.balanced) < 1e-14
    assert linear.balancedness_defect(drawn.unbalanced) > 0.1
    assert linear.end_to_end(drawn.unbalanced) == pytest.approx(linear.end_to_end(drawn.balanced))
    assert equation_14.printed_defect(drawn.printed) < equation_14.GRAM
    assert linear.balancedness_defect(drawn.printed) > 0.1
    # square but for the last, which is a row
    assert [layer.shape for layer in drawn.printed[:-1]] == [(3, 3)] * (len(drawn.printed) - 1)
    assert drawn.printed[-1].shape == (1, 3)


def test_the_equation_holds_for_balanced_weights_alone(drawn):
    assert equation_14.residual(SPHERE, drawn.balanced, V) < equation_14.ROUNDING
    assert equation_14.residual(SPHERE, drawn.unbalanced, V) > 1e-2
    assert equation_14.residual(SPHERE, drawn.printed, V) > 1e-2


def test_the_residual_is_that_of_a_step_of_descent():
    weights = equation_14.draw(np.random.default_rng(0), 3, 3).unbalanced
    gradient, step = SPHERE.gradient(linear.end_to_end(weights), V), 1e-6
    moved = [
        [layer + sign * step * g for layer, g in zip(weights, linear.layer_gradients(weights, gradient), strict=True)]
        for sign in (-1, 1)
    ]
    rate = (linear.end_to_end(moved[0]) - linear.end_to_end(moved[1])) / (2 * step)
    predicted = linear.end_to_end_rate(linear.end_to_end(weights), gradient, 3)
    expected = np.linalg.norm(rate - predicted) / np.linalg.norm(predicted)
    assert equation_14.residual(SPHERE, weights, V) == pytest.approx(expected, rel=1e-6)


def test_one_number_a_law_the_worst_of_all_depths():
    rng = np.random.default_rng(1)
    several = [equation_14.draw(rng, 3, depth) for depth in (2, 4)]
    found = equation_14.measure(SPHERE, several)
    assert found["equation14_residual_unbalanced"].value == min(
        equation_14.residual(SPHERE, each.unbalanced, V) for each in several
    )
    assert found["equation14_residual_printed13"].value == min(equation_14.residual(SPHERE, each.printed, V) for each in several)
    assert found["printed13_defect_max"].value == max(equation_14.printed_defect(each.printed) for each in several)
    assert {number.n for number in found.values()} == {1}
