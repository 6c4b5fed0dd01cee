"""Deep linear networks: layer gradients, balanced weights, end-to-end maps."""

import numpy as np
import pytest
import torch

from flowcheck.networks import linear


def random_weights(shapes, rng):
    return [rng.standard_normal(shape) for shape in shapes]


@pytest.mark.parametrize("shapes", [[(1, 3)], [(4, 3), (1, 4)], [(2, 3), (5, 2), (1, 5)]], ids=["N1", "N2", "N3"])
def test_layer_gradients_are_those_of_autograd(shapes):
    rng = np.random.default_rng(0)
    weights, pull = random_weights(shapes, rng), rng.standard_normal(3)
    tensors = [torch.tensor(w, requires_grad=True) for w in weights]
    (linear.end_to_end(tensors) @ torch.tensor(pull)).backward()
    for mine, tensor in zip(linear.layer_gradients(weights, pull), tensors, strict=True):
        assert mine == pytest.approx(tensor.grad.numpy(), abs=1e-13)


def test_end_to_end_velocity_is_the_change_over_a_small_step_of_the_layers():
    rng = np.random.default_rng(7)
    weights, pull, step = random_weights([(4, 3), (2, 4), (1, 2)], rng), rng.standard_normal(3), 1e-6
    ahead, behind = (
        linear.end_to_end([w - sign * step * g for w, g in zip(weights, linear.layer_gradients(weights, pull), strict=True)])
        for sign in (1, -1)
    )
    assert linear.end_to_end_velocity(weights, pull) == pytest.approx((ahead - behind) / (2 * step), rel=1e-7)


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_the_end_to_end_velocity_at_the_origin_is_its_limit(depth):
    gradient, near = np.array([1.0, -2.0]), np.array([3e-30, 4e-30])
    there = linear.end_to_end_rate(np.zeros(2), gradient, depth)
    np.testing.assert_allclose(there, linear.end_to_end_rate(near, gradient, depth), atol=1e-18)


def test_layer_gradients_of_a_batch_are_those_of_its_members():
    rng = np.random.default_rng(1)
    batch, pulls = random_weights([(7, 4, 3), (7, 1, 4)], rng), rng.standard_normal((7, 3))
    together = linear.layer_gradients(batch, pulls)
    for i in range(7):
        for whole, single in zip(together, linear.layer_gradients([w[i] for w in batch], pulls[i]), strict=True):
            assert whole[i] == pytest.approx(single, abs=1e-13)


def test_partial_products_end_in_the_end_to_end_vector_and_spare_the_gradients_their_products():
    rng = np.random.default_rng(4)
    weights, pull = random_weights([(4, 3), (2, 4), (1, 2)], rng), rng.standard_normal(3)
    products = linear.partial_products(weights)
    assert [p.shape for p in products] == [(4, 3), (2, 3), (1, 3)]
    assert np.array_equal(products[-1][0], linear.end_to_end(weights))
    for known, found in zip(linear.layer_gradients(weights, pull, products), linear.layer_gradients(weights, pull), strict=True):
        assert np.array_equal(known, found)


@pytest.mark.parametrize("norm", [0.3, 1.0, 4.0])
def test_balanced_weights_are_balanced_and_have_the_end_to_end_vector(norm):
    w_e = norm * np.array([0.6, -0.8])
    weights = linear.balanced_weights(w_e, [5, 2, 7], np.random.default_rng(2))
    assert linear.end_to_end(weights) == pytest.approx(w_e, abs=1e-14)
    assert linear.balancedness_defect(weights) < 1e-14


def test_the_paper_s_start_is_balanced_for_norm_one_only():
    rng = np.random.default_rng(3)
    assert linear.balancedness_defect(linear.paper_weights(np.array([0.6, -0.8]), [5, 5, 5], rng)) < 1e-14
    assert linear.balancedness_defect(linear.paper_weights(np.array([1.2, -1.6]), [5, 5, 5], rng)) > 0.1


def test_a_zero_vector_cannot_be_balanced():
    with pytest.raises(ValueError, match="nonzero"):
        linear.balanced_weights(np.zeros(2), [3], np.random.default_rng(0))
