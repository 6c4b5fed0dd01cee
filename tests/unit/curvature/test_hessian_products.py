"""Hessian products against whole Hessians, differences of gradients and closed forms; modules of torch; what is refused."""

import numpy as np
import pytest
import torch

from flowcheck.curvature import dense
from flowcheck.curvature.hessian_products import (
    HessianProducts,
    gradient_at,
    require_twice_differentiable,
    second_derivative_defect,
)
from flowcheck.curvature.module_loss import ModuleLoss
from flowcheck.errors import HypothesisError
from flowcheck.losses import LOGISTIC, MEAN, cross_entropy, one_hot
from flowcheck.networks import zoo
from flowcheck.networks.tied import TiedNetwork

RNG = np.random.default_rng(3)
X = torch.from_numpy(RNG.standard_normal((7, 4)))
ONE, SIGNS = torch.from_numpy(RNG.standard_normal(7)), torch.from_numpy(np.sign(RNG.standard_normal(7)))
CLASSES = one_hot([0, 1, 2, 0, 1, 2, 0], 3)


def of_network(network, loss, y):
    return network.size, lambda w: loss.value(network.forward(w[None], X), y)[0]


LOSSES = {
    "linear, square": of_network(TiedNetwork.fully_connected([4, 3, 1]), MEAN, ONE),
    "ReLU, cross-entropy": of_network(TiedNetwork.fully_connected([4, 5, 3, 3], 1.0, 0.0), cross_entropy(3, "mean"), CLASSES),
    "leaky, logistic": of_network(TiedNetwork.fully_connected([4, 3, 1], 1.0, 0.2), LOGISTIC, SIGNS),
    "squared ReLU": of_network(zoo.power_net(3, 4, 2.0), MEAN, ONE),
    "no network": (5, lambda w: (torch.sin(w[:-1]) * w[1:]).sum() + torch.exp(w.square().mean())),
}


@pytest.mark.parametrize("name", LOSSES)
def test_products_are_those_of_the_whole_hessian(name):
    size, loss = LOSSES[name]
    w = torch.from_numpy(RNG.standard_normal(size))
    products, whole = HessianProducts(loss, w), dense.hessian_at(loss, w)
    for number in range(3):
        v = torch.from_numpy(RNG.standard_normal(size))
        torch.testing.assert_close(products(v), whole @ v, rtol=1e-12, atol=1e-12)
        assert products.count == number + 1
    torch.testing.assert_close(products.gradient, torch.func.grad(loss)(w))
    assert products.value == pytest.approx(float(loss(w)), rel=1e-15)
    assert products.size == size


@pytest.mark.parametrize("name", LOSSES)
def test_products_are_differences_of_gradients(name):
    size, loss = LOSSES[name]
    w, v = (torch.from_numpy(RNG.standard_normal(size)) for _ in range(2))
    h = 1e-5
    central = (gradient_at(loss, w + h * v) - gradient_at(loss, w - h * v)) / (2 * h)
    torch.testing.assert_close(HessianProducts(loss, w)(v), central, rtol=1e-6, atol=1e-7)
    assert second_derivative_defect(loss, w, v) < 1e-3
    require_twice_differentiable(loss, w, v)


def test_weights_and_graph_of_the_caller_are_left_alone():
    w = torch.ones(3, dtype=torch.float64, requires_grad=True)
    products = HessianProducts(lambda w: (w**3).sum(), w)
    products(torch.ones(3))
    assert w.grad is None
    assert not products.gradient.requires_grad
    with torch.no_grad():
        w.fill_(9.0)
    assert products([1.0, 0.0, 0.0]).tolist() == [6.0, 0.0, 0.0]


def test_a_linear_loss_has_products_that_are_zero():
    products = HessianProducts(lambda w: (2 * w).sum(), [1.0, 2.0])
    assert products([1.0, 1.0]).tolist() == [0.0, 0.0]
    assert second_derivative_defect(lambda w: (2 * w).sum(), [1.0, 2.0], [1.0, 0.0]) == 0.0


class Once(torch.autograd.Function):
    @staticmethod
    def forward(ctx, w):
        ctx.save_for_backward(w)
        return (w**3).sum()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, slope):
        return slope * 3 * ctx.saved_tensors[0] ** 2


@pytest.mark.parametrize(
    ("loss", "said"),
    [
        (lambda w: w, "one number, got"),
        (lambda w: 1.0, "one number, got float"),
        (lambda w: w.sum() / 0, "loss is inf"),
        (lambda w: torch.sqrt(w - 1).sum(), "gradient of loss holds numbers that are not finite: inf"),
        (lambda w: w.detach().sum(), "depend on w"),
        (lambda w: torch.ones(1, requires_grad=True).sum(), "does not depend on w"),
    ],
)
def test_a_loss_that_has_no_hessian_is_refused(loss, said):
    with pytest.raises(ValueError, match=said):
        HessianProducts(loss, torch.ones(2, dtype=torch.float64))


class Inner(torch.autograd.Function):
    @staticmethod
    def forward(ctx, w, slope):
        return slope * 3 * w**2

    @staticmethod
    def backward(ctx, slope):
        raise NotImplementedError("derivative for inner is not implemented")


