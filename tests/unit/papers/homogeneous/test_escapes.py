"""Escapes: of a quadratic in closed form, and counts of some that are made up."""

import numpy as np
import pytest
import torch

from flowcheck.alignment.study import Escapes
from flowcheck.measures.refinement import Refined
from flowcheck.papers.homogeneous import escapes

DELTAS = [1e-2, 1e-4, 1e-6]


def made_up(evaluations, time=1.0):
    count = torch.tensor(evaluations)
    some = torch.full(count.shape, time, dtype=torch.float64)
    return Escapes(torch.arange(len(count)), some, some, some, count)


def test_the_escape_of_a_quadratic_is_where_its_loss_has_fallen_by_a_hundredth(quadratic):
    study = quadratic.study()
    found = escapes.times(study.escapes([1e-3]))
    s = quadratic.s(found.value[0, 0], 1e-3) * 1e-3
    labels = np.array([1.0, 0.5])
    ratio = ((labels - s**2) ** 2).sum() / ((labels - (1e-3 * quadratic.u(0.0)) ** 2) ** 2).sum()
    assert ratio == pytest.approx(0.99, abs=1e-8)
    assert found.error[0, 0] < 1e-6


def test_the_growth_of_the_cost_is_the_largest_quotient():
    found = escapes.evaluations_growth([made_up([[100, 150, 120]]), made_up([[100, 90, 200], [50, 1, 60]])], DELTAS)
    assert (found.value, found.n) == (2.0, 3)


def test_an_escape_that_is_missing_is_counted():
    found = escapes.missing([made_up([[1, 1, 1]]), made_up([[1, 1, 1]], time=np.nan)])
    assert (found.value, found.n) == (3, 6)


def test_the_growth_of_time_has_the_errors_of_both_times():
    time = Refined(np.array([[1.0, 2.0, 3.0]]), np.array([[0.01, 0.5, 0.06]]))
    found = escapes.time_growth(time, DELTAS)
    assert found.value[0] == 3.0
    assert found.error[0] == pytest.approx(3 * (0.01 + 0.02))
