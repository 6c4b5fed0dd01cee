"""Theorem 2 along runs of descent."""

import math
from dataclasses import replace

import numpy as np
import pytest

from flowcheck.papers.spherical_data import bounds, population, theorem_2
from flowcheck.papers.spherical_data.descent import population_descent

CIRCLE = population.law("circle")
RADIUS = 2.0 * (1 + 1 / math.pi)  # largest step 2, c0 = 1
PATH = population_descent(CIRCLE, np.array([1.0, 3.0, 50.0]), np.array([2.4981, 0.3, 3.1]), np.tile([2.0, 0.5], (3, 30)))


def test_landmarks_are_the_first_steps_of_their_kind():
    n0, n1 = theorem_2.half_space_entry(PATH), theorem_2.radius_entry(PATH)
    for run in (0, 1):
        assert n0[run] == next(n for n in range(61) if PATH.cosine[run, n] >= 0)
        assert n1[run] == next(n for n in range(61) if PATH.along[run, n] >= RADIUS)
    assert (math.isnan(n0[2]), n1[2]) == (True, -1)  # far out and almost opposite to v: too few steps


def test_excess_is_taken_from_n1_on():
    found, n1 = theorem_2.against_bound(PATH), theorem_2.radius_entry(PATH)[0]
    eta, norm, cosine = PATH.step_sizes[0, n1:], PATH.norm[0, n1], PATH.cosine[0, n1]
    exponent = (1 + cosine) / (2 * math.pi) * np.cumsum(eta / np.sqrt(norm**2 + np.cumsum(eta**2 + 0.6 * eta)))
    reached = np.log((1 - cosine) / (1 - PATH.cosine[0, n1 + 1 :]))
    assert found.value[0] == pytest.approx((reached / exponent - 1).min(), rel=1e-6)
    assert found.steps[0] == 60 - n1
    assert np.isnan(found.value[2])


def test_bound_is_drawn_from_n1_on_and_lies_above_the_run():
    n1, curve = theorem_2.radius_entry(PATH)[0], theorem_2.bound(PATH, 0)
    assert np.isnan(curve[:n1]).all()
    assert curve[n1] == PATH.one_minus_cos[0, n1]
    assert np.all(curve[n1 + 1 :] > PATH.one_minus_cos[0, n1 + 1 :])
    assert np.isnan(theorem_2.bound(PATH, 2)).all()


def short_step():
    return population_descent(CIRCLE, *(np.array([size]) for size in theorem_2.SHARP_START), theorem_2.SHARP_STEP[None])


@pytest.mark.parametrize("factor", [1.9, 1.1, 1 / 1.1])
def test_a_rate_that_is_wrong_by_any_factor_is_seen_in_one_short_step(monkeypatch, factor):
    right = bounds.lemma5_rate
    assert theorem_2.sharp_gap(short_step()).value < 1e-3
    monkeypatch.setattr(bounds, "lemma5_rate", lambda cosine, delta: factor * right(cosine, delta))
    assert theorem_2.sharp_gap(short_step()).value > 0.1


def test_a_run_that_does_not_turn_breaks_the_bound():
    along = np.repeat(PATH.along[1:2, :1], 61, axis=1)
    still = replace(PATH, step_sizes=PATH.step_sizes[1:2], along=along, across=np.repeat(PATH.across[1:2, :1], 61, axis=1))
    assert theorem_2.against_bound(still).value == pytest.approx([-1.0])