class Outer(Once):
    @staticmethod
    def backward(ctx, slope):
        return Inner.apply(ctx.saved_tensors[0], slope)


def test_a_loss_that_can_be_differentiated_once_is_refused_where_it_is_asked_for_more():
    with pytest.raises(ValueError, match="not twice differentiable: derivative for inner is not implemented"):
        HessianProducts(Outer.apply, [1.0, 2.0])([1.0, 0.0])
    with pytest.raises(HypothesisError, match="autograd loses the changes"):
        HessianProducts(lambda w: Once.apply(w) ** 2, [1.0, 2.0])([1.0, 0.0])


def test_a_gradient_without_a_graph_is_found_by_its_change():
    for loss in (Once.apply, lambda w: (w.detach() * w).sum()):
        with pytest.raises(HypothesisError, match="autograd loses the changes") as found:
            HessianProducts(loss, [1.0, 2.0])
        assert found.value.measured > 0


def test_an_infinite_second_derivative_is_refused():
    with pytest.raises(ValueError, match="the product of Hessian and v holds numbers that are not finite"):
        HessianProducts(lambda w: (w - 1.0).clamp_min(0).pow(1.5).sum(), [1.0, 2.0])([1.0, 1.0])


@pytest.mark.parametrize(
    "loss",
    [
        lambda w: torch.relu(w[0] * w[1]) ** 2 + torch.relu(w[0]),
        lambda w: (w * w.abs()).sum(),
        lambda w: (w**2 * w.detach()).sum() + w[1] ** 2,
    ],
    ids=["a kink of the loss", "a kink of the gradient", "a graph that is cut"],
)
def test_what_autograd_passes_over_is_measured(loss):
    w = torch.tensor([0.0, 1.0], dtype=torch.float64)
    with pytest.raises(HypothesisError, match="not twice differentiable") as found:
        require_twice_differentiable(loss, w, [1.0, 0.3])
    assert 1e-3 < found.value.measured <= 2


@pytest.mark.parametrize(("v", "said"), [([1.0], "2 numbers"), ([[1.0, 2.0]], "2 numbers"), ([1.0, np.nan], "not finite")])
def test_vectors_that_do_not_fit_are_refused(v, said):
    with pytest.raises(ValueError, match=said):
        HessianProducts(lambda w: (w**2).sum(), [1.0, 2.0])(v)


def module():
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(4, 5), torch.nn.Tanh(), torch.nn.LayerNorm(5), torch.nn.Linear(5, 3))
    net[3].bias.requires_grad_(False)
    return net


def test_the_loss_of_a_module_is_that_of_the_module_in_double_precision():
    net, labels = module(), torch.arange(7) % 3
    found = ModuleLoss(net, torch.nn.functional.cross_entropy, X, labels)
    assert found.weights.shape == (20 + 5 + 10 + 15,)
    assert all(part.dtype == torch.float32 and part.grad is None for part in net.parameters())
    exact = torch.nn.functional.cross_entropy(module().double()(X), labels)
    torch.testing.assert_close(found(found.weights), exact, rtol=1e-14, atol=1e-14)
    # backwards twice: forward over reverse, as in `dense`, is wrong for layer normalisation in torch 2.13
    products, whole = HessianProducts(found, found.weights), torch.autograd.functional.hessian(found, found.weights)
    v = torch.from_numpy(RNG.standard_normal(len(found.weights)))
    torch.testing.assert_close(products(v), whole @ v, rtol=1e-11, atol=1e-11)


def test_buffers_of_a_module_do_not_move():
    net = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.BatchNorm1d(3)).double().train()
    found = ModuleLoss(net, torch.nn.functional.cross_entropy, X, torch.arange(7) % 3)
    HessianProducts(found, found.weights)(torch.ones_like(found.weights))
    assert net[1].running_mean.abs().max() == 0
    assert net[1].num_batches_tracked == 0


def test_a_loss_that_is_no_mean_is_measured():
    net = module()
    labels = torch.arange(7) % 3
    mean = ModuleLoss(net, torch.nn.functional.cross_entropy, X, labels)
    mean.require_mean()
    added = ModuleLoss(net, lambda out, y: torch.nn.functional.cross_entropy(out, y, reduction="sum"), X, labels)
    with pytest.raises(HypothesisError, match="not a mean over samples") as found:
        added.require_mean()
    assert found.value.measured == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"module": torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Dropout(0.5))}, "the loss of module is random"),
        ({"module": torch.nn.Tanh()}, "no parameter that requires a gradient"),
        ({"x": X[:3]}, "same samples along their first dimension"),
        ({"x": torch.full((7, 4), np.nan)}, "x holds numbers that are not finite"),
        ({"y": torch.full((7, 3), np.inf)}, "y holds numbers that are not finite"),
    ],
)
def test_modules_and_data_that_do_not_fit_are_refused(change, said):
    given = {"module": module(), "loss": torch.nn.functional.cross_entropy, "x": X, "y": torch.arange(7) % 3} | change
    with pytest.raises(ValueError, match=said):
        ModuleLoss(**given)
