"""Theorem 5.1 of two_homogeneous: eta, the epsilons it speaks of, the explicit delta, a start that branches."""

import dataclasses
import math

import numpy as np
import pytest
import torch

from flowcheck.alignment.shadow import Cases
from flowcheck.flows.ending import Ending
from flowcheck.losses import HALF_SUM, LOGISTIC
from flowcheck.networks.network import Network
from flowcheck.papers.two_homogeneous import bounds
from flowcheck.papers.two_homogeneous.theorem_5_1 import Constants, branching, compare, dichotomy, eta, largest_epsilon, usable


def test_the_cosine_bound_is_empty_exactly_at_the_largest_epsilon():
    own = np.array([0.1, 0.5, 1.0])
    np.testing.assert_allclose(bounds.cosine_bound(own, largest_epsilon(own)), 0.0, atol=1e-15)


def test_eta_is_half_of_the_norm_floor_and_one_where_u_goes_to_the_origin(made_up):
    branch = np.array([Ending.GROWS, Ending.GROWS, Ending.VANISHES])
    compared = made_up(np.full((3, 1, 2), 0.01), branch=branch, norm_floor=np.array([0.1, 5.0, 0.0]))
    assert eta(compared).tolist() == [0.05, 1.0, 1.0]
    # up to 0.1 / 3.1 and 2 / 5
    assert dichotomy(compared).valid[:, 0].tolist() == [[False, True], [True, True], [True, True]]


def test_constants_are_those_of_section_4():
    class Squares(Network):
        name, inputs, size, degree = "squares", 2, 2, 2.0

        def output_bound(self, x):
            return 1.5

    x, y = torch.eye(2, dtype=torch.float64), torch.tensor([[[1.0, -2.0]], [[3.0, 4.0]]], dtype=torch.float64)
    cases = Cases.of((HALF_SUM, LOGISTIC), y, torch.tensor([[0.6, 0.8]], dtype=torch.float64))
    found = Constants.of(Squares(), x, (HALF_SUM, LOGISTIC), cases)
    assert found.beta.tolist() == [1.5, 1.5]
    assert found.beta_hat.tolist() == [1.0, 4.0]  # 1, and a quarter of the largest y^2
    np.testing.assert_allclose(found.beta_tilde, [1.5 + math.sqrt(5), 4 * 1.5 + 2.5])  # with |y|, and with |y| / 2
    with pytest.raises(ValueError, match="no closed bound"):
        Constants.of(type("Boundless", (Squares,), {"output_bound": Network.output_bound})(), x, (HALF_SUM, LOGISTIC), cases)


def test_the_explicit_delta_is_the_largest_that_the_lemma_allows(quadratic):
    study = quadratic.study()
    constants = Constants.of(study.network, study.x, study.losses, study.cases)
    found = constants.log_delta(study)
    np.testing.assert_allclose(2 * found, -4 * constants.beta * constants.beta_tilde * study.times.numpy())
    assert usable(np.array([[-319.0, -321.0]])).tolist() == [[True, False]]
    parts = compare(study, constants, slopes=[0.1], sweep=[0.1, 1e-3], large=3.0)
    np.testing.assert_allclose(parts.own.deltas, np.exp(found))
    assert parts.own.deviation.value.shape == (1, 2, 2)
    # at these deltas s stays near u
    assert (dichotomy(parts.own).diagonal().deviation.value < 1).all()
    assert (dichotomy(parts.sweep).margin.value[0, -1] > 0).all()
    assert (dichotomy(parts.large).margin.value < 0).all()


def test_deltas_in_units_of_the_size_of_u_are_at_most_a_tenth_of_it(quadratic):
    study = quadratic.study(rtol=1e-5)
    constants = Constants.of(study.network, study.x, study.losses, study.cases)
    parts, size = compare(study, constants, slopes=[0.01], sweep=[0.1, 0.5], large=3.0, by_size=True), study.largest_norms[0, -1]
    np.testing.assert_allclose(parts.slopes.deltas, 0.01 / size)
    np.testing.assert_allclose(parts.sweep.deltas, [[0.1 / size, 0.1 / size]])
    np.testing.assert_allclose(parts.large.deltas, 0.1 / size)


def test_a_flow_beyond_half_of_the_digits_is_not_resolved(quadratic):
    study = quadratic.study(rtol=1e-5)
    huge = dataclasses.replace(study, ends=dataclasses.replace(study.ends, steps=study.ends.steps))
    huge.__dict__["largest_norms"] = torch.tensor([[1.0, 1e9]], dtype=torch.float64)
    constants = Constants.of(study.network, study.x, study.losses, study.cases)
    assert compare(huge, constants, slopes=[0.1], sweep=[0.1], large=3.0).sweep.resolved.tolist() == [[True, False]]


def test_a_solution_that_has_waited_is_far_from_the_direction_of_the_others():
    found = branching(0.03)
    assert abs(found["branching_distance"].value - math.sqrt(2 - math.sqrt(2))) <= found["branching_distance"].error < 1e-14
    # eta = 1/2: the norm 1 is large enough, and 1 - cos is 1 - sqrt(1/2) where 0.12 is allowed
    assert abs(found["dichotomy_margin_branching"].value - (0.12 - 1 + math.sqrt(0.5))) <= found["branching_distance"].error
