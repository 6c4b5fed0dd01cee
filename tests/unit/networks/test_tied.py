"""Layers with tied entries: convolutions, degree, bad input, and the calculus that every network here has."""

import numpy as np
import pytest
import torch

from flowcheck.errors import ConfigError
from flowcheck.networks.network import Network
from flowcheck.networks.tied import TiedLayer, TiedNetwork

F64 = torch.float64


@pytest.mark.parametrize(
    ("channels", "image", "kernel", "stride"), [((1, 2), (5, 4), 3, 1), ((3, 2), (6, 6), 2, 2), ((2, 1), (3, 3), 1, 1)]
)
def test_a_tied_matrix_is_the_convolution_of_torch(channels, image, kernel, stride):
    layer = TiedLayer.convolution(channels, image, kernel, stride)
    w = torch.randn(layer.size, dtype=F64, generator=torch.Generator().manual_seed(1))
    images = torch.randn(4, channels[0], *image, dtype=F64, generator=torch.Generator().manual_seed(2))
    expected = torch.nn.functional.conv2d(images, w.reshape(channels[1], channels[0], kernel, kernel), stride=stride)
    torch.testing.assert_close(images.flatten(1) @ layer.matrix(w).T, expected.flatten(1))
    unit = layer.matrix(torch.eye(layer.size, dtype=F64)).flatten(start_dim=1)
    assert layer.operator_norm == pytest.approx(float(torch.linalg.matrix_norm(unit, 2)))


def test_a_network_of_two_layers_by_hand():
    network = TiedNetwork.fully_connected([2, 2, 1], above=1.0, below=0.5)
    w = torch.tensor([[1.0, 0.0, 0.0, -2.0, 3.0, 4.0]], dtype=F64)
    x = torch.tensor([[1.0, 1.0], [-1.0, -1.0]], dtype=F64)
    # (1, -2) and (-1, 2): 3 * 1 + 4 * (-1) and 3 * (-0.5) + 4 * 2
    torch.testing.assert_close(network.forward(w, x), torch.tensor([[-1.0, 6.5]], dtype=F64))
    assert network.preactivations(w, x).shape == (1, 4)


def test_it_is_homogeneous_in_its_depth_and_linear_networks_have_no_kinks():
    network = TiedNetwork("conv", (TiedLayer.convolution((1, 2), (4, 4), 2, 2), TiedLayer.dense(3, 8), TiedLayer.dense(2, 3)))
    x = torch.randn(3, 16, dtype=F64, generator=torch.Generator().manual_seed(3))
    w = torch.randn(1, network.size, dtype=F64, generator=torch.Generator().manual_seed(4))
    torch.testing.assert_close(network.forward(2 * w, x), 8 * network.forward(w, x))
    assert network.preactivations(w, x).shape[1] == 3 * (8 + 3)
    linear = TiedNetwork.fully_connected([3, 2, 1], 1.0, 1.0)
    assert linear.has_lipschitz_gradient
    assert linear.preactivations(torch.ones(1, linear.size, dtype=F64), torch.ones(2, 3, dtype=F64)).shape == (1, 0)


def test_slopes_keep_double_precision():
    network = TiedNetwork.fully_connected([1, 1, 1], above=1.0, below=0.2)
    assert network.slopes(torch.tensor([-1.0], dtype=F64)).item() == 0.2


def test_what_is_no_tied_layer_is_refused():
    with pytest.raises(ConfigError, match="twice in a row"):
        TiedLayer(torch.tensor([[0, 0]]))
    with pytest.raises(ConfigError, match="without a gap"):
        TiedLayer(torch.tensor([[0, 2]]))
    with pytest.raises(ConfigError, match="rows under"):
        TiedNetwork("two", (TiedLayer.dense(2, 3), TiedLayer.dense(1, 3)))


@pytest.mark.parametrize(("above", "below"), [(1.0, 1.0), (1.0, 0.0), (1.0, -1.5)], ids=["linear", "relu", "steep"])
def test_the_pull_layer_by_layer_is_that_of_autograd(above, below):
    rng = np.random.default_rng(4)
    layers = (TiedLayer.convolution((1, 2), (4, 4), 2, 2), TiedLayer.convolution((2, 2), (2, 2), 1), TiedLayer.dense(3, 8))
    network = TiedNetwork("convolutional", layers, above, below)
    w = torch.as_tensor(rng.standard_normal((4, network.size)))
    for shape in ((5, 16), (4, 5, 16)):
        x = torch.as_tensor(rng.standard_normal(shape))
        outputs, pulled = network.forward_and_pull(w, x, torch.tanh)
        expected_outputs, expected = Network.forward_and_pull(network, w, x, torch.tanh)
        torch.testing.assert_close(outputs, expected_outputs, rtol=1e-13, atol=1e-13)
        torch.testing.assert_close(pulled, expected, rtol=1e-12, atol=1e-12)
