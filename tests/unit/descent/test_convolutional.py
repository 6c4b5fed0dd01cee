"""Descent of convolutional classifiers, in C and on tensors, against autograd through torch's convolutions; its hypotheses."""

import shutil

import numpy as np
import pytest
import torch

from flowcheck.descent.convolutional import ConvolutionalDescent, ConvolutionalNetwork
from flowcheck.networks.tied import TiedLayer, TiedNetwork

SMALL = {
    "subsampled": ConvolutionalNetwork(side=14, channels=(1, 3, 4), kernel=3, dense=(6, 5, 3)),
    "subsampled, two channels": ConvolutionalNetwork(side=13, channels=(2, 3, 4), kernel=3, dense=(3,)),
    "pooled": ConvolutionalNetwork(side=14, channels=(1, 3, 4), kernel=3, dense=(6, 5, 3), pooling=True),
    "pooled, biases": ConvolutionalNetwork(side=14, channels=(1, 3, 4), kernel=3, dense=(6, 3), pooling=True, biases=True),
    "subsampled, biases": ConvolutionalNetwork(side=14, channels=(1, 3, 4), kernel=3, dense=(6, 3), biases=True),
    "pooled, wide, odd": ConvolutionalNetwork(side=15, channels=(1, 9, 17), kernel=4, dense=(11, 3), pooling=True, biases=True),
}
needs_compiler = pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler")
MODES = [pytest.param(True, marks=needs_compiler, id="compiled"), pytest.param(False, id="tensors")]


def problem(network, n=9, seed=0):
    rng = np.random.default_rng(seed)
    images = torch.tensor(rng.standard_normal((n, network.channels[0], network.side, network.side)))
    images[:, :, :5] = -0.4  # a background, on which windows tie
    labels = torch.tensor(rng.integers(0, network.dense[-1], n))
    return images, labels, torch.tensor(rng.uniform(-0.7, 0.7, (2, network.size)))


def by_autograd(network, images, labels, start, sizes, steps):
    w = start.clone()
    for _ in range(steps):
        w.requires_grad_(True)
        (slope,) = torch.autograd.grad(network.loss(w, images, labels).sum(), w)
        w = (w - sizes[:, None] * slope).detach()
    return w


@pytest.mark.parametrize("compile", MODES)
@pytest.mark.parametrize("precision", ["float64", "float32"])
@pytest.mark.parametrize("name", SMALL)
def test_fifty_steps_are_those_of_autograd(name, precision, compile):
    network = SMALL[name]
    images, labels, start = problem(network, n=35)
    sizes = torch.tensor([1e-3, 3e-3], dtype=torch.float64)
    runs = ConvolutionalDescent(network, images, labels, start, step_size=sizes, precision=precision, compile=compile)
    assert runs.mode == ("compiled" if compile else "tensors")
    runs.advance(20)
    runs.advance(30)
    expected = by_autograd(network, images, labels, start, sizes, 50)
    assert float((expected - start).norm(dim=1).min()) > 0.01
    assert float((runs.weights() - expected).abs().max()) < (1e-13 if precision == "float64" else 1e-5)


def test_the_networks_of_figure_3_have_the_weights_that_the_paper_counts():
    assert ConvolutionalNetwork().size == 61_470
    assert ConvolutionalNetwork(pooling=True, biases=True).size == 61_706


def test_the_subsampled_network_is_one_of_tied_weights_and_homogeneous():
    network = SMALL["subsampled"]
    images, _, start = problem(network)
    first, second = network.sides
    layers = (
        TiedLayer.convolution((1, 3), (14, 14), 3, 2),
        TiedLayer.convolution((3, 4), (first, first), 3, 2),
        *(TiedLayer.dense(*shape) for shape in network.shapes[2:]),
    )
    tied = TiedNetwork("tied", layers, 1.0, 0.0)
    assert second == 2
    outputs = network.outputs(start[0], images)
    torch.testing.assert_close(tied.forward(start[:1], images.flatten(start_dim=1))[0], outputs.flatten())
    torch.testing.assert_close(network.outputs(1.5 * start[0], images), 1.5**5 * outputs)
    other = SMALL["pooled, biases"]
    w = problem(other)[2][0]
    assert float((other.outputs(1.5 * w, images) / other.outputs(w, images) - 1.5**4).abs().max()) > 0.01


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"images": torch.zeros(9, 1, 13, 13)}, "images are"),
        ({"labels": torch.tensor([3] * 9)}, "one of 3 classes"),
        ({"start": torch.zeros(2, 7)}, "rows of"),
        ({"step_size": 0.0}, "step_size"),
    ],
)
def test_what_does_not_fit_is_refused(change, said):
    network = SMALL["subsampled"]
    images, labels, start = problem(network)
    given = {"images": images, "labels": labels, "start": start, "step_size": 0.1} | change
    with pytest.raises(ValueError, match=said):
        ConvolutionalDescent(network, given["images"], given["labels"], given["start"], step_size=given["step_size"])
