"""Descent of the population loss."""

import math

import numpy as np
import pytest

from flowcheck.papers.spherical_data import descent, population

CIRCLE = population.law("circle")


def test_a_step_is_a_step_along_the_gradient_of_equation_2():
    v, w, eta = np.array([0.0, 1.0]), np.array([0.7, -1.1]), 3.0
    after = w - eta * population.law_gradient(CIRCLE, w, v)
    start = np.array([np.hypot(*w)]), np.array([np.arctan2(w[0], w[1])])
    path = descent.population_descent(CIRCLE, *start, np.array([[eta]]))
    assert (path.across[0, 1], path.along[0, 1]) == pytest.approx(tuple(after), abs=1e-13)


def test_a_start_at_zero_moves_along_v():
    path = descent.population_descent(CIRCLE, np.zeros(1), np.zeros(1), np.array([[2.0]]))
    assert (path.along[0, 1], path.across[0, 1]) == (pytest.approx(2.0 / math.pi), 0.0)


@pytest.mark.parametrize("eta", [0.0, -1.0])
def test_steps_that_are_not_positive_are_refused(eta):
    with pytest.raises(ValueError, match="positive"):
        descent.population_descent(CIRCLE, np.ones(1), np.ones(1), np.array([[1.0, eta]]))


def in_extended_precision(path):
    """1 - cos θ of the same runs with 64 binary digits; the quadrature is the same."""
    law, precise = path.law, np.longdouble
    nodes, weight = law.coordinate_nodes.astype(precise), law.coordinate_weights.astype(precise)
    along, across, gap = path.along[:, 0].astype(precise), path.across[:, 0].astype(precise), []
    for steps in path.step_sizes.T.astype(precise):
        r = np.hypot(along, across)
        kappa = (np.tanh(np.multiply.outer(r, nodes) / 2) * nodes * weight).sum(axis=1) / 2
        shrink = 1 - steps * kappa / r
        along, across = shrink * along + steps * precise(law.c0) / precise(math.pi), shrink * across
        gap.append(2 * np.sin(np.arctan2(np.abs(across), along) / 2) ** 2)
    return np.stack(gap, axis=1)


@pytest.mark.skipif(np.finfo(np.longdouble).eps >= np.finfo(float).eps, reason="this machine has no extended precision")
@pytest.mark.parametrize("name", ["circle", "sphere_10"])
def test_rounding_of_a_run_stays_below_what_is_declared(name):
    starts = np.array([(1.0, 2.4981), (0.5, 1.0), (3.0, 0.3), (5.0, 3.0)])
    eta = np.repeat([0.01, 1.0, 5.0, 20.0], 4)[:, None] * np.ones(300)
    path = descent.population_descent(population.law(name), *np.tile(starts, (4, 1)).T, eta)
    exact, declared = in_extended_precision(path), np.cumsum(path.rounding, axis=1)
    seen = exact > 1e-280
    error = (np.abs(path.one_minus_cos[:, 1:] - exact)[seen] / exact[seen]).astype(float)
    assert np.all(error <= declared[seen])
    assert error.max() > 0.01 * declared[seen].max()


def test_a_step_that_nearly_annihilates_the_part_across_rounds_more():
    eta = 1.0 / CIRCLE.kappa(1.0) * (1.0 - 1e-6)  # leaves a millionth of it
    path = descent.population_descent(CIRCLE, np.ones(1), np.ones(1), np.array([[eta, 0.1]]))
    assert path.across[0, 1] == pytest.approx(1e-6 * math.sin(1.0), rel=1e-6)
    assert path.rounding[0] == pytest.approx(descent.STEP_ROUNDING * np.array([1e6, 1.0]), rel=0.1)


def test_progress_is_the_component_of_the_gradient():
    path = descent.population_descent(CIRCLE, np.array([2.0, 1.0]), np.array([0.4, 2.5]), np.array([[0.1, 5.0], [0.3, 2.0]]))
    per_step = CIRCLE.c0 / math.pi - CIRCLE.kappa(path.norm[:, :-1]) * path.cosine[:, :-1]
    least, rounding = path.least_progress()
    assert least == pytest.approx(per_step.min(axis=1), abs=1e-14)
    assert np.all((np.abs(least - per_step.min(axis=1)) <= rounding) & (rounding < 1e-12))
