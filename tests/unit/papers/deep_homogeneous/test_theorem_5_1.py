"""Theorem 5.1 of deep_homogeneous: which epsilons it speaks of, and the norm of flows to the origin."""

import numpy as np
import pytest

from flowcheck.flows.ending import Ending
from flowcheck.measures.refinement import Refined
from flowcheck.papers.deep_homogeneous.theorem_5_1 import collapse, dichotomy


def test_epsilons_are_those_below_half_of_eta(made_up):
    branch = np.array([Ending.GROWS, Ending.GROWS, Ending.VANISHES])
    found = dichotomy(made_up(np.full((3, 1, 2), 0.01), branch=branch, norm_floor=np.array([0.15, 5.0, 0.0])))
    assert found.valid[:, 0].tolist() == [[False, True], [True, True], [True, True]]


def test_either_alternative_will_do_and_neither_will_not(made_up):
    # eta = 1, epsilon = 0.03: 1 - cos up to 0.12 at a norm from 0.5 on, or a norm up to 0.06
    def margin(norm, apart):
        return dichotomy(made_up(np.full((1, 1, 2), 0.01), norm=norm, apart=apart)).margin.value[0, 0, 1]

    assert margin(0.7, 0.05) == pytest.approx(0.07)
    assert margin(0.7, 0.2) == pytest.approx(-0.08)
    assert margin(0.02, 0.5) == pytest.approx(0.04)
    assert margin(0.3, 0.0) == pytest.approx(-0.2)


def test_a_norm_that_does_not_exceed_its_start_is_within_its_bound_and_not_within_the_printed_one(made_up):
    excess = Refined(np.array([[[0.0, 0.01], [0.0, 0.0]]]), np.full((1, 2, 2), 1e-5))
    found = collapse(made_up(np.full((1, 2, 2), 0.01), excess=excess))
    assert found["collapse_norm_ratio_max"].value == pytest.approx(1.01 / 1.03)
    assert found["collapse_norm_ratio_printed_max"].value == pytest.approx(1.01 / 0.06)
    assert found["collapse_norm_ratio_max"].n == 4
    assert found["collapse_norm_ratio_max"].error == pytest.approx(1e-5 / 1.03)
    assert found["collapse_norm_ratio_printed_max"].error == pytest.approx(1e-5 / 0.06)
