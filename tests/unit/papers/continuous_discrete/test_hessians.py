"""Formulas for Hessians, their bounds and constructions, each against autograd."""

import numpy as np
import pytest
import torch

from flowcheck.curvature.dense import hessian_at, smallest_eigenvalue_at
from flowcheck.networks.tied import TiedNetwork
from flowcheck.papers.continuous_discrete import curvature_bounds, hessians, proposition_26, unbounded_below


@pytest.fixture
def rng():
    return np.random.default_rng(11)


@pytest.mark.parametrize("conv", [False, True], ids=["dense", "convolutional"])
@pytest.mark.parametrize("activation", sorted(hessians.SLOPES))
def test_the_formula_is_the_hessian(rng, conv, activation):
    for problem in hessians.problems(rng, (2, 3), 1, conv, (activation,)):
        w, along = (torch.as_tensor(rng.standard_normal(problem.network.size)) for _ in range(2))
        form = along @ hessian_at(problem.at, w) @ along
        torch.testing.assert_close(problem.second_derivative(w, along), form, rtol=1e-9, atol=1e-12)


def test_the_bound_of_two_linear_layers_is_met_and_half_of_it_is_not_enough(rng):
    problem = hessians.random_problem(rng, TiedNetwork.fully_connected([2, 2, 1], 1.0, 1.0), "square")
    starts = curvature_bounds.drawn(rng, problem, 3, (1.0,))
    assert 0.9 < curvature_bounds.largest_ratios(problem, curvature_bounds.lemma_7, starts).max() <= 1 + 1e-9


def test_rows_that_share_weights_need_the_operator_norm(rng):
    problem = hessians.random_problem(rng, hessians.shared_rows(1.0, 1.0), "square")
    starts = curvature_bounds.drawn(rng, problem, 2, (1.0,))
    assert curvature_bounds.largest_ratios(problem, curvature_bounds.lemma_23, starts).max() <= 1 + 1e-9
    untied = curvature_bounds.largest_ratios(problem, lambda p, w: curvature_bounds.lemma_23(p, w, operator_norms=False), starts)
    assert untied.max() > 1.1


def test_the_construction_of_proposition_6_has_the_quotient_minus_c(rng):
    problem = hessians.random_problem(rng, TiedNetwork.fully_connected([3, 2, 2, 2], 1.0, 1.0), "cross_entropy")
    point, along = unbounded_below.proposition_6(rng, problem, 50.0)
    assert unbounded_below.quotient(problem, point, along) == pytest.approx(-50.0, rel=1e-10)
    assert float(smallest_eigenvalue_at(problem.at, point)) <= -50.0 * (1 - 1e-9)


def test_the_numerator_of_proposition_10_is_its_formula_and_grows_with_a(rng):
    problem = hessians.random_problem(rng, TiedNetwork.fully_connected([3, 3, 3, 1], 1.0, 0.2), "logistic")
    w = unbounded_below.with_negative_pull(problem, torch.as_tensor(rng.standard_normal(problem.network.size)))
    for a in (2.0, 50.0):
        point, along = unbounded_below.proposition_10(problem, w, a)
        numerator = unbounded_below.quotient(problem, point, along) * float(along @ along)
        assert numerator == pytest.approx(sum(unbounded_below.equation_56(problem, w, a)), rel=1e-9)
    assert unbounded_below.pull_at_zero(problem, w) < 0


def test_around_a_point_the_slopes_are_fixed_and_across_a_kink_they_are_not(rng):
    problem = hessians.random_problem(rng, TiedNetwork.fully_connected([3, 4, 2, 1], 1.0, 0.2), "square")
    w = torch.as_tensor(rng.standard_normal(problem.network.size))
    found = proposition_26.gaps(rng, problem, w)
    assert max(found["here"], found["rescaled"], found["inside"]) < 1e-12
    assert proposition_26.radius(problem, w) > 0
    assert proposition_26.on_a_kink(problem, w) > 0


def test_only_two_layers_are_strict_at_the_origin():
    found = hessians.origin((2, 3))
    assert found[2] == pytest.approx(-np.sqrt(0.5))
    assert found[3] == 0
