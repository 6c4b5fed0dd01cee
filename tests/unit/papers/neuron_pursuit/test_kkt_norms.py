"""Norms at KKT points and the decomposition of Lemma 8, each against another way to get it."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from mpmath import mpf

from flowcheck.correlation.ncf import Correlation
from flowcheck.networks.leading_term import LeadingTerm, Partition
from flowcheck.networks.zoo import deep_power
from flowcheck.papers.neuron_pursuit import decomposition, lemma_3, lemma_6, lemma_8, lemma_9, lemma_14
from flowcheck.papers.neuron_pursuit.kkt_table import Kind, error_bound, kinds, norm_gap, positive_points, problem


@pytest.fixture
def rng():
    return np.random.default_rng(7)


def test_the_table_has_every_depth_power_and_leak():
    assert len(set(kinds())) == 36
    assert sum(not kind.is_smooth for kind in kinds()) == 9


def test_norms_of_neurons_are_those_of_rows_and_columns():
    network = deep_power((2, 1), 2)
    w = torch.tensor([[3.0, 4.0, 0.0, 1.0, 5.0, 12.0, 2.0]], dtype=torch.float64)  # W1 2x2, W2 1x2, W3 1x1
    into, out = lemma_3.neuron_norms(network, w)
    assert into.tolist() == [[5.0, 1.0, 13.0]]
    assert out.tolist() == [[5.0, 12.0, 2.0]]
    assert norm_gap(into, out, 2).tolist() == [2 * 144 - 1]


def test_a_point_near_a_kkt_point_misses_by_no_more_than_its_residual_says(rng):
    kind = Kind(3, 2, 0.5)
    network = deep_power((3, 3), 3, kind.power, kind.slope)
    found = positive_points(problem(network, rng, kind), rng, kind, 20, 500)
    moved = found.points + 1e-3 * torch.from_numpy(rng.standard_normal(found.points.shape))
    moved = moved / moved.norm(dim=1, keepdim=True)
    gaps = norm_gap(*lemma_3.neuron_norms(network, moved), kind.power)
    bounds = error_bound(found.correlation.kkt_residual(moved), kind.power)
    assert len(gaps) > 5
    assert bool((gaps <= bounds).all())
    assert float((gaps / bounds).max()) > 0.01


def test_kkt_points_are_balanced_and_random_points_are_not(rng):
    row = lemma_3.row(Kind(3, 2, 1.0), rng, 10, 300)
    assert row["gap"].value < 1e-9 < 1e-2 < row["random"].value
    assert row["wrong"].value > 1e-3


def test_a_network_that_is_inactive_has_any_norms(rng):
    assert lemma_3.dead_gap(rng)["lemma3_gap_zero_value"].value > 1e-2


def test_added_neurons_are_balanced_and_not_connected(rng):
    kind = Kind(3, 3, 0.5)
    row = lemma_9.row(kind, lemma_9.draw(kind, rng), rng, 10, 300)
    assert row["gap"].value < 1e-9
    assert row["between"].value < 1e-9 < row["early"].value
    assert lemma_9.idle_point(rng)["lemma9_between_zero_value"].value == pytest.approx(1.0)


def test_the_leading_term_is_a_sum_over_neurons_and_the_network_is_not(rng):
    found = lemma_9.separability(Kind(3, 2, 0.5), rng, 4)
    assert found["leading"] < 1e-12 < 1e-6 < found["whole"]
    assert found["between"] == 0


def test_second_derivatives_of_the_leading_term_between_neurons_vanish(rng):
    term = lemma_9.one_neuron(Kind(2, 2, 1.0), rng)
    assert (term.size, term.outputs_per_sample) == (6, 3)
    term = lemma_9.draw(Kind(3, 2, 1.0), rng)
    ncf = Correlation(term, torch.randn(4, 3, dtype=torch.float64), torch.randn(4, dtype=torch.float64))
    w = torch.randn(term.size, dtype=torch.float64)
    hessian = torch.autograd.functional.hessian(lambda v: term.forward(v[None], ncf.x)[0] @ ncf.z, w)
    marks = torch.zeros(1, term.partition.network.size, dtype=torch.float64)
    blocks, number = term.partition.blocks(marks), 0
    for into, out in zip(blocks.a, blocks.b, strict=True):
        for j in range(into.shape[1]):
            number += 1
            into[:, j], out[:, :, j] = number, number
    owner = term.partition.split(marks)[1][0]
    assert float(hessian[owner[:, None] != owner[None]].abs().max()) == 0
    assert float(hessian.abs().max()) > 0


@pytest.mark.parametrize("degree", sorted(lemma_6.FUNCTIONS))
def test_flows_from_scaled_starts_are_one_flow(rng, degree):
    case = lemma_6.draw(degree, 1, rng)
    assert lemma_6.gap(case, 0.5)[0] < 1e-6
    assert lemma_6.gap(lemma_6.draw(degree, 1, rng, damping=0.5), 0.5)[0] > 1e-3


def instance_of(term, w, x):
    """The same network and input in numbers with many digits."""
    whole = term.partition.join(term.w_n, w)
    weights = tuple(lemma_8._precise(matrix[0].numpy()) for matrix in term.partition.network.unpack(whole))
    activation = term.partition.activation
    return lemma_8.Instance(weights, lemma_8._precise(x.mT.numpy()), term.partition.kept, int(activation.power), activation.slope)


@pytest.mark.parametrize(("depth", "power", "slope"), [(2, 2, 0.5), (3, 2, 1.0), (3, 4, 0.0), (4, 3, -0.5)])
def test_numbers_with_many_digits_are_those_of_the_network(rng, depth, power, slope):
    partition = Partition(deep_power((4,) * (depth - 1), 2, power, slope), (2,) * (depth - 1))
    term = LeadingTerm(partition, torch.from_numpy(rng.standard_normal(partition.sizes[0])))
    w, x = torch.from_numpy(rng.standard_normal((1, term.size))), torch.from_numpy(rng.standard_normal((3, 2)))
    instance = instance_of(term, w, x)
    leading = instance.leading(instance.weights).astype(float)
    np.testing.assert_allclose(leading, term.forward(w, x).numpy(), rtol=1e-10)
    whole = partition.network.forward(partition.join(term.w_n, 0.3 * w), x)
    np.testing.assert_allclose(instance.forward(instance.scaled(mpf(0.3))).astype(float), whole.numpy(), rtol=1e-10)


def test_orders_are_those_of_the_proof_and_a_factor_left_out_costs_p(rng):
    plain = [lemma_8.draw(rng, lemma_8.Setting(3, 4, 0.5))]
    slopes = lemma_8.orders(plain, rng, [1e-5, 1e-6, 1e-7])
    assert all(abs(slopes[name][0].value) < 0.05 for name in lemma_8.ORDERS)
    broken = lemma_8.orders([replace(plain[0], factor=False)], rng, [1e-5, 1e-6, 1e-7])
    assert broken["value"][0].value == pytest.approx(-4, abs=0.01)


def test_three_layers_of_squares_have_four_degrees(rng):
    found, leading = decomposition.coefficients(decomposition.draw(rng, lemma_8.Setting(3, 2, 1.0)))
    assert set(found) == {3, 5, 6, 7}
    assert found[3] == leading


def test_a_polynomial_network_has_a_wrong_coefficient_where_a_factor_is_left_out(rng):
    instance = decomposition.draw(rng, lemma_8.Setting(4, 2, 1.0))
    assert decomposition.wrong_coefficients(instance) == 0
    assert decomposition.wrong_coefficients(replace(instance, factor=False)) > 0


def test_gradients_have_their_degrees(rng):
    found = lemma_14.euler(Kind(3, 2, 0.5), rng) | lemma_14.in_other_weights(Kind(3, 2, 0.5), rng)
    assert max(found["scaling"], found["euler"], found["lemma15"]) < 1e-12
    assert min(found["other_degree"], found["value"], found["lemma15_other_degree"]) > 0.1
