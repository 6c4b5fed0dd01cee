"""Rows, singular values, shares and invariants: against plain loops, closed forms and the velocity of the flow."""

import itertools

import numpy as np
import pytest
import torch

from flowcheck.networks import anatomy
from flowcheck.networks.activation import Activation, relu_power
from flowcheck.networks.feed_forward import FeedForward, Layer
from flowcheck.networks.zoo import deep_linear, deep_relu, squared_relu

RNG = np.random.default_rng(5)


def matrices(*shape):
    return torch.from_numpy(RNG.standard_normal(shape))


def test_the_weighted_row_cosine_is_the_weighted_mean_over_pairs():
    batch = matrices(3, 6, 4)
    for matrix, value in zip(batch.numpy(), anatomy.weighted_row_cosine(batch), strict=True):
        pairs = list(itertools.combinations(matrix, 2))
        weights = [np.linalg.norm(a) * np.linalg.norm(b) for a, b in pairs]
        cosines = [abs(a @ b) / weight for (a, b), weight in zip(pairs, weights, strict=True)]
        assert value == pytest.approx(np.average(cosines, weights=weights), rel=1e-12)


def test_a_matrix_of_rank_one_has_aligned_rows_whatever_their_signs():
    batch = matrices(4, 7, 1) @ matrices(4, 1, 5)
    torch.testing.assert_close(anatomy.weighted_row_cosine(batch), torch.ones(4, dtype=torch.float64))


def test_where_no_two_rows_have_grown_none_differ():
    batch = torch.zeros(2, 3, 4, dtype=torch.float64)
    batch[0, 1] = torch.tensor([0.3, -1.0, 0.7, 0.1])
    assert anatomy.weighted_row_cosine(batch).tolist() == [1.0, 1.0]


def test_the_origin_has_no_shares():
    network = deep_linear([2], 3)
    with pytest.raises(ValueError, match="w 0 has no direction: it is the origin"):
        anatomy.shares(network, torch.zeros(1, network.size, dtype=torch.float64))


def test_shares_of_the_layers_sum_to_one():
    network = deep_relu([4, 3, 2], 5)
    w = matrices(3, network.size)
    first, *_ = network.unpack(w)
    found = anatomy.shares(network, w)
    torch.testing.assert_close(found.sum(dim=-1), torch.ones(3, dtype=torch.float64))
    torch.testing.assert_close(found[:, 0], (first**2).sum(dim=(1, 2)) / (w**2).sum(dim=1))


NETWORKS = [
    squared_relu([4, 3], 3),
    deep_relu([4, 3, 3], 3),
    deep_linear([4, 3], 3),
    FeedForward("squared inside", 3, (Layer(4, relu_power(2)), Layer(3, Activation(0.1)))),
]


@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: network.name)
def test_invariants_do_not_move_along_the_velocity_of_the_flow(network):
    w, x = matrices(5, network.size), matrices(20, 3)
    velocity = network.pull(w, x, matrices(20))
    # quadratic in w, so that the symmetric difference is the derivative
    ahead, behind = (anatomy.invariants(network, w + sign * velocity) for sign in (1.0, -1.0))
    turned = anatomy.invariants(network, w + velocity.flip(-1)) - anatomy.invariants(network, w - velocity.flip(-1))
    scale = (w.norm(dim=-1) * velocity.norm(dim=-1)).max()
    assert (ahead - behind).abs().max() < 1e-12 * scale
    assert turned.abs().max() > 1e-2 * scale


def test_invariants_need_every_layer_trained():
    with pytest.raises(ValueError, match="every layer trained"):
        anatomy.invariants(FeedForward("fixed", 3, (Layer(2), Layer.constant([[1.0, 1.0]]))), matrices(1, 6))
