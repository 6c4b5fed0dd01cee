"""Lemma 4 along runs of descent."""

import math
from dataclasses import replace

import numpy as np
import pytest

from flowcheck.papers.spherical_data import lemma_4, population
from flowcheck.papers.spherical_data.descent import population_descent

CIRCLE = population.law("circle")


def smallest_excess(path, run, until):
    """Eq. (9) step by step."""
    eta, norm0, cos0 = path.step_sizes[run], path.norm[run, 0], path.cosine[run, 0]
    total, found = 0.0, []
    for n in range(1, until + 1):
        total += eta[n - 1] / math.sqrt(norm0**2 / path.law.c0**2 + sum(eta[:n] ** 2))
        reached = math.log((1 - cos0) / (1 - path.cosine[run, n]))
        found.append(reached / ((1 + cos0) / math.pi * total) - 1)
    return min(found)


def test_excess_is_taken_until_the_half_space_is_reached():
    eta = np.array([[0.5, 1.0] * 20, [0.5, 1.0] * 20])
    path = population_descent(CIRCLE, np.array([1.0, 20.0]), np.array([2.4981, 3.0]), eta)
    entry = int(np.argmax(path.cosine[0] >= 0))
    assert 1 < entry < 20
    assert np.all(path.cosine[1] < 0)  # never reached: to the last step
    found = lemma_4.against_bound(path)
    assert found.value == pytest.approx([smallest_excess(path, 0, entry), smallest_excess(path, 1, 40)], rel=1e-9)
    assert list(found.steps) == [entry, 40]
    assert np.all(found.value > 0)


def test_a_start_in_the_half_space_is_no_case_of_the_lemma():
    found = lemma_4.against_bound(population_descent(CIRCLE, np.ones(1), np.ones(1), np.ones((1, 5))))
    assert np.isnan(found.value).all()


def test_a_run_that_does_not_turn_breaks_the_bound():
    path = population_descent(CIRCLE, np.ones(1), np.array([2.4981]), np.full((1, 5), 0.1))
    still = replace(path, along=np.repeat(path.along[:, :1], 6, axis=1), across=np.repeat(path.across[:, :1], 6, axis=1))
    assert lemma_4.against_bound(still).value == pytest.approx([-1.0])
