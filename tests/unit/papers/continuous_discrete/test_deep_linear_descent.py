"""Descent of deep linear networks in three numbers, the proofs of Theorems 15 and 32, and nearly balanced starts."""

import numpy as np
import pytest

from flowcheck.networks.linear import balanced_weights, balancedness_defect, end_to_end, layer_gradients
from flowcheck.papers.continuous_discrete import deep_linear_bounds as bounds
from flowcheck.papers.continuous_discrete import descent_proofs, reduced_descent, theorem_15, unbalanced
from flowcheck.papers.continuous_discrete.reparameterised_flow import ReparameterisedFlow


def one(*values):
    return tuple(np.array([float(value)]) for value in values)


@pytest.mark.parametrize("depth", [2, 3, 5])
def test_three_numbers_are_the_descent_of_all_weights(depth):
    rng, eta, nu, norm = np.random.default_rng(depth), 0.05, -0.4, 0.15
    target = np.array([0.0, 1.0, 0.0])
    w0 = norm * np.array([np.sqrt(1 - nu**2), nu, 0.0])
    layers = balanced_weights(w0, [3] * (depth - 1), rng)
    reduced = reduced_descent.ReducedDescent.of(*one(depth, nu, norm, eta))
    for _ in range(150):
        gradients = layer_gradients(layers, end_to_end(layers) - target)
        layers = [layer - eta * gradient for layer, gradient in zip(layers, gradients, strict=True)]
        reduced.step()
    loss = ((end_to_end(layers) - target) ** 2).sum() / 2
    assert reduced.loss[0] == pytest.approx(loss, rel=1e-10)
    assert reduced.scale[0] == pytest.approx(np.linalg.norm(layers[-1]), rel=1e-12)


def test_descent_is_first_order_in_the_step_and_far_from_a_wrong_clock():
    flow = ReparameterisedFlow(*one(3, 0.0, 0.2), 20.0)
    far = [reduced_descent.deviation(flow, 0, eta, 2.78, 20).max() for eta in (0.1, 0.01)]
    assert far[0] == pytest.approx(0.0291, abs=2e-4)
    assert far[0] / far[1] == pytest.approx(10, rel=0.02)


def test_a_step_that_diverges_is_refused():
    with pytest.raises(ValueError, match="diverges"):
        reduced_descent.first_within(reduced_descent.ReducedDescent.of(*one(2, 0.5, 0.2, 3.0)), 1e-3, 1000)


def test_first_within_counts_each_descent_on_its_own():
    both = reduced_descent.ReducedDescent.of(np.full(2, 3.0), np.array([0.9, -0.5]), np.full(2, 0.2), np.array([0.1, 0.1]))
    together, _ = reduced_descent.first_within(both, 0.01, 1000)
    alone = [
        reduced_descent.first_within(reduced_descent.ReducedDescent.of(*one(3, nu, 0.2, 0.1)), 0.01, 1000)[0][0]
        for nu in (0.9, -0.5)
    ]
    assert together.tolist() == alone


def test_the_printed_step_size_worked_out_by_hand():
    found = np.exp(bounds.log_step(*one(2, 0.0, 0.1, 1.0)))[0]
    assert found == pytest.approx(0.1**5 / (2**8.5 * np.exp(20)) / np.log(300) ** 2)
    unbalance = np.exp(bounds.log_unbalancedness(*one(2, 0.0, 0.1, 1.0)))[0]
    assert unbalance == pytest.approx(0.1**8 / (2**15 * np.exp(30) * 3**13) / np.log(23 * 2 * 3 / 0.1) ** 2)


def test_every_line_of_both_proofs_holds_and_a_larger_constant_breaks_it():
    found = descent_proofs.proofs(6, 5)
    for name in ("radius", "loss", "equation78", "line_one", "line_two", "line_three", "line_four", "equation7"):
        assert found[f"theorem15_{name}_min"].value > -1e-9, name
    for name in ("radius", "loss", "offset", "equation7", "iterations"):
        assert found[f"theorem32_{name}_min"].value > 0, name
    assert found["theorem32_iterations_twenty_two_min"].value < 0
    assert found["theorem32_offset_more_unbalanced_min"].value < 0


def test_descents_keep_the_promise_of_the_printed_iterate():
    found, table = theorem_15.conclusion([2, 3], [0.5, -0.5], [0.2], [0.1, 0.05], 0.1, 3000)
    assert found["theorem15_broken_promises"].value == 0
    assert found["theorem15_iterates_slack_min"].value > 0
    assert found["theorem15_antiparallel_loss"].value == pytest.approx(0.5, abs=1e-6)
    assert len(table["nu"]) == 8


def test_theorem_3_for_a_single_network_admits_what_was_worked_out_before():
    found = theorem_15.instances([2, 3], [0.0], 0.2, 0.1, [0.1, 0.01])
    np.testing.assert_allclose(found["instance_admitted"], [4.42e-6, 5.76e-7], rtol=0.02)
    assert found["instance_looseness_min"].value > 1000


def test_the_balanced_setting_nearby_is_balanced_and_near():
    rng = np.random.default_rng(8)
    weights = unbalanced.near_balance(rng, 4, 3, 1, 1e-3)
    balanced = unbalanced.balanced_near(weights)
    assert balancedness_defect(balanced) < 1e-14
    distance = np.sqrt(sum(((a - b) ** 2).sum() for a, b in zip(weights, balanced, strict=True)))
    assert distance <= 4**1.5 * np.sqrt(unbalanced.unbalancedness(weights))
    assert unbalanced.balanced_near(balanced)[0] == pytest.approx(balanced[0], abs=1e-9)


def test_lemmas_31_33_and_88_and_their_controls():
    rng = np.random.default_rng(1)
    found = unbalanced.lemma_31(rng, 100) | unbalanced.lemma_33(rng, 100) | unbalanced.lemma_88(rng, 2)
    assert found["lemma31_ratio_max"].value < 1 < found["lemma31_ratio_linear_max"].value
    assert 0.9 < found["lemma33_ratio_max"].value <= 1 + 1e-9 < found["lemma33_ratio_without_gap_max"].value
    assert found["lemma88_equation88_min"].value > 0 > found["lemma88_equation88_wide_min"].value


def test_noise_delays_nothing_and_moves_descent_in_proportion():
    found = unbalanced.theorem_32(np.random.default_rng(2), [2], [0.5], 0.1, [1e-5, 1e-4, 1e-3], 0.1, 0.1)
    assert found["theorem32_slack_min"].value > 0
    assert found["theorem32_noise_exponent"].value == pytest.approx(1, abs=0.02)
